//! Line samples to bytes and back, one block at a time.
//!
//! The engine names a [`Codec`] and never its arithmetic, so another encoding
//! joins as another variant.
//!
//! Real time: bounded work, no allocation.

mod pcmu;

use heapless::Vec;

use super::LINE_BLOCK;
use super::ring::PAYLOAD_MAX;

/// How sound is written on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// G.711 µ-law at 8 kHz (ITU-T G.711 §3.2), `PCMU` on the wire.
    #[default]
    Pcmu,
}

impl Codec {
    /// Encodes a block.
    #[must_use]
    pub fn encode(self, block: &[i16; LINE_BLOCK]) -> Vec<u8, PAYLOAD_MAX> {
        match self {
            Self::Pcmu => block.iter().map(|&sample| pcmu::encode(sample)).collect(),
        }
    }

    /// Decodes a payload. What a short one lacks is silence.
    pub fn decode(self, payload: &[u8], block: &mut [i16; LINE_BLOCK]) {
        block.fill(0);
        match self {
            Self::Pcmu => {
                for (sample, &code) in block.iter_mut().zip(payload) {
                    *sample = pcmu::decode(code);
                }
            }
        }
    }
}
