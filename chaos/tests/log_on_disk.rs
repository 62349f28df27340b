//! The log's files and stock servers: they load ours, whatever it spans, and write to it; we load that back as a
//! stranger's. And we load what they wrote from the start, in every form that they have.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::{
    SyncCounters, digest, ensure_same_data, follow, info, info_number, wait_for_equal_offsets, wait_for_link,
};
use rejoin_chaos::servers::{Binary, Server, ServerKind};
use rejoin_chaos::wait;

const STOCK: [&str; 4] = ["--appendonly", "yes", "--enable-debug-command", "yes"];
const NODE: [&str; 4] = ["--enable-debug-command", "yes", "--aof-segment-size", "1mb"];

/// The folder of a log, copied to another server's directory.
fn copy(from: &Path, to: &Path) {
    let (from, to) = (from.join("appendonlydir"), to.join("appendonlydir"));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Data of every type in several databases, by single commands, transactions and commands with several effects.
fn write(client: &mut Client, round: u32) {
    for number in 0..2_000_u32 {
        let (key, value) = (format!("key:{round}:{number}"), "v".repeat(number as usize % 2_000));
        match number % 10 {
            0 => client.queue(&["SELECT", &(number % 7).to_string()]),
            1 => client.queue(&["SET", &key, &value, "EX", "100000"]),
            2 => client.queue(&["RPUSH", &key, "a", "b", &value]),
            3 => client.queue(&["HSET", &key, "field", &value, "n", "1"]),
            4 => client.queue(&["SADD", &key, "1", "2", "x"]),
            5 => client.queue(&["ZADD", &key, "1.5", "a", "inf", "b"]),
            6 => {
                client.queue(&["MULTI"]);
                client.queue(&["INCR", "counter"]);
                client.queue(&["SELECT", &(number % 5).to_string()]);
                client.queue(&["SET", &key, &value]);
                client.queue(&["EXEC"]);
            }
            7 => client.queue(&["SPOP", &format!("key:{round}:{}", number - 3)]),
            8 => client.queue(&["LMOVE", &format!("key:{round}:{}", number - 6), "moved", "LEFT", "RIGHT"]),
            _ => client.queue(&["SET", &key, &value]),
        }
    }
    client.flush().unwrap();
    let commands: usize = (0..2_000).map(|number| if number % 10 == 6 { 5 } else { 1 }).sum();
    client.skip_replies(commands).unwrap();
}

fn wait_for_rewrite(server: &Server) {
    wait::until("the log is rewritten", || {
        let info = info(server, "persistence")?;
        Ok(info["aof_rewrite_in_progress"] == "0"
            && info["aof_last_bgrewrite_status"] == "ok"
            && info["aof_base_size"] != "0")
    })
    .unwrap();
}

fn loaded(server: &Server) -> Client {
    wait::until("the data is loaded", || Ok(!server.client()?.call(&["GET", "x"])?.is_error())).unwrap();
    server.client().unwrap()
}

fn manifest(dir: &Path) -> String {
    fs::read_to_string(dir.join("appendonlydir/appendonly.aof.manifest")).unwrap()
}

fn offset(server: &Server) -> u64 {
    info_number(server, "replication", "master_repl_offset").unwrap()
}

fn replid(server: &Server) -> String {
    info(server, "replication").unwrap()["master_replid"].clone()
}

fn stock_servers_go_on_with_our_log(kind: ServerKind) {
    let node = Binary::node(None).unwrap();
    let mut ours = Server::start(&node, &NODE).unwrap();
    let mut client = ours.client().unwrap();
    write(&mut client, 0);
    client.call(&["BGREWRITEAOF"]).unwrap();
    wait_for_rewrite(&ours);
    for round in 1..4 {
        write(&mut client, round);
    }
    let (data, offset_ours, replid_ours) = (digest(&mut client).unwrap(), offset(&ours), replid(&ours));
    ours.stop();
    let names = manifest(ours.dir());
    assert!(names.matches(" type i ").count() > 2, "several segments: {names}");
    let check = Command::new("redis-check-aof")
        .arg(ours.dir().join("appendonlydir/appendonly.aof.manifest"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success() && said.contains("is valid"), "{said}");

    let stock = Binary::stock(kind).unwrap();
    let mut theirs = Server::start_with(&stock, &STOCK, |dir| {
        copy(ours.dir(), dir);
        Ok(())
    })
    .unwrap();
    assert_eq!(digest(&mut loaded(&theirs)).unwrap(), data);
    if kind == ServerKind::Redis82 {
        assert_eq!(offset(&theirs), offset_ours, "Redis 8 arrives where we stood");
    }
    // It appends to our last segment, or rewrites all of it.
    for rewrites in [false, true] {
        let mut client = theirs.client().unwrap();
        write(&mut client, if rewrites { 5 } else { 4 });
        if rewrites {
            client.call(&["BGREWRITEAOF"]).unwrap();
            wait_for_rewrite(&theirs);
            write(&mut client, 6);
        }
        let data = digest(&mut client).unwrap();
        theirs.stop();
        let again = Server::start_with(&node, &NODE, |dir| {
            copy(theirs.dir(), dir);
            Ok(())
        })
        .unwrap();
        assert_eq!(digest(&mut loaded(&again)).unwrap(), data);
        assert_ne!(replid(&again), replid_ours, "a stream that somebody else touched is not ours");
        wait_for_rewrite(&again);
        let log = again.log_tail();
        assert!(log.contains("another server"), "{log}");
        theirs.restart().unwrap();
        loaded(&theirs);
    }
    // Untouched, it is ours, with everything in its place.
    ours.restart().unwrap();
    assert_eq!(digest(&mut loaded(&ours)).unwrap(), data);
    assert_eq!((offset(&ours), replid(&ours)), (offset_ours, replid_ours));
}

#[test]
fn redis_7_goes_on_with_our_log_and_we_with_what_it_made_of_it() {
    stock_servers_go_on_with_our_log(ServerKind::Redis70);
}

#[test]
fn redis_8_goes_on_with_our_log_and_we_with_what_it_made_of_it() {
    stock_servers_go_on_with_our_log(ServerKind::Redis82);
}

#[test]
fn valkey_9_goes_on_with_our_log_and_we_with_what_it_made_of_it() {
    stock_servers_go_on_with_our_log(ServerKind::Valkey91);
}

/// What a server wrote with these options, before a rewrite and behind it.
fn we_load_the_log_of(kind: ServerKind, options: &[&str]) {
    let mut all = STOCK.to_vec();
    if kind == ServerKind::Redis62 {
        all.truncate(2);
    }
    all.extend_from_slice(options);
    let mut theirs = Server::start(&Binary::stock(kind).unwrap(), &all).unwrap();
    let node = Binary::node(None).unwrap();
    for rewrites in [false, true] {
        let mut client = theirs.client().unwrap();
        write(&mut client, 1);
        if rewrites {
            client.call(&["BGREWRITEAOF"]).unwrap();
            wait_for_rewrite(&theirs);
            write(&mut client, 2);
        }
        let data = digest(&mut client).unwrap();
        theirs.stop();
        let ours = Server::start_with(&node, &NODE, |dir| {
            if kind == ServerKind::Redis62 {
                fs::copy(theirs.dir().join("appendonly.aof"), dir.join("appendonly.aof")).unwrap();
            } else {
                copy(theirs.dir(), dir);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(digest(&mut loaded(&ours)).unwrap(), data, "{}", ours.log_tail());
        wait_for_rewrite(&ours);
        theirs.restart().unwrap();
        loaded(&theirs);
    }
}

#[test]
fn logs_of_every_kind_are_loaded() {
    we_load_the_log_of(ServerKind::Redis62, &[]);
    we_load_the_log_of(ServerKind::Redis62, &["--aof-use-rdb-preamble", "no"]);
    we_load_the_log_of(ServerKind::Redis70, &["--aof-timestamp-enabled", "yes"]);
    we_load_the_log_of(ServerKind::Redis70, &["--aof-use-rdb-preamble", "no"]);
    we_load_the_log_of(ServerKind::Redis82, &[]);
    we_load_the_log_of(ServerKind::Valkey91, &[]);
}

/// The one segment that is being written.
fn last_segment(dir: &Path) -> PathBuf {
    let names = manifest(dir);
    let last = names.lines().rfind(|line| line.contains(" type i ")).unwrap();
    dir.join("appendonlydir").join(last.split(' ').nth(1).unwrap())
}

#[test]
fn a_torn_end_is_cut_and_damage_stops_the_start_with_its_place() {
    let mut node = Server::start(&Binary::node(None).unwrap(), &NODE).unwrap();
    let mut client = node.client().unwrap();
    for number in 0..1_000 {
        client.ask(&["SET", &format!("key:{number}"), &"x".repeat(100)]).unwrap();
    }
    node.stop();
    let segment = last_segment(node.dir());
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..whole.len() - 10]).unwrap();
    node.restart().unwrap();
    assert_eq!(loaded(&node).ask_integer(&["DBSIZE"]).unwrap(), 999);
    assert!(node.log_tail().contains("short read while loading the AOF file"), "{}", node.log_tail());
    node.stop();
    let mut damaged = fs::read(&segment).unwrap();
    damaged[70_000] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    let error = format!("{:#}", node.restart().unwrap_err());
    assert!(
        error.contains("is damaged between its bytes 65") && error.contains("check-aof --fix"),
        "{error}"
    );
}

#[test]
fn nothing_is_taken_before_a_start_would_find_it() {
    let node = Binary::node(None).unwrap();
    let mut first = Server::start(&node, &["--appendonly", "no"]).unwrap();
    write(&mut first.client().unwrap(), 0);
    first.client().unwrap().ask(&["SAVE"]).unwrap();
    first.stop();
    // The first start with a log finds a dump alone. Killed after the first reply, it must find that write, too.
    let mut second = Server::start_with(&node, &[], |dir| {
        fs::copy(first.dir().join("dump.rdb"), dir.join("dump.rdb")).unwrap();
        Ok(())
    })
    .unwrap();
    let mut client = loaded(&second);
    let keys = client.ask_integer(&["DBSIZE"]).unwrap();
    assert_eq!(client.ask_text(&["SET", "the first", "1"]).unwrap(), "OK");
    second.crash_and_restart().unwrap();
    assert_eq!(loaded(&second).ask_integer(&["DBSIZE"]).unwrap(), keys + 1);
}

const HISTORY_ALONE: [&str; 6] =
    ["--appendonly", "no", "--repl-history", "yes", "--enable-debug-command", "yes"];

#[test]
fn history_alone_brings_the_last_dump_forward_and_no_other() {
    let mut node = Server::start(&Binary::node(None).unwrap(), &HISTORY_ALONE).unwrap();
    let mut client = node.client().unwrap();
    write(&mut client, 0);
    client.ask(&["SAVE"]).unwrap();
    let backup = fs::read(node.dir().join("dump.rdb")).unwrap();
    let data_of_backup = digest(&mut client).unwrap();
    write(&mut client, 1);
    let (data, told, name) = (digest(&mut client).unwrap(), offset(&node), replid(&node));
    node.crash_and_restart().unwrap();
    assert_eq!(digest(&mut loaded(&node)).unwrap(), data);
    assert_eq!((offset(&node), replid(&node)), (told, name.clone()));
    // Another save, and the backup put back: somebody wants the old data.
    node.client().unwrap().ask(&["FLUSHALL"]).unwrap();
    node.client().unwrap().ask(&["SAVE"]).unwrap();
    node.stop();
    fs::write(node.dir().join("dump.rdb"), backup).unwrap();
    node.restart().unwrap();
    assert_eq!(digest(&mut loaded(&node)).unwrap(), data_of_backup);
    assert_ne!(replid(&node), name);
}

#[test]
fn history_alone_is_of_no_use_without_the_data_before_it() {
    let master = Server::start(&Binary::stock(ServerKind::Redis70).unwrap(), &[]).unwrap();
    write(&mut master.client().unwrap(), 0);
    let mut node = Server::start(&Binary::node(None).unwrap(), &HISTORY_ALONE).unwrap();
    follow(&node, master.port()).unwrap();
    wait_for_link(&node).unwrap();
    write(&mut master.client().unwrap(), 1);
    wait_for_equal_offsets(&master, &node).unwrap();
    node.crash_and_restart().unwrap();
    follow(&node, master.port()).unwrap();
    wait_for_link(&node).unwrap();
    ensure_same_data(&master, &node).unwrap();
}

#[test]
fn a_restarted_node_goes_on_where_it_was_as_a_replica_and_as_a_master() {
    let master =
        Server::start(&Binary::stock(ServerKind::Redis70).unwrap(), &["--enable-debug-command", "yes"])
            .unwrap();
    let at = format!("127.0.0.1 {}", master.port());
    let mut node =
        Server::start(&Binary::node(None).unwrap(), &[&NODE[..], &["--replicaof", &at]].concat()).unwrap();
    wait_for_link(&node).unwrap();
    for round in 0..3 {
        write(&mut master.client().unwrap(), round);
        wait_for_equal_offsets(&master, &node).unwrap();
        node.crash_and_restart().unwrap();
        write(&mut master.client().unwrap(), round + 10);
        wait_for_link(&node).unwrap();
        ensure_same_data(&master, &node).unwrap();
    }
    let syncs = SyncCounters::of(&master).unwrap();
    assert_eq!((syncs.full, syncs.partial_ok), (1, 3), "{}", node.log_tail());
    // Promoted, written to and killed: its replica finds the stream that it follows.
    let replica = Server::start(
        &Binary::stock(ServerKind::Redis70).unwrap(),
        &[&STOCK[2..], &["--replicaof", &format!("127.0.0.1 {}", node.port())]].concat(),
    )
    .unwrap();
    wait_for_link(&replica).unwrap();
    node.client().unwrap().ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
    node.client().unwrap().ask(&["CONFIG", "SET", "appendfsync", "always"]).unwrap();
    write(&mut node.client().unwrap(), 20);
    wait_for_link(&replica).unwrap();
    wait_for_equal_offsets(&node, &replica).unwrap();
    let name = replid(&node);
    node.stop();
    // Without the option this time: it is a master now.
    let again = Server::start_with(&Binary::node(None).unwrap(), &NODE, |dir| {
        copy(node.dir(), dir);
        Ok(())
    })
    .unwrap();
    loaded(&again);
    assert_eq!(replid(&again), name);
    follow(&replica, again.port()).unwrap();
    wait_for_link(&replica).unwrap();
    write(&mut again.client().unwrap(), 21);
    ensure_same_data(&again, &replica).unwrap();
    let syncs = SyncCounters::of(&again).unwrap();
    assert_eq!((syncs.full, syncs.partial_ok), (0, 1), "{}", again.log_tail());
}
