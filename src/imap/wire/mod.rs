//! The language on the wire: bytes to units ([`framer`]), units to words ([`parser`] and its neighbours), answers
//! to bytes ([`reply`]). Pure: nothing here waits, reads a clock or knows a mailbox.

pub mod bad;
pub mod code;
pub mod date;
pub mod flag;
pub mod framer;
pub mod name;
pub mod parser;
pub mod partial;
pub mod reply;
pub mod section;
pub mod set;
pub mod unit;
pub mod url;
