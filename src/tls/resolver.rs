//! Which certificate a client is shown: the exact name it asks for, else a wildcard, else the first.
//!
//! A wildcard stands for one label (RFC 6125 §6.4.3): `*.example.test` covers `mail.example.test`, not
//! `a.mail.example.test`. A client without SNI, or asking for an unknown name, gets the default rather than a failed
//! handshake: sending servers connect to whatever the MX record says and mostly do not verify (RFC 7435).
//!
//! A client that offers `acme-tls/1` and nothing else is an authority that asks whether a name is ours (RFC 8737). It is
//! shown the answer to its question, or nothing.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{Certified, normal};

/// The protocol of an authority's question (RFC 8737 §6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Whether a client is an authority with a question (RFC 8737 §3: it offers this protocol alone).
pub fn is_acme_question(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_TLS) && offered.next().is_none())
}

/// The certificates in force, replaceable at any moment; the next handshake sees the new ones.
#[derive(Debug, Default)]
pub struct Certificates {
    table: ArcSwap<Table>,
    /// Answers to authorities, by name.
    answers: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// Keyed by what follows the `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Starts with these; see [`Certificates::replace`].
    pub fn new(rows: &[Certified]) -> Self {
        let certificates = Self::default();
        certificates.replace(rows);
        certificates
    }

    /// Puts these in force. The first is the default; where two have the same name, the earlier one serves it.
    pub fn replace(&self, rows: &[Certified]) {
        let mut table = Table { default: rows.first().map(|row| row.key.clone()), ..Table::default() };
        for row in rows {
            for name in &row.names {
                let name = normal(name);
                match name.strip_prefix("*.") {
                    Some(parent) => {
                        table.wildcard.entry(parent.to_owned()).or_insert_with(|| row.key.clone())
                    }
                    None => table.exact.entry(name).or_insert_with(|| row.key.clone()),
                };
            }
        }
        self.table.store(Arc::new(table));
    }

    /// The certificate for a name, or the default; `None` only when there are no certificates at all.
    pub fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let named = name.map(normal).and_then(|name| {
            table.exact.get(&name).or_else(|| table.wildcard.get(name.split_once('.')?.1)).cloned()
        });
        named.or_else(|| table.default.clone())
    }

    /// Answers authorities so from now on, and no others. Where two are for the same name, the later one counts.
    pub fn answer(&self, answers: Vec<(String, Arc<CertifiedKey>)>) {
        let answers = answers.into_iter().map(|(name, key)| (normal(&name), key)).collect();
        self.answers.store(Arc::new(answers));
    }

    /// The answer to an authority's question about a name.
    pub fn answer_for(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.answers.load().get(&normal(name)).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match is_acme_question(&hello) {
            true => self.answer_for(hello.server_name()?),
            false => self.choose(hello.server_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::self_signed;

    fn row(names: &[&str]) -> Certified {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (chain, key) = self_signed(&names).unwrap();
        Certified::from_pem(chain.as_bytes(), key.as_bytes(), &[]).unwrap()
    }

    #[test]
    fn exact_before_wildcard_before_default() {
        assert!(Certificates::new(&[]).choose(Some("a.test")).is_none());
        let rows = [
            row(&["first.test"]),
            row(&["*.example.test"]),
            row(&["mail.example.test"]),
            row(&["mail.example.test"]),
        ];
        let certificates = Certificates::new(&rows);
        let cases = [
            (None, 0),
            (Some("unknown.test"), 0),
            (Some("nodots"), 0),
            (Some("example.test"), 0),
            (Some("a.mail.example.test"), 0),
            (Some("first.test"), 0),
            (Some("imap.example.test"), 1),
            (Some("MAIL.Example.Test"), 2),
        ];
        for (name, wanted) in cases {
            let chosen = certificates.choose(name).unwrap();
            assert!(Arc::ptr_eq(&chosen, &rows[wanted].key), "{name:?} should get row {wanted}");
        }
    }

    #[test]
    fn replaced_rows_are_live_at_once() {
        let (old, new) = (row(&["a.test"]), row(&["a.test"]));
        let certificates = Certificates::new(std::slice::from_ref(&old));
        certificates.replace(std::slice::from_ref(&new));
        assert!(Arc::ptr_eq(&certificates.choose(Some("a.test")).unwrap(), &new.key));
    }
}
