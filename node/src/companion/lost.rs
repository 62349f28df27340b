//! `rejoin lost`: the ends of streams that a node gave up. Lists the files, or prints the commands of one.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _},
    path::Path,
    time::UNIX_EPOCH,
};

use rejoin_persistence::files::lost::parse_name;
use rejoin_protocol::resp::{ArgRange, RequestLimits, RequestParser};

use super::console::{Console, Outcome, reason};

/// Where a node keeps them, within its directory.
const FOLDERS: [&str; 3] = ["", "appendonlydir", "replhistory"];
/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Keys that are told apart at most; more are only said to be more.
const KEYS_MAX: usize = 1_000_000;

pub(super) fn run(path: &Path, console: &mut Console<'_>) -> Outcome {
    match path.is_dir() {
        true => list(path, console),
        false => print(path, console),
    }
}

/// What is in a file.
#[derive(Default)]
struct Contents {
    commands: u64,
    keys: BTreeSet<(u64, Vec<u8>)>,
    has_more_keys: bool,
}

impl Contents {
    fn add(&mut self, db: u64, args: &[&[u8]]) {
        let name = args[0].to_ascii_lowercase();
        if matches!(name.as_slice(), b"select" | b"multi" | b"exec" | b"ping" | b"replconf") {
            return;
        }
        self.commands += 1;
        for key in keys_of(&name, args) {
            if self.keys.len() < KEYS_MAX {
                self.keys.insert((db, key.to_vec()));
            } else {
                self.has_more_keys = true;
            }
        }
    }
}

/// The keys that a command of a stream names: those that hold several are few there.
fn keys_of<'a>(name: &[u8], args: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let arguments = args.get(1..).unwrap_or_default();
    match name {
        b"del" | b"unlink" | b"pfmerge" => arguments.to_vec(),
        b"mset" | b"msetnx" => arguments.iter().step_by(2).copied().collect(),
        b"rename" | b"renamenx" | b"copy" | b"smove" | b"lmove" | b"rpoplpush" => {
            arguments.iter().take(2).copied().collect()
        }
        b"publish" | b"spublish" | b"flushall" | b"flushdb" | b"swapdb" | b"function" | b"script" => {
            Vec::new()
        }
        b"bitop" => arguments.iter().skip(1).copied().collect(),
        _ => arguments.iter().take(1).copied().collect(),
    }
}

fn list(folder: &Path, console: &mut Console<'_>) -> Outcome {
    let mut found = Vec::new();
    for folder in FOLDERS.map(|name| folder.join(name)) {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| cannot("read folder", &folder, &error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| cannot("read folder", &folder, &error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            found.extend(parse_name(&name).map(|parsed| (entry.path(), parsed)));
        }
    }
    found.sort();
    if found.is_empty() {
        console.line(format_args!("No end of a stream was given up in {}", folder.display()));
        return Ok(());
    }
    let mut outcome = Ok(());
    for (path, (replid, from, to)) in found {
        let mut contents = Contents::default();
        let read = read(&path, &mut |db, args| contents.add(db, args));
        let bytes = to.next().get() - from.get();
        console.line(path.display());
        console.line(format_args!(
            "  stream {replid}, bytes {from} to {to}: {bytes} bytes{}",
            given_up_at(&path)
        ));
        let more = if contents.has_more_keys { "more than " } else { "" };
        console.line(format_args!("  {} commands, {more}{} keys", contents.commands, contents.keys.len()));
        if let Err(complaint) = read {
            console.line(format_args!("  {complaint}"));
            outcome = Err("Not all could be read".to_owned());
        }
    }
    outcome
}

fn given_up_at(path: &Path) -> String {
    let seconds = fs::metadata(path)
        .and_then(|about| about.modified())
        .ok()
        .and_then(|modified| modified.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_secs());
    seconds.map_or_else(String::new, |seconds| format!(", given up at {seconds} (seconds since 1970)"))
}

fn print(path: &Path, console: &mut Console<'_>) -> Outcome {
    read(path, &mut |_, args| {
        let words: Vec<String> = args.iter().map(|arg| format!("\"{}\"", arg.escape_ascii())).collect();
        console.line(words.join(" "));
    })
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!("Cannot {what} {}: {}", path.display(), reason(error))
}

/// Hands over each command of a file, with the database that is selected.
fn read(path: &Path, each: &mut dyn FnMut(u64, &[&[u8]])) -> Outcome {
    let mut file = fs::File::open(path).map_err(|error| cannot("open file", path, &error))?;
    let (limits, mut parser) = (RequestLimits::master(), RequestParser::default());
    let (mut buffer, mut piece, mut db, mut place) = (Vec::new(), vec![0; PIECE_BYTES], 0, 0);
    loop {
        let count = file.read(&mut piece).map_err(|error| cannot("read file", path, &error))?;
        buffer.extend_from_slice(&piece[..count]);
        let mut begin = 0;
        loop {
            let mut ranges: Vec<ArgRange> = Vec::new();
            let rest = buffer.get_mut(begin..).unwrap_or_default();
            let parsed = parser
                .parse(rest, &limits, &mut ranges)
                .map_err(|error| format!("{}: {error}, at byte {place}", path.display()))?;
            let Some(length) = parsed else { break };
            let args: Vec<&[u8]> = ranges.iter().map(|range| range.of(rest)).collect();
            if let [name, number] = args[..]
                && name.eq_ignore_ascii_case(b"select")
            {
                db = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).unwrap_or(db);
            }
            if !args.is_empty() {
                each(db, &args);
            }
            (begin, place) = (begin + length, place + length);
        }
        buffer.drain(..begin);
        if count == 0 {
            return match buffer.is_empty() {
                true => Ok(()),
                false => Err(format!("{}: it ends within a command, at byte {place}", path.display())),
            };
        }
    }
}
