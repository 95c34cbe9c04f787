//! An answer whose bytes pass, on its way to the client: as it comes, looked at for the record, bounded in size and time.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::upload::Broken;
use super::watch::Watch;
use crate::alarm::Alarm;
use crate::body::Decompressor;
use crate::respond::Fault;
use crate::telemetry::{Entry, Needles, Ticket};
use crate::upstream::UpstreamBody;

/// One answer on its way.
pub(crate) struct Passing {
    stage: Stage,
    decompressor: Decompressor,
    watch: Watch,
    veil: Veil,
    entry: Entry,
    status: u16,
    /// The length that the provider announced.
    announced: Option<u64>,
    seen: u64,
    limit: u64,
    idle: Duration,
    last: Instant,
    alarm: Alarm,
    _permit: OwnedSemaphorePermit,
}

enum Stage {
    Open(Box<UpstreamBody>),
    /// These are the last bytes; they wait for the record.
    Recording(Ticket, Bytes),
    /// Broken off: the record is written, then the client's connection is cut.
    Failing(Ticket),
    Done,
}

/// What an answer is bounded by.
pub(crate) struct Bounds {
    pub(crate) limit: u64,
    pub(crate) idle: Duration,
}

impl Passing {
    pub(crate) fn new(
        body: UpstreamBody,
        decompressor: Decompressor,
        (status, watch): (u16, Watch),
        secrets: Needles,
        bounds: &Bounds,
        (entry, permit): (Entry, OwnedSemaphorePermit),
    ) -> Passing {
        let announced = if decompressor.is_identity() { body.announced() } else { None };
        Passing {
            stage: Stage::Open(Box::new(body)),
            decompressor,
            watch,
            veil: Veil::new(secrets),
            entry,
            status,
            announced,
            seen: 0,
            limit: bounds.limit,
            idle: bounds.idle,
            last: Instant::now(),
            alarm: Alarm::default(),
            _permit: permit,
        }
    }

    /// What the client is told of the length.
    pub(crate) fn length(&self) -> Option<u64> {
        self.announced
    }

    /// The next bytes for the client; None at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            match &mut self.stage {
                Stage::Open(body) => match body.poll_data(cx) {
                    Poll::Ready(Some(Ok(bytes))) => {
                        self.last = Instant::now();
                        match self.pass(bytes) {
                            Ok(out) if out.is_empty() => {}
                            Ok(out) => return Poll::Ready(Some(Ok(out))),
                            Err(fault) => self.fail(&fault),
                        }
                    }
                    Poll::Ready(None) => self.finish(Bytes::new()),
                    Poll::Ready(Some(Err(fault))) => self.fail(&fault),
                    Poll::Pending => {
                        if self.alarm.poll(self.last + self.idle, cx).is_pending() {
                            return Poll::Pending;
                        }
                        self.fail(&Fault::IdleTimeout);
                    }
                },
                Stage::Recording(ticket, last) => {
                    // INVARIANT: the record is written before the last byte leaves.
                    if Pin::new(ticket).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let last = mem::take(last);
                    self.stage = Stage::Done;
                    if !last.is_empty() {
                        return Poll::Ready(Some(Ok(last)));
                    }
                }
                Stage::Failing(ticket) => {
                    if Pin::new(ticket).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.stage = Stage::Done;
                    return Poll::Ready(Some(Err(Broken)));
                }
                Stage::Done => return Poll::Ready(None),
            }
        }
    }

    /// Bytes of the provider to bytes for the client; the last ones of an announced length wait for the record.
    fn pass(&mut self, bytes: Bytes) -> Result<Bytes, Fault> {
        let plain = if self.decompressor.is_identity() {
            bytes
        } else {
            let mut plain = Vec::new();
            self.decompressor.push(&bytes, &mut plain)?;
            Bytes::from(plain)
        };
        self.seen += plain.len() as u64;
        if self.seen > self.limit {
            return Err(Fault::TooLarge);
        }
        let out = self.shown(plain);
        if self.announced.is_some_and(|announced| self.seen >= announced) {
            self.finish(out);
            return Ok(Bytes::new());
        }
        Ok(out)
    }

    fn shown(&mut self, plain: Bytes) -> Bytes {
        self.watch.feed(&plain);
        let out = self.veil.pass(plain);
        if self.watch.kind().is_text() {
            self.entry.streamed(&out);
        }
        out
    }

    fn finish(&mut self, out: Bytes) {
        let mut plain = Vec::new();
        if let Err(fault) = self.decompressor.finish(&mut plain) {
            return self.fail(&fault);
        }
        let more = if plain.is_empty() { Bytes::new() } else { self.shown(Bytes::from(plain)) };
        let rest = self.veil.rest();
        let last = if more.is_empty() && rest.is_empty() {
            out
        } else {
            Bytes::from([&out[..], &more[..], &rest[..]].concat())
        };
        self.watch.finish();
        let ticket = self.entry.finish_passed(self.status, &self.watch.observed, None);
        if let Stage::Open(body) = mem::replace(&mut self.stage, Stage::Recording(ticket, last)) {
            body.release();
        }
    }

    fn fail(&mut self, fault: &Fault) {
        self.watch.finish();
        let ticket = self.entry.finish_passed(self.status, &self.watch.observed, Some(fault.class()));
        self.stage = Stage::Failing(ticket);
    }
}

impl Drop for Passing {
    /// The client went away: what is known still belongs into the record.
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Open(_)) {
            self.watch.finish();
            self.entry.abandon_passed(&self.watch.observed);
        }
    }
}

/// Puts stars in the place of our credentials, as many as they have bytes: announced lengths stay true.
pub(super) struct Veil {
    secrets: Needles,
    /// The end of what has come, if it may be the beginning of a secret.
    held: Vec<u8>,
}

impl Veil {
    pub(super) fn new(secrets: Needles) -> Veil {
        Veil { secrets, held: Vec::new() }
    }

    fn pass(&mut self, bytes: Bytes) -> Bytes {
        if self.is_clear(&bytes) { bytes } else { Bytes::from(self.veiled(&bytes)) }
    }

    /// The same for bytes that are copied anyway.
    pub(super) fn write(&mut self, bytes: &[u8], out: &mut BytesMut) {
        if self.is_clear(bytes) {
            out.extend_from_slice(bytes);
        } else {
            out.extend_from_slice(&self.veiled(bytes));
        }
    }

    fn is_clear(&self, bytes: &[u8]) -> bool {
        self.held.is_empty()
            && self.beginning(bytes) == 0
            && self.secrets.iter().all(|secret| secret.find(bytes).is_none())
    }

    fn veiled(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        for secret in self.secrets.iter() {
            let places: Vec<usize> = secret.find_iter(&all).collect();
            for place in places {
                if let Some(quoted) = all.get_mut(place..place + secret.needle().len()) {
                    quoted.fill(b'*');
                }
            }
        }
        self.held = all.split_off(all.len() - self.beginning(&all));
        all
    }

    /// Bytes at the end that a secret begins with.
    fn beginning(&self, bytes: &[u8]) -> usize {
        let longest = |needle: &[u8]| {
            let most = needle.len().saturating_sub(1).min(bytes.len());
            (1..=most).rev().find(|length| needle.get(..*length).is_some_and(|start| bytes.ends_with(start)))
        };
        self.secrets.iter().filter_map(|secret| longest(secret.needle())).max().unwrap_or(0)
    }

    pub(super) fn rest(&mut self) -> Vec<u8> {
        mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::Veil;
    use crate::telemetry::Secrets;
    use bytes::Bytes;
    use interlingua_engine::Secret;

    #[test]
    fn stars() {
        let secrets = Secrets::new(&[Secret::new("sk-secret"), Secret::new("sk-sk-1")]);
        let text = b"a sk-secret, sk-sk-secret sk-sk-1 sk-secre";
        for size in 1..=text.len() {
            let mut veil = Veil::new(secrets.now());
            let mut out: Vec<u8> = Vec::new();
            for piece in text.chunks(size) {
                out.extend_from_slice(&veil.pass(Bytes::copy_from_slice(piece)));
            }
            out.extend(veil.rest());
            assert_eq!(
                String::from_utf8(out).unwrap(),
                "a *********, sk-********* ******* sk-secre",
                "{size}"
            );
        }
    }
}
