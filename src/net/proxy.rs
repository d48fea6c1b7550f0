//! The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): a proxy says first, in plain text, who its client is.
//!
//! What must hold: nothing beyond the header is read, since what follows belongs to the protocol behind it; the header is
//! bounded and its time is limited. Whether the peer may say such things is for the caller to know. What it costs: a few
//! reads more for connections that come through a proxy, nothing for others.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::stream::Stream;

/// How version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its line end included.
const MAX_LINE: usize = 107;
/// The longest rest of a header of version 2: addresses, and what else proxies tell.
const MAX_REST: usize = 4096;

/// Why a proxy was not understood.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It said something else.
    #[error("it sent no PROXY header")]
    NoHeader,
    /// What it said is none.
    #[error("its PROXY header is malformed")]
    Malformed,
    /// It speaks for a client that has no IP address.
    #[error("it speaks for a client without an IP address")]
    NoAddress,
    /// It took too long.
    #[error("it sent no PROXY header within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// The connection.
    #[error("{0}")]
    Connection(#[from] io::Error),
}

/// Client and server as the client sees them; `None` where the proxy speaks for itself.
type Ends = Option<(SocketAddr, SocketAddr)>;

/// Reads the header off a connection, whose ends are from then on those that the header names.
///
/// # Errors
/// The connection is of no use then.
pub async fn receive(stream: &mut Stream, patience: Duration) -> Result<(), Failure> {
    let ends =
        tokio::time::timeout(patience, header(stream)).await.map_err(|_| Failure::Timeout(patience))??;
    if let Some((peer, local)) = ends {
        stream.stands_for(peer, local);
    }
    Ok(())
}

async fn header(stream: &mut Stream) -> Result<Ends, Failure> {
    // Both versions are longer than this.
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        let [version, family, high, low] = fixed;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_REST {
            return Err(Failure::Malformed);
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).await?;
        return second(version, family, &rest);
    }
    if !start.starts_with(b"PROXY ") {
        return Err(Failure::NoHeader);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE {
            return Err(Failure::Malformed);
        }
        line.push(stream.read_u8().await?);
    }
    first(&line)
}

/// A line of version 1, its line end included.
fn first(line: &[u8]) -> Result<Ends, Failure> {
    let text = str::from_utf8(line).ok().and_then(|line| line.strip_suffix("\r\n"));
    let text = text.ok_or(Failure::Malformed)?;
    let words: Vec<&str> = text.split(' ').collect();
    let (family, peer, local) = match words[..] {
        // What follows UNKNOWN is to be ignored: health checks are sent so.
        ["PROXY", "UNKNOWN", ..] => return Ok(None),
        ["PROXY", family, peer_ip, local_ip, peer_port, local_port] => {
            let end = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse().ok()?, number(port)?));
            (family, end(peer_ip, peer_port), end(local_ip, local_port))
        }
        _ => return Err(Failure::Malformed),
    };
    match (family, peer, local) {
        ("TCP4", Some(peer), Some(local)) if peer.is_ipv4() && local.is_ipv4() => Ok(Some((peer, local))),
        ("TCP6", Some(peer), Some(local)) if peer.is_ipv6() && local.is_ipv6() => Ok(Some((peer, local))),
        _ => Err(Failure::Malformed),
    }
}

fn number(port: &str) -> Option<u16> {
    // parse() alone would take a sign.
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?
}

/// A header of version 2: version and command, family and protocol, what follows the length.
fn second(version: u8, family: u8, rest: &[u8]) -> Result<Ends, Failure> {
    match version {
        // LOCAL: the proxy's own connection, such as a health check.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(Failure::Malformed),
    }
    match family {
        0x11 => {
            let ip = |at| Some(IpAddr::from(Ipv4Addr::from(bytes::<4>(rest, at)?)));
            ends(ip(0), ip(4), port(rest, 8), port(rest, 10))
        }
        0x21 => {
            let ip = |at| Some(IpAddr::from(Ipv6Addr::from(bytes::<16>(rest, at)?)));
            ends(ip(0), ip(16), port(rest, 32), port(rest, 34))
        }
        _ => Err(Failure::NoAddress),
    }
}

fn bytes<const N: usize>(rest: &[u8], at: usize) -> Option<[u8; N]> {
    rest.get(at..at + N)?.try_into().ok()
}

fn port(rest: &[u8], at: usize) -> Option<u16> {
    bytes(rest, at).map(u16::from_be_bytes)
}

fn ends(
    peer: Option<IpAddr>,
    local: Option<IpAddr>,
    peer_port: Option<u16>,
    local_port: Option<u16>,
) -> Result<Ends, Failure> {
    let end = |ip: Option<IpAddr>, port: Option<u16>| Some(SocketAddr::new(ip?, port?));
    match (end(peer, peer_port), end(local, local_port)) {
        (Some(peer), Some(local)) => Ok(Some((peer, local))),
        _ => Err(Failure::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_version_refused() {
        for line in [
            "PROXY\r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY unknown\r\n",
        ] {
            assert!(matches!(first(line.as_bytes()), Err(Failure::Malformed)), "{line:?}");
        }
    }

    #[test]
    fn first_version_understood() {
        let ends = |line: &str| first(line.as_bytes()).unwrap();
        let expected = Some(("192.0.2.1:7".parse().unwrap(), "192.0.2.2:25".parse().unwrap()));
        assert_eq!(ends("PROXY TCP4 192.0.2.1 192.0.2.2 7 25\r\n"), expected);
        let expected = Some(("[2001:db8::1]:7".parse().unwrap(), "[::1]:25".parse().unwrap()));
        assert_eq!(ends("PROXY TCP6 2001:db8::1 ::1 7 25\r\n"), expected);
        assert_eq!(ends("PROXY UNKNOWN\r\n"), None);
        assert_eq!(ends("PROXY UNKNOWN ffff:: ffff:: 1 2\r\n"), None);
    }

    #[test]
    fn second_version() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0, 7, 0, 25];
        let expected = Some(("192.0.2.1:7".parse().unwrap(), "192.0.2.2:25".parse().unwrap()));
        assert_eq!(second(0x21, 0x11, &v4).unwrap(), expected);
        // More may follow the addresses.
        assert_eq!(second(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()).unwrap(), expected);
        assert_eq!(second(0x20, 0x00, &[]).unwrap(), None);
        assert!(matches!(second(0x21, 0x11, &v4[..11]), Err(Failure::Malformed)));
        assert!(matches!(second(0x21, 0x21, &v4), Err(Failure::Malformed)));
        for version in [0x00, 0x11, 0x22, 0x31] {
            assert!(matches!(second(version, 0x11, &v4), Err(Failure::Malformed)));
        }
        for family in [0x00, 0x31, 0x12] {
            assert!(matches!(second(0x21, family, &v4), Err(Failure::NoAddress)));
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_answered(version: u8, family: u8, rest in proptest::collection::vec(any::<u8>(), 0..60)) {
            first(&rest).ok();
            second(version, family, &rest).ok();
        }
    }
}
