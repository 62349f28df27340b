//! Sets and sorted sets, in every encoding that Redis and Valkey have written.

use rejoin_keyspace::{Entry, Key};
use rejoin_protocol::{UnixMillis, number::parse_f64};

use super::super::RdbError;
use super::super::encodings::intset::Intset;
use super::super::encodings::listpack::Listpack;
use super::super::encodings::ziplist::Ziplist;
use super::super::encodings::{Element, Flaw};
use super::super::format::{score_text, value_type};
use super::super::source::{Source, damaged};
use super::Decoder;

impl Decoder<'_> {
    /// Reads a set; one without members is nothing.
    pub(super) fn read_set(
        &mut self,
        key: Key<'_>,
        code: u8,
        expiry: Option<UnixMillis>,
    ) -> Result<Option<Entry>, RdbError> {
        let mut limits = self.options.limits.set;
        if code == value_type::SET_LISTPACK {
            // As in Redis, only the number of members decides whether what came packed stays so.
            limits.packed.value_bytes_max = usize::MAX;
        }
        let Some(mut set) = self.draft.database_mut().set_mut(key, limits) else {
            unreachable!("the draft is empty between keys");
        };
        let members_at = self.source.position();
        let twice = |member: &[u8]| {
            damaged(members_at, format!("the member '{}' for the second time", member.escape_ascii()))
        };
        if code == value_type::SET {
            let count = self.source.length()?;
            if count > limits.integers_max as u64 {
                set.become_tree();
            }
            for _ in 0..count {
                let member = self.source.string()?.into_bytes();
                if !set.add(&member) {
                    return Err(twice(&member));
                }
            }
        } else {
            if code == value_type::SET_LISTPACK {
                set.begin_packed();
            }
            let mut add = |member: &[u8]| if set.add(member) { Ok(()) } else { Err(twice(member)) };
            let blob = self.source.string()?.into_bytes();
            read_packed_members(members_at, code, &blob, &mut add)?;
        }
        drop(set);
        Ok(self.draft.take(key, expiry))
    }

    /// Reads a sorted set, under the same terms.
    pub(super) fn read_sorted_set(
        &mut self,
        key: Key<'_>,
        code: u8,
        expiry: Option<UnixMillis>,
    ) -> Result<Option<Entry>, RdbError> {
        let mut limits = self.options.limits.sorted_set;
        if matches!(code, value_type::ZSET_ZIPLIST | value_type::ZSET_LISTPACK) {
            limits.value_bytes_max = usize::MAX;
        }
        let Some(mut set) = self.draft.database_mut().sorted_set_mut(key, limits) else {
            unreachable!("the draft is empty between keys");
        };
        let members_at = self.source.position();
        let mut add = |member: &[u8], score: f64| {
            if score.is_nan() {
                let what = format!("the member '{}' has no number as its score", member.escape_ascii());
                return Err(damaged(members_at, what));
            }
            match set.set(member, score) {
                None => Ok(()),
                Some(_) => {
                    let what = format!("the member '{}' for the second time", member.escape_ascii());
                    Err(damaged(members_at, what))
                }
            }
        };
        match code {
            value_type::ZSET | value_type::ZSET_2 => {
                for _ in 0..self.source.length()? {
                    self.field.clear();
                    self.field.extend_from_slice(&self.source.string()?.into_bytes());
                    let score = match code {
                        value_type::ZSET_2 => f64::from_le_bytes(self.source.array()?),
                        _ => read_text_score(&mut self.source)?,
                    };
                    add(&self.field, score)?;
                }
            }
            _ => {
                let blob = self.source.string()?.into_bytes();
                read_packed_scores(members_at, code, &blob, &mut add)?;
            }
        }
        drop(set);
        Ok(self.draft.take(key, expiry))
    }
}

/// Takes a member with its score.
type AddScore<'a> = &'a mut dyn FnMut(&[u8], f64) -> Result<(), RdbError>;

/// A score in the text that versions before 8 of the format wrote.
fn read_text_score(source: &mut Source<'_>) -> Result<f64, RdbError> {
    let at = source.position();
    match source.byte()? {
        score_text::NAN => Ok(f64::NAN),
        score_text::INFINITY => Ok(f64::INFINITY),
        score_text::NEGATIVE_INFINITY => Ok(f64::NEG_INFINITY),
        len => {
            let mut text = [0; u8::MAX as usize];
            let text = &mut text[..usize::from(len)];
            for byte in text.iter_mut() {
                *byte = source.byte()?;
            }
            parse_f64(text).ok_or_else(|| damaged(at, format!("no score: '{}'", text.escape_ascii())))
        }
    }
}

fn read_packed_members(
    at: u64,
    code: u8,
    blob: &[u8],
    add: &mut dyn FnMut(&[u8]) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    let flawed = |kind: &'static str| move |flaw: Flaw| damaged(at, flaw.within(kind));
    if code == value_type::SET_INTSET {
        let kind = "a set as intset";
        for number in Intset::new(blob).map_err(flawed(kind))? {
            add(itoa::Buffer::new().format(number.map_err(flawed(kind))?).as_bytes())?;
        }
        return Ok(());
    }
    let kind = "a set as listpack";
    for element in Listpack::new(blob).map_err(flawed(kind))? {
        add(&element.map_err(flawed(kind))?.into_bytes())?;
    }
    Ok(())
}

fn read_packed_scores(at: u64, code: u8, blob: &[u8], add: AddScore<'_>) -> Result<(), RdbError> {
    let flawed = |kind: &'static str| move |flaw: Flaw| damaged(at, flaw.within(kind));
    if code == value_type::ZSET_ZIPLIST {
        let kind = "a sorted set as ziplist";
        return add_scores(at, kind, Ziplist::new(blob).map_err(flawed(kind))?, add);
    }
    let kind = "a sorted set as listpack";
    add_scores(at, kind, Listpack::new(blob).map_err(flawed(kind))?, add)
}

fn add_scores<'a>(
    at: u64,
    kind: &'static str,
    mut elements: impl Iterator<Item = Result<Element<'a>, Flaw>>,
    add: AddScore<'_>,
) -> Result<(), RdbError> {
    let flawed = |flaw: Flaw| damaged(at, flaw.within(kind));
    while let Some(member) = elements.next() {
        let member = member.map_err(flawed)?;
        let score = match elements.next().transpose().map_err(flawed)? {
            Some(Element::Int(number)) => Some(number as f64),
            Some(Element::Bytes(text)) => parse_f64(text),
            None => return Err(damaged(at, format!("{kind}: a member without a score"))),
        };
        let score = score.ok_or_else(|| damaged(at, format!("{kind}: a score that is no number")))?;
        add(&member.into_bytes(), score)?;
    }
    Ok(())
}
