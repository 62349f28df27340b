//! The bodies of the fuzz targets. They check more than "no panic": the same bytes in other pieces must mean the same.
//!
//! The crate in `fuzz/` feeds them by coverage; the test at the end drives them with mutated seeds on every test run.
//! They panic where a property fails, which is their way to report.
#![allow(missing_docs)]

use crate::number::{LongDouble, format_g17, parse_f64, parse_i64};
use crate::psync::{
    EofMark, EofScanner, HandshakeReply, PayloadHead, PsyncReply, PsyncRequest, ReplconfOptions, take_line,
};
use crate::resp::{
    RequestError, RequestLimits, RequestParser, Response, ResponseParser, encode_command, split_args,
};

/// The first byte chooses limits and the sizes of the pieces, the rest is what a client sends.
pub fn request(data: &[u8]) {
    let Some((choice, stream)) = data.split_first() else { return };
    let limits = match choice % 3 {
        0 => RequestLimits::default(),
        1 => RequestLimits::unauthenticated(),
        _ => RequestLimits::master(),
    };
    let whole = read_requests(stream, &limits, stream.len().max(1));
    let pieces = read_requests(stream, &limits, 1 + usize::from(choice / 3) % 16);
    assert_eq!(whole, pieces, "the same bytes in pieces were read otherwise");
    for args in whole.0.iter().filter(|args| !args.is_empty()) {
        let mut again = Vec::new();
        encode_command(&mut again, args);
        let (requests, end) = read_requests(&again, &RequestLimits::default(), again.len());
        assert_eq!(
            (requests.as_slice(), end),
            (std::slice::from_ref(args), Ok(0)),
            "what was read must be writable"
        );
    }
}

type Requests = (Vec<Vec<Vec<u8>>>, Result<usize, RequestError>);

fn read_requests(stream: &[u8], limits: &RequestLimits, piece: usize) -> Requests {
    let mut parser = RequestParser::default();
    let (mut requests, mut buf, mut args) = (Vec::new(), Vec::new(), Vec::new());
    for piece in stream.chunks(piece) {
        buf.extend_from_slice(piece);
        loop {
            args.clear();
            match parser.parse(&mut buf, limits, &mut args) {
                Ok(Some(len)) => {
                    assert!(
                        len > 0 && len <= buf.len(),
                        "a request takes bytes, and only those that are there"
                    );
                    requests.push(args.iter().map(|arg| arg.of(&buf).to_vec()).collect());
                    buf.drain(..len);
                }
                Ok(None) => break,
                Err(error) => return (requests, Err(error)),
            }
        }
        assert!(args.capacity() <= stream.len() + 16, "room was made on a claim alone");
    }
    (requests, Ok(buf.len()))
}

/// What a server sends.
pub fn response(data: &[u8]) {
    let mut rest = data;
    loop {
        let whole = Response::parse(rest);
        let mut parser = ResponseParser::default();
        let step = 1 + rest.len() / 64;
        let mut pieces = Ok(None);
        for len in (0..rest.len()).step_by(step).chain([rest.len()]) {
            pieces = parser.parse(&rest[..len]);
            if !matches!(pieces, Ok(None)) {
                break;
            }
        }
        // Compared as text: a NaN is not equal to itself.
        assert_eq!(
            format!("{whole:?}"),
            format!("{pieces:?}"),
            "the same bytes in pieces were read otherwise"
        );
        match whole {
            Ok(Some((_, len))) => rest = &rest[len..],
            Ok(None) | Err(_) => return,
        }
    }
}

/// What masters and replicas say: each line as every kind of line, then all of it as a snapshot with an end mark.
pub fn psync(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((line, len))) = take_line(rest) {
        psync_line(line);
        rest = &rest[len..];
    }
    let Some((mark, stream)) = data.split_first_chunk() else { return };
    let mark = EofMark::new(*mark);
    let whole = scan(mark, stream, stream.len().max(1));
    assert_eq!(whole, scan(mark, stream, 1 + stream.len() % 50), "the mark was found elsewhere in pieces");
    let expected = stream.windows(EofMark::BYTES).position(|window| window == mark.as_bytes());
    assert_eq!(whole.1, expected.is_some());
    assert!(expected.is_none_or(|at| whole.0 == stream[..at]));
}

fn psync_line(line: &[u8]) {
    // Results are of no interest; that there are any is.
    let _ = PsyncReply::parse(line);
    let _ = HandshakeReply::parse(line).allows_auth();
    if let Ok(head) = PayloadHead::parse(line) {
        let mut again = Vec::new();
        head.write(&mut again);
        assert!(matches!(take_line(&again), Ok(Some((line, _))) if PayloadHead::parse(line) == Ok(head)));
    }
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let _ = PsyncRequest::parse(&words);
    if let Ok(options) = ReplconfOptions::new(&words) {
        for error in options.filter_map(Result::err) {
            error.write_text(&mut Vec::new());
        }
    }
    words.iter().for_each(|word| number(word));
    let _ = split_args(&mut line.to_vec(), &mut Vec::new());
}

fn number(text: &[u8]) {
    if let Some(n) = parse_i64(text) {
        assert_eq!(n.to_string().as_bytes(), text, "an integer has one form");
    }
    if let Some(n) = parse_f64(text) {
        assert_eq!(parse_f64(format_g17(n).as_bytes()).map(f64::to_bits), Some(n.to_bits()));
    }
    if let Some(n) = LongDouble::parse(text) {
        let _ = n.to_human_string();
        let _ = n.checked_add(LongDouble::from_integer(i64::MIN));
    }
}

fn scan(mark: EofMark, stream: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let mut scanner = EofScanner::new(mark);
    let mut payload = Vec::new();
    for piece in stream.chunks(piece) {
        let scan = scanner.push(piece);
        payload.extend_from_slice(scan.held);
        payload.extend_from_slice(scan.payload);
    }
    (payload, scanner.is_finished())
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
        b"*1\r\n",
        b"$1\r\n",
        b"*-1\r\n",
        b"$-1\r\n",
        b"*3\r\n$3\r\nSET\r\n",
        b"$4\r\nPING\r\n",
        b"\"",
        b"'",
        b"\\x4",
        b"\0",
        b"\xff",
        b"2147483647",
        b"9223372036854775808",
        b"-",
        b"%1\r\n",
        b"~2\r\n",
        b">1\r\n",
        b"|1\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1e5\r\n",
        b",nan\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"!3\r\nERR\r\n",
        b"+OK\r\n",
        b"-ERR x\r\n",
        b"(12\r\n",
        b"$EOF:",
        b"+FULLRESYNC ",
        b"+CONTINUE ",
        b"capa eof ",
        b"rdb-filter-only ",
        b"ACK 5 FACK ",
        b"aaaaaaaaaaaaaaaaaaaa",
        b"0x1p-1074",
        b"1e4932",
        b"inf ",
        b" ",
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
    fn mutated_requests() {
        let seeds: &[&[u8]] = &[
            b"\x00*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n",
            b"\x07SET \"a\\x41\\n\" 'b\\'c'\r\nPING\n",
            b"\x0d*2\r\n$0\r\n\r\n$12\r\n0123456789\r\n\r\n\n*0\r\n*-1\r\n",
        ];
        drive(request, seeds, 120_000);
    }

    #[test]
    fn mutated_responses() {
        let seeds: &[&[u8]] = &[
            b"*3\r\n:1\r\n$3\r\nabc\r\n*-1\r\n+OK\r\n-ERR x\r\n",
            b"%2\r\n+a\r\n~1\r\n#t\r\n$1\r\nb\r\n,1.5\r\n",
            b"|1\r\n+k\r\n:1\r\n>2\r\n=7\r\ntxt:abc\r\n(123\r\n_\r\n",
        ];
        drive(response, seeds, 60_000);
    }

    #[test]
    fn mutated_links() {
        let seeds: &[&[u8]] = &[
            b"\n+FULLRESYNC 41bf1d3da4c5e376b51485a86a5bdd24a531c847 500\r\n$EOF:41bf1d3da4c5e376b51485a86a5bdd24a531c847\r\n",
            b"+CONTINUE 41bf1d3da4c5e376b51485a86a5bdd24a531c847\r\n$1234\r\n-NOMASTERLINK x\r\n",
            b"listening-port 6379 capa eof capa psync2 version 9.1.2\nrdb-filter-only functions\nACK 5 FACK 4\n",
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaREDISaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        ];
        drive(psync, seeds, 60_000);
    }
}
