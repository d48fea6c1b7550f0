//! Looking into a user's mailbox: who may, what he sees, what is left in the log, and that nothing changes.

use crate::admin::administrator;
use crate::support::daemon::PASSWORD;
use crate::support::pages::Pages;
use crate::support::{Daemon, Database};

async fn id(db: &Database, user: &str) -> i64 {
    db.value(&format!("select id from directory.account where local_part = '{user}'")).await
}

async fn inbox(db: &Database, account: i64) -> i64 {
    db.value(&format!("select id from store.mailbox where account_id = {account} and name = 'INBOX'")).await
}

const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>";

fn hostile() -> String {
    format!(
        "Subject: {EVIL}\r\nFrom: \"{EVIL}\" <evil@example.net>\r\nX-Odd: {EVIL}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nplain words {EVIL}\r\n\
         --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         PGh0bWw+PHNjcmlwdD5oaWRkZW4oKTwvc2NyaXB0PjxwPmh0bWwgd29yZHM8L3A+PGltZyBzcmM9Imh0dHA6Ly90cmFjay50ZXN0L3giPiZsdDtiJmd0OzwvaHRtbD4=\r\n\
         --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"{0}.pdf\"\r\n\r\nPDFBYTES\r\n\
         --b--\r\n",
        EVIL.replace('"', "")
    )
}

fn is_harmless(page: &str) {
    for tag in ["<script>", "<img", "onerror=alert(2)>\"", "track.test/x\""] {
        assert!(!page.contains(tag), "{tag}: {page}");
    }
}

#[tokio::test]
async fn a_mailbox_is_looked_into_for_a_reason_and_nothing_changes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "root", "system").await;
    let pages = Pages::log_in(&daemon, "root", PASSWORD).await;
    for n in 1..=60 {
        daemon.deliver("bob", &format!("Subject: number {n:02}\r\n\r\nsecret text {n}\r\n")).await;
    }
    daemon.deliver("bob", &hostile()).await;
    let mut imap = daemon.imap().await;
    imap.login("bob").await;
    imap.run("CREATE \"<script>alert(3)</script>\"").await;
    let (bob, carol) = (id(&db, "bob").await, id(&db, "carol").await);
    let (box_id, other_box) = (inbox(&db, bob).await, inbox(&db, carol).await);
    let state = "select string_agg(concat_ws(' ', m.uid, m.seen, m.modseq, m.flagged), ';' order by m.uid) from store.message m";
    let boxes = "select string_agg(concat_ws(' ', b.name, b.highest_modseq, b.recent_uid, b.uid_next), ';' order by b.account_id, b.id) from store.mailbox b";
    let before: (String, String) = (db.value(state).await, db.value(boxes).await);
    // The way there is on the user's page; without a reason it ends there.
    let row = pages.page(&format!("/admin/page/account/row?k=%7B%22id%22%3A{bob}%7D")).await;
    let path = format!("/admin/mailbox/{bob}");
    assert!(row.contains(&format!("href=\"{path}\"")), "{row}");
    let uid: i64 = db.value("select max(uid) from store.message").await;
    let (folder, message) = (format!("{path}/{box_id}"), format!("{path}/{box_id}/{uid}"));
    for path in [&path, &folder, &message] {
        let page = pages.page(path).await;
        assert!(
            page.contains("name=\"reason\"") && !page.contains("number 60") && !page.contains("words"),
            "{page}"
        );
    }
    for reason in ["", "  x ", &"y".repeat(501)] {
        let refused = pages.post(&path, &[("do", "open"), ("reason", reason)]).await;
        assert!(refused.status == 422 && refused.body.contains("3 to 500 characters"), "{}", refused.body);
    }
    let no_form = pages.curl(&path, &["-ddo=open&reason=because".to_owned()]).await;
    assert_eq!(no_form.status, 403);
    assert_eq!(db.value::<i64>("select count(*) from log.audit where action = 'view'").await, 0);
    let reason = format!("ticket 4711 {EVIL}");
    assert_eq!(pages.post(&path, &[("do", "open"), ("reason", &reason)]).await.status, 303);
    let audit =
        db.rows("select actor, peer, path, key, new ->> 'reason' from log.audit where action = 'view'").await;
    assert_eq!(audit.len(), 1);
    let audit: (String, String, String, serde_json::Value, String) =
        (audit[0].get(0), audit[0].get(1), audit[0].get(2), audit[0].get(3), audit[0].get(4));
    assert_eq!(
        audit,
        ("root".into(), "127.0.0.1".into(), "web pages".into(), serde_json::json!({ "id": bob }), reason)
    );

    let folders = pages.page(&path).await;
    is_harmless(&folders);
    assert!(
        folders.contains("INBOX")
            && folders.contains("&#60;script&#62;alert(3)")
            && folders.contains("Trash"),
        "{folders}"
    );
    let newest = pages.page(&folder).await;
    is_harmless(&newest);
    assert!(
        newest.contains("&#60;script&#62;alert(1)")
            && newest.contains("number 60")
            && newest.contains("unread"),
        "{newest}"
    );
    assert!(newest.contains("61 messages") && !newest.contains("number 11<"), "{newest}");
    let next = newest.split("class=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let older = pages.page(next).await;
    assert!(
        older.contains("number 11<") && older.contains("number 01<") && !older.contains("number 12<"),
        "{older}"
    );
    assert!(!older.contains("class=\"next\""), "{older}");
    let shown = pages.page(&message).await;
    is_harmless(&shown);
    for words in [
        "plain words &#60;script&#62;",
        "html words",
        "&#60;b&#62;",
        ".pdf (application/pdf",
        "X-Odd: &#60;script",
        "its words alone",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("hidden()") && !shown.contains("PDFBYTES"), "{shown}");
    let noted = db.rows("select new ->> 'mailbox', (new ->> 'uid')::bigint from log.audit where action = 'view' order by id desc limit 1").await;
    assert_eq!((noted[0].get::<_, String>(0), noted[0].get::<_, i64>(1)), ("INBOX".to_owned(), uid));
    // Whose mailbox it is reads who looked and why, and nobody else does.
    let own = Pages::log_in(&daemon, "bob@example.test", PASSWORD).await;
    let seen = own.page("/admin/page/my_mailbox_view").await;
    is_harmless(&seen);
    assert!(seen.contains("root") && seen.contains("ticket 4711 &#60;") && seen.contains("INBOX"), "{seen}");
    let foreign = Pages::log_in(&daemon, "carol@example.test", PASSWORD).await;
    let nothing = foreign.page("/admin/page/my_mailbox_view").await;
    assert!(nothing.contains("There is nothing here") && !nothing.contains("4711"), "{nothing}");
    // Nothing of it is seen in the mailbox.
    assert_eq!((db.value::<String>(state).await, db.value::<String>(boxes).await), before);
    let status = imap.run("STATUS INBOX (MESSAGES UNSEEN RECENT)").await;
    assert!(status[0].contains("UNSEEN 61") && status[0].contains("RECENT 61"), "{status:?}");
    // The view is of this mailbox, and of no other by another number.
    for path in [
        format!("/admin/mailbox/{bob}/{other_box}"),
        format!("/admin/mailbox/{bob}/{other_box}/1"),
        format!("/admin/mailbox/{bob}/{box_id}/9999"),
        format!("/admin/mailbox/{bob}/99999999"),
    ] {
        assert_eq!(pages.get(&path).await.status, 404, "{path}");
    }
    assert!(pages.page(&format!("/admin/mailbox/{carol}")).await.contains("name=\"reason\""));
    assert_eq!(pages.get("/admin/mailbox/999999").await.status, 403);
    // Another login of the same administrator gives a reason of its own.
    let second = Pages::log_in(&daemon, "root", PASSWORD).await;
    assert!(second.page(&folder).await.contains("name=\"reason\""));

    // It is on the page of changes and in the history of the user, and cannot be undone.
    let changes = pages.page("/admin/page/change?q=view").await;
    is_harmless(&changes);
    assert!(changes.contains(">view<") && changes.contains("root"), "{changes}");
    assert!(
        pages
            .page(&format!("/admin/page/account/row?k=%7B%22id%22%3A{bob}%7D"))
            .await
            .contains("looked into the mailbox")
    );
    let change: i64 = db.value("select min(id) from log.audit where action = 'view'").await;
    let undo =
        pages.post("/admin/page/change/act", &[("k", &format!("{{\"id\":{change}}}")), ("do", "undo")]).await;
    assert!(undo.body.contains("nothing was changed"), "{}", undo.body);
    // It ends by itself, by the button, and with the login.
    db.sql("update live.mailbox_view set since = now() - interval '16 minutes'").await;
    for path in [&path, &folder, &message] {
        assert!(pages.page(path).await.contains("name=\"reason\""), "{path}");
    }
    pages.post(&path, &[("do", "open"), ("reason", "again")]).await;
    assert!(pages.page(&folder).await.contains("number 60"));
    pages.post(&path, &[("do", "close")]).await;
    assert!(pages.page(&folder).await.contains("name=\"reason\""));
    pages.post(&path, &[("do", "open"), ("reason", "again")]).await;
    pages.post("/admin/log-out", &[]).await;
    assert_eq!(db.value::<i64>("select count(*) from live.mailbox_view").await, 0);
}

#[tokio::test]
async fn others_look_in_only_if_their_domain_lets_them() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    administrator(&db, "watcher", "auditor").await;
    db.apply("insert into directory.domain (name) values ('other.test');
        insert into directory.account (domain_id, local_part) select id, 'olga' from directory.domain where name = 'other.test';
        update directory.account set manages_domain = true where local_part = 'alice'").await;
    daemon.deliver("bob", "Subject: private\r\n\r\nx\r\n").await;
    let (bob, olga, domain) = (
        id(&db, "bob").await,
        id(&db, "olga").await,
        db.value::<i64>("select id from directory.domain where name = 'example.test'").await,
    );
    let alice = Pages::log_in(&daemon, "alice@example.test", PASSWORD).await;
    let auditor = Pages::log_in(&daemon, "watcher", PASSWORD).await;
    let tries = async |pages: &Pages, account: i64| {
        let path = format!("/admin/mailbox/{account}");
        let status = pages.get(&path).await.status;
        let opened = pages.post(&path, &[("do", "open"), ("reason", "I want to")]).await.status;
        let box_id = inbox(&db, account).await;
        let read = pages.get(&format!("{path}/{box_id}/1")).await;
        assert!(opened == 303 || !read.body.contains("private"), "{}", read.body);
        (status, opened)
    };
    for pages in [&alice, &auditor] {
        for account in [bob, olga] {
            assert_eq!(tries(pages, account).await, (403, 403), "{account}");
        }
    }
    // He cannot let himself.
    let before: i64 = db.value("select max(id) from log.audit").await;
    let key = format!("{{\"id\":{domain}}}");
    let raise = [
        ("key", key.as_str()),
        ("c.name", "example.test"),
        ("c.active", "true"),
        ("c.max_accounts", "0"),
        ("c.administrators_read_mail", "true"),
    ];
    let refused = alice.post("/admin/page/domain/row", &raise).await;
    assert!(
        refused.status == 422 && refused.body.contains("only a system administrator"),
        "{}",
        refused.body
    );
    assert_eq!(db.value::<i64>("select max(id) from log.audit").await, before);
    assert!(
        !alice
            .page(&format!("/admin/page/account/row?k=%7B%22id%22%3A{bob}%7D"))
            .await
            .contains("/admin/mailbox/")
    );
    db.apply("update directory.domain set administrators_read_mail = true where name = 'example.test'").await;
    assert!(
        alice
            .page(&format!("/admin/page/account/row?k=%7B%22id%22%3A{bob}%7D"))
            .await
            .contains("/admin/mailbox/")
    );
    assert_eq!(tries(&alice, bob).await, (200, 303));
    assert!(alice.page(&format!("/admin/mailbox/{bob}")).await.contains("INBOX"));
    assert_eq!(tries(&alice, olga).await, (403, 403));
    let actor: String =
        db.value("select actor from log.audit where action = 'view' order by id limit 1").await;
    assert_eq!(actor, "alice@example.test");
    // Taken back it ends at once, in the middle of a view.
    db.apply("update directory.domain set administrators_read_mail = false where name = 'example.test'")
        .await;
    assert_eq!(alice.get(&format!("/admin/mailbox/{bob}")).await.status, 403);
}
