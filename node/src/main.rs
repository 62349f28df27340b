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
    CannotServe, Node, NodeError, NodeEvent, NodeOptions, Settings,
    config::{self, ConfigError, Invocation, Loaded, command_line},
};
use tracing::{error, info, warn};

use self::{
    process::{PidFile, Supervisor},
    signals::{Asked, IsLeaving},
    telemetry::{LogControls, LogFormat, LogOutput, LogRole},
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Huge pages for the heap: the keyspace is read at random places, where the misses of the TLB tell.
#[expect(unsafe_code, reason = "jemalloc reads its options from a symbol of this name before main begins")]
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
pub static MALLOC_CONF: &[u8; 11] = b"thp:always\0";

/// What the main thread is woken for.
enum Wake {
    /// SIGTERM or SIGINT.
    Asked(Asked),
    /// The node reported something.
    Node(NodeEvent),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match command_line::parse(arguments) {
        Ok(Invocation::Version) => Ok(print(&command_line::version())),
        Ok(Invocation::Help) => Ok(print(command_line::help())),
        Ok(Invocation::Run(sources)) => config::load(&sources, std::env::vars_os(), &mut io::stdin())
            .map_err(|error| error.report())
            .and_then(enter_directory)
            .and_then(run_or_detach),
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

/// `dir` is where the process stands, so that every relative path means the same to all who read it.
fn enter_directory(mut loaded: Loaded) -> Result<Loaded, String> {
    let dir = &loaded.settings.dir;
    let entered = std::env::set_current_dir(dir).and_then(|()| std::env::current_dir());
    let here = entered.map_err(|error| format!("Fatal error, can't chdir to '{dir}': {error}"))?;
    loaded.settings.dir = here.to_string_lossy().into_owned();
    Ok(loaded)
}

fn run_or_detach(loaded: Loaded) -> Result<ExitCode, String> {
    let supervisor = Supervisor::find(&setting(&loaded.settings, "supervised"));
    // Who is supervised stays where the supervisor sees it.
    if is_daemon(&loaded.settings) && supervisor.is_none() {
        let is_child = process::detach().map_err(|error| format!("Fatal error, can't daemonize: {error}"))?;
        if !is_child {
            return Ok(ExitCode::SUCCESS);
        }
    }
    run(loaded, supervisor)
}

/// Runs the node until it shall end. What goes wrong before there is a log is returned, what comes later is logged.
fn run(loaded: Loaded, supervisor: Option<Supervisor>) -> Result<ExitCode, String> {
    let log = install_log(&loaded.settings)?;
    announce(&loaded);
    if let Some(supervisor) = supervisor {
        supervisor.greet();
    }
    let _guard = pid_file(&loaded.settings);
    let outcome = serve(loaded, supervisor, &log);
    // Before the last line, for which tools wait.
    drop(_guard);
    match outcome {
        Ok(()) => {
            // Word for word what scripts wait for.
            warn!("Redis is now ready to exit, bye bye...");
            Ok(ExitCode::SUCCESS)
        }
        Err(complaint) => {
            complaint.lines().for_each(|line| error!("{line}"));
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

/// Where redis-server puts the pid of a daemon that was given no other place.
const PID_FILE_OF_A_DAEMON: &str = "/var/run/redis.pid";

fn pid_file(settings: &Settings) -> Option<PidFile> {
    let mut path = setting(settings, "pidfile");
    if path.is_empty() {
        if !is_daemon(settings) {
            return None;
        }
        path = PID_FILE_OF_A_DAEMON.to_owned();
    }
    let path = Path::new(&settings.dir).join(path);
    // As with redis-server, a node without its pid file is better than none.
    PidFile::create(&path)
        .inspect_err(|error| warn!("Failed to write PID file {}: {error}", path.display()))
        .ok()
}

/// Starts the node, waits for a reason to end, and shuts it down.
fn serve(loaded: Loaded, supervisor: Option<Supervisor>, log: &LogControls) -> Result<(), String> {
    let Loaded { settings, config_file, .. } = loaded;
    let is_replica = settings.replicaof.is_some();
    let doors = doors_of(&settings);
    let config_file = config_file.unwrap_or_default().to_string_lossy().into_owned();
    let recorder = metrics_endpoint::start(&settings)?;
    let options = NodeOptions {
        config_file,
        recorder,
        any_port: false,
        waits_for_load: false,
        ..NodeOptions::new(settings)
    };
    // Before anybody is let in: who sees the node sees one that ends in order.
    let (wakes, woken) = mpsc::channel();
    let by_signal = wakes.clone();
    let is_leaving = IsLeaving::default();
    signals::listen(is_leaving.clone(), move |by| drop(by_signal.send(Wake::Asked(by))))
        .map_err(|error| format!("Can't listen for signals: {error}"))?;
    let (node, events) = Node::start(options).map_err(last_words)?;
    log.set_role(role_of(is_replica));
    std::thread::spawn(move || events.into_iter().try_for_each(|event| wakes.send(Wake::Node(event))));
    info!("Server initialized");

    loop {
        match woken.recv() {
            Ok(Wake::Asked(by)) => {
                let setting = match by {
                    Asked::Interrupt => "shutdown-on-sigint",
                    Asked::Terminate => "shutdown-on-sigterm",
                };
                node.request_shutdown_as(setting).map_err(|error| error.to_string())?;
            }
            Ok(Wake::Node(NodeEvent::ShutdownRequested { now })) => {
                if let Some(supervisor) = supervisor {
                    supervisor.tell_stopping();
                }
                return node.shutdown(now).map_err(|error| error.to_string());
            }
            Ok(Wake::Node(NodeEvent::Loaded)) => {
                for door in &doors {
                    info!("Ready to accept connections {door}");
                }
                if let Some(supervisor) = supervisor {
                    supervisor.tell_ready(is_replica);
                }
            }
            Ok(Wake::Node(NodeEvent::CannotLoad { reason })) => return Err(reason),
            Ok(Wake::Node(NodeEvent::ShutdownAborted)) => is_leaving.called_off(),
            Ok(Wake::Node(NodeEvent::PartLost { part })) => {
                return Err(format!("{part} was lost in a panic, the node has ended"));
            }
            Ok(Wake::Node(NodeEvent::RoleChanged { is_replica })) => log.set_role(role_of(is_replica)),
            Ok(Wake::Node(NodeEvent::LogLevelChanged { loglevel })) => log.set_level(&loglevel),
            Ok(Wake::Node(NodeEvent::DirChanged { dir })) => {
                if let Err(error) = std::env::set_current_dir(&dir) {
                    warn!("Can't chdir to '{dir}': {error}");
                }
            }
            Ok(Wake::Node(event)) => info!(?event, "the node reports"),
            Err(_) => return Err("the node has ended by itself".to_owned()),
        }
    }
}

/// What redis-server's users and their tools look for when it does not start; the reason was logged before.
fn last_words(error: NodeError) -> String {
    match error {
        NodeError::CannotServe(CannotServe::Port { at, is_tls, .. }) => {
            let kind = if is_tls { "tls" } else { "tcp" };
            format!("Failed listening on port {} ({kind}), aborting.", at.port)
        }
        other => other.to_string(),
    }
}

/// The kinds of connections that are accepted.
fn doors_of(settings: &Settings) -> Vec<&'static str> {
    let has_addresses = !settings.bind.is_empty();
    let doors = [
        ("tcp", settings.port != 0 && has_addresses),
        ("unix", !settings.unixsocket.is_empty()),
        ("tls", settings.tls_port != 0 && has_addresses),
    ];
    doors.into_iter().filter(|(_, is_open)| *is_open).map(|(name, _)| name).collect()
}

fn role_of(is_replica: bool) -> LogRole {
    if is_replica { LogRole::Replica } else { LogRole::Master }
}

fn is_daemon(settings: &Settings) -> bool {
    setting(settings, "daemonize") == "yes"
}

/// A setting that only the program looks at.
fn setting(settings: &Settings, name: &str) -> String {
    settings.get(name).unwrap_or_default()
}
