//! The certificate authority, as configured, and what it is answered while an order is under way.

use serde::Deserialize;

/// How it is shown that a name is ours.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    #[serde(rename = "http-01")]
    Http01,
}

impl Challenge {
    /// Its name in RFC 8555 and RFC 8737.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

#[derive(Deserialize, Clone, PartialEq, Eq)]
pub struct Acme {
    pub active: bool,
    pub directory: String,
    pub terms_agreed: bool,
    pub contact: Option<String>,
    pub challenge: Challenge,
    pub roots: Option<String>,
    pub external_key_id: Option<String>,
    pub external_key: Option<String>,
    pub answers: Vec<Answer>,
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Acme({}, {})", self.directory, if self.active { "active" } else { "inactive" })
    }
}

#[derive(Deserialize, Clone, PartialEq, Eq)]
pub struct Answer {
    pub token: String,
    pub name: String,
    pub challenge: Challenge,
    pub key_authorization: String,
    pub chain: Option<String>,
    pub key: Option<String>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {})", self.name, self.challenge.name())
    }
}

impl Acme {
    /// What the page `/.well-known/acme-challenge/TOKEN` has to say, as `application/octet-stream` (RFC 8555 §8.3);
    /// nothing when no authority is expected to ask for it.
    pub fn key_authorization(&self, token: &str) -> Option<&str> {
        self.answers
            .iter()
            .find(|answer| answer.challenge == Challenge::Http01 && answer.token == token)
            .map(|answer| answer.key_authorization.as_str())
    }

    /// Name, certificate and key (PEM) of each answer that is given by TLS.
    pub fn tls_answers(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.answers.iter().filter(|answer| answer.challenge == Challenge::TlsAlpn01).filter_map(|answer| {
            Some((answer.name.as_str(), answer.chain.as_deref()?, answer.key.as_deref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn each_kind_of_answer_is_found_by_its_own_question() {
        let config = Config::sample(&serde_json::json!({"acme": {"answers": [
            {"token": "LoqXcYV8", "name": "a.test", "challenge": "http-01", "key_authorization": "LoqXcYV8.jxN8G-VqQ"},
            {"token": "evaGxfAD", "name": "b.test", "challenge": "tls-alpn-01", "key_authorization": "evaGxfAD.jxN8G-VqQ",
             "chain": "certificate", "key": "secret"},
        ]}}));
        let cases =
            [("LoqXcYV8", Some("LoqXcYV8.jxN8G-VqQ")), ("evaGxfAD", None), ("", None), ("LoqXcYV8.", None)];
        for (token, page) in cases {
            assert_eq!(config.acme.key_authorization(token), page, "{token}");
        }
        assert_eq!(config.acme.tls_answers().collect::<Vec<_>>(), [("b.test", "certificate", "secret")]);
        assert!(!format!("{:?}", config.acme.answers).contains("secret"));
    }
}
