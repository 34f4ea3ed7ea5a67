//! Announcements at set times: which are due, each once.
//!
//! Looked at once a second with what the clock on the wall shows. A minute
//! counts once a day, so that neither a clock that is put right by some
//! seconds nor the hour that comes twice in autumn makes a call twice; a
//! minute that is jumped over is not made up for.

use std::time::{Duration, Instant};

use super::setup::Schedule;
use crate::edge::zone::Local;
use crate::units::ButtonId;

/// How long an announcement that is due waits for a call to end.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// See the [module page](self).
#[derive(Debug)]
pub(super) struct Timetable(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    schedule: Schedule,
    /// The day it was last due, and at which minutes of it.
    day: String,
    done: Vec<u16>,
    /// It is due, until then.
    due_until: Option<Instant>,
}

impl Timetable {
    pub(super) fn new(schedules: Vec<Schedule>) -> Self {
        let entry = |schedule| Entry {
            schedule,
            day: String::new(),
            done: Vec::new(),
            due_until: None,
        };
        Self(schedules.into_iter().map(entry).collect())
    }

    /// Notes what is due at this minute.
    pub(super) fn look(&mut self, now: Instant, local: &Local) {
        for entry in &mut self.0 {
            if entry.schedule.is_due(local.minute, local.weekday) && entry.is_news(local) {
                entry.due_until = Some(now + PATIENCE);
            }
        }
    }

    /// The next announcement that is due and not too late: its name and button.
    pub(super) fn take(&mut self, now: Instant) -> Option<(String, ButtonId)> {
        for entry in &mut self.0 {
            if let Some(until) = entry.due_until.take()
                && now <= until
            {
                return Some((entry.schedule.name.clone(), entry.schedule.button));
            }
        }
        None
    }
}

impl Entry {
    /// Whether this minute of this day has not counted yet; now it has.
    fn is_news(&mut self, local: &Local) -> bool {
        let day = local.date();
        if self.day != day {
            self.day = day;
            self.done.clear();
        }
        let is_news = !self.done.contains(&local.minute);
        if is_news {
            self.done.push(local.minute);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Days;
    use crate::edge::clock::Stamp;
    use crate::edge::zone::Zone;

    fn at(time: &str) -> Local {
        let zone = Zone::named("Europe/Berlin").unwrap();
        zone.local(Stamp::parse(time).unwrap())
    }

    fn table() -> Timetable {
        table_of(&["02:30"])
    }

    fn table_of(times: &[&str]) -> Timetable {
        Timetable::new(vec![Schedule {
            name: "test call".to_owned(),
            button: ButtonId(1),
            at: times.iter().map(|time| time.parse().unwrap()).collect(),
            days: Days::ALL,
        }])
    }

    #[test]
    fn a_time_is_due_once_a_day() {
        let (mut table, now) = (table(), Instant::now());
        let seen: Vec<&str> = [
            "2026-11-22T01:29:59Z",
            "2026-11-22T01:30:00Z",
            "2026-11-22T01:30:59Z",
            "2026-11-22T01:31:00Z",
            "2026-11-23T01:30:10Z",
        ]
        .into_iter()
        .filter(|time| {
            table.look(now, &at(time));
            table.take(now).is_some()
        })
        .collect();
        assert_eq!(seen, ["2026-11-22T01:30:00Z", "2026-11-23T01:30:10Z"]);
    }

    #[test]
    fn the_hour_that_comes_twice_calls_once() {
        let (mut table, now) = (table_of(&["02:10", "02:30"]), Instant::now());
        // Summer time, and an hour later both again.
        for (time, due) in [
            ("2026-10-25T00:10:00Z", true),
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T01:10:00Z", false),
            ("2026-10-25T01:30:00Z", false),
        ] {
            table.look(now, &at(time));
            assert_eq!(table.take(now).is_some(), due, "{time}");
        }
    }

    #[test]
    fn what_waited_too_long_is_let_go() {
        let (mut table, now) = (table(), Instant::now());
        table.look(now, &at("2026-11-22T01:30:00Z"));
        assert_eq!(table.take(now + PATIENCE + Duration::from_secs(1)), None);
    }
}
