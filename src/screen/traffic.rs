//! The traffic service: how much mail a host may bring, and a user may send to other servers, in one interval.
//!
//! Of the rules that match only the most specific one counts. For a host that is the longest prefix (see
//! [`ip::Specificity`](crate::ip::Specificity)). For a sender: a rule for a user (with `@`) before one for a domain, one
//! without wildcards before one with, of two with wildcards that with more other characters; `*` comes last. What a rule
//! with `@`, or `*`, allows it allows to each user; what a rule for a domain allows, to all users of that domain together.
//!
//! Counted is at the end of the message, for each recipient; before, at RCPT, it is only seen whether there is room. Costs
//! no round trip (see [`super::count`]).

use std::net::IpAddr;

use super::count::{Amount, Subject};
use crate::control::config::screen::{Screen as Settings, TrafficDirection, TrafficRule};
use crate::ip::{Pattern, PatternMap};

/// The rules, made ready to be asked.
#[derive(Debug, Default)]
pub struct Rules {
    incoming: PatternMap<Amount>,
    /// The most specific first.
    outgoing: Vec<(String, Amount)>,
}

impl Rules {
    /// Reads the rules.
    pub fn new(rules: &[TrafficRule]) -> Self {
        let mut incoming = PatternMap::new();
        let mut outgoing = Vec::new();
        for rule in rules {
            let limit =
                Amount { count: rule.max_messages, bytes: rule.max_megabytes.saturating_mul(1024 * 1024) };
            match rule.direction {
                TrafficDirection::Incoming => match rule.pattern.parse::<Pattern>() {
                    Ok(pattern) => incoming.insert(pattern, limit),
                    Err(error) => tracing::error!(%error, "a traffic rule is left out"),
                },
                TrafficDirection::Outgoing => outgoing.push((rule.pattern.clone(), limit)),
            }
        }
        outgoing.sort_by_cached_key(|(pattern, _)| std::cmp::Reverse(specificity(pattern)));
        Self { incoming, outgoing }
    }

    /// What is counted for mail from this host, and how much of it there may be.
    pub fn incoming(&self, peer: IpAddr, settings: &Settings) -> (Subject, Amount) {
        let limit = self.incoming.most_specific(peer).copied().unwrap_or_default();
        let key = peer.to_canonical().to_string();
        (Subject { kind: "incoming", key, seconds: interval(settings) }, limit)
    }

    /// The same for mail of this user, whose address is in its key form.
    pub fn outgoing(&self, user: &str, settings: &Settings) -> (Subject, Amount) {
        let domain = user.rsplit_once('@').map_or("", |(_, domain)| domain);
        let rule = self.outgoing.iter().find(|(pattern, _)| {
            let whole = pattern.contains('@') || pattern == "*";
            fits(pattern.as_bytes(), if whole { user } else { domain }.as_bytes())
        });
        let (key, limit) = match rule {
            Some((pattern, limit)) if !pattern.contains('@') && pattern != "*" => (domain, *limit),
            Some((_, limit)) => (user, *limit),
            None => (user, Amount::default()),
        };
        (Subject { kind: "outgoing", key: key.to_owned(), seconds: interval(settings) }, limit)
    }
}

fn interval(settings: &Settings) -> i64 {
    i64::from(settings.traffic.interval_minutes.max(1)) * 60
}

/// The greater, the more specific.
fn specificity(pattern: &str) -> (bool, bool, usize) {
    let wild = pattern.chars().filter(|c| matches!(c, '*' | '?')).count();
    (pattern.contains('@'), wild == 0, pattern.chars().count() - wild)
}

/// Whether a text fits a pattern with `*` and `?`. Takes no more than the product of the lengths.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(direction: TrafficDirection, patterns: &[&str]) -> Rules {
        let rules: Vec<TrafficRule> = patterns
            .iter()
            .zip(1..)
            .map(|(pattern, max_messages)| TrafficRule {
                direction,
                pattern: (*pattern).to_owned(),
                max_messages,
                max_megabytes: 0,
            })
            .collect();
        Rules::new(&rules)
    }

    fn settings() -> Settings {
        super::super::tests::settings()
    }

    #[test]
    fn the_most_specific_sender_rule_wins() {
        let patterns = [
            "*",
            "*.test",
            "example.test",
            "*@example.test",
            "a*@example.test",
            "alice@example.test",
            "?b@*",
        ];
        let rules = rules(TrafficDirection::Outgoing, &patterns);
        for (user, rule, key) in [
            ("alice@example.test", "alice@example.test", "alice@example.test"),
            ("anna@example.test", "a*@example.test", "anna@example.test"),
            ("bob@example.test", "*@example.test", "bob@example.test"),
            ("bb@other.net", "?b@*", "bb@other.net"),
            ("bob@other.test", "*.test", "other.test"),
            ("bob@other.net", "*", "bob@other.net"),
        ] {
            let (subject, limit) = rules.outgoing(user, &settings());
            let place = usize::try_from(limit.count).unwrap() - 1;
            assert_eq!((patterns[place], subject.key.as_str()), (rule, key), "{user}");
        }
    }

    #[test]
    fn a_domain_rule_counts_the_domain() {
        let rules = rules(TrafficDirection::Outgoing, &["*", "example.test"]);
        let (subject, limit) = rules.outgoing("bob@example.test", &settings());
        assert_eq!((subject.key.as_str(), limit.count), ("example.test", 2));
    }

    #[test]
    fn an_exempted_address_is_exempt() {
        let incoming =
            [("*", 100), ("192.168.0.1", 0), ("192.168.*", 7)].map(|(pattern, max_messages)| TrafficRule {
                direction: TrafficDirection::Incoming,
                pattern: pattern.to_owned(),
                max_messages,
                max_megabytes: 2,
            });
        let rules = Rules::new(&incoming);
        for (peer, count) in [("192.168.0.1", 0), ("192.168.0.2", 7), ("10.0.0.1", 100), ("::1", 100)] {
            let (subject, limit) = rules.incoming(peer.parse().unwrap(), &settings());
            assert_eq!((limit.count, limit.bytes, subject.key.as_str()), (count, 2 << 20, peer));
        }
        // Without a rule there is no limit, and it is counted all the same.
        let (subject, limit) = Rules::default().incoming("::1".parse().unwrap(), &settings());
        assert_eq!((subject.key.as_str(), limit), ("::1", Amount::default()));
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcb", false),
            ("?", "", false),
            ("*a*b*", "xxaxxb", true),
            ("", "a", false),
            ("**", "a", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
