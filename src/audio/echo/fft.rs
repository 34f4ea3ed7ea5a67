//! The discrete Fourier transform of a frame of real samples.
//!
//! [`N`] samples are worked on as half as many complex ones, with butterflies
//! of two (Cooley and Tukey, 1965), and then taken apart.
//!
//! Units: bin `k` of [`BINS`] is `k` times 31.25 Hz. Forward is not scaled,
//! inverse divides by [`N`].
//!
//! Real time: bounded work; only `new` allocates.

use std::f64::consts::TAU;
use std::ops::{Add, AddAssign, Mul, Sub};

/// Samples of a frame: 32 ms.
pub const N: usize = 512;
/// Bins of its spectrum, from 0 Hz to half the rate.
pub const BINS: usize = HALF + 1;
const HALF: usize = N / 2;

/// A spectrum of [`BINS`].
pub type Spectrum = [Complex; BINS];

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Complex {
    /// The real part.
    pub re: f32,
    /// The imaginary part.
    pub im: f32,
}

impl Complex {
    /// 0.
    pub const ZERO: Self = Self { re: 0.0, im: 0.0 };

    /// This and its mirror image at the real axis make a real number.
    #[must_use]
    pub fn conj(self) -> Self {
        Self {
            im: -self.im,
            ..self
        }
    }

    /// The square of the magnitude.
    #[must_use]
    pub fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    /// Both parts `factor` times as large.
    #[must_use]
    pub fn scale(self, factor: f32) -> Self {
        Self {
            re: self.re * factor,
            im: self.im * factor,
        }
    }
}

impl Add for Complex {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }
}

impl AddAssign for Complex {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Complex {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }
}

impl Mul for Complex {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

/// The transform, both ways.
#[derive(Debug)]
pub struct Fft {
    /// `e^(-i 2 pi k / N)`.
    turns: Box<[Complex; HALF + 1]>,
    /// Where each pair of samples goes, so that the butterflies leave order.
    places: Box<[u8; HALF]>,
    work: Box<[Complex; HALF]>,
}

impl Fft {
    /// Makes the tables.
    #[must_use]
    pub fn new() -> Self {
        let turn = |k: usize| {
            let (sin, cos) = (TAU * k as f64 / N as f64).sin_cos();
            Complex {
                re: cos as f32,
                im: -sin as f32,
            }
        };
        Self {
            turns: Box::new(std::array::from_fn(turn)),
            places: Box::new(std::array::from_fn(|n| (n as u8).reverse_bits())),
            work: Box::new([Complex::ZERO; HALF]),
        }
    }

    /// The spectrum of a frame.
    pub fn forward(&mut self, frame: &[f32; N], spectrum: &mut Spectrum) {
        for (&[even, odd], &place) in frame.as_chunks::<2>().0.iter().zip(&*self.places) {
            self.work[usize::from(place)] = Complex { re: even, im: odd };
        }
        self.butterflies();
        for k in 0..=HALF / 2 {
            let (a, b) = (self.work[k], self.work[(HALF - k) % HALF].conj());
            let even = (a + b).scale(0.5);
            let odd = (a - b).scale(0.5);
            let odd = Complex {
                re: odd.im,
                im: -odd.re,
            } * self.turns[k];
            spectrum[k] = even + odd;
            spectrum[HALF - k] = (even - odd).conj();
        }
    }

    /// The frame of a spectrum.
    pub fn inverse(&mut self, spectrum: &Spectrum, frame: &mut [f32; N]) {
        for (k, &place) in self.places.iter().enumerate() {
            let (a, b) = (spectrum[k], spectrum[HALF - k].conj());
            let even = (a + b).scale(0.5);
            let odd = (a - b).scale(0.5) * self.turns[k].conj();
            // even + i odd, mirrored: the same butterflies turn it back.
            self.work[usize::from(place)] = Complex {
                re: even.re - odd.im,
                im: -(even.im + odd.re),
            };
        }
        self.butterflies();
        let pairs = frame.as_chunks_mut::<2>().0.iter_mut();
        for (pair, &value) in pairs.zip(&*self.work) {
            let value = value.scale(1.0 / HALF as f32);
            *pair = [value.re, -value.im];
        }
    }

    fn butterflies(&mut self) {
        let mut half = 1;
        while half < HALF {
            let stride = HALF / half;
            for group in self.work.chunks_exact_mut(2 * half) {
                let (low, high) = group.split_at_mut(half);
                let turns = self.turns.iter().step_by(stride);
                for ((a, b), &turn) in low.iter_mut().zip(high).zip(turns) {
                    let turned = *b * turn;
                    (*a, *b) = (*a + turned, *a - turned);
                }
            }
            half *= 2;
        }
    }
}

impl Default for Fft {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise() -> [f32; N] {
        let mut seed = 1u32;
        std::array::from_fn(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as f32 - 32_768.0
        })
    }

    #[test]
    fn every_bin_is_the_sum_it_is_defined_as() {
        let (frame, mut spectrum) = (noise(), [Complex::ZERO; BINS]);
        Fft::new().forward(&frame, &mut spectrum);
        for (k, bin) in spectrum.iter().enumerate() {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, &sample) in frame.iter().enumerate() {
                let (sin, cos) = (TAU * ((k * n) % N) as f64 / N as f64).sin_cos();
                re += f64::from(sample) * cos;
                im -= f64::from(sample) * sin;
            }
            let off = (f64::from(bin.re) - re).hypot(f64::from(bin.im) - im);
            assert!(off < 1.0, "bin {k}: {bin:?}, wanted {re} {im}");
        }
    }

    #[test]
    fn the_inverse_gives_the_frame_back() {
        let (frame, mut spectrum, mut back) = (noise(), [Complex::ZERO; BINS], [0.0; N]);
        let mut fft = Fft::new();
        fft.forward(&frame, &mut spectrum);
        fft.inverse(&spectrum, &mut back);
        for (n, (a, b)) in frame.iter().zip(&back).enumerate() {
            assert!((a - b).abs() < 0.1, "sample {n}: {a}, {b}");
        }
    }
}
