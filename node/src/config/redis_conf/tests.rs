#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

#[test]
fn words_are_split_at_blanks_and_unquoted() {
    assert_eq!(split_words("").unwrap(), Vec::<String>::new());
    assert_eq!(split_words("  a\tb \x0b c ").unwrap(), ["a", "b", "c"]);
    assert_eq!(split_words(r#"save """#).unwrap(), ["save", ""]);
    assert_eq!(split_words(r#"a "b c" 'd "e"'"#).unwrap(), ["a", "b c", "d \"e\""]);
    assert_eq!(split_words(r#"foo"bar baz" x"#).unwrap(), ["foobar baz", "x"]);
    assert_eq!(
        split_words("a#b #c").unwrap(),
        ["a#b", "#c"],
        "only a line's first character begins a comment"
    );
}

#[test]
fn escapes_are_those_of_redis() {
    assert_eq!(split_words(r#""\n\r\t\b\a\\\"\q\x41\x7""#).unwrap(), ["\n\r\t\x08\x07\\\"qAx7"]);
    assert_eq!(split_words(r"'it\'s \n'").unwrap(), [r"it's \n"]);
    assert_eq!(split_words(r#""\xc3\xa9""#).unwrap(), ["\u{e9}"]);
    assert_eq!(split_words(r"a\ b").unwrap(), [r"a\", "b"], "no escapes outside quotes");
}

#[test]
fn broken_quotes_are_refused() {
    for line in [r#""a"#, "'a", r#"a "b"c"#, r#""a""b""#, r#""a\"#, "'a\\'", r#""a"'b'"#] {
        assert_eq!(split_words(line), Err(UNBALANCED_QUOTES), "{line}");
    }
}

#[test]
fn lines_are_counted_and_names_are_lower_case() {
    let text = "\n# a comment\n\t# another\n  Port 1 \r\n\nSAVE 900 1\nsave 300 10";
    let directives = parse(text, |line| line.to_string()).unwrap();
    let found: Vec<(&str, &str, usize)> = directives
        .iter()
        .map(|directive| (directive.place.as_str(), directive.name.as_str(), directive.values.len()))
        .collect();
    assert_eq!(found, [("4", "port", 1), ("6", "save", 2), ("7", "save", 2)]);
    assert_eq!(directives[0].text, "Port 1");
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        let _ = parse(&text, |line| line.to_string());
    }

    #[test]
    fn any_mixture_of_quotes_is_parsed_or_refused(text in r#"["'\\x0-9a-f \t\n#]{0,64}"#) {
        let _ = parse(&text, |line| line.to_string());
    }

    #[test]
    fn quoting_is_undone_by_splitting(values in proptest::collection::vec(any::<String>(), 0..5)) {
        let line: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        prop_assert_eq!(split_words(&line.join(" ")).unwrap(), values);
    }
}
