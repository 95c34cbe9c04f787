//! A client's body on its way to a provider, piece by piece: decompressed, bounded in size and time, looked at, and never
//! held whole.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::scan::{Found, Odd, Scan};
use crate::alarm::Alarm;
use crate::body::{self, Decompressor};
use crate::budget::Share;
use crate::respond::Fault;

/// Bytes in which `model` must stand.
pub(crate) const HEAD_BYTES: usize = 1 << 20;

/// What is decompressed of one piece at most.
const PIECE_BYTES: usize = 8 << 20;

/// Where the client's bytes come from.
pub(crate) struct Source {
    body: Incoming,
    decompressor: Decompressor,
    scan: Option<Scan>,
    limit: u64,
    seen: u64,
    idle: Duration,
    /// Since when nothing comes, though somebody waits.
    waiting: Option<Instant>,
    /// How long it was waited for before.
    waited: Duration,
    alarm: Alarm,
    ended: bool,
}

impl Source {
    /// `limit` bounds what may come, decompressed; `idle` the time between two pieces.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Incoming,
        scan: Option<Scan>,
        (limit, idle): (u64, Duration),
    ) -> Result<Source, Fault> {
        let decompressor = Decompressor::for_headers(headers.get_all(CONTENT_ENCODING), PIECE_BYTES)
            .map_err(|_| Fault::ContentEncoding)?;
        if body.size_hint().lower() > limit {
            return Err(too_large(limit));
        }
        Ok(Source {
            body,
            decompressor,
            scan,
            limit,
            seen: 0,
            idle,
            waiting: None,
            waited: Duration::ZERO,
            alarm: Alarm::default(),
            ended: false,
        })
    }

    /// The number of bytes to come, if it is known.
    pub(crate) fn announced(&self) -> Option<u64> {
        if self.decompressor.is_identity() { self.body.size_hint().exact() } else { None }
    }

    /// The next bytes; None at the end. They were looked at.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let since = *self.waiting.get_or_insert_with(Instant::now);
                    let patience = body::patience(self.idle, self.seen).saturating_sub(self.waited);
                    return match self.alarm.poll(since + patience.min(self.idle), cx) {
                        Poll::Ready(()) => Poll::Ready(Some(Err(Fault::BodyTimeout))),
                        Poll::Pending => Poll::Pending,
                    };
                }
            };
            if let Some(since) = self.waiting.take() {
                self.waited += since.elapsed();
            }
            let bytes = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.plain(&data),
                    Err(_trailers) => continue,
                },
                Some(Err(_)) => Err(Fault::BodyBroken),
                None => {
                    self.ended = true;
                    self.last()
                }
            };
            match bytes {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(self.looked_at(bytes))),
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
        }
    }

    fn plain(&mut self, data: &Bytes) -> Result<Bytes, Fault> {
        if self.decompressor.is_identity() {
            return Ok(data.clone());
        }
        let mut plain = Vec::new();
        self.decompressor.push(data, &mut plain).map_err(|fault| match fault {
            Fault::TooLarge => too_large(self.limit),
            _ => Fault::BodyBroken,
        })?;
        Ok(Bytes::from(plain))
    }

    fn last(&mut self) -> Result<Bytes, Fault> {
        let mut plain = Vec::new();
        self.decompressor.finish(&mut plain).map_err(|_| Fault::BodyBroken)?;
        Ok(Bytes::from(plain))
    }

    fn looked_at(&mut self, bytes: Bytes) -> Result<Bytes, Fault> {
        self.seen += bytes.len() as u64;
        if self.seen > self.limit {
            return Err(too_large(self.limit));
        }
        if let Some(scan) = &mut self.scan {
            scan.feed(&bytes).map_err(odd)?;
        }
        Ok(bytes)
    }

    /// Reads until the model is known, or the head of the body is full; `share` has room for it.
    ///
    /// # Cancel safety
    /// Dropping the future closes the client's connection after the next answer.
    pub(crate) async fn head(&mut self, mut share: Share) -> Result<Head, Fault> {
        let mut held: Vec<u8> = Vec::new();
        while self.scan.is_some() && self.found().is_none() && held.len() < HEAD_BYTES && !self.ended {
            match std::future::poll_fn(|cx| self.poll_next(cx)).await {
                Some(bytes) => {
                    held.extend_from_slice(&bytes?);
                    share.claim(held.len())?;
                }
                None => break,
            }
        }
        // A model that is still on its way may be a large text: it is as good as none.
        let found = self.found().filter(|found| found.range.end <= held.len() as u64).cloned();
        Ok(Head { held, found, whole: self.ended, share })
    }

    /// Reads the rest behind `head`, within `limit`.
    pub(crate) async fn rest(&mut self, head: Head, limit: usize) -> Result<(Bytes, Share), Fault> {
        let Head { held, share, .. } = self.whole(head, limit).await?;
        Ok((Bytes::from(held), share))
    }

    /// The same for a body that goes on.
    pub(crate) async fn whole(&mut self, mut head: Head, limit: usize) -> Result<Head, Fault> {
        while let Some(bytes) = std::future::poll_fn(|cx| self.poll_next(cx)).await {
            head.held.extend_from_slice(&bytes?);
            if head.held.len() > limit {
                return Err(Fault::BodyTooLarge(limit));
            }
            head.share.claim(head.held.len())?;
        }
        head.whole = true;
        Ok(head)
    }

    /// Throws away what a refused client is still sending, for a while.
    pub(crate) async fn discard(self) {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if !self.ended {
            body::discard(self.body, limit).await;
        }
    }

    fn found(&self) -> Option<&Found> {
        self.scan.as_ref().and_then(Scan::found)
    }
}

/// The beginning of a body.
pub(crate) struct Head {
    held: Vec<u8>,
    pub(crate) found: Option<Found>,
    /// There is nothing behind it.
    whole: bool,
    share: Share,
}

fn too_large(limit: u64) -> Fault {
    Fault::BodyTooLarge(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn odd(odd: Odd) -> Fault {
    let message = match odd {
        Odd::Twice => "the body names a model twice",
        Odd::Form => "the body is not multipart/form-data that can be read in one way only",
    };
    let mut refusal = interlingua_engine::Refusal::invalid(message, "model");
    refusal.code = Some("invalid_body".to_owned());
    Fault::Refused(refusal)
}

/// What the two ends of a call know of the body in between.
#[derive(Debug)]
pub(crate) struct Progress {
    last: Mutex<Instant>,
    fault: Mutex<Option<Fault>>,
}

impl Progress {
    fn new() -> Arc<Progress> {
        Arc::new(Progress { last: Mutex::new(Instant::now()), fault: Mutex::new(None) })
    }

    /// When the provider took bytes for the last time.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the body broke off, if it was the client's fault.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }
}

/// A request's body, as hyper sends it.
pub(crate) struct Upload {
    head: Bytes,
    source: Option<Box<Source>>,
    length: Option<u64>,
    progress: Arc<Progress>,
}

impl Upload {
    /// The body with `model` in the place of its own.
    pub(crate) fn new(head: Head, source: Source, model: Option<&str>) -> Upload {
        let Head { mut held, found, whole, share } = head;
        // What is announced counts from here on, as `held` was read already.
        let behind = if whole { Some(0) } else { source.announced() };
        if let (Some(found), Some(model), Some(scan)) = (found, model, &source.scan)
            && found.model != model
            && let (Ok(start), Ok(end)) =
                (usize::try_from(found.range.start), usize::try_from(found.range.end))
        {
            held.splice(start..end, scan.written(model));
        }
        let length = behind.map(|behind| held.len() as u64 + behind);
        let source = (behind != Some(0)).then(|| Box::new(source));
        Upload { head: share.hold(held), source, length, progress: Progress::new() }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// The next bytes; None at the end. The error is in `progress`.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.progress.touch();
        if !self.head.is_empty() {
            return Poll::Ready(Some(Ok(mem::take(&mut self.head))));
        }
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        match source.poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.source = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(bytes))),
            Poll::Ready(Some(Err(fault))) => {
                self.source = None;
                self.progress.fail(fault);
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }

    /// What is here of it already: all of it, if `Source::whole` read it.
    pub(crate) fn held(&self) -> Bytes {
        self.head.clone()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.head.is_empty() && self.source.is_none()
    }

    /// Its length, if it is known and nothing was taken yet.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }
}

/// A body that breaks off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body broke off")
    }
}

impl std::error::Error for Broken {}
