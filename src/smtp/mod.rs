//! The SMTP language: commands, replies and the framing of both (RFC 5321 and its extensions).
//!
//! Spoken by the server face and by the outbound relay, so it knows neither: bytes in, typed values out, and back.
//! Everything here is pure: no I/O, no clock, no settings. What a command is *allowed* to do is the face's to decide; this
//! module only says what was said.
//!
//! What must hold:
//! - Only CRLF ends a command line, and only `CRLF . CRLF` ends a message (RFC 5321 §4.1.1.4). Two hosts which disagree
//!   about that let a stranger smuggle a second message inside the first; [`framer`] and [`dot`] are where it is held.
//! - No reply carries CR or LF from interpolated text: [`reply::Reply::write`] is the only place that writes a line end.
//! - Every frame sequence depends on the bytes alone, never on how the network cut them into pieces.
//! - Input is bounded by the line limit of the framer; nothing here allocates more than a small multiple of one line.
//! - A path is only delimited here ([`path::RawPath`]); what an address means is for `mail`.

pub mod answer;
pub mod bad;
pub mod command;
pub mod dot;
pub mod framer;
pub mod helo;
pub mod mail;
pub mod param;
pub mod path;
pub mod rcpt;
pub mod reply;
mod stock;
pub mod table;
pub mod xclient;
pub mod xtext;

pub use answer::{BadAnswer, ReplyParser};
pub use bad::Bad;
pub use command::{Command, parse};
pub use dot::{Bare, DotEncoder};
pub use framer::{Frame, Framer};
pub use helo::Helo;
pub use mail::MailParams;
pub use path::{PathForm, RawPath};
pub use rcpt::RcptParams;
pub use reply::Reply;
pub use table::{COMMANDS, State, Verb};
