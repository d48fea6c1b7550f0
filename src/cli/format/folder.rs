//! Names of mailboxes as names of Maildir++ folders: `Work/2024` is `.Work.2024`, what is not ASCII in IMAP's modified
//! UTF-7 (RFC 3501 §5.1.3). A dot within a level would divide it and is written in the same way, which mail servers that
//! read such folders understand. Names of users become names of files here: nothing else may pass.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD};

fn engine() -> GeneralPurpose {
    const CONFIG: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&IMAP_MUTF7, CONFIG)
}

/// The levels of `name`, with dots between, each safe in a file name.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut run = Vec::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) && c != '.' {
            end_run(&mut run, &mut out);
            match c {
                '/' => out.push('.'),
                '&' => out.push_str("&-"),
                c => out.push(c),
            }
        } else {
            let mut units = [0; 2];
            run.extend(c.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    end_run(&mut run, &mut out);
    out
}

fn end_run(run: &mut Vec<u8>, out: &mut String) {
    if !run.is_empty() {
        out.push('&');
        engine().encode_string(&run, out);
        out.push('-');
        run.clear();
    }
}

/// The name of a mailbox from what [`encode`] or another server wrote; a part that is no modified UTF-7 is taken as it
/// is. `None` for a name that is not text, or has an empty level.
pub fn decode(folder: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(folder).ok()?;
    let levels: Option<Vec<String>> = text
        .split('.')
        .map(|level| match level {
            "" => None,
            level => Some(decode_level(level).unwrap_or_else(|| level.to_owned())),
        })
        .collect();
    let levels = levels?;
    levels
        .iter()
        .all(|level| !level.contains('/') && !level.chars().any(char::is_control))
        .then(|| levels.join("/"))
}

fn decode_level(level: &str) -> Option<String> {
    let mut out = String::with_capacity(level.len());
    let mut rest = level;
    while let Some((plain, coded)) = rest.split_once('&') {
        out.push_str(plain);
        let (code, after) = coded.split_once('-')?;
        if code.is_empty() {
            out.push('&');
        } else {
            let bytes = engine().decode(code).ok()?;
            if bytes.len() % 2 != 0 {
                return None;
            }
            let units: Vec<u16> =
                bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        for (name, folder) in [
            ("INBOX", "INBOX"),
            ("Work/2024", "Work.2024"),
            ("Entwürfe & mehr", "Entw&APw-rfe &- mehr"),
            ("v1.0", "v1&AC4-0"),
            ("../../etc", "&AC4ALg-.&AC4ALg-.etc"),
            ("日本語", "&ZeVnLIqe-"),
            ("😀", "&2D3eAA-"),
        ] {
            assert_eq!(encode(name), folder);
            assert_eq!(decode(folder.as_bytes()).as_deref(), Some(name));
        }
    }

    #[test]
    fn refusals() {
        for folder in [&b""[..], b"a..b", b".a", b"a.", b"\xff", b"&AC8-", b"a\x01"] {
            assert_eq!(decode(folder), None, "{folder:?}");
        }
        // What is no modified UTF-7 was written by somebody who did not know of it.
        assert_eq!(decode(b"R&D").as_deref(), Some("R&D"));
        assert_eq!(decode(b"R&!-D").as_deref(), Some("R&!-D"));
        assert_eq!(decode("Büro".as_bytes()).as_deref(), Some("Büro"));
    }

    proptest! {
        #[test]
        fn comes_back(name in "[^/\\pC]{1,5}(/[^/\\pC]{1,5}){0,2}") {
            let folder = encode(&name);
            prop_assert!(folder.is_ascii() && !folder.contains('/') && !folder.starts_with('.'));
            prop_assert_eq!(decode(folder.as_bytes()), Some(name));
        }

        #[test]
        fn never_panics(bytes: Vec<u8>, text in "[&A-Za-z.+,-]{0,20}") {
            decode(&bytes);
            decode(text.as_bytes());
        }
    }
}
