//! The books of the service: its calls, how they end, and who has used how much.
//!
//! Called by the HTTP side for every request and by each call's task as it
//! moves on. There is no clock: every method that needs the time takes it.
//!
//! ```text
//!  initiated ──▶ ringing ──▶ answered ──▶ completed
//!      └────────────┴──▶ canceled | failed
//! ```
//!
//! Always true: a status only moves along these arrows; `started_at` is set
//! exactly when a call was answered, `ended_at` exactly when it is over;
//! stamps never run backwards within a call.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::config::{ApiKey, IncomingAction, Limits, Number};
use super::new_id;

/// The window the limits are counted over.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// Calls kept; the oldest gives way.
const CALLS_KEPT: usize = 10_000;
/// Segments of a call's transcript; what is said after that is not kept.
const SEGMENTS_MAX: usize = 1000;

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Created, dialing.
    Initiated,
    /// The callee's telephone rings.
    Ringing,
    /// Connected.
    Answered,
    /// Over after it was answered.
    Completed,
    /// Over before it was answered.
    Canceled,
    /// Could not be connected.
    Failed,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled | Self::Failed)
    }

    fn leads_to(self, next: Self) -> bool {
        match self {
            Self::Initiated => matches!(next, Self::Ringing | Self::Canceled | Self::Failed),
            Self::Ringing => matches!(next, Self::Answered | Self::Canceled | Self::Failed),
            Self::Answered => next == Self::Completed,
            Self::Completed | Self::Canceled | Self::Failed => false,
        }
    }
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The device's side ended it.
    Local,
    /// The callee hung up.
    Remote,
    /// It came to the service's longest duration.
    MaxDuration,
    /// A machine answered.
    Voicemail,
    /// The callee declined.
    Rejected,
}

impl Reason {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::MaxDuration => "max_duration",
            Self::Voicemail => "voicemail",
            Self::Rejected => "rejected",
        }
    }
}

/// Which way a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the device.
    Outbound,
    /// To the device.
    Inbound,
}

impl Direction {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// A call, as the service has it on record.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its UUID.
    pub id: String,
    /// The UUID of the organization's number.
    pub number_id: String,
    /// The organization's number.
    pub local: String,
    /// The other party's number.
    pub remote: String,
    /// Which way it was made.
    pub direction: Direction,
    /// How far it has come.
    pub status: Status,
    /// Where its media goes.
    pub url: Option<String>,
    /// Whether the device left speaking to the service; known from the handshake on.
    pub use_inkbox_tts: Option<bool>,
    /// Whether the device left listening to the service; known from the handshake on.
    pub use_inkbox_stt: Option<bool>,
    /// Why it ended, where there is a word for it.
    pub reason: Option<Reason>,
    /// When it was answered.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whether a contact rule rejected it.
    pub blocked: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
}

impl Call {
    /// The call object of the API.
    #[must_use]
    pub fn json(&self) -> Value {
        let stamp = |at: Option<Timestamp>| at.map(|at| at.to_string());
        json!({
            "id": self.id,
            "local_phone_number": self.local,
            "remote_phone_number": self.remote,
            "direction": self.direction.as_str(),
            "status": self.status.as_str(),
            "client_websocket_url": self.url,
            "use_inkbox_tts": self.use_inkbox_tts,
            "use_inkbox_stt": self.use_inkbox_stt,
            "hangup_reason": self.reason.map(Reason::as_str),
            "started_at": stamp(self.started_at),
            "ended_at": stamp(self.ended_at),
            "is_blocked": self.blocked,
            "created_at": self.created_at.to_string(),
            "updated_at": self.updated_at.to_string(),
            "origin": "dedicated_number",
            "mode": "client_websocket",
        })
    }

    /// How long it has been, or was, answered.
    fn answered_for(&self, now: Timestamp) -> Duration {
        let Some(started) = self.started_at else {
            return Duration::ZERO;
        };
        let until = self.ended_at.unwrap_or(now);
        Duration::try_from(until.duration_since(started)).unwrap_or_default()
    }
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The device's side.
    Local,
    /// The other one.
    Remote,
}

impl Party {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// A part of a call's transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its UUID.
    pub id: String,
    /// Its place among those of the call, from 0.
    pub seq: usize,
    /// Milliseconds from the answer to when it was said.
    pub at_ms: u64,
    /// Who said it.
    pub party: Party,
    /// What was said.
    pub text: String,
    /// When it was written down.
    pub created_at: Timestamp,
}

impl Segment {
    /// The transcript object of the API.
    #[must_use]
    pub fn json(&self, call: &str) -> Value {
        json!({
            "id": self.id,
            "call_id": call,
            "seq": self.seq,
            "ts_ms": self.at_ms,
            "party": self.party.as_str(),
            "text": self.text,
            "created_at": self.created_at.to_string(),
        })
    }
}

/// A number on the books.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) number: Number,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Entry {
    /// The number object of the API.
    pub(super) fn json(&self) -> Value {
        let number = &self.number;
        json!({
            "id": number.id,
            "number": number.number,
            "type": "local",
            "status": if number.active { "active" } else { "paused" },
            "sms_status": "ready",
            "incoming_call_action": number.incoming_call_action.as_str(),
            "client_websocket_url": number.client_websocket_url,
            "incoming_call_webhook_url": number.incoming_call_webhook_url,
            "filter_mode": "blacklist",
            "country": "US",
            "agent_identity_id": number.identity,
            "created_at": self.created_at.to_string(),
            "updated_at": self.updated_at.to_string(),
        })
    }
}

/// What is to become of calls to a number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Routing {
    pub(super) action: IncomingAction,
    pub(super) media_url: Option<String>,
    pub(super) webhook_url: Option<String>,
}

impl Routing {
    pub(super) fn of(number: &Number) -> Self {
        Self {
            action: number.incoming_call_action,
            media_url: number.client_websocket_url.clone(),
            webhook_url: number.incoming_call_webhook_url.clone(),
        }
    }
}

/// What an organization has used in the last 24 hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// Outbound calls created.
    pub(super) calls: u32,
    /// Minutes they were answered.
    pub(super) minutes: f64,
    /// The limits they count against.
    limits: (u32, u32),
    /// When enough of it is older than the window for one more call.
    free_at: Option<Timestamp>,
}

impl Usage {
    /// When the next call may be placed; `None` when it may be now.
    pub(super) fn exceeded_until(&self) -> Option<Timestamp> {
        self.free_at
    }

    /// The `rate_limit` object of place-call.
    pub(super) fn json(&self) -> Value {
        let (calls, minutes) = self.limits;
        json!({
            "calls_used": self.calls,
            "calls_remaining": calls.saturating_sub(self.calls),
            "calls_limit": calls,
            "minutes_used": self.minutes,
            "minutes_remaining": (f64::from(minutes) - self.minutes).max(0.0),
            "minutes_limit": minutes,
        })
    }
}

/// The calls, and what they are counted against.
#[derive(Debug)]
pub(super) struct Exchange {
    keys: Vec<ApiKey>,
    numbers: Vec<Entry>,
    limits: Limits,
    /// In the order they were created.
    calls: Vec<Call>,
    /// By the UUID of their call.
    transcripts: HashMap<String, Vec<Segment>>,
}

impl Exchange {
    /// Books without a call.
    pub(super) fn new(
        keys: Vec<ApiKey>,
        numbers: Vec<Number>,
        limits: Limits,
        now: Timestamp,
    ) -> Self {
        let entry = |number| Entry {
            number,
            created_at: now,
            updated_at: now,
        };
        Self {
            keys,
            numbers: numbers.into_iter().map(entry).collect(),
            limits,
            calls: Vec::new(),
            transcripts: HashMap::new(),
        }
    }

    /// The key with this secret.
    pub(super) fn key(&self, secret: &str) -> Option<&ApiKey> {
        self.keys.iter().find(|key| key.secret == secret)
    }

    /// The numbers, in the order they were configured.
    pub(super) fn numbers(&self) -> &[Entry] {
        &self.numbers
    }

    /// The number with this UUID.
    pub(super) fn entry(&self, id: &str) -> Option<&Entry> {
        self.numbers
            .iter()
            .find(|entry| entry.number.id.eq_ignore_ascii_case(id))
    }

    /// The number with this UUID, without its stamps.
    pub(super) fn number(&self, id: &str) -> Option<&Number> {
        self.entry(id).map(|entry| &entry.number)
    }

    /// The number with this E.164 form.
    pub(super) fn number_called(&self, e164: &str) -> Option<&Number> {
        let mut numbers = self.numbers.iter().map(|entry| &entry.number);
        numbers.find(|number| number.number == e164)
    }

    /// Switches a number on or off; `false` when there is none such.
    pub(super) fn set_active(&mut self, number_id: &str, active: bool) -> bool {
        let mut numbers = self.numbers.iter_mut().map(|entry| &mut entry.number);
        let number = numbers.find(|number| number.id == number_id);
        number.map(|number| number.active = active).is_some()
    }

    /// Sets what becomes of calls to a number; `None` when there is none such.
    pub(super) fn route(&mut self, id: &str, routing: Routing, now: Timestamp) -> Option<&Entry> {
        let mut numbers = self.numbers.iter_mut();
        let entry = numbers.find(|entry| entry.number.id.eq_ignore_ascii_case(id))?;
        entry.number.incoming_call_action = routing.action;
        entry.number.client_websocket_url = routing.media_url;
        entry.number.incoming_call_webhook_url = routing.webhook_url;
        entry.updated_at = now.max(entry.updated_at);
        Some(entry)
    }

    /// Sets what organizations may use from now on.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The call with this UUID.
    pub(super) fn call(&self, id: &str) -> Option<&Call> {
        self.calls
            .iter()
            .rev()
            .find(|call| call.id.eq_ignore_ascii_case(id))
    }

    /// The calls, oldest first.
    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Enters a call, by its place in time.
    pub(super) fn enter(&mut self, call: Call) {
        if self.calls.len() == CALLS_KEPT {
            let oldest = self.calls.remove(0);
            self.transcripts.remove(&oldest.id);
        }
        let place = self
            .calls
            .partition_point(|other| other.created_at <= call.created_at);
        self.calls.insert(place, call);
    }

    /// Moves a call on; `false`, and nothing changes, when it cannot go there.
    pub(super) fn advance(
        &mut self,
        id: &str,
        status: Status,
        reason: Option<Reason>,
        now: Timestamp,
    ) -> bool {
        let Some(call) = self.find(id) else {
            return false;
        };
        if !call.status.leads_to(status) {
            return false;
        }
        let now = now.max(call.updated_at);
        call.status = status;
        call.updated_at = now;
        if status == Status::Answered {
            call.started_at = Some(now);
        }
        if status.is_over() {
            call.ended_at = Some(now);
            call.reason = reason;
        }
        true
    }

    /// Notes what the device's handshake said of the pipeline.
    pub(super) fn negotiated(&mut self, id: &str, tts: bool, stt: bool, now: Timestamp) {
        if let Some(call) = self.find(id) {
            call.use_inkbox_tts = Some(tts);
            call.use_inkbox_stt = Some(stt);
            call.updated_at = now.max(call.updated_at);
        }
    }

    /// Writes down what was said in a call, so long after its answer.
    pub(super) fn said(
        &mut self,
        id: &str,
        party: Party,
        text: &str,
        after: Duration,
        now: Timestamp,
    ) {
        let segments = self.transcripts.entry(id.to_owned()).or_default();
        if segments.len() < SEGMENTS_MAX {
            segments.push(Segment {
                id: new_id(),
                seq: segments.len(),
                at_ms: super::millis(after),
                party,
                text: text.to_owned(),
                created_at: now,
            });
        }
    }

    /// What was said in a call, in that order.
    pub(super) fn transcript(&self, id: &str) -> &[Segment] {
        self.transcripts.get(id).map_or(&[], Vec::as_slice)
    }

    /// What `organization` has used in the window that ends `now`.
    pub(super) fn usage(&self, organization: &str, now: Timestamp) -> Usage {
        let counted = || {
            self.calls.iter().filter(|call| {
                call.direction == Direction::Outbound
                    && now.duration_since(call.created_at) < WINDOW
                    && self
                        .number(&call.number_id)
                        .is_some_and(|n| n.organization == organization)
            })
        };
        let spent = |call: &Call| call.answered_for(now).as_secs_f64() / 60.0;
        let calls = u32::try_from(counted().count()).unwrap_or(u32::MAX);
        let minutes: f64 = counted().map(spent).sum();

        // Take the oldest away until one more call fits.
        let fits =
            |calls, minutes| calls < self.limits.calls && minutes < f64::from(self.limits.minutes);
        let (mut left, mut left_minutes, mut free_at) = (calls, minutes, None);
        for call in counted() {
            if fits(left, left_minutes) {
                break;
            }
            left -= 1;
            left_minutes -= spent(call);
            free_at = call.created_at.checked_add(WINDOW).ok();
        }
        if !fits(left, left_minutes) {
            // A limit of nothing: not before another day.
            free_at = now.checked_add(WINDOW).ok();
        }
        Usage {
            calls,
            minutes,
            limits: (self.limits.calls, self.limits.minutes),
            free_at,
        }
    }

    fn find(&mut self, id: &str) -> Option<&mut Call> {
        self.calls
            .iter_mut()
            .rev()
            .find(|call| call.id.eq_ignore_ascii_case(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn at(seconds: i64) -> Timestamp {
        START
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap()
    }

    fn books(calls: u32, minutes: u32) -> Exchange {
        Exchange::new(
            Vec::new(),
            vec![Number::default()],
            Limits { calls, minutes },
            START,
        )
    }

    fn call(id: &str, created: i64) -> Call {
        let number = Number::default();
        Call {
            id: id.into(),
            number_id: number.id,
            local: number.number,
            remote: "+15005550199".into(),
            direction: Direction::Outbound,
            status: Status::Initiated,
            url: None,
            use_inkbox_tts: None,
            use_inkbox_stt: None,
            reason: None,
            started_at: None,
            ended_at: None,
            blocked: false,
            created_at: at(created),
            updated_at: at(created),
        }
    }

    #[test]
    fn an_answered_call_is_stamped_on_its_way() {
        let mut books = books(100, 100);
        books.enter(call("a", 0));
        assert!(books.advance("a", Status::Ringing, None, at(1)));
        assert_eq!(books.call("a").unwrap().started_at, None);
        assert!(books.advance("a", Status::Answered, None, at(4)));
        assert!(books.advance("a", Status::Completed, Some(Reason::Remote), at(64)));
        let call = books.call("a").unwrap();
        assert_eq!(call.started_at, Some(at(4)));
        assert_eq!(call.ended_at, Some(at(64)));
        assert_eq!(call.reason, Some(Reason::Remote));
        assert!((books.usage("simulator", at(100)).minutes - 1.0).abs() < 1e-9);
    }

    #[test]
    fn every_other_step_is_refused() {
        use Status::{Answered, Canceled, Completed, Failed, Initiated, Ringing};
        let all = [Initiated, Ringing, Answered, Completed, Canceled, Failed];
        let allowed = [
            (Initiated, Ringing),
            (Initiated, Canceled),
            (Initiated, Failed),
            (Ringing, Answered),
            (Ringing, Canceled),
            (Ringing, Failed),
            (Answered, Completed),
        ];
        for from in all {
            for to in all {
                let mut books = books(100, 100);
                books.enter(Call {
                    status: from,
                    ..call("a", 0)
                });
                let want = allowed.contains(&(from, to));
                assert_eq!(
                    books.advance("a", to, None, at(1)),
                    want,
                    "{from:?} → {to:?}"
                );
                let now = books.call("a").unwrap();
                assert_eq!(now.status, if want { to } else { from });
                assert_eq!(now.updated_at, at(i64::from(want)));
            }
        }
    }

    #[test]
    fn the_window_rolls() {
        const DAY: i64 = 24 * 60 * 60;
        let mut books = books(2, 100);
        books.enter(call("a", 0));
        assert_eq!(books.usage("simulator", at(5)).exceeded_until(), None);
        books.enter(call("b", 100));
        let full = books.usage("simulator", at(200));
        assert_eq!(full.calls, 2);
        assert_eq!(full.exceeded_until(), Some(at(DAY)));
        // The first is a day old: one is free; the second still counts.
        let rolled = books.usage("simulator", at(DAY));
        assert_eq!((rolled.calls, rolled.exceeded_until()), (1, None));
        assert_eq!(books.usage("simulator", at(DAY + 100)).calls, 0);
        assert_eq!(books.usage("another", at(200)).calls, 0);
    }

    #[test]
    fn a_limit_of_nothing_allows_nothing() {
        for (calls, minutes) in [(0, 100), (100, 0)] {
            let usage = books(calls, minutes).usage("simulator", at(0));
            assert_eq!(usage.exceeded_until(), Some(at(24 * 60 * 60)));
        }
    }

    #[test]
    fn minutes_count_while_a_call_is_up_and_free_when_it_is_old() {
        let mut books = books(100, 2);
        books.enter(call("a", 0));
        books.advance("a", Status::Ringing, None, at(0));
        books.advance("a", Status::Answered, None, at(10));
        let up = books.usage("simulator", at(70));
        assert!((up.minutes - 1.0).abs() < 1e-9);
        assert_eq!(up.exceeded_until(), None);
        let used_up = books.usage("simulator", at(130));
        assert_eq!(used_up.exceeded_until(), Some(at(24 * 60 * 60)));
        assert_eq!(used_up.json()["minutes_remaining"], 0.0);
    }

    #[test]
    fn calls_are_kept_in_the_order_they_were_created() {
        let mut books = books(100, 100);
        for (id, created) in [("new", 50), ("old", -50), ("middle", 0)] {
            books.enter(call(id, created));
        }
        let ids: Vec<_> = books.calls().iter().map(|call| &call.id[..]).collect();
        assert_eq!(ids, ["old", "middle", "new"]);
    }
}
