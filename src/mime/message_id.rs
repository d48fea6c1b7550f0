//! Message ids as they stand in Message-ID, References and In-Reply-To (RFC 5322 §3.6.4), made comparable.
//!
//! Two ids that differ only in how their left side is quoted are the same (RFC 5256 §3, REFERENCES). What is not
//! between angle brackets with an `@` in it is none; comments and words between ids are passed over.

/// An id in its comparable form: a digest of it. Of ids nothing is asked but whether they are equal, and digests need
/// the same room however long the ids are that a sender makes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; 16]);

impl MessageId {
    fn of(id: &[u8]) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(blake3::hash(id).as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]));
        MessageId(digest)
    }
}

/// The ids in the value of a field, in their order.
pub fn message_ids(value: &[u8]) -> impl Iterator<Item = MessageId> {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = match byte {
                b'(' => skip_comment(after),
                b'"' => skip_quoted(after),
                b'<' => {
                    let (id, after) = one(after);
                    rest = after;
                    match id {
                        Some(id) => return Some(id),
                        None => continue,
                    }
                }
                _ => after,
            };
        }
    })
}

/// An id behind its opening bracket, and what follows it. One that is not closed before the next one opens is none.
fn one(from: &[u8]) -> (Option<MessageId>, &[u8]) {
    let mut id = Vec::new();
    let mut has_at = false;
    let mut rest = from;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'>' => {
                let valid = has_at && !id.starts_with(b"@") && !id.ends_with(b"@");
                return (valid.then(|| MessageId::of(&id)), rest);
            }
            b'<' => return (None, from.get(from.len() - rest.len() - 1..).unwrap_or_default()),
            b'"' if !has_at => {
                let end = skip_quoted(rest);
                let quoted = rest.get(..rest.len() - end.len()).unwrap_or_default();
                unquote(quoted.strip_suffix(b"\"").unwrap_or(quoted), &mut id);
                rest = end;
            }
            b'(' => rest = skip_comment(rest),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => {
                has_at |= byte == b'@';
                id.push(byte);
            }
        }
    }
    (None, rest)
}

fn unquote(quoted: &[u8], out: &mut Vec<u8>) {
    let mut escaped = false;
    for &byte in quoted {
        escaped = byte == b'\\' && !escaped;
        if !escaped {
            out.push(byte);
        }
    }
}

/// What follows a quoted string, from behind its opening quote; one that is never closed takes the rest.
fn skip_quoted(from: &[u8]) -> &[u8] {
    let mut escaped = false;
    for (at, &byte) in from.iter().enumerate() {
        if byte == b'"' && !escaped {
            return from.get(at + 1..).unwrap_or_default();
        }
        escaped = byte == b'\\' && !escaped;
    }
    &[]
}

/// What follows a comment, from behind its opening parenthesis; one that is never closed takes the rest.
fn skip_comment(from: &[u8]) -> &[u8] {
    let (mut depth, mut escaped) = (1u32, false);
    for (at, &byte) in from.iter().enumerate() {
        match byte {
            b'(' if !escaped => depth = depth.saturating_add(1),
            b')' if !escaped => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return from.get(at + 1..).unwrap_or_default();
        }
        escaped = byte == b'\\' && !escaped;
    }
    &[]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids() {
        for (value, expected) in [
            ("", &[][..]),
            ("a@b", &[]),
            ("<a@b>", &["a@b"]),
            (" <a@b>\r\n\t<c@d> ", &["a@b", "c@d"]),
            ("<a@b><c@d>", &["a@b", "c@d"]),
            ("Your message of \"<x@y>\" (<z@z>) <a@b>", &["a@b"]),
            ("<\"a\"@b>", &["a@b"]),
            ("<\"a\\\"c\"@b>", &["a\"c@b"]),
            ("< a@\r\n b >", &["a@b"]),
            ("<a>", &[]),
            ("<@b> <a@> <>", &[]),
            ("<a@b <c@d>", &["c@d"]),
            ("<a@b", &[]),
            ("<a(b)@c>", &["a@c"]),
            ("<A@b> <a@B>", &["A@b", "a@B"]),
            ("(open <a@b>", &[]),
        ] {
            let expected: Vec<MessageId> = expected.iter().map(|id| MessageId::of(id.as_bytes())).collect();
            assert_eq!(message_ids(value.as_bytes()).collect::<Vec<_>>(), expected, "{value}");
        }
    }

    #[test]
    fn beginnings_by_the_thousand_take_linear_time() {
        for piece in ["<", "<a@", "(", "\"", "<\"", "<(", "<a@b>"] {
            let _ = message_ids(piece.repeat(300_000).as_bytes()).count();
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_ids(value in "[<>@\"()\\\\a ]{0,40}") {
            let _ = message_ids(value.as_bytes()).count();
        }
    }
}
