//! How sound is written in the packets of a stream: G.711, linear and Opus.
//!
//! One [`Codec`] per media socket, since Opus has a memory. Called for every
//! packet of either side.
//!
//! Units: samples are 16 bit, [`Encoding::rate`] a second, one channel. A
//! payload is an RTP payload without its header: RFC 3551 §4.5.14 (PCMU, PCMA)
//! and §4.5.11 (L16), RFC 7587 (OPUS).
//!
//! Always true: what is taken from the device lasts 20 ms to 30 s, as the
//! service has it; anything else is refused with a reason.

use std::fmt;
use std::str::FromStr;

use super::{pcma, pcmu};

/// Packets a second that are sent.
pub(super) const PACKETS: u32 = 50;
/// Longest sound of one payload of the device, in seconds.
const LONGEST: u32 = 30;
/// Most bytes of an Opus packet that is sent (RFC 6716 §3.2.1: of a frame).
const OPUS_MAX: usize = 1275;

/// How sound is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// G.711 µ-law, 8 kHz: what the service sends by default.
    #[default]
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// Linear, 16 bit.
    L16 {
        /// Samples a second: 8000, 16000 or 24000.
        rate: u32,
        /// Which byte comes first.
        order: ByteOrder,
    },
    /// Opus in packets of 20 ms.
    Opus {
        /// Samples a second: 8000, 16000 or 48000.
        rate: u32,
    },
}

/// Which byte of a linear sample comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteOrder {
    /// The high one: network order (RFC 3551 §4.5.11).
    #[default]
    Big,
    /// The low one.
    Little,
}

impl Encoding {
    /// Samples a second.
    #[must_use]
    pub fn rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8000,
            Self::L16 { rate, .. } | Self::Opus { rate } => rate,
        }
    }

    /// The word of `media_format`. It does not tell the byte orders apart.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::L16 { .. } => "L16",
            Self::Opus { .. } => "OPUS",
        }
    }

    /// Whether the service has it at this rate.
    pub(super) fn exists(self) -> bool {
        match self {
            Self::Pcmu | Self::Pcma => true,
            Self::L16 { rate, .. } => matches!(rate, 8000 | 16_000 | 24_000),
            Self::Opus { rate } => matches!(rate, 8000 | 16_000 | 48_000),
        }
    }
}

/// Why a text is not an [`Encoding`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no encoding; there are pcmu, pcma, l16/8000, l16/16000, l16/24000, the same with \
     l16le (low byte first), opus/8000, opus/16000 and opus/48000"
)]
pub struct BadEncoding(String);

impl FromStr for Encoding {
    type Err = BadEncoding;

    fn from_str(text: &str) -> Result<Self, BadEncoding> {
        let bad = || BadEncoding(text.into());
        let lower = text.to_ascii_lowercase();
        let (name, rate) = lower.split_once('/').unwrap_or((&lower, "8000"));
        let rate = rate.parse().map_err(|_| bad())?;
        let encoding = match (name, rate) {
            ("pcmu", 8000) => Self::Pcmu,
            ("pcma", 8000) => Self::Pcma,
            ("l16", rate) => Self::L16 {
                rate,
                order: ByteOrder::Big,
            },
            ("l16le", rate) => Self::L16 {
                rate,
                order: ByteOrder::Little,
            },
            ("opus", rate) => Self::Opus { rate },
            _ => return Err(bad()),
        };
        encoding.exists().then_some(encoding).ok_or_else(bad)
    }
}

impl fmt::Display for Encoding {
    /// As [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pcmu => f.write_str("pcmu"),
            Self::Pcma => f.write_str("pcma"),
            Self::L16 {
                rate,
                order: ByteOrder::Big,
            } => write!(f, "l16/{rate}"),
            Self::L16 { rate, .. } => write!(f, "l16le/{rate}"),
            Self::Opus { rate } => write!(f, "opus/{rate}"),
        }
    }
}

/// Writes and reads the packets of one stream.
#[derive(Debug)]
pub(super) struct Codec {
    encoding: Encoding,
    opus: Option<Opus>,
}

#[derive(Debug)]
struct Opus {
    encoder: opus::Encoder,
    decoder: opus::Decoder,
}

impl Codec {
    /// # Panics
    /// When the service has no such encoding; `Simulator::start` has seen to
    /// that.
    pub(super) fn new(encoding: Encoding) -> Self {
        let opus = match encoding {
            Encoding::Opus { rate } => {
                let mono = opus::Channels::Mono;
                let encoder = opus::Encoder::new(rate, mono, opus::Application::Voip);
                let decoder = opus::Decoder::new(rate, mono);
                let known = "libopus has this rate";
                Some(Opus {
                    encoder: encoder.expect(known),
                    decoder: decoder.expect(known),
                })
            }
            _ => None,
        };
        Self { encoding, opus }
    }

    /// A payload of these samples, which are a packet's.
    pub(super) fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        let each = samples.iter().copied();
        match self.encoding {
            Encoding::Pcmu => each.map(pcmu::encode).collect(),
            Encoding::Pcma => each.map(pcma::encode).collect(),
            Encoding::L16 {
                order: ByteOrder::Big,
                ..
            } => each.flat_map(i16::to_be_bytes).collect(),
            Encoding::L16 { .. } => each.flat_map(i16::to_le_bytes).collect(),
            Encoding::Opus { .. } => {
                let opus = self.opus.as_mut().expect("made in `new`");
                let packet = opus.encoder.encode_vec(samples, OPUS_MAX);
                packet.expect("20 ms of one channel are a packet")
            }
        }
    }

    /// The samples of a payload of the device.
    pub(super) fn decode(&mut self, payload: &[u8]) -> Result<Vec<i16>, String> {
        let samples = match self.encoding {
            Encoding::Pcmu => payload.iter().copied().map(pcmu::decode).collect(),
            Encoding::Pcma => payload.iter().copied().map(pcma::decode).collect(),
            Encoding::L16 { order, .. } => linear(payload, order)?,
            Encoding::Opus { rate } => {
                let opus = self.opus.as_mut().expect("made in `new`");
                let length = opus::packet::get_nb_samples(payload, rate);
                let length = length.map_err(|_| "not an Opus packet")?;
                let mut samples = vec![0; length];
                let decoded = opus.decoder.decode(payload, &mut samples, false);
                decoded.map_err(|error| format!("not an Opus packet: {}", error.description()))?;
                samples
            }
        };
        let rate = self.encoding.rate();
        let allowed = rate / PACKETS..=rate * LONGEST;
        if u32::try_from(samples.len()).is_ok_and(|length| allowed.contains(&length)) {
            Ok(samples)
        } else {
            Err(format!(
                "a payload of {} bytes, {} samples; 20 ms to 30 s are {} to {} samples",
                payload.len(),
                samples.len(),
                allowed.start(),
                allowed.end()
            ))
        }
    }
}

fn linear(payload: &[u8], order: ByteOrder) -> Result<Vec<i16>, String> {
    let (pairs, rest) = payload.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("L16 of {} bytes: half a sample", payload.len()));
    }
    let sample = match order {
        ByteOrder::Big => i16::from_be_bytes,
        ByteOrder::Little => i16::from_le_bytes,
    };
    Ok(pairs.iter().copied().map(sample).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 11] = [
        "pcmu",
        "pcma",
        "l16/8000",
        "l16/16000",
        "l16/24000",
        "l16le/8000",
        "l16le/16000",
        "l16le/24000",
        "opus/8000",
        "opus/16000",
        "opus/48000",
    ];

    /// Half a second of 440 Hz.
    fn tone(rate: u32) -> Vec<i16> {
        let step = std::f64::consts::TAU * 440.0 / f64::from(rate);
        let sample = |n: u32| (8000.0 * (f64::from(n) * step).sin()) as i16;
        (0..rate / 2).map(sample).collect()
    }

    #[test]
    fn every_encoding_is_read_as_it_is_written() {
        for name in ALL {
            let encoding: Encoding = name.parse().unwrap();
            assert_eq!(encoding.to_string(), name);
            let mut codec = Codec::new(encoding);
            let sent = tone(encoding.rate());
            let packet = (encoding.rate() / PACKETS) as usize;
            let mut heard = Vec::new();
            for samples in sent.chunks(packet) {
                let payload = codec.encode(samples);
                heard.extend(codec.decode(&payload).unwrap());
            }
            assert_eq!(heard.len(), sent.len(), "{name}");
            let power = |samples: &[i16]| -> f64 {
                let late = &samples[samples.len() / 2..];
                late.iter().map(|s| f64::from(*s).powi(2)).sum()
            };
            let ratio = power(&heard) / power(&sent);
            assert!((0.8..1.25).contains(&ratio), "{name}: {ratio}");
        }
    }

    #[test]
    fn linear_bytes_lie_in_their_order() {
        for (name, want) in [("l16/8000", [0x12, 0x34]), ("l16le/8000", [0x34, 0x12])] {
            let payload = Codec::new(name.parse().unwrap()).encode(&[0x1234]);
            assert_eq!(payload, want, "{name}");
        }
    }

    #[test]
    fn payloads_of_no_use_are_refused_with_a_reason() {
        let cases: [(&str, &[u8], &str); 7] = [
            ("pcmu", &[0xff; 159], "159 samples"),
            ("pcma", &[0xd5; 240_001], "240001 samples"),
            ("l16/16000", &[0; 641], "half a sample"),
            ("l16/16000", &[0; 638], "319 samples"),
            ("opus/16000", &[], "not an Opus packet"),
            // Code 3 (RFC 6716 §3.2.5) without its count of frames.
            ("opus/16000", &[0xff], "not an Opus packet"),
            // CELT, 2.5 ms.
            ("opus/48000", &[0x80, 0], "120 samples"),
        ];
        for (name, payload, want) in cases {
            let refused = Codec::new(name.parse().unwrap()).decode(payload);
            let error = refused.unwrap_err();
            assert!(error.contains(want), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_no_encoding_is_told_what_there_is() {
        for bad in ["", "g722", "l16/11025", "opus/24000", "pcmu/16000", "l16/x"] {
            let error = bad.parse::<Encoding>().unwrap_err().to_string();
            assert!(error.contains("l16/16000"), "{bad}: {error}");
        }
    }
}
