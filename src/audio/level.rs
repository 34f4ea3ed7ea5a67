//! How loud a signal is, and whether a microphone is alive at all.
//!
//! [`Meter::take`] gets every sample and closes a window each quarter of a
//! second, so that a picture of the levels shows words. Each judges the second
//! that ends with it: a microphone that gave one and the same value for so long
//! is not a quiet room: the codec is muted, a wire is off, or the chip has hung;
//! one that hit full scale all the time is too loud, or broken.
//!
//! Units: samples on the scale of the card; levels in dBFS, where 0 is full
//! scale, so that a sine at full scale has an rms of -3.
//!
//! Real time: bounded work, no allocation.

use wide::f32x8;

use super::FULL_SCALE;
use super::lanes::LANES;

/// The level that stands for silence, in dBFS.
pub const SILENCE_DBFS: f32 = -120.0;

/// The loudness of a window, as amplitudes from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Level {
    /// The largest sample.
    pub peak: f32,
    /// The root of the mean square.
    pub rms: f32,
}

impl Level {
    /// The largest sample in dBFS.
    #[must_use]
    pub fn peak_dbfs(self) -> f32 {
        dbfs(self.peak)
    }

    /// The root of the mean square in dBFS.
    #[must_use]
    pub fn rms_dbfs(self) -> f32 {
        dbfs(self.rms)
    }
}

fn dbfs(amplitude: f32) -> f32 {
    (20.0 * amplitude.log10()).max(SILENCE_DBFS)
}

/// What was found at the end of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// How loud it was.
    pub level: Level,
    /// Whether the signal was one in the second that ends with it.
    pub life: Life,
}

/// Whether a signal moves as sound does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does, be it by the noise of the room.
    Alive,
    /// Nothing but zeros.
    Silent,
    /// Nothing but one value that is not zero.
    Stuck,
    /// More than [`CLIPPED`] of it was at full scale.
    Clipped,
}

/// Windows of a second.
const WINDOWS: usize = 4;
/// The share of samples at full scale from which on a signal is distorted so
/// much that words are lost: loud voices reach it here and there.
pub const CLIPPED: f32 = 0.02;
/// What is as loud as a sample can be, but for a bit.
const FULL: f32 = FULL_SCALE - 2.0;
const ALL_FULL: f32x8 = f32x8::new([FULL; LANES]);
const ALL_EMPTY: f32x8 = f32x8::new([-FULL; LANES]);

/// Measures a signal in windows of a quarter of a second.
#[derive(Debug)]
pub struct Meter {
    window: usize,
    taken: usize,
    sum: f64,
    low: [f32; LANES],
    high: [f32; LANES],
    full: [f32; LANES],
    /// The latest windows, newest first; those that were not yet are alive.
    latest: [Found; WINDOWS],
}

/// What is left of a window to judge a second by.
#[derive(Debug, Clone, Copy)]
struct Found {
    lowest: f32,
    highest: f32,
    /// The share at full scale.
    full: f32,
}

/// A signal that moves.
const ALIVE: Found = Found {
    lowest: -1.0,
    highest: 1.0,
    full: 0.0,
};

impl Meter {
    /// A meter for a signal of `rate` samples per second.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            window: rate as usize / WINDOWS,
            taken: 0,
            sum: 0.0,
            low: [f32::INFINITY; LANES],
            high: [f32::NEG_INFINITY; LANES],
            full: [0.0; LANES],
            latest: [ALIVE; WINDOWS],
        }
    }

    /// Takes in samples; returns the window they completed, if they did. What
    /// is left over from a long period counts towards that same window.
    pub fn take(&mut self, samples: &[f32]) -> Option<Window> {
        let (runs, rest) = samples.as_chunks::<LANES>();
        let mut sums = f32x8::ZERO;
        let (mut low, mut high) = (f32x8::new(self.low), f32x8::new(self.high));
        let mut full = f32x8::new(self.full);
        for &run in runs {
            let run = f32x8::new(run);
            sums = run.mul_add(run, sums);
            low = low.fast_min(run);
            high = high.fast_max(run);
            full += (run.simd_ge(ALL_FULL) | run.simd_le(ALL_EMPTY)) & f32x8::ONE;
        }
        let mut sums = sums.to_array();
        (self.low, self.high) = (low.to_array(), high.to_array());
        self.full = full.to_array();
        for &sample in rest {
            sums[0] += sample * sample;
            self.low[0] = self.low[0].min(sample);
            self.high[0] = self.high[0].max(sample);
            self.full[0] += f32::from(u8::from(sample.abs() >= FULL));
        }
        self.sum += f64::from(sums.iter().sum::<f32>());
        self.taken += samples.len();
        (self.taken >= self.window).then(|| self.close())
    }

    fn close(&mut self) -> Window {
        let low = self.low.into_iter().fold(f32::INFINITY, f32::min);
        let high = self.high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let level = Level {
            peak: high.max(-low) / FULL_SCALE,
            rms: (self.sum / self.taken as f64).sqrt() as f32 / FULL_SCALE,
        };
        self.latest.rotate_right(1);
        self.latest[0] = Found {
            lowest: low,
            highest: high,
            full: self.full.iter().sum::<f32>() / self.taken as f32,
        };
        (self.taken, self.sum) = (0, 0.0);
        self.low.fill(f32::INFINITY);
        self.high.fill(f32::NEG_INFINITY);
        self.full.fill(0.0);
        let life = self.judge();
        Window { level, life }
    }

    fn judge(&self) -> Life {
        let windows = self.latest.iter();
        let lowest = windows.clone().fold(f32::INFINITY, |l, w| l.min(w.lowest));
        let highest = windows
            .clone()
            .fold(f32::NEG_INFINITY, |h, w| h.max(w.highest));
        let full = windows.map(|window| window.full).sum::<f32>() / WINDOWS as f32;
        match lowest == highest {
            true if lowest == 0.0 => Life::Silent,
            true => Life::Stuck,
            false if full > CLIPPED => Life::Clipped,
            false => Life::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window that ends a second.
    fn second(sample: impl Fn(usize) -> f32) -> Window {
        let samples: Vec<f32> = (0..16_000).map(sample).collect();
        let mut meter = Meter::new(16_000);
        let windows = samples.chunks(1).filter_map(|sample| meter.take(sample));
        let windows: Vec<Window> = windows.collect();
        assert_eq!(windows.len(), 4);
        assert!(
            windows[..3]
                .iter()
                .all(|w| w.life != Life::Silent && w.life != Life::Stuck)
        );
        windows[3]
    }

    #[test]
    fn a_sine_at_full_scale_has_3_db_less_rms_than_peak() {
        let sine = |n: usize| FULL_SCALE * (n as f32 * std::f32::consts::TAU / 40.0).sin();
        let window = second(sine);
        assert!(window.level.peak_dbfs().abs() < 0.01, "{window:?}");
        assert!((window.level.rms_dbfs() + 3.01).abs() < 0.01, "{window:?}");
    }

    #[test]
    fn a_sine_far_over_full_scale_is_clipped_and_a_loud_one_is_not() {
        let sine = |loud: f32| {
            move |n: usize| {
                let sample = loud * FULL_SCALE * (n as f32 * std::f32::consts::TAU / 40.0).sin();
                sample.clamp(-FULL_SCALE, FULL_SCALE - 1.0)
            }
        };
        assert_eq!(second(sine(0.99)).life, Life::Alive);
        assert_eq!(second(sine(1.2)).life, Life::Clipped);
        let square = |n| if n / 20 % 2 == 0 { 32_767.0 } else { -32_768.0 };
        assert_eq!(second(square).life, Life::Clipped);
    }

    #[test]
    fn a_dead_microphone_is_told_from_a_quiet_one() {
        assert_eq!(second(|_| 0.0).life, Life::Silent);
        assert_eq!(second(|_| -3.0).life, Life::Stuck);
        assert_eq!(second(|n| (n % 2) as f32).life, Life::Alive);
        assert_eq!(second(|_| 0.0).level.rms_dbfs(), SILENCE_DBFS);
        // One click in a second is a microphone that lives.
        let click = |n| if n == 5000 { 1.0 } else { 0.0 };
        assert_eq!(second(click).life, Life::Alive);
    }
}
