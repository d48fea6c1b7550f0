//! Mail by 20 SMTP sessions in, and by SMTP out to `smtp-sink`: Mailwright, and Postfix relaying to the same sink, in turn.
//!
//! Both are durable in between: an answer is given when the message is on the disk (fsync as shipped on both sides). A run
//! ends when nothing waits any more, and what has been sent is counted by who sent it.

use std::time::{Duration, Instant};

use super::Bench;
use super::daemon::{self, Daemon};
use super::mail::Source;
use super::pair::{self, Pair};
use super::report::{Figure, Runs, progress};
use super::sink;
use super::smtp::{LIMIT, SESSIONS};
use super::trouble::{Trouble, within};

/// Where smtp-sink listens.
const SINK: u16 = 25_827;
const LOOK: Duration = Duration::from_millis(20);
const SENT: &str = include_str!("sql/count_sent.sql");

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let source = Source::find()?;
    let (rounds, each) = if bench.quick { (1, 20) } else { (3, 500) };
    let no_pair = pair::missing();
    let _sink = sink::start(SINK).await?;
    let (mut ours, mut theirs) = (Runs::default(), Runs::default());
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}: Mailwright"));
        ours.0.push(relayed(bench, &source, each).await?);
        if no_pair.is_none() {
            progress(&format!("round {round} of {rounds}: Postfix"));
            theirs.0.push(peer(bench, &source, each).await?);
        }
    }
    bench.report.note(&format!(
        "{SESSIONS} sessions in, 10 KB each, {} messages in a run, until all of it has been sent on to smtp-sink",
        SESSIONS * each
    ));
    let figure = Figure::new("Mailwright: in, on the disk, and out", ours, "messages/s");
    match no_pair {
        Some(why) => {
            bench.report.note(&format!("SKIPPED: Postfix: {why}"));
            bench.report.figure(figure);
        }
        None => {
            bench.report.figure(figure.beside("Postfix: in, on the disk, and out", theirs).ratio_goal(2.0))
        }
    }
    Ok(())
}

/// One run of ours: messages a second.
async fn relayed(bench: &Bench, source: &Source, each: usize) -> Result<f64, Trouble> {
    let data_dir = bench.work.join("relay");
    let new = !data_dir.exists();
    let daemon = Daemon::start(&data_dir).await?;
    if new {
        daemon
            .obey(&[
                &format!(
                    "insert into directory.remote_domain (name, host, port) values ('example.test', '127.0.0.1', {SINK})"
                ),
                // The peers ask no DNS either.
                "update control.authentication set check_incoming = false",
            ])
            .await?;
    }
    let count = (SESSIONS * each) as i64;
    let (before, _) = sent(&daemon).await?;
    let began = Instant::now();
    source.send(daemon::SMTP, SESSIONS, each, LIMIT).await?;
    until_sent(&daemon, before, count).await?;
    let took = began.elapsed();
    daemon.stop().await?;
    Ok(count as f64 / took.as_secs_f64())
}

/// Waits until nothing waits, and `count` messages more than `before` have been sent on.
pub async fn until_sent(daemon: &Daemon, before: i64, count: i64) -> Result<(), Trouble> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (after, waiting) = sent(daemon).await?;
        match waiting {
            0 if after - before == count => return Ok(()),
            _ if Instant::now() > deadline => {
                return Err(Trouble::broken(format!(
                    "{} of {count} messages were sent on, {waiting} wait",
                    after - before
                )));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// How many messages have been sent on, and how many recipients wait.
pub async fn sent(daemon: &Daemon) -> Result<(i64, i64), Trouble> {
    let row = within(LIMIT, "counting what was sent", daemon.sql.query_one(SENT, &[])).await?;
    Ok((row.get(0), row.get(1)))
}

/// One run of Postfix: messages a second.
async fn peer(bench: &Bench, source: &Source, each: usize) -> Result<f64, Trouble> {
    let pair = Pair::relaying(&bench.work.join("pair"), SINK).await?;
    let count = SESSIONS * each;
    let began = Instant::now();
    source.send(pair::SMTP, SESSIONS, each, LIMIT).await?;
    pair.sent(count, LIMIT).await?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
