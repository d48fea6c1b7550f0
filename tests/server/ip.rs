//! IP patterns and the short form of listeners, which PostgreSQL checks and the daemon reads: both must take the same.

use std::net::IpAddr;

use mailwright::ip::{Pattern, listen};

use crate::support::Database;

/// Forms that exist, and forms that nearly do.
const PATTERNS: &[&str] = &[
    // Everything.
    "*",
    "**",
    "***",
    "",
    " ",
    "* ",
    " *",
    "?",
    "**?",
    // IPv4 addresses.
    "10.0.0.1",
    " 10.0.0.1 ",
    "10.0.0.1\n",
    "0.0.0.0",
    "255.255.255.255",
    "256.0.0.1",
    "10.0.0.256",
    "10.0.0",
    "10.0",
    "10",
    "10.0.0.1.2",
    "010.0.0.1",
    "10.00.0.1",
    "10.0.0.01",
    "10.0.0.",
    ".10.0.0",
    "10..0.1",
    "10.0.0.1.",
    "1e.0.0.1",
    "10.0.0.a",
    "10,0,0,1",
    "10.0.0.-1",
    "+10.0.0.1",
    "10.0.0.1 2",
    "10. 0.0.1",
    "0x10.0.0.1",
    "167772161",
    "localhost",
    "mail.example.test",
    // IPv4 networks.
    "10.0.0.0/8",
    "192.168.0.1/16",
    "0.0.0.0/0",
    "10.0.0.1/32",
    "10.0.0.1/33",
    "10.0.0.1/",
    "/8",
    "10.0.0.1/-1",
    "10.0.0.1/08",
    "10.0.0.1/008",
    "10.0.0.1/0000000000000000000000000000032",
    "10.0.0.1/8/8",
    "10.0.0.1/a",
    "10.0.0.1/ 8",
    "10.0.0.1 /8",
    "10.0/16",
    "10.0.0.1/255.0.0.0",
    "010.0.0.0/8",
    "256.0.0.0/8",
    "10.*/8",
    "10.0.0.?/8",
    "10.0.0.1/999999999999999999999",
    "10.0.0.1/+8",
    // IPv4 wildcards.
    "10.*",
    "192.168.*",
    "192.168.0.*",
    "*.*.*.*",
    "*.*",
    "*.*.*",
    "*.*.*.*.*",
    "10.*.0.1",
    "10.*.0",
    "*.10",
    "*.0.0.1",
    "10.**",
    "10.*.*.*",
    "192.168.0.?",
    "192.168.0.1?",
    "192.168.0.1??",
    "192.168.0.???",
    "192.168.0.????",
    "192.168.0.3??",
    "192.168.0.2??",
    "192.168.0.26?",
    "192.168.0.25?",
    "192.168.0.0?",
    "192.168.0.0*",
    "192.168.0.?0",
    "192.168.0.*0",
    "192.168.0.1*",
    "192.168.0.1*1",
    "192.168.0.1*11*",
    "192.168.0.*?*?*?*",
    "192.168.0.*?*?*?*?",
    "1?.*",
    "?.?.?.?",
    "??.*",
    "10.?",
    "10.0.?",
    "10.0.0.**1**",
    "10.0.0.a*",
    "10.0.0.*a",
    "10.0.0.*.",
    "10.*.",
    ".*",
    "10.0.0.2*6",
    "10.0.0.9*9*9",
    "10.0.0.3*0*0",
    "[10.0.0.1]",
    "10.0.0.1:25",
    // IPv6 addresses.
    "::",
    "::1",
    "1::",
    "fe80::1",
    "FE80::1",
    "2001:db8::1",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "1:2:3::5:6:7:8",
    "1:2:3:4::5:6:7:8",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7",
    "1::2::3",
    ":::",
    ":::1",
    "1:::2",
    "1:",
    ":1",
    ":",
    "12345::",
    "g::",
    "fe80::1%eth0",
    "fe80::1%1",
    "::ffff:10.0.0.1",
    "::FFFF:10.0.0.1",
    "::10.0.0.1",
    "1:2:3:4:5:6:10.0.0.1",
    "1:2:3:4:5:6:7:10.0.0.1",
    "::1:2:3:4:5:6:10.0.0.1",
    "::10.0.0.256",
    "::010.0.0.1",
    "10.0.0.1::",
    "::10.0.0.1:1",
    "1:10.0.0.1",
    "[::1]",
    "::1.2.3",
    "0:0:0:0:0:ffff:10.0.0.1",
    "0001::",
    "00001::",
    // IPv6 networks.
    "fe80::/10",
    "2001:db8::1/32",
    "::/0",
    "::1/128",
    "::1/129",
    "::1/",
    "::1/-1",
    "::ffff:10.0.0.0/104",
    "::ffff:10.0.0.0/96",
    "::ffff:10.0.0.0/95",
    "::ffff:0:0/96",
    "::ffff:a00:1/8",
    "0:0:0:0:0:ffff::/96",
    "0:0:0:0:0:ffff::/16",
    "::/95",
    "fe80::*/16",
    "1:2:3:4:5:6:7::/64",
    "::1/0128",
    "fe80::/1/2",
    // IPv6 wildcards.
    "::*",
    "*:*",
    "*:*:*",
    "fe80:*",
    "fe80::*",
    "fe8?:*",
    "fe80:*:1",
    "fe80::1:*",
    "fe80::*:1",
    "2001:db8::1?",
    "2001:db8::????",
    "2001:db8::?????",
    "*::",
    "*::1",
    "*::*",
    "::**",
    "::?",
    "::0?",
    "::0*",
    "::0*1",
    "::*0",
    "::*0?",
    "::*0??",
    "::*0???",
    "::0*?",
    "::*?*?*?*?",
    "::*?*?*?*?*?",
    "::1*2*3*4",
    "::1*2*3*4*5",
    "1:2:3:4:5:6:7:*",
    "1:2:3:4:5:6:7:8:*",
    "1:2:3:4:5:6:7::*",
    "1:2:3:4:5:6:7:8::*",
    "1:2:3:4:5:6:*",
    "1:2:3:4:5:6:?",
    "*:*:*:*:*:*:*:*",
    "*:*:*:*:*:*:*:*:*",
    "1::2::*",
    "::*:*",
    "::*:1",
    "1:2:3::*:5:6:7:8",
    "1:2:3:4::*:5:6:7",
    "1:2:3:4::*:5:6",
    "1:*:",
    ":*",
    "::*::",
    "::1:",
    "a::G*",
    "00?0::",
    "0?::",
    "?0::",
    // IPv4 within IPv6.
    "::ffff:10.*",
    "::FFFF:10.*",
    "::ffff:10.0.0.?",
    "::ffff:10.0.0.3??",
    "::ffff:*",
    "::ffff:*:*",
    "::ffff:1:*",
    "::ffff:*:1",
    "::ffff:1?:1",
    "::ffff:1:1?",
    "::ffff:1?:*",
    "0:0:0:0:0:ffff:*",
    "0:0:0:0:0:ffff:*:*",
    "0:0:0:0:0:ffff:1:*",
    "0:0:0:0:0:ffff:*:1",
    "0:0:0:0:0:ffff:1?:1",
    "0:0:0:0:0:FFFF:?:1",
    "0000:0:0:0:0:ffff:?:*",
    "0:0:0:0:0:0ffff:?:1",
    "0:0:0:0:0:fff?:1:1",
    "0:0:0:0:*:ffff:?:1",
    "::ffff:10.0.0.1.*",
    "::ffff:.",
    "::ffff:*.*",
    "::ffff:*.",
    "::ffff:10.0.0.0.1",
    "::fffe:10.*",
    "0::ffff:10.*",
    "::ffff:10",
    "::ffff:010.*",
    "::ffff:10.*:1",
    "::ffff:1:10.*",
    "1:2:3:4:5:6:10.*",
    "::10.*",
];

/// Texts put together of pieces of addresses, most of them wrong in some way; always the same ones.
fn random_texts(count: usize) -> Vec<String> {
    const PIECES: &[&str] = &[
        ".",
        ".",
        ".",
        ".",
        ":",
        ":",
        ":",
        "::",
        "*",
        "?",
        "/",
        "0",
        "1",
        "10",
        "25",
        "255",
        "256",
        "00",
        "a",
        "ff",
        "ffff",
        "fe80",
        "::ffff:",
        "10.0.0.1",
        "192.168.",
        "0:0:0:0:0:ffff:",
        "1:2:3:4:5:6:",
        "**",
        "%",
        " ",
        "g",
        "-",
    ];
    let mut state: u64 = 0x6d61_696c;
    let mut next = |below: usize| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    (0..count).map(|_| (0..1 + next(9)).map(|_| PIECES[next(PIECES.len())]).collect()).collect()
}

#[tokio::test]
async fn postgresql_and_the_daemon_take_the_same_patterns() {
    let db = Database::new().await;
    let mut texts: Vec<String> = PATTERNS.iter().map(|text| (*text).to_owned()).collect();
    texts.push("*".repeat(100));
    texts.push("*".repeat(101));
    texts.push(format!("1{}", "*".repeat(99)));
    texts.extend(random_texts(20_000));
    let client = db.client().await;
    let rows = client
        .query(
            "select t, control.is_ip_pattern(t), control.is_ip_address(t) from unnest($1::text[]) t",
            &[&texts],
        )
        .await
        .unwrap();
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for row in rows {
        let (text, pattern, address): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let read = text.parse::<Pattern>();
        accepted += usize::from(pattern);
        if pattern != read.is_ok() {
            wrong.push(format!("{text:?}: PostgreSQL {pattern}, daemon {read:?}"));
        }
        if address != text.parse::<IpAddr>().is_ok() {
            wrong.push(format!("{text:?} as an address: PostgreSQL {address}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} texts are read differently:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(50)].join("\n")
    );
    assert!(accepted > 500, "only {accepted} texts were patterns: the random ones prove little");
}

#[tokio::test]
async fn postgresql_and_the_daemon_take_the_same_short_forms() {
    let db = Database::new().await;
    db.sql("delete from control.listener").await;
    let client = db.client().await;
    for text in [
        "192.168.0.1",
        "192.168.0.1 26",
        "192.168.0.1:26",
        "*",
        "* 587",
        "*:587",
        "192.168.0.1 25, 192.168.0.2 25, * 587",
        "::1",
        "::1 26",
        "[::1]:26",
        "[::1] 26",
        "[::1]",
        "::1:26",
        "0.0.0.0 25, :: 25",
        " 10.0.0.1 ,10.0.0.2 ",
        "fe80::1 25,*:26",
    ] {
        let expected: Vec<(String, i32)> = listen::parse(text, 25)
            .unwrap_or_else(|e| panic!("{text}: {e}"))
            .iter()
            .map(|e| (e.addr.map_or_else(|| "*".to_owned(), |addr| addr.to_string()), i32::from(e.port)))
            .collect();
        let rows = client.query("select address, port from control.parse_listeners($1, 25)", &[&text]).await;
        let rows = rows.unwrap_or_else(|e| panic!("{text}: {}", crate::support::database::describe(&e)));
        let read: Vec<(String, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(read, expected, "{text}");
        // And as a row for each.
        client
            .execute(
                "insert into control.listener (service, address, port) values ('smtp', $1, 25)",
                &[&text],
            )
            .await
            .unwrap();
        let kept =
            client.query("delete from control.listener returning address, port::int", &[]).await.unwrap();
        let mut kept: Vec<(String, i32)> = kept.iter().map(|row| (row.get(0), row.get(1))).collect();
        let mut expected = expected;
        kept.sort();
        expected.sort();
        assert_eq!(kept, expected, "{text}");
    }
    for text in [
        ",",
        "10.0.0.1,",
        "10.0.0.1,,10.0.0.2",
        "10.0.0.1 0",
        "10.0.0.1 65536",
        "10.0.0.1:",
        "10.0.0.1 port",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.0/8",
        "10.*",
        "[10.0.0.1]:25",
        "[::1",
        "::1]",
        "mail.example.test",
        "10.0.0.1 25 26",
        "10.0.0.1, 10.0.0.1",
        "* 25, * 25",
        "10.0.0.1;10.0.0.2",
        "25",
        ":25",
    ] {
        assert!(listen::parse(text, 25).is_err(), "the daemon takes {text:?}");
        let taken = client
            .execute(
                "insert into control.listener (service, address, port) values ('smtp', $1, 25)",
                &[&text],
            )
            .await;
        assert!(taken.is_err(), "PostgreSQL takes {text:?}");
    }
}
