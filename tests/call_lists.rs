//! The promise of a list: whenever the callee picks up, and whatever rings for
//! how long, the next number is dialed within 45 s of the one that nobody
//! confirmed. Every second of it is tried against a service that takes 5 s to hang
//! up.

use std::time::{Duration, Instant};

use callbox::call::{
    Call, Config, HangUpAnswer, Input, Kind, Output, Plan, Reason, Report, Snapshot, Status,
};
use callbox::units::{AttemptId, ButtonId, CallId, Digit, Mode, SocketId};

const SECOND: Duration = Duration::from_secs(1);

/// What the service takes to hang up.
const HANGING_UP: Duration = Duration::from_secs(5);

#[test]
fn next_number_is_dialed_within_45_s_of_one_that_is_not_reached() {
    for ring_for in [5, 15, 25, 40, 45, 60, 300] {
        for picks_up in (1..=60).map(Some).chain([None]) {
            for confirm in [true, false] {
                let case = format!("rings {ring_for} s, answered at {picks_up:?}, {confirm}");
                let next = Line::default().play(ring_for, picks_up, confirm);
                let reached = picks_up.is_some_and(|at| at < ring_for.min(40)) && !confirm;
                match next {
                    None => assert!(reached, "{case}: no other number"),
                    Some(after) => {
                        assert!(!reached, "{case}: another number all the same");
                        assert!(after <= 45 * SECOND, "{case}: after {after:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn callee_has_the_whole_time_to_confirm_whenever_they_pick_up() {
    for picks_up in 1..25 {
        let mut line = Line::default();
        line.play(45, Some(picks_up), true);
        let had = line.hung_up.unwrap() - picks_up * SECOND;
        assert!(had >= 15 * SECOND, "picked up at {picks_up}: {had:?}");
    }
}

/// The service, and a callee who presses no key.
#[derive(Default)]
struct Line {
    /// Since the first number was dialed.
    hung_up: Option<Duration>,
}

impl Line {
    /// How long after the first number the second is dialed, if it is.
    fn play(&mut self, ring_for: u32, picks_up: Option<u32>, confirm: bool) -> Option<Duration> {
        let t0 = Instant::now(); // an arbitrary origin; only sums of it are used
        let mut call = Call::new(Config::default(), &Snapshot::default(), t0);
        let press = Input::Press {
            button: ButtonId(0),
            qualified_in: Duration::ZERO,
            plan: Plan {
                kind: Kind::Talk,
                targets: vec![0, 1],
                cycles: 1,
                ring_for: ring_for * SECOND,
                confirm: confirm.then(|| Digit::parse('1').unwrap()),
                mode: Mode::default(),
            },
        };
        let (attempt, socket) = (AttemptId(1), SocketId(1));
        let name = CallId::parse("c1").unwrap();
        for input in [Input::Tick, Input::Orphans(Vec::new()), press] {
            self.hand_in(&mut call, t0, t0, input);
        }
        let placed = Input::Placed {
            attempt,
            call: name.clone(),
            remaining: None,
        };
        self.hand_in(&mut call, t0, t0, placed);
        for tenth in 1..=600 {
            let now = t0 + tenth * SECOND / 10;
            let picked_up = picks_up.map(|at| at * 10);
            let input = match picked_up {
                _ if self.hung_up.map(|at| at + HANGING_UP) == Some(now - t0) => hung_up(attempt),
                Some(at) if at == tenth && self.hung_up.is_none() => Input::Stream {
                    attempt,
                    socket,
                    call: Some(name.clone()),
                    answered: true,
                },
                Some(at) if at < tenth && tenth % 5 == 0 => Input::MediaHeard { socket },
                _ => Input::Tick,
            };
            if self.hand_in(&mut call, t0, now, input) {
                return Some(now - t0);
            }
        }
        None
    }

    /// Lets no get-call be answered; says whether the second number was dialed.
    fn hand_in(&mut self, call: &mut Call, t0: Instant, now: Instant, input: Input) -> bool {
        let mut inputs = vec![input];
        let mut dialed = false;
        while let Some(input) = inputs.pop() {
            call.handle(now, input);
            loop {
                match call.poll() {
                    Output::WaitUntil(_) => break,
                    Output::Place { target, .. } => dialed |= target == 1,
                    Output::Get { attempt, .. } => inputs.push(Input::StatusFailed { attempt }),
                    Output::HangUp { attempt, .. } => {
                        assert_eq!(attempt, AttemptId(1));
                        self.hung_up = Some(now - t0);
                    }
                    _ => {}
                }
            }
        }
        dialed
    }
}

fn hung_up(attempt: AttemptId) -> Input {
    let report = Report {
        status: Status::Completed,
        reason: Some(Reason::Local),
    };
    let answer = HangUpAnswer::Taken(report);
    Input::HungUp { attempt, answer }
}
