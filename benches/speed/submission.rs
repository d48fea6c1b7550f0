//! What signing costs: mail submitted by 20 users who have logged in, unsigned, signed with RSA, and signed with RSA and
//! Ed25519, in turn.
//!
//! The client is our own: `smtp-source` cannot log in. It logs in once before the clock runs (the first login costs
//! Argon2), without TLS, so that signing is not lost among the costs of encryption; and it says what comes next together
//! with the end of a message, so that a message costs it one round trip. Everything goes on to smtp-sink, by a route for
//! all domains. A run has a daemon for each way of signing, with its own data directory, so that all are equally new.

use std::time::{Duration, Instant};

use super::Bench;
use super::daemon::{self, Daemon};
use super::mail::Client;
use super::relay;
use super::report::{Figure, Runs, progress};
use super::sink;
use super::smtp::{LIMIT, SESSIONS};
use super::trouble::{Trouble, within};

/// Where smtp-sink listens.
const SINK: u16 = 25_828;
/// A signature's field is longer than this, with either key.
const SIGNATURE: f64 = 200.0;
const LOOK: Duration = Duration::from_millis(20);
const MEAN_SIZE: &str = include_str!("sql/mean_size_sent.sql");

/// A way of signing: its folder, how the report calls it, its keys.
struct Way {
    folder: &'static str,
    name: &'static str,
    keys: &'static [&'static str],
}

const WAYS: [Way; 3] = [
    Way { folder: "submission-unsigned", name: "unsigned", keys: &[] },
    Way { folder: "submission-rsa", name: "signed with RSA (2048 bits)", keys: &["rsa-sha256"] },
    Way {
        folder: "submission-both",
        name: "signed with RSA and Ed25519",
        keys: &["rsa-sha256", "ed25519-sha256"],
    },
];

/// Messages a second of one way.
#[derive(Default)]
struct Rates {
    accepted: Runs,
    sent: Runs,
    size: f64,
}

/// Measures and reports.
pub async fn run(bench: &mut Bench) -> Result<(), Trouble> {
    let (rounds, each) = if bench.quick { (1, 20) } else { (3, 1_000) };
    let _sink = sink::start(SINK).await?;
    let mut rates: [Rates; WAYS.len()] = Default::default();
    for round in 1..=rounds {
        for (way, rates) in WAYS.iter().zip(&mut rates) {
            progress(&format!("round {round} of {rounds}: {}", way.name));
            measure(bench, way, each, rates).await?;
        }
    }
    let [unsigned, signed @ ..] = &rates;
    for (rates, way) in signed.iter().zip(&WAYS[1..]) {
        let grown = rates.size - unsigned.size;
        if grown < SIGNATURE * way.keys.len() as f64 {
            return Err(Trouble::broken(format!(
                "mail that should be {} is only {grown:.0} bytes longer than mail without",
                way.name
            )));
        }
    }
    let report = &mut bench.report;
    report.note(&format!(
        "{SESSIONS} users, logged in once (AUTH PLAIN, no TLS), 10 KB each, {} messages in a run, one round trip each",
        SESSIONS * each
    ));
    report.figure(Figure::new("unsigned: accepted", unsigned.accepted.clone(), "messages/s"));
    for (rates, way) in signed.iter().zip(&WAYS[1..]) {
        report.figure(
            Figure::new(format!("{}: accepted", way.name), rates.accepted.clone(), "messages/s")
                .beside("unsigned", unsigned.accepted.clone()),
        );
    }
    report.figure(Figure::new("unsigned: until all is sent on", unsigned.sent.clone(), "messages/s"));
    for (rates, way) in signed.iter().zip(&WAYS[1..]) {
        report.figure(
            Figure::new(format!("{}: until all is sent on", way.name), rates.sent.clone(), "messages/s")
                .beside("unsigned", unsigned.sent.clone()),
        );
    }
    Ok(())
}

/// One run of one way.
async fn measure(bench: &Bench, way: &Way, each: usize, rates: &mut Rates) -> Result<(), Trouble> {
    let data_dir = bench.work.join(way.folder);
    let new = !data_dir.exists();
    let daemon = Daemon::start(&data_dir).await?;
    if new {
        daemon.make_accounts(SESSIONS as i32).await?;
        let route = format!(
            "insert into control.route (pattern, host, port, tls) values ('*', '127.0.0.1', {SINK}, 'none')"
        );
        daemon.obey(&[&route, "update control.smtp set require_tls_for_auth = false"]).await?;
        for algorithm in way.keys {
            use_key(&daemon, algorithm).await?;
        }
    }
    let mut clients = Vec::new();
    for user in 1..=SESSIONS {
        let mut client = Client::connect(daemon::SUBMISSION).await?;
        client.login(&address(user)).await?;
        clients.push(client);
    }
    let count = SESSIONS * each;
    let (before, _) = relay::sent(&daemon).await?;
    let began = Instant::now();
    let submitting = clients.iter_mut().zip(1..).map(|(client, user)| async move {
        client.send_all(&address(user), &format!("u{user}@far.test"), each).await
    });
    within(LIMIT, "submitting mail", futures_util::future::try_join_all(submitting)).await?;
    rates.accepted.0.push(count as f64 / began.elapsed().as_secs_f64());
    relay::until_sent(&daemon, before, count as i64).await?;
    rates.sent.0.push(count as f64 / began.elapsed().as_secs_f64());
    rates.size = within(LIMIT, "weighing what was sent", daemon.sql.query_one(MEAN_SIZE, &[])).await?.get(0);
    drop(clients);
    daemon.stop().await
}

fn address(user: usize) -> String {
    format!("u{user}@example.test")
}

/// Has a key made, and signs with it.
async fn use_key(daemon: &Daemon, algorithm: &str) -> Result<(), Trouble> {
    let make = "select id from directory.make_dkim_key('example.test', $1)";
    let id: i64 = within(LIMIT, "asking for a key", daemon.sql.query_one(make, &[&algorithm])).await?.get(0);
    let state = "select state = 'ready' from directory.dkim_key where id = $1";
    let deadline = Instant::now() + LIMIT;
    while !within(LIMIT, "looking for a key", daemon.sql.query_one(state, &[&id])).await?.get::<_, bool>(0) {
        if Instant::now() > deadline {
            return Err(Trouble::broken(format!("the server makes no key for {algorithm}")));
        }
        tokio::time::sleep(LOOK).await;
    }
    daemon.obey(&[&format!("select directory.activate_dkim_key({id})")]).await
}
