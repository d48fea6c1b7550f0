//! The administration as a person meets it, in a real browser: what the pages promise, from the first login on.

use crate::support::daemon::PASSWORD;
use crate::support::{Browser, Daemon, Database};

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
    let links = browser.links("nav a").await;
    assert!(links.len() > 40, "{links:?}");
    for link in links {
        browser.go(&link).await;
        browser.is_accessible().await;
    }
    browser.close().await;
}
