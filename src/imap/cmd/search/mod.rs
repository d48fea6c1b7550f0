//! SEARCH and UID SEARCH (RFC 3501 §6.4.4), with RETURN (RFC 4731).

pub mod charset;
pub mod key;

use self::charset::Charset;
use self::key::{SearchKey, search_keys};
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::Numbering;

/// `SEARCH [RETURN (…)] [CHARSET charset] key …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What numbers the answer gives. The keys name theirs themselves.
    pub numbering: Numbering,
    /// What to answer.
    pub answer: Answer,
    /// What to look for.
    pub key: SearchKey,
}

/// How a search is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `* SEARCH`, with all numbers.
    Plain,
    /// `* ESEARCH`, with these; each once, at least one.
    Extended(Vec<ReturnOption>),
}

/// `search-return-opt`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnOption {
    /// The lowest number.
    Min,
    /// The highest.
    Max,
    /// All, as a set.
    All,
    /// How many.
    Count,
}

impl Search {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let mut answer = Answer::Plain;
        if parser.skip_word("RETURN") {
            parser.space()?;
            answer = Answer::Extended(return_options(parser)?);
            parser.space()?;
        }
        let mut charset = Charset::default();
        if parser.skip_word("CHARSET") {
            parser.space()?;
            charset = Charset::parse(parser)?;
            parser.space()?;
        }
        let key = search_keys(parser, charset)?;
        Ok(Search { numbering, answer, key })
    }
}

fn return_options(parser: &mut Parser<'_>) -> Result<Vec<ReturnOption>, Bad> {
    let mut options = Vec::new();
    for option in parser.list_of(return_option)? {
        if !options.contains(&option) {
            options.push(option);
        }
    }
    // RFC 4731 §3.1: an empty list means ALL.
    if options.is_empty() {
        options.push(ReturnOption::All);
    }
    Ok(options)
}

fn return_option(parser: &mut Parser<'_>) -> Result<ReturnOption, Bad> {
    let at = parser.at();
    match parser.atom()?.to_ascii_uppercase().as_slice() {
        b"MIN" => Ok(ReturnOption::Min),
        b"MAX" => Ok(ReturnOption::Max),
        b"ALL" => Ok(ReturnOption::All),
        b"COUNT" => Ok(ReturnOption::Count),
        _ => Err(Bad::new("unknown SEARCH return option", at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::bad;

    #[test]
    fn refusals() {
        for input in [
            "SEARCH",
            "SEARCH ",
            "SEARCH RETURN",
            "SEARCH RETURN (MIN)",
            "SEARCH RETURN (SAVE) ALL",
            "SEARCH RETURN MIN ALL",
            "SEARCH CHARSET UTF-8",
            "SEARCH CHARSET UTF-8 RETURN (MIN) ALL",
            "SEARCH ALL ",
            "SEARCH ALL)",
        ] {
            assert_eq!(refusal(input).answer, bad::Answer::Bad, "{input}");
        }
        assert_eq!(refusal("SEARCH CHARSET X-KLINGON ALL").answer, bad::Answer::BadCharset);
    }

    #[test]
    fn grammar() {
        let search = |numbering, answer, key| Command::Search(Search { numbering, answer, key });
        let subject = SearchKey::Subject("é".into());
        assert_eq!(command("search all"), search(Numbering::Sequence, Answer::Plain, SearchKey::All));
        assert_eq!(
            command(
                "UID SEARCH RETURN () CHARSET ISO-8859-1 SUBJECT {1}\r\n\u{e9}"
                    .chars()
                    .map(|c| c as u8)
                    .collect::<Vec<_>>()
            ),
            search(Numbering::Uid, Answer::Extended(vec![ReturnOption::All]), subject.clone())
        );
        assert_eq!(
            command("SEARCH RETURN (min COUNT Max MIN) SUBJECT \"é\""),
            search(
                Numbering::Sequence,
                Answer::Extended(vec![ReturnOption::Min, ReturnOption::Count, ReturnOption::Max]),
                subject
            )
        );
    }
}
