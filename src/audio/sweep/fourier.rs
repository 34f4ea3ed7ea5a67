//! The discrete Fourier transform of a power of two of complex samples, for
//! measurements: the one of [`echo`](crate::audio::echo::fft) is faster, and of
//! one length only.
//!
//! Units: forward is not scaled, inverse divides by the length.

use std::f64::consts::TAU;
use std::ops::{Add, Mul, Sub};

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Complex {
    /// Its real part.
    pub re: f32,
    /// Its imaginary part.
    pub im: f32,
}

impl Complex {
    /// Its conjugate.
    #[must_use]
    pub fn conj(self) -> Self {
        Self {
            re: self.re,
            im: -self.im,
        }
    }

    /// The square of its magnitude.
    #[must_use]
    pub fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    /// A real number times it.
    #[must_use]
    pub fn scale(self, by: f32) -> Self {
        Self {
            re: self.re * by,
            im: self.im * by,
        }
    }
}

impl From<f32> for Complex {
    fn from(re: f32) -> Self {
        Self { re, im: 0.0 }
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

/// The spectrum of `samples`, followed by silence up to `length`.
///
/// # Panics
/// If `length` is no power of two, or too short for them.
#[must_use]
pub fn spectrum(samples: impl IntoIterator<Item = f32>, length: usize) -> Vec<Complex> {
    let mut data: Vec<Complex> = samples.into_iter().map(Complex::from).collect();
    assert!(data.len() <= length, "{} in {length}", data.len());
    data.resize(length, Complex::default());
    forward(&mut data);
    data
}

/// From samples to their spectrum, in place (Cooley and Tukey, 1965).
///
/// # Panics
/// If the length is no power of two.
pub fn forward(data: &mut [Complex]) {
    let length = data.len();
    assert!(length.is_power_of_two(), "{length}");
    let shift = usize::BITS - length.trailing_zeros();
    for n in 1..length {
        let other = n.reverse_bits() >> shift;
        if n < other {
            data.swap(n, other);
        }
    }
    let turn = |n: usize| {
        let angle = -TAU * n as f64 / length as f64;
        Complex {
            re: angle.cos() as f32,
            im: angle.sin() as f32,
        }
    };
    let turns: Vec<Complex> = (0..length / 2).map(turn).collect();
    let mut half = 1;
    while half < length {
        let stride = length / (2 * half);
        for pair in data.chunks_exact_mut(2 * half) {
            let (even, odd) = pair.split_at_mut(half);
            for (n, (a, b)) in even.iter_mut().zip(odd).enumerate() {
                let turned = *b * turns[n * stride];
                (*a, *b) = (*a + turned, *a - turned);
            }
        }
        half *= 2;
    }
}

/// From a spectrum to its samples, in place.
///
/// # Panics
/// As [`forward`].
pub fn inverse(data: &mut [Complex]) {
    let part = 1.0 / data.len() as f32;
    data.iter_mut().for_each(|bin| *bin = bin.conj());
    forward(data);
    data.iter_mut()
        .for_each(|sample| *sample = sample.conj().scale(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sum_that_the_definition_says() {
        for length in [2, 8, 64] {
            let sample = |n: usize| Complex {
                re: ((n * n * 7 + 3) % 11) as f32 - 5.0,
                im: ((n * 5 + 1) % 7) as f32 - 3.0,
            };
            let samples: Vec<_> = (0..length).map(sample).collect();
            let mut fast = samples.clone();
            forward(&mut fast);
            for (k, bin) in fast.iter().enumerate() {
                let slow = samples
                    .iter()
                    .enumerate()
                    .map(|(n, &x)| {
                        let angle = -TAU * (k * n) as f64 / length as f64;
                        x * Complex {
                            re: angle.cos() as f32,
                            im: angle.sin() as f32,
                        }
                    })
                    .fold(Complex::default(), Complex::add);
                assert!((*bin - slow).power() < 1e-6, "{length}, {k}");
            }
            inverse(&mut fast);
            for (back, sample) in fast.iter().zip(&samples) {
                assert!((*back - *sample).power() < 1e-9);
            }
        }
    }
}
