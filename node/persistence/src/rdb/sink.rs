//! Where an RDB is written to: collects small pieces, keeps the checksum, writes the format's lengths and strings.

use std::io::Write;

use super::RdbError;
use super::checksum::Checksum;
use super::encodings::lzf::Compressor;
use super::format::{length, special};

/// Bytes collected before they are summed and written.
const PIECE_BYTES: usize = 256 * 1024;

/// Bytes from which on a string is written straight from where it lies, instead of being collected.
const DIRECT_BYTES: usize = 64 * 1024;

/// Bytes that a compressed string takes besides itself, about.
const LENGTHS_BYTES: usize = 4;

/// Bytes up to which a string is never compressed.
const UNCOMPRESSED_BYTES_MAX: usize = 20;

/// The writing end.
pub(super) struct Sink<'a> {
    out: &'a mut dyn Write,
    /// Collected, neither summed nor written.
    piece: Vec<u8>,
    /// Of everything written.
    checksum: Option<Checksum>,
    /// Compresses strings, if that is wished for.
    compressor: Option<Compressor>,
    /// Bytes handed to `out`.
    written: u64,
    /// Whether the version has lengths of 64 bits.
    long_lengths: bool,
}

impl<'a> Sink<'a> {
    pub(super) fn new(out: &'a mut dyn Write, long_lengths: bool) -> Self {
        let piece = Vec::with_capacity(PIECE_BYTES + DIRECT_BYTES);
        let checksum = Some(Checksum::new());
        Self { out, piece, checksum, compressor: None, written: 0, long_lengths }
    }

    /// Strings are compressed from here on, where that makes them shorter.
    pub(super) fn compress(&mut self) {
        self.compressor = Some(Compressor::new());
    }

    /// The checksum will be zero, which says that there is none.
    pub(super) fn omit_checksum(&mut self) {
        self.checksum = None;
    }

    /// For one value: little is set aside before it is known how long it is.
    pub(super) fn small(out: &'a mut dyn Write) -> Self {
        let checksum = Some(Checksum::new());
        Self { out, piece: Vec::new(), checksum, compressor: None, written: 0, long_lengths: true }
    }

    /// Bytes so far.
    pub(super) fn position(&self) -> u64 {
        self.written + self.piece.len() as u64
    }

    /// A few bytes as they are: opcodes, numbers.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.piece.extend_from_slice(bytes);
    }

    /// A length or a count.
    #[inline]
    pub(super) fn length(&mut self, value: u64) -> Result<(), RdbError> {
        if value < 1 << 6 {
            self.piece.push(value as u8);
        } else if value < 1 << 14 {
            self.bytes(&[length::MEDIUM | (value >> 8) as u8, value as u8]);
        } else if let Ok(value) = u32::try_from(value) {
            self.piece.push(length::LONG);
            self.bytes(&value.to_be_bytes());
        } else if self.long_lengths {
            self.piece.push(length::LONGER);
            self.bytes(&value.to_be_bytes());
        } else {
            let what = format!("a length of {value} for a reader that knows 32 bits");
            return Err(RdbError::Unsupported { at: self.position(), what });
        }
        Ok(())
    }

    /// A string of bytes.
    #[inline]
    pub(super) fn string(&mut self, bytes: &[u8]) -> Result<(), RdbError> {
        if self.compressor.is_some() && bytes.len() > UNCOMPRESSED_BYTES_MAX && self.compressed(bytes)? {
            return Ok(());
        }
        self.length(bytes.len() as u64)?;
        if bytes.len() >= DIRECT_BYTES {
            self.write_piece()?;
            return self.write_direct(bytes);
        }
        self.bytes(bytes);
        if self.piece.len() >= PIECE_BYTES { self.write_piece() } else { Ok(()) }
    }

    /// A string compressed, if that makes it shorter with the two lengths that it takes; whether it did.
    fn compressed(&mut self, bytes: &[u8]) -> Result<bool, RdbError> {
        let Some(mut compressor) = self.compressor.take() else { return Ok(false) };
        let compressed = compressor.compress(bytes, bytes.len() - LENGTHS_BYTES);
        if let Some(compressed) = compressed {
            self.piece.push(length::SPECIAL | special::LZF);
            self.length(compressed.len() as u64)?;
            self.length(bytes.len() as u64)?;
            self.bytes(compressed);
        }
        let is_shorter = compressed.is_some();
        self.compressor = Some(compressor);
        if self.piece.len() >= PIECE_BYTES {
            self.write_piece()?;
        }
        Ok(is_shorter)
    }

    /// A string that is a number: in binary where 32 bits hold it, in decimal otherwise.
    pub(super) fn integer(&mut self, value: i64) -> Result<(), RdbError> {
        if let Ok(value) = i8::try_from(value) {
            self.bytes(&[length::SPECIAL | special::INT8, value as u8]);
        } else if let Ok(value) = i16::try_from(value) {
            self.piece.push(length::SPECIAL | special::INT16);
            self.bytes(&value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.piece.push(length::SPECIAL | special::INT32);
            self.bytes(&value.to_le_bytes());
        } else {
            return self.string(itoa::Buffer::new().format(value).as_bytes());
        }
        Ok(())
    }

    /// Writes the checksum of everything and hands all of it on. Returns the bytes of the whole payload.
    pub(super) fn finish(mut self) -> Result<u64, RdbError> {
        self.write_piece()?;
        let trailer = self.checksum.take().map_or(0, |checksum| checksum.value()).to_le_bytes();
        self.write_direct(&trailer)?;
        self.out.flush()?;
        Ok(self.written)
    }

    #[cold]
    fn write_piece(&mut self) -> Result<(), RdbError> {
        let mut piece = std::mem::take(&mut self.piece);
        self.write_direct(&piece)?;
        piece.clear();
        self.piece = piece;
        Ok(())
    }

    fn write_direct(&mut self, bytes: &[u8]) -> Result<(), RdbError> {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
