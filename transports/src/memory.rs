//! Links within one process, for tests and simulation: names instead of addresses, no socket.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};

use crate::{
    ByteStream, DetachedStream, Endpoint, Lane, Lanes, Link, Listener, Transport, TransportError,
    TransportFuture,
};

/// Bytes in flight in each direction before a writer waits.
const PIPE_BYTES: usize = 64 << 10;
/// Links that may wait to be accepted.
const LISTEN_BACKLOG: usize = 64;

type Listeners = Arc<Mutex<HashMap<Endpoint, mpsc::Sender<MemoryLink>>>>;

/// A network of its own: endpoints of one `MemoryTransport` (and its clones) reach each other and nobody else.
#[derive(Clone, Debug, Default)]
pub struct MemoryTransport {
    listeners: Listeners,
}

impl Transport for MemoryTransport {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn dial<'a>(&'a self, to: &'a Endpoint) -> TransportFuture<'a, Box<dyn Link>> {
        Box::pin(async move {
            let unreachable = |what: &str| TransportError::Unreachable {
                to: to.clone(),
                source: io::Error::new(io::ErrorKind::ConnectionRefused, what.to_owned()),
            };
            let listener =
                lock(&self.listeners).get(to).cloned().ok_or_else(|| unreachable("nobody listens"))?;
            let (here, there) = duplex(PIPE_BYTES);
            let accepted = MemoryLink { peer: Endpoint::new("memory", 0), stream: Some(there) };
            listener.send(accepted).await.map_err(|_| unreachable("the listener is gone"))?;
            Ok(Box::new(MemoryLink { peer: to.clone(), stream: Some(here) }) as Box<dyn Link>)
        })
    }

    fn listen<'a>(&'a self, at: &'a Endpoint) -> TransportFuture<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let mut listeners = lock(&self.listeners);
            if listeners.get(at).is_some_and(|other| !other.is_closed()) {
                let source = io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there already");
                return Err(TransportError::CannotListen { at: at.clone(), source });
            }
            let (sender, incoming) = mpsc::channel(LISTEN_BACKLOG);
            listeners.insert(at.clone(), sender);
            Ok(Box::new(MemoryListener { at: at.clone(), incoming }) as Box<dyn Listener>)
        })
    }
}

fn lock(listeners: &Listeners) -> std::sync::MutexGuard<'_, HashMap<Endpoint, mpsc::Sender<MemoryLink>>> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}

struct MemoryLink {
    peer: Endpoint,
    stream: Option<DuplexStream>,
}

impl Link for MemoryLink {
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

impl ByteStream for DuplexStream {
    fn detach(self: Box<Self>) -> io::Result<Box<dyn DetachedStream>> {
        Ok(self)
    }
}

impl DetachedStream for DuplexStream {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn ByteStream>> {
        Ok(self)
    }
}

struct MemoryListener {
    at: Endpoint,
    incoming: mpsc::Receiver<MemoryLink>,
}

impl Listener for MemoryListener {
    fn endpoint(&self) -> Endpoint {
        self.at.clone()
    }

    fn accept(&mut self) -> TransportFuture<'_, Box<dyn Link>> {
        Box::pin(async move {
            let link = self.incoming.recv().await;
            let gone = || io::Error::new(io::ErrorKind::NotConnected, "the network is gone");
            Ok(Box::new(link.ok_or_else(gone)?) as Box<dyn Link>)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn names_reach_each_other_within_one_network() {
        let network = MemoryTransport::default();
        let at = Endpoint::new("master", 1);
        let mut listener = network.listen(&at).await.unwrap();
        assert!(matches!(network.listen(&at).await, Err(TransportError::CannotListen { .. })));
        let (here, there) = tokio::join!(network.dial(&at), listener.accept());
        let mut here = here.unwrap().open(Lane::Control).unwrap();
        let mut there = there.unwrap().open(Lane::Control).unwrap();
        here.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        there.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");

        assert!(MemoryTransport::default().dial(&at).await.is_err());
        drop(listener);
        assert!(network.dial(&at).await.is_err());
        assert!(network.listen(&at).await.is_ok());
    }
}
