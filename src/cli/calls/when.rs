//! Moments as people write them: `2h`, `yesterday`, `2026-11-20`, RFC 3339.
//!
//! Days and times of day are those of the device's time zone.

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, Zoned};

use crate::edge::clock::Stamp;

/// A stretch of time somebody named: a moment, or a whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// This many milliseconds ago.
    Ago(u64),
    /// This many days before today.
    DaysAgo(u8),
    Day(Date),
    Local(DateTime),
    Instant(Timestamp),
}

/// A text that names no time.
#[derive(Debug, thiserror::Error)]
#[error(
    "write how long ago (30min, 2h, 3d), today, yesterday, 2026-11-20, \"2026-11-20 14:30\" or \
     2026-11-20T14:30:00Z"
)]
pub(super) struct BadTime;

impl When {
    pub(super) fn parse(text: &str) -> Result<Self, BadTime> {
        let text = text.trim();
        match text {
            "now" => return Ok(Self::Ago(0)),
            "today" => return Ok(Self::DaysAgo(0)),
            "yesterday" => return Ok(Self::DaysAgo(1)),
            _ => {}
        }
        // A date's parser takes a time of day as well, and forgets it.
        let is_date = text.len() == "2026-11-20".len();
        ago(text)
            .map(Self::Ago)
            .or_else(|| Some(Self::Day(text.parse().ok().filter(|_| is_date)?)))
            .or_else(|| text.parse().ok().map(Self::Instant))
            .or_else(|| text.parse().ok().map(Self::Local))
            .ok_or(BadTime)
    }

    /// Where it begins.
    pub(super) fn begin(self, now: &Zoned) -> Stamp {
        self.bounds(now).0
    }

    /// Where it ends: a day ends with the next one's first moment.
    pub(super) fn end(self, now: &Zoned) -> Stamp {
        self.bounds(now).1
    }

    fn bounds(self, now: &Zoned) -> (Stamp, Stamp) {
        let zone = now.time_zone();
        let local = |at: DateTime| at.to_zoned(zone.clone()).map(|at| at.timestamp());
        let day = |date: Date| {
            let first = local(date.at(0, 0, 0, 0)).unwrap_or(Timestamp::MIN);
            let next = date.tomorrow().and_then(|next| local(next.at(0, 0, 0, 0)));
            (first.into(), next.unwrap_or(Timestamp::MAX).into())
        };
        let moment = |at: Timestamp| (at.into(), at.into());
        match self {
            Self::Ago(ms) => {
                let at = Stamp::from(now.timestamp()).minus(std::time::Duration::from_millis(ms));
                (at, at)
            }
            Self::DaysAgo(days) => {
                let back = (0..days).try_fold(now.date(), |date, _| date.yesterday());
                day(back.unwrap_or(Date::MIN))
            }
            Self::Day(date) => day(date),
            Self::Local(at) => moment(local(at).unwrap_or(Timestamp::MAX)),
            Self::Instant(at) => moment(at),
        }
    }
}

/// `90s`, `30min`, `2h`, `3d`, `1w` as milliseconds.
fn ago(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit_at);
    let seconds = match unit.trim_start() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(seconds * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    /// Half past midnight, on the day after the clocks of Berlin went back.
    fn now() -> Zoned {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now: Timestamp = "2026-10-25T23:30:00Z".parse().unwrap();
        now.to_zoned(berlin)
    }

    fn bounds(text: &str) -> (String, String) {
        let when = When::parse(text).unwrap_or_else(|_| panic!("{text} is a time"));
        (when.begin(&now()).to_string(), when.end(&now()).to_string())
    }

    #[test]
    fn days_are_those_of_the_place() {
        let cases = [
            (
                "today",
                "2026-10-25T23:00:00.000Z",
                "2026-10-26T23:00:00.000Z",
            ),
            (
                "yesterday",
                "2026-10-24T22:00:00.000Z",
                "2026-10-25T23:00:00.000Z",
            ),
            (
                "2026-10-24",
                "2026-10-23T22:00:00.000Z",
                "2026-10-24T22:00:00.000Z",
            ),
        ];
        for (text, begin, end) in cases {
            assert_eq!(bounds(text), (begin.into(), end.into()), "{text}");
        }
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        let cases = [
            ("now", "2026-10-25T23:30:00.000Z"),
            ("2h", "2026-10-25T21:30:00.000Z"),
            ("90 s", "2026-10-25T23:28:30.000Z"),
            ("30min", "2026-10-25T23:00:00.000Z"),
            ("1m", "2026-10-25T23:29:00.000Z"),
            ("1w", "2026-10-18T23:30:00.000Z"),
            ("2026-11-20 14:30", "2026-11-20T13:30:00.000Z"),
            ("2026-11-20T14:30:01", "2026-11-20T13:30:01.000Z"),
            ("2026-11-20T14:30:00Z", "2026-11-20T14:30:00.000Z"),
            (" 2026-11-20T14:30:00.25+02:00 ", "2026-11-20T12:30:00.250Z"),
        ];
        for (text, want) in cases {
            assert_eq!(bounds(text), (want.into(), want.into()), "{text}");
        }
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        for text in ["18446744073709551615s", "9999-12-31", "-009999-01-01", "0s"] {
            if let Ok(when) = When::parse(text) {
                _ = (when.begin(&now()), when.end(&now()));
            }
        }
        _ = bounds("9999-12-31");
    }

    /// Times with their parts in any order, and letters changed.
    #[test]
    fn no_text_at_all_is_a_panic() {
        let parts = [
            "2026",
            "-",
            "11",
            "31",
            "T",
            "t",
            " ",
            "24:00",
            "23:59:60",
            ":",
            "Z",
            "+",
            "25:99",
            "99999999999999999999",
            "h",
            "min",
            "w",
            ".",
            "0",
            "é",
            "\u{0}",
            "[Europe/Berlin]",
            "-009999",
            "9999-12-31",
            "9223372036854775807s",
            "yesterday",
        ];
        let mut seed = 1_u32;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        let mut times = 0;
        for _ in 0..20_000 {
            let text: String = (0..=random(6))
                .map(|_| parts[random(parts.len())])
                .collect();
            if let Ok(when) = When::parse(&text) {
                assert!(when.begin(&now()) <= when.end(&now()), "{text}");
                times += 1;
            }
        }
        assert!(times > 100, "{times} of them are times");
    }

    #[test]
    fn what_is_no_time_says_what_is() {
        for text in [
            "",
            "2x",
            "h",
            "soon",
            "2026-13-01",
            "2026-11-31",
            "14:30",
            "-2h",
            "2026-11-20T",
        ] {
            assert!(When::parse(text).is_err(), "{text}");
        }
    }
}
