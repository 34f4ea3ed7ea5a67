//! G.711 µ-law, the simulator's own: the device's codec is checked against it.
//!
//! Units: samples are 16 bit of which the codec keeps 14 (ITU-T G.711 §3.2,
//! table 2).

/// Added before the segment is found (G.711: 33, in 16 bit 132).
const BIAS: i32 = 132;
/// The loudest sample that has a code.
const CLIP: i32 = 32_635;

pub(super) fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let size = i32::from(sample).abs().min(CLIP) + BIAS;
    let segment = 24 - size.leading_zeros();
    let step = (size >> (segment + 3)) & 0x0f;
    let code = sign | (segment << 4) as u8 | step as u8;
    !code
}

pub(super) fn decode(code: u8) -> i16 {
    let code = !code;
    let segment = u32::from(code >> 4 & 7);
    let step = i32::from(code & 0x0f);
    let size = (((step << 3) + BIAS) << segment) - BIAS;
    // At most 32 124: it fits.
    (if code & 0x80 == 0 { size } else { -size }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_recommendation() {
        // G.711 table 2a, in 16 bit: the ends of the scale and both zeros.
        for (code, sample) in [
            (0x80, 32_124),
            (0x00, -32_124),
            (0xff, 0),
            (0x7f, 0),
            (0xfe, 8),
            (0x7e, -8),
            (0xef, 132),
        ] {
            assert_eq!(decode(code), sample, "{code:#04x}");
        }
        assert_eq!(encode(0), 0xff);
        assert_eq!(encode(i16::MAX), 0x80);
        assert_eq!(encode(i16::MIN), 0x00);
    }

    #[test]
    fn every_code_comes_back() {
        for code in 0..=u8::MAX {
            // The two zeros are one sample: negative zero becomes the other.
            let want = if code == 0x7f { 0xff } else { code };
            assert_eq!(encode(decode(code)), want, "{code:#04x}");
        }
    }
}
