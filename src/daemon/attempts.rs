//! What the daemon knows of each attempt beside the call's own record, and how
//! both become a row of the store.
//!
//! [`Record`] has durations and the call's view; the token, the URL, the
//! HTTP answer and the sound's figures are known here. Bounded: when there are
//! [`ATTEMPTS_MAX`], the oldest is forgotten.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use crate::audio::{self, Stats};
use crate::call::{
    self, Cleared, Ended, Limit, MAX_ATTEMPTS, MAX_CYCLES, MAX_TARGETS, Record, Report, Snapshot,
    Used,
};
use crate::edge::card;
use crate::edge::clock::{HoldOff, Reading, Stamp};
use crate::edge::store::{Direction, Kind, LINES_MAX, Outcome, Reconciled, Row};
use crate::units::{AttemptId, ButtonId, CallId, E164, Encoding, Mode, SocketId, tenths};
use crate::wire::handshake::Token;
use crate::wire::rest::{HangupReason, WsUrl};

use super::faults::Fault;

/// The drift of a shorter stream is not known: see `audio::Snapshot`.
const DRIFT_SETTLES: Duration = Duration::from_secs(60);

/// Attempts remembered. Every one of the longest list knows by which press it
/// was begun, whoever is turned away meanwhile.
const ATTEMPTS_MAX: usize = MAX_TARGETS * MAX_CYCLES as usize + MAX_ATTEMPTS;

/// What was learned while an attempt was placed.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Status of the HTTP answer.
    pub(super) http_status: Option<u16>,
    /// What went wrong, in words.
    pub(super) http_error: Option<String>,
    /// Minutes the organization has left, with their fraction.
    pub(super) minutes_remaining: Option<f64>,
}

#[derive(Debug)]
struct Attempt {
    id: AttemptId,
    /// What it began with: everything is timed from here.
    began: Option<Instant>,
    url: Option<WsUrl>,
    /// The row as last written.
    row: Row,
    /// The sound's figures when the first stream was attached.
    sound_before: Option<(audio::Snapshot, u64)>,
    /// The call was over when the figures were last taken.
    sound_is_final: bool,
    /// The socket that was attached last.
    socket: Option<SocketId>,
    /// Streams attached.
    streams: u32,
    /// Lines of the transcript so far.
    lines: u16,
    /// Packets that were too old to be sent.
    stale: u32,
    /// What was wrong with the sound, each once.
    faults: Vec<Fault>,
}

/// See the [module page](self).
#[derive(Debug, Default)]
pub(super) struct Attempts(VecDeque<Attempt>);

impl Attempts {
    /// A request is about to go out.
    pub(super) fn open(&mut self, id: AttemptId, token: &Token, url: &WsUrl) {
        let attempt = self.entry(id, || Row::new(token.as_str()));
        attempt.url = Some(url.clone());
        attempt.row.client_websocket_url = Some(url.as_str().to_owned());
    }

    /// The token of an attempt whose record was begun before its request: the
    /// press had to wait.
    pub(super) fn token(&self, id: AttemptId) -> Option<Token> {
        Token::parse(&self.0.iter().find(|a| a.id == id)?.row.token)
    }

    /// What is known of an attempt, which may begin here.
    fn entry(&mut self, id: AttemptId, row: impl FnOnce() -> Row) -> &mut Attempt {
        let known = self.0.iter().position(|attempt| attempt.id == id);
        let place = known.unwrap_or_else(|| self.push(id, row()));
        &mut self.0[place]
    }

    /// Its place.
    fn push(&mut self, id: AttemptId, row: Row) -> usize {
        if self.0.len() == ATTEMPTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Attempt {
            id,
            began: None,
            url: None,
            row,
            sound_before: None,
            sound_is_final: false,
            socket: None,
            streams: 0,
            lines: 0,
            stale: 0,
            faults: Vec::new(),
        });
        self.0.len() - 1
    }

    /// The URL an attempt was placed with.
    pub(super) fn url(&self, id: AttemptId) -> Option<&WsUrl> {
        self.0.iter().find(|a| a.id == id)?.url.as_ref()
    }

    /// Whether an attempt of this process was placed with this URL.
    pub(super) fn has_url(&self, url: &str) -> bool {
        let mut urls = self.0.iter().filter_map(|a| a.url.as_ref());
        urls.any(|own| own.as_str() == url)
    }

    /// What the answer to place-call said.
    pub(super) fn note(&mut self, id: AttemptId, facts: Facts) {
        if let Some(attempt) = self.find(id) {
            attempt.row.http_status = facts.http_status;
            attempt.row.http_error = facts.http_error;
            attempt.row.minutes_remaining = facts.minutes_remaining;
        }
    }

    /// A stream carries the attempt's sound, or words, from now on.
    pub(super) fn attached(
        &mut self,
        id: AttemptId,
        socket: SocketId,
        mode: Mode,
        stats: &Stats,
        card: &card::Stats,
        random: &SystemRandom,
    ) {
        // A call from outside begins with its stream.
        let attempt = self.entry(id, || row_without_request(random));
        attempt.streams += 1;
        attempt.socket = Some(socket);
        attempt.row.use_inkbox_tts = Some(mode.tts);
        attempt.row.use_inkbox_stt = Some(mode.stt);
        attempt
            .sound_before
            .get_or_insert_with(|| (stats.snapshot(), xruns(card)));
    }

    /// How the packets of this socket are written.
    pub(super) fn encoding(&mut self, socket: SocketId, encoding: Encoding) {
        let attempt = self.0.iter_mut().find(|a| a.socket == Some(socket));
        if let Some(attempt) = attempt {
            attempt.row.codec = Some(encoding.to_string());
        }
    }

    /// The button that began the attempt.
    pub(super) fn button(&self, id: AttemptId) -> Option<ButtonId> {
        self.by_id(id)?.row.button.map(ButtonId)
    }

    /// Whether somebody called the device.
    pub(super) fn is_inbound(&self, id: AttemptId) -> bool {
        let attempt = self.by_id(id);
        attempt.is_some_and(|a| a.row.direction == Some(Direction::Inbound))
    }

    /// What is about to be said to the callee.
    pub(super) fn said(&mut self, id: AttemptId, text: &str) {
        if let Some(attempt) = self.find(id) {
            attempt.row.said = Some(text.to_owned());
        }
    }

    /// What was said last.
    pub(super) fn what_was_said(&self, id: AttemptId) -> Option<String> {
        self.by_id(id)?.row.said.clone()
    }

    /// The row as last written, and the time since it began.
    pub(super) fn present(&self, id: AttemptId) -> Option<(&Row, u32)> {
        let attempt = self.by_id(id)?;
        Some((&attempt.row, whole_ms(attempt.began?.elapsed())))
    }

    /// The place, time and token for one more line of the transcript, while
    /// there is room.
    pub(super) fn next_line(&mut self, id: AttemptId) -> Option<(u16, u32, String)> {
        let attempt = self.find(id)?;
        let n = attempt.lines;
        if n >= LINES_MAX {
            return None;
        }
        attempt.lines += 1;
        let at = whole_ms(attempt.began?.elapsed());
        Some((n, at, attempt.row.token.clone()))
    }

    /// The sound of this attempt's call is bad.
    pub(super) fn fault(&mut self, id: AttemptId, fault: Fault) {
        if let Some(attempt) = self.find(id)
            && !attempt.faults.contains(&fault)
        {
            attempt.faults.push(fault);
        }
    }

    /// Packets were too old to be sent in this attempt's call.
    pub(super) fn add_stale(&mut self, id: AttemptId, packets: u32) {
        if let Some(attempt) = self.find(id) {
            attempt.stale = attempt.stale.saturating_add(packets);
        }
    }

    /// The attempt whose call this socket carries, or carried last.
    pub(super) fn of_socket(&self, socket: SocketId) -> Option<AttemptId> {
        let attempt = self.0.iter().find(|a| a.socket == Some(socket));
        attempt.map(|a| a.id)
    }

    /// Whether this call to the device was taken in and is not off the line.
    pub(super) fn is_inbound_up(&self, call: &CallId) -> bool {
        let is_it = |row: &Row| {
            row.direction == Some(Direction::Inbound)
                && row.call_id.as_ref() == Some(call)
                && row.closed == Some(false)
        };
        self.last_rows().any(is_it)
    }

    /// The rows of this process, as last written.
    pub(super) fn last_rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().map(|a| &a.row)
    }

    /// The row of a record as it now stands.
    pub(super) fn row(
        &mut self,
        record: &Record,
        (from, to): (Option<E164>, Option<E164>),
        now: Reading,
        stats: &Stats,
        card: &card::Stats,
        random: &SystemRandom,
    ) -> Row {
        let press = self.by_id(record.press).map(|a| a.row.token.clone());
        let attempt = self.entry(record.attempt, || row_without_request(random));
        let is_first = record.press == record.attempt;
        let press = press.or_else(|| is_first.then(|| attempt.row.token.clone()));
        attempt.began = Some(record.pressed);
        attempt.row.press = press;
        attempt.row.from_number = from.or(attempt.row.from_number.take());
        attempt.row.to_number = to.or(attempt.row.to_number.take());
        write_plan(&mut attempt.row, record);
        write_times(&mut attempt.row, record, now);
        write_outcome(&mut attempt.row, record);
        if attempt.faults.iter().any(|fault| fault.is_one_way()) {
            attempt.row.one_way = Some(true);
        }
        if !attempt.faults.is_empty() {
            let words: Vec<_> = attempt.faults.iter().map(|fault| fault.words()).collect();
            attempt.row.bad_sound = Some(words.join(", "));
        }
        attempt.write_sound(record, stats, card);
        attempt.row.clone()
    }

    fn by_id(&self, id: AttemptId) -> Option<&Attempt> {
        self.0.iter().find(|a| a.id == id)
    }

    fn find(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.0.iter_mut().find(|a| a.id == id)
    }
}

impl Attempt {
    fn write_sound(&mut self, record: &Record, stats: &Stats, card: &card::Stats) {
        let Some((before, xruns_before)) = &self.sound_before else {
            return;
        };
        if self.sound_is_final {
            return;
        }
        // From here on the figures count the next call's sound.
        self.sound_is_final = record.over.is_some();
        let sound = stats.snapshot().since(before);
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let row = &mut self.row;
        row.delay_p50_ms = sound.delays.percentile(0.50);
        row.delay_p95_ms = sound.delays.percentile(0.95);
        row.delay_p99_ms = sound.delays.percentile(0.99);
        row.concealed_ms = Some(small(sound.concealed_ms));
        row.stretched_ms = Some(small(sound.stretched_ms));
        row.skipped_ms = Some(small(sound.skipped_ms));
        row.drops = Some(small(sound.late + sound.uplink_refused).saturating_add(self.stale));
        row.xruns = Some(small(xruns(card) - xruns_before));
        row.echo_loss_db = sound.echo_loss_db.map(tenths);
        let settled = record
            .streamed
            .is_some_and(|at| record.pressed.elapsed() > at + DRIFT_SETTLES);
        row.drift_ppm = settled.then(|| tenths(sound.drift_ppm));
        row.reconnects = Some(self.streams - 1);
    }
}

/// No request was made of it, so that a key is all it needs.
fn row_without_request(random: &SystemRandom) -> Row {
    let mut bytes = [0; 24];
    _ = random.fill(&mut bytes);
    Row::new(Token::from_random(bytes).as_str())
}

fn xruns(card: &card::Stats) -> u64 {
    card.microphone.xruns() + card.speaker.xruns()
}

/// Which call it is: of which press, to whom, what for.
fn write_plan(row: &mut Row, record: &Record) {
    row.direction = Some(match record.direction {
        call::Direction::Outbound => Direction::Outbound,
        call::Direction::Inbound => Direction::Inbound,
    });
    row.kind = Some(match record.kind {
        call::Kind::Talk => Kind::Talk,
        call::Kind::Announce { .. } => Kind::Announce,
    });
    row.button = record.button.map(|b| b.0);
    if record.button.is_some() {
        row.target = Some(record.target);
        row.position = Some(record.position);
        row.cycle = Some(record.cycle);
    }
}

fn write_times(row: &mut Row, record: &Record, now: Reading) {
    let pressed = match row.pressed_at {
        // Derived anew it would move by a millisecond with each write.
        Some(pressed) if row.clock_trusted == Some(now.trusted) => pressed,
        _ => now.stamp.minus(record.pressed.elapsed()),
    };
    let at = |after: Option<Duration>| after.map(|after| pressed.plus(after));
    let ms = |after: Option<Duration>| after.map(whole_ms);
    row.clock_trusted = Some(now.trusted);
    row.pressed_at = Some(pressed);
    (row.sent_at, row.sent_after_ms) = (at(record.sent), ms(record.sent));
    (row.accepted_at, row.accepted_after_ms) = (at(record.accepted), ms(record.accepted));
    (row.ringing_at, row.ringing_after_ms) = (at(record.ringing), ms(record.ringing));
    (row.stream_at, row.stream_after_ms) = (at(record.streamed), ms(record.streamed));
    (row.answered_at, row.answered_after_ms) = (at(record.answered), ms(record.answered));
    (row.confirmed_at, row.confirmed_after_ms) = (at(record.confirmed), ms(record.confirmed));
    (row.joined_at, row.joined_after_ms) = (at(record.joined), ms(record.joined));
    (row.ended_at, row.ended_after_ms) = (at(record.over), ms(record.over));
    row.talk_ms = record
        .over
        .zip(record.answered)
        .map(|(over, answered)| whole_ms(over.saturating_sub(answered)));
}

fn whole_ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn write_outcome(row: &mut Row, record: &Record) {
    row.call_id.clone_from(&record.call);
    write_report(row, record.report);
    row.local_reason = record.ended.map(reason);
    row.outcome = record.ended.map(|ended| outcome(ended, record));
    if record.over.is_some() {
        row.digits = Some(record.digits);
        let openings = record.openings.len() as u32;
        row.openings = Some(openings.saturating_add(record.more_openings));
    }
    if matches!(record.kind, call::Kind::Announce { .. }) {
        row.spoken = Some(record.spoken);
    }
    row.calls_remaining = record.remaining.map(|r| i64::from(r.calls));
    row.one_way = record.streamed.map(|_| record.one_way > 0);
    row.closed = Some(record.closed.is_some());
    let is_known_there = record.sent.is_some() || record.call.is_some();
    if record.closed.is_some() && !is_known_there {
        row.reconciled = Some(Reconciled::NotSent);
    }
    if record.cleared == Some(Cleared::GivenUp) {
        tracing::error!("the call could not be ended: it may still be up at the service");
    }
}

fn write_report(row: &mut Row, report: Option<Report>) {
    use crate::call::{Reason, Status};
    let Some(report) = report else { return };
    let status = match report.status {
        Status::Initiated => "initiated",
        Status::Ringing => "ringing",
        Status::Answered => "answered",
        Status::Completed => "completed",
        Status::Canceled => "canceled",
        Status::Failed => "failed",
        // The word itself is in the row that `service::get` saw.
        Status::Other => return,
    };
    row.service_status = Some(status.to_owned());
    let why = match report.reason {
        Some(Reason::Local) => HangupReason::Local,
        Some(Reason::Remote) => HangupReason::Remote,
        Some(Reason::MaxDuration) => HangupReason::MaxDuration,
        Some(Reason::Voicemail) => HangupReason::Voicemail,
        Some(Reason::Rejected) => HangupReason::Rejected,
        Some(Reason::Other) | None => return,
    };
    row.service_hangup_reason = Some(why.to_string());
}

/// What is added to the stored row of a call that was left up.
pub(super) fn cleared(row: &Row, how: Cleared, report: Option<Report>) -> Row {
    let mut change = Row::new(row.token.clone());
    change.call_id.clone_from(&row.call_id);
    write_report(&mut change, report);
    let word = match how {
        Cleared::GivenUp => "left up by an earlier run, and not confirmed as ended",
        _ => "left up by an earlier run, and ended",
    };
    change.local_reason = row.local_reason.is_none().then(|| word.to_owned());
    change.closed = Some(true);
    change
}

/// The end of an attempt, in one word.
fn outcome(ended: Ended, record: &Record) -> Outcome {
    match ended {
        Ended::Announced => Outcome::Announced,
        Ended::NotConfirmed => Outcome::Unconfirmed,
        Ended::Voicemail => Outcome::Voicemail,
        Ended::Limited(_) | Ended::LineBusy | Ended::NoNumber => Outcome::Limited,
        Ended::Refused(_) => Outcome::Refused,
        Ended::NotFound => Outcome::Unknown,
        Ended::Rejected | Ended::TurnedAway => Outcome::Rejected,
        Ended::NoStream | Ended::Unsupported | Ended::NotSpoken => Outcome::Failed,
        _ if record.joined.is_some() => Outcome::Answered,
        Ended::NotAnswered => Outcome::Unanswered,
        Ended::Cancelled | Ended::CancelledByService | Ended::Shutdown => Outcome::Cancelled,
        _ => Outcome::Failed,
    }
}

/// The end of an attempt, in words for the record.
fn reason(ended: Ended) -> String {
    let word = match ended {
        Ended::FarHungUp => "the far end hung up",
        Ended::Cancelled => "cancelled at the device",
        Ended::NotAnswered => "nobody answered",
        Ended::Rejected => "rejected",
        Ended::Voicemail => "a machine answered",
        Ended::NotConfirmed => "nobody confirmed",
        Ended::Announced => "the announcement was made",
        Ended::NotSpoken => "the service did not say that the announcement was played",
        Ended::MaxTime => "the device's maximum time was over",
        Ended::ServiceMaxTime => "the service's maximum time was over",
        Ended::Failed => "the service could not connect it",
        Ended::CancelledByService => "cancelled by the service",
        Ended::NoStream => "answered, but no media stream came",
        Ended::Unsupported => "the stream carried a kind of sound callbox does not take",
        Ended::Lost => "the media stream broke and did not come back",
        Ended::Refused(why) => return refusal(why),
        Ended::Limited(Limit::Calls) => "not placed: the device's calls of 24 hours are used up",
        Ended::Limited(Limit::Minutes) => {
            "not placed: the device's minutes of 24 hours are used up"
        }
        Ended::Limited(Limit::BackOff) => "not placed: a pause after failures",
        Ended::Limited(Limit::RetryAfter) => "not placed: the service asked to wait",
        Ended::NoNumber => "not placed: no number is to be called at this hour",
        Ended::TurnedAway => "an inbound call that was not let in",
        Ended::LineBusy => "not placed: an earlier call was still up",
        Ended::NotFound => "no answer to place-call, and no call was found",
        Ended::Shutdown => "callbox was stopped",
    };
    word.to_owned()
}

fn refusal(why: crate::call::Refusal) -> String {
    use crate::call::Refusal;
    match why {
        Refusal::NotActive => "from_number is not active".to_owned(),
        Refusal::Unauthorized => "the API key was not accepted".to_owned(),
        Refusal::Forbidden => "from_number is another organization's".to_owned(),
        Refusal::NotFound => "the service does not know the address".to_owned(),
        Refusal::Invalid => "the request was invalid".to_owned(),
        Refusal::Limit { .. } => "the organization's calls or minutes are used up".to_owned(),
        Refusal::Carrier => "the carrier did not dial".to_owned(),
        Refusal::Offline => "the service was not reached".to_owned(),
        Refusal::Other(status) => format!("status {status}"),
    }
}

/// The limits' memory as one line of text, with the time it was written.
pub(super) fn limits_text(limits: &Snapshot, now: Reading) -> String {
    let ms = |time: Duration| time.as_millis() as u64;
    let calls: Vec<Value> = limits
        .calls
        .iter()
        .map(|c| json!([ms(c.ago), ms(c.answered)]))
        .collect();
    json!({
        "calls": calls,
        "failures": limits.failures,
        "back_off": hold(limits.back_off, now),
        "retry_after": hold(limits.retry_after, now),
        "age": hold(Duration::ZERO, now),
    })
    .to_string()
}

fn hold(remaining: Duration, saved: Reading) -> String {
    HoldOff { remaining, saved }.to_string()
}

/// Reads what [`limits_text`] wrote, and when that was, if the clock was
/// trusted then. What cannot be read counts as no memory.
pub(super) fn limits_from(text: Option<&String>) -> (Snapshot, Option<Stamp>) {
    text.and_then(|text| read_limits(text)).unwrap_or_default()
}

fn read_limits(text: &str) -> Option<(Snapshot, Option<Stamp>)> {
    let value: Value = serde_json::from_str(text).ok()?;
    let hold = |key: &str| HoldOff::parse(value[key].as_str()?);
    let used = |entry: &Value| {
        Some(Used {
            ago: Duration::from_millis(entry[0].as_u64()?),
            answered: Duration::from_millis(entry[1].as_u64()?),
        })
    };
    let snapshot = Snapshot {
        calls: value["calls"].as_array()?.iter().filter_map(used).collect(),
        failures: u32::try_from(value["failures"].as_u64()?).ok()?,
        back_off: hold("back_off")?.remaining,
        retry_after: hold("retry_after")?.remaining,
    };
    let saved = hold("age")?.saved;
    Some((snapshot, saved.trusted.then_some(saved.stamp)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Call, Config, Input, Output, Plan};

    /// What the call first says of a press.
    fn first_record() -> Record {
        let now = Instant::now();
        let mut call = Call::new(Config::default(), &Snapshot::default(), now);
        let plan = Plan {
            kind: call::Kind::Talk,
            targets: vec![0],
            cycles: 1,
            ring_for: Duration::from_secs(30),
            confirm: None,
            mode: Mode::default(),
        };
        let press = Input::Press {
            button: ButtonId(0),
            qualified_in: Duration::ZERO,
            plan,
        };
        call.handle(now, press);
        loop {
            match call.poll() {
                Output::Record(record) => return *record,
                Output::WaitUntil(_) => panic!("a press is on record at once"),
                _ => {}
            }
        }
    }

    #[test]
    fn every_attempt_of_the_longest_list_knows_its_press() {
        let first = first_record();
        let mut attempts = Attempts::default();
        let (stats, card, random) = (
            Stats::default(),
            card::Stats::default(),
            SystemRandom::new(),
        );
        let now = Reading {
            stamp: Stamp::from_unix_ms(1_795_400_000_000),
            trusted: true,
        };
        let last = (MAX_TARGETS * usize::from(MAX_CYCLES)) as u32;
        let mut presses = (0..last).map(|n| {
            let record = Record {
                attempt: AttemptId(first.attempt.0 + n),
                ..first.clone()
            };
            let row = attempts.row(&record, (None, None), now, &stats, &card, &random);
            row.press
        });
        let press = presses.next().unwrap();
        assert!(press.is_some());
        assert!(presses.all(|of| of == press));
    }

    #[test]
    fn limits_survive_as_text_with_the_time_they_were_saved() {
        let limits = Snapshot {
            calls: vec![Used {
                ago: Duration::from_secs(60),
                answered: Duration::from_secs(5),
            }],
            failures: 2,
            back_off: Duration::from_secs(3),
            retry_after: Duration::from_secs(3600),
        };
        let stamp = Stamp::from_unix_ms(1_795_400_000_000);
        for trusted in [true, false] {
            let text = limits_text(&limits, Reading { stamp, trusted });
            let (read, saved) = limits_from(Some(&text));
            assert_eq!((read, saved), (limits.clone(), trusted.then_some(stamp)));
        }
        let nothing = (Snapshot::default(), None);
        assert_eq!(limits_from(Some(&"{}".to_owned())), nothing);
    }
}
