//! The thread that does for the log what may block: syncs, bases put in their place, files removed. It does one thing
//! after the other, in the order in which the shard asked, and reports to the shard's inbox.

use std::{
    io,
    sync::{Arc, mpsc as std_mpsc},
};

use rejoin_persistence::{
    files::{BaseInstallation, Retired, SyncTask},
    storage::Storage,
};
use tokio::sync::mpsc;

use crate::messages::shard::ShardMessage;

/// Tasks that wait at most. The shard has one sync and one base under way; what is retired waits with them.
const TASKS_MAX: usize = 64;

/// One thing to do.
#[derive(Debug)]
pub(crate) enum DiskTask {
    /// Make bytes and names survive a power loss.
    Sync(SyncTask),
    /// Put a base in its place.
    InstallBase(BaseInstallation),
    /// Move or remove what is not live any more.
    Retire(Retired),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum DiskOutcome {
    /// Of a sync; after an error the task comes back.
    Synced(SyncTask, io::Result<()>),
    /// Of putting a base in its place.
    BaseInstalled(io::Result<()>),
}

/// A message of the disk's thread.
#[derive(Debug)]
pub struct DiskReport {
    /// Which set of files it concerns.
    pub(crate) set: u64,
    pub(crate) outcome: DiskOutcome,
}

/// The thread for the disk; ends when this is dropped, after what was asked before.
#[derive(Debug)]
pub(crate) struct DiskWorker {
    tasks: std_mpsc::SyncSender<(u64, DiskTask)>,
}

impl DiskWorker {
    /// Starts the thread.
    pub(crate) fn start(
        storage: Arc<dyn Storage>,
        reports: mpsc::WeakSender<ShardMessage>,
    ) -> io::Result<Self> {
        let (tasks, asked) = std_mpsc::sync_channel::<(u64, DiskTask)>(TASKS_MAX);
        std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
            while let Ok((set, task)) = asked.recv() {
                let outcome = match task {
                    DiskTask::Sync(task) => {
                        let outcome = task.carry_out(&*storage);
                        DiskOutcome::Synced(task, outcome)
                    }
                    DiskTask::InstallBase(task) => DiskOutcome::BaseInstalled(task.carry_out(&*storage)),
                    DiskTask::Retire(task) => {
                        if let Err(error) = task.carry_out(&*storage) {
                            tracing::warn!(%error, "an old file of the log could not be put aside");
                        }
                        continue;
                    }
                };
                let report = ShardMessage::Disk(Box::new(DiskReport { set, outcome }));
                let Some(reports) = reports.upgrade() else { return };
                if reports.blocking_send(report).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { tasks })
    }

    /// Asks for something that concerns the set of files `set`. Whether there was room.
    pub(crate) fn ask(&self, set: u64, task: DiskTask) -> bool {
        self.tasks.try_send((set, task)).is_ok()
    }
}
