//! What one device may use of the organization's day.

use std::time::Duration;

/// The limits' memory as remaining times, so that it can outlive the process:
/// instants cannot. Save it after each closed record; give it, aged by the
/// time the device was off (nothing, if that is not known: the limit then
/// only lasts longer), to [`Call::new`](super::Call::new).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The calls of the last 24 hours, oldest first.
    pub calls: Vec<Used>,
    /// Failures in a row.
    pub failures: u32,
    /// What remains of the pause after failures.
    pub back_off: Duration,
    /// What remains of the service's `Retry-After`.
    pub retry_after: Duration,
}

/// One call that counts towards the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// How long ago its request was sent.
    pub ago: Duration,
    /// How long it was answered.
    pub answered: Duration,
}
