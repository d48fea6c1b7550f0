//! The keys that sign: found by the domain in From, remembered until something changes; and the task that makes new ones.
//!
//! A key's life is in `directory.dkim_key`; each of its steps is a statement that is audited and told to all nodes, whoever
//! makes it. Making a key is work that only one node does, away from the threads that serve connections: an RSA key takes
//! seconds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use tokio::sync::Notify;

use super::observe::{Observed, Purpose, Seen};
use super::sign::{self, Key, KeyError};
use super::{Verdict, Verify, incoming};
use crate::control::lease;
use crate::db::Error;
use crate::net::stop::Stop;
use crate::sql;

const ACTIVE_KEYS: &str = sql!("verify/active_keys");
const KEYS_TO_MAKE: &str = sql!("verify/keys_to_make");
const FINISH_KEY: &str = sql!("verify/finish_key");
const REFUSE_KEY: &str = sql!("verify/refuse_key");
const KEYS_TO_PUBLISH: &str = sql!("verify/keys_to_publish");
const ACTIVATE_KEY: &str = sql!("verify/activate_key");
const ROTATE_KEYS: &str = sql!("verify/rotate_keys");

/// How often the task looks whether a DNS record is there, or a key is old.
const PERIOD: Duration = Duration::from_secs(60);
/// Domains remembered at most; when they are more, all are forgotten.
const REMEMBERED: usize = 10_000;
/// Parent domains that may sign for a name.
const PARENTS: usize = 10;

/// The keys that are in use.
#[derive(Default)]
pub(super) struct Keys {
    remembered: Mutex<HashMap<String, Arc<Vec<Arc<Key>>>>>,
    epoch: AtomicU64,
    changed: Notify,
}

impl Keys {
    /// Forgets everything: something has changed. The task looks what there is to do.
    pub fn forget(&self) {
        // First the epoch: an answer that was asked for before is then not remembered.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.changed.notify_one();
    }
}

impl Verify {
    /// The keys that sign for a domain: its own, or those of the nearest domain above it that still belongs to the same
    /// owner (RFC 6376 §3.10 lets a receiver judge that; DMARC asks for it).
    async fn keys_for(&self, domain: &str) -> Result<Arc<Vec<Arc<Key>>>, Error> {
        if !self.control.config().dkim.sign {
            return Ok(Arc::default());
        }
        if let Some(keys) = self.keys.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(domain) {
            return Ok(keys.clone());
        }
        let epoch = self.keys.epoch.load(Ordering::SeqCst);
        let candidates = with_parents(domain);
        let rows = self.control.db.query(ACTIVE_KEYS, &[&candidates]).await?;
        let mut keys = Vec::new();
        for row in &rows {
            let (domain, selector, algorithm, private): (&str, &str, &str, &str) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            match Key::read(domain, selector, algorithm, private) {
                Ok(key) => keys.push(Arc::new(key)),
                Err(error) => tracing::error!(domain, selector, %error, "a DKIM key cannot be used"),
            }
        }
        let keys = Arc::new(keys);
        let mut remembered = self.keys.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if self.keys.epoch.load(Ordering::SeqCst) == epoch {
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(domain.to_owned(), keys.clone());
        }
        Ok(keys)
    }

    /// DKIM-Signature lines for a message of our users, to stand before `added` and the message. None are needed, or
    /// possible, where the domain in From has no active key.
    pub async fn sign(&self, added: &[u8], seen: &Seen) -> Result<Vec<u8>, Error> {
        let header = [added, &seen.header].concat();
        let domain = mail_auth::AuthenticatedMessage::parse(&header).and_then(|m| incoming::from_domain(&m));
        let (Some(domain), Some(body)) = (domain, seen.relaxed()) else { return Ok(Vec::new()) };
        let keys = self.keys_for(&domain).await?;
        Ok(sign::dkim(&keys, &header, body, Timestamp::now()))
    }

    /// DKIM-Signature lines for a message that is whole, in the name of a domain; none where it has no active key.
    pub async fn sign_whole(&self, domain: &str, message: &[u8]) -> Option<Vec<u8>> {
        let keys = self
            .keys_for(domain)
            .await
            .inspect_err(|error| tracing::warn!(%error, domain, "not signed"))
            .ok()?;
        if keys.is_empty() {
            return None;
        }
        let seen = Observed::new(message, Purpose { verify: false, sign: true }).finish();
        Some(sign::dkim(&keys, &seen.header, seen.relaxed()?, Timestamp::now()))
    }

    /// An ARC set for a message that `domain` sends on (RFC 8617 §5.1). None where settings or keys don't allow it, or
    /// where the chain so far is broken: nobody can mend it.
    pub async fn seal(&self, domain: &str, verdict: &Verdict, seen: &Seen) -> Result<Option<Vec<u8>>, Error> {
        if !self.control.config().authentication.seal_forwarded {
            return Ok(None);
        }
        let (chain, instance) = match verdict.chain {
            ("none", 0) => ("none", 1),
            // RFC 8617 §5.1.1.1.1: 50 sets are the most.
            ("pass", sets @ 1..50) => ("pass", sets + 1),
            _ => return Ok(None),
        };
        let keys = self.keys_for(domain).await?;
        // RSA is what every verifier of ARC knows.
        let (Some(key), Some(body)) = (keys.iter().max_by_key(|key| key.is_rsa()), seen.relaxed()) else {
            return Ok(None);
        };
        let Some(message) = seen.message() else { return Ok(None) };
        let mut before = Vec::new();
        for ((results, signature), seal) in
            message.aar_headers.iter().zip(&message.ams_headers).zip(&message.as_headers)
        {
            before.push((results.name, results.value));
            before.push((signature.name, signature.value));
            before.push((seal.name, seal.value));
        }
        let link = sign::Link { instance, chain, before: &before, results: &verdict.results };
        Ok(sign::arc(key, &link, &seen.header, body, Timestamp::now()))
    }

    /// Makes keys that are asked for, and puts successors to use; runs until told to stop.
    pub async fn keep_keys(self: Arc<Self>, mut stop: Stop) {
        loop {
            if let Err(error) = self.look_after_keys().await {
                tracing::debug!(%error, "DKIM keys are looked after later");
            }
            tokio::select! {
                _ = stop.wait() => return,
                () = self.keys.changed.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    async fn look_after_keys(&self) -> Result<(), Error> {
        let control = &self.control;
        if !lease::take(&control.db, "verify.keys", &control.node.name, PERIOD * 2).await? {
            return Ok(());
        }
        for row in control.db.query(KEYS_TO_MAKE, &[]).await? {
            let (id, algorithm): (i64, String) = (row.get(0), row.get(1));
            let (given, bits): (Option<String>, usize) = (row.get(2), control.config().dkim.rsa_bits);
            let made = tokio::task::spawn_blocking(move || make(&algorithm, given, bits)).await;
            match made {
                Ok(Ok((private, public))) => {
                    control.db.execute(FINISH_KEY, &[&id, &private, &public]).await?;
                    tracing::info!(key = id, "a DKIM key is ready: report.dkim_record shows what to publish");
                }
                Ok(Err(why)) => drop(control.db.execute(REFUSE_KEY, &[&id, &why]).await?),
                Err(error) => tracing::error!(%error, key = id, "a DKIM key could not be made"),
            }
        }
        control.db.execute(ROTATE_KEYS, &[]).await?;
        for row in control.db.query(KEYS_TO_PUBLISH, &[]).await? {
            let (id, name, public): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
            if self.is_published(&name, &public).await {
                control.db.execute(ACTIVATE_KEY, &[&id]).await?;
                tracing::info!(key = id, record = name, "a DKIM key has taken over");
            }
        }
        Ok(())
    }

    /// Whether the DNS has the record of a key.
    async fn is_published(&self, name: &str, public: &str) -> bool {
        let Ok(answer) = self.dns.txt(name).await else { return false };
        answer.records.iter().any(|text| {
            let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            plain.split(';').any(|tag| tag.strip_prefix("p=") == Some(public))
        })
    }
}

/// A name and the names above it, down to the one that its owner has registered.
fn with_parents(domain: &str) -> Vec<String> {
    let top = psl::domain_str(domain).unwrap_or(domain);
    let mut names = vec![domain.to_owned()];
    let mut rest = domain;
    while names.len() < PARENTS && rest.len() > top.len() {
        let Some((_, above)) = rest.split_once('.') else { break };
        names.push(above.to_owned());
        rest = above;
    }
    names
}

/// Makes a key, or reads the one that was given; returns it and its public half, or why that can't be.
fn make(algorithm: &str, given: Option<String>, bits: usize) -> Result<(String, String), String> {
    let private = match given {
        Some(given) => given,
        None => generate(algorithm, bits)?,
    };
    let key = Key::read("", "", algorithm, &private).map_err(|error: KeyError| error.to_string())?;
    Ok((private, key.public()))
}

fn generate(algorithm: &str, bits: usize) -> Result<String, String> {
    match algorithm {
        "rsa-sha256" => {
            let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).map_err(|e| e.to_string())?;
            Ok(key.to_pkcs8_pem(LineEnding::LF).map_err(|e| e.to_string())?.to_string())
        }
        _ => {
            let key = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new())
                .map_err(|_| "the system gives no random numbers".to_owned())?;
            let text = STANDARD.encode(key.as_ref());
            let lines: Vec<&str> =
                text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_both_kinds_and_reads_them() {
        let (private, public) = make("ed25519-sha256", None, 0).unwrap();
        assert_eq!(STANDARD.decode(&public).unwrap().len(), 32);
        assert_eq!(make("ed25519-sha256", Some(private.clone()), 0), Ok((private.clone(), public)));
        assert!(make("rsa-sha256", Some(private), 0).unwrap_err().contains("RSA"));
        let (private, public) = make("rsa-sha256", None, 2048).unwrap();
        use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
        let key = rsa::RsaPrivateKey::from_pkcs8_pem(&private).unwrap();
        let expected = key.to_public_key().to_public_key_der().unwrap();
        assert_eq!(STANDARD.decode(public).unwrap(), expected.as_bytes());
    }

    #[test]
    fn parents_end_at_the_registered_name() {
        assert_eq!(
            with_parents("a.b.example.co.uk"),
            ["a.b.example.co.uk", "b.example.co.uk", "example.co.uk"]
        );
        assert_eq!(with_parents("example.test"), ["example.test"]);
    }
}
