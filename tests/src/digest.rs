//! Length and checksum of a body, so that a body of any size can be compared without a copy.

use std::fmt;

use bytes::Bytes;
use flate2::Crc;

/// Length and CRC-32 of a body. Detects truncated, duplicated and changed bytes, but no attacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Number of bytes.
    pub bytes: u64,
    /// CRC-32 of the bytes.
    pub crc: u32,
}

impl Digest {
    /// Computes the digest of a complete body.
    pub fn of(body: impl AsRef<[u8]>) -> Self {
        let mut running = RunningDigest::default();
        running.add(body.as_ref());
        running.digest()
    }

    /// Computes the digest of a [`generated`] body.
    pub fn of_generated(bytes: u64) -> Self {
        let mut running = RunningDigest::default();
        generated(bytes).for_each(|piece| running.add(&piece));
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
pub struct RunningDigest {
    crc: Crc,
    bytes: u64,
}

impl RunningDigest {
    /// Adds the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.crc.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// Returns the digest of all pieces so far.
    pub fn digest(&self) -> Digest {
        Digest { bytes: self.bytes, crc: self.crc.sum() }
    }
}

/// Generates a body of `bytes` in pieces of at most 64 KiB. The same length results in the same
/// bytes.
pub fn generated(bytes: u64) -> impl Iterator<Item = Bytes> {
    // The period 251 does not divide 64 KiB, so a lost or duplicated piece changes the checksum.
    let block: Bytes = (0..64 * 1024).map(|i| (i % 251) as u8).collect();
    let size = block.len() as u64;
    (0..bytes.div_ceil(size)).map(move |i| block.slice(..size.min(bytes - i * size) as usize))
}
