//! Strings as bits. The expectations were seen on redis-server 8.2.

use super::node::Node;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const BAD_OFFSET: &str = "-ERR bit offset is not an integer or out of range";

#[test]
fn single_bits_are_set_and_read() {
    Node::with(&["RPUSH l a"]).story(&[
        ("SETBIT b 7 1", "0", "SETBIT b 7 1"),
        ("SETBIT b 7 1", "1", ""),
        ("SETBIT b 12 0", "0", "SETBIT b 12 0"),
        ("STRLEN b", "2", ""),
        ("GETBIT b 7", "1", ""),
        ("GETBIT b 6", "0", ""),
        ("GETBIT b 100", "0", ""),
        ("GETBIT none 0", "0", ""),
        ("SETBIT b -1 1", BAD_OFFSET, ""),
        ("SETBIT b 4294967296 1", BAD_OFFSET, ""),
        ("SETBIT b 0 2", "-ERR bit is not an integer or out of range", ""),
        ("SETBIT l 0 1", WRONG_TYPE, ""),
        ("GETBIT l 0", WRONG_TYPE, ""),
    ]);
}

#[test]
fn bits_are_counted_and_found_in_ranges_of_bytes_and_bits() {
    Node::with(&["SET s foobar", "SETBIT ones 7 1", "BITOP NOT ones ones", "SETBIT ones 7 1"]).reads(&[
        ("BITCOUNT s", "26"),
        ("BITCOUNT s 0 0", "4"),
        ("BITCOUNT s 1 1", "6"),
        ("BITCOUNT s 5 30 BIT", "17"),
        ("BITCOUNT s -2 -1 BYTE", "7"),
        ("BITCOUNT s -1 -2", "0"),
        ("BITCOUNT none", "0"),
        ("BITCOUNT s 0", "-ERR syntax error"),
        ("BITCOUNT s 0 0 NOSUCH", "-ERR syntax error"),
        ("BITCOUNT s 0 x NOSUCH", "-ERR value is not an integer or out of range"),
        ("BITPOS s 1 0 x NOSUCH", "-ERR syntax error"),
        ("BITPOS s 1", "1"),
        ("BITPOS s 0 1", "8"),
        ("BITPOS s 1 2 4", "17"),
        ("BITPOS s 1 9 12 BIT", "9"),
        ("BITPOS none 0", "0"),
        ("BITPOS none 1", "-1"),
        ("BITPOS ones 0", "8"),
        ("BITPOS ones 0 0 -1", "-1"),
        ("BITPOS s 2", "-ERR The bit argument must be 1 or 0."),
    ]);
}

#[test]
fn strings_are_combined_as_if_zeros_followed_the_shorter_ones() {
    Node::with(&["SET a abc", "SET b \"AB\"", "SET x old"]).story(&[
        ("BITOP AND x a b", "3", "BITOP AND x a b"),
        ("GET x", "AB\\x00", ""),
        ("BITOP OR x a none", "3", "BITOP OR x a none"),
        ("GET x", "abc", ""),
        ("BITOP XOR x a b", "3", "BITOP XOR x a b"),
        ("GET x", "  c", ""),
        ("BITOP NOT x a b", "-ERR BITOP NOT must be called with a single source key.", ""),
        ("BITOP NAND x a", "-ERR syntax error", ""),
        ("BITOP AND x none", "0", "BITOP AND x none"),
        ("EXISTS x", "0", ""),
        ("BITOP AND x none", "0", ""),
    ]);
}

#[test]
fn numbers_of_any_width_are_read_and_written() {
    Node::new().story(&[
        ("BITFIELD f SET u8 0 200 GET u4 0 GET i8 0", "[0, 12, -56]", "BITFIELD f SET u8 0 200 GET u4 0 GET i8 0"),
        ("BITFIELD f INCRBY u8 0 100", "[44]", "BITFIELD f INCRBY u8 0 100"),
        ("BITFIELD f OVERFLOW SAT INCRBY u8 0 300", "[255]", "BITFIELD f OVERFLOW SAT INCRBY u8 0 300"),
        ("BITFIELD f SET u8 0 255", "[255]", ""),
        ("BITFIELD f OVERFLOW FAIL INCRBY u8 0 1", "[nil]", ""),
        ("BITFIELD f SET i64 #1 -5 GET i64 #1", "[0, -5]", "BITFIELD f SET i64 #1 -5 GET i64 #1"),
        ("BITFIELD_RO f GET u8 0", "[255]", ""),
        ("BITFIELD_RO f SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand", ""),
        ("BITFIELD none GET u8 100", "[0]", ""),
        ("BITFIELD f GET u64 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.", ""),
        ("BITFIELD f GET u8 -1", BAD_OFFSET, ""),
        ("BITFIELD f OVERFLOW NOSUCH", "-ERR Invalid OVERFLOW type specified", ""),
        ("BITFIELD f", "[]", ""),
        (
            "BITFIELD g OVERFLOW SAT SET i64 0 -5 INCRBY i64 0 -9223372036854775808",
            "[0, -9223372036854775808]",
            "BITFIELD g OVERFLOW SAT SET i64 0 -5 INCRBY i64 0 -9223372036854775808",
        ),
        (
            "BITFIELD f OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0 SET i8 0 -9999 GET i8 0",
            "[-1, 127, 127, -128]",
            "BITFIELD f OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0 SET i8 0 -9999 GET i8 0",
        ),
    ]);
}
