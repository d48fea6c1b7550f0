//! The base subject: what is left of a subject without the marks that replies, forwards and mailing lists put on it
//! (RFC 5256 §2.1). SORT orders by it, THREAD gathers by it.
//!
//! One pass from each end: nothing is looked at twice, however the marks are nested.

use super::decode::decode_header;

/// A subject without its marks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BaseSubject {
    /// What is left, in its own case.
    pub text: String,
    /// Whether a mark said that the message is a reply or a forward. The name of a mailing list is no such mark.
    pub is_reply: bool,
}

impl BaseSubject {
    /// Of a Subject field's value as the message has it.
    #[must_use]
    pub fn of_field(value: &[u8]) -> Self {
        Self::of_text(&decode_header(value))
    }

    /// Of a subject whose encoded words are decoded already.
    #[must_use]
    pub fn of_text(subject: &str) -> Self {
        let line = single_spaced(subject);
        let mut rest = line.as_str();
        let mut is_reply = false;
        loop {
            rest = without_trailers(rest, &mut is_reply);
            rest = without_leaders(rest, &mut is_reply);
            match forwarded(rest) {
                Some(inner) => {
                    is_reply = true;
                    rest = inner;
                }
                None => return BaseSubject { text: rest.to_owned(), is_reply },
            }
        }
    }
}

/// Step 1: white space of any kind and length is one space.
fn single_spaced(subject: &str) -> String {
    let mut line = String::with_capacity(subject.len());
    for c in subject.chars() {
        let space = matches!(c, ' ' | '\t' | '\r' | '\n');
        if !space {
            line.push(c);
        } else if !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line
}

/// Step 2: `(fwd)` and white space at the end, repeatedly.
fn without_trailers<'t>(text: &'t str, is_reply: &mut bool) -> &'t str {
    let mut rest = text.trim_end_matches(' ');
    while let Some(before) = strip_suffix(rest, "(fwd)") {
        *is_reply = true;
        rest = before.trim_end_matches(' ');
    }
    rest
}

/// Steps 3 to 5: `[list] Re[2]:` at the beginning, repeatedly, then a `[list]` by itself unless nothing would be left.
fn without_leaders<'t>(text: &'t str, is_reply: &mut bool) -> &'t str {
    let mut rest = text.trim_start_matches(' ');
    loop {
        let (mut last_blob, mut after) = (rest, rest);
        while let Some(behind) = without_blob(after) {
            (last_blob, after) = (after, behind);
        }
        match without_reply(after) {
            Some(behind) => {
                *is_reply = true;
                rest = behind.trim_start_matches(' ');
            }
            None if after.is_empty() => return last_blob,
            None => return after,
        }
    }
}

/// `subj-blob`: brackets without brackets in them, and the white space behind.
fn without_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    Some(inner.get(end..)?.strip_prefix(']')?.trim_start_matches(' '))
}

/// `subj-refwd`: Re, Fw or Fwd, perhaps with a blob, and a colon.
fn without_reply(text: &str) -> Option<&str> {
    let behind = ["re", "fwd", "fw"].into_iter().find_map(|mark| strip_prefix(text, mark))?;
    let behind = behind.trim_start_matches(' ');
    without_blob(behind).unwrap_or(behind).strip_prefix(':')
}

/// Step 6: what is in `[fwd: …]`.
fn forwarded(text: &str) -> Option<&str> {
    strip_prefix(text, "[fwd:")?.strip_suffix(']')
}

fn strip_prefix<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(mark.len())?;
    start.eq_ignore_ascii_case(mark).then_some(rest)
}

fn strip_suffix<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(mark.len())?)?;
    end.eq_ignore_ascii_case(mark).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_come_off() {
        for (subject, text, is_reply) in [
            ("", "", false),
            (" ", "", false),
            ("hello", "hello", false),
            ("  hello \t\r\n  world ", "hello world", false),
            ("Re: hello", "hello", true),
            ("RE : hello", "hello", true),
            ("re:hello", "hello", true),
            ("Fw: hello", "hello", true),
            ("fwd: hello", "hello", true),
            ("Re: Fwd: re: hello", "hello", true),
            ("Re[2]: hello", "hello", true),
            ("Re [2] : hello", "hello", true),
            ("Re[[2]: hello", "Re[[2]: hello", false),
            ("Reply: hello", "Reply: hello", false),
            ("hello (fwd)", "hello", true),
            ("hello (FWD) (fwd)  ", "hello", true),
            ("[list] hello", "hello", false),
            ("[list] Re: hello", "hello", true),
            ("Re: [list] hello", "hello", true),
            ("[a] [b] Re: [c] [d]: hello", ": hello", true),
            ("[list]", "[list]", false),
            ("[a][b]", "[b]", false),
            ("[a] [b] Re:", "", true),
            ("Re: [list]", "[list]", true),
            ("Re:", "", true),
            ("[fwd: hello]", "hello", true),
            ("[Fwd: [fwd: Re: hello (fwd)]]", "hello", true),
            ("[list] [fwd: [x] hello]", "hello", true),
            ("[fwd: hello] there", "there", false),
            ("[fwd:]", "", true),
            ("[hello", "[hello", false),
            ("hello]", "hello]", false),
            ("Re: =?utf-8?q?gr=C3=BCn?=", "grün", true),
            ("=?utf-8?q?Re=3A_gr=C3=BCn?=", "grün", true),
            ("é", "é", false),
        ] {
            let found = BaseSubject::of_field(subject.as_bytes());
            assert_eq!((found.text.as_str(), found.is_reply), (text, is_reply), "{subject:?}");
        }
    }

    #[test]
    fn marks_by_the_thousand_take_linear_time() {
        for piece in ["Re: ", "[a]", "[fwd:", "(fwd)", "Re[", "[ ", "] ", "[a] Re: "] {
            let long = piece.repeat(200_000);
            let _ = BaseSubject::of_text(&long);
            let _ = BaseSubject::of_text(&format!("{long}x{}", "]".repeat(200_000)));
        }
    }

    proptest! {
        #[test]
        fn more_marks_change_nothing(text in "[a-z]{1,8}( [a-z]{1,8}){0,3}", before in "(re: |fwd:|\\[x\\] re: |fw \\[1\\]: ){1,4}", after in "( \\(fwd\\)| ){0,3}") {
            prop_assume!(!["re", "fw", "fwd"].contains(&text.as_str()));
            let base = BaseSubject::of_text(&text);
            prop_assert_eq!(&base.text, &text);
            let marked = BaseSubject::of_text(&format!("{before}{text}{after}"));
            prop_assert_eq!(marked.text, base.text);
            prop_assert!(marked.is_reply);
        }

        #[test]
        fn what_is_left_has_no_marks(subject in "(re|fwd|[:\\[\\]() a]){0,20}") {
            let base = BaseSubject::of_text(&subject).text;
            prop_assert_eq!(BaseSubject::of_text(&base).text, base);
        }
    }
}
