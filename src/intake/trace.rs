//! Trace header fields (RFC 5321 §4.4): where a message came from, who sent it, whom it is for.
//!
//! They are never written into the content but into the prefix that a copy of the message has of its own, so that equal
//! messages share one content. For the same reason a Return-Path that a message brings along stays where it is (RFC 5321
//! §4.4 allows to remove it, and does not ask for it); ours stands first.

use std::io::Write;
use std::net::IpAddr;

use crate::mail::{Address, DateTime};

/// How much of a HELO name that is no host name is repeated.
const ODD_NAME: usize = 100;

/// What the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SMTP without extensions: it said HELO.
    Smtp,
    /// SMTP with extensions: EHLO.
    Esmtp,
    /// LMTP: LHLO.
    Lmtp,
}

/// How one message came in: all that a Received field tells.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The name that the client gave itself.
    pub helo: &'a str,
    /// Whether that is a host name or address literal.
    pub well_formed: bool,
    /// The client's address.
    pub peer: IpAddr,
    /// The client's name in DNS, where it is known and leads back to its address.
    pub reverse_name: Option<&'a str>,
    /// Our name.
    pub host: &'a str,
    /// What it spoke.
    pub protocol: Protocol,
    /// TLS version and cipher.
    pub tls: Option<(&'a str, &'a str)>,
    /// Whether it had logged in.
    pub authenticated: bool,
    /// Whether SMTPUTF8 was asked for.
    pub utf8: bool,
    /// What we call the message; letters, digits and hyphens.
    pub id: &'a str,
    /// When it had come in.
    pub at: DateTime,
}

impl Received<'_> {
    /// Writes the field; `addressee` is named where there is only one.
    pub fn write(&self, addressee: Option<&Address>, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        self.try_write(addressee, out).ok();
    }

    fn try_write(&self, addressee: Option<&Address>, out: &mut Vec<u8>) -> std::io::Result<()> {
        out.extend_from_slice(b"Received: from ");
        // RFC 5321 §4.4, TCP-info: the name, if any, and the address.
        let (name, space) = self.reverse_name.map_or(("", ""), |name| (name, " "));
        match (self.well_formed, self.peer) {
            (true, IpAddr::V4(peer)) => write!(out, "{} ({name}{space}[{peer}])", self.helo)?,
            (true, IpAddr::V6(peer)) => write!(out, "{} ({name}{space}[IPv6:{peer}])", self.helo)?,
            // What no grammar knows can only stand in a comment.
            (false, IpAddr::V4(peer)) => write!(out, "[{peer}] (HELO {})", Comment(self.helo))?,
            (false, IpAddr::V6(peer)) => write!(out, "[IPv6:{peer}] (HELO {})", Comment(self.helo))?,
        }
        write!(out, "\r\n\tby {} with {}", self.host, self.with())?;
        if let Some((version, cipher)) = self.tls {
            write!(out, "\r\n\t({version} {cipher})")?;
        }
        write!(out, " id {}", self.id)?;
        if let Some(address) = addressee {
            write!(out, "\r\n\tfor <{address}>")?;
        }
        write!(out, ";\r\n\t{}\r\n", self.at.to_rfc5322())
    }

    /// The protocol under its registered name (RFC 3848, RFC 6531 §4.3). Plain SMTP has only the one.
    fn with(&self) -> &'static str {
        let secured = self.tls.is_some();
        match (self.protocol, self.utf8, secured, self.authenticated) {
            (Protocol::Smtp, ..) => "SMTP",
            (Protocol::Esmtp, false, false, false) => "ESMTP",
            (Protocol::Esmtp, false, false, true) => "ESMTPA",
            (Protocol::Esmtp, false, true, false) => "ESMTPS",
            (Protocol::Esmtp, false, true, true) => "ESMTPSA",
            (Protocol::Esmtp, true, false, false) => "UTF8SMTP",
            (Protocol::Esmtp, true, false, true) => "UTF8SMTPA",
            (Protocol::Esmtp, true, true, false) => "UTF8SMTPS",
            (Protocol::Esmtp, true, true, true) => "UTF8SMTPSA",
            (Protocol::Lmtp, false, false, false) => "LMTP",
            (Protocol::Lmtp, false, false, true) => "LMTPA",
            (Protocol::Lmtp, false, true, false) => "LMTPS",
            (Protocol::Lmtp, false, true, true) => "LMTPSA",
            (Protocol::Lmtp, true, false, false) => "UTF8LMTP",
            (Protocol::Lmtp, true, false, true) => "UTF8LMTPA",
            (Protocol::Lmtp, true, true, false) => "UTF8LMTPS",
            (Protocol::Lmtp, true, true, true) => "UTF8LMTPSA",
        }
    }
}

/// Text inside a comment (RFC 5322 §3.2.2): without what would end it.
struct Comment<'a>(&'a str);

impl std::fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        let plain = |c: char| if c.is_ascii_graphic() && !"()\\".contains(c) { c } else { '?' };
        self.0.chars().take(ODD_NAME).map(plain).try_for_each(|c| f.write_char(c))
    }
}

/// Writes Return-Path, which final delivery puts before all else; no sender is `<>`.
pub fn write_return_path(sender: Option<&Address>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Return-Path: <");
    if let Some(sender) = sender {
        // Writing to memory does not fail.
        write!(out, "{sender}").ok();
    }
    out.extend_from_slice(b">\r\n");
}

/// Writes Delivered-To: the address by which the message reached this mailbox, before aliases.
pub fn write_delivered_to(address: &Address, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    write!(out, "Delivered-To: {address}\r\n").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Received<'static> {
        Received {
            helo: "mx.example.org",
            well_formed: true,
            peer: IpAddr::from([192, 0, 2, 1]),
            reverse_name: None,
            host: "mail.example.test",
            protocol: Protocol::Esmtp,
            tls: None,
            authenticated: false,
            utf8: false,
            id: "7-1",
            at: DateTime::new(jiff::Timestamp::UNIX_EPOCH, 0),
        }
    }

    fn text(received: &Received<'_>, addressee: Option<&str>) -> String {
        let addressee = addressee.map(|a| a.parse().unwrap());
        let mut out = Vec::new();
        received.write(addressee.as_ref(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tells_where_from_and_how() {
        assert_eq!(
            text(&received(), Some("bob@example.test")),
            "Received: from mx.example.org ([192.0.2.1])\r\n\tby mail.example.test with ESMTP id 7-1\r\n\
             \tfor <bob@example.test>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        let secured = Received {
            tls: Some(("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
            authenticated: true,
            peer: "2001:db8::1".parse().unwrap(),
            ..received()
        };
        assert_eq!(
            text(&secured, None),
            "Received: from mx.example.org ([IPv6:2001:db8::1])\r\n\tby mail.example.test with ESMTPSA\r\n\
             \t(TLSv1.3 TLS_AES_256_GCM_SHA384) id 7-1;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        let named = Received { reverse_name: Some("mx1.example.org"), ..received() };
        assert!(
            text(&named, None).starts_with("Received: from mx.example.org (mx1.example.org [192.0.2.1])\r\n")
        );
        assert!(text(&Received { utf8: true, ..secured }, None).contains(" with UTF8SMTPSA\r\n"));
        assert!(text(&Received { protocol: Protocol::Lmtp, ..received() }, None).contains(" with LMTP id"));
        assert!(text(&Received { protocol: Protocol::Smtp, ..secured }, None).contains(" with SMTP\r\n"));
    }

    #[test]
    fn an_odd_name_cannot_leave_its_comment() {
        let long = "x".repeat(5000);
        for (helo, shown) in [("my pc)(\\ by evil", "(HELO my?pc????by?evil)"), (&long, &"x".repeat(100))] {
            let text = text(&Received { helo, well_formed: false, ..received() }, None);
            assert!(text.starts_with("Received: from [192.0.2.1] (HELO "), "{text}");
            assert!(text.contains(shown), "{text}");
            assert!(text.lines().all(|line| line.len() < 200), "{text}");
        }
    }

    #[test]
    fn a_return_path_may_be_empty() {
        let mut out = Vec::new();
        write_return_path(None, &mut out);
        write_return_path(Some(&"a@b.test".parse().unwrap()), &mut out);
        assert_eq!(out, b"Return-Path: <>\r\nReturn-Path: <a@b.test>\r\n");
    }
}
