//! EHLO, HELO, LHLO (RFC 5321 §4.1.1.1, RFC 2033 §4.1) and STARTTLS (RFC 3207).

use super::session::{Answer, Hello, Session, State};
use crate::control::config::{Config, TlsMode};
use crate::intake::trace::Protocol;
use crate::net::talk::Next;
use crate::smtp::param::Extension;
use crate::smtp::xclient::ATTRIBUTES;
use crate::smtp::{Helo, Reply};

impl Session {
    pub(super) fn hello(&mut self, helo: Helo<'_>, protocol: Protocol) -> Answer {
        // RFC 5321 §4.1.4: it also does what RSET does. A name that can't be one is no reason to refuse mail.
        let hello = Hello { name: helo.raw.to_owned(), well_formed: helo.well_formed, protocol };
        self.state = State::Greeted(hello);
        self.show("ready");
        let config = self.config();
        match protocol {
            Protocol::Smtp => Reply::plain(250, config.hostname().to_owned()).into(),
            Protocol::Esmtp | Protocol::Lmtp => self.extensions(&config).into(),
        }
    }

    fn extensions(&self, config: &Config) -> Reply {
        let smtp = &config.smtp;
        let mut reply = Reply::plain(250, config.hostname().to_owned())
            .and("PIPELINING")
            .and(format!("SIZE {}", smtp.max_message_bytes))
            .and("8BITMIME")
            .and("SMTPUTF8")
            .and("CHUNKING")
            .and("BINARYMIME")
            .and("ENHANCEDSTATUSCODES")
            .and("DSN")
            // RFC 9422 §3.
            .and(format!("LIMITS RCPTMAX={} MAILMAX={}", smtp.max_recipients, smtp.max_messages_per_session));
        let deliver_by = match smtp.min_deliver_by_seconds {
            0 => "DELIVERBY".to_owned(),
            // RFC 2852 §4.
            least => format!("DELIVERBY {least}"),
        };
        reply = reply.and(deliver_by);
        if self.is_offered(Extension::FutureRelease, config) {
            let most = smtp.max_hold_seconds;
            let latest = latest_release(most);
            reply = reply.and(format!("FUTURERELEASE {most} {latest}"));
        }
        if self.is_offered(Extension::MtPriority, config) {
            reply = reply.and("MT-PRIORITY");
        }
        if self.is_offered(Extension::RequireTls, config) {
            reply = reply.and("REQUIRETLS");
        }
        if config.smtp.etrn {
            reply = reply.and("ETRN");
        }
        if self.hears_xclient(config) {
            let names: Vec<&str> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
            reply = reply.and(format!("XCLIENT {}", names.join(" ")));
        }
        if self.has_starttls() && self.tls.is_none() {
            reply = reply.and("STARTTLS");
        }
        let mechanisms: Vec<&str> = self.mechanisms(config).map(|mechanism| mechanism.name()).collect();
        if !mechanisms.is_empty() {
            reply = reply.and(format!("AUTH {}", mechanisms.join(" ")));
        }
        reply.and("HELP")
    }

    pub(super) fn has_starttls(&self) -> bool {
        self.listener.tls == TlsMode::Starttls
    }

    pub(super) fn start_tls(&mut self) -> Answer {
        if self.tls.is_some() {
            return Reply::bad_sequence("TLS is active already").into();
        }
        Answer(Some(Reply::ready_for_tls()), Next::StartTls)
    }
}

/// The latest time that a message can be held until, in whole seconds (RFC 4865 §4.1).
fn latest_release(seconds: u32) -> String {
    let span = jiff::SignedDuration::from_secs(i64::from(seconds));
    let latest = jiff::Timestamp::now().checked_add(span).unwrap_or(jiff::Timestamp::MAX);
    latest.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
