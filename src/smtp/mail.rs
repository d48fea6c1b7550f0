//! The parameters of MAIL: what each may be, how it is read and how it is written.
//!
//! All that this module knows is parsed, offered or not: a face that doesn't offer an extension refuses what
//! [`MailParams::extensions`] names beyond its offer.

use std::fmt;

use jiff::Timestamp;

use super::bad::Bad;
use super::param::{self, Extension, Param};
use super::xtext;

/// The parameters of one MAIL command. `Display` writes them as they follow the path, each with a space before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParams {
    /// SIZE: how many octets the message will have (RFC 1870 §5). More than 64 bits hold is read as the maximum.
    pub size: Option<u64>,
    /// BODY: which octets the message is made of.
    pub body: Option<Body>,
    /// SMTPUTF8: the message may have internationalised addresses and headers (RFC 6531 §3.4).
    pub utf8: Option<SmtpUtf8>,
    /// RET: how much of the message a failure report returns (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// ENVID: the sender's own name for the transaction, decoded: printable ASCII (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// AUTH: who submitted the message first, as the client says (RFC 4954 §5).
    pub submitter: Option<Submitter>,
    /// REQUIRETLS: never relay without TLS (RFC 8689 §2).
    pub require_tls: Option<RequireTls>,
    /// HOLDFOR or HOLDUNTIL: not to be sent earlier (RFC 4865 §4).
    pub hold: Option<Hold>,
    /// BY: deliver until, or return or tell (RFC 2852 §4).
    pub by: Option<DeliverBy>,
    /// MT-PRIORITY: from -9 to 9, higher is sooner (RFC 6710 §4.1).
    pub priority: Option<i8>,
}

/// The SMTPUTF8 parameter was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmtpUtf8;

/// The REQUIRETLS parameter was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequireTls;

/// Which octets a message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Lines of ASCII.
    SevenBit,
    /// Lines of any octets (RFC 6152).
    EightBitMime,
    /// Any octets; needs BDAT (RFC 3030).
    BinaryMime,
}

/// How much of a message a failure report returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// The value of AUTH=.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitter {
    /// `<>`: not known, or not to be trusted.
    Unknown,
    /// A mailbox, decoded from xtext; text without control characters, never empty.
    Mailbox(String),
}

/// When a held message may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// So many seconds after now: 1 to 999,999,999.
    For(u32),
    /// At this time.
    Until(Timestamp),
}

/// The value of BY=.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverBy {
    /// Seconds from now, -999,999,999 to 999,999,999; above zero when `mode` is [`ByMode::Return`].
    pub seconds: i32,
    /// What to do when the time is over.
    pub mode: ByMode,
    /// Tell the sender of every relay that doesn't know DELIVERBY.
    pub trace: ByTrace,
}

/// What to do with a message whose BY time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByMode {
    /// `N`: tell the sender, go on trying.
    Notify,
    /// `R`: return it.
    Return,
}

/// Is the BY trace asked for?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByTrace {
    /// No.
    Silent,
    /// `T`: yes.
    Traced,
}

impl MailParams {
    /// Parses what follows the path of MAIL.
    ///
    /// # Errors
    /// [`Bad`] for the first parameter that is wrong, given twice or unknown.
    pub(super) fn parse(text: &str) -> Result<MailParams, Bad> {
        let mut params = MailParams::default();
        for one in param::split(text) {
            params.take(one?)?;
        }
        Ok(params)
    }

    fn take(&mut self, param: Param<'_>) -> Result<(), Bad> {
        match param.keyword.to_ascii_uppercase().as_str() {
            "SIZE" => param::set(&mut self.size, "SIZE", size(&param)?),
            "BODY" => param::set(&mut self.body, "BODY", body(&param)?),
            "SMTPUTF8" => {
                param.no_value("SMTPUTF8")?;
                param::set(&mut self.utf8, "SMTPUTF8", SmtpUtf8)
            }
            "RET" => param::set(&mut self.ret, "RET", ret(&param)?),
            "ENVID" => param::set(&mut self.envelope_id, "ENVID", envelope_id(&param)?),
            "AUTH" => param::set(&mut self.submitter, "AUTH", submitter(&param)?),
            "REQUIRETLS" => {
                param.no_value("REQUIRETLS")?;
                param::set(&mut self.require_tls, "REQUIRETLS", RequireTls)
            }
            "HOLDFOR" => self.hold(hold_for(&param)?, "HOLDFOR"),
            "HOLDUNTIL" => self.hold(hold_until(&param)?, "HOLDUNTIL"),
            "BY" => param::set(&mut self.by, "BY", by(&param)?),
            "MT-PRIORITY" => param::set(&mut self.priority, "MT-PRIORITY", priority(&param)?),
            _ => Err(param.unknown()),
        }
    }

    /// RFC 4865 §4: both together is a syntax error.
    fn hold(&mut self, hold: Hold, keyword: &'static str) -> Result<(), Bad> {
        match (self.hold.replace(hold), hold) {
            (None, _) => Ok(()),
            (Some(Hold::For(_)), Hold::For(_)) | (Some(Hold::Until(_)), Hold::Until(_)) => {
                Err(Bad::ParamTwice(keyword))
            }
            _ => Err(Bad::ParamConflict("HOLDFOR", "HOLDUNTIL")),
        }
    }

    /// The extensions that these parameters use.
    pub fn extensions(&self) -> impl Iterator<Item = Extension> + use<> {
        [
            self.size.map(|_| Extension::Size),
            self.body.map(|body| match body {
                Body::BinaryMime => Extension::BinaryMime,
                Body::SevenBit | Body::EightBitMime => Extension::EightBitMime,
            }),
            self.utf8.map(|_| Extension::SmtpUtf8),
            (self.ret.is_some() || self.envelope_id.is_some()).then_some(Extension::Dsn),
            self.submitter.as_ref().map(|_| Extension::Auth),
            self.require_tls.map(|_| Extension::RequireTls),
            self.hold.map(|_| Extension::FutureRelease),
            self.by.map(|_| Extension::DeliverBy),
            self.priority.map(|_| Extension::MtPriority),
        ]
        .into_iter()
        .flatten()
    }
}

fn size(param: &Param<'_>) -> Result<u64, Bad> {
    const WANTED: &str = "a number of octets";
    let digits = param.value("SIZE", WANTED)?;
    // size-value is 1 to 20 digits, which is more than 64 bits: any such size is over every limit.
    if digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Bad::ParamValue("SIZE", WANTED));
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn body(param: &Param<'_>) -> Result<Body, Bad> {
    const WANTED: &str = "7BIT, 8BITMIME or BINARYMIME";
    match param.value("BODY", WANTED)?.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        "BINARYMIME" => Ok(Body::BinaryMime),
        _ => Err(Bad::ParamValue("BODY", WANTED)),
    }
}

fn ret(param: &Param<'_>) -> Result<Ret, Bad> {
    const WANTED: &str = "FULL or HDRS";
    match param.value("RET", WANTED)?.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Headers),
        _ => Err(Bad::ParamValue("RET", WANTED)),
    }
}

fn envelope_id(param: &Param<'_>) -> Result<String, Bad> {
    const WANTED: &str = "at most 100 characters of xtext that stand for printable ASCII";
    let value = param.value("ENVID", WANTED)?;
    if value.len() > 100 {
        return Err(Bad::ParamValue("ENVID", WANTED));
    }
    xtext::decode_printable(value.as_bytes()).map_err(|_| Bad::ParamValue("ENVID", WANTED))
}

fn submitter(param: &Param<'_>) -> Result<Submitter, Bad> {
    const WANTED: &str = "<> or a mailbox in xtext, at most 500 characters";
    let value = param.value("AUTH", WANTED)?;
    if value == "<>" {
        return Ok(Submitter::Unknown);
    }
    if value.len() > 500 {
        return Err(Bad::ParamValue("AUTH", WANTED));
    }
    xtext::decode_text(value.as_bytes()).map(Submitter::Mailbox).map_err(|_| Bad::ParamValue("AUTH", WANTED))
}

fn hold_for(param: &Param<'_>) -> Result<Hold, Bad> {
    const WANTED: &str = "1 to 999999999 seconds";
    let value = param.value("HOLDFOR", WANTED)?;
    let shaped = value.len() <= 9 && value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0');
    let seconds = shaped.then(|| value.parse().ok()).flatten();
    seconds.map(Hold::For).ok_or(Bad::ParamValue("HOLDFOR", WANTED))
}

fn hold_until(param: &Param<'_>) -> Result<Hold, Bad> {
    const WANTED: &str = "a time like 2030-01-31T12:00:00Z";
    let value = param.value("HOLDUNTIL", WANTED)?;
    // Only RFC 3339 in UTC; the parser of timestamps alone would take more than that.
    let shape: Vec<u8> =
        value.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b.to_ascii_uppercase() }).collect();
    let fraction_and_zone =
        shape.strip_prefix(b"0000-00-00T00:00:00").and_then(|rest| rest.strip_suffix(b"Z"));
    let shaped = fraction_and_zone.is_some_and(|fraction| {
        fraction.is_empty()
            || fraction
                .strip_prefix(b".")
                .is_some_and(|d| (1..=9).contains(&d.len()) && d.iter().all(|b| *b == b'0'))
    });
    let time = shaped.then(|| value.parse().ok()).flatten();
    time.map(Hold::Until).ok_or(Bad::ParamValue("HOLDUNTIL", WANTED))
}

fn by(param: &Param<'_>) -> Result<DeliverBy, Bad> {
    const WANTED: &str = "seconds;N or seconds;R (above zero), with T for a trace";
    let bad = || Bad::ParamValue("BY", WANTED);
    let (seconds, flags) = param.value("BY", WANTED)?.split_once(';').ok_or_else(bad)?;
    let digits = seconds.strip_prefix(['+', '-']).unwrap_or(seconds);
    if !(1..=9).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let seconds: i32 = seconds.parse().map_err(|_| bad())?;
    let (mode, trace) = match flags.to_ascii_uppercase().as_str() {
        "N" => (ByMode::Notify, ByTrace::Silent),
        "NT" => (ByMode::Notify, ByTrace::Traced),
        "R" => (ByMode::Return, ByTrace::Silent),
        "RT" => (ByMode::Return, ByTrace::Traced),
        _ => return Err(bad()),
    };
    // RFC 2852 §4: returning a message whose time is already over is a syntax error.
    if mode == ByMode::Return && seconds <= 0 {
        return Err(bad());
    }
    Ok(DeliverBy { seconds, mode, trace })
}

fn priority(param: &Param<'_>) -> Result<i8, Bad> {
    const WANTED: &str = "-9 to 9";
    match param.value("MT-PRIORITY", WANTED)?.as_bytes() {
        [digit @ b'0'..=b'9'] => Ok((digit - b'0').cast_signed()),
        [b'-', digit @ b'1'..=b'9'] => Ok(-(digit - b'0').cast_signed()),
        _ => Err(Bad::ParamValue("MT-PRIORITY", WANTED)),
    }
}

impl fmt::Display for MailParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        match self.body {
            None => {}
            Some(Body::SevenBit) => f.write_str(" BODY=7BIT")?,
            Some(Body::EightBitMime) => f.write_str(" BODY=8BITMIME")?,
            Some(Body::BinaryMime) => f.write_str(" BODY=BINARYMIME")?,
        }
        if self.utf8.is_some() {
            f.write_str(" SMTPUTF8")?;
        }
        match self.ret {
            None => {}
            Some(Ret::Full) => f.write_str(" RET=FULL")?,
            Some(Ret::Headers) => f.write_str(" RET=HDRS")?,
        }
        if let Some(id) = &self.envelope_id {
            write!(f, " ENVID={}", xtext::encode(id.as_bytes()))?;
        }
        match &self.submitter {
            None => {}
            Some(Submitter::Unknown) => f.write_str(" AUTH=<>")?,
            Some(Submitter::Mailbox(mailbox)) => write!(f, " AUTH={}", xtext::encode(mailbox.as_bytes()))?,
        }
        if self.require_tls.is_some() {
            f.write_str(" REQUIRETLS")?;
        }
        match self.hold {
            None => {}
            Some(Hold::For(seconds)) => write!(f, " HOLDFOR={seconds}")?,
            Some(Hold::Until(time)) => write!(f, " HOLDUNTIL={time}")?,
        }
        if let Some(by) = self.by {
            let mode = if by.mode == ByMode::Return { "R" } else { "N" };
            let trace = if by.trace == ByTrace::Traced { "T" } else { "" };
            write!(f, " BY={};{mode}{trace}", by.seconds)?;
        }
        match self.priority {
            None => Ok(()),
            Some(priority) => write!(f, " MT-PRIORITY={priority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refused() {
        let long_id = format!("ENVID={}", "x".repeat(101));
        let long_auth = format!("AUTH={}", "x".repeat(501));
        for text in [
            "SIZE",
            "SIZE=x",
            "SIZE=-1",
            "SIZE=+1",
            "SIZE=123456789012345678901",
            "BODY",
            "BODY=9BIT",
            "SMTPUTF8=1",
            "RET",
            "RET=SOME",
            "ENVID",
            "ENVID=a+0Ab",
            "ENVID=a+2",
            &long_id,
            "AUTH",
            "AUTH=+00",
            "AUTH=+C3",
            &long_auth,
            "REQUIRETLS=1",
            "HOLDFOR",
            "HOLDFOR=0",
            "HOLDFOR=01",
            "HOLDFOR=1000000000",
            "HOLDFOR=-1",
            "HOLDUNTIL=2030-01-01",
            "HOLDUNTIL=2030-01-01T00:00:00",
            "HOLDUNTIL=2030-01-01T00:00:00+01:00",
            "HOLDUNTIL=2030-13-01T00:00:00Z",
            "HOLDUNTIL=2030-01-01T00:00:00.Z",
            "HOLDUNTIL=x",
            "BY=1",
            "BY=;N",
            "BY=1;",
            "BY=1;X",
            "BY=0;R",
            "BY=-1;R",
            "BY=1234567890;N",
            "BY=+-1;N",
            "BY=1;TN",
            "MT-PRIORITY=10",
            "MT-PRIORITY=-0",
            "MT-PRIORITY=+1",
            "MT-PRIORITY=-10",
            "MT-PRIORITY",
        ] {
            let got = MailParams::parse(text);
            let keyword = text.split('=').next().unwrap();
            assert!(matches!(got, Err(Bad::ParamValue(k, _)) if k == keyword), "{text}: {got:?}");
        }
        assert_eq!(MailParams::parse("SIZE=1 x-y=2"), Err(Bad::ParamUnknown("X-Y".into())));
        assert_eq!(MailParams::parse("NOTIFY=NEVER"), Err(Bad::ParamUnknown("NOTIFY".into())));
        for text in
            ["SIZE=1 size=1", "SMTPUTF8 SMTPUTF8", "AUTH=<> AUTH=<>", "HOLDFOR=1 HOLDFOR=2", "BY=1;N BY=1;N"]
        {
            assert!(matches!(MailParams::parse(text), Err(Bad::ParamTwice(_))), "{text}");
        }
        assert_eq!(
            MailParams::parse("HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z"),
            Err(Bad::ParamConflict("HOLDFOR", "HOLDUNTIL"))
        );
    }

    #[test]
    fn understood() {
        let text = " size=00012 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ+2B1 AUTH=e+3Dmc2@example.com REQUIRETLS \
                    HOLDUNTIL=2030-01-31T12:00:00.5z BY=-12;NT MT-PRIORITY=-4";
        let params = MailParams::parse(text).unwrap();
        assert_eq!(params.size, Some(12));
        assert_eq!(params.body, Some(Body::EightBitMime));
        assert_eq!(params.ret, Some(Ret::Headers));
        assert_eq!(params.envelope_id.as_deref(), Some("QQ+1"));
        assert_eq!(params.submitter, Some(Submitter::Mailbox("e=mc2@example.com".into())));
        assert_eq!(params.hold, Some(Hold::Until("2030-01-31T12:00:00.5Z".parse().unwrap())));
        assert_eq!(params.by, Some(DeliverBy { seconds: -12, mode: ByMode::Notify, trace: ByTrace::Traced }));
        assert_eq!(params.priority, Some(-4));
        let keywords: Vec<_> = params.extensions().map(Extension::keyword).collect();
        let expected = [
            "SIZE",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "AUTH",
            "REQUIRETLS",
            "FUTURERELEASE",
            "DELIVERBY",
            "MT-PRIORITY",
        ];
        assert_eq!(keywords, expected);
        assert_eq!(MailParams::parse("SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
        assert_eq!(
            MailParams::parse("BODY=BINARYMIME").unwrap().extensions().next(),
            Some(Extension::BinaryMime)
        );
        assert_eq!(MailParams::parse("").unwrap(), MailParams::default());
    }

    fn any_params() -> impl Strategy<Value = MailParams> {
        use proptest::option::of;
        let body = prop_oneof![Just(Body::SevenBit), Just(Body::EightBitMime), Just(Body::BinaryMime)];
        let submitter =
            prop_oneof![Just(Submitter::Unknown), "[ -~\u{e9}]{1,40}".prop_map(Submitter::Mailbox)];
        let hold = prop_oneof![
            (1u32..=999_999_999).prop_map(Hold::For),
            (0i64..4_000_000_000).prop_map(|s| Hold::Until(Timestamp::from_second(s).unwrap()))
        ];
        let by = (1i32..=999_999_999, any::<bool>(), any::<bool>()).prop_map(|(seconds, notify, traced)| {
            DeliverBy {
                seconds: if notify { -seconds } else { seconds },
                mode: if notify { ByMode::Notify } else { ByMode::Return },
                trace: if traced { ByTrace::Traced } else { ByTrace::Silent },
            }
        });
        let first = (
            of(any::<u64>()),
            of(body),
            of(Just(SmtpUtf8)),
            of(prop_oneof![Just(Ret::Full), Just(Ret::Headers)]),
        );
        let second = (of("[ -~]{1,33}"), of(submitter), of(Just(RequireTls)), of(hold), of(by), of(-9i8..=9));
        (first, second).prop_map(
            |((size, body, utf8, ret), (envelope_id, submitter, require_tls, hold, by, priority))| {
                MailParams { size, body, utf8, ret, envelope_id, submitter, require_tls, hold, by, priority }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(params in any_params()) {
            prop_assert_eq!(MailParams::parse(&params.to_string()), Ok(params));
        }

        #[test]
        fn anything_is_answered(keyword in "SIZE|BODY|RET|ENVID|AUTH|HOLDFOR|HOLDUNTIL|BY|MT-PRIORITY|X", value in "\\PC{0,20}") {
            let _ = MailParams::parse(&format!("{keyword}={value}"));
        }
    }
}
