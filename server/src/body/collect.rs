//! A provider's whole answer, within size and time.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::Decompressor;
use super::gather::Gathered;
use crate::alarm::Idle;
use crate::budget::Share;
use crate::respond::Fault;
use crate::upstream::UpstreamBody;

/// Reads an answer of at most `limit` bytes, `idle` apart, and decompresses it within the same limit. Waits for `share` to
/// have room for it.
///
/// # Cancel safety
/// Dropping the future closes the provider's connection.
pub(crate) async fn collect(
    mut body: UpstreamBody,
    mut decompressor: Decompressor,
    limit: usize,
    idle: Duration,
    share: &mut Share,
) -> Result<Bytes, Fault> {
    if body.announced().is_some_and(|length| length > limit as u64) {
        return Err(Fault::TooLarge);
    }
    let announced = usize::try_from(body.announced().unwrap_or(0)).unwrap_or(0);
    share.wait(announced, idle).await?;
    let mut silence = Idle::new(idle);
    let first = next(&mut body, &mut silence).await?;
    let mut chunk = match (first, decompressor.is_identity()) {
        (None, true) => return Ok(Bytes::new()),
        (first, true) if body.announced() == Some(0) => {
            let first = first.unwrap_or_default();
            next(&mut body, &mut silence).await?; // the end, so that the connection is free again
            return Ok(first);
        }
        (first, _) => first,
    };
    let mut whole = Gathered::with_capacity(chunk.as_ref().map_or(0, Bytes::len).max(announced));
    while let Some(bytes) = chunk {
        whole.push(&mut decompressor, &bytes, limit, |_| Ok(()))?;
        share.wait(whole.len(), idle).await?;
        chunk = next(&mut body, &mut silence).await?;
    }
    whole.finish(&mut decompressor, limit)
}

/// The next bytes; None at the end.
async fn next(body: &mut UpstreamBody, idle: &mut Idle) -> Result<Option<Bytes>, Fault> {
    idle.touch();
    poll_fn(|cx| match body.poll_data(cx) {
        Poll::Ready(bytes) => Poll::Ready(bytes.transpose()),
        Poll::Pending => idle.poll_expired(cx).map(|()| Err(Fault::IdleTimeout)),
    })
    .await
}
