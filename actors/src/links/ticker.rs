//! How sessions learn that the log has grown, without the shard waking anyone while there is traffic.
//!
//! A wake-up is the dearest thing on the write path, so the ticker looks for itself: once a millisecond while the log
//! moves. After a while without movement it parks, and only then does the shard's next write pay for one wake-up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
    time::Duration,
};

use rejoin_persistence::log::LogHandle;
use tokio::sync::{Notify, watch};

/// How often the log is looked at while there is traffic.
const PERIOD: Duration = Duration::from_millis(1);
/// Looks without news before the ticker parks.
const IDLE_LOOKS_MAX: u32 = 100;

/// The shard's end: one flag to look at after each publish.
#[derive(Debug, Default)]
pub struct TickerSignal {
    is_parked: AtomicBool,
    wake: Notify,
    hurry: Notify,
    sessions: Notify,
}

impl TickerSignal {
    /// After a publish: wakes the ticker if it has parked.
    #[inline]
    pub fn wake_if_parked(&self) {
        // Pairs with the fence in `run`: either we see that it parked, or it sees what we published.
        fence(Ordering::SeqCst);
        if self.is_parked.load(Ordering::Relaxed) && self.is_parked.swap(false, Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    /// Has the log looked at now, for what somebody waits for; costs a wake-up.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// A session begins to listen: without any, the log is not looked at, and writes wake nobody.
    pub(crate) fn session_begun(&self) {
        self.sessions.notify_one();
    }
}

/// Tells all sessions of this thread when the log has grown, for ever. `grown` carries nothing: sessions look at
/// their own cursors.
pub(crate) async fn run(signal: Arc<TickerSignal>, log: LogHandle, grown: watch::Sender<()>) {
    let mut seen = log.visible();
    let mut idle_looks = 0;
    loop {
        if grown.receiver_count() == 0 {
            signal.sessions.notified().await;
        }
        let visible = log.visible();
        if visible != seen {
            seen = visible;
            idle_looks = 0;
            grown.send_replace(());
        } else {
            idle_looks += 1;
        }
        if idle_looks < IDLE_LOOKS_MAX {
            // Only one that elapses counts as a look: who hurries us may come first.
            let _ = tokio::time::timeout(PERIOD, signal.hurry.notified()).await;
            continue;
        }
        signal.is_parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if log.visible() == seen {
            signal.wake.notified().await;
        }
        signal.is_parked.store(false, Ordering::Relaxed);
        idle_looks = 0;
    }
}
