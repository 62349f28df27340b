//! The settings of the log on disk and of its history.

use super::{
    Settings,
    row::{Field, I32_MAX, Row, choice, integer, memory, text, yes_no},
};

/// `appendfsync`: when what was appended is made to survive a power loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is acknowledged.
    Always,
    /// Once a second.
    #[default]
    EverySecond,
    /// Whenever the operating system likes.
    No,
}

/// What is kept of the log on disk, and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `appendonly`.
    pub is_on: bool,
    /// `appendfsync`.
    pub sync: SyncPolicy,
    /// `appenddirname`.
    pub folder: String,
    /// `appendfilename`.
    pub name: String,
    /// `aof-load-truncated`: a torn end is cut off instead of stopping the start.
    pub loads_truncated: bool,
    /// `auto-aof-rewrite-percentage`: how much larger than its base the log gets before it is rewritten; 0 is never.
    pub rewrite_percentage: u64,
    /// `auto-aof-rewrite-min-size`, bytes: below it is not.
    pub rewrite_bytes_min: u64,
    /// `aof-segment-size`, bytes: from this size on a file of the log is followed by another.
    pub segment_bytes: u64,
    /// `repl-history`: older files of the log are kept for replicas.
    pub keeps_history: bool,
    /// `repl-history-size`, bytes.
    pub history_bytes_max: u64,
    /// `repl-history-age`, seconds.
    pub history_seconds_max: u64,
    /// `repl-history-hard-size`, bytes: beyond it even what a replica is being sent goes; 0 is twice `repl-history-size`.
    pub history_bytes_hard_max: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            is_on: true,
            sync: SyncPolicy::EverySecond,
            folder: "appendonlydir".to_owned(),
            name: "appendonly.aof".to_owned(),
            loads_truncated: true,
            rewrite_percentage: 100,
            rewrite_bytes_min: 64 << 20,
            segment_bytes: 256 << 20,
            keeps_history: true,
            history_bytes_max: 16 << 30,
            history_seconds_max: 3 * 60 * 60,
            history_bytes_hard_max: 0,
        }
    }
}

impl LogSettings {
    /// Nothing of the log is kept on disk: the data is gone with the process.
    #[must_use]
    pub fn off() -> Self {
        Self { is_on: false, keeps_history: false, ..Self::default() }
    }
}

impl SyncPolicy {
    fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
            Self::No => "no",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Always, Self::EverySecond, Self::No].into_iter().find(|policy| policy.name() == name)
    }
}

/// A field of [`LogSettings`] that is a number.
macro_rules! number {
    ($field:ident) => {
        Field {
            read: |settings| settings.log.$field.to_string(),
            write: |settings, value| {
                if let Ok(number) = value.parse() {
                    settings.log.$field = number;
                }
            },
        }
    };
}

macro_rules! string {
    ($field:ident) => {
        Field {
            read: |settings| settings.log.$field.clone(),
            write: |settings, value| settings.log.$field = value.to_owned(),
        }
    };
}

macro_rules! flag {
    ($field:ident) => {
        Field {
            read: |settings| yes_or_no(settings.log.$field),
            write: |settings, value| settings.log.$field = value == "yes",
        }
    };
}

fn yes_or_no(value: bool) -> String {
    if value { "yes".to_owned() } else { "no".to_owned() }
}

/// Least bytes of a segment.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
const BYTES_MAX: u64 = i64::MAX as u64;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    yes_no("appendonly", "yes").typed(flag!(is_on)),
    choice("appendfsync", "everysec", &["everysec", "always", "no"]).typed(Field {
        read: |settings: &Settings| settings.log.sync.name().to_owned(),
        write: |settings, value| {
            if let Some(policy) = SyncPolicy::parse(value) {
                settings.log.sync = policy;
            }
        },
    }),
    text("appenddirname", "appendonlydir").start_only().typed(string!(folder)),
    text("appendfilename", "appendonly.aof").start_only().typed(string!(name)),
    yes_no("aof-load-truncated", "yes").typed(flag!(loads_truncated)),
    integer("auto-aof-rewrite-percentage", "100", 0, I32_MAX).typed(number!(rewrite_percentage)),
    memory("auto-aof-rewrite-min-size", "67108864", 0, BYTES_MAX).typed(number!(rewrite_bytes_min)),
    memory("aof-segment-size", "268435456", SEGMENT_BYTES_MIN, BYTES_MAX).typed(number!(segment_bytes)),
    yes_no("repl-history", "yes").typed(flag!(keeps_history)),
    memory("repl-history-size", "17179869184", 0, BYTES_MAX).typed(number!(history_bytes_max)),
    integer("repl-history-age", "10800", 0, i64::MAX).typed(number!(history_seconds_max)),
    memory("repl-history-hard-size", "0", 0, BYTES_MAX).typed(number!(history_bytes_hard_max)),
];
