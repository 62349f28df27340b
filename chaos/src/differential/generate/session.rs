//! Commands that change or ask about the connection, transactions out of place, and commands that do not exist.

use super::Table;

pub(super) const TABLE: Table = &[
    (10, "PING"),
    (6, "PING value"),
    (6, "ECHO value"),
    (25, "SELECT db"),
    (6, "HELLO"),
    (12, "HELLO proto"),
    (4, "HELLO proto SETNAME name"),
    (2, "HELLO proto {NOSUCH|SETNAME|AUTH value}"),
    (6, "CLIENT SETNAME name"),
    (8, "CLIENT GETNAME"),
    (4, "CLIENT ID"),
    (4, "CLIENT NO-EVICT {ON|OFF|NOSUCH}"),
    (2, "CLIENT REPLY {ON|NOSUCH}"),
    (2, "CLIENT NOSUCH any"),
    (3, "RESET"),
    // The generator tracks MULTI by itself; these come where they do not belong.
    (3, "EXEC"),
    (3, "DISCARD"),
    (2, "UNWATCH"),
    (4, "WATCH keys"),
    (6, "nosuch any"),
    (3, "nosuch"),
];
