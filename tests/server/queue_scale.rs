//! A long queue: 20,000 recipients of 2,000 domains wait, and two nodes share them; and a destination that is down, with much
//! waiting for it, holds up nobody else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::relay::{QUEUE_IS_EMPTY, alice, scene, send};
use crate::support::sink::{Act, At, loopback};
use crate::support::{Daemon, Database, Script, Sink};

const DOMAINS: usize = 2_000;
/// For each domain, two recipients each.
const MESSAGES: usize = 5;
const RECIPIENTS: usize = DOMAINS * MESSAGES * 2;
/// Nothing new for so long.
const SILENCE: Duration = Duration::from_secs(60);

/// Puts copies of the only message in the queue there, as people do by SQL, and takes the first one out. `recipients` gives a
/// row for each: message (from 1), address, domain; messages are numbered in its order.
async fn fill(db: &Database, messages: usize, recipients: &str) {
    db.sql(&format!(
        "create table seed as select * from queue.message;
         insert into queue.message (id, content_id, prefix, size, sender, account_id)
         select 1000000 + n, content_id, prefix, size, sender, account_id from seed, generate_series(1, {messages}) n;
         insert into queue.recipient (message_id, address, domain) select 1000000 + n, address, domain from ({recipients}) r (n, address, domain);
         select queue.cancel(id) from seed"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_a_long_queue() {
    let db = Database::new().await;
    let sink = Sink::start(&loopback(), 0, Script::default()).await;
    let one = Daemon::start(&db).await;
    let _two = one.second_node().await;
    db.apply(&format!(
        "insert into control.route (pattern, host, port, tls) values ('*', '{}', {}, 'none');
         update control.relay set enabled = false",
        sink.address().ip(),
        sink.port()
    ))
    .await;
    send(&mut alice(&one).await, "<alice@example.test>", &["<seed@d0.test>"], "x").await;
    fill(
        &db,
        DOMAINS * MESSAGES,
        &format!(
            "select n, 'u' || n || '-' || r || '@d' || n % {DOMAINS} || '.test', 'd' || n % {DOMAINS} || '.test'
             from generate_series(1, {}) n, generate_series(1, 2) r",
            DOMAINS * MESSAGES
        ),
    )
    .await;
    assert_eq!(db.value::<i64>("select count(*) from queue.recipient").await, RECIPIENTS as i64);

    let began = Instant::now();
    db.apply("update control.relay set enabled = true").await;
    let all = DOMAINS * MESSAGES;
    sink.wait_until("every message", SILENCE, || sink.count() >= all).await;
    db.until(QUEUE_IS_EMPTY).await;
    let took = began.elapsed();

    let messages = sink.messages();
    let mut copies: HashMap<&str, usize> = HashMap::new();
    for address in messages.iter().flat_map(|message| message.addresses()) {
        *copies.entry(address).or_default() += 1;
    }
    let twice: Vec<_> = copies.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "sent more than once: {twice:?}");
    assert_eq!(copies.len(), RECIPIENTS);
    // Recipients of one message and domain are claimed together.
    assert_eq!(messages.len(), all);
    let shares = db
        .rows("select node, count(*), bool_and(outcome = 'delivered' and attempt = 1) from queue.attempt where node <> '' group by node order by node")
        .await;
    let shares: Vec<(String, i64, bool)> =
        shares.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    println!(
        "{RECIPIENTS} recipients of {DOMAINS} domains in {took:?}, over {} connections: {shares:?}",
        sink.connections()
    );
    assert!(shares.len() == 2 && shares.iter().all(|(_, _, first)| *first), "{shares:?}");
    assert_eq!(shares.iter().map(|(_, count, _)| count).sum::<i64>(), RECIPIENTS as i64);
    // A destination is looked at once more when the leases would have ended, and is forgotten then; not before.
    let soon: i64 =
        db.value("select count(*) from queue.destination where look_at < now() + interval '1 minute'").await;
    assert_eq!(soon, 0, "nothing waits, but is looked for");
}

/// A thousand recipients wait for `dead.test` before the one of `far.test`.
async fn behind_a_thousand(db: &Database, daemon: &Daemon<'_>) {
    db.apply("update control.relay set enabled = false").await;
    send(&mut alice(daemon).await, "<alice@example.test>", &["<seed@dead.test>"], "x").await;
    fill(
        db,
        1_001,
        "select n, 'u' || n || '@dead.test', 'dead.test' from generate_series(1, 1000) n union all select 1001, 'bob@far.test', 'far.test'",
    )
    .await;
    // Even by the clock.
    db.sql(
        "update queue.recipient set next_attempt_at = now() - interval '1 hour' where domain = 'dead.test';
         update queue.destination set look_at = now() - interval '1 hour' where domain = 'dead.test'",
    )
    .await;
    db.apply("update control.relay set enabled = true").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_refuses_holds_up_nobody() {
    let db = Database::new().await;
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    net.dns.set("dead.test. 60 IN MX 10 mx.dead.test.");
    net.dns.set(&format!("mx.dead.test. 60 IN A {}", loopback()));
    behind_a_thousand(&db, &daemon).await;
    assert_eq!(sink.wait_for(1).await[0].addresses(), ["bob@far.test"]);
    db.until("select down_until > now() and failures >= 1 from queue.destination where domain = 'dead.test'")
        .await;
    let waiting: i64 = db.value("select count(*) from queue.recipient where domain = 'dead.test'").await;
    assert_eq!(waiting, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_says_nothing_holds_up_nobody() {
    let db = Database::new().await;
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    let dead = net.server("mx.dead.test", Script::default().always(At::Connect, Act::Hang)).await;
    net.dns.set("dead.test. 60 IN MX 10 mx.dead.test.");
    behind_a_thousand(&db, &daemon).await;
    assert_eq!(sink.wait_for(1).await[0].addresses(), ["bob@far.test"]);
    // It was tried, by no more connections than one destination may have.
    let tried = dead.wait_for_sessions(1).await.len();
    assert!(tried <= 20, "{tried}");
    let waiting: i64 = db.value("select count(*) from queue.recipient where domain = 'dead.test'").await;
    assert_eq!(waiting, 1_000);
}
