//! CLUSTER, READONLY, READWRITE, ASKING: this node is no part of a cluster, and says so as Redis does.

use crate::{Call, Command, Failure, Flags};

const STALE: Flags = Flags::STALE;
const ADMIN: Flags = STALE.union(Flags::ADMIN);
const CONNECTION: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    row("asking", 1, Flags::FAST, "Lets the next command reach a slot that is being imported."),
    row("cluster", -2, Flags::empty(), "Commands on clusters.").with_subcommands(SUBCOMMANDS),
    row("readonly", 1, CONNECTION, "Lets a cluster's replica answer reads."),
    row("readwrite", 1, CONNECTION, "Takes READONLY back."),
];

const SUBCOMMANDS: &[Command] = &[
    row("addslots", -3, ADMIN, "Gives slots to this node."),
    Command { since: "7.0.0", ..row("addslotsrange", -4, ADMIN, "Gives ranges of slots to this node.") },
    row("bumpepoch", 2, ADMIN, "Raises the cluster's epoch."),
    row("count-failure-reports", 3, ADMIN, "Counts the reports of a node's failure."),
    row("countkeysinslot", 3, STALE, "Counts the keys of a slot."),
    row("delslots", -3, ADMIN, "Takes slots from this node."),
    Command { since: "7.0.0", ..row("delslotsrange", -4, ADMIN, "Takes ranges of slots from this node.") },
    row("failover", -2, ADMIN, "Makes a replica take its master's place."),
    row("flushslots", 2, ADMIN, "Takes all slots from this node."),
    row("forget", 3, ADMIN, "Forgets a node."),
    row("getkeysinslot", 4, STALE, "Tells keys of a slot."),
    Command { since: "5.0.0", ..row("help", 2, Flags::LOADING.union(STALE), "Lists the subcommands.") },
    row("info", 2, STALE, "Tells how the cluster is."),
    row("keyslot", 3, STALE, "Tells the slot of a key."),
    Command { since: "7.0.0", ..row("links", 2, STALE, "Tells the links to other nodes.") },
    row("meet", -4, ADMIN, "Introduces a node."),
    row("myid", 2, STALE, "Tells this node's id."),
    row("nodes", 2, STALE, "Tells the nodes."),
    Command { since: "5.0.0", ..row("replicas", 3, ADMIN, "Tells a node's replicas.") },
    row("replicate", 3, ADMIN, "Makes this node a replica."),
    row("reset", -2, Flags::ADMIN.union(STALE).union(Flags::NOSCRIPT), "Makes this node forget its cluster."),
    row("saveconfig", 2, ADMIN, "Writes the cluster's configuration."),
    row("set-config-epoch", 3, ADMIN, "Sets this node's epoch."),
    row("setslot", -4, ADMIN, "Moves a slot."),
    Command { since: "7.0.0", ..row("shards", 2, STALE, "Tells the shards.") },
    row("slaves", 3, ADMIN, "Tells a node's replicas."),
    row("slots", 2, STALE, "Tells the slots."),
];

const fn row(name: &'static str, arity: i32, flags: Flags, summary: &'static str) -> Command {
    Command::new(name, arity, flags, "cluster", "3.0.0", summary, refuse)
}

fn refuse(_: &mut Call<'_>) -> Result<(), Failure> {
    Err(Failure::text("ERR This instance has cluster support disabled"))
}
