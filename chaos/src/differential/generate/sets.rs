//! Set commands.

use super::Table;

pub(super) const TABLE: Table = &[
    (40, "SADD tkey members"),
    (8, "SADD tkey manymembers"),
    (15, "SREM tkey members"),
    (10, "SISMEMBER tkey member"),
    (8, "SMISMEMBER tkey members"),
    (10, "SCARD tkey"),
    (15, "SMEMBERS tkey"),
    (12, "SMOVE tkey tkey member"),
    (8, "SPOP tkey"),
    (8, "SPOP tkey randoms"),
    (4, "SPOP tkey '100000"),
    (1, "SPOP tkey randoms member"),
    (6, "SRANDMEMBER tkey"),
    (10, "SRANDMEMBER tkey randoms"),
    (1, "SRANDMEMBER tkey randoms NOSUCH"),
    (10, "SINTER tkeys"),
    (10, "SUNION tkeys"),
    (10, "SDIFF tkeys"),
    (10, "SINTERSTORE tkey tkeys"),
    (10, "SUNIONSTORE tkey tkeys"),
    (10, "SDIFFSTORE tkey tkeys"),
    (12, "SINTERCARD '2 tkey tkey {LIMIT count}?"),
    (2, "SINTERCARD index tkeys {LIMIT count}*"),
    (10, "SSCAN tkey '0 {MATCH pattern|COUNT count}*"),
    (2, "SSCAN tkey badcursor"),
    (2, "SSCAN tkey '0 {MATCH|COUNT|NOSUCH}"),
];
