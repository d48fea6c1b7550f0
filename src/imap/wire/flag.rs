//! Flags as a client may set them (RFC 3501 §2.3.2, §9 `flag`).

use super::bad::Bad;
use super::parser::Parser;

/// The longest keyword taken.
const KEYWORD_MAX: usize = 255;

/// A flag that a client can set. `\Recent` is not among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// A keyword: an atom, its case kept; keywords that differ only in case are one (RFC 9051 §2.3.2).
    Keyword(String),
}

impl Flag {
    /// The flag as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Flag::Answered => "\\Answered",
            Flag::Flagged => "\\Flagged",
            Flag::Deleted => "\\Deleted",
            Flag::Seen => "\\Seen",
            Flag::Draft => "\\Draft",
            Flag::Keyword(keyword) => keyword,
        }
    }
}

impl Parser<'_> {
    /// `flag-list`: flags in parentheses, possibly none.
    pub fn flag_list(&mut self) -> Result<Vec<Flag>, Bad> {
        let flags = self.list_of(Parser::flag)?;
        Ok(flags.into_iter().flatten().collect())
    }

    /// `flag-list / (flag *(SP flag))`, as STORE takes them.
    pub fn flags(&mut self) -> Result<Vec<Flag>, Bad> {
        if self.peek() == Some(b'(') {
            return self.flag_list();
        }
        let mut flags = Vec::new();
        flags.extend(self.flag()?);
        while self.skip(b' ') {
            flags.extend(self.flag()?);
        }
        Ok(flags)
    }

    /// A keyword alone.
    pub fn flag_keyword(&mut self) -> Result<String, Bad> {
        let at = self.at();
        let atom = self.atom()?;
        if atom.len() > KEYWORD_MAX {
            return Err(Bad::new("keyword too long", at));
        }
        String::from_utf8(atom.to_vec()).map_err(|_| Bad::new("expected a keyword", at))
    }

    /// One flag, `None` for `\Recent`: the client can't alter it (RFC 3501 §2.3.2), yet tools that copy messages
    /// hand it over with the rest, so it is passed over rather than refused.
    fn flag(&mut self) -> Result<Option<Flag>, Bad> {
        let at = self.at();
        if !self.skip(b'\\') {
            return self.flag_keyword().map(|keyword| Some(Flag::Keyword(keyword)));
        }
        let flag = match self.atom()?.to_ascii_uppercase().as_slice() {
            b"ANSWERED" => Flag::Answered,
            b"FLAGGED" => Flag::Flagged,
            b"DELETED" => Flag::Deleted,
            b"SEEN" => Flag::Seen,
            b"DRAFT" => Flag::Draft,
            b"RECENT" => return Ok(None),
            _ => return Err(Bad::new("unknown system flag", at)),
        };
        Ok(Some(flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    #[test]
    fn flag_lists() {
        for text in [
            "",
            "(",
            "(\\Seen",
            "(\\Seen,x)",
            "(\\)",
            "(\\Foo)",
            "(\\*)",
            "( )",
            "(a  b)",
            "(\"a\")",
            "\\Seen",
        ] {
            refused(text, Parser::flag_list);
        }
        assert_eq!(taken("()", Parser::flag_list), []);
        assert_eq!(
            taken("(\\seen \\Recent $Fwd)", Parser::flag_list),
            [Flag::Seen, Flag::Keyword("$Fwd".into())]
        );
        assert_eq!(taken("\\Draft \\DELETED", Parser::flags), [Flag::Draft, Flag::Deleted]);
        refused("k".repeat(256), Parser::flags);
    }
}
