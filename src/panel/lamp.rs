//! The status lamp: what a person standing at the door can tell from one light.
//!
//! Driven after every input of the panel; between inputs it says when the light
//! changes next. A pattern is a table of milliseconds, on and off in turn, and
//! is looked up by the time since it began: a late tick never shifts it.
//!
//! ```text
//!  shown         one period, each character 100 ms                 what it says
//!  Idle          (dark)                                            press me
//!  Pressed       ██████████████████████████████ steady             I felt that
//!  Dialing       █████_____                                        slow, even: working on it
//!  Ringing       ████__████__________                              the double ring of a telephone
//!  Answered      █████████████████__                               lit with a wink: speak
//!  Reconnecting  ██████████__██__                                  lit but stumbling: wait
//!  Failed        ██__██__██__████____ …      for 3 s, then dark    quick: it did not work
//!  Limited       ████████__ ████████__ …     for 4 s, then dark    long, with short gaps: not now
//!  Offline       █_____________________________                    one short flash: no network
//!  Stuck         █__█__________________________                    two: the button does not let go
//!  Fault         █__█__█_______________________                    three: callbox needs care
//! ```
//!
//! Units: milliseconds in the tables, monotonic durations elsewhere.
//!
//! Always true: no pattern flashes more than three times in any second (WCAG
//! 2.3.1, people with photosensitive epilepsy use doors); `Failed` and
//! `Limited` are shown to their end unless the call moves on; the pin is written
//! only when the light changes, and again a second after it refused.

use std::time::Duration;

use embedded_hal::digital::{Error as _, OutputPin, PinState};

use super::Output;
use super::button::Heard;

/// What the lamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Nothing goes on and a press would place a call.
    Idle,
    /// A press was felt. Becomes `Failed` when nothing follows for 10 s.
    Pressed,
    /// The call is being placed.
    Dialing,
    /// The far telephone rings.
    Ringing,
    /// Somebody answered.
    Answered,
    /// The sound was lost and may come back.
    Reconnecting,
    /// The call did not work. Ends by itself.
    Failed,
    /// The device may not call now: a limit is reached. Ends by itself.
    Limited,
    /// The service cannot be reached; a press is likely to fail.
    Offline,
    /// A button does not let go. Shown by the panel itself while nothing else is.
    Stuck,
    /// Something is broken that a press does not heal.
    Fault,
}

impl Show {
    /// All of them, in the order of the table above.
    pub const ALL: [Self; 11] = [
        Self::Idle,
        Self::Pressed,
        Self::Dialing,
        Self::Ringing,
        Self::Answered,
        Self::Reconnecting,
        Self::Failed,
        Self::Limited,
        Self::Offline,
        Self::Stuck,
        Self::Fault,
    ];

    /// How the lamp shows it.
    #[must_use]
    pub fn pattern(self) -> Pattern {
        Pattern(match self {
            Self::Idle => &[],
            Self::Pressed => &[1000],
            Self::Dialing => &[500, 500],
            Self::Ringing => &[400, 200, 400, 1000],
            Self::Answered => &[1700, 200],
            Self::Reconnecting => &[1000, 200, 200, 200],
            Self::Failed => &[200, 200, 200, 200, 200, 200, 400, 400],
            Self::Limited => &[800, 200],
            Self::Offline => &[100, 2900],
            Self::Stuck => &[100, 200, 100, 2600],
            Self::Fault => &[100, 200, 100, 200, 100, 2300],
        })
    }

    /// How long it is shown at most, and what follows.
    fn ends(self) -> Option<(Duration, After)> {
        match self {
            Self::Pressed => Some((Duration::from_secs(10), After::Failed)),
            Self::Failed => Some((Duration::from_secs(3), After::Rest)),
            Self::Limited => Some((Duration::from_secs(4), After::Rest)),
            _ => None,
        }
    }

    /// Whether it is a state without a call, to which notices return.
    fn is_rest(self) -> bool {
        matches!(self, Self::Idle | Self::Offline | Self::Stuck | Self::Fault)
    }

    fn is_notice(self) -> bool {
        matches!(self, Self::Failed | Self::Limited)
    }
}

/// What is shown when something has been shown for long enough.
#[derive(Debug, Clone, Copy)]
enum After {
    Failed,
    Rest,
}

/// A table of on and off times in milliseconds, beginning with on, repeated
/// without end. Empty is dark; a single time is steady light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern(&'static [u16]);

impl Pattern {
    /// Whether the lamp is lit at `elapsed` since the pattern began, and at
    /// what `elapsed` that changes next.
    #[must_use]
    pub fn at(self, elapsed: Duration) -> (bool, Option<Duration>) {
        let steps = match self.0 {
            [] => return (false, None),
            [_] => return (true, None),
            steps => steps,
        };
        let length = |ms: &u16| Duration::from_millis(u64::from(*ms));
        let period: Duration = steps.iter().map(length).sum();
        let position = Duration::from_nanos((elapsed.as_nanos() % period.as_nanos()) as u64);
        let mut end = Duration::ZERO;
        let mut lit = false;
        for step in steps {
            lit = !lit;
            end += length(step);
            if position < end {
                break;
            }
        }
        (lit, Some(elapsed + (end - position)))
    }
}

#[derive(Debug)]
pub(super) struct Lamp<P> {
    pin: Option<P>,
    /// What the call wants shown, and since when.
    base: Show,
    since: Duration,
    /// The latest state without a call.
    rest: Show,
    /// A press during a call is acknowledged until then.
    acknowledged: Duration,
    /// What the pin was last set to; `None` when that is not known.
    driven: Option<bool>,
    /// When the pin is tried again after it refused.
    retry: Option<Duration>,
    /// What is shown at the moment, and when that has to be looked at again.
    showing: Show,
    due: Option<Duration>,
}

impl<P: OutputPin> Lamp<P> {
    pub(super) fn new(now: Duration, pin: Option<P>) -> Self {
        Self {
            pin,
            base: Show::Idle,
            since: now,
            rest: Show::Idle,
            acknowledged: now,
            driven: None,
            retry: None,
            showing: Show::Idle,
            due: None,
        }
    }

    /// The call wants `show`. A notice is shown to its end before a rest.
    pub(super) fn show(&mut self, now: Duration, show: Show) {
        if show.is_rest() {
            self.rest = show;
        }
        let waits = self.base.is_notice() && show.is_rest();
        if show != self.base && !waits {
            self.begin(now, show);
        }
    }

    /// A press lights the lamp until the call says more; during a call it is
    /// acknowledged with a moment of steady light.
    pub(super) fn on_heard(&mut self, at: Duration, heard: Heard) {
        if !matches!(heard, Heard::Press { .. }) {
            return;
        }
        if self.base.is_rest() || self.base.is_notice() {
            self.begin(at, Show::Pressed);
        } else {
            self.acknowledged = at + ACKNOWLEDGE;
        }
    }

    /// Sets the pin to what is to be seen at `now`.
    pub(super) fn drive(&mut self, now: Duration, touched: bool, stuck: bool) -> Option<Output> {
        self.end_what_is_over(now);
        self.showing = if touched || now < self.acknowledged {
            Show::Pressed
        } else if stuck && self.base == Show::Idle {
            Show::Stuck
        } else {
            self.base
        };
        let (lit, change) = self.showing.pattern().at(now.saturating_sub(self.since));
        let output = self.set_pin(now, lit);
        let ends = self.base.ends().map(|(lasts, _)| self.since + lasts);
        let acknowledged = Some(self.acknowledged).filter(|until| now < *until);
        self.due = [
            change.map(|elapsed| self.since + elapsed),
            ends,
            acknowledged,
            self.retry,
        ]
        .into_iter()
        .flatten()
        .min();
        output
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due
    }

    pub(super) fn showing(&self) -> Show {
        self.showing
    }

    fn begin(&mut self, now: Duration, show: Show) {
        self.base = show;
        self.since = now;
    }

    fn end_what_is_over(&mut self, now: Duration) {
        while let Some((lasts, after)) = self.base.ends()
            && self.since + lasts <= now
        {
            let next = match after {
                After::Failed => Show::Failed,
                After::Rest => self.rest,
            };
            self.begin(self.since + lasts, next);
        }
    }

    fn set_pin(&mut self, now: Duration, lit: bool) -> Option<Output> {
        let pin = self.pin.as_mut()?;
        if self.driven == Some(lit) || self.retry.is_some_and(|at| now < at) {
            return None;
        }
        match pin.set_state(PinState::from(lit)) {
            Ok(()) => {
                self.driven = Some(lit);
                self.retry.take().map(|_| Output::LampRestored)
            }
            Err(error) => {
                self.driven = None;
                let first = self.retry.replace(now + RETRY).is_none();
                first.then(|| Output::LampFault(error.kind()))
            }
        }
    }
}

/// Steady light that acknowledges a press during a call.
const ACKNOWLEDGE: Duration = Duration::from_millis(300);

/// Pause before a pin that refused is tried again.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use embedded_hal::digital::ErrorKind;
    use embedded_hal_mock::eh1::MockError;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Ten seconds of light, in steps of 10 ms.
    fn light(show: Show) -> Vec<bool> {
        let lit = |step: u64| show.pattern().at(ms(step * 10)).0;
        (0..1000).map(lit).collect()
    }

    #[test]
    fn patterns_are_as_drawn() {
        let draw = |show: Show, steps: u64| -> String {
            let lit = |step: u64| show.pattern().at(ms(step * 100)).0;
            (0..steps)
                .map(|step| if lit(step) { '█' } else { '_' })
                .collect()
        };
        assert_eq!(draw(Show::Idle, 10), "__________");
        assert_eq!(draw(Show::Pressed, 10), "██████████");
        assert_eq!(draw(Show::Dialing, 10), "█████_____");
        assert_eq!(draw(Show::Ringing, 20), "████__████__________");
        assert_eq!(draw(Show::Answered, 19), "█████████████████__");
        assert_eq!(draw(Show::Reconnecting, 16), "██████████__██__");
        assert_eq!(draw(Show::Failed, 20), "██__██__██__████____");
        assert_eq!(draw(Show::Limited, 20), "████████__████████__");
        assert_eq!(draw(Show::Offline, 30), "█_____________________________");
        assert_eq!(draw(Show::Stuck, 30), "█__█__________________________");
        assert_eq!(draw(Show::Fault, 30), "█__█__█_______________________");
    }

    /// Whenever a person begins to look, within ten seconds two patterns differ
    /// by as much as three short flashes in the dark.
    #[test]
    fn a_person_can_tell_any_two_patterns_apart() {
        for (i, a) in Show::ALL.into_iter().enumerate() {
            for b in Show::ALL.into_iter().skip(i + 1) {
                let (a_light, b_light) = (light(a), light(b));
                let shifts = (0..1000).step_by(5);
                let differing = |shift: usize| {
                    let shifted = b_light[shift..].iter().chain(&b_light[..shift]);
                    a_light.iter().zip(shifted).filter(|(x, y)| x != y).count()
                };
                let least = shifts.map(differing).min().unwrap();
                assert!(
                    least >= 30,
                    "{a:?} and {b:?} differ for {} ms of 10 s",
                    least * 10
                );
            }
        }
    }

    #[test]
    fn no_pattern_flashes_more_than_three_times_a_second() {
        for show in Show::ALL {
            let light = light(show);
            for second in light.windows(100) {
                let flashes = second.windows(2).filter(|w| !w[0] && w[1]).count();
                assert!(flashes <= 3, "{show:?}");
            }
        }
    }

    #[test]
    fn the_next_change_is_when_the_light_changes() {
        for show in Show::ALL {
            for at in (0..7000).map(ms) {
                let (lit, Some(change)) = show.pattern().at(at) else {
                    continue;
                };
                assert!(change > at, "{show:?}");
                assert_ne!(show.pattern().at(change).0, lit, "{show:?}");
                assert_eq!(show.pattern().at(change - ms(1) / 1000).0, lit, "{show:?}");
            }
        }
    }

    #[test]
    fn the_pin_is_written_only_when_the_light_changes() {
        let mut pin = Mock::new(&[
            Transaction::set(State::Low),
            Transaction::set(State::High),
            Transaction::set(State::Low),
        ]);
        let mut lamp = Lamp::new(ms(0), Some(pin.clone()));
        for at in [0, 10, 20] {
            assert_eq!(lamp.drive(ms(at), false, false), None);
        }
        lamp.show(ms(100), Show::Dialing);
        for at in [100, 101, 599, 600] {
            lamp.drive(ms(at), false, false);
        }
        assert_eq!(lamp.next_due(), Some(ms(1100)));
        pin.done();
    }

    #[test]
    fn a_pin_that_refuses_is_told_once_and_tried_again() {
        let refuses = || {
            Transaction::set(State::High)
                .with_error(MockError::Io(std::io::ErrorKind::NotConnected))
        };
        let mut pin = Mock::new(&[
            Transaction::set(State::Low),
            refuses(),
            refuses(),
            Transaction::set(State::High),
        ]);
        let mut lamp = Lamp::new(ms(0), Some(pin.clone()));
        lamp.drive(ms(0), false, false);
        lamp.show(ms(100), Show::Pressed);
        let fault = Some(Output::LampFault(ErrorKind::Other));
        assert_eq!(lamp.drive(ms(100), false, false), fault);
        assert_eq!(lamp.next_due(), Some(ms(1100)), "it asks to try again");
        assert_eq!(
            lamp.drive(ms(500), false, false),
            None,
            "not before its time"
        );
        assert_eq!(lamp.drive(ms(1100), false, false), None, "told once");
        assert_eq!(
            lamp.drive(ms(2100), false, false),
            Some(Output::LampRestored)
        );
        pin.done();
    }

    #[test]
    fn a_panel_without_a_lamp_says_nothing_of_it() {
        let mut lamp = Lamp::<Mock>::new(ms(0), None);
        lamp.show(ms(0), Show::Answered);
        assert_eq!(lamp.drive(ms(0), false, false), None);
        assert_eq!(lamp.showing(), Show::Answered);
    }
}
