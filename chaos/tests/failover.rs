//! FAILOVER with real servers in both places: who is asked takes over, nothing is lost, nobody syncs in full, and the
//! way back works; and what happens when it does not work.

#![allow(clippy::unwrap_used)]

use rejoin_chaos::proxy::Proxy;
use rejoin_chaos::replication::{SyncCounters, digest, follow, info, wait_for_equal_offsets, wait_for_link};
use rejoin_chaos::servers::{Binary, Server, ServerKind};
use rejoin_chaos::wait;
use rustix::process::Signal;

fn start(kind: ServerKind) -> Server {
    let binary = match kind {
        ServerKind::Node => Binary::node(None).unwrap(),
        stock => Binary::stock(stock).unwrap(),
    };
    Server::start(&binary, &["--repl-diskless-sync-delay", "0"]).unwrap()
}

/// `replica` follows `master` and is online there.
fn begin(master: &Server, replica: &Server) {
    follow(replica, master.port()).unwrap();
    wait_for_link(replica).unwrap();
    wait::until("the replica to be online", || {
        let shown = info(master, "replication")?;
        Ok(shown.get("slave0").is_some_and(|line| line.contains("state=online")))
    })
    .unwrap();
}

fn failover_state(server: &Server) -> String {
    info(server, "replication").unwrap()["master_failover_state"].clone()
}

fn role(server: &Server) -> String {
    info(server, "replication").unwrap()["role"].clone()
}

fn ask(server: &Server, args: &[&str]) -> String {
    format!("{:?}", server.client().unwrap().call(args).unwrap())
}

fn wait_for_line(server: &Server, line: &str) {
    wait::until(&format!("{line} in the log of {}", server.binary()), || {
        Ok(std::fs::read_to_string(server.log_path())?.contains(line))
    })
    .unwrap();
}

/// Hands over from `old` to `new`, and writes afterwards.
fn hand_over(old: &Server, new: &Server, args: &[&str], writes: usize) {
    let mut client = old.client().unwrap();
    for number in 0..writes {
        client.ask(&["SET", &format!("key:{number}"), &format!("{}-{number}", old.port())]).unwrap();
    }
    client.ask(args).unwrap();
    wait_for_link(old).unwrap();
    assert_eq!(role(new), "master");
    assert_eq!(failover_state(old), "no-failover");
    assert!(ask(old, &["SET", "a", "b"]).contains("READONLY"));
    new.client().unwrap().ask(&["SET", "after", "it"]).unwrap();
    wait_for_equal_offsets(new, old).unwrap();
    assert_eq!(digest(&mut new.client().unwrap()).unwrap(), digest(&mut old.client().unwrap()).unwrap());
}

fn there_and_back(a: ServerKind, b: ServerKind) {
    let (first, second) = (start(a), start(b));
    begin(&first, &second);
    let port = second.port().to_string();
    hand_over(&first, &second, &["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "60000"], 500);
    wait::until("the old master to be online", || {
        Ok(info(&second, "replication")?.get("slave0").is_some_and(|line| line.contains("state=online")))
    })
    .unwrap();
    hand_over(&second, &first, &["FAILOVER"], 500);
    for (server, full) in [(&first, 1), (&second, 0)] {
        let counters = SyncCounters::of(server).unwrap();
        assert_eq!((counters.full, counters.partial_ok), (full, 1), "{counters}\n{}", server.log_tail());
    }
}

#[test]
fn there_and_back_between_nodes() {
    there_and_back(ServerKind::Node, ServerKind::Node);
}

#[test]
fn there_and_back_with_redis_7_0() {
    there_and_back(ServerKind::Node, ServerKind::Redis70);
    there_and_back(ServerKind::Redis70, ServerKind::Node);
}

#[test]
fn there_and_back_with_valkey_9_1() {
    there_and_back(ServerKind::Node, ServerKind::Valkey91);
    there_and_back(ServerKind::Valkey91, ServerKind::Node);
}

/// A target that does not acknowledge: writes wait, until the time is up, or somebody calls it off.
#[test]
fn a_target_that_hangs_is_given_up() {
    let (master, replica) = (start(ServerKind::Node), start(ServerKind::Node));
    begin(&master, &replica);
    let port = replica.port().to_string();
    replica.signal(Signal::STOP).unwrap();
    let mut client = master.client().unwrap();
    client.ask(&["SET", "k", "v"]).unwrap();
    client.ask(&["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "300"]).unwrap();
    assert_eq!(failover_state(&master), "waiting-for-sync");
    client.ask(&["SET", "k", "w"]).unwrap();
    assert_eq!((failover_state(&master), role(&master)), ("no-failover".to_owned(), "master".to_owned()));
    wait_for_line(
        &master,
        &format!("FAILOVER to 127.0.0.1:{port} aborted: Replica never caught up before timeout"),
    );

    client.ask(&["FAILOVER"]).unwrap();
    assert!(ask(&master, &["FAILOVER"]).contains("ERR FAILOVER already in progress."));
    client.ask(&["FAILOVER", "ABORT"]).unwrap();
    client.ask(&["SET", "k", "x"]).unwrap();
    wait_for_line(&master, "FAILOVER to any replica aborted: Failover manually aborted");
    assert!(ask(&master, &["FAILOVER", "ABORT"]).contains("ERR No failover in progress."));
    replica.signal(Signal::CONT).unwrap();
    wait_for_equal_offsets(&master, &replica).unwrap();
}

/// FORCE: the target takes over as it is when it comes round, and what it did not have is lost, as asked for.
#[test]
fn a_target_is_forced() {
    let (master, replica) = (start(ServerKind::Node), start(ServerKind::Node));
    begin(&master, &replica);
    let port = replica.port().to_string();
    replica.signal(Signal::STOP).unwrap();
    let mut client = master.client().unwrap();
    client.ask(&["SET", "it", "lacks"]).unwrap();
    client.ask(&["FAILOVER", "TO", "127.0.0.1", &port, "FORCE", "TIMEOUT", "100"]).unwrap();
    wait_for_line(&master, &format!("FAILOVER to 127.0.0.1:{port} time out exceeded, failing over."));
    assert_eq!(failover_state(&master), "failover-in-progress");
    replica.signal(Signal::CONT).unwrap();
    wait_for_link(&master).unwrap();
    assert_eq!((role(&replica), failover_state(&master)), ("master".to_owned(), "no-failover".to_owned()));
}

/// The target takes over, and its answer is lost: there is one master all the same, and the old one follows it.
#[test]
fn an_answer_that_is_lost_leaves_one_master() {
    for kind in [ServerKind::Node, ServerKind::Redis70] {
        let (master, replica) = (start(ServerKind::Node), start(kind));
        let proxy = Proxy::start(replica.port()).unwrap();
        let port = proxy.port().to_string();
        replica.client().unwrap().ask(&["CONFIG", "SET", "replica-announce-port", &port]).unwrap();
        begin(&master, &replica);
        master.client().unwrap().ask(&["SET", "k", "v"]).unwrap();
        proxy.drop_at("+CONTINUE");
        master.client().unwrap().ask(&["FAILOVER"]).unwrap();
        wait::until("the answer to be lost", || Ok(!proxy.is_to_drop())).unwrap();
        wait_for_link(&master).unwrap();
        assert_eq!((role(&replica), role(&master)), ("master".to_owned(), "slave".to_owned()));
        assert_eq!(failover_state(&master), "no-failover");
        replica.client().unwrap().ask(&["SET", "k", "w"]).unwrap();
        wait_for_equal_offsets(&replica, &master).unwrap();
        let log = std::fs::read_to_string(master.log_path()).unwrap();
        assert!(!log.contains("aborted"), "{}", master.log_tail());
    }
}

/// FORCE: what the target did not have is kept in a file, also where its answer is lost.
#[test]
fn what_a_forced_target_lacks_is_kept() {
    for is_answer_lost in [false, true] {
        let (master, replica) = (start(ServerKind::Node), start(ServerKind::Node));
        let (way_up, way_down) =
            (Proxy::start(master.port()).unwrap(), Proxy::start(replica.port()).unwrap());
        let port = way_down.port().to_string();
        replica.client().unwrap().ask(&["CONFIG", "SET", "replica-announce-port", &port]).unwrap();
        follow(&replica, way_up.port()).unwrap();
        wait_for_link(&replica).unwrap();
        wait::until("the replica to be online", || {
            Ok(info(&master, "replication")?.get("slave0").is_some_and(|line| line.contains("state=online")))
        })
        .unwrap();
        replica.signal(Signal::STOP).unwrap();
        let mut client = master.client().unwrap();
        // More than the sockets between them hold.
        let value = "x".repeat(1 << 20);
        for number in 0..48 {
            client.ask(&["SET", &format!("key:{number}"), &value]).unwrap();
        }
        client.ask(&["FAILOVER", "TO", "127.0.0.1", &port, "FORCE", "TIMEOUT", "100"]).unwrap();
        wait_for_line(&master, "time out exceeded, failing over.");
        way_up.drop_connections();
        if is_answer_lost {
            way_down.drop_at("+FULLRESYNC");
        }
        replica.signal(Signal::CONT).unwrap();
        wait_for_link(&master).unwrap();
        assert!(!way_down.is_to_drop());
        assert_eq!((role(&replica), role(&master)), ("master".to_owned(), "slave".to_owned()));
        assert_eq!(failover_state(&master), "no-failover");
        wait_for_equal_offsets(&replica, &master).unwrap();
        assert_eq!(
            digest(&mut replica.client().unwrap()).unwrap(),
            digest(&mut master.client().unwrap()).unwrap()
        );
        assert_eq!(info(&master, "replication").unwrap()["lost_tails"], "1", "{}", master.log_tail());
    }
}

/// The target dies once it is to take over: we ask again and again, as Redis does, until somebody calls it off; and are a
/// master again then, under a new name.
#[test]
fn a_target_that_dies_in_the_middle_is_called_off() {
    let (master, replica) = (start(ServerKind::Node), start(ServerKind::Node));
    begin(&master, &replica);
    let replid = info(&master, "replication").unwrap()["master_replid"].clone();
    let port = replica.port().to_string();
    replica.signal(Signal::STOP).unwrap();
    let mut client = master.client().unwrap();
    client.ask(&["SET", "it", "lacks"]).unwrap();
    client.ask(&["FAILOVER", "TO", "127.0.0.1", &port, "FORCE", "TIMEOUT", "1"]).unwrap();
    wait_for_line(&master, "time out exceeded, failing over.");
    replica.signal(Signal::KILL).unwrap();
    assert_eq!(
        (role(&master), failover_state(&master)),
        ("slave".to_owned(), "failover-in-progress".to_owned())
    );
    wait_for_line(&master, "it is asked again, and writes wait. FAILOVER ABORT");
    client.ask(&["FAILOVER", "ABORT"]).unwrap();
    client.ask(&["SET", "k", "v"]).unwrap();
    let shown = info(&master, "replication").unwrap();
    assert_eq!((shown["role"].as_str(), &shown["master_replid2"]), ("master", &replid));
}

/// Who is asked and follows another stream refuses, and we stay the master.
#[test]
fn a_target_that_is_no_replica_of_ours_refuses() {
    let (master, replica, other) =
        (start(ServerKind::Node), start(ServerKind::Node), start(ServerKind::Node));
    begin(&master, &replica);
    let port = replica.port().to_string();
    let mut client = master.client().unwrap();
    replica.signal(Signal::STOP).unwrap();
    client.ask(&["SET", "it", "lacks"]).unwrap();
    client.ask(&["FAILOVER", "TO", "127.0.0.1", &port, "FORCE", "TIMEOUT", "1"]).unwrap();
    wait_for_line(&master, "time out exceeded, failing over.");
    // By the time it hears of it, it has been told to be a master of its own.
    let mut teller = replica.client().unwrap();
    teller.queue(&["REPLICAOF", "NO", "ONE"]);
    teller.flush().unwrap();
    replica.signal(Signal::CONT).unwrap();
    let refused = format!("FAILOVER to 127.0.0.1:{port} aborted: Failover target rejected psync request");
    wait::until("an answer", || Ok(failover_state(&master) == "no-failover")).unwrap();
    // Either came first; both leave one defined state.
    if role(&master) == "master" {
        wait_for_line(&master, &refused);
        client.ask(&["SET", "k", "v"]).unwrap();
    } else {
        assert_eq!(role(&replica), "master");
    }
    assert!(
        ask(&other, &["PSYNC", "a", "1", "FAILOVER"])
            .contains("ERR PSYNC FAILOVER can't be sent to a master.")
    );
}

/// A second replica comes along: it learns the new name and continues.
#[test]
fn others_continue_behind_the_new_master() {
    let (master, target, other) =
        (start(ServerKind::Node), start(ServerKind::Node), start(ServerKind::Redis70));
    begin(&master, &target);
    begin(&master, &other);
    wait::until("two replicas", || {
        let shown = info(&master, "replication")?;
        Ok(shown.get("slave1").is_some_and(|line| line.contains("state=online")))
    })
    .unwrap();
    let port = target.port().to_string();
    hand_over(&master, &target, &["FAILOVER", "TO", "127.0.0.1", &port], 100);
    wait_for_equal_offsets(&target, &other).unwrap();
    assert_eq!(digest(&mut target.client().unwrap()).unwrap(), digest(&mut other.client().unwrap()).unwrap());
    let counters = SyncCounters::of(&master).unwrap();
    assert_eq!((counters.full, counters.partial_ok), (2, 1), "{counters}\n{}", master.log_tail());
}
