//! Mail for servers that take 7 bits only: converted, signed anew, and returned where that can't be done.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::relay::{QUEUE_IS_EMPTY, alice, scene};
use crate::sign::key;
use crate::support::{Database, Dialogue, Script};
use crate::verify::dkimpy;

async fn say(smtp: &mut Dialogue, kind: &str, message: &str) {
    smtp.send(&format!("MAIL FROM:<alice@example.test> BODY={kind}")).await;
    smtp.expect("250").await;
    smtp.send("RCPT TO:<bob@far.test>").await;
    smtp.expect("250").await;
    if kind == "BINARYMIME" {
        smtp.send(&format!("BDAT {} LAST", message.len())).await;
        smtp.send_bytes(message.as_bytes()).await;
    } else {
        smtp.send("DATA").await;
        smtp.expect("354").await;
        smtp.data(message).await;
    }
    smtp.expect("250").await;
}

const HEADER: &str = "From: alice@example.test\r\nSubject: Hello\r\nMIME-Version: 1.0\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_cannot_take_is_converted_and_signed_again() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default().without("8BITMIME")).await;
    let (id, name, value) = key(&db, "ed25519-sha256").await;
    db.apply(&format!("select directory.activate_dkim_key({id})")).await;
    let records = json!({ format!("{name}."): value });
    let mut smtp = alice(&daemon).await;
    let typed =
        format!("{HEADER}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    let binary = format!(
        "{HEADER}Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\na\0b\nc"
    );
    let sent = [
        ("8BITMIME", format!("{typed}Grüße\r\n"), "quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n"),
        ("8BITMIME", format!("{typed}plain\r\n"), "8bit\r\n\r\nplain\r\n"),
        ("BINARYMIME", binary, "base64\r\n\r\nYQBiCmM=\r\n"),
        ("BINARYMIME", format!("{HEADER}\r\nfits\r\n"), "1.0\r\n\r\nfits\r\n"),
    ];
    for (count, (kind, message, end)) in sent.iter().enumerate() {
        say(&mut smtp, kind, message).await;
        let got = sink.wait_for(count + 1).await.pop().unwrap();
        let text = got.text();
        assert!(text.ends_with(end), "{text}");
        assert!(got.bytes.is_ascii() && !got.mail_from.contains("BODY="), "{}", got.mail_from);
        assert_eq!(text.matches("DKIM-Signature:").count(), 1, "{text}");
        let request = json!({ "do": "verify", "message": STANDARD.encode(&got.bytes), "dns": records });
        assert_eq!(dkimpy(request).await, json!([true]), "{text}");
    }
    db.until(QUEUE_IS_EMPTY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_converted_comes_back() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default().without("8BITMIME")).await;
    let mut smtp = alice(&daemon).await;
    let signed = format!(
        "{HEADER}Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nGrüße\r\n--b\r\n\r\ns\r\n--b--\r\n"
    );
    say(&mut smtp, "8BITMIME", &signed).await;
    db.until("select exists (select 1 from queue.attempt where outcome = 'failed')").await;
    let reply: String = db.value("select reply from queue.attempt").await;
    assert!(reply.starts_with("554 5.6.3 ") && reply.contains("signed or encrypted"), "{reply}");
    let binary = format!("{HEADER}Subject: Gr\0\r\n\r\nx");
    say(&mut smtp, "BINARYMIME", &binary).await;
    db.until("select count(*) = 2 from queue.attempt where outcome = 'failed'").await;
    let reply: String = db.value("select reply from queue.attempt order by id desc limit 1").await;
    assert!(reply.starts_with("554 5.6.1 "), "{reply}");
    db.until(QUEUE_IS_EMPTY).await;
    assert_eq!(sink.count(), 0);
    // The connection is still good for other mail.
    say(&mut smtp, "8BITMIME", &format!("{HEADER}\r\nplain\r\n")).await;
    sink.wait_for(1).await;
}
