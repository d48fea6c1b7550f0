//! Where mail for a domain goes next: by a route's row, by a remote domain's own host, or by DNS; and who we are then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::control::config::{Config, RouteRow, RouteTls};

/// The next hop of a message. Equal ones share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Hop {
    /// By the domain's MX.
    Mx(Arc<str>),
    /// A host that a route names; all domains of the route share it.
    Route(i64),
    /// A host that a remote domain names.
    Host(Arc<str>, u16),
}

/// Who we are towards another server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Identity {
    pub(super) helo: Option<String>,
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
}

impl Identity {
    /// The address to send from to this peer.
    pub(super) fn source(&self, peer: SocketAddr) -> Option<IpAddr> {
        match peer {
            SocketAddr::V4(_) => self.v4.map(IpAddr::V4),
            SocketAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }

    /// What this one says, and the other where it says nothing.
    pub(super) fn or(self, other: &Identity) -> Identity {
        Identity {
            helo: self.helo.or_else(|| other.helo.clone()),
            v4: self.v4.or(other.v4),
            v6: self.v6.or(other.v6),
        }
    }

    /// Of `control.relay`.
    pub(super) fn of_server(config: &Config) -> Identity {
        let relay = &config.relay;
        Identity {
            helo: Some(relay.helo_name.clone().unwrap_or_else(|| config.hostname().to_owned())),
            v4: relay.source_ipv4,
            v6: relay.source_ipv6,
        }
    }

    /// Of a route.
    pub(super) fn of_route(route: &RouteRow) -> Identity {
        Identity { helo: route.helo_name.clone(), v4: route.source_ipv4, v6: route.source_ipv6 }
    }
}

/// The route of a domain: the most specific pattern wins.
pub(super) fn route<'a>(config: &'a Config, domain: &str) -> Option<&'a RouteRow> {
    config
        .routes
        .iter()
        .filter_map(|route| Some((specificity(&route.pattern, domain)?, route)))
        .max_by_key(|(specificity, _)| *specificity)
        .map(|(_, route)| route)
}

/// How specific a pattern is for a domain that it fits.
fn specificity(pattern: &str, domain: &str) -> Option<usize> {
    if pattern == "*" {
        return Some(0);
    }
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            let rest = domain.strip_suffix(parent)?.strip_suffix('.')?;
            (!rest.is_empty()).then_some(parent.len())
        }
        None => (pattern == domain).then_some(usize::MAX),
    }
}

/// The port of a route.
pub(super) fn port(route: &RouteRow, config: &Config) -> u16 {
    route.port.unwrap_or(if route.tls == RouteTls::Implicit { 465 } else { config.relay.port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_wins() {
        for (pattern, domain, expected) in [
            ("*", "x.test", Some(0)),
            ("x.test", "x.test", Some(usize::MAX)),
            ("x.test", "a.x.test", None),
            ("*.test", "x.test", Some(4)),
            ("*.x.test", "a.x.test", Some(6)),
            ("*.x.test", "a.b.x.test", Some(6)),
            ("*.x.test", "x.test", None),
            ("*.x.test", "ax.test", None),
        ] {
            assert_eq!(specificity(pattern, domain), expected, "{pattern} {domain}");
        }
    }

    #[test]
    fn identities_fill_each_other() {
        let own = Identity { helo: Some("a".into()), v4: None, v6: None };
        let all = own.or(&Identity { helo: Some("b".into()), v4: Some(Ipv4Addr::LOCALHOST), v6: None });
        assert_eq!(all.helo.as_deref(), Some("a"));
        assert_eq!(all.source("127.0.0.1:25".parse().unwrap()), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(all.source("[::1]:25".parse().unwrap()), None);
    }
}
