//! The two servers of a differential check, and what was compared on them so far.

use std::fmt;

use anyhow::Result;

use super::Oracle;
use crate::client::{Client, Reply};
use crate::servers::{Binary, Server};

/// An oracle and a subject, running.
pub struct Pair {
    /// Which server is right.
    pub oracle: Oracle,
    pub(super) oracle_server: Server,
    pub(super) subject_server: Server,
    pub(super) tally: Tally,
    /// Whether runs compare the events of keys, too.
    pub(super) compares_events: bool,
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Replies.
    pub replies: u64,
    /// Of these, error replies.
    pub errors: u64,
    /// Of these, let pass by the table of exceptions.
    pub excepted: u64,
    /// Digests of the whole data set.
    pub digests: u64,
    /// Keyspace notifications.
    pub events: u64,
}

impl Pair {
    /// Starts both.
    pub fn start(oracle: Oracle, subject: &Binary) -> Result<Self> {
        Ok(Self {
            oracle,
            oracle_server: Server::start(&Binary::stock(oracle.kind())?, &[])?,
            subject_server: Server::start(subject, &[])?,
            tally: Tally::default(),
            compares_events: false,
        })
    }

    /// What was compared so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The server under test, to attach a replica to it.
    #[must_use]
    pub fn subject(&self) -> &Server {
        &self.subject_server
    }

    pub(super) fn connect(&self) -> Result<Both> {
        Ok(Both { oracle: self.oracle_server.client()?, subject: self.subject_server.client()? })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} replies ({} of them errors, {} let pass as known exceptions), {} events, {} digests",
            self.replies, self.errors, self.excepted, self.events, self.digests
        )
    }
}

/// The same connection to both servers.
pub(super) struct Both {
    pub(super) oracle: Client,
    pub(super) subject: Client,
}

impl Both {
    /// One command to both at the same time.
    pub(super) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<(Reply, Reply)> {
        self.queue(args);
        self.flush()?;
        self.read()
    }

    pub(super) fn queue<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.oracle.queue(args);
        self.subject.queue(args);
    }

    pub(super) fn queue_raw(&mut self, bytes: &[u8]) {
        self.oracle.queue_raw(bytes);
        self.subject.queue_raw(bytes);
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.oracle.flush()?;
        self.subject.flush()
    }

    pub(super) fn read(&mut self) -> Result<(Reply, Reply)> {
        Ok((self.oracle.read_reply()?, self.subject.read_reply()?))
    }
}
