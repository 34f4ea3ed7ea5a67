//! Wall time on a board without a battery clock.
//!
//! Deadlines use `Instant` and never come here. Wall time is needed in three
//! places only: in records, in the age of a signature, and in a hold-off that
//! outlives a restart. A Raspberry Pi starts with whatever time it had last,
//! or with 1970, so each use says how far the clock is believed:
//!
//! ```text
//!  system clock ──▶ WallClock ──▶ Reading { stamp, trusted } ──▶ records
//!                     ▲     ▲
//!    max(build date,  │     │ the service's time now, by its last Date header
//!    last saved) ─────┘     └── edge::rest ──▶ age of signatures
//! ```
//!
//! - A reading is trusted when the service's own clock confirms it. Where the
//!   two disagree the service wins: its answers come over TLS.
//! - An unconfirmed reading is never before max(build date, last saved).
//! - Only trusted readings are worth saving ([`Reading::trusted`]): a clock
//!   that ran ahead once would hold all later records in its future.
//!
//! The build date is a constant that moves with the version, or
//! `SOURCE_DATE_EPOCH` where the packager sets it. A build script would say the same and make every
//! build different.
//!
//! Units: [`Stamp`] counts milliseconds since 1970 UTC. Nothing here reads a
//! clock but [`Stamp::system`]; time comes in as arguments. Any thread.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// When this version was made, in seconds since 1970: no correct clock shows
/// an earlier time. 2026-11-22; moves with the version.
const RELEASED: i64 = 1_795_305_600;

/// How far the system clock may be from the service's before it is called
/// wrong. A `Date` header counts whole seconds and arrives late by the line's
/// delay; people who read the record do not mind five seconds.
const AGREEMENT: Duration = Duration::from_secs(5);

/// A moment in wall time: milliseconds since 1970 UTC. `Display` is RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(i64);

impl Stamp {
    /// The moment `ms` milliseconds after 1970 UTC. What no calendar has (before
    /// the year -9999 or after 9999) becomes the nearest moment one has.
    #[must_use]
    pub fn from_unix_ms(ms: i64) -> Self {
        let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        Self(ms.clamp(first * 1000, last * 1000))
    }

    /// What the system clock shows now, right or wrong.
    #[must_use]
    pub fn system() -> Self {
        let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        Self::from_unix_ms(ms)
    }

    /// The moment this program was built, as far as it knows.
    #[must_use]
    pub fn built() -> Self {
        let seconds = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
        Self::from_unix_ms(seconds.unwrap_or(RELEASED).saturating_mul(1000))
    }

    /// Reads an RFC 3339 date, as the service and this type write it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Timestamp::into)
    }

    /// Milliseconds since 1970 UTC.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// How long this is after `earlier`; zero when it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment `later` after this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        let later = i64::try_from(later.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_ms(self.0.saturating_add(later))
    }

    /// The moment `earlier` before this one.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        let earlier = i64::try_from(earlier.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_ms(self.0.saturating_sub(earlier))
    }

    fn distance(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    fn to_jiff(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The moment as part of a file name: `20261122T144902Z`.
    #[must_use]
    pub fn for_file_name(self) -> String {
        self.to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string()
    }
}

impl From<Timestamp> for Stamp {
    fn from(moment: Timestamp) -> Self {
        Self(moment.as_millisecond())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

/// The wall clock as it was read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The time to write down.
    pub stamp: Stamp,
    /// Whether the service's clock confirms it.
    pub trusted: bool,
}

/// The wall clock of the device: the system's, checked.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    floor: Stamp,
}

impl WallClock {
    /// A clock that never shows, unconfirmed, a time before this program was
    /// built or before `saved`, the last trusted reading on disk.
    #[must_use]
    pub fn new(saved: Option<Stamp>) -> Self {
        let built = Stamp::built();
        let floor = saved.map_or(built, |saved| saved.max(built));
        Self { floor }
    }

    /// Judges what the system clock shows by `server`, the service's time at
    /// the same moment ([`Rest::service_time`](super::rest::Rest::service_time)).
    #[must_use]
    pub fn read(&self, system: Stamp, server: Option<Stamp>) -> Reading {
        match server {
            Some(server) if system.distance(server) <= AGREEMENT => Reading {
                stamp: system,
                trusted: true,
            },
            Some(server) => Reading {
                stamp: server,
                trusted: true,
            },
            None => Reading {
                stamp: system.max(self.floor),
                trusted: false,
            },
        }
    }
}

/// A wait the service ordered (`Retry-After`), in a form that outlives a
/// restart: what remained, and when that was written down. Time without power
/// counts only when that clock and the present one are trusted; otherwise the
/// whole rest is waited again, since calling early only lengthens the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldOff {
    /// What remained to wait.
    pub remaining: Duration,
    /// The wall clock at that moment.
    pub saved: Reading,
}

impl HoldOff {
    /// Reads what `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let remaining = Duration::from_secs(words.next()?.parse().ok()?);
        let stamp = Stamp::parse(words.next()?)?;
        let trusted = match words.next() {
            None => true,
            Some("untrusted") => false,
            Some(_) => return None,
        };
        let saved = Reading { stamp, trusted };
        words.next().is_none().then_some(Self { remaining, saved })
    }
}

/// `3600 2026-11-22T14:49:02.000Z`, with ` untrusted` behind it when the clock
/// was not confirmed. Seconds are rounded up.
impl fmt::Display for HoldOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.remaining.as_millis().div_ceil(1000);
        let doubt = if self.saved.trusted { "" } else { " untrusted" };
        write!(f, "{seconds} {}{doubt}", self.saved.stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str) -> Stamp {
        Stamp::parse(text).unwrap()
    }

    #[test]
    fn stamps_are_written_as_they_are_read() {
        let text = "2026-11-22T14:49:02.007Z";
        assert_eq!(stamp(text).to_string(), text);
        assert_eq!(stamp(text).for_file_name(), "20261122T144902Z");
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            let made = Stamp::from_unix_ms(ms);
            assert_eq!(stamp(&made.to_string()), made, "{ms}");
        }
    }

    #[test]
    fn a_board_that_starts_in_1970_shows_the_last_saved_time() {
        let board = Stamp::from_unix_ms(12_000);
        let built = WallClock::new(None).read(board, None);
        assert_eq!((built.stamp, built.trusted), (Stamp::built(), false));

        let saved = Stamp::built().plus(Duration::from_secs(3600));
        let shown = WallClock::new(Some(saved)).read(board, None);
        assert_eq!((shown.stamp, shown.trusted), (saved, false));

        let ancient = Stamp::from_unix_ms(1);
        let shown = WallClock::new(Some(ancient)).read(board, None);
        assert_eq!(shown.stamp, Stamp::built());
    }

    #[test]
    fn the_service_confirms_or_corrects_the_clock() {
        let clock = WallClock::new(None);
        let server = stamp("2027-03-01T12:00:00Z");
        for (system, want) in [
            ("2027-03-01T12:00:04.500Z", "2027-03-01T12:00:04.500Z"),
            ("2027-03-01T11:59:55Z", "2027-03-01T11:59:55Z"),
            ("2027-03-01T12:00:05.001Z", "2027-03-01T12:00:00Z"),
            ("2099-01-01T00:00:00Z", "2027-03-01T12:00:00Z"),
            ("1970-01-01T00:00:00Z", "2027-03-01T12:00:00Z"),
        ] {
            let reading = clock.read(stamp(system), Some(server));
            assert_eq!(
                (reading.stamp, reading.trusted),
                (stamp(want), true),
                "{system}"
            );
        }
    }

    #[test]
    fn the_service_wins_over_a_saved_time_from_the_future() {
        let clock = WallClock::new(Some(stamp("2099-01-01T00:00:00Z")));
        let server = stamp("2027-03-01T12:00:00Z");
        assert_eq!(clock.read(Stamp::built(), Some(server)).stamp, server);
    }

    #[test]
    fn a_hold_off_survives_as_text() {
        for trusted in [true, false] {
            let saved = Reading {
                stamp: stamp("2026-11-22T14:00:00.250Z"),
                trusted,
            };
            let hold = HoldOff {
                remaining: Duration::from_secs(86_399),
                saved,
            };
            assert_eq!(HoldOff::parse(&hold.to_string()), Some(hold));
        }
        for text in [
            "",
            "600",
            "x 2026-11-22T14:00:00Z",
            "600 never",
            "6 2026-11-22T14:00:00Z a",
        ] {
            assert_eq!(HoldOff::parse(text), None, "{text}");
        }
    }
}
