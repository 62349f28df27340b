//! Full syncs of the node as a master: shared by all who arrive together, at the pace of each, out of a base where one lies
//! on disk.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::{ensure_same_data, follow, info_number, wait_for_link};
use rejoin_chaos::servers::{Binary, Server, ServerKind};
use rejoin_chaos::wait;

const SNAPSHOT: &str = "Starting snapshot for SYNC";
const BASE: &str = "Full resync from the base on disk";

fn start(kind: ServerKind, options: &[&str]) -> Server {
    let binary = if kind == ServerKind::Node { Binary::node(None) } else { Binary::stock(kind) }.unwrap();
    Server::start(&binary, options).unwrap()
}

fn log_of(server: &Server) -> String {
    fs::read_to_string(server.log_path()).unwrap()
}

fn count(server: &Server, words: &str) -> usize {
    log_of(server).matches(words).count()
}

/// Keys of every type, in two databases, some with a time to live; about `kilobytes` of strings besides.
fn write(client: &mut Client, prefix: &str, kilobytes: usize) {
    let key = |name: &str| format!("{prefix}:{name}");
    let mut queued = 0;
    for db in ["7", "0"] {
        for command in [
            vec!["SELECT".to_owned(), db.to_owned()],
            vec!["SET".to_owned(), key("int"), "12345".to_owned(), "EX".to_owned(), "10000".to_owned()],
            vec!["RPUSH".to_owned(), key("list"), "a".to_owned(), "b".to_owned()],
            vec!["HSET".to_owned(), key("hash"), "f".to_owned(), "v".to_owned()],
            vec!["SADD".to_owned(), key("set"), "1".to_owned(), "x".to_owned()],
            vec![
                "ZADD".to_owned(),
                key("sorted"),
                "1.5".to_owned(),
                "m".to_owned(),
                "-inf".to_owned(),
                "n".to_owned(),
            ],
        ] {
            client.queue(&command);
            queued += 1;
        }
    }
    for n in 0..kilobytes {
        client.queue(&["SET", &key(&n.to_string()), &format!("{n:->1000}")]);
        queued += 1;
    }
    client.flush().unwrap();
    client.skip_replies(queued).unwrap();
}

/// A master whose log is on disk, with a base of about 4 MB.
fn master_with_base() -> Server {
    let options = [
        ["--appendonly", "yes"],
        ["--repl-backlog-size", "1mb"],
        ["--auto-aof-rewrite-percentage", "0"],
        // So that the base is as large as the data.
        ["--rdbcompression", "no"],
    ]
    .concat();
    let master = start(ServerKind::Node, &options);
    let mut client = master.client().unwrap();
    write(&mut client, "before", 4_000);
    client.ask(&["BGREWRITEAOF"]).unwrap();
    wait::until("the base", || Ok(base_of(&master).is_some())).unwrap();
    wait::until("the end of the rewrite", || {
        Ok(info_number(&master, "persistence", "aof_rewrite_in_progress")? == 0)
    })
    .unwrap();
    master
}

fn base_of(master: &Server) -> Option<PathBuf> {
    let listed = fs::read_dir(master.dir().join("appendonlydir")).ok()?;
    let mut paths = listed.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.to_string_lossy().ends_with(".base.rdb"))
}

#[test]
fn a_base_and_the_log_since_make_a_full_sync_without_a_snapshot() {
    let master = master_with_base();
    let mut client = master.client().unwrap();
    // More than memory holds of the log, and less than the base has.
    write(&mut client, "since", 2_000);
    let kinds = [ServerKind::Redis70, ServerKind::Node, ServerKind::Valkey91, ServerKind::Redis62];
    let replicas: Vec<Server> = kinds.into_iter().map(|kind| start(kind, &[])).collect();
    for replica in &replicas {
        follow(replica, master.port()).unwrap();
    }
    write(&mut client, "meanwhile", 100);
    for replica in &replicas {
        wait_for_link(replica).unwrap();
        ensure_same_data(&master, replica).unwrap_or_else(|error| panic!("{error:#}\n{}", master.log_tail()));
    }
    assert_eq!((count(&master, BASE), count(&master, SNAPSHOT)), (kinds.len(), 0), "{}", log_of(&master));
}

#[test]
fn a_base_that_is_damaged_or_too_old_is_sent_to_nobody() {
    let master = master_with_base();
    let mut client = master.client().unwrap();
    let base = base_of(&master).unwrap();
    let whole = fs::read(&base).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x20;
    fs::write(&base, &damaged).unwrap();
    let replica = start(ServerKind::Redis70, &[]);
    follow(&replica, master.port()).unwrap();
    ensure_same_data(&master, &replica).unwrap();
    assert_eq!((count(&master, BASE), count(&master, SNAPSHOT)), (0, 1), "{}", log_of(&master));
    assert_eq!(count(&master, "a base on disk is damaged and is sent to nobody"), 1);

    fs::write(&base, &whole).unwrap();
    write(&mut client, "since", 5_000);
    let replica = start(ServerKind::Node, &[]);
    follow(&replica, master.port()).unwrap();
    ensure_same_data(&master, &replica).unwrap();
    assert_eq!((count(&master, BASE), count(&master, SNAPSHOT)), (0, 2), "{}", log_of(&master));
    assert_eq!(count(&master, "bytes of log since the base of"), 1, "{}", log_of(&master));
}

/// A connection that asks for everything, as a replica does.
fn ask_for_everything(master: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", master.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"REPLCONF capa eof capa psync2\r\n").unwrap();
    let mut ok = [0; 5];
    stream.read_exact(&mut ok).unwrap();
    stream.write_all(b"PSYNC ? -1\r\n").unwrap();
    stream
}

/// Reads a payload that is marked, to its mark; how many bytes.
fn read_payload(stream: &mut TcpStream) -> usize {
    let mut all = Vec::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "closed after {} bytes", all.len());
        all.extend_from_slice(&piece[..count]);
        let head = all.windows(5).take(1000).position(|window| window == b"$EOF:");
        let Some(mark) = head.and_then(|at| all.get(at + 5..at + 45)) else { continue };
        let payload = &all[head.unwrap() + 47..];
        if payload.ends_with(mark) {
            return payload.len();
        }
    }
}

#[test]
fn ten_that_arrive_together_share_a_snapshot_and_one_that_does_not_read_holds_up_nobody() {
    let options = ["--appendonly", "no", "--repl-history", "no", "--repl-diskless-sync-delay", "1"];
    let master = start(ServerKind::Node, &options);
    write(&mut master.client().unwrap(), "key", 60_000);
    let mut stuck = ask_for_everything(&master);
    let mut raw: Vec<TcpStream> = (0..7).map(|_| ask_for_everything(&master)).collect();
    let replicas = [start(ServerKind::Redis70, &[]), start(ServerKind::Node, &[])];
    for replica in &replicas {
        follow(replica, master.port()).unwrap();
    }
    let sizes: Vec<usize> = raw.iter_mut().map(read_payload).collect();
    assert!(sizes.iter().all(|size| *size == sizes[0] && *size > 50_000_000), "{sizes:?}");
    for replica in &replicas {
        ensure_same_data(&master, replica).unwrap();
    }
    // It has read nothing so far, and now gets what the others got.
    assert_eq!(read_payload(&mut stuck), sizes[0]);
    let log = log_of(&master);
    assert!(count(&master, SNAPSHOT) <= 2, "a snapshot, and one for those that came late: {log}");
    assert!(log.contains("reads slower than others that share its snapshot"), "{log}");
}

/// What a replica that says `lines` is sent until it has seen a write of `key`; its payload cut out.
fn stream_until(node: &Server, top: &Server, lines: &[&str], key: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", node.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }
    let (mut all, mut piece, mut payload_end, mut is_written) = (Vec::new(), vec![0; 1 << 16], None, false);
    loop {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some(head) = all.iter().position(|byte| *byte == b'$')
            && payload_end.is_none()
            && let Some(line) = text[head..].split_once("\r\n").map(|(line, _)| line)
        {
            let begin = head + line.len() + 2;
            payload_end = match line.strip_prefix("$EOF:") {
                Some(mark) => {
                    all[begin..].windows(40).position(|end| end == mark.as_bytes()).map(|at| begin + at + 40)
                }
                None => Some(begin + line[1..].parse::<usize>().unwrap()),
            };
        }
        let Some(end) = payload_end.filter(|end| *end <= all.len()) else { continue };
        if !is_written {
            is_written = true;
            stream.write_all(b"REPLCONF ACK 0\r\n").unwrap();
            let mut client = top.client().unwrap();
            client.ask(&["SELECT", "5"]).unwrap();
            client.ask(&["SET", key, "1"]).unwrap();
        }
        let stream = String::from_utf8(all[end..].to_vec()).unwrap();
        if stream.contains(key) {
            return stream;
        }
    }
}

/// Our master's stream stands in database 5 and does not say so again; such a replica begins in 0.
#[test]
fn replicas_without_psync2_of_a_chained_node_begin_in_the_streams_database() {
    let top = start(ServerKind::Redis70, &["--repl-diskless-sync-delay", "0"]);
    // Without a base on disk: each gets a snapshot.
    let options = ["--appendonly", "no", "--repl-history", "no", "--repl-diskless-sync-delay", "0"];
    let node = start(ServerKind::Node, &options);
    let mut client = top.client().unwrap();
    client.ask(&["SELECT", "5"]).unwrap();
    client.ask(&["SET", "before", "1"]).unwrap();
    follow(&node, top.port()).unwrap();
    wait_for_link(&node).unwrap();
    client.ask(&["SET", "before", "2"]).unwrap();
    ensure_same_data(&top, &node).unwrap();
    let forms: [&[&str]; 4] = [
        &["SYNC"],
        &["PSYNC ? -1"],
        &["REPLCONF capa eof", "PSYNC ? -1"],
        &["REPLCONF capa eof capa psync2", "PSYNC ? -1"],
    ];
    for (form, lines) in forms.into_iter().enumerate() {
        let stream = stream_until(&node, &top, lines, &format!("after:{form}"));
        let selects = stream.starts_with("*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n");
        assert_eq!(selects, form != 3, "{lines:?}: {stream}");
    }
}

#[test]
fn a_snapshot_on_disk_is_shared_and_leaves_nothing_behind() {
    let master = start(ServerKind::Node, &["--appendonly", "no", "--repl-history", "no"]);
    let mut client = master.client().unwrap();
    write(&mut client, "key", 20_000);
    for [name, value] in [["repl-diskless-sync", "no"], ["repl-diskless-sync-delay", "600"]] {
        client.ask(&["CONFIG", "SET", name, value]).unwrap();
    }
    // The third that joins ends the wait.
    client.ask(&["CONFIG", "SET", "repl-diskless-sync-max-replicas", "3"]).unwrap();
    let kinds = [ServerKind::Redis70, ServerKind::Node, ServerKind::Valkey91];
    let replicas: Vec<Server> = kinds.into_iter().map(|kind| start(kind, &[])).collect();
    for replica in &replicas {
        follow(replica, master.port()).unwrap();
    }
    for replica in &replicas {
        ensure_same_data(&master, replica).unwrap();
    }
    assert_eq!(count(&master, SNAPSHOT), 1, "{}", log_of(&master));
    let left: Vec<_> = fs::read_dir(master.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".rdb")), "{left:?}");
}

/// redis-cli as a replica that wants no stream; what it wrote, as redis-check-rdb sees it.
fn fetched(master: &Server, option: &str) -> String {
    let path = master.dir().join("fetched");
    let port = master.port().to_string();
    let mut cli = std::process::Command::new("redis-cli");
    let fetching = cli.args(["-p", &port, option]).arg(&path).output().unwrap();
    assert!(fetching.status.success(), "{fetching:?}");
    let checking = std::process::Command::new("redis-check-rdb").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&checking.stdout).into_owned();
    assert!(checking.status.success() && said.contains("RDB looks OK"), "{said}");
    said
}

#[test]
fn who_wants_the_snapshot_only_gets_it_as_it_is_now() {
    let master = master_with_base();
    write(&mut master.client().unwrap(), "since", 10);
    let keys = master.client().unwrap().ask_integer(&["DBSIZE"]).unwrap();
    let said = fetched(&master, "--rdb");
    // The lowest version that the data need.
    assert!(fs::read(master.dir().join("fetched")).unwrap().starts_with(b"REDIS0008"));
    assert_eq!((count(&master, BASE), count(&master, SNAPSHOT)), (0, 1), "not the base, which is older");
    let other_database = 10;
    assert!(said.contains(&format!("{} keys read", keys + other_database)), "{said}");
    let said = fetched(&master, "--functions-rdb");
    assert!(said.contains("0 keys read"), "{said}");
}
