//! What commands say of themselves: COMMAND and COMMAND DOCS of the node against redis-server 7.0.15, for every command and
//! subcommand that both have.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use rejoin_chaos::client::{Client, Reply};
use rejoin_chaos::servers::{Binary, Server, ServerKind};

/// Sentences, of which ours are our own.
const WORDS: &[&str] = &["summary", "complexity", "history", "notes", "replaced_by"];

/// Differences that are meant, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("blmove", "scripts may call it since 7.2, where it does not wait"),
    ("blpop", "as for BLMOVE"),
    ("brpop", "as for BLMOVE"),
    ("brpoplpush", "as for BLMOVE"),
    ("bzpopmax", "as for BLMOVE"),
    ("bzpopmin", "as for BLMOVE"),
    ("command|getkeys", "a command without arguments is none since 7.2, with its own error"),
    ("command|getkeysandflags", "as for COMMAND GETKEYS"),
    ("wait", "counts as blocking since 7.2"),
    ("zrank", "WITHSCORE came with 7.2"),
    ("zrevrank", "as for ZRANK"),
];

/// What is told of each command, by full name, in a form that can be compared.
type Told = BTreeMap<String, String>;

/// A reply as text, without sentences; what has no order, sorted.
fn canonical(reply: &Reply) -> String {
    match reply {
        Reply::Map(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| (name.text().unwrap(), value));
            let mut pairs: Vec<String> = pairs
                .filter(|(name, _)| !WORDS.contains(&name.as_str()) && name != "subcommands")
                .map(|(name, value)| format!("{name}: {}", canonical(value)))
                .collect();
            pairs.sort();
            format!("{{{}}}", pairs.join(", "))
        }
        Reply::Set(elements) => {
            let mut elements: Vec<String> = elements.iter().map(canonical).collect();
            elements.sort();
            format!("<{}>", elements.join(" "))
        }
        Reply::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(canonical).collect();
            format!("[{}]", elements.join(", "))
        }
        other => other.text().unwrap_or_else(|| other.to_string()),
    }
}

/// COMMAND: what clients and proxies route by.
fn infos(rows: &Reply, told: &mut Told) {
    for row in rows.elements().unwrap() {
        let [name, fields @ .., subcommands] = row.elements().unwrap() else { panic!("{row}") };
        let fields: Vec<String> = fields.iter().map(canonical).collect();
        told.insert(name.text().unwrap(), fields.join(" "));
        infos(subcommands, told);
    }
}

/// COMMAND DOCS: what redis-cli hints at.
fn docs(rows: &Reply, told: &mut Told) {
    let Reply::Map(rows) = rows else { panic!("{rows}") };
    for (name, row) in rows {
        told.insert(name.text().unwrap(), canonical(row));
        let Reply::Map(fields) = row else { panic!("{row}") };
        for (_, subcommands) in fields.iter().filter(|(field, _)| field.text().unwrap() == "subcommands") {
            docs(subcommands, told);
        }
    }
}

fn told(server: &Server, command: &[&str], read: fn(&Reply, &mut Told)) -> Told {
    let mut client: Client = server.client().unwrap();
    client.ask(&["HELLO", "3"]).unwrap();
    let mut told = Told::new();
    read(&client.ask(command).unwrap(), &mut told);
    told
}

#[test]
fn commands_describe_themselves_as_redis_7_does() {
    let stock = Server::start(&Binary::stock(ServerKind::Redis70).unwrap(), &[]).unwrap();
    let ours = Server::start(&Binary::node(None).unwrap(), &[]).unwrap();
    let mut differences = Vec::new();
    for (command, read) in [(&["COMMAND"][..], infos as fn(&Reply, &mut Told)), (&["COMMAND", "DOCS"], docs)]
    {
        let (stock, ours) = (told(&stock, command, read), told(&ours, command, read));
        let mut compared = 0;
        for (name, expected) in &stock {
            let Some(actual) = ours.get(name) else { continue };
            compared += 1;
            if expected != actual && !EXCEPTIONS.iter().any(|(excepted, _)| name == excepted) {
                differences
                    .push(format!("{} {name}\n  redis {expected}\n  ours  {actual}", command.join(" ")));
            }
        }
        assert!(compared > 150, "only {compared} commands were compared");
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn keys_are_told_with_what_is_done_with_them() {
    let stock = Server::start(&Binary::stock(ServerKind::Redis70).unwrap(), &[]).unwrap();
    let ours = Server::start(&Binary::node(None).unwrap(), &[]).unwrap();
    let (mut stock, mut ours) = (stock.client().unwrap(), ours.client().unwrap());
    for command in [
        "GET a",
        "SET a b",
        "SET a b GET",
        "MSET a 1 b 2",
        "BITFIELD a GET u8 0",
        "BITFIELD a SET u8 0 1",
        "BITOP AND d a b",
        "COPY a a",
        "LMPOP 2 a b LEFT",
        "BLMPOP 0 2 a b LEFT",
        "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
        "ZINTER 2 a b",
        "SINTERCARD 2 a b LIMIT 1",
        "BLPOP a b 0",
        "OBJECT ENCODING a",
        "RENAME a b",
        "LMPOP 9 a LEFT",
        "MEMORY USAGE a",
        "PING a",
        "NOSUCH a",
    ] {
        for subcommand in ["GETKEYS", "GETKEYSANDFLAGS"] {
            let mut args = vec!["COMMAND", subcommand];
            args.extend(command.split(' '));
            let (expected, actual) = (stock.call(&args).unwrap(), ours.call(&args).unwrap());
            assert_eq!(canonical(&expected), canonical(&actual), "{args:?}");
        }
    }
}
