//! dump.rdb: SAVE, BGSAVE, save points and SHUTDOWN, saves that fail, and loading at the start; beside redis-server, which
//! reads our file as we read its.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use rejoin_chaos::client::{Client, Reply};
use rejoin_chaos::replication::{follow, info, info_number};
use rejoin_chaos::servers::{Binary, Program, Server, ServerKind, free_port};
use rejoin_chaos::wait;
use rustix::process::Signal;

/// Nothing but the dump is on disk.
fn no_log(binary: &Binary) -> &'static [&'static str] {
    match binary.kind() {
        ServerKind::Node => &["--appendonly", "no", "--repl-history", "no"],
        _ => &["--appendonly", "no"],
    }
}

fn node() -> Binary {
    Binary::node(None).unwrap()
}

fn redis() -> Binary {
    Binary::stock(ServerKind::Redis70).unwrap()
}

fn start(binary: &Binary, options: &[&str]) -> Server {
    Server::start(binary, &[no_log(binary), options].concat()).unwrap()
}

fn say(client: &mut Client, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    client.call(&words).unwrap().to_string()
}

fn dump(server: &Server) -> std::path::PathBuf {
    server.dir().join("dump.rdb")
}

fn wait_for_save(server: &Server) {
    wait::until("the save to end", || Ok(info_number(server, "persistence", "rdb_bgsave_in_progress")? == 0))
        .unwrap();
}

/// What INFO says of saves, as far as it does not depend on the clock.
fn told(server: &Server) -> Vec<String> {
    let fields = info(server, "persistence").unwrap();
    let names =
        ["rdb_changes_since_last_save", "rdb_bgsave_in_progress", "rdb_last_bgsave_status", "rdb_saves"];
    names.iter().map(|name| format!("{name}:{}", fields[*name])).collect()
}

/// Both servers are told the same and say the same, INFO included.
fn both_say(pair: &[Server; 2], clients: &mut [Client; 2], lines: &[&str]) {
    for line in lines {
        let [ours, theirs] = clients.each_mut().map(|client| say(client, line));
        assert_eq!(ours, theirs, "{line}");
        pair.iter().for_each(wait_for_save);
        let [ours, theirs] = pair.each_ref().map(told);
        assert_eq!(ours, theirs, "after {line}");
    }
}

fn pair(options: &[&str]) -> ([Server; 2], [Client; 2]) {
    let pair = [start(&node(), options), start(&redis(), options)];
    let clients = pair.each_ref().map(|server| server.client().unwrap());
    (pair, clients)
}

#[test]
fn save_commands_reply_as_those_of_redis() {
    let (pair, mut clients) = pair(&["--save", "3600 100000", "--enable-protected-configs", "yes"]);
    both_say(
        &pair,
        &mut clients,
        &[
            "SET a 1",
            "BGSAVE",
            "BGSAVE SCHEDULE",
            "BGSAVE foo",
            "BGSAVE SCHEDULE x",
            "SAVE x",
            "SET a 2",
            "SAVE",
            "LPUSH l 1",
            "DEBUG RELOAD",
            "DEBUG RELOAD foo",
            "DEBUG RELOAD NOSAVE",
            "GET a",
            "MULTI",
            "SAVE",
            "EXEC",
            "CONFIG SET dbfilename a/b",
            "CONFIG SET dbfilename other.rdb",
            "SAVE",
            "CONFIG GET dbfilename",
            "CONFIG SET save x",
            "CONFIG SET rdbchecksum no",
            "CONFIG RESETSTAT",
            "FLUSHDB",
            "SET b 1",
            "FLUSHALL",
            "DBSIZE",
        ],
    );
    for server in &pair {
        assert!(server.dir().join("other.rdb").exists());
    }
    // Within a transaction it is put off; the next tick sees to it.
    let line = "BGSAVE";
    for client in &mut clients {
        assert_eq!(say(client, "MULTI"), "+OK");
        assert_eq!(say(client, line), "+QUEUED");
        assert_eq!(say(client, "EXEC"), "*[+Background saving scheduled]");
    }
    for server in &pair {
        wait::until("the scheduled save", || Ok(info_number(server, "persistence", "rdb_saves")? == 1))
            .unwrap();
    }
}

#[test]
fn a_save_that_fails_refuses_writes_as_redis_does_until_one_succeeds() {
    let (pair, mut clients) = pair(&["--save", "3600 100000"]);
    both_say(&pair, &mut clients, &["SET a 1", "SAVE"]);
    let saved = pair.each_ref().map(|server| fs::read(dump(server)).unwrap());
    for server in &pair {
        // Nothing can be put in the place of a directory, whoever tries.
        fs::rename(dump(server), server.dir().join("saved")).unwrap();
        fs::create_dir(dump(server)).unwrap();
    }
    both_say(
        &pair,
        &mut clients,
        &[
            "SET a 2",
            "SAVE",
            "SET a 3",
            "BGSAVE",
            "SET a 4",
            "GET a",
            "PING",
            "DEL a",
            "PUBLISH c m",
            "MULTI",
            "GET a",
            "SET a 5",
            "EXEC",
            "MULTI",
            "GET a",
            "EXEC",
            "FLUSHALL",
            "SHUTDOWN",
            "PING",
            "CONFIG SET stop-writes-on-bgsave-error no",
            "SET a 6",
            "FLUSHALL",
            "SET a 7",
            "CONFIG SET stop-writes-on-bgsave-error yes",
            "SET a 8",
            "DEBUG RELOAD",
        ],
    );
    for (server, saved) in pair.iter().zip(saved) {
        assert_eq!(
            fs::read(server.dir().join("saved")).unwrap(),
            saved,
            "the file that was there is untouched"
        );
        let names = fs::read_dir(server.dir()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("temp-")).collect();
        assert!(left.is_empty(), "{left:?}");
        fs::remove_dir(dump(server)).unwrap();
    }
    both_say(&pair, &mut clients, &["BGSAVE", "SET a 9", "PING", "SAVE"]);
    assert!(pair[0].log_tail().contains("Error moving temp DB file"), "{}", pair[0].log_tail());
}

#[test]
fn data_is_there_after_an_end_as_far_as_it_was_saved() {
    let mut server = start(&node(), &["--save", "3600 100000"]);
    let size = |server: &Server| server.client().unwrap().ask_integer(&["DBSIZE"]).unwrap();
    server.client().unwrap().ask(&["SET", "a", "1"]).unwrap();
    let before = server.client().unwrap().ask_integer(&["LASTSAVE"]).unwrap();
    server.client().unwrap().ask(&["BGSAVE"]).unwrap();
    wait_for_save(&server);
    assert!(server.client().unwrap().ask_integer(&["LASTSAVE"]).unwrap() >= before);
    server.client().unwrap().ask(&["SET", "b", "1"]).unwrap();
    server.crash_and_restart().unwrap();
    assert_eq!(size(&server), 1);

    // An end in order saves where there are save points.
    server.client().unwrap().ask(&["SET", "b", "1"]).unwrap();
    server.restart().unwrap();
    assert_eq!(size(&server), 2);
    server.client().unwrap().ask(&["SET", "c", "1"]).unwrap();
    let _ = server.client().unwrap().call(&["SHUTDOWN", "NOSAVE"]);
    server.restart().unwrap();
    assert_eq!(size(&server), 2);

    // Where there are none, only if it is told to.
    server.client().unwrap().ask(&["CONFIG", "SET", "save", ""]).unwrap();
    server.client().unwrap().ask(&["SET", "c", "1"]).unwrap();
    let _ = server.client().unwrap().call(&["SHUTDOWN"]);
    server.restart().unwrap();
    assert_eq!(size(&server), 2);
    server.client().unwrap().ask(&["CONFIG", "SET", "save", ""]).unwrap();
    server.client().unwrap().ask(&["SET", "c", "1"]).unwrap();
    let _ = server.client().unwrap().call(&["SHUTDOWN", "SAVE"]);
    server.restart().unwrap();
    assert_eq!(size(&server), 3);

    // What FLUSHALL deleted does not come back, even if the node is killed right behind the reply.
    server.client().unwrap().ask(&["FLUSHALL"]).unwrap();
    server.crash_and_restart().unwrap();
    assert_eq!(size(&server), 0);
}

#[test]
fn save_points_save_by_themselves() {
    let server = start(&node(), &["--save", "1 3"]);
    let mut client = server.client().unwrap();
    for key in ["a", "b"] {
        client.ask(&["SET", key, "1"]).unwrap();
    }
    assert_eq!(info_number(&server, "persistence", "rdb_saves").unwrap(), 0, "two changes are not three");
    client.ask(&["SET", "c", "1"]).unwrap();
    wait::until("a save", || {
        let fields = info(&server, "persistence")?;
        Ok(fields["rdb_saves"] == "1" && fields["rdb_changes_since_last_save"] == "0")
    })
    .unwrap();
    assert!(dump(&server).exists());
    assert!(server.log_tail().contains("3 changes in 1 seconds. Saving..."), "{}", server.log_tail());
}

/// Values of every type, small and large, with and without expiry, in several databases.
fn fill(client: &mut Client) {
    let lines = [
        "SET text hello",
        "SET number 12345",
        "SET negative -7",
        "SETEX volatile 100000 v",
        "SELECT 3",
        "HSET hash f v g w",
        "SADD integers 1 2 3",
        "SADD set a b 1",
        "ZADD sorted 1.5 a -inf b 3 c",
        "RPUSH list a b 3",
        "SELECT 9",
    ];
    for line in lines {
        assert!(!say(client, line).starts_with('-'), "{line}");
    }
    for number in 0..2_000 {
        let (number, long) = (number.to_string(), "long".repeat(number % 90));
        client.queue(&["HSET", "large hash", &number, &long]);
        client.queue(&["SADD", "large set", &number, &long]);
        client.queue(&["ZADD", "large sorted", &number, &long, &number, &number]);
        client.queue(&["RPUSH", "large list", &number, &long]);
        client.queue(&["SET", &format!("key:{number}"), &long]);
        client.flush().unwrap();
        client.skip_replies(5).unwrap();
    }
}

fn digest(server: &Server) -> String {
    server.client().unwrap().ask_text(&["DEBUG", "DIGEST"]).unwrap()
}

/// `from` saves, `to` starts with that file.
fn hand_over(from: &Server, to: &mut Server) {
    from.client().unwrap().ask(&["SAVE"]).unwrap();
    let _ = to.client().unwrap().call(&["SHUTDOWN", "NOSAVE"]);
    fs::copy(dump(from), dump(to)).unwrap();
    to.restart().unwrap();
}

#[test]
fn redis_loads_what_we_saved_and_we_load_what_it_saved() {
    for compression in ["yes", "no"] {
        let options = ["--rdbcompression", compression];
        let (mut ours, mut theirs) = (start(&node(), &options), start(&redis(), &options));
        fill(&mut ours.client().unwrap());
        let filled = digest(&ours);
        hand_over(&ours, &mut theirs);
        assert_eq!(digest(&theirs), filled);
        ours.client().unwrap().ask(&["FLUSHALL"]).unwrap();
        hand_over(&theirs, &mut ours);
        assert_eq!(digest(&ours), filled);
        let keys = info_number(&ours, "persistence", "rdb_last_load_keys_loaded").unwrap();
        assert_eq!(keys, 2_004 + 9);
    }
    let server = start(&node(), &["--rdbchecksum", "no"]);
    server.client().unwrap().ask(&["SET", "a", "1"]).unwrap();
    server.client().unwrap().ask(&["SAVE"]).unwrap();
    assert!(fs::read(dump(&server)).unwrap().ends_with(&[0; 8]), "no checksum was wanted");
}

#[test]
fn keys_that_have_expired_are_left_out_but_not_on_a_replica() {
    let mut theirs = start(&redis(), &[]);
    {
        let mut client = theirs.client().unwrap();
        client.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).unwrap();
        client.ask(&["SET", "stays", "1"]).unwrap();
        client.ask(&["SET", "goes", "1", "PX", "1"]).unwrap();
        client.ask(&["SAVE"]).unwrap();
    }
    let mut ours = start(&node(), &[]);
    hand_over(&theirs, &mut ours);
    let fields = info(&ours, "persistence").unwrap();
    assert_eq!((&*fields["rdb_last_load_keys_loaded"], &*fields["rdb_last_load_keys_expired"]), ("1", "1"));
    assert_eq!(ours.client().unwrap().ask_integer(&["DBSIZE"]).unwrap(), 1);
    // Nobody answers at the master's port.
    let port = free_port().unwrap().to_string();
    let mut replica = start(&node(), &["--replicaof", &format!("127.0.0.1 {port}")]);
    theirs.restart().unwrap();
    assert_eq!(info_number(&theirs, "persistence", "rdb_last_load_keys_expired").unwrap(), 1);
    let _ = replica.client().unwrap().call(&["SHUTDOWN", "NOSAVE"]);
    fs::copy(dump(&theirs), dump(&replica)).unwrap();
    replica.restart().unwrap();
    let fields = info(&replica, "persistence").unwrap();
    assert_eq!((&*fields["rdb_last_load_keys_loaded"], &*fields["rdb_last_load_keys_expired"]), ("2", "0"));
}

#[test]
fn a_replica_that_was_restarted_goes_on_where_its_dump_stands() {
    let master = start(&redis(), &[]);
    let mut replica =
        start(&node(), &["--save", "3600 100000", "--replicaof", &format!("127.0.0.1 {}", master.port())]);
    let is_in_step = |replica: &Server| {
        wait::until("the replica to be in step", || {
            let up =
                info(replica, "replication")?.get("master_link_status").map(String::as_str) == Some("up");
            Ok(up && digest(replica) == digest(&master))
        })
        .unwrap();
    };
    let mut client = master.client().unwrap();
    client.ask(&["SELECT", "5"]).unwrap();
    client.ask(&["SET", "a", "1"]).unwrap();
    is_in_step(&replica);
    client.ask(&["SET", "b", "1"]).unwrap();
    is_in_step(&replica);
    replica.restart().unwrap();
    is_in_step(&replica);
    // The stream's selected database is known, too.
    client.ask(&["SET", "c", "1"]).unwrap();
    is_in_step(&replica);
    let fields = info(&master, "stats").unwrap();
    assert_eq!((&*fields["sync_full"], &*fields["sync_partial_ok"]), ("1", "1"), "{}", replica.log_tail());
}

#[test]
fn replicas_of_a_master_that_was_restarted_go_on_where_its_dump_stands() {
    let mut master = start(&node(), &["--save", "3600 100000"]);
    let replica = start(&redis(), &[]);
    master.client().unwrap().ask(&["SET", "a", "1"]).unwrap();
    follow(&replica, master.port()).unwrap();
    let is_in_step = |master: &Server| {
        wait::until("the replica to be in step", || {
            let up =
                info(&replica, "replication")?.get("master_link_status").map(String::as_str) == Some("up");
            Ok(up && digest(&replica) == digest(master))
        })
        .unwrap();
    };
    is_in_step(&master);
    master.client().unwrap().ask(&["SET", "b", "1"]).unwrap();
    let replid = info(&master, "replication").unwrap()["master_replid"].clone();
    master.restart().unwrap();
    is_in_step(&master);
    let fields = info(&master, "replication").unwrap();
    assert_eq!(fields["master_replid2"], replid);
    assert_ne!(fields["master_replid"], replid, "what came behind the dump might be lost");
    let fields = info(&master, "stats").unwrap();
    assert_eq!((&*fields["sync_full"], &*fields["sync_partial_ok"]), ("0", "1"), "{}", master.log_tail());
    master.client().unwrap().ask(&["SET", "c", "1"]).unwrap();
    is_in_step(&master);
}

/// A directory with a dump of `keys` keys.
fn large_dump(keys: u32) -> tempfile::TempDir {
    let server = start(&redis(), &["--rdbcompression", "no"]);
    let mut client = server.client().unwrap();
    client.ask(&["DEBUG", "POPULATE", &keys.to_string(), "key", "200"]).unwrap();
    client.ask(&["SAVE"]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::copy(dump(&server), dir.path().join("dump.rdb")).unwrap();
    dir
}

/// Starts a server in `dir`, and connects as soon as it lets anybody in.
fn start_loading(binary: &Binary, dir: &Path, options: &[&str]) -> (Program, Client, u16) {
    let port = free_port().unwrap();
    let port_text = port.to_string();
    let usual = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"];
    let program = Program::start(binary, dir, &[&usual, no_log(binary), options].concat()).unwrap();
    // No pause between the attempts: a quick load is over soon.
    let give_up_at = std::time::Instant::now() + wait::DEADLINE;
    loop {
        match Client::connect(port) {
            Ok(client) => return (program, client, port),
            Err(error) => assert!(std::time::Instant::now() < give_up_at, "{error}"),
        }
    }
}

/// What a server that is loading replies; `None` if it was not, at the end.
fn replies_while_loading(client: &mut Client, lines: &[&str]) -> Option<Vec<String>> {
    for line in lines.iter().chain(&["INFO persistence"]) {
        client.queue(&line.split(' ').collect::<Vec<_>>());
    }
    client.flush().unwrap();
    let replies: Vec<Reply> = lines.iter().map(|_| client.read_reply().unwrap()).collect();
    let end = client.read_reply().unwrap().text().unwrap();
    if !end.contains("\r\nloading:1\r\n") && !end.starts_with("# Persistence\r\nloading:1\r\n") {
        return None;
    }
    for name in
        ["loading_start_time:", "loading_total_bytes:", "loading_loaded_perc:", "loading_eta_seconds:"]
    {
        assert!(end.contains(name), "{end}");
    }
    Some(replies.iter().map(ToString::to_string).collect())
}

#[test]
fn while_it_loads_it_answers_what_redis_answers() {
    let lines = [
        "GET a",
        "SET a 1",
        "PING",
        "EXISTS a",
        "FLUSHALL",
        "DBSIZE",
        "KEYS *",
        "SAVE",
        "BGSAVE",
        "BGREWRITEAOF",
        "PSYNC ? -1",
        "REPLICAOF NO ONE",
        "ECHO a",
        "SELECT 1",
        "SWAPDB 0 1",
        "MULTI",
        "GET a",
        "EXEC",
        "MULTI",
        "SELECT 0",
        "EXEC",
        "WATCH a",
        "UNWATCH",
        "PUBLISH c m",
        "LASTSAVE",
        "ROLE",
        "CONFIG GET maxmemory",
        "CONFIG SET hz 11",
        "CLIENT GETNAME",
        "COMMAND COUNT x",
        "OBJECT ENCODING a",
        "SLOWLOG LEN",
        "LATENCY RESET",
        "MEMORY USAGE a",
        "WAIT 0 0",
        "RANDOMKEY",
        "SCAN 0",
        "SORT a",
        "TYPE a",
        "EXPIRE a 1",
        "SHUTDOWN ABORT",
        "AUTH x",
        "RESET",
        "DISCARD",
        "BLPOP a 0",
    ];
    let mut keys = 500_000;
    let ours = loop {
        let dir = large_dump(keys);
        let (_program, mut client, port) = start_loading(&node(), dir.path(), &[]);
        let Some(replies) = replies_while_loading(&mut client, &lines) else {
            // The machine is quicker than that.
            assert!(keys < 10_000_000, "a load cannot be observed");
            keys *= 2;
            continue;
        };
        // Clients that were told to wait are served in the end, by the same connection.
        wait::until("the load", || Ok(client.call(&["PING"])?.is_simple("PONG"))).unwrap();
        assert_eq!(client.ask_integer(&["DBSIZE"]).unwrap(), i64::from(keys));
        assert_eq!(Client::connect(port).unwrap().ask_text(&["GET", "key:7"]).unwrap().len(), 200);
        break replies;
    };
    let dir = large_dump(100_000);
    // Its pace can be set: a millisecond for every ten keys.
    let (_program, mut client, _) = start_loading(&redis(), dir.path(), &["--key-load-delay", "100"]);
    let theirs = replies_while_loading(&mut client, &lines).unwrap();
    for ((line, ours), theirs) in lines.iter().zip(&ours).zip(&theirs) {
        // When it was last saved, and how many commands there are, are their own.
        if ours.starts_with(':') && theirs.starts_with(':') {
            continue;
        }
        assert_eq!(ours, theirs, "{line}");
    }
    let refused = ours.iter().filter(|reply| reply.contains("LOADING")).count();
    assert!((20..lines.len() - 10).contains(&refused), "{ours:?}");
}

#[test]
fn a_load_can_be_broken_off_and_leaves_the_file_as_it_is() {
    let mut keys = 500_000;
    loop {
        let dir = large_dump(keys);
        let before = fs::metadata(dir.path().join("dump.rdb")).unwrap();
        let (mut program, _client, _) = start_loading(&node(), dir.path(), &["--save", "1 1"]);
        program.signal(Signal::TERM).unwrap();
        let status = program.wait().unwrap();
        if program.printed().contains("DB loaded from disk") {
            assert!(keys < 10_000_000, "a load cannot be observed");
            keys *= 2;
            continue;
        }
        assert_eq!(status.code(), Some(0), "{}", program.printed());
        assert!(program.printed().contains("exiting now"), "{}", program.printed());
        let after = fs::metadata(dir.path().join("dump.rdb")).unwrap();
        assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
        return;
    }
}

#[test]
fn a_file_that_cannot_be_loaded_stops_the_start() {
    let whole = {
        let server = start(&node(), &[]);
        fill(&mut server.client().unwrap());
        server.client().unwrap().ask(&["SAVE"]).unwrap();
        fs::read(dump(&server)).unwrap()
    };
    let cut = whole[..whole.len() / 2].to_vec();
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 0x40;
    let foreign = b"not an RDB at all".to_vec();
    for (name, bytes) in [("cut", cut), ("flipped", flipped), ("foreign", foreign), ("empty", Vec::new())] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("dump.rdb"), &bytes).unwrap();
        let mut statuses = Vec::new();
        for binary in [node(), redis()] {
            let port = free_port().unwrap().to_string();
            let options = [&["--port", port.as_str(), "--save", "1 1"][..], no_log(&binary)].concat();
            let mut program = Program::start(&binary, dir.path(), &options).unwrap();
            statuses.push(program.wait().unwrap().code());
            if binary.kind() == ServerKind::Node {
                let printed = program.printed();
                assert!(
                    printed.contains("Fatal error loading the DB, check server logs. Exiting."),
                    "{name}: {printed}"
                );
                assert!(printed.contains("dump.rdb: "), "{name}: {printed}");
                assert!(!printed.contains("Ready to accept"), "{name}: {printed}");
            }
        }
        assert_eq!(statuses, [Some(1), Some(1)], "{name}");
        assert_eq!(fs::read(dir.path().join("dump.rdb")).unwrap(), bytes, "{name}: nobody has touched it");
    }
}
