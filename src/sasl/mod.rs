//! SASL, the server's side (RFC 4422): PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), SCRAM-SHA-256
//! and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), OAUTHBEARER (RFC 7628) and XOAUTH2.
//!
//! SMTP (RFC 4954), IMAP (RFC 9051 §6.2.2) and POP3 (RFC 5034) carry the same exchange in different lines. A
//! face asks [`Mechanism::offered`] what to announce, refuses whatever was not announced, decodes lines with
//! [`decode_initial`] and [`decode_response`], and drives an [`Exchange`]; each [`Step`] says what to do
//! next.
//!
//! What must hold here:
//! - Nothing is looked up: the directory is asked by the caller, for a password check, for [`ScramKeys`], or
//!   for whose a token is.
//! - An unknown account gets [`ScramKeys::fake`], so that it cannot be told from a known one with a wrong
//!   password.
//! - A password is a [`Secret`] from the moment it is decoded: never printed, wiped when dropped. It is kept
//!   as the client sent it; [`prepare_password`] is applied where it is hashed or compared.
//! - Everything secret is compared in constant time.
//! - Every message is bounded before it is looked at; no input makes this module panic.

mod binding;
mod exchange;
pub mod jwt;
mod keys;
mod mechanism;
mod plain;
mod prepare;
mod reason;
mod scram;
mod secret;
mod token;
mod wire;

pub use binding::Binding;
pub use exchange::{Exchange, Step};
pub use keys::{DEFAULT_ITERATIONS, MIN_ITERATIONS, NotScramKeys, ScramKeys};
pub use mechanism::{Cleartext, Mechanism, Protection, Tokens};
pub use prepare::{prepare_name, prepare_password};
pub use reason::{Fault, Reason};
pub use secret::{MAX_PASSWORD, Secret};
pub use wire::{MAX_LINE, decode_initial, decode_response, encode_challenge};
