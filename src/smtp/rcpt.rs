//! The parameters of RCPT (RFC 3461 §4.1, §4.2): who is to be told what, and whom the message was for originally.

use std::fmt;

use super::bad::Bad;
use super::param::{self, Extension, Param};
use super::xtext;

/// The parameters of one RCPT command. `Display` writes them as they follow the path, each with a space before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RcptParams {
    /// NOTIFY: when the sender wants a report. Without it, on failure and perhaps on delay.
    pub notify: Option<Notify>,
    /// ORCPT: whom the sender wrote to, before aliases and lists.
    pub original: Option<OriginalRecipient>,
}

/// When the sender of a message wants a report about a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// Never.
    Never,
    /// On each of these; at least one is set.
    On(NotifyOn),
}

/// The occasions of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NotifyOn {
    /// The message was delivered.
    pub success: bool,
    /// It can't be delivered.
    pub failure: bool,
    /// It is late.
    pub delay: bool,
}

/// The value of ORCPT=.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// What kind of address it is, in lower case: `rfc822`, `utf-8` or another registered name.
    pub address_type: String,
    /// The address, decoded: printable ASCII, or text without control characters if the type is `utf-8`. Not checked further.
    pub address: String,
}

impl RcptParams {
    /// Parses what follows the path of RCPT.
    ///
    /// # Errors
    /// [`Bad`] for the first parameter that is wrong, given twice or unknown.
    pub(super) fn parse(text: &str) -> Result<RcptParams, Bad> {
        let mut params = RcptParams::default();
        for one in param::split(text) {
            let one = one?;
            if one.keyword.eq_ignore_ascii_case("NOTIFY") {
                param::set(&mut params.notify, "NOTIFY", notify(&one)?)?;
            } else if one.keyword.eq_ignore_ascii_case("ORCPT") {
                param::set(&mut params.original, "ORCPT", original(&one)?)?;
            } else {
                return Err(one.unknown());
            }
        }
        Ok(params)
    }

    /// The extension that these parameters use, if any.
    #[must_use]
    pub fn extension(&self) -> Option<Extension> {
        (self.notify.is_some() || self.original.is_some()).then_some(Extension::Dsn)
    }
}

fn notify(param: &Param<'_>) -> Result<Notify, Bad> {
    const WANTED: &str = "NEVER or a list of SUCCESS, FAILURE, DELAY";
    let value = param.value("NOTIFY", WANTED)?;
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::Never);
    }
    let mut on = NotifyOn::default();
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => on.success = true,
            "FAILURE" => on.failure = true,
            "DELAY" => on.delay = true,
            // NEVER among others is a syntax error too (RFC 3461 §4.1).
            _ => return Err(Bad::ParamValue("NOTIFY", WANTED)),
        }
    }
    Ok(Notify::On(on))
}

fn original(param: &Param<'_>) -> Result<OriginalRecipient, Bad> {
    const WANTED: &str = "type;address in xtext, at most 500 characters";
    let bad = || Bad::ParamValue("ORCPT", WANTED);
    let value = param.value("ORCPT", WANTED)?;
    let (address_type, encoded) = value.split_once(';').ok_or_else(bad)?;
    // RFC 3461 §4.2: 500 characters.
    if value.len() > 500 || encoded.is_empty() || !is_atom(address_type) {
        return Err(bad());
    }
    let address_type = address_type.to_ascii_lowercase();
    let address = if address_type == "utf-8" {
        xtext::decode_utf8_address(encoded)
    } else {
        xtext::decode_printable(encoded.as_bytes())
    };
    Ok(OriginalRecipient { address_type, address: address.map_err(|_| bad())? })
}

fn is_atom(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/?^_`{|}~".contains(&b))
}

impl fmt::Display for RcptParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.notify {
            None => {}
            Some(Notify::Never) => f.write_str(" NOTIFY=NEVER")?,
            Some(Notify::On(on)) => {
                let words = [(on.success, "SUCCESS"), (on.failure, "FAILURE"), (on.delay, "DELAY")];
                let words: Vec<_> = words.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
                write!(f, " NOTIFY={}", words.join(","))?;
            }
        }
        let Some(OriginalRecipient { address_type, address }) = &self.original else { return Ok(()) };
        // The ASCII form of a utf-8 address is understood by every hop, with SMTPUTF8 or without.
        let encoded = if address_type == "utf-8" {
            xtext::encode_utf8_xtext(address)
        } else {
            xtext::encode(address.as_bytes())
        };
        write!(f, " ORCPT={address_type};{encoded}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refused() {
        let long = format!("ORCPT=rfc822;{}", "x".repeat(494));
        for text in [
            "NOTIFY",
            "NOTIFY=SOME",
            "NOTIFY=NEVER,DELAY",
            "NOTIFY=DELAY,NEVER",
            "NOTIFY=DELAY,",
            "NOTIFY=,",
            "ORCPT",
            "ORCPT=a@b",
            "ORCPT=;a@b",
            "ORCPT=rfc822;",
            "ORCPT=rfc(822;a@b",
            "ORCPT=rfc822;a+",
            "ORCPT=rfc822;a+0D+0Ab",
            "ORCPT=rfc822;\u{e9}@b",
            "ORCPT=rfc822;+C3+A9@b",
            "ORCPT=utf-8;\\x{0A}",
            "ORCPT=utf-8;a\\x",
            &long,
        ] {
            let got = RcptParams::parse(text);
            let keyword = text.split('=').next().unwrap();
            assert!(matches!(got, Err(Bad::ParamValue(k, _)) if k == keyword), "{text}: {got:?}");
        }
        assert_eq!(RcptParams::parse("NOTIFY=NEVER SIZE=1"), Err(Bad::ParamUnknown("SIZE".into())));
        assert_eq!(RcptParams::parse("NOTIFY=DELAY notify=DELAY"), Err(Bad::ParamTwice("NOTIFY")));
        assert_eq!(RcptParams::parse("ORCPT=a;b ORCPT=a;b"), Err(Bad::ParamTwice("ORCPT")));
    }

    #[test]
    fn understood() {
        let params = RcptParams::parse(" notify=success,Delay ORCPT=RFC822;Bob+2Bx@example.com").unwrap();
        assert_eq!(params.notify, Some(Notify::On(NotifyOn { success: true, failure: false, delay: true })));
        let original = params.original.unwrap();
        assert_eq!(
            (original.address_type.as_str(), original.address.as_str()),
            ("rfc822", "Bob+x@example.com")
        );
        let params = RcptParams::parse("ORCPT=utf-8;\u{e9}\\x{E9}\\x{2B}@example.com").unwrap();
        assert_eq!(params.original.unwrap().address, "\u{e9}\u{e9}+@example.com");
        assert_eq!(RcptParams::parse(" ").unwrap().extension(), None);
    }

    fn any_notify() -> impl Strategy<Value = Notify> {
        (1u8..8, any::<bool>()).prop_map(|(bits, never)| {
            let on = NotifyOn { success: bits & 1 != 0, failure: bits & 2 != 0, delay: bits & 4 != 0 };
            if never { Notify::Never } else { Notify::On(on) }
        })
    }

    fn any_original() -> impl Strategy<Value = OriginalRecipient> {
        let ascii = ("rfc822|x400|fax", "[ -~]{1,40}");
        let utf8 = ("utf-8", "[ -~\u{e9}\u{4e2d}\u{1f600}]{1,40}");
        prop_oneof![ascii, utf8]
            .prop_map(|(address_type, address)| OriginalRecipient { address_type, address })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            notify in proptest::option::of(any_notify()),
            original in proptest::option::of(any_original()),
        ) {
            let params = RcptParams { notify, original };
            prop_assert_eq!(RcptParams::parse(&params.to_string()), Ok(params));
        }
    }
}
