//! LANG (RFC 6856 §3): the language of the texts behind +OK and -ERR. There is one, and its neutral name.

use crate::net::out::Out;
use crate::pop3::wire::{self, Refusal};

const LANGUAGES: [(&str, &str); 2] = [("en", "English"), ("i-default", "the server's own: English")];

pub(super) fn run(wanted: Option<&[u8]>, out: &mut Out<'_>) -> Result<(), Refusal> {
    let Some(wanted) = wanted else {
        wire::ok(out, "languages");
        for (tag, name) in LANGUAGES {
            out.put(format!("{tag} {name}\r\n").as_bytes());
        }
        wire::end(out);
        return Ok(());
    };
    let tag = match wanted {
        // The server's choice.
        b"*" => Some("en"),
        _ => LANGUAGES.iter().map(|(tag, _)| *tag).find(|tag| tag.as_bytes().eq_ignore_ascii_case(wanted)),
    };
    let tag = tag.ok_or_else(|| Refusal::plain("LANG lists the languages there are"))?;
    wire::ok(out, &format!("{tag} is spoken here"));
    Ok(())
}
