//! The start: what is on disk is loaded while clients are answered -LOADING; then it serves, and the master is followed.
//!
//! The log, if there is one, is the business of [`recovery`]; here is the snapshot file, which is loaded where there is
//! none.

use std::{io, path::Path, sync::Arc, time::Instant};

use rejoin_commands::Role;
use rejoin_persistence::storage::{Open, Storage, StoredFile};
use rejoin_protocol::DbIndex;
use tokio::sync::mpsc;

use crate::{
    disk::load::{LoadOptions, LoadedBase, load_base},
    events::NodeEvent,
    messages::{master::ReplaceLineage, shard::ShardMessage},
    shard::{Shard, SharedShard, recovery, upstream::MASTER_SESSION},
};

/// Loads what is on disk and lets the node begin; `tells` that as an event.
///
/// # Errors
/// Why it must not, in words for the operator.
pub(crate) async fn load(
    shard: &SharedShard,
    storage: Arc<dyn Storage>,
    reports: mpsc::WeakSender<ShardMessage>,
    tells: bool,
) -> Result<(), String> {
    recovery::recover(shard, storage, reports).await?;
    shard.borrow_mut().begin_after_load(tells);
    Ok(())
}

/// Loads `dbfilename`, if it is there, and goes on where it stands.
///
/// # Errors
/// What is wrong with it, in words for the operator.
pub(crate) async fn load_dump(shard: &SharedShard, storage: &dyn Storage) -> Result<(), String> {
    let drops_expired = shard.borrow().engine.settings.replicaof.is_none();
    if let Some(base) = read_dump(shard, storage, drops_expired).await? {
        shard.borrow_mut().adopt_dump(base);
    }
    Ok(())
}

/// Reads `dbfilename`, if it is there.
///
/// # Errors
/// What is wrong with it, in words for the operator.
pub(crate) async fn read_dump(
    shard: &SharedShard,
    storage: &dyn Storage,
    drops_expired: bool,
) -> Result<Option<LoadedBase>, String> {
    let name = shard.borrow().engine.settings.dbfilename.clone();
    let fatal = |reason: String| format!("{reason}\nFatal error loading the DB, check server logs. Exiting.");
    let opened = storage.open(Path::new(&name), Open::Existing);
    let (file, bytes) = match opened.and_then(|file| file.len().map(|bytes| (file, bytes))) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let why = crate::words_of(&error);
            return Err(fatal(format!("Fatal error: can't open the RDB file {name} for reading: {why}")));
        }
    };
    let begun = Instant::now();
    shard.borrow_mut().engine.begin_loading(bytes);
    let base = load_file(shard, file, Path::new(&name), drops_expired)
        .await
        .map_err(|reason| fatal(format!("Error loading the RDB file {reason}")))?;
    tracing::info!("DB loaded from disk: {:.3} seconds", begun.elapsed().as_secs_f64());
    Ok(Some(base))
}

/// Loads one snapshot file of a start.
pub(crate) async fn load_file(
    shard: &SharedShard,
    file: Arc<dyn StoredFile>,
    name: &Path,
    drops_expired: bool,
) -> Result<LoadedBase, String> {
    let options = {
        let engine = &shard.borrow().engine;
        LoadOptions {
            databases: engine.settings.databases,
            limits: engine.settings.limits(),
            skips_unsupported: engine.settings.rdb_skips_unsupported,
            drops_expired,
            read: engine.loading.as_ref().map(|loading| loading.loaded_bytes.clone()).unwrap_or_default(),
        }
    };
    load_base(file, name, options).await
}

impl Shard {
    /// Before the first client is let in: from here on all are answered -LOADING.
    pub(crate) fn prepare_load(&mut self) {
        self.engine.begin_loading(0);
        if let Some((host, port)) = self.engine.settings.replicaof.clone() {
            self.engine.role = Role::Replica;
            self.note_upstream(host, port);
        }
    }

    /// The data is there: clients are served, and the master is followed.
    fn begin_after_load(&mut self, tells: bool) {
        self.set_clock();
        self.engine.saving.last_saved = self.engine.now;
        self.engine.stats.changes_since_save = 0;
        self.count_lost_tails();
        // What the log told of is done and saved.
        self.engine.take_flush();
        self.engine.end_loading();
        // It may have been set meanwhile.
        self.turn_log(self.engine.settings.log.is_on);
        if tells {
            self.events.report(NodeEvent::Loaded);
        }
        if let Some((host, port)) = self.engine.settings.replicaof.clone() {
            self.follow(host, port);
        }
    }

    /// Takes over what was loaded, and the stream's place with it.
    pub(crate) fn adopt_dump(&mut self, base: LoadedBase) {
        let LoadedBase { keyspace, summary, expired } = base;
        let expired_count = expired.len() as u64;
        let loaded_count = summary.keys.saturating_sub(expired_count);
        tracing::info!("Done loading RDB, keys loaded: {loaded_count}, keys expired: {expired_count}.");
        (self.engine.saving.keys_loaded, self.engine.saving.keys_expired) = (loaded_count, expired_count);
        self.engine.replace_keyspace(keyspace);
        let Some(position) = summary.position else { return };
        self.lineage.replace(position.replid);
        self.show_lineage();
        let name = self.log.restart(position.offset);
        self.engine.status.hot_first = self.log_handle.first_held();
        self.engine.log.restart(position.offset, None);
        self.control.replace_lineage(ReplaceLineage { lineage: self.lineage.clone(), name });
        if self.engine.settings.replicaof.is_some() {
            self.has_masters_stream = true;
            if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
                session.db = position.selected;
            }
            return;
        }
        // What came behind the save may be lost, so the name must not be gone on with; who has followed it up to here may
        // continue, and is told what has expired since.
        self.shift_lineage();
        self.log_expired(&expired);
        self.publish_log();
        self.engine.log.set_selected(None);
    }

    fn log_expired(&mut self, expired: &[(DbIndex, Box<[u8]>)]) {
        for (db, key) in expired {
            self.engine.log.begin_unit();
            self.engine.log.push(*db, &[b"DEL", key]);
            self.engine.log.end_unit();
        }
    }
}
