//! The one session loop under all line protocols: read or be rung or be stopped → `frame`, `handle`, `notice` → send.
//!
//! What must hold:
//! - Units of one connection are handled one after another. All that the client has pipelined is handled before one
//!   send (RFC 2920 §3.2), but never more than a page waits.
//! - What arrived in plain text before the answer to STARTTLS is thrown away (RFC 3207 §6; the injection of
//!   CVE-2011-0411), and the session forgets what it knew.
//! - Every wait ends: `patience` for the client, a limit for writes and handshakes, a deadline for a stop.
//! - The input is bounded: a session that can't make a unit of 128 KiB closes.
//! - Compressed input is inflated only as the session takes it: what little bytes inflate to meets the same bound.
//! - An idle session holds neither input nor output buffer, and no future of a handler (those are boxed while they run,
//!   so that the largest handler doesn't set the size of ten thousand idle tasks).
//! - A panic ends its own session only.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures_util::FutureExt;
use rustls::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::deflate::{Last, Packer, Unpacked, Unpacker};
use super::out::{Out, PAGE, Writer};
use super::stop::{Stop, Termination};
use super::stream::{Stream, TlsInfo};

/// How much input may wait for a unit to become whole, bytes.
pub const INPUT_LIMIT: usize = 128 * 1024;

/// How much is read at once while a message comes in, bytes.
const BUSY_READ: usize = 64 * 1024;

/// How long a running step may go on after its session was terminated.
const TERMINATION_GRACE: Duration = Duration::from_millis(500);

/// How long closing may take: sending the last words, and waiting for the client to close.
const CLOSING: Duration = Duration::from_secs(3);

/// How long closing may take at least, when the deadline of a stop is near.
const CLOSING_LEAST: Duration = Duration::from_millis(250);

/// How much a client may still send while we close, bytes.
const DRAIN: usize = 1024 * 1024;

/// What a protocol brings: its state, and how it answers. It never sees a socket.
///
/// A step (`greet`, `handle`, `notice`) that runs when its session is terminated, or when the deadline of a stop is
/// reached, is dropped at its next await: it must hold nothing that dropping would break.
pub trait Session: Send {
    /// What the framer makes of bytes: a command with its literals, a piece of a message.
    type Unit: Send;
    /// What can happen without the client: news of a mailbox. [`Infallible`] where nothing can.
    type Bell: Send;

    /// The first words.
    fn greet(&mut self, out: &mut Out<'_>) -> impl Future<Output = Next> + Send;

    /// Takes the next unit off the input; `None` when more bytes are needed. Never waits, and takes no more time than
    /// the new bytes are worth. It may also take bytes and keep them.
    fn frame(&mut self, input: &mut BytesMut) -> Option<Self::Unit>;

    /// Carries out a unit.
    fn handle(&mut self, unit: Self::Unit, out: &mut Out<'_>) -> impl Future<Output = Next> + Send;

    /// Waits for something that concerns this session. Dropped and called again at will, so it must be cancel-safe;
    /// `std::future::pending()` where there is nothing to wait for.
    fn bell(&mut self) -> impl Future<Output = Self::Bell> + Send;

    /// Tells the client what the bell rang for.
    fn notice(&mut self, bell: Self::Bell, out: &mut Out<'_>) -> impl Future<Output = Next> + Send;

    /// A TLS handshake is done: all knowledge obtained in plain text is forgotten (RFC 3207 §4.2), half a unit in the
    /// framer too. With TLS from the first byte it is called before `greet`.
    fn secured(&mut self, tls: &TlsInfo);

    /// The last words, when it is not the session's own wish to close.
    fn farewell(&mut self, why: Farewell, out: &mut Out<'_>);

    /// How long to wait for the client now, counted from its last unit.
    fn patience(&self) -> Duration;

    /// Whether a message is coming in: a stop lets it finish, and reads are larger.
    fn busy(&self) -> bool;
}

/// What a step leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next unit.
    Continue,
    /// Send the answer, then a TLS handshake.
    StartTls,
    /// Send the answer, then compress both directions (RFC 4978 §3).
    Compress,
    /// Send the answer, then compress no more (RFC 8437 §4.1).
    EndCompression,
    /// Send the answer, then close.
    Close,
}

/// Why a session is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The service stops.
    Shutdown,
    /// An administrator ended this session.
    Terminated,
    /// The client said nothing for too long.
    IdleTimeout,
    /// The client began something and didn't finish it in time.
    TooSlow,
    /// A command line, or whatever else must come in one piece, is too long.
    TooLong,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The session closed: the client took its leave, or was refused.
    #[error("closed")]
    Closed,
    /// The client closed without taking its leave.
    #[error("the client closed")]
    PeerClosed,
    /// The connection broke, or what came over it is not compressed as agreed.
    #[error("the connection broke")]
    PeerGone,
    /// The client did not read what was sent to it.
    #[error("the client doesn't read")]
    WriteTimeout,
    /// The TLS handshake failed, or TLS was never offered.
    #[error("no TLS")]
    NoTls,
    /// A bug in the session; it was logged.
    #[error("internal error")]
    Panicked,
    /// We sent the client away.
    #[error("sent away: {0:?}")]
    SentAway(Farewell),
}

/// TLS on this connection.
#[derive(Clone, Debug, Default)]
pub enum Tls {
    /// None.
    #[default]
    Off,
    /// When the session says [`Next::StartTls`].
    Offered(Arc<ServerConfig>),
    /// From the first byte (RFC 8314 §3).
    Implicit(Arc<ServerConfig>),
}

/// The terms of a conversation.
#[derive(Clone, Debug)]
pub struct Terms {
    /// TLS.
    pub tls: Tls,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long a write may take without a byte of progress.
    pub write: Duration,
    /// Ends all sessions of the service.
    pub stop: Stop,
    /// Ends this session.
    pub termination: Termination,
}

/// What became of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Why it ended.
    pub ended: Ended,
    /// Bytes from the client, after decryption and before decompression.
    pub bytes_in: u64,
    /// Bytes to the client, after compression and before encryption.
    pub bytes_out: u64,
}

/// Runs a session until its end. The connection is closed when this returns. Never panics: a panic in the session is
/// logged and reported.
pub async fn talk<S: Session>(session: &mut S, stream: Stream, terms: Terms) -> Report {
    let peer = stream.peer();
    let writer = Writer { stream, packer: None, patience: terms.write, sent: 0, broken: None, dirty: false };
    let mut talk = Talk {
        session,
        terms,
        writer,
        input: BytesMut::new(),
        unpacker: None,
        output: BytesMut::new(),
        received: 0,
        progress: Instant::now(),
    };
    let ended = match AssertUnwindSafe(talk.run()).catch_unwind().await {
        Ok(ended) => ended,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(%peer, panic = text, "a session panicked and was closed");
            Ended::Panicked
        }
    };
    Report { ended, bytes_in: talk.received, bytes_out: talk.writer.sent }
}

/// A step was dropped because its time was over.
struct CutOff;

/// What ended a wait.
enum Event<B> {
    /// Bytes came; none at the end of the input.
    Read(std::io::Result<usize>),
    Rung(B),
    /// A stop, or the end of the time it gave.
    Stop,
    Terminated,
    /// The client's time is over.
    TimeIsUp,
}

struct Talk<'a, S> {
    session: &'a mut S,
    terms: Terms,
    writer: Writer,
    input: BytesMut,
    /// Inflates what comes in.
    unpacker: Option<Box<Unpacker>>,
    output: BytesMut,
    received: u64,
    /// When the client last got something done; its patience counts from here.
    progress: Instant,
}

/// One step of the session, bounded by termination and stop; then what follows from it. A macro, as the step borrows
/// the session, the output and nothing else, which no method could promise.
macro_rules! step {
    ($talk:ident, $method:ident($($argument:expr),*)) => {{
        let mark = $talk.output.len();
        $talk.writer.dirty = false;
        let mut out = Out::new(&mut $talk.output, &mut $talk.writer);
        let work = Box::pin($talk.session.$method($($argument,)* &mut out));
        let outcome = bounded(&mut $talk.terms, work).await;
        $talk.follow(outcome, mark).await
    }};
}

impl<S: Session> Talk<'_, S> {
    async fn run(&mut self) -> Ended {
        let Err(ended) = self.rounds().await;
        if let Ended::SentAway(why) = ended
            && self.writer.broken.is_none()
        {
            self.session.farewell(why, &mut Out::new(&mut self.output, &mut self.writer));
        }
        self.close().await;
        ended
    }

    async fn rounds(&mut self) -> Result<Infallible, Ended> {
        if let Tls::Implicit(config) = &self.terms.tls {
            let config = config.clone();
            self.secure(&config).await?;
        }
        step!(self, greet())?;
        self.progress = Instant::now();
        loop {
            self.work_off().await?;
            self.flush().await?;
            match self.wait().await {
                Event::Read(Ok(1..)) => {}
                Event::Read(Ok(0)) => return Err(Ended::PeerClosed),
                Event::Read(Err(_)) => return Err(Ended::PeerGone),
                Event::Rung(bell) => step!(self, notice(bell))?,
                // `heed` knows what it means.
                Event::Stop => {}
                Event::Terminated => return Err(Ended::SentAway(Farewell::Terminated)),
                Event::TimeIsUp => return Err(Ended::SentAway(self.whose_time_is_up())),
            }
        }
    }

    /// Handles every unit that is in the input.
    async fn work_off(&mut self) -> Result<(), Ended> {
        loop {
            self.heed()?;
            let before = self.input.len();
            let Some(unit) = self.session.frame(&mut self.input) else {
                if self.input.len() < before {
                    self.progress = Instant::now();
                }
                if self.input.len() >= INPUT_LIMIT {
                    return Err(Ended::SentAway(Farewell::TooLong));
                }
                if self.unpack()? == Unpacked::Nothing {
                    return Ok(());
                }
                // Without a read between two steps nobody else would have a turn.
                tokio::task::yield_now().await;
                continue;
            };
            step!(self, handle(unit))?;
            self.progress = Instant::now();
        }
    }

    /// Inflates the next piece of what has come in, if the connection is compressed.
    fn unpack(&mut self) -> Result<Unpacked, Ended> {
        let Some(unpacker) = &mut self.unpacker else { return Ok(Unpacked::Nothing) };
        let unpacked = unpacker.step(&mut self.input).map_err(|error| {
            tracing::debug!(peer = %self.writer.stream.peer(), %error, "the connection ends");
            Ended::PeerGone
        })?;
        if unpacked == Unpacked::End
            && let Some(unpacker) = self.unpacker.take()
        {
            self.input = unpacker.into_rest();
        }
        Ok(unpacked)
    }

    /// Compresses both directions from here on. What the client has sent behind its command is compressed already.
    fn compress(&mut self) {
        self.writer.packer = Some(Packer::default());
        self.unpacker = Some(Box::new(Unpacker::new(std::mem::take(&mut self.input))));
    }

    /// Compresses no more: the stream to the client has ended with the answer, the client's ends with the command.
    fn end_compression(&mut self) {
        self.writer.packer = None;
        match &mut self.unpacker {
            // What was inflated behind the command was compressed where it must not be, or ended the stream with it.
            Some(unpacker) if unpacker.is_over() => {
                if let Some(unpacker) = self.unpacker.take() {
                    self.input.unsplit(unpacker.into_rest());
                }
            }
            Some(unpacker) => unpacker.end(),
            None => {}
        }
    }

    /// Looks whether it is time to go, between two units.
    fn heed(&self) -> Result<(), Ended> {
        if self.terms.termination.asked() {
            return Err(Ended::SentAway(Farewell::Terminated));
        }
        match self.terms.stop.asked() {
            Some(deadline) if !self.session.busy() || Instant::now() >= deadline => {
                Err(Ended::SentAway(Farewell::Shutdown))
            }
            _ => Ok(()),
        }
    }

    /// Does what a step wants to happen next.
    async fn follow(&mut self, outcome: Result<Next, CutOff>, mark: usize) -> Result<(), Ended> {
        let next = match outcome {
            Ok(next) => next,
            Err(CutOff) => {
                // Half an answer can't be followed by a farewell. Unsent, it is taken back; sent, we just close.
                self.output.truncate(mark);
                if self.writer.dirty {
                    self.output.clear();
                    self.writer.broken = Some(self.cut_off());
                }
                return Err(self.cut_off());
            }
        };
        if let Some(broken) = self.writer.broken {
            return Err(broken);
        }
        match next {
            Next::Continue if self.output.len() >= PAGE => self.flush().await,
            Next::Continue => Ok(()),
            Next::Close => {
                self.flush().await?;
                Err(Ended::Closed)
            }
            Next::Compress => {
                self.flush().await?;
                self.compress();
                Ok(())
            }
            Next::EndCompression => {
                self.flush_as(Last::Yes).await?;
                self.end_compression();
                Ok(())
            }
            Next::StartTls => {
                self.flush().await?;
                // Nothing was read since the answer went out, so all of this was sent before it.
                self.input = BytesMut::new();
                match &self.terms.tls {
                    Tls::Offered(config) => {
                        let config = config.clone();
                        self.secure(&config).await
                    }
                    Tls::Off | Tls::Implicit(_) => {
                        tracing::error!(peer = %self.writer.stream.peer(), "STARTTLS was accepted where it isn't offered");
                        Err(Ended::NoTls)
                    }
                }
            }
        }
    }

    async fn secure(&mut self, config: &Arc<ServerConfig>) -> Result<(), Ended> {
        let peer = self.writer.stream.peer();
        let handshake = self.writer.stream.start_tls(config, self.terms.handshake);
        // Neither a termination nor a stop waits for a handshake.
        let info = tokio::select! {
            biased;
            info = handshake => info,
            () = self.terms.termination.wait() => return Err(self.cut_off()),
            () = self.terms.stop.overdue() => return Err(self.cut_off()),
        };
        match info {
            Ok(info) => {
                self.session.secured(info);
                self.progress = Instant::now();
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "no TLS");
                Err(Ended::NoTls)
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        self.flush_as(Last::No).await
    }

    async fn flush_as(&mut self, last: Last) -> Result<(), Ended> {
        let outcome = bounded(&mut self.terms, self.writer.send_as(&mut self.output, last)).await;
        match (outcome, self.writer.broken) {
            (Ok(_), None) => Ok(()),
            (Ok(_), Some(broken)) => Err(broken),
            (Err(CutOff), _) => {
                self.output.clear();
                self.writer.broken = Some(self.cut_off());
                Err(self.cut_off())
            }
        }
    }

    fn cut_off(&self) -> Ended {
        Ended::SentAway(match self.terms.termination.asked() {
            true => Farewell::Terminated,
            false => Farewell::Shutdown,
        })
    }

    async fn wait(&mut self) -> Event<S::Bell> {
        // Nothing is kept for a client that may be silent for half an hour.
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.output = BytesMut::new();
        if let Some(packer) = &mut self.writer.packer {
            packer.rest();
        }
        let busy = self.session.busy();
        // A day stands for "for ever", and can be added to any instant.
        let patience = self.session.patience().min(Duration::from_secs(86_400));
        let until = self.progress + patience;
        let input = self.unpacker.as_mut().map_or(&mut self.input, |unpacker| unpacker.packed());
        let stop = &mut self.terms.stop;
        let stopped = async {
            match busy {
                true => stop.overdue().await,
                false => drop(stop.wait().await),
            }
        };
        let event = tokio::select! {
            biased;
            () = self.terms.termination.wait() => Event::Terminated,
            () = stopped => Event::Stop,
            read = read(&mut self.writer.stream, input, busy) => Event::Read(read),
            bell = self.session.bell() => Event::Rung(bell),
            () = tokio::time::sleep_until(until) => Event::TimeIsUp,
        };
        if let Event::Read(Ok(count)) = event {
            self.received += count as u64;
        }
        event
    }

    fn whose_time_is_up(&self) -> Farewell {
        if self.session.busy() || !self.input.is_empty() { Farewell::TooSlow } else { Farewell::IdleTimeout }
    }

    /// Sends the last words and closes, within bounds.
    async fn close(&mut self) {
        let now = Instant::now();
        let most = match self.terms.stop.asked() {
            Some(deadline) => deadline.saturating_duration_since(now).clamp(CLOSING_LEAST, CLOSING),
            None => CLOSING,
        };
        let closing = async {
            if self.writer.send(&mut self.output).await.is_ok() {
                self.writer.stream.close(DRAIN).await;
            }
        };
        if tokio::time::timeout_at(now + most, closing).await.is_err() {
            tracing::trace!(peer = %self.writer.stream.peer(), "the client didn't close in time");
        }
    }
}

/// Runs a piece of work until it is done, or its session was terminated or its service's time to stop is over.
async fn bounded<F: Future>(terms: &mut Terms, work: F) -> Result<F::Output, CutOff> {
    let terminated = async {
        terms.termination.wait().await;
        tokio::time::sleep(TERMINATION_GRACE).await;
    };
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = terminated => Err(CutOff),
        () = terms.stop.overdue() => Err(CutOff),
    }
}

/// Reads once. Cancel-safe: bytes that were taken are in `input`.
async fn read(stream: &mut Stream, input: &mut BytesMut, busy: bool) -> std::io::Result<usize> {
    if !busy {
        return stream.read_idle(input).await;
    }
    input.reserve(BUSY_READ);
    stream.read_buf(&mut input.limit(BUSY_READ)).await
}

#[cfg(test)]
mod tests;
