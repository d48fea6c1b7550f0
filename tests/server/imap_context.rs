//! Results that are kept up to date: UPDATE and CANCELUPDATE (RFC 5267).

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

async fn append(imap: &mut Dialogue, flags: &str, subject: &str) {
    imap.send_literal(
        &format!("a APPEND INBOX {flags}"),
        format!("Subject: {subject}\r\n\r\nx\r\n").as_bytes(),
    )
    .await;
    imap.expect("a OK [APPENDUID ").await;
}

/// The ESEARCH, EXISTS and EXPUNGE answers to a command, in their order.
async fn updates(imap: &mut Dialogue, command: &str) -> Vec<String> {
    let mut said = imap.run(command).await;
    said.pop();
    said.retain(|line| ["ESEARCH", "EXISTS", "EXPUNGE"].iter().any(|word| line.contains(word)));
    said
}

async fn two_sessions(daemon: &Daemon<'_>, subjects: &[&str]) -> (Dialogue, Dialogue) {
    let (mut imap, mut other) = (daemon.imap().await, daemon.imap().await);
    imap.login("alice").await;
    other.login("alice").await;
    for subject in subjects {
        append(&mut other, "()", subject).await;
    }
    imap.run("SELECT INBOX").await;
    other.run("SELECT INBOX").await;
    (imap, other)
}

#[tokio::test]
async fn searches_rfc5267() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = two_sessions(&daemon, &["a", "b", "c", "d"]).await;
    imap.send("B01 UID SEARCH RETURN (UPDATE COUNT) DELETED KEYWORD $Junk").await;
    imap.expect("* ESEARCH (TAG \"B01\") UID COUNT 0").await;
    imap.expect("B01 OK").await;
    // By another session, by this one; flags that do not matter are no news.
    other.run("STORE 2:3 +FLAGS ($Junk \\Deleted)").await;
    assert_eq!(updates(&mut imap, "NOOP").await, ["* ESEARCH (TAG \"B01\") UID ADDTO (0 2:3)"]);
    assert_eq!(updates(&mut imap, "STORE 1 +FLAGS (\\Seen)").await, [""; 0]);
    assert_eq!(
        updates(&mut imap, "STORE 2,4 FLAGS (\\Deleted $Junk)").await,
        ["* ESEARCH (TAG \"B01\") UID ADDTO (0 4)"]
    );
    assert_eq!(
        updates(&mut imap, "UID STORE 2 -FLAGS.SILENT (\\Deleted)").await,
        ["* ESEARCH (TAG \"B01\") UID REMOVEFROM (0 2)"]
    );
    // What comes is told after EXISTS; what is expunged before EXPUNGE (§4.3.3, §4.3.4).
    append(&mut other, "(\\Deleted $Junk)", "e").await;
    assert_eq!(updates(&mut imap, "NOOP").await, ["* 5 EXISTS", "* ESEARCH (TAG \"B01\") UID ADDTO (0 5)"]);
    assert_eq!(
        updates(&mut imap, "EXPUNGE").await,
        ["* ESEARCH (TAG \"B01\") UID REMOVEFROM (0 3:5)", "* 5 EXPUNGE", "* 4 EXPUNGE", "* 3 EXPUNGE"]
    );
    // In IDLE, too.
    imap.send("i IDLE").await;
    imap.expect("+").await;
    other.run("UID STORE 1 +FLAGS (\\Deleted $Junk)").await;
    imap.expect("* ESEARCH (TAG \"B01\") UID ADDTO (0 1)").await;
    imap.send("DONE").await;
    imap.expect("i OK").await;
    // §4.3.5.
    imap.run("CANCELUPDATE \"B01\" \"never\"").await;
    assert_eq!(updates(&mut imap, "STORE 1 -FLAGS (\\Deleted)").await, [""; 0]);
}

#[tokio::test]
async fn sequence_numbers() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = two_sessions(&daemon, &["a", "b", "c", "d"]).await;
    imap.run("SEARCH RETURN (UPDATE ALL) 2:3 UNSEEN").await;
    // What was said by numbers means the messages that had them.
    other.run("UID STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.run("EXPUNGE").await;
    assert_eq!(updates(&mut imap, "NOOP").await, ["* 1 EXPUNGE"]);
    other.run("UID STORE 2:4 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(updates(&mut imap, "NOOP").await, ["* ESEARCH (TAG \"t\") REMOVEFROM (0 1:2)"]);
    other.run("UID STORE 3 -FLAGS.SILENT (\\Seen)").await;
    assert_eq!(updates(&mut imap, "NOOP").await, ["* ESEARCH (TAG \"t\") ADDTO (0 2)"]);
    // During FETCH nothing is expunged, and the numbers stay; then it leaves by the number that it had.
    other.run("UID STORE 2:3 +FLAGS.SILENT (\\Deleted)").await;
    other.run("EXPUNGE").await;
    assert_eq!(
        updates(&mut imap, "NOOP").await,
        ["* ESEARCH (TAG \"t\") REMOVEFROM (0 2)", "* 2 EXPUNGE", "* 1 EXPUNGE"]
    );
}

#[tokio::test]
async fn sorted_results_rfc5267() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = two_sessions(&daemon, &["d", "b", "f"]).await;
    imap.send("C01 UID SORT RETURN (UPDATE CONTEXT ALL) (SUBJECT) UTF-8 UNDELETED").await;
    imap.expect("* ESEARCH (TAG \"C01\") UID ALL 2,1,3").await;
    imap.expect("C01 OK").await;
    // b d f; then a b c d f, and e behind d.
    append(&mut other, "()", "c").await;
    append(&mut other, "()", "a").await;
    append(&mut other, "(\\Deleted)", "e").await;
    assert_eq!(
        updates(&mut imap, "NOOP").await,
        ["* 6 EXISTS", "* ESEARCH (TAG \"C01\") UID ADDTO (1 5 3 4)"]
    );
    assert_eq!(
        updates(&mut imap, "UID STORE 6 -FLAGS (\\Deleted)").await,
        ["* ESEARCH (TAG \"C01\") UID ADDTO (5 6)"]
    );
    // a b c d e f: c and d leave side by side, then f, which is the fourth by then.
    assert_eq!(
        updates(&mut imap, "UID STORE 4,1,3 +FLAGS (\\Deleted)").await,
        ["* ESEARCH (TAG \"C01\") UID REMOVEFROM (3 4,1 4 3)"]
    );
    assert_eq!(
        updates(&mut imap, "UID STORE 1 -FLAGS (\\Deleted)").await,
        ["* ESEARCH (TAG \"C01\") UID ADDTO (3 1)"]
    );
    imap.run("UID STORE 5 +FLAGS.SILENT (x)").await;
    // a b d e is what a new search finds.
    let again = imap.run("UID SORT RETURN (ALL) (SUBJECT) UTF-8 UNDELETED").await;
    assert_eq!(again[0], "* ESEARCH (TAG \"t\") UID ALL 5,2,1,6");
}

#[tokio::test]
async fn limits_rfc5267() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, _other) = two_sessions(&daemon, &["a"]).await;
    for number in 1..=5 {
        imap.send(&format!("c{number} SEARCH RETURN (UPDATE) SEEN")).await;
        imap.expect(&format!("* ESEARCH (TAG \"c{number}\")")).await;
        imap.expect(&format!("c{number} OK")).await;
    }
    // §4.3.1: the search is carried out all the same.
    imap.send("B02 UID SORT RETURN (UPDATE COUNT) (DATE) UTF-8 ALL").await;
    imap.expect("* ESEARCH (TAG \"B02\") UID COUNT 1").await;
    imap.expect("* NO [NOUPDATE \"B02\"]").await;
    imap.expect("B02 OK").await;
    imap.run("CANCELUPDATE \"c2\"").await;
    // §4.3: a tag in use.
    imap.send("c1 SEARCH RETURN (UPDATE COUNT) ALL").await;
    imap.expect("c1 BAD").await;
    imap.send("c2 SEARCH RETURN (UPDATE COUNT) ALL").await;
    imap.expect("* ESEARCH (TAG \"c2\") COUNT 1").await;
    imap.expect("c2 OK").await;
    // Each is told for itself; another mailbox has none.
    let told = updates(&mut imap, "STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(told, ["c1", "c3", "c4", "c5"].map(|tag| format!("* ESEARCH (TAG \"{tag}\") ADDTO (0 1)")));
    imap.run("SELECT INBOX").await;
    assert_eq!(updates(&mut imap, "STORE 1 -FLAGS (\\Seen)").await, [""; 0]);
    for command in ["CANCELUPDATE", "CANCELUPDATE c1"] {
        imap.send(&format!("r {command}")).await;
        imap.expect("r BAD").await;
    }
}

#[tokio::test]
async fn what_is_in_the_text_of_new_mail() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, _other) = two_sessions(&daemon, &["a"]).await;
    imap.run("UID SEARCH RETURN (UPDATE COUNT) BODY needle SUBJECT hay").await;
    daemon.deliver("alice", "Subject: hay\n\nneedle\n").await;
    daemon.deliver("alice", "Subject: hay\n\nnothing\n").await;
    assert_eq!(updates(&mut imap, "NOOP").await, ["* 3 EXISTS", "* ESEARCH (TAG \"t\") UID ADDTO (0 2)"]);
}
