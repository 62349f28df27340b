//! Who is let in: not more than `maxclients`, nobody from afar in protected mode, and by TLS only whose handshake
//! ends well.

use std::{io, time::Duration};

use rejoin_transports::{client::ClientStream, tcp, tls::TlsPipe};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
};

use crate::shard::{SharedShard, connection};

/// Pause after an accept that failed for lack of descriptors: they come back when clients leave.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a client that is refused may take to take the reason.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

const TOO_MANY: &str = "-ERR max number of clients reached\r\n";
const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password \
is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode \
sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same \
host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG \
REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis \
configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started \
the server manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an authentication \
password for the default user. NOTE: You only need to do one of the above things in order for the server to start \
accepting connections from the outside.\r\n";

/// The two addresses of a connection, as CLIENT LIST shows them.
pub(crate) struct Names {
    pub(crate) addr: String,
    pub(crate) laddr: String,
}

/// What follows an accept that failed.
pub(super) async fn after_failure(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::warn!("Accepting client connection: {}", crate::words_of(error));
        tokio::time::sleep(ACCEPT_RETRY).await;
    }
}

/// A TCP client at the door.
pub(super) fn admit_tcp(shard: &SharedShard, stream: TcpStream, is_tls: bool) {
    let name = |address: io::Result<std::net::SocketAddr>| address.map(|a| a.to_string()).unwrap_or_default();
    let names = Names { addr: name(stream.peer_addr()), laddr: name(stream.local_addr()) };
    tracing::debug!("Accepted {}", names.addr);
    let is_near = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
    let keepalive = {
        let shard = shard.borrow();
        Duration::from_secs(shard.engine.settings.tcp_keepalive_seconds)
    };
    let refusal = refusal(shard, is_near);
    if let Err(error) = tcp::configure(&stream, keepalive) {
        tracing::debug!(%error, "a client left while it was accepted");
        return;
    }
    match (refusal, is_tls) {
        (None, false) => begin(shard, ClientStream::Tcp(stream), names),
        (None, true) => {
            tokio::task::spawn_local(shake_hands(shard.clone(), stream, names));
        }
        (Some(refusal), false) => {
            tokio::task::spawn_local(refuse(ClientStream::Tcp(stream), refusal));
        }
        // It does not hear us before the handshake.
        (Some(_), true) => {}
    }
}

/// A client at the unix socket.
pub(super) fn admit_unix(shard: &SharedShard, stream: UnixStream, path: &str) {
    tracing::debug!("Accepted connection to {path}");
    let name = format!("{path}:0");
    match refusal(shard, true) {
        None => begin(shard, ClientStream::Unix(stream), Names { addr: name.clone(), laddr: name }),
        Some(refusal) => {
            tokio::task::spawn_local(refuse(ClientStream::Unix(stream), refusal));
        }
    }
}

/// Why a client is not let in.
fn refusal(shard: &SharedShard, is_near: bool) -> Option<&'static str> {
    let shard = &mut *shard.borrow_mut();
    let settings = &shard.engine.settings;
    let refusal = if shard.connections.len() + shard.handshakes >= settings.maxclients as usize {
        Some(TOO_MANY)
    } else if settings.protected_mode && settings.requirepass.is_empty() && !is_near {
        Some(PROTECTED)
    } else {
        shard.stopping.then_some("")
    };
    shard.engine.stats.connections_rejected += u64::from(refusal.is_some());
    refusal
}

async fn refuse(mut stream: ClientStream, refusal: &'static str) {
    // The client may be gone already; there is nobody else to tell.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, stream.write_all(refusal.as_bytes())).await;
}

fn begin(shard: &SharedShard, stream: ClientStream, names: Names) {
    let key = connection::add(shard, stream, names);
    let client = shard.borrow().connections[key].client;
    tokio::task::spawn_local(connection::serve(shard.clone(), key, client));
}

async fn shake_hands(shard: SharedShard, stream: TcpStream, names: Names) {
    let Some(configs) = shard.borrow().tls.configs() else { return };
    shard.borrow_mut().handshakes += 1;
    let outcome = TlsPipe::accept(stream, configs.server).await;
    shard.borrow_mut().handshakes -= 1;
    match outcome {
        Ok(pipe) if !shard.borrow().stopping => begin(&shard, ClientStream::Tls(Box::new(pipe)), names),
        Ok(_) => {}
        Err(error) => {
            let reason = crate::words_of(&error);
            tracing::debug!(
                "Error accepting a client connection: {reason} (addr={} laddr={})",
                names.addr,
                names.laddr
            );
        }
    }
}
