//! Dates as mail writes them: IMAP's date-time and date (RFC 9051 §9), and the Date field (RFC 5322 §3.3 and §4.3).
//!
//! A [`DateTime`] keeps the zone that was written beside the instant: INTERNALDATE is given back as it came, and SEARCH
//! compares days "disregarding time and timezone" (RFC 9051 §6.4.4). IMAP's forms are read strictly, the Date field as
//! leniently as can be done without guessing: a client shows what it finds there anyway.

use jiff::{
    Timestamp,
    civil::{Date, DateTime as Civil, Time},
    tz::Offset,
};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// An hour and minute of zone beyond this is no zone: what `+hhmm` can say within a day.
const MAX_OFFSET: i16 = 23 * 60 + 59;

/// A Date field is looked at this far.
const MAX_FIELD: usize = 1000;

/// An instant, and the zone it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    at: Timestamp,
    offset_minutes: i16,
}

impl DateTime {
    /// An instant and its zone in minutes east of UTC. A zone that can't be written, a day or more, becomes UTC.
    pub fn new(at: Timestamp, offset_minutes: i16) -> DateTime {
        let possible = (-MAX_OFFSET..=MAX_OFFSET).contains(&offset_minutes);
        DateTime { at, offset_minutes: if possible { offset_minutes } else { 0 } }
    }

    /// The instant.
    pub fn at(self) -> Timestamp {
        self.at
    }

    /// The zone that was written, in minutes east of UTC: -1439 to 1439.
    pub fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }

    /// The day in the zone that was written.
    pub fn date(self) -> Date {
        self.civil().date()
    }

    /// Reads IMAP's `date-time`, `"17-Jul-1996 02:44:25 -0700"`, with or without its quotes; a day of one digit may
    /// have a space before it.
    pub fn parse_imap(text: &[u8]) -> Option<DateTime> {
        let text = unquoted(text)?;
        let text = text.strip_prefix(b" ").unwrap_or(text);
        let mut parts = text.split(|&b| b == b' ');
        let (date, time, zone) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || time.len() != 8 || time[2] != b':' || time[5] != b':' {
            return None;
        }
        let time = time_of(number(&time[..2])?, number(&time[3..5])?, number(&time[6..])?)?;
        let (sign, hhmm) = zone.split_first()?;
        let offset = if hhmm.len() == 4 { offset_of(*sign, number(hhmm)?)? } else { return None };
        local(day_month_year(date)?, time, offset)
    }

    /// Writes IMAP's `date-time`, in its quotes, the day padded with a space.
    pub fn to_imap(self) -> String {
        let civil = self.civil();
        let (date, time) = (civil.date(), civil.time());
        let month = name(&MONTHS, date.month() - 1);
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let zone = self.zone();
        format!("\"{:2}-{month}-{:04} {hour:02}:{minute:02}:{second:02} {zone}\"", date.day(), date.year())
    }

    /// Reads the value of a Date field.
    ///
    /// Besides RFC 5322 with its obsolete forms (comments, zone names, years of two digits) accepted are: no seconds,
    /// no time, no zone (UTC), a wrong day of the week, hyphens in the date, a zone with a colon, and the order of C's
    /// `asctime`.
    pub fn parse_rfc5322(field: &[u8]) -> Option<DateTime> {
        let field = field.get(..MAX_FIELD).unwrap_or(field);
        Reader { rest: field }.field()
    }

    /// Writes the value of a Date field: `Wed, 17 Jul 1996 02:44:25 -0700`.
    pub fn to_rfc5322(self) -> String {
        let civil = self.civil();
        let (date, time) = (civil.date(), civil.time());
        let weekday = name(&DAYS, date.weekday().to_monday_zero_offset());
        let month = name(&MONTHS, date.month() - 1);
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let zone = self.zone();
        format!(
            "{weekday}, {} {month} {:04} {hour:02}:{minute:02}:{second:02} {zone}",
            date.day(),
            date.year()
        )
    }

    fn civil(self) -> Civil {
        offset(self.offset_minutes).to_datetime(self.at)
    }

    fn zone(self) -> String {
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let minutes = self.offset_minutes.unsigned_abs();
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }
}

/// Reads IMAP's `date`, `1-Feb-1994`, with or without quotes.
pub fn parse_imap_date(text: &[u8]) -> Option<Date> {
    day_month_year(unquoted(text)?)
}

/// The text between quotes if it has any; `None` for a single one.
fn unquoted(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'"', inner @ .., b'"'] => Some(inner),
        [b'"', ..] | [.., b'"'] => None,
        bare => Some(bare),
    }
}

fn day_month_year(text: &[u8]) -> Option<Date> {
    let mut parts = text.split(|&b| b == b'-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || day.len() > 2 || month.len() != 3 || year.len() != 4 {
        return None;
    }
    date_of(number(day)?, month_of(month)?, number(year)?)
}

/// Digits and nothing else, at most nine.
fn number(text: &[u8]) -> Option<u32> {
    let digits = (1..=9).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |sum, &b| sum * 10 + u32::from(b - b'0')))
}

fn month_of(word: &[u8]) -> Option<u32> {
    let at = MONTHS.iter().position(|month| starts_with(word, month))?;
    u32::try_from(at + 1).ok()
}

fn starts_with(word: &[u8], name: &str) -> bool {
    word.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
}

fn name(names: &[&'static str], at: i8) -> &'static str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
}

fn date_of(day: u32, month: u32, year: u32) -> Option<Date> {
    Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
}

fn time_of(hour: u32, minute: u32, second: u32) -> Option<Time> {
    // A leap second (60) has no place in the count of seconds; it becomes the one before.
    let second = if second == 60 { 59 } else { second };
    Time::new(hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?, 0).ok()
}

/// A zone from its sign and `hhmm`, in minutes.
fn offset_of(sign: u8, hhmm: u32) -> Option<i16> {
    let (hours, minutes) = (hhmm / 100, hhmm % 100);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let minutes = i16::try_from(hours * 60 + minutes).ok()?;
    match sign {
        b'+' => Some(minutes),
        b'-' => Some(-minutes),
        _ => None,
    }
}

fn offset(minutes: i16) -> Offset {
    // Always within a day, which jiff allows.
    Offset::from_seconds(i32::from(minutes) * 60).unwrap_or(Offset::UTC)
}

fn local(date: Date, time: Time, offset_minutes: i16) -> Option<DateTime> {
    let at = offset(offset_minutes).to_timestamp(Civil::from_parts(date, time)).ok()?;
    Some(DateTime::new(at, offset_minutes))
}

/// Takes a Date field apart, from the left.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn field(&mut self) -> Option<DateTime> {
        let mut word = self.word();
        if DAYS.iter().any(|day| starts_with(word, day)) {
            self.skip_over(b",.");
            word = self.word();
        }
        if !word.is_empty() {
            return self.asctime(word);
        }
        let day = number(self.digits())?;
        self.skip_over(b"-.");
        let month = month_of(self.word())?;
        self.skip_over(b"-.,");
        let year = self.year()?;
        self.skip_over(b",");
        let time = self.time()?;
        let zone = self.zone();
        local(date_of(day, month, year)?, time, zone)
    }

    /// `Jul 17 02:44:25 [PDT] 1996`, the month being read.
    fn asctime(&mut self, month: &[u8]) -> Option<DateTime> {
        let month = month_of(month)?;
        let day = number(self.digits())?;
        self.skip_over(b",");
        let time = self.time()?;
        let zone = self.zone();
        local(date_of(day, month, self.year()?)?, time, zone)
    }

    /// RFC 5322 §4.3: two digits are 2000 to 2049 and 1950 to 1999, three are years since 1900.
    fn year(&mut self) -> Option<u32> {
        let digits = self.digits();
        let year = number(digits)?;
        match (digits.len(), year) {
            (1, _) => None,
            (2, 0..50) => Some(2000 + year),
            (2 | 3, _) => Some(1900 + year),
            _ => Some(year),
        }
    }

    /// Midnight when there is none.
    fn time(&mut self) -> Option<Time> {
        let hour = self.digits();
        if hour.is_empty() {
            return Some(Time::midnight());
        }
        if !self.take(b':') {
            return None;
        }
        let minute = self.digits();
        let second = if self.take(b':') { number(self.digits())? } else { 0 };
        if self.take(b'.') {
            self.digits(); // a fraction of a second
        }
        time_of(number(hour)?, number(minute)?, second)
    }

    /// What can't be understood counts as UTC, as RFC 5322 §4.3 wants it for unknown names.
    fn zone(&mut self) -> i16 {
        let word = self.word();
        let hours: i16 = match word.to_ascii_uppercase().as_slice() {
            b"EDT" => -4,
            b"EST" | b"CDT" => -5,
            b"CST" | b"MDT" => -6,
            b"MST" | b"PDT" => -7,
            b"PST" => -8,
            // "GMT+0200" means +0200. The letters of the military zones were defined the wrong way round once, and
            // count as unknown.
            _ => return self.numeric_zone().unwrap_or(0),
        };
        hours * 60
    }

    fn numeric_zone(&mut self) -> Option<i16> {
        let sign = *self.skip_space().first().filter(|b| matches!(b, b'+' | b'-'))?;
        self.rest = &self.rest[1..];
        let hhmm = self.digits();
        if hhmm.len() == 2 && self.take(b':') {
            let minutes = self.digits();
            return offset_of(sign, number(hhmm)? * 100 + number(minutes).filter(|m| *m < 60)?);
        }
        if hhmm.len() == 4 { offset_of(sign, number(hhmm)?) } else { None }
    }

    /// The letters that come next; none if something else does.
    fn word(&mut self) -> &'a [u8] {
        self.run(u8::is_ascii_alphabetic)
    }

    fn digits(&mut self) -> &'a [u8] {
        self.run(u8::is_ascii_digit)
    }

    fn run(&mut self, wanted: fn(&u8) -> bool) -> &'a [u8] {
        let text = self.skip_space();
        let end = text.iter().position(|b| !wanted(b)).unwrap_or(text.len());
        let (run, rest) = text.split_at(end);
        self.rest = rest;
        run
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.skip_space().strip_prefix(&[byte]) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_over(&mut self, any_of: &[u8]) {
        while let Some((byte, rest)) = self.skip_space().split_first()
            && any_of.contains(byte)
        {
            self.rest = rest;
        }
    }

    /// Passes over white space and comments, nested and with quoted pairs; a comment that doesn't end takes all.
    fn skip_space(&mut self) -> &'a [u8] {
        let mut depth = 0u32;
        while let Some((byte, rest)) = self.rest.split_first() {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => {
                    self.rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => break,
            }
            self.rest = rest;
        }
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(date: Option<DateTime>) -> Option<String> {
        date.map(|date| format!("{} {}", date.at(), date.offset_minutes()))
    }

    #[test]
    fn imap_refusals() {
        for text in [
            "",
            "\"",
            "\"\"",
            "17-Jul-1996",
            "17-Jul-1996 02:44:25",
            "17-Jul-1996 02:44 -0700",
            "17-Jul-1996 02:44:25 0700",
            "17-Jul-1996 02:44:25 -700",
            "17-Jul-1996 02:44:25 -07:00",
            "17-Jul-1996 02:44:25 PDT",
            "17-Jul-1996 02:44:25 +2400",
            "17-Jul-1996 02:44:25 +0060",
            "17-Jul-1996 02:44:25 -0700 ",
            "17-Jul-1996  02:44:25 -0700",
            "  7-Jul-1996 02:44:25 -0700",
            "31-Jun-1996 02:44:25 -0700",
            "29-Feb-1997 02:44:25 -0700",
            "00-Jul-1996 02:44:25 -0700",
            "17-Foo-1996 02:44:25 -0700",
            "17-July-1996 02:44:25 -0700",
            "17-Jul-96 02:44:25 -0700",
            "17-Jul-1996 24:00:00 -0700",
            "17-Jul-1996 02:60:00 -0700",
            "17-Jul-1996 02:44:61 -0700",
            "17-Jul-1996 +2:44:25 -0700",
            "\"17-Jul-1996 02:44:25 -0700",
            "17-Jul-1996 02:44:25 -0700\"",
            "31-Dec-9999 23:59:59 -2359",
        ] {
            assert_eq!(DateTime::parse_imap(text.as_bytes()), None, "{text}");
        }
        for text in [
            "",
            "1",
            "1-Feb",
            "1-Feb-94",
            "001-Feb-1994",
            "1-2-1994",
            "1-Feb-1994-",
            "\"1-Feb-1994",
            "30-Feb-1994",
        ] {
            assert_eq!(parse_imap_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn imap_forms() {
        for (text, at, written) in [
            ("\"17-Jul-1996 02:44:25 -0700\"", "1996-07-17T09:44:25Z -420", "\"17-Jul-1996 02:44:25 -0700\""),
            ("\" 1-jan-2000 00:00:00 +0530\"", "1999-12-31T18:30:00Z 330", "\" 1-Jan-2000 00:00:00 +0530\""),
            ("1-Jan-2000 00:00:00 -0000", "2000-01-01T00:00:00Z 0", "\" 1-Jan-2000 00:00:00 +0000\""),
            ("01-Jan-2000 00:00:60 +0000", "2000-01-01T00:00:59Z 0", "\" 1-Jan-2000 00:00:59 +0000\""),
            ("29-Feb-2024 12:00:00 +2359", "2024-02-28T12:01:00Z 1439", "\"29-Feb-2024 12:00:00 +2359\""),
        ] {
            let date = DateTime::parse_imap(text.as_bytes());
            assert_eq!(shown(date).as_deref(), Some(at), "{text}");
            assert_eq!(date.unwrap().to_imap(), written);
        }
        for text in ["1-Feb-1994", "01-FEB-1994", "\"1-Feb-1994\""] {
            assert_eq!(parse_imap_date(text.as_bytes()), Date::new(1994, 2, 1).ok(), "{text}");
        }
    }

    #[test]
    fn field_refusals() {
        for text in [
            "",
            "   ",
            "()",
            "(",
            "Mon",
            "Mon,",
            "17",
            "17 Jul",
            "17 Foo 1996",
            "Jul",
            "17 Jul 1",
            "32 Jul 1996",
            "17 Jul 99999",
            "17 Jul 1996 25:00",
            "17 Jul 1996 12",
            "17 Jul 1996 12:",
            "1996-07-17T02:44:25Z",
            "yesterday",
            "\u{e9}",
            "99999999999999999999 Jul 1996",
        ] {
            assert_eq!(DateTime::parse_rfc5322(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn field_forms() {
        let at = "1996-07-17T09:44:25Z";
        for (text, expected) in [
            ("Wed, 17 Jul 1996 02:44:25 -0700", format!("{at} -420")),
            ("  wed,17 jul 1996\r\n 02:44:25\t-0700 (PDT (so \\) called))", format!("{at} -420")),
            (
                "(a) Wed (b) , (c) 17 (d) Jul (e) 1996 (f) 02 (g) : (h) 44 : 25 (i) -0700",
                format!("{at} -420"),
            ),
            ("Fri, 17 Jul 96 02:44:25 PDT", format!("{at} -420")),
            ("17 July 096 09:44:25 GMT", format!("{at} 0")),
            ("17-Jul-1996 09:44:25", format!("{at} 0")),
            ("Wednesday, 17 Jul 1996 09:44:25.123 UT", format!("{at} 0")),
            ("17 Jul 1996 11:44:25 GMT+0200", format!("{at} 120")),
            ("17 Jul 1996 11:44:25 +02:00", format!("{at} 120")),
            ("17 Jul 1996 09:44:25 Q", format!("{at} 0")),
            ("17 Jul 1996 09:44:25 +9999", format!("{at} 0")),
            ("17 Jul 1996 09:44:25 -0000", format!("{at} 0")),
            ("17 Jul 1996 09:44:25 (open", format!("{at} 0")),
            ("Wed Jul 17 09:44:25 1996", format!("{at} 0")),
            ("Wed Jul 17 02:44:25 PDT 1996", format!("{at} -420")),
            ("17 Jul 1996 09:44", "1996-07-17T09:44:00Z 0".into()),
            ("17 Jul 1996", "1996-07-17T00:00:00Z 0".into()),
            ("1 Jan 49 0:0:0 EST", "2049-01-01T05:00:00Z -300".into()),
            ("1 Jan 50 00:00:00 Z", "1950-01-01T00:00:00Z 0".into()),
        ] {
            assert_eq!(shown(DateTime::parse_rfc5322(text.as_bytes())), Some(expected), "{text}");
        }
    }

    #[test]
    fn written_as_a_field() {
        let date = DateTime::parse_imap(b"\" 7-Jul-1996 02:44:25 -0730\"").unwrap();
        assert_eq!(date.to_rfc5322(), "Sun, 7 Jul 1996 02:44:25 -0730");
        assert_eq!(date.date(), Date::new(1996, 7, 7).unwrap());
    }

    #[test]
    fn the_ends_of_time_can_be_shown() {
        for at in [Timestamp::MIN, Timestamp::MAX] {
            for minutes in [i16::MIN, -1440, -1439, 0, 1439, 1440, i16::MAX] {
                let date = DateTime::new(at, minutes);
                assert!(date.offset_minutes().abs() <= 1439);
                assert!(date.to_imap().contains(' ') && date.to_rfc5322().contains(", "));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn dates_come_back(second in 0i64..253_000_000_000, minutes in -1439i16..=1439) {
            let date = DateTime::new(Timestamp::from_second(second).unwrap(), minutes);
            // The hours before 1970 in the west are fine, but a year needs four digits.
            proptest::prop_assert_eq!(DateTime::parse_imap(date.to_imap().as_bytes()), Some(date));
            proptest::prop_assert_eq!(DateTime::parse_rfc5322(date.to_rfc5322().as_bytes()), Some(date));
        }

        #[test]
        fn any_text_parses_or_is_refused(text in "[-MonJul0-9:+,. ()\\\\\"]{0,40}") {
            DateTime::parse_imap(text.as_bytes());
            if let Some(date) = DateTime::parse_rfc5322(text.as_bytes()) {
                proptest::prop_assert_eq!(DateTime::parse_rfc5322(date.to_rfc5322().as_bytes()), Some(date));
            }
        }
    }
}
