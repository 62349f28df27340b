//! What we do not have: refused by name and place, or parsed as far as it takes to pass over it.

use super::super::format::{Dialect, foreign_type, module_opcode, type_name};
use super::super::source::damaged;
use super::super::{CheckEvent, RdbError};
use super::{Decoder, unsupported};

/// Bytes of the identity of an entry of a stream.
const STREAM_ID_BYTES: u64 = 16;

/// Bytes of a time in milliseconds.
const MILLIS_BYTES: u64 = 8;

impl Decoder<'_> {
    /// The error for a type that we do not have, whose number stood at `at` and whose key was not read. The name of a
    /// module stands behind the key.
    pub(super) fn unsupported_type(&mut self, at: u64, number: u8) -> RdbError {
        let Some(name) = type_name(number, self.dialect) else {
            return damaged(at, format!("no type or opcode has the number {number}"));
        };
        if self.read_name().is_err() {
            return unsupported(at, format!("type {number}, {name}"));
        }
        let key = self.name.escape_ascii();
        if number == foreign_type::MODULE_2
            && let Ok(id) = self.source.length()
        {
            let module = module_name(id);
            return unsupported(
                at,
                format!("type {number}, a value of the module type '{module}', key '{key}'"),
            );
        }
        unsupported(at, format!("type {number}, {name}, key '{key}'"))
    }

    /// A key is refused or passed over, as we are told; its value was read.
    pub(super) fn refuse_or_skip_key(
        &mut self,
        at: u64,
        number: u8,
        key: &[u8],
        name: &str,
    ) -> Result<(), RdbError> {
        let what = format!("type {number}, {name}, key '{}'", key.escape_ascii());
        if !self.options.skips_unsupported {
            return Err(unsupported(at, what));
        }
        self.summary.skipped.keys += 1;
        self.type_counts[usize::from(number)] += 1;
        self.note_skipped(at, what);
        Ok(())
    }

    /// Workers may note what stands before what was noted already.
    pub(super) fn note_skipped(&mut self, at: u64, what: String) {
        let first = &mut self.summary.skipped.first;
        if first.as_ref().is_none_or(|(before, _)| at < *before) {
            *first = Some((at, what));
        }
    }

    /// Passes over the value of a type that we do not have, behind its key.
    pub(super) fn skip_value(&mut self, at: u64, number: u8) -> Result<(), RdbError> {
        let (_, _) = (self.expiry.take(), self.usage.take());
        let name = match number {
            foreign_type::MODULE_2 => {
                let id = self.source.length()?;
                self.skip_module_data()?;
                format!("a value of the module type '{}'", module_name(id))
            }
            foreign_type::STREAM
            | foreign_type::STREAM_2
            | foreign_type::STREAM_3
            | foreign_type::STREAM_4
            | foreign_type::STREAM_5 => {
                self.skip_stream(number)?;
                type_name(number, self.dialect).unwrap_or_default().to_owned()
            }
            _ => {
                let name = type_name(number, self.dialect).unwrap_or_default();
                let key = self.name.escape_ascii();
                let what = format!("type {number}, {name}, key '{key}': it cannot be passed over either");
                return Err(unsupported(at, what));
            }
        };
        let key = std::mem::take(&mut self.name);
        let outcome = self.refuse_or_skip_key(at, number, &key, &name);
        self.name = key;
        outcome
    }

    /// Nodes of entries, numbers of the whole, groups with their consumers; since the fourth form, what is known of
    /// producers.
    fn skip_stream(&mut self, form: u8) -> Result<(), RdbError> {
        for _ in 0..self.source.length()? {
            self.source.skip_string()?;
            self.source.skip_string()?;
        }
        // How many entries, the last identity (two numbers); the first, the greatest deleted, how many ever.
        self.skip_lengths(if form >= foreign_type::STREAM_2 { 3 + 5 } else { 3 })?;
        for _ in 0..self.source.length()? {
            self.skip_stream_group(form)?;
        }
        if form >= foreign_type::STREAM_4 {
            self.skip_lengths(2)?;
            for _ in 0..self.source.length()? {
                self.source.skip_string()?;
                for _ in 0..self.source.length()? {
                    self.source.skip_string()?;
                    self.skip_lengths(2)?;
                }
            }
            self.skip_lengths(2)?;
        }
        Ok(())
    }

    fn skip_stream_group(&mut self, form: u8) -> Result<(), RdbError> {
        self.source.skip_string()?;
        // The last identity; how many were read.
        self.skip_lengths(if form >= foreign_type::STREAM_2 { 3 } else { 2 })?;
        for _ in 0..self.source.length()? {
            self.source.skip(STREAM_ID_BYTES + MILLIS_BYTES)?;
            self.skip_lengths(1)?;
        }
        for _ in 0..self.source.length()? {
            self.source.skip_string()?;
            // When it was seen; when it was active.
            self.source.skip(if form >= foreign_type::STREAM_3 { 2 * MILLIS_BYTES } else { MILLIS_BYTES })?;
            self.skip_stream_ids()?;
        }
        if form >= foreign_type::STREAM_5 { self.skip_stream_ids() } else { Ok(()) }
    }

    fn skip_stream_ids(&mut self) -> Result<(), RdbError> {
        for _ in 0..self.source.length()? {
            self.source.skip(STREAM_ID_BYTES)?;
        }
        Ok(())
    }

    /// What a module wrote, up to its end.
    fn skip_module_data(&mut self) -> Result<(), RdbError> {
        loop {
            let at = self.source.position();
            match self.source.length()? {
                module_opcode::EOF => return Ok(()),
                module_opcode::SIGNED | module_opcode::UNSIGNED => self.skip_lengths(1)?,
                module_opcode::FLOAT => self.source.skip(4)?,
                module_opcode::DOUBLE => self.source.skip(8)?,
                module_opcode::STRING => self.source.skip_string()?,
                other => return Err(damaged(at, format!("data of a module with the opcode {other}"))),
            }
        }
    }

    pub(super) fn skip_lengths(&mut self, count: usize) -> Result<(), RdbError> {
        for _ in 0..count {
            self.source.length()?;
        }
        Ok(())
    }

    /// Reads a library of functions, which is kept for the caller, passed over or refused.
    pub(super) fn read_function(&mut self, at: u64) -> Result<(), RdbError> {
        let library = self.source.string()?.into_bytes().into_owned();
        let what = format!("FUNCTION2, the library of functions '{}'", library_name(&library).escape_ascii());
        self.observe(|read| CheckEvent::Extra { read, what: &what });
        if self.options.keeps_functions {
            let name = library_name(&library).into();
            self.keyspace.libraries_mut().insert(name, library.clone().into());
            self.summary.functions.push(library);
            return Ok(());
        }
        if !self.options.skips_unsupported {
            return Err(unsupported(at, what));
        }
        self.summary.skipped.functions += 1;
        self.note_skipped(at, what);
        Ok(())
    }

    /// Reads what a module keeps besides its keys.
    pub(super) fn read_module_data(&mut self, at: u64) -> Result<(), RdbError> {
        let what = format!("data of the module type '{}'", module_name(self.source.length()?));
        self.refuse_extra(at, &what)?;
        // When the module wants it: an opcode and a number.
        self.skip_lengths(2)?;
        self.skip_module_data()?;
        self.count_extra(at, what);
        Ok(())
    }

    /// The one opcode that Redis and Valkey use for different things.
    pub(super) fn read_key_meta_or_slot_import(&mut self, at: u64) -> Result<(), RdbError> {
        match self.dialect {
            Dialect::Redis => {
                let what = "KEY_META (metadata of a key)";
                self.refuse_extra(at, what)?;
                for _ in 0..self.source.length()? {
                    // Which class it is of.
                    self.source.skip(4)?;
                    self.skip_module_data()?;
                }
                self.count_extra(at, what.to_owned());
            }
            Dialect::Valkey => {
                let what = "SLOT_IMPORT (a slot migration under way)";
                self.refuse_extra(at, what)?;
                self.source.skip_string()?;
                for _ in 0..self.source.length()? {
                    self.skip_lengths(2)?;
                }
                self.count_extra(at, what.to_owned());
            }
        }
        Ok(())
    }

    fn refuse_extra(&self, at: u64, what: &str) -> Result<(), RdbError> {
        if self.options.skips_unsupported { Ok(()) } else { Err(unsupported(at, what)) }
    }

    fn count_extra(&mut self, at: u64, what: String) {
        self.observe(|read| CheckEvent::Extra { read, what: &what });
        self.summary.skipped.extras += 1;
        self.note_skipped(at, what);
    }
}

/// The name that a library states in its first line: `#!lua name=...`.
#[must_use]
pub fn library_name(code: &[u8]) -> &[u8] {
    let first_line = code.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = first_line.split(u8::is_ascii_whitespace);
    words.filter_map(|word| word.strip_prefix(b"name=")).next().unwrap_or_default()
}

/// A module type's name, nine characters of six bits above ten bits of version.
fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).rev().map(|place| char::from(CHARACTERS[(id >> (10 + 6 * place) & 63) as usize])).collect()
}
