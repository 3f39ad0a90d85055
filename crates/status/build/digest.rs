//! Digests of inlined text, as policies of browsers have them.

use sha2::{Digest as _, Sha256};

/// Returns the SHA-256 digest of a string in Base64.
pub(super) fn digest(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = Sha256::digest(text);
    let mut base64 = String::with_capacity(44);
    for chunk in digest.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, byte| (bits << 8) | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let symbol = ALPHABET.get((bits >> (18 - 6 * index)) & 63).filter(|_| index <= chunk.len());
            base64.push(symbol.map_or('=', |symbol| char::from(*symbol)));
        }
    }
    base64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_base64() {
        assert_eq!(digest(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
