//! What is told about a request afterwards: the usage record and the access log. Never a secret, and
//! never a prompt unless payloads are switched on.

pub(crate) mod access;
mod entry;
mod record;
mod redact;
mod sink;

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::config::LogSection;

pub(crate) use entry::Entry;
pub use record::{Ai, Meta, Payload, Proxy, Record, RecordUsage, schema};
pub(crate) use redact::{Needles, Secrets, holds, mask, masked};
use sink::Sink;
pub(crate) use sink::Ticket;

/// Where records go, and what they hold.
pub(crate) struct Recorder {
    sink: Option<Sink>,
    payloads: bool,
}

impl Recorder {
    /// Opens the file of `log.usage`, which may be absent.
    pub(crate) fn open(log: &LogSection, dir: &Path) -> Result<Recorder, String> {
        let sink = match &log.usage {
            None => None,
            Some(path) => Some(
                Sink::open(&dir.join(path))
                    .map_err(|error| format!("cannot open usage record `{path}`: {error}"))?,
            ),
        };
        Ok(Recorder { sink, payloads: log.payloads })
    }

    pub(crate) fn off() -> Recorder {
        Recorder { sink: None, payloads: false }
    }

    /// Whether somebody will read payloads.
    pub(crate) fn payloads(&self) -> bool {
        self.payloads && self.sink.is_some()
    }

    /// Records that found no place in the queue of a slow disk, or that the disk refused.
    pub(crate) fn lost(&self) -> u64 {
        self.sink.as_ref().map_or(0, |sink| sink.lost.load(Ordering::Relaxed))
    }
}
