//! Numbers side by side. They are vectors by name: a program made small gets
//! none of its loops turned into them, nor any unrolled, and so all that is
//! done once for each lane is written out here.
//!
//! Real time: bounded work.

use wide::f32x8;

/// Numbers in a vector.
pub(super) const LANES: usize = 8;

/// The same number in each lane.
pub(super) fn all(x: f32) -> f32x8 {
    f32x8::new([x, x, x, x, x, x, x, x])
}

/// The sum of the products of two equally long runs; the length is a multiple
/// of eight, or the rest of it does not count.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = f32x8::ZERO;
    let (a, b) = (a.as_chunks::<LANES>().0, b.as_chunks::<LANES>().0);
    for (&a, &b) in a.iter().zip(b) {
        sums = f32x8::new(a).mul_add(f32x8::new(b), sums);
    }
    let [a, b, c, d, e, f, g, h] = sums.to_array();
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
