//! SIGTERM and SIGINT ask for a shutdown in good order; the second of them ends the program at once. SIGHUP is ignored:
//! the log follows renames by itself, and a terminal that closes must not end a node.

use std::{io, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use tracing::{info, warn};

/// Listens from now on, on a thread of its own; `asked` is called once, by the first signal that asks for a shutdown.
///
/// # Errors
/// The handlers or the thread cannot be installed.
pub(crate) fn listen(asked: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let listener = move || {
        let mut asked = Some(asked);
        for signal in signals.forever().filter(|&signal| signal != SIGHUP) {
            match asked.take() {
                Some(asked) => {
                    info!("Received {} scheduling shutdown...", name(signal));
                    asked();
                }
                None => {
                    warn!("Received {} during the shutdown, exiting now.", name(signal));
                    exit_at_once();
                }
            }
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

fn name(signal: i32) -> &'static str {
    if signal == SIGINT { "SIGINT" } else { "SIGTERM" }
}
