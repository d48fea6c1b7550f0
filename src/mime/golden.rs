//! Golden messages: what each `tests/message/*.eml` looks like in IMAP, compared with the `.expected` beside it.
//!
//! An expected file has three lines: `ENVELOPE …`, `BODY …`, `BODYSTRUCTURE …` (a literal in them may break a line).

use std::fs;
use std::path::Path;

use super::bodystructure::{Form, write_bodystructure};
use super::envelope::{Envelope, write_envelope};
use super::structure::{Builder, Limits};

fn shown(message: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Limits::default());
    builder.feed(message);
    let parsed = builder.finish();
    let mut out = b"ENVELOPE ".to_vec();
    write_envelope(&Envelope::parse(&parsed.header), &mut out);
    for (name, form) in [("BODY", Form::Body), ("BODYSTRUCTURE", Form::BodyStructure)] {
        out.extend_from_slice(format!("\n{name} ").as_bytes());
        write_bodystructure(&parsed.root, form, &mut out);
    }
    out.push(b'\n');
    out
}

#[test]
fn messages_look_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/message");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            let message = fs::read(&path).unwrap();
            let expected = fs::read(path.with_extension("expected")).unwrap();
            let text = |bytes: &[u8]| bytes.escape_ascii().to_string().replace("\\n", "\n");
            assert_eq!(text(&shown(&message)), text(&expected), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 15, "only {seen} messages found");
}
