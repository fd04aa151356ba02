//! Work on every core within a budget of memory: key derivations take a tenth of a second and up to hundreds of megabytes each.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// Memory that all jobs together may take. One keystore asks for at most as much (`cluster` sees to that).
const MEMORY_BYTES: u64 = 1 << 30;

/// Told after each job how many are done, of how many; called from several threads.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Does `job` for every item on every core, holding `memory(item)` bytes of the budget meanwhile; results in the order of items.
///
/// After the first failure no further job is begun; the failure that is reported is the first in the order of items among those
/// that happened.
pub fn for_each<T: Sync, R: Send, E: Send>(
    items: &[T],
    memory: impl Fn(&T) -> u64 + Sync,
    job: impl Fn(&T) -> Result<R, E> + Sync,
    progress: Progress<'_>,
) -> Result<Vec<R>, E> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(items.len());
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (failed, budget) = (AtomicBool::new(false), Budget::new(MEMORY_BYTES));
    let work = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else {
                break;
            };
            let held = budget.take(memory(item));
            let result = job(item);
            drop(held);
            match result {
                Ok(_) => progress(finished.fetch_add(1, Ordering::Relaxed) + 1, items.len()),
                Err(_) => failed.store(true, Ordering::Relaxed),
            }
            done.push((position, result));
        }
        done
    };
    let mut results = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |handle: thread::ScopedJoinHandle<'_, Vec<_>>| match handle.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        handles.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    results.sort_by_key(|(position, _)| *position);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Memory that threads share out among themselves.
struct Budget {
    free: Mutex<u64>,
    returned: Condvar,
    total: u64,
}

/// Gives its part back when dropped.
struct Held<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    fn new(total: u64) -> Self {
        Self {
            free: Mutex::new(total),
            returned: Condvar::new(),
            total,
        }
    }

    /// Waits until the part is free; who asks for more than there is gets everything.
    fn take(&self, bytes: u64) -> Held<'_> {
        let bytes = bytes.min(self.total);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .returned
            .wait_while(free, |free| *free < bytes)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Held {
            budget: self,
            bytes,
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self
            .budget
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn results_keep_their_order_and_every_one_is_told() {
        let items: Vec<usize> = (0..50).collect();
        let told = Mutex::new(Vec::new());
        let double = |item: &usize| Ok::<_, ()>(item * 2);
        let progress = |done, _| told.lock().unwrap().push(done);
        let results = for_each(&items, |_| 1, double, &progress).unwrap();
        assert!(
            results
                .iter()
                .enumerate()
                .all(|(index, result)| *result == index * 2)
        );
        let mut told = told.into_inner().unwrap();
        told.sort_unstable();
        assert_eq!(told, (1..=50).collect::<Vec<_>>());
    }

    #[test]
    fn a_failure_ends_the_work() {
        let items: Vec<usize> = (0..100).collect();
        let fail = |item: &usize| if *item == 3 { Err("third") } else { Ok(()) };
        assert_eq!(for_each(&items, |_| 1, fail, &|_, _| ()), Err("third"));
    }

    #[test]
    fn budget_is_never_overdrawn() {
        let (budget, used, most) = (Budget::new(10), Mutex::new(0), Mutex::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for bytes in [3, 7, 20] {
                        let held = budget.take(bytes);
                        let mut used_now = used.lock().unwrap();
                        *used_now += held.bytes;
                        let mut most = most.lock().unwrap();
                        *most = (*most).max(*used_now);
                        drop((used_now, most));
                        *used.lock().unwrap() -= held.bytes;
                    }
                });
            }
        });
        assert!(*most.lock().unwrap() <= 10);
        assert_eq!(*budget.free.lock().unwrap(), 10);
    }
}
