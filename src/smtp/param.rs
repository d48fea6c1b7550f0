//! ESMTP parameters in general: how they are split (RFC 5321 §4.1.2), and which extension each belongs to.

use super::bad::Bad;

/// The extensions whose parameters MAIL and RCPT know. A face compares what a client used with what it offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// SIZE, RFC 1870.
    Size,
    /// BODY=7BIT and BODY=8BITMIME, RFC 6152.
    EightBitMime,
    /// BODY=BINARYMIME, RFC 3030.
    BinaryMime,
    /// SMTPUTF8, RFC 6531.
    SmtpUtf8,
    /// RET, ENVID, NOTIFY and ORCPT, RFC 3461.
    Dsn,
    /// AUTH, RFC 4954.
    Auth,
    /// REQUIRETLS, RFC 8689.
    RequireTls,
    /// HOLDFOR and HOLDUNTIL, RFC 4865.
    FutureRelease,
    /// BY, RFC 2852.
    DeliverBy,
    /// MT-PRIORITY, RFC 6710.
    MtPriority,
}

impl Extension {
    /// The keyword that offers the extension in the reply to EHLO.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Extension::Size => "SIZE",
            Extension::EightBitMime => "8BITMIME",
            Extension::BinaryMime => "BINARYMIME",
            Extension::SmtpUtf8 => "SMTPUTF8",
            Extension::Dsn => "DSN",
            Extension::Auth => "AUTH",
            Extension::RequireTls => "REQUIRETLS",
            Extension::FutureRelease => "FUTURERELEASE",
            Extension::DeliverBy => "DELIVERBY",
            Extension::MtPriority => "MT-PRIORITY",
        }
    }
}

/// One parameter as it was written: `keyword` or `keyword=value`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Param<'a> {
    /// Letters, digits and hyphens, in any case.
    pub keyword: &'a str,
    /// The value, if there is a `=`; never empty, never with `=`.
    pub value: Option<&'a str>,
}

impl<'a> Param<'a> {
    /// The value of a parameter that must have one; `wanted` says what to expect.
    pub fn value(&self, keyword: &'static str, wanted: &'static str) -> Result<&'a str, Bad> {
        self.value.ok_or(Bad::ParamValue(keyword, wanted))
    }

    /// Holds a parameter that has no value to having none.
    pub fn no_value(&self, keyword: &'static str) -> Result<(), Bad> {
        if self.value.is_some() { Err(Bad::ParamValue(keyword, "no value")) } else { Ok(()) }
    }

    /// The fault of a keyword that the command doesn't know.
    pub fn unknown(&self) -> Bad {
        Bad::ParamUnknown(self.keyword.to_ascii_uppercase())
    }
}

/// The parameters in what follows a path: words with spaces before and between them.
pub(super) fn split(text: &str) -> impl Iterator<Item = Result<Param<'_>, Bad>> {
    text.split(' ').filter(|word| !word.is_empty()).map(one)
}

fn one(word: &str) -> Result<Param<'_>, Bad> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let good_keyword = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    // esmtp-value: one or more visible characters but "=", and UTF-8 by RFC 6531 §3.3.
    let good_value = value.is_none_or(|v| !v.is_empty() && !v.contains('='));
    if good_keyword && good_value {
        Ok(Param { keyword, value })
    } else {
        Err(Bad::ParamSyntax(shortened(word)))
    }
}

/// As much of a malformed word as a reply should repeat.
fn shortened(word: &str) -> String {
    word.chars().take(64).collect()
}

/// Puts a value into its slot, which must be empty.
pub(super) fn set<T>(slot: &mut Option<T>, keyword: &'static str, value: T) -> Result<(), Bad> {
    if slot.replace(value).is_some() { Err(Bad::ParamTwice(keyword)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed() {
        for text in ["=", "=1", "SIZE=", "A==1", "A=1=2", "-A", "A_B", "\u{e9}=1", "a@b"] {
            let got: Result<Vec<_>, Bad> = split(text).collect();
            assert!(matches!(&got, Err(Bad::ParamSyntax(word)) if word == text), "{text}: {got:?}");
        }
    }

    #[test]
    fn split_at_spaces() {
        let got: Vec<_> = split("  A  B-1=x\u{e9}<>  ").map(|p| p.map(|p| (p.keyword, p.value))).collect();
        assert_eq!(got, [Ok(("A", None)), Ok(("B-1", Some("x\u{e9}<>")))]);
        assert_eq!(split("").count(), 0);
    }
}
