//! CLIENT PAUSE and UNPAUSE.

use rejoin_protocol::{UnixMillis, number::parse_i64};

use crate::{Call, Failure, node::pause::Pause};

/// CLIENT PAUSE timeout [WRITE|ALL]: from the next request on, this client's included.
pub(super) fn pause(call: &mut Call<'_>) -> Result<(), Failure> {
    let writes_only = match call.args[3..] {
        [] => false,
        [mode] if mode.eq_ignore_ascii_case(b"write") => true,
        [mode] if mode.eq_ignore_ascii_case(b"all") => false,
        [_] => return Err(Failure::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(Failure::Syntax),
    };
    let millis =
        parse_i64(call.args[2]).ok_or(Failure::text("ERR timeout is not an integer or out of range"))?;
    if millis < 0 {
        return Err(Failure::text("ERR timeout is negative"));
    }
    let until = call.now().get().checked_add(millis).ok_or(Failure::text("ERR timeout is out of range"))?;
    call.engine.begin_pause(Pause { until: UnixMillis::new(until), writes_only });
    call.reply().ok();
    Ok(())
}

pub(super) fn unpause(call: &mut Call<'_>) -> Result<(), Failure> {
    call.engine.end_pause();
    call.reply().ok();
    Ok(())
}
