//! Hashes, in every encoding that Redis and Valkey have written. Fields that expire are none that we have: a hash whose
//! fields could and do not is read, one whose fields do is refused or passed over.

use std::borrow::Cow;

use rejoin_keyspace::{Entry, Key};
use rejoin_protocol::UnixMillis;

use super::super::RdbError;
use super::super::encodings::listpack::Listpack;
use super::super::encodings::ziplist::Ziplist;
use super::super::encodings::zipmap::Zipmap;
use super::super::encodings::{Element, Flaw};
use super::super::format::{Dialect, value_type};
use super::super::source::{Source, damaged};
use super::Decoder;

/// Takes a field and its value; whether the field is new.
type PutField<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

impl Decoder<'_> {
    /// Reads a hash whose type stood at `at`; one without fields is nothing.
    pub(super) fn read_hash(
        &mut self,
        key: Key<'_>,
        at: u64,
        code: u8,
        expiry: Option<UnixMillis>,
    ) -> Result<Option<Entry>, RdbError> {
        let mut limits = self.options.limits.hash;
        let is_plain = matches!(
            code,
            value_type::HASH | value_type::HASH_FIELD_EXPIRY | value_type::HASH_FIELD_EXPIRY_22
        );
        if !is_plain {
            // As in Redis, only the number of fields decides whether what came packed stays so.
            limits.value_bytes_max = usize::MAX;
        }
        let Some(mut hash) = self.draft.database_mut().hash_mut(key, limits) else {
            unreachable!("the draft is empty between keys");
        };
        let put = &mut |field: &[u8], value: &[u8]| hash.set(field, value);
        let source = &mut self.source;
        let expiring = if is_plain {
            let layout = Layout::of(code, self.dialect);
            read_plain_fields(source, &mut self.field, layout, put)?
        } else {
            if code == value_type::HASH_LISTPACK_EXPIRY {
                // The earliest of the fields' expiries; these themselves are in the listpack.
                source.array::<8>()?;
            }
            let fields_at = source.position();
            let blob = source.string()?.into_bytes();
            read_packed_fields(fields_at, code, &blob, put)?
        };
        drop(hash);
        let entry = self.draft.take(key, expiry);
        if expiring == 0 {
            return Ok(entry);
        }
        self.refuse_or_skip_key(at, code, key.bytes, &format!("a hash with {expiring} fields that expire"))?;
        Ok(None)
    }
}

/// Where the expiry of a field stands in a hash that is not packed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// There is none.
    Without,
    /// Before the field, behind a minimum for the whole hash.
    Relative,
    /// Before the field.
    Before,
    /// Behind the value, as a time of 64 bits.
    Behind,
}

impl Layout {
    fn of(code: u8, dialect: Dialect) -> Self {
        match (code, dialect) {
            (value_type::HASH_FIELD_EXPIRY, _) => Self::Relative,
            (value_type::HASH_FIELD_EXPIRY_22, Dialect::Redis) => Self::Before,
            (value_type::HASH_FIELD_EXPIRY_22, Dialect::Valkey) => Self::Behind,
            _ => Self::Without,
        }
    }
}

/// Reads a count, fields and values; returns how many of the fields expire.
fn read_plain_fields(
    source: &mut Source<'_>,
    field: &mut Vec<u8>,
    layout: Layout,
    put: PutField<'_>,
) -> Result<u64, RdbError> {
    let mut expiring = 0;
    if layout == Layout::Relative {
        source.array::<8>()?;
    }
    let count = source.length()?;
    for _ in 0..count {
        if matches!(layout, Layout::Relative | Layout::Before) {
            // 0 is for none, whatever the others are relative to.
            expiring += u64::from(source.length()? != 0);
        }
        let at = source.position();
        field.clear();
        field.extend_from_slice(&source.string()?.into_bytes());
        let value = source.string()?.into_bytes();
        if !put(field, &value) {
            return Err(damaged(at, format!("the field '{}' for the second time", field.escape_ascii())));
        }
        if layout == Layout::Behind {
            // -1 is for none.
            expiring += u64::from(i64::from_le_bytes(source.array()?) >= 0);
        }
    }
    Ok(expiring)
}

/// Reads the pairs of a packed hash whose string began at `at`; returns how many of the fields expire.
fn read_packed_fields(at: u64, code: u8, blob: &[u8], put: PutField<'_>) -> Result<u64, RdbError> {
    let flawed = |kind: &'static str| move |flaw: Flaw| damaged(at, flaw.within(kind));
    match code {
        value_type::HASH_ZIPMAP => {
            let kind = "a hash as zipmap";
            put_fields(at, kind, false, Zipmap::new(blob).map_err(flawed(kind))?, put)
        }
        value_type::HASH_ZIPLIST => {
            let kind = "a hash as ziplist";
            put_fields(at, kind, false, Ziplist::new(blob).map_err(flawed(kind))?, put)
        }
        _ => {
            let kind = "a hash as listpack";
            let has_expiries = code != value_type::HASH_LISTPACK;
            put_fields(at, kind, has_expiries, Listpack::new(blob).map_err(flawed(kind))?, put)
        }
    }
}

fn put_fields<'a>(
    at: u64,
    kind: &'static str,
    has_expiries: bool,
    elements: impl Iterator<Item = Result<Element<'a>, Flaw>>,
    put: PutField<'_>,
) -> Result<u64, RdbError> {
    let mut texts = elements.map(|element| element.map(Element::into_bytes));
    let mut next = || -> Result<Option<Cow<'a, [u8]>>, RdbError> {
        texts.next().transpose().map_err(|flaw| damaged(at, flaw.within(kind)))
    };
    let mut expiring = 0;
    while let Some(field) = next()? {
        let Some(value) = next()? else {
            return Err(damaged(at, format!("{kind}: a field without a value")));
        };
        if has_expiries {
            let Some(expiry) = next()? else {
                return Err(damaged(at, format!("{kind}: a field without its expiry")));
            };
            expiring += u64::from(*expiry != *b"0");
        }
        if !put(&field, &value) {
            let what = format!("{kind}: the field '{}' for the second time", field.escape_ascii());
            return Err(damaged(at, what));
        }
    }
    Ok(expiring)
}
