//! Mail that an address here forwards to other servers: under whose name it goes on, and what ends a loop.
//!
//! Who forwards stands in the header as Delivered-To: mail that comes back to the same address is refused. Only mail that
//! is forwarded asks the directory a question of its own (whether the sender is one of ours).

use std::collections::HashSet;

use jiff::Timestamp;

use super::trace::write_delivered_to;
use crate::control::Config;
use crate::db::Error;
use crate::directory::{Directory, Route};
use crate::mail::Address;
use crate::mail::srs::Srs;
use crate::mime::header::fields;

/// What rewrites the sender of a message that goes these ways; none where it stays as it is: nothing is forwarded, or the
/// sender is one of ours.
///
/// # Errors
/// The directory can't be asked.
pub async fn rewriter<'a>(
    directory: &Directory,
    config: &Config,
    sender: Option<&Address>,
    mut routes: impl Iterator<Item = &'a Route>,
) -> Result<Option<Srs>, Error> {
    let Some(sender) = sender.filter(|_| config.srs.enabled) else { return Ok(None) };
    if routes.all(|route| route.forwarders().next().is_none()) || directory.is_ours(sender.domain()).await? {
        return Ok(None);
    }
    Ok(Some(Srs::new(&config.srs.secret, config.srs.max_age_days)))
}

/// The reverse path under which this address (none: we only pass the message on) forwards a message; writes what its
/// header says of that.
pub fn go_on(
    sender: Option<&Address>,
    forwarded_by: Option<&str>,
    srs: Option<&Srs>,
    now: Timestamp,
    header: &mut Vec<u8>,
) -> String {
    let by = forwarded_by
        .and_then(|by| by.rsplit_once('@'))
        .and_then(|(local, domain)| Address::from_parts(local, domain).ok());
    if let Some(by) = &by {
        write_delivered_to(by, header);
    }
    let Some(sender) = sender else { return String::new() };
    let rewritten = srs.zip(by.as_ref()).and_then(|(srs, by)| srs.forward(sender, by.domain(), now));
    rewritten.as_ref().unwrap_or(sender).to_string()
}

/// Whether a message was here before, and was forwarded by an address that would forward it again.
pub fn is_back<'a>(header: &[u8], routes: impl Iterator<Item = &'a Route>) -> bool {
    let mut forwarders = routes.flat_map(Route::forwarders).peekable();
    if forwarders.peek().is_none() {
        return false;
    }
    let before: HashSet<String> = fields(header)
        .filter(|field| field.is("Delivered-To"))
        .filter_map(|field| Address::parse(field.value.trim_ascii()).ok())
        .map(|address| address.key())
        .collect();
    !before.is_empty() && forwarders.any(|by| before.contains(by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Remote;

    #[test]
    fn who_has_forwarded_is_known_again() {
        let remote =
            Remote { address: "x@y.test".to_owned(), forwarded_by: Some("me+you@x.test".to_owned()) };
        let route = Route::To { accounts: Vec::new(), remotes: vec![remote] };
        let is_back = |header: &str| is_back(header.as_bytes(), [&route].into_iter());
        assert!(is_back("Subject: x\r\nDelivered-To:  Me+You@X.test \r\n\r\n"));
        assert!(!is_back("Delivered-To: you@x.test\r\nX-Delivered-To: me+you@x.test\r\n\r\n"));
        assert!(!is_back("Subject: x\r\n\r\nDelivered-To: me+you@x.test\r\n"));
    }
}
