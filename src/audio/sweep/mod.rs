//! Finds out what lies between the speaker and the microphone: a sweep is
//! played, what the microphone brought is taken apart.
//!
//! ```text
//!  Sweep ─▶ speaker ─▶ room ─▶ microphone ─▶ Heard ─▶ measure ─▶ Measured ─▶ judge ─▶ Finding …
//! ```
//!
//! The sweep is the exponential one of Farina ("Simultaneous measurement of
//! impulse response and distortion with a swept-sine technique", AES 108th
//! convention, 2000). Divided by it, what came back is the impulse response of
//! the way; what a speaker adds of itself stands in front of it, each harmonic
//! at a place of its own. The division is by the spectrum of what was really
//! played, within its band (Farina, "Advancements in impulse response
//! measurements by sine sweeps", AES 122nd convention, 2007).
//!
//! ```text
//!  impulse response:   3rd      2nd            the way itself        noise
//!                       ▂        ▃                  █▆▅▃▂▁
//!                  ─────┴────────┴──────────────────┴───────────────────────▶ time
//!                       T ln k / ln(HIGH/LOW) before    ▲ delay
//! ```
//!
//! The echo canceller has no use for the delay: the cards tell what lies in
//! their buffers, and the rest is within what its filter learns
//! ([`echo::reference`](super::echo::reference)). It is told to people.
//!
//! | file | what it does |
//! |---|---|
//! | [`mod@measure`] | what was heard, in numbers |
//! | [`findings`] | what is wrong with these, and what to change |
//! | [`fourier`] | spectra of any power of two |
//!
//! Units: samples are of 16 bit, at a rate of the caller's; delays are ms;
//! levels are dBFS, where a sine at full scale has an rms of -3; losses are dB.
//!
//! Always true: the sweep is never louder than [`PEAK_DBFS`], begins and ends in
//! silence, and has no step in it. What was heard may be anything at all.
//!
//! Not for the audio thread: everything here allocates, and [`measure()`] takes
//! some ten milliseconds. What plays and listens there is
//! [`probe`](super::probe).

pub mod findings;
pub mod fourier;
pub mod measure;

#[cfg(test)]
mod tests;

pub use findings::{Finding, judge};
pub use measure::{Heard, Measured, Way, measure};

use std::f64::consts::TAU;

use super::{FULL_SCALE, amplitude};

/// Where the sweep begins, in Hz. The speakers of intercoms begin above.
pub const LOW: f64 = 100.0;
/// Where it ends: what the best of the line's encodings carries.
pub const HIGH: f64 = 7_000.0;
/// How long it takes, in seconds.
pub const LENGTH: f64 = 2.0;
/// The loudest sample of it. A voice on the line peaks some 6 dB above.
pub const PEAK_DBFS: f32 = -16.0;
/// Seconds before it, in which the place is listened to.
pub const BEFORE: f64 = 0.5;
/// Seconds after it, in which the last of it comes back and dies away.
pub const AFTER: f64 = 1.2;
/// Seconds in which it becomes as loud as it gets, and silent again.
const FADE_IN: f64 = 0.06;
const FADE_OUT: f64 = 0.02;

/// A sweep to be played. See the [module page](self).
#[derive(Debug, Clone)]
pub struct Sweep {
    rate: u32,
    before: usize,
    samples: Vec<i16>,
}

impl Sweep {
    /// One of `rate` samples per second.
    ///
    /// # Panics
    /// Below 16 kHz, where it has no room.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        assert!(f64::from(rate) > 2.0 * HIGH, "{rate} Hz");
        let rate_hz = f64::from(rate);
        let length = (LENGTH * rate_hz) as usize;
        let octaves = (HIGH / LOW).ln();
        let peak = f64::from(FULL_SCALE * amplitude(PEAK_DBFS));
        let sample = |n: usize| {
            let t = n as f64 / rate_hz;
            let turns = LOW * LENGTH / octaves * ((t / LENGTH * octaves).exp() - 1.0);
            let left = LENGTH - t;
            let fade = smooth(t / FADE_IN) * smooth(left / FADE_OUT);
            (peak * fade * (TAU * turns).sin()).round() as i16
        };
        let before = (BEFORE * rate_hz) as usize;
        let silence = std::iter::repeat_n(0, before);
        Self {
            rate,
            before,
            samples: silence.chain((0..length).map(sample)).collect(),
        }
    }

    /// Samples per second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// What is to be played: first silence, then the sweep.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// For how many samples the microphone is to be heard, from the first that
    /// is played.
    #[must_use]
    pub fn listen(&self) -> usize {
        self.samples.len() + (AFTER * f64::from(self.rate)) as usize
    }

    /// The sweep without what is before it.
    fn sounding(&self) -> &[i16] {
        &self.samples[self.before..]
    }

    /// So many samples the `k`th harmonic stands before the way itself.
    fn ahead(&self, k: u32) -> usize {
        let seconds = LENGTH * f64::from(k).ln() / (HIGH / LOW).ln();
        (seconds * f64::from(self.rate)).round() as usize
    }
}

/// From 0 to 1 without a corner.
fn smooth(part: f64) -> f64 {
    0.5 - 0.5 * (std::f64::consts::PI * part.clamp(0.0, 1.0)).cos()
}
