//! Gets a call off the line, and makes sure that it is.
//!
//! ```text
//!  over ──▶ stop on the stream ──▶ hang up ──▶ get call ──▶ terminal: closed
//!                                     ▲            │ not yet, or no answer
//!                                     └── 0.5 … 32 s
//! ```
//!
//! Always true: from here there is no way back into the call; after
//! [`give_up_after`](super::super::Config::give_up_after) it is closed in any
//! case.

use super::super::event::Output;
use super::super::record::{Cleared, Ended, Record};
use super::super::timers::{ANSWER_WITHIN, Timer, Timers, pause};
use super::naming::Naming;
use super::{Attempt, Context, State};

/// What has been said to end the call, and by whom.
#[derive(Debug, Default)]
pub(super) struct Goodbye {
    /// The service said `stop` on the stream.
    pub(super) told: bool,
    /// We said `stop` on the stream.
    pub(super) said: bool,
    /// The service took a hang-up.
    pub(super) taken: bool,
    /// The service has no hang-up.
    pub(super) unsupported: bool,
}

impl Attempt {
    pub(super) fn begin_ending(&mut self, ended: Ended, cx: &mut Context) {
        self.note_over(ended, cx);
        self.state = State::Ending;
        self.timers.keep(&[Timer::Place, Timer::Look]);
        self.asked.get = false;
        self.give_up_later(cx);
        if let Some(socket) = self.socket.take() {
            cx.out.push(Output::Stop { socket });
            self.goodbye.said = true;
        }
        match self.naming {
            Naming::Known => {
                self.tries = 0;
                self.press_on(cx);
            }
            Naming::Hidden => self.seek(cx),
            Naming::NotSent | Naming::Asked | Naming::Sought => {}
        }
    }

    pub(super) fn give_up_later(&mut self, cx: &Context) {
        let patience = cx.config.give_up_after;
        self.timers.set(Timer::GiveUp, cx.now + patience);
    }

    /// The next step towards a call that is known to be off the line. One
    /// that the service called over, or cannot hang up, is only looked at.
    pub(super) fn press_on(&mut self, cx: &mut Context) {
        let only_look = self.goodbye.unsupported || (self.goodbye.told && self.tries == 0);
        if only_look {
            self.ask_get(cx);
            return;
        }
        let Some(call) = self.call.clone() else {
            return;
        };
        self.asked.hang_up = true;
        self.timers.set(Timer::HangUp, cx.now + ANSWER_WITHIN);
        let attempt = self.id;
        cx.out.push(Output::HangUp { attempt, call });
    }

    pub(super) fn press_on_later(&mut self, cx: &Context) {
        if self.state == State::Ending && !self.asked.hang_up {
            self.tries += 1;
            self.timers.set(Timer::HangUp, cx.now + pause(self.tries));
        }
    }

    /// The service does not answer. If it said `stop` on the stream before,
    /// that has to do after the second try.
    pub(super) fn on_no_word(&mut self, cx: &mut Context) {
        if self.goodbye.told && self.tries >= 2 {
            self.close(Cleared::ByStreamAlone, cx);
        }
    }

    pub(super) fn note_over(&mut self, ended: Ended, cx: &Context) {
        let (digits, more_openings) = (self.keypad.count(), self.more_openings);
        let over = |record: &mut Record, at| {
            record.over.get_or_insert(at);
            record.ended.get_or_insert(ended);
            (record.digits, record.more_openings) = (digits, more_openings);
        };
        self.note(over, cx);
    }

    pub(super) fn close(&mut self, cleared: Cleared, cx: &mut Context) {
        if let Some(socket) = self.socket.take() {
            cx.out.push(Output::Stop { socket });
        }
        self.timers = Timers::default();
        self.state = State::Closed;
        let closed = |record: &mut Record, at| {
            record.closed = Some(at);
            record.cleared = Some(cleared);
        };
        if self.note(closed, cx).is_none()
            && let Some(call) = self.call.clone()
        {
            let (how, report) = (cleared, self.report);
            cx.out.push(Output::Cleared { call, how, report });
        }
    }
}
