//! The text of messages for SEARCH: read from the message itself (`body`), or from the text index (`store.text`), which
//! [`index`](Store::index_text) fills in the background.
//!
//! The index is a copy of what reading the message gives, made by the same functions, and complete where it is there at
//! all: so a search finds the same with it, without it, and with a part of it. It is kept by content, since one content is
//! in many mailboxes, and looked at by mailbox: a search goes through the mailbox's messages, never through a list of all
//! places of a word, in which most belong to other people. Three steps cost more and more:
//!
//! 1. [`Store::ask_signatures`]: PostgreSQL says of each message, by its [signature](crate::mime::signature), which strings are not in it, and
//!    what its commonest header fields are. A search for a rare word ends here but for a message in a hundred.
//! 2. [`Store::read_texts`]: the folded text, to be looked into. No charset, no encoding, no MIME.
//! 3. The message itself, for those that are not in the index: just come in, too large, damaged.
//!
//! Measured with PostgreSQL 15 on two cores that others kept busy (load 12), 20,000 mails of 8.8 KB: plain text, HTML with
//! tracking links, quoted-printable and base64, real prose, headers as on the internet. A row takes 3.1 KB on disk (signature
//! 0.8, text 1.8), where the mail itself takes 8.9; 650 mails a second with the rests in between, 4.8 KB of WAL each.
//! For 5,000 of them, `pg_trgm` with GIN: 4.0 KB for the index and 3.1 for the text, 36 mails a second; an array of trigrams
//! with GIN: 4.8 KB and 8.6 for the arrays, 34 a second. Both find other people's messages, and nothing below three letters.
//!
//! Seconds of processor time, daemon and PostgreSQL together, to search a mailbox of 100,000 mails, these five
//! times:
//!
//! | | index | without (five times 20,000) |
//! |---|---|---|
//! | BODY, a word in 80 messages | 0.6 | 12.4 |
//! | TEXT, a word in none | 0.7 | 14.1 |
//! | SUBJECT, a word in 1,060 | 0.7 | 2.4 |
//! | BODY, a word in 9,240 | 0.9 | |
//! | BODY, a word in 98,295 | 3.4 | |
//! | BODY, two letters | 3.4 | |
//!
//! House rule: `VERSION` goes up with every change of what `body` or [`crate::mime`] makes of a message.

pub mod body;
mod index;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Store;
use crate::db::Error;
use crate::mail::{AccountId, DateTime, MailboxId};
use crate::mime::signature::{PROBES, probes};
use crate::mime::text::{folded_header_text, sent_day};
use crate::sql;

const ASK_SIGNATURES: &str = sql!("store/ask_signatures");
const READ_TEXTS: &str = sql!("store/read_texts");

/// How texts are made, for `store.text.version`.
const VERSION: i16 = 1;

/// Strings that signatures are asked for at once.
pub const STRINGS_MAX: usize = 4;

/// Header fields that the index has in the row itself, in lower case.
pub const COMMON: [&str; 5] = ["from", "to", "cc", "bcc", "subject"];

/// Bytes of these fields that a row has room for.
const COMMON_MAX: usize = 2 << 10;

/// Texts are no larger than this as they are packed, bytes: the highest that may be set, and what their form adds.
const PACKED_MAX: usize = 32 << 20;

/// What the index has of a header in the row itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// The day of the Date field, as in its own time zone.
    pub sent: Option<Date>,
    /// Whether the header begins as if it went on with a line before it: then what is known of it counts only for
    /// messages without a prefix.
    continues: bool,
    /// Numbers in [`COMMON`] and folded texts, in order; `None` when they are too long.
    pub common: Option<Vec<(u8, String)>>,
}

impl Fields {
    /// What a row gets of this header, whose fields have been decoded and folded already.
    pub fn of(header: &[u8], fields: &[(String, String)]) -> Self {
        let number = |name: &str| COMMON.iter().position(|common| *common == name);
        let common = fields.iter().filter_map(|(name, value)| Some((number(name)? as u8, value.clone())));
        let common: Vec<(u8, String)> = common.collect();
        let bytes: usize = common.iter().map(|(_, value)| value.len() + 4).sum();
        Self {
            sent: sent_day(header),
            continues: matches!(header.first(), Some(b' ' | b'\t')),
            common: Some(common).filter(|_| bytes <= COMMON_MAX),
        }
    }

    fn read(stored: &[u8], prefix: &[u8]) -> Option<Self> {
        let fields: Fields = postcard::from_bytes(stored).ok()?;
        (prefix.is_empty() || !fields.continues && ends_with_a_field(prefix)).then_some(fields)
    }
}

/// Whether the header of the content goes on behind this prefix as it stands. A prefix that the server wrote always ends
/// so; one that was stored by SQL may be anything.
fn ends_with_a_field(prefix: &[u8]) -> bool {
    let fields: usize = crate::mime::header::fields(prefix).map(|field| field.raw.len()).sum();
    fields == prefix.len() && prefix.ends_with(b"\n")
}

/// The text of a content, decoded and folded.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text<'t> {
    /// Names and values of the header fields.
    #[serde(borrow)]
    pub header: Vec<(&'t str, &'t str)>,
    /// The text of the body; NUL where something does not follow what came before.
    pub body: &'t str,
}

impl<'t> Text<'t> {
    /// Reads what [`unpack`] has unpacked.
    pub fn read(unpacked: &'t [u8]) -> Option<Self> {
        postcard::from_bytes(unpacked).ok()
    }

    /// The text as it is stored, compressed at this level of zstd.
    fn pack(&self, level: i32) -> Result<Vec<u8>, Error> {
        let fault = |error: &dyn std::fmt::Display| Error::Fault(format!("a text cannot be packed: {error}"));
        let plain = postcard::to_stdvec(self).map_err(|error| fault(&error))?;
        zstd::bulk::compress(&plain, level).map_err(|error| fault(&error))
    }

    /// The header as text.
    pub fn header_text(&self) -> String {
        folded_header_text(self.header.iter().copied())
    }
}

/// Undoes the compression of a stored text.
pub fn unpack(stored: &[u8]) -> Option<Vec<u8>> {
    zstd::bulk::decompress(stored, PACKED_MAX).ok()
}

/// What the index says of a message without its text.
#[derive(Debug)]
pub struct Signed {
    /// Its UID.
    pub uid: u32,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// RFC822.SIZE.
    pub size: u64,
    /// Bytes of the text as it is stored; `None` when it was left out.
    pub text_bytes: Option<usize>,
    /// Bit n: the string n is in none of the content's text.
    pub absent: u32,
    /// Header lines of this copy that stand before the content, if wanted.
    pub prefix: Bytes,
    /// Header fields, if wanted. `None` when the header is not known.
    pub fields: Option<Fields>,
}

/// The text of a message.
#[derive(Debug)]
pub struct Stored {
    /// Its UID.
    pub uid: u32,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// RFC822.SIZE.
    pub size: u64,
    /// Header lines of this copy that stand before the content.
    pub prefix: Bytes,
    /// Header fields. `None` when the header is not known.
    pub fields: Option<Fields>,
    /// Text as it is stored: see [`unpack`].
    pub text: Bytes,
}

impl Store {
    /// What the index says of some messages of a mailbox, in no order; those that are not in it are left out. Of the
    /// strings, folded, the first [`STRINGS_MAX`] are asked for; `header` says whether prefix and fields are wanted.
    pub async fn ask_signatures<'s>(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        strings: impl Iterator<Item = &'s str>,
        header: bool,
    ) -> Result<Vec<Signed>, Error> {
        let uids: Vec<i64> = uids.iter().map(|&uid| i64::from(uid)).collect();
        let bits: Vec<Option<i32>> = strings.take(STRINGS_MAX).flat_map(padded_probes).collect();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&account.0, &mailbox.0, &uids, &VERSION, &bits, &header];
        let rows = self.control.db.query(ASK_SIGNATURES, &values).await?;
        let read = |row: &tokio_postgres::Row| {
            let prefix = row.get::<_, Option<&[u8]>>(6).unwrap_or_default();
            Signed {
                uid: row.get::<_, i64>(0) as u32,
                internal_date: DateTime::new(row.get::<_, Timestamp>(1), row.get(2)),
                size: row.get::<_, i64>(3) as u64,
                text_bytes: row.get::<_, Option<i32>>(4).map(|bytes| bytes as usize),
                absent: row.get::<_, i32>(5) as u32,
                prefix: Bytes::copy_from_slice(prefix),
                fields: row.get::<_, Option<&[u8]>>(7).and_then(|stored| Fields::read(stored, prefix)),
            }
        };
        Ok(rows.iter().map(read).collect())
    }

    /// The texts of some messages of a mailbox, in no order; those that have none are left out.
    pub async fn read_texts(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<Stored>, Error> {
        let uids: Vec<i64> = uids.iter().map(|&uid| i64::from(uid)).collect();
        let rows = self.control.db.query(READ_TEXTS, &[&account.0, &mailbox.0, &uids, &VERSION]).await?;
        let read = |row: &tokio_postgres::Row| {
            let prefix = row.get::<_, Option<&[u8]>>(4).unwrap_or_default();
            Stored {
                uid: row.get::<_, i64>(0) as u32,
                internal_date: DateTime::new(row.get::<_, Timestamp>(1), row.get(2)),
                size: row.get::<_, i64>(3) as u64,
                prefix: Bytes::copy_from_slice(prefix),
                fields: row.get::<_, Option<&[u8]>>(5).and_then(|stored| Fields::read(stored, prefix)),
                text: Bytes::copy_from_slice(row.get(6)),
            }
        };
        Ok(rows.iter().map(read).collect())
    }
}

/// The bits of a string, filled up with nulls.
fn padded_probes(string: &str) -> impl Iterator<Item = Option<i32>> + use<> {
    let bits = probes(string).into_iter().map(|bit| Some(bit as i32));
    bits.chain(std::iter::repeat(None)).take(PROBES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::text::folded_fields;

    fn fields(header: &str) -> Fields {
        Fields::of(header.as_bytes(), &folded_fields(header.as_bytes()))
    }

    #[test]
    fn fields_of_a_row() {
        let read = fields(
            "To: A\r\nX-From: x\r\nSUBJECT: B\r\nSubject: =?utf-8?q?=C3=9C?=\r\nDate: 1 Jan 70 00:00 GMT\r\n\r\n",
        );
        let common = [(1, "a"), (4, "b"), (4, "u\u{308}")].map(|(number, value)| (number, value.to_owned()));
        assert_eq!(read.common.as_deref(), Some(&common[..]));
        assert_eq!(read.sent.map(|day| day.to_string()).as_deref(), Some("1970-01-01"));
        let long = fields(&format!("To: {}\r\nDate: 1 Jan 70 00:00 GMT\r\n", "x".repeat(COMMON_MAX)));
        assert_eq!((long.common, long.sent), (None, read.sent));
    }

    #[test]
    fn what_counts_behind_a_prefix() {
        let stored = |header: &str| postcard::to_stdvec(&fields(header)).unwrap();
        for (header, prefix, known) in [
            ("To: a\r\n", "", true),
            ("To: a\r\n", "X: y\r\n", true),
            ("To: a\r\n", "X: y\r\n z\r\nnoise\n", true),
            ("\r\nbody", "X: y\r\n", true),
            ("To: a\r\n", "X: y", false),
            ("To: a\r\n", "X: y\r\n\r\n", false),
            ("To: a\r\n", "X: y\r\n\r\nTo: b\r\n", false),
            (" To: a\r\n", "", true),
            (" To: a\r\n", "X: y\r\n", false),
            ("\tTo: a\r\n", "X: y\r\n", false),
        ] {
            let read = Fields::read(&stored(header), prefix.as_bytes());
            assert_eq!(read.is_some(), known, "{header:?} {prefix:?}");
        }
        assert_eq!(Fields::read(b"\xff", b""), None);
    }

    #[test]
    fn packing() {
        let text = Text { header: vec![("to", "a"), ("", "noise"), ("subject", "")], body: "b\0c" };
        let unpacked = unpack(&text.pack(3).unwrap()).unwrap();
        assert_eq!(Text::read(&unpacked).as_ref(), Some(&text));
        assert_eq!(text.header_text(), "to: a\nnoise\nsubject: \n");
    }

    #[test]
    fn what_is_damaged_is_no_text() {
        assert_eq!(unpack(b"nonsense"), None);
        assert_eq!(Text::read(b"\xff\xff"), None);
    }
}
