//! Screening: what is found out about hosts that bring mail without logging in, and how much they, and our users, may send.
//!
//! `host` looks at the connecting host, `rbl` asks DNS lists, `trust` proves that a host sends for a domain, `greylist`
//! asks unknown senders to come again; `limit` and `traffic` hold what is sent against limits, by the counts of `count`.
//! [`Screen`] puts them together; a face asks it and answers its client.
//!
//! House rules:
//! - Who has logged in, comes by LMTP or from a trusted address is not screened; limits of accounts hold for users.
//! - DNS trouble refuses nobody, and every lookup has a time limit.
//! - No message costs a commit: counts and triplets are kept in memory and written once a second, and a node that does
//!   not know a triplet asks once. What a message costs otherwise are lookups in the resolver's memory.
//! - Settings hold from the next command on.

pub mod count;
pub mod greylist;
pub mod host;
pub mod limit;
pub mod rbl;
pub mod traffic;
mod trust;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::control::{Config, Control, lease};
use crate::db::Error;
use crate::dns::Dns;
use crate::mail::{AccountId, Address};
use crate::sql;
use count::{Amount, Counters};
use greylist::{Greylist, Verdict};
use host::{Checked, ReverseName};
use limit::Own;
use rbl::Lists;
use traffic::Rules;

const PRUNE: &str = sql!("screen/prune");

/// How often nodes exchange what they have counted and seen.
const EXCHANGE: Duration = Duration::from_secs(1);
/// How often windows that are over are taken away.
const CLOSE: Duration = Duration::from_secs(5);
/// How often what is old is forgotten.
const TIDY: Duration = Duration::from_secs(600);

/// Who brings a message, and for whom he says he brings it.
#[derive(Debug, Clone, Copy)]
pub struct Stranger<'a> {
    /// Its address.
    pub peer: IpAddr,
    /// What it calls itself.
    pub helo: &'a str,
    /// Whether that is a host name or address literal.
    pub well_formed: bool,
    /// Whether that is our own name.
    pub helo_is_us: bool,
    /// MAIL FROM; none is the null sender.
    pub sender: Option<&'a Address>,
}

/// Why mail is not taken; the text is for the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// For good.
    #[error("{0}")]
    Rejected(String),
    /// For now.
    #[error("{0}")]
    Later(String),
}

/// What is known about a stranger.
#[derive(Debug, Default)]
pub struct Findings {
    /// The host's name.
    pub reverse: ReverseName,
    refusal: Option<Refusal>,
    rbl_mark: Option<String>,
    check_marks: Vec<&'static str>,
    /// A list of good senders knows it.
    allow_listed: bool,
    /// Neither lists nor greylisting hold it up.
    trusted: bool,
}

impl Findings {
    /// Writes the header fields that tell of it.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(mark) = &self.rbl_mark {
            let folded = mark.replace(", ", ",\r\n\t");
            out.extend_from_slice(format!("X-Mailwright-RBL: {folded}\r\n").as_bytes());
        }
        if !self.check_marks.is_empty() {
            let marks = self.check_marks.join(", ");
            out.extend_from_slice(format!("X-Mailwright-Check: {marks}\r\n").as_bytes());
        }
    }
}

/// Screening on this node.
pub struct Screen {
    control: Arc<Control>,
    dns: Dns,
    counters: Counters,
    greylist: Greylist,
    lists: Lists,
    own_limits: Mutex<HashMap<AccountId, Own>>,
    epoch: AtomicU64,
    /// The traffic rules of the settings with this generation.
    rules: Mutex<(i64, Arc<Rules>)>,
}

impl Screen {
    /// Starts it, with the task that exchanges counts with the other nodes.
    pub fn start(control: Arc<Control>, dns: Dns) -> Arc<Self> {
        let screen = Arc::new(Self {
            control: control.clone(),
            dns,
            counters: Counters::default(),
            greylist: Greylist::default(),
            lists: Lists::default(),
            own_limits: Mutex::default(),
            epoch: AtomicU64::new(0),
            rules: Mutex::new((-1, Arc::default())),
        });
        let weak = Arc::downgrade(&screen);
        control.on_change(move || {
            if let Some(screen) = weak.upgrade() {
                // First the epoch: an answer that was asked for before is then not remembered.
                screen.epoch.fetch_add(1, Ordering::SeqCst);
                lock(&screen.own_limits).clear();
                screen.lists.forgive();
                screen.greylist.forget();
            }
        });
        tokio::spawn(keep(Arc::downgrade(&screen)));
        screen
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn is_trusted(&self, config: &Config, peer: IpAddr) -> bool {
        config.is_listed(config.screen.rbl_settings.trusted_ip_list_id, peer)
    }

    /// Finds out about a stranger what the settings want to know. Takes as long as DNS does, within limits.
    pub async fn examine(&self, stranger: &Stranger<'_>) -> Findings {
        let config = self.control.config();
        if self.is_trusted(&config, stranger.peer) {
            return Findings { trusted: true, ..Findings::default() };
        }
        let settings = &config.screen;
        let rbl = config.service("rbl").is_some_and(|service| service.enabled);
        let greylisting = settings.greylist.enabled;
        let name_wanted = greylisting && settings.greylist.skip_confirmed_names;
        let (checked, judged) = tokio::join!(
            async {
                match name_wanted || host::is_on(&settings.connection_check) {
                    true => host::check(&self.dns, &config, stranger, name_wanted).await,
                    false => Checked::default(),
                }
            },
            async {
                match rbl {
                    true => self.ask_lists(&config, stranger).await,
                    false => rbl::Judgement::default(),
                }
            }
        );
        let mut findings = Findings {
            reverse: checked.reverse,
            refusal: checked.refusal,
            rbl_mark: judged.mark,
            check_marks: checked.marks,
            allow_listed: judged.allowed,
            trusted: false,
        };
        if (judged.refusal.is_some() || greylisting) && self.is_trusted_sender(&config, stranger).await {
            findings.trusted = true;
            return findings;
        }
        findings.refusal = match (findings.refusal.take(), judged.refusal) {
            (_, Some(refusal @ Refusal::Rejected(_))) => Some(refusal),
            (checked, judged) => checked.or(judged),
        };
        findings
    }

    async fn ask_lists(&self, config: &Config, stranger: &Stranger<'_>) -> rbl::Judgement {
        let settings = &config.screen.rbl_settings;
        let helo = stranger.helo.trim_end_matches('.');
        let helo =
            Some(helo).filter(|_| stranger.well_formed && helo.contains('.') && !helo.starts_with('['));
        let mut domains: Vec<&str> = stranger.sender.map(Address::domain).into_iter().chain(helo).collect();
        domains.dedup();
        let hits = self.lists.ask(&self.dns, &config.screen.rbl, settings, stranger.peer, &domains).await;
        rbl::judge(&hits, settings)
    }

    async fn is_trusted_sender(&self, config: &Config, stranger: &Stranger<'_>) -> bool {
        let domain = stranger.sender.map(Address::domain);
        domain.is_some_and(|domain| config.screen.trusted_sender_domains.contains(domain))
            && trust::is_proven(&self.dns, stranger).await
    }

    /// Whether a stranger's mail is taken for this recipient.
    pub async fn admit(
        &self,
        stranger: &Stranger<'_>,
        findings: &Findings,
        recipient: &Address,
    ) -> Result<(), Refusal> {
        let config = self.control.config();
        let exempt = config.screen.rbl_settings.exempt_postmaster
            && ["postmaster", "abuse"].iter().any(|name| recipient.local().eq_ignore_ascii_case(name));
        let outcome = match &findings.refusal {
            Some(refusal) if !exempt => Err(refusal.clone()),
            _ => self.greylist(&config, stranger, findings, recipient).await,
        };
        if let Err(refusal) = &outcome {
            tracing::info!(
                peer = %stranger.peer,
                helo = stranger.helo,
                sender = stranger.sender.map(ToString::to_string).unwrap_or_default(),
                %recipient,
                reason = %refusal,
                "mail is screened out"
            );
        }
        outcome
    }

    async fn greylist(
        &self,
        config: &Config,
        stranger: &Stranger<'_>,
        findings: &Findings,
        recipient: &Address,
    ) -> Result<(), Refusal> {
        let settings = &config.screen.greylist;
        let own_name = match &findings.reverse {
            ReverseName::Confirmed(name) => name.eq_ignore_ascii_case(stranger.helo.trim_end_matches('.')),
            _ => false,
        };
        if !settings.enabled
            || findings.trusted
            || (settings.skip_allow_listed && findings.allow_listed)
            || (settings.skip_confirmed_names && own_name)
        {
            return Ok(());
        }
        let sender = stranger.sender.map(Address::key).unwrap_or_default();
        let (db, peer) = (&self.control.db, stranger.peer);
        let verdict = self.greylist.judge(db, settings, peer, &sender, &recipient.key(), now()).await;
        match verdict {
            Ok(Verdict::Pass) => Ok(()),
            // Asked last, for it is the dearest question; an answer is remembered by the resolver.
            Ok(Verdict::Wait(_))
                if settings.skip_spf_pass && trust::spf_passes(&self.dns, stranger).await =>
            {
                Ok(())
            }
            Ok(Verdict::Wait(seconds)) => Err(Refusal::Later(format!(
                "Greylisted: this sender is new here, try again in {seconds} seconds"
            ))),
            Err(error) => {
                if !error.is_unavailable() {
                    tracing::error!(%error, "greylisting");
                }
                Err(Refusal::Later("The server cannot check the sender now, try again later".to_owned()))
            }
        }
    }

    /// Whether the traffic service has room for so many more messages, of so many bytes together, from a host or (where
    /// an address is given) of a user; where `counted`, they are counted. Yes where the service does not run.
    pub fn traffic(&self, peer: IpAddr, user: Option<&str>, amount: Amount, counted: bool) -> bool {
        let config = self.control.config();
        if amount.count == 0 || !config.service("traffic").is_some_and(|service| service.enabled) {
            return true;
        }
        let rules = self.rules(&config);
        let (subject, limit) = match user {
            Some(user) => rules.outgoing(user, &config.screen),
            None => rules.incoming(peer, &config.screen),
        };
        let now = now();
        if counted {
            self.counters.add(subject, amount, limit, now)
        } else {
            self.counters.fits(subject, amount, limit, now)
        }
    }

    fn rules(&self, config: &Config) -> Arc<Rules> {
        let mut rules = lock(&self.rules);
        if rules.0 != config.config_generation {
            *rules = (config.config_generation, Arc::new(Rules::new(&config.screen.traffic_rules)));
        }
        rules.1.clone()
    }

    /// Takes back what was counted for a message that then was not taken.
    pub fn take_back_traffic(&self, peer: IpAddr, user: Option<&str>, amount: Amount) {
        self.traffic(peer, user, Amount { count: -amount.count, bytes: -amount.bytes }, true);
    }

    /// Writes what is still to be written: the node stops.
    pub async fn finish(&self) {
        if let Err(error) = self.exchange().await {
            tracing::debug!(%error, "what was screened last is not written");
        }
    }

    /// Tells the other nodes, and hears what they have to tell.
    async fn exchange(&self) -> Result<(), Error> {
        let db = &self.control.db;
        let config = self.control.config();
        self.counters.exchange(db, now()).await?;
        self.greylist.write(db, &config.screen.greylist).await?;
        self.lists.write(db, &self.control.node.name).await
    }

    async fn tidy(&self) -> Result<(), Error> {
        let control = &self.control;
        if !lease::take(&control.db, "screen.tidy", &control.node.name, TIDY * 2).await? {
            return Ok(());
        }
        let config = control.config();
        let (history, greylist) = (config.screen.traffic.history_days, &config.screen.greylist);
        control.db.execute(PRUNE, &[&history, &greylist.retry_hours, &greylist.expire_days]).await.map(drop)
    }
}

/// Runs for as long as the screen lives.
async fn keep(screen: Weak<Screen>) {
    let mut beat = interval(EXCHANGE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut closed, mut tidied) = (Instant::now(), Instant::now());
    loop {
        beat.tick().await;
        let Some(screen) = screen.upgrade() else { return };
        let mut outcome = screen.exchange().await;
        if outcome.is_ok() && closed.elapsed() >= CLOSE {
            closed = Instant::now();
            outcome = count::close_windows(&screen.control.db).await;
        }
        if outcome.is_ok() && tidied.elapsed() >= TIDY {
            tidied = Instant::now();
            outcome = screen.tidy().await;
        }
        match outcome {
            Ok(()) => {}
            Err(error) if error.is_unavailable() => tracing::debug!(%error, "screening"),
            Err(error) => tracing::error!(%error, "screening"),
        }
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not take screening along: values are valid between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::control::config::screen::{Screen as Settings, sample};

    /// The settings of a new installation.
    pub(super) fn settings() -> Settings {
        serde_json::from_value(sample()).unwrap()
    }
}
