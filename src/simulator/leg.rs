//! One call's task: it rings, is answered, talks and ends.
//!
//! Started for every call that is placed; ends with it. All waiting is in two
//! places, [`Leg::wait`] before the answer and the `select!` of
//! [`Conversation::talk`] after it; between two waits everything that is due
//! is done by [`Conversation::work`].
//!
//! ```text
//!  callee's words ─▶ packet each 20 ms ─▶ line ─▶ writer task ─▶ device
//!  what was heard ◀─ phone, in real time ◀─ line ◀─ reader ◀──── device
//! ```
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

use super::config::{Answer, Callee, HangsUp, Says};
use super::dial::{self, Dialed, WebSocket};
use super::event::What;
use super::exchange::{Reason, Status};
use super::frames::{self, FromDevice, Writer};
use super::line::{Line, Queue, Way};
use super::phone::{Phone, RATE};
use super::{Alive, Command, Shared, millis, new_id, stopped};

/// From one packet to the next.
const PACKET: Duration = Duration::from_millis(20);
/// Samples of a packet.
const PACKET_SAMPLES: usize = 160;
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
    media: Option<Media>,
    dialing: Option<Dialing>,
    redial_at: Option<Instant>,
    last_audio: Instant,
}

impl Conversation {
    fn begin(leg: Leg) -> Self {
        let answered = Instant::now();
        let phone = Phone::new(answered.into_std(), leg.shared.service.phone_buffer);
        let phone = Arc::new(Mutex::new(phone));
        leg.shared.record(&leg.call, Arc::clone(&phone));
        Self {
            mouth: Mouth::new(leg.callee.says.clone()),
            leg,
            answered,
            phone,
            media: None,
            dialing: None,
            redial_at: Some(answered),
            last_audio: answered,
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
        let reason = self.listen(now);
        self.echo_marks(now);
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
        let mark = self.phone().next_mark_at().map(Instant::from_std);
        let ends = self.deadlines().into_iter().flatten().map(|(at, _)| at);
        on_the_way
            .chain(faults)
            .map(|since| self.answered + since)
            .chain(ends)
            .chain(mark)
            .chain(self.mouth.next_at())
            .chain(self.redial_at)
            .fold(now + AT_LEAST, Instant::min)
    }

    /// When the call ends by itself, and why.
    fn deadlines(&self) -> [Option<(Instant, Reason)>; 4] {
        let service = &self.leg.shared.service;
        let hangs_up = match self.leg.callee.hangs_up {
            HangsUp::Never => None,
            HangsUp::After(time) => Some(self.answered + time),
            HangsUp::AfterSpeech(pause) => self.mouth.over_at().map(|over| over + pause),
        };
        let machine = matches!(self.leg.callee.answer, Answer::Voicemail(_));
        let detected = self.answered + service.voicemail_detected_after;
        [
            Some((self.answered + service.max_duration, Reason::MaxDuration)),
            hangs_up.map(|at| (at, Reason::Remote)),
            machine.then_some((detected, Reason::Voicemail)),
            service
                .ends_without_audio
                .map(|time| (self.last_audio + time, Reason::Local)),
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
                if let Some(media) = &mut self.media {
                    let frame = media.frames.digit(digit);
                    media.to_device.send(since, frame);
                }
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
            let packet = {
                let mut phone = self.phone.lock().unwrap_or_else(PoisonError::into_inner);
                phone.advance(at.into_std());
                self.mouth.packet(phone.heard())
            };
            let Some(media) = self.media.as_mut().filter(|media| media.raw_to_device) else {
                continue;
            };
            if let Some(packet) = packet {
                let since = at - self.answered;
                let frame = media.frames.media(&packet);
                media.to_device.send_media(since, frame);
                if let Some(nonsense) = media.to_device.garbage() {
                    media.to_device.send(since, nonsense.to_owned());
                }
            }
        }
    }

    fn echo_marks(&mut self, now: Instant) {
        let reached = {
            let mut phone = self.phone();
            phone.advance(now.into_std());
            phone.take_marks()
        };
        for name in reached {
            if let Some(media) = &mut self.media {
                let frame = media.frames.mark(&name);
                media.to_device.send(now - self.answered, frame);
            }
            self.note(What::Mark(name));
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
                Ok(FromDevice::Media(sound)) => self.hear(now, sound),
                Ok(FromDevice::Clear) => {
                    let cleared = self.phone().clear(now.into_std());
                    self.note(What::Cleared(millis(cleared)));
                }
                Ok(FromDevice::Mark(name)) => {
                    if !self.phone().mark(now.into_std(), name) {
                        self.complain(now, "too many marks wait".into());
                    }
                }
                Ok(FromDevice::Other) => {}
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

    fn hear(&mut self, now: Instant, sound: Vec<i16>) {
        let Some(media) = self.media.as_mut().filter(|media| media.raw_from_device) else {
            return;
        };
        self.last_audio = now;
        if !std::mem::replace(&mut media.heard_any, true) {
            self.note(What::FirstAudio);
        }
        if !self.phone().put(now.into_std(), sound) {
            self.complain(now, "media: a minute of sound waits already".into());
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
        self.phone().hang_up(Instant::now().into_std());
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
    raw_to_device: bool,
    raw_from_device: bool,
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
        to_device.send(since, frames.start(&leg.call, &service.announce));
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
            raw_to_device: !stt,
            raw_from_device: !tts,
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

/// What the callee says, packet by packet.
#[derive(Debug)]
struct Mouth {
    says: Says,
    /// When the device could first hear them; packets lie on a grid from here.
    began: Option<Instant>,
    packets: u32,
    /// Where in what was heard the next packet of an echo begins.
    echoed: Option<usize>,
}

impl Mouth {
    fn new(says: Says) -> Self {
        Self {
            says,
            began: None,
            packets: 0,
            echoed: None,
        }
    }

    /// There is somebody to talk to. Only the first time counts: words spoken
    /// while a socket is lost are lost.
    fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    fn next_at(&self) -> Option<Instant> {
        Some(self.began? + PACKET * self.packets)
    }

    /// When the last word has been said.
    fn over_at(&self) -> Option<Instant> {
        let samples = match &self.says {
            Says::Speech(words) | Says::SpeechThenNoMedia(words) => words.len() as u64,
            Says::Echo | Says::Silence => 0,
        };
        Some(self.began? + Duration::from_nanos(samples * (1_000_000_000 / RATE)))
    }

    /// The next 20 ms; `None` when nothing at all is sent.
    fn packet(&mut self, heard: &[i16]) -> Option<[i16; PACKET_SAMPLES]> {
        let at = self.packets as usize * PACKET_SAMPLES;
        self.packets += 1;
        let said = match &self.says {
            Says::Speech(words) => words.get(at..).unwrap_or_default(),
            Says::SpeechThenNoMedia(words) => words.get(at..).filter(|rest| !rest.is_empty())?,
            Says::Echo => {
                // From the first whole packet heard on, one for each sent.
                let from = self.echoed.or(heard.len().checked_sub(PACKET_SAMPLES));
                self.echoed = from.map(|from| from + PACKET_SAMPLES);
                from.map_or(&[][..], |from| heard.get(from..).unwrap_or_default())
            }
            Says::Silence => &[],
        };
        let mut packet = [0; PACKET_SAMPLES];
        let length = said.len().min(PACKET_SAMPLES);
        packet[..length].copy_from_slice(&said[..length]);
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::exchange::{Call, Direction};
    use crate::simulator::{Config, Number, Service};

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
        let shared = Arc::new(Shared::new(config, String::new(), trust));
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
            callee: Callee::absent(answer),
            line: Line::default(),
            inbox,
            alive: mpsc::channel(1).0,
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

    #[test]
    fn words_are_cut_into_packets_and_filled_up() {
        let mut mouth = Mouth::new(Says::Speech(vec![5; 200].into()));
        assert_eq!(mouth.packet(&[]), Some([5; 160]));
        let last = mouth.packet(&[]).unwrap();
        assert_eq!((last[39], last[40]), (5, 0));
        assert_eq!(mouth.packet(&[]), Some([0; 160]));
    }

    #[test]
    fn one_way_sound_ends_with_the_words() {
        let mut mouth = Mouth::new(Says::SpeechThenNoMedia(vec![5; 160].into()));
        assert_eq!(mouth.packet(&[]), Some([5; 160]));
        assert_eq!(mouth.packet(&[]), None);
    }

    #[test]
    fn an_echo_repeats_each_sample_once() {
        let heard: Vec<i16> = (0..480).collect();
        let mut mouth = Mouth::new(Says::Echo);
        assert_eq!(mouth.packet(&heard[..100]), Some([0; 160]));
        assert_eq!(mouth.packet(&heard[..260]).unwrap()[..], heard[100..260]);
        assert_eq!(mouth.packet(&heard[..420]).unwrap()[..], heard[260..420]);
    }

    #[test]
    fn packets_lie_on_a_grid() {
        let began = Instant::now();
        let mut mouth = Mouth::new(Says::Silence);
        assert_eq!(mouth.next_at(), None);
        mouth.begin(began);
        mouth.begin(began + Duration::from_secs(5));
        for _ in 0..50 {
            mouth.packet(&[]);
        }
        assert_eq!(mouth.next_at(), Some(began + Duration::from_secs(1)));
    }
}
