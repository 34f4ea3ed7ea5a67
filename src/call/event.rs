//! What goes into [`Call`](super::Call) and what comes out of it: plain data,
//! no behaviour beyond a predicate.

use std::time::{Duration, Instant};

use crate::trace::Counter;
use crate::units::{AttemptId, ButtonId, CallId, Digit, Mode, SocketId};

use super::record::{Cleared, OpenedBy, Record};

/// Something that happened outside.
///
/// Everything here may come late, twice or out of order; what makes no sense
/// in the present state is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A press that counts, from the panel or the control socket.
    Press {
        /// Which button.
        button: ButtonId,
        /// Time from its first edge until it counted; zero from the control
        /// socket.
        qualified_in: Duration,
        /// What it asks for at this hour.
        plan: Plan,
    },
    /// Somebody calls: a stream on the inbound URL that was signed, whose call
    /// the service confirmed, whose caller may call at this hour. The same
    /// call again is its stream that comes back.
    Incoming {
        /// The new socket.
        socket: SocketId,
        /// The call.
        call: CallId,
    },
    /// Long press, or `callbox hangup`: end the call that is up, and the list
    /// it is of.
    Cancel,
    /// The process is asked to stop: hang up, record, then [`Output::Stopped`].
    Shutdown,
    /// Place-call answered 200.
    Placed {
        /// Of which attempt.
        attempt: AttemptId,
        /// The service's name for the call.
        call: CallId,
        /// What the organization has left today, when the answer says so.
        remaining: Option<Remaining>,
    },
    /// Place-call was refused, or never sent: there is no call.
    Refused {
        /// Which attempt.
        attempt: AttemptId,
        /// Why.
        why: Refusal,
    },
    /// Place-call may or may not have made a call: time-out or connection
    /// lost after sending, an unreadable answer, a 5xx other than 502.
    OutcomeUnknown {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Answer to [`Output::Look`].
    Looked {
        /// Which attempt.
        attempt: AttemptId,
        /// What list calls said.
        found: Look,
    },
    /// Answer to [`Output::Get`].
    Status {
        /// Which attempt.
        attempt: AttemptId,
        /// What get call said.
        report: Report,
    },
    /// [`Output::Get`] could not be answered.
    StatusFailed {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Answer to [`Output::HangUp`].
    HungUp {
        /// Which attempt.
        attempt: AttemptId,
        /// What the service said.
        answer: HangUpAnswer,
    },
    /// An authenticated handshake on this attempt's URL, even before the
    /// POST is answered, even after the attempt is over.
    Stream {
        /// Whose URL it came in on; `AttemptId(0)` for one that an earlier
        /// process made.
        attempt: AttemptId,
        /// The new socket.
        socket: SocketId,
        /// The call its context names, if it names one.
        call: Option<CallId>,
        /// Whether its context says `answered`.
        answered: bool,
    },
    /// Another call than the attempt's own is on the attempt's URL: its stream
    /// was refused at the door. It is hung up.
    Stray {
        /// Whose URL.
        attempt: AttemptId,
        /// The call its context names.
        call: CallId,
    },
    /// The callee pressed a key. Each may be told once from either source. In
    /// turn they may be a door's code: not for logs.
    Digit {
        /// On which socket.
        socket: SocketId,
        /// Which key.
        digit: Digit,
        /// How it arrived.
        source: Source,
    },
    /// The final words of something the callee said, clipped by the daemon.
    Heard {
        /// On which socket.
        socket: SocketId,
        /// The words.
        text: String,
    },
    /// What [`Output::Say`] asked for is over.
    Spoken {
        /// On which socket.
        socket: SocketId,
        /// It was played to the callee to its end, and not cut off by what the
        /// callee said, nor left unsaid.
        whole: bool,
    },
    /// Media came in on this socket. The daemon says so for the first packet
    /// and then once a second, if packets came in it.
    MediaHeard {
        /// Which socket.
        socket: SocketId,
    },
    /// The service said `stop`: the call is over.
    StreamStop {
        /// On which socket.
        socket: SocketId,
    },
    /// The stream carries a kind of sound the device does not take; it was
    /// told to stop.
    StreamUnsupported {
        /// Which socket.
        socket: SocketId,
    },
    /// The socket closed or broke without a `stop`.
    StreamLost {
        /// Which socket.
        socket: SocketId,
        /// Its close code, if it had one; 4500 is "will come back".
        code: Option<u16>,
    },
    /// Answer to [`Output::ListOrphans`]: calls on URLs this device made
    /// before this process began, that are not terminal.
    Orphans(Vec<CallId>),
    /// [`Output::ListOrphans`] could not be answered.
    OrphansFailed,
    /// A hint: the network is away.
    Offline,
    /// A hint: the network is back. What was waiting to be tried again is
    /// tried now.
    Online,
    /// Only time has passed.
    Tick,
}

/// What a press asks for. The daemon works it out when the button is pressed,
/// since hours are wall time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is to be done with whoever answers.
    pub kind: Kind,
    /// Which numbers of the button's list, as places in it, in turn. At most
    /// [`MAX_TARGETS`]; more are left out. With none the press is refused.
    pub targets: Vec<u8>,
    /// How often the list is gone through before it is given up: 1 to
    /// [`MAX_CYCLES`].
    pub cycles: u8,
    /// How long a number may ring, counted from the moment the service named
    /// the call. Beyond about 60 s most carriers answer with a machine, below
    /// 15 s nobody reaches the telephone. Where another number follows it is
    /// cut short by [`Config::next_within`](super::Config::next_within).
    pub ring_for: Duration,
    /// The key the callee has to press to be connected. A machine presses none.
    pub confirm: Option<Digit>,
    /// Where speech is made of text, and text of speech.
    pub mode: Mode,
}

/// Most numbers in one list.
pub const MAX_TARGETS: usize = 8;

/// Most times a list is gone through.
pub const MAX_CYCLES: u8 = 9;

/// What is to be done with whoever answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// The two talk.
    #[default]
    Talk,
    /// Words are said to the callee, who then is hung up.
    Announce {
        /// How often they are said in all; 0 counts as 1. A callee who has
        /// confirmed hears no further round.
        repeats: u8,
    },
}

/// How a key of the callee's telephone arrived. Both tell of the same press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// As a `dtmf` message.
    Signalled,
    /// As two tones in the sound.
    InBand,
}

/// Something the daemon is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send one POST for a number of this button, with a fresh unguessable URL
    /// that belongs to this attempt. Never sent again. Answer with `Placed`,
    /// `Refused` or `OutcomeUnknown`.
    Place {
        /// The attempt it begins.
        attempt: AttemptId,
        /// Whose list.
        button: ButtonId,
        /// Which number: its place in the list.
        target: u8,
    },
    /// List calls and look for exactly this attempt's URL. Answer: `Looked`.
    Look {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Get this call. Answer: `Status` or `StatusFailed`.
    Get {
        /// Which attempt.
        attempt: AttemptId,
        /// Its call.
        call: CallId,
    },
    /// Hang up this call over REST. Answer: `HungUp`.
    HangUp {
        /// Which attempt.
        attempt: AttemptId,
        /// Its call.
        call: CallId,
    },
    /// List this device's calls of earlier processes that are not terminal.
    /// Answer: `Orphans` or `OrphansFailed`.
    ListOrphans,
    /// Join this socket to the audio engine.
    Attach {
        /// Whose stream it is.
        attempt: AttemptId,
        /// The socket.
        socket: SocketId,
        /// Whether the two hear each other. Until they do, the callee hears a
        /// prompt: to confirm, or ring-back while an inbound call chimes. With
        /// an announcement they never do.
        joined: bool,
    },
    /// From now on the two hear each other on the socket that is attached.
    Join {
        /// The socket.
        socket: SocketId,
    },
    /// Have the announcement spoken once. Answer: `Spoken`.
    Say {
        /// Whose announcement.
        attempt: AttemptId,
        /// On which socket.
        socket: SocketId,
        /// How often it was said before.
        round: u8,
    },
    /// Pulse this door's relay.
    OpenDoor {
        /// In which attempt's call.
        attempt: AttemptId,
        /// Which door, by its place in [`Config::doors`](super::Config::doors).
        door: u8,
        /// What opened it.
        by: OpenedBy,
    },
    /// Send `stop` on this socket, which ends its call, then close it.
    Stop {
        /// Which socket.
        socket: SocketId,
    },
    /// Close this socket without a word: a newer one has its call.
    Close {
        /// Which socket.
        socket: SocketId,
    },
    /// What the visitor is shown and hears from now on.
    Show(Phase),
    /// A sound that changes nothing.
    Signal(Signal),
    /// The record of an attempt as it now stands: queue it to the store,
    /// where it replaces what was there for the same attempt.
    Record(Box<Record>),
    /// A call that has no record of this process (an orphan, or a late one
    /// whose record is closed) is off the line, or given up: note it on the
    /// stored record with this call.
    Cleared {
        /// Which call.
        call: CallId,
        /// How it ended.
        how: Cleared,
        /// What the service last said of it.
        report: Option<Report>,
    },
    /// Count this. The machine counts presses, unknown outcomes, orphans,
    /// dropped, late and replaced sockets, one-way audio, calls it turns away,
    /// announcements nobody says were played, keys it does not look at and what
    /// it gives up; nobody else does.
    Count(Counter),
    /// Shutdown is complete: nothing more will come.
    Stopped,
    /// Nothing more to do: call `handle` again by then, or when something
    /// happens.
    WaitUntil(Option<Instant>),
}

/// What the visitor is to know; lamp pattern and tone are chosen from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Ready.
    Idle,
    /// The press counted; the service has not taken the call yet.
    Pressed,
    /// The service has taken the call, or may have.
    Dialing,
    /// The service says it rings.
    Ringing,
    /// Somebody or something answered and has not confirmed yet. For the
    /// visitor it still rings.
    Confirming,
    /// Somebody calls, and will be let in shortly.
    Chiming,
    /// The callee is being told the announcement.
    Announcing,
    /// Somebody answered.
    Answered,
    /// Answered, but nothing is heard from the far end.
    OneWay,
    /// The stream dropped and is expected back.
    Reconnecting,
    /// The call is being hung up.
    Ending,
    /// The announcement was made. For `show_for`.
    Announced,
    /// The call ended as it should. For [`Config::show_for`](super::Config::show_for).
    Ended,
    /// The call could not be made, or broke. For `show_for`.
    Failed,
    /// A limit said no. For `show_for`.
    Limited,
    /// No network: after a press for `show_for`, or until [`Input::Online`].
    Offline,
}

/// A sound that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The press was heard and does nothing: a call is up, or being ended.
    Busy,
    /// The maximum time is near.
    Warning,
    /// The door is opened: for both ends.
    Opened,
}

/// What the service says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Its status.
    pub status: Status,
    /// Why it ended, when the service says so.
    pub reason: Option<Reason>,
}

/// The service's status of a call (Calls API, "Call statuses").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Call created, dialing in progress.
    Initiated,
    /// The far end rings.
    Ringing,
    /// Connected and active.
    Answered,
    /// Ended normally.
    Completed,
    /// Ended before it was answered.
    Canceled,
    /// Could not be connected.
    Failed,
    /// A word we do not know; taken as still up.
    Other,
}

impl Status {
    /// Whether nothing more can happen to the call.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled | Self::Failed)
    }
}

/// The service's `hangup_reason` (Calls API, "Call object").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// We hung up.
    Local,
    /// The far end hung up.
    Remote,
    /// The service's own maximum time.
    MaxDuration,
    /// A machine answered.
    Voicemail,
    /// The far end rejected the call.
    Rejected,
    /// A word we do not know.
    Other,
}

/// Why there is no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400: `from_number` is not active.
    NotActive,
    /// 401: the key is wrong.
    Unauthorized,
    /// 403: `from_number` belongs to another organization.
    Forbidden,
    /// 404: nothing is served there; the address of the API is wrong.
    NotFound,
    /// 422, or what we checked ourselves: the request is invalid.
    Invalid,
    /// 429: the organization's day is used up.
    Limit {
        /// `Retry-After`; the machine asks nothing before it is over.
        retry_after: Option<Duration>,
    },
    /// 502: the carrier could not dial.
    Carrier,
    /// Never sent: no network, no name, no connection.
    Offline,
    /// Another status that says clearly that there is no call.
    Other(u16),
}

/// What list calls said about an attempt's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// There is a call on it.
    Found {
        /// Its name.
        call: CallId,
        /// What the list says of it.
        report: Report,
    },
    /// There is none, as of now.
    Absent,
    /// No answer.
    Failed,
}

/// What the service said to a hang-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUpAnswer {
    /// 200, with the call as it is now: not always terminal yet.
    Taken(Report),
    /// 409: it has ended already, or has no live leg yet; get call tells which.
    NotNow,
    /// 404 or 405 on the route: this service has no hang-up over REST.
    Unsupported,
    /// No answer, or any other status.
    Failed,
}

/// What the organization has left in the rolling 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// Calls.
    pub calls: u32,
    /// Minutes.
    pub minutes: u32,
}
