//! DEBUG RELOAD: the data through the snapshot codec and back.

use rejoin_persistence::rdb::{self, DecodeOptions, EncodeOptions, RdbError, RdbTarget};

use crate::{Call, Effect, Engine, Failure, session::Waiting};

/// DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]: the data is saved and read back, or with NOSAVE replaced by what the
/// file holds. Nothing is logged. Within EXEC it is written and read in memory, since nothing may wait there. NOFLUSH would
/// meet every key twice, at which Redis ends itself unless it is told to MERGE; then it has the same end as without.
pub(super) fn reload(call: &mut Call<'_>) -> Result<(), Failure> {
    let (mut noflush, mut merge, mut nosave) = (false, false, false);
    for option in &call.args[2..] {
        match option.to_ascii_lowercase().as_slice() {
            b"merge" => merge = true,
            b"noflush" => noflush = true,
            b"nosave" => nosave = true,
            _ => {
                return Err(Failure::text(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    if noflush && !merge {
        return Err(Failure::text("ERR DEBUG RELOAD NOFLUSH is not supported without MERGE"));
    }
    if nosave && (noflush || call.engine.in_exec) {
        return Err(Failure::text("ERR DEBUG RELOAD NOSAVE is not supported with NOFLUSH, nor within EXEC"));
    }
    if call.engine.in_exec {
        call.engine
            .reload()
            .map_err(|error| Failure::text(format!("ERR Error trying to load the RDB dump: {error}")))?;
        call.reply().ok();
        return Ok(());
    }
    let client = call.session.id;
    call.session.waiting = Some(Waiting::Disk);
    call.engine.ask(Effect::Reload { client, saves: !nosave });
    Ok(())
}

impl Engine {
    /// Encodes all data and puts what decoding gives in its place. After an error the data is as it was.
    fn reload(&mut self) -> Result<(), RdbError> {
        let mut bytes = Vec::new();
        let options = EncodeOptions::for_target(RdbTarget { psync2: true }, None);
        rdb::encode(self.keyspace.snapshot(), &options, &mut bytes)?;
        let mut loaded = self.empty_keyspace();
        let options = DecodeOptions::for_file(self.settings.limits());
        rdb::decode(&mut bytes.as_slice(), &mut loaded, &options)?;
        self.replace_keyspace(loaded);
        Ok(())
    }
}
