//! mutt, as a person uses it, by IMAP and by POP3: keys on a terminal, given to it by its `push`.

use super::{ALICE, Folder, certificate, run, told};
use crate::support::daemon::PASSWORD;
use crate::support::{Daemon, Database, ask_until};

/// Runs mutt on a terminal and has it press keys; the last must end it.
async fn mutt(folder: &Folder, certificate: &str, port: u16, keys: &str) {
    let rc = folder.file(
        "muttrc",
        format!(
            "set ssl_ca_certificates_file={certificate}\nset imap_user={ALICE}\nset imap_pass={PASSWORD}\n\
             set pop_user={ALICE}\nset pop_pass={PASSWORD}\nset pop_delete=yes\nset pop_authenticators=SCRAM-SHA-256\n\
             set folder=imaps://localhost:{port}/\nset spoolfile=+INBOX\nset record=\"\"\nset delete=yes\nset move=no\n\
             set confirmappend=no\nset wait_key=no\nset mark_old=no\nset quit=yes\nset sort=mailbox-order\n\
             set sleep_time=0\nset pipe_decode=no\npush \"{keys}\"\n"
        ),
    );
    let log = folder.0.join("terminal").display().to_string();
    let command = format!("TERM=xterm mutt -n -F {rc}");
    let output = run("script", ["--quiet", "--return", "--command", &command, &log]).await;
    let seen = || String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
    assert!(output.status.success(), "{}\n{}", told("mutt", &output), seen());
}

#[tokio::test]
async fn mutt_reads_marks_moves_and_deletes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let certificate = certificate(&db, &folder).await;
    for number in 1..=5 {
        daemon.deliver("alice", &format!("Subject: number {number}\n\nbody {number}\n.\n..two\n")).await;
    }
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("CREATE R&-D").await;
    let read = folder.0.join("read").display().to_string();
    // Reads the second (and lets a program see all its bytes), flags the third, deletes the first, moves the fifth.
    let keys = format!(
        "<jump>2<enter><display-message><exit><pipe-message>cat > {read}<enter><jump>3<enter><flag-message>\
         <jump>1<enter><delete-message><jump>5<enter><save-message>=R&D<enter><sync-mailbox><quit>"
    );
    mutt(&folder, &certificate, daemon.port("imaps"), &keys).await;
    let rows = async || {
        let rows = db
            .rows(
                "select m.name || ' ' || c.subject || case when x.seen then ' seen' else '' end
                   || case when x.flagged then ' flagged' else '' end || case when x.deleted then ' deleted' else '' end
                 from store.message x join store.mailbox m on m.id = x.mailbox_id join store.content c on c.id = x.content_id
                 order by 1",
            )
            .await;
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    assert_eq!(
        rows().await,
        ["INBOX number 2 seen", "INBOX number 3 flagged", "INBOX number 4", "R&D number 5"]
    );
    imap.run("SELECT INBOX").await;
    imap.send("t FETCH 1 (BODY.PEEK[])").await;
    let message = imap.expect_literal("* 1 FETCH").await;
    imap.expect("t OK").await;
    let message = String::from_utf8(message).unwrap().replace("\r\n", "\n");
    ask_until(async || match std::fs::read_to_string(&read) {
        Ok(text) if text == message => Ok(()),
        other => Err(format!("{other:?}\nis not\n{message}")),
    })
    .await;

    // Back again, by a tagged copy; and the undoing of a deletion.
    let keys = "<change-folder>=R&D<enter><tag-pattern>~A<enter><tag-prefix><copy-message>=INBOX<enter>\
                <change-folder>=INBOX<enter><jump>1<enter><delete-message><jump>1<enter><undelete-message>\
                <jump>2<enter><flag-message><sync-mailbox><quit>";
    mutt(&folder, &certificate, daemon.port("imaps"), keys).await;
    assert_eq!(
        rows().await,
        ["INBOX number 2 seen", "INBOX number 3", "INBOX number 4", "INBOX number 5", "R&D number 5"]
    );
}

#[tokio::test]
async fn mutt_reads_and_deletes_by_pop3() {
    // mutt 2.2 picks SCRAM-SHA-256-PLUS by itself, has no channel binding to give, cancels, and then takes the answer to that
    // for the one to its next command. Told to use SCRAM-SHA-256, it does well.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let certificate = certificate(&db, &folder).await;
    for number in 1..=3 {
        daemon.deliver("alice", &format!("Subject: number {number}\n\nbody {number}\n.\n..two\n")).await;
    }
    let read = folder.0.join("read").display().to_string();
    let keys = format!(
        "<change-folder>pops://localhost:{}/<enter><jump>2<enter><display-message><exit><pipe-message>cat > {read}<enter>\
         <jump>1<enter><delete-message><sync-mailbox><quit>",
        daemon.port("pop3s")
    );
    mutt(&folder, &certificate, daemon.port("imaps"), &keys).await;
    let left = db.rows("select c.subject, x.seen from store.message x join store.content c on c.id = x.content_id order by 1");
    let left: Vec<(String, bool)> = left.await.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(left, [("number 2".to_owned(), false), ("number 3".to_owned(), false)]);
    let text = std::fs::read_to_string(&read).unwrap();
    assert!(text.ends_with("\n\nbody 2\n.\n..two\n"), "{text}");
}
