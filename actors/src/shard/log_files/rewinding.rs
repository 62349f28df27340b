//! The shard's part in going back to where our stream parted from the master's: what the files have to say, before, and
//! putting the rebuilt data in the place of ours, after. What lies between happens on a thread ([`crate::disk::rewind`]).

use std::path::PathBuf;

use rejoin_persistence::files::{lost, rewind::BaseAt};
use rejoin_protocol::{ByteCount, DbIndex, Offset, ReplicationId};
use rejoin_replication::{Divergence, Position};

use super::{Keeps, stream_name_of};
use crate::{
    background,
    disk::{
        HISTORY_FOLDER,
        rewind::{RewindPlan, Rewound},
    },
    messages::master::ReplaceLineage,
    shard::{Shard, history, recovery::TAIL_BYTES_MAX},
};

/// Why the node does not go back.
#[derive(Debug)]
pub enum NoRewind {
    /// It may another time: the link is closed, and taken up again.
    NotNow(String),
    /// The next rung is taken.
    Never(String),
}

impl Shard {
    /// What is needed for going back.
    pub(crate) fn plan_rewind(
        &mut self,
        following: u64,
        divergence: Divergence,
    ) -> Result<RewindPlan, NoRewind> {
        let not_now = |reason: &str| Err(NoRewind::NotNow(reason.to_owned()));
        if !self.is_following(following) || self.visible() != divergence.held {
            return not_now("the stream has changed meanwhile");
        }
        if !self.publish_log() {
            return not_now("what was executed last could not be written to the log");
        }
        let Some(disk) = &self.disk else {
            let reason = "no log is kept on disk ('appendonly no' and 'repl-history no')";
            return Err(NoRewind::Never(reason.to_owned()));
        };
        if disk.base_began.is_some() {
            return not_now("a base of the log is being written");
        }
        let storage = disk.files.storage().clone();
        let mut bases: Vec<BaseAt> = disk.files.base().into_iter().collect();
        if disk.keeps == Keeps::History {
            let dump = history::read_saved(&*storage);
            let path = PathBuf::from(&self.engine.settings.dbfilename);
            bases.extend(dump.map(|(replid, offset)| BaseAt { path, replid, offset }));
        }
        self.sets_begun += 1;
        Ok(RewindPlan {
            folder: disk.files.folder().to_owned(),
            live_start: disk.files.start(),
            bases,
            stream: stream_name_of(&self.lineage),
            divergence,
            settings: self.engine.settings.clone(),
            tail_bytes_max: self.engine.settings.repl_backlog_bytes.min(TAIL_BYTES_MAX),
            number: self.sets_begun,
            storage,
        })
    }

    /// Puts the node as it was in the place of what it is: the files first, then the data, the log and its name.
    pub(crate) fn go_back(&mut self, following: u64, rewound: Rewound) -> Result<Position, NoRewind> {
        let Rewound { keyspace, lineage, held, place, tail, cut, is_live, lost, start } = rewound;
        let number = self.sets_begun + 1;
        let is_present = self.is_following(following) && self.visible() == held && self.unwritten.is_empty();
        let Some(disk) = self.disk.as_mut().filter(|_| is_present) else {
            if let Some((cut, disk)) = cut.as_ref().zip(self.disk.as_ref()) {
                cut.discard(&**disk.files.storage());
            }
            return Err(NoRewind::NotNow("the stream has changed meanwhile".to_owned()));
        };
        let now = self.engine.now;
        disk.call_off_base();
        let gone = if is_live {
            disk.files.go_back(place.clone(), cut.as_ref(), now).map(Some).map_err(|flaw| flaw.to_string())
        } else {
            let begun = disk.files.begin_again_without(place.clone(), now);
            begun.map(|()| None).map_err(|error| crate::words_of(&error))
        };
        let gone = gone.map_err(|error| {
            if let Some(cut) = &cut {
                cut.discard(&**disk.files.storage());
            }
            NoRewind::NotNow(error)
        })?;
        self.sets_begun = number;
        disk.set = number;
        (disk.base_began, disk.base_failed_at) = (None, None);
        (disk.bytes_ahead, disk.is_syncing, disk.needs_base, disk.is_stale) = (0, false, false, false);
        disk.offset_safe = place.offset;
        // At once: nobody may read on in what is given up.
        let removed = gone.map_or(Ok(()), |gone| gone.carry_out(&**disk.files.storage()));
        if let Err(error) = removed {
            tracing::warn!(%error, "what was given up of the log could not be removed");
        }
        self.engine.status.log.rewrite_began = None;
        self.engine.status.log.offset_synced = place.offset;
        let databases = (0..keyspace.database_count()).map(DbIndex::new);
        let keys: usize = databases.map(|db| keyspace.database(db).len()).sum();
        self.stop_upstream();
        background::reap(self.engine.replace_keyspace(keyspace));
        self.lineage = lineage;
        self.show_lineage();
        self.tail.clear();
        let name = self.log.restart(Offset::new(place.offset.get() - tail.len() as u64));
        self.log.append(&tail);
        self.log.publish();
        self.engine.status.hot_first = self.log_handle.first_held();
        self.engine.log.restart(place.offset, Some(place.db));
        self.begin_file(place.db);
        self.control.replace_lineage(ReplaceLineage { lineage: self.lineage.clone(), name });
        let status = &mut self.engine.status;
        status.rewinds += 1;
        tracing::warn!(
            keys, base = %start, lost = lost.to.since(place.offset).get(), file = %lost.path.display(),
            "Went back from {held} to {}, where our stream parted from the master's. The bytes {} to {} are given up; \
             'rejoin lost' shows them",
            place.offset, lost.from, lost.to
        );
        self.count_lost_tails();
        if !is_live {
            self.begin_base();
        }
        self.replace_dump_of_lost_tail(place.offset);
        Ok(Position { replid: self.lineage.current(), offset: place.offset })
    }

    /// With `appendonly no` a start would load the dump that was saved last: not one of what was given up.
    fn replace_dump_of_lost_tail(&mut self, at: Offset) {
        let is_history = self.disk.as_ref().is_some_and(|disk| disk.keeps == Keeps::History);
        let is_lost = |(_, offset): &(ReplicationId, Offset)| *offset > at;
        if is_history && history::read_saved(&*self.storage).as_ref().is_some_and(is_lost) {
            self.save_in_background();
        }
    }

    /// For INFO: what lost tails are kept.
    pub(crate) fn count_lost_tails(&mut self) {
        let folders = [PathBuf::from(&self.engine.settings.log.folder), PathBuf::from(HISTORY_FOLDER)];
        let tails = folders.iter().flat_map(|folder| lost::list(&*self.storage, folder).unwrap_or_default());
        let (mut files, mut bytes) = (0, ByteCount::ZERO);
        for tail in tails {
            files += 1;
            bytes = ByteCount::new(bytes.get().saturating_add(tail.bytes));
        }
        (self.engine.status.lost_tails, self.engine.status.lost_tail_bytes) = (files, bytes.get());
    }
}
