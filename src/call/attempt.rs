//! One attempt at a call, from its request until it is known to be off the
//! line. The table of states is on the page of [`call`](super).
//!
//! Two things are followed side by side, since either can be late: what the
//! *call* is doing ([`State`]) and whether we know its *name*
//! (`attempt/naming.rs`). A stream can say "answered" before the POST has said
//! which call it is. What is done with an answered call is in
//! `attempt/stage.rs`, how it is got off the line in `attempt/ending.rs`.

mod ending;
mod naming;
mod stage;

use std::time::{Duration, Instant};

use crate::trace::Counter;
use crate::units::{AttemptId, CallId, Mode, SocketId};

use super::config::{Config, Inbound};
use super::event::{
    HangUpAnswer, Kind, Look, Output, Phase, Refusal, Remaining, Report, Signal, Status,
};
use super::keypad::Keypad;
use super::list::{Task, Turn, leads_on};
use super::outputs::Outputs;
use super::record::{Cleared, Direction, Ended, Record};
use super::timers::{
    ANSWER_WITHIN, BELIEVE_AFTER, HANG_UP_ROOM, SETTLE, SHORTEST_RING, Timer, Timers,
};

use ending::Goodbye;
use naming::{LAST_LOOK, Name, Naming};
use stage::{Announcement, Stage};

/// Where a call is in its life. See the table on the page of [`call`](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The press waits for orphans; nothing was sent.
    Held,
    /// The request is out.
    Placing,
    /// The request's answer is missing: there may be a call.
    Unknown,
    /// There is a call; the far end does not ring yet.
    Dialing,
    /// The service says it rings.
    Ringing,
    /// Somebody answered. What is done then is its [`Stage`].
    Answered,
    /// The stream dropped in an answered call.
    Reconnecting,
    /// Over for the visitor; being made sure of at the service.
    Ending,
    /// Off the line, never up, or given up.
    Closed,
}

/// What all attempts share: the time, the numbers, and the way out.
#[derive(Debug)]
pub(super) struct Context {
    /// The latest instant we were told.
    pub(super) now: Instant,
    pub(super) config: Config,
    pub(super) out: Outputs,
}

/// Requests whose answers are out.
#[derive(Debug, Default)]
struct Asked {
    look: bool,
    get: bool,
    hang_up: bool,
}

/// See the [module page](self).
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    /// Whether the visitor waits for it; else it only has to go.
    wanted: bool,
    task: Task,
    state: State,
    stage: Stage,
    naming: Naming,
    call: Option<CallId>,
    report: Option<Report>,
    socket: Option<SocketId>,
    one_way: bool,
    asked: Asked,
    /// The latest get was not answered.
    rest_away: bool,
    goodbye: Goodbye,
    /// Tries of the present back-off: looks, or hang-ups.
    tries: u32,
    /// When the outcome became unknown.
    sought_since: Instant,
    /// How long the call may last, by the limits.
    longest: Duration,
    refusal: Option<Refusal>,
    announcement: Announcement,
    keypad: Keypad,
    /// Openings that the record has no room for.
    more_openings: u32,
    timers: Timers,
    /// `None` for an orphan and for a late call.
    record: Option<Record>,
    /// The record as it was last handed out.
    told: Option<Record>,
}

impl Attempt {
    /// A number whose turn it is: it waits until [`place`](Self::place).
    pub(super) fn outbound(id: AttemptId, turn: &Turn, began: Instant, now: Instant) -> Self {
        let record = Record {
            press: turn.press,
            button: Some(turn.button),
            kind: turn.task.kind,
            target: turn.target,
            position: turn.position,
            cycle: turn.cycle,
            qualified: now - began,
            ..Record::new(id, Direction::Outbound, began)
        };
        Self {
            wanted: true,
            task: turn.task,
            stage: Stage::first(&turn.task),
            record: Some(record),
            ..Self::new(id, State::Held, now)
        }
    }

    /// A call that is let in, with or without a chime.
    pub(super) fn inbound(id: AttemptId, call: CallId, cx: &Context) -> Self {
        let chimes = cx.config.inbound == Inbound::Chime && !cx.config.chime_for.is_zero();
        Self {
            wanted: true,
            stage: if chimes {
                Stage::Chiming
            } else {
                Stage::Joined
            },
            longest: cx.config.max_call,
            ..Self::called(id, call, State::Dialing, cx.now)
        }
    }

    /// An inbound call that is not let in, whose stream was told to stop.
    pub(super) fn turned_away(id: AttemptId, call: CallId, cx: &mut Context) -> Self {
        let mut attempt = Self::called(id, call, State::Ending, cx.now);
        attempt.goodbye.said = true;
        attempt.note_over(Ended::TurnedAway, cx);
        attempt.give_up_later(cx);
        attempt.press_on(cx);
        attempt
    }

    fn called(id: AttemptId, call: CallId, state: State, now: Instant) -> Self {
        let record = Record {
            accepted: Some(Duration::ZERO),
            call: Some(call.clone()),
            ..Record::new(id, Direction::Inbound, now)
        };
        Self {
            naming: Naming::Known,
            call: Some(call),
            record: Some(record),
            ..Self::new(id, state, now)
        }
    }

    /// A call that nobody wants: an orphan, or one that turned up late.
    pub(super) fn unwanted(id: AttemptId, call: CallId, cx: &mut Context) -> Self {
        let mut attempt = Self {
            naming: Naming::Known,
            call: Some(call),
            ..Self::new(id, State::Ending, cx.now)
        };
        attempt.give_up_later(cx);
        attempt.press_on(cx);
        attempt
    }

    fn new(id: AttemptId, state: State, now: Instant) -> Self {
        Self {
            id,
            wanted: false,
            task: Task {
                kind: Kind::Talk,
                confirm: None,
                mode: Mode::default(),
                ring_for: Duration::ZERO,
                another_follows: false,
            },
            state,
            stage: Stage::Joined,
            naming: Naming::NotSent,
            call: None,
            report: None,
            socket: None,
            one_way: false,
            asked: Asked::default(),
            rest_away: false,
            goodbye: Goodbye::default(),
            tries: 0,
            sought_since: now,
            longest: Duration::ZERO,
            refusal: None,
            announcement: Announcement::default(),
            keypad: Keypad::default(),
            more_openings: 0,
            timers: Timers::default(),
            record: None,
            told: None,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.state == State::Held
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether it is the call the visitor waits for or is in.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether another number of the list may do better.
    pub(super) fn leads_on(&self) -> bool {
        let leads_on = |record: &Record| leads_on(record, &self.task);
        self.record.as_ref().is_some_and(leads_on)
    }

    pub(super) fn has_call(&self, call: &CallId) -> bool {
        self.call.as_ref() == Some(call)
    }

    pub(super) fn has_socket(&self, socket: SocketId) -> bool {
        self.socket == Some(socket)
    }

    /// Whether its URL or its call may be known to the service.
    pub(super) fn was_sent(&self) -> bool {
        self.naming != Naming::NotSent
    }

    /// Whether a request went out for it, which counts towards the limits.
    pub(super) fn was_placed(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.sent.is_some())
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.record.as_ref()?.ended
    }

    /// From the answer until it was off the line.
    pub(super) fn answered_for(&self) -> Duration {
        let times = |r: &Record| Some(r.closed?.saturating_sub(r.answered?));
        self.record.as_ref().and_then(times).unwrap_or_default()
    }

    pub(super) fn soonest(&self) -> Option<Instant> {
        self.timers.soonest()
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Held | State::Placing => Phase::Pressed,
            State::Unknown | State::Dialing => Phase::Dialing,
            State::Ringing => Phase::Ringing,
            State::Answered | State::Reconnecting => self.stage_phase(),
            State::Ending => Phase::Ending,
            State::Closed => Phase::Idle,
        }
    }

    /// Lets the press wait until the line is clear. The call may then last for
    /// `longest`.
    pub(super) fn hold(&mut self, longest: Duration, cx: &Context) {
        self.longest = longest;
        self.timers.set(Timer::Hold, cx.now + cx.config.hold_press);
    }

    /// Sends the request, once.
    pub(super) fn place(&mut self, cx: &mut Context) {
        debug_assert!(self.state == State::Held, "an attempt is placed once");
        let Some(record) = &mut self.record else {
            return;
        };
        record.sent = Some(cx.now - record.pressed);
        let Some(button) = record.button else {
            return;
        };
        let target = record.target;
        self.timers.stop(Timer::Hold);
        self.timers.set(Timer::Place, cx.now + ANSWER_WITHIN);
        self.naming = Naming::Asked;
        self.state = State::Placing;
        let attempt = self.id;
        cx.out.push(Output::Place {
            attempt,
            button,
            target,
        });
    }

    /// Closes an attempt that made no call.
    pub(super) fn refuse(&mut self, ended: Ended, cx: &mut Context) {
        self.note_over(ended, cx);
        self.close(Cleared::NeverUp, cx);
    }

    /// Ends the call, whatever state it is in.
    pub(super) fn end(&mut self, ended: Ended, cx: &mut Context) {
        match self.state {
            State::Held => self.refuse(ended, cx),
            State::Ending | State::Closed => {}
            _ => self.begin_ending(ended, cx),
        }
    }

    /// Does now what waits for its turn in a back-off. The first looks keep
    /// theirs: all at once they would be over before the service has its row.
    pub(super) fn hurry(&mut self, now: Instant) {
        if !self.asked.look && self.tries >= LAST_LOOK {
            self.timers.hurry(Timer::Look, now);
        }
        if !self.asked.get {
            self.timers.hurry(Timer::Poll, now);
        }
        if !self.asked.hang_up {
            self.timers.hurry(Timer::HangUp, now);
        }
    }

    /// Time is up: whatever is not confirmed by now is given up.
    pub(super) fn give_up(&mut self, cx: &mut Context) {
        if self.state != State::Closed {
            cx.out.count(Counter::CallsGivenUp);
            self.close(Cleared::GivenUp, cx);
        }
    }

    /// The record, if it has changed since last time.
    pub(super) fn take_record(&mut self) -> Option<Box<Record>> {
        if self.told == self.record {
            return None;
        }
        self.told.clone_from(&self.record);
        self.record.clone().map(Box::new)
    }

    /// The POST named the call. Returns a call that is up besides this one.
    pub(super) fn on_placed(
        &mut self,
        call: CallId,
        remaining: Option<Remaining>,
        cx: &mut Context,
    ) -> Option<CallId> {
        self.note(|r, _| r.remaining = remaining.or(r.remaining), cx);
        self.name(call, cx)
    }

    /// The POST said that there is no call.
    pub(super) fn on_refused(&mut self, why: Refusal, cx: &mut Context) {
        match (self.state, self.naming) {
            (State::Placing | State::Unknown, _) => {
                self.refusal = Some(why);
                self.refuse(Ended::Refused(why), cx);
            }
            (State::Ending, Naming::Asked | Naming::Sought) if !self.has_streamed() => {
                self.refusal = Some(why);
                self.close(Cleared::NeverUp, cx);
            }
            // Its stream is here, so there is a call, whatever was said.
            _ => self.on_outcome_unknown(cx),
        }
    }

    /// Nobody can say whether the POST made a call.
    pub(super) fn on_outcome_unknown(&mut self, cx: &mut Context) {
        if self.naming == Naming::Asked {
            cx.out.count(Counter::UnknownOutcomes);
            self.seek(cx);
        }
    }

    /// List calls has answered. Returns a call that is up besides this one.
    pub(super) fn on_looked(&mut self, found: Look, cx: &mut Context) -> Option<CallId> {
        self.asked.look = false;
        match found {
            Look::Found { call, report } => match self.learn(call, cx) {
                Name::Another(stray) => return Some(stray),
                Name::Same => self.on_report(report, cx),
                Name::New => {
                    self.on_report(report, cx);
                    self.follow(cx);
                }
            },
            Look::Absent if self.naming == Naming::Sought && self.tries >= LAST_LOOK => {
                self.on_absent(cx);
            }
            Look::Absent | Look::Failed if self.naming == Naming::Sought => self.look_later(cx),
            Look::Absent | Look::Failed => {}
        }
        None
    }

    /// Get call has answered.
    pub(super) fn on_status(&mut self, report: Report, cx: &mut Context) {
        self.asked.get = false;
        self.rest_away = false;
        self.on_report(report, cx);
        self.after_get(cx);
    }

    /// Get call could not be answered.
    pub(super) fn on_status_failed(&mut self, cx: &mut Context) {
        self.asked.get = false;
        self.rest_away = true;
        if self.state == State::Ending {
            self.on_no_word(cx);
        }
        self.after_get(cx);
    }

    /// The service has answered a hang-up.
    pub(super) fn on_hung_up(&mut self, answer: HangUpAnswer, cx: &mut Context) {
        self.asked.hang_up = false;
        if self.state != State::Ending {
            return;
        }
        self.timers.stop(Timer::HangUp);
        match answer {
            HangUpAnswer::Taken(report) => {
                self.goodbye.taken = true;
                self.on_report(report, cx);
                if self.state == State::Ending && !self.asked.get {
                    self.timers.set(Timer::Poll, cx.now + SETTLE);
                }
            }
            HangUpAnswer::NotNow => self.ask_get(cx),
            HangUpAnswer::Unsupported => {
                self.goodbye.unsupported = true;
                self.ask_get(cx);
            }
            HangUpAnswer::Failed => {
                self.on_no_word(cx);
                self.press_on_later(cx);
            }
        }
    }

    /// A stream came in on this attempt's URL. Returns a call that is up
    /// besides this one.
    pub(super) fn on_stream(
        &mut self,
        socket: SocketId,
        call: Option<CallId>,
        answered: bool,
        cx: &mut Context,
    ) -> Option<CallId> {
        if self.state == State::Ending {
            return self.turn_away(socket, call, cx);
        }
        if let Some(stray) = call.and_then(|call| self.name(call, cx)) {
            cx.out.push(Output::Stop { socket });
            return Some(stray);
        }
        if self.socket == Some(socket) {
            return None;
        }
        self.attach(socket, cx);
        match self.state {
            State::Answered | State::Reconnecting => self.resume(cx),
            _ if answered => self.answer(cx),
            _ => {
                self.dial(cx);
                self.timers.set(Timer::Believe, cx.now + BELIEVE_AFTER);
                self.ask_get(cx);
            }
        }
        None
    }

    /// Packets come in on our socket.
    pub(super) fn on_media(&mut self, cx: &Context) {
        if self.state == State::Answered {
            if std::mem::take(&mut self.one_way) {
                self.stop_polling();
            }
            self.listen(cx);
        }
    }

    /// The service said `stop` on our socket.
    pub(super) fn on_stream_stop(&mut self, cx: &mut Context) {
        if let Some(socket) = self.socket.take() {
            cx.out.push(Output::Close { socket });
        }
        self.goodbye.told = true;
        let ended = if self.was_answered() {
            Ended::FarHungUp
        } else {
            Ended::CancelledByService
        };
        self.begin_ending(self.weigh(ended), cx);
    }

    /// Our socket carries sound we do not take, and was told to stop.
    pub(super) fn on_stream_unsupported(&mut self, cx: &mut Context) {
        self.socket = None;
        self.begin_ending(Ended::Unsupported, cx);
    }

    /// Our socket closed without a word.
    pub(super) fn on_stream_lost(&mut self, code: Option<u16>, cx: &mut Context) {
        self.socket = None;
        self.one_way = false;
        self.timers.stop(Timer::Believe);
        self.timers.stop(Timer::OneWay);
        if self.state == State::Answered {
            self.state = State::Reconnecting;
            self.interrupt_stage();
            cx.out.count(Counter::SocketsDropped);
            let drop = |record: &mut Record, _| {
                record.drops += 1;
                record.close_code = code;
            };
            self.note(drop, cx);
            let patience = cx.config.reconnect_within;
            self.timers.set(Timer::Return, cx.now + patience);
            self.ask_get(cx);
        }
    }

    /// Lets the time-out happen that was due first.
    pub(super) fn fire(&mut self, cx: &mut Context) {
        if let Some(timer) = self.timers.take_due(cx.now) {
            self.on_timer(timer, cx);
        }
    }

    fn on_timer(&mut self, timer: Timer, cx: &mut Context) {
        match timer {
            Timer::Hold => self.refuse(Ended::LineBusy, cx),
            Timer::Place => {
                cx.out.count(Counter::AnswersMissed);
                self.on_outcome_unknown(cx);
            }
            Timer::Look if self.asked.look => {
                cx.out.count(Counter::AnswersMissed);
                _ = self.on_looked(Look::Failed, cx);
            }
            Timer::Look => self.ask_look(cx),
            Timer::Poll if self.asked.get => {
                cx.out.count(Counter::AnswersMissed);
                self.on_status_failed(cx);
            }
            Timer::Poll => self.ask_get(cx),
            Timer::HangUp if self.asked.hang_up => {
                cx.out.count(Counter::AnswersMissed);
                self.on_hung_up(HangUpAnswer::Failed, cx);
            }
            Timer::HangUp => self.press_on(cx),
            Timer::Believe => self.on_believe(cx),
            Timer::OneWay => self.on_one_way(cx),
            Timer::Confirm => self.begin_ending(Ended::NotConfirmed, cx),
            Timer::Chime => self.join(cx),
            Timer::Say => self.on_say_timer(cx),
            Timer::Ring => self.begin_ending(Ended::NotAnswered, cx),
            Timer::Stream => self.begin_ending(Ended::NoStream, cx),
            Timer::Return => self.begin_ending(Ended::Lost, cx),
            Timer::Max => self.begin_ending(Ended::MaxTime, cx),
            Timer::Warn => cx.out.push(Output::Signal(Signal::Warning)),
            Timer::GiveUp => self.give_up(cx),
            Timer::Show | Timer::Orphans | Timer::Shutdown => {}
        }
    }

    // The life of the call.

    /// There is a call: its time to ring begins.
    fn dial(&mut self, cx: &Context) {
        if matches!(self.state, State::Placing | State::Unknown) {
            self.state = State::Dialing;
            self.timers.set(Timer::Ring, self.ring_until(cx));
        }
    }

    /// When the number is left. Where another follows, early enough that the
    /// callee can still confirm and the call be hung up in time.
    fn ring_until(&self, cx: &Context) -> Instant {
        let longest = cx.now + self.task.ring_for;
        let placed = |r: &Record| Some(r.pressed + r.sent?);
        let placed = self.record.as_ref().and_then(placed);
        let Some(placed) = placed.filter(|_| self.task.another_follows) else {
            return longest;
        };
        let confirming = match self.stage {
            Stage::Confirming => cx.config.confirm_within,
            _ => Duration::ZERO,
        };
        let ringing = cx.config.next_within.saturating_sub(HANG_UP_ROOM);
        let in_time = placed + ringing.saturating_sub(confirming);
        longest.min(in_time.max(cx.now + SHORTEST_RING))
    }

    fn on_report(&mut self, report: Report, cx: &mut Context) {
        if self.state == State::Closed {
            return;
        }
        self.report = Some(report);
        self.note(|record, _| record.report = Some(report), cx);
        match (report.status, self.state) {
            (status, _) if status.is_terminal() => self.on_terminal(report, cx),
            (Status::Ringing, State::Dialing) => {
                self.state = State::Ringing;
                self.note(|record, at| record.ringing = Some(at), cx);
            }
            (Status::Answered, State::Dialing | State::Ringing) => self.answer(cx),
            _ => {}
        }
    }

    fn on_terminal(&mut self, report: Report, cx: &mut Context) {
        let ended = self.weigh(Ended::by_service(report, self.was_answered()));
        if self.goodbye.told {
            // `stop` has no reason we trust; the report has.
            self.note(|record, _| record.ended = Some(ended), cx);
        }
        if let Some(socket) = self.socket.take() {
            cx.out.push(Output::Close { socket });
        }
        let cleared = if self.goodbye.taken {
            Cleared::ByHangUp
        } else if self.goodbye.said {
            Cleared::ByStop
        } else if self.goodbye.unsupported && !self.goodbye.told {
            Cleared::ByWaiting
        } else {
            Cleared::ByService
        };
        self.note_over(ended, cx);
        self.close(cleared, cx);
    }

    fn answer(&mut self, cx: &mut Context) {
        self.state = State::Answered;
        self.timers.stop(Timer::Ring);
        self.timers.stop(Timer::Believe);
        self.timers.set(Timer::Max, cx.now + self.longest);
        let warn = self.longest.checked_sub(cx.config.warn_before);
        if let Some(warn) = warn.filter(|w| !w.is_zero() && *w < self.longest) {
            self.timers.set(Timer::Warn, cx.now + warn);
        }
        self.note(|record, at| record.answered = Some(at), cx);
        self.begin_stage(cx);
        if self.socket.is_some() {
            self.resume(cx);
        } else {
            self.timers
                .set(Timer::Stream, cx.now + cx.config.stream_within);
        }
    }

    /// The answered call has a stream.
    fn resume(&mut self, cx: &mut Context) {
        self.state = State::Answered;
        self.one_way = false;
        self.timers.stop(Timer::Stream);
        self.timers.stop(Timer::Return);
        self.stop_polling();
        self.listen(cx);
        self.resume_stage(cx);
    }

    /// Waits for the next packet, where there are any: the words of the far end
    /// come when somebody speaks.
    fn listen(&mut self, cx: &Context) {
        if !self.task.mode.takes_sound() {
            return;
        }
        let patience = cx.config.one_way_after;
        self.timers.set(Timer::OneWay, cx.now + patience);
    }

    fn on_one_way(&mut self, cx: &mut Context) {
        self.one_way = true;
        cx.out.count(Counter::OneWayAudio);
        self.note(|record, _| record.one_way += 1, cx);
        // Perhaps it is over and the `stop` was lost.
        self.ask_get(cx);
    }

    /// A stream has been up for a while and nobody said `answered`.
    fn on_believe(&mut self, cx: &mut Context) {
        let rest_is_silent = self.rest_away || self.asked.get || self.call.is_none();
        if rest_is_silent {
            self.answer(cx);
        } else {
            self.timers.set(Timer::Believe, cx.now + BELIEVE_AFTER);
        }
    }

    fn attach(&mut self, socket: SocketId, cx: &mut Context) {
        match self.socket.replace(socket) {
            Some(old) if old == socket => return,
            Some(old) => {
                cx.out.count(Counter::SocketsTakenOver);
                cx.out.push(Output::Close { socket: old });
            }
            None => {}
        }
        let attempt = self.id;
        cx.out.push(Output::Attach {
            attempt,
            socket,
            joined: self.stage == Stage::Joined,
        });
        self.note(
            |record, at| record.streamed = record.streamed.or(Some(at)),
            cx,
        );
    }

    /// A stream for a call that is over.
    fn turn_away(
        &mut self,
        socket: SocketId,
        call: Option<CallId>,
        cx: &mut Context,
    ) -> Option<CallId> {
        cx.out.count(Counter::LateStreams);
        cx.out.push(Output::Stop { socket });
        self.goodbye.said = true;
        let stray = call.and_then(|call| self.name(call, cx));
        self.hurry(cx.now);
        stray
    }

    // Asking for the status.

    fn ask_get(&mut self, cx: &mut Context) {
        let Some(call) = self.call.clone().filter(|_| !self.asked.get) else {
            return;
        };
        self.asked.get = true;
        self.timers.set(Timer::Poll, cx.now + ANSWER_WITHIN);
        let attempt = self.id;
        cx.out.push(Output::Get { attempt, call });
    }

    fn poll_later(&mut self, cx: &Context) {
        if self.asked.get {
            return;
        }
        // The visitor waits for the ring-back tone.
        let every = match self.state {
            State::Dialing => cx.config.poll_every / 2,
            _ => cx.config.poll_every,
        };
        self.timers.set(Timer::Poll, cx.now + every);
    }

    fn stop_polling(&mut self) {
        if !self.asked.get {
            self.timers.stop(Timer::Poll);
        }
    }

    fn after_get(&mut self, cx: &mut Context) {
        self.timers.stop(Timer::Poll);
        match self.state {
            State::Dialing | State::Ringing | State::Reconnecting => self.poll_later(cx),
            State::Answered if self.one_way || self.socket.is_none() => self.poll_later(cx),
            State::Ending => self.press_on_later(cx),
            _ => {}
        }
    }

    fn was_answered(&self) -> bool {
        let answered = |record: &Record| record.answered.is_some();
        self.record.as_ref().is_some_and(answered)
    }

    fn has_streamed(&self) -> bool {
        self.goodbye.told || self.goodbye.said || self.socket.is_some()
    }

    /// Writes on the record, if there is one, with the time since the press.
    fn note<T>(
        &mut self,
        write: impl FnOnce(&mut Record, Duration) -> T,
        cx: &Context,
    ) -> Option<T> {
        let record = self.record.as_mut()?;
        Some(write(record, cx.now - record.pressed))
    }
}
