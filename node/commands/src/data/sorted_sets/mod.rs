//! Sorted sets, file by file: `score` (members and scores, one by one), `range` (walking in order), `remove`, `pop`,
//! `algebra` (sorted sets out of sets), `random`; `bounds` says what lies between two scores or two members.

pub(super) mod algebra;
mod bounds;
pub(super) mod pop;
pub(super) mod random;
pub(super) mod range;
pub(super) mod remove;
pub(super) mod score;

use rejoin_keyspace::{Key, SortedSetView};
use rejoin_protocol::number::parse_f64;
use rejoin_protocol::resp::{ReplyWriter, RespVersion};

use super::access::{as_sorted_set, delete, inspect, sorted_set_limits};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

/// What the rows of a reading command begin from.
const READ: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: KeySpec::ONE,
    element: 0,
    group: "sorted-set",
    since: "1.2.0",
    summary: "",
    handler: score::zcard,
    subcommands: &[],
    number: 0,
};

/// A member taken out of its sorted set, with its score.
type ScoredMember = (Vec<u8>, f64);

/// Writes members, with their scores or without.
struct Scored<'r, 'w> {
    reply: &'r mut ReplyWriter<'w>,
    with_scores: bool,
}

impl<'r, 'w> Scored<'r, 'w> {
    /// Begins the reply: in RESP3 each member with its score is an array of its own, in RESP2 all is flat.
    fn begin(reply: &'r mut ReplyWriter<'w>, count: usize, with_scores: bool) -> Self {
        let is_flat = reply.version() == RespVersion::Two;
        reply.array(if with_scores && is_flat { 2 * count } else { count });
        Self { reply, with_scores }
    }

    fn add(&mut self, member: &[u8], score: f64) {
        if self.with_scores && self.reply.version() == RespVersion::Three {
            self.reply.array(2);
        }
        self.reply.bulk(member);
        if self.with_scores {
            self.reply.double(score);
        }
    }
}

/// A score, refused in the words of an argument.
fn parse_score(argument: &[u8]) -> Result<f64, Failure> {
    parse_f64(argument).ok_or(Failure::NotAFloat)
}

/// Looks `key` up for a write; what `body` makes of the sorted set, or `None` where there is none.
fn inspect_sorted_set<R>(
    call: &mut Call<'_>,
    key: Key<'_>,
    body: impl FnOnce(SortedSetView<'_>) -> R,
) -> Result<Option<R>, Failure> {
    inspect(call, key, |entry, _| Ok(as_sorted_set(entry)?.map(body)))
}

/// Removes members of what is known to be a sorted set; how many were there.
fn remove_members<M: AsRef<[u8]>>(
    call: &mut Call<'_>,
    key: Key<'_>,
    members: &[M],
    event: &'static str,
) -> Result<usize, Failure> {
    let limits = sorted_set_limits(call);
    let mut set = call.db_mut().sorted_set_mut(key, limits).ok_or(Failure::WrongType)?;
    let removed = members.iter().filter(|member| set.remove(member.as_ref()).is_some()).count();
    drop(set);
    if removed > 0 {
        call.removed_from(key, EventClasses::SORTED_SET, event);
    }
    Ok(removed)
}

/// Puts a sorted set of these members in place of whatever stood at `key`; deletes that if there are none. Replies with
/// their number. `expected` is how many members, and of how many bytes, the sorted set's form is chosen for; it may still
/// turn out to be too small.
fn store(
    call: &mut Call<'_>,
    key: Key<'_>,
    members: &[ScoredMember],
    expected: (usize, usize),
) -> Result<(), Failure> {
    call.reply().integer(members.len() as i64);
    if members.is_empty() {
        delete(call, key);
        return Ok(());
    }
    let limits = sorted_set_limits(call);
    let is_made = call.will_make(key);
    let database = call.db_mut();
    database.remove(key);
    let mut set = database.sorted_set_mut(key, limits).ok_or(Failure::WrongType)?;
    set.expect(expected.0, expected.1);
    for (member, score) in members {
        set.set(member, *score);
    }
    drop(set);
    // ZUNIONSTORE and its like: the event has the name of the command.
    call.wrote(key, is_made, EventClasses::SORTED_SET, call.command.name);
    Ok(())
}
