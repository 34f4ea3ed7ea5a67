//! The discrete Fourier transform of a frame of real samples.
//!
//! [`N`] samples are worked on as half as many complex ones, and then taken
//! apart. Those are four columns of 64, which lie side by side in vectors: each
//! column is turned by butterflies of four (Cooley and Tukey, 1965), and then
//! each row of four by one more.
//!
//! ```text
//!  z[4 m + c]     columns c: 4 x 4 x 4      turn      rows: 4      Z[q + 64 r]
//! ```
//!
//! Units: bin `k` of [`BINS`] is `k` times 31.25 Hz. Forward is not scaled,
//! inverse divides by [`N`].
//!
//! Real time: bounded work; only `new` allocates.

use std::f64::consts::TAU;
use std::ops::{Add, AddAssign, Mul, Sub};

use wide::f32x4;

/// Samples of a frame: 32 ms.
pub const N: usize = 512;
/// Bins of its spectrum, from 0 Hz to half the rate.
pub const BINS: usize = HALF + 1;
const HALF: usize = N / 2;
/// Vectors that the bins fill, the last of them in part.
pub const QUADS: usize = BINS.div_ceil(4);
/// Vectors of half a frame.
const COLUMN: usize = HALF / 4;

const ONE_HALF: f32x4 = f32x4::new([0.5; 4]);
const ONE_NTH: f32x4 = f32x4::new([1.0 / N as f32; 4]);

/// A number for each bin. What lies behind the last bin is never looked at.
pub type Bins = [f32; 4 * QUADS];
/// Nothing in any bin.
pub const ZEROS: Bins = [0.0; 4 * QUADS];

/// Vector `v` of the bins: 4 `v` and the three after it.
#[inline]
#[must_use]
pub fn quad(bins: &Bins, v: usize) -> f32x4 {
    f32x4::new(bins.as_chunks().0[v])
}

/// Puts it back.
#[inline]
pub fn set_quad(bins: &mut Bins, v: usize, quad: f32x4) {
    bins.as_chunks_mut().0[v] = quad.to_array();
}

/// A spectrum; its parts lie apart, so that several bins are worked on at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// The real parts.
    pub re: Bins,
    /// The imaginary parts.
    pub im: Bins,
}

impl Spectrum {
    /// That of silence.
    pub const ZERO: Self = Self {
        re: ZEROS,
        im: ZEROS,
    };

    /// The square of the magnitude of bin `k`.
    #[must_use]
    pub fn power(&self, k: usize) -> f32 {
        self.re[k] * self.re[k] + self.im[k] * self.im[k]
    }

    /// The same of all bins.
    #[must_use]
    pub fn powers(&self) -> Bins {
        let mut powers = ZEROS;
        for v in 0..QUADS {
            set_quad(&mut powers, v, self.quad(v).power());
        }
        powers
    }

    /// Vector `v` of the bins.
    #[inline]
    #[must_use]
    pub fn quad(&self, v: usize) -> Quad {
        Quad {
            re: quad(&self.re, v),
            im: quad(&self.im, v),
        }
    }

    /// Puts it back.
    #[inline]
    pub fn set_quad(&mut self, v: usize, value: Quad) {
        set_quad(&mut self.re, v, value.re);
        set_quad(&mut self.im, v, value.im);
    }
}

/// Four complex numbers.
#[derive(Debug, Clone, Copy)]
pub struct Quad {
    re: f32x4,
    im: f32x4,
}

impl Quad {
    /// Nothing.
    pub const ZERO: Self = Self {
        re: f32x4::ZERO,
        im: f32x4::ZERO,
    };

    /// The conjugates, times the others.
    #[inline]
    #[must_use]
    pub fn conj_mul(self, other: Self) -> Self {
        Self {
            re: self.re * other.re + self.im * other.im,
            im: self.re * other.im - self.im * other.re,
        }
    }

    /// The squares of the magnitudes.
    #[inline]
    #[must_use]
    pub fn power(self) -> f32x4 {
        self.re.mul_add(self.re, self.im * self.im)
    }

    /// Each times a real number.
    #[inline]
    #[must_use]
    pub fn scale(self, factors: f32x4) -> Self {
        Self {
            re: self.re * factors,
            im: self.im * factors,
        }
    }

    /// These plus `-i` times the others: those by a quarter of a turn back.
    #[inline]
    fn add_turned(self, other: Self) -> Self {
        Self {
            re: self.re + other.im,
            im: self.im - other.re,
        }
    }

    /// And these less as much.
    #[inline]
    fn sub_turned(self, other: Self) -> Self {
        Self {
            re: self.re - other.im,
            im: self.im + other.re,
        }
    }
}

impl Add for Quad {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }
}

impl AddAssign for Quad {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Quad {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }
}

impl Mul for Quad {
    type Output = Self;

    #[inline]
    fn mul(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

/// The transform of four numbers.
#[inline]
fn four(a: Quad, b: Quad, c: Quad, d: Quad) -> [Quad; 4] {
    let (even, odd, less, other) = (a + c, b + d, a - c, b - d);
    [
        even + odd,
        less.add_turned(other),
        even - odd,
        less.sub_turned(other),
    ]
}

/// `e^(-i 2 pi part)`.
fn turn(part: f64) -> (f32, f32) {
    let (sin, cos) = (TAU * part).sin_cos();
    (cos as f32, -sin as f32)
}

/// Four of them.
fn turns(part: impl Fn(usize) -> f64) -> Quad {
    let all: [_; 4] = std::array::from_fn(|lane| turn(part(lane)));
    Quad {
        re: f32x4::new(all.map(|(re, _)| re)),
        im: f32x4::new(all.map(|(_, im)| im)),
    }
}

/// Where a sample of a column goes, so that the butterflies leave order: its
/// three digits of two bits, turned round.
fn place(n: usize) -> usize {
    (n & 3) << 4 | (n & 12) | n >> 4
}

/// The transform, both ways.
#[derive(Debug)]
pub struct Fft {
    /// Within a column: `e^(-i 2 pi k / 64)`, four times over.
    inner: Box<[Quad; COLUMN]>,
    /// Between the columns: `e^(-i 2 pi q c / 256)` of column `c`.
    between: Box<[Quad; COLUMN]>,
    /// Of bins: `e^(-i 2 pi k / N)`.
    outer: Box<[Quad; COLUMN]>,
    columns: Box<[Quad; COLUMN]>,
    /// What comes of it; the first number stands at the end again.
    re: Box<[f32; BINS]>,
    im: Box<[f32; BINS]>,
}

impl Fft {
    /// Makes the tables.
    #[must_use]
    pub fn new() -> Self {
        let table = |part: &dyn Fn(usize, usize) -> f64| {
            Box::new(std::array::from_fn(|n| turns(|lane| part(n, lane))))
        };
        Self {
            inner: table(&|n, _| n as f64 / COLUMN as f64),
            between: table(&|n, lane| (n * lane) as f64 / HALF as f64),
            outer: table(&|n, lane| (4 * n + lane) as f64 / N as f64),
            columns: Box::new([Quad::ZERO; COLUMN]),
            re: Box::new([0.0; BINS]),
            im: Box::new([0.0; BINS]),
        }
    }

    /// The spectrum of a frame.
    pub fn forward(&mut self, frame: &[f32; N], spectrum: &mut Spectrum) {
        for (n, &[a, b, c, d, e, f, g, h]) in frame.as_chunks().0.iter().enumerate() {
            self.columns[place(n)] = Quad {
                re: f32x4::new([a, c, e, g]),
                im: f32x4::new([b, d, f, h]),
            };
        }
        self.transform();
        for v in 0..COLUMN {
            let (here, there) = (
                ahead(&*self.re, &*self.im, v),
                mirrored(&*self.re, &*self.im, v),
            );
            // The mirror image is conjugate: its imaginary part counts the other way.
            let even = Quad {
                re: here.re + there.re,
                im: here.im - there.im,
            };
            let odd = Quad {
                re: here.re - there.re,
                im: here.im + there.im,
            };
            let bins = even.add_turned(odd * self.outer[v]);
            spectrum.set_quad(v, bins.scale(ONE_HALF));
        }
        spectrum.re[HALF] = self.re[0] - self.im[0];
        spectrum.im[HALF] = 0.0;
    }

    /// The frame of a spectrum.
    pub fn inverse(&mut self, spectrum: &Spectrum, frame: &mut [f32; N]) {
        for v in 0..COLUMN {
            let here = spectrum.quad(v);
            let there = mirrored(&spectrum.re, &spectrum.im, v);
            // All of it conjugate: the same butterflies turn it back.
            let even = Quad {
                re: here.re + there.re,
                im: there.im - here.im,
            };
            let odd = Quad {
                re: here.re - there.re,
                im: f32x4::ZERO - here.im - there.im,
            };
            let both = even.add_turned(odd * self.outer[v]);
            self.columns[place(v)] = both.scale(ONE_NTH);
        }
        self.transform();
        let pairs = frame.as_chunks_mut::<2>().0.iter_mut();
        for ((pair, &re), &im) in pairs.zip(&*self.re).zip(&*self.im) {
            *pair = [re, -im];
        }
    }

    /// Makes `re` and `im` of the columns.
    fn transform(&mut self) {
        let mut quarter = 1;
        while quarter < COLUMN {
            let stride = COLUMN / (4 * quarter);
            for group in self.columns.chunks_exact_mut(4 * quarter) {
                let (low, high) = group.split_at_mut(2 * quarter);
                let ((a, b), (c, d)) = (low.split_at_mut(quarter), high.split_at_mut(quarter));
                for n in 0..quarter {
                    let turn = n * stride;
                    [a[n], b[n], c[n], d[n]] = four(
                        a[n],
                        b[n] * self.inner[turn],
                        c[n] * self.inner[2 * turn],
                        d[n] * self.inner[3 * turn],
                    );
                }
            }
            quarter *= 4;
        }
        let turns = self.between.as_chunks::<4>().0;
        for (g, (&[a, b, c, d], turn)) in self.columns.as_chunks().0.iter().zip(turns).enumerate() {
            let (a, b, c, d) = (a * turn[0], b * turn[1], c * turn[2], d * turn[3]);
            let re = f32x4::transpose([a.re, b.re, c.re, d.re]);
            let im = f32x4::transpose([a.im, b.im, c.im, d.im]);
            let column = |c: usize| Quad {
                re: re[c],
                im: im[c],
            };
            let row = four(column(0), column(1), column(2), column(3));
            for (r, quad) in row.iter().enumerate() {
                let v = COLUMN / 4 * r + g;
                self.re.as_chunks_mut().0[v] = quad.re.to_array();
                self.im.as_chunks_mut().0[v] = quad.im.to_array();
            }
        }
        (self.re[HALF], self.im[HALF]) = (self.re[0], self.im[0]);
    }
}

/// The numbers from 4 `v` on.
#[inline]
fn ahead(re: &[f32], im: &[f32], v: usize) -> Quad {
    let there = |values: &[f32]| f32x4::new(values.as_chunks().0[v]);
    Quad {
        re: there(re),
        im: there(im),
    }
}

/// Those opposite of them.
#[inline]
fn mirrored(re: &[f32], im: &[f32], v: usize) -> Quad {
    let there = |values: &[f32]| {
        let values = values[HALF - 4 * v - 3..].first_chunk();
        let &[d, c, b, a] = values.expect("a vector of them");
        f32x4::new([a, b, c, d])
    };
    Quad {
        re: there(re),
        im: there(im),
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
        let (frame, mut spectrum) = (noise(), Spectrum::ZERO);
        Fft::new().forward(&frame, &mut spectrum);
        for k in 0..BINS {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, &sample) in frame.iter().enumerate() {
                let (sin, cos) = (TAU * ((k * n) % N) as f64 / N as f64).sin_cos();
                re += f64::from(sample) * cos;
                im -= f64::from(sample) * sin;
            }
            let bin = (spectrum.re[k], spectrum.im[k]);
            let off = (f64::from(bin.0) - re).hypot(f64::from(bin.1) - im);
            assert!(off < 1.0, "bin {k}: {bin:?}, wanted {re} {im}");
        }
    }

    #[test]
    fn the_inverse_gives_the_frame_back() {
        let (frame, mut spectrum, mut back) = (noise(), Spectrum::ZERO, [0.0; N]);
        let mut fft = Fft::new();
        fft.forward(&frame, &mut spectrum);
        fft.inverse(&spectrum, &mut back);
        for (n, (a, b)) in frame.iter().zip(&back).enumerate() {
            assert!((a - b).abs() < 0.1, "sample {n}: {a}, {b}");
        }
    }
}
