//! A message for a server that takes less than its sender was promised here: no 8-bit text, or no binary (RFC 6152 §3, RFC 3030 §4).
//!
//! Only then is a message whole in memory: up to [`MOST`] bytes, and all of them together within [`ROOM`]. What turns out to be
//! in 7 bits anyway goes as it is. What has to be converted loses what we signed with it, and is signed anew; what others have signed no
//! longer verifies, which is the price of reaching such a server at all. Neither the queue nor the store hears of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::Relay;
use super::body::Body;
use super::client::Connection;
use super::transaction::Said;
use crate::db::Error;
use crate::mime::{fixup, seven_bit};
use crate::queue::Message;
use crate::smtp::mail;
use crate::verify::{Observed, Purpose, Verify};

/// Bytes of a message that can be converted.
const MOST: u64 = 32 << 20;
/// Memory for all messages that are being converted and sent, kB; a message takes up to four times its size.
const ROOM: usize = 256 << 10;
/// How long a message waits for room, while its connection is idle.
const PATIENCE: Duration = Duration::from_secs(60);

/// Memory for what is being converted.
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

/// Why there is nothing to send.
pub(super) enum Unfit {
    /// What its sender is told.
    Said(Said),
    /// The message's own bytes can't be had.
    Store(Error),
}

/// The message as this server takes it: `body` itself wherever possible.
pub(super) async fn fit(
    relay: &Relay,
    connection: &Connection,
    message: &Message,
    body: Body,
) -> Result<Body, Unfit> {
    let offer = &connection.offer;
    let host = &connection.host;
    let (takes, code, what) = match message.envelope.body {
        mail::Body::SevenBit => return Ok(body),
        mail::Body::EightBitMime => (offer.eight_bit, "5.6.3", "has 8-bit text (RFC 6152)"),
        mail::Body::BinaryMime => (offer.binary && offer.chunking, "5.6.1", "is binary (RFC 3030)"),
    };
    if takes {
        return Ok(body);
    }
    let never = |why: &dyn std::fmt::Display| {
        let why = format!(
            "554 {code} the message {what}, {host} does not take that, and it cannot be converted: {why}"
        );
        Unfit::Said(Said::Never(why))
    };
    if body.size() > MOST {
        return Err(never(&format_args!("it has {} bytes, and {MOST} are the most", body.size())));
    }
    // MOST in kB fits a u32, four times.
    let wanted = (body.size() / 1024 + 1) as u32 * 4;
    let room = tokio::time::timeout(PATIENCE, relay.room.0.clone().acquire_many_owned(wanted)).await;
    let Ok(Ok(room)) = room else {
        let why = "451 4.3.1 too many large messages are being converted for servers that take 7 bits only";
        return Err(Unfit::Said(Said::Later(why.to_owned())));
    };
    let content = content(body).await.map_err(Unfit::Store)?;
    let prefix = message.prefix.clone();
    let is_fit = match message.envelope.body {
        mail::Body::BinaryMime => seven_bit::is_seven_bit(&content),
        _ => content.is_ascii() && prefix.is_ascii(),
    };
    if is_fit {
        return Ok(Body::seven_bit(prefix, content, room));
    }
    if !prefix.is_ascii() {
        return Err(never(&seven_bit::NoForm::Header));
    }
    let converted = tokio::task::spawn_blocking(move || seven_bit::convert(&content)).await;
    let converted = match converted {
        Ok(Ok(converted)) => converted,
        Ok(Err(why)) => return Err(never(&why)),
        Err(error) => return Err(Unfit::Store(Error::Fault(error.to_string()))),
    };
    let prefix = signed_again(&relay.parts.verify, &prefix, &converted).await.map_err(Unfit::Store)?;
    tracing::info!(host, message = message.id, "converted to 7 bits");
    Ok(Body::seven_bit(prefix, converted, room))
}

/// The bytes behind the prefix.
async fn content(mut body: Body) -> Result<Vec<u8>, Error> {
    // The size is at most MOST.
    let mut bytes = Vec::with_capacity(body.size() as usize);
    body.skip_prefix();
    while let Some(piece) = body.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The lines that we have put before the message, with signatures that fit what it has become. A seal (ARC) cannot be set
/// anew: what it confirms was known only when the message came.
async fn signed_again(verify: &Verify, prefix: &[u8], content: &[u8]) -> Result<Bytes, Error> {
    let mut rest = fixup::remove(prefix, "DKIM-Signature");
    let was_signed = rest.len() < prefix.len();
    for name in ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"] {
        rest = fixup::remove(&rest, name);
    }
    if !was_signed {
        return Ok(rest.into());
    }
    let seen = Observed::new(content, Purpose { verify: false, sign: true }).finish();
    let mut signed = verify.sign(&rest, &seen).await?;
    signed.extend_from_slice(&rest);
    Ok(signed.into())
}
