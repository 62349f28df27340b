//! SUBSCRIBE and its relatives, PUBLISH, SPUBLISH, PUBSUB.

use std::sync::Arc;

use super::Topic;
use crate::{
    Call, Command, Failure, Flags, KeySpec,
    data::glob::{self, Case},
    node::reply_help,
};

const LISTEN: Flags = Flags::PUBSUB.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);
const PUBLISH: Flags =
    Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST).union(Flags::MAY_REPLICATE);
const ASK: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);
/// Shard channels are spread over a cluster as keys are.
const SHARDED: KeySpec = KeySpec { first: 1, last: -1, step: 1 };

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    row("subscribe", -2, LISTEN, "2.0.0", "Listens to channels.", subscribe),
    row("unsubscribe", -1, LISTEN, "2.0.0", "Stops listening to channels.", unsubscribe),
    row("psubscribe", -2, LISTEN, "2.0.0", "Listens to all channels that match patterns.", psubscribe),
    row("punsubscribe", -1, LISTEN, "2.0.0", "Stops listening to patterns.", punsubscribe),
    row("ssubscribe", -2, LISTEN, "7.0.0", "Listens to shard channels.", ssubscribe).with_keys(SHARDED),
    row("sunsubscribe", -1, LISTEN, "7.0.0", "Stops listening to shard channels.", sunsubscribe)
        .with_keys(SHARDED),
    row("publish", 3, PUBLISH, "2.0.0", "Sends a message to a channel.", publish),
    row("spublish", 3, PUBLISH, "7.0.0", "Sends a message to a shard channel.", spublish)
        .with_keys(KeySpec::ONE),
    row("pubsub", -2, Flags::empty(), "2.8.0", "Commands on channels and patterns.", help)
        .with_subcommands(SUBCOMMANDS),
];

const SUBCOMMANDS: &[Command] = &[
    row("channels", -2, ASK, "2.8.0", "Lists the channels that have listeners.", channels),
    row("help", 2, Flags::LOADING.union(Flags::STALE), "6.2.0", "Lists the subcommands.", help),
    row("numpat", 2, ASK, "2.8.0", "Counts the patterns that are listened to.", numpat),
    row("numsub", -2, ASK, "2.8.0", "Counts the listeners of channels.", numsub),
    row("shardchannels", -2, ASK, "7.0.0", "Lists the shard channels that have listeners.", shardchannels),
    row("shardnumsub", -2, ASK, "7.0.0", "Counts the listeners of shard channels.", shardnumsub),
];

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    handler: crate::Handler,
) -> Command {
    Command::new(name, arity, flags, "pubsub", since, summary, handler)
}

/// `SUBSCRIBE channel ...`: one push for each.
fn subscribe(call: &mut Call<'_>) -> Result<(), Failure> {
    listen(call, Topic::Channel)
}

/// `PSUBSCRIBE pattern ...`
fn psubscribe(call: &mut Call<'_>) -> Result<(), Failure> {
    listen(call, Topic::Pattern)
}

/// `SSUBSCRIBE shardchannel ...`: not inside MULTI, where the older ones are let pass.
fn ssubscribe(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.engine.must_not_wait {
        return Err(refused(call));
    }
    listen(call, Topic::ShardChannel)
}

fn refused(call: &Call<'_>) -> Failure {
    let name = call.command.name.to_ascii_uppercase();
    Failure::text(format!("ERR {name} isn't allowed for a DENY BLOCKING client"))
}

fn listen(call: &mut Call<'_>, topic: Topic) -> Result<(), Failure> {
    if !call.session.may_listen() {
        return Err(refused(call));
    }
    for bytes in &call.args[1..] {
        let subscriptions = call.session.subscriptions.get_or_insert_default();
        if !subscriptions.of(topic).contains(*bytes) {
            let name: Arc<[u8]> = Arc::from(*bytes);
            subscriptions.of_mut(topic).insert(name.clone());
            call.engine.pubsub.add(topic, name, call.session.id);
        }
        call.session.listens = true;
        confirm(call, topic, Some(bytes));
    }
    Ok(())
}

/// Says what was just subscribed to or given up, and how many subscriptions there are now: channels and patterns are
/// counted together.
fn confirm(call: &mut Call<'_>, topic: Topic, name: Option<&[u8]>) {
    let subscriptions = call.session.subscriptions.as_deref();
    let count = |topic| subscriptions.map_or(0, |subscriptions| subscriptions.count(topic));
    let count = match topic {
        Topic::ShardChannel => count(Topic::ShardChannel),
        Topic::Channel | Topic::Pattern => count(Topic::Channel) + count(Topic::Pattern),
    };
    let kind = call.command.name;
    let mut reply = call.reply();
    reply.push(3);
    reply.bulk(kind.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

/// `UNSUBSCRIBE [channel ...]`: all of them where none is named.
fn unsubscribe(call: &mut Call<'_>) -> Result<(), Failure> {
    stop(call, Topic::Channel)
}

/// `PUNSUBSCRIBE [pattern ...]`
fn punsubscribe(call: &mut Call<'_>) -> Result<(), Failure> {
    stop(call, Topic::Pattern)
}

/// `SUNSUBSCRIBE [shardchannel ...]`
fn sunsubscribe(call: &mut Call<'_>) -> Result<(), Failure> {
    stop(call, Topic::ShardChannel)
}

fn stop(call: &mut Call<'_>, topic: Topic) -> Result<(), Failure> {
    let named: Vec<Arc<[u8]>> = match &call.args[1..] {
        [] => match &call.session.subscriptions {
            Some(subscriptions) => subscriptions.of(topic).iter().cloned().collect(),
            None => Vec::new(),
        },
        names => names.iter().map(|name| Arc::from(*name)).collect(),
    };
    if named.is_empty() {
        confirm(call, topic, None);
    }
    for name in named {
        if let Some(subscriptions) = &mut call.session.subscriptions
            && subscriptions.of_mut(topic).remove(&name)
        {
            call.engine.pubsub.remove(topic, &name, call.session.id);
        }
        confirm(call, topic, Some(&name));
    }
    if call.session.subscriptions.as_ref().is_some_and(|subscriptions| subscriptions.is_empty()) {
        call.session.subscriptions = None;
        call.session.listens = call.session.is_monitor;
    }
    Ok(())
}

/// `PUBLISH channel message`: how many got it here; replicas' listeners are not counted.
fn publish(call: &mut Call<'_>) -> Result<(), Failure> {
    send(call, Topic::Channel)
}

/// `SPUBLISH shardchannel message`
fn spublish(call: &mut Call<'_>) -> Result<(), Failure> {
    send(call, Topic::ShardChannel)
}

fn send(call: &mut Call<'_>, topic: Topic) -> Result<(), Failure> {
    let delivered = call.engine.publish(topic, call.args[1], call.args[2]);
    call.propagate_as_it_came();
    call.reply().integer(delivered as i64);
    Ok(())
}

/// `PUBSUB CHANNELS [pattern]`
fn channels(call: &mut Call<'_>) -> Result<(), Failure> {
    list(call, Topic::Channel)
}

/// `PUBSUB SHARDCHANNELS [pattern]`
fn shardchannels(call: &mut Call<'_>) -> Result<(), Failure> {
    list(call, Topic::ShardChannel)
}

fn list(call: &mut Call<'_>, topic: Topic) -> Result<(), Failure> {
    let pattern = match call.args[2..] {
        [] => None,
        [pattern] => Some(pattern),
        _ => {
            return Err(Failure::repeating(
                "ERR unknown subcommand or wrong number of arguments for '",
                call.args[1],
                "'. Try PUBSUB HELP.",
            ));
        }
    };
    let is_wanted =
        |name: &&Arc<[u8]>| pattern.is_none_or(|pattern| glob::matches(pattern, name, Case::Sensitive));
    let names: Vec<Arc<[u8]>> = call.engine.pubsub.exact(topic).keys().filter(is_wanted).cloned().collect();
    let mut reply = call.reply();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

/// `PUBSUB NUMSUB [channel ...]`
fn numsub(call: &mut Call<'_>) -> Result<(), Failure> {
    count(call, Topic::Channel)
}

/// `PUBSUB SHARDNUMSUB [shardchannel ...]`
fn shardnumsub(call: &mut Call<'_>) -> Result<(), Failure> {
    count(call, Topic::ShardChannel)
}

fn count(call: &mut Call<'_>, topic: Topic) -> Result<(), Failure> {
    let names = &call.args[2..];
    call.reply().array(2 * names.len());
    for name in names {
        let listeners = call.engine.pubsub.exact(topic).get(*name).map_or(0, |clients| clients.len());
        let mut reply = call.reply();
        reply.bulk(name);
        reply.integer(listeners as i64);
    }
    Ok(())
}

/// `PUBSUB NUMPAT`
fn numpat(call: &mut Call<'_>) -> Result<(), Failure> {
    let patterns = call.engine.pubsub.pattern_count();
    call.reply().integer(patterns as i64);
    Ok(())
}

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_help(
        call,
        "PUBSUB",
        &[
            "CHANNELS [<pattern>]",
            "List the channels that have listeners, all or those that match.",
            "NUMPAT",
            "Return how many different patterns are listened to.",
            "NUMSUB [<channel> ...]",
            "Return how many clients listen to each channel; patterns are not counted.",
            "SHARDCHANNELS [<pattern>]",
            "List the shard channels that have listeners, all or those that match.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "Return how many clients listen to each shard channel.",
        ],
    );
    Ok(())
}
