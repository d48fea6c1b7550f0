//! A password in memory.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The longest password, in bytes. Longer than any that a person types or a program makes, and short enough
/// for sha-crypt, whose cost grows with the square of the length.
pub const MAX_PASSWORD: usize = 1024;

/// A password as the client sent it: not printed by `Debug`, wiped when dropped. Not bounded by itself; who
/// takes one from the network holds it against [`MAX_PASSWORD`].
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes, without a copy left behind.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for hashing and comparing.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether two are the same, in a time that tells nothing but their lengths.
    pub fn same(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn is_not_printed() {
        let shown = format!("{:?} {:#?}", Secret::from("hunter2"), Some(Secret::from("hunter2")));
        assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }

    #[test]
    fn same_is_equality() {
        assert!(Secret::from("a").same(&Secret::from("a")));
        assert!(!Secret::from("a").same(&Secret::from("b")));
        assert!(!Secret::from("a").same(&Secret::from("aa")));
    }
}
