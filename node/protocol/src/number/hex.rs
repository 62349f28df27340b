//! C's hexadecimal floats (`0x1.8p-3`), which Redis accepts wherever it reads a float.

/// What a hexadecimal float says: `mantissa * 2^exponent`, and a little more if `inexact`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HexFloat {
    pub(super) mantissa: u128,
    pub(super) exponent: i64,
    /// Digits that found no room were not all zero.
    pub(super) inexact: bool,
}

/// Exponents are cut off here: far out of reach of any format, far from overflowing.
const EXPONENT_MAX: i64 = 1 << 40;

/// Reads the text behind `0x`.
pub(super) fn parse(text: &[u8]) -> Option<HexFloat> {
    let mut float = HexFloat { mantissa: 0, exponent: 0, inexact: false };
    let (mut digits, mut after_point) = (0, false);
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        if *byte == b'.' && !after_point {
            after_point = true;
        } else if let Some(digit) = char::from(*byte).to_digit(16) {
            digits += 1;
            if float.mantissa >> 124 == 0 {
                float.mantissa = float.mantissa << 4 | u128::from(digit);
                float.exponent -= 4 * i64::from(after_point);
            } else {
                float.inexact |= digit != 0;
                float.exponent += 4 * i64::from(!after_point);
            }
        } else {
            break;
        }
        rest = tail;
    }
    if digits == 0 {
        return None;
    }
    match rest {
        [] => {}
        [b'p' | b'P', exponent @ ..] => float.exponent += parse_exponent(exponent)?,
        _ => return None,
    }
    Some(float)
}

/// Reads what follows the `p` or `e` of a float: an optional sign and decimal digits. Absurd ones are cut off.
pub(super) fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0, |sum: i64, byte| (sum * 10 + i64::from(byte - b'0')).min(EXPONENT_MAX));
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_points_and_exponents() {
        let float = |mantissa, exponent| Some(HexFloat { mantissa, exponent, inexact: false });
        assert_eq!(parse(b"10"), float(16, 0));
        assert_eq!(parse(b"1.8p3"), float(24, -1));
        assert_eq!(parse(b".8P-2"), float(8, -6));
        assert_eq!(parse(b"5."), float(5, 0));
        assert_eq!(parse(b"0123456789abcdefF0"), float(0x0001_2345_6789_abcd_eff0, 0));
        assert_eq!(parse([&[b'f'; 32][..], b"0.0"].concat().as_slice()), float(u128::MAX, 4));
        assert_eq!(
            parse([&[b'f'; 32][..], b".01"].concat().as_slice()).map(|f| (f.exponent, f.inexact)),
            Some((0, true))
        );
        for text in [&b""[..], b".", b"p1", b"1p", b"1p+", b"1.2.3", b"1g", b"1p1x", b".p1"] {
            assert_eq!(parse(text), None);
        }
        assert_eq!(parse_exponent(b"-99999999999999999999999"), Some(-EXPONENT_MAX));
    }
}
