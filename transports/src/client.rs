//! The connection of one client, by whichever door it came: TCP, unix socket or TLS.
//!
//! An enum, not a trait object: the shard reads and writes here for every turn, and plain TCP must not pay for TLS.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::{ByteStream, DetachedStream, file_socket::FileSocket, tls::TlsPipe};

/// A client's connection.
#[derive(Debug)]
pub enum ClientStream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP, its handshake done.
    Tls(Box<TlsPipe>),
}

impl ClientStream {
    /// Writes what the socket takes right now. Whoever has written must look at [`Self::is_flushed`].
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing, and whatever the socket says.
    #[inline]
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tls(pipe) => pipe.try_write(bytes),
        }
    }

    /// Whether all that was written has left for the socket. If not, reading goes on sending it.
    #[inline]
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => true,
            Self::Tls(pipe) => pipe.is_flushed(),
        }
    }

    /// Takes the connection off its runtime: it has turned out to be a replica's.
    ///
    /// # Errors
    /// The socket cannot be taken off.
    pub fn detach(self) -> io::Result<Box<dyn DetachedStream>> {
        match self {
            Self::Tcp(stream) => Ok(Box::new(stream.into_std()?)),
            Self::Unix(stream) => Ok(Box::new(stream.into_std()?)),
            Self::Tls(pipe) => pipe.detach(),
        }
    }
}

impl AsyncRead for ClientStream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(pipe) => Pin::new(pipe.as_mut()).poll_read(context, into),
        }
    }
}

impl AsyncWrite for ClientStream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(pipe) => Pin::new(pipe.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(pipe) => Pin::new(pipe.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(pipe) => Pin::new(pipe.as_mut()).poll_shutdown(context),
        }
    }
}

impl ByteStream for UnixStream {
    fn detach(self: Box<Self>) -> io::Result<Box<dyn DetachedStream>> {
        Ok(Box::new(self.into_std()?))
    }

    fn file_socket(&self) -> io::Result<Option<FileSocket>> {
        FileSocket::of_unix(self)
    }
}

impl DetachedStream for std::os::unix::net::UnixStream {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn ByteStream>> {
        Ok(Box::new(UnixStream::from_std(*self)?))
    }
}
