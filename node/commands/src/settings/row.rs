//! One row of the table of settings: its names, what values it takes, who reads it.

use super::Settings;

pub(super) const I32_MAX: i64 = i32::MAX as i64;
pub(super) const I32_MIN: i64 = i32::MIN as i64;

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    YesNo,
    /// A whole number between these.
    Integer(i64, i64),
    /// Bytes between these, with units; never shown with them.
    Memory(u64, u64),
    /// A number between these, written in base 8.
    Octal(u32, u32),
    /// `no`, and for `yes` the reason why not.
    NoAlone(&'static str),
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// Some of these words, in any case; the first means none of the others.
    Choices(&'static [&'static str]),
    /// Anything, as one value.
    Text,
    /// A file's name without a path; the text is the setting's own name.
    FileName(&'static str),
    /// A host's name.
    Hostname,
    /// Any number of words.
    Words,
    /// A host and a port, or `no one`.
    HostPort,
    /// `class hard soft seconds`, several times.
    OutputLimits,
    /// `seconds changes`, several times, or nothing.
    SavePoints,
    /// Bytes, or a share of `maxmemory`.
    MemoryOrPercent,
    /// Letters of keyspace events.
    EventClasses,
    /// Three numbers.
    OomScores,
    /// Numbers from 0 to 100.
    Percentiles,
}

/// When a setting may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Always.
    Anytime,
    /// At the start alone.
    StartOnly,
    /// By CONFIG SET only if `enable-protected-configs` allows it.
    Protected,
}

/// The typed field behind a setting. `write` gets the canonical text of a value that was checked.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) read: fn(&Settings) -> String,
    pub(super) write: fn(&mut Settings, &str),
}

/// One setting.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Its other name, from when replicas were called slaves and listpacks ziplists.
    pub(super) alias: Option<&'static str>,
    /// As CONFIG GET shows it.
    pub(super) default: &'static str,
    pub(super) kind: Kind,
    pub(super) access: Access,
    /// `None`: nobody reads it, and the text itself is kept.
    pub(super) field: Option<Field>,
}

impl Row {
    pub(super) const fn or(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    pub(super) const fn start_only(self) -> Self {
        Self { access: Access::StartOnly, ..self }
    }

    pub(super) const fn protected(self) -> Self {
        Self { access: Access::Protected, ..self }
    }

    pub(super) const fn typed(self, field: Field) -> Self {
        Self { field: Some(field), ..self }
    }

    /// The spelling among its two names that `name` is, in any case.
    pub(super) fn spelling(&self, name: &[u8]) -> Option<&'static str> {
        let names = [Some(self.name), self.alias];
        names.into_iter().flatten().find(|own| own.as_bytes().eq_ignore_ascii_case(name))
    }
}

pub(super) const fn row(name: &'static str, default: &'static str, kind: Kind) -> Row {
    Row { name, alias: None, default, kind, access: Access::Anytime, field: None }
}

pub(super) const fn yes_no(name: &'static str, default: &'static str) -> Row {
    row(name, default, Kind::YesNo)
}

pub(super) const fn integer(name: &'static str, default: &'static str, min: i64, max: i64) -> Row {
    row(name, default, Kind::Integer(min, max))
}

pub(super) const fn memory(name: &'static str, default: &'static str, min: u64, max: u64) -> Row {
    row(name, default, Kind::Memory(min, max))
}

pub(super) const fn choice(name: &'static str, default: &'static str, words: &'static [&'static str]) -> Row {
    row(name, default, Kind::Choice(words))
}

pub(super) const fn text(name: &'static str, default: &'static str) -> Row {
    row(name, default, Kind::Text)
}
