//! Is mail what it says it is: checks of incoming mail, and reports of them.
//!
//! The other side of every signature is dkimpy, an implementation of its own; the DNS is the test's.

use std::process::Stdio;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::sign::key;
use crate::support::dns::Failing;
use crate::support::{Daemon, Database, Dns, root};

/// Asks dkimpy.
pub async fn dkimpy(request: Value) -> Value {
    // The Debian package is for the system's Python, which need not be the first one in the PATH.
    let mut child = tokio::process::Command::new("/usr/bin/python3")
        .arg(root().join("tests/server/clients/dkim_tool.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3, and the package python3-dkim");
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "dkimpy failed: {request}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An RSA key as dkimpy and the DNS want it: PEM (PKCS #1), and base64.
pub fn rsa_key() -> &'static (String, String) {
    static KEY: OnceLock<(String, String)> = OnceLock::new();
    KEY.get_or_init(|| new_rsa_key(2048))
}

fn new_rsa_key(bits: usize) -> (String, String) {
    use rsa::pkcs1::EncodeRsaPrivateKey;
    use rsa::pkcs8::EncodePublicKey;
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap();
    let private = key.to_pkcs1_pem(rsa::pkcs8::LineEnding::LF).unwrap().to_string();
    (private, STANDARD.encode(key.to_public_key().to_public_key_der().unwrap().as_bytes()))
}

/// A TXT record; long texts become several strings.
pub fn txt(name: &str, text: &str) -> String {
    let strings: Vec<String> = text
        .as_bytes()
        .chunks(250)
        .map(|chunk| format!("\"{}\"", std::str::from_utf8(chunk).unwrap()))
        .collect();
    format!("{name}. 60 IN TXT {}", strings.join(" "))
}

/// The world: good.test sends from 127.0.0.1 and signs, bad.test does not send from here; both have policies.
pub async fn world() -> Dns {
    let dns = Dns::start().await;
    let key = format!("v=DKIM1; k=rsa; p={}", rsa_key().1);
    for line in [
        "mx.good.test. 60 IN A 127.0.0.1",
        &txt("mx.good.test", "v=spf1 a -all"),
        &txt("good.test", "v=spf1 include:senders.good.test -all"),
        &txt("senders.good.test", "v=spf1 ip4:127.0.0.0/8 -all"),
        &txt("s1._domainkey.good.test", &key),
        &txt("_dmarc.good.test", "v=DMARC1; p=reject; rua=mailto:reports@good.test"),
        &txt("bad.test", "v=spf1 ip4:192.0.2.1 -all"),
        &txt("_dmarc.bad.test", "v=DMARC1; p=reject"),
        &txt("_dmarc.lax.test", "v=DMARC1; p=quarantine"),
        &txt("_dmarc.loose.test", "v=DMARC1; p=none"),
        &txt("soft.test", "v=spf1 ~all"),
        &txt("broken.test", "v=spf1 nonsense -all"),
    ] {
        dns.set(line);
    }
    dns
}

/// A daemon that asks this DNS. What it would send to other servers waits in the queue.
pub async fn daemon<'a>(db: &'a Database, dns: &Dns) -> Daemon<'a> {
    db.sql(&format!(
        "update control.store set compress = false;
         update control.dns set servers = array['{}']; update control.server set hostname = 'mail.example.test';
         update control.relay set enabled = false",
        dns.address()
    ))
    .await;
    let daemon = Daemon::start(db).await;
    db.apply("update control.authentication set check_incoming = true").await;
    daemon
}

/// Brings a message as another server, and returns the answer to its end.
pub async fn bring(daemon: &Daemon<'_>, helo: &str, from: &str, to: &str, message: &str) -> String {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send(&format!("EHLO {helo}")).await;
    smtp.expect("250").await;
    smtp.send(&format!("MAIL FROM:<{from}>")).await;
    smtp.expect("250").await;
    smtp.send(&format!("RCPT TO:<{to}>")).await;
    smtp.expect("250").await;
    smtp.send("DATA").await;
    smtp.expect("354").await;
    smtp.data(message).await;
    smtp.answer().await
}

/// What the newest message of alice looks like: its mailbox, and itself, unfolded.
async fn newest(db: &Database) -> (String, String) {
    let row = &db
        .rows(
            "select b.name, convert_from(m.prefix || (select string_agg(c.bytes, '' order by c.start) from store.content_chunk c
                where c.content_id = m.content_id), 'UTF8')
             from store.message m join store.mailbox b on b.account_id = m.account_id and b.id = m.mailbox_id
             join directory.account a on a.id = m.account_id and a.local_part = 'alice'
             order by m.content_id desc, m.internal_date desc limit 1",
        )
        .await[0];
    let text: String = row.get(1);
    (row.get(0), text.replace("\r\n\t", " ").replace("\r\n ", " ").replace("  ", " "))
}

/// Brings a message for alice that must be taken, and returns mailbox and message.
pub async fn taken(daemon: &Daemon<'_>, helo: &str, from: &str, message: &str) -> (String, String) {
    let answer = bring(daemon, helo, from, "alice@example.test", message).await;
    assert!(answer.starts_with("250"), "{answer}");
    newest(daemon.db()).await
}

pub fn message(from: &str, number: u32) -> String {
    format!(
        "From: {from}\nTo: alice@example.test\nSubject: {number}\nDate: Wed, 25 Nov 2026 12:00:00 +0000\nMessage-ID: <{number}@x.test>\n\nHello.\n"
    )
}

/// The message with a signature of good.test before it.
pub async fn signed(message: &str, more: Value) -> String {
    let mut request = json!({ "do": "sign", "message": STANDARD.encode(message.replace('\n', "\r\n")), "key": rsa_key().0,
        "selector": "s1", "domain": "good.test" });
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    let signature = dkimpy(request).await;
    format!("{}{message}", signature.as_str().unwrap().replace("\r\n", "\n"))
}

pub fn says(text: &str, what: &str) {
    assert!(text.contains(what), "should say: {what}\n{text}");
}

#[tokio::test]
async fn every_method_says_what_it_found() {
    let db = Database::new().await;
    db.sql("update control.store set compress = false; update control.authentication_policy set action = 'accept'").await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;

    let good = signed(&message("a@good.test", 1), json!({})).await;
    let (mailbox, text) = taken(&daemon, "mx.good.test", "a@good.test", &good).await;
    assert_eq!(mailbox, "INBOX");
    for found in [
        "Authentication-Results: mail.example.test;",
        // The resolver knows this address by itself.
        "; iprev=pass reason=\"localhost\" policy.iprev=127.0.0.1",
        "; spf=pass smtp.helo=mx.good.test",
        "; spf=pass smtp.mailfrom=a@good.test",
        "; dkim=pass header.d=good.test header.s=s1 header.b=",
        "; dmarc=pass header.from=good.test policy.dmarc=reject",
        "; arc=none",
        "Received-SPF: pass (mail.example.test:",
    ] {
        says(&text, found);
    }

    // The body was changed on the way; so SPF alone speaks for it.
    let (_, text) = taken(&daemon, "mx.good.test", "a@good.test", &good.replace("Hello", "Hullo")).await;
    says(&text, "dkim=fail reason=\"Calculated body hash does not match signature hash\" header.d=good.test");
    says(&text, "dmarc=pass");

    let (_, text) = taken(&daemon, "nobody.test", "b@bad.test", &message("b@bad.test", 2)).await;
    for found in [
        "spf=none smtp.helo=nobody.test",
        "spf=fail smtp.mailfrom=b@bad.test",
        "dkim=none",
        "dmarc=fail header.from=bad.test policy.dmarc=reject",
    ] {
        says(&text, found);
    }
    let (_, text) = taken(&daemon, "nobody.test", "c@soft.test", &message("c@soft.test", 3)).await;
    says(&text, "spf=softfail smtp.mailfrom=c@soft.test");
    says(&text, "dmarc=none header.from=soft.test;");
    let (_, text) =
        taken(&daemon, "nobody.test", "d@broken.test", &message("d@broken.test, e@other.test", 4)).await;
    says(&text, "spf=permerror smtp.mailfrom=d@broken.test");
    says(&text, "dmarc=permerror");

    // A signature that does not cover From, one with l=, one without a key.
    let uncovered = signed(&message("a@good.test", 5), json!({ "length": true })).await;
    let (_, text) = taken(&daemon, "nobody.test", "c@soft.test", &uncovered).await;
    says(&text, "dkim=neutral reason=\"Insecure 'l=' tag found in Signature\"");
    let unknown = signed(&message("a@good.test", 6), json!({ "selector": "gone" })).await;
    let (_, text) = taken(&daemon, "nobody.test", "c@soft.test", &unknown).await;
    says(&text, "dkim=permerror reason=\"there is no key in the DNS\" header.d=good.test header.s=gone");

    // Keys and algorithms that are too weak.
    for (bits, algorithm, selector, result) in [
        (512, "rsa-sha256", "weak", "dkim=fail"),
        (1024, "rsa-sha256", "fair", "dkim=pass"),
        (1024, "rsa-sha1", "fair", "dkim=permerror reason=\"rsa-sha1 is not secure\""),
    ] {
        let (private, public) = new_rsa_key(bits);
        if algorithm == "rsa-sha256" {
            dns.set(&txt(
                &format!("{selector}{bits}._domainkey.good.test"),
                &format!("v=DKIM1; k=rsa; p={public}"),
            ));
        }
        let more = json!({ "selector": format!("{selector}{bits}"), "algorithm": algorithm, "key": private });
        let weak = signed(&message("a@good.test", bits as u32), more).await;
        let (_, text) = taken(&daemon, "nobody.test", "c@soft.test", &weak).await;
        says(&text, result);
    }

    // The DNS does not answer.
    dns.fail("late.test", Failing::ServFail);
    dns.fail("_dmarc.late.test", Failing::ServFail);
    dns.fail("s9._domainkey.good.test", Failing::ServFail);
    let late = signed(&message("a@late.test", 7), json!({ "selector": "s9" })).await;
    let (_, text) = taken(&daemon, "late.test", "a@late.test", &late).await;
    for found in [
        "spf=temperror smtp.helo=late.test",
        "spf=temperror smtp.mailfrom=a@late.test",
        "dkim=temperror",
        "dmarc=temperror",
    ] {
        says(&text, found);
    }
}

#[tokio::test]
async fn both_algorithms_and_every_canonicalisation_verify() {
    let db = Database::new().await;
    let dns = world().await;
    let seed = STANDARD.encode([7; 32]);
    let public = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = STANDARD.encode(ring::signature::KeyPair::public_key(&public).as_ref());
    dns.set(&txt("ed._domainkey.good.test", &format!("v=DKIM1; k=ed25519; p={public}")));
    let daemon = daemon(&db, &dns).await;
    let body = "\tspaces  here \n\n \nand dots\n..\n\n\n";
    let mut number = 0;
    for canonicalize in
        [["relaxed", "relaxed"], ["relaxed", "simple"], ["simple", "relaxed"], ["simple", "simple"]]
    {
        for (algorithm, selector, key) in
            [("rsa-sha256", "s1", &rsa_key().0), ("ed25519-sha256", "ed", &seed)]
        {
            number += 1;
            let message = format!("{}{body}", message("a@good.test", number));
            let more = json!({ "canonicalize": canonicalize, "algorithm": algorithm, "selector": selector, "key": key });
            let signed = signed(&message, more).await;
            let (_, text) = taken(&daemon, "x.test", "x@elsewhere.test", &signed).await;
            says(&text, &format!("dkim=pass header.d=good.test header.s={selector}"));
            says(&text, "dmarc=pass");
        }
    }
}

#[tokio::test]
async fn policy_is_obeyed_at_once() {
    let db = Database::new().await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    let to = "alice@example.test";

    let answer = bring(&daemon, "x.test", "b@bad.test", to, &message("b@bad.test", 1)).await;
    assert!(answer.starts_with("550 5.7.26 "), "{answer}");
    let (mailbox, text) = taken(&daemon, "x.test", "c@lax.test", &message("c@lax.test", 2)).await;
    assert_eq!(mailbox, "Junk");
    says(&text, "X-Mailwright-Auth: dmarc=fail-quarantine\r\n");
    let (mailbox, text) = taken(&daemon, "x.test", "d@loose.test", &message("d@loose.test", 3)).await;
    assert_eq!((mailbox.as_str(), text.contains("X-Mailwright-Auth")), ("INBOX", false));

    db.apply("update control.authentication_policy set action = 'mark' where method = 'dmarc' and result = 'fail-none'").await;
    let (mailbox, text) = taken(&daemon, "x.test", "d@loose.test", &message("d@loose.test", 4)).await;
    assert_eq!(mailbox, "INBOX");
    says(&text, "X-Mailwright-Auth: dmarc=fail-none\r\n");
    for (method, result, sender, code) in [
        ("spf", "fail", "b@bad.test", "550 5.7.23"),
        ("spf", "permerror", "b@broken.test", "550 5.7.24"),
        ("dkim", "none", "c@soft.test", "550 5.7.20"),
        ("iprev", "pass", "c@soft.test", "550 5.7.25"),
        ("helo", "none", "c@soft.test", "550 5.7.23"),
    ] {
        db.apply(&format!(
            "update control.authentication_policy set action = 'accept';
             insert into control.authentication_policy values ('{method}', '{result}', 'reject')
             on conflict (method, result) do update set action = excluded.action"
        ))
        .await;
        let answer = bring(&daemon, "x.test", sender, to, &message("c@soft.test", 5)).await;
        assert!(answer.starts_with(code), "{method} {result}: {answer}");
    }
    // A temporary error never refuses for good.
    dns.fail("late.test", Failing::ServFail);
    db.apply(
        "update control.authentication_policy set action = 'accept';
         update control.authentication_policy set action = 'reject' where method = 'spf' and result = 'temperror'",
    )
    .await;
    let answer = bring(&daemon, "x.test", "a@late.test", to, &message("c@soft.test", 6)).await;
    assert!(answer.starts_with("451 4.7.23 "), "{answer}");
    db.apply("update control.authentication set check_incoming = false").await;
    let (_, text) = taken(&daemon, "x.test", "a@late.test", &message("c@soft.test", 7)).await;
    assert!(!text.contains("Authentication-Results"), "{text}");
}

#[tokio::test]
async fn nobody_speaks_in_our_name() {
    let db = Database::new().await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    let forged = format!(
        "Authentication-Results: (x) MAIL.example.test 1;\n dmarc=pass (forged)\nX-Mailwright-Auth: forged\n\
         Authentication-Results: other.test; dkim=pass (kept)\n{}",
        message("c@soft.test", 1)
    );
    let (_, text) = taken(&daemon, "x.test", "c@soft.test", &forged).await;
    assert!(!text.contains("forged"), "{text}");
    says(&text, "Authentication-Results: other.test; dkim=pass (kept)\r\n");
    assert_eq!(text.matches("Authentication-Results: mail.example.test").count(), 1);
}

#[tokio::test]
async fn a_trusted_sealer_speaks_for_mail_that_fails_dmarc() {
    let db = Database::new().await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    let sealed = async |results: &str| {
        let text = format!("Authentication-Results: lists.test; {results}\n{}", message("b@bad.test", 1));
        let request = json!({ "do": "arc_sign", "message": STANDARD.encode(text.replace('\n', "\r\n")), "key": rsa_key().0,
            "selector": "s1", "domain": "good.test", "host": "lists.test" });
        format!("{}{text}", dkimpy(request).await.as_str().unwrap().replace("\r\n", "\n"))
    };
    let good = sealed("dmarc=pass header.from=bad.test").await;
    let bad = sealed("dmarc=fail header.from=bad.test").await;
    let bring =
        async |text: &str| bring(&daemon, "x.test", "list@good.test", "alice@example.test", text).await;
    assert!(bring(&good).await.starts_with("550 5.7.26"));
    db.apply("insert into control.trusted_sealer (domain) values ('good.test')").await;
    assert!(bring(&good).await.starts_with("250"));
    let (_, text) = newest(&db).await;
    says(&text, "dmarc=fail header.from=bad.test policy.dmarc=reject; arc=pass");
    assert!(bring(&bad).await.starts_with("550 5.7.26"));
}

#[tokio::test]
async fn results_are_reported_to_who_asks_for_it() {
    let db = Database::new().await;
    db.sql("update control.dmarc set report_from = 'dmarc@example.test', organization = 'Example'").await;
    let dns = world().await;
    let mut daemon = daemon(&db, &dns).await;
    let (ed, ..) = key(&db, "ed25519-sha256").await;
    db.apply(&format!("select directory.activate_dkim_key({ed})")).await;
    dns.set(&txt("_dmarc.far.test", "v=DMARC1; p=none; rua=mailto:a@third.test,mailto:b@fourth.test"));
    dns.set(&txt("far.test._report._dmarc.fourth.test", "v=DMARC1;"));
    let good = signed(&message("a@good.test", 1), json!({})).await;
    for _ in 0..2 {
        taken(&daemon, "mx.good.test", "a@good.test", &good).await;
    }
    assert!(
        bring(&daemon, "x.test", "b@bad.test", "alice@example.test", &message("b@good.test", 2))
            .await
            .starts_with("550")
    );
    taken(&daemon, "x.test", "c@soft.test", &message("c@far.test", 3)).await;
    daemon.terminate().await;
    // Two days later.
    let counted: i64 = db.value("select sum(messages)::bigint from log.dmarc_count").await;
    assert_eq!(counted, 4);
    db.sql("update log.dmarc_count set day = day - 2").await;
    daemon.start_again().await;
    db.until("select count(*) = 2 from queue.recipient").await;
    db.until("select not exists (select 1 from log.dmarc_count)").await;
    let rows = db.rows(
        "select r.address, m.prefix is null, (select string_agg(c.bytes, '' order by c.start) from store.content_chunk c where c.content_id = m.content_id)
         from queue.message m join queue.recipient r on r.message_id = m.id order by r.address").await;
    let recipients: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    // third.test has not agreed to get what is about far.test.
    assert_eq!(recipients, ["b@fourth.test", "reports@good.test"]);
    let text: Vec<u8> = rows[1].get(2);
    assert!(text.starts_with(b"DKIM-Signature: v=1; a=ed25519-sha256;"));
    let report = mail_auth::report::Report::parse_rfc5322(&text, 1 << 20).unwrap();
    assert_eq!(
        (report.org_name(), report.email(), report.domain()),
        ("Example", "dmarc@example.test", "good.test")
    );
    assert_eq!(report.date_range_end() - report.date_range_begin(), 86_399);
    let xml = report.to_xml();
    for part in [
        "<count>2</count>",
        "<count>1</count>",
        "<disposition>reject</disposition>",
        "<selector>s1</selector>",
        "<p>reject</p>",
        "<source_ip>127.0.0.1</source_ip>",
    ] {
        assert!(xml.contains(part), "{part} is missing in {xml}");
    }
}

#[tokio::test]
async fn reports_of_others_are_kept() {
    let db = Database::new().await;
    db.sql("update control.store set compress = false; update control.dmarc set receive_at = 'alice@example.test'").await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    let report = |domain: &str| {
        use mail_auth::report::{ActionDisposition, DmarcResult, Record, Report};
        let record = Record::new()
            .with_count(7)
            .with_source_ip("192.0.2.9".parse().unwrap())
            .with_header_from("example.test")
            .with_action_disposition(ActionDisposition::Reject)
            .with_dmarc_spf_result(DmarcResult::Pass);
        Report::new()
            .with_version(1.0)
            .with_org_name("Far")
            .with_email("x@far.test")
            .with_report_id("r1")
            .with_domain(domain)
            .with_date_range_begin(1_790_000_000)
            .with_date_range_end(1_790_086_399)
            .with_record(record)
            .to_rfc5322("far.test", "x@far.test", ["alice@example.test"].into_iter())
            .unwrap()
    };
    for domain in ["example.test", "example.test", "other.test"] {
        taken(&daemon, "far.test", "x@far.test", &report(domain)).await;
    }
    let row = &db.rows("select r.domain, r.organization, x.messages, host(x.peer), x.disposition, x.dkim_aligned, x.spf_aligned
        from log.dmarc_report r join log.dmarc_report_row x on x.report_id = r.id").await;
    assert_eq!(row.len(), 1);
    let row: (String, String, i64, String, String, String, String) = (
        row[0].get(0),
        row[0].get(1),
        row[0].get(2),
        row[0].get(3),
        row[0].get(4),
        row[0].get(5),
        row[0].get(6),
    );
    assert_eq!(
        row,
        (
            "example.test".into(),
            "Far".into(),
            7,
            "192.0.2.9".into(),
            "reject".into(),
            "fail".into(),
            "pass".into()
        )
    );

    // A gigabyte of nothing, packed.
    use std::io::Write;
    let mut packed =
        mail_auth::flate2::write::GzEncoder::new(Vec::new(), mail_auth::flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| packed.write_all(&zeros).unwrap());
    let bomb = STANDARD.encode(packed.finish().unwrap());
    let lines: Vec<&str> =
        bomb.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let bomb = format!(
        "From: x@far.test\nMIME-Version: 1.0\nContent-Type: application/gzip; name=\"a.xml.gz\"\nContent-Transfer-Encoding: base64\n\n{}\n",
        lines.join("\n")
    );
    taken(&daemon, "far.test", "x@far.test", &bomb).await;
    assert!(peak_memory(&daemon) < 150 << 20, "{} MB", peak_memory(&daemon) >> 20);
}

/// Most memory that the daemon has had resident, bytes.
fn peak_memory(daemon: &Daemon<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_large_message_is_verified_in_little_memory() {
    let db = Database::new().await;
    db.sql("update control.smtp set max_message_bytes = 80000000").await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    let line = format!("{}\n", "0123456789 ".repeat(6));
    let text = format!("{}{}", message("a@good.test", 1), line.repeat((60 << 20) / line.len()));
    let signed = signed(&text, json!({})).await;
    let before = peak_memory(&daemon);
    let answer = bring(&daemon, "x.test", "x@soft.test", "alice@example.test", &signed).await;
    assert!(answer.starts_with("250"), "{answer}");
    let prefix: Vec<u8> = db.value("select prefix from store.message").await;
    says(&String::from_utf8_lossy(&prefix), "dkim=pass");
    let grown = peak_memory(&daemon) - before;
    assert!(grown < 40 << 20, "{} MB more", grown >> 20);
}

#[tokio::test]
async fn a_dns_that_is_silent_costs_a_bounded_time() {
    let db = Database::new().await;
    db.sql(
        "update control.store set compress = false; update control.authentication set timeout_seconds = 1;
        update control.dns set timeout_milliseconds = 15000",
    )
    .await;
    let dns = world().await;
    let daemon = daemon(&db, &dns).await;
    for name in ["silent.test", "_dmarc.silent.test", "s7._domainkey.good.test"] {
        dns.fail(name, Failing::Silent);
    }
    let text = signed(&message("a@silent.test", 1), json!({ "selector": "s7" })).await;
    let began = std::time::Instant::now();
    let (_, text) = taken(&daemon, "silent.test", "a@silent.test", &text).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
    for found in [
        "spf=temperror smtp.helo=silent.test",
        "spf=temperror smtp.mailfrom=a@silent.test",
        "dkim=temperror",
        "dmarc=temperror",
    ] {
        says(&text, found);
    }
}
