//! What lies between two scores, two members or two ranks, as ranks.

use std::ops::Range;

use rejoin_keyspace::SortedSetView;
use rejoin_protocol::number::parse_f64;

use super::super::arguments::integer;
use crate::Failure;

/// A part of a sorted set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bounds<'a> {
    /// From one rank to another, both included; negative ones count from the end.
    Ranks(i64, i64),
    /// From one score to another.
    Scores(ScoreBound, ScoreBound),
    /// From one member to another, among members of equal score.
    Members(MemberBound<'a>, MemberBound<'a>),
}

/// How [`Bounds`] are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoundsKind {
    Ranks,
    Scores,
    Members,
}

/// An end of a range of scores.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScoreBound {
    score: f64,
    is_excluded: bool,
}

/// An end of a range of members.
#[derive(Clone, Copy, Debug)]
pub(super) enum MemberBound<'a> {
    Least,
    Greatest,
    Included(&'a [u8]),
    Excluded(&'a [u8]),
}

impl<'a> Bounds<'a> {
    pub(super) fn parse(kind: BoundsKind, min: &'a [u8], max: &'a [u8]) -> Result<Self, Failure> {
        match kind {
            BoundsKind::Ranks => Ok(Self::Ranks(integer(min)?, integer(max)?)),
            BoundsKind::Scores => ScoreBound::parse(min)
                .zip(ScoreBound::parse(max))
                .map(|(min, max)| Self::Scores(min, max))
                .ok_or(Failure::text("ERR min or max is not a float")),
            BoundsKind::Members => MemberBound::parse(min)
                .zip(MemberBound::parse(max))
                .map(|(min, max)| Self::Members(min, max))
                .ok_or(Failure::text("ERR min or max not valid string range item")),
        }
    }

    /// The ranks of the members within; with `is_reverse` ranks are given from the other end.
    pub(super) fn ranks(&self, set: SortedSetView<'_>, is_reverse: bool) -> Range<usize> {
        let (begin, end) = match *self {
            Self::Ranks(first, last) => {
                let ranks = resolve_ranks(first, last, set.len());
                if is_reverse {
                    (set.len() - ranks.end, set.len() - ranks.start)
                } else {
                    (ranks.start, ranks.end)
                }
            }
            Self::Scores(min, max) => (
                set.count_while(|_, score| score < min.score || (min.is_excluded && score == min.score)),
                set.count_while(|_, score| score < max.score || (!max.is_excluded && score == max.score)),
            ),
            Self::Members(min, max) => (
                set.count_while(|member, _| min.is_behind(member)),
                set.count_while(|member, _| !max.is_before(member)),
            ),
        };
        begin..end.max(begin)
    }
}

/// A part of a range: `offset` members are passed over from its beginning, or its end with `is_reverse`, and at most
/// `count` taken; all for a negative count, none for a negative offset.
pub(super) fn limit(ranks: Range<usize>, offset: i64, count: i64, is_reverse: bool) -> Range<usize> {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(ranks.len());
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(ranks.len() - offset);
    if is_reverse {
        let end = ranks.end - offset;
        return end - count..end;
    }
    let begin = ranks.start + offset;
    begin..begin + count
}

fn resolve_ranks(first: i64, last: i64, len: usize) -> Range<usize> {
    let from_end = |rank: i64| if rank < 0 { rank.saturating_add(len as i64) } else { rank };
    let first = usize::try_from(from_end(first)).unwrap_or(0).min(len);
    let behind = usize::try_from(from_end(last)).map_or(0, |last| last.saturating_add(1)).min(len);
    first..behind.max(first)
}

impl ScoreBound {
    fn parse(text: &[u8]) -> Option<Self> {
        let (text, is_excluded) = match text {
            [b'(', rest @ ..] => (rest, true),
            text => (text, false),
        };
        Some(Self { score: c_double(text)?, is_excluded })
    }
}

/// A number as C's `strtod` reads a whole string: blanks before it, nothing at all, and numbers too large are fine.
fn c_double(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let text = text.trim_ascii_start();
    parse_f64(text).or_else(|| {
        let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        // Too large or too small for a score, but not for a bound.
        let is_decimal = matches!(digits.first(), Some(b'0'..=b'9' | b'.'));
        if is_decimal { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
    })
}

impl<'a> MemberBound<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        match text {
            [b'-'] => Some(Self::Least),
            [b'+'] => Some(Self::Greatest),
            [b'[', member @ ..] => Some(Self::Included(member)),
            [b'(', member @ ..] => Some(Self::Excluded(member)),
            _ => None,
        }
    }

    /// As the lower end: whether it lies behind `member`.
    fn is_behind(self, member: &[u8]) -> bool {
        match self {
            Self::Least => false,
            Self::Greatest => true,
            Self::Included(bound) => bound > member,
            Self::Excluded(bound) => bound >= member,
        }
    }

    /// As the upper end: whether it lies before `member`.
    fn is_before(self, member: &[u8]) -> bool {
        match self {
            Self::Least => true,
            Self::Greatest => false,
            Self::Included(bound) => bound < member,
            Self::Excluded(bound) => bound <= member,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_both_ends() {
        for (first, last, expected) in [
            (0, -1, 0..5),
            (1, 2, 1..3),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (3, 1, 3..3),
            (5, 9, 5..5),
            (0, -6, 0..0),
            (i64::MIN, i64::MAX, 0..5),
        ] {
            assert_eq!(resolve_ranks(first, last, 5), expected, "{first} {last}");
        }
    }

    #[test]
    fn limits_take_from_either_end() {
        assert_eq!(limit(2..8, 1, 2, false), 3..5);
        assert_eq!(limit(2..8, 1, 2, true), 5..7);
        assert_eq!(limit(2..8, 0, -1, false), 2..8);
        assert_eq!(limit(2..8, 9, -1, true), 2..2);
        assert!(limit(2..8, -1, 5, false).is_empty());
        assert!(limit(2..8, 1, 0, true).is_empty());
    }

    #[test]
    fn bounds_are_read_as_by_c() {
        let score =
            |text: &str| ScoreBound::parse(text.as_bytes()).map(|bound| (bound.score, bound.is_excluded));
        assert_eq!(score("(1.5"), Some((1.5, true)));
        assert_eq!(score("-inf"), Some((f64::NEG_INFINITY, false)));
        assert_eq!(score(""), Some((0.0, false)));
        assert_eq!(score(" 1"), Some((1.0, false)));
        assert_eq!(score("1e5000"), Some((f64::INFINITY, false)));
        assert_eq!(score("-1e5000"), Some((f64::NEG_INFINITY, false)));
        for text in ["nan", "1 ", "abc", "((1", "--1", " "] {
            assert_eq!(score(text), None, "{text:?}");
        }
    }
}
