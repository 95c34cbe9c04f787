//! Who may ask (`client`), and how providers learn that it is us: keys that sign and tokens that are fetched.
//!
//! By mechanism, each in a file of its own. What a spec says under `auth` and the settings say beside it comes here as data
//! (`interlingua_engine::Credentials`); headers, query and body members that hold a key are already in the request by then.

mod assertion;
mod cache;
mod client;
mod credentials;
mod encode;
mod endpoint;
mod keys;
mod profile;
mod sigv4;
mod time;
mod token;

pub(crate) use client::client;
pub(crate) use credentials::{Credentials, Surroundings};
pub(crate) use encode::base64;
pub(crate) use endpoint::Unavailable;
pub(crate) use time::date;
