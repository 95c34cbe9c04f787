//! The frames of a WebSocket (RFC 6455, section 5) in bytes that go by: where each begins and ends, and what kind it is.
//! Holds no payload.

/// Longest head of a frame: two bytes, eight of length, four of mask.
const MAX_HEAD: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// Where in a direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; MAX_HEAD],
    /// Bytes of the head that have come; 0 between two frames.
    have: usize,
    /// Bytes of the payload that are to come.
    left: u64,
    /// A message of text is under way, or the frame at hand is one of it.
    text: bool,
    closed: bool,
}

/// A piece of what goes by, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'b> {
    Head(&'b [u8]),
    /// Of a message of text.
    Text(&'b [u8]),
    /// Of another message, or of a frame that steers the connection.
    Other(&'b [u8]),
    /// A frame is over. `text`: and with it a message of text.
    End {
        text: bool,
    },
}

impl Frames {
    /// Cuts `bytes` into pieces.
    pub(super) fn feed<'b>(&mut self, mut bytes: &'b [u8], mut see: impl FnMut(Piece<'b>)) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let taken = self.fill(bytes);
                let (head, rest) = bytes.split_at(taken.min(bytes.len()));
                bytes = rest;
                see(Piece::Head(head));
                if self.have < self.needed() {
                    return;
                }
                self.begin();
            } else {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(length);
                bytes = rest;
                self.left -= length as u64;
                see(if self.is_text() { Piece::Text(payload) } else { Piece::Other(payload) });
            }
            if self.left == 0 {
                let last = self.head.first().is_some_and(|byte| byte & 0x80 != 0);
                see(Piece::End { text: self.is_text() && last });
                if self.is_text() && last {
                    self.text = false;
                }
                self.have = 0;
            }
        }
    }

    /// Whether a frame may begin here.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0
    }

    /// Whether this side has said that it closes.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes what belongs to the head, and says how much that is.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            if self.have >= self.needed() {
                break;
            }
            if let Some(slot) = self.head.get_mut(self.have) {
                *slot = *byte;
            }
            self.have += 1;
            taken += 1;
        }
        taken
    }

    /// Length of the head, as far as it is known.
    fn needed(&self) -> usize {
        let [_, second, ..] = self.head;
        if self.have < 2 {
            return 2;
        }
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        2 + length_bytes(second) + mask
    }

    /// The head is complete.
    fn begin(&mut self) {
        let [first, second, rest @ ..] = self.head;
        let bytes = length_bytes(second);
        let length = rest.iter().take(bytes).fold(0, |length, byte| length << 8 | u64::from(*byte));
        self.left = if bytes == 0 { u64::from(second & 0x7f) } else { length };
        match first & 0x0f {
            CONTINUATION => {}
            TEXT => self.text = true,
            CLOSE => self.closed = true,
            kind if kind < CLOSE => self.text = false,
            _ => {} // pings and pongs may stand in the middle of a message
        }
    }

    fn is_text(&self) -> bool {
        self.text && self.head.first().is_some_and(|byte| byte & 0x08 == 0)
    }
}

/// Bytes of the length behind the second byte of a head.
fn length_bytes(second: u8) -> usize {
    match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// A frame with which a server closes: a code, and why.
pub(super) fn close(code: u16, why: &str) -> Vec<u8> {
    // A frame that steers has 125 bytes at most.
    let why = why.get(..123).unwrap_or(why);
    let length = u8::try_from(why.len() + 2).unwrap_or(2);
    let why = if length == 2 { "" } else { why };
    [&[0x80 | CLOSE, length], &code.to_be_bytes()[..], why.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{Frames, Piece, close};

    /// `T` and `O` are payloads, `H` a head, `.` the end of a frame, `!` that of a text.
    fn seen(pieces: &[&[u8]]) -> (String, Frames) {
        let mut frames = Frames::default();
        let mut seen = String::new();
        for piece in pieces {
            frames.feed(piece, |piece| match piece {
                Piece::Head(bytes) => seen.push_str(&"H".repeat(bytes.len())),
                Piece::Text(bytes) => seen.push_str(&"T".repeat(bytes.len())),
                Piece::Other(bytes) => seen.push_str(&"O".repeat(bytes.len())),
                Piece::End { text } => seen.push(if text { '!' } else { '.' }),
            });
        }
        (seen, frames)
    }

    #[test]
    fn frames_of_any_split() {
        let bytes: &[u8] = &[
            0x01, 2, b'a', b'b', // a text begins
            0x89, 1, b'p', // a ping in the middle
            0x80, 0x81, 1, 2, 3, 4, b'c', // its end, masked
            0x82, 1, b'd', // bytes
            0x81, 0, // an empty text
            0x88, 2, 3, 0xe8, // the end
        ];
        let expected = "HHTT.HHO.HHHHHHT!HHO.HH!HHOO.";
        for size in 1..=bytes.len() {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let (seen, frames) = seen(&pieces);
            assert_eq!(seen, expected, "{size}");
            assert!(frames.is_between() && frames.is_closed());
        }
        assert!(!seen(&[&bytes[..3]]).1.is_between());
        assert!(!seen(&[&bytes[..19]]).1.is_closed());
    }

    #[test]
    fn lengths() {
        for (head, length) in [
            (&[0x82, 126, 1, 0][..], 256),
            (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], 65_536),
            (&[0x82, 0xfe, 0, 200, 9, 9, 9, 9][..], 200),
        ] {
            let payload = vec![b'x'; length + 1];
            let (seen, frames) = seen(&[head, &payload]);
            let expected = format!("{}{}.H", "H".repeat(head.len()), "O".repeat(length));
            assert!(seen == expected && !frames.is_between(), "{head:?}");
        }
    }

    #[test]
    fn closing() {
        assert_eq!(close(1001, "bye"), [0x88, 5, 3, 0xe9, b'b', b'y', b'e']);
        assert_eq!(close(1000, &"x".repeat(200)).len(), 127);
    }
}
