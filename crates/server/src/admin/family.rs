//! How is a family of metrics written? Its name once, then a sample for each set of labels.

use std::fmt;

use bellwether::HistogramCounts;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Writes families one after another.
pub(super) struct Out<'a>(pub(super) DescriptorEncoder<'a>);

/// One family: samples that differ in their labels.
pub(super) struct Family<'a> {
    encoder: MetricEncoder<'a>,
    kind: MetricType,
}

pub(super) type Labels<'a> = [(&'a str, &'a str)];

impl Out<'_> {
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, samples)
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        samples: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, samples)
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        samples: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, samples)
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, kind)?;
        samples(&mut Family { encoder, kind })
    }
}

impl Family<'_> {
    pub(super) fn one(&mut self, value: u64) -> fmt::Result {
        self.sample(&[], value)
    }

    /// A gauge that is no whole number.
    pub(super) fn fraction(&mut self, labels: &Labels<'_>, value: f64) -> fmt::Result {
        self.labelled(labels, |encoder| encoder.encode_gauge(&value))
    }

    pub(super) fn sample(&mut self, labels: &Labels<'_>, value: u64) -> fmt::Result {
        let kind = self.kind;
        self.labelled(labels, |encoder| match kind {
            MetricType::Counter => encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None),
            _ => encoder.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
        })
    }

    pub(super) fn histogram(&mut self, labels: &Labels<'_>, counts: &HistogramCounts) -> fmt::Result {
        self.labelled(labels, |encoder| {
            encoder.encode_histogram::<NoLabelSet>(counts.sum, counts.count(), &counts.buckets, None)
        })
    }

    fn labelled(
        &mut self,
        labels: &Labels<'_>,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if labels.is_empty() { write(&mut self.encoder) } else { write(&mut self.encoder.encode_family(&labels)?) }
    }
}
