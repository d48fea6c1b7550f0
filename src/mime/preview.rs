//! The beginning of a message's text, for lists of messages (PREVIEW, RFC 8970).
//!
//! What a reader sees first and what is new in it: plain text before HTML, without quoted lines, the line that announces
//! them, the signature, or the message that is forwarded below.

use super::part::{Body, Part};

/// Characters of a preview at most (RFC 8970 §3.1 advises 200, and forbids more than 256).
pub const PREVIEW_MAX: usize = 200;

/// Parts that may hold the text of a message, the best first.
#[must_use]
pub fn candidates(root: &Part) -> Vec<&Part> {
    let mut found: Vec<(u8, &Part)> = Vec::new();
    let mut open = vec![(root, 0)];
    while let Some((part, depth)) = open.pop() {
        match &part.body {
            Body::Multipart(parts) => open.extend(parts.iter().rev().map(|part| (part, depth))),
            // The text of a message within is better than none.
            Body::Message(message) => open.push((&message.part, depth + 1)),
            Body::Leaf if part.is_type("text") => {
                let kind = if part.is("text", "plain") { 0 } else { 1 };
                let attached = u8::from(is_attached(part));
                found.push((4 * u8::from(depth > 0) + 2 * attached + kind, part));
            }
            Body::Leaf => {}
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, part)| part).take(CANDIDATES_MAX).collect()
}

/// More empty parts than this before the first text are not looked at.
const CANDIDATES_MAX: usize = 4;

fn is_attached(part: &Part) -> bool {
    part.disposition.as_ref().is_some_and(|disposition| disposition.kind.eq_ignore_ascii_case(b"attachment"))
}

/// The preview of a text: one line of at most [`PREVIEW_MAX`] characters, empty where there is nothing to show.
#[must_use]
pub fn preview(text: &str) -> String {
    let own = shortened(own_lines(text));
    if !own.is_empty() {
        return own;
    }
    // An answer without a word of its own: then the words of others.
    shortened(text.lines().map(|line| line.trim_start_matches(['>', ' '])))
}

/// The lines that the sender wrote.
fn own_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            // RFC 3676 §4.3: the signature's separator has a space behind it.
            if line == "-- " || is_forwarded(line) {
                return None;
            }
            let announces =
                line.trim_end().ends_with(':') && lines.peek().is_some_and(|next| is_quoted(next));
            if !announces && !is_quoted(line) {
                return Some(line);
            }
        }
    })
}

fn is_quoted(line: &str) -> bool {
    line.starts_with('>')
}

/// Whether this is a line of hyphens around words, as in `-----Original Message-----`.
fn is_forwarded(line: &str) -> bool {
    let line = line.trim();
    let words = line.trim_matches('-');
    line.starts_with("----") && line.ends_with("----") && !words.trim().is_empty() && words.len() < 60
}

/// Words with one space between, as far as there is room.
fn shortened<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    let mut out = String::new();
    let mut room = PREVIEW_MAX;
    for word in lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c.is_control())) {
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() {
            if room < 2 {
                break;
            }
            out.push(' ');
            room -= 1;
        }
        for c in word.chars().filter(|c| is_shown(*c)) {
            if room == 0 {
                return out;
            }
            out.push(c);
            room -= 1;
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Characters without width are padding that senders of advertisements put behind their first line.
fn is_shown(c: char) -> bool {
    !matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::structure::{Builder, Limits};

    #[test]
    fn nothing_gives_nothing() {
        for text in ["", " \r\n\t", "\0\u{200b} \u{feff}", "> ", ">\n>\n"] {
            assert_eq!(preview(text), "", "{text:?}");
        }
    }

    #[test]
    fn what_is_new_is_shown() {
        for (text, shown) in [
            ("Hello,\r\n\r\n  world\t!\r\n", "Hello, world !"),
            ("On Monday Bob wrote:\n> old\n> older\n\nnew", "new"),
            ("new\n\nBob wrote:\n> old\n-- \nMe", "new"),
            ("See below:\n-----Original Message-----\nFrom: x", "See below:"),
            ("See: this\n----\nline", "See: this ---- line"),
            ("> only\n> old", "only old"),
            ("Save 5%\u{200c}\u{34f}\u{200c} now", "Save 5% now"),
        ] {
            assert_eq!(preview(text), shown, "{text:?}");
        }
        assert_eq!(preview(&"ü".repeat(500)), "ü".repeat(200));
        assert_eq!(preview(&"abc ".repeat(500)).chars().count(), 199);
    }

    #[test]
    fn plain_text_before_html_and_attachments_last() {
        let message = "Content-Type: multipart/mixed; boundary=a\r\n\r\n\
            --a\r\nContent-Type: image/png\r\n\r\nx\r\n\
            --a\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nattached\r\n\
            --a\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ninner\r\n\
            --a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b--\r\n--a--\r\n";
        let mut builder = Builder::new(Limits::default());
        builder.feed(message.as_bytes());
        let root = builder.finish().root;
        let found: Vec<&str> = candidates(&root)
            .into_iter()
            .map(|part| message.get(part.body_start as usize..part.body_end as usize).unwrap())
            .collect();
        assert_eq!(found, ["plain", "<p>html", "attached", "inner"]);
    }

    proptest! {
        #[test]
        fn never_too_long_and_always_storable(text in "[a >:\n-]{0,20}.{0,300}") {
            let shown = preview(&text);
            prop_assert!(shown.chars().count() <= PREVIEW_MAX);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
