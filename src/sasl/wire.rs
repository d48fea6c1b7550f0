//! The wire form that SMTP, IMAP and POP3 share: base64 in a line.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::reason::Reason;

/// The longest base64 line: RFC 4954 §4 asks for 12288 octets, its line end included.
pub const MAX_LINE: usize = 12286;

/// Decodes the initial response that came with the command; `=` is an empty one (RFC 4954 §4, RFC 4959 §3,
/// RFC 5034 §4). The bytes are wiped when dropped, since they may hold a password.
///
/// # Errors
/// [`Reason::TooLong`] or [`Reason::NotBase64`].
pub fn decode_initial(argument: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    if argument == b"=" { Ok(Zeroizing::default()) } else { decode(argument) }
}

/// Decodes a line that answers a challenge, without its line end. An empty line is an empty response.
///
/// # Errors
/// [`Reason::Cancelled`] for `*`, [`Reason::TooLong`] or [`Reason::NotBase64`].
pub fn decode_response(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    if line == b"*" { Err(Reason::Cancelled) } else { decode(line) }
}

/// The base64 of a challenge, to follow `334 ` or `+ `.
pub fn encode_challenge(challenge: &[u8]) -> String {
    STANDARD.encode(challenge)
}

fn decode(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    if line.len() > MAX_LINE {
        return Err(Reason::TooLong);
    }
    // RFC 4954 §4: invalid base64 must be refused, so padding is not optional here.
    STANDARD.decode(line).map(Zeroizing::new).map_err(|_| Reason::NotBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses() {
        for line in ["dGVzd", "dGVz dA==", "dGVzdA", "dGVzdA===", "dGVzdB==", "=", "**", "\u{e9}"] {
            assert_eq!(decode_response(line.as_bytes()).unwrap_err(), Reason::NotBase64, "{line}");
        }
        assert_eq!(decode_response(b"*").unwrap_err(), Reason::Cancelled);
        assert_eq!(decode_initial(b"*").unwrap_err(), Reason::NotBase64);
        assert_eq!(decode_response(&vec![b'A'; MAX_LINE + 2]).unwrap_err(), Reason::TooLong);
    }

    #[test]
    fn decodes() {
        assert_eq!(decode_initial(b"=").unwrap().as_slice(), b"");
        assert_eq!(decode_response(b"").unwrap().as_slice(), b"");
        assert_eq!(decode_response(b"dGVzdA==").unwrap().as_slice(), b"test");
        assert_eq!(
            decode_response(encode_challenge(b"Username:").as_bytes()).unwrap().as_slice(),
            b"Username:"
        );
    }
}
