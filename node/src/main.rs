//! The program `rejoin-server`: reads the configuration, installs the log, starts one node and waits until it shall end.
//!
//! Everything that a node does is in the library; here is only what a program does and a library must not: arguments,
//! signals, the process-wide log and allocator, the exit status.

mod metrics_endpoint;
mod process;
mod signals;
mod telemetry;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::mpsc,
};

use rejoin::{
    Node, NodeError, NodeEvent, NodeOptions, Settings,
    config::{self, ConfigError, Invocation, Loaded, Sources, command_line},
};
use tracing::{error, info, warn};

use self::{
    process::PidFile,
    telemetry::{LogControls, LogFormat, LogOutput, LogRole},
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Huge pages for the heap: the keyspace is read at random places, where the misses of the TLB tell.
#[expect(unsafe_code, reason = "jemalloc reads its options from a symbol of this name before main begins")]
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
pub static MALLOC_CONF: &[u8; 11] = b"thp:always\0";

/// What ends the wait.
enum Wake {
    /// SIGTERM or SIGINT.
    Asked,
    /// The node reported something.
    Node(NodeEvent),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match command_line::parse(arguments.iter().cloned()) {
        Ok(Invocation::Version) => Ok(print(&command_line::version())),
        Ok(Invocation::Help) => Ok(print(command_line::help())),
        Ok(Invocation::Run(sources)) => config::load(&sources, std::env::vars_os(), &mut io::stdin())
            .map_err(|error| error.report())
            .and_then(|loaded| run_or_detach(loaded, &sources, &arguments)),
        Err(error) => Err(ConfigError::from(error).report()),
    };
    outcome.unwrap_or_else(|complaint| {
        let _ = writeln!(io::stderr(), "{complaint}");
        ExitCode::FAILURE
    })
}

/// Prints to standard output, whose reader may have gone (`--help | head`).
fn print(text: &str) -> ExitCode {
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    ExitCode::SUCCESS
}

fn run_or_detach(loaded: Loaded, sources: &Sources, arguments: &[OsString]) -> Result<ExitCode, String> {
    if setting(&loaded.settings, "daemonize") != "yes" {
        return run(loaded);
    }
    if sources.stdin {
        return Err("Fatal error, can't daemonize with a configuration on standard input".to_owned());
    }
    match process::start_detached(arguments) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(format!("Fatal error, can't daemonize: {error}")),
    }
}

/// Runs the node until it shall end. What goes wrong before there is a log is returned, what comes later is logged.
fn run(loaded: Loaded) -> Result<ExitCode, String> {
    let log = install_log(&loaded.settings)?;
    announce(&loaded);
    let _guard = pid_file(&loaded.settings);
    match serve(loaded, &log) {
        Ok(()) => {
            warn!("Rejoin is now ready to exit, bye bye...");
            Ok(ExitCode::SUCCESS)
        }
        Err(complaint) => {
            error!("{complaint}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A relative log file lies in `dir`, as redis-server's does.
fn install_log(settings: &Settings) -> Result<LogControls, String> {
    let output = match settings.logfile.as_str() {
        "" => LogOutput::Stdout,
        file => LogOutput::File(Path::new(&settings.dir).join(file)),
    };
    telemetry::install(&settings.loglevel, LogFormat::parse(&settings.log_format), output)
        .map_err(|error| format!("Can't open the log file: {error}"))
}

fn announce(loaded: &Loaded) {
    let pid = std::process::id();
    info!("Rejoin is starting");
    info!("Rejoin version={}, bits={}, pid={pid}, just started", env!("CARGO_PKG_VERSION"), usize::BITS);
    match &loaded.config_file {
        Some(path) => info!("Configuration loaded from {}", path.display()),
        None => info!(
            "Configuration loaded; no file was named, so what the command line leaves open has its default"
        ),
    }
    for note in &loaded.notes {
        warn!("{note}");
    }
    info!("Running mode=standalone, port={}, PID: {pid}", loaded.settings.port);
}

fn pid_file(settings: &Settings) -> Option<PidFile> {
    let path = Some(setting(settings, "pidfile")).filter(|path| !path.is_empty())?;
    let path = Path::new(&settings.dir).join(path);
    // As with redis-server, a node without its pid file is better than none.
    PidFile::create(&path)
        .inspect_err(|error| warn!("Failed to write the pid file {}: {error}", path.display()))
        .ok()
}

/// Starts the node, waits for a reason to end, and shuts it down.
fn serve(loaded: Loaded, log: &LogControls) -> Result<(), String> {
    let (port, is_replica) = (loaded.settings.port, loaded.settings.replicaof.is_some());
    let config_file = loaded.config_file.unwrap_or_default().to_string_lossy().into_owned();
    let recorder = metrics_endpoint::start(&loaded.settings)?;
    let options = NodeOptions { config_file, recorder, ..NodeOptions::new(loaded.settings) };
    let (node, events) = Node::start(options).map_err(|error| why_not_started(error, port))?;
    log.set_role(role_of(is_replica));

    let (wakes, woken) = mpsc::channel();
    let by_signal = wakes.clone();
    signals::listen(move || drop(by_signal.send(Wake::Asked)))
        .map_err(|error| format!("Can't listen for signals: {error}"))?;
    std::thread::spawn(move || events.into_iter().try_for_each(|event| wakes.send(Wake::Node(event))));
    info!("Server initialized");
    info!("Ready to accept connections tcp");

    loop {
        match woken.recv() {
            Ok(Wake::Asked) => return end(node, false),
            Ok(Wake::Node(NodeEvent::ShutdownRequested { now })) => return end(node, now),
            Ok(Wake::Node(NodeEvent::PartLost { part })) => {
                return Err(format!("{part} was lost in a panic, the node has ended"));
            }
            Ok(Wake::Node(NodeEvent::RoleChanged { is_replica })) => log.set_role(role_of(is_replica)),
            Ok(Wake::Node(NodeEvent::LogLevelChanged { loglevel })) => log.set_level(&loglevel),
            Ok(Wake::Node(event)) => info!(?event, "the node reports"),
            Err(_) => return Err("the node has ended by itself".to_owned()),
        }
    }
}

fn role_of(is_replica: bool) -> LogRole {
    if is_replica { LogRole::Replica } else { LogRole::Master }
}

/// The second line is what redis-server's users and their tools look for.
fn why_not_started(error: NodeError, port: u16) -> String {
    match error {
        NodeError::CannotListen(_) => {
            error!("{error}");
            format!("Failed listening on port {port} (tcp), aborting.")
        }
        other => other.to_string(),
    }
}

fn end(node: Node, now: bool) -> Result<(), String> {
    warn!("User requested shutdown...");
    node.shutdown(now).map_err(|error| error.to_string())
}

/// A setting that only the program looks at.
fn setting(settings: &Settings, name: &str) -> String {
    settings.get(name).unwrap_or_default()
}
