//! A provider's stream on its way to the client: upstream bytes through the engine's decoder.
//!
//! A body that hyper polls and that polls the provider in turn: no task, no channel. What was read
//! together leaves together; nobody reads ahead of the client; dropping it closes the provider's
//! connection and completes the record.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use interlingua_engine::{Progress, StreamDecoder};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Decompressor;
use crate::alarm::Alarm;
use crate::gateway::Provider;
use crate::respond::Fault;
use crate::telemetry::{Entry, Ticket, mask};
use crate::upstream::UpstreamBody;

/// Client bytes that are gathered before they leave, if the provider sends without a pause.
const WRITE_BYTES: usize = 64 * 1024;

/// One live stream.
pub(crate) struct Relay {
    stage: Stage,
    decoder: StreamDecoder,
    decompressor: Decompressor,
    /// Client bytes that have not left.
    out: Vec<u8>,
    /// Decompressed provider bytes, reused; unused without compression.
    plain: Vec<u8>,
    provider: Arc<Provider>,
    entry: Entry,
    idle: Idle,
    _permit: OwnedSemaphorePermit,
}

enum Stage {
    /// The provider is speaking.
    Open(Box<UpstreamBody>),
    /// Everything for the client is in `out`; the record is on its way to the disk.
    Recording(Ticket),
    Done,
}

impl Relay {
    pub(crate) fn new(
        body: UpstreamBody,
        decompressor: Decompressor,
        decoder: StreamDecoder,
        provider: Arc<Provider>,
        entry: Entry,
        permit: OwnedSemaphorePermit,
    ) -> Relay {
        Relay {
            stage: Stage::Open(Box::new(body)),
            decoder,
            decompressor,
            out: Vec::new(),
            plain: Vec::new(),
            idle: Idle::new(provider.waits.idle),
            provider,
            entry,
            _permit: permit,
        }
    }

    /// The next bytes for the client; None at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.stage {
                Stage::Open(body) => match body.poll_data(cx) {
                    Poll::Ready(Some(Ok(bytes))) => {
                        self.idle.touch();
                        self.feed(&bytes);
                        if self.out.len() >= WRITE_BYTES && matches!(self.stage, Stage::Open(_)) {
                            return Poll::Ready(Some(self.take()));
                        }
                    }
                    Poll::Ready(None) => self.finish(),
                    Poll::Ready(Some(Err(fault))) => self.fail(&fault),
                    Poll::Pending if !self.out.is_empty() => return Poll::Ready(Some(self.take())),
                    Poll::Pending => {
                        if self.idle.poll_expired(cx).is_pending() {
                            return Poll::Pending;
                        }
                        self.fail(&Fault::IdleTimeout);
                    }
                },
                Stage::Recording(ticket) => {
                    // INVARIANT: the record is written before the last byte leaves.
                    if Pin::new(ticket).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.stage = Stage::Done;
                    if !self.out.is_empty() {
                        return Poll::Ready(Some(self.take()));
                    }
                }
                Stage::Done => return Poll::Ready(None),
            }
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let start = self.out.len();
        let progress = if self.decompressor.is_identity() {
            self.decoder.feed(bytes, &mut self.out)
        } else {
            self.plain.clear();
            if let Err(fault) = self.decompressor.push(bytes, &mut self.plain) {
                return self.fail(&fault);
            }
            self.decoder.feed(&self.plain, &mut self.out)
        };
        self.entry.streamed(self.out.get(start..).unwrap_or_default());
        self.advance(progress, start);
    }

    fn finish(&mut self) {
        let start = self.out.len();
        self.plain.clear();
        if let Err(fault) = self.decompressor.finish(&mut self.plain) {
            return self.fail(&fault);
        }
        if !self.plain.is_empty() && self.decoder.feed(&self.plain, &mut self.out) != Progress::Open {
            return self.end(start, None);
        }
        let progress = self.decoder.finish(&mut self.out);
        // A stream cannot stay open behind its end.
        self.advance(if progress == Progress::Open { Progress::Ended } else { progress }, start);
    }

    fn advance(&mut self, progress: Progress, start: usize) {
        if progress != Progress::Open {
            self.end(start, None);
        }
    }

    fn fail(&mut self, fault: &Fault) {
        let start = self.out.len();
        self.decoder.fail(&fault.failure(), &mut self.out);
        self.end(start, Some(fault));
    }

    /// Lets go of the provider (dropping an unfinished body closes its connection) and writes the record.
    fn end(&mut self, start: usize, fault: Option<&Fault>) {
        if self.decoder.failure().is_some() || fault.is_some() {
            mask(&mut self.out, start, &self.provider.secrets);
        }
        let ticket = self.entry.finish_stream(&self.decoder, fault);
        if let Stage::Open(body) = mem::replace(&mut self.stage, Stage::Recording(ticket)) {
            body.release();
        }
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(mem::take(&mut self.out))
    }
}

impl Drop for Relay {
    /// The client went away: what the decoder knows still belongs into the record.
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Open(_)) {
            self.entry.abandon_stream(&self.decoder);
        }
    }
}

/// Notices that nothing arrived for too long.
struct Idle {
    limit: Duration,
    last: Instant,
    alarm: Alarm,
}

impl Idle {
    fn new(limit: Duration) -> Idle {
        Idle { limit, last: Instant::now(), alarm: Alarm::default() }
    }

    fn touch(&mut self) {
        self.last = Instant::now();
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(self.last + self.limit, cx)
    }
}
