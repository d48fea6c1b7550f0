//! Names, asked of a name server in this process.

use mailwright::dns::{Answer, Dnssec, Failure, Mx, Settings, Srv, Tlsa};

use crate::support::dns::{Dns as Server, Failing};
use crate::support::{Daemon, Database};

fn settings(server: &Server, dnssec: Dnssec) -> Settings {
    Settings {
        servers: vec![server.address().to_string()],
        timeout_milliseconds: 300,
        attempts: 2,
        dnssec,
        ..Settings::default()
    }
}

fn ask(server: &Server, dnssec: Dnssec) -> mailwright::dns::Dns {
    mailwright::dns::Dns::new(&settings(server, dnssec)).unwrap()
}

fn found<T>(records: Vec<T>) -> Answer<T> {
    Answer { records, secure: false, exists: true }
}

#[tokio::test]
async fn each_kind_of_record_is_read() {
    let server = Server::start().await;
    server.set(
        "mx.test. 60 IN MX 20 B.test.\n\
         mx.test. 60 IN MX 10 a.test.\n\
         null.test. 60 IN MX 0 .\n\
         a.test. 60 IN A 192.0.2.1\n\
         a.test. 60 IN AAAA 2001:db8::1\n\
         text.test. 60 IN TXT \"v=spf1 \" \"-all\"\n\
         _25._tcp.a.test. 60 IN TLSA 3 1 1 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n\
         _imaps._tcp.test. 60 IN SRV 0 1 993 a.test.\n\
         1.2.0.192.in-addr.arpa. 60 IN PTR a.test.\n\
         xn--bcher-kva.test. 60 IN A 192.0.2.2",
    );
    let dns = ask(&server, Dnssec::Off);
    let mx = |preference, host: &str| Mx { preference, host: host.to_owned() };
    assert_eq!(dns.mx("mx.test").await.unwrap(), found(vec![mx(10, "a.test"), mx(20, "b.test")]));
    assert_eq!(dns.mx("null.test.").await.unwrap(), found(vec![mx(0, "")]));
    assert_eq!(dns.ipv4("A.TEST").await.unwrap(), found(vec!["192.0.2.1".parse().unwrap()]));
    assert_eq!(
        dns.addresses("a.test").await.unwrap(),
        found(vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()])
    );
    assert_eq!(dns.txt("text.test").await.unwrap(), found(vec!["v=spf1 -all".to_owned()]));
    assert_eq!(
        dns.tlsa(25, "a.test").await.unwrap(),
        found(vec![Tlsa { usage: 3, selector: 1, matching: 1, data: (1..=32).collect() }])
    );
    let srv = Srv { priority: 0, weight: 1, port: 993, host: "a.test".to_owned() };
    assert_eq!(dns.srv("_imaps._tcp.test").await.unwrap(), found(vec![srv]));
    assert_eq!(dns.ptr("::ffff:192.0.2.1".parse().unwrap()).await.unwrap(), found(vec!["a.test".to_owned()]));
    assert_eq!(dns.ipv4("bücher.test").await.unwrap(), found(vec!["192.0.2.2".parse().unwrap()]));
}

#[tokio::test]
async fn no_records_is_an_answer_and_silence_a_failure() {
    let server = Server::start().await;
    server.set("a.test. 60 IN A 192.0.2.1");
    let dns = ask(&server, Dnssec::Off);
    assert_eq!(dns.mx("a.test").await.unwrap(), found(vec![]));
    assert_eq!(dns.mx("test").await.unwrap(), found(vec![]));
    let nowhere = Answer { records: vec![], secure: false, exists: false };
    assert_eq!(dns.mx("nowhere.test").await.unwrap(), nowhere);
    assert_eq!(dns.mx(&"long".repeat(40)).await.unwrap(), nowhere);
    server.fail("broken.test", Failing::ServFail);
    server.fail("silent.test", Failing::Silent);
    for name in ["broken.test", "silent.test"] {
        let failure = dns.mx(name).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Temporary(text) if text.contains(name) && text.contains("MX")),
            "{failure}"
        );
    }
    // One family of addresses is enough.
    server.recover("broken.test");
    server.set("broken.test. 60 IN A 192.0.2.9");
    assert_eq!(dns.addresses("broken.test").await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn aliases_are_followed_and_long_answers_come_by_tcp() {
    let server = Server::start().await;
    server.set(
        "alias.test. 60 IN CNAME real.test.\nreal.test. 60 IN A 192.0.2.1\nround.test. 60 IN CNAME round.test.",
    );
    let dns = ask(&server, Dnssec::Trust);
    assert_eq!(dns.ipv4("alias.test").await.unwrap(), found(vec!["192.0.2.1".parse().unwrap()]));
    assert!(matches!(dns.ipv4("round.test").await, Err(Failure::Temporary(_))));
    let lines: Vec<String> = (0..200).map(|n| format!("many.test. 60 IN A 192.0.2.{n}")).collect();
    server.set(&lines.join("\n"));
    assert_eq!(dns.ipv4("many.test").await.unwrap().records.len(), 128);
}

#[tokio::test]
async fn answers_are_secure_only_when_every_step_is() {
    let server = Server::start().await;
    server.set(
        "a.signed.test. 60 IN A 192.0.2.1\n\
         in.signed.test. 60 IN CNAME a.signed.test.\n\
         from.plain.test. 60 IN CNAME a.signed.test.",
    );
    server.secure("signed.test");
    let trusting = ask(&server, Dnssec::Trust);
    for (name, secure) in [("a.signed.test", true), ("in.signed.test", true), ("from.plain.test", false)] {
        assert_eq!(trusting.ipv4(name).await.unwrap().secure, secure, "{name}");
        // Again, from the cache.
        assert_eq!(trusting.ipv4(name).await.unwrap().secure, secure, "{name}");
        assert_eq!(server.questions(name), 1);
    }
    // That there is nothing is vouched for by proofs only, and nobody checked any.
    assert!(!trusting.ipv6("a.signed.test").await.unwrap().secure);
    assert!(trusting.addresses("a.signed.test").await.unwrap().secure);
    assert!(!ask(&server, Dnssec::Off).ipv4("a.signed.test").await.unwrap().secure);
    // Nothing here is signed, and the root's signatures are not to be had: nothing is to be believed.
    let validated = ask(&server, Dnssec::Validate).ipv4("a.signed.test").await;
    assert!(validated.as_ref().map_or(true, |answer| !answer.secure), "{validated:?}");
}

#[tokio::test]
async fn what_was_found_is_kept_and_new_settings_forget_it() {
    let server = Server::start().await;
    server.set("a.test. 600 IN A 192.0.2.1\nbrief.test. 0 IN A 192.0.2.1");
    let dns = ask(&server, Dnssec::Off);
    for _ in 0..3 {
        dns.ipv4("a.test").await.unwrap();
        dns.mx("a.test").await.unwrap();
        dns.ipv4("brief.test").await.unwrap();
    }
    assert_eq!(server.questions("a.test"), 2);
    assert_eq!(server.questions("brief.test"), 3);
    let clone = dns.clone();
    dns.configure(&settings(&server, Dnssec::Off)).unwrap();
    clone.ipv4("a.test").await.unwrap();
    assert_eq!(server.questions("a.test"), 2);
    dns.configure(&settings(&server, Dnssec::Trust)).unwrap();
    clone.ipv4("a.test").await.unwrap();
    assert_eq!(server.questions("a.test"), 3);
}

#[tokio::test]
async fn settings_of_names_are_checked_when_they_are_written() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.sql("update control.dns set servers = array['127.0.0.1', '10.0.0.1:5353', '::1', '[2001:db8::1]:53']")
        .await;
    for wrong in ["localhost", "127.0.0.1:", "127.0.0.1:99999", "::1:53x", "[::1]", ""] {
        let refused = db
            .client()
            .await
            .execute("update control.dns set servers = array[$1::text]", &[&wrong])
            .await
            .unwrap_err();
        let text = crate::support::database::describe(&refused);
        assert!(text.contains("a name server is like"), "{wrong}: {text}");
    }
    let applied: i64 = db.value("select control.wait_applied()").await;
    assert!(applied > 0, "{}", daemon.log());
}
