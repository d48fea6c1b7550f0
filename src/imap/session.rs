//! An IMAP connection: its state, and how a frame becomes an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::answer::{Done, Fail, Outcome, OwnedCode};
use super::cmd::append::Receiving;
use super::cmd::capability::{Link, announce, is_hidden};
use super::cmd::enable::{Enabled, Extension};
use super::cmd::{Command, Context, Request, parse};
use super::language::Language;
use super::selected::{Look, Mode, Selected, SendModSeq, Wants};
use super::table::{Expunges, Privacy, Row, States};
use super::watch::Listening;
use super::wire::code::{Code, Condition};
use super::wire::framer::{Frame, Framer, Limits};
use super::wire::name::NameCoding;
use super::wire::parser::Charsets;
use super::wire::reply;
use super::wire::unit::{Tag, Unit};
use crate::control::SessionHandle;
use crate::control::config::{Config, Listener, TlsMode};
use crate::directory::{Authentication, Login, Visitor};
use crate::intake::House;
use crate::net::limit::Guard;
use crate::net::out::Out;
use crate::net::stream::TlsInfo;
use crate::net::talk::{Farewell, Next, Session as TalkSession};
use crate::sasl::{Binding, Tokens};

/// Where the connection is (RFC 3501 §3).
pub(super) enum State {
    NotAuthenticated,
    Authenticated(Login),
    Selected(Login, Box<Selected>),
    Logout,
}

/// Whether there was a mailbox to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unselected {
    /// There was.
    Mailbox,
    /// None was selected.
    Nothing,
}

/// What the next frame is for.
pub(super) enum Turn {
    /// A command.
    Command,
    /// An answer to a challenge of AUTHENTICATE.
    Sasl(Tag, Box<Authentication>),
    /// DONE.
    Idle(Tag),
    /// A message of APPEND or REPLACE, or what follows one.
    Append(Box<Receiving>),
}

/// Whether the connection is compressed (RFC 4978).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// It is not.
    Off,
    /// From the end of the answer on.
    Begins,
    /// It is.
    Active,
    /// To the end of the answer.
    Ends,
}

/// What can happen without the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// News of the selected mailbox.
    Selected,
    /// News of mailboxes that NOTIFY watches.
    Watched,
}

/// An IMAP connection.
pub struct Session {
    pub(super) house: Arc<House>,
    pub(super) handle: SessionHandle,
    pub(super) guard: Guard,
    pub(super) state: State,
    pub(super) turn: Turn,
    pub(super) framer: Framer,
    pub(super) tls: Option<TlsInfo>,
    pub(super) enabled: Enabled,
    pub(super) compression: Compression,
    /// What people are spoken to in.
    pub(super) language: Language,
    /// What the client says it is: name and version.
    pub(super) client: String,
    /// What it wants to be told unasked.
    pub(super) listening: Listening,
    starttls: bool,
    /// STARTTLS was accepted: the handshake comes next.
    handshake_due: bool,
    errors: u32,
    /// When the time to log in began to run.
    began: Instant,
}

impl Session {
    /// A connection that has just been made.
    pub fn new(house: Arc<House>, listener: &Listener, handle: SessionHandle, guard: Guard) -> Self {
        Self {
            house,
            handle,
            guard,
            state: State::NotAuthenticated,
            turn: Turn::Command,
            framer: Framer::new(Limits::before_login()),
            tls: None,
            enabled: Enabled::default(),
            compression: Compression::Off,
            language: Language::default(),
            client: String::new(),
            listening: Listening::default(),
            starttls: listener.tls == TlsMode::Starttls,
            handshake_due: false,
            errors: 0,
            began: Instant::now(),
        }
    }

    /// The settings as they are now.
    pub(super) fn config(&self) -> Arc<Config> {
        self.house.control.config()
    }

    /// Who has logged in.
    pub(super) fn login(&self) -> Result<&Login, Fail> {
        match &self.state {
            State::Authenticated(login) | State::Selected(login, _) => Ok(login),
            State::NotAuthenticated | State::Logout => Err(Fail::bad("log in first")),
        }
    }

    /// The selected mailbox.
    pub(super) fn selected(&mut self) -> Result<&mut Selected, Fail> {
        match &mut self.state {
            State::Selected(_, selected) => Ok(selected),
            _ => Err(Fail::bad("select a mailbox first")),
        }
    }

    /// Login, selected mailbox and house at once, for commands that need all three.
    pub(super) fn at_work(&mut self) -> Result<(Arc<House>, &Login, &mut Selected), Fail> {
        match &mut self.state {
            State::Selected(login, selected) => Ok((self.house.clone(), login, selected)),
            _ => Err(Fail::bad("select a mailbox first")),
        }
    }

    /// How mailbox names are written.
    pub(super) fn coding(&self) -> NameCoding {
        let utf8 = self.enabled.has(Extension::Utf8Accept) || self.enabled.has(Extension::Rev2);
        if utf8 { NameCoding::Utf8 } else { NameCoding::ModifiedUtf7 }
    }

    /// Which charsets the client may name.
    fn charsets(&self) -> Charsets {
        if self.enabled.has(Extension::Utf8Accept) { Charsets::None } else { Charsets::Any }
    }

    /// From here on the client is told MODSEQ (RFC 7162 §3.1.8).
    pub(super) fn enable_condstore(&mut self) {
        self.enable(Extension::CondStore);
    }

    /// The client has enabled an extension.
    pub(super) fn enable(&mut self, extension: Extension) {
        // RFC 7162 §3.2.3: QRESYNC is CONDSTORE and more.
        let knows_modseq = matches!(extension, Extension::CondStore | Extension::QResync);
        let first = knows_modseq && !self.enabled.has(Extension::CondStore);
        if knows_modseq {
            self.enabled.add(Extension::CondStore);
        }
        self.enabled.add(extension);
        if let State::Selected(_, selected) = &mut self.state {
            selected.enabled = self.enabled;
            // RFC 7162 §3.1: whoever shows it with a mailbox selected is told where that stands.
            if first {
                selected.owe_modseq();
            }
        }
    }

    /// Whether flags are sent with MODSEQ.
    pub(super) fn modseq(&self) -> SendModSeq {
        if self.enabled.has(Extension::CondStore) { SendModSeq::Yes } else { SendModSeq::No }
    }

    /// Octets of the largest message that this client may store (RFC 7889): the server's limit, or its account's where
    /// that is lower.
    pub(super) fn append_limit(&self) -> u64 {
        let own = self.login().map_or(u64::MAX, |login| login.max_message);
        own.min(self.config().smtp.max_message_bytes)
    }

    pub(super) fn visitor(&self) -> Visitor {
        Visitor { peer: self.handle.peer().ip(), service: "imap" }
    }

    /// Whether a password may travel: under TLS, or where the setting does without.
    pub(super) fn private(&self) -> bool {
        self.tls.is_some() || !self.config().imap.require_tls_for_login
    }

    pub(super) fn binding(&self) -> Binding {
        self.tls.as_ref().map_or_else(Binding::none, |tls| Binding {
            tls_exporter: tls.exporter,
            tls_server_end_point: tls.server_end_point.clone(),
        })
    }

    /// What is announced now.
    pub(super) fn capabilities(&self) -> String {
        let link = match (&self.state, &self.tls) {
            (State::Authenticated(_) | State::Selected(..), _) => {
                Link::LoggedIn { append_limit: self.append_limit() }
            }
            (_, Some(_)) => Link::Tls {
                channel_binding: !self.binding().is_none(),
                tokens: self.config().tokens() == Tokens::Accepted,
            },
            (_, None) => Link::Clear { starttls: self.starttls, passwords: self.private() },
        };
        announce(link, |name| self.is_announced(name))
    }

    /// Whether a capability is announced where others like it are: whether there is a use for it, and no administrator hides
    /// it from this client or account.
    pub(super) fn is_announced(&self, name: &str) -> bool {
        let login = self.login().ok();
        let has_use = match name {
            "COMPRESS=DEFLATE" => matches!(self.compression, Compression::Off | Compression::Ends),
            // RFC 9208 §3.2: where SETQUOTA can succeed.
            "QUOTASET" => login.is_some_and(|login| login.manages_domain),
            _ => true,
        };
        let account = login.map(|login| login.account.0);
        has_use && !is_hidden(&self.config().imap_capabilities, name, &self.client, account)
    }

    /// The session becomes this account's.
    pub(super) fn become_user(&mut self, login: Login) -> Outcome {
        let config = self.config();
        let max = config.service("imap").map_or(0, |service| service.max_connections_per_account);
        if let Err(refusal) = self.guard.login(login.account.0, (max > 0).then_some(max)) {
            tracing::info!(%refusal, "login refused");
            return Err(Fail::no(Code::Limit, "this account has too many connections"));
        }
        self.handle.login(login.account.0, &login.address);
        self.handle.state("logged in");
        self.framer.set_limits(Limits::default());
        self.state = State::Authenticated(login);
        Ok(Done::with(OwnedCode::Capability(self.capabilities()), "logged in"))
    }

    fn states(&self) -> States {
        match self.state {
            State::NotAuthenticated | State::Logout => States::NOT_AUTHENTICATED,
            State::Authenticated(_) => States::AUTHENTICATED,
            State::Selected(..) => States::SELECTED,
        }
    }

    async fn command(&mut self, unit: &Unit, out: &mut Out<'_>) -> Next {
        let context = Context { state: self.states(), coding: self.coding(), charsets: self.charsets() };
        let request = match parse(unit, context) {
            Ok(request) => request,
            Err(rejected) => {
                if unit.pending().is_some() {
                    self.framer.refuse();
                }
                reply::rejected(&mut out.buffer(), &rejected);
                return self.mistake(out);
            }
        };
        let Request { tag, row, command } = request;
        let by_sequence = command.names_sequence_numbers();
        if self.enabled.has(Extension::UidOnly) && (by_sequence || row.by_sequence()) {
            if unit.pending().is_some() {
                self.framer.refuse();
            }
            let fail = Fail::BadWith(Code::UidRequired, "UIDONLY is enabled: use the UID form".into());
            return self.finish(&tag, Expunges::Held, Err(fail), out).await;
        }
        // RFC 7162 §3.2.10.2: not during UID SEARCH either, where the keys contain sequence numbers.
        let expunges = if by_sequence { Expunges::Held } else { row.expunges };
        let outcome = self.run(&tag, row, command, out).await;
        self.finish(&tag, expunges, outcome, out).await
    }

    async fn run(
        &mut self,
        tag: &Tag,
        row: &'static Row,
        command: Command,
        out: &mut Out<'_>,
    ) -> Result<Option<Done>, Fail> {
        if row.privacy == Privacy::Password && !self.private() {
            return Err(Fail::no(Code::PrivacyRequired, "this needs TLS: use STARTTLS or port 993 first"));
        }
        // News first: what another session has just done is part of what this command sees.
        let look = if matches!(command, Command::Noop | Command::Check | Command::Idle) {
            Look::Always
        } else {
            Look::IfMarked
        };
        let (house, mode) = (self.house.clone(), Mode { modseq: self.modseq(), known: None });
        if let State::Selected(login, selected) = &mut self.state {
            selected.renew_rights(&house, login.account).await?;
            if matches!(command, Command::Store(_)) {
                selected.begin();
            }
            selected.look(&house, look).await?;
            selected.announce(&house, out, Expunges::Held, mode).await?;
        }
        self.show_arrived(out).await?;
        let done = match command {
            Command::Capability => {
                reply::Line::untagged(&mut out.buffer()).raw("CAPABILITY ").text(&self.capabilities());
                Done::ok("done")
            }
            Command::Noop | Command::Check => Done::ok("done"),
            Command::Logout => {
                self.bye(None, "good bye", out);
                self.state = State::Logout;
                Done::ok("logged out")
            }
            Command::StartTls => return self.start_tls().map(Some),
            Command::Idle => {
                reply::continuation(&mut out.buffer(), "idling");
                self.framer.expect_line();
                self.handle.state("idle");
                self.turn = Turn::Idle(tag.clone());
                return Ok(None);
            }
            Command::Authenticate(c) => return c.run(tag, self, out).await,
            Command::Append(c) => return c.run(tag, self, out).await,
            Command::Replace(c) => return c.run(tag, self, out).await,
            Command::GenUrlAuth(c) => c.run(self, out).await?,
            Command::UrlFetch(c) => c.run(self, out).await?,
            Command::ResetKey(c) => c.run(self).await?,
            Command::Login(c) => c.run(self).await?,
            Command::Id(c) => c.run(self, out),
            Command::Enable(c) => c.run(self, out),
            Command::Select(c) => c.run(self, out).await?,
            Command::Create(c) => c.run(self, out).await?,
            Command::Delete(c) => c.run(self, out).await?,
            Command::Rename(c) => c.run(self, out).await?,
            Command::Subscribe(c) => c.run(self).await?,
            Command::Unsubscribe(c) => c.run(self).await?,
            Command::SetAcl(c) => c.run(self).await?,
            Command::DeleteAcl(c) => c.run(self).await?,
            Command::GetAcl(c) => c.run(self, out).await?,
            Command::ListRights(c) => c.run(self, out).await?,
            Command::MyRights(c) => c.run(self, out).await?,
            Command::GetMetadata(c) => c.run(self, out).await?,
            Command::SetMetadata(c) => c.run(self).await?,
            Command::List(c) => c.run(self, out).await?,
            Command::Lsub(c) => c.run(self, out).await?,
            Command::Namespace => super::cmd::list::namespace(out),
            Command::Status(c) => c.run(self, out).await?,
            Command::Close => super::cmd::expunge::close(self).await?,
            Command::Unselect => {
                self.unselect();
                Done::ok("done")
            }
            Command::Expunge(c) => c.run(tag, self, out).await?,
            Command::Search(c) => c.run(tag, self, out).await?,
            Command::Fetch(c) => c.run(self, out).await?,
            Command::Store(c) => c.run(tag, self, out).await?,
            Command::Copy(c) => c.run(tag, self, out).await?,
            Command::Move(c) => c.run(tag, self, out).await?,
            Command::Compress(c) => c.run(self)?,
            Command::Language(c) => c.run(self, out)?,
            Command::Unauthenticate => super::cmd::unauthenticate::run(self)?,
            Command::GetQuota(c) => c.run(self, out).await?,
            Command::GetQuotaRoot(c) => c.run(self, out).await?,
            Command::SetQuota(c) => c.run(self, out).await?,
            Command::Sort(c) => c.run(tag, self, out).await?,
            Command::Thread(c) => c.run(tag, self, out).await?,
            Command::Esearch(c) => c.run(tag, self, out).await?,
            Command::CancelUpdate(c) => c.run(self)?,
            Command::Notify(c) => c.run(self, out).await?,
        };
        Ok(Some(done))
    }

    /// Says BYE.
    fn bye(&self, code: Option<Code<'_>>, text: &str, out: &mut Out<'_>) {
        reply::untagged(&mut out.buffer(), Condition::Bye, code, &self.language.say(text));
    }

    /// Nobody is logged in any more (RFC 8437 §3, §4.1): all that a login brought with it is as it was before, compression
    /// ends with the answer, and the time to log in begins anew. What the client says it is, and what it got wrong, stays.
    pub(super) fn forget_user(&mut self) {
        self.state = State::NotAuthenticated;
        self.enabled = Enabled::default();
        self.listening = Listening::default();
        self.language = Language::default();
        self.framer.set_limits(Limits::before_login());
        self.began = Instant::now();
        self.guard.logout();
        self.handle.logout();
        self.handle.state("connected");
        if self.compression == Compression::Active {
            self.compression = Compression::Ends;
        }
    }

    /// Leaves the selected mailbox, if there is one.
    pub(super) fn unselect(&mut self) -> Unselected {
        let (state, unselected) = match std::mem::replace(&mut self.state, State::Logout) {
            State::Selected(login, _) => (State::Authenticated(login), Unselected::Mailbox),
            other => (other, Unselected::Nothing),
        };
        self.state = state;
        unselected
    }

    /// Enters a mailbox; any selected before is left.
    pub(super) fn select(&mut self, mut selected: Selected) {
        selected.enabled = self.enabled;
        selected.wants = self.listening.wants();
        self.state = match std::mem::replace(&mut self.state, State::Logout) {
            State::Authenticated(login) | State::Selected(login, _) => {
                State::Selected(login, Box::new(selected))
            }
            other => other,
        };
    }

    /// The end of a command: what has changed, as far as it may be told, then the tagged response.
    pub(super) async fn finish(
        &mut self,
        tag: &Tag,
        expunges: Expunges,
        outcome: Result<Option<Done>, Fail>,
        out: &mut Out<'_>,
    ) -> Next {
        let outcome = match outcome {
            Ok(None) => return Next::Continue,
            Ok(Some(done)) => match self.announce(expunges, out).await {
                // The command is done, whatever becomes of the news: the next one brings it.
                Ok(()) | Err(Fail::Database(_)) => Ok(done),
                Err(fail) => Err(fail),
            },
            Err(fail) => Err(fail),
        };
        let modseq = self.end_command();
        match outcome {
            Ok(done) => {
                let done = match modseq {
                    Some(modseq) if !done.has_code() => done.coded(OwnedCode::Plain(modseq)),
                    Some(modseq) => {
                        untagged_modseq(modseq, out);
                        done
                    }
                    None => done,
                };
                done.write(tag, self.language, out);
                match self.state {
                    State::Logout => Next::Close,
                    _ if self.handshake_due => Next::StartTls,
                    _ => self.compress(),
                }
            }
            Err(Fail::Gone) => Next::Close,
            Err(Fail::Bye(text)) => {
                self.bye(None, &text, out);
                Next::Close
            }
            Err(fail) => {
                if let Some(modseq) = modseq {
                    untagged_modseq(modseq, out);
                }
                fail.write(tag, self.language, out);
                if matches!(fail, Fail::Bad(_) | Fail::BadWith(..)) {
                    self.mistake(out)
                } else {
                    Next::Continue
                }
            }
        }
    }

    /// What a command wants to become of the compression, once it is answered.
    fn compress(&mut self) -> Next {
        let (next, then) = match self.compression {
            Compression::Begins => (Next::Compress, Compression::Active),
            Compression::Ends => (Next::EndCompression, Compression::Off),
            unchanged => (Next::Continue, unchanged),
        };
        self.compression = then;
        next
    }

    async fn announce(&mut self, expunges: Expunges, out: &mut Out<'_>) -> Result<(), Fail> {
        let (house, mode) = (self.house.clone(), Mode { modseq: self.modseq(), known: None });
        match &mut self.state {
            State::Selected(login, selected) if !selected.is_fresh() => {
                if matches!(self.turn, Turn::Idle(_)) {
                    selected.renew_rights(&house, login.account).await?;
                }
                selected.look(&house, Look::IfMarked).await?;
                selected.announce(&house, out, expunges, mode).await?;
            }
            _ => return Ok(()),
        }
        self.show_arrived(out).await
    }

    /// Shows what NOTIFY wants to see of new messages, once they are announced.
    async fn show_arrived(&mut self, out: &mut Out<'_>) -> Result<(), Fail> {
        let State::Selected(_, selected) = &mut self.state else { return Ok(()) };
        let Some(items) = self.listening.items() else { return Ok(()) };
        let (items, uids) = (items.to_vec(), selected.take_arrived());
        if uids.is_empty() {
            return Ok(());
        }
        super::cmd::fetch::show(items, &uids, self, out).await
    }

    /// A command is over: what its answer is to say of modseqs.
    fn end_command(&mut self) -> Option<Code<'static>> {
        match &mut self.state {
            State::Selected(_, selected) => selected.end().map(Code::HighestModSeq),
            _ => None,
        }
    }

    fn start_tls(&mut self) -> Outcome {
        if self.tls.is_some() {
            return Err(Fail::bad("TLS is active already"));
        }
        if !self.starttls {
            return Err(Fail::No(None, "STARTTLS is not offered here".into()));
        }
        self.handshake_due = true;
        Ok(Done::ok("begin TLS now"))
    }

    /// How much time is left to log in, whatever the client does meanwhile.
    fn time_to_log_in(&self) -> Duration {
        let most = self.config().imap.login_timeout_seconds;
        Duration::from_secs(most.into()).saturating_sub(self.began.elapsed())
    }

    /// A mistake is counted; too many end the connection.
    fn mistake(&mut self, out: &mut Out<'_>) -> Next {
        self.errors += 1;
        if self.errors < self.config().imap.max_errors {
            return Next::Continue;
        }
        self.bye(None, "too many mistakes", out);
        Next::Close
    }

    async fn line(&mut self, line: &[u8], out: &mut Out<'_>) -> Next {
        match std::mem::replace(&mut self.turn, Turn::Command) {
            Turn::Sasl(tag, authentication) => {
                let outcome = super::cmd::authenticate::go_on(&tag, self, authentication, line, out).await;
                self.finish(&tag, Expunges::Sent, outcome, out).await
            }
            Turn::Idle(tag) => {
                let outcome = if line.eq_ignore_ascii_case(b"DONE") {
                    Ok(Some(Done::ok("done idling")))
                } else {
                    Err(Fail::bad("expected DONE"))
                };
                self.handle.state("logged in");
                self.finish(&tag, Expunges::Sent, outcome, out).await
            }
            Turn::Command | Turn::Append(_) => Next::Close,
        }
    }
}

fn untagged_modseq(modseq: Code<'_>, out: &mut Out<'_>) {
    let text = "up to here everything has been told";
    reply::untagged(&mut out.buffer(), Condition::Ok, Some(modseq), text);
}

impl TalkSession for Session {
    type Unit = Frame;
    type Bell = Ring;

    async fn greet(&mut self, out: &mut Out<'_>) -> Next {
        let (capabilities, host) = (self.capabilities(), self.config().hostname().to_owned());
        let text = format!("{host} Mailwright ready");
        reply::untagged(&mut out.buffer(), Condition::Ok, Some(Code::Capability(&capabilities)), &text);
        Next::Continue
    }

    fn frame(&mut self, input: &mut BytesMut) -> Option<Frame> {
        match self.framer.next(input) {
            Frame::NeedMore => None,
            frame => Some(frame),
        }
    }

    async fn handle(&mut self, frame: Frame, out: &mut Out<'_>) -> Next {
        if matches!(self.state, State::NotAuthenticated) && self.time_to_log_in().is_zero() {
            self.bye(None, "you took too long to log in", out);
            return Next::Close;
        }
        match frame {
            Frame::NeedMore => Next::Continue,
            Frame::Continue => {
                reply::continuation(&mut out.buffer(), "go on");
                Next::Continue
            }
            Frame::Command(unit) | Frame::Message(unit) if matches!(self.turn, Turn::Command) => {
                self.command(&unit, out).await
            }
            Frame::Line(line) => self.line(&line, out).await,
            Frame::Chunk(bytes) => {
                if let Turn::Append(receiving) = &mut self.turn {
                    receiving.take(&bytes).await;
                }
                Next::Continue
            }
            Frame::MessageEnd => Next::Continue,
            Frame::Tail(unit) | Frame::Command(unit) | Frame::Message(unit) => {
                match std::mem::replace(&mut self.turn, Turn::Command) {
                    Turn::Append(receiving) => {
                        let tag = receiving.tag.clone();
                        let outcome = receiving.next(&unit, self, out).await;
                        self.finish(&tag, Expunges::Sent, outcome, out).await
                    }
                    _ => Next::Close,
                }
            }
            Frame::Refused(rejected) => {
                self.turn = Turn::Command;
                reply::rejected(&mut out.buffer(), &rejected);
                self.mistake(out)
            }
            Frame::Fatal(bad) => {
                reply::untagged(&mut out.buffer(), Condition::Bye, None, bad.what);
                Next::Close
            }
        }
    }

    async fn bell(&mut self) -> Ring {
        let idle = matches!(self.turn, Turn::Idle(_));
        let ear = match (&self.turn, self.listening.ear()) {
            (Turn::Command | Turn::Idle(_), ear) => ear,
            _ => return std::future::pending().await,
        };
        let watched = async {
            match ear {
                Some(ear) => ear.rung().await,
                None => std::future::pending().await,
            }
        };
        let state = &mut self.state;
        let selected = async {
            match state {
                State::Selected(_, selected)
                    if (idle || ear.is_some()) && selected.wants != Wants::Nothing =>
                {
                    selected.rung().await;
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = selected => Ring::Selected,
            () = watched => Ring::Watched,
        }
    }

    async fn notice(&mut self, ring: Ring, out: &mut Out<'_>) -> Next {
        let idle = matches!(self.turn, Turn::Idle(_));
        let outcome = match ring {
            Ring::Selected => {
                let at_once = idle || self.listening.expunges_at_once();
                self.announce(if at_once { Expunges::Sent } else { Expunges::Held }, out).await
            }
            Ring::Watched => self.tell_news(out).await,
        };
        match outcome {
            Ok(()) => Next::Continue,
            Err(Fail::Bye(text)) => {
                self.bye(None, &text, out);
                Next::Close
            }
            Err(Fail::Gone) => Next::Close,
            // The database is away; the next bell or the clock brings what was missed.
            Err(_) => Next::Continue,
        }
    }

    fn secured(&mut self, tls: &TlsInfo) {
        self.handle.tls(format!("{} {}", tls.version, tls.cipher));
        self.tls = Some(tls.clone());
        self.framer = Framer::new(Limits::before_login());
        self.turn = Turn::Command;
        self.state = State::NotAuthenticated;
        self.enabled = Enabled::default();
        self.language = Language::default();
        self.client.clear();
        self.listening = Listening::default();
        self.began = Instant::now();
        self.starttls = false;
        self.handshake_due = false;
    }

    fn farewell(&mut self, why: Farewell, out: &mut Out<'_>) {
        let (code, text) = match why {
            Farewell::Shutdown => (Some(Code::Unavailable), "the server is stopping"),
            Farewell::Terminated => (None, "this session was ended by an administrator"),
            Farewell::IdleTimeout => (None, "idle for too long"),
            Farewell::TooSlow => (None, "too slow"),
            Farewell::TooLong => (None, "command too long"),
        };
        self.bye(code, text, out);
    }

    fn patience(&self) -> Duration {
        match self.state {
            State::NotAuthenticated => self.time_to_log_in(),
            _ => Duration::from_secs(self.config().imap.idle_timeout_seconds.into()),
        }
    }

    fn busy(&self) -> bool {
        matches!(self.turn, Turn::Append(_))
    }
}
