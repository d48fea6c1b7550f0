//! The library's parts put together by our settings.

use hickory_resolver::caching_client::CachingClient;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{FirstAnswer, RetryDnsHandle};
use hickory_resolver::net::{DnsError, DnsHandle, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, Resolver, TlsConfig, TokioResolver, system_conf};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Dnssec, Settings, SetupError};

/// A pool of name servers that is asked and remembers nothing.
pub(super) type Direct = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

/// A client that remembers, over such a pool.
pub(super) type Pool = CachingClient<Direct>;

/// The longest that anything is remembered.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The longest that an empty answer is remembered.
const LONGEST_EMPTY: Duration = Duration::from_secs(900);

/// The library's resolver.
pub(super) fn resolver(settings: &Settings) -> Result<TokioResolver, SetupError> {
    Resolver::builder_with_config(config(settings)?, TokioRuntimeProvider::default())
        .with_options(options(settings))
        .build()
        .map_err(|error| SetupError(error.to_string()))
}

/// One that asks name servers whether they vouch for their answers: the resolver sets the DO bit only when it validates itself.
pub(super) fn trusting(settings: &Settings) -> Result<Pool, SetupError> {
    Ok(CachingClient::new(settings.cache, direct(settings)?, false))
}

/// The name servers themselves.
pub(super) fn direct(settings: &Settings) -> Result<Direct, SetupError> {
    let options = options(settings);
    let (.., servers) = config(settings)?.into_parts();
    let tls = TlsConfig::new().map_err(|error| SetupError(error.to_string()))?;
    let attempts = options.attempts;
    let context = Arc::new(PoolContext::new(options, tls));
    let pool = NameServerPool::from_config(servers, context, TokioRuntimeProvider::default());
    Ok(RetryDnsHandle::new(pool, attempts))
}

/// The names of an address of this host, as the name servers know them: the library would answer `localhost` by itself.
pub(super) async fn ask_direct(direct: &Direct, name: Name) -> Result<DnsResponse, NetError> {
    let mut options = DnsRequestOptions::default();
    options.use_edns = true;
    let response = direct.lookup(Query::query(name, RecordType::PTR), options).first_answer().await?;
    DnsError::from_response(response).map_err(NetError::from)
}

/// Asks it.
pub(super) async fn ask(pool: &Pool, name: Name, kind: RecordType) -> Result<Lookup, NetError> {
    let mut options = DnsRequestOptions::default();
    options.use_edns = true;
    options.edns_set_dnssec_ok = true;
    pool.lookup(Query::query(name, kind), options).await
}

fn options(settings: &Settings) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = settings.timeout;
    options.attempts = settings.attempts;
    options.cache_size = settings.cache;
    options.validate = settings.dnssec == Dnssec::Validate;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    options.positive_max_ttl = Some(LONGEST);
    options.negative_max_ttl = Some(LONGEST_EMPTY);
    options
}

fn config(settings: &Settings) -> Result<ResolverConfig, SetupError> {
    if !settings.servers.is_empty() {
        let servers = settings.servers.iter().map(server).collect();
        return Ok(ResolverConfig::from_name_servers(servers));
    }
    let (system, _) = system_conf::read_system_conf()
        .map_err(|error| SetupError(format!("{error}; name servers can be named in control.dns")))?;
    // A host without a network has none, and then names are not found.
    let (.., mut servers) = system.into_parts();
    if servers.is_empty() {
        servers.push(server(&SocketAddr::from(([127, 0, 0, 1], 53))));
    }
    Ok(ResolverConfig::from_name_servers(servers))
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = address.port();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}
