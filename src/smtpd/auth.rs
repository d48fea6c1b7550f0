//! AUTH (RFC 4954), on submission listeners.

use super::session::{Answer, Session, State};
use crate::control::config::{Config, ListenerMode};
use crate::directory::{Authentication, Login, LoginError, Progress, Visitor};
use crate::intake::trace::Protocol;
use crate::sasl::{Binding, Cleartext, Mechanism, Protection, encode_challenge};
use crate::smtp::Reply;
use crate::smtp::command;

impl Session {
    /// The mechanisms that are offered here and now, strongest first.
    pub(super) fn mechanisms(&self, config: &Config) -> impl Iterator<Item = Mechanism> + use<> {
        let open = !config.smtp.require_tls_for_auth;
        let here = self.listener.mode == ListenerMode::Submission && (open || self.tls.is_some());
        let cleartext = if open { Cleartext::Allowed } else { Cleartext::Refused };
        let protection = match &self.tls {
            None => Protection::None,
            Some(_) if self.binding().is_none() => Protection::Tls,
            Some(_) => Protection::TlsBound,
        };
        Mechanism::offered(protection, cleartext, config.tokens()).filter(move |_| here)
    }

    fn binding(&self) -> Binding {
        match &self.tls {
            None => Binding::none(),
            Some(tls) => {
                Binding { tls_exporter: tls.exporter, tls_server_end_point: tls.server_end_point.clone() }
            }
        }
    }

    pub(super) async fn auth(&mut self, auth: command::Auth<'_>) -> Answer {
        if self.login.is_some() {
            return Reply::bad_sequence("You are logged in already").into();
        }
        let State::Greeted(hello) = &self.state else {
            return Reply::bad_sequence("AUTH is not possible now").into();
        };
        if hello.protocol == Protocol::Smtp {
            return Reply::bad_sequence("Say EHLO first").into();
        }
        let Some(mechanism) = Mechanism::parse(auth.mechanism.as_bytes()) else {
            return Reply::unknown_mechanism().into();
        };
        let config = self.config();
        if !self.mechanisms(&config).any(|offered| offered == mechanism) {
            let lacks_tls = self.tls.is_none() && config.smtp.require_tls_for_auth;
            return if lacks_tls { Reply::encryption_required() } else { Reply::unknown_mechanism() }.into();
        }
        let visitor = Visitor { peer: self.peer(), service: "smtp" };
        let directory = self.house.directory.clone();
        let mut exchange = Box::new(Authentication::new(directory, visitor, mechanism, self.binding()));
        let progress = exchange.begin(auth.initial.map(str::as_bytes)).await;
        self.show("authenticating");
        self.authenticated(exchange, progress)
    }

    /// Takes the client's answer to a challenge.
    pub(super) async fn auth_response(&mut self, line: &[u8]) -> Answer {
        let (hello, mut exchange) = match std::mem::take(&mut self.state) {
            State::Authenticating(hello, exchange) => (hello, exchange),
            other => {
                self.state = other;
                return Reply::bad_sequence("No authentication is under way").into();
            }
        };
        self.state = State::Greeted(hello);
        let progress = exchange.step(line).await;
        self.authenticated(exchange, progress)
    }

    /// A line that can't be read ends the exchange.
    pub(super) fn give_up_auth(&mut self) {
        if matches!(self.state, State::Authenticating(..)) {
            self.state.reset();
            self.show("ready");
        }
    }

    fn authenticated(
        &mut self,
        exchange: Box<Authentication>,
        progress: Result<Progress, LoginError>,
    ) -> Answer {
        match progress {
            Ok(Progress::Challenge(challenge)) => {
                self.state = match std::mem::take(&mut self.state) {
                    State::Greeted(hello) => State::Authenticating(hello, exchange),
                    other => other,
                };
                Reply::challenge(encode_challenge(&challenge)).into()
            }
            Ok(Progress::Done(login)) => self.logged_in(login),
            Err(error) => {
                self.show("ready");
                refusal(error).into()
            }
        }
    }

    fn logged_in(&mut self, login: Login) -> Answer {
        if let Err(refused) = self.enter(login) {
            return refused;
        }
        self.show("ready");
        Reply::authenticated().into()
    }

    /// The session becomes this account's, unless it has too many.
    pub(super) fn enter(&mut self, login: Login) -> Result<(), Answer> {
        let config = self.config();
        let max = config.service("smtp").map(|row| row.max_connections_per_account).filter(|max| *max > 0);
        if let Err(refusal) = self.guard.login(login.account.0, max) {
            tracing::info!(%refusal, "not let in");
            return Err(Answer::last(Reply::new(421, (4, 7, 0), "Too many sessions of this account")));
        }
        self.handle.login(login.account.0, &login.address);
        self.login = Some(login);
        self.fit_lines();
        Ok(())
    }
}

fn refusal(error: LoginError) -> Reply {
    match error {
        LoginError::Wrong => Reply::authentication_failed(),
        // Temporary, so that a mail program does not ask its user for another password.
        LoginError::Locked(_) | LoginError::Temporary(_) => Reply::new(454, (4, 7, 0), error.to_string()),
        LoginError::Forbidden(_) => Reply::new(525, (5, 7, 13), error.to_string()),
        LoginError::Cancelled => Reply::authentication_cancelled("Authentication cancelled"),
        LoginError::Syntax(reason) => Reply::new(501, (5, 5, 2), reason.to_string()),
    }
}
