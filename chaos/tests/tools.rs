//! redis-cli does its ordinary work against the node, in each of its modes.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rejoin_chaos::client::{Client, encode_command};
use rejoin_chaos::servers::{Binary, Server};

/// Longer than any mode here takes; one that hangs must not hang the tests.
const DEADLINE_SECONDS: &str = "60";

fn node() -> Server {
    Server::start(&Binary::node(None).unwrap(), &[]).unwrap()
}

/// Ended by `timeout` if it hangs.
fn cli(server: &Server, args: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command
        .args([DEADLINE_SECONDS, "redis-cli", "-h", "127.0.0.1", "-p", &server.port().to_string()])
        .args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a mode prints that ends by itself and succeeds.
fn run(server: &Server, args: &[&str]) -> String {
    let output = cli(server, args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{complaint}");
    assert!(!text.contains("ERR ") && !complaint.contains("ERR "), "{args:?}: {text}{complaint}");
    text
}

/// Keys of each type; the biggest of each is known.
fn fill(client: &mut Client) {
    for n in 0..500 {
        client.queue(&["SET", &format!("text:{n}"), &n.to_string()]);
    }
    client.queue(&["SET", "big:text", &"x".repeat(5_000)]);
    for n in 0..300 {
        let member = n.to_string();
        client.queue(&["RPUSH", "big:list", &member]);
        client.queue(&["SADD", "big:set", &member]);
        client.queue(&["HSET", "big:hash", &member, &member]);
        client.queue(&["ZADD", "big:scores", &member, &member]);
    }
    client.queue(&["RPUSH", "small:list", "x"]);
    client.flush().unwrap();
    client.skip_replies(502 + 4 * 300).unwrap();
}

#[test]
fn pipe_mode_sends_everything() {
    let server = node();
    let mut commands = Vec::new();
    for n in 0..5_000 {
        encode_command(&mut commands, &["SET", &format!("key:{n}"), &n.to_string()]);
    }
    encode_command(&mut commands, &["INCR", "key:1"]);
    encode_command(&mut commands, &["LPUSH", "key:1", "x"]);
    let mut child = cli(&server, &["--pipe"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&commands).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("errors: 1, replies: 5002"), "{text}");
    let mut client = server.client().unwrap();
    assert_eq!(client.ask_integer(&["DBSIZE"]).unwrap(), 5_000);
    assert_eq!(client.ask_text(&["GET", "key:1"]).unwrap(), "2");
}

#[test]
fn big_keys_are_found() {
    let server = node();
    fill(&mut server.client().unwrap());
    let text = run(&server, &["--bigkeys"]);
    for line in [
        "Sampled 506 keys in the keyspace!",
        "Biggest   list found '\"big:list\"' has 300 items",
        "Biggest   hash found '\"big:hash\"' has 300 fields",
        "Biggest string found '\"big:text\"' has 5000 bytes",
        "Biggest    set found '\"big:set\"' has 300 members",
        "Biggest   zset found '\"big:scores\"' has 300 members",
        "2 lists with 301 items",
        "501 strings with",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    let text = run(&server, &["--memkeys", "--memkeys-samples", "0"]);
    for line in ["Sampled 506 keys", "Biggest string found '\"big:text\"' has", "501 strings with"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert!(!text.contains("has 0 bytes"), "{text}");
}

#[test]
fn a_scan_lists_the_keys_of_a_pattern_once() {
    let server = node();
    fill(&mut server.client().unwrap());
    let text = run(&server, &["--scan", "--pattern", "text:49?"]);
    let mut keys: Vec<&str> = text.lines().collect();
    keys.sort_unstable();
    let expected: Vec<String> = (490..500).map(|n| format!("text:{n}")).collect();
    assert_eq!(keys, expected);
}

/// The figures of the first row that --stat prints: keys, memory, clients and so on. It never ends by itself, and into a
/// pipe it would print by the block.
fn first_stat_row(server: &Server) -> Vec<String> {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "redis-cli", "-h", "127.0.0.1", "-p", &server.port().to_string()]);
    command.args(["--stat", "-i", "0.05"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let is_row = |line: &String| line.starts_with(|c: char| c.is_ascii_digit());
    let row = lines.take(20).find(is_row);
    child.kill().unwrap();
    child.wait().unwrap();
    row.unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn running_figures_and_latency_are_shown() {
    let server = node();
    fill(&mut server.client().unwrap());
    assert_eq!(first_stat_row(&server)[0], "506");
    let text = run(&server, &["--latency", "--raw", "-i", "1"]);
    let figures: Vec<f64> = text.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
    let [least, most, average, samples] = figures[..] else { panic!("{text}") };
    assert!(least <= average && average <= most && samples > 10.0, "{text}");
}

#[test]
fn a_dump_is_fetched_that_redis_loads() {
    let server = node();
    fill(&mut server.client().unwrap());
    let path = server.dir().join("fetched.rdb");
    run(&server, &["--rdb", path.to_str().unwrap()]);
    let checked = Command::new("redis-check-rdb").arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && text.contains("RDB looks OK"), "{text}");
    assert!(text.contains("506 keys read"), "{text}");
}

#[test]
fn hello_and_the_hints_of_the_prompt_are_answered() {
    let server = node();
    let text = run(&server, &["-3", "HELLO"]);
    assert!(text.contains("proto") && text.contains("3"), "{text}");
    assert_eq!(run(&server, &["-3", "HSET", "hash", "field", "value"]), "1\n");
    assert!(run(&server, &["-3", "--json", "HGETALL", "hash"]).contains("{\"field\":\"value\"}"));
    // What the prompt asks for when it opens, to hint at arguments.
    let docs = run(&server, &["--json", "COMMAND", "DOCS"]);
    assert!(docs.contains("\"set\":{\"summary\":"), "{}", &docs[..docs.len().min(300)]);
    let mut child = cli(&server, &[]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SET prompt ok\nGET prompt\nHELP SET\nQUIT\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("OK\nok\n") && text.contains("[NX|XX] [GET]"), "{text}");
}
