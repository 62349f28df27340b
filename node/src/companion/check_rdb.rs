//! `rejoin check-rdb`: what is in an RDB, and where it is damaged, in the words of redis-check-rdb.

use std::{
    fs::File,
    io::Read,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rejoin_persistence::rdb::{self, CheckEvent, RdbError, RdbSummary};

use super::console::{Console, Outcome, reason};

/// Versions below have no checksum.
const CHECKSUM_SINCE: u32 = 5;

/// The opcode of the end, and the checksum.
const TRAILER_BYTES: u64 = 9;

pub(super) fn run(path: &Path, console: &mut Console<'_>) -> Outcome {
    let name = path.display().to_string();
    let opened = File::open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => {
            console.line(format_args!("[offset 0] Checking RDB file {name}"));
            return Err(format!("Cannot open file {name}: {}", reason(&error)));
        }
    };
    let summary = check(&mut file, &name, console)?;
    let behind = file.metadata().map_or(0, |metadata| metadata.len()).saturating_sub(summary.bytes);
    if behind > 0 {
        console.line(format_args!("[info] {behind} bytes follow the RDB"));
    }
    Ok(())
}

/// Reads one RDB, prints what it says, and returns what was in it.
pub(super) fn check(input: &mut dyn Read, name: &str, console: &mut Console<'_>) -> Outcome<RdbSummary> {
    console.line(format_args!("[offset 0] Checking RDB file {name}"));
    let mut seen = Seen::new();
    let mut input = Counted { input, bytes: 0, has_ended: false };
    let checked = rdb::check(&mut input, &mut |event| seen.take(event, console));
    match checked {
        Ok(summary) => {
            console.line(format_args!("[offset {}] \\o/ RDB looks OK! \\o/", summary.bytes));
            seen.print_counts(console);
            print_skipped(&summary, console);
            Ok(summary)
        }
        Err(error) => {
            seen.print_error(&error, &input, console);
            seen.print_counts(console);
            Err(String::new())
        }
    }
}

fn print_skipped(summary: &RdbSummary, console: &mut Console<'_>) {
    let skipped = &summary.skipped;
    if let Some((at, what)) = &skipped.first {
        let total = skipped.total();
        console.line(format_args!(
            "[info] {total} items that a node of ours cannot load yet, the first at offset {at}: {what}"
        ));
    }
}

/// An input that knows how long it was.
struct Counted<'a> {
    input: &'a mut dyn Read,
    bytes: u64,
    has_ended: bool,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(into)?;
        self.bytes += count as u64;
        self.has_ended |= count == 0 && !into.is_empty();
        Ok(count)
    }
}

/// What has come by.
struct Seen {
    now_millis: u128,
    version: u32,
    doing: Doing,
    /// How far the last item that was whole reached.
    read: u64,
    key: Option<(Vec<u8>, u8, &'static str)>,
    expires_at: Option<u128>,
    keys: u64,
    expires: u64,
    expired: u64,
}

#[derive(Clone, Copy)]
enum Doing {
    Start,
    Type,
    Value,
}

impl Seen {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            now_millis: now.as_millis(),
            version: 0,
            doing: Doing::Start,
            read: 0,
            key: None,
            expires_at: None,
            keys: 0,
            expires: 0,
            expired: 0,
        }
    }

    fn take(&mut self, event: CheckEvent<'_>, console: &mut Console<'_>) {
        match event {
            CheckEvent::Header { read, version, .. } => {
                (self.read, self.version, self.doing) = (read, version, Doing::Type);
            }
            CheckEvent::Aux { read, name, value } => {
                self.read = read;
                let (name, value) = (name.escape_ascii(), value.escape_ascii());
                console.line(format_args!("[offset {read}] AUX FIELD {name} = '{value}'"));
            }
            CheckEvent::Database { read, index } => {
                self.read = read;
                console.line(format_args!("[offset {read}] Selecting DB ID {index}"));
            }
            CheckEvent::Extra { read, .. } => self.read = read,
            CheckEvent::Key { read, key, type_number, type_name, expiry } => {
                (self.read, self.doing) = (read, Doing::Value);
                self.key = Some((key.to_vec(), type_number, type_name));
                self.expires_at = expiry.map(|at| u128::try_from(at.get()).unwrap_or_default());
                self.keys += 1;
            }
            CheckEvent::Value { read, .. } => {
                (self.read, self.doing, self.key) = (read, Doing::Type, None);
                if let Some(at) = self.expires_at.take() {
                    self.expires += 1;
                    self.expired += u64::from(at < self.now_millis);
                }
            }
            CheckEvent::End { read, has_checksum: true } => {
                console.line(format_args!("[offset {read}] Checksum OK"));
            }
            CheckEvent::End { read, .. } if self.version >= CHECKSUM_SINCE => console.line(format_args!(
                "[offset {read}] RDB file was saved with checksum disabled: no check performed."
            )),
            CheckEvent::End { .. } => {}
        }
    }

    fn print_error(&self, error: &RdbError, input: &Counted<'_>, console: &mut Console<'_>) {
        let (at, what, doing) = match error {
            RdbError::Io(error) => (self.read, format!("Error reading RDB file: {}", reason(error)), None),
            RdbError::WrongChecksum { stated, computed } => (
                self.read + TRAILER_BYTES,
                format!("RDB CRC error: stated {stated:016x}, computed {computed:016x}"),
                Some("check-sum"),
            ),
            RdbError::Damaged { at, .. } if input.has_ended && *at == input.bytes => {
                (*at, "Unexpected EOF reading RDB file".to_owned(), None)
            }
            RdbError::Damaged { at, what } | RdbError::Unsupported { at, what } => (*at, what.clone(), None),
        };
        let doing = doing.unwrap_or(match self.doing {
            Doing::Start => "start",
            Doing::Type => "read-type",
            Doing::Value => "read-object-value",
        });
        console.line("--- RDB ERROR DETECTED ---");
        console.line(format_args!("[offset {at}] {what}"));
        console.line(format_args!("[additional info] While doing: {doing}"));
        if let Some((key, number, name)) = &self.key {
            console.line(format_args!("[additional info] Reading key '{}'", key.escape_ascii()));
            console.line(format_args!("[additional info] Reading type {number} ({name})"));
        }
    }

    fn print_counts(&self, console: &mut Console<'_>) {
        console.line(format_args!("[info] {} keys read", self.keys));
        console.line(format_args!("[info] {} expires", self.expires));
        console.line(format_args!("[info] {} already expired", self.expired));
    }
}
