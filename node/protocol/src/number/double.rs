//! Doubles: read as C's `strtod` would, written as its `%.17g` would.

use std::fmt::Write;

use super::NumberText;
use super::hex::{self, HexFloat};

/// Reads a float as Redis does for scores and the like: decimal or hexadecimal, `inf` and `infinity` of any case; no
/// blanks around, no NaN, nothing too large, nothing that is not zero but too small to tell from it.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (negative, magnitude) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let value = match magnitude {
        [b'0', b'x' | b'X', digits @ ..] => from_hex(hex::parse(digits)?)?,
        // A second sign would be taken by the library's parser.
        [b'0'..=b'9' | b'.', ..] => from_decimal(magnitude)?,
        word if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") => f64::INFINITY,
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

fn from_decimal(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let vanished = value == 0.0
        && text
            .iter()
            .take_while(|byte| !matches!(byte, b'e' | b'E'))
            .any(|byte| matches!(byte, b'1'..=b'9'));
    (value.is_finite() && !vanished).then_some(value)
}

fn from_hex(float: HexFloat) -> Option<f64> {
    if float.mantissa == 0 {
        return Some(0.0);
    }
    let shift = i64::from(float.mantissa.leading_zeros());
    let mantissa = float.mantissa << shift;
    // The value is 1.xxx * 2^exponent; below 2^-1022 fewer than 53 bits are kept.
    let exponent = float.exponent - shift + 127;
    let kept = 53 + (exponent + 1022).min(0);
    if exponent > 1023 || kept < 0 {
        return None;
    }
    let rounded = round_off(mantissa, 128 - kept as u32, float.inexact) as u64;
    // A carry out of the mantissa goes up into the exponent's bits, where it belongs.
    let bits = if kept == 53 { (((exponent + 1022) as u64) << 52) + rounded } else { rounded };
    let value = f64::from_bits(bits);
    (value.is_finite() && value != 0.0).then_some(value)
}

/// `value / 2^bits` to the nearest integer, to the even one of two; `inexact` says that `value` is a little short.
/// `bits` is 1 to 128.
pub(super) fn round_off(value: u128, bits: u32, inexact: bool) -> u128 {
    let whole = value.checked_shr(bits).unwrap_or(0);
    let half = 1 << (bits - 1);
    let below = value & (half | (half - 1));
    let up = below > half || (below == half && (inexact || whole & 1 == 1));
    whole + u128::from(up)
}

/// Writes `value` as C's `%.17g`: enough digits to read the same double back, exact for integers up to 1e17.
#[must_use]
pub fn format_g17(value: f64) -> NumberText {
    if value.is_infinite() {
        return NumberText::from_text(if value > 0.0 { "inf" } else { "-inf" });
    }
    if value.is_nan() {
        return NumberText::from_text(if value.is_sign_positive() { "nan" } else { "-nan" });
    }
    let integer = value as i64;
    // Negative zero keeps its sign in C, which an integer cannot.
    if integer as f64 == value
        && integer.unsigned_abs() < 100_000_000_000_000_000
        && (integer != 0 || value.is_sign_positive())
    {
        return NumberText::from_text(itoa::Buffer::new().format(integer));
    }
    let mut scientific = NumberText::new();
    // `d.dddddddddddddddde-x`: exactly 17 digits, correctly rounded. Writing to this text cannot fail.
    let _ = write!(scientific, "{:.16e}", value.abs());
    let (digits, exponent) = scientific.split_once('e').unwrap_or(("0", "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let mut text = NumberText::from_text(if value.is_sign_negative() { "-" } else { "" });
    if (-4..17).contains(&exponent) {
        push_positional(&mut text, digits, exponent);
    } else {
        text.push(digits);
        let _ = write!(text, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    text
}

/// Writes `d.ddd` times ten to the `exponent` without an exponent.
fn push_positional(text: &mut NumberText, digits: &str, exponent: i32) {
    let (first, rest) = digits.split_once('.').unwrap_or((digits, ""));
    if exponent < 0 {
        text.push("0.");
        text.push(&"000"[..(-exponent - 1) as usize]);
        text.push(first);
        text.push(rest);
        return;
    }
    let whole = exponent as usize;
    text.push(first);
    text.push(&rest[..rest.len().min(whole)]);
    text.push(&"0000000000000000"[..whole.saturating_sub(rest.len())]);
    if rest.len() > whole {
        text.push(".");
        text.push(&rest[whole..]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[expect(clippy::excessive_precision, reason = "the digits show where the halves are")]
    fn doubles_as_printf_writes_them() {
        // Right-hand sides by glibc's printf("%.17g").
        let table = [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (0.1, "0.10000000000000001"),
            (1e21, "1e+21"),
            (1e-7, "9.9999999999999995e-08"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN, "-1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "-nan"),
            (2.75, "2.75"),
            (-1.5, "-1.5"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (0.00012345, "0.00012344999999999999"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (99_999_999_999_999_984.0, "99999999999999984"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e100, "1e+100"),
            (1_000_000.5, "1000000.5"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (2_251_799_813_685_249.5, "2251799813685249.5"),
            // Halves between two 17-digit texts: to the even one.
            (1.000_007_629_394_531_25, "1.0000076293945312"),
            (1.000_022_888_183_593_75, "1.0000228881835938"),
            (2.000_007_629_394_531_25, "2.0000076293945312"),
            (1.0 / 3.0, "0.33333333333333331"),
            (1e22, "1e+22"),
            (1e23, "9.9999999999999992e+22"),
        ];
        for (value, text) in table {
            assert_eq!(&*format_g17(value), text, "{value:e}");
        }
    }

    #[test]
    fn floats_as_redis_reads_them() {
        // Sent to a redis-server 7.0.15 as scores.
        let accepted = [
            ("1", 1.0),
            ("-1.5", -1.5),
            ("+inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
            (".5", 0.5),
            ("5.", 5.0),
            ("0e999999", 0.0),
            ("1e-320", 1e-320),
            ("0x10", 16.0),
            ("0x1p-2", 0.25),
            ("0x.8", 0.5),
            ("-0X1.8p1", -3.0),
            ("0x1p-1074", 5e-324),
            ("0x1.8p-1075", 5e-324),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x0.fffffffffffff8p-1022", f64::MIN_POSITIVE),
        ];
        for (text, value) in accepted {
            assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Some(value.to_bits()), "{text}");
        }
        let refused = [
            "",
            ".",
            "-",
            "nan",
            "-nan",
            "nan(1)",
            "1e400",
            "-1e400",
            "1e-400",
            " 1",
            "1 ",
            "infi",
            "in",
            "1e",
            "e1",
            "0x",
            "0x1p",
            "+-1",
            "--1",
            "1\0",
            "0x1p1024",
            "0x1p-1080",
            "0x1p-1075",
            "0x.p1",
            "\x0b1",
            "1_0",
            "0x1.fffffffffffff8p1023",
        ];
        for text in refused {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_f64(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(parse_f64(format_g17(value).as_bytes()).unwrap().to_bits(), bits);
        }

        #[test]
        fn hexadecimal_reads_like_decimal(mantissa in any::<u32>(), exponent in -1000i32..900) {
            let text = format!("0x{mantissa:x}p{exponent}");
            prop_assert_eq!(parse_f64(text.as_bytes()), Some(f64::from(mantissa) * 2f64.powi(exponent)));
        }

        #[test]
        fn garbage_is_refused_or_a_number(text in "[-+0-9a-fA-FxXpPin.]{0,12}") {
            if let Some(value) = parse_f64(text.as_bytes()) {
                prop_assert!(!value.is_nan());
            }
        }
    }
}
