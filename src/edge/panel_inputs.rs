//! What the panel is handed, in the order in which it happened: edges of the
//! buttons, and ticks when it asked for one.
//!
//! The daemon waits on [`PanelInputs::next`] with the time the panel's
//! `WaitUntil` named, and hands in what comes.
//!
//! ```text
//!  gpio::Buttons ─────────┐ EdgeSource                      ┌─▶ Edge at its stamp
//!  virtual_panel (demo) ──┴───────────▶ PanelInputs::next ──┴─▶ Tick when due
//! ```
//!
//! Units: monotonic durations, as the kernel stamps edges.
//!
//! Always true: an edge stamped before a tick was due comes before that tick,
//! also when this thread was held up, since a tick that overtook the release
//! would make a press of a spike; a tick that is due comes before an edge
//! stamped later, also in a storm of edges.
//!
//! Thread: the media runtime.

use std::future::{Future, ready};
use std::io;
use std::time::{Duration, Instant};

use super::gpio::Error;
use crate::panel::{Input, Level};
use crate::units::ButtonId;

/// Edges and ticks in order.
#[derive(Debug)]
pub struct PanelInputs<S> {
    source: S,
    clock: KernelClock,
    /// An edge taken from the source that is not handed out yet.
    ahead: Option<(Duration, Input)>,
}

impl<S: EdgeSource> PanelInputs<S> {
    /// Puts the edges of `source` and ticks on `clock` in order.
    #[must_use]
    pub fn new(source: S, clock: KernelClock) -> Self {
        Self {
            source,
            clock,
            ahead: None,
        }
    }

    /// Where the edges come from, to read a level.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Waits for the next edge, but not longer than `due`; hands out the two
    /// arguments of [`Panel::handle`](crate::panel::Panel::handle). Nothing is
    /// lost when the future is dropped.
    ///
    /// # Errors
    /// When a line is gone.
    pub async fn next(&mut self, due: Option<Duration>) -> Result<(Duration, Input), Error> {
        loop {
            match (self.ahead, due) {
                (Some((at, _)), Some(due)) if due < at => return Ok((due, Input::Tick)),
                (Some(edge), _) => {
                    self.ahead = None;
                    return Ok(edge);
                }
                (None, None) => self.ahead = Some(self.source.next().await?),
                (None, Some(due)) => match self.edge_until(due).await? {
                    None => return Ok((due, Input::Tick)),
                    edge => self.ahead = edge,
                },
            }
        }
    }

    /// Waits for an edge until `due`; one that is on its way by then wins.
    async fn edge_until(&mut self, due: Duration) -> Result<Option<(Duration, Input)>, Error> {
        let alarm = tokio::time::sleep_until(self.clock.instant_of(due).into());
        tokio::select! {
            biased;
            edge = self.source.next() => return edge.map(Some),
            () = alarm => {}
        }
        // Whoever reads the lines was woken with us: let them run.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            edge = self.source.next() => edge.map(Some),
            () = ready(()) => Ok(None),
        }
    }
}

/// Where edges come from: GPIO lines, or the demo's keyboard.
pub trait EdgeSource {
    /// Waits for the next edge; hands it out with the time to give
    /// [`Panel::handle`](crate::panel::Panel::handle). Nothing is lost when the
    /// future is dropped.
    fn next(&mut self) -> impl Future<Output = Result<(Duration, Input), Error>> + Send;

    /// Reads a button's line as it is now.
    ///
    /// # Errors
    /// When the line cannot be read any more.
    fn level(&self, button: ButtonId) -> Result<Level, Error>;
}

/// The kernel's monotonic clock, on which edges are stamped.
///
/// `Instant` reads the same clock and hides its value; the two are paired once.
#[derive(Debug, Clone, Copy)]
pub struct KernelClock {
    instant: Instant,
    stamp: Duration,
}

impl KernelClock {
    /// Pairs the two.
    ///
    /// # Errors
    /// When the kernel does not tell the time.
    pub fn new() -> io::Result<Self> {
        // sd-notify has the only reader of the raw clock among our
        // dependencies that takes no `unsafe` of ours.
        let sd_notify::NotifyState::MonotonicUsec(stamp) =
            sd_notify::NotifyState::monotonic_usec_now()?
        else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        Ok(Self {
            instant: Instant::now(),
            stamp: Duration::from_micros(stamp.unsigned_abs() as u64),
        })
    }

    /// The present, as the kernel would stamp an edge.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.stamp_of(Instant::now())
    }

    /// An instant as a stamp.
    #[must_use]
    pub fn stamp_of(&self, instant: Instant) -> Duration {
        (self.stamp + instant.saturating_duration_since(self.instant))
            .saturating_sub(self.instant.saturating_duration_since(instant))
    }

    /// A stamp as an instant.
    #[must_use]
    pub fn instant_of(&self, stamp: Duration) -> Instant {
        let later = self.instant + stamp.saturating_sub(self.stamp);
        let earlier = later.checked_sub(self.stamp.saturating_sub(stamp));
        earlier.unwrap_or(later)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::pending;

    use super::*;

    /// Edges that all wait already.
    struct Waiting(VecDeque<Duration>);

    impl EdgeSource for Waiting {
        async fn next(&mut self) -> Result<(Duration, Input), Error> {
            match self.0.pop_front() {
                Some(at) => Ok((at, EDGE)),
                None => pending().await,
            }
        }

        fn level(&self, _: ButtonId) -> Result<Level, Error> {
            Ok(Level::Active)
        }
    }

    /// Edges that come through a reader.
    struct Read(tokio::sync::mpsc::Receiver<(Duration, Input)>);

    impl EdgeSource for Read {
        async fn next(&mut self) -> Result<(Duration, Input), Error> {
            match self.0.recv().await {
                Some(edge) => Ok(edge),
                None => pending().await,
            }
        }

        fn level(&self, _: ButtonId) -> Result<Level, Error> {
            Ok(Level::Active)
        }
    }

    const EDGE: Input = Input::Edge {
        button: ButtonId(0),
        level: Level::Active,
        sequence: 1,
    };

    fn inputs(stamps: &[Duration]) -> PanelInputs<Waiting> {
        let source = Waiting(stamps.iter().copied().collect());
        PanelInputs::new(source, KernelClock::new().unwrap())
    }

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn edges_stamped_before_a_tick_come_before_it() {
        let now = KernelClock::new().unwrap().now();
        let (spike, over, later) = (now - 40 * MS, now - 30 * MS, now - 10 * MS);
        let mut inputs = inputs(&[spike, over, later]);
        let due = spike + 20 * MS; // long past: this thread was held up
        for want in [(spike, EDGE), (over, EDGE), (due, Input::Tick)] {
            assert_eq!(inputs.next(Some(due)).await.unwrap(), want);
        }
        assert_eq!(inputs.next(None).await.unwrap(), (later, EDGE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_line_ticks_when_due() {
        let due = KernelClock::new().unwrap().now() + 500 * MS;
        let started = tokio::time::Instant::now();
        assert_eq!(
            inputs(&[]).next(Some(due)).await.unwrap(),
            (due, Input::Tick)
        );
        assert!(started.elapsed() >= 400 * MS, "it did not wait");
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_that_had_to_wait_for_a_tick_is_kept() {
        let now = KernelClock::new().unwrap().now();
        let mut inputs = inputs(&[now]);
        let due = now - MS;
        assert_eq!(inputs.next(Some(due)).await.unwrap(), (due, Input::Tick));
        assert_eq!(inputs.next(Some(now)).await.unwrap(), (now, EDGE));
        assert_eq!(inputs.next(Some(now)).await.unwrap(), (now, Input::Tick));
    }

    /// The reader of a line is a task of its own, woken in the same moment.
    #[tokio::test(start_paused = true)]
    async fn an_edge_still_with_its_reader_comes_before_the_tick() {
        let clock = KernelClock::new().unwrap();
        let at = clock.now() - 10 * MS; // long past: this thread was held up
        let (tx, rx) = tokio::sync::mpsc::channel(1);
        let mut inputs = PanelInputs::new(Read(rx), clock);
        tokio::spawn(async move {
            tx.send((at, EDGE)).await.unwrap();
            pending::<()>().await;
        });
        assert_eq!(inputs.next(Some(at)).await.unwrap(), (at, EDGE));
        assert_eq!(inputs.next(Some(at)).await.unwrap(), (at, Input::Tick));
    }

    #[test]
    fn stamps_and_instants_are_one_clock() {
        let clock = KernelClock::new().unwrap();
        let (before, stamp) = (Instant::now(), clock.now());
        assert!(clock.instant_of(stamp) >= before);
        for away in [
            Duration::ZERO,
            Duration::from_millis(1),
            Duration::from_secs(1),
        ] {
            let later = stamp + away;
            assert_eq!(clock.stamp_of(clock.instant_of(later)), later);
            let earlier = clock.stamp - away;
            assert_eq!(clock.stamp_of(clock.instant_of(earlier)), earlier);
        }
    }
}
