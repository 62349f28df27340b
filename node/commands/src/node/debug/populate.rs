//! DEBUG POPULATE: many keys at once.

use rejoin_keyspace::StringForm;
use rejoin_protocol::number::parse_i64;

use crate::{Call, Failure};

/// Bytes of the longest string that Redis holds as `embstr`.
const EMBSTR_BYTES_MAX: usize = 44;
/// Bytes of a value at most.
const POPULATED_BYTES_MAX: u64 = 512 << 20;

/// DEBUG POPULATE count [prefix] [size]: keys that exist are left as they are. Nothing is logged, so replicas differ
/// afterwards, as with Redis.
pub(super) fn populate(call: &mut Call<'_>) -> Result<(), Failure> {
    let positive = |arg: &[u8]| {
        let number = parse_i64(arg).and_then(|number| u64::try_from(number).ok());
        number.ok_or(Failure::text("ERR value is out of range, must be positive"))
    };
    let count = positive(call.args[2])?;
    let prefix = call.args.get(3).copied().unwrap_or(b"key");
    let size = call.args.get(4).map(|size| positive(size)).transpose()?.unwrap_or(0);
    if size > POPULATED_BYTES_MAX {
        return Err(Failure::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    let (mut name, mut value) = (Vec::new(), Vec::new());
    let mut digits = itoa::Buffer::new();
    for number in 0..count {
        let number = digits.format(number).as_bytes();
        name.clear();
        name.extend_from_slice(prefix);
        name.push(b':');
        name.extend_from_slice(number);
        let key = call.engine.keyspace.key(&name);
        if call.db().get(key).is_some() {
            continue;
        }
        value.clear();
        value.extend_from_slice(b"value:");
        value.extend_from_slice(number);
        if size > 0 {
            value.resize(size as usize, 0);
        }
        let form = if value.len() <= EMBSTR_BYTES_MAX { StringForm::Embstr } else { StringForm::Raw };
        call.db_mut().put_string(key, &value, form, None);
    }
    call.reply().ok();
    Ok(())
}
