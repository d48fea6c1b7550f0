//! Certificates in the browser: brought from files or made, looked into, and served at once.

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::acme::{Folder, verified};
use crate::admin::administrator;
use crate::support::daemon::PASSWORD;
use crate::support::pages::{Answer, Pages};
use crate::support::{Ca, Daemon, Database};

const PATH: &str = "/admin/certificate-upload";

/// Sends the form, as a browser sends files.
async fn send(pages: &Pages, fields: &[(&str, &str)]) -> Answer {
    let form = pages.get("/admin/page/domain").await.form();
    let mut arguments = vec!["--form-string".to_owned(), format!("form={form}")];
    for (name, value) in fields {
        arguments.extend(match value.strip_prefix('@') {
            Some(file) => ["--form".to_owned(), format!("{name}=@{file}")],
            None => ["--form-string".to_owned(), format!("{name}={value}")],
        });
    }
    pages.curl(PATH, &arguments).await
}

pub fn serial(der: &[u8]) -> Vec<u8> {
    X509Certificate::from_der(der).unwrap().1.raw_serial().to_vec()
}

const UPLOADED: &str = "select count(*) from control.certificate where source = 'uploaded'";

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_looked_into_stored_and_served() {
    let (db, folder, ca) = (Database::new().await, Folder::new("certificate-page"), Ca::new());
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    let port = daemon.port("imaps");
    assert!(pages.page("/admin/page/certificate").await.contains(&format!("href=\"{PATH}\"")));
    assert!(pages.page(PATH).await.contains("aria-current=\"page\""));
    let made = |name: &str, names: &[&str]| {
        let identity = ca.certificate(names);
        let chain = folder.file(&format!("{name}.pem"), &identity.chain);
        let key = folder.file(&format!("{name}.key"), &identity.key);
        (chain, key, identity.certificate)
    };
    let at = |path: &str| format!("@{path}");
    let (chain, key, first) = made("first", &["mail.far.test", "imap.far.test"]);
    // Before it is stored it is looked into, and then nothing is stored.
    let looked = send(&pages, &[("do", "look"), ("file", &at(&chain)), ("key", &at(&key))]).await;
    assert_eq!(looked.status, 200, "{}", looked.body);
    for part in [
        "mail.far.test, imap.far.test",
        "own root",
        "belongs to the certificate",
        "Expires",
        "not stored yet",
    ] {
        assert!(looked.body.contains(part), "{part}\n{}", looked.body);
    }
    assert!(!looked.body.contains("PRIVATE KEY") && db.value::<i64>(UPLOADED).await == 0);
    // PEM in two files, in one, and PKCS #12.
    let stored = send(&pages, &[("do", "store"), ("file", &at(&chain)), ("key", &at(&key))]).await;
    assert!(
        stored.body.contains("Stored. It is served from now on for mail.far.test, imap.far.test."),
        "{}",
        stored.body
    );
    db.wait_applied().await;
    assert_eq!(serial(&verified(port, "imap.far.test", ca.pem()).await.unwrap()), serial(&first));
    let (chain, key, second) = made("second", &["mail.far.test", "imap.far.test"]);
    let both = [std::fs::read_to_string(&key).unwrap(), std::fs::read_to_string(&chain).unwrap()].concat();
    let both = folder.file("both.pem", &both);
    let stored = send(&pages, &[("do", "store"), ("file", &at(&both))]).await;
    assert!(stored.body.contains("in place of the one for the same names"), "{}", stored.body);
    db.wait_applied().await;
    assert_eq!(serial(&verified(port, "mail.far.test", ca.pem()).await.unwrap()), serial(&second));
    let chain_kept: String =
        db.value("select chain from control.certificate where source = 'uploaded'").await;
    assert!(!chain_kept.contains("PRIVATE"), "{chain_kept}");
    let (chain, key, third) = made("third", &["mail.far.test", "imap.far.test"]);
    let file = folder.pkcs12("third.p12", [&chain, &key], "sesame", &[]);
    let stored = send(&pages, &[("do", "store"), ("file", &at(&file)), ("password", "sesame")]).await;
    assert_eq!(stored.status, 200, "{}", stored.body);
    db.wait_applied().await;
    assert_eq!(serial(&verified(port, "mail.far.test", ca.pem()).await.unwrap()), serial(&third));
    assert_eq!(db.value::<i64>(UPLOADED).await, 1);
    // The change is noted under his name, without the key.
    let audit: String = db
        .value("select actor || ' ' || (new ->> 'key') from log.audit where table_name = 'control.certificate' and new ->> 'source' = 'uploaded' order by id desc limit 1")
        .await;
    assert_eq!(audit, "root (hidden)");
    // It has a row, with what was read.
    let row = stored
        .body
        .split("href=\"/admin/page/certificate/row?")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let row = pages.page(&format!("/admin/page/certificate/row?{}", row.replace("&#38;", "&"))).await;
    assert!(row.contains("imap.far.test"), "{row}");

    // One that signs itself, also for names with other letters.
    let own = send(&pages, &[("do", "make"), ("own", "bücher.example\n*.own.test")]).await;
    assert!(
        own.body.contains("xn--bcher-kva.example, *.own.test") && own.body.contains("Nobody but this server"),
        "{}",
        own.body
    );
    db.wait_applied().await;
    let shown = crate::acme::shown(port, "a.own.test").await;
    assert!(
        X509Certificate::from_der(&shown).unwrap().1.subject().to_string().contains("xn--bcher-kva.example")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_and_says_why() {
    let (db, folder, ca) = (Database::new().await, Folder::new("certificate-wrong"), Ca::new());
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    administrator(&db, "watcher", "auditor").await;
    db.apply("update directory.account set manages_domain = true where local_part = 'alice'").await;
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    let identity = ca.certificate(&["mail.far.test"]);
    let other = ca.certificate(&["mail.far.test"]);
    let expired = ca.expired(&["mail.far.test"]);
    let chain = format!("@{}", folder.file("chain.pem", &identity.chain));
    let key = format!("@{}", folder.file("key.pem", &identity.key));
    let other_key = format!("@{}", folder.file("other.pem", &other.key));
    let both =
        format!("@{}", folder.file("both.pem", &[identity.chain.clone(), identity.key.clone()].concat()));
    let old = format!("@{}", folder.file("old.pem", &[expired.chain, expired.key].concat()));
    let plain = [folder.file("a.pem", &identity.chain), folder.file("a.key", &identity.key)];
    let pfx = format!("@{}", folder.pkcs12("a.pfx", [&plain[0], &plain[1]], "sesame", &[]));
    for (fields, says) in [
        (&[("file", &*chain)][..], "there is no private key"),
        (&[("file", &key)], "holds no certificate"),
        (&[("file", &chain), ("key", &other_key)], "does not belong"),
        (&[("file", &old)], "has expired on 2002-01-01"),
        (&[("file", &pfx), ("password", "wrong")], "the password of the file is wrong"),
        (&[("file", &pfx)], "the password of the file is wrong"),
        (&[("file", &pfx), ("password", "sesame"), ("key", &key)], "is no PEM file"),
        (&[("file", "@/bin/true")], "this is no PKCS #12 file"),
        (&[("password", "x")], "choose the file"),
        (&[("file", &both), ("names", "else.test")], "is not for else.test"),
        (&[("file", &both), ("names", "<script>alert(1)</script>")], "write a name like"),
        (&[("do", "make"), ("own", "")], "write the host names"),
        (&[("do", "make"), ("own", "a b@c")], "write a name like"),
    ] {
        let answer = send(&pages, fields).await;
        assert_eq!(answer.status, 422, "{fields:?}: {}", answer.body);
        assert!(
            answer.body.contains(says) && answer.body.contains("Nothing has been stored"),
            "{says}: {}",
            answer.body
        );
        assert!(
            !answer.body.contains("<script>") && !answer.body.contains("PRIVATE KEY-"),
            "{}",
            answer.body
        );
    }
    let large = folder.file("large.pem", &"x".repeat(2 << 20));
    assert_eq!(send(&pages, &[("file", &format!("@{large}"))]).await.status, 413);
    assert_eq!(pages.curl(PATH, &["-dform=x".to_owned()]).await.status, 400);
    let forged = pages
        .curl(PATH, &["--form-string", "form=x", "--form", &format!("file={both}")].map(str::to_owned))
        .await;
    assert_eq!(forged.status, 403);
    for name in ["watcher", "alice@example.test"] {
        let visitor = Pages::log_in(&daemon, name, PASSWORD).await;
        assert_eq!(visitor.get(PATH).await.status, 403, "{name}");
        assert_eq!(send(&visitor, &[("do", "store"), ("file", &both)]).await.status, 403, "{name}");
    }
    assert_eq!(db.value::<i64>(UPLOADED).await, 0);
    // Whoever might ask the database himself under such a login is refused by it.
    let client = db.connect().await;
    for kind in ["auditor", "domain", "none"] {
        let statement = format!(
            "begin; select set_config('mailwright.kind', '{kind}', true), set_config('role', 'mailwright_web', true);
             select logic.keep_certificate('x', 'y', '{{}}', '{{a.test}}', now(), now(), 'uploaded')"
        );
        let error = client.batch_execute(&statement).await.unwrap_err();
        client.batch_execute("rollback").await.unwrap();
        let said = crate::support::database::describe(&error);
        assert!(said.contains("row-level security"), "{kind}: {said}");
    }
}
