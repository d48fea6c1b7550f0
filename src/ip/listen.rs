//! Where a service listens, in the short form people know: `192.168.0.1 25, 192.168.0.2 25, * 587`.
//!
//! Entries are separated by commas. An entry is an address or `*` (all addresses), and a port after a space or a colon
//! where it isn't the service's own: `192.168.0.1`, `192.168.0.1 25`, `192.168.0.1:25`, `::1`, `::1 25`, `[::1]:25`,
//! `* 587`. A text of nothing but spaces means `*`. `::1:25` is an IPv6 address: a port needs a space or brackets
//! there. `0.0.0.0` is all IPv4 addresses and `::` all IPv6 addresses.
//!
//! Two entries that would compete for one socket are refused here, rather than as "address in use" by the system when
//! the service starts.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::pattern::shortened;

/// More than anyone listens on; keeps the comparison of each entry with each other one cheap.
const MAX_ENTRIES: usize = 256;

/// An address and port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address; `None` is every address of this host, IPv4 and IPv6.
    pub addr: Option<IpAddr>,
    /// The port, never 0; before the port offset.
    pub port: u16,
}

impl Endpoint {
    /// Whether listening on `self` takes the place that `other` needs.
    fn covers(&self, other: &Endpoint) -> bool {
        self.port == other.port
            && match (self.addr, other.addr) {
                (None, _) => true,
                (Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Some(other)) => other.is_ipv4(),
                (Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), Some(other)) => other.is_ipv6(),
                (mine, other) => mine == other,
            }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            Some(addr) => write!(f, "{addr} {}", self.port),
            None => write!(f, "* {}", self.port),
        }
    }
}

/// A text that doesn't say where to listen. The message names the entry and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two commas in a row, or one at the end.
    #[error(
        "there is an empty entry; write one comma between two addresses, as in 192.168.0.1 25, 192.168.0.2 25"
    )]
    EmptyEntry,
    /// What stands for the address isn't one.
    #[error(
        "{0:?} is not an address to listen on; write an IP address of this host, or * for all, and a port if it is \
         not the usual one: 192.168.0.1, 192.168.0.1 25, ::1 25, * 587"
    )]
    Address(String),
    /// What stands for the port isn't one.
    #[error("{0:?} is not a port; a port is a number from 1 to 65535")]
    Port(String),
    /// An entry that is there twice, the usual port considered.
    #[error("{0} is there twice; remove one")]
    Duplicate(Endpoint),
    /// An entry whose address and port belong to another entry already.
    #[error("{covered} is already part of {by}; remove one of them")]
    Covered {
        /// The entry that is too much.
        covered: Endpoint,
        /// The entry that includes it.
        by: Endpoint,
    },
    /// More entries than make sense.
    #[error("there are more than {MAX_ENTRIES} entries")]
    TooMany,
}

/// Reads the short form. `default_port` is the port of entries that name none.
///
/// The result is in the order written and never empty.
pub fn parse(text: &str, default_port: u16) -> Result<Vec<Endpoint>, Error> {
    if text.trim().is_empty() {
        return Ok(vec![Endpoint { addr: None, port: default_port }]);
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for entry in text.split(',') {
        if endpoints.len() == MAX_ENTRIES {
            return Err(Error::TooMany);
        }
        let endpoint = parse_entry(entry.trim(), default_port)?;
        for other in &endpoints {
            if *other == endpoint {
                return Err(Error::Duplicate(endpoint));
            }
            if other.covers(&endpoint) {
                return Err(Error::Covered { covered: endpoint, by: *other });
            }
            if endpoint.covers(other) {
                return Err(Error::Covered { covered: *other, by: endpoint });
            }
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

/// Writes the short form, with every port, as [`parse`] reads it.
pub fn show(endpoints: &[Endpoint]) -> String {
    endpoints.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(", ")
}

fn parse_entry(entry: &str, default_port: u16) -> Result<Endpoint, Error> {
    if entry.is_empty() {
        return Err(Error::EmptyEntry);
    }
    let (addr, port) = split(entry).ok_or_else(|| Error::Address(shortened(entry)))?;
    let addr = match addr {
        "*" => None,
        addr => {
            let addr: IpAddr = addr.parse().map_err(|_| Error::Address(shortened(addr)))?;
            Some(addr.to_canonical())
        }
    };
    let port = port.map_or(Ok(default_port), parse_port)?;
    Ok(Endpoint { addr, port })
}

/// The address and the port of an entry, if it has one; `None` for brackets that don't close.
fn split(entry: &str) -> Option<(&str, Option<&str>)> {
    if let Some(inner) = entry.strip_prefix('[') {
        let (addr, rest) = inner.split_once(']')?;
        let port = rest.trim_start();
        return match port.strip_prefix(':') {
            // Only an IPv6 address is written in brackets.
            _ if !addr.contains(':') => None,
            _ if port.is_empty() => Some((addr, None)),
            Some(port) => Some((addr, Some(port.trim_start()))),
            None => Some((addr, Some(port))),
        };
    }
    if let Some((addr, port)) = entry.split_once(char::is_whitespace) {
        return Some((addr, Some(port.trim_start())));
    }
    match entry.split_once(':') {
        Some((addr, port)) if !port.contains(':') && !addr.is_empty() => Some((addr, Some(port))),
        _ => Some((entry, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, Error> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0).ok_or_else(|| Error::Port(shortened(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn refusals() {
        let twice = |addr, port| Error::Duplicate(Endpoint { addr, port });
        let covered = |a: Option<IpAddr>, b: Option<IpAddr>| Error::Covered {
            covered: Endpoint { addr: a, port: 25 },
            by: Endpoint { addr: b, port: 25 },
        };
        for (text, error) in [
            (",", Error::EmptyEntry),
            ("192.168.0.1,", Error::EmptyEntry),
            ("192.168.0.1,,192.168.0.2", Error::EmptyEntry),
            ("mail.example.org", Error::Address("mail.example.org".into())),
            ("mail.example.org 25", Error::Address("mail.example.org".into())),
            ("192.168.*", Error::Address("192.168.*".into())),
            ("192.168.0.0/16 25", Error::Address("192.168.0.0/16".into())),
            ("25", Error::Address("25".into())),
            ("fe80::1%eth0", Error::Address("fe80::1%eth0".into())),
            ("[::1", Error::Address("[::1".into())),
            ("[]:25", Error::Address("[]:25".into())),
            ("[127.0.0.1]:25", Error::Address("[127.0.0.1]:25".into())),
            (":25", Error::Address(":25".into())),
            ("192.168.0.1 0", Error::Port("0".into())),
            ("192.168.0.1 65536", Error::Port("65536".into())),
            ("192.168.0.1 +25", Error::Port("+25".into())),
            ("192.168.0.1 -1", Error::Port("-1".into())),
            ("192.168.0.1 smtp", Error::Port("smtp".into())),
            ("192.168.0.1:", Error::Port("".into())),
            ("[::1]:", Error::Port("".into())),
            ("192.168.0.1 25 192.168.0.2 25", Error::Port("25 192.168.0.2 25".into())),
            ("192.168.0.1 25, 192.168.0.1:25", twice(addr("192.168.0.1"), 25)),
            ("192.168.0.1, 192.168.0.1 25", twice(addr("192.168.0.1"), 25)),
            ("::ffff:10.0.0.1, 10.0.0.1", twice(addr("10.0.0.1"), 25)),
            ("*, * 587, * 587", twice(None, 587)),
            ("*, 10.0.0.1", covered(addr("10.0.0.1"), None)),
            ("10.0.0.1, *", covered(addr("10.0.0.1"), None)),
            ("10.0.0.1, 0.0.0.0", covered(addr("10.0.0.1"), addr("0.0.0.0"))),
            ("::1, ::", covered(addr("::1"), addr("::"))),
            ("0.0.0.0, *", covered(addr("0.0.0.0"), None)),
        ] {
            assert_eq!(parse(text, 25), Err(error), "{text:?}");
        }
        let many: Vec<String> = (0..300).map(|i| format!("* {}", i + 1)).collect();
        assert_eq!(parse(&many.join(","), 25), Err(Error::TooMany));
    }

    #[test]
    fn messages_name_the_entry() {
        let message = |text| parse(text, 25).unwrap_err().to_string();
        assert_eq!(message("192.168.0.1, 192.168.0.1 25"), "192.168.0.1 25 is there twice; remove one");
        assert_eq!(message("* 25, ::1 25"), "::1 25 is already part of * 25; remove one of them");
        assert_eq!(message("* 99999"), "\"99999\" is not a port; a port is a number from 1 to 65535");
        assert!(message("a.b").starts_with("\"a.b\" is not an address to listen on"));
    }

    #[test]
    fn accepted_forms() {
        for (text, shown) in [
            ("", "* 25"),
            ("   ", "* 25"),
            ("*", "* 25"),
            ("* 587", "* 587"),
            ("*:587", "* 587"),
            ("192.168.0.1", "192.168.0.1 25"),
            ("192.168.0.1 25, 192.168.0.2 25, * 587", "192.168.0.1 25, 192.168.0.2 25, * 587"),
            ("192.168.0.1,192.168.0.2", "192.168.0.1 25, 192.168.0.2 25"),
            ("192.168.0.1\t 2525", "192.168.0.1 2525"),
            ("192.168.0.1:2525", "192.168.0.1 2525"),
            ("::1", "::1 25"),
            ("::1 2525", "::1 2525"),
            ("::1:25", "::1:25 25"),
            ("[::1]", "::1 25"),
            ("[::1]:2525", "::1 2525"),
            ("[::1] 2525", "::1 2525"),
            ("::, 0.0.0.0", ":: 25, 0.0.0.0 25"),
            ("::", ":: 25"),
            ("*, 192.168.0.1 587", "* 25, 192.168.0.1 587"),
            ("192.168.0.1 1, 192.168.0.1 65535", "192.168.0.1 1, 192.168.0.1 65535"),
        ] {
            let endpoints = parse(text, 25).unwrap();
            assert_eq!(show(&endpoints), shown, "{text:?}");
            assert_eq!(parse(shown, 110).unwrap(), endpoints, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_comes_back(text in "[0-9a-f:.*\\[\\], ]{0,60}") {
            if let Ok(endpoints) = parse(&text, 25) {
                proptest::prop_assert!(!endpoints.is_empty());
                proptest::prop_assert_eq!(parse(&show(&endpoints), 110).unwrap(), endpoints);
            }
        }
    }
}
