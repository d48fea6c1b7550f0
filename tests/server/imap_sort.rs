//! SORT: orders, and extended answers.

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

async fn append(imap: &mut Dialogue, mailbox_and_date: &str, message: &str) {
    imap.send_literal(&format!("a APPEND {mailbox_and_date}"), message.replace('\n', "\r\n").as_bytes())
        .await;
    imap.expect("a OK [APPENDUID ").await;
}

async fn dialogue(imap: &mut Dialogue, command: &str, answers: &[&str]) {
    let mut said = imap.run(command).await;
    said.pop();
    assert_eq!(said, answers, "{command}");
}

/// Alice with five messages, that no two keys put in the same order.
async fn inbox(daemon: &Daemon<'_>) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for (arrived, message) in [
        (
            "\" 5-Jan-2024 00:00:00 +0000\"",
            "Date: Mon, 1 Jan 2024 10:00:00 +0000\nSubject: Re: [list] Beta\n\
             From: \"Zoe\" <anna@x.test>\nTo: Team: c@x.test;\nCc: delta@x.test\n\n1\n",
        ),
        (
            "\" 4-Jan-2024 00:00:00 +0000\"",
            "Date: Mon, 1 Jan 2024 10:30:00 +0200\nSubject: alpha (fwd)\n\
             From: =?utf-8?q?=C3=84nne?= <zacharias@x.test>\nTo: b@x.test\n\n12345678901234567890\n",
        ),
        (
            "\" 3-Jan-2024 00:00:00 +0000\"",
            "Subject: BETA\nFrom: Bob@y.test\nTo: \"Anna\" <z@x.test>\nCc: Alpha@x.test\n\n123\n",
        ),
        ("\" 2-Jan-2024 00:00:00 +0000\"", "Date: soon\n\n\n"),
        (
            "\" 1-Jan-2024 00:00:00 +0000\"",
            "Date: 31 Dec 23\nSubject: =?utf-8?q?Fwd=3A_gamma?=\nFrom: bob@x.test\nTo: a@x.test\n\n12\n",
        ),
    ] {
        append(&mut imap, &format!("INBOX {arrived}"), message).await;
    }
    imap.run("SELECT INBOX").await;
    imap
}

#[tokio::test]
async fn orders_rfc5256() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon).await;
    for (criteria, order) in [
        ("ARRIVAL", "5 4 3 2 1"),
        ("REVERSE ARRIVAL", "1 2 3 4 5"),
        // §2.2: in UTC; where there is no date, or none that can be read, when it arrived.
        ("DATE", "5 2 1 4 3"),
        ("REVERSE DATE", "3 4 1 2 5"),
        // §2.1: without marks; an empty one first. What is equal keeps its order, in reverse too.
        ("SUBJECT", "4 2 1 3 5"),
        ("REVERSE SUBJECT", "5 1 3 2 4"),
        ("SUBJECT REVERSE DATE", "4 2 3 1 5"),
        ("FROM", "4 1 3 5 2"),
        ("FROM ARRIVAL", "4 1 5 3 2"),
        ("TO", "4 5 2 1 3"),
        ("CC DATE", "5 2 4 3 1"),
        // RFC 5957 §3: names, or else addresses.
        ("DISPLAYFROM", "4 2 5 3 1"),
        ("DISPLAYTO", "4 5 3 2 1"),
    ] {
        dialogue(&mut imap, &format!("SORT ({criteria}) UTF-8 ALL"), &[&format!("* SORT {order}")]).await;
    }
    let mut sizes = imap.run("FETCH 1:5 (RFC822.SIZE)").await;
    sizes.pop();
    let size =
        |line: &str| -> u32 { line.rsplit_once(' ').unwrap().1.trim_end_matches(')').parse().unwrap() };
    let mut by_size: Vec<(u32, usize)> = sizes.iter().map(|line| size(line)).zip(1..).collect();
    by_size.sort_by_key(|(size, number)| (std::cmp::Reverse(*size), *number));
    let by_size: Vec<String> = by_size.iter().map(|(_, number)| number.to_string()).collect();
    dialogue(&mut imap, "SORT (REVERSE SIZE) UTF-8 ALL", &[&format!("* SORT {}", by_size.join(" "))]).await;
    dialogue(&mut imap, "SORT (SUBJECT) US-ASCII TEXT \"not in mailbox\"", &["* SORT"]).await;
    dialogue(&mut imap, "UID SORT (REVERSE DATE) UTF-8 UID 2:4 NOT UID 3", &["* SORT 4 2"]).await;
    dialogue(&mut imap, "SORT (ARRIVAL) UTF-8 FROM \"\u{e4}NNE\"", &["* SORT 2"]).await;
    imap.send("r SORT (DATE) X-KLINGON ALL").await;
    imap.expect("r NO [BADCHARSET ").await;
    imap.send("r SORT (FOO) UTF-8 ALL").await;
    imap.expect("r BAD").await;
}

#[tokio::test]
async fn extended_answers_rfc5267() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon).await;
    for (options, data) in [
        // §3.3: ranges only where numbers rise.
        ("", "ALL 3:4,1:2,5"),
        ("MIN MAX COUNT", "MIN 3 MAX 5 COUNT 5"),
        ("ALL COUNT", "ALL 3:4,1:2,5 COUNT 5"),
        // §4.4.
        ("PARTIAL 1:2", "PARTIAL (1:2 3:4)"),
        ("PARTIAL 2:4", "PARTIAL (2:4 4,1:2)"),
        ("PARTIAL 6:9", "PARTIAL (6:9 NIL)"),
        ("PARTIAL -1:-2", "PARTIAL (-1:-2 2,5)"),
        ("CONTEXT COUNT", "COUNT 5"),
    ] {
        let command = format!("UID SORT RETURN ({options}) (REVERSE DATE) UTF-8 UNDELETED");
        dialogue(&mut imap, &command, &[&format!("* ESEARCH (TAG \"t\") UID {data}")]).await;
    }
    dialogue(&mut imap, "SORT RETURN (MIN MAX ALL) (DATE) UTF-8 DELETED", &["* ESEARCH (TAG \"t\")"]).await;
    // Saved is what was found, as numbers of messages.
    dialogue(&mut imap, "SORT RETURN (SAVE MIN) (REVERSE DATE) UTF-8 ALL", &["* ESEARCH (TAG \"t\") MIN 3"])
        .await;
    dialogue(&mut imap, "SEARCH $", &["* SEARCH 3"]).await;
    dialogue(&mut imap, "SORT RETURN (SAVE) (REVERSE DATE) UTF-8 2:4", &[]).await;
    dialogue(&mut imap, "SORT (DATE) UTF-8 $", &["* SORT 2 4 3"]).await;
}

#[tokio::test]
async fn mod_sequences_rfc7162() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon).await;
    imap.run("STORE 1 +FLAGS.SILENT (\\Seen)").await;
    let sorted = imap.run("SORT (DATE) UTF-8 MODSEQ 2").await;
    assert!(sorted[0].starts_with("* SORT 5 2 1 4 3 (MODSEQ "), "{sorted:?}");
    let sorted = imap.run("SORT RETURN (ALL) (DATE) UTF-8 MODSEQ 2").await;
    assert!(sorted[0].starts_with("* ESEARCH (TAG \"t\") ALL 5,2,1,4,3 MODSEQ "), "{sorted:?}");
}

/// As many messages as a page holds, and more: all of them once.
#[tokio::test]
async fn more_than_a_page() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    append(&mut imap, "INBOX", "Subject: first\n\nx\n").await;
    db.sql(
        "insert into store.message (account_id, mailbox_id, uid, content_id, internal_date, modseq, size)
         select m.account_id, m.mailbox_id, 1 + n, m.content_id, timestamptz '2024-01-01' + make_interval(mins => (n * 7919) % 1200), 2, n % 10
         from store.message m, generate_series(1, 1200) n where m.uid = 1;
         update store.mailbox set uid_next = 2000, highest_modseq = 100 where name = 'INBOX'",
    )
    .await;
    imap.run("SELECT INBOX").await;
    for (criteria, first) in
        [("ARRIVAL", "1201"), ("SUBJECT REVERSE ARRIVAL", "1"), ("REVERSE SIZE SUBJECT", "1")]
    {
        let answer = imap.run(&format!("SORT ({criteria}) UTF-8 ALL")).await.remove(0);
        let mut numbers: Vec<u32> = answer
            .strip_prefix("* SORT ")
            .unwrap()
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(numbers[0].to_string(), first, "{criteria}");
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=1201).collect::<Vec<u32>>(), "{criteria}");
    }
}
