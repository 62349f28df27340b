//! Small requests that are malformed, or legal and odd. Each goes to the subject and to redis-server 7.0.15, and both must
//! answer the same bytes before they close the connection.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::client::{Client, encode_command};
use crate::console::quoted;
use crate::servers::Server;

/// How long a server may take to close a connection whose other half we have closed.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// Redis' limit for a line: one byte more is refused.
const LINE_MAX: usize = 64 * 1024;

/// Something to send, as it goes over the wire.
pub(super) struct Request {
    pub(super) name: String,
    bytes: Vec<u8>,
    expect: Expect,
}

/// What the answer must be.
#[derive(Clone, Copy)]
enum Expect {
    /// What redis-server answers.
    SameAsRedis,
    /// Anything, as replies hold ids that differ between servers; the server must survive.
    Survival,
    /// This, which is not what redis-server answers.
    Reply(&'static [u8]),
}

/// Malformed or odd bytes.
const RAW: &[(&str, &[u8])] = &[
    ("array in an array", b"*1\r\n*1\r\n$4\r\nPING\r\n"),
    ("integer as an argument", b"*1\r\n:5\r\n"),
    ("word as an argument", b"*1\r\nPING\r\n"),
    ("empty array, then PING", b"*0\r\n*1\r\n$4\r\nPING\r\n"),
    ("array of -1, then PING", b"*-1\r\nPING\r\n"),
    ("array of -10, then PING", b"*-10\r\nPING\r\n"),
    ("array of 2^31", b"*2147483648\r\n"),
    ("array of 10^20", b"*99999999999999999999\r\n"),
    ("array of no number", b"*abc\r\n"),
    ("array of nothing", b"*\r\n"),
    ("array length with a blank", b"* 1\r\n$4\r\nPING\r\n"),
    ("array length with a plus", b"*+1\r\n$4\r\nPING\r\n"),
    ("array length with a leading zero", b"*01\r\n$4\r\nPING\r\n"),
    ("argument of -1", b"*1\r\n$-1\r\n"),
    ("argument of -2", b"*2\r\n$4\r\nECHO\r\n$-2\r\n"),
    ("argument of no number", b"*1\r\n$abc\r\n"),
    ("argument of nothing", b"*1\r\n$\r\n"),
    ("argument of 512 MB and one byte", b"*1\r\n$536870913\r\n"),
    ("argument of 10^20", b"*1\r\n$99999999999999999999\r\n"),
    ("empty command name", b"*1\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n"),
    ("half an array header", b"*2"),
    ("half an argument", b"*2\r\n$4\r\nECHO\r\n$10\r\nabc"),
    ("argument without its line break", b"*2\r\n$4\r\nECHO\r\n$3\r\nabcXY*1\r\n$4\r\nPING\r\n"),
    ("good command before a bad one", b"*1\r\n$4\r\nPING\r\n*1\r\n*1\r\n"),
    ("good command behind a bad one", b"*1\r\n$-5\r\n*1\r\n$4\r\nPING\r\n"),
    ("empty lines", b"\r\n\r\n\n\nPING\r\n"),
    ("line that ends in LF alone", b"PING\n"),
    ("line of blanks", b"    \r\nPING\r\n"),
    ("line with an open quote", b"SET a \"b\r\n"),
    ("line with text behind a quote", b"SET a \"b\"c\r\n"),
    ("line with a lone single quote", b"SET a 'b\r\n"),
    ("line with escapes", b"ECHO \"\\x41\\n\\t\\\\\\\"\"\r\n"),
    ("line of high bytes", b"\xff\xfe\xfd\xfc\r\n"),
    ("HTTP POST", b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("a reply", b"+OK\r\n-ERR no\r\n:1\r\n"),
];

/// What is answered otherwise than by redis-server, which looks for the end of a line with C's string functions and
/// waits for ever behind a zero, and which loses the replies before `Host:` that it has not sent yet.
const ANSWERED_OTHERWISE: &[(&str, &[u8], &[u8])] = &[
    ("line of zeros", b"\x00\x00\x00\r\n", b"-ERR unknown command '', with args beginning with: \r\n"),
    (
        "line with a zero inside",
        b"PI\x00NG\r\n",
        b"-ERR unknown command 'PI', with args beginning with: \r\n",
    ),
    (
        "HTTP GET",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"-ERR wrong number of arguments for 'get' command\r\n",
    ),
    (
        "a TLS hello",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n",
        b"-ERR unknown command '\x16\x03\x01', with args beginning with: \r\n",
    ),
];

/// Garbage where a replica would introduce itself.
const HANDSHAKES: &[(&str, &[&str])] = &[
    ("REPLCONF alone", &["REPLCONF"]),
    ("REPLCONF with a name alone", &["REPLCONF", "listening-port"]),
    ("REPLCONF of an unknown option", &["REPLCONF", "nosuch", "value"]),
    ("REPLCONF of an odd name", &["REPLCONF", "no\r\nsuch", "value"]),
    ("REPLCONF listening-port abc", &["REPLCONF", "listening-port", "abc"]),
    ("REPLCONF listening-port 10^20", &["REPLCONF", "listening-port", "99999999999999999999"]),
    ("REPLCONF of an unknown capability", &["REPLCONF", "capa", "nosuch", "capa", ""]),
    ("REPLCONF of a long ip-address", &["REPLCONF", "ip-address", LONG_NAME]),
    ("REPLCONF ACK of a client", &["REPLCONF", "ACK", "abc"]),
    ("REPLCONF GETACK of a client", &["REPLCONF", "GETACK", "*"]),
    ("PSYNC alone", &["PSYNC"]),
    ("PSYNC without an offset", &["PSYNC", "?"]),
    ("PSYNC with an offset of no number", &["PSYNC", "?", "abc"]),
    ("PSYNC with an offset of 10^20", &["PSYNC", "?", "99999999999999999999"]),
    ("SYNC with an argument", &["SYNC", "now"]),
    ("REPLICAOF alone", &["REPLICAOF"]),
    ("REPLICAOF with a port of no number", &["REPLICAOF", "127.0.0.1", "abc"]),
];

const LONG_NAME: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// All requests.
pub(super) fn all() -> Vec<Request> {
    let request =
        |name: &str, bytes: Vec<u8>| Request { name: name.to_owned(), bytes, expect: Expect::SameAsRedis };
    let commands = |all: &[&[&[u8]]]| {
        let mut bytes = Vec::new();
        all.iter().for_each(|args| encode_command(&mut bytes, args));
        bytes
    };
    let mut requests: Vec<Request> = RAW.iter().map(|(name, bytes)| request(name, bytes.to_vec())).collect();
    for (name, bytes, reply) in ANSWERED_OTHERWISE {
        requests.push(Request {
            name: (*name).to_owned(),
            bytes: bytes.to_vec(),
            expect: Expect::Reply(reply),
        });
    }
    for (name, args) in HANDSHAKES {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        requests.push(request(name, commands(&[&args, &[b"PING"]])));
    }
    let long = |start: &[u8], byte: u8| [start, &vec![byte; LINE_MAX + 64]].concat();
    requests.push(request("line without an end", long(b"", b'a')));
    requests.push(request("array length without an end", long(b"*", b'1')));
    requests.push(request("argument length without an end", long(b"*1\r\n$", b'1')));
    let binary: Vec<u8> = (0..=255).collect();
    requests.push(request(
        "binary keys and values",
        commands(&[
            &[b"SET", &binary, &binary],
            &[b"GET", &binary],
            &[b"HSET", b"\x00", b"\r\n", b""],
            &[b"HGETALL", b"\x00"],
            &[b"DEL", &binary, b"\x00"],
        ]),
    ));
    requests.push(request("unknown command of binary bytes", commands(&[&[&binary, &binary]])));
    for (name, args) in [
        ("PSYNC of a replid that is none", &[&b"PSYNC"[..], &[b'z'; 1000], b"5"][..]),
        ("PSYNC, then garbage", &[b"PSYNC", b"?", b"-1"]),
        ("PSYNC of a negative offset", &[b"PSYNC", &[b'a'; 40], b"-9223372036854775808"]),
    ] {
        let mut bytes = commands(&[args, &[b"REPLCONF", b"ACK", b"abc"], &[b"REPLCONF", b"ACK", b"-5"]]);
        bytes.extend_from_slice(b"*1\r\n*1\r\n\x00garbage\r\n");
        requests.push(Request { name: name.to_owned(), bytes, expect: Expect::Survival });
    }
    requests
}

/// Sends the request to both servers and insists on equal answers. Returns the answer for people.
pub(super) fn compare(request: &Request, reference: &Server, subject: &Server) -> Result<String> {
    let actual = answer_of(subject, &request.bytes)?;
    let expected = match request.expect {
        Expect::SameAsRedis => answer_of(reference, &request.bytes)?,
        Expect::Reply(reply) => reply.to_vec(),
        Expect::Survival => return Ok("survived".to_owned()),
    };
    ensure!(expected == actual, "expected {}\n  this answers {}", quoted(&expected), quoted(&actual));
    Ok(quoted(&expected))
}

/// Everything that comes back until the server closes, which it does at the latest when it sees that we are done.
fn answer_of(server: &Server, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut client = Client::connect(server.port())?;
    client.stream().set_read_timeout(Some(CLOSE_DEADLINE)).context("setting the read timeout")?;
    client.queue_raw(bytes);
    // A server that refuses early closes while we still send.
    let _ = client.flush();
    let _ = client.finish_sending();
    match client.read_to_close() {
        Ok(answer) => Ok(answer),
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(is_reset) => Ok(b"(reset)".to_vec()),
        Err(error) => Err(error).context("reading the answer"),
    }
}

fn is_reset(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionReset
}
