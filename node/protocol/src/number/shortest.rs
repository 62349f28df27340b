//! Doubles in as few digits as tell them from all others: how Redis writes scores since 7.2 (earlier versions wrote 17
//! digits).
//!
//! Redis' algorithm (Grisu2) misses the shortest text for about one in a thousand doubles; ours never does.

use std::fmt::Write;

use super::NumberText;

/// Integers beyond this are written by their digits like any other double. Redis' `LLONG_MAX / 2`.
const INTEGER_MAX: f64 = (i64::MAX / 2) as f64;

/// A double as replies show it: integers in full, everything else as [`format_shortest`].
#[must_use]
pub fn format_score(value: f64) -> NumberText {
    let integer = value as i64;
    let is_integer = integer as f64 == value && value.abs() <= INTEGER_MAX;
    if is_integer && (integer != 0 || value.is_sign_positive()) {
        return NumberText::from_text(itoa::Buffer::new().format(integer));
    }
    format_shortest(value)
}

/// A double in its shortest digits. Without an exponent if the number is an integer with few zeros at its end, or not
/// far below 1; otherwise as `1.5e-10`.
#[must_use]
pub fn format_shortest(value: f64) -> NumberText {
    if value.is_nan() {
        return NumberText::from_text("nan");
    }
    let mut text = NumberText::from_text(if value.is_sign_negative() { "-" } else { "" });
    if value.is_infinite() || value == 0.0 {
        text.push(if value == 0.0 { "0" } else { "inf" });
        return text;
    }
    let mut scientific = NumberText::new();
    // `d.ddde-x` in the shortest digits. Writing to this text cannot fail.
    let _ = write!(scientific, "{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or(("0", "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = 1 + rest.len() as i32;
    // The value is all digits together times ten to this.
    let scale = exponent + 1 - digits;
    if scale >= 0 && exponent.abs() < digits + 7 {
        text.push(first);
        text.push(rest);
        (0..scale).for_each(|_| text.push("0"));
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        push_fraction(&mut text, first, rest, exponent);
    } else {
        push_with_exponent(&mut text, first, rest, exponent);
    }
    text
}

fn push_fraction(text: &mut NumberText, first: &str, rest: &str, exponent: i32) {
    if exponent < 0 {
        text.push("0.");
        (0..-exponent - 1).for_each(|_| text.push("0"));
        text.push(first);
        text.push(rest);
        return;
    }
    let (whole, fraction) = rest.split_at(exponent as usize);
    text.push(first);
    text.push(whole);
    text.push(".");
    text.push(fraction);
}

fn push_with_exponent(text: &mut NumberText, first: &str, rest: &str, exponent: i32) {
    text.push(first);
    if !rest.is_empty() {
        text.push(".");
        text.push(rest);
    }
    let _ = write!(text, "e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::parse_f64;
    use super::*;

    #[test]
    fn doubles_as_redis_8_shows_them() {
        // By ZSCORE of a redis-server 8.2.
        let table = [
            ("0.1", "0.1"),
            ("-0.0", "-0"),
            ("0", "0"),
            ("1e-300", "1e-300"),
            ("inf", "inf"),
            ("-inf", "-inf"),
            ("9223372036854775807", "9223372036854776000"),
            ("2147483647e-3", "2147483.647"),
            ("1e17", "100000000000000000"),
            ("1e21", "1e+21"),
            ("123456789012345680", "123456789012345680"),
            ("4503599627370497", "4503599627370497"),
            ("1e-7", "1e-7"),
            ("1.5e-5", "0.000015"),
            ("3e-10", "3e-10"),
            ("1234567.125", "1234567.125"),
            ("-2.5e-7", "-2.5e-7"),
            ("1.5e20", "1.5e+20"),
            ("-0.5", "-0.5"),
        ];
        for (written, shown) in table {
            assert_eq!(&*format_score(parse_f64(written.as_bytes()).unwrap()), shown, "{written}");
        }
        // By digests: without the way of integers.
        assert_eq!(&*format_shortest(1e15), "1e+15");
        assert_eq!(&*format_shortest(17.0), "17");
    }
}
