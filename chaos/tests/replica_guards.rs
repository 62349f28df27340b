//! What a replica keeps its data from: a master that came back empty, commands and values that it does not have; and what it
//! shows its clients meanwhile.

#![allow(clippy::unwrap_used)]

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::{
    ensure_same_data, follow, info, info_number, wait_for_equal_offsets, wait_for_link, wait_for_link_loss,
};
use rejoin_chaos::servers::{Binary, Server, ServerKind};
use rejoin_chaos::wait::until;

const LIBRARY: &str = "#!lua name=mylib\nredis.register_function('one', function(keys, args) return 1 end)";

fn node(options: &[&str]) -> Server {
    Server::start(&Binary::node(None).unwrap(), options).unwrap()
}

fn stock(kind: ServerKind) -> Server {
    Server::start(&Binary::stock(kind).unwrap(), &[]).unwrap()
}

fn full_log(server: &Server) -> String {
    std::fs::read_to_string(server.log_path()).unwrap()
}

fn link_is_down(server: &Server) -> bool {
    info(server, "replication").unwrap().get("master_link_status").is_some_and(|status| status == "down")
}

fn wait_for_log(server: &Server, reason: &str) {
    until(&format!("the log to say {reason:?}"), || Ok(full_log(server).contains(reason))).unwrap();
}

#[test]
fn a_master_that_came_back_empty_does_not_take_our_data_with_it() {
    for kind in [ServerKind::Redis70, ServerKind::Valkey91, ServerKind::Node] {
        let mut master = match kind {
            ServerKind::Node => node(&["--appendonly", "no", "--repl-history", "no"]),
            kind => stock(kind),
        };
        master.client().unwrap().ask(&["SET", "precious", "1"]).unwrap();
        let replica = node(&[]);
        follow(&replica, master.port()).unwrap();
        wait_for_equal_offsets(&master, &replica).unwrap();
        // It saves nothing: what comes back has no data.
        master.crash_and_restart().unwrap();
        assert_eq!(master.client().unwrap().ask_integer(&["DBSIZE"]).unwrap(), 0);
        wait_for_log(&replica, "the master's data set is empty, while ours has 1 keys");
        assert!(link_is_down(&replica));
        let mut client = replica.client().unwrap();
        assert_eq!(client.ask_text(&["GET", "precious"]).unwrap(), "1");
        client.ask(&["CONFIG", "SET", "replica-allow-empty-master", "yes"]).unwrap();
        wait_for_link(&replica).unwrap();
        assert_eq!(client.ask_integer(&["DBSIZE"]).unwrap(), 0);
    }
}

#[test]
fn an_empty_replica_follows_an_empty_master() {
    let (master, replica) = (stock(ServerKind::Redis70), node(&[]));
    follow(&replica, master.port()).unwrap();
    wait_for_link(&replica).unwrap();
}

/// What cannot be applied stops the stream before it, by name and offset; what was there goes on serving.
fn stops_at(kind: ServerKind, command: &[&str], name: &str) {
    let (master, replica) = (stock(kind), node(&[]));
    let mut client = master.client().unwrap();
    client.ask(&["SET", "before", "1"]).unwrap();
    follow(&replica, master.port()).unwrap();
    wait_for_equal_offsets(&master, &replica).unwrap();
    client.ask(&["SET", "shared", "1"]).unwrap();
    let offset = wait_for_equal_offsets(&master, &replica).unwrap();
    client.ask(command).unwrap();
    client.ask(&["SET", "behind", "1"]).unwrap();
    wait_for_log(&replica, &format!("cannot apply '{name}'"));
    wait_for_log(&replica, &format!("at offset {offset}"));
    wait_for_link_loss(&replica).unwrap();
    let mut reader = replica.client().unwrap();
    assert_eq!(reader.ask_integer(&["EXISTS", "before", "shared", "behind"]).unwrap(), 2);
    assert_eq!(info_number(&replica, "replication", "slave_repl_offset").unwrap(), offset);
    // Its master has never been told more than that.
    let line = info(&master, "replication").unwrap().remove("slave0").unwrap_or_default();
    let acknowledged = line.split(',').find_map(|part| part.strip_prefix("offset=")).map(str::to_owned);
    assert!(acknowledged.is_none_or(|told| told.parse::<u64>().unwrap() <= offset), "{line}");
}

#[test]
fn a_command_that_cannot_be_applied_stops_the_stream_at_its_offset() {
    stops_at(ServerKind::Redis70, &["XADD", "stream", "*", "a", "1"], "XADD");
    stops_at(ServerKind::Redis82, &["XADD", "stream", "*", "a", "1"], "XADD");
}

#[test]
fn a_payload_with_what_we_do_not_have_is_refused_by_name() {
    let (master, replica) = (stock(ServerKind::Redis70), node(&[]));
    replica.client().unwrap().ask(&["SET", "ours", "1"]).unwrap();
    master.client().unwrap().ask(&["XADD", "stream", "*", "a", "1"]).unwrap();
    follow(&replica, master.port()).unwrap();
    wait_for_log(&replica, "stream");
    assert!(link_is_down(&replica));
    assert_eq!(replica.client().unwrap().ask_text(&["GET", "ours"]).unwrap(), "1");
}

fn libraries(server: &Server) -> String {
    let reply = server.client().unwrap().call(&["FUNCTION", "LIST", "WITHCODE"]).unwrap();
    // Which comes first is the server's choice.
    let mut each: Vec<String> = reply.elements().unwrap().iter().map(ToString::to_string).collect();
    each.sort();
    each.concat()
}

fn call(client: &mut Client, words: &[&str]) {
    client.ask(words).unwrap();
}

#[test]
fn functions_pass_through_the_node_unread() {
    let (master, mut middle, last) = (stock(ServerKind::Redis70), node(&[]), stock(ServerKind::Redis70));
    let mut client = master.client().unwrap();
    call(&mut client, &["SET", "a", "1"]);
    call(&mut client, &["FUNCTION", "LOAD", LIBRARY]);
    follow(&middle, master.port()).unwrap();
    wait_for_equal_offsets(&master, &middle).unwrap();
    follow(&last, middle.port()).unwrap();
    wait_for_equal_offsets(&middle, &last).unwrap();
    assert_eq!(libraries(&last), libraries(&master), "by a full sync through the node");
    // By the stream: each form that changes them.
    let second = LIBRARY.replace("mylib", "second").replace("'one'", "'two'");
    call(&mut client, &["FUNCTION", "LOAD", &second]);
    call(&mut client, &["FUNCTION", "LOAD", "REPLACE", &LIBRARY.replace("return 1", "return 7")]);
    let dump = client.call(&["FUNCTION", "DUMP"]).unwrap().bytes().unwrap().to_vec();
    call(&mut client, &["FUNCTION", "DELETE", "second"]);
    client.ask(&[b"FUNCTION".as_slice(), b"RESTORE", &dump, b"FLUSH"]).unwrap();
    ensure_same_data(&master, &middle).unwrap();
    ensure_same_data(&middle, &last).unwrap();
    assert_eq!(libraries(&last), libraries(&master));
    // Restarted, the node has them from its own files, and gives them to another replica.
    middle.client().unwrap().ask(&["BGREWRITEAOF"]).unwrap();
    until("the rewrite's end", || {
        let fields = info(&middle, "persistence")?;
        let is = |name: &str, value: &str| fields.get(name).is_some_and(|own| own == value);
        Ok(is("aof_rewrite_in_progress", "0") && !is("aof_base_size", "0"))
    })
    .unwrap();
    middle.crash_and_restart().unwrap();
    let another = stock(ServerKind::Redis82);
    promote(&middle);
    follow(&another, middle.port()).unwrap();
    wait_for_link(&another).unwrap();
    promote(&another);
    assert_eq!(another.client().unwrap().ask_integer(&["FCALL", "two", "0"]).unwrap(), 1);
    assert_eq!(another.client().unwrap().ask_integer(&["FCALL", "one", "0"]).unwrap(), 7);
    follow(&middle, master.port()).unwrap();
    call(&mut client, &["FUNCTION", "FLUSH"]);
    wait_for_equal_offsets(&master, &middle).unwrap();
}

fn promote(server: &Server) {
    server.client().unwrap().ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
}

#[test]
fn what_has_expired_is_gone_for_readers_and_there_for_the_master() {
    let (master, replica) = (stock(ServerKind::Redis70), node(&[]));
    let mut writer = master.client().unwrap();
    writer.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).unwrap();
    follow(&replica, master.port()).unwrap();
    wait_for_link(&replica).unwrap();
    writer.ask(&["SET", "short", "7", "PX", "50"]).unwrap();
    wait_for_equal_offsets(&master, &replica).unwrap();
    let mut reader = replica.client().unwrap();
    until("the key to expire for readers", || Ok(reader.call(&["GET", "short"])?.is_null())).unwrap();
    assert_eq!(reader.ask_integer(&["DBSIZE"]).unwrap(), 1, "only the master deletes it");
    assert_eq!(reader.ask_integer(&["EXISTS", "short"]).unwrap(), 0);
    // Now it does, when it comes across it.
    assert!(writer.call(&["GET", "short"]).unwrap().is_null());
    ensure_same_data(&master, &replica).unwrap();
    assert_eq!(reader.ask_integer(&["DBSIZE"]).unwrap(), 0);
}

#[test]
fn without_its_master_it_answers_as_it_was_told() {
    let mut master = stock(ServerKind::Redis70);
    let replica = node(&["--replica-serve-stale-data", "no"]);
    master.client().unwrap().ask(&["SET", "a", "1"]).unwrap();
    follow(&replica, master.port()).unwrap();
    wait_for_equal_offsets(&master, &replica).unwrap();
    let mut client = replica.client().unwrap();
    assert_eq!(client.ask_text(&["GET", "a"]).unwrap(), "1");
    assert!(client.call(&["SET", "a", "2"]).unwrap().to_string().starts_with("-READONLY"));
    master.stop();
    wait_for_link_loss(&replica).unwrap();
    let refused = client.call(&["GET", "a"]).unwrap().to_string();
    assert!(refused.starts_with("-MASTERDOWN Link with MASTER is down"), "{refused}");
    client.ask(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]).unwrap();
    assert_eq!(client.ask_text(&["GET", "a"]).unwrap(), "1");
}

/// As in Redis: such a write is the replica's alone. It has no offset, and neither the log nor replicas of ours get it.
#[test]
fn a_write_to_a_writable_replica_enters_no_stream() {
    let (master, mut replica) = (stock(ServerKind::Redis70), node(&["--replica-read-only", "no"]));
    follow(&replica, master.port()).unwrap();
    wait_for_link(&replica).unwrap();
    master.client().unwrap().ask(&["SET", "theirs", "1"]).unwrap();
    let offset = wait_for_equal_offsets(&master, &replica).unwrap();
    let mut client = replica.client().unwrap();
    client.ask(&["SET", "own", "1"]).unwrap();
    assert_eq!(client.ask_integer(&["EXISTS", "own", "theirs"]).unwrap(), 2);
    master.client().unwrap().ask(&["SET", "theirs", "2"]).unwrap();
    assert!(wait_for_equal_offsets(&master, &replica).unwrap() > offset);
    replica.crash_and_restart().unwrap();
    follow(&replica, master.port()).unwrap();
    ensure_same_data(&master, &replica).unwrap();
}
