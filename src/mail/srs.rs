//! The Sender Rewriting Scheme: who forwards mail of other people sends it under a name of his own domain, in which theirs
//! is written, so that a bounce finds its way back.
//!
//! `SRS0=hash=day=example.net=bob@here` is bob@example.net; `SRS1=hash=there=rest@here` is the SRS0 address `SRS0rest@there`
//! of a server that forwarded before us: however often mail is forwarded, the name does not grow. The hash (an HMAC with
//! the server's secret) must make sure that nobody else can make us send mail where he likes; it covers letters in lower
//! case, because some servers change their case on the way. The day bounds how long what was seen once can be used.
//!
//! A local part has 64 bytes (RFC 5321 §4.5.3.1.1), 15 of which are ours: [`Srs::forward`] gives nothing where the sender
//! does not fit, and the mail then goes on under the sender it had.

use jiff::Timestamp;
use ring::hmac;

use super::Address;

/// Letters and digits that stand for five bits each: none is mistaken for another, and case does not matter.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Letters of the hash: one guess in 33 million is right.
const HASH: usize = 5;
/// Days are counted modulo this: two letters.
const DAYS: u64 = 1024;

/// Rewrites senders and takes it back.
#[derive(Debug)]
pub struct Srs {
    key: hmac::Key,
    max_age_days: u64,
}

/// Why a rewritten sender is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrsError {
    /// It was not made here, or somebody has changed it.
    #[error("this forwarding address is not one of ours")]
    Forged,
    /// Its time is over.
    #[error("this forwarding address has expired")]
    Expired,
}

/// Whether an address looks like a rewritten sender.
pub fn is_srs(address: &Address) -> bool {
    tagged(address.local(), "SRS0=").or_else(|| tagged(address.local(), "SRS1=")).is_some()
}

impl Srs {
    /// With this secret; what is older than so many days (1 to 365) is not taken back.
    pub fn new(secret: &str, max_age_days: u16) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), max_age_days: max_age_days.into() }
    }

    /// The sender under which `domain` forwards the mail of `sender`; `None` where it would be too long.
    pub fn forward(&self, sender: &Address, domain: &str, now: Timestamp) -> Option<Address> {
        let local = sender.local();
        let again = if let Some(rest) = tagged(local, "SRS0") {
            // The separator after SRS0 is the other server's choice and stays.
            Some(format!("{}={rest}", sender.domain()))
        } else {
            // Past the one who sent it to us, to the first: its hash is still there.
            tagged(local, "SRS1=").and_then(|rest| rest.split_once('=')).map(|(_, rest)| rest.to_owned())
        };
        let (tag, signed) = match again.filter(|signed| first(signed).is_some()) {
            Some(signed) => ("SRS1", signed),
            None => ("SRS0", format!("{}={}={local}", day_letters(day(now)), sender.domain())),
        };
        let local = format!("{tag}={}={signed}", self.hash(tag, &signed));
        Address::from_parts(&local, domain).ok()
    }

    /// Whom an address means that [`Self::forward`] has made.
    ///
    /// # Errors
    /// Says why it means nobody.
    pub fn reverse(&self, address: &Address, now: Timestamp) -> Result<Address, SrsError> {
        let local = address.local();
        let (tag, rest) = match (tagged(local, "SRS0="), tagged(local, "SRS1=")) {
            (Some(rest), _) => ("SRS0", rest),
            (None, Some(rest)) => ("SRS1", rest),
            (None, None) => return Err(SrsError::Forged),
        };
        let (hash, signed) = rest.split_once('=').ok_or(SrsError::Forged)?;
        self.verify(tag, hash, signed)?;
        if tag == "SRS0" {
            let mut parts = signed.splitn(3, '=');
            let (Some(made), Some(domain), Some(local)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(SrsError::Forged);
            };
            let made = day_number(made).ok_or(SrsError::Forged)?;
            let age = (day(now) + DAYS - made) % DAYS;
            // A clock that was a day ahead has made what seems to come from tomorrow.
            if age > self.max_age_days && age != DAYS - 1 {
                return Err(SrsError::Expired);
            }
            Address::from_parts(local, domain).map_err(|_| SrsError::Forged)
        } else {
            first(signed).ok_or(SrsError::Forged)
        }
    }

    /// Of the tag too: what one tag says means something else under the other.
    fn hash(&self, tag: &str, signed: &str) -> String {
        let text = format!("{tag}={signed}").to_lowercase();
        let hash = hmac::sign(&self.key, text.as_bytes());
        let bits = hash.as_ref().iter().take(4).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..HASH).map(|place| letter(bits >> (27 - 5 * place))).collect()
    }

    fn verify(&self, tag: &str, hash: &str, signed: &str) -> Result<(), SrsError> {
        let right = subtle::ConstantTimeEq::ct_eq(
            hash.to_ascii_lowercase().as_bytes(),
            self.hash(tag, signed).as_bytes(),
        );
        if bool::from(right) { Ok(()) } else { Err(SrsError::Forged) }
    }
}

/// The address of the first who forwarded: `one.test=rest` is `SRS0rest@one.test`.
fn first(signed: &str) -> Option<Address> {
    let (domain, rest) = signed.split_once('=')?;
    if !rest.starts_with(['=', '+', '-']) {
        return None;
    }
    Address::from_parts(&format!("SRS0{rest}"), domain).ok()
}

/// What follows the tag, in whatever case that is written.
fn tagged<'a>(local: &'a str, tag: &str) -> Option<&'a str> {
    let (head, rest) = local.split_at_checked(tag.len())?;
    (head.eq_ignore_ascii_case(tag) && rest.len() > 1).then_some(rest)
}

fn day(now: Timestamp) -> u64 {
    (now.as_second() / 86_400).cast_unsigned() % DAYS
}

fn letter(bits: u64) -> char {
    BASE32[(bits & 31) as usize].into()
}

fn day_letters(day: u64) -> String {
    [letter(day >> 5), letter(day)].into_iter().collect()
}

fn day_number(letters: &str) -> Option<u64> {
    let value = |byte: &u8| BASE32.iter().position(|letter| *letter == byte.to_ascii_lowercase());
    match letters.as_bytes() {
        [high, low] => Some((value(high)? * 32 + value(low)?) as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const TODAY: &str = "2026-03-01T12:00:00Z";

    #[test]
    fn there_and_back() {
        let srs = Srs::new("a secret of some length", 21);
        for sender in
            ["bob@example.net", "B.O=b+x@example.net", "\"b o b\"@example.net", "jürgen@bücher.example"]
        {
            let there = srs.forward(&address(sender), "here.test", at(TODAY)).unwrap();
            assert!(is_srs(&there) && there.domain() == "here.test", "{there}");
            assert_eq!(srs.reverse(&there, at(TODAY)), Ok(address(sender)));
            // Servers on the way may change the case of letters.
            let lower = address(&there.to_string().to_lowercase());
            assert_eq!(srs.reverse(&lower, at(TODAY)).map(|a| a.key()), Ok(address(sender).key()));
        }
    }

    #[test]
    fn forwarded_again_it_does_not_grow() {
        let (first, second, third) =
            (Srs::new("first's", 21), Srs::new("second's", 21), Srs::new("third's", 21));
        let once = first.forward(&address("bob@example.net"), "one.test", at(TODAY)).unwrap();
        let twice = second.forward(&once, "two.test", at(TODAY)).unwrap();
        assert!(twice.local().starts_with("SRS1=") && twice.local().contains("=one.test=="), "{twice}");
        let thrice = third.forward(&twice, "three.test", at(TODAY)).unwrap();
        assert_eq!(thrice.local().len(), twice.local().len());
        // Each leads back to the first, which alone knows bob.
        assert_eq!(second.reverse(&twice, at(TODAY)), Ok(once.clone()));
        assert_eq!(third.reverse(&thrice, at(TODAY)), Ok(once.clone()));
        assert_eq!(first.reverse(&once, at(TODAY)), Ok(address("bob@example.net")));
        // Another separator of another server comes back as it was.
        let odd = address("SRS0+abcd=xy=example.net=bob@one.test");
        let rewritten = second.forward(&odd, "two.test", at(TODAY)).unwrap();
        assert_eq!(second.reverse(&rewritten, at(TODAY)), Ok(odd));
    }

    #[test]
    fn what_is_forged_or_old_is_not_taken() {
        let srs = Srs::new("a secret of some length", 21);
        let there = srs.forward(&address("bob@example.net"), "here.test", at(TODAY)).unwrap();
        let (_, signed) = there.local().split_at("SRS0=xxxxx=".len());
        for forged in [
            format!("SRS0=aaaaa={signed}@here.test"),
            there.to_string().replace("bob", "rob"),
            there.to_string().replace("example.net", "example.org"),
            there.to_string().replace("SRS0", "SRS1"),
            "SRS0=@here.test".to_owned(),
            "SRS0=a@here.test".to_owned(),
            "SRS0==@here.test".to_owned(),
            "SRS0==aa=b=c@here.test".to_owned(),
            "SRS1=a=b=c@here.test".to_owned(),
            "bob@here.test".to_owned(),
        ] {
            assert_eq!(srs.reverse(&address(&forged), at(TODAY)), Err(SrsError::Forged), "{forged}");
        }
        assert_eq!(Srs::new("another secret", 21).reverse(&there, at(TODAY)), Err(SrsError::Forged));
        for (hours, taken) in [(-24, true), (21 * 24, true), (22 * 24, false), (300 * 24, false)] {
            let later = at(TODAY) + i64::from(hours).hours();
            assert_eq!(srs.reverse(&there, later).is_ok(), taken, "{hours}");
        }
    }

    #[test]
    fn who_does_not_fit_is_left_as_he_is() {
        let srs = Srs::new("a secret of some length", 21);
        let (fits, long) = ("a".repeat(38), "a".repeat(39));
        assert!(srs.forward(&address(&format!("{fits}@example.net")), "here.test", at(TODAY)).is_some());
        assert_eq!(srs.forward(&address(&format!("{long}@example.net")), "here.test", at(TODAY)), None);
    }

    proptest! {
        #[test]
        fn never_panics(local in "(SRS[01])?[=+-]?[a-z2-7=]{0,30}", day in 0_i64..40_000) {
            let srs = Srs::new("a secret of some length", 365);
            let now = Timestamp::from_second(day * 86_400).unwrap();
            if let Ok(address) = Address::from_parts(&local, "x.test") {
                srs.reverse(&address, now).ok();
                if let Some(there) = srs.forward(&address, "here.test", now) {
                    let back = srs.reverse(&there, now).unwrap();
                    // The second server on the way leads back to the first.
                    prop_assert!(back == address || back.local().starts_with("SRS0"));
                }
            }
        }
    }
}
