//! Signatures of texts: a few hundred bytes that say of most strings whether a text can contain them.
//!
//! A signature is a set of bits, one for each run of four bytes in the folded text, numbered by a hash. A string whose
//! runs are not all there is not in the text; one whose runs are there may be, and the text has to be looked at. So a
//! signature errs in one direction only, whatever the strings are made of: words, parts of words, signs, any script. Only
//! strings below four bytes it says nothing of.
//!
//! Signatures are as large as their text needs, in powers of two, so that the number of a bit in a small one is its
//! number in the largest with the upper bits left out. Their bits are counted as PostgreSQL's `get_bit` counts them.

/// Bytes in a run. Three would be enough for most prose; HTML is full of addresses with random letters, in which any
/// three occur sooner or later.
const RUN: usize = 4;

/// Bits of the largest signature, as a power of two: 4096 bytes, which fit a row beside what else it holds.
const LARGEST: u32 = 15;

/// Words of 64 bits in the smallest signature.
const SMALLEST: usize = 8;

/// Of so many bits in 100 at most are set, where there is a larger signature.
const FULL: usize = 40;

/// Of so many in 100 even in the largest: it would exclude nothing worth the space.
const USELESS: usize = 90;

/// Bits looked at for one string.
pub const PROBES: usize = 8;

/// Collects the runs of a text.
pub struct Builder {
    words: Vec<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { words: vec![0; (1 << LARGEST) / 64] }
    }
}

impl Builder {
    /// Takes a text, folded. What is added apart is not taken to follow.
    pub fn add(&mut self, text: &str) {
        for bit in text.as_bytes().windows(RUN).map(bit) {
            if let Some(word) = self.words.get_mut(bit as usize / 64) {
                *word |= 1 << (bit % 64);
            }
        }
    }

    /// The signature, as small as it may be; `None` for a text so long that it would say nothing.
    #[must_use]
    pub fn finish(self) -> Option<Vec<u8>> {
        let mut words = self.words;
        if percent(&words) > USELESS {
            return None;
        }
        while words.len() > SMALLEST {
            let (low, high) = words.split_at(words.len() / 2);
            let half: Vec<u64> = low.iter().zip(high).map(|(low, high)| low | high).collect();
            if percent(&half) > FULL {
                break;
            }
            words = half;
        }
        Some(words.into_iter().flat_map(u64::to_le_bytes).collect())
    }
}

fn percent(words: &[u64]) -> usize {
    let ones: usize = words.iter().map(|word| word.count_ones() as usize).sum();
    ones * 100 / (words.len() * 64)
}

/// The bit of a run, in the largest signature.
fn bit(run: &[u8]) -> u32 {
    let number = run.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    // Fibonacci hashing: the upper bits of the product depend on all of the number.
    number.wrapping_mul(0x9E37_79B1) >> (32 - LARGEST)
}

/// The bits, in the largest signature, that are set for every text with this string, folded: at most [`PROBES`], from all
/// over the string, because runs that overlap often come together. None for a string that is too short.
#[must_use]
pub fn probes(string: &str) -> Vec<u32> {
    let runs = string.len().saturating_sub(RUN - 1);
    let wanted = runs.min(PROBES);
    let at = |n: usize| if wanted > 1 { n * (runs - 1) / (wanted - 1) } else { 0 };
    let run = |n| string.as_bytes().get(at(n)..at(n) + RUN);
    (0..wanted).filter_map(run).map(bit).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signature(texts: &[&str]) -> Option<Vec<u8>> {
        let mut builder = Builder::default();
        texts.iter().for_each(|text| builder.add(text));
        builder.finish()
    }

    fn may_hold(signature: &[u8], string: &str) -> bool {
        probes(string).iter().all(|bit| {
            let bit = *bit as usize & (signature.len() * 8 - 1);
            signature[bit / 8] >> (bit % 8) & 1 == 1
        })
    }

    #[test]
    fn what_is_not_there() {
        let text = signature(&["the quick brown fox", "jumps over"]).unwrap();
        assert_eq!(text.len(), 64);
        for (string, want) in [
            ("", true),
            ("zzz", true),
            ("quick", true),
            ("k brown f", true),
            ("quack", false),
            ("quickly", false),
            ("fox jumps", false),
        ] {
            assert_eq!(may_hold(&text, string), want, "{string}");
        }
    }

    #[test]
    fn as_large_as_needed() {
        let text = |runs: usize| (0..runs).map(|n| format!("{n:x} ")).collect::<String>();
        let sizes: Vec<usize> =
            [1, 100, 1_000, 4_000].map(|n| signature(&[&text(n)]).unwrap().len()).to_vec();
        assert!(sizes.is_sorted() && sizes.iter().all(|size| size.is_power_of_two()), "{sizes:?}");
        assert_eq!((sizes[0], sizes[3]), (64, 4096));
        assert_eq!(signature(&[&text(200_000)]), None);
    }

    #[test]
    fn probes_are_from_all_over() {
        assert_eq!(probes("abc").len(), 0);
        assert_eq!(probes("äé").len(), 1);
        assert_eq!(probes("abcdefghijk").len(), 8);
        let long = probes("abcdefghijklmnopqrstuvwxyz");
        assert_eq!((long.len(), long[0], long[7]), (8, bit(b"abcd"), bit(b"wxyz")));
    }

    proptest! {
        #[test]
        fn what_is_there_may_be_there(before in ".{0,300}", string in ".{0,30}", after in ".{0,300}") {
            let text = signature(&[&format!("{before}{string}{after}")]).unwrap();
            prop_assert!(may_hold(&text, &string));
        }
    }
}
