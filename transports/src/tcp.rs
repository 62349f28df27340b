//! Plain TCP: all lanes in one ordered stream.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    ByteStream, DetachedStream, Endpoint, Lane, Lanes, Link, Listener, Transport, TransportError,
    TransportFuture, file_socket::FileSocket,
};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that may wait to be accepted.
const LISTEN_BACKLOG: i32 = 511;

/// Links over TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpTransport;

impl Transport for TcpTransport {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn dial<'a>(&'a self, to: &'a Endpoint) -> TransportFuture<'a, Box<dyn Link>> {
        Box::pin(async move {
            let stream = connect(to).await?;
            Ok(Box::new(TcpLink { peer: to.clone(), stream: Some(stream) }) as Box<dyn Link>)
        })
    }

    fn listen<'a>(&'a self, at: &'a Endpoint) -> TransportFuture<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = listen(at, LISTEN_BACKLOG)
                .and_then(TcpListener::from_std)
                .map_err(|source| TransportError::CannotListen { at: at.clone(), source })?;
            Ok(Box::new(TcpLinkListener { listener }) as Box<dyn Listener>)
        })
    }
}

/// Connects, and does not wait for ever.
pub(crate) async fn connect(to: &Endpoint) -> Result<TcpStream, TransportError> {
    let connect = TcpStream::connect((to.host.as_str(), to.port));
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 seconds")),
    }
    .map_err(|source| TransportError::Unreachable { to: to.clone(), source })?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A link over one TCP connection.
#[derive(Debug)]
pub struct TcpLink {
    peer: Endpoint,
    stream: Option<TcpStream>,
}

impl TcpLink {
    /// A link over a connection that was accepted elsewhere.
    #[must_use]
    pub fn new(peer: Endpoint, stream: TcpStream) -> Self {
        Self { peer, stream: Some(stream) }
    }
}

impl Link for TcpLink {
    fn peer(&self) -> &Endpoint {
        &self.peer
    }

    fn lanes(&self) -> Lanes {
        Lanes::Shared
    }

    fn open(&mut self, lane: Lane) -> Result<Box<dyn ByteStream>, TransportError> {
        match self.stream.take() {
            Some(stream) => Ok(Box::new(stream)),
            None => Err(TransportError::LaneTaken(lane)),
        }
    }
}

impl ByteStream for TcpStream {
    fn detach(self: Box<Self>) -> io::Result<Box<dyn DetachedStream>> {
        Ok(Box::new(self.into_std()?))
    }

    fn file_socket(&self) -> io::Result<Option<FileSocket>> {
        FileSocket::of_tcp(self)
    }
}

impl DetachedStream for std::net::TcpStream {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn ByteStream>> {
        Ok(Box::new(TcpStream::from_std(*self)?))
    }
}

struct TcpLinkListener {
    listener: TcpListener,
}

impl Listener for TcpLinkListener {
    fn endpoint(&self) -> Endpoint {
        let local = self.listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        Endpoint::new(local.ip().to_string(), local.port())
    }

    fn accept(&mut self) -> TransportFuture<'_, Box<dyn Link>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(TcpLink::new(Endpoint::new(from.ip().to_string(), from.port()), stream))
                as Box<dyn Link>)
        })
    }
}

/// A listening socket, non-blocking, that other processes' leftovers (TIME_WAIT) do not hinder. `*` listens on every
/// IPv4 address, `::*` on every IPv6 address. `host` may be a name; the first address that it has is used.
pub fn listen(at: &Endpoint, backlog: i32) -> io::Result<std::net::TcpListener> {
    let host = match at.host.as_str() {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let address = (host, at.port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Sets what every connection of ours has: no delay for small writes, and probes of a silent peer after `keepalive`
/// (none when zero).
pub fn configure(stream: &TcpStream, keepalive: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if !keepalive.is_zero() {
        let probes = TcpKeepalive::new()
            .with_time(keepalive)
            .with_interval((keepalive / 3).max(Duration::from_secs(1)))
            .with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&probes)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways_and_survive_a_change_of_runtime() {
        let mut listener = TcpTransport.listen(&Endpoint::new("127.0.0.1", 0)).await.unwrap();
        let at = listener.endpoint();
        let (dialled, accepted) = tokio::join!(TcpTransport.dial(&at), listener.accept());
        let mut here = dialled.unwrap().open(Lane::Control).unwrap();
        let mut link = accepted.unwrap();
        assert_eq!(link.lanes(), Lanes::Shared);
        let there = link.open(Lane::Commands).unwrap();
        assert!(matches!(link.open(Lane::Heartbeat), Err(TransportError::LaneTaken(Lane::Heartbeat))));

        here.write_all(b"before").await.unwrap();
        let detached = there.detach().unwrap();
        let echoed = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
                let mut there = detached.attach().unwrap();
                let mut got = [0; 12];
                there.read_exact(&mut got).await.unwrap();
                there.write_all(&got).await.unwrap();
                got
            })
        });
        here.write_all(b" after").await.unwrap();
        let mut got = [0; 12];
        here.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"before after");
        assert_eq!(&echoed.join().unwrap(), b"before after");
    }

    #[tokio::test]
    async fn an_unreachable_peer_is_named() {
        let mut listener = TcpTransport.listen(&Endpoint::new("127.0.0.1", 0)).await.unwrap();
        let at = listener.endpoint();
        let _ = &mut listener;
        drop(listener);
        let error = TcpTransport.dial(&at).await.err().unwrap();
        assert!(error.to_string().starts_with(&format!("cannot connect to {at}")), "{error}");
    }
}
