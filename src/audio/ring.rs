//! The queues between the audio thread and the media runtime.
//!
//! ```text
//!  capture ─▶ Uplink   ─▶ socket     10 packets, 200 ms
//!  render  ◀─ Downlink ◀─ socket     50 packets, 1 s
//!  engine  ─▶ Events   ─▶ socket     32
//!  engine  ◀─ Commands ◀─ daemon     32
//! ```
//!
//! Each is a lock-free queue with one end on each side. A full one refuses the
//! new item; the consumer is the one that drains to its target, since a
//! producer cannot take back the oldest. Packets carry the number of the
//! stream they belong to, so what is left over from one call never sounds in
//! the next.
//!
//! Real time: every method does bounded work and neither allocates, locks nor
//! calls the system. Making a queue allocates it for the life of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use heapless::Vec;
use heapless::spsc::{Consumer, Producer, Queue};

use super::engine::{Command, EngineEvent};
use crate::units::{BLOCK_MS, Encoding};

/// Most bytes of one packet: the longest frame of Opus (RFC 6716 §3.2.1). The
/// largest of the others are the 960 of 20 ms of linear sound at 24 kHz.
pub const PAYLOAD_MAX: usize = 1275;
/// Packets the uplink holds: 200 ms.
pub const UPLINK_PACKETS: usize = 10;
/// Packets the downlink holds: 1 s.
pub const DOWNLINK_PACKETS: usize = 50;
/// Packets older than this never reach the socket: 100 ms.
pub const UPLINK_STALE: u32 = 100 / BLOCK_MS;
/// Commands that may wait for the engine.
pub const COMMANDS: usize = 32;
/// Events that may wait for the media runtime: a digit takes 65 ms at least, so
/// 2 s of them.
pub const EVENTS: usize = 32;

/// The encoded sound of one block. Opus from the far end holds what it holds,
/// 2.5 to 120 ms (RFC 6716 §3.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The media stream it belongs to, as [`super::engine::Command::Connect`] named it.
    pub stream: u32,
    /// Its place in the stream, in blocks: the one it begins in.
    pub seq: u32,
    /// How the samples are written.
    pub encoding: Encoding,
    /// The encoded samples.
    pub payload: Vec<u8, PAYLOAD_MAX>,
}

/// Makes the queue of encoded microphone blocks.
#[must_use]
pub fn uplink() -> (UplinkTx, UplinkRx) {
    let (tx, rx) = leak::<Packet, { UPLINK_PACKETS + 1 }>();
    let produced = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&produced);
    (
        UplinkTx { tx, produced },
        UplinkRx {
            rx,
            produced: counted,
        },
    )
}

/// The audio thread's end of the uplink.
pub struct UplinkTx {
    tx: Producer<'static, Packet>,
    produced: Arc<AtomicU32>,
}

impl UplinkTx {
    /// Hands a packet to the socket; `false` when the queue is full and the
    /// packet is lost. Either way its `seq` becomes the present of
    /// [`UplinkRx::pop`].
    pub fn push(&mut self, packet: Packet) -> bool {
        self.produced.store(packet.seq, Ordering::Release);
        self.tx.enqueue(packet).is_ok()
    }
}

/// The media runtime's end of the uplink.
pub struct UplinkRx {
    rx: Consumer<'static, Packet>,
    produced: Arc<AtomicU32>,
}

impl UplinkRx {
    /// The next packet with its age in blocks: 0 is the newest captured.
    pub fn pop(&mut self) -> Option<(Packet, u32)> {
        let packet = self.rx.dequeue()?;
        let now = self.produced.load(Ordering::Acquire);
        let age = now.wrapping_sub(packet.seq);
        // A packet pushed after `now` was read is newer than the present.
        Some((packet, if age > u32::MAX / 2 { 0 } else { age }))
    }
}

/// Makes the queue of packets from the far end.
#[must_use]
pub fn downlink() -> (DownlinkTx, DownlinkRx) {
    let (tx, rx) = leak::<Packet, { DOWNLINK_PACKETS + 1 }>();
    (DownlinkTx(tx), DownlinkRx(rx))
}

/// The media runtime's end of the downlink.
pub struct DownlinkTx(Producer<'static, Packet>);

impl DownlinkTx {
    /// Hands a packet to playout; gives it back when the queue is full.
    ///
    /// # Errors
    /// The packet, when there was no room.
    #[expect(
        clippy::result_large_err,
        reason = "the packet comes back as it went in; a box would allocate"
    )]
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        self.0.enqueue(packet)
    }
}

/// The audio thread's end of the downlink.
pub struct DownlinkRx(Consumer<'static, Packet>);

impl DownlinkRx {
    /// The next packet in order of arrival.
    pub fn pop(&mut self) -> Option<Packet> {
        self.0.dequeue()
    }
}

/// Makes the queue of commands to the engine.
#[must_use]
pub fn commands() -> (CommandTx, CommandRx) {
    let (tx, rx) = leak::<Command, { COMMANDS + 1 }>();
    (CommandTx(tx), CommandRx(rx))
}

/// The daemon's end of the commands.
pub struct CommandTx(Producer<'static, Command>);

impl CommandTx {
    /// Asks something of the engine; `false` when the audio thread has stopped
    /// taking commands and this one is lost.
    pub fn push(&mut self, command: Command) -> bool {
        self.0.enqueue(command).is_ok()
    }
}

/// The audio thread's end of the commands.
pub struct CommandRx(Consumer<'static, Command>);

impl CommandRx {
    /// The next command.
    pub fn pop(&mut self) -> Option<Command> {
        self.0.dequeue()
    }
}

/// Makes the queue of what the engine found.
#[must_use]
pub fn events() -> (EventTx, EventRx) {
    let (tx, rx) = leak::<EngineEvent, { EVENTS + 1 }>();
    (EventTx(tx), EventRx(rx))
}

/// The audio thread's end of the events.
pub struct EventTx(Producer<'static, EngineEvent>);

impl EventTx {
    /// Tells the media runtime; `false` when the queue is full and the event is
    /// lost.
    pub fn push(&mut self, event: EngineEvent) -> bool {
        self.0.enqueue(event).is_ok()
    }
}

/// The media runtime's end of the events, to be read whenever it is woken.
pub struct EventRx(Consumer<'static, EngineEvent>);

impl EventRx {
    /// The next event.
    pub fn pop(&mut self) -> Option<EngineEvent> {
        self.0.dequeue()
    }
}

/// A queue lives as long as the process: both ends go to threads that do.
fn leak<T, const N: usize>() -> (Producer<'static, T>, Consumer<'static, T>) {
    Box::leak(Box::new(Queue::<T, N>::new())).split()
}
