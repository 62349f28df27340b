//! AUX fields: what a payload says of itself.

use rejoin_keyspace::HashSeed;
use rejoin_protocol::{DbIndex, Offset, ReplicationId};

use super::super::format::aux;
use super::super::summary::{AUX_BYTES_MAX, AUX_FIELDS_MAX};
use super::super::{CheckEvent, RdbError, StreamPosition};
use super::Decoder;

/// What AUX fields have said of the stream so far.
#[derive(Default)]
pub(super) struct StatedPosition {
    selected: Option<DbIndex>,
    replid: Option<ReplicationId>,
    offset: Option<Offset>,
}

impl StatedPosition {
    /// It counts only when it is whole.
    pub(super) fn position(&self) -> Option<StreamPosition> {
        Some(StreamPosition { replid: self.replid?, offset: self.offset?, selected: self.selected? })
    }
}

impl Decoder<'_> {
    /// AUX fields are notes: unknown ones are passed over, and so is a position that does not make sense, but for a
    /// database that does not exist: the stream would go on in it.
    pub(super) fn read_aux(&mut self, at: u64) -> Result<(), RdbError> {
        self.read_name()?;
        let value = self.source.string()?.into_bytes().into_owned();
        if let Some(observer) = &mut self.observer {
            observer(CheckEvent::Aux { read: self.source.position(), name: &self.name, value: &value });
        }
        match self.name.as_slice() {
            aux::STREAM_DB => {
                self.stated.selected = match number(&value) {
                    Some(number) if self.observer.is_none() => Some(self.existing_database(at, number)?),
                    number => number.and_then(|number| u32::try_from(number).ok()).map(DbIndex::new),
                };
            }
            aux::REPLICATION_ID => self.stated.replid = ReplicationId::parse(&value),
            aux::REPLICATION_OFFSET => self.stated.offset = number(&value).map(Offset::new),
            aux::HASH_SEED => self.take_up_seed(&value),
            _ => {}
        }
        if self.summary.aux.len() < AUX_FIELDS_MAX && self.name.len() + value.len() <= AUX_BYTES_MAX {
            self.summary.aux.push((self.name.clone(), value));
        }
        Ok(())
    }

    /// Hashes with the seed that the payload states, so that its keys come in order. Not once there are keys.
    fn take_up_seed(&mut self, text: &[u8]) {
        self.summary.seed = seed(text);
        if let Some(seed) = self.summary.seed
            && self.options.adopts_seed
            && self.batch.is_empty()
            && self.workers.as_ref().is_none_or(|workers| workers.is_idle())
            && self.keyspace.adopt_seed(seed)
        {
            self.draft = self.keyspace.draft();
        }
    }
}

/// An unsigned number.
fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// 16 bytes in hexadecimal.
fn seed(text: &[u8]) -> Option<HashSeed> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 32 && text.is_ascii())?;
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
    }
    Some(HashSeed::new(bytes))
}
