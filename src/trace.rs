//! What the device can say about itself afterwards: counters, and a ring of
//! the latest events.
//!
//! Every queue that can be full, every time-out and every input that is
//! refused has a [`Counter`]; `callbox status` shows those that are not zero.
//! The ring keeps the last [`EVENTS`] events with the monotonic time they
//! happened at; it is dumped by `callbox status --trace` and when the daemon
//! panics.
//!
//! Threads: counting is one relaxed atomic add, from any thread. The ring
//! takes a lock: never from the audio thread, which keeps counters of its own
//! (`audio::Stats`).

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Events the ring holds; the oldest gives way.
pub const EVENTS: usize = 256;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Something that is counted, by what happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Counter { $($(#[doc = $doc])+ $name,)+ }

        impl Counter {
            /// All of them, in the order they are shown.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// The name `callbox status` shows: words joined by `_`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

counters! {
    /// A qualified press that started a call.
    Presses = "presses",
    /// A press that was acknowledged and did nothing: a call was up.
    PressesInCall = "presses_in_call",
    /// A press refused by a limit, a lock or a full queue.
    PressesRefused = "presses_refused",
    /// Edges that never added up to a press.
    NoiseBursts = "noise_bursts",
    /// A button held so long that it was locked.
    StuckButtons = "stuck_buttons",
    /// GPIO events the kernel dropped because its buffer was full.
    GpioOverflows = "gpio_overflows",
    /// Times the lamp's pin began to refuse.
    LampFaults = "lamp_faults",
    /// Times a door relay's pin began to refuse.
    RelayFaults = "relay_faults",
    /// REST requests sent.
    RestRequests = "rest_requests",
    /// REST requests that ran into their time-out.
    RestTimeouts = "rest_timeouts",
    /// REST answers that could not be read.
    RestMalformed = "rest_malformed",
    /// REST answers above the size limit.
    RestOversized = "rest_oversized",
    /// Place-call outcomes that had to be looked up.
    UnknownOutcomes = "unknown_outcomes",
    /// Calls found up at start and ended.
    OrphansEnded = "orphans_ended",
    /// Inbound streams that were not let in: unknown to the service, from
    /// somebody who is not on the list, in quiet hours, too many at once.
    InboundTurnedAway = "inbound_turned_away",
    /// Calls whose end was never confirmed within the bound.
    CallsGivenUp = "calls_given_up",
    /// Requests of the call machine that nobody answered in time.
    AnswersMissed = "answers_missed",
    /// Calls that could not be followed because the table was full.
    AttemptsCrowded = "attempts_crowded",
    /// Inbound calls that were not let in: another was up, or they are refused.
    CallsTurnedAway = "calls_turned_away",
    /// Announcements the service did not say were played, within the bound.
    AnnouncementsUnheard = "announcements_unheard",
    /// Keys the door did not look at: too many without its code.
    KeysIgnored = "keys_ignored",
    /// Connections the ingress accepted.
    IngressConnections = "ingress_connections",
    /// Connections that gave way, or were refused, because too many were open.
    IngressCrowded = "ingress_crowded",
    /// Connections that ran into the handshake time-out.
    IngressTimeouts = "ingress_timeouts",
    /// Connections that did not speak TLS where TLS is wanted.
    IngressTls = "ingress_tls_errors",
    /// Handshakes refused: wrong path.
    HandshakesUnknownPath = "handshakes_unknown_path",
    /// Handshakes refused: not HTTP, not a WebSocket, too large.
    HandshakesMalformed = "handshakes_malformed",
    /// Handshakes refused: signature missing, wrong, stale or replayed.
    HandshakesForged = "handshakes_forged",
    /// Handshakes refused: another call's id, or a call that is not inbound on
    /// the path of those that are.
    HandshakesOtherCall = "handshakes_other_call",
    /// Handshakes let in before the service's time was known.
    HandshakesUnjudged = "handshakes_unjudged",
    /// Times the tunnel was started.
    TunnelStarts = "tunnel_starts",
    /// Times the tunnel ended by itself, or did not start.
    TunnelEnds = "tunnel_ends",
    /// Times the tunnel was ended because nothing came through it any more.
    TunnelHangs = "tunnel_hangs",
    /// Round trips through the tunnel that worked.
    TunnelTrips = "tunnel_trips",
    /// Round trips through the tunnel that failed.
    TunnelTripsFailed = "tunnel_trips_failed",
    /// Lines of the tunnel program that were too many to be logged.
    TunnelLinesDropped = "tunnel_lines_dropped",
    /// Media messages taken in.
    MediaIn = "media_in",
    /// Media messages sent.
    MediaOut = "media_out",
    /// Messages that could not be read.
    MediaMalformed = "media_malformed",
    /// Events we do not know.
    MediaUnknownEvents = "media_unknown_events",
    /// Messages known and of no use: words where sound was asked for, sound
    /// where words were, marks that are not ours.
    MediaUnused = "media_unused",
    /// Lines of a call's transcript beyond those that are kept.
    LinesDropped = "lines_dropped",
    /// Keys of the far end beyond what a person presses in a second.
    DigitsFlooded = "digits_flooded",
    /// Messages with our own voice, sent back to us.
    MediaOwnTrack = "media_own_track",
    /// Payloads larger than we take, and messages above the size limit.
    MediaOversized = "media_oversized",
    /// Uplink packets dropped because they were older than 100 ms.
    UplinkStale = "uplink_stale",
    /// Times the socket could not take more and sending paused.
    UplinkBlocked = "uplink_blocked",
    /// Times what the far end still held of our sound was dropped.
    UplinkCleared = "uplink_cleared",
    /// Uplink packets dropped because the stream declared another encoding.
    UplinkMiscoded = "uplink_miscoded",
    /// Downlink packets refused by a full ring.
    DownlinkFull = "downlink_full",
    /// Sockets that dropped in mid-call.
    SocketsDropped = "sockets_dropped",
    /// Sockets closed because nothing came any more.
    SocketsIdle = "sockets_idle",
    /// Sockets that took over a call from an older one.
    SocketsTakenOver = "sockets_taken_over",
    /// Late streams answered with `stop`.
    LateStreams = "late_streams",
    /// Sound only one way for three seconds.
    OneWayAudio = "one_way_audio",
    /// Times a microphone was too loud to be understood.
    BadSound = "bad_sound",
    /// Records that had to wait for the store.
    RecordsWaited = "records_waited",
    /// Records given up: the disk took none, and memory was full.
    RecordsLost = "records_lost",
    /// Store operations that failed.
    StoreErrors = "store_errors",
    /// Control connections refused.
    ControlRefused = "control_refused",
    /// Events the daemon's queue had no room for.
    EventsDropped = "events_dropped",
}

/// An event worth keeping for a look back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Monotonic time since the process started.
    pub at: Duration,
    /// The part it comes from: `call`, `panel`, `socket`, …
    pub area: &'static str,
    /// What happened, without secrets or full numbers.
    pub what: String,
}

/// The line of the event in a dump.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_secs_f64();
        write!(f, "{at:>10.3} {:<8} {}", self.area, self.what)
    }
}

/// Counters and ring. One per process, shared by reference.
#[derive(Debug)]
pub struct Trace {
    counters: [AtomicU64; Counter::ALL.len()],
    ring: Mutex<VecDeque<Event>>,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            counters: [const { AtomicU64::new(0) }; Counter::ALL.len()],
            ring: Mutex::new(VecDeque::with_capacity(EVENTS)),
        }
    }
}

impl Trace {
    /// Counts one. Any thread.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `n`. Any thread.
    pub fn add(&self, counter: Counter, n: u64) {
        self.counters[counter as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn read(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// Keeps an event, and forgets the oldest when the ring is full. Takes a
    /// lock for the length of one push: not for the audio thread.
    pub fn event(&self, at: Duration, area: &'static str, what: impl Into<String>) {
        let what = what.into();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == EVENTS {
            ring.pop_front();
        }
        ring.push_back(Event { at, area, what });
    }

    /// The events held, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_latest() {
        let trace = Trace::default();
        for n in 0..EVENTS + 3 {
            trace.event(Duration::from_millis(n as u64), "test", n.to_string());
        }
        let events = trace.events();
        assert_eq!(events.len(), EVENTS);
        assert_eq!(events[0].what, "3");
        assert_eq!(events[0].to_string(), "     0.003 test     3");
    }

    #[test]
    fn counters_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = Counter::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
    }
}
