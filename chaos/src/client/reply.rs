//! Replies as the wire says them, in RESP2 and RESP3, and the reader that takes them out of a byte stream.

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::console::quoted;

/// Deeper nesting than any command answers with.
const DEPTH_MAX: u32 = 32;

/// One reply. Texts that servers choose (errors, simple strings) are kept as text, payloads as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+text`
    Simple(String),
    /// `-text`
    Error(String),
    /// `:n`
    Integer(i64),
    /// `$len`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `*len`
    Array(Vec<Reply>),
    /// `%pairs`
    Map(Vec<(Reply, Reply)>),
    /// `~len`
    Set(Vec<Reply>),
    /// `>len`
    Push(Vec<Reply>),
    /// `,text`: as text, because the digits are part of what is compared
    Double(String),
    /// `#t` or `#f`
    Boolean(bool),
    /// `(digits`
    BigNumber(String),
    /// `=len`: the three letters of the format, and the text
    Verbatim(String, Vec<u8>),
}

impl Reply {
    /// Whether this is the simple string `text`.
    #[must_use]
    pub fn is_simple(&self, text: &str) -> bool {
        matches!(self, Self::Simple(own) if own == text)
    }

    /// Whether this is any form of nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::NullBulk | Self::NullArray | Self::Null)
    }

    /// Whether this is an error reply.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The payload of any form of string.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) | Self::Verbatim(_, bytes) => Some(bytes),
            Self::Simple(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// Strings and numbers as text.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Integer(n) => Some(n.to_string()),
            _ => self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        }
    }

    /// The elements of an array, set or push message.
    #[must_use]
    pub fn elements(&self) -> Option<&[Reply]> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Integer(n) => write!(f, ":{n}"),
            Self::Bulk(bytes) => f.write_str(&quoted(bytes)),
            Self::NullBulk => f.write_str("$-1"),
            Self::NullArray => f.write_str("*-1"),
            Self::Null => f.write_str("_"),
            Self::Array(elements) => list(f, "*", elements),
            Self::Set(elements) => list(f, "~", elements),
            Self::Push(elements) => list(f, ">", elements),
            Self::Map(pairs) => {
                f.write_str("%{")?;
                for (key, value) in pairs {
                    write!(f, "{key}: {value}, ")?;
                }
                f.write_str("}")
            }
            Self::Double(text) => write!(f, ",{text}"),
            Self::Boolean(yes) => write!(f, "#{}", if *yes { 't' } else { 'f' }),
            Self::BigNumber(text) => write!(f, "({text}"),
            Self::Verbatim(format, bytes) => write!(f, "={format}:{}", quoted(bytes)),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, sign: &str, elements: &[Reply]) -> fmt::Result {
    write!(f, "{sign}[")?;
    for (index, element) in elements.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{element}")?;
    }
    f.write_str("]")
}

/// Takes replies out of a stream that arrives in pieces. A reply that is not whole yet is read again from its start
/// when more has come: simple, and fast enough for replies of the size that checks ask for.
#[derive(Default)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    /// Bytes at the buffer's start that belong to replies already taken.
    taken: usize,
}

impl ReplyReader {
    /// Adds what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole reply, or `None` until more arrives. An error means that the peer does not speak RESP.
    pub fn next_reply(&mut self) -> Result<Option<Reply>> {
        let mut cursor = Cursor { bytes: &self.buffer, at: self.taken };
        let reply = cursor.reply(DEPTH_MAX)?;
        if reply.is_some() {
            self.taken = cursor.at;
        }
        Ok(reply)
    }

    /// Takes out the bytes that no reply has been made of.
    pub fn take_unread(&mut self) -> Vec<u8> {
        let unread = self.buffer.split_off(self.taken);
        self.buffer.clear();
        self.taken = 0;
        unread
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn reply(&mut self, depth_left: u32) -> Result<Option<Reply>> {
        let Some(line) = self.line() else { return Ok(None) };
        let Some((&sign, rest)) = line.split_first() else { bail!("an empty line where a reply begins") };
        let text = std::str::from_utf8(rest).with_context(|| format!("not text: {}", quoted(rest)));
        let deeper = depth_left.checked_sub(1).context("a reply nested too deeply")?;
        let reply = match sign {
            b'+' => Reply::Simple(text?.to_owned()),
            // Error texts repeat arguments, which may be any bytes.
            b'-' => Reply::Error(String::from_utf8_lossy(rest).into_owned()),
            b':' => Reply::Integer(text?.parse().context("a bad integer")?),
            b',' => Reply::Double(text?.to_owned()),
            b'(' => Reply::BigNumber(text?.to_owned()),
            b'#' => Reply::Boolean(rest == b"t"),
            b'_' => Reply::Null,
            b'$' if rest == b"-1" => Reply::NullBulk,
            b'*' if rest == b"-1" => Reply::NullArray,
            b'$' | b'=' => {
                let Some(payload) = self.payload(length(text?)?)? else { return Ok(None) };
                if sign == b'$' { Reply::Bulk(payload) } else { verbatim(payload)? }
            }
            b'*' | b'~' | b'>' => {
                let Some(elements) = self.elements(length(text?)?, deeper)? else { return Ok(None) };
                match sign {
                    b'*' => Reply::Array(elements),
                    b'~' => Reply::Set(elements),
                    _ => Reply::Push(elements),
                }
            }
            b'%' => {
                let Some(flat) = self.elements(2 * length(text?)?, deeper)? else { return Ok(None) };
                let mut pairs = Vec::with_capacity(flat.len() / 2);
                let mut flat = flat.into_iter();
                while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((key, value));
                }
                Reply::Map(pairs)
            }
            _ => bail!("no reply begins like this: {}", quoted(line)),
        };
        Ok(Some(reply))
    }

    /// The line at the cursor without its end, which is passed.
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
        self.at += length + 2;
        Some(&rest[..length])
    }

    fn payload(&mut self, length: usize) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = self.bytes.get(self.at..).and_then(|rest| rest.get(..length.checked_add(2)?))
        else {
            return Ok(None);
        };
        if !bytes.ends_with(b"\r\n") {
            bail!("a payload of {length} bytes does not end in a line break");
        }
        self.at += length + 2;
        Ok(Some(bytes[..length].to_vec()))
    }

    fn elements(&mut self, count: usize, depth_left: u32) -> Result<Option<Vec<Reply>>> {
        let mut elements = Vec::new();
        for _ in 0..count {
            let Some(element) = self.reply(depth_left)? else { return Ok(None) };
            elements.push(element);
        }
        Ok(Some(elements))
    }
}

fn verbatim(payload: Vec<u8>) -> Result<Reply> {
    let (format, text) = payload.split_at_checked(4).context("a verbatim text without a format")?;
    let format = String::from_utf8_lossy(&format[..3]).into_owned();
    Ok(Reply::Verbatim(format, text.to_vec()))
}

fn length(text: &str) -> Result<usize> {
    text.parse().with_context(|| format!("a bad length: {text}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> Vec<Reply> {
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        for byte in bytes {
            reader.feed(std::slice::from_ref(byte));
            replies.extend(reader.next_reply().unwrap());
        }
        replies
    }

    #[test]
    fn reads_every_type_byte_by_byte() {
        let wire = b"+OK\r\n-ERR no\r\n:-5\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n_\r\n*2\r\n:1\r\n$0\r\n\r\n\
                     %1\r\n+k\r\n,1.5\r\n~1\r\n#t\r\n=7\r\ntxt:abc\r\n(123\r\n>1\r\n+x\r\n";
        let replies = read_all(wire);
        let shown: Vec<String> = replies.iter().map(Reply::to_string).collect();
        let expected = [
            "+OK",
            "-ERR no",
            ":-5",
            "\"a\\r\\n\"",
            "$-1",
            "*-1",
            "_",
            "*[:1, \"\"]",
            "%{+k: ,1.5, }",
            "~[#t]",
            "=txt:\"abc\"",
            "(123",
            ">[+x]",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn refuses_what_is_not_resp() {
        for wire in [&b"hello\r\n"[..], b"$x\r\n", b"$1\r\nabcd", b"\r\n"] {
            let mut reader = ReplyReader::default();
            reader.feed(wire);
            assert!(reader.next_reply().is_err(), "{}", quoted(wire));
        }
    }
}
