//! The doors by which clients come: TCP, TLS and unix sockets; they change while the node runs.
//!
//! A [`Doors`] holds every listening socket and the task that accepts at it. Closing one closes its socket at once, so
//! that another can be bound in its place. Who is let in is decided in `admission`.

use std::{cell::RefCell, io, net::SocketAddr, path::Path, rc::Rc};

use rejoin_commands::Settings;
use rejoin_transports::{Endpoint, tcp, unix::UnixDoor};
use tokio::{
    net::{TcpListener, UnixListener},
    task::AbortHandle,
};

use crate::{
    events::NodeEvents,
    shard::{SharedShard, admission, run::spawn_guarded},
};

/// A TCP address to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    at: Endpoint,
    /// Clients speak TLS here.
    is_tls: bool,
    /// Not an error if the address is not there.
    is_optional: bool,
}

/// Every address that `settings` ask for.
pub(crate) fn wanted(settings: &Settings) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (port, is_tls) in [(settings.port, false), (settings.tls_port, true)] {
        wanted.extend(wanted_at(settings, port, is_tls));
    }
    wanted.retain(|wanted| wanted.at.port != 0);
    wanted
}

/// The addresses of one port; port 0 becomes whatever the system has free.
pub(crate) fn wanted_at(settings: &Settings, port: u16, is_tls: bool) -> Vec<Wanted> {
    let binds = settings.bind.iter().map(|bind| {
        let (host, is_optional) = bind.strip_prefix('-').map_or((bind.as_str(), false), |host| (host, true));
        Wanted { at: Endpoint::new(host, port), is_tls, is_optional }
    });
    binds.collect()
}

/// Why an address cannot be listened at; the operator has been told.
#[derive(Debug)]
pub(crate) struct CannotListen {
    pub(crate) at: Endpoint,
    pub(crate) is_tls: bool,
    pub(crate) error: io::Error,
}

struct Door {
    wanted: Wanted,
    address: SocketAddr,
    /// Emptied when the door is closed.
    listener: Rc<RefCell<Option<TcpListener>>>,
    /// Once clients are let in.
    task: Option<AbortHandle>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.listener.borrow_mut().take();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// All doors of the node.
#[derive(Default)]
pub(crate) struct Doors {
    tcp: Vec<Door>,
    /// Its file goes with it.
    unix: Option<UnixDoor>,
    /// What the operator calls it, for CLIENT LIST.
    unix_name: String,
}

impl Doors {
    /// Where clients come by TCP, encrypted or not.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        self.tcp.iter().map(|door| (door.address, door.wanted.is_tls))
    }

    /// Listens at `wanted` and nowhere else; doors that stay are not touched. On an error all is as it was, as far as
    /// the system gives closed addresses back.
    pub(crate) fn change(&mut self, wanted: &[Wanted], backlog: u32) -> Result<(), CannotListen> {
        let before: Vec<Wanted> = self.tcp.iter().map(|door| door.wanted.clone()).collect();
        // An address must be free before another that overlaps it can be had.
        self.tcp.retain(|door| wanted.contains(&door.wanted));
        if let Err(error) = self.open_missing(wanted, backlog) {
            self.tcp.retain(|door| before.contains(&door.wanted));
            if let Err(lost) = self.open_missing(&before, backlog) {
                tracing::error!(error = %lost.error, "an address is lost that was listened at before");
            }
            return Err(error);
        }
        Ok(())
    }

    fn open_missing(&mut self, wanted: &[Wanted], backlog: u32) -> Result<(), CannotListen> {
        // Several addresses share what the system chose for the first.
        let mut chosen = 0;
        for wanted in wanted {
            if self.tcp.iter().any(|door| door.wanted == *wanted) {
                continue;
            }
            let mut at = wanted.at.clone();
            if at.port == 0 {
                at.port = chosen;
            }
            match open(&at, backlog) {
                Ok((listener, address)) => {
                    chosen = address.port();
                    let listener = Rc::new(RefCell::new(Some(listener)));
                    let mut wanted = wanted.clone();
                    wanted.at.port = address.port();
                    self.tcp.push(Door { wanted, address, listener, task: None });
                }
                Err(error) => {
                    let reason = crate::words_of(&error);
                    tracing::warn!(
                        "Warning: Could not create server TCP listening socket {at}: bind: {reason}"
                    );
                    if !(wanted.is_optional && is_absent(&error)) {
                        return Err(CannotListen { at, is_tls: wanted.is_tls, error });
                    }
                }
            }
        }
        Ok(())
    }

    /// Listens at a unix socket.
    pub(crate) fn open_unix(&mut self, settings: &Settings) -> io::Result<()> {
        if !settings.unixsocket.is_empty() {
            self.unix_name.clone_from(&settings.unixsocket);
            let path = Path::new(&settings.dir).join(&settings.unixsocket);
            let backlog = settings.tcp_backlog.try_into().unwrap_or(i32::MAX);
            self.unix = Some(UnixDoor::open(&path, settings.unixsocketperm, backlog)?);
        }
        Ok(())
    }

    /// Nobody can come in.
    pub(crate) fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.unix.is_none()
    }

    /// Lets clients in at every door where nobody does yet.
    /// The shard may be borrowed: it is only handed on.
    pub(crate) fn let_in(&mut self, shard: &SharedShard, events: &NodeEvents) -> io::Result<()> {
        for door in self.tcp.iter_mut().filter(|door| door.task.is_none()) {
            let accepting = accept_tcp(shard.clone(), door.listener.clone(), door.wanted.is_tls);
            door.task = Some(spawn_guarded(events, "listener", accepting));
        }
        if let Some(unix) = &mut self.unix
            && let Some(listener) = unix.take_listener()
        {
            let listener = UnixListener::from_std(listener)?;
            let name = std::mem::take(&mut self.unix_name);
            spawn_guarded(events, "listener", accept_unix(shard.clone(), listener, name));
        }
        Ok(())
    }
}

fn open(at: &Endpoint, backlog: u32) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::from_std(tcp::listen(at, backlog.try_into().unwrap_or(i32::MAX))?)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Accepts until the door is closed; each client becomes a task.
async fn accept_tcp(shard: SharedShard, listener: Rc<RefCell<Option<TcpListener>>>, is_tls: bool) {
    loop {
        let accepted = std::future::poll_fn(|context| match &*listener.borrow() {
            Some(listener) => listener.poll_accept(context).map(Some),
            None => std::task::Poll::Ready(None),
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, _))) => admission::admit_tcp(&shard, stream, is_tls),
            Some(Err(error)) => admission::after_failure(&error).await,
        }
    }
}

async fn accept_unix(shard: SharedShard, listener: UnixListener, name: String) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admission::admit_unix(&shard, stream, &name),
            Err(error) => admission::after_failure(&error).await,
        }
    }
}
