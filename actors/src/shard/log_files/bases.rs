//! Bases of the log: begun when the log has grown, when somebody asks, or when only a new base makes the log whole.

use std::{io, sync::Arc, time::Instant};

use rejoin_persistence::{
    files::BaseTask,
    rdb::{EncodeOptions, LocalFile, StreamPosition},
    rdb_file::{RdbFile, SaveError, SaveGuard},
};

use super::{BASE_RETRY_PERIOD, URGENT_BASE_RETRY_PERIOD};
use crate::{
    disk::worker::DiskTask,
    messages::snapshotter::{BeginSave, SavePurpose},
    shard::Shard,
};

impl Shard {
    /// BGREWRITEAOF, or the log has grown: writes a new base from a snapshot, on a thread of its own.
    pub(crate) fn begin_base(&mut self) {
        if self.engine.status.log.rewrite_began.is_some() || !self.engine.status.log.is_on {
            return;
        }
        self.publish_log();
        let (now, applied) = (self.engine.now, self.engine.log.offset());
        self.saves_begun += 1;
        let save = self.saves_begun;
        let Some(disk) = &mut self.disk else { return };
        let status = &mut self.engine.status.log;
        status.is_rewrite_scheduled = false;
        status.rewrites += 1;
        let begun = if disk.files.end() == applied {
            disk.files.begin_base(save, now)
        } else {
            Err(io::Error::other("what was executed last could not be written to the log"))
        };
        let task = match begun {
            Ok(task) => task,
            Err(error) => return self.end_base(Err(crate::words_of(&error))),
        };
        (disk.base_began, disk.failures_before_base) = (Some(Instant::now()), disk.failures);
        status.rewrite_began = Some(now);
        let place = disk.files.place();
        let position =
            StreamPosition { replid: self.lineage.current(), offset: task.offset, selected: place.db };
        let settings = &self.engine.settings;
        let about = LocalFile {
            created: now,
            memory_used: self.engine.keyspace.bytes_used() as u64,
            is_aof_base: true,
            usage: settings.maxmemory_policy.clock(settings.lfu_log_factor, settings.lfu_decay_minutes),
        };
        let file = RdbFile {
            place: task.written.clone(),
            temporary: task.temporary.clone(),
            syncs_in_steps: settings.is_on("aof-rewrite-incremental-fsync"),
            options: EncodeOptions {
                compresses: settings.rdb_compression,
                ..EncodeOptions::for_file(about, Some(position))
            },
            written: Arc::default(),
        };
        let snapshot = self.engine.keyspace.snapshot();
        tracing::info!(
            keys = snapshot.len(), offset = %task.offset,
            "Background append only file rewriting started, without fork"
        );
        let guard = Arc::new(SaveGuard::default());
        disk.base_guard = Some(guard.clone());
        let (storage, purpose) = (disk.files.storage().clone(), SavePurpose::Base { set: disk.set, task });
        if !self.control.begin_save(BeginSave { save, purpose, snapshot, file, storage, guard }) {
            self.end_base(Err("the control plane does not listen".to_owned()));
        }
    }

    /// The base is written: what the log holds up to it is synced, then it takes the old one's place.
    pub(crate) fn note_base_written(&mut self, set: u64, task: BaseTask, outcome: Result<u64, SaveError>) {
        let now = self.engine.now;
        let Some(disk) = &mut self.disk else { return };
        if set != disk.set {
            let _ = disk.files.storage().remove(&task.written);
            return;
        }
        let bytes = match outcome {
            Ok(bytes) => bytes,
            Err(error) => return self.end_base(Err(error.to_string())),
        };
        let sync = disk.files.sync_task(now);
        let install = disk.files.install_base(task, bytes);
        if !disk.worker.ask(set, DiskTask::InstallBase(sync, install)) {
            self.end_base(Err("the disk's thread does not keep up".to_owned()));
        }
    }

    pub(super) fn end_base(&mut self, outcome: Result<(), String>) {
        let Some(disk) = &mut self.disk else { return };
        let status = &mut self.engine.status.log;
        (status.rewrite_began, disk.base_guard) = (None, None);
        status.has_rewrite_failed = outcome.is_err();
        let took = disk.base_began.take().map(|began| began.elapsed());
        status.last_rewrite_seconds = took.map(|took| took.as_secs());
        match outcome {
            Ok(()) => {
                let retired = disk.files.base_installed();
                disk.worker.ask(disk.set, DiskTask::Retire(retired));
                (status.rewrite_failures, disk.base_failed_at) = (0, None);
                let took_millis = took.map_or(0, |took| took.as_millis() as u64);
                tracing::info!(
                    took_millis,
                    bytes = disk.files.base_bytes(),
                    "Background AOF rewrite finished successfully"
                );
                if disk.needs_base && disk.failures == disk.failures_before_base {
                    disk.needs_base = false;
                    if self.publish_log() {
                        self.note_log_mended();
                        self.release_held();
                    }
                }
            }
            Err(error) => {
                disk.files.base_failed();
                disk.base_failed_at = Some(Instant::now());
                status.rewrite_failures += 1;
                tracing::warn!("Background AOF rewrite terminated with an error: {error}");
            }
        }
    }

    pub(super) fn begin_base_if_due(&mut self) {
        let Some(disk) = &self.disk else { return };
        let (log, status) = (&self.engine.settings.log, &self.engine.status.log);
        // Clients wait for a base that is to make the log whole.
        let pause = if disk.needs_base { URGENT_BASE_RETRY_PERIOD } else { BASE_RETRY_PERIOD };
        if status.rewrite_began.is_some() || disk.base_failed_at.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        let (bytes, base_bytes) = (disk.files.bytes(), disk.files.base_bytes().max(1));
        let growth_percent = bytes.saturating_mul(100) / base_bytes;
        let has_grown = log.rewrite_percentage > 0
            && bytes > log.rewrite_bytes_min
            && growth_percent.saturating_sub(100) >= log.rewrite_percentage;
        if has_grown && self.save.is_none() {
            tracing::info!(
                "Starting automatic rewriting of AOF on {}% growth",
                growth_percent.saturating_sub(100)
            );
        }
        let must_wait = self.save.is_some();
        if (!must_wait && (has_grown || status.is_rewrite_scheduled))
            || disk.needs_base
            || disk.files.awaits_base()
        {
            self.begin_base();
        }
    }
}
