use super::*;

const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n";
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n";
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nexec\r\n";

/// All that can be asked of a scanner.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    end: Result<(), AofError>,
    border: u64,
    position: u64,
    selected: Option<u32>,
    commands: u64,
    lines: u64,
    stopped: Option<u64>,
}

fn scan_in(bytes: &[u8], piece: usize, mut scanner: Scanner) -> Seen {
    for piece in bytes.chunks(piece) {
        let pushed = scanner.push(piece);
        assert_eq!(pushed.err(), scanner.error());
    }
    assert!(scanner.border() <= scanner.position());
    Seen {
        end: scanner.finish(),
        border: scanner.border(),
        position: scanner.position(),
        selected: scanner.selected_db().map(DbIndex::get),
        commands: scanner.commands(),
        lines: scanner.lines(),
        stopped: scanner.stopped(),
    }
}

/// Scans as a whole and in pieces, which must be the same.
fn scan_with(bytes: &[u8], scanner: &Scanner) -> Seen {
    let whole = scan_in(bytes, bytes.len().max(1), scanner.clone());
    for piece in [1, 2, 7, 50] {
        assert_eq!(
            scan_in(bytes, piece, scanner.clone()),
            whole,
            "in pieces of {piece}: {}",
            bytes.escape_ascii()
        );
    }
    whole
}

fn scan(bytes: &[u8]) -> Seen {
    scan_with(bytes, &Scanner::new(0))
}

fn flaw_of(bytes: &[u8]) -> (u64, AofFlaw, bool) {
    let before = [SELECT, SET].concat();
    let seen = scan(&[&before, bytes].concat());
    let error = seen.end.expect_err(&bytes.escape_ascii().to_string());
    assert_eq!(seen.border, before.len() as u64, "{}", bytes.escape_ascii());
    (error.at - before.len() as u64, error.flaw, error.is_torn)
}

#[test]
fn borders_are_ends_of_commands_outside_multi() {
    let bytes = [SELECT, SET, b"#TS:5\r\n", MULTI, SET, SELECT, EXEC, SET].concat();
    let mut borders = vec![0];
    let mut scanner = Scanner::new(0);
    for byte in &bytes {
        scanner.push(&[*byte]).unwrap();
        assert_eq!(scanner.is_at_border(), scanner.border() == scanner.position());
        if scanner.is_at_border() {
            borders.push(scanner.border());
        }
    }
    let lengths =
        [SELECT.len(), SET.len(), 7, MULTI.len() + SET.len() + SELECT.len() + EXEC.len(), SET.len()];
    let sums = lengths.iter().scan(0, |sum, len| {
        *sum += *len as u64;
        Some(*sum)
    });
    assert_eq!(borders, [0].into_iter().chain(sums).collect::<Vec<_>>());
    let seen = scan(&bytes);
    assert_eq!((seen.end, seen.commands, seen.border), (Ok(()), 7, bytes.len() as u64));
}

#[test]
fn places_count_from_the_start_that_is_given() {
    let seen = scan_with(SET, &Scanner::new(1000));
    assert_eq!((seen.border, seen.position, seen.selected), (1000 + SET.len() as u64, seen.border, None));
    let seen = scan_with(b"x", &Scanner::new(1000));
    assert_eq!(seen.end.map_err(|error| error.at), Err(1000));
    assert_eq!(scan(b"").end, Ok(()));
}

#[test]
fn the_database_is_the_one_at_the_border() {
    let select = |name: &str, number: &str| {
        let len = number.len();
        format!("*2\r\n${}\r\n{name}\r\n${len}\r\n{number}\r\n", name.len()).into_bytes()
    };
    let selected = |parts: &[&[u8]]| scan(&parts.concat()).selected;
    assert_eq!(selected(&[SET]), None);
    assert_eq!(selected(&[&select("SELECT", "12"), SET]), Some(12));
    assert_eq!(selected(&[SELECT, &select("select", "0")]), Some(0));
    assert_eq!(selected(&[SELECT, MULTI, &select("SELECT", "3"), SET]), Some(7), "not before EXEC");
    assert_eq!(selected(&[SELECT, MULTI, &select("SELECT", "3"), EXEC]), Some(3));
    assert_eq!(selected(&[SELECT, &select("SELECT", "x"), &select("SELECTS", "3")]), Some(7));
    assert_eq!(selected(&[SELECT, &select("SELECT", "99999999999999999999")]), Some(7));
    assert_eq!(selected(&[SELECT, b"*3\r\n$6\r\nSELECT\r\n$1\r\n5\r\n$1\r\n6\r\n"]), Some(7));
    assert_eq!(selected(&[SELECT, b"*3\r\n$3\r\nSET\r\n$6\r\nSELECT\r\n$1\r\n5\r\n"]), Some(7));
}

#[test]
fn damage_is_named_as_redis_check_aof_names_it() {
    // What redis-check-aof 7.0.15 said; what it passes over is marked.
    let line_end = |got: &[u8; 2]| AofFlaw::LineEnd { got: *got };
    let table: &[(&[u8], u64, AofFlaw)] = &[
        (b"*3\r\n#3\r\nSET\r\n", 4, AofFlaw::Prefix { got: b'#' }),
        (b"*3\r\n$3x\r\nSET\r\n", 4, line_end(b"x\r")),
        (b"*3\n$3\r\n", 0, line_end(b"\n\0")),
        (b"*3\rx", 0, line_end(b"\rx")),
        (b"*1\r\n$3\r\nSETxy*1\r\n", 8, line_end(b"xy")),
        (b"*1\r\n$-1\r\n", 4, AofFlaw::Length { bytes: -1 }),
        (b"*1\r\n$99999999999999999999999\r\n", 4, AofFlaw::Length { bytes: i64::MAX }),
        (b"*1\r\n$4\xff\xfe\r\nPING\r\n", 4, line_end(b"\xff\xfe")),
        (b"xyz\r\n", 0, AofFlaw::Format { got: b'x' }),
        (b"\0\0\0", 0, AofFlaw::Format { got: 0 }),
        (b"*1\r\n#TS:1\r\n$4\r\nPING\r\n", 4, AofFlaw::Prefix { got: b'#' }),
        (&[MULTI, MULTI, EXEC].concat(), 23, AofFlaw::UnexpectedMulti),
        (EXEC, 8, AofFlaw::UnexpectedExec),
        (&[MULTI, b"x"].concat(), 15, AofFlaw::Format { got: b'x' }),
        // Passed over.
        (b"*0\r\n", 0, AofFlaw::Count { count: 0 }),
        (b"*\r\n", 0, AofFlaw::Count { count: 0 }),
        (b"*-1\r\n", 0, AofFlaw::Count { count: -1 }),
        (b"*+1\r\n$4\r\nPING\r\n", 0, line_end(b"+1")),
        (b"* 1\r\n$4\r\nPING\r\n", 0, line_end(b" 1")),
    ];
    for (bytes, at, flaw) in table {
        assert_eq!(flaw_of(bytes), (*at, *flaw, false), "{}", bytes.escape_ascii());
    }
    let long = [b"*".as_slice(), &[b'0'; 200], b"1\r\n"].concat();
    assert_eq!(flaw_of(&long), (0, line_end(&[0, 0]), false));
}

#[test]
fn a_torn_tail_is_told_from_damage() {
    let line_end = |got: &[u8; 2]| AofFlaw::LineEnd { got: *got };
    let table: &[(&[u8], u64, AofFlaw)] = &[
        (b"*", 0, line_end(&[0, 0])),
        (b"*3", 0, line_end(&[0, 0])),
        (b"*3\r", 0, line_end(b"\r\0")),
        (b"*3\r\n", 4, AofFlaw::MissingArguments { count: 3 }),
        (b"*3\r\n$", 4, line_end(&[0, 0])),
        (b"*3\r\n$3\r", 4, line_end(b"\r\0")),
        (b"*3\r\n$3\r\n", 8, AofFlaw::Short { wanted: 5, got: 0 }),
        (b"*3\r\n$3\r\nSE", 8, AofFlaw::Short { wanted: 5, got: 2 }),
        (b"*3\r\n$3\r\nSET\r", 8, AofFlaw::Short { wanted: 5, got: 4 }),
        (b"*3\r\n$3\r\nSET\r\n", 13, AofFlaw::MissingArguments { count: 2 }),
        (b"*1\r\n$100000000\r\nabc", 16, AofFlaw::Short { wanted: 100_000_002, got: 3 }),
        (&[MULTI, SET].concat(), 15 + 24, AofFlaw::OpenMulti),
        (&[MULTI, b"*3\r\n"].concat(), 15 + 4, AofFlaw::OpenMulti),
        (&[MULTI, SET, b"*3\r\n$3"].concat(), 15 + 28 + 4, line_end(&[0, 0])),
        (b"#TS:2", 0, AofFlaw::AnnotationTorn),
        (b"#", 0, AofFlaw::AnnotationTorn),
    ];
    assert_eq!(SET.len(), 28);
    for (bytes, at, flaw) in table {
        assert_eq!(flaw_of(bytes), (*at, *flaw, true), "{}", bytes.escape_ascii());
    }
    // It ends too early, but with something that could never be right.
    assert_eq!(flaw_of(b"*3x"), (0, line_end(b"x\0"), false));
}

#[test]
fn errors_are_in_redis_words() {
    let words = |bytes: &[u8]| scan(bytes).end.expect_err("an error").to_string();
    assert_eq!(words(b"*1\r\n#"), "at byte 4: Expected prefix '$', got: '#'");
    assert_eq!(words(b"*1\rx"), "at byte 0: Expected \\r\\n, got: 0d78");
    assert_eq!(words(b"*1\r\n$3\r\nab"), "at byte 8: Expected to read 5 bytes, got 2 bytes");
    assert_eq!(words(MULTI), "at byte 8: Reached EOF before reading EXEC for MULTI");
    assert_eq!(words(b"\0"), "at byte 0: Expected prefix '*' or '#', got: '\\x00'");
}

#[test]
fn annotations_have_a_length() {
    let annotation = |len: usize| [b"#".as_slice(), &vec![b'x'; len - 3], b"\r\n", SET].concat();
    assert_eq!(scan(&annotation(1023)).end, Ok(()));
    assert_eq!(
        scan(&annotation(1024)).end.map_err(|error| (error.at, error.flaw)),
        Err((0, AofFlaw::AnnotationTooLong))
    );
    assert_eq!(scan(b"#\n#a\n").border, 5, "any end of a line ends one");
}

#[test]
fn a_time_ends_the_scan() {
    let bytes =
        [b"#TS:100\r\n".as_slice(), SET, b"#other\r\n#TS:200\r\n", MULTI, b"#TS:300\r\n", EXEC].concat();
    let until = |seconds| {
        let seen = scan_with(&bytes, &Scanner::new(0).until(seconds));
        (seen.end, seen.stopped, seen.border)
    };
    let all = bytes.len() as u64;
    assert_eq!(until(300), (Ok(()), None, all));
    assert_eq!(until(250), (Ok(()), Some(54), 54), "within MULTI, where that begins");
    assert_eq!(until(199), (Ok(()), Some(45), 45));
    assert_eq!(until(99), (Ok(()), Some(0), 0));
    for bad in ["#TS:\r\n", "#TS:12", "#TS:1x\r\n", "#TS:12\n", "#TS:99999999999999999999999999999999\r\n"] {
        let seen = scan_with(bad.as_bytes(), &Scanner::new(0).until(5));
        let flaw = seen.end.map_err(|error| (error.flaw, error.is_torn));
        let is_torn = !bad.ends_with('\n');
        let wanted = if is_torn { AofFlaw::AnnotationTorn } else { AofFlaw::Timestamp };
        assert_eq!(flaw, Err((wanted, is_torn)), "{bad:?}");
        assert!(is_torn || scan(bad.as_bytes()).end.is_ok(), "nobody asked for times");
    }
}

#[test]
fn long_arguments_take_no_memory() {
    let mut scanner = Scanner::new(0);
    let piece = vec![b'v'; 1 << 20];
    scanner.push(b"*2\r\n$3\r\nGET\r\n$536870912\r\n").unwrap();
    for _ in 0..512 {
        scanner.push(&piece).unwrap();
    }
    assert!(!scanner.is_at_border());
    scanner.push(b"\r\n").unwrap();
    assert!(scanner.is_at_border());
    assert_eq!(scanner.position(), 25 + (512 << 20) + 2);
}

#[test]
fn a_command_of_many_arguments_is_one() {
    let count = 100_000;
    let mut bytes = format!("*{count}\r\n").into_bytes();
    for at in 0..count {
        bytes.extend_from_slice(format!("${}\r\n{at}\r\n", at.to_string().len()).as_bytes());
    }
    for piece in [bytes.len(), 65_536, 1000] {
        let seen = scan_in(&bytes, piece, Scanner::new(0));
        assert_eq!((seen.end, seen.commands, seen.border), (Ok(()), 1, bytes.len() as u64));
        assert_eq!(seen.lines, 1 + 2 * count);
    }
}

#[test]
fn an_rdb_is_known_by_its_beginning() {
    assert!(is_rdb(b"REDIS0010") && is_rdb(b"VALKEY080\xfa") && is_rdb(b"REDIS001"));
    assert!(!is_rdb(b"REDIS00") && !is_rdb(b"") && !is_rdb(SET) && !is_rdb(b"redis0010"));
}

#[test]
fn every_prefix_has_one_outcome() {
    let bytes = [SELECT, SET, b"#TS:5\r\n", MULTI, SET, EXEC, SET].concat();
    let mut last_border = 0;
    for end in 0..=bytes.len() {
        let seen = scan(&bytes[..end]);
        assert_eq!(seen.position, end as u64);
        assert!(seen.border >= last_border && seen.border <= end as u64);
        match seen.end {
            Ok(()) => assert_eq!(seen.border, end as u64),
            Err(error) => assert!(error.is_torn && error.at <= end as u64 && seen.border < end as u64),
        }
        assert_eq!(scan(&bytes[..seen.border as usize]).end, Ok(()), "what is before the border is whole");
        last_border = seen.border;
    }
}

#[test]
fn every_flipped_byte_has_one_outcome() {
    let bytes = [SELECT, SET, b"#TS:5\r\n", MULTI, SET, EXEC, SET].concat();
    for at in 0..bytes.len() {
        for change in 1..=255 {
            let mut flipped = bytes.clone();
            flipped[at] ^= change;
            let seen = scan(&flipped);
            if let Err(error) = seen.end {
                assert!(error.at <= flipped.len() as u64 && !error.to_string().is_empty());
                assert!(seen.border < flipped.len() as u64);
            }
            assert_eq!(
                scan(&flipped[..seen.border as usize]).end,
                Ok(()),
                "what is before the border is whole"
            );
        }
    }
}
