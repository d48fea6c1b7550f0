//! Room that an account has for more mail.

/// What an account may still keep; `None` for what has no limit, below zero where it keeps more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes.
    pub bytes: Option<i64>,
    /// Messages.
    pub messages: Option<i64>,
}

impl Room {
    /// Whether so many messages, of so many bytes together, fit.
    pub fn takes(self, messages: u64, bytes: u64) -> bool {
        let fits = |more: u64, left: Option<i64>| {
            left.is_none_or(|left| i64::try_from(more).is_ok_and(|more| more <= left))
        };
        fits(messages, self.messages) && fits(bytes, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_the_last_byte_and_message() {
        let room = Room { bytes: Some(10), messages: Some(2) };
        assert!(room.takes(2, 10) && !room.takes(2, 11) && !room.takes(3, 10));
        assert!(!Room { bytes: Some(-1), ..room }.takes(1, 0));
        let endless = Room { bytes: None, messages: None };
        assert!(
            endless.takes(u64::MAX, u64::MAX)
                && !Room { bytes: Some(i64::MAX), ..endless }.takes(1, u64::MAX)
        );
    }
}
