use rejoin_protocol::{NextOffset, ReplicaId, ReplicationId};

use super::*;
use crate::{
    Role,
    effect::WantedStream,
    node::{
        failover::FailoverRequest,
        status::{ReplicaStatus, UpstreamStatus},
    },
};

#[test]
fn replicaof_asks_the_node_to_follow_and_ends_the_turn() {
    let mut node = Node::new();
    let mut bytes = Vec::new();
    encode_command(&mut bytes, &["replicaof", "10.0.0.1", "6380"]);
    encode_command(&mut bytes, &["set", "k", "v"]);
    node.receive(1, &bytes);
    let report = node.turn();
    assert_eq!(report, TurnReport { executed: 1, held_back: 1, ended_early: true });
    assert_eq!(node.effects(), [Effect::Follow { host: "10.0.0.1".to_owned(), port: 6380 }]);
    node.engine.role = Role::Replica;
    assert_eq!(node.replies(1), "+OK -READONLY You can't write against a read only replica.");
    check(
        &mut node,
        &[
            ("replicaof 10.0.0.1 6380", "+OK Already connected to specified master"),
            ("config get replicaof", "*2 $9 replicaof $13 10.0.0.1 6380"),
            ("slaveof no one", "+OK"),
            ("replicaof localhost abc", "-ERR Invalid master port"),
            ("replicaof localhost 70000", "-ERR Invalid master port"),
        ],
    );
    assert_eq!(node.effects(), [Effect::Unfollow]);
    node.engine.role = Role::Master;
    assert_eq!(node.send(1, "replicaof no one"), "+OK");
    assert!(node.effects().is_empty());
}

#[test]
fn a_replica_introduces_itself_and_leaves_the_shard() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("replconf", "+OK"),
            ("replconf a", "-ERR syntax error"),
            ("replconf foo bar", "-ERR Unrecognized REPLCONF option: foo"),
            ("replconf listening-port abc", "-ERR value is not an integer or out of range"),
            ("replconf listening-port 7000 ip-address 10.1.1.1", "+OK"),
            ("replconf capa eof capa psync2 capa something-new", "+OK"),
            ("replconf version 9.1.2", "+OK"),
            ("replconf ack 5", ""),
            ("psync ? x", "-ERR value is not an integer or out of range"),
            ("psync ? -1", ""),
        ],
    );
    let hello = node.session(1).replica_hello.clone();
    assert!(hello.capa_eof && hello.capa_psync2 && hello.listening_port == 7000);
    assert_eq!(hello.ip_address.as_deref(), Some("10.1.1.1"));
    let wanted = WantedStream::Psync { replid: None, from: None, failover: false };
    assert_eq!(node.effects(), [Effect::AttachReplica { client: ClientId::new(1), wanted }]);
    // What it has sent behind PSYNC goes with the connection.
    node.receive(1, b"*1\r\n$4\r\nping\r\n*1\r\n$4");
    assert_eq!(node.turn().executed, 0);
    assert_eq!(node.inputs[0].take_unexecuted(), b"*1\r\n$4\r\nping\r\n*1\r\n$4");

    let id = "ab".repeat(20);
    let refused = "-ERR PSYNC FAILOVER can't be sent to a master.";
    assert_eq!(node.send(2, &format!("psync {id} 501 failover")), refused);
    node.engine.role = Role::Replica;
    node.engine.settings.replicaof = Some(("10.0.0.1".to_owned(), 6379));
    let refused = "-ERR PSYNC FAILOVER replid must match my replid.";
    assert_eq!(node.send(2, &format!("psync {id} 501 failover")), refused);
    node.engine.status.replid = ReplicationId::parse(id.as_bytes()).unwrap_or(ReplicationId::NONE);
    assert_eq!(node.send(2, &format!("psync {id} 501 failover")), "");
    assert!(
        node.engine.settings.replicaof.is_some(),
        "nothing has happened yet: whoever carries it out clears it"
    );
    (node.engine.role, node.engine.settings.replicaof) = (Role::Master, None);
    let wanted = WantedStream::Psync {
        replid: ReplicationId::parse(id.as_bytes()),
        from: Some(NextOffset::new(501)),
        failover: true,
    };
    assert_eq!(node.effects(), [Effect::AttachReplica { client: ClientId::new(2), wanted }]);
    node.send(3, "sync");
    assert_eq!(
        node.effects(),
        [Effect::AttachReplica { client: ClientId::new(3), wanted: WantedStream::Sync }]
    );
}

fn replica(offset: u64) -> ReplicaStatus {
    ReplicaStatus {
        id: ReplicaId::new(offset),
        ip: "10.0.0.2".to_owned(),
        port: 7000,
        state: "online",
        offset: Offset::new(offset),
        offset_durable: Offset::ZERO,
        acked_at: UnixMillis::new(999_000),
    }
}

fn upstream(state: &'static str) -> UpstreamStatus {
    UpstreamStatus {
        host: "10.0.0.1".to_owned(),
        port: 6380,
        state,
        last_io: UnixMillis::new(998_000),
        down_since: Some(UnixMillis::new(990_000)),
        sync_read_bytes: 10,
        sync_total_bytes: Some(40),
        read_offset: Offset::new(120),
    }
}

#[test]
fn role_and_info_tell_the_place_in_replication() {
    let mut node = Node::new();
    node.engine.status.replicas.push(replica(7));
    node.engine.status.replicas.push(ReplicaStatus { state: "send_bulk", ..replica(0) });
    assert_eq!(node.send(1, "role"), "*3 $6 master :0 *1 *3 $8 10.0.0.2 $4 7000 $1 7");
    let info = node.send(1, "info replication");
    assert!(
        info.contains(
            "connected_slaves:2 slave0:ip=10.0.0.2,port=7000,state=online,offset=7,lag=1 \
             slave1:ip=10.0.0.2,port=7000,state=send_bulk,offset=0,lag=0 "
        ),
        "{info}"
    );

    node.engine.role = Role::Replica;
    node.engine.log.restart(Offset::new(100), None);
    node.engine.status.upstream = Some(upstream("connected"));
    assert_eq!(node.send(1, "role"), "*5 $5 slave $8 10.0.0.1 :6380 $9 connected :100");
    let info = node.send(1, "info replication");
    for line in [
        "role:slave master_host:10.0.0.1 master_port:6380 master_link_status:up master_last_io_seconds_ago:2 \
         master_sync_in_progress:0 slave_read_repl_offset:120 slave_repl_offset:100 slave_priority:100 ",
        " master_repl_offset:100 ",
    ] {
        assert!(info.contains(line), "{line} not in {info}");
    }
    node.engine.status.upstream = Some(upstream("sync"));
    let info = node.send(1, "info replication");
    assert!(info.contains("master_link_status:down"), "{info}");
    assert!(
        info.contains("master_sync_left_bytes:30 ") && info.contains("master_link_down_since_seconds:10 "),
        "{info}"
    );
    assert_eq!(node.send(1, "psync ? -1"), "-NOMASTERLINK Can't SYNC while not connected with my master");
}

#[test]
fn wait_answers_when_enough_replicas_hold_the_writes() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("wait 0 0", ":0"),
            ("wait a 0", "-ERR value is not an integer or out of range"),
            ("wait 0 a", "-ERR timeout is not an integer or out of range"),
            ("wait 0 -1", "-ERR timeout is negative"),
            ("wait 0 9223372036854775807", "-ERR timeout is out of range"),
            ("set k v", "+OK"),
        ],
    );
    let written = node.engine.log.offset();
    node.logged();
    node.engine.status.replicas = vec![replica(0), replica(written.get())];
    assert_eq!(node.send(1, "wait 1 0"), ":1");
    assert_eq!(node.send(1, "wait 2 100"), "");
    assert_eq!(node.logged(), "REPLCONF GETACK *");
    assert_eq!(node.send(1, "ping"), "", "a client in WAIT is not served");
    assert!(node.engine.answer_waiting().is_empty());
    assert_eq!(node.engine.next_wait_deadline(), Some(UnixMillis::new(1_000_100)));
    node.engine.status.replicas[0].offset = written;
    assert_eq!(node.engine.answer_waiting(), [ClientId::new(1)]);
    assert_eq!(node.replies(1), ":2 +PONG");

    assert_eq!(node.send(1, "wait 3 100"), "");
    node.engine.now = UnixMillis::new(1_000_100);
    assert_eq!(node.engine.answer_waiting(), [ClientId::new(1)]);
    assert_eq!(node.replies(1), ":2");
    check(&mut node, &[("multi", "+OK"), ("wait 3 0", "+QUEUED"), ("exec", "*1 :2")]);
    assert_eq!(node.send(1, "wait 3 0"), "");
    assert!(node.engine.session_closed(ClientId::new(1)).is_some());
    assert!(node.engine.answer_waiting().is_empty() && node.engine.waiting.is_empty());
}

#[test]
fn waitaof_in_redis_words() {
    let mut node = Node::new();
    const NO_LOG: &str = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    check(
        &mut node,
        &[
            ("waitaof 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
            ("waitaof -1 0 0", "-ERR value is out of range, value must between 0 and 1"),
            ("waitaof x 0 0", "-ERR value is not an integer or out of range"),
            ("waitaof 0 -1 0", "-ERR value is out of range, must be positive"),
            ("waitaof 0 x 0", "-ERR value is out of range, must be positive"),
            ("waitaof 0 0 -1", "-ERR timeout is negative"),
            ("waitaof 0 0 9223372036854775807", "-ERR timeout is out of range"),
            ("waitaof 0 0 x", "-ERR timeout is not an integer or out of range"),
            ("waitaof 1 0 0", NO_LOG),
            ("waitaof 0 0 0", "*2 :0 :0"),
        ],
    );
    node.engine.role = Role::Replica;
    check(
        &mut node,
        &[(
            "waitaof 1 0 0",
            "-ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just \
             local and are not propagated.",
        )],
    );
}

#[test]
fn waitaof_answers_when_the_disks_have_it() {
    let mut node = Node::new();
    node.engine.status.log.is_on = true;
    node.engine.status.replicas = vec![replica(0), replica(1)];
    assert_eq!(node.send(1, "set k v"), "+OK");
    let (written, now) = (node.engine.log.offset(), node.engine.now);
    node.logged();
    assert_eq!(node.send(1, "waitaof 1 1 100"), "");
    assert_eq!(node.logged(), "REPLCONF GETACK *");
    assert!(node.engine.waits_for_acks());
    node.engine.note_ack(ReplicaId::new(1), written, Offset::new(written.get() - 1), now);
    node.engine.status.log.offset_durable = Some(written);
    assert!(node.engine.answer_waiting().is_empty(), "applied there, but not on its disk");
    node.engine.note_ack(ReplicaId::new(1), written, written, now);
    // One that arrives late takes nothing back.
    node.engine.note_ack(ReplicaId::new(1), Offset::ZERO, Offset::ZERO, UnixMillis::new(0));
    assert_eq!(node.engine.answer_waiting(), [ClientId::new(1)]);
    assert_eq!(node.replies(1), "*2 :1 :1");

    node.engine.status.log.offset_durable = None;
    assert_eq!(node.send(1, "waitaof 1 2 100"), "");
    node.engine.now = UnixMillis::new(now.get() + 100);
    assert_eq!(node.engine.answer_waiting(), [ClientId::new(1)]);
    assert_eq!(node.replies(1), "*2 :0 :1", "when the time is up it tells what is");
    assert_eq!(node.send(1, "waitaof 1 0 0"), "");
    node.engine.status.log.is_on = false;
    assert_eq!(node.engine.answer_waiting(), [ClientId::new(1)]);
    let refused = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    assert_eq!(node.replies(1), refused);
    check(&mut node, &[("multi", "+OK"), ("waitaof 0 3 0", "+QUEUED"), ("exec", "*1 *2 :0 :1")]);
}

#[test]
fn failover_in_redis_words() {
    let mut node = Node::new();
    const FORCE: &str = "-ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
    check(
        &mut node,
        &[
            ("failover abort", "-ERR No failover in progress."),
            ("failover", "-ERR FAILOVER requires connected replicas."),
            ("failover foo", "-ERR syntax error"),
            ("failover to 10.0.0.2", "-ERR syntax error"),
            ("failover force force", "-ERR syntax error"),
            ("failover timeout 0", "-ERR FAILOVER timeout must be greater than 0"),
            ("failover timeout x", "-ERR value is not an integer or out of range"),
            ("failover to 10.0.0.2 x", "-ERR value is not an integer or out of range"),
        ],
    );
    node.engine.status.replicas.push(ReplicaStatus { state: "send_bulk", ..replica(1) });
    check(
        &mut node,
        &[
            ("failover to 10.0.0.2 7000 force", FORCE),
            ("failover force timeout 5", FORCE),
            ("failover to 10.0.0.2 7001", "-ERR FAILOVER target HOST and PORT is not a replica."),
            ("failover to 10.0.0.2 7000", "-ERR FAILOVER target replica is not online."),
        ],
    );
    assert!(node.effects().is_empty());
    node.engine.role = Role::Replica;
    check(&mut node, &[("failover", "-ERR FAILOVER is not valid when server is a replica.")]);
}

#[test]
fn a_failover_stops_the_writes_and_asks_the_replicas_at_once() {
    let mut node = Node::new();
    node.engine.status.replicas.push(replica(1));
    check(
        &mut node,
        &[
            ("set k v", "+OK"),
            ("set short lived px 100", "+OK"),
            ("failover to 10.0.0.2 7000 timeout 50", "+OK"),
        ],
    );
    let request = FailoverRequest {
        target: Some(("10.0.0.2".to_owned(), 7000)),
        timeout_millis: Some(50),
        is_forced: false,
    };
    assert_eq!(node.effects(), [Effect::StartFailover { request: request.clone() }]);
    node.logged();
    let end = node.engine.log.offset();
    let sufficient = node.engine.ask_for_failover(&request);
    assert_eq!(node.logged(), "REPLCONF GETACK *; REPLCONF GETACK *");
    assert_eq!(sufficient.get(), end.get() + 37, "the answer to the second one");
    check(
        &mut node,
        &[
            ("get k", "$1 v"),
            ("failover", "-ERR FAILOVER already in progress."),
            ("replicaof no one", "-ERR REPLICAOF not allowed while failing over."),
            ("psync ? -1", "-NOMASTERLINK Can't SYNC while failing over"),
            ("client unpause", "+OK"),
        ],
    );
    assert!(node.send(1, "info replication").contains("master_failover_state:waiting-for-sync"));
    assert_eq!(node.send(2, "set k w"), "", "whatever CLIENT UNPAUSE says");
    node.engine.now = UnixMillis::new(node.engine.now.get() + 10_000);
    assert_eq!(node.engine.expire_due(10), 0);
    assert_eq!(node.send(1, "get short"), "$-1");
    assert_eq!(node.logged(), "", "what has expired is only hidden");
    node.engine.end_failover();
    node.turn();
    assert_eq!(node.replies(2), "+OK");

    node.engine.status.replicas[0].offset = node.engine.log.offset();
    node.logged();
    assert_eq!(node.engine.ask_for_failover(&request), node.engine.log.offset());
    assert_eq!(node.logged(), "", "who has everything is not asked");
}

#[test]
fn info_tells_how_many_replicas_are_good() {
    let mut node = Node::new();
    node.engine.status.replicas.push(replica(1));
    assert!(!node.send(1, "info replication").contains("min_slaves_good_slaves"));
    node.send(1, "config set min-replicas-to-write 1");
    assert!(node.send(1, "info replication").contains("connected_slaves:1 min_slaves_good_slaves:1 slave0:"));
    node.engine.role = Role::Replica;
    node.engine.status.upstream = Some(upstream("connected"));
    assert!(node.send(1, "info replication").contains("replica_announced:1"));
    node.send(1, "config set replica-announced no");
    assert!(node.send(1, "info replication").contains("replica_announced:0"));
}
