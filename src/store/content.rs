//! Reads messages back: prefix and content as one run of bytes, any part of it, a few chunks at a time.
//!
//! A chunk is decoded as a whole, however little of it is wanted. Therefore a [`Reader`] that is turned to one range
//! after another keeps the chunk it has come to: ranges that follow one another cost each chunk once, however many they
//! are. Contents never change, so that what is kept cannot be out of date.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::Store;
use super::spool::CHUNK;
use crate::db::{Db, Error};
use crate::sql;

const READ_CHUNKS: &str = sql!("store/read_chunks");
const READ_WHOLE: &str = sql!("store/read_whole");

/// Bytes of a message, read as they are asked for. Holds four chunks at most.
pub struct Reader {
    db: Db,
    content: i64,
    content_size: u64,
    prefix: Bytes,
    /// What is left to be read, counted from the start of the prefix.
    rest: Range<u64>,
    held: Held,
}

impl Store {
    /// Reads bytes `range` of a message: its prefix, then its content. The range is cut to the message's size.
    pub fn read(&self, prefix: &Bytes, content: i64, content_size: u64, range: Range<u64>) -> Reader {
        let (db, prefix) = (self.control.db.clone(), prefix.clone());
        let mut reader = Reader { db, content, content_size, prefix, rest: 0..0, held: Held::default() };
        reader.turn_to(range);
        reader
    }
}

impl Store {
    /// Contents as a whole, from memory or in one query; for what is known to be small. One that is damaged is left out.
    pub async fn read_whole(&self, contents: &[i64]) -> Result<HashMap<i64, Bytes>, Error> {
        let (mut known, missing) = self.cache.contents(contents);
        if missing.is_empty() {
            return Ok(known);
        }
        let mut whole: HashMap<i64, BytesMut> = HashMap::with_capacity(missing.len());
        for row in self.control.db.query(READ_WHOLE, &[&missing]).await? {
            let (content, start, size, codec): (i64, i64, i32, i16) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let so_far = whole.entry(content).or_default();
            if so_far.len() as u64 == start as u64 {
                so_far.extend_from_slice(&decode(codec, row.get(4), size as usize)?);
            }
        }
        for (content, bytes) in whole {
            let bytes = bytes.freeze();
            self.cache.keep_content(content, &bytes);
            known.insert(content, bytes);
        }
        Ok(known)
    }
}

impl Reader {
    /// The next piece; `None` at the end. No transaction stays open between pieces.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let before = self.prefix.len() as u64;
        let piece = if self.rest.start < before {
            // What lies within bytes in memory fits a usize.
            self.prefix.slice(self.rest.start as usize..self.rest.end.min(before) as usize)
        } else {
            let wanted = self.rest.start - before..self.rest.end - before;
            match self.held.piece(&wanted) {
                Some(piece) => piece,
                None => {
                    self.load(&wanted).await?;
                    self.held.piece(&wanted).ok_or_else(|| self.damaged(wanted.start))?
                }
            }
        };
        self.rest.start += piece.len() as u64;
        Ok(Some(piece))
    }

    /// Goes on with other bytes of the message, cut to its size, whatever of the last ones has not been read.
    pub fn turn_to(&mut self, range: Range<u64>) {
        let total = self.prefix.len() as u64 + self.content_size;
        self.rest = range.start.min(total)..range.end.min(total);
    }

    /// All of it; for what is known to be small.
    pub async fn whole(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Reads the next chunks with these bytes of the content.
    async fn load(&mut self, wanted: &Range<u64>) -> Result<(), Error> {
        self.held = Held::default();
        let (start, end) = (wanted.start as i64, wanted.end as i64);
        let mut from = wanted.start;
        for row in self.db.query(READ_CHUNKS, &[&self.content, &start, &end]).await? {
            let (at, size, codec): (i64, i32, i16) = (row.get(0), row.get(1), row.get(2));
            let chunk = decode(codec, row.get(3), size as usize)?;
            let (at, end) = (at as u64, at as u64 + chunk.len() as u64);
            if !(at..end).contains(&from) {
                return Err(self.damaged(from));
            }
            self.held.0.push_back((at, chunk));
            from = end;
        }
        Ok(())
    }

    fn damaged(&self, from: u64) -> Error {
        Error::Fault(format!("content {} lacks the bytes from {from} on", self.content))
    }
}

/// Decoded chunks that follow one another, and where in the content each begins.
#[derive(Default)]
struct Held(VecDeque<(u64, Bytes)>);

impl Held {
    /// The first of these bytes, as far as one chunk has them. Chunks that end before them are let go.
    fn piece(&mut self, wanted: &Range<u64>) -> Option<Bytes> {
        while self.0.front().is_some_and(|(at, chunk)| at + chunk.len() as u64 <= wanted.start) {
            self.0.pop_front();
        }
        let (at, chunk) = self.0.front()?;
        // What lies within a chunk fits a usize.
        let start = wanted.start.checked_sub(*at)? as usize;
        let end = (wanted.end - at).min(chunk.len() as u64) as usize;
        Some(chunk.slice(start..end))
    }
}

/// The bytes of a chunk as they were before it was stored.
pub fn decode(codec: i16, stored: &[u8], size: usize) -> Result<Bytes, Error> {
    match codec {
        0 => Ok(Bytes::copy_from_slice(stored)),
        1 => decompress(stored, size.min(CHUNK))
            .map(Bytes::from)
            .map_err(|e| Error::Fault(format!("a stored chunk cannot be decompressed: {e}"))),
        other => {
            Err(Error::Fault(format!("a stored chunk has codec {other}, which this version does not know")))
        }
    }
}

/// zstd, with one context for each thread: making one costs more than decompressing a small mail.
fn decompress(stored: &[u8], size: usize) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static CONTEXT: std::cell::RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { std::cell::RefCell::new(None) };
    }
    CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        context.decompress(stored, size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_cut_from_what_is_held() {
        let mut held = Held([(4, Bytes::from("efgh")), (8, Bytes::from("ijkl"))].into());
        let mut piece = |wanted: Range<u64>| held.piece(&wanted).map(|piece| piece.to_vec());
        for (wanted, found) in [
            (3..5, None),
            (4..5, Some("e")),
            (7..10, Some("h")),
            (5..7, Some("fg")),
            (8..10, Some("ij")),
            // The first chunk has been let go.
            (7..10, None),
            (9..11, Some("jk")),
            (9..20, Some("jkl")),
            (8..9, Some("i")),
            (12..13, None),
            (8..9, None),
        ] {
            assert_eq!(piece(wanted.clone()), found.map(|found| found.as_bytes().to_vec()), "{wanted:?}");
        }
    }
}
