//! What a client is owed: messages that it did not ask for, and the limits of `client-output-buffer-limit`.
//!
//! A client that asks and does not read is simply not executed any more ([`crate::turn::OUTPUT_BYTES_PAUSE`]), limits or
//! not. One that listens is sent messages all the same: past a limit it is closed.

use rejoin_protocol::{ClientId, UnixMillis, resp::RespVersion};

use crate::{
    Engine, Session, SessionKind,
    session::client::describe,
    settings::{OutputLimit, OutputLimits},
};

/// Sent bytes at the head of an output that are worth moving the rest for.
const SENT_BYTES_KEPT_MAX: usize = 64 << 10;

impl Session {
    /// Bytes that its socket has not taken yet.
    #[inline]
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether messages can reach it: not the master's session, nor those that have no connection.
    pub(crate) fn may_listen(&self) -> bool {
        self.kind == SessionKind::Client && !self.laddr.is_empty()
    }

    /// Appends a message that is encoded for RESP2, unless it is to be closed. Past the hard limit it is to be closed.
    pub(crate) fn hear(&mut self, message: &[u8], limits: &OutputLimits) {
        if self.closing {
            return;
        }
        // The head of a buffer that never runs empty is given back before it grows again.
        if self.sent > SENT_BYTES_KEPT_MAX && self.sent > self.out.len() / 2 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        let begin = self.out.len();
        self.out.extend_from_slice(message);
        if self.version == RespVersion::Three && message.first() == Some(&b'*') {
            self.out[begin] = b'>';
        }
        let hard = self.output_limit(limits).hard_bytes;
        if hard > 0 && self.unsent_bytes() as u64 >= hard {
            self.overflow();
        }
    }

    /// It is owed too much: nothing more is added, and nothing more executed.
    fn overflow(&mut self) {
        self.is_over_limit = true;
        self.closing = true;
    }

    /// The limit of its class. One that monitors is a normal client, of which most have no limit because they are paused
    /// instead; it cannot be paused, so that the limit for subscribers stands in.
    fn output_limit(&self, limits: &OutputLimits) -> OutputLimit {
        let normal = limits.normal();
        if self.subscriptions.is_some() || (self.is_monitor && normal.is_none()) {
            limits.pubsub()
        } else {
            normal
        }
    }

    /// Whether it is over its hard limit, or has been over its soft limit for too long, and is to be closed. To be asked
    /// before its output is sent, and now and then.
    pub fn check_output(&mut self, limits: &OutputLimits, now: UnixMillis) -> bool {
        if self.is_over_limit {
            return true;
        }
        let limit = self.output_limit(limits);
        if limit.is_none() || self.kind == SessionKind::Master {
            return false;
        }
        let unsent = self.unsent_bytes() as u64;
        let is_soft = limit.soft_bytes > 0 && unsent >= limit.soft_bytes;
        let since = is_soft.then(|| self.over_soft_since.unwrap_or(now));
        self.over_soft_since = since;
        let soft_millis = i64::try_from(limit.soft_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        let is_over = (limit.hard_bytes > 0 && unsent >= limit.hard_bytes)
            || since.is_some_and(|since| now.get() - since.get() > soft_millis);
        if is_over {
            self.overflow();
        }
        is_over
    }
}

impl Engine {
    /// A client was found over its limits: counts it, and says who it is for the log.
    #[must_use]
    pub fn note_overflow(&mut self, client: ClientId) -> String {
        self.stats.output_limit_disconnections += 1;
        let mut text = Vec::new();
        if let Some(session) = self.sessions.get(client) {
            describe(self, session, &mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
