//! Snapshots that become files: a thread for each, which gives way to all others.

use std::{io, sync::Arc, time::Instant};

use actix::{AsyncContext, Handler, WrapFuture};
use rejoin_persistence::rdb_file::SaveError;
use tokio::sync::mpsc;

use super::Snapshotter;
use crate::{
    background,
    messages::{
        shard::ShardMessage,
        snapshotter::{BeginSave, SaveEnded, SavePurpose},
    },
};

impl Handler<BeginSave> for Snapshotter {
    type Result = ();

    fn handle(&mut self, begin: BeginSave, context: &mut Self::Context) {
        let (save, purpose) = (begin.save, begin.purpose.clone());
        self.saves.retain(|guard| guard.strong_count() > 0);
        self.saves.push(Arc::downgrade(&begin.guard));
        let (shard, begun) = (self.shard.clone(), Instant::now());
        let spawned = background::spawn(format!("save-{save}"), move || write(begin, begun, shard));
        if let Err(error) = spawned {
            tracing::warn!(%error, "Can't save in background: no thread could be had");
            let outcome = Err(SaveError::Write(error.into()));
            let ended = ShardMessage::SaveEnded(SaveEnded { save, purpose, outcome, took: begun.elapsed() });
            let shard = self.shard.clone();
            // Nobody is there when the node has stopped.
            let tell = async move { drop(shard.send(ended).await) };
            context.spawn(tell.into_actor(self));
        }
    }
}

fn write(begin: BeginSave, begun: Instant, shard: mpsc::Sender<ShardMessage>) {
    let BeginSave { save, purpose, snapshot, file, storage, guard } = begin;
    let mut report = Report { save, purpose, begun, shard, outcome: None };
    report.outcome = Some(file.write(&*storage, snapshot, &guard));
}

/// Says how a save ended when it is dropped, be it by a panic: the shard begins no other before it knows.
struct Report {
    save: u64,
    purpose: SavePurpose,
    begun: Instant,
    shard: mpsc::Sender<ShardMessage>,
    outcome: Option<Result<u64, SaveError>>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            let error = io::Error::other("the save failed on our side, which is a defect");
            Err(SaveError::Write(error.into()))
        });
        let (save, purpose, took) = (self.save, self.purpose.clone(), self.begun.elapsed());
        let ended = SaveEnded { save, purpose, outcome, took };
        // Nobody is there when the node has stopped.
        let _ = self.shard.blocking_send(ShardMessage::SaveEnded(ended));
    }
}
