//! What clients write: random commands of every type, pipelines, transactions, several databases.

use rejoin_protocol::resp::encode_command;

use super::chance::Chance;

/// Keys of each kind.
const KEYS: u64 = 6;
/// Databases that are written to.
const DATABASES: u64 = 3;

/// A client's commands.
#[derive(Debug)]
pub(crate) struct Writer {
    chance: Chance,
    /// Values that were never written before.
    written: u64,
}

impl Writer {
    pub(crate) fn new(chance: Chance) -> Self {
        Self { chance, written: 0 }
    }

    /// A pipeline of a few requests.
    pub(crate) fn requests(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.chance.one_in(6) {
            let db = self.chance.below(DATABASES).to_string();
            encode_command(&mut out, &["SELECT", &db]);
        }
        let is_transaction = self.chance.one_in(5);
        if is_transaction {
            encode_command(&mut out, &["MULTI"]);
        }
        for _ in 0..self.chance.between(1, 4) {
            self.command(&mut out);
        }
        if is_transaction {
            encode_command(&mut out, &[if self.chance.one_in(8) { "DISCARD" } else { "EXEC" }]);
        }
        out
    }

    fn command(&mut self, out: &mut Vec<u8>) {
        self.written += 1;
        let number = self.chance.below(KEYS);
        let [string, list, set, hash, sorted] =
            ["s", "l", "m", "h", "z"].map(|kind| format!("{kind}{number}"));
        let value = format!("v{}", self.written);
        let field = format!("f{}", self.chance.below(8));
        let long = "x".repeat(self.chance.between(1, 300) as usize);
        let millis = self.chance.between(1, 1500).to_string();
        let choices: [&[&str]; 24] = [
            &["SET", &string, &value],
            &["SET", &string, &value, "PX", &millis],
            &["APPEND", &string, &long],
            &["INCR", "counter"],
            &["SETRANGE", &string, "7", &value],
            &["GETDEL", &string],
            &["PEXPIRE", &list, &millis],
            &["PERSIST", &string],
            &["RPUSH", &list, &value, &long],
            &["LPUSH", &list, &value],
            &["LPOP", &list],
            &["LTRIM", &list, "0", "5"],
            &["SADD", &set, &value, &field],
            &["SPOP", &set],
            &["SREM", &set, &field],
            &["HSET", &hash, &field, &value],
            &["HINCRBY", &hash, "n", "3"],
            &["HDEL", &hash, &field],
            &["ZADD", &sorted, &millis, &field],
            &["ZINCRBY", &sorted, "1.5", &field],
            &["ZPOPMIN", &sorted],
            &["RENAME", &string, "s0"],
            &["DEL", &hash, &sorted, &list],
            &["COPY", &string, "s1", "REPLACE"],
        ];
        let command = choices[self.chance.below(choices.len() as u64) as usize];
        encode_command(out, if self.chance.one_in(150) { &["FLUSHDB"] } else { command });
    }
}
