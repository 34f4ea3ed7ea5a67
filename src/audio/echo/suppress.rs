//! Turns down what the filter left of the echo, and the noise of the place.
//!
//! Every hop, bin by bin: how loud is the echo that is left, how loud the
//! noise, and what is more than the two, the visitor. The bins' gains become a
//! short filter with the same delay at every pitch, so that the sound waits
//! for 4 ms only, not for a frame.
//!
//! ```text
//!  error ──┬───────────────────────────▶ filter ─▶ + ─▶ out
//!          ▼                                ▲      ▲
//!       spectrum ─▶ noise, echo ─▶ gains ───┴──────┤
//!          ▲            ▲                  comfort noise
//!  estimate┘     the filter's doubts
//! ```
//!
//! **What the filter does not know of** (a loudspeaker that rattles, somebody
//! who walks about, two clocks) is seen as a share of the estimate that the
//! error is never without, for as long as the far end speaks. The visitor does
//! pause, the echo does not. The filter is told, and learns faster.
//!
//! **Whether the visitor speaks** is asked of the sum: where echo and noise
//! explain the error, nobody does, and the echo is turned down for good;
//! where they do not, it is turned down by what it has in each bin.
//!
//! Units: bus samples; powers are of a windowed frame's bins.
//!
//! Real time: bounded work; only `new` allocates.

use std::f32::consts::{PI, TAU};

use wide::f32x4;

use super::HOP;
use super::fft::{BINS, Bins, Fft, N, QUADS, Spectrum, ZEROS, quad, set_quad};
use super::filter::Filter;
use crate::audio::lanes::dot;

/// Samples that the spectra are taken of: 20 ms.
const WINDOW: usize = 2 * HOP;
/// What a Hann window leaves of a power, and so of one of a whole frame.
const SEEN: f32 = 0.375 * WINDOW as f32 / N as f32;

/// Coefficients of the filter that the gains become.
const TAPS: usize = 128;
/// What it adds to the delay: 4 ms.
pub const DELAY: usize = TAPS / 2;

/// What is left of the noise: -15 dB, far enough down to be no bother, and
/// enough to hear that the line is open.
const NOISE_LEFT: f32 = 0.178;
/// Keeps divisions from dividing by nothing: less than the last bit's noise.
const TINY: f32 = 1.0;

/// How much of a bin's present loudness counts for how much of it is voice; the
/// rest is what it was a hop ago (Y. Ephraim and D. Malah, 1984).
const NEW: f32 = 0.1;
/// Of each of four bins.
const ALL_NEW: f32x4 = f32x4::new([NEW; 4]);
const ALL_OLD: f32x4 = f32x4::new([1.0 - NEW; 4]);
const ALL_TINY: f32x4 = f32x4::new([TINY; 4]);
/// By how much more the echo is turned down when nobody is near: 9 dB.
const ALONE: f32 = 8.0;
/// What the error is of what explains it, when nobody is near, and when
/// somebody surely is.
const NOBODY: f32 = 2.0;
const SOMEBODY: f32 = 5.0;
/// Bins in which the visitor is looked for: 250 to 3440 Hz.
const VOICE: std::ops::Range<usize> = 8..110;

/// See the [module page](self).
#[derive(Debug)]
pub struct Suppressor {
    fft: Fft,
    window: Box<[f32; WINDOW]>,
    /// Its root: two of them overlapped keep a power level.
    root: Box<[f32; WINDOW]>,
    error: [f32; WINDOW],
    estimate: [f32; WINDOW],
    noise: Noise,
    leak: Leak,
    /// The visitor's power a hop ago.
    voice: Bins,
    /// The error over what explains it.
    surplus: f32,
    shaper: Shaper,
    comfort: Comfort,
    noise_left: f32,
}

impl Suppressor {
    /// One that knows nothing of the noise; `noise` says whether it is to be
    /// turned down too.
    #[must_use]
    pub fn new(noise: bool) -> Self {
        Self {
            fft: Fft::new(),
            window: Box::new(std::array::from_fn(hann)),
            root: Box::new(std::array::from_fn(|n| hann(n).sqrt())),
            error: [0.0; WINDOW],
            estimate: [0.0; WINDOW],
            noise: Noise::new(),
            leak: Leak::new(),
            voice: ZEROS,
            surplus: 1.0,
            shaper: Shaper::new(),
            comfort: Comfort::new(),
            noise_left: if noise { NOISE_LEFT } else { 1.0 },
        }
    }

    /// What was heard is not followed by what will be; noise and room stay
    /// known.
    pub fn interrupt(&mut self) {
        self.error.fill(0.0);
        self.estimate.fill(0.0);
        self.voice.fill(0.0);
        self.surplus = 1.0;
        self.shaper.interrupt();
        self.comfort.interrupt();
    }

    /// The visitor's voice, of what `filter` made last. Tells it what it does
    /// not know of.
    pub fn process(&mut self, filter: &mut Filter, out: &mut [f32; HOP]) {
        let error = self.spectrum(|s| &mut s.error, &filter.error);
        let estimate = self.spectrum(|s| &mut s.estimate, &filter.estimate);
        let mut left = filter.left;
        left.iter_mut().for_each(|left| *left *= SEEN);
        self.leak
            .follow(&error, &estimate, &self.noise.power, &left);
        self.leak.tell(filter);
        self.leak.add(&estimate, &mut left);
        self.noise.follow(&error, &left);
        let more = self.alone(&error, &left);
        left.iter_mut().for_each(|left| *left *= more);
        let gains = self.gains(&error, &left);
        self.comfort.make(&mut self.fft, &self.root, |k| {
            let wanted = self.noise_left * self.noise_left - gains[k] * gains[k];
            wanted.max(0.0) * self.noise.power[k]
        });
        self.shaper
            .process(&mut self.fft, &gains, &filter.error, out);
        self.comfort.mix(out);
    }

    /// Whether nobody spoke over echo and noise in the last hop.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.surplus < (NOBODY + SOMEBODY) / 2.0
    }

    fn spectrum(
        &mut self,
        which: impl Fn(&mut Self) -> &mut [f32; WINDOW],
        new: &[f32; HOP],
    ) -> Bins {
        let kept = which(self);
        kept.copy_within(HOP.., 0);
        kept[WINDOW - HOP..].copy_from_slice(new);
        let mut frame = [0.0; N];
        frame[..WINDOW].copy_from_slice(kept);
        for (sample, window) in frame.iter_mut().zip(&*self.window) {
            *sample *= window;
        }
        let mut spectrum = Spectrum::ZERO;
        self.fft.forward(&frame, &mut spectrum);
        spectrum.powers()
    }

    /// By how much more the echo is to be turned down, since nobody speaks over
    /// it.
    fn alone(&mut self, error: &Bins, left: &Bins) -> f32 {
        let bins = VOICE.map(|k| (error[k] / (left[k] + self.noise.power[k] + TINY)).min(30.0));
        let surplus = bins.sum::<f32>() / VOICE.len() as f32;
        self.surplus += 0.3 * (surplus - self.surplus);
        let near = ((self.surplus - NOBODY) / (SOMEBODY - NOBODY)).clamp(0.0, 1.0);
        ALONE.powf(1.0 - near)
    }

    fn gains(&mut self, error: &Bins, left: &Bins) -> Bins {
        let noise_left = f32x4::splat(self.noise_left);
        let mut raw = ZEROS;
        for v in 0..QUADS {
            let (error, noise) = (quad(error, v), quad(&self.noise.power, v));
            let other = f32x4::ONE / (quad(left, v) + noise + ALL_TINY);
            let now = (error * other - f32x4::ONE).fast_max(f32x4::ZERO);
            let voice = ALL_OLD * quad(&self.voice, v) * other + ALL_NEW * now;
            // Of the noise something stays, of the echo nothing.
            let least = noise_left * (noise + ALL_TINY) * other;
            let gain = (voice / (f32x4::ONE + voice)).fast_max(least);
            set_quad(&mut self.voice, v, gain * gain * error);
            set_quad(&mut raw, v, gain);
        }
        let around = |k: usize| {
            let (below, above) = (raw[k.saturating_sub(1)], raw[(k + 1).min(BINS - 1)]);
            0.25 * (below + above) + 0.5 * raw[k]
        };
        std::array::from_fn(around)
    }
}

fn hann(n: usize) -> f32 {
    0.5 - 0.5 * (TAU * (n as f32 + 0.5) / WINDOW as f32).cos()
}

/// The noise of the place: by bin, weighed by how likely it is that nobody
/// speaks (T. Gerkmann and R. Hendriks, "Unbiased MMSE-based noise power
/// estimation with low complexity and low tracking delay", IEEE TASLP 20, 2012).
#[derive(Debug)]
struct Noise {
    power: Bins,
    /// How likely it was lately that somebody speaks.
    speech: Bins,
    hops: usize,
}

/// How much louder than noise a voice is taken to be: 15 dB.
const VOICE_OVER_NOISE: f32 = 31.6;
/// Hops at first in which everything is noise.
const FIRST: usize = 20;

impl Noise {
    fn new() -> Self {
        Self {
            power: ZEROS,
            speech: ZEROS,
            hops: 0,
        }
    }

    fn follow(&mut self, error: &Bins, left: &Bins) {
        self.hops = (self.hops + 1).min(FIRST + 1);
        for k in 0..BINS {
            let noise = self.power[k].max(TINY);
            if self.hops <= FIRST {
                if left[k] < 0.1 * error[k] {
                    self.power[k] += (error[k] - self.power[k]) / self.hops as f32;
                }
                continue;
            }
            let over = (error[k] / noise).min(200.0);
            let odds = (1.0 + VOICE_OVER_NOISE)
                * (-over * VOICE_OVER_NOISE / (1.0 + VOICE_OVER_NOISE)).exp();
            let mut speech = 1.0 / (1.0 + odds);
            self.speech[k] += 0.1 * (speech - self.speech[k]);
            if self.speech[k] > 0.99 {
                // Noise that rose at once, or somebody would be out of breath.
                speech = speech.min(0.99);
            }
            if left[k] < 0.25 * noise {
                let now = speech * noise + (1.0 - speech) * error[k];
                self.power[k] = 0.8 * noise + 0.2 * now;
            }
        }
    }
}

/// Where the bands begin, and the last one ends.
const EDGES: [usize; 17] = [
    2, 6, 10, 14, 18, 24, 30, 38, 46, 56, 68, 82, 100, 124, 156, 200, 256,
];
const BANDS: usize = EDGES.len() - 1;
/// Hops of speech that one minimum is taken of; four are kept: 1.2 s.
const SPAN: usize = 30;
/// From which part of its peak on the far end counts as heard, and as loud.
const SOFT: f32 = 0.03;
const LOUD: f32 = 0.25;
/// How much of a level is kept from one hop to the next: 45 ms.
const STEADY: f32 = 0.8;
/// The least of something that goes up and down is less than its average: 3 dB.
const LEAST: f32 = 2.0;
/// When the filter is told: the echo left is twice what it thinks.
const SURPRISE: f32 = 2.0;
/// How much it then knows less, in each hop.
const DOUBT: f32 = 0.02;

/// The share of the estimate that the error is never without, in bands.
#[derive(Debug)]
struct Leak {
    bands: [Band; BANDS],
    /// Hops of the present span in which the far end spoke.
    hops: usize,
}

#[derive(Debug, Clone, Copy)]
struct Band {
    error: f32,
    estimate: f32,
    left: f32,
    /// The loudest estimate of late; it fades by 1 dB a second.
    peak: f32,
    /// The least share in each of the latest spans: when the far end is soft, and
    /// when it is loud.
    least: [[f32; 4]; 2],
    /// The present level's.
    share: f32,
}

impl Leak {
    fn new() -> Self {
        let band = Band {
            error: 0.0,
            estimate: 0.0,
            left: 0.0,
            peak: 0.0,
            least: [[f32::INFINITY; 4]; 2],
            share: 0.0,
        };
        Self {
            bands: [band; BANDS],
            hops: 0,
        }
    }

    fn follow(&mut self, error: &Bins, estimate: &Bins, noise: &Bins, left: &Bins) {
        let mut heard = false;
        for (band, edges) in self.bands.iter_mut().zip(EDGES.windows(2)) {
            let sum = |power: &Bins| power[edges[0]..edges[1]].iter().sum::<f32>();
            let noise = sum(noise);
            let settle = |level: &mut f32, now: f32| *level += (now - *level) * (1.0 - STEADY);
            settle(&mut band.error, (sum(error) - 2.0 * noise).max(0.0));
            settle(&mut band.estimate, sum(estimate));
            settle(&mut band.left, sum(left));
            band.peak = (0.998 * band.peak).max(band.estimate);
            let least = &mut band.least[usize::from(band.estimate > LOUD * band.peak)];
            if band.estimate > SOFT * band.peak && band.estimate > 2.0 * noise + TINY {
                heard = true;
                least[0] = least[0].min(band.error / band.estimate);
            }
            let least = least.iter().copied().fold(f32::INFINITY, f32::min);
            band.share = if least.is_finite() {
                least.min(20.0)
            } else {
                0.0
            };
        }
        self.hops += usize::from(heard);
        if self.hops == SPAN {
            self.hops = 0;
            for least in self.bands.iter_mut().flat_map(|band| &mut band.least) {
                least.rotate_right(1);
                least[0] = f32::INFINITY;
            }
        }
    }

    fn tell(&self, filter: &mut Filter) {
        for (band, edges) in self.bands.iter().zip(EDGES.windows(2)) {
            if band.share * band.estimate > SURPRISE * band.left {
                filter.doubt(edges[0], edges[1], DOUBT * band.share.min(1.0));
            }
        }
    }

    fn add(&self, estimate: &Bins, left: &mut Bins) {
        for (band, edges) in self.bands.iter().zip(EDGES.windows(2)) {
            for k in edges[0]..edges[1] {
                left[k] += LEAST * band.share * estimate[k];
            }
        }
    }
}

/// A filter whose coefficients change every hop.
#[derive(Debug)]
struct Shaper {
    window: [f32; TAPS],
    taps: [f32; TAPS],
    /// The latest samples, oldest first.
    line: [f32; HOP + TAPS],
}

impl Shaper {
    fn new() -> Self {
        let window = |n: usize| {
            let off = n as f32 - DELAY as f32;
            0.5 + 0.5 * (PI * off / DELAY as f32).cos()
        };
        Self {
            window: std::array::from_fn(window),
            taps: [0.0; TAPS],
            line: [0.0; HOP + TAPS],
        }
    }

    fn interrupt(&mut self) {
        self.taps.fill(0.0);
        self.line.fill(0.0);
    }

    fn process(&mut self, fft: &mut Fft, gains: &Bins, sound: &[f32; HOP], out: &mut [f32; HOP]) {
        let spectrum = Spectrum {
            re: *gains,
            ..Spectrum::ZERO
        };
        let mut response = [0.0; N];
        fft.inverse(&spectrum, &mut response);
        // The response is even: it is as good forwards as backwards.
        let taps: [f32; TAPS] =
            std::array::from_fn(|n| response[(n + N - DELAY) % N] * self.window[n]);
        self.line.copy_within(HOP.., 0);
        self.line[TAPS..].copy_from_slice(sound);
        for (n, out) in out.iter_mut().enumerate() {
            let heard = &self.line[n + 1..][..TAPS];
            let (before, after) = (dot(heard, &self.taps), dot(heard, &taps));
            let turn = (n as f32 + 0.5) / HOP as f32;
            *out = before + (after - before) * turn;
        }
        self.taps = taps;
    }
}

/// Makes of a whole number one whose mean square is a half: the root of 1.5.
const SPREAD: f32 = 1.224_744_9 / (1u32 << 31) as f32;

/// Noise in place of what was taken out with the echo.
#[derive(Debug)]
struct Comfort {
    /// Frames overlap by half.
    ahead: [f32; WINDOW],
    seed: u32,
}

impl Comfort {
    fn new() -> Self {
        Self {
            ahead: [0.0; WINDOW],
            seed: 1,
        }
    }

    fn interrupt(&mut self) {
        self.ahead.fill(0.0);
    }

    /// Makes a frame of which bin `k` has the power that `wanted` says.
    fn make(&mut self, fft: &mut Fft, window: &[f32; WINDOW], wanted: impl Fn(usize) -> f32) {
        let mut spectrum = Spectrum::ZERO;
        for k in 1..BINS - 1 {
            let level = (wanted(k) / SEEN).sqrt();
            spectrum.re[k] = level * self.random();
            spectrum.im[k] = level * self.random();
        }
        let mut frame = [0.0; N];
        fft.inverse(&spectrum, &mut frame);
        self.ahead.copy_within(HOP.., 0);
        self.ahead[WINDOW - HOP..].fill(0.0);
        for ((ahead, sample), window) in self.ahead.iter_mut().zip(&frame).zip(window) {
            *ahead += sample * window;
        }
    }

    /// Evenly distributed, its mean square a half.
    fn random(&mut self) -> f32 {
        self.seed = self
            .seed
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        SPREAD * (self.seed as i32) as f32
    }

    fn mix(&self, out: &mut [f32; HOP]) {
        for (out, noise) in out.iter_mut().zip(&self.ahead) {
            *out += noise;
        }
    }
}
