//! Bytes that come one after the other and are wanted as one, of a length that nobody said.
//!
//! A buffer that grows holds its old half beside the new one, and the allocator keeps for a while what it gave up: several
//! times what arrived. Blocks stay where they are, and are joined once, if all of them have come.

use std::mem;

use bytes::Bytes;

use super::Decompressor;
use crate::respond::Fault;

/// What is gathered before another block is begun.
const BLOCK_BYTES: usize = 256 * 1024;

/// Compressed bytes that are unfolded at a time: to about a block, if they are no bomb of the rarest kind.
const PACKED_BYTES: usize = 1024;

/// What has come so far.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    full: Vec<Vec<u8>>,
    /// Bytes in `full`.
    held: usize,
    last: Vec<u8>,
}

impl Gathered {
    /// `expected` bytes will come, if that is known: then there is one block.
    pub(crate) fn with_capacity(expected: usize) -> Gathered {
        Gathered { last: Vec::with_capacity(expected), ..Gathered::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.held + self.last.len()
    }

    /// Appends what `bytes` decompress to, at most `limit` in all. `grown` is told how many there are after each piece.
    pub(crate) fn push(
        &mut self,
        decompressor: &mut Decompressor,
        bytes: &[u8],
        limit: usize,
        mut grown: impl FnMut(usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.make_room();
            // Blocks are filled; what compressed bytes become may be more than there is room for.
            let size = if decompressor.is_identity() { room } else { PACKED_BYTES };
            let (piece, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            rest = after;
            decompressor.allow(limit.saturating_sub(self.held));
            decompressor.push(piece, &mut self.last)?;
            grown(self.len())?;
        }
        Ok(())
    }

    /// Appends what is left, if the compressed data are complete.
    pub(crate) fn finish(mut self, decompressor: &mut Decompressor, limit: usize) -> Result<Bytes, Fault> {
        decompressor.allow(limit.saturating_sub(self.held));
        decompressor.finish(&mut self.last)?;
        if self.full.is_empty() {
            return Ok(Bytes::from(self.last));
        }
        let mut whole = Vec::with_capacity(self.len());
        for block in self.full.into_iter().chain([self.last]) {
            whole.extend_from_slice(&block);
        }
        Ok(Bytes::from(whole))
    }

    /// Begins another block if this one is full; how much it can take.
    fn make_room(&mut self) -> usize {
        let room = self.last.capacity().max(BLOCK_BYTES).saturating_sub(self.last.len());
        if room > 0 {
            return room;
        }
        let block = mem::replace(&mut self.last, Vec::with_capacity(BLOCK_BYTES));
        self.held += block.len();
        self.full.push(block);
        BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, Gathered};
    use crate::body::Decompressor;
    use crate::respond::Fault;

    fn gather(expected: usize, size: usize, limit: usize) -> Result<(Vec<u8>, usize), Fault> {
        let bytes: Vec<u8> = (0..3 * BLOCK_BYTES + 10).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut decompressor = Decompressor::for_headers([], limit)?;
        let mut gathered = Gathered::with_capacity(expected);
        let mut seen = 0;
        for piece in bytes.chunks(size) {
            let mut grown = |now| {
                seen = now;
                Ok(())
            };
            gathered.push(&mut decompressor, piece, limit, &mut grown)?;
        }
        assert_eq!((seen, gathered.len()), (bytes.len(), bytes.len()));
        let blocks = gathered.full.len();
        assert_eq!(gathered.finish(&mut decompressor, limit)?, bytes);
        Ok((bytes, blocks))
    }

    #[test]
    fn blocks_become_one() {
        let length = 3 * BLOCK_BYTES + 10;
        for size in [1000, BLOCK_BYTES, BLOCK_BYTES + 1, length] {
            let (_, blocks) = gather(0, size, length).unwrap();
            assert!((2..=3).contains(&blocks), "{blocks} by {size}");
            // What was announced is one block, and nothing is copied.
            assert_eq!(gather(length, size, length).unwrap().1, 0);
            assert!(matches!(gather(0, size, length - 1), Err(Fault::TooLarge)), "{size}");
            assert!(matches!(gather(length, size, BLOCK_BYTES), Err(Fault::TooLarge)), "{size}");
        }
    }
}
