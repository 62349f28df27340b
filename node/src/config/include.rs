//! Follows `include`: the directives of the named files stand where the `include` stood.
//!
//! As with redis-server, a path is relative to the directory in which the server was started, a pattern (`*`, `?`,
//! `[`) may match nothing, and what it matches is read in alphabetical order. Beyond it, a file that includes itself
//! is named instead of being read until memory ends.

use std::path::{Path, PathBuf};

use super::{ConfigError, Directive, DirectiveError, read, redis_conf};

/// Files open inside one another.
const DEPTH_MAX: usize = 16;
/// Files read in all: sixteen levels of files that each include two others would be sixty thousand.
const FILES_MAX: usize = 256;

/// The state of one layer's reading.
#[derive(Debug, Default)]
pub(super) struct Includes {
    /// The files that are being read, the outermost first.
    open: Vec<PathBuf>,
    /// Files read so far.
    files: usize,
}

impl Includes {
    /// The directives of a file whose text is at hand.
    pub(super) fn file(&mut self, path: &Path, text: &str) -> Result<Vec<Directive>, ConfigError> {
        self.open.push(path.to_owned());
        let directives = self.text(text, |line| redis_conf::file_place(path, line));
        self.open.pop();
        directives
    }

    /// The directives of a text that is no file.
    pub(super) fn text(
        &mut self,
        text: &str,
        place: impl Fn(usize) -> String,
    ) -> Result<Vec<Directive>, ConfigError> {
        self.expand(redis_conf::parse(text, place)?)
    }

    /// Puts the directives of included files in the places of the `include`s.
    pub(super) fn expand(&mut self, directives: Vec<Directive>) -> Result<Vec<Directive>, ConfigError> {
        let mut expanded = Vec::with_capacity(directives.len());
        for directive in directives {
            if directive.name == "include" {
                for path in matching(&directive)? {
                    expanded.extend(self.included(&directive, &path)?);
                }
            } else {
                expanded.push(directive);
            }
        }
        Ok(expanded)
    }

    fn included(&mut self, include: &Directive, path: &Path) -> Result<Vec<Directive>, ConfigError> {
        let path = read::absolute(path)?;
        self.files += 1;
        if let Some(reason) = self.refusal(&path) {
            return Err(DirectiveError::new(include, reason).into());
        }
        let text = read::decode(read::file(&path)?, |line| redis_conf::file_place(&path, line))?;
        self.file(&path, &text)
    }

    fn refusal(&self, path: &Path) -> Option<String> {
        // A cycle through different names of one file is caught by the depth.
        if self.open.iter().any(|open| open == path) {
            return Some(format!("'{}' includes itself", path.display()));
        }
        if self.open.len() >= DEPTH_MAX {
            return Some(format!("files include one another more than {DEPTH_MAX} deep"));
        }
        (self.files > FILES_MAX).then(|| format!("more than {FILES_MAX} files are included"))
    }
}

/// The files that an `include` names.
fn matching(include: &Directive) -> Result<Vec<PathBuf>, DirectiveError> {
    let [pattern] = include.values.as_slice() else {
        return Err(DirectiveError::new(include, "wrong number of arguments"));
    };
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let matches =
        glob::glob_with(pattern, options).map_err(|error| DirectiveError::new(include, error.to_string()))?;
    let mut paths = Vec::new();
    for path in matches {
        paths.push(path.map_err(|error| DirectiveError::new(include, error.to_string()))?);
        if paths.len() > FILES_MAX {
            return Err(DirectiveError::new(
                include,
                format!("the pattern matches more than {FILES_MAX} files"),
            ));
        }
    }
    Ok(paths)
}
