//! COMPRESS (RFC 4978).

use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::session::{Compression, Session};
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::parser::Parser;

/// `COMPRESS mechanism`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress {
    /// The mechanism's name, in capitals. DEFLATE is the only one there is.
    pub mechanism: String,
}

impl Compress {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        Ok(Compress { mechanism: String::from_utf8_lossy(parser.atom()?).to_ascii_uppercase() })
    }

    /// Compresses both directions, from the end of the answer on.
    pub fn run(self, session: &mut Session) -> Outcome {
        if session.compression == Compression::Active {
            return Err(Fail::no(Code::CompressionActive, "the connection is compressed already"));
        }
        if self.mechanism != "DEFLATE" {
            return Err(Fail::no(Code::Cannot, "this mechanism is not known here"));
        }
        // There are clients that ask without looking at what is announced.
        if !session.is_announced("COMPRESS=DEFLATE") {
            return Err(Fail::no(Code::Cannot, "compression is not offered here"));
        }
        session.compression = Compression::Begins;
        Ok(Done::ok("compressing from here on"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["COMPRESS", "COMPRESS ", "COMPRESS \"DEFLATE\"", "COMPRESS DEFLATE 9"] {
            refusal(input);
        }
        assert_eq!(command("compress deflate"), Command::Compress(Compress { mechanism: "DEFLATE".into() }));
    }
}
