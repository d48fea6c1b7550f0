//! A connection compressed by deflate (RFC 4978), as a client sees it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress_to_output};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What compresses and inflates, with what is on its way.
pub struct Deflated<W> {
    wire: W,
    compressor: Box<CompressorOxide>,
    inflater: Box<InflateState>,
    /// Inflated, and not asked for yet.
    unread: Vec<u8>,
    /// Compressed, and not written yet.
    unsent: Vec<u8>,
}

impl<W> Deflated<W> {
    /// Compresses from here on.
    pub fn new(wire: W) -> Self {
        let mut compressor = Box::<CompressorOxide>::default();
        compressor.set_format_and_level(DataFormat::Raw, 6);
        let inflater = InflateState::new_boxed(DataFormat::Raw);
        Self { wire, compressor, inflater, unread: Vec::new(), unsent: Vec::new() }
    }
}

/// Raw deflate of these bytes, ended by a flush, as a client that has just begun sends them.
pub fn packed(plain: &[u8]) -> Vec<u8> {
    let mut one = Deflated::new(());
    one.pack(plain);
    one.unsent
}

impl<W> Deflated<W> {
    fn pack(&mut self, plain: &[u8]) {
        let unsent = &mut self.unsent;
        compress_to_output(&mut self.compressor, plain, TDEFLFlush::Sync, |bytes| {
            unsent.extend_from_slice(bytes);
            true
        });
    }

    fn unpack(&mut self, mut packed: &[u8]) -> io::Result<()> {
        loop {
            let mut plain = [0; 16_384];
            let result = inflate(&mut self.inflater, packed, &mut plain, MZFlush::None);
            if let Err(error) = result.status
                && error != miniz_oxide::MZError::Buf
            {
                return Err(io::Error::other(format!("not deflated: {error:?}")));
            }
            packed = &packed[result.bytes_consumed..];
            self.unread.extend_from_slice(&plain[..result.bytes_written]);
            if packed.is_empty() && result.bytes_written < plain.len() {
                return Ok(());
            }
            if result.bytes_consumed == 0 && result.bytes_written == 0 {
                return Err(io::Error::other("there is something behind the end"));
            }
        }
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for Deflated<W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            let mut bytes = [0; 8192];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.wire).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let packed = buffer.filled().to_vec();
            this.unpack(&packed)?;
        }
        let count = this.unread.len().min(out.remaining());
        out.put_slice(&this.unread[..count]);
        this.unread.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Deflated<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, plain: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut *this).poll_flush(cx))?;
        this.pack(plain);
        Poll::Ready(Ok(plain.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.unsent.is_empty() {
            let count = ready!(Pin::new(&mut this.wire).poll_write(cx, &this.unsent))?;
            this.unsent.drain(..count);
        }
        Pin::new(&mut this.wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut *this).poll_flush(cx))?;
        Pin::new(&mut this.wire).poll_shutdown(cx)
    }
}

/// A wire whose compression can be taken away again.
pub struct Compressible<W> {
    state: State<W>,
}

enum State<W> {
    Plain(W),
    Deflated(Box<Deflated<W>>),
    Gone,
}

impl<W> Compressible<W> {
    /// A plain wire.
    pub fn new(wire: W) -> Self {
        Self { state: State::Plain(wire) }
    }

    /// The wire itself, which carries nothing compressed.
    pub fn into_inner(self) -> W {
        match self.state {
            State::Plain(wire) => wire,
            State::Deflated(_) | State::Gone => panic!("the wire is compressed"),
        }
    }

    /// Compresses from here on.
    pub fn compress(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Plain(wire) => State::Deflated(Box::new(Deflated::new(wire))),
            other => other,
        };
    }

    /// What is sent next is this, which is compressed already.
    pub fn insert(&mut self, packed: &[u8]) {
        match &mut self.state {
            State::Deflated(wire) => wire.unsent.extend_from_slice(packed),
            State::Plain(_) | State::Gone => panic!("the wire is not compressed"),
        }
    }

    /// Compresses no more.
    pub fn end_compression(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Deflated(deflated) => {
                assert!(deflated.unread.is_empty(), "something was sent behind the answer");
                State::Plain(deflated.wire)
            }
            other => other,
        };
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for Compressible<W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Plain(wire) => Pin::new(wire).poll_read(cx, out),
            State::Deflated(wire) => Pin::new(wire).poll_read(cx, out),
            State::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Compressible<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().state {
            State::Plain(wire) => Pin::new(wire).poll_write(cx, bytes),
            State::Deflated(wire) => Pin::new(wire).poll_write(cx, bytes),
            State::Gone => Poll::Ready(Ok(0)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Plain(wire) => Pin::new(wire).poll_flush(cx),
            State::Deflated(wire) => Pin::new(wire).poll_flush(cx),
            State::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            State::Deflated(wire) => Pin::new(wire).poll_shutdown(cx),
            State::Gone => Poll::Ready(Ok(())),
        }
    }
}
