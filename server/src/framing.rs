//! Where a client's requests begin and end, looked at before hyper does. A head whose end is a matter of
//! taste is spoilt here, so that hyper refuses it with a 400 and closes the connection.
//!
//! hyper forgives, as it may, a length beside `transfer-encoding`, a length that is said twice, and lines
//! that end in LF alone. What stands in front of the gateway may forgive it in another way, and then the
//! end of one client's body is the beginning of another client's request.

/// Longest part of a line that is kept; a length or coding that is longer is none.
const LINE_BYTES: usize = 256;

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// To a start line, or to an empty line in front of it.
    #[default]
    Start,
    Header,
    /// To a body of which so many bytes are left.
    Body(u64),
    /// To the line with a chunk's size.
    Size,
    /// To a chunk, or to the line end behind it.
    Chunk(u64),
    Trailer,
    /// To something that hyper refuses, or to another version of HTTP.
    Blind,
}

/// How far one connection is.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    /// The last byte of it so far.
    last: u8,
    /// What the head says of its body.
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    /// It is HTTP/1.1.
    modern: bool,
}

impl Framing {
    /// Whether all of the last request has come, and it is one of HTTP/1.1: older ones know no interim answers.
    pub(crate) fn is_whole(&self) -> bool {
        self.state == State::Start && self.modern && self.line.is_empty()
    }

    /// Looks at the next bytes, to the end of a request or of what there is; how many that were. Spoils the line that makes a
    /// request ambiguous.
    #[must_use]
    pub(crate) fn look(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        loop {
            let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) else { return at };
            let began = self.state != State::Start;
            at += match self.state {
                State::Blind => return at + rest.len(),
                State::Body(left) => {
                    let (used, left) = skip(left, rest.len());
                    self.state = if left == 0 { State::Start } else { State::Body(left) };
                    used
                }
                State::Chunk(left) => {
                    let (used, left) = skip(left, rest.len());
                    self.state = if left == 0 { State::Size } else { State::Chunk(left) };
                    used
                }
                State::Start | State::Header | State::Size | State::Trailer => self.read_line(rest),
            };
            if began && self.state == State::Start {
                return at;
            }
        }
    }

    /// Reads to the end of a line, if it is there; how many bytes that were.
    fn read_line(&mut self, rest: &mut [u8]) -> usize {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.keep(rest);
            return rest.len();
        };
        let (line, tail) = rest.split_at_mut(end);
        let before = line.last().copied().unwrap_or(self.last);
        let crlf = before == b'\r';
        // In trailers hyper takes an LF alone for a part of the line.
        if !crlf && self.state == State::Trailer {
            self.keep(line);
            self.last = b'\n';
            self.push(b'\n');
            return end + 1;
        }
        let sound = crlf && {
            if self.line.is_empty() {
                let line = line.get(..line.len().saturating_sub(1)).unwrap_or_default();
                self.end_line(line)
            } else {
                self.keep(line);
                let kept = std::mem::take(&mut self.line);
                let sound = self.end_line(kept.strip_suffix(b"\r").unwrap_or(&kept));
                self.line = kept;
                sound
            }
        };
        self.line.clear();
        self.last = 0;
        if !sound {
            self.state = State::Blind;
            if let Some(byte) = tail.first_mut() {
                *byte = 0; // no line of a head may hold it
            }
        }
        end + 1
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn push(&mut self, byte: u8) {
        if self.line.len() < LINE_BYTES {
            self.line.push(byte);
        }
    }

    /// Takes a line without its end; false if it must not be.
    fn end_line(&mut self, line: &[u8]) -> bool {
        match self.state {
            State::Start if line.is_empty() => {}
            State::Start => {
                self.state = if line.starts_with(b"PRI * HTTP/2") { State::Blind } else { State::Header };
                (self.length, self.coded, self.chunked) = (None, false, false);
                self.modern = line.ends_with(b" HTTP/1.1");
            }
            State::Header if line.is_empty() => {
                self.state = match self.length {
                    _ if self.chunked => State::Size,
                    Some(length) if length > 0 => State::Body(length),
                    _ => State::Start,
                };
            }
            State::Header => return self.header(line),
            State::Size => {
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                self.state = match number(line.get(..digits).unwrap_or_default(), 16) {
                    Some(0) => State::Trailer,
                    // The chunk and the line end behind it.
                    Some(size) => size.checked_add(2).map_or(State::Blind, State::Chunk),
                    None => State::Blind,
                };
            }
            State::Trailer if line.is_empty() => self.state = State::Start,
            State::Trailer | State::Body(_) | State::Chunk(_) | State::Blind => {}
        }
        true
    }

    /// Takes a header; false if another one says already where the body ends.
    fn header(&mut self, line: &[u8]) -> bool {
        // Most headers are neither of the two.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return true;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.coded || self.length.is_some() || line.len() >= LINE_BYTES {
                return false;
            }
            self.length = number(value, 10);
            // hyper refuses what is no number.
            if self.length.is_none() {
                self.state = State::Blind;
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.coded || self.length.is_some() || line.len() >= LINE_BYTES {
                return false;
            }
            self.coded = true;
            let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            let mut codings = value.rsplit(|byte| *byte == b',');
            self.chunked = codings.next().is_some_and(is_chunked);
            return !codings.any(is_chunked);
        }
        true
    }
}

/// How many of `left` bytes are among `there`, and how many are left then.
fn skip(left: u64, there: usize) -> (usize, u64) {
    let used = usize::try_from(left).unwrap_or(usize::MAX).min(there);
    (used, left - used as u64)
}

/// A number that is digits and nothing else.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let mut number: u64 = 0;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        number = number.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))?;
    }
    (!digits.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{Framing, State};

    /// What becomes of bytes that come in pieces of `size`.
    fn seen(bytes: &[u8], size: usize) -> (Vec<u8>, State) {
        let mut framing = Framing::default();
        let mut bytes = bytes.to_vec();
        for mut piece in bytes.chunks_mut(size) {
            while !piece.is_empty() {
                let looked = framing.look(piece);
                piece = &mut piece[looked..];
            }
        }
        (bytes, framing.state)
    }

    fn check(requests: &[&str], sound: bool) {
        let bytes = requests.concat().into_bytes();
        for size in [1, 2, 3, 7, 64, bytes.len()] {
            let (after, state) = seen(&bytes, size);
            if sound {
                assert_eq!((after == bytes, state), (true, State::Start), "{requests:?} by {size}");
            } else {
                let spoilt = after.iter().filter(|byte| **byte == 0).count();
                assert_eq!((spoilt, state), (1, State::Blind), "{requests:?} by {size}");
            }
        }
    }

    #[test]
    fn sound_requests_stay_as_they_are() {
        let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let long = format!("POST / HTTP/1.1\r\nx: {}\r\nContent-Length:  3 \r\n\r\n{{\n}}", "y".repeat(5000));
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\na\n\r\nb\r\nA\r\n0123456789\r\n0\r\n\r\n";
        let trailers =
            "POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\na: b\r\nc\n: d\r\n\r\n";
        for requests in [
            &[get][..],
            &[get, get],
            &["\r\n", get],
            &[&long, get],
            &[chunked, get],
            &[trailers, get],
            &[chunked, &long, trailers, get],
        ] {
            check(requests, true);
        }
    }

    #[test]
    fn requests_end_where_they_end() {
        let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let post = "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
        let chunked = "\r\nPOST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        let mut framing = Framing::default();
        let mut bytes = [get, post, chunked, get].concat().into_bytes();
        let mut rest = bytes.as_mut_slice();
        for request in [get, post, chunked, get] {
            assert_eq!(framing.look(rest), request.len(), "{request}");
            rest = &mut rest[request.len()..];
        }
    }

    #[test]
    fn ambiguous_ones_are_spoilt() {
        let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        for head in [
            "content-length: 3\r\ncontent-length: 3\r\n",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\nx: y\r\nContent-Length: 3\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked, chunked\r\n",
            "x: y\n",
        ] {
            let post = format!("POST / HTTP/1.1\r\n{head}\r\n");
            check(&[&post], false);
            check(&[get, "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nab", &post], false);
        }
        check(&["GET / HTTP/1.1\n"], false);
    }

    #[test]
    fn another_version_is_none_of_its_business() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nx\ny\n";
        assert_eq!(seen(preface, 5), (preface.to_vec(), State::Blind));
    }
}
