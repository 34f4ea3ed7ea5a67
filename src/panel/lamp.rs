//! The lamps: what a person standing at the door can tell from a light or three.
//!
//! Driven after every input of the panel; between inputs they say when a light
//! changes next. A pattern is a table of milliseconds, on and off in turn, and
//! is looked up by the time since it began: a late tick never shifts it.
//!
//! The status lamp tells all there is:
//!
//! ```text
//!  shown         one period, each character 100 ms                 what it says
//!  Idle          (dark)                                            press me
//!  Pressed       ██████████████████████████████ steady             I felt that
//!  Dialing       █████_____                                        slow, even: working on it
//!  Ringing       ████__████__________                              the double ring of a telephone
//!  Chiming       ██__████████________                              short, long: somebody calls here
//!  Answered      █████████████████__                               lit with a wink: speak
//!  Announcing    ███████████████_____                              lit with a pause: it is being told
//!  Reconnecting  ██████████__██__                                  lit but stumbling: wait
//!  Failed        ██__██__██__████____ …      for 3 s, then dark    quick: it did not work
//!  Limited       ████████__ ████████__ …     for 4 s, then dark    long, with short gaps: not now
//!  Offline       █_____________________________                    one short flash: no network
//!  Stuck         █__█__________________________                    two: the button does not let go
//!  Trouble       ██___██___██_______________                      three to ten: count them
//! ```
//!
//! Which [`Trouble`] has how many flashes stands there; they are slow enough to
//! be counted, two a second.
//!
//! The other two are the lights behind the pictograms of an emergency phone,
//! steady so that they are read and not watched:
//!
//! ```text
//!                             press           answered         over
//!  InProgress, "call sent"    ▁█████████████████████████████████▁▁▁   yellow
//!  Listen, "connected"        ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█████████████████▁▁▁   green
//! ```
//!
//! - EN 81-28:2018 (before it EN 81-70:2003, where yellow went out as green
//!   came on): yellow from the alarm until it is over, green while people talk.
//!   There an alarm is over when the rescue service says so. callbox has calls
//!   and no alarms: yellow goes out with the call. A lift that must follow the
//!   standard to the letter needs more than these lamps.
//! - ASME A17.1 2.27.1.1.3, to which 407.4.9 of the 2010 ADA Standards refers:
//!   a visual indication on the panel of the button that the link to somebody
//!   is established, extinguished when that link ends: `Listen`.
//!
//! This follows the published summaries of those standards, not their text.
//! Colour is the installer's: to callbox a lamp is a line.
//!
//! Units: milliseconds in the tables, monotonic durations elsewhere.
//!
//! Always true: no pattern flashes more than three times in any second (WCAG
//! 2.3.1, people with photosensitive epilepsy use doors); `Failed` and
//! `Limited` are shown to their end unless the call moves on; `Listen` is never
//! lit without `InProgress`, and neither is lit by noise on a cable.

use std::time::Duration;

use embedded_hal::digital::OutputPin;

use super::pin::{News, Pin};
use super::trouble::Trouble;

/// What a lamp is there to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LampRole {
    /// Everything, by patterns. What a device with one lamp has.
    #[default]
    Status,
    /// Lit from the press that places a call until the call is over: the
    /// "call sent" pictogram. In a call from outside, from its first chime.
    InProgress,
    /// Lit while somebody is on the line and hears, the visitor or what is
    /// announced: the "connected" or "listen" pictogram.
    Listen,
}

/// What the lamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Nothing goes on and a press would place a call.
    Idle,
    /// A press was felt. Becomes `Failed` when nothing follows for 10 s.
    Pressed,
    /// The call is being placed.
    Dialing,
    /// The far telephone rings, or somebody took it and has not yet confirmed
    /// to be a person.
    Ringing,
    /// Somebody calls this device, and is about to be heard.
    Chiming,
    /// Somebody answered: the two hear each other.
    Answered,
    /// Somebody answered and is told a text; the visitor is not heard.
    Announcing,
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
    /// Something is wrong that a press does not heal.
    Trouble(Trouble),
}

impl Show {
    /// All of them, in the order of the table above.
    pub const ALL: [Self; 20] = [
        Self::Idle,
        Self::Pressed,
        Self::Dialing,
        Self::Ringing,
        Self::Chiming,
        Self::Answered,
        Self::Announcing,
        Self::Reconnecting,
        Self::Failed,
        Self::Limited,
        Self::Offline,
        Self::Stuck,
        Self::Trouble(Trouble::Config),
        Self::Trouble(Trouble::Key),
        Self::Trouble(Trouble::Wifi),
        Self::Trouble(Trouble::Network),
        Self::Trouble(Trouble::Blocked),
        Self::Trouble(Trouble::Sound),
        Self::Trouble(Trouble::WayIn),
        Self::Trouble(Trouble::Other),
    ];

    /// How the lamp shows it.
    #[must_use]
    pub fn pattern(self) -> Pattern {
        Pattern(match self {
            Self::Idle => &[],
            Self::Pressed => &[1000],
            Self::Dialing => &[500, 500],
            Self::Ringing => &[400, 200, 400, 1000],
            Self::Chiming => &[200, 200, 800, 800],
            Self::Answered => &[1700, 200],
            Self::Announcing => &[1500, 500],
            Self::Reconnecting => &[1000, 200, 200, 200],
            Self::Failed => &[200, 200, 200, 200, 200, 200, 400, 400],
            Self::Limited => &[800, 200],
            Self::Offline => &[100, 2900],
            Self::Stuck => &[100, 200, 100, 2600],
            Self::Trouble(trouble) => &FLASHES[FLASHES.len() - 2 * trouble.flashes()..],
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
        matches!(
            self,
            Self::Idle | Self::Offline | Self::Stuck | Self::Trouble(_)
        )
    }

    fn is_notice(self) -> bool {
        matches!(self, Self::Failed | Self::Limited)
    }

    /// Whether a call is wanted or up.
    fn is_call(self) -> bool {
        !self.is_rest() && !self.is_notice()
    }

    /// Whether somebody at the far end hears.
    fn is_heard(self) -> bool {
        matches!(self, Self::Answered | Self::Announcing)
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

/// A gesture, to the one who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Felt {
    /// It places a call: lit until the call says more.
    Call,
    /// It does anything else: a moment of light.
    Other,
}

/// What is shown at the moment, and on which lamps.
#[derive(Debug)]
pub(super) struct Lamps<P: OutputPin> {
    lamps: Vec<(LampRole, Pin<P>)>,
    /// What the call wants shown, and since when.
    base: Show,
    since: Duration,
    /// The latest state without a call.
    rest: Show,
    /// A gesture is acknowledged until then.
    acknowledged: Duration,
    /// What the status lamp shows, and when that has to be looked at again.
    showing: Show,
    due: Option<Duration>,
}

impl<P: OutputPin> Lamps<P> {
    pub(super) fn new(now: Duration, lamps: Vec<(LampRole, P)>) -> Self {
        let pin = |(role, pin)| (role, Pin::new(pin));
        Self {
            lamps: lamps.into_iter().map(pin).collect(),
            base: Show::Idle,
            since: now,
            rest: Show::Idle,
            acknowledged: now,
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

    /// A press that places a call is shown until the call says more; any
    /// other gesture, and a press during a call, with a moment of light.
    pub(super) fn acknowledge(&mut self, at: Duration, felt: Felt) {
        if felt == Felt::Call && !self.base.is_call() {
            self.begin(at, Show::Pressed);
        } else {
            self.acknowledged = at + ACKNOWLEDGE;
        }
    }

    /// Sets the pins to what is to be seen at `now`; `news` is told of lamps
    /// by their place.
    pub(super) fn drive(
        &mut self,
        now: Duration,
        touched: bool,
        stuck: bool,
        mut news: impl FnMut(u8, News),
    ) {
        self.end_what_is_over(now);
        self.showing = if touched || now < self.acknowledged {
            Show::Pressed
        } else if stuck && self.base == Show::Idle {
            Show::Stuck
        } else {
            self.base
        };
        let (lit, change) = self.showing.pattern().at(now.saturating_sub(self.since));
        for ((role, pin), place) in self.lamps.iter_mut().zip(0..) {
            let lit = match role {
                LampRole::Status => lit,
                LampRole::InProgress => self.base.is_call(),
                LampRole::Listen => self.base.is_heard(),
            };
            if let Some(what) = pin.drive(now, lit) {
                news(place, what);
            }
        }
        let ends = self.base.ends().map(|(lasts, _)| self.since + lasts);
        let acknowledged = Some(self.acknowledged).filter(|until| now < *until);
        let change = change.map(|elapsed| self.since + elapsed);
        let retry = self.lamps.iter().filter_map(|(_, pin)| pin.next_due());
        let times = [change, ends, acknowledged].into_iter().flatten();
        self.due = times.chain(retry).min();
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
}

/// Ten flashes and a pause; fewer of them are its end.
const FLASHES: [u16; 20] = [
    200, 300, 200, 300, 200, 300, 200, 300, 200, 300, 200, 300, 200, 300, 200, 300, 200, 300, 200,
    1500,
];

/// Steady light that acknowledges a gesture.
const ACKNOWLEDGE: Duration = Duration::from_millis(300);

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
        assert_eq!(draw(Show::Chiming, 20), "██__████████________");
        assert_eq!(draw(Show::Announcing, 20), "███████████████_____");
        assert_eq!(draw(Show::Answered, 19), "█████████████████__");
        assert_eq!(draw(Show::Reconnecting, 16), "██████████__██__");
        assert_eq!(draw(Show::Failed, 20), "██__██__██__████____");
        assert_eq!(draw(Show::Limited, 20), "████████__████████__");
        assert_eq!(draw(Show::Offline, 30), "█_____________________________");
        assert_eq!(draw(Show::Stuck, 30), "█__█__________________________");
        let trouble = |trouble, steps| draw(Show::Trouble(trouble), steps);
        let three = "██___██___██_______________";
        assert_eq!(trouble(Trouble::Other, 27), three);
        assert_eq!(
            trouble(Trouble::WayIn, 62),
            format!("{}{three}", "██___".repeat(7))
        );
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

    fn drive(lamps: &mut Lamps<Mock>, at: u64) -> Vec<(u8, News)> {
        let mut told = Vec::new();
        lamps.drive(ms(at), false, false, |place, news| told.push((place, news)));
        told
    }

    #[test]
    fn the_pin_is_written_only_when_the_light_changes() {
        let mut pin = Mock::new(&[
            Transaction::set(State::Low),
            Transaction::set(State::High),
            Transaction::set(State::Low),
            Transaction::set(State::Low), // dropped
        ]);
        let mut lamps = Lamps::new(ms(0), vec![(LampRole::Status, pin.clone())]);
        for at in [0, 10, 20] {
            drive(&mut lamps, at);
        }
        lamps.show(ms(100), Show::Dialing);
        for at in [100, 101, 599, 600] {
            drive(&mut lamps, at);
        }
        assert_eq!(lamps.next_due(), Some(ms(1100)));
        drop(lamps);
        pin.done();
    }

    /// A lamp that is broken is said by its place and leaves the others alone.
    #[test]
    fn each_lamp_has_its_own_pin_and_its_own_faults() {
        let refuses = Transaction::set(State::High)
            .with_error(MockError::Io(std::io::ErrorKind::NotConnected));
        let set = Transaction::set;
        let (off, on) = (|| set(State::Low), || set(State::High));
        let mut status = Mock::new(&[off(), on(), off()]);
        let mut yellow = Mock::new(&[off(), refuses, on(), off()]);
        let mut green = Mock::new(&[off(), on(), off()]);
        let lamps = vec![
            (LampRole::Status, status.clone()),
            (LampRole::InProgress, yellow.clone()),
            (LampRole::Listen, green.clone()),
        ];
        let mut lamps = Lamps::new(ms(0), lamps);
        assert_eq!(drive(&mut lamps, 0), []);
        lamps.show(ms(100), Show::Answered);
        assert_eq!(drive(&mut lamps, 100), [(1, News::Fault(ErrorKind::Other))]);
        assert_eq!(lamps.next_due(), Some(ms(1100)), "it asks to try again");
        assert_eq!(drive(&mut lamps, 1100), [(1, News::Restored)]);
        drop(lamps);
        for pin in [&mut status, &mut yellow, &mut green] {
            pin.done();
        }
    }

    #[test]
    fn a_panel_without_a_lamp_says_nothing_of_it() {
        let mut lamps = Lamps::<Mock>::new(ms(0), Vec::new());
        lamps.show(ms(0), Show::Answered);
        assert_eq!(drive(&mut lamps, 0), []);
        assert_eq!(lamps.showing(), Show::Answered);
    }

    /// The pictograms, for all there is to show.
    #[test]
    fn yellow_is_lit_while_there_is_a_call_and_green_while_somebody_hears() {
        for show in Show::ALL {
            let lit = match show {
                Show::Idle | Show::Failed | Show::Limited => (false, false),
                Show::Offline | Show::Stuck | Show::Trouble(_) => (false, false),
                Show::Pressed | Show::Dialing | Show::Ringing => (true, false),
                Show::Chiming | Show::Reconnecting => (true, false),
                Show::Answered | Show::Announcing => (true, true),
            };
            assert_eq!((show.is_call(), show.is_heard()), lit, "{show:?}");
        }
    }
}
