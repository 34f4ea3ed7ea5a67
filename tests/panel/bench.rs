//! A panel on the bench: a made-up clock, three lamps and two relays that write
//! down what they do, and waveforms played into a button.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use callbox::panel::{Config, Input, LampRole, Level, Output, Panel};
use callbox::units::ButtonId;
use embedded_hal::digital::{ErrorType, OutputPin};

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What was heard of a waveform.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) presses: usize,
    pub(crate) long_presses: usize,
    pub(crate) noise_bursts: usize,
    pub(crate) lit_at_end: bool,
}

/// Plays `wave` on a panel with the default settings, and a second of quiet.
pub(crate) fn story(wave: &[u64]) -> Heard {
    let mut bench = Bench::default();
    bench.play(ms(1000), wave);
    let count = |wanted: fn(&Output) -> bool| bench.heard.iter().filter(|(_, o)| wanted(o)).count();
    Heard {
        presses: count(|o| matches!(o, Output::Press { .. })),
        long_presses: count(|o| matches!(o, Output::LongPress { .. })),
        noise_bursts: count(|o| matches!(o, Output::NoiseBurst { .. })),
        // A press is shown until the call says more.
        lit_at_end: bench.of(STATUS).last().is_some_and(|(_, lit)| *lit),
    }
}

/// What is wired to the panel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Thing {
    Lamp(LampRole),
    Relay(u8),
}

pub(crate) const STATUS: Thing = Thing::Lamp(LampRole::Status);
pub(crate) const YELLOW: Thing = Thing::Lamp(LampRole::InProgress);
pub(crate) const GREEN: Thing = Thing::Lamp(LampRole::Listen);

/// All that was written to any pin, and when.
#[derive(Debug, Clone, Default)]
struct Diary {
    now: Rc<Cell<Duration>>,
    written: Rc<RefCell<Vec<(Duration, Thing, bool)>>>,
}

/// A lamp or a relay that writes into the diary.
#[derive(Debug)]
pub(crate) struct Pin(Diary, Thing);

impl Pin {
    fn write(&self, on: bool) {
        let Self(diary, thing) = self;
        let mut written = diary.written.borrow_mut();
        written.push((diary.now.get(), *thing, on));
    }
}

impl ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.write(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.write(true);
        Ok(())
    }
}

/// The panel and all it said.
pub(crate) struct Bench {
    pub(crate) panel: Panel<Pin>,
    pub(crate) heard: Vec<(Duration, Output)>,
    diary: Diary,
    due: Option<Duration>,
    sequences: [u32; 2],
}

impl Default for Bench {
    fn default() -> Self {
        Self::new(&Config::default(), &[Level::Inactive])
    }
}

impl Bench {
    pub(crate) fn new(config: &Config, levels: &[Level]) -> Self {
        let diary = Diary::default();
        let pin = |thing| Pin(diary.clone(), thing);
        let roles = [LampRole::Status, LampRole::InProgress, LampRole::Listen];
        let lamps = roles.map(|role| (role, pin(Thing::Lamp(role)))).into();
        let relays = [0, 1].map(|place| pin(Thing::Relay(place))).into();
        let mut bench = Self {
            panel: Panel::new(Duration::ZERO, config, levels, lamps, relays),
            heard: Vec::new(),
            diary,
            due: None,
            sequences: [0; 2],
        };
        bench.drain(Duration::ZERO);
        bench
    }

    /// Lets time pass up to `now`, ticking whenever the panel asked for it.
    pub(crate) fn pass(&mut self, now: Duration) {
        while let Some(due) = self.due.filter(|due| *due < now) {
            self.hand_in(due, Input::Tick);
        }
    }

    /// Lets time pass up to and including `now`.
    pub(crate) fn wait(&mut self, now: Duration) {
        self.pass(now);
        self.hand_in(now, Input::Tick);
    }

    /// Hands in one input, and takes down what comes of it.
    pub(crate) fn hand_in(&mut self, now: Duration, input: Input) {
        self.diary.now.set(now);
        self.panel.handle(now, input);
        self.drain(now);
    }

    /// An edge of `button`, in its turn.
    pub(crate) fn edge(&mut self, at: Duration, button: ButtonId, level: Level) {
        self.pass(at);
        let sequence = &mut self.sequences[usize::from(button.0)];
        *sequence += 1;
        let sequence = *sequence;
        self.hand_in(
            at,
            Input::Edge {
                button,
                level,
                sequence,
            },
        );
    }

    /// Plays a waveform from `start` on, and a second of quiet after it.
    pub(crate) fn play(&mut self, start: Duration, wave: &[u64]) {
        let mut at = start;
        let mut level = Level::Active;
        for micros in wave {
            self.edge(at, ButtonId(0), level);
            at += Duration::from_micros(*micros);
            level = match level {
                Level::Active => Level::Inactive,
                Level::Inactive => Level::Active,
            };
        }
        if level == Level::Inactive {
            self.edge(at, ButtonId(0), level);
        }
        self.wait(at + ms(1000));
    }

    /// What one lamp or relay did, from what it was set to at the start.
    pub(crate) fn of(&self, thing: Thing) -> Vec<(Duration, bool)> {
        let written = self.diary.written.borrow();
        let own = written.iter().filter(|(_, what, _)| *what == thing);
        own.map(|(at, _, on)| (*at, *on)).collect()
    }

    /// Drops the panel; hands out all that was written to its pins.
    pub(crate) fn drop_panel(self) -> Vec<(Duration, Thing, bool)> {
        drop(self.panel);
        self.diary.written.take()
    }

    /// First edge and moment of each press.
    pub(crate) fn presses(&self) -> Vec<(Duration, Duration)> {
        let press = |(_, output): &(Duration, Output)| match output {
            Output::Press {
                first_edge,
                qualified,
                ..
            } => Some((*first_edge, *qualified)),
            _ => None,
        };
        self.heard.iter().filter_map(press).collect()
    }

    fn drain(&mut self, now: Duration) {
        loop {
            match self.panel.poll() {
                Output::WaitUntil(due) => {
                    self.due = due;
                    break;
                }
                output => self.heard.push((now, output)),
            }
        }
        assert!(
            self.due.is_none_or(|due| due > now),
            "asks for the past: {:?}",
            self.due
        );
    }
}
