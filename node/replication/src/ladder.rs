//! Which resync a replica gets: the first rung of the ladder that holds, decided on numbers alone.
//!
//! It carries nothing out and counts nothing; [`MasterCore`](crate::MasterCore) asks it. So far it knows the rungs
//! "continue", "history" and "full"; rewind, delta and base come between the last two.

use std::fmt;

use rejoin_protocol::psync::PsyncRequest;
use rejoin_protocol::{NextOffset, Offset, ReplicationId};

use crate::lineage::Lineage;

/// What is held of the stream at the moment of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The first byte in memory; the byte after `visible` if none is.
    pub first: NextOffset,
    /// The first byte in files; equal to `first` where there is no history.
    pub first_retained: NextOffset,
    /// The last byte that may be sent.
    pub visible: Offset,
}

impl LogRange {
    /// A log without history.
    #[must_use]
    pub fn hot_only(first: NextOffset, visible: Offset) -> Self {
        Self { first, first_retained: first, visible }
    }
}

impl fmt::Display for LogRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first_retained.prior() >= self.visible {
            return write!(f, "nothing up to {}", self.visible);
        }
        write!(f, "{}..{}", self.first_retained, self.visible)
    }
}

/// What a replica asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `SYNC`: the data, then the stream; it does not understand `+FULLRESYNC`.
    LegacySync,
    /// `PSYNC ? -1`, or a PSYNC whose replid is none: the data, then the stream.
    Everything,
    /// `PSYNC <replid> <from>`: the stream from there, or else everything.
    Continue {
        /// The stream it holds.
        replid: ReplicationId,
        /// The first byte that it lacks.
        from: NextOffset,
    },
}

impl From<&PsyncRequest> for Wanted {
    /// What is no replid or no offset matches nothing, and gets everything, as in Redis.
    fn from(request: &PsyncRequest) -> Self {
        match request.from() {
            Some((replid, from)) => Self::Continue { replid, from },
            None => Self::Everything,
        }
    }
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resync {
    /// Rung 1: the stream goes on out of memory. At `visible + 1` there is nothing to send yet.
    Continue {
        /// The first byte to send.
        from: NextOffset,
    },
    /// Rung 2: the bytes are in files.
    History {
        /// The first byte to send.
        from: NextOffset,
    },
    /// Rung 6: a snapshot.
    Full {
        /// Why nothing better held.
        reason: FullReason,
    },
}

/// Why a replica gets a full sync. `Display` is the line for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullReason {
    /// It asked by SYNC.
    LegacySync,
    /// It asked for everything.
    Asked,
    /// It follows a stream that is not in our lineage.
    UnknownReplid {
        /// The stream it holds.
        wanted: ReplicationId,
        /// The first byte that it wanted of it.
        from: NextOffset,
        /// Our stream.
        current: ReplicationId,
        /// Our last byte.
        visible: Offset,
    },
    /// It follows an ancestor of ours, but further than we share it.
    Diverged {
        /// The ancestor.
        wanted: ReplicationId,
        /// The first byte that it wanted of it.
        from: NextOffset,
        /// The last byte that we share.
        last_valid: Offset,
        /// Our last byte.
        visible: Offset,
    },
    /// The byte wanted is no longer held.
    TooOld {
        /// The byte.
        from: NextOffset,
        /// What is held, files included.
        have: LogRange,
    },
    /// The byte wanted lies past the one after our last.
    TooNew {
        /// The byte.
        from: NextOffset,
        /// What is held.
        have: LogRange,
    },
    /// The bytes should be in files, but they could not be served from there.
    HistoryRefused {
        /// The byte wanted.
        from: NextOffset,
        /// What is held.
        have: LogRange,
    },
}

impl FullReason {
    /// Whether a partial resync was asked for and refused (INFO's `sync_partial_err`).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::LegacySync | Self::Asked)
    }
}

impl fmt::Display for FullReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LegacySync => f.write_str("full sync: asked by SYNC"),
            Self::Asked => f.write_str("full sync: asked for"),
            Self::UnknownReplid { wanted, from, current, visible } => write!(
                f,
                "partial resync refused: wanted {from} of unknown stream {wanted}, have {current} up to {visible}"
            ),
            Self::Diverged { wanted, from, last_valid, visible } => write!(
                f,
                "partial resync refused: wanted {from} of {wanted}, which we share up to {last_valid} only (we are at {visible})"
            ),
            Self::TooOld { from, have } | Self::TooNew { from, have } => {
                write!(f, "partial resync refused: wanted {from}, have {have}")
            }
            Self::HistoryRefused { from, have } => {
                write!(f, "partial resync refused: wanted {from}, which history could not serve, have {have}")
            }
        }
    }
}

/// The first rung that holds for a replica that wants `wanted`.
#[must_use]
pub fn decide_resync(lineage: &Lineage, log: LogRange, wanted: Wanted) -> Resync {
    let (replid, from) = match wanted {
        Wanted::LegacySync => return Resync::Full { reason: FullReason::LegacySync },
        Wanted::Everything => return Resync::Full { reason: FullReason::Asked },
        Wanted::Continue { replid, from } => (replid, from),
    };
    match refusal(lineage, log, replid, from) {
        Some(reason) => Resync::Full { reason },
        // Byte 0 is byte 1, said the old way.
        None if from.max(NextOffset::FIRST) >= log.first => {
            Resync::Continue { from: from.max(NextOffset::FIRST) }
        }
        None => Resync::History { from: from.max(NextOffset::FIRST) },
    }
}

/// Why the stream `replid` cannot go on at `from`, if it cannot.
fn refusal(lineage: &Lineage, log: LogRange, replid: ReplicationId, from: NextOffset) -> Option<FullReason> {
    let (current, visible) = (lineage.current(), log.visible);
    if !lineage.accepts(replid, from) {
        return Some(match lineage.last_valid(replid) {
            Some(last_valid) => FullReason::Diverged { wanted: replid, from, last_valid, visible },
            None => FullReason::UnknownReplid { wanted: replid, from, current, visible },
        });
    }
    if from.prior() > visible {
        return Some(FullReason::TooNew { from, have: log });
    }
    if from.prior() < log.first_retained.prior() {
        return Some(FullReason::TooOld { from, have: log });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ReplicationId {
        ReplicationId::from_random([byte; 20])
    }

    /// We are stream 2, which continued stream 1 at 1000; memory has 900..1200, files have 300 on.
    fn decide(replid: u8, from: u64) -> Resync {
        let mut lineage = Lineage::new(id(1));
        lineage.shift(id(2), Offset::new(1000));
        let log = LogRange {
            first: NextOffset::new(900),
            first_retained: NextOffset::new(300),
            visible: Offset::new(1200),
        };
        decide_resync(&lineage, log, Wanted::Continue { replid: id(replid), from: NextOffset::new(from) })
    }

    fn refused(replid: u8, from: u64) -> String {
        match decide(replid, from) {
            Resync::Full { reason } => reason.to_string(),
            other => format!("not refused: {other:?}"),
        }
    }

    #[test]
    fn each_rung_at_its_edges() {
        let going_on = |from| Resync::Continue { from: NextOffset::new(from) };
        let history = |from| Resync::History { from: NextOffset::new(from) };
        assert_eq!(decide(2, 1201), going_on(1201), "nothing to send");
        assert_eq!(refused(2, 1202), "partial resync refused: wanted 1202, have 300..1200");
        assert_eq!(decide(2, 900), going_on(900));
        assert_eq!(decide(2, 899), history(899));
        assert_eq!(decide(2, 300), history(300));
        assert_eq!(refused(2, 299), "partial resync refused: wanted 299, have 300..1200");
        assert_eq!(decide(1, 1001), going_on(1001));
        assert!(refused(1, 1002).contains("which we share up to 1000 only (we are at 1200)"));
        assert!(refused(7, 1000).contains(&format!("unknown stream {}, have {} up to 1200", id(7), id(2))));
        assert!(refused(2, u64::MAX).contains("have 300..1200"));
    }

    #[test]
    fn an_empty_log_continues_only_at_its_end() {
        let lineage = Lineage::new(id(2));
        let decide = |at: u64, from: u64| {
            let log = LogRange::hot_only(Offset::new(at).next(), Offset::new(at));
            decide_resync(&lineage, log, Wanted::Continue { replid: id(2), from: NextOffset::new(from) })
        };
        assert_eq!(decide(0, 1), Resync::Continue { from: NextOffset::FIRST });
        assert_eq!(decide(0, 0), Resync::Continue { from: NextOffset::FIRST });
        assert_eq!(decide(50, 51), Resync::Continue { from: NextOffset::new(51) });
        let Resync::Full { reason } = decide(50, 50) else { panic!("byte 50 is not held") };
        assert_eq!(reason.to_string(), "partial resync refused: wanted 50, have nothing up to 50");
    }

    #[test]
    fn only_a_partial_resync_can_be_refused() {
        let lineage = Lineage::new(id(2));
        let log = LogRange::hot_only(NextOffset::FIRST, Offset::ZERO);
        for wanted in [Wanted::LegacySync, Wanted::Everything] {
            let Resync::Full { reason } = decide_resync(&lineage, log, wanted) else { panic!("{wanted:?}") };
            assert!(!reason.is_refusal());
        }
    }
}
