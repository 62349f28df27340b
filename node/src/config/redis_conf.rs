//! The dialect of redis.conf: a directive on each line, its values separated by blanks, quoted where they hold
//! blanks or bytes that do not print.
//!
//! The rules of quoting are those of inline requests ([`rejoin_protocol::resp::inline`]). `#` begins a comment only as
//! the first character of a line that is not a blank.
//!
//! Text in, directives out; files that are included are read by `include`.

use std::path::Path;

use ::config::{Format, Map, Value};
use rejoin_protocol::resp::split_args;

use super::{
    Directive, DirectiveError,
    directive::{Layer, to_config},
    include,
};

/// In redis-server's words.
const UNBALANCED_QUOTES: &str = "Unbalanced quotes in configuration line";

/// The dialect as a format of the `config` crate; includes are followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct RedisConf {
    pub(super) layer: Layer,
}

impl Format for RedisConf {
    fn parse(
        &self,
        uri: Option<&String>,
        text: &str,
    ) -> Result<Map<String, Value>, Box<dyn std::error::Error + Send + Sync>> {
        let directives = match uri {
            Some(path) => include::Includes::default().file(Path::new(path), text)?,
            None => include::Includes::default().text(text, stdin_place)?,
        };
        Ok(to_config(self.layer, &directives))
    }
}

/// The directives of `text`, in order. `place` says where a line (counted from 1) stands.
///
/// # Errors
/// The first line that cannot be split into words.
pub fn parse(text: &str, place: impl Fn(usize) -> String) -> Result<Vec<Directive>, DirectiveError> {
    let mut directives = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim_matches([' ', '\t', '\r', '\n']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words = split_words(line).map_err(|reason| DirectiveError {
            place: place(index + 1),
            text: line.to_owned(),
            reason: reason.to_owned(),
        })?;
        let mut words = words.into_iter();
        if let Some(name) = words.next() {
            directives.push(Directive {
                name: name.to_ascii_lowercase(),
                values: words.collect(),
                place: place(index + 1),
                text: line.to_owned(),
            });
        }
    }
    Ok(directives)
}

/// Where a line of a file stands.
pub(super) fn file_place(path: &Path, line: usize) -> String {
    format!("Reading the configuration file, at line {line} of {}", path.display())
}

/// Where a line of standard input stands.
pub(super) fn stdin_place(line: usize) -> String {
    format!("Reading the configuration on standard input, at line {line}")
}

/// Splits a line into its words and takes the quotes away.
///
/// # Errors
/// Says what is wrong with the line.
pub fn split_words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut line = line.as_bytes().to_vec();
    let mut ranges = Vec::new();
    split_args(&mut line, &mut ranges).map_err(|_| UNBALANCED_QUOTES)?;
    let words = ranges.iter().map(|range| str::from_utf8(range.of(&line)).map(str::to_owned));
    words.collect::<Result<_, _>>().map_err(|_| "the value is not valid UTF-8")
}

/// `word` as it can stand in a line whatever it holds; [`split_words`] gives it back.
#[must_use]
pub fn quoted(word: &str) -> String {
    let mut text = String::with_capacity(word.len() + 2);
    text.push('"');
    for letter in word.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\x07' => text.push_str("\\a"),
            '\x08' => text.push_str("\\b"),
            control if control.is_ascii_control() => text.push_str(&format!("\\x{:02x}", u32::from(control))),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests;
