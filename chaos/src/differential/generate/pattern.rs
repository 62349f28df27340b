//! Patterns of commands, and how one is turned into a command.
//!
//! A pattern is words between blanks. A word in capitals stands for itself (now and then in other case); one in small
//! letters is a placeholder of [`super::values`]; `'word` stands for itself as written. `{a b|c|d}` is one of its alternatives,
//! `{..}?` that or nothing, and `{..}*` none to three of them, contradictions and repetitions included.

use rand::RngExt;

use super::{Arg, Generator};

impl Generator {
    pub(super) fn expand(&mut self, pattern: &str) -> Vec<Arg> {
        let mut args = Vec::new();
        self.expand_into(&mut args, pattern);
        args
    }

    fn expand_into(&mut self, args: &mut Vec<Arg>, pattern: &str) {
        let mut rest = pattern.trim_start();
        while !rest.is_empty() {
            rest = match rest.strip_prefix('{') {
                Some(group) => self.expand_group(args, group),
                None => {
                    let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
                    self.expand_word(args, word);
                    behind
                }
            }
            .trim_start();
        }
    }

    /// Expands what stands up to the closing brace; returns what stands behind the group.
    fn expand_group<'p>(&mut self, args: &mut Vec<Arg>, group: &'p str) -> &'p str {
        let (inside, behind) = group.split_once('}').unwrap_or((group, ""));
        let (times, behind) = match behind.as_bytes().first() {
            Some(b'?') => (self.rng.random_range(0..=1), &behind[1..]),
            Some(b'*') => (self.pick(&[0, 1, 1, 1, 2, 2, 3]), &behind[1..]),
            _ => (1, behind),
        };
        let alternatives: Vec<&str> = inside.split('|').collect();
        for _ in 0..times {
            let chosen = self.pick(&alternatives);
            self.expand_into(args, chosen);
        }
        behind
    }

    fn expand_word(&mut self, args: &mut Vec<Arg>, word: &str) {
        if let Some(literal) = word.strip_prefix('\'') {
            args.push(Arg::text(literal));
        } else if word.bytes().any(|byte| byte.is_ascii_lowercase()) {
            self.placeholder(args, word);
        } else {
            let cased = match self.rng.random_range(0..10) {
                0 => word.to_ascii_lowercase(),
                1 => word.bytes().map(|byte| self.other_case(byte)).collect(),
                _ => word.to_owned(),
            };
            args.push(Arg::text(cased));
        }
    }

    fn other_case(&mut self, byte: u8) -> char {
        char::from(if self.chance(50) { byte.to_ascii_lowercase() } else { byte })
    }
}
