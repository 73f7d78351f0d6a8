//! Which rule of the lease protocol is broken on purpose? None in production.

/// A rule broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The tier stores what a holder brings, whatever has become of its token.
    NoFence,
    /// A lease is asked for without saying what the asker knows: a tier whose clock stands behind draws fences that
    /// no invalidation is below.
    NoAtLeast,
    /// A token has no part of its own: a tier that has forgotten a key, and whose clock stands behind, draws for two
    /// leases what both were to be at least.
    SameToken,
    /// A removal leaves the windows of the old value standing.
    SoftRemoval,
    /// An entry's fence is drawn when it is stored, not before its load read the origin.
    PublishFence,
    /// An answer to a publish that does not come is made up for by sending the body again, as a plain write.
    BodyRetry,
    /// Who comes after a removal joins the load that it overtook.
    JoinAfterRemoval,
    /// Who has waited for a holder for a while, or lost an answer, loads alone.
    Impatient,
    /// An entry of the tier gets its fence when the answer is there, not before the question.
    LateAdoption,
    /// What the tier holds is believed although it has not been told of an invalidation yet.
    Believing,
    /// While the tier is silent copies are believed, however long ago they were confirmed.
    Trusting,
    /// An invalidation that comes late leaves what it finds, whatever that is.
    SparesAll,
}

impl Mutant {
    /// All of them.
    pub const ALL: &'static [Mutant] = &[
        Mutant::NoFence,
        Mutant::NoAtLeast,
        Mutant::SameToken,
        Mutant::SoftRemoval,
        Mutant::PublishFence,
        Mutant::BodyRetry,
        Mutant::JoinAfterRemoval,
        Mutant::Impatient,
        Mutant::LateAdoption,
        Mutant::Believing,
        Mutant::Trusting,
        Mutant::SparesAll,
    ];
}
