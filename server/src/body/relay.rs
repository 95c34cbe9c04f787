//! A provider's stream on its way to the client: upstream bytes through the engine's decoder.
//!
//! A body that hyper polls and that polls the provider in turn: no task, no channel. What was read
//! together leaves together; nobody reads ahead of the client; dropping it closes the provider's
//! connection and completes the record.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use interlingua_engine::{Failure, Progress, StreamDecoder};
use tokio::sync::OwnedSemaphorePermit;

use super::Decompressor;
use crate::alarm::Idle;
use crate::gateway::Provider;
use crate::respond::Fault;
use crate::telemetry::{Entry, Needles, Ticket, mask};
use crate::upstream::UpstreamBody;

/// Client bytes that are gathered before they leave, if the provider sends without a pause.
const WRITE_BYTES: usize = 64 * 1024;

/// Compressed bytes that are unfolded at a time: a bomb is noticed before much of it is there.
const PACKED_BYTES: usize = 4 * 1024;

/// What so few bytes may unfold to: four times as much as gzip can.
pub(crate) const UNFOLDED_BYTES: usize = 16 * 1024 * 1024;

/// How long the head of a stream waits for its first event, which may be an error with a status of its own.
const HEAD_WAIT: Duration = Duration::from_secs(10);

/// What went wrong before a byte for the client was there.
pub(crate) enum Early {
    /// The provider said so.
    Failure(Failure),
    Fault(Fault),
}

/// One live stream.
pub(crate) struct Relay {
    stage: Stage,
    decoder: StreamDecoder,
    decompressor: Decompressor,
    /// Client bytes that have not left.
    out: Vec<u8>,
    /// Decompressed provider bytes, reused; unused without compression.
    plain: Vec<u8>,
    secrets: Needles,
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
        provider: &Provider,
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
            secrets: provider.secrets.now(),
            entry,
            _permit: permit,
        }
    }

    /// Waits for the first bytes for the client, for a while: what fails before them can still be told by a status.
    /// Nothing was recorded then.
    pub(crate) async fn begin(&mut self) -> Result<(), Early> {
        let begun = std::future::poll_fn(|cx| self.poll_begun(cx));
        tokio::time::timeout(HEAD_WAIT, begun).await.unwrap_or(Ok(()))
    }

    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Early>> {
        while let Stage::Open(body) = &mut self.stage {
            let progress = match body.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.idle.touch();
                    self.read(&bytes)
                }
                Poll::Ready(None) => self.read_end(),
                Poll::Ready(Some(Err(fault))) => Err(fault),
                Poll::Pending => {
                    ready!(self.idle.poll_expired(cx));
                    Err(Fault::IdleTimeout)
                }
            };
            match (progress, self.decoder.failure()) {
                (Err(fault), _) if self.out.is_empty() => return Poll::Ready(Err(Early::Fault(fault))),
                (Ok(_), Some(failure)) if self.decoder.failed_alone() => {
                    return Poll::Ready(Err(Early::Failure(failure.clone())));
                }
                (Ok(Progress::Open), _) if self.out.is_empty() => continue,
                (progress, _) => self.settle(0, progress),
            }
            break;
        }
        Poll::Ready(Ok(()))
    }

    /// The record, for who tells the client.
    pub(crate) fn into_entry(mut self) -> Entry {
        self.entry.take()
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
        let progress = self.read(bytes);
        self.settle(start, progress);
    }

    fn finish(&mut self) {
        let start = self.out.len();
        let progress = self.read_end();
        self.settle(start, progress);
    }

    /// What became of the provider's bytes, whose translation stands from `start` on.
    fn settle(&mut self, start: usize, progress: Result<Progress, Fault>) {
        self.pass(start);
        match progress {
            Ok(Progress::Open) => {}
            Ok(_) => self.end(None),
            Err(fault) => self.fail(&fault),
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Progress, Fault> {
        if self.decompressor.is_identity() {
            return Ok(self.decoder.feed(bytes, &mut self.out));
        }
        for packed in bytes.chunks(PACKED_BYTES) {
            self.plain.clear();
            self.decompressor.push(packed, &mut self.plain)?;
            let progress = self.decoder.feed(&self.plain, &mut self.out);
            if progress != Progress::Open {
                return Ok(progress);
            }
        }
        Ok(Progress::Open)
    }

    /// A stream cannot stay open behind its end.
    fn read_end(&mut self) -> Result<Progress, Fault> {
        self.plain.clear();
        self.decompressor.finish(&mut self.plain)?;
        if self.plain.is_empty() || self.decoder.feed(&self.plain, &mut self.out) == Progress::Open {
            self.decoder.finish(&mut self.out);
        }
        Ok(Progress::Ended)
    }

    /// Client bytes from `start` on are complete. They are whole events, however the provider's bytes were split:
    /// nothing that the provider quotes of our credentials crosses their bounds.
    fn pass(&mut self, start: usize) {
        mask(&mut self.out, start, &self.secrets);
        self.entry.streamed(self.out.get(start..).unwrap_or_default());
    }

    fn fail(&mut self, fault: &Fault) {
        let start = self.out.len();
        self.decoder.fail(&fault.failure(), &mut self.out);
        self.pass(start);
        self.end(Some(fault));
    }

    /// Lets go of the provider (dropping an unfinished body closes its connection) and writes the record.
    fn end(&mut self, fault: Option<&Fault>) {
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
