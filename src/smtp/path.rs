//! The path of MAIL and RCPT, delimited but not understood (RFC 5321 §4.1.2).

/// The octets between `<` and `>`: an address, with its source route if it has one (`@a,@b:user@c`), or nothing for `<>`.
///
/// Quoted strings are respected, so that `<"a>b"@example.test>` is one path. No more is promised about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawPath<'a>(pub &'a [u8]);

impl RawPath<'_> {
    /// Is this the null path `<>`, the sender of bounces (RFC 5321 §4.5.5)?
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.is_empty()
    }
}

/// How the path was written. Whether to accept a path that isn't written as the RFC wants is the server's to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathForm {
    /// `<user@example.test>`.
    Angled,
    /// `user@example.test`, as some old devices write it.
    Bare,
}

/// Splits a path from the front of `text`, which may begin with spaces; returns what follows the path.
///
/// # Errors
/// What is wrong, as words for the client.
pub(super) fn split(text: &[u8]) -> Result<(RawPath<'_>, PathForm, &[u8]), &'static str> {
    let text = text.trim_ascii_start();
    let (form, body) = match text.strip_prefix(b"<") {
        Some(body) => (PathForm::Angled, body),
        None => (PathForm::Bare, text),
    };
    let end = end_of_path(body, form)?;
    let (path, rest) = body.split_at(end);
    let rest = match form {
        PathForm::Angled => rest.strip_prefix(b">").ok_or("missing >")?,
        PathForm::Bare if path.is_empty() => return Err("missing <"),
        PathForm::Bare => rest,
    };
    if !rest.is_empty() && !rest.starts_with(b" ") {
        return Err("no space after the path");
    }
    Ok((RawPath(path), form, rest))
}

/// Where the path ends: at the first `>` (or, for the bare form, space or end of line) outside a quoted string.
fn end_of_path(body: &[u8], form: PathForm) -> Result<usize, &'static str> {
    let mut quoted = false;
    let mut i = 0;
    while let Some(&byte) = body.get(i) {
        match (byte, quoted) {
            // quoted-pairSMTP: the octet after a backslash stands for itself.
            (b'\\', true) => i += 1,
            (b'"', _) => quoted = !quoted,
            (b'>', false) if form == PathForm::Angled => return Ok(i),
            (b' ', false) if form == PathForm::Bare => return Ok(i),
            (b' ', false) => return Err("space in the path"),
            (b'<' | b'>', false) => return Err("misplaced < or >"),
            _ => {}
        }
        i += 1;
    }
    match form {
        _ if quoted => Err("quoted string without end"),
        PathForm::Angled => Err("missing >"),
        PathForm::Bare => Ok(body.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused() {
        for text in [
            "", " ", "<", "<a@b", "<a@b >", "< a@b>", "<a<b@c>", "<a@b>c", "<\"a@b>", "<\"a\\", "a@b>",
            "a<b@c>", "\"a b",
        ] {
            assert!(split(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn delimited() {
        for (text, path, form, rest) in [
            ("<>", "", PathForm::Angled, ""),
            ("<> SIZE=1", "", PathForm::Angled, " SIZE=1"),
            ("  <a@b>", "a@b", PathForm::Angled, ""),
            ("<@x,@y:a@b> A", "@x,@y:a@b", PathForm::Angled, " A"),
            ("<\"a> <\\\"b\"@c> A", "\"a> <\\\"b\"@c", PathForm::Angled, " A"),
            ("<a@[IPv6:::1]>", "a@[IPv6:::1]", PathForm::Angled, ""),
            ("a@b SIZE=1", "a@b", PathForm::Bare, " SIZE=1"),
            ("\"a b\"@c", "\"a b\"@c", PathForm::Bare, ""),
        ] {
            assert_eq!(
                split(text.as_bytes()),
                Ok((RawPath(path.as_bytes()), form, rest.as_bytes())),
                "{text}"
            );
        }
    }
}
