//! One question, its aliases followed, its answer kept.
//!
//! The cache holds what was found, "nothing" included (RFC 2308), for as long as its TTL allows; a failure is never
//! kept. It is bounded in entries: when full, what has expired goes, else any tenth of it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{Stream, StreamExt};
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, RetryDnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, NameServerPool, PoolContext, Resolver, TlsConfig, TokioResolver};

use super::settings::{Dnssec, Settings, SetupError};
use super::{Failure, MAX_RECORDS};

/// The longest that an answer is kept, whatever its TTL says.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);
/// The longest that "there is none" is kept (RFC 2308 §5).
pub(super) const LONGEST_NEGATIVE: Duration = Duration::from_secs(3600);
/// How long "there is none" is kept when the answer does not say.
const NEGATIVE: Duration = Duration::from_secs(60);
/// Aliases followed before a name counts as having no end.
const MAX_ALIASES: usize = 8;

type Pool = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

/// What is known of one name and type.
#[derive(Debug)]
pub(super) struct Found {
    pub records: Vec<RData>,
    pub secure: bool,
    pub exists: bool,
}

/// Asks name servers.
pub(super) struct Asker {
    pool: Pool,
    validating: Option<DnssecDnsHandle<Pool>>,
    dnssec: Dnssec,
    patience: Duration,
    hosts: Hosts,
    cache: Mutex<HashMap<(Name, RecordType), (Instant, Arc<Found>)>>,
    capacity: usize,
}

/// One hop of an answer: what stands under the name itself, and where an alias leads.
struct Hop {
    found: Found,
    alias: Option<Name>,
    lasts: Duration,
}

/// An asker and hickory's resolver on the same name servers.
pub(super) fn build(settings: &Settings) -> Result<(Asker, TokioResolver), SetupError> {
    let wrong = |error: NetError| SetupError::Resolver(error.to_string());
    let servers = settings.name_servers()?;
    let options = settings.options();
    let count = u32::try_from(servers.len()).unwrap_or(u32::MAX);
    let context = Arc::new(PoolContext::new(options.clone(), TlsConfig::new().map_err(wrong)?));
    let pool = NameServerPool::from_config(servers.clone(), context, TokioRuntimeProvider::default());
    let pool = RetryDnsHandle::new(pool, options.attempts);
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(wrong)?;
    let asker = Asker {
        validating: (settings.dnssec == Dnssec::Validate).then(|| DnssecDnsHandle::new(pool.clone())),
        pool,
        dnssec: settings.dnssec,
        // Every server in turn, by UDP and then by TCP, as often as is allowed; and never for ever.
        patience: (settings.timeout() * 2 * u32::from(settings.attempts) * count)
            .min(Duration::from_secs(60)),
        hosts: Hosts::from_system().unwrap_or_default(),
        cache: Mutex::default(),
        capacity: settings.cache_entries,
    };
    Ok((asker, resolver))
}

impl Asker {
    /// What stands under an absolute name.
    pub(super) async fn ask(&self, name: Name, kind: RecordType) -> Result<Arc<Found>, Failure> {
        if let Some(found) = self.known(&name, kind) {
            return Ok(found);
        }
        let mut at = name.clone();
        let mut secure = true;
        let mut lasts = LONGEST;
        for _ in 0..=MAX_ALIASES {
            let hop = self.hop(&at, kind).await?;
            secure &= hop.found.secure;
            lasts = lasts.min(hop.lasts);
            if let Some(target) = hop.alias {
                at = target;
                continue;
            }
            let found = Arc::new(Found { secure, ..hop.found });
            self.keep((name, kind), lasts, &found);
            return Ok(found);
        }
        Err(Failure::Temporary(format!("{name} is an alias of an alias, and so on without end")))
    }

    /// From the cache, the hosts file, or among the names that are no business of name servers (RFC 6761).
    fn known(&self, name: &Name, kind: RecordType) -> Option<Arc<Found>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, found)) = cache.get(&(name.clone(), kind))
            && *until > Instant::now()
        {
            return Some(found.clone());
        }
        drop(cache);
        let here = |records: Vec<RData>, exists| Some(Arc::new(Found { records, secure: false, exists }));
        let top = name.iter().next_back().unwrap_or_default();
        if top.eq_ignore_ascii_case(b"localhost") {
            return match kind {
                RecordType::A => here(vec![RData::A(A(Ipv4Addr::LOCALHOST))], true),
                RecordType::AAAA => here(vec![RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))], true),
                _ => here(Vec::new(), true),
            };
        }
        if top.eq_ignore_ascii_case(b"invalid") || top.eq_ignore_ascii_case(b"onion") {
            return here(Vec::new(), false);
        }
        let lookup = self.hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
        here(lookup.answers().iter().map(|record| record.data.clone()).collect(), true)
    }

    fn keep(&self, key: (Name, RecordType), lasts: Duration, found: &Arc<Found>) {
        let now = Instant::now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= self.capacity {
            cache.retain(|_, (until, _)| *until > now);
        }
        if cache.len() >= self.capacity {
            let mut spare = self.capacity - self.capacity / 10;
            cache.retain(|_, _| {
                spare = spare.saturating_sub(1);
                spare > 0
            });
        }
        cache.insert(key, (now + lasts, found.clone()));
    }

    /// Puts one question.
    async fn hop(&self, name: &Name, kind: RecordType) -> Result<Hop, Failure> {
        let asked = self.send(Query::query(name.clone(), kind));
        let response = match tokio::time::timeout(self.patience, asked).await {
            Ok(response) => response,
            Err(_) => Err(NetError::Timeout),
        };
        match response {
            Ok(response) => self.read(name, kind, &response),
            Err(error) => nothing(name, kind, error, self.dnssec),
        }
    }

    async fn send(&self, query: Query) -> Result<DnsResponse, NetError> {
        let mut options = DnsRequestOptions::default();
        options.edns_set_dnssec_ok = self.dnssec != Dnssec::Off;
        let mut request = DnsRequest::from_query(query, options);
        if self.dnssec == Dnssec::Trust {
            // RFC 6840 §5.7: that we want to know.
            let mut message = Message::clone(&request);
            message.metadata.authentic_data = true;
            request = DnsRequest::new(message, options);
        }
        let mut stream: Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>> =
            match &self.validating {
                Some(validating) => Box::pin(validating.send(request)),
                None => Box::pin(self.pool.send(request)),
            };
        match stream.next().await {
            Some(response) => DnsError::from_response(response?).map_err(NetError::from),
            None => Err(NetError::Timeout),
        }
    }

    /// Takes from a response what answers the question, aliases within it followed.
    fn read(&self, name: &Name, kind: RecordType, response: &DnsResponse) -> Result<Hop, Failure> {
        let mut at = name.clone();
        let mut used: Vec<&Record> = Vec::new();
        let mut aliased = false;
        for _ in 0..MAX_ALIASES {
            let alias = response.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == at && kind != RecordType::CNAME => {
                    Some((record, target.0.clone()))
                }
                _ => None,
            });
            let Some((record, target)) = alias else { break };
            used.push(record);
            at = target;
            aliased = true;
        }
        let here = response.answers.iter().filter(|r| r.record_type() == kind && r.name == at);
        let here: Vec<&Record> = here.take(MAX_RECORDS).collect();
        let records: Vec<RData> = here.iter().map(|record| record.data.clone()).collect();
        used.extend(here);
        if self.dnssec == Dnssec::Validate && used.iter().any(|record| record.proof == Proof::Bogus) {
            return Err(bogus(name, kind));
        }
        let secure = match self.dnssec {
            Dnssec::Off => false,
            Dnssec::Trust => response.metadata.authentic_data,
            Dnssec::Validate => !used.is_empty() && used.iter().all(|record| record.proof == Proof::Secure),
        };
        let ttl = used.iter().map(|record| record.ttl).min();
        let exists = response.metadata.response_code != ResponseCode::NXDomain;
        let lasts = match ttl {
            Some(ttl) if !records.is_empty() || aliased => Duration::from_secs(u64::from(ttl)).min(LONGEST),
            _ => negative(response.negative_ttl()),
        };
        // An alias that leads out of this response is asked for by itself.
        let alias = (aliased && records.is_empty() && exists).then_some(at);
        Ok(Hop { found: Found { records, secure, exists }, alias, lasts })
    }
}

/// What it means that there are no records: an answer, or that nobody could say.
fn nothing(name: &Name, kind: RecordType, error: NetError, dnssec: Dnssec) -> Result<Hop, Failure> {
    let (code, secure, ttl) = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => (none.response_code, false, none.negative_ttl),
        NetError::Dns(DnsError::Nsec { response, proof, .. }) if dnssec == Dnssec::Validate => {
            if proof == Proof::Bogus {
                return Err(bogus(name, kind));
            }
            (response.metadata.response_code, proof == Proof::Secure, response.negative_ttl())
        }
        NetError::Dns(DnsError::DnssecBogus) => return Err(bogus(name, kind)),
        other => {
            let name = name.to_string();
            let name = name.trim_end_matches('.');
            return Err(Failure::Temporary(format!(
                "the {kind} records of {name} can't be looked up: {other}"
            )));
        }
    };
    let exists = code != ResponseCode::NXDomain;
    Ok(Hop { found: Found { records: Vec::new(), secure, exists }, alias: None, lasts: negative(ttl) })
}

fn negative(ttl: Option<u32>) -> Duration {
    ttl.map_or(NEGATIVE, |ttl| Duration::from_secs(u64::from(ttl))).min(LONGEST_NEGATIVE)
}

fn bogus(name: &Name, kind: RecordType) -> Failure {
    let name = name.to_string();
    let name = name.trim_end_matches('.');
    Failure::Bogus(format!("the {kind} records of {name} do not bear the signatures that DNSSEC promises"))
}
