//! The administration as a person meets it, in a real browser: what the pages promise, from the first login on.

use crate::relay::{mail, scene};
use crate::support::daemon::PASSWORD;
use crate::support::{Browser, Daemon, Database, Script};

/// A browser in which `system` has logged in.
async fn system(daemon: &Daemon<'_>) -> Browser {
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
    browser.fill("Administrator", "system").await;
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
