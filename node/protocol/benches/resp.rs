//! How long RESP takes, in nanoseconds per command or reply: `cargo bench -p rejoin-protocol`. No framework: the best of
//! several rounds is what the code can do, the rest is the machine.
#![allow(clippy::print_stdout, clippy::expect_used, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use rejoin_protocol::number::{LongDouble, format_g17};
use rejoin_protocol::resp::{
    CommandWriter, ReplyWriter, RequestLimits, RequestParser, RespVersion, Response, encode_command,
};

const ROUNDS: usize = 30;
const READ_BYTES: usize = 16 << 10;

fn main() {
    for (name, command, count) in [
        ("SET key16 value16", set(16), 100_000),
        ("SET key16 value1024", set(1024), 10_000),
        ("PING", encoded(&[b"PING"]), 100_000),
        ("PING inline", b"PING\r\n".to_vec(), 100_000),
    ] {
        let mut stream = command.repeat(count);
        report(&format!("parse {name}, whole buffer"), count, || parse_in_reads(&mut stream, usize::MAX));
        report(&format!("parse {name}, 16 KiB reads"), count, || parse_in_reads(&mut stream, READ_BYTES));
    }
    let mut mset = mset(100_000);
    report("parse MSET of 100k pairs, whole, per pair", 100_000, || parse_in_reads(&mut mset, usize::MAX));
    report("parse MSET of 100k pairs, 16 KiB reads, per pair", 100_000, || {
        parse_in_reads(&mut mset, READ_BYTES)
    });
    replies();
}

fn replies() {
    const COUNT: usize = 100_000;
    let value = [b'x'; 64];
    let mut out = Vec::with_capacity(COUNT * 128);
    let mut written = |name: &str, write: &dyn Fn(&mut ReplyWriter<'_>, usize)| {
        report(&format!("reply {name}"), COUNT, || {
            out.clear();
            let mut writer = ReplyWriter::new(&mut out, RespVersion::Two);
            (0..COUNT).for_each(|i| write(&mut writer, i));
            writer.len()
        });
    };
    written("+OK", &|w, _| w.ok());
    written("integer", &|w, i| w.integer(i as i64));
    written("bulk of 64 bytes", &|w, _| w.bulk(black_box(&value)));
    written("null", &|w, _| w.null());
    written("double 0.1", &|w, _| w.double(black_box(0.1)));
    let mut out = Vec::with_capacity(COUNT * 128);
    report("command writer SET key16 value16", COUNT, || {
        out.clear();
        for _ in 0..COUNT {
            CommandWriter::begin(&mut out, 3)
                .arg(b"SET")
                .arg(black_box(b"key:000000000016"))
                .arg(black_box(b"value:0000000016"))
                .finish();
        }
        out.len()
    });
    let reply = b"$64\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";
    report("read a bulk of 64 bytes", COUNT, || {
        (0..COUNT).filter(|_| Response::parse(black_box(reply)).is_ok()).count()
    });
    report("format %.17g", COUNT, || (0..COUNT).map(|i| format_g17(i as f64 * 0.37).len()).sum());
    report("INCRBYFLOAT's parse, add, print", COUNT, || {
        let step = LongDouble::parse(black_box(b"0.1")).expect("a number");
        (0..COUNT)
            .filter_map(|_| LongDouble::parse(black_box(b"3.14159265358979"))?.checked_add(step))
            .map(|sum| sum.to_human_string().len())
            .sum()
    });
}

/// Prints the best time of a few rounds, each of which does `count` things.
fn report(name: &str, count: usize, mut round: impl FnMut() -> usize) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(round());
            start.elapsed()
        })
        .min()
        .expect("there are rounds");
    println!("{name:<52} {:>8.1} ns", best.as_nanos() as f64 / count as f64);
}

/// Parses the stream as a connection does, `read` more bytes at a time, dropping each command's arguments.
fn parse_in_reads(stream: &mut [u8], read: usize) -> usize {
    let limits = RequestLimits::default();
    let mut parser = RequestParser::default();
    let mut args = Vec::with_capacity(64);
    let (mut begin, mut filled, mut commands) = (0, 0, 0);
    while filled < stream.len() {
        filled = filled.saturating_add(read).min(stream.len());
        while let Some(len) =
            parser.parse(&mut stream[begin..filled], &limits, &mut args).expect("valid requests")
        {
            begin += len;
            commands += 1;
            black_box(&args);
            args.clear();
        }
    }
    assert_eq!(begin, stream.len());
    commands
}

fn encoded(args: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_command(&mut out, args);
    out
}

fn set(value_bytes: usize) -> Vec<u8> {
    encoded(&[b"SET", b"key:000000000016", &vec![b'v'; value_bytes]])
}

fn mset(pairs: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = CommandWriter::begin(&mut out, 1 + 2 * pairs);
    writer.arg(b"MSET");
    for i in 0..2 * pairs {
        writer.arg(format!("{i:016}").as_bytes());
    }
    writer.finish();
    out
}
