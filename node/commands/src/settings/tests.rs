use super::*;

#[test]
fn every_default_field_shows_its_rows_default() {
    let settings = Settings::default();
    for row in rows() {
        assert_eq!(settings.read(row), row.default, "{}", row.name);
        if !row.default.is_empty() {
            assert_eq!(row.kind.canonical(row.default).unwrap(), row.default, "{}", row.name);
        }
    }
}

#[test]
fn no_name_stands_twice_and_all_of_redis_are_there() {
    let names = Settings::default().names();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    // Redis' own, and metrics-port, metrics-bind, log-format, aof-segment-size, four of repl-history, rdb-skip-unsupported,
    // replica-allow-empty-master, repl-max-concurrent-full-syncs and repl-enforce-output-limit.
    assert_eq!(names.len(), 194 + 12);
}

#[test]
fn sizes_have_redis_units() {
    for (text, bytes) in [
        ("1", 1),
        ("1k", 1000),
        ("1kb", 1024),
        ("1Mb", 1 << 20),
        ("1g", 1_000_000_000),
        ("2GB", 2 << 30),
        ("3b", 3),
        ("", 0),
    ] {
        assert_eq!(value::parse_memory(text), Some(bytes), "{text}");
    }
    for text in ["1zb", "-1", "1 k", "1.5gb", "x"] {
        assert_eq!(value::parse_memory(text), None, "{text}");
    }
    assert_eq!(value::parse_memory("99999999999999999999"), Some(u64::MAX));
}

#[test]
fn a_file_sets_what_config_set_may_not() {
    let mut settings = Settings::default();
    settings.set("databases", &["4"]).unwrap();
    assert_eq!(settings.databases, 4);
    assert_eq!(settings.check_changeable(b"databases", true), Err(SettingError::Immutable));
    settings.set("slaveof", &["10.0.0.1", "6380"]).unwrap();
    assert_eq!(settings.replicaof, Some(("10.0.0.1".to_owned(), 6380)));
    assert_eq!(settings.get("replicaof").unwrap(), "10.0.0.1 6380");
    settings.set("replicaof", &["no", "one"]).unwrap();
    assert_eq!(settings.replicaof, None);
    settings.set("bind", &["127.0.0.1", "-::1"]).unwrap();
    assert_eq!(settings.bind, ["127.0.0.1", "-::1"]);
    assert_eq!(settings.set("port", &["1", "2"]), Err(SettingError::WrongCount));
    assert_eq!(settings.check_changeable(b"dir", true), Err(SettingError::Protected));
    settings.set("enable-protected-configs", &["local"]).unwrap();
    assert_eq!(settings.check_changeable(b"DIR", true), Ok("dir"));
    assert_eq!(settings.check_changeable(b"dir", false), Err(SettingError::Protected));
}

#[test]
fn lines_of_save_and_of_output_limits_add_up() {
    let mut settings = Settings::default();
    settings.set("save", &["900", "1"]).unwrap();
    settings.set("save", &["300 10"]).unwrap();
    assert_eq!(settings.get("save").unwrap(), "900 1 300 10");
    settings.set("save", &[""]).unwrap();
    assert_eq!(settings.get("save").unwrap(), "");
    settings.set("client-output-buffer-limit", &["replica", "1gb", "0", "0"]).unwrap();
    settings.set("client-output-buffer-limit", &["pubsub", "0", "0", "0"]).unwrap();
    assert_eq!(settings.replica_limit().map(|limit| limit.hard_bytes), Some(1 << 30));
    assert_eq!(
        settings.get("client-output-buffer-limit").unwrap(),
        "normal 0 0 0 slave 1073741824 0 0 pubsub 0 0 0"
    );
}

#[test]
fn a_misspelled_name_gets_a_suggestion() {
    let mut settings = Settings::default();
    assert_eq!(settings.set("maxclient", &["1"]), Err(SettingError::Unknown(Some("maxclients"))));
    assert_eq!(settings.set("xyzzy-plugh", &["1"]), Err(SettingError::Unknown(None)));
}

#[test]
fn refusals_are_in_redis_words() {
    let mut settings = Settings::default();
    for (name, value, text) in [
        ("maxclients", "0", "argument must be between 1 and 4294967295 inclusive"),
        ("maxclients", "abc", "argument couldn't be parsed into an integer"),
        ("maxmemory", "1zb", "argument must be a memory value"),
        (
            "client-query-buffer-limit",
            "1",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        ("replica-read-only", "maybe", "argument must be 'yes' or 'no'"),
        ("appendfsync", "foo", "argument(s) must be one of the following: everysec, always, no"),
        ("save", "900 1 300", "Invalid save parameters"),
        ("maxmemory-clients", "150%", "percentage argument must be less or equal to 100"),
        (
            "client-output-buffer-limit",
            "normal 0 0",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        ("notify-keyspace-events", "KEAq", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
    ] {
        assert_eq!(
            settings.change(name.as_bytes(), value.as_bytes()).unwrap_err().to_string(),
            text,
            "{name} {value}"
        );
    }
    settings.change(b"notify-keyspace-events", b"KEA").unwrap();
    assert_eq!(settings.get("notify-keyspace-events").unwrap(), "AKE");
    settings.change(b"REPL-BACKLOG-SIZE", b"100").unwrap();
    assert_eq!(settings.repl_backlog_bytes, 16 << 10);
}

#[test]
fn the_stock_limit_of_replicas_is_none_unless_it_is_enforced() {
    let mut settings = Settings::default();
    assert_eq!(settings.replica_limit(), None);
    settings.set("client-output-buffer-limit", &["slave", "256mb", "64mb", "60"]).unwrap();
    assert_eq!(settings.replica_limit(), None, "redis.conf as it is delivered");
    settings.set("repl-enforce-output-limit", &["yes"]).unwrap();
    let limit = OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 };
    assert_eq!(settings.replica_limit(), Some(limit));
    settings.set("repl-enforce-output-limit", &["no"]).unwrap();
    settings.set("client-output-buffer-limit", &["replica", "0", "64mb", "60"]).unwrap();
    assert_eq!(settings.replica_limit().map(|limit| limit.soft_seconds), Some(60), "an operator's own");
    settings.set("client-output-buffer-limit", &["replica", "0", "0", "0"]).unwrap();
    assert_eq!(settings.replica_limit(), None);
}
