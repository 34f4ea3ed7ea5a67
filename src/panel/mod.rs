//! The face of the device: push buttons in, one status lamp out.
//!
//! The panel turns the edges of button lines into presses, and what the call
//! is doing into a lamp a person can read. It is called with every edge, with
//! every change of the call's state, and when a time it asked for has come.
//!
//! ```text
//!  edge/gpio ──Edge, Level──▶ ┌──────── Panel ────────┐ ──Press, LongPress──▶ call
//!                             │ Button  Button  …     │ ──FirstEdge─────────▶ warm the connection
//!       call ──Show─────────▶ │ Lamp ─▶ pattern table │ ──NoiseBurst, Stuck─▶ counters, status
//!                             └───────────┬───────────┘
//!                                         ▼ embedded_hal::digital::OutputPin
//! ```
//!
//! Units: all times are monotonic durations since some fixed start. For an
//! edge it is the kernel's own stamp (`CLOCK_MONOTONIC`), so a late reader
//! does not turn noise into a press; for everything else it is the present on
//! that same clock.
//!
//! **Several buttons.** Each is judged by itself, as if it were alone. Two
//! pressed together are two presses: the one that qualified first comes out
//! first, and at the same moment the lower [`ButtonId`] does. The call takes
//! the first and answers the second as any press during a call.
//!
//! Always true: one press of a finger is at most one [`Output::Press`]; a
//! [`Output::LongPress`] follows a `Press` of the same button, at most once;
//! the work of one edge is bounded and does not depend on how many came before.
//!
//! Thread: the media runtime. Nothing here waits or tells the time.

use std::collections::VecDeque;
use std::time::Duration;

use embedded_hal::digital::{ErrorKind, OutputPin};

use crate::trace::Counter;
use crate::units::ButtonId;

mod button;
mod lamp;

use button::{Button, Heard};
use lamp::Lamp;
pub use lamp::{Pattern, Show};

/// How presses are told from noise. The defaults suit a door button on a long cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How much longer the line must have been active than inactive, since the
    /// first edge, for a press to count. Default 20 ms. With 0 the first edge
    /// counts, and so does any spike on the cable; 100 ms misses quick fingers.
    pub qualify: Duration,
    /// How long the line must be inactive without a break before the next
    /// press can count. Default 200 ms: the worst switches bounce for 160 ms.
    pub rearm: Duration,
    /// A press held this long cancels. Default 2 s. Much less, and a firm press
    /// cancels the call it started.
    pub long_press: Duration,
    /// A button held this long is reported as stuck. Default 60 s. It does
    /// nothing more until it is released.
    pub stuck: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            qualify: Duration::from_millis(20),
            rearm: Duration::from_millis(200),
            long_press: Duration::from_secs(2),
            stuck: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// Whether the times make sense together.
    ///
    /// # Errors
    /// The first that does not, named as in the configuration file.
    pub fn check(&self) -> Result<(), BadConfig> {
        let ms = Duration::from_millis;
        if self.qualify > ms(500) {
            Err(BadConfig::Qualify(self.qualify))
        } else if !(ms(50)..=ms(5000)).contains(&self.rearm) {
            Err(BadConfig::Rearm(self.rearm))
        } else if self.long_press < self.qualify + ms(500) {
            Err(BadConfig::LongPress(self.long_press))
        } else if self.stuck <= self.long_press {
            Err(BadConfig::Stuck(self.stuck))
        } else {
            Ok(())
        }
    }
}

/// A time that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// Nobody pushes for so long.
    #[error("qualify is {0:?}; above 500ms the button misses people: 20ms suits most cables")]
    Qualify(Duration),
    /// Bounce would count as presses, or people would wait.
    #[error(
        "rearm is {0:?}; below 50ms one push can count twice, above 5s the button seems dead: 200ms suits most switches"
    )]
    Rearm(Duration),
    /// A firm push would cancel.
    #[error("long_press is {0:?}; within 500ms of qualify every push would cancel: 2s is usual")]
    LongPress(Duration),
    /// Locked before it can cancel.
    #[error(
        "stuck is {0:?}; it must be longer than long_press, or nobody can cancel: 60s is usual"
    )]
    Stuck(Duration),
}

/// What a button line reads. The edge has already turned active-low around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The button is let go.
    Inactive,
    /// The button is pushed.
    Active,
}

/// Something that happened outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A button line changed, at the kernel's stamp.
    Edge {
        /// Which button.
        button: ButtonId,
        /// What the line became.
        level: Level,
        /// The kernel's number of this edge on this line. It goes up by one and
        /// wraps; a jump means that edges were lost.
        sequence: u32,
    },
    /// A button line was read: as asked by [`Output::ReadLevel`], or because it
    /// was opened again. The next edge may carry any number.
    Level {
        /// Which button.
        button: ButtonId,
        /// What the line read.
        level: Level,
    },
    /// The call has something to show.
    Show(Show),
    /// A time [`Output::WaitUntil`] asked for has come.
    Tick,
}

/// What the panel asks of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A button was touched and the lamp is lit: warm the connection.
    FirstEdge {
        /// Which button.
        button: ButtonId,
    },
    /// A press counts.
    Press {
        /// Which button.
        button: ButtonId,
        /// Stamp of its first edge.
        first_edge: Duration,
        /// When it had lasted long enough.
        qualified: Duration,
    },
    /// The latest press of this button has become a long one: cancel.
    LongPress {
        /// Which button.
        button: ButtonId,
    },
    /// Edges came that never added up to a press. Counted; nothing to do.
    NoiseBurst {
        /// Which button.
        button: ButtonId,
    },
    /// The button has been held for too long and is locked. Read the line and
    /// hand in [`Input::Level`]: a release the hardware missed looks the same.
    Stuck {
        /// Which button.
        button: ButtonId,
    },
    /// A stuck button was released and works again.
    Freed {
        /// Which button.
        button: ButtonId,
    },
    /// Edges were lost: read the line and hand in [`Input::Level`].
    ReadLevel {
        /// Which button.
        button: ButtonId,
    },
    /// The lamp's pin refused. It is tried again every second by itself; this
    /// is said once until [`LampRestored`](Self::LampRestored).
    LampFault(ErrorKind),
    /// The lamp's pin works again.
    LampRestored,
    /// Nothing more to do: hand in [`Input::Tick`] by then.
    WaitUntil(Option<Duration>),
}

impl Output {
    /// The counter this belongs to, for those that are counted.
    #[must_use]
    pub fn counter(&self) -> Option<Counter> {
        match self {
            Self::NoiseBurst { .. } => Some(Counter::NoiseBursts),
            Self::Stuck { .. } => Some(Counter::StuckButtons),
            Self::ReadLevel { .. } => Some(Counter::GpioOverflows),
            Self::LampFault(_) => Some(Counter::LampFaults),
            _ => None,
        }
    }
}

/// The buttons and the lamp of one device.
#[derive(Debug)]
pub struct Panel<P> {
    buttons: Vec<Button>,
    lamp: Lamp<P>,
    now: Duration,
    out: VecDeque<Output>,
}

impl<P: OutputPin> Panel<P> {
    /// Makes a panel of as many buttons as there are `levels`, each the level
    /// its line was read at, with the lamp dark. A button that is held at the
    /// start is no press: it counts from its next release.
    ///
    /// `lamp` is a pin whose high level means light, or `None`.
    #[must_use]
    pub fn new(now: Duration, config: &Config, levels: &[Level], lamp: Option<P>) -> Self {
        let button = |level: &Level| Button::new(config.clone(), now, *level);
        let mut panel = Self {
            buttons: levels.iter().map(button).collect(),
            lamp: Lamp::new(now, lamp),
            now,
            out: VecDeque::with_capacity(OUTPUTS_EXPECTED),
        };
        panel.drive_lamp();
        panel
    }

    /// Takes in what happened at `now`, then leaves its requests for [`poll`](Self::poll).
    ///
    /// For an edge, `now` is the kernel's stamp. An edge stamped before a tick
    /// was due goes in before that tick, or the tick may make a press of a
    /// spike whose end is still in a queue. Time that runs backwards counts as
    /// standing still. An unknown button is ignored. Drain `poll` down to
    /// `WaitUntil` before the next call of this.
    pub fn handle(&mut self, now: Duration, input: Input) {
        self.now = now.max(self.now);
        match input {
            Input::Edge {
                button,
                level,
                sequence,
            } => self.on_button(button, |b, out| b.on_edge(now, level, sequence, out)),
            Input::Level { button, level } => {
                self.on_button(button, |b, out| b.on_level(now, level, out));
            }
            Input::Show(show) => self.lamp.show(self.now, show),
            Input::Tick => self.on_tick(),
        }
        self.drive_lamp();
    }

    /// Hands out the next thing to do. `WaitUntil` means there is no more for now.
    #[must_use]
    pub fn poll(&mut self) -> Output {
        self.out
            .pop_front()
            .unwrap_or_else(|| Output::WaitUntil(self.next_due()))
    }

    /// What the lamp shows at the moment, for `callbox status`.
    #[must_use]
    pub fn showing(&self) -> Show {
        self.lamp.showing()
    }

    fn on_button(
        &mut self,
        id: ButtonId,
        act: impl FnOnce(&mut Button, &mut dyn FnMut(Duration, Heard)),
    ) {
        let Some(button) = self.buttons.get_mut(usize::from(id.0)) else {
            return;
        };
        let (lamp, out) = (&mut self.lamp, &mut self.out);
        act(button, &mut |at, heard| {
            lamp.on_heard(at, heard);
            out.push_back(output(id, heard));
        });
    }

    /// Runs what is due on every button, the earliest first: a late tick must
    /// not change the order in which two presses counted.
    fn on_tick(&mut self) {
        let now = self.now;
        while let Some((due, index)) = self.soonest_button().filter(|(due, _)| *due <= now) {
            self.on_button(ButtonId(index), |button, out| button.on_time(due, out));
        }
    }

    fn soonest_button(&self) -> Option<(Duration, u8)> {
        let due = |(button, index): (&Button, u8)| Some((button.next_due()?, index));
        self.buttons.iter().zip(0..=u8::MAX).filter_map(due).min()
    }

    fn next_due(&self) -> Option<Duration> {
        let button = self.soonest_button().map(|(due, _)| due);
        button.into_iter().chain(self.lamp.next_due()).min()
    }

    fn drive_lamp(&mut self) {
        let stuck = self.buttons.iter().any(Button::is_stuck);
        let touched = self.buttons.iter().any(Button::is_judging);
        if let Some(output) = self.lamp.drive(self.now, touched, stuck) {
            self.out.push_back(output);
        }
    }
}

fn output(button: ButtonId, heard: Heard) -> Output {
    match heard {
        Heard::FirstEdge => Output::FirstEdge { button },
        Heard::Press {
            first_edge,
            qualified,
        } => Output::Press {
            button,
            first_edge,
            qualified,
        },
        Heard::LongPress => Output::LongPress { button },
        Heard::Noise => Output::NoiseBurst { button },
        Heard::Stuck => Output::Stuck { button },
        Heard::Freed => Output::Freed { button },
        Heard::EdgesLost => Output::ReadLevel { button },
    }
}

/// Room made for outputs at the start; a tick after a long sleep may need more.
const OUTPUTS_EXPECTED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_times_are_refused_by_name() {
        let good = Config::default;
        let ms = Duration::from_millis;
        assert_eq!(good().check(), Ok(()));
        let cases = [
            (
                Config {
                    qualify: ms(501),
                    ..good()
                },
                "qualify",
            ),
            (
                Config {
                    rearm: ms(49),
                    ..good()
                },
                "rearm",
            ),
            (
                Config {
                    rearm: ms(5001),
                    ..good()
                },
                "rearm",
            ),
            (
                Config {
                    long_press: ms(519),
                    ..good()
                },
                "long_press",
            ),
            (
                Config {
                    stuck: ms(2000),
                    ..good()
                },
                "stuck",
            ),
        ];
        for (config, key) in cases {
            let message = config.check().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        }
        let zero = Config {
            qualify: Duration::ZERO,
            ..good()
        };
        assert_eq!(zero.check(), Ok(()));
    }

    #[test]
    fn what_is_counted_has_a_counter() {
        let button = ButtonId(0);
        assert_eq!(
            Output::NoiseBurst { button }.counter(),
            Some(Counter::NoiseBursts)
        );
        assert_eq!(
            Output::Stuck { button }.counter(),
            Some(Counter::StuckButtons)
        );
        assert_eq!(
            Output::ReadLevel { button }.counter(),
            Some(Counter::GpioOverflows)
        );
        assert_eq!(Output::WaitUntil(None).counter(), None);
    }
}
