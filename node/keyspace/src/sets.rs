//! Set values: integers as a sorted run, members packed into their entry while small, a tree of members when large.
//! Reading; `set_mut` writes.

use std::ops::Deref;

use rejoin_protocol::number::parse_i64;

use crate::entry::{Kind, NewValue};
use crate::{Entry, HashLimits, HashSeed, HashView, ScanCursor, int_set};

/// When a set changes its form: Redis' `set-max-intset-entries`, `set-max-listpack-entries` and
/// `set-max-listpack-value`. No run is longer than 64 KiB, whatever these say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLimits {
    /// Members at most while all are integers.
    pub integers_max: usize,
    /// What a packed set may hold.
    pub packed: HashLimits,
}

impl Default for SetLimits {
    fn default() -> Self {
        Self { integers_max: 512, packed: HashLimits { entries_max: 128, value_bytes_max: 64 } }
    }
}

/// How a set is held, as OBJECT ENCODING tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetForm {
    /// Integers alone (intset).
    Integers,
    /// A packed run (listpack).
    Packed,
    /// A tree (hashtable).
    Tree,
}

/// A member of a set: bytes, of the set or of a number's decimal form.
#[derive(Clone, Copy, Debug)]
pub enum Member<'a> {
    /// Bytes that the set holds.
    Bytes(&'a [u8]),
    /// The digits of a number, and how many they are.
    Digits([u8; 20], u8),
}

impl Deref for Member<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Digits(digits, len) => &digits[..usize::from(*len)],
        }
    }
}

impl From<i64> for Member<'_> {
    fn from(number: i64) -> Self {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(number).as_bytes();
        let mut digits = [0; 20];
        digits[..text.len()].copy_from_slice(text);
        Self::Digits(digits, text.len() as u8)
    }
}

/// A set to read from.
#[derive(Clone, Copy, Debug)]
pub struct SetView<'a> {
    pub(crate) entry: &'a Entry,
}

impl<'a> SetView<'a> {
    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.integers() {
            Some(run) => int_set::count(run),
            None => self.members().len(),
        }
    }

    /// Whether it has no member (never so for a set that stands in a database).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it is held.
    #[must_use]
    pub fn form(&self) -> SetForm {
        match self.entry.kind() {
            Kind::SetInts => SetForm::Integers,
            Kind::SetPacked => SetForm::Packed,
            _ => SetForm::Tree,
        }
    }

    /// Whether `member` is in it.
    #[must_use]
    pub fn contains(&self, seed: &HashSeed, member: &[u8]) -> bool {
        match self.integers() {
            Some(run) => parse_i64(member).is_some_and(|number| int_set::search(run, number).is_ok()),
            None => self.members().get(seed, member).is_some(),
        }
    }

    /// All members; integers in order, packed ones in the order of insertion, those of a tree in the order of their
    /// hashes as far as it branches.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Member<'a>> + 'a> {
        match self.integers() {
            Some(run) => Box::new(int_set::iter(run).map(Member::from)),
            None => Box::new(self.members().iter().map(|(member, _)| Member::Bytes(member))),
        }
    }

    /// Visits about `count` members from `cursor` on and returns where to go on; SCAN's guarantee holds. What is not a
    /// tree is visited whole.
    pub fn scan(&self, cursor: ScanCursor, count: usize, visit: &mut dyn FnMut(&[u8])) -> ScanCursor {
        if self.form() == SetForm::Integers {
            self.iter().for_each(|member| visit(&member));
            return ScanCursor::START;
        }
        self.members().scan(cursor, count, &mut |member, _| visit(member))
    }

    /// The member that the random number `rank` (any u64) chooses, each with equal chance.
    #[must_use]
    pub fn random(&self, rank: u64) -> Option<Member<'a>> {
        match self.integers() {
            Some(run) => {
                let rank = rank.checked_rem(int_set::count(run) as u64)?;
                int_set::get(run, rank as usize).map(Member::from)
            }
            None => self.members().random(rank).map(|(member, _)| Member::Bytes(member)),
        }
    }

    fn integers(&self) -> Option<&'a [u8]> {
        (self.entry.kind() == Kind::SetInts).then(|| self.entry.inline())
    }

    /// The members as fields of a hash.
    fn members(&self) -> HashView<'a> {
        HashView { entry: self.entry }
    }
}

impl Entry {
    /// A set of integers without any.
    pub(crate) fn new_int_set(key: &[u8]) -> Self {
        Self::new(key, None, NewValue::Bytes(Kind::SetInts, &int_set::EMPTY))
    }

    /// Whether the value is a set.
    pub(crate) fn is_set(&self) -> bool {
        matches!(self.kind(), Kind::SetInts | Kind::SetPacked | Kind::SetTree)
    }
}
