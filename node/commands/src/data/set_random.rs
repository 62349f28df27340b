//! Members of sets by chance: SPOP and SRANDMEMBER.

use hashbrown::HashSet;
use rejoin_keyspace::{SetForm, SetView};

use super::{
    access::{as_set, delete, inspect, read_set},
    arguments::{element_count, integer_between},
    random::{DRAW_BELOW_ONE_IN, Draw, REPEATED_MAX, choose_distinct},
    sets::remove_members,
};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

/// Members of one SREM that the log gets in place of an SPOP.
const LOGGED_AT_ONCE: usize = 1024;

const ROW: Command = Command {
    name: "spop",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: KeySpec::ONE,
    element: 0,
    group: "set",
    since: "1.0.0",
    summary: "Removes members of a set by chance and answers them",
    handler: spop,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    ROW,
    Command {
        name: "srandmember",
        flags: Flags::READONLY,
        summary: "Answers members of a set by chance",
        handler: srandmember,
        ..ROW
    },
];

/// `SPOP key [count]`; logged as SREM of what was drawn, or as DEL where a count takes all.
fn spop(call: &mut Call<'_>) -> Result<(), Failure> {
    match &call.args[2..] {
        [] => pop_one(call),
        [count] => {
            let count = element_count(count)?;
            pop_several(call, count)
        }
        _ => Err(Failure::Syntax),
    }
}

fn pop_one(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    let mut draw = Draw::new(call);
    let member = inspect(call, key, |entry, _| {
        Ok(as_set(entry)?.and_then(|set| set.random(draw.next())).map(|member| member.to_vec()))
    })?;
    let Some(member) = member else {
        call.reply().null();
        return Ok(());
    };
    remove_members(call, key, &[&member], "spop")?;
    call.reply().bulk(&member);
    call.propagate(&[b"SREM", key.bytes, &member]);
    Ok(())
}

fn pop_several(call: &mut Call<'_>, count: usize) -> Result<(), Failure> {
    let key = call.key(1);
    let mut draw = Draw::new(call);
    let (members, is_all) = inspect(call, key, |entry, _| {
        let Some(set) = as_set(entry)? else { return Ok((Vec::new(), false)) };
        if count >= set.len() {
            return Ok((set.iter().map(|member| member.to_vec()).collect(), true));
        }
        let mut members = Vec::with_capacity(count);
        draw_distinct(set, count, &mut draw, |member| members.push(member.to_vec()));
        Ok::<_, Failure>((members, false))
    })?;
    let mut reply = call.reply();
    reply.set(members.len());
    members.iter().for_each(|member| reply.bulk(member));
    if is_all {
        call.event(EventClasses::SET, "spop", key.bytes);
        delete(call, key);
        call.propagate(&[b"DEL", key.bytes]);
    } else if !members.is_empty() {
        remove_members(call, key, &members, "spop")?;
        for members in members.chunks(LOGGED_AT_ONCE) {
            let mut command: Vec<&[u8]> = vec![b"SREM", key.bytes];
            command.extend(members.iter().map(Vec::as_slice));
            call.propagate(&command);
        }
    }
    Ok(())
}

/// `SRANDMEMBER key [count]`: a count below zero allows the same member several times.
fn srandmember(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut draw = Draw::new(call);
    let count = match &call.args[2..] {
        [] => {
            return read_set(call, 1, |set, reading| {
                match set.and_then(|set| set.random(draw.next())) {
                    Some(member) => reading.session.reply().bulk(&member),
                    None => reading.session.reply().null(),
                }
                Ok(())
            });
        }
        [count] => integer_between(count, -i64::MAX, i64::MAX)?,
        _ => return Err(Failure::Syntax),
    };
    if count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(Failure::text("ERR value is out of range"));
    }
    read_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        let wanted = count.unsigned_abs() as usize;
        match set {
            None => reply.array(0),
            Some(set) if count < 0 => {
                reply.array(wanted);
                // A set in a database is never empty, so there is always a member.
                (0..wanted).filter_map(|_| set.random(draw.next())).for_each(|member| reply.bulk(&member));
            }
            Some(set) => {
                let count = wanted.min(set.len());
                reply.array(count);
                draw_distinct(set, count, &mut draw, |member| reply.bulk(member));
            }
        }
        Ok(())
    })
}

/// Hands `count` members, each at most once, to `take`. `count` is at most what the set has. Of a large set few are drawn
/// one by one, and only where many are wanted all are listed.
fn draw_distinct(set: SetView<'_>, count: usize, draw: &mut Draw, mut take: impl FnMut(&[u8])) {
    if count == set.len() {
        set.iter().for_each(|member| take(&member));
    } else if set.form() == SetForm::Tree && count < set.len() / DRAW_BELOW_ONE_IN {
        let mut drawn: HashSet<Vec<u8>> = HashSet::with_capacity(count);
        while drawn.len() < count {
            // A set in a database is never empty, so there is always a member.
            let Some(member) = set.random(draw.next()) else { return };
            if drawn.insert(member.to_vec()) {
                take(&member);
            }
        }
    } else {
        let all: Vec<_> = set.iter().collect();
        choose_distinct(draw, count, all.len(), |index| take(&all[index]));
    }
}
