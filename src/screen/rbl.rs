//! DNS lists (RFC 5782): of hosts, asked by their address, and of domains, asked by their name.
//!
//! All lists are asked at the same time, and waited for together no longer than the setting says. A list that fails, or
//! answers that it won't (127.255.255.*: an open resolver, too many questions), lists nobody; one that did not answer in
//! time is left alone for a minute, so that it does not hold up every message. Answers are remembered by the resolver
//! for as long as they say. Nothing here touches the database but a status written now and then.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::Refusal;
use crate::control::config::screen::{RblAction, RblKind, RblList, RblSettings};
use crate::db::{Db, Error};
use crate::dns::{Dns, Failure};
use crate::sql;

const WRITE_STATUS: &str = sql!("screen/write_rbl_status");

/// How long a list that did not answer is left alone.
const REST: Duration = Duration::from_secs(60);
/// How much of a list's reason is repeated.
const MAX_REASON: usize = 200;

/// Which answers of a list count: four octets, each from … to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answers([(u8, u8); 4]);

impl Answers {
    fn parse(text: &str) -> Option<Self> {
        let mut octets = [(0, 0); 4];
        let mut parts = text.split('.');
        for octet in &mut octets {
            *octet = match parts.next()? {
                "*" => (0, 255),
                part => match part.split_once('-') {
                    Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
                    None => {
                        let number = part.parse().ok()?;
                        (number, number)
                    }
                },
            };
        }
        parts.next().is_none().then_some(Self(octets))
    }

    fn has(&self, answer: Ipv4Addr) -> bool {
        self.0.iter().zip(answer.octets()).all(|((from, to), octet)| (*from..=*to).contains(&octet))
    }
}

/// A list that knows the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    zone: String,
    action: RblAction,
    weight: i32,
    /// What was asked about: an address or a domain.
    about: String,
    answers: Vec<Ipv4Addr>,
    /// What the list says about it.
    reason: Option<String>,
}

/// What follows from what all lists say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Why mail is refused.
    pub refusal: Option<Refusal>,
    /// What is written into the header: X-Mailwright-RBL without its name.
    pub mark: Option<String>,
    /// A list of good senders knows it.
    pub allowed: bool,
}

/// How a list has answered.
#[derive(Debug, Default, Clone)]
struct Health {
    asked: i64,
    listed: i64,
    failed: i64,
    error: Option<String>,
    failed_at: Option<i64>,
    rests_until: Option<Instant>,
    dirty: bool,
}

/// How the lists answer this node.
#[derive(Default)]
pub struct Lists(Mutex<HashMap<String, Health>>);

impl Lists {
    /// Asks all lists about a host and the domains that it names.
    pub async fn ask(
        &self,
        dns: &Dns,
        lists: &[RblList],
        settings: &RblSettings,
        peer: IpAddr,
        domains: &[&str],
    ) -> Vec<Hit> {
        let patience = Duration::from_secs(u64::from(settings.timeout_seconds));
        let host = reversed(peer);
        let mut questions = Vec::new();
        for list in lists {
            match list.kind {
                RblKind::Ip => questions.push((list, host.as_str(), peer.to_canonical().to_string())),
                RblKind::Domain => {
                    questions.extend(domains.iter().map(|domain| (list, *domain, (*domain).to_owned())));
                }
            }
        }
        let asked = questions
            .into_iter()
            .map(|(list, prefix, about)| self.ask_one(dns, list, prefix, about, patience));
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask_one(
        &self,
        dns: &Dns,
        list: &RblList,
        prefix: &str,
        about: String,
        patience: Duration,
    ) -> Option<Hit> {
        let until = Instant::now() + patience;
        if self
            .lock()
            .get(&list.zone)
            .is_some_and(|health| health.rests_until.is_some_and(|end| end > Instant::now()))
        {
            return None;
        }
        let name = format!("{prefix}.{}", list.zone);
        let answers = match timeout(patience, dns.ipv4(&name)).await {
            Ok(Ok(answer)) => answer.records,
            Ok(Err(Failure::Temporary(error) | Failure::Bogus(error))) => {
                self.failed(&list.zone, error, true);
                return None;
            }
            Err(_) => {
                self.failed(&list.zone, format!("no answer within {} seconds", patience.as_secs()), true);
                return None;
            }
        };
        if let Some(odd) = answers.iter().find(|answer| !is_answer(**answer)) {
            let error = match odd.octets() {
                [127, 255, 255, _] => {
                    format!("it answers {odd}: it won't answer this resolver, or not so many questions")
                }
                _ => format!("it answers {odd}, which is no answer of a DNS list"),
            };
            self.failed(&list.zone, error, false);
            return None;
        }
        let patterns: Vec<Answers> = list.answers.iter().filter_map(|text| Answers::parse(text)).collect();
        let answers: Vec<Ipv4Addr> = answers
            .into_iter()
            .filter(|answer| patterns.iter().any(|pattern| pattern.has(*answer)))
            .collect();
        self.answered(&list.zone, !answers.is_empty());
        if answers.is_empty() {
            return None;
        }
        let mut reason = None;
        if matches!(list.action, RblAction::Reject | RblAction::Tempfail)
            && let Ok(Ok(text)) = tokio::time::timeout_at(until, dns.txt(&name)).await
        {
            reason = text.records.first().map(|text| plain(text));
        }
        let (zone, action, weight) = (list.zone.clone(), list.action, list.weight);
        Some(Hit { zone, action, weight, about, answers, reason })
    }

    fn answered(&self, zone: &str, listed: bool) {
        let mut lists = self.lock();
        let health = lists.entry(zone.to_owned()).or_default();
        health.asked += 1;
        health.listed += i64::from(listed);
        health.dirty = true;
    }

    fn failed(&self, zone: &str, error: String, rests: bool) {
        let mut lists = self.lock();
        let health = lists.entry(zone.to_owned()).or_default();
        if health.error.as_ref() != Some(&error) {
            tracing::warn!(zone, error, "a DNS list does not answer and counts as listing nobody");
        }
        health.asked += 1;
        health.failed += 1;
        health.error = Some(error);
        health.failed_at = Some(super::now());
        health.rests_until = rests.then(|| Instant::now() + REST);
        health.dirty = true;
    }

    /// Asks lists again that are left alone: settings have changed, maybe the resolver.
    pub fn forgive(&self) {
        self.lock().values_mut().for_each(|health| health.rests_until = None);
    }

    /// Writes how the lists answer; nothing when nothing has changed.
    pub async fn write(&self, db: &Db, node: &str) -> Result<(), Error> {
        let rows: Vec<(String, Health)> = {
            let mut lists = self.lock();
            let changed = lists.iter_mut().filter_map(|(zone, health)| {
                std::mem::take(&mut health.dirty).then(|| (zone.clone(), health.clone()))
            });
            changed.collect()
        };
        if rows.is_empty() {
            return Ok(());
        }
        let zones: Vec<&str> = rows.iter().map(|(zone, _)| zone.as_str()).collect();
        let asked: Vec<i64> = rows.iter().map(|(_, health)| health.asked).collect();
        let listed: Vec<i64> = rows.iter().map(|(_, health)| health.listed).collect();
        let failed: Vec<i64> = rows.iter().map(|(_, health)| health.failed).collect();
        let errors: Vec<Option<&str>> = rows.iter().map(|(_, health)| health.error.as_deref()).collect();
        let failed_at: Vec<Option<i64>> = rows.iter().map(|(_, health)| health.failed_at).collect();
        db.execute(WRITE_STATUS, &[&node, &zones, &asked, &listed, &failed, &errors, &failed_at])
            .await
            .map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Health>> {
        // Every change under the lock is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a DNS list says something with this answer (RFC 5782 §2.1).
fn is_answer(answer: Ipv4Addr) -> bool {
    let octets = answer.octets();
    octets.first() == Some(&127) && !octets.starts_with(&[127, 255, 255])
}

/// What follows from the hits. A list of good senders outdoes all others.
pub fn judge(hits: &[Hit], settings: &RblSettings) -> Judgement {
    if hits.is_empty() {
        return Judgement::default();
    }
    let allowed = hits.iter().any(|hit| hit.action == RblAction::Allow);
    let score: i32 = hits.iter().map(|hit| hit.weight).sum();
    let of = |action| hits.iter().find(|hit| hit.action == action);
    let reached = |limit: i32| limit > 0 && score >= limit;
    let refusal = if allowed {
        None
    } else if let Some(hit) = of(RblAction::Reject) {
        Some(Refusal::Rejected(listed_by(hit)))
    } else if reached(settings.reject_score) {
        let zones: BTreeMap<&str, ()> =
            hits.iter().filter(|hit| hit.weight > 0).map(|hit| (hit.zone.as_str(), ())).collect();
        let zones: Vec<&str> = zones.into_keys().collect();
        Some(Refusal::Rejected(format!("Mail is refused: the sender is listed by {}", zones.join(", "))))
    } else {
        of(RblAction::Tempfail).map(|hit| Refusal::Later(listed_by(hit)))
    };
    let marked =
        allowed || of(RblAction::Mark).is_some() || refusal.is_some() || reached(settings.mark_score);
    let mark = marked.then(|| {
        let lists: Vec<String> = hits
            .iter()
            .map(|hit| {
                let answers: Vec<String> = hit.answers.iter().take(5).map(Ipv4Addr::to_string).collect();
                format!("{} ({})", hit.zone, answers.join(" "))
            })
            .collect();
        format!("{}; score={score}", lists.join(", "))
    });
    Judgement { refusal, mark, allowed }
}

fn listed_by(hit: &Hit) -> String {
    let Hit { zone, about, .. } = hit;
    match &hit.reason {
        Some(reason) => format!("{about} is listed by {zone}: {reason}"),
        None => format!("{about} is listed by {zone}"),
    }
}

/// What a stranger wrote, fit for a reply.
fn plain(text: &str) -> String {
    text.chars().take(MAX_REASON).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// An address as lists are asked (RFC 5782 §2.1, §2.4): octets, or half octets, from the last to the first.
fn reversed(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let nibbles: Vec<String> = (0..32).map(|n| format!("{:x}", (bits >> (4 * n)) & 15)).collect();
            nibbles.join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(zone: &str, action: RblAction, weight: i32) -> Hit {
        Hit {
            zone: zone.to_owned(),
            action,
            weight,
            about: "192.0.2.1".to_owned(),
            answers: vec![Ipv4Addr::new(127, 0, 0, 2)],
            reason: Some("see https://x.test/".to_owned()),
        }
    }

    fn settings() -> RblSettings {
        super::super::tests::settings().rbl_settings
    }

    #[test]
    fn answers_are_patterns() {
        for (pattern, answer, expected) in [
            ("127.0.0.2", "127.0.0.2", true),
            ("127.0.0.2", "127.0.0.3", false),
            ("127.0.0.2-11", "127.0.0.11", true),
            ("127.0.0.2-11", "127.0.0.12", false),
            ("127.0.*.3", "127.0.9.3", true),
            ("127.0.*.3", "127.1.9.3", false),
        ] {
            let answers = Answers::parse(pattern).unwrap();
            assert_eq!(answers.has(answer.parse().unwrap()), expected, "{pattern} {answer}");
        }
        for bad in ["127.0.0", "127.0.0.0.1", "127.0.0.256", "127.0.0.x", ""] {
            assert_eq!(Answers::parse(bad), None, "{bad}");
        }
        assert!(!is_answer(Ipv4Addr::new(127, 255, 255, 254)) && !is_answer(Ipv4Addr::new(192, 0, 2, 1)));
    }

    #[test]
    fn addresses_are_asked_backwards() {
        assert_eq!(reversed("192.0.2.1".parse().unwrap()), "1.2.0.192");
        assert_eq!(reversed("::ffff:192.0.2.1".parse().unwrap()), "1.2.0.192");
        let six = reversed("2001:db8::1".parse().unwrap());
        assert!(six.starts_with("1.0.0.0.") && six.ends_with(".8.b.d.0.1.0.0.2") && six.len() == 63, "{six}");
    }

    #[test]
    fn the_strongest_action_wins_and_good_senders_pass() {
        let judged =
            judge(&[hit("m.test", RblAction::Mark, 0), hit("r.test", RblAction::Reject, 0)], &settings());
        let Some(Refusal::Rejected(text)) = judged.refusal else { panic!("{judged:?}") };
        assert_eq!(text, "192.0.2.1 is listed by r.test: see https://x.test/");
        let judged = judge(&[hit("t.test", RblAction::Tempfail, 0)], &settings());
        assert!(matches!(judged.refusal, Some(Refusal::Later(_))));
        let judged =
            judge(&[hit("r.test", RblAction::Reject, 0), hit("good.test", RblAction::Allow, 0)], &settings());
        assert!(judged.refusal.is_none() && judged.allowed, "{judged:?}");
        let judged = judge(&[hit("m.test", RblAction::Mark, 2)], &settings());
        assert_eq!(judged.refusal, None);
        assert_eq!(judged.mark.as_deref(), Some("m.test (127.0.0.2); score=2"));
        assert_eq!(judge(&[], &settings()), Judgement::default());
    }

    #[test]
    fn weights_add_up() {
        let score = |zone, weight| hit(zone, RblAction::Score, weight);
        let judged = judge(&[score("a.test", 4)], &settings());
        assert_eq!(judged, Judgement::default());
        let judged = judge(&[score("a.test", 4), score("b.test", 3)], &settings());
        assert!(judged.refusal.is_none() && judged.mark.is_some(), "{judged:?}");
        let judged = judge(&[score("a.test", 6), score("b.test", 6)], &settings());
        assert!(
            matches!(judged.refusal, Some(Refusal::Rejected(text)) if text.ends_with("by a.test, b.test"))
        );
        let judged = judge(&[score("a.test", 6), score("b.test", 6), score("good.test", -5)], &settings());
        assert!(judged.refusal.is_none() && judged.mark.is_some());
    }
}
