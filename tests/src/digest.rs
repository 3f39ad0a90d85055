//! Bodies compared by length and checksum, so that a body of any size can be checked without being
//! kept.

use std::fmt;

use bytes::Bytes;
use flate2::Crc;

/// Length and CRC-32 of a body. Enough to see that it is cut, doubled or changed; not meant against
/// an attacker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Number of bytes.
    pub bytes: u64,
    /// CRC-32 of them.
    pub crc: u32,
}

impl Digest {
    /// The digest of a body that is at hand.
    pub fn of(body: impl AsRef<[u8]>) -> Self {
        let mut running = Running::default();
        running.add(body.as_ref());
        running.digest()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, crc32 {:08x}", self.bytes, self.crc)
    }
}

/// The digest of a body that arrives in pieces.
#[derive(Default)]
pub struct Running {
    crc: Crc,
    bytes: u64,
}

impl Running {
    /// Adds the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.crc.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> Digest {
        Digest { bytes: self.bytes, crc: self.crc.sum() }
    }
}

/// A body of `bytes` made up on the fly, in pieces of at most 64 KiB. The same length always gives
/// the same bytes.
pub fn made_up(bytes: u64) -> impl Iterator<Item = Bytes> {
    // 64 KiB of a period (251) that does not divide it: a lost or doubled piece changes the
    // checksum.
    let block: Bytes = (0..64 * 1024).map(|i| (i % 251) as u8).collect();
    let size = block.len() as u64;
    (0..bytes.div_ceil(size)).map(move |i| block.slice(..size.min(bytes - i * size) as usize))
}
