//! Where the server binaries are, and which options each kind needs to be a test subject.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

const INSTALL_HINT: &str = "run .ci/install-test-servers";
const NODE_NAME: &str = "rejoin-server";
/// Names the node's binary, for tests and experiments alike.
const NODE_VARIABLE: &str = "REJOIN_SERVER";

/// Which server a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// The node under test.
    Node,
    /// redis-server 7.0.15 of Debian: the reference wherever versions agree.
    Redis70,
    /// redis-server 8.2.3.
    Redis82,
    /// valkey-server 9.1.2.
    Valkey91,
    /// redis-server 6.2.5: the last one without multi-part AOF and RDB 10.
    Redis62,
}

impl ServerKind {
    /// Name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Redis70 => "redis 7.0",
            Self::Redis82 => "redis 8.2",
            Self::Valkey91 => "valkey 9.1",
            Self::Redis62 => "redis 6.2",
        }
    }
}

/// A server program on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    kind: ServerKind,
    path: PathBuf,
    /// A stock server that stands in for the node, to try a check itself.
    is_stand_in: bool,
}

impl Binary {
    /// The stock server of this kind. Fails with the way to install it; the node has [`Binary::node`].
    pub fn stock(kind: ServerKind) -> Result<Self> {
        let path = match kind {
            ServerKind::Redis70 => on_path("redis-server"),
            ServerKind::Redis82 => in_test_servers("redis-server-8.2"),
            ServerKind::Valkey91 => in_test_servers("valkey-server-9.1"),
            ServerKind::Redis62 => in_test_servers("redis-server-6.2"),
            ServerKind::Node => return Self::node(None),
        };
        match path {
            Some(path) => Ok(Self { kind, path, is_stand_in: false }),
            None => bail!("{} is not installed: {INSTALL_HINT}", kind.name()),
        }
    }

    /// The node: `chosen`, else what REJOIN_SERVER names, else `rejoin-server` beside the running program (one level up
    /// for test programs), else in target/release or target/debug. A stock server may be chosen to try a check itself.
    pub fn node(chosen: Option<&Path>) -> Result<Self> {
        let path = match chosen
            .map(Path::to_path_buf)
            .or_else(|| env::var_os(NODE_VARIABLE).map(PathBuf::from))
        {
            Some(path) if path.is_file() => path,
            Some(path) => bail!("there is no node binary at {}", path.display()),
            None => match node_candidates().into_iter().find(|path| path.is_file()) {
                Some(path) => path,
                None => bail!(
                    "{NODE_NAME} is not built: run `cargo build -p rejoin --bin {NODE_NAME}` (with --release for \
                     benches), or name it in {NODE_VARIABLE}"
                ),
            },
        };
        let is_stand_in = path.file_name().is_none_or(|name| !name.to_string_lossy().starts_with("rejoin"));
        Ok(Self { kind: ServerKind::Node, path, is_stand_in })
    }

    /// Which server it is.
    #[must_use]
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// The program.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is a stock server, by its kind or standing in for the node.
    #[must_use]
    pub fn is_stock(&self) -> bool {
        self.kind != ServerKind::Node || self.is_stand_in
    }

    /// What every process of this kind gets besides port, bind, dir and logfile: a backlog that outlasts a short cut under
    /// full load, DEBUG for the digest and no dump file at exit; stock servers no delay before a disk-less sync.
    pub(super) fn default_options(&self) -> Vec<&'static str> {
        let mut options = vec!["--repl-backlog-size", "64mb", "--save", ""];
        if self.is_stock() {
            options.extend(["--repl-diskless-sync-delay", "0"]);
        }
        // Before 7.0 DEBUG was always there, and the option was not.
        if self.kind != ServerKind::Redis62 {
            options.extend(["--enable-debug-command", "yes"]);
        }
        options
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_stand_in {
            true => write!(f, "{} ({} standing in)", self.kind.name(), self.path.display()),
            false => f.write_str(self.kind.name()),
        }
    }
}

/// The workspace's root, where `target` is.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let chaos = Path::new(env!("CARGO_MANIFEST_DIR"));
    chaos.parent().unwrap_or(chaos).to_path_buf()
}

fn node_candidates() -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    if let Ok(program) = env::current_exe() {
        let folders = program.ancestors().skip(1).take(2);
        candidates.extend(folders.map(|folder| folder.join(NODE_NAME)));
    }
    let target = workspace_root().join("target");
    candidates.extend(["release", "debug"].map(|profile| target.join(profile).join(NODE_NAME)));
    candidates
}

fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn in_test_servers(name: &str) -> Option<PathBuf> {
    Some(workspace_root().join("target/test-servers").join(name)).filter(|path| path.is_file())
}
