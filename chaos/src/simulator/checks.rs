//! What must hold, whatever happens: one checker for each promise. They judge by what the world knows, which is more than
//! any node does.

use rejoin_protocol::Offset;
use rejoin_replication::{FullReason, Resync, Wanted};

use super::{
    NodeId,
    book::{Book, Place},
    node::Node,
};

/// A write that was acknowledged under WAITAOF: some replica has it on disk.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) place: Place,
    /// Who said so.
    pub(crate) holders: Vec<NodeId>,
}

/// What a process was when it ended.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    pub(crate) is_power_loss: bool,
    /// It ended in the middle of something, a change of its stream's name perhaps.
    pub(crate) is_crash: bool,
    pub(crate) place: Place,
    /// A start finds the data that it had.
    pub(crate) is_recoverable: bool,
    /// Everything was synced before it was shown.
    pub(crate) syncs_always: bool,
    pub(crate) durable: Option<Offset>,
}

/// Nothing that was shown is lost by a killed process, nothing that was synced by a machine without power; and only the
/// former keeps its name.
pub(crate) fn check_start(book: &Book, death: &Death, found: Place) -> Result<(), String> {
    if !death.is_recoverable {
        return Ok(());
    }
    let kept = match (death.is_power_loss && !death.syncs_always, death.durable) {
        (false, _) => death.place.1,
        (true, Some(durable)) => durable.min(death.place.1),
        (true, None) => return Ok(()),
    };
    if !book.is_beginning(book.oldest_name((death.place.0, kept)), found) {
        return Err(format!("it ended with {kept} of {:?} safe, and starts with {found:?}", death.place));
    }
    let keeps_name = found.0 == death.place.0;
    if death.is_power_loss && keeps_name && !death.is_crash {
        return Err(format!("after a power loss it goes on under the same name at {found:?}"));
    }
    if !death.is_power_loss && !keeps_name && !death.is_crash {
        return Err(format!("after a kill it goes on as {found:?} instead of {:?}", death.place));
    }
    Ok(())
}

/// What was acknowledged is held.
pub(crate) fn check_ack(replica: &Node, offset: Offset) -> Result<(), String> {
    let held = replica.place();
    if offset > held.1 {
        return Err(format!("n{} acknowledged {offset}, and holds {held:?}", replica.id));
    }
    Ok(())
}

/// What the replica that asked should have got, by what the world knows; an error is a promise broken. Says why, where a
/// full sync was right.
pub(crate) fn check_rung(
    book: &Book,
    by: Place,
    wanted: Wanted,
    retained_from: Offset,
    knows: &[Place],
    rung: &Resync,
) -> Result<&'static str, String> {
    let Wanted::Continue { replid, from } = wanted else { return Ok("it asks for everything") };
    let held = (replid, from.prior());
    let is_shared = book.is_beginning(book.oldest_name(held), by);
    match rung {
        Resync::Continue { from: given } | Resync::History { from: given } => {
            let by_memory = matches!(rung, Resync::Continue { .. });
            let is_served = given.get().max(1) == from.get().max(1);
            if is_shared && is_served {
                Ok(if by_memory { "it continues" } else { "it continues out of files" })
            } else {
                Err(format!("{by:?} continues {held:?}, which is no beginning of it"))
            }
        }
        Resync::Full { reason } => {
            let Some(why) = why_full(book, by, held, retained_from, knows, is_shared) else {
                return Err(format!("{by:?} has all behind {retained_from} and refuses {held:?}: {reason}"));
            };
            if matches!(reason, FullReason::TooNew { .. }) && is_shared {
                return Err(format!("{by:?} has less than it once had: {reason}"));
            }
            Ok(why)
        }
    }
}

/// Why no lower rung could serve; `None` if one could.
fn why_full(
    book: &Book,
    by: Place,
    held: Place,
    retained_from: Offset,
    knows: &[Place],
    is_shared: bool,
) -> Option<&'static str> {
    // A replica that is continued under a new name knows only that it shared the old one up to where it stood itself.
    let told_up_to = knows.iter().find(|(replid, _)| *replid == held.0).map(|(_, last_valid)| *last_valid);
    let is_named = held.0 == by.0 || told_up_to.is_some_and(|told| held.1 <= told);
    let has_bytes = held.1 >= retained_from;
    match (is_shared, is_named, has_bytes) {
        (true, true, true) => None,
        (true, true, false) => Some("the bytes are gone"),
        (true, false, _) if told_up_to.is_some() => Some("it was told that name for less"),
        (true, false, _) => Some("it was never told that name"),
        (false, ..) if book.shared_with(held.0, by).is_some() => Some("it has diverged: rewind"),
        (false, ..) => Some("another stream"),
    }
}

/// All that was promised is in `place`, or its loss is no fault: `excuses` says of whom nobody expected it.
pub(crate) fn check_promises(
    book: &Book,
    promises: &mut Vec<Promise>,
    place: Place,
    is_promised_by: impl Fn(&Promise) -> bool,
) -> Result<(), String> {
    let is_kept = |promise: &Promise| book.is_beginning(book.oldest_name(promise.place), place);
    if let Some(lost) = promises.iter().find(|promise| !is_kept(promise) && is_promised_by(promise)) {
        return Err(format!(
            "{:?} was acknowledged as durable by {:?}, and is lost at {place:?}",
            lost.place, lost.holders
        ));
    }
    promises.retain(is_kept);
    Ok(())
}
