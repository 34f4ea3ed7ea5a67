//! The live media socket: between the service's WebSocket and the two rings
//! of the audio thread.
//!
//! ```text
//!            ┌──────────────── Hub, media runtime ────────────────┐
//!  service ──┤ WebSocket ─▶ wire::media ─▶ Recutter ─▶ DownlinkTx ├─▶ render
//!          ◀─┤ WebSocket ◀─ wire::media ◀─ waiting ◀── UplinkRx   ├◀─ capture
//!            └─────▲───────────────────────────────────────┬──────┘
//!              Command (daemon)                          Event (daemon)
//! ```
//!
//! The card alone paces the uplink: the audio thread pushes a packet and wakes
//! the hub, the hub sends what is there. No timer of ours has a part in it.
//!
//! Delay is bounded at each place where sound can wait. Our own buffer holds
//! [`UPLINK_STALE`] packets and one message, the kernel [`KERNEL_MAX`] beyond
//! what the round trip keeps on the way; while it holds more, the hub pauses
//! and drops what grows old. What waits beyond the kernel, in a proxy or at
//! the service, is measured by a `mark` every [`MARK_PERIOD`], and dropped by
//! `clear` when it is more than [`FAR_MAX`] above the best.
//!
//! Always true: sound is sent in the order it was made and at most once; a
//! socket that has ended says so exactly once; packets of one stream never
//! reach another.
//!
//! Thread: media runtime.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::audio::ring::{DownlinkTx, Packet, UPLINK_PACKETS, UPLINK_STALE, UplinkRx};
use crate::edge::ingress::{Stream, Upgraded};
use crate::edge::realtime::{self, Wake};
use crate::trace::{Counter, Trace};
use crate::units::{BLOCK_MS, Encoding, SocketId};
use crate::wire::media::{
    self, CLEAR, Inbound, MESSAGE_MAX, Malformed, Media, Recutter, SLOT, Start, Track, Writer,
};

/// Commands that may wait for the hub.
pub const COMMANDS_MAX: usize = 16;
/// Events that may wait for the daemon.
pub const EVENTS_MAX: usize = 64;
/// Sound the kernel may hold besides what is on its way: 200 ms.
pub const KERNEL_MAX: Duration = Duration::from_millis(200);
/// Most of a round trip that is allowed for. A line slower than that is in a
/// stall, not far away.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);
/// How often the far backlog is measured.
pub const MARK_PERIOD: Duration = Duration::from_secs(2);
/// Far backlog that is dropped rather than listened to.
pub const FAR_MAX: Duration = Duration::from_millis(400);
/// A mark this much later than the best one: something beyond the kernel
/// holds everything back, so nothing more is sent into it …
const MARK_LATE: Duration = Duration::from_secs(1);
/// … for this long at most, since it may only be the mark that is lost, and a
/// service ends calls that are silent.
const MARK_PAUSE: Duration = Duration::from_secs(3);
/// A mark this old will not come back.
const MARK_LOST: Duration = Duration::from_secs(10);
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
        /// The connection.
        upgraded: Upgraded,
    },
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
    /// The service said `start`, or began without it: sound may flow.
    Started,
    /// The first sound of the far end.
    FirstMedia,
    /// What flowed in the second that is over.
    Flow(Flow),
    /// The callee pressed a key: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
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
    /// Packets (20 ms) of the far end taken in.
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
    wake: Arc<Wake>,
    trace: Arc<Trace>,
    live: Option<Live>,
    /// Sockets that are being closed, and what is to be told after each.
    farewells: JoinSet<Option<Event>>,
}

enum Happening {
    Command(Option<Command>),
    Sound,
    Tick,
    Message(Option<Result<Message, Error>>),
    Farewell(Option<Event>),
}

impl Hub {
    /// A hub, the way to tell it, and the way to hear from it.
    #[must_use]
    pub fn new(
        uplink: UplinkRx,
        downlink: DownlinkTx,
        wake: Arc<Wake>,
        trace: Arc<Trace>,
    ) -> (Self, mpsc::Sender<Command>, mpsc::Receiver<Event>) {
        let (commands, taken) = mpsc::channel(COMMANDS_MAX);
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let hub = Self {
            commands: taken,
            outbox: Outbox {
                events,
                kept: VecDeque::new(),
                trace: Arc::clone(&trace),
            },
            uplink,
            downlink,
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
                () = self.wake.notified() => Happening::Sound,
                _ = tick.tick() => Happening::Tick,
                message = poll_fn(|cx| poll_live(live, cx)) => Happening::Message(message),
                Some(done) = self.farewells.join_next() => Happening::Farewell(done.ok().flatten()),
            };
            match happening {
                Happening::Command(Some(command)) => self.on_command(command).await,
                Happening::Command(None) => break,
                Happening::Sound => self.on_sound(),
                Happening::Tick => self.on_tick(),
                Happening::Message(message) => self.on_message(message),
                Happening::Farewell(event) => self.outbox.tell_all(event),
            }
            self.outbox.retry();
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
                upgraded,
            } => {
                if self.live.is_some() {
                    self.end(End::Replaced, CloseCode::Normal);
                }
                match open(upgraded).await {
                    Ok(web) => {
                        self.live = Some(Live::new(socket, stream, web, Arc::clone(&self.trace)));
                    }
                    Err(error) => {
                        let end = End::Lost(error.to_string());
                        self.outbox.tell(socket, What::Ended(end));
                    }
                }
            }
            Command::Stop { reason } => {
                let stop = Message::text(media::write_stop(reason));
                self.leave(Some(stop), End::Left);
            }
            Command::Close => self.leave(None, End::Left),
        }
    }

    /// Takes what the microphone made; the socket sends it when it is polled.
    fn on_sound(&mut self) {
        while let Some((packet, age)) = self.uplink.pop() {
            if let Some(live) = &mut self.live
                && packet.stream == live.stream
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
        let Some(live) = &mut self.live else { return };
        let socket = live.socket;
        match inbound {
            Inbound::Connected => {}
            Inbound::Start(start) => self.on_start(&start),
            Inbound::Media(media) => self.on_media(&media),
            Inbound::Dtmf(key) => self.outbox.tell(socket, What::Dtmf(key)),
            Inbound::Mark(name) => live.on_mark(&name),
            Inbound::Error { code, text } => {
                self.outbox.tell(socket, What::ServiceError { code, text });
            }
            Inbound::Stop { reason } => self.end(End::Stopped(reason), CloseCode::Normal),
            Inbound::Unused => self.trace.count(Counter::MediaUnused),
            Inbound::Unknown => self.trace.count(Counter::MediaUnknownEvents),
        }
    }

    fn on_start(&mut self, start: &Start) {
        let Some(live) = &mut self.live else { return };
        if let Err(unsupported) = start.format.check() {
            let reason = unsupported.to_string();
            let stop = Message::text(media::write_stop(&reason));
            return self.leave(Some(stop), End::Unsupported(reason));
        }
        let first = live.writer.is_none();
        live.begin(start.stream_id.as_deref());
        if first {
            self.outbox.tell(live.socket, What::Started);
        }
    }

    fn on_media(&mut self, media: &Media<'_>) {
        let Some(live) = &mut self.live else { return };
        self.trace.count(Counter::MediaIn);
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
        if live.writer.is_none() {
            live.begin(None);
            self.outbox.tell(live.socket, What::Started);
        }
        if !std::mem::replace(&mut live.has_sound, true) {
            self.outbox.tell(live.socket, What::FirstMedia);
        }
        let mut refused = 0;
        live.recutter.put(media.order, &live.sound, |slot| {
            live.flow.received += 1;
            let packet = Packet {
                stream: live.stream,
                seq: slot.seq,
                encoding: Encoding::Pcmu,
                payload: heapless::Vec::from_slice(slot.payload).expect("a slot fits a packet"),
            };
            refused += u64::from(self.downlink.push(packet).is_err());
        });
        self.trace.add(Counter::DownlinkFull, refused);
    }

    /// The socket is of no more use: says so at once, and closes it aside.
    fn end(&mut self, end: End, code: CloseCode) {
        let Some(live) = self.live.take() else { return };
        self.trace.add(Counter::MediaOut, live.flow.sent.into());
        self.outbox.tell(live.socket, What::Ended(end));
        self.farewells.spawn(async move {
            say_farewell(live.web, None, code).await;
            None
        });
    }

    /// We end the socket: says so when the service has heard our last words.
    fn leave(&mut self, last: Option<Message>, end: End) {
        let Some(live) = self.live.take() else { return };
        self.trace.add(Counter::MediaOut, live.flow.sent.into());
        let code = match end {
            End::Unsupported(_) => CloseCode::Unsupported,
            _ => CloseCode::Normal,
        };
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

/// Events on their way to the daemon.
struct Outbox {
    events: mpsc::Sender<Event>,
    /// Those it had no room for yet, except figures, which would be old news.
    kept: VecDeque<Event>,
    trace: Arc<Trace>,
}

impl Outbox {
    fn tell(&mut self, socket: SocketId, what: What) {
        self.tell_all([Event { socket, what }]);
    }

    fn tell_all(&mut self, events: impl IntoIterator<Item = Event>) {
        self.retry();
        for event in events {
            let figures = matches!(event.what, What::Flow(_));
            let room = if figures { 0 } else { EVENTS_MAX };
            match self
                .kept
                .is_empty()
                .then(|| self.events.try_send(event.clone()))
            {
                Some(Ok(()) | Err(TrySendError::Closed(_))) => {}
                _ if self.kept.len() < room => self.kept.push_back(event),
                _ => self.trace.count(Counter::EventsDropped),
            }
        }
    }

    fn retry(&mut self) {
        while let Some(event) = self.kept.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                return self.kept.push_front(event);
            }
        }
    }
}

/// The socket of the present call.
struct Live {
    socket: SocketId,
    stream: u32,
    web: WebSocketStream<Stream>,
    /// Something was handed to the WebSocket and is not in the kernel yet.
    unflushed: bool,
    /// Messages that go before the sound.
    controls: VecDeque<Message>,
    /// Sound to be sent, oldest first.
    waiting: VecDeque<Packet>,
    /// Number of the newest packet made, sent or not.
    newest: u32,
    /// `None` until sound may flow.
    writer: Option<Writer>,
    /// Bytes of one packet on the wire.
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
    fn new(socket: SocketId, stream: u32, web: WebSocketStream<Stream>, trace: Arc<Trace>) -> Self {
        let now = Instant::now();
        let mut live = Self {
            socket,
            stream,
            web,
            unflushed: false,
            controls: VecDeque::with_capacity(CONTROLS_MAX),
            waiting: VecDeque::with_capacity(UPLINK_PACKETS),
            newest: 0,
            writer: None,
            message: 0,
            paused: false,
            stalled: false,
            round_trip: ROUND_TRIP_MAX,
            marks: Marks::new(now),
            recutter: Recutter::default(),
            sound: Vec::new(),
            far_track: false,
            has_sound: false,
            flow: Flow::default(),
            heard: now,
            pinged: now,
            trace,
        };
        live.measure_round_trip();
        live
    }

    fn begin(&mut self, stream_id: Option<&str>) {
        let mut writer = Writer::new(stream_id);
        self.message = writer.media(&[0; SLOT]).len() + OVERHEAD;
        self.writer = Some(writer);
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
        let writer = self.writer.as_mut().filter(|_| !self.paused)?;
        let packet = self.waiting.pop_front()?;
        self.flow.sent += 1;
        Some(Message::text(writer.media(&packet.payload)))
    }

    fn push(&mut self, packet: Packet, age: u32) {
        self.newest = packet.seq.wrapping_add(age);
        self.waiting.push_back(packet);
    }

    /// Drops what is older than 100 ms by the newest there is.
    fn drop_stale(&mut self) {
        let stale = |p: &Packet| self.newest.wrapping_sub(p.seq) > UPLINK_STALE;
        while self.waiting.front().is_some_and(stale) {
            self.waiting.pop_front();
            self.flow.stale += 1;
            self.trace.count(Counter::UplinkStale);
            if !self.stalled {
                self.stalled = true;
                self.trace.count(Counter::UplinkBlocked);
            }
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
            return;
        };
        self.flow.mark = Some(took);
        if self.marks.judge(took) {
            self.clear();
        }
    }

    fn take_flow(&mut self) -> Flow {
        std::mem::take(&mut self.flow)
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
            && let Some(name) = self.marks.due(now)
        {
            self.control(Message::text(media::write_mark(&name)));
        }
    }
}

/// Measures how long sound takes to be played, by marks that come back then.
#[derive(Debug)]
struct Marks {
    count: u32,
    next: Instant,
    /// When the one on its way was sent.
    sent: Option<Instant>,
    /// The shortest time one took.
    best: Option<Duration>,
}

impl Marks {
    fn new(now: Instant) -> Self {
        Self {
            count: 0,
            next: now + MARK_PERIOD,
            sent: None,
            best: None,
        }
    }

    fn name(&self) -> String {
        format!("callbox-{}", self.count)
    }

    /// The next mark's name, when it is time and the one before is back.
    fn due(&mut self, now: Instant) -> Option<String> {
        if self.sent.is_some_and(|at| now - at > MARK_LOST) {
            // A service that does not answer must not make us pause.
            self.sent = None;
            self.best = None;
        }
        if now < self.next || self.sent.is_some() {
            return None;
        }
        self.next = now + MARK_PERIOD;
        self.sent = Some(now);
        self.count += 1;
        Some(self.name())
    }

    fn echo(&mut self, name: &str, now: Instant) -> Option<Duration> {
        if name != self.name() {
            return None;
        }
        Some(now - self.sent.take()?)
    }

    /// Whether so much waits that it should be dropped. The next mark is then
    /// the new measure: if dropping does not help, the far end needs that time.
    fn judge(&mut self, took: Duration) -> bool {
        let best = self.best.map_or(took, |best| best.min(took));
        let late = took - best > FAR_MAX;
        self.best = (!late).then_some(best);
        late
    }

    fn overdue(&self, now: Instant) -> bool {
        let (Some(sent), Some(best)) = (self.sent, self.best) else {
            return false;
        };
        let late = best + MARK_LATE;
        (late..late + MARK_PAUSE).contains(&(now - sent))
    }

    fn forget(&mut self) {
        self.sent = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Marks that have come back once, after 100 ms; a mark is due at the end.
    fn measured() -> (Marks, Instant) {
        let start = Instant::now();
        let mut marks = Marks::new(start);
        let due = start + MARK_PERIOD;
        let name = marks.due(due).unwrap();
        let took = marks.echo(&name, due + 100 * MS).unwrap();
        assert_eq!(took, 100 * MS);
        assert!(!marks.judge(took));
        (marks, due + MARK_PERIOD)
    }

    #[test]
    fn one_mark_is_on_its_way_at_a_time() {
        let (mut marks, due) = measured();
        assert_eq!(marks.due(due - MS), None);
        let name = marks.due(due).unwrap();
        assert_eq!(marks.due(due + MARK_PERIOD), None);
        assert_eq!(marks.echo("callbox-1", due), None);
        assert!(marks.echo(&name, due).is_some());
        assert_eq!(marks.echo(&name, due), None);
    }

    #[test]
    fn a_late_mark_pauses_for_a_while_only() {
        let (mut marks, due) = measured();
        marks.due(due);
        let late = due + 100 * MS + MARK_LATE;
        assert!(!marks.overdue(late - MS));
        assert!(marks.overdue(late));
        assert!(marks.overdue(late + MARK_PAUSE - MS));
        assert!(!marks.overdue(late + MARK_PAUSE));
    }

    #[test]
    fn a_service_that_echoes_nothing_is_never_paused_for() {
        let start = Instant::now();
        let mut marks = Marks::new(start);
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            marks.due(now);
            assert!(!marks.overdue(now));
        }
    }

    #[test]
    fn a_mark_that_is_lost_is_given_up() {
        let (mut marks, due) = measured();
        marks.due(due);
        assert_eq!(marks.due(due + MARK_LOST), None);
        let next = marks.due(due + MARK_LOST + MS);
        assert_eq!(next.as_deref(), Some("callbox-3"));
        // Nothing is known of this service any more.
        assert!(!marks.overdue(due + MARK_LOST + MARK_LATE + 2 * MARK_PERIOD));
    }

    #[test]
    fn a_backlog_is_dropped_once_and_then_accepted() {
        let (mut marks, _) = measured();
        assert!(!marks.judge(100 * MS + FAR_MAX));
        assert!(marks.judge(101 * MS + FAR_MAX));
        // Dropping did not help: it is how far away the far end is.
        assert!(!marks.judge(101 * MS + FAR_MAX));
        assert!(!marks.judge(90 * MS));
        assert!(marks.judge(91 * MS + FAR_MAX));
    }
}
