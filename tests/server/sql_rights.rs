//! SQL of people: row-level security says the same as IMAP, for every right and every kind of statement.

use std::sync::Arc;

use tokio_postgres::{Client, NoTls};

use crate::support::cluster::{Cluster, Durability};
use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

/// A cluster where people may have SQL, and two logins for them.
fn cluster() -> Arc<Cluster> {
    let cluster = Cluster::start_new(Durability::None);
    cluster.superuser(
        "create role mailwright_user nologin; grant mailwright_user to mailwright;
         create role bob_sql login in role mailwright_user; create role stranger_sql login in role mailwright_user",
    );
    Arc::new(cluster)
}

async fn connect_as(db: &Database, role: &str) -> Client {
    let url = db.url().replace("user=mailwright", &format!("user={role}"));
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn account(db: &Database, user: &str) -> i64 {
    db.value(&format!("select id from directory.account where local_part = '{user}'")).await
}

/// What a person does, by IMAP and by SQL, and the rights that it takes besides l. In SQL, `A` is Alice's account, `B` her
/// mailbox Box, `S` Box/sub, `C` a content that is in Bob's INBOX, `M` who asks, `K` Carol. IMAP succeeds when every command does,
/// and the answers contain the text; SQL when it finds or changes a row.
struct Deed {
    takes: &'static str,
    imap: &'static [&'static str],
    shows: &'static str,
    sql: &'static str,
}

const DEEDS: &[Deed] = &[
    Deed {
        takes: "",
        imap: &["LIST \"\" #"],
        shows: "* LIST",
        sql: "select from store.mailbox where id = B",
    },
    Deed {
        takes: "r",
        imap: &["EXAMINE #"],
        shows: "* 2 EXISTS",
        sql: "select from store.message where account_id = A and mailbox_id = B",
    },
    Deed {
        takes: "r",
        imap: &["STATUS # (MESSAGES)"],
        shows: "(MESSAGES 2)",
        sql: "select from store.message where mailbox_id = B",
    },
    Deed {
        takes: "r",
        imap: &["EXAMINE #", "FETCH 1 BODY.PEEK[]"],
        shows: "secret",
        sql: "select from store.content c join store.content_chunk k on k.content_id = c.id where c.subject = 'secret'",
    },
    Deed {
        takes: "rs",
        imap: &["SELECT #", "STORE 1 +FLAGS (\\Seen)"],
        shows: "",
        sql: "update store.message set seen = true where mailbox_id = B and uid = 1",
    },
    Deed {
        takes: "rw",
        imap: &["SELECT #", "STORE 1 +FLAGS (\\Flagged)"],
        shows: "",
        sql: "update store.message set flagged = true where mailbox_id = B and uid = 1",
    },
    Deed {
        takes: "rw",
        imap: &["SELECT #", "STORE 1 +FLAGS (work)"],
        shows: "",
        sql: "update store.message set keywords = '{work}' where mailbox_id = B and uid = 1",
    },
    Deed {
        takes: "rt",
        imap: &["SELECT #", "STORE 1 +FLAGS (\\Deleted)"],
        shows: "",
        sql: "update store.message set deleted = true where mailbox_id = B and uid = 1",
    },
    Deed {
        takes: "rte",
        imap: &["SELECT #", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"],
        shows: "* 1 EXPUNGE",
        sql: "delete from store.message where mailbox_id = B and uid = 1",
    },
    Deed {
        takes: "rtei",
        imap: &["SELECT #", "MOVE 1 #/sub"],
        shows: "COPYUID",
        sql: "update store.message set mailbox_id = S where mailbox_id = B and uid = 1",
    },
    Deed {
        takes: "i",
        imap: &["SELECT INBOX", "COPY 1 #"],
        shows: "COPYUID",
        sql: "insert into store.message (account_id, mailbox_id, content_id) values (A, B, C)",
    },
    Deed {
        takes: "k",
        imap: &["CREATE #/new"],
        shows: "",
        sql: "insert into store.mailbox (account_id, name) values (A, 'Box/new')",
    },
    Deed {
        takes: "xk",
        imap: &["RENAME #/sub #/sub2"],
        shows: "",
        sql: "update store.mailbox set name = 'Box/sub2' where id = S",
    },
    Deed { takes: "x", imap: &["DELETE #/sub"], shows: "", sql: "delete from store.mailbox where id = S" },
    Deed {
        takes: "a",
        imap: &["GETACL #"],
        shows: "carol",
        sql: "select from store.acl where mailbox_id = B and grantee_id = K",
    },
    Deed {
        takes: "a",
        imap: &["SETACL # carol lrs"],
        shows: "",
        sql: "update store.acl set rights = 'lrs' where mailbox_id = B and grantee_id = K",
    },
    Deed {
        takes: "a",
        imap: &["SETACL # anyone p"],
        shows: "",
        sql: "insert into store.acl (account_id, mailbox_id, grantee_id, negative, rights) values (A, B, K, true, 'p')",
    },
    Deed {
        takes: "a",
        imap: &["DELETEACL # carol"],
        shows: "",
        sql: "delete from store.acl where mailbox_id = B and grantee_id = K",
    },
    Deed {
        takes: "(rswip)",
        imap: &["GETMETADATA # /shared/comment"],
        shows: "hello",
        sql: "select from store.metadata where mailbox_id = B and user_id = 0",
    },
    Deed {
        takes: "(rswip)",
        imap: &["SETMETADATA # (/private/comment \"x\")"],
        shows: "",
        sql: "insert into store.metadata (account_id, mailbox_id, user_id, entry, value) values (A, B, M, '/comment', 'x')",
    },
    Deed {
        takes: "w",
        imap: &["SETMETADATA # (/shared/b \"x\")"],
        shows: "",
        sql: "insert into store.metadata (account_id, mailbox_id, user_id, entry, value) values (A, B, 0, '/b', 'x')",
    },
];

impl Deed {
    /// Whether these rights are enough, after the tables of RFC 4314 §4 and RFC 5464 §3.3.
    fn is_allowed(&self, rights: &str) -> bool {
        let has = |letter| rights.contains(letter);
        match self.takes.strip_prefix('(') {
            Some(one_of) => has('l') && one_of.chars().any(has),
            None => has('l') && self.takes.chars().all(has),
        }
    }
}

/// Whom an entry is for, and its rights.
type Share = (String, String);

/// Alice's mailboxes as they were, shared as said.
async fn furnish(db: &Database, shares: &[Share]) {
    let mut statements = "
        delete from store.mailbox where name like 'Box%';
        insert into store.mailbox (account_id, name)
        select a.id, n from directory.account a, unnest(array['Box', 'Box/sub']) n where a.local_part = 'alice';
        insert into store.message (account_id, mailbox_id, content_id)
        select b.account_id, b.id, m.content_id from store.mailbox b, store.mailbox i
        join store.message m on m.account_id = i.account_id and m.mailbox_id = i.id, generate_series(1, 2)
        where b.name = 'Box' and i.name = 'INBOX' and i.account_id = b.account_id;
        insert into store.metadata (account_id, mailbox_id, user_id, entry, value)
        select account_id, id, 0, '/comment', 'hello' from store.mailbox where name = 'Box';
        select store.share('alice@example.test', name, 'carol@example.test', 'l') from store.mailbox where name like 'Box%';"
        .to_owned();
    for (who, rights) in shares.iter().filter(|(_, rights)| !rights.is_empty()) {
        let (negative, who) = who.strip_prefix('-').map_or((false, who.as_str()), |who| (true, who));
        statements += &format!(
            "select store.share('alice@example.test', name, '{who}', '{rights}', {negative}) from store.mailbox where name like 'Box%';"
        );
    }
    db.sql(&statements).await;
}

async fn by_imap(imap: &mut Dialogue, deed: &Deed, owner: bool) -> bool {
    let mut shown = deed.shows.is_empty();
    let mut done = true;
    let mut selected = false;
    for command in deed.imap {
        let name = |below: &str| {
            if owner {
                format!("\"Box{below}\"")
            } else {
                format!("\"Other Users/alice@example.test/Box{below}\"")
            }
        };
        let words = command
            .replace("#/sub2", &name("/sub2"))
            .replace("#/sub", &name("/sub"))
            .replace("#/new", &name("/new"));
        imap.send(&format!("d {}", words.replace('#', &name("")))).await;
        let answers = imap.until_tag("d").await;
        shown |= answers.iter().any(|answer| answer.contains(deed.shows));
        done &= answers.last().unwrap().starts_with("d OK");
        selected |= done && (command.starts_with("SELECT") || command.starts_with("EXAMINE"));
        if !done {
            break;
        }
    }
    if selected {
        imap.run("UNSELECT").await;
    }
    done && shown
}

async fn by_sql(client: &Client, who: i64, deed: &Deed) -> bool {
    client.batch_execute("begin").await.unwrap();
    let row = client
        .query_one(
            "select b.account_id, b.id, s.id, c.id from store.mailbox b
             join store.mailbox s on s.account_id = b.account_id and s.name = 'Box/sub'
             left join directory.account c on c.local_part = 'carol' where b.name = 'Box'",
            &[],
        )
        .await
        .unwrap();
    let content: i64 = client
        .query_one(
            "select m.content_id from store.message m join directory.account a on a.id = m.account_id where a.id = $1
             order by m.uid limit 1",
            &[&who],
        )
        .await
        .unwrap()
        .get(0);
    let mut sql = format!(" {} ", deed.sql);
    for (letter, value) in [
        ("A", row.get(0)),
        ("B", row.get(1)),
        ("S", row.get(2)),
        ("K", row.get(3)),
        ("C", content),
        ("M", who),
    ] {
        let value: i64 = value;
        for (before, after) in [(" ", " "), ("(", ","), (" ", ","), (" ", ")")] {
            sql = sql.replace(&format!("{before}{letter}{after}"), &format!("{before}{value}{after}"));
        }
    }
    client
        .batch_execute(&format!("set local role mailwright_user; set local mailwright.account = '{who}'"))
        .await
        .unwrap();
    let outcome = client.execute(&sql, &[]).await;
    client.batch_execute("rollback").await.unwrap();
    match outcome {
        Ok(rows) => rows > 0,
        Err(error) => {
            let code = error.code().map(|code| code.code().to_owned());
            assert_eq!(code.as_deref(), Some("42501"), "{sql}\n{error:?}");
            false
        }
    }
}

/// Each right alone and missing, with r and without, and what several entries make together: the entries, who asks, and the
/// rights that come of it.
fn cases() -> Vec<(Vec<Share>, &'static str, String)> {
    let all = "lrswipkxtena";
    let mut sets = vec![String::new(), all.to_owned(), all.replace('l', "")];
    for letter in all.chars() {
        sets.push(format!("l{letter}"));
        sets.push(format!("lr{letter}"));
        sets.push(all.replace(letter, ""));
    }
    sets.sort();
    sets.dedup();
    let bob = |rights: &str| ("bob".to_owned(), rights.to_owned());
    let mut cases: Vec<_> = sets.into_iter().map(|rights| (vec![bob(&rights)], "bob", rights)).collect();
    let entry = |who: &str, rights: &str| (who.to_owned(), rights.to_owned());
    cases.push((vec![entry("anyone", "lr"), bob("sw")], "bob", "lrsw".into()));
    cases.push((vec![entry("anyone", "lrswite")], "bob", "lrswite".into()));
    cases.push((vec![entry("anyone", "lrswite"), entry("-bob", "we")], "bob", "lrsit".into()));
    cases.push((vec![entry("-anyone", "l"), bob("lrswite")], "bob", String::new()));
    cases.push((vec![entry("anyone", all)], "dora", String::new()));
    cases.push((vec![entry("@other.test", "lrte"), entry("anyone", all)], "dora", "lrte".into()));
    cases.push((vec![entry("-anyone", all), entry("-@other.test", all)], "alice", all.into()));
    cases
}

#[tokio::test]
async fn imap_and_sql_agree_on_every_right() {
    let cluster = cluster();
    let db = Database::on(&cluster).await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "insert into directory.domain (name) values ('other.test');
         insert into directory.account (domain_id, local_part, password_hash)
         select d.id, 'dora', a.password_hash from directory.domain d, directory.account a
         where d.name = 'other.test' and a.local_part = 'alice'",
    )
    .await;
    let client = db.connect().await;
    let mut sessions = Vec::new();
    for (user, address) in
        [("alice", "alice@example.test"), ("bob", "bob@example.test"), ("dora", "dora@other.test")]
    {
        let mut imap = daemon.imap().await;
        imap.send(&format!("l LOGIN {address} mailwright")).await;
        imap.expect("l OK").await;
        let subject = if user == "alice" { "secret" } else { user };
        imap.send_literal("a APPEND INBOX", format!("Subject: {subject}\r\n\r\n{subject}\r\n").as_bytes())
            .await;
        imap.expect("a OK").await;
        sessions.push((user, account(&db, user).await, imap));
    }
    let mut asked = 0;
    let mut crossings = Vec::new();
    for (shares, user, rights) in cases() {
        let (_, who, imap) = sessions.iter_mut().find(|(name, ..)| *name == user).unwrap();
        furnish(&db, &shares).await;
        for deed in DEEDS {
            let sql = by_sql(&client, *who, deed).await;
            let said = by_imap(imap, deed, user == "alice").await;
            let expected = deed.is_allowed(&rights);
            // A content that is in one's own mailboxes can be read anyway.
            let own = user == "alice" && deed.shows == "secret";
            if (said, sql) != (expected || own, expected || own) {
                crossings.push(format!(
                    "{user} with {rights} ({shares:?}): {}: should be {expected}, IMAP {said}, SQL {sql}",
                    deed.sql
                ));
            }
            asked += 1;
            if said && !deed.sql.starts_with("select") {
                furnish(&db, &shares).await;
            }
        }
    }
    assert!(crossings.is_empty(), "{} of {asked}:\n{}", crossings.len(), crossings.join("\n"));
    assert!(asked > 700, "{asked}");
}

#[tokio::test]
async fn a_login_is_one_account_whatever_it_claims() {
    let cluster = cluster();
    let db = Database::on(&cluster).await;
    let daemon = Daemon::start(&db).await;
    let (alice, bob) = (account(&db, "alice").await, account(&db, "bob").await);
    db.apply(&format!("insert into directory.sql_login values ('bob_sql', {bob})")).await;
    daemon.deliver("alice", "Subject: hers\r\n\r\nhello\r\n").await;
    daemon.deliver("bob", "Subject: his\r\n\r\nhello\r\n").await;
    let client = connect_as(&db, "bob_sql").await;
    let count = async |client: &Client, from: &str| -> i64 {
        client.query_one(&format!("select count(*) from {from}"), &[]).await.unwrap().get(0)
    };
    let refused = async |client: &Client, sql: &str| {
        let error = client.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{sql}: {error:?}");
    };
    for setting in ["reset mailwright.account", &format!("set mailwright.account = '{alice}'")] {
        client.batch_execute(setting).await.unwrap();
        assert_eq!(count(&client, "store.message").await, 1);
        assert_eq!(count(&client, "store.content").await, 1);
        assert_eq!(count(&client, "store.mailbox").await, 6);
        assert_eq!(count(&client, &format!("store.mailbox where account_id = {alice}")).await, 0);
    }
    let me: Option<i64> = client.query_one("select store.my_account()", &[]).await.unwrap().get(0);
    assert_eq!(me, Some(bob));
    assert_eq!(count(&client, "store.my_mailboxes()").await, 6);

    // What the daemon switches off for itself, nobody else can.
    let mut imap = daemon.imap().await;
    imap.login("bob").await;
    imap.run("SELECT INBOX").await;
    imap.send("i IDLE").await;
    imap.expect("+").await;
    client
        .batch_execute("set mailwright.daemon = 'on'; update store.message set flagged = true")
        .await
        .unwrap();
    imap.expect("* 1 FETCH (UID 1 FLAGS (\\Flagged").await;
    client.batch_execute("delete from store.message").await.unwrap();
    imap.expect("* 1 EXPUNGE").await;
    let usage: i64 = db.value(&format!("select messages from store.usage where account_id = {bob}")).await;
    assert_eq!(usage, 0);

    // No way round by what messages point to, what they are numbered by, or what is not a mailbox at all.
    let inbox: i64 = db.value("select store.mailbox_id('bob@example.test', 'INBOX')").await;
    let hers: i64 =
        db.value(&format!("select content_id from store.message where account_id = {alice}")).await;
    for sql in [
        format!(
            "insert into store.message (account_id, mailbox_id, content_id) values ({bob}, {inbox}, {hers})"
        ),
        format!("update store.message set content_id = {hers}"),
        "update store.message set uid = 7".to_owned(),
        "update store.mailbox set uid_next = 1".to_owned(),
        format!("insert into store.mailbox (account_id, name) values ({alice}, 'x')"),
        "select * from directory.account".to_owned(),
        "select * from directory.sql_login".to_owned(),
        "select * from control.imap".to_owned(),
        "select * from store.usage".to_owned(),
        "select * from store.change".to_owned(),
        "select * from queue.message".to_owned(),
        "select * from log.audit".to_owned(),
        "select logic.me()".to_owned(),
        format!("insert into directory.sql_login values ('x', {alice})"),
        "create table store.x (y int)".to_owned(),
    ] {
        refused(&client, &sql).await;
    }
    let keyword = client.batch_execute("update store.message set keywords = array['x) ']").await;
    assert!(keyword.is_ok(), "there is nothing left to change");
    daemon.deliver("bob", "Subject: again\r\n\r\nhello\r\n").await;
    let keyword = client.batch_execute("update store.message set keywords = array['x) ']").await.unwrap_err();
    assert_eq!(keyword.code().map(|code| code.code()), Some("23514"), "{keyword:?}");

    // Without an account, and with one that is switched off, there is nothing.
    let stranger = connect_as(&db, "stranger_sql").await;
    for table in
        ["mailbox", "message", "content", "content_chunk", "subscription", "expunged", "acl", "metadata"]
    {
        assert_eq!(count(&stranger, &format!("store.{table}")).await, 0, "{table}");
    }
    db.apply("update directory.account set active = false where local_part = 'bob'").await;
    assert_eq!(count(&client, "store.message").await, 0);
}

#[tokio::test]
async fn people_reach_what_is_listed_here_and_nothing_else() {
    let cluster = cluster();
    let db = Database::on(&cluster).await;
    let reach: Vec<String> = db
        .rows(
            "select distinct format('%s.%s %s', n.nspname, c.relname, p)
             from pg_class c join pg_namespace n on n.oid = c.relnamespace,
               unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) p
             where c.relkind in ('r', 'v', 'm', 'p') and n.nspname !~ '^(pg_|information_schema)'
               and (has_table_privilege('mailwright_user', c.oid, p)
                 or p in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege('mailwright_user', c.oid, p))
             order by 1",
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    let expected = [
        "store.acl DELETE",
        "store.acl INSERT",
        "store.acl SELECT",
        "store.acl UPDATE",
        "store.content SELECT",
        "store.content_chunk SELECT",
        "store.expunged SELECT",
        "store.mailbox DELETE",
        "store.mailbox INSERT",
        "store.mailbox SELECT",
        "store.mailbox UPDATE",
        "store.message DELETE",
        "store.message INSERT",
        "store.message SELECT",
        "store.message UPDATE",
        "store.metadata DELETE",
        "store.metadata INSERT",
        "store.metadata SELECT",
        "store.subscription DELETE",
        "store.subscription INSERT",
        "store.subscription SELECT",
    ];
    assert_eq!(reach, expected);
    let open: i64 = db
        .value(
            "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'store' and c.relkind = 'r' and not c.relrowsecurity
               and has_any_column_privilege('mailwright_user', c.oid, 'SELECT')",
        )
        .await;
    assert_eq!(open, 0, "tables that people reach, and no policy guards");
    // Another database of the cluster finds the role made, and works the same.
    let other = Database::on(&cluster).await;
    assert!(
        other.value::<bool>("select has_table_privilege('mailwright_user', 'store.message', 'SELECT')").await
    );
}

#[tokio::test]
async fn indexes_serve_people_too() {
    let cluster = cluster();
    let db = Database::on(&cluster).await;
    db.sql(
        "insert into directory.domain (name) values ('example.test');
         insert into directory.account (domain_id, local_part) select id, 'user' || n from directory.domain, generate_series(1, 500) n;
         analyze",
    )
    .await;
    let client = db.connect().await;
    let who = account(&db, "user77").await;
    client
        .batch_execute(&format!(
            "set mailwright.account = '{who}'; set role mailwright_user; set enable_seqscan = off"
        ))
        .await
        .unwrap();
    for sql in [
        format!("select * from store.message where account_id = {who} and mailbox_id = 5 and uid = 1"),
        format!("select * from store.message where account_id = {who}"),
        "select * from store.message".to_owned(),
        "select * from store.mailbox".to_owned(),
        "select * from store.content where id = 7".to_owned(),
    ] {
        let rows = client.query(&format!("explain {sql}"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("Index") && !plan.contains("Seq Scan on message"), "{sql}\n{plan}");
        // Asked once for the statement, not once for each row.
        assert!(plan.contains("hashed SubPlan"), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn without_leave_to_make_roles_mail_works_and_the_log_says_what_is_missing() {
    let cluster = Arc::new(Cluster::start_new(Durability::None));
    let db = Database::on(&cluster).await;
    let mut daemon = Daemon::start(&db).await;
    daemon.deliver("alice", "Subject: x\r\n\r\nhello\r\n").await;
    assert!(daemon.log().contains("create role mailwright_user nologin"), "{}", daemon.log());
    assert!(daemon.terminate().await.success());
}
