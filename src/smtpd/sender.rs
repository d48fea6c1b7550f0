//! Who may send what: the sender of MAIL, the parameters that it may have, and who may relay.

use super::session::{Session, temporary};
use crate::control::config::{Config, ListenerMode, UnresolvablePolicy};
use crate::mail::Address;
use crate::smtp::mail::{ByMode, Hold};
use crate::smtp::param::Extension;
use crate::smtp::{MailParams, Reply};

impl Session {
    /// Whether this client may send mail to other servers: it has logged in, or its address is on the list of those who
    /// need not.
    pub(super) fn may_relay(&self) -> bool {
        self.login.is_some() || self.relays_by_address(&self.config())
    }

    /// Whether its address lets it relay. LMTP never does: who speaks it is not asked who he is.
    pub(super) fn relays_by_address(&self, config: &Config) -> bool {
        !self.is_lmtp() && config.is_listed(config.smtp.relay_ip_list_id, self.peer())
    }

    /// Whether a parameter of MAIL belongs to what EHLO offers here and now.
    pub(super) fn is_offered(&self, extension: Extension, config: &Config) -> bool {
        match extension {
            Extension::Size
            | Extension::EightBitMime
            | Extension::BinaryMime
            | Extension::SmtpUtf8
            | Extension::Dsn
            | Extension::DeliverBy => true,
            Extension::Auth => self.mechanisms(config).next().is_some(),
            // RFC 8689 §2: only under TLS.
            Extension::RequireTls => self.tls.is_some(),
            Extension::FutureRelease => config.smtp.max_hold_seconds > 0 && self.serves_users(config),
            Extension::MtPriority => self.serves_users(config),
        }
    }

    /// Whether what only our own people may ask for is offered.
    fn serves_users(&self, config: &Config) -> bool {
        self.listener.mode == ListenerMode::Submission
            || self.login.is_some()
            || self.relays_by_address(config)
    }

    /// Holds the parameters of MAIL against what was offered. A priority that is too high is lowered; gives the one that
    /// counts where that is so.
    pub(super) fn fit(&self, params: &mut MailParams, config: &Config) -> Result<Option<i8>, Reply> {
        let now = jiff::Timestamp::now();
        let hold = params.hold.map(|hold| match hold {
            Hold::For(seconds) => i64::from(seconds),
            Hold::Until(until) => until.duration_since(now).as_secs(),
        });
        if hold.is_some_and(|seconds| seconds > i64::from(config.smtp.max_hold_seconds)) {
            // RFC 4865 §4.2.2.
            return Err(Reply::new(501, (5, 5, 4), "The message is to be held longer than is possible here"));
        }
        if let Some(by) = params.by {
            let seconds = i64::from(by.seconds);
            if by.mode == ByMode::Return && seconds < i64::from(config.smtp.min_deliver_by_seconds) {
                // RFC 2852 §4.
                return Err(Reply::new(550, (5, 4, 7), "The time to deliver by is too short"));
            }
            if by.mode == ByMode::Return && hold.is_some_and(|hold| hold > seconds) {
                return Err(Reply::new(501, (5, 5, 4), "The message is to be held longer than it may take"));
            }
        }
        let most = self.login.as_ref().map_or(config.smtp.max_priority, |login| login.max_priority);
        match params.priority {
            Some(priority) if priority > most => {
                params.priority = Some(most);
                Ok(Some(most))
            }
            _ => Ok(None),
        }
    }

    /// Whether this client may give this sender.
    pub(super) async fn check_sender(&self, sender: &Address, config: &Config) -> Result<(), Reply> {
        let directory = &self.house.directory;
        if let Some(login) = &self.login {
            return match directory.may_send_as(login, sender).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Reply::new(553, (5, 7, 1), "You may not send as this address")),
                Err(error) => Err(temporary(&error)),
            };
        }
        if self.is_lmtp() {
            return Ok(());
        }
        match directory.sender(sender).await.map_err(|error| temporary(&error))? {
            Some(known) if !known.exists && config.smtp.refuse_unknown_local_senders => {
                Err(Reply::new(550, (5, 1, 0), "This sender does not exist here"))
            }
            Some(known) if known.exists && known.needs_login && !self.relays_by_address(config) => {
                Err(Reply::new(550, (5, 7, 1), "Log in to send as this address"))
            }
            Some(_) => Ok(()),
            None => self.check_domain(sender, config.smtp.unresolvable_sender).await,
        }
    }

    /// Whether mail can be sent back to another server's domain.
    async fn check_domain(&self, sender: &Address, policy: UnresolvablePolicy) -> Result<(), Reply> {
        let domain = sender.domain();
        if policy == UnresolvablePolicy::Accept || domain.starts_with('[') {
            return Ok(());
        }
        let unknown = || match policy {
            UnresolvablePolicy::Refuse => Reply::new(550, (5, 1, 8), "The sender's domain takes no mail"),
            _ => Reply::new(450, (4, 1, 8), "The sender's domain takes no mail"),
        };
        let unanswered = |_| Reply::new(450, (4, 4, 3), "The sender's domain cannot be looked up now");
        let exchangers = self.house.dns.mx(domain).await.map_err(unanswered)?;
        if !exchangers.records.is_empty() {
            // RFC 7505 §4.1: a null MX.
            let takes_mail = exchangers.records.iter().any(|mx| !mx.host.is_empty() && mx.host != ".");
            return if takes_mail { Ok(()) } else { Err(unknown()) };
        }
        let addresses = self.house.dns.addresses(domain).await.map_err(unanswered)?;
        if addresses.records.is_empty() { Err(unknown()) } else { Ok(()) }
    }
}
