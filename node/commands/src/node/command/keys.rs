//! Which arguments of a full command are keys: COMMAND GETKEYS and its kin.

use rejoin_protocol::number::parse_i64;

use super::{
    describe::{key_flags, key_sets},
    syntax::{Begin, Follow, KeySet},
};
use crate::{Call, Command, Failure, Flags, Request, dispatch};

/// The indexes of the keys among `count` arguments (the name included), in order.
fn key_positions(command: &Command, count: usize) -> impl Iterator<Item = usize> + use<> {
    let keys = command.keys;
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let last = if keys.last < 0 { count + keys.last } else { keys.last.min(count - 1) };
    let begin = if keys.first > 0 { keys.first } else { last + 1 };
    (begin..=last).step_by(usize::try_from(keys.step).unwrap_or(1).max(1)).map(|index| index as usize)
}

/// COMMAND GETKEYS full-command.
pub(super) fn getkeys(call: &mut Call<'_>) -> Result<(), Failure> {
    let (_, keys) = find(call)?;
    let mut reply = call.reply();
    reply.array(keys.len());
    for key in keys {
        reply.bulk(key);
    }
    Ok(())
}

/// COMMAND GETKEYSANDFLAGS full-command: keys, each with what the command does with it.
pub(super) fn getkeys_and_flags(call: &mut Call<'_>) -> Result<(), Failure> {
    let (command, keys) = find(call)?;
    let args = &call.args[2..];
    let key_sets = key_sets(command);
    let placed: Vec<&KeySet> =
        key_sets.iter().flat_map(|set| positions_of(set, args).into_iter().map(move |_| set)).collect();
    let mut reply = call.session.reply();
    reply.array(keys.len());
    for (number, key) in keys.iter().enumerate() {
        // Keys that are found by other means (SORT's destination) belong to the last set.
        let flags = match placed.get(number).copied().or(key_sets.last()) {
            Some(set) => resolved_flags(command, args, set),
            None => key_flags(command).to_vec(),
        };
        reply.array(2);
        reply.bulk(key);
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    Ok(())
}

/// Where the keys of a set stand among the arguments, as far as that can be told.
fn positions_of(set: &KeySet, args: &[&[u8]]) -> Vec<usize> {
    let begin = match &set.begin {
        Begin::Index(index) => Some(*index),
        // No command of ours has one yet that is looked for from the end.
        Begin::Keyword { keyword, from } => args
            .iter()
            .skip(usize::try_from(*from).unwrap_or(1))
            .position(|arg| arg.eq_ignore_ascii_case(keyword.as_bytes()))
            .map(|at| at as i64 + from + 1),
        Begin::Unknown => None,
    };
    let Some(begin) = begin else { return Vec::new() };
    let count = args.len() as i64;
    let (first, last, step) = match set.follow {
        Follow::Range { last, step, .. } => {
            (begin, if last < 0 { count + last } else { (begin + last).min(count - 1) }, step)
        }
        Follow::Numbered { number, first, step } => {
            let numbered = usize::try_from(begin + number).ok().and_then(|at| parse_i64(args.get(at)?));
            let keys = numbered.unwrap_or(0).clamp(0, count);
            (begin + first, (begin + first + (keys - 1) * step).min(count - 1), step)
        }
        Follow::Unknown => return Vec::new(),
    };
    let places = (first..=last).step_by(usize::try_from(step).unwrap_or(1).max(1));
    places.filter_map(|place| usize::try_from(place).ok()).collect()
}

/// What a command does with a set of keys; where that depends on its options, what it does with these.
fn resolved_flags<'s>(command: &Command, args: &[&[u8]], set: &'s KeySet) -> Vec<&'s str> {
    match command.name {
        "set" if !args.iter().skip(3).any(|arg| is_one_of(arg, &["get"])) => vec!["OW", "update"],
        "bitfield" if !args.iter().skip(2).any(|arg| is_one_of(arg, &["set", "incrby"])) => {
            vec!["RO", "access"]
        }
        _ => set.flags.iter().map(String::as_str).filter(|flag| *flag != "variable_flags").collect(),
    }
}

fn is_one_of(arg: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes()))
}

fn find<'a>(call: &Call<'a>) -> Result<(&'static Command, Vec<&'a [u8]>), Failure> {
    let args = &call.args[2..];
    let request = Request { args, raw: None, command: None, first_key_hash: None };
    let command = dispatch::find(request).map_err(|_| Failure::text("ERR Invalid command specified"))?;
    let is_sort = matches!(command.name, "sort" | "sort_ro");
    let is_numbered = command.flags.contains(Flags::MOVABLE_KEYS) && !is_sort;
    if (command.keys.first <= 0 && !is_numbered) || command.flags.contains(Flags::PUBSUB) {
        return Err(Failure::text("ERR The command has no key arguments"));
    }
    if !command.accepts(args.len()) {
        return Err(Failure::text("ERR Invalid number of arguments specified for command"));
    }
    let mut keys: Vec<_> = key_positions(command, args.len()).map(|index| args[index]).collect();
    if is_numbered {
        let numbered = numbered_keys(command, args)
            .ok_or(Failure::text("ERR Invalid arguments specified for command"))?;
        keys.extend_from_slice(numbered);
    }
    if command.name == "sort" {
        keys.extend(sort_destination(args));
    }
    Ok((command, keys))
}

/// Where SORT stores; the last STORE counts. What BY and GET look up depends on the data and is no key of it.
fn sort_destination<'a>(args: &[&'a [u8]]) -> Option<&'a [u8]> {
    let (mut at, mut destination) = (2, None);
    while let Some(option) = args.get(at) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        at += match () {
            () if is("limit") => 3,
            () if is("by") || is("get") => 2,
            () if is("store") && at + 1 < args.len() => {
                destination = Some(args[at + 1]);
                2
            }
            () => 1,
        };
    }
    destination
}

/// The keys whose number is itself an argument: it stands behind the destination, if there is one.
fn numbered_keys<'b, 'a>(command: &Command, args: &'b [&'a [u8]]) -> Option<&'b [&'a [u8]]> {
    // BLMPOP and BZMPOP have their timeout before the number.
    let before = if matches!(command.name, "blmpop" | "bzmpop") { 1 } else { command.keys.last };
    let at = usize::try_from(before).ok()? + 1;
    let count = usize::try_from(parse_i64(args.get(at)?)?).ok().filter(|&count| count > 0)?;
    args.get(at + 1..at.checked_add(1 + count)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeySpec;

    fn positions(keys: KeySpec, count: usize) -> Vec<usize> {
        let row = Command::new("x", -1, crate::Flags::empty(), "", "", "", |_| Ok(())).with_keys(keys);
        key_positions(&row, count).collect()
    }

    #[test]
    fn keys_stand_where_the_row_says() {
        assert_eq!(positions(KeySpec::NONE, 3), []);
        assert_eq!(positions(KeySpec::ONE, 3), [1]);
        assert_eq!(positions(KeySpec::ALL, 4), [1, 2, 3]);
        assert_eq!(positions(KeySpec::PAIRS, 5), [1, 3]);
        assert_eq!(positions(KeySpec::TWO, 3), [1, 2]);
        assert_eq!(positions(KeySpec::TWO, 2), [1]);
    }
}
