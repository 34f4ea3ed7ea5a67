//! Rooms that are made, so that each measured value has a truth.

use super::findings::Cure;
use super::*;
use crate::audio::BUS_RATE;

/// What lies between speaker and microphone.
struct Room {
    rate: u32,
    delay: usize,
    gain: f64,
    /// What the speaker adds: parts of the square and of the cube.
    square: f64,
    cube: f64,
    /// Rms of the noise, in parts of full scale.
    noise: f64,
    offset: f64,
    /// What is done to it last, before it is cut to 16 bits.
    last: fn(f64) -> f64,
}

const ROOM: Room = Room {
    rate: BUS_RATE,
    delay: 500,
    gain: 0.125,
    square: 0.0,
    cube: 0.0,
    noise: 1e-4,
    offset: 0.0,
    last: |sample| sample,
};

impl Room {
    fn hear(&self, sweep: &Sweep) -> Vec<i16> {
        let mut seed = 7;
        let played = sweep.samples();
        let sample = |n: usize| {
            let x = n.checked_sub(self.delay).and_then(|n| played.get(n));
            let x = f64::from(x.copied().unwrap_or(0)) / 32_768.0;
            let x = x + self.square * x * x + self.cube * x * x * x;
            let y = self.gain * x + self.offset + self.noise * gauss(&mut seed);
            // `as` stops at the ends.
            ((self.last)(y) * 32_768.0).round() as i16
        };
        (0..sweep.listen()).map(sample).collect()
    }

    fn measure(&self) -> Measured {
        let sweep = Sweep::new(self.rate);
        measure(&sweep, &Heard::new(&self.hear(&sweep)))
    }

    fn way(&self) -> Way {
        let measured = self.measure();
        measured
            .way
            .clone()
            .unwrap_or_else(|| panic!("not heard: {:?}", names(&measured)))
    }
}

/// Noise of rms 1, near enough to a normal distribution.
fn gauss(seed: &mut u64) -> f64 {
    let mut sum = 0.0;
    for _ in 0..12 {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        sum += (*seed >> 40) as f64 / (1_u64 << 24) as f64;
    }
    sum - 6.0
}

fn names(measured: &Measured) -> Vec<&'static str> {
    judge(measured).into_iter().map(Finding::name).collect()
}

#[track_caller]
fn near(found: f32, truth: f32, off: f32) {
    assert!((found - truth).abs() <= off, "{found}, and it is {truth}");
}

#[test]
fn the_sweep_is_soft_and_has_no_step() {
    for rate in [16_000, 44_100, 48_000] {
        let sweep = Sweep::new(rate);
        let peak = sweep.samples().iter().map(|s| s.unsigned_abs()).max();
        let limit = 32_768.0 * amplitude(PEAK_DBFS);
        assert!(f32::from(peak.unwrap()) <= limit + 1.0);
        let ends = [sweep.samples()[0], *sweep.samples().last().unwrap()];
        assert!(ends.iter().all(|end| end.abs() < 8), "{ends:?}");
        assert_eq!(sweep.samples().len(), (2.5 * f64::from(rate)) as usize);
        // No sample is further from the one before than a tone at its end is.
        let step = sweep
            .samples()
            .windows(2)
            .map(|w| (w[1] - w[0]).abs())
            .max();
        let most = limit * (TAU * HIGH / f64::from(rate)) as f32;
        assert!(f32::from(step.unwrap()) <= most + 2.0);
    }
}

#[test]
fn each_value_is_what_the_room_is_made_with() {
    for rate in [16_000, 44_100, 48_000] {
        for (delay, gain) in [(0, 0.5), (320, 0.125), (1234, 0.02), (3_000, 0.125)] {
            let room = Room {
                rate,
                delay,
                gain,
                ..ROOM
            };
            let measured = room.measure();
            let way = measured.way.clone().unwrap();
            near(way.delay_ms, delay as f32 * 1e3 / rate as f32, 0.05);
            near(way.loss_db, -20.0 * gain.log10() as f32, 0.2);
            assert!(!way.inverted);
            near(measured.noise_dbfs, -80.0, 0.5);
            near(
                measured.peak_dbfs,
                PEAK_DBFS + 20.0 * gain.log10() as f32,
                1.0,
            );
            near(measured.offset, 0.0, 1e-3);
            assert_eq!(measured.clipped, 0.0);
            if gain >= 0.125 {
                assert!(way.distortion.unwrap() < 0.02, "{:?}", way.distortion);
            }
            for (hz, db) in &way.response {
                let flat = 20.0 * gain.log10() as f32;
                assert!(
                    (db - flat).abs() < 1.0,
                    "{rate} {delay} {gain}: {hz} Hz {db} dB"
                );
            }
            assert_eq!(way.impulse[way.arrival], 1.0);
            assert_eq!(names(&measured), [""; 0], "{rate} {delay} {gain}");
        }
    }
}

#[test]
fn wires_the_wrong_way_round_are_told_and_are_no_fault() {
    let room = Room {
        gain: -0.125,
        ..ROOM
    };
    let way = room.way();
    assert!(way.inverted);
    assert_eq!(way.impulse[way.arrival], -1.0);
    near(way.delay_ms, 31.25, 0.05);
    near(way.loss_db, 18.06, 0.2);
    assert_eq!(names(&room.measure()), [""; 0]);
}

/// The square of a sine of amplitude a has a half of a² in the second harmonic,
/// its cube a quarter of a³ in the third, and three quarters in the first.
#[test]
fn what_a_speaker_adds_is_found_to_its_amount() {
    let a = f64::from(amplitude(PEAK_DBFS));
    for (second, third) in [
        (0.0, 0.0),
        (0.05, 0.0),
        (0.0, 0.05),
        (0.03, 0.04),
        (0.15, 0.1),
    ] {
        // Of the first harmonic as the cube leaves it.
        let cube = third / (0.25 - 0.75 * third) / (a * a);
        let first = 1.0 + 0.75 * cube * a * a;
        let square = 2.0 * second * first / a;
        let room = Room {
            square,
            cube,
            ..ROOM
        };
        let truth = second.hypot(third);
        near(room.way().distortion.unwrap(), truth as f32, 0.01);
        let says = names(&room.measure());
        assert_eq!(says.contains(&"distorted"), truth > 0.1, "{truth} {says:?}");
    }
}

#[test]
fn a_microphone_that_clips_is_told_to_be_turned_down() {
    let room = Room { gain: 12.0, ..ROOM };
    let measured = room.measure();
    assert!(measured.clipped > 100.0, "{}", measured.clipped);
    assert_eq!(measured.peak_dbfs.round(), 0.0);
    let found = judge(&measured);
    assert_eq!(found[0].cure(), Cure::LowerMicrophone);
    assert!(
        found[0].to_string().starts_with("the microphone clips: "),
        "{found:?}"
    );
}

#[test]
fn an_offset_is_found_and_does_no_harm_to_the_rest() {
    for offset in [0.2, -0.05, 0.01] {
        let room = Room { offset, ..ROOM };
        let measured = room.measure();
        near(measured.offset, offset as f32, 0.002);
        near(measured.noise_dbfs, -80.0, 0.5);
        let way = room.way();
        near(way.delay_ms, 31.25, 0.05);
        near(way.loss_db, 18.06, 0.2);
        let want: &[_] = if offset.abs() > 0.03 {
            &["offset"]
        } else {
            &[]
        };
        assert_eq!(names(&measured), want);
    }
}

#[test]
fn a_microphone_of_one_value_is_told_from_a_quiet_one() {
    let dead = |last: fn(f64) -> f64| Room { last, ..ROOM }.measure();
    let measured = dead(|_| 0.0);
    assert_eq!(names(&measured), ["silent"]);
    assert_eq!(measured.noise_dbfs, -120.0);
    let measured = dead(|_| 0.25);
    assert_eq!(judge(&measured), [Finding::Stuck(8192)]);
    near(measured.offset, 0.25, 1e-4);
    let measured = Room { gain: 0.0, ..ROOM }.measure();
    assert_eq!(names(&measured), ["unheard"]);
}

#[test]
fn squares_at_full_scale_are_no_sweep() {
    for period in [16, 160, 331] {
        let sweep = Sweep::new(BUS_RATE);
        let square = |n: usize| {
            if n % period < period / 2 {
                i16::MAX
            } else {
                i16::MIN
            }
        };
        let heard: Vec<i16> = (0..sweep.listen()).map(square).collect();
        let measured = measure(&sweep, &Heard::new(&heard));
        near(measured.clipped, 1000.0, 0.0);
        assert_eq!(measured.way, None);
        assert_eq!(names(&measured), ["clipped"], "{period}");
    }
}

#[test]
fn noise_louder_than_the_sweep_hides_what_it_must_and_no_more() {
    // 10 dB louder than what comes back of the sweep.
    let loud = Room {
        noise: 0.04,
        ..ROOM
    };
    let measured = loud.measure();
    let way = measured.way.clone().unwrap();
    near(way.delay_ms, 31.25, 0.1);
    near(way.loss_db, 18.06, 1.0);
    assert_eq!(way.distortion, None, "{:?}", way.distortion);
    near(measured.noise_dbfs, 20.0 * 0.04f32.log10(), 0.5);
    assert_eq!(names(&measured), ["noisy"]);
    // 44 dB louder.
    let measured = Room {
        gain: 0.01,
        noise: 0.1,
        ..ROOM
    }
    .measure();
    assert_eq!(measured.way, None);
    assert_eq!(names(&measured), ["unheard", "noisy"]);
}

/// As ALSA converts: between two samples lies a straight line.
#[test]
fn a_card_of_44_1_khz_behind_a_poor_converter_is_measured_all_the_same() {
    let convert = |samples: &[i16], from: f64, to: f64| -> Vec<i16> {
        let length = (samples.len() as f64 * to / from) as usize;
        let sample = |n: usize| {
            let at = n as f64 * from / to;
            let of = |n: usize| f64::from(samples.get(n).copied().unwrap_or(0));
            let part = at.fract();
            (of(at as usize) * (1.0 - part) + of(at as usize + 1) * part).round() as i16
        };
        (0..length).map(sample).collect()
    };
    let sweep = Sweep::new(BUS_RATE);
    let played = convert(&ROOM.hear(&sweep), 16_000.0, 44_100.0);
    let mut heard = convert(&played, 44_100.0, 16_000.0);
    heard.resize(sweep.listen(), 0);
    let measured = measure(&sweep, &Heard::new(&heard));
    let way = measured.way.clone().unwrap();
    near(way.delay_ms, 31.25, 0.1);
    near(way.loss_db, 18.06, 1.5);
    assert_eq!(names(&measured), [""; 0]);
}

#[test]
fn a_room_that_rings_is_measured_by_its_first_sound() {
    let sweep = Sweep::new(BUS_RATE);
    let dry = ROOM.hear(&sweep);
    // Reflections that die away, 60 dB in 0.5 s.
    let mut seed = 3;
    let taps: Vec<(usize, f64)> = (1..60)
        .map(|n| {
            let at = n * 83;
            (
                at,
                0.4 * gauss(&mut seed) * 10f64.powf(-3.0 * at as f64 / 8_000.0),
            )
        })
        .collect();
    let wet = |n: usize| {
        let of = |at: usize| n.checked_sub(at).map_or(0.0, |n| f64::from(dry[n]));
        let sum: f64 = taps.iter().map(|(at, tap)| tap * of(*at)).sum();
        (of(0) + sum).round() as i16
    };
    let heard: Vec<i16> = (0..dry.len()).map(wet).collect();
    let measured = measure(&sweep, &Heard::new(&heard));
    let way = measured.way.clone().unwrap();
    near(way.delay_ms, 31.25, 0.05);
    assert!(
        way.distortion.is_none_or(|share| share < 0.03),
        "{:?}",
        way.distortion
    );
    assert_eq!(names(&measured), [""; 0]);
}

#[test]
fn a_late_a_loud_and_a_faint_one_are_told() {
    let late = Room {
        delay: 5_000,
        ..ROOM
    };
    near(late.way().delay_ms, 312.5, 0.05);
    assert_eq!(names(&late.measure()), ["late"]);
    let loud = Room { gain: 2.0, ..ROOM };
    near(loud.way().loss_db, -6.02, 0.2);
    assert_eq!(names(&loud.measure()), ["loud"]);
    let faint = Room {
        gain: 0.0005,
        noise: 1e-5,
        ..ROOM
    };
    assert_eq!(names(&faint.measure()), ["soft"]);
}

#[test]
fn whatever_was_heard_is_no_reason_to_fall_over() {
    let sweep = Sweep::new(BUS_RATE);
    for length in [
        0,
        1,
        1_599,
        1_600,
        8_000,
        8_001,
        39_999,
        40_000,
        sweep.listen(),
    ] {
        for value in [0, 1, i16::MAX, i16::MIN] {
            let mut heard = vec![value; length];
            let measured = measure(&sweep, &Heard::new(&heard));
            assert!(!judge(&measured).is_empty(), "{length} of {value}");
            heard.iter_mut().step_by(7).for_each(|sample| *sample = -9);
            _ = judge(&measure(&sweep, &Heard::new(&heard)));
        }
    }
}
