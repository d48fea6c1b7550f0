//! The gate before expensive work: password hashing takes tens of milliseconds of a core and must neither run
//! on the threads that serve connections, nor take every core for minutes because many log in at once.

use std::{num::NonZeroUsize, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task, time,
};

/// How many may wait for each one that works. A hash was measured at 40 ms on an idle core and 80 ms on a busy
/// one, so the last of them waits three to five seconds.
const WAITING_PER_WORKER: usize = 64;
/// How long one waits: shorter than any client's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets as many pieces of work run as there are cores, as many wait as fit a bounded queue, and turns away
/// the rest. One for the whole process; clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Room in the queue, those at work included.
    room: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    patience: Duration,
}

/// The work was not done. The first two are answered as a temporary failure, and not counted as a failed
/// login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many are waiting.
    #[error("too many logins at once; try again later")]
    QueueFull,
    /// It waited its time and did not come to its turn.
    #[error("the server is too busy to check the login; try again later")]
    WaitedTooLong,
    /// The work itself failed: a bug, or the server is stopping.
    #[error("checking the login was broken off")]
    BrokenOff,
}

impl Gate {
    /// A gate for this machine.
    pub fn new() -> Self {
        let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with(workers, workers * WAITING_PER_WORKER, PATIENCE)
    }

    /// A gate that lets `workers` work and `waiting` wait, each for `patience`.
    pub fn with(workers: usize, waiting: usize, patience: Duration) -> Self {
        Self {
            room: Arc::new(Semaphore::new(workers + waiting)),
            workers: Arc::new(Semaphore::new(workers)),
            patience,
        }
    }

    /// Does the work on a thread of its own. Dropped while it waits, it leaves the queue; dropped while it
    /// works, the work goes on to its end, unheard, and holds its place until then.
    ///
    /// # Errors
    /// When it was not done.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Busy::QueueFull)?;
        let worker: OwnedSemaphorePermit =
            time::timeout(self.patience, Arc::clone(&self.workers).acquire_owned())
                .await
                .map_err(|_| Busy::WaitedTooLong)?
                .map_err(|_| Busy::BrokenOff)?;
        task::spawn_blocking(move || {
            let _held = (room, worker);
            work()
        })
        .await
        .map_err(|_| Busy::BrokenOff)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    /// Work that begins, says so, and ends when told to.
    fn held(gate: &Gate) -> (mpsc::Sender<()>, task::JoinHandle<Result<(), Busy>>) {
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let gate = gate.clone();
        let task = tokio::spawn(async move {
            gate.run(move || {
                begin.send(()).unwrap();
                let _ = ended.recv();
            })
            .await
        });
        begun.recv_timeout(LONG).unwrap();
        (end, task)
    }

    #[test]
    fn turns_away_when_the_queue_is_full() {
        runtime().block_on(async {
            let gate = Gate::with(1, 0, LONG);
            let (end, task) = held(&gate);
            assert_eq!(gate.run(|| ()).await, Err(Busy::QueueFull));
            drop(end);
            assert_eq!(task.await.unwrap(), Ok(()));
            assert_eq!(gate.run(|| 7).await, Ok(7));
        });
    }

    #[test]
    fn waits_no_longer_than_its_patience() {
        runtime().block_on(async {
            let gate = Gate::with(1, 1, Duration::from_millis(10));
            let (end, task) = held(&gate);
            assert_eq!(gate.run(|| ()).await, Err(Busy::WaitedTooLong));
            drop(end);
            assert_eq!(task.await.unwrap(), Ok(()));
        });
    }

    #[test]
    fn waits_for_its_turn() {
        runtime().block_on(async {
            let gate = Gate::with(1, 1, LONG);
            let (end, task) = held(&gate);
            let waiting = gate.run(|| 7);
            let release = async move { drop(end) };
            assert_eq!(tokio::join!(waiting, release).0, Ok(7));
            assert_eq!(task.await.unwrap(), Ok(()));
        });
    }

    #[test]
    fn work_that_nobody_awaits_keeps_its_place() {
        runtime().block_on(async {
            let gate = Gate::with(1, 0, LONG);
            let (end, task) = held(&gate);
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(gate.run(|| ()).await, Err(Busy::QueueFull));
            drop(end);
            let _room = time::timeout(LONG, gate.room.acquire()).await.unwrap().unwrap();
        });
    }

    #[test]
    fn a_panic_gives_the_place_back() {
        runtime().block_on(async {
            let gate = Gate::with(1, 0, LONG);
            assert_eq!(gate.run(|| panic!("at work")).await, Err::<(), _>(Busy::BrokenOff));
            assert_eq!(gate.run(|| 7).await, Ok(7));
        });
    }
}
