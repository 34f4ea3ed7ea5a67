//! How much of our sound waits beyond the kernel, where nobody can look.

use std::time::Duration;

use tokio::time::Instant;

/// How often the far backlog is measured.
pub const MARK_PERIOD: Duration = Duration::from_secs(2);
/// Far backlog that is dropped rather than listened to.
pub const FAR_MAX: Duration = Duration::from_millis(400);
/// A mark this much later than the best one: something beyond the kernel
/// holds everything back, so nothing more is sent into it …
const MARK_LATE: Duration = Duration::from_secs(1);
/// … for this long at most, since it may only be the mark that is lost, and a
/// service ends calls that are silent.
const MARK_PAUSE: Duration = Duration::from_secs(3);
/// A mark this old will not come back.
const MARK_LOST: Duration = Duration::from_secs(10);

/// Measures how long sound takes to be played, by marks that come back then.
#[derive(Debug)]
pub(super) struct Marks {
    count: u32,
    next: Instant,
    /// When the one on its way was sent.
    sent: Option<Instant>,
    /// The shortest time one took.
    best: Option<Duration>,
}

impl Marks {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            count: 0,
            next: now + MARK_PERIOD,
            sent: None,
            best: None,
        }
    }

    fn name(&self) -> String {
        format!("callbox-{}", self.count)
    }

    /// The next mark's name, when it is time and the one before is back.
    pub(super) fn due(&mut self, now: Instant) -> Option<String> {
        if self.sent.is_some_and(|at| now - at > MARK_LOST) {
            // A service that does not answer must not make us pause.
            self.sent = None;
            self.best = None;
        }
        if now < self.next || self.sent.is_some() {
            return None;
        }
        self.next = now + MARK_PERIOD;
        self.sent = Some(now);
        self.count += 1;
        Some(self.name())
    }

    pub(super) fn echo(&mut self, name: &str, now: Instant) -> Option<Duration> {
        if name != self.name() {
            return None;
        }
        Some(now - self.sent.take()?)
    }

    /// Whether so much waits that it should be dropped. The next mark is then
    /// the new measure: if dropping does not help, the far end needs that time.
    pub(super) fn judge(&mut self, took: Duration) -> bool {
        let best = self.best.map_or(took, |best| best.min(took));
        let late = took - best > FAR_MAX;
        self.best = (!late).then_some(best);
        late
    }

    pub(super) fn overdue(&self, now: Instant) -> bool {
        let (Some(sent), Some(best)) = (self.sent, self.best) else {
            return false;
        };
        let late = best + MARK_LATE;
        (late..late + MARK_PAUSE).contains(&(now - sent))
    }

    pub(super) fn forget(&mut self) {
        self.sent = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Marks that have come back once, after 100 ms; a mark is due at the end.
    fn measured() -> (Marks, Instant) {
        let start = Instant::now();
        let mut marks = Marks::new(start);
        let due = start + MARK_PERIOD;
        let name = marks.due(due).unwrap();
        let took = marks.echo(&name, due + 100 * MS).unwrap();
        assert_eq!(took, 100 * MS);
        assert!(!marks.judge(took));
        (marks, due + MARK_PERIOD)
    }

    #[test]
    fn one_mark_is_on_its_way_at_a_time() {
        let (mut marks, due) = measured();
        assert_eq!(marks.due(due - MS), None);
        let name = marks.due(due).unwrap();
        assert_eq!(marks.due(due + MARK_PERIOD), None);
        assert_eq!(marks.echo("callbox-1", due), None);
        assert!(marks.echo(&name, due).is_some());
        assert_eq!(marks.echo(&name, due), None);
    }

    #[test]
    fn a_late_mark_pauses_for_a_while_only() {
        let (mut marks, due) = measured();
        marks.due(due);
        let late = due + 100 * MS + MARK_LATE;
        assert!(!marks.overdue(late - MS));
        assert!(marks.overdue(late));
        assert!(marks.overdue(late + MARK_PAUSE - MS));
        assert!(!marks.overdue(late + MARK_PAUSE));
    }

    #[test]
    fn a_service_that_echoes_nothing_is_never_paused_for() {
        let start = Instant::now();
        let mut marks = Marks::new(start);
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            marks.due(now);
            assert!(!marks.overdue(now));
        }
    }

    #[test]
    fn a_mark_that_is_lost_is_given_up() {
        let (mut marks, due) = measured();
        marks.due(due);
        assert_eq!(marks.due(due + MARK_LOST), None);
        let next = marks.due(due + MARK_LOST + MS);
        assert_eq!(next.as_deref(), Some("callbox-3"));
        // Nothing is known of this service any more.
        assert!(!marks.overdue(due + MARK_LOST + MARK_LATE + 2 * MARK_PERIOD));
    }

    #[test]
    fn a_backlog_is_dropped_once_and_then_accepted() {
        let (mut marks, _) = measured();
        assert!(!marks.judge(100 * MS + FAR_MAX));
        assert!(marks.judge(101 * MS + FAR_MAX));
        // Dropping did not help: it is how far away the far end is.
        assert!(!marks.judge(101 * MS + FAR_MAX));
        assert!(!marks.judge(90 * MS));
        assert!(marks.judge(91 * MS + FAR_MAX));
    }
}
