//! The manifest: which files a log consists of, in the grammar of Redis 7's multi-part append-only file.
//!
//! A line for each file: `file <name> seq <number> type <b|i|h>`, and since Redis 8 `startoffset <n>` and
//! `endoffset <n>`. It is read as Redis reads it, and refused in Redis' words; what [`ManifestFlaw`] marks as ours, Redis
//! would stumble over later. It touches no disk: bytes in, bytes out.
//!
//! # What Redis makes of the offsets (tried with redis-server 8.2.3)
//!
//! Only the *last* increment counts. After loading, Redis 8 stands at its `endoffset`, if that is there and not -1;
//! else at `startoffset` plus the length of the file, whatever is in it (a preamble, annotations; a torn tail is cut
//! before). No `startoffset`, or one of -1, counts as 0. Every other number is taken, negative ones too. Thus a file that
//! begins with `P` bytes outside the stream, and whose first byte of the stream is the one after `start`, states
//! `start - P`: see [`ManifestFile::increment`]. Redis 8 takes `endoffset` away while it runs, and writes it at a clean
//! shutdown. Its replid is a new one after each start.
//!
//! redis-server 7.0.15 and valkey-server 9.1.2 accept both keys and ignore them, but drop them from the first manifest that
//! they write.

mod line;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use thiserror::Error;

use line::Kind;

/// The longest line, with its end, that Redis reads.
pub const LINE_BYTES_MAX: usize = 1024;

/// The largest manifest worth reading: about a hundred thousand files.
pub const MANIFEST_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Sequence numbers stay below, so that there is always a next one.
const SEQ_MAX: i64 = i64::MAX / 2;

/// The files of a log, in the order in which they are loaded: the base, then the increments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// What the log starts from.
    pub base: Option<ManifestFile>,
    /// The log since, oldest first. Their sequence numbers ascend.
    pub increments: Vec<ManifestFile>,
    /// Files that nothing live needs. Redis removes them when it starts.
    pub history: Vec<ManifestFile>,
}

/// One file of a manifest. What kind it is says its place in [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its name, within the folder of the manifest.
    pub name: String,
    /// Its number among its kind; never 0.
    pub seq: i64,
    /// Where Redis 8 stands before it has loaded the file. Redis takes -1 for "not known", and so it is read and written.
    pub start_offset: Option<i64>,
    /// Where Redis 8 stands after it has loaded the file; it writes this at a clean shutdown only.
    pub end_offset: Option<i64>,
}

/// What a base is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFormat {
    /// An RDB.
    Rdb,
    /// Commands.
    Aof,
}

/// A manifest that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the AOF manifest is bad at line {line}: {flaw}")]
pub struct ManifestError {
    /// The line, counted from 1; 0 when there is none.
    pub line: u32,
    /// The line as it stands there, trimmed; `None` where Redis does not show it either.
    pub text: Option<Vec<u8>>,
    /// What is wrong with it.
    pub flaw: ManifestFlaw,
}

/// What is wrong with a manifest, in Redis' words.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ManifestFlaw {
    /// Not a single line.
    #[error("Found an empty AOF manifest")]
    Empty,
    /// A line above [`LINE_BYTES_MAX`], or one that does not end, or with a NUL.
    #[error("The AOF manifest file contains too long line")]
    LineTooLong,
    /// An empty line, broken quotes, a key without value, one of the three keys missing, a sequence number of 0.
    #[error("Invalid AOF manifest file format")]
    Format,
    /// A name that leads out of the folder. Ours: also one that names a folder (empty, `.`, `..`).
    #[error("File can't be a path, just a filename")]
    NameIsPath,
    /// A second base.
    #[error("Found duplicate base file information")]
    SecondBase,
    /// An increment whose number is not above the one before.
    #[error("Found a non-monotonic sequence number")]
    NonMonotonic,
    /// A type other than `b`, `i` and `h`.
    #[error("Unknown AOF file type")]
    UnknownType,
    /// Ours: a name that is not UTF-8.
    #[error("File name is not valid UTF-8")]
    NameIsNoText,
    /// Ours: a name with so many escapes that its line would be too long when it is written again.
    #[error("File name is too long")]
    NameTooLong,
    /// Ours: a number after which there may be none.
    #[error("Sequence number is too large")]
    SeqTooLarge,
    /// Ours: Redis would load the file twice.
    #[error("Found the same file twice")]
    SameFileTwice,
}

/// What Redis finds in a folder before it loads a log, and where a log from before 7.0 would be.
#[derive(Clone, Copy, Debug)]
pub struct LegacyState<'a> {
    /// Redis' `appendfilename`.
    pub append_file_name: &'a str,
    /// Whether a file of that name lies in `dir`, beside the folder `appenddirname`.
    pub is_beside_folder: bool,
    /// Whether a file of that name lies within the folder.
    pub is_in_folder: bool,
    /// The manifest of the folder; `None` where there is no folder or no manifest.
    pub manifest: Option<&'a Manifest>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What Redis refuses, by its words and the line, and what our variants of [`ManifestFlaw`] add.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        let mut live_names = HashSet::new();
        let mut lines = 0;
        for (raw, number) in line::pieces(bytes).zip(1..) {
            lines = number;
            let fail = |text, flaw| Err(ManifestError { line: number, text, flaw });
            let text = match line::trimmed(raw) {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(flaw) => return fail(None, flaw),
            };
            let added = line::parse(text).and_then(|(kind, file)| {
                let is_new = kind == Kind::History || live_names.insert(file.name.clone());
                manifest.add(kind, file)?;
                if is_new { Ok(()) } else { Err(ManifestFlaw::SameFileTwice) }
            });
            if let Err(flaw) = added {
                return fail(Some(text.to_vec()), flaw);
            }
        }
        match lines {
            0 => Err(ManifestError { line: 0, text: None, flaw: ManifestFlaw::Empty }),
            _ => Ok(manifest),
        }
    }

    /// Writes it as Redis does: the base, history, increments. A name of 255 bytes fits into a line that Redis reads, unless
    /// it has dozens of control characters.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.base.iter().for_each(|file| line::write(&mut out, Kind::Base, file));
        self.history.iter().for_each(|file| line::write(&mut out, Kind::History, file));
        self.increments.iter().for_each(|file| line::write(&mut out, Kind::Increment, file));
        out
    }

    /// The files that are loaded, in that order.
    pub fn live(&self) -> impl Iterator<Item = &ManifestFile> {
        self.base.iter().chain(&self.increments)
    }

    /// Whether it names nothing that is loaded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The number of a new base. History counts, so that no name is taken that is about to be removed.
    #[must_use]
    pub fn next_base_seq(&self) -> i64 {
        next(self.base.iter().chain(self.history.iter().filter(|file| file.is_named_as_base())))
    }

    /// The number of a new increment; history counts.
    #[must_use]
    pub fn next_increment_seq(&self) -> i64 {
        next(self.increments.iter().chain(self.history.iter().filter(|file| !file.is_named_as_base())))
    }

    fn add(&mut self, kind: Kind, file: ManifestFile) -> Result<(), ManifestFlaw> {
        match kind {
            Kind::Base if self.base.is_some() => return Err(ManifestFlaw::SecondBase),
            Kind::Increment if file.seq <= self.increments.last().map_or(0, |last| last.seq) => {
                return Err(ManifestFlaw::NonMonotonic);
            }
            Kind::Base => self.base = Some(file),
            Kind::Increment => self.increments.push(file),
            Kind::History => self.history.push(file),
        }
        Ok(())
    }
}

fn next<'a>(files: impl Iterator<Item = &'a ManifestFile>) -> i64 {
    files.map(|file| file.seq).fold(0, i64::max).saturating_add(1)
}

impl ManifestFile {
    /// A base by Redis' naming: `appendonly.aof.1.base.rdb`.
    #[must_use]
    pub fn base(append_file_name: &str, seq: i64, format: BaseFormat) -> Self {
        let ending = match format {
            BaseFormat::Rdb => "rdb",
            BaseFormat::Aof => "aof",
        };
        let name = format!("{append_file_name}.{seq}.base.{ending}");
        Self { name, seq, start_offset: None, end_offset: None }
    }

    /// An increment by Redis' naming, `appendonly.aof.1.incr.aof`, that begins with `preamble_bytes` outside the stream
    /// and goes on with the byte after `start`.
    ///
    /// ```
    /// # use rejoin_persistence::manifest::ManifestFile;
    /// let file = ManifestFile::increment("appendonly.aof", 2, 1000, 23);
    /// assert_eq!((file.name.as_str(), file.start_offset), ("appendonly.aof.2.incr.aof", Some(977)));
    /// ```
    #[must_use]
    pub fn increment(append_file_name: &str, seq: i64, start: u64, preamble_bytes: u64) -> Self {
        let start_offset =
            i64::try_from(start).ok().and_then(|start| start.checked_sub_unsigned(preamble_bytes));
        Self { name: format!("{append_file_name}.{seq}.incr.aof"), seq, start_offset, end_offset: None }
    }

    /// A file from before 7.0, which becomes the first base under the name that it has.
    #[must_use]
    pub fn legacy_base(append_file_name: &str) -> Self {
        Self { name: append_file_name.to_owned(), seq: 1, start_offset: None, end_offset: None }
    }

    fn is_named_as_base(&self) -> bool {
        self.name.ends_with(".base.rdb") || self.name.ends_with(".base.aof")
    }
}

/// `appendonly.aof.manifest`, where a manifest lies.
#[must_use]
pub fn manifest_name(append_file_name: &str) -> String {
    format!("{append_file_name}.manifest")
}

/// Under which name Redis writes a manifest before it takes the place of the old one.
#[must_use]
pub fn temporary_manifest_name(append_file_name: &str) -> String {
    format!("temp-{append_file_name}.manifest")
}

impl LegacyState<'_> {
    /// What Redis 7 does with a log from before 7.0: the manifest to write, and to sync, *before* the file is moved into
    /// the folder under its name. `None` when there is nothing to move: the file beside the folder is then ignored.
    ///
    /// In this order a crash in between leaves a state in which the same is done again. A manifest that names the file
    /// beside others while it does not lie in the folder is none of these states; loading fails for the missing file.
    #[must_use]
    pub fn manifest_before_move(&self) -> Option<Manifest> {
        let is_interrupted_move = |manifest: &Manifest| {
            let base = manifest.base.as_ref().map(|base| base.name.as_str());
            base == Some(self.append_file_name) && manifest.increments.is_empty() && !self.is_in_folder
        };
        let manifest = self.manifest.cloned().unwrap_or_default();
        let moves = self.is_beside_folder && (manifest.is_empty() || is_interrupted_move(&manifest));
        moves.then(|| Manifest { base: Some(ManifestFile::legacy_base(self.append_file_name)), ..manifest })
    }
}

impl ManifestError {
    /// What Redis logs, line by line, before it ends.
    #[must_use]
    pub fn report(&self) -> Vec<String> {
        let mut lines = vec!["*** FATAL AOF MANIFEST FILE ERROR ***".to_owned()];
        if let Some(text) = &self.text {
            lines.push(format!("Reading the manifest file, at line {}", self.line));
            lines.push(format!(">>> '{}'", String::from_utf8_lossy(text)));
        }
        lines.push(self.flaw.to_string());
        lines
    }
}
