//! Threads for what takes a core: signing, checking, combining. One pool serves all clusters of a process.
//!
//! The async tasks of the shell must never compute for milliseconds, and the pure rooms never start threads; this is where both
//! meet. The queue is bounded: when it is full the caller hears so at once and decides what to give up. What the jobs of a duty
//! mean is told in [`jobs`].

pub mod jobs;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use tokio::sync::oneshot;

/// Jobs that may wait. A duty makes a handful, so that this many waiting means that the machine is too slow by far.
pub const QUEUE_LIMIT: usize = 1024;

/// Smaller requests are not worth a second thread: signing one root takes about a third of a millisecond.
const CHUNK_MIN: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// [`QUEUE_LIMIT`] jobs wait already.
    #[error("{QUEUE_LIMIT} jobs wait for the worker threads already")]
    Busy,
    /// The job panicked, which is a bug of ours.
    #[error("a worker thread's job failed")]
    Failed,
}

/// A handle to the pool. Its threads end when the last handle is gone.
#[derive(Clone, Debug)]
pub struct Workers {
    queue: SyncSender<Job>,
    threads: usize,
}

impl Workers {
    /// One thread per available core.
    pub fn start() -> io::Result<Self> {
        Self::with_threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// A pool of a chosen size.
    pub fn with_threads(threads: NonZeroUsize) -> io::Result<Self> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE_LIMIT);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.get() {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || work(&jobs))?;
        }
        Ok(Self {
            queue,
            threads: threads.get(),
        })
    }

    /// Runs `job` on a worker thread; its result comes through the receiver.
    pub async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, WorkError> {
        let (answer, wait) = oneshot::channel();
        self.submit(move || {
            // Nobody waits any more: the duty has ended meanwhile.
            let _ = answer.send(job());
        })?;
        wait.await.map_err(|_| WorkError::Failed)
    }

    /// Applies `work` to parts of `items` on as many threads as are worth it; results come in the order of `items`, as long as
    /// `work` gives one result per item in order.
    pub async fn run_split<T, R>(
        &self,
        mut items: Vec<T>,
        work: impl Fn(Vec<T>) -> Vec<R> + Send + Sync + 'static,
    ) -> Result<Vec<R>, WorkError>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        let work = Arc::new(work);
        let size = items.len().div_ceil(self.threads).max(CHUNK_MIN);
        let mut parts = Vec::new();
        while !items.is_empty() {
            let rest = items.split_off(size.min(items.len()));
            let part = std::mem::replace(&mut items, rest);
            let work = Arc::clone(&work);
            let (answer, wait) = oneshot::channel();
            self.submit(move || {
                // Nobody waits any more: the duty has ended meanwhile.
                let _ = answer.send(work(part));
            })?;
            parts.push(wait);
        }
        let mut results = Vec::new();
        for part in parts {
            results.extend(part.await.map_err(|_| WorkError::Failed)?);
        }
        Ok(results)
    }

    fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), WorkError> {
        self.queue
            .try_send(Box::new(job))
            .map_err(|error| match error {
                TrySendError::Full(_) => WorkError::Busy,
                TrySendError::Disconnected(_) => WorkError::Failed,
            })
    }
}

/// A thread's life. A job that panics takes its answer with it, which its caller notices; the thread goes on for the others.
fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a job on a worker thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;
    use std::sync::Barrier;

    use super::*;

    fn pool(threads: usize) -> Workers {
        Workers::with_threads(NonZeroUsize::new(threads).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn large_request_is_split_over_threads_and_keeps_its_order() {
        // Both halves meet at the barrier: one thread alone would wait there for ever.
        let meet = Arc::new(Barrier::new(2));
        let work = move |part: Vec<u64>| {
            meet.wait();
            part.into_iter()
                .map(|number| (number * 2, thread::current().id()))
                .collect()
        };
        let results = pool(2).run_split((0..64).collect(), work).await.unwrap();
        assert!(
            results
                .iter()
                .map(|(number, _)| *number)
                .eq((0..64).map(|number| number * 2))
        );
        assert_eq!(
            results
                .iter()
                .map(|(_, thread)| format!("{thread:?}"))
                .collect::<BTreeSet<_>>()
                .len(),
            2
        );
    }

    #[tokio::test]
    async fn small_request_stays_on_one_thread() {
        let calls = pool(2)
            .run_split(vec![1, 2, 3], |part: Vec<i32>| vec![part.len()])
            .await
            .unwrap();
        assert_eq!(calls, vec![3]);
        assert_eq!(
            pool(2).run_split(Vec::<i32>::new(), |part| part).await,
            Ok(Vec::new())
        );
    }

    #[tokio::test]
    async fn panicking_job_is_an_error_and_the_pool_lives_on() {
        let workers = pool(1);
        let result = workers.run(|| assert_eq!(1, 2, "on purpose")).await;
        assert_eq!(result, Err(WorkError::Failed));
        assert_eq!(workers.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn full_queue_is_told_at_once() {
        let workers = pool(1);
        let (hold, held) = mpsc::sync_channel::<()>(0);
        let (start, started) = mpsc::sync_channel::<()>(0);
        workers
            .submit(move || {
                start.send(()).unwrap();
                held.recv().unwrap();
            })
            .unwrap();
        started.recv().unwrap();
        for _ in 0..QUEUE_LIMIT {
            workers.submit(|| {}).unwrap();
        }
        assert_eq!(workers.run(|| 7).await, Err(WorkError::Busy));
        hold.send(()).unwrap();
    }
}
