//! Makes programs: seeded sequences of commands over a few keys, so that types collide and everything meets everything.
//!
//! The commands and their options stand as patterns in the tables of [`strings`], [`bitmaps`], [`hashes`], [`sets`],
//! [`sorted_sets`], [`lists`], [`keys`], [`session`] and [`server`];
//! [`pattern`] says how to read one, [`values`] what its placeholders draw from. This file decides which connection does
//! what next, and spoils a share of the commands (an argument too few, one too many, a nonsensical one).

mod bitmaps;
mod hashes;
mod keys;
mod lists;
mod pattern;
mod server;
mod session;
mod sets;
mod sorted_sets;
mod strings;
mod values;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::step::{Arg, Form, Step};

pub use values::{DATABASES, all_keys};

/// Connections that a program uses.
pub const CONNECTIONS: usize = 3;

/// A weight and a pattern; a heavier one is drawn more often.
type Table = &'static [(u32, &'static str)];

/// A program of about `steps` steps. The same seed gives the same program, on every machine and for ever, as long as
/// the tables stay as they are.
#[must_use]
pub fn program(seed: u64, steps: usize) -> Vec<Step> {
    let mut generator = Generator {
        rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        in_multi: [false; CONNECTIONS],
        steps: Vec::with_capacity(steps + 8),
    };
    generator.speak_various_protocols();
    while generator.steps.len() < steps {
        generator.next_steps();
    }
    generator.steps
}

struct Generator {
    rng: Xoshiro256PlusPlus,
    /// Which connections are inside MULTI, as far as the generator knows: spoiled commands may make it wrong, which
    /// costs nothing.
    in_multi: [bool; CONNECTIONS],
    steps: Vec<Step>,
}

impl Generator {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.rng.random_range(0..options.len())]
    }

    fn speak_various_protocols(&mut self) {
        for connection in 0..CONNECTIONS {
            if self.chance(40) {
                self.push_text(connection, &["HELLO", "3"]);
            }
        }
    }

    fn next_steps(&mut self) {
        // Most of the work on one connection gives long pipelines; the others interfere.
        let connection = if self.chance(60) { 0 } else { self.rng.random_range(0..CONNECTIONS) };
        if self.in_multi[connection] && self.chance(20) {
            let end = if self.chance(85) { "EXEC" } else { "DISCARD" };
            self.in_multi[connection] = false;
            return self.push_text(connection, &[end]);
        }
        match self.rng.random_range(0..1000) {
            0..=29 => self.begin_transaction(connection),
            30..=34 => self.silence(connection),
            35..=44 => self.steps.push(Step::PassDeadlines),
            45..=184 => self.push_from(connection, strings::TABLE),
            185..=244 => self.push_from(connection, bitmaps::TABLE),
            245..=374 => self.push_from(connection, hashes::TABLE),
            375..=484 => self.push_from(connection, sets::TABLE),
            485..=654 => self.push_from(connection, sorted_sets::TABLE),
            655..=784 => self.push_from(connection, lists::TABLE),
            785..=934 => self.push_from(connection, keys::TABLE),
            935..=985 => self.push_from(connection, session::TABLE),
            _ => self.push_from(connection, server::TABLE),
        }
    }

    /// MULTI, often behind a WATCH that another connection then steps on, or not.
    fn begin_transaction(&mut self, connection: usize) {
        if self.chance(60) {
            let watch = self.expand("WATCH keys");
            let watched = watch.last().cloned();
            self.push(connection, watch);
            if let Some(key) = watched.filter(|_| self.chance(50)) {
                let other = (connection + 1) % CONNECTIONS;
                let command =
                    self.pick(&["SET", "DEL", "PERSIST", "TOUCH", "HDEL", "RPUSH", "LPOP", "SETBIT"]);
                let mut args = vec![Arg::text(command), key];
                if matches!(command, "SET" | "HDEL" | "RPUSH") {
                    args.push(Arg::text("x"));
                }
                if command == "SETBIT" {
                    args.extend([Arg::text("1"), Arg::text("0")]);
                }
                self.push(other, args);
            }
        }
        self.push_text(connection, &["MULTI"]);
        self.in_multi[connection] = true;
    }

    /// CLIENT REPLY OFF or SKIP, something in silence, and ON again.
    fn silence(&mut self, connection: usize) {
        if self.in_multi[connection] {
            return;
        }
        let how = self.pick(&["OFF", "SKIP"]);
        self.push_text(connection, &["CLIENT", "REPLY", how]);
        let unheard = self.expand("SET key value");
        self.push(connection, unheard);
        self.push_text(connection, &["CLIENT", "REPLY", "ON"]);
    }

    fn push_from(&mut self, connection: usize, table: Table) {
        let total: u32 = table.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.rng.random_range(0..total);
        for (weight, pattern) in table {
            if drawn < *weight {
                let mut args = self.expand(pattern);
                self.spoil(&mut args);
                return self.push(connection, args);
            }
            drawn -= weight;
        }
    }

    /// Now and then: an argument too few, one too many, or nonsense in the place of one.
    fn spoil(&mut self, args: &mut Vec<Arg>) {
        match self.rng.random_range(0..100) {
            0..=1 if args.len() > 1 => drop(args.pop()),
            2..=3 => {
                let extra = self.junk();
                args.push(extra);
            }
            4..=5 if args.len() > 1 => {
                let place = self.rng.random_range(1..args.len());
                args[place] = self.junk();
            }
            _ => {}
        }
    }

    fn push_text(&mut self, connection: usize, words: &[&str]) {
        self.push(connection, words.iter().map(|word| Arg::text(*word)).collect());
    }

    fn push(&mut self, connection: usize, args: Vec<Arg>) {
        let form = if self.chance(3) { Form::Inline } else { Form::Array };
        let is_pipelined = self.chance(60);
        self.steps.push(Step::Command { connection, args, form, is_pipelined });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_program() {
        assert_eq!(program(7, 500), program(7, 500));
        assert_ne!(program(7, 500), program(8, 500));
    }

    #[test]
    fn every_pattern_can_be_expanded() {
        let mut generator = Generator {
            rng: Xoshiro256PlusPlus::seed_from_u64(1),
            in_multi: [false; CONNECTIONS],
            steps: Vec::new(),
        };
        let tables = [
            strings::TABLE,
            bitmaps::TABLE,
            hashes::TABLE,
            sets::TABLE,
            sorted_sets::TABLE,
            lists::TABLE,
            keys::TABLE,
            session::TABLE,
            server::TABLE,
        ];
        for (_, pattern) in tables.concat() {
            for _ in 0..50 {
                let args = generator.expand(pattern);
                assert!(!args.is_empty(), "{pattern}");
                assert!(args.iter().all(|arg| !arg.is_unknown_placeholder()), "{pattern}: {args:?}");
            }
        }
    }
}
