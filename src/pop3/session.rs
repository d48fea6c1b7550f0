//! A POP3 session: its state, and how it meets the session loop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::cmd;
use super::delay::LoginTimes;
use super::maildrop::Maildrop;
use super::table::Phase;
use super::wire::{self, Awaited, Code, Framer, Line, Refusal};
use crate::control::SessionHandle;
use crate::control::config::{self, TlsMode};
use crate::directory::{Authentication, Login, LoginError, Visitor};
use crate::intake::House;
use crate::net::limit::Guard;
use crate::net::out::Out;
use crate::net::stream::TlsInfo;
use crate::net::talk::{self, Farewell, Next};
use crate::sasl::{Binding, Cleartext, Protection, Tokens};

/// The service's name in `control.service`.
pub const SERVICE: &str = "pop3";

/// What a session is in the middle of.
pub enum State {
    /// AUTHORIZATION: nobody has logged in; USER may have said who will.
    Authorization(Option<String>),
    /// AUTHORIZATION, within AUTH: the next line is an answer to a challenge.
    Authenticating(Box<Authentication>),
    /// TRANSACTION.
    Transaction(Box<Maildrop>),
}

/// One session.
pub struct Session {
    /// What it stands on.
    pub house: Arc<House>,
    /// Where it is.
    pub state: State,
    /// The channel bindings of TLS; `None` without TLS.
    pub tls: Option<Binding>,
    logins: Arc<LoginTimes>,
    listener: TlsMode,
    handle: SessionHandle,
    guard: Guard,
    framer: Framer,
    refused: u32,
    /// When the time to log in began to run.
    began: Instant,
}

impl Session {
    /// A session that has just been let in.
    pub fn new(
        house: Arc<House>,
        logins: Arc<LoginTimes>,
        listener: TlsMode,
        handle: SessionHandle,
        guard: Guard,
    ) -> Self {
        Self {
            house,
            state: State::Authorization(None),
            tls: None,
            logins,
            listener,
            handle,
            guard,
            framer: Framer::default(),
            refused: 0,
            began: Instant::now(),
        }
    }

    /// The settings of the moment.
    pub fn with_settings<T>(&self, ask: impl FnOnce(&config::Pop3) -> T) -> T {
        ask(&self.house.control.config().pop3)
    }

    /// The state, as RFC 1939 names it.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Authorization(_) | State::Authenticating(_) => Phase::Authorization,
            State::Transaction(_) => Phase::Transaction,
        }
    }

    /// Whether STLS would do something here.
    pub fn offers_stls(&self) -> bool {
        self.listener == TlsMode::Starttls && self.tls.is_none()
    }

    /// What protects the connection.
    pub fn protection(&self) -> Protection {
        match &self.tls {
            None => Protection::None,
            Some(binding) if binding.is_none() => Protection::Tls,
            Some(_) => Protection::TlsBound,
        }
    }

    /// Whether a password may be sent in the clear.
    pub fn cleartext(&self) -> Cleartext {
        match self.with_settings(|settings| settings.require_tls_for_login) {
            true => Cleartext::Refused,
            false => Cleartext::Allowed,
        }
    }

    /// Whether access tokens are accepted.
    pub fn tokens(&self) -> Tokens {
        self.house.control.config().tokens()
    }

    /// Whether USER and PASS may be used: on the same terms as AUTH PLAIN.
    ///
    /// # Errors
    /// What to do first. RFC 3206 §4 counts an attempt in violation of policy as `[AUTH]`.
    pub fn may_send_password(&self) -> Result<(), Refusal> {
        if self.tls.is_some() || self.cleartext() == Cleartext::Allowed {
            return Ok(());
        }
        let text = match self.offers_stls() {
            true => "a password may not be sent in the clear: STLS first",
            false => "a password may not be sent in the clear: connect to a port with TLS",
        };
        Err(Refusal::coded(Code::Auth, text))
    }

    /// Who wants to log in.
    pub fn visitor(&self) -> Visitor {
        Visitor { peer: self.handle.peer().ip(), service: SERVICE }
    }

    /// Opens the maildrop of somebody who has proved who he is. Gives what to tell him.
    pub async fn enter(&mut self, login: Login) -> Result<String, Refusal> {
        let config = self.house.control.config();
        let most = config.service(SERVICE).map_or(0, |service| service.max_connections_per_account);
        let account = login.account;
        self.guard.login(account.0, (most > 0).then_some(most)).map_err(|refusal| {
            tracing::info!(%refusal, "pop3 login refused");
            Refusal::coded(Code::InUse, "too many sessions of this account at once, close one first")
        })?;
        match self.open(&login, Duration::from_secs(config.pop3.login_delay_seconds.into())).await {
            Ok(maildrop) => {
                let (count, bytes) = maildrop.total();
                self.handle.login(account.0, &login.address);
                self.state = State::Transaction(Box::new(maildrop));
                Ok(format!("logged in, {count} messages ({bytes} octets)"))
            }
            Err(refusal) => {
                self.guard.logout();
                Err(refusal)
            }
        }
    }

    async fn open(&self, login: &Login, delay: Duration) -> Result<Maildrop, Refusal> {
        self.logins.admit(login.account, delay, Instant::now()).map_err(|left| {
            let (least, left) = (delay.as_secs(), left.as_secs() + 1);
            let text = format!("at least {least} seconds between two logins, try again in {left}");
            Refusal::coded(Code::LoginDelay, text)
        })?;
        let opened = match Maildrop::open(&self.house.store, login.account).await {
            Ok(Some(maildrop)) => return Ok(maildrop),
            Ok(None) => Refusal::coded(Code::SysPerm, "this account has no INBOX"),
            Err(error) => error.into(),
        };
        self.logins.forget(login.account);
        Err(opened)
    }

    /// How much time is left to log in.
    fn time_to_log_in(&self) -> Duration {
        let most = self.with_settings(|settings| settings.login_timeout_seconds);
        Duration::from_secs(most.into()).saturating_sub(self.began.elapsed())
    }

    async fn obey(&mut self, line: Line, out: &mut Out<'_>) -> Result<Next, Refusal> {
        match (line, &self.state) {
            (Line::TooLong, State::Authenticating(_)) => {
                self.state = State::Authorization(None);
                Err(Refusal::plain("the line is too long; authentication is over"))
            }
            (Line::TooLong, _) => Err(Refusal::plain("the line is too long (RFC 2449 §4)")),
            (Line::Text(text), State::Authenticating(_)) => cmd::auth::answer(self, &text, out).await,
            (Line::Text(text), _) => cmd::run(self, &text, out).await,
        }
    }

    fn show_state(&self, doing: &'static str) {
        self.handle.state(doing);
    }

    /// Says in `live.session` that a message is on its way.
    pub fn show_sending(&self) {
        self.show_state("sending a message");
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        match error {
            // RFC 3206 §4: the user is to look at what he has entered.
            LoginError::Wrong | LoginError::Locked(_) => Refusal::coded(Code::Auth, error.to_string()),
            LoginError::Forbidden(_) => Refusal::coded(Code::SysPerm, error.to_string()),
            LoginError::Temporary(_) => Refusal::coded(Code::SysTemp, error.to_string()),
            LoginError::Cancelled | LoginError::Syntax(_) => Refusal::plain(error.to_string()),
        }
    }
}

impl talk::Session for Session {
    type Unit = Line;
    type Bell = Infallible;

    async fn greet(&mut self, out: &mut Out<'_>) -> Next {
        self.show_state("not logged in");
        // No "<…>" in it: that would offer APOP (RFC 1939 §7).
        wire::ok(out, &format!("{} POP3 server ready", self.house.control.config().hostname()));
        Next::Continue
    }

    fn frame(&mut self, input: &mut BytesMut) -> Option<Line> {
        let awaited = match self.state {
            State::Authenticating(_) => Awaited::Response,
            State::Authorization(_) | State::Transaction(_) => Awaited::Command,
        };
        self.framer.next(input, awaited)
    }

    async fn handle(&mut self, line: Line, out: &mut Out<'_>) -> Next {
        if self.phase() == Phase::Authorization && self.time_to_log_in().is_zero() {
            Refusal::plain("you took too long to log in").put(out);
            return Next::Close;
        }
        let next = match self.obey(line, out).await {
            Ok(next) => next,
            Err(refusal) => {
                refusal.put(out);
                self.refused += u32::from(refusal.counts());
                match self.refused >= self.with_settings(|settings| settings.max_errors) {
                    true => Next::Close,
                    false => Next::Continue,
                }
            }
        };
        self.show_state(match self.phase() {
            Phase::Authorization => "not logged in",
            Phase::Transaction => "logged in",
        });
        next
    }

    async fn bell(&mut self) -> Infallible {
        std::future::pending().await
    }

    async fn notice(&mut self, bell: Infallible, _out: &mut Out<'_>) -> Next {
        match bell {}
    }

    fn secured(&mut self, tls: &TlsInfo) {
        // RFC 2595 §4: what was said in plain text counts for nothing.
        self.state = State::Authorization(None);
        self.framer = Framer::default();
        self.began = Instant::now();
        self.handle.tls(format!("{} {}", tls.version, tls.cipher));
        self.tls =
            Some(Binding { tls_exporter: tls.exporter, tls_server_end_point: tls.server_end_point.clone() });
    }

    /// RFC 1939 §3 would rather have no word at the end of an idle session; but a client that asks again, or a person
    /// who reads its log, learns from one why it ended, and nobody is harmed.
    fn farewell(&mut self, why: Farewell, out: &mut Out<'_>) {
        let refusal = match why {
            Farewell::Shutdown => {
                Refusal::coded(Code::SysTemp, "the service stops, nothing was deleted; try again later")
            }
            Farewell::Terminated => {
                Refusal::coded(Code::SysTemp, "an administrator ended this session, nothing was deleted")
            }
            Farewell::IdleTimeout | Farewell::TooSlow => match self.phase() {
                Phase::Authorization => Refusal::plain("you took too long to log in"),
                Phase::Transaction => Refusal::plain("you were silent for too long, nothing was deleted"),
            },
            Farewell::TooLong => Refusal::plain("the line is too long"),
        };
        refusal.put(out);
    }

    fn patience(&self) -> Duration {
        match self.phase() {
            Phase::Authorization => self.time_to_log_in(),
            Phase::Transaction => {
                Duration::from_secs(self.with_settings(|settings| settings.idle_timeout_seconds).into())
            }
        }
    }

    fn busy(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
