//! The body of the fuzz target for the configuration. It checks more than "no panic": what is taken from a file, CONFIG
//! REWRITE writes so that it is taken again, and rewriting twice is rewriting once.
//!
//! The crate in `fuzz/` feeds it by coverage; the test at the end drives it with mutated seeds on every test run. It
//! follows no `include`, which would read whatever lies on the machine.
#![allow(missing_docs)]

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use super::{Directive, Settings, command_line, layers, redis_conf, toml::Toml};
use ::config::Format as _;

/// The first byte chooses where the rest stands: a file, CONFIG SET, arguments, variables, TOML.
pub fn configuration(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 5 {
        0 => a_file(rest),
        1 => changes(rest),
        2 => {
            let arguments = rest.split(|&byte| byte == b'\n').map(|word| OsString::from_vec(word.to_vec()));
            if let Ok(command_line::Invocation::Run(sources)) = command_line::parse(arguments) {
                taken(&sources.command_line);
            }
        }
        3 => {
            let variables = rest.split(|&byte| byte == b'\n').filter_map(|line| {
                let at = line.iter().position(|&byte| byte == b'=')?;
                let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
                Some((part(&line[..at]), part(&line[at + 1..])))
            });
            taken(&layers::variables(variables, &mut Vec::new()));
        }
        _ => {
            if let Ok(text) = str::from_utf8(rest) {
                let _ = Toml.parse(None, text);
            }
        }
    }
}

/// The settings that the directives give, those that are refused left out, and which were not.
fn taken(directives: &[Directive]) -> (Settings, Vec<&Directive>) {
    let mut settings = Settings::default();
    let mut good = Vec::new();
    for directive in directives {
        let values: Vec<&str> = directive.values.iter().map(String::as_str).collect();
        let before = settings.clone();
        match settings.set(&directive.name, &values) {
            Ok(()) => good.push(directive),
            Err(error) => {
                assert!(settings.changed_from(&before).is_empty(), "refused, but taken: {error}");
            }
        }
    }
    (settings, good)
}

fn a_file(bytes: &[u8]) {
    let Ok(text) = super::read::decode(bytes.to_vec(), |line| line.to_string()) else { return };
    let Ok(directives) = redis_conf::parse(&text, |line| line.to_string()) else { return };
    let (settings, good) = taken(&directives);
    let accepted: String =
        good.iter().map(|directive| format!("{}\n# between\n\n\n", directive.text)).collect();
    let again = settings_of(accepted.as_bytes());
    assert!(settings.changed_from(&again).is_empty(), "the same lines mean the same");
    is_reused(&settings, accepted.as_bytes());
}

/// CONFIG SET, by lines of a name and a value.
fn changes(bytes: &[u8]) {
    let mut settings = Settings::default();
    for line in bytes.split(|&byte| byte == b'\n') {
        let at = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let (name, value) = (&line[..at], line.get(at + 1..).unwrap_or_default());
        let before = settings.clone();
        if settings.change(name, value).is_err() {
            assert!(settings.changed_from(&before).is_empty(), "refused, but taken");
        }
    }
    is_reused(&settings, b"# a file\nsave 1 1\nhz 11\n\nport 1\nclient-output-buffer-limit normal 1 1 1");
}

fn is_reused(settings: &Settings, file: &[u8]) {
    let rewritten = settings.rewrite(file);
    let again = settings_of(&rewritten);
    let lost = settings.changed_from(&again);
    assert!(lost.is_empty(), "not written back: {lost:?}\n{}", String::from_utf8_lossy(&rewritten));
    assert_eq!(settings.rewrite(&rewritten), rewritten, "rewriting again changes something");
}

fn settings_of(file: &[u8]) -> Settings {
    let text = super::read::decode(file.to_vec(), |line| line.to_string()).expect("it was text before");
    let directives = redis_conf::parse(&text, |line| line.to_string()).expect("it could be read before");
    let (settings, good) = taken(&directives);
    assert_eq!(good.len(), directives.len(), "it was taken before");
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (xorshift), so that every run tests the same inputs and a failure comes back.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 16) as usize % limit
        }
    }

    /// What mutations put anywhere, beside the names of settings.
    const WORDS: &[&[u8]] = &[
        b"\n",
        b" ",
        b"\"",
        b"'",
        b"\\",
        b"\\x00",
        b"\\xff",
        b"\xff",
        b"\0",
        b"#",
        b"--",
        b"-",
        b"yes",
        b"no",
        b"REJOIN_",
        b"=",
        b"1gb",
        b"-1",
        b"9223372036854775808",
        b"100%",
        b"101%",
        b"KEA",
        b"normal 0 0 0",
        b"replica 1k 1m 1",
        b"900 1",
        b"no one",
        b"127.0.0.1 6379",
        b"0777",
        b"nosave now",
        b"TLSv1.2",
        b"[",
        b"]",
        b"\xc2\xa0",
        b"\r",
        b"\t",
        b"include x",
        b"0 100 200",
        b"50 99.9",
    ];

    fn mutate(data: &mut Vec<u8>, names: &[&'static str], random: &mut Random) {
        let at = random.below(data.len() + 1);
        match random.below(6) {
            0 => data.truncate(at),
            1 if at < data.len() => data[at] = random.below(256) as u8,
            2 if at < data.len() => drop(data.drain(at..data.len().min(at + 1 + random.below(8)))),
            3 => {
                let again = data[at..data.len().min(at + random.below(40))].to_vec();
                data.splice(at..at, again);
            }
            4 => {
                let line = format!("\n{} ", names[random.below(names.len())]);
                data.splice(at..at, line.bytes());
            }
            _ => drop(data.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        }
    }

    #[test]
    fn mutated_configurations() {
        let seeds: &[&[u8]] = &[
            b"\x00# c\nport 6380\nsave 900 1\nsave 300 10\nbind 127.0.0.1 -::1\nmaxmemory 1gb\nrequirepass \"a b\"\n",
            b"\x00client-output-buffer-limit replica 1gb 2mb 9\nslaveof 10.0.0.1 6379\nunixsocketperm 700\nhz 1000\n",
            b"\x00notify-keyspace-events KEA\noom-score-adj-values 0 200 800\nmaxmemory-clients 5%\ndir /\n",
            b"\x01port 1\nsave 60 1\nmasterauth x\"y z\nshutdown-on-sigterm nosave now\nbind a\"b *\n",
            b"\x02redis.conf\n--port\n7379\n--save\n\n--bind\n127.0.0.1\n::1\n--requirepass\n--x\n-",
            b"\x03REJOIN_PORT=7379\nREJOIN_SAVE=\nREJOIN_BIND=127.0.0.1 \"::1\"\nREJOIN_X=1",
            b"\x04port = 1\nbind = [\"127.0.0.1\", \"::1\"]\nsave = [[\"1\", \"2\"]]\n[x]\ny = true",
        ];
        let names = Settings::default().names();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..8_000 {
            let mut data = seeds[random.below(seeds.len())].to_vec();
            for _ in 0..random.below(6) {
                mutate(&mut data, names, &mut random);
            }
            configuration(&data);
        }
    }
}
