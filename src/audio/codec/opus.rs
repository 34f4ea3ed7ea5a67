//! Opus (RFC 6716), by libopus.
//!
//! Both directions work at [`BUS_RATE`], one channel: packets decode at any
//! rate and number of channels, whatever was declared (RFC 7587 §4.1, §4.4).
//!
//! The encoder is set for a voice on a small board: 20 ms, wideband,
//! [`BITRATE`] (more than the 16 to 20 kb/s of RFC 7587 §3.1.1) and
//! [`COMPLEXITY`], both as `tests/figures/opus` measures them. No error
//! correction: TCP loses nothing. Never discontinuous: the service ends calls
//! whose sound stops.
//!
//! Packets of the far end hold 2.5 to 120 ms, and the decoder goes from one to
//! the next, so they are decoded as they come and cut into blocks:
//!
//! ```text
//!  packets  │ 0: 60 ms        │ 3: 60 ms        │  6 is missing   │ 9 …
//!  blocks   │  0  │  1  │  2  │  3  │  4  │  5  │ own concealment │  9 …
//! ```
//!
//! A packet that is missing or cannot be read is filled by the decoder's own
//! concealment when the next has come, and while the line is dry; a gap longer
//! than [`FILLED_MAX`] blocks stays one behind that. A packet that comes behind its
//! turn is decoded as it comes; playout decides what becomes of it.
//!
//! Real time: bounded work, the longest packet being 120 ms; only `new` allocates.

use ::opus::{Application, Bandwidth, Bitrate, Channels, Signal};

use super::{Block, CARRY_ON};
use crate::audio::ring::PAYLOAD_MAX;
use crate::audio::{BUS_BLOCK, BUS_RATE, round};

/// Bits per second of the microphone: the knee of the curve that
/// `tests/figures/opus` prints, and the first of its rates that is better than
/// G.711 by both scores (PESQ, wide and narrow band: 4.41 and 4.39 beside 3.87
/// and 4.29; 24 kb/s: 4.34 and 4.24). 8 kb/s more add 0.03 and 0.05; 8 less save
/// 16 bytes of a packet, and no time of the processor.
pub const BITRATE: i32 = 32_000;
/// How hard the encoder tries, 0 to 10: from 3 to 5 speech gains 0.25 (PESQ,
/// narrow band) for 13 million instructions a second more, from 5 to 10 it
/// gains 0.05 for 26 million more, by `tests/figures/opus`. The 50 million it
/// takes are 28 times those of G.711 and a twentieth of a core of a Zero 2 W, if
/// that core does one each cycle.
pub const COMPLEXITY: i32 = 5;
/// Blocks of a gap that are filled: 60 ms.
const FILLED_MAX: u32 = 3;
/// A number further ahead than this is no gap: 1 s.
const GAP_MAX: u32 = 50;
/// Most samples of one packet: 120 ms (RFC 6716 §3.2.5).
const PACKET_SAMPLES: usize = BUS_RATE as usize * 120 / 1000;

/// Packets to blocks.
#[derive(Debug)]
pub(super) struct Decoder {
    codec: ::opus::Decoder,
    decoded: Box<[i16; PACKET_SAMPLES]>,
    /// The block that is being filled; `None` before the first packet.
    at: Option<u32>,
    block: [i16; BUS_BLOCK],
    filled: usize,
}

impl Decoder {
    /// # Panics
    /// If there is no memory.
    pub(super) fn new() -> Self {
        let codec = ::opus::Decoder::new(BUS_RATE, Channels::Mono);
        Self {
            codec: codec.expect("libopus decodes one channel at 16 kHz"),
            decoded: Box::new([0; PACKET_SAMPLES]),
            at: None,
            block: [0; BUS_BLOCK],
            filled: 0,
        }
    }

    /// A stream begins.
    pub(super) fn reset(&mut self) {
        // It fails for a broken handle only.
        _ = self.codec.reset_state();
        self.at = None;
        self.filled = 0;
    }

    /// Takes in the packet that begins in block `seq`; `false` if it cannot be
    /// read, which makes it a missing one.
    pub(super) fn decode(
        &mut self,
        seq: u32,
        payload: &[u8],
        mut out: impl FnMut(Block<'_>),
    ) -> bool {
        // To libopus, no bytes are a packet that is missing.
        if payload.is_empty() {
            return false;
        }
        let readable = ::opus::packet::get_nb_samples(payload, BUS_RATE);
        if readable.is_err() {
            return false;
        }
        self.go_to(seq, &mut out);
        match self.codec.decode(payload, &mut self.decoded[..], false) {
            Ok(length) => {
                self.cut(length, false, &mut out);
                true
            }
            Err(_) => false,
        }
    }

    /// What might have come next.
    pub(super) fn carry_on(&mut self, samples: &mut [i16; CARRY_ON]) {
        if self.codec.decode(&[], samples, false).is_err() {
            samples.fill(0);
        }
    }

    /// Fills what is missing before block `seq`.
    fn go_to(&mut self, seq: u32, out: &mut impl FnMut(Block<'_>)) {
        let at = self.at.unwrap_or(seq);
        let ahead = seq.wrapping_sub(at);
        if (1..=GAP_MAX).contains(&ahead) {
            for _ in 0..ahead.min(FILLED_MAX) {
                let missing = BUS_BLOCK - self.filled;
                let samples = &mut self.decoded[..missing];
                if self.codec.decode(&[], samples, false).is_err() {
                    samples.fill(0);
                }
                self.cut(missing, true, out);
            }
        }
        if self.at != Some(seq) {
            self.at = Some(seq);
            self.filled = 0;
        }
    }

    /// Cuts the first `length` decoded samples into blocks.
    fn cut(&mut self, length: usize, made_up: bool, out: &mut impl FnMut(Block<'_>)) {
        let mut rest = &self.decoded[..length];
        while let Some(seq) = self.at.filter(|_| !rest.is_empty()) {
            let (now, later) = rest.split_at(rest.len().min(BUS_BLOCK - self.filled));
            self.block[self.filled..][..now.len()].copy_from_slice(now);
            self.filled += now.len();
            rest = later;
            if self.filled == BUS_BLOCK {
                self.filled = 0;
                self.at = Some(seq.wrapping_add(1));
                out(Block {
                    seq,
                    samples: &self.block,
                    made_up,
                });
            }
        }
    }
}

/// Blocks to packets.
#[derive(Debug)]
pub(super) struct Encoder(::opus::Encoder);

impl Encoder {
    /// # Panics
    /// If there is no memory.
    pub(super) fn new() -> Self {
        let set_up = || {
            let mut codec = ::opus::Encoder::new(BUS_RATE, Channels::Mono, Application::Voip)?;
            codec.set_bitrate(Bitrate::Bits(BITRATE))?;
            codec.set_complexity(COMPLEXITY)?;
            codec.set_signal(Signal::Voice)?;
            codec.set_dtx(false)?;
            codec.set_inband_fec(false)?;
            Ok::<_, ::opus::Error>(Self(codec))
        };
        set_up().expect("libopus encodes one channel at 16 kHz")
    }

    /// A stream begins, for a far end that plays `rate`.
    pub(super) fn reset(&mut self, rate: u32) {
        let band = match rate {
            8_000 => Bandwidth::Narrowband,
            _ => Bandwidth::Wideband,
        };
        // They fail for a broken handle only.
        _ = self.0.reset_state();
        _ = self.0.set_max_bandwidth(band);
    }

    /// Encodes a block; nothing comes out if it cannot be.
    pub(super) fn encode(
        &mut self,
        block: &[f32; BUS_BLOCK],
        payload: &mut heapless::Vec<u8, PAYLOAD_MAX>,
    ) {
        let samples = block.map(round);
        // There is room: it is the most a frame can take.
        _ = payload.resize_default(PAYLOAD_MAX);
        let length = self.0.encode(&samples, payload).unwrap_or(0);
        payload.truncate(length);
    }
}
