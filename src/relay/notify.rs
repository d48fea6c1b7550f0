//! Tells senders what became of their mail: makes the report, and finds out where it goes.
//!
//! The report has the null sender, so that nothing is ever said about it, and goes the way of all mail: into the sender's mailbox
//! when he is here, else into the queue, signed by the domain of the server's name where that has a key. A sender that is nobody's address gets none.

use bytes::Bytes;
use jiff::Timestamp;

use super::outcome::{Voice, expires};
use super::report::{About, Kind, Report, Returned, filled};
use super::settle::{Parts, Told};
use crate::control::Config;
use crate::db::Error;
use crate::directory::Route;
use crate::intake::place::parse_target;
use crate::intake::{Delivery, Outbound, OutboundRecipient, Place, Story};
use crate::mail::{Address, DateTime};
use crate::mime::fixup;
use crate::queue::{self, Message};
use crate::smtp::mail::Body;
use crate::smtp::rcpt::Notify;
use crate::sql;

const READ_HEADER: &str = sql!("relay/read_header");

/// How much of a header comes back, bytes.
const HEADER: usize = 64 * 1024;

/// The report of these outcomes, which are all of one message, and where it goes.
pub(super) async fn report(parts: &Parts, told: &Told) -> Result<Delivery, Error> {
    let Some((first, _)) = told.settled.first() else { return Ok(Delivery::default()) };
    let message = &first.message;
    let Ok(sender) = message.envelope.sender.parse::<Address>() else {
        tracing::error!(sender = message.envelope.sender, "no report: the sender is no address");
        return Ok(Delivery::default());
    };
    let route = parts.directory.resolve(&sender, true).await?;
    if matches!(&*route, Route::Unknown | Route::Restricted) {
        tracing::info!(sender = message.envelope.sender, "no report: nobody here has the sender's address");
        return Ok(Delivery::default());
    }
    let config = parts.control.config();
    let bytes = write(parts, &config, told, message, &sender).await?;
    let eight_bit = !bytes.is_ascii();
    let mut spool = parts.store.spool().await?;
    spool.write(&bytes).await?;
    let (mut places, mut owners, mut remotes) = (Vec::new(), Vec::new(), Vec::new());
    match &*route {
        Route::To { accounts, remotes: elsewhere } => {
            for account in accounts {
                let now = DateTime::new(Timestamp::now(), 0);
                owners.push(account.address.clone());
                places.push(Place::in_inbox(account, None, &sender, now, |_| {}));
            }
            remotes.extend(elsewhere.iter().filter_map(|remote| parse_target(remote)));
        }
        Route::NotLocal => remotes.push(sender),
        Route::Unknown | Route::Restricted => {}
    }
    let body = if eight_bit { Body::EightBitMime } else { Body::SevenBit };
    // Who gets it elsewhere can see that it is ours.
    let signature = match remotes.is_empty() {
        true => None,
        false => parts.verify.sign_whole(config.hostname(), &bytes).await,
    };
    let envelope = queue::Envelope {
        smtputf8: message.envelope.smtputf8,
        // RFC 8689 §5: what is said about such a message is no less confidential.
        require_tls: message.envelope.require_tls,
        ..queue::Envelope::new(String::new(), body)
    };
    // RFC 3461 §6.1: nothing is to be said about what is said.
    let recipient = |address| OutboundRecipient::elsewhere(address, Some(Notify::Never), None);
    let outbound = (!remotes.is_empty()).then(|| Outbound {
        prefix: signature.map(Bytes::from),
        ..Outbound::new(envelope, remotes.iter().map(recipient).collect())
    });
    let story = Story { owners, ..Story::reports(message, told.kind.template()) };
    let delivery = Delivery::new(spool.finish(), places, outbound.into_iter().collect());
    Ok(Delivery { story: Some(Box::new(story)), ..delivery })
}

async fn write(
    parts: &Parts,
    config: &Config,
    told: &Told,
    message: &Message,
    sender: &Address,
) -> Result<Vec<u8>, Error> {
    let row = parts.control.db.query_opt(READ_HEADER, &[&message.content]).await?;
    let (header, subject, message_id) = match &row {
        Some(row) => (
            row.get::<_, Vec<u8>>(0),
            row.get::<_, Option<String>>(1).unwrap_or_default(),
            row.get::<_, Option<String>>(2),
        ),
        None => (Vec::new(), String::new(), None),
    };
    let until = expires(config, message);
    let about: Vec<About> = told
        .settled
        .iter()
        .map(|(settled, voice)| About {
            address: settled.recipient.address.clone(),
            original: settled.recipient.original.clone(),
            host: settled.host.clone(),
            reply: settled.reply.clone(),
            remote: *voice == Voice::Remote,
            retry_until: Some(until),
        })
        .collect();
    let recipients: Vec<String> = about.iter().map(|about| format!("  {}", about.address)).collect();
    let reasons: Vec<String> = about
        .iter()
        .map(|about| match &about.host {
            Some(host) => format!("  {}: {host} said: {}", about.address, about.reply),
            None => format!("  {}: {}", about.address, about.reply),
        })
        .collect();
    let hostname = config.hostname();
    let words = [
        ("hostname", hostname),
        ("sender", &message.envelope.sender),
        ("subject", if subject.is_empty() { "(no subject)" } else { &subject }),
        ("received", &date(message.received_at)),
        ("recipients", &recipients.join("\n")),
        ("reasons", &reasons.join("\n")),
        ("expires", &date(until)),
    ];
    let of_domain = |domain: Option<&str>| {
        config.templates.iter().find(|t| t.name == told.kind.template() && t.domain.as_deref() == domain)
    };
    let template = of_domain(Some(sender.domain())).or_else(|| of_domain(None));
    let (subject, body) = match template {
        Some(template) => (filled(&template.subject, &words), filled(&template.body, &words)),
        // Somebody has deleted the text: the facts are in the next part.
        None => (format!("{}: {subject}", told.kind.template()), String::new()),
    };
    let report = Report {
        kind: told.kind,
        hostname,
        to: &message.envelope.sender,
        subject: &subject,
        body: &body,
        envelope_id: message.envelope.envelope_id.as_deref(),
        received_at: message.received_at,
        at: Timestamp::now(),
        id: &parts.report_id(),
        about_message: message_id.as_deref().map(|id| id.trim_start_matches('<').trim_end_matches('>')),
        utf8: message.envelope.smtputf8,
        recipients: &about,
        returned: returned(parts, config, told.kind, message, header).await?,
    };
    Ok(report.write())
}

/// What comes back: all of it when the sender asked for that (RFC 3461 §4.3) and it is not too large, else the header.
async fn returned(
    parts: &Parts,
    config: &Config,
    kind: Kind,
    message: &Message,
    header: Vec<u8>,
) -> Result<Returned, Error> {
    let whole = kind == Kind::Failed
        && message.envelope.return_full == Some(true)
        && message.size <= config.relay.max_returned_bytes;
    if let Some(size) = message.content_size.filter(|_| whole) {
        let bytes = parts.store.read(&message.prefix, message.content, size, 0..u64::MAX).whole().await?;
        return Ok(Returned::Whole(bytes));
    }
    // A report is no place for a stranger's Bcc.
    let mut bytes = fixup::remove(&header, "Bcc");
    bytes.truncate(HEADER);
    Ok(Returned::Header(bytes))
}

fn date(at: Timestamp) -> String {
    DateTime::new(at, 0).to_rfc5322()
}
