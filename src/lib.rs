//! Mailwright: a complete mail server in one daemon on PostgreSQL, ruled by SQL.
//!
//! # The map of the house
//!
//! Floors, from the ground up. A module may use what lies below it, sideways only where named, never what
//! lies above; a test reads the imports and holds this list.
//!
//! # A message arrives
//!
//! `control::supervisor` accepts the connection, if connection control and limits let it in, and hands it to the face of
//! its service, `smtpd`, which runs in `net::talk`: bytes become frames (`smtp::framer`), frames commands
//! (`smtp::command`), commands answers. RCPT asks `directory::resolve` where the address leads. The message itself goes
//! piece by piece into a `store::spool`, which hashes it, finds its MIME structure and compresses it, in bounded memory;
//! `verify` sees it pass and says afterwards whether it is what it claims to be.
//! At its end `intake::commit` writes it, together with whatever else has just come in, in one transaction: content once,
//! then UIDs under the mailbox rows' locks, then the message rows. When that has committed the client is told 250, open
//! views of the mailbox are marked, and IMAP sessions in IDLE are rung.
//!
//! # A client looks
//!
//! `imap` (or `pop3`) logs in by `directory::login` and opens a mailbox by `store::views`: one immutable view for each open
//! mailbox on this node, shared by all sessions and brought up to date by "everything since modseq n". A session keeps the
//! view whose sequence numbers it has told its client, and moves on by announcing the difference. Bodies are read in
//! chunks by `store::content`.
//!
//! # An administrator adds a port
//!
//! `insert into control.listener …` fires triggers (`sql/logic`): an audit row, and at commit one generation and one
//! notification. `control::follow` hears it (or its clock finds it), reads the whole configuration as one snapshot, and
//! has `control::supervisor` reconcile: what should listen and does not is bound, what should not is closed. Then it
//! writes the generation to `live.node`, where `control.wait_applied` waits for it.

// Words: pure, no tokio, no PostgreSQL.
pub mod ip;
pub mod mail;
pub mod mime;
pub mod sasl;
pub mod smtp;
// Plumbing: reaches outside, knows no mail policy.
pub mod db;
pub mod dns;
pub mod net;
pub mod tls;
// Control: signals, the settings snapshot, the supervisor.
pub mod control;
// Keeping: everything with tables of its own.
pub mod certificates;
pub mod directory;
pub mod log;
pub mod queue;
pub mod store;
pub mod tables;
// Doing: a message comes in and is checked, a message goes out.
pub mod intake;
pub mod relay;
pub mod screen;
pub mod verify;
// Faces: one protocol each.
pub mod imap;
pub mod pop3;
pub mod smtpd;
pub mod web;
// Assembling and starting.
pub mod cli;
pub mod server;
