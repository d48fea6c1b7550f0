//! The messages of OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's older form of it): an access token, and perhaps whose it is.

use super::prepare::{MAX_NAME, prepare_name};
use super::reason::Reason;
use super::scram;
use super::secret::Secret;

/// The longest message; a token has as much room as a line.
const MAX_MESSAGE: usize = 9216;
/// Between the parts.
const SEPARATOR: u8 = 1;

/// What a client says.
#[derive(Debug)]
pub(super) struct Bearer {
    /// Whom to act as, if that is said.
    pub(super) authzid: Option<String>,
    pub(super) token: Secret,
}

/// `n,a=user@example.org,^Ahost=…^Aport=…^Aauth=Bearer token^A^A` (RFC 7628 §3.1).
pub(super) fn oauth_bearer(message: &[u8]) -> Result<Bearer, Reason> {
    let parts = parts(message)?;
    let (header, pairs) = parts.split_first().ok_or(Reason::Malformed("no header"))?;
    let mut header = header.split(',');
    let (flag, authzid, rest) = (header.next(), header.next(), header.next());
    match flag {
        Some("n" | "y") => {}
        Some(flag) if flag.starts_with("p=") => return Err(Reason::BindingNotOffered),
        _ => return Err(Reason::Malformed("channel binding flag")),
    }
    if rest != Some("") || header.next().is_some() {
        return Err(Reason::Malformed("the header ends with a comma"));
    }
    let authzid = match authzid.unwrap_or_default() {
        "" => None,
        text => {
            Some(scram::name(text.strip_prefix("a=").ok_or(Reason::Malformed("authorization identity"))?)?)
        }
    };
    Ok(Bearer { authzid, token: token(pairs)? })
}

/// `user=user@example.org^Aauth=Bearer token^A^A`.
pub(super) fn xoauth2(message: &[u8]) -> Result<Bearer, Reason> {
    let pairs = parts(message)?;
    let user = pairs.iter().find_map(|pair| pair.strip_prefix("user="));
    let user = user.filter(|user| user.len() <= MAX_NAME).ok_or(Reason::Malformed("no user"))?;
    let authzid = prepare_name(user).ok_or(Reason::UnusableName)?;
    Ok(Bearer { authzid: Some(authzid), token: token(&pairs)? })
}

/// The parts of a message that ends with two separators.
fn parts(message: &[u8]) -> Result<Vec<&str>, Reason> {
    if message.len() > MAX_MESSAGE {
        return Err(Reason::TooLong);
    }
    let text = str::from_utf8(message).map_err(|_| Reason::Malformed("not UTF-8"))?;
    let text = text.strip_suffix("\u{1}\u{1}").ok_or(Reason::Malformed("the message has no end"))?;
    Ok(text.split(char::from(SEPARATOR)).collect())
}

fn token(pairs: &[&str]) -> Result<Secret, Reason> {
    let mut found = pairs.iter().filter_map(|pair| pair.strip_prefix("auth="));
    let (Some(value), None) = (found.next(), found.next()) else {
        return Err(Reason::Malformed("one auth"));
    };
    match value.split_once(' ') {
        // RFC 6750 §2.1: b64token.
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("Bearer")
                && !token.is_empty()
                && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b)) =>
        {
            Ok(Secret::from(token))
        }
        _ => Err(Reason::Malformed("auth is Bearer and a token")),
    }
}

/// What is said of a token that is not accepted (RFC 7628 §3.2.2); the client answers, and the exchange is over.
pub(super) fn refusal(mechanism_is_xoauth2: bool, configuration: &str) -> Vec<u8> {
    let mut answer =
        serde_json::json!({ "status": if mechanism_is_xoauth2 { "401" } else { "invalid_token" } });
    if !mechanism_is_xoauth2 && let Some(fields) = answer.as_object_mut() {
        fields.insert("openid-configuration".to_owned(), configuration.into());
    }
    answer.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refused() {
        for message in [
            "",
            "\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x",
            "n,,\u{1}auth=Bearer x\u{1}",
            "n,\u{1}auth=Bearer x\u{1}\u{1}",
            "n,,,\u{1}auth=Bearer x\u{1}\u{1}",
            "x,,\u{1}auth=Bearer x\u{1}\u{1}",
            "n,b=a,\u{1}auth=Bearer x\u{1}\u{1}",
            "n,,\u{1}auth=Basic x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Bearer x y\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}auth=Bearer y\u{1}\u{1}",
            "n,,\u{1}host=x\u{1}\u{1}",
        ] {
            assert!(matches!(oauth_bearer(message.as_bytes()), Err(Reason::Malformed(_))), "{message:?}");
        }
        let bound = oauth_bearer(b"p=tls-exporter,,\x01auth=Bearer x\x01\x01");
        assert_eq!(bound.unwrap_err(), Reason::BindingNotOffered);
        for message in ["user=a\u{1}\u{1}", "auth=Bearer x\u{1}\u{1}", "user=a\u{1}auth=Bearer x"] {
            assert!(matches!(xoauth2(message.as_bytes()), Err(Reason::Malformed(_))), "{message:?}");
        }
        assert_eq!(oauth_bearer(&[b'x'; MAX_MESSAGE + 1]).unwrap_err(), Reason::TooLong);
    }

    #[test]
    fn understood() {
        let said =
            oauth_bearer(b"n,a=u=2Cser@x.test,\x01host=h\x01port=143\x01auth=bearer a.b-c=\x01\x01").unwrap();
        assert_eq!(said.authzid.as_deref(), Some("u,ser@x.test"));
        assert_eq!(said.token.expose(), b"a.b-c=");
        assert_eq!(oauth_bearer(b"y,,\x01auth=Bearer t\x01\x01").unwrap().authzid, None);
        let said = xoauth2(b"user=a@x.test\x01auth=Bearer t\x01\x01").unwrap();
        assert_eq!((said.authzid.as_deref(), said.token.expose()), (Some("a@x.test"), &b"t"[..]));
    }

    proptest! {
        #[test]
        fn any_octets_are_answered(message in proptest::collection::vec(prop_oneof![any::<u8>(), Just(1), Just(b',')], 0..60)) {
            oauth_bearer(&message).ok();
            xoauth2(&message).ok();
        }
    }
}
