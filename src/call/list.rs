//! Which number of a press is called next.
//!
//! Made by a press, asked when one of its attempts is closed, gone when the
//! press is over. It decides nothing about the call that is up.
//!
//! ```text
//!            position 0   1   2
//!  cycle 0  ──────────▶ A ─ B ─ C ──┐
//!  cycle 1  ┌───────────────────────┘
//!           └─────────▶ A ─ B ─ C    no more: the press has failed
//! ```
//!
//! Always true: there are at most [`MAX_TARGETS`] × [`MAX_CYCLES`] turns, each
//! taken once and in order, so a list comes to its end.

use std::time::Duration;

use crate::units::{AttemptId, ButtonId, Digit, Mode};

use super::event::{Kind, MAX_CYCLES, MAX_TARGETS, Plan, Refusal};
use super::record::{Cleared, Ended, Record};

/// What is to be done in one attempt's call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    pub(super) kind: Kind,
    pub(super) confirm: Option<Digit>,
    pub(super) mode: Mode,
    pub(super) ring_for: Duration,
    /// There is another number to be called in time.
    pub(super) another_follows: bool,
}

/// One number's turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) press: AttemptId,
    pub(super) button: ButtonId,
    pub(super) target: u8,
    pub(super) position: u8,
    pub(super) cycle: u8,
    pub(super) task: Task,
}

/// See the [module page](self).
#[derive(Debug)]
pub(super) struct List {
    plan: Plan,
    button: ButtonId,
    /// The first attempt of the press.
    press: AttemptId,
    position: u8,
    cycle: u8,
    /// Nothing is called any more, whatever comes of the present attempt.
    stopped: bool,
}

impl List {
    pub(super) fn new(press: AttemptId, button: ButtonId, mut plan: Plan) -> Self {
        plan.targets.truncate(MAX_TARGETS);
        plan.cycles = plan.cycles.clamp(1, MAX_CYCLES);
        Self {
            plan,
            button,
            press,
            position: 0,
            cycle: 0,
            stopped: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plan.targets.is_empty()
    }

    /// Whether the present turn is the press itself.
    pub(super) fn is_at_first(&self) -> bool {
        (self.position, self.cycle) == (0, 0)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether another turn follows the present one.
    pub(super) fn has_next(&self) -> bool {
        !self.stopped && (self.has_next_position() || self.cycle + 1 < self.plan.cycles)
    }

    fn has_next_position(&self) -> bool {
        usize::from(self.position) + 1 < self.plan.targets.len()
    }

    /// Goes on to the next turn, which [`has_next`](Self::has_next) said there is.
    pub(super) fn advance(&mut self) {
        debug_assert!(self.has_next(), "a list ends once");
        if self.has_next_position() {
            self.position += 1;
        } else {
            self.position = 0;
            self.cycle += 1;
        }
    }

    /// The present turn.
    pub(super) fn turn(&self) -> Turn {
        let target = self.plan.targets.get(usize::from(self.position));
        Turn {
            press: self.press,
            button: self.button,
            target: target.copied().unwrap_or_default(),
            position: self.position,
            cycle: self.cycle,
            task: Task {
                kind: self.plan.kind,
                confirm: self.plan.confirm,
                mode: self.plan.mode,
                ring_for: self.plan.ring_for,
                another_follows: self.has_next(),
            },
        }
    }
}

/// Whether another number may do better after an attempt that is over like
/// this: nobody was reached, and the service can be. One that may still be up
/// leads nowhere: two calls are worse than none.
pub(super) fn leads_on(record: &Record, task: &Task) -> bool {
    let unconfirmed = task.confirm.is_some() && record.confirmed.is_none();
    let unreached = record.answered.is_none() || unconfirmed;
    if record.cleared == Some(Cleared::GivenUp) {
        return false;
    }
    match record.ended {
        Some(
            Ended::NotAnswered
            | Ended::NotConfirmed
            | Ended::Refused(Refusal::Carrier | Refusal::Invalid),
        ) => true,
        // Machines are told from people late, with the two connected already.
        Some(Ended::Voicemail) => record.confirmed.is_none(),
        Some(
            Ended::Failed
            | Ended::Rejected
            | Ended::CancelledByService
            | Ended::FarHungUp
            | Ended::MaxTime
            | Ended::ServiceMaxTime
            | Ended::NoStream
            | Ended::Unsupported
            | Ended::Lost,
        ) => unreached,
        Some(
            Ended::Announced
            | Ended::NotSpoken
            | Ended::Cancelled
            | Ended::Refused(_)
            | Ended::Limited(_)
            | Ended::NoNumber
            | Ended::TurnedAway
            | Ended::LineBusy
            | Ended::NotFound
            | Ended::Shutdown,
        )
        | None => false,
    }
}
