//! Flags in mbox files, which stand in header fields of the message: `Status` and `X-Status` (mail programs on Unix),
//! `X-Keywords` (IMAP servers), `X-Mozilla-Status` and `X-Mozilla-Keys` (Thunderbird). They belong to the file, not to
//! the message: reading takes them away.
//!
//! What is exported begins with all three of `Status`, `X-Status` and `X-Keywords`, in this order. Then only these three
//! are taken away, so that a message that had such fields of its own comes back as it was.

use crate::mail::{Flags, Keyword};

/// A header is looked at this far; one without end by then is no header of such a file.
pub const HEADER: usize = 1 << 20;

const OWN: [&str; 3] = ["status", "x-status", "x-keywords"];
const FIELDS: [&str; 6] =
    ["status", "x-status", "x-keywords", "x-mozilla-status", "x-mozilla-status2", "x-mozilla-keys"];

/// What a file says of a message beside its bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Marks {
    /// System flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<String>,
    /// The unique id that it had by POP3.
    pub pop3_uidl: Option<String>,
}

impl Marks {
    /// Adds a keyword, once, if it is one.
    pub fn keyword(&mut self, text: &[u8]) {
        if let Ok(keyword) = Keyword::parse(text)
            && !self.keywords.iter().any(|known| known.eq_ignore_ascii_case(keyword.as_str()))
        {
            self.keywords.push(keyword.as_str().to_owned());
        }
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        let letters = |pairs: &[(u8, Flags)]| {
            let set = pairs.iter().filter(|(letter, _)| value.contains(letter));
            set.fold(Flags::NONE, |all, (_, flag)| all | *flag)
        };
        match name {
            "status" => self.flags |= letters(&[(b'R', Flags::SEEN)]),
            "x-status" => {
                self.flags |= letters(&[
                    (b'A', Flags::ANSWERED),
                    (b'F', Flags::FLAGGED),
                    (b'D', Flags::DELETED),
                    (b'T', Flags::DRAFT),
                ]);
            }
            "x-keywords" | "x-mozilla-keys" => {
                value.split(u8::is_ascii_whitespace).for_each(|word| self.keyword(word));
            }
            "x-mozilla-status" => {
                let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
                let bits = u16::from_str_radix(text, 16).unwrap_or(0);
                for (bit, flag) in
                    [(1, Flags::SEEN), (2, Flags::ANSWERED), (4, Flags::FLAGGED), (8, Flags::DELETED)]
                {
                    if bits & bit != 0 {
                        self.flags |= flag;
                    }
                }
                if bits & 0x1000 != 0 {
                    self.keyword(b"$Forwarded");
                }
            }
            _ => {}
        }
    }

    /// The header fields that say this in an mbox, with LF line ends.
    pub fn fields(&self) -> String {
        let letters: String =
            [('A', Flags::ANSWERED), ('F', Flags::FLAGGED), ('D', Flags::DELETED), ('T', Flags::DRAFT)]
                .into_iter()
                .filter(|(_, flag)| self.flags.contains(*flag))
                .map(|(letter, _)| letter)
                .collect();
        let status = if self.flags.contains(Flags::SEEN) { "RO" } else { "O" };
        format!("Status: {status}\nX-Status: {letters}\nX-Keywords: {}\n", self.keywords.join(" "))
    }
}

/// Takes the marks out of a header (CRLF line ends): the marks, and what is left of it.
pub fn take(header: &[u8]) -> (Marks, Vec<u8>) {
    let mut marks = Marks::default();
    let mut left = Vec::with_capacity(header.len());
    let own = is_own(header);
    for (at, field) in fields(header).enumerate() {
        let (name, value) = split(field);
        if if own { at < OWN.len() } else { FIELDS.contains(&name.as_str()) } {
            marks.field(&name, value);
        } else {
            left.extend_from_slice(field);
        }
    }
    (marks, left)
}

fn is_own(header: &[u8]) -> bool {
    let names: Vec<String> = fields(header).take(OWN.len()).map(|field| split(field).0).collect();
    names == OWN
}

/// The fields, each with its continuation lines.
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let more = rest.get(end..)?;
            end += memchr::memchr(b'\n', more).map_or(more.len(), |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        (!field.is_empty()).then_some(field)
    })
}

fn split(field: &[u8]) -> (String, &[u8]) {
    let colon = memchr::memchr(b':', field).filter(|at| *at < 40);
    let (name, value) = colon.map_or((&[][..], field), |at| field.split_at(at));
    (String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase(), value.get(1..).unwrap_or_default())
}

/// Where the header ends, its empty line included; `None` while it goes on.
pub fn header_end(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The value of the first field of this name (in lower case).
pub fn first_field<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    fields(header).map(split).find(|(found, _)| found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_and_mozilla() {
        let header = b"Subject: x\r\nStatus: RO\r\nX-Status: AF\r\nX-Keywords: work $Junk WORK (bad\r\n  later\r\nTo: y\r\n\r\n";
        let (marks, left) = take(header);
        assert_eq!(left, b"Subject: x\r\nTo: y\r\n\r\n");
        assert_eq!(marks.flags, Flags::SEEN | Flags::ANSWERED | Flags::FLAGGED);
        assert_eq!(marks.keywords, ["work", "$Junk", "later"]);
        let (marks, left) = take(
            b"X-Mozilla-Status: 1003\r\nX-Mozilla-Status2: 00000000\r\nX-Mozilla-Keys: \r\nTo: y\r\n\r\n",
        );
        assert_eq!(left, b"To: y\r\n\r\n");
        assert_eq!(marks.flags, Flags::SEEN | Flags::ANSWERED);
        assert_eq!(marks.keywords, ["$Forwarded"]);
    }

    #[test]
    fn own_fields_come_first_and_the_messages_own_stay() {
        let message = b"X-Status: mine\r\nStatus: R\r\nTo: y\r\n\r\n";
        let marks = Marks {
            flags: Flags::FLAGGED | Flags::DRAFT,
            keywords: vec!["a".to_owned()],
            ..Marks::default()
        };
        let mut header = marks.fields().replace('\n', "\r\n").into_bytes();
        header.extend_from_slice(message);
        assert_eq!(take(&header), (marks, message.to_vec()));
        let mut header = Marks::default().fields().replace('\n', "\r\n").into_bytes();
        header.extend_from_slice(b"\r\n");
        assert_eq!(take(&header), (Marks::default(), b"\r\n".to_vec()));
    }

    #[test]
    fn odd_headers() {
        for header in [&b""[..], b"\r\n", b"no colon\r\n\r\n", b" folded\r\n first\r\n\r\n", b"Status"] {
            assert_eq!(take(header).1, header);
        }
        assert_eq!(header_end(b"\r\nx"), Some(2));
        assert_eq!(header_end(b"a\r\n\r\nx"), Some(5));
        assert_eq!(header_end(b"a\r\n"), None);
        assert_eq!(first_field(b"A: 1\r\nB: 2\r\n 3\r\n\r\n", "b"), Some(&b" 2\r\n 3\r\n"[..]));
    }
}
