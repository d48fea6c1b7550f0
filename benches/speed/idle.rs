//! Thousands of IMAP sessions in IDLE: what each costs in memory, and how soon it hears of a new mail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailwright::net::files::raise_open_files;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::daemon::{self, Daemon, PASSWORD};
use super::mail::{Client, Sent, Source};
use super::report::{Figure, number, percentile, progress};
use super::trouble::{Told as _, Trouble, within};
use super::watch::{Door, Seen, Session};
use super::{Bench, machine};

/// Half of them over TLS from the first byte.
const SESSIONS: usize = 10_000;
/// The goals: memory of a session, KiB, without TLS and with it.
const GOAL: f64 = 16.0;
const GOAL_TLS: f64 = 48.0;
/// Accounts that are watched; further ones get mail that nobody waits for.
const ACCOUNTS: usize = 200;
const BUSY: usize = 4;
/// Connections that deliver, each a tenth of a second apart from itself: 50 mails a second.
const SENDERS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);
/// Logins at a time.
const LOGINS: usize = 32;
/// Files that are not sessions: connections to PostgreSQL, logs, the senders.
const OTHER_FILES: u64 = 200;
const HELD: Duration = Duration::from_secs(300);
/// An announcement that has not come by then is lost.
const HEARD: Duration = Duration::from_secs(10);

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let files = raise_open_files().told("raise the limit of open files")?.1;
    let wanted = if bench.quick { SESSIONS / 10 } else { SESSIONS };
    let count = wanted.min(usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX));
    if count < wanted {
        bench.report.note(&format!(
            "only {count} sessions instead of {wanted}: this machine allows {files} open files (ulimit -Hn)"
        ));
    }
    let daemon = Daemon::start(&bench.work.join("idle")).await?;
    daemon.make_accounts((ACCOUNTS + BUSY) as i32).await?;
    daemon
        .obey(&[
            "update control.imap set require_tls_for_login = false",
            "update control.authentication set check_incoming = false",
            "update control.service set max_connections = 0, max_connections_per_peer = 0, max_connections_per_account = 0
             where name in ('imap', 'smtp')",
        ])
        .await?;
    let (plain, tls) = (Door::plain(daemon::IMAP), Door::tls(daemon::IMAPS)?);
    // What the first login of an account, and the first handshakes, cost is not what a session costs.
    progress("logging every account in once");
    for account in 1..=ACCOUNTS {
        for door in [&plain, &tls] {
            Session::login(door, account, PASSWORD).await?.logout().await?;
        }
    }
    let mut sessions = Sessions::none();
    for (door, kind, goal) in [(&plain, "without TLS", GOAL), (&tls, "over TLS", GOAL_TLS)] {
        let before = sessions.settled_memory(&daemon).await?;
        sessions.hold(door, count / 2).await?;
        let grown = sessions.settled_memory(&daemon).await?.saturating_sub(before);
        let each = grown as f64 / (count / 2) as f64;
        let name = format!("memory of one idle session {kind}");
        bench.report.figure(Figure::new(name, each / 1024.0, "KiB").limit_goal(goal));
    }
    sessions.report_quiet(bench, &daemon).await?;
    let seconds = if bench.quick { 2 } else { 10 };
    sessions.deliver(bench, seconds, "nothing else going on").await?;
    match Source::find() {
        Ok(source) => {
            let busy = source.keep_sending(daemon::SMTP, ACCOUNTS + 1..ACCOUNTS + BUSY + 1)?;
            sessions
                .deliver(bench, seconds, &format!("{BUSY} sessions delivering as fast as they can"))
                .await?;
            drop(busy);
        }
        Err(why) => bench.report.note(&format!("SKIPPED: mail coming in besides: {why}")),
    }
    drop(sessions);
    daemon.stop().await
}

/// Sessions in IDLE; ended when dropped.
struct Sessions {
    /// In their order; the n-th watches account n modulo [`ACCOUNTS`], plus 1.
    seen: Vec<Arc<Seen>>,
    end: mpsc::UnboundedSender<Trouble>,
    ended: mpsc::UnboundedReceiver<Trouble>,
    /// Messages in each account's INBOX, as far as they were sent by us.
    delivered: Vec<u32>,
    tasks: JoinSet<()>,
}

impl Sessions {
    fn none() -> Self {
        let (end, ended) = mpsc::unbounded_channel();
        Self { seen: Vec::new(), end, ended, delivered: vec![0; ACCOUNTS], tasks: JoinSet::new() }
    }

    /// Opens `count` more.
    async fn hold(&mut self, door: &Door, count: usize) -> Result<(), Trouble> {
        progress(&format!("opening {count} sessions"));
        let (ready, mut readies) = mpsc::unbounded_channel();
        let logins = Arc::new(Semaphore::new(LOGINS));
        for number in (self.seen.len()..).take(count) {
            let seen = Arc::<Seen>::default();
            self.seen.push(seen.clone());
            let (door, logins) = (door.clone(), logins.clone());
            let (ready, end) = (ready.clone(), self.end.clone());
            self.tasks.spawn(async move {
                let begun = async {
                    let _turn = logins.acquire().await.told("wait for a turn")?;
                    let mut session = Session::login(&door, number % ACCOUNTS + 1, PASSWORD).await?;
                    match session.idle().await? {
                        0 => Ok(session),
                        more => Err(Trouble::broken(format!("a new INBOX holds {more} messages"))),
                    }
                };
                match begun.await {
                    Ok(session) => {
                        ready.send(Ok(())).ok();
                        end.send(session.watch(&seen).await).ok();
                    }
                    Err(trouble) => {
                        ready.send(Err(trouble)).ok();
                    }
                }
            });
        }
        let mut held = 0;
        let deadline = tokio::time::Instant::now() + HELD;
        while held < count {
            match tokio::time::timeout_at(deadline, readies.recv()).await {
                Ok(Some(Ok(()))) => held += 1,
                Ok(Some(Err(trouble))) => {
                    return Err(Trouble::broken(format!(
                        "{held} of {count} sessions were held when one failed: {trouble}"
                    )));
                }
                Ok(None) => return Err(Trouble::broken("the sessions are gone")),
                Err(_) => {
                    return Err(Trouble::broken(format!(
                        "only {held} of {count} sessions after {} s",
                        HELD.as_secs()
                    )));
                }
            }
        }
        Ok(())
    }

    /// What the daemon has resident when everything about the sessions has been written down.
    async fn settled_memory(&mut self, daemon: &Daemon) -> Result<u64, Trouble> {
        // The rows of live.session are written twice a second; then nothing should be going on.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.still_alive()?;
        Ok(machine::memory(daemon.pid())?.now)
    }

    /// What all of them take while nothing happens.
    async fn report_quiet(&mut self, bench: &mut Bench, daemon: &Daemon) -> Result<(), Trouble> {
        let busy = machine::processor_seconds(daemon.pid())?;
        let window = Duration::from_secs(5);
        tokio::time::sleep(window).await;
        let busy = machine::processor_seconds(daemon.pid())? - busy;
        self.still_alive()?;
        let count = "select count(*) from live.session where service = 'imap'";
        let known: i64 =
            within(HEARD, "counting the sessions", daemon.sql.query_one(count, &[])).await?.get(0);
        let report = &mut bench.report;
        report.note(&format!(
            "{} idle IMAP sessions of {ACCOUNTS} accounts, half over TLS, were held at once; live.session shows {known}",
            self.seen.len()
        ));
        let mib = machine::memory(daemon.pid())?.now as f64 / 1024.0 / 1024.0;
        report.note(&format!("resident memory of the daemon with them: {} MiB", number(mib)));
        report.figure(Figure::new(
            "processor time while nothing happens",
            busy / window.as_secs_f64() * 100.0,
            "% of a core",
        ));
        Ok(())
    }

    fn still_alive(&mut self) -> Result<(), Trouble> {
        match self.ended.try_recv() {
            Ok(trouble) => Err(trouble),
            Err(_) => Ok(()),
        }
    }

    /// Delivers 50 mails a second and reports how soon the sessions heard of them.
    async fn deliver(&mut self, bench: &mut Bench, seconds: usize, besides: &str) -> Result<(), Trouble> {
        progress(&format!("delivering 50 mails a second for {seconds} s, {besides}"));
        let each = seconds * 10;
        // Sender n has the accounts n, n + SENDERS, ... for itself: so the order within a mailbox is its own.
        let delivering = (0..SENDERS).map(|sender| send(sender, each, &self.delivered));
        let limit = Duration::from_secs(seconds as u64 * 10 + 60);
        let sent = within(limit, "delivering", futures_util::future::try_join_all(delivering)).await?;
        let sent: Vec<(usize, u32, Sent)> = sent.into_iter().flatten().collect();
        for (account, number, _) in &sent {
            if let Some(newest) = self.delivered.get_mut(*account) {
                *newest = (*newest).max(*number);
            }
        }
        self.all_heard().await?;
        let (mut from_dot, mut from_accepted) = (Vec::new(), Vec::new());
        for (account, number, sent) in &sent {
            for seen in self.seen.iter().skip(*account).step_by(ACCOUNTS) {
                let at = seen.when(*number).ok_or_else(|| Trouble::broken("an announcement is lost"))?;
                from_dot.push(milliseconds(sent.dot, at));
                from_accepted.push(milliseconds(sent.accepted, at));
            }
        }
        from_dot.sort_by(f64::total_cmp);
        from_accepted.sort_by(f64::total_cmp);
        let report = &mut bench.report;
        report.note(&format!(
            "{} mails at 50/s, {besides}: {} announcements (* n EXISTS), none lost",
            sent.len(),
            from_dot.len()
        ));
        for (name, sorted) in [("the 250", &from_accepted), ("the final dot", &from_dot)] {
            for share in [0.5, 0.99] {
                let value = percentile(sorted, share);
                let figure =
                    Figure::new(format!("from {name} to * n EXISTS, p{}", share * 100.0), value, "ms");
                report.figure(if share > 0.9 { figure.limit_goal(100.0) } else { figure });
            }
        }
        Ok(())
    }

    /// Waits until every session has heard of all that its mailbox holds.
    async fn all_heard(&mut self) -> Result<(), Trouble> {
        let deadline = Instant::now() + HEARD;
        loop {
            self.still_alive()?;
            let wanted = |session: usize| self.delivered.get(session % ACCOUNTS).copied().unwrap_or(0);
            let late = self.seen.iter().enumerate().filter(|(n, seen)| seen.newest() < wanted(*n)).count();
            if late == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Trouble::broken(format!(
                    "{late} sessions have not heard of a mail {} s after the last was accepted",
                    HEARD.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Sends `each` mails a tenth of a second apart: for each the account (from 0), its number in the mailbox, and when.
async fn send(sender: usize, each: usize, delivered: &[u32]) -> Result<Vec<(usize, u32, Sent)>, Trouble> {
    let mut client = Client::connect(daemon::SMTP).await?;
    let mut next: Vec<u32> = delivered.to_vec();
    let mut done = Vec::with_capacity(each);
    let first = tokio::time::Instant::now() + PAUSE / SENDERS as u32 * sender as u32;
    let mut clock = tokio::time::interval_at(first, PAUSE);
    for turn in 0..each {
        clock.tick().await;
        let account = (turn * SENDERS + sender) % ACCOUNTS;
        let sent = client.send(account + 1, turn).await?;
        if let Some(number) = next.get_mut(account) {
            *number += 1;
            done.push((account, *number, sent));
        }
    }
    Ok(done)
}

/// The line may be read before the reply to the sender is: that counts as no time.
fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1000.0
}
