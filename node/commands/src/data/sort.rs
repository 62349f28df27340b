//! SORT and SORT_RO: the elements of a list, a set or a sorted set in the order of numbers or text, their own or those
//! that stand at keys made of them (BY), answered or stored as they are or replaced by what stands at such keys (GET).

use std::cmp::Ordering;

use rejoin_keyspace::{Entry, Key, Value};
use rejoin_protocol::number::parse_f64;

use super::access::{delete, hash_value, list_limits, read, read_key, sorted_set_limits, string_bytes};
use super::arguments::{integer, is};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const ROW: Command = Command {
    name: "",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    keys: KeySpec::ONE,
    element: 0,
    group: "generic",
    since: "1.0.0",
    summary: "",
    handler: sort,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "sort", summary: "Sorts the elements of a list, a set or a sorted set", ..ROW },
    Command {
        name: "sort_ro",
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        since: "7.0.0",
        summary: "Sorts the elements of a list, a set or a sorted set, and stores nothing",
        handler: sort_ro,
        ..ROW
    },
];

/// What is asked for.
#[derive(Default)]
struct Order<'a> {
    is_descending: bool,
    is_alphabetic: bool,
    /// The pattern of the keys by which is sorted.
    by: Option<&'a [u8]>,
    /// BY a pattern that names no element: nothing is sorted.
    is_unsorted: bool,
    /// The first element wanted and how many, negative for all.
    limit: (i64, i64),
    get: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

impl<'a> Order<'a> {
    fn parse(args: &[&'a [u8]], may_store: bool) -> Result<Self, Failure> {
        let mut order = Self { limit: (0, -1), ..Self::default() };
        let mut at = 2;
        while let Some(option) = args.get(at) {
            match (option, args.get(at + 1), args.get(at + 2)) {
                (option, _, _) if is(option, "ASC") => order.is_descending = false,
                (option, _, _) if is(option, "DESC") => order.is_descending = true,
                (option, _, _) if is(option, "ALPHA") => order.is_alphabetic = true,
                (option, Some(begin), Some(count)) if is(option, "LIMIT") => {
                    order.limit = (integer(begin)?, integer(count)?);
                    at += 2;
                }
                (option, Some(key), _) if may_store && is(option, "STORE") => {
                    order.store = Some(key);
                    at += 1;
                }
                (option, Some(pattern), _) if is(option, "BY") => {
                    // Once one pattern has said so, it stays unsorted.
                    order.is_unsorted |= star(pattern).is_none();
                    order.by = Some(pattern);
                    at += 1;
                }
                (option, Some(pattern), _) if is(option, "GET") => {
                    order.get.push(pattern);
                    at += 1;
                }
                _ => return Err(Failure::Syntax),
            }
            at += 1;
        }
        Ok(order)
    }

    /// The range of `len` elements that LIMIT leaves.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let begin = usize::try_from(self.limit.0.max(0)).unwrap_or(usize::MAX).min(len);
        let count = usize::try_from(self.limit.1).unwrap_or(len);
        begin..begin.saturating_add(count).min(len)
    }
}

/// Something to sort by.
enum Weight {
    Number(f64),
    /// `None` where nothing stands at the key.
    Text(Option<Vec<u8>>),
    /// The element itself.
    Own,
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]`; logged as it
/// came, but where equal weights leave the order to the implementation: then as the list that came of it.
fn sort(call: &mut Call<'_>) -> Result<(), Failure> {
    let order = Order::parse(call.args, true)?;
    run(call, order)
}

/// `SORT_RO key ...`: as SORT, without STORE.
fn sort_ro(call: &mut Call<'_>) -> Result<(), Failure> {
    let order = Order::parse(call.args, false)?;
    run(call, order)
}

fn run(call: &mut Call<'_>, mut order: Order<'_>) -> Result<(), Failure> {
    let (mut elements, is_set) = elements(call)?;
    unpack_sorted_set(call);
    if order.is_unsorted && is_set && order.store.is_some() {
        // What is stored must not depend on how a set happens to lie.
        (order.is_unsorted, order.is_alphabetic, order.by) = (false, true, None);
    }
    if order.is_unsorted {
        if order.is_descending && !is_set {
            elements.reverse();
        }
    } else {
        elements = in_order(call, elements, &order)?;
    }
    let range = order.range(elements.len());
    let elements = &elements[range];
    match order.store {
        Some(destination) => store(call, elements, &order, destination),
        None => {
            answer(call, elements, &order);
            Ok(())
        }
    }
}

/// The elements as they lie, and whether they are a set's.
fn elements(call: &mut Call<'_>) -> Result<(Vec<Vec<u8>>, bool), Failure> {
    read(call, 1, |entry, _| match entry.map(Entry::value) {
        None => Ok((Vec::new(), false)),
        Some(Value::List(list)) => Ok((list.iter().map(<[u8]>::to_vec).collect(), false)),
        Some(Value::Set(set)) => Ok((set.iter().map(|member| member.to_vec()).collect(), true)),
        Some(Value::SortedSet(set)) => Ok((set.iter().map(|(member, _)| member.to_vec()).collect(), false)),
        Some(_) => Err(Failure::WrongType),
    })
}

/// As in Redis, where the encoding is there for all to see: SORT, even one that stores nothing, leaves no sorted set
/// packed.
fn unpack_sorted_set(call: &mut Call<'_>) {
    let (key, limits) = (call.key(1), sorted_set_limits(call));
    let is_packed = |entry: &Entry| matches!(entry.value(), Value::SortedSet(set) if set.is_packed());
    if call.db().get(key).is_some_and(is_packed)
        && let Some(mut set) = call.db_mut().sorted_set_mut(key, limits)
    {
        set.expect(usize::MAX, 0);
    }
}

fn in_order(call: &mut Call<'_>, elements: Vec<Vec<u8>>, order: &Order<'_>) -> Result<Vec<Vec<u8>>, Failure> {
    let mut weighed = Vec::with_capacity(elements.len());
    let mut is_number = true;
    for element in elements {
        let weight = match order.by {
            Some(pattern) => weight_of(look_up(call, pattern, &element), order.is_alphabetic),
            None if order.is_alphabetic => Some(Weight::Own),
            None => number(&element).map(Weight::Number),
        };
        is_number &= weight.is_some();
        weighed.push((weight.unwrap_or(Weight::Own), element));
    }
    if !is_number {
        return Err(Failure::text("ERR One or more scores can't be converted into double"));
    }
    weighed.sort_by(|a, b| {
        let ordering = compare(a, b);
        if order.is_descending { ordering.reverse() } else { ordering }
    });
    Ok(weighed.into_iter().map(|(_, element)| element).collect())
}

/// What is sorted by, out of what stands at a key; `None` if it is no number and should be.
fn weight_of(found: Option<Vec<u8>>, is_alphabetic: bool) -> Option<Weight> {
    if is_alphabetic {
        return Some(Weight::Text(found));
    }
    let number = found.map_or(Some(0.0), |text| number(&text));
    number.map(Weight::Number)
}

/// Equal numbers are told apart by the elements, so that the order is one; equal texts are not.
fn compare((a, own): &(Weight, Vec<u8>), (b, other): &(Weight, Vec<u8>)) -> Ordering {
    match (a, b) {
        (Weight::Number(a), Weight::Number(b)) => {
            a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| own.cmp(other))
        }
        (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
        _ => own.cmp(other),
    }
}

/// A number as C's `strtod` reads it out of a string that a zero ends: blanks before it, and nothing at all is zero.
fn number(text: &[u8]) -> Option<f64> {
    let text = &text[..text.iter().position(|&byte| byte == 0).unwrap_or(text.len())];
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let digits = &text[text.iter().take_while(|byte| is_blank(byte)).count()..];
    if text.is_empty() { Some(0.0) } else { parse_f64(digits) }
}

/// Where the star of a pattern stands.
fn star(pattern: &[u8]) -> Option<usize> {
    pattern.iter().take_while(|&&byte| byte != 0).position(|&byte| byte == b'*')
}

/// What stands at the key, or in the field of the key, that a pattern names for an element.
fn look_up(call: &mut Call<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = star(pattern)?;
    let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
    let until_zero = &rest[..rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len())];
    let arrow = until_zero.windows(2).position(|pair| pair == b"->").filter(|at| at + 2 < until_zero.len());
    let (postfix, field) = match arrow {
        Some(at) => (&rest[..at], Some(&rest[at + 2..])),
        None => (rest, None),
    };
    let name = [prefix, element, postfix].concat();
    let key = call.engine.keyspace.key(&name);
    read_key(call, key, |entry, reading| match field {
        Some(field) => hash_value(entry?, reading.seed, field).map(<[u8]>::to_vec),
        None => string_bytes(entry?.value(), &mut itoa::Buffer::new()).ok().map(<[u8]>::to_vec),
    })
}

fn answer(call: &mut Call<'_>, elements: &[Vec<u8>], order: &Order<'_>) {
    call.reply().array(elements.len() * order.get.len().max(1));
    for element in elements {
        if order.get.is_empty() {
            call.reply().bulk(element);
        }
        for pattern in &order.get {
            match look_up(call, pattern, element) {
                Some(found) => call.reply().bulk(&found),
                None => call.reply().null(),
            }
        }
    }
}

fn store(
    call: &mut Call<'_>,
    elements: &[Vec<u8>],
    order: &Order<'_>,
    destination: &[u8],
) -> Result<(), Failure> {
    let mut found = Vec::new();
    for element in elements {
        for pattern in &order.get {
            found.push(look_up(call, pattern, element).unwrap_or_default());
        }
    }
    let stored = if order.get.is_empty() { elements } else { found.as_slice() };
    let key: Key<'_> = call.engine.keyspace.key(destination);
    call.reply().integer(stored.len() as i64);
    if stored.is_empty() {
        delete(call, key);
        return Ok(());
    }
    let limits = list_limits(call);
    let is_made = call.will_make(key);
    let database = call.db_mut();
    database.remove(key);
    let mut list = database.list_mut(key, limits).ok_or(Failure::WrongType)?;
    stored.iter().for_each(|element| list.push_back(element));
    list.settle();
    drop(list);
    call.wrote(key, is_made, EventClasses::LIST, "sortstore");
    if order.is_alphabetic && order.by.is_some() {
        call.propagate(&[b"DEL", destination]);
        let mut push: Vec<&[u8]> = vec![b"RPUSH", destination];
        push.extend(stored.iter().map(Vec::as_slice));
        call.propagate(&push);
    }
    Ok(())
}
