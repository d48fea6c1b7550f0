//! Which conversation a message belongs to, said by itself alone (THREADID, RFC 8474 §5.2).
//!
//! All answers to a message name it first in References (RFC 5322 §3.6.4), so its message-id is the conversation's. No other
//! message is looked at: the same header gives the same id on every server, in whatever order mail arrives.

use super::header::{first, unfold};

/// The conversation of the message with this header, as THREADID is written; none where no field names a message.
#[must_use]
pub fn thread_id(header: &[u8]) -> Option<String> {
    let root = root(header)?;
    let digest = blake3::hash(&root).to_hex();
    Some(format!("T{}", digest.get(..32)?))
}

/// The message-id that a conversation is called by, without angle brackets.
fn root(header: &[u8]) -> Option<Vec<u8>> {
    let field = |name| first(header, name).map(|field| unfold(field.value));
    let named = ["References", "In-Reply-To"].into_iter().find_map(|name| bracketed(&field(name)?));
    named.or_else(|| {
        let own = field("Message-ID")?;
        bracketed(&own).or_else(|| (!own.is_empty()).then_some(own))
    })
}

/// What stands in the first pair of angle brackets.
fn bracketed(value: &[u8]) -> Option<Vec<u8>> {
    let start = value.iter().position(|b| *b == b'<')? + 1;
    let rest = value.get(start..)?;
    let id = rest.get(..rest.iter().position(|b| *b == b'>')?)?.trim_ascii();
    (!id.is_empty()).then(|| id.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_without_ids_have_no_conversation() {
        for header in
            ["", "Subject: x\r\n\r\n", "Message-ID:\r\n\r\n", "References: <>\r\nIn-Reply-To: x\r\n"]
        {
            assert_eq!(thread_id(header.as_bytes()), None, "{header}");
        }
    }

    #[test]
    fn answers_are_in_the_conversation_of_what_they_answer() {
        let first = thread_id(b"Message-ID: <1@a>\r\n\r\n");
        assert_eq!(first.as_ref().map(String::len), Some(33));
        for header in [
            "Message-ID: 1@a\r\n\r\n",
            "Message-ID: <2@a>\r\nIn-Reply-To: <1@a>\r\n\r\n",
            "In-Reply-To: your message <1@a> of today\r\nMessage-ID: <2@a>\r\n\r\n",
            "References:\r\n <1@a>\r\n <2@a>\r\nIn-Reply-To: <2@a>\r\nMessage-ID: <3@a>\r\n\r\n",
            "References: nothing\r\nIn-Reply-To: < 1@a >\r\nMessage-ID: <3@a>\r\n\r\n",
        ] {
            assert_eq!(thread_id(header.as_bytes()), first, "{header}");
        }
        assert_ne!(thread_id(b"Message-ID: <2@a>\r\n\r\n"), first);
    }
}
