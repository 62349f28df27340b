//! CLIENT PAUSE: for a while no client's request is executed, or no write.

use rejoin_protocol::UnixMillis;

use crate::Engine;

/// A pause of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    /// When it lapses.
    pub(crate) until: UnixMillis,
    /// Only requests that may write wait.
    pub(crate) writes_only: bool,
}

impl Engine {
    /// When the pause of CLIENT PAUSE ends, if there is one: a turn is due then.
    #[must_use]
    pub fn paused_until(&self) -> Option<UnixMillis> {
        self.pause.map(|pause| pause.until)
    }

    /// Begins a pause, or extends the one that runs: the later end and the stricter mode hold.
    pub(crate) fn begin_pause(&mut self, pause: Pause) {
        self.lapse_pause();
        self.pause = Some(match self.pause {
            Some(running) => Pause {
                until: running.until.max(pause.until),
                writes_only: running.writes_only && pause.writes_only,
            },
            None => pause,
        });
    }

    /// CLIENT UNPAUSE. The pause before a shutdown stays.
    pub(crate) fn end_pause(&mut self) {
        self.pause = None;
        if self.shutdown_is_pending {
            self.pause_before_shutdown();
        }
    }

    /// Whether a pause is on, or a failover, which stops writes likewise; nothing expires of itself meanwhile.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_failing_over() || self.client_pause_is_on()
    }

    pub(crate) fn lapse_pause(&mut self) {
        if !self.client_pause_is_on() {
            self.pause = None;
        }
    }

    fn client_pause_is_on(&self) -> bool {
        self.pause.is_some_and(|pause| self.now < pause.until)
    }
}
