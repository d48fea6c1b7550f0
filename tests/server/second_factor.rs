//! Logging in to the pages with a second factor: enrolment, codes, recovery codes, locks, and what happens when all is lost.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use totp_rs::{Algorithm, Builder, Secret};

use crate::admin::administrator;
use crate::support::daemon::PASSWORD;
use crate::support::pages::Pages;
use crate::support::{Daemon, Database};

const PAGE: &str = "/admin/second-factor";

/// The code of a secret, so many steps from now.
pub fn code(secret: &str, steps: i64) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let totp = Builder::new().with_algorithm(Algorithm::SHA1).with_secret(secret).build().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    totp.generate((now as i64 + 30 * steps) as u64).to_string()
}

/// Six digits that are no code around now.
fn wrong_code(secret: &str) -> String {
    let near: Vec<String> = (-3..=3).map(|steps| code(secret, steps)).collect();
    (0..).map(|n| format!("{n:06}")).find(|guess| !near.contains(guess)).unwrap()
}

/// Codes may be given once more, as when time has passed.
pub async fn forget_codes(db: &Database) {
    db.sql("update directory.second_factor set last_step = 0").await;
}

/// The secret that a page offers.
fn offered(page: &str) -> String {
    let text = page.split("<code id=\"secret\">").nth(1).and_then(|rest| rest.split('<').next());
    text.unwrap_or_else(|| panic!("no secret: {page}")).replace(' ', "")
}

fn recovery_codes(page: &str) -> Vec<String> {
    let codes = page.split("<li><code>").skip(1).filter_map(|rest| rest.split('<').next());
    codes.map(str::to_owned).collect()
}

/// Sends a form of whatever page this is.
async fn send(pages: &Pages, path: &str, fields: &[(&str, &str)]) -> crate::support::pages::Answer {
    let form = pages.get(path).await.form();
    let mut arguments = vec!["--data-urlencode".to_owned(), format!("form={form}")];
    for (name, value) in fields {
        arguments.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
    }
    pages.curl(path, &arguments).await
}

/// Sets a second factor up; returns its secret and its recovery codes.
async fn enrol(pages: &Pages) -> (String, Vec<String>) {
    let secret = offered(&pages.page(PAGE).await);
    let answer = send(pages, PAGE, &[("do", "on"), ("code", &code(&secret, 0))]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    (secret, recovery_codes(&answer.body))
}

/// A browser whose password was right, before its code.
async fn half_way(daemon: &Daemon<'_>, name: &str) -> Pages {
    let pages = Pages::open(daemon);
    let answer = pages
        .post("/admin/log-in", &[("name", name), ("password", PASSWORD), ("back", "/admin/page/alias")])
        .await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(answer.location(), "/admin/code?back=%2Fadmin%2Fpage%2Falias");
    pages
}

async fn give(pages: &Pages, code: &str) -> crate::support::pages::Answer {
    send(pages, "/admin/code", &[("code", code), ("back", "/admin/page/alias")]).await
}

#[tokio::test]
async fn a_login_needs_a_code_that_is_taken_once() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    let other = Pages::log_in(&daemon, "root", PASSWORD).await;
    let page = pages.page(PAGE).await;
    assert!(page.contains("<svg") && page.contains("role=\"img\""), "{page}");
    assert!(!page.contains("style=") && page.matches("<script").count() == 1, "{page}");
    let secret = offered(&page);
    assert_eq!(secret.len(), 32);
    // Loading the page again does not change what the app has read already.
    assert_eq!(offered(&pages.page(PAGE).await), secret);
    // It is not on before a code has come.
    let refused = send(&pages, PAGE, &[("do", "on"), ("code", &wrong_code(&secret))]).await;
    assert!(refused.status == 403 && refused.body.contains("this code is wrong"), "{}", refused.body);
    assert_eq!(db.value::<i64>("select count(*) from directory.second_factor").await, 0);
    let (secret, codes) = enrol(&pages).await;
    assert_eq!(codes.len(), 10);
    // His other sessions end; this one goes on.
    assert!(other.get("/admin/page/service").await.location().starts_with("/admin/log-in"));
    let page = pages.page(PAGE).await;
    assert!(page.contains("still good: 10") && !page.contains(&secret) && !page.contains("<svg"), "{page}");

    // A right password opens nothing.
    let half = half_way(&daemon, "root").await;
    for path in ["/admin", "/admin/page/service", PAGE, "/admin/password", "/admin/page/service/csv"] {
        assert!(half.get(path).await.location().starts_with("/admin/log-in"), "{path}");
    }
    let stop = [("k", r#"{"name":"pop3"}"#), ("do", "stop"), ("sure", "yes")];
    assert!(half.post("/admin/page/service/act", &stop).await.location().starts_with("/admin/log-in"));
    let before: String =
        db.value("select encode(token_hash, 'hex') from live.web_session where awaits_code").await;
    // The code that switched it on is not taken again.
    let used = give(&half, &code(&secret, 0)).await;
    assert_eq!(used.status, 403, "{}", used.body);
    assert!(used.body.contains("has been used already"), "{}", used.body);
    assert_eq!(give(&half, &wrong_code(&secret)).await.status, 403);
    // Two steps away is too far.
    forget_codes(&db).await;
    assert_eq!(give(&half, &code(&secret, 3)).await.status, 403);
    assert_eq!(give(&half, &code(&secret, -3)).await.status, 403);
    // Without what the page carries it is refused, right or not.
    assert_eq!(half.post("/admin/code", &[("code", &code(&secret, 0))]).await.status, 403);
    let right = give(&half, &code(&secret, 0)).await;
    assert_eq!((right.status, right.location().as_str()), (303, "/admin/page/alias"));
    assert_eq!(half.get("/admin").await.location(), "/admin/overview");
    // The cookie has changed with it.
    let again: i64 = db
        .value(&format!("select count(*) from live.web_session where encode(token_hash, 'hex') = '{before}'"))
        .await;
    assert_eq!(again, 0);
    // The same code again, from somewhere else.
    let thief = half_way(&daemon, "root").await;
    assert_eq!(give(&thief, &code(&secret, 0)).await.status, 403);
    // After five minutes the half login is over.
    forget_codes(&db).await;
    db.sql("update live.web_session set since = now() - interval '6 minutes' where awaits_code").await;
    assert!(thief.get("/admin/code").await.location().starts_with("/admin/log-in"));
    assert_eq!(give(&thief, &code(&secret, 0)).await.status, 403);
}

#[tokio::test]
async fn recovery_codes_are_good_for_once_and_stored_as_hashes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    let (secret, codes) = enrol(&pages).await;
    let stored: String = db.value("select string_agg(code_hash, ' ') from directory.recovery_code").await;
    let audited: String = db.value("select string_agg(a::text, ' ') from log.audit a").await;
    assert!(audited.contains("directory.second_factor") && audited.contains("root"));
    for secret_text in codes.iter().map(|code| code.replace('-', "")).chain([secret.clone()]) {
        assert!(!stored.contains(&secret_text) && !audited.contains(&secret_text));
    }
    for hash in stored.split(' ') {
        assert!(!audited.contains(hash), "a hash stands in the audit log");
    }
    // As people write them: small letters, no hyphens.
    let written = codes[0].to_lowercase().replace('-', " ");
    assert_eq!(give(&half_way(&daemon, "root").await, &written).await.status, 303);
    let half = half_way(&daemon, "root").await;
    assert_eq!(give(&half, &codes[0]).await.status, 403);
    assert_eq!(give(&half, &codes[1]).await.status, 303);
    assert!(half.page(PAGE).await.contains("still good: 8"));
    let actor: String = db
        .value("select actor from log.audit where table_name = 'directory.recovery_code' and action = 'update' order by id desc limit 1")
        .await;
    assert_eq!(actor, "root");
    // New ones make the old ones worthless; a proof is asked for.
    let refused = send(&half, PAGE, &[("do", "renew"), ("password", "guess")]).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(send(&half, PAGE, &[("do", "renew")]).await.status, 403);
    let renewed = send(&half, PAGE, &[("do", "renew"), ("password", PASSWORD)]).await;
    let fresh = recovery_codes(&renewed.body);
    assert_eq!(fresh.len(), 10, "{}", renewed.body);
    let third = half_way(&daemon, "root").await;
    assert_eq!(give(&third, &codes[2]).await.status, 403);
    assert_eq!(give(&third, &fresh[0]).await.status, 303);
    // Off, by a code or by the password.
    assert_eq!(send(&half, PAGE, &[("do", "off"), ("code", &wrong_code(&secret))]).await.status, 403);
    forget_codes(&db).await;
    assert_eq!(send(&half, PAGE, &[("do", "off"), ("code", &code(&secret, 0))]).await.status, 303);
    assert_eq!(db.value::<i64>("select count(*) from directory.recovery_code").await, 0);
    Pages::log_in(&daemon, "root", PASSWORD).await.page("/admin/page/service").await;
}

#[tokio::test]
async fn wrong_codes_lock_and_a_right_password_does_not_help() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "update directory.account set manages_domain = true where local_part = 'alice';
         update control.directory set max_login_failures = 6, max_peer_login_failures = 1000",
    )
    .await;
    db.wait_applied().await;
    let pages = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    let (secret, codes) = enrol(&pages).await;
    forget_codes(&db).await;
    for _ in 0..6 {
        // Each time with the right password, in the browser and elsewhere.
        daemon.imap().await.login("alice").await;
        let half = half_way(&daemon, "alice@example.test").await;
        assert_eq!(give(&half, &wrong_code(&secret)).await.status, 403);
    }
    let refused = Pages::open(&daemon)
        .post("/admin/log-in", &[("name", "alice@example.test"), ("password", PASSWORD)])
        .await;
    assert!(refused.status == 403 && refused.body.contains("locked"), "{}", refused.body);
    // One that had got half way before is locked too, for right codes and recovery codes.
    db.sql("update live.login_failure set locked_until = null").await;
    let half = half_way(&daemon, "alice@example.test").await;
    db.sql("update live.login_failure set locked_until = now() + interval '15 minutes' where key = 'code:alice@example.test'").await;
    for right in [code(&secret, 0), codes[0].clone()] {
        let answer = give(&half, &right).await;
        assert!(answer.status == 403 && answer.body.contains("locked"), "{}", answer.body);
    }
    // Mail goes on: IMAP asks for no code.
    daemon.imap().await.login("alice").await;
    // Unlocked on the page of locks, it opens.
    administrator(&db, "root", "system").await;
    let system = Pages::log_in(&daemon, "root", PASSWORD).await;
    let key = [("k", r#"{"key":"code:alice@example.test"}"#), ("do", "unlock")];
    assert_eq!(system.post("/admin/page/lock/act", &key).await.status, 303);
    assert_eq!(give(&half, &code(&secret, 0)).await.status, 303);
}

#[tokio::test]
async fn a_second_factor_is_reset_by_those_who_may() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    administrator(&db, "watcher", "auditor").await;
    db.apply("update directory.account set manages_domain = true where local_part in ('alice', 'bob')").await;
    let system = Pages::log_in(&daemon, "root", PASSWORD).await;
    let auditor = Pages::log_in(&daemon, "watcher", PASSWORD).await;
    let alice = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    let bob = Pages::log_in(&daemon, "bob@example.test", PASSWORD).await;
    enrol(&alice).await;
    enrol(&auditor).await;
    let id: i64 = db.value("select id from directory.account where local_part = 'alice'").await;
    let key = format!("{{\"id\":{id}}}");
    let press = |page: &str| format!("/admin/page/{page}/act");
    let reset = [("k", key.as_str()), ("do", "reset_second_factor"), ("sure", "yes")];
    // One administrator of the domain does not reset the other's, and an auditor nobody's.
    let answer = bob.post(&press("account"), &reset).await;
    assert!(answer.location().contains("you+may+not"), "{}", answer.location());
    assert_ne!(auditor.post(&press("account"), &reset).await.status, 303);
    assert_eq!(db.value::<i64>("select count(*) from directory.second_factor").await, 2);
    // The page says who has one, and asks before it is reset.
    assert!(system.page("/admin/page/account/row?k=%7B%22id%22%3A1%7D").await.contains("Second factor"));
    let asked = system.post(&press("account"), &reset[..2]).await;
    assert!(asked.status == 200 && asked.body.contains("with the password alone"), "{}", asked.body);
    assert_eq!(system.post(&press("account"), &reset).await.status, 303);
    let name = [("k", r#"{"name":"watcher"}"#), ("do", "reset_second_factor"), ("sure", "yes")];
    assert_eq!(system.post(&press("administrator"), &name).await.status, 303);
    assert_eq!(db.value::<i64>("select count(*) from directory.second_factor").await, 0);
    let audit = db
        .rows("select actor, action, old ->> 'secret' from log.audit where table_name = 'directory.second_factor' order by id desc limit 1")
        .await;
    let audit: Vec<String> = (0..3).map(|at| audit[0].get(at)).collect();
    assert_eq!(audit, ["root", "delete", "(hidden)"]);
    // A login that waited for the code that nobody asks for any more goes on.
    Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    Pages::log_in(&daemon, "watcher", PASSWORD).await;

    // When everything is lost, the command line.
    enrol(&system).await;
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mailwright"))
            .args(words)
            .args(["--database-url", &db.url()])
            .env_remove("DATABASE_URL")
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (good, said) = run(&["second-factor", "remove", "root"]);
    assert!(!good && said.contains("--yes"), "{said}");
    let (good, said) = run(&["second-factor", "remove", "root", "--yes"]);
    assert!(good && said.contains("root logs in with the password alone"), "{said}");
    for (whom, text) in [("root", "has no second factor"), ("bob@example.test", "has no second factor")] {
        let (good, said) = run(&["second-factor", "remove", whom, "--yes"]);
        assert!(!good && said.contains(text), "{said}");
    }
    Pages::log_in(&daemon, "root", PASSWORD).await;
    // No page reads a secret.
    let client = db.connect().await;
    client.batch_execute("set role mailwright_web").await.unwrap();
    for column in [
        "secret from directory.second_factor",
        "code_hash from directory.recovery_code",
        "offered_secret from live.web_session",
    ] {
        let refused = client.batch_execute(&format!("select {column}")).await.unwrap_err();
        assert!(refused.as_db_error().unwrap().message().contains("permission denied"), "{column}");
    }
}

#[tokio::test]
async fn who_has_to_have_one_is_led_to_it() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    administrator(&db, "watcher", "auditor").await;
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    let auditor = Pages::log_in(&daemon, "watcher", PASSWORD).await;
    db.apply("update control.web set require_second_factor = 'system'").await;
    db.wait_applied().await;
    for path in ["/admin", "/admin/page/service", "/admin/page/account/new", "/admin/page/account/csv"] {
        assert_eq!(pages.get(path).await.location(), PAGE, "{path}");
    }
    let stop = [("k", r#"{"name":"pop3"}"#), ("do", "stop"), ("sure", "yes")];
    assert_eq!(pages.post("/admin/page/service/act", &stop).await.location(), PAGE);
    auditor.page("/admin/page/service").await;
    let page = pages.page(PAGE).await;
    assert!(page.contains("You need a second factor") && !page.contains("Not now"), "{page}");
    enrol(&pages).await;
    pages.page("/admin/page/service").await;
    // Switched off, it is asked for again.
    assert_eq!(send(&pages, PAGE, &[("do", "off"), ("password", PASSWORD)]).await.status, 303);
    assert_eq!(pages.get("/admin/page/service").await.location(), PAGE);
    db.apply("update control.web set require_second_factor = 'everybody'").await;
    db.wait_applied().await;
    assert_eq!(auditor.get("/admin/page/service").await.location(), PAGE);
}
