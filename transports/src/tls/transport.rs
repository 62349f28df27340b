//! Links to other nodes: plain TCP or TLS, as `tls-replication` says at the moment of dialling.

use std::{net::IpAddr, sync::Arc};

use rustls::pki_types::ServerName;

use crate::{
    ByteStream, Endpoint, Lane, Lanes, Link, Listener, Transport, TransportError, TransportFuture,
    tcp::{self, TcpTransport},
    tls::{TlsPipe, TlsShared},
};

/// Dials by TLS if it is told to, else by plain TCP.
#[derive(Clone, Debug, Default)]
pub struct TcpOrTls {
    tls: Arc<TlsShared>,
}

impl TcpOrTls {
    /// With configurations that others may change.
    #[must_use]
    pub fn new(tls: Arc<TlsShared>) -> Self {
        Self { tls }
    }
}

impl Transport for TcpOrTls {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn dial<'a>(&'a self, to: &'a Endpoint) -> TransportFuture<'a, Box<dyn Link>> {
        if !self.tls.dials() {
            return TcpTransport.dial(to);
        }
        Box::pin(async move {
            let unreachable = |source| TransportError::Unreachable { to: to.clone(), source };
            let stream = tcp::connect(to).await?;
            let configs = self.tls.configs().ok_or_else(|| {
                unreachable(std::io::Error::other("tls-replication is set, but TLS is not configured"))
            })?;
            let name = name_of(to, stream.peer_addr()?.ip());
            let pipe = TlsPipe::connect(stream, configs.client, name).await.map_err(unreachable)?;
            Ok(Box::new(TlsLink { peer: to.clone(), pipe: Some(pipe) }) as Box<dyn Link>)
        })
    }

    /// Plain: encrypted clients are let in by the shard.
    fn listen<'a>(&'a self, at: &'a Endpoint) -> TransportFuture<'a, Box<dyn Listener>> {
        TcpTransport.listen(at)
    }
}

/// A name for the handshake; it is not compared with the certificate.
fn name_of(to: &Endpoint, address: IpAddr) -> ServerName<'static> {
    ServerName::try_from(to.host.clone()).unwrap_or(ServerName::IpAddress(address.into()))
}

struct TlsLink {
    peer: Endpoint,
    pipe: Option<TlsPipe>,
}

impl Link for TlsLink {
    fn peer(&self) -> &Endpoint {
        &self.peer
    }

    fn lanes(&self) -> Lanes {
        Lanes::Shared
    }

    fn open(&mut self, lane: Lane) -> Result<Box<dyn ByteStream>, TransportError> {
        match self.pipe.take() {
            Some(pipe) => Ok(Box::new(pipe)),
            None => Err(TransportError::LaneTaken(lane)),
        }
    }
}
