//! The servers of a next hop, in the order in which they are tried (RFC 5321 §5.1).

use std::net::IpAddr;

use crate::control::config::IpPreference;
use crate::dns::{self, Dns, Failure, Mx};

/// Hosts tried of one domain.
const HOSTS: usize = 10;
/// Addresses tried of one host.
const ADDRESSES: usize = 8;

/// Why there is nobody to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoHosts {
    /// There never will be.
    Never(String),
    /// DNS did not say.
    Later(String),
}

impl From<Failure> for NoHosts {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Temporary(why) => NoHosts::Later(format!("451 4.4.3 DNS does not answer: {why}")),
            Failure::Bogus(why) => {
                NoHosts::Later(format!("451 4.7.5 the DNS answer is not authentic: {why}"))
            }
        }
    }
}

/// The mail servers of a domain.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    /// Their names, in the order in which they are tried.
    pub(super) hosts: Vec<String>,
    /// Whether DNSSEC vouches for the names.
    pub(super) secure: bool,
}

/// Finds a domain's mail servers: its MX, of equal ones in random order, or where it has none the domain itself.
pub(super) async fn servers(dns: &Dns, domain: &str, own_name: &str) -> Result<Servers, NoHosts> {
    let answer = dns.mx(domain).await?;
    if !answer.exists {
        return Err(NoHosts::Never(format!("550 5.1.2 the domain {domain} does not exist")));
    }
    let secure = answer.secure;
    let mut records = answer.records;
    if records.is_empty() {
        // The server's name is the domain's own: nobody can have put another one in its place (RFC 7672 §2.2.1).
        return Ok(Servers { hosts: vec![domain.to_owned()], secure: true });
    }
    // RFC 7505: "." alone says that the domain takes no mail.
    if records.iter().all(is_null) {
        return Err(NoHosts::Never(format!("556 5.1.10 the domain {domain} takes no mail (null MX)")));
    }
    records.retain(|mx| !is_null(mx));
    // RFC 5321 §5.1: whoever finds itself among the servers may only use better ones.
    if let Some(own) =
        records.iter().find(|mx| mx.host.eq_ignore_ascii_case(own_name)).map(|mx| mx.preference)
    {
        records.retain(|mx| mx.preference < own);
        if records.is_empty() {
            let why = format!(
                "554 5.4.6 the mail servers of {domain} lead back to this one, which does not know the domain"
            );
            return Err(NoHosts::Never(why));
        }
    }
    shuffle(&mut records);
    records.sort_by_key(|mx| mx.preference);
    records.truncate(HOSTS);
    Ok(Servers { hosts: records.into_iter().map(|mx| mx.host).collect(), secure })
}

fn is_null(mx: &Mx) -> bool {
    mx.host.is_empty() || mx.host == "."
}

/// Brings into random order; only to spread the load.
pub(super) fn shuffle<T>(list: &mut [T]) {
    for at in (1..list.len()).rev() {
        list.swap(at, random(at + 1));
    }
}

/// A number below `end`.
pub(super) fn random(end: usize) -> usize {
    let mut bytes = [0; 8];
    // Without randomness the first is taken.
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok();
    usize::try_from(u64::from_le_bytes(bytes) % end.max(1) as u64).unwrap_or(0)
}

/// The addresses of a host, as the setting prefers them; with whether DNSSEC vouches for them. One family that can't be looked
/// up is no reason to give up the other.
pub(super) async fn addresses(
    dns: &Dns,
    host: &str,
    preference: IpPreference,
) -> Result<(Vec<IpAddr>, bool), NoHosts> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((vec![address], false));
    }
    let (four, six) = match preference {
        IpPreference::Ipv4Only => (Some(dns.ipv4(host).await), None),
        IpPreference::Ipv6Only => (None, Some(dns.ipv6(host).await)),
        IpPreference::Ipv4First | IpPreference::Ipv6First => {
            let (four, six) = tokio::join!(dns.ipv4(host), dns.ipv6(host));
            (Some(four), Some(six))
        }
    };
    let four = four.map(|four| four.map(|answer| widen(answer, IpAddr::V4)));
    let six = six.map(|six| six.map(|answer| widen(answer, IpAddr::V6)));
    let (first, second) = match preference {
        IpPreference::Ipv4First | IpPreference::Ipv4Only => (four, six),
        IpPreference::Ipv6First | IpPreference::Ipv6Only => (six, four),
    };
    let mut found = Vec::new();
    let mut secure = true;
    let mut failure = None;
    for answer in [first, second].into_iter().flatten() {
        match answer {
            Ok((mut addresses, vouched)) => {
                secure &= vouched;
                shuffle(&mut addresses);
                found.extend(addresses);
            }
            Err(error) => {
                secure = false;
                failure = Some(error);
            }
        }
    }
    match (found.is_empty(), failure) {
        (false, _) => {
            found.truncate(ADDRESSES);
            Ok((found, secure))
        }
        (true, Some(failure)) => Err(failure.into()),
        (true, None) => Err(NoHosts::Never(format!("550 5.4.4 the host {host} has no address"))),
    }
}

fn widen<T>(answer: dns::Answer<T>, into: fn(T) -> IpAddr) -> (Vec<IpAddr>, bool) {
    // A family without addresses has nothing that would need vouching for.
    let vouched = answer.secure || answer.records.is_empty();
    (answer.records.into_iter().map(into).collect(), vouched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_loses_nothing() {
        let mut list: Vec<u32> = (0..50).collect();
        shuffle(&mut list);
        list.sort_unstable();
        assert_eq!(list, (0..50).collect::<Vec<_>>());
        shuffle::<u8>(&mut []);
        assert!((0..100).all(|_| random(3) < 3));
    }
}
