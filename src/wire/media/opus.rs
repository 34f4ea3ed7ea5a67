//! How long an Opus packet sounds: its first byte says it (RFC 6716 §3.1),
//! with a second one for packets of many frames (§3.2.5).
//!
//! ```text
//!   0 1 2 3 4 5 6 7
//!  |  config |s| c |   config: kind and length of a frame; c: how many
//! ```
//!
//! Nothing is decoded here: a stream is numbered by these durations before the
//! audio thread sees it.

/// Microseconds of sound in a packet: 2.5 to 120 ms. `None` when it is no Opus
/// packet.
pub(super) fn duration_us(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let frames = match toc & 0b11 {
        0 => 1,
        // Two frames of one length share what is left (§3.2.3).
        1 if rest.len().is_multiple_of(2) => 2,
        2 if !rest.is_empty() => 2,
        3 => u32::from(rest.first()? & 0x3F),
        _ => return None,
    };
    let duration = frames * frame_us(toc >> 3);
    (1..=LONGEST_US).contains(&duration).then_some(duration)
}

/// A packet holds no more (§3.2.5).
const LONGEST_US: u32 = 120_000;

/// Microseconds of one frame (§3.1, table 2).
fn frame_us(config: u8) -> u32 {
    let lengths: &[u32] = match config {
        // SILK; four lengths for each bandwidth.
        0..12 => &[10_000, 20_000, 40_000, 60_000],
        // Hybrid; two for each.
        12..16 => &[10_000, 20_000],
        // CELT.
        _ => &[2_500, 5_000, 10_000, 20_000],
    };
    lengths[usize::from(config) % lengths.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toc(config: u8, code: u8) -> u8 {
        config << 3 | code
    }

    #[test]
    fn each_configuration_has_its_length() {
        let milliseconds: Vec<f32> = (0..32).map(|c| frame_us(c) as f32 / 1000.0).collect();
        let silk = [10.0, 20.0, 40.0, 60.0];
        let hybrid = [10.0, 20.0];
        let celt = [2.5, 5.0, 10.0, 20.0];
        let want = [silk.repeat(3), hybrid.repeat(2), celt.repeat(4)].concat();
        assert_eq!(milliseconds, want);
    }

    #[test]
    fn frames_are_counted() {
        let cases: [(&[u8], Option<u32>); 13] = [
            (&[], None),
            (&[toc(1, 0)], Some(20_000)),
            (&[toc(16, 0), 9], Some(2_500)),
            (&[toc(1, 1), 7, 7], Some(40_000)),
            (&[toc(1, 1), 7], None),
            (&[toc(3, 2), 0], Some(120_000)),
            (&[toc(3, 2)], None),
            (&[toc(3, 3)], None),
            (&[toc(1, 3), 0], None),
            (&[toc(1, 3), 0x80 | 6], Some(120_000)),
            (&[toc(1, 3), 7], None),
            (&[toc(16, 3), 48], Some(120_000)),
            (&[toc(16, 3), 49], None),
        ];
        for (packet, want) in cases {
            assert_eq!(duration_us(packet), want, "{packet:?}");
        }
    }

    /// Whatever the first two bytes are, it is a length a decoder takes.
    #[test]
    fn every_length_is_one_of_opus() {
        for (first, second) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            for packet in [&[first][..], &[first, second], &[first, second, 0]] {
                if let Some(duration) = duration_us(packet) {
                    assert!(duration.is_multiple_of(2_500), "{packet:?}");
                    assert!((2_500..=120_000).contains(&duration), "{packet:?}");
                }
            }
        }
    }
}
