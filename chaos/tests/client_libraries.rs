//! Client libraries do their ordinary work against the node: the `redis` crate, with its own idea of
//! each reply's type, and redis-py, by a script of its own.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::Duration;

use redis::{Client, Commands, Connection, ConnectionLike, ExistenceCheck, SetExpiry, SetOptions, Value};
use rejoin_chaos::servers::{Binary, Server, workspace_root};

fn node() -> Server {
    Server::start(&Binary::node(None).unwrap(), &[]).unwrap()
}

fn open(server: &Server, protocol: &str) -> Client {
    Client::open(format!("redis://127.0.0.1:{}/2?protocol={protocol}", server.port())).unwrap()
}

fn for_each_protocol(work: impl Fn(&Client, &mut Connection)) {
    for protocol in ["resp2", "resp3"] {
        let server = node();
        let client = open(&server, protocol);
        let mut connection = client.get_connection().unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(connection.get_db(), 2);
        work(&client, &mut connection);
        assert!(connection.check_connection());
    }
}

#[test]
fn values_come_back_as_their_types() {
    for_each_protocol(|_, connection| {
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::EX(100))
            .get(false);
        assert!(connection.set_options::<_, _, bool>("text", "hello", options.clone()).unwrap());
        assert!(!connection.set_options::<_, _, bool>("text", "other", options).unwrap());
        assert_eq!(connection.get::<_, String>("text").unwrap(), "hello");
        assert!((1..=100).contains(&connection.ttl::<_, i64>("text").unwrap()));
        assert_eq!(connection.get::<_, Option<String>>("none").unwrap(), None);
        assert_eq!(connection.incr::<_, _, i64>("number", 41).unwrap(), 41);
        assert!((connection.incr::<_, _, f64>("number", 0.5).unwrap() - 41.5).abs() < 1e-9);
        let bytes = [0_u8, 255, 13, 10];
        let () = connection.set("bytes", &bytes[..]).unwrap();
        assert_eq!(connection.get::<_, Vec<u8>>("bytes").unwrap(), bytes);
        let many: (Option<String>, Option<i64>) = connection.mget(&["text", "none"]).unwrap();
        assert_eq!(many, (Some("hello".to_owned()), None));

        let () = connection.hset_multiple("hash", &[("a", 1), ("b", 2)]).unwrap();
        let pairs: BTreeMap<String, i64> = connection.hgetall("hash").unwrap();
        assert_eq!(pairs, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
        assert_eq!(connection.rpush::<_, _, usize>("list", &["x", "y", "z"]).unwrap(), 3);
        assert_eq!(connection.lrange::<_, Vec<String>>("list", 1, -1).unwrap(), ["y", "z"]);
        let _: usize = connection.sadd("set", &[3, 1, 2]).unwrap();
        assert_eq!(connection.smembers::<_, BTreeSet<i64>>("set").unwrap(), BTreeSet::from([1, 2, 3]));
        let _: usize = connection.zadd_multiple("scores", &[(1.5, "low"), (2.5, "high")]).unwrap();
        let scores: Vec<(String, f64)> = connection.zrange_withscores("scores", 0, -1).unwrap();
        assert_eq!(scores, [("low".to_owned(), 1.5), ("high".to_owned(), 2.5)]);

        let error = connection.incr::<_, _, i64>("text", 1).unwrap_err();
        assert!(error.to_string().contains("not an integer"), "{error}");
        let error = connection.lpush::<_, _, usize>("text", 1).unwrap_err();
        assert_eq!(error.code(), Some("WRONGTYPE"), "{error}");
    });
}

#[test]
fn pipelines_transactions_and_iterators_work() {
    for_each_protocol(|client, connection| {
        let mut pipeline = redis::pipe();
        (0..1_000).for_each(|n| {
            pipeline.set(format!("key:{n}"), n).ignore();
        });
        let sum: (i64, i64) = pipeline.get("key:999").incr("key:1", 10).query(connection).unwrap();
        assert_eq!(sum, (999, 11));

        let keys: BTreeSet<String> =
            connection.scan_match("key:9*").unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(keys.len(), 111);
        assert!(keys.contains("key:999") && keys.contains("key:9"));

        // Another connection writes between WATCH and the first EXEC: the library must see that and try again.
        let mut other = client.get_connection().unwrap();
        let mut attempts = 0;
        let (after,): (i64,) = redis::transaction(connection, &["key:5"], |connection, pipeline| {
            attempts += 1;
            let before: i64 = connection.get("key:5")?;
            if attempts == 1 {
                let () = other.set("key:5", 100)?;
            }
            pipeline.set("key:5", before + 1).ignore().get("key:5").query(connection)
        })
        .unwrap();
        assert_eq!((attempts, after), (2, 101));
    });
}

#[test]
fn subscribers_and_blocked_clients_are_served() {
    for_each_protocol(|client, connection| {
        let mut listening = client.get_connection().unwrap();
        listening.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut subscriber = listening.as_pubsub();
        subscriber.subscribe("news").unwrap();
        subscriber.psubscribe("w*").unwrap();
        assert_eq!(connection.publish::<_, _, i64>("news", "one").unwrap(), 1);
        assert_eq!(connection.publish::<_, _, i64>("weather", "two").unwrap(), 1);
        let first = subscriber.get_message().unwrap();
        assert_eq!(
            (first.get_channel_name(), first.get_payload::<String>().unwrap().as_str()),
            ("news", "one")
        );
        let second = subscriber.get_message().unwrap();
        assert_eq!(second.get_pattern::<Option<String>>().unwrap().as_deref(), Some("w*"));
        assert_eq!(second.get_payload::<String>().unwrap(), "two");
        drop(subscriber);
        // What was subscribed to is left again, and the connection serves commands.
        assert_eq!(connection.publish::<_, _, i64>("news", "three").unwrap(), 0);
        assert_eq!(redis::cmd("PING").query::<String>(&mut listening).unwrap(), "PONG");

        let mut waiting = client.get_connection().unwrap();
        let id: i64 = redis::cmd("CLIENT").arg("ID").query(&mut waiting).unwrap();
        let popped =
            thread::spawn(move || waiting.blpop::<_, (String, String)>(&["empty", "queue"], 30.0).unwrap());
        rejoin_chaos::wait::until("the other client to block", || {
            let list: String = redis::cmd("CLIENT").arg("LIST").arg("ID").arg(id).query(connection)?;
            Ok(list.contains("flags=b"))
        })
        .unwrap();
        let _: usize = connection.rpush("queue", "job").unwrap();
        assert_eq!(popped.join().unwrap(), ("queue".to_owned(), "job".to_owned()));
        assert_eq!(connection.blpop::<_, Value>("queue", 0.01).unwrap(), Value::Nil);
    });
}

#[test]
fn redis_py_is_served() {
    let server = node();
    let library = workspace_root().join("target/test-servers/python");
    assert!(library.join("redis").is_dir(), "redis-py is not installed: run .ci/install-test-servers");
    let mut script = Command::new("timeout");
    script.args(["120", "python3", "-B"]).arg(workspace_root().join("chaos/tests/redis_py.py"));
    let output = script.arg(server.port().to_string()).env("PYTHONPATH", library).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("was served"), "{text}{complaint}");
}
