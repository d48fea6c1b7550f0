//! `date` and `date-time` (RFC 3501 §9).

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

use super::bad::Bad;
use super::parser::Parser;

pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// An instant with the zone it was written in, which INTERNALDATE gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// The instant.
    pub at: Timestamp,
    /// The zone, in whole minutes.
    pub zone: Offset,
}

impl Parser<'_> {
    /// `date`: `1-Feb-1994`, quoted or not.
    pub fn date(&mut self) -> Result<Date, Bad> {
        let quoted = self.skip(b'"');
        let date = self.date_text()?;
        if quoted {
            self.expect(b'"', "expected the closing quote of a date")?;
        }
        Ok(date)
    }

    /// `date-time`: `"17-Jul-1996 02:44:25 -0700"`, the day with a space or a zero in front.
    pub fn date_time(&mut self) -> Result<DateTime, Bad> {
        let at = self.at();
        self.expect(b'"', "expected a date-time")?;
        self.skip(b' ');
        let date = self.date_text()?;
        self.space()?;
        let hour = self.digits(2)?;
        self.expect(b':', "expected a colon")?;
        let minute = self.digits(2)?;
        self.expect(b':', "expected a colon")?;
        // A leap second is a second that most clocks don't have.
        let second = self.digits(2).map(|second| if second == 60 { 59 } else { second })?;
        self.space()?;
        let zone = self.zone()?;
        self.expect(b'"', "expected the closing quote of a date-time")?;
        let time = clock(hour, minute, second).ok_or(Bad::new("no such time", at))?;
        let instant = zone.to_timestamp(date.to_datetime(time)).map_err(|_| Bad::new("no such time", at))?;
        Ok(DateTime { at: instant, zone })
    }

    fn date_text(&mut self) -> Result<Date, Bad> {
        let at = self.at();
        let day = self.take_while(|b| b.is_ascii_digit());
        let day = match *day {
            [d] => d - b'0',
            [t, d] => (t - b'0') * 10 + (d - b'0'),
            _ => return Err(Bad::new("expected a day", at)),
        };
        self.expect(b'-', "expected a hyphen")?;
        let month_at = self.at();
        let name = self.take_while(|b| b.is_ascii_alphabetic());
        let month = (1i8..).zip(MONTHS).find(|(_, month)| name.eq_ignore_ascii_case(month.as_bytes()));
        let (month, _) = month.ok_or(Bad::new("expected a month", month_at))?;
        self.expect(b'-', "expected a hyphen")?;
        let year = self.digits(4)?;
        let day = i8::try_from(day).ok();
        day.and_then(|day| Date::new(year, month, day).ok()).ok_or(Bad::new("no such date", at))
    }

    fn zone(&mut self) -> Result<Offset, Bad> {
        let at = self.at();
        let sign = match self.take() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(Bad::new("expected a zone", at)),
        };
        let (hours, minutes) = (i32::from(self.digits(2)?), i32::from(self.digits(2)?));
        if hours > 23 || minutes > 59 {
            return Err(Bad::new("no such zone", at));
        }
        Offset::from_seconds(sign * (hours * 60 + minutes) * 60).map_err(|_| Bad::new("no such zone", at))
    }

    /// Exactly `count` digits, four at most.
    fn digits(&mut self, count: usize) -> Result<i16, Bad> {
        let at = self.at();
        let mut number = 0;
        for _ in 0..count {
            let digit = self.take().filter(u8::is_ascii_digit).ok_or(Bad::new("expected a digit", at))?;
            number = number * 10 + i16::from(digit - b'0');
        }
        Ok(number)
    }
}

fn clock(hour: i16, minute: i16, second: i16) -> Option<Time> {
    let [hour, minute, second] = [hour, minute, second].map(|n| i8::try_from(n).ok());
    Time::new(hour?, minute?, second?, 0).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    #[test]
    fn dates() {
        for text in [
            "",
            "1",
            "32-Jan-2020",
            "0-Jan-2020",
            "30-Feb-2020",
            "1-Foo-2020",
            "1-Jan-20",
            "1-Jan-20200",
            "\"1-Jan-2020",
            "1-Jan-2020\"",
            "001-Jan-2020",
            "1 Jan 2020",
            "-Jan-2020",
        ] {
            refused(text, Parser::date);
        }
        assert_eq!(taken("1-feb-1994", Parser::date), date(1994, 2, 1));
        assert_eq!(taken("\"29-Feb-2020\"", Parser::date), date(2020, 2, 29));
    }

    #[test]
    fn date_times() {
        for text in [
            "17-Jul-1996 02:44:25 -0700",
            "\"17-Jul-1996 02:44:25 -0700",
            "\"17-Jul-1996 02:44:25\"",
            "\"17-Jul-1996 24:44:25 +0000\"",
            "\"17-Jul-1996 02:60:25 +0000\"",
            "\"17-Jul-1996 02:44:61 +0000\"",
            "\"17-Jul-1996 02:44:25 +2400\"",
            "\"17-Jul-1996 02:44:25 +0060\"",
            "\"17-Jul-1996 2:44:25 +0000\"",
            "\"  7-Jul-1996 02:44:25 +0000\"",
        ] {
            refused(text, Parser::date_time);
        }
        for (text, instant, zone) in [
            ("\"17-Jul-1996 02:44:25 -0700\"", "1996-07-17T09:44:25Z", -7 * 3600),
            ("\" 1-Jan-2024 00:00:00 +0545\"", "2023-12-31T18:15:00Z", 20700),
            ("\"31-Dec-2016 23:59:60 +0000\"", "2016-12-31T23:59:59Z", 0),
        ] {
            let expected =
                DateTime { at: instant.parse().unwrap(), zone: Offset::from_seconds(zone).unwrap() };
            assert_eq!(taken(text, Parser::date_time), expected);
        }
        // At the ends of time nothing panics.
        taken("\"30-Dec-9999 00:00:00 +2359\"", Parser::date_time);
        refused("\"31-Dec-9999 23:59:59 -2359\"", Parser::date_time);
        taken("\"01-Jan-0000 00:00:00 +2359\"", Parser::date_time);
    }
}
