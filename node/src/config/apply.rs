//! Directives become [`Settings`], which alone knows what names there are and what they take.

use std::collections::BTreeSet;

use rejoin_commands::Settings;

use super::{Directive, DirectiveError};

/// Without a field in [`Settings`] because only the program looks at them, not the node.
const FOR_THE_PROGRAM: [&str; 2] = ["daemonize", "pidfile"];

/// Values that ask for nothing, so that whoever does not act on them does what was asked.
const OFF: [&str; 3] = ["", "no", "0"];

/// Gives `settings` the values of `directives`, in order.
pub(super) fn apply(directives: &[Directive], settings: &mut Settings) -> Result<(), DirectiveError> {
    for directive in directives {
        let values: Vec<&str> = directive.values.iter().map(String::as_str).collect();
        settings
            .set(&directive.name, &values)
            .map_err(|error| DirectiveError::new(directive, error.to_string()))?;
    }
    Ok(())
}

/// A line on the settings that were changed and that nothing acts on yet: an operator who asks for `appendonly yes`
/// must hear that nothing is written.
pub(super) fn note_without_effect(settings: &Settings) -> Option<String> {
    let defaults = Settings::default();
    let changed: BTreeSet<String> = settings
        .others
        .iter()
        .filter(|(name, value)| !FOR_THE_PROGRAM.contains(name) && !OFF.contains(&value.as_str()))
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
