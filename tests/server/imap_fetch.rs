//! FETCH: sections of every depth (RFC 3501 §6.4.5), decoded parts (BINARY, RFC 3516), previews (RFC 8970), a part of a long
//! list (PARTIAL, RFC 9394).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

async fn append(imap: &mut Dialogue, message: &[u8]) {
    imap.send_literal("a APPEND INBOX", message).await;
    imap.expect("a OK [APPENDUID ").await;
}

/// The items of one message as they came.
async fn items(imap: &mut Dialogue, message: u32, items: &str) -> String {
    let answers = imap.run(&format!("FETCH {message} ({items})")).await;
    let answer = answers.iter().find(|answer| answer.contains(" FETCH (")).unwrap();
    answer.split_once(" FETCH (").unwrap().1.strip_suffix(')').unwrap().to_owned()
}

const NESTED: &str = "From: a@b.test\r\nSubject: outer\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
    --x\r\nContent-Type: text/plain\r\nContent-Language: de, en\r\nContent-Location: http://x.test/\r\n\
    Content-MD5: Q2hlY2s=\r\n\r\none\r\n\
    --x\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment; filename*0*=utf-8''f%C3%BC; filename*1=r\r\n\r\n\
    Subject: inner\r\nTo: c@d.test\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n\
    --y\r\n\r\ninner plain\r\n--y\r\nContent-Type: text/html\r\n\r\n<b>inner</b>\r\n--y--\r\n\
    --x--\r\n";

#[tokio::test]
async fn sections_of_every_depth() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    append(&mut imap, NESTED.as_bytes()).await;
    imap.run("EXAMINE INBOX").await;
    let quoted = |text: &str| {
        if text.is_empty() { "\"\"".to_owned() } else { format!("{{{}}}\r\n{text}", text.len()) }
    };
    let outer = NESTED.split_inclusive("\r\n\r\n").next().unwrap();
    let inner_header =
        "Subject: inner\r\nTo: c@d.test\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n";
    let inner_text = "--y\r\n\r\ninner plain\r\n--y\r\nContent-Type: text/html\r\n\r\n<b>inner</b>\r\n--y--";
    for (section, text) in [
        ("", NESTED),
        ("HEADER", outer),
        ("TEXT", &NESTED[outer.len()..]),
        ("1", "one"),
        ("2", &format!("{inner_header}{inner_text}")),
        ("2.HEADER", inner_header),
        ("2.TEXT", inner_text),
        ("2.HEADER.FIELDS (to)", "To: c@d.test\r\n\r\n"),
        ("2.HEADER.FIELDS.NOT (To Content-Type)", "Subject: inner\r\n\r\n"),
        ("2.1", "inner plain"),
        ("2.1.MIME", "\r\n"),
        ("2.2", "<b>inner</b>"),
        ("2.2.MIME", "Content-Type: text/html\r\n\r\n"),
    ] {
        let answer = items(&mut imap, 1, &format!("BODY.PEEK[{section}]")).await;
        assert_eq!(answer, format!("BODY[{section}] {}", quoted(text)), "{section}");
    }
    for missing in ["3", "1.1", "2.3", "2.1.1", "1.HEADER", "2.1.TEXT"] {
        assert_eq!(
            items(&mut imap, 1, &format!("BODY.PEEK[{missing}]")).await,
            format!("BODY[{missing}] NIL")
        );
    }
    // A partial fetch past the end is an empty string.
    assert_eq!(items(&mut imap, 1, "BODY.PEEK[1]<3.5>").await, "BODY[1]<3> \"\"");
    assert_eq!(items(&mut imap, 1, "BODY.PEEK[1]<9999999.5>").await, "BODY[1]<9999999> \"\"");
    assert_eq!(items(&mut imap, 1, "BODY.PEEK[1]<1.9>").await, "BODY[1]<1> {2}\r\nne");
    assert_eq!(items(&mut imap, 1, "RFC822.HEADER").await, format!("RFC822.HEADER {}", quoted(outer)));
    assert_eq!(
        items(&mut imap, 1, "RFC822.TEXT").await,
        format!("RFC822.TEXT {}", quoted(&NESTED[outer.len()..]))
    );
    assert_eq!(items(&mut imap, 1, "RFC822").await, format!("RFC822 {}", quoted(NESTED)));
    // RFC 9051 §7.5.2: all extension data, parameters as they were sent.
    let structure = items(&mut imap, 1, "BODYSTRUCTURE").await;
    assert_eq!(
        structure,
        "BODYSTRUCTURE ((\"text\" \"plain\" NIL NIL NIL \"7bit\" 3 1 \"Q2hlY2s=\" NIL (\"de\" \"en\") \"http://x.test/\")\
         (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 152 (NIL \"inner\" NIL NIL NIL ((NIL NIL \"c\" \"d.test\")) NIL NIL NIL NIL) \
         ((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 11 1 NIL NIL NIL NIL)\
         (\"text\" \"html\" NIL NIL NIL \"7bit\" 12 1 NIL NIL NIL NIL) \"alternative\" (\"boundary\" \"y\") NIL NIL NIL) 12 \
         NIL (\"attachment\" (\"filename*0*\" \"utf-8''f%C3%BC\" \"filename*1\" \"r\")) NIL NIL) \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)"
    );
}

#[tokio::test]
async fn parts_are_decoded() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let bytes: Vec<u8> = (0..=255).collect();
    let message = format!(
        "Subject: x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
         --x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BCn=\r\ner\r\n\
         --x\r\nContent-Type: image/gif\r\nContent-Transfer-Encoding: BASE64\r\n\r\n{}\r\n\
         --x\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644\r\n\
         --x\r\n\r\nplain\r\n\
         --x\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--x--\r\n",
        STANDARD.encode(&bytes)
    );
    append(&mut imap, message.as_bytes()).await;
    imap.run("SELECT INBOX").await;
    // RFC 3516 §4.2: literal8 where there is a NUL.
    imap.send("b FETCH 1 BINARY.PEEK[2]").await;
    assert_eq!(imap.expect_literal("* 1 FETCH (BINARY[2] ~{256}").await, bytes);
    imap.expect("b OK").await;
    imap.send("b FETCH 1 BINARY.PEEK[2]<250.10>").await;
    assert_eq!(imap.expect_literal("* 1 FETCH (BINARY[2]<250> {6}").await, &bytes[250..]);
    imap.expect("b OK").await;
    for (asked, answer) in [
        ("BINARY.PEEK[1]", "BINARY[1] {7}\r\ngrüner"),
        ("BINARY.PEEK[1]<2.2>", "BINARY[1]<2> {2}\r\nü"),
        ("BINARY.PEEK[1]<7.2>", "BINARY[1]<7> \"\""),
        ("BINARY.PEEK[4]", "BINARY[4] {5}\r\nplain"),
        ("BINARY.PEEK[5]", "BINARY[5] \"\""),
        ("BINARY.PEEK[6]", "BINARY[6] NIL"),
        ("BINARY.SIZE[1]", "BINARY.SIZE[1] 7"),
        ("BINARY.SIZE[2]", "BINARY.SIZE[2] 256"),
        ("BINARY.SIZE[6]", "BINARY.SIZE[6] 0"),
        ("BINARY.SIZE[]", &format!("BINARY.SIZE[] {}", message.len())),
    ] {
        assert_eq!(items(&mut imap, 1, asked).await, answer, "{asked}");
    }
    // RFC 3516 §4.3: an encoding that nobody knows.
    for item in ["BINARY.PEEK[3]", "BINARY.SIZE[3]"] {
        imap.send(&format!("b FETCH 1 (UID {item})")).await;
        assert_eq!(imap.answer().await, "* 1 FETCH (UID 1)");
        imap.expect("b NO [UNKNOWN-CTE]").await;
    }
    // Without PEEK it counts as read.
    let answers = imap.run("FETCH 1 BINARY[4]").await;
    assert!(answers[0].contains("FLAGS (\\Seen") || answers[1].contains("FLAGS (\\Seen"), "{answers:?}");
    for refused in ["BINARY[HEADER]", "BINARY[1.MIME]", "BINARY.SIZE[1]<0.1>", "BINARY[1]<0.0>"] {
        imap.send(&format!("b FETCH 1 {refused}")).await;
        imap.expect("b BAD").await;
    }
}

#[tokio::test]
async fn a_large_part_is_decoded_in_little_memory() {
    let db = Database::new().await;
    db.sql("update control.smtp set max_message_bytes = 100000000").await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let line = format!("{}\r\n", STANDARD.encode([b'z'; 57]));
    let lines = (60 << 20) / line.len();
    let mut message = b"Content-Transfer-Encoding: base64\r\n\r\n".to_vec();
    message.extend_from_slice(line.repeat(lines).as_bytes());
    append(&mut imap, &message).await;
    imap.run("SELECT INBOX").await;
    let before = peak_memory(&daemon);
    imap.send("b FETCH 1 BINARY.PEEK[1]").await;
    let decoded = imap.expect_literal("* 1 FETCH (BINARY[1] {").await;
    assert!(decoded.len() == lines * 57 && decoded.iter().all(|b| *b == b'z'));
    imap.expect("b OK").await;
    let grown = peak_memory(&daemon) - before;
    assert!(grown < 16 << 20, "{} MB more", grown >> 20);
}

/// Most memory that the daemon has had resident, bytes.
fn peak_memory(daemon: &Daemon<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn previews_are_made_once() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    append(
        &mut imap,
        b"Subject: x\r\n\r\nHello,\r\n\r\nOn Monday Bob wrote:\r\n> old\r\n  this is\tnew\r\n-- \r\nMe\r\n",
    )
    .await;
    append(
        &mut imap,
        b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
          <style>p { color: red }</style><p>Gr=C3=BC=C3=9Fe &amp; mehr</p>\r\n",
    )
    .await;
    append(&mut imap, b"Content-Type: image/png\r\n\r\nx\r\n").await;
    imap.run("EXAMINE INBOX").await;
    // RFC 8970 §3.3: LAZY is answered from what is known.
    assert_eq!(items(&mut imap, 1, "PREVIEW (LAZY)").await, "PREVIEW NIL");
    let previews = ["PREVIEW \"Hello, this is new\"", "PREVIEW {16}\r\nGrüße & mehr", "PREVIEW \"\""];
    let mut answers = imap.run("FETCH 1:3 PREVIEW").await;
    answers.pop();
    for ((number, preview), answer) in (1..).zip(previews).zip(&answers) {
        let preview = preview.replace("{16}", &format!("{{{}}}", "Grüße & mehr".len()));
        assert_eq!(*answer, format!("* {number} FETCH ({preview})"));
    }
    db.until("select count(*) = 3 from store.content where preview is not null").await;
    assert_eq!(items(&mut imap, 1, "UID PREVIEW (LAZY)").await, format!("UID 1 {}", previews[0]));
    db.sql("update store.content set preview = 'as it was kept'").await;
    assert_eq!(items(&mut imap, 1, "PREVIEW").await, "PREVIEW \"as it was kept\"");
    imap.send("b FETCH 1 PREVIEW (FOO)").await;
    imap.expect("b BAD").await;
}

#[tokio::test]
async fn a_part_of_the_list() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for _ in 0..6 {
        append(&mut imap, b"Subject: x\r\n\r\n").await;
    }
    imap.run("SELECT INBOX").await;
    imap.run("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    // RFC 9394 §3.3
    for (modifier, uids) in [
        ("PARTIAL -1:-2", &[5, 6][..]),
        ("PARTIAL 1:2", &[1, 3]),
        ("PARTIAL 2:1", &[1, 3]),
        ("PARTIAL -5:-9", &[1]),
        ("PARTIAL 5:4294967295", &[6]),
        ("PARTIAL 6:9", &[]),
    ] {
        let mut answers = imap.run(&format!("UID FETCH 1:* (FLAGS) ({modifier})")).await;
        answers.pop();
        let found: Vec<u32> = answers
            .iter()
            .map(|answer| answer.split("UID ").nth(1).unwrap().trim_end_matches(')').parse().unwrap())
            .collect();
        assert_eq!(found, uids, "{modifier}");
    }
    for refused in
        ["FETCH 1 FLAGS (PARTIAL 1:2)", "UID FETCH 1 FLAGS (PARTIAL 0:2)", "UID FETCH 1 FLAGS (PARTIAL 1:-2)"]
    {
        imap.send(&format!("b {refused}")).await;
        imap.expect("b BAD").await;
    }
}
