//! The client's body: its type, its size, its time.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::Decompressor;
use super::gather::Gathered;
use crate::alarm::Idle;
use crate::budget::Share;
use crate::respond::Fault;

/// How long the rest of a refused body is thrown away, so that the client gets to read the refusal:
/// closing a connection with unread bytes resets it, and the answer is lost.
const DISCARD: Duration = Duration::from_secs(2);

/// What every byte of a body adds to the time that all of it may take: 1 kB a second is slow, but moves.
const FOR_EACH_BYTE: Duration = Duration::from_millis(1);

/// How long a body may take of which `seen` bytes have come, if it may be silent for `idle`.
pub(crate) fn patience(idle: Duration, seen: u64) -> Duration {
    idle.saturating_add(FOR_EACH_BYTE.saturating_mul(u32::try_from(seen).unwrap_or(u32::MAX)))
}

/// JSON, or unsaid.
pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    if is_json(value.as_bytes()) { Ok(()) } else { Err(Fault::MediaType) }
}

/// A body's length stands in the head, or in its chunks. Later versions of HTTP frame bodies themselves.
pub(crate) fn check_length(head: &Parts) -> Result<(), Fault> {
    let said = head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING);
    if said || head.version > Version::HTTP_11 { Ok(()) } else { Err(Fault::NoLength) }
}

/// `application/json` or `application/*+json`, whatever its parameters.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    // As nearly everybody writes it.
    if matches!(content_type.strip_prefix(b"application/json"), Some([] | [b';', ..])) {
        return true;
    }
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let Some((kind, name)) = std::str::from_utf8(essence).ok().and_then(|essence| essence.split_once('/'))
    else {
        return false;
    };
    let suffix = name.rsplit_once('+').map_or(name, |(_, suffix)| suffix);
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

/// Reads a body of at most `limit` bytes, `idle` apart and not much slower than that, which `share` has room for. A compressed
/// one is decompressed within the same limits.
///
/// # Cancel safety
/// Dropping the future closes the client's connection after the next answer.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limit: usize,
    idle: Duration,
    share: &mut Share,
) -> Result<Bytes, Fault> {
    let mut decompressor = Decompressor::for_headers(headers.get_all(CONTENT_ENCODING), limit)
        .map_err(|_| Fault::ContentEncoding)?;
    if body.size_hint().lower() > limit as u64 {
        // Who asked first may be refused without a word; everybody else is already sending.
        if !headers.contains_key(EXPECT) {
            discard(body, limit).await;
        }
        return Err(Fault::BodyTooLarge(limit));
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    if let Err(fault) = share.claim(announced) {
        if !headers.contains_key(EXPECT) {
            discard(body, limit).await;
        }
        return Err(fault);
    }
    let begun = Instant::now();
    let mut silence = Idle::new(idle);
    let first = next(&mut body, &mut silence).await?;
    if decompressor.is_identity() && body.is_end_stream() {
        return if first.len() > limit { Err(Fault::BodyTooLarge(limit)) } else { Ok(first) };
    }
    let mut whole = Gathered::with_capacity(first.len().max(announced));
    let mut seen = first.len() as u64;
    let mut bytes = first;
    loop {
        let grown = |held| share.claim(held);
        if let Err(fault) = whole.push(&mut decompressor, &bytes, limit, grown) {
            drop(whole);
            discard(body, limit).await;
            return Err(refused(&fault, limit));
        }
        if body.is_end_stream() {
            break;
        }
        bytes = next(&mut body, &mut silence).await?;
        seen += bytes.len() as u64;
        if bytes.is_empty() {
            break;
        }
        // A byte now and then is no silence, but no body either.
        if begun.elapsed() > patience(idle, seen) {
            return Err(Fault::BodyTimeout);
        }
    }
    whole.finish(&mut decompressor, limit).map_err(|fault| refused(&fault, limit))
}

fn refused(fault: &Fault, limit: usize) -> Fault {
    match fault {
        Fault::TooLarge => Fault::BodyTooLarge(limit),
        Fault::Full => Fault::Full,
        _ => Fault::BodyBroken,
    }
}

/// The next bytes; none at the end.
async fn next(body: &mut Incoming, idle: &mut Idle) -> Result<Bytes, Fault> {
    idle.touch();
    poll_fn(|cx| {
        loop {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return idle.poll_expired(cx).map(|()| Err(Fault::BodyTimeout)),
                Poll::Ready(None) => return Poll::Ready(Ok(Bytes::new())),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Fault::BodyBroken)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Ok(data)),
                    _ => {}
                },
            }
        }
    })
    .await
}

/// Throws away at most `limit` bytes, for a short while.
pub(crate) async fn discard(mut body: Incoming, limit: usize) {
    let deadline = Instant::now() + DISCARD;
    let mut left = limit;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn json_types() {
        for value in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            " application/json ",
        ] {
            assert!(is_json(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            "json",
            "text/json",
            "text/plain",
            "application/jsonx",
            "application/x-ndjson",
            "application/json-seq",
        ] {
            assert!(!is_json(value.as_bytes()), "{value}");
        }
    }
}
