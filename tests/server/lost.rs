//! Nothing is lost: SMTP is flooded while the daemon is killed, or PostgreSQL is, several times. Afterwards each message
//! that was answered 250 is there once, or once more for each time that its end was sent and no answer came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::cluster::{Cluster, Durability};
use crate::support::sink::{Received, loopback};
use crate::support::{Daemon, Database, Dialogue, PATIENCE, Script, Sink};

/// Clients that send at the same time.
const CLIENTS: usize = 8;
/// Messages of a flood.
const MESSAGES: usize = 800;
/// How often somebody is killed meanwhile.
const ROUNDS: usize = 3;
/// Before a client tries again what was refused or could not be reached.
const PAUSE: Duration = Duration::from_millis(10);

// The flood ------------------------------------------------------------------------------------------------------------

/// What became of a message in the end: it was answered 250.
struct Sent {
    number: usize,
    /// How often its final dot was sent and never answered.
    unanswered: usize,
    /// How often it was answered "later".
    put_off: usize,
}

/// Its subject; nothing else bears it.
fn token(number: usize) -> String {
    format!("flood {number:05}")
}

/// Whom a message is for.
type To = fn(usize) -> Vec<String>;

/// One of three people, and now and then all of them.
fn recipients(number: usize) -> Vec<String> {
    const PEOPLE: [&str; 3] = ["alice@example.test", "bob@example.test", "carol@example.test"];
    let people = if number.is_multiple_of(4) { &PEOPLE[..] } else { &PEOPLE[number % 3..][..1] };
    people.iter().map(|person| (*person).to_owned()).collect()
}

/// Somebody on another server.
fn elsewhere(number: usize) -> Vec<String> {
    vec![format!("u{number}@far.test")]
}

fn text(number: usize) -> String {
    let filling = format!("A line of message {number}, as long as lines of mail are.\r\n").repeat(40);
    format!("From: sender@example.net\r\nSubject: {token}\r\n\r\n{filling}{token}\r\n", token = token(number))
}

/// All clients of a flood, and how far they are.
struct Flood {
    clients: JoinSet<Vec<Sent>>,
    taken: watch::Receiver<usize>,
}

impl Flood {
    /// For people here ([`recipients`]) or elsewhere ([`elsewhere`]).
    fn start(port: u16, to: To) -> Flood {
        let next = Arc::new(AtomicUsize::new(0));
        let (count, taken) = watch::channel(0);
        let count = Arc::new(count);
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(send_all(port, to, next.clone(), count.clone()));
        }
        Flood { clients, taken }
    }

    /// Waits until so many messages have been answered 250.
    async fn until_taken(&mut self, count: usize) {
        let taken = timeout(PATIENCE, self.taken.wait_for(|taken| *taken >= count)).await;
        drop(taken.expect("the flood does not get on").expect("the clients have gone"));
    }

    async fn end(self) -> Vec<Sent> {
        self.clients.join_all().await.into_iter().flatten().collect()
    }
}

/// Sends messages until there are none left, each as often as it takes.
async fn send_all(port: u16, to: To, next: Arc<AtomicUsize>, taken: Arc<watch::Sender<usize>>) -> Vec<Sent> {
    let mut connection = None;
    let mut all = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= MESSAGES {
            return all;
        }
        let mut sent = Sent { number, unanswered: 0, put_off: 0 };
        let whole = timeout(PATIENCE * 2, send(port, to, &mut connection, &mut sent));
        whole.await.unwrap_or_else(|_| panic!("message {number} is never taken"));
        taken.send_modify(|count| *count += 1);
        all.push(sent);
    }
}

async fn send(port: u16, to: To, connection: &mut Option<Client>, sent: &mut Sent) {
    loop {
        let mut client = match connection.take() {
            Some(client) => client,
            None => match Client::connect(port).await {
                Ok(client) => client,
                // Nobody there at the moment.
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        match client.send(sent.number, &to(sent.number)).await {
            Ok(Answer::Taken) => {
                *connection = Some(client);
                return;
            }
            Ok(Answer::Later) => {
                sent.put_off += 1;
                *connection = Some(client);
                sleep(PAUSE).await;
            }
            Err(Lost::BeforeTheEnd) => {}
            Err(Lost::AfterTheEnd) => sent.unanswered += 1,
        }
    }
}

enum Answer {
    Taken,
    Later,
}

/// The connection is lost.
enum Lost {
    /// The final dot was not sent: the message cannot have been taken.
    BeforeTheEnd,
    /// It was sent: who knows.
    AfterTheEnd,
}

impl From<std::io::Error> for Lost {
    fn from(_: std::io::Error) -> Lost {
        Lost::BeforeTheEnd
    }
}

/// A client that bears everything: [`Dialogue`] fails the test when a connection breaks.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(port: u16) -> std::io::Result<Client> {
        let mut client = Client(BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?));
        client.reply().await?;
        client.say("EHLO flood.example.net\r\n").await?;
        client.reply().await?;
        Ok(client)
    }

    async fn send(&mut self, number: usize, to: &[String]) -> Result<Answer, Lost> {
        let mut envelope = "MAIL FROM:<sender@example.net>\r\n".to_owned();
        for recipient in to {
            envelope += &format!("RCPT TO:<{recipient}>\r\n");
        }
        self.say(&envelope).await?;
        let begun = self.reply().await? == 250;
        let mut all_taken = begun;
        for _ in to {
            // Recipients that were sent behind a MAIL that is refused for now have no message.
            all_taken &=
                if begun { self.reply().await? == 250 } else { self.reply_or(&["503"]).await? == 250 };
        }
        if all_taken {
            self.say("DATA\r\n").await?;
            all_taken = self.reply().await? == 354;
        }
        if !all_taken {
            self.say("RSET\r\n").await?;
            self.reply().await?;
            return Ok(Answer::Later);
        }
        let end = async {
            self.say(&format!("{}.\r\n", text(number))).await?;
            self.reply().await
        };
        match end.await {
            Ok(250) => Ok(Answer::Taken),
            Ok(_) => Ok(Answer::Later),
            Err(_) => Err(Lost::AfterTheEnd),
        }
    }

    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }

    /// The code of the next reply: 2xx, 3xx or 451. 421 is the end of the connection.
    async fn reply(&mut self) -> std::io::Result<u16> {
        self.reply_or(&[]).await
    }

    /// The same, or one of these.
    async fn reply_or(&mut self, also: &[&str]) -> std::io::Result<u16> {
        loop {
            let mut line = String::new();
            let read =
                timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("the server says nothing")?;
            if read == 0 || !line.ends_with("\r\n") || line.starts_with("421") {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let known = ["2", "354", "451"];
            assert!(known.iter().chain(also).any(|code| line.starts_with(code)), "{line}");
            if line.as_bytes()[3] == b' ' {
                return Ok(line[..3].parse().unwrap());
            }
        }
    }
}

// What is there afterwards -----------------------------------------------------------------------------------------------

/// Every message that was answered 250 is there, whole, and not more often than it was sent without an answer.
async fn nothing_lost(daemon: &Daemon<'_>, sent: &[Sent]) {
    let db = daemon.db();
    assert_eq!(sent.len(), MESSAGES);
    let mut there: BTreeMap<(String, String), i64> = db
        .rows("select subject, address, count(*) from report.message group by subject, address")
        .await
        .iter()
        .map(|row| ((row.get(0), row.get(1)), row.get(2)))
        .collect();
    let mut duplicates = 0;
    for message in sent {
        let copies: Vec<usize> = recipients(message.number)
            .iter()
            .map(|person| there.remove(&(token(message.number), person.clone())).unwrap_or(0) as usize)
            .collect();
        let name = token(message.number);
        assert!(copies[0] >= 1, "\"{name}\" was answered 250, and is lost");
        assert!(
            copies[0] <= 1 + message.unanswered,
            "\"{name}\" is there {} times; only {} answers are missing",
            copies[0],
            message.unanswered
        );
        assert!(copies.iter().all(|n| *n == copies[0]), "\"{name}\" has reached some: {copies:?}");
        duplicates += copies[0] - 1;
    }
    assert!(there.is_empty(), "nobody has sent this: {there:?}");
    let unanswered: usize = sent.iter().map(|message| message.unanswered).sum();
    let put_off: usize = sent.iter().map(|message| message.put_off).sum();
    println!(
        "{MESSAGES} messages, {unanswered} ends without an answer, {put_off} put off, {duplicates} duplicates"
    );

    for (wrong, question) in [
        ("an account's usage", "select count(*) from report.quota_drift"),
        (
            "a UID or a modseq above its mailbox's counters",
            "select count(*) from store.message m join store.mailbox b on b.account_id = m.account_id and b.id = m.mailbox_id
             where m.uid >= b.uid_next or m.modseq > b.highest_modseq",
        ),
        (
            "a UID given twice",
            "select count(*) from (select from store.message group by account_id, mailbox_id, uid having count(*) > 1) t",
        ),
        (
            "a message without its content",
            "select count(*) from store.message m where not exists (select from store.content c where c.id = m.content_id)",
        ),
    ] {
        assert_eq!(db.value::<i64>(question).await, 0, "{wrong}");
    }
    whole(daemon, sent).await;
}

/// Reads what one of the people has got, as a client does: every byte of every message is there.
async fn whole(daemon: &Daemon<'_>, sent: &[Sent]) {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("SELECT INBOX").await;
    let count: i64 =
        daemon.db().value("select count(*) from report.message where address = 'alice@example.test'").await;
    imap.send("f FETCH 1:* (BODY.PEEK[])").await;
    let mut missing: BTreeSet<usize> = sent
        .iter()
        .map(|message| message.number)
        .filter(|number| recipients(*number).iter().any(|person| person == "alice@example.test"))
        .collect();
    for _ in 0..count {
        let bytes = imap.expect_literal("* *FETCH").await;
        let bytes = String::from_utf8(bytes).unwrap();
        let number: usize = bytes.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(bytes.ends_with(&text(number)), "{bytes}");
        missing.remove(&number);
    }
    imap.expect("f OK").await;
    assert!(missing.is_empty(), "{missing:?}");
}

// Who is killed ------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_when_the_daemon_is_killed() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    let mut daemon = Daemon::start(&db).await;
    let mut flood = Flood::start(daemon.port("smtp"), recipients);
    for round in 1..=ROUNDS {
        flood.until_taken(round * MESSAGES / (ROUNDS + 1)).await;
        daemon.kill9().await;
        daemon.start_again().await;
    }
    let sent = flood.end().await;
    nothing_lost(&daemon, &sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_when_postgresql_is_killed() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    let mut daemon = Daemon::start(&db).await;
    let mut probe = smtp(&daemon).await;
    let mut flood = Flood::start(daemon.port("smtp"), recipients);
    for round in 1..=ROUNDS {
        flood.until_taken(round * MESSAGES / (ROUNDS + 1)).await;
        cluster.stop_immediate();
        assert!(daemon.is_running());
        // An address that the daemon has not seen yet.
        assert_eq!(rcpt(&mut probe, &format!("bob+{round}@example.test")).await, "451");
        cluster.start();
        assert_eq!(rcpt(&mut probe, &format!("bob+{round}@example.test")).await, "250");
    }
    let sent = flood.end().await;
    assert!(daemon.is_running());
    db.reconnect().await;
    nothing_lost(&daemon, &sent).await;
    println!("{} commits in doubt", daemon.log().matches("the connection was lost during a commit").count());
}

/// Mail for other servers is handed over to the relay as soon as it is committed: what is killed has messages in every
/// state between the last dot of a client and the outcome in the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_that_passes_through() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    let sink = Sink::start(&loopback(), 0, Script::default()).await;
    let (host, port) = (sink.address().ip(), sink.port());
    db.sql(&format!(
        "insert into control.route (pattern, host, port, tls) values ('*', '{host}', {port}, 'none');
         update control.retry set after_seconds = 1;
         insert into control.ip_list (name) values ('relays');
         insert into control.ip_rule (list_id, pattern) select id, '127.0.0.1' from control.ip_list where name = 'relays';
         update control.smtp set relay_ip_list_id = (select id from control.ip_list where name = 'relays')"
    ))
    .await;
    let mut daemon = Daemon::start(&db).await;
    let mut flood = Flood::start(daemon.port("smtp"), elsewhere);
    for round in 1..=ROUNDS {
        flood.until_taken(round * MESSAGES / (ROUNDS + 1)).await;
        if round.is_multiple_of(2) {
            cluster.stop_immediate();
            cluster.start();
            db.reconnect().await;
        } else {
            daemon.kill9().await;
            daemon.start_again().await;
        }
    }
    let sent = flood.end().await;
    db.until("select not exists (select 1 from queue.recipient)").await;
    let (messages, sessions) = (sink.messages(), sink.sessions());
    let mut there: BTreeMap<String, Vec<&Received>> = BTreeMap::new();
    for message in &messages {
        let [address] = message.addresses()[..] else { panic!("{:?}", message.addresses()) };
        there.entry(address.to_owned()).or_default().push(message);
    }
    assert_eq!(sent.len(), MESSAGES);
    let (mut unanswered, mut twice) = (0, 0);
    for message in &sent {
        let copies = there.remove(&elsewhere(message.number)[0]).unwrap_or_default();
        assert!(!copies.is_empty(), "\"{}\" was answered 250, and is lost", token(message.number));
        assert!(copies.iter().all(|copy| copy.text().ends_with(&text(message.number))));
        // It was killed with the answer in its hands, or the answer was lost.
        let in_doubt = copies.iter().filter(|copy| {
            copy.answer_lost()
                || sessions[copy.connection - 1].commands.last().is_none_or(|last| last != "QUIT")
        });
        let extra = copies.len() - 1;
        assert!(
            extra <= message.unanswered + in_doubt.count(),
            "\"{}\" is there {} times; only {} answers are missing",
            token(message.number),
            copies.len(),
            message.unanswered
        );
        unanswered += message.unanswered;
        twice += usize::from(extra > 0);
    }
    assert!(there.is_empty(), "nobody has sent this: {:?}", there.keys());
    println!("{MESSAGES} messages sent on, {unanswered} ends without an answer, {twice} came twice or more");
}

// While PostgreSQL is away ----------------------------------------------------------------------------------------------------

async fn smtp(daemon: &Daemon<'_>) -> Dialogue {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp
}

/// The code that a recipient is answered with.
async fn rcpt(smtp: &mut Dialogue, address: &str) -> String {
    smtp.send("MAIL FROM:<>").await;
    smtp.expect("250").await;
    smtp.send(&format!("RCPT TO:<{address}>")).await;
    let answer = smtp.answer().await;
    smtp.send("RSET").await;
    smtp.expect("250").await;
    answer.chars().take(3).collect()
}

#[tokio::test]
async fn sessions_outlive_postgresql() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    let daemon = Daemon::start(&db).await;
    daemon.deliver("alice", "Subject: before\n\nThe whole of it").await;
    let mut relay = smtp(&daemon).await;
    let mut data = smtp(&daemon).await;
    let mut ended = smtp(&daemon).await;
    for (session, lines) in [
        (&mut data, ["MAIL FROM:<>", "RCPT TO:<alice@example.test>"].as_slice()),
        (&mut ended, ["MAIL FROM:<>", "RCPT TO:<alice@example.test>", "DATA"].as_slice()),
    ] {
        for line in lines {
            session.send(line).await;
            session.expect(if *line == "DATA" { "354" } else { "250" }).await;
        }
    }
    let mut drop = daemon.pop3().await;
    drop.login("alice").await;
    let mut mail = daemon.imap().await;
    mail.login("alice").await;
    mail.run("SELECT INBOX").await;
    let mut idle = daemon.imap().await;
    idle.login("alice").await;
    idle.run("SELECT INBOX").await;
    idle.send("i IDLE").await;
    idle.expect("+").await;

    cluster.stop_immediate();

    // A recipient, the beginning of a message, its end.
    assert_eq!(rcpt(&mut relay, "bob@example.test").await, "451");
    data.send("DATA").await;
    if data.answer().await.starts_with("354") {
        data.data("Subject: meanwhile").await;
        data.expect("451").await;
    }
    ended.data("Subject: meanwhile").await;
    ended.expect("451").await;
    for command in ["STATUS INBOX (MESSAGES)", "LIST \"\" *", "FETCH 1 BODY.PEEK[]", "CREATE Meanwhile"] {
        mail.send(&format!("m {command}")).await;
        mail.expect("m NO [UNAVAILABLE]").await;
    }
    mail.send("a APPEND INBOX {3+}\r\nabc").await;
    mail.expect("a NO [UNAVAILABLE]").await;
    drop.send("RETR 1").await;
    drop.expect("-ERR [SYS/TEMP]").await;
    // Who comes now is greeted, and asked to come back.
    let mut newcomer = daemon.imap().await;
    newcomer.send("l LOGIN bob@example.test mailwright").await;
    newcomer.expect("l NO [UNAVAILABLE]").await;
    let mut caller = daemon.pop3().await;
    caller.send("USER bob@example.test").await;
    caller.expect("+OK").await;
    caller.send("PASS mailwright").await;
    caller.expect("-ERR [SYS/TEMP]").await;

    cluster.start();
    db.reconnect().await;

    // Every one of them goes on, and needs no second try.
    assert_eq!(rcpt(&mut relay, "bob@example.test").await, "250");
    for session in [&mut data, &mut ended] {
        session.send("RSET").await;
        session.expect("250").await;
        for (line, answer) in
            [("MAIL FROM:<>", "250"), ("RCPT TO:<alice@example.test>", "250"), ("DATA", "354")]
        {
            session.send(line).await;
            session.expect(answer).await;
        }
        session.data("Subject: after").await;
        session.expect("250").await;
    }
    mail.send("m FETCH 1 BODY.PEEK[]").await;
    let bytes = mail.expect_literal("* 1 FETCH").await;
    mail.expect("m OK").await;
    assert!(bytes.ends_with(b"Subject: before\r\n\r\nThe whole of it\r\n"));
    assert_eq!(mail.run("FETCH 1:* UID").await.len(), 4);
    idle.expect("* 3 EXISTS").await;
    drop.send("RETR 1").await;
    drop.expect("+OK").await;
    assert_eq!(drop.lines().await.last().unwrap(), "The whole of it");
    newcomer.login("bob").await;
    caller.send("USER bob@example.test").await;
    caller.expect("+OK").await;
    caller.send("PASS mailwright").await;
    caller.expect("+OK").await;

    // Rules by SQL hold as before.
    db.until("select count(login) = 5 from live.session").await;
    db.sql("delete from live.session where login = 'bob@example.test'").await;
    newcomer.expect("* BYE").await;
    caller.expect("-ERR").await;
    mail.run("NOOP").await;
    assert_eq!(db.value::<i64>("select count(*) from report.quota_drift").await, 0);
}
