//! Stories of one device at a door: long and double presses, stuck and lost
//! buttons, two fingers, what the lamps say meanwhile, and when the door opens.

use std::time::Duration;

use callbox::panel::{
    ButtonConfig, CallsOn, Config, Input, Level, Output, RelayConfig, Show, Trouble,
};
use callbox::units::ButtonId;

use super::bench::{Bench, GREEN, STATUS, Thing, YELLOW, ms};

const ONE: ButtonId = ButtonId(0);
const TWO: ButtonId = ButtonId(1);

fn two_buttons() -> Bench {
    Bench::new(&Config::default(), &[Level::Inactive; 2])
}

fn press(button: ButtonId, first_edge: Duration, qualified: Duration) -> (Duration, Output) {
    let press = Output::Press {
        button,
        first_edge,
        qualified,
    };
    (qualified, press)
}

fn first_edge(button: ButtonId, at: Duration) -> (Duration, Output) {
    (at, Output::FirstEdge { button })
}

#[test]
fn a_long_press_is_told_once() {
    let mut bench = Bench::default();
    bench.edge(ms(0), ONE, Level::Active);
    bench.wait(ms(30_000));
    assert_eq!(
        bench.heard,
        [
            first_edge(ONE, ms(0)),
            press(ONE, ms(0), ms(20)),
            (ms(2020), Output::LongPress { button: ONE }),
        ]
    );
}

#[test]
fn a_stuck_button_is_told_once_and_locked_until_it_is_let_go() {
    let mut bench = Bench::default();
    bench.edge(ms(0), ONE, Level::Active);
    bench.wait(ms(3_600_000));
    bench.edge(ms(3_600_000), ONE, Level::Inactive);
    bench.wait(ms(3_601_000));
    assert_eq!(
        bench.heard[2..],
        [
            (ms(2020), Output::LongPress { button: ONE }),
            (ms(60_020), Output::Stuck { button: ONE }),
            (ms(3_600_200), Output::Freed { button: ONE }),
        ]
    );
    bench.play(ms(3_602_000), &[100_000]);
    assert_eq!(bench.presses().len(), 2, "a freed button works again");
}

#[test]
fn what_is_wrong_is_flashed_until_somebody_presses_and_again_after() {
    for trouble in Trouble::ALL {
        let mut bench = Bench::default();
        let wrong = Show::Trouble(trouble);
        bench.hand_in(ms(0), Input::Show(wrong));
        // Up to the end of the pause behind the last flash.
        bench.wait(ms(500 * trouble.flashes() as u64 + 1100));
        let lit = |bench: &Bench, thing| bench.of(thing).iter().filter(|(_, lit)| *lit).count();
        assert_eq!(lit(&bench, STATUS), trouble.flashes(), "{trouble:?}");
        assert_eq!(lit(&bench, YELLOW) + lit(&bench, GREEN), 0);
        bench.play(ms(20_000), &[100_000]);
        assert_eq!(bench.panel.showing(), Show::Pressed);
        // Nothing comes of it, which is shown for three seconds.
        bench.wait(ms(31_000));
        assert_eq!(bench.panel.showing(), Show::Failed);
        bench.wait(ms(34_000));
        assert_eq!(bench.panel.showing(), wrong);
    }
}

#[test]
fn a_button_held_at_the_start_is_no_press() {
    let mut bench = Bench::new(&Config::default(), &[Level::Active]);
    bench.wait(ms(70_000));
    assert_eq!(bench.heard, [(ms(60_000), Output::Stuck { button: ONE })]);
    assert_eq!(bench.panel.showing(), Show::Stuck);
    bench.edge(ms(70_000), ONE, Level::Inactive);
    bench.wait(ms(71_000));
    assert_eq!(bench.panel.showing(), Show::Idle);
    bench.play(ms(72_000), &[100_000]);
    assert_eq!(bench.presses().len(), 1);
}

#[test]
fn two_buttons_at_once_are_two_presses_the_lower_first() {
    let mut bench = two_buttons();
    bench.edge(ms(0), TWO, Level::Active);
    bench.edge(ms(0), ONE, Level::Active);
    bench.wait(ms(100));
    assert_eq!(
        bench.heard,
        [
            first_edge(TWO, ms(0)),
            first_edge(ONE, ms(0)),
            press(ONE, ms(0), ms(20)),
            press(TWO, ms(0), ms(20)),
        ]
    );
}

#[test]
fn a_late_tick_keeps_the_order_in_which_presses_counted() {
    let mut bench = two_buttons();
    bench.edge(ms(5), ONE, Level::Active);
    bench.edge(ms(7), ONE, Level::Inactive);
    bench.edge(ms(8), TWO, Level::Active);
    bench.edge(ms(9), ONE, Level::Active);
    bench.hand_in(ms(500), Input::Tick);
    let order: Vec<_> = bench.presses().iter().map(|(_, at)| *at).collect();
    assert_eq!(order, [ms(28), ms(29)]);
}

/// The reader was held up: the stamps decide, not the time of reading.
#[test]
fn a_short_spike_read_late_is_no_press() {
    let mut bench = Bench::default();
    for (sequence, at, level) in [(1, 100, Level::Active), (2, 105, Level::Inactive)] {
        let edge = Input::Edge {
            button: ONE,
            level,
            sequence,
        };
        bench.hand_in(ms(at), edge);
    }
    bench.wait(ms(2000));
    assert!(bench.presses().is_empty());
}

#[test]
fn with_qualify_zero_the_first_edge_counts() {
    let config = Config {
        qualify: Duration::ZERO,
        ..Config::default()
    };
    let mut bench = Bench::new(&config, &[Level::Inactive]);
    bench.play(ms(1000), &[300, 500, 90_000, 400, 200]);
    assert_eq!(bench.presses(), [(ms(1000), ms(1000))]);
}

#[test]
fn lost_edges_ask_for_the_level_and_claim_nothing() {
    let mut bench = Bench::default();
    let edge = |sequence, level| Input::Edge {
        button: ONE,
        level,
        sequence,
    };
    // Numbers 2 to 300 were lost: the 19 ms between were anything.
    bench.hand_in(ms(0), edge(1, Level::Active));
    bench.hand_in(ms(19), edge(301, Level::Active));
    assert_eq!(bench.heard[1], (ms(19), Output::ReadLevel { button: ONE }));
    let level = Level::Active;
    bench.hand_in(ms(20), Input::Level { button: ONE, level });
    bench.wait(ms(38));
    assert!(bench.presses().is_empty(), "time nobody saw was counted");
    bench.wait(ms(39));
    assert_eq!(bench.presses(), [(ms(0), ms(39))]);

    // Lost while held: no long press out of time nobody saw.
    bench.hand_in(ms(2500), edge(302, Level::Inactive));
    bench.hand_in(ms(2510), edge(900, Level::Active));
    let long = |b: &Bench| {
        b.heard
            .contains(&(ms(2039), Output::LongPress { button: ONE }))
    };
    assert!(!long(&bench));
}

#[test]
fn edges_lost_while_held_start_the_long_press_anew() {
    let mut bench = Bench::default();
    bench.edge(ms(0), ONE, Level::Active);
    bench.pass(ms(1900));
    let level = Level::Active;
    let edge = Input::Edge {
        button: ONE,
        level,
        sequence: 50,
    };
    bench.hand_in(ms(1900), edge);
    bench.wait(ms(10_000));
    let long = (ms(3900), Output::LongPress { button: ONE });
    assert!(bench.heard.contains(&long), "{:?}", bench.heard);
}

#[test]
fn edges_out_of_order_or_seen_before_are_ignored() {
    let mut bench = Bench::default();
    let edge = |sequence, level| Input::Edge {
        button: ONE,
        level,
        sequence,
    };
    bench.hand_in(ms(10), edge(u32::MAX, Level::Active));
    bench.hand_in(ms(11), edge(0, Level::Inactive)); // the numbers wrap
    bench.hand_in(ms(11), edge(1, Level::Active)); // equal stamps
    bench.hand_in(ms(12), edge(0, Level::Inactive)); // overtaken
    bench.hand_in(ms(12), edge(1, Level::Inactive)); // seen before
    bench.hand_in(ms(5), edge(2, Level::Active)); // stamped before the last
    bench.wait(ms(500));
    assert_eq!(
        bench.heard,
        [first_edge(ONE, ms(10)), press(ONE, ms(10), ms(30))]
    );
}

/// The kernel reads the line a moment after the edge: a pulse that is over by
/// then shows as the same level twice.
#[test]
fn a_pulse_too_short_to_be_seen_interrupts_the_release() {
    let mut bench = Bench::default();
    bench.edge(ms(0), ONE, Level::Active);
    bench.edge(ms(100), ONE, Level::Inactive);
    bench.edge(ms(250), ONE, Level::Inactive);
    bench.edge(ms(400), ONE, Level::Active);
    bench.wait(ms(1000));
    assert_eq!(bench.presses().len(), 1, "{:?}", bench.heard);
}

#[test]
fn a_reopened_line_may_count_from_one_again() {
    let mut bench = Bench::default();
    bench.play(ms(0), &[30_000]);
    let level = Level::Inactive;
    bench.hand_in(ms(2000), Input::Level { button: ONE, level });
    let level = Level::Active;
    let edge = Input::Edge {
        button: ONE,
        level,
        sequence: 1,
    };
    bench.hand_in(ms(3000), edge);
    bench.wait(ms(3100));
    assert_eq!(bench.presses().len(), 2);
}

#[test]
fn buttons_that_do_not_exist_are_ignored() {
    let mut bench = Bench::default();
    let (button, level) = (ButtonId(200), Level::Active);
    bench.hand_in(ms(0), Input::Level { button, level });
    bench.wait(ms(1000));
    assert!(bench.heard.is_empty());
}

/// One input leaves at most three words for the others, in any storm.
#[test]
fn a_storm_of_edges_costs_the_same_for_each() {
    let mut bench = Bench::default();
    for n in 0..200_000_u64 {
        let level = if n % 2 == 0 {
            Level::Active
        } else {
            Level::Inactive
        };
        let before = bench.heard.len();
        bench.edge(Duration::from_micros(n * 7), ONE, level);
        assert!(bench.heard.len() - before <= 3);
    }
    assert!(bench.heard.len() <= 4, "{:?}", bench.heard);
}

#[test]
fn a_press_is_shown_until_the_call_says_more() {
    let mut bench = Bench::default();
    bench.edge(ms(1000), ONE, Level::Active);
    bench.edge(ms(1100), ONE, Level::Inactive);
    bench.wait(ms(1500));
    bench.hand_in(ms(1500), Input::Show(Show::Dialing));
    bench.wait(ms(2600));
    assert_eq!(
        bench.of(STATUS),
        [
            (ms(0), false),
            (ms(1000), true),
            (ms(2000), false),
            (ms(2500), true)
        ]
    );
}

#[test]
fn a_press_nobody_answers_fails_by_itself() {
    let mut bench = Bench::default();
    bench.play(ms(0), &[100_000]);
    let mut shown = |at| {
        bench.wait(ms(at));
        bench.panel.showing()
    };
    assert_eq!(shown(9_000), Show::Pressed);
    assert_eq!(shown(10_500), Show::Failed);
    assert_eq!(shown(13_100), Show::Idle);
}

#[test]
fn a_failure_is_shown_to_its_end_and_gives_way_to_a_new_call() {
    let mut bench = Bench::default();
    bench.hand_in(ms(0), Input::Show(Show::Dialing));
    bench.hand_in(ms(1000), Input::Show(Show::Failed));
    bench.hand_in(ms(1000), Input::Show(Show::Offline));
    bench.wait(ms(3900));
    assert_eq!(bench.panel.showing(), Show::Failed);
    bench.wait(ms(4000));
    assert_eq!(bench.panel.showing(), Show::Offline);

    bench.hand_in(ms(5000), Input::Show(Show::Limited));
    bench.hand_in(ms(5500), Input::Show(Show::Dialing));
    assert_eq!(bench.panel.showing(), Show::Dialing);
}

#[test]
fn a_press_during_a_call_is_acknowledged_and_the_call_shown_again() {
    let mut bench = Bench::default();
    bench.hand_in(ms(0), Input::Show(Show::Ringing));
    // 500 ms into the double ring the lamp is dark: the touch must be seen.
    bench.edge(ms(500), ONE, Level::Active);
    assert_eq!(bench.of(STATUS).last(), Some(&(ms(500), true)));
    bench.edge(ms(650), ONE, Level::Inactive);
    bench.wait(ms(700));
    assert_eq!(bench.panel.showing(), Show::Pressed);
    bench.wait(ms(830));
    assert_eq!(bench.panel.showing(), Show::Ringing);
}

#[test]
fn a_stuck_button_does_not_hide_the_call() {
    let mut bench = Bench::new(&Config::default(), &[Level::Active, Level::Inactive]);
    bench.wait(ms(61_000));
    assert_eq!(bench.panel.showing(), Show::Stuck);
    bench.hand_in(ms(62_000), Input::Show(Show::Answered));
    assert_eq!(bench.panel.showing(), Show::Answered);
}

/// A volume button that also tells double presses.
const VOLUME: ButtonConfig = ButtonConfig {
    calls: None,
    long_press: false,
    double_press: true,
};

fn one(button: ButtonConfig) -> Bench {
    let config = Config {
        buttons: vec![button],
        ..Config::default()
    };
    assert_eq!(config.check(), Ok(()));
    Bench::new(&config, &[Level::Inactive])
}

#[test]
fn two_quick_presses_are_a_double_press_and_nothing_else() {
    let mut bench = one(VOLUME);
    bench.play(ms(1000), &[80_000, 120_000, 80_000]);
    assert_eq!(
        bench.heard,
        [
            first_edge(ONE, ms(1000)),
            first_edge(ONE, ms(1200)),
            (ms(1220), Output::DoublePress { button: ONE }),
        ]
    );
}

/// It is told late, with the times at which it counted.
#[test]
fn a_single_press_waits_for_the_second_only_where_there_can_be_one() {
    let mut bench = one(VOLUME);
    bench.play(ms(1000), &[80_000]);
    let (_, told) = press(ONE, ms(1000), ms(1020));
    assert_eq!(bench.heard[1..], [(ms(1420), told)]);

    let mut bench = one(ButtonConfig {
        double_press: false,
        ..VOLUME
    });
    bench.play(ms(1000), &[80_000]);
    assert_eq!(bench.heard[1..], [press(ONE, ms(1000), ms(1020))]);
}

#[test]
fn presses_too_far_apart_are_two_and_a_third_begins_anew() {
    let mut bench = one(VOLUME);
    bench.play(ms(1000), &[80_000, 330_000, 80_000]); // counted 410 ms apart
    assert_eq!(bench.presses().len(), 2);

    let mut bench = one(VOLUME);
    let quick = [80_000, 120_000, 80_000, 120_000, 80_000];
    bench.play(ms(1000), &quick);
    let doubles = bench.heard.iter().filter(|(_, o)| is_double(o)).count();
    assert_eq!((doubles, bench.presses().len()), (1, 1));
}

fn is_double(output: &Output) -> bool {
    matches!(output, Output::DoublePress { .. })
}

/// Two buttons side by side are no double press, however quick.
#[test]
fn a_double_press_is_of_one_button() {
    let config = Config {
        buttons: vec![VOLUME; 2],
        ..Config::default()
    };
    let mut bench = Bench::new(&config, &[Level::Inactive; 2]);
    for (at, button) in [(1000, ONE), (1150, TWO)] {
        bench.edge(ms(at), button, Level::Active);
        bench.edge(ms(at + 60), button, Level::Inactive);
    }
    bench.wait(ms(3000));
    assert_eq!(bench.presses().len(), 2, "{:?}", bench.heard);
}

/// A knob jammed by a splinter must not end at full volume.
#[test]
fn a_held_volume_button_moves_one_step() {
    let mut bench = one(ButtonConfig {
        double_press: false,
        ..VOLUME
    });
    bench.edge(ms(0), ONE, Level::Active);
    bench.wait(ms(3_600_000));
    assert_eq!(
        bench.heard,
        [
            first_edge(ONE, ms(0)),
            press(ONE, ms(0), ms(20)),
            (ms(60_020), Output::Stuck { button: ONE }),
        ]
    );
}

#[test]
fn edges_lost_between_two_presses_make_no_double_press_of_them() {
    let mut bench = one(VOLUME);
    bench.edge(ms(1000), ONE, Level::Active);
    bench.edge(ms(1100), ONE, Level::Inactive);
    // The kernel's buffer was full for more than the time of a double press.
    let edge = Input::Edge {
        button: ONE,
        level: Level::Active,
        sequence: 300,
    };
    bench.pass(ms(1400));
    bench.hand_in(ms(1500), edge);
    bench.wait(ms(3000));
    assert!(!bench.heard.iter().any(|(_, o)| is_double(o)));
}

/// A volume button says that it was felt, and never that a call begins.
#[test]
fn a_button_that_does_not_call_lights_the_lamp_for_a_moment() {
    let mut bench = one(ButtonConfig {
        double_press: false,
        ..VOLUME
    });
    bench.play(ms(1000), &[100_000]);
    bench.wait(ms(20_000));
    let (dark, lit) = (false, true);
    let wanted = [(ms(0), dark), (ms(1000), lit), (ms(1320), dark)];
    assert_eq!(bench.of(STATUS), wanted);
    assert_eq!(bench.of(YELLOW), [(ms(0), dark)]);
}

/// Where leaning on a button must not call, holding it does.
#[test]
fn a_button_can_call_by_a_long_press_alone() {
    let mut bench = one(ButtonConfig {
        calls: Some(CallsOn::LongPress),
        ..ButtonConfig::default()
    });
    bench.play(ms(1000), &[100_000]);
    assert_eq!(bench.of(YELLOW), [(ms(0), false)], "a short one");
    bench.edge(ms(5000), ONE, Level::Active);
    bench.wait(ms(8000));
    assert_eq!(bench.of(YELLOW), [(ms(0), false), (ms(7020), true)]);
    assert_eq!(bench.panel.showing(), Show::Pressed);
}

/// A call as an emergency phone shows it: yellow from the press to the end,
/// green while somebody is on the line.
#[test]
fn the_pictograms_follow_the_call() {
    let mut bench = Bench::default();
    bench.edge(ms(1000), ONE, Level::Active);
    bench.edge(ms(1100), ONE, Level::Inactive);
    for (at, show) in [
        (1200, Show::Dialing),
        (3000, Show::Ringing),
        (9000, Show::Answered),
        (20_000, Show::Reconnecting),
        (22_000, Show::Answered),
        (40_000, Show::Idle),
    ] {
        bench.pass(ms(at));
        bench.hand_in(ms(at), Input::Show(show));
    }
    bench.wait(ms(60_000));
    let yellow = [(0, false), (1020, true), (40_000, false)];
    let green = [
        (0, false),
        (9000, true),
        (20_000, false),
        (22_000, true),
        (40_000, false),
    ];
    let times = |changes: &[(u64, bool)]| -> Vec<_> {
        changes.iter().map(|(at, on)| (ms(*at), *on)).collect()
    };
    assert_eq!(bench.of(YELLOW), times(&yellow));
    assert_eq!(bench.of(GREEN), times(&green));
}

#[test]
fn yellow_goes_out_when_a_call_fails_or_nobody_takes_the_press() {
    let mut bench = Bench::default();
    bench.hand_in(ms(0), Input::Show(Show::Dialing));
    bench.hand_in(ms(500), Input::Show(Show::Failed));
    bench.play(ms(10_000), &[100_000]); // nothing ever follows from this one
    bench.wait(ms(30_000));
    let changes = [
        (0, false),
        (0, true),
        (500, false),
        (10_020, true),
        (20_020, false),
    ];
    assert_eq!(bench.of(YELLOW), changes.map(|(at, on)| (ms(at), on)));
}

#[test]
fn noise_lights_no_pictogram() {
    let mut bench = Bench::default();
    for n in 0..100 {
        bench.play(ms(n * 2000), &[3_000, 2_000, 5_000]);
    }
    assert_eq!(bench.of(YELLOW), [(ms(0), false)]);
    assert_eq!(bench.of(GREEN), [(ms(0), false)]);
}

fn two_doors() -> Bench {
    let relay = |ms| RelayConfig {
        pulse: Duration::from_millis(ms),
    };
    let config = Config {
        relays: vec![relay(500), relay(5000)],
        ..Config::default()
    };
    Bench::new(&config, &[Level::Inactive])
}

#[test]
fn each_door_opens_for_its_own_time() {
    let mut bench = two_doors();
    for relay in [1, 0] {
        bench.hand_in(ms(1000), Input::Open { relay });
    }
    bench.wait(ms(60_000));
    let pulse = |ends| [(ms(0), false), (ms(1000), true), (ms(ends), false)];
    assert_eq!(bench.of(Thing::Relay(0)), pulse(1500));
    assert_eq!(bench.of(Thing::Relay(1)), pulse(6000));
}

/// Whoever types the code all the time opens the door once a pulse, and cannot
/// hold it open.
#[test]
fn a_flood_of_openings_is_one_opening_a_pulse() {
    let mut bench = two_doors();
    for at in (0..10_000).step_by(100) {
        bench.wait(ms(at));
        bench.hand_in(ms(at), Input::Open { relay: 1 });
    }
    bench.wait(ms(60_000));
    let changes = [
        (0, false),
        (0, true),
        (5000, false),
        (5000, true),
        (10_000, false),
    ];
    let wanted = changes.map(|(at, on)| (ms(at), on));
    assert_eq!(bench.of(Thing::Relay(1)), wanted);
}

#[test]
fn doors_that_do_not_exist_are_ignored() {
    let mut bench = two_doors();
    for relay in 2..=u8::MAX {
        bench.hand_in(ms(1000), Input::Open { relay });
    }
    bench.wait(ms(60_000));
    assert!(bench.heard.is_empty());
    assert_eq!(bench.of(Thing::Relay(0)), [(ms(0), false)]);
}

/// Buttons and doors share the panel and nothing else.
#[test]
fn a_door_opens_in_time_while_a_button_is_stormed() {
    let mut bench = two_doors();
    bench.hand_in(ms(1000), Input::Open { relay: 0 });
    for n in 0..20_000_u64 {
        let level = [Level::Active, Level::Inactive][n as usize % 2];
        bench.edge(ms(1000) + Duration::from_micros(n * 50 + 1), ONE, level);
    }
    let closed = bench.of(Thing::Relay(0))[2];
    assert_eq!(closed, (ms(1500), false));
}

/// What is on when the panel goes, its lines lost or the process told to stop.
#[test]
fn a_panel_that_is_dropped_leaves_no_door_open_and_no_lamp_lit() {
    let mut bench = two_doors();
    bench.hand_in(ms(1000), Input::Show(Show::Answered));
    bench.hand_in(ms(1000), Input::Open { relay: 0 });
    let pins = [STATUS, YELLOW, GREEN, Thing::Relay(0), Thing::Relay(1)];
    let written = bench.drop_panel();
    for pin in pins {
        let last = written.iter().rfind(|(_, what, _)| *what == pin);
        assert!(last.is_some_and(|(_, _, on)| !on), "{pin:?}: {written:?}");
    }
}
