//! `mailwright dns`: which records a domain needs, and which are there.

use std::process::Command;

use crate::support::dns::Dns;
use crate::support::{Daemon, Database};

fn run(db: &Database, domain: &str) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mailwright"))
        .args(["dns", domain, "--database-url", &db.url()])
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_printed_and_looked_for() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let dns = Dns::start().await;
    let (good, _, error) = run(&db, "example.test");
    assert!(!good && error.contains("control.server set hostname"), "{error}");
    db.sql(&format!(
        "update control.dns set servers = array['{}'];
         update control.server set hostname = 'mail.example.test';
         select directory.make_dkim_key('example.test', 'ed25519-sha256', 'sel')",
        dns.address()
    ))
    .await;
    db.until("select exists (select 1 from directory.dkim_key where state = 'ready')").await;
    let key: String = db.value("select public_key from directory.dkim_key").await;
    let (good, text, error) = run(&db, "example.test");
    assert!(good, "{error}");
    for line in [
        "missing: mail.example.test needs an A record",
        "\nexample.test. 3600 IN MX 10 mail.example.test. ; missing\n",
        "\nexample.test. 3600 IN TXT \"v=spf1 mx -all\" ; missing\n",
        &format!("\nsel._domainkey.example.test. 3600 IN TXT \"v=DKIM1; k=ed25519; p={key}\" ; missing\n"),
        "\n_25._tcp.mail.example.test. 3600 IN TLSA 3 1 1 ",
    ] {
        assert!(text.contains(line), "{line}\n---\n{text}");
    }
    // Pasted into the zone, all is well.
    for line in
        text.lines().filter(|line| !line.starts_with(';') && !line.is_empty() && !line.contains(" SRV "))
    {
        let (record, _) = line.rsplit_once(" ; ").unwrap();
        dns.set(record);
    }
    dns.set("mail.example.test. 60 IN A 192.0.2.1\n1.2.0.192.in-addr.arpa. 60 IN PTR mail.example.test.");
    let (_, text, _) = run(&db, "example.test");
    assert!(text.contains("mail.example.test. 3600 IN A 192.0.2.1 ; reverse DNS (PTR): ok"), "{text}");
    for line in
        text.lines().filter(|line| !line.starts_with(';') && !line.is_empty() && !line.contains(" SRV "))
    {
        assert!(line.ends_with("ok"), "{line}\n---\n{text}");
    }
    dns.set("example.test. 60 IN MX 5 old.example.test.");
    let (_, text, _) = run(&db, "example.test");
    assert!(text.contains("MX 10 mail.example.test. ; differs (found 5 old.example.test.)"), "{text}");
    let (good, _, error) = run(&db, "nobody.test");
    assert!(!good && error.contains("there is no domain nobody.test here"), "{error}");
    drop(daemon);
}
