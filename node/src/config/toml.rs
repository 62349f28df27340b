//! A configuration file in TOML, for those who generate or template theirs. The names are redis.conf's:
//!
//! ```toml
//! port = 7379
//! appendonly = true                             # yes
//! bind = ["127.0.0.1", "::1"]                   # the values of one directive
//! save = [["3600", "1"], ["300", "100"]]        # the directive several times
//! ```

use std::path::Path;

use ::config::{FileFormat, Format, Map, Value, ValueKind};

use super::{
    Directive, DirectiveError,
    directive::{Layer, to_config},
    redis_conf,
};

/// TOML with the names of redis.conf, as a format of the `config` crate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Toml;

impl Format for Toml {
    fn parse(
        &self,
        uri: Option<&String>,
        text: &str,
    ) -> Result<Map<String, Value>, Box<dyn std::error::Error + Send + Sync>> {
        let path = uri.map(Path::new).unwrap_or(Path::new("-"));
        let table = FileFormat::Toml.parse(uri, text)?;
        let mut keys: Vec<(usize, String, Value)> =
            table.into_iter().map(|(name, value)| (line_of(text, &name), name, value)).collect();
        keys.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut directives = Vec::new();
        for (line, name, value) in keys {
            let place = redis_conf::file_place(path, line);
            let text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim().to_owned();
            directives.extend(occurrences(&Directive { name, values: Vec::new(), place, text }, value)?);
        }
        Ok(to_config(Layer::File, &directives))
    }
}

/// Where a key of the root table is given its value; 0 if it is written in a way that only TOML can read.
fn line_of(text: &str, name: &str) -> usize {
    let is_assignment = |line: &str| {
        let (key, _) = line.split_once('=').unwrap_or((line, ""));
        let key = key.trim().trim_start_matches('[').trim_end_matches(']');
        key.trim_matches(['"', '\'']) == name
    };
    text.lines().position(is_assignment).map_or(0, |index| index + 1)
}

/// The directives that one key stands for.
fn occurrences(directive: &Directive, value: Value) -> Result<Vec<Directive>, super::ConfigError> {
    let with = |values: Vec<String>| Directive {
        name: directive.name.to_ascii_lowercase(),
        values,
        ..directive.clone()
    };
    let scalars =
        |array: &[Value]| array.iter().map(|value| scalar(directive, value)).collect::<Result<Vec<_>, _>>();
    match &value.kind {
        ValueKind::Array(array) if array.iter().any(|value| matches!(value.kind, ValueKind::Array(_))) => {
            array
                .iter()
                .map(|value| match &value.kind {
                    ValueKind::Array(inner) => Ok(with(scalars(inner)?)),
                    _ => Ok(with(vec![scalar(directive, value)?])),
                })
                .collect()
        }
        ValueKind::Array(array) => Ok(vec![with(scalars(array)?)]),
        _ => Ok(vec![with(vec![scalar(directive, &value)?])]),
    }
}

fn scalar(directive: &Directive, value: &Value) -> Result<String, DirectiveError> {
    match &value.kind {
        ValueKind::Boolean(true) => Ok("yes".to_owned()),
        ValueKind::Boolean(false) => Ok("no".to_owned()),
        ValueKind::String(text) => Ok(text.clone()),
        ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_) => Ok(value.to_string()),
        _ => Err(DirectiveError::new(
            directive,
            "a setting is a string, a number, a boolean or an array of these",
        )),
    }
}
