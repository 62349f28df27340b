//! Commands on the node whose replies do not depend on its inner life: figures that are always empty here, and refusals.

use super::Table;

pub(super) const TABLE: Table = &[
    (20, "DEBUG PROTOCOL {STRING|INTEGER|DOUBLE|BIGNUM|NULL|ARRAY|SET|MAP|VERBATIM|TRUE|FALSE|NOSUCH}"),
    (3, "DEBUG QUICKLIST-PACKED-THRESHOLD {'100|'1kb|NOSUCH|'8gb}"),
    (3, "DEBUG {HTSTATS 'x|HTSTATS '99|OBJECT|SLEEP|NOSUCH}"),
    (3, "DEBUG CHANGE-REPL-ID"),
    (4, "SLOWLOG GET {'-2|NOSUCH}"),
    (2, "SLOWLOG {RESET|NOSUCH}"),
    (4, "LATENCY HISTORY any"),
    (4, "LATENCY GRAPH 'nosuch"),
    (4, "LATENCY RESET {any}*"),
    (4, "LATENCY HISTOGRAM 'nosuch"),
    (2, "LATENCY {LATEST|NOSUCH}"),
    (3, "MEMORY {PURGE|NOSUCH}"),
    (3, "MODULE {LOAD any|UNLOAD any|NOSUCH}"),
    (6, "CLUSTER {INFO|NODES|NOSUCH}"),
    (3, "{READONLY|READWRITE|ASKING}"),
];
