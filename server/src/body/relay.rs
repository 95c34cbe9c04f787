//! A provider's stream on its way to the client: upstream bytes through the engine's decoder.
//!
//! A body that hyper polls and that polls the provider in turn: no task, no channel. What was read
//! together leaves together; nobody reads ahead of the client; dropping it closes the provider's
//! connection and completes the record.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use interlingua_engine::{Progress, StreamDecoder};
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
        let mut progress = Progress::Open;
        let mut packed = bytes;
        if self.decompressor.is_identity() {
            progress = self.decoder.feed(bytes, &mut self.out);
            packed = &[];
        }
        for packed in packed.chunks(PACKED_BYTES) {
            self.plain.clear();
            if let Err(fault) = self.decompressor.push(packed, &mut self.plain) {
                self.pass(start);
                return self.fail(&fault);
            }
            progress = self.decoder.feed(&self.plain, &mut self.out);
            if progress != Progress::Open {
                break;
            }
        }
        self.pass(start);
        self.advance(progress);
    }

    fn finish(&mut self) {
        let start = self.out.len();
        self.plain.clear();
        if let Err(fault) = self.decompressor.finish(&mut self.plain) {
            return self.fail(&fault);
        }
        if self.plain.is_empty() || self.decoder.feed(&self.plain, &mut self.out) == Progress::Open {
            self.decoder.finish(&mut self.out);
        }
        self.pass(start);
        // A stream cannot stay open behind its end.
        self.end(None);
    }

    fn advance(&mut self, progress: Progress) {
        if progress != Progress::Open {
            self.end(None);
        }
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
