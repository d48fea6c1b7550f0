//! URLs that somebody has authorized (URLAUTH, RFC 4467; URLAUTH=BINARY, RFC 5524; URL-PARTIAL, RFC 5550).

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

const MESSAGE: &str = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n\
    --b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    U2kgdmlzIHBhY2VtLCBwYXJhIGJlbGx1bS4NCg==\r\n--b--\r\n";

async fn user(daemon: &Daemon<'_>, name: &str) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login(name).await;
    imap
}

/// Alice's INBOX with one message, and the beginning of its URLs.
async fn prepared(db: &Database, daemon: &Daemon<'_>) -> (Dialogue, String) {
    db.apply("update control.server set hostname = 'mail.example.test'").await;
    let mut alice = user(daemon, "alice").await;
    alice.send_literal("a APPEND INBOX", MESSAGE.as_bytes()).await;
    alice.expect("a OK").await;
    (alice, "imap://alice%40example.test@mail.example.test/INBOX/;uid=1".to_owned())
}

/// The URL with its token.
async fn authorized(imap: &mut Dialogue, rump: &str) -> String {
    let answers = imap.run(&format!("GENURLAUTH \"{rump}\" INTERNAL")).await;
    let url = answers[0].strip_prefix("* GENURLAUTH \"").unwrap().strip_suffix('"').unwrap().to_owned();
    assert!(url.starts_with(&format!("{rump}:internal:")), "{url}");
    url
}

/// What URLFETCH says of a URL.
async fn fetched(imap: &mut Dialogue, url: &str) -> String {
    let answers = imap.run(&format!("URLFETCH \"{url}\"")).await;
    answers[0]
        .strip_prefix(&format!("* URLFETCH \"{url}\" "))
        .unwrap_or_else(|| panic!("{answers:?}"))
        .to_owned()
}

#[tokio::test]
async fn what_was_authorized_can_be_fetched() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, url) = prepared(&db, &daemon).await;
    let mut bob = user(&daemon, "bob").await;
    let part = authorized(&mut alice, &format!("{url}/;section=1;urlauth=anonymous")).await;
    assert_eq!(fetched(&mut bob, &part).await, "{5}\r\nfirst");
    // RFC 5550 §2.7.1, RFC 5092 §6: a part of a part.
    for (partial, bytes) in [("1.3", "{3}\r\nirs"), ("2", "{3}\r\nrst"), ("5.1", "\"\""), ("99", "\"\"")] {
        let part =
            authorized(&mut alice, &format!("{url}/;section=1/;partial={partial};urlauth=authuser")).await;
        assert_eq!(fetched(&mut bob, &part).await, bytes, "{partial}");
    }
    let whole = authorized(&mut alice, &format!("{url};urlauth=user+bob%40example.test")).await;
    assert_eq!(fetched(&mut bob, &whole).await, format!("{{{}}}\r\n{MESSAGE}", MESSAGE.len()));
    assert_eq!(fetched(&mut alice, &whole).await, "NIL");
    let missing = authorized(&mut alice, &format!("{url}/;section=7;urlauth=anonymous")).await;
    assert_eq!(fetched(&mut bob, &missing).await, "NIL");
    // RFC 4467 §7: several at once, whatever is selected; the mailbox is not touched.
    bob.run("SELECT INBOX").await;
    let both = bob.run(&format!("URLFETCH \"{part}\" \"{whole}\"")).await;
    assert_eq!(both.len(), 3);
    assert_eq!(db.value::<i64>("select count(*) from store.message where seen").await, 0);
    let two = alice
        .run(&format!("GENURLAUTH \"{url};urlauth=anonymous\" INTERNAL \"{url};urlauth=authuser\" internal"))
        .await;
    assert_eq!(two[0].matches(":internal:").count(), 2);
    // CATENATE takes them, too.
    bob.send(&format!("c APPEND INBOX CATENATE (URL \"{part}\")")).await;
    bob.expect("c OK").await;
}

#[tokio::test]
async fn decoded_and_described() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, url) = prepared(&db, &daemon).await;
    let mut bob = user(&daemon, "bob").await;
    let url = authorized(&mut alice, &format!("{url}/;section=2;urlauth=anonymous")).await;
    // RFC 5524 §4
    let structure = "(BODYPARTSTRUCTURE (\"text\" \"plain\" NIL NIL NIL \"base64\" 40 1 NIL NIL NIL NIL))";
    let decoded = "{28}\r\nSi vis pacem, para bellum.\r\n";
    for (params, answer) in [
        ("BODYPARTSTRUCTURE", structure.to_owned()),
        ("BINARY", format!("(BINARY {decoded})")),
        ("BODYPARTSTRUCTURE BINARY", format!("{structure} (BINARY {decoded})")),
        ("BODY", "(BODY {40}\r\nU2kgdmlzIHBhY2VtLCBwYXJhIGJlbGx1bS4NCg==)".to_owned()),
    ] {
        let answers = bob.run(&format!("URLFETCH (\"{url}\" {params})")).await;
        assert_eq!(answers[0], format!("* URLFETCH \"{url}\" {answer}"), "{params}");
    }
    let forged = url.replace("section=2", "section=1");
    let answers = bob.run(&format!("URLFETCH (\"{forged}\" BODYPARTSTRUCTURE BINARY) \"{url}\"")).await;
    assert_eq!(answers[0], format!("* URLFETCH \"{forged}\" NIL"));
    assert_eq!(answers.len(), 3);
    for refused in ["(\"x\")", "(\"x\" BODY BINARY)", "(\"x\" BODY BODY)", "(\"x\" FOO)", ""] {
        bob.send(&format!("r URLFETCH {refused}")).await;
        bob.expect("r BAD").await;
    }
}

#[tokio::test]
async fn what_was_not_authorized_cannot_be_fetched() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, url) = prepared(&db, &daemon).await;
    let mut bob = user(&daemon, "bob").await;
    let good = authorized(&mut alice, &format!("{url}/;section=1;urlauth=anonymous")).await;
    let (rump, token) = good.rsplit_once(":internal:").unwrap();
    let zeros = "0".repeat(66);
    for forged in [
        rump.to_owned(),
        url.clone(),
        format!("{rump}:internal:{zeros}"),
        format!("{rump}:internal:{}", &token[..64]),
        format!("{rump}:xsample:{token}"),
        good.replace("section=1", "section=2"),
        good.replace("uid=1", "uid=2"),
        good.replace("anonymous", "authuser"),
        good.replace("alice", "bob"),
        good.replace("mail.example.test", "other.example.test"),
        good.replace("INBOX", "inbox"),
        good.replace("imap:", "IMAP:"),
    ] {
        assert_eq!(fetched(&mut bob, &forged).await, "NIL", "{forged}");
    }
    // RFC 4467 §3: EXPIRE.
    let expired =
        authorized(&mut alice, &format!("{url};expire=2006-12-31T00:00:00Z;urlauth=anonymous")).await;
    assert_eq!(fetched(&mut bob, &expired).await, "NIL");
    let lasting =
        authorized(&mut alice, &format!("{url};expire=2999-12-31T00:00:00%2B01:00;urlauth=anonymous")).await;
    assert_ne!(fetched(&mut bob, &lasting).await, "NIL");
    // Only those who submit mail for others.
    let submit = authorized(&mut alice, &format!("{url};urlauth=submit+alice")).await;
    assert_eq!(fetched(&mut bob, &submit).await, "NIL");
    db.apply("update control.imap set submission_accounts = '{bob@example.test}'").await;
    assert_ne!(fetched(&mut bob, &submit).await, "NIL");
    // What is gone is gone.
    assert_ne!(fetched(&mut bob, &good).await, "NIL");
    alice.run("SELECT INBOX").await;
    alice.run("STORE 1 +FLAGS (\\Deleted)").await;
    alice.run("EXPUNGE").await;
    assert_eq!(fetched(&mut bob, &good).await, "NIL");
}

#[tokio::test]
async fn what_was_authorized_can_be_taken_back() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, url) = prepared(&db, &daemon).await;
    let mut bob = user(&daemon, "bob").await;
    alice.run("CREATE other").await;
    alice.send_literal("a APPEND other", MESSAGE.as_bytes()).await;
    alice.expect("a OK").await;
    let inbox = format!("{url};urlauth=anonymous");
    let other = inbox.replace("INBOX", "other");
    let (first, second) = (authorized(&mut alice, &inbox).await, authorized(&mut alice, &other).await);
    // Until then it is the same each time.
    assert_eq!(authorized(&mut alice, &inbox).await, first);
    // RFC 4467 §7, §8.
    alice.send("r RESETKEY INBOX").await;
    alice.expect("r OK [URLMECH INTERNAL]").await;
    assert_eq!(fetched(&mut bob, &first).await, "NIL");
    assert_ne!(fetched(&mut bob, &second).await, "NIL");
    let again = authorized(&mut alice, &inbox).await;
    assert_ne!(again, first);
    assert_ne!(fetched(&mut bob, &again).await, "NIL");
    // The keys are one's own.
    bob.run("RESETKEY").await;
    assert_ne!(fetched(&mut bob, &again).await, "NIL");
    alice.run("RESETKEY").await;
    assert_eq!(fetched(&mut bob, &again).await, "NIL");
    assert_eq!(fetched(&mut bob, &second).await, "NIL");
    // A mailbox takes its keys along.
    authorized(&mut alice, &other).await;
    alice.run("DELETE other").await;
    assert_eq!(db.value::<i64>("select count(*) from store.url_key").await, 0);
    for (command, answer) in [
        ("RESETKEY nowhere", "NO [NONEXISTENT]"),
        ("RESETKEY INBOX XSAMPLE", "NO"),
        ("RESETKEY INBOX (INTERNAL)", "BAD"),
    ] {
        alice.send(&format!("r {command}")).await;
        alice.expect(&format!("r {answer}")).await;
    }
    let selected = alice.run("SELECT INBOX").await;
    assert!(selected.iter().any(|answer| answer.starts_with("* OK [URLMECH INTERNAL]")), "{selected:?}");
}

#[tokio::test]
async fn only_ones_own_is_authorized() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, url) = prepared(&db, &daemon).await;
    for (rump, mechanism, answer) in [
        (format!("{url};urlauth=anonymous"), "XSAMPLE", "NO"),
        (url.clone(), "INTERNAL", "BAD"),
        (format!("{url};urlauth=everybody"), "INTERNAL", "BAD"),
        (format!("{url};urlauth=anonymous").replace("alice", "bob"), "INTERNAL", "BAD"),
        (format!("{url};urlauth=anonymous").replace("alice%40example.test@", ""), "INTERNAL", "BAD"),
        (format!("{url};urlauth=anonymous").replace("mail.example", "x.example"), "INTERNAL", "BAD"),
        (format!("{url};urlauth=anonymous").replace("INBOX", "nowhere"), "INTERNAL", "BAD"),
        (format!("{url};urlauth=anonymous").replace("INBOX", "INBOX;UIDVALIDITY=1"), "INTERNAL", "BAD"),
        (format!("{url};urlauth=anonymous").replace("/;uid=1", ""), "INTERNAL", "BAD"),
        (format!("{url};urlauth=anonymous:internal:{}", "0".repeat(66)), "INTERNAL", "BAD"),
        ("/INBOX/;uid=1;urlauth=anonymous".to_owned(), "INTERNAL", "BAD"),
    ] {
        alice.send(&format!("g GENURLAUTH \"{rump}\" {mechanism}")).await;
        alice.expect(&format!("g {answer}")).await;
    }
    assert_eq!(db.value::<i64>("select count(*) from store.url_key").await, 0);
}
