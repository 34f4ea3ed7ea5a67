//! A panel without hardware, for `callbox demo` and for tests.
//!
//! A [`Finger`] pushes; [`VirtualButtons`] hands out the edges a real switch
//! would give, stamped on the same clock; a [`Diary`] keeps what every lamp and
//! relay did, and when.
//!
//! ```text
//!  Enter key ─▶ Finger::push ──16 waiting──▶ VirtualButtons::next ─▶ panel
//!  story, test ◀── Diary::changes ◀── VirtualPin: lamps, relays ◀────┘
//! ```
//!
//! Units: stamps are monotonic durations, as the kernel stamps edges.
//!
//! Always true: each push is one press, held for as long as was asked and let
//! go long enough for the next to count; two short ones in a row are a double
//! press where such are told. A diary holds the last [`CHANGES`] changes.
//!
//! Thread: finger and diary from any; the rest on the media runtime.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded_hal::digital::{ErrorType, OutputPin};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::gpio::Error;
use super::panel_inputs::{EdgeSource, KernelClock};
use crate::panel::{Input, LampRole, Level};
use crate::units::ButtonId;

/// Changes a diary holds; the oldest gives way.
pub const CHANGES: usize = 1024;

/// Pushes that may wait their turn.
const PUSHES: usize = 16;

/// How long a button stays released after a push: longer than a panel takes to
/// re-arm by default, and short enough for a double press.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes a finger and the buttons it can push, one after the other.
#[must_use]
pub fn virtual_buttons(clock: KernelClock) -> (Finger, VirtualButtons) {
    let (tx, pushes) = mpsc::channel(PUSHES);
    let buttons = VirtualButtons {
        clock,
        pushes,
        pushed: None,
        rested: None,
        sequences: [0; 256],
    };
    (Finger(tx), buttons)
}

/// What pushes the buttons.
#[derive(Debug, Clone)]
pub struct Finger(mpsc::Sender<(ButtonId, Duration)>);

impl Finger {
    /// Pushes a button for as long as `held`; `false` when too many pushes
    /// wait already, or nobody looks at the buttons any more.
    pub fn push(&self, button: ButtonId, held: Duration) -> bool {
        self.0.try_send((button, held)).is_ok()
    }
}

/// The buttons' end.
#[derive(Debug)]
pub struct VirtualButtons {
    clock: KernelClock,
    pushes: mpsc::Receiver<(ButtonId, Duration)>,
    /// The button that is down, and when it is let go.
    pushed: Option<(ButtonId, Instant)>,
    /// When the next push may begin.
    rested: Option<Instant>,
    /// The number of the latest edge of each button.
    sequences: [u32; 256],
}

impl VirtualButtons {
    fn edge(&mut self, button: ButtonId, level: Level) -> (Duration, Input) {
        let sequence = &mut self.sequences[usize::from(button.0)];
        *sequence = sequence.wrapping_add(1);
        let edge = Input::Edge {
            button,
            level,
            sequence: *sequence,
        };
        (self.clock.stamp_of(Instant::now().into_std()), edge)
    }
}

impl EdgeSource for VirtualButtons {
    async fn next(&mut self) -> Result<(Duration, Input), Error> {
        if let Some((button, release)) = self.pushed {
            tokio::time::sleep_until(release).await;
            self.pushed = None;
            self.rested = Some(release + PAUSE);
            return Ok(self.edge(button, Level::Inactive));
        }
        if let Some(rested) = self.rested {
            tokio::time::sleep_until(rested).await;
            self.rested = None;
        }
        let Some((button, held)) = self.pushes.recv().await else {
            return pending().await; // the finger is gone: no edge ever comes
        };
        self.pushed = Some((button, Instant::now() + held));
        Ok(self.edge(button, Level::Active))
    }

    fn level(&self, button: ButtonId) -> Result<Level, Error> {
        Ok(match self.pushed {
            Some((pushed, _)) if pushed == button => Level::Active,
            _ => Level::Inactive,
        })
    }
}

/// What the lamps and relays of a virtual panel did. Its clones are one diary.
#[derive(Debug, Clone)]
pub struct Diary {
    clock: KernelClock,
    changes: Arc<Mutex<VecDeque<Change>>>,
}

/// One change of a lamp or a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When, as the kernel would stamp it.
    pub at: Duration,
    /// What changed.
    pub what: Thing,
    /// Whether it is lit, or open, from then on.
    pub on: bool,
}

/// What a virtual pin is wired to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A lamp.
    Lamp(LampRole),
    /// A door's relay, by its place.
    Relay(u8),
}

impl Diary {
    /// An empty diary, in times of `clock`.
    #[must_use]
    pub fn new(clock: KernelClock) -> Self {
        Self {
            clock,
            changes: Arc::default(),
        }
    }

    /// The dark lamp or the closed relay that writes into this diary.
    #[must_use]
    pub fn pin(&self, what: Thing) -> VirtualPin {
        VirtualPin {
            diary: self.clone(),
            what,
            on: false,
        }
    }

    /// All changes it holds, the oldest first.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.lock().iter().copied().collect()
    }

    fn write(&self, what: Thing, on: bool) {
        let at = self.clock.stamp_of(Instant::now().into_std());
        let mut changes = self.lock();
        if changes.len() == CHANGES {
            changes.pop_front();
        }
        changes.push_back(Change { at, what, on });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lamp or a relay that writes into a [`Diary`] when it changes.
#[derive(Debug)]
pub struct VirtualPin {
    diary: Diary,
    what: Thing,
    on: bool,
}

impl VirtualPin {
    fn set(&mut self, on: bool) -> Result<(), Infallible> {
        if std::mem::replace(&mut self.on, on) != on {
            self.diary.write(self.what, on);
        }
        Ok(())
    }
}

impl ErrorType for VirtualPin {
    type Error = Infallible;
}

impl OutputPin for VirtualPin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set(false)
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::panel_inputs::PanelInputs;
    use crate::panel::{ButtonConfig, Config, Output, Panel};

    const BELL: ButtonId = ButtonId(0);
    const LOUDER: ButtonId = ButtonId(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(edge: Result<(Duration, Input), Error>) -> (Duration, ButtonId, Level) {
        match edge.unwrap() {
            (at, Input::Edge { button, level, .. }) => (at, button, level),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_is_two_edges_and_the_next_waits_its_turn() {
        let (finger, mut buttons) = virtual_buttons(KernelClock::new().unwrap());
        assert!(finger.push(BELL, ms(150)) && finger.push(LOUDER, ms(150)));
        let (pushed, button, level) = at(buttons.next().await);
        assert_eq!((button, level), (BELL, Level::Active));
        assert_eq!(buttons.level(BELL).unwrap(), Level::Active);
        assert_eq!(buttons.level(LOUDER).unwrap(), Level::Inactive);
        // A wait that is given up loses nothing.
        let short = tokio::time::timeout(ms(10), buttons.next());
        assert!(short.await.is_err());
        let (released, button, level) = at(buttons.next().await);
        assert_eq!((button, level), (BELL, Level::Inactive));
        assert!(released - pushed >= ms(150));
        let (again, button, level) = at(buttons.next().await);
        assert_eq!((button, level), (LOUDER, Level::Active));
        assert!(again - released >= PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn pushes_are_gestures_to_a_panel_and_light_its_lamps() {
        let clock = KernelClock::new().unwrap();
        let (finger, buttons) = virtual_buttons(clock);
        let diary = Diary::new(clock);
        let config = Config {
            buttons: vec![
                ButtonConfig::default(),
                ButtonConfig {
                    calls: None,
                    long_press: false,
                    double_press: true,
                },
            ],
            ..Config::default()
        };
        let yellow = Thing::Lamp(LampRole::InProgress);
        let lamps = vec![(LampRole::InProgress, diary.pin(yellow))];
        let levels = [Level::Inactive; 2];
        let mut panel = Panel::new(clock.now(), &config, &levels, lamps, Vec::new());
        for (button, held) in [(LOUDER, 60), (LOUDER, 60), (BELL, 100), (BELL, 100)] {
            assert!(finger.push(button, ms(held)));
        }
        let mut inputs = PanelInputs::new(buttons, clock);
        let mut told = Vec::new();
        let mut due = None;
        while told.len() < 3 {
            let (at, input) = inputs.next(due).await.unwrap();
            panel.handle(at, input);
            due = loop {
                match panel.poll() {
                    Output::WaitUntil(due) => break due,
                    Output::FirstEdge { .. } => {}
                    Output::Press { button, .. } => told.push(("press", button)),
                    Output::DoublePress { button } => told.push(("double", button)),
                    other => panic!("{other:?}"),
                }
            };
        }
        assert_eq!(told, [("double", LOUDER), ("press", BELL), ("press", BELL)]);
        let lit: Vec<_> = diary.changes().iter().map(|c| (c.what, c.on)).collect();
        assert_eq!(lit, [(yellow, true)], "shown until the call says more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_diary_keeps_the_latest_changes_and_when_they_were() {
        let clock = KernelClock::new().unwrap();
        let diary = Diary::new(clock);
        let mut relay = diary.pin(Thing::Relay(3));
        for _ in 0..CHANGES {
            relay.set_high().unwrap();
            relay.set_high().unwrap();
            tokio::time::advance(ms(3000)).await;
            relay.set_low().unwrap();
        }
        let changes = diary.changes();
        assert_eq!(changes.len(), CHANGES);
        let (opened, closed) = (changes[CHANGES - 2], changes[CHANGES - 1]);
        assert_eq!((opened.what, opened.on), (Thing::Relay(3), true));
        assert_eq!((closed.on, closed.at - opened.at), (false, ms(3000)));
    }

    #[test]
    fn too_many_pushes_are_refused() {
        let (finger, buttons) = virtual_buttons(KernelClock::new().unwrap());
        let taken = (0..100).filter(|_| finger.push(BELL, Duration::ZERO));
        assert_eq!(taken.count(), PUSHES);
        drop(buttons);
        assert!(!finger.push(BELL, Duration::ZERO));
    }
}
