//! Rate limits of hosts and accounts on the smtp service.
//!
//! The limits are `control.smtp_limit`; domains and accounts may have limits of their own, asked once for each account
//! and remembered until settings or directory change. Counts are those of [`super::count`]: fixed windows of a minute
//! or an hour, shared by all nodes.

use std::net::IpAddr;

use super::Screen;
use super::count::{Amount, Subject};
use crate::directory::throttle;
use crate::mail::AccountId;
use crate::sql;

const ACCOUNT_LIMITS: &str = sql!("screen/account_limits");

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
/// Accounts whose limits are remembered; when they are more, all are forgotten.
const REMEMBERED: usize = 100_000;

/// An account's own limits in an hour; none = the server's, 0 = no limit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    messages: Option<i64>,
    recipients: Option<i64>,
}

/// What a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Connections.
    #[error("Too many connections in a short time, come again later")]
    Connections,
    /// Recipients that do not exist.
    #[error("Too many unknown recipients, come again later")]
    UnknownRecipients,
    /// Messages.
    #[error("Too many messages in a short time, try again later")]
    Messages,
    /// Recipients.
    #[error("Too many recipients in a short time, try again later")]
    Recipients,
}

impl Screen {
    /// Counts a connection from this host.
    pub fn connection(&self, peer: IpAddr) -> Result<(), Exceeded> {
        let config = self.control.config();
        let limits = &config.screen.smtp_limit;
        if self.is_trusted(&config, peer) {
            return Ok(());
        }
        if !self.few_unknown(peer, limits.peer_unknown_recipients_per_hour) {
            return Err(Exceeded::UnknownRecipients);
        }
        let most = limits.peer_connections_per_minute;
        if self.count("peer connections", throttle::key_for_peer(peer), MINUTE, most) {
            Ok(())
        } else {
            Err(Exceeded::Connections)
        }
    }

    fn few_unknown(&self, peer: IpAddr, most: i64) -> bool {
        let subject =
            Subject { kind: "peer unknown recipients", key: throttle::key_for_peer(peer), seconds: HOUR };
        most == 0 || self.counters.fits(subject, Amount::of(1), Amount::of(most), super::now())
    }

    /// Counts a recipient that does not exist. An error: there were too many of them.
    pub fn unknown_recipient(&self, peer: IpAddr) -> Result<(), Exceeded> {
        let config = self.control.config();
        let most = config.screen.smtp_limit.peer_unknown_recipients_per_hour;
        if self.is_trusted(&config, peer)
            || self.count("peer unknown recipients", throttle::key_for_peer(peer), HOUR, most)
        {
            Ok(())
        } else {
            Err(Exceeded::UnknownRecipients)
        }
    }

    /// Counts a message that a host or an account begins.
    pub async fn message(&self, peer: IpAddr, account: Option<AccountId>) -> Result<(), Exceeded> {
        let config = self.control.config();
        let limits = &config.screen.smtp_limit;
        let fits = match account {
            Some(account) => {
                let own = self.own_limits(account).await.messages.unwrap_or(limits.account_messages_per_hour);
                let key = account.0.to_string();
                self.count("account messages", key.clone(), MINUTE, limits.account_messages_per_minute)
                    && self.count("account messages in an hour", key, HOUR, own)
            }
            None => {
                let most = limits.peer_messages_per_minute;
                self.is_trusted(&config, peer)
                    || self.count("peer messages", throttle::key_for_peer(peer), MINUTE, most)
            }
        };
        if fits { Ok(()) } else { Err(Exceeded::Messages) }
    }

    /// Counts a recipient.
    pub async fn recipient(&self, peer: IpAddr, account: Option<AccountId>) -> Result<(), Exceeded> {
        let config = self.control.config();
        let limits = &config.screen.smtp_limit;
        let fits = match account {
            Some(account) => {
                let own =
                    self.own_limits(account).await.recipients.unwrap_or(limits.account_recipients_per_hour);
                self.count("account recipients in an hour", account.0.to_string(), HOUR, own)
            }
            None => {
                let most = limits.peer_recipients_per_minute;
                self.is_trusted(&config, peer)
                    || self.count("peer recipients", throttle::key_for_peer(peer), MINUTE, most)
            }
        };
        if fits { Ok(()) } else { Err(Exceeded::Recipients) }
    }

    /// Counts one more; nothing is counted where there is no limit.
    fn count(&self, kind: &'static str, key: String, seconds: i64, most: i64) -> bool {
        most == 0
            || self.counters.add(
                Subject { kind, key, seconds },
                Amount::of(1),
                Amount::of(most),
                super::now(),
            )
    }

    async fn own_limits(&self, account: AccountId) -> Own {
        if let Some(own) = super::lock(&self.own_limits).get(&account) {
            return *own;
        }
        let epoch = self.epoch();
        let own = match self.control.db.query_opt(ACCOUNT_LIMITS, &[&account.0]).await {
            Ok(row) => {
                row.map_or_else(Own::default, |row| Own { messages: row.get(0), recipients: row.get(1) })
            }
            Err(error) => {
                // The database is away: the message will find that out by itself.
                tracing::debug!(%error, "the limits of an account are not known");
                return Own::default();
            }
        };
        let mut remembered = super::lock(&self.own_limits);
        if self.epoch() == epoch {
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(account, own);
        }
        own
    }
}
