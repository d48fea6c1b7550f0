//! VRFY and EXPN (RFC 5321 §3.5), and ETRN (RFC 1985): questions that only our own people are answered.

use super::session::{Session, temporary};
use crate::control::config::Config;
use crate::directory::Route;
use crate::mail::{Address, Path, domain_to_ascii, parse_path};
use crate::queue;
use crate::smtp::Reply;

/// Members of an alias that EXPN shows; a reply has no more lines.
const MEMBERS: usize = 99;

impl Session {
    /// Whether this client is told about addresses and queues, where the setting is on.
    fn is_one_of_ours(&self, config: &Config) -> bool {
        self.login.is_some() || self.relays_by_address(config)
    }

    pub(super) async fn vrfy(&self, text: &str) -> Reply {
        let config = self.config();
        if !config.smtp.vrfy || !self.is_one_of_ours(&config) {
            return Reply::not_verified();
        }
        let address = match self.asked_for(text).await {
            Ok(address) => address,
            Err(reply) => return reply,
        };
        match self.house.directory.resolve(&address, true).await.as_deref() {
            Ok(Route::To { .. }) => Reply::new(250, (2, 1, 5), format!("<{address}>")),
            Ok(Route::NotLocal) => Reply::not_verified(),
            Ok(Route::Unknown | Route::Restricted) => Reply::no_mailbox(),
            Err(error) => temporary(error),
        }
    }

    pub(super) async fn expn(&self, text: &str) -> Reply {
        let config = self.config();
        if !self.is_one_of_ours(&config) {
            return Reply::refused("Only users of this server may ask who is behind an alias");
        }
        let address = match self.asked_for(text).await {
            Ok(address) => address,
            Err(reply) => return reply,
        };
        // One more than is shown, to know whether there are more.
        let members = match self.house.directory.members(&address, MEMBERS as i64 + 1).await {
            Ok(members) => members,
            Err(error) => return temporary(&error),
        };
        if members.len() > MEMBERS {
            return Reply::new(550, (5, 7, 1), "This alias has too many members to be shown");
        }
        let mut lines = members.into_iter().map(|member| format!("<{member}>"));
        let Some(first) = lines.next() else {
            return Reply::new(550, (5, 1, 1), "There is no such alias");
        };
        lines.fold(Reply::new(250, (2, 1, 5), first), Reply::and)
    }

    pub(super) async fn etrn(&self, name: &str) -> Reply {
        let config = self.config();
        if !self.is_one_of_ours(&config) {
            return Reply::new(459, (4, 7, 1), "Only users of this server may start its queue");
        }
        let (name, with_subdomains) = match name.split_at_checked(1) {
            Some(("@", domain)) => (domain, true),
            Some(("#", _)) => return Reply::new(458, (4, 3, 0), "Queues have no names here, only domains"),
            _ => (name, false),
        };
        let Ok(domain) = domain_to_ascii(name.as_bytes()) else {
            return Reply::new(501, (5, 5, 4), "Syntax: ETRN [@]domain");
        };
        match queue::hasten(&self.house.control.db, &domain, with_subdomains).await {
            // RFC 1985 §5.3.
            Ok(0) => Reply::new(251, (2, 0, 0), format!("No messages waiting for {domain}")),
            Ok(waiting) => {
                Reply::new(253, (2, 0, 0), format!("{waiting} pending messages for {domain} started"))
            }
            Err(error) => temporary(&error),
        }
    }

    /// The address that VRFY or EXPN asks for: in brackets or not, without a domain in the default one.
    async fn asked_for(&self, text: &str) -> Result<Address, Reply> {
        let text = text.trim();
        if let Ok((Path::Address(address), [])) = parse_path(text.as_bytes()) {
            return Ok(address);
        }
        if let Ok(address) = Address::parse(text.as_bytes()) {
            return Ok(address);
        }
        let home = self.house.directory.postmaster().await.map_err(|error| temporary(&error))?;
        home.and_then(|home| Address::from_parts(text, home.domain()).ok()).ok_or_else(Reply::no_mailbox)
    }
}
