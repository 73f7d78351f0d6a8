//! What does a scrape of `/metrics` say? Samples by name and labels, and what they rose by since the one before.

/// One scrape.
#[derive(Default)]
pub(super) struct Scrape(Vec<Sample>);

#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    /// A line of OpenMetrics text; `None`: a comment, or nothing that is understood.
    fn parse(line: &str) -> Option<Sample> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        if name.is_empty() || name.starts_with('#') {
            return None;
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Sample { name: name.to_owned(), labels, value })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name && labels.iter().all(|(label, value)| self.label(label) == Some(value))
    }
}

/// `a="b",c="d"} rest`: the labels, and the rest.
fn labels(mut text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches(',');
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let (mut value, mut escaped) = (String::new(), false);
        let end = rest.char_indices().find_map(|(at, letter)| {
            match (escaped, letter) {
                (false, '\\') => {
                    escaped = true;
                    return None;
                }
                (false, '"') => return Some(at),
                (true, 'n') => value.push('\n'),
                _ => value.push(letter),
            }
            escaped = false;
            None
        })?;
        labels.push((name.to_owned(), value));
        text = &rest[end + 1..];
    }
}

impl Scrape {
    pub(super) fn parse(text: &str) -> Scrape {
        Scrape(text.lines().filter_map(Sample::parse).collect())
    }

    /// The sum of all samples of this name that have these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.0.iter().filter(|sample| sample.has(name, labels)).map(|sample| sample.value).sum()
    }

    /// The same, if there is such a sample.
    pub(super) fn one(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.0.iter().find(|sample| sample.has(name, labels)).map(|sample| sample.value)
    }

    /// The values that a label has where the sample's value fits, in the order in which they are told.
    pub(super) fn values(&self, name: &str, label: &str, fits: impl Fn(f64) -> bool) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.name == name && fits(sample.value)) {
            let value = sample.label(label).unwrap_or_default();
            if !values.iter().any(|known| known == value) {
                values.push(value.to_owned());
            }
        }
        values
    }

    /// By how much the samples of this name and these labels rose since `before`, by the value of one of their labels. A
    /// server that was started since begins at nothing.
    pub(super) fn rose(&self, before: &Scrape, name: &str, labels: &[(&str, &str)], by: &str) -> Vec<(String, f64)> {
        let mut all: Vec<(String, f64)> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.has(name, labels)) {
            let same = before.0.iter().find(|old| old.name == sample.name && old.labels == sample.labels);
            let old = same.map_or(0.0, |old| old.value);
            let rise = if sample.value < old { sample.value } else { sample.value - old };
            let value = sample.label(by).unwrap_or_default();
            match all.iter_mut().find(|(known, _)| known == value) {
                Some((_, sum)) => *sum += rise,
                None => all.push((value.to_owned(), rise)),
            }
        }
        all
    }

    /// The bound of the bucket in which this share of what a histogram counted since `before` lies, in seconds; `None` where
    /// nothing was counted.
    pub(super) fn quantile(&self, before: &Scrape, name: &str, labels: &[(&str, &str)], share: f64) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> = self
            .rose(before, &format!("{name}_bucket"), labels, "le")
            .into_iter()
            .filter_map(|(bound, count)| {
                Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }, count))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = buckets.last().filter(|(_, all)| *all > 0.0)?.1;
        buckets.into_iter().find(|(_, count)| *count >= all * share).map(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE a counter\na_total{space=\"x\\\"y}, \\\\n\",why=\"hit\"} 3\na_total{space=\"z\",why=\"hit\"} 4.5 17\n\
                        b 2\nh_bucket{le=\"0.1\",space=\"x\"} 9\nh_bucket{le=\"1.0\",space=\"x\"} 10\n\
                        h_bucket{le=\"+Inf\",space=\"x\"} 10\nbroken{a=\"\n";

    #[test]
    fn samples_are_read_with_their_labels_whatever_stands_in_them() {
        let scrape = Scrape::parse(TEXT);
        assert_eq!(scrape.sum("a_total", &[("why", "hit")]), 7.5);
        assert_eq!(scrape.values("a_total", "space", |_| true), ["x\"y}, \\n", "z"]);
        assert_eq!((scrape.one("b", &[]), scrape.one("broken", &[])), (Some(2.0), None));
    }

    #[test]
    fn what_counts_rose_by_is_told_and_a_server_that_was_started_anew_begins_at_nothing() {
        let (before, now) =
            (Scrape::parse("a{x=\"1\"} 5\na{x=\"2\"} 9\n"), Scrape::parse("a{x=\"1\"} 8\na{x=\"2\"} 2\n"));
        assert_eq!(now.rose(&before, "a", &[], "x"), [("1".to_owned(), 3.0), ("2".to_owned(), 2.0)]);
        let (none, some) = (Scrape::default(), Scrape::parse(TEXT));
        let quantile = |before: &Scrape, share| some.quantile(before, "h", &[("space", "x")], share);
        assert_eq!((quantile(&none, 0.5), quantile(&none, 0.99)), (Some(0.1), Some(1.0)));
        assert_eq!(quantile(&some, 0.5), None, "nothing came since");
    }
}
