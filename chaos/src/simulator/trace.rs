//! What happened, line by line: its checksum tells two runs apart, its last lines tell why a check failed.

use std::{collections::VecDeque, fmt, time::Duration};

/// Lines that are kept for the report of a failure.
const LINES_KEPT: usize = 60;
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// The lines of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    checksum: u64,
    last: VecDeque<String>,
    /// Where each line goes as it comes, if anywhere.
    prints: Option<fn(&str)>,
}

impl Trace {
    pub(crate) fn new(prints: Option<fn(&str)>) -> Self {
        Self { checksum: FNV_BASIS, last: VecDeque::new(), prints }
    }

    pub(crate) fn line(&mut self, now: Duration, who: &dyn fmt::Display, what: &str) {
        let line = format!("{:>11.6} {who:<7} {what}", now.as_secs_f64());
        for byte in line.bytes() {
            self.checksum = (self.checksum ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        if let Some(print) = self.prints {
            print(&line);
        }
        if self.last.len() == LINES_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The same for the same lines (FNV-1a).
    pub(crate) fn checksum(&self) -> u64 {
        self.checksum
    }

    pub(crate) fn last_lines(&self) -> String {
        self.last.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}
