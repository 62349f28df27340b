//! What placeholders draw from: few keys, so that commands meet, and many edges.
//!
//! Numbers here are chosen so that no command can become expensive: nothing makes a string of hundreds of megabytes or
//! asks for a billion random fields. Relative times to live are long and hardly ever equal, because `GT` and `LT` between
//! two of the same length would depend on the millisecond.

use rand::RngExt;

use super::{Arg, Generator};

const STRING_KEYS: &[&[u8]] = &[b"s1", b"s2", b"s3", b"s4", b"\x00\xff\r\n s", b"{tag}s"];
const HASH_KEYS: &[&[u8]] = &[b"h1", b"h2", b"h3", b"h4", b"a*b?[h]"];
const SET_KEYS: &[&[u8]] = &[b"t1", b"t2", b"t3", b"t4"];
const SORTED_SET_KEYS: &[&[u8]] = &[b"z1", b"z2", b"z3", b"z4"];
/// Sorted sets whose scores are all equal. No command renames or copies anything to them.
const LEX_KEYS: &[&[u8]] = &[b"lex1", b"lex2"];
const LIST_KEYS: &[&[u8]] = &[b"l1", b"l2", b"l3", b"l4"];
const OTHER_KEYS: &[&[u8]] = &[b"", b"s1 ", LONG_KEY, b"none"];
const LONG_KEY: &[u8] = &[b'L'; 300];

/// The databases that programs work in. The last one is the last that there is by default.
pub const DATABASES: &[u32] = &[0, 1, 2, 15];

/// Every key that a program may create.
pub fn all_keys() -> impl Iterator<Item = &'static [u8]> {
    [STRING_KEYS, HASH_KEYS, SET_KEYS, SORTED_SET_KEYS, LEX_KEYS, LIST_KEYS, OTHER_KEYS].concat().into_iter()
}

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "7",
    "10",
    "-10",
    "100",
    "9999",
    "10000",
    "123456789",
    "-123456789",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
];
const NOT_INTEGERS: &[&str] = &[
    "9223372036854775808",
    "-9223372036854775809",
    "",
    " 1",
    "1 ",
    "+1",
    "01",
    "-0",
    "1.0",
    "1e3",
    "0x10",
    "abc",
];
const FLOATS: &[&str] = &[
    "0",
    "1",
    "-1",
    "0.1",
    "-0.1",
    "3.14",
    "10.5",
    "5.0e3",
    "1e-3",
    "1e17",
    "1.5e20",
    "-2.5e-7",
    "100000000000",
    "0.30000000000000004",
    "1e300",
    "123456789.987654321",
];
const NOT_FLOATS: &[&str] =
    &["", "abc", "nan", "inf", "-inf", " 1.5", "1.5 ", "1e5000", "--1", "1.5.5", "0x1p3"];
/// All versions read these (later ones take no hexadecimal bounds and no blanks before them) and write them alike, and their sums: the digest of a sorted set covers scores as texts, of 17 digits before
/// 7.2 and as short as can be since.
const SCORES: &[&str] = &[
    "0", "1", "-1", "2", "3", "5", "10", "-7", "100", "0.5", "-2.25", "1.125", "1e3", "+2", "inf", "-inf",
    "+inf",
];
const NOT_FLOATS_AT_ALL: &[&str] = &["", "abc", "nan", " 1.5", "1.5 ", "--1", "1.5.5", "1e5000"];
const INDEXES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "5",
    "10",
    "100",
    "1000000",
    "-1",
    "-2",
    "-3",
    "-5",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
];
const PATTERNS: &[&str] = &[
    "*", "s*", "h?", "h[12]", "h[^1]", "h[1-3]", "[^s]*", "*1", "a\\*b*", "", "?", "**", "*[", "s\\",
    "h[3-1]", "{tag}*", "field:1*", "[]", "h[a-",
];
/// What DUMP of redis-server 7.0.15 gave for a number, a short text, a list, sets of integers and of text, a sorted
/// set and a hash.
const PAYLOADS: &[&[u8]] = &[
    b"\x00\xc1\x39\x30\x0a\x00\x9d\x94\xea\x27\x93\xfc\x08\xb9",
    b"\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a",
    b"\x12\x01\x02\x12\x12\x00\x00\x00\x04\x00\x81\x61\x02\x81\x62\x02\x03\x01\x81\x64\x02\xff\x0a\x00\x19\x2f\xa1\xf7\x5f\xf3\x5c\x38",
    b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00\x03\x00\x0a\x00\xa5\x02\x5c\xe2\x6d\x6e\x4d\x1b",
    b"\x02\x02\x01\x78\x01\x79\x0a\x00\xac\x3a\x8d\x68\x11\x84\xaa\x31",
    b"\x11\x14\x14\x00\x00\x00\x04\x00\x81\x61\x02\x01\x01\x81\x62\x02\x83\x32\x2e\x35\x04\xff\x0a\x00\xd4\x4c\x6e\xa4\xf6\x44\xd9\xd7",
    b"\x10\x15\x15\x00\x00\x00\x04\x00\x82\x66\x31\x03\x82\x76\x31\x03\x82\x66\x32\x03\x02\x01\xff\x0a\x00\x5c\x5e\xa8\x13\xfe\xec\x1f\xf5",
];
const WORDS: &[&str] =
    &["hello", "world", "foobar", "Rejoin", "ohmytext", "mynewtext", "aaaa", "x", "ab\"c", "a b"];
/// Safe in the place of any argument of any command, large counts included.
const JUNK: &[&[u8]] = &[
    b"abc",
    b"",
    b"-1",
    b"1.5",
    b"0x10",
    b" 1",
    b"1 ",
    b"99999999999999999999",
    b"+5",
    b"NX",
    b"GET",
    b"EX",
    b"\x00",
    b"foo\r\nbar",
    b"COUNT",
    b"*",
];
const UNKNOWN_COMMANDS: &[&[u8]] = &[
    b"NOSUCH", b"GETT", b"", b"get ", b"GE", b"\x00\x01", b"nosuch\r\ncommand", b"'quoted'",
    b"a-name-that-is-longer-than-any-command-and-longer-than-the-hundred-and-twenty-eight-bytes-that-the-error-text-will-repeat-of-it-to-us",
];

impl Generator {
    pub(super) fn junk(&mut self) -> Arg {
        Arg::Bytes(self.pick(JUNK).to_vec())
    }

    /// Appends what the placeholder stands for; usually one argument.
    pub(super) fn placeholder(&mut self, args: &mut Vec<Arg>, name: &str) {
        let arg = match name {
            "key" => self.key(&[STRING_KEYS, HASH_KEYS, SET_KEYS, SORTED_SET_KEYS, LIST_KEYS, OTHER_KEYS]),
            "tkey" => self.key(&[SET_KEYS, SET_KEYS, SET_KEYS, SET_KEYS, SET_KEYS, HASH_KEYS, OTHER_KEYS]),
            "zkey" => self.key(&[
                SORTED_SET_KEYS,
                SORTED_SET_KEYS,
                SORTED_SET_KEYS,
                SORTED_SET_KEYS,
                SORTED_SET_KEYS,
                SORTED_SET_KEYS,
                STRING_KEYS,
                OTHER_KEYS,
            ]),
            "ztkey" => self.key(&[SORTED_SET_KEYS, SORTED_SET_KEYS, SET_KEYS]),
            "lexkey" => self.key(&[LEX_KEYS]),
            "tkeys" => return self.repeat(args, 4, "tkey"),
            "zkeys" => return self.repeat(args, 3, "zkey"),
            "members" => return self.repeat(args, 5, "member"),
            "scored" => {
                for _ in 0..self.rng.random_range(1..=5) {
                    self.placeholder(args, "score");
                    self.placeholder(args, "member");
                }
                return;
            }
            "manymembers" => return self.many_members(args, |_, member| vec![member]),
            "manyscored" => {
                return self
                    .many_members(args, |index, member| vec![Arg::text((index % 7).to_string()), member]);
            }
            "manyzeros" => return self.many_members(args, |_, member| vec![Arg::text("0"), member]),
            "member" => self.member(),
            "score" => self.mostly(SCORES, NOT_FLOATS_AT_ALL),
            "scorebound" => self.score_bound(),
            "lexbound" => self.lex_bound(),
            "weight" => self.mostly(&["1", "2", "-1", "0", "3", "inf"], NOT_FLOATS_AT_ALL),
            "aggregate" => self.mostly(&["SUM", "MIN", "MAX", "min"], &["AVG", ""]),
            "skey" => self.key(&[STRING_KEYS, STRING_KEYS, STRING_KEYS, STRING_KEYS, HASH_KEYS, OTHER_KEYS]),
            "hkey" => {
                self.key(&[HASH_KEYS, HASH_KEYS, HASH_KEYS, HASH_KEYS, HASH_KEYS, STRING_KEYS, OTHER_KEYS])
            }
            "lkey" => {
                self.key(&[LIST_KEYS, LIST_KEYS, LIST_KEYS, LIST_KEYS, LIST_KEYS, STRING_KEYS, OTHER_KEYS])
            }
            "bit" => self.mostly(
                &["0", "1", "7", "8", "13", "100", "799"],
                &["-1", "abc", "", "4294967296", "#1", "#3", "9223372036854775807"],
            ),
            "width" => self.mostly(
                &["u1", "u8", "i8", "u5", "i5", "i16", "u63", "i64", "i1"],
                &["u64", "i65", "u0", "x8", "i", "", "I8", "u08"],
            ),
            "elements" => return self.repeat(args, 4, "element"),
            "manyelements" => return self.many_elements(args),
            // Few of them, so that a search finds some.
            "element" => {
                if self.chance(60) {
                    Arg::text(self.pick(&["a", "b", "c", "1", "100"]))
                } else {
                    self.value()
                }
            }
            "popcount" => self
                .mostly(&["0", "1", "2", "3", "7", "200"], &["-1", "abc", "", "1.5", "9223372036854775808"]),
            "keys" => return self.repeat(args, 3, "key"),
            "skeys" => return self.repeat(args, 4, "skey"),
            "fields" => return self.repeat(args, 4, "field"),
            "pairs" => return self.repeat_pairs(args, 4, "skey"),
            "fieldvalues" => return self.repeat_pairs(args, 5, "field"),
            "manyfields" => return self.many_fields(args),
            "field" => self.field(),
            "value" => self.value(),
            "integer" => self.mostly(INTEGERS, NOT_INTEGERS),
            "float" => self.mostly(FLOATS, NOT_FLOATS),
            "index" => self.mostly(INDEXES, NOT_INTEGERS),
            "offset" => {
                self.mostly(&["0", "1", "2", "5", "13", "100"], &["-1", "536870912", "4294967295", "abc", ""])
            }
            "count" => self.mostly(&["1", "2", "3", "10", "100", "1000"], &["0", "-1", "abc", "", "1.5"]),
            "randoms" => self.mostly(&["0", "1", "2", "3", "5", "50", "-1", "-2", "-7", "-20"], NOT_INTEGERS),
            "seconds" => self.relative(1),
            "ms" => self.relative(1000),
            "at" => self.absolute_seconds(),
            "atms" => self.absolute_ms(),
            "pattern" => Arg::text(self.pick(PATTERNS)),
            "type" => Arg::text(self.pick(&["string", "hash", "HASH", "list", "zset", "set", "stream"])),
            "db" => self.mostly(
                &["0", "1", "2", "0", "1", "2", "15"],
                &["16", "-1", "abc", "", "1.5", "99999999999"],
            ),
            "minlen" => self.mostly(&["0", "1", "2", "4", "-1", "100"], &["abc", "", "1.5"]),
            "badcursor" => Arg::text(self.pick(&["abc", "-1", "99999999999999999999", "1.5", " 0", ""])),
            "proto" => self.mostly(&["2", "3", "3", "2"], &["1", "4", "abc", "", "-1", "3.0"]),
            "name" => {
                Arg::text(self.pick(&["me", "", "with space", "new\nline", "a-long-client-name", "\u{e4}"]))
            }
            // Numbers and text for SORT's BY and GET; some name keys or fields that are there.
            "bypattern" => {
                Arg::text(self.pick(&["s*", "*", "none*", "h*->field:1", "h*->12345", "*->", "t*"]))
            }
            "getpattern" => {
                Arg::text(self.pick(&["#", "s*", "h*->field:1", "h*->", "h*->field:*", "nostar", "l*", ""]))
            }
            "payload" => self.payload(),
            "nosuch" => Arg::Bytes(self.pick(UNKNOWN_COMMANDS).to_vec()),
            "any" => return self.repeat(args, 3, "value"),
            _ => Arg::text(format!("<no placeholder {name}>")),
        };
        args.push(arg);
    }

    /// A payload for RESTORE that redis-server 7.0 made; now and then one byte of it is another.
    fn payload(&mut self) -> Arg {
        let mut bytes = self.pick(PAYLOADS).to_vec();
        if self.chance(10) {
            let at = self.rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << self.rng.random_range(0..8);
        }
        Arg::Bytes(bytes)
    }

    fn key(&mut self, pools: &[&'static [&'static [u8]]]) -> Arg {
        let pool = self.pick(pools);
        Arg::Bytes(self.pick(pool).to_vec())
    }

    fn field(&mut self) -> Arg {
        match self.rng.random_range(0..20) {
            0 => Arg::text(""),
            1 => Arg::Bytes(b"\x00f\r\n\xff".to_vec()),
            2 => Arg::text("12345"),
            3 => Arg::Bytes(vec![b'f'; 100]),
            n => Arg::text(format!("field:{}", n % 8)),
        }
    }

    /// A member of a set: often a number, so that sets of integers last for a while.
    fn member(&mut self) -> Arg {
        match self.rng.random_range(0..40) {
            0 => Arg::text(""),
            1 => Arg::Bytes(b"\x00m\r\n\xff".to_vec()),
            2 => Arg::Bytes(vec![b'm'; self.pick(&[63, 64, 65, 200])]),
            3 => Arg::text(self.pick(INTEGERS)),
            4 => Arg::text(self.pick(NOT_INTEGERS)),
            5..=14 => Arg::text(format!("m:{}", self.rng.random_range(0..8))),
            _ => Arg::text(self.rng.random_range(-3..12).to_string()),
        }
    }

    fn score_bound(&mut self) -> Arg {
        let score = self.mostly(SCORES, &["abc", "", "nan", "1 ", "1e5000", "-1e5000", "--1", "+"]);
        match score {
            Arg::Bytes(text) if self.chance(30) => Arg::Bytes([b"(".as_slice(), &text].concat()),
            score => score,
        }
    }

    fn lex_bound(&mut self) -> Arg {
        if self.chance(30) {
            return self.mostly(&["-", "+"], &["--", "+1", "", "abc"]);
        }
        let open = self.pick(&[&b"["[..], b"("]);
        match self.member() {
            Arg::Bytes(member) => Arg::Bytes([open, &member].concat()),
            other => other,
        }
    }

    /// Enough members to leave the small encodings, at 128 and 512; all numbers, or none.
    fn many_members(&mut self, args: &mut Vec<Arg>, with: fn(usize, Arg) -> Vec<Arg>) {
        let count = self.pick(&[30, 127, 128, 129, 400, 511, 512, 513]);
        let prefix = self.pick(&["", "many:"]);
        for index in 0..count {
            args.extend(with(index, Arg::text(format!("{prefix}{}", index * 7))));
        }
    }

    fn value(&mut self) -> Arg {
        match self.rng.random_range(0..20) {
            0 => Arg::text(""),
            1 => Arg::Bytes(b"\x00\x01\xfe\xff\r\n$5\r\n".to_vec()),
            2 | 3 => {
                // Around the limits of small encodings: 44 bytes for strings, 64 for hash values.
                let length = self.pick(&[19, 20, 21, 43, 44, 45, 63, 64, 65, 127, 500, 2000]);
                let byte = self.rng.random_range(b'a'..=b'e');
                Arg::Bytes(vec![byte; length])
            }
            4 | 5 => Arg::text(self.pick(NOT_INTEGERS)),
            6..=9 => Arg::text(self.pick(INTEGERS)),
            10 | 11 => Arg::text(self.pick(FLOATS)),
            12 => Arg::text(self.pick(NOT_FLOATS)),
            _ => Arg::text(self.pick(WORDS)),
        }
    }

    fn mostly(&mut self, good: &[&'static str], bad: &[&'static str]) -> Arg {
        let text = if self.chance(88) { self.pick(good) } else { self.pick(bad) };
        Arg::text(text)
    }

    fn repeat(&mut self, args: &mut Vec<Arg>, most: u32, name: &str) {
        for _ in 0..self.rng.random_range(1..=most) {
            self.placeholder(args, name);
        }
    }

    fn repeat_pairs(&mut self, args: &mut Vec<Arg>, most: u32, name: &str) {
        for _ in 0..self.rng.random_range(1..=most) {
            self.placeholder(args, name);
            self.placeholder(args, "value");
        }
    }

    /// Enough fields to leave the small encoding of hashes, at 128.
    fn many_fields(&mut self, args: &mut Vec<Arg>) {
        let count = self.pick(&[30, 127, 128, 129, 400]);
        for index in 0..count {
            args.push(Arg::text(format!("many:{index}")));
            args.push(Arg::text(format!("{}", index * 37)));
        }
    }

    /// Enough elements to leave the small encoding of lists, at 8 KiB.
    fn many_elements(&mut self, args: &mut Vec<Arg>) {
        let (count, length) = self.pick(&[(100, 10), (110, 80), (60, 150), (500, 12), (3, 5000)]);
        for index in 0..count {
            args.push(Arg::text(format!("{index:0length$}")));
        }
    }

    fn relative(&mut self, per_second: i64) -> Arg {
        if self.chance(15) {
            return Arg::text(self.pick(&[
                "0",
                "-1",
                "-100",
                "9223372036854775807",
                "-9223372036854775808",
                "abc",
                "1.5",
                "",
            ]));
        }
        let ms = self.rng.random_range(100_000..500_000_000_i64);
        Arg::text((ms * per_second / 1000).to_string())
    }

    fn absolute_seconds(&mut self) -> Arg {
        match self.rng.random_range(0..10) {
            0 => Arg::text(self.pick(&["0", "-1", "1", "9223372036854775807", "abc", "9223372036854776"])),
            1 | 2 => Arg::UnixSeconds(-self.rng.random_range(10..100_000_i64)),
            _ => Arg::UnixSeconds(self.rng.random_range(1_000..1_000_000)),
        }
    }

    fn absolute_ms(&mut self) -> Arg {
        match self.rng.random_range(0..20) {
            0 | 1 => {
                Arg::text(self.pick(&["0", "-1", "1", "9223372036854775807", "-9223372036854775808", "abc"]))
            }
            2..=4 => Arg::UnixMs(-self.rng.random_range(10_000..100_000_000_i64)),
            5..=9 => Arg::SoonMs(self.rng.random_range(25..60)),
            _ => Arg::UnixMs(self.rng.random_range(1_000_000..1_000_000_000)),
        }
    }
}
