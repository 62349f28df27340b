//! CONFIG GET, SET and REWRITE beside redis-server 7.0.15: the same names, values, refusals and files.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rejoin_chaos::client::{Client, Reply};
use rejoin_chaos::servers::{Binary, Program, ServerKind, free_port};

/// Ours differ, and why.
const OTHER_DEFAULTS: &[(&str, &str)] = &[
    (
        "repl-diskless-sync-delay",
        "a snapshot costs no fork, so nothing is gained by waiting for more replicas",
    ),
    (
        "appendonly",
        "the log is the replication stream: without it a restarted node has nothing to rejoin with",
    ),
    ("aof-segment-size", "ours alone"),
    ("repl-history", "ours alone"),
    ("repl-history-age", "ours alone"),
    ("repl-history-size", "ours alone"),
    ("repl-history-hard-size", "ours alone"),
    ("repl-enforce-output-limit", "ours alone"),
    ("repl-max-concurrent-full-syncs", "ours alone"),
    ("replica-allow-empty-master", "ours alone"),
    ("rdb-skip-unsupported", "ours alone"),
    ("dir", "where each was started"),
    ("port", "each has its own"),
    ("logfile", "each has its own"),
    ("log-format", "ours alone"),
    ("metrics-bind", "ours alone"),
    ("metrics-port", "ours alone"),
    ("set-max-listpack-entries", "of 7.2"),
    ("set-max-listpack-value", "of 7.2"),
];

struct Running {
    _program: Program,
    client: Client,
}

fn start(binary: &Binary, dir: &Path, args: &[&str]) -> Running {
    let port = free_port().unwrap();
    let port_text = port.to_string();
    let args = [args, &["--port", &port_text]].concat();
    let mut program = Program::start(binary, dir, &args).unwrap();
    program.wait_for("Ready to accept connections").unwrap();
    Running { client: Client::connect(port).unwrap(), _program: program }
}

impl Running {
    fn call(&mut self, args: &[&str]) -> String {
        self.client.call(args).unwrap().to_string()
    }

    fn config(&mut self) -> BTreeMap<String, String> {
        let reply = self.client.ask(&["CONFIG", "GET", "*"]).unwrap();
        let Reply::Array(items) = reply else { panic!("{reply}") };
        let texts: Vec<String> = items.iter().map(|item| item.text().unwrap()).collect();
        texts.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }
}

fn binaries() -> [Binary; 2] {
    [Binary::node(None).unwrap(), Binary::stock(ServerKind::Redis70).unwrap()]
}

#[test]
fn every_name_has_redis_default() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ours, theirs] = binaries();
    let mut ours = start(&ours, dirs[0].path(), &[]);
    let mut theirs = start(&theirs, dirs[1].path(), &[]);
    let (ours, theirs) = (ours.config(), theirs.config());
    let is_other = |name: &str| OTHER_DEFAULTS.iter().any(|(other, _)| *other == name);
    for (name, value) in &theirs {
        if !is_other(name) {
            assert_eq!(ours.get(name), Some(value), "{name}");
        }
    }
    let more: Vec<&String> =
        ours.keys().filter(|name| !theirs.contains_key(*name) && !is_other(name)).collect();
    assert!(more.is_empty(), "{more:?}");
    assert_eq!(theirs.len(), 192);
}

#[test]
fn values_are_taken_and_refused_alike() {
    // Set together with others below, or unlike for a stated reason: what has no file here, sockets, TLS.
    let left_out = |name: &str| {
        OTHER_DEFAULTS.iter().any(|(other, _)| *other == name)
            || matches!(name, "bind" | "timeout" | "requirepass" | "maxclients")
            || name.starts_with("tls-")
            // strtod's hexadecimal, and templates of a title that is never set.
            || matches!(name, "latency-tracking-info-percentiles" | "proc-title-template")
    };
    let values = [
        "",
        "abc",
        "0",
        "1",
        "-1",
        "2",
        "yes",
        "no",
        "YES",
        "100",
        "1kb",
        "1mb",
        "5%",
        "101%",
        "1.5",
        "99999999999",
        "9223372036854775808",
        "18446744073709551616",
        " 1",
        "0x10",
        "64mb garbage",
        "normal 0 0 0",
        "replica 1mb 1k 5",
        "KEA",
        "3600 1",
        "3600 1 60",
        "0755",
        "700",
        "-5",
        "512",
        "everysec",
        "local",
        "::1",
        "nosave now",
        "save nosave",
        "0 100 200",
        "allkeys-lru",
        "ip",
    ];
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ours, theirs] = binaries();
    let mut ours = start(&ours, dirs[0].path(), &["--appendonly", "no"]);
    let mut theirs = start(&theirs, dirs[1].path(), &[]);
    let names: Vec<String> = theirs.config().into_keys().filter(|name| !left_out(name)).collect();
    for name in &names {
        for value in values {
            // A sum that overflows becomes one per cent there.
            if name == "maxmemory-clients" && value == "18446744073709551616" {
                continue;
            }
            let set = ["CONFIG", "SET", name, value];
            let get = ["CONFIG", "GET", name];
            let mine = (ours.call(&set), ours.call(&get));
            assert_eq!(mine, (theirs.call(&set), theirs.call(&get)), "{name} {value:?}");
        }
    }
    for several in [
        &["hz", "20", "loglevel", "nosuch"][..],
        &["hz", "20", "hz", "30"],
        &["hz", "20", "nosuch", "30"],
        &["hz", "20", "databases", "30"],
        &["hz", "20", "maxclients"],
        &["hz", "33", "loglevel", "verbose", "maxclients", "60"],
        &["dir", "/tmp"],
        &["save", "", "slave-priority", "5"],
    ] {
        let set = [&["CONFIG", "SET"][..], several].concat();
        assert_eq!(ours.call(&set), theirs.call(&set), "{several:?}");
        let get = ["CONFIG", "GET", "hz", "maxclients", "loglevel", "replica-pr*", "save"];
        let get = |running: &mut Running| {
            let Reply::Array(items) = running.client.ask(&get).unwrap() else { panic!() };
            let mut texts: Vec<String> = items.iter().map(|item| item.text().unwrap()).collect();
            let mut pairs: Vec<Vec<String>> = texts.chunks_mut(2).map(|pair| pair.to_vec()).collect();
            pairs.sort();
            pairs
        };
        assert_eq!(get(&mut ours), get(&mut theirs), "{several:?}");
    }
}

/// The file that both begin with.
const FILE: &str = "\
# my comment

# saves
save 900 1
save 300 10
  maxclients   50
include inc*.conf
client-output-buffer-limit pubsub 1mb 1mb 1
hash-max-ziplist-entries 99
hz 33
hz 44
bind 127.0.0.1 -::1
requirepass \"a b\"
maxmemory 1gb
maxmemory-clients 10%
notify-keyspace-events KEA
oom-score-adj-values 0 200 900
logfile \"\"
masterauth gone
# the end";

/// Lines of no meaning to both: users, which we have not, and what Redis writes though it is the default.
fn comparable(text: &str) -> (Vec<String>, Vec<String>) {
    let is_theirs =
        |line: &str| line.starts_with("user default ") || line.starts_with("latency-tracking-info-");
    let mut lines = text.lines().filter(|line| !is_theirs(line)).map(|line| match line.split_once(' ') {
        Some((name @ ("port" | "dir"), _)) => format!("{name} ..."),
        _ => line.to_owned(),
    });
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("# Generated")).collect();
    // What is appended comes in no particular order, with empty lines where something went again.
    let mut tail: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    tail.sort();
    (head, tail)
}

#[test]
fn the_file_is_rewritten_as_redis_rewrites_it() {
    let mut files = Vec::new();
    for binary in binaries() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("redis.conf");
        fs::write(&path, FILE).unwrap();
        fs::write(dir.path().join("inc1.conf"), "list-max-listpack-size 7\n").unwrap();
        let mut running = start(&binary, dir.path(), &["redis.conf", "--timeout", "7"]);
        let mut steps = Vec::new();
        for step in [
            &["AUTH", "a b"][..],
            &["CONFIG", "REWRITE"],
            &["CONFIG", "SET", "hz", "55", "maxmemory", "2gb", "save", "100 5 200 6"],
            &["CONFIG", "SET", "client-output-buffer-limit", "replica 1gb 2mb 9"],
            &["CONFIG", "SET", "masterauth", "x\"y\\ z\n\u{e9}", "notify-keyspace-events", ""],
            &["CONFIG", "SET", "proto-max-bulk-len", "600mb", "client-query-buffer-limit", "1500000"],
            &["CONFIG", "SET", "slave-priority", "7", "maxclients", "60", "timeout", "0"],
            &["REPLICAOF", "127.0.0.1", "9"],
            &["CONFIG", "REWRITE"],
            &["REPLICAOF", "NO", "ONE"],
            &["CONFIG", "SET", "save", "", "requirepass", "", "bind", "*"],
            &["CONFIG", "REWRITE"],
            &["CONFIG", "REWRITE"],
        ] {
            assert_eq!(running.call(step), "+OK", "{step:?}");
            steps.push(comparable(&fs::read_to_string(&path).unwrap()));
        }
        let text = fs::read_to_string(&path).unwrap();
        let before = running.config();
        drop(running);

        // A restart reuses it.
        let mut again = start(&binary, dir.path(), &["redis.conf"]);
        let mut after = again.config();
        after.insert("port".to_owned(), before["port"].clone());
        assert_eq!(after, before);
        files.push((steps, text));
    }
    let [(ours, text), (theirs, _)] = &files[..] else { panic!() };
    assert_eq!(ours, theirs);
    assert!(text.starts_with("# my comment\n\n# saves\nsave \"\"\n"), "{text}");
}

#[test]
fn a_file_that_cannot_be_written_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("redis.conf");
    fs::write(&path, "# precious\nhz 20\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let [node, _] = binaries();
    let in_memory = ["redis.conf", "--appendonly", "no", "--repl-history", "no"];
    let mut running = start(&node, dir.path(), &in_memory);
    assert_eq!(running.call(&["CONFIG", "SET", "hz", "30"]), "+OK");
    // No file can grow any more, as on a full disk.
    let pid = running._program.pid();
    let no_room = rustix::process::Rlimit { current: Some(8), maximum: Some(8) };
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap());
    let before = rustix::process::prlimit(process, rustix::process::Resource::Fsize, no_room).unwrap();
    assert_eq!(running.call(&["CONFIG", "REWRITE"]), "-ERR Rewriting config file: File too large");
    assert_eq!(fs::read_to_string(&path).unwrap(), "# precious\nhz 20\n");
    assert_eq!(running.call(&["PING"]), "+PONG");
    rustix::process::prlimit(process, rustix::process::Resource::Fsize, before).ok();
    let names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "nothing is left behind: {names:?}");
    drop(running);

    let mut running = start(&node, dir.path(), &in_memory);
    assert_eq!(running.call(&["CONFIG", "SET", "hz", "30"]), "+OK");
    assert_eq!(running.call(&["CONFIG", "REWRITE"]), "+OK");
    assert!(fs::read_to_string(&path).unwrap().starts_with("# precious\nhz 30\n"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640, "as private as it was");
    // A file that went away is made anew.
    fs::remove_file(&path).unwrap();
    assert_eq!(running.call(&["CONFIG", "REWRITE"]), "+OK");
    assert!(fs::read_to_string(&path).unwrap().contains("hz 30\n"));
    drop(running);

    let mut without = start(&node, dir.path(), &[]);
    assert_eq!(without.call(&["CONFIG", "REWRITE"]), "-ERR The server is running without a config file");
    fs::write(dir.path().join("a.toml"), "hz = 20\n").unwrap();
    let mut toml = start(&node, dir.path(), &["a.toml", "--appendonly", "no", "--repl-history", "no"]);
    assert!(toml.call(&["CONFIG", "REWRITE"]).starts_with("-ERR Rewriting config file: a TOML file"));
}
