//! Unix sockets, for clients on the same machine.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket, Type};

/// A listening unix socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct UnixDoor {
    path: PathBuf,
    /// Taken by whoever accepts.
    listener: Option<UnixListener>,
}

impl UnixDoor {
    /// Listens at `path`, non-blocking. A file that stands there is replaced, as redis-server does: most often it was
    /// left behind by a crash. `permissions` of 0 leaves those that the umask gives.
    ///
    /// # Errors
    /// The path is too long, or what the system says of it.
    pub fn open(path: &Path, permissions: u32, backlog: i32) -> io::Result<Self> {
        // Whatever is wrong with the path, `bind` says it.
        let _ = fs::remove_file(path);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // From here on an error removes the file again.
        let mut door = Self { path: std::path::absolute(path)?, listener: None };
        socket.listen(backlog)?;
        if permissions != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
        }
        door.listener = Some(socket.into());
        Ok(door)
    }

    /// The listening socket; once.
    pub fn take_listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        tracing::info!("Removing the unix socket file.");
        // It may be gone already; nobody is left to hear of anything else.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_file_is_replaced_and_ours_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        fs::write(&path, "left behind").unwrap();
        let mut door = UnixDoor::open(&path, 0o700, 16).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(door.take_listener().is_some() && door.take_listener().is_none());
        assert!(std::os::unix::net::UnixStream::connect(&path).is_err(), "nobody listens any more");
        drop(door);
        assert!(!path.exists());
        assert!(UnixDoor::open(&directory.path().join("none/s.sock"), 0, 16).is_err());
        assert!(UnixDoor::open(Path::new(&"x".repeat(200)), 0, 16).is_err());
    }
}
