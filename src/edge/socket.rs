//! The live media socket: between the service's WebSocket and the two rings
//! of the audio thread.
//!
//! ```text
//!            ┌──────────────── Hub, media runtime ────────────────┐
//!  service ──┤ WebSocket ─▶ wire::media ─▶ Recutter ─▶ DownlinkTx ├─▶ render
//!          ◀─┤ WebSocket ◀─ wire::media ◀─ waiting ◀── UplinkRx   ├◀─ capture
//!            │                     What ◀───────────── EventRx    ├◀─ detector
//!            └─────▲───────────────────────────────────────┬──────┘
//!              Command (daemon)                          Event (daemon)
//! ```
//!
//! Instead of sound either way may carry text ([`Mode`]): words to be spoken
//! to the far end ([`Command::Say`]), and words heard of it
//! ([`What::Transcript`]).
//!
//! The card alone paces the uplink: the audio thread pushes a packet and wakes
//! the hub, the hub sends what is there. No timer of ours has a part in it.
//!
//! Delay is bounded at each place where sound can wait. Our own buffer holds
//! [`UPLINK_STALE`] packets and one message, the kernel [`KERNEL_MAX`] beyond
//! what the round trip keeps on the way; while it holds more, the hub pauses
//! and drops what grows old. What waits beyond the kernel, in a proxy or at
//! the service, is measured by a `mark` every [`MARK_PERIOD`], and dropped by
//! `clear` when it is more than [`FAR_MAX`] above the best. Where the service
//! speaks for us there is no such mark: it would wait behind the words.
//!
//! Always true: sound is sent in the order it was made and at most once, in
//! the encoding that the stream declared; a socket that has ended says so
//! exactly once; packets of one stream never reach another; text is sent only
//! where the service speaks, sound only where it does not.
//!
//! Thread: media runtime.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::audio::engine::EngineEvent;
use crate::audio::ring::{
    DownlinkTx, EventRx, PAYLOAD_MAX, Packet, UPLINK_PACKETS, UPLINK_STALE, UplinkRx,
};
use crate::edge::ingress::{Stream, Upgraded};
use crate::edge::realtime::{self, Wake};
use crate::trace::{Counter, Trace};
use crate::units::{BLOCK_MS, ByteOrder, Digit, Encoding, Mode, SocketId};
use crate::wire::media::{
    self, BargeIn, CLEAR, Inbound, MESSAGE_MAX, Malformed, Media, Recutter, Slot, Start, Track,
    Transcript, Writer,
};

mod keys;
mod marks;
mod outbox;
mod speech;

use keys::Keys;
use marks::Marks;
pub use marks::{FAR_MAX, MARK_PERIOD};
use outbox::Outbox;
use speech::Speech;

/// Commands that may wait for the hub.
pub const COMMANDS_MAX: usize = 16;
/// Events that may wait for the daemon.
pub const EVENTS_MAX: usize = 64;
/// Sound the kernel may hold besides what is on its way: 200 ms.
pub const KERNEL_MAX: Duration = Duration::from_millis(200);
/// Most of a round trip that is allowed for. A line slower than that is in a
/// stall, not far away.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);
/// How often a socket is looked after.
const TICK: Duration = Duration::from_secs(1);
/// How often the service is pinged.
pub const PING_PERIOD: Duration = Duration::from_secs(5);
/// A socket from which nothing came for so long, not even the answer to a
/// ping, is dead: the address of one side has changed, or a router forgot.
pub const IDLE_MAX: Duration = Duration::from_secs(15);
/// All the time a socket has for its last words.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// Control messages that may wait behind a blocked socket.
const CONTROLS_MAX: usize = 8;
/// Sockets that may be on their way out; of more, the last words are left out.
const FAREWELLS_MAX: usize = 8;
/// Bytes around a message: WebSocket header, TLS record.
const OVERHEAD: usize = 32;

/// What the daemon asks of the hub.
#[derive(Debug)]
pub enum Command {
    /// Takes this stream for the call; the present one, if there is one, ends
    /// with [`End::Replaced`].
    Attach {
        /// Its name.
        socket: SocketId,
        /// The number its packets carry, as the engine was told it.
        stream: u32,
        /// What its answer asked the service for.
        mode: Mode,
        /// The connection.
        upgraded: Upgraded,
    },
    /// Has the service speak, in a mode in which it does. [`What::Spoken`]
    /// follows, unless another `Say` takes its place or the socket ends.
    Say {
        /// On which; it is of no effect on another than the present one.
        socket: SocketId,
        /// What; control characters are left out, and what is more than
        /// [`media::SPOKEN_MAX`] bytes.
        text: String,
    },
    /// Tells the service, behind the packets that wait, that an utterance in
    /// sound is over.
    AudioDone,
    /// Asks the service to end the call, then closes. [`End::Left`] follows
    /// when the service has closed too, after [`FAREWELL`] at the latest.
    Stop {
        /// Why, for the service's records.
        reason: &'static str,
    },
    /// Closes without ending the call; [`End::Left`] follows as for `Stop`.
    Close,
}

/// What happens on a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// On which.
    pub socket: SocketId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The service said `start`, or began without it: sound and words may
    /// flow. Once more when a later `start` declares another encoding.
    Started {
        /// How packets are written from now on.
        encoding: Encoding,
    },
    /// The first sound of the far end.
    FirstMedia,
    /// What flowed in the second that is over.
    Flow(Flow),
    /// The far end pressed a key. It may come twice, once each way.
    Dtmf {
        /// Which.
        digit: Digit,
        /// It was heard by its tones; else the service told it.
        in_band: bool,
    },
    /// Words of the far end, where the service hears for us.
    Transcript(Transcript),
    /// The far end spoke over our words.
    BargeIn(BargeIn),
    /// The turn of the last [`Command::Say`] is over.
    Spoken {
        /// It was heard to its end; `false` when the far end spoke over it, or
        /// when nothing of it could be spoken.
        whole: bool,
    },
    /// The far end has heard a prompt of ours, made in sound, to its end.
    PromptOver,
    /// The service reports an error of its own.
    ServiceError {
        /// Its number or word.
        code: String,
        /// What it says.
        text: String,
    },
    /// There will be no more of this socket.
    Ended(End),
}

/// One second of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// Which ways sound flows at all: none is missed where none is due.
    pub mode: Mode,
    /// Packets of the far end taken in.
    pub received: u32,
    /// Packets sent.
    pub sent: u32,
    /// Packets too old to be sent.
    pub stale: u32,
    /// Bytes the other end of the TCP connection has not acknowledged.
    pub unsent: usize,
    /// Time from a mark to its echo, when one came back in this second.
    pub mark: Option<Duration>,
}

/// Ways for a socket to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The service says the call is over.
    Stopped(Option<String>),
    /// The service closed; 4500 means that it comes back.
    Closed(Option<u16>),
    /// The connection broke, or was silent for too long.
    Lost(String),
    /// It carries a kind of sound we do not take.
    Unsupported(String),
    /// A newer socket took the call over.
    Replaced,
    /// We closed it, by `Stop` or `Close`.
    Left,
}

/// The task that carries the sound of the present call.
pub struct Hub {
    commands: mpsc::Receiver<Command>,
    outbox: Outbox,
    uplink: UplinkRx,
    downlink: DownlinkTx,
    /// Of linear sound.
    order: ByteOrder,
    engine: EventRx,
    wake: Arc<Wake>,
    trace: Arc<Trace>,
    live: Option<Live>,
    /// Sockets that are being closed, and what is to be told after each.
    farewells: JoinSet<Option<Event>>,
}

enum Happening {
    Command(Option<Command>),
    Woken,
    Tick,
    Message(Option<Result<Message, Error>>),
    Farewell(Option<Event>),
}

impl Hub {
    /// A hub, the way to tell it, and the way to hear from it. `order` is that
    /// of linear sound, which no stream declares.
    #[must_use]
    pub fn new(
        uplink: UplinkRx,
        downlink: DownlinkTx,
        engine: EventRx,
        order: ByteOrder,
        wake: Arc<Wake>,
        trace: Arc<Trace>,
    ) -> (Self, mpsc::Sender<Command>, mpsc::Receiver<Event>) {
        let (commands, taken) = mpsc::channel(COMMANDS_MAX);
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let hub = Self {
            commands: taken,
            outbox: Outbox::new(events, Arc::clone(&trace)),
            uplink,
            downlink,
            order,
            engine,
            wake,
            trace,
            live: None,
            farewells: JoinSet::new(),
        };
        (hub, commands, told)
    }

    /// Carries sound until every sender of commands is gone, then closes what
    /// is open: at most [`FAREWELL`].
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let live = &mut self.live;
            let happening = tokio::select! {
                command = self.commands.recv() => Happening::Command(command),
                () = self.wake.notified() => Happening::Woken,
                _ = tick.tick() => Happening::Tick,
                message = poll_fn(|cx| poll_live(live, cx)) => Happening::Message(message),
                Some(done) = self.farewells.join_next() => Happening::Farewell(done.ok().flatten()),
            };
            match happening {
                Happening::Command(Some(command)) => self.on_command(command).await,
                Happening::Command(None) => break,
                Happening::Woken => {
                    self.on_sound();
                    self.on_engine();
                }
                Happening::Tick => self.on_tick(),
                Happening::Message(message) => self.on_message(message),
                Happening::Farewell(event) => self.outbox.tell_all(event),
            }
            self.outbox.retry();
            realtime::breathe();
        }
        self.leave(None, End::Left);
        for event in self.farewells.join_all().await {
            self.outbox.tell_all(event);
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Attach {
                socket,
                stream,
                mode,
                upgraded,
            } => {
                if self.live.is_some() {
                    self.end(End::Replaced, CloseCode::Normal);
                }
                match open(upgraded).await {
                    Ok(web) => {
                        let trace = Arc::clone(&self.trace);
                        self.live = Some(Live::new(socket, stream, mode, web, trace));
                    }
                    Err(error) => {
                        let end = End::Lost(error.to_string());
                        self.outbox.tell(socket, What::Ended(end));
                    }
                }
            }
            Command::Say { socket, text } => self.on_say(socket, &text),
            Command::AudioDone => {
                // What was made before it comes before it.
                self.on_sound();
                if let Some(live) = &mut self.live {
                    live.audio_done = live.mode.sends_sound();
                }
            }
            Command::Stop { reason } => {
                let stop = Message::text(media::write_stop(reason));
                self.leave(Some(stop), End::Left);
            }
            Command::Close => self.leave(None, End::Left),
        }
    }

    fn on_say(&mut self, socket: SocketId, text: &str) {
        let Some(live) = self.live.as_mut().filter(|live| live.socket == socket) else {
            return;
        };
        // Whoever asked must not wait for an end that will not come.
        if !live.mode.tts || !live.speech.say(text) {
            self.outbox.tell(socket, What::Spoken { whole: false });
        }
    }

    /// Takes what the microphone made; the socket sends it when it is polled.
    fn on_sound(&mut self) {
        while let Some((packet, age)) = self.uplink.pop() {
            if let Some(live) = &mut self.live
                && packet.stream == live.stream
                && live.mode.sends_sound()
                && live.writer.is_some()
            {
                live.push(packet, age);
            }
        }
        if let Some(live) = &mut self.live {
            live.drop_stale();
            live.judge_backlog(Instant::now());
        }
    }

    /// Takes what was found in the sound.
    fn on_engine(&mut self) {
        while let Some(event) = self.engine.pop() {
            let Some(live) = &self.live else { continue };
            match event {
                EngineEvent::Digit { stream, digit } if stream == live.stream => {
                    self.on_key(digit, true);
                }
                EngineEvent::PromptOver { stream } if stream == live.stream => {
                    self.outbox.tell(live.socket, What::PromptOver);
                }
                // Left over from the call before.
                EngineEvent::Digit { .. } | EngineEvent::PromptOver { .. } => {}
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(live) = &mut self.live else { return };
        let now = Instant::now();
        let flow = live.take_flow();
        self.trace.add(Counter::MediaOut, flow.sent.into());
        self.outbox.tell(live.socket, What::Flow(flow));
        if now.duration_since(live.heard) > IDLE_MAX {
            self.trace.count(Counter::SocketsIdle);
            let seconds = IDLE_MAX.as_secs();
            let end = End::Lost(format!("nothing came for {seconds} s, not even a pong"));
            return self.end(end, CloseCode::Away);
        }
        live.keys.tick();
        live.look_after(now);
    }

    fn on_message(&mut self, message: Option<Result<Message, Error>>) {
        let Some(live) = &mut self.live else { return };
        match message {
            Some(Ok(message)) => {
                live.heard = Instant::now();
                match message {
                    Message::Text(text) => self.on_text(&text),
                    Message::Close(frame) => {
                        let code = frame.map(|f| f.code);
                        self.end(End::Closed(code.map(u16::from)), CloseCode::Normal);
                    }
                    Message::Ping(_) | Message::Pong(_) => {}
                    Message::Binary(_) | Message::Frame(_) => {
                        self.trace.count(Counter::MediaMalformed);
                    }
                }
            }
            Some(Err(Error::Capacity(error))) => {
                self.trace.count(Counter::MediaOversized);
                self.end(End::Lost(error.to_string()), CloseCode::Size);
            }
            Some(Err(error)) => self.end(End::Lost(error.to_string()), CloseCode::Protocol),
            None => {
                let end = End::Lost("the connection ended in mid-call".to_owned());
                self.end(end, CloseCode::Protocol);
            }
        }
    }

    fn on_text(&mut self, text: &str) {
        let inbound = match media::parse(text) {
            Ok(inbound) => inbound,
            Err(_) => return self.trace.count(Counter::MediaMalformed),
        };
        let Some(live) = &self.live else { return };
        let socket = live.socket;
        match inbound {
            Inbound::Connected => {}
            Inbound::Start(start) => self.on_start(&start),
            Inbound::Media(media) => self.on_media(&media),
            Inbound::Dtmf(digit) => self.on_key(digit, false),
            Inbound::Transcript(transcript) => self.on_transcript(transcript),
            Inbound::BargeIn(barge_in) => self.on_barge_in(barge_in),
            Inbound::Mark(name) => self.on_mark(&name),
            Inbound::Error { code, text } => {
                self.outbox.tell(socket, What::ServiceError { code, text });
            }
            Inbound::Stop { reason } => self.end(End::Stopped(reason), CloseCode::Normal),
            Inbound::Unknown => self.trace.count(Counter::MediaUnknownEvents),
        }
    }

    fn on_mark(&mut self, name: &str) {
        let Some(live) = &mut self.live else { return };
        if live.speech.echo(name) {
            self.outbox.tell(live.socket, What::Spoken { whole: true });
        } else {
            live.on_mark(name);
        }
    }

    fn on_start(&mut self, start: &Start) {
        let silent = self.live.as_ref().is_some_and(Live::is_silent);
        let stream_id = start.stream_id.as_deref();
        match start.format.encoding(self.order) {
            Ok(encoding) => self.begin(stream_id, encoding),
            // Of sound that never flows the kind is no matter.
            Err(_) if silent => self.begin(stream_id, Encoding::default()),
            Err(unsupported) => {
                let reason = unsupported.to_string();
                let stop = Message::text(media::write_stop(&reason));
                self.leave(Some(stop), End::Unsupported(reason));
            }
        }
    }

    /// A stream may do without `start`: it is then what `start` means when it
    /// declares nothing.
    fn begin_without_start(&mut self) {
        if self.live.as_ref().is_some_and(|live| live.writer.is_none()) {
            self.begin(None, Encoding::default());
        }
    }

    fn begin(&mut self, stream_id: Option<&str>, encoding: Encoding) {
        let Some(live) = &mut self.live else { return };
        let first = live.writer.is_none();
        // A later `start` that says no name takes none away.
        if first || stream_id.is_some() {
            live.name(stream_id);
        }
        let changed = live.encoding != encoding;
        if changed {
            let (stream, downlink) = (live.stream, &mut self.downlink);
            let trace = &self.trace;
            let before = live.encoding;
            live.switch(encoding, |slot| {
                deliver(downlink, trace, stream, before, slot);
            });
        }
        if first || changed {
            self.outbox.tell(live.socket, What::Started { encoding });
        }
    }

    fn on_media(&mut self, media: &Media<'_>) {
        self.trace.count(Counter::MediaIn);
        let Some(live) = &mut self.live else { return };
        if !live.mode.takes_sound() {
            return self.trace.count(Counter::MediaUnused);
        }
        // A service that labels its only track oddly is still to be heard.
        live.far_track |= media.track == Track::FarEnd;
        if media.track == Track::Ours && live.far_track {
            return self.trace.count(Counter::MediaOwnTrack);
        }
        match media.decode(&mut live.sound) {
            Ok(()) => {}
            Err(Malformed::Oversized) => return self.trace.count(Counter::MediaOversized),
            Err(_) => return self.trace.count(Counter::MediaMalformed),
        }
        self.begin_without_start();
        self.cut(media.order);
    }

    /// Cuts the sound of the last message, and hands it on.
    fn cut(&mut self, order: media::Order) {
        let Some(live) = &mut self.live else { return };
        // Only an Opus packet is not cut to a size that fits.
        if live.encoding.block_bytes().is_none() && live.sound.len() > PAYLOAD_MAX {
            return self.trace.count(Counter::MediaOversized);
        }
        let (stream, downlink) = (live.stream, &mut self.downlink);
        let (trace, flow, encoding) = (&self.trace, &mut live.flow, live.encoding);
        let cut = live.recutter.put(order, &live.sound, |slot| {
            flow.received += 1;
            deliver(downlink, trace, stream, encoding, slot);
        });
        if cut.is_err() {
            self.trace.count(Counter::MediaMalformed);
        }
        if !live.has_sound && live.flow.received > 0 {
            live.has_sound = true;
            self.outbox.tell(live.socket, What::FirstMedia);
        }
    }

    fn on_key(&mut self, digit: Digit, in_band: bool) {
        let Some(live) = &mut self.live else { return };
        if live.keys.take(in_band) {
            self.outbox.tell(live.socket, What::Dtmf { digit, in_band });
        } else {
            self.trace.count(Counter::DigitsFlooded);
        }
    }

    fn on_transcript(&mut self, transcript: Transcript) {
        self.begin_without_start();
        let Some(live) = &self.live else { return };
        if !live.mode.stt || transcript.text.is_empty() {
            return self.trace.count(Counter::MediaUnused);
        }
        let words = What::Transcript(transcript);
        self.outbox.tell(live.socket, words);
    }

    fn on_barge_in(&mut self, barge_in: BargeIn) {
        let Some(live) = &mut self.live else { return };
        if live.mode == Mode::default() {
            return self.trace.count(Counter::MediaUnused);
        }
        let interrupted = barge_in.tts_interrupted && live.speech.interrupt();
        self.outbox.tell(live.socket, What::BargeIn(barge_in));
        if interrupted {
            self.outbox.tell(live.socket, What::Spoken { whole: false });
        }
    }

    /// The socket is of no more use: says so at once, and closes it aside.
    fn end(&mut self, end: End, code: CloseCode) {
        let Some(live) = self.live.take() else { return };
        self.trace.add(Counter::MediaOut, live.flow.sent.into());
        self.outbox.tell(live.socket, What::Ended(end));
        if self.farewells.len() < FAREWELLS_MAX {
            self.farewells.spawn(async move {
                say_farewell(live.web, None, code).await;
                None
            });
        }
    }

    /// We end the socket: says so when the service has heard our last words.
    fn leave(&mut self, last: Option<Message>, end: End) {
        let Some(live) = self.live.take() else { return };
        self.trace.add(Counter::MediaOut, live.flow.sent.into());
        let code = match end {
            End::Unsupported(_) => CloseCode::Unsupported,
            _ => CloseCode::Normal,
        };
        if self.farewells.len() >= FAREWELLS_MAX {
            return self.outbox.tell(live.socket, What::Ended(end));
        }
        self.farewells.spawn(async move {
            say_farewell(live.web, last, code).await;
            let what = What::Ended(end);
            let socket = live.socket;
            Some(Event { socket, what })
        });
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

fn deliver(
    downlink: &mut DownlinkTx,
    trace: &Trace,
    stream: u32,
    encoding: Encoding,
    slot: Slot<'_>,
) {
    let packet = Packet {
        stream,
        seq: slot.seq,
        encoding,
        payload: heapless::Vec::from_slice(slot.payload).expect("a slot fits a packet"),
    };
    if downlink.push(packet).is_err() {
        trace.count(Counter::DownlinkFull);
    }
}

/// Tells a stream whose call is over to stop, and closes it: at most
/// [`FAREWELL`]. On any runtime with I/O and time.
pub async fn dismiss(upgraded: Upgraded, reason: &'static str) {
    if let Ok(web) = open(upgraded).await {
        let stop = Message::text(media::write_stop(reason));
        say_farewell(web, Some(stop), CloseCode::Normal).await;
    }
}

async fn open(upgraded: Upgraded) -> std::io::Result<WebSocketStream<Stream>> {
    let (stream, early) = upgraded.attach()?;
    // Written at once: a buffer here would only hold sound back.
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(16 * 1024)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    Ok(WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await)
}

/// Closes, and reads until the service has closed as well: to close with bytes
/// unread would take our last words from it.
async fn say_farewell(mut web: WebSocketStream<Stream>, last: Option<Message>, code: CloseCode) {
    let words = async {
        if let Some(last) = last {
            web.send(last).await?;
        }
        let reason = "".into();
        // An error when the service closed first: then reading sends the answer.
        _ = web.close(Some(CloseFrame { code, reason })).await;
        while web.next().await.transpose()?.is_some() {}
        Ok::<_, Error>(())
    };
    // A socket that is broken has nobody to say it to.
    _ = timeout(FAREWELL, words).await;
}

/// The socket of the present call.
struct Live {
    socket: SocketId,
    stream: u32,
    mode: Mode,
    /// How packets are written, both ways.
    encoding: Encoding,
    /// What the service calls the stream.
    stream_id: Option<String>,
    web: WebSocketStream<Stream>,
    /// Something was handed to the WebSocket and is not in the kernel yet.
    unflushed: bool,
    /// Messages that go before the sound.
    controls: VecDeque<Message>,
    /// Words to be spoken.
    speech: Speech,
    /// Sound to be sent, oldest first.
    waiting: VecDeque<Packet>,
    /// Behind that sound an utterance is over.
    audio_done: bool,
    /// Number of the newest packet made, sent or not.
    newest: u32,
    /// `None` until sound may flow.
    writer: Option<Writer>,
    /// Bytes of one packet on the wire: of the largest so far.
    message: usize,
    /// The kernel or something behind it is too full: sound waits.
    paused: bool,
    /// Sound was dropped: what is still on its way is old.
    stalled: bool,
    /// The shortest round trip seen.
    round_trip: Duration,
    marks: Marks,
    recutter: Recutter,
    /// Where payloads are decoded, used again and again.
    sound: Vec<u8>,
    far_track: bool,
    has_sound: bool,
    keys: Keys,
    flow: Flow,
    heard: Instant,
    pinged: Instant,
    trace: Arc<Trace>,
}

/// Sends what can be sent, and gives the next message that came.
fn poll_live(
    live: &mut Option<Live>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    let Some(live) = live else {
        return Poll::Pending;
    };
    let sent = live.poll_send(cx);
    match (live.web.poll_next_unpin(cx), sent) {
        // The service may have said `stop` before it went away.
        (Poll::Ready(Some(Ok(message))), _) => Poll::Ready(Some(Ok(message))),
        (_, Poll::Ready(Err(error))) => Poll::Ready(Some(Err(error))),
        (other, _) => other,
    }
}

impl Live {
    fn new(
        socket: SocketId,
        stream: u32,
        mode: Mode,
        web: WebSocketStream<Stream>,
        trace: Arc<Trace>,
    ) -> Self {
        let now = Instant::now();
        let encoding = Encoding::default();
        let mut live = Self {
            socket,
            stream,
            mode,
            encoding,
            stream_id: None,
            web,
            unflushed: false,
            controls: VecDeque::with_capacity(CONTROLS_MAX),
            speech: Speech::default(),
            waiting: VecDeque::with_capacity(UPLINK_PACKETS),
            audio_done: false,
            newest: 0,
            writer: None,
            message: 0,
            paused: false,
            stalled: false,
            round_trip: ROUND_TRIP_MAX,
            marks: Marks::new(now),
            recutter: Recutter::new(encoding),
            sound: Vec::new(),
            far_track: false,
            has_sound: false,
            keys: Keys::default(),
            flow: Flow {
                mode,
                ..Flow::default()
            },
            heard: now,
            pinged: now,
            trace,
        };
        live.measure_round_trip();
        live
    }

    /// Words flow both ways, and no sound.
    fn is_silent(&self) -> bool {
        !self.mode.sends_sound() && !self.mode.takes_sound()
    }

    /// Takes the name that our messages carry from now on.
    fn name(&mut self, stream_id: Option<&str>) {
        let mut writer = Writer::new(stream_id);
        self.message = writer.media(&[]).len() + OVERHEAD;
        self.writer = Some(writer);
        self.stream_id = stream_id.map(str::to_owned);
    }

    /// Sound is of this encoding from now on; what is left of the old one is
    /// handed out.
    fn switch(&mut self, encoding: Encoding, out: impl FnMut(Slot<'_>)) {
        self.encoding = encoding;
        self.recutter.switch(encoding, out);
        let waiting = self.waiting.drain(..).count() as u64;
        self.trace.add(Counter::UplinkMiscoded, waiting);
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.unflushed {
                ready!(self.web.poll_flush_unpin(cx))?;
                self.unflushed = false;
            }
            let Some(message) = self.next_out() else {
                return Poll::Ready(Ok(()));
            };
            self.web.start_send_unpin(message)?;
            self.unflushed = true;
        }
    }

    fn next_out(&mut self) -> Option<Message> {
        if self.controls.is_empty() && self.stalled && !self.paused && !self.waiting.is_empty() {
            // What was sent before the stall is old by now; it goes before
            // the new sound, not after.
            self.stalled = false;
            self.clear();
        }
        if let Some(control) = self.controls.pop_front() {
            return Some(control);
        }
        let writer = self.writer.as_mut()?;
        if let Some(text) = self.speech.next() {
            return Some(Message::text(text));
        }
        if self.paused {
            return None;
        }
        let Some(packet) = self.waiting.pop_front() else {
            let done = std::mem::take(&mut self.audio_done);
            let id = self.stream_id.as_deref();
            return done.then(|| Message::text(media::write_audio_done(id)));
        };
        self.flow.sent += 1;
        let text = writer.media(&packet.payload);
        self.message = self.message.max(text.len() + OVERHEAD);
        Some(Message::text(text))
    }

    fn push(&mut self, packet: Packet, age: u32) {
        // The engine is told after us what the stream declared; what it made
        // before that would be noise.
        if packet.encoding != self.encoding {
            return self.trace.count(Counter::UplinkMiscoded);
        }
        self.newest = packet.seq.wrapping_add(age);
        if self.waiting.len() == UPLINK_PACKETS {
            self.waiting.pop_front();
            self.count_stale();
        }
        self.waiting.push_back(packet);
    }

    /// Drops what is older than 100 ms by the newest there is.
    fn drop_stale(&mut self) {
        let newest = self.newest;
        let stale = |p: &Packet| newest.wrapping_sub(p.seq) > UPLINK_STALE;
        while self.waiting.front().is_some_and(stale) {
            self.waiting.pop_front();
            self.count_stale();
        }
    }

    fn count_stale(&mut self) {
        self.flow.stale += 1;
        self.trace.count(Counter::UplinkStale);
        if !self.stalled {
            self.stalled = true;
            self.trace.count(Counter::UplinkBlocked);
        }
    }

    /// Decides whether sound may go on, or must wait.
    fn judge_backlog(&mut self, now: Instant) {
        let held = realtime::unsent(self.web.get_ref()).unwrap_or(0);
        self.flow.unsent = held;
        let time = KERNEL_MAX + self.round_trip;
        let room = time.as_millis() as usize / BLOCK_MS as usize * self.message;
        // Half-way down before it goes on, or it would stop at each packet.
        let limit = if self.paused { room / 2 } else { room };
        self.paused = held > limit || self.marks.overdue(now);
    }

    fn clear(&mut self) {
        self.trace.count(Counter::UplinkCleared);
        // A mark may be dropped along with the sound before it.
        self.marks.forget();
        self.control(Message::text(CLEAR));
    }

    fn control(&mut self, message: Message) {
        if self.controls.len() < CONTROLS_MAX {
            self.controls.push_back(message);
        }
    }

    fn on_mark(&mut self, name: &str) {
        let Some(took) = self.marks.echo(name, Instant::now()) else {
            // Not ours, or given up.
            return self.trace.count(Counter::MediaUnused);
        };
        self.flow.mark = Some(took);
        if self.marks.judge(took) {
            self.clear();
        }
    }

    fn take_flow(&mut self) -> Flow {
        let mode = self.mode;
        let begins = Flow {
            mode,
            ..Flow::default()
        };
        std::mem::replace(&mut self.flow, begins)
    }

    fn measure_round_trip(&mut self) {
        if let Ok(time) = realtime::round_trip(self.web.get_ref()) {
            self.round_trip = self.round_trip.min(time);
        }
    }

    /// Pings, marks and measures.
    fn look_after(&mut self, now: Instant) {
        self.measure_round_trip();
        if now.duration_since(self.pinged) >= PING_PERIOD {
            self.pinged = now;
            self.control(Message::Ping(Bytes::new()));
        }
        if self.writer.is_some()
            && self.mode.sends_sound()
            && let Some(name) = self.marks.due(now)
        {
            self.control(Message::text(media::write_mark(&name)));
        }
    }
}
