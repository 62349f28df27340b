//! Why a configuration cannot be used, in the words and the form of redis-server, so that its operators and their
//! tools recognise it.

use std::{fmt, io, path::PathBuf};

use super::Directive;

/// A configuration that cannot be used. All of these are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("can't open config file '{}': {cause}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file or standard input is longer than any configuration.
    #[error("{what} is longer than {bytes_max} bytes")]
    TooLong {
        /// Which.
        what: String,
        /// The limit.
        bytes_max: u64,
    },
    /// A directive is wrong.
    #[error(transparent)]
    Directive(#[from] DirectiveError),
    /// The layers could not be merged; not known to happen.
    #[error("{0}")]
    Merge(String),
}

impl ConfigError {
    /// Takes our own error back out of the crate that merges.
    pub(super) fn from_merge(error: ::config::ConfigError) -> Self {
        match error {
            ::config::ConfigError::Foreign(cause) => match cause.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Merge(other.to_string()),
            },
            other => Self::Merge(other.to_string()),
        }
    }

    /// What is printed on standard error before the program ends, several lines.
    #[must_use]
    pub fn report(&self) -> String {
        match self {
            Self::Directive(error) => format!(
                "\n*** FATAL CONFIG FILE ERROR (Rejoin {}) ***\n{}\n>>> '{}'\n{}",
                env!("CARGO_PKG_VERSION"),
                error.place,
                error.text,
                error.reason
            ),
            other => format!("Fatal error, {other}"),
        }
    }
}

impl From<ConfigError> for ::config::ConfigError {
    fn from(error: ConfigError) -> Self {
        Self::Foreign(Box::new(error))
    }
}

/// A directive that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectiveError {
    /// Where it stands; see [`Directive::place`].
    pub place: String,
    /// As it was written.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl DirectiveError {
    pub(super) fn new(directive: &Directive, reason: impl Into<String>) -> Self {
        Self { place: directive.place.clone(), text: directive.text.clone(), reason: reason.into() }
    }
}

impl fmt::Display for DirectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: '{}': {}", self.place, self.text, self.reason)
    }
}

impl std::error::Error for DirectiveError {}
