//! What is done with a call that is answered: confirmed, let in, announced
//! to, talked in.
//!
//! ```text
//!             key                         press, chime_for
//!  Confirming ───▶ Joined                 Chiming ────────▶ Joined
//!      │ confirm_within
//!      ▼
//!    left          Announcing: say ─ spoken ─ pause ─ say … ─▶ left
//! ```
//!
//! Always true: an attempt joins at most once; only a joined call, or a callee
//! who confirmed an announcement, opens a door.

use crate::trace::Counter;
use crate::units::Digit;

use super::super::event::{Kind, Output, Phase, Signal, Source};
use super::super::keypad::{self, Typed};
use super::super::list::Task;
use super::super::record::{Ended, MAX_OPENINGS, OpenedBy, Opening};
use super::super::timers::{BETWEEN_ROUNDS, Timer};
use super::{Attempt, Context, State};

/// How far an answered call is. Decided before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The callee has to press a key first.
    Confirming,
    /// An inbound call is announced by a chime.
    Chiming,
    /// Words are said to the callee.
    Announcing,
    /// The two hear each other.
    Joined,
}

impl Stage {
    pub(super) fn first(task: &Task) -> Self {
        match task.kind {
            Kind::Announce { .. } => Self::Announcing,
            Kind::Talk if task.confirm.is_some() => Self::Confirming,
            Kind::Talk => Self::Joined,
        }
    }
}

/// How far an announcement is.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    /// The round that is being said, or is next.
    round: u8,
    /// It has been sent, and is not known to have been played.
    saying: bool,
}

impl Attempt {
    pub(super) fn stage_phase(&self) -> Phase {
        match (self.stage, self.state) {
            (Stage::Confirming, _) => Phase::Confirming,
            (_, State::Reconnecting) => Phase::Reconnecting,
            (Stage::Chiming, _) => Phase::Chiming,
            (Stage::Announcing, _) => Phase::Announcing,
            (Stage::Joined, _) if self.one_way => Phase::OneWay,
            (Stage::Joined, _) => Phase::Answered,
        }
    }

    /// Whether a press lets an inbound call in.
    pub(in super::super) fn is_chiming(&self) -> bool {
        matches!(self.state, State::Answered | State::Reconnecting) && self.stage == Stage::Chiming
    }

    /// The call was answered: what has to happen next has its time.
    pub(super) fn begin_stage(&mut self, cx: &Context) {
        let config = &cx.config;
        match self.stage {
            Stage::Confirming => self
                .timers
                .set(Timer::Confirm, cx.now + config.confirm_within),
            Stage::Chiming => self.timers.set(Timer::Chime, cx.now + config.chime_for),
            Stage::Announcing | Stage::Joined => {}
        }
    }

    /// The answered call has a stream, be it the first or another.
    pub(super) fn resume_stage(&mut self, cx: &mut Context) {
        match self.stage {
            Stage::Joined => self.note_joined(cx),
            Stage::Announcing if self.is_confirmed() => self.begin_ending(Ended::Announced, cx),
            Stage::Announcing if self.announcement.round < self.rounds() => self.say(cx),
            Stage::Announcing | Stage::Confirming | Stage::Chiming => {}
        }
    }

    /// What was being said is not heard any more.
    pub(super) fn interrupt_stage(&mut self) {
        self.announcement.saying = false;
        self.timers.stop(Timer::Say);
    }

    /// From now on the two hear each other, as soon as there is a stream.
    pub(in super::super) fn join(&mut self, cx: &mut Context) {
        self.stage = Stage::Joined;
        self.timers.stop(Timer::Confirm);
        self.timers.stop(Timer::Chime);
        if let Some(socket) = self.socket {
            cx.out.push(Output::Join { socket });
            self.note_joined(cx);
        }
    }

    fn note_joined(&mut self, cx: &Context) {
        self.note(|record, at| _ = record.joined.get_or_insert(at), cx);
    }

    pub(super) fn is_confirmed(&self) -> bool {
        let confirmed = |r: &super::Record| r.confirmed.is_some();
        self.record.as_ref().is_some_and(confirmed)
    }

    // Keys and words.

    /// One telling of a key the callee pressed.
    pub(in super::super) fn on_digit(&mut self, digit: Digit, source: Source, cx: &mut Context) {
        let is_new = self.keypad.pressed(digit, source, cx.now);
        if !is_new || self.state != State::Answered {
            return;
        }
        let confirms = self.task.confirm == Some(digit) && !self.is_confirmed();
        match self.stage {
            Stage::Confirming if confirms => self.confirm(cx),
            Stage::Announcing if confirms => self.confirm(cx),
            _ if self.opens_doors() => self.on_typed(digit, cx),
            _ => {}
        }
    }

    /// The callee said something.
    pub(in super::super) fn on_heard(&mut self, text: &str, cx: &mut Context) {
        if self.state == State::Answered
            && self.opens_doors()
            && let Some(door) = keypad::said(text, &cx.config.doors)
        {
            self.open_door(door, OpenedBy::Word, cx);
        }
    }

    fn confirm(&mut self, cx: &mut Context) {
        self.note(|record, at| record.confirmed = Some(at), cx);
        if self.stage == Stage::Confirming {
            self.join(cx);
        } else if !self.announcement.saying {
            self.begin_ending(Ended::Announced, cx);
        }
    }

    fn opens_doors(&self) -> bool {
        match self.stage {
            Stage::Joined => true,
            Stage::Announcing => self.is_confirmed(),
            Stage::Confirming | Stage::Chiming => false,
        }
    }

    fn on_typed(&mut self, digit: Digit, cx: &mut Context) {
        let (doors, pause) = (&cx.config.doors, cx.config.digit_pause);
        match self.keypad.typed(digit, doors, pause, cx.now) {
            Typed::Code(door) => self.open_door(door, OpenedBy::Code, cx),
            Typed::Ignored => cx.out.count(Counter::KeysIgnored),
            Typed::Kept => {}
        }
    }

    fn open_door(&mut self, door: u8, by: OpenedBy, cx: &mut Context) {
        let attempt = self.id;
        cx.out.push(Output::OpenDoor { attempt, door, by });
        cx.out.push(Output::Signal(Signal::Opened));
        let write = |record: &mut super::Record, at| {
            let room = record.openings.len() < MAX_OPENINGS;
            if room {
                record.openings.push(Opening { at, door, by });
            }
            room
        };
        if self.note(write, cx) == Some(false) {
            // A flood of openings is not to become a flood of records.
            self.more_openings = self.more_openings.saturating_add(1);
        }
    }

    // Announcing.

    fn rounds(&self) -> u8 {
        match self.task.kind {
            Kind::Announce { repeats } => repeats.max(1),
            Kind::Talk => 0,
        }
    }

    fn say(&mut self, cx: &mut Context) {
        let Some(socket) = self.socket else { return };
        self.announcement.saying = true;
        self.timers.set(Timer::Say, cx.now + cx.config.say_within);
        let (attempt, round) = (self.id, self.announcement.round);
        cx.out.push(Output::Say {
            attempt,
            socket,
            round,
        });
    }

    /// The round is over; played to the callee if it is `whole`.
    pub(in super::super) fn on_spoken(&mut self, whole: bool, cx: &mut Context) {
        if self.state == State::Answered && self.announcement.saying {
            if whole {
                let spoken = |record: &mut super::Record, _| record.spoken += 1;
                self.note(spoken, cx);
            }
            self.on_round_over(cx);
        }
    }

    /// It is time for the next round, or nobody said that this one was played.
    pub(super) fn on_say_timer(&mut self, cx: &mut Context) {
        if self.announcement.saying {
            cx.out.count(Counter::AnnouncementsUnheard);
            self.on_round_over(cx);
        } else {
            self.say(cx);
        }
    }

    fn on_round_over(&mut self, cx: &mut Context) {
        self.announcement.saying = false;
        self.announcement.round += 1;
        self.timers.stop(Timer::Say);
        if self.is_confirmed() {
            self.begin_ending(Ended::Announced, cx);
        } else if self.announcement.round < self.rounds() {
            self.timers.set(Timer::Say, cx.now + BETWEEN_ROUNDS);
        } else if self.task.confirm.is_some() {
            let patience = cx.config.confirm_within;
            self.timers.set(Timer::Confirm, cx.now + patience);
        } else if self.is_announced() {
            self.begin_ending(Ended::Announced, cx);
        } else {
            self.begin_ending(Ended::NotSpoken, cx);
        }
    }

    fn is_announced(&self) -> bool {
        let spoken = |r: &super::Record| r.spoken > 0;
        match (self.task.kind, self.task.confirm) {
            (Kind::Talk, _) => false,
            (Kind::Announce { .. }, Some(_)) => self.is_confirmed(),
            (Kind::Announce { .. }, None) => self.record.as_ref().is_some_and(spoken),
        }
    }

    /// What it means that the far end hung up.
    pub(super) fn weigh(&self, ended: Ended) -> Ended {
        let unconfirmed = self.task.confirm.is_some() && !self.is_confirmed();
        match ended {
            Ended::FarHungUp if self.is_announced() => Ended::Announced,
            Ended::FarHungUp if unconfirmed && self.was_answered() => Ended::NotConfirmed,
            ended => ended,
        }
    }
}
