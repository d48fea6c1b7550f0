//! The two forms in which mail is kept in files: mbox and Maildir. Pure but for reading what they are given.
//!
//! Both keep lines ended by LF, the store keeps CRLF: `lines` turns one into the other. A message with CRLF line ends
//! throughout comes back byte for byte; a lone LF becomes CRLF on the way, a lone CR stays.

pub mod folder;
pub mod lines;
pub mod maildir;
pub mod marks;
pub mod mbox;
pub mod uidlist;
