//! The replies that a server gives, each with the code that its RFC assigns (RFC 5321 §4.2.3, RFC 3463, RFC 5248).
//!
//! The texts are meant for people; what a client acts on are the codes.

use std::borrow::Cow;

use super::reply::Reply;

impl Reply {
    /// 220: the greeting; the host's own name goes first (RFC 5321 §4.2, §4.3.1).
    #[must_use]
    pub fn greeting(host: &str, words: &str) -> Reply {
        Reply::plain(220, format!("{host} {words}"))
    }

    /// 220: the answer to STARTTLS.
    #[must_use]
    pub fn ready_for_tls() -> Reply {
        Reply::new(220, (2, 0, 0), "Ready to start TLS")
    }

    /// 221: the answer to QUIT.
    #[must_use]
    pub fn closing() -> Reply {
        Reply::new(221, (2, 0, 0), "Bye")
    }

    /// 235: logged in (RFC 4954 §6).
    #[must_use]
    pub fn authenticated() -> Reply {
        Reply::new(235, (2, 7, 0), "Authentication succeeded")
    }

    /// 250.
    #[must_use]
    pub fn ok() -> Reply {
        Reply::new(250, (2, 0, 0), "OK")
    }

    /// 250: MAIL is accepted.
    #[must_use]
    pub fn sender_ok() -> Reply {
        Reply::new(250, (2, 1, 0), "Sender OK")
    }

    /// 250: RCPT is accepted.
    #[must_use]
    pub fn recipient_ok() -> Reply {
        Reply::new(250, (2, 1, 5), "Recipient OK")
    }

    /// 250: the message is accepted, under this name.
    #[must_use]
    pub fn message_accepted(id: &str) -> Reply {
        Reply::new(250, (2, 0, 0), format!("Accepted as {id}"))
    }

    /// 252: VRFY doesn't tell (RFC 5321 §7.3).
    #[must_use]
    pub fn not_verified() -> Reply {
        Reply::new(252, (2, 1, 5), "Not verified, but mail to it will be tried")
    }

    /// 334: the next challenge of AUTH, in base64 (RFC 4954 §4).
    #[must_use]
    pub fn challenge(base64: String) -> Reply {
        Reply::plain(334, base64)
    }

    /// 354: the answer to DATA.
    #[must_use]
    pub fn start_data() -> Reply {
        Reply::plain(354, "Send the message, end with <CRLF>.<CRLF>")
    }

    /// 421: the server closes (shutting down, too busy, too many connections); `why` says so.
    #[must_use]
    pub fn service_closing(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(421, (4, 3, 2), why)
    }

    /// 421: nothing came from the client for too long (RFC 5321 §4.5.3.2.7).
    #[must_use]
    pub fn timeout() -> Reply {
        Reply::new(421, (4, 4, 2), "Timeout, closing connection")
    }

    /// 450: the mailbox can't be reached now (greylisting, a lock).
    #[must_use]
    pub fn try_later(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(450, (4, 2, 0), why)
    }

    /// 451: something went wrong here, the client did nothing wrong.
    #[must_use]
    pub fn local_error(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(451, (4, 3, 0), why)
    }

    /// 452: no room now.
    #[must_use]
    pub fn no_room() -> Reply {
        Reply::new(452, (4, 3, 1), "Insufficient storage, try later")
    }

    /// 452: more recipients than one message may have here (RFC 5321 §4.5.3.1.10).
    #[must_use]
    pub fn too_many_recipients() -> Reply {
        Reply::new(452, (4, 5, 3), "Too many recipients, send the rest separately")
    }

    /// 452: the mailbox is over its quota, and might not be later.
    #[must_use]
    pub fn mailbox_full_now() -> Reply {
        Reply::new(452, (4, 2, 2), "Mailbox full, try later")
    }

    /// 454: AUTH can't be carried out now (RFC 4954 §6).
    #[must_use]
    pub fn authentication_unavailable() -> Reply {
        Reply::new(454, (4, 7, 0), "Authentication is not possible now")
    }

    /// 454: STARTTLS can't be carried out now (RFC 3207 §4).
    #[must_use]
    pub fn tls_unavailable() -> Reply {
        Reply::new(454, (4, 7, 0), "TLS is not available now")
    }

    /// 500: a word that is no command here.
    #[must_use]
    pub fn unknown_command() -> Reply {
        Reply::new(500, (5, 5, 1), "Command not recognised")
    }

    /// 500: the line is too long (RFC 5321 §4.5.3.1.4); RFC 4954 §6 has this detail code for it.
    #[must_use]
    pub fn line_too_long() -> Reply {
        Reply::new(500, (5, 5, 6), "Line too long")
    }

    /// 500: a line that ends with LF alone (RFC 5321 §2.3.8).
    #[must_use]
    pub fn bare_lf() -> Reply {
        Reply::new(500, (5, 5, 2), "Lines must end with CRLF")
    }

    /// 501: wrong arguments; `syntax` as in the command table.
    #[must_use]
    pub fn bad_arguments(syntax: &'static str) -> Reply {
        Reply::new(501, (5, 5, 4), format!("Syntax: {syntax}"))
    }

    /// 501: the client gave AUTH up with `*`, or what it sent isn't base64 (RFC 4954 §4).
    #[must_use]
    pub fn authentication_cancelled(why: &'static str) -> Reply {
        Reply::new(501, (5, 5, 2), why)
    }

    /// 502: known, but not done here.
    #[must_use]
    pub fn not_implemented() -> Reply {
        Reply::new(502, (5, 5, 1), "Command not implemented")
    }

    /// 503: not in this order; `why` tells what is missing.
    #[must_use]
    pub fn bad_sequence(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(503, (5, 5, 1), why)
    }

    /// 504: a mechanism that isn't offered (RFC 4954 §4).
    #[must_use]
    pub fn unknown_mechanism() -> Reply {
        Reply::new(504, (5, 5, 4), "Unrecognised authentication mechanism")
    }

    /// 521: this host, or this client, gets no mail service (RFC 7504 §3, RFC 1846).
    #[must_use]
    pub fn no_service(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(521, (5, 3, 2), why)
    }

    /// 530: log in first (RFC 4954 §6).
    #[must_use]
    pub fn authentication_required() -> Reply {
        Reply::new(530, (5, 7, 0), "Authentication required")
    }

    /// 530: TLS first (RFC 3207 §4).
    #[must_use]
    pub fn tls_required() -> Reply {
        Reply::new(530, (5, 7, 0), "Must issue a STARTTLS command first")
    }

    /// 534: the mechanism is too weak for this user (RFC 4954 §6).
    #[must_use]
    pub fn mechanism_too_weak() -> Reply {
        Reply::new(534, (5, 7, 9), "Authentication mechanism is too weak")
    }

    /// 535: wrong name or password; never says which (RFC 4954 §6).
    #[must_use]
    pub fn authentication_failed() -> Reply {
        Reply::new(535, (5, 7, 8), "Authentication credentials invalid")
    }

    /// 538: the mechanism needs TLS (RFC 4954 §6).
    #[must_use]
    pub fn encryption_required() -> Reply {
        Reply::new(538, (5, 7, 11), "Encryption required for requested authentication mechanism")
    }

    /// 550: no such mailbox.
    #[must_use]
    pub fn no_mailbox() -> Reply {
        Reply::new(550, (5, 1, 1), "No such user here")
    }

    /// 550: refused by policy; `why` says by which.
    #[must_use]
    pub fn refused(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(550, (5, 7, 1), why)
    }

    /// 550: the message has CR or LF outside CRLF (RFC 5321 §2.3.8).
    #[must_use]
    pub fn bare_in_message() -> Reply {
        Reply::new(550, (5, 6, 0), "Message has CR or LF outside of CRLF")
    }

    /// 550: not local, and no relay for this client.
    #[must_use]
    pub fn relaying_denied() -> Reply {
        Reply::new(550, (5, 7, 1), "Relaying denied")
    }

    /// 551: gone elsewhere (RFC 5321 §3.4).
    #[must_use]
    pub fn moved(to: &str) -> Reply {
        Reply::new(551, (5, 1, 6), format!("User not local, try <{to}>"))
    }

    /// 552: larger than is accepted here (RFC 1870 §6.1).
    #[must_use]
    pub fn message_too_large() -> Reply {
        Reply::new(552, (5, 3, 4), "Message size exceeds the limit")
    }

    /// 552: the mailbox is over its quota.
    #[must_use]
    pub fn mailbox_full() -> Reply {
        Reply::new(552, (5, 2, 2), "Mailbox full")
    }

    /// 553: the address of a sender can't be one.
    #[must_use]
    pub fn bad_sender(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(553, (5, 1, 7), why)
    }

    /// 553: the address of a recipient can't be one.
    #[must_use]
    pub fn bad_recipient(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(553, (5, 1, 3), why)
    }

    /// 553: an address beyond ASCII, in a transaction without SMTPUTF8 (RFC 6531 §3.5).
    #[must_use]
    pub fn utf8_needed() -> Reply {
        Reply::new(553, (5, 6, 7), "Non-ASCII address needs SMTPUTF8")
    }

    /// 554: DATA or BDAT without any accepted recipient (RFC 5321 §3.3).
    #[must_use]
    pub fn no_recipients() -> Reply {
        Reply::new(554, (5, 5, 1), "No valid recipients")
    }

    /// 554: the transaction failed; `why` says how.
    #[must_use]
    pub fn failed(why: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(554, (5, 0, 0), why)
    }

    /// 554: the message has gone in circles (RFC 5321 §6.3).
    #[must_use]
    pub fn loop_detected() -> Reply {
        Reply::new(554, (5, 4, 6), "Too many hops, looks like a mail loop")
    }

    /// 555: a parameter that isn't offered; its keyword.
    #[must_use]
    pub fn parameter_unknown(keyword: &str) -> Reply {
        Reply::new(555, (5, 5, 4), format!("Unsupported parameter {keyword}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::reply::fits;

    #[test]
    fn codes_go_together() {
        let fixed: [fn() -> Reply; 35] = [
            Reply::ready_for_tls,
            Reply::closing,
            Reply::authenticated,
            Reply::ok,
            Reply::sender_ok,
            Reply::recipient_ok,
            Reply::not_verified,
            Reply::start_data,
            Reply::timeout,
            Reply::no_room,
            Reply::too_many_recipients,
            Reply::mailbox_full_now,
            Reply::authentication_unavailable,
            Reply::tls_unavailable,
            Reply::unknown_command,
            Reply::line_too_long,
            Reply::bare_lf,
            Reply::not_implemented,
            Reply::unknown_mechanism,
            Reply::authentication_required,
            Reply::tls_required,
            Reply::mechanism_too_weak,
            Reply::authentication_failed,
            Reply::encryption_required,
            Reply::no_mailbox,
            Reply::bare_in_message,
            Reply::relaying_denied,
            Reply::message_too_large,
            Reply::mailbox_full,
            Reply::utf8_needed,
            Reply::no_recipients,
            Reply::loop_detected,
            || Reply::greeting("h", "w"),
            || Reply::message_accepted("1"),
            || Reply::moved("a@b"),
        ];
        let saying: [fn(&'static str) -> Reply; 12] = [
            |why| Reply::service_closing(why),
            |why| Reply::try_later(why),
            |why| Reply::local_error(why),
            |why| Reply::bad_arguments(why),
            |why| Reply::authentication_cancelled(why),
            |why| Reply::bad_sequence(why),
            |why| Reply::no_service(why),
            |why| Reply::refused(why),
            |why| Reply::bad_sender(why),
            |why| Reply::bad_recipient(why),
            |why| Reply::failed(why),
            |why| Reply::parameter_unknown(why),
        ];
        for reply in fixed.into_iter().map(|f| f()).chain(saying.into_iter().map(|f| f("why"))) {
            assert!(fits(reply.code(), reply.enhanced()), "{reply:?}");
            assert!(reply.lines().all(|l| !l.is_empty() && l.is_ascii()), "{reply:?}");
        }
    }
}
