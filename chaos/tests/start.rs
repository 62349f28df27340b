//! The node's program in the place of redis-server: started, told what to do, stopped as redis-server is.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rejoin_chaos::client::{Client, Reply};
use rejoin_chaos::servers::{Binary, Program, Server, ServerKind, free_port, signal_process};
use rustix::process::Signal;

const READY: &str = "Ready to accept connections";

fn node() -> Binary {
    Binary::node(None).unwrap()
}

fn redis() -> Binary {
    Binary::stock(ServerKind::Redis70).unwrap()
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn say(client: &mut Client, line: &str) -> String {
    client.call(&words(line)).unwrap().to_string()
}

/// What a program that ends by itself prints, and its exit status.
fn run_to_end(binary: &Binary, dir: &Path, args: &[&str]) -> (String, i32) {
    let mut program = Program::start(binary, dir, args).unwrap();
    let status = program.wait().unwrap();
    (program.printed(), status.code().unwrap())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up_at = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < give_up_at, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that is nobody's child; killed when a test fails.
struct Daemon(u32);

impl Daemon {
    fn of(pid_file: &Path) -> Self {
        wait_until("a pid file", || fs::read_to_string(pid_file).is_ok_and(|text| text.ends_with('\n')));
        Self(fs::read_to_string(pid_file).unwrap().trim().parse().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = signal_process(self.0, Signal::KILL);
        }
    }
}

#[test]
fn a_configuration_that_is_wrong_is_refused_in_redis_words() {
    let dir = dir();
    fs::write(dir.path().join("a.conf"), "port 1\n\nhz abc\n").unwrap();
    fs::write(dir.path().join("b.conf"), "# fine\nunixsocketperm 888\n").unwrap();
    let lines: &[&[&str]] = &[
        &["a.conf"],
        &["b.conf"],
        &["--port", "abc"],
        &["--port", "1", "2"],
        &["--port"],
        &["--port", "1", "--port"],
        &["--unixsocketperm", "7777"],
        &["--daemonize", "maybe"],
        &["--save", "1", "2", "3"],
        &["--loglevel", "foo"],
        &["--replicaof", "x"],
        &["--replicaof", "x", "abc"],
        &["--replicaof", "x", "99999"],
        &["--client-output-buffer-limit", "normal", "1", "2"],
        &["--supervised", "foo"],
        &["--syslog-facility", "foo"],
        &["--dir", "/etc/passwd"],
        &["--dir", "/nonexistent"],
        &["--maxmemory", "1x"],
        &["--databases", "0"],
        &["--activedefrag", "yes"],
        &["--shutdown-on-sigterm", "save nosave"],
        &[
            "--bind", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
            "17",
        ],
    ];
    for args in lines {
        let (theirs, their_status) = run_to_end(&redis(), dir.path(), args);
        let (ours, our_status) = run_to_end(&node(), dir.path(), args);
        assert_eq!((our_status, their_status), (1, 1), "{args:?}\n{ours}");
        // The line and the reason are theirs; the head names the program, the place also the file.
        let tail = |text: &str| text.trim().lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(tail(&ours), tail(&theirs), "{args:?}");
        assert!(ours.contains("FATAL CONFIG FILE ERROR"), "{ours}");
    }
    let (ours, status) = run_to_end(&node(), dir.path(), &["--maxclient", "5"]);
    assert_eq!(status, 1);
    assert!(
        ours.contains("Bad directive or wrong number of arguments (did you mean 'maxclients'?)"),
        "{ours}"
    );
    for closed in ["rename-command FLUSHALL \"\"", "user alice on nopass", "loadmodule /x.so"] {
        fs::write(dir.path().join("c.conf"), closed).unwrap();
        let (ours, status) = run_to_end(&node(), dir.path(), &["c.conf"]);
        assert!(status == 1 && ours.contains("at line 1 of"), "{ours}");
    }
}

#[test]
fn what_keeps_it_from_serving_is_named_and_ends_it() {
    let dir = dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (args, text) in [
        (
            vec!["--port", port.as_str(), "--bind", "127.0.0.1"],
            format!("Failed listening on port {port} (tcp), aborting."),
        ),
        (vec!["--port", "0"], "Configured to not listen anywhere, exiting.".to_owned()),
        (
            vec!["--port", "0", "--unixsocket", "/nonexistent/s"],
            "Failed opening Unix socket: bind: No such file or directory".to_owned(),
        ),
        (
            vec!["--port", "0", "--tls-port", "1"],
            "Failed to configure TLS. Check logs for more info.".to_owned(),
        ),
        (
            vec!["--logfile", "/nonexistent/x"],
            "Can't open the log file: No such file or directory".to_owned(),
        ),
        (
            vec!["/nonexistent.conf"],
            "can't open config file '/nonexistent.conf': No such file or directory".to_owned(),
        ),
    ] {
        let (ours, status) = run_to_end(&node(), dir.path(), &args);
        assert_eq!(status, 1, "{args:?}");
        assert!(ours.contains(&text), "{args:?}\n{ours}");
    }
    let (ours, _) = run_to_end(&node(), dir.path(), &["--port", &port, "--bind", "127.0.0.1"]);
    let warning = format!(
        "Could not create server TCP listening socket 127.0.0.1:{port}: bind: Address already in use"
    );
    assert!(ours.contains(&warning), "{ours}");
    for flag in ["--version", "-v"] {
        let (ours, status) = run_to_end(&node(), dir.path(), &[flag]);
        assert!(status == 0 && ours.starts_with("Rejoin server v="), "{ours}");
    }
    let (ours, status) = run_to_end(&node(), dir.path(), &["-h"]);
    assert!(status == 0 && ours.contains("Usage: rejoin-server"), "{ours}");
}

#[test]
fn signals_end_it_as_they_end_redis() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let dir = dir();
        let port = free_port().unwrap().to_string();
        let mut program =
            Program::start(&node(), dir.path(), &["--port", &port, "--pidfile", "n.pid"]).unwrap();
        program.wait_for(READY).unwrap();
        assert!(program.printed().contains(&format!(" PID: {}", program.pid())), "{}", program.printed());
        assert!(program.printed().contains("Server initialized"));
        let pid = fs::read_to_string(dir.path().join("n.pid")).unwrap();
        assert_eq!(pid, format!("{}\n", program.pid()));
        program.signal(signal).unwrap();
        assert_eq!(program.wait().unwrap().code(), Some(0));
        let printed = program.printed();
        let mut rest = printed.as_str();
        for line in [
            &format!("Received {name} scheduling shutdown..."),
            "User requested shutdown...",
            "Removing the pid file.",
            "Redis is now ready to exit, bye bye...",
        ] {
            let at = rest.find(line).unwrap_or_else(|| panic!("{line} is missing or too early:\n{printed}"));
            rest = &rest[at..];
        }
        assert!(!dir.path().join("n.pid").exists());
    }
}

#[test]
fn a_shutdown_waits_for_replicas_and_can_be_called_off() {
    let (master_dir, replica_dir) = (dir(), dir());
    let (port, replica_port) = (free_port().unwrap(), free_port().unwrap());
    let mut master = Program::start(
        &node(),
        master_dir.path(),
        &["--port", &port.to_string(), "--save", "", "--shutdown-timeout", "600"],
    )
    .unwrap();
    master.wait_for(READY).unwrap();
    let mut replica = Program::start(
        &redis(),
        replica_dir.path(),
        &["--port", &replica_port.to_string(), "--replicaof", "127.0.0.1", &port.to_string()],
    )
    .unwrap();
    let mut client = Client::connect(port).unwrap();
    wait_until("the replica is in sync", || {
        say(&mut client, "INFO replication").contains("state=online")
            && say(&mut client, "WAIT 1 100") == ":1"
    });
    replica.signal(Signal::STOP).unwrap();
    assert_eq!(say(&mut client, "SET k v"), "+OK");

    let mut asking = Client::connect(port).unwrap();
    asking.queue(&["SHUTDOWN"]);
    asking.flush().unwrap();
    master.wait_for("Waiting for replicas before shutting down.").unwrap();
    assert_eq!(say(&mut client, "GET k"), Reply::Bulk(b"v".to_vec()).to_string(), "reads go on");
    let mut writing = Client::connect(port).unwrap();
    writing.queue(&["SET", "k", "w"]);
    writing.flush().unwrap();
    assert_eq!(say(&mut client, "SHUTDOWN ABORT"), "+OK");
    master.wait_for("Shutdown manually aborted.").unwrap();
    assert_eq!(asking.read_reply().unwrap().to_string(), "-ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(writing.read_reply().unwrap().to_string(), "+OK", "writes go on");
    assert_eq!(say(&mut client, "SHUTDOWN ABORT"), "-ERR No shutdown in progress.");

    // A signal waits likewise; a second SIGINT does not.
    master.signal(Signal::INT).unwrap();
    wait_until("it waits again", || master.printed().matches("Waiting for replicas").count() == 2);
    master.signal(Signal::INT).unwrap();
    assert_eq!(master.wait().unwrap().code(), Some(1));
    assert!(master.printed().contains("You insist... exiting now."));
    replica.signal(Signal::CONT).unwrap();
    replica.signal(Signal::TERM).unwrap();
    replica.wait().unwrap();
}

#[test]
fn a_daemon_leaves_the_terminal_and_its_pid() {
    let dir = dir();
    let port = free_port().unwrap();
    let config = format!(
        "daemonize yes\nport {port}\npidfile d.pid\nlogfile d.log\ndir {}\nloglevel verbose\n",
        dir.path().display()
    );
    fs::write(dir.path().join("d.conf"), config).unwrap();
    let (printed, status) = run_to_end(&node(), dir.path(), &["d.conf"]);
    assert_eq!((printed.as_str(), status), ("", 0));
    let log = || fs::read_to_string(dir.path().join("d.log")).unwrap_or_default();
    wait_until("it is ready", || log().contains(READY));
    let daemon = Daemon::of(&dir.path().join("d.pid"));
    let pid = daemon.0;
    // A session of its own.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert_eq!(stat.rsplit(')').next().unwrap().split(' ').nth(4).unwrap(), pid.to_string());
    let mut client = Client::connect(port).unwrap();
    assert!(client.ask_text(&["INFO", "server"]).unwrap().contains(&format!("process_id:{pid}")));
    fs::rename(dir.path().join("d.log"), dir.path().join("old.log")).unwrap();
    signal_process(pid, Signal::TERM).unwrap();
    wait_until("it ends", || log().contains("bye bye"));
    wait_until("its pid file goes", || !dir.path().join("d.pid").exists());
}

#[test]
fn the_configuration_of_a_stock_package_starts_it() {
    let dir = dir();
    let Ok(stock) = fs::read_to_string("/etc/redis/redis.conf") else { return };
    // The places alone are changed: those of the package belong to another user.
    let here = dir.path().display().to_string();
    let text = ["/var/lib/redis", "/var/log/redis", "/run/redis"]
        .iter()
        .fold(stock, |text, place| text.replace(place, &here));
    let port = free_port().unwrap();
    let socket = dir.path().join("s.sock");
    fs::write(dir.path().join("redis.conf"), text).unwrap();
    let port_text = port.to_string();
    let args = [
        "redis.conf",
        "--port",
        &port_text,
        "--unixsocket",
        socket.to_str().unwrap(),
        "--unixsocketperm",
        "770",
    ];
    let (printed, status) = run_to_end(&node(), dir.path(), &args);
    assert_eq!((printed.as_str(), status), ("", 0));
    wait_until("it answers", || Client::connect(port).is_ok());
    let daemon = Daemon::of(&dir.path().join("redis-server.pid"));
    let pid = daemon.0;
    let log = || fs::read_to_string(dir.path().join("redis-server.log")).unwrap_or_default();
    let mut client = Client::connect(port).unwrap();
    // And it is written back so that a restart reuses it.
    assert_eq!(say(&mut client, "CONFIG SET maxclients 77"), "+OK");
    assert_eq!(say(&mut client, "CONFIG REWRITE"), "+OK");
    signal_process(pid, Signal::TERM).unwrap();
    wait_until("it ends", || log().contains("bye bye"));
    assert!(!socket.exists());
    assert_eq!(run_to_end(&node(), dir.path(), &["redis.conf"]).1, 0);
    wait_until("it answers again", || Client::connect(port).is_ok());
    let _daemon = Daemon::of(&dir.path().join("redis-server.pid"));
    let mut client = Client::connect(port).unwrap();
    assert!(say(&mut client, "CONFIG GET maxclients").contains("77"));
    assert!(client.call(&["SHUTDOWN", "NOSAVE", "NOW"]).is_err(), "closed");
    wait_until("it ends", || log().matches("bye bye").count() == 2);
}

#[test]
fn a_unix_socket_is_a_door_like_any() {
    let dir = dir();
    let socket = dir.path().join("s.sock");
    fs::write(&socket, "left behind by a crash").unwrap();
    let args = ["--port", "0", "--unixsocket", "s.sock", "--unixsocketperm", "700", "--save", ""];
    let mut program = Program::start(&node(), dir.path(), &args).unwrap();
    program.wait_for("Ready to accept connections unix").unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"CLIENT INFO\r\n").unwrap();
    let mut got = [0; 400];
    let len = stream.read(&mut got).unwrap();
    let line = String::from_utf8_lossy(&got[..len]).into_owned();
    assert!(line.contains("addr=s.sock:0 laddr=s.sock:0 ") && line.contains(" flags=U "), "{line}");
    // A replica may come by it, too.
    let mut replica = UnixStream::connect(&socket).unwrap();
    replica.write_all(b"SYNC\r\n").unwrap();
    replica.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut payload = Vec::new();
    wait_until("a payload comes", || {
        let len = replica.read(&mut got).unwrap();
        payload.extend_from_slice(&got[..len]);
        payload.windows(5).any(|window| window == b"REDIS")
    });
    program.signal(Signal::TERM).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(0));
    assert!(!socket.exists() && program.printed().contains("Removing the unix socket file."));
}

/// An address of this machine that is not the loopback's, if it has one.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only looks where it would go.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
}

/// What a server says to a client before it closes the connection.
fn greeting(ip: &str, port: u16) -> String {
    let mut stream = TcpStream::connect((ip, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn protected_mode_lets_in_who_is_near_or_has_a_password() {
    let Some(ip) = outer_address().map(|ip| ip.to_string()) else { return };
    let mut greetings = Vec::new();
    for binary in [node(), redis()] {
        let dir = dir();
        let port = free_port().unwrap();
        let port_text = port.to_string();
        let mut program = Program::start(
            &binary,
            dir.path(),
            &["--port", &port_text, "--save", "", "--bind", "127.0.0.1", &ip],
        )
        .unwrap();
        program.wait_for(READY).unwrap();
        let mut near = Client::connect(port).unwrap();
        greetings.push(greeting(&ip, port));
        assert_eq!(say(&mut near, "CONFIG SET protected-mode no"), "+OK");
        let mut far = TcpStream::connect((ip.as_str(), port)).unwrap();
        far.write_all(b"PING\r\n").unwrap();
        let mut pong = [0; 7];
        far.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"+PONG\r\n");
        assert_eq!(say(&mut near, "CONFIG SET protected-mode yes requirepass x"), "+OK");
        let mut far = TcpStream::connect((ip.as_str(), port)).unwrap();
        far.write_all(b"AUTH x\r\n").unwrap();
        let mut ok = [0; 5];
        far.read_exact(&mut ok).unwrap();
        assert_eq!(&ok, b"+OK\r\n");
    }
    assert_eq!(greetings[0], greetings[1]);
    assert!(greetings[0].starts_with("-DENIED Redis is running in protected mode"));
}

#[test]
fn addresses_and_limits_change_while_it_runs() {
    let server = Server::start(&node(), &[]).unwrap();
    let (first, second) = (server.port(), free_port().unwrap());
    let mut client = server.client().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    assert_eq!(
        say(&mut client, &format!("CONFIG SET maxclients 50 port {taken}")),
        "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server \
         logs."
    );
    assert!(say(&mut client, "CONFIG GET maxclients").contains("10000"), "all or nothing");
    assert_eq!(
        say(&mut client, "CONFIG SET bind 203.0.113.1"),
        "-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses."
    );
    Client::connect(first).unwrap();
    assert_eq!(say(&mut client, &format!("CONFIG SET port {second}")), "+OK");
    assert!(Client::connect(first).is_err());
    let mut other = Client::connect(second).unwrap();
    assert!(other.ask_text(&["INFO", "server"]).unwrap().contains(&format!("tcp_port:{second}")));
    let both = ["CONFIG", "SET", "bind", "127.0.0.1 ::1 -203.0.113.1"];
    assert_eq!(client.call(&both).unwrap().to_string(), "+OK");
    assert!(TcpStream::connect(("::1", second)).is_ok());
    assert_eq!(say(&mut client, "CONFIG SET bind *"), "+OK");
    Client::connect(second).unwrap();
    assert_eq!(client.call(&["CONFIG", "SET", "bind", ""]).unwrap().to_string(), "+OK");
    assert!(Client::connect(second).is_err(), "nothing is listened on");
    assert_eq!(say(&mut client, "CONFIG SET bind 127.0.0.1"), "+OK");

    assert_eq!(say(&mut client, "CONFIG SET maxclients 2"), "+OK");
    drop(other);
    wait_until("one more is let in", || {
        let mut one = Client::connect(second).unwrap();
        one.call(&["PING"]).is_ok_and(|reply| reply.is_simple("PONG")) && {
            assert_eq!(greeting("127.0.0.1", second), "-ERR max number of clients reached\r\n");
            true
        }
    });
    let refused = say(&mut client, "CONFIG SET maxclients 4000000000");
    assert!(
        refused.contains(
            "The operating system is not able to handle the specified number of clients, try with "
        ),
        "{refused}"
    );
}

#[test]
fn idle_clients_are_closed_and_waiting_ones_are_not() {
    let server = Server::start(&node(), &["--timeout", "1"]).unwrap();
    let mut idle = server.client().unwrap();
    let mut waiting = server.client().unwrap();
    waiting.queue(&["BLPOP", "list", "0"]);
    waiting.flush().unwrap();
    assert!(idle.read_reply().is_err(), "closed");
    std::thread::sleep(Duration::from_millis(1200));
    let mut other = server.client().unwrap();
    assert_eq!(say(&mut other, "RPUSH list a"), ":1");
    assert!(waiting.read_reply().unwrap().to_string().contains('a'));
}

#[test]
fn systemd_hears_when_it_is_ready_and_when_it_ends() {
    let dir = dir();
    let socket = std::os::unix::net::UnixDatagram::bind(dir.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let port = free_port().unwrap().to_string();
    let notify = dir.path().join("notify");
    let variables = [("NOTIFY_SOCKET", notify.to_str().unwrap())];
    // Supervised, it stays where its supervisor sees it.
    let args = ["--port", &port, "--supervised", "auto", "--daemonize", "yes"];
    let mut program = Program::start_with(&node(), dir.path(), &args, &variables).unwrap();
    let mut heard = String::new();
    let mut hear_until = |text: &str| {
        while !heard.contains(text) {
            let mut message = [0; 500];
            let len = socket.recv(&mut message).unwrap();
            heard.push_str(&String::from_utf8_lossy(&message[..len]));
        }
    };
    hear_until("READY=1");
    program.wait_for("supervised by systemd - you MUST set appropriate values").unwrap();
    program.wait_for(READY).unwrap();
    program.signal(Signal::TERM).unwrap();
    hear_until("STOPPING=1");
    assert_eq!(program.wait().unwrap().code(), Some(0));
}

#[test]
fn settings_come_from_stdin_variables_and_toml_alike() {
    let dir = dir();
    let port = free_port().unwrap();
    let toml = format!("port = {port}\nsave = \"\"\nunixsocket = \"t.sock\"\nbind = [\"127.0.0.1\"]\n");
    fs::write(dir.path().join("n.toml"), toml).unwrap();
    let variables = [("REJOIN_MAXCLIENTS", "33"), ("REJOIN_TIMEOUT", "9")];
    let mut program =
        Program::start_with(&node(), dir.path(), &["n.toml", "--timeout", "8", "-"], &variables).unwrap();
    program.wait_for("Ready to accept connections unix").unwrap();
    let mut client = Client::connect(port).unwrap();
    let all = say(&mut client, "CONFIG GET maxclients timeout bind");
    for value in ["33", "8", "127.0.0.1"] {
        assert!(all.contains(value), "{all}");
    }
}
