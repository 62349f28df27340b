//! Commands on bits of strings.

use super::Table;

pub(super) const TABLE: Table = &[
    (20, "SETBIT skey bit {'0|'1}"),
    (1, "SETBIT skey bit {'2|'abc|'-1|'}"),
    (10, "GETBIT skey bit"),
    (5, "BITCOUNT skey"),
    (10, "BITCOUNT skey index index {BYTE|BIT}?"),
    (1, "BITCOUNT skey index"),
    (6, "BITPOS skey {'0|'1}"),
    (8, "BITPOS skey {'0|'1} index"),
    (10, "BITPOS skey {'0|'1} index index {BYTE|BIT}?"),
    (1, "BITPOS skey {'2|'abc} index"),
    (10, "BITOP {AND|OR|XOR} skey skeys"),
    (4, "BITOP NOT skey skey"),
    (1, "BITOP {NOT|NOSUCH} skey skeys"),
    (15, "BITFIELD skey {GET width bit|SET width bit integer|INCRBY width bit integer}*"),
    (15, "BITFIELD skey OVERFLOW {WRAP|SAT|FAIL|NOSUCH} {SET width bit integer|INCRBY width bit integer}*"),
    (4, "BITFIELD_RO skey {GET width bit}*"),
    (1, "BITFIELD_RO skey {GET width bit|SET width bit integer}*"),
];
