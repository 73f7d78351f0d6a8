//! What is measured? A closed list of figures: each with its heading, its name in files and its unit.

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Number,
    /// How many a second.
    PerSecond,
    /// Milliseconds.
    Time,
    /// Part of a whole: 1 is all of it.
    Share,
}

/// What a run is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Loads that reached the origin.
    Loads,
    /// Loads of a key between one time that none was under way and the next.
    LoadsPerPeriod,
    /// The most loads that began within one second.
    PeakLoads,
    /// Loads in the time of trouble / loads before it.
    Amplification,
    /// Loads of the origin a second, over the run.
    OriginRate,
    /// Reads of the shared tier a second, while the incident lasts.
    SharedReads,
    /// From the start of a spike until every instance treats the key as hot.
    Detected,
    /// From the start of a spike until half of the instances do.
    DetectedByHalf,
    /// From the start until 99 of 100 requests are hits.
    Filled,
    /// The share of requests for the hot set that are hits during the attack / before it.
    HotHits,
    /// The busiest node's load / the mean of the living ones.
    NodeLoad,
    /// Nodes that were lost, the one that died included.
    NodesLost,
    /// Requests that waited longer for a node than the scenario puts up with.
    Slow,
    /// Keys treated as hot that were not.
    FalseAlarms,
    /// Memory of the filter per key that exists.
    BitsPerKey,
    /// Requests that got a value, a second / what the origin bears.
    Goodput,
    /// Share of the critical requests that got a value.
    Critical,
    /// Share of requests that got a value.
    Answered,
    /// From the end of the trouble until answers are fresh again; infinite: not within the run.
    Recovered,
    /// Loads / loads that nothing can avoid.
    LoadsRatio,
    /// Requests that waited for a load.
    Blocked,
    /// Requests that got nothing.
    Failed,
    /// The same, counted.
    Failures,
    /// Share of requests answered with a stale value.
    Stale,
    /// Of 1,000 requests 999 waited at most so long.
    WaitP999,
    /// The longest wait.
    WaitMax,
    /// The longest that an answer was past its ttl.
    Oldest,
    /// Answers older than a removal that had been answered before they were asked for.
    Older,
    /// Questions to the shared tier by those who lead a load or wait for another's.
    Polls,
    /// The most loads that the origin had at once, those that wait there included.
    PeakAtOrigin,
    /// Requests of the run.
    Requests,
    /// Loads given up or not answered.
    LoadsFailed,
    /// Median wait.
    WaitP50,
    /// 99 of 100 requests waited at most so long.
    WaitP99,
}

impl Figure {
    /// Every figure, in the order of a file's columns.
    pub const ALL: [Figure; 34] = [
        Figure::Loads,
        Figure::LoadsPerPeriod,
        Figure::PeakLoads,
        Figure::Amplification,
        Figure::OriginRate,
        Figure::SharedReads,
        Figure::Detected,
        Figure::DetectedByHalf,
        Figure::Filled,
        Figure::HotHits,
        Figure::NodeLoad,
        Figure::NodesLost,
        Figure::Slow,
        Figure::FalseAlarms,
        Figure::BitsPerKey,
        Figure::Goodput,
        Figure::Critical,
        Figure::Answered,
        Figure::Recovered,
        Figure::LoadsRatio,
        Figure::Blocked,
        Figure::Failed,
        Figure::Failures,
        Figure::Stale,
        Figure::WaitP999,
        Figure::WaitMax,
        Figure::Oldest,
        Figure::Older,
        Figure::Polls,
        Figure::PeakAtOrigin,
        Figure::Requests,
        Figure::LoadsFailed,
        Figure::WaitP50,
        Figure::WaitP99,
    ];

    /// Heading of a column, for people.
    pub const fn heading(self) -> &'static str {
        self.words().0
    }

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        self.words().1
    }

    /// How it is written.
    pub const fn unit(self) -> Unit {
        self.words().2
    }

    const fn words(self) -> (&'static str, &'static str, Unit) {
        match self {
            Figure::Loads => ("loads", "loads", Unit::Number),
            Figure::LoadsPerPeriod => ("loads per period", "loads_per_period", Unit::Number),
            Figure::PeakLoads => ("peak loads in 1 s", "peak_loads_1s", Unit::Number),
            Figure::Amplification => ("amplification", "amplification", Unit::Number),
            Figure::OriginRate => ("origin queries/s", "origin_queries_per_s", Unit::PerSecond),
            Figure::SharedReads => ("shared-tier reads/s", "shared_reads_per_s", Unit::PerSecond),
            Figure::Detected => ("found by all instances after", "detected_ms", Unit::Time),
            Figure::DetectedByHalf => ("found by half the instances after", "detected_by_half_ms", Unit::Time),
            Figure::Filled => ("time to 99 % hits", "filled_ms", Unit::Time),
            Figure::HotHits => ("hot set's hits", "hot_hits_kept", Unit::Share),
            Figure::NodeLoad => ("busiest node x mean", "node_load", Unit::Number),
            Figure::NodesLost => ("nodes lost", "nodes_lost", Unit::Number),
            Figure::Slow => ("slow requests", "slow", Unit::Number),
            Figure::FalseAlarms => ("false alarms", "false_alarms", Unit::Number),
            Figure::BitsPerKey => ("bits per key", "bits_per_key", Unit::Number),
            Figure::Goodput => ("goodput", "goodput_share", Unit::Share),
            Figure::Critical => ("critical answered", "critical_answered", Unit::Share),
            Figure::Answered => ("answered", "answered", Unit::Share),
            Figure::Recovered => ("recovered after", "recovered_ms", Unit::Time),
            Figure::LoadsRatio => ("x due", "loads_x_due", Unit::Number),
            Figure::Blocked => ("blocked", "blocked", Unit::Number),
            Figure::Failed => ("failed", "failed_share", Unit::Share),
            Figure::Failures => ("failures", "failed", Unit::Number),
            Figure::Stale => ("stale", "stale_share", Unit::Share),
            Figure::WaitP999 => ("p99.9 wait", "wait_p999_ms", Unit::Time),
            Figure::WaitMax => ("longest wait", "wait_max_ms", Unit::Time),
            Figure::Oldest => ("oldest past ttl", "oldest_past_ttl_ms", Unit::Time),
            Figure::Older => ("older than a removal", "older_than_a_removal", Unit::Number),
            Figure::Polls => ("polls", "polls", Unit::Number),
            Figure::PeakAtOrigin => ("most at the origin", "peak_at_origin", Unit::Number),
            Figure::Requests => ("requests", "requests", Unit::Number),
            Figure::LoadsFailed => ("loads failed", "loads_failed", Unit::Number),
            Figure::WaitP50 => ("median wait", "wait_p50_ms", Unit::Time),
            Figure::WaitP99 => ("p99 wait", "wait_p99_ms", Unit::Time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_listed_once_and_no_two_share_a_name() {
        assert!(Figure::ALL.is_sorted(), "the order of the list is that of the columns");
        let mut names: Vec<&str> = Figure::ALL.map(Figure::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Figure::ALL.len());
    }
}
