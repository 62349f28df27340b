//! The forms in which lists stand in an RDB: elements one by one, one ziplist, ziplists or listpacks behind each other.

use rejoin_keyspace::{Entry, Key};
use rejoin_protocol::UnixMillis;

use super::super::RdbError;
use super::super::encodings::listpack::Listpack;
use super::super::encodings::ziplist::Ziplist;
use super::super::encodings::{Element, Flaw};
use super::super::format::value_type;
use super::super::source::{Source, damaged};
use super::Decoder;

/// A node of a quicklist that is one element as it is.
const NODE_PLAIN: u64 = 1;
/// A node of a quicklist that is a listpack.
const NODE_PACKED: u64 = 2;

impl Decoder<'_> {
    /// Reads a list; one without elements is nothing.
    pub(super) fn read_list(
        &mut self,
        key: Key<'_>,
        code: u8,
        expiry: Option<UnixMillis>,
    ) -> Result<Option<Entry>, RdbError> {
        let Some(mut list) = self.draft.database_mut().list_mut(key, self.options.limits.list) else {
            unreachable!("the draft is empty between keys");
        };
        let is_one_run = read(&mut self.source, code, &mut |element| list.push_back(element))?;
        if is_one_run {
            list.settle()
        } else {
            list.become_tree()
        }
        drop(list);
        Ok(self.draft.take(key, expiry))
    }
}

/// Reads a list of the form `code` and gives its elements to `push`. Returns whether it may be packed: several nodes of
/// a quicklist are never made one, and a plain node is none.
fn read(source: &mut Source<'_>, code: u8, push: &mut dyn FnMut(&[u8])) -> Result<bool, RdbError> {
    if code == value_type::LIST_ZIPLIST {
        read_ziplist(source, push)?;
        return Ok(true);
    }
    let count = source.length()?;
    let (mut nodes, mut is_packed) = (0, true);
    for _ in 0..count {
        let mut elements = 0;
        let mut push = |element: &[u8]| {
            elements += 1;
            push(element);
        };
        match code {
            value_type::LIST => push(&source.string()?.into_bytes()),
            value_type::LIST_QUICKLIST => read_ziplist(source, &mut push)?,
            _ => is_packed &= read_node(source, &mut push)?,
        }
        // Nodes without elements are passed over.
        nodes += usize::from(elements > 0);
    }
    Ok(code == value_type::LIST || (nodes <= 1 && is_packed))
}

/// A node of a quicklist of the second form, which says what it is; returns whether it is packed.
fn read_node(source: &mut Source<'_>, push: &mut dyn FnMut(&[u8])) -> Result<bool, RdbError> {
    let at = source.position();
    match source.length()? {
        NODE_PLAIN => {
            push(&source.string()?.into_bytes());
            Ok(false)
        }
        NODE_PACKED => {
            let blob = source.string()?.into_bytes();
            let elements = Listpack::new(&blob).map_err(|flaw| flawed(at, "a list as listpack", flaw))?;
            push_all(at, "a list as listpack", elements, push)?;
            Ok(true)
        }
        other => Err(damaged(at, format!("a list with a node of the form {other}"))),
    }
}

fn read_ziplist(source: &mut Source<'_>, push: &mut dyn FnMut(&[u8])) -> Result<(), RdbError> {
    let at = source.position();
    let blob = source.string()?.into_bytes();
    let elements = Ziplist::new(&blob).map_err(|flaw| flawed(at, "a list as ziplist", flaw))?;
    push_all(at, "a list as ziplist", elements, push)
}

fn push_all<'a>(
    at: u64,
    kind: &'static str,
    elements: impl Iterator<Item = Result<Element<'a>, Flaw>>,
    push: &mut dyn FnMut(&[u8]),
) -> Result<(), RdbError> {
    for element in elements {
        push(&element.map_err(|flaw| flawed(at, kind, flaw))?.into_bytes());
    }
    Ok(())
}

fn flawed(at: u64, kind: &'static str, flaw: Flaw) -> RdbError {
    damaged(at, flaw.within(kind))
}
