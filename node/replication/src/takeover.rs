//! FAILOVER as the link to its target sees it: whether the one we ask took our place. A part of
//! [`Upstream`](crate::Upstream).
//!
//! The answer may be lost after the target has become a master. Whoever then took its next answer ("can't be sent to a
//! master") for a refusal would be a second master. So it is the target's lineage that tells, and every later link says
//! that it is not the first to ask.
//!
//! Invariant: nothing of what we hold is given up while the question is open. It is neither rewound nor replaced by a
//! payload; first the answer is known, and then the target is asked again, as any master is.

use crate::lineage::Lineage;
use crate::rewind::{MasterStream, Standing};

/// The end of Redis' words of a target that is a master (before it stands an apostrophe, which may come escaped).
const IS_A_MASTER: &str = "be sent to a master";

/// Whether the one we ask is to take our place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It is our master.
    No,
    /// FAILOVER: it is our replica, and is asked to. It is never asked by SYNC.
    Ask,
    /// As [`Ask`](Self::Ask), but an earlier link asked already and did not hear the answer.
    AskAgain,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not take our place.
    Meant,
    /// It has taken our place already: it is to be asked as a master is.
    TookOver,
    /// Nobody can tell yet: it is to be asked again.
    Unclear,
}

/// The question and its answer, on one link.
#[derive(Debug)]
pub(crate) struct Question {
    takeover: Takeover,
    /// What the target told of itself, if it did: whether it is a master.
    is_master: Option<bool>,
    /// Set once.
    answer: Option<bool>,
}

impl Question {
    pub(crate) fn new(takeover: Takeover) -> Self {
        Self { takeover, is_master: None, answer: None }
    }

    /// Whether PSYNC is to say FAILOVER.
    pub(crate) fn is_open(&self) -> bool {
        self.takeover != Takeover::No && self.answer.is_none()
    }

    /// Whether it took our place; `None` while that is open, or was not asked.
    pub(crate) fn answer(&self) -> Option<bool> {
        self.answer
    }

    /// The target told its stream: a master that continues ours has taken our place.
    pub(crate) fn handle_stream(&mut self, ours: &Lineage, target: &MasterStream) {
        if !self.is_open() {
            return;
        }
        let is_master = target.standing == Standing::Master;
        self.is_master = Some(is_master);
        if is_master && target.lineage.last_valid(ours.current()).is_some() {
            self.answer = Some(true);
        }
    }

    /// `+CONTINUE` or `+FULLRESYNC`.
    pub(crate) fn handle_accepted(&mut self) {
        if self.is_open() {
            self.answer = Some(true);
        }
    }

    /// `-...`; `is_temporary` if it says so. Only while the question is open.
    pub(crate) fn handle_refused(&mut self, said: &str, is_temporary: bool) -> Refusal {
        let refusal = match self.is_master {
            // It was none a moment ago: its lineage tells who made it one.
            Some(false) if said.contains(IS_A_MASTER) => Refusal::Unclear,
            None if said.contains(IS_A_MASTER) && self.takeover == Takeover::AskAgain => Refusal::TookOver,
            _ if is_temporary && self.takeover == Takeover::AskAgain => Refusal::Unclear,
            _ => Refusal::Meant,
        };
        self.answer = match refusal {
            Refusal::Meant => Some(false),
            Refusal::TookOver => Some(true),
            Refusal::Unclear => None,
        };
        refusal
    }
}
