//! Members removed from either end and answered: ZPOPMIN, ZPOPMAX, ZMPOP.

use rejoin_keyspace::Key;
use rejoin_protocol::resp::RespVersion;

use super::super::arguments::{decimal, element_count, integer, is};
use super::{READ, ScoredMember, inspect_sorted_set, remove_members};
use crate::{Call, Command, Failure, Flags, KeySpec};

const ROW: Command =
    Command { arity: -2, flags: Flags::WRITE.union(Flags::FAST), since: "5.0.0", handler: zpopmin, ..READ };

pub(in crate::data) const COMMANDS: &[Command] = &[
    Command {
        name: "zpopmin",
        summary: "Removes the members with the lowest scores and answers them",
        ..ROW
    },
    Command {
        name: "zpopmax",
        summary: "Removes the members with the highest scores and answers them",
        handler: zpopmax,
        ..ROW
    },
    Command {
        name: "zmpop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
        keys: KeySpec::NONE,
        since: "7.0.0",
        summary: "Removes members from the first sorted set that is not empty and answers them",
        handler: zmpop,
        ..ROW
    },
];

/// Which end members are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lowest,
    Highest,
}

/// `ZPOPMIN key [count]`
fn zpopmin(call: &mut Call<'_>) -> Result<(), Failure> {
    pop(call, End::Lowest)
}

/// `ZPOPMAX key [count]`
fn zpopmax(call: &mut Call<'_>) -> Result<(), Failure> {
    pop(call, End::Highest)
}

fn pop(call: &mut Call<'_>, end: End) -> Result<(), Failure> {
    let (count, is_counted) = match &call.args[2..] {
        [] => (1, false),
        [count] => (element_count(count)?, true),
        _ => return Err(Failure::Syntax),
    };
    let key = call.key(1);
    let members = take(call, key, end, count)?.unwrap_or_default();
    let mut reply = call.reply();
    // In RESP3 a count, even of one, makes pairs.
    let is_nested = is_counted && reply.version() == RespVersion::Three;
    reply.array(if is_nested { members.len() } else { 2 * members.len() });
    for (member, score) in members {
        if is_nested {
            reply.array(2);
        }
        reply.bulk(&member);
        reply.double(score);
    }
    Ok(())
}

/// Takes up to `count` members out, those at the end first; `None` where there is no sorted set.
fn take(
    call: &mut Call<'_>,
    key: Key<'_>,
    end: End,
    count: usize,
) -> Result<Option<Vec<ScoredMember>>, Failure> {
    let taken = inspect_sorted_set(call, key, |set| {
        let own = |(member, score): (&[u8], f64)| (member.to_vec(), score);
        let count = count.min(set.len());
        match end {
            End::Lowest => set.range(0..count).map(own).collect::<Vec<_>>(),
            End::Highest => set.range(set.len() - count..set.len()).rev().map(own).collect(),
        }
    })?;
    if let Some(taken) = &taken
        && !taken.is_empty()
    {
        let members: Vec<&[u8]> = taken.iter().map(|(member, _)| member.as_slice()).collect();
        let event = if end == End::Lowest { "zpopmin" } else { "zpopmax" };
        remove_members(call, key, &members, event)?;
    }
    Ok(taken)
}

/// `ZMPOP numkeys key ... MIN|MAX [COUNT count]`; logged as ZPOPMIN or ZPOPMAX of the key that was found.
fn zmpop(call: &mut Call<'_>) -> Result<(), Failure> {
    let (keys, end, count) = parse_zmpop(call)?;
    for index in keys {
        let key = call.key(index);
        let Some(members) = take(call, key, end, count)? else { continue };
        let mut reply = call.reply();
        reply.array(2);
        reply.bulk(key.bytes);
        reply.array(members.len());
        for (member, score) in &members {
            reply.array(2);
            reply.bulk(member);
            reply.double(*score);
        }
        let name: &[u8] = if end == End::Lowest { b"ZPOPMIN" } else { b"ZPOPMAX" };
        call.propagate(&[name, key.bytes, decimal(&mut itoa::Buffer::new(), members.len() as i64)]);
        return Ok(());
    }
    call.reply().null_array();
    Ok(())
}

fn parse_zmpop(call: &Call<'_>) -> Result<(std::ops::Range<usize>, End, usize), Failure> {
    let positive = |argument: &[u8], refusal: &'static str| {
        let number = integer(argument).ok().and_then(|number| usize::try_from(number).ok());
        number.filter(|&number| number > 0).ok_or(Failure::text(refusal))
    };
    let number = positive(call.args[1], "ERR numkeys should be greater than 0")?;
    let behind = number.checked_add(2).filter(|behind| *behind < call.args.len()).ok_or(Failure::Syntax)?;
    let end = match call.args[behind] {
        end if is(end, "MIN") => End::Lowest,
        end if is(end, "MAX") => End::Highest,
        _ => return Err(Failure::Syntax),
    };
    let count = match &call.args[behind + 1..] {
        [] => 1,
        [option, count, rest @ ..] if is(option, "COUNT") => {
            let count = positive(count, "ERR count should be greater than 0")?;
            if !rest.is_empty() {
                return Err(Failure::Syntax);
            }
            count
        }
        _ => return Err(Failure::Syntax),
    };
    Ok((2..behind, end, count))
}
