//! Writes replies in RESP2 or RESP3 straight into a connection's output buffer.
//!
//! It does not check that an announced array, map or set gets the elements that it promised: only the command knows.

use crate::number::format_score;

/// Which protocol a client speaks; HELLO switches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RespVersion {
    /// RESP2, what every connection begins with.
    #[default]
    Two,
    /// RESP3.
    Three,
}

/// Appends replies to `out` in the client's protocol version. RESP3-only types fall back as Redis does.
pub struct ReplyWriter<'a> {
    out: &'a mut Vec<u8>,
    version: RespVersion,
}

impl<'a> ReplyWriter<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, version: RespVersion) -> Self {
        Self { out, version }
    }

    /// The client's protocol version.
    #[must_use]
    pub fn version(&self) -> RespVersion {
        self.version
    }

    /// From here on, replies are in this version (HELLO).
    pub fn set_version(&mut self, version: RespVersion) {
        self.version = version;
    }

    /// Bytes in the output buffer so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing stands in the output buffer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back everything written after the buffer had `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// `+text`. Line breaks become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `-text`; `text` begins with its prefix (`ERR ...`, `WRONGTYPE ...`). Line breaks become spaces.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// As [`ReplyWriter::error`], for texts that repeat a client's bytes, whatever they are.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// `:n`.
    #[inline]
    pub fn integer(&mut self, n: i64) {
        push_head(self.out, b':', n);
    }

    /// `$len` and the bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + HEAD_BYTES_MAX + 2);
        push_head(self.out, b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A bulk string of a decimal number.
    pub fn bulk_integer(&mut self, n: i64) {
        let mut buffer = itoa::Buffer::new();
        self.bulk(buffer.format(n).as_bytes());
    }

    /// `$-1` in RESP2, `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(self.choose(b"$-1\r\n", b"_\r\n"));
    }

    /// `*-1` in RESP2, `_` in RESP3.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(self.choose(b"*-1\r\n", b"_\r\n"));
    }

    /// The head of an array of `len` elements, which the caller writes next.
    #[inline]
    pub fn array(&mut self, len: usize) {
        push_head(self.out, b'*', len as i64);
    }

    /// The head of a map of `pairs`: `%` in RESP3, a flat array of twice as many in RESP2.
    pub fn map(&mut self, pairs: usize) {
        match self.version {
            RespVersion::Two => push_head(self.out, b'*', 2 * pairs as i64),
            RespVersion::Three => push_head(self.out, b'%', pairs as i64),
        }
    }

    /// The head of a set: `~` in RESP3, an array in RESP2.
    pub fn set(&mut self, len: usize) {
        push_head(self.out, self.choose(b'*', b'~'), len as i64);
    }

    /// The head of a push message: `>` in RESP3, an array in RESP2.
    pub fn push(&mut self, len: usize) {
        push_head(self.out, self.choose(b'*', b'>'), len as i64);
    }

    /// A double: `,` in RESP3, a bulk string in RESP2, in the shortest form.
    pub fn double(&mut self, n: f64) {
        let text = format_score(n);
        match self.version {
            RespVersion::Two => self.bulk(text.as_bytes()),
            RespVersion::Three => self.line(b',', text.as_bytes()),
        }
    }

    /// `#t` / `#f` in RESP3, `:1` / `:0` in RESP2.
    pub fn boolean(&mut self, b: bool) {
        let text = if b { self.choose(b":1\r\n", b"#t\r\n") } else { self.choose(b":0\r\n", b"#f\r\n") };
        self.out.extend_from_slice(text);
    }

    /// A text for people (`=txt:` in RESP3, a bulk string in RESP2): INFO, CLIENT LIST.
    pub fn verbatim(&mut self, text: &[u8]) {
        match self.version {
            RespVersion::Two => self.bulk(text),
            RespVersion::Three => {
                push_head(self.out, b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Bytes that are RESP already.
    pub fn raw(&mut self, resp: &[u8]) {
        self.out.extend_from_slice(resp);
    }

    fn choose<T>(&self, two: T, three: T) -> T {
        match self.version {
            RespVersion::Two => two,
            RespVersion::Three => three,
        }
    }

    /// A reply that ends with its line. A line break inside would be read as the end of the reply by the client, so
    /// none is let through: those around the text are dropped, those within become spaces, as in Redis.
    fn line(&mut self, kind: u8, text: &[u8]) {
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = text.iter().position(|byte| !is_break(byte)).unwrap_or(text.len());
        let end = text.iter().rposition(|byte| !is_break(byte)).map_or(start, |last| last + 1);
        self.out.reserve(end - start + 3);
        self.out.push(kind);
        self.out.extend(text[start..end].iter().map(|byte| if is_break(byte) { b' ' } else { *byte }));
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Bytes of a head line at most: its kind, a sign, 19 digits, the line break.
const HEAD_BYTES_MAX: usize = 23;

/// Appends a line of `kind` and a number: `:5`, `$16`, `*3`.
#[inline]
pub(super) fn push_head(out: &mut Vec<u8>, kind: u8, n: i64) {
    if (0..10).contains(&n) {
        out.extend_from_slice(&[kind, b'0' + n as u8, b'\r', b'\n']);
    } else if (10..100).contains(&n) {
        out.extend_from_slice(&[kind, b'0' + (n / 10) as u8, b'0' + (n % 10) as u8, b'\r', b'\n']);
    } else {
        push_long_head(out, kind, n);
    }
}

fn push_long_head(out: &mut Vec<u8>, kind: u8, n: i64) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n).as_bytes();
    out.reserve(HEAD_BYTES_MAX);
    out.push(kind);
    out.extend_from_slice(digits);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: RespVersion, write: impl Fn(&mut ReplyWriter<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut ReplyWriter::new(&mut out, version));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn each_type_in_both_versions() {
        type Case = (fn(&mut ReplyWriter<'_>), &'static str, &'static str);
        // Compared with what `DEBUG PROTOCOL` of a redis-server 7.0.15 and ZSCORE of an 8.2 answer.
        let table: &[Case] = &[
            (|w| w.ok(), "+OK\r\n", "+OK\r\n"),
            (|w| w.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
            (|w| w.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|w| w.integer(7), ":7\r\n", ":7\r\n"),
            (|w| w.integer(42), ":42\r\n", ":42\r\n"),
            (|w| w.integer(100), ":100\r\n", ":100\r\n"),
            (|w| w.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|w| w.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
            (|w| w.bulk_integer(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n"),
            (|w| w.null(), "$-1\r\n", "_\r\n"),
            (|w| w.null_array(), "*-1\r\n", "_\r\n"),
            (|w| w.array(1000), "*1000\r\n", "*1000\r\n"),
            (|w| w.map(3), "*6\r\n", "%3\r\n"),
            (|w| w.set(3), "*3\r\n", "~3\r\n"),
            (|w| w.push(2), "*2\r\n", ">2\r\n"),
            (|w| w.double(0.1), "$3\r\n0.1\r\n", ",0.1\r\n"),
            (|w| w.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (|w| w.boolean(true), ":1\r\n", "#t\r\n"),
            (|w| w.boolean(false), ":0\r\n", "#f\r\n"),
            (|w| w.verbatim(b"a\nb"), "$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n"),
            (|w| w.raw(b":1\r\n"), ":1\r\n", ":1\r\n"),
        ];
        for (write, two, three) in table {
            assert_eq!(written(RespVersion::Two, write), *two);
            assert_eq!(written(RespVersion::Three, write), *three);
        }
    }

    #[test]
    fn a_text_cannot_smuggle_a_reply() {
        assert_eq!(written(RespVersion::Two, |w| w.error("ERR got '\r\n+OK'\r\n")), "-ERR got '  +OK'\r\n");
        assert_eq!(written(RespVersion::Two, |w| w.error("\n")), "-\r\n");
        assert_eq!(written(RespVersion::Two, |w| w.simple("a\nb")), "+a b\r\n");
        let mut out = Vec::new();
        ReplyWriter::new(&mut out, RespVersion::Two).error_bytes(b"ERR f\xffo");
        assert_eq!(out, b"-ERR f\xffo\r\n");
    }

    #[test]
    fn what_was_written_can_be_taken_back() {
        let mut out = b"+OK\r\n".to_vec();
        let mut writer = ReplyWriter::new(&mut out, RespVersion::Two);
        let mark = writer.len();
        writer.array(5);
        writer.truncate(mark);
        writer.set_version(RespVersion::Three);
        writer.null();
        assert_eq!(out, b"+OK\r\n_\r\n");
    }
}
