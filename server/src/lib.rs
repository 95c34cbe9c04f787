//! A gateway for large language models whose providers are data: one YAML file each.
//!
//! This crate is the server around `interlingua-engine`: sockets, time, limits, credentials, records.
//! It knows HTTP and nothing of any provider; the engine knows wire formats and nothing of HTTP.
//!
//! ```no_run
//! use std::sync::Arc;
//! use interlingua::{Gateway, config::{Config, process_environment}, run, shutdown};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load(None)?;
//! let library = Gateway::library(&config)?;
//! let gateway = Gateway::build(&config, &library, &process_environment, &[])?;
//! let listener = tokio::net::TcpListener::bind(gateway.listen()).await?;
//! let (trigger, shutdown) = shutdown();
//! run(listener, shutdown, Arc::new(gateway)).await; // until trigger.drain()
//! # drop(trigger);
//! # Ok(())
//! # }
//! ```

mod alarm;
mod auth;
mod body;
mod budget;
pub mod cases;
pub mod cli;
mod client;
pub mod config;
mod connection;
mod cors;
mod embedded;
mod frames;
mod framing;
#[cfg(test)]
mod fuzz;
mod gateway;
mod handler;
mod health;
mod identity;
pub mod library;
mod listener;
mod models;
mod pass;
mod respond;
mod router;
mod shutdown;
mod simulator;
pub mod telemetry;
mod upstream;

pub use gateway::Gateway;
pub use listener::run;
pub use shutdown::{Shutdown, Trigger, shutdown};
