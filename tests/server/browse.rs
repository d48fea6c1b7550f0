//! The administration as a person meets it, in a real browser: what the pages promise, from the first login on.

use crate::acme::{Folder, verified};
use crate::certificate_page::serial;
use crate::import::File;
use crate::relay::{mail, scene};
use crate::second_factor;
use crate::support::daemon::PASSWORD;
use crate::support::{Browser, Ca, Daemon, Database, Script};

/// A browser in which `system` has logged in.
pub async fn system(daemon: &Daemon<'_>) -> Browser {
    daemon
        .db()
        .apply(&format!(
            "update control.administrator set password_hash = '{{PLAIN}}{PASSWORD}', must_change_password = false where name = 'system'"
        ))
        .await;
    let browser = Browser::open(daemon).await;
    browser.log_in("system", PASSWORD).await;
    browser
}

#[tokio::test]
async fn from_the_first_login_to_the_first_mail() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.administrator set password_hash = '{PLAIN}first-password', must_change_password = true where name = 'system'")
        .await;
    let browser = Browser::open(&daemon).await;
    browser.go("/admin/page/domain").await;
    browser.picture("login").await;
    browser.is_accessible().await;
    browser.fill("Name", "system").await;
    browser.fill("Password", "first-password").await;
    browser.press("Log in").await;
    browser.see("A new password for system").await;
    browser.is_accessible().await;
    browser.fill("Old password", "first-password").await;
    browser.fill("New password", "second-password").await;
    browser.fill("The same again", "second-password").await;
    browser.press("Change it").await;

    browser.follow("Domains").await;
    browser.follow("New").await;
    browser.fill("Name", "no such domain!").await;
    browser.press("Make it").await;
    browser.is_accessible().await;
    browser.fill("Name", "shop.test").await;
    browser.press("Make it").await;
    browser.see("Stored").await;
    for name in ["dora", "emil"] {
        browser.follow("Users").await;
        browser.follow("New").await;
        browser.fill("Domain", "shop.test").await;
        browser.fill("Local part", name).await;
        browser.fill("Password", "a-long-password").await;
        browser.press("Make it").await;
        browser.see("Stored").await;
    }
    browser.picture("user").await;
    browser.is_accessible().await;

    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    for (command, answer) in [
        ("EHLO client.example.net", "250"),
        ("MAIL FROM:<sender@example.net>", "250"),
        ("RCPT TO:<dora@shop.test>", "250"),
        ("DATA", "354"),
    ] {
        smtp.send(command).await;
        smtp.expect(answer).await;
    }
    smtp.data("Subject: welcome\n\nHello Dora.\n").await;
    smtp.expect("250").await;
    db.until("select exists (select 1 from log.trace where recipient = 'dora@shop.test')").await;
    browser.follow("Trace").await;
    browser.see("dora@shop.test").await;
    browser.picture("trace").await;
    browser.is_accessible().await;
    browser.follow("Users").await;
    browser.is_accessible().await;

    // And it is counted; what is counted can be looked at.
    db.until("select exists (select 1 from log.mail_count where step = 'placed')").await;
    browser.follow("Overview").await;
    browser.follow("Last hour").await;
    for number in ["Messages in\n1", "Put into mailboxes\n1", "Refused\n0"] {
        browser.see(number).await;
    }
    browser.follow("Put into mailboxes").await;
    browser.see("dora@shop.test").await;
    browser.close().await;
}

/// What curl, a mail program for the command line, has to say to a mailbox over POP3.
async fn pop3_client(daemon: &Daemon<'_>) -> std::process::Output {
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["--silent", "--show-error", "--user", &format!("alice@example.test:{PASSWORD}")]);
    curl.args(["--ssl-reqd", "--insecure"]);
    curl.arg(format!("pop3://127.0.0.1:{}/", daemon.port("pop3")));
    curl.output().await.expect("curl can be run")
}

#[tokio::test]
async fn services_stop_and_sessions_end_before_ones_eyes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    daemon.deliver("alice", "Subject: one\n\n.\n").await;
    let browser = system(&daemon).await;
    browser.follow("Services").await;
    browser.see("Shown as it happens.").await;
    assert!(pop3_client(&daemon).await.status.success());
    browser.press("Stop pop3").await;
    browser.see("ends all sessions of this service").await;
    browser.is_accessible().await;
    browser.press("Stop").await;
    browser.see("pop3 stops").await;
    let felt = pop3_client(&daemon).await;
    assert_eq!(felt.status.code(), Some(7), "the connection is refused: {felt:?}");
    browser.press("Start pop3").await;
    browser.see("pop3 starts").await;
    db.wait_applied().await;
    let served = pop3_client(&daemon).await;
    assert!(String::from_utf8_lossy(&served.stdout).starts_with("1 "), "{served:?}");

    // Who comes is there without a click, and goes when he is sent away.
    let mut imap = daemon.imap().await;
    imap.login("bob").await;
    imap.run("SELECT INBOX").await;
    browser.see("bob@example.test").await;
    browser.picture("services").await;
    browser.is_accessible().await;
    browser.choose("imap of bob@example.test").await;
    browser.press("Terminate").await;
    browser.press("Terminate").await;
    imap.expect("* BYE").await;
    browser.see("the session ends").await;
    browser.see("Connected now: ").await;
    crate::support::ask_until(async || match browser.text().await.contains("bob@example.test") {
        true => Err("bob is still there".to_owned()),
        false => Ok(()),
    })
    .await;

    // Another administrator stops a service; it shows here, and a login that ends ends the news.
    db.apply("update control.service set enabled = false where name = 'imap'").await;
    browser.see("Start imap").await;
    db.sql("delete from live.web_session").await;
    browser.see("is tried again").await;
    browser.close().await;
}

#[tokio::test]
async fn the_services_are_shown_without_script() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    daemon.db().apply("update control.administrator set password_hash = '{PLAIN}a-password', must_change_password = false where name = 'system'").await;
    let browser = Browser::with(&daemon, false).await;
    browser.log_in("system", "a-password").await;
    browser.go("/admin/services").await;
    browser.see("Load the page again").await;
    let mut imap = daemon.imap().await;
    imap.login("bob").await;
    db.until("select exists (select 1 from live.session where login = 'bob@example.test')").await;
    browser.follow("Services").await;
    browser.choose("imap of bob@example.test").await;
    browser.press("Terminate").await;
    browser.press("Terminate").await;
    imap.expect("* BYE").await;
    browser.close().await;
}

#[tokio::test]
async fn a_rule_refuses_and_is_taken_back() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let browser = system(&daemon).await;
    // An IP list of this name, then a rule in it, then the service that has it.
    browser.unfold("Server").await;
    browser.follow("IP list").await;
    browser.follow("New").await;
    browser.fill("Name", "visitors").await;
    browser.press("Make it").await;
    browser.follow("IP rule").await;
    browser.follow("New").await;
    browser.fill("List", "visitors").await;
    browser.fill("Pattern", "127.0.0.x").await;
    browser.press("Make it").await;
    browser.see("a pattern is like").await;
    browser.is_accessible().await;
    browser.fill("Pattern", "127.0.0.?").await;
    browser.press("Make it").await;
    browser.see("Stored").await;
    browser.go("/admin/page/service/row?k=%7B%22name%22%3A%22smtp%22%7D").await;
    browser.fill("IP list", "visitors").await;
    browser.press("Store").await;
    browser.see("Stored").await;
    db.wait_applied().await;
    let smtp = daemon.port("smtp");
    let language = crate::support::dialogue::Language::Smtp;
    crate::support::dialogue::Dialogue::plain(smtp, language).await.expect("554").await;

    // The change is taken back, and mail is taken again.
    browser.follow("Changes").await;
    browser.picture("changes").await;
    browser.is_accessible().await;
    let id: i64 = db.value("select max(id) from log.audit where table_name = 'control.service'").await;
    browser.choose(&id.to_string()).await;
    browser.press("Undo").await;
    browser.see(&format!("change {id} is taken back")).await;
    db.wait_applied().await;
    crate::support::dialogue::Dialogue::plain(smtp, language).await.expect("220").await;
    browser.close().await;
}

#[tokio::test]
async fn what_waits_is_tried_again() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.relay set enabled = false").await;
    db.sql(
        "insert into queue.message (content_id, size, sender) values (0, 100, 'alice@example.test');
         insert into queue.recipient (message_id, address, domain, next_attempt_at, attempts, last_reply)
         select id, 'far@far.test', 'far.test', now() + interval '3 hours', 2, '451 4.7.1 come back later <b>soon</b>' from queue.message",
    )
    .await;
    let browser = system(&daemon).await;
    browser.go("/admin/page/delivery").await;
    browser.see("come back later <b>soon</b>").await;
    browser.picture("queue").await;
    browser.is_accessible().await;
    browser.choose("far@far.test").await;
    browser.press("Retry now").await;
    browser.see("it is tried now").await;
    assert!(db.value::<bool>("select next_attempt_at <= now() from queue.recipient").await);
    browser.close().await;
}

#[tokio::test]
async fn every_page_is_for_everybody() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let browser = system(&daemon).await;
    daemon.deliver("alice", "Subject: one\n\n.\n").await;
    let links = browser.links("nav a").await;
    assert!(links.len() > 40, "{links:?}");
    // Of the settings, which all look alike, one will do.
    let settings = browser.links("nav details:nth-of-type(n + 4) a").await;
    assert!(settings.len() > 10 && settings.len() < links.len() - 20, "{settings:?}");
    for link in links {
        browser.go(&link).await;
        browser.is_accessible().await;
        if !settings[1..].contains(&link) {
            browser.picture(&format!("page-{}", link.rsplit('/').next().unwrap())).await;
        }
    }
    // A report that has been run, and a mailbox that is looked into.
    browser.go("/admin/reports").await;
    browser.follow("Top senders").await;
    browser.is_accessible().await;
    browser.picture("report").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_queue_to_the_story_of_a_message() {
    let db = Database::new().await;
    let (daemon, _sink, _net) = scene(&db, Script::default()).await;
    db.apply("update control.relay set enabled = false").await;
    mail(&daemon, "bob@far.test").await;
    db.until("select exists (select 1 from log.trace where step = 'queued')").await;
    let browser = system(&daemon).await;
    browser.follow("Queue").await;
    browser.see("far.test").await;
    browser.picture("queue").await;
    browser.is_accessible().await;
    browser.press("Hold all 1").await;
    browser.see("1 recipient is held").await;
    browser.press("Cancel all 1").await;
    browser.see("the senders are not told").await;
    browser.is_accessible().await;
    browser.follow("No, go back").await;
    browser.follow("Find messages").await;
    browser.is_accessible().await;
    browser.fill("Recipient", "bob@far.test").await;
    browser.press("Find").await;
    browser.see("held").await;
    browser.is_accessible().await;
    let story: String = db.value("select '/admin/message/' || trace from queue.message").await;
    browser.go(&story).await;
    browser.see("held by system").await;
    browser.see("Subject: Hello").await;
    browser.picture("story").await;
    browser.is_accessible().await;
    // The filters of the log.
    browser.go("/admin/page/event?from.level=info").await;
    browser.fill("Level at least", "error").await;
    browser.press("Apply").await;
    browser.see("Level: at least error").await;
    browser.picture("filter").await;
    browser.is_accessible().await;
    // A certificate that signs itself.
    browser.go("/admin/certificate-upload").await;
    browser.fill("Host names", "mail.shop.test").await;
    browser.press("Make it").await;
    browser.see("served from now on for mail.shop.test").await;
    browser.picture("certificate").await;
    browser.is_accessible().await;
    browser.close().await;
}

#[tokio::test]
async fn users_come_from_a_file_or_not_at_all() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let browser = system(&daemon).await;
    let accounts = "select count(*) from directory.account";
    let before: i64 = db.value(accounts).await;
    let bad = File::new(b"address,display_name,password\ndora@example.test,Dora,long-enough-1\nno address,Emil,long-enough-2\n");
    let good = File::new(b"address,display_name,password\ndora@example.test,Dora <b>D</b>,long-enough-1\nemil@example.test,Emil,long-enough-2\n");
    browser.follow("Import of users").await;
    browser.fill("File", bad.path().to_str().unwrap()).await;
    browser.press("Check it").await;
    browser.see("1 fault, 1 line right. Nothing is imported from a file with faults").await;
    browser.is_accessible().await;
    browser.picture("import-faults").await;
    assert_eq!(db.value::<i64>(accounts).await, before);
    browser.fill("File", good.path().to_str().unwrap()).await;
    browser.press("Check it").await;
    browser.see("2 users can be imported. Nothing has been changed yet.").await;
    browser.see("Dora <b>D</b>").await;
    browser.is_accessible().await;
    browser.picture("import").await;
    assert_eq!(db.value::<i64>(accounts).await, before);
    browser.press("Import 2 users").await;
    browser.see("To the users").await;
    assert_eq!(db.value::<i64>(accounts).await, before + 2);
    browser.follow("To the users").await;
    browser.see("emil").await;
    browser.close().await;
    let mut imap = daemon.imap().await;
    imap.send("a LOGIN emil@example.test long-enough-2").await;
    imap.expect("a OK").await;
}

#[tokio::test]
async fn a_login_takes_a_code_of_an_app() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let browser = system(&daemon).await;
    browser.follow("Second factor").await;
    browser.is_accessible().await;
    browser.picture("second-factor").await;
    let text = browser.text().await;
    let secret =
        text.split("Secret: ").nth(1).and_then(|rest| rest.lines().next()).expect("a secret is shown");
    let secret = secret.replace(' ', "");
    browser.fill("Code", "12345").await;
    browser.press("Switch it on").await;
    browser.see("this code is wrong").await;
    browser.fill("Code", &second_factor::code(&secret, 0)).await;
    browser.press("Switch it on").await;
    browser.see("These are your recovery codes").await;
    browser.is_accessible().await;
    let text = browser.text().await;
    let codes = text.split("never shown again.").nth(1).expect("codes are shown");
    let recovery =
        codes.lines().map(str::trim).find(|line| !line.is_empty()).expect("there is one").to_owned();
    browser.follow("I have kept them").await;
    browser.press("Log out").await;

    // The password alone opens nothing any more.
    browser.log_in("system", PASSWORD).await;
    browser.see("Now the code that your app shows").await;
    browser.is_accessible().await;
    browser.go("/admin/page/domain").await;
    browser.see("Log in").await;
    browser.log_in("system", PASSWORD).await;
    second_factor::forget_codes(&db).await;
    browser.fill("Code", &second_factor::code(&secret, 0)).await;
    browser.press("Log in").await;
    browser.see("Overview").await;
    browser.press("Log out").await;

    // A recovery code is good for once.
    browser.log_in("system", PASSWORD).await;
    browser.fill("Code", &recovery).await;
    browser.press("Log in").await;
    browser.see("Overview").await;
    browser.press("Log out").await;
    browser.log_in("system", PASSWORD).await;
    browser.fill("Code", &recovery).await;
    browser.press("Log in").await;
    browser.see("this code is wrong").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_brought_and_clients_see_it() {
    let (db, folder, ca) = (Database::new().await, Folder::new("browse-certificate"), Ca::new());
    let daemon = Daemon::start(&db).await;
    let browser = system(&daemon).await;
    let identity = ca.certificate(&["mail.far.test"]);
    let chain = folder.file("chain.pem", &identity.chain);
    let key = folder.file("key.pem", &identity.key);
    browser.go("/admin/page/certificate").await;
    browser.follow("Upload").await;
    browser.fill("Certificate", &chain).await;
    browser.press("Store").await;
    browser.see("Nothing has been stored.").await;
    browser.is_accessible().await;
    browser.fill("Certificate", &chain).await;
    browser.fill("Key", &key).await;
    browser.press("Store").await;
    browser.see("It is served from now on for mail.far.test.").await;
    browser.is_accessible().await;
    browser.picture("certificate-upload").await;
    db.wait_applied().await;
    let served = verified(daemon.port("imaps"), "mail.far.test", ca.pem()).await.unwrap();
    assert_eq!(serial(&served), serial(&identity.certificate));
    browser.close().await;
}
