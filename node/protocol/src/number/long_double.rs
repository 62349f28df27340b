//! The 80-bit floats with which Redis on x86 computes INCRBYFLOAT and HINCRBYFLOAT, in software.
//!
//! Redis propagates the *result* of these commands, so replicas agree whatever the format; but a client sees the digits,
//! and a double has too few of them: `0.1 + 0.2` must be `0.3`. Only what the two commands need is here: read a
//! decimal text, add, print. All of it is rounded once, to nearest, ties to even, as the hardware and glibc do.
//! No NaN is ever made; infinities are read and printed, but no sum is one.

use super::double::round_off;
use super::hex;

/// The exponent of the smallest positive value's only bit: 2^-16445.
const EXPONENT_MIN: i64 = -16445;
/// The exponent above which even the leading bit is out of range.
const LEADING_EXPONENT_MAX: i64 = 16383;
/// Texts of this length and more are refused unread, as in Redis.
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// Values of 10 to this power and more are out of range: the largest one is 1.19e4932.
const DECIMAL_OVERFLOW: i64 = 4933;
/// Values below 10 to this power round to zero: half of the smallest one is 1.8e-4951.
const DECIMAL_UNDERFLOW: i64 = -4952;

/// A float with a 64-bit mantissa and a 15-bit exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// `mantissa * 2^exponent`; the mantissa's top bit is set unless the value is subnormal (then kept shifted up too).
    Finite {
        mantissa: u64,
        exponent: i64,
    },
    Infinite,
}

impl LongDouble {
    /// Zero, where a key that does not exist starts from.
    pub const ZERO: Self = Self { negative: false, magnitude: Magnitude::Zero };

    /// Reads a text as Redis does for INCRBYFLOAT: what C's `strtold` takes, without blanks, NaN, overflow or underflow
    /// to zero, and shorter than 5 KiB.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let magnitude = match rest {
            [b'0', b'x' | b'X', digits @ ..] => {
                let float = hex::parse(digits)?;
                Magnitude::rounded(float.mantissa, float.exponent, float.inexact)?
            }
            word if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") => {
                Magnitude::Infinite
            }
            decimal => parse_decimal(decimal)?,
        };
        Some(Self { negative, magnitude })
    }

    /// The integer `n`, exactly: a mantissa has 64 bits.
    #[must_use]
    pub fn from_integer(n: i64) -> Self {
        let magnitude = Magnitude::rounded(u128::from(n.unsigned_abs()), 0, false).unwrap_or(Magnitude::Zero);
        Self { negative: n < 0, magnitude }
    }

    /// The sum, unless it is infinite or no number: Redis' "increment would produce NaN or Infinity".
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (a, b) =
            if self.magnitude.order() >= other.magnitude.order() { (self, other) } else { (other, self) };
        let (Magnitude::Finite { mantissa, exponent }, negative) = (a.magnitude, a.negative) else {
            return (a.magnitude == Magnitude::Zero)
                .then_some(Self { negative: a.negative && b.negative, magnitude: Magnitude::Zero });
        };
        let Magnitude::Finite { mantissa: small, exponent: small_exponent } = b.magnitude else {
            return Some(a);
        };
        // The larger one gets 63 spare bits below it. What the smaller one has below those only matters by being there,
        // so it is kept as one bit at the bottom; if bits cancel, the two are near and nothing has fallen out.
        let large = u128::from(mantissa) << 63;
        let distance = exponent - small_exponent;
        let small = u128::from(small) << 63;
        let small = match u32::try_from(distance) {
            Ok(distance @ 0..=127) => {
                let shifted = small >> distance;
                shifted | u128::from(shifted << distance != small)
            }
            _ => 1,
        };
        let sum = if a.negative == b.negative { large + small } else { large - small };
        Some(Self {
            negative: negative && sum != 0,
            magnitude: Magnitude::rounded_or_infinite(sum, exponent - 63, false).finite()?,
        })
    }

    /// Whether this is an infinity, which INCRBYFLOAT refuses as an increment.
    #[must_use]
    pub fn is_infinite(self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// Writes it as Redis writes results of INCRBYFLOAT: `%.17Lf` without trailing zeros; never `-0`.
    #[must_use]
    pub fn to_human_string(self) -> String {
        let digits = match self.magnitude {
            Magnitude::Infinite => "inf".to_owned(),
            Magnitude::Zero => "0".to_owned(),
            Magnitude::Finite { mantissa, exponent } if exponent >= 0 => {
                let mut big = Big::from_u64(mantissa);
                big.shift_left(exponent as u64);
                big.into_decimal()
            }
            Magnitude::Finite { mantissa, exponent } => fraction_text(mantissa, -exponent),
        };
        if self.negative && digits != "0" { format!("-{digits}") } else { digits }
    }
}

/// `mantissa / 2^bits` with 17 digits behind the point, less the trailing zeros. 10^17 fits in 57 bits, so the scaled
/// value fits in 121.
fn fraction_text(mantissa: u64, bits: i64) -> String {
    const SCALE: u128 = 100_000_000_000_000_000;
    let scaled = u128::from(mantissa) * SCALE;
    let rounded = match u32::try_from(bits) {
        Ok(bits @ 1..=128) => round_off(scaled, bits, false),
        _ => 0,
    };
    let text = format!("{}.{:017}", rounded / SCALE, rounded % SCALE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Magnitude {
    /// Rounds `value * 2^exponent` (and a little more if `inexact`) to the format; `None` if it overflows, or is not
    /// zero but rounds to it.
    fn rounded(value: u128, exponent: i64, inexact: bool) -> Option<Self> {
        if value == 0 {
            return Some(Self::Zero);
        }
        match Self::rounded_or_infinite(value, exponent, inexact) {
            Self::Finite { mantissa, exponent } => Some(Self::Finite { mantissa, exponent }),
            Self::Zero | Self::Infinite => None,
        }
    }

    fn rounded_or_infinite(value: u128, exponent: i64, inexact: bool) -> Self {
        if value == 0 {
            return Self::Zero;
        }
        let shift = value.leading_zeros();
        let value = value << shift;
        let exponent = exponent - i64::from(shift);
        // With the top bit at 2^127, 64 bits are kept, or fewer where the format ends.
        let kept = (exponent + 128 - EXPONENT_MIN).min(64);
        if kept < 0 {
            return Self::Zero;
        }
        let drop = 128 - kept as u32;
        let rounded = round_off(value, drop, inexact);
        if rounded == 0 {
            return Self::Zero;
        }
        // Back to 64 bits: a carry made it 65, or it is subnormal.
        let exponent = exponent + i64::from(drop);
        let up = i64::from(rounded.leading_zeros()) - 64;
        let mantissa = if up < 0 { rounded >> 1 } else { rounded << up } as u64;
        let exponent = exponent - up;
        if exponent + 63 > LEADING_EXPONENT_MAX {
            return Self::Infinite;
        }
        Self::Finite { mantissa, exponent }
    }

    fn finite(self) -> Option<Self> {
        (self != Self::Infinite).then_some(self)
    }

    /// Orders magnitudes by size.
    fn order(self) -> (i64, u64) {
        match self {
            Self::Zero => (i64::MIN, 0),
            Self::Finite { mantissa, exponent } => (exponent, mantissa),
            Self::Infinite => (i64::MAX, 0),
        }
    }
}

/// Reads digits, an optional point and an optional exponent.
fn parse_decimal(text: &[u8]) -> Option<Magnitude> {
    let mut digits = Vec::with_capacity(text.len().min(64));
    let (mut seen, mut after_point) = (false, false);
    let mut exponent = 0;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        match byte {
            b'.' if !after_point => after_point = true,
            b'0'..=b'9' => {
                seen = true;
                exponent -= i64::from(after_point);
                if *byte != b'0' || !digits.is_empty() {
                    digits.push(byte - b'0');
                }
            }
            _ => break,
        }
        rest = tail;
    }
    match rest {
        _ if !seen => return None,
        [] => {}
        [b'e' | b'E', tail @ ..] => exponent += hex::parse_exponent(tail)?,
        _ => return None,
    }
    while digits.last() == Some(&0) {
        digits.pop();
        exponent += 1;
    }
    if digits.is_empty() {
        return Some(Magnitude::Zero);
    }
    // The value is at least 10^(power - 1) and below 10^power. Deciding the hopeless cases here bounds the arithmetic.
    let power = digits.len() as i64 + exponent;
    if !(DECIMAL_UNDERFLOW..=DECIMAL_OVERFLOW).contains(&power) {
        return None;
    }
    scale_decimal(&digits, exponent)
}

/// `digits * 10^exponent`, rounded.
fn scale_decimal(digits: &[u8], exponent: i64) -> Option<Magnitude> {
    if digits.len() <= 19 && (-18..=0).contains(&exponent) {
        // The usual case. The numerator is shifted up to 128 bits and 10^18 has 60, so the quotient has 68 or more: enough
        // to round it to 64 with the rest's being there as the last bit.
        let numerator = digits.iter().fold(0u128, |sum, digit| sum * 10 + u128::from(*digit));
        let denominator = 10u128.pow(exponent.unsigned_abs() as u32);
        let shift = numerator.leading_zeros();
        let (quotient, rest) = ((numerator << shift) / denominator, (numerator << shift) % denominator);
        return Magnitude::rounded(quotient, -i64::from(shift), rest != 0);
    }
    let mut numerator = Big::from_digits(digits);
    let mut denominator = Big::from_u64(1);
    if exponent >= 0 {
        numerator.multiply_by_power_of_ten(exponent.unsigned_abs());
    } else {
        denominator.multiply_by_power_of_ten(exponent.unsigned_abs());
    }
    let (quotient, shift, inexact) = divide(numerator, denominator);
    Magnitude::rounded(quotient, shift, inexact)
}

/// `a / b` as `quotient * 2^shift` with 66 significant bits or more, and whether there is a rest.
fn divide(mut a: Big, mut b: Big) -> (u128, i64, bool) {
    const QUOTIENT_BITS: i64 = 67;
    let shift = a.bits() as i64 - b.bits() as i64;
    if shift >= 0 {
        b.shift_left(shift.unsigned_abs());
    } else {
        a.shift_left(shift.unsigned_abs());
    }
    // Now a < 2b: one bit of the quotient at a time, the first one worth 2^shift.
    let mut quotient = 0;
    for _ in 0..QUOTIENT_BITS {
        let fits = a.is_at_least(&b);
        quotient = quotient << 1 | u128::from(fits);
        if fits {
            a.subtract(&b);
        }
        a.shift_left(1);
    }
    (quotient, shift - (QUOTIENT_BITS - 1), !a.limbs.is_empty())
}

/// A natural number in 32-bit limbs, the lowest first, without zeros at the top.
struct Big {
    limbs: Vec<u32>,
}

impl Big {
    fn from_u64(n: u64) -> Self {
        let mut big = Self { limbs: vec![n as u32, (n >> 32) as u32] };
        big.trim();
        big
    }

    fn from_digits(digits: &[u8]) -> Self {
        let mut big = Self { limbs: Vec::new() };
        for chunk in digits.chunks(9) {
            let value = chunk.iter().fold(0, |sum, digit| sum * 10 + u32::from(*digit));
            big.multiply_add(10u32.pow(chunk.len() as u32), value);
        }
        big
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.limbs {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
    }

    fn multiply_by_power_of_ten(&mut self, exponent: u64) {
        for _ in 0..exponent / 9 {
            self.multiply_add(1_000_000_000, 0);
        }
        self.multiply_add(10u32.pow((exponent % 9) as u32), 0);
    }

    fn shift_left(&mut self, bits: u64) {
        if self.limbs.is_empty() {
            return;
        }
        self.multiply_add(1 << (bits % 32), 0);
        self.limbs.splice(0..0, std::iter::repeat_n(0, (bits / 32) as usize));
    }

    fn bits(&self) -> u64 {
        self.limbs.last().map_or(0, |top| self.limbs.len() as u64 * 32 - u64::from(top.leading_zeros()))
    }

    fn is_at_least(&self, other: &Self) -> bool {
        self.limbs
            .len()
            .cmp(&other.limbs.len())
            .then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
            .is_ge()
    }

    /// Takes away `other`, which is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = 0;
        for (i, limb) in self.limbs.iter_mut().enumerate() {
            let less = i64::from(*limb) - i64::from(other.limbs.get(i).copied().unwrap_or(0)) - borrow;
            *limb = less as u32;
            borrow = i64::from(less < 0);
        }
        self.trim();
    }

    fn into_decimal(mut self) -> String {
        let mut chunks = Vec::new();
        while !self.limbs.is_empty() {
            let mut rest = 0;
            for limb in self.limbs.iter_mut().rev() {
                rest = rest << 32 | u64::from(*limb);
                *limb = (rest / 1_000_000_000) as u32;
                rest %= 1_000_000_000;
            }
            self.trim();
            chunks.push(rest);
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:09}"));
        }
        text
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        Some(
            LongDouble::parse(a.as_bytes())?.checked_add(LongDouble::parse(b.as_bytes())?)?.to_human_string(),
        )
    }

    #[test]
    fn sums_as_a_server_answers_them() {
        // Each line is `SET k <a>`, `INCRBYFLOAT k <b>` on a redis-server 7.0.15 on x86-64.
        let table = [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "200", "5200"),
            ("3", "-3", "0"),
            ("-0", "0", "0"),
            ("1e-18", "0", "0"),
            ("-1e-18", "-0", "0"),
            ("0.1", "0", "0.1"),
            ("1e17", "0.1", "100000000000000000.1015625"),
            ("1e20", "0.1", "100000000000000000000"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551617", "0", "18446744073709551616"),
            ("36893488147419103233", "1", "36893488147419103232"),
            ("9223372036854775807", "-0.5", "9223372036854775806.5"),
            ("3.141592653589793238462643383279", "0", "3.14159265358979324"),
            ("1.00000000000000000005", "0", "1"),
            ("0x1.8p1", "-0X.8", "2.5"),
            ("1e-4950", "1", "1"),
        ];
        for (a, b, text) in table {
            assert_eq!(sum(a, b).as_deref(), Some(text), "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "", "-", ".", "nan", "-nan", " 1", "1 ", "1e", "1e+", "e5", "1.2.3", "0x", "infi", "1e5000",
            "1e-5000", "--1", "1\0",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(LongDouble::parse(&[b'1'; TEXT_BYTES_MAX]), None);
        assert_eq!(LongDouble::parse(&[b'1'; TEXT_BYTES_MAX - 1]), None, "ten to the 5119th is out of range");
        assert_eq!(LongDouble::parse(b"1e99999999999999999999"), None);
        assert_eq!(LongDouble::parse(b"0e99999999999999999999"), Some(LongDouble::ZERO));
    }

    #[test]
    fn the_ends_of_the_range() {
        let parse = |text: &str| LongDouble::parse(text.as_bytes());
        let max = parse("1.18973149535723176502e4932").unwrap();
        assert_eq!(max.checked_add(max), None);
        assert!(max.to_human_string().starts_with("118973149535723176502126385303"));
        assert_eq!(max.to_human_string().len(), 4933);
        assert_eq!(parse("1.18973149535723176509e4932"), None);
        assert!(parse("3.6e-4951").is_some(), "the smallest subnormal");
        assert_eq!(parse("1.8e-4951"), None, "less than half of it");
        assert!(parse("0x1p-16445").is_some());
        assert_eq!(parse("0x1p-16446"), None);
        assert_eq!(parse("0x1p16384"), None);
        let infinite = parse("-inf").unwrap();
        assert!(infinite.is_infinite());
        assert_eq!(infinite.to_human_string(), "-inf");
        assert_eq!(infinite.checked_add(max), None);
        assert_eq!(LongDouble::from_integer(i64::MIN).to_human_string(), "-9223372036854775808");
    }

    proptest! {
        #[test]
        fn integers_add_exactly(a in -(1i64 << 61)..(1 << 61), b in -(1i64 << 61)..(1 << 61)) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()).unwrap(), (a + b).to_string());
            prop_assert_eq!(LongDouble::from_integer(a), LongDouble::parse(a.to_string().as_bytes()).unwrap());
        }

        #[test]
        fn the_short_way_reads_like_the_long_one(digits in 1u64.., exponent in -18i64..=0) {
            let digits: Vec<u8> = digits.to_string().bytes().map(|b| b - b'0').collect();
            let digits = &digits[..digits.len().min(19)];
            let mut denominator = Big::from_u64(1);
            denominator.multiply_by_power_of_ten(exponent.unsigned_abs());
            let (quotient, shift, inexact) = divide(Big::from_digits(digits), denominator);
            prop_assert_eq!(scale_decimal(digits, exponent), Magnitude::rounded(quotient, shift, inexact));
        }

        #[test]
        fn adding_commutes_and_undoes(a in -1e12f64..1e12, b in -1e12f64..1e12) {
            let parse = |n: f64| LongDouble::parse(format!("{n:?}").as_bytes()).unwrap();
            prop_assert_eq!(parse(a).checked_add(parse(b)), parse(b).checked_add(parse(a)));
            prop_assert_eq!(parse(a).checked_add(parse(-a)), Some(LongDouble::ZERO));
        }

        #[test]
        fn garbage_is_refused_or_a_number(text in "[-+0-9a-fxp.e]{0,14}") {
            if let Some(value) = LongDouble::parse(text.as_bytes()) {
                let _ = value.to_human_string();
            }
        }
    }
}
