//! Hash commands.

use super::Table;

pub(super) const TABLE: Table = &[
    (40, "HSET hkey fieldvalues"),
    (4, "HSET hkey manyfields"),
    (8, "HSET hkey fieldvalues field"),
    (8, "HMSET hkey fieldvalues"),
    (8, "HSETNX hkey field value"),
    (20, "HGET hkey field"),
    (12, "HMGET hkey fields"),
    (15, "HGETALL hkey"),
    (15, "HDEL hkey fields"),
    (10, "HLEN hkey"),
    (8, "HSTRLEN hkey field"),
    (10, "HEXISTS hkey field"),
    (8, "HKEYS hkey"),
    (8, "HVALS hkey"),
    (18, "HINCRBY hkey field integer"),
    (18, "HINCRBYFLOAT hkey field float"),
    (10, "HSCAN hkey '0 {MATCH pattern|COUNT count}*"),
    (2, "HSCAN hkey badcursor"),
    (2, "HSCAN hkey '0 {MATCH|COUNT|NOSUCH}"),
    (6, "HRANDFIELD hkey"),
    (10, "HRANDFIELD hkey randoms {WITHVALUES}?"),
    (2, "HRANDFIELD hkey randoms NOSUCH"),
];
