//! MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3).

use std::sync::Arc;

use super::session::{Answer, Session, State, temporary};
use crate::control::config::{Config, ListenerMode};
use crate::directory::{Recipient, Remote, Route};
use crate::intake::place::parse_target;
use crate::intake::trace::Protocol;
use crate::intake::{Addressee, Envelope};
use crate::mail::srs::{Srs, SrsError, is_srs};
use crate::mail::{Address, AddressError, Path, parse_path};
use crate::smtp::param::Extension;
use crate::smtp::{Bad, RawPath, Reply, command};

/// Copies that one message may make, aliases expanded.
const MAX_COPIES: usize = 50_000;

impl Session {
    pub(super) async fn mail(&mut self, mail: command::Mail<'_>) -> Answer {
        let config = self.config();
        if self.transactions >= config.smtp.max_messages_per_session {
            return Answer::last(Reply::new(421, (4, 7, 0), "Too many messages in one session, come again"));
        }
        let path = mail.path;
        let (envelope, reply) = match Box::pin(self.sender(mail, &config)).await {
            Ok((envelope, reply)) => (Box::new(envelope), reply),
            Err(reply) => {
                self.note_refused_sender(path, &reply);
                return reply.into();
            }
        };
        if let Err(reply) = self.screen_message_begun().await {
            self.note_refused_sender(path, &reply);
            return reply.into();
        }
        self.transactions += 1;
        self.state = match std::mem::take(&mut self.state) {
            State::Greeted(hello) => State::Open(hello, envelope),
            other => other,
        };
        reply.into()
    }

    /// The envelope that MAIL begins, and what is said to it.
    async fn sender(&self, mut mail: command::Mail<'_>, config: &Config) -> Result<(Envelope, Reply), Reply> {
        if self.listener.mode == ListenerMode::Submission && !self.may_relay() {
            return Err(Reply::authentication_required());
        }
        let extended = !matches!(&self.state, State::Greeted(hello) if hello.protocol == Protocol::Smtp);
        let offered = |extension: &Extension| extended && self.is_offered(*extension, config);
        if let Some(extension) = mail.params.extensions().find(|extension| !offered(extension)) {
            return Err(Bad::NotOffered(extension).reply());
        }
        if mail.has_utf8 && mail.params.utf8.is_none() {
            return Err(Reply::utf8_needed());
        }
        let sender = match path(mail.path) {
            Ok(Path::Null) if config.smtp.allow_null_sender => None,
            Ok(Path::Null) => return Err(Reply::refused("The null sender is not accepted here")),
            Ok(Path::Address(address)) => Some(address),
            Ok(Path::Postmaster) => return Err(Reply::bad_sender("A sender has a domain")),
            Err(error) => return Err(Reply::bad_sender(sentence(error))),
        };
        if mail.params.size.is_some_and(|size| size > self.max_message(config)) {
            return Err(Reply::message_too_large());
        }
        let lowered = self.fit(&mut mail.params, config)?;
        if let Some(sender) = &sender {
            self.check_sender(sender, config).await?;
        }
        let reply = match lowered {
            // RFC 6710 §4.1: the client hears which priority counts.
            Some(priority) => Reply::new(250, (2, 3, 6), format!("{priority} is the priority that counts")),
            None => Reply::sender_ok(),
        };
        Ok((Envelope::new(sender, mail.params), reply))
    }

    /// Largest message that this client may send to anybody.
    pub(super) fn max_message(&self, config: &Config) -> u64 {
        let own = self.login.as_ref().map_or(u64::MAX, |login| login.max_message);
        own.min(config.smtp.max_message_bytes)
    }

    pub(super) async fn rcpt(&mut self, rcpt: command::Rcpt<'_>) -> Answer {
        let path = rcpt.path;
        let addressee = match self.addressee(rcpt).await {
            Ok(addressee) => addressee,
            Err(reply) => {
                self.note_refused_recipient(path, &reply);
                return self.screen_refused(reply);
            }
        };
        if let Err(reply) = Box::pin(self.screen_recipient(&addressee)).await {
            self.note_refused_recipient(path, &reply);
            return reply.into();
        }
        if let State::Open(_, envelope) = &mut self.state {
            envelope.push(addressee);
        }
        Reply::recipient_ok().into()
    }

    async fn addressee(&self, rcpt: command::Rcpt<'_>) -> Result<Addressee, Reply> {
        let State::Open(hello, envelope) = &self.state else {
            return Err(Reply::bad_sequence("MAIL comes first"));
        };
        if envelope.recipients.len() >= self.config().smtp.max_recipients {
            return Err(Reply::too_many_recipients());
        }
        if let Some(extension) = rcpt.params.extension().filter(|_| hello.protocol == Protocol::Smtp) {
            return Err(Bad::NotOffered(extension).reply());
        }
        if rcpt.has_utf8 && envelope.params.utf8.is_none() {
            return Err(Reply::utf8_needed());
        }
        let address = self.forward_path(rcpt.path).await?;
        let route = self.route(&address, envelope).await?;
        let max_message = match &*route {
            Route::To { accounts, remotes } => {
                // One alias alone may be larger.
                if envelope.copies > 0 && envelope.copies + route.copies() > MAX_COPIES {
                    return Err(Reply::too_many_recipients());
                }
                self.room(accounts, remotes, envelope.params.size.unwrap_or(0)).await?
            }
            Route::NotLocal | Route::Unknown | Route::Restricted => u64::MAX,
        };
        Ok(Addressee { address, params: rcpt.params, route, max_message })
    }

    /// The address that a forward path means.
    async fn forward_path(&self, raw: RawPath<'_>) -> Result<Address, Reply> {
        let address = match path(raw) {
            Ok(Path::Address(address)) => address,
            // RFC 5321 §4.5.1: postmaster is accepted without a domain as well.
            Ok(Path::Postmaster) => match self.house.directory.postmaster().await {
                Ok(Some(address)) => address,
                Ok(None) => return Err(Reply::no_mailbox()),
                Err(error) => return Err(temporary(&error)),
            },
            Ok(Path::Null) => return Err(Reply::bad_recipient("The recipient is missing")),
            Err(error) => return Err(Reply::bad_recipient(sentence(error))),
        };
        if address.domain().starts_with('[') {
            return Err(Reply::new(550, (5, 1, 2), "Mail to address literals is not accepted"));
        }
        Ok(address)
    }

    /// Where mail for this address goes, if this client may send it there.
    async fn route(&self, address: &Address, envelope: &Envelope) -> Result<Arc<Route>, Reply> {
        let authenticated = self.login.is_some();
        let resolved = self.house.directory.resolve(address, authenticated).await;
        let route = resolved.map_err(|error| temporary(&error))?;
        match &*route {
            Route::NotLocal => {}
            _ if is_srs(address) && self.config().srs.enabled => {
                return self.way_back(address, envelope).await;
            }
            _ => {}
        }
        match &*route {
            Route::To { accounts, remotes } => {
                let reachable =
                    !accounts.is_empty() || remotes.iter().any(|remote| parse_target(remote).is_some());
                if reachable { Ok(route) } else { Err(Reply::local_error("This address leads nowhere")) }
            }
            Route::NotLocal if self.may_relay() => Ok(route),
            Route::NotLocal => Err(Reply::relaying_denied()),
            Route::Restricted => Err(Reply::refused("Only users of this server may write to this address")),
            Route::Unknown if address.local().eq_ignore_ascii_case("postmaster") => Err(Reply::new(
                550,
                (5, 1, 1),
                "This domain has no postmaster; its administrator should make an alias of that name",
            )),
            Route::Unknown => Err(Reply::no_mailbox()),
        }
    }

    /// Where mail for a sender goes whom we had rewritten when we forwarded his mail.
    async fn way_back(&self, address: &Address, envelope: &Envelope) -> Result<Arc<Route>, Reply> {
        let config = self.config();
        if envelope.sender.is_some() && !config.srs.any_sender {
            return Err(Reply::refused("Only bounces may be sent to a forwarding address"));
        }
        let srs = Srs::new(&config.srs.secret, config.srs.max_age_days);
        let sender = srs.reverse(address, jiff::Timestamp::now()).map_err(|error| match error {
            SrsError::Forged => Reply::new(550, (5, 1, 1), sentence(error)),
            SrsError::Expired => Reply::refused(sentence(error)),
        })?;
        let resolved = self.house.directory.resolve(&sender, self.login.is_some()).await;
        let route = resolved.map_err(|error| temporary(&error))?;
        match &*route {
            Route::NotLocal => {
                let remote = Remote { address: sender.to_string(), forwarded_by: None };
                Ok(Arc::new(Route::To { accounts: Vec::new(), remotes: vec![remote] }))
            }
            Route::To { .. } => Ok(route),
            Route::Unknown | Route::Restricted => Err(Reply::no_mailbox()),
        }
    }

    /// The largest message that these can take; refused when it is known that none of them has room. What leads to
    /// several takes what one of them takes: to leave out some would lose mail without a word.
    async fn room(
        &self,
        accounts: &[Arc<Recipient>],
        remotes: &[Remote],
        declared: u64,
    ) -> Result<u64, Reply> {
        if !remotes.is_empty() {
            return Ok(u64::MAX);
        }
        let largest = accounts.iter().map(|account| account.max_message).max().unwrap_or(u64::MAX);
        if declared > largest {
            return Err(Reply::message_too_large());
        }
        for account in accounts {
            match self.house.directory.has_room(account, declared).await {
                Ok(true) => return Ok(largest),
                Ok(false) => {}
                Err(error) => return Err(temporary(&error)),
            }
        }
        Err(Reply::mailbox_full_now())
    }
}

fn path(raw: RawPath<'_>) -> Result<Path, AddressError> {
    let bracketed = [b"<", raw.0, b">"].concat();
    match parse_path(&bracketed)? {
        (path, []) => Ok(path),
        (_, _) => Err(AddressError::Trailing),
    }
}

/// The reason as a sentence of its own.
fn sentence(error: impl std::error::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
