//! A small blocking RESP client for checks: one connection, RESP2 or RESP3, pipelining by hand.
//!
//! It is not for programs. It never reconnects, it believes in timeouts rather than in liveness, and it shows replies
//! with all that the wire says (`$-1`, `*-1` and `_` told apart, the digits of a double as they came), because a check
//! wants to see that. Its reader is therefore not the node's own, which would also hide a mistake that both share.

mod reply;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use reply::{Reply, ReplyReader};

/// How long a reply may take. Commands under test are quick, but machines under test may not be.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const READ_CHUNK: usize = 64 * 1024;

/// One connection to a server on 127.0.0.1.
pub struct Client {
    stream: TcpStream,
    out: Vec<u8>,
    reader: ReplyReader,
    chunk: Vec<u8>,
}

impl Client {
    /// Connects to `port`.
    pub fn connect(port: u16) -> Result<Self> {
        let stream =
            TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("connecting to port {port}"))?;
        stream.set_nodelay(true).context("switching TCP_NODELAY on")?;
        stream.set_read_timeout(Some(READ_TIMEOUT)).context("setting the read timeout")?;
        stream.set_write_timeout(Some(READ_TIMEOUT)).context("setting the write timeout")?;
        Ok(Self { stream, out: Vec::new(), reader: ReplyReader::default(), chunk: vec![0; READ_CHUNK] })
    }

    /// Sends one command and waits for its reply, which may be an error reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Reply> {
        self.queue(args);
        self.flush()?;
        self.read_reply()
    }

    /// Like [`Client::call`], but an error reply is an error.
    pub fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Reply> {
        match self.call(args)? {
            Reply::Error(text) => {
                let name = args.first().map(|arg| String::from_utf8_lossy(arg.as_ref()).into_owned());
                bail!("{} was refused: {text}", name.unwrap_or_default())
            }
            reply => Ok(reply),
        }
    }

    /// A reply as text: simple and bulk strings and integers.
    pub fn ask_text<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<String> {
        let reply = self.ask(args)?;
        reply.text().with_context(|| format!("expected a text, got {reply}"))
    }

    /// A reply that is an integer.
    pub fn ask_integer<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<i64> {
        match self.ask(args)? {
            Reply::Integer(n) => Ok(n),
            reply => bail!("expected an integer, got {reply}"),
        }
    }

    /// Appends a command to what [`Client::flush`] sends.
    pub fn queue<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        encode_command(&mut self.out, args);
    }

    /// Appends bytes that need not be RESP.
    pub fn queue_raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Bytes that are queued and not sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.out.len()
    }

    /// Sends all that was queued. Blocks while the server does not read; do not queue more than it answers without
    /// being read from.
    pub fn flush(&mut self) -> Result<()> {
        let sent = self.stream.write_all(&self.out).context("sending");
        self.out.clear();
        sent
    }

    /// The next reply; fails when the server closed the connection or stays silent.
    pub fn read_reply(&mut self) -> Result<Reply> {
        loop {
            if let Some(reply) = self.reader.next_reply().context("reading a reply")? {
                return Ok(reply);
            }
            if self.read_some()? == 0 {
                bail!("the server closed the connection");
            }
        }
    }

    /// Reads and drops `count` replies; fails at the first error reply.
    pub fn skip_replies(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            if let Reply::Error(text) = self.read_reply()? {
                bail!("the server refused: {text}");
            }
        }
        Ok(())
    }

    /// Everything the server still sends until it closes the connection.
    pub fn read_to_close(&mut self) -> Result<Vec<u8>> {
        let mut all = self.reader.take_unread();
        self.stream.read_to_end(&mut all).context("reading until the server closes")?;
        Ok(all)
    }

    /// Says that nothing more will be sent; what the server answers can still be read.
    pub fn finish_sending(&mut self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).context("closing our half")
    }

    /// The socket, for checks that go below commands.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn read_some(&mut self) -> Result<usize> {
        let port = self.stream.peer_addr().map_or(0, |peer| peer.port());
        let count = self
            .stream
            .read(&mut self.chunk)
            .with_context(|| format!("waiting for a reply of port {port}"))?;
        self.reader.feed(&self.chunk[..count]);
        Ok(count)
    }
}

/// Appends one command as an array of bulk strings.
pub fn encode_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "*{}\r\n", args.len());
    for arg in args {
        let bytes = arg.as_ref();
        let _ = write!(out, "${}\r\n", bytes.len());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}
