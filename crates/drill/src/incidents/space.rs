//! Which spaces has the fleet, and what must its servers know?

use std::net::SocketAddr;
use std::time::Duration;

use crate::key::PREFIX;

/// What a request of ours may spend on the shared engine: more than a server's default, so that a busy machine is not
/// taken for a silent engine.
pub(crate) const BUDGET: Duration = Duration::from_millis(200);
/// The same where nobody is silent: a server that takes the engine for silent loads for itself, and where four of them, their
/// engine, their origin and all callers have two processors, an answer takes longer than 200 ms now and then.
pub(crate) const PATIENT: Duration = Duration::from_secs(1);
/// How late a copy in memory is compared with the shared engine.
pub(crate) const RESYNC: Duration = Duration::from_secs(2);
/// A load that takes longer is cut off; nothing in a drill does.
const LOAD_LIMIT: &str = "5s";

/// From so many loads at once on an incident is about these.
const MANY_PERMITS: u64 = 1_000;

/// A family of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// Kept for long.
    Long,
    /// Fresh for a second, then stale for long.
    Short,
    /// Fresh for some seconds, then stale for long, by the defaults otherwise.
    Wave,
    /// Kept for long; its origin names all its keys, for a filter of those that exist.
    Known,
}

impl Space {
    /// The ttl of `Short`.
    pub(crate) const SHORT: Duration = Duration::from_secs(1);
    /// The ttl of `Wave`.
    pub(crate) const WAVE: Duration = Duration::from_secs(8);
    const ALL: [Space; 4] = [Space::Long, Space::Short, Space::Wave, Space::Known];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Space::Long => "long",
            Space::Short => "short",
            Space::Wave => "wave",
            Space::Known => "known",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Space> {
        Space::ALL.into_iter().find(|space| space.name() == name)
    }

    pub(crate) fn ttl(self) -> Duration {
        match self {
            Space::Long | Space::Known => Duration::from_secs(600),
            Space::Short => Space::SHORT,
            Space::Wave => Space::WAVE,
        }
    }

    fn knobs(self) -> &'static str {
        match self {
            Space::Long => "ttl = \"600s\"\n",
            // Made anew every ten seconds.
            Space::Known => "ttl = \"600s\"\nfilter = true\nfilter_hides = \"20s\"\n",
            Space::Wave => "ttl = \"8s\"\ngrace = \"600s\"\n",
            Space::Short => "ttl = \"1s\"\ngrace = \"600s\"\njitter = \"0%\"\nearly = \"off\"\n",
        }
    }
}

/// Where the origin names the keys of `Known`, one a line.
pub(crate) fn list(run: &str) -> String {
    format!("/keys/{run}")
}

/// What a server of the fleet is told: TOML. `listed`: whose keys the origin names, if it does.
pub(crate) fn config(
    origin: SocketAddr,
    permits: u64,
    budget: Duration,
    shared: &str,
    backplane: Option<&str>,
    prefix: &str,
    listed: Option<&str>,
) -> String {
    let (budget, resync) = (budget.as_millis(), RESYNC.as_secs());
    let backplane = backplane.map(|url| format!("backplane = \"{url}\"\n")).unwrap_or_default();
    // Where so many load at once the limit is not what is put to the test: it would follow loads that are slow on purpose.
    let adaptive = permits < MANY_PERMITS;
    let mut text = format!(
        "[shared]\nurl = \"{shared}\"\n{backplane}prefix = \"{prefix}\"\ntimeout = \"{budget}ms\"\nresync = \"{resync}s\"\n\
         \n[origin.drill]\nhttp = \"http://{origin}\"\nmax_concurrency = {permits}\nadaptive = {adaptive}\ntimeout = \"{LOAD_LIMIT}\"\n"
    );
    for space in Space::ALL {
        let (name, knobs) = (space.name(), space.knobs());
        let keys = match (space, listed) {
            (Space::Known, None) => continue,
            (Space::Known, Some(run)) => format!("keys = \"{}\"\n", list(run)),
            _ => String::new(),
        };
        text += &format!(
            "\n[[space]]\nname = \"drill-{name}\"\nmatch = \"{PREFIX}{{run}}:{name}:{{id}}\"\norigin = \"drill\"\n\
             get = \"/{name}/{{run}}/{{id}}\"\ntimeout = \"5s\"\n{keys}{knobs}"
        );
    }
    text
}
