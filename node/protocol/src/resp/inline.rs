//! Splits a line into words by Redis' quoting rules: inline requests, lines of a configuration file or a manifest.
//!
//! The rules: words are separated by blanks. `"..."` knows `\n \r \t \b \a`, `\xHH`, and a backslash before anything
//! else means that byte; `'...'` knows only `\'`. A quote may open in the middle of a word, but where it closes the
//! word ends: a blank or the end of the line must follow. Redis takes a NUL for the end of the line; here it is a
//! byte like others.

use thiserror::Error;

use super::request::ArgRange;

/// A quote is left open, or closes in the middle of a word.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("unbalanced quotes")]
pub struct UnbalancedQuotes;

/// Appends to `args` where the words of `line` lie, unquoting them in place. On an error `args` is as it was before
/// and the line's bytes are unspecified. `line` may be up to 4 GiB long.
pub fn split_args(line: &mut [u8], args: &mut Vec<ArgRange>) -> Result<(), UnbalancedQuotes> {
    let kept = args.len();
    let mut words = Words { line, read: 0 };
    loop {
        match words.next_word() {
            Ok(Some(range)) => args.push(range),
            Ok(None) => return Ok(()),
            Err(error) => {
                args.truncate(kept);
                return Err(error);
            }
        }
    }
}

/// What C's `isspace` says of a byte.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

struct Words<'a> {
    line: &'a mut [u8],
    /// The next byte to look at.
    read: usize,
}

impl Words<'_> {
    fn next_word(&mut self) -> Result<Option<ArgRange>, UnbalancedQuotes> {
        while self.peek(0).is_some_and(is_blank) {
            self.read += 1;
        }
        if self.peek(0).is_none() {
            return Ok(None);
        }
        let start = self.read;
        let mut end = start;
        loop {
            match self.peek(0) {
                None => break,
                // Vertical tab and form feed separate words but do not end one: Redis' own asymmetry.
                Some(b' ' | b'\n' | b'\r' | b'\t') => {
                    self.read += 1;
                    break;
                }
                Some(quote @ (b'"' | b'\'')) => {
                    self.read += 1;
                    end = self.quoted(quote, end)?;
                    break;
                }
                Some(byte) => end = self.keep(end, byte, 1),
            }
        }
        Ok(Some(ArgRange { start: start as u32, end: end as u32 }))
    }

    /// Reads on to the closing `quote`, keeping bytes from `end` on; returns the new end.
    fn quoted(&mut self, quote: u8, mut end: usize) -> Result<usize, UnbalancedQuotes> {
        loop {
            end = match (self.peek(0), self.peek(1)) {
                (None, _) => return Err(UnbalancedQuotes),
                (Some(byte), next) if byte == quote => {
                    self.read += 1;
                    return if next.is_none_or(is_blank) { Ok(end) } else { Err(UnbalancedQuotes) };
                }
                (Some(b'\\'), Some(next)) if quote == b'"' => match self.hex_escape() {
                    Some(byte) => self.keep(end, byte, 4),
                    None => self.keep(end, escaped(next), 2),
                },
                (Some(b'\\'), Some(b'\'')) => self.keep(end, b'\'', 2),
                (Some(byte), _) => self.keep(end, byte, 1),
            };
        }
    }

    /// The byte meant by a `\xHH` that begins here.
    fn hex_escape(&self) -> Option<u8> {
        if self.peek(1) != Some(b'x') {
            return None;
        }
        let digit = |ahead| char::from(self.peek(ahead)?).to_digit(16);
        Some((digit(2)? * 16 + digit(3)?) as u8)
    }

    /// Writes `byte` at `end` in place of the next `taken` bytes. `end` never passes `read`.
    fn keep(&mut self, end: usize, byte: u8, taken: usize) -> usize {
        self.line[end] = byte;
        self.read += taken;
        end + 1
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.line.get(self.read + ahead).copied()
    }
}

const fn escaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
        let mut line = line.to_vec();
        let mut args = Vec::new();
        split_args(&mut line, &mut args)?;
        Ok(args.into_iter().map(|range| range.of(&line).to_vec()).collect())
    }

    #[test]
    fn words_and_quotes_as_redis_splits_them() {
        // Each line but the last was also sent to a redis-server 7.0.15, behind `EVAL "return ARGV" 0`.
        let table: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" \t\x0b ", &[]),
            (b"a  b\tc", &[b"a", b"b", b"c"]),
            (br#""\x41\n\q\"z""#, &[b"A\nq\"z"]),
            (br"'a\'b\n'", &[br"a'b\n"]),
            (br#"a"b""#, &[b"ab"]),
            (br#""" ''"#, &[b"", b""]),
            (b"\x0ba\x0bb", &[b"a\x0bb"]),
            (b"\"a\"\x0bb", &[b"a", b"b"]),
            (b"a\rb", &[b"a", b"b"]),
            (br#""\xzz" "\x4""#, &[b"xzz", b"x4"]),
            (br#""\r\t\b\a\\" z"#, &[b"\r\t\x08\x07\\", b"z"]),
            (b"a\0b", &[b"a\0b"]),
        ];
        for (line, words) in table {
            assert_eq!(
                split(line).as_deref(),
                Ok(&words.iter().map(|w| w.to_vec()).collect::<Vec<_>>()[..]),
                "{line:?}"
            );
        }
    }

    #[test]
    fn quotes_must_close_at_the_end_of_a_word() {
        for line in [&br#""a"b"#[..], br#""a"#, b"'a", br#"a"b"c"#, br#""a\"#, b"'a\\'", b"\"", b"'"] {
            let mut args = vec![ArgRange { start: 7, end: 8 }];
            assert_eq!(split_args(&mut line.to_vec(), &mut args), Err(UnbalancedQuotes), "{line:?}");
            assert_eq!(args.len(), 1);
        }
    }
}
