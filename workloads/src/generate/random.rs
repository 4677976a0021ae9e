//! Random numbers that are the same on every machine and in every version.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A source of numbers.
///
/// The stream of ChaCha8 is defined; how a library maps it to ranges is not, and may change
/// with its version. So the mapping is this type's own.
#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`, or 0 when that is 0: the high half of a product, whose bias
    /// is below `bound` in 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn within(&mut self, least: i64, most: i64) -> i64 {
        least + self.below(most.abs_diff(least) + 1).cast_signed()
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of some items, which must not be none.
    pub(crate) fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Four random bytes.
    pub(crate) fn word(&mut self) -> [u8; 4] {
        self.0.next_u32().to_le_bytes()
    }

    /// Bytes that cannot be compressed.
    pub(crate) fn bytes(&mut self, length: u32) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.next_u64().to_le_bytes()[..chunk.len()]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_one_that_payloads_were_made_of() {
        let mut random = Random::new(1);
        let numbers: Vec<u64> = (0..6).map(|_| random.below(1000)).collect();
        assert_eq!(numbers, [402, 80, 596, 219, 283, 710]);
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::new(7);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            let number = random.within(-2, 2);
            seen[(number + 2) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn any_length_of_bytes_can_be_had() {
        for length in [0, 1, 7, 8, 9, 1000] {
            assert_eq!(Random::new(3).bytes(length).len(), length as usize);
        }
    }
}
