//! Writing to a set: integers as long as all members are, then packed, then a tree; never back.

use rejoin_protocol::number::parse_i64;

use crate::entry::{Kind, NewValue};
use crate::guard::Guard;
use crate::int_set::{self, Insert};
use crate::packed::{self, EncodedLen};
use crate::{HashMut, SetForm, SetLimits, SetView};

/// A set to write to; accounts for itself when dropped, and is removed then if it has no member.
#[derive(Debug)]
pub struct SetMut<'a> {
    members: HashMut<'a>,
    limits: SetLimits,
}

impl<'a> SetMut<'a> {
    pub(crate) fn new(guard: Guard<'a>, limits: SetLimits) -> Self {
        Self { members: HashMut::new(guard, limits.packed), limits }
    }

    /// The set as it stands.
    #[must_use]
    pub fn view(&self) -> SetView<'_> {
        SetView { entry: self.members.view().entry }
    }

    /// Prepares for `count` members to come: where they alone, all distinct, would be too many for the set's form, it
    /// becomes a tree at once. `first` is the first of them, by which the form of a new set is chosen.
    pub fn expect(&mut self, first: &[u8], count: usize) {
        let form = self.view().form();
        if self.view().is_empty() && form == SetForm::Integers {
            if parse_i64(first).is_some() && count <= self.limits.integers_max {
                return;
            }
            self.become_packed();
            if count > self.limits.packed.entries_max {
                self.members.become_tree();
            }
        } else if (form == SetForm::Integers && count > self.limits.integers_max)
            || (form == SetForm::Packed && count > self.limits.packed.entries_max)
        {
            self.become_tree();
        }
    }

    /// Makes an empty set one that is packed, even if its members will be integers: how a payload held it.
    pub fn begin_packed(&mut self) {
        if self.view().is_empty() && self.view().form() == SetForm::Integers {
            self.become_packed();
        }
    }

    /// Adds a member; whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        if self.view().form() == SetForm::Integers {
            match parse_i64(member) {
                Some(number) => {
                    if let Some(is_new) = self.add_integer(number) {
                        return is_new;
                    }
                    self.become_tree();
                }
                None => self.leave_integers(member),
            }
        }
        self.members.set(member, b"")
    }

    /// Removes a member; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if self.view().form() != SetForm::Integers {
            return self.members.remove(member);
        }
        let Some(number) = parse_i64(member) else { return false };
        let run = self.members.view().entry.inline();
        let Ok(rank) = int_set::search(run, number) else { return false };
        let range = int_set::range(run, rank);
        self.members.guard().write_own(|entry| entry.splice(range, &[]));
        true
    }

    /// Makes it a tree, whatever it holds.
    pub fn become_tree(&mut self) {
        if self.view().form() == SetForm::Integers {
            self.become_packed_or_tree(true);
        } else if self.view().form() == SetForm::Packed {
            self.members.become_tree();
        }
    }

    /// Adds to a run of integers; `None` if it would be past its limits.
    fn add_integer(&mut self, number: i64) -> Option<bool> {
        let run = self.members.view().entry.inline();
        let Err(rank) = int_set::search(run, number) else { return Some(false) };
        if int_set::count(run) >= self.limits.integers_max {
            return None;
        }
        match int_set::insert(run, number, rank) {
            Insert::Piece(bytes, width, at) => {
                self.members.guard().write_own(|entry| entry.splice(at..at, &[&bytes[..width]]));
            }
            Insert::Run(run) => self.members.guard().write_own(|entry| {
                let expiry = entry.expiry();
                entry.overwrite(NewValue::Bytes(Kind::SetInts, &run), expiry);
            }),
            Insert::TooLong => return None,
        }
        Some(true)
    }

    /// Makes room for a member that is no integer.
    fn leave_integers(&mut self, member: &[u8]) {
        let view = self.view();
        let longest = view.iter().map(|member| member.len()).max().unwrap_or(0).max(member.len());
        let fits =
            view.len() < self.limits.packed.entries_max && longest <= self.limits.packed.value_bytes_max;
        self.become_packed_or_tree(!fits);
    }

    fn become_packed(&mut self) {
        self.become_packed_or_tree(false);
    }

    /// Integers as text: packed, and from there a tree if that is wanted or the run would be too long.
    fn become_packed_or_tree(&mut self, wants_tree: bool) {
        let view = self.view();
        let count = view.len();
        let mut run = packed::EMPTY.to_vec();
        for member in view.iter() {
            run.extend_from_slice(EncodedLen::of(&member).as_bytes());
            run.extend_from_slice(&member);
            run.extend_from_slice(EncodedLen::of(b"").as_bytes());
        }
        if run.len() > packed::BYTES_MAX || count > usize::from(u16::MAX) {
            return self.become_tree_by_adding();
        }
        run[..packed::COUNT_BYTES].copy_from_slice(&(count as u16).to_le_bytes());
        self.members.guard().write_own(|entry| {
            let expiry = entry.expiry();
            entry.overwrite(NewValue::Bytes(Kind::SetPacked, &run), expiry);
        });
        if wants_tree {
            self.members.become_tree();
        }
    }

    /// A run of integers whose text would be too long for a packed run: an empty packed set, which becomes a tree, and
    /// everything added anew.
    fn become_tree_by_adding(&mut self) {
        let members: Vec<Vec<u8>> = self.view().iter().map(|member| member.to_vec()).collect();
        self.members.guard().write_own(|entry| {
            let expiry = entry.expiry();
            entry.overwrite(NewValue::Bytes(Kind::SetPacked, &packed::EMPTY), expiry);
        });
        self.members.become_tree();
        for member in members {
            self.members.set(&member, b"");
        }
    }
}
