//! Mailwright: a complete mail server in one daemon on PostgreSQL, ruled by SQL.
//!
//! # The map of the house
//!
//! Floors, from the ground up. A module may use what lies below it, sideways only where named, never what
//! lies above; a test reads the imports and holds this list.

// Words: pure, no tokio, no PostgreSQL.
pub mod ip;
pub mod mail;
pub mod mime;
pub mod sasl;
pub mod smtp;
// Plumbing: reaches outside, knows no mail policy.
pub mod db;
pub mod net;
pub mod tls;
// Control: signals, the settings snapshot, the supervisor.
pub mod control;
// Keeping: everything with tables of its own.
pub mod directory;
pub mod queue;
pub mod store;
// Doing: a message comes in.
pub mod intake;
// Faces: one protocol each.
pub mod imap;
pub mod pop3;
pub mod smtpd;
// Assembling and starting.
pub mod cli;
pub mod server;
