//! Keyspace notifications: what happens to keys, published on `__keyspace@<db>__:<key>` and `__keyevent@<db>__:<event>`.
//!
//! Handlers state events by [`Call::event`], in the order in which Redis does. While nobody has asked for the class of an
//! event (`notify-keyspace-events`), stating it costs one test.

use bitflags::bitflags;
use rejoin_keyspace::Key;
use rejoin_protocol::DbIndex;

use super::Topic;
use crate::{Call, Engine};

bitflags! {
    /// Classes of events, and on which channels they are published.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct EventClasses: u16 {
        /// `K`: on the channel of the key.
        const KEYSPACE = 1 << 0;
        /// `E`: on the channel of the event.
        const KEYEVENT = 1 << 1;
        /// `g`: commands on keys of any type.
        const GENERIC = 1 << 2;
        /// `$`
        const STRING = 1 << 3;
        /// `l`
        const LIST = 1 << 4;
        /// `s`
        const SET = 1 << 5;
        /// `h`
        const HASH = 1 << 6;
        /// `z`
        const SORTED_SET = 1 << 7;
        /// `x`: a key was deleted because its time had come.
        const EXPIRED = 1 << 8;
        /// `e`: a key was deleted for want of memory.
        const EVICTED = 1 << 9;
        /// `t`
        const STREAM = 1 << 10;
        /// `d`: events of modules.
        const MODULE = 1 << 11;
        /// `m`: somebody looked for a key that is not there. Not part of `A`.
        const MISSED = 1 << 12;
        /// `n`: a key was made. Not part of `A`.
        const NEW = 1 << 13;
    }
}

/// The letters, in the order in which Redis shows them.
const LETTERS: [(char, EventClasses); 14] = [
    ('g', EventClasses::GENERIC),
    ('$', EventClasses::STRING),
    ('l', EventClasses::LIST),
    ('s', EventClasses::SET),
    ('h', EventClasses::HASH),
    ('z', EventClasses::SORTED_SET),
    ('x', EventClasses::EXPIRED),
    ('e', EventClasses::EVICTED),
    ('t', EventClasses::STREAM),
    ('d', EventClasses::MODULE),
    ('n', EventClasses::NEW),
    ('K', EventClasses::KEYSPACE),
    ('E', EventClasses::KEYEVENT),
    ('m', EventClasses::MISSED),
];

impl EventClasses {
    /// `A`.
    const ALL: Self = Self::all()
        .difference(Self::KEYSPACE)
        .difference(Self::KEYEVENT)
        .difference(Self::MISSED)
        .difference(Self::NEW);

    /// The classes that a setting names; `None` for a letter that is none.
    #[must_use]
    pub fn parse(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::empty(), |classes, letter| {
            let class = match letter {
                'A' => Self::ALL,
                letter => LETTERS.iter().find(|(known, _)| *known == letter)?.1,
            };
            Some(classes | class)
        })
    }

    /// As Redis shows them: behind `A` it does not show `n`.
    #[must_use]
    pub fn shown(self) -> String {
        let has_all = self.contains(Self::ALL);
        let hidden = if has_all { Self::ALL | Self::NEW } else { Self::empty() };
        let letters = LETTERS.iter().filter(|(_, class)| self.difference(hidden).contains(*class));
        has_all.then_some('A').into_iter().chain(letters.map(|(letter, _)| *letter)).collect()
    }
}

impl Engine {
    /// States an event of a key: it is published if its class is asked for.
    #[inline]
    pub(crate) fn notify(&mut self, db: DbIndex, class: EventClasses, event: &'static str, key: &[u8]) {
        if self.settings.events.contains(class) {
            self.publish_event(db, event, key);
        }
    }

    #[inline(never)]
    fn publish_event(&mut self, db: DbIndex, event: &'static str, key: &[u8]) {
        if !self.pubsub.has_listeners() {
            return;
        }
        let channel = |kind: &str, name: &[u8]| [format!("__{kind}@{db}__:").as_bytes(), name].concat();
        if self.settings.events.contains(EventClasses::KEYSPACE) {
            self.publish(Topic::Channel, &channel("keyspace", key), event.as_bytes());
        }
        if self.settings.events.contains(EventClasses::KEYEVENT) {
            self.publish(Topic::Channel, &channel("keyevent", event.as_bytes()), key);
        }
    }
}

impl Call<'_> {
    /// States an event of a key of the selected database.
    #[inline]
    pub fn event(&mut self, class: EventClasses, event: &'static str, key: &[u8]) {
        self.engine.notify(self.session.db, class, event, key);
    }

    /// Before `key` is written: whether that makes a key, which is an event of its own. What has expired there is deleted
    /// first and says so, as if the command had looked. Where no events are wanted nothing is looked up, and it is `false`.
    #[inline]
    pub fn will_make(&mut self, key: Key<'_>) -> bool {
        self.will_make_in(self.session.db, key)
    }

    /// As [`Call::will_make`], in another database.
    #[inline]
    pub fn will_make_in(&mut self, db: DbIndex, key: Key<'_>) -> bool {
        !self.engine.settings.events.is_empty() && self.look_before_making(db, key)
    }

    #[inline(never)]
    fn look_before_making(&mut self, db: DbIndex, key: Key<'_>) -> bool {
        self.expire_if_due(db, key) && self.engine.settings.events.contains(EventClasses::NEW)
    }

    /// States that `key` was made, if [`Call::will_make`] said so, and then what happened to it.
    #[inline]
    pub fn wrote(&mut self, key: Key<'_>, is_made: bool, class: EventClasses, event: &'static str) {
        if is_made {
            self.event(EventClasses::NEW, "new", key.bytes);
        }
        self.changed(key);
        self.event(class, event, key.bytes);
    }

    /// As [`Call::wrote`], for a collection that was made smaller: with its last element the key goes.
    #[inline]
    pub fn removed_from(&mut self, key: Key<'_>, class: EventClasses, event: &'static str) {
        self.changed(key);
        if self.engine.settings.events.is_empty() {
            return;
        }
        self.event(class, event, key.bytes);
        if self.db().get(key).is_none() {
            self.event(EventClasses::GENERIC, "del", key.bytes);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_shown_as_redis_does() {
        // What CONFIG SET and CONFIG GET of a redis-server 7.0.15 say.
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("KEAn", "AKE"),
            ("KEAmn", "AKEm"),
            ("Kg", "gK"),
            ("Kg$lshzxetdn", "AK"),
            ("g$lshzxetd", "A"),
            ("EK", "KE"),
            ("KEn", "nKE"),
            ("KEdt", "tdKE"),
            ("nmA", "Am"),
        ] {
            assert_eq!(EventClasses::parse(given).unwrap().shown(), shown, "{given}");
        }
        assert!(EventClasses::parse("KEn").unwrap().contains(EventClasses::NEW));
        assert!(EventClasses::parse("KEAn").unwrap().contains(EventClasses::NEW));
        assert_eq!(EventClasses::parse("KEAq"), None);
    }
}
