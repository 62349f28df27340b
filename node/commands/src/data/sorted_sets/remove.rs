//! Members removed by name, rank, score or order: ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.

use super::bounds::{Bounds, BoundsKind};
use super::{READ, inspect_sorted_set, remove_members};
use crate::{Call, Command, Failure, Flags};

const ROW: Command = Command { arity: 4, flags: Flags::WRITE, handler: zremrangebyrank, ..READ };

pub(in crate::data) const COMMANDS: &[Command] = &[
    Command {
        name: "zrem",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        element: 2,
        summary: "Removes members of a sorted set",
        handler: zrem,
        ..ROW
    },
    Command { name: "zremrangebyrank", since: "2.0.0", summary: "Removes members by rank", ..ROW },
    Command {
        name: "zremrangebyscore",
        summary: "Removes members by score",
        handler: zremrangebyscore,
        ..ROW
    },
    Command {
        name: "zremrangebylex",
        since: "2.8.9",
        summary: "Removes members of equal score by name",
        handler: zremrangebylex,
        ..ROW
    },
];

/// `ZREM key member ...`: the key goes with its last member.
fn zrem(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key, members) = (call.key(1), &call.args[2..]);
    // Nothing is opened for writing that would stay as it is.
    let has_any =
        inspect_sorted_set(call, key, |set| members.iter().any(|member| set.score(member).is_some()))?;
    let removed = if has_any == Some(true) { remove_members(call, key, members, "zrem")? } else { 0 };
    call.reply().integer(removed as i64);
    Ok(())
}

/// `ZREMRANGEBYRANK key first last`
fn zremrangebyrank(call: &mut Call<'_>) -> Result<(), Failure> {
    remove_range(call, BoundsKind::Ranks)
}

/// `ZREMRANGEBYSCORE key min max`
fn zremrangebyscore(call: &mut Call<'_>) -> Result<(), Failure> {
    remove_range(call, BoundsKind::Scores)
}

/// `ZREMRANGEBYLEX key min max`
fn zremrangebylex(call: &mut Call<'_>) -> Result<(), Failure> {
    remove_range(call, BoundsKind::Members)
}

fn remove_range(call: &mut Call<'_>, kind: BoundsKind) -> Result<(), Failure> {
    let bounds = Bounds::parse(kind, call.args[2], call.args[3])?;
    let key = call.key(1);
    let members = inspect_sorted_set(call, key, |set| {
        let ranks = bounds.ranks(set, false);
        set.range(ranks).map(|(member, _)| member.to_vec()).collect::<Vec<_>>()
    })?
    .unwrap_or_default();
    if !members.is_empty() {
        remove_members(call, key, &members, call.command.name)?;
    }
    call.reply().integer(members.len() as i64);
    Ok(())
}
