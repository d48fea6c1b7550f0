//! Why an order failed, for the person who reads `control.acme_certificate.last_error`.

use std::time::Duration;

use instant_acme::Problem;

use crate::db;
use crate::tls::certificate::CertificateError;

/// Names of problems begin so (RFC 8555 §6.7).
const PREFIX: &str = "urn:ietf:params:acme:error:";
/// What is kept of a text that an authority sends, characters.
const MAX_TEXT: usize = 2000;

/// Why.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The database.
    #[error("{0}")]
    Database(#[from] db::Error),
    /// The authority does not know the account.
    #[error("the authority does not know the account: {0}")]
    NoAccount(String),
    /// Everything else.
    #[error("{text}")]
    Told {
        /// For people.
        text: String,
        /// Not to be tried again before.
        wait: Duration,
    },
}

impl Trouble {
    /// With this text.
    pub(super) fn told(text: String) -> Self {
        Self::Told { text: text.chars().take(MAX_TEXT).collect(), wait: Duration::ZERO }
    }

    /// How long to wait at least, as the authority wishes.
    pub(super) fn wait(&self) -> Duration {
        match self {
            Self::Told { wait, .. } => *wait,
            Self::Database(_) | Self::NoAccount(_) => Duration::ZERO,
        }
    }

    /// Not to be tried again before.
    pub(super) fn after(self, wait: Duration) -> Self {
        match self {
            Self::Told { text, .. } => Self::Told { text, wait },
            other => other,
        }
    }
}

impl From<instant_acme::Error> for Trouble {
    fn from(error: instant_acme::Error) -> Self {
        use instant_acme::Error;
        match error {
            Error::Api(problem) if kind(&problem) == "accountDoesNotExist" => {
                Self::NoAccount(words(&problem))
            }
            Error::Api(problem) => Self::told(words(&problem)),
            Error::Timeout(_) => {
                Self::told("the authority is still at it; it is asked again later".to_owned())
            }
            Error::Json(error) => {
                Self::told(format!("the authority does not speak ACME as RFC 8555 has it: {error}"))
            }
            Error::Str(text) => {
                Self::told(format!("the authority does not speak ACME as RFC 8555 has it: {text}"))
            }
            other => Self::told(other.to_string()),
        }
    }
}

impl From<CertificateError> for Trouble {
    fn from(error: CertificateError) -> Self {
        Self::told(error.to_string())
    }
}

/// The kind of a problem, without what all have in common.
fn kind(problem: &Problem) -> &str {
    let name = problem.r#type.as_deref().unwrap_or_default();
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// A problem in words.
pub(super) fn words(problem: &Problem) -> String {
    let of = |kind: Option<&str>, detail: Option<&str>| {
        let kind = kind.map(|name| name.strip_prefix(PREFIX).unwrap_or(name));
        match (detail, kind) {
            (Some(detail), Some(kind)) => format!("{detail} ({kind})"),
            (Some(text), None) | (None, Some(text)) => text.to_owned(),
            (None, None) => "the authority refused, and said no more".to_owned(),
        }
    };
    let mut text = of(problem.r#type.as_deref(), problem.detail.as_deref());
    for part in &problem.subproblems {
        let about = of(part.r#type.as_deref(), part.detail.as_deref());
        match &part.identifier {
            Some(identifier) => text.push_str(&format!("; {}: {about}", identifier.authorized(false))),
            None => text.push_str(&format!("; {about}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_in_words() {
        // The second is the example of RFC 8555 §6.7.1.
        let cases = [
            (
                r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many orders","status":429}"#,
                "too many orders (rateLimited)",
            ),
            (
                r#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "Some of the identifiers requested were rejected",
                    "subproblems": [
                      {"type": "urn:ietf:params:acme:error:malformed", "detail": "Invalid underscore in DNS name \"_example.org\"",
                       "identifier": {"type": "dns", "value": "_example.org"}},
                      {"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "This CA will not issue for \"example.net\"",
                       "identifier": {"type": "dns", "value": "example.net"}}]}"#,
                "Some of the identifiers requested were rejected (malformed); \
                 _example.org: Invalid underscore in DNS name \"_example.org\" (malformed); \
                 example.net: This CA will not issue for \"example.net\" (rejectedIdentifier)",
            ),
            (r#"{"type":"about:blank"}"#, "about:blank"),
            ("{}", "the authority refused, and said no more"),
        ];
        for (json, text) in cases {
            assert_eq!(words(&serde_json::from_str(json).unwrap()), text);
        }
    }

    #[test]
    fn an_unknown_account_is_told_apart() {
        let problem =
            r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist","detail":"no such account"}"#;
        let error = instant_acme::Error::Api(serde_json::from_str(problem).unwrap());
        assert!(matches!(Trouble::from(error), Trouble::NoAccount(_)));
    }
}
