//! SASLprep (RFC 4013): the one form of a name or password that can be typed in several.

use super::secret::Secret;

/// The longest name, in bytes: an address has at most 320 (RFC 5321 §4.5.3.1), the rest is room for the
/// unprepared.
pub(super) const MAX_NAME: usize = 512;

/// The prepared form of a user name or authorization identity; `None` when it is empty, too long, or holds
/// what SASLprep prohibits. Such a name is refused, since two accounts must never look the same.
pub fn prepare_name(name: &str) -> Option<String> {
    if name.len() > MAX_NAME {
        return None;
    }
    let prepared = stringprep::saslprep(name).ok()?;
    (!prepared.is_empty()).then(|| prepared.into_owned())
}

/// The prepared form of a password. One that is not UTF-8, or that SASLprep prohibits (a control character, a
/// character newer than Unicode 3.2) or reduces to nothing, is taken as it is: people have such passwords,
/// clients that don't prepare send them unchanged, and refusing them gains nothing. RFC 8265 §4 allows what
/// RFC 4013 prohibits, too.
pub fn prepare_password(password: &Secret) -> Secret {
    let prepared =
        std::str::from_utf8(password.expose()).ok().and_then(|text| stringprep::saslprep(text).ok());
    match prepared {
        Some(text) if !text.is_empty() => Secret::from(text.into_owned()),
        _ => password.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names() {
        for name in ["", "a\u{7}b", "\u{627}1", "\u{ad}", "a\0b", "\u{1f9ff}"] {
            assert_eq!(prepare_name(name), None, "{name:?}");
        }
        assert_eq!(prepare_name(&"a".repeat(MAX_NAME + 1)), None);
    }

    // The examples of RFC 4013 §3.
    #[test]
    fn prepares_names() {
        for (name, prepared) in
            [("I\u{ad}X", "IX"), ("user", "user"), ("USER", "USER"), ("\u{aa}", "a"), ("\u{2168}", "IX")]
        {
            assert_eq!(prepare_name(name).as_deref(), Some(prepared));
        }
    }

    #[test]
    fn passwords_are_prepared_or_taken_as_they_are() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"pencil", b"pencil"),
            ("I\u{ad}X".as_bytes(), b"IX"),
            (b"bell\x07", b"bell\x07"),
            (b"latin\xe9", b"latin\xe9"),
            ("\u{1f9ff}".as_bytes(), "\u{1f9ff}".as_bytes()),
            ("\u{ad}".as_bytes(), "\u{ad}".as_bytes()),
        ];
        for (sent, prepared) in cases {
            assert_eq!(prepare_password(&Secret::new(sent.to_vec())).expose(), prepared);
        }
    }
}
