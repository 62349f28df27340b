//! `rejoin check-aof`: a log's files one after the other, in the words of redis-check-aof, and what can be cut off them.

use std::{
    fs::{self, File},
    io::{self, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use rejoin_actors::disk::FolderStorage;
use rejoin_persistence::{
    aof::{AofError, AofFlaw, Scanner, is_rdb},
    manifest::{MANIFEST_BYTES_MAX, Manifest},
    storage::{FolderLock, Storage as _},
};

use super::{
    CheckAof, check_rdb,
    console::{Console, Outcome, reason},
    side_data,
};

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// What a file begins with, enough to see what it is.
const HEAD_BYTES: usize = 64 << 10;

/// What became of a file.
enum Verdict {
    Valid,
    Empty,
    Cut,
    CutToTime,
}

/// A file to check.
struct Subject<'a> {
    folder: &'a Path,
    name: &'a str,
    path: &'a Path,
    /// Only the last file may be cut.
    is_last: bool,
    has_rdb: bool,
    is_ours: bool,
}

/// A check under way.
struct Check<'a, 'c> {
    fix: bool,
    time_max: Option<i64>,
    /// Lines of all files so far, which is what redis-check-aof prints of each.
    lines: u64,
    console: &'a mut Console<'c>,
}

pub(super) fn run(options: &CheckAof, console: &mut Console<'_>) -> Outcome {
    let time_max = match options.truncate_to_timestamp.as_deref().map(str::parse) {
        None | Some(Ok(0)) => None,
        Some(Ok(seconds)) => Some(seconds),
        Some(Err(_)) => return Err("Invalid timestamp, aborting...".to_owned()),
    };
    let path = manifest_of_folder(&options.file)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_to_change = options.fix || time_max.is_some();
    let _lock = if is_to_change { lock(folder)? } else { None };
    let mut check = Check { fix: options.fix, time_max, lines: 1, console };
    let head = head_of(&path)?;
    if is_manifest(&head) {
        return check.multi_part(folder, &path);
    }
    check.console.line("Start checking Old-Style AOF");
    let name = path.display().to_string();
    let subject =
        Subject { folder, name: &name, path: &path, is_last: true, has_rdb: is_rdb(&head), is_ours: false };
    let verdict = check.file(&subject)?;
    check.print_verdict(&verdict, "AOF", &name);
    Ok(())
}

/// The manifest in a folder; a path that is no folder as it is.
fn manifest_of_folder(path: &Path) -> Outcome<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let cannot = |error: &io::Error| format!("Cannot read folder {}: {}", path.display(), reason(error));
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| cannot(&error))? {
        let name = entry.map_err(|error| cannot(&error))?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".manifest") && !name.starts_with("temp-") {
            found.push(name);
        }
    }
    found.sort();
    match found.as_slice() {
        [name] => Ok(path.join(name)),
        [] => Err(format!("No manifest in folder {}", path.display())),
        names => Err(format!("More than one manifest in folder {}: {}", path.display(), names.join(", "))),
    }
}

/// Keeps nodes of ours out of a folder; nothing where that cannot be said of it.
fn lock(folder: &Path) -> Outcome<Option<FolderLock>> {
    match FolderStorage::new(folder.to_owned()).lock_folder(Path::new("")) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(format!("A node keeps its log in {}: stop it first", folder.display()))
        }
        Err(_) => Ok(None),
    }
}

fn head_of(path: &Path) -> Outcome<Vec<u8>> {
    let cannot = |error: &io::Error| format!("Cannot open file {}: {}", path.display(), reason(error));
    let mut head = Vec::new();
    let file = File::open(path).map_err(|error| cannot(&error))?;
    file.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|error| cannot(&error))?;
    Ok(head)
}

/// Whether the first line that is no comment names a file. redis-check-aof looks at all lines, and takes a log for a
/// manifest in which a value has such a line.
fn is_manifest(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines
        .find(|line| !line.starts_with(b"#"))
        .is_some_and(|line| line.trim_ascii_start().starts_with(b"file"))
}

impl Check<'_, '_> {
    fn multi_part(&mut self, folder: &Path, path: &Path) -> Outcome {
        self.console.line("Start checking Multi Part AOF");
        let manifest = self.read_manifest(path)?;
        let mut left = manifest.live().count();
        for (at, file) in manifest.live().enumerate() {
            left -= 1;
            let is_base = at == 0 && manifest.base.is_some();
            let path = folder.join(&file.name);
            let has_rdb = is_base && is_rdb(&head_of(&path)?);
            if is_base {
                let form = if has_rdb { "RDB" } else { "RESP" };
                self.console.line(format_args!("Start to check BASE AOF ({form} format)."));
            } else if at == usize::from(manifest.base.is_some()) {
                self.console.line("Start to check INCR files.");
            }
            let subject = Subject {
                folder,
                name: &file.name,
                path: &path,
                is_last: left == 0,
                has_rdb,
                is_ours: !is_base,
            };
            let verdict = self.file(&subject)?;
            self.print_verdict(&verdict, if is_base { "BASE AOF" } else { "INCR AOF" }, &file.name);
        }
        self.console.line("All AOF files and manifest are valid");
        Ok(())
    }

    fn read_manifest(&mut self, path: &Path) -> Outcome<Manifest> {
        let cannot = |error: &io::Error| format!("Cannot open file {}: {}", path.display(), reason(error));
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| cannot(&error))?;
        file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(format!("The manifest {} is longer than {MANIFEST_BYTES_MAX} bytes", path.display()));
        }
        Manifest::parse(&bytes).map_err(|error| {
            error.report().iter().for_each(|line| self.console.line(line));
            String::new()
        })
    }

    /// Checks one file, and cuts it where that is asked for.
    fn file(&mut self, subject: &Subject<'_>) -> Outcome<Verdict> {
        let Subject { name, path, is_last, .. } = *subject;
        let is_to_change = self.fix || self.time_max.is_some();
        let opened = File::options().read(true).write(is_to_change).open(path);
        let mut file = opened.map_err(|error| {
            format!("Cannot open file {}: {}, aborting...", path.display(), reason(&error))
        })?;
        let size = file
            .metadata()
            .map_err(|error| format!("Cannot stat file: {name}, aborting... {}", reason(&error)))?
            .len();
        if size == 0 {
            return Ok(Verdict::Empty);
        }
        let start = if subject.has_rdb { self.rdb(&mut file, name)? } else { 0 };
        let sound = if subject.is_ours { side_data::check(subject.folder, name, self.console) } else { None };
        let scanner = scan(&mut file, self.time_max, start, sound.unwrap_or(size))
            .map_err(|error| format!("Failed to read from AOF {name}, aborting... {}", reason(&error)))?;
        self.lines += scanner.lines();
        if let Some(at) = scanner.stopped() {
            return self.cut_to_time(&file, subject, at);
        }
        self.print_error(scanner.finish().err().filter(|_| sound.is_none()), subject)?;
        let (whole, cut_off) = (scanner.border(), size.saturating_sub(scanner.border()));
        if let (0, Some(seconds)) = (cut_off, self.time_max) {
            self.console.line(format_args!("Truncate nothing in AOF {name} to timestamp {seconds}"));
            return Ok(Verdict::Valid);
        }
        let lines = self.lines;
        self.console.line(format_args!(
            "AOF analyzed: filename={name}, size={size}, ok_up_to={whole}, ok_up_to_line={lines}, diff={cut_off}"
        ));
        match (cut_off, self.fix) {
            (0, _) => Ok(Verdict::Valid),
            (_, false) => Err(format!("AOF {name} is not valid. Use the --fix option to try fixing it.")),
            (_, true) if !is_last => {
                Err(format!("Failed to truncate AOF {name} because it is not the last file"))
            }
            (_, true) => {
                self.console.line(format_args!(
                    "This will shrink the AOF {name} from {size} bytes, with {cut_off} bytes, to {whole} bytes"
                ));
                if !self.console.asks("Continue?") {
                    return Err("Aborting...".to_owned());
                }
                cut(&file, whole)
                    .map_err(|error| format!("Failed to truncate AOF {name}: {}", reason(&error)))?;
                Ok(Verdict::Cut)
            }
        }
    }

    /// Checks the RDB that a file begins with; returns where it ends.
    fn rdb(&mut self, file: &mut File, name: &str) -> Outcome<u64> {
        let failed = "RDB preamble of AOF file is not sane, aborting.";
        let summary = check_rdb::check(file, name, self.console).map_err(|_| failed.to_owned())?;
        self.console.line("RDB preamble is OK, proceeding with AOF tail...");
        Ok(summary.bytes)
    }

    fn print_error(&mut self, error: Option<AofError>, subject: &Subject<'_>) -> Outcome {
        let Some(AofError { at, flaw, .. }) = error else { return Ok(()) };
        let path = subject.path.display();
        match flaw {
            AofFlaw::Timestamp => return Err(flaw.to_string()),
            AofFlaw::Format { .. } => self.console.line(format_args!("AOF {} format error", subject.name)),
            AofFlaw::MissingArguments { .. } => {}
            AofFlaw::UnexpectedMulti | AofFlaw::UnexpectedExec => {
                self.console.line(format_args!("0x{at:>16x}: {flaw} in AOF {path}"));
            }
            _ => self.console.line(format_args!("0x{at:>16x}: {flaw}")),
        }
        Ok(())
    }

    fn cut_to_time(&mut self, file: &File, subject: &Subject<'_>, at: u64) -> Outcome<Verdict> {
        let (path, seconds) = (subject.path.display(), self.time_max.unwrap_or_default());
        if at == 0 {
            return Err(format!("AOF {path} has nothing before timestamp {seconds}, aborting..."));
        }
        if !subject.is_last {
            self.console.line(format_args!(
                "Failed to truncate AOF {path} to timestamp {seconds} to offset {at} because it is not the last file."
            ));
            return Err("To go back that far, remove the files after it and their lines in the manifest, then run this \
                        again."
                .to_owned());
        }
        cut(file, at).map_err(|error| {
            format!("Failed to truncate AOF {path} to timestamp {seconds}: {}", reason(&error))
        })?;
        Ok(Verdict::CutToTime)
    }

    fn print_verdict(&mut self, verdict: &Verdict, kind: &str, name: &str) {
        match verdict {
            Verdict::Valid => self.console.line(format_args!("{kind} {name} is valid")),
            Verdict::Empty => self.console.line(format_args!("{kind} {name} is empty")),
            Verdict::Cut => self.console.line(format_args!("Successfully truncated AOF {name}")),
            Verdict::CutToTime => {
                let seconds = self.time_max.unwrap_or_default();
                self.console.line(format_args!("Successfully truncated AOF {name} to timestamp {seconds}"));
            }
        }
    }
}

/// Scans a file's bytes between two places.
fn scan(file: &mut File, time_max: Option<i64>, start: u64, end: u64) -> io::Result<Scanner> {
    let mut scanner = Scanner::new(start);
    if let Some(seconds) = time_max {
        scanner = scanner.until(seconds);
    }
    file.seek(SeekFrom::Start(start))?;
    let mut input = file.take(end.saturating_sub(start));
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match input.read(&mut piece) {
            Ok(0) => return Ok(scanner),
            Ok(count) => {
                if scanner.push(&piece[..count]).is_err() || scanner.stopped().is_some() {
                    return Ok(scanner);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn cut(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)?;
    file.sync_all()
}
