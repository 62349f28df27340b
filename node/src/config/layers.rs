//! The layers as sources of the `config` crate.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use ::config::{Format, Map, Source, Value};

use super::{
    ConfigError, Directive, DirectiveError, apply,
    directive::{self, to_config},
    include, read,
    redis_conf::{self, RedisConf},
    toml::Toml,
};

/// What the variables that we read begin with.
const PREFIX: &str = "REJOIN_";

/// One layer. It is read when the layers are merged.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// A file: TOML if its name ends so, else redis.conf.
    File(PathBuf),
    /// The text that stood on standard input: redis.conf.
    Stdin(Vec<u8>),
    Environment(Vec<Directive>),
    CommandLine(Vec<Directive>),
}

impl Layer {
    pub(super) fn file(path: &Path) -> Self {
        Self { content: Content::File(path.to_owned()) }
    }

    pub(super) fn stdin(text: Vec<u8>) -> Self {
        Self { content: Content::Stdin(text) }
    }

    pub(super) fn environment(variables: Vec<Directive>) -> Self {
        Self { content: Content::Environment(variables) }
    }

    pub(super) fn command_line(options: Vec<Directive>) -> Self {
        Self { content: Content::CommandLine(options) }
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        match &self.content {
            Content::File(path) => collect_file(path),
            Content::Stdin(bytes) => {
                let text = decode(bytes.clone(), redis_conf::stdin_place)?;
                parse(&RedisConf { layer: directive::Layer::Stdin }, None, &text)
            }
            Content::Environment(variables) => Ok(to_config(directive::Layer::Environment, variables)),
            Content::CommandLine(options) => {
                let options = include::Includes::default().expand(options.clone())?;
                Ok(to_config(directive::Layer::CommandLine, &options))
            }
        }
    }
}

fn collect_file(path: &Path) -> Result<Map<String, Value>, ::config::ConfigError> {
    let text = decode(read::file(path)?, |line| redis_conf::file_place(path, line))?;
    let uri = path.to_string_lossy().into_owned();
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        parse(&Toml, Some(&uri), &text)
    } else {
        parse(&RedisConf { layer: directive::Layer::File }, Some(&uri), &text)
    }
}

fn decode(bytes: Vec<u8>, place: impl Fn(usize) -> String) -> Result<String, ConfigError> {
    Ok(read::decode(bytes, place)?)
}

fn parse(
    format: &dyn Format,
    uri: Option<&String>,
    text: &str,
) -> Result<Map<String, Value>, ::config::ConfigError> {
    format.parse(uri, text).map_err(|error| match error.downcast::<ConfigError>() {
        Ok(ours) => (*ours).into(),
        // What the TOML parser says names line and column, and shows the place.
        Err(other) => ConfigError::from(DirectiveError {
            place: format!("Reading the configuration file {}", uri.map_or("-", String::as_str)),
            text: String::new(),
            reason: other.to_string(),
        })
        .into(),
    })
}

/// The settings that variables give: `REJOIN_REPL_TIMEOUT=60`, `REJOIN_REPLICAOF="127.0.0.1 6379"`.
///
/// A variable that names no setting is noted, not refused: container platforms set such variables by themselves for a
/// service that is called `rejoin` (`REJOIN_SERVICE_HOST`, and `REJOIN_PORT=tcp://10.0.0.7:7379`).
pub(super) fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    notes: &mut Vec<String>,
) -> Vec<Directive> {
    let mut found = Vec::new();
    for (variable, value) in environment {
        let Some(variable) = variable.to_str().filter(|variable| variable.starts_with(PREFIX)) else {
            continue;
        };
        match directive_of(variable, value) {
            Ok(directive) => found.push(directive),
            Err(why) => notes.push(format!("The environment variable {variable} is ignored: {why}")),
        }
    }
    // The order of the environment is an accident; let it not decide between a name and its alias.
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn directive_of(variable: &str, value: OsString) -> Result<Directive, String> {
    let underscored = variable[PREFIX.len()..].to_ascii_lowercase();
    let name = [underscored.replace('_', "-"), underscored.clone()]
        .into_iter()
        .find(|name| apply::is_known(name))
        .ok_or_else(|| apply::unknown(&underscored.replace('_', "-")))?;
    let value = value.into_string().map_err(|_| "its value is not valid UTF-8")?;
    if name == "port" && value.starts_with("tcp://") {
        return Err("it describes a container platform's service".to_owned());
    }
    let words = redis_conf::split_words(&value)?;
    Ok(Directive {
        // An empty variable is an empty value (`save ""`), not a missing one.
        values: if words.is_empty() { vec![String::new()] } else { words },
        place: format!("Reading the environment variable {variable}"),
        text: format!("{name} {}", redis_conf::quoted(&value)),
        name,
    })
}
