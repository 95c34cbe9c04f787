//! zstd, block by block (RFC 8878): the frame and block headers are read here, so that the decoder
//! never gets more than one block at a time and cannot unfold a bomb in one call.
//!
//! The decoder gives bytes away when they leave its window, so a stream in zstd arrives late (we do
//! not ask for it, and no provider is known to send it), but whole.

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::respond::Fault;

/// Magic number and the longest frame header (RFC 8878, 3.1.1).
const FRAME_HEADER_BYTES: usize = 18;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Block header (RFC 8878, 3.1.1.2).
const BLOCK_HEADER_BYTES: usize = 3;

/// Content checksum behind the last block.
const CHECKSUM_BYTES: usize = 4;

/// Largest window of the `zstd` content coding (RFC 9659, 3): what a decoder has to remember.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

/// A frame that is being read.
#[derive(Default)]
pub(crate) struct Zstd {
    decoder: FrameDecoder,
    pending: Vec<u8>,
    started: bool,
    checksum: bool,
}

impl Zstd {
    /// As `Decompressor::push`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, cap: usize) -> Result<(), Fault> {
        if self.started && self.decoder.is_finished() {
            return Ok(()); // what follows the frame is nobody's
        }
        self.pending.extend_from_slice(bytes);
        if !self.started && self.pending.len() < FRAME_HEADER_BYTES {
            return Ok(());
        }
        self.run(out, cap)
    }

    /// As `Decompressor::finish`.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, cap: usize) -> Result<(), Fault> {
        self.run(out, cap)?;
        if self.decoder.is_finished() { Ok(()) } else { Err(Fault::Cut) }
    }

    fn run(&mut self, out: &mut Vec<u8>, cap: usize) -> Result<(), Fault> {
        let bound = cap;
        let mut used = 0;
        if !self.started {
            used = self.start(cap)?;
        }
        while !self.decoder.is_finished() {
            let rest = self.pending.get(used..).unwrap_or_default();
            let Some(length) = block_length(rest, self.checksum) else { break };
            let Some(mut block) = rest.get(..length) else { break };
            self.decoder
                .decode_blocks(&mut block, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(|_| Fault::Cut)?;
            used += length;
            self.decoder.collect_to_writer(&mut *out).map_err(|_| Fault::Cut)?;
            if out.len() > bound {
                return Err(Fault::TooLarge);
            }
        }
        self.pending.drain(..used.min(self.pending.len()));
        Ok(())
    }

    /// Reads the frame header; how many bytes it had.
    fn start(&mut self, cap: usize) -> Result<usize, Fault> {
        let mut header = self.pending.as_slice();
        // The descriptor stands right behind the magic number, the window's (if any) behind it.
        let descriptor = header.get(4).copied().unwrap_or_default();
        let window = header.get(5).copied().unwrap_or_default();
        let single_segment = descriptor & 0b10_0000 != 0;
        self.checksum = descriptor & 0b100 != 0;
        if header.starts_with(&MAGIC) && !single_segment && window_bytes(window) > MAX_WINDOW_BYTES {
            return Err(Fault::TooLarge); // the decoder has bounds of its own, and no word for this one
        }
        self.decoder.reset(&mut header).map_err(|_| Fault::Cut)?;
        let memory = if single_segment { self.decoder.content_size() } else { window_bytes(window) };
        let allowed = if single_segment { cap as u64 } else { MAX_WINDOW_BYTES };
        if memory > allowed {
            return Err(Fault::TooLarge);
        }
        self.started = true;
        Ok(self.pending.len() - header.len())
    }
}

/// The window that a window descriptor asks for (RFC 8878, 3.1.1.1.2).
fn window_bytes(descriptor: u8) -> u64 {
    let base = 1_u64 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 0b111)
}

/// Length of the block at the front of `bytes`, header and checksum included; None if the header is not complete.
fn block_length(bytes: &[u8], checksum: bool) -> Option<usize> {
    let [a, b, c] = *bytes.first_chunk::<BLOCK_HEADER_BYTES>()?;
    let header = u32::from_le_bytes([a, b, c, 0]);
    let last = header & 1 == 1;
    let size = usize::try_from(header >> 3).ok()?;
    // A run-length block holds one byte, whatever size it unfolds to.
    let content = if (header >> 1) & 0b11 == 1 { 1 } else { size };
    let tail = if last && checksum { CHECKSUM_BYTES } else { 0 };
    Some(BLOCK_HEADER_BYTES + content + tail)
}
