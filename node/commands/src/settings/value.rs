//! Values of settings: from what an operator wrote to the canonical text that CONFIG GET shows, or Redis' words of why
//! not.

use std::{fmt, str::FromStr};

use rejoin_protocol::number::parse_i64;

use super::{SettingError, row::Kind};
use crate::pubsub::events::EventClasses;

impl Kind {
    /// How many words a directive of this kind takes in a file; more are an error there.
    pub(super) fn takes_many(self) -> bool {
        matches!(
            self,
            Self::Words
                | Self::Choices(_)
                | Self::HostPort
                | Self::OutputLimits
                | Self::SavePoints
                | Self::OomScores
                | Self::Percentiles
        )
    }

    /// The canonical text of `value`.
    pub(super) fn canonical(self, value: &str) -> Result<String, SettingError> {
        let invalid = |reason: &str| SettingError::Invalid(reason.to_owned());
        match self {
            Self::Text => Ok(value.to_owned()),
            Self::Words => canonical_words(value),
            Self::FileName(setting) if value.contains('/') => {
                Err(SettingError::Invalid(format!("{setting} can't be a path, just a filename")))
            }
            Self::FileName(_) => Ok(value.to_owned()),
            Self::Hostname => canonical_hostname(value),
            Self::YesNo => match value.to_ascii_lowercase().as_str() {
                yes_or_no @ ("yes" | "no") => Ok(yes_or_no.to_owned()),
                _ => Err(invalid("argument must be 'yes' or 'no'")),
            },
            Self::Integer(min, max) => {
                let number = parse_i64(value.as_bytes())
                    .ok_or_else(|| invalid("argument couldn't be parsed into an integer"))?;
                between(number, min, max)
            }
            Self::Memory(min, max) => between(
                parse_memory(value).ok_or_else(|| invalid("argument must be a memory value"))?,
                min,
                max,
            ),
            Self::NoAlone(reason) => match Self::YesNo.canonical(value)?.as_str() {
                "no" => Ok("no".to_owned()),
                _ => Err(invalid(reason)),
            },
            Self::Octal(min, max) => {
                let number = u32::from_str_radix(value, 8)
                    .map_err(|_| invalid("argument couldn't be parsed as an octal number"))?;
                if number < min || number > max {
                    return Err(SettingError::Invalid(format!(
                        "argument must be between {min:o} and {max:o} inclusive"
                    )));
                }
                Ok(format!("{number:o}"))
            }
            Self::Choices(words) => canonical_choices(value, words),
            Self::Choice(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(value));
                word.map(|word| (*word).to_owned()).ok_or_else(|| {
                    SettingError::Invalid(format!(
                        "argument(s) must be one of the following: {}",
                        words.join(", ")
                    ))
                })
            }
            Self::HostPort => canonical_host_port(value),
            Self::OutputLimits => value.parse::<OutputLimits>().map(|limits| limits.to_string()),
            Self::SavePoints => canonical_save_points(value),
            Self::MemoryOrPercent => canonical_memory_or_percent(value),
            Self::EventClasses => canonical_event_classes(value),
            Self::OomScores => canonical_oom_scores(value),
            Self::Percentiles => canonical_percentiles(value),
        }
    }
}

/// Addresses to bind to.
fn canonical_words(value: &str) -> Result<String, SettingError> {
    const WORDS_MAX: usize = 16;
    let words: Vec<&str> = value.split_whitespace().collect();
    if words.len() > WORDS_MAX {
        return Err(SettingError::Invalid("Too many bind addresses specified.".to_owned()));
    }
    Ok(words.join(" "))
}

fn canonical_hostname(value: &str) -> Result<String, SettingError> {
    const BYTES_MAX: usize = 256;
    if value.len() >= BYTES_MAX {
        return Err(SettingError::Invalid("Hostnames must be less than 256 characters".to_owned()));
    }
    if value.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.') {
        Ok(value.to_owned())
    } else {
        Err(SettingError::Invalid(
            "Hostnames may only contain alphanumeric characters, hyphens or dots".to_owned(),
        ))
    }
}

/// `words[0]` is none of the others, and shown only where there is none.
fn canonical_choices(value: &str, words: &[&str]) -> Result<String, SettingError> {
    let given: Vec<&str> = value.split_whitespace().collect();
    let is_known = |word: &&str| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    if given.is_empty() || !given.iter().all(is_known) {
        return Err(SettingError::Invalid(format!(
            "argument(s) must be one of the following: {}",
            words.join(", ")
        )));
    }
    let is_given = |word: &str| given.iter().any(|given| given.eq_ignore_ascii_case(word));
    if is_given("save") && is_given("nosave") {
        return Err(SettingError::Invalid(
            "shutdown options SAVE and NOSAVE can't be used simultaneously".to_owned(),
        ));
    }
    let chosen: Vec<&str> = words[1..].iter().copied().filter(|word| is_given(word)).collect();
    Ok(if chosen.is_empty() { words[0].to_owned() } else { chosen.join(" ") })
}

fn between<N: PartialOrd + fmt::Display>(number: N, min: N, max: N) -> Result<String, SettingError> {
    if number < min || number > max {
        return Err(SettingError::Invalid(format!("argument must be between {min} and {max} inclusive")));
    }
    Ok(number.to_string())
}

/// Bytes with Redis' units: `1k` is 1000, `1kb` is 1024. Past 64 bits it saturates; nothing at all is 0.
pub(crate) fn parse_memory(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    let (digits, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1000 * 1000,
        "mb" => 1 << 20,
        "g" => 1000 * 1000 * 1000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let number = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Some(number.saturating_mul(factor))
}

fn canonical_host_port(value: &str) -> Result<String, SettingError> {
    let words: Vec<&str> = value.split_whitespace().collect();
    match words[..] {
        [] => Ok(String::new()),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => Ok(String::new()),
        [host, port] if port.parse::<u16>().is_ok() => Ok(format!("{host} {port}")),
        [_, _] => Err(SettingError::Invalid("Invalid master port".to_owned())),
        _ => Err(SettingError::Invalid("wrong number of arguments".to_owned())),
    }
}

/// The two halves of a canonical host and port; `None` for none.
pub(super) fn host_port(canonical: &str) -> Option<(String, u16)> {
    let (host, port) = canonical.split_once(' ')?;
    Some((host.to_owned(), port.parse().ok()?))
}

fn canonical_save_points(value: &str) -> Result<String, SettingError> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let is_point = |pair: &[&str]| {
        let seconds = pair.first().and_then(|seconds| parse_i64(seconds.as_bytes()));
        let changes = pair.get(1).and_then(|changes| parse_i64(changes.as_bytes()));
        seconds.is_some_and(|seconds| seconds >= 1) && changes.is_some_and(|changes| changes >= 0)
    };
    if words.chunks(2).all(is_point) {
        Ok(words.join(" "))
    } else {
        Err(SettingError::Invalid("Invalid save parameters".to_owned()))
    }
}

fn canonical_memory_or_percent(value: &str) -> Result<String, SettingError> {
    if let Some(percent) = value.strip_suffix('%').and_then(|number| number.parse::<u64>().ok()) {
        if percent > 100 {
            return Err(SettingError::Invalid("percentage argument must be less or equal to 100".to_owned()));
        }
        return Ok(format!("{percent}%"));
    }
    let bytes = parse_memory(value);
    let bytes = bytes
        .ok_or_else(|| SettingError::Invalid("argument must be a memory or percent value".to_owned()))?;
    // Redis takes what does not fit for a share.
    if bytes > i64::MAX as u64 {
        return Err(SettingError::Invalid("percentage argument must be less or equal to 100".to_owned()));
    }
    Ok(bytes.to_string())
}

/// The letters as they came: how they are shown hides one that counts.
fn canonical_event_classes(value: &str) -> Result<String, SettingError> {
    match EventClasses::parse(value) {
        Some(_) => Ok(value.to_owned()),
        None => {
            Err(SettingError::Invalid("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned()))
        }
    }
}

fn canonical_oom_scores(value: &str) -> Result<String, SettingError> {
    let words: Vec<&str> = value.split_whitespace().collect();
    if words.len() != 3 {
        return Err(SettingError::Invalid("wrong number of arguments".to_owned()));
    }
    let is_score =
        |word: &&str| parse_i64(word.as_bytes()).is_some_and(|score| (-2000..=2000).contains(&score));
    if !words.iter().all(is_score) {
        return Err(SettingError::Invalid(
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.".to_owned(),
        ));
    }
    Ok(words.join(" "))
}

fn canonical_percentiles(value: &str) -> Result<String, SettingError> {
    if value.is_empty() {
        return Ok(String::new());
    }
    let mut numbers = Vec::new();
    for word in value.split(' ') {
        let number: f64 = word.parse().map_err(|_| {
            SettingError::Invalid("Invalid latency-tracking-info-percentiles parameters".to_owned())
        })?;
        if !(0.0..=100.0).contains(&number) {
            return Err(SettingError::Invalid(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned(),
            ));
        }
        numbers.push(number.to_string());
    }
    Ok(numbers.join(" "))
}

/// What one class of clients may owe: `hard` bytes at once, or `soft` bytes for `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which a client is closed at once; 0 is no limit.
    pub hard_bytes: u64,
    /// Bytes at which it is closed after some time; 0 is no limit.
    pub soft_bytes: u64,
    /// That time.
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`, by class: normal, replica, pubsub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// In the order of the names that CONFIG GET shows. A class that was not mentioned is `None`: it stays as it is.
    classes: [Option<OutputLimit>; 3],
}

/// The limit of each class, by Redis' names; 0 where none is known.
pub(super) fn limits_of(limits: &OutputLimits) -> Vec<(&'static str, OutputLimit)> {
    let none = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };
    CLASSES.into_iter().zip(limits.classes.map(|limit| limit.unwrap_or(none))).collect()
}

/// Redis shows the old name of a replica here.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

impl OutputLimit {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.hard_bytes == 0 && self.soft_bytes == 0
    }
}

impl OutputLimits {
    /// For clients that are nothing special.
    #[must_use]
    pub fn normal(&self) -> OutputLimit {
        self.of(0)
    }

    /// For clients that have subscribed.
    #[must_use]
    pub fn pubsub(&self) -> OutputLimit {
        self.of(2)
    }

    fn of(&self, class: usize) -> OutputLimit {
        self.classes[class].unwrap_or(OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 })
    }

    /// For replicas.
    #[must_use]
    pub fn replica(&self) -> OutputLimit {
        self.of(1)
    }

    /// These limits, and for classes that are not mentioned those of `others`.
    pub(super) fn or(&self, others: &Self) -> Self {
        let mut classes = self.classes;
        for (class, other) in classes.iter_mut().zip(others.classes) {
            *class = class.or(other);
        }
        Self { classes }
    }
}

impl Default for OutputLimits {
    fn default() -> Self {
        let limit =
            |hard_bytes, soft_bytes, soft_seconds| Some(OutputLimit { hard_bytes, soft_bytes, soft_seconds });
        Self { classes: [limit(0, 0, 0), limit(256 << 20, 64 << 20, 60), limit(32 << 20, 8 << 20, 60)] }
    }
}

impl FromStr for OutputLimits {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let invalid = |reason: &str| SettingError::Invalid(reason.to_owned());
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut limits = Self { classes: [None; 3] };
        for quad in words.chunks(4) {
            let [class, hard, soft, seconds] = *quad else {
                return Err(invalid("Wrong number of arguments in buffer limit configuration."));
            };
            let class = if class.eq_ignore_ascii_case("replica") { "slave" } else { class };
            let Some(index) = CLASSES.iter().position(|name| name.eq_ignore_ascii_case(class)) else {
                return Err(invalid("Invalid client class specified in buffer limit configuration."));
            };
            let limit = match (parse_memory(hard), parse_memory(soft), seconds.parse()) {
                (Some(hard_bytes), Some(soft_bytes), Ok(soft_seconds)) => {
                    OutputLimit { hard_bytes, soft_bytes, soft_seconds }
                }
                _ => {
                    return Err(invalid(
                        "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
                    ));
                }
            };
            limits.classes[index] = Some(limit);
        }
        Ok(limits)
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, limit) in CLASSES.iter().zip(&self.classes) {
            if let Some(limit) = limit {
                write!(
                    f,
                    "{separator}{name} {} {} {}",
                    limit.hard_bytes, limit.soft_bytes, limit.soft_seconds
                )?;
                separator = " ";
            }
        }
        Ok(())
    }
}
