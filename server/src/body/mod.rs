//! Bodies: reading them within bounds, decompressing them, relaying streams.

mod answer;
mod collect;
mod decompress;
mod gather;
mod read;
mod relay;
mod zstd;

pub(crate) use answer::Answer;
pub(crate) use collect::collect;
pub(crate) use decompress::{ACCEPTED, Decompressor};
pub(crate) use read::{check_length, check_media_type, discard, is_json, patience, read};
pub(crate) use relay::{Early, Relay, UNFOLDED_BYTES};
