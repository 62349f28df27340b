//! The engine's world outside: settings that take effect by more than a field, and the configuration file.
//!
//! Called while a command executes, so the shard is borrowed: this has its own hold of what it changes.

use std::{cell::RefCell, rc::Weak, sync::Arc};

use rejoin_commands::{Host, NotApplied, Settings};
use rejoin_transports::tls::{ClientAuth, TlsError, TlsSettings, TlsShared};

use crate::{
    events::NodeEvents,
    shard::{
        Shard, config_file, descriptors,
        listener::{self, Doors},
    },
};

/// What the doors, TLS and the file system are to the engine.
pub(crate) struct ShardHost {
    shard: Weak<RefCell<Shard>>,
    events: NodeEvents,
    doors: Doors,
    tls: Arc<TlsShared>,
}

impl ShardHost {
    pub(crate) fn new(
        shard: Weak<RefCell<Shard>>,
        events: NodeEvents,
        doors: Doors,
        tls: Arc<TlsShared>,
    ) -> Self {
        Self { shard, events, doors, tls }
    }

    fn apply_doors(
        &mut self,
        present: &Settings,
        next: &Settings,
        name: &'static str,
    ) -> Result<(), NotApplied> {
        let reason = match name {
            "bind" => "Failed to bind to specified addresses.",
            _ => "Unable to listen on this port. Check server logs.",
        };
        let is_same =
            (next.port, next.tls_port, &next.bind) == (present.port, present.tls_port, &present.bind);
        if is_same {
            return Ok(());
        }
        self.doors
            .change(&listener::wanted(next), next.tcp_backlog)
            .map_err(|_| NotApplied::new(name, reason))?;
        let Some(shard) = self.shard.upgrade() else { return Ok(()) };
        self.doors.let_in(&shard, &self.events).map_err(|_| NotApplied::new(name, reason))
    }
}

impl Host for ShardHost {
    fn apply_settings(
        &mut self,
        present: &Settings,
        next: &mut Settings,
        changed: &[&'static str],
    ) -> Result<(), NotApplied> {
        let told = |error: NotApplied| {
            tracing::warn!(
                "Failed applying new configuration. Possibly related to new {} setting. Restoring previous settings.",
                error.name
            );
            error
        };
        // First what changes nothing outside; the doors come last, so that nothing has to be taken back.
        let mut new_tls = None;
        for &name in changed {
            match name {
                "dir" => {
                    next.dir = config_file::existing_directory(&next.dir)
                        .map_err(|reason| told(NotApplied::new(name, reason)))?
                }
                "maxclients" => {
                    descriptors::make_room(next.maxclients).map_err(|most| {
                        told(NotApplied::new(
                            name,
                            format!(
                                "The operating system is not able to handle the specified number of clients, try with \
                                 {most}"
                            ),
                        ))
                    })?;
                }
                _ if name.starts_with("tls-") && uses_tls(next) && new_tls.is_none() => {
                    let configs = tls_settings(next).build().map_err(|error| {
                        tracing::warn!("{error}");
                        told(NotApplied::new(name, "Unable to update TLS configuration. Check server logs."))
                    })?;
                    new_tls = Some(configs);
                }
                _ => {}
            }
        }
        if let Some(&name) = changed.iter().find(|name| matches!(**name, "port" | "tls-port" | "bind")) {
            self.apply_doors(present, next, name).map_err(told)?;
        }
        if changed.iter().any(|name| name.starts_with("tls-")) {
            self.tls.set(new_tls, dials(next));
        }
        Ok(())
    }

    fn rewrite_config(&mut self, file: &str, settings: &Settings) -> Result<(), String> {
        let outcome = config_file::rewrite(file, settings);
        match &outcome {
            Ok(()) => tracing::warn!("CONFIG REWRITE executed with success."),
            Err(reason) => tracing::warn!("CONFIG REWRITE failed: {reason}"),
        }
        outcome
    }
}

/// What TLS is used for, if for anything: read at the start, and again when a setting of it changes.
pub(crate) fn configure_tls(settings: &Settings, shared: &TlsShared) -> Result<(), TlsError> {
    let configs = if uses_tls(settings) { Some(tls_settings(settings).build()?) } else { None };
    shared.set(configs, dials(settings));
    Ok(())
}

fn uses_tls(settings: &Settings) -> bool {
    settings.tls_port != 0 || dials(settings)
}

fn dials(settings: &Settings) -> bool {
    settings.is_on("tls-replication") || settings.is_on("tls-cluster")
}

fn tls_settings(settings: &Settings) -> TlsSettings {
    // Relative to the node's directory, as all its files are.
    let text = |name: &str| settings.get(name).unwrap_or_default();
    let file = |name: &str| {
        let name = text(name);
        if name.is_empty() {
            return name;
        }
        std::path::Path::new(&settings.dir).join(name).to_string_lossy().into_owned()
    };
    TlsSettings {
        cert_file: file("tls-cert-file"),
        key_file: file("tls-key-file"),
        key_file_pass: text("tls-key-file-pass"),
        client_cert_file: file("tls-client-cert-file"),
        client_key_file: file("tls-client-key-file"),
        client_key_file_pass: text("tls-client-key-file-pass"),
        ca_cert_file: file("tls-ca-cert-file"),
        ca_cert_dir: file("tls-ca-cert-dir"),
        auth_clients: match text("tls-auth-clients").as_str() {
            "no" => ClientAuth::No,
            "optional" => ClientAuth::Optional,
            _ => ClientAuth::Yes,
        },
        dials: dials(settings),
        protocols: text("tls-protocols"),
        ciphers: text("tls-ciphers"),
        ciphersuites: text("tls-ciphersuites"),
        prefers_own_ciphers: settings.is_on("tls-prefer-server-ciphers"),
        session_caching: settings.is_on("tls-session-caching"),
        session_cache_size: text("tls-session-cache-size").parse().unwrap_or(0),
    }
}
