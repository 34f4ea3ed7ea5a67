//! G.711 A-law, the simulator's own: the device's codec is checked against it.
//!
//! Units: samples are 16 bit of which the codec keeps 13 (ITU-T G.711 §3.2,
//! table 1). Every other bit of a code is turned over, as on the line.

/// Bits that are turned over on the line.
const EVEN_BITS: u8 = 0x55;

pub(super) fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    // The codes of both signs lie alike: −1 is the smallest negative size.
    let size = u32::from(if sample < 0 { !sample } else { sample }.unsigned_abs()) >> 4;
    // Segments 0 and 1 have steps of the same size; each later one's are
    // twice those of the one before.
    let segment = (27 - (size | 0x10).leading_zeros()) + u32::from(size >= 0x10);
    let step = size >> segment.saturating_sub(1) & 0x0f;
    (sign | (segment << 4 | step) as u8) ^ EVEN_BITS
}

pub(super) fn decode(code: u8) -> i16 {
    let code = code ^ EVEN_BITS;
    let segment = code >> 4 & 7;
    // The middle of the step.
    let within = i16::from(code & 0x0f) << 4 | 8;
    let size = match segment {
        0 => within,
        _ => (within | 0x100) << (segment - 1),
    };
    if code & 0x80 == 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_recommendation() {
        // G.711 table 1a, in 16 bit: the ends of the scale and its middle.
        for (code, sample) in [
            (0xaa, 32_256),
            (0x2a, -32_256),
            (0xd5, 8),
            (0x55, -8),
            (0xd4, 24),
            (0x54, -24),
            (0xc5, 264),
            (0xf5, 528),
        ] {
            assert_eq!(decode(code), sample, "{code:#04x}");
        }
        assert_eq!(encode(0), 0xd5);
        assert_eq!(encode(-1), 0x55);
        assert_eq!(encode(i16::MAX), 0xaa);
        assert_eq!(encode(i16::MIN), 0x2a);
    }

    #[test]
    fn every_code_comes_back_and_is_the_nearest() {
        for code in 0..=u8::MAX {
            assert_eq!(encode(decode(code)), code, "{code:#04x}");
        }
        for sample in i16::MIN..=i16::MAX {
            let error = (i32::from(decode(encode(sample))) - i32::from(sample)).abs();
            // Half a step: a 32nd of the size, and never less than 8.
            let most = (i32::from(sample).abs() / 32).max(8);
            assert!(error <= most, "{sample}: off by {error}");
        }
    }
}
