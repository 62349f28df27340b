//! Two payloads, by hand, with every type, encoding and opcode that Redis and Valkey have written.

use super::{rdb, text, ziplist_of};

/// A listpack of elements that are encoded already, each with its length behind it.
pub(super) fn listpack_of(elements: &[&[u8]]) -> Vec<u8> {
    let body: Vec<u8> =
        elements.iter().flat_map(|element| [*element, &[element.len() as u8]].concat()).collect();
    let mut blob = (body.len() as u32 + 7).to_le_bytes().to_vec();
    blob.extend_from_slice(&(elements.len() as u16).to_le_bytes());
    blob.extend_from_slice(&body);
    blob.push(0xff);
    blob
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let compressed = lzf::compress(bytes).unwrap();
    [&[0xc3, compressed.len() as u8, 0x40 | (bytes.len() >> 8) as u8, bytes.len() as u8][..], &compressed]
        .concat()
}

/// A module's value or data: one of each kind of thing, and the end.
fn module_data() -> Vec<u8> {
    [
        &b"\x01\x05\x02\x41\x00\x03"[..],
        &1.5f32.to_le_bytes(),
        b"\x04",
        &2.5f64.to_le_bytes(),
        b"\x05\x03abc\x00",
    ]
    .concat()
}

/// The identity of a module type with its version.
const MODULE: &[u8] = b"\x81\x45\xe2\x52\x38\xdf\x91\x2c\x03";

/// A stream of the form of this type, with a group and a consumer.
fn stream(form: u8) -> Vec<u8> {
    let id = [7; 16];
    let mut bytes = [b"\x01\x10".as_slice(), &id, &text(&listpack_of(&[b"\x01", b"\x81f"]))].concat();
    bytes.extend_from_slice(b"\x01\x07\x07");
    if form >= 19 {
        bytes.extend_from_slice(b"\x01\x02\x03\x04\x05");
    }
    bytes.extend_from_slice(b"\x01\x05group\x07\x07");
    if form >= 19 {
        bytes.push(1);
    }
    bytes.push(1);
    bytes.extend_from_slice(&[&id[..], &[9; 8], &[1]].concat());
    bytes.extend_from_slice(b"\x01\x03bob");
    bytes.extend_from_slice(&[8; 8]);
    if form >= 21 {
        bytes.extend_from_slice(&[8; 8]);
    }
    bytes.push(1);
    bytes.extend_from_slice(&id);
    if form >= 27 {
        bytes.push(1);
        bytes.extend_from_slice(&id);
    }
    if form >= 26 {
        bytes.extend_from_slice(b"\x40\x64\x0a\x01\x03pid\x01\x03iid\x05\x06\x01\x02");
    }
    bytes
}

/// A key of a type with its value.
fn key(number: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[number, name.len() as u8][..], name.as_bytes(), value].concat()
}

/// What stands in both payloads: 23 keys that we have, 10 of them with an expiry in all.
fn common() -> Vec<Vec<u8>> {
    let pairs = [&b"\x81f"[..], b"\x82v1", b"\x01", b"\xdf\x80"];
    let triples = [&b"\x81f"[..], b"\x82v1", b"\x00", b"\x81g", b"\x05", b"\x00"];
    let ziplist = ziplist_of(&[b"\x01f", b"\x02v1", b"\xf2", b"\xfe\x80"]);
    let scores = ziplist_of(&[b"\x01f", b"\x031.5", b"\x01g", b"\xfe\x80"]);
    let zipmap = b"\x02\x01f\x02\x00v1\x01g\x02\x01v2X\xff";
    vec![
        b"\xfa\x09redis-ver\x058.0.0".to_vec(),
        b"\xfa\x0erepl-stream-db\xc0\x03".to_vec(),
        [&b"\xfa\x07repl-id\x28"[..], &[b'a'; 40]].concat(),
        b"\xfa\x0brepl-offset\xc0\x07".to_vec(),
        [&b"\xfa\x10rejoin-hash-seed\x20"[..], &[b'5'; 32]].concat(),
        b"\xf5\x12#!lua name=mylib\n;".to_vec(),
        [&b"\xf7"[..], MODULE, b"\x02\x01", &module_data()].concat(),
        b"\xfe\x00\xfb\x10\x02".to_vec(),
        b"\xf4\x01\x02\x03".to_vec(),
        key(0, "raw", &text(&[b'r'; 50])),
        key(0, "int8", b"\xc0\x85"),
        key(0, "int16", b"\xc1\x85\x01"),
        key(0, "int32", b"\xc2\x85\x01\x02\x03"),
        b"\xfd\x02\0\0\0\xf8\x40\xff".to_vec(),
        key(0, "compressed", &compressed(&[b'z'; 300])),
        key(1, "list", b"\x02\x01a\xc0\x01"),
        key(10, "ziplist", &text(&ziplist)),
        key(14, "quicklist", &[b"\x02", &text(&ziplist)[..], &text(&ziplist)].concat()),
        key(18, "quicklist2", &[b"\x02\x02", &text(&listpack_of(&pairs))[..], b"\x01\x03xyz"].concat()),
        b"\xfe\x02\xfc\x05\0\0\0\0\0\0\0\xf9\x07".to_vec(),
        key(2, "set", b"\x02\x01a\xc0\x07"),
        key(11, "intset", &text(b"\x02\0\0\0\x03\0\0\0\xff\xff\x01\0\x02\0")),
        key(20, "set listpack", &text(&listpack_of(&pairs))),
        key(3, "zset", b"\x03\x01a\xfe\x01b\xff\x01c\x031.5"),
        key(5, "zset 2", &[&b"\x01\x01a"[..], &2.5f64.to_le_bytes()].concat()),
        key(12, "zset ziplist", &text(&scores)),
        key(17, "zset listpack", &text(&listpack_of(&[b"\x81f", b"\x01", b"\x81g", b"\xdf\x80"]))),
        key(4, "hash", b"\x02\x01f\x01v\x01g\xc0\x01"),
        key(9, "zipmap", &text(zipmap)),
        key(13, "hash ziplist", &text(&ziplist)),
        key(16, "hash listpack", &text(&listpack_of(&pairs))),
        key(23, "listpack ex rc", &text(&listpack_of(&triples))),
        key(24, "hash ex", &[&[0; 8][..], b"\x02\x00\x01f\x01v\x00\x01g\x01v"].concat()),
        key(25, "listpack ex", &[&[0; 8][..], &text(&listpack_of(&triples))].concat()),
    ]
}

/// The keys of a sample that we have, and what it holds besides: keys, functions, other things.
pub(super) const KEYS: u64 = 24;
pub(super) const FOREIGN_OF_REDIS: (u64, u64, u64) = (8, 1, 2);
pub(super) const FOREIGN_OF_VALKEY: (u64, u64, u64) = (4, 1, 2);

/// As Redis would write it.
pub(super) fn redis() -> Vec<u8> {
    let mut parts = common();
    parts.push(key(22, "hash ex rc", b"\x01\x00\x01f\x01v"));
    parts.push([&b"\xf3\x01\x01\x02\x03\x04"[..], &module_data()].concat());
    parts.push(key(7, "module", &[MODULE, &module_data()].concat()));
    parts.extend([15, 19, 21, 26, 27].map(|form| key(form, &format!("stream{form}"), &stream(form))));
    parts.push(key(24, "expiring", &[&[0; 8][..], b"\x01\x07\x01f\x01v"].concat()));
    parts.push(key(25, "also", &[&[0; 8][..], &text(&listpack_of(&[b"\x81f", b"\x01", b"\x07"]))].concat()));
    rdb("REDIS0015", &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// As Valkey would.
pub(super) fn valkey() -> Vec<u8> {
    let mut parts = common();
    let field = |at: i64| [&b"\x01\x01f\x01v"[..], &at.to_le_bytes()].concat();
    parts.push(b"\xf3\x03job\x02\x01\x02\x05\x40\xff".to_vec());
    parts.push(key(22, "hash ex", &field(-1)).iter().map(|byte| byte.to_ascii_uppercase()).collect());
    parts.push(key(22, "expiring", &field(7)));
    parts.extend([15, 19, 21].map(|form| key(form, &format!("stream{form}"), &stream(form))));
    rdb("VALKEY080", &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}
