//! What a command asks of the world outside and must know the outcome of before it replies: CONFIG SET of what may
//! fail to take effect, CONFIG REWRITE. Whatever can wait until the turn is over is an [`Effect`](crate::Effect).
//!
//! The shard gives the engine a host of its own; here is only [`NoHost`], for engines without a world.

use crate::Settings;

/// The world outside, as far as commands wait for it.
pub trait Host {
    /// Makes the settings named in `changed` take effect where that is more than reading a field, all of them or none.
    /// `next` may be corrected, to what a path is called or what the system gives.
    ///
    /// # Errors
    /// Which of them did not take effect, and why; then everything is as it was.
    fn apply_settings(
        &mut self,
        present: &Settings,
        next: &mut Settings,
        changed: &[&'static str],
    ) -> Result<(), NotApplied>;

    /// Writes the settings to the configuration file.
    ///
    /// # Errors
    /// Why it could not be written; it is as it was.
    fn rewrite_config(&mut self, file: &str, settings: &Settings) -> Result<(), String>;
}

/// A setting that did not take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApplied {
    /// Which.
    pub name: &'static str,
    /// Why, in the words of the reply.
    pub reason: String,
}

impl NotApplied {
    /// `name` did not take effect because of `reason`.
    pub fn new(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, reason: reason.into() }
    }
}

/// No world: every setting takes effect, and there are no files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn apply_settings(
        &mut self,
        _: &Settings,
        _: &mut Settings,
        _: &[&'static str],
    ) -> Result<(), NotApplied> {
        Ok(())
    }

    fn rewrite_config(&mut self, _: &str, _: &Settings) -> Result<(), String> {
        Err("No such file or directory".to_owned())
    }
}
