//! The bodies of the fuzz targets for the log's files. They check more than "no panic": what is accepted can be written,
//! the same bytes in other pieces mean the same, and another reader agrees.
//!
//! The crate in `fuzz/` feeds them by coverage; the tests at the end drive them with mutated seeds on every test run.
//! They panic where a property fails, which is their way to report.
#![allow(missing_docs)]

use rejoin_protocol::resp::{RequestLimits, RequestParser, encode_command};

use crate::{
    aof::{ANNOTATION_BYTES_MAX, AofError, Scanner},
    manifest::Manifest,
};

/// Reads any manifest; what is accepted must survive being written, and leave room for the next files.
pub fn manifest(data: &[u8]) {
    match Manifest::parse(data) {
        Err(error) => {
            let lines = data.iter().filter(|byte| **byte == b'\n').count() + data.len() / 1024 + 1;
            assert!(error.line as usize <= lines, "there is no line {}", error.line);
            assert!(error.report().iter().all(|line| !line.is_empty()), "a report says something");
        }
        Ok(manifest) => {
            let written = manifest.write();
            if !written.is_empty() {
                assert_eq!(
                    Manifest::parse(&written).as_ref(),
                    Ok(&manifest),
                    "what was read must be writable"
                );
            }
            assert!(manifest.base.iter().all(|base| base.seq < manifest.next_base_seq()));
            assert!(manifest.increments.iter().all(|file| file.seq < manifest.next_increment_seq()));
            assert!(manifest.live().all(|file| !file.name.contains('/')), "no name leads out of the folder");
        }
    }
}

/// The first byte chooses the sizes of the pieces and a time to stop at, the rest is an append-only file.
pub fn aof(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let scanner = match choice % 3 {
        0 => Scanner::new(0).until(i64::from(*choice)),
        _ => Scanner::new(0),
    };
    let whole = scan(bytes, bytes.len().max(1), scanner.clone());
    let pieces = scan(bytes, 1 + usize::from(choice / 3) % 24, scanner);
    assert_eq!(whole, pieces, "the same bytes in pieces were read otherwise");
    assert!(whole.border <= whole.position && whole.position <= bytes.len() as u64);
    let before = scan(&bytes[..whole.border as usize], 1 << 20, Scanner::new(0));
    assert_eq!((before.end, before.border), (Ok(()), whole.border), "what is before the border is whole");

    let read = read_commands(bytes);
    let scanned = scan(&bytes[..read.len], 1 << 20, Scanner::new(0));
    assert_eq!(
        (scanned.position, scanned.border, scanned.commands),
        (read.len as u64, read.border as u64, read.commands),
        "commands in their usual form were not found"
    );
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    end: Result<(), AofError>,
    border: u64,
    position: u64,
    commands: u64,
    lines: u64,
    selected: Option<u32>,
    stopped: Option<u64>,
}

fn scan(bytes: &[u8], piece: usize, mut scanner: Scanner) -> Seen {
    for piece in bytes.chunks(piece) {
        assert_eq!(scanner.push(piece).err(), scanner.error());
    }
    Seen {
        end: scanner.finish(),
        border: scanner.border(),
        position: scanner.position(),
        commands: scanner.commands(),
        lines: scanner.lines(),
        selected: scanner.selected_db().map(|db| db.get()),
        stopped: scanner.stopped(),
    }
}

/// What another reader finds, up to the first thing that is no command in the form in which we write them.
#[derive(Default)]
struct Read {
    len: usize,
    border: usize,
    commands: u64,
    is_in_multi: bool,
}

fn read_commands(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    while let Some(len) = read.next(&bytes[read.len..]) {
        read.len += len;
        if !read.is_in_multi {
            read.border = read.len;
        }
    }
    read
}

impl Read {
    fn next(&mut self, rest: &[u8]) -> Option<usize> {
        if rest.first() == Some(&b'#') {
            let len = rest.iter().position(|byte| *byte == b'\n')? + 1;
            return (len as u64 <= ANNOTATION_BYTES_MAX).then_some(len);
        }
        let (mut buf, mut ranges) = (rest.to_vec(), Vec::new());
        let parsed = RequestParser::default().parse(&mut buf, &RequestLimits::default(), &mut ranges);
        let len = parsed.ok().flatten()?;
        let args: Vec<&[u8]> = ranges.iter().map(|range| range.of(rest)).collect();
        let mut usual = Vec::new();
        encode_command(&mut usual, &args);
        if args.is_empty() || usual != rest[..len] {
            return None;
        }
        let is = |name: &[u8]| args[0].eq_ignore_ascii_case(name);
        if (is(b"MULTI") && self.is_in_multi) || (is(b"EXEC") && !self.is_in_multi) {
            return None;
        }
        self.is_in_multi = (self.is_in_multi || is(b"MULTI")) && !is(b"EXEC");
        self.commands += 1;
        Some(len)
    }
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

    /// Pieces of the grammars that mutations put anywhere.
    const WORDS: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"#",
        b"#TS:12\r\n",
        b"*1\r\n$4\r\nEXEC\r\n",
        b"*1\r\n$5\r\nmulti\r\n",
        b"*2\r\n$6\r\nSELECT\r\n$2\r\n11\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*03\r\n",
        b"$9223372036854775807\r\n",
        b"99999999999999999999",
        b"file ",
        b"seq ",
        b" type b\n",
        b" type i",
        b" startoffset ",
        b" endoffset ",
        b"-1",
        b"\"",
        b"'",
        b"\\x00",
        b"\\",
        b"/",
        b" ",
        b"\xff",
    ];

    fn drive(target: fn(&[u8]), seeds: &[&[u8]], rounds: usize) {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..rounds {
            let mut data = seeds[random.below(seeds.len())].to_vec();
            for _ in 0..random.below(6) {
                mutate(&mut data, &mut random);
            }
            target(&data);
        }
    }

    fn mutate(data: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(data.len() + 1);
        match random.below(5) {
            0 => data.truncate(at),
            1 if at < data.len() => data[at] = random.below(256) as u8,
            2 if at < data.len() => drop(data.drain(at..data.len().min(at + 1 + random.below(8)))),
            3 => {
                let again = data[at..data.len().min(at + random.below(40))].to_vec();
                data.splice(at..at, again);
            }
            _ => drop(data.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        }
    }

    #[test]
    fn mutated_manifests() {
        let seeds: &[&[u8]] = &[
            b"file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n",
            b"# x\nfile \"a b\" seq 3 type h\nfile c seq 4 type i startoffset -23 endoffset 100\nfile d seq 5 type i\n",
            b"FILE 'x' SEQ +7 TYPE incr k \"\\x41\"\r\n",
        ];
        drive(manifest, seeds, 80_000);
    }

    #[test]
    fn mutated_logs() {
        let seeds: &[&[u8]] = &[
            b"\x01*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nvvvvvvvvvvvv\r\n",
            b"\x1d#TS:10\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$0\r\n\r\n*1\r\n$4\r\nEXEC\r\n#TS:40\r\n*1\r\n$4\r\nPING\r\n",
            b"\x07*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
        ];
        drive(aof, seeds, 80_000);
    }
}
