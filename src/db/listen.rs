//! The one connection on which a node is told of changes.
//!
//! A bell carries at most ids; whoever hears it looks at the tables. After a lost connection everything may have
//! changed, which [`Bell::Gap`] says. A listener that fell behind hears `Gap` as well.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::broadcast;
use tokio_postgres::AsyncMessage;

use super::Target;

/// Something has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bell {
    /// Settings or directory.
    Control,
    /// Somebody deleted rows of `live.session`.
    Session,
    /// A mailbox.
    Mailbox {
        /// Its account.
        account: i64,
        /// Its id.
        mailbox: i64,
        /// Where it was changed.
        by: By,
    },
    /// The queue.
    Queue,
    /// Bells may have been missed: look at everything.
    Gap,
}

/// Who has changed a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This node, which has marked it already.
    Us,
    /// Another node, or a person with SQL.
    Others,
}

impl Bell {
    fn parse(channel: &str, payload: &str) -> Bell {
        match channel {
            "control" if payload == "session" => Bell::Session,
            "control" => Bell::Control,
            "queue" => Bell::Queue,
            "store" => match payload.split_once(':').map(|(a, m)| (a.parse(), m.parse())) {
                Some((Ok(account), Ok(mailbox))) => Bell::Mailbox { account, mailbox, by: By::Others },
                _ => Bell::Gap,
            },
            _ => Bell::Gap,
        }
    }
}

/// Where bells are heard; each receiver hears all. A receiver that lags treats that as [`Bell::Gap`].
#[derive(Clone)]
pub struct Bells(broadcast::Sender<Bell>);

impl Default for Bells {
    fn default() -> Self {
        Self(broadcast::channel(4096).0)
    }
}

impl Bells {
    /// A new ear.
    pub fn listen(&self) -> Ear {
        Ear(self.0.subscribe())
    }

    /// Rings for this node, without the database.
    pub fn ring(&self, bell: Bell) {
        // Nobody listening is no fault: whoever starts to listen looks first.
        self.0.send(bell).ok();
    }

    /// Listens on its own connection until the task is aborted, and connects again after every loss.
    pub async fn follow(self, target: Target) {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.follow_once(&target, &mut pause).await {
                Ok(()) => tracing::warn!("the notification connection ended"),
                Err(error) => tracing::warn!(%error, "the notification connection is lost"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn follow_once(&self, target: &Target, pause: &mut Duration) -> Result<(), tokio_postgres::Error> {
        let (client, mut connection) = target.config().connect(target.connector()).await?;
        let mut listen = Some(client.batch_execute("listen control; listen store; listen queue").boxed());
        poll_fn(|cx| {
            loop {
                match connection.poll_message(cx) {
                    Poll::Ready(Some(Ok(AsyncMessage::Notification(n)))) => {
                        self.ring(Bell::parse(n.channel(), n.payload()))
                    }
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => {
                        // The connection has to be driven for LISTEN to be sent and answered.
                        let Some(answer) = &mut listen else { return Poll::Pending };
                        let Poll::Ready(outcome) = answer.poll_unpin(cx) else { return Poll::Pending };
                        listen = None;
                        outcome?;
                        *pause = Duration::from_millis(50);
                        self.ring(Bell::Gap);
                    }
                }
            }
        })
        .await
    }
}

/// Hears the bells.
pub struct Ear(broadcast::Receiver<Bell>);

impl Ear {
    /// The next bell; pending for ever when there will be none.
    pub async fn next(&mut self) -> Bell {
        match self.0.recv().await {
            Ok(bell) => bell,
            Err(broadcast::error::RecvError::Lagged(_)) => Bell::Gap,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
