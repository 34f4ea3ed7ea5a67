//! What kind of sound a stream carries, as `start` declares it.

use crate::units::{ByteOrder, Encoding, L16Rate};

/// `media_format`: what a payload holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// `PCMU`, `PCMA`, `L16`, `OPUS`, `G722`.
    pub encoding: String,
    /// Samples per second.
    pub rate: u64,
    /// 1 or 2.
    pub channels: u64,
}

/// What the service sends when it does not say.
impl Default for Format {
    fn default() -> Self {
        Self {
            encoding: "PCMU".to_owned(),
            rate: 8000,
            channels: 1,
        }
    }
}

impl Format {
    /// The encoding, if it is one the device takes; `order` is that of linear
    /// sound, which `start` does not tell.
    ///
    /// # Errors
    /// Says what came and what is wanted.
    pub fn encoding(&self, order: ByteOrder) -> Result<Encoding, Unsupported> {
        let linear = |rate| Encoding::L16 { rate, order };
        let name = self.encoding.to_ascii_uppercase();
        let encoding = match (name.as_str(), self.rate, self.channels) {
            ("PCMU", 8_000, 1) => Encoding::Pcmu,
            ("PCMA", 8_000, 1) => Encoding::Pcma,
            ("L16", 8_000, 1) => linear(L16Rate::K8),
            ("L16", 16_000, 1) => linear(L16Rate::K16),
            ("L16", 24_000, 1) => linear(L16Rate::K24),
            // "opus/48000/2" is what every Opus stream is called, mono or not
            // (RFC 7587 §7): a packet says itself what it holds.
            ("OPUS", rate @ (8_000 | 16_000 | 48_000), 1 | 2) => {
                Encoding::Opus { rate: rate as u32 }
            }
            _ => return Err(Unsupported(self.clone())),
        };
        Ok(encoding)
    }
}

/// Sound of a kind the device does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stream is {} at {} Hz with {} channel(s); this device takes PCMU and PCMA at 8000 Hz, \
     L16 at 8000, 16000 and 24000 Hz, each with 1, and OPUS at 8000, 16000 and 48000 Hz",
    .0.encoding, .0.rate, .0.channels
)]
pub struct Unsupported(pub Format);

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(name: &str, rate: u64, channels: u64) -> Result<String, String> {
        let format = Format {
            encoding: name.to_owned(),
            rate,
            channels,
        };
        let encoding = format.encoding(ByteOrder::Little);
        encoding.map(|e| e.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn each_documented_encoding_is_taken() {
        let cases = [
            ("PCMU", 8_000, 1, "PCMU/8000"),
            ("pcma", 8_000, 1, "PCMA/8000"),
            ("L16", 8_000, 1, "L16LE/8000"),
            ("L16", 16_000, 1, "L16LE/16000"),
            ("l16", 24_000, 1, "L16LE/24000"),
            ("OPUS", 8_000, 1, "OPUS/8000"),
            ("opus", 16_000, 1, "OPUS/16000"),
            ("OPUS", 48_000, 2, "OPUS/48000"),
        ];
        for (name, rate, channels, want) in cases {
            assert_eq!(encoding(name, rate, channels).as_deref(), Ok(want));
        }
    }

    #[test]
    fn the_rest_is_refused_with_a_reason() {
        let cases = [
            ("G722", 8_000, 1),
            ("G722", 16_000, 1),
            ("AMR-WB", 16_000, 1),
            ("", 8_000, 1),
            ("PCMU", 16_000, 1),
            ("PCMA", 8_000, 2),
            ("L16", 44_100, 1),
            ("L16", 16_000, 2),
            ("OPUS", 24_000, 1),
            ("OPUS", 48_000, 0),
            ("OPUS", 48_000, 3),
            ("OPUS", u64::MAX, 1),
        ];
        for (name, rate, channels) in cases {
            let why = encoding(name, rate, channels).unwrap_err();
            let came = format!("the stream is {name} at {rate} Hz with {channels} channel(s)");
            assert!(why.starts_with(&came), "{why}");
            assert!(why.contains("takes PCMU and PCMA at 8000 Hz"), "{why}");
        }
    }

    #[test]
    fn what_is_not_declared_is_pcmu() {
        let encoding = Format::default().encoding(ByteOrder::Big);
        assert_eq!(encoding, Ok(Encoding::Pcmu));
    }
}
