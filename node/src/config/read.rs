//! Reads configuration text, with a limit on its length.

use std::{
    fs::File,
    io::{self, Read},
    path::{self, Path, PathBuf},
};

use super::{ConfigError, DirectiveError};

/// Debian's redis.conf, nearly all of it comments, has 0.1 MB.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// The path as it is from anywhere; the file need not exist.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    path::absolute(path).map_err(|cause| ConfigError::Open { path: path.to_owned(), cause })
}

/// A whole file.
pub(super) fn file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |cause: io::Error| ConfigError::Open { path: path.to_owned(), cause };
    let file = File::open(path).map_err(failed)?;
    limited(file, &format!("config file '{}'", path.display()), failed)
}

/// All of standard input.
pub(super) fn stdin(input: &mut dyn Read) -> Result<Vec<u8>, ConfigError> {
    limited(input, "the configuration on standard input", |cause| ConfigError::Open {
        path: "-".into(),
        cause,
    })
}

fn limited(
    input: impl Read,
    what: &str,
    failed: impl FnOnce(io::Error) -> ConfigError,
) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::new();
    input.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(ConfigError::TooLong { what: what.to_owned(), bytes_max: CONFIG_BYTES_MAX });
    }
    Ok(bytes)
}

/// The text of a redis.conf. Comments may be in any encoding; directives are UTF-8.
pub(super) fn decode(bytes: Vec<u8>, place: impl Fn(usize) -> String) -> Result<String, DirectiveError> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let lossy = String::from_utf8_lossy(line);
        if std::str::from_utf8(line).is_err() && !lossy.trim_start().starts_with('#') {
            return Err(DirectiveError {
                place: place(index + 1),
                text: lossy.trim().to_owned(),
                reason: "the line is not valid UTF-8".to_owned(),
            });
        }
        text.push_str(&lossy);
    }
    Ok(text)
}
