//! What was counted and how it is shown: rollups of the trace, the overview, DNS records that are missing, and what monitoring reads.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin::{administrator, system};
use crate::relay::{QUEUE_IS_EMPTY, alice, mail, scene, send};
use crate::support::daemon::PASSWORD;
use crate::support::dialogue::Language;
use crate::support::dns::Dns;
use crate::support::pages::{Answer, Pages, encoded};
use crate::support::sink::{Act, At, Script};
use crate::support::{Browser, Daemon, Database, Dialogue, ask_until};

/// The numbers of each span that are not those of the rows they were counted from.
const DRIFT: &str = "select string_agg(format('%s %s: %s counted, %s there', span, step, counted, there), '; ') from (
      select s.span, coalesce(c.step, r.step) as step, c.count as counted, r.count as there
      from unnest('{minute,hour,day}'::text[]) s (span) cross join (
        select step::text, count(*) from log.trace group by 1
        union all select outcome, count(*) from queue.attempt group by 1) r
      full join (select span, step, sum(count) as count from log.mail_count group by 1, 2) c on c.span = s.span and c.step = r.step
    ) x where counted is distinct from there";

/// The number of a tile.
fn tile<'p>(page: &'p str, label: &str) -> &'p str {
    let (_, rest) = page
        .split_once(&format!(">{label}</a></dt>"))
        .or_else(|| page.split_once(&format!("<dt>{label}</dt>")))
        .unwrap_or_else(|| panic!("no tile {label}: {page}"));
    rest.split_once("<strong>").unwrap().1.split_once("</strong>").unwrap().0
}

/// Sends one message after another, until the server is gone.
async fn send_for_ever(port: u16) {
    let mut smtp = Dialogue::plain(port, Language::Smtp).await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    loop {
        for (line, answer) in [
            ("MAIL FROM:<sender@example.net>", "250"),
            ("RCPT TO:<nobody@example.test>", "550"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("RCPT TO:<bob@example.test>", "250"),
            ("DATA", "354"),
        ] {
            smtp.send(line).await;
            smtp.expect(answer).await;
        }
        smtp.data("Subject: x\r\n\r\nbody\r\n").await;
        smtp.expect("250").await;
    }
}

// What is counted -----------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_what_was_traced_whatever_is_killed() {
    let db = Database::new().await;
    let script = Script::default().once(At::Rcpt, Act::reply("450 4.2.0 come again"));
    let (mut daemon, _sink, _net) = scene(&db, script).await;
    mail(&daemon, "bob@far.test").await;
    db.until("select exists (select 1 from queue.attempt where outcome = 'delayed')").await;
    for round in 0..3 {
        let port = daemon.port("smtp");
        let senders: Vec<_> = (0..4).map(|_| tokio::spawn(send_for_ever(port))).collect();
        let before = round * 40;
        db.until(&format!("select count(*) > {before} from log.trace where step = 'placed'")).await;
        daemon.kill9().await;
        for sender in senders {
            // It ended with the server, in the middle of a dialogue.
            assert!(sender.await.is_err());
        }
        daemon.start_again().await;
    }
    db.sql("select queue.retry()").await;
    db.until(QUEUE_IS_EMPTY).await;
    daemon.deliver("carol", "Subject: y\r\n\r\nz\r\n").await;
    db.until(
        "select exists (select 1 from log.trace where step = 'placed' and recipient = 'carol@example.test')",
    )
    .await;
    let drift: Option<String> = db.value(DRIFT).await;
    assert_eq!(drift, None);
    // Messages, and who submitted them, by their first rows; bytes are those of the messages.
    let alike: bool = db
        .value(
            "select (sum(messages), sum(submitted), sum(bytes)) = (
                select count(*) filter (where sender is not null), count(*) filter (where account_id is not null), sum(size)::numeric
                from log.trace where step = 'accepted')
             from log.mail_count where span = 'day' and step = 'accepted'",
        )
        .await;
    assert!(alike);
    let domains: bool = db
        .value(
            "select (select sum(count) from log.domain_count where step = 'placed') = (select count(*) from log.trace where step = 'placed')
               and (select sum(count) from log.domain_count where step = 'submitted') = 1",
        )
        .await;
    assert!(domains);
    let far = db
        .rows("select attempts, delivered, delayed, failed, longest, milliseconds from log.destination_count where span = 'day' and domain = 'far.test'")
        .await;
    let sum = |column: usize| far.iter().map(|row| row.get::<_, i64>(column)).sum::<i64>();
    let (attempts, delivered, delayed) = (sum(0), sum(1), sum(2));
    assert!(delivered == 1 && delayed >= 1 && attempts == delivered + delayed + sum(3), "{far:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_counted_where_no_trace_is_kept() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.log set trace = false").await;
    daemon.deliver("alice", "Subject: x\r\n\r\ny\r\n").await;
    db.until("select sum(count) = 1 from log.mail_count where span = 'minute' and step = 'placed'").await;
    assert_eq!(db.value::<i64>("select count(*) from log.trace").await, 0);
    // Numbers are kept for as long as the settings say.
    db.sql(
        "insert into log.mail_count (span, at, node, step, count) select span, now() - interval '100 days', 'one', 'placed', 7
         from unnest('{minute,hour,day}'::text[]) s (span)",
    )
    .await;
    db.apply("update control.log set minute_days = 20").await;
    db.until("select count(*) = 2 from log.mail_count where count = 7").await;
    db.apply("update control.log set count_days = 50").await;
    db.until("select not exists (select 1 from log.mail_count where count = 7)").await;
    assert!(db.refusal("update control.log set count_days = 0").await.contains("count_days is from 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_sessions_and_storage_are_looked_at() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // The first look is at the start.
    db.until("select count(*) = 3 from log.gauge where name = 'queue.waiting'").await;
    db.until("select exists (select 1 from log.domain_storage where accounts = 3)").await;
    let names: Vec<String> = db
        .rows("select distinct name from log.gauge order by name")
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    for name in ["queue.held", "queue.oldest_seconds", "queue.waiting", "sessions.imap", "sessions.smtp"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    // A queue that is too long to be counted is told as it was at the last look.
    let queue = "select waiting || ' ' || held || ' ' || (oldest_seconds > 3500) || ' ' || counted from logic.queue_now()";
    assert_eq!(db.value::<String>(queue).await, "0 0 false true");
    db.sql(
        "insert into queue.message (id, content_id, size, sender, received_at) select n, 0, 10, repeat('x', 60) || '@held.test', now() - interval '1 hour' from generate_series(-60000, -1) n;
         insert into queue.recipient (message_id, address, domain, state) select n, repeat('x', 60) || '@held.test', 'held.test', 'held' from generate_series(-60000, -1) n;
         update log.gauge set value = 5 where name = 'queue.held'",
    )
    .await;
    assert_eq!(db.value::<String>(queue).await, "0 5 false false");
    db.sql("delete from log.gauge").await;
    assert_eq!(db.value::<String>(queue).await, "0 60000 true true");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reporting_role_reads_the_views() {
    let db = Database::new().await;
    let (daemon, _sink, _net) = scene(&db, Script::default()).await;
    daemon.deliver("alice", "Subject: x\r\n\r\ny\r\n").await;
    mail(&daemon, "bob@far.test").await;
    db.until(QUEUE_IS_EMPTY).await;
    db.until("select sum(count) = 1 from log.mail_count where span = 'hour' and step = 'placed'").await;
    db.until("select sum(messages) = 2 from log.mail_count where span = 'hour' and step = 'accepted'").await;
    db.until("select exists (select 1 from log.domain_storage)").await;
    // A role that owns nothing and for which no policy lets any row through, but that may read these views.
    db.sql(
        "grant usage on schema report to mailwright_web; grant select on all tables in schema report to mailwright_web",
    )
    .await;
    let reader = db.connect().await;
    reader.batch_execute("set role mailwright_web").await.unwrap();
    let views: Vec<String> = db
        .rows("select relname::text from pg_class where relnamespace = 'report'::regnamespace and relkind = 'v'")
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    for view in views {
        reader.query(&format!("select * from report.{view} limit 1"), &[]).await.unwrap_or_else(|error| {
            panic!("{view}: {error:?}");
        });
    }
    for (question, expected) in [
        (
            "select sum(accepted) || ' ' || sum(submitted) || ' ' || sum(placed) || ' ' || sum(delivered) || ' ' || sum(junk) || ' ' || sum(virus) from report.traffic_hour",
            "2 1 1 1 0 0",
        ),
        ("select sum(accepted) || ' ' || sum(refused) from report.traffic_day", "2 0"),
        (
            "select sum(placed) || ' ' || sum(submitted) from report.traffic_by_domain where domain = 'example.test'",
            "1 1",
        ),
        (
            "select domain || ' ' || accounts || ' ' || messages from report.storage_by_domain",
            "example.test 3 1",
        ),
        (
            "select domain || ' ' || attempts || ' ' || delivered || ' ' || (mean_seconds >= 0) from report.slowest_destination",
            "far.test 1 1 true",
        ),
        ("select domain || ' ' || accounts from report.storage_by_day", "example.test 3"),
        (
            "select (count(*) > 0)::text from report.gauge where span = 'minute' and name = 'queue.waiting'",
            "true",
        ),
    ] {
        let rows = reader.query(question, &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, String>(0), expected, "{question}");
    }
}

// The overview --------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_shows_what_was_counted() {
    let db = Database::new().await;
    let script = Script::default().always(At::Rcpt, Act::reply("450 4.2.0 come again"));
    let (daemon, _sink, _net) = scene(&db, script).await;
    let pages = system(&daemon).await;
    assert_eq!(pages.get("/admin").await.location(), "/admin/overview");
    // Nothing to show yet: what to do first.
    let page = pages.page("/admin/overview").await;
    assert!(page.contains("What to do first") && !page.contains("<figure"), "{page}");
    assert_eq!(page.matches("Done:").count(), 3, "name, domain and users are there: {page}");
    assert!(page.contains("– <a href=\"/admin/page/domain\">Domains</a>"), "{page}");

    daemon.deliver("alice", "Subject: x\r\n\r\ny\r\n").await;
    send(&mut alice(&daemon).await, "<alice@example.test>", &["<bob@far.test>", "<eve@far.test>"], "x").await;
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    for (line, answer) in [
        ("EHLO client.example.net", "250"),
        ("MAIL FROM:<sender@example.net>", "250"),
        ("RCPT TO:<nobody@example.test>", "550"),
    ] {
        smtp.send(line).await;
        smtp.expect(answer).await;
    }
    db.until("select sum(count) >= 2 from log.mail_count where span = 'minute' and step = 'delayed'").await;
    db.until("select count(distinct step) = 5 from log.mail_count").await;
    db.until("select exists (select 1 from live.session where service = 'smtp')").await;
    // The mailbox had nothing yet at the first look.
    db.sql("update log.domain_storage set bytes = 1536, messages = 1").await;
    for span in ["hour", "day", "month"] {
        let page = pages.page(&format!("/admin/overview?span={span}")).await;
        assert!(!page.contains("What to do first"), "{page}");
        for (label, number) in [
            ("Messages in", "2"),
            ("Put into mailboxes", "1"),
            ("Delivered elsewhere", "0"),
            ("Refused", "1"),
            ("Junk", "–"),
            ("Waiting in the queue", "2"),
            ("Sessions: smtp", "1"),
            ("Sessions: pop3", "0"),
            ("Storage", "1.5 KiB"),
            ("Users", "3"),
        ] {
            assert_eq!(tile(&page, label), number, "{span} {label}");
        }
        assert!(tile(&page, "Delayed").parse::<u32>().unwrap() >= 2, "{page}");
        assert_eq!(page.matches("<figure class=\"chart\"").count(), 8, "{page}");
        assert!(page.contains("Mail in numbers") && page.contains(">example.test</a>"), "{page}");
        assert!(!page.contains("style=") && page.matches("<script").count() == 1, "{page}");
        // What is counted can be looked at.
        let links: BTreeSet<&str> =
            page.split("href=\"/admin/page/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        for link in links {
            let answer = pages.get(&format!("/admin/page/{}", link.replace("&#38;", "&"))).await;
            assert!(matches!(answer.status, 200 | 303), "{link}: {}", answer.body);
        }
    }
    let refused = pages.page("/admin/page/trace?is.step=refused").await;
    assert!(refused.contains("nobody@example.test") && !refused.contains("eve@far.test"), "{refused}");
    assert_eq!(pages.get("/admin/overview?span=%27").await.status, 200);
    // What has failed comes first.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    db.apply(&format!(
        "delete from control.listener where service = 'pop3' and tls = 'implicit';
         update control.listener set port = {} where service = 'pop3'; update control.certificate set not_after = now() - interval '1 hour'",
        taken.local_addr().unwrap().port()
    ))
    .await;
    db.until("select exists (select 1 from live.service_status where service = 'pop3' and state = 'failed')")
        .await;
    let page = pages.page("/admin/overview").await;
    assert!(page.contains("one: pop3: port ") && page.contains("has expired"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_administrator_has_an_overview_of_his_own() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "watcher", "auditor").await;
    db.apply(
        "insert into directory.domain (name) values ('other.test');
         insert into directory.account (domain_id, local_part) select id, 'olga' from directory.domain where name = 'other.test';
         update directory.account set manages_domain = true where local_part = 'alice'",
    )
    .await;
    daemon.deliver("bob", "Subject: x\r\n\r\ny\r\n").await;
    db.until("select count(*) = 1 from log.domain_count").await;
    db.sql(
        "insert into log.domain_count (day, domain_id, node, step, count)
         select (now() at time zone 'UTC')::date, id, 'one', 'placed', 777 from directory.domain where name = 'other.test';
         insert into log.domain_storage (day, domain_id, accounts, messages, bytes)
         select (now() at time zone 'UTC')::date, id, 888, 888, 888 * 1024 * 1024 from directory.domain where name = 'other.test'
         on conflict (day, domain_id) do update set bytes = excluded.bytes, messages = excluded.messages",
    )
    .await;
    let auditor = Pages::log_in(&daemon, "watcher", PASSWORD).await;
    let page = auditor.page("/admin/overview").await;
    assert!(tile(&page, "Messages in") == "1" && page.contains("other.test"), "{page}");
    let mut imap = daemon.imap().await;
    imap.run("LOGIN bob@example.test mailwright").await;
    db.until("select exists (select 1 from live.session where login = 'bob@example.test')").await;
    let manager = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    assert_eq!(manager.get("/admin").await.location(), "/admin/overview");
    for path in ["/admin/overview", "/admin/overview?span=hour"] {
        let page = manager.page(path).await;
        assert!(page.contains("<h1>example.test</h1>"), "{page}");
        for (label, number) in
            [("Put into mailboxes", "1"), ("Sent by users", "0"), ("Users", "3"), ("Sessions: imap", "1")]
        {
            assert_eq!(tile(&page, label), number, "{path} {label}: {page}");
        }
        for others in ["other.test", "777", "888", "Refused", "queue", "Certificates", "/admin/page/trace"] {
            assert!(!page.contains(others), "{others}: {page}");
        }
    }
    // Who is no manager any more sees nothing; strangers are sent to the login.
    db.apply("update directory.account set manages_domain = false where local_part = 'alice'").await;
    assert!(manager.get("/admin/overview").await.location().starts_with("/admin/log-in"));
    assert!(Pages::open(&daemon).get("/admin/overview").await.location().starts_with("/admin/log-in"));
    // And the database does not tell either.
    for (kind, function) in
        [("domain", "overview('day')"), ("auditor", "overview_of_domain()"), ("", "overview('day')")]
    {
        let refusal = db
            .refusal(&format!(
                "begin; select set_config('mailwright.kind', '{kind}', true); set local role mailwright_web; select logic.{function}"
            ))
            .await;
        assert!(
            refusal.contains("overview of the whole server") || refusal.contains("do not manage"),
            "{refusal}"
        );
        db.sql("rollback").await;
    }
}

#[tokio::test]
async fn the_overview_in_a_browser() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    let browser = Browser::open(&daemon).await;
    browser.log_in("root", PASSWORD).await;
    browser.see("What to do first").await;
    browser.is_accessible().await;
    browser.picture("overview-first").await;
    // A day with mail in it.
    db.sql(
        "insert into log.mail_count (span, at, node, step, count, messages, bytes)
         select 'hour', date_trunc('hour', now(), 'UTC') - n * interval '1 hour', 'one', s, (100 + 80 * sin(n / 4.0)) * w, (100 + 80 * sin(n / 4.0)) * w, 1e6 * w
         from generate_series(0, 23) n, (values ('accepted', 4), ('placed', 5), ('delivered', 2), ('refused', 3), ('delayed', 1), ('failed', 0.2)) v (s, w);
         insert into log.gauge (span, at, name, value)
         select 'hour', date_trunc('hour', now(), 'UTC') - n * interval '1 hour', g, (20 + 15 * cos(n / 3.0)) * w from generate_series(1, 23) n,
           (values ('queue.waiting', 2), ('queue.oldest_seconds', 60), ('sessions.imap', 5), ('sessions.smtp', 1), ('sessions.pop3', 0.5), ('sessions.webmail', 0.2)) v (g, w)
         where n not between 8 and 10;
         insert into log.destination_count (span, at, domain, node, attempts, delivered, delayed, failed, milliseconds, longest)
         select 'hour', date_trunc('hour', now(), 'UTC'), 'slow' || n || '.example', 'one', 10, 10, 0, 0, n * 9000, n * 1000 from generate_series(1, 9) n;
         insert into directory.domain (name) select 'customer-with-a-long-name-' || n || '.test' from generate_series(1, 9) n;
         insert into log.domain_storage (day, domain_id, accounts, messages, bytes)
         select (now() at time zone 'UTC')::date, id, 10, 100, id * 3e9 from directory.domain on conflict (day, domain_id) do update set bytes = excluded.bytes",
    )
    .await;
    browser.follow("Overview").await;
    browser.see("Over time").await;
    browser.is_accessible().await;
    browser.picture("overview").await;
    browser.go("/admin/overview?span=day#chart-mail").await;
    browser.picture("overview-charts").await;
    browser.follow("Last hour").await;
    browser.follow("Refused").await;
    browser.see("Step: refused").await;
    browser.close().await;
}

// DNS records ---------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn missing_dns_records_are_found_and_shown() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let dns = Dns::start().await;
    dns.set("mail.example.test. 60 IN A 192.0.2.1\nexample.test. 60 IN MX 5 old.example.test.");
    db.apply(&format!(
        "update control.dns set servers = array['{}']; update directory.account set manages_domain = true where local_part = 'alice'",
        dns.address()
    ))
    .await;
    let pages = system(&daemon).await;
    // Without a name of the server there is nothing to look for.
    assert!(!db.value::<bool>("select exists (select 1 from directory.dns_record)").await);
    db.apply("update control.server set hostname = 'mail.example.test'").await;
    let state = |name: &str, kind: &str, state: &str| {
        format!(
            "select exists (select 1 from report.dns_record where domain = 'example.test' and name = '{name}' and type = '{kind}' and state = '{state}')"
        )
    };
    db.until(&state("example.test", "MX", "differs")).await;
    let rows: Vec<String> = db
        .rows("select concat_ws(' ', name, type, need, state, found) from directory.dns_record where need <> 'optional' order by place")
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(
        rows,
        [
            "192.0.2.1 PTR recommended missing",
            "example.test MX required differs 5 old.example.test.",
            "example.test TXT recommended missing",
            "_dmarc.example.test TXT recommended missing",
        ]
    );
    let page = pages.page("/admin/overview").await;
    assert_eq!(tile(&page, "DNS records missing"), "3");
    assert!(page.contains("1 differ") && page.contains("v=spf1 mx -all"), "{page}");
    assert!(page.contains("href=\"/admin/page/dns_record?is.state=missing\""), "{page}");
    let list = pages.page("/admin/page/dns_record?is.state=missing").await;
    assert!(list.contains("_dmarc.example.test") && !list.contains("old.example.test"), "{list}");
    assert!(
        !list.contains("/new\"") && !list.contains(">Remove<"),
        "what the server found nobody writes: {list}"
    );

    // Published, and looked for again by the button: that there was none is not remembered.
    dns.set(
        "_dmarc.example.test. 60 IN TXT \"v=DMARC1; p=none\"\nexample.test. 60 IN MX 10 mail.example.test.",
    );
    let key = db.value::<String>("select jsonb_build_object('domain_id', domain_id, 'place', place)::text from directory.dns_record where type = 'MX'").await;
    let pressed = pages.post("/admin/page/dns_record/act", &[("k", &key), ("do", "check_records")]).await;
    assert!(pressed.location().contains("DNS+is+asked"), "{}", pressed.body);
    db.until(&state("example.test", "MX", "ok")).await;
    db.until(&state("_dmarc.example.test", "TXT", "ok")).await;

    // An administrator of the domain has the same button; an auditor and others have not.
    let domain: i64 = db.value("select id from directory.domain").await;
    dns.set("example.test. 60 IN TXT \"v=spf1 mx -all\"");
    let manager = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    assert_eq!(tile(&manager.page("/admin/overview").await, "DNS records missing"), "2");
    let own = format!("{{\"id\":{domain}}}");
    let pressed = manager.post("/admin/page/domain/act", &[("k", &own), ("do", "check_dns")]).await;
    assert!(pressed.location().contains("DNS+is+asked"), "{}", pressed.body);
    db.until(&state("example.test", "TXT", "ok")).await;
    administrator(&db, "watcher", "auditor").await;
    let auditor = Pages::log_in(&daemon, "watcher", PASSWORD).await;
    let pressed = auditor.post("/admin/page/domain/act", &[("k", &own), ("do", "check_dns")]).await;
    assert_ne!(pressed.status, 303, "{}", pressed.body);
    let row = format!("/admin/page/dns_record/row?k={}", encoded(&key));
    assert!(auditor.page(&row).await.contains("10 mail.example.test."));

    // A new domain is looked at without being asked for, and what is removed takes its records along.
    db.apply("insert into directory.domain (name) values ('second.test')").await;
    db.until("select exists (select 1 from report.dns_record where domain = 'second.test' and type = 'MX' and state = 'missing')").await;
    db.apply("delete from directory.domain where name = 'second.test'").await;
    assert!(
        !db.value::<bool>("select exists (select 1 from report.dns_record where domain = 'second.test')")
            .await
    );
}

// Monitoring ----------------------------------------------------------------------------------------------------------

/// One sample: its labels and its value.
type Sample = (BTreeMap<String, String>, f64);

/// Reads the text format of Prometheus as strictly as its description has it: a family is one block of HELP, TYPE and samples; no name
/// and no sample comes twice; histograms are whole and grow.
fn parsed(text: &str) -> BTreeMap<String, Vec<Sample>> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut all: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let (mut help, mut family): (Option<String>, Option<(String, String)>) = (None, None);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
            assert!(is_name(name) && !words.is_empty(), "{line}");
            (help, family) = (Some(name.to_owned()), None);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(help.take().as_deref(), Some(name), "HELP comes right before TYPE: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            family = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (family, kind) =
                family.as_ref().unwrap_or_else(|| panic!("a sample without a family: {line}"));
            let at = line.find(['{', ' ']).unwrap();
            let (name, mut rest) = line.split_at(at);
            let suffix =
                name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("not of {family}: {line}"));
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            let mut labels = BTreeMap::new();
            while let Some(label) = rest.strip_prefix(['{', ',']) {
                let (key, after) = label.split_once("=\"").unwrap();
                assert!(is_name(key), "{line}");
                let (mut value, mut chars) = (String::new(), after.char_indices());
                let end = loop {
                    match chars.next().unwrap() {
                        (end, '"') => break end,
                        (_, '\\') => match chars.next().unwrap().1 {
                            'n' => value.push('\n'),
                            c @ ('\\' | '"') => value.push(c),
                            c => panic!("\\{c}: {line}"),
                        },
                        (_, c) => value.push(c),
                    }
                };
                assert!(labels.insert(key.to_owned(), value).is_none(), "twice: {line}");
                rest = &after[end + 1..];
                rest = rest.strip_prefix('}').unwrap_or(rest);
            }
            let value: f64 =
                rest.strip_prefix(' ').unwrap().parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(value.is_finite() && (kind == "gauge" || value >= 0.0), "{line}");
            let samples = all.entry(name.to_owned()).or_default();
            assert!(samples.iter().all(|(known, _)| *known != labels), "twice: {line}");
            samples.push((labels, value));
        }
    }
    for (name, _) in families.iter().filter(|(_, kind)| *kind == "histogram") {
        let buckets = &all[&format!("{name}_bucket")];
        let bounds: Vec<f64> =
            buckets.iter().map(|(labels, _)| labels["le"].replace("+Inf", "inf").parse().unwrap()).collect();
        assert!(bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY), "{name}: {bounds:?}");
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{name}: {buckets:?}");
        assert_eq!(buckets.last().unwrap().1, all[&format!("{name}_count")][0].1, "{name}");
    }
    all
}

fn number(metrics: &BTreeMap<String, Vec<Sample>>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has =
        |sample: &&Sample| labels.iter().all(|(key, value)| sample.0.get(*key).is_some_and(|v| v == value));
    let samples = metrics.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", metrics.keys()));
    samples.iter().find(has).unwrap_or_else(|| panic!("no {name} with {labels:?}: {samples:?}")).1
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_the_tables_say() {
    let db = Database::new().await;
    let (daemon, _sink, _net) = scene(&db, Script::default()).await;
    let curl = Pages::open(&daemon);
    let before = parsed(&curl.page("/metrics").await);
    assert_eq!(number(&before, "mailwright_mail_total", &[("step", "placed")]), 0.0);
    for round in 1..3 {
        daemon.deliver("alice", "Subject: x\r\n\r\ny\r\n").await;
        mail(&daemon, "bob@far.test").await;
        db.until(QUEUE_IS_EMPTY).await;
        let answer = curl.get("/metrics").await;
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let metrics = parsed(&answer.body);
        let mail = |step: &str| number(&metrics, "mailwright_mail_total", &[("step", step)]);
        let counted = f64::from(round);
        assert_eq!((mail("accepted"), mail("placed"), mail("delivered")), (2.0 * counted, counted, counted));
        assert_eq!(number(&metrics, "mailwright_accepted_messages_total", &[]), 2.0 * counted);
        assert_eq!(number(&metrics, "mailwright_delivery_seconds_count", &[]), counted);
        assert_eq!(number(&metrics, "mailwright_database_up", &[]), 1.0);
    }
    // Mail that waits, somebody who is connected, a service that is off.
    db.apply(
        "update control.relay set enabled = false; update control.service set enabled = false where name = 'pop3'",
    )
    .await;
    mail(&daemon, "bob@far.test").await;
    let _imap = daemon.imap().await;
    db.until(
        "select exists (select 1 from live.service_status where service = 'pop3' and state = 'stopped')",
    )
    .await;
    let metrics = parsed(&curl.page("/metrics").await);
    assert_eq!(number(&metrics, "mailwright_queue_recipients", &[("state", "waiting")]), 1.0);
    assert!(number(&metrics, "mailwright_queue_oldest_seconds", &[]) > 0.0);
    assert_eq!(number(&metrics, "mailwright_sessions", &[("service", "imap")]), 1.0);
    assert!(number(&metrics, "mailwright_sessions", &[("service", "webmail")]) >= 1.0);
    let service = |name: &str, service: &str| number(&metrics, name, &[("service", service)]);
    assert_eq!(
        (service("mailwright_service_enabled", "pop3"), service("mailwright_service_up", "pop3")),
        (0.0, 0.0)
    );
    assert_eq!(
        (service("mailwright_service_enabled", "imap"), service("mailwright_service_up", "imap")),
        (1.0, 1.0)
    );
    assert_eq!(number(&metrics, "mailwright_listeners", &[("service", "imap"), ("state", "open")]), 2.0);
    let generation: i64 = db.value("select applied_generation from live.node").await;
    assert_eq!(number(&metrics, "mailwright_applied_generation", &[]), generation as f64);
    let ends: f64 =
        db.value("select extract(epoch from not_after)::double precision from control.certificate").await;
    assert!((number(&metrics, "mailwright_certificate_not_after_seconds", &[]) - ends).abs() < 1.0);
    assert!(number(&metrics, "process_resident_memory_bytes", &[]) > 1e6);
    let (now, started): (f64, f64) = (
        db.value("select extract(epoch from now())::double precision").await,
        number(&metrics, "process_start_time_seconds", &[]),
    );
    assert!(started > now - 3600.0 && started < now + 2.0, "{started} {now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_reads_the_numbers() {
    const TOKEN: &str = "a-long-random-text-of-the-monitor";
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let curl = Pages::open(&daemon);
    assert_eq!(curl.get("/metrics").await.status, 200, "from this host");
    db.apply(
        "insert into control.ip_list (name, mode) values ('monitoring', 'only these');
         update control.web set monitor_ip_list_id = (select id from control.ip_list where name = 'monitoring')",
    )
    .await;
    let bearer = async |token: &str| -> Answer {
        curl.curl("/metrics", &["-H".to_owned(), format!("Authorization: Bearer {token}")]).await
    };
    let refused = curl.get("/metrics").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert!(!refused.body.contains("mailwright_"), "{}", refused.body);
    db.until(
        "select exists (select 1 from log.event where level = 'warn' and message like '%/metrics%refused' and peer = '127.0.0.1')",
    )
    .await;
    assert_eq!(bearer(TOKEN).await.status, 401);
    // A token is made on its page; nobody can read it again.
    let pages = system(&daemon).await;
    let short = pages.post("/admin/page/metrics_token/new", &[("c.name", "p"), ("c.token", "short")]).await;
    assert!(
        short.status == 422 && short.body.contains("at least 20 characters"),
        "{} {}",
        short.status,
        short.body
    );
    let made =
        pages.post("/admin/page/metrics_token/new", &[("c.name", "prometheus"), ("c.token", TOKEN)]).await;
    assert_eq!(made.status, 303, "{}", made.body);
    db.wait_applied().await;
    let answer = bearer(TOKEN).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    parsed(&answer.body);
    for wrong in ["", "a-long-random-text-of-the-monitoR", "sha256:"] {
        assert_eq!(bearer(wrong).await.status, 401, "{wrong}");
    }
    let stored: String = db.value("select token::text from control.metrics_token").await;
    assert!(stored.starts_with("sha256:") && bearer(&stored).await.status == 401, "{stored}");
    assert!(!pages.page("/admin/page/metrics_token").await.contains(TOKEN));
    let told: i64 = db
        .value(&format!(
            "select count(*) from log.audit where new::text like '%{TOKEN}%' or new::text like '%{stored}%'"
        ))
        .await;
    assert_eq!(told, 0);
    // Whoever is on the list needs none; a token that is removed is worth nothing.
    db.apply("insert into control.ip_rule (list_id, pattern) select id, '127.0.0.*' from control.ip_list where name = 'monitoring'; delete from control.metrics_token").await;
    assert_eq!(curl.get("/metrics").await.status, 200);
    db.apply("delete from control.ip_rule").await;
    assert_eq!(bearer(TOKEN).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness() {
    let db = Database::new().await;
    let mut daemon = Daemon::start(&db).await;
    let curl = Pages::open(&daemon);
    let ready = async |status: u16, words: &str| {
        ask_until(async || {
            let answer = curl.get("/readyz").await;
            if answer.status == status && answer.body.contains(words) {
                Ok(())
            } else {
                Err(format!("not {status} {words}: {} {}", answer.status, answer.body))
            }
        })
        .await;
    };
    assert_eq!(curl.page("/healthz").await, "ok\n");
    ready(200, "ready\n").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    db.apply(&format!(
        "insert into control.listener (service, address, port, tls) values ('pop3', '127.0.0.1', {port}, 'none')"
    ))
    .await;
    ready(503, &format!("pop3: port {port} on 127.0.0.1 is in use")).await;
    // Who may not know is told no more than that.
    db.apply(
        "insert into control.ip_list (name, mode) values ('nobody', 'only these'); update control.web set monitor_ip_list_id = (select id from control.ip_list)",
    )
    .await;
    assert_eq!(curl.get("/readyz").await.body, "not ready\n");
    assert_eq!(curl.page("/healthz").await, "ok\n");
    db.apply(&format!(
        "delete from control.listener where port = {port}; update control.web set monitor_ip_list_id = null"
    ))
    .await;
    ready(200, "ready\n").await;
    assert!(daemon.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_the_daemon_lives_and_is_not_ready() {
    let cluster = crate::support::cluster::Cluster::start_new(crate::support::cluster::Durability::None);
    let cluster = std::sync::Arc::new(cluster);
    let db = Database::on(&cluster).await;
    let daemon = Daemon::start(&db).await;
    let curl = Pages::open(&daemon);
    assert_eq!(curl.page("/readyz").await, "ready\n");
    cluster.stop_immediate();
    ask_until(async || {
        let answer = curl.get("/readyz").await;
        let told = answer.body.contains("not ready\nthe database does not answer");
        if answer.status == 503 && told { Ok(()) } else { Err(format!("{} {}", answer.status, answer.body)) }
    })
    .await;
    assert_eq!(curl.page("/healthz").await, "ok\n");
    let metrics = parsed(&curl.page("/metrics").await);
    assert_eq!(number(&metrics, "mailwright_database_up", &[]), 0.0);
    assert!(
        metrics.contains_key("mailwright_mail_total") && !metrics.contains_key("mailwright_queue_recipients")
    );
    cluster.start();
    ask_until(async || {
        let answer = curl.get("/readyz").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
    })
    .await;
}
