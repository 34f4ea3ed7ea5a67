//! The live media socket: between the service's WebSocket and the two rings
//! of the audio thread.
//!
//! ```text
//!            ┌──────────────── Hub, media runtime ────────────────┐
//!  service ──┤ WebSocket ─▶ wire::media ─▶ Recutter ─▶ DownlinkTx ├─▶ render
//!          ◀─┤ WebSocket ◀─ wire::media ◀─ freshest ◀── UplinkRx  ├◀─ capture
//!            └─────▲───────────────────────────────────────┬──────┘
//!              Command (daemon)                          Event (daemon)
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::audio::ring::{DownlinkTx, UplinkRx};
use crate::edge::ingress::Upgraded;
use crate::edge::realtime::Wake;
use crate::trace::Trace;
use crate::units::SocketId;

/// Commands that may wait for the hub.
pub const COMMANDS_MAX: usize = 16;
/// Events that may wait for the daemon.
pub const EVENTS_MAX: usize = 64;

/// What the daemon asks of the hub.
#[derive(Debug)]
pub enum Command {
    /// Takes this stream for the call; the present one, if there is one, ends
    /// with [`End::Replaced`].
    Attach {
        /// Its name.
        socket: SocketId,
        /// The number its packets carry, as the engine was told it.
        stream: u32,
        /// The connection.
        upgraded: Upgraded,
    },
    /// Asks the service to end the call, then closes: [`End::Closed`] follows.
    Stop {
        /// Why, for the service's records.
        reason: &'static str,
    },
    /// Closes without ending the call.
    Close,
    /// Drops what the service still holds to be played to the callee.
    Clear,
}

/// What happens on a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// On which.
    pub socket: SocketId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The service said `start`, or began without it: sound may flow.
    Started,
    /// The first sound of the far end.
    FirstMedia,
    /// What flowed in the second that is over.
    Flow(Flow),
    /// The callee pressed a key: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
    /// The service reports an error of its own.
    ServiceError {
        /// Its number or word.
        code: String,
        /// What it says.
        text: String,
    },
    /// There will be no more of this socket.
    Ended(End),
}

/// One second of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// Packets (20 ms) of the far end taken in.
    pub received: u32,
    /// Packets sent.
    pub sent: u32,
    /// Packets too old to be sent.
    pub stale: u32,
    /// Bytes the far end has not acknowledged.
    pub unsent: usize,
    /// Time from a mark to its echo, when one came back in this second.
    pub mark: Option<Duration>,
}

/// Ways for a socket to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The service says the call is over.
    Stopped(Option<String>),
    /// The service closed; 4500 means that it comes back.
    Closed(Option<u16>),
    /// The connection broke, or was silent for too long.
    Lost(String),
    /// It carries a kind of sound we do not take.
    Unsupported(String),
    /// A newer socket took the call over.
    Replaced,
    /// We closed it, by `Stop` or `Close`.
    Left,
}

/// The task that carries the sound of the present call.
pub struct Hub {
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    uplink: UplinkRx,
    downlink: DownlinkTx,
    wake: Arc<Wake>,
    trace: Arc<Trace>,
}

impl Hub {
    /// A hub, the way to tell it, and the way to hear from it.
    #[must_use]
    pub fn new(
        uplink: UplinkRx,
        downlink: DownlinkTx,
        wake: Arc<Wake>,
        trace: Arc<Trace>,
    ) -> (Self, mpsc::Sender<Command>, mpsc::Receiver<Event>) {
        let (commands, taken) = mpsc::channel(COMMANDS_MAX);
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let hub = Self {
            commands: taken,
            events,
            uplink,
            downlink,
            wake,
            trace,
        };
        (hub, commands, told)
    }

    /// Carries sound until every sender of commands is gone.
    pub async fn run(self) {}
}

/// Tells a stream whose call is over to stop, and closes it: at most 2 s.
pub async fn dismiss(_upgraded: Upgraded, _reason: &'static str) {}
