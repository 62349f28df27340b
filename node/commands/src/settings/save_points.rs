//! `save`: after how many changes, and how long after the last save, the data is saved by itself.

use std::fmt;

/// So many changes, so long after the last save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Since the last save.
    pub seconds: i64,
    /// Since the last save.
    pub changes: u64,
}

/// `save`, as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavePoints {
    points: Vec<SavePoint>,
    /// Nobody has set it: the first line that does takes its place, and those that follow add to that.
    is_default: bool,
}

impl Default for SavePoints {
    fn default() -> Self {
        let point = |seconds, changes| SavePoint { seconds, changes };
        Self { points: vec![point(3600, 1), point(300, 100), point(60, 10_000)], is_default: true }
    }
}

impl SavePoints {
    /// The data is never saved by itself, nor when the node leaves.
    #[must_use]
    pub fn none() -> Self {
        Self { points: Vec::new(), is_default: false }
    }

    /// What a canonical text says.
    pub(super) fn parse(canonical: &str) -> Self {
        let words: Vec<&str> = canonical.split_whitespace().collect();
        let point = |pair: &[&str]| {
            let [seconds, changes] = *pair else { return None };
            Some(SavePoint { seconds: seconds.parse().ok()?, changes: changes.parse().ok()? })
        };
        Self { points: words.chunks(2).filter_map(point).collect(), is_default: false }
    }

    /// What a line adds to.
    pub(super) fn earlier(&self) -> Option<String> {
        (!self.is_default && !self.is_empty()).then(|| self.to_string())
    }

    /// Whether the data is never saved by itself, nor when the node leaves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The first point that is reached by so many changes and so many seconds.
    #[must_use]
    pub fn reached(&self, changes: u64, seconds: i64) -> Option<SavePoint> {
        let is_reached = |point: &&SavePoint| changes >= point.changes && seconds > point.seconds;
        self.points.iter().find(is_reached).copied()
    }
}

impl fmt::Display for SavePoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, SavePoint { seconds, changes }) in self.points.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(f, "{blank}{seconds} {changes}")?;
        }
        Ok(())
    }
}
