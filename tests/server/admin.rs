//! The administration in the browser, without script: what the pages do, who may do what, and what attackers try.

use crate::support::daemon::PASSWORD;
use crate::support::pages::{Pages, encoded};
use crate::support::{Daemon, Database};

/// An administrator of this role, with the password of everybody.
pub async fn administrator(db: &Database, name: &str, role: &str) {
    db.apply(&format!(
        "insert into control.administrator (name, password_hash, role) values ('{name}', '{{PLAIN}}{PASSWORD}', '{role}')"
    ))
    .await;
}

/// Somebody without a screen, who has logged in as root and may do everything.
pub async fn system(daemon: &Daemon<'_>) -> Pages {
    administrator(daemon.db(), "root", "system").await;
    Pages::log_in(daemon, "root", PASSWORD).await
}

/// Where the row of a page is.
fn row(page: &str, key: &str) -> String {
    format!("/admin/page/{page}/row?k={}", encoded(key))
}

/// The pages that a menu leads to.
fn menu(page: &str) -> Vec<String> {
    let links = page.split("<li><a href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_first_login_leads_to_a_password() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.administrator set password_hash = '{PLAIN}first-password', must_change_password = true where name = 'system'")
    .await;
    let pages = Pages::open(&daemon);
    let answer = pages.get("/admin/page/service?q=x").await;
    assert_eq!(answer.location(), "/admin/log-in?back=%2Fadmin%2Fpage%2Fservice%3Fq%3Dx");
    let wrong = pages.post("/admin/log-in", &[("name", "system"), ("password", "guess")]).await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.body.contains("user name or password is wrong"), "{}", wrong.body);
    let right = pages
        .post(
            "/admin/log-in",
            &[("name", "system"), ("password", "first-password"), ("back", "/admin/page/smtp")],
        )
        .await;
    assert_eq!((right.status, right.location().as_str()), (303, "/admin/page/smtp"));
    for path in ["/admin", "/admin/page/service", "/admin/page/account/new"] {
        assert_eq!(pages.get(path).await.location(), "/admin/password", "{path}");
    }
    let form = pages.get("/admin/password").await.form();
    let set = async |old: &str, new: &str, repeated: &str| {
        let fields = [("form", form.as_str()), ("old", old), ("new", new), ("repeated", repeated)];
        // Without what the page carries it is refused.
        assert_eq!(pages.post("/admin/password", &fields[1..]).await.status, 403);
        let arguments = fields.map(|(name, value)| format!("-d{name}={value}"));
        pages.curl("/admin/password", &arguments).await.status == 303
    };
    assert!(!set("first-password", "second-password", "third-password").await);
    assert!(!set("first-password", "short", "short").await);
    assert!(!set("wrong", "second-password", "second-password").await);
    assert!(set("first-password", "second-password", "second-password").await);
    assert_eq!(pages.get("/admin").await.location(), "/admin/overview");
    let hash: String =
        db.value("select password_hash::text from control.administrator where name = 'system'").await;
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    assert_eq!(Pages::log_in(&daemon, "system", "second-password").await.get("/admin").await.status, 303);
    let actor: String = db
        .value(
            "select actor from log.audit where table_name = 'control.administrator' order by id desc limit 1",
        )
        .await;
    assert_eq!(actor, "system");
}

#[tokio::test]
async fn every_page_of_the_menu_shows_its_rows() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let links = menu(&pages.page("/admin/services").await);
    assert!(links.len() > 40, "{links:?}");
    // Every table of settings is there.
    let tables: Vec<String> = db
        .rows("select relname::text from pg_class where relnamespace = 'control'::regnamespace and relkind = 'r' and relname not in ('generation', 'touched', 'lease', 'logic')")
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    for table in tables {
        assert!(links.contains(&format!("/admin/page/{table}")), "{table} has no page");
    }
    for link in &links {
        let answer = pages.get(link).await;
        let page = if answer.status == 303 { pages.page(&answer.location()).await } else { answer.body };
        assert!(page.contains("<h1>") && page.contains("aria-current=\"page\""), "{link}: {page}");
        if link.starts_with("/admin/page/") && !page.contains("class=\"fields\"") {
            assert_eq!(
                pages.get(&format!("{link}/csv")).await.header("content-type"),
                Some("text/csv; charset=utf-8"),
                "{link}"
            );
        }
    }
}

#[tokio::test]
async fn a_domain_and_a_user_are_made_and_mail_reaches_them() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let made = pages
        .post(
            "/admin/page/domain/new",
            &[("c.name", "new.test"), ("c.active", "true"), ("c.max_accounts", "0")],
        )
        .await;
    assert_eq!(made.status, 303, "{}", made.body);
    let domain: i64 = db.value("select id from directory.domain where name = 'new.test'").await;
    let fields = [
        ("c.domain_id", domain.to_string()),
        ("c.local_part", "dora d".into()),
        ("c.display_name", "Dora".into()),
        ("c.active", "true".into()),
        ("c.password", "short".into()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = pages.post("/admin/page/account/new", &fields).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("a password needs at least 8 characters"), "{}", refused.body);
    // Nothing typed is lost, and the password is not sent back.
    assert!(
        refused.body.contains("value=\"dora d\"")
            && refused.body.contains("value=\"Dora\"")
            && !refused.body.contains("short")
    );
    let mut better = fields.clone();
    better[4].1 = "dora-password";
    let refused = pages.post("/admin/page/account/new", &better).await;
    assert!(refused.body.contains("before the @ stand 1 to 64 bytes without spaces"), "{}", refused.body);
    better[1].1 = "dora";
    let made = pages.post("/admin/page/account/new", &better).await;
    assert_eq!(made.status, 303, "{}", made.body);
    let page = pages.page(&made.location()).await;
    assert!(page.contains("Stored") && page.contains("new.test") && page.contains("made it"), "{page}");
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    for (line, answer) in [
        ("EHLO client.example.net", "250"),
        ("MAIL FROM:<sender@example.net>", "250"),
        ("RCPT TO:<dora@new.test>", "250"),
        ("DATA", "354"),
    ] {
        smtp.send(line).await;
        smtp.expect(answer).await;
    }
    smtp.data("Subject: hello\r\n\r\nfirst\r\n").await;
    smtp.expect("250").await;
    let mut imap = daemon.imap().await;
    imap.run("LOGIN dora@new.test dora-password").await;
    let status = imap.run("STATUS INBOX (MESSAGES)").await;
    assert_eq!(status[0], "* STATUS INBOX (MESSAGES 1)");
    let again = pages.post("/admin/page/account/new", &better).await;
    assert!(again.body.contains("there is one with this value already"), "{}", again.body);
    // Who has changed the row meanwhile is not overwritten.
    let id: i64 = db.value("select id from directory.account where local_part = 'dora'").await;
    let key = format!("{{\"id\":{id}}}");
    let form = pages.page(&row("account", &key)).await;
    let mark = form.split("name=\"mark\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    db.apply("update directory.account set display_name = 'Theodora' where local_part = 'dora'").await;
    let mut change = better.clone();
    change.extend([("key", key.as_str()), ("mark", mark)]);
    let late = pages.post("/admin/page/account/row", &change).await;
    assert!(
        late.status == 422 && late.body.contains("somebody else has changed this meanwhile"),
        "{}",
        late.body
    );
    // Removing is asked for twice, and can be taken back.
    let path = "/admin/page/account/act";
    let sure = pages.post(path, &[("k", &key), ("do", "remove")]).await;
    assert!(sure.status == 200 && sure.body.contains("dora"), "{}", sure.body);
    assert_eq!(db.value::<i64>("select count(*) from directory.account where local_part = 'dora'").await, 1);
    let gone = pages.post(path, &[("k", &key), ("do", "remove"), ("sure", "yes")]).await;
    assert_eq!(gone.status, 303);
    assert_eq!(db.value::<i64>("select count(*) from directory.account where local_part = 'dora'").await, 0);
    let change: i64 = db.value("select max(id) from log.audit where table_name = 'directory.account'").await;
    let undone =
        pages.post("/admin/page/change/act", &[("k", &format!("{{\"id\":{change}}}")), ("do", "undo")]).await;
    assert!(undone.status == 303 && undone.location().contains("taken+back"), "{}", undone.body);
    assert_eq!(db.value::<i64>("select count(*) from directory.account where local_part = 'dora'").await, 1);
}

#[tokio::test]
async fn what_has_happened_stays_as_it_is() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    daemon.deliver("alice", "Subject: x\r\n\r\ny\r\n").await;
    db.until("select exists (select 1 from log.trace) and exists (select 1 from log.event)").await;
    for (page, table) in [("change", "audit"), ("event", "event"), ("trace", "trace")] {
        let list = pages.page(&format!("/admin/page/{page}")).await;
        assert!(!list.contains(">New</a>") && !list.contains(">Remove</button>"), "{list}");
        let count = format!("select count(*) from log.{table} where id = 1");
        let key = r#"{"id":1}"#;
        let form = pages.page(&row(page, key)).await;
        assert!(!form.contains(">Store</button>") && !form.contains("<textarea"), "{form}");
        let removed = pages
            .post(&format!("/admin/page/{page}/act"), &[("k", key), ("do", "remove"), ("sure", "yes")])
            .await;
        assert_eq!(removed.status, 422, "{}", removed.body);
        let made = pages.post(&format!("/admin/page/{page}/new"), &[("node", "x"), ("actor", "x")]).await;
        assert_eq!(made.status, 422, "{}", made.body);
        let changed = [("key", key), ("node", "x"), ("actor", "x")];
        let changed = pages.post(&format!("/admin/page/{page}/row"), &changed).await;
        assert!(changed.status == 422 || changed.status == 403, "{}", changed.body);
        assert_eq!(db.value::<i64>(&count).await, 1);
        // The role of the pages cannot, whatever a page lets by.
        let client = db.connect().await;
        for statement in [format!("delete from log.{table}"), format!("update log.{table} set at = now()")] {
            let statement = format!(
                "begin; select set_config('mailwright.kind', 'system', true), set_config('role', 'mailwright_web', true); {statement}"
            );
            let error = client.batch_execute(&statement).await.unwrap_err();
            client.batch_execute("rollback").await.unwrap();
            let said = crate::support::database::describe(&error);
            assert!(said.contains("permission denied"), "{statement}: {said}");
        }
    }
}

#[tokio::test]
async fn services_and_sessions_obey_the_pages() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let path = "/admin/page/service/act";
    let mut pop3 = daemon.pop3().await;
    let key = r#"{"name":"pop3"}"#;
    let asked = pages.post(path, &[("k", key), ("do", "stop")]).await;
    assert!(asked.body.contains("ends all sessions of this service"), "{}", asked.body);
    let stopped = pages
        .post(path, &[("k", key), ("do", "stop"), ("sure", "yes"), ("back", "/admin/page/service?q=pop3")])
        .await;
    assert!(
        stopped.location().starts_with("/admin/page/service?q=pop3&said=pop3+stops"),
        "{}",
        stopped.location()
    );
    pop3.rest().await;
    db.wait_applied().await;
    assert!(crate::support::dialogue::is_closed(daemon.port("pop3")).await);
    pages.post(path, &[("k", key), ("do", "start")]).await;
    db.wait_applied().await;
    drop(daemon.pop3().await);
    let refused = pages.post(path, &[("k", r#"{"name":"webmail"}"#), ("do", "stop"), ("sure", "yes")]).await;
    assert!(refused.status == 422 && refused.body.contains("would cut off this page"), "{}", refused.body);

    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    db.until("select exists (select 1 from live.session where login = 'alice@example.test')").await;
    assert!(pages.page("/admin/page/session?q=alice").await.contains("alice@example.test"));
    let id: i64 = db.value("select id from live.session where login = 'alice@example.test'").await;
    let key = format!("{{\"id\":{id}}}");
    pages.post("/admin/page/session/act", &[("k", &key), ("do", "terminate"), ("sure", "yes")]).await;
    imap.expect("* BYE").await;

    // A rule of an IP list, and who is in it is refused.
    pages.post("/admin/page/ip_list/new", &[("c.name", "nobody"), ("c.mode", "only these")]).await;
    let list: i64 = db.value("select id from control.ip_list where name = 'nobody'").await;
    let wrong = pages
        .post("/admin/page/ip_rule/new", &[("c.list_id", &list.to_string()), ("c.pattern", "10.x")])
        .await;
    assert!(wrong.body.contains("a pattern is like 10.0.0.1"), "{}", wrong.body);
    pages.post("/admin/page/ip_rule/new", &[("c.list_id", &list.to_string()), ("c.pattern", "10.*")]).await;
    let smtp = [
        ("key", r#"{"name":"smtp"}"#),
        ("c.name", "smtp"),
        ("c.enabled", "true"),
        ("c.ip_list_id", &list.to_string()),
        ("c.max_connections", "100"),
        ("c.max_connections_per_peer", "10"),
        ("c.max_connections_per_account", "10"),
    ];
    let stored = pages.post("/admin/page/service/row", &smtp).await;
    assert_eq!(stored.status, 303, "{}", stored.body);
    db.wait_applied().await;
    let mut smtp = crate::support::dialogue::Dialogue::plain(
        daemon.port("smtp"),
        crate::support::dialogue::Language::Smtp,
    )
    .await;
    smtp.expect("554").await;
}

#[tokio::test]
async fn lists_are_searched_sorted_and_paged() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("insert into directory.account (domain_id, local_part, display_name) select d.id, 'user' || lpad(n::text, 3, '0'), case when n % 3 > 0 then 'Name ' || (n % 7) end from directory.domain d, generate_series(1, 180) n where d.name = 'example.test'").await;
    let pages = system(&daemon).await;
    for order in ["", "?by=display_name", "?by=display_name&way=down", "?by=local_part&way=down"] {
        let mut seen: Vec<String> = Vec::new();
        let mut path = format!("/admin/page/account{order}");
        loop {
            let page = pages.page(&path).await;
            seen.extend(
                page.split("name=\"k\" value=\"")
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next())
                    .map(str::to_owned),
            );
            match page.split("class=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()) {
                Some(next) => path = next.replace("&#38;", "&"),
                None => break,
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((count, seen.len()), (183, 183), "{order}");
    }
    let found = pages.page("/admin/page/account?q=USER17&by=local_part&way=down").await;
    let first = found.find("user179").unwrap();
    assert!(first < found.find("user170").unwrap() && !found.contains("user169"));
    // By an address or a part of it, and by what the row refers to.
    db.apply("insert into directory.domain (name) values ('other.test'); insert into directory.account (domain_id, local_part) select id, 'user179' from directory.domain where name = 'other.test'").await;
    for (words, rows) in [
        ("user179%40example.test", 1),
        ("USER179%40Other.Test", 1),
        ("179%40", 2),
        ("9%40oth", 1),
        ("other.test", 1),
        ("user17%40example.test", 0),
        ("nowhere.test", 0),
        ("%40", 50),
        ("%25%40_xample.test", 0),
    ] {
        let found = pages.page(&format!("/admin/page/account?q={words}")).await;
        assert_eq!(found.matches("name=\"k\"").count(), rows, "{words}: {found}");
    }
    db.apply("delete from directory.domain where name = 'other.test'").await;
    // Signs of LIKE mean themselves.
    assert!(pages.page("/admin/page/account?q=%25").await.contains("Nothing matches"));
    let csv = pages.get("/admin/page/account/csv?q=user00").await.body;
    assert_eq!(csv.lines().count(), 10, "{csv}");
    assert!(csv.starts_with("id,domain_id,local_part,"), "{csv}");

    // All of these rows are exported, each once, in whatever order.
    db.apply("insert into directory.account (domain_id, local_part) select d.id, 'more' || n from directory.domain d, generate_series(1, 6100) n where d.name = 'example.test'").await;
    for order in ["", "?by=display_name&way=down"] {
        let csv = pages.get(&format!("/admin/page/account/csv{order}")).await.body;
        let mut ids: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((count, ids.len()), (6283, 6283), "{order}");
    }
    // A button takes so many rows and says so; nothing is done to the first of too many.
    let keys: Vec<String> = (1..=1001).map(|id| format!("{{\"id\":{id}}}")).collect();
    let mut fields: Vec<(&str, &str)> = keys.iter().map(|key| ("k", key.as_str())).collect();
    fields.extend([("do", "remove"), ("sure", "yes")]);
    let refused = pages.post("/admin/page/account/act", &fields).await;
    assert!(refused.status == 422 && refused.body.contains("at most 1000 rows"), "{}", refused.body);
    assert_eq!(db.value::<i64>("select count(*) from directory.account").await, 6283);
}

#[tokio::test]
async fn of_too_many_to_choose_from_one_is_named() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("insert into directory.domain (name) select 'd' || lpad(n::text, 4, '0') || '.test' from generate_series(1, 400) n").await;
    let pages = system(&daemon).await;
    let form = pages.page("/admin/page/account/new").await;
    assert!(form.contains("name=\"n.domain_id\"") && form.contains("<datalist"), "{form}");
    assert!(!form.contains("d0399.test"), "not all of them are proposed");
    let fields = |domain| {
        [("n.domain_id", domain), ("c.local_part", "dora"), ("c.active", "true"), ("c.forward_keep", "true")]
    };
    // Somebody else's key is no name: what is typed is a name, always.
    for unknown in ["d9999.test", "1", "'; drop table directory.domain; --"] {
        let refused = pages.post("/admin/page/account/new", &fields(unknown)).await;
        assert!(
            refused.status == 422 && refused.body.contains("none that is called so"),
            "{unknown}: {}",
            refused.body
        );
        assert!(refused.body.contains("value=\"dora\""), "{unknown}: nothing typed is lost");
    }
    let made = pages.post("/admin/page/account/new", &fields("d0399.test")).await;
    assert_eq!(made.status, 303, "{}", made.body);
    let path = made.location();
    let domain: String =
        db.value("select d.name from directory.account a join directory.domain d on d.id = a.domain_id where a.local_part = 'dora'").await;
    assert_eq!(domain, "d0399.test");
    // Who has an address is named by it; the local part will do while only one has it.
    db.apply("insert into directory.account (domain_id, local_part) select id, 'alice' from directory.domain where name = 'd0001.test'").await;
    db.apply("insert into directory.account (domain_id, local_part) select id, 'u' || n from directory.domain, generate_series(1, 300) n where name = 'd0002.test'").await;
    for (typed, status) in [
        ("Alice@d0001.test", 303),
        ("bob", 303),
        ("alice", 422),
        ("alice@d0002.test", 422),
        ("@d0001.test", 422),
        ("alice@", 422),
    ] {
        let fields =
            [("n.account_id", typed), ("c.capability", "IDLE"), ("c.client", "*"), ("c.reason", "x")];
        let made = pages.post("/admin/page/imap_capability/new", &fields).await;
        assert_eq!(made.status, status, "{typed}: {}", made.body);
        if status == 303 {
            let form = pages.page(&made.location()).await;
            let named = if typed == "bob" { "bob@example.test" } else { "alice@d0001.test" };
            assert!(form.contains(&format!("value=\"{named}\"")), "{form}");
        }
    }
    let listed = pages.page("/admin/page/imap_capability?q=alice").await;
    assert!(listed.contains("alice@d0001.test") && !listed.contains(">bob@example.test</td>"), "{listed}");
    // The form of the row has the name of the one that is chosen, although it is not among the first.
    let form = pages.page(&path).await;
    assert!(form.contains("name=\"n.domain_id\"") && form.contains("value=\"d0399.test\""), "{form}");
}

#[tokio::test]
async fn each_kind_of_administrator_sees_and_does_what_is_his() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let system = system(&daemon).await;
    administrator(&db, "watcher", "auditor").await;
    db.apply("insert into directory.domain (name, max_accounts) values ('other.test', 5);
        insert into directory.account (domain_id, local_part) select id, 'olga' from directory.domain where name = 'other.test';
        insert into directory.alias (domain_id, local_part, targets) select id, 'info', '{olga@other.test}' from directory.domain where name = 'other.test';
        update directory.account set manages_domain = true where local_part = 'alice'").await;
    let auditor = Pages::log_in(&daemon, "watcher", PASSWORD).await;
    let alice = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    let olga: i64 = db.value("select id from directory.account where local_part = 'olga'").await;
    let bob: i64 = db.value("select id from directory.account where local_part = 'bob'").await;
    let (other, own): (i64, i64) = (
        db.value("select id from directory.domain where name = 'other.test'").await,
        db.value("select id from directory.domain where name = 'example.test'").await,
    );
    let everything = menu(&system.page("/admin/services").await);
    let before: i64 = db.value("select max(id) from log.audit").await;

    // An auditor sees all pages, and nothing that he sends does anything.
    for link in &everything {
        let page = auditor.get(link).await;
        let page = if page.status == 303 { auditor.page(&page.location()).await } else { page.body };
        assert!(
            !page.contains("/new\"") && !page.contains("name=\"do\"") && !page.contains("class=\"fields\""),
            "{link}: {page}"
        );
        for (path, fields) in [
            (format!("{link}/new"), vec![("c.name", "x"), ("c.local_part", "x"), ("c.domain_id", "1")]),
            (format!("{link}/row"), vec![("key", r#"{"only_row":true}"#), ("c.max_errors", "9")]),
            (format!("{link}/row"), vec![("key", r#"{"id":1}"#), ("c.name", "x"), ("c.local_part", "x")]),
        ] {
            assert_ne!(auditor.post(&path, &fields).await.status, 303, "{path}");
        }
        for action in ["remove", "stop", "terminate", "undo", "cancel", "unlock", "log_out"] {
            for key in [r#"{"id":1}"#, r#"{"name":"smtp"}"#, r#"{"key":"x"}"#] {
                let answer = auditor
                    .post(&format!("{link}/act"), &[("k", key), ("do", action), ("sure", "yes")])
                    .await;
                assert_ne!(answer.status, 303, "{link} {action}");
            }
        }
    }
    assert_eq!(
        db.value::<i64>("select max(id) from log.audit").await,
        before,
        "an auditor has changed something"
    );

    // A domain administrator has the pages of his domain; the others are refused, and what others have is not there.
    let his = menu(&alice.page("/admin/page/account").await);
    let expected = [
        "/admin/overview",
        "/admin/page/session",
        "/admin/find",
        "/admin/page/change",
        "/admin/page/login",
        "/admin/page/domain",
        "/admin/page/account",
        "/admin/page/alias",
        "/admin/page/dns_record",
        "/admin/import",
    ];
    assert_eq!(his, expected);
    for link in everything.iter().filter(|link| !his.contains(link)) {
        assert_eq!(alice.get(link).await.status, 403, "{link}");
        if !link.starts_with("/admin/page/") {
            continue;
        }
        assert_eq!(alice.get(&format!("{link}/csv")).await.status, 403, "{link}");
        for key in [r#"{"id":1}"#, r#"{"only_row":true}"#, r#"{"name":"smtp"}"#] {
            let page = link.rsplit('/').next().unwrap();
            assert_eq!(alice.get(&row(page, key)).await.status, 403, "{link} {key}");
            assert_eq!(
                alice.post(&format!("{link}/row"), &[("key", key), ("c.enabled", "true")]).await.status,
                403,
                "{link}"
            );
            assert_eq!(
                alice
                    .post(&format!("{link}/act"), &[("k", key), ("do", "remove"), ("sure", "yes")])
                    .await
                    .status,
                403,
                "{link}"
            );
        }
    }
    let page = alice.page("/admin/page/account").await;
    assert!(page.contains("bob") && !page.contains("olga"), "{page}");
    assert!(!alice.page("/admin/page/alias").await.contains("olga@other.test"));
    assert!(!alice.page("/admin/page/domain").await.contains("other.test"));
    let olga = format!("{{\"id\":{olga}}}");
    assert_eq!(alice.get(&row("account", &olga)).await.status, 404);
    let steal = alice
        .post(
            "/admin/page/account/row",
            &[("key", &olga), ("c.domain_id", &own.to_string()), ("c.local_part", "olga")],
        )
        .await;
    assert!(steal.status == 422 && steal.body.contains("not there any more"), "{}", steal.body);
    let removed =
        alice.post("/admin/page/account/act", &[("k", &olga), ("do", "remove"), ("sure", "yes")]).await;
    assert!(removed.location().contains("no+such+row"), "{}", removed.location());
    let bob = format!("{{\"id\":{bob}}}");
    for domain in [other, 999] {
        let domain = domain.to_string();
        let push = alice
            .post(
                "/admin/page/account/row",
                &[("key", &bob), ("c.domain_id", &domain), ("c.local_part", "bob"), ("c.active", "true")],
            )
            .await;
        assert_eq!(push.status, 422, "{}", push.body);
        let make =
            alice.post("/admin/page/account/new", &[("c.domain_id", &domain), ("c.local_part", "spy")]).await;
        assert_eq!(make.status, 422, "{}", make.body);
    }
    // The limits of the domain are not his to change.
    let domain = format!("{{\"id\":{own}}}");
    let raise = alice
        .post(
            "/admin/page/domain/row",
            &[("key", &domain), ("c.name", "example.test"), ("c.active", "true"), ("c.max_accounts", "7")],
        )
        .await;
    assert!(
        raise.status == 422
            && raise.body.contains("only a system administrator may change the name and the limits"),
        "{}",
        raise.body
    );
    let changes: i64 = db.value(&format!("select count(*) from log.audit where id > {before}")).await;
    assert_eq!(changes, 0, "something was changed that was not his");
    // What is his he changes, under his name.
    let named = alice
        .post(
            "/admin/page/account/row",
            &[
                ("key", &bob),
                ("c.domain_id", &own.to_string()),
                ("c.local_part", "bob"),
                ("c.active", "true"),
                ("c.display_name", "Robert"),
            ],
        )
        .await;
    assert_eq!(named.status, 303, "{}", named.body);
    let audit = db.rows("select actor, peer, path from log.audit order by id desc limit 1").await;
    let audit: Vec<String> = (0..3).map(|at| audit[0].get(at)).collect();
    assert_eq!(audit, ["alice@example.test", "127.0.0.1", "web pages"]);
    // Who may no longer, may no longer at once.
    db.apply("update directory.account set manages_domain = false where local_part = 'alice'").await;
    assert!(alice.get("/admin/page/account").await.location().starts_with("/admin/log-in"));
}

#[tokio::test]
async fn a_user_sees_and_changes_his_own_account_alone() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let system = system(&daemon).await;
    db.apply("insert into directory.domain (name) values ('other.test');
        insert into directory.account (domain_id, local_part, password_hash) select id, 'olga', '{PLAIN}mailwright' from directory.domain where name = 'other.test';
        insert into directory.alias (domain_id, local_part, targets) select id, 'sales', '{Bob@Example.test,carol@example.test}' from directory.domain where name = 'other.test';
        insert into directory.alias (domain_id, local_part, targets) select id, 'boss', '{alice@example.test}' from directory.domain where name = 'example.test';
        update directory.account set manages_domain = true where local_part = 'alice'").await;
    let accounts = ["alice", "bob", "carol", "olga"];
    let mut ids = std::collections::HashMap::new();
    for name in accounts {
        let id: i64 =
            db.value(&format!("select id from directory.account where local_part = '{name}'")).await;
        ids.insert(name, id);
    }
    let key = |name: &str| format!("{{\"id\":{}}}", ids[name]);
    let _alice = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    let _olga = Pages::log_in(&daemon, "olga@other.test", PASSWORD).await;
    let bob = Pages::log_in(&daemon, "bob@example.test", PASSWORD).await;
    let mut imap = daemon.imap().await;
    imap.login("bob").await;
    let mut others = daemon.imap().await;
    others.login("carol").await;
    db.until("select count(*) = 2 from live.session where service = 'imap' and login is not null").await;
    db.wait_applied().await;
    let before: i64 = db.value("select max(id) from log.audit").await;
    let own_path = bob.get("/admin").await.location();
    let mine = bob.page(&own_path).await;
    let everything = menu(&system.page("/admin/page/service").await);
    let his = menu(&mine);
    let expected = ["my_account", "my_alias", "my_mailbox_view", "session", "login"]
        .map(|page| format!("/admin/page/{page}"));
    assert_eq!(his.iter().collect::<std::collections::BTreeSet<_>>(), expected.iter().collect());

    // Every page, form and button of others is refused, whatever number he guesses.
    let mut links: Vec<String> = everything.iter().filter(|link| !his.contains(link)).cloned().collect();
    links.extend(["/admin/page/account".to_owned(), "/admin/page/nothing".to_owned()]);
    let actions: Vec<String> =
        db.rows("select distinct proname::text from pg_proc where pronamespace = 'admin'::regnamespace and pronargs = 1").await.iter().map(|row| row.get(0)).collect();
    assert!(actions.len() >= 10, "{actions:?}");
    for link in &links {
        let closed = |status: u16| matches!(status, 403..=405);
        for path in [link.clone(), format!("{link}/csv"), format!("{link}/new")] {
            let answer = bob.get(&path).await;
            assert!(closed(answer.status), "{path}: {}", answer.status);
        }
        for key in [
            key("bob"),
            key("carol"),
            r#"{"only_row":true}"#.into(),
            r#"{"name":"smtp"}"#.into(),
            r#"{"name":"root"}"#.into(),
        ] {
            let page = link.rsplit('/').next().unwrap();
            assert!(closed(bob.get(&row(page, &key)).await.status), "{link} {key}");
            let fields = [
                ("key", key.as_str()),
                ("c.active", "true"),
                ("c.enabled", "true"),
                ("c.local_part", "bob"),
                ("c.role", "system"),
            ];
            assert!(closed(bob.post(&format!("{link}/row"), &fields).await.status), "{link} {key}");
        }
        let fields = [
            ("c.name", "spy"),
            ("c.local_part", "spy"),
            ("c.domain_id", "1"),
            ("c.password", "spy-password"),
        ];
        assert!(closed(bob.post(&format!("{link}/new"), &fields).await.status), "{link}");
        let fields = [("k", r#"{"id":1}"#), ("do", "remove"), ("sure", "yes")];
        assert!(closed(bob.post(&format!("{link}/act"), &fields).await.status), "{link}");
    }
    for link in &his {
        for action in actions.iter().map(String::as_str).chain(["remove", "page_act", "undo"]) {
            if matches!(
                (link.as_str(), action),
                ("/admin/page/session", "terminate") | ("/admin/page/login", "log_out")
            ) {
                continue;
            }
            let fields = [("k", r#"{"id":1}"#), ("do", action), ("sure", "yes")];
            let answer = bob.post(&format!("{link}/act"), &fields).await;
            assert_ne!(answer.status, 303, "{link} {action}");
        }
        let made = bob
            .post(
                &format!("{link}/new"),
                &[("c.id", "77"), ("c.address", "x@example.test"), ("c.login", "root")],
            )
            .await;
        assert_ne!(made.status, 303, "{link}");
    }
    for path in ["/admin/import", "/admin/mailbox/1"] {
        assert_eq!(bob.get(path).await.status, 403, "{path}");
    }
    for name in accounts {
        let path = format!("/admin/mailbox/{}", ids[name]);
        assert_eq!(bob.get(&path).await.status, 403, "{path}");
        assert_eq!(bob.post(&path, &[("do", "open"), ("reason", "curious")]).await.status, 403, "{path}");
    }
    // Of accounts, sessions and logins he finds his own.
    for name in ["alice", "carol", "olga"] {
        assert_eq!(bob.get(&row("my_account", &key(name))).await.status, 404, "{name}");
        let change =
            bob.post("/admin/page/my_account/row", &[("key", &key(name)), ("c.display_name", "x")]).await;
        assert!(change.status == 422 && change.body.contains("not there any more"), "{}", change.body);
    }
    for (table, page, action) in
        [("live.session", "session", "terminate"), ("live.web_session", "login", "log_out")]
    {
        let rows =
            db.rows(&format!("select id from {table} where login is distinct from 'bob@example.test'")).await;
        assert!(!rows.is_empty());
        for other in rows {
            let key = format!("{{\"id\":{}}}", other.get::<_, i64>(0));
            assert_eq!(bob.get(&row(page, &key)).await.status, 404, "{page}");
            let answer = bob
                .post(&format!("/admin/page/{page}/act"), &[("k", &key), ("do", action), ("sure", "yes")])
                .await;
            assert!(answer.location().contains("no+such+row"), "{}", answer.location());
        }
        let csv = bob.get(&format!("/admin/page/{page}/csv")).await.body;
        assert!(csv.contains("bob@example.test"), "{csv}");
        for other in ["alice@", "carol@", "olga@", "root"] {
            assert!(!csv.contains(other), "{csv}");
        }
    }
    let aliases = bob.page("/admin/page/my_alias").await;
    assert!(
        aliases.contains("sales@other.test") && !aliases.contains("boss") && !aliases.contains("carol"),
        "{aliases}"
    );
    assert_eq!(
        db.value::<i64>("select max(id) from log.audit").await,
        before,
        "a user has changed what is not his"
    );

    // Below the pages: what the role sees and may do in his name, of every table.
    let client = db.connect().await;
    let act_as = format!(
        "begin; select set_config('mailwright.kind', 'user', true), set_config('mailwright.account', '{}', true), set_config('mailwright.actor', 'bob@example.test', true); set local role mailwright_web",
        ids["bob"]
    );
    let tables = db.rows("select n.nspname || '.' || c.relname, c.relname::text, quote_ident(min(a.attname)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attnum = 1
        where c.relkind = 'r' and n.nspname in ('control', 'directory', 'queue', 'live', 'log', 'screen')
          and c.relname not in ('generation', 'touched', 'lease', 'logic', 'sql_login') group by 1, 2").await;
    for table in &tables {
        let (name, first): (String, String) = (table.get(0), table.get(2));
        client.batch_execute(&act_as).await.unwrap();
        let seen: i64 =
            client.query_one(&format!("select count({first}) from {name}"), &[]).await.unwrap().get(0);
        let own = match name.as_str() {
            "directory.account" => seen == 1,
            "live.session" | "live.web_session" => (1..=3).contains(&seen),
            _ => seen == 0,
        };
        assert!(own, "{name}: {seen}");
        if !matches!(name.as_str(), "live.session" | "live.web_session") {
            let gone = client.execute(&format!("delete from {name}"), &[]).await.map_or(0, |gone| gone);
            assert_eq!(gone, 0, "{name}");
        }
        client.batch_execute("rollback").await.unwrap();
    }
    for attempt in [
        "update directory.account set manages_domain = true",
        "update directory.account set password_hash = '{PLAIN}stolen'",
        "update directory.account set quota_bytes = 0",
        "update directory.account set domain_id = domain_id + 1",
        "update directory.account set forbidden_services = '{}', mail_from_policy = 'any'",
        "insert into directory.account (domain_id, local_part) select domain_id, 'spy' from directory.account",
        "insert into directory.alias (domain_id, local_part, targets) select domain_id, 'spy', '{bob@example.test}' from directory.account",
        "insert into control.administrator (name, role) values ('spy', 'system')",
        "insert into live.web_session (token_hash, kind, login, peer) values (decode(repeat('00', 32), 'hex'), 'system', 'root', '127.0.0.1')",
        "select password_hash from directory.account",
        "select logic.note_view(1, '{}')",
        "select * from store.message",
    ] {
        client.batch_execute(&act_as).await.unwrap();
        assert!(client.batch_execute(attempt).await.is_err(), "{attempt}");
        client.batch_execute("rollback").await.unwrap();
    }

    // What is his he changes, under his name; what is no field of the form is not heard.
    let own = key("bob");
    let fields = [
        ("key", own.as_str()),
        ("c.display_name", "Robert"),
        ("c.forward_to", "bob@example.net"),
        ("c.forward_keep", "true"),
        ("c.manages_domain", "true"),
        ("c.quota_bytes", "0"),
        ("c.used_bytes", "0"),
        ("c.address", "alice@example.test"),
        ("c.id", "1"),
    ];
    assert_eq!(bob.post("/admin/page/my_account/row", &fields).await.status, 303);
    let stored = db.rows("select display_name, forward_to, manages_domain, quota_bytes from directory.account where local_part = 'bob'").await;
    assert_eq!(stored[0].get::<_, String>(0), "Robert");
    assert_eq!(stored[0].get::<_, Vec<String>>(1), ["bob@example.net"]);
    assert_eq!((stored[0].get::<_, bool>(2), stored[0].get::<_, Option<i64>>(3)), (false, None));
    let actor: String = db.value("select actor from log.audit order by id desc limit 1").await;
    assert_eq!(actor, "bob@example.test");
    db.apply("update directory.domain set users_may_forward = false where name = 'example.test'").await;
    let refused = bob
        .post(
            "/admin/page/my_account/row",
            &[("key", &own), ("c.display_name", "Robert"), ("c.forward_to", "x@example.net")],
        )
        .await;
    assert!(refused.status == 422 && refused.body.contains("does not let users forward"), "{}", refused.body);
    let long = "x".repeat(201);
    let refused = bob
        .post(
            "/admin/page/my_account/row",
            &[
                ("key", &own),
                ("c.display_name", &long),
                ("c.forward_to", "bob@example.net"),
                ("c.forward_keep", "true"),
            ],
        )
        .await;
    assert!(refused.status == 422 && refused.body.contains("at most 200 characters"), "{}", refused.body);
    // His sessions he ends.
    let id: i64 =
        db.value("select id from live.session where login = 'bob@example.test' and service = 'imap'").await;
    let session = format!("{{\"id\":{id}}}");
    bob.post("/admin/page/session/act", &[("k", &session), ("do", "terminate"), ("sure", "yes")]).await;
    imap.expect("* BYE").await;
    others.run("NOOP").await;
    // His password, with the old one.
    let password = async |old: &str, new: &str| {
        bob.post("/admin/password", &[("old", old), ("new", new), ("repeated", new)]).await.status
    };
    assert_eq!(password("guess", "bobs-new-password").await, 422);
    assert_eq!(password(PASSWORD, "short").await, 422);
    assert_eq!(password(PASSWORD, "bobs-new-password").await, 303);
    let mut imap = daemon.imap().await;
    imap.run("LOGIN bob@example.test bobs-new-password").await;
    let actor: String = db
        .value("select actor from log.audit where table_name = 'directory.account' order by id desc limit 1")
        .await;
    assert_eq!(actor, "bob@example.test");
    // His second factor has its page.
    assert!(bob.page("/admin/second-factor").await.contains("<svg"));
    // Who may not use these pages, may not; who may no longer, may no longer at once.
    db.apply("update directory.account set forbidden_services = '{webmail}' where local_part = 'carol'")
        .await;
    db.wait_applied().await;
    let refused = Pages::open(&daemon)
        .post("/admin/log-in", &[("name", "carol@example.test"), ("password", PASSWORD)])
        .await;
    assert!(refused.status == 403 && refused.body.contains("may not use webmail"), "{}", refused.body);
    db.apply("update directory.account set active = false where local_part = 'bob'").await;
    assert!(bob.get("/admin/page/session").await.location().starts_with("/admin/log-in"));
}

#[tokio::test]
async fn a_domain_administrator_takes_back_what_is_his() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("insert into directory.domain (name) values ('other.test');
        insert into directory.account (domain_id, local_part) select id, 'olga' from directory.domain where name = 'other.test';
        update directory.account set manages_domain = true where local_part = 'alice'").await;
    let (other, own): (i64, i64) = (
        db.value("select id from directory.domain where name = 'other.test'").await,
        db.value("select id from directory.domain where name = 'example.test'").await,
    );
    let alice = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    let last = async |table: &str| -> i64 {
        db.value(&format!("select max(id) from log.audit where table_name = '{table}'")).await
    };
    let undo = async |change: i64| {
        alice.post("/admin/page/change/act", &[("k", &format!("{{\"id\":{change}}}")), ("do", "undo")]).await
    };
    let bob: i64 = db.value("select id from directory.account where local_part = 'bob'").await;
    let key = format!("{{\"id\":{bob}}}");
    let domain = own.to_string();
    let fields = [
        ("key", &*key),
        ("c.domain_id", &domain),
        ("c.local_part", "bob"),
        ("c.active", "true"),
        ("c.forward_keep", "true"),
    ];
    let named =
        alice.post("/admin/page/account/row", &[&fields[..], &[("c.display_name", "Robert")]].concat()).await;
    assert_eq!(named.status, 303, "{}", named.body);
    let named = last("directory.account").await;
    let page = alice.page("/admin/page/change").await;
    assert!(page.contains("alice@example.test") && page.contains("directory.account"), "{page}");
    let csv = alice.page("/admin/page/change/csv").await;
    assert!(!csv.contains("olga") && !csv.contains("control.") && csv.contains("bob"), "{csv}");
    assert!(!csv.contains("{PLAIN}") && !csv.contains("$argon2") && csv.contains("(hidden)"), "{csv}");
    let history = alice.page(&row("account", &format!("{{\"id\":{bob}}}"))).await;
    assert!(history.contains("Robert") && history.contains("<h2>History</h2>"), "{history}");
    // His own change, and one that a system administrator has made to what is his to change.
    let name = "select coalesce(display_name, '') from directory.account where local_part = 'bob'";
    let undone = undo(named).await;
    assert!(undone.status == 303 && undone.location().contains("taken+back"), "{}", undone.body);
    assert_eq!(db.value::<String>(name).await, "");
    let audit = db.rows("select actor, undoes from log.audit order by id desc limit 1").await;
    assert_eq!(
        (audit[0].get::<_, String>(0).as_str(), audit[0].get::<_, i64>(1)),
        ("alice@example.test", named)
    );
    db.apply("update directory.account set display_name = 'Bobby' where local_part = 'bob'").await;
    assert_eq!(undo(last("directory.account").await).await.status, 303);
    assert_eq!(db.value::<String>(name).await, "");
    // A row that is gone comes back, with what his page can say of it.
    db.apply(&format!("insert into directory.alias (domain_id, local_part, targets) values ({own}, 'sales', '{{bob@example.test}}')")).await;
    let made = last("directory.alias").await;
    db.apply("delete from directory.alias where local_part = 'sales'").await;
    assert_eq!(undo(last("directory.alias").await).await.status, 303);
    let sales = "select count(*) from directory.alias where local_part = 'sales'";
    assert_eq!(db.value::<i64>(sales).await, 1);
    assert_eq!(undo(made).await.status, 303);
    assert_eq!(db.value::<i64>(sales).await, 0);
    // What he may not do on a page he may not do by taking back: limits that others set, what was or is another domain's, settings.
    db.apply("update directory.account set max_messages_per_hour = 5 where local_part = 'bob'").await;
    let limited = last("directory.account").await;
    db.apply(
        "update directory.account set max_messages_per_hour = 6, display_name = 'B' where local_part = 'bob'",
    )
    .await;
    let both = last("directory.account").await;
    db.apply(
        "update directory.account set password_hash = '{PLAIN}another-password' where local_part = 'carol'",
    )
    .await;
    let secret = last("directory.account").await;
    db.apply("update directory.account set display_name = 'Olga' where local_part = 'olga'").await;
    let foreign = last("directory.account").await;
    db.apply(&format!("update directory.account set domain_id = {other} where local_part = 'carol'")).await;
    let moved = last("directory.account").await;
    db.apply("update control.smtp set max_errors = max_errors + 1").await;
    let setting = last("control.smtp").await;
    db.apply(&format!("update directory.domain set max_accounts = 50 where id = {own}")).await;
    let domain = last("directory.domain").await;
    let before: i64 = db.value("select max(id) from log.audit").await;
    for (change, visible) in [
        (limited, true),
        (both, true),
        (secret, true),
        (foreign, false),
        (moved, false),
        (setting, false),
        (domain, false),
        (1, false),
    ] {
        let seen = alice.get(&row("change", &format!("{{\"id\":{change}}}"))).await.status;
        assert_eq!(seen, if visible { 200 } else { 404 }, "{change}");
        let answer = undo(change).await;
        if visible {
            assert!(
                answer.status == 422 && answer.body.contains("role=\"alert\""),
                "{change}: {}",
                answer.body
            );
        } else {
            assert!(answer.location().contains("no+such+row"), "{change}: {}", answer.body);
        }
    }
    assert_eq!(
        db.value::<i64>("select max(id) from log.audit").await,
        before,
        "something was taken back that was not his"
    );
    // By the functions themselves it is no other.
    let alice_id: i64 = db.value("select id from directory.account where local_part = 'alice'").await;
    let client = db.connect().await;
    for (call, says) in [
        (format!("logic.undo_any({setting})"), "only a system administrator"),
        (format!("logic.undo_own({setting})"), "there is no such change"),
        (format!("logic.undo_own({foreign})"), "there is no such change"),
        (format!("control.undo({limited})"), "permission denied"),
    ] {
        let statement = format!(
            "begin; select set_config('mailwright.kind', 'domain', true), set_config('mailwright.account', '{alice_id}', true),
               set_config('mailwright.daemon', 'off', true), set_config('role', 'mailwright_web', true); select {call}"
        );
        let error = client.batch_execute(&statement).await.unwrap_err();
        client.batch_execute("rollback").await.unwrap();
        let said = crate::support::database::describe(&error);
        assert!(said.contains(says), "{call}: {said}");
    }
    db.apply(&format!("update directory.account set domain_id = {own} where local_part = 'carol'")).await;
}

#[tokio::test]
async fn sessions_end_and_cannot_be_planted() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    let planted = "a".repeat(64);
    let pages = Pages::open(&daemon);
    let cookie = format!("-HCookie: mailwright_admin={planted}");
    let answer = pages
        .curl("/admin/log-in", &[cookie.clone(), "-dname=root".into(), format!("-dpassword={PASSWORD}")])
        .await;
    let set = answer.header("set-cookie").unwrap().to_owned();
    assert!(!set.contains(&planted), "{set}");
    for part in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let other = Pages::open(&daemon).curl("/admin/page/service", &[cookie]).await;
    assert!(other.location().starts_with("/admin/log-in"));
    let hashes: i64 =
        db.value("select count(*) from live.web_session where octet_length(token_hash) = 32").await;
    assert_eq!(hashes, 1);
    pages.page("/admin/services").await;
    // Its time is over, or its row is gone.
    db.sql("update live.web_session set seen_at = now() - interval '31 minutes'").await;
    assert_eq!(pages.get("/admin").await.location(), "/admin/log-in?back=%2Fadmin");
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    db.sql("update live.web_session set since = now() - interval '13 hours'").await;
    assert!(pages.get("/admin").await.location().starts_with("/admin/log-in"));
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    db.sql("delete from live.web_session").await;
    assert!(pages.get("/admin").await.location().starts_with("/admin/log-in"));
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    assert_eq!(pages.post("/admin/log-out", &[]).await.location(), "/admin/log-in");
    assert_eq!(db.value::<i64>("select count(*) from live.web_session").await, 0);
    // After too many wrong passwords the right one is refused too.
    let stranger = Pages::open(&daemon);
    for _ in 0..10 {
        stranger.post("/admin/log-in", &[("name", "root"), ("password", "guess")]).await;
    }
    let locked = stranger.post("/admin/log-in", &[("name", "root"), ("password", PASSWORD)]).await;
    assert!(locked.status == 403 && locked.body.contains("locked"), "{}", locked.body);
    // A login never leads to another site.
    for back in ["https://evil.test/", "//evil.test", "/\\evil.test", "/admin\r\nX: y"] {
        let page = stranger.get(&format!("/admin/log-in?back={}", encoded(back))).await;
        assert!(page.body.contains("name=\"back\" value=\"/admin\""), "{back}: {}", page.body);
    }
}

#[tokio::test]
async fn forms_of_other_sites_are_refused() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let before: i64 = db.value("select max(id) from log.audit").await;
    for path in [
        "/admin/page/domain/new",
        "/admin/page/smtp/row",
        "/admin/page/service/act",
        "/admin/log-out",
        "/admin/password",
    ] {
        for form in ["", "form=", "form=0000", "form=%00"] {
            let fields = format!(
                "-d{form}&do=stop&k=%7B%22name%22%3A%22imap%22%7D&sure=yes&c.name=evil.test&key=%7B%22only_row%22%3Atrue%7D"
            );
            assert_eq!(pages.curl(path, &[fields]).await.status, 403, "{path} {form}");
        }
    }
    let fields = [("c.name", "evil.test"), ("c.active", "true"), ("c.max_accounts", "0")];
    let mut arguments = vec!["-HSec-Fetch-Site: cross-site".to_owned()];
    arguments.push(format!("-dform={}", pages.get("/admin/page/domain").await.form()));
    arguments.extend(fields.map(|(name, value)| format!("-d{name}={value}")));
    assert_eq!(pages.curl("/admin/page/domain/new", &arguments).await.status, 403);
    arguments[0] = "-HSec-Fetch-Site: same-origin".to_owned();
    assert_eq!(db.value::<i64>("select max(id) from log.audit").await, before);
    assert_eq!(pages.curl("/admin/page/domain/new", &arguments).await.status, 303);
    // Each of them is in the log: 20 forms, and the one that another site has sent.
    db.until(
        "select count(*) = 21 from log.event where message = 'a request to the pages was refused'
        and fields ->> 'method' = 'POST' and fields ->> 'status' = '403' and host(peer) = '127.0.0.1'",
    )
    .await;
    for path in ["/admin/page/service", "/admin/log-in", "/static/pages.css", "/nothing"] {
        let answer = pages.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'")
                && policy.contains("frame-ancestors 'none'")
                && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    }
}

#[tokio::test]
async fn hostile_names_stay_text() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let evil =
        r#"<script>alert(1)</script>"><img src=x onerror=alert(1)> '; drop table directory.account; --"#;
    let quoted = evil.replace('\'', "''");
    db.apply(&format!(
        "update directory.account set display_name = '{quoted}' where local_part = 'bob';
         insert into control.ip_list (name, comment) values ('{quoted}', '{quoted}');
         insert into control.ip_rule (list_id, pattern, comment) select id, '10.*', '{quoted}' from control.ip_list;
         insert into live.login_failure (key, failures) values ('account:{quoted}', 3);
         insert into queue.message (sender, content_id, size) select 'x', 1, 1 where false;
         comment on column control.ip_list.comment is '{quoted}'"
    ))
    .await;
    let pages_with_it = ["account", "ip_list", "ip_rule", "lock", "change", "session", "domain"];
    for page in pages_with_it {
        let text = pages.page(&format!("/admin/page/{page}")).await;
        assert!(!text.contains("<script>") && !text.contains("<img"), "{page}: {text}");
    }
    let bob: i64 = db.value("select id from directory.account where local_part = 'bob'").await;
    for path in [
        row("account", &format!("{{\"id\":{bob}}}")),
        row(
            "ip_list",
            &format!("{{\"id\":{}}}", db.value::<i64>("select max(id) from control.ip_list").await),
        ),
        format!("/admin/page/account?q={0}&said={0}&is.local_part={0}&by={0}&way={0}", encoded(evil)),
        format!("/admin/page/account/new?local_part={0}&display_name={0}", encoded(evil)),
        "/admin/page/ip_rule/new".to_owned(),
    ] {
        let text = pages.page(&path).await;
        assert!(!text.contains("<script>") && !text.contains("<img"), "{path}: {text}");
    }
    assert!(pages.page("/admin/page/account").await.contains("&#60;script&#62;"));
}

#[tokio::test]
async fn nothing_injected_reaches_a_statement() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    let corpus = [
        "'",
        "\"",
        "';--",
        "' or '1'='1",
        "\" or 1=1 --",
        "1; drop table directory.account",
        "$1",
        "$$",
        "%s",
        "%1$I",
        "\\",
        "\\'",
        "\u{0}",
        "id",
        "id desc, (select 1)",
        "id) or true--",
        "pg_sleep(10)",
        "{{7*7}}",
        "%27",
        "../../etc/passwd",
        "\u{feff}",
        "🦀",
        "null",
        "[]",
        "{}",
        "{\"k\":[1]}",
        "{\"s\":\"x\",\"k\":[\"'\"]}",
        "{\"s\":null,\"k\":null}",
        "{\"id\":\"1 or 1=1\"}",
        "{\"id\":{}}",
        "-1",
        "99999999999999999999999",
    ];
    let accounts: i64 = db.value("select count(*) from directory.account").await;
    for evil in corpus {
        let e = encoded(evil);
        for path in [
            format!("/admin/page/{e}"),
            format!("/admin/page/{e}/row?k={e}"),
            format!("/admin/page/account?q={e}"),
            format!("/admin/page/account?by={e}&way={e}"),
            format!("/admin/page/account?by=local_part&behind={e}"),
            format!("/admin/page/account?behind={e}"),
            format!("/admin/page/account?is.local_part={e}"),
            format!("/admin/page/account?is.{e}={e}"),
            format!("/admin/page/account/csv?q={e}&by={e}"),
            format!("/admin/page/account/row?k={e}"),
            format!("/admin/page/account/new?{e}={e}"),
        ] {
            let answer = pages.get(&path).await;
            assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.body);
            assert!(
                !answer.body.contains("syntax error") && !answer.body.contains("root:"),
                "{path}: {}",
                answer.body
            );
        }
        // curl takes no such byte as an argument.
        if evil.contains('\0') {
            continue;
        }
        for (path, fields) in [
            (
                "/admin/page/account/new",
                vec![("c.domain_id", evil), ("c.local_part", evil), ("c.quota_bytes", evil)],
            ),
            ("/admin/page/account/row", vec![("key", evil), ("mark", evil), ("c.local_part", evil)]),
            ("/admin/page/account/act", vec![("k", evil), ("do", evil), ("sure", "yes")]),
            ("/admin/page/account/act", vec![("k", evil), ("do", "remove"), ("sure", "yes"), ("back", evil)]),
            (
                "/admin/page/alias/new",
                vec![("c.domain_id", "1"), ("c.local_part", "z"), ("c.targets", evil), ("c.active", evil)],
            ),
        ] {
            let answer = pages.post(path, &fields).await;
            assert!(answer.status < 500, "{path} {evil}: {} {}", answer.status, answer.body);
        }
    }
    let left: i64 = db
        .value("select count(*) from directory.account where local_part in ('alice', 'bob', 'carol')")
        .await;
    assert_eq!(left, 3);
    assert!(db.value::<i64>("select count(*) from directory.account").await >= accounts);
    // Too much, and what is no form.
    let large = format!("-dform={}", "x".repeat(2 << 20));
    assert_eq!(
        pages
            .curl("/admin/log-in", &[large.replace("form=", "name=").chars().take(120_000).collect()])
            .await
            .status,
        403
    );
    let file = std::env::temp_dir().join(format!("mailwright-large-{}", std::process::id()));
    std::fs::write(&file, "name=".to_owned() + &"x".repeat(2 << 20)).unwrap();
    // The server says so and closes; whether curl hears it while it is still sending is a matter of luck.
    let large = ["--data-binary".to_owned(), format!("@{}", file.display())];
    let status = pages.curl("/admin/log-in", &large).await.status;
    assert!(matches!(status, 413 | 0), "{status}");
    std::fs::remove_file(&file).unwrap();
    let json = ["-HContent-Type: application/json".to_owned(), "-d{\"name\":1}".to_owned()];
    assert_eq!(pages.curl("/admin/log-in", &json).await.status, 415);
    assert_eq!(pages.curl("/admin/page/account", &["-XDELETE".to_owned()]).await.status, 405);
    for path in [
        "/static/../Cargo.toml",
        "/static/%2e%2e/Cargo.toml",
        "/admin/../etc/passwd",
        "//etc/passwd",
        "/admin/page/..%2f..%2f",
    ] {
        assert_eq!(pages.get(path).await.status, 404, "{path}");
    }
}
