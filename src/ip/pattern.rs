//! A pattern for IP addresses, as people write it in a list.
//!
//! | written | means |
//! |---|---|
//! | `*` | every address, IPv4 and IPv6 |
//! | `192.168.0.1`, `fe80::1` | this address |
//! | `192.168.0.1/16`, `2001:db8::1/32` | every address with the same first 16 (32) bits; bits after those are ignored |
//! | `192.168.*`, `192.*` | a last `*` stands for all octets that are left: the same as `/16`, `/8` |
//! | `*.*.*.*` | every IPv4 address; a `*` anywhere else stands for one octet: `10.*.0.1` |
//! | `fe80:*`, `fe80::*` | every IPv6 address whose first group is `fe80`: the same as `/16` |
//! | `::*`, `*:*` | every IPv6 address |
//! | `fe80::1:*` | `::` inside stands for zero groups as ever (eight in all), and each `*` for one group |
//! | `192.168.0.?`, `10.0.1?.1` | `?` is exactly one digit: 0 to 9; 10 to 19 |
//! | `10.0.1*.1` | `*` among digits is any number of them: 1, 10 to 19, 100 to 199 |
//! | `fe8?:*`, `2001:db8::1?` | the same in IPv6, group by group |
//!
//! The text that `?` is compared with is the octet or group alone, without leading zeros, hexadecimal in lower case
//! (RFC 5952 §4.1 and §4.3), and *before* `::` is put in: a zero group is `0`, wherever it stands. Comparing with the
//! shortened text of the whole address would let a rule depend on which other groups happen to be zero.
//!
//! An IPv4-mapped address is an IPv4 address: `::ffff:10.0.0.1` matches `10.*`, and a pattern written as
//! `::ffff:10.0.0.0/104` or `::ffff:10.*` is `10.0.0.0/8`. `::*` doesn't match it.
//!
//! Two patterns that parse to the same prefix are equal (`192.168.*` and `192.168.0.1/16`). [`Pattern`] is shown in a
//! form that parses back to an equal pattern.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::piece::{Base, Piece};

/// No pattern that means something is longer.
const MAX_TEXT: usize = 100;

/// A set of IP addresses, written as in the table at the head of this file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Form);

/// What a pattern comes down to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// Every address of either family.
    Every,
    /// All addresses with a prefix; host bits are zero; never IPv4-mapped.
    Net(IpNet),
    /// IPv4 with wildcards that are no prefix.
    V4([Piece; 4]),
    /// IPv6 with wildcards that are no prefix.
    V6([Piece; 8]),
}

/// How closely a pattern fits: of two patterns that match an address, the greater one is the more specific.
///
/// First counts how many bits are fixed (the prefix length, or all bits of the octets and groups that hold no
/// wildcard); among equals a pattern with digits and wildcards (`192.168.0.1?`) comes before the bare prefix, and the
/// one with more digits first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    fixed_bits: u8,
    digits: u8,
}

impl Specificity {
    pub(super) fn of_prefix(len: u8) -> Specificity {
        Specificity { fixed_bits: len, digits: 0 }
    }
}

/// A text that is no pattern. The message names the text, what is wrong with it, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an IP address or pattern: {reason}. Allowed are an address (192.168.0.1, fe80::1), a network \
     (192.168.0.0/16, fe80::/10), * for the octets or groups that are left (192.168.*, fe80:*, ::*), ? for one digit \
     (192.168.0.?) and * alone for every address"
)]
pub struct PatternError {
    /// What was written, shortened when very long.
    pub text: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nothing was written.
    #[error("it is empty")]
    Empty,
    /// Longer than any pattern.
    #[error("it is too long")]
    TooLong,
    /// A character that occurs in no address.
    #[error("{0:?} can't stand there")]
    Character(char),
    /// Two dots or colons in a row, or one at the end.
    #[error("something is missing before, between or after its dots or colons")]
    EmptyPart,
    /// Fewer than four octets and no `*` at the end.
    #[error("an IPv4 address has four numbers, or ends in *")]
    TooFewOctets,
    /// More than four octets.
    #[error("an IPv4 address has no more than four numbers")]
    TooManyOctets,
    /// Fewer than eight groups, no `::` and no `*` at the end.
    #[error("an IPv6 address has eight groups, or a ::, or ends in *")]
    TooFewGroups,
    /// More than eight groups, or eight and a `::`.
    #[error("an IPv6 address has no more than eight groups")]
    TooManyGroups,
    /// `::` twice.
    #[error(":: may stand only once")]
    TwoGaps,
    /// An octet over 255.
    #[error("a number is greater than 255")]
    OctetTooBig,
    /// An octet such as `010`, which is read differently by different programs.
    #[error("a number begins with 0")]
    LeadingZero,
    /// A group of more than four digits.
    #[error("a group has more than four digits")]
    GroupTooLong,
    /// A `?` pattern that no number can match.
    #[error("no number fits its wildcards (numbers are compared without leading zeros)")]
    NothingMatches,
    /// What stands before the slash is no address.
    #[error("before the / must stand a whole address")]
    NetworkAddress,
    /// A wildcard and a prefix length.
    #[error("* and ? can't be combined with a /")]
    WildcardInNetwork,
    /// The prefix length is no number, or over the given maximum.
    #[error("after the / must stand a number from 0 to {0}")]
    PrefixLength(u8),
    /// A prefix of an IPv4-mapped address that reaches beyond IPv4.
    #[error("for an address that begins with ::ffff: the number after the / must be from 96 to 128")]
    MappedPrefix,
    /// Hexadecimal wildcards in an IPv4-mapped address.
    #[error("addresses that begin with ::ffff: are IPv4 addresses; write the pattern as IPv4")]
    MappedWildcard,
    /// `fe80::1%eth0`.
    #[error("a zone (%) can't be part of it")]
    Zone,
}

impl Pattern {
    /// The pattern for every address.
    pub const EVERY: Pattern = Pattern(Form::Every);

    /// Whether the address is one of the pattern's; an IPv4-mapped address counts as IPv4.
    pub fn matches(&self, address: IpAddr) -> bool {
        match (&self.0, address.to_canonical()) {
            (Form::Every, _) => true,
            (Form::Net(net), address) => net.contains(&address),
            (Form::V4(pieces), IpAddr::V4(v4)) => {
                pieces.iter().zip(v4.octets()).all(|(piece, octet)| piece.matches(octet.into(), Base::Octet))
            }
            (Form::V6(pieces), IpAddr::V6(v6)) => {
                pieces.iter().zip(v6.segments()).all(|(piece, group)| piece.matches(group, Base::Group))
            }
            (Form::V4(_), IpAddr::V6(_)) | (Form::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// How closely the pattern fits, to choose among those that match one address.
    pub fn specificity(&self) -> Specificity {
        match &self.0 {
            Form::Every => Specificity::of_prefix(0),
            Form::Net(net) => Specificity::of_prefix(net.prefix_len()),
            Form::V4(pieces) => specificity_of(pieces, 8),
            Form::V6(pieces) => specificity_of(pieces, 16),
        }
    }

    pub(super) fn form(&self) -> &Form {
        &self.0
    }
}

fn specificity_of(pieces: &[Piece], bits: u8) -> Specificity {
    // One ahead of a prefix with as many bits, even without digits (10.*.0.1 and 10.*.?.1).
    let mut sum = Specificity { fixed_bits: 0, digits: 1 };
    for piece in pieces {
        match piece {
            Piece::Is(_) => sum.fixed_bits += bits,
            Piece::Any => {}
            Piece::Like(glob) => sum.digits += glob.literals(),
        }
    }
    sum
}

impl From<IpAddr> for Pattern {
    fn from(address: IpAddr) -> Pattern {
        Pattern(Form::Net(IpNet::from(address.to_canonical())))
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        parse(text.trim())
            .map(Pattern)
            .map_err(|reason| PatternError { text: shortened(text.trim()), reason })
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Pattern, PatternError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Every => f.write_str("*"),
            Form::Net(net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}", net.addr()),
            Form::Net(net) => write!(f, "{net}"),
            Form::V4(pieces) => write_pieces(pieces, '.', Base::Octet, f),
            Form::V6(pieces) => write_pieces(pieces, ':', Base::Group, f),
        }
    }
}

fn write_pieces(pieces: &[Piece], between: char, base: Base, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, piece) in pieces.iter().enumerate() {
        if i > 0 {
            write!(f, "{between}")?;
        }
        piece.write(base, f)?;
    }
    Ok(())
}

/// A text for an error message: not longer than a line.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_TEXT {
        return text.to_owned();
    }
    text.chars().take(MAX_TEXT).chain(['…']).collect()
}

fn parse(text: &str) -> Result<Form, Reason> {
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    if text.len() > MAX_TEXT {
        return Err(Reason::TooLong);
    }
    if text.bytes().all(|b| b == b'*') {
        return Ok(Form::Every);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Form::Net(IpNet::from(address.to_canonical())));
    }
    if let Some((address, len)) = text.split_once('/') {
        return network(address, len);
    }
    if text.contains('%') {
        return Err(Reason::Zone);
    }
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_hexdigit() && !".:*?".contains(*c)) {
        return Err(Reason::Character(odd));
    }
    match mapped_part(text) {
        Some(v4) => parse_v4(v4),
        None if text.contains(':') => parse_v6(text),
        None => parse_v4(text),
    }
}

/// `::ffff:10.*` is an IPv4 pattern: the part in dots.
fn mapped_part(text: &str) -> Option<&str> {
    let (start, rest) = text.split_at_checked(7)?;
    (start.eq_ignore_ascii_case("::ffff:") && rest.contains('.')).then_some(rest)
}

fn network(address: &str, len: &str) -> Result<Form, Reason> {
    if address.contains(['*', '?']) {
        return Err(Reason::WildcardInNetwork);
    }
    if address.contains('%') {
        return Err(Reason::Zone);
    }
    let address: IpAddr = address.parse().map_err(|_| Reason::NetworkAddress)?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let digits = !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit());
    let len = len.parse().ok().filter(|&len: &u8| digits && len <= max).ok_or(Reason::PrefixLength(max))?;
    let net = match (address, address.to_canonical()) {
        (IpAddr::V4(v4), _) => Ipv4Net::new(v4, len).map(IpNet::V4),
        (IpAddr::V6(_), IpAddr::V4(v4)) => {
            let len = len.checked_sub(96).ok_or(Reason::MappedPrefix)?;
            Ipv4Net::new(v4, len).map(IpNet::V4)
        }
        (IpAddr::V6(v6), IpAddr::V6(_)) => Ipv6Net::new(v6, len).map(IpNet::V6),
    };
    net.map(|net| Form::Net(net.trunc())).map_err(|_| Reason::PrefixLength(max))
}

fn parse_v4(text: &str) -> Result<Form, Reason> {
    let mut pieces = [Piece::Any; 4];
    let count = fill(&mut pieces, text, '.', Base::Octet).ok_or(Reason::TooManyOctets)??;
    if count < 4 && pieces[count - 1] != Piece::Any {
        return Err(Reason::TooFewOctets);
    }
    let Some((numbers, fixed)) = prefix_of(&pieces) else { return Ok(Form::V4(pieces)) };
    let octets = numbers.map(|n| n as u8); // an octet piece is never over 255
    let net = Ipv4Net::new(octets.into(), (fixed * 8) as u8).map_err(|_| Reason::PrefixLength(32))?;
    Ok(Form::Net(IpNet::V4(net)))
}

fn parse_v6(text: &str) -> Result<Form, Reason> {
    let pieces = match text.split_once("::") {
        None => {
            let mut pieces = [Piece::Any; 8];
            let count = fill(&mut pieces, text, ':', Base::Group).ok_or(Reason::TooManyGroups)??;
            if count < 8 && pieces[count - 1] != Piece::Any {
                return Err(Reason::TooFewGroups);
            }
            pieces
        }
        Some((_, tail)) if tail.contains("::") => return Err(Reason::TwoGaps),
        Some((head, tail)) => with_gap(head, tail)?,
    };
    let Some((groups, fixed)) = prefix_of(&pieces) else {
        let mapped = [0, 0, 0, 0, 0, 0xffff].map(Piece::Is);
        return if pieces.starts_with(&mapped) { Err(Reason::MappedWildcard) } else { Ok(Form::V6(pieces)) };
    };
    let len = (fixed * 16) as u8;
    let net = match (IpAddr::from(groups).to_canonical(), len.checked_sub(96)) {
        (IpAddr::V4(v4), Some(len)) => Ipv4Net::new(v4, len).map(IpNet::V4),
        _ => Ipv6Net::new(groups.into(), len).map(IpNet::V6),
    };
    net.map(Form::Net).map_err(|_| Reason::PrefixLength(128))
}

/// The groups of a text with `::` between `head` and `tail`.
fn with_gap(head: &str, tail: &str) -> Result<[Piece; 8], Reason> {
    // A final `::*` opens the pattern instead of filling it up with zeros.
    let open = !tail.is_empty() && tail.bytes().all(|b| b == b'*');
    let mut pieces = [if open { Piece::Any } else { Piece::Is(0) }; 8];
    // The gap stands for at least one group, so seven are left for both sides.
    let mut count = 0;
    if !head.is_empty() {
        count = fill(&mut pieces[..7], head, ':', Base::Group).ok_or(Reason::TooManyGroups)??;
    }
    if !open && !tail.is_empty() {
        let room = tail.split(':').count();
        if room > 7 - count {
            return Err(Reason::TooManyGroups);
        }
        fill(&mut pieces[8 - room..], tail, ':', Base::Group).ok_or(Reason::TooManyGroups)??;
    }
    Ok(pieces)
}

/// Reads the parts of `text` into `pieces` and counts them; `None` when there are too many.
fn fill(pieces: &mut [Piece], text: &str, between: char, base: Base) -> Option<Result<usize, Reason>> {
    let mut count = 0;
    for part in text.split(between) {
        let place = pieces.get_mut(count)?;
        match Piece::parse(part.as_bytes(), base) {
            Ok(piece) => *place = piece,
            Err(reason) => return Some(Err(reason)),
        }
        count += 1;
    }
    Some(Ok(count))
}

/// Numbers first and nothing but `*` after them: the numbers (the rest zero) and how many they are.
fn prefix_of<const N: usize>(pieces: &[Piece; N]) -> Option<([u16; N], usize)> {
    let mut numbers = [0; N];
    let mut fixed = 0;
    for piece in pieces {
        match piece {
            Piece::Is(number) => {
                // A number after a `*` would leave a hole.
                *numbers.get_mut(fixed)? = *number;
                fixed += 1;
            }
            Piece::Any => break,
            Piece::Like(_) => return None,
        }
    }
    pieces[fixed..].iter().all(|piece| *piece == Piece::Any).then_some((numbers, fixed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn refusals() {
        use Reason::*;
        let long = "1".repeat(101);
        for (text, reason) in [
            ("", Empty),
            ("   ", Empty),
            (long.as_str(), TooLong),
            ("mail.example.org", Character('m')),
            ("localhost", Character('l')),
            ("1.2.3.ä", Character('ä')),
            ("192.168.0.1 25", Character(' ')),
            ("[::1]", Character('[')),
            ("192", TooFewOctets),
            ("?", TooFewOctets),
            ("192.168", TooFewOctets),
            ("10.*.1", TooFewOctets),
            ("1.2.3.4.5", TooManyOctets),
            ("1.2.3.4.*", TooManyOctets),
            ("1..2.3", EmptyPart),
            ("1.2.3.", EmptyPart),
            (".1.2.3", EmptyPart),
            ("192.168.0.256", OctetTooBig),
            ("192.168.0.01", LeadingZero),
            ("192.168.0.3??", NothingMatches),
            ("a.b.c.d", Character('a')),
            ("192.168.0.0/", PrefixLength(32)),
            ("192.168.0.0/33", PrefixLength(32)),
            ("192.168.0.0/+8", PrefixLength(32)),
            ("192.168.0.0/-1", PrefixLength(32)),
            ("192.168.0.0/255.255.0.0", PrefixLength(32)),
            ("192.168.0.0/16/8", PrefixLength(32)),
            ("fe80::/129", PrefixLength(128)),
            ("192.168/16", NetworkAddress),
            ("/16", NetworkAddress),
            ("192.168.*/16", WildcardInNetwork),
            ("fe80::1%eth0", Zone),
            ("fe80::1%1/64", Zone),
            ("1:2:3", TooFewGroups),
            ("1:2:*:4", TooFewGroups),
            ("1:2:3:4:5:6:7:8:9", TooManyGroups),
            ("1:2:3:4:5:6:7:8:*", TooManyGroups),
            ("1:2:3:4::5:6:7:8", TooManyGroups),
            ("1:2:3:4:5:6:7:8::*", TooManyGroups),
            ("1::2::3", TwoGaps),
            ("::*::", TwoGaps),
            (":::", EmptyPart),
            (":1", EmptyPart),
            ("fe80:", EmptyPart),
            ("1::2:", EmptyPart),
            ("fe80::12345", GroupTooLong),
            ("2001:db8::0?", NothingMatches),
            ("1:2.*", Character('.')),
            ("::ffff:10.0.0.1/8", MappedPrefix),
            ("::ffff:c0a8:?", MappedWildcard),
        ] {
            let error = text.parse::<Pattern>().unwrap_err();
            assert_eq!(error.reason, reason, "{text:?}");
        }
    }

    #[test]
    fn the_message_names_text_mistake_and_remedy() {
        let message = "192.168.0.256".parse::<Pattern>().unwrap_err().to_string();
        assert!(message.starts_with(
            "\"192.168.0.256\" is not an IP address or pattern: a number is greater than 255. Allowed are"
        ));
        let long = "x".repeat(5000).parse::<Pattern>().unwrap_err().to_string();
        assert!(long.len() < 600, "{long}");
        assert!(!"1\r\n2".parse::<Pattern>().unwrap_err().to_string().contains('\n'));
    }

    #[test]
    fn many_spellings_of_one_prefix() {
        for (written, shown) in [
            ("*", "*"),
            ("**", "*"),
            ("  192.168.0.1\t", "192.168.0.1"),
            ("192.168.0.1/16", "192.168.0.0/16"),
            ("192.168.*", "192.168.0.0/16"),
            ("192.168.*.*", "192.168.0.0/16"),
            ("192.*", "192.0.0.0/8"),
            ("192.168.0.*", "192.168.0.0/24"),
            ("*.*", "0.0.0.0/0"),
            ("*.*.*.*", "0.0.0.0/0"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("::*", "::/0"),
            ("*:*", "::/0"),
            ("*:*:*:*:*:*:*:*", "::/0"),
            ("::/0", "::/0"),
            ("::", "::"),
            ("FE80:*", "fe80::/16"),
            ("fe80::*", "fe80::/16"),
            ("2001:0db8:*", "2001:db8::/32"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("2001:db8::1:*", "2001:db8::1:0/112"),
            ("1:2:3:4:5:6:7:*", "1:2:3:4:5:6:7:0/112"),
            ("1:2:3:4:5:6:7::*", "1:2:3:4:5:6:7:0/112"),
            ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::FFFF:10.*", "10.0.0.0/8"),
            ("::ffff:10.0.0.?", "10.0.0.?"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:*:*", "0.0.0.0/0"),
            ("::ffff:a00:*", "10.0.0.0/16"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("10.0.?.1", "10.0.?.1"),
            ("10.**1.?.*", "10.*1.?.*"),
            ("10.*.0.1", "10.*.0.1"),
            ("FE8?:*", "fe8?:*:*:*:*:*:*:*"),
            ("2001:db8::1?", "2001:db8:0:0:0:0:0:1?"),
        ] {
            let parsed = pattern(written);
            assert_eq!(parsed.to_string(), shown, "{written}");
            assert_eq!(pattern(shown), parsed, "{written}");
        }
    }

    #[test]
    fn matching() {
        for (text, yes, no) in [
            ("*", vec!["1.2.3.4", "::1", "::ffff:1.2.3.4"], vec![]),
            ("192.168.0.1", vec!["192.168.0.1", "::ffff:192.168.0.1"], vec!["192.168.0.2", "::c0a8:1"]),
            (
                "192.168.0.1/16",
                vec!["192.168.0.0", "192.168.255.255"],
                vec!["192.169.0.0", "192.167.255.255"],
            ),
            ("10.0.0.1/31", vec!["10.0.0.0", "10.0.0.1"], vec!["10.0.0.2"]),
            ("192.*", vec!["192.0.0.0", "192.255.255.255"], vec!["193.0.0.0", "c000::"]),
            ("*.*", vec!["0.0.0.0", "::ffff:9.9.9.9"], vec!["::", "::1"]),
            ("::*", vec!["::", "::1", "ffff::1"], vec!["1.2.3.4", "::ffff:1.2.3.4"]),
            ("::/0", vec!["::1"], vec!["::ffff:1.2.3.4"]),
            ("fe80:*", vec!["fe80::1", "fe80:1::"], vec!["fe81::", "fe8::"]),
            ("fe80::/10", vec!["fe80::1", "febf::1"], vec!["fec0::"]),
            (
                "192.168.0.?",
                vec!["192.168.0.0", "192.168.0.9", "::ffff:192.168.0.5"],
                vec!["192.168.0.10", "192.168.1.1"],
            ),
            ("10.0.?.1", vec!["10.0.0.1", "10.0.9.1"], vec!["10.0.10.1", "10.0.1.2"]),
            ("10.*.0.1", vec!["10.0.0.1", "10.255.0.1"], vec!["10.1.1.1"]),
            ("fe8?:*", vec!["fe80::", "fe8f:1::9"], vec!["fe90::", "fe8::"]),
            (
                "2001:db8::1?",
                vec!["2001:db8::10", "2001:db8::1f"],
                vec!["2001:db8::1", "2001:db8:0:0:0:0:1:10"],
            ),
            ("2001:db8:?:*", vec!["2001:db8::1", "2001:db8:f::"], vec!["2001:db8:10::"]),
        ] {
            let pattern = pattern(text);
            for address in yes {
                assert!(pattern.matches(ip(address)), "{text} should match {address}");
            }
            for address in no {
                assert!(!pattern.matches(ip(address)), "{text} should not match {address}");
            }
        }
    }

    #[test]
    fn specificity_grows_with_what_is_fixed() {
        let rising = [
            "*",
            "10.0.0.0/8",
            "10.*.?.*",
            "10.*.1?.*",
            "10.0.0.0/9",
            "10.0.0.0/24",
            "10.0.0.?",
            "10.0.0.1?",
            "10.0.0.1",
        ];
        for pair in rising.windows(2) {
            assert!(pattern(pair[0]).specificity() < pattern(pair[1]).specificity(), "{pair:?}");
        }
    }

    #[test]
    fn json_is_the_text() {
        let parsed: Pattern = serde_json::from_str("\"192.168.0.1/16\"").unwrap();
        assert_eq!(parsed, pattern("192.168.*"));
        assert_eq!(serde_json::to_string(&parsed).unwrap(), "\"192.168.0.0/16\"");
        let refusal = serde_json::from_str::<Pattern>("\"nonsense\"").unwrap_err().to_string();
        assert!(refusal.contains("'n' can't stand there"), "{refusal}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_comes_back(text in "[0-9a-f.:*?/% x]{0,40}") {
            if let Ok(parsed) = text.parse::<Pattern>() {
                proptest::prop_assert_eq!(&parsed.to_string().parse::<Pattern>().unwrap(), &parsed);
            }
        }

        #[test]
        fn an_address_is_its_own_pattern(v4 in proptest::prelude::any::<u32>(), v6 in proptest::prelude::any::<u128>()) {
            for address in [IpAddr::from(std::net::Ipv4Addr::from(v4)), IpAddr::from(std::net::Ipv6Addr::from(v6))] {
                let parsed = pattern(&address.to_string());
                proptest::prop_assert!(parsed.matches(address));
                proptest::prop_assert_eq!(parsed, Pattern::from(address));
            }
        }
    }
}
