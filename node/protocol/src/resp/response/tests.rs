//! Replies whole, in pieces and broken.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

fn bulk(text: &str) -> Response {
    Response::Bulk(text.as_bytes().to_vec())
}

fn parse_whole(reply: &[u8]) -> Response {
    let (value, len) = Response::parse(reply).unwrap().expect("whole");
    assert_eq!(len, reply.len());
    value
}

/// Feeds one byte more at a time to one parser, which must finish exactly at the end.
fn parse_by_bytes(reply: &[u8]) -> Response {
    let mut parser = ResponseParser::default();
    for len in 0..reply.len() {
        assert_eq!(parser.parse(&reply[..len]), Ok(None), "after {len} bytes");
    }
    parser.parse(reply).unwrap().expect("whole").0
}

#[test]
fn every_type() {
    use Response::*;
    let table = [
        ("+OK\r\n", Simple(b"OK".to_vec())),
        ("+\r\n", Simple(vec![])),
        ("-ERR no\r\n", Error(b"ERR no".to_vec())),
        ("!6\r\nERR\r\nx\r\n", Error(b"ERR\r\nx".to_vec())),
        (":-5\r\n", Integer(-5)),
        ("$0\r\n\r\n", bulk("")),
        ("$4\r\na\r\nb\r\n", bulk("a\r\nb")),
        ("$-1\r\n", Null),
        ("*-1\r\n", Null),
        ("_\r\n", Null),
        ("*0\r\n", Array(vec![])),
        ("*2\r\n:1\r\n*1\r\n$1\r\na\r\n", Array(vec![Integer(1), Array(vec![bulk("a")])])),
        (
            "%1\r\n+k\r\n%1\r\n:1\r\n#t\r\n",
            Map(vec![(Simple(b"k".to_vec()), Map(vec![(Integer(1), Boolean(true))]))]),
        ),
        ("%0\r\n", Map(vec![])),
        ("~2\r\n:1\r\n#f\r\n", Set(vec![Integer(1), Boolean(false)])),
        (">1\r\n+x\r\n", Push(vec![Simple(b"x".to_vec())])),
        (",2.75\r\n", Double(2.75)),
        (",-inf\r\n", Double(f64::NEG_INFINITY)),
        (",1e+21\r\n", Double(1e21)),
        (
            "(-1234567999999999999999999999999999999\r\n",
            BigNumber(b"-1234567999999999999999999999999999999".to_vec()),
        ),
        ("=8\r\ntxt:a\r\nb\r\n", Verbatim { format: *b"txt", text: b"a\r\nb".to_vec() }),
        ("|1\r\n+k\r\n*1\r\n:1\r\n:7\r\n", Integer(7)),
        ("*2\r\n|1\r\n+k\r\n:9\r\n:1\r\n|0\r\n:2\r\n", Array(vec![Integer(1), Integer(2)])),
    ];
    for (reply, value) in table {
        assert_eq!(parse_whole(reply.as_bytes()), value, "{reply:?}");
        assert_eq!(parse_by_bytes(reply.as_bytes()), value, "{reply:?}");
    }
    assert!(matches!(parse_whole(b",nan\r\n"), Double(n) if n.is_nan()));
}

#[test]
fn one_reply_after_another() {
    let stream = b"+OK\r\n:1\r\n$1\r\nx\r\n";
    let mut parser = ResponseParser::default();
    let (mut at, mut values) = (0, vec![]);
    while let Some((value, len)) = parser.parse(&stream[at..]).unwrap() {
        at += len;
        values.push(value);
    }
    assert_eq!(values, [Response::Simple(b"OK".to_vec()), Response::Integer(1), bulk("x")]);
    assert_eq!(at, stream.len());
}

#[test]
fn what_no_server_says() {
    use ResponseError::*;
    let table: &[(&[u8], ResponseError)] = &[
        (b"PONG\r\n", UnknownType(b'P')),
        (b"\r\n", UnknownType(b'\r')),
        (b":\r\n", MalformedLine(b':')),
        (b":1x\r\n", MalformedLine(b':')),
        (b":9223372036854775808\r\n", MalformedLine(b':')),
        (b"$-2\r\n", MalformedLine(b'$')),
        (b"$?\r\n", MalformedLine(b'$')),
        (b"*?\r\n", MalformedLine(b'*')),
        (b"~-1\r\n", MalformedLine(b'~')),
        (b"$536870913\r\n", TooLarge { kind: b'$', count: 536_870_913 }),
        (b"*2147483648\r\n", TooLarge { kind: b'*', count: 2_147_483_648 }),
        (b"_x\r\n", MalformedLine(b'_')),
        (b"#x\r\n", MalformedLine(b'#')),
        (b",x\r\n", MalformedLine(b',')),
        (b"(1x\r\n", MalformedLine(b'(')),
        (b"(-\r\n", MalformedLine(b'(')),
        (b"=3\r\ntxt\r\n", MalformedLine(b'=')),
        (b"+OK\rx", MissingLineEnd),
        (b"$1\r\nabc", MissingLineEnd),
    ];
    for (reply, error) in table {
        assert_eq!(Response::parse(reply).as_ref(), Err(error), "{:?}", reply.escape_ascii().to_string());
    }
    assert_eq!(Response::parse(&[b'+'; LINE_BYTES_MAX + 1]), Err(LineTooLong));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| ["*1\r\n".repeat(depth), ":1\r\n".to_owned()].concat();
    assert!(Response::parse(nested(DEPTH_MAX).as_bytes()).unwrap().is_some());
    assert_eq!(Response::parse(nested(DEPTH_MAX + 1).as_bytes()), Err(ResponseError::TooDeep));
    assert_eq!(Response::parse("*1\r\n".repeat(3_000_000).as_bytes()), Err(ResponseError::TooDeep));
}

#[test]
fn a_count_reserves_nothing() {
    let mut parser = ResponseParser::default();
    assert_eq!(parser.parse(b"*2147483647\r\n%1000000000\r\n:1\r\n$536870912\r\nx"), Ok(None));
    assert!(parser.open.iter().all(|aggregate| aggregate.elements.capacity() < 16));
}

fn write(value: &Response, out: &mut Vec<u8>) {
    use Response::*;
    let mut line = |kind: char, text: &[u8]| {
        out.extend_from_slice(&[kind.to_string().as_bytes(), text, b"\r\n"].concat())
    };
    let counted = |len: usize| len.to_string().into_bytes();
    match value {
        Simple(text) => line('+', text),
        Error(text) => line('-', text),
        Integer(n) => line(':', n.to_string().as_bytes()),
        Bulk(text) => line('$', &[&counted(text.len()), &b"\r\n"[..], text].concat()),
        Null => line('_', b""),
        Double(n) => line(',', crate::number::format_g17(*n).as_bytes()),
        Boolean(b) => line('#', if *b { b"t" } else { b"f" }),
        BigNumber(digits) => line('(', digits),
        Verbatim { format, text } => {
            line('=', &[&counted(text.len() + 4), &b"\r\n"[..], format, b":", text].concat());
        }
        Array(elements) | Set(elements) | Push(elements) => {
            let kind = match value {
                Array(_) => '*',
                Set(_) => '~',
                _ => '>',
            };
            line(kind, &counted(elements.len()));
            elements.iter().for_each(|element| write(element, out));
        }
        Map(pairs) => {
            line('%', &counted(pairs.len()));
            pairs.iter().for_each(|(key, value)| {
                write(key, out);
                write(value, out);
            });
        }
    }
}

fn any_response() -> impl Strategy<Value = Response> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let text = || "[ -~]{0,12}".prop_map(String::into_bytes);
    let leaf = prop_oneof![
        text().prop_map(Response::Simple),
        text().prop_map(Response::Error),
        any::<i64>().prop_map(Response::Integer),
        bytes().prop_map(Response::Bulk),
        Just(Response::Null),
        (-1e300f64..1e300).prop_map(Response::Double),
        any::<bool>().prop_map(Response::Boolean),
        "-?[0-9]{1,40}".prop_map(|digits| Response::BigNumber(digits.into_bytes())),
        bytes().prop_map(|text| Response::Verbatim { format: *b"txt", text }),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let elements = || prop::collection::vec(inner.clone(), 0..5);
        prop_oneof![
            elements().prop_map(Response::Array),
            elements().prop_map(Response::Set),
            elements().prop_map(Response::Push),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Response::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_any_pieces(value in any_response()) {
        let mut reply = Vec::new();
        write(&value, &mut reply);
        prop_assert_eq!(parse_whole(&reply), value.clone());
        prop_assert_eq!(parse_by_bytes(&reply), value);
    }

    #[test]
    fn garbage_is_read_or_refused(reply in prop::collection::vec(prop::sample::select(b"*$%~>|=!,:+-_#(0123456789\r\n\r\ntfx".to_vec()), 0..60)) {
        let whole = Response::parse(&reply);
        let mut parser = ResponseParser::default();
        let mut pieces = Ok(None);
        for len in 0..=reply.len() {
            pieces = parser.parse(&reply[..len]);
            if pieces != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
    }
}
