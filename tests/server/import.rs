//! Users from a CSV file, in the browser and on the command line: the check, the report, the import, and who may.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::admin::{administrator, system};
use crate::support::daemon::PASSWORD;
use crate::support::pages::{Answer, Pages};
use crate::support::{Daemon, Database, PATIENCE};

const PAGE: &str = "/admin/import";

/// A file that is gone with the test.
pub struct File(PathBuf);

impl File {
    pub fn new(bytes: &[u8]) -> File {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mailwright-users-{}-{number}.csv", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        File(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Brings a file; what the page says then.
async fn bring(pages: &Pages, bytes: &[u8]) -> Answer {
    let file = File::new(bytes);
    let form = pages.get("/admin/page/account").await.form();
    let arguments = [
        "-F".to_owned(),
        format!("form={form}"),
        "-F".to_owned(),
        format!("file=@{}", file.path().display()),
    ];
    let answer = pages.curl(PAGE, &arguments).await;
    if answer.status == 303 { pages.get(&answer.location()).await } else { answer }
}

async fn press(pages: &Pages) -> Answer {
    pages.post("/admin/import/go", &[("do", "import")]).await
}

/// Waits until the import is over, as a person does: the page loads itself again.
async fn over(pages: &Pages) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE * 9;
    loop {
        let page = pages.page(PAGE).await;
        if !page.contains("http-equiv=\"refresh\"") {
            return page;
        }
        assert!(tokio::time::Instant::now() < deadline, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn accounts(db: &Database) -> i64 {
    db.value("select count(*) from directory.account").await
}

#[tokio::test]
async fn users_are_checked_and_then_made() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let (before, audited) = (accounts(&db).await, db.value::<i64>("select max(id) from log.audit").await);
    let template = pages.get("/admin/import/template").await;
    assert!(template.body.starts_with("address,display_name,password,"), "{}", template.body);
    let text = "\u{feff}address;display_name;password;password_hash;quota;forward_to;aliases;active\r\n\
        Dora@Example.test;\"<script>alert(1)</script>\";dora-password;;1G;;d.doe doe@example.test;\r\n\
        emil@example.test;Emil;;{PLAIN}emil-password;;;;\r\n\
        fred@example.test;Fred;;;;fred@example.net;;no\r\n";
    let checked = bring(&pages, text.as_bytes()).await.body;
    assert!(checked.contains("3 users can be imported") && checked.contains("Import 3 users"), "{checked}");
    assert!(
        checked.contains("Without a password: 1.")
            && checked.contains("Passwords to hash: 1, which takes about 1 minute;"),
        "{checked}"
    );
    assert!(
        !checked.contains("dora-password")
            && !checked.contains("emil-password")
            && !checked.contains("<script>"),
        "{checked}"
    );
    // Nothing is changed by the check, and no password can be read where it waits.
    assert_eq!(
        (accounts(&db).await, db.value::<i64>("select max(id) from log.audit").await),
        (before, audited)
    );
    let waiting: String = db.value("select i::text from live.user_import i").await;
    let in_hex: String = "dora-password".bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!waiting.contains(&in_hex) && !waiting.contains("dora-password"), "{waiting}");
    // It is not there for another login.
    let other = Pages::log_in(&daemon, "root", PASSWORD).await;
    assert!(!other.page(PAGE).await.contains("dora@example.test"));
    press(&other).await;
    assert_eq!(accounts(&db).await, before);
    // Pressed twice it is done once.
    let (first, second) = tokio::join!(press(&pages), press(&pages));
    assert_eq!((first.status, second.status), (303, 303));
    let done = over(&pages).await;
    assert!(done.contains("3 users have been made"), "{done}");
    assert_eq!(accounts(&db).await, before + 3);
    assert_eq!(db.value::<i64>("select count(*) from live.user_import where sealed is not null").await, 0);
    let audit: i64 = db
        .value(&format!("select count(*) from log.audit where id > {audited} and table_name = 'directory.account' and action = 'insert' and actor = 'root' and path = 'web pages' and new ->> 'password_hash' is distinct from 'x' and new::text !~ 'argon|PLAIN'"))
        .await;
    assert_eq!(audit, 3);
    for (user, password) in [("dora", "dora-password"), ("emil", "emil-password")] {
        let mut imap = daemon.imap().await;
        imap.run(&format!("LOGIN {user}@example.test {password}")).await;
        imap.run("SELECT INBOX").await;
    }
    daemon.deliver("doe", "Subject: x\r\n\r\nby an alias\r\n").await;
    let row = db
        .rows("select quota_bytes, password_hash::text ~ '^.argon2id', scram is not null from directory.account where local_part = 'dora'")
        .await;
    assert_eq!(
        (row[0].get::<_, i64>(0), row[0].get::<_, bool>(1), row[0].get::<_, bool>(2)),
        (1 << 30, true, true)
    );
    let fred = db.rows("select active, forward_to from directory.account where local_part = 'fred'").await;
    assert!(!fred[0].get::<_, bool>(0) && fred[0].get::<_, Vec<String>>(1) == ["fred@example.net"]);
    // Over is over.
    press(&pages).await;
    assert_eq!(accounts(&db).await, before + 3);
}

#[tokio::test]
async fn every_bad_line_is_reported() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    db.apply("update directory.domain set max_accounts = 6 where name = 'example.test';
        insert into directory.domain (name) values ('other.test');
        insert into directory.alias (domain_id, local_part, targets) select id, 'sales', '{alice@example.test}' from directory.domain where name = 'example.test'").await;
    let before = accounts(&db).await;
    let text = "address,password,aliases,quota\n\
        alice@example.test,,,\n\
        sales@example.test,,,\n\
        x@nowhere.test,,,\n\
        u@other.test,short,,\n\
        v@other.test,,carol@example.test,\n\
        w@other.test,,w@nowhere.test,\n\
        a1@example.test,,,\n\
        a2@example.test,,,\n\
        a3@example.test,,,\n\
        a4@example.test,,,\n\
        \"semi;colon\"@other.test,,,\n\
        b1@other.test,,,-5\n\
        b2@other.test,,,\n";
    let page = bring(&pages, text.as_bytes()).await.body;
    let line = |number: u32| {
        let row = page
            .split("<tr><td data-label=\"Line\" class=\"number\">")
            .find(|row| row.starts_with(&format!("{number}<")));
        row.unwrap_or_else(|| panic!("line {number} is not named: {page}"))
            .split("</tr>")
            .next()
            .unwrap()
            .to_owned()
    };
    for (number, words) in [
        (2, "alice@example.test exists already"),
        (3, "sales@example.test exists already"),
        (4, "there is no domain nowhere.test here"),
        (5, "at least 8 characters"),
        (6, "carol@example.test exists already"),
        (7, "there is no domain nowhere.test here"),
        // Three are there, three more fit: the fourth is too many.
        (11, "would have 7 accounts, and its max_accounts is 6"),
        (13, "is no size"),
    ] {
        assert!(line(number).contains(words), "{number}: {}", line(number));
    }
    for right in [8, 9, 10, 14] {
        assert!(!page.contains(&format!("class=\"number\">{right}<")), "line {right} is right: {page}");
    }
    assert!(page.contains("4 lines right") && !page.contains("value=\"import\""), "{page}");
    press(&pages).await;
    assert_eq!(accounts(&db).await, before);

    for (bytes, words) in [
        (&b"address,display_name\na@example.test,Andr\xe9\n"[..], "not UTF-8 (line 2)"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"a@example.test\n", "the first line names the columns"),
        (b"address\n", "no users"),
    ] {
        let page = bring(&pages, bytes).await.body;
        assert!(page.contains(words) && !page.contains("value=\"import\""), "{words}: {page}");
    }
    let large = bring(&pages, &vec![b'x'; (8 << 20) + (1 << 17)]).await;
    assert!(large.status == 413 && large.body.contains("8 MiB at most"), "{} {}", large.status, large.body);
    // Without what the page carries, and with nothing.
    assert_eq!(pages.curl(PAGE, &["-Ftext=address".to_owned()]).await.status, 403);
    assert_eq!(pages.curl("/admin/import/go", &["-ddo=import".to_owned()]).await.status, 403);
    assert_eq!(bring(&pages, b"").await.status, 422);
}

#[tokio::test]
async fn all_are_made_or_none() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let before = accounts(&db).await;
    let text = (1..=50).fold("address\n".to_owned(), |text, n| text + &format!("u{n}@example.test\n"));
    let page = bring(&pages, text.as_bytes()).await.body;
    assert!(page.contains("Import 50 users"), "{page}");
    db.apply("insert into directory.account (domain_id, local_part) select id, 'u37' from directory.domain where name = 'example.test'").await;
    press(&pages).await;
    let page = over(&pages).await;
    assert!(page.contains("no user was made") && page.contains("this"), "{page}");
    assert_eq!(accounts(&db).await, before + 1);
}

#[tokio::test]
async fn domain_administrators_import_into_their_domain() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "watcher", "auditor").await;
    db.apply(
        "insert into directory.domain (name) values ('other.test');
        update directory.domain set max_accounts = 5, quota_bytes = 1000 where name = 'example.test';
        update directory.account set manages_domain = true where local_part = 'alice'",
    )
    .await;
    let before = accounts(&db).await;
    let auditor = Pages::log_in(&daemon, "watcher", PASSWORD).await;
    assert_eq!(auditor.get(PAGE).await.status, 403);
    assert_eq!(bring(&auditor, b"address\nx@example.test\n").await.status, 403);
    let alice = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    let text = "address,quota,aliases\nx@other.test,,\ny@example.test,2000,\nz@example.test,,z@other.test\ngood@example.test,500,\n";
    let page = bring(&alice, text.as_bytes()).await.body;
    for words in ["there is no domain other.test here", "at most 1000 bytes"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(page.matches("there is no domain other.test here").count(), 2, "{page}");
    let page = bring(&alice, b"address\na@example.test\nb@example.test\nc@example.test\n").await.body;
    assert!(page.contains("max_accounts is 5"), "{page}");
    let page = bring(&alice, b"address\na@example.test\nb@example.test\n").await.body;
    assert!(page.contains("Import 2 users"), "{page}");
    // What the rights are at the moment of the import counts.
    db.apply("update directory.account set manages_domain = false where local_part = 'alice'").await;
    assert!(press(&alice).await.location().starts_with("/admin/log-in"));
    assert_eq!(accounts(&db).await, before);
    db.apply("update directory.account set manages_domain = true where local_part = 'alice'").await;
    press(&alice).await;
    let page = over(&alice).await;
    assert!(page.contains("2 users have been made"), "{page}");
    let actor: String = db
        .value("select actor from log.audit where table_name = 'directory.account' order by id desc limit 1")
        .await;
    assert_eq!(actor, "alice@example.test");
}

#[tokio::test]
async fn ten_thousand_users_are_made_in_one_go() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let text = (1..=10_000).fold("address,display_name,password_hash,aliases\n".to_owned(), |text, n| {
        text + &format!("user{n}@example.test,User {n},{{PLAIN}}password-{n},alias{n}\n")
    });
    let started = std::time::Instant::now();
    let page = bring(&pages, text.as_bytes()).await.body;
    assert!(page.contains("Import 10000 users"), "{page}");
    eprintln!("checked after {:?}", started.elapsed());
    let started = std::time::Instant::now();
    press(&pages).await;
    let page = over(&pages).await;
    eprintln!("imported after {:?}", started.elapsed());
    assert!(page.contains("10000 users have been made"), "{page}");
    assert_eq!(accounts(&db).await, 10_003);
    assert_eq!(db.value::<i64>("select count(*) from directory.alias").await, 10_000);
    let audit: i64 = db
        .value("select count(*) from log.audit where actor = 'root' and table_name = 'directory.account'")
        .await;
    assert_eq!(audit, 10_000);
    let mut imap = daemon.imap().await;
    imap.run("LOGIN user9999@example.test password-9999").await;
}

#[tokio::test]
async fn the_command_line_imports_the_same_files() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    let before = accounts(&db).await;
    let run = |file: &File, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mailwright"))
            .args(["user", "import"])
            .arg(file.path())
            .args(more)
            .args(["--database-url", &db.url()])
            .env_remove("DATABASE_URL")
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let bad = File::new(b"address,password\nalice@example.test,\ng@example.test,short\nh@example.test,\n");
    let (good, said) = run(&bad, &[]);
    assert!(!good && said.contains("line 2, address: alice@example.test exists already"), "{said}");
    assert!(said.contains("line 3, password: ") && said.contains("2 faults, 1 line right"), "{said}");
    let file = File::new(b"address,password\ng@example.test,long-enough\nh@example.test,\n");
    let (good, said) = run(&file, &["--dry-run"]);
    assert!(good && said.contains("2 users can be imported"), "{said}");
    assert_eq!(accounts(&db).await, before);
    let (good, said) = run(&file, &[]);
    assert!(good && said.contains("2 users made"), "{said}");
    assert_eq!(accounts(&db).await, before + 2);
    let path: String = db
        .value("select path from log.audit where table_name = 'directory.account' order by id desc limit 1")
        .await;
    assert_eq!(path, "mailwright cli");
    let (good, said) = run(&File::new(b"address\nAndr\xe9@example.test\n"), &[]);
    assert!(!good && said.contains("not UTF-8"), "{said}");
}
