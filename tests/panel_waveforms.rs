//! What the panel makes of switches, cables and welders: one press is one call,
//! noise is no call.
//!
//! The waveforms are in `panel/waveforms.rs`; each is played edge by edge with
//! the stamps a kernel would give, and time goes on for a second after it.

mod panel {
    pub(crate) mod bench;
    mod reference;
    mod stories;
    pub(crate) mod waveforms;
}

use callbox::panel::{ButtonConfig, Config, Level, Output};
use panel::bench::{Bench, STATUS, ms, story};
use panel::waveforms::{MS, Named, bounce, mains, noise, one_press, pulses, welder};

#[test]
fn one_press_is_one_call() {
    for (name, wave) in one_press() {
        let heard = story(&wave);
        assert_eq!(heard.presses, 1, "{name}: {heard:?}");
        assert_eq!(heard.long_presses, 0, "{name}: {heard:?}");
    }
}

#[test]
fn noise_is_no_call() {
    for (name, wave) in noise() {
        let heard = story(&wave);
        assert_eq!(heard.presses, 0, "{name}: {heard:?}");
        assert!(heard.noise_bursts > 0, "{name}: noise was not counted");
        assert!(!heard.lit_at_end, "{name}: the lamp stayed lit");
    }
}

#[test]
fn two_presses_are_two_calls() {
    let cases: Vec<Named> = vec![
        ("clean, 201 ms apart", vec![60 * MS, 201 * MS, 60 * MS]),
        (
            "bouncing, 250 ms of quiet between",
            [bounce(20 * MS, 500), vec![250 * MS], bounce(20 * MS, 500)].concat(),
        ),
        (
            "noise before, between and after",
            [
                vec![MS, 300 * MS],
                vec![60 * MS, 300 * MS],
                vec![MS, 300 * MS],
                vec![60 * MS, 300 * MS],
                vec![MS],
            ]
            .concat(),
        ),
    ];
    for (name, wave) in cases {
        assert_eq!(story(&wave).presses, 2, "{name}");
    }
}

/// On a line that never falls quiet the button must not be dead.
#[test]
fn a_finger_is_heard_through_endless_noise() {
    let noise = || pulses(40, MS, 99 * MS);
    let wave = [
        noise(),
        vec![100 * MS, 99 * MS],
        noise(),
        vec![100 * MS],
        vec![99 * MS],
        noise(),
    ];
    let heard = story(&wave.concat());
    assert_eq!(heard.presses, 2, "{heard:?}");
}

/// The limit of the rule, written on the module's page: no judge can tell this
/// from a finger on a poor contact.
#[test]
fn hum_that_is_active_for_most_of_the_time_is_taken_for_a_finger() {
    assert_eq!(story(&mains(50, 70, 2)).presses, 1);
}

/// Waveforms on a button that tells double presses.
#[test]
fn a_double_press_is_told_from_bounce_and_from_two_presses() {
    let cases: Vec<(&str, Vec<u64>, (usize, usize))> = vec![
        ("one press", vec![100 * MS], (1, 0)),
        ("two quick ones", vec![60 * MS, 110 * MS, 60 * MS], (0, 1)),
        ("two at ease", vec![120 * MS, 230 * MS, 120 * MS], (0, 1)),
        ("two slow ones", vec![120 * MS, 300 * MS, 120 * MS], (2, 0)),
        (
            "two that bounce, 6.2 ms",
            [
                bounce(6200, 310),
                vec![310, 310, 130 * MS],
                bounce(6200, 310),
            ]
            .concat(),
            (0, 1),
        ),
        (
            "contact fires again after 81 ms",
            vec![100 * MS, 81 * MS, 40 * MS],
            (1, 0),
        ),
        ("a press held for a second", vec![1000 * MS], (1, 0)),
        (
            "a press and a spike",
            vec![100 * MS, 120 * MS, 3 * MS],
            (1, 0),
        ),
        (
            "three quick ones",
            vec![60 * MS, 110 * MS, 60 * MS, 110 * MS, 60 * MS],
            (1, 1),
        ),
        ("welder, two seconds", welder(2), (0, 0)),
    ];
    for (name, wave, wanted) in cases {
        let config = Config {
            buttons: vec![ButtonConfig {
                calls: None,
                long_press: false,
                double_press: true,
            }],
            ..Config::default()
        };
        let mut bench = Bench::new(&config, &[Level::Inactive]);
        bench.play(ms(1000), &wave);
        let is_double = |(_, o): &&(_, Output)| matches!(o, Output::DoublePress { .. });
        let doubles = bench.heard.iter().filter(is_double).count();
        assert_eq!((bench.presses().len(), doubles), wanted, "{name}");
    }
}

#[test]
fn a_press_counts_twenty_ms_after_its_first_edge() {
    let mut bench = Bench::default();
    bench.play(ms(1000), &[150 * MS]);
    let [press] = bench.presses()[..] else {
        panic!("{:?}", bench.heard)
    };
    assert_eq!(press, (ms(1000), ms(1020)));
}

#[test]
fn the_lamp_is_lit_at_the_first_edge_and_dark_soon_after_noise() {
    let mut bench = Bench::default();
    bench.play(ms(1000), &[100]);
    assert_eq!(
        bench.of(STATUS),
        [
            (ms(0), false),
            (ms(1000), true),
            (ms(1200) + ms(1) / 10, false)
        ]
    );
}
