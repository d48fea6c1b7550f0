//! What wrong passwords are counted by: the name that was given, and the peer that gave it.
//!
//! The counting itself is in SQL (`sql/directory/count_failure.sql`, table `live.login_failure`), so that all nodes and
//! protocols count together. A name is counted whether or not an account bears it: being locked tells nothing. A
//! success clears the name, never the peer: one account of one's own must not pay for guesses at others.

use std::net::IpAddr;

/// A longer name is counted by its digest, and so is one that PostgreSQL could not store.
const MAX_NAME: usize = 256;

/// The key of a name: `account:alice@example.test`. Case is folded, and the name stands as the client gave
/// it, so the caller completes a missing domain first.
pub fn key_for_account(name: &str) -> String {
    let storable = name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    if storable {
        format!("account:{}", name.to_lowercase())
    } else {
        format!("account:#{}", blake3::hash(name.as_bytes()).to_hex())
    }
}

/// The key of the second factor of a name: `code:alice@example.test`. Apart from that of the name, which a right password
/// forgives: who knows the password must not guess codes for ever.
pub fn key_for_code(name: &str) -> String {
    format!("code:{}", name_in(&key_for_account(name)))
}

/// The name in the key of one, as it is told to people.
pub fn name_in(key: &str) -> &str {
    key.strip_prefix("account:").or(key.strip_prefix("code:")).unwrap_or(key)
}

/// The key of a peer: `peer:192.0.2.1`, or `peer:2001:db8::/64`, since one customer has all of a /64.
pub fn key_for_peer(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => format!("peer:{address}"),
        IpAddr::V6(address) => {
            let network = std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("peer:{network}/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_storable() {
        assert_eq!(key_for_account("Alice@Example.test"), "account:alice@example.test");
        assert_eq!(name_in(&key_for_account("Alice@Example.test")), "alice@example.test");
        assert_eq!(key_for_code("Alice@Example.test"), "code:alice@example.test");
        assert!(key_for_account(&"x".repeat(10_000)).len() < 100);
        assert!(!key_for_account("a\0b").contains('\0'));
    }

    #[test]
    fn a_peer_is_its_network() {
        assert_eq!(key_for_peer("192.0.2.1".parse().unwrap()), "peer:192.0.2.1");
        assert_eq!(key_for_peer("::ffff:192.0.2.1".parse().unwrap()), "peer:192.0.2.1");
        assert_eq!(
            key_for_peer("2001:db8::1".parse().unwrap()),
            key_for_peer("2001:db8::ffff:1".parse().unwrap())
        );
    }
}
