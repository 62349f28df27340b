//! Our side of a link to a master once the stream flows: acknowledgements and the link's timeout.
//!
//! It sees no stream byte: the caller, who reads and applies, tells it of input, of borders reached and of GETACK.

use std::time::Duration;

use rejoin_protocol::Offset;
use rejoin_protocol::psync::handshake::write_ack;
use thiserror::Error;

/// How often, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerSettings {
    /// `repl-timeout`: silence for so long ends the link.
    pub repl_timeout: Duration,
    /// How often to acknowledge.
    pub ack_period: Duration,
}

impl Default for FollowerSettings {
    fn default() -> Self {
        Self { repl_timeout: Duration::from_secs(60), ack_period: Duration::from_secs(1) }
    }
}

/// How the acknowledgements begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstAck {
    /// At once, and often until something comes: after `$EOF:` the master waits for one before it sends the stream,
    /// and redis-server 7.0.15 overlooks those that come before it has reaped its child (up to 100 ms).
    AtOnce,
    /// With the first period.
    Periodic,
    /// Never: a master that knows only SYNC would answer each with an error.
    Never,
}

/// How often to acknowledge while the master may be waiting for it.
const EAGER_ACK_PERIOD: Duration = Duration::from_millis(50);

/// Bytes of acknowledgements that wait for the driver, roughly, at most.
const UNSENT_BYTES_MAX: usize = 1024;

/// Why the link is to be closed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FollowerError {
    /// Nothing came for too long.
    #[error("master timed out: nothing for {silent_for:?}")]
    TimedOut {
        /// How long nothing came.
        silent_for: Duration,
    },
}

/// Acknowledges what was applied, and watches the link.
///
/// * Getters: [`offset_applied`](Self::offset_applied), [`last_io`](Self::last_io).
/// * `handle_*`: [`handle_io`](Self::handle_io), [`handle_applied`](Self::handle_applied), ...
/// * Commands: [`set_repl_timeout`](Self::set_repl_timeout).
/// * `poll_*`: [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Follower {
    settings: FollowerSettings,
    /// Rises with [`handle_applied`](Self::handle_applied).
    applied: Offset,
    /// As [`handle_durable`](Self::handle_durable) said last.
    durable: Option<Offset>,
    /// The master asked (GETACK) when not all of what it asked about was on disk.
    owes_durable: Option<Offset>,
    /// Set at each input.
    last_io: Duration,
    /// When the next periodic acknowledgement is due; `None`: never.
    next_ack: Option<Duration>,
    /// The master may be waiting for an acknowledgement that it sees.
    is_eager: bool,
    /// What waits to be sent.
    out: Vec<u8>,
}

impl Follower {
    /// The stream begins after `applied`.
    #[must_use]
    pub fn new(now: Duration, settings: FollowerSettings, applied: Offset, first: FirstAck) -> Self {
        let next_ack = match first {
            FirstAck::AtOnce => Some(now),
            FirstAck::Periodic => Some(now + settings.ack_period),
            FirstAck::Never => None,
        };
        let is_eager = first == FirstAck::AtOnce;
        Self {
            settings,
            applied,
            durable: None,
            owes_durable: None,
            last_io: now,
            next_ack,
            is_eager,
            out: Vec::new(),
        }
    }

    /// The last byte that counts as applied.
    #[must_use]
    pub fn offset_applied(&self) -> Offset {
        self.applied
    }

    /// When something last came.
    #[must_use]
    pub fn last_io(&self) -> Duration {
        self.last_io
    }

    /// `repl-timeout` was changed.
    pub fn set_repl_timeout(&mut self, repl_timeout: Duration) {
        self.settings.repl_timeout = repl_timeout;
    }

    /// Bytes came from the master.
    pub fn handle_io(&mut self, now: Duration) {
        self.last_io = now;
        self.is_eager = false;
    }

    /// Everything up to the border `offset` is applied. Never goes back.
    pub fn handle_applied(&mut self, offset: Offset) {
        self.applied = self.applied.max(offset);
    }

    /// What a start after a power loss would have: log, and the base under it. Acknowledgements carry it as FACK from now
    /// on; `None`: no start would, and nothing is said of it. A master that asked is told as soon as it may know.
    pub fn handle_durable(&mut self, durable: Option<Offset>) {
        self.durable = durable;
        if let Some(asked) = self.owes_durable
            && durable.is_some_and(|durable| durable >= asked)
        {
            self.owes_durable = None;
            self.acknowledge(self.applied);
        }
    }

    /// The stream held `REPLCONF GETACK`; `offset_before` is the last byte before that command, which is what the
    /// answer says.
    pub fn handle_getack(&mut self, offset_before: Offset) {
        self.acknowledge(offset_before);
        if self.durable.is_none_or(|durable| durable < offset_before) {
            self.owes_durable = Some(offset_before);
        }
    }

    /// Time has passed: an acknowledgement, or the end.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), FollowerError> {
        let silent_for = now.saturating_sub(self.last_io);
        if silent_for >= self.settings.repl_timeout {
            return Err(FollowerError::TimedOut { silent_for });
        }
        if self.next_ack.is_some_and(|due| now >= due) {
            self.acknowledge(self.applied);
            let period = if self.is_eager { EAGER_ACK_PERIOD } else { self.settings.ack_period };
            self.next_ack = Some(now + period);
        }
        Ok(())
    }

    /// Bytes for the master.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out))
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let end = self.last_io + self.settings.repl_timeout;
        Some(self.next_ack.map_or(end, |due| due.min(end)))
    }

    /// Says `offset`. A master that does not read gets no more than [`UNSENT_BYTES_MAX`] queued up: later
    /// acknowledgements say all that the ones left out would have said.
    fn acknowledge(&mut self, offset: Offset) {
        if self.out.len() < UNSENT_BYTES_MAX {
            write_ack(&mut self.out, offset, self.durable);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn follower(first: FirstAck) -> Follower {
        Follower::new(Duration::ZERO, FollowerSettings::default(), Offset::new(1000), first)
    }

    fn said(follower: &mut Follower) -> String {
        String::from_utf8(follower.poll_transmit().unwrap_or_default()).unwrap()
    }

    fn ack(offset: &str) -> String {
        format!("*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n${}\r\n{offset}\r\n", offset.len())
    }

    #[test]
    fn acknowledges_each_second_what_is_applied() {
        let mut follower = follower(FirstAck::Periodic);
        assert_eq!(said(&mut follower), "");
        assert_eq!(follower.poll_timeout(), Some(SECOND));
        follower.handle_applied(Offset::new(1031));
        follower.handle_applied(Offset::new(1020));
        follower.handle_timeout(SECOND).unwrap();
        assert_eq!(said(&mut follower), ack("1031"));
        follower.handle_timeout(SECOND).unwrap();
        assert_eq!(said(&mut follower), "", "once a period");
        assert_eq!(follower.poll_timeout(), Some(2 * SECOND));
    }

    #[test]
    fn acknowledges_at_once_where_the_master_waits_for_it() {
        let mut follower = follower(FirstAck::AtOnce);
        assert_eq!(follower.poll_timeout(), Some(Duration::ZERO));
        for number in 0..3 {
            follower.handle_timeout(number * EAGER_ACK_PERIOD).unwrap();
            assert_eq!(said(&mut follower), ack("1000"), "until the master shows that it has seen one");
        }
        follower.handle_io(SECOND);
        follower.handle_timeout(SECOND).unwrap();
        assert_eq!(said(&mut follower), ack("1000"));
        assert_eq!(follower.poll_timeout(), Some(2 * SECOND));
    }

    #[test]
    fn getack_is_answered_with_the_offset_before_it() {
        let mut follower = follower(FirstAck::Periodic);
        // 64 bytes of writes, then 37 of GETACK: as seen on redis-server 7.0.15, 1064 now and 1101 a second later.
        follower.handle_getack(Offset::new(1064));
        assert_eq!(said(&mut follower), ack("1064"));
        follower.handle_applied(Offset::new(1101));
        follower.handle_timeout(SECOND).unwrap();
        assert_eq!(said(&mut follower), ack("1101"));
    }

    #[test]
    fn says_what_is_durable_once_told() {
        let mut follower = follower(FirstAck::Periodic);
        follower.handle_durable(Some(Offset::new(990)));
        follower.handle_timeout(SECOND).unwrap();
        assert!(said(&mut follower).ends_with("$4\r\n1000\r\n$4\r\nFACK\r\n$3\r\n990\r\n"));
        follower.handle_durable(None);
        follower.handle_timeout(2 * SECOND).unwrap();
        assert_eq!(said(&mut follower), ack("1000"), "a base is missing again");
    }

    #[test]
    fn who_asked_is_told_when_the_disk_has_it() {
        let mut follower = follower(FirstAck::Periodic);
        follower.handle_durable(Some(Offset::new(990)));
        follower.handle_getack(Offset::new(1000));
        assert!(said(&mut follower).contains("FACK\r\n$3\r\n990"));
        follower.handle_applied(Offset::new(1037));
        follower.handle_durable(Some(Offset::new(999)));
        assert_eq!(said(&mut follower), "");
        follower.handle_durable(Some(Offset::new(1037)));
        assert!(said(&mut follower).contains("FACK\r\n$4\r\n1037"));
        follower.handle_durable(Some(Offset::new(1037)));
        assert_eq!(said(&mut follower), "", "once");
    }

    #[test]
    fn never_says_a_word_to_a_master_without_psync() {
        let mut follower = follower(FirstAck::Never);
        assert_eq!(follower.poll_timeout(), Some(60 * SECOND));
        follower.handle_timeout(30 * SECOND).unwrap();
        assert_eq!(said(&mut follower), "");
    }

    #[test]
    fn silence_ends_the_link_and_input_prolongs_it() {
        let mut follower = follower(FirstAck::Never);
        follower.handle_io(50 * SECOND);
        assert_eq!(follower.last_io(), 50 * SECOND);
        follower.handle_timeout(109 * SECOND).unwrap();
        let error = follower.handle_timeout(110 * SECOND).unwrap_err();
        assert_eq!(error.to_string(), "master timed out: nothing for 60s");
    }

    #[test]
    fn a_run_of_getacks_that_no_one_drains_is_bounded() {
        let mut follower = follower(FirstAck::AtOnce);
        for offset in 0..100_000 {
            follower.handle_getack(Offset::new(offset));
        }
        assert!(said(&mut follower).len() < 2 * UNSENT_BYTES_MAX);
    }
}
