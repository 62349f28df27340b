//! The start: what is on disk is loaded while clients are answered -LOADING; then it serves, and the master is followed.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rejoin_commands::Role;
use rejoin_persistence::storage::{Open, StoredFile};
use rejoin_protocol::DbIndex;
use thiserror::Error;

use crate::{
    disk::load::{LoadOptions, LoadedBase, load_base},
    events::NodeEvent,
    messages::master::ReplaceLineage,
    shard::{Shard, SharedShard, upstream::MASTER_SESSION},
};

/// Between two lines of the log that say how far a load is.
const PROGRESS_PERIOD: Duration = Duration::from_secs(5);

/// Why the node cannot begin to serve; the operator is to decide what becomes of the file.
#[derive(Debug, Error)]
pub enum CannotLoad {
    /// It cannot be opened.
    #[error("Fatal error: can't open the RDB file {file} for reading: {}", crate::words_of(.error))]
    Open {
        /// Its name.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// It is damaged, or holds what we have not.
    #[error("Error loading the RDB file {file}: {reason}")]
    File {
        /// Its name.
        file: String,
        /// What is wrong, and at which byte.
        reason: String,
    },
}

/// What is to be loaded; the load has begun with it for everybody who asks.
pub(crate) struct LoadPlan {
    /// `None`: there is no file.
    file: Option<Arc<dyn StoredFile>>,
    name: String,
    /// Counts the bytes that were read.
    read: Arc<AtomicU64>,
}

impl Shard {
    /// Looks what there is to load. To be called before the first client is let in: from here on all are answered
    /// -LOADING.
    pub(crate) fn plan_load(&mut self) -> Result<LoadPlan, CannotLoad> {
        let name = self.engine.settings.dbfilename.clone();
        let opened = self.storage().open(Path::new(&name), Open::Existing);
        let (file, bytes) = match opened.and_then(|file| file.len().map(|bytes| (file, bytes))) {
            Ok((file, bytes)) => (Some(file), bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, 0),
            Err(error) => return Err(CannotLoad::Open { file: name, error }),
        };
        let read = self.engine.begin_loading(bytes);
        if let Some((host, port)) = self.engine.settings.replicaof.clone() {
            self.engine.role = Role::Replica;
            self.note_upstream(host, port);
        }
        Ok(LoadPlan { file, name, read })
    }

    /// The data is there: clients are served, and the master is followed.
    fn begin_after_load(&mut self) {
        self.set_clock();
        self.engine.saving.last_saved = self.engine.now;
        self.engine.end_loading();
        self.events.report(NodeEvent::Loaded);
        if let Some((host, port)) = self.engine.settings.replicaof.clone() {
            self.follow(host, port);
        }
    }

    /// Takes over what was loaded, and the stream's place with it.
    fn adopt_base(&mut self, base: LoadedBase) {
        let LoadedBase { keyspace, summary, expired } = base;
        let expired_count = expired.len() as u64;
        let loaded_count = summary.keys.saturating_sub(expired_count);
        tracing::info!("Done loading RDB, keys loaded: {loaded_count}, keys expired: {expired_count}.");
        if !summary.functions.is_empty() {
            tracing::warn!(
                libraries = summary.functions.len(),
                "Functions in the RDB file are not kept: this version does not run them"
            );
        }
        (self.engine.saving.keys_loaded, self.engine.saving.keys_expired) = (loaded_count, expired_count);
        self.engine.replace_keyspace(keyspace);
        let Some(position) = summary.position else { return };
        self.replid = position.replid;
        self.engine.status.replid = position.replid;
        self.log.restart(position.offset);
        self.engine.log.restart(position.offset, None);
        self.control.replace_lineage(ReplaceLineage { replid: position.replid });
        if self.engine.role == Role::Replica {
            self.has_masters_stream = true;
            if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
                session.db = position.selected;
            }
            return;
        }
        // What came behind the save is lost, so the name must not be gone on with; who has followed it up to here may
        // continue, and is told what has expired since.
        self.shift_lineage();
        self.log_expired(&expired);
        self.publish_log();
    }

    fn log_expired(&mut self, expired: &[(DbIndex, Box<[u8]>)]) {
        for (db, key) in expired {
            self.engine.log.begin_unit();
            self.engine.log.push(*db, &[b"DEL", key]);
            self.engine.log.end_unit();
        }
    }
}

/// Loads what `plan` says and lets the node begin.
///
/// # Errors
/// Why it must not.
pub(crate) async fn load(shard: &SharedShard, plan: LoadPlan) -> Result<(), CannotLoad> {
    if let Some(file) = plan.file {
        let begun = Instant::now();
        let options = {
            let shard = shard.borrow();
            LoadOptions {
                databases: shard.engine.settings.databases,
                limits: shard.engine.settings.limits(),
                drops_expired: shard.engine.role == Role::Master,
                read: plan.read,
            }
        };
        let base = load_file(file, &plan.name, options).await?;
        shard.borrow_mut().adopt_base(base);
        tracing::info!("DB loaded from disk: {:.3} seconds", begun.elapsed().as_secs_f64());
    }
    shard.borrow_mut().begin_after_load();
    Ok(())
}

/// Loads one snapshot file on a thread of its own, and says now and then how far it is.
///
/// # Errors
/// What is wrong with it.
pub(crate) async fn load_file(
    file: Arc<dyn StoredFile>,
    name: &str,
    options: LoadOptions,
) -> Result<LoadedBase, CannotLoad> {
    let wrong = |reason: String| CannotLoad::File { file: name.to_owned(), reason };
    let total = file.len().map_err(|error| wrong(crate::words_of(&error)))?;
    let (read, already) = (options.read.clone(), options.read.load(Relaxed));
    let mut done = load_base(file, options).map_err(|error| wrong(crate::words_of(&error)))?;
    loop {
        match tokio::time::timeout(PROGRESS_PERIOD, &mut done).await {
            Ok(Ok(outcome)) => return outcome.map_err(|error| wrong(error.to_string())),
            Ok(Err(_)) => return Err(wrong("the loader failed on our side, which is a defect".to_owned())),
            Err(_) => {
                let bytes = read.load(Relaxed) - already;
                let percent = bytes as f64 * 100.0 / total.max(1) as f64;
                tracing::info!("Loading {name}: {percent:.0}% ({bytes} of {total} bytes)");
            }
        }
    }
}
