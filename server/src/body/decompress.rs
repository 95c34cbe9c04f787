//! gzip, deflate, br and zstd, pushed in as the bytes arrive, each within a bound on what may come out.
//!
//! Pure Rust decoders on purpose: these bytes are from outside. What a decoder may hold is bounded
//! too: output is taken from it in small pieces, and the push stops at the first byte beyond the cap.

use std::io::{self, Write};
use std::mem;

use brotli_decompressor::DecompressorWriter;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::HeaderValue;

use super::zstd::Zstd;
use crate::respond::Fault;

/// What we tell providers that we can read.
pub(crate) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, br, zstd");

/// Size of the pieces that the brotli decoder hands out.
const PIECE_BYTES: usize = 8 * 1024;

/// Undoes a `content-encoding`.
pub(crate) struct Decompressor {
    coding: Coding,
    cap: usize,
}

enum Coding {
    Identity,
    Gzip(Box<MultiGzDecoder<Bounded>>),
    Deflate(Box<ZlibDecoder<Bounded>>),
    Brotli(Box<DecompressorWriter<Bounded>>),
    Zstd(Box<Zstd>),
}

impl Decompressor {
    /// For the values of a `content-encoding` header. `cap` bounds what `push` may make of its `out`.
    pub(crate) fn for_headers<'h>(
        values: impl IntoIterator<Item = &'h HeaderValue>,
        cap: usize,
    ) -> Result<Decompressor, Fault> {
        let mut coding = Coding::Identity;
        for value in values {
            let names = value.to_str().map_err(|_| Fault::UnknownEncoding)?;
            for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                if name.eq_ignore_ascii_case("identity") {
                    continue;
                }
                // Two codings on top of each other are legal and never seen; one is enough to defend.
                if !matches!(coding, Coding::Identity) {
                    return Err(Fault::UnknownEncoding);
                }
                coding = Coding::named(name, cap)?;
            }
        }
        Ok(Decompressor { coding, cap })
    }

    /// Whether bytes come out as they go in.
    pub(crate) fn is_identity(&self) -> bool {
        matches!(self.coding, Coding::Identity)
    }

    /// From now on `cap` bounds what `out` may become.
    pub(crate) fn allow(&mut self, cap: usize) {
        self.cap = cap;
    }

    /// Appends to `out` what `bytes` decompress to. `Fault::TooLarge` beyond the cap, `Fault::Cut` for bytes that are none.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let cap = self.cap;
        match &mut self.coding {
            Coding::Identity if bytes.len() > cap.saturating_sub(out.len()) => Err(Fault::TooLarge),
            Coding::Identity => {
                grow(out, bytes.len(), cap);
                out.extend_from_slice(bytes);
                Ok(())
            }
            Coding::Gzip(decoder) => through(decoder.as_mut(), |decoder| decoder.get_mut(), bytes, out, cap),
            Coding::Deflate(decoder) => {
                through(decoder.as_mut(), |decoder| decoder.get_mut(), bytes, out, cap)
            }
            Coding::Brotli(decoder) => {
                through(decoder.as_mut(), |decoder| decoder.get_mut(), bytes, out, cap)
            }
            Coding::Zstd(decoder) => decoder.push(bytes, out, cap),
        }
    }

    /// Appends what is left. `Fault::Cut` if the compressed data are not complete.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let done = match &mut self.coding {
            Coding::Identity => Ok(()),
            Coding::Gzip(decoder) => {
                decoder.get_mut().bytes = mem::take(out);
                let done = decoder.try_finish();
                *out = mem::take(&mut decoder.get_mut().bytes);
                done
            }
            Coding::Deflate(decoder) => {
                decoder.get_mut().bytes = mem::take(out);
                let done = decoder.try_finish();
                *out = mem::take(&mut decoder.get_mut().bytes);
                done
            }
            Coding::Brotli(decoder) => {
                decoder.get_mut().bytes = mem::take(out);
                let done = decoder.close();
                *out = mem::take(&mut decoder.get_mut().bytes);
                done
            }
            Coding::Zstd(decoder) => return decoder.finish(out, self.cap),
        };
        done.map_err(|_| Fault::Cut)
    }
}

impl Coding {
    fn named(name: &str, cap: usize) -> Result<Coding, Fault> {
        let sink = Bounded { bytes: Vec::new(), left: cap };
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Ok(Coding::Gzip(Box::new(MultiGzDecoder::new(sink)))),
            "deflate" => Ok(Coding::Deflate(Box::new(ZlibDecoder::new(sink)))),
            "br" => Ok(Coding::Brotli(Box::new(DecompressorWriter::new(sink, PIECE_BYTES)))),
            "zstd" => Ok(Coding::Zstd(Box::default())),
            _ => Err(Fault::UnknownEncoding),
        }
    }
}

fn through<W: Write>(
    decoder: &mut W,
    sink: fn(&mut W) -> &mut Bounded,
    bytes: &[u8],
    out: &mut Vec<u8>,
    cap: usize,
) -> Result<(), Fault> {
    // The decoder writes to where the bytes belong: nothing is held twice.
    sink(decoder).left = cap.saturating_sub(out.len());
    sink(decoder).bytes = mem::take(out);
    let result = decoder.write_all(bytes).and_then(|()| decoder.flush());
    let sink = sink(decoder);
    *out = mem::take(&mut sink.bytes);
    match result {
        Ok(()) => Ok(()),
        Err(_) if sink.left == 0 => Err(Fault::TooLarge),
        Err(_) => Err(Fault::Cut),
    }
}

/// Makes room for `more` bytes in twice the room, but in no more than `most`: what may be large is not held as if it were.
fn grow(out: &mut Vec<u8>, more: usize, most: usize) {
    let needed = out.len() + more;
    if needed > out.capacity() {
        let room = needed.max((out.capacity() * 2).min(most));
        out.reserve_exact(room - out.len());
    }
}

/// Takes a number of bytes and then no more.
struct Bounded {
    bytes: Vec<u8>,
    left: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.left {
            self.left = 0;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let most = self.bytes.len() + self.left;
        grow(&mut self.bytes, bytes.len(), most);
        self.left -= bytes.len();
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Decompressor;
    use crate::respond::Fault;
    use http::HeaderValue;
    use std::io::Write;

    fn run(coding: &'static str, bytes: &[u8], step: usize, cap: usize) -> Result<Vec<u8>, Fault> {
        let mut decompressor = Decompressor::for_headers([&HeaderValue::from_static(coding)], cap)?;
        let mut out = Vec::new();
        for piece in bytes.chunks(step) {
            decompressor.push(piece, &mut out)?;
        }
        decompressor.finish(&mut out)?;
        Ok(out)
    }

    fn plain() -> Vec<u8> {
        (0..5_000_u32).flat_map(|n| n.to_string().into_bytes()).collect()
    }

    fn samples() -> [(&'static str, Vec<u8>); 3] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain()).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&plain()).unwrap();
        let zstd =
            ruzstd::encoding::compress_to_vec(&plain()[..], ruzstd::encoding::CompressionLevel::Fastest);
        [("gzip", gzip.finish().unwrap()), ("deflate", zlib.finish().unwrap()), ("zstd", zstd)]
    }

    #[test]
    fn whole_and_in_pieces() {
        for (coding, bytes) in samples() {
            for step in [1, 7, 1000, bytes.len()] {
                assert_eq!(run(coding, &bytes, step, 1 << 20).unwrap(), plain(), "{coding} {step}");
            }
        }
        // `brotli -q 1`-like literal: "hello\n", from the decoder's own tests.
        let brotli = b"\x8f\x02\x80\x68\x65\x6c\x6c\x6f\x0a\x03";
        for step in [1, 10] {
            assert_eq!(run("br", brotli, step, 100).unwrap(), b"hello\n");
        }
    }

    #[test]
    fn bounded_and_complete() {
        for (coding, bytes) in samples() {
            assert!(matches!(run(coding, &bytes, bytes.len(), 1000), Err(Fault::TooLarge)), "{coding}");
            let cut = &bytes[..bytes.len() / 2];
            assert!(matches!(run(coding, cut, 100, 1 << 20), Err(Fault::Cut)), "{coding}");
            assert!(
                matches!(run(coding, b"these bytes are none", 100, 1 << 20), Err(Fault::Cut)),
                "{coding}"
            );
        }
        assert!(matches!(run("gzip, br", b"", 1, 1), Err(Fault::UnknownEncoding)));
        assert_eq!(run("identity", b"abc", 1, 10).unwrap(), b"abc");
    }
}
