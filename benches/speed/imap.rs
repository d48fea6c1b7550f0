//! A mix of what mail programs do, by 20 connections in 50 mailboxes: Mailwright, and Dovecot with its defaults, in turn.
//!
//! Once every round is a session of its own, which mostly shows what a session costs to begin; once sessions stay open. In a mix,
//! the time that a command takes depends on what the other connections do meanwhile, and where one command is slow
//! (Dovecot's login), the others have the machine to themselves. So each command is also done alone, by all connections at once.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::daemon::{self, Daemon};
use super::dovecot::{self, Dovecot};
use super::report::{Figure, Runs, number, percentile, progress};
use super::round::{Account, KINDS, Kind, Tally};
use super::trouble::{Trouble, within};
use super::wire::Client;
use super::{Bench, machine};

const CONNECTIONS: usize = 20;
const ACCOUNTS: usize = 50;
/// A part of a run that takes longer than this is broken.
pub const LIMIT: Duration = Duration::from_secs(900);
/// The goals: commands a second beside Dovecot's, in all, and of the worst command.
const GOAL: f64 = 1.5;
const GOAL_EACH: f64 = 0.8;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    LoginEachRound,
    KeptOpen,
    OneCommand,
}

impl Mode {
    const ALL: [Mode; 3] = [Mode::LoginEachRound, Mode::KeptOpen, Mode::OneCommand];

    fn name(self) -> &'static str {
        match self {
            Mode::LoginEachRound => "a login each round",
            Mode::KeptOpen => "sessions kept open",
            Mode::OneCommand => "one command at a time",
        }
    }
}

/// One server: its accounts as they are there, and what was measured.
struct Side {
    port: u16,
    accounts: Vec<Account>,
    measured: Vec<(Mode, Measured)>,
}

/// One run.
struct Measured {
    seconds: f64,
    tally: Tally,
    /// Of a core, by the driver.
    driver: f64,
}

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let (rounds, seconds, messages) = if bench.quick { (1, 2, 60) } else { (3, 15, 200) };
    let side = |port| {
        let accounts = (1..=ACCOUNTS).map(|number| Account::new(number, messages)).collect();
        Side { port, accounts, measured: Vec::new() }
    };
    progress("making up the mail");
    let (mut ours, mut theirs) = (side(daemon::IMAP), side(dovecot::IMAP));
    let no_peer = dovecot::missing();
    let peer = Dovecot::new(bench.work.join("imap-peer"));
    let data_dir = bench.work.join("imap");
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}: Mailwright"));
        let daemon = open(&data_dir, &ours).await?;
        ours.run(round, seconds).await?;
        daemon.stop().await?;
        if no_peer.is_none() {
            progress(&format!("round {round} of {rounds}: Dovecot"));
            peer.start().await?;
            if round == 1 {
                theirs.fill().await?;
            }
            theirs.run(round, seconds).await?;
            peer.stop().await?;
        }
    }
    let bytes: u64 = ours.accounts.iter().map(Account::bytes).sum();
    bench.report.note(&format!(
        "{CONNECTIONS} connections, {ACCOUNTS} mailboxes of {messages} messages ({} MB in all), {seconds} s in each mode and run",
        bytes / 1_000_000
    ));
    if let Some(why) = &no_peer {
        bench.report.note(&format!("SKIPPED: Dovecot: {why}"));
    }
    for mode in Mode::ALL {
        report(bench, mode, &ours, no_peer.is_none().then_some(&theirs));
    }
    Ok(())
}

/// Our daemon; the first time it is set up and filled.
async fn open(data_dir: &Path, ours: &Side) -> Result<Daemon, Trouble> {
    let new = !data_dir.exists();
    let daemon = Daemon::start(data_dir).await?;
    if new {
        daemon.make_accounts(ACCOUNTS as i32).await?;
        daemon.obey(&["update control.imap set require_tls_for_login = false"]).await?;
        ours.fill().await?;
    }
    // A server that has run for a minute has statistics.
    within(LIMIT, "analysing", daemon.sql.batch_execute("analyze")).await?;
    Ok(daemon)
}

impl Side {
    /// Fills all mailboxes by APPEND.
    async fn fill(&self) -> Result<(), Trouble> {
        progress("filling the mailboxes");
        let filling = (0..CONNECTIONS).map(|connection| async move {
            for account in self.accounts.iter().skip(connection).step_by(CONNECTIONS) {
                account.fill(self.port).await?;
            }
            Ok(())
        });
        within::<_, Trouble>(LIMIT, "filling the mailboxes", try_join_all(filling)).await?;
        Ok(())
    }

    /// Each mode once. Before that, what earlier runs left is removed, and every account does a round that does not count.
    async fn run(&mut self, round: usize, seconds: u64) -> Result<(), Trouble> {
        for account in &mut self.accounts {
            account.empty_copies(self.port).await?;
            let mut unused = Tally::default();
            let mut client = account.login(self.port, &mut unused).await?;
            account.round(&mut client, &mut unused).await?;
            account.logout(client, &mut unused).await?;
        }
        for mode in Mode::ALL {
            // Of one command at a time, each gets a fifth.
            let time = Duration::from_secs(seconds) / if mode == Mode::OneCommand { 5 } else { 1 };
            let measured = self.measure(mode, round, time).await?;
            self.measured.push((mode, measured));
        }
        Ok(())
    }

    /// No two connections share an account, so that each knows what its mailbox must hold.
    fn shares(&mut self) -> Vec<Vec<&mut Account>> {
        let mut shares: Vec<Vec<&mut Account>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
        for (place, account) in self.accounts.iter_mut().enumerate() {
            if let Some(share) = shares.get_mut(place % CONNECTIONS) {
                share.push(account);
            }
        }
        shares
    }

    async fn measure(&mut self, mode: Mode, round: usize, time: Duration) -> Result<Measured, Trouble> {
        let port = self.port;
        let mut open = Vec::new();
        let mut logging = Vec::new();
        for mut share in self.shares() {
            if mode == Mode::LoginEachRound {
                logging.push(share);
            } else {
                // Other accounts in each run.
                let account = share.swap_remove(round % share.len());
                let client = account.login(port, &mut Tally::default()).await?;
                open.push((account, client));
            }
        }
        let busy = machine::processor_seconds(std::process::id())?;
        let began = Instant::now();
        let end = began + time;
        let tallies = match mode {
            Mode::LoginEachRound => {
                let working = logging.into_iter().map(|share| logging_in(share, port, end));
                within(LIMIT, "a run", try_join_all(working)).await?
            }
            Mode::KeptOpen => {
                let working = open.into_iter().map(|(account, client)| keeping(account, client, end));
                within(LIMIT, "a run", try_join_all(working)).await?
            }
            Mode::OneCommand => within(LIMIT, "a run", one_by_one(open, port, time)).await?,
        };
        let busy = machine::processor_seconds(std::process::id())? - busy;
        let driver = busy / began.elapsed().as_secs_f64();
        let tally = Tally(tallies.into_iter().flat_map(|tally: Tally| tally.0).collect());
        Ok(Measured { seconds: time.as_secs_f64(), tally, driver })
    }

    fn runs(&self, mode: Mode, value: impl Fn(&Measured) -> f64) -> Runs {
        Runs(
            self.measured.iter().filter(|(of, _)| *of == mode).map(|(_, measured)| value(measured)).collect(),
        )
    }
}

/// Rounds of one connection until `end`, each a session of its own.
async fn logging_in(mut share: Vec<&mut Account>, port: u16, end: Instant) -> Result<Tally, Trouble> {
    let mut tally = Tally::default();
    for place in (0..share.len()).cycle() {
        if Instant::now() > end {
            break;
        }
        if let Some(account) = share.get_mut(place) {
            let mut client = account.login(port, &mut tally).await?;
            account.round(&mut client, &mut tally).await?;
            account.logout(client, &mut tally).await?;
        }
    }
    Ok(tally.until(end))
}

/// Rounds of one session until `end`.
async fn keeping(account: &mut Account, mut client: Client, end: Instant) -> Result<Tally, Trouble> {
    let mut tally = Tally::default();
    while Instant::now() <= end {
        account.round(&mut client, &mut tally).await?;
    }
    account.logout(client, &mut Tally::default()).await?;
    Ok(tally.until(end))
}

/// Each kind of command for `time`, by all connections at once.
async fn one_by_one(
    mut open: Vec<(&mut Account, Client)>,
    port: u16,
    time: Duration,
) -> Result<Vec<Tally>, Trouble> {
    let mut tallies = Vec::new();
    for (_, client) in &mut open {
        client.command("SELECT INBOX").await?;
    }
    for (kind, _) in KINDS {
        let end = Instant::now() + time;
        if kind == Kind::Logout {
            tallies.extend(logging_out(&open, port, end).await?);
            continue;
        }
        let working = open.iter_mut().map(|(account, client)| one_kind(account, client, port, kind, end));
        tallies.extend(try_join_all(working).await?);
    }
    for (account, client) in &mut open {
        account.clear(client).await?;
    }
    Ok(tallies)
}

/// Sessions that log out together, all of them logged in before, again and again until `end`.
async fn logging_out(
    open: &[(&mut Account, Client)],
    port: u16,
    end: Instant,
) -> Result<Vec<Tally>, Trouble> {
    let mut tally = Tally::default();
    while Instant::now() <= end {
        let mut unused = Tally::default();
        let mut sessions = Vec::new();
        for (account, _) in open {
            sessions.push((account, account.login(port, &mut unused).await?));
        }
        let leaving = sessions.into_iter().map(|(account, client)| async move {
            let mut tally = Tally::default();
            account.logout(client, &mut tally).await?;
            Ok::<Tally, Trouble>(tally)
        });
        tally.0.extend(try_join_all(leaving).await?.into_iter().flat_map(|tally| tally.0));
    }
    Ok(vec![tally])
}

/// One kind of command until `end`. Neither the LOGOUT that follows each LOGIN counts, nor the STORE that each EXPUNGE needs; that
/// removes what APPEND has brought.
async fn one_kind(
    account: &mut Account,
    client: &mut Client,
    port: u16,
    kind: Kind,
    end: Instant,
) -> Result<Tally, Trouble> {
    let mut tally = Tally::default();
    while Instant::now() <= end {
        match kind {
            Kind::Login => {
                let client = account.login(port, &mut tally).await?;
                account.logout(client, &mut Tally::default()).await?;
            }
            Kind::Expunge if !account.has_appended() => break,
            kind => account.step(client, kind, &mut tally).await?,
        }
    }
    if kind == Kind::Expunge {
        tally.0.retain(|done| done.kind == kind);
    }
    // What was begun counts, for it may take longer than all the time there is.
    Ok(tally)
}

/// The commands of one kind in a run.
struct Times {
    each_second: f64,
    mean: f64,
    median: f64,
    most: f64,
}

impl Times {
    fn of(measured: &Measured, mode: Mode, kind: Kind) -> Self {
        let all = measured.tally.0.iter().filter(|done| done.kind == kind);
        let mut sorted: Vec<f64> = all.map(|done| done.milliseconds).collect();
        sorted.sort_by(f64::total_cmp);
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Self {
            each_second: match mode {
                // As many as the connections get done, each one after another.
                Mode::OneCommand => CONNECTIONS as f64 * 1e3 / mean,
                _ => sorted.len() as f64 / measured.seconds,
            },
            mean,
            median: percentile(&sorted, 0.5),
            most: percentile(&sorted, 0.99),
        }
    }
}

fn report(bench: &mut Bench, mode: Mode, ours_side: &Side, theirs: Option<&Side>) {
    let report = &mut bench.report;
    report.note("");
    if mode == Mode::OneCommand {
        report.note(&format!("{}, by all {CONNECTIONS} connections at once", mode.name()));
    } else {
        let rate = |side: &Side| side.runs(mode, |run| run.tally.0.len() as f64 / run.seconds);
        let figure = Figure::new(format!("Mailwright, {}", mode.name()), rate(ours_side), "commands/s");
        report.figure(match theirs {
            Some(theirs) => figure.beside(format!("Dovecot, {}", mode.name()), rate(theirs)).ratio_goal(GOAL),
            None => figure,
        });
    }
    let mut rows = vec![heads(theirs.is_some())];
    for (kind, name) in KINDS {
        let columns = |side: &Side| {
            let column = |value: fn(Times) -> f64| side.runs(mode, |run| value(Times::of(run, mode, kind)));
            [column(|t| t.each_second), column(|t| t.mean), column(|t| t.median), column(|t| t.most)]
        };
        let ours = columns(ours_side);
        // Not part of this mode, or of a run that was too short.
        if [Some(ours_side), theirs].into_iter().flatten().any(|side| columns(side)[1].median().is_nan()) {
            continue;
        }
        let mut row = vec![name.to_owned()];
        row.extend(ours.iter().map(|runs| number(runs.median())));
        // What one connection would get done if it did nothing else.
        let alone = |columns: &[Runs; 4]| Runs(columns[1].0.iter().map(|mean| 1e3 / mean).collect());
        let mut figure =
            Figure::new(format!("{}: {name}", mode.name()), alone(&ours), "commands/s of a connection");
        if let Some(theirs) = theirs {
            let theirs = columns(theirs);
            row.extend(theirs.iter().map(|runs| number(runs.median())));
            figure = figure.beside("Dovecot", alone(&theirs)).ratio_goal(GOAL_EACH);
            row.extend(figure.verdict());
        }
        rows.push(row);
        report.keep(figure);
    }
    report.table(&rows);
    let share = |side: &Side| number(side.runs(mode, |run| run.driver * 100.0).median());
    let beside = theirs.map(|theirs| format!(", {} % beside Dovecot", share(theirs))).unwrap_or_default();
    report.note(&format!("the driver used {} % of a core{beside}", share(ours_side)));
}

fn heads(has_peer: bool) -> Vec<String> {
    let ours = ["times in ms", "ours/s", "mean", "median", "p99"];
    let theirs = ["Dovecot/s", "mean", "median", "p99", "ratio", "goal"];
    ours.iter().chain(theirs.iter().filter(|_| has_peer)).map(|head| (*head).to_owned()).collect()
}
