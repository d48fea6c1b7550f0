//! The bytes of a message: structure, envelope, header, text (RFC 5322, RFC 2045 to 2049, RFC 2231, RFC 6532).
//!
//! Everything the IMAP server, the store and SEARCH know about a message they know from here. Bytes go in, facts come
//! out: no I/O, no clock, no database.
//!
//! House rules:
//! - **Total.** Any bytes give an answer; what breaks the grammar is read in the most useful way and never refused.
//! - **Bounded.** [`structure::Builder`] sees each byte once and keeps what [`structure::Limits`] allows; a message
//!   never sits whole in memory. Every function here runs in time linear in its input.
//! - **Raw until asked.** Structure and envelope hold bytes as the message wrote them, unquoted but undecoded, because
//!   that is what IMAP shows (RFC 9051 §7.5.2). Only [`decode`], [`text`] and [`summary`] make strings.
//! - A line ends in CRLF; a bare LF is taken too, for messages imported from mbox files; a bare CR is text.
//!
//! [`structure`] builds the tree of [`part::Part`], [`part`] numbers it as IMAP sections do, [`envelope`] and
//! [`bodystructure`] write it in IMAP form.

pub mod address;
pub mod bodystructure;
pub mod charset;
pub mod content;
pub mod decode;
pub mod envelope;
pub mod envelope_text;
pub mod fixup;
pub mod header;
pub mod message_id;
pub mod nstring;
pub mod part;
pub mod preview;
pub mod seven_bit;
pub mod signature;
pub mod structure;
pub mod subject;
pub mod summary;
pub mod text;
pub mod thread;
pub mod transfer;

#[cfg(test)]
mod golden;
