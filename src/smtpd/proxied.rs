//! XCLIENT (Postfix): a trusted proxy says for which client it speaks.
//!
//! What must hold: only peers on the list are heard, and it is the peer that connected that counts, not the one it names;
//! from then on the client is the named one for everything that depends on who it is: connection control, limits, relaying,
//! screening, the trace, `live.session`. Nothing that was said before counts any more.

use std::net::{IpAddr, SocketAddr};

use super::session::{Answer, Hello, Session, State};
use crate::control::Refused;
use crate::control::config::Config;
use crate::directory::{Login, LoginError, Visitor};
use crate::intake::trace::Protocol;
use crate::smtp::xclient::{Attribute, Value};
use crate::smtp::{Helo, Reply};

impl Session {
    /// Whether XCLIENT is heard.
    pub(super) fn hears_xclient(&self, config: &Config) -> bool {
        !self.is_lmtp() && config.is_listed(config.smtp.xclient_ip_list_id, self.connected)
    }

    pub(super) async fn xclient(&mut self, told: Vec<(Attribute, Value)>) -> Answer {
        let Ok(client) = Client::of(&told) else {
            return Answer::last(Reply::new(501, (5, 5, 4), "The client's address cannot be read"));
        };
        let peer = match (client.address, client.port) {
            (None, None) => None,
            (ip, port) => {
                let known = self.handle.peer();
                Some(SocketAddr::new(ip.unwrap_or(known.ip()), port.unwrap_or(0)))
            }
        };
        if let Some(peer) = peer
            && let Err(refused) = self.stands_for(peer)
        {
            return refused;
        }
        let login = match client.login {
            Some(name) => match self.vouched_for(name).await {
                Ok(login) => Some(login),
                // Whoever goes on all the same must not do so with the rights of the client before.
                Err(error) => return Answer::last(Reply::new(454, (4, 7, 0), error.to_string())),
            },
            None => None,
        };
        // What was said until now was said by somebody else.
        self.guard.logout();
        self.handle.logout();
        self.login = None;
        self.state = State::Connected;
        self.screening.forget();
        if let Err(refused) = self.screen_connection() {
            return refused;
        }
        if let Some(login) = login
            && let Err(refused) = self.enter(login)
        {
            return refused;
        }
        if let Some(name) = client.helo {
            let helo = Helo::new(name);
            self.state = State::Greeted(Hello {
                name: helo.raw.to_owned(),
                well_formed: helo.well_formed,
                protocol: client.protocol,
            });
        }
        self.fit_lines();
        self.show("ready");
        Reply::greeting(self.config().hostname(), "ESMTP Mailwright").into()
    }

    /// The client is another one, if that one is let in.
    fn stands_for(&mut self, peer: SocketAddr) -> Result<(), Answer> {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if peer.ip() != self.handle.peer().ip() {
            self.house.control.admit_for(&mut self.guard, "smtp", peer).map_err(|why| {
                Answer::last(match why {
                    Refused::TooMany => Reply::new(421, (4, 7, 0), "Too many connections, try again later"),
                    Refused::Denied => {
                        Reply::new(554, (5, 7, 1), "Connections from your address are not permitted")
                    }
                })
            })?;
        }
        self.handle.speaks_for(peer);
        Ok(())
    }

    async fn vouched_for(&self, name: &str) -> Result<Login, LoginError> {
        let visitor = Visitor { peer: self.peer(), service: "smtp" };
        self.house.directory.vouched_for(visitor, name).await
    }
}

/// What the proxy tells of its client.
struct Client<'a> {
    address: Option<IpAddr>,
    port: Option<u16>,
    protocol: Protocol,
    helo: Option<&'a str>,
    login: Option<&'a str>,
}

impl<'a> Client<'a> {
    /// Reads what was told; a client whose address is not known can't be told from the proxy itself and is none.
    fn of(told: &'a [(Attribute, Value)]) -> Result<Self, ()> {
        let mut client =
            Client { address: None, port: None, protocol: Protocol::Esmtp, helo: None, login: None };
        for (attribute, value) in told {
            let text = match value {
                Value::Known(text) => Some(text.as_str()),
                Value::Unavailable | Value::TemporarilyUnavailable => None,
            };
            match attribute {
                Attribute::Addr => client.address = Some(text.and_then(address).ok_or(())?),
                Attribute::Port => client.port = text.map(|port| port.parse().map_err(drop)).transpose()?,
                Attribute::Proto if text.is_some_and(|text| text.eq_ignore_ascii_case("SMTP")) => {
                    client.protocol = Protocol::Smtp;
                }
                Attribute::Helo => client.helo = text,
                Attribute::Login => client.login = text,
                // Names are looked up by ourselves where they count.
                Attribute::Proto
                | Attribute::Name
                | Attribute::ReverseName
                | Attribute::DestAddr
                | Attribute::DestPort => {}
            }
        }
        Ok(client)
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("IPV6:") => rest,
        _ => text,
    };
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str) -> Value {
        Value::Known(text.to_owned())
    }

    #[test]
    fn addresses_must_be_known() {
        for value in
            [known("x"), known(""), known("IPV6:"), Value::Unavailable, Value::TemporarilyUnavailable]
        {
            assert!(Client::of(&[(Attribute::Addr, value)]).is_err());
        }
        assert!(Client::of(&[(Attribute::Port, known("65536"))]).is_err());
    }

    #[test]
    fn understood() {
        let told = [
            (Attribute::Addr, known("IPV6:2001:db8::1")),
            (Attribute::Port, Value::Unavailable),
            (Attribute::Proto, known("smtp")),
            (Attribute::Helo, known("there.example")),
            (Attribute::Login, Value::Unavailable),
        ];
        let Ok(client) = Client::of(&told) else { panic!() };
        assert_eq!(client.address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!((client.port, client.login, client.helo), (None, None, Some("there.example")));
        assert_eq!(client.protocol, Protocol::Smtp);
    }
}
