//! Manifests beside redis-check-aof 7.0: both accept or refuse the same, in the same words.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::process::Command;

use rejoin_persistence::manifest::{Manifest, ManifestError, ManifestFile, ManifestFlaw};

const COMMAND: &str = "*1\r\n$4\r\nPING\r\n";

/// What redis-check-aof says of a manifest beside the files `a` and `b`: whether it took the manifest, and its output.
fn redis_says(manifest: &[u8]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("appendonly.aof.manifest");
    fs::write(&path, manifest).unwrap();
    for name in ["a", "b"] {
        fs::write(folder.path().join(name), COMMAND).unwrap();
    }
    let output = Command::new("redis-check-aof").arg(&path).output().expect("redis-check-aof is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

/// Whether it is one of ours, which Redis takes.
fn is_ours(flaw: ManifestFlaw) -> bool {
    matches!(
        flaw,
        ManifestFlaw::NameIsNoText
            | ManifestFlaw::NameTooLong
            | ManifestFlaw::SeqTooLarge
            | ManifestFlaw::SameFileTwice
    )
}

/// One line as generated from `choice`: words of the grammar, good and bad ones.
fn generated_line(mut choice: u64) -> String {
    let mut pick = |words: &[&'static str]| {
        let word = words[(choice % words.len() as u64) as usize];
        choice /= words.len() as u64;
        word
    };
    let key = pick(&["file", "file", "file", "file", "file", "FILE", "fil"]);
    let name = pick(&["a", "b", "\"a\"", "\"b\"", "'a'", "\"\\x61\"", "b", "a", "\"b", "a/b"]);
    let seq = pick(&["1", "2", "3", "+7z", "\" 5\"", "4", "6", "8", "0", "-4", "x"]);
    let kind = pick(&["i", "i", "b", "h", "incr", "h", "i", "base", "x", "\"\""]);
    let tail = pick(&["", "", " startoffset 5", " k", " k v", " \t", " endoffset -7"]);
    let end = pick(&["\n", "\n", "\n", "\n", "\n", "\r\n", "\n# c\n", ""]);
    format!("{key} {name} seq {seq} type {kind}{tail}{end}")
}

#[test]
fn redis_check_aof_takes_and_refuses_the_same() {
    let mut seed: u64 = 0x5eed;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..250 {
        let manifest: String = (0..next() % 4).map(|_| generated_line(next())).collect();
        // Redis finds what is no manifest by its first word, and goes on with it as with a log.
        if !manifest.split('\n').any(|line| line.starts_with("file")) {
            continue;
        }
        let (is_fine, text) = redis_says(manifest.as_bytes());
        match Manifest::parse(manifest.as_bytes()) {
            Ok(_) => {
                taken += 1;
                assert!(is_fine, "{manifest:?}: {text}");
            }
            Err(ManifestError { flaw, .. }) if is_ours(flaw) => {}
            Err(error) => {
                refused += 1;
                assert!(!is_fine, "{manifest:?}: {error}, but {text}");
                for line in error.report() {
                    assert!(text.contains(&line), "{manifest:?}: {line:?} is not in {text}");
                }
            }
        }
    }
    assert!(taken > 20 && refused > 20, "{taken} and {refused}: too few to say anything");
}

#[test]
fn redis_check_aof_reads_every_name_that_we_write() {
    for name in ["a b", "it's", "\"", "gr\u{fc}n \u{442}", "tab\tbell\x07\x08\r\n\x1b", "\x7f", "#", "'"] {
        let folder = tempfile::tempdir().unwrap();
        let increment = ManifestFile::increment(name, 1, 1000, 23);
        fs::write(folder.path().join(&increment.name), COMMAND).unwrap();
        let path = folder.path().join("m");
        let manifest = Manifest { increments: vec![increment], ..Manifest::default() };
        fs::write(&path, manifest.write()).unwrap();
        let output =
            Command::new("redis-check-aof").arg(&path).output().expect("redis-check-aof is installed");
        assert!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
