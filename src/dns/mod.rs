//! Names: what the DNS says, with whether DNSSEC vouches for it.
//!
//! Guarantees: an answer without records is an answer; a failure is one of the network, or an answer that is not authentic.
//! Answers are remembered until their time is over, the empty ones too, in bounded memory. `secure` is true only where the setting
//! says who vouches: the name servers by their AD bit (`trust`), or we ourselves (`validate`).
//!
//! What it costs: a name that is remembered, no more than a look; another one, one question by UDP, by TCP where the answer is
//! long. Names are asked for as they are: no search list, no hosts file.

mod pool;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use pool::Pool;

use crate::mail::hex;

/// Records of one answer that are looked at.
const RECORDS: usize = 100;
/// The longest name that is asked for (RFC 1035 §3.1), in text.
const NAME: usize = 253;

/// Who vouches for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dnssec {
    /// Nobody.
    Off,
    /// The name servers.
    Trust,
    /// We ourselves.
    Validate,
}

/// How names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name servers; none: the system's.
    pub servers: Vec<SocketAddr>,
    /// Who vouches for answers.
    pub dnssec: Dnssec,
    /// How long one question may take.
    pub timeout: Duration,
    /// How often it is asked.
    pub attempts: usize,
    /// Answers remembered.
    pub cache: u64,
}

/// Why the settings can't be obeyed.
#[derive(Debug, thiserror::Error)]
#[error("names cannot be looked up: {0}")]
pub struct SetupError(String);

/// An answer: its records, perhaps none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records of the type asked for, aliases (CNAME) followed.
    pub records: Vec<T>,
    /// Whether DNSSEC vouches for the answer.
    pub secure: bool,
    /// Whether the name exists.
    pub exists: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name servers don't answer, or can't.
    #[error("{0}")]
    Temporary(String),
    /// There is an answer, and it is not authentic.
    #[error("{0}")]
    Bogus(String),
}

/// A mail server of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// Lower ones first.
    pub preference: u16,
    /// Its name, without the last dot; empty where the domain takes no mail (RFC 7505).
    pub host: String,
}

/// A statement about a server's certificate (RFC 6698 §2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// Certificate usage: 2 is DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 the certificate, 1 its public key.
    pub selector: u8,
    /// 0 all of it, 1 its SHA-256, 2 its SHA-512.
    pub matching: u8,
    /// What it matches.
    pub data: Vec<u8>,
}

/// As zone files have it (RFC 6698 §2.2).
impl std::fmt::Display for Tlsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.usage, self.selector, self.matching, hex(&self.data))
    }
}

/// A service's place (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// Its share among those of one priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// The host's name, without the last dot; empty where there is no such service.
    pub host: String,
}

/// The way to the DNS. Cheap to clone; all clones follow a change of settings.
#[derive(Clone)]
pub struct Dns(Arc<ArcSwap<Inner>>);

struct Inner {
    settings: Settings,
    resolver: TokioResolver,
    /// Asks for the AD bit, which the resolver does not do.
    trusting: Option<Pool>,
}

impl Inner {
    fn new(settings: &Settings) -> Result<Self, SetupError> {
        let resolver = pool::resolver(settings)?;
        let trusting = match settings.dnssec {
            Dnssec::Trust => Some(pool::trusting(settings)?),
            Dnssec::Off | Dnssec::Validate => None,
        };
        Ok(Self { settings: settings.clone(), resolver, trusting })
    }
}

impl Dns {
    /// The DNS by these settings.
    ///
    /// # Errors
    /// When the system's settings are wanted and can't be read.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(Inner::new(settings)?))))
    }

    /// Obeys changed settings. What was remembered is forgotten then.
    ///
    /// # Errors
    /// As [`Self::new`]; the former settings stay.
    pub fn configure(&self, settings: &Settings) -> Result<(), SetupError> {
        if self.0.load().settings != *settings {
            self.0.store(Arc::new(Inner::new(settings)?));
        }
        Ok(())
    }

    /// The resolver below, for libraries that bring their own questions.
    #[must_use]
    pub fn resolver(&self) -> TokioResolver {
        self.0.load().resolver.clone()
    }

    /// The mail servers of a domain, as they are listed.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn mx(&self, domain: &str) -> Result<Answer<Mx>, Failure> {
        self.ask(domain, RecordType::MX, |data| match data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, host: text(&mx.exchange) }),
            _ => None,
        })
        .await
    }

    /// The IPv4 addresses of a host.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ipv4(&self, host: &str) -> Result<Answer<Ipv4Addr>, Failure> {
        self.ask(host, RecordType::A, |data| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .await
    }

    /// The IPv6 addresses of a host.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ipv6(&self, host: &str) -> Result<Answer<Ipv6Addr>, Failure> {
        self.ask(host, RecordType::AAAA, |data| match data {
            RData::AAAA(address) => Some(address.0),
            _ => None,
        })
        .await
    }

    /// All addresses of a host. It exists where either family says so, and is secure where both are.
    ///
    /// # Errors
    /// [`Failure`] of one family, unless the other one has addresses.
    pub async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, Failure> {
        let (four, six) = tokio::join!(self.ipv4(host), self.ipv6(host));
        let widened = |four: Answer<Ipv4Addr>| Answer {
            records: four.records.into_iter().map(IpAddr::V4).collect(),
            secure: four.secure,
            exists: four.exists,
        };
        match (four, six) {
            (Ok(four), Ok(six)) => {
                let mut all = widened(four);
                all.secure &= six.secure;
                all.exists |= six.exists;
                all.records.extend(six.records.into_iter().map(IpAddr::V6));
                Ok(all)
            }
            (Ok(four), Err(_)) if !four.records.is_empty() => Ok(Answer { secure: false, ..widened(four) }),
            (Err(_), Ok(six)) if !six.records.is_empty() => Ok(Answer {
                records: six.records.into_iter().map(IpAddr::V6).collect(),
                secure: false,
                exists: true,
            }),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        }
    }

    /// The texts of a name, each with its strings put together.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn txt(&self, name: &str) -> Result<Answer<String>, Failure> {
        self.ask(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        })
        .await
    }

    /// The names of an address.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ptr(&self, address: IpAddr) -> Result<Answer<String>, Failure> {
        self.ask(&reverse(address), RecordType::PTR, |data| match data {
            RData::PTR(name) => Some(text(&name.0)),
            _ => None,
        })
        .await
    }

    /// What is said of the certificate of a server on a port (RFC 6698 §3).
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn tlsa(&self, port: u16, host: &str) -> Result<Answer<Tlsa>, Failure> {
        self.ask(&format!("_{port}._tcp.{host}"), RecordType::TLSA, |data| match data {
            RData::TLSA(tlsa) => Some(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            }),
            _ => None,
        })
        .await
    }

    /// Where a service is, as its records are listed.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn srv(&self, name: &str) -> Result<Answer<Srv>, Failure> {
        self.ask(name, RecordType::SRV, |data| match data {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: text(&srv.target),
            }),
            _ => None,
        })
        .await
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        take: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, Failure> {
        let nobody = Answer { records: Vec::new(), secure: false, exists: false };
        if name.len() > NAME {
            return Ok(nobody);
        }
        // What can't be a name doesn't exist.
        let Ok(mut fqdn) = Name::from_ascii(name) else { return Ok(nobody) };
        fqdn.set_fqdn(true);
        let inner = self.0.load_full();
        let limit = (inner.settings.timeout * u32::try_from(inner.settings.attempts).unwrap_or(1)) * 2;
        let question = async {
            match &inner.trusting {
                Some(pool) => pool::ask(pool, fqdn, kind).await,
                None => inner.resolver.lookup(fqdn, kind).await,
            }
        };
        match tokio::time::timeout(limit, question).await {
            Ok(outcome) => answer(outcome, inner.settings.dnssec, name, kind, take),
            Err(_) => Err(Failure::Temporary(format!("no answer about {kind} of {name} in time"))),
        }
    }
}

fn answer<T>(
    outcome: Result<Lookup, NetError>,
    dnssec: Dnssec,
    name: &str,
    kind: RecordType,
    take: impl Fn(&RData) -> Option<T>,
) -> Result<Answer<T>, Failure> {
    match outcome {
        Ok(lookup) => {
            let records = lookup.answers();
            let secure = match dnssec {
                Dnssec::Off => false,
                Dnssec::Trust => lookup.message().metadata.authentic_data,
                Dnssec::Validate => {
                    !records.is_empty() && records.iter().all(|record| record.proof.is_secure())
                }
            };
            let records = records.iter().filter_map(|record| take(&record.data)).take(RECORDS).collect();
            Ok(Answer { records, secure, exists: true })
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NoError => Ok(Answer { records: Vec::new(), secure: false, exists: true }),
            ResponseCode::NXDomain => Ok(Answer { records: Vec::new(), secure: false, exists: false }),
            code => Err(Failure::Temporary(format!("{kind} of {name}: the name server says {code}"))),
        },
        // Nothing there, and DNSSEC has something to say about that.
        Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => match proof.is_bogus() {
            true => Err(Failure::Bogus(format!("{kind} of {name}: that there is none is not proven"))),
            false => Ok(Answer {
                records: Vec::new(),
                secure: proof.is_secure(),
                exists: response.metadata.response_code != ResponseCode::NXDomain,
            }),
        },
        Err(NetError::Dns(DnsError::DnssecBogus)) => {
            Err(Failure::Bogus(format!("{kind} of {name}: the signatures are wrong")))
        }
        Err(error) => Err(Failure::Temporary(format!("{kind} of {name}: {error}"))),
    }
}

/// A name without its last dot.
fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// The name under which an address is looked up (RFC 1035 §3.5, RFC 3596 §2.5).
#[must_use]
pub fn reverse(address: IpAddr) -> String {
    format!("{}.{}", reversed_labels(address), if address.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" })
}

/// An address with its parts reversed, as block lists are asked too (RFC 5782 §2.1, §2.4).
#[must_use]
pub fn reversed_labels(address: IpAddr) -> String {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, d] = four.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(six) => {
            let nibbles = six.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_reversed() {
        assert_eq!(reverse("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse("2001:db8::1".parse().unwrap()),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }
}
