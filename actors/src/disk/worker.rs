//! The thread that does for the log what may block: syncs, bases put in their place, files removed. It does one thing
//! after the other, in the order in which the shard asked, and reports to the shard's inbox.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use rejoin_persistence::{
    files::{BaseInstallation, Retired, SyncTask},
    storage::Storage,
};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::messages::shard::ShardMessage;

/// Tasks that wait at most. The shard has one sync and one base under way; what is retired waits with them.
const TASKS_MAX: usize = 64;
/// Between two attempts at reporting while the shard's inbox is full.
const FULL_INBOX_PAUSE: Duration = Duration::from_millis(1);

/// One thing to do.
#[derive(Debug)]
pub(crate) enum DiskTask {
    /// Make bytes and names survive a power loss.
    Sync(SyncTask),
    /// Put a base in its place, once the log is safe up to it.
    InstallBase(SyncTask, BaseInstallation),
    /// Move or remove what is not live any more.
    Retire(Retired),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum DiskOutcome {
    /// Of a sync; after an error the task comes back.
    Synced(SyncTask, io::Result<()>),
    /// Of putting a base in its place; after an error the sync comes back.
    BaseInstalled(SyncTask, io::Result<()>),
}

/// A message of the disk's thread.
#[derive(Debug)]
pub struct DiskReport {
    /// Which set of files it concerns.
    pub(crate) set: u64,
    pub(crate) outcome: DiskOutcome,
}

/// The thread for the disk.
#[derive(Debug)]
pub(crate) struct DiskWorker {
    /// Absent once the thread is to end.
    tasks: Option<std_mpsc::SyncSender<(u64, DiskTask)>>,
    thread: Option<JoinHandle<()>>,
    /// Nobody listens to reports any more.
    is_ending: Arc<AtomicBool>,
}

impl DiskWorker {
    /// Starts the thread.
    pub(crate) fn start(
        storage: Arc<dyn Storage>,
        reports: mpsc::WeakSender<ShardMessage>,
    ) -> io::Result<Self> {
        let (tasks, asked) = std_mpsc::sync_channel::<(u64, DiskTask)>(TASKS_MAX);
        let is_ending = Arc::new(AtomicBool::new(false));
        let ending = is_ending.clone();
        let thread = std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
            while let Ok((set, task)) = asked.recv() {
                let outcome = match task {
                    DiskTask::Sync(task) => {
                        let outcome = task.carry_out(&*storage);
                        DiskOutcome::Synced(task, outcome)
                    }
                    DiskTask::InstallBase(sync, base) => {
                        let outcome = sync.carry_out(&*storage).and_then(|()| base.carry_out(&*storage));
                        DiskOutcome::BaseInstalled(sync, outcome)
                    }
                    DiskTask::Retire(task) => {
                        if let Err(error) = task.carry_out(&*storage) {
                            tracing::warn!(%error, "an old file of the log could not be put aside");
                        }
                        continue;
                    }
                };
                let report = ShardMessage::Disk(Box::new(DiskReport { set, outcome }));
                let Some(reports) = reports.upgrade() else { return };
                tell(&reports, report, &ending);
            }
        })?;
        Ok(Self { tasks: Some(tasks), thread: Some(thread), is_ending })
    }

    /// Waits until all that was asked is done. What came of it is not reported any more.
    pub(crate) fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.is_ending.store(true, Ordering::Release);
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            // A panic there lost a sync or a base; the next start finds out.
            let _ = thread.join();
        }
    }

    /// Asks for something that concerns the set of files `set`. Whether there was room.
    pub(crate) fn ask(&self, set: u64, task: DiskTask) -> bool {
        self.tasks.as_ref().is_some_and(|tasks| tasks.try_send((set, task)).is_ok())
    }
}

impl Drop for DiskWorker {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reports, unless nobody listens any more: then the shard waits for this thread and takes nothing from its inbox.
fn tell(reports: &mpsc::Sender<ShardMessage>, mut report: ShardMessage, is_ending: &AtomicBool) {
    while let Err(TrySendError::Full(unsent)) = reports.try_send(report) {
        if is_ending.load(Ordering::Acquire) {
            return;
        }
        report = unsent;
        std::thread::sleep(FULL_INBOX_PAUSE);
    }
}
