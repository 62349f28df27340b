//! Room for as many connections as `maxclients` says: the process' limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not clients': files, other nodes, the runtimes'.
const OTHERS: u64 = 32;

/// Raises the limit for `maxclients`, if it must be.
///
/// # Errors
/// So many clients are possible at most; the limit is as it was.
pub(crate) fn make_room(maxclients: u32) -> Result<(), u32> {
    let needed = u64::from(maxclients) + OTHERS;
    let present = getrlimit(Resource::Nofile);
    let Some(soft) = present.current.filter(|&soft| soft < needed) else { return Ok(()) };
    // Beyond the hard limit only the privileged get.
    let wanted = Rlimit { current: Some(needed), maximum: present.maximum.map(|hard| hard.max(needed)) };
    if setrlimit(Resource::Nofile, wanted).is_ok() {
        return Ok(());
    }
    let most = match present.maximum {
        Some(hard) if hard > soft && hard < needed => {
            let raised = Rlimit { current: Some(hard), maximum: Some(hard) };
            if setrlimit(Resource::Nofile, raised).is_ok() { hard } else { soft }
        }
        _ => soft,
    };
    tracing::warn!(
        "You requested maxclients of {maxclients} requiring at least {needed} max file descriptors."
    );
    tracing::warn!("Server can't set maximum open files to {needed}; the limit is {most}.");
    let most = most.saturating_sub(OTHERS).max(1);
    Err(u32::try_from(most).unwrap_or(u32::MAX))
}
