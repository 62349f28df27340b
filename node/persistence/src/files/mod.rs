//! The files of the log: which segments are live, which base they start from, and how one set of files takes the place of
//! another.
//!
//! What is live lies in a folder in Redis' multi-part layout: a base, increments (our segments), a manifest. Whatever a
//! rewrite leaves behind moves to the history's folder, or goes. The shard appends through [`LogFiles`]; what may block
//! (making bytes and names survive a power loss, putting a base in its place, removing) it hands out as values that a
//! thread for the disk carries out: [`SyncTask`], [`BaseInstallation`], [`Retired`].
//!
//! Invariants:
//! * increments follow each other without a gap: each begins where the one before ends;
//! * a manifest on disk names only files that can be loaded together: a new base is named together with the increments
//!   since, and not before it lies there whole;
//! * an increment that no manifest names yet is found by its name and its side data ([`recover`]).

pub mod bases;
mod chained;
pub mod history;
pub mod lost;
mod publish;
pub mod reading;
pub mod recover;
pub mod rewind;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::{io, path::PathBuf, sync::Arc};

use rejoin_protocol::{DbIndex, NextOffset, Offset, ReplicationId, UnixMillis};

pub use publish::{BaseInstallation, Publication, Retired, SyncTask};
pub use recover::LogFlaw;

use crate::{
    manifest::{BaseFormat, Manifest, ManifestFile},
    segment::{
        BootId, SegmentFiles, SegmentHead, SegmentSummary, SegmentWriter, StoredSegment, StreamName, preamble,
    },
    storage::{Listed, Storage},
};

/// Where the log's files lie and how they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilesOptions {
    /// `appenddirname`: the folder of what is live.
    pub folder: PathBuf,
    /// `appendfilename`: what the files' names begin with.
    pub name: String,
    /// The folder of what is not live any more; `None` keeps nothing of it.
    pub history: Option<PathBuf>,
    /// From this size on a segment is followed by another.
    pub segment_bytes: u64,
    /// The present run of the operating system.
    pub boot: BootId,
}

impl LogFilesOptions {
    /// Where the manifest lies.
    #[must_use]
    pub fn manifest_path(&self) -> PathBuf {
        self.folder.join(crate::manifest::manifest_name(&self.name))
    }
}

/// The stream at some place: what a segment that begins there says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// Its name.
    pub stream: StreamName,
    /// The last byte before.
    pub offset: Offset,
    /// The database selected there.
    pub db: DbIndex,
    /// The chained checksum there.
    pub chain: u64,
}

/// What lies before the first byte of a set of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: the data was empty.
    Nothing,
    /// Data of which a base is to be written next.
    Base,
    /// Data that is kept elsewhere.
    Elsewhere,
}

/// A base that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseTask {
    /// Under which name it is written.
    pub temporary: PathBuf,
    /// Where it stands when it is whole, until it is installed.
    pub written: PathBuf,
    /// Its place among the files, once it is whole.
    file: ManifestFile,
    /// The stream's offset that it stands at: the first increment since begins there.
    pub offset: Offset,
    /// The first increment that is not in it.
    first_seq: i64,
}

/// The writing end of the log's files.
#[derive(Debug)]
pub struct LogFiles {
    storage: Arc<dyn Storage>,
    options: LogFilesOptions,
    /// What is live, the segment that is being written last.
    manifest: Manifest,
    /// The manifest on disk names older files, which stay what is loaded until the first base of these is there.
    awaits_base: bool,
    /// The manifest on disk is not this one.
    is_unpublished: bool,
    writer: SegmentWriter,
    stream: StreamName,
    /// The segment belongs to the stream's earlier name, and no other could be begun yet.
    is_renamed: bool,
    /// The database selected at the end.
    db: DbIndex,
    /// Segments that were sealed and may not have been synced.
    unsynced: Vec<SegmentFiles>,
    /// Bytes of the sealed increments.
    sealed_bytes: u64,
    /// Bytes of the base.
    base_bytes: u64,
    /// What a running installation replaces, in case it fails.
    replaced: Option<Replaced>,
    /// Files of an older set, to be retired with the first base.
    orphans: Vec<ManifestFile>,
    /// The same of a stream's end that was given up: they go for good.
    doomed: Vec<ManifestFile>,
    /// The name under which the stream goes on that these files began with after a full sync: whatever older sets hold of
    /// it leads nowhere any more, and goes with the first base.
    severed: Option<ReplicationId>,
}

/// What is live until an installation is confirmed.
#[derive(Debug)]
struct Replaced {
    base: Option<ManifestFile>,
    increments: Vec<ManifestFile>,
    base_bytes: u64,
    increment_bytes: u64,
    awaited_base: bool,
}

impl LogFiles {
    /// Begins files of a stream at `place`. Where a base is to hold what lies before, it is to be written next
    /// ([`LogFiles::begin_base`]), and until it is installed the files that the manifest on disk names, `old`, stay what a
    /// start would load.
    pub fn begin(
        storage: Arc<dyn Storage>,
        options: LogFilesOptions,
        place: StreamPlace,
        old: &Manifest,
        before: Before,
        now: UnixMillis,
    ) -> io::Result<Self> {
        let needs_base = before == Before::Base;
        storage.create_folder(&options.folder)?;
        if let Some(parent) = options.folder.parent() {
            storage.sync_folder(parent)?;
        }
        let seq = Self::free_increment_seq(&*storage, &options, old)?;
        let StreamPlace { stream, offset, db, chain } = place;
        let file = ManifestFile::increment(&options.name, seq, offset.get(), preamble(db).len() as u64);
        let head = SegmentHead {
            stream: stream.clone(),
            start: offset,
            preamble: 0,
            db,
            chain,
            created: now,
            boot: options.boot,
            begins_empty: before == Before::Nothing,
        };
        let writer = SegmentWriter::create(&*storage, &options.folder.join(&file.name), head)?;
        let orphans = old.live().cloned().collect();
        // Names of the old files are not given again while they lie there.
        let history = old.live().chain(&old.history).cloned().collect();
        let mut files = Self {
            manifest: Manifest { base: None, increments: vec![file], history },
            awaits_base: needs_base,
            is_unpublished: !needs_base,
            stream,
            is_renamed: false,
            db,
            unsynced: Vec::new(),
            sealed_bytes: 0,
            base_bytes: 0,
            replaced: None,
            orphans,
            doomed: Vec::new(),
            severed: None,
            storage,
            options,
            writer,
        };
        if !needs_base {
            files.manifest.history.clear();
            files.writer.files().sync()?;
            files.publish()?;
        }
        Ok(files)
    }

    /// Goes on with files that were read to their end.
    fn resume(
        storage: Arc<dyn Storage>,
        options: LogFilesOptions,
        manifest: Manifest,
        writer: SegmentWriter,
        place: StreamPlace,
        (base_bytes, sealed_bytes): (u64, u64),
        unsynced: Vec<SegmentFiles>,
    ) -> Self {
        Self {
            storage,
            options,
            manifest,
            awaits_base: false,
            is_unpublished: true,
            writer,
            stream: place.stream,
            is_renamed: false,
            db: place.db,
            unsynced,
            sealed_bytes,
            base_bytes,
            replaced: None,
            orphans: Vec::new(),
            doomed: Vec::new(),
            severed: None,
        }
    }

    /// What a crash left in the folder: files by our names that no manifest of ours needs. Increments that come behind
    /// ours are no history: they were cut off, or begun for data that never came. To be carried out before anything is
    /// appended, since increments to come may have their names.
    #[must_use]
    pub fn strays(&self) -> Retired {
        let listed = self.storage.list(&self.options.folder).unwrap_or_default();
        let is_needed = |name: &str| {
            self.manifest
                .live()
                .chain(&self.orphans)
                .any(|file| name == file.name || name.strip_suffix(".side").is_some_and(|of| of == file.name))
        };
        let is_ours = |name: &str| {
            let is_temporary = (name.starts_with("temp-rewriteaof") && name.ends_with(".rdb"))
                || name.starts_with("temp-rewind-")
                || name.starts_with("temp-lost-");
            let behind = name.strip_prefix(&self.options.name).and_then(|rest| rest.strip_prefix('.'));
            let is_numbered = behind.is_some_and(|rest| {
                [".base.rdb", ".base.aof", ".incr.aof"].iter().any(|ending| rest.ends_with(ending))
            });
            is_temporary || is_numbered
        };
        let is_there = |name: &str| listed.iter().any(|file| file.name == name);
        let is_bare_side = |name: &str| {
            let segment = name.strip_suffix(".side");
            segment.is_some_and(|of| self.increment_seq(of).is_some() && !is_there(of))
        };
        let sides: Vec<String> =
            listed.iter().map(|file| file.name.clone()).filter(|name| is_bare_side(name)).collect();
        let mut strays: Vec<String> = listed
            .iter()
            .map(|file| file.name.clone())
            .filter(|name| is_ours(name) && !is_needed(name))
            .collect();
        strays.sort_unstable();
        let last = self.manifest.increments.last().map_or(0, |last| last.seq);
        let (gone, files): (Vec<_>, Vec<_>) =
            strays.into_iter().partition(|name| self.increment_seq(name).is_some_and(|seq| seq > last));
        let in_folder =
            |names: Vec<String>| names.iter().map(|name| self.options.folder.join(name)).collect::<Vec<_>>();
        // History is what leads to the present end. What a base is called there comes from the segment behind it, which
        // may be gone by now.
        let leading = self.leading();
        let (files, leading_nowhere): (Vec<_>, Vec<_>) =
            in_folder(files).into_iter().partition(|path| leading.contains(path));
        let mut gone = in_folder(gone);
        gone.extend(leading_nowhere);
        gone.extend(self.history_without_segments());
        let sides = in_folder(sides);
        Retired { history: self.options.history.clone(), files, gone, sides, ..Retired::default() }
    }

    /// The segments that lead to the present end.
    fn leading(&self) -> Vec<PathBuf> {
        let history = self.options.history.iter().filter(|folder| self.storage.list(folder).is_ok());
        let folders: Vec<PathBuf> = [&self.options.folder].into_iter().chain(history).cloned().collect();
        let all = chained::list(&*self.storage, &folders).unwrap_or_default();
        chained::path(&*self.storage, &all, &self.stream).iter().map(|found| found.path.clone()).collect()
    }

    /// Segments of the history of which only the side data is left: the process ended while they were removed.
    fn history_without_segments(&self) -> Vec<PathBuf> {
        let Some(folder) = &self.options.history else { return Vec::new() };
        let listed = self.storage.list(folder).unwrap_or_default();
        let is_there = |name: &str| listed.iter().any(|file| file.name == name);
        let segments = listed.iter().filter_map(|file| file.name.strip_suffix(".side"));
        segments
            .filter(|name| history::is_segment_name(name) && !is_there(name))
            .map(|name| folder.join(name))
            .collect()
    }

    /// The number of an increment, by its name.
    fn increment_seq(&self, name: &str) -> Option<i64> {
        name.strip_prefix(&self.options.name)?.strip_prefix('.')?.strip_suffix(".incr.aof")?.parse().ok()
    }

    /// Files of an older set that nothing will need any more: where no base is awaited, they go at once.
    pub fn take_orphans(&mut self) -> Retired {
        let orphans = std::mem::take(&mut self.orphans);
        self.retire(orphans)
    }

    fn retire(&self, files: impl IntoIterator<Item = ManifestFile>) -> Retired {
        let files = files.into_iter().map(|file| self.options.folder.join(&file.name)).collect();
        Retired { history: self.options.history.clone(), files, ..Retired::default() }
    }

    /// Gives up the oldest increments that are over the limits, of files that are history and nothing else. The last one
    /// stays, and what a reader wants that has come to `wanted_from`, up to the hard limit.
    pub fn forget_oldest(
        &mut self,
        limits: history::HistoryLimits,
        now: UnixMillis,
        wanted_from: Option<NextOffset>,
    ) -> Retired {
        let lengths = self.storage.list(&self.options.folder).unwrap_or_default();
        let length_of =
            |file: &ManifestFile| lengths.iter().find(|one| one.name == file.name).map_or(0, |one| one.bytes);
        let mut forgotten = Vec::new();
        while self.manifest.increments.len() > 1
            && (self.bytes() > limits.bytes_max || self.is_oldest_over_age(limits, now))
            && (self.bytes() > limits.hard_max() || !self.is_oldest_wanted(wanted_from))
        {
            let oldest = self.manifest.increments.remove(0);
            self.sealed_bytes = self.sealed_bytes.saturating_sub(length_of(&oldest));
            self.is_unpublished = true;
            forgotten.push(oldest);
        }
        self.retire(forgotten)
    }

    fn is_oldest_wanted(&self, wanted_from: Option<NextOffset>) -> bool {
        let Some((wanted, oldest)) = wanted_from.zip(self.manifest.increments.first()) else { return false };
        let path = self.options.folder.join(&oldest.name);
        let end = SegmentSummary::read(&*self.storage, &path).map(|segment| segment.end_present);
        end.is_ok_and(|end| wanted.prior() < end)
    }

    fn is_oldest_over_age(&self, limits: history::HistoryLimits, now: UnixMillis) -> bool {
        let Some(oldest) = self.manifest.increments.first() else { return false };
        let path = self.options.folder.join(&oldest.name);
        let written = StoredSegment::open(&*self.storage, &path).map(|segment| segment.written());
        written.is_ok_and(|written| limits.is_over_age(written, now))
    }

    /// The stream goes on elsewhere, with other data: files of `place` begin, and their first base is to be written next.
    /// After an error everything is as it was.
    pub fn begin_again(&mut self, place: StreamPlace, before: Before, now: UnixMillis) -> io::Result<()> {
        // A reader must not take it for what is being written.
        self.writer.seal(now)?;
        let replaced = self.replaced.iter().flat_map(|old| old.base.iter().chain(&old.increments));
        let old: Vec<ManifestFile> =
            self.orphans.iter().chain(replaced).chain(self.manifest.live()).cloned().collect();
        let history = old.iter().chain(&self.doomed).cloned().collect();
        let names = Manifest { history, ..Manifest::default() };
        let severed = Some(place.stream.replid);
        let mut begun = Self::begin(self.storage.clone(), self.options.clone(), place, &names, before, now)?;
        begun.severed = severed;
        begun.orphans = old;
        begun.doomed = std::mem::take(&mut self.doomed);
        *self = begun;
        Ok(())
    }

    /// A number for an increment whose name no file in the folder has.
    fn free_increment_seq(
        storage: &dyn Storage,
        options: &LogFilesOptions,
        old: &Manifest,
    ) -> io::Result<i64> {
        let listed = storage.list(&options.folder)?;
        let is_taken = |seq| {
            let name = ManifestFile::increment(&options.name, seq, 0, 0).name;
            listed.iter().any(|Listed { name: other, .. }| *other == name)
        };
        Ok((old.next_increment_seq()..).find(|seq| !is_taken(*seq)).unwrap_or(i64::MAX))
    }

    /// Appends bytes of the stream that end at a border; `selected` is the database selected there, if it is known to
    /// have changed. All of them are in the file afterwards or, after an error, none.
    pub fn append(&mut self, bytes: &[u8], selected: Option<DbIndex>, now: UnixMillis) -> io::Result<()> {
        if self.is_renamed || self.writer.bytes() >= self.options.segment_bytes {
            self.rotate(now)?;
        }
        self.writer.append(bytes, now)?;
        if let Some(db) = selected {
            self.db = db;
        }
        Ok(())
    }

    /// Goes on in a new segment, unless nothing was written to the present one.
    pub fn rotate(&mut self, now: UnixMillis) -> io::Result<()> {
        if self.writer.end() == self.writer.head().start && !self.is_renamed {
            return Ok(());
        }
        self.writer.seal(now)?;
        let seq = self.manifest.next_increment_seq();
        let preamble_bytes = preamble(self.db).len() as u64;
        let file = ManifestFile::increment(&self.options.name, seq, self.writer.end().get(), preamble_bytes);
        let writer = self.create_segment(&file, now)?;
        let sealed = std::mem::replace(&mut self.writer, writer);
        self.sealed_bytes += sealed.bytes();
        self.unsynced.push(sealed.files());
        self.manifest.increments.push(file);
        (self.is_unpublished, self.is_renamed) = (true, false);
        Ok(())
    }

    fn create_segment(&self, file: &ManifestFile, now: UnixMillis) -> io::Result<SegmentWriter> {
        let head = SegmentHead {
            stream: self.stream.clone(),
            start: self.writer.end(),
            preamble: 0,
            db: self.db,
            chain: self.writer.chain(),
            created: now,
            boot: self.options.boot,
            begins_empty: false,
        };
        SegmentWriter::create(&*self.storage, &self.options.folder.join(&file.name), head)
    }

    /// The stream goes on under another name from here.
    pub fn rename_stream(&mut self, stream: StreamName, now: UnixMillis) -> io::Result<()> {
        (self.stream, self.is_renamed) = (stream, true);
        self.rotate(now)
    }

    /// Tries again what a change of the stream's name could not do.
    pub fn mend(&mut self, now: UnixMillis) -> io::Result<()> {
        if self.is_renamed { self.rotate(now) } else { Ok(()) }
    }

    /// Begins a base that stands at the present end: what is appended from here on goes to a new segment.
    /// `number` is nobody else's: names of files that are being written have it.
    pub fn begin_base(&mut self, number: u64, now: UnixMillis) -> io::Result<BaseTask> {
        self.rotate(now)?;
        let seq = self.manifest.next_base_seq().max(self.replaced.as_ref().map_or(0, |_| 1));
        let file = ManifestFile::base(&self.options.name, seq, BaseFormat::Rdb);
        let [temporary, written] = ["temp-rewriteaof-bg", "temp-rewriteaof"]
            .map(|name| self.options.folder.join(format!("{name}-{number}.rdb")));
        let first_seq = self.manifest.increments.last().map_or(1, |last| last.seq);
        Ok(BaseTask { temporary, written, file, offset: self.writer.end(), first_seq })
    }

    /// A base was written and synced under its temporary name: what is to be done on disk so that it and the increments
    /// since are what is live. To be confirmed by [`LogFiles::base_installed`] or [`LogFiles::base_failed`].
    pub fn install_base(&mut self, task: BaseTask, bytes: u64) -> BaseInstallation {
        let (old, since): (Vec<_>, Vec<_>) =
            self.manifest.increments.drain(..).partition(|file| file.seq < task.first_seq);
        let new_bytes = since.len().saturating_sub(1);
        let old_bytes = if old.is_empty() { 0 } else { self.bytes_of(&old) };
        self.replaced = Some(Replaced {
            base: self.manifest.base.replace(task.file.clone()),
            increments: old,
            base_bytes: std::mem::replace(&mut self.base_bytes, bytes),
            increment_bytes: old_bytes,
            awaited_base: std::mem::replace(&mut self.awaits_base, false),
        });
        self.sealed_bytes = if new_bytes == 0 { 0 } else { self.sealed_bytes.saturating_sub(old_bytes) };
        self.manifest.increments = since;
        BaseInstallation {
            from: task.written,
            to: self.options.folder.join(&task.file.name),
            publication: self.publication(),
        }
    }

    /// The lengths of files, as far as they can be had.
    fn bytes_of(&self, files: &[ManifestFile]) -> u64 {
        let Ok(listed) = self.storage.list(&self.options.folder) else { return 0 };
        let is_one = |name: &str| files.iter().any(|file| file.name == name);
        listed.iter().filter(|entry| is_one(&entry.name)).map(|entry| entry.bytes).sum()
    }

    /// The installation is on disk: what is not live any more.
    pub fn base_installed(&mut self) -> Retired {
        let Some(replaced) = self.replaced.take() else { return Retired::default() };
        // Increments may have come since the manifest was written.
        self.is_unpublished = true;
        self.manifest.history.clear();
        let files = replaced.base.into_iter().chain(replaced.increments);
        let paths = |files: Vec<ManifestFile>| {
            files.iter().map(|file| self.options.folder.join(&file.name)).collect::<Vec<_>>()
        };
        let gone = paths(std::mem::take(&mut self.doomed));
        let orphans = paths(std::mem::take(&mut self.orphans));
        let severed = self.severed.take();
        Retired { gone, orphans, severed, ..self.retire(files) }
    }

    /// The installation failed, or the base could not be written: what was live stays so. Whatever is left of it goes.
    pub fn base_failed(&mut self) {
        let Some(replaced) = self.replaced.take() else { return };
        self.manifest.base = replaced.base;
        self.manifest.increments.splice(0..0, replaced.increments);
        self.base_bytes = replaced.base_bytes;
        self.sealed_bytes += replaced.increment_bytes;
        self.awaits_base = replaced.awaited_base;
        self.is_unpublished = true;
    }

    /// What there is to sync: the bytes of all segments up to here and, if it is not on disk, the manifest. Marks the
    /// place.
    pub fn sync_task(&mut self, now: UnixMillis) -> SyncTask {
        // A mark that cannot be written is no reason not to sync.
        let _ = self.writer.mark(now);
        self.sync_now()
    }

    /// The same without a mark, for a sync behind each append: the side data does not grow then, which makes its sync
    /// cheap, and the end that it states vouches for the bytes.
    pub fn sync_now(&mut self) -> SyncTask {
        let mut segments = std::mem::take(&mut self.unsynced);
        segments.push(self.writer.files());
        // While a base is being put in its place, nobody else writes the manifest: its names are found by their side data.
        let may_publish = !self.awaits_base && self.replaced.is_none();
        let publication = (self.is_unpublished && may_publish).then(|| self.publication());
        let folder = (self.is_unpublished && publication.is_none()).then(|| self.options.folder.clone());
        self.is_unpublished &= publication.is_none();
        SyncTask { segments, publication, folder, offset: self.writer.end() }
    }

    /// [`LogFiles::sync_now`] was carried out, and nothing was appended since.
    pub fn synced_now(&mut self) {
        self.writer.keep_end();
    }

    /// A sync has ended well: everything up to `offset` survives a power loss.
    pub fn note_synced(&self, offset: Offset, now: UnixMillis) {
        // Without it, damage in what was synced looks like what a power loss takes.
        let _ = self.writer.note_synced(offset, now);
    }

    /// A sync failed: its segments and names are not safe.
    pub fn sync_failed(&mut self, task: SyncTask) {
        let present = self.unsynced.len();
        self.unsynced.extend(task.segments);
        self.unsynced.rotate_left(present);
        self.is_unpublished |= task.publication.is_some();
    }

    fn publication(&self) -> Publication {
        Publication {
            folder: self.options.folder.clone(),
            name: self.options.name.clone(),
            manifest: self.manifest.write(),
        }
    }

    /// Writes the manifest here and now.
    fn publish(&mut self) -> io::Result<()> {
        self.publication().carry_out(&*self.storage)?;
        self.is_unpublished = false;
        Ok(())
    }

    /// Ends in order: everything is synced, and the last segment says that it is whole.
    pub fn close(mut self, now: UnixMillis) -> io::Result<()> {
        self.settle()?;
        if !self.awaits_base
            && let Some(last) = self.manifest.increments.last_mut()
        {
            last.end_offset = i64::try_from(self.writer.end().get()).ok();
            self.is_unpublished = true;
        }
        self.sync_task(now).carry_out(&*self.storage)?;
        self.writer.close()
    }

    /// Finds out what became of a base that was being put in its place; whoever did that is done.
    fn settle(&mut self) -> io::Result<()> {
        if self.replaced.is_none() {
            return Ok(());
        }
        let on_disk = recover::names_in_use(&*self.storage, &self.options);
        let name_of = |file: &Option<ManifestFile>| file.as_ref().map(|file| file.name.clone());
        if name_of(&on_disk.base) == name_of(&self.manifest.base) {
            return self.base_installed().carry_out(&*self.storage);
        }
        self.base_failed();
        Ok(())
    }

    /// Ends for good, while the stream goes on without these files: a start that loads them must take another name for
    /// what it goes on with.
    pub fn abandon(mut self, now: UnixMillis) -> io::Result<()> {
        self.settle()?;
        self.writer.abandon()?;
        self.sync_task(now).carry_out(&*self.storage)
    }

    /// The last byte of the stream in the files.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.writer.end()
    }

    /// The stream at the end.
    #[must_use]
    pub fn place(&self) -> StreamPlace {
        let (stream, offset) = (self.stream.clone(), self.end());
        StreamPlace { stream, offset, db: self.db, chain: self.writer.chain() }
    }

    /// Settings that may change while the log is written.
    pub fn configure(&mut self, segment_bytes: u64, history: Option<PathBuf>) {
        (self.options.segment_bytes, self.options.history) = (segment_bytes, history);
    }

    /// What is live.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether a start would load older files than these, as long as no base of these is written.
    #[must_use]
    pub fn awaits_base(&self) -> bool {
        self.awaits_base
    }

    /// INFO's `aof_base_size`.
    #[must_use]
    pub fn base_bytes(&self) -> u64 {
        self.base_bytes
    }

    /// INFO's `aof_current_size`: base and increments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.base_bytes + self.sealed_bytes + self.writer.bytes()
    }

    /// Where the files lie.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }
}
