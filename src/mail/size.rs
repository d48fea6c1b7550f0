//! Sizes as people write them: `500M`, `2G`, `10k`, plain bytes. A unit is 1024 of the one below it.

use std::str::FromStr;

const UNITS: [char; 4] = ['k', 'M', 'G', 'T'];

/// A limit in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// As the level above says: the domain, or the server.
    Inherited,
    /// So many bytes; 0 is no limit.
    Bytes(i64),
}

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no size: write bytes or a number with a unit, as in 10k, 500M or 2G; 0 is no limit, \"default\" takes the limit of the level above"
)]
pub struct NoSize(String);

impl Limit {
    /// The bytes, if it says any.
    pub fn bytes(self) -> Option<i64> {
        match self {
            Limit::Inherited => None,
            Limit::Bytes(bytes) => Some(bytes),
        }
    }
}

impl FromStr for Limit {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Self, NoSize> {
        if text.eq_ignore_ascii_case("default") {
            return Ok(Limit::Inherited);
        }
        bytes(text).map(Limit::Bytes).ok_or_else(|| NoSize(text.to_owned()))
    }
}

fn bytes(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        one => 1 + UNITS.iter().position(|u| u.to_ascii_lowercase().to_string() == one)?,
    };
    let scale = 1i64 << (10 * power);
    let Some((whole, fraction)) = number.split_once('.') else {
        return number.parse::<i64>().ok()?.checked_mul(scale);
    };
    if power == 0 || fraction.is_empty() || fraction.len() > 6 || fraction.contains('.') {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(scale)?;
    // At most 999999 · 2^40: far below the end of i64.
    let part = fraction.parse::<i64>().ok()? * scale / 10i64.pow(fraction.len() as u32);
    whole.checked_add(part)
}

/// Bytes for people: `1.5 GB`.
pub fn show(bytes: i64) -> String {
    let mut unit = None;
    let mut value = bytes as f64;
    for name in UNITS {
        // 1023.95 would be shown as 1024.0.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = Some(name);
    }
    match unit {
        None => format!("{bytes} B"),
        Some(unit) => format!("{value:.1} {unit}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refusals() {
        for text in [
            "",
            "k",
            "-1",
            "1.5",
            "1..5M",
            "1.M",
            "5X",
            "5 M x",
            "99999999999999999999",
            "9999999T",
            ".5G",
            "M5",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("0", 0),
            ("1024", 1024),
            ("10k", 10 << 10),
            ("10K", 10 << 10),
            ("500M", 500 << 20),
            ("500MB", 500 << 20),
            ("500 MiB", 500 << 20),
            ("2G", 2 << 30),
            ("1.5G", 3 << 29),
            ("3t", 3 << 40),
            ("12b", 12),
        ] {
            assert_eq!(text.parse(), Ok(Limit::Bytes(expected)), "{text}");
        }
        assert_eq!("default".parse(), Ok(Limit::Inherited));
    }

    #[test]
    fn shown() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 kB"),
            (1 << 20, "1.0 MB"),
            ((1 << 20) - 1, "1.0 MB"),
            (3 << 29, "1.5 GB"),
        ] {
            assert_eq!(show(bytes), expected);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9.]{0,20} ?[a-zA-Z]{0,3}", bytes: i64) {
            let _ = text.parse::<Limit>();
            show(bytes);
        }
    }
}
