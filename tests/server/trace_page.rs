//! What became of messages, in the browser: found by what is known of them, told from beginning to end; and lists of the log that
//! stay quick when they are long.

use crate::admin::administrator;
use crate::relay::{QUEUE_IS_EMPTY, alice, scene, send};
use crate::support::daemon::PASSWORD;
use crate::support::pages::{Pages, encoded};
use crate::support::sink::{Act, At};
use crate::support::{Daemon, Database, Dialogue, Script};

async fn system(daemon: &Daemon<'_>) -> Pages {
    administrator(daemon.db(), "root", "system").await;
    Pages::log_in(daemon, "root", PASSWORD).await
}

async fn say(smtp: &mut Dialogue, line: &str, answer: &str) {
    smtp.send(line).await;
    smtp.expect(answer).await;
}

/// A message from outside.
async fn bring(daemon: &Daemon<'_>, sender: &str, recipients: &[&str], message: &str) {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    say(&mut smtp, "EHLO client.example.net", "250").await;
    say(&mut smtp, &format!("MAIL FROM:<{sender}>"), "250").await;
    for recipient in recipients {
        say(&mut smtp, &format!("RCPT TO:<{recipient}>"), "250").await;
    }
    say(&mut smtp, "DATA", "354").await;
    smtp.data(message).await;
    smtp.expect("250").await;
}

/// Where the stories are that a search finds.
async fn found(pages: &Pages, search: &str) -> Vec<String> {
    let page = pages.page(&format!("/admin/find?{search}")).await;
    let links = page.split("<a href=\"/admin/message/").skip(1).filter_map(|rest| rest.split('"').next());
    links.map(|message| format!("/admin/message/{message}")).collect()
}

/// The text of a page, without its tags.
fn text(page: &str) -> String {
    let mut text = String::new();
    for piece in page.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, rest)| rest));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// These parts, in this order.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { panic!("{part}\n---\n{text}") };
        rest = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_told_from_the_client_to_every_attempt() {
    let db = Database::new().await;
    let hostile = "450 4.2.0 <script>alert(1)</script> later";
    let script = Script::default().always(At::Rcpt, Act::reply(hostile));
    let (daemon, sink, _net) = scene(&db, script).await;
    let pages = system(&daemon).await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>", "<carol@example.test>"], "x").await;
    db.until("select exists (select 1 from queue.attempt where outcome = 'delayed')").await;
    db.until("select count(*) >= 4 from log.trace").await;
    db.sql("select queue.hold(id) from queue.message").await;
    db.until("select leased_until is null from queue.recipient").await;
    let stories = found(&pages, "sender=ALICE@example.test").await;
    assert_eq!(stories.len(), 1, "{stories:?}");
    let page = pages.page(&stories[0]).await;
    assert!(!page.contains("<script>"), "{page}");
    let read = text(&page);
    assert_in_order(
        &read,
        &[
            "From alice@example.test",
            "Brought by 127.0.0.1",
            "Message-ID &#60;hello@client.test&#62;",
            "In the queue now",
            "bob@far.test held",
            "What happened",
            "accepted bob@far.test from 127.0.0.1, logged in as alice@example.test",
            "in INBOX of carol@example.test, UID 1",
            "delayed bob@far.test by mx.far.test [127.",
            "450 4.2.0 &#60;script&#62;alert(1)&#60;/script&#62; later",
            "held bob@far.test",
            "held by mailwright",
            "Header",
            "Subject: Hello",
        ],
    );
    // From the queue and from the trace it is one click.
    for list in ["/admin/page/delivery", "/admin/page/trace"] {
        let list = pages.page(list).await;
        assert!(list.contains(&format!("<a href=\"{}\">", stories[0])), "{list}");
    }
    let queue_row = format!("{{\"id\":{}}}", db.value::<i64>("select id from queue.recipient").await);
    let row = pages.page(&format!("/admin/page/delivery/row?k={}", encoded(&queue_row))).await;
    assert!(row.contains(&format!("<a href=\"{}\">", stories[0])), "{row}");
    // The events of the session that brought it.
    let session =
        page.split("href=\"/admin/page/event?").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    pages.page(&format!("/admin/page/event?{}", session.replace("&#38;", "&"))).await;
    sink.heal();
    pages.post("/admin/page/delivery/act", &[("k", &queue_row), ("do", "release")]).await;
    db.until(QUEUE_IS_EMPTY).await;
    let page = text(&pages.page(&stories[0]).await);
    assert_in_order(
        &page,
        &["held by mailwright", "released by root", "delivered bob@far.test by mx.far.test"],
    );
    assert!(!page.contains("In the queue now"));
    assert!(pages.page("/admin/find?recipient=bob@far.test").await.contains("delivered"));

    // An auditor sees all of it, but not the header.
    administrator(&db, "watcher", "auditor").await;
    let auditor = Pages::log_in(&daemon, "watcher", PASSWORD).await;
    let page = auditor.page(&stories[0]).await;
    assert!(page.contains("delivered") && !page.contains("Subject: Hello"), "{page}");
    for path in [
        "/admin/message/none-1",
        "/admin/message/%00",
        "/admin/message/queue-99999999999999999999",
        "/admin/message/%27",
    ] {
        assert_eq!(pages.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_whatever_is_known_of_them() {
    let db = Database::new().await;
    // Mail is verified, with what this DNS knows.
    let dns = crate::verify::world().await;
    let daemon = crate::verify::daemon(&db, &dns).await;
    let pages = system(&daemon).await;
    bring(&daemon, "Sender@example.net", &["alice@example.test", "bob@example.test"], "Authentication-Results: other.test; dmarc=pass (forged)\r\nMessage-ID: <one@x.test>\r\nSubject: <b>x</b>\r\n\r\nx\r\n").await;
    bring(&daemon, "", &["bob@example.test"], "Message-ID: <two@x.test>\r\n\r\nx\r\n").await;
    db.until("select count(*) = 6 from log.trace").await;
    for (search, count) in [
        ("sender=sender@EXAMPLE.net", 1),
        ("recipient=alice@example.test", 1),
        ("recipient=bob@example.test", 2),
        ("recipient=bob@example.test&sender=sender@example.net", 1),
        ("message_id=two@x.test", 1),
        ("message_id=%3Ctwo@x.test%3E", 1),
        ("nobody=yes", 1),
        ("peer=127.0.0.1", 2),
        ("peer=127.0.0.1&from=2020-01-01T00:00&until=2020-01-02", 0),
        ("peer=127.0.0.1&from=2020-01-01T00:00:00", 2),
        ("sender=nobody@example.net", 0),
        ("sender=%27%20or%20true%20--", 0),
    ] {
        assert_eq!(found(&pages, search).await.len(), count, "{search}");
    }
    let all = pages.page("/admin/find?recipient=bob@example.test").await;
    assert!(all.contains("<td data-label=\"From\" class=\"long\">nobody</td>"), "{all}");
    for (search, says) in [
        ("peer=10.0.0", "is no IP address"),
        ("sender=a@b.test&from=soon", "is no time"),
        ("from=2026-11-26", "Give a sender"),
        ("sender=%3Cscript%3E&peer=%3Cscript%3E", "&#60;script&#62;"),
    ] {
        let answer = pages.get(&format!("/admin/find?{search}")).await;
        assert!(answer.status == 422 && answer.body.contains(says), "{search}: {}", answer.body);
        assert!(!answer.body.contains("<script>"));
    }
    // What the verification found is told, and the header is text.
    let story = found(&pages, "message_id=one@x.test").await.remove(0);
    let page = pages.page(&story).await;
    // What the message says itself of its authenticity is not what was found.
    let verdict =
        text(&page).split_once("What was found mail.example.test;").map(|(_, rest)| rest.to_owned());
    assert!(
        verdict.is_some_and(|verdict| verdict.contains("spf=")
            && !verdict.split("What happened").next().unwrap().contains("forged")),
        "{page}"
    );
    assert!(page.contains("Subject: &#60;b&#62;x&#60;/b&#62;") && !page.contains("<b>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_administrator_finds_the_mail_of_his_domain() {
    let db = Database::new().await;
    let (daemon, _sink, _net) = scene(&db, Script::default()).await;
    db.apply("insert into directory.domain (name) values ('other.test');
        insert into directory.account (domain_id, local_part) select id, 'olga' from directory.domain where name = 'other.test';
        update directory.account set manages_domain = true where local_part = 'alice'").await;
    let pages = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    // From outside to both domains; from outside to the other one, with a sender that says it is of this one; from here to outside.
    bring(
        &daemon,
        "x@example.net",
        &["olga@other.test", "bob@example.test"],
        "Message-ID: <both@x.test>\r\n\r\nx\r\n",
    )
    .await;
    bring(&daemon, "carol@example.test", &["olga@other.test"], "Message-ID: <forged@x.test>\r\n\r\nx\r\n")
        .await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>", "<olga@other.test>"], "x").await;
    db.until(QUEUE_IS_EMPTY).await;
    db.until("select count(*) = 10 from log.trace where step in ('accepted', 'placed', 'queued')").await;
    assert!(found(&pages, "sender=carol@example.test").await.is_empty());
    assert!(found(&pages, "message_id=forged@x.test").await.is_empty());
    for search in ["recipient=olga@other.test", "sender=x@example.net", "peer=127.0.0.1"] {
        let answer = pages.get(&format!("/admin/find?{search}")).await;
        assert!(answer.status == 422 && answer.body.contains("of your domain"), "{search}: {}", answer.body);
    }
    let both = found(&pages, "recipient=bob@example.test").await;
    assert_eq!((both.len(), found(&pages, "message_id=both@x.test").await), (1, both.clone()));
    let page = pages.page(&both[0]).await;
    assert!(page.contains("x@example.net") && page.contains("bob@example.test"), "{page}");
    assert!(
        !page.contains("olga") && !page.contains("Header") && !page.contains("/admin/page/event"),
        "{page}"
    );
    // What his own users send he sees to its end.
    let sent = found(&pages, "sender=alice@example.test").await;
    assert_eq!(sent.len(), 1);
    let page = pages.page(&sent[0]).await;
    assert!(page.contains("delivered") && page.contains("olga@other.test"), "{page}");
    // By its name a story of others is not there either; and lists of everything are not his.
    let forged: String = db.value("select message from log.trace where message_id = '<forged@x.test>'").await;
    assert_eq!(pages.get(&format!("/admin/message/{forged}")).await.status, 404);
    for path in ["/admin/page/trace", "/admin/page/event", "/admin/page/delivery", "/admin/queue"] {
        assert_eq!(pages.get(path).await.status, 403, "{path}");
    }
    db.apply("update directory.account set manages_domain = false where local_part = 'alice'").await;
    assert!(pages.get(&sent[0]).await.location().starts_with("/admin/log-in"));
}

/// A hundred thousand events, one each second until now.
const MANY: &str = "insert into log.event (at, session_id, level, node, service, message)
    select now() - n * interval '1 second', n / 10, (array['debug', 'info', 'warn', 'error'])[1 + n % 4]::log.level, 'one',
      (array['smtp', 'imap'])[1 + n % 2], case when n = 77777 then 'needle' else 'hay' end
    from generate_series(100000, 1, -1) n";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_filtered_by_level_service_text_and_time() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    db.sql(&format!("{MANY}; analyze log.event")).await;
    let form = pages.page("/admin/page/event").await;
    for part in [
        "<summary>Filter</summary>",
        "<label for=\"w-from.level\">Level at least</label>",
        "<option value=\"warn\">warn</option>",
        "<label for=\"w-from.at\">At from (UTC)</label>",
        "name=\"until.at\" type=\"datetime-local\"",
        "<label for=\"w-is.service\">Service</label>",
    ] {
        assert!(form.contains(part), "{part}\n{form}");
    }
    let rows = async |search: &str| -> usize {
        pages.page(&format!("/admin/page/event/csv?{search}")).await.lines().count() - 1
    };
    // So long before they were written.
    let written: jiff::Timestamp =
        db.value("select max(at) + interval '1 second' from log.event where message = 'hay'").await;
    let from = |seconds: i64| encoded(&(written - jiff::SignedDuration::from_secs(seconds)).to_string());
    let errors: i64 =
        db.value("select count(*) from log.event where level = 'error' and service = 'imap'").await;
    assert!(errors > 5000);
    assert_eq!(rows("from.level=error&is.service=imap").await, errors as usize);
    assert_eq!(rows("from.level=error&is.service=smtp&q=hay").await, 0);
    assert_eq!(rows("q=needle").await, 1);
    let needle = format!("from.at={}&until.at={}", from(77_787), from(77_767));
    assert_eq!(rows(&format!("q=needle&{needle}")).await, 1);
    assert_eq!(rows(&format!("q=needle&until.at={}", from(77_787))).await, 0);
    let hour = rows(&format!("from.at={}&until.at={}&from.level=error", from(7200), from(3600))).await;
    assert_eq!(hour, 900);
    let list = pages.page(&format!("/admin/page/event?from.level=warn&{needle}&by=at&way=up")).await;
    assert!(list.contains("Level: at least warn") && list.contains("At: from 2"), "{list}");
    assert!(
        list.contains("<option value=\"warn\" selected>")
            && list.contains("<details class=\"filters\" open>"),
        "{list}"
    );
    // What is chosen stays when one searches, sorts and turns the page.
    assert!(list.contains("<input type=\"hidden\" name=\"from.level\" value=\"warn\">"), "{list}");
    let mut seen = 0;
    let mut path = format!("/admin/page/event?from.level=error&from.at={}&by=at", from(800));
    loop {
        let page = pages.page(&path).await;
        seen += page.matches("<td data-label=\"Level\"").count();
        match page.split("class=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()) {
            Some(next) => path = next.replace("&#38;", "&"),
            None => break,
        }
    }
    let own: i64 = db
        .value("select count(*) from log.event where level = 'error' and message not in ('hay', 'needle')")
        .await;
    assert_eq!(seen, 200 + own as usize);
    for (search, says) in [("from.at=yesterday", "is no time"), ("until.at=%3Cscript%3E", "&#60;script&#62;")]
    {
        let answer = pages.get(&format!("/admin/page/event?{search}")).await;
        assert!(answer.status == 422 && answer.body.contains(says), "{}", answer.body);
        assert!(!answer.body.contains("<script>") && !answer.body.contains("data-label=\"Level\""));
        assert_eq!(pages.get(&format!("/admin/page/event/csv?{search}")).await.status, 403);
    }
    for nothing in [
        "from.level=loud",
        "is.level=loud",
        "is.session_id=x",
        "is.session_id=99999999999999999999",
        "is.service=%27",
    ] {
        assert!(
            pages.page(&format!("/admin/page/event?{nothing}")).await.contains("Nothing matches"),
            "{nothing}"
        );
    }
    // What is none of the columns, or can't be bounded, filters nothing.
    for all in ["from.message=x", "until.nothing=1", "from.at%27=1", "from.=2026-01-01", "least.level=warn"] {
        assert!(rows(all).await > 50_000, "{all}");
    }
    // Yes or no, and what a reference refers to.
    let accounts = pages.page("/admin/page/account?is.active=true").await;
    assert!(
        accounts.contains("alice") && accounts.contains("<option value=\"true\" selected>yes</option>"),
        "{accounts}"
    );
    let domain: i64 = db.value("select id from directory.domain where name = 'example.test'").await;
    assert!(accounts.contains(&format!("<option value=\"{domain}\">example.test</option>")), "{accounts}");
    assert!(pages.page("/admin/page/account?is.active=false").await.contains("Nothing matches"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_read_by_their_indexes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    db.sql(&format!("{MANY}; analyze log.event")).await;
    db.sql("insert into log.trace (at, step, node, message, sender, recipient)
        select now() - n * interval '1 second', 'accepted', 'one', n || '-1', 's' || n || '@x.test', 'r' || n || '@y.test' from generate_series(100000, 1, -1) n;
        analyze log.trace").await;
    for path in [
        "/admin/page/event",
        "/admin/page/event?by=at",
        "/admin/page/event?by=at&way=up",
        "/admin/page/event?from.level=warn",
        "/admin/page/trace",
        "/admin/page/trace?by=at&way=down",
        "/admin/page/trace?is.message=77-1",
        "/admin/find?sender=s77@x.test",
        "/admin/find?recipient=R77@y.test",
    ] {
        let page = pages.page(path).await;
        assert!(page.contains("data-label"), "{path}");
    }
    // Nobody sorts: what a page asks for, explained with the settings of its transaction.
    let client = db.connect().await;
    client
        .batch_execute("begin; set local enable_seqscan = off; select set_config('mailwright.kind', 'system', true), set_config('role', 'mailwright_web', true)")
        .await
        .unwrap();
    for (query, index) in [
        ("select * from admin.event v order by v.id desc limit 51", "event_pkey"),
        (
            "select * from admin.event v where v.level >= 'warn'::log.level order by v.id desc limit 51",
            "event_serious",
        ),
        ("select * from admin.trace v order by v.id desc limit 51", "trace_pkey"),
        ("select * from admin.trace v where v.message = '77-1' order by v.id desc limit 51", "trace_message"),
        ("select * from log.trace t where t.message = any (array['77-1', '78-1'])", "trace_message"),
        ("select * from admin.delivery v order by v.id desc limit 51", "recipient_pkey"),
    ] {
        let plan = client.query(&format!("explain {query}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index), "{query}\n{plan}");
        let sorts_all = plan.contains("Sort") && !plan.contains("trace_message");
        assert!(
            !sorts_all && !plan.contains("Seq Scan on event") && !plan.contains("Seq Scan on trace"),
            "{query}\n{plan}"
        );
    }
    client.batch_execute("rollback").await.unwrap();
    // The search itself works as the owner, by the index that its words ask for.
    let client = db.connect().await;
    client.batch_execute("begin; set local enable_seqscan = off").await.unwrap();
    let plan = client
        .query("explain select * from log.trace t where lower(t.sender) = lower('s77@x.test')", &[])
        .await
        .unwrap();
    assert!(plan.iter().any(|row| row.get::<_, String>(0).contains("trace_sender")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_takes_too_long_is_given_up_and_says_so() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    db.apply("update control.web set search_seconds = 1").await;
    // A search that waits is as slow as can be.
    let client = db.connect().await;
    client.batch_execute("begin; lock table log.event, log.trace in access exclusive mode").await.unwrap();
    let answer = pages.get("/admin/page/event?q=hay&from.level=warn").await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(
        answer.body.contains("took too long") && answer.body.contains("narrow the time"),
        "{}",
        answer.body
    );
    assert!(answer.body.contains("name=\"from.at\""), "{}", answer.body);
    let answer = pages.get("/admin/find?sender=x@y.test").await;
    assert!(answer.status == 422 && answer.body.contains("took too long"), "{}", answer.body);
    client.batch_execute("rollback").await.unwrap();
    pages.page("/admin/page/event?q=hay").await;
    assert!(db.refusal("update control.web set search_seconds = 0").await.contains("1 to 300 seconds"));
}
