//! Rung 5, the master's part: a full sync out of a base that lies on disk and the log since, instead of a snapshot.
//!
//! The terms are the ladder's; the `AofSender` looks for a base that keeps them. Where there is none, or it cannot say, a
//! snapshot is taken as ever. The replica's session waits meanwhile, as it does for a snapshot.

use actix::{Context, Handler};
use rejoin_persistence::rdb::StreamPosition;
use rejoin_protocol::Epoch;
use rejoin_replication::{BaseTerms, Rung};

use super::Master;
use crate::{
    mailbox::{WhenFull, tell},
    messages::{
        aof_sender::{FindBase, FoundBase},
        buffer_manager::{CloseCursor, OpenCursor},
        master::BaseAnswered,
        snapshotter::{FeedPayload, JoinSnapshot, SnapshotFeed},
    },
};

/// A replica that gets a full sync, and what it may begin with.
pub(super) struct Joining {
    pub(super) join: JoinSnapshot,
    /// `None`: only a snapshot will do.
    pub(super) terms: Option<BaseTerms>,
}

/// One whose base is being looked for.
pub(super) struct AwaitingBase {
    join: JoinSnapshot,
    asked_in: Epoch,
}

impl Master {
    /// It is a replica's turn: looks for a base, or joins a snapshot.
    pub(super) fn begin_payload(&mut self, joining: Joining) {
        let Joining { join, terms } = joining;
        let (Some(terms), Some(address)) = (terms, self.address.clone()) else {
            self.join_snapshot(join);
            return;
        };
        let replica = join.replica;
        let asked = self.seed.find_base.send(FindBase { stream: self.stream(), name: self.name, terms });
        self.awaiting_base.insert(replica, AwaitingBase { join, asked_in: self.core.epoch() });
        actix::spawn(async move {
            let answer = asked.await.unwrap_or_else(|error| Err(error.to_string()));
            tell(&address, BaseAnswered { replica, answer }, WhenFull::Complain);
        });
    }

    fn join_snapshot(&mut self, join: JoinSnapshot) {
        self.core.handle_payload_begin(join.replica, Rung::Snapshot);
        tell(&self.seed.join, join, WhenFull::Complain);
    }

    fn serve_base(&mut self, join: JoinSnapshot, found: FoundBase) {
        let FoundBase { base, from } = found;
        let (replica, offset, bytes) = (join.replica, base.position.offset, base.bytes);
        tracing::info!(
            %replica, %offset, %bytes, log_bytes = %from.lag(),
            "Full resync from the base on disk and the log since: no snapshot is taken"
        );
        self.core.handle_payload_begin(replica, Rung::Base);
        // What is behind the base is kept until the session reads it itself.
        tell(
            &self.seed.open_cursor,
            OpenCursor { replica, stream: self.stream(), at: from.position() },
            WhenFull::Complain,
        );
        // Up to there the present stream and the one that the base was written in are the same.
        let position = StreamPosition { replid: self.core.lineage().current(), ..base.position };
        let payload = FeedPayload::File { file: base.file, bytes };
        let unsaid_db = base.position.selected;
        let feed = SnapshotFeed { position, unsaid_db, at: from, held: None, payload };
        if join.deliver.send(feed).is_err() {
            // The session is gone already, and has closed what it had opened.
            tell(&self.seed.close_cursor, CloseCursor { replica }, WhenFull::Complain);
        }
    }
}

impl Handler<BaseAnswered> for Master {
    type Result = ();

    fn handle(&mut self, answered: BaseAnswered, _: &mut Context<Self>) {
        let BaseAnswered { replica, answer } = answered;
        // The replica is gone.
        let Some(AwaitingBase { join, asked_in }) = self.awaiting_base.remove(&replica) else { return };
        match answer {
            Ok(found) if asked_in == self.core.epoch() => self.serve_base(join, found),
            Ok(_) => self.join_snapshot(join),
            Err(reason) => {
                tracing::info!(%replica, reason, "Full resync: a snapshot will be sent");
                self.join_snapshot(join);
            }
        }
        self.settle();
    }
}
