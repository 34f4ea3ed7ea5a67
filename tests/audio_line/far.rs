//! A far end, a line and two sound cards, in made-up time.
//!
//! ```text
//!  Far: block n at n × 20 ms ─▶ delay, jitter, stalls (in order, like TCP) ─▶ downlink
//!  card: render(period) every period of its own clock ─▶ heard
//! ```
//!
//! Time is milliseconds of the card's clock. The line is seeded: the same
//! numbers give the same call.

#[path = "dice.rs"]
mod dice;

use callbox::audio::codec::pcmu;
use callbox::audio::engine::Format;
use callbox::audio::ring::Packet;
use callbox::units::Encoding;

pub(crate) use dice::Dice;

use crate::audio_line::Rig;

/// Samples of a packet of PCMU.
pub(crate) const LINE_BLOCK: usize = 160;

/// What the far end sounds like, by sample of 8 kHz.
pub(crate) type Sound = fn(u64) -> f32;

/// Block `seq` of a sound, as a packet of stream 1.
pub(crate) fn packet(seq: u32, sound: Sound) -> Packet {
    let first = u64::from(seq) * LINE_BLOCK as u64;
    let samples = (first..first + LINE_BLOCK as u64).map(|n| sound(n) as i16);
    Packet {
        stream: 1,
        seq,
        encoding: Encoding::Pcmu,
        payload: samples.map(pcmu::encode).collect(),
    }
}

/// The far end and the way its packets take.
pub(crate) struct Far {
    /// How much faster its clock is than the card's, in parts per million.
    pub(crate) ppm: f64,
    /// Shortest way, ms.
    pub(crate) delay: f64,
    /// Mean of what is added to it, ms; most packets wait less, some much more.
    pub(crate) jitter: f64,
    /// Stalls: start and length in ms. Nothing passes; then all comes at once.
    pub(crate) stalls: Vec<(f64, f64)>,
    /// How long "at once" takes after a stall, ms.
    pub(crate) burst: f64,
    pub(crate) sound: Sound,
    pub(crate) dice: Dice,
    /// The card's time at the start of the next run.
    now: f64,
    seq: u32,
    last: f64,
}

impl Far {
    pub(crate) fn new(sound: Sound) -> Self {
        Self {
            ppm: 0.0,
            delay: 7.3,
            jitter: 0.0,
            stalls: vec![],
            burst: 0.0,
            sound,
            dice: Dice(1),
            now: 0.0,
            seq: 0,
            last: 0.0,
        }
    }

    /// When the next packet arrives.
    fn next_arrival(&mut self) -> f64 {
        // A block is sent when its last sample has been spoken.
        let sent = f64::from(self.seq + 1) * 20.0 / (1.0 + self.ppm * 1e-6);
        let mut at = sent + self.delay + self.dice.exponential(self.jitter);
        for &(start, length) in &self.stalls {
            if (start..start + length).contains(&at) {
                at = start + length + (at - start) / length * self.burst;
            }
        }
        at.max(self.last)
    }
}

/// Lets the card run for another `ms`, in periods of `period` samples; `heard` gets
/// each period and its time. The microphone is silent.
pub(crate) fn listen(
    rig: &mut Rig,
    far: &mut Far,
    card: Format,
    period: usize,
    ms: f64,
    mut heard: impl FnMut(f64, &[i16]),
) {
    let mut out = vec![0; period * usize::from(card.channels)];
    let silence = out.clone();
    let mut arrival = far.next_arrival();
    let mut periods = 0u64;
    loop {
        let passed = (periods * period as u64) as f64 * 1000.0 / f64::from(card.rate);
        if passed >= ms {
            far.now += passed;
            return;
        }
        let now = far.now + passed;
        while arrival <= now {
            // A full ring is the line's doing too: the packet is gone.
            _ = rig.downlink.push(packet(far.seq, far.sound));
            (far.seq, far.last) = (far.seq + 1, arrival);
            arrival = far.next_arrival();
        }
        rig.engine.render(&mut out);
        heard(now, &out);
        rig.engine.capture(&silence);
        while rig.uplink.pop().is_some() {}
        while rig.events.pop().is_some() {}
        periods += 1;
    }
}
