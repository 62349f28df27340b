//! Which resync a replica gets: the first rung of the ladder that holds, decided on numbers alone.
//!
//! It carries nothing out and counts nothing; [`MasterCore`](crate::MasterCore) asks it. So far it knows the rungs
//! "continue", "history" and "full", and of the latter which begins with a base ([`BaseTerms`]); rewind is our side's as a
//! replica, and delta comes between them.

use std::fmt;

use rejoin_protocol::psync::PsyncRequest;
use rejoin_protocol::{ByteCount, NextOffset, Offset, ReplicationId};
use thiserror::Error;

use crate::{lineage::Lineage, session::ReplicaHello};

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

/// RDB versions that are read by replicas that say nothing of their own version but that they know PSYNC2 (Redis 4.0).
const RDB_VERSION_OF_PSYNC2: u32 = 8;
/// By Valkey, which states its version from 8.0 on.
const RDB_VERSION_OF_VALKEY: u32 = 11;

/// Rung 5: what a base must be like for a replica that would otherwise get a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseTerms {
    /// Never back in time: the last byte of a stream that we share which the replica holds; zero if there is none.
    pub not_before: Offset,
    /// The highest version of the format that it is known to read.
    pub rdb_version_max: u32,
}

/// A base that lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseOffer {
    /// The last byte of the stream that is in it.
    pub offset: Offset,
    /// Its length.
    pub bytes: ByteCount,
    /// The version of the format that it is written in.
    pub rdb_version: u32,
}

/// Why a base is not what a full sync begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BaseRefusal {
    /// The replica has more than the base.
    #[error("the base at {at} would take the replica back from {held}")]
    BackInTime {
        /// Where the base stands.
        at: Offset,
        /// What the replica holds.
        held: Offset,
    },
    /// The replica may not be able to read it.
    #[error("the base is of version {version}, and the replica is known to read {version_max}")]
    Unreadable {
        /// Of the base.
        version: u32,
        /// What it reads.
        version_max: u32,
    },
    /// A snapshot is cheaper.
    #[error("{log} bytes of log since the base of {base} bytes")]
    TooMuchLog {
        /// The log since.
        log: ByteCount,
        /// The base.
        base: ByteCount,
    },
}

impl BaseTerms {
    /// The terms of a replica; `None` where only a snapshot will do: it wants the data as they are now, or it does not know
    /// PSYNC2, so that it might begin the stream in the wrong database.
    #[must_use]
    pub fn of(lineage: &Lineage, wanted: Wanted, hello: &ReplicaHello) -> Option<Self> {
        if !hello.capa_psync2 || hello.rdb_only || wanted == Wanted::LegacySync {
            return None;
        }
        let rdb_version_max = match &hello.version {
            _ if hello.capa_rejoin => u32::MAX,
            Some(_) => RDB_VERSION_OF_VALKEY,
            None => RDB_VERSION_OF_PSYNC2,
        };
        let not_before = match wanted {
            Wanted::Continue { replid, from } if replid == lineage.current() => from.prior(),
            Wanted::Continue { replid, from } => {
                lineage.last_valid(replid).map_or(Offset::ZERO, |last_valid| last_valid.min(from.prior()))
            }
            Wanted::Everything | Wanted::LegacySync => Offset::ZERO,
        };
        Some(Self { not_before, rdb_version_max })
    }

    /// Whether a base will do, with the log since, up to `visible`: no more than the base is large, since what a snapshot
    /// costs grows with the data too.
    pub fn check(&self, base: &BaseOffer, visible: Offset) -> Result<(), BaseRefusal> {
        if base.offset < self.not_before {
            return Err(BaseRefusal::BackInTime { at: base.offset, held: self.not_before });
        }
        if base.rdb_version > self.rdb_version_max {
            let (version, version_max) = (base.rdb_version, self.rdb_version_max);
            return Err(BaseRefusal::Unreadable { version, version_max });
        }
        let log = visible.since(base.offset);
        if log > base.bytes {
            return Err(BaseRefusal::TooMuchLog { log, base: base.bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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

    /// The terms of a replica of stream 2, which continued stream 1 at 1000.
    fn terms(wanted: Wanted, hello: &ReplicaHello) -> Option<BaseTerms> {
        let mut lineage = Lineage::new(id(1));
        lineage.shift(id(2), Offset::new(1000));
        BaseTerms::of(&lineage, wanted, hello)
    }

    #[test]
    fn a_base_takes_nobody_back_in_time() {
        let hello = ReplicaHello { capa_psync2: true, ..ReplicaHello::default() };
        let held = |replid, from| {
            let wanted = Wanted::Continue { replid: id(replid), from: NextOffset::new(from) };
            terms(wanted, &hello).unwrap().not_before.get()
        };
        assert_eq!(held(2, 501), 500);
        assert_eq!(held(1, 501), 500);
        assert_eq!(held(1, 1501), 1000, "what is behind the fork is lost in any case");
        assert_eq!(held(7, 1501), 0, "unrelated");
        let terms = BaseTerms { not_before: Offset::new(500), rdb_version_max: 8 };
        let base = |offset, bytes, rdb_version| BaseOffer {
            offset: Offset::new(offset),
            bytes: ByteCount::new(bytes),
            rdb_version,
        };
        let visible = Offset::new(1200);
        assert_eq!(terms.check(&base(500, 700, 8), visible), Ok(()));
        let refused = |base| terms.check(&base, visible).unwrap_err().to_string();
        assert_eq!(refused(base(499, 900, 8)), "the base at 499 would take the replica back from 500");
        assert_eq!(refused(base(500, 699, 8)), "700 bytes of log since the base of 699 bytes");
        assert_eq!(
            refused(base(500, 700, 9)),
            "the base is of version 9, and the replica is known to read 8"
        );
    }

    #[test]
    fn who_gets_a_base() {
        let psync2 = ReplicaHello { capa_psync2: true, ..ReplicaHello::default() };
        let reads =
            |hello: &ReplicaHello| terms(Wanted::Everything, hello).map(|terms| terms.rdb_version_max);
        assert_eq!(reads(&ReplicaHello::default()), None);
        assert_eq!(reads(&psync2), Some(8));
        assert_eq!(reads(&ReplicaHello { version: Some("9.1.2".to_owned()), ..psync2.clone() }), Some(11));
        assert_eq!(reads(&ReplicaHello { capa_rejoin: true, ..psync2.clone() }), Some(u32::MAX));
        assert_eq!(reads(&ReplicaHello { rdb_only: true, ..psync2.clone() }), None, "wants the data of now");
        assert_eq!(terms(Wanted::LegacySync, &psync2), None);
    }
}
