//! G.711 µ-law (ITU-T G.711 §3.2, table 2).
//!
//! A code is sign, 3 bits of segment and 4 bits of step, all inverted. The
//! standard works on 14 bits; our 16 bit samples hold those in the upper bits,
//! and a negative sample is made positive by inverting it (one's complement),
//! as the ITU's reference tool does (G.191).
//!
//! ```text
//!  magnitude + 33:  0 0 0 1 a b c d x x x x x x     (13 bits)
//!                         │ └──┬──┘
//!                   segment   step
//! ```

/// Added to the magnitude, so that its highest bit names the segment.
const BIAS: u16 = 33;
/// The largest biased magnitude.
const CLIP: u16 = 0x1FFF;

/// What each code stands for.
static DECODED: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = expand(code as u8);
        code += 1;
    }
    table
};

/// The sample that `code` stands for.
#[must_use]
pub fn decode(code: u8) -> i16 {
    DECODED[usize::from(code)]
}

/// The code whose interval holds `sample`.
#[must_use]
pub fn encode(sample: i16) -> u8 {
    let negative = sample >> 15;
    let magnitude = ((sample ^ negative) as u16 >> 2) + BIAS;
    let magnitude = magnitude.min(CLIP);
    // The bias makes the magnitude at least 33, so 10 leading zeros at most.
    let segment = 10 - magnitude.leading_zeros();
    let step = (magnitude >> (segment + 1)) & 0x0F;
    let sign = !(negative as u8) & 0x80;
    sign | (!((segment << 4) as u8 | step as u8) & 0x7F)
}

const fn expand(code: u8) -> i16 {
    let bits = !code;
    let segment = (bits >> 4) & 7;
    let step = (bits & 0x0F) as i16;
    let magnitude = (((step << 1) + BIAS as i16) << segment) - BIAS as i16;
    let sample = magnitude << 2;
    if bits & 0x80 == 0 { sample } else { -sample }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 2a of G.711 by its definition: 8 segments of 16 steps, each twice
    /// as wide as the one before, the very first step half as wide. Per step:
    /// the upper decision value and the value it stands for, on 14 bits.
    fn steps() -> Vec<(i32, i32)> {
        let mut steps = vec![(1, 0)];
        let mut low = 1;
        for segment in 0..8 {
            let width = 2 << segment;
            for _ in 0..if segment == 0 { 15 } else { 16 } {
                steps.push((low + width, low + width / 2));
                low += width;
            }
        }
        assert_eq!((steps.len(), low), (128, 8159));
        steps
    }

    #[test]
    fn every_code_stands_for_the_value_of_the_table() {
        for (step, &(_, value)) in steps().iter().enumerate() {
            let positive = 0xFF - step as u8;
            assert_eq!(i32::from(decode(positive)), value * 4, "code {positive:#x}");
            assert_eq!(i32::from(decode(positive & 0x7F)), value * -4);
        }
    }

    #[test]
    fn every_sample_falls_in_the_step_of_the_table() {
        let steps = steps();
        for sample in i16::MIN..=i16::MAX {
            let magnitude = i32::from(if sample < 0 { !sample } else { sample }) / 4;
            let step = steps.iter().position(|&(upper, _)| magnitude < upper);
            let positive = 0xFF - step.unwrap_or(127) as u8;
            let want = if sample < 0 {
                positive & 0x7F
            } else {
                positive
            };
            assert_eq!(encode(sample), want, "sample {sample}");
        }
    }

    #[test]
    fn every_code_comes_back_but_the_negative_zero() {
        for code in 0..=255 {
            let want = if code == 0x7F { 0xFF } else { code };
            assert_eq!(encode(decode(code)), want);
        }
    }
}
