//! `control.dns`, read: which name servers, how patient, and what is believed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::system_conf::read_system_conf;
use serde::Deserialize;

/// What makes an answer authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dnssec {
    /// Nothing.
    Off,
    /// The name server says so (RFC 4035 §3.2.3, the AD bit).
    Trust,
    /// Its signatures do.
    Validate,
}

/// The row of `control.dns`; its columns' comments say what the fields mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "each field is a column, and explained by the column's COMMENT")]
pub struct Settings {
    pub servers: Vec<String>,
    pub timeout_milliseconds: u32,
    pub attempts: u8,
    pub dnssec: Dnssec,
    pub cache_entries: usize,
}

impl Default for Settings {
    /// As a new row of the table.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout_milliseconds: 3000,
            attempts: 3,
            dnssec: Dnssec::Validate,
            cache_entries: 10_000,
        }
    }
}

/// Why names can't be looked up with these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not an address.
    #[error(
        "\"{0}\" is no name server: write an address, with or without a port, like 127.0.0.1 or [::1]:5353"
    )]
    Server(String),
    /// The library refuses.
    #[error("names can't be looked up: {0}")]
    Resolver(String),
}

impl Settings {
    /// How long one question waits.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.timeout_milliseconds))
    }

    /// The name servers to ask.
    pub(super) fn name_servers(&self) -> Result<Vec<NameServerConfig>, SetupError> {
        if self.servers.is_empty() {
            let system = read_system_conf().map(|(config, _)| config.name_servers).unwrap_or_else(|error| {
                tracing::warn!(%error, "/etc/resolv.conf can't be used; asking a name server on this host");
                Vec::new()
            });
            // As the C library does when the file names none.
            let local = || vec![name_server(SocketAddr::from(([127, 0, 0, 1], 53)))];
            return Ok(if system.is_empty() { local() } else { system });
        }
        self.servers.iter().map(|text| parse(text).map(name_server)).collect()
    }

    /// The same wishes in hickory's words.
    pub(super) fn options(&self) -> ResolverOpts {
        let mut options = ResolverOpts::default();
        options.timeout = self.timeout();
        // hickory counts what comes after the first.
        options.attempts = usize::from(self.attempts.saturating_sub(1));
        options.cache_size = self.cache_entries as u64;
        options.validate = self.dnssec == Dnssec::Validate;
        options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
        // Against forged answers, beside the random id and port (RFC 5452).
        options.try_tcp_on_error = true;
        options.positive_max_ttl = Some(super::ask::LONGEST);
        options.negative_max_ttl = Some(super::ask::LONGEST_NEGATIVE);
        options
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connection = |protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    };
    // A resolver's "no such name" is an answer: the next one need not be asked.
    NameServerConfig::new(
        address.ip(),
        true,
        vec![connection(ProtocolConfig::Udp), connection(ProtocolConfig::Tcp)],
    )
}

fn parse(text: &str) -> Result<SocketAddr, SetupError> {
    let text = text.trim();
    text.parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| SetupError::Server(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_addresses_with_or_without_a_port() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:53"),
            ("10.0.0.1:5353", "10.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), expected);
        }
        for text in ["", "localhost", "127.0.0.1:", "127.0.0.1:70000", "dns.test:53"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
