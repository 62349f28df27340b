//! CONFIG: the settings while the node runs.

use super::reply_help;
use crate::{
    Call, Command, Effect, Engine, Failure, Flags,
    data::glob::{self, Case},
    node::status::{Stats, SyncStatus},
    settings::{SettingError, Settings},
};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[Command::new("config", -2, Flags::empty(), "server", "2.0.0", "Commands on the settings.", help)
        .with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
    Command::new("get", -3, ADMIN, "server", "2.0.0", "Tells settings by patterns of their names.", get),
    Command::new(
        "help",
        2,
        Flags::LOADING.union(Flags::STALE),
        "server",
        "5.0.0",
        "Lists the subcommands.",
        help,
    ),
    Command::new("resetstat", 2, ADMIN, "server", "2.0.0", "Sets the counters of INFO to zero.", resetstat),
    Command::new(
        "rewrite",
        2,
        ADMIN,
        "server",
        "2.8.0",
        "Writes the settings to the configuration file.",
        rewrite,
    ),
    Command::new("set", -4, ADMIN, "server", "2.0.0", "Changes settings.", set),
];

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_help(
        call,
        "CONFIG",
        &[
            "GET <pattern> [<pattern> ...]",
            "Return the settings whose names match, with their values.",
            "SET <name> <value> [<name> <value> ...]",
            "Change settings, all of them or none.",
            "RESETSTAT",
            "Set the counters of INFO to zero.",
            "REWRITE",
            "Write the settings to the configuration file.",
        ],
    );
    Ok(())
}

/// CONFIG GET pattern ...: each setting once. A name without wildcards is shown as it was asked for.
fn get(call: &mut Call<'_>) -> Result<(), Failure> {
    let settings = &call.engine.settings;
    let mut found: Vec<(String, String)> = Vec::new();
    for pattern in &call.args[2..] {
        let is_pattern = pattern.iter().any(|byte| b"*?[".contains(byte));
        for name in settings.names() {
            let matches = if is_pattern {
                glob::matches(pattern, name.as_bytes(), Case::Insensitive)
            } else {
                pattern.eq_ignore_ascii_case(name.as_bytes())
            };
            if !matches || found.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                continue;
            }
            let shown =
                if is_pattern { (*name).to_owned() } else { String::from_utf8_lossy(pattern).into_owned() };
            found.push((shown, settings.get(name).unwrap_or_default()));
        }
    }
    let mut reply = call.reply();
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// CONFIG SET name value ...: all or none.
fn set(call: &mut Call<'_>) -> Result<(), Failure> {
    let pairs = &call.args[2..];
    if !pairs.len().is_multiple_of(2) {
        return Err(Failure::Syntax);
    }
    let is_local = call.session.is_local();
    let mut next = call.engine.settings.clone();
    // Redis looks at all names before it looks at any value.
    let mut changed: Vec<&'static str> = Vec::new();
    for pair in pairs.chunks_exact(2) {
        let name = next.check_changeable(pair[0], is_local).map_err(|error| refused(pair[0], error))?;
        if changed.contains(&name) {
            return Err(refused(pair[0], SettingError::Duplicate));
        }
        changed.push(name);
    }
    for pair in pairs.chunks_exact(2) {
        next.change(pair[0], pair[1]).map_err(|error| refused(pair[0], error))?;
    }
    let changed = changed.iter().filter_map(|name| Settings::canonical_name(name.as_bytes()));
    let mut different = next.changed_from(&call.engine.settings);
    // In the order of the command, for the error names the first that fails.
    let changed: Vec<&'static str> = changed.collect();
    different.sort_by_key(|name| changed.iter().position(|other| other == name));
    let engine = &mut *call.engine;
    engine.host.apply_settings(&engine.settings, &mut next, &different).map_err(|refused| {
        let shown = call.args[2..]
            .iter()
            .step_by(2)
            .find(|name| Settings::canonical_name(name) == Some(refused.name));
        self::refused(
            shown.copied().unwrap_or(refused.name.as_bytes()),
            SettingError::Invalid(refused.reason),
        )
    })?;
    engine.settings = next;
    for name in changed {
        call.engine.ask(Effect::SettingChanged { name });
    }
    call.reply().ok();
    Ok(())
}

fn refused(name: &[u8], error: SettingError) -> Failure {
    let name = String::from_utf8_lossy(name);
    Failure::text(match error {
        SettingError::Unknown(_) => {
            format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
        }
        error => format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {error}"),
    })
}

fn resetstat(call: &mut Call<'_>) -> Result<(), Failure> {
    call.engine.reset_stats();
    call.reply().ok();
    Ok(())
}

impl Engine {
    /// Sets the counters of INFO to zero (CONFIG RESETSTAT).
    pub fn reset_stats(&mut self) {
        let stats = &mut self.stats;
        *stats = Stats {
            changes_since_save: stats.changes_since_save,
            memory_peak_bytes: stats.memory_peak_bytes,
            ..Stats::default()
        };
        self.observed.reset_commands();
        self.status.syncs = SyncStatus::default();
    }
}

fn rewrite(call: &mut Call<'_>) -> Result<(), Failure> {
    let engine = &mut *call.engine;
    if engine.status.config_file.is_empty() {
        return Err(Failure::text("ERR The server is running without a config file"));
    }
    engine
        .host
        .rewrite_config(&engine.status.config_file, &engine.settings)
        .map_err(|reason| Failure::text(format!("ERR Rewriting config file: {reason}")))?;
    call.reply().ok();
    Ok(())
}
