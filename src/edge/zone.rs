//! What the clock on the wall shows where the device stands: for hours of
//! the day, and for announcements that say the time.
//!
//! ```text
//!  Stamp (UTC) ──Zone::local──▶ Local: minute of the day, day of the week, words
//! ```
//!
//! Called at a press, at an announcement and once a second for schedules. The
//! rules of time zones are the system's (Debian package `tzdata`); summer time
//! is theirs.
//!
//! Always true: a minute of the day lies in 0 .. 1440.
//!
//! Thread: control runtime. `named` and `system` read files.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone};

use super::clock::Stamp;

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A name that is no time zone here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no time zone {0:?} on this machine; write one like Europe/Berlin \
     (`timedatectl list-timezones` lists them; the package tzdata has the rules)"
)]
pub struct NoZone(pub String);

/// A moment as people there say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Minutes since midnight.
    pub minute: u16,
    /// Day of the week.
    pub weekday: Weekday,
    date: Date,
    /// How far the zone is ahead of UTC.
    offset: Offset,
}

impl Zone {
    /// The machine's own zone; UTC where it has none.
    #[must_use]
    pub fn system() -> Self {
        Self(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// The zone of this name in the IANA database, like `Europe/Berlin`.
    ///
    /// # Errors
    /// There is none of that name here.
    pub fn named(name: &str) -> Result<Self, NoZone> {
        let zone = TimeZone::get(name).map_err(|_| NoZone(name.to_owned()))?;
        Ok(Self(zone))
    }

    /// Whether the machine has a zone of its own.
    #[must_use]
    pub fn system_is_set() -> bool {
        TimeZone::try_system().is_ok()
    }

    /// What the clock shows at `stamp`.
    #[must_use]
    pub fn local(&self, stamp: Stamp) -> Local {
        // A stamp is always within a calendar.
        let time = Timestamp::from_millisecond(stamp.unix_ms()).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = time.to_zoned(self.0.clone());
        let (hour, minute) = (local.hour().unsigned_abs(), local.minute().unsigned_abs());
        Local {
            minute: u16::from(hour) * 60 + u16::from(minute),
            weekday: local.weekday(),
            date: local.date(),
            offset: local.offset(),
        }
    }
}

impl From<Zone> for TimeZone {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

impl Local {
    /// `14:49`.
    #[must_use]
    pub fn clock(&self) -> String {
        format!("{:02}:{:02}", self.minute / 60, self.minute % 60)
    }

    /// `2026-11-22`.
    #[must_use]
    pub fn date(&self) -> String {
        self.date.to_string()
    }
}

impl fmt::Display for Local {
    /// `Sunday 14:49 (UTC+01)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {} (UTC{})",
            self.weekday,
            self.clock(),
            self.offset
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str, time: &str) -> (String, String, Weekday) {
        let local = Zone::named(zone)
            .unwrap()
            .local(Stamp::parse(time).unwrap());
        (local.date(), local.clock(), local.weekday)
    }

    #[test]
    fn summer_time_and_midnight_are_the_zones_own() {
        let cases = [
            (
                "UTC",
                "2026-11-22T23:59:59Z",
                "2026-11-22",
                "23:59",
                Weekday::Sunday,
            ),
            (
                "Europe/Berlin",
                "2026-11-22T23:59:59Z",
                "2026-11-23",
                "00:59",
                Weekday::Monday,
            ),
            // The night of 29 March 2026 has no 02:30 there.
            (
                "Europe/Berlin",
                "2026-03-29T00:59:59Z",
                "2026-03-29",
                "01:59",
                Weekday::Sunday,
            ),
            (
                "Europe/Berlin",
                "2026-03-29T01:00:00Z",
                "2026-03-29",
                "03:00",
                Weekday::Sunday,
            ),
            (
                "Asia/Kolkata",
                "1970-01-01T00:00:00Z",
                "1970-01-01",
                "05:30",
                Weekday::Thursday,
            ),
        ];
        for (zone, time, date, clock, weekday) in cases {
            let want = (date.to_owned(), clock.to_owned(), weekday);
            assert_eq!(at(zone, time), want, "{zone} {time}");
        }
    }

    #[test]
    fn a_name_that_is_no_zone_says_so() {
        let wrong = Zone::named("Europe/Atlantis").unwrap_err();
        assert!(wrong.to_string().contains("Europe/Atlantis"), "{wrong}");
    }
}
