//! What a client's HTTP/2 connection carries, frame by frame: how much of it serves no request. Knows the nine bytes in front
//! of a frame (RFC 9113 section 4.1) and nothing of what is inside.
//!
//! h2 itself ends connections that reset requests before they are looked at, spread a head over many frames, or send bodies in
//! crumbs. What it answers without end are pings, settings, window updates, and resets of requests that were begun: those
//! cost no memory, but work.

use std::time::Instant;

/// What a client says first that speaks HTTP/2 without having been asked.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes in front of each frame.
const HEAD_BYTES: usize = 9;

/// Frames beside requests and bodies that a client may send at once.
const BURST: u64 = 1_000;

/// Frames beside requests and bodies that a client may send each second, on top of what follows from our answers.
const PER_SECOND: u64 = 50;

/// Frames beside requests and bodies that one piece of an answer may bring about: windows are opened again, for its stream
/// and for the connection.
const PER_PIECE: u64 = 16;

/// "Your peer is generating excessive load" (RFC 9113 section 7).
pub(crate) const CALM: u32 = 0xb;
/// "Not the result of an error".
pub(crate) const NO_ERROR: u32 = 0;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const GOAWAY: u8 = 7;

/// Follows the frames of one client.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Bytes to skip: of the preface, then of each payload.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// Bytes of `head` that are there.
    have: usize,
    /// The last request's stream.
    last: u32,
    /// Frames beside requests and bodies that may still come.
    left: u64,
    /// When `left` was filled up.
    filled: Instant,
    /// Pieces of answers for which `left` was filled up.
    pieces: u64,
}

impl Frames {
    pub(crate) fn new() -> Frames {
        Frames {
            skip: PREFACE.len(),
            head: [0; HEAD_BYTES],
            have: 0,
            last: 0,
            left: BURST,
            filled: Instant::now(),
            pieces: 0,
        }
    }

    /// Bytes of the client. `pieces` counts what it was given of answers so far. False if it sends too much that is no use.
    #[must_use]
    pub(crate) fn feed(&mut self, mut bytes: &[u8], pieces: u64) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            while let Some((first, rest)) = bytes.split_first()
                && self.skip == 0
                && self.have < HEAD_BYTES
            {
                if let Some(place) = self.head.get_mut(self.have) {
                    *place = *first;
                }
                self.have += 1;
                bytes = rest;
            }
            if self.have == HEAD_BYTES && !self.begun(pieces) {
                return false;
            }
        }
        true
    }

    /// A frame's head is there.
    fn begun(&mut self, pieces: u64) -> bool {
        self.have = 0;
        let [a, b, c, kind, _flags, s0, s1, s2, s3] = self.head;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        match kind {
            HEADERS => self.last = self.last.max(u32::from_be_bytes([s0 & 0x7f, s1, s2, s3])),
            DATA | CONTINUATION => {}
            _ => return self.spend(pieces),
        }
        true
    }

    fn spend(&mut self, pieces: u64) -> bool {
        if self.left == 0 {
            let now = Instant::now();
            let millis = u64::try_from(now.duration_since(self.filled).as_millis()).unwrap_or(u64::MAX);
            let earned = millis.saturating_mul(PER_SECOND) / 1_000;
            let caused = pieces.saturating_sub(self.pieces).saturating_mul(PER_PIECE);
            if earned > 0 {
                self.filled = now;
            }
            self.pieces = pieces;
            self.left = earned.saturating_add(caused).min(BURST);
        }
        let spent = self.left > 0;
        self.left = self.left.saturating_sub(1);
        spent
    }

    /// The frame that ends the connection.
    pub(crate) fn goaway(&self, reason: u32) -> [u8; 17] {
        let mut frame = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let payload = frame.iter_mut().skip(HEAD_BYTES);
        let bytes = self.last.to_be_bytes().into_iter().chain(reason.to_be_bytes());
        payload.zip(bytes).for_each(|(place, byte)| *place = byte);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, CALM, Frames, PER_PIECE, PREFACE};

    fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, 0, 0, 0, 0, stream][..], payload].concat()
    }

    /// Whatever the split: requests and bodies are free, everything else is counted.
    #[test]
    fn counts() {
        const PING: u8 = 6;
        let useful =
            [frame(1, 3, b"head"), frame(0, 3, b"body"), frame(9, 3, b""), frame(0, 3, b"")].concat();
        let pings = frame(PING, 0, &[0; 8]).repeat(usize::try_from(BURST).unwrap());
        for size in [1, 7, 9, 1000] {
            let mut frames = Frames::new();
            let all = [PREFACE.as_slice(), &useful.repeat(500), &pings].concat();
            assert!(all.chunks(size).all(|piece| frames.feed(piece, 0)), "{size}");
            assert_eq!(frames.goaway(CALM), [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 11]);
            // A piece of an answer pays for some more.
            let more = frame(8, 0, &[0; 4]).repeat(usize::try_from(PER_PIECE).unwrap());
            assert!(frames.feed(&more, 1), "{size}");
            // Time does, too: a flood comes faster than that.
            assert!(!frames.feed(&pings, 1), "{size}");
        }
    }
}
