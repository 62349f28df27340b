//! Requests whole, in pieces and broken. The replies in the tables were taken from a redis-server 7.0.15.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

/// What came out of a stream of bytes: the requests, and the error or how many bytes were left over.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    requests: Vec<Vec<Vec<u8>>>,
    end: Result<usize, RequestError>,
}

/// Feeds `stream` in pieces of the given lengths (then the rest), keeping a buffer as a connection does.
fn read_in_pieces(stream: &[u8], limits: &RequestLimits, pieces: &[usize]) -> Read {
    let mut parser = RequestParser::default();
    let (mut buf, mut requests, mut args) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = stream;
    let mut pieces = pieces.iter();
    while !rest.is_empty() {
        let (piece, later) =
            rest.split_at(pieces.next().map_or(rest.len(), |len| (*len).clamp(1, rest.len())));
        buf.extend_from_slice(piece);
        rest = later;
        loop {
            args.clear();
            match parser.parse(&mut buf, limits, &mut args) {
                Ok(Some(len)) => {
                    requests.push(args.iter().map(|arg| arg.of(&buf).to_vec()).collect());
                    buf.drain(..len);
                }
                Ok(None) => break,
                Err(error) => return Read { requests, end: Err(error) },
            }
        }
    }
    Read { requests, end: Ok(buf.len()) }
}

fn read(stream: &[u8]) -> Read {
    read_in_pieces(stream, &RequestLimits::default(), &[])
}

fn requests(stream: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let read = read(stream);
    assert_eq!(read.end, Ok(0), "{:?}", stream.escape_ascii().to_string());
    read.requests
}

fn command(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

#[test]
fn pipelined_requests_of_every_form() {
    let stream = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n\r\n\0\xff\r\n*0\r\n*-1\r\nGET  \"a\\x00\"\r\n\n\r\nPING\n*1\r\n$0\r\n\r\n";
    assert_eq!(
        requests(stream),
        [
            command(&[b"SET", b"a", b"\r\n\0\xff"]),
            vec![],
            vec![],
            command(&[b"GET", b"a\0"]),
            vec![],
            vec![],
            command(&[b"PING"]),
            command(&[b""]),
        ]
    );
}

#[test]
fn line_ends_are_skipped_without_a_look() {
    let ping = || command(&[b"PING"]);
    assert_eq!(requests(b"*1\rX$4\r\nPING\r\n"), [ping()]);
    assert_eq!(requests(b"*1\r\n$4\rXPINGXX"), [ping()]);
    assert_eq!(requests(b"*1\r\n$4\r\nPINGXX*1\r\n$4\r\nPING\r\n"), [ping(), ping()]);
}

#[test]
fn broken_requests_in_redis_words() {
    let table: &[(&[u8], &[u8])] = &[
        (b"*\r\n", b"invalid multibulk length"),
        (b"*x\r\n", b"invalid multibulk length"),
        (b"*+1\r\n", b"invalid multibulk length"),
        (b"*01\r\n", b"invalid multibulk length"),
        (b"*-0\r\n", b"invalid multibulk length"),
        (b"* 1\r\n", b"invalid multibulk length"),
        (b"*2147483648\r\n", b"invalid multibulk length"),
        (b"*1\r\n*1\r\n", b"expected '$', got '*'"),
        (b"*1\r\n\r\n", b"expected '$', got '\r'"),
        (b"*1\r\n+PING\r\n", b"expected '$', got '+'"),
        (b"*1\r\n\xff\r\n", b"expected '$', got '\xff'"),
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\n$\r\n", b"invalid bulk length"),
        (b"*1\r\n$04\r\nPING\r\n", b"invalid bulk length"),
        (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", b"invalid bulk length"),
        (b"*1\r\n$4\nPING\r\n", b"invalid bulk length"),
        (b"ECHO \"a\"b\r\n", b"unbalanced quotes in request"),
        (b"ECHO \"a\r\n", b"unbalanced quotes in request"),
        (b"ECHO 'a\r\n", b"unbalanced quotes in request"),
        (b"ECHO \"a\\\r\n", b"unbalanced quotes in request"),
        // Here Redis waits for more, because its search for the line's end stops at the NUL.
        (b"*1\r\n$4\0\r\nPING\r\n", b"invalid bulk length"),
    ];
    for (stream, text) in table {
        let mut sent = Vec::new();
        read(stream).end.unwrap_err().write_text(&mut sent);
        assert_eq!(
            sent.strip_prefix(b"Protocol error: "),
            Some(*text),
            "{:?}",
            stream.escape_ascii().to_string()
        );
    }
}

#[test]
fn what_only_lacks_bytes_is_waited_for() {
    for stream in [
        &b"*2147483647\r\n"[..],
        b"*1\r\n$536870912\r\n",
        b"*1\r\nX",
        b"*1\n$4\nPING\n",
        b"*",
        b"*1\r",
        b"PING",
    ] {
        assert_eq!(read(stream), Read { requests: vec![], end: Ok(stream.len()) });
    }
}

#[test]
fn lines_are_limited_to_64_kib() {
    let with = |head: &[u8], filler: u8, len: usize, tail: &[u8]| [head, &vec![filler; len], tail].concat();
    assert_eq!(read(&with(b"*", b'1', 65_536, b"")).end, Err(RequestError::MultibulkCountTooLong));
    assert_eq!(read(&with(b"*1\r\n$", b'1', 65_536, b"")).end, Err(RequestError::BulkCountTooLong));
    assert_eq!(read(&with(b"", b'a', 65_537, b"\n")).end, Err(RequestError::InlineTooLong));
    assert_eq!(read(&with(b"*", b'1', 65_535, b"\r\n")).end, Err(RequestError::InvalidMultibulkLength));
    assert_eq!(requests(&with(b"", b'a', 65_535, b"\r\n"))[0][0].len(), 65_535);
}

#[test]
fn little_is_believed_before_authentication() {
    let refused = |stream: &[u8]| read_in_pieces(stream, &RequestLimits::unauthenticated(), &[]).end;
    assert_eq!(refused(b"*11\r\n"), Err(RequestError::UnauthenticatedMultibulk));
    assert_eq!(refused(b"*10\r\n"), Ok(5));
    assert_eq!(refused(b"*1\r\n$16385\r\n"), Err(RequestError::UnauthenticatedBulk));
    assert_eq!(refused(b"*1\r\n$16384\r\n"), Ok(12));
    assert_eq!(refused(b"*1\r\n$536870913\r\n"), Err(RequestError::InvalidBulkLength));
    assert_eq!(refused(b"*2147483648\r\n"), Err(RequestError::InvalidMultibulkLength));
    assert_eq!(refused(b"a b c d e f g h i j k l m\r\n"), Ok(0));
}

#[test]
fn a_master_sends_arrays_and_bare_newlines() {
    let from_master = |stream: &[u8]| read_in_pieces(stream, &RequestLimits::master(), &[]);
    assert_eq!(from_master(b"\n*1\r\n$4\r\nping\r\n\n").requests, [vec![], command(&[b"ping"]), vec![]]);
    assert_eq!(from_master(b"PING\r\n").end, Err(RequestError::InlineFromMaster));
    assert_eq!(from_master(b"*1\r\n$4294967200\r\n").end, Ok(17));
    assert_eq!(
        from_master(b"*1\r\n$4294967295\r\n").end,
        Err(RequestError::InvalidBulkLength),
        "ranges are 32-bit"
    );
}

#[test]
fn nothing_is_reserved_on_a_claim() {
    let mut parser = RequestParser::default();
    let mut args = Vec::new();
    let mut buf = b"*2147483647\r\n$1\r\na\r\n$536870912\r\n".to_vec();
    assert_eq!(parser.parse(&mut buf, &RequestLimits::default(), &mut args), Ok(None));
    assert!(args.is_empty() && args.capacity() < 16 && parser.partial.capacity() < 16);
    assert_eq!(parser.bytes_wanted(), 536_870_914);
}

#[test]
fn bytes_wanted_follows_the_argument() {
    let mut parser = RequestParser::default();
    let mut args = Vec::new();
    let stream = b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n";
    let mut wanted = |len: usize| {
        let done = parser.parse(&mut stream[..len].to_vec(), &RequestLimits::default(), &mut args).unwrap();
        (done, parser.bytes_wanted())
    };
    assert_eq!(wanted(6), (None, 0));
    assert_eq!(wanted(8), (None, 5));
    assert_eq!(wanted(15), (None, 0));
    assert_eq!(wanted(20), (None, 10));
    assert_eq!(wanted(30), (Some(30), 0));
    assert_eq!(args[1].of(stream), b"0123456789");
}

#[test]
fn arguments_go_behind_those_of_earlier_requests() {
    let mut parser = RequestParser::default();
    let mut args = vec![ArgRange { start: 1, end: 2 }];
    let mut buf = b"*2\r\n$1\r\na\r\n$1\r\nb\r\n".to_vec();
    let all = buf.len();
    assert_eq!(parser.parse(&mut buf[..all - 1], &RequestLimits::default(), &mut args), Ok(None));
    assert_eq!(args.len(), 1, "arguments of an unfinished request stay with the parser");
    assert_eq!(parser.parse(&mut buf, &RequestLimits::default(), &mut args), Ok(Some(all)));
    assert_eq!(args[1..].iter().map(|arg| arg.of(&buf)).collect::<Vec<_>>(), [b"a", b"b"]);
}

#[test]
fn every_split_in_two_and_every_byte_alone() {
    let stream = b"*3\r\n$3\r\nSET\r\n$12\r\n0123456789\r\n\r\n$0\r\n\r\n\r\n GET 'a\\'b' \"\\x41\"\n*-1\r\n*1\r\n$4\r\nQUIT\r\n*1\r\n$x\r\n";
    let limits = RequestLimits::default();
    let whole = read(stream);
    assert_eq!(whole.end, Err(RequestError::InvalidBulkLength));
    for cut in 1..stream.len() {
        assert_eq!(read_in_pieces(stream, &limits, &[cut]), whole, "cut at {cut}");
    }
    assert_eq!(read_in_pieces(stream, &limits, &vec![1; stream.len()]), whole);
}

/// A hundred thousand pairs in 16 KiB reads: quadratic work would take minutes here, linear takes milliseconds.
#[test]
fn a_huge_request_in_many_reads_is_linear() {
    let mut stream = b"*200001\r\n$4\r\nMSET\r\n".to_vec();
    for i in 0..200_000 {
        stream.extend_from_slice(format!("$16\r\n{i:016}\r\n").as_bytes());
    }
    let mut parser = RequestParser::default();
    let mut args = Vec::new();
    let mut filled = 0;
    let done = loop {
        filled = stream.len().min(filled + 16_384);
        if let Some(done) = parser.parse(&mut stream[..filled], &RequestLimits::default(), &mut args).unwrap()
        {
            break done;
        }
    };
    assert_eq!((done, args.len()), (stream.len(), 200_001));
    assert_eq!(args[200_000].of(&stream), b"0000000000199999");
    assert!(parser.partial.capacity() <= PARTIAL_ARGS_KEPT, "the room of a huge request is given back");
}

fn stream_of_requests() -> impl Strategy<Value = Vec<u8>> {
    let array = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6).prop_map(|args| {
        let mut out = Vec::new();
        crate::resp::encode_command(&mut out, &args);
        out
    });
    let inline = "[a-z \"'\\\\x0-9]{0,20}\r?\n".prop_map(String::into_bytes);
    let noise = prop::collection::vec(prop::sample::select(b"*$\r\n-0123456789a\"'\\\0\xff".to_vec()), 0..12);
    prop::collection::vec(prop_oneof![4 => array, 2 => inline, 1 => noise], 0..8)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn pieces_change_nothing(
        stream in stream_of_requests(),
        pieces in prop::collection::vec(1usize..20, 0..60),
        unauthenticated in any::<bool>(),
    ) {
        let source = if unauthenticated { RequestSource::Unauthenticated } else { RequestSource::Client };
        let limits = RequestLimits { source, ..RequestLimits::default() };
        prop_assert_eq!(read_in_pieces(&stream, &limits, &pieces), read_in_pieces(&stream, &limits, &[]));
    }

    #[test]
    fn what_is_encoded_is_read(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20)) {
        let mut stream = Vec::new();
        crate::resp::encode_command(&mut stream, &args);
        prop_assert_eq!(requests(&stream), [args]);
    }

    #[test]
    fn garbage_is_read_or_refused(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&stream);
    }
}
