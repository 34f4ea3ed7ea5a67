//! An output pin of a lamp or a relay that may refuse.
//!
//! Driven after every input of the panel, with what it should be; it writes
//! only when that changes.
//!
//! ```text
//!  want  ▁▁▁▁████████████████████▁▁▁▁
//!  write ↓   ↑x      ↑x      ↑       ↓      x: refused, tried again after RETRY
//!             Fault           Restored
//! ```
//!
//! Units: monotonic durations.
//!
//! Always true: a fault is said once until the pin works again; between two
//! tries at a pin that refuses [`RETRY`] passes, whatever is wanted of it: an
//! expander that is gone can take long to say so; it is set low when it is
//! dropped.

use std::time::Duration;

use embedded_hal::digital::{Error as _, ErrorKind, OutputPin, PinState};

#[derive(Debug)]
pub(super) struct Pin<P: OutputPin> {
    pin: P,
    /// What it was last set to; `None` when that is not known.
    driven: Option<bool>,
    /// When it is tried again after it refused.
    retry: Option<Duration>,
}

/// What became of a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Fault(ErrorKind),
    Restored,
}

impl<P: OutputPin> Pin<P> {
    pub(super) fn new(pin: P) -> Self {
        Self {
            pin,
            driven: None,
            retry: None,
        }
    }

    /// Sets the pin, unless it is set so already or has just refused.
    pub(super) fn drive(&mut self, now: Duration, on: bool) -> Option<News> {
        if self.driven == Some(on) || self.retry.is_some_and(|at| now < at) {
            return None;
        }
        match self.pin.set_state(PinState::from(on)) {
            Ok(()) => {
                self.driven = Some(on);
                self.retry.take().map(|_| News::Restored)
            }
            Err(error) => {
                self.driven = None;
                let first = self.retry.replace(now + RETRY).is_none();
                first.then(|| News::Fault(error.kind()))
            }
        }
    }

    /// When [`drive`](Self::drive) wants to be called again by itself.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.retry
    }
}

/// Low for the last time, whatever it was; nobody is left to tell when it refuses.
impl<P: OutputPin> Drop for Pin<P> {
    fn drop(&mut self) {
        _ = self.pin.set_low();
    }
}

/// Pause before a pin that refused is tried again.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::MockError;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn refuses(state: State) -> Transaction {
        Transaction::set(state).with_error(MockError::Io(std::io::ErrorKind::NotConnected))
    }

    /// The end of every script: what a pin does when it is dropped.
    fn dropped() -> Transaction {
        Transaction::set(State::Low)
    }

    const FAULT: Option<News> = Some(News::Fault(ErrorKind::Other));

    #[test]
    fn a_pin_is_written_only_when_it_changes() {
        let mut mock = Mock::new(&[
            Transaction::set(State::Low),
            Transaction::set(State::High),
            Transaction::set(State::Low),
            dropped(),
        ]);
        let mut pin = Pin::new(mock.clone());
        for (at, on) in [(0, false), (10, false), (20, true), (30, true), (40, false)] {
            assert_eq!(pin.drive(ms(at), on), None);
        }
        drop(pin);
        mock.done();
    }

    #[test]
    fn a_pin_that_refuses_is_told_once_and_tried_again() {
        let mut mock = Mock::new(&[
            Transaction::set(State::Low),
            refuses(State::High),
            refuses(State::High),
            Transaction::set(State::High),
            dropped(),
        ]);
        let mut pin = Pin::new(mock.clone());
        assert_eq!(pin.drive(ms(0), false), None);
        assert_eq!(pin.drive(ms(100), true), FAULT);
        assert_eq!(pin.next_due(), Some(ms(1100)), "it asks to try again");
        assert_eq!(pin.drive(ms(500), true), None, "not before its time");
        assert_eq!(pin.drive(ms(1100), true), None, "told once");
        assert_eq!(pin.drive(ms(2100), true), Some(News::Restored));
        assert_eq!(pin.next_due(), None);
        drop(pin);
        mock.done();
    }

    /// What a pin that refused is at, nobody knows: also the old value is
    /// written again.
    #[test]
    fn a_pin_that_refused_is_written_even_when_the_old_value_is_wanted_again() {
        let mut mock = Mock::new(&[
            Transaction::set(State::Low),
            refuses(State::High),
            Transaction::set(State::Low),
            dropped(),
        ]);
        let mut pin = Pin::new(mock.clone());
        pin.drive(ms(0), false);
        assert_eq!(pin.drive(ms(100), true), FAULT);
        assert_eq!(pin.drive(ms(200), false), None);
        assert_eq!(pin.drive(ms(1100), false), Some(News::Restored));
        drop(pin);
        mock.done();
    }

    #[test]
    fn a_pin_that_never_works_is_tried_once_a_second() {
        let tries = [vec![refuses(State::High); 60], vec![dropped()]].concat();
        let mut mock = Mock::new(&tries);
        let mut pin = Pin::new(mock.clone());
        let told = (0..600).filter_map(|tenth| pin.drive(ms(tenth * 100), true));
        assert_eq!(told.collect::<Vec<_>>(), [News::Fault(ErrorKind::Other)]);
        drop(pin);
        mock.done();
    }
}
