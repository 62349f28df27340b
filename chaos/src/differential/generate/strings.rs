//! String commands.

use super::Table;

pub(super) const TABLE: Table = &[
    (40, "SET skey value"),
    (40, "SET skey value {EX seconds|PX ms|EXAT at|PXAT atms|KEEPTTL|NX|XX|GET}*"),
    (20, "GET skey"),
    (8, "GETSET skey value"),
    (6, "GETDEL skey"),
    (20, "GETEX skey {EX seconds|PX ms|EXAT at|PXAT atms|PERSIST}?"),
    (3, "GETEX skey {EX seconds|PX ms|EXAT at|PXAT atms|PERSIST|NX}*"),
    (8, "SETNX skey value"),
    (8, "SETEX skey seconds value"),
    (8, "PSETEX skey ms value"),
    (10, "MSET pairs"),
    (8, "MSETNX pairs"),
    (10, "MGET skeys"),
    (15, "APPEND skey value"),
    (8, "STRLEN skey"),
    (15, "INCR skey"),
    (10, "DECR skey"),
    (15, "INCRBY skey integer"),
    (10, "DECRBY skey integer"),
    (15, "INCRBYFLOAT skey float"),
    (12, "GETRANGE skey index index"),
    (4, "SUBSTR skey index index"),
    (12, "SETRANGE skey offset value"),
    (12, "LCS skey skey {LEN|IDX|MINMATCHLEN minlen|WITHMATCHLEN}*"),
    // Values on which numbers and LCS say something.
    (12, "SET skey integer"),
    (8, "SET skey float"),
    (8, "MSET 's1 'ohmytext 's2 'mynewtext"),
];
