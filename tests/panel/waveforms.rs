//! What switches, cables and welders do to a button line.
//!
//! A waveform is a row of times in microseconds, active and inactive in turn,
//! beginning with active. The panel's tests play them edge by edge with stamps
//! a kernel would give; the emulated board plays them on a real line.

/// A waveform, and what it is like.
pub(crate) type Named = (&'static str, Vec<u64>);

pub(crate) const MS: u64 = 1000;

/// A waveform of `n` times the same pulse.
pub(crate) fn pulses(n: usize, active: u64, inactive: u64) -> Vec<u64> {
    [active, inactive].repeat(n)
}

/// Contact bounce of `length`, half of it closed, then a firm press and a clean release.
pub(crate) fn bounce(length: u64, chatter: u64) -> Vec<u64> {
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
pub(crate) fn mains(hertz: u64, percent: u64, seconds: u64) -> Vec<u64> {
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
pub(crate) fn welder(seconds: u64) -> Vec<u64> {
    let mut wave = Vec::new();
    for _ in 0..seconds * 100 {
        wave.extend(pulses(9, 50, 150));
        wave.extend([50, 8 * MS]);
    }
    wave
}

/// A finger, each once.
pub(crate) fn one_press() -> Vec<Named> {
    vec![
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
    ]
}

/// No finger.
pub(crate) fn noise() -> Vec<Named> {
    vec![
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
    ]
}
