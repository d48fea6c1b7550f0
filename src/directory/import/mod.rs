//! Users from a file: it is read and checked ([`sheet`]), kept between the check and the import ([`pending`]), and made into accounts by
//! one transaction of the tables (`sql/logic/import.sql`).
//!
//! What must hold: what a file may contain is bounded ([`MAX_BYTES`], [`MAX_ROWS`]); every line that is wrong is named with its column
//! and the remedy; no password leaves this module but to be hashed, and none is stored readable.

pub mod pending;
pub mod sheet;

/// Bytes of a file at most.
pub const MAX_BYTES: usize = 8 << 20;
/// Users in a file at most.
pub const MAX_ROWS: usize = 10_000;
