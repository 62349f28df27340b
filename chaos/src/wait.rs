//! Waiting for an event in another process, by asking until it is there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long anything that ought to happen may take before it counts as failed. Generous on purpose: a slow machine
/// must not fail a check, and a check that passes never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(60);

const BETWEEN_ASKS: Duration = Duration::from_millis(20);

/// Asks until the answer is `Some`, or fails after [`DEADLINE`] with `what` and the last error seen.
pub fn until_some<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let answer = ask();
        if let Ok(Some(found)) = answer {
            return Ok(found);
        }
        if Instant::now() > give_up_at {
            answer.with_context(|| format!("waited {DEADLINE:?} for {what}"))?;
            bail!("waited {DEADLINE:?} for {what}, in vain");
        }
        std::thread::sleep(BETWEEN_ASKS);
    }
}

/// Asks until the answer is true, or fails after [`DEADLINE`].
pub fn until(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    until_some(what, || Ok(ask()?.then_some(())))
}
