//! A node whose stream has parted from its new master's goes back to the last common byte with what it has on disk, and
//! continues: no full sync, whoever the master is, and what it gave up is kept.

#![allow(clippy::unwrap_used)]

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::{
    SyncCounters, digest, ensure_same_data, follow, info, info_number, wait_for_equal_offsets, wait_for_link,
};
use rejoin_chaos::servers::{Binary, Server, ServerKind};
use rejoin_chaos::wait::until;

const PEERS: [ServerKind; 5] =
    [ServerKind::Redis70, ServerKind::Redis82, ServerKind::Valkey91, ServerKind::Redis62, ServerKind::Node];

fn node(options: &[&str]) -> Server {
    Server::start(&Binary::node(None).unwrap(), options).unwrap()
}

fn peer(kind: ServerKind) -> Server {
    Server::start(&Binary::stock(kind).unwrap(), &[]).unwrap()
}

/// A few writes of each kind in three databases; the last database is one that nothing begins with.
fn write(client: &mut Client, name: &str) {
    let key = |kind: &str| format!("{name}:{kind}");
    for db in ["0", "5", "3"] {
        client.ask(&["SELECT", db]).unwrap();
        for n in 0..50 {
            client.ask(&["SET", &key(&format!("string:{n}")), name]).unwrap();
            client.ask(&["INCRBY", "counter", &n.to_string()]).unwrap();
        }
        client.ask(&["RPUSH", "list", name, "x", "y"]).unwrap();
        client.ask(&["HSET", "hash", name, "1"]).unwrap();
        client.ask(&["SADD", "set", name]).unwrap();
        client.ask(&["ZADD", "scores", "1.5", name]).unwrap();
        client.ask(&["MULTI"]).unwrap();
        client.ask(&["SET", &key("in-transaction"), "1"]).unwrap();
        client.ask(&["DEL", &key("string:7")]).unwrap();
        client.ask(&["EXEC"]).unwrap();
    }
}

fn write_to(server: &Server, name: &str) {
    write(&mut server.client().unwrap(), name);
}

fn promote(server: &Server) {
    server.client().unwrap().ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
}

fn lost_files(server: &Server) -> Vec<std::path::PathBuf> {
    let folders = ["appendonlydir", "replhistory"].map(|folder| server.dir().join(folder));
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let is_lost = |path: &std::path::PathBuf| {
        path.file_name().unwrap().to_str().is_some_and(|name| name.starts_with("lost-"))
    };
    entries.map(|entry| entry.path()).filter(is_lost).collect()
}

/// `node` follows `master` without a full sync, by going back `rewinds` times in all.
fn ensure_continued(node: &Server, master: &Server, before: SyncCounters, rewinds: u64) {
    wait_for_link(node).unwrap();
    let (log, of_master) = (node.log_tail(), master.log_tail());
    ensure_same_data(master, node).unwrap();
    let after = SyncCounters::of(master).unwrap();
    assert_eq!(after.full, before.full, "{log}\n{of_master}");
    assert_eq!(after.partial_ok, before.partial_ok + 1, "{log}\n{of_master}");
    assert_eq!(info_number(node, "replication", "sync_rewinds").unwrap(), rewinds, "{log}");
}

/// The node was master, its replica was promoted, both wrote on.
fn old_master_returns(kind: ServerKind, options: &[&str]) {
    let mut old = node(options);
    let new = peer(kind);
    write_to(&old, "first");
    follow(&new, old.port()).unwrap();
    wait_for_link(&new).unwrap();
    write_to(&old, "shared");
    wait_for_equal_offsets(&old, &new).unwrap();
    promote(&new);
    write_to(&old, "orphaned");
    write_to(&new, "chosen");
    let before = SyncCounters::of(&new).unwrap();
    follow(&old, new.port()).unwrap();
    ensure_continued(&old, &new, before, 1);
    let mut client = old.client().unwrap();
    assert_eq!(client.ask_integer(&["EXISTS", "orphaned:string:1"]).unwrap(), 0);
    assert_eq!(client.ask_integer(&["EXISTS", "shared:string:1", "chosen:string:1"]).unwrap(), 2);
    let lost = lost_files(&old);
    assert_eq!(lost.len(), 1, "{lost:?}");
    let bytes = std::fs::read(&lost[0]).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("*2\r\n$6\r\nSELECT\r\n") && text.contains("orphaned:string:49"), "{text}");
    assert_eq!(info_number(&old, "replication", "lost_tails").unwrap(), 1);
    assert_eq!(info_number(&old, "replication", "lost_tail_bytes").unwrap(), bytes.len() as u64);

    // What it has on disk is what it has: killed, it goes on where it stands.
    write_to(&new, "later");
    wait_for_equal_offsets(&new, &old).unwrap();
    let before = SyncCounters::of(&new).unwrap();
    old.crash_and_restart().unwrap();
    follow(&old, new.port()).unwrap();
    ensure_continued(&old, &new, before, 0);
}

#[test]
fn an_old_master_rejoins_whoever_was_promoted() {
    for kind in PEERS {
        old_master_returns(kind, &["--appendonly", "yes"]);
    }
}

#[test]
fn an_old_master_rejoins_with_small_segments() {
    let options = ["--appendonly", "yes", "--aof-segment-size", "1mb"];
    let old = node(&options);
    let new = peer(ServerKind::Redis70);
    follow(&new, old.port()).unwrap();
    wait_for_link(&new).unwrap();
    let fill = |server: &Server, name: &str| {
        let mut client = server.client().unwrap();
        let value = "x".repeat(1_000);
        for n in 0..3_500 {
            client.queue(&["SET", &format!("{name}:{n}"), &value]);
        }
        client.flush().unwrap();
        client.skip_replies(3_500).unwrap();
    };
    fill(&old, "shared");
    wait_for_equal_offsets(&old, &new).unwrap();
    promote(&new);
    fill(&old, "orphaned");
    fill(&new, "chosen");
    let before = SyncCounters::of(&new).unwrap();
    follow(&old, new.port()).unwrap();
    ensure_continued(&old, &new, before, 1);
    let lost = lost_files(&old);
    assert!(std::fs::metadata(&lost[0]).unwrap().len() > 3_500_000, "{lost:?}");
}

#[test]
fn a_node_that_was_promoted_and_wrote_follows_its_old_master_again() {
    for kind in PEERS {
        let old = peer(kind);
        let node = node(&["--appendonly", "yes"]);
        write_to(&old, "first");
        follow(&node, old.port()).unwrap();
        wait_for_link(&node).unwrap();
        write_to(&old, "shared");
        wait_for_equal_offsets(&old, &node).unwrap();
        // Twice: the second time it goes back on top of what the first left on disk.
        for round in 1..=2 {
            promote(&node);
            write_to(&node, "orphaned");
            write_to(&old, &format!("chosen:{round}"));
            let before = SyncCounters::of(&old).unwrap();
            follow(&node, old.port()).unwrap();
            ensure_continued(&node, &old, before, round);
        }
        assert_eq!(lost_files(&node).len(), 2);
        // Nothing written: nothing to go back for, and still no full sync.
        promote(&node);
        let before = SyncCounters::of(&old).unwrap();
        write_to(&old, "chosen:3");
        follow(&node, old.port()).unwrap();
        ensure_continued(&node, &old, before, 2);
    }
}

#[test]
fn a_node_that_followed_one_who_was_replaced_goes_back_too() {
    for kind in PEERS {
        let (old, new) = (peer(kind), peer(kind));
        let node = node(&["--appendonly", "yes"]);
        for replica in [&new, &node] {
            follow(replica, old.port()).unwrap();
            wait_for_link(replica).unwrap();
        }
        write_to(&old, "shared");
        wait_for_equal_offsets(&old, &new).unwrap();
        promote(&new);
        write_to(&old, "orphaned");
        wait_for_equal_offsets(&old, &node).unwrap();
        write_to(&new, "chosen");
        let before = SyncCounters::of(&new).unwrap();
        follow(&node, new.port()).unwrap();
        ensure_continued(&node, &new, before, 1);
    }
}

#[test]
fn history_alone_is_enough_to_go_back_with() {
    let options = ["--appendonly", "no", "--repl-history", "yes", "--save", ""];
    // Its stream began empty.
    old_master_returns(ServerKind::Redis70, &options);
    // A dump was saved on the way, and another behind the last common byte.
    let mut old = node(&options);
    let new = peer(ServerKind::Redis70);
    follow(&new, old.port()).unwrap();
    wait_for_link(&new).unwrap();
    write_to(&old, "first");
    old.client().unwrap().ask(&["SAVE"]).unwrap();
    write_to(&old, "shared");
    wait_for_equal_offsets(&old, &new).unwrap();
    for round in 1..=2 {
        promote(&new);
        write_to(&old, "orphaned");
        let saves = || info_number(&old, "persistence", "rdb_saves").unwrap();
        let saved_before = saves();
        if round == 2 {
            old.client().unwrap().ask(&["SAVE"]).unwrap();
        }
        write_to(&new, "chosen");
        let before = SyncCounters::of(&new).unwrap();
        follow(&old, new.port()).unwrap();
        ensure_continued(&old, &new, before, round);
        if round == 2 {
            // The dump of what was given up is replaced.
            until("another dump", || Ok(saves() >= saved_before + 2)).unwrap();
        }
        promote(&old);
        follow(&new, old.port()).unwrap();
        wait_for_link(&new).unwrap();
        ensure_same_data(&old, &new).unwrap();
    }
    let data = digest(&mut old.client().unwrap()).unwrap();
    old.crash_and_restart().unwrap();
    assert_eq!(digest(&mut old.client().unwrap()).unwrap(), data, "{}", old.log_tail());
}

fn rewrite(server: &Server) {
    let rewrites = || info_number(server, "persistence", "aof_rewrites");
    let begun = rewrites().unwrap();
    server.client().unwrap().ask(&["BGREWRITEAOF"]).unwrap();
    until("the rewrite's end", || {
        let fields = info(server, "persistence")?;
        Ok(rewrites()? > begun && fields.get("aof_rewrite_in_progress").is_some_and(|flag| flag == "0"))
    })
    .unwrap();
}

/// The base was rewritten behind the last common byte: the one before is history, if that is kept.
#[test]
fn a_base_of_the_history_serves_where_the_live_one_is_too_young() {
    for (keeps_history, is_possible) in [("yes", true), ("no", false)] {
        let mut old = node(&["--appendonly", "yes", "--repl-history", keeps_history]);
        let new = peer(ServerKind::Redis70);
        write_to(&old, "first");
        rewrite(&old);
        follow(&new, old.port()).unwrap();
        wait_for_link(&new).unwrap();
        write_to(&old, "shared");
        wait_for_equal_offsets(&old, &new).unwrap();
        promote(&new);
        write_to(&old, "orphaned");
        rewrite(&old);
        write_to(&old, "orphaned too");
        write_to(&new, "chosen");
        let before = SyncCounters::of(&new).unwrap();
        follow(&old, new.port()).unwrap();
        if !is_possible {
            wait_for_link(&old).unwrap();
            ensure_same_data(&new, &old).unwrap();
            assert_eq!(SyncCounters::of(&new).unwrap().full, before.full + 1);
            let log = old.log_tail();
            assert!(log.contains("Going back is not possible: the log reaches back to offset"), "{log}");
            continue;
        }
        ensure_continued(&old, &new, before, 1);
        until("the new base", || {
            let fields = info(&old, "persistence")?;
            Ok(fields.get("aof_rewrite_in_progress").is_some_and(|flag| flag == "0"))
        })
        .unwrap();
        let data = digest(&mut old.client().unwrap()).unwrap();
        old.restart().unwrap();
        assert_eq!(digest(&mut old.client().unwrap()).unwrap(), data);
    }
}

/// Each is promoted in turn. Only the first sync is a full one, although what was master always has writes that the other
/// never got when it is the node that was.
#[test]
fn failover_back_and_forth_takes_one_full_sync() {
    for kind in [ServerKind::Redis70, ServerKind::Node] {
        let (node, other) = (node(&[]), peer(kind));
        write_to(&other, "first");
        follow(&node, other.port()).unwrap();
        wait_for_link(&node).unwrap();
        let full_syncs = || SyncCounters::of(&node).unwrap().full + SyncCounters::of(&other).unwrap().full;
        assert_eq!(full_syncs(), 1);
        for round in 0..6 {
            write_to(&other, &format!("other:{round}"));
            wait_for_equal_offsets(&other, &node).unwrap();
            promote(&node);
            if kind == ServerKind::Node {
                write_to(&other, "orphaned");
            }
            write_to(&node, &format!("node:{round}"));
            follow(&other, node.port()).unwrap();
            ensure_same_data(&node, &other).unwrap();
            promote(&other);
            write_to(&node, "orphaned");
            write_to(&other, &format!("again:{round}"));
            follow(&node, other.port()).unwrap();
            ensure_same_data(&other, &node).unwrap();
            assert_eq!(full_syncs(), 1, "round {round}: {}{}", node.log_tail(), other.log_tail());
        }
        assert_eq!(info_number(&node, "replication", "sync_rewinds").unwrap(), 6);
    }
}

/// A chain whose middle goes back: who follows it learns the new name, and follows on.
#[test]
fn replicas_of_a_node_that_goes_back_follow_it_there() {
    let (first, second) = (peer(ServerKind::Redis70), peer(ServerKind::Redis70));
    let (middle, last) = (node(&[]), node(&[]));
    follow(&second, first.port()).unwrap();
    follow(&middle, first.port()).unwrap();
    wait_for_link(&second).unwrap();
    wait_for_link(&middle).unwrap();
    follow(&last, middle.port()).unwrap();
    write_to(&first, "shared");
    wait_for_equal_offsets(&middle, &last).unwrap();
    wait_for_equal_offsets(&first, &second).unwrap();
    promote(&second);
    write_to(&first, "orphaned");
    wait_for_equal_offsets(&first, &middle).unwrap();
    wait_for_equal_offsets(&middle, &last).unwrap();
    write_to(&second, "chosen");
    let before = (SyncCounters::of(&second).unwrap(), SyncCounters::of(&middle).unwrap());
    follow(&middle, second.port()).unwrap();
    ensure_same_data(&second, &middle).unwrap();
    until("the end of the chain to be there, too", || Ok(ensure_same_data(&second, &last).is_ok())).unwrap();
    assert_eq!(SyncCounters::of(&second).unwrap().full, before.0.full, "{}", middle.log_tail());
    assert_eq!(
        SyncCounters::of(&middle).unwrap().full,
        before.1.full,
        "{}{}",
        middle.log_tail(),
        last.log_tail()
    );
    assert_eq!(info_number(&last, "replication", "sync_rewinds").unwrap(), 1, "{}", last.log_tail());
}
