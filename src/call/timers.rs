//! Every time-out of a call, in one table: one slot each, so setting one
//! twice replaces it.

use std::time::{Duration, Instant};

/// A time-out. The first group belongs to one attempt, the second to the
/// device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// A press has waited [`hold_press`](super::Config::hold_press) for
    /// orphans to be off the line.
    Hold,
    /// Nobody answered [`Place`](super::Output::Place) for [`ANSWER_WITHIN`]:
    /// the outcome is unknown.
    Place,
    /// Look for the call: at [`LOOKS`] after the outcome became unknown, then
    /// by [`pause`]. While a look is out: it was not answered.
    Look,
    /// Get the call, every [`poll_every`](super::Config::poll_every). While a
    /// get is out: it was not answered.
    Poll,
    /// It rang for [`ring_for`](super::Config::ring_for).
    Ring,
    /// A stream has been up for [`BELIEVE_AFTER`] and nobody said `answered`.
    Believe,
    /// The callee did not confirm for [`confirm_within`](super::Config::confirm_within)
    /// of the answer, or of the announcement's end.
    Confirm,
    /// An inbound call chimed for [`chime_for`](super::Config::chime_for).
    Chime,
    /// The next round of an announcement, after [`BETWEEN_ROUNDS`]. While one
    /// is said: [`say_within`](super::Config::say_within) is over.
    Say,
    /// No stream came [`stream_within`](super::Config::stream_within) of the
    /// answer.
    Stream,
    /// No packet for [`one_way_after`](super::Config::one_way_after).
    OneWay,
    /// The stream did not come back [`reconnect_within`](super::Config::reconnect_within).
    Return,
    /// [`warn_before`](super::Config::warn_before) the end of the longest call.
    Warn,
    /// The longest call is over: [`max_call`](super::Config::max_call).
    Max,
    /// Hang up again, by [`pause`]. While a hang-up is out: it was not answered.
    HangUp,
    /// The end was not confirmed [`give_up_after`](super::Config::give_up_after).
    GiveUp,

    /// The result of a call has been shown for [`show_for`](super::Config::show_for).
    Show,
    /// Ask for orphans again, by [`pause`]. While that is out: it was not
    /// answered for [`LIST_WITHIN`].
    Orphans,
    /// [`SHUTDOWN_WITHIN`] of being asked to stop.
    Shutdown,
}

impl Timer {
    const ALL: [Self; 19] = [
        Self::Hold,
        Self::Place,
        Self::Look,
        Self::Poll,
        Self::Ring,
        Self::Believe,
        Self::Confirm,
        Self::Chime,
        Self::Say,
        Self::Stream,
        Self::OneWay,
        Self::Return,
        Self::Warn,
        Self::Max,
        Self::HangUp,
        Self::GiveUp,
        Self::Show,
        Self::Orphans,
        Self::Shutdown,
    ];
}

/// How long an answer of the daemon may take before the machine does without.
/// Longer than any time-out of `edge/rest`, which always answers: this is the
/// guard against an answer that got lost inside the device.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// When a call of unknown outcome is looked for, after it became unknown. The
/// service writes its row before it dials, so one that is not in the list
/// after the last look is taken not to exist.
pub(super) const LOOKS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// How long presses wait for the list of orphans; a network that takes longer
/// could hardly place the call.
pub(super) const LIST_WITHIN: Duration = Duration::from_secs(5);

/// How long a stream must be up to stand for an answer while REST is away.
pub(super) const BELIEVE_AFTER: Duration = Duration::from_secs(1);

/// How soon after a hang-up that was taken the call is looked at again.
pub(super) const SETTLE: Duration = Duration::from_millis(500);

/// Pause between two rounds of an announcement, in which the callee presses
/// the key.
pub(super) const BETWEEN_ROUNDS: Duration = Duration::from_secs(2);

/// Of the time until the next number has to be dialed, what is kept for
/// hanging up: a hang-up, and another after the first was refused.
pub(super) const HANG_UP_ROOM: Duration = Duration::from_secs(5);

/// A number rings for as long as this even where a slow service has used up
/// the time before: below it nobody reaches the telephone.
pub(super) const SHORTEST_RING: Duration = Duration::from_secs(15);

/// How long a graceful stop may take in here; the rest of its 2 s belongs to
/// the store.
pub(super) const SHUTDOWN_WITHIN: Duration = Duration::from_millis(1500);

/// The pause before try number `tries` (from 1): 0.5 s, doubled up to 32 s.
pub(super) fn pause(tries: u32) -> Duration {
    Duration::from_millis(250 << tries.min(7))
}

/// When each timer is due.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Stops all but these.
    pub(super) fn keep(&mut self, kept: &[Timer]) {
        for timer in Timer::ALL {
            if !kept.contains(&timer) {
                self.stop(timer);
            }
        }
    }

    /// Brings a timer that is set forward to `now`.
    pub(super) fn hurry(&mut self, timer: Timer, now: Instant) {
        if let Some(at) = &mut self.0[timer as usize] {
            *at = now.min(*at);
        }
    }

    pub(super) fn soonest(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Removes and returns the timer that was due first, if its time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let soonest = self.soonest().filter(|at| *at <= now);
        let is_it = |t: &Timer| soonest.is_some() && self.0[*t as usize] == soonest;
        let timer = Timer::ALL.into_iter().find(is_it)?;
        self.stop(timer);
        Some(timer)
    }
}
