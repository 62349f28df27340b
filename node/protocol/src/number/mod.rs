//! Numbers as Redis reads and writes them: strict integers, C's doubles, and the 80-bit floats of INCRBYFLOAT.

mod double;
mod hex;
mod long_double;
mod shortest;
mod text;

pub use double::{format_g17, parse_f64};
pub use long_double::LongDouble;
pub use shortest::{format_score, format_shortest};
pub use text::NumberText;

/// Reads a decimal integer as strictly as Redis: no `+`, no leading zeros, no `-0`, no blanks, the full range.
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        // Nineteen digits stay below 2^64: the sum below cannot overflow.
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads a number without sign in the same strict form, up to 2^63 - 1: a length or an offset.
#[must_use]
pub fn parse_length(text: &[u8]) -> Option<u64> {
    u64::try_from(parse_i64(text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        for n in [
            0,
            1,
            -1,
            9,
            10,
            12345,
            i64::MAX,
            i64::MIN,
            i64::MAX - 1,
            i64::MIN + 1,
            -1_000_000_000_000_000_000,
        ] {
            assert_eq!(parse_i64(n.to_string().as_bytes()), Some(n));
        }
        for text in [
            "",
            "-",
            "+1",
            "-0",
            "00",
            "01",
            "-01",
            " 1",
            "1 ",
            "1a",
            "a",
            "0x1",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "18446744073709551616",
            "--1",
            "1\0",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_length(b"-1"), None);
        assert_eq!(parse_length(b"9223372036854775807"), Some(i64::MAX as u64));
    }
}
