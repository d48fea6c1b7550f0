//! Messages by IMAP: their parts fetched and searched.

use crate::support::{Daemon, Database};

#[tokio::test]
async fn parts_of_many_chunks_come_whole_in_any_order() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let part = |number: usize| -> String {
        (0..12_000).map(|line| format!("part {number} line {line}\n")).collect::<String>() + "end"
    };
    let parts: Vec<String> = (1..=8).map(part).collect();
    let body: String = parts.iter().map(|part| format!("--b\n\n{part}\n")).collect();
    let head = "Subject: parts\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n";
    daemon.deliver("alice", &format!("{head}\n{body}--b--\n")).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("SELECT INBOX").await;
    let parts: Vec<String> = parts.iter().map(|part| part.replace('\n', "\r\n")).collect();
    for order in [&[1, 2, 3, 4, 5, 6, 7, 8][..], &[8, 7, 6, 5, 4, 3, 2, 1], &[4, 1, 8], &[7]] {
        let (mut asked, mut expected) = (Vec::new(), Vec::new());
        for &number in order {
            let part = &parts[number - 1];
            asked.push(format!("BODY.PEEK[{number}.MIME] BODY.PEEK[{number}] BODY.PEEK[{number}]<100000.9>"));
            expected.push(format!(
                "BODY[{number}.MIME] {{2}}\r\n\r\n BODY[{number}] {{{}}}\r\n{part}",
                part.len()
            ));
            expected.push(format!("BODY[{number}]<100000> {{9}}\r\n{}", &part[100_000..100_009]));
        }
        let answers = imap.run(&format!("FETCH 1 ({})", asked.join(" "))).await;
        assert!(answers[0] == format!("* 1 FETCH ({})", expected.join(" ")), "{order:?}");
    }
    for (text, found) in [
        ("part 1 line 0", "* SEARCH 1"),
        ("part 8 line 11999", "* SEARCH 1"),
        ("part 5 line 7777", "* SEARCH 1"),
        ("part 9 line 0", "* SEARCH"),
    ] {
        assert_eq!(imap.run(&format!("SEARCH BODY \"{text}\"")).await[0], found, "{text}");
    }
}
