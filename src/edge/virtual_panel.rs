//! A panel without hardware, for `callbox demo` and for tests.
//!
//! A [`Finger`] pushes; [`VirtualButtons`] hands out the edges a real switch
//! would give, stamped on the same clock; a [`VirtualLamp`] tells whoever wants
//! to know when the light changes.
//!
//! ```text
//!  Enter key ─▶ Finger::push ──16 waiting──▶ VirtualButtons::next ─▶ panel
//!  story on the screen ◀── VirtualLamp ◀──────────────────────────── panel
//! ```
//!
//! Always true: each push is one press, held for as long as was asked and let
//! go long enough for the next to count.
//!
//! Thread: the finger from any; the rest on the media runtime.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use embedded_hal::digital::{ErrorType, OutputPin};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::gpio::Error;
use super::panel_inputs::{EdgeSource, KernelClock};
use crate::panel::{Input, Level};
use crate::units::ButtonId;

/// Pushes that may wait their turn.
const PUSHES: usize = 16;

/// How long a button stays released after a push: longer than a panel takes to
/// re-arm by default.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes a finger and the one button it can push.
#[must_use]
pub fn virtual_button(clock: KernelClock) -> (Finger, VirtualButtons) {
    let (tx, pushes) = mpsc::channel(PUSHES);
    let buttons = VirtualButtons {
        clock,
        pushes,
        level: Level::Inactive,
        steps: [None; 2],
        sequence: 0,
    };
    (Finger(tx), buttons)
}

/// What pushes the button.
#[derive(Debug, Clone)]
pub struct Finger(mpsc::Sender<Duration>);

impl Finger {
    /// Pushes the button for as long as `held`; `false` when too many pushes
    /// wait already, or nobody looks at the button any more.
    pub fn push(&self, held: Duration) -> bool {
        self.0.try_send(held).is_ok()
    }
}

/// The button's end.
#[derive(Debug)]
pub struct VirtualButtons {
    clock: KernelClock,
    pushes: mpsc::Receiver<Duration>,
    level: Level,
    /// When the push of the moment is let go, and when the next may begin.
    steps: [Option<Instant>; 2],
    sequence: u32,
}

impl VirtualButtons {
    fn edge(&mut self, level: Level) -> (Duration, Input) {
        self.level = level;
        self.sequence = self.sequence.wrapping_add(1);
        let edge = Input::Edge {
            button: ButtonId(0),
            level,
            sequence: self.sequence,
        };
        (self.clock.stamp_of(Instant::now().into_std()), edge)
    }
}

impl EdgeSource for VirtualButtons {
    async fn next(&mut self) -> Result<(Duration, Input), Error> {
        if let [Some(release), _] = self.steps {
            tokio::time::sleep_until(release).await;
            self.steps[0] = None;
            return Ok(self.edge(Level::Inactive));
        }
        if let [None, Some(ready)] = self.steps {
            tokio::time::sleep_until(ready).await;
            self.steps[1] = None;
        }
        let Some(held) = self.pushes.recv().await else {
            return pending().await; // the finger is gone: no edge ever comes
        };
        let release = Instant::now() + held;
        self.steps = [Some(release), Some(release + PAUSE)];
        Ok(self.edge(Level::Active))
    }

    fn level(&self, _: ButtonId) -> Result<Level, Error> {
        Ok(self.level)
    }
}

/// A lamp that calls `tell` with `true` when it lights and `false` when it goes dark.
#[derive(Debug)]
pub struct VirtualLamp<F> {
    tell: F,
    lit: bool,
}

impl<F: FnMut(bool)> VirtualLamp<F> {
    /// A dark lamp.
    #[must_use]
    pub fn new(tell: F) -> Self {
        Self { tell, lit: false }
    }

    fn set(&mut self, lit: bool) -> Result<(), Infallible> {
        if std::mem::replace(&mut self.lit, lit) != lit {
            (self.tell)(lit);
        }
        Ok(())
    }
}

impl<F> ErrorType for VirtualLamp<F> {
    type Error = Infallible;
}

impl<F: FnMut(bool)> OutputPin for VirtualLamp<F> {
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
    use crate::panel::{Config, Output, Panel};

    fn at(edge: Result<(Duration, Input), Error>) -> (Duration, Level) {
        match edge.unwrap() {
            (at, Input::Edge { level, .. }) => (at, level),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_is_two_edges_and_the_next_waits_its_turn() {
        let held = Duration::from_millis(150);
        let (finger, mut buttons) = virtual_button(KernelClock::new().unwrap());
        assert!(finger.push(held) && finger.push(held));
        let (pushed, level) = at(buttons.next().await);
        assert_eq!(
            (level, buttons.level(ButtonId(0)).unwrap()),
            (Level::Active, level)
        );
        // A wait that is given up loses nothing.
        let short = tokio::time::timeout(Duration::from_millis(10), buttons.next());
        assert!(short.await.is_err());
        let (released, level) = at(buttons.next().await);
        assert_eq!(level, Level::Inactive);
        assert!(released - pushed >= held);
        let (again, level) = at(buttons.next().await);
        assert_eq!(level, Level::Active);
        assert!(again - released >= PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn pushes_are_presses_to_a_panel_and_light_the_lamp() {
        let (finger, mut buttons) = virtual_button(KernelClock::new().unwrap());
        let mut light = Vec::new();
        let lamp = VirtualLamp::new(|lit| light.push(lit));
        let levels = [Level::Inactive];
        let mut panel = Panel::new(Duration::ZERO, &Config::default(), &levels, Some(lamp));
        let mut presses = 0;
        for _ in 0..3 {
            assert!(finger.push(Duration::from_millis(100)));
            for _ in 0..2 {
                let (at, edge) = buttons.next().await.unwrap();
                panel.handle(at, edge);
                loop {
                    match panel.poll() {
                        Output::WaitUntil(_) => break,
                        Output::Press { .. } => presses += 1,
                        _ => {}
                    }
                }
            }
        }
        assert_eq!(presses, 3);
        assert_eq!(light, [true], "lit once, shown until the call says more");
    }

    #[test]
    fn too_many_pushes_are_refused() {
        let (finger, buttons) = virtual_button(KernelClock::new().unwrap());
        let taken = (0..100).filter(|_| finger.push(Duration::ZERO)).count();
        assert_eq!(taken, PUSHES);
        drop(buttons);
        assert!(!finger.push(Duration::ZERO));
    }
}
