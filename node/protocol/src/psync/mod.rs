//! What masters and replicas say on a TCP link, both sides, as pure text: the handshake, PSYNC and its answers, the
//! head and the end of a snapshot. Who says what when is not here but in the replication machines.
//!
//! In the order of a synchronisation: [`handshake`] (what a replica sends, as bytes), [`replconf`] and [`request`] (the
//! same as a master receives it), [`reply`] (the master's answer), [`payload`] (the snapshot's head), [`eof`] (its end).

pub mod eof;
pub mod handshake;
pub mod payload;
pub mod replconf;
pub mod reply;
pub mod request;

use memchr::memchr;
use thiserror::Error;

pub use eof::{EofScan, EofScanner};
pub use payload::{EofMark, PayloadHead, PayloadHeadError};
pub use replconf::{Capability, ReplconfError, ReplconfOption, ReplconfOptions};
pub use reply::{HandshakeReply, PsyncReply, PsyncReplyError};
pub use request::{PsyncRequest, PsyncRequestError};

/// Bytes of a line on a link at most, its end not counted. The longest one that means anything has 61.
pub const LINE_BYTES_MAX: usize = 1024;

/// A peer sent more bytes without a line end than any line of the grammar has.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the peer sent {LINE_BYTES_MAX} bytes without ending the line")]
pub struct LineTooLong;

/// Takes the line at the beginning of `buf`: its bytes without the `\r\n` (or `\n` alone), and how many bytes it took
/// with it. `None` if it has not wholly arrived. An empty line is a keep-alive.
pub fn take_line(buf: &[u8]) -> Result<Option<(&[u8], usize)>, LineTooLong> {
    let window = &buf[..buf.len().min(LINE_BYTES_MAX + 2)];
    match memchr(b'\n', window) {
        Some(end) => {
            let line = &buf[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > LINE_BYTES_MAX { Err(LineTooLong) } else { Ok(Some((line, end + 1))) }
        }
        None if window.len() > LINE_BYTES_MAX + 1 => Err(LineTooLong),
        None => Ok(None),
    }
}

/// A peer's bytes as they may stand in a log line or an error: escaped and cut short.
fn excerpt(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 128;
    let (shown, more) = match bytes.get(..SHOWN_MAX) {
        Some(shown) => (shown, if bytes.len() > SHOWN_MAX { "..." } else { "" }),
        None => (bytes, ""),
    };
    format!("{}{more}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_either_way_and_are_bounded() {
        assert_eq!(take_line(b"+OK\r\nrest"), Ok(Some((&b"+OK"[..], 5))));
        assert_eq!(take_line(b"+OK\nrest"), Ok(Some((&b"+OK"[..], 4))));
        assert_eq!(take_line(b"\n+OK"), Ok(Some((&b""[..], 1))));
        assert_eq!(take_line(b"+OK\r"), Ok(None));
        let mut long = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(take_line(&long), Ok(None));
        long.extend_from_slice(b"\r\n");
        assert_eq!(take_line(&long).map(|line| line.map(|(_, len)| len)), Ok(Some(LINE_BYTES_MAX + 2)));
        assert_eq!(take_line(&[b'x'; LINE_BYTES_MAX + 2]), Err(LineTooLong));
        assert_eq!(take_line(&[&[b'x'; LINE_BYTES_MAX + 1][..], b"\n"].concat()), Err(LineTooLong));
    }

    #[test]
    fn excerpts_are_printable_and_short() {
        assert_eq!(excerpt(b"a\xff\n"), "a\\xff\\n");
        assert_eq!(excerpt(&[b'x'; 1000]).len(), 131);
    }
}
