//! Sounds that can be told apart, and what is in a recording.

use std::f64::consts::TAU;
use std::time::Duration;

/// Samples a second of the line.
pub(crate) const LINE_RATE: u32 = 8_000;
/// Before each chirp of the callee, in seconds.
pub(crate) const PAUSE: f64 = 0.9;
/// Before the visitor's chirp: long enough for the device to turn from the
/// callee to the visitor, short enough to be done before the callee's next.
pub(crate) const VISITORS_PAUSE: f64 = 0.4;
/// How long a [`chirp`] lasts, in seconds.
pub(crate) const CHIRP: f64 = 0.1;
/// How like the words a sound must be to be them. A device that catches up plays
/// faster by 0.3 %, which makes a sweep less like itself than any ear would say;
/// tones are at 0.2.
pub(crate) const LIKE: f64 = 0.6;
/// As loud as speech on a telephone line.
const AMPLITUDE: f64 = 6_000.0;

/// A sweep from 500 to 2500 Hz: it is like itself at one place only.
pub(crate) fn chirp(rate: u32) -> Vec<i16> {
    let sample = |n: u32| {
        let t = f64::from(n) / f64::from(rate);
        let phase = TAU * (500.0 * t + 1000.0 * t * t / CHIRP);
        // Fades in and out, so that no filter rings.
        let fade = (t.min(CHIRP - t) / 0.01).min(1.0);
        (AMPLITUDE * fade * phase.sin()) as i16
    };
    (0..(f64::from(rate) * CHIRP) as u32).map(sample).collect()
}

/// What people say: a pause, in which the device's own tones and its turn from
/// one speaker to the other go by, then a [`chirp`].
pub(crate) fn words(pause: f64, rate: u32) -> Vec<i16> {
    let mut words = vec![0; (pause * f64::from(rate)) as usize];
    words.extend(chirp(rate));
    words
}

/// How long so many samples of the line last.
pub(crate) fn length(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(LINE_RATE))
}

/// Where in `heard` the `words` are, in samples, and how like them it is
/// there: 1 is the same but for loudness. Both at the same rate.
pub(crate) fn find(heard: &[i16], words: &[i16]) -> (usize, f64) {
    let own = energies(words)[words.len()];
    let energies = energies(heard);
    let mut best = (0, 0.0);
    for (at, window) in heard.windows(words.len()).enumerate() {
        let energy = energies[at + words.len()] - energies[at];
        // Far quieter than words: not worth the work.
        if energy < own / 400.0 {
            continue;
        }
        let mut common = 0.0;
        for n in 0..words.len() {
            common += f64::from(window[n]) * f64::from(words[n]);
        }
        let likeness = common / (energy * own).sqrt();
        if likeness > best.1 {
            best = (at, likeness);
        }
    }
    best
}

/// Every place in `heard` where the `words` are.
pub(crate) fn find_all(heard: &[i16], words: &[i16]) -> Vec<usize> {
    let mut places = Vec::new();
    // Half of the shortest pause at a time: no two are in one piece.
    let step = (PAUSE * f64::from(LINE_RATE)) as usize / 2;
    let mut from = 0;
    while from + words.len() <= heard.len() {
        let piece = &heard[from..heard.len().min(from + step + words.len())];
        let (at, likeness) = find(piece, words);
        if likeness > LIKE
            && places
                .last()
                .is_none_or(|last| from + at > last + words.len())
        {
            places.push(from + at);
        }
        from += step;
    }
    places
}

/// The energy of all samples before each, and of all.
fn energies(samples: &[i16]) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = samples.iter().map(|sample| {
        sum += f64::from(*sample).powi(2);
        sum
    });
    std::iter::once(0.0).chain(sums).collect()
}

/// A recording of a card with `rate` samples a second as the line would carry it.
pub(crate) fn at_line_rate(heard: &[i16], rate: u32) -> Vec<i16> {
    let step = (rate / LINE_RATE) as usize;
    let mean = |some: &[i16]| some.iter().map(|s| i32::from(*s)).sum::<i32>() / step as i32;
    heard
        .chunks_exact(step)
        .map(|some| mean(some) as i16)
        .collect()
}

/// Amplitude of the loudest tenth of a second of a sine of `hz` in `heard`,
/// which is at the line's rate.
pub(crate) fn loudest_at(heard: &[i16], hz: f64) -> f64 {
    let tenth = (LINE_RATE / 10) as usize;
    let pieces = heard.chunks_exact(tenth);
    pieces.map(|piece| amplitude(piece, hz)).fold(0.0, f64::max)
}

fn amplitude(piece: &[i16], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in piece.iter().enumerate() {
        let angle = TAU * hz * n as f64 / f64::from(LINE_RATE);
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    2.0 * f64::hypot(re, im) / piece.len() as f64
}
