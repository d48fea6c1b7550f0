//! BINARY and BINARY.SIZE: parts as they were before they were encoded for transport (RFC 3516 §4).
//!
//! The answer begins with its length, which nobody knows before the part has been decoded. So a part is decoded twice, a
//! piece at a time: once to count, once to send. That costs the reading and decoding of its bytes twice, and no memory; what
//! a partial fetch doesn't want is not sent, and what lies behind it not read.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

use super::item::FetchAtt;
use super::slice::{Coded, Shape};
use crate::db::Error;
use crate::imap::answer::Fail;
use crate::imap::wire::reply::Line;
use crate::imap::wire::section::{Partial, Section};
use crate::mime::transfer::Encoding;
use crate::net::out::Out;
use crate::store::source::{Decoded, Source};

/// An item that is about a decoded part.
pub(super) struct Binary<'i> {
    section: &'i Section,
    wanted: Wanted,
}

enum Wanted {
    Bytes(Option<Partial>),
    Size,
}

impl<'i> Binary<'i> {
    pub(super) fn of(item: &'i FetchAtt) -> Option<Self> {
        match item {
            FetchAtt::Binary(body) => {
                Some(Binary { section: &body.section, wanted: Wanted::Bytes(body.partial) })
            }
            FetchAtt::BinarySize(section) => Some(Binary { section, wanted: Wanted::Size }),
            _ => None,
        }
    }

    /// Whether nobody knows what the part's bytes were: its encoding has a name that we don't know.
    pub(super) fn is_undecodable(&self, shape: &Shape<'_>) -> bool {
        shape.coded(self.section) == Coded::Unknown
    }

    /// Writes name and value.
    pub(super) async fn write(
        &self,
        shape: Shape<'_>,
        source: &mut Source<'_>,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let found = match shape.coded(self.section) {
            Coded::Bytes(range, encoding) => Some((range, encoding)),
            Coded::Missing | Coded::Unknown => None,
        };
        let Wanted::Bytes(partial) = self.wanted else {
            let size = match found {
                Some((range, encoding)) => measure(source, range, encoding, None).await?.size,
                None => 0,
            };
            let mut line = Line::resume(out.buffer());
            line.raw("BINARY.SIZE").section(self.section).raw(" ").number(size);
            line.pause();
            return Ok(());
        };
        let mut line = Line::resume(out.buffer());
        line.raw("BINARY").section(self.section);
        if let Some(Partial { offset, .. }) = partial {
            line.raw("<").number(offset).raw(">");
        }
        line.raw(" ");
        if found.is_none() {
            line.raw("NIL");
        }
        line.pause();
        match found {
            Some((range, encoding)) => send(source, range, encoding, partial, out).await,
            None => Ok(()),
        }
    }
}

/// Sends a decoded part as a string: a literal8 where there is a NUL in it (RFC 3516 §4.2).
pub(in crate::imap) async fn send(
    source: &mut Source<'_>,
    range: Range<u64>,
    encoding: Encoding,
    partial: Option<Partial>,
    out: &mut Out<'_>,
) -> Result<(), Fail> {
    let Measure { size, has_nul } = measure(source, range.clone(), encoding, partial).await?;
    let mut line = Line::resume(out.buffer());
    match (size, has_nul) {
        (0, _) => line.raw("\"\""),
        (_, true) => line.literal8_header(size),
        (_, false) => line.literal_header(size),
    };
    line.pause();
    let (mut sent, mut window) = (0, Window::new(partial));
    let mut decoded = Decoded::new(source.pieces(range), encoding);
    while sent < size {
        let Some(bytes) = decoded.next().await? else { return Err(Fail::Gone) };
        let wanted = window.cut(&bytes);
        sent += wanted.len() as u64;
        out.put_large(wanted).await?;
    }
    Ok(())
}

/// What is known of a decoded part once it has been decoded.
struct Measure {
    size: u64,
    has_nul: bool,
}

async fn measure(
    source: &mut Source<'_>,
    range: Range<u64>,
    encoding: Encoding,
    partial: Option<Partial>,
) -> Result<Measure, Error> {
    let mut found = Measure { size: 0, has_nul: false };
    let mut window = Window::new(partial);
    let mut decoded = Decoded::new(source.pieces(range), encoding);
    while !window.is_past() {
        let Some(bytes) = decoded.next().await? else { break };
        let wanted = window.cut(&bytes);
        found.size += wanted.len() as u64;
        found.has_nul = found.has_nul || memchr(0, &wanted).is_some();
    }
    Ok(found)
}

/// The octets that a client wants of a run of bytes which comes in pieces.
struct Window {
    at: u64,
    wanted: Range<u64>,
}

impl Window {
    fn new(partial: Option<Partial>) -> Self {
        let wanted = match partial {
            Some(Partial { offset, count }) => offset..offset.saturating_add(count),
            None => 0..u64::MAX,
        };
        Window { at: 0, wanted }
    }

    fn is_past(&self) -> bool {
        self.at >= self.wanted.end
    }

    /// What is wanted of the next bytes.
    fn cut(&mut self, bytes: &Bytes) -> Bytes {
        let from = self.at;
        self.at += bytes.len() as u64;
        // What lies within bytes in memory fits a usize.
        let clamp = |at: u64| at.saturating_sub(from).min(bytes.len() as u64) as usize;
        let (start, end) = (clamp(self.wanted.start), clamp(self.wanted.end));
        bytes.slice(start.min(end)..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_over_pieces() {
        for (partial, expected) in [
            (None, "abcdefg"),
            (Some((0, 3)), "abc"),
            (Some((2, 3)), "cde"),
            (Some((5, 100)), "fg"),
            (Some((7, 1)), ""),
            (Some((u64::MAX, u64::MAX)), ""),
        ] {
            let mut window = Window::new(partial.map(|(offset, count)| Partial { offset, count }));
            let cut = |piece: &'static str| window.cut(&Bytes::from(piece));
            let found: Vec<u8> = ["abc", "", "defg"].map(cut).concat();
            assert_eq!(found, expected.as_bytes(), "{partial:?}");
        }
    }
}
