//! The layers together, as an operator meets them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{ffi::OsString, fs, path::Path};

use proptest::prelude::*;

use super::*;

/// Loads as `rejoin-server ARGUMENTS` would, with these variables and this standard input.
fn load_all(arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Result<Loaded, String> {
    let report = |error: ConfigError| error.report();
    let arguments = arguments.iter().map(OsString::from);
    let sources = match command_line::parse(arguments).map_err(|error| report(error.into()))? {
        Invocation::Run(sources) => sources,
        other => panic!("not a run: {other:?}"),
    };
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load(&sources, environment, &mut stdin.as_bytes()).map_err(report)
}

fn settings(arguments: &[&str]) -> Settings {
    load_all(arguments, &[], "").unwrap().settings
}

fn write(directory: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn nothing_given_is_the_defaults() {
    let loaded = load_all(&[], &[], "port 1").unwrap();
    assert_eq!(loaded.settings.port, 6379, "standard input is not read unless asked for");
    assert_eq!(loaded.config_file, None);
    assert!(loaded.notes.is_empty());
}

#[test]
fn each_layer_overrides_those_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "redis.conf", "port 1001\nrepl-timeout 11\nrequirepass file\n");
    let stdin = "port 1002\nrepl-timeout 12\n";
    let environment = [("REJOIN_PORT", "1003"), ("REJOIN_REPL_TIMEOUT", "13")];

    let loaded = load_all(&[&file], &[], "").unwrap();
    assert_eq!((loaded.settings.port, loaded.config_file.unwrap().to_str().unwrap()), (1001, file.as_str()));
    assert_eq!(load_all(&[&file, "-"], &[], stdin).unwrap().settings.port, 1002);
    assert_eq!(load_all(&[&file, "-"], &environment, stdin).unwrap().settings.port, 1003);
    let all = load_all(&[&file, "--port", "1004", "-"], &environment, stdin).unwrap().settings;
    assert_eq!((all.port, all.repl_timeout_seconds, all.requirepass.as_str()), (1004, 13, "file"));
}

#[test]
fn the_command_line_is_that_of_redis_server() {
    let set = settings(&["--save", "", "--port", "1"]);
    assert_eq!(set.port, 1);
    assert_eq!(settings(&["--save", "--port", "2"]).port, 2);
    assert_eq!(settings(&["--PORT 3"]).port, 3);
    let master = Some(("127.0.0.1".to_owned(), 6379));
    assert_eq!(settings(&["--replicaof", "127.0.0.1", "6379"]).replicaof, master);
    assert_eq!(settings(&["--replicaof", "127.0.0.1 6379"]).replicaof, master);
    assert_eq!(settings(&["--bind", "127.0.0.1", "::1", "--port", "4"]).bind, ["127.0.0.1", "::1"]);
    assert_eq!(settings(&["--requirepass", "--port"]).requirepass, "--port");
    assert_eq!(settings(&["--requirepass", "a \"b"]).requirepass, "a \"b", "values are taken as they are");
}

#[test]
fn a_wrong_directive_is_named_as_redis_server_does() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "redis.conf", "# fine\nport 1001\n\nprot 1\n");
    let report = load_all(&[&file], &[], "").unwrap_err();
    let lines: Vec<&str> = report.trim().lines().collect();
    assert!(lines[0].starts_with("*** FATAL CONFIG FILE ERROR (Rejoin "), "{report}");
    assert_eq!(lines[1], format!("Reading the configuration file, at line 4 of {file}"));
    assert_eq!(lines[2], ">>> 'prot 1'");
    assert!(lines[3].starts_with("Bad directive or wrong number of arguments"), "{report}");
    assert!(lines[3].contains("'port'"), "{report}");
    assert_eq!(lines.len(), 4);

    let report = load_all(&["--port", "abc"], &[], "").unwrap_err();
    assert!(
        report.contains(
            "\nReading the command line\n>>> 'port \"abc\"'\nargument couldn't be parsed into an integer"
        ),
        "{report}"
    );
    let report = load_all(&["-"], &[], "\nrequirepass \"x\n").unwrap_err();
    assert!(
        report.contains("standard input, at line 2\n>>> 'requirepass \"x'\nUnbalanced quotes"),
        "{report}"
    );
    assert!(load_all(&["-p", "1"], &[], "").unwrap_err().contains(">>> '-p'"));
    assert!(load_all(&["/nonexistent/redis.conf"], &[], "").unwrap_err().contains("can't open config file"));
}

#[test]
fn the_first_wrong_directive_is_the_one_that_is_named() {
    for _ in 0..8 {
        let report = load_all(&["-"], &[], "aaa 1\nbbb 2\nccc 3\nddd 4\n").unwrap_err();
        assert!(report.contains(">>> 'aaa 1'"), "{report}");
    }
}

#[test]
fn included_files_stand_where_they_are_included() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    write(directory.path(), "10.conf", "port 10\nrequirepass ten\n");
    write(directory.path(), "20.conf", "port 20\n");
    write(directory.path(), ".30.conf", "port 30\n");
    let main = write(
        directory.path(),
        "main",
        format!(
            "requirepass main\ninclude {}\ninclude {}\nrepl-timeout 7\n",
            at("*.conf"),
            at("none-*.conf")
        ),
    );
    let set = settings(&[&main]);
    assert_eq!((set.port, set.requirepass.as_str(), set.repl_timeout_seconds), (20, "ten", 7));
    assert_eq!(settings(&["--include", &at("10.conf"), "--port", "11"]).port, 11);

    let broken = write(directory.path(), "broken", format!("port 1\ninclude {}\n", at("missing")));
    assert!(load_all(&[&broken], &[], "").unwrap_err().contains("missing': No such file"));
    write(directory.path(), "10.conf", "\nport ten\n");
    let report = load_all(&[&main], &[], "").unwrap_err();
    assert!(report.contains(&format!("at line 2 of {}", at("10.conf"))), "{report}");
}

#[test]
fn includes_without_end_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let cycle = write(directory.path(), "a", format!("include {}\n", at("b")));
    write(directory.path(), "b", format!("include {}\n", at("a")));
    assert!(load_all(&[&cycle], &[], "").unwrap_err().contains("includes itself"));

    for level in 0..40 {
        write(
            directory.path(),
            &format!("deep{level}"),
            format!("include {}\n", at(&format!("deep{}", level + 1))),
        );
    }
    assert!(load_all(&[&at("deep0")], &[], "").unwrap_err().contains("16 deep"));

    for level in 0..12 {
        let next = at(&format!("wide{}", level + 1));
        write(directory.path(), &format!("wide{level}"), format!("include {next}\ninclude {next}\n"));
    }
    write(directory.path(), "wide12", "port 1\n");
    assert!(load_all(&[&at("wide0")], &[], "").unwrap_err().contains("more than 256 files"));
    assert!(load_all(&["/dev/zero"], &[], "").unwrap_err().contains("is longer than"));
}

#[test]
fn variables_are_settings_with_underscores() {
    let environment = [
        ("REJOIN_REPLICAOF", "127.0.0.1 7000"),
        ("REJOIN_REQUIREPASS", "\"two words\""),
        ("REJOIN_SAVE", ""),
        ("REJOIN_SERVICE_HOST", "10.0.0.7"),
        ("PATH", "/bin"),
    ];
    let loaded = load_all(&[], &environment, "").unwrap();
    assert_eq!(loaded.settings.replicaof, Some(("127.0.0.1".to_owned(), 7000)));
    assert_eq!(loaded.settings.requirepass, "two words");
    assert_eq!(loaded.notes.len(), 1);
    assert!(loaded.notes[0].contains("REJOIN_SERVICE_HOST is ignored"), "{:?}", loaded.notes);

    let platform = load_all(&[], &[("REJOIN_PORT", "tcp://10.0.0.7:7379")], "").unwrap();
    assert_eq!((platform.settings.port, platform.notes.len()), (6379, 1));
    let report = load_all(&[], &[("REJOIN_PORT", "high")], "").unwrap_err();
    assert!(report.contains("Reading the environment variable REJOIN_PORT\n>>> 'port \"high\"'"), "{report}");
}

#[test]
fn toml_has_the_same_names() {
    let directory = tempfile::tempdir().unwrap();
    let text = "# ours\nport = 1001\nbind = [\"127.0.0.1\", \"::1\"]\nreplicaof = \"127.0.0.1 7000\"\n";
    let file = write(directory.path(), "rejoin.toml", text);
    let set = settings(&[&file]);
    assert_eq!((set.port, set.bind.len()), (1001, 2));
    assert_eq!(set.replicaof, Some(("127.0.0.1".to_owned(), 7000)));
    assert_eq!(settings(&[&file, "--port", "7"]).port, 7);

    write(directory.path(), "rejoin.toml", "port = 1001\nprot = 1\n");
    let report = load_all(&[&file], &[], "").unwrap_err();
    assert!(report.contains("at line 2 of") && report.contains(">>> 'prot = 1'"), "{report}");
    write(directory.path(), "rejoin.toml", "[port]\na = 1\n");
    assert!(load_all(&[&file], &[], "").unwrap_err().contains("a setting is a string"));
    write(directory.path(), "rejoin.toml", "port = \n");
    assert!(load_all(&[&file], &[], "").unwrap_err().contains("rejoin.toml"));
}

#[test]
fn an_operator_hears_of_settings_without_effect() {
    let loaded =
        load_all(&["--appendonly", "yes", "--aof-timestamp-enabled", "yes", "--pidfile", "x.pid"], &[], "")
            .unwrap();
    assert_eq!(
        loaded.notes,
        ["These settings are known, but nothing acts on them yet: aof-timestamp-enabled yes"]
    );
}

#[test]
fn repeated_directives_add_up_across_layers() {
    let text = "client-output-buffer-limit normal 1mb 0 0\nsave 900 1\nsave 300 10\n";
    let arguments =
        ["-", "--client-output-buffer-limit", "replica", "2mb", "1mb", "5", "--save", "60", "1000"];
    let set = load_all(&arguments, &[], text).unwrap().settings;
    let limits = set.get("client-output-buffer-limit").unwrap();
    assert_eq!(limits, "normal 1048576 0 0 slave 2097152 1048576 5 pubsub 33554432 8388608 60");
    assert_eq!(set.get("save").unwrap(), "900 1 300 10 60 1000");
    let set = load_all(&["-", "--save", ""], &[], text).unwrap().settings;
    assert_eq!(set.get("save").unwrap(), "");
}

#[test]
fn comments_may_be_in_any_encoding_but_directives_are_utf8() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "redis.conf", b"# caf\xe9\nport 1001\n");
    assert_eq!(settings(&[&file]).port, 1001);
    write(directory.path(), "redis.conf", b"port 1001\nrequirepass caf\xe9\n");
    assert!(load_all(&[&file], &[], "").unwrap_err().contains("at line 2"));
    write(directory.path(), "redis.conf", br#"requirepass "caf\xe9""#);
    assert!(load_all(&[&file], &[], "").unwrap_err().contains("not valid UTF-8"));
}

#[test]
fn the_configuration_of_a_stock_package_is_understood() {
    // Installed with redis-server's package, readable by its owner's group only.
    let Ok(text) = fs::read("/etc/redis/redis.conf") else { return };
    let text = String::from_utf8(text).unwrap();
    let directives = redis_conf::parse(&text, |line| line.to_string()).unwrap();
    assert!(directives.iter().any(|directive| directive.name == "replica-serve-stale-data"));
    let set = settings(&["/etc/redis/redis.conf", "--port", "7379"]);
    assert_eq!(
        (set.port, set.bind.as_slice()),
        (7379, ["127.0.0.1".to_owned(), "-::1".to_owned()].as_slice())
    );
}

proptest! {
    #[test]
    fn any_arguments_are_loaded_or_refused(
        arguments in proptest::collection::vec("(--)?(port|save|bind|include|-|)[ \"'\\\\x0-9a-z]{0,8}", 0..6),
        value in any::<String>(),
    ) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // A first argument without hyphens would be a file.
        let arguments = [&["--port", "1"], arguments.as_slice()].concat();
        let _ = load_all(&arguments, &[("REJOIN_BIND", &value)], &value);
    }
}
