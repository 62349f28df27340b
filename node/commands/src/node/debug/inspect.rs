//! DEBUG OBJECT and its kin: how one key, or a database, is held.

use rejoin_keyspace::{Entry, HashSeed, Key, Keyspace, KeyspaceOptions, StringForm, Value};
use rejoin_persistence::rdb::{self, EncodeOptions, RdbTarget};
use rejoin_protocol::{DbIndex, number::parse_i64};

use crate::{
    Call, Effect, Failure,
    data::{encoding_name, reference_count},
};

/// The key that the third argument names, expired or not.
fn entry<'a>(call: &'a Call<'_>) -> Result<&'a Entry, Failure> {
    let key = call.engine.keyspace.key(call.args[2]);
    call.db().get(key).ok_or(Failure::NoSuchKey)
}

/// DEBUG OBJECT key: the line of Redis. `serializedlength` is what the value takes in an RDB of ours.
pub(super) fn object(call: &mut Call<'_>) -> Result<(), Failure> {
    let entry = entry(call)?;
    let text = format!(
        "Value at:{:p} refcount:{} encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        reference_count(entry),
        encoding_name(entry),
        serialized_len(entry)?,
        entry.access() & 0x00ff_ffff,
        call.engine.keyspace.access().idle_seconds(entry),
    );
    call.reply().simple(&text);
    Ok(())
}

/// Bytes of a value in an RDB: those of an RDB with nothing but this under a short key, less the rest of it.
fn serialized_len(entry: &Entry) -> Result<u64, Failure> {
    /// SELECTDB and its number, RESIZEDB and its numbers, the type, the key with its length.
    const REST_BYTES: u64 = 2 + 3 + 1 + 2;
    let encoded = |fill: &dyn Fn(&mut Keyspace)| {
        let seed = HashSeed::new([0; 16]);
        let mut keyspace = Keyspace::new(KeyspaceOptions { databases: 1, seed });
        fill(&mut keyspace);
        let mut bytes = Vec::new();
        let options = EncodeOptions::for_target(RdbTarget { psync2: true }, None);
        rdb::encode(keyspace.snapshot(), &options, &mut bytes)
            .map_err(|error| Failure::text(format!("ERR {error}")))
    };
    let empty = encoded(&|_| {})?;
    let whole = encoded(&|keyspace| {
        let Key { bytes, hash } = keyspace.key(b"k");
        keyspace.database_mut(DbIndex::new(0)).put_copy(Key { bytes, hash }, entry, None);
    })?;
    Ok(whole.saturating_sub(empty + REST_BYTES))
}

/// DEBUG SDSLEN key: lengths of key and string. Both stand in one allocation here, without room to spare.
pub(super) fn sdslen(call: &mut Call<'_>) -> Result<(), Failure> {
    let entry = entry(call)?;
    let Value::Str(value, StringForm::Embstr | StringForm::Raw) = entry.value() else {
        return Err(Failure::text("ERR Not an sds encoded string."));
    };
    let (key, whole) = (entry.key().len(), entry.bytes_used());
    let text = format!(
        "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{}, val_sds_avail:0, val_zmalloc: {}",
        value.len(),
        whole.saturating_sub(key)
    );
    call.reply().simple(&text);
    Ok(())
}

/// DEBUG LISTPACK key, DEBUG QUICKLIST key: what there is to tell goes to the log.
pub(super) fn structure(call: &mut Call<'_>, encoding: &'static str) -> Result<(), Failure> {
    let mut name = encoding.to_owned();
    name[..1].make_ascii_uppercase();
    let entry = entry(call)?;
    let is_quicklist = matches!(entry.value(), Value::List(_));
    if encoding_name(entry) != encoding && !(encoding == "quicklist" && is_quicklist) {
        return Err(Failure::text(format!("ERR Not a {encoding} encoded object.")));
    }
    let elements = match entry.value() {
        Value::List(list) => list.len(),
        Value::Hash(hash) => hash.len(),
        Value::Set(set) => set.len(),
        Value::SortedSet(set) => set.len(),
        Value::Int(_) | Value::Str(..) => 1,
    };
    let key = String::from_utf8_lossy(entry.key()).into_owned();
    let text = format!("{name} of '{key}': {elements} elements, {} bytes", entry.bytes_used());
    call.engine.ask(Effect::Log { text });
    call.reply().simple(&format!("{name} structure printed on stdout"));
    Ok(())
}

/// DEBUG HTSTATS db [FULL]: sizes of the tree of keys and of the index of expiries.
pub(super) fn htstats(call: &mut Call<'_>) -> Result<(), Failure> {
    let index = parse_i64(call.args[2]).ok_or(Failure::NotAnInteger)?;
    let index = u32::try_from(index).ok().filter(|&index| index < call.engine.keyspace.database_count());
    let index = index.ok_or(Failure::text("ERR Out of range database"))?;
    let database = call.engine.keyspace.database(DbIndex::new(index));
    let text = format!(
        "[Dictionary HT]\nHash-prefix tree stats:\n number of elements: {}\n bytes: {}\n[Expires HT]\nIndex of expiries \
         stats:\n number of elements: {}\n bytes: {}\n",
        database.len(),
        database.bytes_used(),
        database.volatile_len(),
        database.expiry_bytes_used()
    );
    call.reply().verbatim(text.as_bytes());
    Ok(())
}

/// DEBUG HTSTATS-KEY key [FULL]: size of a large hash or set.
pub(super) fn htstats_key(call: &mut Call<'_>) -> Result<(), Failure> {
    let entry = entry(call)?;
    let elements = match entry.value() {
        Value::Hash(hash) if !hash.is_packed() => hash.len(),
        Value::Set(set) if encoding_name(entry) == "hashtable" => set.len(),
        Value::SortedSet(set) if !set.is_packed() => set.len(),
        _ => {
            return Err(Failure::text(
                "ERR The value stored at the specified key is not represented using an hash table",
            ));
        }
    };
    let text =
        format!("Hash-prefix tree stats:\n number of elements: {elements}\n bytes: {}\n", entry.bytes_used());
    call.reply().verbatim(text.as_bytes());
    Ok(())
}
