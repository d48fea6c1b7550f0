//! Names: what the world's name servers say, and how far it can be believed.
//!
//! `Dns` is one handle for everybody, cheap to clone. `ask` puts one question and keeps its answer, `settings` reads
//! `control.dns`. Its own questions go through `ask` rather than hickory's resolver, which hides whether an answer was
//! authenticated; [`Dns::resolver`] is that resolver, for `mail-auth`, with the same name servers and limits.
//!
//! What must hold: no records is an answer, not a failure, for "there is none" and "nobody knows" are opposite news to
//! whoever has mail to send. `secure` is true only when every step of the answer, aliases included, is authentic under
//! the configured mode (RFC 4035 §4.9.3, RFC 7672 §2.1). Answers are bounded in number and size, waits in time, the
//! cache in entries; new settings begin with an empty cache. A name is absolute: no search list is ever applied.
//!
//! What it costs: a cached answer is one lock and one clone; another one is a datagram to a name server.

mod ask;
mod settings;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use ask::{Asker, Found};
pub use settings::{Dnssec, Settings, SetupError};

/// Records of one answer that are looked at. Nobody needs more, and whoever sends more means no good.
const MAX_RECORDS: usize = 128;

/// What was found under a name. No records is an answer too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records, at most 128.
    pub records: Vec<T>,
    /// Whether DNSSEC vouches for all of it. That there are no records is vouched for by proofs checked here alone:
    /// under `trust` it never is, for hickory drops the flag of an answer without records.
    pub secure: bool,
    /// False when the name itself does not exist (NXDOMAIN).
    pub exists: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody could say; ask again later.
    #[error("{0}")]
    Temporary(String),
    /// There was an answer, and its signatures are wrong: somebody forged it, or its owner made a mistake.
    #[error("{0}")]
    Bogus(String),
}

/// A mail exchanger (RFC 5321 §5.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower ones are tried first.
    pub preference: u16,
    /// Host name in lower case, without a final dot; empty for the "null MX" (RFC 7505).
    pub host: String,
}

/// Which certificate to expect (RFC 6698 §2.1), the fields as they are on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 the thing itself, 1 its SHA-256, 2 its SHA-512.
    pub matching: u8,
    /// What to compare with.
    pub data: Vec<u8>,
}

/// A service's place (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// Lower ones are tried first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// Host name in lower case, without a final dot; empty when the service is declared absent.
    pub host: String,
}

/// Looks names up.
#[derive(Clone)]
pub struct Dns {
    current: Arc<ArcSwap<Current>>,
}

struct Current {
    settings: Settings,
    asker: Asker,
    resolver: TokioResolver,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").field("settings", &self.current.load().settings).finish()
    }
}

impl Dns {
    /// Begins with these settings. Nothing is asked yet.
    ///
    /// # Errors
    /// When a name server's address can't be read.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(Current::new(settings)?)) })
    }

    /// Puts these settings in force, for all clones. Settings that have not changed keep the cache.
    ///
    /// # Errors
    /// As [`Dns::new`]; the settings before stay in force.
    pub fn configure(&self, settings: &Settings) -> Result<(), SetupError> {
        if self.current.load().settings != *settings {
            self.current.store(Arc::new(Current::new(settings)?));
        }
        Ok(())
    }

    /// hickory's own resolver with the same settings, for `mail-auth`. Take it anew for each message: it is a handle.
    pub fn resolver(&self) -> TokioResolver {
        self.current.load().resolver.clone()
    }

    /// The domain's mail exchangers, best first.
    ///
    /// # Errors
    /// When nobody could say, or the answer was forged.
    pub async fn mx(&self, domain: &str) -> Result<Answer<Mx>, Failure> {
        let mut answer = self
            .records(domain, RecordType::MX, |data| match data {
                RData::MX(mx) => Some(Mx { preference: mx.preference, host: host_name(&mx.exchange) }),
                _ => None,
            })
            .await?;
        answer.records.sort();
        Ok(answer)
    }

    /// A host's IPv4 addresses.
    ///
    /// # Errors
    /// As [`Dns::mx`].
    pub async fn ipv4(&self, host: &str) -> Result<Answer<Ipv4Addr>, Failure> {
        self.records(host, RecordType::A, |data| match data {
            RData::A(a) => Some(a.0),
            _ => None,
        })
        .await
    }

    /// A host's IPv6 addresses.
    ///
    /// # Errors
    /// As [`Dns::mx`].
    pub async fn ipv6(&self, host: &str) -> Result<Answer<Ipv6Addr>, Failure> {
        self.records(host, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(aaaa.0),
            _ => None,
        })
        .await
    }

    /// A host's addresses, IPv6 first, asked for at once. `secure` holds for what is returned.
    ///
    /// # Errors
    /// When either question failed and the other brought no address; or when an answer was forged.
    pub async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, Failure> {
        let (six, four) = tokio::join!(self.ipv6(host), self.ipv4(host));
        let (six, four) = match (six, four) {
            (Err(bogus @ Failure::Bogus(_)), _) | (_, Err(bogus @ Failure::Bogus(_))) => return Err(bogus),
            (Ok(six), Ok(four)) => (six, four),
            // One of the two is enough to get there, though not to vouch for what is missing.
            (Err(failure), Ok(answer)) if answer.records.is_empty() => return Err(failure),
            (Ok(answer), Err(failure)) if answer.records.is_empty() => return Err(failure),
            (Err(_), Ok(four)) => (Answer { records: Vec::new(), secure: true, exists: true }, four),
            (Ok(six), Err(_)) => (six, Answer { records: Vec::new(), secure: true, exists: true }),
            (Err(failure), Err(_)) => return Err(failure),
        };
        let secure = match (six.records.is_empty(), four.records.is_empty()) {
            (true, false) => four.secure,
            (false, true) => six.secure,
            _ => six.secure && four.secure,
        };
        let exists = six.exists || four.exists;
        let mut records: Vec<IpAddr> = six.records.into_iter().map(IpAddr::V6).collect();
        records.extend(four.records.into_iter().map(IpAddr::V4));
        Ok(Answer { records, secure, exists })
    }

    /// The texts under a name, the strings of each record joined.
    ///
    /// # Errors
    /// As [`Dns::mx`].
    pub async fn txt(&self, name: &str) -> Result<Answer<String>, Failure> {
        self.records(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        })
        .await
    }

    /// The names of an address.
    ///
    /// # Errors
    /// As [`Dns::mx`].
    pub async fn ptr(&self, ip: IpAddr) -> Result<Answer<String>, Failure> {
        let current = self.current.load_full();
        let found = current.asker.ask(Name::from(ip.to_canonical()), RecordType::PTR).await?;
        Ok(answer(&found, |data| match data {
            RData::PTR(ptr) => Some(host_name(&ptr.0)),
            _ => None,
        }))
    }

    /// Which certificates a host may show on a TCP port (RFC 6698 §3).
    ///
    /// # Errors
    /// As [`Dns::mx`].
    pub async fn tlsa(&self, port: u16, host: &str) -> Result<Answer<Tlsa>, Failure> {
        self.records(&format!("_{port}._tcp.{host}"), RecordType::TLSA, |data| match data {
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

    /// Where a service is.
    ///
    /// # Errors
    /// As [`Dns::mx`].
    pub async fn srv(&self, name: &str) -> Result<Answer<Srv>, Failure> {
        let mut answer = self
            .records(name, RecordType::SRV, |data| match data {
                RData::SRV(srv) => Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    host: host_name(&srv.target),
                }),
                _ => None,
            })
            .await?;
        answer.records.sort();
        Ok(answer)
    }

    async fn records<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, Failure> {
        let Some(name) = absolute(name) else {
            // What can't be a name in DNS does not exist there.
            return Ok(Answer { records: Vec::new(), secure: false, exists: false });
        };
        // A new configuration does not take the old one from under a question.
        let current = self.current.load_full();
        Ok(answer(&*current.asker.ask(name, kind).await?, read))
    }
}

impl Current {
    fn new(settings: &Settings) -> Result<Self, SetupError> {
        let (asker, resolver) = ask::build(settings)?;
        Ok(Self { settings: settings.clone(), asker, resolver })
    }
}

fn answer<T>(found: &Found, read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
    let records = found.records.iter().filter_map(read).take(MAX_RECORDS).collect();
    Answer { records, secure: found.secure, exists: found.exists }
}

/// The name as DNS has it, from the root: A-labels, lower case.
fn absolute(name: &str) -> Option<Name> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = if name.is_ascii() { name.to_ascii_lowercase() } else { idna::domain_to_ascii(name).ok()? };
    // What a label may hold is for the host's rules to say, not for ours: but a name from outside is never an escape.
    if ascii.is_empty() || ascii.contains('\\') {
        return None;
    }
    let mut name = Name::from_ascii(&ascii).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A name as mail writes it.
fn host_name(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}
