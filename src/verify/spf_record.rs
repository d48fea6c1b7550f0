//! The language of SPF records (RFC 7208 §4.6, §5, §6, §7): records and macros, read as a whole before anything is evaluated, so
//! that a record with a mistake anywhere is an error whoever sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A record that breaks the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A record.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// In their order.
    pub directives: Vec<Directive>,
    /// `redirect=`.
    pub redirect: Option<Macro>,
}

/// What a match means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// `+`, or nothing.
    Pass,
    /// `-`.
    Fail,
    /// `~`.
    SoftFail,
    /// `?`.
    Neutral,
}

/// A qualifier and a mechanism.
#[derive(Debug, PartialEq, Eq)]
pub struct Directive {
    /// What a match means.
    pub qualifier: Qualifier,
    /// What matches.
    pub mechanism: Mechanism,
}

/// Lengths of prefixes: IPv4, IPv6.
pub type Prefix = (u8, u8);

/// What matches. A domain that is not named is the current one.
#[derive(Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Always.
    All,
    /// What passes for another domain.
    Include(Macro),
    /// The addresses of a host.
    A(Option<Macro>, Prefix),
    /// The addresses of a domain's mail servers.
    Mx(Option<Macro>, Prefix),
    /// Whose reverse name is below a domain.
    Ptr(Option<Macro>),
    /// A network.
    Ip(IpAddr, u8),
    /// Where a name has any address.
    Exists(Macro),
}

/// Text with macros in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Macro(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value { letter: char, escape: bool, keep: usize, reverse: bool, delimiters: String },
}

/// Whether a TXT record is one of SPF (§4.5).
pub fn is_spf(text: &str) -> bool {
    text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("v=spf1"))
        && matches!(text.as_bytes().get(6), None | Some(b' '))
}

impl Record {
    /// Reads a record.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if !is_spf(text) || !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            return Err(Malformed);
        }
        let mut record = Record::default();
        let mut explained = false;
        for term in text.get(6..).unwrap_or_default().split(' ').filter(|term| !term.is_empty()) {
            let Some((name, value)) = modifier(term) else {
                record.directives.push(Directive::parse(term)?);
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "redirect" if record.redirect.is_some() => return Err(Malformed),
                "redirect" => record.redirect = Some(Macro::domain(value)?),
                "exp" if std::mem::replace(&mut explained, true) => return Err(Malformed),
                "exp" => drop(Macro::domain(value)?),
                _ => drop(Macro::parse(value)?),
            }
        }
        Ok(record)
    }
}

/// `name=value`; a mechanism has no `=` before its `:` or `/`.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut letters = name.chars();
    let fits = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    fits.then_some((name, value))
}

impl Directive {
    fn parse(term: &str) -> Result<Self, Malformed> {
        let (qualifier, rest) = match term.split_at_checked(1) {
            Some(("+", rest)) => (Qualifier::Pass, rest),
            Some(("-", rest)) => (Qualifier::Fail, rest),
            Some(("~", rest)) => (Qualifier::SoftFail, rest),
            Some(("?", rest)) => (Qualifier::Neutral, rest),
            _ => (Qualifier::Pass, term),
        };
        let end = rest.find([':', '/']).unwrap_or(rest.len());
        let (name, arguments) = rest.split_at(end);
        let value = arguments.strip_prefix(':');
        let mechanism = match (name.to_ascii_lowercase().as_str(), value) {
            ("all", None) if arguments.is_empty() => Mechanism::All,
            ("include", Some(domain)) => Mechanism::Include(Macro::domain(domain)?),
            ("exists", Some(domain)) => Mechanism::Exists(Macro::domain(domain)?),
            ("ptr", Some(domain)) => Mechanism::Ptr(Some(Macro::domain(domain)?)),
            ("ptr", None) if arguments.is_empty() => Mechanism::Ptr(None),
            ("a", value) => {
                let (domain, prefix) = domain_and_prefix(value, arguments)?;
                Mechanism::A(domain, prefix)
            }
            ("mx", value) => {
                let (domain, prefix) = domain_and_prefix(value, arguments)?;
                Mechanism::Mx(domain, prefix)
            }
            ("ip4", Some(network)) => {
                let (address, length) =
                    network.split_once('/').map_or((network, None), |(a, l)| (a, Some(l)));
                let address: Ipv4Addr = address.parse().map_err(|_| Malformed)?;
                Mechanism::Ip(IpAddr::V4(address), length.map_or(Ok(32), |length| number(length, 32))?)
            }
            ("ip6", Some(network)) => {
                let (address, length) =
                    network.split_once('/').map_or((network, None), |(a, l)| (a, Some(l)));
                let address: Ipv6Addr = address.parse().map_err(|_| Malformed)?;
                Mechanism::Ip(IpAddr::V6(address), length.map_or(Ok(128), |length| number(length, 128))?)
            }
            _ => return Err(Malformed),
        };
        Ok(Self { qualifier, mechanism })
    }
}

/// `:domain/24//64`, each part optional. Only digits at the end are a length: a slash may stand in a name as well.
fn domain_and_prefix(value: Option<&str>, arguments: &str) -> Result<(Option<Macro>, Prefix), Malformed> {
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut text = value.unwrap_or(arguments);
    let mut prefix = (32, 128);
    if let Some((before, six)) = text.rsplit_once("//").filter(|(_, six)| digits(six)) {
        (text, prefix.1) = (before, number(six, 128)?);
    }
    if let Some((before, four)) = text.rsplit_once('/').filter(|(_, four)| digits(four)) {
        (text, prefix.0) = (before, number(four, 32)?);
    }
    match value {
        Some(_) => Ok((Some(Macro::domain(text)?), prefix)),
        None if text.is_empty() => Ok((None, prefix)),
        None => Err(Malformed),
    }
}

/// A prefix length: digits without a leading zero.
fn number(text: &str, most: u8) -> Result<u8, Malformed> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    match text.parse() {
        Ok(number) if plain && number <= most => Ok(number),
        _ => Err(Malformed),
    }
}

impl Macro {
    /// Reads a macro-string (§7.1).
    fn parse(text: &str) -> Result<Self, Malformed> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, after) = rest.split_at(at);
            plain.push_str(before);
            let mut letters = after.chars().skip(1);
            rest = match letters.next() {
                Some('%') => {
                    plain.push('%');
                    after.get(2..).unwrap_or_default()
                }
                Some('_') => {
                    plain.push(' ');
                    after.get(2..).unwrap_or_default()
                }
                Some('-') => {
                    plain.push_str("%20");
                    after.get(2..).unwrap_or_default()
                }
                Some('{') => {
                    let end = after.find('}').ok_or(Malformed)?;
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(value(after.get(2..end).unwrap_or_default())?);
                    after.get(end + 1..).unwrap_or_default()
                }
                _ => return Err(Malformed),
            };
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Reads a domain-spec: it ends in a macro or in a label that can be a top-level domain.
    fn domain(text: &str) -> Result<Self, Malformed> {
        let read = Self::parse(text)?;
        let ends_well = match read.0.last() {
            None => false,
            Some(Part::Value { .. }) => text.ends_with('}'),
            Some(Part::Text(end)) => {
                let end = end.strip_suffix('.').unwrap_or(end);
                let label = end.rsplit_once('.').map(|(_, label)| label);
                label.is_some_and(is_top_label)
            }
        };
        if ends_well { Ok(read) } else { Err(Malformed) }
    }

    /// Whether `%{p}` is in it, which costs a look at the reverse name.
    pub fn needs_name(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Value { letter: 'p', .. }))
    }

    /// The text with its macros replaced; `value` knows what each letter stands for.
    pub fn expand(&self, value: impl Fn(char) -> String) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value { letter, escape, keep, reverse, delimiters } => {
                    let value = value(*letter);
                    let delimiters = if delimiters.is_empty() { "." } else { delimiters };
                    let mut labels: Vec<&str> = value.split(|c| delimiters.contains(c)).collect();
                    if *reverse {
                        labels.reverse();
                    }
                    let first = labels.len().saturating_sub(*keep);
                    let kept = labels.get(first..).unwrap_or_default().join(".");
                    out.push_str(&if *escape { escaped(&kept) } else { kept });
                }
            }
        }
        out
    }
}

/// The inside of `%{…}`: letter, digits, `r`, delimiters.
fn value(inside: &str) -> Result<Part, Malformed> {
    let mut letters = inside.chars();
    let letter = letters.next().ok_or(Malformed)?;
    // c, r and t are for explanations only.
    if !"slodiphv".contains(letter.to_ascii_lowercase()) {
        return Err(Malformed);
    }
    let rest = letters.as_str();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = rest.split_at(digits);
    let keep = match digits {
        "" => usize::MAX,
        // More labels than a name can have are all of them.
        digits => match digits.parse::<u128>().unwrap_or(u128::MAX) {
            0 => return Err(Malformed),
            number => usize::try_from(number).unwrap_or(usize::MAX),
        },
    };
    let (reverse, delimiters) = match rest.strip_prefix(['r', 'R']) {
        Some(delimiters) => (true, delimiters),
        None => (false, rest),
    };
    if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
        return Err(Malformed);
    }
    Ok(Part::Value {
        letter: letter.to_ascii_lowercase(),
        escape: letter.is_ascii_uppercase(),
        keep,
        reverse,
        delimiters: delimiters.to_owned(),
    })
}

fn is_top_label(label: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !label.is_empty()
        && label.chars().all(inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.bytes().all(|b| b.is_ascii_digit())
}

/// What an upper-case letter asks for (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_record() {
        for (text, good) in [
            ("v=spf1", true),
            ("V=SPF1 -ALL", true),
            ("v=spf1 a:a.test/24//64 mx/0 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all", true),
            ("v=spf1 exists:%{i}._spf.%{d2} redirect=%{d}", true),
            ("v=spf1 moo=1 -all exp=e.test", true),
            ("v=spf10", false),
            ("v=spf1 all:x", false),
            ("v=spf1 ip4:1.2.3", false),
            ("v=spf1 ip4:1.2.3.4/33", false),
            ("v=spf1 a/08", false),
            ("v=spf1 include:", false),
            ("v=spf1 include:test", false),
            ("v=spf1 include:a.test redirect=b.test redirect=c.test", false),
            ("v=spf1 exists:%{x}.test", false),
            ("v=spf1 exists:%{d0}.test", false),
            ("v=spf1 a:museum.123", false),
            ("v=spf1 -all caf\u{e9}=1", false),
        ] {
            assert_eq!(Record::parse(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn macros_as_the_rfc_shows_them() {
        let value = |letter| {
            match letter {
                's' => "strong-bad@email.example.com",
                'o' | 'd' => "email.example.com",
                'l' => "strong-bad",
                'i' => "192.0.2.3",
                _ => "in-addr",
            }
            .to_owned()
        };
        for (text, expanded) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l-}", "strong.bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{S}", "strong-bad%40email.example.com"),
            ("a%%b%_c%-", "a%b c%20"),
        ] {
            assert_eq!(Macro::parse(text).unwrap().expand(value), expanded, "{text}");
        }
    }
}
