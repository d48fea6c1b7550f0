//! What shows that a URL was authorized: the INTERNAL mechanism of URLAUTH (RFC 4467 §2.4.1, §2.5).
//!
//! The token is a number for how it was made, so that another way can follow, and an HMAC of the URL as it was written. It is
//! compared in a time that does not depend on where it differs (RFC 4467 §6).

use ring::hmac;

use crate::mail::hex;

/// HMAC-SHA-256 of the URL.
const HMAC_SHA256: &str = "01";

/// The token of a URL up to its access identifier.
pub(super) fn make(key: &[u8; 32], rump: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), rump.as_bytes());
    format!("{HMAC_SHA256}{}", hex(tag.as_ref()))
}

/// Whether `token` is that of the URL.
pub(super) fn verify(key: &[u8; 32], rump: &str, token: &str) -> bool {
    let Some(tag) = token.strip_prefix(HMAC_SHA256).and_then(bytes) else { return false };
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), rump.as_bytes(), &tag).is_ok()
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_of_key_and_url_is_valid() {
        let (key, other) = ([7; 32], [8; 32]);
        let rump = "imap://joe@example.com/INBOX/;uid=20;urlauth=anonymous";
        let token = make(&key, rump);
        assert_eq!(token.len(), 66);
        assert!(verify(&key, rump, &token) && verify(&key, rump, &token.to_ascii_uppercase()));
        assert!(!verify(&other, rump, &token));
        assert!(!verify(&key, &rump.replace("20", "21"), &token));
        let mut forged = token.clone();
        forged.replace_range(65.., if token.ends_with('0') { "1" } else { "0" });
        let digits = token.strip_prefix("01").unwrap();
        let short = token.strip_suffix(|_: char| true).unwrap();
        for forged in ["", "01", &forged, digits, &format!("02{digits}"), short] {
            assert!(!verify(&key, rump, forged), "{forged}");
        }
    }
}
