//! The node between real servers: as the master of each, as the replica of each, and in the middle of a chain.

#![allow(clippy::unwrap_used)]

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::{ensure_same_data, follow, wait_for_equal_offsets};
use rejoin_chaos::servers::{Binary, Server, ServerKind};

fn node() -> Server {
    Server::start(&Binary::node(None).unwrap(), &[]).unwrap()
}

fn stock(kind: ServerKind) -> Server {
    Server::start(&Binary::stock(kind).unwrap(), &[]).unwrap()
}

/// Sets and sorted sets of every form, written by every way whose effect is logged as another command; how many commands
/// that takes. Scores are such that all versions digest them alike.
fn write_sets(client: &mut Client, generation: &str) -> usize {
    let key = |name: &str| format!("{generation}:{name}");
    let mut commands: Vec<Vec<String>> = Vec::new();
    let mut push = |words: &str| commands.push(words.split(' ').map(str::to_owned).collect());
    for n in 0..600 {
        push(&format!("SADD {} {}", key("integers"), n * 1_000_003));
        push(&format!("SADD {} member:{n}", key("large-set")));
        push(&format!("ZADD {} {} member:{n}", key("large-scores"), f64::from(n % 50) / 4.0));
    }
    for n in 0..100 {
        push(&format!("SADD {} {n} member:{n}", key("small-set")));
        push(&format!("SADD {} {}", key("small-integers"), n - 50));
        push(&format!("ZADD {} {} member:{n}", key("scores"), n % 7));
    }
    for set in ["integers", "large-set", "small-set", "small-integers"] {
        push(&format!("SPOP {}", key(set)));
        push(&format!("SPOP {} 7", key(set)));
        push(&format!("SUNIONSTORE {} {} {}", key(&format!("union-{set}")), key(set), key("small-set")));
        push(&format!("SINTERSTORE {} {} {}", key(&format!("inter-{set}")), key(set), key("large-set")));
        push(&format!("SDIFFSTORE {} {} {}", key(&format!("diff-{set}")), key(set), key("integers")));
    }
    push(&format!("SMOVE {} {} member:5", key("large-set"), key("moved")));
    push(&format!("SADD {} a b c", key("emptied")));
    push(&format!("SPOP {} 5", key("emptied")));
    for set in ["large-scores", "scores"] {
        push(&format!("ZINCRBY {} 1.5 member:9", key(set)));
        push(&format!("ZADD {} GT CH 100 member:8 -100 member:7", key(set)));
        push(&format!("ZADD {} inf most -inf least", key(set)));
        push(&format!("ZPOPMIN {} 3", key(set)));
        push(&format!("ZPOPMAX {}", key(set)));
        push(&format!("ZREMRANGEBYRANK {} 0 4", key(set)));
        push(&format!("ZREMRANGEBYSCORE {} 2 3", key(set)));
        push(&format!("ZRANGESTORE {} {} 0 60", key(&format!("range-{set}")), key(set)));
        push(&format!(
            "ZUNIONSTORE {} 2 {} {} WEIGHTS 2 3",
            key(&format!("union-{set}")),
            key(set),
            key("small-set")
        ));
        push(&format!("ZINTERSTORE {} 2 {} {}", key(&format!("inter-{set}")), key(set), key("large-set")));
        push(&format!("COPY {} {}", key(set), key(&format!("copy-{set}"))));
        push(&format!("RENAME {} {}", key(&format!("copy-{set}")), key(&format!("renamed-{set}"))));
    }
    push(&format!("EXPIRE {} 10000", key("large-set")));
    push(&format!("EXPIRE {} 10000", key("large-scores")));
    commands.iter().for_each(|command| client.queue(command));
    commands.len()
}

/// Strings, hashes, sets and sorted sets, small and large, in two databases, with and without expiry, and keys that are not text.
fn write_data(master: &Server, generation: &str) {
    let mut client = master.client().unwrap();
    for n in 0..2_000 {
        client.queue(&["SET", &format!("{generation}:key:{n}"), &"v".repeat(n % 300)]);
    }
    for n in 0..300 {
        client.queue(&["HSET", &format!("{generation}:large"), &format!("field:{n}"), &n.to_string()]);
    }
    client.queue(&["HSET", &format!("{generation}:small"), "a", "1", "b", "two"]);
    client.queue(&["SET", &format!("{generation}:expires"), "x", "EX", "10000"]);
    client.queue(&["PEXPIRE", &format!("{generation}:large"), "10000000"]);
    client.queue(&[b"SET", generation.as_bytes(), b"\x00\r\n\xff".as_slice()]);
    client.queue(&["INCRBYFLOAT", &format!("{generation}:ratio"), "0.1"]);
    client.queue(&["SELECT", "3"]);
    client.queue(&["SET", "elsewhere", generation]);
    client.queue(&["MULTI"]);
    client.queue(&["INCR", "counter"]);
    client.queue(&["SET", "gone", "x", "PX", "1"]);
    client.queue(&["EXEC"]);
    let collections = write_sets(&mut client, generation);
    client.flush().unwrap();
    client.skip_replies(2_000 + 300 + 5 + 6 + collections).unwrap();
    // Seen to be gone here, so that the master has told its replicas.
    rejoin_chaos::wait::until("a key to expire", || Ok(client.ask_integer(&["EXISTS", "gone"])? == 0))
        .unwrap();
}

fn replicate(master: &Server, replica: &Server) {
    write_data(master, "before");
    follow(replica, master.port()).unwrap();
    wait_for_equal_offsets(master, replica).unwrap();
    write_data(master, "after");
    ensure_same_data(master, replica).unwrap();
    let mut client = replica.client().unwrap();
    assert_eq!(client.ask_text(&["GET", "after:ratio"]).unwrap(), "0.1");
    client.ask(&["SELECT", "3"]).unwrap();
    assert_eq!(client.ask_text(&["TYPE", "after:union-scores"]).unwrap(), "zset");
    assert!(client.ask_integer(&["SCARD", "before:large-set"]).unwrap() > 500);
    let refused = client.call(&["SET", "x", "y"]).unwrap();
    assert!(refused.to_string().starts_with("-READONLY"), "a replica answered a write with {refused}");
}

#[test]
fn redis_7_follows_the_node() {
    replicate(&node(), &stock(ServerKind::Redis70));
}

#[test]
fn redis_8_follows_the_node() {
    replicate(&node(), &stock(ServerKind::Redis82));
}

#[test]
fn valkey_9_follows_the_node() {
    replicate(&node(), &stock(ServerKind::Valkey91));
}

#[test]
fn redis_6_follows_the_node() {
    replicate(&node(), &stock(ServerKind::Redis62));
}

#[test]
fn the_node_follows_redis_7() {
    replicate(&stock(ServerKind::Redis70), &node());
}

#[test]
fn the_node_follows_redis_8() {
    replicate(&stock(ServerKind::Redis82), &node());
}

#[test]
fn the_node_follows_valkey_9() {
    replicate(&stock(ServerKind::Valkey91), &node());
}

#[test]
fn the_node_follows_redis_6() {
    replicate(&stock(ServerKind::Redis62), &node());
}

#[test]
fn the_node_stands_in_the_middle_of_a_chain() {
    let (first, middle, last) = (stock(ServerKind::Redis70), node(), stock(ServerKind::Redis70));
    write_data(&first, "before");
    follow(&middle, first.port()).unwrap();
    wait_for_equal_offsets(&first, &middle).unwrap();
    follow(&last, middle.port()).unwrap();
    wait_for_equal_offsets(&middle, &last).unwrap();
    write_data(&first, "after");
    ensure_same_data(&first, &middle).unwrap();
    ensure_same_data(&middle, &last).unwrap();
    // The same stream everywhere: the end of the chain knows the offsets of its beginning.
    ensure_same_data(&first, &last).unwrap();
}

#[test]
fn a_promoted_node_keeps_its_data_and_takes_writes() {
    let (master, replica) = (stock(ServerKind::Redis70), node());
    write_data(&master, "before");
    follow(&replica, master.port()).unwrap();
    wait_for_equal_offsets(&master, &replica).unwrap();
    let mut client = replica.client().unwrap();
    client.ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
    client.ask(&["SET", "own", "write"]).unwrap();
    assert_eq!(client.ask_text(&["GET", "before:ratio"]).unwrap(), "0.1");
    assert_eq!(client.ask_text(&["GET", "own"]).unwrap(), "write");
}

/// Collections around the limits that `LIMITS` sets, and some whose form does not follow from their contents.
fn write_forms(master: &Server) -> Vec<String> {
    let mut client = master.client().unwrap();
    let mut names = Vec::new();
    let mut write = |name: &str, command: &str, elements: Vec<String>| {
        let mut args = vec![command.to_owned(), name.to_owned()];
        args.extend(elements);
        client.ask(&args).unwrap();
        names.push(name.to_owned());
    };
    for count in [5, 20, 21, 40] {
        let numbers = |prefix: &str| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
        let pairs = |first: &str, second: &str| {
            (0..count).flat_map(|n| [format!("{first}{n}"), format!("{second}{n}")]).collect::<Vec<_>>()
        };
        write(&format!("hash:{count}"), "HSET", pairs("f", "v"));
        write(&format!("integers:{count}"), "SADD", numbers(""));
        write(&format!("set:{count}"), "SADD", numbers("m"));
        write(&format!("scores:{count}"), "ZADD", pairs("", "m"));
        write(&format!("list:{count}"), "RPUSH", numbers("e"));
    }
    for (name, len) in [("at", 30), ("over", 31)] {
        let long = "x".repeat(len);
        write(&format!("hash:{name}"), "HSET", vec!["f".to_owned(), long.clone()]);
        write(&format!("set:{name}"), "SADD", vec![long.clone()]);
        write(&format!("scores:{name}"), "ZADD", vec!["1".to_owned(), long.clone()]);
        write(&format!("list:{name}"), "RPUSH", vec!["y".repeat(8_300 * len / 31); 1]);
    }
    // Integers that are packed as text, for there was other text once.
    write("once:text", "SADD", vec!["1".to_owned(), "2".to_owned(), "text".to_owned()]);
    client.ask(&["SREM", "once:text", "text"]).unwrap();
    names
}

const LIMITS: &[&str] = &[
    "--hash-max-listpack-entries",
    "20",
    "--hash-max-listpack-value",
    "30",
    "--set-max-intset-entries",
    "20",
    "--zset-max-listpack-entries",
    "20",
    "--zset-max-listpack-value",
    "30",
    "--list-max-listpack-size",
    "20",
];

fn encodings(server: &Server, names: &[String]) -> Vec<String> {
    let mut client = server.client().unwrap();
    let encoding = |name: &String| client.ask_text(&["OBJECT", "ENCODING", name]).unwrap();
    names.iter().map(encoding).collect()
}

/// A node and a stock server that follow the same master hold what they loaded in the same forms.
fn loads_as(kind: ServerKind, master_options: &[&str]) {
    let binary = Binary::stock(kind).unwrap();
    let master = Server::start(&binary, master_options).unwrap();
    let names = write_forms(&master);
    let stock = Server::start(&binary, LIMITS).unwrap();
    let node = Server::start(&Binary::node(None).unwrap(), LIMITS).unwrap();
    for replica in [&stock, &node] {
        follow(replica, master.port()).unwrap();
        wait_for_equal_offsets(&master, replica).unwrap();
    }
    let (expected, actual) = (encodings(&stock, &names), encodings(&node, &names));
    for ((name, expected), actual) in names.iter().zip(expected).zip(actual) {
        assert_eq!(actual, expected, "{name}, from a master with {master_options:?}");
    }
}

#[test]
fn the_node_loads_collections_into_the_forms_of_redis() {
    loads_as(ServerKind::Redis82, &[]);
    loads_as(ServerKind::Redis82, LIMITS);
    loads_as(ServerKind::Valkey91, &[]);
}

#[test]
fn redis_loads_the_nodes_collections_into_the_same_forms() {
    // Plain encodings, which every Redis reads, are taken for hash tables above this limit, packed or not.
    let limits = [LIMITS, &["--set-max-intset-entries", "200"]].concat();
    let master = Server::start(&Binary::node(None).unwrap(), &limits).unwrap();
    let mut names = write_forms(&master);
    // Which of two forms a set of integers had does not travel in the plain encodings that every Redis reads.
    names.retain(|name| name != "once:text");
    let replica = Server::start(&Binary::stock(ServerKind::Redis82).unwrap(), &limits).unwrap();
    follow(&replica, master.port()).unwrap();
    wait_for_equal_offsets(&master, &replica).unwrap();
    assert_eq!(encodings(&replica, &names), encodings(&master, &names));
}
