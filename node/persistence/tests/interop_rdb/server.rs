//! A server of Redis or Valkey in a directory of its own, and what it replies.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START_TIMEOUT: Duration = Duration::from_secs(20);
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A program of the redis package, or a word on where to get it.
pub(crate) fn spawn(program: &str, arguments: &[&str], log: &Path) -> Child {
    let log = File::create(log).unwrap();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {program} ({error}): run .ci/install-test-servers first"))
}

/// A redis-server in a directory of its own; killed when dropped.
pub(crate) struct Server {
    process: Child,
    connection: BufReader<TcpStream>,
    pub(crate) directory: TempDir,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Line(String),
    Error(String),
    Int(i64),
    Bulk(Option<Vec<u8>>),
    Array(Vec<Reply>),
}

impl Reply {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Reply::Bulk(Some(bytes)) => bytes,
            Reply::Line(line) => line.into_bytes(),
            other => panic!("{other:?} instead of bytes"),
        }
    }
}

impl Server {
    /// The redis-server on PATH, started on the `dump.rdb` given, if any.
    pub(crate) fn start(dump: Option<&[u8]>, settings: &[&str]) -> Self {
        Self::start_program("redis-server", dump, &[settings, &["--enable-debug-command", "yes"]].concat())
    }

    pub(crate) fn start_program(program: &str, dump: Option<&[u8]>, settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if let Some(dump) = dump {
            fs::write(directory.path().join("dump.rdb"), dump).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (port_text, path) = (port.to_string(), directory.path().to_str().unwrap());
        let fixed = ["--port", &port_text, "--dir", path, "--save", "", "--bind", "127.0.0.1"];
        let log = directory.path().join("server.log");
        let mut process = spawn(program, &[&fixed, settings].concat(), &log);
        let begun = Instant::now();
        let connection = loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                break stream;
            }
            let has_ended = process.try_wait().unwrap().is_some();
            if has_ended || begun.elapsed() > START_TIMEOUT {
                let _ = process.kill();
                panic!("{program} did not start:\n{}", fs::read_to_string(&log).unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        connection.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        let mut server = Self { process, connection: BufReader::new(connection), directory };
        while matches!(server.try_command(&[b"PING"]), Reply::Error(error) if error.starts_with("LOADING")) {
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn command(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.command_bytes(&words)
    }

    pub(crate) fn command_bytes(&mut self, words: &[&[u8]]) -> Reply {
        match self.try_command(words) {
            Reply::Error(error) => panic!("{}: {error}", words[0].escape_ascii()),
            reply => reply,
        }
    }

    pub(crate) fn try_command(&mut self, words: &[&[u8]]) -> Reply {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.connection.get_mut().write_all(&request).unwrap();
        self.read_reply()
    }

    pub(crate) fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.connection.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn read_reply(&mut self) -> Reply {
        let line = self.read_line();
        let (kind, rest) = line.split_at(1);
        match kind {
            "+" => Reply::Line(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Int(rest.parse().unwrap()),
            "$" if rest == "-1" => Reply::Bulk(None),
            "$" => {
                let mut bytes = self.read_exactly(rest.parse::<usize>().unwrap() + 2);
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(Some(bytes))
            }
            "*" => Reply::Array((0..rest.parse::<usize>().unwrap()).map(|_| self.read_reply()).collect()),
            _ => panic!("not a reply: {line}"),
        }
    }

    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.connection.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn digest(&mut self) -> Vec<u8> {
        self.command(&["DEBUG", "DIGEST"]).into_bytes()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("server.log"));
            eprintln!("the server said:\n{}", log.unwrap_or_default());
        }
    }
}
