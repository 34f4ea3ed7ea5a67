//! Skeleton: the contract of the engine (helper `audio` owns this file).

use std::sync::Arc;

use super::Stats;
use super::ring::{CommandRx, DownlinkRx, UplinkTx};

/// What the daemon asks of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A media stream begins: decode, encode and number packets for it.
    Connect {
        /// Its number; packets of other streams are dropped.
        stream: u32,
    },
    /// The stream is over; the rest of it is not played.
    Disconnect,
    /// Play this to the visitor until another takes its place.
    Tone(super::tone::Tone),
}

/// The engine's ends of its queues, and the figures it keeps.
pub struct Ports {
    /// Encoded microphone blocks.
    pub uplink: UplinkTx,
    /// Packets from the far end.
    pub downlink: DownlinkRx,
    /// What the daemon asks.
    pub commands: CommandRx,
    /// Read from any thread.
    pub stats: Arc<Stats>,
}

/// How a card wants its samples: 16 bit, interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Samples per second and channel: 16 000 or 48 000.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u16,
}

/// See the module page.
pub struct Engine;

impl Engine {
    /// An engine for a microphone and a speaker of these formats. Allocates.
    pub fn new(_config: &super::Config, _ports: Ports, _mic: Format, _speaker: Format) -> Self {
        Self
    }

    /// Takes in a period (any length) of the microphone; returns how many
    /// packets went into the uplink.
    pub fn capture(&mut self, _mic: &[i16]) -> usize {
        0
    }

    /// Fills a period (any length) for the speaker.
    pub fn render(&mut self, speaker: &mut [i16]) {
        speaker.fill(0);
    }
}
