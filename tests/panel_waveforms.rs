//! What switches, cables and welders do to a button line, and what the panel
//! makes of it: one press is one call, noise is no call.
//!
//! A waveform is a row of times in microseconds, active and inactive in turn,
//! beginning with active. It is played edge by edge with the stamps a kernel
//! would give, and time goes on for a second after it.

mod panel {
    pub(crate) mod bench;
    mod reference;
    mod stories;
}

use callbox::panel::{ButtonConfig, Config, Level, Output};
use panel::bench::{Bench, STATUS, ms, story};

const MS: u64 = 1000;

/// A waveform of `n` times the same pulse.
fn pulses(n: usize, active: u64, inactive: u64) -> Vec<u64> {
    [active, inactive].repeat(n)
}

/// Contact bounce of `length`, half of it closed, then a firm press and a clean release.
fn bounce(length: u64, chatter: u64) -> Vec<u64> {
    let mut wave = pulses((length / (2 * chatter)) as usize, chatter, chatter);
    wave.push(150 * MS);
    wave
}

/// A clean press whose release bounces for `length`.
fn release_bounce(length: u64, chatter: u64) -> Vec<u64> {
    let mut wave = vec![150 * MS, chatter];
    wave.extend(pulses((length / (2 * chatter)) as usize, chatter, chatter));
    wave
}

/// A half wave of mains pickup at `hertz` that is active for `percent` of a period.
fn mains(hertz: u64, percent: u64, seconds: u64) -> Vec<u64> {
    let period = 1_000_000 / hertz;
    let active = period * percent / 100;
    pulses((hertz * seconds) as usize, active, period - active)
}

/// A slow edge through a filter of resistor and capacitor: the line crosses the
/// threshold with growing, then sure, closed times.
fn slow_edge() -> Vec<u64> {
    let mut wave: Vec<u64> = (1..=20).flat_map(|n| [n * 10, (21 - n) * 10]).collect();
    wave.push(150 * MS);
    wave.push(10);
    wave.extend((1..=20).rev().flat_map(|n| [n * 10, (21 - n) * 10]));
    wave
}

/// A welder's ignition: packets of very short spikes, a hundred packets a second.
fn welder(seconds: u64) -> Vec<u64> {
    let mut wave = Vec::new();
    for _ in 0..seconds * 100 {
        wave.extend(pulses(9, 50, 150));
        wave.extend([50, 8 * MS]);
    }
    wave
}

#[test]
fn one_press_is_one_call() {
    let cases: Vec<(&str, Vec<u64>)> = vec![
        ("a perfect switch", vec![150 * MS]),
        ("a quick finger, 30 ms", vec![30 * MS]),
        ("typical switch, 1.6 ms", bounce(1600, 200)),
        ("most switches, 6.2 ms", bounce(6200, 310)),
        ("worst of eighteen switches, 157 ms", bounce(157 * MS, 500)),
        ("160 ms, slow chatter", bounce(160 * MS, 10 * MS)),
        ("160 ms, fast chatter", bounce(160 * MS, 100)),
        ("release bounce, 1.6 ms", release_bounce(1600, 200)),
        ("release bounce, 160 ms", release_bounce(160 * MS, 5 * MS)),
        (
            "contact fires again after 81 ms",
            vec![150 * MS, 81 * MS, 2 * MS],
        ),
        (
            "contact fires again after 81 ms, for long enough to be a press",
            vec![150 * MS, 81 * MS, 40 * MS],
        ),
        (
            "bounce after 190 ms of release",
            vec![60 * MS, 190 * MS, 60 * MS],
        ),
        ("slow edge through a filter", slow_edge()),
        (
            "a poor contact that opens while it is held",
            [
                vec![80 * MS],
                [5 * MS, 45 * MS].repeat(20),
                vec![15 * MS, 80 * MS],
            ]
            .concat(),
        ),
        (
            "pressed while mains hum rides on the line",
            [mains(50, 20, 1), vec![300 * MS]].concat(),
        ),
        (
            "pressed through a welder's spikes",
            [welder(1), vec![300 * MS]].concat(),
        ),
        (
            "held while a welder opens the line a hundred times a second",
            pulses(30, 9 * MS, MS),
        ),
    ];
    for (name, wave) in cases {
        let heard = story(&wave);
        assert_eq!(heard.presses, 1, "{name}: {heard:?}");
        assert_eq!(heard.long_presses, 0, "{name}: {heard:?}");
    }
}

#[test]
fn noise_is_no_call() {
    let cases: Vec<(&str, Vec<u64>)> = vec![
        ("one spike", vec![100]),
        ("one spike just too short", vec![19_999]),
        ("static discharge: a spike and its ringing", pulses(8, 5, 7)),
        ("relay next door", [3 * MS, 400, 200, 5 * MS, 2 * MS].into()),
        (
            "spikes every 250 ms for ten seconds",
            pulses(40, 2 * MS, 248 * MS),
        ),
        ("bursts of 15 ms every 100 ms", pulses(50, 15 * MS, 85 * MS)),
        ("welder, ten seconds", welder(10)),
        ("50 Hz pickup, a tenth", mains(50, 10, 10)),
        ("50 Hz pickup, half", mains(50, 50, 10)),
        ("60 Hz pickup, a third", mains(60, 33, 10)),
        ("60 Hz pickup, half", mains(60, 50, 10)),
        ("railway 16.7 Hz pickup, a third", mains(17, 33, 10)),
        ("interrupt storm, 20 kHz", pulses(20_000, 20, 30)),
        ("radio keyed beside the cable", pulses(3000, 100, 101)),
    ];
    for (name, wave) in cases {
        let heard = story(&wave);
        assert_eq!(heard.presses, 0, "{name}: {heard:?}");
        assert!(heard.noise_bursts > 0, "{name}: noise was not counted");
        assert!(!heard.lit_at_end, "{name}: the lamp stayed lit");
    }
}

#[test]
fn two_presses_are_two_calls() {
    let cases: Vec<(&str, Vec<u64>)> = vec![
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
