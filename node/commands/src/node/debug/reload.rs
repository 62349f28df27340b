//! DEBUG RELOAD and its kin: the data through the snapshot codec and back, in memory.

use rejoin_keyspace::{Keyspace, KeyspaceOptions};
use rejoin_persistence::rdb::{self, DecodeOptions, EncodeOptions, RdbError, RdbTarget};
use rejoin_protocol::DbIndex;

use crate::{Call, Engine, Failure};

/// DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]: the data is written as an RDB and read back, without a file. Nothing is
/// logged, since nothing changes. NOSAVE would read an older file, and there is none; NOFLUSH alone would meet every key
/// twice, at which Redis ends itself.
pub(super) fn reload(call: &mut Call<'_>) -> Result<(), Failure> {
    let (mut noflush, mut merge) = (false, false);
    for option in &call.args[2..] {
        match option.to_ascii_lowercase().as_slice() {
            b"merge" => merge = true,
            b"noflush" => noflush = true,
            b"nosave" => {
                return Err(Failure::text(
                    "ERR DEBUG RELOAD NOSAVE is not supported: there is no RDB file to load",
                ));
            }
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
    call.engine
        .reload()
        .map_err(|error| Failure::text(format!("ERR Error trying to load the RDB dump: {error}")))?;
    call.reply().ok();
    Ok(())
}

impl Engine {
    /// Encodes all data and puts what decoding gives in its place. After an error the data is as it was.
    fn reload(&mut self) -> Result<(), RdbError> {
        let mut bytes = Vec::new();
        let options = EncodeOptions::for_target(RdbTarget { psync2: true }, None);
        rdb::encode(self.keyspace.snapshot(), &options, &mut bytes)?;
        let mut loaded = Keyspace::new(KeyspaceOptions {
            databases: self.keyspace.database_count(),
            seed: *self.keyspace.seed(),
        });
        loaded.set_position(self.log.position());
        let options = DecodeOptions::for_file(self.settings.limits());
        rdb::decode(&mut bytes.as_slice(), &mut loaded, &options)?;
        self.keyspace = loaded;
        self.set_access_clock();
        // As after a flush and a load: every key has been written.
        for db in (0..self.keyspace.database_count()).map(DbIndex::new) {
            self.watches.database_changed(db, |_| true);
            self.blocked.database_changed(db);
        }
        Ok(())
    }
}
