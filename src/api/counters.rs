//! What was answered, counted per core: plain numbers, for whoever exports them.
//!
//! It must not know Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};

use super::problem::{Problem, Slug};
use super::reply::Reply;

/// One core's counts. Only that core writes, so nothing is contended; anyone may read.
#[derive(Debug)]
pub struct Counters {
    positive: AtomicU64,
    negative: [AtomicU64; Slug::ALL.len()],
    /// Connections that were taken.
    pub connections_opened: AtomicU64,
    /// Connections that have ended.
    pub connections_closed: AtomicU64,
    /// Connections that the sweep ended: too slow, or idle for too long.
    pub connections_overdue: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            positive: zero(),
            negative: std::array::from_fn(|_| zero()),
            connections_opened: zero(),
            connections_closed: zero(),
            connections_overdue: zero(),
        }
    }
}

impl Counters {
    pub(super) fn count(&self, answer: &Result<Reply, Problem>) {
        let counter = match answer {
            Ok(_) => &self.positive,
            Err(problem) => &self.negative[problem.slug.index()],
        };
        add_one(counter);
    }

    pub(super) fn count_positive(&self) {
        add_one(&self.positive);
    }

    /// What only grows: name, meaning, count.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let opened = load(&self.connections_opened);
        let overdue = load(&self.connections_overdue);
        let panics = self.negative(Slug::Internal);
        [
            ("seckill_http_answers_total", "Requests answered well", load(&self.positive)),
            ("seckill_http_panics_total", "Requests whose handler panicked or met a bug", panics),
            ("seckill_http_connections_total", "Connections taken", opened),
            ("seckill_http_overdue_total", "Connections ended for taking too long", overdue),
        ]
        .into_iter()
    }

    /// What goes up and down: name, meaning, value.
    pub fn gauges(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let closed = self.connections_closed.load(Ordering::Relaxed);
        let opened = self.connections_opened.load(Ordering::Relaxed);
        let open = opened.saturating_sub(closed);
        [("seckill_http_connections", "Connections that are open", open)].into_iter()
    }

    /// Requests answered with this problem.
    #[must_use]
    pub fn negative(&self, slug: Slug) -> u64 {
        self.negative[slug.index()].load(Ordering::Relaxed)
    }
}

/// Counts one more on a counter that this thread alone writes.
pub fn add_one(counter: &AtomicU64) {
    // Relaxed, and no read-modify-write: there is one writer, and a count carries no other data.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
