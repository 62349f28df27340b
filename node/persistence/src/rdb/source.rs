//! Where an RDB is read from: a buffer over the input that counts bytes, keeps the checksum, and reads the format's
//! lengths and strings. A length is only a claim: memory grows with the bytes that really arrive.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use super::RdbError;
use super::checksum::Checksum;
use super::encodings::lzf;
use super::format::{STRING_BYTES_MAX, length, special};

/// Bytes of the buffer. Strings that fit into it are read without a copy.
const BUFFER_BYTES: usize = 256 * 1024;

/// The smallest buffer: whatever is read at once but strings fits into it.
const BUFFER_BYTES_MIN: usize = 256;

/// The number before a value: how long it is or, for strings alone, how it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Length(u64),
    Special(u8),
}

/// A string as it stood in the payload.
#[derive(Debug)]
pub(super) enum Text<'a> {
    /// A number in binary.
    Int(i64),
    /// Bytes, borrowed from a buffer where they fit.
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Text<'a> {
    /// The bytes, numbers in decimal.
    pub(super) fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Text::Int(value) => Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec()),
            Text::Bytes(bytes) => bytes,
        }
    }
}

/// The reading end.
pub(super) struct Source<'a> {
    input: &'a mut dyn Read,
    /// Never longer or shorter than at the beginning.
    buffer: Vec<u8>,
    /// The next byte to give, in `buffer`.
    next: usize,
    /// The end of what was read into `buffer`.
    filled: usize,
    /// Up to where `buffer` is in the checksum; at most `next`.
    summed: usize,
    /// Bytes of the payload before `buffer`.
    before: u64,
    checksum: Checksum,
    /// The last string that was compressed.
    decompressed: Vec<u8>,
    /// What was read between beginnings and ends of copies, and how much of it is to be kept.
    copy: Vec<u8>,
    kept: usize,
    /// Up to where `buffer` is copied, while a copy is made.
    copied: Option<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(input: &'a mut dyn Read) -> Self {
        Self::of_bytes(input, BUFFER_BYTES)
    }

    /// Over an input of no more than `bytes`: the buffer is as large.
    pub(super) fn of_bytes(input: &'a mut dyn Read, bytes: usize) -> Self {
        let buffer = vec![0; bytes.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES)];
        Self {
            input,
            buffer,
            next: 0,
            filled: 0,
            summed: 0,
            before: 0,
            checksum: Checksum::new(),
            decompressed: Vec::new(),
            copy: Vec::new(),
            kept: 0,
            copied: None,
        }
    }

    /// Over bytes that are there already, and nothing else: they are the buffer. `none` is an input without bytes.
    pub(super) fn over(mut bytes: Vec<u8>, none: &'a mut dyn Read) -> Self {
        let filled = bytes.len();
        bytes.resize(filled.max(BUFFER_BYTES_MIN), 0);
        Self { filled, buffer: bytes, ..Self::of_bytes(none, 0) }
    }

    /// How many bytes were given.
    pub(super) fn position(&self) -> u64 {
        self.before.wrapping_add(self.next as u64)
    }

    /// States where in the payload the next byte stands.
    pub(super) fn rebase(&mut self, at: u64) {
        self.before = at.wrapping_sub(self.next as u64);
    }

    /// From here on, what is read is copied besides.
    pub(super) fn begin_copy(&mut self) {
        self.copied = Some(self.next);
    }

    /// Up to here.
    pub(super) fn end_copy(&mut self) {
        if let Some(from) = self.copied.take() {
            self.copy.extend_from_slice(&self.buffer[from..self.next]);
        }
    }

    /// What was copied stays.
    pub(super) fn keep_copy(&mut self) {
        self.kept = self.copy.len();
    }

    /// What was copied since is dropped.
    pub(super) fn cut_copy(&mut self) {
        self.copy.truncate(self.kept);
    }

    /// Bytes copied.
    pub(super) fn copied(&self) -> usize {
        self.copy.len()
    }

    /// All that was copied.
    pub(super) fn take_copy(&mut self) -> Vec<u8> {
        self.kept = 0;
        let capacity = self.copy.capacity().min(2 * BUFFER_BYTES);
        std::mem::replace(&mut self.copy, Vec::with_capacity(capacity))
    }

    /// The checksum of all bytes given.
    pub(super) fn checksum(&mut self) -> u64 {
        self.sum_up();
        self.checksum.value()
    }

    /// One byte.
    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, RdbError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A few bytes.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let bytes = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    /// A length or a count.
    pub(super) fn length(&mut self) -> Result<u64, RdbError> {
        let at = self.position();
        match self.prefix()? {
            Prefix::Length(length) => Ok(length),
            Prefix::Special(number) => {
                Err(damaged(at, format!("an encoded string ({number}) instead of a length")))
            }
        }
    }

    /// A string.
    pub(super) fn string(&mut self) -> Result<Text<'_>, RdbError> {
        let at = self.position();
        match self.prefix()? {
            Prefix::Length(length) => Ok(Text::Bytes(self.bytes(at, length)?)),
            Prefix::Special(special::INT8) => Ok(Text::Int(i8::from_le_bytes(self.array()?).into())),
            Prefix::Special(special::INT16) => Ok(Text::Int(i16::from_le_bytes(self.array()?).into())),
            Prefix::Special(special::INT32) => Ok(Text::Int(i32::from_le_bytes(self.array()?).into())),
            Prefix::Special(special::LZF) => Ok(Text::Bytes(self.compressed(at)?)),
            Prefix::Special(number) => {
                Err(damaged(at, format!("no string encoding has the number {number}")))
            }
        }
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, mut count: u64) -> Result<(), RdbError> {
        while count > 0 {
            let part = usize::try_from(count).unwrap_or(usize::MAX).min(self.buffer.len());
            self.take(part)?;
            count -= part as u64;
        }
        Ok(())
    }

    /// Passes over a string.
    pub(super) fn skip_string(&mut self) -> Result<(), RdbError> {
        let at = self.position();
        match self.prefix()? {
            Prefix::Length(length) => self.skip(length),
            Prefix::Special(special::INT8) => self.skip(1),
            Prefix::Special(special::INT16) => self.skip(2),
            Prefix::Special(special::INT32) => self.skip(4),
            Prefix::Special(special::LZF) => {
                let compressed_length = self.length()?;
                self.length()?;
                self.skip(compressed_length)
            }
            Prefix::Special(number) => {
                Err(damaged(at, format!("no string encoding has the number {number}")))
            }
        }
    }

    #[inline]
    fn prefix(&mut self) -> Result<Prefix, RdbError> {
        let at = self.position();
        let first = self.byte()?;
        Ok(match first & 0xc0 {
            0 => Prefix::Length(first.into()),
            length::MEDIUM => Prefix::Length(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            length::SPECIAL => Prefix::Special(first & 0x3f),
            _ => Prefix::Length(match first {
                length::LONG => u32::from_be_bytes(self.array()?).into(),
                length::LONGER => u64::from_be_bytes(self.array()?),
                _ => return Err(damaged(at, format!("no length begins with {first:#04x}"))),
            }),
        })
    }

    /// `length` bytes of a string that begins at `at`.
    #[inline]
    fn bytes(&mut self, at: u64, length: u64) -> Result<Cow<'_, [u8]>, RdbError> {
        let length = checked_length(at, length)?;
        if length <= self.buffer.len() {
            return Ok(Cow::Borrowed(self.take(length)?));
        }
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let part = (length - bytes.len()).min(self.buffer.len());
            bytes.extend_from_slice(self.take(part)?);
        }
        Ok(Cow::Owned(bytes))
    }

    fn compressed(&mut self, at: u64) -> Result<Cow<'_, [u8]>, RdbError> {
        let (compressed_length, length) = (self.length()?, self.length()?);
        let length = checked_length(at, length)?;
        let compressed_length = checked_length(at, compressed_length)?;
        let outcome = if compressed_length <= self.buffer.len() {
            self.take(compressed_length)?;
            let compressed = &self.buffer[self.next - compressed_length..self.next];
            lzf::decompress(compressed, length, &mut self.decompressed)
        } else {
            let compressed = self.bytes(at, compressed_length as u64)?.into_owned();
            lzf::decompress(&compressed, length, &mut self.decompressed)
        };
        outcome.map_err(|flaw| damaged(at, flaw.within("an LZF string")))?;
        if length > self.buffer.len() {
            return Ok(Cow::Owned(std::mem::take(&mut self.decompressed)));
        }
        Ok(Cow::Borrowed(&self.decompressed))
    }

    /// The next `count` bytes, at most what the buffer holds.
    #[inline]
    fn take(&mut self, count: usize) -> Result<&[u8], RdbError> {
        if self.filled - self.next < count {
            self.fill(count)?;
        }
        let from = self.next;
        self.next += count;
        Ok(&self.buffer[from..self.next])
    }

    /// Reads until `count` bytes are there.
    #[cold]
    fn fill(&mut self, count: usize) -> Result<(), RdbError> {
        assert!(count <= self.buffer.len(), "asked for more than the buffer holds");
        self.sum_up();
        if let Some(from) = self.copied.replace(0) {
            self.copy.extend_from_slice(&self.buffer[from..self.next]);
        } else {
            self.copied = None;
        }
        self.buffer.copy_within(self.next..self.filled, 0);
        self.before = self.before.wrapping_add(self.next as u64);
        self.filled -= self.next;
        (self.next, self.summed) = (0, 0);
        while self.filled < count {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    let missing = count - self.filled;
                    return Err(damaged(
                        self.before.wrapping_add(self.filled as u64),
                        format!("it ends here, {missing} bytes short at least"),
                    ));
                }
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes what was given since the last time into the checksum, in one large piece.
    fn sum_up(&mut self) {
        self.checksum.update(&self.buffer[self.summed..self.next]);
        self.summed = self.next;
    }
}

fn checked_length(at: u64, length: u64) -> Result<usize, RdbError> {
    match usize::try_from(length) {
        Ok(fitting) if length <= STRING_BYTES_MAX => Ok(fitting),
        _ => Err(damaged(at, format!("a string of {length} bytes, {STRING_BYTES_MAX} at most"))),
    }
}

/// The error for damage at a byte.
pub(super) fn damaged(at: u64, what: impl Into<String>) -> RdbError {
    RdbError::Damaged { at, what: what.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::sink::Sink;
    use super::*;

    fn read_back(write: impl FnOnce(&mut Sink<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sink = Sink::new(&mut out, true);
        write(&mut sink);
        sink.finish().unwrap();
        out
    }

    #[test]
    fn lengths_are_read_as_they_were_written() {
        let all = [0, 1, 63, 64, 16_383, 16_384, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX];
        let bytes = read_back(|sink| all.iter().for_each(|value| sink.length(*value).unwrap()));
        let mut input = bytes.as_slice();
        let mut source = Source::new(&mut input);
        for value in all {
            assert_eq!(source.length().unwrap(), value);
        }
        let sum = source.checksum();
        assert_eq!(u64::from_le_bytes(source.array().unwrap()), sum);
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let all =
            [0, -1, 127, 128, -128, -129, 32_767, 32_768, -32_769, 1 << 31, -(1 << 31), i64::MAX, i64::MIN];
        let bytes = read_back(|sink| all.iter().for_each(|value| sink.integer(*value).unwrap()));
        let mut input = bytes.as_slice();
        let mut source = Source::new(&mut input);
        for value in all {
            assert_eq!(source.string().unwrap().into_bytes(), value.to_string().as_bytes());
        }
    }

    #[test]
    fn long_strings_cross_the_buffer() {
        let lengths = [0, 1, 70_000, BUFFER_BYTES - 3, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES + 17];
        let bytes = read_back(|sink| {
            lengths.iter().for_each(|length| sink.string(&vec![*length as u8; *length]).unwrap());
        });
        let mut input = bytes.as_slice();
        let mut source = Source::new(&mut input);
        for length in lengths {
            assert_eq!(*source.string().unwrap().into_bytes(), vec![length as u8; length]);
        }
        let sum = source.checksum();
        assert_eq!(u64::from_le_bytes(source.array().unwrap()), sum);
        assert_eq!(source.position(), bytes.len() as u64);
    }

    #[test]
    fn a_claimed_length_costs_no_memory() {
        for claim in [&[0x80, 0xff, 0xff, 0xff, 0xff, 1, 2][..], &[0x81, 0, 0, 0, 0, 0xff, 0, 0, 0]] {
            let mut input = claim;
            assert!(matches!(Source::new(&mut input).string(), Err(RdbError::Damaged { .. })));
        }
        let mut input = &[0x81, 0, 0, 0, 1, 0, 0, 0, 0][..];
        let error = Source::new(&mut input).string().unwrap_err();
        assert_eq!(error.to_string(), "bad RDB at byte 0: a string of 4294967296 bytes, 4294967295 at most");
    }

    #[test]
    fn old_readers_get_no_lengths_of_64_bits() {
        let mut out = Vec::new();
        let mut sink = Sink::new(&mut out, false);
        assert!(sink.length(u64::from(u32::MAX)).is_ok());
        assert!(matches!(sink.length(1 << 32), Err(RdbError::Unsupported { at: 5, .. })));
    }
}
