//! What false masters say, line by line.

use super::fake_master::{Said, Script};

const REPLID: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER_REPLID: &str = "ffffffffffffffffffffffffffffffffffffffff";
const MARK: &[u8; 40] = b"0123456789ABCDEF0123456789ABCDEF01234567";

/// Of a master without data.
const EMPTY_RDB: &[u8] = b"REDIS0010\xff\0\0\0\0\0\0\0\0";

/// All scripts.
pub(super) const ALL: &[Script] = &[
    script("garbage to PING", || to("PING", b"hello there\r\n")),
    script("binary garbage to PING", || to("PING", &(0..=255).collect::<Vec<u8>>())),
    script("a line without an end to PING", || to("PING", &vec![b'a'; 1 << 20])),
    script("an error to PING", || to("PING", b"-ERR go away\r\n")),
    script("closes before it says anything", || to("PING", b"")),
    script("garbage to REPLCONF", || to("REPLCONF", b"$5\r\nhello\r\n*3\r\n")),
    script("FULLRESYNC without anything", || psync(b"+FULLRESYNC\r\n")),
    script("FULLRESYNC with a short replid", || psync(b"+FULLRESYNC abc 0\r\n")),
    deadly("FULLRESYNC with an offset of no number", || {
        psync(format!("+FULLRESYNC {REPLID} abc\r\n$5\r\nhello").as_bytes())
    }),
    script("CONTINUE with a short replid", || psync(b"+CONTINUE abc\r\n")),
    deadly("CONTINUE, then garbage", || {
        psync(format!("+CONTINUE {OTHER_REPLID}\r\n$$$\x00\x01\r\n").as_bytes())
    }),
    deadly("CONTINUE, then an inline command", || {
        psync(format!("+CONTINUE {OTHER_REPLID}\r\nDEL marker\r\n").as_bytes())
    }),
    deadly("CONTINUE, then an array of -5", || {
        psync(format!("+CONTINUE {OTHER_REPLID}\r\n*1\r\n$-5\r\n").as_bytes())
    }),
    deadly("CONTINUE, then a bulk of 2^63 bytes", || {
        psync(format!("+CONTINUE {OTHER_REPLID}\r\n*1\r\n$9223372036854775808\r\n").as_bytes())
    }),
    deadly("CONTINUE, then an array of 2^63", || {
        psync(format!("+CONTINUE {OTHER_REPLID}\r\n*9223372036854775808\r\n").as_bytes())
    }),
    deadly("CONTINUE, then a command nobody knows", || {
        psync(format!("+CONTINUE {OTHER_REPLID}\r\n*2\r\n$5\r\nwaste\r\n$6\r\nmarker\r\n").as_bytes())
    }),
    deadly("CONTINUE, then EVAL as before Redis 5", || {
        psync(
            format!(
                "+CONTINUE {OTHER_REPLID}\r\n*3\r\n$4\r\nEVAL\r\n$26\r\nredis.call('DEL','marker')\r\n$1\r\n0\r\n"
            )
            .as_bytes(),
        )
    }),
    script("FULLRESYNC with a replid of no hexadecimal digits", || {
        psync(format!("+FULLRESYNC {} 1000\r\n", "z".repeat(40)).as_bytes())
    }),
    script("FULLRESYNC with an offset past all", || {
        psync(format!("+FULLRESYNC {REPLID} 99999999999999999999\r\n").as_bytes())
    }),
    deadly("FULLRESYNC back to the beginning, and no data", || {
        psync(&[format!("+FULLRESYNC {REPLID} 0\r\n").as_bytes(), &streamed(EMPTY_RDB, MARK)].concat())
    }),
    script("INFO of 2^63 bytes", || to("INFO", b"$9223372036854775808\r\nrole:master\r\n")),
    script("INFO that does not end", || to("INFO", b"$100000\r\nrole:master\r\n")),
    script("INFO that is an array", || to("INFO", b"*2\r\n$1\r\na\r\n")),
    script("INFO of another stream's end, then nothing", || to("INFO", b"$4\r\nhuh?\r\n+CONTINUE\r\n")),
    script("NOMASTERLINK", || psync(b"-NOMASTERLINK no link\r\n")),
    script("a line without an end to PSYNC", || psync(&vec![b'+'; 1 << 20])),
    script("a payload of no number", || full_sync(b"$abc\r\n")),
    script("a payload of -5 bytes", || full_sync(b"$-5\r\n")),
    script("a payload of 10^20 bytes", || full_sync(b"$99999999999999999999\r\nREDIS")),
    script("no payload at all", || full_sync(b"+OK\r\n")),
    script("a short EOF mark", || full_sync(b"$EOF:abc\r\nREDIS0010")),
    script("half a payload of a stated length", || full_sync(&[b"$100000\r\n", &rdb("good")[..]].concat())),
    script("half a payload with an EOF mark", || full_sync(&streamed(&rdb("good")[..20], b""))),
    script("payload with a wrong EOF mark", || full_sync(&streamed(&rdb("good"), &[b'x'; 40]))),
    deadly("payload that is no RDB", || full_sync(&streamed(b"this is not an RDB file", MARK))),
    deadly("RDB of version 99", || full_sync(&streamed(&[b"REDIS0099", &rdb("good")[9..]].concat(), MARK))),
    deadly("RDB with a wrong checksum", || full_sync(&streamed(&rdb("wrong checksum"), MARK))),
    deadly("RDB with an unknown type", || full_sync(&streamed(&rdb("unknown type"), MARK))),
    deadly("RDB with a string of 4 GB", || full_sync(&streamed(&rdb("long string"), MARK))),
    deadly("RDB with a hash of 2^62 fields", || full_sync(&streamed(&rdb("large hash"), MARK))),
    deadly("RDB with a bad listpack", || full_sync(&streamed(&rdb("bad listpack"), MARK))),
    deadly("RDB with the same key twice", || full_sync(&streamed(&rdb("same key twice"), MARK))),
    deadly("RDB that ends without its end", || full_sync(&streamed(&rdb("no end"), MARK))),
];

const fn script(name: &'static str, lines: fn() -> Vec<Said>) -> Script {
    Script { name, lines, stock_survives: true }
}

/// One that ends a stock server's process, at least sometimes, or makes it drop its data before it looks.
const fn deadly(name: &'static str, lines: fn() -> Vec<Said>) -> Script {
    Script { name, lines, stock_survives: false }
}

fn to(command: &'static str, bytes: &[u8]) -> Vec<Said> {
    vec![Said { to: command, bytes: bytes.to_vec() }]
}

fn psync(reply: &[u8]) -> Vec<Said> {
    to("PSYNC", reply)
}

fn full_sync(payload: &[u8]) -> Vec<Said> {
    psync(&[format!("+FULLRESYNC {REPLID} 1000\r\n").as_bytes(), payload].concat())
}

fn streamed(payload: &[u8], mark: &[u8]) -> Vec<u8> {
    [b"$EOF:", &MARK[..], b"\r\n", payload, mark].concat()
}

/// A small RDB with one key, damaged as `damage` says. Checksums of zero count as unchecked.
fn rdb(damage: &str) -> Vec<u8> {
    let key = b"\x05evil!";
    let body: Vec<u8> = match damage {
        "unknown type" => [b"\x63", &key[..], b"\x05value"].concat(),
        "long string" => [b"\x00", &key[..], b"\x80\xff\xff\xff\xffvalue"].concat(),
        "large hash" => [b"\x04", &key[..], b"\x81\x40\x00\x00\x00\x00\x00\x00\x00f1v1"].concat(),
        "bad listpack" => [b"\x10", &key[..], b"\x08\xff\xff\xff\xff\x00\x00\x00\x00"].concat(),
        "same key twice" => [b"\x00", &key[..], b"\x05value\x00", &key[..], b"\x05value"].concat(),
        _ => [b"\x00", &key[..], b"\x05value"].concat(),
    };
    let end: &[u8] = match damage {
        "no end" => b"",
        "wrong checksum" => b"\xff\x01\x02\x03\x04\x05\x06\x07\x08",
        _ => b"\xff\x00\x00\x00\x00\x00\x00\x00\x00",
    };
    [b"REDIS0010\xfe\x00\xfb\x01\x00", &body[..], end].concat()
}
