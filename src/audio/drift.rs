//! Makes the far end's clock and the speaker's one, without a step.
//!
//! No two crystals agree: 100 parts per million are 6 ms a minute, and an hour
//! of them overflows any buffer or empties it. So the sound is played a little
//! faster or slower, by so little that nobody hears the pitch move.
//!
//! ```text
//!  delay ─┐
//!         ├─▶ Servo ── speed ──▶ Stretcher: 16 kHz ─▶ 16 kHz ÷ speed
//!  target ┘
//! ```
//!
//! The [`Stretcher`] is an interpolating filter of [`TAPS`] taps, tabled at 128
//! places between two samples and drawn straight between those.
//!
//! Units: bus samples; speed is the far end's time over the bus's, 1 ±
//! [`SPEED_MAX`].
//!
//! Real time: bounded work; only `new` allocates.

use super::lanes::dot;
use super::resample::{History, windowed_sinc};
use super::{BUS_CHUNK, BUS_RATE};

/// Samples of the far end that each of the bus is made of: flat to 6.4 kHz.
pub const TAPS: usize = 24;
/// Places between two samples with coefficients of their own. The straight line
/// between two of them is 85 dB below a tone of 6.8 kHz.
const PHASES: usize = 128;
/// How much the speed may differ from 1: 9 cents of pitch, which is not heard.
pub const SPEED_MAX: f32 = 0.005;
/// The most that is taken for drift; crystals are within a tenth of it.
pub const DRIFT_MAX: f32 = 0.002;
/// Most samples of the far end that a chunk of the bus is made of.
pub const PULL_MAX: usize = BUS_CHUNK + 2;
/// What the filter adds to the delay, in bus samples: half its length.
pub const DELAY: usize = TAPS / 2;

/// A sample, in the fixed point that positions are kept in.
const ONE: u64 = 1 << 32;

/// Turns samples of the far end into those of the bus, at a speed that may change
/// any time.
#[derive(Debug)]
pub struct Stretcher {
    /// Coefficients of each place, and of the next sample's first.
    table: Box<[[f32; TAPS]]>,
    history: History,
    /// Where the next bus sample lies after the oldest sample kept.
    position: u64,
}

impl Stretcher {
    /// A stretcher that has heard silence.
    #[must_use]
    pub fn new() -> Self {
        let middle = TAPS as f64 / 2.0;
        let tap = |phase: usize, n: usize| {
            let x = n as f64 + 1.0 - middle - phase as f64 / PHASES as f64;
            windowed_sinc(x, middle, 0.5, 6.0) as f32
        };
        Self {
            table: (0..=PHASES)
                .map(|phase| std::array::from_fn(|n| tap(phase, n)))
                .collect(),
            history: History::new(TAPS, PULL_MAX),
            position: 0,
        }
    }

    /// Fills `bus`, at most [`BUS_CHUNK`] samples, from the samples that `pull`
    /// writes, at most [`PULL_MAX`].
    pub fn process(&mut self, speed: f32, bus: &mut [f32], pull: impl FnOnce(&mut [f32])) {
        let step = (f64::from(speed) * ONE as f64) as u64;
        let after = self.position + step * bus.len() as u64;
        // A sample at `position` needs the TAPS samples from there on.
        let length = (after >> 32) as usize;
        let samples = self.history.extend(length, pull);
        let mut position = self.position;
        for sample in bus.iter_mut() {
            *sample = interpolate(&self.table, samples, position);
            position += step;
        }
        self.history.settle(length);
        self.position = after - ((length as u64) << 32);
    }
}

impl Default for Stretcher {
    fn default() -> Self {
        Self::new()
    }
}

fn interpolate(table: &[[f32; TAPS]], samples: &[f32], position: u64) -> f32 {
    let window = &samples[(position >> 32) as usize..][..TAPS];
    let place = (position % ONE) * PHASES as u64;
    let phase = (place >> 32) as usize;
    let between = (place % ONE) as f32 / ONE as f32;
    let (before, after) = (dot(window, &table[phase]), dot(window, &table[phase + 1]));
    before + (after - before) * between
}

/// Speed per bus sample of error, over what the drift asks for: an error halves
/// in 3.5 s.
const GAIN: f32 = 0.2 / BUS_RATE as f32;
/// Over how many bus samples the speed changes: 0.5 s, so that not even the
/// change of pitch is a step.
const SMOOTH: f32 = BUS_RATE as f32 / 2.0;
/// Errors below this, in bus samples, may be the clocks' doing, those above are
/// the network's: 12 ms, a period of beat and a little.
const CLOCKS: f32 = 0.012 * BUS_RATE as f32;
/// Bus samples over which the drift is averaged, at first: 40 s. Less, and what
/// the start leaves to be corrected would be taken for drift.
const AVERAGE_MIN: f32 = 40.0 * BUS_RATE as f32;
/// And after a while: 2 min. Arrivals are seen once a period, and a period
/// beats against the far end's blocks; this is what averages it out.
const AVERAGE_MAX: f32 = 120.0 * BUS_RATE as f32;

/// Chooses the speed that holds the delay at its target: proportional to the
/// error, and the average of that, which is the drift.
#[derive(Debug)]
pub struct Servo {
    /// The speed less 1.
    speed: f32,
    drift: f32,
    average: f32,
}

impl Default for Servo {
    fn default() -> Self {
        Self {
            speed: 0.0,
            drift: 0.0,
            average: AVERAGE_MIN,
        }
    }
}

impl Servo {
    /// The speed for the next `length` bus samples, when the delay is `error`
    /// bus samples above its target.
    pub fn steer(&mut self, error: f32, length: usize) -> f32 {
        let length = length as f32;
        let wanted = (self.drift + error * GAIN).clamp(-SPEED_MAX, SPEED_MAX);
        self.speed += (wanted - self.speed) * (length / SMOOTH).min(1.0);
        if error.abs() < CLOCKS {
            self.average = (self.average + length).min(AVERAGE_MAX);
            self.drift += (self.speed - self.drift) * (length / self.average);
            self.drift = self.drift.clamp(-DRIFT_MAX, DRIFT_MAX);
        }
        1.0 + self.speed
    }

    /// By what share the far end's clock is faster.
    #[must_use]
    pub fn drift(&self) -> f32 {
        self.drift
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// A second of a tone through the stretcher; what is not that tone, in dB.
    fn impurity(frequency: f64, speed: f32) -> f64 {
        let mut stretcher = Stretcher::new();
        let (mut pulled, mut out) = (0, vec![]);
        for length in (1..=BUS_CHUNK).chain(1..=BUS_CHUNK) {
            let mut bus = [0.0; BUS_CHUNK];
            stretcher.process(speed, &mut bus[..length], |far| {
                for sample in far {
                    *sample = (TAU * frequency * f64::from(pulled) / 16e3).sin() as f32;
                    pulled += 1;
                }
            });
            out.extend_from_slice(&bus[..length]);
        }
        let signal = &out[1000..];
        let turn = TAU * frequency * f64::from(speed) / 16e3;
        // A tone obeys x[n-1] + x[n+1] = 2 cos(turn) x[n]; what does not, is not it.
        let rest: f64 = signal
            .windows(3)
            .map(|w| f64::from(w[0]) + f64::from(w[2]) - 2.0 * turn.cos() * f64::from(w[1]))
            .map(|error| error * error)
            .sum();
        let level = (0.5 * signal.len() as f64).sqrt();
        20.0 * (rest.sqrt() / level).log10()
    }

    #[test]
    fn tones_stay_pure_at_any_speed() {
        for speed in [1.0, 1.0001, 0.9999, 1.005, 0.995] {
            for frequency in [300.0, 1000.0, 2000.0, 3400.0, 5000.0, 6000.0, 6400.0] {
                let db = impurity(frequency, speed);
                assert!(db < -55.0, "{frequency} Hz at {speed}: {db:.1} dB");
            }
        }
    }

    #[test]
    fn the_servo_finds_the_drift() {
        for ppm in [-100.0, 100.0] {
            let (mut servo, mut error) = (Servo::default(), 0.0);
            for _ in 0..100 * 900 {
                let speed = servo.steer(error, 160);
                error += 160.0 * (1.0 + ppm * 1e-6 - speed);
            }
            assert!((servo.drift() * 1e6 - ppm).abs() < 5.0, "{servo:?}");
            assert!(error.abs() < 20.0, "{error} bus samples off the target");
        }
    }
}
