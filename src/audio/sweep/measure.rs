//! From what was heard of a sweep to what it says of the way.
//!
//! Levels, offset and noise are of the samples themselves; all else is of the
//! impulse response. The way is taken for heard when the impulse stands
//! [`CLEAR_DB`] above the noise around it; what is said of it then has that
//! noise taken off.

use super::fourier::{Complex, inverse, spectrum};
use super::{BEFORE, HIGH, LOW, Sweep, smooth};
use crate::audio::FULL_SCALE;
use crate::audio::level::SILENCE_DBFS;

/// The latest that the sweep is looked for, in seconds: more is no echo that
/// anybody cancels.
pub const LATEST: f64 = 0.5;
/// The loudest of some ten thousand samples of noise is 12 dB above its rms.
pub const CLEAR_DB: f32 = 17.0;
/// Harmonics that are looked at. A symmetric speaker has the third, a worn one
/// the second; those above stand too close to one another.
const HARMONICS: std::ops::RangeInclusive<u32> = 2..=5;
/// Where the echo's loss is measured, in Hz: the telephone's band.
const BAND: (f64, f64) = (300.0, 3_400.0);
/// Tones whose harmonics are counted, in Hz, and how many to the octave.
const TONES: (f64, f64) = (200.0, 2_000.0);
const TONES_PER_OCTAVE: f64 = 12.0;
/// Where harmonics are counted, in Hz: below the end of the sweep, which fades.
const HARMONICS_TO: f64 = 6_500.0;
/// A share of harmonics that the noise may stand for; above it they are not told.
const HIDDEN: f32 = 0.05;
/// Bands of the response, to the octave.
const BANDS_PER_OCTAVE: f64 = 3.0;
/// Seconds before an impulse that belong to it: it rings before it, too.
const RISE: f64 = 0.008;
/// Seconds after it: of the way, with its room; of a harmonic, before the next.
const ROOM: f64 = 0.3;
const SHORT: f64 = 0.048;
/// Seconds from the way to where only noise is left.
const NOISE_AFTER: f64 = 0.4;
/// Seconds of the impulse response that are shown.
const SHOWN: (f64, f64) = (0.005, 0.1);
/// Seconds that a card takes to settle: not listened to.
const SETTLE: f64 = 0.1;
/// A sample that is as loud as can be, but for a bit.
const FULL: i16 = i16::MAX - 1;

/// What the microphone brought.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Samples from the first on that was played.
    pub samples: &'a [i16],
    /// How many of the card's own were at full scale, for each thousand.
    pub clipped: f32,
    /// How much later they come by being brought to this rate, in ms.
    pub converted_ms: f32,
}

impl<'a> Heard<'a> {
    /// Samples as the card gave them.
    #[must_use]
    pub fn new(samples: &'a [i16]) -> Self {
        let full = samples.iter().filter(|sample| is_full(**sample)).count();
        Self {
            samples,
            clipped: 1000.0 * full as f32 / samples.len().max(1) as f32,
            converted_ms: 0.0,
        }
    }
}

/// Whether a sample is as loud as one can be.
#[must_use]
pub fn is_full(sample: i16) -> bool {
    sample.unsigned_abs() >= FULL.unsigned_abs()
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The one value that the microphone gave, if it gave no other.
    pub only: Option<i16>,
    /// The mean of its samples, in parts of full scale.
    pub offset: f32,
    /// How loud the place is, and the microphone's own noise.
    pub noise_dbfs: f32,
    /// The loudest sample while the sweep was played.
    pub peak_dbfs: f32,
    /// How loud it was then.
    pub rms_dbfs: f32,
    /// Samples at full scale, for each thousand.
    pub clipped: f32,
    /// The way from the speaker; `None`: the sweep was not heard.
    pub way: Option<Way>,
}

/// From the speaker to the microphone.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// From a sample that is handed to the card to its return, buffers and all.
    pub delay_ms: f32,
    /// Whether it comes back upside down. Nobody hears that of one speaker.
    pub inverted: bool,
    /// How much softer it comes back than it was played (echo return loss).
    pub loss_db: f32,
    /// The harmonics, in parts of the sweep; `None`: noise hides them.
    pub distortion: Option<f32>,
    /// How far the impulse stands above the noise around it.
    pub clear_db: f32,
    /// Hz and dB: how loud each third of an octave comes back.
    pub response: Vec<(f32, f32)>,
    /// The impulse response, at the sweep's rate, the highest 1 or -1.
    pub impulse: Vec<f32>,
    /// Where in it the delay is.
    pub arrival: usize,
}

/// Takes apart what was heard of `sweep`.
#[must_use]
pub fn measure(sweep: &Sweep, heard: &Heard<'_>) -> Measured {
    let rate = f64::from(sweep.rate);
    let at = |seconds: f64| ((seconds * rate) as usize).min(heard.samples.len());
    let quiet = &heard.samples[at(SETTLE)..at(BEFORE)];
    let settled = &heard.samples[at(SETTLE)..];
    let sounding = &heard.samples[at(BEFORE)..];
    let first = settled.first().copied();
    let only = first.filter(|first| settled.iter().all(|sample| sample == first));
    let offset = mean(settled);
    Measured {
        only,
        offset,
        noise_dbfs: dbfs(rms(quiet, mean(quiet))),
        peak_dbfs: dbfs(peak(sounding)),
        rms_dbfs: dbfs(rms(sounding, offset)),
        clipped: heard.clipped,
        way: match only {
            None => way(sweep, heard),
            Some(_) => None,
        },
    }
}

fn mean(samples: &[i16]) -> f32 {
    let sum: i64 = samples.iter().map(|&sample| i64::from(sample)).sum();
    (sum as f64 / samples.len().max(1) as f64 / f64::from(FULL_SCALE)) as f32
}

fn rms(samples: &[i16], mean: f32) -> f32 {
    let mean = f64::from(mean * FULL_SCALE);
    let square = |&sample: &i16| (f64::from(sample) - mean).powi(2);
    let sum: f64 = samples.iter().map(square).sum();
    ((sum / samples.len().max(1) as f64).sqrt() / f64::from(FULL_SCALE)) as f32
}

fn peak(samples: &[i16]) -> f32 {
    let peak = samples.iter().map(|sample| sample.unsigned_abs()).max();
    f32::from(peak.unwrap_or(0)) / FULL_SCALE
}

fn dbfs(amplitude: f32) -> f32 {
    (20.0 * amplitude.log10()).max(SILENCE_DBFS)
}

/// The ratio of two powers in dB; nothing, and less, is the softest there is.
fn db(power: f64) -> f32 {
    (10.0 * power.log10()).max(f64::from(SILENCE_DBFS)) as f32
}

fn way(sweep: &Sweep, heard: &Heard<'_>) -> Option<Way> {
    let response = Impulse::new(sweep, heard.samples)?;
    let rate = f64::from(sweep.rate);
    let (arrival, peak) = response.highest()?;
    let after = response.at(arrival, NOISE_AFTER);
    let noise = response.window(after, 0.0, ROOM);
    let floor = (noise.iter().map(|x| x * x).sum::<f32>() / noise.len() as f32).sqrt();
    let clear_db = db((f64::from(peak) / f64::from(floor)).powi(2));
    if !peak.is_normal() || clear_db < CLEAR_DB {
        return None;
    }
    let whole = Powers::new(&response.window(arrival, RISE, ROOM), rate);
    // As long, so that as much of the noise is in it.
    let noise = Powers::new(&response.window(after, RISE, ROOM), rate);
    let loss_db = -db(whole.mean(BAND) - noise.mean(BAND));
    let shown = response.window_at(arrival, SHOWN);
    Some(Way {
        delay_ms: (arrival as f64 / rate * 1e3) as f32 - heard.converted_ms,
        inverted: peak < 0.0,
        loss_db,
        distortion: distortion(sweep, &response, arrival, after),
        clear_db,
        response: bands()
            .map(|(middle, band)| (middle as f32, db(whole.mean(band) - noise.mean(band))))
            .collect(),
        impulse: shown.into_iter().map(|x| x / peak.abs()).collect(),
        arrival: (SHOWN.0 * rate) as usize,
    })
}

/// Thirds of octaves within the sweep: the middle, and both ends.
fn bands() -> impl Iterator<Item = (f64, (f64, f64))> {
    let half = 2f64.powf(0.5 / BANDS_PER_OCTAVE);
    let middle = |n: i32| 1_000.0 * 2f64.powf(f64::from(n) / BANDS_PER_OCTAVE);
    let around = move |middle: f64| (middle, (middle / half, middle * half));
    let within = |(_, (from, to)): &(f64, (f64, f64))| *from >= LOW && *to <= HIGH * 1.02;
    (-12..=12).map(middle).map(around).filter(within)
}

/// The share of the harmonics, over all tones together: a tone that the speaker
/// hardly plays counts as little as it is heard.
fn distortion(sweep: &Sweep, response: &Impulse, arrival: usize, after: usize) -> Option<f32> {
    let rate = f64::from(sweep.rate);
    let powers = |at: usize| Powers::new(&response.window(at, RISE, SHORT), rate);
    let way = powers(arrival);
    let noise = powers(after);
    let tones = (TONES.1 / TONES.0).log2() * TONES_PER_OCTAVE;
    let tones: Vec<f64> = (0..=tones as u32)
        .map(|n| TONES.0 * 2f64.powf(f64::from(n) / TONES_PER_OCTAVE))
        .collect();
    let mut harmonics = 0.0;
    let mut hidden = 0.0;
    for k in HARMONICS {
        let of_k = powers(response.before(arrival, sweep.ahead(k)));
        let heard = tones.iter().map(|tone| tone * f64::from(k));
        for tone in heard.filter(|tone| *tone <= HARMONICS_TO) {
            harmonics += of_k.at(tone);
            hidden += noise.at(tone);
        }
    }
    let played: f64 = tones.iter().map(|tone| way.at(*tone)).sum();
    let share = |power: f64| (power.max(0.0) / played).sqrt() as f32;
    (share(hidden) < HIDDEN).then(|| share(harmonics - hidden))
}

/// An impulse response; what comes before its beginning stands at its end.
struct Impulse {
    samples: Vec<f32>,
    rate: f64,
}

impl Impulse {
    /// What was heard, divided by what was played; `None` when too little was.
    fn new(sweep: &Sweep, heard: &[i16]) -> Option<Self> {
        let heard = heard.get(sweep.before..)?;
        if heard.len() < sweep.sounding().len() {
            return None;
        }
        let rate = f64::from(sweep.rate);
        let played = sweep.sounding();
        // Longer than from the first harmonic to the noise behind the way.
        let length = heard.len().next_power_of_two();
        let level = |sample: &i16| f32::from(*sample) / FULL_SCALE;
        let played = spectrum(played.iter().map(level), length);
        let mut way = spectrum(heard.iter().map(level), length);
        let hz = |bin: usize| bin.min(length - bin) as f64 * rate / length as f64;
        let inside = (0..length).filter(|&bin| (LOW..HIGH).contains(&hz(bin)));
        let loudness: Vec<f32> = inside.map(|bin| played[bin].power()).collect();
        let mean = loudness.iter().sum::<f32>() / loudness.len() as f32;
        for (bin, (heard, played)) in way.iter_mut().zip(&played).enumerate() {
            // What lies beside the sweep is not divided by next to nothing.
            let part = edges(hz(bin)) as f32 / (played.power() + 1e-4 * mean);
            *heard = (*heard * played.conj()).scale(part);
        }
        inverse(&mut way);
        Some(Self {
            samples: way.into_iter().map(|sample| sample.re).collect(),
            rate,
        })
    }

    /// The highest of those that may be the echo, and where.
    fn highest(&self) -> Option<(usize, f32)> {
        let end = (LATEST * self.rate) as usize;
        let places = self.samples.iter().copied().enumerate().take(end);
        places.max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()))
    }

    fn at(&self, arrival: usize, seconds: f64) -> usize {
        arrival + (seconds * self.rate) as usize
    }

    fn before(&self, arrival: usize, samples: usize) -> usize {
        (arrival + self.samples.len() - samples) % self.samples.len()
    }

    /// From `rise` before a place to `fall` after it.
    fn window_at(&self, at: usize, (rise, fall): (f64, f64)) -> Vec<f32> {
        let rise = (rise * self.rate) as usize;
        let length = rise + (fall * self.rate) as usize;
        let all = self.samples.iter().cycle();
        all.skip(self.before(at, rise))
            .take(length)
            .copied()
            .collect()
    }

    /// The same, with its ends faded.
    fn window(&self, at: usize, rise: f64, fall: f64) -> Vec<f32> {
        let mut window = self.window_at(at, (rise, fall));
        let length = window.len() as f64;
        for (n, sample) in window.iter_mut().enumerate() {
            let from_start = n as f64 / (0.5 * RISE * self.rate);
            let from_end = (length - n as f64) / (length / 8.0);
            *sample *= (smooth(from_start) * smooth(from_end)) as f32;
        }
        window
    }
}

/// 1 within the sweep, 0 beside it.
fn edges(hz: f64) -> f64 {
    smooth((hz / LOW - 0.8) / 0.2) * smooth((1.04 - hz / HIGH) / 0.04)
}

/// How loud each frequency is.
struct Powers {
    bins: Vec<f32>,
    /// Hz between two.
    width: f64,
}

impl Powers {
    fn new(samples: &[f32], rate: f64) -> Self {
        // Twice as many as needed lie between.
        let length = (2 * samples.len()).next_power_of_two();
        let bins = spectrum(samples.iter().copied(), length);
        let bins = bins[..=length / 2].iter().copied();
        Self {
            bins: bins.map(Complex::power).collect(),
            width: rate / length as f64,
        }
    }

    fn mean(&self, (from, to): (f64, f64)) -> f64 {
        let place = |hz: f64| ((hz / self.width).round() as usize).min(self.bins.len());
        let bins = &self.bins[place(from)..place(to).max(place(from) + 1).min(self.bins.len())];
        bins.iter().map(|&power| f64::from(power)).sum::<f64>() / bins.len() as f64
    }

    fn at(&self, hz: f64) -> f64 {
        let place = (hz / self.width).round() as usize;
        self.bins.get(place).copied().map_or(0.0, f64::from)
    }
}
