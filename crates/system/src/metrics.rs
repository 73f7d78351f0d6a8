//! What does `/metrics` say?

use std::net::SocketAddr;

use crate::http::Http;

/// One scrape: every sample with its labels.
pub struct Metrics {
    samples: Vec<(String, f64)>,
}

impl Metrics {
    /// Scrapes the admin listener.
    #[track_caller]
    pub fn scrape(admin: SocketAddr) -> Self {
        let response = Http::get(admin, "/metrics");
        assert_eq!(response.status, 200, "{}", response.text());
        Self::parse(&response.text())
    }

    /// Reads the text format.
    pub fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self { samples: text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect() }
    }

    /// The sum over all samples of `name` whose labels contain every one of `labels` (`why="hit"`).
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let wanted = |sample: &str| {
            let (base, rest) = sample.split_once('{').unwrap_or((sample, ""));
            base == name && labels.iter().all(|label| rest.contains(label))
        };
        self.samples.iter().filter(|(sample, _)| wanted(sample)).map(|(_, value)| value).sum()
    }

    /// All samples of `name`, for a message.
    pub fn shown(&self, name: &str) -> String {
        let of_name = self.samples.iter().filter(|(sample, _)| sample.starts_with(name));
        of_name.map(|(sample, value)| format!("{sample} {value}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let text = "# TYPE a counter\na_total{space=\"x\",why=\"hit\"} 3\na_total{space=\"y\",why=\"hit\"} 4\n\
                    a_total{space=\"y\",why=\"loaded\"} 1\na_total_other 9\nplain 2.5\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a_total", &[]), 8.0);
        assert_eq!(metrics.sum("a_total", &["why=\"hit\""]), 7.0);
        assert_eq!(metrics.sum("a_total", &["space=\"y\"", "why=\"hit\""]), 4.0);
        assert_eq!(metrics.sum("plain", &[]), 2.5);
    }
}
