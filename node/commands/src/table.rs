//! The static table of all commands, and the lookup by name.
//!
//! Every request passes through [`lookup`], so it neither allocates nor hashes more than two words: a small table
//! with open addressing, built once from the groups' rows.

use std::sync::LazyLock;

use crate::{Command, data, node, pubsub, session};

/// Places in the table; a power of two, at least twice the number of rows.
const PLACES: usize = 1024;

/// A name as a few words with the case bit of every letter set, so that most names compare in two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Folded {
    first: u64,
    last: u64,
    len: usize,
}

impl Folded {
    /// Longer names are not wholly in the words.
    const LEN_MAX: usize = 16;

    #[inline]
    fn of(name: &[u8]) -> Self {
        const CASE: u64 = 0x2020_2020_2020_2020;
        let (first, last) = match name.len() {
            0 => (0, 0),
            1..4 => {
                let bytes = [name[0], name[name.len() / 2], name[name.len() - 1], 0];
                (u64::from(u32::from_le_bytes(bytes)), 0)
            }
            4..8 => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
                }
                _ => (0, 0),
            },
            _ => match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
                (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
                _ => (0, 0),
            },
        };
        Self { first: first | CASE, last: last | CASE, len: name.len() }
    }

    #[inline]
    fn place(self) -> usize {
        let words = self.first ^ self.last.rotate_left(29) ^ ((self.len as u64) << 59);
        (words.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % PLACES
    }
}

#[derive(Clone, Copy)]
struct Place {
    name: Folded,
    /// Names that are equal when folded are equal in any case: short and of letters only.
    is_exact: bool,
    row: &'static Command,
}

struct Table {
    places: Box<[Option<Place>; PLACES]>,
    rows: Vec<&'static Command>,
    /// All rows by their numbers, each container before its subcommands.
    numbered: Vec<&'static Command>,
    /// `get`, `container|subcommand`; by the rows' numbers.
    full_names: Vec<Box<str>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

impl Table {
    fn build() -> Self {
        let mut table = Self {
            places: Box::new([None; PLACES]),
            rows: Vec::new(),
            numbered: Vec::new(),
            full_names: Vec::new(),
        };
        for group in data::GROUPS.iter().chain(session::GROUPS).chain(node::GROUPS).chain(pubsub::GROUPS) {
            for row in *group {
                table.insert(row);
            }
        }
        assert!(table.rows.len() * 2 <= PLACES, "the command table is too full: double PLACES");
        table
    }

    /// Numbers a row and its subcommands. The numbered copies live as long as the process, as the table does.
    fn insert(&mut self, row: &Command) {
        let name = Folded::of(row.name.as_bytes());
        let is_exact =
            row.name.len() <= Folded::LEN_MAX && row.name.bytes().all(|byte| byte.is_ascii_lowercase());
        let mut place = name.place();
        while let Some(other) = self.places[place] {
            assert!(other.row.name != row.name, "two rows of the command table share a name");
            place = (place + 1) % PLACES;
        }
        let number = self.number(row.name.into());
        let subcommands: Vec<Command> = row
            .subcommands
            .iter()
            .map(|sub| Command { number: self.number(format!("{}|{}", row.name, sub.name).into()), ..*sub })
            .collect();
        let row: &'static Command =
            Box::leak(Box::new(Command { number, subcommands: subcommands.leak(), ..*row }));
        self.places[place] = Some(Place { name, is_exact, row });
        self.rows.push(row);
        self.numbered.push(row);
        self.numbered.extend(row.subcommands);
    }

    fn number(&mut self, full_name: Box<str>) -> u16 {
        let number = self.full_names.len();
        self.full_names.push(full_name);
        u16::try_from(number).unwrap_or(u16::MAX)
    }
}

/// The row of the command called `name`, in any case.
#[inline]
#[must_use]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let places = &TABLE.places;
    let folded = Folded::of(name);
    let mut place = folded.place();
    while let Some(candidate) = &places[place] {
        if candidate.name == folded
            && (candidate.is_exact || candidate.row.name.as_bytes().eq_ignore_ascii_case(name))
        {
            return Some(candidate.row);
        }
        place = (place + 1) % PLACES;
    }
    None
}

/// The row of a subcommand of `container`, in any case.
#[must_use]
pub fn subcommand(container: &'static Command, name: &[u8]) -> Option<&'static Command> {
    container.subcommands.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The name under which Redis shows a row: `get`, `client|list`.
#[must_use]
pub fn full_name(command: &Command) -> &'static str {
    TABLE.full_names.get(usize::from(command.number)).map_or(command.name, |name| name)
}

/// All rows, containers included, subcommands not.
#[must_use]
pub fn rows() -> &'static [&'static Command] {
    &TABLE.rows
}

/// All rows by their numbers, each container before its subcommands.
#[must_use]
pub fn numbered() -> &'static [&'static Command] {
    &TABLE.numbered
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_in_any_case_and_nothing_else() {
        for row in rows() {
            assert!(std::ptr::eq(lookup(row.name.as_bytes()).unwrap(), *row));
            assert!(lookup(row.name.to_ascii_uppercase().as_bytes()).is_some());
        }
        for name in
            ["", "g", "gett", "getx\0", "nosuchcommandatall", "\x07ET", "gat", "hincrbyfleat", "PSETEX "]
        {
            assert!(lookup(name.as_bytes()).is_none(), "{name:?}");
        }
    }

    #[test]
    fn rows_are_lower_case_and_subcommands_have_full_names() {
        for row in rows() {
            assert_eq!(row.name, row.name.to_ascii_lowercase());
            for sub in row.subcommands {
                assert_eq!(full_name(sub), format!("{}|{}", row.name, sub.name));
            }
        }
    }

    #[test]
    fn every_row_stands_at_its_number() {
        for (number, row) in numbered().iter().enumerate() {
            assert_eq!(usize::from(row.number), number, "{}", full_name(row));
        }
        let rows_and_subcommands: usize = rows().iter().map(|row| 1 + row.subcommands.len()).sum();
        assert_eq!(numbered().len(), rows_and_subcommands);
    }
}
