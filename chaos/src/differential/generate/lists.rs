//! List commands.

use super::Table;

pub(super) const TABLE: Table = &[
    (25, "LPUSH lkey elements"),
    (30, "RPUSH lkey elements"),
    (4, "RPUSH lkey manyelements"),
    (8, "LPUSHX lkey elements"),
    (8, "RPUSHX lkey elements"),
    (12, "LPOP lkey"),
    (12, "RPOP lkey"),
    (8, "LPOP lkey popcount"),
    (8, "RPOP lkey popcount"),
    (10, "LLEN lkey"),
    (12, "LINDEX lkey index"),
    (15, "LSET lkey index element"),
    (20, "LRANGE lkey index index"),
    (8, "LRANGE lkey '0 '-1"),
    (8, "LTRIM lkey index index"),
    (12, "LREM lkey index element"),
    (15, "LINSERT lkey {BEFORE|AFTER} element element"),
    (1, "LINSERT lkey NOSUCH element element"),
    (15, "LPOS lkey element {RANK index|COUNT popcount|MAXLEN popcount}*"),
    (15, "LMOVE lkey lkey {LEFT|RIGHT} {LEFT|RIGHT}"),
    (1, "LMOVE lkey lkey LEFT NOSUCH"),
    (10, "RPOPLPUSH lkey lkey"),
    (5, "LMPOP '1 lkey {LEFT|RIGHT} {COUNT popcount}?"),
    (5, "LMPOP '2 lkey lkey {LEFT|RIGHT} {COUNT popcount}?"),
    // The shortest wait there is: servers look at their clocks ten times a second.
    (1, "BLPOP lkey lkey '0.001"),
    (1, "BRPOP lkey '0.001"),
    (1, "BLMOVE lkey lkey {LEFT|RIGHT} {LEFT|RIGHT} '0.001"),
    (1, "BRPOPLPUSH lkey lkey '0.001"),
    (1, "BLMPOP '0.001 '2 lkey lkey {LEFT|RIGHT} {COUNT popcount}?"),
    (1, "{BLPOP|BRPOP} lkey {'-1|'abc|'|'0.001}"),
    (2, "LMPOP count lkey lkey {LEFT|RIGHT|COUNT popcount}*"),
];
