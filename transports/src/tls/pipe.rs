//! A connection whose handshake is done.
//!
//! rustls keeps what the socket did not take. Whoever reads sends that on, so that a writer who has nothing more to
//! write need not come back; both ends of a split stream belong to one task here.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::{ByteStream, DetachedStream, tls::HANDSHAKE_TIMEOUT};

/// An encrypted connection.
#[derive(Debug)]
pub struct TlsPipe {
    stream: TlsStream<Socket>,
    /// Set while rustls holds bytes that the socket has not taken.
    is_unflushed: bool,
}

impl TlsPipe {
    /// The server's side of the handshake.
    ///
    /// # Errors
    /// The peer does not speak TLS, has no certificate that we trust, or takes too long.
    pub async fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let accept = TlsAcceptor::from(config).accept(Socket::Attached(stream));
        Ok(Self::new(TlsStream::Server(in_time(accept).await?)))
    }

    /// The client's side of the handshake.
    ///
    /// # Errors
    /// As for [`Self::accept`].
    pub async fn connect(
        stream: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let connect = TlsConnector::from(config).connect(name, Socket::Attached(stream));
        Ok(Self::new(TlsStream::Client(in_time(connect).await?)))
    }

    fn new(stream: TlsStream<Socket>) -> Self {
        Self { stream, is_unflushed: false }
    }

    pub(crate) fn is_flushed(&self) -> bool {
        !self.is_unflushed
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nobody is woken by this: whoever could not write everything comes back as the connection's task.
        match Pin::new(self).poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes the connection off its runtime.
    pub(crate) fn detach(mut self: Box<Self>) -> io::Result<Box<dyn DetachedStream>> {
        let (socket, _) = self.stream.get_mut();
        socket.detach()?;
        Ok(self)
    }
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake takes too long")),
    }
}

impl AsyncRead for TlsPipe {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let pipe = self.get_mut();
        if pipe.is_unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut *pipe).poll_flush(context)
        {
            flushed?;
        }
        Pin::new(&mut pipe.stream).poll_read(context, into)
    }
}

impl AsyncWrite for TlsPipe {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let pipe = self.get_mut();
        let written = std::task::ready!(Pin::new(&mut pipe.stream).poll_write(context, bytes))?;
        pipe.is_unflushed = true;
        if let Poll::Ready(Err(error)) = Pin::new(pipe).poll_flush(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pipe = self.get_mut();
        let flushed = Pin::new(&mut pipe.stream).poll_flush(context);
        pipe.is_unflushed = flushed.is_pending();
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl Drop for TlsPipe {
    /// Says goodbye, as far as the socket takes it: else the peer must take our end for an attack.
    fn drop(&mut self) {
        let (socket, session) = self.stream.get_mut();
        if matches!(socket, Socket::Attached(_)) {
            session.send_close_notify();
            let _ = Pin::new(&mut self.stream).poll_flush(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl ByteStream for TlsPipe {
    fn detach(self: Box<Self>) -> io::Result<Box<dyn DetachedStream>> {
        Self::detach(self)
    }
}

impl DetachedStream for TlsPipe {
    fn attach(mut self: Box<Self>) -> io::Result<Box<dyn ByteStream>> {
        let (socket, _) = self.stream.get_mut();
        socket.attach()?;
        Ok(self)
    }
}

/// The socket below a session, which moves from runtime to runtime while the session stays around it.
#[derive(Debug)]
enum Socket {
    Attached(TcpStream),
    Detached(std::net::TcpStream),
    /// A move failed.
    Lost,
}

impl Socket {
    fn detach(&mut self) -> io::Result<()> {
        if let Self::Attached(stream) = std::mem::replace(self, Self::Lost) {
            *self = Self::Detached(stream.into_std()?);
        }
        Ok(())
    }

    fn attach(&mut self) -> io::Result<()> {
        if let Self::Detached(stream) = std::mem::replace(self, Self::Lost) {
            *self = Self::Attached(TcpStream::from_std(stream)?);
        }
        Ok(())
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        match self.get_mut() {
            Self::Attached(stream) => Ok(Pin::new(stream)),
            Self::Detached(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
