//! Never an open relay: who may send to whom, in one table, and what is in the queue in the end.
//!
//! Each row of [`RECIPIENTS`] is tried from every kind of client in [`CLIENTS`], with several senders; the answer depends on
//! where the recipient really is and on nothing that is written around it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::daemon::{PASSWORD, ReservedPort};
use crate::support::dialogue::{Dialogue, Language};
use crate::support::{Daemon, Database};

/// Where a recipient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Here, and everybody may write to it.
    Here,
    /// Here, and leads to an address elsewhere that somebody here has chosen.
    Alias,
    /// Here, for those who have logged in.
    Members,
    /// Elsewhere.
    Far,
    /// Refused, whoever asks, with this code.
    Never(&'static str),
}

use Kind::{Alias, Far, Here, Members, Never};

/// Recipients as clients write them, SMTPUTF8 where it takes that.
const RECIPIENTS: &[(&str, Kind)] = &[
    ("<alice@example.test>", Here),
    ("<ALICE@EXAMPLE.TEST>", Here),
    ("<alice+x@example.test>", Here),
    ("<\"alice\"@example.test>", Here),
    ("<anything@catch.test>", Here),
    ("<Postmaster>", Here),
    ("<postmaster@example.test>", Here),
    ("<alice@xn--bcher-kva.test>", Here),
    ("<alice@b\u{fc}cher.test>", Here),
    ("<alice@B\u{dc}CHER.test>", Here),
    ("<outside@example.test>", Alias),
    ("<Outside@Example.Test>", Alias),
    ("<members@example.test>", Members),
    ("<nobody@example.test>", Never("550 5.1.1")),
    ("<\"far@example.org\"@example.test>", Never("550 5.1.1")),
    ("<far%example.org@example.test>", Never("550 5.1.1")),
    ("<far%example.org@catch.test>", Here),
    ("<example.org!far@example.test>", Never("550 5.1.1")),
    ("<@example.test:far%example.org@example.test>", Never("550 5.1.1")),
    ("<alice@sub.example.test>", Far),
    ("<alice@example.test.example.org>", Far),
    ("<alice@example.org>", Far),
    ("<far@example.org>", Far),
    ("<FAR@EXAMPLE.ORG>", Far),
    ("<@example.test:far@example.org>", Far),
    ("<@example.test,@example.test:far@example.org>", Far),
    ("<@example.org:alice@example.test>", Here),
    ("<alice%example.test@example.org>", Far),
    ("<example.test!alice@example.org>", Far),
    ("<\"alice@example.test\"@example.org>", Far),
    ("<far@xn--fsqu00a.xn--0zwm56d>", Far),
    ("<far@\u{4f8b}\u{5b50}.\u{6d4b}\u{8bd5}>", Far),
    ("<far@[127.0.0.1]>", Never("550 5.1.2")),
    ("<alice@[127.0.0.1]>", Never("550 5.1.2")),
    ("<far@[192.0.2.1]>", Never("550 5.1.2")),
    ("<far@[IPv6:2001:db8::1]>", Never("550 5.1.2")),
    ("<far@127.0.0.1>", Never("5")),
    ("<far@example.org@example.test>", Never("5")),
    ("<alice@example.test@example.org>", Never("5")),
    ("<far@example.org,alice@example.test>", Never("5")),
    ("<far@example.org:alice@example.test>", Never("5")),
    ("<>", Never("5")),
    ("<far>", Never("5")),
    ("<@example.org>", Never("5")),
    ("<far@>", Never("5")),
    ("<far@example..org>", Never("5")),
    ("<far@example.org\\@example.test>", Never("5")),
    ("<far\"@example.org\"@example.test>", Never("5")),
];

/// Kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Stranger,
    StrangerUnderTls,
    /// Tried to log in with a wrong password.
    Failed,
    /// Logged in, then began TLS: RFC 3207 §4.2 says that the login is forgotten.
    Forgotten,
    LoggedIn,
    Listed,
    Lmtp,
}

const CLIENTS: [Client; 7] = [
    Client::Stranger,
    Client::StrangerUnderTls,
    Client::Failed,
    Client::Forgotten,
    Client::LoggedIn,
    Client::Listed,
    Client::Lmtp,
];

/// Senders: what one says of oneself opens nothing.
const SENDERS: [&str; 5] = [
    "<>",
    "<someone@example.net>",
    "<alice@example.test>",
    "<@example.test:someone@example.net>",
    "<far@example.org>",
];

impl Client {
    /// How a recipient is answered.
    fn answer(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Never(code), _) => code,
            (_, Client::Forgotten) => "530",
            (Here | Alias, _) | (_, Client::LoggedIn) | (Far, Client::Listed) => "250",
            (Members | Far, _) => "550 5.7.1",
        }
    }

    async fn connect(self, house: &House<'_>) -> Dialogue {
        let daemon = &house.daemon;
        let mut smtp = match self {
            Client::Stranger | Client::StrangerUnderTls | Client::Listed => daemon.smtp().await,
            Client::Failed | Client::LoggedIn => daemon.submission().await,
            Client::Forgotten => Dialogue::plain(daemon.port("submission"), Language::Smtp).await,
            Client::Lmtp => Dialogue::plain(house.lmtp.number(), Language::Smtp).await,
        };
        smtp.expect("220").await;
        let hello = if self == Client::Lmtp { "LHLO client.example.net" } else { "EHLO client.example.net" };
        say(&mut smtp, hello, "250").await;
        match self {
            Client::StrangerUnderTls => {
                smtp.starttls().await;
                say(&mut smtp, hello, "250").await;
            }
            Client::Failed => {
                let wrong = STANDARD.encode("\0alice@example.test\0wrong");
                say(&mut smtp, &format!("AUTH PLAIN {wrong}"), "535").await;
            }
            Client::Forgotten => {
                let right = STANDARD.encode(format!("\0alice@example.test\0{PASSWORD}"));
                say(&mut smtp, &format!("AUTH PLAIN {right}"), "235").await;
                smtp.starttls().await;
                say(&mut smtp, hello, "250").await;
            }
            Client::LoggedIn => smtp.login("alice").await,
            Client::Stranger | Client::Listed | Client::Lmtp => {}
        }
        smtp
    }
}

struct House<'a> {
    daemon: Daemon<'a>,
    lmtp: ReservedPort,
}

async fn house(db: &Database) -> House<'_> {
    let daemon = Daemon::start(db).await;
    let lmtp = ReservedPort::any();
    db.apply(&format!(
        "update control.relay set enabled = false;
         update control.smtp set require_tls_for_auth = false, max_errors = 100000;
         update directory.domain set is_default = true;
         insert into directory.domain (name, catch_all) values ('catch.test', 'bob@example.test'), ('xn--bcher-kva.test', null);
         insert into directory.account (domain_id, local_part) select id, 'alice' from directory.domain where name = 'xn--bcher-kva.test';
         insert into directory.alias (domain_id, local_part, targets, authenticated_only)
           select d.id, a.* from directory.domain d, (values ('postmaster', '{{alice@example.test}}'::text[], false),
             ('outside', '{{friend@outside.example}}', false), ('members', '{{friend@outside.example}}', true)) a (local_part, targets, private)
           where d.name = 'example.test';
         insert into control.listener (service, address, port, tls, mode) values ('smtp', '127.0.0.1', {}, 'none', 'lmtp');
         insert into control.ip_list (id, name) values (1, 'relays');
         insert into control.ip_rule (list_id, pattern) values (1, '127.0.0.9')",
        lmtp.number()
    ))
    .await;
    db.until("select count(*) = 10 from live.listener_status where state = 'open'").await;
    House { daemon, lmtp }
}

async fn say(smtp: &mut Dialogue, line: &str, answer: &str) {
    smtp.send(line).await;
    smtp.expect(answer).await;
}

/// What RCPT is answered, after MAIL; refusals of MAIL count as the answer.
async fn answered(smtp: &mut Dialogue, sender: &str, recipient: &str) -> String {
    let utf8 = if recipient.is_ascii() { "" } else { " SMTPUTF8" };
    smtp.send(&format!("MAIL FROM:{sender}{utf8}")).await;
    let answer = smtp.answer().await;
    if !answer.starts_with("250") {
        return answer;
    }
    smtp.send(&format!("RCPT TO:{recipient}")).await;
    smtp.answer().await
}

#[tokio::test]
async fn who_may_send_to_whom() {
    let db = Database::new().await;
    let house = house(&db).await;
    let mut wrong = Vec::new();
    let mut tried = 0;
    for client in CLIENTS {
        let listed = if client == Client::Listed { "1" } else { "null" };
        let pattern = if client == Client::Listed { "127.0.0.1" } else { "127.0.0.9" };
        db.apply(&format!(
            "update control.ip_rule set pattern = '{pattern}'; update control.smtp set relay_ip_list_id = {listed}"
        ))
        .await;
        let mut smtp = client.connect(&house).await;
        for sender in SENDERS {
            for (recipient, kind) in RECIPIENTS {
                // A submission listener refuses MAIL to whom has not logged in, so the recipient is never reached.
                let expected = match client {
                    Client::Failed | Client::Forgotten => "530",
                    _ => client.answer(*kind),
                };
                let answer = answered(&mut smtp, sender, recipient).await;
                tried += 1;
                if !answer.starts_with(expected) {
                    wrong.push(format!(
                        "{client:?} {sender} -> {recipient}: expected {expected}, came {answer}"
                    ));
                }
                say(&mut smtp, "RSET", "250").await;
            }
        }
    }
    assert!(wrong.is_empty(), "of {tried}:\n{}", wrong.join("\n"));
    assert!(tried > 1000);
    assert_eq!(db.value::<i64>("select count(*) from queue.recipient").await, 0);
}

/// A transaction of several recipients, each with the answer it should get, and the message.
async fn send(smtp: &mut Dialogue, recipients: &[(&str, &str)]) {
    say(smtp, "MAIL FROM:<someone@example.net>", "250").await;
    for (recipient, answer) in recipients {
        say(smtp, &format!("RCPT TO:<{recipient}>"), answer).await;
    }
    if recipients.iter().any(|(_, answer)| *answer == "250") {
        say(smtp, "DATA", "354").await;
        smtp.data("Subject: x").await;
        smtp.expect("250").await;
    } else {
        say(smtp, "DATA", "554").await;
        say(smtp, "RSET", "250").await;
    }
}

#[tokio::test]
async fn only_what_may_leave_is_queued() {
    let db = Database::new().await;
    let house = house(&db).await;
    let mut stranger = Client::Stranger.connect(&house).await;
    // A local recipient opens nothing for the next one, and a refused one closes nothing.
    send(
        &mut stranger,
        &[("alice@example.test", "250"), ("one@example.org", "550"), ("outside@example.test", "250")],
    )
    .await;
    send(&mut stranger, &[("two@example.org", "550")]).await;
    send(
        &mut stranger,
        &[("three%example.org@catch.test", "250"), ("\"four@example.org\"@catch.test", "250")],
    )
    .await;
    let mut lmtp = Client::Lmtp.connect(&house).await;
    send(&mut lmtp, &[("alice@example.test", "250"), ("five@example.org", "550")]).await;
    // What was granted to a user ends with his session's login.
    let mut user = Client::LoggedIn.connect(&house).await;
    send(&mut user, &[("six@example.org", "250"), ("members@example.test", "250")]).await;
    let mut forgotten = Client::Forgotten.connect(&house).await;
    say(&mut forgotten, "MAIL FROM:<alice@example.test>", "530").await;
    // A user whose account is locked or whose login failed is a stranger.
    let mut failed = Client::Failed.connect(&house).await;
    say(&mut failed, "MAIL FROM:<alice@example.test>", "530").await;

    let queued: Vec<String> =
        db.rows("select address from queue.recipient").await.iter().map(|row| row.get(0)).collect();
    let queued: BTreeSet<&str> = queued.iter().map(String::as_str).collect();
    assert_eq!(queued, BTreeSet::from(["friend@outside.example", "six@example.org"]));
}
