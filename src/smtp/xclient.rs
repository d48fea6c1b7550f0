//! XCLIENT: a trusted proxy tells for whom it speaks (the Postfix extension, widely used by front ends).
//!
//! Only the grammar is here. Whether the peer may say such things is for the face to decide, before it believes any of it.

use super::bad::Bad;
use super::xtext;

/// What XCLIENT can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The client's host name, from the DNS.
    Name,
    /// What the DNS says of its address, confirmed or not.
    ReverseName,
    /// The client's address, an IPv6 address perhaps with `IPV6:` before it.
    Addr,
    /// The client's port.
    Port,
    /// `SMTP` or `ESMTP`.
    Proto,
    /// What the client said with HELO or EHLO.
    Helo,
    /// The name it has logged in with.
    Login,
    /// The server's address that the client connected to.
    DestAddr,
    /// The server's port that the client connected to.
    DestPort,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `[UNAVAILABLE]`: there is none.
    Unavailable,
    /// `[TEMPUNAVAIL]`: it couldn't be found out this time.
    TemporarilyUnavailable,
    /// Text without control characters, decoded from xtext.
    Known(String),
}

/// The attributes by their names, in the order in which they are announced.
pub const ATTRIBUTES: [(&str, Attribute); 9] = [
    ("NAME", Attribute::Name),
    ("REVERSE_NAME", Attribute::ReverseName),
    ("ADDR", Attribute::Addr),
    ("PORT", Attribute::Port),
    ("PROTO", Attribute::Proto),
    ("HELO", Attribute::Helo),
    ("LOGIN", Attribute::Login),
    ("DESTADDR", Attribute::DestAddr),
    ("DESTPORT", Attribute::DestPort),
];

/// Parses the arguments of XCLIENT: at least one attribute, each at most once.
///
/// # Errors
/// [`Bad`] for the first argument that is wrong.
pub(super) fn parse(text: &str, syntax: &'static str) -> Result<Vec<(Attribute, Value)>, Bad> {
    const WANTED: &str = "[UNAVAILABLE], [TEMPUNAVAIL] or xtext";
    let mut found: Vec<(Attribute, Value)> = Vec::new();
    // Not as the parameters of MAIL are read: these keywords may have an underscore.
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, text) = word.split_once('=').unwrap_or((word, ""));
        let known = ATTRIBUTES.iter().find(|(name, _)| name.eq_ignore_ascii_case(keyword));
        let unknown = || Bad::ParamUnknown(keyword.chars().take(64).collect::<String>().to_ascii_uppercase());
        let &(name, attribute) = known.ok_or_else(unknown)?;
        if found.iter().any(|(a, _)| *a == attribute) {
            return Err(Bad::ParamTwice(name));
        }
        if text.is_empty() {
            return Err(Bad::ParamValue(name, WANTED));
        }
        let value = if text.eq_ignore_ascii_case("[UNAVAILABLE]") {
            Value::Unavailable
        } else if text.eq_ignore_ascii_case("[TEMPUNAVAIL]") {
            Value::TemporarilyUnavailable
        } else {
            Value::Known(xtext::decode_text(text.as_bytes()).map_err(|_| Bad::ParamValue(name, WANTED))?)
        };
        found.push((attribute, value));
    }
    if found.is_empty() { Err(Bad::Usage(syntax)) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused() {
        assert_eq!(parse("", "S"), Err(Bad::Usage("S")));
        assert_eq!(parse("COLOUR=1", "S"), Err(Bad::ParamUnknown("COLOUR".into())));
        assert_eq!(parse("NAME=a name=b", "S"), Err(Bad::ParamTwice("NAME")));
        for text in ["ADDR", "ADDR=+0D", "ADDR=+1"] {
            assert!(matches!(parse(text, "S"), Err(Bad::ParamValue("ADDR", _))), "{text}");
        }
    }

    #[test]
    fn understood() {
        let got =
            parse("NAME=[unavailable] reverse_name=x addr=IPV6:::1 LOGIN=a+40b HELO=[TEMPUNAVAIL]", "S");
        let expected = vec![
            (Attribute::Name, Value::Unavailable),
            (Attribute::ReverseName, Value::Known("x".into())),
            (Attribute::Addr, Value::Known("IPV6:::1".into())),
            (Attribute::Login, Value::Known("a@b".into())),
            (Attribute::Helo, Value::TemporarilyUnavailable),
        ];
        assert_eq!(got, Ok(expected));
    }
}
