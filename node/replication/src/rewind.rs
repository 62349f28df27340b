//! Where our stream and the master's part: the last byte that both have, found by comparing two lineages (rung 3).
//!
//! A stream's name stands for one row of bytes. So a name that both sides know, each up to some byte, is a beginning that
//! both share up to the smaller of the two; the largest of these is the last common offset. What we hold past it the
//! master never had or gave up: a node that was master and was replaced, that was promoted and wrote, or that followed
//! one which was replaced.
//!
//! It decides nothing about files (whether we can go back there) and talks to nobody:
//! [`Upstream`](crate::Upstream) asks the master by INFO, whoever drives it rebuilds the data.

use std::fmt;

use rejoin_protocol::{NextOffset, Offset, ReplicationId};

use crate::lineage::{ANCESTORS_MAX, Ancestor, Lineage};

/// What a master tells of its stream (`INFO replication`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterStream {
    /// Its stream and those that it continued. Stock servers show one of these, Rejoin all.
    pub lineage: Lineage,
    /// Its last byte.
    pub offset: Offset,
    /// What it can send.
    pub reach: Reach,
    /// It follows a master itself.
    pub standing: Standing,
}

/// From where on a master can send its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nobody knows before it is asked: it has files.
    Unknown,
    /// From this byte on.
    From(NextOffset),
    /// Nothing: it keeps no backlog.
    Nothing,
}

/// Whose the master's stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its own.
    Master,
    /// Its master's, whom it is linked to.
    Linked,
    /// Its master's, whom it does not reach.
    Unlinked,
}

/// How what we hold stands to the master's stream. `Display` is for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// All we hold is a beginning of the master's stream, under this name, which the master knows.
    Beginning {
        /// The name to ask by.
        name: ReplicationId,
    },
    /// We hold bytes past the last common one.
    Diverged(Divergence),
    /// The same, but the master can no longer send what follows the last common byte.
    OutOfReach {
        /// Where the streams part.
        divergence: Divergence,
        /// What it can send.
        reach: Reach,
    },
    /// The master follows somebody and has not yet come to where we are: it may, and is to be asked again.
    Behind {
        /// The master's last byte.
        master: Offset,
    },
    /// No name in common.
    Unrelated,
}

/// Where the streams part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The last byte that both have.
    pub common: Offset,
    /// Our last byte.
    pub held: Offset,
    /// Our lineage once we have gone back there; its current name is one that the master continues.
    pub lineage: Lineage,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { common, held, lineage } = self;
        write!(f, "the streams share {} up to {common}, we hold {held}", lineage.current())
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning { name } => write!(f, "all we hold is the master's, under the name {name}"),
            Self::Diverged(divergence) => divergence.fmt(f),
            Self::OutOfReach { divergence, reach: Reach::From(first) } => {
                write!(f, "{divergence}, and the master sends nothing before {first} any more")
            }
            Self::OutOfReach { divergence, .. } => write!(f, "{divergence}, and the master keeps no backlog"),
            Self::Behind { master } => write!(f, "the master has come to {master} only"),
            Self::Unrelated => f.write_str("no stream in common"),
        }
    }
}

/// How `ours`, held up to `held`, stands to the master's stream.
#[must_use]
pub fn relate(ours: &Lineage, held: Offset, master: &MasterStream) -> Relation {
    let theirs = names(&master.lineage, master.offset);
    let shared = names(ours, held).filter_map(|mine| {
        let (age, known) = theirs.clone().enumerate().find(|(_, known)| known.replid == mine.replid)?;
        Some((mine.last_valid.min(known.last_valid), age, mine.replid))
    });
    // The newest of the master's names where several reach as far: it accepts that one for sure.
    let Some((common, _, name)) = shared.max_by_key(|&(common, age, _)| (common, std::cmp::Reverse(age)))
    else {
        return Relation::Unrelated;
    };
    if common >= held {
        return Relation::Beginning { name };
    }
    if common == Offset::ZERO {
        // A beginning of no bytes is nothing in common.
        return Relation::Unrelated;
    }
    let is_catching_up = match master.standing {
        Standing::Master => false,
        Standing::Linked => name == master.lineage.current() && common == master.offset,
        Standing::Unlinked => true,
    };
    if is_catching_up {
        return Relation::Behind { master: master.offset };
    }
    let divergence = Divergence { common, held, lineage: rewound(ours, common, name) };
    match master.reach {
        Reach::From(first) if first > common.next() => {
            Relation::OutOfReach { divergence, reach: master.reach }
        }
        Reach::Nothing => Relation::OutOfReach { divergence, reach: master.reach },
        Reach::Unknown | Reach::From(_) => Relation::Diverged(divergence),
    }
}

/// All names of a stream that has come to `end`, newest first, each with the last byte that it stands for.
fn names(lineage: &Lineage, end: Offset) -> impl Iterator<Item = Ancestor> + Clone {
    let current = Ancestor { replid: lineage.current(), last_valid: end };
    let older = lineage
        .ancestors()
        .iter()
        .map(move |ancestor| Ancestor { replid: ancestor.replid, last_valid: ancestor.last_valid.min(end) });
    std::iter::once(current).chain(older)
}

/// Our lineage, gone back to `common`, where `name` holds: all other names share no more than that with it.
fn rewound(ours: &Lineage, common: Offset, name: ReplicationId) -> Lineage {
    let others = names(ours, common).filter(|other| other.replid != name).collect();
    Lineage::restore(name, others)
}

impl MasterStream {
    /// Reads the answer to `INFO replication`. `None`: it tells no stream (a server before PSYNC2, or none at all).
    #[must_use]
    pub fn parse(info: &[u8]) -> Option<Self> {
        let info = String::from_utf8_lossy(info);
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let number = |name: &str| field(name)?.parse::<u64>().ok();
        let replid = |name: &str| ReplicationId::parse(field(name)?.as_bytes());
        let current = replid("master_replid").filter(|id| *id != ReplicationId::NONE)?;
        let offset = Offset::new(number("master_repl_offset").filter(|&offset| offset < u64::MAX)?);
        let ancestors = match field("master_ancestors") {
            Some(all) => all.split(',').take(ANCESTORS_MAX).filter_map(parse_ancestor).collect(),
            None => {
                let second = replid("master_replid2").filter(|id| *id != ReplicationId::NONE);
                let from = number("second_repl_offset").map(NextOffset::new);
                second
                    .zip(from)
                    .map(|(replid, from)| Ancestor { replid, last_valid: from.prior() })
                    .into_iter()
                    .collect()
            }
        };
        let reach = match (field("master_ancestors"), number("repl_backlog_active")) {
            (Some(_), _) => Reach::Unknown,
            (None, Some(0)) => Reach::Nothing,
            (None, _) => {
                let first = number("repl_backlog_first_byte_offset").map(NextOffset::new);
                first.map_or(Reach::Unknown, Reach::From)
            }
        };
        let standing = match (field("role"), field("master_link_status")) {
            (Some("slave"), Some("up")) => Standing::Linked,
            (Some("slave"), _) => Standing::Unlinked,
            _ => Standing::Master,
        };
        Some(Self { lineage: Lineage::restore(current, ancestors), offset, reach, standing })
    }
}

fn parse_ancestor(text: &str) -> Option<Ancestor> {
    let (replid, last_valid) = text.split_once(':')?;
    let replid = ReplicationId::parse(replid.as_bytes())?;
    Some(Ancestor { replid, last_valid: Offset::new(last_valid.parse().ok()?) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
