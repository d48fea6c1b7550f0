//! LOGIN (RFC 3501 §6.2.3).

use crate::directory::LoginError;
use crate::imap::answer::{Fail, Outcome};
use crate::imap::session::Session;
use crate::imap::wire::code::Code;
use crate::sasl::Secret;
use std::fmt;

use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;

/// `LOGIN userid password`
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name as the client wrote it.
    pub userid: String,
    /// The password's bytes: nothing says that an old one is UTF-8.
    pub password: Vec<u8>,
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("userid", &self.userid).finish_non_exhaustive()
    }
}

impl Login {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let userid = parser.text()?;
        parser.space()?;
        let password = parser.astring()?.into_owned();
        Ok(Login { userid, password })
    }
}

impl Login {
    /// Checks name and password.
    pub async fn run(self, session: &mut Session) -> Outcome {
        let house = session.house.clone();
        let password = Secret::new(self.password);
        match house.directory.login(session.visitor(), &self.userid, &password).await {
            Ok(login) => session.become_user(login),
            Err(error) => Err(refused(error)),
        }
    }
}

/// A failed login as a response (RFC 5530 §3).
pub(super) fn refused(error: LoginError) -> Fail {
    let text = error.to_string();
    match error {
        LoginError::Wrong | LoginError::Locked(_) => Fail::no(Code::AuthenticationFailed, text),
        LoginError::Forbidden(_) => Fail::no(Code::AuthorizationFailed, text),
        LoginError::Temporary(_) => Fail::no(Code::Unavailable, text),
        LoginError::Cancelled | LoginError::Syntax(_) => Fail::bad(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in
            ["LOGIN", "LOGIN a", "LOGIN a ", "LOGIN  a b", "LOGIN a b c", "LOGIN \"a b", "LOGIN {1}\r\n\0 b"]
        {
            refusal(input);
        }
        for (input, password) in [
            ("LOGIN alice secret", &b"secret"[..]),
            ("login \"alice\" \"se\\\"cret\"", b"se\"cret"),
            ("LOGIN {5}\r\nalice {3+}\r\n\r\n\"", b"\r\n\""),
            ("LOGIN alice \"\"", b""),
        ] {
            let expected = Login { userid: "alice".into(), password: password.into() };
            assert_eq!(command(input), Command::Login(expected));
        }
        assert!(!format!("{:?}", command("LOGIN alice secret")).contains("secret"));
    }
}
