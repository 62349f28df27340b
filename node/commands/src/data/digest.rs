//! The digest of all data, equal to the one that DEBUG DIGEST of Redis computes: two nodes with the same data answer
//! the same 40 digits, whatever the order and the encodings in which they hold it.
//!
//! Two operations on an accumulator of 20 bytes make it up. *Adding* x-ors the SHA-1 of some bytes into it, so the
//! order does not matter; *mixing* adds and then replaces the accumulator by its own SHA-1, so the order does.
//!
//! For each database that is not empty, its number is mixed into the whole. For each key, an accumulator of its own
//! mixes the key, the type's number and the value, adds `!!expire!!` if it can expire, and is added to the whole.
//! A hash's field and value are mixed into an accumulator of their own, which is added to the key's; so are a sorted set's
//! member and score. A set's members are added. Scores are texts here, as Redis 7.2 and later write them: an older server
//! has another digest for the same scores where 17 digits are not the shortest text.
//! A list's elements are mixed in their order.

use rejoin_keyspace::{Entry, Keyspace, Value};
use rejoin_protocol::{DbIndex, number::format_shortest};
use sha1::{Digest as _, Sha1};

/// Redis' number of the type string.
const TYPE_STRING: u32 = 0;
/// Redis' number of the type set.
const TYPE_SET: u32 = 2;
/// Redis' number of the type sorted set.
const TYPE_SORTED_SET: u32 = 3;
/// Redis' number of the type list.
const TYPE_LIST: u32 = 1;
/// Redis' number of the type hash.
const TYPE_HASH: u32 = 4;

/// The digest of everything; 20 zeros when there is nothing. Keys that have expired and are still held count, as they
/// do in Redis.
#[must_use]
pub fn digest_keyspace(keyspace: &Keyspace) -> [u8; 20] {
    let mut whole = Accumulator::default();
    for index in (0..keyspace.database_count()).map(DbIndex::new) {
        let database = keyspace.database(index);
        if database.is_empty() {
            continue;
        }
        whole.mix(&index.get().to_be_bytes());
        for entry in database.iter() {
            let mut one = Accumulator::default();
            one.mix(entry.key());
            one.mix_entry(entry);
            whole.add(&one.0);
        }
    }
    whole.0
}

/// The digest of one value with its type and whether it expires, but without its key (DEBUG DIGEST-VALUE).
#[must_use]
pub fn digest_value(entry: &Entry) -> [u8; 20] {
    let mut digest = Accumulator::default();
    digest.mix_entry(entry);
    digest.0
}

#[derive(Default)]
struct Accumulator([u8; 20]);

impl Accumulator {
    fn add(&mut self, bytes: &[u8]) {
        let hash: [u8; 20] = Sha1::digest(bytes).into();
        for (mine, other) in self.0.iter_mut().zip(hash) {
            *mine ^= other;
        }
    }

    fn mix(&mut self, bytes: &[u8]) {
        self.add(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    fn mix_entry(&mut self, entry: &Entry) {
        match entry.value() {
            Value::Int(n) => {
                self.mix(&TYPE_STRING.to_be_bytes());
                self.mix(itoa::Buffer::new().format(n).as_bytes());
            }
            Value::Str(bytes, _) => {
                self.mix(&TYPE_STRING.to_be_bytes());
                self.mix(bytes);
            }
            Value::List(list) => {
                self.mix(&TYPE_LIST.to_be_bytes());
                list.iter().for_each(|element| self.mix(element));
            }
            Value::Hash(hash) => {
                self.mix(&TYPE_HASH.to_be_bytes());
                for (field, value) in hash.iter() {
                    let mut pair = Self::default();
                    pair.mix(field);
                    pair.mix(value);
                    self.add(&pair.0);
                }
            }
            Value::Set(set) => {
                self.mix(&TYPE_SET.to_be_bytes());
                set.iter().for_each(|member| self.add(&member));
            }
            Value::SortedSet(set) => {
                self.mix(&TYPE_SORTED_SET.to_be_bytes());
                for (member, score) in set.iter() {
                    let mut pair = Self::default();
                    pair.mix(member);
                    pair.mix(format_shortest(score).as_bytes());
                    self.add(&pair.0);
                }
            }
        }
        if entry.expiry().is_some() {
            self.add(b"!!expire!!");
        }
    }
}
