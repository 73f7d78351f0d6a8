//! Does the gate keep the budget under any interleaving? A plain model watches every answer.

use super::*;
use crate::failure::FailClass;
use proptest::prelude::*;

fn budget(max_concurrency: u32) -> Budget {
    Budget { max_concurrency, ..Budget::default() }
}

fn advance(gate: &mut Gate, now: u64) -> (Vec<(Ticket, Admission)>, Option<Tick>) {
    let mut out = Vec::new();
    let wake = gate.advance(Tick(now), &mut out);
    (out, wake)
}

fn first() -> Pass {
    Pass { round: Round::default(), in_dip: false, unasked: false }
}

/// A permit of a gate whose breaker has never changed.
fn go() -> Admission {
    Admission::Go(first())
}

/// A permit, whichever.
fn goes(admission: Admission) -> bool {
    matches!(admission, Admission::Go(_))
}

/// A load that began before anything happened ends and was answered.
fn release(gate: &mut Gate, now: u64) {
    gate.end(first(), Ended::Answered { took_us: Some(1000) }, Tick(now));
}

fn went(out: &[(Ticket, Admission)]) -> Vec<u64> {
    out.iter().filter(|(_, a)| goes(*a)).map(|(t, _)| t.0).collect()
}

#[test]
fn classes_then_waiters_then_first_come() {
    let mut gate = Gate::new(&budget(1));
    let mut ask = |n, class, waiters| gate.ask(Ticket(n), class, waiters, Tick::NEVER, Tick(0));
    assert_eq!(ask(0, Priority::Low, 1), go());
    for (n, class, waiters) in [
        (1, Priority::Background, 0),
        (2, Priority::Normal, 1),
        (3, Priority::Normal, 9),
        (4, Priority::Normal, 1),
        (5, Priority::Critical, 1),
        (6, Priority::Low, 99),
    ] {
        assert_eq!(ask(n, class, waiters), Admission::Wait);
    }
    let mut order = Vec::new();
    for now in 1..=6 {
        release(&mut gate, now);
        order.extend(went(&advance(&mut gate, now).0));
    }
    assert_eq!(order, [5, 3, 2, 4, 6, 1]);
}

#[test]
fn a_newcomer_does_not_overtake_a_queued_equal_but_a_higher_one_may() {
    let mut gate = Gate::new(&budget(1));
    assert_eq!(gate.ask(Ticket(0), Priority::Normal, 1, Tick::NEVER, Tick(0)), go());
    assert_eq!(gate.ask(Ticket(1), Priority::Normal, 1, Tick::NEVER, Tick(0)), Admission::Wait);
    release(&mut gate, 5);
    assert_eq!(gate.ask(Ticket(2), Priority::Normal, 1, Tick::NEVER, Tick(5)), Admission::Wait);
    assert_eq!(gate.ask(Ticket(3), Priority::Critical, 1, Tick::NEVER, Tick(5)), go());
    assert_eq!(went(&advance(&mut gate, 5).0), [] as [u64; 0]);
    release(&mut gate, 6);
    assert_eq!(went(&advance(&mut gate, 6).0), [1]);
}

#[test]
fn a_full_queue_sheds_the_lowest_newest_for_a_higher_class_and_else_the_newcomer() {
    let mut gate = Gate::new(&Budget { queue_limit: 2, ..budget(1) });
    let mut ask = |n, class| gate.ask(Ticket(n), class, 1, Tick::NEVER, Tick(0));
    assert_eq!(ask(0, Priority::Normal), go());
    assert_eq!(ask(1, Priority::Low), Admission::Wait);
    assert_eq!(ask(2, Priority::Low), Admission::Wait);
    assert!(matches!(ask(3, Priority::Low), Admission::Shed(Why::ShedQueue, Some(_))));
    assert_eq!(ask(4, Priority::Normal), Admission::Wait);
    assert!(!gate.withdraw(Ticket(2)), "it has been shed already");
    let (out, _) = advance(&mut gate, 0);
    assert!(matches!(out[..], [(Ticket(2), Admission::Shed(Why::ShedPriority, Some(_)))]), "{out:?}");
}

#[test]
fn a_dry_bucket_makes_a_ticket_wait_if_the_token_comes_in_time_and_else_sheds_it_at_once() {
    let mut gate = Gate::new(&Budget { rate: Some(4.0), ..budget(9) });
    assert_eq!(gate.ask(Ticket(0), Priority::Normal, 1, Tick(900), Tick(0)), go());
    assert_eq!(gate.ask(Ticket(1), Priority::Normal, 1, Tick(900), Tick(0)), Admission::Wait);
    let late = gate.ask(Ticket(2), Priority::Normal, 1, Tick(250), Tick(0));
    // 250 ms to the next token, and another 250 ms for the one that waits already.
    assert_eq!(late, Admission::Shed(Why::ShedRate, Some(Span(500))));
    assert_eq!(advance(&mut gate, 0), (vec![], Some(Tick(250))));
    assert_eq!(advance(&mut gate, 250), (vec![(Ticket(1), go())], None));
}

#[test]
fn a_background_ticket_without_a_refresh_token_blocks_nobody_else() {
    let mut gate = Gate::new(&Budget { rate: Some(1000.0), refresh_rate: Some(5.0), ..budget(9) });
    let mut ask = |n, class| gate.ask(Ticket(n), class, 0, Tick::NEVER, Tick(0));
    assert!(goes(ask(0, Priority::Background)));
    assert_eq!(ask(1, Priority::Background), Admission::Wait);
    assert_eq!(ask(2, Priority::Low), go());
    assert_eq!(advance(&mut gate, 0), (vec![], Some(Tick(200))));
    // A caller joins the refresh: it is no refresh any more and goes at once.
    gate.raise(Ticket(1), Priority::Normal, 1, Tick(50));
    assert_eq!(advance(&mut gate, 0).0, [(Ticket(1), go())]);
}

#[test]
fn a_ticket_waits_no_longer_than_queue_wait_and_its_callers() {
    let mut gate = Gate::new(&budget(1));
    for (n, give_up) in [(0, 9), (1, 100), (2, 9999), (3, 100)] {
        gate.ask(Ticket(n), Priority::Normal, 1, Tick(give_up), Tick(0));
    }
    gate.raise(Ticket(3), Priority::Normal, 2, Tick(300));
    gate.raise(Ticket(3), Priority::Background, 0, Tick(1));
    let mut ends = Vec::new();
    let (mut out, mut wake) = advance(&mut gate, 0);
    while let Some(now) = wake {
        (out, wake) = advance(&mut gate, now.0);
        for (ticket, admission) in &out {
            assert!(matches!(admission, Admission::Shed(Why::ShedQueue, Some(_))));
            ends.push((ticket.0, now.0));
        }
    }
    assert_eq!(ends, [(1, 100), (3, 300), (2, 500)]);
    assert!(!out.is_empty());
}

#[test]
fn retry_after_follows_the_pace_of_the_origin() {
    let mut gate = Gate::new(&Budget { queue_limit: 10, ..budget(1) });
    for n in 0..=10 {
        gate.ask(Ticket(n), Priority::Normal, 1, Tick::NEVER, Tick(0));
    }
    let full = |gate: &mut Gate, now| gate.ask(Ticket(99), Priority::Normal, 1, Tick::NEVER, Tick(now));
    let unknown = Admission::Shed(Why::ShedQueue, Some(Span(500)));
    assert_eq!(full(&mut gate, 0), unknown);
    for now in [20, 40, 60] {
        release(&mut gate, now);
        advance(&mut gate, now);
        gate.ask(Ticket(100 + now), Priority::Normal, 1, Tick::NEVER, Tick(now));
    }
    assert_eq!(full(&mut gate, 60), Admission::Shed(Why::ShedQueue, Some(Span(200))), "ten ahead, 20 ms each");
}

#[derive(Clone, Debug)]
enum Op {
    Ask {
        class: usize,
        waiters: u32,
        patience: u64,
    },
    Raise {
        which: usize,
        class: usize,
        waiters: u32,
        patience: u64,
    },
    Withdraw(usize),
    /// A load ends: well, or not.
    Release(bool),
    Advance,
    Sleep(u64),
    /// Sleeps until the gate wants to be called.
    SleepToWake,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let patience = || prop_oneof![Just(u64::MAX), Just(0), 1u64..800];
    let op = prop_oneof![
        6 => (0usize..4, 0u32..4, patience()).prop_map(|(class, waiters, patience)| Op::Ask { class, waiters, patience }),
        2 => (0usize..8, 0usize..4, 0u32..6, patience())
            .prop_map(|(which, class, waiters, patience)| Op::Raise { which, class, waiters, patience }),
        1 => (0usize..8).prop_map(Op::Withdraw),
        3 => prop::bool::ANY.prop_map(Op::Release),
        3 => Just(Op::Advance),
        2 => prop_oneof![1u64..40, 40u64..700].prop_map(Op::Sleep),
        2 => Just(Op::SleepToWake),
    ];
    prop::collection::vec(op, 1..160)
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    ticket: Ticket,
    class: Priority,
    waiters: u32,
    deadline: (Tick, Tick),
}

impl Queued {
    /// Whether `self` goes before `other`, both queued in the order of their tickets.
    fn before(&self, other: &Queued) -> bool {
        (self.class, self.waiters, Reverse(self.ticket)) > (other.class, other.waiters, Reverse(other.ticket))
    }
}

/// What must be true, in the plainest words: a list, searched from end to end.
struct Model {
    budget: Budget,
    gate: Gate,
    now: Tick,
    wake: Option<Tick>,
    queued: Vec<Queued>,
    victims: Vec<Ticket>,
    passes: Vec<Pass>,
    /// The highest class that ever asked.
    highest: Priority,
    ended: BTreeSet<Ticket>,
    asked: u64,
    rate: Option<Bucket>,
    refresh: Option<Bucket>,
    starts: Vec<(u64, Priority)>,
}

impl Model {
    fn new(budget: Budget) -> Model {
        Model {
            gate: Gate::new(&budget),
            now: Tick(1000),
            wake: None,
            queued: Vec::new(),
            victims: Vec::new(),
            passes: Vec::new(),
            highest: Priority::Background,
            ended: BTreeSet::new(),
            asked: 0,
            rate: budget.rate.map(Bucket::of_rate),
            refresh: budget.refresh_rate.map(Bucket::of_rate),
            starts: Vec::new(),
            budget,
        }
    }

    fn end(&mut self, ticket: Ticket) {
        assert!(self.ended.insert(ticket), "{ticket:?} ended twice");
    }

    fn started(&mut self, who: Queued, pass: Pass) {
        assert!(self.queued.iter().all(|other| who.before(other)), "{who:?} overtook one of {:?}", self.queued);
        self.end(who.ticket);
        self.passes.push(pass);
        assert!(self.passes.len() <= self.budget.max_concurrency as usize, "more permits than there are");
        self.starts.push((self.now.0, who.class));
        if let Some(bucket) = &mut self.rate {
            assert_eq!(bucket.take(self.now), Ok(()));
        }
        if let (Some(bucket), Priority::Background) = (&mut self.refresh, who.class) {
            assert_eq!(bucket.take(self.now), Ok(()));
        }
    }

    fn admissible(&mut self, who: Queued) -> bool {
        let now = self.now;
        let dry = |bucket: &mut Option<Bucket>| bucket.as_mut().is_some_and(|b| b.wait(now) > Span::ZERO);
        let most = self.gate.limit();
        assert!((1..=self.budget.max_concurrency as usize).contains(&most));
        self.passes.len() < most
            && !dry(&mut self.rate)
            && !(who.class == Priority::Background && dry(&mut self.refresh))
    }

    fn ask(&mut self, class: Priority, waiters: u32, patience: u64) {
        let ticket = Ticket(self.asked);
        self.asked += 1;
        let give_up = self.now + Span(patience);
        let who = Queued { ticket, class, waiters, deadline: (self.now + self.budget.queue_wait, give_up) };
        self.highest = self.highest.max(class);
        let could_go = self.admissible(who) && self.queued.iter().all(|other| who.before(other));
        match self.gate.ask(ticket, class, waiters, give_up, self.now) {
            Admission::Go(pass) => self.started(who, pass),
            Admission::Wait => {
                assert!(!could_go && patience > 0, "{who:?} waits for nothing");
                if self.queued.len() == self.budget.queue_limit {
                    let last = (0..self.queued.len()).find(|&i| self.queued.iter().all(|o| !self.queued[i].before(o)));
                    let victim = self.queued.remove(last.expect("a full queue has a last ticket"));
                    assert!(victim.class < class, "{victim:?} made room for {who:?}");
                    self.victims.push(victim.ticket);
                }
                self.queued.push(who);
            }
            Admission::Shed(why, retry) => {
                match why {
                    Why::BreakerOpen => assert_ne!(self.gate.standing(self.now).breaker, Position::Closed),
                    Why::ShedPriority => assert!(!could_go && class < self.highest && self.gate.shedder.share() < 1.0),
                    why => assert!(!could_go && matches!(why, Why::ShedQueue | Why::ShedRate), "{who:?} {why:?}"),
                }
                assert!(retry >= Some(RETRY_FLOOR));
                self.end(ticket);
            }
        }
    }

    fn advance(&mut self) {
        let mut out = Vec::new();
        self.wake = self.gate.advance(self.now, &mut out);
        for (ticket, admission) in out {
            if let Some(victim) = self.victims.iter().position(|v| *v == ticket) {
                self.victims.remove(victim);
                assert!(matches!(admission, Admission::Shed(Why::ShedPriority, Some(_))));
                self.end(ticket);
                continue;
            }
            let index = self.queued.iter().position(|q| q.ticket == ticket).expect("only queued tickets end here");
            let who = self.queued.remove(index);
            match admission {
                Admission::Go(pass) => self.started(who, pass),
                Admission::Wait => panic!("{who:?} was told to wait again"),
                Admission::Shed(Why::BreakerOpen, retry) => {
                    assert_ne!(self.gate.standing(self.now).breaker, Position::Closed);
                    assert!(retry >= Some(RETRY_FLOOR));
                    self.end(ticket);
                }
                Admission::Shed(_, retry) => {
                    assert!(who.deadline.0.min(who.deadline.1) <= self.now, "{who:?} was shed before its time");
                    assert!(retry >= Some(RETRY_FLOOR));
                    self.end(ticket);
                }
            }
        }
        assert!(self.victims.is_empty());
        for who in self.queued.clone() {
            assert!(who.deadline.0.min(who.deadline.1) > self.now, "{who:?} waits beyond its deadline");
            assert!(!self.admissible(who), "{who:?} could go and was not woken");
        }
        self.check_wake();
    }

    /// The gate asks to be called neither too late nor for nothing.
    fn check_wake(&self) {
        assert_eq!(self.wake.is_some(), !self.queued.is_empty());
        let Some(wake) = self.wake else { return };
        assert!(wake > self.now);
        let mut out = Vec::new();
        self.gate.clone().advance(wake - Span(1), &mut out);
        assert_eq!(out, [], "woken too late");
        self.gate.clone().advance(wake, &mut out);
        assert!(!out.is_empty(), "woken for nothing");
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Ask { class, waiters, patience } => self.ask(Priority::ALL[class], waiters, patience),
            Op::Raise { which, class, waiters, patience } => {
                let (class, give_up) = (Priority::ALL[class], self.now + Span(patience));
                let Some(who) = self.queued.get_mut(which) else { return };
                who.class = who.class.max(class);
                who.waiters = who.waiters.max(waiters);
                who.deadline.1 = who.deadline.1.max(give_up);
                self.gate.raise(who.ticket, class, waiters, give_up);
            }
            Op::Withdraw(which) => {
                if which < self.queued.len() {
                    let who = self.queued.remove(which);
                    assert!(self.gate.withdraw(who.ticket));
                    self.end(who.ticket);
                }
                assert!(self.victims.iter().all(|victim| !self.gate.withdraw(*victim)));
            }
            Op::Release(well) => {
                let failed = Ended::Failed { class: FailClass::Timeout, again: false };
                let ended = if well { Ended::Answered { took_us: Some(1000) } } else { failed };
                if let Some(pass) = self.passes.pop() {
                    self.gate.end(pass, ended, self.now);
                }
            }
            Op::Advance => self.advance(),
            Op::Sleep(ms) => self.now = self.now + Span(ms),
            Op::SleepToWake => self.now = self.now.max(self.wake.unwrap_or(self.now)),
        }
        assert_eq!((self.gate.running(), self.gate.waiting()), (self.passes.len(), self.queued.len()));
        let normal = self.queued.iter().filter(|q| q.class == Priority::Normal).count();
        assert_eq!(self.gate.waiting_of(Priority::Normal), normal);
        assert!(self.gate.waiting() <= self.budget.queue_limit && self.gate.victims.len() <= self.budget.queue_limit);
    }

    /// Lets everybody end, by the gate's own wake-ups alone.
    fn drain(&mut self) {
        self.advance();
        while !self.queued.is_empty() {
            self.now = self.wake.expect("whoever waits is woken");
            self.advance();
        }
    }

    fn check_windows(&self) {
        let within = |rate: Option<f64>, starts: &[u64]| {
            let Some(rate) = rate else { return };
            for (i, first) in starts.iter().enumerate() {
                for (j, last) in starts.iter().enumerate().skip(i) {
                    let allowed = rate * (last - first) as f64 / 1000.0 + (rate / 10.0).max(1.0);
                    assert!((j - i + 1) as f64 <= allowed + 1e-6, "{} loads from {first} to {last} ms", j - i + 1);
                }
            }
        };
        let all: Vec<u64> = self.starts.iter().map(|s| s.0).collect();
        let refreshes = self.starts.iter().filter(|s| s.1 == Priority::Background);
        within(self.budget.rate, &all);
        within(self.budget.refresh_rate, &refreshes.map(|s| s.0).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn g9_the_budget_holds_and_every_ticket_ends_once_under_any_interleaving(
        max_concurrency in 1u32..4,
        rate in prop::option::of(prop_oneof![0.5f64..20.0, 20.0f64..500.0]),
        share in prop::option::of(0.05f64..1.0),
        queue_limit in 0usize..8,
        queue_wait in prop_oneof![Just(0u64), 1u64..600],
        (adaptive, breaker) in any::<(bool, bool)>(),
        ops in ops(),
    ) {
        let refresh_rate = share.map(|share| share * rate.unwrap_or(50.0));
        let budget = Budget { max_concurrency, rate, refresh_rate, queue_limit, queue_wait: Span(queue_wait), adaptive, breaker, ..Budget::default() };
        prop_assert_eq!(budget.mistakes(), []);
        let mut model = Model::new(budget);
        for op in ops {
            model.run(op);
        }
        model.drain();
        prop_assert_eq!(model.ended.len() as u64, model.asked);
        model.check_windows();
    }
}

#[test]
fn g9_another_budget_counts_what_runs_and_is_no_second_burst() {
    let budget = |most, rate: Option<f64>| Budget { max_concurrency: most, rate, ..Budget::default() };
    let ask = |gate: &mut Gate, n, now| gate.ask(Ticket(n), Priority::Normal, 1, Tick::NEVER, Tick(now));
    let mut gate = Gate::new(&budget(4, None));
    assert!((0..4).all(|n| ask(&mut gate, n, 0) == go()));
    gate.set_budget(&budget(2, None), Tick(1));
    assert_eq!((ask(&mut gate, 10, 1), gate.running()), (Admission::Wait, 4));
    let mut out = Vec::new();
    for (released, go) in [(1, 0), (2, 0), (3, 1)] {
        release(&mut gate, 1 + released);
        gate.advance(Tick(1 + released), &mut out);
        assert_eq!(out.len(), go, "after {released} of 4 came back, 2 allowed");
    }
    gate.set_budget(&budget(4, None), Tick(9));
    assert_eq!(ask(&mut gate, 11, 9), go(), "control: more are allowed at once");

    let mut gate = Gate::new(&budget(1000, Some(100.0)));
    let burst = |gate: &mut Gate, from: u64| (0..50).filter(|n| ask(gate, from + n, 0) == go()).count();
    assert_eq!(burst(&mut gate, 0), 10);
    gate.set_budget(&budget(1000, Some(200.0)), Tick(0));
    gate.set_budget(&budget(1000, Some(100.0)), Tick(0));
    assert_eq!(burst(&mut gate, 100), 0, "the tokens were spent");
}

/// A gate of four permits whose origin has just failed twenty times.
fn broken() -> Gate {
    let mut gate = Gate::new(&budget(4));
    for n in 0..20 {
        let Admission::Go(pass) = gate.ask(Ticket(n), Priority::Normal, 1, Tick::NEVER, Tick(0)) else { panic!() };
        gate.end(pass, Ended::Failed { class: FailClass::Refused, again: false }, Tick(0));
    }
    gate
}

#[test]
fn an_open_breaker_answers_at_once_and_empties_the_queue() {
    let mut gate = broken();
    let ask = |gate: &mut Gate, n, now| gate.ask(Ticket(n), Priority::Critical, 9, Tick::NEVER, Tick(now));
    let until = gate.open_until().expect("it is open").0;
    assert!((1000..=1200).contains(&until), "{until}");
    assert_eq!(ask(&mut gate, 30, 1), Admission::Shed(Why::BreakerOpen, Some(Span(until - 1))));
    assert!(goes(ask(&mut gate, 31, until)), "the probe");
    assert_eq!(ask(&mut gate, 32, until), Admission::Shed(Why::BreakerOpen, Some(PROBE)), "one is enough");

    let mut gate = Gate::new(&budget(1));
    let mut now = 0;
    let mut pass = None;
    for n in 0..40 {
        match gate.ask(Ticket(n), Priority::Normal, 1, Tick::NEVER, Tick(now)) {
            Admission::Go(first) => pass = Some(first),
            other => assert_eq!(other, Admission::Wait),
        }
    }
    let mut told = 0;
    while let Some(ended) = pass.take() {
        now += 1;
        gate.end(ended, Ended::Failed { class: FailClass::Timeout, again: false }, Tick(now));
        for (_, admission) in advance(&mut gate, now).0 {
            match admission {
                Admission::Go(next) => pass = Some(next),
                Admission::Shed(Why::BreakerOpen, Some(_)) => told += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((told, gate.waiting(), gate.running()), (20, 0, 0), "who waits would wait in vain");
    assert_eq!(gate.standing(Tick(now)).sheds.of(Priority::Normal, Why::BreakerOpen), 20);
}

#[test]
fn without_a_breaker_a_failing_origin_is_asked_on_and_on() {
    let mut gate = Gate::new(&Budget { breaker: false, ..budget(4) });
    for n in 0..500 {
        let Admission::Go(pass) = gate.ask(Ticket(n), Priority::Normal, 1, Tick::NEVER, Tick(n)) else { panic!() };
        gate.end(pass, Ended::Failed { class: FailClass::Refused, again: false }, Tick(n));
    }
    assert_eq!(gate.standing(Tick(500)).breaker, Position::Closed);
}

#[test]
fn one_broken_key_and_unacceptable_answers_do_not_shut_out_the_others() {
    let ends = [
        (Ended::Failed { class: FailClass::Rejected, again: false }, Position::Closed),
        (Ended::Failed { class: FailClass::Failed, again: true }, Position::Closed),
        (Ended::GivenUp, Position::Closed),
        (Ended::Failed { class: FailClass::Failed, again: false }, Position::Open),
        (Ended::Failed { class: FailClass::Overloaded, again: true }, Position::Open),
    ];
    for (ended, position) in ends {
        let mut gate = Gate::new(&budget(4));
        for n in 0..30 {
            if let Admission::Go(pass) = gate.ask(Ticket(n), Priority::Normal, 1, Tick::NEVER, Tick(n)) {
                gate.end(pass, ended, Tick(n));
            }
        }
        assert_eq!(gate.standing(Tick(30)).breaker, position, "{ended:?}");
    }
}

#[test]
fn the_limit_shrinks_under_slow_loads_only_where_it_may() {
    let limit = |adaptive| {
        let mut gate = Gate::new(&Budget { adaptive, ..budget(64) });
        let mut now = 0;
        for (took, loads) in [(10, 2000), (200, 2000)] {
            for n in 0..loads {
                if let Admission::Go(pass) =
                    gate.ask(Ticket(now * 10_000 + n), Priority::Normal, 1, Tick::NEVER, Tick(now))
                {
                    now += 5;
                    gate.end(pass, Ended::Answered { took_us: Some(took * 1000) }, Tick(now));
                }
            }
        }
        gate.limit()
    };
    assert_eq!(limit(false), 64);
    assert!(limit(true) < 64, "{}", limit(true));
}

#[test]
fn retries_have_a_budget() {
    let mut gate = Gate::new(&budget(4));
    let granted = (0..500).filter(|_| gate.may_retry(Tick(0))).count();
    assert!((80..=100).contains(&granted), "{granted}");
    assert_eq!(gate.standing(Tick(0)).retries_denied, 500 - granted as u64);
    assert!(gate.may_retry(Tick(2_000)), "one a second comes back");
}
