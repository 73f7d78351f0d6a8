//! Does every walk end, and in the right way, whatever its shell answers?

use proptest::prelude::*;

use super::*;
use crate::read::queue::BLINK;

const NOW: Tick = Tick(10_000);
const SHARING: Sharing = Sharing {
    lease: Span(600),
    timeout: Span(2_000),
    expected: Some(Span(50)),
    unwatched: Span(5_000),
    refresh: false,
};

fn policy() -> Policy {
    Policy { jitter: 0.0, ..Policy::ttl(Span::secs(60)).grace(Span::secs(600)) }
}

fn after(event: Event) -> Step {
    let (mut walk, _) = Walk::start(false, Some(SHARING));
    walk.on(event, NOW, &policy(), Draw(0))
}

fn loaded(found: Found, ttl: Option<Span>) -> Step {
    after(Event::Loaded(Report { started: Tick(9_900), fence: Fence(5), found, ttl, times: (None, None) }))
}

#[test]
fn the_way_of_a_plain_miss() {
    let (mut walk, step) = Walk::start(false, None);
    assert_eq!(step, Step::Admit);
    assert_eq!(walk.on(Event::Admitted, NOW, &policy(), Draw(0)), Step::Load);
    let report = Report { started: Tick(9_900), fence: Fence(5), found: Found::Value, ttl: None, times: (None, None) };
    let Step::Keep(meta) = walk.on(Event::Loaded(report), NOW, &policy(), Draw(0)) else { panic!("kept") };
    assert_eq!((meta.born, meta.fence, meta.cost_ms), (Tick(9_900), Fence(5), 100));
    assert_eq!(meta.fresh_until, NOW + Span::secs(60), "freshness counts from the end of the load");
}

#[test]
fn a_successor_waits_for_its_turn_then_asks_the_tier_first() {
    let (mut walk, step) = Walk::start(true, Some(SHARING));
    assert_eq!(step, Step::AwaitTurn);
    assert_eq!(walk.on(Event::Turn, NOW, &policy(), Draw(0)), Step::Probe);
    let nothing = Event::Heard(Heard::Nothing { lease: None });
    assert_eq!(walk.on(nothing, NOW, &policy(), Draw(0)), Step::Acquire(Mode::Miss));
    assert_eq!(walk.on(Event::Heard(Heard::Granted), NOW, &policy(), Draw(0)), Step::Admit);
    assert_eq!(walk.right(), Right::Lease);
}

#[test]
fn a_tiers_entry_is_adopted_only_while_fresh_and_uncovered() {
    let Step::Keep(fresh) = loaded(Found::Value, None) else { panic!("kept") };
    let probed = |meta, floor, demand| {
        after(Event::Heard(Heard::Entry(Seen { meta, floor, crossed: false, demand, newer: true, lease: None })))
    };
    let adopted = |why, refresh| Step::Adopt { meta: fresh, why, refresh };
    assert_eq!(probed(fresh, Floor::NONE, Demand::Any), adopted(Why::Hit, false));
    let removed = Floor { removed: Fence(5), expired: Fence::ZERO };
    assert_eq!(probed(fresh, removed, Demand::Any), Step::Acquire(Mode::Early));
    let expired = Meta { fresh_until: NOW, swr_ms: 0, ..fresh };
    assert_eq!(probed(expired, Floor::NONE, Demand::Any), Step::Acquire(Mode::Early));
    assert_eq!(probed(fresh, Floor::NONE, Demand::MaxAge(Span(100))), adopted(Why::Hit, false));
    let older = probed(fresh, Floor::NONE, Demand::MaxAge(Span(99)));
    assert_eq!(older, Step::Acquire(Mode::Early), "older than somebody asked for");
    assert_eq!(probed(fresh, Floor::NONE, Demand::Fresh), Step::Acquire(Mode::Early));
    let stale = Meta { fresh_until: NOW, ..fresh };
    let served = Step::Adopt { meta: stale, why: Why::StaleRefreshing, refresh: true };
    assert_eq!(probed(stale, Floor::NONE, Demand::Any), served, "everybody is answered at once, and one refreshes");
}

fn entry(newer: bool, lease: Option<Span>, demand: Demand) -> Heard {
    let Step::Keep(meta) = loaded(Found::Value, None) else { panic!("kept") };
    Heard::Entry(Seen { meta, floor: Floor::NONE, crossed: false, demand, newer, lease })
}

fn steps(refresh: bool, heard: &[Heard]) -> (Walk, Step) {
    let (mut walk, mut step) = Walk::start(false, Some(Sharing { refresh, ..SHARING }));
    for heard in heard {
        if matches!(step, Step::Wait(_)) {
            assert_eq!(walk.on(Event::Waited, NOW, &policy(), Draw(0)), Step::Probe);
        }
        step = walk.on(Event::Heard(*heard), NOW, &policy(), Draw(0));
    }
    (walk, step)
}

#[test]
fn a_refresh_takes_only_what_is_newer_and_else_asks_for_the_lease() {
    assert!(matches!(steps(true, &[entry(true, None, Demand::Any)]).1, Step::Adopt { .. }));
    assert_eq!(steps(true, &[entry(false, None, Demand::Any)]).1, Step::Acquire(Mode::Early));
    let denied = [entry(false, None, Demand::Any), Heard::Denied(Span(500)), entry(true, None, Demand::Any)];
    assert!(matches!(steps(true, &denied).1, Step::Adopt { why: Why::Coalesced, .. }), "the holder's value came");
}

#[test]
fn who_insists_on_a_fresh_value_has_it_from_a_holder_who_began_no_earlier_than_it_asked() {
    let insists = |newer| entry(newer, None, Demand::Fresh);
    assert_eq!(steps(false, &[insists(true)]).1, Step::Acquire(Mode::Early), "it was there before");
    assert!(matches!(steps(false, &[insists(true), insists(true)]).1, Step::Adopt { .. }), "published meanwhile");
}

#[test]
fn a_held_lease_is_waited_for_and_a_silent_holder_is_reported_to_the_tier() {
    let held = |left| Heard::Nothing { lease: Some(Span(left)) };
    let (_, Step::Wait(first)) = steps(false, &[held(600)]) else { panic!("waits") };
    assert_eq!(first, Span(50), "as long as a load is expected to take");
    let (_, Step::Wait(second)) = steps(false, &[held(600), held(590)]) else { panic!("waits") };
    assert_eq!(second, Span(20));
    assert_eq!(steps(false, &[held(600), held(200)]).1, Step::Acquire(Mode::Backup), "two heartbeats are missed");
    let refused = [held(600), held(200), Heard::Denied(Span(200))];
    assert!(matches!(steps(false, &refused).1, Step::Wait(_)), "the tier knows better");
}

#[test]
fn a_key_that_failed_elsewhere_cools_down_here() {
    let Step::Fail { why, retry_after, cooling: Some(cooling) } =
        steps(false, &[Heard::Failed(Span(300), FailClass::Refused)]).1
    else {
        panic!("cooling")
    };
    assert_eq!((why, retry_after, cooling.remaining(NOW)), (Why::Cooling, Some(Span(300)), Some(Span(300))));
}

#[test]
fn a_lone_value_is_soon_no_longer_fresh_and_no_tier_is_told() {
    let (mut walk, step) = steps(false, &[Heard::Unreachable { idle: false }]);
    assert_eq!((step, walk.right()), (Step::Admit, Right::Lone));
    let report = Report { started: NOW, fence: Fence(5), found: Found::Value, ttl: None, times: (None, None) };
    let end = walk.on(Event::Loaded(report), NOW + Span(200), &policy(), Draw(0));
    let Step::Keep(meta) = end else { panic!("kept") };
    assert_eq!((meta.fresh_until, meta.swr_ms), (NOW + Span(200) + LONE_FRESH, 0));
    assert_eq!(walk.parting(&end, NOW), Parting::Silent);
    assert_eq!(steps(true, &[Heard::Unreachable { idle: true }]).1, Step::Leave);
}

#[test]
fn a_blink_of_the_tier_lets_no_waiter_load_beside_the_holder() {
    let held = Heard::Nothing { lease: Some(Span(600)) };
    let silent = Heard::Unreachable { idle: false };
    let (mut walk, step) = steps(false, &[held, silent]);
    assert!(matches!(step, Step::Wait(_)), "{step:?}");
    walk.on(Event::Waited, NOW, &policy(), Draw(0));
    let later = walk.on(Event::Heard(silent), NOW + BLINK, &policy(), Draw(0));
    assert_eq!((later, walk.right()), (Step::Admit, Right::Lone), "it is gone");
}

#[test]
fn the_tier_hears_how_a_leased_load_ended() {
    let held = || steps(false, &[Heard::Nothing { lease: None }, Heard::Granted]).0;
    let mut walk = held();
    let failed = walk.on(Event::Failed(FailClass::Failed, None), NOW, &policy(), Draw(0));
    assert!(matches!(walk.parting(&failed, NOW), Parting::Release(Some((_, FailClass::Failed)))));
    let shed = held().on(Event::Shed(Why::ShedQueue, None), NOW, &policy(), Draw(0));
    assert_eq!(held().parting(&shed, NOW), Parting::Release(None), "a shed load says nothing of the origin");
    assert_eq!(held().parting(&loaded(Found::Value, None), NOW), Parting::Publish);
}

#[test]
fn an_answer_that_crossed_an_invalidation_is_looked_at_again_before_anybody_loads() {
    let Heard::Entry(seen) = entry(true, None, Demand::Any) else { panic!("an entry") };
    let covered = Seen { floor: Floor { removed: seen.meta.fence, expired: Fence::ZERO }, ..seen };
    let crossed = Heard::Entry(Seen { crossed: true, ..covered });
    assert_eq!(steps(false, &[crossed]).1, Step::Probe);
    assert!(matches!(steps(false, &[crossed, Heard::Entry(seen)]).1, Step::Adopt { .. }));
    assert_eq!(steps(false, &[crossed; 4]).1, Step::Acquire(Mode::Early), "not for ever");
    assert_eq!(
        steps(false, &[Heard::Entry(covered)]).1,
        Step::Acquire(Mode::Early),
        "it was there before the question"
    );
}

fn any_heard() -> impl Strategy<Value = Heard> {
    let span = || (0u64..3_000).prop_map(Span);
    prop_oneof![
        3 => prop::option::of(span()).prop_map(|lease| Heard::Nothing { lease }),
        3 => (any::<bool>(), prop::option::of(span()), any::<bool>(), 0u64..4_000).prop_map(|(newer, lease, covered, age)| {
            let Step::Keep(meta) = loaded(Found::Value, Some(Span(2_000))) else { panic!("kept") };
            let meta = Meta { fresh_until: Tick(NOW.0 + 2_000 - age), swr_ms: 500, ..meta };
            let floor = if covered { Floor { removed: meta.fence, expired: Fence::ZERO } } else { Floor::NONE };
            let demand = if age % 3 == 0 { Demand::Fresh } else { Demand::Any };
            Heard::Entry(Seen { meta, floor, crossed: covered && age % 2 == 0, demand, newer, lease })
        }),
        2 => span().prop_map(Heard::Denied),
        1 => Just(Heard::Granted),
        1 => span().prop_map(|left| Heard::Failed(left, FailClass::Failed)),
        1 => Just(Heard::HitForMiss),
        1 => Just(Heard::Passing),
        2 => any::<bool>().prop_map(|idle| Heard::Unreachable { idle }),
    ]
}

proptest! {
    #[test]
    fn g1_whatever_the_tier_says_the_walk_ends_and_loads_only_by_right(
        said in prop::collection::vec(any_heard(), 1..40), refresh in any::<bool>(), draws in any::<u64>(),
        shed in any::<bool>(), fails in any::<bool>(),
    ) {
        let (mut walk, mut step) = Walk::start(false, Some(Sharing { refresh, ..SHARING }));
        let (mut now, mut answers) = (NOW, said.iter().cycle());
        let (mut granted, mut silent, mut beside, mut may_load) = (false, false, false, false);
        for n in 0u64.. {
            prop_assert!(n < 5_000, "it never ends");
            let draw = Draw(draws).fork(n);
            let event = match &step {
                Step::Probe | Step::Acquire(_) => {
                    let heard = *answers.next().expect("endless");
                    // Only who asks is granted anything, and only a probe is not denied.
                    let heard = match (heard, &step) {
                        (Heard::Granted | Heard::Denied(_), Step::Probe) => Heard::Nothing { lease: None },
                        (heard, _) => heard,
                    };
                    granted = matches!(heard, Heard::Granted);
                    silent = matches!(heard, Heard::Unreachable { .. });
                    beside = matches!(heard, Heard::HitForMiss | Heard::Passing);
                    now = now + Span(1);
                    Event::Heard(heard)
                }
                Step::Wait(pause) => {
                    prop_assert!(*pause > Span::ZERO && *pause <= SHARING.timeout + SHARING.lease);
                    now = now + *pause;
                    Event::Waited
                }
                Step::Admit => {
                    prop_assert!(granted || silent || beside, "admitted without a right");
                    prop_assert_eq!(walk.right(), if granted { Right::Lease } else if silent { Right::Lone } else { Right::Beside });
                    if shed { Event::Shed(Why::ShedQueue, None) } else { Event::Admitted }
                }
                Step::Load => {
                    may_load = true;
                    let found = if fails { None } else { Some(Found::Value) };
                    match found {
                        Some(found) => Event::Loaded(Report { started: now, fence: Fence(9), found, ttl: None, times: (None, None) }),
                        None => Event::Failed(FailClass::Failed, None),
                    }
                }
                end => {
                    let parting = walk.parting(end, now);
                    prop_assert_eq!(parting == Parting::Publish, granted && may_load && !fails, "published without a token");
                    prop_assert_eq!(matches!(parting, Parting::Release(_)), granted && (!may_load || fails), "a lease is left behind");
                    prop_assert!(now.since(NOW) <= SHARING.timeout + SHARING.lease + Span(3_000), "it took {}", now.since(NOW));
                    break;
                }
            };
            step = walk.on(event, now, &policy(), draw);
        }
    }
}

#[test]
fn uncacheable_answers_are_delivered_and_leave_a_marker() {
    let shared = |ttl, found| match loaded(found, ttl) {
        Step::Mark { marker, body, private } => {
            assert_eq!(marker.kind, Kind::HitForMiss);
            assert_eq!(body.fresh_until, NOW);
            Some((body.kind, private))
        }
        _ => None,
    };
    assert_eq!(shared(None, Found::Uncacheable { kind: Kind::Value, private: true }), Some((Kind::Value, true)));
    assert_eq!(
        shared(None, Found::Uncacheable { kind: Kind::Negative, private: false }),
        Some((Kind::Negative, false))
    );
    assert_eq!(shared(Some(Span::ZERO), Found::Value), Some((Kind::Value, false)));
    assert_eq!(shared(Some(Span::ZERO), Found::Missing), Some((Kind::Negative, false)));
    assert_eq!(shared(None, Found::Value), None);
}

#[test]
fn a_failure_cools_the_key_and_a_shed_load_does_not() {
    let Step::Fail { why, retry_after, cooling: Some(first) } = after(Event::Failed(FailClass::Refused, None)) else {
        panic!("cooling")
    };
    assert_eq!((why, retry_after), (Why::OriginRefused, first.remaining(NOW)));
    let Step::Fail { cooling: Some(second), .. } = after(Event::Failed(FailClass::Refused, Some(first))) else {
        panic!("cooling")
    };
    assert!(second.until > first.until && second.attempts == 2);
    let shed = after(Event::Shed(Why::ShedQueue, Some(Span(7))));
    assert_eq!(shed, Step::Fail { why: Why::ShedQueue, retry_after: Some(Span(7)), cooling: None });
}

#[test]
fn not_modified_revives_only_a_body_that_the_loader_was_shown() {
    assert!(matches!(loaded(Found::NotModified, None), Step::Keep(meta) if meta.kind == Kind::Value));
    assert!(matches!(loaded(Found::NotModifiedOfNothing, None), Step::Fail { why: Why::Rejected, .. }));
}

fn on_disk(earlier: bool, demand: Demand) -> Event {
    let Step::Keep(meta) = loaded(Found::Value, None) else { panic!("kept") };
    // What an earlier life left is handed in as stale.
    let fresh_until = if earlier { NOW } else { meta.fresh_until };
    let meta = Meta { fresh_until, ..meta };
    Event::Looked(Some(Shelved { meta, floor: Floor::NONE, demand, earlier }))
}

fn looking(sharing: Option<Sharing>, events: &[Event]) -> Step {
    let (walk, step) = Walk::start(false, sharing);
    let (mut walk, mut step) = walk.with_disk(step);
    assert_eq!(step, Step::Look);
    for event in events {
        step = walk.on(*event, NOW, &policy(), Draw(0));
    }
    step
}

#[test]
fn the_disk_is_looked_at_first_and_answers_for_this_life_as_it_would_for_memory() {
    let hit = looking(None, &[on_disk(false, Demand::Any)]);
    assert!(matches!(hit, Step::Adopt { why: Why::Hit, refresh: false, .. }));
    assert!(matches!(looking(Some(SHARING), &[on_disk(false, Demand::Any)]), Step::Adopt { .. }));
    assert_eq!(looking(None, &[on_disk(false, Demand::Fresh)]), Step::Admit);
    assert_eq!(looking(None, &[Event::Looked(None)]), Step::Admit);
    assert_eq!(looking(Some(SHARING), &[Event::Looked(None)]), Step::Probe);
    let (walk, step) = Walk::start(true, None);
    let (mut walk, step) = walk.with_disk(step);
    assert_eq!(step, Step::AwaitTurn);
    assert_eq!(walk.on(Event::Turn, NOW, &policy(), Draw(0)), Step::Look);
}

#[test]
fn what_an_earlier_life_left_is_stale_and_only_where_nobody_else_could_know_better() {
    let stale = |step| matches!(step, Step::Adopt { why: Why::StaleRefreshing, refresh: true, .. });
    assert!(stale(looking(None, &[on_disk(true, Demand::Any)])));
    let earlier = on_disk(true, Demand::Any);
    assert_eq!(looking(Some(SHARING), &[earlier]), Step::Probe, "others may have removed it");
    let nothing = Event::Heard(Heard::Nothing { lease: None });
    assert_eq!(looking(Some(SHARING), &[earlier, nothing]), Step::Acquire(Mode::Miss));
    let gone = Event::Heard(Heard::Unreachable { idle: false });
    assert_eq!(looking(Some(SHARING), &[earlier, gone]), Step::Look, "the tier is gone");
    assert!(stale(looking(Some(SHARING), &[earlier, gone, earlier])));
    assert_eq!(looking(Some(SHARING), &[earlier, gone, Event::Looked(None)]), Step::Admit);
    assert_eq!(looking(Some(SHARING), &[Event::Looked(None), gone]), Step::Admit, "nothing was there");
}
