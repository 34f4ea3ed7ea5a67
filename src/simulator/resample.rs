//! From 8 kHz to the wider rates of the media stream, and back.
//!
//! Whole recordings at a time, once per call: the words before it begins, what
//! was heard when somebody asks. A windowed sinc with [`REACH`] samples of the
//! lower rate on each side; symmetric, so nothing is delayed.
//!
//! Units: `factor` is the higher rate over the lower: 1, 2, 3 or 6.

/// Samples of the lower rate on each side of a new one.
const REACH: usize = 12;
/// Where the filter has fallen to half, as a part of the lower rate: 3.6 of
/// 8 kHz, as a telephone has it.
const CUTOFF: f64 = 0.45;

/// Each sample becomes `factor`.
pub(super) fn up(samples: &[i16], factor: usize) -> Vec<i16> {
    if factor == 1 {
        return samples.to_vec();
    }
    let taps = taps(factor);
    let middle = REACH * factor;
    let one = |n: usize| {
        // Taps that fall on a sample of the lower rate.
        let phase = (middle + n) % factor;
        let first = (middle + n - phase) / factor;
        let near = (phase..taps.len()).step_by(factor).enumerate();
        let sum: f64 = near
            .filter_map(|(back, tap)| {
                let sample = samples.get(first.checked_sub(back)?)?;
                Some(taps[tap] * f64::from(*sample))
            })
            .sum();
        pcm(sum * factor as f64)
    };
    (0..samples.len() * factor).map(one).collect()
}

/// Of `factor` samples one is left.
pub(super) fn down(samples: &[i16], factor: usize) -> Vec<i16> {
    if factor == 1 {
        return samples.to_vec();
    }
    let taps = taps(factor);
    let middle = REACH * factor;
    let one = |n: usize| {
        let around = taps.iter().enumerate().filter_map(|(tap, weight)| {
            let at = (n * factor + tap).checked_sub(middle)?;
            Some(weight * f64::from(*samples.get(at)?))
        });
        pcm(around.sum())
    };
    (0..samples.len() / factor).map(one).collect()
}

/// The filter at the higher rate; its sum is 1.
fn taps(factor: usize) -> Vec<f64> {
    let half = (REACH * factor) as f64;
    let one = |n: usize| {
        let from_middle = n as f64 - half;
        let x = std::f64::consts::TAU * CUTOFF * from_middle / factor as f64;
        let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
        // Hann.
        sinc * (0.5 + 0.5 * (std::f64::consts::PI * from_middle / (half + 1.0)).cos())
    };
    let taps: Vec<f64> = (0..=2 * REACH * factor).map(one).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| tap / sum).collect()
}

fn pcm(sample: f64) -> i16 {
    sample.round() as i16 // saturates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: f64) -> Vec<i16> {
        let step = std::f64::consts::TAU * hertz / rate;
        let sample = |n: u32| (10_000.0 * (f64::from(n) * step).sin()).round() as i16;
        (0..rate as u32 / 4).map(sample).collect()
    }

    #[test]
    fn speech_keeps_its_shape_both_ways() {
        for factor in [1, 2, 3, 6] {
            for hertz in [300.0, 1000.0, 3000.0] {
                let narrow = tone(hertz, 8000.0);
                let wide = tone(hertz, 8000.0 * factor as f64);
                for (name, made, want) in [
                    ("up", up(&narrow, factor), &wide),
                    ("down", down(&wide, factor), &narrow),
                ] {
                    assert_eq!(made.len(), want.len());
                    let edge = REACH * factor;
                    let worst = made.iter().zip(want).skip(edge).take(made.len() - 2 * edge);
                    let worst = worst.map(|(a, b)| (a - b).abs()).max().unwrap();
                    assert!(worst < 200, "{name} ×{factor}, {hertz} Hz: off by {worst}");
                }
            }
        }
    }

    #[test]
    fn what_a_lower_rate_cannot_hold_is_gone() {
        let left = down(&tone(6000.0, 16_000.0), 2);
        let loudest = left[REACH..left.len() - REACH]
            .iter()
            .map(|s| s.abs())
            .max();
        assert!(loudest.unwrap() < 100, "{loudest:?}");
    }
}
