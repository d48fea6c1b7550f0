//! Signatures on outgoing mail, seals on what is forwarded, keys and their lives. The other side is dkimpy.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Daemon, Database};
use crate::verify::{bring, daemon, dkimpy, message, rsa_key, says, signed, taken, txt, world};

/// Sends a message as alice and returns the answer to its end.
async fn submit(daemon: &Daemon<'_>, to: &str, message: &str) -> String {
    let mut smtp = daemon.submission().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.test").await;
    smtp.expect("250").await;
    smtp.login("alice").await;
    smtp.send("MAIL FROM:<alice@example.test>").await;
    smtp.expect("250").await;
    smtp.send(&format!("RCPT TO:<{to}>")).await;
    smtp.expect("250").await;
    smtp.send("DATA").await;
    smtp.expect("354").await;
    smtp.data(message).await;
    smtp.answer().await
}

/// The last message of bob, or in the queue, byte for byte.
async fn stored(db: &Database, copies: &str) -> Vec<u8> {
    let query = format!(
        "select m.prefix || (select string_agg(c.bytes, '' order by c.start) from store.content_chunk c where c.content_id = m.content_id)
         from {copies} m order by m.content_id desc limit 1"
    );
    db.value(&query).await
}

/// Makes a key and waits until the server has made it; returns its DNS record.
pub async fn key(db: &Database, algorithm: &str) -> (i64, String, String) {
    let id: i64 =
        db.value(&format!("select id from directory.make_dkim_key('example.test', '{algorithm}')")).await;
    db.until(&format!("select state = 'ready' from directory.dkim_key where id = {id}")).await;
    let row = &db.rows(&format!("select name, value from report.dkim_record where key_id = {id}")).await[0];
    (id, row.get(0), row.get(1))
}

#[tokio::test]
async fn what_users_send_is_signed_with_every_active_key() {
    let db = Database::new().await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    let text = message("Alice <alice@example.test>", 1).replace("Message-ID: <1@x.test>\n", "")
        + "\n.\n  trailing  \n\n\n";
    assert!(submit(&daemon, "bob@example.test", &text).await.starts_with("250"));
    let unsigned = stored(&db, "store.message").await;
    assert!(!String::from_utf8_lossy(&unsigned).contains("DKIM-Signature"));

    let (rsa, rsa_name, rsa_value) = key(&db, "rsa-sha256").await;
    let (ed, ed_name, ed_value) = key(&db, "ed25519-sha256").await;
    db.apply(&format!("select directory.activate_dkim_key({rsa}), directory.activate_dkim_key({ed})")).await;
    let records = json!({ format!("{rsa_name}."): rsa_value, format!("{ed_name}."): ed_value });
    for (to, copies) in [("bob@example.test", "store.message"), ("x@far.test", "queue.message")] {
        // Another text each time, so that it is another content.
        assert!(submit(&daemon, to, &format!("{text}{to}\n")).await.starts_with("250"));
        let signed = stored(&db, copies).await;
        let shown = String::from_utf8_lossy(&signed).into_owned();
        assert!(
            shown.contains("a=rsa-sha256")
                && shown.contains("a=ed25519-sha256")
                && shown.contains("Message-ID: "),
            "{shown}"
        );
        assert!(shown.lines().all(|line| line.len() < 100), "{shown}");
        let verdict =
            dkimpy(json!({ "do": "verify", "message": STANDARD.encode(&signed), "dns": records })).await;
        assert_eq!(verdict, json!([true, true]), "{shown}");
        // What is added to the header is covered, and From cannot be doubled.
        for (from, to) in [
            ("Message-ID: <", "Message-ID: <1"),
            ("From: ", "From: eve@evil.test\r\nFrom: "),
            ("trailing", "traling"),
        ] {
            let changed = shown.replacen(from, to, 1);
            let verdict =
                dkimpy(json!({ "do": "verify", "message": STANDARD.encode(&changed), "dns": records })).await;
            assert_eq!(verdict, json!([false, false]), "{changed}");
        }
    }
    // Obeyed at once.
    db.apply("update control.dkim set sign = false").await;
    assert!(submit(&daemon, "bob@example.test", &format!("{text}unsigned\n")).await.starts_with("250"));
    assert!(!String::from_utf8_lossy(&stored(&db, "store.message").await).contains("DKIM-Signature"));
}

#[tokio::test]
async fn a_key_takes_over_when_the_dns_has_it() {
    let db = Database::new().await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    let (old, ..) = key(&db, "ed25519-sha256").await;
    db.apply(&format!("select directory.activate_dkim_key({old})")).await;
    let new: i64 = db.value("select id from directory.rotate_dkim_keys('example.test')").await;
    db.until(&format!(
        "select state = 'ready' and selector ~ '^mw[0-9]+e2$' from directory.dkim_key where id = {new}"
    ))
    .await;
    assert_eq!(db.rows("select directory.rotate_dkim_keys('example.test')").await.len(), 0);
    let row = &db.rows(&format!("select name, value from report.dkim_record where key_id = {new}")).await[0];
    dns.set(&txt(row.get(0), row.get(1)));
    // A change makes the server look.
    db.apply("update control.dkim set overlap_days = 15").await;
    db.until(&format!("select state = 'active' from directory.dkim_key where id = {new}")).await;
    let retired: bool = db
        .value(&format!(
            "select state = 'retired' and retired_at is not null from directory.dkim_key where id = {old}"
        ))
        .await;
    assert!(retired);
    // Audited, without secrets, and gone when its time is over.
    let audited: i64 = db.value(&format!(
        "select count(*) from log.audit where table_name = 'directory.dkim_key' and key ->> 'id' = '{new}' and new ->> 'private_key' = '(hidden)'")).await;
    assert!(audited >= 2);
    db.apply(&format!(
        "update directory.dkim_key set retired_at = now() - interval '16 days' where id = {old}"
    ))
    .await;
    db.until(&format!("select not exists (select 1 from directory.dkim_key where id = {old})")).await;

    // One's own key is read; one that can't be used is told.
    db.sql("insert into directory.dkim_key (domain_id, selector, algorithm, private_key)
        select id, 'mine', 'rsa-sha256', '-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----' from directory.domain").await;
    db.until("select error like '%is no RSA key%' from directory.dkim_key where selector = 'mine'").await;
    drop(daemon);
}

async fn assert_chain_passes(message: &[u8], dns: &Value) {
    let verdict =
        dkimpy(json!({ "do": "arc_verify", "message": STANDARD.encode(message), "dns": dns })).await;
    assert_eq!(verdict[0], "pass", "{verdict} {}", String::from_utf8_lossy(message));
}

#[tokio::test]
async fn forwarded_mail_is_sealed() {
    let db = Database::new().await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    db.apply("insert into directory.alias (domain_id, local_part, targets) select id, 'away', '{x@far.test}' from directory.domain where name = 'example.test'").await;
    let (rsa, name, value) = key(&db, "rsa-sha256").await;
    dns.set(&txt(&name, &value));
    db.apply(&format!("select directory.activate_dkim_key({rsa})")).await;
    let mut records = json!({ format!("{name}."): value });
    records["s1._domainkey.good.test."] = format!("v=DKIM1; k=rsa; p={}", rsa_key().1).into();

    let good = signed(&message("a@good.test", 1), json!({})).await;
    assert!(
        bring(&daemon, "mx.good.test", "a@good.test", "away@example.test", &good).await.starts_with("250")
    );
    let sealed = stored(&db, "queue.message").await;
    let shown = String::from_utf8_lossy(&sealed).into_owned();
    assert!(shown.starts_with("ARC-Seal: i=1; a=rsa-sha256; cv=none;"), "{shown}");
    assert!(shown.contains("ARC-Authentication-Results: i=1; mail.example.test;"), "{shown}");
    assert_chain_passes(&sealed, &records).await;

    // It comes back, and is sent on once more: the chain grows.
    let second = shown.replace("Delivered-To: away@example.test\r\n", "").replace("\r\n", "\n");
    assert!(
        bring(&daemon, "mx.good.test", "a@good.test", "away@example.test", &second).await.starts_with("250")
    );
    let sealed = stored(&db, "queue.message").await;
    let shown = String::from_utf8_lossy(&sealed).into_owned();
    assert!(shown.starts_with("ARC-Seal: i=2; a=rsa-sha256; cv=pass;"), "{shown}");
    assert_chain_passes(&sealed, &records).await;

    // What was changed after the last seal is believed no more.
    let broken = second.replace("Hello", "Hullo");
    let (_, text) = taken(&daemon, "mx.good.test", "a@good.test", &broken).await;
    says(&text, "arc=fail reason=");
}
