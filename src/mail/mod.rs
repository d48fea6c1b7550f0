//! The nouns of mail that everyone shares: identities, addresses, flags, sets of uids, dates.
//!
//! House rules: pure, no tokio and no PostgreSQL; each parser takes bytes from the network, is linear in their number,
//! bounded, and never panics. One form of each thing is the canonical one (a domain in ASCII and lower case, a uid set
//! sorted and coalesced), and the constructors see to it, so that nobody else needs to normalise.

mod address;
mod count;
mod date;
mod domain;
mod flag;
mod hex;
mod id;
mod path;
mod rights;
mod room;
mod sequence_set;
pub mod size;
pub mod srs;
mod uid_set;

pub use address::{Address, AddressError};
pub use count::count;
pub use date::{DateTime, parse_imap_date};
pub use domain::{DomainError, domain_to_ascii, domain_to_unicode};
pub use flag::{Flags, Keyword, KeywordError};
pub use hex::hex;
pub use id::{AccountId, ContentId, DomainId, MailboxId, ModSeq, Uid};
pub use path::{Path, parse_path};
pub use rights::{FlagMask, Rights};
pub use room::Room;
pub use sequence_set::{SequenceSet, SequenceSetError};
pub use uid_set::UidSet;
