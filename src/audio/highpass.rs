//! Takes out of the microphone what no voice has: an offset, a rumble, most of
//! the mains' hum.
//!
//! A Butterworth filter of second order at 80 Hz; the lowest voices begin
//! there.
//!
//! Units: bus samples.
//!
//! Real time: bounded work, no allocation.

/// The filter's coefficients at 80 of 16 000 Hz.
const B: f32 = 0.978_030_5;
const A: [f32; 2] = [-1.955_578_2, 0.956_543_7];

/// See the [module page](self).
#[derive(Debug, Default)]
pub struct HighPass {
    kept: [f32; 2],
}

impl HighPass {
    /// Filters `samples` in place.
    pub fn apply(&mut self, samples: &mut [f32]) {
        let [mut first, mut second] = self.kept;
        for sample in samples {
            let x = B * *sample;
            let y = x + first;
            first = -2.0 * x - A[0] * y + second;
            second = x - A[1] * y;
            *sample = y;
        }
        self.kept = [first, second];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    /// What is left of a tone, in dB.
    fn left(hz: f32) -> f32 {
        let mut filter = HighPass::default();
        let mut tone: Vec<f32> = (0..32_000)
            .map(|n| 10_000.0 * (TAU * hz * n as f32 / 16_000.0).cos())
            .collect();
        filter.apply(&mut tone);
        let power = |sound: &[f32]| sound.iter().map(|s| s * s).sum::<f32>();
        10.0 * (power(&tone[16_000..]) / (16_000.0 * 10_000.0f32.powi(2) / 2.0)).log10()
    }

    #[test]
    fn voices_pass_and_offsets_do_not() {
        assert!(left(0.0) < -90.0, "{}", left(0.0));
        assert!(left(25.0) < -18.0, "{}", left(25.0));
        assert!((left(80.0) + 3.0).abs() < 0.2, "{}", left(80.0));
        for hz in [200.0, 1000.0, 7000.0] {
            assert!(left(hz).abs() < 0.15, "{hz}: {}", left(hz));
        }
    }
}
