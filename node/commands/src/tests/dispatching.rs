use rejoin_protocol::UnixMillis;

use super::*;
use crate::{Role, node::status::UpstreamStatus};

#[test]
fn unknown_commands_and_subcommands_are_refused_in_redis_words() {
    let mut node = Node::new();
    let (a, b, c) = ("a".repeat(200), "b".repeat(200), "c".repeat(50));
    check(
        &mut node,
        &[
            ("foo", "-ERR unknown command 'foo', with args beginning with:"),
            ("foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b'"),
            ("client nosuch", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP."),
            (
                "CLIENT MAINT_NOTIFICATIONS ON",
                "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.",
            ),
            ("client", "-ERR wrong number of arguments for 'client' command"),
            ("CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command"),
            ("get", "-ERR wrong number of arguments for 'get' command"),
            (
                "debug nosuch",
                "-ERR unknown subcommand or wrong number of arguments for 'nosuch'. Try DEBUG HELP.",
            ),
        ],
    );
    assert_eq!(
        node.send(1, &format!("{a} {b} {c}")),
        format!("-ERR unknown command '{}', with args beginning with: '{}'", &a[..128], &b[..128])
    );
    let (b, c) = ("b".repeat(100), "c".repeat(100));
    assert_eq!(
        node.send(1, &format!("x {b} {c} d")),
        format!("-ERR unknown command 'x', with args beginning with: '{b}' '{}'", &c[..25])
    );
    assert_eq!(
        node.send_args(1, &[b"x\r\ny".as_slice(), b"a\r\nb", b"\xff\0z"]),
        "-ERR unknown command 'x  y', with args beginning with: 'a  b' '\u{fffd}'"
    );
}

#[test]
fn every_command_answers_to_any_number_of_arguments_without_harm() {
    let mut node = Node::new();
    let names: Vec<String> = crate::table::rows()
        .iter()
        .flat_map(|row| {
            let subcommands = row.subcommands.iter().map(|sub| format!("{} {}", row.name, sub.name));
            std::iter::once(row.name.to_owned()).chain(subcommands)
        })
        .filter(|name| {
            !matches!(name.as_str(), "quit" | "sync" | "psync" | "shutdown" | "client reply" | "client pause")
        })
        .collect();
    for name in names {
        for extra in [
            "",
            " a",
            " 1 2",
            " a b c",
            " 1 2 3 4",
            " a 1 b 2 c 3",
            " x y z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
        ] {
            node.send(1, &format!("{name}{extra}"));
            node.effects();
            node.session(1).waiting = None;
            if node.session(1).closing {
                panic!("{name}{extra} closed the connection");
            }
        }
        node.send(1, "reset");
    }
}

#[test]
fn debug_is_refused_unless_it_is_enabled() {
    let mut node = Node::with(Settings::default());
    let refusal = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it \
                   from a local connection, otherwise you need to set this option in the configuration file, and then \
                   restart the server.";
    assert_eq!(node.send(1, "debug sleep 0"), refusal);
    node.engine.settings.enable_debug_command = "local".to_owned();
    assert_eq!(node.send(1, "debug sleep 0"), "+OK");
    node.session(1).addr = "10.0.0.1:5".to_owned();
    assert_eq!(node.send(1, "debug sleep 0"), refusal);
}

#[test]
fn nothing_but_the_handshake_is_executed_before_authentication() {
    let mut node = Node::with(Settings { requirepass: "secret".to_owned(), ..Settings::default() });
    check(
        &mut node,
        &[
            ("get a", "-NOAUTH Authentication required."),
            ("get", "-ERR wrong number of arguments for 'get' command"),
            ("auth wrong", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("exec", "-EXECABORT Transaction discarded because of: NOAUTH Authentication required."),
            ("auth secret", "+OK"),
            ("get a", "$-1"),
        ],
    );
}

#[test]
fn a_password_that_is_set_later_does_not_lock_out_who_is_in() {
    let mut node = Node::new();
    assert_eq!(node.send(1, "config set requirepass secret"), "+OK");
    assert_eq!(node.send(1, "ping"), "+PONG");
    let late = node.connect();
    assert_eq!(node.send(late, "ping"), "-NOAUTH Authentication required.");
    assert_eq!(
        node.send(1, "config set requirepass "),
        "-ERR wrong number of arguments for 'config|set' command"
    );
    assert_eq!(node.send_args(1, &["config", "set", "requirepass", ""]), "+OK");
    assert_eq!(node.send(late, "ping"), "+PONG");
}

#[test]
fn a_replica_refuses_writes_and_perhaps_stale_reads() {
    let mut node = Node::new();
    node.send(1, "set k v");
    node.engine.role = Role::Replica;
    check(
        &mut node,
        &[
            ("set a b", "-READONLY You can't write against a read only replica."),
            ("get k", "$1 v"),
            ("multi", "+OK"),
            ("set a b", "-READONLY You can't write against a read only replica."),
            ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
    node.engine.status.upstream = Some(UpstreamStatus {
        host: "m".to_owned(),
        port: 1,
        state: "connect",
        last_io: UnixMillis::new(0),
        down_since: None,
        sync_read_bytes: 0,
        sync_total_bytes: None,
        read_offset: Offset::ZERO,
    });
    assert_eq!(node.send(1, "get k"), "$1 v");
    node.engine.settings.replica_serve_stale_data = false;
    let stale = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    check(&mut node, &[("get k", stale), ("select 1", "+OK")]);
}

#[test]
fn a_transaction_of_writes_meets_a_node_that_became_a_replica() {
    let mut node = Node::new();
    check(&mut node, &[("multi", "+OK"), ("set a b", "+QUEUED")]);
    node.engine.role = Role::Replica;
    check(
        &mut node,
        &[
            (
                "exec",
                "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
            ),
            ("exec", "-ERR EXEC without MULTI"),
        ],
    );
}

#[test]
fn while_loading_only_what_needs_no_data_is_executed() {
    let mut node = Node::new();
    node.engine.begin_loading(1000);
    check(&mut node, &[("get k", "-LOADING Redis is loading the dataset in memory"), ("select 2", "+OK")]);
}

#[test]
fn replies_can_be_switched_off_and_skipped() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("client reply skip", ""),
            ("ping", ""),
            ("ping", "+PONG"),
            ("client reply off", ""),
            ("ping", ""),
            ("nosuch", ""),
            ("client reply skip", ""),
            ("client reply on", "+OK"),
            ("client reply skip", ""),
            ("client reply on", "+OK"),
            ("ping", "+PONG"),
            ("client reply foo", "-ERR syntax error"),
        ],
    );
}

#[test]
fn writes_are_logged_as_they_came_and_failures_are_not() {
    let mut node = Node::new();
    node.send(1, "set k v");
    node.send(1, "hset k f v");
    node.send(1, "get k");
    assert_eq!(node.logged(), "SELECT 0; set k v");
    node.send(1, "select 3");
    node.send(1, "incr n");
    assert_eq!(node.logged(), "SELECT 3; incr n");
}
