//! Sorted sets out of sorted sets and sets: unions, intersections and differences, answered, counted or stored. A member
//! of a plain set counts with the score 1.

use hashbrown::HashMap;
use rejoin_keyspace::{Entry, HashSeed, Value};

use super::super::access::{inspect, read};
use super::super::arguments::{integer, is};
use super::super::set_algebra::parse_limit;
use super::{READ, Scored, ScoredMember, parse_score, store};
use crate::{Call, Command, Failure, Flags, KeySpec};

const ANSWER: Command = Command {
    arity: -3,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    keys: KeySpec::NONE,
    since: "6.2.0",
    handler: zunion,
    ..READ
};

const STORE: Command = Command {
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    keys: KeySpec::ONE,
    since: "2.0.0",
    handler: zunionstore,
    ..READ
};

pub(in crate::data) const COMMANDS: &[Command] = &[
    Command { name: "zunion", summary: "Answers the members that any set has", ..ANSWER },
    Command { name: "zinter", summary: "Answers the members that all sets have", handler: zinter, ..ANSWER },
    Command {
        name: "zdiff",
        summary: "Answers the members of a set that no other set has",
        handler: zdiff,
        ..ANSWER
    },
    Command {
        name: "zintercard",
        since: "7.0.0",
        summary: "Counts the members that all sets have",
        handler: zintercard,
        ..ANSWER
    },
    Command { name: "zunionstore", summary: "Stores the members that any set has", ..STORE },
    Command {
        name: "zinterstore",
        summary: "Stores the members that all sets have",
        handler: zinterstore,
        ..STORE
    },
    Command {
        name: "zdiffstore",
        since: "6.2.0",
        summary: "Stores the members of a set that no other set has",
        handler: zdiffstore,
        ..STORE
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Counted,
    Stored,
}

/// What becomes of the scores of a member that several sets have.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Sum,
    Least,
    Greatest,
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Sum => finite_sum(one, other),
            Self::Least => {
                if other < one {
                    other
                } else {
                    one
                }
            }
            Self::Greatest => {
                if other > one {
                    other
                } else {
                    one
                }
            }
        }
    }
}

/// The sum, or 0 of opposite infinities.
fn finite_sum(one: f64, other: f64) -> f64 {
    let sum = one + other;
    if sum.is_nan() { 0.0 } else { sum }
}

/// `ZUNION numkeys key ... [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
fn zunion(call: &mut Call<'_>) -> Result<(), Failure> {
    execute(call, Operation::Union, Outcome::Answered)
}

/// `ZINTER numkeys key ... [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
fn zinter(call: &mut Call<'_>) -> Result<(), Failure> {
    execute(call, Operation::Intersection, Outcome::Answered)
}

/// `ZDIFF numkeys key ... [WITHSCORES]`
fn zdiff(call: &mut Call<'_>) -> Result<(), Failure> {
    execute(call, Operation::Difference, Outcome::Answered)
}

/// `ZINTERCARD numkeys key ... [LIMIT limit]`
fn zintercard(call: &mut Call<'_>) -> Result<(), Failure> {
    execute(call, Operation::Intersection, Outcome::Counted)
}

/// `ZUNIONSTORE destination numkeys key ... [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
fn zunionstore(call: &mut Call<'_>) -> Result<(), Failure> {
    execute(call, Operation::Union, Outcome::Stored)
}

/// `ZINTERSTORE destination numkeys key ... [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
fn zinterstore(call: &mut Call<'_>) -> Result<(), Failure> {
    execute(call, Operation::Intersection, Outcome::Stored)
}

/// `ZDIFFSTORE destination numkeys key ...`
fn zdiffstore(call: &mut Call<'_>) -> Result<(), Failure> {
    execute(call, Operation::Difference, Outcome::Stored)
}

fn execute(call: &mut Call<'_>, operation: Operation, outcome: Outcome) -> Result<(), Failure> {
    let args = call.args;
    let numkeys_at = if outcome == Outcome::Stored { 2 } else { 1 };
    let number = integer(args[numkeys_at])?;
    if number < 1 {
        let name = call.command.name;
        return Err(Failure::text(format!("ERR at least 1 input key is needed for '{name}' command")));
    }
    let first = numkeys_at + 1;
    let number = usize::try_from(number).ok().filter(|number| *number <= args.len() - first);
    let number = number.ok_or(Failure::Syntax)?;
    let mut sources = Vec::with_capacity(number);
    for index in first..first + number {
        sources.push(Source::read(call, index)?);
    }
    let options = Options::parse(&args[first + number..], operation, outcome, &mut sources)?;
    let seed = *call.engine.keyspace.seed();
    let mut members = options.combine(&seed, operation, sources);
    match outcome {
        Outcome::Counted => call.reply().integer(members.len() as i64),
        Outcome::Stored => {
            let destination = call.key(1);
            inspect(call, destination, |_, _| ());
            let longest = members.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
            store(call, destination, &members, (members.len(), longest))?;
        }
        Outcome::Answered => {
            members.sort_by(|one, other| {
                // No score is NaN; zeros are equal whatever their sign.
                let by_score = one.1.partial_cmp(&other.1).unwrap_or(std::cmp::Ordering::Equal);
                by_score.then_with(|| one.0.cmp(&other.0))
            });
            let mut reply = call.reply();
            let mut scored = Scored::begin(&mut reply, members.len(), options.with_scores);
            members.iter().for_each(|(member, score)| scored.add(member, *score));
        }
    }
    Ok(())
}

/// A set that takes part; held for as long as the command reads it.
struct Source {
    entry: Option<Entry>,
    weight: f64,
}

impl Source {
    fn read(call: &mut Call<'_>, index: usize) -> Result<Self, Failure> {
        read(call, index, |entry, _| match entry.map(Entry::value) {
            None | Some(Value::Set(_) | Value::SortedSet(_)) => {
                Ok(Self { entry: entry.cloned(), weight: 1.0 })
            }
            Some(_) => Err(Failure::WrongType),
        })
    }

    fn len(&self) -> usize {
        match self.entry.as_ref().map(Entry::value) {
            Some(Value::Set(set)) => set.len(),
            Some(Value::SortedSet(set)) => set.len(),
            _ => 0,
        }
    }

    /// The weighted score of a member.
    fn score(&self, seed: &HashSeed, member: &[u8]) -> Option<f64> {
        let score = match self.entry.as_ref().map(Entry::value)? {
            Value::Set(set) => set.contains(seed, member).then_some(1.0),
            Value::SortedSet(set) => set.score(member),
            _ => None,
        };
        score.map(|score| self.weigh(score))
    }

    /// Nothing times infinity counts as nothing.
    fn weigh(&self, score: f64) -> f64 {
        let weighted = score * self.weight;
        if weighted.is_nan() { 0.0 } else { weighted }
    }

    /// Visits all members with their weighted scores, until `visit` is content.
    fn for_each(&self, visit: &mut dyn FnMut(&[u8], f64) -> bool) {
        match self.entry.as_ref().map(Entry::value) {
            Some(Value::Set(set)) => {
                let _ = set.iter().all(|member| visit(&member, self.weigh(1.0)));
            }
            Some(Value::SortedSet(set)) => {
                let _ = set.iter().all(|(member, score)| visit(member, self.weigh(score)));
            }
            _ => {}
        }
    }
}

/// What stands behind the keys, but for the weights, which are the sources'.
struct Options {
    aggregate: Aggregate,
    with_scores: bool,
    /// Members at most; 0 for all.
    limit: u64,
}

impl Options {
    fn parse(
        mut args: &[&[u8]],
        operation: Operation,
        outcome: Outcome,
        sources: &mut [Source],
    ) -> Result<Self, Failure> {
        let mut options = Self { aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        let has_scores = operation != Operation::Difference && outcome != Outcome::Counted;
        loop {
            args = match args {
                [] => return Ok(options),
                [option, rest @ ..] if has_scores && rest.len() >= sources.len() && is(option, "WEIGHTS") => {
                    for (source, weight) in sources.iter_mut().zip(rest) {
                        source.weight = parse_score(weight)
                            .map_err(|_| Failure::text("ERR weight value is not a float"))?;
                    }
                    &rest[sources.len()..]
                }
                [option, how, rest @ ..] if has_scores && is(option, "AGGREGATE") => {
                    options.aggregate = match how {
                        how if is(how, "SUM") => Aggregate::Sum,
                        how if is(how, "MIN") => Aggregate::Least,
                        how if is(how, "MAX") => Aggregate::Greatest,
                        _ => return Err(Failure::Syntax),
                    };
                    rest
                }
                [option, rest @ ..] if outcome == Outcome::Answered && is(option, "WITHSCORES") => {
                    options.with_scores = true;
                    rest
                }
                [option, limit, rest @ ..] if outcome == Outcome::Counted && is(option, "LIMIT") => {
                    options.limit = parse_limit(limit)?;
                    rest
                }
                _ => return Err(Failure::Syntax),
            };
        }
    }

    /// The members of the result, in no order.
    fn combine(&self, seed: &HashSeed, operation: Operation, mut sources: Vec<Source>) -> Vec<ScoredMember> {
        if operation != Operation::Difference {
            // Sums of doubles depend on their order: the smallest set first, as in Redis.
            sources.sort_by_key(Source::len);
        }
        match operation {
            Operation::Union => self.union(&sources),
            Operation::Intersection => self.intersection(seed, &sources),
            Operation::Difference => difference(seed, &sources),
        }
    }

    fn union(&self, sources: &[Source]) -> Vec<ScoredMember> {
        let mut scores: HashMap<Vec<u8>, f64> = HashMap::new();
        for source in sources {
            source.for_each(&mut |member, score| {
                match scores.get_mut(member) {
                    Some(own) => *own = self.aggregate.of(*own, score),
                    None => drop(scores.insert(member.to_vec(), score)),
                }
                true
            });
        }
        scores.into_iter().collect()
    }

    fn intersection(&self, seed: &HashSeed, sources: &[Source]) -> Vec<ScoredMember> {
        let mut members = Vec::new();
        let Some((smallest, others)) = sources.split_first() else { return members };
        smallest.for_each(&mut |member, score| {
            let aggregate = |sum, source: &Source| Some(self.aggregate.of(sum, source.score(seed, member)?));
            let all = others.iter().try_fold(score, aggregate);
            if let Some(score) = all {
                members.push((member.to_vec(), score));
            }
            self.limit == 0 || (members.len() as u64) < self.limit
        });
        members
    }
}

fn difference(seed: &HashSeed, sources: &[Source]) -> Vec<ScoredMember> {
    let mut members = Vec::new();
    let Some((first, others)) = sources.split_first() else { return members };
    first.for_each(&mut |member, score| {
        if !others.iter().any(|source| source.score(seed, member).is_some()) {
            members.push((member.to_vec(), score));
        }
        true
    });
    members
}
