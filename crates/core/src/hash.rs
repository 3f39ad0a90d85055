//! The hash function of keys: part of the format, so that it never changes.
//!
//! All isolates, hosts and versions must agree on it, so it is all integers.

/// Returns the hash of a key, computed from eight bytes at a time. It never changes, since it is
/// part of the format.
pub const fn key(bytes: &[u8]) -> u64 {
    // Words are padded or overlap, so the length is hashed, too.
    let mut hash = 0x2d35_8dcc_aa6c_78a5 ^ (bytes.len() as u64).rotate_right(8);
    let mut rest = bytes;
    while let Some((word, tail)) = rest.split_first_chunk()
        && !tail.is_empty()
    {
        hash = fold(hash ^ u64::from_le_bytes(*word));
        rest = tail;
    }
    mix(hash ^ last_word(bytes))
}

/// Returns the last eight bytes, or all bytes if there are fewer.
const fn last_word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.last_chunk() {
        return u64::from_le_bytes(*word);
    }
    let (mut word, mut rest) = (0, bytes);
    while let [byte, tail @ ..] = rest {
        word = (word << 8) | *byte as u64;
        rest = tail;
    }
    word
}

/// Returns a number in `0.0..1.0` that depends on a key and a server, independent of their score.
pub(crate) fn unit_hash(key: u64, server: u64) -> f64 {
    (mix(mix(key ^ server) ^ server) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Hashes the combination of a key and a server, which are hashes already, by folding a product as
/// wyhash does (Wang Yi, 2019). It runs for every server, so it does half the work of [`mix`].
pub(crate) const fn fold(combined: u64) -> u64 {
    let product = combined as u128 * 0x9e37_79b9_7f4a_7c15;
    (product as u64) ^ (product >> 64) as u64
}

/// Stafford's "Mix13" finalizer of MurmurHash3.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Rng;

    #[test]
    fn keys_never_change() {
        assert_eq!(key(b""), 0x196d_3564_d8c2_5634);
        assert_eq!(key(b"a"), 0x3e98_6d52_e9f7_c2f2);
        assert_eq!(key(b"12345678"), 0x44a2_8bdb_6ebf_6989);
        assert_eq!(key(b"203.0.113.7"), 0x14e5_82b6_cd7f_8a2d);
        assert_eq!(key(b"2001:db8:85a3:8d3:1319:8a2e:370:7348"), 0x46de_5ba0_3447_9c8c);
    }

    #[test]
    fn keys_of_all_lengths_differ() {
        // Includes keys whose words differ only by padding or overlap.
        let inputs = (0..100).flat_map(|len| [vec![0; len], vec![b'a'; len], vec![0xff; len]]);
        let keys: BTreeSet<u64> = inputs.map(|input| key(&input)).collect();
        assert_eq!(keys.len(), 298, "three of the 300 inputs are empty");
    }

    /// The avalanche criterion: when a bit of the input flips, each bit of the key flips with a
    /// probability of one half.
    #[test]
    fn every_input_bit_affects_the_key() {
        const INPUTS: usize = 256;
        let mut rng = Rng::new(1);
        for len in [3, 4, 7, 8, 9, 11, 15, 16, 17, 39] {
            let mut flips = vec![[0_usize; 64]; len * 8];
            for _ in 0..INPUTS {
                let mut input: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
                let before = key(&input);
                for (bit, flips) in flips.iter_mut().enumerate() {
                    input[bit / 8] ^= 1 << (bit % 8);
                    let changed = before ^ key(&input);
                    flips.iter_mut().enumerate().for_each(|(bit, flips)| *flips += (changed >> bit) as usize & 1);
                    input[bit / 8] ^= 1 << (bit % 8);
                }
            }
            // Six standard deviations.
            let off = flips.iter().flatten().map(|flips| flips.abs_diff(INPUTS / 2)).max();
            assert!(off < Some(48), "{len} bytes: {off:?} from {}", INPUTS / 2);
        }
    }

    #[test]
    fn addresses_are_distributed_uniformly() {
        let (mut low, mut high, mut keys) = ([0_i64; 64], [0_i64; 64], BTreeSet::new());
        for n in 0..0x1_0000 {
            let key = key(format!("10.1.{}.{}", n >> 8, n & 0xff).as_bytes());
            low[(key % 64) as usize] += 1;
            high[(key >> 58) as usize] += 1;
            keys.insert(key);
        }
        assert_eq!(keys.len(), 0x1_0000);
        for counts in [low, high] {
            let chi_square: i64 = counts.iter().map(|count| (count - 1024).pow(2)).sum::<i64>() / 1024;
            assert!((25..125).contains(&chi_square), "63 are expected: {chi_square}");
        }
    }
}
