//! What is written down about an attempt.

use std::time::{Duration, Instant};

use crate::units::{AttemptId, ButtonId, CallId};

use super::event::{Kind, Reason, Refusal, Remaining, Report, Status};

/// The record of one attempt, as it stands at one moment. Each replaces the
/// one before it; exactly one per attempt has [`closed`](Self::closed) set, and
/// nothing follows that one.
///
/// A press of a button with a list makes one attempt a number, each with a
/// record of its own; [`press`](Self::press) joins them.
///
/// Times are offsets from [`pressed`](Self::pressed); the daemon turns that
/// one instant into wall time when it stores the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Who called whom.
    pub direction: Direction,
    /// The first attempt of the press that this one is of.
    pub press: AttemptId,
    /// Which button; `None` for an inbound call.
    pub button: Option<ButtonId>,
    /// What was to be done with whoever answered.
    pub kind: Kind,
    /// Which number of the button's list: its place there.
    pub target: u8,
    /// Which number of this press: its place in the plan's list.
    pub position: u8,
    /// How often the list had been gone through before.
    pub cycle: u8,
    /// When it began, in monotonic time: the first edge of the press, the
    /// moment a later number's turn came, or an inbound call's first stream.
    pub pressed: Instant,
    /// The press counted; zero for all but the first attempt of a press.
    pub qualified: Duration,
    /// The request was handed out; `None` when a limit or a fault came first.
    pub sent: Option<Duration>,
    /// The service named the call.
    pub accepted: Option<Duration>,
    /// The service first said `ringing`.
    pub ringing: Option<Duration>,
    /// The first media socket was attached.
    pub streamed: Option<Duration>,
    /// Answered, by the rule of the module page.
    pub answered: Option<Duration>,
    /// The callee pressed the key that confirms.
    pub confirmed: Option<Duration>,
    /// From here on the two heard each other.
    pub joined: Option<Duration>,
    /// The call was over for the visitor.
    pub over: Option<Duration>,
    /// The last we know of it: terminal at the service, or given up.
    pub closed: Option<Duration>,
    /// The service's name for the call.
    pub call: Option<CallId>,
    /// What the service last said of it.
    pub report: Option<Report>,
    /// Why it was over, as the device knows it. Set with `over`.
    pub ended: Option<Ended>,
    /// How the call came off the line. Set with `closed`.
    pub cleared: Option<Cleared>,
    /// Times the stream dropped in the answered call.
    pub drops: u32,
    /// Close code of the last drop, if it had one.
    pub close_code: Option<u16>,
    /// Times nothing was heard from the far end for `one_way_after`.
    pub one_way: u32,
    /// Times the announcement was played to the callee to its end.
    pub spoken: u8,
    /// Keys the callee pressed. Set with `over`.
    pub digits: u32,
    /// Openings of a door, the first [`MAX_OPENINGS`].
    pub openings: Vec<Opening>,
    /// Openings beyond those. Set with `over`.
    pub more_openings: u32,
    /// Whether the place-call answer was missing and had to be looked up.
    pub outcome_unknown: bool,
    /// What the organization had left, as the place-call answer said.
    pub remaining: Option<Remaining>,
}

/// Most openings of a door that are written down with their time, for one call.
pub const MAX_OPENINGS: usize = 16;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The device called.
    Outbound,
    /// The device was called.
    Inbound,
}

/// A door that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// When.
    pub at: Duration,
    /// Which door, by its place in the configuration.
    pub door: u8,
    /// What opened it.
    pub by: OpenedBy,
}

/// What opened a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenedBy {
    /// Its code, typed on the callee's telephone.
    Code,
    /// One of its words, in what the callee said.
    Word,
}

/// Why a call was over, as the device knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The far end hung up.
    FarHungUp,
    /// The visitor cancelled.
    Cancelled,
    /// Nobody answered within `ring_for`.
    NotAnswered,
    /// The far end rejected it.
    Rejected,
    /// A machine answered.
    Voicemail,
    /// Somebody or something answered and did not press the key that confirms.
    NotConfirmed,
    /// The announcement was made, and confirmed where that was wanted.
    Announced,
    /// The announcement was sent, but the service never said that it was
    /// played to its end.
    NotSpoken,
    /// The device's own maximum time.
    MaxTime,
    /// The service's maximum time.
    ServiceMaxTime,
    /// The service could not connect it.
    Failed,
    /// Ended at the service, before it was answered or by a hang-up that was
    /// not this device's.
    CancelledByService,
    /// Answered, but no media stream came.
    NoStream,
    /// The stream carried a kind of sound the device does not take.
    Unsupported,
    /// The stream dropped and did not come back.
    Lost,
    /// There was no call, for this reason.
    Refused(Refusal),
    /// A limit of the device said no: nothing was sent.
    Limited(Limit),
    /// No number of the list is to be called at this hour: nothing was sent.
    NoNumber,
    /// An inbound call that was not let in: they are refused, or another call
    /// was up.
    TurnedAway,
    /// An earlier call could not be got off the line in time: nothing was sent.
    LineBusy,
    /// The place-call answer was missing and no call was found in time.
    NotFound,
    /// The process was asked to stop.
    Shutdown,
}

/// Which limit of the device said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Calls in 24 hours.
    Calls,
    /// Minutes in 24 hours.
    Minutes,
    /// The pause after failures.
    BackOff,
    /// The service's `Retry-After`.
    RetryAfter,
}

/// How a call came off the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// There was none.
    NeverUp,
    /// It ended without us: the service reported it terminal before we asked.
    ByService,
    /// We hung up over REST and the service reported it terminal.
    ByHangUp,
    /// We said `stop` on its stream and the service reported it terminal; no
    /// hang-up over REST was needed or there is no such route.
    ByStop,
    /// No hang-up route and no stream to say `stop` on: it was waited for.
    ByWaiting,
    /// `stop` was said on its stream, by the service or by us, and nothing
    /// else about the call could be had from the service.
    ByStreamAlone,
    /// Not confirmed within the bound: it may still be up. Loud.
    GivenUp,
}

impl Record {
    /// Of an attempt that has just begun.
    pub(super) fn new(attempt: AttemptId, direction: Direction, pressed: Instant) -> Self {
        Self {
            attempt,
            direction,
            press: attempt,
            button: None,
            kind: Kind::Talk,
            target: 0,
            position: 0,
            cycle: 0,
            pressed,
            qualified: Duration::ZERO,
            sent: None,
            accepted: None,
            ringing: None,
            streamed: None,
            answered: None,
            confirmed: None,
            joined: None,
            over: None,
            closed: None,
            call: None,
            report: None,
            ended: None,
            cleared: None,
            drops: 0,
            close_code: None,
            one_way: 0,
            spoken: 0,
            digits: 0,
            openings: Vec::new(),
            more_openings: 0,
            outcome_unknown: false,
            remaining: None,
        }
    }
}

impl Ended {
    /// What a terminal report says about the end of a call that we did not end.
    #[must_use]
    pub fn by_service(report: Report, answered: bool) -> Self {
        match (report.reason, report.status) {
            (Some(Reason::Voicemail), _) => Self::Voicemail,
            (Some(Reason::Rejected), _) => Self::Rejected,
            (Some(Reason::MaxDuration), _) => Self::ServiceMaxTime,
            (_, Status::Failed) => Self::Failed,
            (Some(Reason::Local), _) => Self::CancelledByService,
            (_, Status::Canceled) if !answered => Self::CancelledByService,
            _ => Self::FarHungUp,
        }
    }
}
