//! Accepts clients.

use std::{io, time::Duration};

use rejoin_transports::tcp;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::shard::{SharedShard, connection};

/// Pause after an accept that failed for lack of descriptors: they come back when clients leave.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts for ever; each client becomes a task.
pub(crate) async fn accept_forever(shard: SharedShard, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(&shard, stream),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "Error accepting a client connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

fn admit(shard: &SharedShard, stream: TcpStream) {
    let (is_full, keepalive) = {
        let mut shard = shard.borrow_mut();
        let settings = &shard.engine.settings;
        let is_full = shard.connections.len() >= settings.maxclients as usize;
        let keepalive = Duration::from_secs(settings.tcp_keepalive_seconds);
        if is_full || shard.stopping {
            shard.engine.stats.connections_rejected += 1;
        }
        (is_full || shard.stopping, keepalive)
    };
    if is_full {
        tokio::task::spawn_local(refuse(stream));
        return;
    }
    if let Err(error) = tcp::configure(&stream, keepalive) {
        tracing::debug!(%error, "a client left while it was accepted");
        return;
    }
    let key = connection::add(shard, stream);
    let client = shard.borrow().connections[key].client;
    tokio::task::spawn_local(connection::serve(shard.clone(), key, client));
}

async fn refuse(mut stream: TcpStream) {
    // The client may be gone already; there is nobody else to tell.
    let _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
}
