//! Which arguments of a full command are keys: COMMAND GETKEYS and its kin.

use rejoin_protocol::number::parse_i64;

use super::describe::key_flags;
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
    let flags = key_flags(command);
    let mut reply = call.reply();
    reply.array(keys.len());
    for key in keys {
        reply.array(2);
        reply.bulk(key);
        reply.set(flags.len());
        for flag in flags {
            reply.simple(flag);
        }
    }
    Ok(())
}

fn find<'a>(call: &Call<'a>) -> Result<(&'static Command, Vec<&'a [u8]>), Failure> {
    let args = &call.args[2..];
    let request = Request { args, raw: None, command: None, first_key_hash: None };
    let command = dispatch::find(request).map_err(|_| Failure::text("ERR Invalid command specified"))?;
    let is_sort = matches!(command.name, "sort" | "sort_ro");
    let is_numbered = command.flags.contains(Flags::MOVABLE_KEYS) && !is_sort;
    if command.keys.first <= 0 && !is_numbered {
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
