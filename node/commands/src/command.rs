//! What a command is: one static row, which COMMAND, key extraction, the checks before execution and propagation read.

use bitflags::bitflags;

use crate::{Call, Failure};

/// Executes one command. An `Err` becomes the reply; whatever was replied before it is taken back.
pub type Handler = fn(&mut Call<'_>) -> Result<(), Failure>;

bitflags! {
    /// What kind of command it is, in Redis' terms (the flags of COMMAND INFO).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// May change data; refused on a read-only replica.
        const WRITE = 1 << 0;
        /// Only reads data.
        const READONLY = 1 << 1;
        /// May use more memory; refused over `maxmemory`.
        const DENYOOM = 1 << 2;
        /// For operators.
        const ADMIN = 1 << 3;
        /// Takes constant or logarithmic time.
        const FAST = 1 << 4;
        /// Not from scripts.
        const NOSCRIPT = 1 << 5;
        /// Allowed while loading.
        const LOADING = 1 << 6;
        /// Allowed while the data may be stale.
        const STALE = 1 << 7;
        /// Allowed before authentication.
        const NO_AUTH = 1 << 8;
        /// Executed at once inside MULTI instead of being queued (EXEC, DISCARD, ...), by its own rules.
        const NO_QUEUE = 1 << 9;
        /// Not allowed inside MULTI.
        const NO_MULTI = 1 << 10;
        /// May block the client.
        const BLOCKING = 1 << 11;
        /// Part of publish/subscribe.
        const PUBSUB = 1 << 12;
        /// Not shown by MONITOR.
        const SKIP_MONITOR = 1 << 13;
        /// Keys depend on the arguments: `keys` gives only a destination, and behind that stand the number of further keys
        /// and these keys.
        const MOVABLE_KEYS = 1 << 14;
        /// Not counted by `CLIENT NO-TOUCH`-like accounting: must not refresh access clocks.
        const NO_TOUCH = 1 << 15;
        /// Refused unless `enable-debug-command` (for MODULE `enable-module-command`) allows it.
        const PROTECTED = 1 << 16;
        /// Never in the slow log: what it executes stands there itself.
        const SKIP_SLOWLOG = 1 << 17;
        /// Changes no data and is logged all the same (PUBLISH): held back by CLIENT PAUSE WRITE.
        const MAY_REPLICATE = 1 << 18;
    }
}

/// Where the keys stand among the arguments, as in COMMAND INFO: first, last (negative counts from the end), step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Index of the first key; 0 for none.
    pub first: i32,
    /// Index of the last key; -1 is the last argument.
    pub last: i32,
    /// From one key to the next.
    pub step: i32,
}

impl KeySpec {
    /// No keys.
    pub const NONE: Self = Self { first: 0, last: 0, step: 0 };
    /// The first argument.
    pub const ONE: Self = Self { first: 1, last: 1, step: 1 };
    /// All arguments.
    pub const ALL: Self = Self { first: 1, last: -1, step: 1 };
    /// Every other argument: key, value, key, value ...
    pub const PAIRS: Self = Self { first: 1, last: -1, step: 2 };
    /// The first two arguments.
    pub const TWO: Self = Self { first: 1, last: 2, step: 1 };
}

/// One row of the command table.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its name in lower case; a subcommand's own name only (`setname`).
    pub name: &'static str,
    /// Arguments with the name: exactly so many, or at least so many when negative (Redis' arity).
    pub arity: i32,
    /// What kind of command it is.
    pub flags: Flags,
    /// Where its keys stand.
    pub keys: KeySpec,
    /// The first argument that names an element of the first key's collection (a field, a member); 0 for none. The
    /// touch phase asks for its place too.
    pub element: u8,
    /// Its group in the documentation (`string`, `generic`, `hash`, `connection`, `server`, `transactions`).
    pub group: &'static str,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// What it does, in one line of our own.
    pub summary: &'static str,
    /// What executes it.
    pub handler: Handler,
    /// Its subcommands; their handlers run in place of `handler`.
    pub subcommands: &'static [Command],
    /// Its place among all rows, subcommands included: what is counted for each command stands in arrays by it. Given when
    /// the table is built; 0 before.
    pub number: u16,
}

impl Command {
    /// A row without keys and subcommands.
    #[must_use]
    pub const fn new(
        name: &'static str,
        arity: i32,
        flags: Flags,
        group: &'static str,
        since: &'static str,
        summary: &'static str,
        handler: Handler,
    ) -> Self {
        Self {
            name,
            arity,
            flags,
            keys: KeySpec::NONE,
            element: 0,
            group,
            since,
            summary,
            handler,
            subcommands: &[],
            number: 0,
        }
    }

    /// The row with its keys.
    #[must_use]
    pub const fn with_keys(self, keys: KeySpec) -> Self {
        Self { keys, ..self }
    }

    /// The row with its subcommands.
    #[must_use]
    pub const fn with_subcommands(self, subcommands: &'static [Command]) -> Self {
        Self { subcommands, ..self }
    }

    /// Whether `count` arguments (the name included) fit.
    #[inline]
    #[must_use]
    pub fn accepts(&self, count: usize) -> bool {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        if self.arity >= 0 { count == self.arity } else { count >= -self.arity }
    }

    /// Whether its replies are push messages (SUBSCRIBE and its relatives), which even a client that wants no replies gets.
    pub(crate) fn replies_by_push(&self) -> bool {
        self.flags.contains(Flags::PUBSUB | Flags::NOSCRIPT)
    }

    /// Whether it may change data.
    #[inline]
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.flags.contains(Flags::WRITE)
    }
}
