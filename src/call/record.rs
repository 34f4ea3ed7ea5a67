//! What is written down about an attempt.

use std::time::{Duration, Instant};

use crate::units::{AttemptId, ButtonId, CallId};

use super::event::{Reason, Refusal, Remaining, Report, Status};

/// The record of one press, as it stands at one moment. Each replaces the one
/// before it; exactly one per attempt has [`closed`](Self::closed) set, and
/// nothing follows that one.
///
/// Times are offsets from [`pressed`](Self::pressed); the daemon turns that
/// one instant into wall time when it stores the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Which button.
    pub button: ButtonId,
    /// First edge of the press, in monotonic time.
    pub pressed: Instant,
    /// The press counted.
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
    /// Times nothing was heard from the far end for three seconds.
    pub one_way: u32,
    /// Whether the place-call answer was missing and had to be looked up.
    pub outcome_unknown: bool,
    /// What the organization had left, as the place-call answer said.
    pub remaining: Option<Remaining>,
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
