//! Nothing is lost on its way out: daemons and PostgreSQL are killed while 5,000 messages leave through two nodes.
//!
//! Every recipient must get his message. He may get it twice only where the other server's answer to it did not reach the
//! queue: it was lost on the way, or its node was killed with the answer in its hands. The sink knows both: such a message
//! came by a connection that ended without QUIT. Before the first kill there is none of the second kind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::support::cluster::{Cluster, Durability};
use crate::support::daemon::Daemon;
use crate::support::sink::{Act, At, Received, loopback};
use crate::support::{Database, Dialogue, Script, Sink};

const MESSAGES: usize = 5_000;
const SESSIONS: usize = 10;
/// Nothing new for so long: a lease of a killed node may have to expire first.
const SILENCE: Duration = Duration::from_secs(180);

/// Takes messages in by one session; alice writes to u*N*@far.test. All are acknowledged when it returns.
async fn take_in(mut smtp: Dialogue, numbers: std::ops::Range<usize>) {
    smtp.expect("220").await;
    smtp.send("EHLO client.test").await;
    smtp.expect("250").await;
    smtp.login("alice").await;
    for number in numbers {
        smtp.send_bytes(
            format!("MAIL FROM:<alice@example.test>\r\nRCPT TO:<u{number}@far.test>\r\nDATA\r\n").as_bytes(),
        )
        .await;
        for code in ["250", "250", "354"] {
            smtp.expect(code).await;
        }
        smtp.data(&format!("Subject: number {number}\n\nHello.\n")).await;
        smtp.expect("250").await;
    }
}

/// How long before its node's end an answer may have come that was not written down yet.
const IN_HAND: Duration = Duration::from_secs(2);

/// What was sent how often, and why more than once.
#[derive(Debug, Default)]
struct Tally {
    recipients: usize,
    twice: usize,
    answer_lost: usize,
    answered_to_the_dead: usize,
    longest_in_hand: Duration,
    unexplained: Vec<String>,
}

fn tally(sink: &Sink) -> Tally {
    let (messages, sessions) = (sink.messages(), sink.sessions());
    let mut by_recipient: HashMap<&str, Vec<&Received>> = HashMap::new();
    for message in &messages {
        for address in message.addresses() {
            by_recipient.entry(address).or_default().push(message);
        }
    }
    let mut tally = Tally { recipients: by_recipient.len(), ..Tally::default() };
    for (address, copies) in by_recipient {
        // The last copy is the one that counted.
        let Some((_, earlier)) = copies.split_last().filter(|(_, earlier)| !earlier.is_empty()) else {
            continue;
        };
        tally.twice += 1;
        for copy in earlier {
            let session = &sessions[copy.connection - 1];
            let broken = session.commands.last().is_none_or(|last| last != "QUIT");
            let before = session.ended_at.map(|end| end.saturating_duration_since(copy.at));
            match before.filter(|before| broken && *before < IN_HAND) {
                _ if copy.answer_lost() => tally.answer_lost += 1,
                Some(before) => {
                    tally.answered_to_the_dead += 1;
                    tally.longest_in_hand = tally.longest_in_hand.max(before);
                }
                None => tally.unexplained.push(format!("{address} ({before:?}, broken: {broken})")),
            }
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipient_gets_his_message_whoever_is_killed() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    // Some answers are lost without anybody being killed; a moment for each keeps several messages under way.
    let script =
        Script::default().times(20, At::End, Act::Drop).always(At::End, Act::Delay(Duration::from_millis(5)));
    let sink = Sink::start(&loopback(), 0, script).await;
    let (host, port) = (sink.address().ip(), sink.port());
    let mut one = Daemon::start(&db).await;
    let mut two = one.second_node().await;
    db.apply(&format!(
        "insert into control.route (pattern, host, port, tls) values ('*', '{host}', {port}, 'none');
         update control.smtp set max_messages_per_session = 100000;
         update control.retry set after_seconds = 1;
         update control.relay set enabled = false"
    ))
    .await;
    let mut sessions = Vec::new();
    for session in 0..SESSIONS {
        let daemon = if session % 2 == 0 { &one } else { &two };
        let share = MESSAGES / SESSIONS;
        sessions
            .push(tokio::spawn(take_in(daemon.submission().await, session * share..(session + 1) * share)));
    }
    for session in sessions {
        session.await.unwrap();
    }
    assert_eq!(db.value::<i64>("select count(*) from queue.recipient").await, MESSAGES as i64);
    db.apply("update control.relay set enabled = true").await;

    let sent = |count: usize| {
        let sink = &sink;
        async move { sink.wait_until(&format!("{count} messages"), SILENCE, || sink.count() >= count).await }
    };
    sent(MESSAGES / 5).await;
    one.kill9().await;
    let first = tally(&sink);
    one.start_again().await;
    sent(MESSAGES * 2 / 5).await;
    cluster.stop_immediate();
    cluster.start();
    db.reconnect().await;
    sent(MESSAGES * 3 / 5).await;
    one.kill9().await;
    two.kill9().await;
    one.start_again().await;
    two.start_again().await;

    sink.wait_until("every message", SILENCE, || tally_of_recipients(&sink) == MESSAGES).await;
    db.until("select not exists (select 1 from queue.recipient)").await;
    let tally = tally(&sink);
    println!(
        "{} recipients, {} of them twice or more: {} answers lost, {} answered to a connection that was broken by a kill, \
         at most {:?} before its end (before the first kill: {})",
        tally.recipients,
        tally.twice,
        tally.answer_lost,
        tally.answered_to_the_dead,
        tally.longest_in_hand,
        first.answered_to_the_dead
    );
    assert_eq!(tally.recipients, MESSAGES);
    assert!(tally.unexplained.is_empty(), "sent again without need: {:?}", tally.unexplained);
    // Until somebody is killed an answer that comes counts.
    assert_eq!(first.answered_to_the_dead, 0, "{first:?}");
}

fn tally_of_recipients(sink: &Sink) -> usize {
    let messages = sink.messages();
    messages.iter().flat_map(Received::addresses).collect::<std::collections::HashSet<_>>().len()
}
