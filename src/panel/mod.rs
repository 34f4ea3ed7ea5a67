//! The face of the device: push buttons in; lamps and door relays out.
//!
//! The panel turns the edges of button lines into gestures, what the call is
//! doing into lamps a person can read, and a wish to open into a pulse of a
//! relay. It is called with every edge, with every change of the call's state,
//! and when a time it asked for has come.
//!
//! ```text
//!  edge/gpio ──Edge, Level──▶ ┌──────── Panel ────────┐ ──Press, LongPress,──▶ call, volume
//!                             │ Button  Button  …     │   DoublePress
//!                             │                       │ ──FirstEdge─────────▶ warm the connection
//!       call ──Show─────────▶ │ Lamps ─▶ pattern table│ ──NoiseBurst, Stuck─▶ counters, status
//!            ──Open─────────▶ │ Relay  Relay  …       │ ──…Fault, …Restored─▶ log
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
//! **Gestures.** What a gesture does is the daemon's to know; the panel is told
//! which ones to tell apart. A press is told in the moment it counts, unless the
//! button also tells double presses: then the press has to wait for
//! [`Config::double_within`], which is why such a button places no call. A
//! held button does not repeat: a volume button moves one step a press, so that
//! a jammed one does not end at full volume.
//!
//! Always true: one press of a finger is at most one [`Output::Press`]; a
//! [`Output::LongPress`] follows a `Press` of the same button, at most once;
//! a relay is on only while its pulse lasts; relays and lamps are off from the
//! start, and when the panel is dropped; the work of one edge is bounded and
//! does not depend on how many came before.
//!
//! Thread: the media runtime. Nothing here waits or tells the time.

use std::collections::VecDeque;
use std::time::Duration;

use embedded_hal::digital::{ErrorKind, OutputPin};

use crate::trace::Counter;
use crate::units::ButtonId;

mod button;
mod lamp;
mod pin;
mod relay;
mod trouble;

use button::{Button, Heard, Rules};
use lamp::{Felt, Lamps};
pub use lamp::{LampRole, Pattern, Show};
use pin::News;
use relay::Relay;
pub use trouble::Trouble;

/// How presses are told from noise, and what the buttons and relays are for.
/// The defaults suit door buttons on long cables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How much longer the line must have been active than inactive, since the
    /// first edge, for a press to count. Default 20 ms. With 0 the first edge
    /// counts, and so does any spike on the cable; 100 ms misses quick fingers.
    pub qualify: Duration,
    /// How long the line must be inactive without a break before the next
    /// press can count. Default 200 ms: the worst switches bounce for 160 ms.
    /// A button that tells double presses takes no more than 100 ms, since
    /// quick fingers are faster; one that bounces for longer is no good there.
    pub rearm: Duration,
    /// A press held this long is a long one. Default 2 s. Much less, and a firm
    /// press cancels the call it started.
    pub long_press: Duration,
    /// Two presses that count within this time of each other are a double
    /// press. Default 400 ms. Slow fingers want more, and a single press of
    /// such a button waits that long to be told.
    pub double_within: Duration,
    /// A button held this long is reported as stuck. Default 60 s. It does
    /// nothing more until it is released.
    pub stuck: Duration,
    /// The buttons by their ids; those beyond the list have the default.
    pub buttons: Vec<ButtonConfig>,
    /// The relays by their places; those beyond the list have the default.
    pub relays: Vec<RelayConfig>,
}

/// What one button is for. The default places a call when it is pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonConfig {
    /// Which gesture places a call, if any: it is shown on the lamps until the
    /// call says more. Default: the press.
    pub calls: Option<CallsOn>,
    /// Whether a long press is told. Default yes: it cancels the call. On a
    /// button that places no call and does nothing more when it is held, no.
    pub long_press: bool,
    /// Whether a double press is told. Default no. Only a button that places no
    /// call may: its press waits for [`Config::double_within`].
    pub double_press: bool,
}

/// The gesture that places a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallsOn {
    /// A press.
    Press,
    /// A long press: where a call must not be placed by leaning on a button.
    LongPress,
}

impl Default for ButtonConfig {
    fn default() -> Self {
        Self {
            calls: Some(CallsOn::Press),
            long_press: true,
            double_press: false,
        }
    }
}

/// One door relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// How long it is on for an opening. Default 3 s, from 100 ms to 30 s:
    /// locks that latch want a short one, others as long as a hand takes to
    /// push the door.
    pub pulse: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            pulse: Duration::from_secs(3),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            qualify: Duration::from_millis(20),
            rearm: Duration::from_millis(200),
            long_press: Duration::from_secs(2),
            double_within: Duration::from_millis(400),
            stuck: Duration::from_secs(60),
            buttons: Vec::new(),
            relays: Vec::new(),
        }
    }
}

impl Config {
    /// Whether the times make sense together, and what the buttons are for.
    ///
    /// # Errors
    /// The first that does not, named as in the configuration file.
    pub fn check(&self) -> Result<(), BadConfig> {
        let ms = Duration::from_millis;
        if self.qualify > ms(500) {
            return Err(BadConfig::Qualify(self.qualify));
        } else if !(ms(50)..=ms(5000)).contains(&self.rearm) {
            return Err(BadConfig::Rearm(self.rearm));
        } else if self.long_press < self.qualify + ms(500) {
            return Err(BadConfig::LongPress(self.long_press));
        } else if self.double_within < ms(200) || self.double_within >= self.long_press {
            return Err(BadConfig::DoubleWithin(self.double_within));
        } else if self.stuck <= self.long_press {
            return Err(BadConfig::Stuck(self.stuck));
        }
        for (button, id) in self.buttons.iter().zip((0..=u8::MAX).map(ButtonId)) {
            if button.double_press && button.calls.is_some() {
                return Err(BadConfig::DoublePress(id));
            } else if button.calls == Some(CallsOn::LongPress) && !button.long_press {
                return Err(BadConfig::NoLongPress(id));
            }
        }
        for (relay, config) in (0..).zip(&self.relays) {
            let pulse = config.pulse;
            if !(ms(100)..=ms(30_000)).contains(&pulse) {
                return Err(BadConfig::Pulse { relay, pulse });
            }
        }
        Ok(())
    }

    fn button(&self, id: usize) -> ButtonConfig {
        self.buttons.get(id).cloned().unwrap_or_default()
    }

    fn relay(&self, place: usize) -> RelayConfig {
        self.relays.get(place).cloned().unwrap_or_default()
    }

    fn rules(&self, button: &ButtonConfig) -> Rules {
        let rearm = match button.double_press {
            true => self.rearm.min(DOUBLE_REARM),
            false => self.rearm,
        };
        Rules {
            qualify: self.qualify,
            rearm,
            stuck: self.stuck,
            long_press: button.long_press.then_some(self.long_press),
            double_within: button.double_press.then_some(self.double_within),
        }
    }
}

/// Quiet between the two presses of a double press, at most: a quick finger
/// is off the button for little more, and nearly all switches have stopped
/// bouncing. One that has not makes a double press of one, and no call.
const DOUBLE_REARM: Duration = Duration::from_millis(100);

/// A setting that cannot work.
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
    /// Nobody is so quick, or a long press would begin first.
    #[error(
        "double_within is {0:?}; nobody presses twice below 200ms, and it must be shorter than long_press: 400ms is usual"
    )]
    DoubleWithin(Duration),
    /// Locked before it can cancel.
    #[error(
        "stuck is {0:?}; it must be longer than long_press, or nobody can cancel: 60s is usual"
    )]
    Stuck(Duration),
    /// Every call would wait for a second press.
    #[error(
        "double_press does not go with a button that places a call: the call would wait for the second press; take another button, or long_press"
    )]
    DoublePress(ButtonId),
    /// It could never call.
    #[error("long_press is not told of a button that places its call by one")]
    NoLongPress(ButtonId),
    /// Too short for any lock, or a door left open.
    #[error(
        "pulse is {pulse:?}; below 100ms no lock moves, above 30s the door is left open: 3s is usual"
    )]
    Pulse {
        /// Of which relay, by its place.
        relay: u8,
        /// What it is.
        pulse: Duration,
    },
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
    /// A door is to be opened. While its relay is on this does nothing: one
    /// opening is one pulse, however often it was asked for.
    Open {
        /// Which relay, by its place.
        relay: u8,
    },
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
    /// A press counts. It is said at once, or after [`Config::double_within`]
    /// on a button that tells double presses.
    Press {
        /// Which button.
        button: ButtonId,
        /// Stamp of its first edge.
        first_edge: Duration,
        /// When it had lasted long enough.
        qualified: Duration,
    },
    /// Two presses came in short order; neither is told by itself.
    DoublePress {
        /// Which button.
        button: ButtonId,
    },
    /// The latest press of this button has become a long one.
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
    /// A lamp's pin refused. It is tried again every second by itself; this
    /// is said once until [`LampRestored`](Self::LampRestored).
    LampFault {
        /// Which lamp, by its place.
        lamp: u8,
        /// What the pin said.
        kind: ErrorKind,
    },
    /// A lamp's pin works again.
    LampRestored {
        /// Which lamp.
        lamp: u8,
    },
    /// A relay's pin refused. It is tried again every second by itself; this
    /// is said once until [`RelayRestored`](Self::RelayRestored).
    RelayFault {
        /// Which relay, by its place.
        relay: u8,
        /// What it was to be: `true` and the door did not open, `false` and it
        /// may stand open.
        on: bool,
        /// What the pin said.
        kind: ErrorKind,
    },
    /// A relay's pin works again.
    RelayRestored {
        /// Which relay.
        relay: u8,
    },
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
            Self::LampFault { .. } => Some(Counter::LampFaults),
            Self::RelayFault { .. } => Some(Counter::RelayFaults),
            _ => None,
        }
    }
}

/// The buttons, lamps and relays of one device.
#[derive(Debug)]
pub struct Panel<P: OutputPin> {
    buttons: Vec<(Option<CallsOn>, Button)>,
    lamps: Lamps<P>,
    relays: Vec<Relay<P>>,
    now: Duration,
    out: VecDeque<Output>,
}

impl<P: OutputPin> Panel<P> {
    /// Makes a panel of as many buttons as there are `levels`, each the level
    /// its line was read at, with all relays off and all lamps dark. A button
    /// that is held at the start is no press: it counts from its next release.
    ///
    /// The high level of a pin means light, and an open door.
    #[must_use]
    pub fn new(
        now: Duration,
        config: &Config,
        levels: &[Level],
        lamps: Vec<(LampRole, P)>,
        relays: Vec<P>,
    ) -> Self {
        let button = |(id, level): (usize, &Level)| {
            let button = config.button(id);
            let judged = Button::new(config.rules(&button), now, *level);
            (button.calls, judged)
        };
        let relay = |(place, pin)| Relay::new(pin, config.relay(place).pulse);
        let mut panel = Self {
            buttons: levels.iter().enumerate().map(button).collect(),
            lamps: Lamps::new(now, lamps),
            relays: relays.into_iter().enumerate().map(relay).collect(),
            now,
            out: VecDeque::with_capacity(OUTPUTS_EXPECTED),
        };
        panel.drive();
        panel
    }

    /// Takes in what happened at `now`, then leaves its requests for [`poll`](Self::poll).
    ///
    /// For an edge, `now` is the kernel's stamp. An edge stamped before a tick
    /// was due goes in before that tick, or the tick may make a press of a
    /// spike whose end is still in a queue. Time that runs backwards counts as
    /// standing still. An unknown button or relay is ignored. Drain `poll` down to
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
            Input::Show(show) => self.lamps.show(self.now, show),
            Input::Open { relay } => {
                if let Some(relay) = self.relays.get_mut(usize::from(relay)) {
                    relay.open(self.now);
                }
            }
            Input::Tick => self.on_tick(),
        }
        self.drive();
    }

    /// Hands out the next thing to do. `WaitUntil` means there is no more for now.
    #[must_use]
    pub fn poll(&mut self) -> Output {
        self.out
            .pop_front()
            .unwrap_or_else(|| Output::WaitUntil(self.next_due()))
    }

    /// What the status lamp shows at the moment, for `callbox status`.
    #[must_use]
    pub fn showing(&self) -> Show {
        self.lamps.showing()
    }

    fn on_button(
        &mut self,
        id: ButtonId,
        act: impl FnOnce(&mut Button, &mut dyn FnMut(Duration, Heard)),
    ) {
        let Some((calls, button)) = self.buttons.get_mut(usize::from(id.0)) else {
            return;
        };
        let (lamps, out) = (&mut self.lamps, &mut self.out);
        act(button, &mut |at, heard| {
            if let Some(felt) = felt(heard, *calls) {
                lamps.acknowledge(at, felt);
            }
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
        let buttons = self.buttons.iter().map(|(_, button)| button);
        let due = |(button, index): (&Button, u8)| Some((button.next_due()?, index));
        buttons.zip(0..=u8::MAX).filter_map(due).min()
    }

    fn next_due(&self) -> Option<Duration> {
        let button = self.soonest_button().map(|(due, _)| due);
        let relays = self.relays.iter().filter_map(Relay::next_due);
        let others = button.into_iter().chain(self.lamps.next_due());
        others.chain(relays).min()
    }

    /// Sets all pins to what they are to be by now, the doors first.
    fn drive(&mut self) {
        let (now, out) = (self.now, &mut self.out);
        for (place, pin) in (0..).zip(&mut self.relays) {
            let news = pin.drive(now);
            let on = pin.is_on(now);
            out.extend(news.map(|news| relay_output(place, on, news)));
        }
        let mut buttons = self.buttons.iter().map(|(_, button)| button);
        let stuck = buttons.clone().any(Button::is_stuck);
        let touched = buttons.any(Button::is_judging);
        self.lamps.drive(now, touched, stuck, |place, news| {
            out.push_back(lamp_output(place, news));
        });
    }
}

/// What the one who made a gesture is shown of it. The press before a long
/// press was shown already.
fn felt(heard: Heard, calls: Option<CallsOn>) -> Option<Felt> {
    match (heard, calls) {
        (Heard::Press { .. }, Some(CallsOn::Press)) => Some(Felt::Call),
        (Heard::LongPress, Some(CallsOn::LongPress)) => Some(Felt::Call),
        (Heard::Press { .. } | Heard::DoublePress, _) => Some(Felt::Other),
        _ => None,
    }
}

fn lamp_output(lamp: u8, news: News) -> Output {
    match news {
        News::Fault(kind) => Output::LampFault { lamp, kind },
        News::Restored => Output::LampRestored { lamp },
    }
}

fn relay_output(relay: u8, on: bool, news: News) -> Output {
    match news {
        News::Fault(kind) => Output::RelayFault { relay, on, kind },
        News::Restored => Output::RelayRestored { relay },
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
        Heard::DoublePress => Output::DoublePress { button },
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
        let with = |button| Config {
            buttons: vec![ButtonConfig::default(), button],
            ..good()
        };
        let button = ButtonConfig::default;
        let opens = |pulse| Config {
            relays: vec![RelayConfig { pulse }],
            ..good()
        };
        let more = [
            (
                Config {
                    double_within: ms(199),
                    ..good()
                },
                "double_within",
            ),
            (
                Config {
                    double_within: ms(2000),
                    ..good()
                },
                "double_within",
            ),
            (
                with(ButtonConfig {
                    double_press: true,
                    ..button()
                }),
                "double_press",
            ),
            (
                with(ButtonConfig {
                    calls: Some(CallsOn::LongPress),
                    long_press: false,
                    ..button()
                }),
                "long_press",
            ),
            (opens(ms(99)), "pulse"),
            (opens(ms(30_001)), "pulse"),
        ];
        for (config, key) in cases.into_iter().chain(more) {
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
