use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn parse(message: &[u8]) -> Parsed {
    parse_with(Limits::default(), message)
}

fn parse_with(limits: Limits, message: &[u8]) -> Parsed {
    let mut builder = Builder::new(limits);
    builder.feed(message);
    builder.finish()
}

/// The tree in short: `mixed[plain"body"/lines …]`.
fn shown(message: &[u8]) -> String {
    fn one(part: &Part, message: &[u8]) -> String {
        let subtype = String::from_utf8_lossy(&part.subtype).into_owned();
        match &part.body {
            Body::Leaf => {
                let body = &message[part.body_start as usize..part.body_end as usize];
                format!("{subtype}{:?}/{}", String::from_utf8_lossy(body), part.lines)
            }
            Body::Multipart(parts) => {
                let parts: Vec<String> = parts.iter().map(|p| one(p, message)).collect();
                format!("{subtype}[{}]", parts.join(" "))
            }
            Body::Message(m) => format!("{subtype}({})/{}", one(&m.part, message), part.lines),
        }
    }
    one(&parse(message).root, message)
}

const HEAD: &str = "Content-Type: multipart/mixed; boundary=a\r\n\r\n";

#[test]
fn broken_and_odd_messages() {
    let table = [
        // No header, no body, nothing.
        ("", "plain\"\"/0"),
        ("\r\n", "plain\"\"/0"),
        ("\r\nhello", "plain\"hello\"/1"),
        ("A: b\r\n", "plain\"\"/0"),
        ("A: b", "plain\"\"/0"),
        ("A: b\n\nx\ny\n", "plain\"x\\ny\\n\"/2"),
        // A bare CR ends no line.
        ("A: b\r\r\nB: c\r\n\r\nx\ry", "plain\"x\\ry\"/1"),
        ("A: b\r\n\0\r\n\r\n\0", "plain\"\\0\"/1"),
        // Types that can't be used.
        ("Content-Type: nonsense\r\n\r\nx", "plain\"x\"/1"),
        ("Content-Type: multipart/mixed\r\n\r\n--\r\nx", "plain\"--\\r\\nx\"/2"),
        ("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\nx", "plain\"--\\r\\nx\"/2"),
        ("Content-Type: multipart/mixed; boundary=a\r\n\r\nno parts", "mixed[plain\"\"/0]"),
        ("Content-Type: multipart/mixed; boundary=a", "mixed[plain\"\"/0]"),
        ("Content-Type: message/rfc822", "rfc822(plain\"\"/0)/0"),
        ("Content-Type: message/global\r\n\r\nA: b\r\n\r\nx\r\n", "global(plain\"x\\r\\n\"/1)/3"),
    ];
    for (message, want) in table {
        assert_eq!(shown(message.as_bytes()), want, "{message:?}");
    }
}

#[test]
fn boundaries() {
    let table = [
        ("--a\r\n\r\nx\r\n--a--\r\n", "mixed[plain\"x\"/1]"),
        ("pre\r\n--a\r\n\r\nx\r\n\r\n--a--\r\nepi\r\n--a\r\n\r\ny", "mixed[plain\"x\\r\\n\"/1]"),
        ("--a \t\r\n\r\nx\r\n--a-- \r\n", "mixed[plain\"x\"/1]"),
        ("--a\r\n\r\nx\r\n--a--", "mixed[plain\"x\"/1]"),
        ("--a\r\n\r\nx\r\n--a", "mixed[plain\"x\"/1 plain\"\"/0]"),
        // Missing end, missing header, missing blank line.
        ("--a\r\n\r\nx", "mixed[plain\"x\"/1]"),
        ("--a\r\n\r\nx\r\n", "mixed[plain\"x\\r\\n\"/1]"),
        ("--a\r\n--a\r\n\r\n--a--", "mixed[plain\"\"/0 plain\"\"/0]"),
        ("--a\r\nContent-Type: a/b\r\n--a--", "mixed[b\"\"/0]"),
        // Not boundaries: longer ones, a dash less, a bare CR.
        (
            "--a\r\n\r\n--ab\r\n--a-\r\n-a\r\n--a\rb\r\n --a\r\n--\r\n--a--",
            "mixed[plain\"--ab\\r\\n--a-\\r\\n-a\\r\\n--a\\rb\\r\\n --a\\r\\n--\"/6]",
        ),
        // LF alone.
        ("--a\n\nx\n--a\n\ny\n--a--\n", "mixed[plain\"x\"/1 plain\"y\"/1]"),
        // Another's prefix; an inner multipart left open; one boundary twice.
        (
            "--a\r\nContent-Type: multipart/x; boundary=ab\r\n\r\n--ab\r\n\r\nx\r\n--a\r\n\r\ny\r\n--ab--\r\n--a--",
            "mixed[x[plain\"x\"/1] plain\"y\\r\\n--ab--\"/2]",
        ),
        (
            "--a\r\nContent-Type: multipart/x; boundary=a--\r\n\r\n--a--\r\n\r\nx\r\n--a----\r\n--a\r\n\r\ny",
            "mixed[x[plain\"x\"/1] plain\"y\"/1]",
        ),
        (
            "--a\r\nContent-Type: multipart/x; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n--a\r\n\r\ny\r\n--a--",
            "mixed[x[plain\"x\"/1] plain\"y\"/1]",
        ),
        // Digest, and a message cut off by the boundary in its header.
        (
            "--a\r\nContent-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nA: b\r\n\r\nx\r\n--d\r\n\r\nA: b\r\n--a--",
            "mixed[digest[rfc822(plain\"x\"/1)/3 rfc822(plain\"\"/0)/1]]",
        ),
    ];
    for (body, want) in table {
        assert_eq!(shown(format!("{HEAD}{body}").as_bytes()), want, "{body:?}");
    }
}

#[test]
fn sizes_and_header() {
    let parsed = parse(b"A: b\r\nC: d\r\n\r\nx\r\ny");
    assert_eq!((parsed.header_len, parsed.size, parsed.lines), (14, 18, 5));
    assert_eq!(parsed.header, b"A: b\r\nC: d\r\n\r\n");
    assert!(!parsed.header_truncated);
    assert_eq!((parsed.root.octets(), parsed.root.lines), (4, 2));
    let limits = Limits { header_bytes: 6, ..Limits::default() };
    let parsed = parse_with(limits, b"A: b\r\nC: d\r\n\r\nx");
    assert_eq!(
        (parsed.header_len, parsed.header.as_slice(), parsed.header_truncated),
        (14, &b"A: b\r\n"[..], true)
    );
}

#[test]
fn limits_hold() {
    let limits = Limits { parts: 3, ..Limits::default() };
    let message = format!("{HEAD}{}", "--a\r\n\r\nx\r\n".repeat(10));
    let Body::Multipart(parts) = parse_with(limits, message.as_bytes()).root.body else { panic!() };
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[1].octets(), 1);

    let limits = Limits { tree_bytes: 20_000, ..Limits::default() };
    let message = format!("{HEAD}{}", "--a\r\nContent-Type: a/b;x=y;x=y;x=y\r\n\r\n".repeat(1_000));
    let Body::Multipart(parts) = parse_with(limits, message.as_bytes()).root.body else { panic!() };
    assert!(parts.len() > 5 && parts.len() < 50, "{}", parts.len());

    let limits = Limits { boundary_bytes: 2, ..Limits::default() };
    assert_eq!(parse_with(limits, b"Content-Type: a/b; boundary=abc\r\n\r\n").root.body, Body::Leaf);

    let limits = Limits { depth: 2, ..Limits::default() };
    let message = format!("{HEAD}--a\r\nContent-Type: multipart/x; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--a--");
    let Body::Multipart(parts) = parse_with(limits, message.as_bytes()).root.body else { panic!() };
    assert!(parts[0].is("application", "octet-stream") && parts[0].body == Body::Leaf);
}

fn nested(levels: usize) -> String {
    let open = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let close = |n: usize| format!("\r\n--b{n}--\r\n");
    let opened: String = (0..levels).map(open).collect();
    let closed: String = (0..levels).rev().map(close).collect();
    format!("{opened}\r\nbottom{closed}")
}

fn depth(part: &Part) -> usize {
    1 + match &part.body {
        Body::Leaf => 0,
        Body::Multipart(parts) => parts.iter().map(depth).max().unwrap_or(0),
        Body::Message(message) => depth(&message.part),
    }
}

#[test]
fn a_thousand_levels_end_at_the_limit() {
    assert_eq!(depth(&parse(nested(1_000).as_bytes()).root), Limits::default().depth);
    assert_eq!(depth(&parse(nested(50).as_bytes()).root), 51);
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(1_000);
    assert_eq!(depth(&parse(messages.as_bytes()).root), Limits::default().depth);
}

/// Depth does not make lines dearer: below a thousand open boundaries they cost what they cost below one.
#[test]
fn lines_cost_the_same_at_any_depth() {
    let limits = Limits { depth: 2_000, ..Limits::default() };
    let time = |levels: usize| {
        let head = nested(levels).split("bottom").next().unwrap_or_default().to_owned();
        let message = head + &"--b7-not-quite\r\n--\r\n".repeat(50_000);
        let start = Instant::now();
        parse_with(limits, message.as_bytes());
        start.elapsed()
    };
    let (shallow, deep) = (time(1), time(1_000));
    assert!(deep < shallow * 10 + Duration::from_millis(200), "{shallow:?} {deep:?}");
}

#[test]
fn long_lines_and_headers_are_not_kept() {
    let limits = Limits::default();
    let mut builder = Builder::new(limits);
    builder.feed(HEAD.as_bytes());
    builder.feed(b"--a\r\nContent-Type: a/b\r\nX: ");
    for _ in 0..100 {
        builder.feed(&[b'x'; 10_000]);
    }
    assert!(builder.capture.bytes.len() <= limits.part_header_bytes);
    builder.feed(b"\r\n\r\n--");
    for _ in 0..100 {
        builder.feed(&[b'-'; 10_000]);
    }
    assert!(builder.line.beginning.len() <= limits.boundary_bytes + PADDING_MAX);
    builder.feed(b"\r\n--a--\r\n");
    let Body::Multipart(parts) = builder.finish().root.body else { panic!() };
    assert_eq!((parts.len(), parts[0].octets()), (1, 1_000_002));
}

/// Pieces of messages, so that random ones have structure.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just("--a"),
        Just("--b"),
        Just("--"),
        Just("--a--\r\n"),
        Just(" "),
        Just("x"),
        Just("\0"),
        Just("\u{e4}"),
        Just("Subject: s\r\n"),
        Just("From: a@b, c (d)\r\n"),
        Just("Content-Type: multipart/mixed; boundary=a\r\n"),
        Just("Content-Type: multipart/digest;\r\n boundary=b\r\n"),
        Just("Content-Type: message/rfc822\r\n"),
        Just("\r\n--a\r\n"),
        Just("\r\n--b\n"),
        Just("\r\n\r\n"),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

fn check(part: &Part, size: u64) -> Result<(), TestCaseError> {
    for part in part.walk() {
        prop_assert!(
            part.header_start <= part.body_start && part.body_start <= part.body_end && part.body_end <= size
        );
        prop_assert!(part.lines <= part.octets());
        prop_assert!(!part.media_type.is_empty() && !part.subtype.is_empty());
        prop_assert!(part.body != Body::Multipart(Vec::new()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn cuts_make_no_difference(message in messages(), cuts in proptest::collection::vec(1_usize..20, 0..40)) {
        let whole = parse(&message);
        let mut builder = Builder::new(Limits::default());
        let mut rest = message.as_slice();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            builder.feed(piece);
            rest = after;
        }
        builder.feed(rest);
        prop_assert_eq!(builder.finish(), whole);
    }

    #[test]
    fn single_bytes_make_no_difference(message in messages()) {
        let mut builder = Builder::new(Limits::default());
        message.chunks(1).for_each(|byte| builder.feed(byte));
        prop_assert_eq!(builder.finish(), parse(&message));
    }

    #[test]
    fn any_message_has_a_sound_tree(message in messages()) {
        let parsed = parse(&message);
        check(&parsed.root, parsed.size)?;
        prop_assert_eq!(parsed.size, message.len() as u64);
        prop_assert_eq!(parsed.root.body_end, parsed.size);
        prop_assert_eq!(&parsed.header, &message[..parsed.header_len as usize]);
    }

    #[test]
    fn any_bytes_have_a_sound_tree(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let message = [HEAD.as_bytes(), &bytes].concat();
        check(&parse(&message).root, message.len() as u64)?;
        check(&parse(&bytes).root, bytes.len() as u64)?;
    }
}
