//! Whether a tunnel still carries: judged by round trips, not by its process.
//!
//! ```text
//!  start ──trip every `settle`──▶ one works ──▶ trip every `every`
//!     │                                             │ fails: every `again`
//!     └─ none within `up_within` ─▶ hung ◀── `failures` in a row ─┘
//! ```
//!
//! While the far end is heard no trip is made: the sound is proof enough, and
//! wants the line for itself. A tunnel is not blamed while the internet is
//! away, nor when it brings calls though no round trip ever worked: then it is
//! the trip's way that is broken.
//!
//! There is no clock; the tests turn it.

use std::time::{Duration, Instant};

/// How often a tunnel is looked at, and when it is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// From the start to the first trip, and from there to the next, until one
    /// works. Default 1 s.
    pub settle: Duration,
    /// Between trips that work. Default 60 s; each costs a TLS handshake.
    pub every: Duration,
    /// After a trip that failed. Default 5 s.
    pub again: Duration,
    /// Failed trips in a row that are too many, 1 or more. Default 3.
    pub failures: u32,
    /// The same while a call is up and nothing of the far end is heard, when a
    /// person waits: trips are then made every `settle`. Default 2.
    pub failures_in_call: u32,
    /// From the start to a first trip that works. Default 60 s.
    pub up_within: Duration,
    /// Longest a trip may take. Default 3 s: a call would be lost by then.
    pub trip: Duration,
    /// Pause before the tunnel is started again after it carried. Doubled each
    /// time it does not come up. Default 500 ms: a call waits for 10 s.
    pub pause: Duration,
    /// The longest pause. Default 60 s.
    pub pause_max: Duration,
    /// How long it may be down before the lamp says so. Default 60 s.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(1),
            every: Duration::from_secs(60),
            again: Duration::from_secs(5),
            failures: 3,
            failures_in_call: 2,
            up_within: Duration::from_secs(60),
            trip: Duration::from_secs(3),
            pause: Duration::from_millis(500),
            pause_max: Duration::from_secs(60),
            patience: Duration::from_secs(60),
        }
    }
}

/// What the rest of the device knows of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// The service's API is reached: the internet is there.
    pub online: bool,
    /// The media stream of a call.
    pub media: Media,
}

/// The media stream of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Media {
    /// There is none.
    #[default]
    None,
    /// The far end is heard on it.
    Heard,
    /// It is up, and nothing comes.
    Silent,
}

/// See the [module page](self).
#[derive(Debug)]
pub(super) struct Pulse {
    timing: Timing,
    begun: Instant,
    last: Instant,
    failed: u32,
    /// A trip has worked since the start.
    worked: bool,
    /// Whoever keeps the far end has said since the start that it is up.
    vouched: bool,
    /// A trip has ever worked, in this process.
    ever: bool,
    /// A call's sound has ever come through.
    carried: bool,
}

impl Pulse {
    pub(super) fn new(timing: Timing, now: Instant) -> Self {
        Self {
            timing,
            begun: now,
            last: now,
            failed: 0,
            worked: false,
            vouched: false,
            ever: false,
            carried: false,
        }
    }

    /// The tunnel was started.
    pub(super) fn start(&mut self, now: Instant) {
        self.begun = now;
        self.last = now;
        self.failed = 0;
        self.worked = false;
        self.vouched = false;
    }

    /// Whoever keeps the far end says that it is up. That is believed against
    /// trips that never worked.
    #[cfg(feature = "tunnel")]
    pub(super) fn vouch(&mut self) {
        self.vouched = true;
    }

    /// When the next trip is to be made; `None` while there is nothing to ask.
    pub(super) fn due(&mut self, signs: Signs) -> Option<Instant> {
        let timing = &self.timing;
        let wait = match signs.media {
            Media::Heard => {
                self.carried = true;
                self.failed = 0;
                return None;
            }
            Media::Silent => timing.settle,
            Media::None if !self.worked => timing.settle,
            Media::None if self.failed > 0 => timing.again,
            Media::None => timing.every,
        };
        Some(self.last + wait)
    }

    /// A trip is over; says whether the tunnel is to be ended for it.
    pub(super) fn on_trip(&mut self, now: Instant, works: bool, signs: Signs) -> bool {
        self.last = now;
        if works {
            self.failed = 0;
            self.worked = true;
            self.ever = true;
            return false;
        }
        self.failed += 1;
        let believed = (self.carried || self.vouched) && !self.ever;
        if !signs.online || believed {
            return false;
        }
        match (signs.media, self.worked) {
            (Media::Heard, _) => false,
            (Media::Silent, true) => self.failed >= self.timing.failures_in_call,
            (Media::None, true) => self.failed >= self.timing.failures,
            (_, false) => now.saturating_duration_since(self.begun) >= self.timing.up_within,
        }
    }

    /// Whether it has carried something since it was started.
    pub(super) fn is_up(&self) -> bool {
        self.worked || self.vouched
    }
}

/// The pause before each start: short after a tunnel that carried, doubled
/// after one that did not.
#[derive(Debug)]
pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            first: timing.pause,
            longest: timing.pause_max,
            next: timing.pause,
        }
    }

    /// The pause now. `spread`, any byte, moves it by up to a quarter, so that
    /// fifty devices do not come back to their relay in one moment.
    pub(super) fn next(&mut self, carried: bool, spread: u8) -> Duration {
        if carried {
            self.next = self.first;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause + pause * u32::from(spread) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONLINE: Signs = Signs {
        online: true,
        media: Media::None,
    };

    fn silent() -> Signs {
        Signs {
            media: Media::Silent,
            ..ONLINE
        }
    }

    fn heard() -> Signs {
        Signs {
            media: Media::Heard,
            ..ONLINE
        }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pulse() -> (Pulse, Instant) {
        let now = Instant::now();
        (Pulse::new(Timing::default(), now), now)
    }

    #[test]
    fn three_failures_in_a_row_end_a_tunnel_that_was_up() {
        let (mut pulse, t) = pulse();
        assert_eq!(pulse.due(ONLINE), Some(t + s(1)));
        assert!(!pulse.on_trip(t + s(1), true, ONLINE));
        assert!(pulse.is_up());
        assert_eq!(pulse.due(ONLINE), Some(t + s(61)));
        assert!(!pulse.on_trip(t + s(61), false, ONLINE));
        assert_eq!(pulse.due(ONLINE), Some(t + s(66)));
        assert!(!pulse.on_trip(t + s(66), false, ONLINE));
        assert!(!pulse.on_trip(t + s(71), true, ONLINE));
        assert!(!pulse.on_trip(t + s(131), false, ONLINE));
        assert!(!pulse.on_trip(t + s(136), false, ONLINE));
        assert!(pulse.on_trip(t + s(141), false, ONLINE));
    }

    #[test]
    fn a_tunnel_that_never_comes_up_has_a_minute() {
        let (mut pulse, t) = pulse();
        for second in 1..60 {
            assert!(!pulse.on_trip(t + s(second), false, ONLINE), "{second}");
            assert_eq!(pulse.due(ONLINE), Some(t + s(second + 1)));
        }
        assert!(pulse.on_trip(t + s(60), false, ONLINE));
        pulse.start(t + s(61));
        assert!(!pulse.on_trip(t + s(62), false, ONLINE));
    }

    #[test]
    fn without_internet_nothing_is_blamed() {
        let (mut pulse, t) = pulse();
        let offline = Signs::default();
        pulse.on_trip(t, true, ONLINE);
        for second in 1..100 {
            assert!(!pulse.on_trip(t + s(second), false, offline), "{second}");
        }
        // It is back, and so should the tunnel be.
        assert!(pulse.on_trip(t + s(100), false, ONLINE));
    }

    #[test]
    fn while_the_far_end_is_heard_nothing_is_asked() {
        let (mut pulse, t) = pulse();
        pulse.on_trip(t, true, ONLINE);
        assert_eq!(pulse.due(heard()), None);
        // One that was under way.
        assert!(!pulse.on_trip(t + s(1), false, heard()));
    }

    #[test]
    fn a_silent_call_is_looked_into_at_once() {
        let (mut pulse, t) = pulse();
        pulse.on_trip(t, true, ONLINE);
        assert_eq!(pulse.due(silent()), Some(t + s(1)));
        assert!(!pulse.on_trip(t + s(4), false, silent()));
        assert_eq!(pulse.due(silent()), Some(t + s(5)));
        assert!(pulse.on_trip(t + s(8), false, silent()));
    }

    #[test]
    fn a_tunnel_that_brings_calls_is_believed_against_trips_that_never_work() {
        let (mut pulse, t) = pulse();
        assert_eq!(pulse.due(heard()), None);
        for second in 1..200 {
            assert!(!pulse.on_trip(t + s(second), false, ONLINE), "{second}");
        }
        pulse.on_trip(t + s(200), true, ONLINE);
        for second in [201, 202] {
            assert!(!pulse.on_trip(t + s(second), false, ONLINE), "{second}");
        }
        assert!(pulse.on_trip(t + s(203), false, ONLINE));
    }

    #[cfg(feature = "tunnel")]
    #[test]
    fn a_far_end_that_is_vouched_for_is_believed_until_a_trip_worked() {
        let (mut pulse, t) = pulse();
        pulse.vouch();
        assert!(pulse.is_up());
        assert!(!pulse.on_trip(t + s(100), false, ONLINE));
        pulse.start(t + s(100));
        assert!(!pulse.is_up());
        assert!(pulse.on_trip(t + s(200), false, ONLINE));
    }

    #[test]
    fn pauses_double_until_something_was_carried() {
        let mut pauses = Pauses::new(&Timing::default());
        let ms: Vec<_> = (0..9).map(|_| pauses.next(false, 0).as_millis()).collect();
        let want = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
        assert_eq!(ms, want);
        assert_eq!(pauses.next(true, 0), Duration::from_millis(500));
        assert!(pauses.next(false, 255) < Duration::from_millis(1250));
    }
}
