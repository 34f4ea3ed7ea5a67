//! What a call does next, from the press, or from a caller's stream, to the
//! hang-up that is confirmed.
//!
//! Pure: no socket, file, thread or clock in here. The daemon says what
//! happened with [`Call::handle`], does what [`Call::poll`] asks for until it
//! says [`Output::WaitUntil`], and comes back by then. There is one `Call` per
//! device, on the control runtime.
//!
//! ```text
//!          orphans up              POST unanswered
//!  Idle ──────────▶ Held    Placing ──────────▶ Unknown ── not found ──▶ Idle
//!   │                │        ▲  │ 200            │ found, or its stream
//!   └──── press ─────┴────────┘  ▼                ▼
//!                              Dialing ◀──────────┘
//!                                │ ringing
//!                                ▼            stream lost
//!                              Ringing ──▶ Answered ◀──▶ Reconnecting
//!                                │            │ far end      │ 10 s
//!   cancel, ring_for, max_call,  ▼            ▼              ▼
//!   shutdown ───────────────▶ Ending: hang up until the service says terminal ──▶ Idle
//!                                                                  │ nobody was reached,
//!                                 Placing ◀── the next number ─────┘ a number follows
//! ```
//!
//! An answered call has stages of its own (`attempt/stage.rs`); without any
//! asked for, it is joined at once:
//!
//! ```text
//!  press ──▶ …  Answered ──▶ Confirming ── its key ──────────────▶ joined: the two
//!  caller ────▶ Answered ──▶ Chiming ───── press, chime_for ─────▶ hear each other
//!  press ──▶ …  Answered ──▶ Announcing ── said, or confirmed ───▶ Ending
//! ```
//!
//! # The states
//!
//! Every row is told as a story in `tests/traces/call/`, by the name in the
//! last column. A report of the service that is terminal ends a call in any
//! state. What is not in the table does nothing.
//!
//! | state | what happens | next | what is done | story |
//! |---|---|---|---|---|
//! | Idle | press | Placing | POST, once; record | `far_end_hangs_up` |
//! | Idle | press, a limit says no | Idle | closed record, limited | `day_is_used_up`, `minutes_are_used_up`, `failures_make_it_pause` |
//! | Idle | press, orphans up or not yet listed | Held | | `orphan_is_ended_before_the_press_is_placed`, `list_of_orphans_is_not_answered` |
//! | Idle | press, no number at this hour | Idle | closed record | `list_is_empty_at_this_hour` |
//! | Idle | incoming, chime | Chiming | attach apart; record | `inbound_call_chimes_and_is_let_in` |
//! | Idle | incoming, answer | Answered | attach; record | `inbound_call_is_answered_at_once` |
//! | Idle | incoming, refuse | same | `stop`, hang up; record | `inbound_call_is_refused` |
//! | any but Idle | incoming | same | `stop`, hang up; record | `inbound_call_while_busy_is_turned_away` |
//! | Held | line is clear | Placing | POST, once | `orphan_is_ended_before_the_press_is_placed` |
//! | Held | `hold_press` | Idle | closed record, failed | `orphan_that_stays_refuses_the_press` |
//! | Held | cancel | Idle | closed record | `held_press_is_cancelled` |
//! | Idle | offline, online | Idle | shown; what waits for its turn is done now | `offline_and_back` |
//! | any but Idle | press | same | busy signal | `second_press_is_only_acknowledged` |
//! | Placing | 200 | Dialing | `ring_for` begins, get-call every 2 s | `far_end_hangs_up` |
//! | Placing | refused | Idle | closed record | `refused_for_each_reason` |
//! | Placing | outcome unknown | Unknown | look at 1, 2, 4, 8 s | `unknown_outcome_is_found` |
//! | Placing | no answer at all for 30 s | Unknown | same | `lost_answer_is_an_unknown_outcome` |
//! | Placing | its stream | Dialing or Answered | attach | `stream_is_faster_than_the_post` |
//! | Placing | cancel | Ending | wait for the answer, then hang up | `cancelled_while_placing` |
//! | Unknown | found | Dialing | | `unknown_outcome_is_found` |
//! | Unknown | its stream | Dialing or Answered | attach | `unknown_outcome_is_resolved_by_its_stream` |
//! | Unknown | absent at the last look | Idle | failed | `unknown_outcome_is_not_found` |
//! | Unknown | the last look fails too | Ending | look on, up to 32 s apart | `unknown_outcome_while_rest_is_away` |
//! | Unknown | cancel | Ending | look on, hang up if found | `cancelled_while_unknown` |
//! | Dialing | `ringing` | Ringing | ring-back | `far_end_hangs_up` |
//! | Dialing, Ringing | `answered`, by status or stream | Answered | `max_call` begins | `far_end_hangs_up`, `answered_by_status_first` |
//! | Dialing, Ringing | 1 s of stream, REST silent | Answered | same | `stream_stands_for_an_answer_when_rest_is_away` |
//! | Dialing, Ringing | `ring_for` | Ending | hang up | `rings_out` |
//! | Dialing, Ringing | rejected, voicemail, failed, canceled | Idle | failed | `rejected_voicemail_failed_and_canceled` |
//! | Dialing, Ringing | stream lost | same | wait for the next | `stream_is_lost_before_the_answer` |
//! | any, over | nobody was reached, a number follows | Held, Placing | POST of the next, once this one is off the line | `list_goes_on_after_each_reason`, `list_is_gone_through_again` |
//! | any, over | nobody was reached, none follows | Idle | failed | `list_is_gone_through_again`, `all_numbers_are_wrong` |
//! | any, over | another number would do no better | Idle | failed | `list_stops_where_no_other_number_would_do_better`, `unknown_outcome_in_a_list` |
//! | any, over | somebody was reached | Idle | | `answered_call_ends_the_list` |
//! | any, over | a number follows, a limit says no | Idle | closed record, limited | `limit_in_the_middle_of_a_list` |
//! | any | cancel or shutdown, a number follows | Ending | no other number | `cancelled_in_a_list`, `shutdown_in_a_list` |
//! | Dialing, Ringing | `next_within` is near, a number follows | Ending | hang up | `next_number_is_dialed_in_time`, `time_to_confirm_is_kept_free`, `slow_service_still_lets_it_ring` |
//! | Ending | not confirmed, a number follows | Ending | no POST before it is; none after `give_up_after` | `hang_up_that_is_not_confirmed_blocks_the_next_number` |
//! | Confirming | the key | Answered | join | `callee_confirms_with_a_key` |
//! | Confirming | `confirm_within`, or it ends | Ending | hang up; the next number | `voicemail_does_not_end_the_list` |
//! | Confirming | stream lost, back, or not | Confirming | the next number when it is not | `stream_is_lost_while_confirming` |
//! | Chiming | `chime_for` | Answered | join | `inbound_call_chimes_and_is_let_in` |
//! | Chiming | press | Answered | join | `press_lets_the_caller_in` |
//! | Chiming | cancel | Ending | `stop`, hang up | `chiming_call_is_cancelled` |
//! | Chiming | the caller hangs up | Ending | get-call | `caller_hangs_up_while_it_chimes` |
//! | Chiming, Answered | stream lost, its call again | same | attach | `inbound_stream_comes_back` |
//! | Announcing | spoken, rounds left | Announcing | 2 s later: say | `announcement_is_said_and_hung_up` |
//! | Announcing | spoken, no round left | Ending | hang up: announced | `announcement_is_said_and_hung_up` |
//! | Announcing | the key in a pause | Ending | hang up: announced | `announcement_is_repeated_until_confirmed` |
//! | Announcing | the key while it is said | Announcing | this round is the last | `callee_confirms_in_the_middle` |
//! | Announcing | said, no key for `confirm_within` | Ending | hang up; the next number | `announcement_is_confirmed_by_nobody` |
//! | Announcing | the callee hangs up | Ending | announced if said once, or confirmed | `callee_hangs_up_on_the_announcement` |
//! | Announcing | spoken over by the callee | Announcing | as spoken; not claimed as said | `announcement_that_is_cut_off_is_not_claimed` |
//! | Announcing | not spoken for `say_within` | Announcing | the next round; not claimed as said | `nobody_says_that_it_was_spoken` |
//! | Announcing | stream lost, back | Announcing | say it again | `stream_is_lost_while_announcing` |
//! | Answered | a code typed | Answered | open the door, once | `door_opens_by_code` |
//! | Answered | half a code, 5 s | Answered | forgotten | `half_typed_code_is_forgotten` |
//! | Answered | 32 keys without a code | Answered | no key is looked at any more | `flood_of_keys_is_not_listened_to` |
//! | Answered | a word said | Answered | open the door | `door_opens_by_word` |
//! | not joined, or over | a code, a word | same | | `door_stays_shut_until_joined` |
//! | Answered | no packet, but words | Answered | | `words_without_sound_are_not_one_way` |
//! | Answered | no stream for 10 s | Ending | hang up | `answered_but_no_stream` |
//! | Answered | no packet for 2 s | Answered | one-way is shown, counted | `one_way_audio_is_told` |
//! | Answered | `stop` from the service | Ending | get-call for the reason | `far_end_hangs_up` |
//! | Answered | stream lost | Reconnecting | get-call every 2 s | `stream_comes_back` |
//! | Answered | a newer stream | Answered | it takes over | `newest_stream_takes_over` |
//! | Answered | `warn_before`, then `max_call` | Ending | warning, then hang up | `longest_call_is_warned_and_ended` |
//! | Answered | cancel | Ending | `stop` and hang up | `cancelled_in_the_call` |
//! | Answered | a kind of sound we do not take | Ending | hang up | `unsupported_sound_is_hung_up` |
//! | Reconnecting | its stream | Answered | attach | `stream_comes_back` |
//! | Reconnecting | 10 s | Ending | hang up | `stream_does_not_come_back` |
//! | Ending | 409, or no answer | Ending | get-call, again after 0.5 s … 32 s | `hang_up_is_repeated_until_terminal` |
//! | Ending | no such route | Ending | get-call until terminal | `service_without_hang_up` |
//! | Ending | `stop` was said, REST away | Idle | two tries, then that has to do | `stop_is_believed_when_rest_is_away` |
//! | Ending | `give_up_after` | Idle | loud record | `hang_up_is_given_up` |
//! | Ending | its stream | Ending | `stop` on it | `late_stream_is_stopped` |
//! | over | 200, found | | hang up, blocks the next call | `late_accept_is_hung_up` |
//! | over | its stream | | `stop` on it, hang up | `late_stream_is_stopped` |
//! | any | a second call on the same URL | same | `stop`, hang up | `second_call_on_one_url_is_hung_up`, `stray_call_is_hung_up` |
//! | any | orphans listed | same | hang up, each beside the rest | `more_orphans_than_the_table_holds` |
//! | any | shutdown | Ending | hang up, 1.5 s, stopped | `shutdown_in_a_call`, `shutdown_cannot_wait` |
//!
//! # What may be relied on
//!
//! Always true between two calls of `handle`:
//! - there is at most one wanted call in the table of attempts, and it is
//!   placed only when nothing else is: never two calls, but for a call that
//!   turns up after it was given up, and an inbound one that is being turned
//!   away;
//! - one `Place` per attempt, at most one `Join`;
//! - a door is opened only while the two hear each other, or for a callee who
//!   has confirmed an announcement;
//! - each press that is not merely acknowledged comes to an end, after at most
//!   [`MAX_TARGETS`] × [`MAX_CYCLES`] attempts, each of which gets exactly one
//!   closed record;
//! - every state but idle has a timer running, so none is for ever;
//! - at most [`MAX_ATTEMPTS`] attempts and [`MAX_OUTPUTS`] outputs are held.
//!
//! # Choices
//!
//! *Given up* is where a bound beats a rule. A call not found at 8 s is taken
//! not to exist; if it turns up later, it is hung up at once, and its stream
//! is stopped. A call whose end is not confirmed for
//! [`Config::give_up_after`] no longer blocks the button.
//!
//! *Orphans*: a press waits for the list of them to be answered (5 s at most;
//! a list that fails lets it pass, since a lift must be able to call without
//! it) and then for those that are up to be gone (`hold_press` at most; a
//! known call is never doubled).
//!
//! *The next number* is called when nobody was reached and another number can
//! do better: the call failed, was canceled or rejected, a machine answered,
//! `ring_for` was over, nobody confirmed, the carrier or the number was refused.
//! Not where the key, the organization, the network or the day is at fault, nor
//! where a call may still be up. A callee who has to confirm was not reached
//! before; without that, whoever answers was, but for a machine that the service
//! knows. A pause after failures is for visitors: it does not hold a list up,
//! and a list that fails is one failure.
//!
//! *Within 45 s in all* ([`Config::next_within`], from one number's POST to the
//! next one's): 5 s of them are kept for hanging up and, where the callee has to
//! confirm, `confirm_within` from the answer. So with the defaults a number that
//! another follows rings until 40 s after its POST, or until 25 s after it, where
//! without the list it would for [`Plan::ring_for`]. It rings for 15 s all the
//! same when the service was slow to take the call. What can make it longer: a
//! hang-up that the service does not confirm, and an announcement, which is not
//! cut short. Beyond the last number nothing is cut short.
//!
//! *A key* that confirms is nothing to the door. The `dtmf` message and the tones
//! in the sound are two tellings of one press; see `keypad.rs`.
//!
//! *Inbound calls* do not count towards the day's calls and minutes, which are
//! what the service counts of placed calls. They carry sound both ways.
//!
//! *Between two numbers* the visitor is shown dialing, not ending: they are still
//! being helped.
//!
//! *Answered* is what the status or the stream's context says. A stream that
//! has been up for a second stands for it only while get-call is unanswered.
//!
//! *The lamp* says dialing only when the service has said 200 or might have;
//! until then it says pressed.
//!
//! *Time-outs* are all in `timers.rs`, with what each one means.

mod attempt;
mod config;
mod event;
mod keypad;
mod limits;
mod list;
mod outputs;
mod record;
mod timers;

use std::time::{Duration, Instant};

use crate::trace::Counter;
use crate::units::{AttemptId, ButtonId, CallId, SocketId};

use attempt::{Attempt, Context};
use limits::Limits;
use list::{List, Turn};
use outputs::Outputs;
use timers::{LIST_WITHIN, SHUTDOWN_WITHIN, Timer, Timers, pause};

pub use config::{Config, Door, Inbound, MAX_CODE, MAX_DOORS};
pub use event::{
    HangUpAnswer, Input, Kind, Look, MAX_CYCLES, MAX_TARGETS, Output, Phase, Plan, Reason, Refusal,
    Remaining, Report, Signal, Source, Status,
};
pub use limits::{Snapshot, Used};
pub use outputs::MAX_OUTPUTS;
pub use record::{Cleared, Direction, Ended, Limit, MAX_OPENINGS, OpenedBy, Opening, Record};

/// Most attempts held at once: one that is wanted, the others being calls that
/// nobody wants and that have to be ended. When these fill their places, orphans
/// beyond them are listed again later, and a late call is hung up once
/// without being followed.
pub const MAX_ATTEMPTS: usize = 8;

/// See the [module page](self).
#[derive(Debug)]
pub struct Call {
    /// At most [`MAX_ATTEMPTS`], one of them wanted.
    attempts: Vec<Attempt>,
    /// What the press asked for whose call is up.
    list: Option<List>,
    latest: AttemptId,
    limits: Limits,
    orphans: Orphans,
    timers: Timers,
    offline: bool,
    stop: Stop,
    /// How the latest call went, while that is shown.
    result: Option<Phase>,
    shown: Option<Phase>,
    cx: Context,
}

/// How far the search for orphans is.
#[derive(Debug, Default)]
struct Orphans {
    asked: bool,
    /// The first list has been answered, or has failed: presses no longer wait.
    settled: bool,
    /// There were more than the table had room for.
    more: bool,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Asked,
    Done,
}

impl Call {
    /// An idle machine that asks for orphans as soon as it is handed anything
    /// ([`Input::Tick`] will do). `limits` is what the last process saved.
    #[must_use]
    pub fn new(config: Config, limits: &Snapshot, now: Instant) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Orphans, now);
        Self {
            attempts: Vec::with_capacity(MAX_ATTEMPTS),
            list: None,
            latest: AttemptId(0),
            limits: Limits::restore(limits, &config, now),
            orphans: Orphans::default(),
            timers,
            offline: false,
            stop: Stop::No,
            result: None,
            shown: None,
            cx: Context {
                now,
                config,
                out: Outputs::new(),
            },
        }
    }

    /// Takes in what happened at `now`, then leaves its requests for
    /// [`poll`](Self::poll).
    ///
    /// Drain `poll` down to [`Output::WaitUntil`] before the next call of
    /// this. An earlier `now` than last time counts as last time's. An input
    /// that makes no sense in the present state is ignored: the network may be
    /// late.
    ///
    /// Real time: not for the audio thread.
    pub fn handle(&mut self, now: Instant, input: Input) {
        debug_assert!(self.cx.out.is_empty(), "poll() was not drained");
        self.cx.now = now.max(self.cx.now);
        self.fire_timers();
        self.settle();
        self.take(input);
        self.settle();
        self.show();
        self.finish();
    }

    /// Hands out the next thing to do. `WaitUntil` means there is no more for
    /// now.
    #[must_use]
    pub fn poll(&mut self) -> Output {
        let wait = Output::WaitUntil(self.soonest());
        self.cx.out.pop().unwrap_or(wait)
    }

    /// The limits' memory as of `now`, to be kept across restarts.
    #[must_use]
    pub fn limits(&self, now: Instant) -> Snapshot {
        self.limits.snapshot(now.max(self.cx.now))
    }

    /// Lets the limits' memory that came from the last process age by `off`,
    /// the time between the two. To be said once, when that becomes known: at
    /// the start the clock is not to be believed.
    pub fn age_limits(&mut self, off: Duration) {
        self.limits.age(off);
    }

    /// What the visitor is to know.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let wanted = self.attempts.iter().find(|a| a.is_wanted());
        match (wanted.map(|a| self.phase_of(a)), self.result) {
            (Some(phase), _) | (None, Some(phase)) => phase,
            (None, None) if self.offline => Phase::Offline,
            (None, None) => Phase::Idle,
        }
    }

    /// Between two numbers of a list the visitor is not to think that it is
    /// over, nor that it begins again.
    fn phase_of(&self, attempt: &Attempt) -> Phase {
        let later = self.list.as_ref().is_some_and(|l| !l.is_at_first());
        match attempt.phase() {
            Phase::Ending if self.offline => Phase::Offline,
            Phase::Ending if self.goes_on_after(attempt) => Phase::Dialing,
            Phase::Pressed if later => Phase::Dialing,
            phase => phase,
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Press {
                button,
                qualified_in,
                plan,
            } => self.on_press(button, qualified_in, plan),
            Input::Incoming { socket, call } => self.on_incoming(socket, call),
            Input::Cancel => self.on_cancel(),
            Input::Shutdown => self.on_shutdown(),
            Input::Placed {
                attempt,
                call,
                remaining,
            } => self.on_placed(attempt, call, remaining),
            Input::Refused { attempt, why } => {
                self.with(attempt, |a, cx| a.on_refused(why, cx));
            }
            Input::OutcomeUnknown { attempt } => {
                self.with(attempt, Attempt::on_outcome_unknown);
            }
            Input::Looked { attempt, found } => self.on_looked(attempt, found),
            Input::Status { attempt, report } => {
                self.with(attempt, |a, cx| a.on_status(report, cx));
            }
            Input::StatusFailed { attempt } => {
                self.with(attempt, Attempt::on_status_failed);
            }
            Input::HungUp { attempt, answer } => {
                self.with(attempt, |a, cx| a.on_hung_up(answer, cx));
            }
            Input::Stream {
                attempt,
                socket,
                call,
                answered,
            } => self.on_stream(attempt, socket, call, answered),
            // The same as an answer to the POST that names a second call.
            Input::Stray { attempt, call } => self.on_placed(attempt, call, None),
            Input::Digit {
                socket,
                digit,
                source,
            } => self.with_socket(socket, |a, cx| a.on_digit(digit, source, cx)),
            Input::Heard { socket, text } => {
                self.with_socket(socket, |a, cx| a.on_heard(&text, cx));
            }
            Input::Spoken { socket, whole } => {
                self.with_socket(socket, |attempt, cx| attempt.on_spoken(whole, cx));
            }
            Input::MediaHeard { socket } => self.with_socket(socket, |a, cx| a.on_media(cx)),
            Input::StreamStop { socket } => self.with_socket(socket, Attempt::on_stream_stop),
            Input::StreamUnsupported { socket } => {
                self.with_socket(socket, Attempt::on_stream_unsupported);
            }
            Input::StreamLost { socket, code } => {
                self.with_socket(socket, |a, cx| a.on_stream_lost(code, cx));
            }
            Input::Orphans(calls) => self.on_orphans(calls),
            Input::OrphansFailed => self.on_orphans_failed(),
            Input::Offline => self.offline = true,
            Input::Online => self.on_online(),
            Input::Tick => {}
        }
    }

    // What happens to the device.

    fn on_press(&mut self, button: ButtonId, qualified_in: Duration, plan: Plan) {
        if self.stop != Stop::No {
            return;
        }
        // An announcement is made to others than the one who calls.
        if plan.kind == Kind::Talk && self.let_in() {
            return;
        }
        if self.attempts.iter().any(Attempt::is_wanted) {
            self.cx.out.count(Counter::PressesInCall);
            self.cx.out.push(Output::Signal(Signal::Busy));
            return;
        }
        self.result = None;
        let (now, id) = (self.cx.now, self.next_attempt());
        let list = List::new(id, button, plan);
        // The edge came before `now`; where the clock is younger than that, at its start.
        let began = now.checked_sub(qualified_in).unwrap_or(now);
        let mut attempt = Attempt::outbound(id, &list.turn(), began, now);
        let allowed = self.limits.check_press(&self.cx.config, now);
        match allowed {
            Ok(_) if list.is_empty() => attempt.refuse(Ended::NoNumber, &mut self.cx),
            Ok(longest) => attempt.hold(longest, &self.cx),
            Err(limit) => attempt.refuse(Ended::Limited(limit), &mut self.cx),
        }
        self.cx.out.count(if attempt.is_closed() {
            Counter::PressesRefused
        } else {
            Counter::Presses
        });
        self.list = Some(list);
        self.attempts.push(attempt);
    }

    /// The next number of the press has its turn.
    fn on_next_turn(&mut self, turn: &Turn) {
        let (now, id) = (self.cx.now, self.next_attempt());
        let mut attempt = Attempt::outbound(id, turn, now, now);
        match self.limits.check(&self.cx.config, now) {
            Ok(longest) => attempt.hold(longest, &self.cx),
            Err(limit) => attempt.refuse(Ended::Limited(limit), &mut self.cx),
        }
        self.attempts.push(attempt);
    }

    fn on_incoming(&mut self, socket: SocketId, call: CallId) {
        if let Some(known) = self.attempts.iter_mut().find(|a| a.has_call(&call)) {
            _ = known.on_stream(socket, Some(call), true, &mut self.cx);
            return;
        }
        let busy = self.stop != Stop::No || self.attempts.iter().any(Attempt::is_wanted);
        if busy || self.cx.config.inbound == Inbound::Refuse {
            self.turn_away(socket, call);
            return;
        }
        self.result = None;
        let id = self.next_attempt();
        let mut attempt = Attempt::inbound(id, call, &self.cx);
        _ = attempt.on_stream(socket, None, true, &mut self.cx);
        self.attempts.push(attempt);
    }

    fn turn_away(&mut self, socket: SocketId, call: CallId) {
        self.cx.out.count(Counter::CallsTurnedAway);
        self.cx.out.push(Output::Stop { socket });
        let attempt = self.next_attempt();
        if self.has_room() {
            let turned_away = Attempt::turned_away(attempt, call, &mut self.cx);
            self.attempts.push(turned_away);
        } else {
            self.cx.out.count(Counter::AttemptsCrowded);
            self.cx.out.push(Output::HangUp { attempt, call });
        }
    }

    /// Lets in the inbound call that chimes, if one does.
    fn let_in(&mut self) -> bool {
        let chiming = self.attempts.iter_mut().find(|a| a.is_chiming());
        chiming.map(|a| a.join(&mut self.cx)).is_some()
    }

    fn on_cancel(&mut self) {
        if let Some(list) = &mut self.list {
            list.stop();
        }
        if let Some(wanted) = self.attempts.iter_mut().find(|a| a.is_wanted()) {
            wanted.end(Ended::Cancelled, &mut self.cx);
        }
    }

    fn on_shutdown(&mut self) {
        if self.stop != Stop::No {
            return;
        }
        self.stop = Stop::Asked;
        self.timers.stop(Timer::Orphans);
        let patience = SHUTDOWN_WITHIN;
        self.timers.set(Timer::Shutdown, self.cx.now + patience);
        if let Some(list) = &mut self.list {
            list.stop();
        }
        for attempt in &mut self.attempts {
            attempt.end(Ended::Shutdown, &mut self.cx);
            attempt.hurry(self.cx.now);
        }
    }

    fn on_online(&mut self) {
        self.offline = false;
        for attempt in &mut self.attempts {
            attempt.hurry(self.cx.now);
        }
        if !self.orphans.asked {
            self.timers.hurry(Timer::Orphans, self.cx.now);
        }
    }

    fn on_orphans(&mut self, calls: Vec<CallId>) {
        if self.stop != Stop::No {
            return;
        }
        self.timers.stop(Timer::Orphans);
        self.orphans = Orphans {
            settled: true,
            ..Orphans::default()
        };
        for call in calls {
            if self.has_room() {
                self.cx.out.count(Counter::OrphansEnded);
                self.end_unwanted(Some(call));
            } else {
                self.orphans.more = true;
            }
        }
    }

    fn on_orphans_failed(&mut self) {
        if !self.orphans.asked || self.stop != Stop::No {
            return;
        }
        self.orphans.asked = false;
        self.orphans.settled = true;
        self.orphans.failures = self.orphans.failures.saturating_add(1);
        let again = self.cx.now + pause(self.orphans.failures);
        self.timers.set(Timer::Orphans, again);
    }

    // What happens to an attempt, which may be long over.

    fn on_placed(&mut self, id: AttemptId, call: CallId, remaining: Option<Remaining>) {
        let late = call.clone();
        let stray = self
            .with(id, |a, cx| a.on_placed(call, remaining, cx))
            .unwrap_or(Some(late));
        self.end_unwanted(stray);
    }

    fn on_looked(&mut self, id: AttemptId, found: Look) {
        let late = match &found {
            Look::Found { call, report } if !report.status.is_terminal() => Some(call.clone()),
            _ => None,
        };
        let stray = self
            .with(id, |a, cx| a.on_looked(found, cx))
            .unwrap_or(late);
        self.end_unwanted(stray);
    }

    fn on_stream(&mut self, id: AttemptId, socket: SocketId, call: Option<CallId>, answered: bool) {
        let late = call.clone();
        let stray = self
            .with(id, |a, cx| a.on_stream(socket, call, answered, cx))
            .unwrap_or_else(|| {
                self.cx.out.count(Counter::LateStreams);
                self.cx.out.push(Output::Stop { socket });
                late
            });
        self.end_unwanted(stray);
    }

    fn with<T>(
        &mut self,
        id: AttemptId,
        act: impl FnOnce(&mut Attempt, &mut Context) -> T,
    ) -> Option<T> {
        let attempt = self.attempts.iter_mut().find(|a| a.id == id)?;
        attempt.was_sent().then(|| act(attempt, &mut self.cx))
    }

    fn with_socket(&mut self, socket: SocketId, act: impl FnOnce(&mut Attempt, &mut Context)) {
        if let Some(attempt) = self.attempts.iter_mut().find(|a| a.has_socket(socket)) {
            act(attempt, &mut self.cx);
        }
    }

    /// Sees a call off the line that belongs to no press, unless that is being
    /// done already.
    fn end_unwanted(&mut self, call: Option<CallId>) {
        let known = |call: &CallId| self.attempts.iter().any(|a| a.has_call(call));
        let Some(call) = call.filter(|call| !known(call)) else {
            return;
        };
        let attempt = self.next_attempt();
        if self.has_room() {
            let unwanted = Attempt::unwanted(attempt, call, &mut self.cx);
            self.attempts.push(unwanted);
        } else {
            self.cx.out.count(Counter::AttemptsCrowded);
            self.cx.out.push(Output::HangUp { attempt, call });
        }
    }

    /// Whether one more unwanted call can be followed; a wanted one always can.
    fn has_room(&self) -> bool {
        self.attempts.iter().filter(|a| !a.is_wanted()).count() < MAX_ATTEMPTS - 1
    }

    fn next_attempt(&mut self) -> AttemptId {
        self.latest.0 = self.latest.0.checked_add(1).unwrap_or(1);
        self.latest
    }

    // Time.

    fn soonest(&self) -> Option<Instant> {
        let attempts = self.attempts.iter().filter_map(Attempt::soonest);
        attempts.chain(self.timers.soonest()).min()
    }

    /// Lets every time-out that is due happen, in their order.
    fn fire_timers(&mut self) {
        while let Some(due) = self.soonest().filter(|at| *at <= self.cx.now) {
            let mut attempts = self.attempts.iter_mut();
            match attempts.find(|a| a.soonest() == Some(due)) {
                Some(attempt) => attempt.fire(&mut self.cx),
                None => self.fire_own(),
            }
        }
    }

    fn fire_own(&mut self) {
        match self.timers.take_due(self.cx.now) {
            Some(Timer::Show) => self.result = None,
            Some(Timer::Orphans) if self.orphans.asked => {
                self.cx.out.count(Counter::AnswersMissed);
                self.on_orphans_failed();
            }
            Some(Timer::Orphans) => self.list_orphans(),
            Some(Timer::Shutdown) => {
                for attempt in &mut self.attempts {
                    attempt.give_up(&mut self.cx);
                }
            }
            _ => {}
        }
    }

    fn list_orphans(&mut self) {
        self.orphans.asked = true;
        self.orphans.more = false;
        self.timers.set(Timer::Orphans, self.cx.now + LIST_WITHIN);
        self.cx.out.push(Output::ListOrphans);
    }

    // Conclusions.

    /// Closed attempts leave the table, a press that waited is placed, what
    /// has changed goes on record.
    fn settle(&mut self) {
        while let Some(index) = self.attempts.iter().position(Attempt::is_closed) {
            let mut attempt = self.attempts.remove(index);
            self.record(attempt.take_record());
            self.on_closed(&attempt);
        }
        let unwanted = self.attempts.iter().any(|a| !a.is_wanted());
        if !unwanted && self.orphans.settled {
            self.place_held();
        }
        if !unwanted && self.orphans.more && self.stop == Stop::No {
            self.list_orphans();
        }
        for index in 0..self.attempts.len() {
            let record = self.attempts[index].take_record();
            self.record(record);
        }
    }

    fn place_held(&mut self) {
        if let Some(held) = self.attempts.iter_mut().find(|a| a.is_held()) {
            self.limits.on_placed(self.cx.now);
            held.place(&mut self.cx);
        }
    }

    fn record(&mut self, record: Option<Box<Record>>) {
        if let Some(record) = record {
            self.cx.out.push(Output::Record(record));
        }
    }

    fn on_closed(&mut self, attempt: &Attempt) {
        let Some(ended) = attempt.ended().filter(|_| attempt.is_wanted()) else {
            return;
        };
        let goes_on = self.goes_on_after(attempt);
        if attempt.was_placed() {
            let (refusal, answered) = (attempt.refusal(), attempt.answered_for());
            let (config, now) = (&self.cx.config, self.cx.now);
            self.limits
                .on_closed(ended, refusal, answered, goes_on, config, now);
        }
        if let Some(list) = self.list.as_mut().filter(|_| goes_on) {
            list.advance();
            let turn = list.turn();
            self.on_next_turn(&turn);
            return;
        }
        let cancelled = self.list.take().is_some_and(|list| list.is_stopped());
        let shown = if cancelled {
            Phase::Ended
        } else {
            shown_after(ended)
        };
        self.result = Some(shown);
        self.shown = None;
        let show_until = self.cx.now + self.cx.config.show_for;
        self.timers.set(Timer::Show, show_until);
    }

    /// Whether another number is called once this attempt is off the line.
    fn goes_on_after(&self, attempt: &Attempt) -> bool {
        self.list.as_ref().is_some_and(List::has_next) && attempt.leads_on()
    }

    fn show(&mut self) {
        let phase = self.phase();
        if self.shown != Some(phase) {
            self.shown = Some(phase);
            self.cx.out.push(Output::Show(phase));
        }
    }

    /// A stop is complete when nothing is up any more.
    fn finish(&mut self) {
        if self.stop == Stop::Asked && self.attempts.is_empty() {
            self.stop = Stop::Done;
            self.timers.stop(Timer::Shutdown);
            self.cx.out.push(Output::Stopped);
        }
    }
}

fn shown_after(ended: Ended) -> Phase {
    match ended {
        Ended::FarHungUp
        | Ended::Cancelled
        | Ended::TurnedAway
        | Ended::MaxTime
        | Ended::ServiceMaxTime
        | Ended::Shutdown => Phase::Ended,
        Ended::Announced => Phase::Announced,
        Ended::Limited(_) | Ended::Refused(Refusal::Limit { .. }) => Phase::Limited,
        Ended::Refused(Refusal::Offline) => Phase::Offline,
        Ended::NotAnswered
        | Ended::Rejected
        | Ended::Voicemail
        | Ended::NotConfirmed
        | Ended::NotSpoken
        | Ended::NoNumber
        | Ended::Failed
        | Ended::CancelledByService
        | Ended::NoStream
        | Ended::Unsupported
        | Ended::Lost
        | Ended::Refused(_)
        | Ended::LineBusy
        | Ended::NotFound => Phase::Failed,
    }
}
