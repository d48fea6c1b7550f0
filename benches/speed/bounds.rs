//! What could be reached at best: PostgreSQL taking the same rows from a client that does nothing else, and the sender
//! talking to a server that keeps nothing.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::daemon::{self, Daemon};
use super::mail::Source;
use super::report::{Figure, Runs, progress};
use super::trouble::{Told as _, Trouble, within};
use super::{Bench, sink, smtp};

const SINK: u16 = 25_826;
/// As many as the daemon has for deliveries.
const CONNECTIONS: usize = 2;
/// Rows of each table in a transaction.
const BATCH: usize = 50;

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let source = Source::find()?;
    let rounds = if bench.quick { 1 } else { 3 };
    sender(bench, &source, rounds).await?;
    for compress in [true, false] {
        let runs = database(bench, &source, compress, rounds).await?;
        let kind = if compress { "as shipped" } else { "without compression" };
        let bound = format!("PostgreSQL alone, the rows of messages {kind}");
        let delivered = bench.delivered.as_ref();
        let delivered = delivered.map(|rates| if compress { &rates.compressed } else { &rates.plain });
        bench.report.figure(match delivered {
            Some(rates) => Figure::new(format!("Mailwright {kind} (from smtp)"), rates.clone(), "messages/s")
                .beside(bound, runs),
            None => Figure::new(bound, runs, "messages/s"),
        });
    }
    bench.report.note(&format!(
        "PostgreSQL alone: one content, chunk and message row each, {BATCH} messages a transaction, {CONNECTIONS} connections"
    ));
    Ok(())
}

async fn sender(bench: &mut Bench, source: &Source, rounds: usize) -> Result<(), Trouble> {
    let mut sink = match sink::start(SINK).await {
        Err(Trouble::Skipped(why)) => {
            bench.report.note(&format!("SKIPPED: the sender's own bound: {why}"));
            return Ok(());
        }
        other => other?,
    };
    let each = if bench.quick { 100 } else { 3_000 };
    let mut runs = Runs::default();
    for _ in 0..rounds {
        let took = source.send(SINK, smtp::SESSIONS, each, smtp::LIMIT).await?;
        runs.0.push((smtp::SESSIONS * each) as f64 / took.as_secs_f64());
    }
    sink.kill().await.told("stop smtp-sink")?;
    bench.report.figure(match &bench.delivered {
        Some(rates) => {
            Figure::new("Mailwright as shipped (from smtp)", rates.compressed.clone(), "messages/s")
                .beside("the sender alone, into smtp-sink", runs)
        }
        None => Figure::new("the sender alone, into smtp-sink", runs, "messages/s"),
    });
    Ok(())
}

/// The rows of one message.
struct Sample {
    size: i64,
    header_size: i32,
    sent_at: Option<Timestamp>,
    version: i16,
    subject: Option<String>,
    from: Option<String>,
    message_id: Option<String>,
    to: Option<String>,
    attachments: Option<String>,
    header: Vec<u8>,
    envelope: Vec<u8>,
    structure: Vec<u8>,
    chunk_size: i32,
    codec: i16,
    bytes: Vec<u8>,
    message_size: i64,
    prefix: Option<Vec<u8>>,
}

/// Sends one message and reads what was made of it; then PostgreSQL gets such rows. Rows a second.
async fn database(bench: &Bench, source: &Source, compress: bool, rounds: usize) -> Result<Runs, Trouble> {
    let daemon = Daemon::start(&bench.work.join(format!("bounds-{compress}"))).await?;
    daemon.make_accounts(smtp::SESSIONS as i32).await?;
    // The peers ask no DNS either.
    let unchecked = "update control.authentication set check_incoming = false";
    daemon.obey(&[&format!("update control.store set compress = {compress}"), unchecked]).await?;
    source.send(daemon::SMTP, 1, 1, smtp::LIMIT).await?;
    let row = daemon.sql.query_opt(include_str!("sql/sample.sql"), &[]).await?;
    let row =
        row.ok_or_else(|| Trouble::broken("the sample message was accepted, but is not in the mailbox"))?;
    let sample = Sample {
        size: row.get(0),
        header_size: row.get(1),
        sent_at: row.get(2),
        version: row.get(3),
        subject: row.get(4),
        from: row.get(5),
        message_id: row.get(6),
        to: row.get(7),
        attachments: row.get(8),
        header: row.get(9),
        envelope: row.get(10),
        structure: row.get(11),
        chunk_size: row.get(12),
        codec: row.get(13),
        bytes: row.get(14),
        message_size: row.get(15),
        prefix: row.get(16),
    };
    let time = Duration::from_secs(if bench.quick { 1 } else { 10 });
    let mut runs = Runs::default();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(daemon.connect().await?);
    }
    for round in 1..=rounds {
        progress(&format!("PostgreSQL alone, run {round} of {rounds}"));
        let began = Instant::now();
        let filling = clients.iter().enumerate();
        let filling =
            filling.map(|(n, client)| fill(client, &sample, (round * CONNECTIONS + n) as i64, began + time));
        let filling = futures_util::future::try_join_all(filling);
        let rows: usize = within(smtp::LIMIT, "filling PostgreSQL", filling).await?.into_iter().sum();
        runs.0.push(rows as f64 / began.elapsed().as_secs_f64());
    }
    drop(clients);
    daemon.stop().await?;
    Ok(runs)
}

/// Inserts batches until `end`; how many messages.
async fn fill(client: &Client, sample: &Sample, lane: i64, end: Instant) -> Result<usize, Trouble> {
    // Triggers for people are off, as in the daemon's own sessions.
    client.batch_execute("set mailwright.daemon = 'on'").await?;
    let content = client.prepare(include_str!("sql/bound_content.sql")).await?;
    let chunks = client.prepare(include_str!("sql/bound_chunks.sql")).await?;
    let messages = client.prepare(include_str!("sql/bound_messages.sql")).await?;
    let first = lane << 32;
    let mut done = 0;
    while Instant::now() < end {
        let ids: Vec<i64> = (first + done as i64..).take(BATCH).collect();
        let digests: Vec<[u8; 32]> =
            ids.iter().map(|id| *blake3::hash(&id.to_le_bytes()).as_bytes()).collect();
        let digests: Vec<&[u8]> = digests.iter().map(|digest| digest.as_slice()).collect();
        let accounts: Vec<i64> = ids.iter().map(|id| id % smtp::SESSIONS as i64 + 1).collect();
        let content_values: [&(dyn ToSql + Sync); 14] = [
            &ids,
            &digests,
            &vec![sample.size; BATCH],
            &vec![sample.header_size; BATCH],
            &vec![sample.sent_at; BATCH],
            &vec![sample.version; BATCH],
            &vec![sample.subject.as_deref(); BATCH],
            &vec![sample.from.as_deref(); BATCH],
            &vec![sample.message_id.as_deref(); BATCH],
            &vec![sample.to.as_deref(); BATCH],
            &vec![sample.attachments.as_deref(); BATCH],
            &vec![sample.header.as_slice(); BATCH],
            &vec![sample.envelope.as_slice(); BATCH],
            &vec![sample.structure.as_slice(); BATCH],
        ];
        let chunk_values: [&(dyn ToSql + Sync); 4] = [
            &ids,
            &vec![sample.chunk_size; BATCH],
            &vec![sample.codec; BATCH],
            &vec![sample.bytes.as_slice(); BATCH],
        ];
        let message_values: [&(dyn ToSql + Sync); 4] =
            [&ids, &accounts, &vec![sample.message_size; BATCH], &vec![sample.prefix.as_deref(); BATCH]];
        // Sent without waiting in between, in this order.
        tokio::try_join!(
            biased;
            async { client.batch_execute("begin").await },
            async { client.execute(&content, &content_values).await },
            async { client.execute(&chunks, &chunk_values).await },
            async { client.execute(&messages, &message_values).await },
            async { client.batch_execute("commit").await },
        )?;
        done += BATCH;
    }
    Ok(done)
}
