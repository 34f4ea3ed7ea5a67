//! How loud a signal is, and whether a microphone is alive at all.
//!
//! [`Meter::take`] gets every sample and closes a window each quarter of a
//! second, so that a picture of the levels shows words. Every fourth one judges
//! the whole second: a microphone that gave one and the same value for so long
//! is not a quiet room: the codec is muted, a wire is off, or the chip has hung.
//!
//! Units: samples on the scale of the card; levels in dBFS, where 0 is full
//! scale, so that a sine at full scale has an rms of -3.
//!
//! Real time: bounded work, no allocation.

use super::FULL_SCALE;

/// Samples that are looked at side by side, so that a processor with vectors
/// can use them.
const LANES: usize = 8;

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
    /// Whether the signal moved in the second that ends with it; `None` in the
    /// middle of one.
    pub life: Option<Life>,
}

/// Whether a signal moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does, be it by the noise of the room.
    Alive,
    /// Nothing but zeros.
    Silent,
    /// Nothing but one value that is not zero.
    Stuck,
}

/// Windows of a second.
const WINDOWS: u32 = 4;

/// Measures a signal in windows of a quarter of a second.
#[derive(Debug)]
pub struct Meter {
    window: usize,
    taken: usize,
    sum: f64,
    low: [f32; LANES],
    high: [f32; LANES],
    /// The windows of this second so far, and their lowest and highest sample.
    windows: u32,
    lowest: f32,
    highest: f32,
}

impl Meter {
    /// A meter for a signal of `rate` samples per second.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            window: (rate / WINDOWS) as usize,
            taken: 0,
            sum: 0.0,
            low: [f32::INFINITY; LANES],
            high: [f32::NEG_INFINITY; LANES],
            windows: 0,
            lowest: f32::INFINITY,
            highest: f32::NEG_INFINITY,
        }
    }

    /// Takes in samples; returns the window they completed, if they did. What
    /// is left over from a long period counts towards that same window.
    pub fn take(&mut self, samples: &[f32]) -> Option<Window> {
        let (runs, rest) = samples.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for run in runs {
            for lane in 0..LANES {
                sums[lane] += run[lane] * run[lane];
                self.low[lane] = self.low[lane].min(run[lane]);
                self.high[lane] = self.high[lane].max(run[lane]);
            }
        }
        for &sample in rest {
            sums[0] += sample * sample;
            self.low[0] = self.low[0].min(sample);
            self.high[0] = self.high[0].max(sample);
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
        (self.taken, self.sum) = (0, 0.0);
        self.low.fill(f32::INFINITY);
        self.high.fill(f32::NEG_INFINITY);
        self.lowest = self.lowest.min(low);
        self.highest = self.highest.max(high);
        self.windows += 1;
        let life = (self.windows == WINDOWS).then(|| self.judge());
        Window { level, life }
    }

    fn judge(&mut self) -> Life {
        let life = match self.lowest == self.highest {
            false => Life::Alive,
            true if self.lowest == 0.0 => Life::Silent,
            true => Life::Stuck,
        };
        self.windows = 0;
        (self.lowest, self.highest) = (f32::INFINITY, f32::NEG_INFINITY);
        life
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
        assert!(windows[..3].iter().all(|window| window.life.is_none()));
        windows[3]
    }

    #[test]
    fn a_sine_at_full_scale_has_3_db_less_rms_than_peak() {
        let sine = |n: usize| FULL_SCALE * (n as f32 * std::f32::consts::TAU / 40.0).sin();
        let window = second(sine);
        assert!(window.level.peak_dbfs().abs() < 0.01, "{window:?}");
        assert!((window.level.rms_dbfs() + 3.01).abs() < 0.01, "{window:?}");
        assert_eq!(window.life, Some(Life::Alive));
    }

    #[test]
    fn a_dead_microphone_is_told_from_a_quiet_one() {
        assert_eq!(second(|_| 0.0).life, Some(Life::Silent));
        assert_eq!(second(|_| -3.0).life, Some(Life::Stuck));
        assert_eq!(second(|n| (n % 2) as f32).life, Some(Life::Alive));
        assert_eq!(second(|_| 0.0).level.rms_dbfs(), SILENCE_DBFS);
        // One click in a second is a microphone that lives.
        let click = |n| if n == 5000 { 1.0 } else { 0.0 };
        assert_eq!(second(click).life, Some(Life::Alive));
    }
}
