//! SIGTERM and SIGINT ask for a shutdown in good order; a SIGINT while one is on ends the program at once. Ignored are
//! SIGHUP (the log follows renames by itself, and a terminal that closes must not end a node) and SIGXFSZ (a file that
//! may not grow is an error of that write).

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    iterator::Signals,
};
use tracing::warn;

/// Which signal asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Terminate,
    Interrupt,
}

/// Whether a shutdown that a signal asked for is on. Clones tell of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct IsLeaving(Arc<AtomicBool>);

impl IsLeaving {
    /// It was called off: the next signal asks again.
    pub(crate) fn called_off(&self) {
        self.0.store(false, Relaxed);
    }
}

/// Listens from now on, on a thread of its own; `asked` is called for each signal that asks for a shutdown.
///
/// # Errors
/// The handlers or the thread cannot be installed.
pub(crate) fn listen(is_leaving: IsLeaving, asked: impl Fn(Asked) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGXFSZ])?;
    let listener = move || {
        for signal in signals.forever().filter(|signal| matches!(*signal, SIGTERM | SIGINT)) {
            let was_leaving = is_leaving.0.swap(true, Relaxed);
            if signal == SIGINT && was_leaving {
                warn!("You insist... exiting now.");
                exit_at_once();
            }
            let (name, by) =
                if signal == SIGINT { ("SIGINT", Asked::Interrupt) } else { ("SIGTERM", Asked::Terminate) };
            warn!("Received {name} scheduling shutdown...");
            asked(by);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(listener).map(drop)
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever signals twice does not want to wait for an orderly end"
)]
fn exit_at_once() -> ! {
    std::process::exit(1)
}
