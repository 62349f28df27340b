use super::*;

fn failed(name: &str, reason: &str) -> String {
    format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
}

#[test]
fn settings_are_told_by_names_and_patterns() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("config get maxclients", "*2 $10 maxclients $5 10000"),
            ("config get MAXclients maxclients", "*2 $10 MAXclients $5 10000"),
            ("config get maxcl* maxclients", "*2 $10 maxclients $5 10000"),
            ("config get nosuch", "*0"),
            ("config get save appendonly", "*4 $4 save $23 3600 1 300 100 60 10000 $10 appendonly $3 yes"),
            ("config get slave-priority", "*2 $14 slave-priority $3 100"),
            ("config get", "-ERR wrong number of arguments for 'config|get' command"),
        ],
    );
    assert!(node.send(1, "config get *").starts_with("*410 "));
    node.send(1, "hello 3");
    assert_eq!(node.send(1, "config get hz"), "%1 $2 hz $2 10");
}

#[test]
fn settings_are_changed_all_or_none() {
    let mut node = Node::new();
    assert_eq!(node.send(1, "config set maxclients 5 hz 20"), "+OK");
    assert_eq!(
        node.effects(),
        [Effect::SettingChanged { name: "maxclients" }, Effect::SettingChanged { name: "hz" }]
    );
    assert_eq!((node.engine.settings.maxclients, node.engine.settings.hz), (5, 20));
    assert_eq!(
        node.send(1, "config set maxclients 7 hz abc"),
        failed("hz", "argument couldn't be parsed into an integer")
    );
    assert_eq!(node.engine.settings.maxclients, 5);
    assert!(node.effects().is_empty());
    assert_eq!(node.send(1, "config set slave-priority 5"), "+OK");
    assert_eq!(node.effects(), [Effect::SettingChanged { name: "replica-priority" }]);
}

#[test]
fn refusals_come_in_redis_order() {
    let mut node = Node::new();
    let unknown = "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'";
    for (command, reply) in [
        ("config set nosuch 1", unknown.to_owned()),
        ("config set maxclients 0 nosuch 1", unknown.to_owned()),
        ("config set maxclients 0 databases 3", failed("databases", "can't set immutable config")),
        ("config set dir /", failed("dir", "can't set protected config")),
        ("config set maxclients 10 maxclients 11", failed("maxclients", "duplicate parameter")),
        ("config set slave-priority 1 replica-priority 2", "+OK".to_owned()),
        ("config set slave-priority 1 SLAVE-priority 2", failed("SLAVE-priority", "duplicate parameter")),
        ("config set requirepass x y", "-ERR syntax error".to_owned()),
        ("config set hz", "-ERR wrong number of arguments for 'config|set' command".to_owned()),
        ("config rewrite", "-ERR The server is running without a config file".to_owned()),
        ("config resetstat", "+OK".to_owned()),
        ("config foo", "-ERR unknown subcommand 'foo'. Try CONFIG HELP.".to_owned()),
    ] {
        assert_eq!(node.send(1, command), reply, "{command}");
    }
}

#[test]
fn counters_are_reset() {
    let mut node = Node::new();
    node.send(1, "nosuch");
    node.send(1, "get k");
    assert!(node.engine.stats.error_replies > 0 && node.engine.stats.keyspace_misses > 0);
    node.send(1, "config resetstat");
    assert_eq!((node.engine.stats.error_replies, node.engine.stats.keyspace_misses), (0, 0));
}
