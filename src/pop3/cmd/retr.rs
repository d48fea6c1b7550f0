//! RETR (RFC 1939 §5): a message, piece by piece.

use bytes::Bytes;

use super::message;
use crate::db::Error;
use crate::net::out::{Gone, Out, PAGE};
use crate::net::talk::Next;
use crate::pop3::maildrop::{Maildrop, gone};
use crate::pop3::session::{Session, State};
use crate::pop3::wire::{self, Refusal};
use crate::smtp::DotEncoder;
use crate::store::content::Reader;
use crate::store::fetch::{Facts, Want};

pub(super) async fn run(
    session: &Session,
    number: Option<&[u8]>,
    out: &mut Out<'_>,
) -> Result<Next, Refusal> {
    let facts = facts(session, message(number)?, Want::default()).await?;
    let reader = session.house.store.read(&facts.prefix, facts.content, facts.content_size, 0..u64::MAX);
    session.show_sending();
    send(&format!("{} octets", facts.size), &[], reader, Lines::all(), out).await
}

/// What the database knows of a message now.
pub(super) async fn facts(session: &Session, number: u32, want: Want) -> Result<Facts, Refusal> {
    let State::Transaction(maildrop) = &session.state else { return Err(gone()) };
    let Maildrop { account, mailbox, .. } = **maildrop;
    let uid = maildrop.uid(number)?;
    session.house.store.facts(account, mailbox, &[uid], want).await?.pop().ok_or_else(gone)
}

/// Sends a message: `head`, then of what `reader` gives so many `lines`. The first piece is read before anything is
/// sent, so that the commonest failures still are an -ERR; after that the connection is closed within the message.
pub(super) async fn send(
    text: &str,
    head: &[&[u8]],
    mut reader: Reader,
    mut lines: Lines,
    out: &mut Out<'_>,
) -> Result<Next, Refusal> {
    let mut piece = next(&mut reader, &lines).await?;
    wire::ok(out, text);
    let mut encoder = DotEncoder::new();
    for part in head {
        if put(&mut encoder, part, out).await.is_err() {
            return Ok(Next::Close);
        }
    }
    while let Some(bytes) = piece {
        if put(&mut encoder, lines.take(&bytes), out).await.is_err() {
            return Ok(Next::Close);
        }
        piece = match next(&mut reader, &lines).await {
            Ok(piece) => piece,
            Err(error) => {
                tracing::warn!(%error, "a message could not be read to its end; the connection is closed within it");
                return Ok(Next::Close);
            }
        };
    }
    encoder.finish(out.buffer());
    Ok(Next::Continue)
}

async fn next(reader: &mut Reader, lines: &Lines) -> Result<Option<Bytes>, Error> {
    if lines.are_over() { Ok(None) } else { reader.next().await }
}

async fn put(encoder: &mut DotEncoder, content: &[u8], out: &mut Out<'_>) -> Result<(), Gone> {
    for part in content.chunks(PAGE) {
        encoder.encode(part, out.buffer());
        out.page().await?;
    }
    Ok(())
}

/// How many lines are still to be sent; `None` is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lines(Option<u32>);

impl Lines {
    /// All there are.
    pub(super) fn all() -> Self {
        Self(None)
    }

    /// So many.
    pub(super) fn at_most(count: u32) -> Self {
        Self(Some(count))
    }

    fn are_over(&self) -> bool {
        self.0 == Some(0)
    }

    /// As much of the next piece as is wanted.
    fn take<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let Some(left) = &mut self.0 else { return piece };
        if *left == 0 {
            return &[];
        }
        for end in memchr::memchr_iter(b'\n', piece) {
            *left -= 1;
            if *left == 0 {
                return piece.get(..=end).unwrap_or(piece);
            }
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_pieces() {
        let pieces: [&[u8]; 5] = [b"a\r", b"\nb\nc", b"", b"c\r\nd", b"\n"];
        for (count, expected) in [
            (0, ""),
            (1, "a\r\n"),
            (2, "a\r\nb\n"),
            (3, "a\r\nb\ncc\r\n"),
            (4, "a\r\nb\ncc\r\nd\n"),
            (9, "a\r\nb\ncc\r\nd\n"),
        ] {
            let mut lines = Lines::at_most(count);
            let taken: Vec<u8> = pieces.iter().flat_map(|piece| lines.take(piece).to_vec()).collect();
            assert_eq!(taken, expected.as_bytes(), "{count}");
            assert_eq!(lines.are_over(), count < 5, "{count}");
        }
        assert_eq!(Lines::all().take(b"a\nb"), b"a\nb");
    }
}
