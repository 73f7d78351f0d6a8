//! Which pages are there, how may each be asked for, and what stands behind its path?

use hyper::Method;

/// A page of the admin listener, or something that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// All that is there, for people.
    Index,
    /// Counters, in OpenMetrics text.
    Metrics,
    /// Whether the process runs.
    Live,
    /// Whether it takes requests.
    Ready,
    /// The origins' guards.
    Origins,
    /// How a read of a key would be answered.
    Explain,
    /// Keys that draw more than their share.
    Hotkeys,
    /// The largest values in memory.
    Bigkeys,
    /// Keys of which somebody said that they will be hot.
    Announced,
    /// Says so of a key, or takes it back.
    Announce,
    /// Which values stop being fresh when.
    Forecast,
    /// What is read most, as kept for the next start.
    Hotlist,
    /// The keys that a space's origin names.
    Keys,
    /// Keys that do not exist, and who asks for them.
    Penetration,
    /// Invalidations that the shared tier does not know yet.
    Dlq,
    /// Tells the shared tier again.
    DlqRetry,
    /// Gives up telling it.
    DlqDrop,
    /// Loads keys.
    Warm,
}

/// What stands behind a page's path and a `/`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    /// A key or a space, percent-encoded.
    Name,
    /// One, or all are meant.
    PerhapsName,
}

impl Page {
    /// All of them.
    pub const ALL: [Page; 18] = [
        Page::Index,
        Page::Metrics,
        Page::Live,
        Page::Ready,
        Page::Origins,
        Page::Explain,
        Page::Hotkeys,
        Page::Bigkeys,
        Page::Announced,
        Page::Announce,
        Page::Forecast,
        Page::Hotlist,
        Page::Keys,
        Page::Penetration,
        Page::Dlq,
        Page::DlqRetry,
        Page::DlqDrop,
        Page::Warm,
    ];

    /// Where it is; a name may follow behind a `/`.
    pub const fn path(self) -> &'static str {
        match self {
            Page::Index => "/",
            Page::Metrics => "/metrics",
            Page::Live => "/livez",
            Page::Ready => "/readyz",
            Page::Origins => "/api/origins",
            Page::Explain => "/api/explain",
            Page::Hotkeys => "/api/hotkeys",
            Page::Bigkeys => "/api/bigkeys",
            Page::Announced | Page::Announce => "/api/hot/announce",
            Page::Forecast => "/api/forecast",
            Page::Hotlist => "/api/hotlist",
            Page::Keys => "/api/keys",
            Page::Penetration => "/api/penetration",
            Page::Dlq => "/api/dlq",
            Page::DlqRetry => "/api/dlq/retry",
            Page::DlqDrop => "/api/dlq/drop",
            Page::Warm => "/api/warm",
        }
    }

    /// By which methods it is asked for.
    pub(super) const fn methods(self) -> &'static str {
        match self {
            Page::Announce => "POST, DELETE",
            Page::DlqRetry | Page::DlqDrop | Page::Warm => "POST",
            // Its answer is made for whoever reads it.
            Page::Keys => "GET",
            _ => "GET, HEAD",
        }
    }

    pub(super) fn allows(self, method: &Method) -> bool {
        self.methods().split(", ").any(|allowed| allowed == method.as_str())
    }

    /// The page of a path, and the name behind it.
    pub(super) fn of(path: &str) -> Option<(Page, Option<&str>)> {
        Page::ALL.into_iter().find_map(|page| Some((page, page.behind(path)?)))
    }

    fn behind(self, path: &str) -> Option<Option<&str>> {
        let rest = path.strip_prefix(self.path())?;
        let takes = match self {
            Page::Explain | Page::Announce | Page::Keys => Behind::Name,
            Page::DlqRetry | Page::DlqDrop => Behind::PerhapsName,
            _ => Behind::Nothing,
        };
        match (rest.is_empty(), takes) {
            (true, Behind::Nothing | Behind::PerhapsName) => Some(None),
            (false, Behind::Name | Behind::PerhapsName) => rest.strip_prefix('/').map(Some),
            (true, Behind::Name) | (false, Behind::Nothing) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_page_and_what_stands_behind_it() {
        for page in Page::ALL {
            let (path, named) = (page.path(), format!("{}/a%2Fb/c", page.path()));
            let found = [Page::of(path), Page::of(&named)];
            assert!(found.into_iter().flatten().any(|(found, _)| found == page), "{page:?}");
        }
        for (path, page) in [
            ("/", Some((Page::Index, None))),
            ("/api/hot/announce", Some((Page::Announced, None))),
            ("/api/hot/announce/", Some((Page::Announce, Some("")))),
            ("/api/hot/announce/a/b", Some((Page::Announce, Some("a/b")))),
            ("/api/dlq", Some((Page::Dlq, None))),
            ("/api/dlq/retry", Some((Page::DlqRetry, None))),
            ("/api/dlq/retry/", Some((Page::DlqRetry, Some("")))),
            ("/api/dlq/drop/k", Some((Page::DlqDrop, Some("k")))),
            ("/api/dlq/retryk", None),
            ("/api/explain", None),
            ("/api/metrics", None),
            ("/metrics/", None),
            ("", None),
        ] {
            assert_eq!(Page::of(path), page, "{path}");
        }
        assert!(Page::Metrics.allows(&Method::HEAD) && !Page::Metrics.allows(&Method::POST));
        assert!(Page::Announce.allows(&Method::DELETE) && !Page::Announce.allows(&Method::GET));
    }
}
