//! Which list of flag changes is cheaper: an index on modseq, or a log beside a table whose updates stay HOT.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::Bench;
use super::daemon::Daemon;
use super::report::{Figure, Runs, number, progress};
use super::trouble::{Trouble, within};

const ROWS: i64 = 100_000;
const MAILBOXES: i64 = 100;
const CONNECTIONS: usize = 4;
const LIMIT: Duration = Duration::from_secs(300);

/// A design: its tables are in a schema of its own.
struct Design {
    name: &'static str,
    schema: &'static str,
    set_flag: &'static str,
    changes: &'static str,
}

const DESIGNS: [Design; 2] = [
    Design {
        name: "change log",
        schema: "with_log",
        set_flag: include_str!("sql/set_flag_with_log.sql"),
        changes: include_str!("sql/changes_by_log.sql"),
    },
    Design {
        name: "index on modseq",
        schema: "with_index",
        set_flag: include_str!("sql/set_flag_with_index.sql"),
        changes: include_str!("sql/changes_by_index.sql"),
    },
];

#[derive(Default)]
struct Measured {
    updates: Runs,
    wal: Runs,
    hot: Runs,
    table: Runs,
    indexes: Runs,
    log: Runs,
    lookup: Runs,
}

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let (rounds, time) = if bench.quick { (1, Duration::from_secs(1)) } else { (2, Duration::from_secs(10)) };
    let daemon = Daemon::start(&bench.work.join("flags")).await?;
    within(LIMIT, "making the tables", daemon.sql.batch_execute(include_str!("sql/flag_tables.sql"))).await?;
    for design in &DESIGNS {
        let vacuum = format!("vacuum analyze {0}.message, {0}.mailbox, {0}.change", design.schema);
        within(LIMIT, "the first vacuum", daemon.sql.batch_execute(&vacuum)).await?;
    }
    let mut measured = [Measured::default(), Measured::default()];
    for round in 1..=rounds {
        for (design, measured) in DESIGNS.iter().zip(&mut measured) {
            progress(&format!("run {round} of {rounds}: {}", design.name));
            one_run(&daemon, design, time, measured).await?;
        }
    }
    daemon.stop().await?;
    report(bench, measured);
    Ok(())
}

async fn one_run(
    daemon: &Daemon,
    design: &Design,
    time: Duration,
    measured: &mut Measured,
) -> Result<(), Trouble> {
    let sql = &daemon.sql;
    // Both pay for full-page images from their beginning on.
    within(LIMIT, "a checkpoint", sql.batch_execute("checkpoint")).await?;
    let before = State::read(sql, design).await?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(daemon.connect().await?);
    }
    let began = Instant::now();
    let setting =
        clients.iter().enumerate().map(|(n, client)| set_flags(client, design, n as u64, began + time));
    let setting = futures_util::future::try_join_all(setting);
    let updates: i64 = within(LIMIT, "setting flags", setting).await?.into_iter().sum();
    let took = began.elapsed().as_secs_f64();
    // Their counts are handed in when they end.
    drop(clients);
    let deadline = Instant::now() + Duration::from_secs(10);
    let after = loop {
        let after = State::read(sql, design).await?;
        if after.updates - before.updates >= updates {
            break after;
        }
        if Instant::now() > deadline {
            let counted = after.updates - before.updates;
            return Err(Trouble::broken(format!("{updates} updates were made, PostgreSQL counts {counted}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mib = |bytes: i64| bytes as f64 / 1024.0 / 1024.0;
    measured.updates.0.push(updates as f64 / took);
    measured.wal.0.push((after.wal - before.wal) as f64 / updates as f64);
    measured.hot.0.push((after.hot - before.hot) as f64 / updates as f64 * 100.0);
    measured.table.0.push(mib(after.table - before.table));
    measured.indexes.0.push(mib(after.indexes - before.indexes));
    measured.log.0.push(mib(after.log - before.log));
    measured.lookup.0.push(look_up(sql, design).await?);
    Ok(())
}

/// What PostgreSQL counts.
struct State {
    wal: i64,
    updates: i64,
    hot: i64,
    table: i64,
    indexes: i64,
    log: i64,
}

impl State {
    async fn read(sql: &Client, design: &Design) -> Result<Self, Trouble> {
        let values: [&(dyn ToSql + Sync); 1] = [&design.schema];
        let ask = sql.query_one(include_str!("sql/flag_state.sql"), &values);
        let row = within(LIMIT, "asking for sizes", ask).await?;
        Ok(Self {
            wal: row.get(0),
            updates: row.get(1),
            hot: row.get(2),
            table: row.get(3),
            indexes: row.get(4),
            log: row.get(5),
        })
    }
}

/// Sets and clears \Seen of messages at random until `end`; how often.
async fn set_flags(client: &Client, design: &Design, seed: u64, end: Instant) -> Result<i64, Trouble> {
    // As the daemon does for flags.
    client.batch_execute("set synchronous_commit = off").await?;
    let statement = client.prepare(design.set_flag).await?;
    let mut done = 0;
    let mut state = seed;
    while Instant::now() < end {
        let place = random(&mut state) % ROWS as u64;
        let (mailbox, uid) = (place as i64 % MAILBOXES + 1, place as i64 / MAILBOXES + 1);
        if client.execute(&statement, &[&mailbox, &uid]).await? != 1 {
            return Err(Trouble::broken("a flag was not set"));
        }
        done += 1;
    }
    Ok(done)
}

/// Milliseconds to list the last ten changes of a mailbox.
async fn look_up(sql: &Client, design: &Design) -> Result<f64, Trouble> {
    const TIMES: u32 = 2_000;
    let statement = sql.prepare(design.changes).await?;
    let mut state = 1;
    let began = Instant::now();
    for _ in 0..TIMES {
        let mailbox = (random(&mut state) % MAILBOXES as u64) as i64 + 1;
        within(LIMIT, "listing changes", sql.query(&statement, &[&mailbox])).await?;
    }
    Ok(began.elapsed().as_secs_f64() * 1000.0 / f64::from(TIMES))
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn report(bench: &mut Bench, [log, index]: [Measured; 2]) {
    let head = [
        "design",
        "updates/s",
        "WAL bytes each",
        "HOT %",
        "table +MiB",
        "indexes +MiB",
        "log +MiB",
        "last 10: ms",
    ];
    let row = |name: &str, m: &Measured| {
        let runs = [&m.updates, &m.wal, &m.hot, &m.table, &m.indexes, &m.log, &m.lookup];
        let cells = runs.iter().map(|runs| runs.0.iter().map(|v| number(*v)).collect::<Vec<_>>().join(" / "));
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let report = &mut bench.report;
    report.note(&format!(
        "{ROWS} messages in {MAILBOXES} mailboxes; single flags of random messages set by {CONNECTIONS} connections, in turn"
    ));
    report.table(&[
        head.map(str::to_owned).to_vec(),
        row(DESIGNS[0].name, &log),
        row(DESIGNS[1].name, &index),
    ]);
    let kept: [(&str, &str, Runs, Runs); 7] = [
        ("flag updates", "updates/s", log.updates, index.updates),
        ("WAL of an update", "bytes", log.wal, index.wal),
        ("HOT updates", "%", log.hot, index.hot),
        ("growth of the table", "MiB", log.table, index.table),
        ("growth of its indexes", "MiB", log.indexes, index.indexes),
        ("growth of the log", "MiB", log.log, index.log),
        ("listing the last 10 changes", "ms", log.lookup, index.lookup),
    ];
    for (name, unit, ours, theirs) in kept {
        report.keep(Figure::new(name, ours, unit).beside(DESIGNS[1].name, theirs));
    }
}
