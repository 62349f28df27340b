//! LZF: runs of literal bytes, and references to at most 8 KiB back.
//!
//! The output grows with what the input really yields, up to the stated length: no allocation stands on a claim, and
//! one input byte yields at most 88 output bytes.

use super::{Bytes, Flaw};

/// The longest output of the shortest item: three bytes that refer to 264.
const EXPANSION_MAX: usize = 264 / 3;

/// Control bytes below this are counts of literal bytes, less one.
const LITERAL_RUNS: u8 = 32;

/// The length in the control byte that says that another byte adds to it.
const LONG_REFERENCE: usize = 7;

/// Decompresses to exactly `length` bytes.
pub(crate) fn decompress(compressed: &[u8], length: usize) -> Result<Vec<u8>, Flaw> {
    let mut input = Bytes::new(compressed);
    if length > compressed.len().saturating_mul(EXPANSION_MAX) {
        return Err(input.flaw("it cannot expand to the stated length"));
    }
    let mut output = Vec::new();
    while !input.is_at_end() {
        let control = input.byte()?;
        if control < LITERAL_RUNS {
            output.extend_from_slice(input.take(usize::from(control) + 1)?);
        } else {
            copy_reference(&mut input, control, &mut output)?;
        }
        if output.len() > length {
            return Err(input.flaw("it expands past the stated length"));
        }
    }
    if output.len() < length {
        return Err(input.flaw("it expands to less than the stated length"));
    }
    Ok(output)
}

fn copy_reference(input: &mut Bytes<'_>, control: u8, output: &mut Vec<u8>) -> Result<(), Flaw> {
    let mut count = usize::from(control >> 5);
    if count == LONG_REFERENCE {
        count += usize::from(input.byte()?);
    }
    count += 2;
    let distance = (usize::from(control & 0x1f) << 8 | usize::from(input.byte()?)) + 1;
    let Some(from) = output.len().checked_sub(distance) else {
        return Err(input.flaw("a reference before the beginning"));
    };
    // What is copied may begin to repeat within the copy itself.
    let mut copied = 0;
    while copied < count {
        let part = (count - copied).min(distance);
        output.extend_from_within(from + copied..from + copied + part);
        copied += part;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
    fn hostile_bytes_are_refused() {
        assert!(decompress(&[0x20, 0], 3).is_err(), "nothing to refer to");
        assert!(decompress(&[0xe0], 3).is_err(), "cut in a reference");
        assert!(decompress(&[31, 1], 3).is_err(), "cut in a run");
        assert!(decompress(&[0, 1], usize::MAX).is_err(), "a claim that nothing can meet");
        assert_eq!(decompress(&[], 0).unwrap(), b"");
    }
}
