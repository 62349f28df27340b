//! The beginning of what a peer sent, printable and bounded: what errors show of it.

use std::fmt;

/// Bytes that an excerpt keeps at most.
pub const EXCERPT_BYTES_MAX: usize = 96;

/// The beginning of what a peer sent; `Display` escapes what is not printable and says how much more there was.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt {
    head: Box<[u8]>,
    /// Bytes that came in all.
    len: usize,
}

impl Excerpt {
    /// The excerpt of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let head = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
        Self { head: head.into(), len: bytes.len() }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.head.escape_ascii())?;
        match self.len - self.head.len() {
            0 => Ok(()),
            more => write!(f, " and {more} bytes more"),
        }
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_printable_and_bounded() {
        assert_eq!(Excerpt::of(b"-ERR\r\n").to_string(), r#""-ERR\r\n""#);
        let long = Excerpt::of(&[0xff; 5000]).to_string();
        assert!(long.ends_with("and 4904 bytes more"), "{long}");
        assert!(long.len() < 500);
    }
}
