//! One call's task: it rings, is answered, talks and ends.
//!
//! Started for every call that is placed; ends with it. All waiting is in two
//! places, [`Leg::wait`] before the answer and the `select!` of
//! [`Conversation::talk`] after it; between two waits everything that is due
//! is done by [`Conversation::work`].
//!
//! ```text
//!  callee's words ─▶ packet each 20 ms ─▶ line ─▶ writer task ─▶ device
//!           keys ──▶ tones or frames ──▶
//!                 └▶ recognizer: text ─▶
//!  what was heard ◀─ phone, in real time ◀─ line ◀─ reader ◀──── device
//! ```
//!
//! What the device's handshake asked for decides which of these run: sound or
//! transcripts to it, sound or text from it.
//!
//! Always true: packets lie on a grid of absolute times, so a late one does
//! not push those after it; a media socket that is lost does not end the call;
//! a device that takes no data holds up the writer task only.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};

use super::codec::Codec;
use super::config::{Answer, Callee, HangsUp};
use super::dial::{self, Dialed, WebSocket};
use super::event::What;
use super::exchange::{Direction, Party, Reason, Status};
use super::frames::{self, FromDevice, Writer};
use super::keypad::{Keypad, Press};
use super::line::{Line, Queue, Way};
use super::mouth::Mouth;
use super::phone::{Phone, Reached};
use super::recognizer::{Heard, Recognizer, Utterance};
use super::{Alive, Command, Shared, millis, new_id, stopped};

/// Characters of the longest text that is spoken at once.
const TEXT_MAX: usize = 8000;
/// Frames that may wait for a device that takes none: 5 s.
const UNSENT_MAX: usize = 256;
/// Longest wait for the last frames of a call to get through.
const LAST_FRAMES: Duration = Duration::from_secs(2);
/// Longest wait for the device's side of a close.
const CLOSING: Duration = Duration::from_secs(1);
/// Close code of an orderly end (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;
/// Close code of a service that is draining: it comes back.
const DRAINING: u16 = 4500;

type Dialing = Pin<Box<dyn Future<Output = Result<Dialed, String>> + Send>>;

/// See the module page.
pub(super) struct Leg {
    pub(super) shared: Arc<Shared>,
    pub(super) call: String,
    pub(super) direction: Direction,
    /// Whether a machine that answers is found out.
    pub(super) detects_voicemail: bool,
    pub(super) callee: Callee,
    pub(super) line: Line,
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) alive: Alive,
}

impl Leg {
    /// Lives the call from `initiated` to its end.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let call = self.call.clone();
        match self.ring().await {
            Some((status, reason)) => _ = shared.advance(&call, status, reason),
            None => {
                shared.advance(&call, Status::Answered, None);
                Conversation::begin(self).talk().await;
            }
        }
        shared.state().live.remove(&call);
    }

    /// Up to the answer; otherwise how the call ended before it.
    async fn ring(&mut self) -> Option<(Status, Option<Reason>)> {
        if let Some(reason) = self.wait(self.shared.service.ring_after).await {
            return Some((Status::Canceled, Some(reason)));
        }
        self.shared.advance(&self.call, Status::Ringing, None);
        if self.direction == Direction::Inbound {
            // The service answers at once, for the device.
            return None;
        }
        let (time, then) = match self.callee.answer {
            Answer::After(time) | Answer::Voicemail(time) => (time, None),
            Answer::RingsOut(time) => (time, Some((Status::Canceled, None))),
            Answer::Rejects(time) => (time, Some((Status::Canceled, Some(Reason::Rejected)))),
            Answer::Fails(time) => (time, Some((Status::Failed, None))),
            Answer::DialFails => (Duration::ZERO, Some((Status::Failed, None))),
        };
        match self.wait(time).await {
            Some(reason) => Some((Status::Canceled, Some(reason))),
            None => then,
        }
    }

    /// Waits for `time`; the reason, when somebody ends the call meanwhile.
    async fn wait(&mut self, time: Duration) -> Option<Reason> {
        let until = Instant::now() + time;
        let mut stop = self.shared.stop.subscribe();
        loop {
            tokio::select! {
                () = sleep_until(until) => return None,
                () = stopped(&mut stop) => return Some(Reason::Local),
                Some(command) = self.inbox.recv() => match command {
                    Command::HangUp => return Some(Reason::Local),
                    Command::CalleeHangsUp => return Some(Reason::Rejected),
                    // There is no media socket yet.
                    _ => {}
                },
            }
        }
    }
}

/// A call that was answered.
struct Conversation {
    leg: Leg,
    answered: Instant,
    phone: Arc<Mutex<Phone>>,
    mouth: Mouth,
    keypad: Keypad,
    recognizer: Recognizer,
    /// The turn that has barged in already.
    barged_in: Option<String>,
    media: Option<Media>,
    dialing: Option<Dialing>,
    redial_at: Option<Instant>,
    last_audio: Instant,
    /// The device lets the service speak: it sends no audio.
    tts: bool,
    /// There is no device to talk to, since then.
    given_up: Option<Instant>,
}

impl Conversation {
    fn begin(leg: Leg) -> Self {
        let answered = Instant::now();
        let service = &leg.shared.service;
        let rate = service.encoding.rate();
        let phone = Phone::new(answered.into_std(), rate, service.phone_buffer);
        let phone = Arc::new(Mutex::new(phone));
        leg.shared.record(&leg.call, Arc::clone(&phone));
        Self {
            mouth: Mouth::new(&leg.callee.says, rate),
            keypad: Keypad::new(&leg.callee.keys, rate),
            recognizer: Recognizer::new(&leg.callee.words),
            barged_in: None,
            leg,
            answered,
            phone,
            media: None,
            dialing: None,
            redial_at: Some(answered),
            last_audio: answered,
            tts: false,
            given_up: None,
        }
    }

    async fn talk(mut self) {
        let mut stop = self.leg.shared.stop.subscribe();
        let reason = loop {
            let now = Instant::now();
            if let Some(reason) = self.work(now) {
                break reason;
            }
            let since = now - self.answered;
            let stalled = self.leg.line.moves_at(since) > since;
            tokio::select! {
                () = sleep_until(self.wakes_at(now)) => {}
                () = stopped(&mut stop) => break Reason::Local,
                Some(dialed) = finished(&mut self.dialing) => self.on_dialed(dialed),
                Some(message) = next_message(&mut self.media, stalled) => self.on_message(message),
                Some(command) = self.leg.inbox.recv() => {
                    if let Some(reason) = self.on_command(command) {
                        break reason;
                    }
                }
            }
        };
        self.end(reason).await;
    }

    /// Does what is due; the reason, when that ends the call.
    fn work(&mut self, now: Instant) -> Option<Reason> {
        let over = self.deadlines().into_iter().flatten();
        if let Some((_, reason)) = over.filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at) {
            return Some(reason);
        }
        self.break_socket(now);
        if self.redial_at.is_some_and(|at| at <= now) {
            self.redial_at = None;
            self.dial();
        }
        self.speak(now);
        self.press_keys(now);
        let reason = self.listen(now);
        self.recognize(now);
        self.tell_reached(now);
        self.deliver(now);
        reason
    }

    /// When `work` is to be done again, if nothing happens before.
    fn wakes_at(&self, now: Instant) -> Instant {
        const AT_LEAST: Duration = Duration::from_secs(1);
        let line = &self.leg.line;
        let since = now - self.answered;
        let on_the_way = self.media.iter().flat_map(|media| {
            let next = [media.to_device.next_at(), media.from_device.next_at()];
            next.into_iter().flatten()
        });
        // What is past has been done, or cannot be done without a socket.
        let faults = [line.drop_at, line.close_4500_at, Some(line.moves_at(since))];
        let faults = faults.into_iter().flatten().filter(|at| *at > since);
        let reached = self.phone().next_reached_at().map(Instant::from_std);
        let said = [self.keypad.next_at(), self.recognizer.next_at()];
        let said = said.into_iter().flatten();
        let said = said.filter_map(|since| Some(self.mouth.began()? + since));
        let ends = self.deadlines().into_iter().flatten().map(|(at, _)| at);
        on_the_way
            .chain(faults)
            .map(|since| self.answered + since)
            .chain(ends)
            .chain(reached)
            .chain(said)
            .chain(self.mouth.next_at())
            .chain(self.redial_at)
            .fold(now + AT_LEAST, Instant::min)
    }

    /// When the call ends by itself, and why.
    fn deadlines(&self) -> [Option<(Instant, Reason)>; 5] {
        let service = &self.leg.shared.service;
        let hangs_up = match self.leg.callee.hangs_up {
            HangsUp::Never => None,
            HangsUp::After(time) => Some(self.answered + time),
            HangsUp::AfterSpeech(pause) => self.mouth.over_at().map(|over| over + pause),
        };
        let machine = self.leg.direction == Direction::Outbound
            && matches!(self.leg.callee.answer, Answer::Voicemail(_));
        let found_out = machine && self.leg.detects_voicemail;
        let detected = self.answered + service.voicemail_detected_after;
        [
            Some((self.answered + service.max_duration, Reason::MaxDuration)),
            hangs_up.map(|at| (at, Reason::Remote)),
            found_out.then_some((detected, Reason::Voicemail)),
            service
                .ends_without_audio
                .filter(|_| !self.tts)
                .map(|time| (self.last_audio + time, Reason::Local)),
            self.given_up.map(|at| (at, Reason::Local)),
        ]
    }

    fn on_command(&mut self, command: Command) -> Option<Reason> {
        let since = self.answered.elapsed();
        match command {
            Command::HangUp => return Some(Reason::Local),
            Command::CalleeHangsUp => return Some(Reason::Remote),
            Command::DropSocket => self.drop_socket(),
            Command::CloseSocket(code) => self.close_socket(code),
            Command::Redial => self.redial_at = Some(Instant::now()),
            Command::Send(text) => {
                if let Some(media) = &mut self.media {
                    media.to_device.send(since, text);
                }
            }
            Command::Digit(digit) => {
                let at = self.mouth.since_began(Instant::now());
                self.keypad.press(Press { at, digit });
            }
            Command::Say(text) => {
                let at = self.mouth.since_began(Instant::now());
                self.recognizer.say(&Utterance { at, text });
            }
        }
        None
    }

    // The socket: opened, broken on purpose, closed.

    fn dial(&mut self) {
        let shared = &self.leg.shared;
        let call = shared.state().exchange.call(&self.leg.call).cloned();
        let Some((call, url)) = call.and_then(|call| Some((call.clone(), call.url?))) else {
            return;
        };
        shared.note(Some(&self.leg.call), What::Dialing);
        let key = shared.service.signing_key.as_deref();
        let headers = dial::headers(&call, shared.service.context, key, shared.now());
        let trust = Arc::clone(&shared.trust);
        self.dialing = Some(Box::pin(dial::dial(url, headers, trust)));
    }

    fn on_dialed(&mut self, dialed: Result<Dialed, String>) {
        self.dialing = None;
        let shared = Arc::clone(&self.leg.shared);
        let call = self.leg.call.clone();
        let dialed = match dialed {
            Ok(dialed) => dialed,
            Err(why) => {
                shared.note(Some(&call), What::MediaRefused(why));
                self.redial_in(shared.service.redial_after_loss);
                if self.leg.direction == Direction::Inbound && self.redial_at.is_none() {
                    // Nobody took the call; the caller is not left waiting.
                    self.given_up = Some(Instant::now());
                }
                return;
            }
        };
        // The newest socket takes over.
        self.close_socket_for_good(DRAINING);
        let Dialed { socket, tts, stt } = dialed;
        let now = shared.now();
        shared.state().exchange.negotiated(&call, tts, stt, now);
        shared.note(Some(&call), What::MediaUp { tts, stt });
        let since = self.answered.elapsed();
        self.mouth.begin(Instant::now());
        self.tts = tts;
        self.media = Some(Media::open(&self.leg, socket, since, tts, stt));
    }

    /// The line's own faults.
    fn break_socket(&mut self, now: Instant) {
        let since = now - self.answered;
        if self.leg.line.drop_at.is_some_and(|at| at <= since) && self.media.is_some() {
            self.leg.line.drop_at = None;
            self.drop_socket();
        }
        if self.leg.line.close_4500_at.is_some_and(|at| at <= since) && self.media.is_some() {
            self.leg.line.close_4500_at = None;
            self.close_socket(DRAINING);
        }
    }

    fn drop_socket(&mut self) {
        if self.media.take().is_some() {
            self.on_socket_gone(None);
        }
    }

    fn close_socket(&mut self, code: u16) {
        if self.media.is_some() {
            self.close_socket_for_good(code);
            self.on_socket_gone(Some(code));
        }
    }

    fn close_socket_for_good(&mut self, code: u16) {
        if let Some(media) = self.media.take() {
            let alive = self.leg.alive.clone();
            tokio::spawn(async move {
                media.close(code).await;
                drop(alive);
            });
        }
    }

    fn on_socket_gone(&mut self, code: Option<u16>) {
        let shared = Arc::clone(&self.leg.shared);
        shared.note(Some(&self.leg.call), What::MediaDown(code));
        self.redial_in(if code == Some(DRAINING) {
            shared.service.redial_after_4500
        } else {
            shared.service.redial_after_loss
        });
    }

    fn redial_in(&mut self, pause: Option<Duration>) {
        self.redial_at = pause.map(|pause| Instant::now() + pause);
    }

    // What the callee says.

    fn speak(&mut self, now: Instant) {
        while let Some(at) = self.mouth.next_at().filter(|at| *at <= now) {
            let from = self.mouth.position();
            let packet = {
                let mut phone = self.phone.lock().unwrap_or_else(PoisonError::into_inner);
                phone.advance(at.into_std());
                self.mouth.packet(phone.heard())
            };
            let Some(mut packet) = packet else {
                continue;
            };
            self.keypad.mix(from, &mut packet);
            if let Some(media) = self.media.as_mut().filter(|media| !media.stt) {
                let since = at - self.answered;
                let frame = media.frames.media(&media.codec.encode(&packet));
                media.to_device.send_media(since, frame);
                if let Some(nonsense) = media.to_device.garbage() {
                    media.to_device.send(since, nonsense.to_owned());
                }
            }
        }
    }

    /// Keys the device is told of by frames. One pressed while there is no
    /// socket is lost.
    fn press_keys(&mut self, now: Instant) {
        let Some(since) = self.mouth.began().map(|began| now - began) else {
            return;
        };
        while let Some(digit) = self.keypad.take_frame(since) {
            if let Some(media) = &mut self.media {
                let frame = media.frames.digit(digit);
                media.to_device.send(now - self.answered, frame);
                self.note(What::Key(digit));
            }
        }
    }

    /// What speech-to-text makes of the callee, where the device wants that.
    fn recognize(&mut self, now: Instant) {
        let Some(since) = self.mouth.began().map(|began| now - began) else {
            return;
        };
        while let Some(heard) = self.recognizer.take(since) {
            if self.media.as_ref().is_some_and(|media| media.stt) {
                self.barge_in(now, &heard);
                self.transcribe(now, &heard);
            }
        }
    }

    /// The callee speaks over the voice: told once for each turn.
    fn barge_in(&mut self, now: Instant, heard: &Heard) {
        if !self.phone().is_speaking() || self.barged_in.as_ref() == Some(&heard.turn) {
            return;
        }
        self.barged_in = Some(heard.turn.clone());
        let interrupted = self.leg.shared.service.barge_in;
        if interrupted {
            self.phone().clear(now.into_std());
        }
        if let Some(media) = &mut self.media {
            if interrupted {
                media.text.clear();
            }
            let frame = media.frames.barge_in(heard, interrupted);
            media.to_device.send(now - self.answered, frame);
        }
        self.note(What::BargeIn { interrupted });
    }

    fn transcribe(&mut self, now: Instant, heard: &Heard) {
        if let Some(media) = &mut self.media {
            let frame = media.frames.transcript(heard);
            media.to_device.send(now - self.answered, frame);
        }
        if heard.is_final {
            self.said(now, Party::Remote, &heard.text);
            self.note(What::Transcript(heard.text.clone()));
        }
    }

    /// Writes down what was said.
    fn said(&self, now: Instant, party: Party, text: &str) {
        let shared = &self.leg.shared;
        let (after, stamp) = (now - self.answered, shared.now());
        let mut state = shared.state();
        let exchange = &mut state.exchange;
        exchange.said(&self.leg.call, party, text, after, stamp);
    }

    /// Sends back marks that were reached, and writes down what was spoken.
    fn tell_reached(&mut self, now: Instant) {
        let reached = {
            let mut phone = self.phone();
            phone.advance(now.into_std());
            phone.take_reached()
        };
        for reached in reached {
            match reached {
                Reached::Mark(name) => {
                    if !self.leg.shared.service.returns_marks {
                        continue;
                    }
                    if let Some(media) = &mut self.media {
                        let frame = media.frames.mark(&name);
                        media.to_device.send(now - self.answered, frame);
                    }
                    self.note(What::Mark(name));
                }
                Reached::Spoken(text) => {
                    self.said(now, Party::Local, &text);
                    self.note(What::Spoken(text));
                }
            }
        }
    }

    /// Hands on what has come through the line.
    fn deliver(&mut self, now: Instant) {
        let since = now - self.answered;
        if let Some(media) = &mut self.media {
            while let Some(frame) = media.to_device.arrive(since) {
                media.write(Message::text(frame));
            }
        }
    }

    // What the callee hears.

    fn on_message(&mut self, message: Option<Result<Message, tungstenite::Error>>) {
        let since = self.answered.elapsed();
        let Some(media) = &mut self.media else {
            return;
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                let frame = frames::read(&text, media.frames.stream_id());
                if matches!(frame, Ok(FromDevice::Media(_))) {
                    media.from_device.send_media(since, frame);
                } else {
                    media.from_device.send(since, frame);
                }
            }
            Some(Ok(Message::Binary(_))) => {
                let bad = Err("binary; frames are JSON in text messages".to_owned());
                media.from_device.send(since, bad);
            }
            Some(Ok(Message::Close(close))) => {
                media.closed = Some(close.map(|close| close.code.into()));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => media.closed = Some(None),
        }
    }

    /// Takes in what has come through the line; the reason, if it is `stop`.
    fn listen(&mut self, now: Instant) -> Option<Reason> {
        let since = now - self.answered;
        while let Some(frame) = self.media.as_mut()?.from_device.arrive(since) {
            match frame {
                Ok(FromDevice::Stop) => {
                    self.note(What::Stopped);
                    return Some(Reason::Local);
                }
                Ok(FromDevice::Media(payload)) => self.hear(now, &payload),
                Ok(FromDevice::AudioDone) => self.note(What::AudioDone),
                Ok(FromDevice::Text { delta, done }) => self.collect(now, &delta, done),
                Ok(FromDevice::Transcript {
                    party,
                    text,
                    is_final,
                }) => self.take_transcript(now, party, text, is_final),
                Ok(FromDevice::Clear) => {
                    if let Some(media) = &mut self.media {
                        media.text.clear();
                    }
                    let cleared = self.phone().clear(now.into_std());
                    self.note(What::Cleared(millis(cleared)));
                }
                Ok(FromDevice::Mark(name)) => {
                    if !self.phone().mark(now.into_std(), name) {
                        self.complain(now, "too many marks wait".into());
                    }
                }
                Err(why) => self.complain(now, why),
            }
        }
        let media = self.media.as_ref()?;
        if let Some(code) = media
            .closed
            .filter(|_| media.from_device.next_at().is_none())
        {
            self.media = None;
            self.on_socket_gone(code);
        }
        None
    }

    fn hear(&mut self, now: Instant, payload: &[u8]) {
        let Some(media) = &mut self.media else {
            return;
        };
        if media.tts {
            let why = "media: the handshake left speaking to the service: text is expected";
            return self.complain(now, why.into());
        }
        let sound = match media.codec.decode(payload) {
            Ok(sound) => sound,
            Err(why) => return self.complain(now, format!("media: {why}")),
        };
        self.last_audio = now;
        if !std::mem::replace(&mut media.heard_any, true) {
            self.note(What::FirstAudio);
        }
        if !self.phone().put(now.into_std(), sound) {
            self.complain(now, "media: a minute of sound waits already".into());
        }
    }

    /// Collects text until it is whole; then it is spoken.
    fn collect(&mut self, now: Instant, delta: &str, done: bool) {
        let Some(media) = &mut self.media else {
            return;
        };
        if !media.tts {
            let why = "text: the handshake kept speaking to the device: sound is expected";
            return self.complain(now, why.into());
        }
        if media.text.chars().count() + delta.chars().count() > TEXT_MAX {
            media.text.clear();
            let why = format!("text: more than {TEXT_MAX} characters; none of them is spoken");
            return self.complain(now, why);
        }
        media.text.push_str(delta);
        if !done {
            return;
        }
        let text = std::mem::take(&mut media.text);
        self.note(What::Text(text.clone()));
        if !self.phone().speak(now.into_std(), text) {
            self.complain(now, "text: ten minutes of speech wait already".into());
        }
    }

    /// The device's own speech-to-text.
    fn take_transcript(&mut self, now: Instant, party: Party, text: String, is_final: bool) {
        if self.media.as_ref().is_some_and(|media| media.stt) {
            let why = "transcript: the handshake left listening to the service";
            self.complain(now, why.into());
        } else if is_final {
            self.said(now, party, &text);
            self.note(What::DeviceTranscript(party, text));
        }
    }

    fn complain(&mut self, now: Instant, why: String) {
        if let Some(media) = &mut self.media {
            let frame = media.frames.error(&why);
            media.to_device.send(now - self.answered, frame);
        }
        self.note(What::BadFrame(why));
    }

    // The end.

    async fn end(mut self, reason: Reason) {
        let shared = Arc::clone(&self.leg.shared);
        let now = Instant::now();
        self.phone().hang_up(now.into_std());
        self.tell_reached(now);
        shared.advance(&self.leg.call, Status::Completed, Some(reason));
        let Some(mut media) = self.media.take() else {
            return;
        };
        let stop = media.frames.stop(Some(reason));
        media.to_device.send(self.answered.elapsed(), stop);
        let drained = async {
            while let Some(at) = media.to_device.next_at() {
                sleep_until(self.answered + at).await;
                while let Some(frame) = media.to_device.arrive(at) {
                    media.write(Message::text(frame));
                }
            }
        };
        _ = timeout(LAST_FRAMES, drained).await;
        media.close(NORMAL).await;
        shared.note(Some(&self.leg.call), What::MediaDown(Some(NORMAL)));
    }

    fn phone(&self) -> MutexGuard<'_, Phone> {
        self.phone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: What) {
        self.leg.shared.note(Some(&self.leg.call), what);
    }
}

/// What a dial came to, once there is one.
async fn finished(dialing: &mut Option<Dialing>) -> Option<Result<Dialed, String>> {
    match dialing {
        Some(dialing) => Some(dialing.await),
        None => None,
    }
}

/// The next message of the device. Not read while the line stalls: then its
/// socket fills up, as it would.
async fn next_message(
    media: &mut Option<Media>,
    stalled: bool,
) -> Option<Option<Result<Message, tungstenite::Error>>> {
    match media {
        Some(media) if media.closed.is_none() && !stalled => Some(media.reader.next().await),
        _ => None,
    }
}

/// An open media socket and the line it runs over.
struct Media {
    reader: SplitStream<WebSocket>,
    unsent: mpsc::Sender<Message>,
    writer: Task,
    frames: Writer,
    to_device: Queue<String>,
    from_device: Queue<Result<FromDevice, String>>,
    codec: Codec,
    /// Text from the device, not yet whole.
    text: String,
    /// Text comes from the device in place of sound.
    tts: bool,
    /// Text goes to the device in place of sound.
    stt: bool,
    heard_any: bool,
    /// The device closed it, with this code; what it sent before is on its way.
    closed: Option<Option<u16>>,
}

impl Media {
    fn open(leg: &Leg, socket: WebSocket, since: Duration, tts: bool, stt: bool) -> Self {
        let service = &leg.shared.service;
        let (sink, reader) = socket.split();
        let (unsent, outbox) = mpsc::channel(UNSENT_MAX);
        let (done, written) = watch::channel(());
        let writer = tokio::spawn(async move {
            write(sink, outbox).await;
            drop(done);
        });
        let mut frames = Writer::new(new_id(), service.numbers_as_text);
        let mut to_device = Queue::new(leg.line.clone(), Way::ToDevice);
        if service.connected_frame {
            to_device.send(since, frames.connected());
        }
        to_device.send(
            since,
            frames.start(&leg.call, service.encoding, &service.announce),
        );
        Self {
            reader,
            unsent,
            writer: Task {
                abort: writer.abort_handle(),
                done: written,
            },
            frames,
            to_device,
            from_device: Queue::new(leg.line.clone(), Way::FromDevice),
            codec: Codec::new(service.encoding),
            text: String::new(),
            tts,
            stt,
            heard_any: false,
            closed: None,
        }
    }

    /// Hands a message to the writer. One that finds no room is lost, as it is
    /// in a service that does not wait for a slow peer.
    fn write(&self, message: Message) {
        _ = self.unsent.try_send(message);
    }

    /// Says goodbye and waits for the device to do so, not for long. What it
    /// still sends is read: closing on unread data would take our last frames
    /// away from it.
    async fn close(mut self, code: u16) {
        self.write(Message::Close(Some(CloseFrame {
            code: code.into(),
            reason: "".into(),
        })));
        let goodbye = async {
            while let Some(Ok(_)) = self.reader.next().await {}
            _ = self.writer.done.changed().await;
        };
        drop(self.unsent);
        _ = timeout(CLOSING, goodbye).await;
    }
}

/// A task that ends with its owner.
struct Task {
    abort: AbortHandle,
    /// Closes when the task is over.
    done: watch::Receiver<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut outbox: mpsc::Receiver<Message>) {
    while let Some(message) = outbox.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::exchange::Call;
    use crate::simulator::{Config, Number, Service, Tasks};

    /// Lives a call without a media URL on a clock that jumps from one timer
    /// to the next; `meanwhile` is asked of it at that time.
    async fn live(
        service: Service,
        answer: Answer,
        meanwhile: Option<(Duration, Command)>,
    ) -> Call {
        let config = Config {
            service,
            ..Config::default()
        };
        let trust = dial::trust(None).unwrap();
        let (alive, _) = mpsc::channel(1);
        let tasks = Tasks {
            runtime: tokio::runtime::Handle::current(),
            alive: alive.downgrade(),
        };
        let shared = Arc::new(Shared::new(config, String::new(), trust, tasks));
        let number = Number::default();
        let now = shared.now();
        shared.state().exchange.enter(Call {
            id: "call".into(),
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
            created_at: now,
            updated_at: now,
        });
        let (commands, inbox) = mpsc::channel(1);
        let leg = Leg {
            shared: Arc::clone(&shared),
            call: "call".into(),
            direction: Direction::Outbound,
            detects_voicemail: true,
            callee: Callee::absent(answer),
            line: Line::default(),
            inbox,
            alive,
        };
        let asked = async {
            if let Some((time, command)) = meanwhile {
                tokio::time::sleep(time).await;
                commands.send(command).await.unwrap();
            }
        };
        tokio::join!(leg.run(), asked);
        let state = shared.state();
        state.exchange.call("call").unwrap().clone()
    }

    fn seconds(from: jiff::Timestamp, to: Option<jiff::Timestamp>) -> f64 {
        to.unwrap().duration_since(from).as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_nobody_answers_rings_as_long_as_it_is_let() {
        let minute = Duration::from_secs(60);
        let call = live(Service::default(), Answer::RingsOut(minute), None).await;
        assert_eq!((call.status, call.reason), (Status::Canceled, None));
        let lasted = seconds(call.created_at, call.ended_at);
        assert!((lasted - 60.2).abs() < 0.01, "{lasted}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_sound_ends_or_lingers_to_the_longest_duration() {
        let at_once = Answer::After(Duration::ZERO);
        let impatient = Service::default();
        let patient = Service {
            ends_without_audio: None,
            ..Service::default()
        };
        for (service, reason, want) in [
            (impatient, Reason::Local, 10.0),
            (patient, Reason::MaxDuration, 900.0),
        ] {
            let call = live(service, at_once, None).await;
            assert_eq!(
                (call.status, call.reason),
                (Status::Completed, Some(reason))
            );
            let lasted = seconds(call.started_at.unwrap(), call.ended_at);
            assert!((lasted - want).abs() < 0.01, "{lasted}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_hangs_up_and_when_makes_the_reason() {
        use Status::{Canceled, Completed};
        let early = Duration::from_secs(1);
        let late = Duration::from_secs(5);
        let cases = [
            (early, Command::HangUp, Canceled, Reason::Local),
            (early, Command::CalleeHangsUp, Canceled, Reason::Rejected),
            (late, Command::HangUp, Completed, Reason::Local),
            (late, Command::CalleeHangsUp, Completed, Reason::Remote),
        ];
        for (time, command, status, reason) in cases {
            let told = format!("{command:?} after {time:?}");
            let answer = Answer::After(Duration::from_secs(3));
            let call = live(Service::default(), answer, Some((time, command))).await;
            assert_eq!((call.status, call.reason), (status, Some(reason)), "{told}");
            let lasted = seconds(call.created_at, call.ended_at);
            assert!(
                (lasted - time.as_secs_f64()).abs() < 0.01,
                "{told}: {lasted}"
            );
        }
    }
}
