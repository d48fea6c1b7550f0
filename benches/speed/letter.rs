//! Messages to fill mailboxes with: made up, but of the sizes and forms that mail has; the same number gives the same bytes.
//!
//! No two are alike, so that no server gains by keeping equal ones once; an eighth has [`SUBJECT`] in its subject, a twentieth
//! has [`WORD`] in its text, and no other has either.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// In the subject of the messages whose number [`has_subject`] names.
pub const SUBJECT: &str = "quarterly";
/// In the text of the messages whose number [`has_word`] names.
pub const WORD: &str = "periwinkle";

/// Whether a message has [`SUBJECT`].
pub fn has_subject(number: usize) -> bool {
    number % 8 == 1
}

/// Whether a message has [`WORD`].
pub fn has_word(number: usize) -> bool {
    number % 20 == 3
}

/// The header fields that a client lists a mailbox with, as Thunderbird asks for them.
pub const LISTED: &str = "From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To";

/// Sizes of a text and of an attachment, bytes.
#[derive(Clone, Copy)]
pub struct Sizes {
    text: usize,
    attachment: usize,
}

impl Sizes {
    /// A short letter.
    pub const SHORT: Sizes = Sizes { text: 4_000, attachment: 0 };

    /// Of the n-th message: half are some KB of text, a third are text and HTML of up to 30 KB, the rest has an attachment
    /// of up to 150 KB, or of up to half a megabyte one time in a hundred. The mean is some 20 KB.
    pub fn of(number: usize) -> Sizes {
        let mut chance = Chance::new(number as u64 ^ 0x5157_e500);
        match chance.below(100) {
            0..=54 => Sizes { text: 800 + chance.below(5_000), attachment: 0 },
            55..=86 => Sizes { text: 4_000 + chance.below(24_000), attachment: 0 },
            87..=98 => Sizes { text: 2_000 + chance.below(4_000), attachment: 20_000 + chance.below(80_000) },
            _ => Sizes { text: 2_000, attachment: 200_000 + chance.below(150_000) },
        }
    }

    /// The same with a third of each, for large mailboxes.
    pub fn small(number: usize) -> Sizes {
        let Sizes { text, attachment } = Sizes::of(number);
        Sizes { text: text / 3 + 400, attachment: attachment / 3 }
    }
}

/// The `number`-th message of an owner.
pub fn letter(owner: &str, number: usize, sizes: Sizes) -> Vec<u8> {
    let seed = owner.bytes().fold(number as u64 + 1, |seed, byte| seed.wrapping_mul(257) + u64::from(byte));
    let mut chance = Chance::new(seed);
    let mut letter = String::with_capacity(sizes.text * 2 + sizes.attachment * 3 / 2 + 2_000);
    header(&mut letter, &mut chance, owner, number);
    let is_plain = sizes.attachment == 0 && sizes.text < 6_000;
    let word = if has_word(number) { WORD } else { "sparrow" };
    if is_plain {
        letter.push_str("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
        text(&mut letter, &mut chance, sizes.text, word);
        return letter.into_bytes();
    }
    let (kind, boundary) = match sizes.attachment {
        0 => ("alternative", format!("=_alt_{seed:016x}")),
        _ => ("mixed", format!("=_mix_{seed:016x}")),
    };
    letter.push_str(&format!("Content-Type: multipart/{kind};\r\n\tboundary=\"{boundary}\"\r\n\r\n"));
    letter.push_str(&format!("--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"));
    text(&mut letter, &mut chance, sizes.text / 3, word);
    letter.push_str(&format!("--{boundary}\r\n"));
    if sizes.attachment == 0 {
        letter.push_str("Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>\r\n");
        text(&mut letter, &mut chance, sizes.text * 2 / 3, word);
        letter.push_str("</p></body></html>\r\n");
    } else {
        letter.push_str(
            "Content-Type: application/pdf; name=\"report.pdf\"\r\nContent-Disposition: attachment; filename=\"report.pdf\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
        );
        attachment(&mut letter, &mut chance, sizes.attachment);
    }
    letter.push_str(&format!("--{boundary}--\r\n"));
    letter.into_bytes()
}

/// Bytes that `BODY[HEADER.FIELDS (...)]` has of a message: the fields named in `names`, and the empty line.
pub fn listed_size(letter: &[u8], names: &str) -> u64 {
    let mut size = 2;
    let mut is_named = false;
    for line in letter.split_inclusive(|byte| *byte == b'\n') {
        if line == b"\r\n" {
            break;
        }
        if !line.starts_with(b"\t") && !line.starts_with(b" ") {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            is_named = names.split(' ').any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name));
        }
        if is_named {
            size += line.len() as u64;
        }
    }
    size
}

/// Numbers without a pattern, always the same ones (Knuth's MMIX generator).
pub struct Chance(u64);

impl Chance {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// From 0 to below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.get(self.below(of.len())).copied().unwrap_or_default()
    }
}

#[rustfmt::skip]
const NAMES: [&str; 16] = [
    "Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Grete", "Hiro", "Ines", "Jonas", "Kaia", "Luis", "Mara", "Nils", "Olga", "Piet",
];
#[rustfmt::skip]
const WORDS: [&str; 32] = [
    "mailbox", "the", "queue", "letter", "of", "postmaster", "and", "reply", "to", "envelope", "in", "header", "a", "sender", "is", "relay",
    "meeting", "will", "tomorrow", "invoice", "please", "attached", "we", "have", "project", "größe", "until", "deadline", "thanks", "café", "with", "regards",
];

fn header(letter: &mut String, chance: &mut Chance, owner: &str, number: usize) {
    let (from, copy) = (chance.pick(&NAMES), chance.pick(&NAMES));
    let (minute, day) = (number % 60, number % 28 + 1);
    let date = format!("{day} Sep 2026 08:{minute:02}:07 +0000");
    let topic = if has_subject(number) { SUBJECT } else { "weekly" };
    letter.push_str(&format!(
        "Return-Path: <{from}@example.net>\r\n\
         Received: from mx{number}.example.net (mx{number}.example.net [192.0.2.{minute}])\r\n\
         \tby mail.example.test with ESMTPS id {number:08X}\r\n\tfor <{owner}>; {date}\r\n\
         Received: from [198.51.100.{minute}] by mx{number}.example.net with ESMTPSA;\r\n\t{date}\r\n\
         DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=s1;\r\n\th=from:to:subject:date:message-id;\r\n\tbh="
    ));
    for column in 0..6 {
        letter.push_str(&format!("{:08x}{:08x}", chance.next(), chance.next()));
        letter.push_str(if column % 3 == 2 { "\r\n\t" } else { "" });
    }
    letter.push_str(&format!(
        "x\r\nMIME-Version: 1.0\r\nDate: {date}\r\nFrom: {from} Example <{from}@example.net>\r\nTo: <{owner}>\r\n\
         Cc: \"{copy}, of Sales\" <{copy}@example.org>\r\nSubject: The {topic} {} {}, {number}\r\n\
         Message-ID: <{number}.{:08x}.{owner}>\r\nIn-Reply-To: <{}.{owner}>\r\nReferences: <1.{owner}>\r\n\t<{}.{owner}>\r\n\
         User-Agent: Example/1.0\r\n",
        chance.pick(&WORDS[16..25]),
        chance.pick(&WORDS[..8]),
        chance.next(),
        number / 2,
        number / 2
    ));
}

/// Lines of words, `word` once among them.
fn text(letter: &mut String, chance: &mut Chance, size: usize, word: &str) {
    let end = letter.len() + size;
    letter.push_str(word);
    letter.push(' ');
    let mut line = letter.len();
    while letter.len() < end {
        letter.push_str(chance.pick(&WORDS));
        if chance.below(8) == 0 {
            // Numbers and the like, so that text compresses as text does.
            letter.push_str(&format!(" {:x}", chance.next()));
        }
        if letter.len() - line > 68 {
            letter.push_str("\r\n");
            line = letter.len();
        } else {
            letter.push(' ');
        }
    }
    letter.push_str("\r\n");
}

/// Bytes in base64 that do not compress.
fn attachment(letter: &mut String, chance: &mut Chance, size: usize) {
    let mut bytes = Vec::with_capacity(57);
    for _ in 0..size / 57 {
        bytes.clear();
        while bytes.len() < 57 {
            bytes.extend_from_slice(&(chance.next() as u32).to_le_bytes());
        }
        bytes.truncate(57);
        STANDARD.encode_string(&bytes, letter);
        letter.push_str("\r\n");
    }
}
