//! Searches find the same whether the text index has all messages, some, or none: and where it has them, it is used.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::{Encoding, UTF_8};

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database, root};

/// Everything is in the index that will ever be.
const INDEXED: &str = "select contents > 0 and waiting = 0 from report.text_index";

/// A stream of numbers that look like chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_of<'c, T: ?Sized>(&mut self, choices: &[&'c T]) -> &'c T {
        choices[self.below(choices.len())]
    }
}

/// Charsets with letters that they have.
const CHARSETS: [(&str, &str); 7] = [
    ("us-ascii", "the quick [brown] fox_jumps (over) 50% of #1 \"lazy\" dogs, e.g. a@b.example/x?y=1&z"),
    ("utf-8", "Straße ÀÉÎ über Σίσυφος naïve 日本語の検索 emoji 🦀 crab ǅ İstanbul"),
    ("iso-8859-1", "Grüße aus Köln, ça va? façade ÿ ½ £9"),
    ("koi8-r", "Привет мир, как дела? Ещё раз"),
    ("iso-2022-jp", "日本語のメール本文です こんにちは"),
    ("windows-1252", "“smart quotes” – dashes… €5 ‰"),
    ("utf-16be", "wide ☃ snow and Żółć"),
];

/// Some words, in any order, with line ends in between.
fn words(chance: &mut Chance, letters: &str, count: usize) -> String {
    let all: Vec<&str> = letters.split(' ').collect();
    let mut text = String::new();
    for _ in 0..count {
        let (word, end) = (chance.one_of(&all), chance.one_of(&[" ", " ", " ", "\r\n", ""]));
        text.push_str(word);
        text.push_str(end);
    }
    text
}

fn encoded(charset: &str, text: &str) -> Vec<u8> {
    match charset {
        // Nothing is encoded to UTF-16 by a browser.
        "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        label => Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8).encode(text).0.into_owned(),
    }
}

/// A part: its header fields, the empty line, and its bytes.
fn text_part(chance: &mut Chance, texts: &mut Vec<String>) -> Vec<u8> {
    let (charset, letters) = CHARSETS[chance.below(CHARSETS.len())];
    let count = 1 + chance.below(40);
    let mut text = words(chance, letters, count);
    texts.push(text.clone());
    let html = chance.below(3) == 0;
    if html {
        let letters: Vec<char> = text.chars().collect();
        let (before, after) = letters.split_at(chance.below(letters.len() + 1));
        let (before, after): (String, String) = (before.iter().collect(), after.iter().collect());
        text = format!(
            "<html><style>p {{ color: red }}</style><p>{before}<b>{after}</b>&amp;&eacute;</p></html>"
        );
    }
    let bytes = encoded(charset, &text);
    let (encoding, body) = match chance.below(3) {
        0 => ("base64", STANDARD.encode(&bytes).into_bytes()),
        1 => {
            let mut quoted = String::new();
            for byte in &bytes {
                write!(quoted, "={byte:02X}").unwrap();
                quoted.push_str(if chance.below(20) == 0 { "=\r\n" } else { "" });
            }
            ("quoted-printable", quoted.into_bytes())
        }
        // NUL cannot be sent as it is.
        _ if charset == "utf-16be" => ("base64", STANDARD.encode(&bytes).into_bytes()),
        _ => ("8bit", bytes),
    };
    let kind = if html { "html" } else { "plain" };
    let named = if charset == "utf-8" && chance.below(2) == 0 { "" } else { "; charset=" };
    let charset = if named.is_empty() { "" } else { charset };
    let head =
        format!("Content-Type: text/{kind}{named}{charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    [head.into_bytes(), body].concat()
}

/// Some part: text, an attachment that is not looked into, a message, or several.
fn part(chance: &mut Chance, texts: &mut Vec<String>, depth: usize) -> Vec<u8> {
    match chance.below(if depth == 0 { 2 } else { 6 }) {
        0 | 1 => text_part(chance, texts),
        2 => {
            let hidden = STANDARD.encode("hiddenword in an archive");
            format!("Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n{hidden}").into_bytes()
        }
        3 => [b"Content-Type: message/rfc822\r\n\r\n".to_vec(), message(chance, texts, depth - 1)].concat(),
        _ => {
            let boundary = format!("b{depth}-{}", chance.below(1000));
            let mut bytes =
                format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n").into_bytes();
            for _ in 0..1 + chance.below(3) {
                bytes.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                bytes.extend(part(chance, texts, depth - 1));
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
            bytes
        }
    }
}

fn message(chance: &mut Chance, texts: &mut Vec<String>, depth: usize) -> Vec<u8> {
    let (charset, letters) = CHARSETS[chance.below(CHARSETS.len() - 1)];
    let subject = words(chance, letters, 4).replace("\r\n", " ");
    texts.push(subject.clone());
    let encoded = STANDARD.encode(encoded(charset, &subject));
    let from = chance.one_of(&[
        "Alice <alice@one.example>",
        "=?utf-8?q?J=C3=B6rg?= <j@two.example>",
        "bob@three.example",
    ]);
    let to = chance
        .one_of(&["a group: x@y.example, z@y.example;", "Alice <alice@one.example>, carol@four.example"]);
    let more = chance.one_of(&[
        "",
        "X-Empty:\r\n",
        "Cc: =?koi8-r?B?8A==?= <p@five.example>\r\n",
        "noise\r\n",
        "List-Id: <a.list>\r\n\tfolded\r\n",
    ]);
    let (day, month) = (1 + chance.below(3), chance.one_of(&["Jan", "Feb"]));
    let date =
        if chance.below(8) == 0 { "soon".to_owned() } else { format!("{day} {month} 2024 23:30:00 -0500") };
    let head = format!(
        "From: {from}\r\nTo: {to}\r\n{more}Subject: =?{charset}?B?{encoded}?=\r\nDate: {date}\r\nMIME-Version: 1.0\r\n"
    );
    [head.into_bytes(), part(chance, texts, depth)].concat()
}

/// A string that is in one of the texts, or nearly.
fn needle(chance: &mut Chance, texts: &[String]) -> String {
    const FIXED: [&str; 12] = [
        "e",
        "xy",
        "zz",
        "hiddenword",
        "color: red",
        "&amp;",
        "received",
        "one.example",
        "\u{f6}rg",
        "subject: ",
        "[",
        "5",
    ];
    if chance.below(4) == 0 {
        return FIXED[chance.below(FIXED.len())].to_owned();
    }
    let letters: Vec<char> = texts[chance.below(texts.len())].chars().collect();
    let start = chance.below(letters.len().max(1));
    let length = [1, 2, 3, 4, 5, 8, 13, 30][chance.below(8)];
    let mut cut: String = letters.iter().skip(start).take(length).collect();
    match chance.below(5) {
        0 => cut = cut.to_uppercase(),
        1 => cut = cut.to_lowercase(),
        2 => cut.push('q'),
        _ => {}
    }
    cut
}

/// A search key, as bytes of a command.
fn key(chance: &mut Chance, texts: &[String], depth: usize) -> String {
    let string = |chance: &mut Chance| {
        let text = needle(chance, texts);
        format!("{{{}+}}\r\n{text}", text.len())
    };
    match chance.below(if depth == 0 { 10 } else { 15 }) {
        0 | 1 => format!("BODY {}", string(chance)),
        2 | 3 => format!("TEXT {}", string(chance)),
        4 => format!("SUBJECT {}", string(chance)),
        5 => format!("{} {}", chance.one_of(&["FROM", "TO", "CC", "BCC"]), string(chance)),
        6 => format!(
            "HEADER {} {}",
            chance.one_of(&["List-Id", "Received", "Content-Type", "Subject"]),
            string(chance)
        ),
        7 => format!("HEADER {} \"\"", chance.one_of(&["X-Empty", "Cc", "Return-Path"])),
        8 => format!(
            "{} {}-Jan-2024",
            chance.one_of(&["SENTON", "SENTBEFORE", "SENTSINCE"]),
            1 + chance.below(4)
        ),
        9 => format!("LARGER {}", 200 + chance.below(3000)),
        10 => format!("NOT {}", key(chance, texts, depth - 1)),
        14 => format!("FUZZY {}", key(chance, texts, depth - 1)),
        11 => format!("({} {})", key(chance, texts, depth - 1), key(chance, texts, depth - 1)),
        _ => format!("OR {} {}", key(chance, texts, depth - 1), key(chance, texts, depth - 1)),
    }
}

async fn search(imap: &mut Dialogue, key: &str) -> String {
    imap.run(&format!("UID SEARCH CHARSET UTF-8 {key}")).await.swap_remove(0)
}

async fn append(imap: &mut Dialogue, message: &[u8]) {
    imap.send_literal("a APPEND INBOX", message).await;
    imap.expect("a OK").await;
}

/// The index is off, and alice has INBOX selected.
async fn alice(daemon: &Daemon<'_>) -> Dialogue {
    daemon.db().apply("update control.store set index_text = false").await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("SELECT INBOX").await;
    imap
}

async fn index_all(db: &Database) {
    db.apply("update control.store set index_text = true").await;
    db.until(INDEXED).await;
}

async fn index_no_more(db: &Database) {
    db.apply("update control.store set index_text = false").await;
}

#[tokio::test]
async fn indexed_or_not_the_same_is_found() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // What is remembered of few messages would answer instead.
    db.apply("update control.store set cache_bytes = 0").await;
    let mut imap = alice(&daemon).await;
    let (mut chance, mut texts) = (Chance(14), Vec::new());
    for _ in 0..80 {
        let message = message(&mut chance, &mut texts, 3);
        append(&mut imap, &message).await;
    }
    // With header lines of the server before what was sent, and one that makes a field go on.
    for text in
        ["Subject: first\n\nsome text\n", "To: x@y.example\nSubject: =?utf-8?q?=C3=9Cber?=\n\nmore text\n"]
    {
        daemon.deliver("alice", text).await;
    }
    append(&mut imap, b" folded: from nowhere\r\nSubject: odd\r\n\r\nodd text\r\n").await;
    imap.run("NOOP").await;

    let keys: Vec<String> = (0..400).map(|_| key(&mut chance, &texts, 3)).collect();
    let mut expected = Vec::new();
    for key in &keys {
        expected.push(search(&mut imap, key).await);
    }
    // The searches tell messages apart, or this proves nothing.
    let some = expected.iter().filter(|found| (20..200).contains(&found.len())).count();
    assert!(some > 100, "{some} of {} searches find some and not all", keys.len());
    assert_eq!(db.value::<i64>("select count(*) from store.text").await, 0);

    index_all(&db).await;
    assert_eq!(db.value::<i64>("select indexed from report.text_index").await, 83);
    for (key, expected) in keys.iter().zip(&expected) {
        assert_eq!(&search(&mut imap, key).await, expected, "indexed: {key}");
    }
    index_no_more(&db).await;
    db.sql("delete from store.text where content_id % 2 = 0; update store.text set signature = null where content_id % 3 = 0; update store.text set text = null where content_id % 5 = 0; update store.text set fields = '' where content_id % 7 = 0").await;
    for (key, expected) in keys.iter().zip(&expected) {
        assert_eq!(&search(&mut imap, key).await, expected, "with half an index: {key}");
    }
}

/// Copies by SQL may have any prefix.
#[tokio::test]
async fn prefixes_of_any_kind_are_headers() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    append(&mut imap, b" goes on\r\nTo: a@b.example\r\nSubject: one\r\n\r\nbody\r\n").await;
    append(&mut imap, b"To: a@b.example\r\nSubject: two\r\n\r\nbody\r\n").await;
    db.sql(
        "insert into store.message (account_id, mailbox_id, content_id, prefix)
         select m.account_id, m.mailbox_id, m.content_id, convert_to(p, 'UTF8')
         from store.message m, unnest(array[e'Subject: before\\r\\n', e'Subject: before', e'Subject: x\\r\\n\\r\\nTo: y\\r\\n',
           e'X: y\\r\\n\\r\\n', e'Date: 1 Jan 2024 00:00:00 +0000\\r\\nBcc: STRASSE\\r\\n']) p",
    )
    .await;
    imap.run("NOOP").await;
    let keys = [
        "SUBJECT before",
        "SUBJECT \"before goes\"",
        "SUBJECT one",
        "SUBJECT two",
        "TO a@b",
        "TO y",
        "NOT TO a@b",
        "TEXT subject",
        "TEXT \"before goes on\"",
        "TEXT \"strasse\"",
        "BCC strasse",
        "SENTON 1-Jan-2024",
        "BODY body",
        "BODY goes",
        "HEADER X y",
        "HEADER X \"\"",
        "NOT TEXT two",
        "TEXT nowhere",
    ];
    let mut expected = Vec::new();
    for key in keys {
        expected.push(search(&mut imap, key).await);
    }
    assert_eq!(expected[12].split(' ').count(), 2 + 12, "{}", expected[12]);
    index_all(&db).await;
    for (key, expected) in keys.iter().zip(expected) {
        assert_eq!(search(&mut imap, key).await, expected, "{key}");
    }
}

#[tokio::test]
async fn the_index_is_used() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // What is remembered of few messages would answer instead.
    db.apply("update control.store set cache_bytes = 0").await;
    let mut imap = alice(&daemon).await;
    append(&mut imap, b"From: a@b.example\r\nSubject: one\r\n\r\nneedle\r\n").await;
    append(&mut imap, b"From: a@b.example\r\nSubject: two\r\n\r\nhaystack\r\n").await;
    index_all(&db).await;
    index_no_more(&db).await;
    let all = ["TEXT needle", "BODY needle", "BODY ne", "SUBJECT one", "SUBJECT on", "HEADER From a@b"];
    let found = ["1", "1", "1", "1", "1", "1 2"];
    for (key, found) in all.iter().zip(found) {
        assert_eq!(search(&mut imap, key).await, format!("* SEARCH {found}"), "{key}");
    }
    // A text that is not the message's own shows where the answers come from.
    db.sql(
        "update store.text t set signature = o.signature, fields = o.fields, text = o.text from store.text o
         where t.content_id <> o.content_id",
    )
    .await;
    let found = ["2", "2", "2", "2", "2", "1 2"];
    for (key, found) in all.iter().zip(found) {
        assert_eq!(search(&mut imap, key).await, format!("* SEARCH {found}"), "{key}");
    }
    // The signature alone decides on what is not there.
    db.sql("update store.text set signature = decode(repeat('00', 64), 'hex')").await;
    assert_eq!(search(&mut imap, "BODY needle").await, "* SEARCH");
    assert_eq!(search(&mut imap, "NOT BODY needle").await, "* SEARCH 1 2");
    assert_eq!(search(&mut imap, "HEADER From a@b.example").await, "* SEARCH 1 2");
    assert_eq!(search(&mut imap, "HEADER X-Other a@b.example").await, "* SEARCH");
    // Rows of another version, or that can't be read, are none.
    db.sql("update store.text set version = 0").await;
    assert_eq!(search(&mut imap, "BODY needle").await, "* SEARCH 1");
    db.sql("update store.text set version = 1, signature = null, text = 'nonsense'").await;
    assert_eq!(search(&mut imap, "BODY needle").await, "* SEARCH 1");
}

#[tokio::test]
async fn rows_of_an_older_version_are_made_again() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    append(&mut imap, b"Subject: one\r\n\r\nneedle\r\n").await;
    index_all(&db).await;
    db.sql("update store.text set version = 0, text = null").await;
    db.until("select version > 0 and text is not null from store.text").await;
}

#[tokio::test]
async fn what_comes_in_and_goes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("SELECT INBOX").await;
    daemon.deliver("alice", "Subject: one\n\nneedle\n").await;
    db.until(INDEXED).await;
    index_no_more(&db).await;
    // Not in the index yet: found all the same, beside what is.
    daemon.deliver("alice", "Subject: two\n\nneedle\n").await;
    imap.run("NOOP").await;
    assert_eq!(search(&mut imap, "BODY needle").await, "* SEARCH 1 2");
    assert_eq!(db.value::<i64>("select waiting from report.text_index").await, 1);
    index_all(&db).await;
    assert_eq!(search(&mut imap, "BODY needle").await, "* SEARCH 1 2");

    imap.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    assert_eq!(search(&mut imap, "BODY needle").await, "* SEARCH 2");
    // The collector takes the text with the content.
    db.sql("delete from store.expunged").await;
    let collect = std::fs::read_to_string(root().join("sql/store/collect.sql")).unwrap();
    db.client().await.query(&collect, &[&0i32, &500i64]).await.unwrap();
    assert_eq!(db.value::<i64>("select count(*) from store.content").await, 1);
    assert_eq!(db.value::<i64>("select count(*) from store.text").await, 1);
}

#[tokio::test]
async fn what_is_too_large_or_damaged_is_left_out() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    db.apply("update control.store set index_text_max_bytes = 65536").await;
    let large = |size: usize| format!("Subject: large\r\n\r\nneedle {}", "word ".repeat(size / 5));
    append(&mut imap, large(60_000).as_bytes()).await;
    append(&mut imap, large(66_000).as_bytes()).await;
    append(&mut imap, b"Subject: damaged\r\nContent-Type: text/plain\r\n\r\nneedle\r\n").await;
    db.sql("delete from store.content_chunk k using store.content c where c.id = k.content_id and c.subject = 'damaged'").await;
    index_all(&db).await;
    let row = &db
        .rows("select contents, indexed, waiting, too_large, damaged, enabled from report.text_index")
        .await[0];
    let counts: Vec<i64> = (0..5).map(|column| row.get(column)).collect();
    assert_eq!((counts, row.get::<_, bool>(5)), (vec![3, 1, 0, 1, 1], true));
    assert_eq!(search(&mut imap, "UID 1:2 BODY needle").await, "* SEARCH 1 2");
    assert_eq!(search(&mut imap, "UID 1:2 TEXT absentword").await, "* SEARCH");
    // What is known of its header still counts.
    assert_eq!(search(&mut imap, "SUBJECT large").await, "* SEARCH 1 2");
    assert_eq!(search(&mut imap, "SUBJECT damaged").await, "* SEARCH 3");

    let refusal = db.refusal("update control.store set index_text_max_bytes = 1000").await;
    assert!(refusal.contains("index_text_max_bytes is from 65536 to 16777216"), "{refusal}");
}
