//! Reports: what they say is right, who may run and write them, and that a query stays in its place.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::relay::{alice, scene, send};
use crate::support::cluster::{Cluster, Durability};
use crate::support::daemon::PASSWORD;
use crate::support::pages::{Answer, Pages, encoded};
use crate::support::sink::{Act, At};
use crate::support::{Daemon, Database, Script};

async fn administrator(daemon: &Daemon<'_>, name: &str, role: &str) -> Pages {
    let sql = "insert into control.administrator (name, password_hash, role) values";
    daemon.db().apply(&format!("{sql} ('{name}', '{{PLAIN}}{PASSWORD}', '{role}')")).await;
    Pages::log_in(daemon, name, PASSWORD).await
}

/// Stores a report, as somebody with SQL does.
async fn report(db: &Database, name: &str, query: &str, more: &str) {
    let query = query.replace('\'', "''");
    db.sql(&format!("insert into control.report (name, query) values ('{name}', '{query}')")).await;
    if !more.is_empty() {
        db.sql(&format!("update control.report set {more} where name = '{name}'")).await;
    }
}

fn path(name: &str, kind: &str) -> String {
    format!("/admin/reports{kind}?name={}", encoded(name))
}

/// What a report finds.
async fn found(pages: &Pages, name: &str) -> Value {
    let answer = pages.get(&path(name, "/json")).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{name}: {e}: {}", answer.body))
}

/// Its rows, with these columns of them.
async fn rows(pages: &Pages, name: &str, columns: &[&str]) -> Vec<Value> {
    let found = found(pages, name).await;
    let heads: Vec<&str> = found["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    let at: Vec<usize> = columns
        .iter()
        .map(|column| heads.iter().position(|head| head == column).unwrap_or_else(|| panic!("{heads:?}")))
        .collect();
    let row = |row: &Value| Value::Array(at.iter().map(|at| row[at].clone()).collect());
    found["rows"].as_array().unwrap().iter().map(row).collect()
}

/// A query that somebody has stored is run and refused; what is said of it.
async fn refusal(db: &Database, pages: &Pages, query: &str) -> String {
    db.sql("delete from control.report where name = 'try'").await;
    report(db, "try", query, "").await;
    let answer = pages.get(&path("try", "")).await;
    assert_eq!(answer.status, 422, "{query}: {}", answer.body);
    said(&answer)
}

/// What a page says is wrong, as text.
fn said(answer: &Answer) -> String {
    let alert = answer.body.split("role=\"alert\">").nth(1).and_then(|rest| rest.split('<').next());
    let text = alert.unwrap_or_else(|| panic!("nothing is wrong: {}", answer.body));
    text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reports_that_come_along_say_what_is_so() {
    let db = Database::new().await;
    let (daemon, _sink, net) = scene(&db, Script::default()).await;
    let bad = Script::default().always(At::Rcpt, Act::reply("550 5.1.1 no such user"));
    let _bad = net.server("mx.bad.test", bad).await;
    let slow = Script::default().always(At::Rcpt, Act::reply("451 4.2.1 come back later"));
    let _slow = net.server("mx.slow.test", slow).await;
    for domain in ["bad", "slow"] {
        net.dns.set(&format!("{domain}.test. 60 IN MX 10 mx.{domain}.test."));
    }
    db.apply(
        "update control.retry set after_seconds = 3600;
         insert into directory.domain (name, active) values ('off.test', false), ('all.test', true);
         update directory.domain set catch_all = 'bob@example.test' where name = 'all.test';
         insert into directory.alias (domain_id, local_part, targets, active)
         select d.id, v.* from directory.domain d, (values
           ('good', '{bob@example.test,bob+tag@example.test,x@elsewhere.org,any@all.test}'::text[], true),
           ('dead', '{Gone@example.test,carol@example.test}', true), ('closed', '{x@off.test}', true),
           ('chain', '{quiet@example.test}', true), ('quiet', '{gone@example.test}', false)) v
         where d.name = 'example.test';
         update directory.account set quota_bytes = 1000 where local_part = 'bob'",
    )
    .await;
    for (to, body) in [("alice", "one"), ("alice", "two"), ("bob", &*"x".repeat(850)), ("Alice", "four")] {
        daemon.deliver(to, &format!("Subject: x\r\n\r\n{body}\r\n")).await;
    }
    let mut stranger = daemon.smtp().await;
    stranger.expect("220").await;
    for (line, answer) in [
        ("EHLO client.example.net", "250"),
        ("MAIL FROM:<sender@example.net>", "250"),
        ("RCPT TO:<nobody@example.test>", "550"),
        ("RCPT TO:<nothing@example.test>", "550"),
    ] {
        stranger.send(line).await;
        stranger.expect(answer).await;
    }
    let mut smtp = alice(&daemon).await;
    for to in ["<a@far.test>", "<b@bad.test>", "<c@slow.test>"] {
        send(&mut smtp, "<alice@example.test>", &[to], "x").await;
    }
    let mut imap = daemon.imap().await;
    for name in ["bob", "nobody"] {
        imap.send(&format!("a LOGIN {name}@example.test wrong")).await;
        imap.expect("a NO").await;
    }
    db.until(
        "select (select count(*) from log.trace where step = 'accepted') = 7 and (select count(*) from queue.attempt) >= 3
           and (select count(*) from log.trace where step = 'placed') >= 5
           and (select count(*) from log.trace where step = 'refused') = 2
           and (select count(*) from log.event where message = 'wrong user name or password') = 2",
    )
    .await;
    let pages = administrator(&daemon, "root", "system").await;

    assert_eq!(
        rows(&pages, "Top senders", &["sender", "messages"]).await,
        [json!(["sender@example.net", 4]), json!(["alice@example.test", 3])]
    );
    let bytes: i64 = db.value("select sum(size)::bigint from log.trace where sender = 'sender@example.net' and step = 'accepted'").await;
    assert_eq!(rows(&pages, "Top senders", &["bytes"]).await[0], json!([bytes]));
    assert!(bytes > 850);
    assert_eq!(
        rows(&pages, "Top recipients", &["recipient", "messages"]).await[..2],
        [json!(["alice@example.test", 3]), json!(["a@far.test", 1])]
    );
    let traffic = rows(&pages, "Traffic by day", &["accepted", "refused", "placed", "sent"]).await;
    assert_eq!(traffic.len(), 14);
    // The test may run at midnight.
    let total = |at: usize| traffic.iter().map(|row| row[at].as_i64().unwrap()).sum::<i64>();
    let placed: i64 = db.value("select count(*) from log.trace where step = 'placed'").await;
    assert_eq!([total(0), total(1), total(2), total(3)], [7, 2, placed, 1]);
    let largest = rows(&pages, "Largest mailboxes", &["mailbox", "messages", "bytes"]).await;
    let sizes: Vec<i64> = largest.iter().map(|row| row[2].as_i64().unwrap()).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes[0] > 0, "{largest:?}");
    let bob: i64 = db
        .value("select bytes from report.mailbox where address = 'bob@example.test' and mailbox = 'INBOX'")
        .await;
    assert!(largest.contains(&json!(["bob@example.test INBOX", 1, bob])), "{largest:?}");
    let all: i64 = db.value("select sum(bytes)::bigint from store.usage").await;
    let messages: i64 = db.value("select count(*) from store.message").await;
    assert_eq!(
        rows(&pages, "Storage by domain", &["domain", "accounts", "messages", "bytes"]).await,
        [json!(["example.test", 3, messages, all])]
    );
    let percent = (1000 * bob + 500) / 1000;
    assert_eq!(
        rows(&pages, "Accounts near their quota", &["address", "used_bytes", "quota_bytes"]).await,
        [json!(["bob@example.test", bob, 1000])],
        "{percent}"
    );
    let refused = rows(&pages, "Refused mail by reason", &["times", "command", "reason", "last_peer"]).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (&refused[0][0], &refused[0][1], &refused[0][3]),
        (&json!(2), &json!("RCPT"), &json!("127.0.0.1"))
    );
    let reason = refused[0][2].as_str().unwrap();
    assert!(reason.starts_with("550 5.1.1") && !reason.contains('@'), "{reason}");
    let slowest = rows(&pages, "Slowest destinations", &["domain", "attempts", "average_seconds"]).await;
    let mut domains: Vec<&str> = slowest.iter().map(|row| row[0].as_str().unwrap()).collect();
    domains.sort_unstable();
    assert_eq!(domains, ["bad.test", "far.test", "slow.test"]);
    let averages: Vec<f64> = slowest.iter().map(|row| row[2].as_f64().unwrap()).collect();
    assert!(averages.is_sorted_by(|a, b| a >= b), "{slowest:?}");
    assert_eq!(
        rows(&pages, "Bounces by domain", &["domain", "bounces", "recipients", "last_reply"]).await,
        [json!(["bad.test", 1, 1, "550 5.1.1 no such user"])]
    );
    assert_eq!(
        rows(&pages, "Mail waiting by destination", &["domain", "recipients", "last_reply"]).await,
        [json!(["slow.test", 1, "451 4.2.1 come back later"])]
    );
    assert_eq!(
        rows(&pages, "Failed logins by address", &["peer", "failures", "names", "some_names", "services"])
            .await,
        [json!(["127.0.0.1", 2, 2, "bob@example.test, nobody@example.test", "imap"])]
    );
    assert_eq!(
        rows(&pages, "Aliases that lead nowhere", &["alias", "target", "why"]).await,
        [
            json!(["chain@example.test", "quiet@example.test", "the address is switched off"]),
            json!(["closed@example.test", "x@off.test", "the domain is switched off"]),
            json!(["dead@example.test", "Gone@example.test", "there is no such address"]),
        ]
    );
    db.until("select bool_and(not_after is not null) from control.certificate").await;
    let certificates = rows(&pages, "Certificates by expiry", &["days_left", "state", "source"]).await;
    let days: i32 = db.value("select days_left from report.certificate").await;
    assert_eq!(certificates, [json!([days, "valid", "self-signed"])]);
    let changes: i64 = db.value("select count(*) from log.audit where actor = 'mailwright'").await;
    let by_actor = rows(&pages, "Changes by administrator", &["actor", "changes"]).await;
    assert!(by_actor.contains(&json!(["mailwright", changes])), "{by_actor:?}");

    // Each has its page, its chart where it has one, and its file; another time shows something else.
    let names = db.rows("select name, chart::text from control.report").await;
    assert!(names.len() >= 14);
    let list = pages.page("/admin/reports").await;
    for row in &names {
        let (name, chart): (String, String) = (row.get(0), row.get(1));
        assert!(list.contains(&format!(">{name}</a>")), "{name}");
        let page = pages.page(&path(&name, "")).await;
        assert_eq!(page.contains("<svg"), chart != "none", "{name}: {page}");
        assert!(!page.contains("There is no chart"), "{name}");
        let csv = pages.get(&path(&name, "/csv")).await;
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"), "{name}");
    }
    let far_away = format!("{}&p.days=0", path("Top senders", "/json"));
    assert!(pages.page(&far_away).await.contains("\"rows\":[\n\n]"));
}

#[tokio::test]
async fn a_report_is_written_run_and_exported() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = administrator(&daemon, "root", "system").await;
    let query = "select day::date as day, n * $1::integer as things, 123456789012345678.25 as exact, n = 1 as first, null as nothing\r\n\
        from generate_series(1, 3) n, lateral (select timestamptz '2026-03-01' + n * interval '1 day' as day) d order by n";
    let mut fields = vec![
        ("c.name", "Things by day"),
        ("c.description", "How many things"),
        ("c.active", "true"),
        ("c.query", query),
        ("c.parameters", "times=2"),
        ("c.chart", "line"),
        ("c.chart_name", "day"),
        ("c.chart_values", "things"),
        ("c.max_rows", "100"),
        ("c.timeout_seconds", "5"),
    ];
    let made = pages.post("/admin/page/report/new", &fields).await;
    assert_eq!(made.status, 303, "{}", made.body);
    let page = pages.page(&path("Things by day", "")).await;
    for part in [
        "How many things",
        "3 rows",
        "<svg",
        "2026-03-02",
        "name=\"p.times\" value=\"2\"",
        "<td data-label=\"First\">yes</td>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains("/admin/page/report/row?k="), "{page}");
    // A parameter is a value, whatever stands in it.
    let found = async |times: &str| {
        pages.get(&format!("{}&p.times={}", path("Things by day", "/json"), encoded(times))).await
    };
    let seven = found("7").await;
    assert_eq!(seven.header("content-type"), Some("application/json"));
    let seven: Value = serde_json::from_str(&seven.body).unwrap();
    assert_eq!(seven["columns"], json!(["day", "things", "exact", "first", "nothing"]));
    assert_eq!(seven["rows"][2], json!(["2026-03-04", 21, seven["rows"][0][2], false, null]));
    assert!(found("7").await.body.contains("123456789012345678.25"));
    let spliced = found("1 + 1").await;
    assert_eq!(spliced.status, 422);
    assert!(spliced.body.contains("invalid input syntax for type integer: \"1 + 1\""), "{}", spliced.body);
    let csv = pages.get(&path("Things by day", "/csv")).await;
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"things-by-day.csv\""));
    assert_eq!(
        csv.body,
        "day,things,exact,first,nothing\n2026-03-02,2,123456789012345678.25,true,\n\
         2026-03-03,4,123456789012345678.25,false,\n2026-03-04,6,123456789012345678.25,false,\n"
    );
    // What PostgreSQL does not understand is not stored; it says so beside the field, with the place.
    fields[0].1 = "Wrong";
    fields[3].1 = "select 1,\r\n  wrong from control.service";
    let wrong = pages.post("/admin/page/report/new", &fields).await;
    assert_eq!(wrong.status, 422);
    let field = wrong.body.split("id=\"h-c.query\"").nth(1).unwrap().split("</p>").next().unwrap();
    assert!(field.contains("column &#34;wrong&#34; does not exist (line 2, column 3)"), "{field}");
    assert!(wrong.body.contains("wrong from control.service</textarea>"), "{}", wrong.body);
    for (query, why) in [
        ("selekt", "syntax error at or near &#34;selekt&#34; (line 1, column 1)"),
        ("select 1; select 2", "cannot insert multiple commands"),
        ("select password_hash from directory.account", "permission denied for table account"),
        ("delete from control.service returning 1", "cannot execute DELETE in a read-only transaction"),
        ("copy (select 1) to program 'id'", "gives no rows to show"),
        ("commit", "gives no rows to show"),
        (" ", "gives no rows to show"),
    ] {
        fields[3].1 = query;
        let answer = pages.post("/admin/page/report/new", &fields).await;
        assert!(answer.status == 422 && answer.body.contains(why), "{query}: {}", answer.body);
    }
    assert_eq!(db.value::<i64>("select count(*) from control.report where name = 'Wrong'").await, 0);
    // Constraints speak too, and what has become wrong since says so when it is run.
    fields[3].1 = "select 1 as day, 2 as things";
    fields[4].1 = "Times";
    let answer = pages.post("/admin/page/report/new", &fields).await;
    assert!(answer.body.contains("a parameter is like days=30"), "{}", answer.body);
    fields[4].1 = "times=2";
    assert_eq!(pages.post("/admin/page/report/new", &fields).await.status, 303);
    let page = pages.page(&path("Wrong", "")).await;
    assert!(page.contains("a line needs a column of times or days"), "{page}");
    db.sql("update control.report set query = 'select $2', chart_values = '{gone}' where name = 'Wrong'")
        .await;
    let answer = pages.get(&path("Wrong", "")).await;
    assert!(said(&answer).starts_with("The query has $2, and the report 1 parameter:"), "{}", answer.body);
    db.sql("update control.report set query = 'select 1 as day', chart = 'bars' where name = 'Wrong'").await;
    assert!(pages.page(&path("Wrong", "")).await.contains("the report has no column gone"));
    db.sql("update control.report set active = false where name = 'Wrong'").await;
    assert_eq!(pages.get(&path("Wrong", "")).await.status, 404);
    assert_eq!(pages.get(&path("never", "/csv")).await.status, 404);
}

#[tokio::test]
async fn time_rows_and_bytes_are_limited() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = administrator(&daemon, "root", "system").await;
    report(&db, "sleepy", "select pg_sleep(600)", "timeout_seconds = 1").await;
    // What a query sets for itself comes too late.
    report(
        &db,
        "sly",
        "select set_config('statement_timeout', '0', true), pg_sleep(600)",
        "timeout_seconds = 1",
    )
    .await;
    for name in ["sleepy", "sly"] {
        let answer = pages.get(&path(name, "")).await;
        assert_eq!(answer.status, 422);
        assert!(
            said(&answer).starts_with("The report took longer than 1 seconds and was stopped."),
            "{}",
            answer.body
        );
    }
    db.until("select not exists (select 1 from pg_stat_activity where datname = current_database() and application_name = 'report')").await;
    report(&db, "long", "select n from (select generate_series(1, 1000000000000) as n) x", "max_rows = 7")
        .await;
    let page = pages.page(&path("long", "")).await;
    assert!(page.contains("only the first 7 are shown") && page.contains("7 rows"), "{page}");
    let cut = found(&pages, "long").await;
    assert_eq!((cut["rows"].as_array().unwrap().len(), &cut["more"]), (7, &json!(true)));
    report(&db, "seven", "select generate_series(1, 7)", "max_rows = 7").await;
    assert_eq!(found(&pages, "seven").await["more"], json!(false));
    assert!(!pages.page(&path("seven", "")).await.contains("only the first"));
    // No comment of the query hides the limit.
    report(&db, "hidden", "select n from generate_series(1, 1000) n --", "max_rows = 7").await;
    assert_eq!(found(&pages, "hidden").await["rows"].as_array().unwrap().len(), 7);
    report(&db, "wide", "select repeat('x', 1000000) from generate_series(1, 1000)", "").await;
    let answer = pages.get(&path("wide", "/csv")).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.body.contains("the result is larger than 16 MB: select fewer columns or fewer rows"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_query_stays_in_its_place() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = administrator(&daemon, "root", "system").await;
    let audit = "select coalesce(max(id), 0) from log.audit where table_name <> 'control.report'";
    let before: i64 = db.value(audit).await;
    let mut otherwise = Vec::new();
    for (query, why) in [
        // Another role, for all that comes after it in the same query.
        (
            "select set_config('role', 'mailwright', true), query_to_xml('select password_hash from directory.account', true, true, '')",
            "cannot set parameter \"role\" within security-definer function",
        ),
        ("select set_config('role', 'none', false)", "cannot set parameter \"role\""),
        (
            "select set_config('session_authorization', 'mailwright', true)",
            "cannot set parameter \"session_authorization\"",
        ),
        ("set role mailwright", "gives no rows to show"),
        ("reset role", "gives no rows to show"),
        ("set session authorization default", "gives no rows to show"),
        // To write.
        ("select set_config('transaction_read_only', 'off', true)", "transaction read-write mode"),
        ("with gone as (delete from log.event returning *) select * from gone", "in a read-only transaction"),
        (
            "update control.service set enabled = false returning name",
            "cannot execute UPDATE in a read-only transaction",
        ),
        (
            "insert into log.event (at) values (now()) returning id",
            "cannot execute INSERT in a read-only transaction",
        ),
        ("create table control.x as select 1", "gives no rows to show"),
        ("create temporary table x as select 1 as y", "gives no rows to show"),
        ("select nextval('live.session_id')", "permission denied for sequence session_id"),
        ("select control.undo(1)", "PostgreSQL says"),
        ("select queue.retry()", "cannot execute UPDATE in a read-only transaction"),
        (
            "select * from control.set_listeners('imap', '* 1')",
            "cannot execute DELETE in a read-only transaction",
        ),
        // Out of the transaction.
        ("commit", "gives no rows to show"),
        ("select 1; commit; delete from control.service", "cannot insert multiple commands"),
        ("do $$ begin perform 1; end $$", "gives no rows to show"),
        // What it may not read.
        ("select password_hash from directory.account", "permission denied for table account"),
        ("select * from control.administrator", "permission denied for table administrator"),
        ("select a from directory.account a", "permission denied for table account"),
        ("select key from control.certificate", "permission denied for table certificate"),
        ("select private_key from directory.dkim_key", "permission denied for table dkim_key"),
        ("select secret from control.srs", "permission denied for table srs"),
        ("select token_hash from live.web_session", "permission denied for table web_session"),
        ("select * from directory.sql_login", "permission denied for table sql_login"),
        ("select bytes from store.content_chunk", "permission denied for schema store"),
        ("select subject from report.message", "permission denied for view message"),
        ("select password_hash from logic.account", "permission denied for schema logic"),
        ("select * from logic.run_report('select 1', '{}', 1, 1)", "permission denied for schema logic"),
        ("select rolpassword from pg_authid", "permission denied for table pg_authid"),
        (
            "select query_to_xml('select key from control.certificate', true, true, '')",
            "permission denied for table certificate",
        ),
        (
            "select table_to_xml('control.administrator', true, true, '')",
            "permission denied for table administrator",
        ),
        (
            "select * from ts_stat('select to_tsvector(password_hash) from directory.account')",
            "permission denied for table account",
        ),
        // To be taken for an administrator.
        (
            "select set_config('mailwright.kind', 'system', false), logic.web_kind()",
            "permission denied for schema logic",
        ),
        (
            "select set_config('mailwright.kind', 'system', false), admin.stop(s) from admin.service s",
            "permission denied for schema admin",
        ),
        // Out of the database.
        ("select pg_read_file('/etc/passwd')", "permission denied for function pg_read_file"),
        ("select pg_ls_dir('/')", "permission denied for function pg_ls_dir"),
        ("select lo_import('/etc/passwd')", "permission denied for function lo_import"),
        ("select lo_export(1, '/tmp/x')", "permission denied for function lo_export"),
        ("copy (select 1) to program 'id'", "gives no rows to show"),
        ("copy control.service from program 'id'", "gives no rows to show"),
        (
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
            "must be a member of the role whose process is being terminated",
        ),
        ("select pg_reload_conf()", "permission denied for function pg_reload_conf"),
        ("listen control", "gives no rows to show"),
        ("load 'x'", "gives no rows to show"),
        ("create extension dblink", "gives no rows to show"),
    ] {
        let text = refusal(&db, &pages, query).await;
        if !text.contains(why) {
            otherwise.push(format!("{query}\n  {text}"));
        }
    }
    assert!(otherwise.is_empty(), "refused otherwise:\n{}", otherwise.join("\n"));
    // Nothing is left of what is not refused.
    for query in [
        "select set_config('mailwright.kind', 'system', false), set_config('work_mem', '64kB', false)",
        "select pg_advisory_lock(7), pg_advisory_lock_shared(8)",
        "select pg_notify('control', '999999999')",
        "select lo_from_bytea(0, 'left behind')",
    ] {
        db.sql("delete from control.report where name = 'try'").await;
        report(&db, "try", query, "").await;
        // PostgreSQL 16 and newer refuse some of these.
        assert!([200, 422].contains(&pages.get(&path("try", "")).await.status), "{query}");
    }
    db.until("select not exists (select 1 from pg_stat_activity where datname = current_database() and application_name = 'report')").await;
    let locks: i64 = db
        .value("select count(*) from pg_locks where locktype = 'advisory' and objid in (7, 8) and database = (select oid from pg_database where datname = current_database())")
        .await;
    let objects: i64 = db.value("select count(*) from pg_largeobject_metadata").await;
    assert_eq!((locks, objects), (0, 0));
    assert_eq!(db.value::<i64>(audit).await, before, "a report has changed something");
    // Other people's statements are not shown.
    report(&db, "watch", "select count(*) as seen from pg_stat_activity where datname = current_database() and query not like '<%' and pid <> pg_backend_pid()", "").await;
    assert_eq!(found(&pages, "watch").await["rows"], json!([[0]]));
    // What it is and may.
    report(&db, "who", "select current_user, current_setting('transaction_read_only'), (select count(*) from control.service), count(*) from directory.account", "").await;
    let services: i64 = db.value("select count(*) from control.service").await;
    assert_eq!(found(&pages, "who").await["rows"], json!([["mailwright_report", "on", services, 3]]));
}

#[tokio::test]
async fn who_may_run_and_who_may_write() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update directory.account set manages_domain = true where local_part = 'alice'").await;
    let auditor = administrator(&daemon, "watcher", "auditor").await;
    let alice = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    report(&db, "mine", "select count(*) from directory.account", "").await;
    assert_eq!(found(&auditor, "mine").await["rows"], json!([[3]]));
    let list = auditor.page("/admin/reports").await;
    assert!(list.contains(">mine</a>") && !list.contains("/admin/page/report/new"), "{list}");
    assert!(!auditor.page(&path("mine", "")).await.contains("Change the report"));
    // He reads the text, and cannot run one of his own, nor change one.
    let key = r#"{"name":"mine"}"#;
    assert!(
        auditor.page(&format!("/admin/page/report/row?k={}", encoded(key))).await.contains("select count(*)")
    );
    for (to, fields) in [
        ("/admin/page/report/new", vec![("c.name", "own"), ("c.query", "select 1")]),
        ("/admin/page/report/row", vec![("key", key), ("c.name", "mine"), ("c.query", "select 1")]),
        ("/admin/page/report/act", vec![("k", key), ("do", "remove"), ("sure", "yes")]),
    ] {
        assert_ne!(auditor.post(to, &fields).await.status, 303, "{to}");
    }
    for address in ["/admin/reports?name=x&query=select+1", "/admin/reports?query=select+1&p.query=select+1"]
    {
        let answer = auditor.get(address).await;
        assert!(answer.status == 404 || answer.body.contains("<h1>Reports</h1>"), "{}", answer.body);
    }
    assert_eq!(
        db.rows("select name from control.report where name in ('own', 'mine') and query::text like 'select count%'").await.len(),
        1
    );
    // A domain administrator sees nothing of it.
    for kind in ["", "/csv", "/json"] {
        for name in ["mine", "Top senders", ""] {
            let answer = alice.get(&path(name, kind)).await;
            assert!(matches!(answer.status, 403 | 404), "{kind} {name}: {}", answer.body);
            assert!(!answer.body.contains("select") && !answer.body.contains(">mine"), "{}", answer.body);
        }
    }
    assert_eq!(alice.get("/admin/page/report").await.status, 403);
    assert!(!alice.page("/admin/page/account").await.contains("/admin/reports"));
    // Who has not logged in is sent to the login.
    assert!(Pages::open(&daemon).get("/admin/reports").await.location().starts_with("/admin/log-in"));
}

#[tokio::test]
async fn results_are_text_whatever_they_look_like() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = administrator(&daemon, "root", "system").await;
    let evil = "<script>alert(1)</script><img src=x onerror=alert(1)>";
    report(
        &db,
        "evil",
        &format!("select '{evil}' as \"{evil}\", '=HYPERLINK(1)' as \"=cmd\", E'@a\\n\"b' as text, -5 as number, 3 as length"),
        "parameters = '{x=1}', chart = 'bars', chart_name = '<script>alert(1)</script><img src=x onerror=alert(1)>', chart_values = '{length}',
         description = '<script>alert(1)</script>'",
    )
    .await;
    db.sql("update control.report set name = '<script>\"' where name = 'evil'").await;
    for address in [
        path("<script>\"", ""),
        format!("{}&p.x={}", path("<script>\"", ""), encoded("\"><script>")),
        "/admin/reports".to_owned(),
        "/admin/page/report".to_owned(),
    ] {
        let page = pages.page(&address).await;
        assert!(
            !page.contains("<script>") && !page.contains("<script\"") && !page.contains("<img"),
            "{address}: {page}"
        );
        assert!(page.contains("&#60;script&#62;"), "{address}: {page}");
    }
    let page = pages.page(&path("<script>\"", "")).await;
    assert!(page.contains("<svg") && page.contains("&#60;img src=x"), "{page}");
    let csv = pages.get(&path("<script>\"", "/csv")).await;
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"script.csv\""));
    let mut reader = csv::Reader::from_reader(csv.body.as_bytes());
    assert_eq!(reader.headers().unwrap(), vec![evil, "'=cmd", "text", "number", "length"]);
    let row = reader.records().next().unwrap().unwrap();
    assert_eq!(row, vec![evil, "'=HYPERLINK(1)", "'@a\n\"b", "-5", "3"]);
    let list = pages.get("/admin/reports/csv").await;
    assert!(
        list.body.starts_with("name,description\n") && list.body.contains("Top senders"),
        "{}",
        list.body
    );
    // Two columns of one name are two columns.
    report(&db, "twins", "select 1 as a, 2 as a", "").await;
    assert_eq!(found(&pages, "twins").await["rows"], json!([[1, 2]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_is_all_that_it_takes() {
    let cluster = Arc::new(Cluster::start_new(Durability::None));
    cluster.superuser("drop role mailwright_report");
    let db = Database::on(&cluster).await;
    let mut daemon = Daemon::start(&db).await;
    let pages = administrator(&daemon, "root", "system").await;
    // Without it nothing runs, and the page says what to do.
    let answer = pages.get(&path("Top senders", "")).await;
    assert_eq!(answer.status, 422);
    assert!(said(&answer).contains("create role mailwright_report nologin"), "{}", answer.body);
    assert!(
        daemon.log().contains("reports cannot be run: the role mailwright_report does not exist"),
        "{}",
        daemon.log()
    );
    cluster.superuser("create role mailwright_report nologin; grant mailwright_report to mailwright");
    daemon.terminate().await;
    daemon.start_again().await;
    assert_eq!(pages.get(&path("Top senders", "")).await.status, 200);

    // A tool with a login of its own sees what reports see, of all rows, and changes nothing.
    cluster.superuser("create role tool login in role mailwright_report; create role stranger login");
    let login = async |role: &str| {
        let url = db.url().replace("user=mailwright", &format!("user={role}"));
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let tool = login("tool").await;
    let count = async |query: &str| tool.query_one(query, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count("select count(*) from report.account").await, 3);
    assert_eq!(count("select count(*) from directory.account").await, 3);
    assert!(count("select count(*) from log.audit").await > 0);
    assert_eq!(count("select count(*) from report.find_trace(sender => 'nobody')").await, 0);
    let refused = async |client: &tokio_postgres::Client, query: &str| {
        let error = client.batch_execute(query).await.expect_err(query);
        assert_eq!(
            error.code(),
            Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE),
            "{query}: {error:?}"
        );
    };
    for query in [
        "select password_hash from directory.account",
        "select * from report.message",
        "select key from control.certificate",
        "select logic.web_kind()",
        "update control.service set enabled = false",
        "delete from log.event",
        "select queue.cancel(1)",
    ] {
        refused(&tool, query).await;
    }
    // The pages' settings are believed from nobody else.
    tool.batch_execute("set mailwright.kind = 'system'").await.unwrap();
    refused(&tool, "select key from control.certificate").await;
    let stranger = login("stranger").await;
    for query in ["select * from report.account", "select * from logic.run_report('select 1', '{}', 1, 1)"] {
        refused(&stranger, query).await;
    }

    // The private PostgreSQL's daemon is its superuser: a query gains nothing by that.
    cluster.superuser("alter role mailwright superuser");
    db.sql("create extension dblink").await;
    for (query, why) in [
        ("select set_config('role', 'mailwright', true)", "cannot set parameter \"role\""),
        (
            "select set_config('session_authorization', 'postgres', true)",
            "cannot set parameter \"session_authorization\"",
        ),
        (
            "select set_config('log_statement', 'all', false)",
            "permission denied to set parameter \"log_statement\"",
        ),
        ("select pg_read_file('/etc/passwd')", "permission denied for function pg_read_file"),
        ("select lo_import('/etc/passwd')", "permission denied for function lo_import"),
        ("select rolpassword from pg_authid", "permission denied for table pg_authid"),
        ("select key from control.certificate", "permission denied for table certificate"),
        ("select bytes from store.content_chunk", "permission denied for schema store"),
        // By another connection, as whoever the operating system says it is.
        (
            &format!(
                "select * from public.dblink('{} user=postgres', 'select 1') as t (x integer)",
                db.url()
            ),
            "password",
        ),
    ] {
        let text = refusal(&db, &pages, query).await;
        assert!(text.contains(why), "{query}\n{text}");
    }
}

#[tokio::test]
async fn a_person_writes_and_runs_a_report() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update directory.account set quota_bytes = 100000000").await;
    let browser = crate::browse::system(&daemon).await;
    browser.follow("Reports").await;
    browser.is_accessible().await;
    browser.picture("reports").await;
    browser.follow("Traffic by day").await;
    browser.see("14 rows").await;
    browser.fill("Days", "3").await;
    browser.press("Run").await;
    browser.see("3 rows").await;
    browser.is_accessible().await;
    browser.picture("report").await;
    browser.follow("Change the report").await;
    browser.fill("Query", "select now() as day,\n  acepted from log.trace").await;
    browser.press("Store").await;
    browser.see("column \"acepted\" does not exist (line 2, column 3)").await;
    browser.is_accessible().await;
    browser.fill("Query", "select now() as day, 1 as accepted, 2 as refused, 3 as placed, 4 as sent").await;
    browser.press("Store").await;
    browser.see("Stored").await;
    browser.follow("Reports").await;
    browser.follow("Traffic by day").await;
    browser.see("1 row,").await;
    browser.close().await;
}
