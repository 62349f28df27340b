//! Writing to a list: packed while it is small, a tree of chunks past the limits, packed again when it is far below.

use std::fmt;

use super::run::{self, Elements, Framed};
use super::{HEADER_BYTES, LISTPACK_BYTES, ListLimits, ListTree, ListView, header, header_of};
use crate::entry::{Kind, NewValue};
use crate::guard::Guard;

/// The longest packed value, header included.
const PACKED_BYTES_MAX: usize = u16::MAX as usize;
const PACKED_COUNT_MAX: usize = u16::MAX as usize;

/// A list to write to; accounts for itself when dropped, and is removed then if it has no element.
pub struct ListMut<'a> {
    guard: Guard<'a>,
    limits: ListLimits,
}

impl<'a> ListMut<'a> {
    pub(crate) fn new(guard: Guard<'a>, limits: ListLimits) -> Self {
        Self { guard, limits }
    }

    /// The list as it stands.
    #[must_use]
    pub fn view(&self) -> ListView<'_> {
        ListView { entry: self.guard.entry() }
    }

    /// States that elements of so many bytes together are about to be added: if they take the list past its limits it
    /// becomes a tree now, as Redis decides it.
    pub fn grow(&mut self, bytes: usize, count: usize) {
        if !self.view().is_packed() {
            return;
        }
        let (count_before, listpack) = header(self.guard.entry().inline());
        if self.limits.exceeds(LISTPACK_BYTES + listpack + bytes, count_before + count) {
            self.become_tree();
        }
    }

    /// Puts an element before the one of this index, or behind the last one. Panics where there is no such place.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        if self.view().is_packed() {
            let framed = Framed::new(element);
            let value = self.guard.entry().inline();
            let (count, listpack) = header(value);
            if count < PACKED_COUNT_MAX && value.len() + framed.len() <= PACKED_BYTES_MAX {
                let at = HEADER_BYTES + run::position(&value[HEADER_BYTES..], count, index);
                let listpack = listpack + run::listpack_bytes(element);
                return self.splice(at..at, &framed.parts(), count + 1, listpack);
            }
            self.become_tree();
        }
        self.write_tree(|tree, copied| tree.insert(index, element, copied));
    }

    /// Puts an element behind the last one.
    pub fn push_back(&mut self, element: &[u8]) {
        self.insert(self.view().len(), element);
    }

    /// Puts an element before the first one.
    pub fn push_front(&mut self, element: &[u8]) {
        self.insert(0, element);
    }

    /// Puts another element in the place of the one of this index. Panics where there is none.
    pub fn set(&mut self, index: usize, element: &[u8]) {
        if self.view().is_packed() {
            let framed = Framed::new(element);
            let value = self.guard.entry().inline();
            let (count, listpack) = header(value);
            let begin = HEADER_BYTES + run::position(&value[HEADER_BYTES..], count, index);
            let old = Elements::new(&value[begin..]).next().unwrap_or_default();
            let old_len = Framed::new(old).len();
            if value.len() - old_len + framed.len() <= PACKED_BYTES_MAX {
                let listpack = listpack - run::listpack_bytes(old) + run::listpack_bytes(element);
                return self.splice(begin..begin + old_len, &framed.parts(), count, listpack);
            }
            self.become_tree();
        }
        self.write_tree(|tree, copied| tree.set(index, element, copied));
    }

    /// Removes `count` elements from `index` on. Panics where there are not so many.
    pub fn remove(&mut self, index: usize, count: usize) {
        if !self.view().is_packed() {
            return self.write_tree(|tree, copied| tree.remove(index, count, copied));
        }
        let value = self.guard.entry().inline();
        let (count_before, listpack) = header(value);
        let run = &value[HEADER_BYTES..];
        let begin = run::position(run, count_before, index);
        let end = run::position(run, count_before, index + count);
        let removed: usize = Elements::new(&run[begin..end]).map(run::listpack_bytes).sum();
        let range = HEADER_BYTES + begin..HEADER_BYTES + end;
        self.splice(range, &[], count_before - count, listpack - removed);
    }

    /// After removals: packs a list that has become small.
    pub fn shrink(&mut self) {
        let entry = self.guard.entry();
        if self.view().is_packed() || self.view().is_empty() {
            return;
        }
        let (count, listpack) = (entry.list().len(), entry.list().listpack_bytes());
        if !self.limits.is_small(LISTPACK_BYTES + listpack, count) || count > PACKED_COUNT_MAX {
            return;
        }
        let mut value = header_of(count, listpack).to_vec();
        for element in self.view().iter() {
            Framed::new(element).parts().iter().for_each(|part| value.extend_from_slice(part));
        }
        if value.len() <= PACKED_BYTES_MAX {
            self.replace(NewValue::Bytes(Kind::ListPacked, &value));
        }
    }

    /// After a load: what is past the limits now becomes a tree. A number of elements is all that counts where the
    /// limit is one.
    pub fn settle(&mut self) {
        if !self.view().is_packed() {
            return;
        }
        let (count, listpack) = header(self.guard.entry().inline());
        let is_past = match self.limits.count_max() {
            Some(max) => count > max,
            None => LISTPACK_BYTES + listpack > self.limits.bytes_max(),
        };
        if is_past {
            self.become_tree();
        }
    }

    /// Moves the elements of a packed list into a tree, whatever it holds.
    pub fn become_tree(&mut self) {
        if !self.view().is_packed() {
            return;
        }
        let tree = ListTree::from_elements(self.view().iter());
        self.replace(NewValue::List(Box::new(tree)));
    }

    fn replace(&mut self, value: NewValue<'_>) {
        self.guard.write_own(|entry| {
            let expiry = entry.expiry();
            entry.overwrite(value, expiry);
        });
    }

    fn splice(&mut self, range: std::ops::Range<usize>, parts: &[&[u8]], count: usize, listpack: usize) {
        self.guard.write_own(|entry| {
            entry.splice(range, parts);
            entry.inline_mut()[..HEADER_BYTES].copy_from_slice(&header_of(count, listpack));
        });
    }

    fn write_tree(&mut self, write: impl FnOnce(&mut ListTree, &mut usize)) {
        self.guard.write_beyond(|entry, context| write(entry.list_mut(), &mut context.copied));
    }
}

impl fmt::Debug for ListMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListMut").field("entry", self.guard.entry()).finish_non_exhaustive()
    }
}
