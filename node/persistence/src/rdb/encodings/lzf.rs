//! LZF both ways: runs of literal bytes, and references to at most 8 KiB back.
//!
//! Decompressing: one input byte yields at most 88 output bytes, so no allocation stands on a claim alone.

use super::{Bytes, Flaw};

/// The longest run of literal bytes in one item.
const LITERALS_MAX: usize = 32;

/// How far back a reference reaches.
const DISTANCE_MAX: usize = 1 << 13;

/// The shortest and the longest that a reference stands for.
const REFERENCE_MIN: usize = 3;
const REFERENCE_MAX: usize = 264;

/// Places remembered, by the hash of the three bytes there: as many as stay in the first cache.
const PLACES: usize = 1 << 13;

/// After so many places in a row where nothing repeats, steps grow by one: what does not compress is passed quickly.
const PATIENCE: usize = 32;

/// The longest output of the shortest item: three bytes that refer to 264.
const EXPANSION_MAX: usize = 264 / 3;

/// Control bytes below this are counts of literal bytes, less one.
const LITERAL_RUNS: u8 = 32;

/// The length in the control byte that says that another byte adds to it.
const LONG_REFERENCE: usize = 7;

/// Decompresses to exactly `length` bytes, which are what `output` holds then.
pub(crate) fn decompress(compressed: &[u8], length: usize, output: &mut Vec<u8>) -> Result<(), Flaw> {
    let mut input = Bytes::new(compressed);
    if length > compressed.len().saturating_mul(EXPANSION_MAX) {
        return Err(input.flaw("it cannot expand to the stated length"));
    }
    output.clear();
    output.resize(length, 0);
    let mut filled = 0;
    while !input.is_at_end() {
        let control = input.byte()?;
        if control < LITERAL_RUNS {
            let literals = input.take(usize::from(control) + 1)?;
            let Some(place) = output.get_mut(filled..filled + literals.len()) else {
                return Err(input.flaw("it expands past the stated length"));
            };
            place.copy_from_slice(literals);
            filled += literals.len();
        } else {
            filled += copy_reference(&mut input, control, output, filled)?;
        }
    }
    if filled < length {
        return Err(input.flaw("it expands to less than the stated length"));
    }
    Ok(())
}

/// What compressing keeps from one string to the next: the table costs more to clear than a short string to compress,
/// so places are numbered through all strings instead.
pub(crate) struct Compressor {
    /// Where three bytes with this hash were seen last, as a number of [`Self::begin`]'s kind.
    places: Box<[u32; PLACES]>,
    /// The number of the first byte of the string at hand; what is below belongs to strings before.
    begin: u32,
    output: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new() -> Self {
        Self { places: Box::new([0; PLACES]), begin: 1, output: Vec::new() }
    }

    /// The string compressed, if that takes less than `limit` bytes.
    pub(crate) fn compress(&mut self, input: &[u8], limit: usize) -> Option<&[u8]> {
        let length = u32::try_from(input.len()).ok()?;
        if self.begin.checked_add(length).is_none() {
            self.places.fill(0);
            self.begin = 1;
        }
        self.output.clear();
        let (mut at, mut literals_from, mut misses) = (0, 0, 0);
        while at + REFERENCE_MIN <= input.len() {
            let Some(from) = self.seen_before(input, at) else {
                at += 1 + misses / PATIENCE;
                misses += 1;
                continue;
            };
            misses = 0;
            put_literals(&mut self.output, &input[literals_from..at]);
            let count = common_length(&input[from..], &input[at..]);
            put_reference(&mut self.output, at - from, count);
            if self.output.len() >= limit {
                break;
            }
            at += count;
            literals_from = at;
        }
        self.begin += length;
        put_literals(&mut self.output, &input[literals_from..]);
        (self.output.len() < limit).then_some(&self.output)
    }

    /// Where the three bytes at `at` stood before, near enough for a reference. They are remembered.
    fn seen_before(&mut self, input: &[u8], at: usize) -> Option<usize> {
        let three = &input[at..at + REFERENCE_MIN];
        let number = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        let slot = &mut self.places[(number.wrapping_mul(0x9e37_79b1) >> 19) as usize];
        let seen = std::mem::replace(slot, self.begin + at as u32);
        let from = seen.checked_sub(self.begin)? as usize;
        (at - from <= DISTANCE_MAX && input[from..from + REFERENCE_MIN] == *three).then_some(from)
    }
}

/// How many bytes two places have in common, as far as a reference can say. `from` reaches at least as far.
fn common_length(from: &[u8], at: &[u8]) -> usize {
    let max = at.len().min(REFERENCE_MAX);
    let ((from_words, from_rest), (words, rest)) = (from[..max].as_chunks(), at[..max].as_chunks());
    for (place, (a, b)) in from_words.iter().zip(words).enumerate() {
        let differing: u64 = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return 8 * place + (differing.trailing_zeros() / 8) as usize;
        }
    }
    8 * words.len() + from_rest.iter().zip(rest).take_while(|(a, b)| a == b).count()
}

fn put_literals(output: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        output.push(run.len() as u8 - 1);
        output.extend_from_slice(run);
    }
}

fn put_reference(output: &mut Vec<u8>, distance: usize, count: usize) {
    let (distance, count) = (distance - 1, count - 2);
    let high = (distance >> 8) as u8;
    if count < LONG_REFERENCE {
        output.push((count << 5) as u8 | high);
    } else {
        output.extend_from_slice(&[(LONG_REFERENCE << 5) as u8 | high, (count - LONG_REFERENCE) as u8]);
    }
    output.push(distance as u8);
}

/// Copies what a reference stands for behind the `filled` bytes; returns how many more there are.
fn copy_reference(
    input: &mut Bytes<'_>,
    control: u8,
    output: &mut [u8],
    filled: usize,
) -> Result<usize, Flaw> {
    let mut count = usize::from(control >> 5);
    if count == LONG_REFERENCE {
        count += usize::from(input.byte()?);
    }
    count += 2;
    let distance = (usize::from(control & 0x1f) << 8 | usize::from(input.byte()?)) + 1;
    let Some(from) = filled.checked_sub(distance) else {
        return Err(input.flaw("a reference before the beginning"));
    };
    if filled + count > output.len() {
        return Err(input.flaw("it expands past the stated length"));
    }
    // What is copied may begin to repeat within the copy itself: each step has twice as much to copy from.
    let mut copied = 0;
    while copied < count {
        let part = (count - copied).min(distance + copied);
        output.copy_within(from..from + part, filled + copied);
        copied += part;
    }
    Ok(count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decompress(compressed: &[u8], length: usize) -> Result<Vec<u8>, Flaw> {
        let mut output = b"what was there before".to_vec();
        super::decompress(compressed, length, &mut output).map(|()| output)
    }

    #[test]
    fn references_may_repeat_themselves() {
        // "ab", then 8 bytes from 2 back.
        assert_eq!(decompress(&[1, b'a', b'b', 6 << 5, 1], 10).unwrap(), b"ababababab");
        // "x", then 264 bytes from 1 back.
        assert_eq!(decompress(&[0, b'x', 0xe0, 255, 0], 265).unwrap(), vec![b'x'; 265]);
    }

    #[test]
    fn it_undoes_what_another_encoder_does() {
        let mut state = 1_u64;
        for length in [30, 300, 5000, 70_000] {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    b"aaab"[(state >> 62) as usize]
                })
                .collect();
            let compressed = lzf::compress(&bytes).unwrap();
            assert_eq!(decompress(&compressed, length).unwrap(), bytes);
            assert!(decompress(&compressed, length - 1).is_err());
            assert!(decompress(&compressed, length + 1).is_err());
            for cut in 0..compressed.len().min(400) {
                assert!(decompress(&compressed[..cut], length).is_err());
            }
        }
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let mut state = 5_u64;
        let mut random = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let mut compressor = Compressor::new();
        // So that the numbers of places run out on the way.
        compressor.begin = u32::MAX - 100_000;
        let mut shorter = 0;
        for round in 0..3000 {
            let (length, letters) = (random(if round % 100 == 0 { 50_000 } else { 300 }), 1 + random(20));
            let mut bytes: Vec<u8> = Vec::new();
            while bytes.len() < length {
                if bytes.is_empty() || random(4) > 0 {
                    bytes.push(random(letters) as u8);
                } else {
                    let from = random(bytes.len());
                    let until = bytes.len().min(from + random(400));
                    bytes.extend_from_within(from..until);
                }
            }
            let Some(compressed) = compressor.compress(&bytes, bytes.len()) else { continue };
            assert!(compressed.len() < bytes.len());
            assert_eq!(decompress(compressed, bytes.len()).unwrap(), bytes);
            assert_eq!(
                lzf::decompress(compressed, bytes.len()).unwrap(),
                bytes,
                "as another decoder reads it"
            );
            shorter += 1;
        }
        assert!(shorter > 2000, "{shorter}");
    }

    #[test]
    fn what_does_not_get_shorter_is_not_compressed() {
        let mut compressor = Compressor::new();
        let bytes: Vec<u8> = (0..=255).collect();
        assert!(compressor.compress(&bytes, bytes.len()).is_none());
        assert!(compressor.compress(b"", 0).is_none());
        assert!(compressor.compress(b"ab", 2).is_none());
        assert_eq!(compressor.compress(&[b'x'; 265], 265).unwrap(), [0, b'x', 0xe0, 255, 0]);
    }

    #[test]
    fn hostile_bytes_are_refused() {
        assert!(decompress(&[0x20, 0], 3).is_err(), "nothing to refer to");
        assert!(decompress(&[0xe0], 3).is_err(), "cut in a reference");
        assert!(decompress(&[31, 1], 3).is_err(), "cut in a run");
        assert!(decompress(&[0, 1], usize::MAX).is_err(), "a claim that nothing can meet");
        assert_eq!(decompress(&[], 0).unwrap(), b"");
    }
}
