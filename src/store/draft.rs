//! A message that has been taken in and is ready to be put into mailboxes.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::mime::summary::Summary;

/// The version of `envelope` and `structure`; raise it when they are written differently.
pub const STRUCTURE_VERSION: i16 = 1;

/// A message: what its content rows will say. Its memory counts against the node's budget until it is dropped.
pub struct Draft {
    /// Content id it will have, unless the same bytes are stored already.
    pub id: i64,
    /// BLAKE3 of the bytes.
    pub digest: [u8; 32],
    /// Bytes.
    pub size: u64,
    /// Its header, blank line included.
    pub header: Vec<u8>,
    /// ENVELOPE as IMAP shows it.
    pub envelope: Vec<u8>,
    /// The tree of parts, as [`Structure`](super::fetch::Structure) reads it.
    pub structure: Vec<u8>,
    /// [`STRUCTURE_VERSION`].
    pub structure_version: i16,
    /// What SQL columns say of it.
    pub summary: Summary,
    /// Chunks that are not in the database yet.
    pub chunks: Vec<Chunk>,
    /// Its share of the node's budget, given back when the draft is dropped.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Draft {
    /// Whether all of its bytes are in memory.
    pub fn is_held(&self) -> bool {
        self.chunks.iter().map(|chunk| u64::from(chunk.size)).sum::<u64>() == self.size
    }

    /// Bytes that the committer will send.
    pub fn stored_bytes(&self) -> usize {
        self.header.len()
            + self.envelope.len()
            + self.structure.len()
            + self.chunks.iter().map(|c| c.bytes.len()).sum::<usize>()
    }
}

/// A piece of a content.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Where it begins.
    pub start: u64,
    /// Bytes before compression.
    pub size: u32,
    /// 0 plain, 1 zstd.
    pub codec: i16,
    /// Bytes as stored.
    pub bytes: Bytes,
}
