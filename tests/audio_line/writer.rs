//! A far end that writes in any encoding.

use callbox::audio::BUS_BLOCK;
use callbox::audio::codec::Encoder;
use callbox::audio::ring::Packet;
use callbox::units::{ByteOrder, Encoding, L16Rate};

/// Every encoding the engine takes.
pub(crate) fn encodings() -> Vec<Encoding> {
    use ByteOrder::{Big, Little};
    let rates = [L16Rate::K8, L16Rate::K16, L16Rate::K24];
    let linear = rates
        .into_iter()
        .flat_map(|rate| [Big, Little].map(|order| Encoding::L16 { rate, order }));
    let opus = [8_000, 16_000, 48_000].map(|rate| Encoding::Opus { rate });
    let law = [Encoding::Pcmu, Encoding::Pcma];
    law.into_iter().chain(linear).chain(opus).collect()
}

/// A far end that writes its sound, by bus sample, in any encoding.
pub(crate) struct Writer {
    encoder: Encoder,
    sound: fn(u64) -> f32,
    pub(crate) stream: u32,
    pub(crate) seq: u32,
}

impl Writer {
    pub(crate) fn new(encoding: Encoding, sound: fn(u64) -> f32) -> Self {
        let mut encoder = Encoder::new();
        encoder.reset(encoding);
        Self {
            encoder,
            sound,
            stream: 1,
            seq: 0,
        }
    }

    /// The next 20 ms.
    pub(crate) fn packet(&mut self) -> Packet {
        let first = u64::from(self.seq) * BUS_BLOCK as u64;
        let block = std::array::from_fn(|n| (self.sound)(first + n as u64));
        self.seq += 1;
        Packet {
            stream: self.stream,
            seq: self.seq - 1,
            encoding: self.encoder.encoding(),
            payload: self.encoder.encode(&block),
        }
    }
}
