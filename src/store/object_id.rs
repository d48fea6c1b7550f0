//! Ids of mailboxes and messages that outlive names and UIDs (OBJECTID, RFC 8474).
//!
//! All of them are made of what is stored anyway, so that there is nothing to hand out and nothing to keep. A message's
//! stays with it through COPY and MOVE, and two messages share one exactly where their bytes are the same: contents are
//! stored once, and what a copy has before its content goes into the id as a digest.

use crate::mail::MailboxId;

/// MAILBOXID: letters, digits, `-` and `_` (RFC 8474 §7, `objectid`).
#[must_use]
pub fn mailbox_id(mailbox: MailboxId) -> String {
    format!("F{mailbox}")
}

/// EMAILID of the message that is this content with `prefix` before it.
#[must_use]
pub fn email_id(content: i64, prefix: &[u8]) -> String {
    if prefix.is_empty() {
        return format!("M{content}");
    }
    let digest = blake3::hash(prefix).to_hex();
    format!("M{content}-{}", digest.get(..16).unwrap_or_default())
}

/// The content that an EMAILID is about; whether the rest fits too, only [`email_id`] can tell. `None` for what is no id
/// of ours.
#[must_use]
pub fn content_of(email_id: &str) -> Option<i64> {
    let rest = email_id.strip_prefix('M')?;
    let digits = rest.split_once('-').map_or(rest, |(content, _)| content);
    digits.parse().ok().filter(|content| *content >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_about_nothing() {
        for id in ["", "M", "7", "T7", "Mx", "M-7", "M7x", "M99999999999999999999"] {
            assert_eq!(content_of(id), None, "{id}");
        }
    }

    #[test]
    fn ids_are_equal_where_the_bytes_are() {
        assert_eq!(mailbox_id(MailboxId(12)), "F12");
        assert_eq!(email_id(7, b""), "M7");
        let with_prefix = email_id(7, b"Delivered-To: a@b\r\n");
        assert_eq!(with_prefix, email_id(7, b"Delivered-To: a@b\r\n"));
        assert_ne!(with_prefix, email_id(7, b"Delivered-To: c@b\r\n"));
        assert_ne!(with_prefix, email_id(8, b"Delivered-To: a@b\r\n"));
        assert_eq!((content_of("M7"), content_of(&with_prefix)), (Some(7), Some(7)));
        assert!(with_prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }
}
