//! One part of a pattern: an octet of an IPv4 address or a group of an IPv6 address.
//!
//! A part is compared as a number where it is a number, and as text only where it holds a wildcard. The text of an
//! octet is decimal, of a group lower-case hexadecimal, both without leading zeros.

use std::fmt;

use super::pattern::Reason;

/// How the parts of an address family are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// IPv4: decimal, 0 to 255.
    Octet,
    /// IPv6: hexadecimal, 0 to ffff.
    Group,
}

impl Base {
    fn radix(self) -> u16 {
        match self {
            Base::Octet => 10,
            Base::Group => 16,
        }
    }

    /// The most digits that a value takes.
    fn digits(self) -> usize {
        match self {
            Base::Octet => 3,
            Base::Group => 4,
        }
    }

    fn is_digit(self, byte: u8) -> bool {
        match self {
            Base::Octet => byte.is_ascii_digit(),
            Base::Group => byte.is_ascii_hexdigit(),
        }
    }
}

/// What one octet or group must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Piece {
    /// Exactly this number.
    Is(u16),
    /// `*`: whatever it is.
    Any,
    /// A text with `?` or `*` among digits.
    Like(Glob),
}

impl Piece {
    /// Reads one part, as it stands between two dots or colons.
    pub(super) fn parse(text: &[u8], base: Base) -> Result<Piece, Reason> {
        if text.is_empty() {
            return Err(Reason::EmptyPart);
        }
        if let Some(&bad) = text.iter().find(|&&b| !base.is_digit(b) && b != b'?' && b != b'*') {
            return Err(Reason::Character(char::from(bad)));
        }
        if text.iter().all(|&b| b == b'*') {
            return Ok(Piece::Any);
        }
        if text.iter().any(|&b| b == b'?' || b == b'*') {
            return Glob::parse(text, base).map(Piece::Like);
        }
        number(text, base).map(Piece::Is)
    }

    /// Whether an octet or group of this value fits.
    pub(super) fn matches(&self, value: u16, base: Base) -> bool {
        match self {
            Piece::Is(wanted) => *wanted == value,
            Piece::Any => true,
            Piece::Like(glob) => glob.matches(Digits::of(value, base).text()),
        }
    }

    /// Writes the part as [`Piece::parse`] reads it.
    pub(super) fn write(&self, base: Base, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, base) {
            (Piece::Is(value), Base::Octet) => write!(f, "{value}"),
            (Piece::Is(value), Base::Group) => write!(f, "{value:x}"),
            (Piece::Any, _) => f.write_str("*"),
            (Piece::Like(glob), _) => glob.tokens().iter().try_for_each(|&b| write!(f, "{}", char::from(b))),
        }
    }
}

fn number(text: &[u8], base: Base) -> Result<u16, Reason> {
    // 010 is ten to some readers and eight to others; RFC 6943 §3.1.1 tells what came of that.
    if base == Base::Octet && text.len() > 1 && text.first() == Some(&b'0') {
        return Err(Reason::LeadingZero);
    }
    let too_big = match base {
        Base::Octet => Reason::OctetTooBig,
        Base::Group => Reason::GroupTooLong,
    };
    if text.len() > base.digits() {
        return Err(too_big);
    }
    // At most four digits of either base: no overflow.
    let value = text.iter().fold(0u32, |sum, &b| {
        sum * u32::from(base.radix()) + char::from(b).to_digit(u32::from(base.radix())).unwrap_or(0)
    });
    match (base, u16::try_from(value)) {
        (Base::Octet, Ok(value)) if value > 255 => Err(too_big),
        (_, Ok(value)) => Ok(value),
        (_, Err(_)) => Err(too_big),
    }
}

/// The digits of one value, on the stack.
struct Digits {
    bytes: [u8; 5],
    start: usize,
}

impl Digits {
    fn of(value: u16, base: Base) -> Digits {
        let mut digits = Digits { bytes: [b'0'; 5], start: 5 };
        let mut rest = value;
        loop {
            let digit = (rest % base.radix()) as u8;
            digits.start -= 1;
            digits.bytes[digits.start] = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            rest /= base.radix();
            if rest == 0 {
                return digits;
            }
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Room for four digits with a star before, between and after them.
const ROOM: usize = 9;

/// Digits, `?` for exactly one of them, `*` for any number of them, none included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Glob {
    tokens: [u8; ROOM],
    len: u8,
}

impl Glob {
    fn parse(text: &[u8], base: Base) -> Result<Glob, Reason> {
        let mut glob = Glob { tokens: [0; ROOM], len: 0 };
        let mut digits = 0;
        for &byte in text {
            if byte == b'*' && glob.tokens().last() == Some(&b'*') {
                continue; // two stars say no more than one
            }
            if byte != b'*' {
                digits += 1;
            }
            if digits > base.digits() {
                return Err(Reason::NothingMatches);
            }
            // At most `digits` tokens with a star around each: that is what ROOM holds.
            glob.tokens[usize::from(glob.len)] = byte.to_ascii_lowercase();
            glob.len += 1;
        }
        if glob.can_match(digits, base) { Ok(glob) } else { Err(Reason::NothingMatches) }
    }

    fn tokens(&self) -> &[u8] {
        &self.tokens[..usize::from(self.len)]
    }

    /// How many digits are written out.
    pub(super) fn literals(&self) -> u8 {
        self.tokens().iter().filter(|b| b.is_ascii_hexdigit()).count() as u8
    }

    /// Whether any value fits: a rule that can never apply is a mistake better told than kept.
    fn can_match(&self, digits: usize, base: Base) -> bool {
        if base == Base::Octet {
            return (0..=255).any(|value| self.matches(Digits::of(value, base).text()));
        }
        // Every hexadecimal text of up to four digits is a group, unless it has a leading zero. 65,536 tries for each
        // rule would be slow, so: which patterns force a leading zero?
        match self.tokens() {
            [b'0', ..] => digits == 1,
            [b'*', b'0', ..] => digits == 1 || digits < base.digits(),
            _ => true,
        }
    }

    fn matches(&self, text: &[u8]) -> bool {
        let glob = self.tokens();
        let (mut g, mut t) = (0, 0);
        // Where to go on when the last star has to take one digit more: (after the star, digit it took up to).
        let mut retry = None;
        while t < text.len() {
            match glob.get(g) {
                Some(b'*') => {
                    g += 1;
                    retry = Some((g, t));
                }
                Some(&token) if token == b'?' || token == text[t] => {
                    g += 1;
                    t += 1;
                }
                _ => {
                    let Some((after, taken)) = retry else { return false };
                    retry = Some((after, taken + 1));
                    (g, t) = (after, taken + 1);
                }
            }
        }
        glob[g..].iter().all(|&token| token == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, base: Base) -> Vec<u16> {
        let piece = Piece::parse(text.as_bytes(), base).unwrap();
        let max = if base == Base::Octet { 255 } else { u16::MAX };
        (0..=max).filter(|&v| piece.matches(v, base)).collect()
    }

    #[test]
    fn refuses_what_is_no_part() {
        for (text, base, reason) in [
            ("", Base::Octet, Reason::EmptyPart),
            ("a", Base::Octet, Reason::Character('a')),
            ("-1", Base::Octet, Reason::Character('-')),
            ("g", Base::Group, Reason::Character('g')),
            ("01", Base::Octet, Reason::LeadingZero),
            ("00", Base::Octet, Reason::LeadingZero),
            ("256", Base::Octet, Reason::OctetTooBig),
            ("1000", Base::Octet, Reason::OctetTooBig),
            ("99999999999999999999", Base::Octet, Reason::OctetTooBig),
            ("00000", Base::Group, Reason::GroupTooLong),
            ("????", Base::Octet, Reason::NothingMatches),
            ("9??", Base::Octet, Reason::NothingMatches),
            ("0?", Base::Octet, Reason::NothingMatches),
            ("26?", Base::Octet, Reason::NothingMatches),
            ("?????", Base::Group, Reason::NothingMatches),
            ("0?", Base::Group, Reason::NothingMatches),
            ("0*1", Base::Group, Reason::NothingMatches),
            ("*0000", Base::Group, Reason::NothingMatches),
        ] {
            assert_eq!(Piece::parse(text.as_bytes(), base), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn octets_by_digit() {
        assert_eq!(values("7", Base::Octet), [7]);
        assert_eq!(values("?", Base::Octet), (0..=9).collect::<Vec<_>>());
        assert_eq!(values("1?", Base::Octet), (10..=19).collect::<Vec<_>>());
        assert_eq!(values("25?", Base::Octet), (250..=255).collect::<Vec<_>>());
        assert_eq!(values("???", Base::Octet), (100..=255).collect::<Vec<_>>());
        assert_eq!(values("19*", Base::Octet), [vec![19], (190..=199).collect()].concat());
        assert_eq!(values("*55", Base::Octet), [55, 155, 255]);
        assert_eq!(values("0*", Base::Octet), [0]);
        assert_eq!(values("1*1", Base::Octet), [11, 101, 111, 121, 131, 141, 151, 161, 171, 181, 191]);
        assert_eq!(values("**", Base::Octet).len(), 256);
    }

    #[test]
    fn groups_by_digit() {
        assert_eq!(values("0db8", Base::Group), [0xdb8]);
        assert_eq!(values("FE8?", Base::Group), (0xfe80..=0xfe8f).collect::<Vec<_>>());
        assert_eq!(values("?", Base::Group), (0..=15).collect::<Vec<_>>());
        assert_eq!(values("??", Base::Group), (0x10..=0xff).collect::<Vec<_>>());
        assert_eq!(values("*000", Base::Group), (1..=15).map(|v| v << 12).collect::<Vec<_>>());
        assert_eq!(values("*0", Base::Group).len(), 4096);
    }

    /// The closed form of `can_match` against all values, over all short patterns of telling digits.
    #[test]
    fn a_group_pattern_is_accepted_exactly_if_some_value_fits() {
        let alphabet = *b"01?*";
        for len in 1..=5u32 {
            for n in 0..4usize.pow(len) {
                let text: Vec<u8> = (0..len).map(|i| alphabet[n / 4usize.pow(i) % 4]).collect();
                let wild = text.iter().any(|b| b"?*".contains(b)) && !text.iter().all(|&b| b == b'*');
                if !wild || text.windows(2).any(|w| w == b"**") {
                    continue;
                }
                let mut raw = Glob { tokens: [0; ROOM], len: len as u8 };
                raw.tokens[..len as usize].copy_from_slice(&text);
                let fits = (0..=u16::MAX).any(|v| raw.matches(Digits::of(v, Base::Group).text()));
                let accepted = Piece::parse(&text, Base::Group).is_ok();
                assert_eq!(accepted, fits, "{}", String::from_utf8_lossy(&text));
            }
        }
    }
}
