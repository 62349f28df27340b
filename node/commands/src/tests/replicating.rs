use rejoin_protocol::{NextOffset, ReplicationId};

use super::*;
use crate::{
    Role,
    effect::WantedStream,
    node::status::{ReplicaStatus, UpstreamStatus},
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
    node.send(2, &format!("psync {id} 501 failover"));
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
        ip: "10.0.0.2".to_owned(),
        port: 7000,
        state: "online",
        offset: Offset::new(offset),
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
    assert_eq!(node.send(1, "role"), "*3 $6 master :0 *1 *3 $8 10.0.0.2 $4 7000 $1 7");
    let info = node.send(1, "info replication");
    assert!(
        info.contains("connected_slaves:1 slave0:ip=10.0.0.2,port=7000,state=online,offset=7,lag=1 "),
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
