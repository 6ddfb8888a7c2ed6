//! The connection that hears notifications, and whether it does: one that stands may be deaf all the same. Its
//! server has become a standby, is gone without a word, or a pooler has given it to somebody else.

use std::{sync::atomic::Ordering, time::Duration};

use secrecy::SecretString;
use sqlx::postgres::PgListener;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::bus::ReplicaBus;
use crate::{
    operations::store::{CHANNEL, notify},
    platform::database,
};

/// Pause before the first try to connect anew; it grows while that does not help.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A replica tells itself something so often, and must have heard it within so long.
const ECHO_EVERY: Duration = Duration::from_secs(5);
const ECHO_WITHIN: Duration = Duration::from_secs(2);
/// The most notifications that wait until what they are about is read; the others are found in the table.
const MOST_WAITING: usize = 1024;

/// The reason why notifications are not heard any more.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("this replica does not hear what it tells itself")]
    Unheard,
}

impl ReplicaBus {
    /// Works until `shutdown`, and listens to the other replicas where there can be any.
    pub(in crate::operations) async fn run(self, url: SecretString, shutdown: CancellationToken) {
        let all = async {
            if self.is_alone() {
                self.work().await;
            } else {
                tokio::join!(self.listen(&url), self.work());
            }
        };
        shutdown.run_until_cancelled(Box::pin(all)).await;
    }

    /// Listens for as long as it lives.
    async fn listen(&self, url: &SecretString) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let begun = Instant::now();
            let listened = self.listen_once(url).await;
            self.listening.store(false, Ordering::Relaxed);
            if let Err(error) = listened {
                self.store.metrics.listener_lost();
                tracing::warn!(%error, "the connection for notifications broke; reconnecting");
            }
            if begun.elapsed() > LONGEST_PAUSE {
                pause = SHORTEST_PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn listen_once(&self, url: &SecretString) -> Result<(), Lost> {
        let own_channel = format!("{CHANNEL}_{}", self.store.replica.simple());
        let mut listener = database::listener(url).await?;
        listener.listen_all([CHANNEL, &*own_channel]).await?;
        self.listening.store(true, Ordering::Relaxed);
        let echo = Notify::new();
        let (heard, mut due) = mpsc::channel::<String>(MOST_WAITING);
        let work = async {
            while let Some(payload) = due.recv().await {
                self.hear_text(&payload).await;
            }
        };
        tokio::select! {
            received = receive(&mut listener, &echo, heard) => Ok(received?),
            () = work => Ok(()),
            () = self.unheard(&own_channel, &echo) => Err(Lost::Unheard),
        }
    }

    /// Resolves when this replica does not hear what it tells itself.
    async fn unheard(&self, own_channel: &str, echo: &Notify) {
        let mut renewed = self.store.database.renewed();
        loop {
            tokio::select! {
                () = sleep(ECHO_EVERY) => {}
                () = renewed.next() => {}
            }
            // A database that cannot be told anything says nothing of the connection.
            if notify(&self.store.database, own_channel, "").await.is_ok()
                && timeout(ECHO_WITHIN, echo.notified()).await.is_err()
            {
                return;
            }
        }
    }
}

/// Passes on what is heard of the others, until the connection ends.
async fn receive(
    listener: &mut PgListener,
    echo: &Notify,
    heard: mpsc::Sender<String>,
) -> Result<(), sqlx::Error> {
    while let Some(notification) = listener.try_recv().await? {
        if notification.channel() != CHANNEL {
            echo.notify_one();
        } else if heard.try_send(notification.payload().to_owned()).is_err() {
            tracing::debug!("a notification was dropped: too many wait");
        }
    }
    Ok(())
}
