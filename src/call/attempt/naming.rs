//! Whether we know what the service calls the call, and how that is found out.
//!
//! ```text
//!  NotSent ──▶ Asked ── named by the POST, by its stream ──────────▶ Known
//!                │ the answer is missing                              ▲
//!                ▼                                                    │
//!              Sought: list calls at 1, 2, 4, 8 s ── found ───────────┤
//!                └── not in the list, but its stream is here: Hidden ─┘
//! ```
//!
//! Always true: a name that is known does not change. A second one is handed
//! back, to be hung up.

use crate::units::CallId;

use super::super::event::Output;
use super::super::record::{Cleared, Ended, Record};
use super::super::timers::{ANSWER_WITHIN, LOOKS, Timer, pause};
use super::{Attempt, Context, State};

/// Whether we know what the service calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Nothing was asked.
    NotSent,
    /// The POST is out.
    Asked,
    /// The POST's answer is missing; list calls is asked, at [`LOOKS`].
    Sought,
    /// It has a name.
    Known,
    /// List calls does not show it, although its stream came.
    Hidden,
}

/// What a name that was heard turned out to be.
pub(super) enum Name {
    /// The first one for this attempt.
    New,
    /// The one it has.
    Same,
    /// Another's: there is a second call on this attempt's URL.
    Another(CallId),
}

/// Looks after which a call that was not found is taken not to exist.
pub(super) const LAST_LOOK: u32 = LOOKS.len() as u32;

impl Attempt {
    /// The outcome is unknown from now on: look for the call.
    pub(super) fn seek(&mut self, cx: &mut Context) {
        self.timers.stop(Timer::Place);
        self.naming = Naming::Sought;
        self.sought_since = cx.now;
        self.tries = 0;
        self.note(|record, _| record.outcome_unknown = true, cx);
        if self.state == State::Placing {
            self.state = State::Unknown;
        }
        self.look_later(cx);
    }

    pub(super) fn look_later(&mut self, cx: &mut Context) {
        let at = match LOOKS.get(self.tries as usize) {
            Some(offset) => cx.now.max(self.sought_since + *offset),
            None => cx.now + pause(self.tries),
        };
        self.timers.set(Timer::Look, at);
        if self.tries >= LAST_LOOK && self.state == State::Unknown {
            // The service cannot be asked. The visitor has waited long enough;
            // the looking goes on, since there may be a call.
            self.begin_ending(Ended::NotFound, cx);
        }
    }

    pub(super) fn ask_look(&mut self, cx: &mut Context) {
        self.tries += 1;
        self.asked.look = true;
        self.timers.set(Timer::Look, cx.now + ANSWER_WITHIN);
        cx.out.push(Output::Look { attempt: self.id });
    }

    /// The last look shows no call.
    pub(super) fn on_absent(&mut self, cx: &mut Context) {
        match self.state {
            State::Unknown => self.refuse(Ended::NotFound, cx),
            State::Ending if self.has_streamed() => self.close(Cleared::ByStreamAlone, cx),
            State::Ending => self.close(Cleared::NeverUp, cx),
            _ => self.naming = Naming::Hidden,
        }
    }

    /// The call's name is `call`: goes on from there, or hands it back if it
    /// is another's.
    pub(super) fn name(&mut self, call: CallId, cx: &mut Context) -> Option<CallId> {
        match self.learn(call, cx) {
            Name::New => self.follow(cx),
            Name::Same => {}
            Name::Another(stray) => return Some(stray),
        }
        None
    }

    /// Writes down the call's name, if it has none yet.
    pub(super) fn learn(&mut self, call: CallId, cx: &mut Context) -> Name {
        match &self.call {
            Some(known) if *known == call => return Name::Same,
            Some(_) => return Name::Another(call),
            None => self.call = Some(call.clone()),
        }
        self.naming = Naming::Known;
        self.asked.look = false;
        self.timers.stop(Timer::Place);
        self.timers.stop(Timer::Look);
        self.tries = 0;
        let accepted = |record: &mut Record, at| {
            record.call = Some(call);
            record.accepted = Some(at);
        };
        self.note(accepted, cx);
        self.dial(cx);
        Name::New
    }

    /// Now that the call has a name, its status can be asked for, and it can
    /// be hung up.
    pub(super) fn follow(&mut self, cx: &mut Context) {
        match self.state {
            State::Ending => self.press_on(cx),
            State::Closed => {}
            _ => self.poll_later(cx),
        }
    }
}
