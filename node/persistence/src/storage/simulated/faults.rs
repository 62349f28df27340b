//! Failures by plan.

use std::{collections::BTreeMap, io, path::Path};

use super::Permit;

/// What is asked of a storage or of one of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are named as the methods are")]
pub enum Verb {
    Open,
    Rename,
    Remove,
    List,
    CreateFolder,
    SyncFolder,
    LockFolder,
    Write,
    Read,
    Len,
    SetLen,
    Sync,
}

/// A failure, and when it happens: at first the next time that anything is asked.
///
/// ```
/// # use std::io::ErrorKind;
/// # use rejoin_persistence::storage::simulated::{Fault, SimulatedStorage, Verb};
/// let storage = SimulatedStorage::new();
/// // The third sync of a segment fails, and all after it.
/// storage.fail(Fault::error(ErrorKind::Other).on(Verb::Sync).of(".incr.aof").at(3).forever());
/// // The fifth operation of any kind is the process' last one.
/// storage.fail(Fault::crash().at(5));
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    what: What,
    verb: Option<Verb>,
    /// What the path contains.
    name: String,
    /// The first time that it happens, counted from 1, and how often from then on.
    first: u64,
    times: u64,
    /// How often something was asked to which it applies.
    asked: u64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Error(io::ErrorKind),
    ShortWrite(usize),
    Crash,
}

impl Fault {
    /// Nothing is done, and this error returned.
    #[must_use]
    pub fn error(kind: io::ErrorKind) -> Self {
        Self::new(What::Error(kind))
    }

    /// A write takes no more than so many bytes, and says so; at least one.
    #[must_use]
    pub fn short_write(bytes: usize) -> Self {
        Self::new(What::ShortWrite(bytes.max(1))).on(Verb::Write)
    }

    /// The process ends: nothing is done, of a write the first half, and everything after it fails.
    #[must_use]
    pub fn crash() -> Self {
        Self::new(What::Crash)
    }

    fn new(what: What) -> Self {
        Self { what, verb: None, name: String::new(), first: 1, times: 1, asked: 0 }
    }

    /// Only if this is asked.
    #[must_use]
    pub fn on(self, verb: Verb) -> Self {
        Self { verb: Some(verb), ..self }
    }

    /// Only for paths that contain `name`; of a rename, the old path counts, of an open file the one it was opened by.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Only the n-th time, counted from 1 and from now on.
    #[must_use]
    pub fn at(self, nth: u64) -> Self {
        Self { first: nth, ..self }
    }

    /// So many times in a row.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Again and again.
    #[must_use]
    pub fn forever(self) -> Self {
        self.times(u64::MAX)
    }

    fn applies(&mut self, verb: Verb, path: &str) -> bool {
        if self.verb.is_some_and(|own| own != verb) || !path.contains(&self.name) {
            return false;
        }
        self.asked += 1;
        self.asked >= self.first && self.asked - self.first < self.times
    }
}

/// What is planned and what has happened.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Fault>,
    operations: BTreeMap<Verb, u64>,
    failures: u64,
    is_down: bool,
}

impl Faults {
    pub(super) fn plan(&mut self, fault: Fault) {
        self.planned.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
    }

    pub(super) fn operations(&self, verb: Option<Verb>) -> u64 {
        match verb {
            Some(verb) => self.operations.get(&verb).copied().unwrap_or_default(),
            None => self.operations.values().sum(),
        }
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn is_down(&self) -> bool {
        self.is_down
    }

    /// Whether something that is no write may be done.
    pub(super) fn permit(&mut self, verb: Verb, path: &Path) -> io::Result<()> {
        match self.happens(verb, path)? {
            None | Some(What::ShortWrite(_)) => Ok(()),
            Some(What::Error(kind)) => Err(kind.into()),
            Some(What::Crash) => Err(self.go_down()),
        }
    }

    /// What may be done of a write.
    pub(super) fn permit_write(&mut self, path: &Path, bytes: usize) -> io::Result<Permit> {
        match self.happens(Verb::Write, path)? {
            None => Ok(Permit::Whole),
            Some(What::ShortWrite(count)) => Ok(Permit::Part(count.min(bytes))),
            Some(What::Error(kind)) => Err(kind.into()),
            Some(What::Crash) => {
                self.is_down = true;
                Ok(Permit::LastPart(bytes / 2))
            }
        }
    }

    fn happens(&mut self, verb: Verb, path: &Path) -> io::Result<Option<What>> {
        if self.is_down {
            return Err(is_gone());
        }
        *self.operations.entry(verb).or_default() += 1;
        let path = path.to_string_lossy();
        // Every plan counts, also where an earlier one happens.
        let mut happens = None;
        for fault in &mut self.planned {
            if fault.applies(verb, &path) {
                happens = happens.or(Some(fault.what));
            }
        }
        self.failures += u64::from(happens.is_some());
        Ok(happens)
    }

    fn go_down(&mut self) -> io::Error {
        self.is_down = true;
        is_gone()
    }
}

/// What a process that has ended is told.
pub(super) fn is_gone() -> io::Error {
    io::Error::other("the simulated process has ended")
}
