//! Generated data of every type and encoding, on every server: it saves them, we load them and find the same digest; we
//! write them in every way that we have, it loads them and finds the same digest.

use std::collections::BTreeSet;
use std::fs;

use rejoin_commands::data::digest::digest_keyspace;
use rejoin_keyspace::AccessKind;
use rejoin_persistence::rdb::{
    CheckEvent, DecodeOptions, EncodeOptions, LocalFile, RdbSummary, RdbTarget, check, decode, encode,
};
use rejoin_protocol::UnixMillis;

use super::server::{Reply, Server};
use super::{LATER, empty_keyspace};

const DEBUG: [&str; 2] = ["--enable-debug-command", "yes"];

/// One way to make a server pack its collections: settings and their values.
type Thresholds = &'static [(&'static str, &'static str)];

/// The old names of the settings, which all servers know; those of sets are known since 7.2.
const THRESHOLDS: [Thresholds; 4] = [
    &[],
    &[
        ("hash-max-ziplist-entries", "10000"),
        ("hash-max-ziplist-value", "100000"),
        ("zset-max-ziplist-entries", "10000"),
        ("zset-max-ziplist-value", "100000"),
        ("list-max-ziplist-size", "-5"),
        ("set-max-intset-entries", "10000"),
        ("set-max-listpack-entries", "10000"),
        ("set-max-listpack-value", "100000"),
    ],
    &[
        ("hash-max-ziplist-entries", "0"),
        ("zset-max-ziplist-entries", "0"),
        ("list-max-ziplist-size", "1"),
        ("set-max-intset-entries", "0"),
        ("set-max-listpack-entries", "0"),
        ("rdbcompression", "no"),
    ],
    &[("list-max-ziplist-size", "7"), ("list-compress-depth", "1"), ("maxmemory-policy", "allkeys-lfu")],
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// Numbers of every width, texts of every kind of length; `unique` keeps members apart.
    fn text(&mut self, unique: u64) -> Vec<u8> {
        match self.below(7) {
            0 => (unique as i64 - 40).to_string().into_bytes(),
            1 => ((unique as i64 - 40) << self.below(50)).to_string().into_bytes(),
            2 => format!("{unique}:{}", "abc".repeat(self.below(8) as usize)).into_bytes(),
            3 => format!("{unique}:{}", "compressible ".repeat(self.below(30) as usize)).into_bytes(),
            4 => {
                let length = self.of(&[10_u64, 62, 63, 64, 65, 300, 5000]);
                let tail: Vec<u8> = (0..length).map(|_| self.below(256) as u8).collect();
                [format!("{unique}:").as_bytes(), &tail].concat()
            }
            5 => format!("{unique}").into_bytes(),
            _ => format!("member:{unique:012}").into_bytes(),
        }
    }

    fn integer(&mut self, unique: u64) -> Vec<u8> {
        let shift = self.of(&[0, 0, 12, 20, 40]);
        let value = (unique as i64) << shift;
        (if self.below(2) == 0 { value } else { -value }).to_string().into_bytes()
    }

    /// Scores whose shortest text is also the one of 17 digits: older servers digest that one.
    fn score(&mut self) -> String {
        match self.below(20) {
            0 => "inf".to_owned(),
            1 => "-inf".to_owned(),
            _ => ((self.below(1 << 20) as f64 - 500_000.0) / 8.0).to_string(),
        }
    }
}

fn fill(server: &mut Server, random: &mut Random) {
    for number in 0..200_u64 {
        if number % 40 == 0 {
            server.command(&["SELECT", &(number / 40 * 3).to_string()]);
        }
        let key = random.text(number);
        let members = random.of(&[1, 2, 8, 60, 200, 700]);
        let (command, words) = match random.below(6) {
            0 => ("SET", vec![random.text(number)]),
            1 => ("RPUSH", (0..members).map(|member| random.text(member)).collect()),
            2 => ("SADD", (1..=members).map(|member| random.integer(member)).collect()),
            3 => ("SADD", (0..members).map(|member| random.text(member)).collect()),
            4 => {
                let pairs =
                    (0..members).flat_map(|member| [random.score().into_bytes(), random.text(member)]);
                ("ZADD", pairs.collect())
            }
            _ => {
                let pairs = (0..members).flat_map(|member| [random.text(member), random.text(member)]);
                ("HSET", pairs.collect::<Vec<_>>())
            }
        };
        let request: Vec<&[u8]> =
            [command.as_bytes(), &key].into_iter().chain(words.iter().map(Vec::as_slice)).collect();
        server.command_bytes(&request);
        if random.below(3) == 0 {
            let at = LATER + random.below(1 << 30) as i64;
            server.command_bytes(&[b"PEXPIREAT", &key, at.to_string().as_bytes()]);
        }
    }
    server.command(&["SELECT", "0"]);
}

fn saved(server: &mut Server) -> Vec<u8> {
    server.command(&["SAVE"]);
    fs::read(server.directory.path().join("dump.rdb")).unwrap()
}

/// Every way in which we write.
pub(crate) fn variants() -> Vec<EncodeOptions<'static>> {
    let created = UnixMillis::new(1_700_000_000_000);
    let file = LocalFile { created, memory_used: 5 << 30, is_aof_base: true, usage: None };
    let frequency = AccessKind::Frequency { log_factor: 10, decay_minutes: 1 };
    let with_usage = |usage| EncodeOptions::for_file(LocalFile { usage: Some(usage), ..file }, None);
    vec![
        EncodeOptions::for_target(RdbTarget { psync2: false }, None),
        EncodeOptions::for_target(RdbTarget { psync2: true }, None),
        EncodeOptions { compresses: true, ..EncodeOptions::for_file(file, None) },
        EncodeOptions { omits_checksum: true, ..with_usage(AccessKind::Recency) },
        EncodeOptions { compresses: true, ..with_usage(frequency) },
    ]
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// Both directions for one server under all thresholds; returns the types that stood in its files.
fn both_ways(program: &str, settings: &[&str]) -> BTreeSet<u8> {
    let mut types = BTreeSet::new();
    for (number, thresholds) in THRESHOLDS.into_iter().enumerate() {
        let mut first = Server::start_program(program, None, settings);
        for (name, value) in thresholds {
            let reply = first.try_command(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]);
            assert!(matches!(reply, Reply::Line(_)) || name.starts_with("set-max-listpack"), "{reply:?}");
        }
        fill(&mut first, &mut Random(number as u64));
        let digest = first.digest();
        let theirs = saved(&mut first);
        let mut keys = 0;
        let mut observer = |event: CheckEvent<'_>| {
            if let CheckEvent::Key { type_number, .. } = event {
                types.insert(type_number);
                keys += 1;
            }
        };
        let checked = check(&mut theirs.as_slice(), &mut observer).unwrap();
        let mut keyspace = empty_keyspace();
        let read = decode(&mut theirs.as_slice(), &mut keyspace, &DecodeOptions::default()).unwrap();
        assert_eq!((checked.keys, checked.expires, &checked.types), (read.keys, read.expires, &read.types));
        assert_eq!(keys, read.keys);
        assert_eq!(hexadecimal(&digest_keyspace(&keyspace)), digest, "{program}, thresholds {number}");
        // One start of a server for each pair of a variant and thresholds would take minutes.
        for options in variants().into_iter().skip(number % 2).step_by(2) {
            let mut ours = Vec::new();
            encode(keyspace.snapshot(), &options, &mut ours).unwrap();
            let mut second = Server::start_program(program, Some(&ours), settings);
            assert_eq!(second.digest(), digest, "{program}, thresholds {number}, {options:?}");
            let again = saved(&mut second);
            let mut keyspace = empty_keyspace();
            decode(&mut again.as_slice(), &mut keyspace, &DecodeOptions::default()).unwrap();
            assert_eq!(hexadecimal(&digest_keyspace(&keyspace)), digest);
        }
    }
    types
}

fn test_server(name: &str) -> String {
    format!("{}/../../target/test-servers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// String, list of listpacks, set, intset, scores in binary and in a listpack, hash and in a listpack.
#[test]
fn redis_7_0_finds_the_same_digest_both_ways() {
    assert_eq!(both_ways("redis-server", &DEBUG), [0, 2, 4, 5, 11, 16, 17, 18].into());
}

#[test]
fn redis_8_2_finds_the_same_digest_both_ways() {
    assert_eq!(both_ways(&test_server("redis-server-8.2"), &DEBUG), [0, 2, 4, 5, 11, 16, 17, 18, 20].into());
}

#[test]
fn valkey_9_1_finds_the_same_digest_both_ways() {
    assert_eq!(both_ways(&test_server("valkey-server-9.1"), &DEBUG), [0, 2, 4, 5, 11, 16, 17, 18, 20].into());
}

/// The same as ziplists.
#[test]
fn redis_6_2_finds_the_same_digest_both_ways() {
    assert_eq!(both_ways(&test_server("redis-server-6.2"), &[]), [0, 2, 4, 5, 11, 12, 13, 14].into());
}

/// Puts what we do not have beside what we have; returns how many keys of it.
fn fill_with_foreign_things(server: &mut Server, has_functions: bool, has_field_expiry: bool) -> u64 {
    for number in 0..300 {
        server.command(&["XADD", "stream", "*", "field", &format!("value {number}"), "other", "x"]);
    }
    for group in ["first", "second"] {
        server.command(&["XGROUP", "CREATE", "stream", group, "0"]);
        for consumer in ["alice", "bob"] {
            let read = ["XREADGROUP", "GROUP", group, consumer, "COUNT", "40", "STREAMS", "stream", ">"];
            server.command(&read);
        }
    }
    server.command(&["XGROUP", "CREATE", "empty stream", "group", "$", "MKSTREAM"]);
    server.command(&["PEXPIREAT", "empty stream", &LATER.to_string()]);
    if has_functions {
        let code = "#!lua name=mylib\nredis.register_function('f', function() return 1 end)";
        server.command(&["FUNCTION", "LOAD", code]);
    }
    if !has_field_expiry {
        return 2;
    }
    for fields in [3, 1000] {
        let key = format!("expiring {fields}");
        for number in 0..fields {
            server.command(&["HSET", &key, &format!("field:{number}"), "value"]);
        }
        server.command(&["HEXPIRE", &key, "100000", "FIELDS", "2", "field:1", "field:2"]);
        // One whose fields have lost their expiries again is a plain hash to everybody.
        let kept = format!("kept {fields}");
        server.command(&["COPY", &key, &kept]);
        server.command(&["HPERSIST", &kept, "FIELDS", "2", "field:1", "field:2"]);
    }
    4
}

#[test]
fn what_we_do_not_have_is_refused_or_passed_over_with_nothing_else_lost() {
    let (old, new) = (test_server("redis-server-6.2"), test_server("redis-server-8.2"));
    let valkey = test_server("valkey-server-9.1");
    // The second and the third form of streams; functions since 7.0; fields that expire since 7.4 and Valkey 9.0.
    let servers: [(&str, &[&str], bool, bool); 4] = [
        (&old, &[], false, false),
        ("redis-server", &DEBUG, true, false),
        (&new, &DEBUG, true, true),
        (&valkey, &DEBUG, true, true),
    ];
    for (program, settings, has_functions, has_field_expiry) in servers {
        let mut server = Server::start_program(program, None, settings);
        fill(&mut server, &mut Random(7));
        let foreign = fill_with_foreign_things(&mut server, has_functions, has_field_expiry);
        let bytes = saved(&mut server);
        let refused = decode(&mut bytes.as_slice(), &mut empty_keyspace(), &DecodeOptions::default());
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("unsupported in RDB at byte "), "{program}: {refused}");
        let mut keyspace = empty_keyspace();
        let options = DecodeOptions { skips_unsupported: true, ..DecodeOptions::default() };
        let RdbSummary { skipped, bytes: read, .. } =
            decode(&mut bytes.as_slice(), &mut keyspace, &options).unwrap();
        assert_eq!((skipped.keys, skipped.functions), (foreign, has_functions.into()), "{program}");
        assert_eq!(read, bytes.len() as u64);
        for key in ["stream", "empty stream", "expiring 3", "expiring 1000"] {
            server.command(&["DEL", key]);
        }
        assert_eq!(hexadecimal(&digest_keyspace(&keyspace)), server.digest(), "{program}");
    }
}
