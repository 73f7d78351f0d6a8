//! Which rule of the shell is broken on purpose? All of them hold in production.

/// A rule that the engine follows around the core. Broken one at a time, each must be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What lands is compared with the floors: a value loaded before an invalidation is not kept.
    Fence,
    /// An invalidation overtakes the loads that read now: nobody joins them any more.
    Overtake,
    /// A follower who came after the invalidation of a tag does not take what was loaded before it.
    Outdated,
    /// ... whichever invalidation it was: a younger one must not hide that an older one came first.
    EveryInvalidation,
    /// A caller looks again under the key's lock before it joins or leads.
    Recheck,
    /// So does a background refresh.
    RefreshRecheck,
    /// No load without a permit of the origin's guard.
    Permit,
    /// A key that cools down is not loaded.
    Cool,
    /// Only a success, an invalidation or a refresh ends the memory of a failure; a load that was
    /// shed, aborted or overtaken says nothing of it.
    CoolKept,
    /// A load outlives the caller that started it.
    Detached,
    /// A permit comes back however its load ends.
    Release,
    /// Of two loads side by side the newer stays.
    Supersede,
    /// A successor waits for its turn.
    Park,
    /// A caller waits no longer than its own deadline.
    Deadline,
    /// A load is cut off at the origin's timeout.
    Timeout,
    /// An answer that is for one caller alone is not handed to its followers.
    Private,
}

impl Rule {
    /// Every rule.
    pub const ALL: &'static [Rule] = &[
        Rule::Fence,
        Rule::Overtake,
        Rule::Outdated,
        Rule::EveryInvalidation,
        Rule::Recheck,
        Rule::RefreshRecheck,
        Rule::Permit,
        Rule::Cool,
        Rule::CoolKept,
        Rule::Detached,
        Rule::Release,
        Rule::Supersede,
        Rule::Park,
        Rule::Deadline,
        Rule::Timeout,
        Rule::Private,
    ];
}

/// The rules of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    broken: Option<Rule>,
}

impl Rules {
    /// All rules hold: production.
    pub const SOUND: Rules = Rules { broken: None };

    /// All but one.
    pub const fn without(rule: Rule) -> Rules {
        Rules { broken: Some(rule) }
    }

    pub(crate) fn keep(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }
}
