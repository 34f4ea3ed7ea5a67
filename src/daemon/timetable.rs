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
    /// When it was last due: day and minute.
    last: Option<(String, u16)>,
    /// It is due, until then.
    due_until: Option<Instant>,
}

impl Timetable {
    pub(super) fn new(schedules: Vec<Schedule>) -> Self {
        let entry = |schedule| Entry {
            schedule,
            last: None,
            due_until: None,
        };
        Self(schedules.into_iter().map(entry).collect())
    }

    /// Notes what is due at this minute.
    pub(super) fn look(&mut self, now: Instant, local: &Local) {
        for entry in &mut self.0 {
            let minute = Some((local.date(), local.minute));
            if entry.schedule.is_due(local.minute, local.weekday) && entry.last != minute {
                entry.last = minute;
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
        Timetable::new(vec![Schedule {
            name: "test call".to_owned(),
            button: ButtonId(1),
            at: vec!["02:30".parse().unwrap()],
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
        let (mut table, now) = (table(), Instant::now());
        // 02:30 summer time, and an hour later 02:30 again.
        for (time, due) in [
            ("2026-10-25T00:30:00Z", true),
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
