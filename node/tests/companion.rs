//! The program `rejoin` beside redis-check-aof and redis-check-rdb 7.0: the same words, exit status and repairs, and what
//! ours adds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use rejoin_actors::disk::FolderStorage;
use rejoin_persistence::{
    manifest::{Manifest, ManifestFile},
    segment::{BootId, SegmentHead, SegmentWriter, StreamName, side_path},
    storage::Storage as _,
};
use rejoin_protocol::{DbIndex, Offset, ReplicationId, UnixMillis};

const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$2\r\nk1\r\n$1\r\nv\r\n";
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
const TIMES: &[u8] =
    b"#TS:100\r\n*1\r\n$4\r\nPING\r\n#TS:200\r\n*1\r\n$4\r\nPING\r\n#TS:300\r\n*1\r\n$4\r\nPING\r\n";
/// A key that has long expired, a key without expiry, no checksum.
const RDB: &[u8] = b"REDIS0010\xfa\x09redis-ver\x067.0.15\xfa\x08repl-foo\xc0\x05\xfe\x00\xfb\x02\x01\
    \xfc\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01e\x01v\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0";
const MANIFEST: &[u8] = b"file b.rdb seq 1 type b\nfile i1 seq 1 type i\nfile i2 seq 2 type i\n";

type Files<'a> = Vec<(&'a str, Vec<u8>)>;

/// What a program did: whether it ended well, what it printed, and the files afterwards.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    is_fine: bool,
    lines: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

fn ours(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
    command.arg(subcommand);
    command
}

/// Runs a program in a folder with `files`.
fn run(mut command: Command, files: &Files<'_>, arguments: &[&str], answer: &str) -> Done {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    command.args(arguments).current_dir(folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is installed");
    // It may end without asking.
    let _ = child.stdin.take().unwrap().write_all(answer.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let lines = String::from_utf8_lossy(&text).lines().map(plain).filter(|line| !line.is_empty()).collect();
    let contents = files.iter().filter_map(|(name, _)| {
        let bytes = fs::read(folder.path().join(name)).ok()?;
        Some(((*name).to_owned(), bytes))
    });
    Done { is_fine: output.status.success(), lines, files: contents.collect() }
}

/// A line without what redis-check-aof puts before a manifest's errors: process and time.
fn plain(line: &str) -> String {
    match line.split_once(" # ") {
        Some((before, rest)) if before.contains(":C ") => rest.to_owned(),
        _ if line.contains(":C ") && line.trim_end().ends_with('#') => String::new(),
        _ => line.to_owned(),
    }
}

fn log(changes: &[(&'static str, Vec<u8>)]) -> Files<'static> {
    let good = [SELECT, SET].concat();
    let mut files: BTreeMap<_, _> =
        [("m", MANIFEST.to_vec()), ("b.rdb", RDB.to_vec()), ("i1", good.clone()), ("i2", good)].into();
    files.extend(changes.iter().cloned());
    files.into_iter().collect()
}

fn without(name: &str) -> Files<'static> {
    log(&[]).into_iter().filter(|(own, _)| *own != name).collect()
}

#[test]
fn whole_logs_are_checked_and_cut_as_redis_does_it() {
    let torn = [SELECT, SET, b"*3\r\n$3\r"].concat();
    let open = [SELECT, MULTI, SET].concat();
    let damaged = [SELECT, b"*1\r\n$4\r\nPIxx*1", SET].concat();
    let with_tail = [RDB, SELECT, SET].concat();
    let cases: Vec<(&str, Files<'_>)> = vec![
        ("valid", log(&[])),
        ("torn tail", log(&[("i2", torn.clone())])),
        ("torn, not the last", log(&[("i1", torn.clone())])),
        ("MULTI without EXEC", log(&[("i2", open.clone())])),
        ("damage inside", log(&[("i2", damaged.clone())])),
        ("damage before", log(&[("i1", damaged), ("i2", torn.clone())])),
        ("an empty increment", log(&[("i1", Vec::new())])),
        ("an empty base", log(&[("b.rdb", Vec::new())])),
        ("an RDB with an AOF tail", log(&[("b.rdb", with_tail)])),
        ("a base of commands", log(&[("b.rdb", open)])),
        ("a missing increment", without("i2")),
        ("a missing base", without("b.rdb")),
        ("a wrong order", log(&[("m", b"file i1 seq 2 type i\nfile i2 seq 1 type i\n".to_vec())])),
        ("two bases", log(&[("m", b"file i1 seq 2 type b\nfile i2 seq 1 type b\n".to_vec())])),
        ("only history", log(&[("m", b"file i1 seq 2 type h\n".to_vec())])),
        ("zeros behind", log(&[("i2", [SELECT, &[0; 30]].concat())])),
    ];
    for (what, files) in &cases {
        for (arguments, answer) in
            [(&["m"][..], ""), (&["--fix", "m"], "y\n"), (&["--fix", "m"], "n\n"), (&["--fix", "m"], "")]
        {
            let redis = run(Command::new("redis-check-aof"), files, arguments, answer);
            assert_eq!(run(ours("check-aof"), files, arguments, answer), redis, "{what}, {arguments:?}");
        }
        let fixed = run(ours("check-aof"), files, &["--fix", "m"], "y\n");
        if fixed.is_fine {
            let again: Files<'_> =
                fixed.files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
            let checked = run(Command::new("redis-check-aof"), &again, &["m"], "");
            assert!(checked.is_fine, "{what}: what we cut is not valid: {:?}", checked.lines);
        }
    }
}

#[test]
fn every_prefix_of_a_single_file_is_judged_and_cut_as_redis_does_it() {
    let bytes = [SELECT, b"#TS:7\r\n", MULTI, SET, EXEC, SET].concat();
    for end in 1..=bytes.len() {
        let files = vec![("a.aof", bytes[..end].to_vec())];
        // An annotation that does not end is whole to redis-check-aof.
        if (SELECT.len() + 1..SELECT.len() + 7).contains(&end) {
            assert!(!run(ours("check-aof"), &files, &["a.aof"], "").is_fine, "{end}");
            continue;
        }
        let redis = run(Command::new("redis-check-aof"), &files, &["--fix", "a.aof"], "y\n");
        let ours = run(ours("check-aof"), &files, &["--fix", "a.aof"], "y\n");
        // It shows a byte past the end of what it has read.
        let comparable = |done: Done| {
            let is_shown = |line: &String| !line.contains("Expected \\r\\n, got: 00");
            (done.is_fine, done.lines.into_iter().filter(is_shown).collect::<Vec<_>>(), done.files)
        };
        assert_eq!(comparable(ours), comparable(redis), "{end}");
    }
}

#[test]
fn every_flipped_bit_is_judged_as_redis_does_it() {
    let bytes = [SELECT, b"#TS:7\r\n", MULTI, SET, EXEC, SET].concat();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x10, 0x80] {
            let mut flipped = bytes.clone();
            flipped[at] ^= bit;
            let files = vec![("a.aof", flipped)];
            let judged = |command| {
                let done = run(command, &files, &["a.aof"], "");
                let place = |line: &String| {
                    line.split(", ").find(|part| part.starts_with("ok_up_to=")).map(str::to_owned)
                };
                (done.is_fine, done.lines.iter().find_map(place))
            };
            let (ours, redis) = (judged(ours("check-aof")), judged(Command::new("redis-check-aof")));
            // A command without arguments redis-check-aof takes for whole, and no server loads it.
            if files[0].1[at..].starts_with(b"0\r\n$") && at > 0 && files[0].1[at - 1] == b'*' {
                assert!(!ours.0, "byte {at}, bit {bit}");
                continue;
            }
            assert_eq!(ours, redis, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_log_goes_back_in_time_as_with_redis() {
    let later = String::from_utf8_lossy(TIMES).replace("TS:", "TS:1").into_bytes();
    let manifest = b"file i1 seq 1 type i\nfile i2 seq 2 type i\n".to_vec();
    let files: Files<'_> =
        vec![("m", manifest), ("i1", TIMES.to_vec()), ("i2", later), ("a.aof", TIMES.to_vec())];
    for target in ["a.aof", "m"] {
        for seconds in ["50", "100", "150", "299", "300", "999", "1150", "1299", "9999", "0", "x", "-5"] {
            let arguments = [format!("--truncate-to-timestamp={seconds}"), target.to_owned()];
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let ours = run(ours("check-aof"), &files, &arguments, "");
            let theirs = ["--truncate-to-timestamp", seconds, target];
            let mut redis = run(Command::new("redis-check-aof"), &files, &theirs, "");
            // What to do about it we say in words of our own.
            let advice = redis.lines.iter().position(|line| line.starts_with("If you insist"));
            if let Some(at) = advice {
                redis.lines[at] = ours.lines[at].clone();
            }
            assert_eq!(ours, redis, "{target} {seconds}");
        }
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let files: Files<'_> =
        vec![("d/x", Vec::new()), ("two/a.manifest", Vec::new()), ("two/b.manifest", Vec::new())];
    let said = |path| run(ours("check-aof"), &files, &[path], "").lines;
    assert_eq!(said("nothing"), ["Cannot open file nothing: No such file or directory"]);
    assert_eq!(said("d"), ["No manifest in folder d"]);
    assert_eq!(said("two"), ["More than one manifest in folder two: a.manifest, b.manifest"]);
    for arguments in
        [&["check-aof"][..], &["check-aof", "--foo", "x"], &["check-aof", "--fix", "--fix", "x"], &[]]
    {
        let refused = Command::new(env!("CARGO_BIN_EXE_rejoin")).args(arguments).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("Usage: rejoin"), "{arguments:?}");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_rejoin")).arg("--help").output().unwrap();
    assert!(help.status.success());
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(["check-aof", "check-rdb"].iter().all(|name| help.contains(name)), "{help}");
}

#[test]
fn a_value_that_looks_like_a_manifest_is_none() {
    let bytes = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$14\r\n\nfile a seq 1 \r\n".to_vec();
    let done = run(ours("check-aof"), &vec![("a.aof", bytes)], &["a.aof"], "");
    assert!(done.is_fine, "{:?}", done.lines);
    assert_eq!(done.lines[0], "Start checking Old-Style AOF");
}

/// Makes `appendonlydir` with one increment as a node writes it: so many commands in database 3 from offset 1000 on.
fn write_segment(folder: &Path, commands: usize) -> ManifestFile {
    let storage = FolderStorage::new(folder.to_owned());
    let head = SegmentHead {
        stream: StreamName { replid: ReplicationId::from_random([7; 20]), ancestors: Vec::new() },
        start: Offset::new(1000),
        preamble: 0,
        db: DbIndex::new(3),
        chain: 5,
        created: UnixMillis::new(1),
        begins_empty: true,
        is_followed: false,
        boot: BootId([1; 16]),
    };
    let mut segment = SegmentWriter::create(&storage, Path::new("appendonly.aof.1.incr.aof"), head).unwrap();
    for _ in 0..commands {
        segment.append(SET, UnixMillis::new(2)).unwrap();
        segment.mark(UnixMillis::new(3)).unwrap();
    }
    let file = ManifestFile::increment("appendonly.aof", 1, 1000, u64::from(segment.head().preamble));
    let manifest = Manifest { increments: vec![file.clone()], ..Manifest::default() };
    fs::write(folder.join("appendonly.aof.manifest"), manifest.write()).unwrap();
    file
}

#[test]
fn damage_that_leaves_the_commands_readable_is_found_by_side_data() {
    let folder = tempfile::tempdir().unwrap();
    let name = write_segment(folder.path(), 10).name;
    let check = |arguments: &[&str]| {
        let mut command = ours("check-aof");
        command.args(arguments).arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end without asking.
        let _ = child.stdin.take().unwrap().write_all(b"y\n");
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (is_fine, text) = check(&[]);
    let end = 1000 + 10 * SET.len();
    assert!(is_fine, "{text}");
    assert!(text.contains(&format!("from offset 1000 to {end}, checksums right up to {end}")), "{text}");

    let path = folder.path().join(&name);
    let mut bytes = fs::read(&path).unwrap();
    // The value of the seventh SET.
    let at = 23 + 6 * SET.len() + SET.len() - 3;
    assert_eq!(bytes[at], b'v');
    bytes[at] = b'w';
    fs::write(&path, &bytes).unwrap();
    let redis =
        Command::new("redis-check-aof").arg(folder.path().join("appendonly.aof.manifest")).output().unwrap();
    assert!(redis.status.success(), "the commands are readable");
    let (is_fine, text) = check(&[]);
    let whole = 23 + 6 * SET.len();
    assert!(!is_fine && text.contains("is damaged between its bytes"), "{text}");
    assert!(text.contains(&format!("ok_up_to={whole},")), "{text}");
    let (is_fine, text) = check(&["--fix"]);
    assert!(is_fine, "{text}");
    assert_eq!(fs::metadata(&path).unwrap().len(), whole as u64);
    assert!(text.contains("begins a new stream") && !side_path(&path).exists(), "{text}");
    let (is_fine, text) = check(&[]);
    assert!(is_fine && !text.contains("Side data"), "{text}");
}

#[test]
fn the_log_of_a_running_node_is_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    write_segment(folder.path(), 1);
    let _lock = FolderStorage::new(folder.path().to_owned()).lock_folder(Path::new("")).unwrap();
    let check = |arguments: &[&str]| {
        let output = ours("check-aof").args(arguments).arg(folder.path()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(check(&[]).0, "looking is allowed");
    for arguments in [&["--fix"][..], &["--truncate-to-timestamp", "5"]] {
        let (is_fine, text) = check(arguments);
        assert!(!is_fine && text.starts_with("A node keeps its log in "), "{text}");
    }
}

#[test]
fn rdb_files_are_judged_as_redis_does_it() {
    let wrong_checksum = [&RDB[..RDB.len() - 8], &[1; 8]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("whole", RDB.to_vec()),
        ("with a wrong checksum", wrong_checksum),
        ("with something behind", [RDB, SELECT].concat()),
        ("empty", Vec::new()),
    ];
    // Words of our own are left out: what comes behind the number of redis' error, and hints.
    let comparable = |done: &Done| {
        let words = |line: &String| match line {
            line if line.starts_with("[additional info]") || line.contains("bytes follow") => None,
            line => Some(line.split(": stated").next().unwrap_or_default().to_owned()),
        };
        (done.is_fine, done.lines.iter().filter_map(words).collect::<Vec<_>>())
    };
    for (what, bytes) in cases {
        let files: Files<'_> = vec![("x.rdb", bytes)];
        let redis = run(Command::new("redis-check-rdb"), &files, &["x.rdb"], "");
        let ours = run(ours("check-rdb"), &files, &["x.rdb"], "");
        assert_eq!(comparable(&ours), comparable(&redis), "{what}");
    }
}

#[test]
fn every_prefix_of_an_rdb_is_refused() {
    for end in 0..RDB.len() {
        let files: Files<'_> = vec![("x.rdb", RDB[..end].to_vec())];
        let done = run(ours("check-rdb"), &files, &["x.rdb"], "");
        assert!(!done.is_fine, "{end}");
        let words = format!("[offset {end}] Unexpected EOF reading RDB file");
        assert!(done.lines.contains(&words), "{end}: {:?}", done.lines);
    }
    let files: Files<'_> = Vec::new();
    let missing = run(ours("check-rdb"), &files, &["x.rdb"], "");
    assert_eq!(missing.lines.last().unwrap(), "Cannot open file x.rdb: No such file or directory");
}

#[test]
fn lost_lists_what_was_given_up_and_prints_its_commands() {
    let name = format!("appendonlydir/lost-{}-1001-1077.aof", "ab".repeat(20));
    let torn = format!("replhistory/lost-{}-5-9.aof", "cd".repeat(20));
    let del = b"*3\r\n$3\r\nDEL\r\n$2\r\nk1\r\n$2\r\nk2\r\n";
    let files =
        vec![(name.as_str(), [SELECT, MULTI, SET, del, EXEC].concat()), (torn.as_str(), SET[..9].to_vec())];
    let listed = run(ours("lost"), &files, &["."], "");
    assert!(!listed.is_fine, "one of them ends within a command");
    let text = listed.lines.join("\n");
    for words in [
        format!("./{name}"),
        format!("stream {}, bytes 1001 to 1077: 77 bytes, given up at ", "ab".repeat(20)),
        "  2 commands, 2 keys".to_owned(),
        format!("./{torn}: it ends within a command, at byte 0"),
    ] {
        assert!(text.contains(&words), "{words:?} in {text}");
    }
    let printed = run(ours("lost"), &files, &[&name], "");
    assert!(printed.is_fine);
    let commands = [r#""SELECT" "0""#, r#""MULTI""#, r#""SET" "k1" "v""#, r#""DEL" "k1" "k2""#, r#""EXEC""#];
    assert_eq!(printed.lines, commands);
    let none = run(ours("lost"), &Files::new(), &["."], "");
    assert_eq!((none.is_fine, none.lines), (true, vec!["No end of a stream was given up in .".to_owned()]));
    assert!(!run(ours("lost"), &Files::new(), &["nothing/here"], "").is_fine);
}
