//! What COMMAND INFO and COMMAND DOCS tell of commands beyond their rows, read from `syntax.txt`, whose head says how it is
//! written. It is read when somebody first asks.

use std::{collections::HashMap, str::FromStr, sync::LazyLock};

const TEXT: &str = include_str!("syntax.txt");

/// One command beyond its row.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) cost: String,
    /// `deprecated`, `syscmd`.
    pub(super) flags: Vec<String>,
    /// The version that deprecated it, and what replaces it.
    pub(super) until: Option<(String, String)>,
    /// Flags of COMMAND INFO besides the row's.
    pub(super) row_flags: Vec<String>,
    /// Categories of ACL rules that do not follow from the row's flags.
    pub(super) categories: Vec<String>,
    pub(super) tips: Vec<String>,
    pub(super) keys: Vec<KeySet>,
    pub(super) args: Vec<Argument>,
}

/// One set of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeySet {
    pub(super) flags: Vec<String>,
    pub(super) begin: Begin,
    pub(super) follow: Follow,
}

/// Where the search for keys begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Index(i64),
    Keyword { keyword: String, from: i64 },
    Unknown,
}

/// How keys follow from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Range { last: i64, step: i64, limit: i64 },
    Numbered { number: i64, first: i64, step: i64 },
    Unknown,
}

/// One argument, or a group of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) name: String,
    /// Redis' word for it: `string`, `integer`, `oneof`, ...
    pub(super) kind: &'static str,
    pub(super) key_set: Option<i64>,
    pub(super) token: Option<String>,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) optional: bool,
    pub(super) multiple: bool,
    pub(super) multiple_token: bool,
    pub(super) parts: Vec<Argument>,
}

/// What is known of a command beyond its row; nothing, if it has no paragraph.
pub(super) fn details(full_name: &str) -> &'static Details {
    static NONE: LazyLock<Details> = LazyLock::new(Details::default);
    static ALL: LazyLock<HashMap<String, Details>> = LazyLock::new(|| {
        // A paragraph that cannot be read is a defect, which a test finds: the others are told all the same.
        paragraphs(TEXT).filter_map(|(name, lines)| Some((name.to_owned(), read(&lines)?))).collect()
    });
    ALL.get(full_name).unwrap_or(&NONE)
}

/// Each command's name and its lines, put together where they are broken.
fn paragraphs(text: &str) -> impl Iterator<Item = (&str, Vec<String>)> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    std::iter::from_fn(move || {
        let name = lines.next()?;
        let mut found: Vec<String> = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
            match found.last_mut() {
                Some(last) if line.starts_with("    ") => {
                    last.push(' ');
                    last.push_str(line.trim());
                }
                _ => found.push(line.trim().to_owned()),
            }
        }
        Some((name, found))
    })
}

fn read(lines: &[String]) -> Option<Details> {
    let mut details = Details::default();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    for line in lines {
        let (what, text) = line.split_once(' ')?;
        match what {
            "cost" => details.cost = text.to_owned(),
            "flags" => details.flags = words(text),
            "until" => {
                let (version, replacement) = text.split_once(' ')?;
                details.until = Some((version.to_owned(), replacement.to_owned()));
            }
            "also" => details.row_flags = words(text),
            "acl" => details.categories = words(text),
            "tips" => details.tips = words(text),
            "keys" => details.keys = text.split("; ").map(read_key_set).collect::<Option<_>>()?,
            "args" => {
                let mut reader = Reader { rest: text };
                details.args = reader.sequence()?;
                if !reader.rest.is_empty() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(details)
}

fn read_key_set(text: &str) -> Option<KeySet> {
    let (flags, place) = text.split_once(" @")?;
    let mut words = place.split(' ');
    let begin = match words.next()? {
        "unknown" => Begin::Unknown,
        place => match place.split_once('/') {
            Some((keyword, from)) => Begin::Keyword { keyword: keyword.to_owned(), from: from.parse().ok()? },
            None => Begin::Index(place.parse().ok()?),
        },
    };
    let kind = words.next()?;
    let mut number = || words.next().map(i64::from_str)?.ok();
    let follow = match kind {
        "range" => Follow::Range { last: number()?, step: number()?, limit: number()? },
        "keynum" => Follow::Numbered { number: number()?, first: number()?, step: number()? },
        "unknown" => Follow::Unknown,
        _ => return None,
    };
    Some(KeySet { flags: flags.split(' ').map(str::to_owned).collect(), begin, follow })
}

/// Reads a line of arguments from left to right.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn next_if(&mut self, expected: &str) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Arguments up to a closing brace or the end.
    fn sequence(&mut self) -> Option<Vec<Argument>> {
        let mut found = vec![self.item()?];
        while self.next_if(" ") {
            found.push(self.item()?);
        }
        Some(found)
    }

    fn item(&mut self) -> Option<Argument> {
        let optional = self.next_if("[");
        let mut argument = self.body()?;
        argument.optional = optional;
        if optional && !self.next_if("]") {
            return None;
        }
        argument.multiple = self.next_if("+");
        argument.multiple_token = self.next_if("+");
        argument.since = self.next_if("@").then(|| self.word()).flatten();
        argument.until = self.next_if("!").then(|| self.word()).flatten();
        Some(argument)
    }

    /// An argument without what stands around it.
    fn body(&mut self) -> Option<Argument> {
        if !self.rest.starts_with(|first: char| first.is_ascii_uppercase()) {
            return self.named();
        }
        let token = self.word()?;
        // A token that belongs to an argument stands before it.
        let begins_name =
            |rest: &str| rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '"');
        if self.rest.strip_prefix(' ').is_some_and(begins_name) {
            self.next_if(" ");
            return Some(Argument { token: Some(token), ..self.named()? });
        }
        Some(Argument {
            name: token.to_ascii_lowercase(),
            kind: "pure-token",
            token: Some(token),
            ..Argument::default()
        })
    }

    fn named(&mut self) -> Option<Argument> {
        let mut argument = Argument { name: self.word()?, kind: "string", ..Argument::default() };
        if self.next_if("=") {
            (argument.kind, argument.token) = ("pure-token", Some(self.word()?));
        } else if self.next_if("(") {
            argument.kind = "oneof";
            argument.parts.push(self.item()?);
            while self.next_if("|") {
                argument.parts.push(self.item()?);
            }
            return self.next_if(")").then_some(argument);
        } else if self.next_if("{") {
            argument.kind = "block";
            argument.parts = self.sequence()?;
            return self.next_if("}").then_some(argument);
        } else if self.next_if(":") {
            let word = self.word()?;
            let kind = word.trim_end_matches(|last: char| last.is_ascii_digit());
            argument.key_set = word[kind.len()..].parse().ok();
            argument.kind = match kind {
                "int" => "integer",
                "time" => "unix-time",
                _ => ["string", "double", "key", "pattern"].into_iter().find(|known| *known == kind)?,
            };
        } else if argument.name == "key" {
            (argument.kind, argument.key_set) = ("key", Some(0));
        }
        Some(argument)
    }

    /// A word, or whatever stands between quotes.
    fn word(&mut self) -> Option<String> {
        if self.next_if("\"") {
            let (word, rest) = self.rest.split_once('"')?;
            self.rest = rest;
            return Some(word.to_owned());
        }
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-/.".contains(c)));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn every_paragraph_can_be_read() {
        let mut last = "";
        for (name, lines) in paragraphs(TEXT) {
            assert!(read(&lines).is_some(), "{name}: {lines:?}");
            assert!(last < name, "{name} stands behind {last}");
            last = name;
        }
    }

    #[test]
    fn arguments_are_read_as_the_head_of_the_file_says() {
        let text =
            "key value:int+ [condition(NX|no=\"NO ONE\")]@2.6 [EX seconds:time]++!7.0 pair{a:double \"b:c\"}";
        let args = Reader { rest: text }.sequence().unwrap();
        let [key, value, condition, seconds, pair] = args.as_slice() else { panic!("{args:?}") };
        assert_eq!((key.kind, key.key_set), ("key", Some(0)));
        assert_eq!((value.kind, value.multiple, value.optional), ("integer", true, false));
        assert_eq!((condition.kind, condition.since.as_deref()), ("oneof", Some("2.6")));
        assert_eq!(condition.parts[0].token.as_deref(), Some("NX"));
        assert_eq!(
            (condition.parts[1].name.as_str(), condition.parts[1].token.as_deref()),
            ("no", Some("NO ONE"))
        );
        assert_eq!((seconds.kind, seconds.token.as_deref()), ("unix-time", Some("EX")));
        assert!(seconds.optional && seconds.multiple_token && seconds.until.as_deref() == Some("7.0"));
        assert_eq!((pair.kind, pair.parts[0].kind, pair.parts[1].name.as_str()), ("block", "double", "b:c"));
        for broken in ["a(b", "a{b", "[a", "a:nosuch", "a(", "A="] {
            let mut reader = Reader { rest: broken };
            assert!(reader.sequence().is_none() || !reader.rest.is_empty(), "{broken}");
        }
    }

    #[test]
    fn sets_of_keys_are_read() {
        let keys = details("georadius_or_unknown");
        assert!(keys.keys.is_empty() && keys.args.is_empty());
        assert_eq!(
            read_key_set("RW insert @STORE/-5 range 0 1 0").unwrap(),
            KeySet {
                flags: vec!["RW".to_owned(), "insert".to_owned()],
                begin: Begin::Keyword { keyword: "STORE".to_owned(), from: -5 },
                follow: Follow::Range { last: 0, step: 1, limit: 0 },
            }
        );
        assert_eq!(read_key_set("RO @1 keynum 0 1"), None);
    }
}
