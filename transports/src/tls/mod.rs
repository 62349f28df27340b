//! TLS by rustls, for clients, replicas and the link to a master.
//!
//! [`settings`] turns files and names of redis.conf into configurations; [`pipe`] is a connection whose handshake is
//! done; [`transport`] dials. Encryption is one layer in one place: above it nobody knows whether bytes are encrypted.
//!
//! Limits, which are rustls': TLS 1.2 and 1.3 alone, no encrypted key files, certificates of X.509 version 3.

mod pipe;
mod settings;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod transport;
mod verify;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{ClientConfig, ServerConfig};

pub use pipe::TlsPipe;
pub use settings::{ClientAuth, TlsError, TlsSettings};
pub use transport::TcpOrTls;

/// How long a handshake may take, on either side.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection is made with, in both directions.
#[derive(Clone)]
pub struct TlsConfigs {
    /// For those who connect to us.
    pub server: Arc<ServerConfig>,
    /// For those to whom we connect.
    pub client: Arc<ClientConfig>,
}

impl fmt::Debug for TlsConfigs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConfigs")
    }
}

/// The present configurations, shared by all who make connections; they change while the node runs. Connections that
/// stand keep what they were made with.
#[derive(Debug, Default)]
pub struct TlsShared {
    present: RwLock<Present>,
}

#[derive(Clone, Debug, Default)]
struct Present {
    configs: Option<TlsConfigs>,
    dials: bool,
}

impl TlsShared {
    /// The present configurations, if TLS is configured at all.
    #[must_use]
    pub fn configs(&self) -> Option<TlsConfigs> {
        self.present().configs
    }

    /// Whether links to other nodes are encrypted (`tls-replication`).
    #[must_use]
    pub fn dials(&self) -> bool {
        self.present().dials
    }

    /// Puts others in their place.
    pub fn set(&self, configs: Option<TlsConfigs>, dials: bool) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Present { configs, dials };
    }

    fn present(&self) -> Present {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
