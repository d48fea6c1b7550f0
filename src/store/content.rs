//! Reads messages back: prefix and content as one run of bytes, any part of it, a few chunks at a time.

use std::collections::HashMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::Store;
use super::spool::CHUNK;
use crate::db::{Db, Error};
use crate::sql;

const READ_CHUNKS: &str = sql!("store/read_chunks");
const READ_WHOLE: &str = sql!("store/read_whole");

/// A run of bytes of a message, read as it is asked for.
pub struct Reader {
    db: Db,
    content: i64,
    /// What is left of the prefix.
    prefix: Bytes,
    /// What is left of the content.
    rest: Range<u64>,
    ready: std::collections::VecDeque<Bytes>,
}

impl Store {
    /// Reads bytes `range` of a message: its prefix, then its content. The range is cut to the message's size.
    pub fn read(&self, prefix: &Bytes, content: i64, content_size: u64, range: Range<u64>) -> Reader {
        let before = prefix.len() as u64;
        let total = before + content_size;
        let (start, end) = (range.start.min(total), range.end.min(total));
        let prefix =
            prefix.slice(start.min(before) as usize..end.min(before).max(start.min(before)) as usize);
        let rest = start.saturating_sub(before)..end.saturating_sub(before);
        Reader { db: self.control.db.clone(), content, prefix, rest, ready: Default::default() }
    }
}

impl Store {
    /// Contents as a whole, in one query; for what is known to be small. One that is damaged is left out.
    pub async fn read_whole(&self, contents: &[i64]) -> Result<HashMap<i64, Bytes>, Error> {
        let mut whole: HashMap<i64, BytesMut> = HashMap::with_capacity(contents.len());
        for row in self.control.db.query(READ_WHOLE, &[&contents]).await? {
            let (content, start, size, codec): (i64, i64, i32, i16) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let so_far = whole.entry(content).or_default();
            if so_far.len() as u64 == start as u64 {
                so_far.extend_from_slice(&decode(codec, row.get(4), size as usize)?);
            }
        }
        Ok(whole.into_iter().map(|(content, bytes)| (content, bytes.freeze())).collect())
    }
}

impl Reader {
    /// The next piece; `None` at the end. No transaction stays open between pieces.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.prefix.is_empty() {
            return Ok(Some(std::mem::take(&mut self.prefix)));
        }
        if self.ready.is_empty() && self.rest.start < self.rest.end {
            self.load().await?;
        }
        Ok(self.ready.pop_front())
    }

    /// All of it; for what is known to be small.
    pub async fn whole(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn load(&mut self) -> Result<(), Error> {
        let (start, end) = (self.rest.start as i64, self.rest.end as i64);
        for row in self.db.query(READ_CHUNKS, &[&self.content, &start, &end]).await? {
            let (at, size, codec): (i64, i32, i16) = (row.get(0), row.get(1), row.get(2));
            let stored: &[u8] = row.get(3);
            let at = at as u64;
            let raw = decode(codec, stored, size as usize)?;
            let from = self.rest.start.saturating_sub(at).min(raw.len() as u64);
            let to = (self.rest.end - at).min(raw.len() as u64);
            if at > self.rest.start || from >= to {
                return Err(self.damaged());
            }
            self.rest.start = at + to;
            self.ready.push_back(raw.slice(from as usize..to as usize));
        }
        if self.ready.is_empty() {
            return Err(self.damaged());
        }
        Ok(())
    }

    fn damaged(&self) -> Error {
        Error::Fault(format!("content {} lacks the bytes from {} on", self.content, self.rest.start))
    }
}

fn decode(codec: i16, stored: &[u8], size: usize) -> Result<Bytes, Error> {
    match codec {
        0 => Ok(Bytes::copy_from_slice(stored)),
        1 => zstd::bulk::decompress(stored, size.min(CHUNK))
            .map(Bytes::from)
            .map_err(|e| Error::Fault(format!("a stored chunk cannot be decompressed: {e}"))),
        other => {
            Err(Error::Fault(format!("a stored chunk has codec {other}, which this version does not know")))
        }
    }
}
