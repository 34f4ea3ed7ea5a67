//! Times of the week: when a number is the right one to call, when a chime
//! would wake somebody, when an announcement is due.
//!
//! ```text
//!  "mon-fri 08:00-18:00, sat 09:00-12:00" ─▶ Hours ─▶ contains(minute, weekday)
//! ```
//!
//! Units: minutes of the day from 0 to 1439, on the clock of the wall. There
//! is no clock here: the time is an argument.
//!
//! Always true: a span that ends before it begins goes over midnight, and
//! belongs to the day it begins on; its end is not in it.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Spans in one setting.
const SPANS_MAX: usize = 8;

/// Times of the week: those in some spans, or all but those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    spans: Vec<Span>,
    outside: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// The days it begins on.
    days: Days,
    from: u16,
    /// Not in it; up to [`DAY`].
    to: u16,
}

impl Hours {
    /// All of the week.
    #[must_use]
    pub fn always() -> Self {
        Self {
            spans: Vec::new(),
            outside: true,
        }
    }

    /// Nothing of it.
    #[must_use]
    pub fn never() -> Self {
        Self {
            spans: Vec::new(),
            outside: false,
        }
    }

    /// Everything that is not in these.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self {
            spans: self.spans.clone(),
            outside: !self.outside,
        }
    }

    /// Whether they hold at this minute of this day.
    #[must_use]
    pub fn contains(&self, minute_of_day: u16, weekday: Weekday) -> bool {
        let within = |span: &Span| span.contains(minute_of_day, weekday);
        self.spans.iter().any(within) != self.outside
    }

    /// The first time of the week, from Monday on, that is in none of these.
    /// They change only where a span begins or ends, and at midnight.
    #[must_use]
    pub fn gap(all: &[Self]) -> Option<(Weekday, TimeOfDay)> {
        let spans = all.iter().flat_map(|hours| &hours.spans);
        let mut edges: Vec<u16> = spans.flat_map(|span| [span.from, span.to % DAY]).collect();
        edges.push(0);
        edges.sort_unstable();
        let days = std::iter::successors(Some(Weekday::Monday), |day| Some(day.next()));
        let mut times = days
            .take(7)
            .flat_map(|day| edges.iter().map(move |minute| (day, *minute)));
        let (day, minute) =
            times.find(|(day, minute)| !all.iter().any(|h| h.contains(*minute, *day)))?;
        Some((day, TimeOfDay(minute)))
    }
}

impl Span {
    fn contains(&self, minute: u16, weekday: Weekday) -> bool {
        if self.from < self.to {
            return self.days.contains(weekday) && (self.from..self.to).contains(&minute);
        }
        let evening = self.days.contains(weekday) && minute >= self.from;
        let morning = self.days.contains(weekday.previous()) && minute < self.to;
        evening || morning
    }
}

impl FromStr for Hours {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        let spans: Vec<Span> = text.split(',').map(span).collect::<Result<_, _>>()?;
        match spans.len() {
            1..=SPANS_MAX => Ok(Self {
                spans,
                outside: false,
            }),
            _ => Err(BadHours::Many),
        }
    }
}

/// `[days …] HH:MM-HH:MM`
fn span(text: &str) -> Result<Span, BadHours> {
    let bad = || BadHours::Form(clip(text));
    let (days, times) = match text.trim().rsplit_once(char::is_whitespace) {
        Some((days, times)) => (days.parse().map_err(|_| bad())?, times),
        None => (Days::ALL, text.trim()),
    };
    let (from, to) = times.split_once('-').ok_or_else(bad)?;
    let from = minute(from).ok_or_else(bad)?;
    let to = minute(to).ok_or_else(bad)?;
    if from == DAY {
        return Err(bad());
    }
    if from == to {
        return Err(BadHours::Empty(clip(text)));
    }
    Ok(Span { days, from, to })
}

/// `HH:MM`, up to `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse());
    let (hours, minutes): (u16, u16) = (two(hours)?.ok()?, two(minutes)?.ok()?);
    let at = hours * 60 + minutes;
    (minutes < 60 && at <= DAY).then_some(at)
}

/// What was written, short enough for a message.
fn clip(text: &str) -> String {
    text.trim().chars().take(40).collect()
}

impl fmt::Display for Hours {
    /// As in the file. Times outside others have no form there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, span) in self.spans.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            if span.days != Days::ALL {
                write!(f, "{} ", span.days)?;
            }
            write!(f, "{}-{}", TimeOfDay(span.from), TimeOfDay(span.to))?;
        }
        Ok(())
    }
}

/// Why a text names no times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHours {
    /// Not of the form.
    #[error(
        "{0:?} names no hours; write them like \"22:00-07:00\" or \"mon-fri 08:00-18:00, sat 09:00-12:00\""
    )]
    Form(String),
    /// It ends where it begins.
    #[error("{0:?} begins and ends at once; the whole day is \"00:00-24:00\"")]
    Empty(String),
    /// Too many spans.
    #[error("there are more than {SPANS_MAX} spans in it")]
    Many,
}

/// A minute of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Minutes since midnight, 0 to 1439.
    #[must_use]
    pub fn minute(self) -> u16 {
        self.0
    }
}

impl FromStr for TimeOfDay {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        let at = minute(text.trim()).filter(|at| *at < DAY);
        at.map(Self).ok_or_else(|| BadTime(clip(text)))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A text that is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time of day; write it like \"07:30\", from 00:00 to 23:59")]
pub struct BadTime(String);

/// Some days of the week, one bit a day from Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Days {
    /// Every day.
    pub const ALL: Self = Self(0x7F);

    /// Whether this day is one of them.
    #[must_use]
    pub fn contains(self, day: Weekday) -> bool {
        self.0 >> day.to_monday_zero_offset() & 1 == 1
    }
}

impl FromStr for Days {
    type Err = BadDays;

    /// Names and spans of days with spaces between, like `mon-wed sat`.
    fn from_str(text: &str) -> Result<Self, BadDays> {
        let bad = || BadDays(clip(text));
        let day = |name: &str| NAMES.iter().position(|n| *n == name);
        let mut days = 0;
        for word in text.split_whitespace() {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let (first, last) = (day(first).ok_or_else(bad)?, day(last).ok_or_else(bad)?);
            let count = (last + 7 - first) % 7;
            days |= (0..=count).fold(0, |days, n| days | 1 << ((first + n) % 7));
        }
        match days {
            0 => Err(bad()),
            days => Ok(Self(days)),
        }
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().enumerate();
        let names = named.filter(|(n, _)| self.0 >> n & 1 == 1);
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        f.write_str(&names.join(" "))
    }
}

/// A text that names no days.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no days; write them like \"mon-fri\" or \"mon wed sat\"")]
pub struct BadDays(String);

/// When a number of a button's list is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum When {
    /// At any time.
    #[default]
    Always,
    /// Outside the configured night.
    Day,
    /// In the configured night.
    Night,
    /// At times of its own.
    At(Hours),
}

impl When {
    /// The times it stands for, once it is known what night is.
    #[must_use]
    pub fn hours(&self, night: &Hours) -> Hours {
        match self {
            Self::Always => Hours::always(),
            Self::Day => night.complement(),
            Self::Night => night.clone(),
            Self::At(hours) => hours.clone(),
        }
    }
}

impl FromStr for When {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        match text.trim() {
            "always" => Ok(Self::Always),
            "day" => Ok(Self::Day),
            "night" => Ok(Self::Night),
            hours => hours.parse().map(Self::At),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Day => f.write_str("day"),
            Self::Night => f.write_str("night"),
            Self::At(hours) => hours.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday};

    use super::*;

    fn hours(text: &str) -> Hours {
        text.parse().unwrap()
    }

    fn at(text: &str) -> u16 {
        minute(text).unwrap()
    }

    #[test]
    fn a_span_holds_from_its_first_minute_to_before_its_last() {
        let cases = [
            ("08:00-18:00", "07:59", Monday, false),
            ("08:00-18:00", "08:00", Monday, true),
            ("08:00-18:00", "17:59", Sunday, true),
            ("08:00-18:00", "18:00", Sunday, false),
            ("00:00-24:00", "00:00", Monday, true),
            ("00:00-24:00", "23:59", Monday, true),
            ("22:00-07:00", "21:59", Monday, false),
            ("22:00-07:00", "22:00", Monday, true),
            ("22:00-07:00", "23:59", Monday, true),
            ("22:00-07:00", "00:00", Tuesday, true),
            ("22:00-07:00", "06:59", Tuesday, true),
            ("22:00-07:00", "07:00", Tuesday, false),
            ("22:00-00:00", "23:59", Monday, true),
            ("22:00-00:00", "00:00", Tuesday, false),
            // Friday's night ends on Saturday; Saturday has none of its own.
            ("mon-fri 22:00-06:00", "23:00", Friday, true),
            ("mon-fri 22:00-06:00", "05:59", Saturday, true),
            ("mon-fri 22:00-06:00", "23:00", Saturday, false),
            ("mon-fri 22:00-06:00", "05:59", Monday, false),
            // From Sunday's night into Monday's morning.
            ("sun 22:00-06:00", "05:59", Monday, true),
            ("sat-mon 10:00-11:00", "10:00", Sunday, true),
            ("sat-mon 10:00-11:00", "10:00", Tuesday, false),
            ("mon thu 10:00-11:00", "10:30", Thursday, true),
            ("08:00-12:00, 13:00-18:00", "12:30", Monday, false),
            ("08:00-12:00, 13:00-18:00", "13:00", Monday, true),
        ];
        for (text, time, day, want) in cases {
            let case = format!("{text} at {time} on {day:?}");
            assert_eq!(hours(text).contains(at(time), day), want, "{case}");
            let other = hours(text).complement();
            assert_eq!(other.contains(at(time), day), !want, "not {case}");
        }
    }

    #[test]
    fn every_minute_of_the_week_is_in_always_and_none_in_never() {
        let days = std::iter::successors(Some(Monday), |day| Some(day.next()));
        for day in days.take(7) {
            for minute in 0..DAY {
                assert!(Hours::always().contains(minute, day));
                assert!(!Hours::never().contains(minute, day));
                assert!(hours("00:00-24:00").contains(minute, day));
            }
        }
    }

    #[test]
    fn a_gap_is_found_where_it_begins() {
        let cases = [
            (&["08:00-18:00"][..], Some((Monday, "00:00"))),
            (&["08:00-18:00", "18:00-08:00"], None),
            (&["mon-fri 00:00-24:00"], Some((Saturday, "00:00"))),
            (&["00:00-24:00"], None),
            (&["08:00-18:00", "19:00-08:00"], Some((Monday, "18:00"))),
            (&["22:00-21:00"], Some((Monday, "21:00"))),
            // Nobody's night leads into Monday's morning.
            (&["mon-sat 22:00-21:00"], Some((Monday, "00:00"))),
            (&[], Some((Monday, "00:00"))),
        ];
        for (all, want) in cases {
            let all: Vec<Hours> = all.iter().map(|text| hours(text)).collect();
            let want = want.map(|(day, text)| (day, text.parse().unwrap()));
            assert_eq!(Hours::gap(&all), want, "{all:?}");
        }
        assert_eq!(
            Hours::gap(&[hours("22:00-07:00"), hours("22:00-07:00").complement()]),
            None
        );
    }

    #[test]
    fn what_names_no_hours_says_what_to_write() {
        let many = ["01:00-02:00"; 9].join(",");
        let cases = [
            ("", "names no hours"),
            ("8-18", "names no hours"),
            ("08:00", "names no hours"),
            ("08:00-25:00", "names no hours"),
            ("24:00-07:00", "names no hours"),
            ("08:60-09:00", "names no hours"),
            ("+8:00-09:00", "names no hours"),
            ("mo 08:00-09:00", "names no hours"),
            ("08:00-09:00 mon", "names no hours"),
            ("08:00-09:00,", "names no hours"),
            ("08:00-08:00", "begins and ends at once"),
            (&many, "more than 8 spans"),
        ];
        for (text, want) in cases {
            let said = text.parse::<Hours>().unwrap_err().to_string();
            assert!(said.contains(want), "{text:?}: {said}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in [
            "22:00-07:00",
            "mon tue wed thu fri 08:00-18:00, sat 09:00-24:00",
        ] {
            assert_eq!(hours(text).to_string(), text);
        }
        for text in ["always", "day", "night", "sun 01:00-02:00"] {
            assert_eq!(text.parse::<When>().unwrap().to_string(), text);
        }
        assert_eq!("07:30".parse::<TimeOfDay>().unwrap().to_string(), "07:30");
        assert!("24:00".parse::<TimeOfDay>().is_err());
        assert!("mon-".parse::<Days>().is_err());
        assert!("".parse::<Days>().is_err());
    }
}
