//! One directive, and its form inside the `config` crate: there all layers are one tree,
//! `directives / name / layer / [occurrence, ...]`, so that merging two layers keeps the occurrences of both.

use ::config::{Config, Map, Value, ValueKind};

/// The key of the tree's root.
const ROOT: &str = "directives";

/// The layers in the order in which they take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// The configuration file and what it includes.
    File,
    /// Standard input, read like a file.
    Stdin,
    /// `REJOIN_*`.
    Environment,
    /// `--name value`.
    CommandLine,
}

impl Layer {
    const ALL: [Self; 4] = [Self::File, Self::Stdin, Self::Environment, Self::CommandLine];

    fn key(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stdin => "stdin",
            Self::Environment => "environment",
            Self::CommandLine => "command line",
        }
    }
}

/// A setting's name with the values given to it, and where that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// In lower case.
    pub name: String,
    /// Unquoted.
    pub values: Vec<String>,
    /// As an operator finds it: "Reading the configuration file, at line 3 of /etc/rejoin.conf".
    pub place: String,
    /// As it was written, without what surrounds it.
    pub text: String,
}

impl Directive {
    fn to_value(&self, sequence: usize) -> Value {
        let strings = [("name", &self.name), ("text", &self.text)];
        let mut map: Map<String, Value> = strings
            .into_iter()
            .map(|(key, text)| (key.to_owned(), Value::new(None, text.as_str())))
            .collect();
        let values: Vec<Value> = self.values.iter().map(|value| Value::new(None, value.as_str())).collect();
        map.insert("values".into(), Value::new(None, values));
        map.insert("sequence".into(), Value::new(None, sequence as u64));
        Value::new(Some(&self.place), map)
    }

    fn from_value(value: &Value) -> Option<(u64, Self)> {
        let place = value.origin()?.to_owned();
        let ValueKind::Table(map) = &value.kind else { return None };
        let text_of = |key: &str| map.get(key)?.clone().into_string().ok();
        let values = map.get("values")?.clone().into_array().ok()?;
        let directive = Self {
            name: text_of("name")?,
            values: values.into_iter().filter_map(|value| value.into_string().ok()).collect(),
            place,
            text: text_of("text")?,
        };
        Some((map.get("sequence")?.clone().into_uint().ok()?, directive))
    }
}

/// One layer as the `config` crate takes it.
pub(super) fn to_config(layer: Layer, directives: &[Directive]) -> Map<String, Value> {
    let mut by_name: Map<String, Vec<Value>> = Map::new();
    for (sequence, directive) in directives.iter().enumerate() {
        by_name.entry(directive.name.clone()).or_default().push(directive.to_value(sequence));
    }
    let names: Map<String, Value> = by_name
        .into_iter()
        .map(|(name, occurrences)| {
            let layers = Map::from([(layer.key().to_owned(), Value::new(None, occurrences))]);
            (name, Value::new(None, layers))
        })
        .collect();
    Map::from([(ROOT.to_owned(), Value::new(None, names))])
}

/// All directives of all layers, in the order in which they take effect.
pub(super) fn from_config(config: &Config) -> Vec<Directive> {
    let Ok(names) = config.get_table(ROOT) else { return Vec::new() };
    let mut found: Vec<(Layer, u64, Directive)> = Vec::new();
    for layers in names.into_values().filter_map(|name| name.into_table().ok()) {
        for layer in Layer::ALL {
            let Some(ValueKind::Array(occurrences)) = layers.get(layer.key()).map(|value| &value.kind) else {
                continue;
            };
            found.extend(
                occurrences.iter().filter_map(Directive::from_value).map(|(at, what)| (layer, at, what)),
            );
        }
    }
    found.sort_by_key(|&(layer, sequence, _)| (layer, sequence));
    found.into_iter().map(|(_, _, directive)| directive).collect()
}
