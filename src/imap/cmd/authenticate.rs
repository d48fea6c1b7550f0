//! AUTHENTICATE (RFC 3501 §6.2.2), with an initial response (RFC 4959).

use super::login::refused;
use crate::directory::{Authentication, LoginError, Progress};
use crate::imap::answer::{Done, Fail};
use crate::imap::session::{Session, Turn};
use crate::imap::wire::code::Code;
use crate::imap::wire::reply;
use crate::imap::wire::unit::Tag;
use crate::net::out::Out;
use crate::sasl::{Cleartext, Mechanism, Protection, encode_challenge};
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;

/// Base64 with or without its padding: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `AUTHENTICATE mechanism [initial-response]`
#[derive(Clone, PartialEq, Eq)]
pub struct Authenticate {
    /// The mechanism's name, in capitals. Any: the session says which are known.
    pub mechanism: String,
    /// The first answer, decoded. `Some` and empty is not the same as `None` (RFC 4959 §3).
    pub initial: Option<Vec<u8>>,
}

/// Without the response: it may hold a password.
impl fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl Authenticate {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mechanism = String::from_utf8_lossy(parser.atom()?).to_ascii_uppercase();
        let initial = if parser.skip(b' ') { Some(initial_response(parser)?) } else { None };
        Ok(Authenticate { mechanism, initial })
    }
}

fn initial_response(parser: &mut Parser<'_>) -> Result<Vec<u8>, Bad> {
    let at = parser.at();
    match parser.atom()? {
        // RFC 4959 §3: an empty response is written as a single pad character.
        b"=" => Ok(Vec::new()),
        encoded => decode(encoded, at),
    }
}

/// What a client sends in answer to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub enum Response {
    /// `*`: it gives up.
    Cancelled,
    /// The answer, decoded.
    Data(Vec<u8>),
}

/// Reads a line sent in answer to a challenge.
pub fn response(line: &[u8]) -> Result<Response, Bad> {
    if line == b"*" { Ok(Response::Cancelled) } else { decode(line, 0).map(Response::Data) }
}

fn decode(encoded: &[u8], at: usize) -> Result<Vec<u8>, Bad> {
    BASE64.decode(encoded).map_err(|_| Bad::new("invalid base64", at))
}

impl Authenticate {
    /// Begins the exchange.
    pub async fn run(
        self,
        tag: &Tag,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<Option<Done>, Fail> {
        let Some(mechanism) = Mechanism::parse(self.mechanism.as_bytes()) else {
            return Err(Fail::no(Code::Cannot, "this mechanism is not known here"));
        };
        let binding = session.binding();
        let protection = match (&session.tls, binding.is_none()) {
            (None, _) => Protection::None,
            (Some(_), true) => Protection::Tls,
            (Some(_), false) => Protection::TlsBound,
        };
        let cleartext = if session.private() { Cleartext::Allowed } else { Cleartext::Refused };
        if !mechanism.is_offered(protection, cleartext, session.config().tokens()) {
            return Err(match session.tls {
                None => Fail::no(
                    Code::PrivacyRequired,
                    "this mechanism needs TLS: use STARTTLS or port 993 first",
                ),
                Some(_) => Fail::no(Code::Cannot, "this mechanism is not offered here"),
            });
        }
        let directory = session.house.directory.clone();
        let mut authentication =
            Box::new(Authentication::new(directory, session.visitor(), mechanism, binding));
        let progress = authentication.begin_decoded(self.initial.as_deref()).await;
        follow(tag, session, authentication, progress, out)
    }
}

/// Takes the client's answer to a challenge.
pub async fn go_on(
    tag: &Tag,
    session: &mut Session,
    mut authentication: Box<Authentication>,
    line: &[u8],
    out: &mut Out<'_>,
) -> Result<Option<Done>, Fail> {
    let progress = authentication.step(line).await;
    follow(tag, session, authentication, progress, out)
}

fn follow(
    tag: &Tag,
    session: &mut Session,
    authentication: Box<Authentication>,
    progress: Result<Progress, LoginError>,
    out: &mut Out<'_>,
) -> Result<Option<Done>, Fail> {
    match progress {
        Ok(Progress::Done(login)) => session.become_user(login).map(Some),
        Ok(Progress::Challenge(challenge)) => {
            reply::continuation(&mut out.buffer(), &encode_challenge(&challenge));
            session.framer.expect_line();
            session.turn = Turn::Sasl(tag.clone(), authentication);
            Ok(None)
        }
        Err(error) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in [
            "AUTHENTICATE",
            "AUTHENTICATE ",
            "AUTHENTICATE PLAIN ",
            "AUTHENTICATE PLAIN a$",
            "AUTHENTICATE PLAIN AA AA",
        ] {
            refusal(input);
        }
        for (input, initial) in [
            ("AUTHENTICATE plain", None),
            ("AUTHENTICATE PLAIN =", Some(&b""[..])),
            ("AUTHENTICATE PLAIN AGEAYg==", Some(b"\0a\0b")),
            ("authenticate PLAIN AGEAYg", Some(b"\0a\0b")),
        ] {
            let expected = Authenticate { mechanism: "PLAIN".into(), initial: initial.map(<[u8]>::to_vec) };
            assert_eq!(command(input), Command::Authenticate(expected));
        }
    }

    #[test]
    fn responses() {
        assert!(response(b"**").is_err());
        assert!(response(b"YQ==\r").is_err());
        assert!(response(b"*").is_ok_and(|r| r == Response::Cancelled));
        assert!(response(b"").is_ok_and(|r| r == Response::Data(vec![])));
        assert!(response(b"YQ==").is_ok_and(|r| r == Response::Data(b"a".to_vec())));
    }
}
