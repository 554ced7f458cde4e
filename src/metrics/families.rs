//! Figures as Prometheus has them: families, each with its metrics together.
//!
//! It must not know what is counted.

#![expect(clippy::float_arithmetic, reason = "Prometheus speaks in floating-point seconds")]

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram as HistogramProto, LabelPair, Metric, MetricFamily,
    MetricType,
};
use seckill_shards::journal::Histogram;

/// Families under construction, each with its metrics together.
#[derive(Default)]
pub(super) struct Families {
    done: Vec<MetricFamily>,
}

impl Families {
    /// All of them.
    pub(super) fn into_done(self) -> Vec<MetricFamily> {
        self.done
    }

    fn family(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        labels: &[(&str, &str)],
        fill: impl FnOnce(&mut Metric),
    ) {
        let mut metric = Metric::default();
        let pairs = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        metric.set_label(pairs.collect());
        fill(&mut metric);
        if let Some(family) = self.done.iter_mut().find(|family| family.name() == name) {
            family.mut_metric().push(metric);
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(vec![metric]);
        self.done.push(family);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.family((name, help, MetricType::GAUGE), labels, |metric| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        });
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.family((name, help, MetricType::COUNTER), labels, |metric| {
            metric.set_counter(counter(real(value)));
        });
    }

    /// A counter of seconds.
    pub(super) fn seconds(&mut self, name: &str, help: &str, value: f64) {
        self.family((name, help, MetricType::COUNTER), &[], |metric| {
            metric.set_counter(counter(value));
        });
    }

    /// A histogram of durations, in seconds.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        of: &Histogram,
    ) {
        self.scaled(name, help, labels, (of, micro));
    }

    /// A histogram of counts.
    pub(super) fn counts(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        of: &Histogram,
    ) {
        self.scaled(name, help, labels, (of, real));
    }

    fn scaled(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        (of, scale): (&Histogram, fn(u64) -> f64),
    ) {
        let (below, sum) = of.cumulative();
        let count = below.last().map_or(0, |(_, count)| *count);
        let buckets = below.iter().map(|&(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(scale(bound));
            bucket.set_cumulative_count(count);
            bucket
        });
        let buckets = buckets.collect();
        self.family((name, help, MetricType::HISTOGRAM), labels, |metric| {
            let mut histogram = HistogramProto::default();
            histogram.set_bucket(buckets);
            histogram.set_sample_count(count);
            histogram.set_sample_sum(scale(sum));
            metric.set_histogram(histogram);
        });
    }
}

fn counter(value: f64) -> Counter {
    let mut counter = Counter::default();
    counter.set_value(value);
    counter
}

/// What is counted for people.
pub(super) fn load(value: &AtomicU64) -> u64 {
    // Relaxed: only the number counts.
    value.load(Ordering::Relaxed)
}

/// Microseconds as seconds.
pub(super) fn micro(us: u64) -> f64 {
    real(us) / 1e6
}

/// A count as Prometheus has it: exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "figures for people; exact below 2^53")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}
