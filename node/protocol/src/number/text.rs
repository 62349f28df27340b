//! A short text on the stack: a formatted number.

use std::fmt;
use std::ops::Deref;

/// The longest `%.17g`, `-1.7976931348623157e+308`, with room for the digits before they are trimmed.
const TEXT_BYTES_MAX: usize = 32;

/// A formatted number, kept on the stack. Reads as `&str`.
#[derive(Clone, Copy)]
pub struct NumberText {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl NumberText {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; TEXT_BYTES_MAX], len: 0 }
    }

    pub(super) fn from_text(text: &str) -> Self {
        let mut new = Self::new();
        new.push(text);
        new
    }

    /// Appends `text`, which our own formats keep short enough.
    pub(super) fn push(&mut self, text: &str) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
    }
}

impl Deref for NumberText {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl fmt::Write for NumberText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl fmt::Display for NumberText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for NumberText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
