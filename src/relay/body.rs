//! The bytes of a queued message, piece by piece: prefix, then content, from memory where they are still there; or another
//! form of it, made for a server that takes no more than 7 bits.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::db::Error;
use crate::queue::Message;
use crate::smtp::mail;
use crate::store::content::{Reader, decode};
use crate::store::{Chunk, Store};

/// A message's bytes. Holds one piece more than it gave out.
pub(super) struct Body {
    prefix: Option<Bytes>,
    from: From,
    peeked: Option<Bytes>,
    size: u64,
    left: u64,
    kind: mail::Body,
    _room: Option<OwnedSemaphorePermit>,
}

enum From {
    Memory(std::vec::IntoIter<Chunk>),
    Whole(Option<Bytes>),
    Store(Box<Reader>),
}

impl Body {
    /// From the start. `None` when the content is gone from the store.
    pub(super) fn new(store: &Store, message: &Message) -> Option<Self> {
        let content_size = message.content_size?;
        let from = match &message.chunks {
            Some(chunks) => From::Memory(chunks.clone().into_iter()),
            None => From::Store(Box::new(store.read(
                &Bytes::new(),
                message.content,
                content_size,
                0..content_size,
            ))),
        };
        let size = message.prefix.len() as u64 + content_size;
        let prefix = Some(message.prefix.clone()).filter(|prefix| !prefix.is_empty());
        Some(Self { prefix, from, peeked: None, size, left: size, kind: message.envelope.body, _room: None })
    }

    /// A message that is in memory and fits into 7 bits; `room` is what was made for it there.
    pub(super) fn seven_bit(prefix: Bytes, content: Vec<u8>, room: OwnedSemaphorePermit) -> Self {
        let size = (prefix.len() + content.len()) as u64;
        Self {
            prefix: Some(prefix).filter(|prefix| !prefix.is_empty()),
            from: From::Whole(Some(content.into())),
            peeked: None,
            size,
            left: size,
            kind: mail::Body::SevenBit,
            _room: Some(room),
        }
    }

    /// What the bytes are.
    pub(super) fn kind(&self) -> mail::Body {
        self.kind
    }

    /// Bytes in all.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Leaves the prefix out, before anything has been taken.
    pub(super) fn skip_prefix(&mut self) {
        let skipped = self.prefix.take().map_or(0, |prefix| prefix.len() as u64);
        self.left -= skipped.min(self.left);
    }

    /// Whether all has been given out.
    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The first bytes after the prefix, without taking them: the message's own header, at least when it is of usual size.
    pub(super) async fn peek(&mut self) -> Result<Bytes, Error> {
        if self.peeked.is_none() {
            self.peeked = self.read().await?;
        }
        Ok(self.peeked.clone().unwrap_or_default())
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = match (self.prefix.take(), self.peeked.take()) {
            (Some(prefix), peeked) => {
                self.peeked = peeked;
                Some(prefix)
            }
            (None, Some(peeked)) => Some(peeked),
            (None, None) => self.read().await?,
        };
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64).min(self.left);
        Ok(piece)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        match &mut self.from {
            From::Memory(chunks) => match chunks.next() {
                Some(chunk) => decode(chunk.codec, &chunk.bytes, chunk.size as usize).map(Some),
                None => Ok(None),
            },
            From::Whole(bytes) => Ok(bytes.take().filter(|bytes| !bytes.is_empty())),
            From::Store(reader) => reader.next().await,
        }
    }
}
