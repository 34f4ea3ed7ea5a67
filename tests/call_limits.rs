//! The limits of one device and their memory across restarts: what the stories
//! do not tell, since it is about the saved form.

use std::time::{Duration, Instant};

use callbox::call::{
    Call, Config, Ended, Input, Kind, Limit, Output, Plan, Record, Refusal, Snapshot, Used,
};
use callbox::units::{AttemptId, ButtonId, Mode};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_saved_memory_comes_back_older() {
    let now = Instant::now(); // an arbitrary origin; only sums of it are used
    let saved = Snapshot {
        calls: vec![used(DAY), used(DAY - MINUTE), used(MINUTE)],
        failures: 3,
        back_off: MINUTE,
        retry_after: 2 * MINUTE,
    };
    let later = start(&saved, now).limits(now + MINUTE);
    let want = Snapshot {
        calls: vec![used(2 * MINUTE)],
        failures: 3,
        back_off: Duration::ZERO,
        retry_after: MINUTE,
    };
    assert_eq!(later, want);
}

#[test]
fn time_without_power_ages_what_was_saved_and_nothing_else() {
    let now = Instant::now(); // an arbitrary origin; only sums of it are used
    let saved = Snapshot {
        calls: vec![used(DAY - MINUTE), used(MINUTE), used(Duration::ZERO)],
        retry_after: 10 * MINUTE,
        ..Snapshot::default()
    };
    let mut call = start(&saved, now);
    let later = now + MINUTE / 2;
    call.age_limits(4 * MINUTE);
    let aged = call.limits(later);
    let half = MINUTE / 2;
    assert_eq!(
        aged.calls,
        [used(5 * MINUTE + half), used(4 * MINUTE + half)]
    );
    assert_eq!(aged.retry_after, 6 * MINUTE - half);

    let mut call = start(&Snapshot::default(), now);
    assert_eq!(press(&mut call, later).ended, None);
    call.age_limits(4 * MINUTE);
    assert_eq!(call.limits(later).calls[0].ago, Duration::ZERO);
}

#[test]
fn more_calls_than_the_limit_are_forgotten_oldest_first() {
    let now = Instant::now(); // an arbitrary origin; only sums of it are used
    let saved = Snapshot {
        calls: (1..100).rev().map(|n| used(n * MINUTE)).collect(),
        ..Snapshot::default()
    };
    let kept = start(&saved, now).limits(now).calls;
    let limit = usize::from(Config::default().calls_per_day);
    assert_eq!((kept.len(), kept[limit - 1]), (limit, used(MINUTE)));
}

#[test]
fn a_memory_with_impossible_times_is_over_in_a_day() {
    let now = Instant::now(); // an arbitrary origin; only sums of it are used
    let impossible = Snapshot {
        calls: vec![Used {
            ago: Duration::ZERO,
            answered: Duration::MAX,
        }],
        failures: u32::MAX,
        back_off: Duration::MAX,
        retry_after: Duration::MAX,
    };
    let mut call = start(&impossible, now);
    let limited = Some(Ended::Limited(Limit::RetryAfter));
    assert_eq!(press(&mut call, now).ended, limited);
    let tomorrow = press(&mut call, now + DAY);
    assert_eq!((tomorrow.ended, tomorrow.sent.is_some()), (None, true));
}

#[test]
fn the_pause_doubles_up_to_its_most() {
    let mut now = Instant::now(); // an arbitrary origin; only sums of it are used
    let mut call = start(&Snapshot::default(), now);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let attempt = press(&mut call, now).attempt;
        let why = Refusal::Carrier;
        hand_in(&mut call, now, Input::Refused { attempt, why });
        let pause = call.limits(now).back_off;
        pauses.push(pause.as_secs());
        now += pause;
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
}

#[test]
fn what_the_service_refused_does_not_count() {
    let now = Instant::now(); // an arbitrary origin; only sums of it are used
    for (why, counted) in [
        (Refusal::Offline, 0),
        (Refusal::Unauthorized, 0),
        (Refusal::Limit { retry_after: None }, 0),
        (Refusal::Carrier, 1),
    ] {
        let mut call = start(&Snapshot::default(), now);
        let attempt = AttemptId(1);
        press(&mut call, now);
        assert_eq!(call.limits(now).calls.len(), 1, "{why:?}: while it is out");
        hand_in(&mut call, now, Input::Refused { attempt, why });
        assert_eq!(call.limits(now).calls.len(), counted, "{why:?}");
    }
}

fn used(ago: Duration) -> Used {
    let answered = MINUTE;
    Used { ago, answered }
}

fn start(saved: &Snapshot, now: Instant) -> Call {
    let mut call = Call::new(Config::default(), saved, now);
    hand_in(&mut call, now, Input::Tick);
    hand_in(&mut call, now, Input::Orphans(Vec::new()));
    call
}

fn press(call: &mut Call, now: Instant) -> Record {
    let press = Input::Press {
        button: ButtonId(0),
        qualified_in: Duration::ZERO,
        plan: Plan {
            kind: Kind::Talk,
            targets: vec![0],
            cycles: 1,
            ring_for: MINUTE,
            confirm: None,
            mode: Mode::default(),
        },
    };
    hand_in(call, now, press).expect("a press is on record")
}

/// Hands in and drains; returns the last record that came out.
fn hand_in(call: &mut Call, now: Instant, input: Input) -> Option<Record> {
    call.handle(now, input);
    let mut last = None;
    loop {
        match call.poll() {
            Output::WaitUntil(_) => return last,
            Output::Record(record) => last = Some(*record),
            _ => {}
        }
    }
}
