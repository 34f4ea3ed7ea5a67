//! The line between the service and the device, with its faults made to order.
//!
//! Each direction is a [`Queue`] of its own: a frame goes in when it is sent
//! and comes out when it arrives. There is no clock: the caller says what time
//! it is. The same [`Line`] and the same sending times give the same arrivals.
//!
//! ```text
//!  send(now, frame) ──▶ loss? twice? swapped? ──▶ delay + jitter ──▶ stall ──▶ arrive(now)
//! ```
//!
//! Units: times are `Duration`s since the leg was answered; chances are 0 to 1
//! per frame.
//!
//! Always true: without `reorder`, frames arrive in the order they were sent,
//! as TCP would have it, and a late one holds up those behind it; nothing
//! arrives before it was sent plus `delay`, nor within a stall; every frame is
//! lost or arrives.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// What happens between the service and the device. The default is a clean line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// What the chances are drawn from; two lines alike have the same faults.
    pub seed: u64,
    /// From end to end, one way.
    pub delay: Duration,
    /// Up to so much more, drawn anew for each frame.
    pub jitter: Duration,
    /// Nothing moves from time to time; then all comes at once.
    pub stall: Option<Stall>,
    /// Chance of a media frame to change places with the next.
    pub reorder: f64,
    /// Chance of a media frame to come twice.
    pub duplicate: f64,
    /// Chance of a media frame to be lost on the carrier's side.
    pub loss: f64,
    /// Chance of a frame of nonsense after a frame to the device.
    pub garbage: f64,
    /// The socket is cut, without a close frame, so long after the answer.
    pub drop_at: Option<Duration>,
    /// The socket is closed with 4500 so long after the answer.
    pub close_4500_at: Option<Duration>,
}

/// A pause in which nothing moves, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// The first begins so long after the answer.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// From one beginning to the next; `None` is a single one.
    pub every: Option<Duration>,
}
