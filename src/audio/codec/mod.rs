//! Bus samples to bytes and back, one block at a time.
//!
//! ```text
//!  packet ─▶ Decoder: read ─▶ 8, 16, 24 kHz ─▶ 16 kHz ─▶ block ─▶ playout
//!  packet ◀─ Encoder: write ◀─ 8, 16, 24 kHz ◀─ 16 kHz ◀─ block ◀─ microphone
//! ```
//!
//! The rest of the engine works at one rate, [`BUS_RATE`](super::BUS_RATE), and
//! never asks how a packet is written. A packet says it by itself; when that
//! changes, the past is forgotten.
//!
//! | encoding | | passes |
//! |---|---|---|
//! | `PCMU`, `PCMA` | ITU-T G.711 | to 3.4 kHz |
//! | `L16` at 8, 16, 24 kHz | two's complement, RFC 3551 §4.5.11 | to 3.4, 8, 6.4 kHz |
//! | `OPUS` | RFC 6716 | to 8 kHz, to 4 kHz where 8 kHz is declared |
//!
//! Always true: no payload, however made, panics; what can be read of a bad one
//! is played, the rest is silence or [concealed](super::conceal), and it is counted.
//!
//! Real time: bounded work; only `new` allocates.

mod opus;
pub mod pcma;
pub mod pcmu;

use heapless::Vec;

use super::resample::Resampler;
use super::ring::{PAYLOAD_MAX, Packet};
use super::{BUS_BLOCK, round};
use crate::units::{ByteOrder, Encoding, L16Rate};

pub use opus::{BITRATE, COMPLEXITY};

/// Samples that a decoder carries on by at a time: 10 ms.
pub const CARRY_ON: usize = BUS_BLOCK / 2;
/// Most line samples of a block: those of 24 kHz.
const LINE_MAX: usize = BUS_BLOCK * 3 / 2;

/// A block of the far end.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Its number, which wraps.
    pub seq: u32,
    /// Its sound.
    pub samples: &'a [i16; BUS_BLOCK],
    /// Whether it is concealment for what has not come.
    pub made_up: bool,
}

/// Packets to blocks, for one stream after the other.
#[derive(Debug)]
pub struct Decoder {
    /// How the last packet was written.
    encoding: Encoding,
    /// The packet that would go on where the last one ended.
    next: u32,
    from_8: Resampler,
    from_24: Resampler,
    opus: opus::Decoder,
}

impl Decoder {
    /// A decoder for all encodings. Allocates.
    ///
    /// # Panics
    /// If there is no memory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            encoding: Encoding::default(),
            next: 0,
            from_8: Resampler::from_8_to_16(),
            from_24: Resampler::from_24_to_16(),
            opus: opus::Decoder::new(),
        }
    }

    /// A stream begins.
    pub fn reset(&mut self) {
        self.from_8.clear();
        self.from_24.clear();
        self.opus.reset();
    }

    /// Decodes a packet; hands out the blocks it completes, at most 6, and at
    /// most 3 of what is missing before it. `false` if it was not all sound.
    pub fn decode(&mut self, packet: &Packet, mut out: impl FnMut(Block<'_>)) -> bool {
        if packet.encoding != self.encoding {
            self.encoding = packet.encoding;
            self.reset();
        }
        if let Encoding::Opus { .. } = packet.encoding {
            return self.opus.decode(packet.seq, &packet.payload, out);
        }
        if packet.seq != self.next {
            // What the filters hold is not what came before.
            self.from_8.clear();
            self.from_24.clear();
        }
        self.next = packet.seq.wrapping_add(1);
        let mut line = [0.0; LINE_MAX];
        read(packet.encoding, &packet.payload, &mut line);
        let mut bus = [0.0; BUS_BLOCK];
        match packet.encoding.rate() {
            8_000 => _ = self.from_8.process(&line[..BUS_BLOCK / 2], &mut bus),
            24_000 => _ = self.from_24.process(&line, &mut bus),
            _ => bus.copy_from_slice(&line[..BUS_BLOCK]),
        }
        out(Block {
            seq: packet.seq,
            samples: &bus.map(round),
            made_up: false,
        });
        packet.encoding.block_bytes() == Some(packet.payload.len())
    }

    /// Whether it can go on where the sound ends, better than by repetition.
    #[must_use]
    pub fn can_carry_on(&self) -> bool {
        matches!(self.encoding, Encoding::Opus { .. })
    }

    /// Goes on after the newest packet: what might have come next.
    pub fn carry_on(&mut self, samples: &mut [i16; CARRY_ON]) {
        self.opus.carry_on(samples);
    }

    /// What its filters add to the delay, in bus samples.
    #[must_use]
    pub fn delay(&self) -> usize {
        match self.encoding {
            Encoding::Opus { .. } => 0,
            encoding => match encoding.rate() {
                8_000 => self.from_8.delay(),
                24_000 => self.from_24.delay(),
                _ => 0,
            },
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The line samples of a payload; what it lacks is left as it is.
fn read(encoding: Encoding, payload: &[u8], line: &mut [f32; LINE_MAX]) {
    let places = line.iter_mut();
    match encoding {
        Encoding::Pcmu => {
            places
                .zip(payload)
                .for_each(|(s, &c)| *s = f32::from(pcmu::decode(c)));
        }
        Encoding::Pcma => {
            places
                .zip(payload)
                .for_each(|(s, &c)| *s = f32::from(pcma::decode(c)));
        }
        Encoding::L16 { order, .. } => {
            let (pairs, _) = payload.as_chunks::<2>();
            let value = match order {
                ByteOrder::Big => i16::from_be_bytes,
                ByteOrder::Little => i16::from_le_bytes,
            };
            places
                .zip(pairs)
                .for_each(|(s, &pair)| *s = f32::from(value(pair)));
        }
        Encoding::Opus { .. } => {}
    }
}

/// Blocks to packets, for one stream after the other.
#[derive(Debug)]
pub struct Encoder {
    encoding: Encoding,
    to_8: Resampler,
    to_24: Resampler,
    opus: opus::Encoder,
}

impl Encoder {
    /// An encoder for all encodings. Allocates.
    ///
    /// # Panics
    /// If there is no memory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            encoding: Encoding::default(),
            to_8: Resampler::from_16_to_8(),
            to_24: Resampler::from_16_to_24(),
            opus: opus::Encoder::new(),
        }
    }

    /// A stream begins, or goes on differently: from now on, this is written.
    pub fn reset(&mut self, encoding: Encoding) {
        self.encoding = encoding;
        self.to_8.clear();
        self.to_24.clear();
        if let Encoding::Opus { rate } = encoding {
            self.opus.reset(rate);
        }
    }

    /// What is written.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Encodes a block.
    pub fn encode(&mut self, block: &[f32; BUS_BLOCK]) -> Vec<u8, PAYLOAD_MAX> {
        let mut payload = Vec::new();
        let mut line = [0.0; LINE_MAX];
        match self.encoding {
            Encoding::Opus { .. } => self.opus.encode(block, &mut payload),
            Encoding::Pcmu => {
                let made = self.to_8.process(block, &mut line);
                payload.extend(line[..made].iter().map(|&s| pcmu::encode(round(s))));
            }
            Encoding::Pcma => {
                let made = self.to_8.process(block, &mut line);
                payload.extend(line[..made].iter().map(|&s| pcma::encode(round(s))));
            }
            Encoding::L16 { rate, order } => {
                let line = match rate {
                    L16Rate::K8 => {
                        let made = self.to_8.process(block, &mut line);
                        &line[..made]
                    }
                    L16Rate::K16 => &block[..],
                    L16Rate::K24 => {
                        let made = self.to_24.process(block, &mut line);
                        &line[..made]
                    }
                };
                let bytes = match order {
                    ByteOrder::Big => i16::to_be_bytes,
                    ByteOrder::Little => i16::to_le_bytes,
                };
                payload.extend(line.iter().flat_map(|&s| bytes(round(s))));
            }
        }
        payload
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}
