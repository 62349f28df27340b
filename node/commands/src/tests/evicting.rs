//! `maxmemory`: what goes, what stays, what is refused, and what the log says of it.

use rejoin_protocol::{Offset, ReplicaId, UnixMillis};

use super::{Node, check};
use crate::{Effect, Role, node::status::ReplicaStatus};

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

/// A node with `count` keys, one made each second, and the limit of memory at what they take.
fn full(policy: &str, count: usize) -> Node {
    let mut node = Node::new();
    assert_eq!(node.send(1, &format!("config set maxmemory-policy {policy}")), "+OK");
    for number in 0..count {
        pass(&mut node, 1_000);
        assert_eq!(node.send(1, &format!("set key:{number} {}", "v".repeat(100))), "+OK");
    }
    limit(&mut node, 0);
    node.logged();
    node
}

fn pass(node: &mut Node, millis: i64) {
    node.engine.now = UnixMillis::new(node.engine.now.get() + millis);
}

/// Sets the limit to what is used and so many bytes more.
fn limit(node: &mut Node, more: u64) {
    let limit = node.engine.bytes_counted() + more;
    assert_eq!(node.send(1, &format!("config set maxmemory {limit}")), "+OK");
}

fn kept(node: &mut Node, keys: impl Iterator<Item = usize>) -> usize {
    let exists = |number: &usize| node.send(1, &format!("object encoding key:{number}")) != "$-1";
    keys.filter(exists).count()
}

fn evicted(node: &Node) -> u64 {
    node.engine.stats.evicted_keys
}

#[test]
fn without_a_policy_what_takes_memory_is_refused() {
    let mut node = full("noeviction", 20);
    assert_eq!(node.send(1, "config set maxmemory 100"), "+OK");
    check(
        &mut node,
        &[
            ("set k v", OOM),
            ("lpush l a", OOM),
            ("get key:1", &format!("$100 {}", "v".repeat(100))),
            ("nosuch", "-ERR unknown command 'nosuch', with args beginning with:"),
            ("set k", "-ERR wrong number of arguments for 'set' command"),
            ("del key:1", ":1"),
            ("multi", "+OK"),
            ("get key:2", OOM),
            ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
    assert_eq!(evicted(&node), 0);
    // Queued while there was room, executed when there is none.
    check(&mut node, &[("config set maxmemory 0", "+OK"), ("multi", "+OK"), ("set k v", "+QUEUED")]);
    node.send(2, "config set maxmemory 100");
    let aborted = format!("-EXECABORT Transaction discarded because of: {}", &OOM[1..]);
    check(&mut node, &[("exec", &aborted), ("exists k", ":0")]);
}

#[test]
fn evictions_are_logged_as_deletions_before_the_command_that_needs_room() {
    let mut node = full("allkeys-lru", 50);
    limit(&mut node, 1);
    assert_eq!(node.send(1, "set a-larger-key-than-the-others x"), "+OK");
    assert_eq!(evicted(&node), 0, "room is made before a command, not for it");
    assert_eq!(node.send(1, "ping"), "+PONG");
    assert_eq!(evicted(&node), 1);
    let log = node.logged();
    assert!(log.starts_with("SELECT 0; set a-larger") || log.starts_with("set a-larger"), "{log}");
    assert!(log.contains("; DEL key:"), "{log}");
}

/// As Redis documents it: fill, use one half again, add half as much: the other half goes.
#[test]
fn lru_keeps_what_was_used() {
    let mut node = full("allkeys-lru", 400);
    node.send(1, "config set maxmemory-samples 10");
    for number in 0..200 {
        pass(&mut node, 100);
        node.send(1, &format!("get key:{number}"));
    }
    for number in 400..500 {
        pass(&mut node, 1_000);
        assert_eq!(node.send(1, &format!("set key:{number} {}", "v".repeat(100))), "+OK");
    }
    assert!((90..=110).contains(&evicted(&node)), "{}", evicted(&node));
    assert_eq!(kept(&mut node, 400..500), 100, "what was just added");
    let used = kept(&mut node, 0..200);
    assert!(used >= 195, "{used} of 200 that were used were kept");
}

#[test]
fn lfu_keeps_what_is_used_often() {
    let mut node = full("allkeys-lfu", 200);
    node.send(1, "config set maxmemory-samples 10");
    node.send(1, "config set lfu-decay-time 0");
    for _ in 0..30 {
        for number in 0..100 {
            node.send(1, &format!("get key:{number}"));
        }
    }
    let often = node.send(1, "object freq key:1");
    assert!(often.strip_prefix(':').is_some_and(|count| count.parse::<u8>().unwrap() > 5), "{often}");
    assert_eq!(node.send(1, "object freq key:150"), ":5");
    check(
        &mut node,
        &[(
            "object idletime key:1",
            "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        )],
    );
    for number in 200..280 {
        assert_eq!(node.send(1, &format!("set key:{number} {}", "v".repeat(100))), "+OK");
    }
    let (often, rarely) = (kept(&mut node, 0..100), kept(&mut node, 100..280));
    assert!(often >= 97, "{often} of 100 that were used often were kept, {rarely} of 180 others");
}

#[test]
fn volatile_policies_spare_what_has_no_expiry() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let mut node = full(policy, 60);
        node.send(1, "config set maxmemory 0");
        for number in 0..20 {
            node.send(1, &format!("expire key:{number} {}", 1_000 - number));
        }
        limit(&mut node, 0);
        for number in 60..70 {
            assert_eq!(node.send(1, &format!("set key:{number} {}", "v".repeat(100))), "+OK", "{policy}");
        }
        node.send(1, "ping");
        assert_eq!(kept(&mut node, 20..70), 50, "{policy}");
        let left = kept(&mut node, 0..20);
        assert!((8..=12).contains(&left), "{policy}: {left}");
        if policy == "volatile-ttl" {
            assert_eq!(kept(&mut node, 0..left), left, "those that expire first are gone");
        }
        // When all of them are gone, nothing more may go.
        node.send(1, "config set maxmemory 1");
        assert_eq!(node.send(1, "set k v"), OOM, "{policy}");
        assert_eq!((kept(&mut node, 0..20), kept(&mut node, 20..70)), (0, 50), "{policy}");
    }
}

#[test]
fn a_random_policy_takes_from_every_database() {
    let mut node = full("allkeys-random", 30);
    node.send(1, "select 3");
    for number in 0..30 {
        node.send(1, &format!("set other:{number} {}", "v".repeat(100)));
    }
    let before = node.engine.bytes_counted();
    node.logged();
    node.send(1, &format!("config set maxmemory {}", before / 2));
    node.send(1, "ping");
    let sizes = [node.send(1, "dbsize"), node.send(2, "dbsize")];
    assert!(sizes.iter().all(|size| size != ":0" && size != ":30"), "{sizes:?}");
    assert!(node.logged().contains("SELECT 3"));
}

#[test]
fn one_command_evicts_a_bounded_number_and_ticks_go_on() {
    const LIMIT: u64 = 20_000;
    let mut node = full("allkeys-lru", 600);
    node.send(1, &format!("config set maxmemory {LIMIT}"));
    node.send(1, "ping");
    let first = evicted(&node);
    assert!((1..=160).contains(&first), "{first}");
    while node.engine.tend_memory(64) {}
    assert!(node.engine.bytes_counted() <= LIMIT);
    let mut node = full("allkeys-lru", 600);
    node.send(1, "config set maxmemory-eviction-tenacity 100");
    node.send(1, &format!("config set maxmemory {LIMIT}"));
    node.send(1, "ping");
    assert!(evicted(&node) > 160 && node.engine.bytes_counted() <= LIMIT);
}

#[test]
fn a_replica_leaves_eviction_to_its_master_unless_told_otherwise() {
    let mut node = full("allkeys-lru", 50);
    node.engine.role = Role::Replica;
    node.send(1, "config set maxmemory 1000");
    node.send(1, "ping");
    assert_eq!(evicted(&node), 0);
    node.send(1, "config set replica-ignore-maxmemory no");
    node.send(1, "ping");
    assert!(evicted(&node) > 0);
    assert_eq!(node.logged(), "", "its log is its master's");
}

#[test]
fn writes_ask_for_replicas_that_are_near() {
    let mut node = Node::new();
    const REFUSED: &str = "-NOREPLICAS Not enough good replicas to write.";
    check(
        &mut node,
        &[
            ("config set min-replicas-to-write 1", "+OK"),
            ("set k v", REFUSED),
            ("get k", "$-1"),
            ("multi", "+OK"),
            ("set k v", REFUSED),
            ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
    let now = node.engine.now;
    node.engine.status.replicas.push(ReplicaStatus {
        id: ReplicaId::new(1),
        ip: String::new(),
        port: 0,
        state: "online",
        offset: Offset::ZERO,
        offset_durable: Offset::ZERO,
        acked_at: now,
    });
    check(&mut node, &[("set k v", "+OK")]);
    pass(&mut node, 10_000);
    check(&mut node, &[("set k v", "+OK")]);
    pass(&mut node, 1);
    check(
        &mut node,
        &[("set k v", REFUSED), ("config set min-replicas-max-lag 0", "+OK"), ("set k v", "+OK")],
    );
}

#[test]
fn the_clock_of_accesses_runs_for_reads_and_writes() {
    let mut node = Node::new();
    node.send(1, "set s x");
    node.send(1, "hset h f v");
    pass(&mut node, 20_000);
    check(
        &mut node,
        &[("object idletime s", ":20"), ("object idletime h", ":20"), ("object encoding s", "$6 embstr")],
    );
    // Neither OBJECT nor a client that spares the clocks counts as use.
    check(&mut node, &[("client no-touch on", "+OK"), ("get s", "$1 x"), ("hset h f w", ":0")]);
    check(&mut node, &[("object idletime s", ":20"), ("object idletime h", ":20"), ("touch s", ":1")]);
    check(&mut node, &[("object idletime s", ":0"), ("client no-touch off", "+OK")]);
    pass(&mut node, 5_000);
    check(&mut node, &[("hset h f x", ":0"), ("object idletime h", ":0"), ("object idletime s", ":5")]);
    check(&mut node, &[("rename s t", "+OK"), ("object idletime none", "$-1")]);
}

#[test]
fn the_largest_clients_are_closed_when_all_take_too_much() {
    let mut node = Node::new();
    node.send(3, "client no-evict on");
    node.session(2).out = vec![0; 160_000];
    node.session(3).out = vec![0; 190_000];
    node.engine.settings.maxmemory_clients = crate::settings::ClientsMemory::Bytes(150_000);
    node.engine.tend_clients();
    let closed = node.effects();
    assert!(
        matches!(closed.as_slice(), [Effect::CloseClient { client, after_reply: false }] if client.get() == 2),
        "{closed:?}"
    );
    assert_eq!(node.engine.stats.evicted_clients, 1);
    assert!(node.session(2).closing && !node.session(1).closing);
}
