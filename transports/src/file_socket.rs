//! Sends bytes of files from the page cache straight into a plain socket, with sendfile(2).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

/// A second handle on a connection's socket, which belongs to no runtime. Whoever has it and whoever has the stream must
/// not write at the same time.
#[derive(Debug)]
pub struct FileSocket {
    socket: OwnedFd,
    family: Family,
}

#[derive(Clone, Copy, Debug)]
enum Family {
    Tcp,
    Unix,
}

impl FileSocket {
    /// Of a TCP connection; `None` where the system has no sendfile.
    pub(crate) fn of_tcp(stream: &TcpStream) -> io::Result<Option<Self>> {
        Self::of(stream.as_fd(), Family::Tcp)
    }

    /// Of a unix socket; `None` where the system has no sendfile.
    pub(crate) fn of_unix(stream: &UnixStream) -> io::Result<Option<Self>> {
        Self::of(stream.as_fd(), Family::Unix)
    }

    fn of(socket: BorrowedFd<'_>, family: Family) -> io::Result<Option<Self>> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        Ok(Some(Self { socket: socket.try_clone_to_owned()?, family }))
    }

    /// One more handle.
    ///
    /// # Errors
    /// The system has no more.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, family: self.family })
    }

    /// Attaches it to the runtime of the calling thread.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn attach(self) -> io::Result<FileSender> {
        // The handles of one socket are all non-blocking if one is.
        Ok(match self.family {
            Family::Tcp => FileSender::Tcp(TcpStream::from_std(self.socket.into())?),
            Family::Unix => FileSender::Unix(UnixStream::from_std(self.socket.into())?),
        })
    }
}

/// A socket that takes bytes of files.
#[derive(Debug)]
pub enum FileSender {
    /// Over TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

impl FileSender {
    /// Sends up to `bytes` of `file` from its place `at` on, and returns how many: as many as the socket takes, 0 only at
    /// the file's end. Waits while the socket takes none. Bytes that are not in memory are read here, so the thread should
    /// have nothing urgent to do.
    ///
    /// # Errors
    /// What the socket or the file says; the connection is of no use then.
    pub async fn send(&self, file: BorrowedFd<'_>, at: u64, bytes: u64) -> io::Result<u64> {
        let send = |socket: BorrowedFd<'_>| send_once(socket, file, at, bytes);
        loop {
            let outcome = match self {
                Self::Tcp(stream) => {
                    stream.writable().await?;
                    stream.try_io(Interest::WRITABLE, || send(stream.as_fd()))
                }
                Self::Unix(stream) => {
                    stream.writable().await?;
                    stream.try_io(Interest::WRITABLE, || send(stream.as_fd()))
                }
            };
            match outcome {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                outcome => return outcome,
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn send_once(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, at: u64, bytes: u64) -> io::Result<u64> {
    let mut at = at;
    let count = usize::try_from(bytes).unwrap_or(usize::MAX);
    Ok(rustix::fs::sendfile(socket, file, Some(&mut at), count)? as u64)
}

#[cfg(not(target_os = "linux"))]
fn send_once(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: u64, _: u64) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::{Endpoint, Lane, Transport, memory::MemoryTransport, tcp::TcpTransport};

    #[tokio::test]
    async fn bytes_of_a_file_stand_between_those_that_were_written() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
        file.write_all(&content).unwrap();
        let mut listener = TcpTransport.listen(&Endpoint::new("127.0.0.1", 0)).await.unwrap();
        let at = listener.endpoint();
        let (dialled, accepted) = tokio::join!(TcpTransport.dial(&at), listener.accept());
        let mut here = dialled.unwrap().open(Lane::Control).unwrap();
        let mut there = accepted.unwrap().open(Lane::Control).unwrap();
        let socket = there.file_socket().unwrap().unwrap();
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            here.read_to_end(&mut got).await.unwrap();
            got
        });
        there.write_all(b"head").await.unwrap();
        let sender = socket.attach().unwrap();
        let mut sent = 1000;
        while sent < content.len() as u64 {
            let count = sender.send(std::os::fd::AsFd::as_fd(&file), sent, 1 << 20).await.unwrap();
            assert!(count > 0);
            sent += count;
        }
        let at_end = sender.send(std::os::fd::AsFd::as_fd(&file), sent, 1).await.unwrap();
        assert_eq!(at_end, 0);
        drop(sender);
        there.write_all(b"tail").await.unwrap();
        drop(there);
        let got = reading.await.unwrap();
        assert!(got == [b"head", &content[1000..], b"tail"].concat());
    }

    #[tokio::test]
    async fn what_is_no_plain_socket_has_none() {
        let network = MemoryTransport::default();
        let at = Endpoint::new("master", 1);
        let mut listener = network.listen(&at).await.unwrap();
        let (dialled, _accepted) = tokio::join!(network.dial(&at), listener.accept());
        assert!(dialled.unwrap().open(Lane::Control).unwrap().file_socket().unwrap().is_none());
    }
}
