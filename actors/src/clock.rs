//! Time for the pure machines: a duration since the node started.

use std::time::{Duration, Instant};

use tokio::time::Instant as TokioInstant;

/// One node's clock; all its machines count from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until `at`; for ever when there is no such time.
    pub async fn sleep_until(&self, at: Option<Duration>) {
        match at {
            Some(at) => tokio::time::sleep_until(TokioInstant::from_std(self.started + at)).await,
            None => std::future::pending().await,
        }
    }
}
