//! An engine and what is at the other ends of its queues. A test takes the far
//! end it needs: `far.rs` is a line with jitter and stalls, `writer.rs` writes
//! in any encoding.

use std::sync::Arc;

use callbox::audio::engine::{Command, Engine, Format, Ports};
use callbox::audio::ring::{self, CommandTx, DownlinkTx, EventRx, UplinkRx};
use callbox::audio::{Config, Stats};
use callbox::units::Mode;

/// An engine and the other ends of its queues, connected to stream 1.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) downlink: DownlinkTx,
    pub(crate) uplink: UplinkRx,
    pub(crate) commands: CommandTx,
    pub(crate) events: EventRx,
    pub(crate) stats: Arc<Stats>,
}

impl Rig {
    pub(crate) fn new(config: &Config, mic: Format, speaker: Format) -> Self {
        let (uplink_tx, uplink) = ring::uplink();
        let (downlink, downlink_rx) = ring::downlink();
        let (commands, commands_rx) = ring::commands();
        let (events_tx, events) = ring::events();
        let stats = Arc::new(Stats::default());
        let ports = Ports {
            uplink: uplink_tx,
            downlink: downlink_rx,
            commands: commands_rx,
            events: events_tx,
            stats: Arc::clone(&stats),
        };
        let mut rig = Self {
            engine: Engine::new(config, ports, mic, speaker),
            downlink,
            uplink,
            commands,
            events,
            stats,
        };
        rig.commands.push(connect(1));
        rig
    }
}

/// Stream `stream` begins, raw sound both ways, and the two hear each other.
pub(crate) fn connect(stream: u32) -> Command {
    Command::Connect {
        stream,
        mode: Mode::default(),
        joined: true,
    }
}
