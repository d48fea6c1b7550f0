//! A session: its state, the order of commands, and the counting of errors.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::data::Incoming;
use super::screening::Screening;
use crate::control::SessionHandle;
use crate::control::config::{Config, Listener, ListenerMode};
use crate::db;
use crate::directory::{Authentication, Login};
use crate::intake::trace::Protocol;
use crate::intake::{Envelope, House};
use crate::net::limit::Guard;
use crate::net::out::Out;
use crate::net::stream::TlsInfo;
use crate::net::talk::{self, Farewell, Next};
use crate::smtp::framer::{AUTH_LINE, EXTENDED_LINE};
use crate::smtp::table::{COMMANDS, Row, State as Stage, Verb};
use crate::smtp::{Command, Frame, Framer, Reply, parse};

/// One connection's session.
pub(super) struct Session {
    pub(super) house: Arc<House>,
    pub(super) listener: Arc<Listener>,
    pub(super) handle: SessionHandle,
    /// Who has connected; who the client is, XCLIENT may have changed since.
    pub(super) connected: IpAddr,
    pub(super) guard: Guard,
    pub(super) framer: Framer,
    pub(super) tls: Option<TlsInfo>,
    /// Who has logged in; outlives EHLO, but not STARTTLS.
    pub(super) login: Option<Login>,
    pub(super) state: State,
    /// A chunk is coming in that belongs to no message; this is what will be said of it.
    pub(super) refused_chunk: Option<Reply>,
    /// Transactions begun.
    pub(super) transactions: u32,
    /// What is known of a client that has not logged in.
    pub(super) screening: Screening,
    pub(super) errors: u32,
    shown: &'static str,
}

/// How far the session has come, with what is known then.
#[derive(Default)]
pub(super) enum State {
    /// No EHLO yet.
    #[default]
    Connected,
    /// Between messages.
    Greeted(Hello),
    /// Within AUTH.
    Authenticating(Hello, Box<Authentication>),
    /// MAIL was accepted.
    Open(Hello, Box<Envelope>),
    /// DATA was accepted, or a BDAT.
    Receiving(Hello, Box<Envelope>, Box<Incoming>),
}

/// What the client said with EHLO, HELO or LHLO.
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) well_formed: bool,
    pub(super) protocol: Protocol,
}

/// A reply, and what follows it; none where the reply comes later.
pub(super) struct Answer(pub(super) Option<Reply>, pub(super) Next);

impl Answer {
    /// The last words.
    pub(super) fn last(reply: Reply) -> Self {
        Self(Some(reply), Next::Close)
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self(Some(reply), Next::Continue)
    }
}

impl State {
    /// The stage that the order of commands depends on.
    fn stage(&self) -> Stage {
        match self {
            State::Connected => Stage::Connected,
            State::Greeted(_) | State::Authenticating(..) => Stage::Greeted,
            State::Open(_, envelope) if envelope.recipients.is_empty() => Stage::Sender,
            State::Open(..) => Stage::Recipients,
            State::Receiving(..) => Stage::Chunks,
        }
    }

    /// Back to between two messages, whatever was under way.
    pub(super) fn reset(&mut self) {
        *self = match std::mem::take(self) {
            State::Connected => State::Connected,
            State::Greeted(hello)
            | State::Authenticating(hello, _)
            | State::Open(hello, _)
            | State::Receiving(hello, ..) => State::Greeted(hello),
        };
    }
}

impl Session {
    pub(super) fn new(
        house: Arc<House>,
        listener: Arc<Listener>,
        handle: SessionHandle,
        guard: Guard,
    ) -> Self {
        let mut session = Self {
            house,
            listener,
            connected: handle.peer().ip(),
            handle,
            guard,
            framer: Framer::new(EXTENDED_LINE),
            tls: None,
            login: None,
            state: State::Connected,
            refused_chunk: None,
            transactions: 0,
            screening: Screening::default(),
            errors: 0,
            shown: "connected",
        };
        session.fit_lines();
        session
    }

    /// AUTH may bring long lines, as long as nobody has logged in (RFC 4954 §4).
    pub(super) fn fit_lines(&mut self) {
        let may_log_in = self.listener.mode == ListenerMode::Submission && self.login.is_none();
        self.framer.set_line_limit(if may_log_in { AUTH_LINE } else { EXTENDED_LINE });
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.house.control.config()
    }

    pub(super) fn peer(&self) -> IpAddr {
        self.handle.peer().ip()
    }

    pub(super) fn is_lmtp(&self) -> bool {
        self.listener.mode == ListenerMode::Lmtp
    }

    /// Shows in `live.session` what the session does, when that has changed.
    pub(super) fn show(&mut self, state: &'static str) {
        if self.shown != state {
            self.shown = state;
            self.handle.state(state);
        }
    }

    /// Writes an answer; a client with too many errors is sent away.
    pub(super) fn answer(&mut self, Answer(reply, next): Answer, out: &mut Out<'_>) -> Next {
        let Some(reply) = reply else { return next };
        reply.write(out.buffer());
        if reply.code() < 500 || next != Next::Continue {
            return next;
        }
        self.errors += 1;
        if self.errors < self.config().smtp.max_errors {
            return next;
        }
        Reply::new(421, (4, 7, 0), "Too many errors, closing connection").write(out.buffer());
        Next::Close
    }

    async fn line(&mut self, line: &[u8], out: &mut Out<'_>) -> Next {
        let answer = match &self.state {
            State::Authenticating(..) => Box::pin(self.auth_response(line)).await,
            _ => match parse(line) {
                Ok(command) => self.command(command).await,
                Err(bad) if bad.loses_sync() => Answer::last(bad.reply()),
                Err(bad) => bad.reply().into(),
            },
        };
        self.hesitate(&answer).await;
        self.answer(answer, out)
    }

    async fn command(&mut self, command: Command<'_>) -> Answer {
        let Some(row) = row_of(&command) else { return Reply::unknown_command().into() };
        if let Err(reply) = self.is_spoken_here(row.verb) {
            return reply.into();
        }
        if !row.legal.contains(self.state.stage()) {
            return self.out_of_order(&command);
        }
        match command {
            Command::Ehlo(helo) => self.hello(helo, Protocol::Esmtp),
            Command::Helo(helo) => self.hello(helo, Protocol::Smtp),
            Command::Lhlo(helo) => self.hello(helo, Protocol::Lmtp),
            Command::StartTls => self.start_tls(),
            Command::Auth(auth) => Box::pin(self.auth(auth)).await,
            Command::Mail(mail) => self.mail(mail).await,
            Command::Rcpt(rcpt) => self.rcpt(rcpt).await,
            Command::Data => self.data().await.into(),
            Command::Bdat(chunk) => self.chunk(chunk).await,
            Command::Rset => {
                self.state.reset();
                self.show("ready");
                Reply::ok().into()
            }
            Command::Noop => Reply::ok().into(),
            Command::Quit => Answer::last(Reply::closing()),
            Command::Help(_) => self.help().into(),
            Command::Vrfy(query) => Box::pin(self.vrfy(query.text)).await.into(),
            Command::Expn(query) => Box::pin(self.expn(query.text)).await.into(),
            Command::Etrn(name) => Box::pin(self.etrn(name)).await.into(),
            Command::Xclient(told) => Box::pin(self.xclient(told)).await,
            Command::Unknown(_) => Reply::unknown_command().into(),
        }
    }

    /// Which commands exist on this listener.
    pub(super) fn is_spoken_here(&self, verb: Verb) -> Result<(), Reply> {
        match verb {
            // RFC 2033 §4.1: LMTP has neither HELO nor EHLO, and SMTP has no LHLO.
            Verb::Ehlo | Verb::Helo if self.is_lmtp() => Err(Reply::unknown_command()),
            Verb::Lhlo if !self.is_lmtp() => Err(Reply::unknown_command()),
            Verb::Auth if self.listener.mode != ListenerMode::Submission => Err(Reply::not_implemented()),
            Verb::StartTls if !self.has_starttls() => Err(Reply::not_implemented()),
            Verb::Expn if !self.config().smtp.expn => Err(Reply::not_implemented()),
            Verb::Etrn if !self.config().smtp.etrn => Err(Reply::not_implemented()),
            Verb::Xclient if !self.hears_xclient(&self.config()) => Err(Reply::unknown_command()),
            _ => Ok(()),
        }
    }

    fn out_of_order(&mut self, command: &Command<'_>) -> Answer {
        let stage = self.state.stage();
        let reply = match (command, stage) {
            (_, Stage::Connected) if self.is_lmtp() => Reply::bad_sequence("Say LHLO first"),
            (_, Stage::Connected) => Reply::bad_sequence("Say EHLO first"),
            (Command::Mail(_), _) => Reply::bad_sequence("A sender was given already; RSET begins anew"),
            // RFC 5321 §3.3 and RFC 2033 §4.2 differ here.
            (Command::Data | Command::Bdat(_), Stage::Sender) if !self.is_lmtp() => Reply::no_recipients(),
            (Command::Data | Command::Bdat(_), Stage::Sender) => {
                Reply::bad_sequence("No recipient was accepted")
            }
            (Command::Rcpt(_) | Command::Data | Command::Bdat(_), Stage::Greeted) => {
                Reply::bad_sequence("MAIL comes first")
            }
            (_, Stage::Chunks) => Reply::bad_sequence("A message is under way with BDAT"),
            _ => Reply::bad_sequence("Not within a transaction"),
        };
        match command {
            // The octets of a chunk come in any case, and are no commands.
            Command::Bdat(chunk) => self.refuse_chunk(chunk.octets, reply),
            _ => reply.into(),
        }
    }

    fn help(&self) -> Reply {
        let names: Vec<&str> =
            COMMANDS.iter().filter(|row| self.is_spoken_here(row.verb).is_ok()).map(|row| row.name).collect();
        Reply::new(214, (2, 0, 0), format!("Commands: {}", names.join(" ")))
    }
}

/// The table's row of a command.
fn row_of(command: &Command<'_>) -> Option<&'static Row> {
    let verb = match command {
        Command::Ehlo(_) => Verb::Ehlo,
        Command::Helo(_) => Verb::Helo,
        Command::Lhlo(_) => Verb::Lhlo,
        Command::Mail(_) => Verb::Mail,
        Command::Rcpt(_) => Verb::Rcpt,
        Command::Data => Verb::Data,
        Command::Bdat(_) => Verb::Bdat,
        Command::Rset => Verb::Rset,
        Command::Noop => Verb::Noop,
        Command::Quit => Verb::Quit,
        Command::Help(_) => Verb::Help,
        Command::Vrfy(_) => Verb::Vrfy,
        Command::Expn(_) => Verb::Expn,
        Command::Etrn(_) => Verb::Etrn,
        Command::Auth(_) => Verb::Auth,
        Command::StartTls => Verb::StartTls,
        Command::Xclient(_) => Verb::Xclient,
        Command::Unknown(_) => return None,
    };
    COMMANDS.iter().find(|row| row.verb == verb)
}

/// What a client is told when the database can't be asked.
pub(super) fn temporary(error: &db::Error) -> Reply {
    if error.is_unavailable() {
        Reply::local_error("The message store is not available, try again later")
    } else {
        tracing::error!(%error, "smtp");
        Reply::local_error("Internal error, try again later")
    }
}

impl talk::Session for Session {
    type Unit = Frame;
    type Bell = std::convert::Infallible;

    async fn greet(&mut self, out: &mut Out<'_>) -> Next {
        if let Err(refusal) = self.screen_connection() {
            return self.answer(refusal, out);
        }
        let words = if self.is_lmtp() { "LMTP Mailwright" } else { "ESMTP Mailwright" };
        Reply::greeting(self.config().hostname(), words).write(out.buffer());
        Next::Continue
    }

    fn frame(&mut self, input: &mut BytesMut) -> Option<Frame> {
        match self.framer.next(input) {
            Frame::More => None,
            frame => Some(frame),
        }
    }

    async fn handle(&mut self, frame: Frame, out: &mut Out<'_>) -> Next {
        match frame {
            Frame::More => Next::Continue,
            Frame::Data(bytes) => match self.take(&bytes).await {
                Ok(()) => Next::Continue,
                Err(last_words) => self.answer(Answer::last(last_words), out),
            },
            Frame::DataEnd(end) => self.data_end(end, out).await,
            Frame::ChunkEnd => self.chunk_end(out).await,
            Frame::Line(line) => self.line(&line, out).await,
            Frame::TooLong => {
                self.give_up_auth();
                self.answer(Reply::line_too_long().into(), out)
            }
            Frame::BareLf => {
                self.give_up_auth();
                self.answer(Reply::bare_lf().into(), out)
            }
        }
    }

    async fn bell(&mut self) -> Self::Bell {
        std::future::pending().await
    }

    async fn notice(&mut self, bell: Self::Bell, _: &mut Out<'_>) -> Next {
        match bell {}
    }

    fn secured(&mut self, tls: &TlsInfo) {
        self.handle.tls(format!("{} {}", tls.version, tls.cipher));
        self.tls = Some(tls.clone());
        // RFC 3207 §4.2: what was said in plain text counts no more.
        self.state = State::Connected;
        self.framer.reset();
        if self.login.take().is_some() {
            self.guard.logout();
            self.handle.logout();
        }
        self.fit_lines();
    }

    fn farewell(&mut self, why: Farewell, out: &mut Out<'_>) {
        let config = self.config();
        let host = config.hostname();
        let reply = match why {
            Farewell::Shutdown => Reply::service_closing(format!("{host} is stopping, try again later")),
            Farewell::Terminated => Reply::service_closing(format!("{host} closes this session")),
            Farewell::IdleTimeout => Reply::timeout(),
            Farewell::TooSlow => Reply::new(421, (4, 4, 2), "Too slow, closing connection"),
            Farewell::TooLong => Reply::new(421, (4, 7, 0), "Too much input, closing connection"),
        };
        reply.write(out.buffer());
    }

    fn patience(&self) -> Duration {
        let config = self.config();
        match &self.state {
            State::Receiving(_, _, incoming) => {
                let silence = Duration::from_secs(u64::from(config.smtp.data_timeout_seconds));
                silence.min(incoming.time_left())
            }
            _ => Duration::from_secs(u64::from(config.smtp.command_timeout_seconds)),
        }
    }

    fn busy(&self) -> bool {
        self.refused_chunk.is_some() || matches!(self.state, State::Receiving(..))
    }
}
