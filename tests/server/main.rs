//! The integration suite: real sockets, a real PostgreSQL, the real daemon as a process.
//!
//! One binary, so that there is one thing to link. `support` has what tests are written with.

mod support;

mod control;
mod faces_control;
mod house;
mod imap_mailbox;
mod ip;
mod lost;
mod rules;
mod schema;
mod sql;
