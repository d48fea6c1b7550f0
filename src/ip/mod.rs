//! IP patterns, lists of them, and the short form of listeners.
//!
//! Whoever may connect, relay or is trusted is said in lists of patterns ([`Pattern`], [`List`]); rules that carry a
//! value, of which the most specific wins, are a [`PatternMap`]; where a service listens is said in the short form
//! `192.168.0.1 25, * 587` ([`listen`]).
//!
//! House rules: pure, no socket and no name lookup. An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2)
//! *is* that IPv4 address everywhere here: in a pattern, as a peer, as an address to listen on. What is refused is
//! refused with a sentence for the person who typed it.

mod list;
pub mod listen;
mod map;
mod pattern;
mod piece;
mod trie;

pub use list::{List, Mode};
pub use map::PatternMap;
pub use pattern::{Pattern, PatternError, Reason, Specificity};
pub use trie::Trie;
