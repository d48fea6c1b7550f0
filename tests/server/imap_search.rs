//! SEARCH and what builds upon it: saved results, parts of results, several mailboxes, fuzzy matching, filters.

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

/// Puts a message into a mailbox.
async fn append(imap: &mut Dialogue, mailbox_and_flags: &str, message: &str) {
    imap.send_literal(&format!("a APPEND {mailbox_and_flags}"), message.replace('\n', "\r\n").as_bytes())
        .await;
    imap.expect("a OK [APPENDUID ").await;
}

/// The answers to a command but for the tagged one.
async fn said(imap: &mut Dialogue, command: &str) -> Vec<String> {
    let mut answers = imap.run(command).await;
    answers.pop();
    answers
}

/// Expects a command to be answered by exactly this.
async fn dialogue(imap: &mut Dialogue, command: &str, answers: &[&str]) {
    assert_eq!(said(imap, command).await, answers, "{command}");
}

async fn refused(imap: &mut Dialogue, command: &str, answer: &str) {
    imap.send(&format!("r {command}")).await;
    imap.expect(&format!("r {answer}")).await;
}

/// Alice with this many messages in INBOX; the even ones are flagged.
async fn inbox(daemon: &Daemon<'_>, count: u32) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for number in 1..=count {
        let flags = if number % 2 == 0 { " (\\Flagged)" } else { "" };
        append(&mut imap, &format!("INBOX{flags}"), &format!("Subject: number {number}\n\nbody\n")).await;
    }
    imap.run("SELECT INBOX").await;
    imap
}

#[tokio::test]
async fn results_are_saved_rfc5182() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon, 6).await;
    // §2.2, example 1: nothing is answered, and `$` is what was found.
    dialogue(&mut imap, "SEARCH RETURN (SAVE) FLAGGED", &[]).await;
    dialogue(&mut imap, "FETCH $ (UID)", &["* 2 FETCH (UID 2)", "* 4 FETCH (UID 4)", "* 6 FETCH (UID 6)"])
        .await;
    // Examples 2 and 3: in other searches, in numbers of either kind.
    dialogue(&mut imap, "UID SEARCH UID $ SMALLER 1000", &["* SEARCH 2 4 6"]).await;
    dialogue(&mut imap, "SEARCH RETURN (SAVE) $ SUBJECT \"4\"", &[]).await;
    dialogue(&mut imap, "UID FETCH $ (UID)", &["* 4 FETCH (UID 4)"]).await;
    // Example 5: combined with sets.
    dialogue(&mut imap, "SEARCH OR $ 1,3000 SUBJECT number", &["* SEARCH 1 4"]).await;
    // Nothing but SAVE changes it, and a command that is not understood changes nothing.
    dialogue(&mut imap, "SEARCH ALL", &["* SEARCH 1 2 3 4 5 6"]).await;
    refused(&mut imap, "SEARCH RETURN (SAVE FOO) ALL", "BAD").await;
    dialogue(&mut imap, "SEARCH $", &["* SEARCH 4"]).await;
    // §2.1: one that is refused leaves nothing, and nothing is no mistake.
    refused(&mut imap, "SEARCH RETURN (SAVE) FILTER none", "NO [UNDEFINED-FILTER none]").await;
    dialogue(&mut imap, "FETCH $ (UID)", &[]).await;
    dialogue(&mut imap, "SEARCH $", &["* SEARCH"]).await;
    dialogue(&mut imap, "UID COPY $ Sent", &[]).await;
    dialogue(&mut imap, "STORE $ +FLAGS (x)", &[]).await;
}

#[tokio::test]
async fn saved_results_follow_expunges_and_selects_rfc5182() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon, 6).await;
    // §2.4, example 6: data are answered beside, and what only MIN and MAX name is all that is saved.
    dialogue(&mut imap, "SEARCH RETURN (SAVE MIN) FLAGGED", &["* ESEARCH (TAG \"t\") MIN 2"]).await;
    dialogue(&mut imap, "UID SEARCH $", &["* SEARCH 2"]).await;
    dialogue(&mut imap, "UID SEARCH RETURN (MIN MAX SAVE) ALL", &["* ESEARCH (TAG \"t\") UID MIN 1 MAX 6"])
        .await;
    dialogue(&mut imap, "UID SEARCH $", &["* SEARCH 1 6"]).await;
    dialogue(&mut imap, "SEARCH RETURN (SAVE MIN COUNT) FLAGGED", &["* ESEARCH (TAG \"t\") MIN 2 COUNT 3"])
        .await;
    dialogue(&mut imap, "UID SEARCH $", &["* SEARCH 2 4 6"]).await;
    // RFC 9394 §3.2.
    dialogue(&mut imap, "SEARCH RETURN (SAVE PARTIAL 2:3) ALL", &["* ESEARCH (TAG \"t\") PARTIAL (2:3 2:3)"])
        .await;
    dialogue(&mut imap, "SEARCH $", &["* SEARCH 2 3"]).await;
    // What is expunged leaves it; what follows changes its number and stays.
    imap.run("SEARCH RETURN (SAVE) FLAGGED").await;
    imap.run("UID STORE 1,4 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    dialogue(&mut imap, "SEARCH $", &["* SEARCH 1 4"]).await;
    dialogue(&mut imap, "UID SEARCH UID $", &["* SEARCH 2 6"]).await;
    imap.run("MOVE $ Trash").await;
    dialogue(&mut imap, "FETCH $ (UID)", &[]).await;
    dialogue(&mut imap, "SEARCH ALL", &["* SEARCH 1 2"]).await;
    // A mailbox that is selected anew has none.
    imap.run("SEARCH RETURN (SAVE) ALL").await;
    imap.run("SELECT INBOX").await;
    dialogue(&mut imap, "SEARCH $", &["* SEARCH"]).await;
}

#[tokio::test]
async fn parts_of_results_rfc9394() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon, 9).await;
    for (options, answer) in [
        ("PARTIAL 1:3", "PARTIAL (1:3 1:3)"),
        ("PARTIAL 3:1", "PARTIAL (3:1 1:3)"),
        ("PARTIAL 8:100", "PARTIAL (8:100 8:9)"),
        ("PARTIAL 10:12", "PARTIAL (10:12 NIL)"),
        ("PARTIAL -1:-2", "PARTIAL (-1:-2 8:9)"),
        ("PARTIAL -9:-100", "PARTIAL (-9:-100 1)"),
        ("PARTIAL -10:-11", "PARTIAL (-10:-11 NIL)"),
        ("COUNT PARTIAL 2:2 MIN", "COUNT 9 PARTIAL (2:2 2) MIN 1"),
    ] {
        let command = format!("UID SEARCH RETURN ({options}) SUBJECT number");
        dialogue(&mut imap, &command, &[&format!("* ESEARCH (TAG \"t\") UID {answer}")]).await;
    }
    dialogue(&mut imap, "SEARCH RETURN (PARTIAL 2:3) FLAGGED", &["* ESEARCH (TAG \"t\") PARTIAL (2:3 4,6)"])
        .await;
    dialogue(&mut imap, "SEARCH RETURN (PARTIAL 1:3) DELETED", &["* ESEARCH (TAG \"t\") PARTIAL (1:3 NIL)"])
        .await;
    for options in ["PARTIAL 1:2 ALL", "PARTIAL 1:2 PARTIAL 3:4", "PARTIAL 1", "PARTIAL 0:1"] {
        refused(&mut imap, &format!("SEARCH RETURN ({options}) ALL"), "BAD").await;
    }
}

#[tokio::test]
async fn several_mailboxes_rfc7377() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for mailbox in ["folder1", "folder2/salmon", "folder2/salmon/fry", "Entw&APw-rfe"] {
        imap.run(&format!("CREATE {mailbox}")).await;
    }
    for mailbox in ["folder1", "folder1", "folder2/salmon", "folder2/salmon/fry", "Entw&APw-rfe", "INBOX"] {
        append(&mut imap, mailbox, "Subject: chad\n\nx\n").await;
    }
    append(&mut imap, "folder2", "Subject: other\n\nx\n").await;
    imap.run("SUBSCRIBE folder1").await;
    let validity = async |imap: &mut Dialogue, mailbox: &str| -> String {
        let status = said(imap, &format!("STATUS {mailbox} (UIDVALIDITY)")).await.remove(0);
        status.rsplit_once(' ').unwrap().1.trim_end_matches(')').to_owned()
    };
    let mut at = std::collections::HashMap::new();
    for mailbox in ["folder1", "folder2/salmon", "folder2/salmon/fry", "Entw&APw-rfe", "INBOX"] {
        at.insert(mailbox, validity(&mut imap, mailbox).await);
    }
    let found = |mailbox: &str, data: &str| {
        format!("* ESEARCH (TAG \"t\" MAILBOX {mailbox} UIDVALIDITY {}) UID {data}", at[mailbox])
    };
    // After §2.1: nothing is selected, and nothing is said of mailboxes without hits.
    for (within, answers) in [
        (
            "mailboxes \"folder1\" subtree \"folder2\"",
            vec![
                found("folder1", "ALL 1:2"),
                found("folder2/salmon", "ALL 1"),
                found("folder2/salmon/fry", "ALL 1"),
            ],
        ),
        ("subtree-one folder2", vec![found("folder2/salmon", "ALL 1")]),
        ("inboxes subscribed", vec![found("INBOX", "ALL 1"), found("folder1", "ALL 1:2")]),
        ("mailboxes (missing Entw&APw-rfe)", vec![found("Entw&APw-rfe", "ALL 1")]),
    ] {
        let mut said = said(&mut imap, &format!("ESEARCH IN ({within}) SUBJECT \"chad\"")).await;
        let mut answers = answers;
        said.sort();
        answers.sort();
        assert_eq!(said, answers, "{within}");
    }
    assert_eq!(said(&mut imap, "ESEARCH IN (personal) RETURN (COUNT) SUBJECT chad").await.len(), 5);
    dialogue(
        &mut imap,
        "ESEARCH IN (mailboxes folder1 personal) RETURN (MIN COUNT) UID 2",
        &[&found("folder1", "MIN 2 COUNT 1")],
    )
    .await;
    // Without IN it is the selected mailbox; there has to be one.
    refused(&mut imap, "ESEARCH SUBJECT chad", "BAD").await;
    refused(&mut imap, "ESEARCH IN (selected) SUBJECT chad", "BAD").await;
    imap.run("SELECT folder1").await;
    dialogue(&mut imap, "ESEARCH SUBJECT chad", &[&found("folder1", "ALL 1:2")]).await;
    dialogue(&mut imap, "ESEARCH IN (selected) RETURN (SAVE MAX) 1:*", &[&found("folder1", "MAX 2")]).await;
    dialogue(&mut imap, "ESEARCH RETURN (ALL) $", &[&found("folder1", "ALL 2")]).await;
    let both = said(&mut imap, "ESEARCH IN (selected inboxes) SUBJECT chad").await;
    assert_eq!(both, [found("INBOX", "ALL 1"), found("folder1", "ALL 1:2")]);
    for command in [
        "ESEARCH IN (selected-delayed) ALL",
        "ESEARCH IN (personal) 1:*",
        "ESEARCH IN (personal) RETURN (SAVE) ALL",
        "ESEARCH IN () ALL",
    ] {
        refused(&mut imap, command, "BAD").await;
    }
    // Only a result in the selected mailbox is kept up to date.
    imap.send("u ESEARCH IN (personal) RETURN (UPDATE COUNT) UNDELETED").await;
    imap.expect("* NO [NOUPDATE \"u\"]").await;
    imap.expect("u OK").await;
}

#[tokio::test]
async fn nobody_searches_what_is_not_theirs() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    daemon.deliver("bob", "Subject: secret\n\nx\n").await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for within in ["personal", "inboxes", "subtree INBOX", "mailboxes (INBOX)"] {
        dialogue(&mut imap, &format!("ESEARCH IN ({within}) SUBJECT secret"), &[]).await;
    }
}

#[tokio::test]
async fn nearly_so_rfc6203() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for (subject, body) in [
        ("IMAP break", "nothing"),
        ("imap breaks", "Hello, world"),
        ("other", "Helo"),
        ("=?utf-8?q?Caf=C3=A9?=", ""),
    ] {
        append(&mut imap, "INBOX", &format!("From: Joerg <j@example.net>\nSubject: {subject}\n\n{body}\n"))
            .await;
    }
    imap.run("SELECT INBOX").await;
    for (keys, found) in [
        ("FUZZY SUBJECT \"break imap\"", "* SEARCH 1 2"),
        ("FUZZY (SUBJECT \"IMAP break\")", "* SEARCH 1 2"),
        ("FUZZY SUBJECT brake", "* SEARCH"),
        ("FUZZY SUBJECT braek", "* SEARCH 1"),
        ("FUZZY SUBJECT cafe", "* SEARCH 4"),
        // RFC 5051: what is searched for without marks is found with them.
        ("SUBJECT cafe", "* SEARCH 4"),
        ("FUZZY FROM joreg", "* SEARCH 1 2 3 4"),
        ("FUZZY BODY hello", "* SEARCH 2 3"),
        ("FUZZY TEXT \"hello imap\"", "* SEARCH"),
        ("NOT FUZZY BODY hello", "* SEARCH 1 4"),
        ("FUZZY UID 2", "* SEARCH 2"),
    ] {
        dialogue(&mut imap, &format!("SEARCH {keys}"), &[found]).await;
    }
    // §4, §6: how well they fit, in the order of the numbers; and the best first.
    let b1 = "* ESEARCH (TAG \"t\") ALL 2:3 RELEVANCY (100 60)";
    dialogue(&mut imap, "SEARCH RETURN (ALL RELEVANCY) FUZZY BODY hello", &[b1]).await;
    dialogue(&mut imap, "SORT (RELEVANCY) UTF-8 FUZZY SUBJECT breaks", &["* SORT 2 1"]).await;
    let c2 = "* ESEARCH (TAG \"t\") RELEVANCY (100 75) ALL 2,1";
    dialogue(&mut imap, "SORT RETURN (RELEVANCY ALL) (RELEVANCY) UTF-8 FUZZY SUBJECT breaks", &[c2]).await;
    let part = "* ESEARCH (TAG \"t\") PARTIAL (2:2 1) RELEVANCY (75)";
    let command = "SORT RETURN (PARTIAL 2:2 RELEVANCY) (RELEVANCY) UTF-8 FUZZY SUBJECT breaks";
    dialogue(&mut imap, command, &[part]).await;
    for command in [
        "SEARCH RETURN (RELEVANCY) SUBJECT x",
        "SORT (RELEVANCY) UTF-8 ALL",
        "ESEARCH RETURN (RELEVANCY) ALL",
    ] {
        refused(&mut imap, command, "BAD").await;
    }
}

#[tokio::test]
async fn filters_rfc5466() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon, 4).await;
    let own = "(select id from directory.account where local_part = 'alice')";
    let other = "(select id from directory.account where local_part = 'bob')";
    for (user, name, value) in [
        (own, "on-the-road", "SUBJECT number SMALLER 5120"),
        ("0", "on-the-road", "SUBJECT nothing"),
        ("0", "flagged", "FLAGGED"),
        (own, "nested", "FILTER flagged NOT FILTER second"),
        (own, "second", "(SUBJECT \"number 2\")"),
        (own, "circle", "OR SEEN FILTER circle"),
        (own, "broken", "FLAGGED)"),
        (other, "secret", "ALL"),
    ] {
        db.sql(&format!(
            "insert into store.metadata (account_id, mailbox_id, user_id, entry, value)
             values (0, 0, {user}, '/filters/values/{name}', '{value}')"
        ))
        .await;
    }
    // §3.1; one's own comes before one for all.
    dialogue(&mut imap, "SEARCH FILTER on-the-road", &["* SEARCH 1 2 3 4"]).await;
    dialogue(&mut imap, "UID SEARCH FILTER Flagged UNDELETED", &["* SEARCH 2 4"]).await;
    dialogue(&mut imap, "SEARCH NOT FILTER nested", &["* SEARCH 1 2 3"]).await;
    dialogue(&mut imap, "SEARCH CHARSET US-ASCII FILTER nested", &["* SEARCH 4"]).await;
    dialogue(&mut imap, "SORT (REVERSE SUBJECT) UTF-8 FILTER flagged", &["* SORT 4 2"]).await;
    dialogue(&mut imap, "THREAD ORDEREDSUBJECT UTF-8 FILTER nested", &["* THREAD (4)"]).await;
    for name in ["missing", "circle", "broken", "secret"] {
        refused(&mut imap, &format!("SEARCH FILTER {name}"), &format!("NO [UNDEFINED-FILTER {name}]")).await;
    }
    refused(&mut imap, "SEARCH CHARSET ISO-8859-1 FILTER flagged", "BAD [BADCHARSET ").await;
}

#[tokio::test]
async fn ids_and_save_dates_rfc8474_rfc8514() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    append(&mut imap, "INBOX", "Message-ID: <1@x>\nSubject: one\n\nx\n").await;
    append(&mut imap, "INBOX", "Message-ID: <2@x>\nReferences: <1@x>\nSubject: two\n\nx\n").await;
    append(&mut imap, "INBOX \"17-Jul-1996 02:44:25 -0700\"", "Message-ID: <3@x>\nSubject: three\n\nx\n")
        .await;
    db.sql("update store.message set saved_at = '2020-02-29 23:30:00+00' where uid = 1").await;
    db.sql("update store.message set saved_at = null where uid = 3").await;
    imap.run("SELECT INBOX").await;
    let ids = said(&mut imap, "UID FETCH 2 (EMAILID THREADID)").await.remove(0);
    let id =
        |name: &str| ids.split_once(&format!("{name} (")).unwrap().1.split_once(')').unwrap().0.to_owned();
    let (email, thread) = (id("EMAILID"), id("THREADID"));
    for (keys, found) in [
        (format!("EMAILID {email}"), "* SEARCH 2"),
        (format!("THREADID {thread}"), "* SEARCH 1 2"),
        (format!("THREADID {thread} TEXT two"), "* SEARCH 2"),
        (format!("OR EMAILID {email} SUBJECT three"), "* SEARCH 2 3"),
        ("EMAILID nonsense".into(), "* SEARCH"),
        ("SAVEDON 29-Feb-2020".into(), "* SEARCH 1"),
        ("SAVEDBEFORE 29-Feb-2020".into(), "* SEARCH 3"),
        ("SAVEDSINCE 1-Mar-2020".into(), "* SEARCH 2"),
        ("SAVEDON 17-Jul-1996".into(), "* SEARCH 3"),
        ("SAVEDATESUPPORTED".into(), "* SEARCH 1 2 3"),
    ] {
        dialogue(&mut imap, &format!("SEARCH {keys}"), &[found]).await;
    }
}

#[tokio::test]
async fn what_is_announced() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let announced = said(&mut imap, "CAPABILITY").await.remove(0);
    for name in [
        "SEARCHRES",
        "PARTIAL",
        "SORT",
        "SORT=DISPLAY",
        "ESORT",
        "THREAD=ORDEREDSUBJECT",
        "THREAD=REFERENCES",
        "THREAD=REFS",
        "MULTISEARCH",
        "SEARCH=FUZZY",
        "CONTEXT=SEARCH",
        "CONTEXT=SORT",
        "FILTERS",
    ] {
        assert!(announced.split(' ').any(|word| word == name), "{name}: {announced}");
    }
}

#[tokio::test]
async fn hostile_searches() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon, 3).await;
    // As many elements as a command can hold, then more.
    let set = |count: u32| (0..count).map(|n| (n * 2 + 1).to_string()).collect::<Vec<_>>().join(",");
    dialogue(&mut imap, &format!("UID SEARCH UID {}", set(8_000)), &["* SEARCH 1 3"]).await;
    imap.send(&format!("b UID SEARCH UID {}", set(100_000))).await;
    assert!(imap.until_tag("b").await.last().unwrap().starts_with("b "));
    for command in [
        format!("SEARCH {}ALL", "NOT ".repeat(10_000)),
        format!("SEARCH {}ALL", "FUZZY ".repeat(8_000)),
        format!("SORT ({}DATE) UTF-8 ALL", "REVERSE DATE ".repeat(4_000)),
        format!("ESEARCH IN ({}personal) ALL", "personal ".repeat(5_000)),
        format!("ESEARCH IN (mailboxes ({}a)) ALL", "a ".repeat(5_000)),
        format!("SEARCH RETURN ({}MIN) ALL", "MIN ".repeat(5_000)),
    ] {
        refused(&mut imap, &command, "BAD").await;
    }
    let words = format!("SEARCH FUZZY TEXT \"{}\"", "number ".repeat(5_000));
    dialogue(&mut imap, &words, &["* SEARCH 1 2 3"]).await;
    let keys = format!("SEARCH {}ALL", "FUZZY TEXT number ".repeat(2_000));
    dialogue(&mut imap, &keys, &["* SEARCH 1 2 3"]).await;
    let keys: String = (0..2_000).map(|n| format!("FUZZY TEXT word{n} ")).collect();
    refused(&mut imap, &format!("SEARCH {keys}ALL"), "NO [LIMIT]").await;
}
