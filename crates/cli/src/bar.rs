//! A progress bar for work that takes longer than a second, on a terminal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bar; gone when the work is done.
pub struct Bar {
    bar: ProgressBar,
    began: Instant,
    shown: AtomicBool,
}

impl Bar {
    /// For doing `what` many times.
    pub fn new(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self {
            bar,
            began: Instant::now(),
            shown: AtomicBool::new(false),
        }
    }

    /// So many are done, of so many.
    pub fn done(&self, count: usize, total: usize) {
        if self.began.elapsed() >= PATIENCE && !self.shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        if count >= total {
            return self.bar.finish_and_clear();
        }
        if self.bar.is_finished() {
            self.bar.reset();
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(count as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
