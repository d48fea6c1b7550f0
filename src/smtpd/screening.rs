//! What the session asks [`crate::screen`]: at the greeting, at MAIL, at RCPT and at the end of the message.
//!
//! What was found out about a client is kept for as long as its name, the sender and the settings stay the same, so that a
//! message to a thousand recipients is looked into once.

use std::sync::Arc;
use std::time::Duration;

use super::session::{Answer, Session, State};
use crate::control::config::ListenerMode;
use crate::directory::Route;
use crate::intake::{Addressee, Envelope};
use crate::mail::Address;
use crate::net::stop::Stop;
use crate::net::talk::Next;
use crate::screen::count::Amount;
use crate::screen::host::ReverseName;
use crate::screen::limit::Exceeded;
use crate::screen::{Findings, Refusal, Stranger};
use crate::smtp::Reply;

/// What is known of a client that has not logged in.
#[derive(Default)]
pub(super) struct Screening {
    findings: Option<(Basis, Arc<Findings>)>,
    /// The end of the service, which no delay outlasts.
    pub(super) stop: Option<Stop>,
}

impl Screening {
    /// The client is another one.
    pub(super) fn forget(&mut self) {
        self.findings = None;
    }
}

/// What findings hold for.
#[derive(PartialEq, Eq)]
struct Basis {
    settings: i64,
    peer: std::net::IpAddr,
    helo: String,
    sender: Option<Address>,
}

impl Session {
    /// Whether this is mail from somewhere else: nobody has logged in or may relay without, and it is no LMTP.
    fn is_stranger(&self) -> bool {
        !self.may_relay() && self.listener.mode == ListenerMode::Standard
    }

    /// Whether the client may come in.
    pub(super) fn screen_connection(&self) -> Result<(), Answer> {
        if self.is_lmtp() {
            return Ok(());
        }
        self.house.screen.connection(self.peer()).map_err(sent_away)
    }

    /// Whether another message may begin.
    pub(super) async fn screen_message_begun(&self) -> Result<(), Reply> {
        if self.is_lmtp() {
            return Ok(());
        }
        let account = self.login.as_ref().map(|login| login.account);
        self.house.screen.message(self.peer(), account).await.map_err(limited)
    }

    /// Whether an addressee who can be reached may be written to by this client.
    pub(super) async fn screen_recipient(&mut self, addressee: &Addressee) -> Result<(), Reply> {
        if self.is_lmtp() {
            return Ok(());
        }
        if self.is_stranger() {
            self.screen_stranger(addressee).await?;
        }
        let State::Open(_, envelope) = &self.state else { return Ok(()) };
        let size = envelope.params.size.unwrap_or(0);
        let addressees = envelope.recipients.iter().chain([addressee]);
        if !self.traffic(addressees, size, false) {
            return Err(traffic_exceeded());
        }
        let account = self.login.as_ref().map(|login| login.account);
        self.house.screen.recipient(self.peer(), account).await.map_err(limited)
    }

    async fn screen_stranger(&mut self, addressee: &Addressee) -> Result<(), Reply> {
        let State::Open(hello, envelope) = &self.state else { return Ok(()) };
        let config = self.config();
        let peer = self.peer();
        let stranger = Stranger {
            peer,
            helo: &hello.name,
            well_formed: hello.well_formed,
            helo_is_us: hello.name.trim_end_matches('.').eq_ignore_ascii_case(config.hostname()),
            sender: envelope.sender.as_ref(),
        };
        let basis = Basis {
            settings: config.config_generation,
            peer,
            helo: hello.name.clone(),
            sender: envelope.sender.clone(),
        };
        let findings = match &self.screening.findings {
            Some((known, findings)) if *known == basis => findings.clone(),
            _ => Arc::new(self.house.screen.examine(&stranger).await),
        };
        let outcome = self.house.screen.admit(&stranger, &findings, &addressee.address).await;
        self.screening.findings = Some((basis, findings));
        outcome.map_err(|refusal| match refusal {
            Refusal::Rejected(text) => Reply::new(550, (5, 7, 1), text),
            Refusal::Later(text) => Reply::new(451, (4, 7, 1), text),
        })
    }

    /// Takes note that a recipient was refused: who tries too many that don't exist guesses, and is sent away.
    pub(super) fn screen_refused(&self, reply: Reply) -> Answer {
        let unknown = reply.code() == 550 && reply.enhanced() == Some((5, 1, 1));
        if unknown
            && self.is_stranger()
            && let Err(exceeded) = self.house.screen.unknown_recipient(self.peer())
        {
            tracing::info!(peer = %self.peer(), "sent away: too many unknown recipients");
            return sent_away(exceeded);
        }
        reply.into()
    }

    /// Whether the traffic service lets a whole message pass; it is counted then.
    pub(super) fn screen_message(&self, envelope: &Envelope, size: u64) -> Result<(), Reply> {
        match self.is_lmtp() || self.traffic(envelope.recipients.iter(), size, true) {
            true => Ok(()),
            false => Err(traffic_exceeded()),
        }
    }

    /// Takes back what [`Self::screen_message`] has counted: the message was not taken after all.
    pub(super) fn take_back(&self, envelope: &Envelope, size: u64) {
        if !self.is_lmtp() {
            let user = self.login.as_ref().map(|login| login.address.as_str());
            let amount = self.amount(envelope.recipients.iter(), size);
            self.house.screen.take_back_traffic(self.peer(), user, amount);
        }
    }

    fn traffic<'a>(&self, addressees: impl Iterator<Item = &'a Addressee>, size: u64, counted: bool) -> bool {
        let user = self.login.as_ref().map(|login| login.address.as_str());
        self.house.screen.traffic(self.peer(), user, self.amount(addressees, size), counted)
    }

    /// What the traffic service counts: messages and bytes for each recipient.
    fn amount<'a>(&self, addressees: impl Iterator<Item = &'a Addressee>, size: u64) -> Amount {
        let user = self.login.as_ref();
        // Mail of users to domains here is nobody's traffic.
        let copies = |addressee: &Addressee| match (&*addressee.route, user) {
            (_, None) | (Route::NotLocal, Some(_)) => 1,
            (Route::To { remotes, .. }, Some(_)) => remotes.len(),
            (Route::Unknown | Route::Restricted, Some(_)) => 0,
        };
        let count = i64::try_from(addressees.map(copies).sum::<usize>()).unwrap_or(i64::MAX);
        let bytes = i64::try_from(size).unwrap_or(i64::MAX).saturating_mul(count);
        Amount { count, bytes }
    }

    /// Header fields that are added, and those that tell of findings.
    pub(super) fn with_findings(&self, mut added: Vec<u8>) -> Vec<u8> {
        if let Some((_, findings)) = self.screening.findings.as_ref().filter(|_| self.is_stranger()) {
            findings.write(&mut added);
        }
        added
    }

    /// The client's name in DNS, where it is known and leads back to its address.
    pub(super) fn reverse_name(&self) -> Option<&str> {
        match self.screening.findings.as_ref().map(|(_, findings)| &findings.reverse) {
            Some(ReverseName::Confirmed(name)) => Some(name),
            _ => None,
        }
    }

    /// Answers a client slowly that makes error after error. Only this session waits, and for no longer than its service
    /// runs.
    pub(super) async fn hesitate(&mut self, answer: &Answer) {
        let config = self.config();
        let limits = &config.screen.smtp_limit;
        let refused = answer.0.as_ref().is_some_and(|reply| reply.code() >= 500);
        if limits.tarpit_seconds == 0 || !refused || self.errors < limits.tarpit_after_errors {
            return;
        }
        self.show("tarpit");
        let delay = tokio::time::sleep(Duration::from_secs(u64::from(limits.tarpit_seconds)));
        let termination = self.handle.termination();
        let stop = &mut self.screening.stop;
        let stopped = async {
            match stop {
                Some(stop) => drop(stop.wait().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = delay => {}
            () = stopped => {}
            () = termination.wait() => {}
        }
        self.show("ready");
    }
}

fn sent_away(exceeded: Exceeded) -> Answer {
    Answer(Some(Reply::new(421, (4, 7, 0), exceeded.to_string())), Next::Close)
}

fn limited(exceeded: Exceeded) -> Reply {
    Reply::new(452, (4, 7, 1), exceeded.to_string())
}

fn traffic_exceeded() -> Reply {
    Reply::new(452, (4, 7, 1), "Too much mail in this interval, try again later")
}
