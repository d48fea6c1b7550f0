//! Mail by 20 SMTP sessions into 20 mailboxes, until all of it is there: Mailwright, and Postfix with Dovecot, in turn.
//!
//! `smtp-source` fills its messages with one letter, which compresses to nothing; the peers keep them whole. So
//! Mailwright is measured twice: as it ships, and with compression switched off, writing all the bytes that the peers
//! write. Mail that people write lies in between.

use std::time::{Duration, Instant};

use super::daemon::{self, Daemon};
use super::mail::Source;
use super::pair::{self, Pair};
use super::report::{Figure, Runs, progress};
use super::trouble::{Trouble, within};
use super::{Bench, machine};

/// Sessions, and mailboxes.
pub const SESSIONS: usize = 20;
/// A run that takes longer than this is broken.
pub const LIMIT: Duration = Duration::from_secs(600);
const MIB: f64 = 1024.0 * 1024.0;

/// Messages a second.
#[derive(Default)]
pub struct Rates {
    /// As shipped.
    pub compressed: Runs,
    /// Compression off.
    pub plain: Runs,
}

struct Used {
    most: Vec<f64>,
    after: Vec<f64>,
    database: Vec<f64>,
}

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let source = Source::find()?;
    let (rounds, ours_each, theirs_each) = if bench.quick { (1, 50, 10) } else { (3, 2_000, 175) };
    let no_pair = pair::missing();
    let mut rates = Rates::default();
    let (mut accepted, mut theirs) = (Runs::default(), Runs::default());
    let mut used = Used { most: vec![], after: vec![], database: vec![] };
    for round in 1..=rounds {
        for compress in [true, false] {
            progress(&format!(
                "round {round} of {rounds}: Mailwright, compression {}",
                if compress { "on" } else { "off" }
            ));
            let rate = ours(bench, &source, ours_each, compress, &mut used).await?;
            if compress { &mut rates.compressed } else { &mut rates.plain }.0.push(rate);
        }
        if no_pair.is_none() {
            progress(&format!("round {round} of {rounds}: Postfix and Dovecot"));
            let (taken, kept) = peers(bench, &source, theirs_each).await?;
            accepted.0.push(taken);
            theirs.0.push(kept);
        }
    }
    let report = &mut bench.report;
    report.note(&format!(
        "{SESSIONS} sessions to {SESSIONS} mailboxes, 10 KB each, until all is in the mailboxes"
    ));
    report.note(&format!(
        "messages in a run: {} for Mailwright, {} for the peers",
        SESSIONS * ours_each,
        SESSIONS * theirs_each
    ));
    let mut figures = [
        Figure::new(
            "Mailwright as shipped (the sender's text compresses to nothing)",
            rates.compressed.clone(),
            "messages/s",
        ),
        Figure::new("Mailwright without compression (all bytes written)", rates.plain.clone(), "messages/s"),
    ];
    match &no_pair {
        Some(why) => report.note(&format!("SKIPPED: Postfix and Dovecot: {why}")),
        None => {
            figures = figures.map(|f| {
                f.beside("Postfix, LMTP, Dovecot: in the mailboxes", theirs.clone()).ratio_goal(8.0)
            });
        }
    }
    for figure in figures {
        report.figure(figure);
    }
    if no_pair.is_none() {
        report.figure(Figure::new("Postfix alone: accepted into its queue", accepted, "messages/s"));
    }
    report.figure(
        Figure::most("memory of the daemon under this load, most (VmHWM)", used.most, "MiB")
            .limit_goal(200.0 * 1e6 / MIB),
    );
    report.figure(Figure::most("memory of the daemon after it (VmRSS)", used.after, "MiB"));
    report.figure(Figure::most("memory of its PostgreSQL after it (sum of Pss)", used.database, "MiB"));
    bench.delivered = Some(rates);
    Ok(())
}

/// One run of ours: messages a second.
async fn ours(
    bench: &Bench,
    source: &Source,
    each: usize,
    compress: bool,
    used: &mut Used,
) -> Result<f64, Trouble> {
    let data_dir = bench.work.join("smtp");
    let new = !data_dir.exists();
    let daemon = Daemon::start(&data_dir).await?;
    if new {
        daemon.make_accounts(SESSIONS as i32).await?;
    }
    // The peers ask no DNS either.
    let unchecked = "update control.authentication set check_incoming = false";
    daemon.obey(&[&format!("update control.store set compress = {compress}"), unchecked]).await?;
    let before = counts(&daemon).await?;
    let began = Instant::now();
    source.send(daemon::SMTP, SESSIONS, each, LIMIT).await?;
    // What was accepted is committed, and must be there now: this is no wait.
    let after = counts(&daemon).await?;
    let took = began.elapsed();
    check(&before, &after, each)?;
    let memory = machine::memory(daemon.pid())?;
    used.most.push(memory.most as f64 / MIB);
    used.after.push(memory.now as f64 / MIB);
    used.database.push(machine::shared_memory(daemon.postmaster()?)? as f64 / MIB);
    let hollow: i64 = within(LIMIT, "looking for contents", daemon.sql.query_one(HOLLOW, &[])).await?.get(0);
    if hollow > 0 {
        return Err(Trouble::broken(format!("{hollow} messages are in mailboxes without their content")));
    }
    daemon.stop().await?;
    Ok((SESSIONS * each) as f64 / took.as_secs_f64())
}

const HOLLOW: &str = include_str!("sql/count_hollow.sql");
const COUNT: &str = include_str!("sql/count_messages.sql");

/// Messages in each INBOX.
async fn counts(daemon: &Daemon) -> Result<Vec<(String, i64)>, Trouble> {
    let rows = within(LIMIT, "counting the messages", daemon.sql.query(COUNT, &[])).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn check(before: &[(String, i64)], after: &[(String, i64)], each: usize) -> Result<(), Trouble> {
    let wrong = |((_, old), (name, new)): (&(String, i64), &(String, i64))| {
        (new - old != each as i64).then(|| format!("{name}: {} of {each}", new - old))
    };
    let wrong: Vec<String> = before.iter().zip(after).filter_map(wrong).collect();
    match wrong.is_empty() && after.len() == SESSIONS {
        true => Ok(()),
        false => Err(Trouble::broken(format!(
            "messages that were accepted are not in the mailboxes: {}",
            wrong.join(", ")
        ))),
    }
}

/// One run of the peers: messages accepted a second, and messages in the mailboxes a second.
async fn peers(bench: &Bench, source: &Source, each: usize) -> Result<(f64, f64), Trouble> {
    let pair = Pair::start(&bench.work.join("pair")).await?;
    let count = SESSIONS * each;
    let began = Instant::now();
    let accepting = source.send(pair::SMTP, SESSIONS, each, LIMIT).await?;
    pair.drained(count, LIMIT).await?;
    let took = began.elapsed();
    Ok((count as f64 / accepting.as_secs_f64(), count as f64 / took.as_secs_f64()))
}
