//! The queue in the browser: what is counted, and what is done to one recipient or to all of a destination or a state.

use crate::admin::administrator;
use crate::relay::{QUEUE_IS_EMPTY, mail, scene};
use crate::support::daemon::PASSWORD;
use crate::support::pages::{Answer, Pages, encoded};
use crate::support::sink::{Act, At};
use crate::support::{Daemon, Database, Script};

/// Nothing goes out: `waiting` recipients of one message for each of two destinations, 3 of them held.
async fn full_queue(db: &Database, waiting: i32) {
    db.apply("update control.relay set enabled = false").await;
    db.sql(&format!(
        "insert into queue.message (id, content_id, size, sender, received_at, trace) values
           (1001, 1, 100, 'alice@example.test', now() - interval '2 minutes', 'first-1'),
           (1002, 2, 100, 'bob@example.test', now() - interval '2 days', null);
         insert into queue.recipient (message_id, address, domain, next_attempt_at, last_attempt_at, last_reply)
           select 1001, 'user' || n || '@far.test', 'far.test', now() + n * interval '1 minute', now(), '450 <b>come</b> again'
           from generate_series(1, {waiting}) n;
         insert into queue.recipient (message_id, address, domain, state, next_attempt_at)
           select 1002, 'user' || n || '@other.test', 'other.test', case when n <= 3 then 'held' else 'waiting' end::queue.state,
             now() + interval '1 hour'
           from generate_series(1, {waiting}) n;
         insert into log.trace (at, step, node, message, recipient, queue_id)
           select now(), 'queued', 'one', 'first-1', 'user' || n || '@far.test', 1001 from generate_series(1, {waiting}) n"
    ))
    .await;
}

async fn system(daemon: &Daemon<'_>) -> Pages {
    administrator(daemon.db(), "root", "system").await;
    Pages::log_in(daemon, "root", PASSWORD).await
}

/// How many recipients are in these states: waiting and due, waiting for later, held.
async fn states(db: &Database, domain: &str) -> (i64, i64, i64) {
    let row = &db
        .rows(&format!(
            "select count(*) filter (where state = 'waiting' and next_attempt_at <= now()),
               count(*) filter (where state = 'waiting' and next_attempt_at > now()), count(*) filter (where state = 'held')
             from queue.recipient where domain = '{domain}'"
        ))
        .await[0];
    (row.get(0), row.get(1), row.get(2))
}

/// What people did to the queue, as the trace has it: step, message, recipients, who.
async fn done(db: &Database) -> Vec<(String, String, i64, String)> {
    let rows = db
        .rows(
            "select step::text, message, count(*), reply from log.trace where step::text in ('held', 'released', 'retried', 'cancelled')
             group by 1, 2, 4 order by min(id)",
        )
        .await;
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

fn said(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.body);
    let address = answer.location();
    let said = address.split_once("said=").map_or("", |(_, said)| said);
    let said = said.replace('+', " ").replace("%2C", ",").replace("%3A", ":");
    said.split('&').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_counted_and_each_count_leads_to_its_rows() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    assert!(pages.page("/admin/queue").await.contains("Nothing waits"));
    full_queue(&db, 20).await;
    db.sql("update queue.destination set down_until = now() + interval '1 hour', down_reason = 'no route to <i>host</i>' where domain = 'other.test'").await;
    let page = pages.page("/admin/queue").await;
    for part in [
        "aria-current=\"page\"",
        "<a href=\"/admin/page/delivery?is.state=waiting\">37</a>",
        "<a href=\"/admin/page/delivery?is.state=held\">3</a>",
        "<a href=\"/admin/page/delivery?is.domain=far.test&#38;is.state=waiting\">20</a>",
        "<a href=\"/admin/page/delivery?is.domain=other.test&#38;is.state=held\">3</a>",
        "450 &#60;b&#62;come&#60;/b&#62; again",
        "no route to &#60;i&#62;host&#60;/i&#62;",
        "less than an hour",
        "1 to 5 days",
        "Retry all 20",
        "Retry 17",
        "Release 3",
        "Cancel all 3<",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!page.contains("<b>") && !page.contains("<i>"));
    let links: Vec<String> = page
        .split("href=\"/admin/page/delivery?")
        .skip(1)
        .filter_map(|rest| rest.split_once("\">").map(|(link, rest)| (link, rest.split_once('<'))))
        .map(|(link, rest)| format!("{}={}", link.replace("&#38;", "&"), rest.unwrap().0))
        .collect();
    // Two states, two ages, and for each destination what waits and what is held.
    assert_eq!(links.len(), 8, "{links:?}");
    for link in links {
        let (link, count) = link.rsplit_once('=').unwrap();
        let list = pages.page(&format!("/admin/page/delivery/csv?{link}")).await;
        assert_eq!(list.lines().count() - 1, count.parse::<usize>().unwrap(), "{link}");
        let list = pages.page(&format!("/admin/page/delivery?{link}")).await;
        assert!(list.contains("class=\"chip\""), "{link}");
    }
    // Of many destinations those are shown whose name has the words.
    let found = pages.page("/admin/queue?q=OTHER").await;
    assert!(found.contains("is.domain=other.test") && !found.contains("is.domain=far.test"), "{found}");
    assert!(pages.page("/admin/queue?q=%25").await.contains("Nothing waits for such a destination"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_destination_is_retried_held_released_and_cancelled() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    full_queue(&db, 20).await;
    let press = async |action: &str, fields: &[(&str, &str)]| {
        pages.post("/admin/queue", &[&[("do", action)], fields].concat()).await
    };
    // What is held stays held.
    let answer = press("retry", &[("domain", "other.test")]).await;
    assert_eq!(said(&answer), "mail for other.test: 17 recipients are tried now.");
    assert_eq!((states(&db, "other.test").await, states(&db, "far.test").await), ((17, 0, 3), (0, 20, 0)));
    let answer = press("hold", &[("domain", "far.test")]).await;
    assert_eq!(said(&answer), "mail for far.test: 20 recipients are held.");
    assert_eq!((states(&db, "other.test").await, states(&db, "far.test").await), ((17, 0, 3), (0, 0, 20)));
    let answer = press("release", &[("state", "held")]).await;
    assert_eq!(said(&answer), "mail that is held: 23 recipients are released, and tried now.");
    assert_eq!((states(&db, "other.test").await, states(&db, "far.test").await), ((20, 0, 0), (20, 0, 0)));
    let answer = press("release", &[("domain", "far.test")]).await;
    assert_eq!(said(&answer), "mail for far.test: 0 recipients are released, and tried now.");
    // Cancelling asks first, and says what it is about.
    let asked = press("cancel", &[("domain", "far.test")]).await;
    assert_eq!(asked.status, 200);
    assert!(
        asked.body.contains("All mail for far.test: 20 recipients of 1 messages.")
            && asked.body.contains("the senders are not told"),
        "{}",
        asked.body
    );
    assert_eq!(states(&db, "far.test").await, (20, 0, 0));
    let answer = press("cancel", &[("domain", "far.test"), ("sure", "yes")]).await;
    assert_eq!(said(&answer), "mail for far.test: 20 recipients are cancelled.");
    assert_eq!(db.value::<i64>("select count(*) from queue.message").await, 1);
    assert_eq!(
        db.value::<i64>(
            "select count(*) from queue.attempt where outcome = 'cancelled' and reply = 'cancelled by root'"
        )
        .await,
        20
    );
    let step = |step: &str, message: &str, count: i64, reply: &str| {
        (step.to_owned(), message.to_owned(), count, reply.to_owned())
    };
    assert_eq!(
        done(&db).await,
        [
            step("retried", "queue-1002", 17, "retried by root"),
            step("held", "first-1", 20, "held by root"),
            step("released", "first-1", 20, "released by root"),
            step("released", "queue-1002", 3, "released by root"),
            step("cancelled", "first-1", 20, "cancelled by root"),
        ]
    );
    // In the story it is told once.
    let told: i64 =
        db.value("select count(*) from report.trace where message = 'first-1' and step = 'cancelled'").await;
    assert_eq!(told, 20);
    // What makes no sense changes nothing.
    for (action, fields) in [
        ("retry", &[][..]),
        ("cancel", &[("sure", "yes")]),
        ("destroy", &[("state", "waiting")]),
        ("retry", &[("state", "'; drop table queue.recipient; --")]),
        ("cancel", &[("state", "lost"), ("sure", "yes")]),
    ] {
        let answer = press(action, fields).await;
        assert_eq!(answer.status, 422, "{action} {fields:?}: {}", answer.body);
    }
    let hostile = "<script>alert(1)</script>";
    let answer = press("cancel", &[("domain", hostile)]).await;
    assert!(answer.status == 200 && !answer.body.contains("<script>"), "{}", answer.body);
    assert_eq!(states(&db, "other.test").await, (20, 0, 0));
    // Without what the page carries it is refused.
    let answer = pages.curl("/admin/queue", &["-ddo=cancel&state=waiting&sure=yes".to_owned()]).await;
    assert_eq!((answer.status, states(&db, "other.test").await), (403, (20, 0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_is_done_at_once_takes_more_than_one_press() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    full_queue(&db, 10_500).await;
    let hold = async || pages.post("/admin/queue", &[("do", "hold"), ("domain", "far.test")]).await;
    assert_eq!(
        said(&hold().await),
        "mail for far.test: 10,000 recipients are held. There is more: press the button again."
    );
    assert_eq!(said(&hold().await), "mail for far.test: 500 recipients are held.");
    assert_eq!(states(&db, "far.test").await, (0, 0, 10_500));
    let asked = pages.post("/admin/queue", &[("do", "cancel"), ("state", "held")]).await;
    assert!(asked.body.contains("10,503 recipients") && asked.body.contains("10,000"), "{}", asked.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_the_list_is_held_and_released_and_never_by_surprise() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let pages = system(&daemon).await;
    full_queue(&db, 1).await;
    let key = format!(
        "{{\"id\":{}}}",
        db.value::<i64>("select id from queue.recipient where domain = 'far.test'").await
    );
    let press = async |action: &str| {
        let answer =
            pages.post("/admin/page/delivery/act", &[("k", &key), ("do", action), ("sure", "yes")]).await;
        said(&answer)
    };
    assert_eq!(press("release").await, "it is not held");
    assert_eq!(press("hold").await, "it is held");
    assert_eq!(states(&db, "far.test").await, (0, 0, 1));
    assert_eq!(press("retry").await, "it is held and stays so: to send it, release it");
    assert_eq!(states(&db, "far.test").await, (0, 0, 1));
    assert_eq!(press("release").await, "it is released, and tried now");
    assert_eq!(states(&db, "far.test").await, (1, 0, 0));
    db.sql("update queue.recipient set next_attempt_at = now() + interval '1 hour'").await;
    assert_eq!(press("retry").await, "it is tried now");
    assert_eq!(press("cancel").await, "it is cancelled");
    let steps: Vec<String> =
        done(&db).await.into_iter().map(|(step, _, _, who)| format!("{step}: {who}")).collect();
    assert_eq!(
        steps,
        [
            "held: held by root",
            "released: released by root",
            "retried: retried by root",
            "cancelled: cancelled by root"
        ]
    );
    // By SQL it is the same, under the name of who did it; and what only changes a time to come is nobody's wish to try.
    db.sql("select queue.hold(1002)").await;
    db.sql("select queue.release(1002); update queue.recipient set next_attempt_at = now() + interval '2 hours'; select queue.retry(1002)").await;
    db.sql("delete from queue.message where id = 1002").await;
    let by_sql = done(&db).await.into_iter().filter(|(_, message, ..)| message == "queue-1002");
    let steps: Vec<String> = by_sql.map(|(step, _, _, who)| format!("{step}: {who}")).collect();
    let expected = ["released", "retried", "cancelled"].map(|step| format!("{step}: {step} by mailwright"));
    assert_eq!(steps, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_own_work_leaves_no_such_steps() {
    let db = Database::new().await;
    let script = Script::default().always(At::Rcpt, Act::reply("450 4.2.0 come again"));
    let (daemon, sink, _net) = scene(&db, script).await;
    let pages = system(&daemon).await;
    mail(&daemon, "bob@far.test").await;
    db.until("select count(*) >= 2 from queue.attempt where outcome = 'delayed'").await;
    assert!(done(&db).await.is_empty());
    db.until("select exists (select 1 from log.trace where step = 'queued')").await;
    pages.post("/admin/queue", &[("do", "hold"), ("state", "waiting")]).await;
    db.until("select state = 'held' and leased_until is null from queue.recipient").await;
    let page = pages.page("/admin/queue").await;
    assert!(page.contains("is.domain=far.test") && page.contains("Release all 1"), "{page}");
    sink.heal();
    pages.post("/admin/queue", &[("do", "release"), ("domain", "far.test")]).await;
    db.until(QUEUE_IS_EMPTY).await;
    let steps: Vec<String> = done(&db).await.into_iter().map(|(step, ..)| step).collect();
    assert_eq!(steps, ["held", "released"]);
    let list = format!(
        "/admin/page/delivery?is.state={}&from.received_at={}",
        encoded("no such"),
        encoded("2026-01-01 00:00")
    );
    assert!(pages.page(&list).await.contains("Nothing matches"));
}
