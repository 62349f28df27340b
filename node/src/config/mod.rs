//! Where the settings come from: defaults, then a configuration file, then `REJOIN_*` variables, then the command
//! line; what comes later wins.
//!
//! The layers meet in the `config` crate, one [`Source`](::config::Source) each. What it merges are *directives*
//! (a name, its values, and where they were written), not typed values: a name may occur several times in one layer,
//! and every complaint must name the place. [`Settings`] alone knows which names exist and what they accept.
//!
//! Nothing here opens a socket, changes the process or logs; what an operator should hear although it stops nothing
//! is returned in [`Loaded::notes`].
//!
//! Invariants:
//! * nothing that a file, a variable or an argument holds makes this module panic, recurse without end or read
//!   without end;
//! * an unknown directive in a file or on the command line stops the start; it is never skipped.
//!
//! Read in this order: [`redis_conf`] (the dialect), [`command_line`] (the grammar of redis-server's arguments),
//! `layers` (how they become sources), `apply` (directives become [`Settings`]).

mod apply;
pub mod command_line;
mod directive;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a property that fails is to be seen")]
pub mod fuzzing;
mod include;
mod layers;
mod read;
pub mod redis_conf;
mod toml;

#[cfg(test)]
mod tests;

use std::{ffi::OsString, io::Read, path::PathBuf};

use rejoin_commands::Settings;

pub use self::{
    command_line::{Invocation, Sources},
    directive::Directive,
    error::{ConfigError, DirectiveError},
};

/// What was configured.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// All settings.
    pub settings: Settings,
    /// The absolute path of the file that was given, for CONFIG REWRITE and INFO.
    pub config_file: Option<PathBuf>,
    /// What the operator should hear once logging works, one line each.
    pub notes: Vec<String>,
}

/// Reads every layer that `sources` names, and the variables of `environment` that begin with `REJOIN_`. `stdin` is
/// read only if the command line asked for it.
///
/// # Errors
/// The first directive that cannot be used, in the order in which they take effect, or the file that cannot be read.
pub fn load(
    sources: &Sources,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    stdin: &mut dyn Read,
) -> Result<Loaded, ConfigError> {
    let mut notes = Vec::new();
    let mut builder = ::config::Config::builder();
    let config_file = sources.file.as_deref().map(read::absolute).transpose()?;
    if let Some(path) = &config_file {
        builder = builder.add_source(layers::Layer::file(path));
    }
    if sources.stdin {
        builder = builder.add_source(layers::Layer::stdin(read::stdin(stdin)?));
    }
    let variables = layers::variables(environment, &mut notes);
    builder = builder
        .add_source(layers::Layer::environment(variables))
        .add_source(layers::Layer::command_line(sources.command_line.clone()));
    let merged = builder.build().map_err(ConfigError::from_merge)?;
    let mut settings = Settings::default();
    apply::apply(&directive::from_config(&merged), &mut settings)?;
    notes.extend(apply::note_without_effect(&settings));
    Ok(Loaded { settings, config_file, notes })
}
