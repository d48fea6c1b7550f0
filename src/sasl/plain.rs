//! The one message of PLAIN (RFC 4616 §2), and the parts of LOGIN.

use super::{
    prepare::{MAX_NAME, prepare_name},
    reason::Reason,
    secret::{MAX_PASSWORD, Secret},
};

/// What a client says of itself.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) authzid: Option<String>,
    pub(super) username: String,
    pub(super) password: Secret,
}

/// Parses `[authzid] NUL authcid NUL passwd`.
pub(super) fn parse(message: &[u8]) -> Result<Credentials, Reason> {
    if message.len() > 2 * MAX_NAME + MAX_PASSWORD + 2 {
        return Err(Reason::TooLong);
    }
    let mut parts = message.split(|&byte| byte == 0);
    let (Some(authzid), Some(authcid), Some(given), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::Malformed("PLAIN has three parts with a NUL between them"));
    };
    let username = name(authcid)?;
    let authzid = if authzid.is_empty() { None } else { Some(name(authzid)?) };
    Ok(Credentials { authzid: other_than(&username, authzid), username, password: password(given)? })
}

/// A name: UTF-8, prepared.
pub(super) fn name(bytes: &[u8]) -> Result<String, Reason> {
    if bytes.len() > MAX_NAME {
        return Err(Reason::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::Malformed("a name is UTF-8"))?;
    prepare_name(text).ok_or(Reason::UnusableName)
}

/// A password, as it came. NUL ends a string in several of the stored schemes, and RFC 4616 prohibits it.
pub(super) fn password(bytes: &[u8]) -> Result<Secret, Reason> {
    match bytes.len() {
        0 => Err(Reason::Malformed("a password is not empty")),
        1..=MAX_PASSWORD if bytes.contains(&0) => Err(Reason::Malformed("a password holds no NUL")),
        1..=MAX_PASSWORD => Ok(Secret::new(bytes.to_vec())),
        _ => Err(Reason::TooLong),
    }
}

/// Asking to act as oneself is asking for nothing (RFC 4422 §3.4.1), so the caller sees only a different
/// identity.
pub(super) fn other_than(username: &str, authzid: Option<String>) -> Option<String> {
    authzid.filter(|authzid| authzid != username)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses() {
        let malformed: [&[u8]; 7] =
            [b"", b"tim", b"tim\0tanstaaf", b"\0tim\0", b"\0tim\0a\0b", b"\0\xff\0pw", b"a\xff\0tim\0pw"];
        for message in malformed {
            assert!(matches!(parse(message), Err(Reason::Malformed(_))), "{message:?}");
        }
        assert_eq!(parse(b"\0\0pw").unwrap_err(), Reason::UnusableName);
        assert_eq!(parse(b"\0a\x07\0pw").unwrap_err(), Reason::UnusableName);
        let long = |parts: [usize; 3]| parts.map(|length| vec![b'x'; length]).join(&0);
        assert_eq!(parse(&long([0, 3, MAX_PASSWORD + 1])).unwrap_err(), Reason::TooLong);
        assert_eq!(parse(&long([0, MAX_NAME + 1, 3])).unwrap_err(), Reason::TooLong);
        assert_eq!(parse(&long([1 << 20, 3, 3])).unwrap_err(), Reason::TooLong);
    }

    // The examples of RFC 4616 §4.
    #[test]
    fn parses() {
        let tim = parse(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!((tim.authzid, tim.username.as_str()), (None, "tim"));
        assert_eq!(tim.password.expose(), b"tanstaaftanstaaf");
        let kurt = parse(b"Ursel\0Kurt\0xipj3plmq").unwrap();
        assert_eq!((kurt.authzid.as_deref(), kurt.username.as_str()), (Some("Ursel"), "Kurt"));
        assert_eq!(parse(b"tim\0tim\0x").unwrap().authzid, None);
        assert_eq!(parse(b"\0tim\0caf\xe9").unwrap().password.expose(), b"caf\xe9");
    }
}
