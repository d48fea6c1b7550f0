//! A message comes in, from anywhere: SMTP, LMTP, APPEND, import.
//!
//! `commit` is the only way into the tables.

pub mod commit;

pub use commit::{Committer, Delivery, Outbound, OutboundRecipient, Place, Placed, Receipt};
