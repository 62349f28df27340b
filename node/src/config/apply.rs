//! Directives become [`Settings`], which alone knows what names there are and what they take.

use std::{collections::BTreeSet, fs};

use rejoin_commands::Settings;

use super::{Directive, DirectiveError};

/// Acted on without a field in [`Settings`]: they are looked up by name where they are needed, which is seldom.
const WITHOUT_FIELD: &[&str] = &[
    "daemonize",
    "enable-protected-configs",
    "pidfile",
    "shutdown-on-sigint",
    "shutdown-on-sigterm",
    "supervised",
    "tls-auth-clients",
    "tls-ca-cert-dir",
    "tls-ca-cert-file",
    "tls-cert-file",
    "tls-ciphers",
    "tls-ciphersuites",
    "tls-client-cert-file",
    "tls-client-key-file",
    "tls-client-key-file-pass",
    "tls-key-file",
    "tls-key-file-pass",
    "tls-prefer-server-ciphers",
    "tls-protocols",
    "tls-replication",
    "tls-session-cache-size",
    "tls-session-caching",
];

/// Directives of redis-server that are no settings. To pass over them would leave open what the operator has closed.
const NOT_HERE: [(&str, &str); 4] = [
    ("rename-command", "Commands cannot be renamed here"),
    ("user", "There are no ACL users here yet; 'requirepass' sets the password of all clients"),
    ("loadmodule", "Modules cannot be loaded here"),
    ("sentinel", "sentinel directive while not in sentinel mode"),
];

/// Values that ask for nothing, so that whoever does not act on them does what was asked.
const OFF: [&str; 3] = ["", "no", "0"];

/// Gives `settings` the values of `directives`, in order.
pub(super) fn apply(directives: &[Directive], settings: &mut Settings) -> Result<(), DirectiveError> {
    for directive in directives {
        if let Some((_, reason)) = NOT_HERE.iter().find(|(name, _)| *name == directive.name) {
            return Err(DirectiveError::new(directive, *reason));
        }
        let values: Vec<&str> = directive.values.iter().map(String::as_str).collect();
        settings
            .set(&directive.name, &values)
            .map_err(|error| DirectiveError::new(directive, error.to_string()))?;
        if directive.name == "dir" {
            check_directory(directive, &settings.dir)?;
        }
    }
    Ok(())
}

/// Redis goes there at once, and so names the line.
fn check_directory(directive: &Directive, dir: &str) -> Result<(), DirectiveError> {
    fs::read_dir(dir).map(drop).map_err(|error| {
        let text = error.to_string();
        let words = text.split(" (os error").next().unwrap_or_default();
        DirectiveError::new(directive, words)
    })
}

/// A line on the settings that were changed and that nothing acts on yet: an operator who asks for `appendonly yes`
/// must hear that nothing is written.
pub(super) fn note_without_effect(settings: &Settings) -> Option<String> {
    let defaults = Settings::default();
    let changed: BTreeSet<String> = settings
        .others
        .iter()
        .filter(|(name, value)| !WITHOUT_FIELD.contains(name) && !OFF.contains(&value.as_str()))
        .filter(|(name, value)| defaults.get(name).as_deref() != Some(value.as_str()))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if changed.is_empty() {
        return None;
    }
    let changed: Vec<String> = changed.into_iter().collect();
    Some(format!("These settings are known, but nothing acts on them yet: {}", changed.join(", ")))
}

/// Whether a setting has this name.
pub(super) fn is_known(name: &str) -> bool {
    Settings::canonical_name(name.as_bytes()).is_some()
}

/// What is said of a name that no setting has.
pub(super) fn unknown(name: &str) -> String {
    match Settings::default().set(name, &[]) {
        Err(error) => error.to_string(),
        Ok(()) => String::new(),
    }
}
