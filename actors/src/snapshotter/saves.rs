//! Snapshots that become files: a thread for each, which gives way to all others.

use std::time::Instant;

use actix::{AsyncContext, Context, Handler, Recipient, WrapFuture};
use rejoin_persistence::rdb_file::SaveError;

use super::Snapshotter;
use crate::{
    background,
    messages::{
        shard::ShardMessage,
        snapshotter::{BeginSave, SaveEnded},
    },
};

impl Handler<BeginSave> for Snapshotter {
    type Result = ();

    fn handle(&mut self, begin: BeginSave, context: &mut Self::Context) {
        let (save, purpose) = (begin.save, begin.purpose.clone());
        self.saves.insert(save, begin.guard.clone());
        let ended = context.address().recipient();
        let begun = Instant::now();
        let spawned = background::spawn(format!("save-{save}"), move || write(begin, begun, &ended));
        if let Err(error) = spawned {
            tracing::warn!(%error, "Can't save in background: no thread could be had");
            let outcome = Err(SaveError::Write(error.into()));
            context.notify(SaveEnded { save, purpose, outcome, took: begun.elapsed() });
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "as many at most as saves run, and the shard has two")]
fn write(begin: BeginSave, begun: Instant, ended: &Recipient<SaveEnded>) {
    let BeginSave { save, purpose, snapshot, file, storage, guard } = begin;
    let outcome = file.write(&*storage, snapshot, &guard);
    // Not to be lost: the shard begins no other before it knows of the end of this one. Nobody is there when the node has
    // stopped.
    ended.do_send(SaveEnded { save, purpose, outcome, took: begun.elapsed() });
}

impl Handler<SaveEnded> for Snapshotter {
    type Result = ();

    fn handle(&mut self, ended: SaveEnded, context: &mut Context<Self>) {
        self.saves.remove(&ended.save);
        let shard = self.shard.clone();
        let tell = async move {
            // The shard has stopped.
            let _ = shard.send(ShardMessage::SaveEnded(ended)).await;
        };
        context.spawn(tell.into_actor(self));
    }
}
