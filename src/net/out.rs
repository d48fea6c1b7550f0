//! Where a session writes: a buffer, with the way out behind it.
//!
//! Writing never waits; [`Out::page`] and [`Out::flush`] do, and they are the points where a slow reader holds back its
//! own session. Nobody may call them with a database transaction open.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

use super::deflate::{Last, Packer};
use super::stream::Stream;
use super::talk::Ended;

/// How much may wait in the buffer before [`Out::page`] sends it, bytes.
pub const PAGE: usize = 64 * 1024;

/// The client is gone, or reads too slowly; nothing that is written will arrive. The session returns `Next::Close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

/// The output of a session, lent to it for one step.
pub struct Out<'a> {
    buffer: &'a mut BytesMut,
    writer: Option<&'a mut Writer>,
}

impl<'a> Out<'a> {
    pub(super) fn new(buffer: &'a mut BytesMut, writer: &'a mut Writer) -> Self {
        Self { buffer, writer: Some(writer) }
    }

    /// An output without a connection: all that is written stays in `buffer`. For trying out a session alone.
    pub fn memory(buffer: &'a mut BytesMut) -> Self {
        Self { buffer, writer: None }
    }

    /// Adds bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer itself, for writers that want a [`BufMut`]. What is in it already must stay.
    pub fn buffer(&mut self) -> &mut impl BufMut {
        &mut *self.buffer
    }

    /// How many bytes wait to be sent.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Sends what waits when it is more than a page. Call it between the parts of a large answer, so that no more than
    /// a page and a part are ever in memory.
    ///
    /// # Errors
    /// [`Gone`] when the client closed, or took nothing for as long as a write may take.
    pub async fn page(&mut self) -> Result<(), Gone> {
        if self.buffer.len() < PAGE { Ok(()) } else { self.flush().await }
    }

    /// Sends what waits. Rarely needed: the loop does it before it waits for the client.
    ///
    /// # Errors
    /// As [`Out::page`].
    pub async fn flush(&mut self) -> Result<(), Gone> {
        match &mut self.writer {
            Some(writer) => writer.send(self.buffer).await,
            None => Ok(()),
        }
    }

    /// Adds a large piece, page by page.
    ///
    /// # Errors
    /// As [`Out::page`].
    pub async fn put_large(&mut self, mut bytes: Bytes) -> Result<(), Gone> {
        while !bytes.is_empty() {
            self.put(&bytes.split_to(bytes.len().min(PAGE)));
            self.page().await?;
        }
        Ok(())
    }
}

impl io::Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: sending waits, and is [`Out::flush`]'s.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// The way to the client, and what became of it.
pub(super) struct Writer {
    pub(super) stream: Stream,
    /// Compresses all that is sent.
    pub(super) packer: Option<Packer>,
    /// How long one write may take without a byte of progress.
    pub(super) patience: Duration,
    /// Bytes sent, after compression and before encryption.
    pub(super) sent: u64,
    /// Why nothing can be sent any more.
    pub(super) broken: Option<Ended>,
    /// Whether something was sent since the mark was last taken away; then the buffer can't be rolled back.
    pub(super) dirty: bool,
}

impl Writer {
    /// Sends all of `buffer` and gives its memory back when it was large.
    pub(super) async fn send(&mut self, buffer: &mut BytesMut) -> Result<(), Gone> {
        self.send_as(buffer, Last::No).await
    }

    /// The same, saying whether the compressed stream ends with it.
    pub(super) async fn send_as(&mut self, buffer: &mut BytesMut, last: Last) -> Result<(), Gone> {
        if buffer.is_empty() && self.broken.is_none() {
            return Ok(());
        }
        self.dirty = true;
        if self.broken.is_none() {
            self.broken = self.write(buffer, last).await.err();
        }
        match self.broken {
            None => Ok(()),
            Some(_) => {
                buffer.clear();
                Err(Gone)
            }
        }
    }

    async fn write(&mut self, buffer: &mut BytesMut, last: Last) -> Result<(), Ended> {
        let mut packed;
        let buffer = match &mut self.packer {
            None => buffer,
            Some(packer) => {
                packed = packer.pack(buffer, last).map_err(|_| Ended::PeerGone)?;
                buffer.clear();
                &mut packed
            }
        };
        while !buffer.is_empty() {
            let written = tokio::time::timeout(self.patience, self.stream.write_buf(buffer)).await;
            match written {
                Ok(Ok(count @ 1..)) => self.sent += count as u64,
                Ok(Ok(0) | Err(_)) => return Err(Ended::PeerGone),
                Err(_) => return Err(Ended::WriteTimeout),
            }
        }
        match tokio::time::timeout(self.patience, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::PeerGone),
            Err(_) => Err(Ended::WriteTimeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_keeps_everything() {
        let mut buffer = BytesMut::new();
        let mut out = Out::memory(&mut buffer);
        out.put(b"* ");
        io::Write::write_fmt(&mut out, format_args!("{} EXISTS", 3)).unwrap();
        out.buffer().put_slice(b"\r\n");
        out.page().await.unwrap();
        out.flush().await.unwrap();
        out.put_large(Bytes::from(vec![b'x'; PAGE * 2 + 1])).await.unwrap();
        assert_eq!(out.waiting(), 12 + PAGE * 2 + 1);
        assert!(buffer.starts_with(b"* 3 EXISTS\r\nxxx"));
    }
}
