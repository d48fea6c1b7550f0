//! SPF (RFC 7208): may this server send mail in the name of that domain?
//!
//! The evaluation is ours: its limits are what keeps a record from making us ask the whole world. At most ten terms
//! that ask the DNS, ten mail servers or reverse names for each of them, two answers without records (§4.6.4); records
//! are read as a whole before anything is asked.

use std::net::IpAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::spf_record::{Macro, Mechanism, Prefix, Qualifier, Record, is_spf};
use crate::dns::{Answer, Dns, Failure};

/// Terms that ask the DNS.
const TERMS: u32 = 10;
/// Mail servers, or reverse names, looked at for one term.
const NAMES: usize = 10;
/// Answers without records.
const VOID: u32 = 2;
/// Length of a name.
const NAME: usize = 253;

/// What the check found (§2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpfResult {
    /// There is nothing to check, or no record.
    None,
    /// The domain says nothing of this server.
    Neutral,
    /// It may.
    Pass,
    /// It may not.
    Fail,
    /// Probably it may not.
    SoftFail,
    /// The DNS did not answer.
    TempError,
    /// The record can't be used.
    PermError,
}

impl SpfResult {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            SpfResult::None => "none",
            SpfResult::Neutral => "neutral",
            SpfResult::Pass => "pass",
            SpfResult::Fail => "fail",
            SpfResult::SoftFail => "softfail",
            SpfResult::TempError => "temperror",
            SpfResult::PermError => "permerror",
        }
    }
}

/// Who sends.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The client's address.
    pub peer: IpAddr,
    /// The name that it gave itself.
    pub helo: &'a str,
    /// Local part of the sender; `postmaster` where there is none.
    pub local: &'a str,
    /// The domain to be checked: the sender's, or the client's own name.
    pub domain: &'a str,
}

/// Checks a sender.
pub async fn check(dns: &Dns, query: Query<'_>) -> SpfResult {
    if !is_checkable(query.domain) {
        return SpfResult::None;
    }
    let query = Query { peer: query.peer.to_canonical(), ..query };
    Check { dns, query, terms: 0, void: 0, name: None }.host(query.domain.to_owned()).await
}

/// §4.3: a name of several labels, none empty, none too long.
fn is_checkable(domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    domain.len() <= NAME
        && domain.contains('.')
        && domain.split('.').all(|label| (1..=63).contains(&label.len()))
        && domain.parse::<IpAddr>().is_err()
}

struct Check<'a> {
    dns: &'a Dns,
    query: Query<'a>,
    terms: u32,
    void: u32,
    /// What `%{p}` stands for, once it was asked for.
    name: Option<String>,
}

/// Why a check ends early: the result.
struct End(SpfResult);

impl From<Failure> for End {
    fn from(_: Failure) -> Self {
        End(SpfResult::TempError)
    }
}

impl Check<'_> {
    fn host(&mut self, domain: String) -> BoxFuture<'_, SpfResult> {
        async move { self.evaluate(&domain).await.unwrap_or_else(|End(result)| result) }.boxed()
    }

    async fn evaluate(&mut self, domain: &str) -> Result<SpfResult, End> {
        let answer = self.dns.txt(domain).await?;
        let mut records = answer.records.iter().filter(|text| is_spf(text));
        let record = match (records.next(), records.next()) {
            (None, _) => return Ok(SpfResult::None),
            (Some(_), Some(_)) => return Ok(SpfResult::PermError),
            (Some(text), None) => Record::parse(text).map_err(|_| End(SpfResult::PermError))?,
        };
        for directive in &record.directives {
            if self.matches(&directive.mechanism, domain).await? {
                return Ok(match directive.qualifier {
                    Qualifier::Pass => SpfResult::Pass,
                    Qualifier::Fail => SpfResult::Fail,
                    Qualifier::SoftFail => SpfResult::SoftFail,
                    Qualifier::Neutral => SpfResult::Neutral,
                });
            }
        }
        let Some(redirect) = &record.redirect else { return Ok(SpfResult::Neutral) };
        self.count_term()?;
        let target = self.target(Some(redirect), domain).await?;
        if !is_checkable(&target) {
            return Ok(SpfResult::PermError);
        }
        // §6.1: a domain without a record there is a mistake.
        match self.host(target).await {
            SpfResult::None => Ok(SpfResult::PermError),
            other => Ok(other),
        }
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, End> {
        let peer = self.query.peer;
        match mechanism {
            Mechanism::All => return Ok(true),
            Mechanism::Ip(network, length) => return Ok(within(peer, *network, *length)),
            _ => self.count_term()?,
        }
        match mechanism {
            Mechanism::All | Mechanism::Ip(..) => Ok(false),
            Mechanism::Include(target) => {
                let target = self.target(Some(target), domain).await?;
                if !is_checkable(&target) {
                    return Err(End(SpfResult::PermError));
                }
                // §5.2.
                match self.host(target).await {
                    SpfResult::Pass => Ok(true),
                    SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral => Ok(false),
                    SpfResult::TempError => Err(End(SpfResult::TempError)),
                    SpfResult::PermError | SpfResult::None => Err(End(SpfResult::PermError)),
                }
            }
            Mechanism::A(target, prefix) => {
                let target = self.target(target.as_ref(), domain).await?;
                self.has_address(&target, *prefix).await
            }
            Mechanism::Mx(target, prefix) => {
                let target = self.target(target.as_ref(), domain).await?;
                if !is_name(&target) {
                    return Ok(false);
                }
                let answer = self.dns.mx(&target).await?;
                self.count_void(&answer)?;
                // §4.6.4.
                if answer.records.len() > NAMES {
                    return Err(End(SpfResult::PermError));
                }
                for mx in &answer.records {
                    if self.has_address(&mx.host, *prefix).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(target) => {
                let target = self.target(target.as_ref(), domain).await?.to_ascii_lowercase();
                let target = target.strip_suffix('.').unwrap_or(&target);
                let names = self.names().await;
                let below = |name: &String| {
                    name.strip_suffix(target).is_some_and(|head| head.is_empty() || head.ends_with('.'))
                };
                Ok(names.iter().any(below))
            }
            Mechanism::Exists(target) => {
                let target = self.target(Some(target), domain).await?;
                if !is_name(&target) {
                    return Ok(false);
                }
                // §5.7: an A record, whatever the client's address is.
                let answer = self.dns.ipv4(&target).await?;
                self.count_void(&answer)?;
                Ok(!answer.records.is_empty())
            }
        }
    }

    async fn has_address(&mut self, host: &str, (four, six): Prefix) -> Result<bool, End> {
        if !is_name(host) {
            return Ok(false);
        }
        let peer = self.query.peer;
        if peer.is_ipv4() {
            let answer = self.dns.ipv4(host).await?;
            self.count_void(&answer)?;
            Ok(answer.records.iter().any(|address| within(peer, (*address).into(), four)))
        } else {
            let answer = self.dns.ipv6(host).await?;
            self.count_void(&answer)?;
            Ok(answer.records.iter().any(|address| within(peer, (*address).into(), six)))
        }
    }

    /// Names of the client that lead back to it (§5.5); errors are no names.
    async fn names(&mut self) -> Vec<String> {
        let peer = self.query.peer;
        let Ok(answer) = self.dns.ptr(peer).await else { return Vec::new() };
        let mut names = Vec::new();
        for name in answer.records.iter().take(NAMES) {
            let back = match peer {
                IpAddr::V4(peer) => self.dns.ipv4(name).await.is_ok_and(|a| a.records.contains(&peer)),
                IpAddr::V6(peer) => self.dns.ipv6(name).await.is_ok_and(|a| a.records.contains(&peer)),
            };
            if back {
                names.push(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
            }
        }
        names
    }

    /// The name that a term means, cut to what a name can be (§7.3).
    async fn target(&mut self, named: Option<&Macro>, domain: &str) -> Result<String, End> {
        let Some(named) = named else { return Ok(domain.to_owned()) };
        if named.needs_name() && self.name.is_none() {
            let names = self.names().await;
            let best = names
                .iter()
                .find(|name| *name == domain)
                .or_else(|| names.iter().find(|n| n.ends_with(domain)));
            let name = best.or(names.first()).cloned();
            self.name = Some(name.unwrap_or_else(|| "unknown".to_owned()));
        }
        let mut target = named.expand(|letter| self.value(letter, domain));
        while target.strip_suffix('.').unwrap_or(&target).len() > NAME {
            match target.split_once('.') {
                Some((_, rest)) => target = rest.to_owned(),
                None => break,
            }
        }
        Ok(target)
    }

    /// What a macro letter stands for (§7.2).
    fn value(&self, letter: char, domain: &str) -> String {
        let Query { peer, helo, local, domain: sender, .. } = self.query;
        match letter {
            's' => format!("{local}@{sender}"),
            'l' => local.to_owned(),
            'o' => sender.to_owned(),
            'd' => domain.to_owned(),
            'p' => self.name.clone().unwrap_or_default(),
            'v' => if peer.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
            'h' => helo.to_owned(),
            _ => match peer {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => {
                    let nibbles = address.octets().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
                    nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
                }
            },
        }
    }

    fn count_term(&mut self) -> Result<(), End> {
        self.terms += 1;
        if self.terms > TERMS { Err(End(SpfResult::PermError)) } else { Ok(()) }
    }

    fn count_void<T>(&mut self, answer: &Answer<T>) -> Result<(), End> {
        self.void += u32::from(answer.records.is_empty());
        if self.void > VOID { Err(End(SpfResult::PermError)) } else { Ok(()) }
    }
}

/// Whether a name can be asked for; what a macro makes need not be one.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    !name.is_empty() && name.len() <= NAME && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

/// Whether an address is in a network; one of the other family is not.
fn within(peer: IpAddr, network: IpAddr, length: u8) -> bool {
    match (peer, network) {
        (IpAddr::V4(peer), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            peer.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(peer), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            peer.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(within(ip("192.0.2.200"), ip("192.0.2.1"), 24));
        assert!(!within(ip("192.0.3.1"), ip("192.0.2.1"), 24));
        assert!(within(ip("8.8.8.8"), ip("1.1.1.1"), 0));
        assert!(!within(ip("192.0.2.2"), ip("192.0.2.1"), 32));
        assert!(within(ip("2001:db8::5"), ip("2001:db8::"), 64));
        assert!(!within(ip("2001:db8::5"), ip("0.0.0.0"), 0));
    }

    #[test]
    fn what_is_checked() {
        assert!(is_checkable("a.test") && is_checkable("a.test."));
        for domain in ["", "localhost", "a..test", "192.0.2.1", &format!("{}.test", "x".repeat(64))] {
            assert!(!is_checkable(domain), "{domain}");
        }
    }
}
