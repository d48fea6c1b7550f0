//! IMAP4rev1 server (RFC 3501, with the extensions that [`cmd::capability`] lists and RFC 9051 where it says
//! the same thing more clearly).
//!
//! [`wire`] turns bytes into units, units into words, and answers into bytes; it does no I/O. [`table`] lists
//! every command with the states it is legal in. Each file under [`cmd`] reads one command into a type of the
//! same name. [`pattern`] matches mailbox names against LIST's wildcards.
//!
//! What must hold:
//! - A command is bounded before it is understood: the framer limits text and literals, and nothing that a client
//!   only announces is allocated.
//! - Only `wire/reply.rs` writes CRLF, and nothing that a client or a message supplies can add one.
//! - Mailbox names exist in one form inside the server ([`wire::name::MailboxName`]): NFC, `/` between levels,
//!   `INBOX` in capitals. Modified UTF-7 exists on the wire only.
//! - Whether a command may be followed by untagged EXPUNGE is a column of the table (RFC 9051 §7.5.1).

pub mod cmd;
pub mod pattern;
pub mod table;
pub mod wire;
