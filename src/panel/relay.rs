//! The relay of one door opener: on for the length of a pulse, then off.
//!
//! Called when the door is to be opened, and driven after every input of the
//! panel.
//!
//! ```text
//!  open   │   │ │                   │
//!  relay  ████████████████▁▁▁▁▁▁▁▁▁▁████████████████▁▁▁▁
//!         └──── pulse ────┘         └──── pulse ────┘
//! ```
//!
//! Units: monotonic durations.
//!
//! Always true: the relay is on only within `pulse` after an opening was asked
//! for while it was off; it is set off before anything else, and, as any pin,
//! when it is dropped. A pulse runs from the asking also when the pin refuses:
//! a pin that works again an hour later must not open an unattended door.

use std::time::Duration;

use embedded_hal::digital::OutputPin;

use super::pin::{News, Pin};

#[derive(Debug)]
pub(super) struct Relay<P: OutputPin> {
    pin: Pin<P>,
    pulse: Duration,
    /// On until then.
    until: Option<Duration>,
}

impl<P: OutputPin> Relay<P> {
    pub(super) fn new(pin: P, pulse: Duration) -> Self {
        Self {
            pin: Pin::new(pin),
            pulse,
            until: None,
        }
    }

    /// Begins a pulse; one that runs is neither begun again nor made longer.
    pub(super) fn open(&mut self, now: Duration) {
        if !self.is_on(now) {
            self.until = Some(now + self.pulse);
        }
    }

    /// Sets the pin to what it is to be at `now`.
    pub(super) fn drive(&mut self, now: Duration) -> Option<News> {
        if !self.is_on(now) {
            self.until = None;
        }
        self.pin.drive(now, self.until.is_some())
    }

    pub(super) fn is_on(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.until.into_iter().chain(self.pin.next_due()).min()
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal::digital::ErrorKind;
    use embedded_hal_mock::eh1::MockError;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    use super::*;

    const OFF: State = State::Low;
    const ON: State = State::High;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn set(state: State) -> Transaction {
        Transaction::set(state)
    }

    fn refuses(state: State) -> Transaction {
        set(state).with_error(MockError::Io(std::io::ErrorKind::NotConnected))
    }

    fn relay(mock: &Mock) -> Relay<Mock> {
        Relay::new(mock.clone(), ms(3000))
    }

    const FAULT: Option<News> = Some(News::Fault(ErrorKind::Other));

    #[test]
    fn an_opening_is_one_pulse_and_the_relay_is_off_before_and_after() {
        let mut mock = Mock::new(&[set(OFF), set(ON), set(OFF), set(OFF)]);
        let mut relay = relay(&mock);
        relay.drive(ms(0));
        assert_eq!(relay.next_due(), None);
        relay.open(ms(1000));
        relay.drive(ms(1000));
        assert_eq!(relay.next_due(), Some(ms(4000)));
        relay.drive(ms(3999));
        assert!(relay.is_on(ms(3999)));
        relay.drive(ms(4000));
        assert_eq!(relay.next_due(), None);
        drop(relay); // once more
        mock.done();
    }

    #[test]
    fn asking_again_while_it_is_on_prolongs_nothing() {
        let mut mock = Mock::new(&[set(OFF), set(ON), set(OFF), set(OFF)]);
        let mut relay = relay(&mock);
        for at in 0..30 {
            relay.drive(ms(at * 100));
            relay.open(ms(at * 100));
        }
        relay.drive(ms(3000));
        assert_eq!(relay.next_due(), None);
        drop(relay);
        mock.done();
    }

    #[test]
    fn the_next_opening_is_a_whole_pulse_again() {
        let pulses = [set(ON), set(OFF), set(ON), set(OFF), set(OFF)];
        let mut mock = Mock::new(&[&[set(OFF)], &pulses[..]].concat());
        let mut relay = relay(&mock);
        relay.drive(ms(0));
        for at in [0, 3000] {
            relay.open(ms(at));
            relay.drive(ms(at));
            assert_eq!(relay.next_due(), Some(ms(at + 3000)));
            relay.drive(ms(at + 3000));
        }
        drop(relay);
        mock.done();
    }

    #[test]
    fn a_relay_that_is_dropped_in_its_pulse_goes_off() {
        let mut mock = Mock::new(&[set(OFF), set(ON), set(OFF)]);
        let mut relay = relay(&mock);
        relay.drive(ms(0));
        relay.open(ms(0));
        relay.drive(ms(0));
        drop(relay);
        mock.done();
    }

    #[test]
    fn a_relay_that_does_not_go_off_is_told_and_tried_until_it_does() {
        let end = [refuses(OFF), refuses(OFF), set(OFF), set(OFF)];
        let mut mock = Mock::new(&[&[set(OFF), set(ON)], &end[..]].concat());
        let mut relay = relay(&mock);
        relay.drive(ms(0));
        relay.open(ms(0));
        relay.drive(ms(0));
        assert_eq!(relay.drive(ms(3000)), FAULT);
        assert_eq!(relay.next_due(), Some(ms(4000)), "it asks to try again");
        assert_eq!(relay.drive(ms(4000)), None, "told once");
        assert_eq!(relay.drive(ms(5000)), Some(News::Restored));
        drop(relay);
        mock.done();
    }

    /// Whoever stood at the door has left by then.
    #[test]
    fn a_pin_that_works_again_after_the_pulse_opens_nothing() {
        let late = [refuses(ON), refuses(ON), refuses(ON), set(OFF), set(OFF)];
        let mut mock = Mock::new(&[&[set(OFF)], &late[..]].concat());
        let mut relay = relay(&mock);
        relay.drive(ms(0));
        relay.open(ms(100));
        assert_eq!(relay.drive(ms(100)), FAULT);
        assert_eq!(relay.drive(ms(1100)), None);
        assert_eq!(relay.drive(ms(2100)), None);
        assert_eq!(relay.drive(ms(3100)), Some(News::Restored));
        drop(relay);
        mock.done();
    }

    #[test]
    fn a_pin_that_never_works_is_told_once_for_a_hundred_openings() {
        let tries = [vec![refuses(ON); 100], vec![refuses(OFF)]].concat();
        let mut mock = Mock::new(&tries);
        let mut relay = relay(&mock);
        let mut told = 0;
        for second in (0..100).map(|s| ms(s * 1000)) {
            relay.open(second);
            told += usize::from(relay.drive(second).is_some());
        }
        assert_eq!(told, 1);
        drop(relay); // refused as well, and nobody is left to tell
        mock.done();
    }
}
