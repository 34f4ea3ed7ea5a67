//! Between the rates of card, bus and line: 48, 16 and 8 or 24 kHz.
//!
//! Each step is a finite impulse response filter cut into phases, so that no
//! product is computed that would be thrown away (a Kaiser-windowed sinc):
//!
//! ```text
//!  microphone 48 ──▶ 16 ──┬──────▶ 16 line: L16, OPUS
//!                   (bus) ├──▶ 8, 24 line: PCMU, PCMA, L16
//!                         │
//!  speaker    48 ◀── 16 ◀─┴─ playout, drift ◀─┬─ 16 line
//!                                             └─ 16 ◀── 8, 24 line
//! ```
//!
//! 8 to 48 kHz is both steps. What makes two clocks one is in
//! [`drift`](super::drift), since that ratio is never quite 1.
//!
//! | step | taps | delay | flat within 0.1 dB | images and aliases |
//! |---|---|---|---|---|
//! | 48 to 16, 16 to 48, 16 to 24 | 72 at 48 kHz | 0.74 ms | to 6.4 kHz | -75 dB from 9.6 kHz |
//! | 24 to 16 | 80 at 48 kHz | 0.82 ms | to 6.4 kHz | -75 dB from 9.6 kHz |
//! | 16 to 8 | 64 at 16 kHz | 1.97 ms | to 3.4 kHz | -65 dB from 4.6 kHz |
//! | 8 to 16 | 48 at 16 kHz | 1.47 ms | to 3.4 kHz | -50 dB from 4.6 kHz |
//!
//! Real time: bounded work; only `new` allocates.

use wide::f32x8;

use super::BUS_CHUNK;
use super::lanes::{LANES, all, dot};

/// Most input samples of one call, of any step: 10 ms at 48 kHz.
pub const INPUT_MAX: usize = 3 * BUS_CHUNK;

/// A low-pass of `taps` coefficients with a sum of 1: `cutoff` is where it is
/// 6 dB down, in parts of the sample rate; `beta` trades the width of the
/// slope for depth (Kaiser's).
pub(super) fn low_pass(taps: usize, cutoff: f64, beta: f64) -> Vec<f64> {
    let middle = (taps - 1) as f64 / 2.0;
    let mut h: Vec<f64> = (0..taps)
        .map(|n| windowed_sinc(n as f64 - middle, middle + 0.5, cutoff, beta))
        .collect();
    let sum: f64 = h.iter().sum();
    h.iter_mut().for_each(|c| *c /= sum);
    h
}

/// The impulse response of a low-pass at `x` samples from its middle, nothing
/// beyond `reach`.
pub(super) fn windowed_sinc(x: f64, reach: f64, cutoff: f64, beta: f64) -> f64 {
    let inside = 1.0 - (x / reach).powi(2);
    if inside <= 0.0 {
        return 0.0;
    }
    let angle = std::f64::consts::TAU * cutoff * x;
    let sinc = if x == 0.0 { 1.0 } else { angle.sin() / angle };
    2.0 * cutoff * sinc * bessel(beta * inside.sqrt()) / bessel(beta)
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..40 {
        term *= (x / (2.0 * f64::from(n))).powi(2);
        sum += term;
    }
    sum
}

/// The latest samples, oldest first, with room for one more call's worth.
#[derive(Debug)]
pub(super) struct History {
    samples: Box<[f32]>,
    keep: usize,
}

impl History {
    /// Keeps the last `keep` samples from one call to the next.
    pub(super) fn new(keep: usize, room: usize) -> Self {
        Self {
            samples: vec![0.0; keep + room].into_boxed_slice(),
            keep,
        }
    }

    /// Lets `fill` write `length` new samples; returns what was kept followed
    /// by them.
    pub(super) fn extend(&mut self, length: usize, fill: impl FnOnce(&mut [f32])) -> &[f32] {
        let end = self.keep + length;
        fill(&mut self.samples[self.keep..end]);
        &self.samples[..end]
    }

    /// Forgets all but the last of the `length` samples that were written.
    pub(super) fn settle(&mut self, length: usize) {
        self.samples.copy_within(length..length + self.keep, 0);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.samples.fill(0.0);
    }
}

/// Changes the rate by a ratio of small numbers: of the samples that would lie
/// at the common multiple of both rates, only those wanted are computed.
#[derive(Debug)]
pub struct Resampler {
    /// Coefficients by where an output lies between two inputs; the newest
    /// sample meets the last.
    phases: Box<[Box<[f32]>]>,
    history: History,
    down: usize,
    /// Where the next output lies, in parts of an input sample.
    next: usize,
}

impl Resampler {
    /// From 48 to 16 kHz.
    #[must_use]
    pub fn from_48_to_16() -> Self {
        Self::new(1, 3, &low_pass(72, 8.0 / 48.0, 7.4))
    }

    /// From 16 to 8 kHz.
    #[must_use]
    pub fn from_16_to_8() -> Self {
        Self::new(1, 2, &low_pass(64, 4.0 / 16.0, 6.4))
    }

    /// From 8 to 16 kHz.
    #[must_use]
    pub fn from_8_to_16() -> Self {
        Self::new(2, 1, &low_pass(48, 4.0 / 16.0, 5.0))
    }

    /// From 24 to 16 kHz.
    #[must_use]
    pub fn from_24_to_16() -> Self {
        Self::new(2, 3, &low_pass(80, 8.0 / 48.0, 7.4))
    }

    /// From 16 to 24 kHz.
    #[must_use]
    pub fn from_16_to_24() -> Self {
        Self::new(3, 2, &low_pass(72, 8.0 / 48.0, 7.4))
    }

    /// `up` outputs for each `down` inputs, by a low-pass at `up` times the
    /// rate of the input.
    fn new(up: usize, down: usize, taps: &[f64]) -> Self {
        let length = taps.len() / up;
        debug_assert!(length.is_multiple_of(LANES) && taps.len() == length * up);
        let phase = |phase: usize| {
            let newest_last = (0..length).rev().map(|n| taps[phase + n * up]);
            newest_last.map(|c| (c * up as f64) as f32).collect()
        };
        Self {
            phases: (0..up).map(phase).collect(),
            history: History::new(length - 1, INPUT_MAX),
            down,
            next: down - 1,
        }
    }

    /// Filters at most [`INPUT_MAX`] samples; returns how many came out.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> usize {
        let up = self.phases.len();
        let samples = self
            .history
            .extend(input.len(), |new| new.copy_from_slice(input));
        let mut made = 0;
        let mut at = self.next;
        while at < input.len() * up {
            output[made] = dot(&samples[at / up..], &self.phases[at % up]);
            made += 1;
            at += self.down;
        }
        self.next = at - input.len() * up;
        self.history.settle(input.len());
        made
    }

    /// How much later sound comes out, in whole outputs.
    #[must_use]
    pub fn delay(&self) -> usize {
        let taps = self.phases.len() * self.phases[0].len();
        (taps - 1) / 2 / self.down
    }

    /// Forgets the past.
    pub fn clear(&mut self) {
        self.history.clear();
        self.next = self.down - 1;
    }
}

/// Puts two new samples between each two, without adding frequencies: from 16
/// to 48 kHz.
#[derive(Debug)]
pub struct Raiser {
    /// Each coefficient in all lanes.
    phases: [[f32x8; Self::TAPS]; 3],
    history: History,
}

impl Raiser {
    /// Coefficients of each phase.
    const TAPS: usize = 24;
    /// Samples that come out for each that goes in.
    pub const FACTOR: usize = 3;

    /// A raiser that has heard silence.
    #[must_use]
    pub fn by_3() -> Self {
        let taps = low_pass(Self::FACTOR * Self::TAPS, 8.0 / 48.0, 7.4);
        // The newest sample meets the first coefficient, the oldest the last.
        let coefficient =
            |phase, n| all((taps[(Self::TAPS - 1 - n) * Self::FACTOR + phase] * 3.0) as f32);
        Self {
            phases: std::array::from_fn(|phase| std::array::from_fn(|n| coefficient(phase, n))),
            // The last run of lanes may reach beyond the input.
            history: History::new(Self::TAPS - 1, BUS_CHUNK + LANES),
        }
    }

    /// Raises at most [`BUS_CHUNK`] samples; `output` takes three for each.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) {
        let padded = input.len().next_multiple_of(LANES);
        let samples = self.history.extend(padded, |new| {
            new[..input.len()].copy_from_slice(input);
        });
        let runs = output.chunks_mut(Self::FACTOR * LANES);
        for (run, at) in runs.zip((0..).step_by(LANES)) {
            let window = &samples[at..at + LANES + Self::TAPS - 1];
            let raised = self
                .phases
                .each_ref()
                .map(|taps| run_of_lanes(window, taps));
            let (frames, _) = run.as_chunks_mut::<{ Self::FACTOR }>();
            for (lane, frame) in frames.iter_mut().enumerate() {
                for (sample, phase) in frame.iter_mut().zip(&raised) {
                    *sample = phase[lane];
                }
            }
        }
        self.history.settle(input.len());
    }
}

/// Neighbouring outputs of one filter: each product serves as many of them as
/// there are lanes.
fn run_of_lanes(window: &[f32], taps: &[f32x8; Raiser::TAPS]) -> [f32; LANES] {
    let mut sums = f32x8::ZERO;
    let places = window.windows(LANES).filter_map(<[f32]>::first_chunk);
    for (&samples, &tap) in places.zip(taps) {
        sums = f32x8::new(samples).mul_add(tap, sums);
    }
    sums.to_array()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn sine(frequency: f64, rate: f64, length: usize) -> Vec<f32> {
        let sample = |n| (10_000.0 * (TAU * frequency * n as f64 / rate).sin()) as f32;
        (0..length).map(sample).collect()
    }

    /// The amplitude of `frequency` in `signal`, and the rms of all the rest.
    fn split(signal: &[f32], frequency: f64, rate: f64) -> (f64, f64) {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in signal.iter().enumerate() {
            let angle = TAU * frequency * n as f64 / rate;
            re += f64::from(sample) * angle.cos();
            im += f64::from(sample) * angle.sin();
        }
        let half = signal.len() as f64 / 2.0;
        let (re, im) = (re / half, im / half);
        let rest: f64 = (signal.iter().enumerate())
            .map(|(n, &sample)| {
                let angle = TAU * frequency * n as f64 / rate;
                (f64::from(sample) - re * angle.cos() - im * angle.sin()).powi(2)
            })
            .sum();
        (re.hypot(im), (rest / signal.len() as f64).sqrt())
    }

    fn db(ratio: f64) -> f64 {
        20.0 * ratio.log10()
    }

    /// A second of `input` through a resampler in periods of all lengths;
    /// without the first 100 ms, in which the filter fills.
    fn resample(mut resampler: Resampler, input: &[f32]) -> Vec<f32> {
        let (mut output, mut out, mut rest) = (vec![], [0.0; 2 * INPUT_MAX], input);
        for length in (1..=INPUT_MAX).cycle() {
            let (now, later) = rest.split_at(length.min(rest.len()));
            let made = resampler.process(now, &mut out);
            output.extend_from_slice(&out[..made]);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        output.split_off(output.len() / 10)
    }

    fn raise(input: &[f32]) -> Vec<f32> {
        let (mut raiser, mut output, mut rest) = (Raiser::by_3(), vec![], input);
        for length in (1..=BUS_CHUNK).cycle() {
            let (now, later) = rest.split_at(length.min(rest.len()));
            let mut out = vec![0.0; now.len() * 3];
            raiser.process(now, &mut out);
            output.extend(out);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        output.split_off(output.len() / 10)
    }

    #[test]
    fn speech_passes_unchanged() {
        type Step = (fn() -> Resampler, usize, usize);
        let steps: [Step; 5] = [
            (Resampler::from_48_to_16, 48_000, 16_000),
            (Resampler::from_24_to_16, 24_000, 16_000),
            (Resampler::from_16_to_24, 16_000, 24_000),
            (Resampler::from_16_to_8, 16_000, 8_000),
            (Resampler::from_8_to_16, 8_000, 16_000),
        ];
        for (step, from, to) in steps {
            // Images of what is flat lie where the slope has ended.
            let narrow = from.min(to) == 8000;
            let (highest, depth) = if narrow {
                (3400.0, -50.0)
            } else {
                (6400.0, -72.0)
            };
            for frequency in [
                200.0, 1000.0, 2000.0, 3000.0, 3400.0, 5000.0, 6000.0, 6400.0,
            ] {
                if frequency > highest {
                    continue;
                }
                let what = format!("{from} to {to}, {frequency}");
                let out = resample(step(), &sine(frequency, from as f64, from));
                assert_eq!(out.len(), to - to / 10, "{what}");
                let (level, rest) = split(&out, frequency, to as f64);
                assert!(db(level / 1e4).abs() < 0.15, "{what}: {level}");
                assert!(db(rest / 1e4) < depth, "{what}: {}", db(rest / 1e4));
            }
        }
    }

    #[test]
    fn nothing_folds_into_the_speech() {
        let peak = |out: Vec<f32>| out.iter().fold(0f32, |peak, s| peak.max(s.abs()));
        for frequency in [9600.0, 12_000.0, 15_000.0, 16_000.0, 20_000.0, 23_000.0] {
            let out = peak(resample(
                Resampler::from_48_to_16(),
                &sine(frequency, 48e3, 48_000),
            ));
            assert!(
                db(f64::from(out) / 1e4) < -72.0,
                "48 to 16, {frequency}: {out}"
            );
        }
        for frequency in [4600.0, 5000.0, 6000.0, 7900.0] {
            let out = peak(resample(
                Resampler::from_16_to_8(),
                &sine(frequency, 16e3, 16_000),
            ));
            assert!(
                db(f64::from(out) / 1e4) < -60.0,
                "16 to 8, {frequency}: {out}"
            );
        }
    }

    #[test]
    fn what_the_bus_cannot_carry_does_not_fold_into_it() {
        for frequency in [9600.0, 10_500.0, 11_900.0] {
            let out = resample(Resampler::from_24_to_16(), &sine(frequency, 24e3, 24_000));
            let peak = out.iter().fold(0f32, |peak, s| peak.max(s.abs()));
            assert!(db(f64::from(peak) / 1e4) < -70.0, "{frequency}: {peak}");
        }
    }

    #[test]
    fn raising_adds_no_images() {
        for frequency in [200.0, 1000.0, 3400.0, 6400.0] {
            let out = raise(&sine(frequency, 16e3, 16_000));
            let (level, rest) = split(&out, frequency, 48e3);
            assert!(db(level / 1e4).abs() < 0.1, "{frequency}: {level}");
            assert!(db(rest / 1e4) < -72.0, "{frequency}: {rest}");
        }
    }
}
