//! LANGUAGE (RFC 5255 §3.2): in which language people are spoken to.

use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::language::Language;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::net::out::Out;

/// More than anybody speaks.
const RANGES_MAX: usize = 50;

/// `LANGUAGE [range …]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speak {
    /// Languages (RFC 4647 §2.1), the best first; none asks for those that are known here.
    pub ranges: Vec<String>,
}

impl Speak {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let mut ranges = Vec::new();
        while parser.skip(b' ') {
            let at = parser.at();
            let range = String::from_utf8(parser.astring()?.into_owned()).ok();
            let range = range.filter(|range| is_range(range)).ok_or(Bad::new("expected a language", at))?;
            if ranges.len() == RANGES_MAX {
                return Err(Bad::new("too many languages", at));
            }
            ranges.push(range);
        }
        Ok(Speak { ranges })
    }

    /// Lists the languages, or speaks the first one asked for that is known.
    pub fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        if self.ranges.is_empty() {
            Line::untagged(&mut out.buffer()).raw("LANGUAGE ").list(Language::ALL, |line, language| {
                line.raw(language.tag());
            });
            return Ok(Done::ok("done"));
        }
        let preferred = Language::lookup(&session.config().imap.language).unwrap_or_default();
        let chosen = self.ranges.iter().find_map(|range| match range.to_ascii_lowercase().as_str() {
            "default" | "*" => Some(preferred),
            range => Language::lookup(range),
        });
        let chosen = chosen.ok_or_else(|| Fail::no(Code::Cannot, "none of these languages is known here"))?;
        session.language = chosen;
        Line::untagged(&mut out.buffer()).raw("LANGUAGE (").raw(chosen.tag()).raw(")");
        Ok(Done::ok("this language is spoken from here on"))
    }
}

/// `language-range` (RFC 4647 §2.1, §2.2): subtags of one to eight letters or digits, or `*`.
fn is_range(range: &str) -> bool {
    let is_subtag = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'*')
    };
    range.len() <= 100 && range.split('-').all(is_subtag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        let many = format!("LANGUAGE{}", " de".repeat(51));
        for input in [
            "LANGUAGE ",
            "LANGUAGE (de)",
            "LANGUAGE d_e",
            "LANGUAGE de-",
            "LANGUAGE abcdefghi",
            "LANGUAGE \"\"",
            &many,
        ] {
            refusal(input);
        }
        let speak = |ranges: &[&str]| {
            Command::Language(Speak { ranges: ranges.iter().map(|range| range.to_string()).collect() })
        };
        assert_eq!(command("LANGUAGE"), speak(&[]));
        assert_eq!(command("language DE-IT \"default\" {2+}\r\nfr"), speak(&["DE-IT", "default", "fr"]));
        assert_eq!(command("LANGUAGE \"*\""), speak(&["*"]));
    }
}
