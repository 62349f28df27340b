//! The RDB codec against a real redis-server: it loads what we write, and we load what it writes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod generated;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};

use rejoin_keyspace::{
    HashLimits, HashSeed, Keyspace, KeyspaceOptions, ListLimits, SetLimits, SortedSetLimits, StringForm,
    Value,
};
use rejoin_persistence::rdb::{DecodeOptions, EncodeOptions, RdbTarget, StreamPosition, decode, encode};
use rejoin_protocol::{DbIndex, Offset, ReplicationId, UnixMillis, number::parse_f64};

use server::{Reply, Server, spawn};

/// Half a century ahead: does not expire under the test.
const LATER: i64 = 3_500_000_000_000;

#[derive(Debug, PartialEq, Eq)]
enum Held {
    Str(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    /// Members with the bits of their scores, in order.
    SortedSet(Vec<(Vec<u8>, u64)>),
    List(Vec<Vec<u8>>),
}

type Contents = BTreeMap<(u32, Vec<u8>), (Option<i64>, Held)>;

impl Server {
    /// Everything it holds, key by key.
    fn contents(&mut self) -> Contents {
        let mut all = Contents::new();
        for number in 0..16_u32 {
            self.command(&["SELECT", &number.to_string()]);
            let Reply::Array(keys) = self.command(&["KEYS", "*"]) else { panic!("KEYS gives an array") };
            for key in keys.into_iter().map(Reply::into_bytes) {
                let held = match self.command_bytes(&[b"TYPE", &key]).into_bytes().as_slice() {
                    b"string" => Held::Str(self.command_bytes(&[b"GET", &key]).into_bytes()),
                    b"hash" => {
                        let Reply::Array(all) = self.command_bytes(&[b"HGETALL", &key]) else { panic!() };
                        let mut all = all.into_iter().map(Reply::into_bytes);
                        Held::Hash(std::iter::from_fn(|| Some((all.next()?, all.next()?))).collect())
                    }
                    b"set" => {
                        let Reply::Array(all) = self.command_bytes(&[b"SMEMBERS", &key]) else { panic!() };
                        Held::Set(all.into_iter().map(Reply::into_bytes).collect())
                    }
                    b"zset" => {
                        let range = [&b"ZRANGE"[..], &key, b"0", b"-1", b"WITHSCORES"];
                        let Reply::Array(all) = self.command_bytes(&range) else { panic!() };
                        let mut all = all.into_iter().map(Reply::into_bytes);
                        let scored = std::iter::from_fn(|| {
                            Some((all.next()?, parse_f64(&all.next()?).unwrap().to_bits()))
                        });
                        Held::SortedSet(scored.collect())
                    }
                    b"list" => {
                        let Reply::Array(all) = self.command_bytes(&[b"LRANGE", &key, b"0", b"-1"]) else {
                            panic!()
                        };
                        Held::List(all.into_iter().map(Reply::into_bytes).collect())
                    }
                    other => panic!("a key of type {}", other.escape_ascii()),
                };
                let Reply::Int(expiry) = self.command_bytes(&[b"PEXPIRETIME", &key]) else { panic!() };
                all.insert((number, key), ((expiry != -1).then_some(expiry), held));
            }
        }
        all
    }
}

fn empty_keyspace() -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 16, seed: HashSeed::new([9; 16]) })
}

fn contents(keyspace: &Keyspace) -> Contents {
    let mut all = Contents::new();
    for number in 0..keyspace.database_count() {
        for entry in keyspace.database(DbIndex::new(number)).iter() {
            let held = match entry.value() {
                Value::Int(value) => Held::Str(value.to_string().into_bytes()),
                Value::Str(bytes, _) => Held::Str(bytes.to_vec()),
                Value::List(list) => Held::List(list.iter().map(<[u8]>::to_vec).collect()),
                Value::Hash(hash) => Held::Hash(hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect()),
                Value::Set(set) => Held::Set(set.iter().map(|member| member.to_vec()).collect()),
                Value::SortedSet(set) => {
                    Held::SortedSet(set.iter().map(|(m, score)| (m.to_vec(), score.to_bits())).collect())
                }
            };
            all.insert((number, entry.key().to_vec()), (entry.expiry().map(UnixMillis::get), held));
        }
    }
    all
}

fn assert_same(ours: &Contents, theirs: &Contents) {
    for (key, held) in theirs {
        assert_eq!(ours.get(key), Some(held), "database {}, key '{}'", key.0, key.1.escape_ascii());
    }
    assert_eq!(ours.len(), theirs.len());
}

const SCORES: [f64; 9] =
    [0.0, -1.5, 0.1, 1e300, -1e-300, f64::INFINITY, f64::NEG_INFINITY, 123_456_789_012_345_680.0, 17.0];

/// Some of everything we can write.
fn a_keyspace() -> Keyspace {
    let mut keyspace = empty_keyspace();
    let strings: [(u32, &[u8], &[u8]); 6] = [
        (0, b"plain", b"value"),
        (0, b"binary\0\r\n", b"\0\xff\r\n"),
        (0, b"", b""),
        (1, b"almost a number", b"007"),
        (15, b"last database", &[b'z'; 70_000]),
        (3, b"45 bytes", &[b'x'; 45]),
    ];
    for (number, (database, key, value)) in strings.into_iter().enumerate() {
        let key = keyspace.key(key);
        let form = if value.len() <= 44 { StringForm::Embstr } else { StringForm::Raw };
        let expiry = (number % 2 == 0).then_some(UnixMillis::new(LATER + number as i64));
        keyspace.database_mut(DbIndex::new(database)).put_string(key, value, form, expiry);
    }
    for value in [0, -1, 127, 128, -129, 32_768, -32_769, 1 << 31, -(1 << 31) - 1, i64::MAX, i64::MIN] {
        let name = format!("int{value}");
        let key = keyspace.key(name.as_bytes());
        keyspace.database_mut(DbIndex::new(0)).put_int(key, value, None);
    }
    for (name, fields) in [("one field", 1), ("packed", 100), ("large", 1000)] {
        let key = keyspace.key(name.as_bytes());
        let database = keyspace.database_mut(DbIndex::new(2));
        let mut hash = database.hash_mut(key, HashLimits::default()).unwrap();
        for field in 0..fields {
            hash.set(format!("field:{field}").as_bytes(), &vec![b'v'; field % 90]);
        }
        drop(hash);
        database.set_expiry(key, Some(UnixMillis::new(LATER)));
    }
    for (name, members, prefix) in
        [("one", 1, ""), ("integers", 500, ""), ("packed set", 100, "m"), ("large set", 1000, "m")]
    {
        let key = keyspace.key(name.as_bytes());
        let mut set = keyspace.database_mut(DbIndex::new(2)).set_mut(key, SetLimits::default()).unwrap();
        for member in 0..members {
            set.add(format!("{prefix}{}", member * 70_000 - 9).as_bytes());
        }
    }
    for (name, members) in [("one score", 1), ("packed scores", 100), ("large scores", 1000)] {
        let key = keyspace.key(name.as_bytes());
        let database = keyspace.database_mut(DbIndex::new(2));
        let mut set = database.sorted_set_mut(key, SortedSetLimits::default()).unwrap();
        for (member, score) in SCORES.iter().cycle().take(members).enumerate() {
            set.set(format!("member:{member}").as_bytes(), *score);
        }
        drop(set);
        database.set_expiry(key, Some(UnixMillis::new(LATER)));
    }
    for (name, elements) in [("one element", 1), ("packed list", 50), ("large list", 3000)] {
        let key = keyspace.key(name.as_bytes());
        let mut list = keyspace.database_mut(DbIndex::new(2)).list_mut(key, ListLimits::default()).unwrap();
        for element in 0..elements {
            list.push_back(&vec![b'e'; element % 90]);
            list.push_front(element.to_string().as_bytes());
        }
    }
    for number in 0..2000 {
        let name = format!("key:{number}");
        let key = keyspace.key(name.as_bytes());
        let value = format!("value {number}");
        keyspace.database_mut(DbIndex::new(4)).put_string(key, value.as_bytes(), StringForm::Embstr, None);
    }
    keyspace
}

fn encoded(keyspace: &mut Keyspace, position: Option<StreamPosition>, psync2: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(keyspace.snapshot(), &EncodeOptions::for_target(RdbTarget { psync2 }, position), &mut bytes)
        .unwrap();
    bytes
}

#[test]
fn redis_loads_what_we_write() {
    let mut keyspace = a_keyspace();
    let ours = contents(&keyspace);
    for psync2 in [true, false] {
        let mut server = Server::start(Some(&encoded(&mut keyspace, None, psync2)), &[]);
        assert_same(&ours, &server.contents());
        server.command(&["SELECT", "0"]);
        assert_eq!(server.command(&["OBJECT", "ENCODING", "int127"]).into_bytes(), b"int");
    }
}

#[test]
fn redis_check_rdb_finds_no_fault() {
    for options in generated::variants() {
        let directory = tempfile::tempdir().unwrap();
        let (file, log) = (directory.path().join("dump.rdb"), directory.path().join("check.log"));
        let mut bytes = Vec::new();
        encode(a_keyspace().snapshot(), &options, &mut bytes).unwrap();
        fs::write(&file, bytes).unwrap();
        let status = spawn("redis-check-rdb", &[file.to_str().unwrap()], &log).wait().unwrap();
        let said = fs::read_to_string(&log).unwrap();
        assert!(status.success() && said.contains("RDB looks OK"), "{said}");
        let has_checksum = !options.omits_checksum;
        assert_eq!(said.contains("Checksum OK"), has_checksum, "{said}");
        assert_eq!(said.contains("RDB file was saved with checksum disabled"), !has_checksum, "{said}");
        assert_eq!(said.contains("aof-base = '1'"), options.file.is_some(), "{said}");
        assert_eq!(said.contains("used-mem = '5368709120'"), options.file.is_some(), "{said}");
    }
}

#[test]
fn redis_takes_up_the_position_that_we_write() {
    let replid = ReplicationId::from_random([0xcd; 20]);
    let position = StreamPosition { replid, offset: Offset::new(123_456), selected: DbIndex::new(4) };
    let mut server = Server::start(Some(&encoded(&mut a_keyspace(), Some(position), true)), &[]);
    let info = String::from_utf8(server.command(&["INFO", "replication"]).into_bytes()).unwrap();
    assert!(info.contains(&format!("master_replid2:{replid}\r\n")), "{info}");
    assert!(info.contains("second_repl_offset:123457\r\n"), "{info}");
}

/// Fills a server with some of everything we can read.
fn fill(server: &mut Server) {
    for number in 0..500 {
        server.command(&["SET", &format!("key:{number}"), &"compressible ".repeat(number % 40)]);
        server.command(&["HSET", "large", &format!("field:{number}"), &(number * 7919).to_string()]);
        server.command(&["RPUSH", "large list", &(number * 7919).to_string(), &"text ".repeat(number % 40)]);
    }
    for value in ["0", "-1", "127", "-32769", "2147483648", "9223372036854775807", "-0", "1.5", ""] {
        server.command(&["SET", &format!("text:{value}"), value, "PXAT", &LATER.to_string()]);
        server.command(&["HSET", "small", &format!("field:{value}"), value]);
    }
    let numbers =
        ["8191", "-4096", "32767", "-32768", "8388607", "-8388608", "2147483647", "9223372036854775807"];
    for number in numbers {
        server.command(&["HSET", "packed numbers", number, number]);
        server.command(&["LPUSH", "list of numbers", number, "text"]);
    }
    for length in [0, 1, 62, 63, 64, 65, 300, 5000] {
        server.command(&["HSET", &format!("hash of {length}"), "field", &"x".repeat(length)]);
        server.command(&["RPUSH", &format!("list of {length}"), &"x".repeat(length * 3), "y"]);
    }
    for number in 0..300_i64 {
        server.command(&["SADD", "large set", &format!("member:{number}")]);
        server.command(&["SADD", "large integers", &(number * number * number - 9).to_string()]);
        server.command(&["ZADD", "large scores", &(number % 17).to_string(), &format!("member:{number}")]);
    }
    for number in numbers {
        server.command(&["SADD", "integers", number]);
        server.command(&["SADD", "packed set", number, &format!("m{number}")]);
        server.command(&["ZADD", "scores", number, number]);
        server.command(&["ZADD", "fractions", &format!("{number}e-3"), &format!("m{number}")]);
    }
    server.command(&["SADD", "small integers", "1", "-1"]);
    server.command(&["ZADD", "fractions", "inf", "most", "-inf", "least", "0", "zero", "1e-300", ""]);
    server.command(&["EXPIRE", "large set", "100000"]);
    server.command(&["EXPIRE", "scores", "100000"]);
    server.command(&["EXPIRE", "small", "100000"]);
    server.command(&["SELECT", "9"]);
    server.command_bytes(&[b"SET", b"binary\0\xff", b"\0\xff\r\n"]);
    server.command(&["SET", "long", &"0123456789abcdef".repeat(40_000)]);
}

#[test]
fn we_load_what_redis_writes_and_redis_finds_it_unchanged() {
    // Packed as far as Redis packs; packed with 12-bit and 32-bit lengths; nothing packed and nothing compressed.
    let settings: [&[&str]; 3] = [
        &[],
        &["--hash-max-listpack-entries", "1000", "--hash-max-listpack-value", "6000"],
        &[
            "--hash-max-listpack-entries",
            "0",
            "--zset-max-listpack-entries",
            "0",
            "--set-max-intset-entries",
            "0",
            "--rdbcompression",
            "no",
            "--rdbchecksum",
            "no",
        ],
    ];
    for settings in settings {
        let mut first = Server::start(None, settings);
        fill(&mut first);
        first.command(&["SAVE"]);
        let mut file = File::open(first.directory.path().join("dump.rdb")).unwrap();
        let mut keyspace = empty_keyspace();
        let summary = decode(&mut file, &mut keyspace, &DecodeOptions::default()).unwrap();
        let theirs = first.contents();
        assert_eq!((summary.version, summary.keys), (10, theirs.len() as u64));
        assert_eq!(summary.bytes, file.metadata().unwrap().len());
        assert_same(&contents(&keyspace), &theirs);
        let mut second = Server::start(Some(&encoded(&mut keyspace, None, true)), &[]);
        assert_eq!(second.digest(), first.digest());
    }
}

#[test]
fn older_and_newer_servers_find_their_data_unchanged() {
    let enabled = ["--enable-debug-command", "yes"];
    // 6.2 packs hashes as ziplists; in 9.1 the magic is Valkey's own.
    let servers: [(&str, u32, &[&str]); 3] = [
        ("redis-server-6.2", 9, &[]),
        ("redis-server-8.2", 12, &enabled),
        ("valkey-server-9.1", 80, &enabled),
    ];
    for (program, version, settings) in servers {
        let program = format!("{}/../../target/test-servers/{program}", env!("CARGO_MANIFEST_DIR"));
        let mut first = Server::start_program(&program, None, settings);
        fill(&mut first);
        first.command(&["SAVE"]);
        let mut file = File::open(first.directory.path().join("dump.rdb")).unwrap();
        let mut keyspace = empty_keyspace();
        assert_eq!(decode(&mut file, &mut keyspace, &DecodeOptions::default()).unwrap().version, version);
        for psync2 in [true, false] {
            let ours = encoded(&mut keyspace, None, psync2);
            let mut second = Server::start_program(&program, Some(&ours), settings);
            assert_eq!(second.digest(), first.digest(), "{program}");
        }
    }
}

#[test]
fn a_full_sync_states_where_the_stream_stands() {
    let mut master = Server::start(None, &["--repl-diskless-sync", "no"]);
    fill(&mut master);
    let digest = master.digest();
    master.command(&["REPLCONF", "capa", "psync2"]);
    let Reply::Line(answer) = master.command(&["PSYNC", "?", "-1"]) else { panic!("no answer to PSYNC") };
    let words: Vec<&str> = answer.split(' ').collect();
    let ["FULLRESYNC", replid, offset] = words[..] else { panic!("{answer}") };
    let header = loop {
        // Bare newlines keep the link alive until the snapshot is there.
        let line = master.read_line();
        if !line.is_empty() {
            break line;
        }
    };
    let length = header.strip_prefix('$').unwrap().parse().unwrap();
    let payload = master.read_exactly(length);
    let mut keyspace = empty_keyspace();
    let summary = decode(&mut payload.as_slice(), &mut keyspace, &DecodeOptions::default()).unwrap();
    let position = summary.position.unwrap();
    assert_eq!(position.replid.as_str(), replid);
    assert_eq!(position.offset.get().to_string(), offset);
    let mut second = Server::start(Some(&encoded(&mut keyspace, None, true)), &[]);
    assert_eq!(second.digest(), digest);
}
