//! The leaves of the scanner: a number's line, an argument, an annotation, and a command that is there as a whole.

use super::{ANNOTATION_BYTES_MAX, AofFlaw};

/// The longest line with a number, with its prefix and end, that Redis reads.
const NUMBER_LINE_BYTES_MAX: u8 = 127;

/// An argument's length that leaves room for its end.
const ARGUMENT_BYTES_MAX: i64 = i64::MAX - 2;

/// Bytes that are kept of an argument: no name and no database that matters is longer.
const ARGUMENT_HEAD_BYTES: usize = 10;

/// Bytes that are kept of an annotation: a time and more.
const ANNOTATION_HEAD_BYTES: usize = 32;

/// Commands that matter for borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandKind {
    Multi,
    Exec,
    Select,
    Other,
}

impl CommandKind {
    #[inline]
    pub(super) fn of(name: &[u8]) -> Self {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"EXEC") => Self::Exec,
            5 if name.eq_ignore_ascii_case(b"MULTI") => Self::Multi,
            6 if name.eq_ignore_ascii_case(b"SELECT") => Self::Select,
            _ => Self::Other,
        }
    }
}

/// A line behind its prefix: a number and `\r\n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Number {
    /// As long as it is positive; saturates.
    value: i64,
    is_negative: bool,
    read: u8,
    end: NumberEnd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NumberEnd {
    /// Not yet.
    #[default]
    None,
    /// `\r` is read.
    Begun,
    /// Something else is read, and waits for one more byte to be shown with it.
    Wrong(u8),
}

impl Number {
    /// Reads a byte; returns the number when the line is whole.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<i64>, AofFlaw> {
        let wrong = |got| Err(AofFlaw::LineEnd { got });
        match (self.end, byte) {
            (NumberEnd::Wrong(first), _) => return wrong([first, byte]),
            (NumberEnd::Begun, b'\n') => {
                return Ok(Some(if self.is_negative { -self.value } else { self.value }));
            }
            (NumberEnd::Begun, _) => return wrong([b'\r', byte]),
            // To Redis the line ends here.
            (NumberEnd::None, b'\n') => return wrong([b'\n', 0]),
            (NumberEnd::None, b'\r') if self.is_negative && self.read == 1 => return wrong([b'-', b'\r']),
            (NumberEnd::None, b'\r') => self.end = NumberEnd::Begun,
            (NumberEnd::None, b'-') if self.read == 0 => self.is_negative = true,
            (NumberEnd::None, b'0'..=b'9') => {
                self.value = self.value.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
            }
            (NumberEnd::None, _) => self.end = NumberEnd::Wrong(byte),
        }
        self.read += 1;
        if self.read < NUMBER_LINE_BYTES_MAX { Ok(None) } else { wrong([0, 0]) }
    }

    /// What stands in the place of the line's end, if the file ends here.
    pub(super) fn got_at_end(self) -> [u8; 2] {
        match self.end {
            NumberEnd::None => [0, 0],
            NumberEnd::Begun => [b'\r', 0],
            NumberEnd::Wrong(byte) => [byte, 0],
        }
    }

    /// Whether something is wrong already, whatever follows.
    pub(super) fn is_wrong(self) -> bool {
        matches!(self.end, NumberEnd::Wrong(_))
    }
}

/// An argument's bytes and `\r\n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    /// Without its end.
    len: u64,
    /// Of argument and end.
    read: u64,
    head: [u8; ARGUMENT_HEAD_BYTES],
    end: [u8; 2],
}

impl Argument {
    pub(super) fn new(bytes: i64) -> Result<Self, AofFlaw> {
        match u64::try_from(bytes) {
            Ok(len) if bytes <= ARGUMENT_BYTES_MAX => {
                Ok(Self { len, read: 0, head: [0; ARGUMENT_HEAD_BYTES], end: [0; 2] })
            }
            _ => Err(AofFlaw::Length { bytes }),
        }
    }

    /// Reads on; returns how many bytes belong to it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, AofFlaw> {
        let left = usize::try_from(self.len + 2 - self.read).unwrap_or(usize::MAX);
        let bytes = &bytes[..left.min(bytes.len())];
        let is_in_head = self.read < ARGUMENT_HEAD_BYTES as u64;
        let is_in_end = self.read + bytes.len() as u64 > self.len;
        if is_in_head || is_in_end {
            for (byte, at) in bytes.iter().zip(self.read..).take(ARGUMENT_HEAD_BYTES) {
                self.keep(at, *byte);
            }
            let tail = bytes.len().saturating_sub(2);
            for (byte, at) in bytes[tail..].iter().zip(self.read + tail as u64..) {
                self.keep(at, *byte);
            }
        }
        self.read += bytes.len() as u64;
        if self.is_whole() && self.end != *b"\r\n" {
            return Err(AofFlaw::LineEnd { got: self.end });
        }
        Ok(bytes.len())
    }

    /// Keeps a byte if it is in a part that is kept.
    fn keep(&mut self, at: u64, byte: u8) {
        if let Some(past) = at.checked_sub(self.len) {
            self.end[usize::from(past != 0)] = byte;
        } else if let Some(kept) = usize::try_from(at).ok().and_then(|at| self.head.get_mut(at)) {
            *kept = byte;
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.read == self.len + 2
    }

    /// All of it, if it is short; nothing of one that is longer than any name.
    pub(super) fn head(&self) -> &[u8] {
        usize::try_from(self.len).ok().and_then(|len| self.head.get(..len)).unwrap_or_default()
    }

    /// What is wrong if the file ends here.
    pub(super) fn short(&self) -> AofFlaw {
        AofFlaw::Short { wanted: self.len + 2, got: self.read }
    }
}

/// A line behind its `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Annotation {
    /// With the `#`.
    len: u64,
    is_whole: bool,
    head: [u8; ANNOTATION_HEAD_BYTES],
}

impl Default for Annotation {
    fn default() -> Self {
        Self { len: 1, is_whole: false, head: [0; ANNOTATION_HEAD_BYTES] }
    }
}

impl Annotation {
    /// Reads on; returns how many bytes belong to it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, AofFlaw> {
        let end = memchr::memchr(b'\n', bytes);
        let bytes = &bytes[..end.map_or(bytes.len(), |end| end + 1)];
        let kept = self.head.iter_mut().skip(self.len as usize - 1);
        kept.zip(bytes).for_each(|(kept, byte)| *kept = *byte);
        self.len += bytes.len() as u64;
        self.is_whole = end.is_some();
        if self.len > ANNOTATION_BYTES_MAX { Err(AofFlaw::AnnotationTooLong) } else { Ok(bytes.len()) }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The time that it states, if that is above `max`.
    pub(super) fn time_above(&self, max: i64) -> Result<Option<i64>, AofFlaw> {
        let Some(time) = self.head.strip_prefix(b"TS:") else { return Ok(None) };
        let end = memchr::memchr(b'\r', time).ok_or(AofFlaw::Timestamp)?;
        let text = std::str::from_utf8(&time[..end]).map_err(|_| AofFlaw::Timestamp)?;
        let time: i64 = text.parse().map_err(|_| AofFlaw::Timestamp)?;
        Ok((time > max).then_some(time))
    }
}

/// A command of which all bytes are there.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeCommand<'a> {
    pub(super) len: usize,
    pub(super) args: u64,
    pub(super) name: &'a [u8],
    /// The argument behind the name; empty if there is none.
    pub(super) second: &'a [u8],
    /// Where the last argument begins.
    pub(super) last: usize,
}

/// Reads a command if all of it is there and every line is as usual.
#[inline]
pub(super) fn whole_command(bytes: &[u8]) -> Option<WholeCommand<'_>> {
    let (args, mut at) = number_line(b'*', bytes, 0)?;
    let (mut name, mut second, mut last) = (&bytes[..0], &bytes[..0], 0);
    for argument in 0..args {
        let (len, start) = number_line(b'$', bytes, at)?;
        let end = start + len;
        let &[b'\r', b'\n'] = bytes.get(end..end + 2)? else { return None };
        match argument {
            0 => name = &bytes[start..end],
            1 => second = &bytes[start..end],
            _ => {}
        }
        (last, at) = (start, end + 2);
    }
    (args > 0).then_some(WholeCommand { len: at, args: args as u64, name, second, last })
}

/// A prefix, one to nine digits and `\r\n`: the number, and where the next line begins.
#[inline]
fn number_line(prefix: u8, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    const DIGITS_MAX: usize = 9;
    let line = bytes.get(at..)?;
    let &[first, second, end, line_feed, ..] = line else { return None };
    let (tens, ones) = (second.wrapping_sub(b'0'), end.wrapping_sub(b'0'));
    if first != prefix || tens > 9 {
        return None;
    }
    if end == b'\r' {
        return (line_feed == b'\n').then_some((tens.into(), at + 4));
    }
    if ones > 9 {
        return None;
    }
    let mut number = usize::from(tens) * 10 + usize::from(ones);
    for (digits, byte) in (2..=DIGITS_MAX).zip(line.get(3..)?) {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            b'\r' => return (line.get(digits + 2) == Some(&b'\n')).then_some((number, at + digits + 3)),
            _ => return None,
        }
    }
    None
}
