//! Glob patterns as KEYS, SCAN and PSUBSCRIBE take them: `*`, `?`, classes with ranges and negation, and `\` to escape.
//!
//! A pattern is a row of steps that take one byte each, with stars between them. So when a step fails, only the last
//! star has to be tried further on: an earlier one could reach nothing that the last cannot. The work is at most the
//! product of the lengths, whatever the pattern; there is no recursion.

/// Whether letters of either case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They differ.
    Sensitive,
    /// They are the same (ASCII only).
    Insensitive,
}

/// Whether the whole of `text` matches `pattern`, in the details as Redis sees it: a class that is not closed ends
/// with the pattern, `\` at the end stands for itself, and the empty text matches nothing but `*` and the empty pattern.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if pattern == b"*" {
        return true;
    }
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut taken) = (0, 0);
    // Where to go on after a failure: the step behind the last star, and the first byte it has not been tried at.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        while pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, taken));
        }
        if at == pattern.len() && (taken == text.len() || retry.is_some_and(|(step, _)| step == at)) {
            return true;
        }
        if taken == text.len() {
            return false;
        }
        if at < pattern.len() {
            let step = Step::of(&pattern[at..], text[taken], case);
            if step.matched {
                at += step.pattern_len;
                taken += 1;
                continue;
            }
        }
        let Some((step, from)) = retry else { return false };
        retry = Some((step, from + 1));
        (at, taken) = (step, from + 1);
    }
}

/// One step of a pattern, tried on one byte.
struct Step {
    matched: bool,
    pattern_len: usize,
}

impl Step {
    /// Tries the step with which `pattern` begins; it is not empty and begins with no star.
    fn of(pattern: &[u8], byte: u8, case: Case) -> Self {
        match pattern {
            [b'?', ..] => Self { matched: true, pattern_len: 1 },
            [b'[', class @ ..] => Self::of_class(class, byte, case),
            [b'\\', literal, ..] => Self { matched: same(*literal, byte, case), pattern_len: 2 },
            [literal, ..] => Self { matched: same(*literal, byte, case), pattern_len: 1 },
            [] => Self { matched: false, pattern_len: 0 },
        }
    }

    /// Tries a class; `class` begins behind its bracket.
    fn of_class(class: &[u8], byte: u8, case: Case) -> Self {
        let negated = class.first() == Some(&b'^');
        let mut at = usize::from(negated);
        let mut matched = false;
        loop {
            match &class[at..] {
                [] => break,
                [b'\\', literal, ..] => {
                    matched |= same(*literal, byte, case);
                    at += 2;
                }
                [b']', ..] => {
                    at += 1;
                    break;
                }
                [first, b'-', last, ..] => {
                    matched |= is_between(*first, *last, byte, case);
                    at += 3;
                }
                [literal, ..] => {
                    matched |= same(*literal, byte, case);
                    at += 1;
                }
            }
        }
        Self { matched: matched != negated, pattern_len: 1 + at }
    }
}

fn fold(byte: u8, case: Case) -> u8 {
    if case == Case::Insensitive { byte.to_ascii_lowercase() } else { byte }
}

fn same(a: u8, b: u8, case: Case) -> bool {
    fold(a, case) == fold(b, case)
}

fn is_between(first: u8, last: u8, byte: u8, case: Case) -> bool {
    let (first, last) = if first <= last { (first, last) } else { (last, first) };
    (fold(first, case)..=fold(last, case)).contains(&fold(byte, case))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive)
    }

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text) in [
            ("*", ""),
            ("", ""),
            ("*", "x"),
            ("a*", "a"),
            ("a**", "a"),
            ("*a", "bca"),
            ("h?llo", "hello"),
            ("h*llo", "hllo"),
            ("h*llo", "heeeello"),
            ("*a*b*c*", "xxaxxbxxcxx"),
            ("*ab", "aab"),
            ("**", "x"),
        ] {
            assert!(is_match(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("**", ""), ("", "x"), ("?", ""), ("a*", "b"), ("h?llo", "hllo"), ("*ab", "abc"), ("a", "ab")]
        {
            assert!(!is_match(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn classes() {
        for (pattern, text) in [
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            ("[\\]]", "]"),
            ("[a-]", "]"),
            ("[a-]", "a"),
            ("[abc", "c"),
            ("[^]", "x"),
            ("[^", "x"),
            ("x[a-c]*z", "xbyyz"),
        ] {
            assert!(is_match(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("h[^e]llo", "hello"), ("[]c]", "c"), ("[]", "x"), ("[", "x"), ("h[a-c]llo", "hdllo")]
        {
            assert!(!is_match(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn escapes() {
        assert!(is_match("a\\*", "a*"));
        assert!(!is_match("a\\*", "ab"));
        assert!(is_match("a\\", "a\\"));
        assert!(is_match("\\a", "a"));
    }

    #[test]
    fn case_is_folded_on_request() {
        assert!(matches(b"MAX*[A-C]", b"maxmemoryb", Case::Insensitive));
        assert!(!matches(b"MAX*", b"maxmemory", Case::Sensitive));
    }

    #[test]
    fn patterns_that_defeat_backtracking_end_soon() {
        let pattern = "a*".repeat(500) + "b";
        let text = "a".repeat(20_000);
        assert!(!is_match(&pattern, &text));
    }
}
