//! Reads replies, RESP2 and RESP3, into values: for clients, tests, tools, and the handshake on a link.
//!
//! It is stricter than the request parser: a server's line ends are checked. Attributes (`|`) are read and dropped;
//! streamed types (`$?`, `*?`), which no known server sends, are refused. Nesting is limited, counts reserve nothing.

use memchr::memchr;
use thiserror::Error;

use crate::number::{parse_f64, parse_i64};

/// One reply. Texts are bytes, because errors repeat what a client sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// `+OK`.
    Simple(Vec<u8>),
    /// `-ERR ...` or RESP3's `!`.
    Error(Vec<u8>),
    /// `:5`.
    Integer(i64),
    /// `$3`.
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Null,
    /// `*2`.
    Array(Vec<Response>),
    /// `%1`: pairs in the order in which they came.
    Map(Vec<(Response, Response)>),
    /// `~2`.
    Set(Vec<Response>),
    /// `>2`: not the answer to anything.
    Push(Vec<Response>),
    /// `,1.5`.
    Double(f64),
    /// `#t`.
    Boolean(bool),
    /// `(123`: its digits.
    BigNumber(Vec<u8>),
    /// `=7`: a text and the three letters that name its format.
    Verbatim {
        /// `txt` or `mkd`.
        format: [u8; 3],
        /// The text itself.
        text: Vec<u8>,
    },
}

impl Response {
    /// Reads the reply that begins at `buf[0]`, and says how many bytes it took; `None` if it has not wholly arrived.
    /// Where replies may be long, keep a [`ResponseParser`]: this one begins anew each time.
    pub fn parse(buf: &[u8]) -> Result<Option<(Self, usize)>, ResponseError> {
        ResponseParser::default().parse(buf)
    }

    /// The text of a simple string, bulk string, verbatim text or big number.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) | Self::Bulk(text) | Self::BigNumber(text) | Self::Verbatim { text, .. } => {
                Some(text)
            }
            _ => None,
        }
    }

    /// The number of an integer.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// The text of an error.
    #[must_use]
    pub fn as_error(&self) -> Option<&[u8]> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array, set or push message.
    #[must_use]
    pub fn as_elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }
}

/// Why a reply cannot be read: the server does not speak RESP, or not as we know it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResponseError {
    /// A reply begins with a byte that names no type.
    #[error("a reply begins with {:?}", char::from(*.0))]
    UnknownType(u8),
    /// A number, length, count, boolean or null that is none.
    #[error("malformed {:?} line in a reply", char::from(*.0))]
    MalformedLine(u8),
    /// A length or count above the limit.
    #[error("a {:?} line of {count} in a reply", char::from(*.kind))]
    TooLarge {
        /// The byte that names the type.
        kind: u8,
        /// What was announced.
        count: i64,
    },
    /// A line longer than 64 KiB.
    #[error("a line of a reply is longer than 64 KiB")]
    LineTooLong,
    /// A carriage return without its line feed, or a string that does not end where it should.
    #[error("a line of a reply does not end with CR LF")]
    MissingLineEnd,
    /// Aggregates nested too deeply.
    #[error("a reply is nested more than 32 deep")]
    TooDeep,
}

/// Aggregates inside each other at most.
const DEPTH_MAX: usize = 32;
/// Bytes of a line at most.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a string at most; what stock servers allow as `proto-max-bulk-len` by default.
const BULK_BYTES_MAX: i64 = 512 << 20;
/// Elements of an aggregate at most.
const ELEMENTS_MAX: i64 = i32::MAX as i64;

/// Reads one reply after another; keeps what it has built of a reply that has not wholly arrived.
#[derive(Debug, Default)]
pub struct ResponseParser {
    /// Where reading goes on, counted from the reply's first byte.
    at: usize,
    /// Bytes from `at` on that hold no line end.
    scanned: usize,
    /// The aggregates that are open, the outermost first.
    open: Vec<Aggregate>,
}

#[derive(Debug)]
struct Aggregate {
    kind: u8,
    /// Elements still to come; a map counts keys and values.
    left: usize,
    elements: Vec<Response>,
}

/// The next thing in a reply.
enum Item {
    Value(Response),
    /// An aggregate of a kind begins, with so many elements (maps: keys and values).
    Open(u8, usize),
}

impl ResponseParser {
    /// Reads the reply that begins at `buf[0]`: `Ok(Some((reply, len)))` if it is whole, `Ok(None)` if more bytes are
    /// needed; then call again with the same reply at `buf[0]`. After an error the connection is of no more use.
    pub fn parse(&mut self, buf: &[u8]) -> Result<Option<(Response, usize)>, ResponseError> {
        loop {
            let mut done = match self.next_item(buf)? {
                None => return Ok(None),
                Some(Item::Value(value)) => Some(value),
                Some(Item::Open(kind, left)) => {
                    if self.open.len() >= DEPTH_MAX {
                        return Err(ResponseError::TooDeep);
                    }
                    let aggregate = Aggregate { kind, left, elements: Vec::new() };
                    if left > 0 {
                        self.open.push(aggregate);
                        continue;
                    }
                    aggregate.close()
                }
            };
            // A value may complete the aggregate around it, and that the one around it.
            while let Some(value) = done.take() {
                let Some(around) = self.open.last_mut() else {
                    let len = std::mem::take(&mut self.at);
                    return Ok(Some((value, len)));
                };
                around.elements.push(value);
                around.left -= 1;
                if around.left == 0 {
                    done = self.open.pop().and_then(Aggregate::close);
                }
            }
        }
    }

    /// Reads one line, and the string behind it if it announces one.
    fn next_item(&mut self, buf: &[u8]) -> Result<Option<Item>, ResponseError> {
        let Some((line, next)) = self.line(buf)? else { return Ok(None) };
        let [kind, text @ ..] = line else { return Err(ResponseError::UnknownType(b'\r')) };
        let kind = *kind;
        let malformed = ResponseError::MalformedLine(kind);
        let value = match kind {
            b'+' => Response::Simple(text.to_vec()),
            b'-' => Response::Error(text.to_vec()),
            b':' => Response::Integer(parse_i64(text).ok_or(malformed)?),
            b'_' if text.is_empty() => Response::Null,
            b',' => Response::Double(parse_double(text).ok_or(malformed)?),
            b'#' => Response::Boolean(match text {
                b"t" => true,
                b"f" => false,
                _ => return Err(malformed),
            }),
            b'(' if is_big_number(text) => Response::BigNumber(text.to_vec()),
            b'_' | b'(' => return Err(malformed),
            b'$' | b'*' if text == b"-1" => Response::Null,
            b'$' | b'!' | b'=' => {
                let len = read_count(kind, text, BULK_BYTES_MAX)?;
                let Some(bytes) = buf.get(next..next + len + 2) else { return Ok(None) };
                let Some(string) = bytes.strip_suffix(b"\r\n") else {
                    return Err(ResponseError::MissingLineEnd);
                };
                let value = string_value(kind, string)?;
                self.advance(next + len + 2);
                return Ok(Some(Item::Value(value)));
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let count = read_count(kind, text, ELEMENTS_MAX)?;
                self.advance(next);
                return Ok(Some(Item::Open(
                    kind,
                    if matches!(kind, b'%' | b'|') { 2 * count } else { count },
                )));
            }
            other => return Err(ResponseError::UnknownType(other)),
        };
        self.advance(next);
        Ok(Some(Item::Value(value)))
    }

    /// The line at `at` and where the next one begins; `None` if it has not wholly arrived.
    fn line<'a>(&mut self, buf: &'a [u8]) -> Result<Option<(&'a [u8], usize)>, ResponseError> {
        let window = buf.get(self.at..).unwrap_or_default();
        let window = &window[..window.len().min(LINE_BYTES_MAX + 1)];
        let from = self.scanned.min(window.len());
        let Some(end) = memchr(b'\r', &window[from..]).map(|found| from + found) else {
            self.scanned = window.len();
            return if window.len() > LINE_BYTES_MAX { Err(ResponseError::LineTooLong) } else { Ok(None) };
        };
        self.scanned = end;
        match buf.get(self.at + end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some((&window[..end], self.at + end + 2))),
            Some(_) => Err(ResponseError::MissingLineEnd),
        }
    }

    fn advance(&mut self, at: usize) {
        self.at = at;
        self.scanned = 0;
    }
}

impl Aggregate {
    /// The finished value; an attribute has none.
    fn close(self) -> Option<Response> {
        match self.kind {
            b'*' => Some(Response::Array(self.elements)),
            b'~' => Some(Response::Set(self.elements)),
            b'>' => Some(Response::Push(self.elements)),
            b'%' => {
                let mut pairs = Vec::with_capacity(self.elements.len() / 2);
                let mut elements = self.elements.into_iter();
                while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                    pairs.push((key, value));
                }
                Some(Response::Map(pairs))
            }
            _ => None,
        }
    }
}

fn read_count(kind: u8, text: &[u8], max: i64) -> Result<usize, ResponseError> {
    match parse_i64(text) {
        Some(count) if count > max => Err(ResponseError::TooLarge { kind, count }),
        Some(count) if count >= 0 => Ok(count as usize),
        _ => Err(ResponseError::MalformedLine(kind)),
    }
}

fn string_value(kind: u8, string: &[u8]) -> Result<Response, ResponseError> {
    match (kind, string) {
        (b'!', _) => Ok(Response::Error(string.to_vec())),
        (b'=', [a, b, c, b':', text @ ..]) => {
            Ok(Response::Verbatim { format: [*a, *b, *c], text: text.to_vec() })
        }
        (b'=', _) => Err(ResponseError::MalformedLine(kind)),
        _ => Ok(Response::Bulk(string.to_vec())),
    }
}

/// What a server may print for a double, `nan` included, which it never reads.
fn parse_double(text: &[u8]) -> Option<f64> {
    match text {
        b"nan" | b"-nan" => Some(f64::NAN),
        text => parse_f64(text),
    }
}

fn is_big_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests;
