//! The mechanisms, and which of them a connection is offered.

/// A mechanism this server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616: name and password in one message.
    Plain,
    /// draft-murchison-sasl-login: name and password in two messages. Obsolete, and asked for by old clients.
    Login,
    /// RFC 7677: the password proves itself without being sent.
    ScramSha256,
    /// RFC 7677 with a channel binding: tied to this TLS connection, too.
    ScramSha256Plus,
    /// RFC 7628: an access token.
    OAuthBearer,
    /// The same in an older form, which many clients speak.
    XOAuth2,
}

/// What protects the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nothing: everyone on the path reads along.
    None,
    /// TLS that offers no channel binding, or none that is wanted.
    Tls,
    /// TLS with a channel binding.
    TlsBound,
}

/// Whether a password may cross an unprotected connection: the operator's setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleartext {
    /// Not without TLS (RFC 4616 §6, RFC 8314): the default to choose.
    Refused,
    /// Even without TLS: for closed networks.
    Allowed,
}

/// Whether anybody's access tokens are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// No issuer is configured.
    Refused,
    /// There is one.
    Accepted,
}

impl Mechanism {
    /// All, strongest first: the order in which they are announced, which clients that don't weigh them
    /// follow.
    pub const ALL: [Self; 6] = [
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::Plain,
        Self::Login,
    ];

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// The mechanism of that name, in any case; `None` for one that this server doesn't speak.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether the client sends the password itself.
    pub const fn sends_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }

    /// Whether this one is announced on such a connection. What is not announced is refused (RFC 4954 §6:
    /// 504, or 538 where only TLS is missing).
    pub fn is_offered(self, protection: Protection, cleartext: Cleartext, tokens: Tokens) -> bool {
        match self {
            Self::Plain | Self::Login => protection != Protection::None || cleartext == Cleartext::Allowed,
            Self::ScramSha256 => true,
            Self::ScramSha256Plus => protection == Protection::TlsBound,
            // Whoever reads a token can use it: never without TLS, whatever the setting for passwords (RFC 7628 §4).
            Self::OAuthBearer | Self::XOAuth2 => tokens == Tokens::Accepted && protection != Protection::None,
        }
    }

    /// The mechanisms to announce on such a connection, strongest first.
    pub fn offered(
        protection: Protection,
        cleartext: Cleartext,
        tokens: Tokens,
    ) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |mechanism| mechanism.is_offered(protection, cleartext, tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_unknown_names() {
        for name in ["", "PLAI", "PLAINX", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS ", "ANONYMOUS"] {
            assert_eq!(Mechanism::parse(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn parses_names_in_any_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::parse(mechanism.name().as_bytes()), Some(mechanism));
            assert_eq!(Mechanism::parse(mechanism.name().to_lowercase().as_bytes()), Some(mechanism));
        }
    }

    #[test]
    fn offers_no_password_in_the_clear() {
        let names = |protection, cleartext| -> Vec<_> {
            Mechanism::offered(protection, cleartext, Tokens::Refused).map(Mechanism::name).collect()
        };
        assert_eq!(names(Protection::None, Cleartext::Refused), ["SCRAM-SHA-256"]);
        assert_eq!(names(Protection::None, Cleartext::Allowed), ["SCRAM-SHA-256", "PLAIN", "LOGIN"]);
        assert_eq!(names(Protection::Tls, Cleartext::Refused), ["SCRAM-SHA-256", "PLAIN", "LOGIN"]);
        assert_eq!(
            names(Protection::TlsBound, Cleartext::Refused),
            ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"]
        );
    }

    #[test]
    fn offers_tokens_under_tls_where_there_is_an_issuer() {
        for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
            for cleartext in [Cleartext::Allowed, Cleartext::Refused] {
                let offered = |protection, tokens| mechanism.is_offered(protection, cleartext, tokens);
                assert!(!offered(Protection::None, Tokens::Accepted));
                assert!(!offered(Protection::Tls, Tokens::Refused));
                assert!(offered(Protection::Tls, Tokens::Accepted));
                assert!(offered(Protection::TlsBound, Tokens::Accepted));
            }
        }
    }
}
