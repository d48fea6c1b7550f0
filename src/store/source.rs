//! The bytes of messages for those who look at many: what is at hand is taken from there, small contents are read
//! ahead, many in one query, and the rest comes in chunks: each once while ranges are asked for in order.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::Store;
use super::content::Reader;
use super::fetch::Facts;
use crate::db::Error;
use crate::mime::part::Part;
use crate::mime::structure::{Builder, Limits};
use crate::mime::transfer::{Decoder, Encoding};

/// Contents up to this are read whole, bytes.
const SMALL: u64 = 64 << 10;

/// How much is read ahead at once, bytes.
const AHEAD: u64 = 2 << 20;

/// Small contents of a page of messages, read shortly before they are needed.
#[derive(Default)]
pub struct ReadAhead {
    ready: HashMap<i64, Bytes>,
}

impl ReadAhead {
    /// The content of message `at`; `None` when it is not small. Reads those that follow with it.
    pub async fn content(
        &mut self,
        store: &Store,
        messages: &[Facts],
        at: usize,
    ) -> Result<Option<Bytes>, Error> {
        let Some(message) = messages.get(at).filter(|message| message.content_size <= SMALL) else {
            return Ok(None);
        };
        if !self.ready.contains_key(&message.content) {
            let mut sum = 0;
            let next = messages.iter().skip(at).filter(|message| message.content_size <= SMALL);
            let next = next.take_while(|message| {
                sum += message.content_size;
                sum <= AHEAD
            });
            let mut contents: Vec<i64> = next.map(|message| message.content).collect();
            contents.sort_unstable();
            contents.dedup();
            self.ready = store.read_whole(&contents).await?;
        }
        // One that is damaged is met again where its chunks are read, and reported there.
        let bytes = self.ready.get(&message.content).filter(|b| b.len() as u64 == message.content_size);
        Ok(bytes.cloned())
    }
}

/// The bytes of one message as clients see it: prefix, then content.
pub struct Source<'a> {
    facts: &'a Facts,
    /// The first bytes of the content: all of it, the header, or none.
    known: Bytes,
    /// For what is beyond; it keeps the chunk it has come to.
    reader: Reader,
}

impl<'a> Source<'a> {
    /// The bytes of this message; `whole` is its content if that was read ahead.
    pub fn new(store: &Store, facts: &'a Facts, whole: Option<Bytes>) -> Self {
        let reader = store.read(&facts.prefix, facts.content, facts.content_size, 0..0);
        Self { facts, known: whole.unwrap_or_else(|| facts.header.clone()), reader }
    }

    /// Some of the bytes, in pieces. The range must lie within the message. If ranges are asked for in the order they
    /// stand in it, no chunk is read twice.
    pub fn pieces(&mut self, range: Range<u64>) -> Pieces<'_> {
        let prefix = &self.facts.prefix;
        let before = prefix.len() as u64;
        if range.end > before + self.known.len() as u64 {
            self.reader.turn_to(range);
            return Pieces { ready: VecDeque::new(), stored: Some(&mut self.reader) };
        }
        // What lies within bytes in memory fits a usize.
        let cut = |bytes: &Bytes, from: u64| {
            let clamp = |at: u64| at.saturating_sub(from).min(bytes.len() as u64) as usize;
            let (start, end) = (clamp(range.start), clamp(range.end));
            bytes.slice(start.min(end)..end)
        };
        let ready = [cut(prefix, 0), cut(&self.known, before)];
        Pieces { ready: ready.into_iter().filter(|bytes| !bytes.is_empty()).collect(), stored: None }
    }

    /// Some of the bytes at once; for what is known to be small.
    pub async fn bytes(&mut self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let mut pieces = self.pieces(range);
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The tree of parts, made anew from the content: for one whose stored form can't be read.
    pub async fn rebuilt(&mut self) -> Result<Part, Error> {
        let before = self.facts.prefix.len() as u64;
        let mut pieces = self.pieces(before..before + self.facts.content_size);
        let mut builder = Builder::new(Limits::default());
        while let Some(piece) = pieces.next().await? {
            builder.feed(&piece);
        }
        Ok(builder.finish().root)
    }
}

/// A run of bytes that comes in pieces, its transfer encoding undone.
pub struct Decoded<'s> {
    pieces: Pieces<'s>,
    /// None when the end has been reached, or where there is nothing to undo.
    decoder: Option<Decoder>,
}

impl<'s> Decoded<'s> {
    /// What these pieces were before they were encoded.
    pub fn new(pieces: Pieces<'s>, encoding: Encoding) -> Self {
        let decoder = (encoding != Encoding::Identity).then(|| Decoder::new(encoding));
        Self { pieces, decoder }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let piece = self.pieces.next().await?;
            let Some(decoder) = &mut self.decoder else { return Ok(piece) };
            let mut bytes = Vec::new();
            match piece {
                Some(piece) => decoder.feed(&piece, &mut bytes),
                None => {
                    if let Some(decoder) = self.decoder.take() {
                        decoder.finish(&mut bytes);
                    }
                    return Ok((!bytes.is_empty()).then(|| Bytes::from(bytes)));
                }
            }
            if !bytes.is_empty() {
                return Ok(Some(Bytes::from(bytes)));
            }
        }
    }
}

/// A run of bytes that comes in pieces.
pub struct Pieces<'s> {
    ready: VecDeque<Bytes>,
    stored: Option<&'s mut Reader>,
}

impl Pieces<'_> {
    /// Bytes that are at hand.
    pub fn ready(bytes: Bytes) -> Self {
        Self { ready: [bytes].into(), stored: None }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match &mut self.stored {
            Some(reader) => reader.next().await,
            None => Ok(self.ready.pop_front()),
        }
    }
}
