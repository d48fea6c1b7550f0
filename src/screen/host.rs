//! Who the connecting host is: its name in DNS, and whether it introduces itself by a name that can be its own.
//!
//! All lookups run at the same time and are waited for together no longer than the setting says. DNS trouble is held
//! against nobody. A check that is off asks nothing.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::{Refusal, Stranger};
use crate::control::Config;
use crate::control::config::screen::{CheckAction, ConnectionCheck};
use crate::dns::Dns;

/// Names of one address that are tried.
const MAX_NAMES: usize = 5;

/// The name of a host, by its address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ReverseName {
    /// Nobody has asked, or DNS did not answer.
    #[default]
    NotKnown,
    /// It has none.
    None,
    /// It has this one, which does not lead back.
    Unconfirmed(String),
    /// It has this one, and the name leads back to the address.
    Confirmed(String),
}

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The host's name.
    pub reverse: ReverseName,
    /// Why mail is refused.
    pub refusal: Option<Refusal>,
    /// What is marked, by the names of the settings.
    pub marks: Vec<&'static str>,
}

/// Looks at a host.
pub async fn check(dns: &Dns, config: &Config, stranger: &Stranger<'_>, name_wanted: bool) -> Checked {
    let settings = &config.screen.connection_check;
    let patience = Duration::from_secs(u64::from(settings.timeout_seconds));
    let on = |action| action != CheckAction::Off;
    let ask_name = name_wanted || on(settings.no_reverse_name) || on(settings.reverse_name_unconfirmed);
    let literal = literal(stranger.helo);
    let qualified = literal.is_some() || is_qualified(stranger);
    let ask_helo = on(settings.helo_unknown) && literal.is_none() && qualified;
    let (reverse, unknown) = tokio::join!(
        async {
            match ask_name {
                true => timeout(patience, reverse_name(dns, stranger.peer)).await.unwrap_or_default(),
                false => ReverseName::NotKnown,
            }
        },
        async { ask_helo && timeout(patience, is_unknown(dns, stranger.helo)).await.unwrap_or(false) },
    );
    let findings = [
        (reverse == ReverseName::None, "no-reverse-name", settings.no_reverse_name),
        (
            matches!(reverse, ReverseName::Unconfirmed(_)),
            "reverse-name-unconfirmed",
            settings.reverse_name_unconfirmed,
        ),
        (!qualified, "helo-not-qualified", settings.helo_not_qualified),
        (unknown, "helo-unknown", settings.helo_unknown),
        (stranger.helo_is_us, "helo-is-us", settings.helo_is_us),
        (
            literal.is_some_and(|literal| literal.to_canonical() != stranger.peer.to_canonical()),
            "helo-wrong-literal",
            settings.helo_wrong_literal,
        ),
    ];
    let mut checked = Checked { reverse, ..Checked::default() };
    for (found, name, action) in findings {
        if !found {
            continue;
        }
        match action {
            CheckAction::Off => {}
            CheckAction::Mark => checked.marks.push(name),
            CheckAction::Tempfail => {
                checked.refusal.get_or_insert_with(|| Refusal::Later(sentence(name, stranger)));
            }
            CheckAction::Reject => {
                if !matches!(checked.refusal, Some(Refusal::Rejected(_))) {
                    checked.refusal = Some(Refusal::Rejected(sentence(name, stranger)));
                }
            }
        }
    }
    checked
}

/// Whether any check is on that depends on what a host says of itself or on DNS.
pub fn is_on(settings: &ConnectionCheck) -> bool {
    [
        settings.no_reverse_name,
        settings.reverse_name_unconfirmed,
        settings.helo_not_qualified,
        settings.helo_unknown,
        settings.helo_is_us,
        settings.helo_wrong_literal,
    ]
    .iter()
    .any(|action| *action != CheckAction::Off)
}

fn sentence(check: &str, stranger: &Stranger<'_>) -> String {
    let peer = stranger.peer.to_canonical();
    match check {
        "no-reverse-name" => format!("Your address {peer} has no name in DNS"),
        "reverse-name-unconfirmed" => {
            format!("The name of your address {peer} in DNS does not lead back to it")
        }
        "helo-not-qualified" => "The name in your EHLO is no full host name".to_owned(),
        "helo-unknown" => "The name in your EHLO is not in DNS".to_owned(),
        "helo-is-us" => "The name in your EHLO is ours".to_owned(),
        _ => "The address in your EHLO is not yours".to_owned(),
    }
}

/// A full host name has a dot inside.
fn is_qualified(stranger: &Stranger<'_>) -> bool {
    let name = stranger.helo.trim_end_matches('.');
    stranger.well_formed && name.contains('.') && !name.starts_with('.') && name.parse::<IpAddr>().is_err()
}

/// The address of an address literal (RFC 5321 §4.1.3).
fn literal(helo: &str) -> Option<IpAddr> {
    let inside = helo.strip_prefix('[')?.strip_suffix(']')?;
    match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inside.get(5..)?.parse().ok().map(IpAddr::V6),
        _ => inside.parse().ok().map(IpAddr::V4),
    }
}

async fn reverse_name(dns: &Dns, peer: IpAddr) -> ReverseName {
    let Ok(names) = dns.ptr(peer).await else { return ReverseName::NotKnown };
    let mut names = names.records;
    names.truncate(MAX_NAMES);
    let Some(first) = names.first().cloned() else { return ReverseName::None };
    let mut trouble = false;
    for name in names {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match leads_to(dns, &name, peer).await {
            Some(true) => return ReverseName::Confirmed(name),
            Some(false) => {}
            None => trouble = true,
        }
    }
    if trouble {
        return ReverseName::NotKnown;
    }
    ReverseName::Unconfirmed(first.trim_end_matches('.').to_ascii_lowercase())
}

/// Whether a name has this address; none when DNS does not say.
pub async fn leads_to(dns: &Dns, name: &str, peer: IpAddr) -> Option<bool> {
    match peer.to_canonical() {
        IpAddr::V4(peer) => dns.ipv4(name).await.ok().map(|answer| answer.records.contains(&peer)),
        IpAddr::V6(peer) => dns.ipv6(name).await.ok().map(|answer| answer.records.contains(&peer)),
    }
}

/// Whether DNS knows nothing of a name.
async fn is_unknown(dns: &Dns, name: &str) -> bool {
    let (addresses, mx) = tokio::join!(dns.addresses(name), dns.mx(name));
    matches!((addresses, mx), (Ok(addresses), Ok(mx)) if addresses.records.is_empty() && mx.records.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        for (helo, expected) in [
            ("[192.0.2.1]", Some("192.0.2.1")),
            ("[IPv6:2001:db8::1]", Some("2001:db8::1")),
            ("[ipv6:::1]", Some("::1")),
            ("192.0.2.1", None),
            ("[mx.test]", None),
            ("[", None),
        ] {
            assert_eq!(literal(helo), expected.map(|text| text.parse().unwrap()), "{helo}");
        }
    }

    #[test]
    fn a_full_name_has_a_dot() {
        for (helo, expected) in [
            ("mx.example.test", true),
            ("mx.example.test.", true),
            ("localhost", false),
            ("192.0.2.1", false),
            (".test", false),
            ("test.", false),
        ] {
            let stranger = Stranger {
                peer: "192.0.2.1".parse().unwrap(),
                helo,
                well_formed: true,
                helo_is_us: false,
                sender: None,
            };
            assert_eq!(is_qualified(&stranger), expected, "{helo}");
        }
    }
}
