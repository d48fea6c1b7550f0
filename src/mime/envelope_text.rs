//! Reads an envelope that is stored as IMAP shows it: the first address of a field, for SORT.
//!
//! Whatever the bytes are, the answer is an address or none: an envelope that was stored by another version of the
//! program, or changed by hand, must not keep mail from being sorted.

use std::borrow::Cow;

/// Fields of an envelope that hold addresses, by their place in it (RFC 9051 §7.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressField {
    /// From.
    From = 2,
    /// To.
    To = 5,
    /// Cc.
    Cc = 6,
}

/// One element of an address list. The beginning of a group has its name as `mailbox`, and no host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShownAddress<'e> {
    /// addr-name: the display name, encoded words in it as they are.
    pub name: Option<Cow<'e, [u8]>>,
    /// addr-mailbox.
    pub mailbox: Option<Cow<'e, [u8]>>,
    /// addr-host.
    pub host: Option<Cow<'e, [u8]>>,
}

/// The first address of a field.
#[must_use]
pub fn first_address(envelope: &[u8], field: AddressField) -> Option<ShownAddress<'_>> {
    let mut reader = Reader { rest: envelope };
    reader.skip(b'(')?;
    for _ in 0..field as usize {
        reader.pass_over()?;
        reader.skip(b' ')?;
    }
    reader.skip(b'(')?;
    reader.skip(b'(')?;
    let name = reader.nstring()?;
    reader.skip(b' ')?;
    reader.nstring()?;
    reader.skip(b' ')?;
    let mailbox = reader.nstring()?;
    reader.skip(b' ')?;
    Some(ShownAddress { name, mailbox, host: reader.nstring()? })
}

struct Reader<'e> {
    rest: &'e [u8],
}

impl<'e> Reader<'e> {
    fn skip(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    /// An nstring or a list, whatever is in it.
    fn pass_over(&mut self) -> Option<()> {
        let mut depth = 0u32;
        loop {
            match self.rest.first()? {
                b'(' => {
                    self.skip(b'(')?;
                    depth += 1;
                }
                b')' => {
                    self.skip(b')')?;
                    depth = depth.checked_sub(1)?;
                }
                b' ' => self.skip(b' ')?,
                _ => {
                    self.nstring()?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// `None` within for NIL, outside for what is none.
    fn nstring(&mut self) -> Option<Option<Cow<'e, [u8]>>> {
        if let Some(rest) = self.rest.strip_prefix(b"NIL") {
            self.rest = rest;
            return Some(None);
        }
        match self.rest.first()? {
            b'"' => self.quoted().map(Some),
            b'{' => self.literal().map(Some),
            _ => None,
        }
    }

    fn quoted(&mut self) -> Option<Cow<'e, [u8]>> {
        self.skip(b'"')?;
        let end = self.rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
        let (plain, rest) = self.rest.split_at(end);
        self.rest = rest;
        if self.skip(b'"').is_some() {
            return Some(Cow::Borrowed(plain));
        }
        let mut text = plain.to_vec();
        loop {
            let (&byte, after) = self.rest.split_first()?;
            self.rest = after;
            match byte {
                b'"' => return Some(Cow::Owned(text)),
                b'\\' => {
                    let (&escaped, after) = self.rest.split_first()?;
                    self.rest = after;
                    text.push(escaped);
                }
                _ => text.push(byte),
            }
        }
    }

    fn literal(&mut self) -> Option<Cow<'e, [u8]>> {
        self.skip(b'{')?;
        let end = self.rest.iter().position(|b| *b == b'}')?;
        let (digits, rest) = self.rest.split_at(end);
        let size: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let (text, rest) = rest.strip_prefix(b"}\r\n")?.split_at_checked(size)?;
        self.rest = rest;
        Some(Cow::Borrowed(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::envelope::{Envelope, write_envelope};

    fn shown(header: &str, field: AddressField) -> Option<String> {
        let mut envelope = Vec::new();
        write_envelope(&Envelope::parse(header.as_bytes()), &mut envelope);
        let text = |part: Option<Cow<'_, [u8]>>| {
            part.map_or("-".to_owned(), |part| String::from_utf8_lossy(&part).into_owned())
        };
        first_address(&envelope, field)
            .map(|address| format!("{}|{}|{}", text(address.name), text(address.mailbox), text(address.host)))
    }

    #[test]
    fn first_addresses() {
        let header = "Date: (x) \"y\" Mon\r\nSubject: gr\u{fc}n \\ \"(\r\nFrom: \"A \\\"B\\\" C\" <a@x>, b@x\r\n\
            Sender: s@x\r\nTo: friends: c@x, d@x;\r\nCc: gr\u{fc}n <e@x>\r\nMessage-ID: <1@x>\r\n";
        assert_eq!(shown(header, AddressField::From).unwrap(), "A \"B\" C|a|x");
        assert_eq!(shown(header, AddressField::To).unwrap(), "-|friends|-");
        assert_eq!(shown(header, AddressField::Cc).unwrap(), "gr\u{fc}n|e|x");
        assert_eq!(shown("Subject: x\r\n", AddressField::From), None);
        assert_eq!(shown("", AddressField::Cc), None);
        assert_eq!(first_address(b"", AddressField::From), None);
        assert_eq!(first_address(b"(NIL NIL ((\"a\" NIL \"b\" \"c", AddressField::From), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in "[()\"\\\\{}0-9NIL a\r\n]{0,60}") {
            let _ = first_address(bytes.as_bytes(), AddressField::From);
        }

        #[test]
        fn any_header_is_read_back(name in "[a-z\"\\\\éü ]{0,10}") {
            let header = format!("Subject: {name}\r\nFrom: x@y\r\nTo: first@z, second@z\r\n");
            prop_assert_eq!(shown(&header, AddressField::To).unwrap(), "-|first|z");
        }
    }
}
