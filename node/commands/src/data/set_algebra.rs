//! Sets out of sets: intersections, unions and differences, answered, counted or stored.

use hashbrown::HashSet;
use rejoin_keyspace::{Entry, Key, Member, SetForm, SetView, Value};

use super::{
    access::{as_set, delete, inspect, read, set_limits},
    arguments::{integer, is},
};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const ANSWER: Command = Command {
    name: "",
    arity: -2,
    flags: Flags::READONLY,
    keys: KeySpec::ALL,
    element: 0,
    group: "set",
    since: "1.0.0",
    summary: "",
    handler: sinter,
    subcommands: &[],
    number: 0,
};

const STORE: Command =
    Command { arity: -3, flags: Flags::WRITE.union(Flags::DENYOOM), handler: sinterstore, ..ANSWER };

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "sinter", summary: "Answers the members that all sets have", ..ANSWER },
    Command { name: "sunion", summary: "Answers the members that any set has", handler: sunion, ..ANSWER },
    Command {
        name: "sdiff",
        summary: "Answers the members of a set that no other set has",
        handler: sdiff,
        ..ANSWER
    },
    Command {
        name: "sintercard",
        arity: -3,
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: KeySpec::NONE,
        since: "7.0.0",
        summary: "Counts the members that all sets have",
        handler: sintercard,
        ..ANSWER
    },
    Command { name: "sinterstore", summary: "Stores the members that all sets have", ..STORE },
    Command {
        name: "sunionstore",
        summary: "Stores the members that any set has",
        handler: sunionstore,
        ..STORE
    },
    Command {
        name: "sdiffstore",
        summary: "Stores the members of a set that no other set has",
        handler: sdiffstore,
        ..STORE
    },
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

/// `SINTER key ...`
fn sinter(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Operation::Intersection)
}

/// `SUNION key ...`
fn sunion(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Operation::Union)
}

/// `SDIFF key ...`
fn sdiff(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Operation::Difference)
}

/// `SINTERSTORE destination key ...`
fn sinterstore(call: &mut Call<'_>) -> Result<(), Failure> {
    store(call, Operation::Intersection)
}

/// `SUNIONSTORE destination key ...`
fn sunionstore(call: &mut Call<'_>) -> Result<(), Failure> {
    store(call, Operation::Union)
}

/// `SDIFFSTORE destination key ...`
fn sdiffstore(call: &mut Call<'_>) -> Result<(), Failure> {
    store(call, Operation::Difference)
}

fn answer(call: &mut Call<'_>, operation: Operation) -> Result<(), Failure> {
    let sources = Sources::read(call, 1..call.args.len())?;
    let mut count = 0;
    let mut elements = Vec::new();
    let mut writer = rejoin_protocol::resp::ReplyWriter::new(&mut elements, call.session.version);
    sources.combine(call, operation, &mut |member| {
        writer.bulk(member);
        count += 1;
        true
    });
    let mut reply = call.reply();
    reply.set(count);
    reply.raw(&elements);
    Ok(())
}

fn store(call: &mut Call<'_>, operation: Operation) -> Result<(), Failure> {
    let destination = call.key(1);
    let sources = Sources::read(call, 2..call.args.len())?;
    inspect(call, destination, |_, _| ());
    let mut members: Vec<Vec<u8>> = Vec::new();
    sources.combine(call, operation, &mut |member| {
        members.push(member.to_vec());
        true
    });
    let becomes_tree = operation == Operation::Intersection
        && sources.smallest_form() == Some(SetForm::Tree)
        && !is_integers_only(call, &members);
    // Our handles must not make what is replaced look as if a snapshot held it.
    drop(sources);
    put_set(call, destination, &members, becomes_tree)?;
    call.reply().integer(members.len() as i64);
    Ok(())
}

/// Whether Redis would hold an intersection of sets that are trees as integers after all.
fn is_integers_only(call: &Call<'_>, members: &[Vec<u8>]) -> bool {
    members.len() <= call.engine.settings.set_intset_entries_max
        && members.iter().all(|member| rejoin_protocol::number::parse_i64(member).is_some())
}

/// Puts a set of these members in place of whatever stood at `key`; deletes that if there are none.
fn put_set(
    call: &mut Call<'_>,
    key: Key<'_>,
    members: &[Vec<u8>],
    becomes_tree: bool,
) -> Result<(), Failure> {
    if members.is_empty() {
        delete(call, key);
        return Ok(());
    }
    let limits = set_limits(call);
    let is_made = call.will_make(key);
    let database = call.db_mut();
    database.remove(key);
    let mut set = database.set_mut(key, limits).ok_or(Failure::WrongType)?;
    if becomes_tree {
        set.become_tree();
    }
    members.iter().for_each(|member| {
        set.add(member);
    });
    drop(set);
    // SUNIONSTORE and its like: the event has the name of the command.
    call.wrote(key, is_made, EventClasses::SET, call.command.name);
    Ok(())
}

/// `SINTERCARD numkeys key ... [LIMIT limit]`
fn sintercard(call: &mut Call<'_>) -> Result<(), Failure> {
    let (keys, mut options) = numbered_keys(call, 1)?;
    let mut limit = 0;
    loop {
        options = match options {
            [] => break,
            [option, argument, rest @ ..] if is(option, "LIMIT") => {
                limit = parse_limit(argument)?;
                rest
            }
            _ => return Err(Failure::Syntax),
        };
    }
    let sources = Sources::read(call, keys)?;
    let mut count = 0;
    sources.combine(call, Operation::Intersection, &mut |_| {
        count += 1;
        count != limit
    });
    call.reply().integer(count as i64);
    Ok(())
}

/// The limit of SINTERCARD and ZINTERCARD; 0 is none.
pub(super) fn parse_limit(argument: &[u8]) -> Result<u64, Failure> {
    let limit = integer(argument).ok().and_then(|limit| u64::try_from(limit).ok());
    limit.ok_or(Failure::text("ERR LIMIT can't be negative"))
}

/// Where the keys stand whose number is the argument at `index`, and what stands behind them.
fn numbered_keys<'a>(
    call: &Call<'a>,
    index: usize,
) -> Result<(std::ops::Range<usize>, &'a [&'a [u8]]), Failure> {
    let number = integer(call.args[index]).ok().and_then(|number| usize::try_from(number).ok());
    let number =
        number.filter(|&number| number > 0).ok_or(Failure::text("ERR numkeys should be greater than 0"))?;
    let begin = index + 1;
    if number > call.args.len() - begin {
        return Err(Failure::text("ERR Number of keys can't be greater than number of args"));
    }
    Ok((begin..begin + number, &call.args[begin + number..]))
}

/// The sets that a command names; an entry is held for as long as the command reads it.
struct Sources(Vec<Option<Entry>>);

impl Sources {
    /// Looks all keys up. All are looked at, even where a missing one settles the result: another type is an error.
    fn read(call: &mut Call<'_>, keys: std::ops::Range<usize>) -> Result<Self, Failure> {
        let mut sources = Vec::with_capacity(keys.len());
        for index in keys {
            sources.push(read(call, index, |entry, _| as_set(entry).map(|_| entry.cloned()))?);
        }
        Ok(Self(sources))
    }

    fn views(&self) -> impl Iterator<Item = Option<SetView<'_>>> {
        self.0.iter().map(|entry| match entry.as_ref().map(Entry::value) {
            Some(Value::Set(set)) => Some(set),
            _ => None,
        })
    }

    /// How the smallest set is held.
    fn smallest_form(&self) -> Option<SetForm> {
        self.views().flatten().min_by_key(SetView::len).map(|set| set.form())
    }

    /// Hands each member of the result to `take`, until that is content.
    fn combine(&self, call: &Call<'_>, operation: Operation, take: &mut dyn FnMut(&[u8]) -> bool) {
        let seed = call.engine.keyspace.seed();
        match operation {
            Operation::Intersection => {
                let Some(mut sets) = self.views().collect::<Option<Vec<_>>>() else { return };
                // The smallest is walked, and all others are asked.
                sets.sort_by_key(SetView::len);
                let Some((smallest, others)) = sets.split_first() else { return };
                for member in smallest.iter() {
                    if others.iter().all(|set| set.contains(seed, &member)) && !take(&member) {
                        return;
                    }
                }
            }
            Operation::Difference => {
                let mut sets = self.views();
                let Some(Some(first)) = sets.next() else { return };
                let others: Vec<_> = sets.flatten().collect();
                for member in first.iter() {
                    if !others.iter().any(|set| set.contains(seed, &member)) && !take(&member) {
                        return;
                    }
                }
            }
            Operation::Union => union(&self.views().flatten().collect::<Vec<_>>(), take),
        }
    }
}

fn union(sets: &[SetView<'_>], take: &mut dyn FnMut(&[u8]) -> bool) {
    let members: Vec<Member<'_>> = sets.iter().flat_map(SetView::iter).collect();
    let mut seen: HashSet<&[u8]> = HashSet::with_capacity(members.len());
    for member in &members {
        if seen.insert(member) && !take(member) {
            return;
        }
    }
}
