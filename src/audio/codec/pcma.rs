//! G.711 A-law (ITU-T G.711 §3.1, table 1).
//!
//! A code is sign, 3 bits of segment and 4 bits of step, every second bit
//! inverted. The standard works on 13 bits; our 16 bit samples hold those in
//! the upper bits, and a negative sample is made positive by inverting it
//! (one's complement), as the ITU's reference tool does (G.191).
//!
//! ```text
//!  magnitude:  0 0 0 1 a b c d x x x x     (12 bits)
//!                    │ └──┬──┘
//!              segment   step              segment 0 has no leading 1
//! ```

/// Every second bit, so that silence is not a run of equal bits.
const INVERTED: u8 = 0x55;

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
    let magnitude = (sample ^ negative) as u16 >> 4;
    // Segments 0 and 1 have steps of the same width.
    let segment = 12u32.saturating_sub(magnitude.leading_zeros());
    let step = (magnitude >> segment.saturating_sub(1)) & 0x0F;
    let sign = !(negative as u8) & 0x80;
    (sign | (segment << 4) as u8 | step as u8) ^ INVERTED
}

const fn expand(code: u8) -> i16 {
    let bits = code ^ INVERTED;
    let segment = (bits >> 4) & 7;
    let step = (bits & 0x0F) as i16;
    // The middle of the step, on 13 bits: half a unit is a whole one there.
    let magnitude = match segment {
        0 => 2 * step + 1,
        _ => (2 * step + 33) << (segment - 1),
    };
    let sample = magnitude << 3;
    if bits & 0x80 != 0 { sample } else { -sample }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1a of G.711 by its definition: 8 segments of 16 steps, each twice
    /// as wide as the one before, but for the first two, which are alike. Per
    /// step: the upper decision value and the value it stands for, on 13 bits.
    fn steps() -> Vec<(i32, i32)> {
        let mut steps = vec![];
        let mut low = 0;
        for segment in 0..8 {
            let width = if segment == 0 { 2 } else { 2 << (segment - 1) };
            for _ in 0..16 {
                steps.push((low + width, low + width / 2));
                low += width;
            }
        }
        assert_eq!((steps.len(), low), (128, 4096));
        steps
    }

    #[test]
    fn every_code_stands_for_the_value_of_the_table() {
        for (step, &(_, value)) in steps().iter().enumerate() {
            let positive = (0x80 | step as u8) ^ INVERTED;
            assert_eq!(i32::from(decode(positive)), value * 8, "code {positive:#x}");
            assert_eq!(i32::from(decode(positive ^ 0x80)), value * -8);
        }
        // As printed in the table: the first step and the last.
        assert_eq!((decode(0xD5), decode(0x55)), (8, -8));
        assert_eq!((decode(0xAA), decode(0x2A)), (32_256, -32_256));
    }

    #[test]
    fn every_sample_falls_in_the_step_of_the_table() {
        let steps = steps();
        for sample in i16::MIN..=i16::MAX {
            let magnitude = i32::from(if sample < 0 { !sample } else { sample }) / 8;
            let step = steps.iter().position(|&(upper, _)| magnitude < upper);
            let sign = if sample < 0 { 0 } else { 0x80 };
            let want = (sign | step.unwrap() as u8) ^ INVERTED;
            assert_eq!(encode(sample), want, "sample {sample}");
        }
    }

    #[test]
    fn every_code_comes_back() {
        for code in 0..=255 {
            assert_eq!(encode(decode(code)), code);
        }
    }
}
