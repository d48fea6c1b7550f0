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
