//! What it takes to find what is due in the queue, with little and with much waiting in it.

use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;

use super::Bench;
use super::daemon::Daemon;
use super::report::{Figure, Runs, progress};
use super::trouble::{Trouble, within};

/// A run that takes longer than this is broken.
const LIMIT: Duration = Duration::from_secs(600);
const CLAIM: &str = include_str!("../../sql/queue/claim.sql");
const FILL: &str = include_str!("sql/fill_queue.sql");
/// Claims in a run; their median counts.
const CLAIMS: usize = 50;

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let (few, many) = if bench.quick { (1_000_i64, 10_000_i64) } else { (1_000, 1_000_000) };
    let daemon = Daemon::start(&bench.work.join("claim")).await?;
    daemon.obey(&["update control.relay set enabled = false"]).await?;
    let rounds = if bench.quick { 1 } else { 3 };
    // As the daemon itself: the triggers for what people change are not for it.
    within(LIMIT, "setting up", daemon.sql.batch_execute("set mailwright.daemon = 'on'")).await?;
    progress(&format!("{few} rows"));
    fill(&daemon, 1, few).await?;
    let at_few = claims(&daemon, rounds).await?;
    progress(&format!("{many} rows"));
    fill(&daemon, few + 1, many).await?;
    let at_many = claims(&daemon, rounds).await?;
    bench.report.note(
        "a claim leases what is due for 20 of the destinations (5 recipients each), and is rolled back",
    );
    bench.report.note(&format!("the goal: with {many} rows at most twice as long as with {few}"));
    bench.report.figure(Figure::new(format!("a claim, {few} recipients waiting"), at_few.clone(), "ms"));
    let limit = 2.0 * at_few.median();
    bench
        .report
        .figure(Figure::new(format!("a claim, {many} recipients waiting"), at_many, "ms").limit_goal(limit));
    daemon.stop().await
}

async fn fill(daemon: &Daemon, from: i64, to: i64) -> Result<(), Trouble> {
    within(LIMIT, "filling the queue", daemon.sql.execute(FILL, &[&from, &to])).await?;
    within(LIMIT, "analysing the queue", daemon.sql.batch_execute("vacuum analyze")).await
}

/// Medians of some rounds, milliseconds.
async fn claims(daemon: &Daemon, rounds: usize) -> Result<Runs, Trouble> {
    let claim = within(LIMIT, "preparing", daemon.sql.prepare(CLAIM)).await?;
    let mut runs = Runs::default();
    for _ in 0..rounds {
        let mut times = Runs::default();
        for _ in 0..CLAIMS {
            within(LIMIT, "beginning", daemon.sql.batch_execute("begin")).await?;
            let began = Instant::now();
            let (node, lease, destinations, each, busy) =
                ("bench", 60.0_f64, 20_i32, 50_i32, Vec::<&str>::new());
            let values: [&(dyn ToSql + Sync); 5] = [&node, &lease, &destinations, &each, &busy];
            let rows = within(LIMIT, "claiming", daemon.sql.query(&claim, &values)).await?;
            times.0.push(began.elapsed().as_secs_f64() * 1e3);
            within(LIMIT, "rolling back", daemon.sql.batch_execute("rollback")).await?;
            if rows.len() < 90 {
                return Err(Trouble::broken(format!("a claim found {} of 100 recipients", rows.len())));
            }
        }
        runs.0.push(times.median());
    }
    Ok(runs)
}
