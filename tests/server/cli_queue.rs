//! `mailwright queue`: what waits is shown, held, tried again and cancelled.

use std::process::Command;

use crate::relay::{QUEUE_IS_EMPTY, alice, scene, send};
use crate::support::sink::{Act, At};
use crate::support::{Database, Script};

fn run(db: &Database, words: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mailwright"))
        .arg("queue")
        .args(words.split(' '))
        .args(["--database-url", &db.url()])
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Runs it and finds all of these in what it says.
fn says(db: &Database, words: &str, good: bool, parts: &[&str]) {
    let (is_good, text) = run(db, words);
    assert_eq!(is_good, good, "{words}: {text}");
    for part in parts {
        assert!(text.contains(part), "{words}: {part}\n---\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_shown_and_changed() {
    let db = Database::new().await;
    let script = Script::default().always(At::Rcpt, Act::reply("451 4.7.1 not now"));
    let (daemon, sink, _net) = scene(&db, script).await;
    db.apply("update control.retry set after_seconds = 600").await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>", "<carol@far.test>"], "x").await;
    db.until("select count(*) = 2 from queue.attempt where outcome = 'delayed'").await;
    let id: i64 = db.value("select id from queue.message").await;

    says(
        &db,
        "list",
        true,
        &[&format!(" {id} "), "alice@example.test", "carol@far.test", "again in ", "451 4.7.1 not now"],
    );
    let (_, empty) = run(&db, "list --domain near.test");
    assert!(!empty.contains("bob@far.test"), "{empty}");
    says(
        &db,
        &format!("show {id}"),
        true,
        &["<alice@example.test>", "Hello", "7BIT", "delayed", "mx.far.test [127."],
    );
    says(
        &db,
        &format!("show {id} --json"),
        true,
        &["\"outcome\": \"delayed\"", "\"sender\": \"alice@example.test\""],
    );

    says(&db, &format!("release {id}"), false, &["nothing of message", "is held"]);
    says(&db, &format!("hold {id}"), true, &["has been held: 2 recipients"]);
    says(&db, "list --state held", true, &["bob@far.test", "held"]);
    says(&db, &format!("retry {id}"), false, &["waits"]);
    sink.heal();
    says(&db, &format!("release {id}"), true, &["has been released: 2 recipients"]);
    sink.wait_for(1).await;
    db.until(QUEUE_IS_EMPTY).await;
    says(&db, &format!("show {id}"), true, &["has left the queue", "delivered"]);

    sink.change(|script| script.always(At::Rcpt, Act::reply("451 4.7.1 not now")));
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], "y").await;
    db.until("select count(*) = 3 from queue.attempt where outcome = 'delayed'").await;
    says(&db, "retry", true, &["1 recipient will be tried now"]);
    db.until("select count(*) = 4 from queue.attempt where outcome = 'delayed'").await;
    let id: i64 = db.value("select id from queue.message").await;
    says(&db, &format!("cancel {id}"), false, &["leaves the queue", "--yes"]);
    says(&db, &format!("cancel {id} --yes"), true, &["has been cancelled: 1 recipient"]);
    db.until(QUEUE_IS_EMPTY).await;
    says(&db, &format!("cancel {id} --yes"), false, &["nothing of message"]);
    says(&db, "show 987654", false, &["there is no message 987654"]);
}
