//! Between the rates of card, bus and line: 48, 16 and 8 kHz.
//!
//! Each step is a finite impulse response filter cut into phases, so that no
//! product is computed that would be thrown away (a Kaiser-windowed sinc):
//!
//! ```text
//!  microphone 48 ──▶ Decimator 3 ──▶ 16 ──▶ Decimator 2 ──▶ 8 line
//!  speaker    48 ◀── Raiser 3    ◀── 16 ◀── drift::Stretcher ◀── 8 line
//! ```
//!
//! 8 to 48 kHz is both steps. The way from line to bus is in
//! [`drift`](super::drift), since that ratio is never quite 2.
//!
//! | step | taps | delay | flat within 0.1 dB | images and aliases |
//! |---|---|---|---|---|
//! | 48 to 16, 16 to 48 | 72 at 48 kHz | 0.74 ms | to 6.4 kHz | -75 dB from 9.6 kHz |
//! | 16 to 8 | 64 at 16 kHz | 1.97 ms | to 3.4 kHz | -65 dB from 4.6 kHz |
//!
//! Real time: bounded work; only `new` allocates.

use super::BUS_CHUNK;

/// Most input samples of one call, of any step: 10 ms at 48 kHz.
pub const INPUT_MAX: usize = 3 * BUS_CHUNK;

/// Products that are summed side by side, so that a processor with vectors can
/// use them.
const LANES: usize = 8;

/// The sum of the products of two equally long runs; the length is a multiple
/// of eight, or the rest of it does not count.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    // In pairs, so that no sum waits for seven others.
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

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

/// Takes every `factor`th sample of what is left below half the new rate.
#[derive(Debug)]
pub struct Decimator {
    taps: Box<[f32]>,
    history: History,
    factor: usize,
    /// Input samples until the next output.
    wait: usize,
}

impl Decimator {
    /// From 48 to 16 kHz.
    #[must_use]
    pub fn by_3() -> Self {
        Self::new(3, &low_pass(72, 8.0 / 48.0, 7.4))
    }

    /// From 16 to 8 kHz.
    #[must_use]
    pub fn by_2() -> Self {
        Self::new(2, &low_pass(64, 4.0 / 16.0, 6.4))
    }

    fn new(factor: usize, taps: &[f64]) -> Self {
        Self {
            taps: taps.iter().map(|&c| c as f32).collect(),
            history: History::new(taps.len() - 1, INPUT_MAX),
            factor,
            wait: factor - 1,
        }
    }

    /// Filters at most [`INPUT_MAX`] samples; returns how many came out.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> usize {
        let samples = self
            .history
            .extend(input.len(), |new| new.copy_from_slice(input));
        let mut made = 0;
        let mut at = self.wait;
        while at < input.len() {
            output[made] = dot(&samples[at..], &self.taps);
            made += 1;
            at += self.factor;
        }
        self.wait = at - input.len();
        self.history.settle(input.len());
        made
    }

    /// Forgets the past.
    pub fn clear(&mut self) {
        self.history.clear();
        self.wait = self.factor - 1;
    }
}

/// Puts two new samples between each two, without adding frequencies: from 16
/// to 48 kHz.
#[derive(Debug)]
pub struct Raiser {
    phases: [[f32; Self::TAPS]; 3],
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
            |phase, n| (taps[(Self::TAPS - 1 - n) * Self::FACTOR + phase] * 3.0) as f32;
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
            for (lane, frame) in run.chunks_exact_mut(Self::FACTOR).enumerate() {
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
fn run_of_lanes(window: &[f32], taps: &[f32; Raiser::TAPS]) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for (samples, tap) in window.windows(LANES).zip(taps) {
        for lane in 0..LANES {
            sums[lane] += samples[lane] * tap;
        }
    }
    sums
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

    /// A second of `input` through a decimator in periods of all lengths;
    /// without the first 100 ms, in which the filter fills.
    fn decimate(mut decimator: Decimator, input: &[f32]) -> Vec<f32> {
        let (mut output, mut out, mut rest) = (vec![], [0.0; INPUT_MAX], input);
        for length in (1..=INPUT_MAX).cycle() {
            let (now, later) = rest.split_at(length.min(rest.len()));
            let made = decimator.process(now, &mut out);
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
    fn speech_passes_the_decimators_unchanged() {
        for frequency in [200.0, 1000.0, 2000.0, 3000.0, 3400.0] {
            let out = decimate(Decimator::by_3(), &sine(frequency, 48e3, 48_000));
            let (level, rest) = split(&out, frequency, 16e3);
            assert!(
                db(level / 1e4).abs() < 0.1,
                "48 to 16, {frequency}: {level}"
            );
            assert!(db(rest / 1e4) < -75.0, "48 to 16, {frequency}: {rest}");
            let out = decimate(Decimator::by_2(), &sine(frequency, 16e3, 16_000));
            let (level, rest) = split(&out, frequency, 8e3);
            assert!(
                db(level / 1e4).abs() < 0.15,
                "16 to 8, {frequency}: {level}"
            );
            assert!(db(rest / 1e4) < -75.0, "16 to 8, {frequency}: {rest}");
        }
    }

    #[test]
    fn nothing_folds_into_the_speech() {
        let peak = |out: Vec<f32>| out.iter().fold(0f32, |peak, s| peak.max(s.abs()));
        for frequency in [9600.0, 12_000.0, 15_000.0, 16_000.0, 20_000.0, 23_000.0] {
            let out = peak(decimate(Decimator::by_3(), &sine(frequency, 48e3, 48_000)));
            assert!(
                db(f64::from(out) / 1e4) < -72.0,
                "48 to 16, {frequency}: {out}"
            );
        }
        for frequency in [4600.0, 5000.0, 6000.0, 7900.0] {
            let out = peak(decimate(Decimator::by_2(), &sine(frequency, 16e3, 16_000)));
            assert!(
                db(f64::from(out) / 1e4) < -60.0,
                "16 to 8, {frequency}: {out}"
            );
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
