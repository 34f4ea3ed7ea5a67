//! The live socket over real connections: the hub on a runtime of its own,
//! the door on another, and a client in the service's place.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callbox::audio::ring::{
    self, DownlinkRx, EventTx, Packet, UPLINK_STALE, UplinkTx, downlink, uplink,
};
use callbox::edge::ingress::{self, Accepted, Config, Files, Ingress, Routes};
use callbox::edge::realtime::Wake;
use callbox::edge::socket::{Command, End, Event, FAREWELL, Flow, Hub, IDLE_MAX, What, dismiss};
use callbox::trace::{Counter, Trace};
use callbox::units::{AttemptId, BLOCK_MS, ByteOrder, Digit, Encoding, Mode, SocketId};
use callbox::wire::handshake::Token;
use callbox::wire::media::{FIRST_SEQ, MESSAGE_MAX};
use futures_util::{SinkExt, StreamExt};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Nothing here takes so long unless it hangs.
const HANG: Duration = Duration::from_secs(30);
const BLOCK: Duration = Duration::from_millis(BLOCK_MS as u64);

const STARTED: What = What::Started {
    encoding: Encoding::Pcmu,
};

/// The hub between its rings, and a door to it.
struct Rig {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    uplink: UplinkTx,
    downlink: DownlinkRx,
    engine: EventTx,
    wake: Arc<Wake>,
    trace: Arc<Trace>,
    door: mpsc::Receiver<ingress::Event>,
    address: std::net::SocketAddr,
    token: Token,
    streams: u32,
}

/// The service's end of a stream.
struct Service<S = TcpStream>(WebSocketStream<S>);

impl Rig {
    /// The hub on a thread and a runtime of its own, as in the device.
    fn new() -> Self {
        Self::on_two_runtimes(ingress::Mode::Plain, Mode::default())
    }

    /// A rig whose streams are asked for `mode`.
    fn with_mode(mode: Mode) -> Self {
        Self::on_two_runtimes(ingress::Mode::Plain, mode)
    }

    fn on_two_runtimes(door: ingress::Mode, mode: Mode) -> Self {
        let (rig, hub) = Self::build(door, mode);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(hub.run());
        });
        rig
    }

    /// The hub on the test's own runtime, whose clock can be stopped.
    fn on_one_clock() -> Self {
        let (rig, hub) = Self::build(ingress::Mode::Plain, Mode::default());
        tokio::spawn(hub.run());
        rig
    }

    fn build(door: ingress::Mode, mode: Mode) -> (Self, Hub) {
        let trace = Arc::new(Trace::default());
        let wake = Arc::new(Wake::new().unwrap());
        let (uplink, taken) = uplink();
        let (given, downlink) = downlink();
        let (engine, found) = ring::events();
        let (hub, commands, events) = Hub::new(
            taken,
            given,
            found,
            ByteOrder::Little,
            Arc::clone(&wake),
            Arc::clone(&trace),
        );
        let routes = Routes::default();
        let token = Token::from_random([7; 24]);
        routes.open(token, AttemptId(1), mode);
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            mode: door,
            signing_key: None,
        };
        let (ingress, door) =
            Ingress::bind(config, routes, Arc::new(|| None), Arc::clone(&trace)).unwrap();
        let address = ingress.local_addr().unwrap();
        tokio::spawn(ingress.run());
        let rig = Self {
            commands,
            events,
            uplink,
            downlink,
            engine,
            wake,
            trace,
            door,
            address,
            token,
            streams: 0,
        };
        (rig, hub)
    }

    /// A service whose system buffers `window` bytes of what it does not read.
    async fn knock(&mut self, window: u32) -> (Service, Accepted) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(window).unwrap();
        let socket = socket.connect(self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let url = format!("ws://door.example{}", self.token.media_path());
        let (web, _) = client_async(url, socket).await.unwrap();
        (Service(web), self.accepted().await)
    }

    async fn accepted(&mut self) -> Accepted {
        match self.door.recv().await {
            Some(ingress::Event::Accepted(accepted)) => accepted,
            other => panic!("{other:?}"),
        }
    }

    async fn attach(&mut self, accepted: Accepted) {
        self.streams += 1;
        let command = Command::Attach {
            socket: accepted.socket,
            stream: self.streams,
            mode: accepted.mode,
            upgraded: accepted.upgraded,
        };
        self.commands.send(command).await.unwrap();
    }

    /// A stream that has begun.
    async fn connected(&mut self) -> Service {
        self.connected_with(64 * 1024).await
    }

    async fn connected_with(&mut self, window: u32) -> Service {
        let (mut service, accepted) = self.knock(window).await;
        let socket = accepted.socket;
        self.attach(accepted).await;
        let start = json!({"event": "start", "stream_id": "s-1", "start": {}});
        service.send(start).await;
        assert_eq!(self.event().await, (socket, STARTED));
        service
    }

    /// The next event that is not about figures.
    async fn event(&mut self) -> (SocketId, What) {
        loop {
            let event = timeout(HANG, self.events.recv()).await;
            let event = event.expect("something happens").unwrap();
            if !matches!(event.what, What::Flow(_)) {
                return (event.socket, event.what);
            }
        }
    }

    async fn ended(&mut self) -> End {
        loop {
            if let (_, What::Ended(end)) = self.event().await {
                return end;
            }
        }
    }

    /// The microphone makes packet `n`. Waits while the ring is full, which
    /// the real one never does: so no packet is lost before the hub sees it.
    async fn speak(&mut self, n: u32) {
        let mut payload = [0xFF; 160];
        payload[..4].copy_from_slice(&n.to_be_bytes());
        self.speak_on(self.streams, n, &payload).await;
    }

    async fn speak_on(&mut self, stream: u32, seq: u32, payload: &[u8]) {
        let packet = || Packet {
            stream,
            seq,
            encoding: Encoding::Pcmu,
            payload: heapless::Vec::from_slice(payload).unwrap(),
        };
        let spoken = async {
            while !self.uplink.push(packet()) {
                yield_now().await;
            }
        };
        timeout(HANG, spoken).await.expect("the hub takes it");
        self.wake.notify();
    }

    /// The next packet for the speaker.
    async fn hear(&mut self) -> Packet {
        let heard = async {
            loop {
                match self.downlink.pop() {
                    Some(packet) => return packet,
                    None => yield_now().await,
                }
            }
        };
        timeout(HANG, heard).await.expect("a packet comes")
    }

    async fn until(&self, counter: Counter, n: u64) {
        let reached = async {
            while self.trace.read(counter) < n {
                yield_now().await;
            }
        };
        let reached = timeout(HANG, reached).await;
        reached
            .unwrap_or_else(|_| panic!("{} stays at {}", counter.name(), self.trace.read(counter)));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Service<S> {
    async fn send(&mut self, message: Value) {
        self.say(message.to_string()).await;
    }

    async fn say(&mut self, text: impl Into<String>) {
        let text: String = text.into();
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn media(&mut self, chunk: Value, letter: u8, length: usize) {
        let payload = STANDARD.encode(vec![letter; length]);
        let media = json!({"payload": payload, "chunk": chunk, "track": "inbound"});
        self.send(json!({"event": "media", "sequence_number": "9", "media": media}))
            .await;
    }

    async fn message(&mut self) -> Message {
        let message = timeout(HANG, self.0.next()).await;
        message.expect("a message comes").unwrap().unwrap()
    }

    /// The next text message that is no mark.
    async fn text(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.message().await {
                let text: Value = serde_json::from_str(&text).unwrap();
                if text["event"] != "mark" {
                    return text;
                }
            }
        }
    }

    /// The next packet's number, as [`Rig::speak`] wrote it.
    async fn packet(&mut self) -> u32 {
        number(&self.text().await)
    }

    /// The code with which the device closes.
    async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame.map_or(1005, |f| f.code.into());
            }
        }
    }
}

fn number(media: &Value) -> u32 {
    assert_eq!(media["event"], "media", "{media}");
    let sound = STANDARD
        .decode(media["media"]["payload"].as_str().unwrap())
        .unwrap();
    assert_eq!(sound.len(), 160);
    u32::from_be_bytes(sound[..4].try_into().unwrap())
}

#[tokio::test]
async fn sound_flows_both_ways() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    // Numbers as text, and a message of two blocks.
    service.media(json!("1"), b'a', 160).await;
    service.media(json!("2"), b'b', 320).await;
    assert_eq!(rig.event().await.1, What::FirstMedia);
    for (n, letter) in [b'a', b'b', b'b'].into_iter().enumerate() {
        let packet = rig.hear().await;
        assert_eq!((packet.stream, packet.seq), (1, FIRST_SEQ + n as u32));
        assert_eq!(packet.payload, [letter; 160]);
    }
    for n in 0..50 {
        rig.speak(n).await;
        let text = service.text().await;
        assert_eq!((number(&text), &text["stream_id"]), (n, &json!("s-1")));
    }
    assert_eq!(rig.trace.read(Counter::MediaIn), 2);
    assert_eq!(rig.trace.read(Counter::UplinkStale), 0);
}

/// TLS is done on the door's runtime, and the sound on the hub's.
#[tokio::test]
async fn a_tls_stream_moves_to_the_media_runtime() {
    let folder = std::env::temp_dir().join(format!("callbox-moves-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["door.example".into()]).unwrap();
    let files = Files {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut rig = Rig::on_two_runtimes(ingress::Mode::Tls(files), Mode::default());
    std::fs::remove_dir_all(folder).unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(rig.address).await.unwrap();
    let name = ServerName::try_from("door.example").unwrap();
    let tls = TlsConnector::from(Arc::new(config));
    let tls = tls.connect(name, socket).await.unwrap();
    let url = format!("wss://door.example{}", rig.token.media_path());
    let (web, _) = client_async(url, tls).await.unwrap();
    let mut service = Service(web);
    // Sent while the stream is on no runtime at all.
    service.media(json!(1), b'a', 160).await;
    let accepted = rig.accepted().await;
    rig.attach(accepted).await;
    assert_eq!(rig.hear().await.payload, [b'a'; 160]);
    for n in 0..50 {
        rig.speak(n).await;
        assert_eq!(service.packet().await, n);
    }
}

#[tokio::test]
async fn sound_without_a_start_is_a_start() {
    let mut rig = Rig::new();
    let (mut service, accepted) = rig.knock(64 * 1024).await;
    rig.attach(accepted).await;
    service
        .send(json!({"event": "connected", "version": "1"}))
        .await;
    service.media(json!(1), b'a', 160).await;
    assert_eq!(rig.event().await.1, STARTED);
    assert_eq!(rig.event().await.1, What::FirstMedia);
    rig.speak(3).await;
    let text = service.text().await;
    assert_eq!((number(&text), text.get("stream_id")), (3, None));
}

#[tokio::test]
async fn what_is_left_of_another_stream_is_not_sent() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    rig.speak_on(9, 5, &[1; 160]).await;
    rig.speak(6).await;
    assert_eq!(service.packet().await, 6);
}

#[tokio::test]
async fn odd_frames_are_counted_and_harm_nothing() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    let too_long = STANDARD.encode(vec![0; 240_003]);
    let odd = [
        ("no json", Counter::MediaMalformed),
        ("", Counter::MediaMalformed),
        (r#"{"event":"media"}"#, Counter::MediaMalformed),
        (
            r#"{"event":"media","media":{"payload":"*"}}"#,
            Counter::MediaMalformed,
        ),
        (
            r#"{"event":"dtmf","dtmf":{"digit":"99"}}"#,
            Counter::MediaMalformed,
        ),
        (r#"{"event":"weather"}"#, Counter::MediaUnknownEvents),
        (
            r#"{"event":"transcript","text":"hi"}"#,
            Counter::MediaUnused,
        ),
        (
            &format!(r#"{{"event":"media","media":{{"payload":"{too_long}"}}}}"#),
            Counter::MediaOversized,
        ),
    ];
    for (text, counter) in odd {
        let before = rig.trace.read(counter);
        service.say(text).await;
        rig.until(counter, before + 1).await;
    }
    service
        .0
        .send(Message::binary(vec![1, 2, 3]))
        .await
        .unwrap();
    rig.until(Counter::MediaMalformed, 6).await;
    service
        .0
        .send(Message::Ping(Bytes::from_static(b"you?")))
        .await
        .unwrap();
    assert_eq!(
        service.message().await,
        Message::Pong(Bytes::from_static(b"you?"))
    );
    // Shuffled, twice, and our own voice: order and number are right.
    for (chunk, letter) in [(1, b'a'), (3, b'c'), (2, b'b'), (3, b'c')] {
        service.media(json!(chunk), letter, 160).await;
    }
    let ours = json!({"payload": "AAAA", "track": "outbound"});
    service.send(json!({"event": "media", "media": ours})).await;
    rig.until(Counter::MediaOwnTrack, 1).await;
    let mut heard = Vec::new();
    for _ in 0..4 {
        let packet = rig.hear().await;
        heard.push((packet.seq - FIRST_SEQ, packet.payload[0]));
    }
    assert_eq!(heard, [(0, b'a'), (2, b'c'), (1, b'b'), (2, b'c')]);
    assert_eq!(rig.downlink.pop(), None);
}

#[tokio::test]
async fn a_full_downlink_refuses_and_counts() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    service.media(json!(1), b'a', 160 * 80).await;
    rig.until(Counter::DownlinkFull, 30).await;
    for n in 0..50 {
        assert_eq!(rig.hear().await.seq, FIRST_SEQ + n);
    }
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_socket() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    let huge = "x".repeat(MESSAGE_MAX + 1);
    // The device may close before it has read all of it.
    _ = service.0.send(Message::text(huge)).await;
    let End::Lost(why) = rig.ended().await else {
        panic!("it is lost");
    };
    assert!(
        why.contains("too long") || why.contains("too large"),
        "{why}"
    );
    assert_eq!(rig.trace.read(Counter::MediaOversized), 1);
}

#[tokio::test]
async fn keys_errors_and_the_end_are_told() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    service
        .send(json!({"event": "dtmf", "dtmf": {"digit": "5"}}))
        .await;
    assert_eq!(
        rig.event().await.1,
        What::Dtmf {
            digit: Digit::parse('5').unwrap(),
            in_band: false,
        }
    );
    let payload = json!({"code": 7, "title": "odd", "detail": "thing"});
    service
        .send(json!({"event": "error", "payload": payload}))
        .await;
    let error = What::ServiceError {
        code: "7".into(),
        text: "odd: thing".into(),
    };
    assert_eq!(rig.event().await.1, error);
    service
        .send(json!({"event": "stop", "reason": "hangup"}))
        .await;
    assert_eq!(rig.ended().await, End::Stopped(Some("hangup".into())));
    assert_eq!(service.closed().await, 1000);
}

#[tokio::test]
async fn a_drained_service_comes_back_and_sound_goes_on() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    let frame = CloseFrame {
        code: 4500.into(),
        reason: "draining".into(),
    };
    service.0.close(Some(frame)).await.unwrap();
    assert_eq!(rig.ended().await, End::Closed(Some(4500)));
    assert_eq!(service.closed().await, 4500);

    let mut again = rig.connected().await;
    rig.speak(7).await;
    assert_eq!(again.packet().await, 7);
    again.media(json!(900), b'z', 160).await;
    let packet = rig.hear().await;
    assert_eq!((packet.stream, packet.seq), (2, FIRST_SEQ));
}

#[tokio::test]
async fn a_newer_socket_takes_the_call_over() {
    let mut rig = Rig::new();
    let mut older = rig.connected().await;
    let (mut newer, accepted) = rig.knock(64 * 1024).await;
    rig.attach(accepted).await;
    let replaced = (SocketId(1), What::Ended(End::Replaced));
    assert_eq!(rig.event().await, replaced);
    assert_eq!(older.closed().await, 1000);
    newer
        .send(json!({"event": "start", "stream_id": "s-2"}))
        .await;
    assert_eq!(rig.event().await, (SocketId(2), STARTED));
    rig.speak(1).await;
    assert_eq!(newer.text().await["stream_id"], "s-2");
}

#[tokio::test]
async fn a_vanished_service_is_lost() {
    let mut rig = Rig::new();
    drop(rig.connected().await);
    assert!(matches!(rig.ended().await, End::Lost(_)));
}

/// Its last words are heard although nothing can be sent to it any more.
#[tokio::test]
async fn a_service_that_stops_and_vanishes_has_stopped() {
    // Whether the hub reads or sends first is left to chance.
    for _ in 0..20 {
        let mut rig = Rig::on_one_clock();
        let mut service = rig.connected().await;
        tokio::time::pause();
        // What it has not read makes its going away a reset.
        rig.speak(0).await;
        sleep(BLOCK).await;
        service
            .send(json!({"event": "stop", "reason": "hangup"}))
            .await;
        drop(service);
        rig.speak(1).await;
        let stopped = End::Stopped(Some("hangup".into()));
        assert_eq!(rig.ended().await, stopped);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn hanging_up_says_stop_and_then_closes() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    let stop = Command::Stop { reason: "visitor" };
    rig.commands.send(stop).await.unwrap();
    let want = json!({"event": "stop", "reason": "visitor"});
    assert_eq!(service.text().await, want);
    assert_eq!(service.closed().await, 1000);
    assert!(service.0.next().await.is_none());
    assert_eq!(rig.ended().await, End::Left);
}

#[tokio::test]
async fn a_hub_that_is_let_go_closes_its_socket() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    let Rig {
        commands,
        mut events,
        ..
    } = rig;
    drop(commands);
    assert_eq!(service.closed().await, 1000);
    assert!(service.0.next().await.is_none());
    let gone = async { while events.recv().await.is_some() {} };
    timeout(HANG, gone).await.expect("the hub is done");
}

#[tokio::test]
async fn a_late_stream_is_told_to_stop() {
    let mut rig = Rig::new();
    let (mut service, accepted) = rig.knock(64 * 1024).await;
    let dismissed = tokio::spawn(dismiss(accepted.upgraded, "the call is over"));
    let want = json!({"event": "stop", "reason": "the call is over"});
    assert_eq!(service.text().await, want);
    assert_eq!(service.closed().await, 1000);
    assert!(service.0.next().await.is_none());
    timeout(HANG, dismissed).await.unwrap().unwrap();
}

#[tokio::test]
async fn another_encoding_is_refused_with_a_reason() {
    let mut rig = Rig::new();
    let (mut service, accepted) = rig.knock(64 * 1024).await;
    rig.attach(accepted).await;
    let format = json!({"encoding": "G722", "sample_rate": 8000, "channels": 1});
    let start = json!({"event": "start", "start": {"media_format": format}});
    service.send(start).await;
    let stop = service.text().await;
    assert_eq!(stop["event"], "stop");
    assert!(
        stop["reason"].as_str().unwrap().contains("takes PCMU"),
        "{stop}"
    );
    assert_eq!(service.closed().await, 1003);
    assert!(service.0.next().await.is_none());
    let End::Unsupported(why) = rig.ended().await else {
        panic!("it is refused");
    };
    assert!(why.contains("G722 at 8000 Hz"), "{why}");
}

/// From here on the hub and the service share one clock, which stands still
/// while anything can be done, and then jumps to whatever is next.
#[tokio::test]
async fn a_service_that_says_nothing_at_all_is_lost() {
    let mut rig = Rig::on_one_clock();
    let service = rig.connected().await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    // It is not even polled: no pong comes.
    let End::Lost(why) = rig.ended().await else {
        panic!("it is lost");
    };
    assert!(why.contains("nothing came for 15 s"), "{why}");
    assert!(start.elapsed() >= IDLE_MAX);
    assert_eq!(rig.trace.read(Counter::SocketsIdle), 1);
    drop(service);
}

/// The service reads nothing for five seconds. What it gets of the time before
/// is bounded by the buffers, and what it hears next is the newest.
#[tokio::test]
async fn a_stalled_reader_hears_the_newest_sound_next() {
    const STALL: u32 = 250;
    let mut rig = Rig::on_one_clock();
    let mut service = rig.connected_with(2304).await;
    tokio::time::pause();
    for n in 0..STALL {
        rig.speak(n).await;
        sleep(BLOCK).await;
    }
    assert_eq!(rig.trace.read(Counter::UplinkBlocked), 1);
    // It reads again, and the microphone goes on.
    let mut made = STALL;
    let mut before = Vec::new();
    let mut after = Vec::new();
    let mut cleared_at = None;
    while after.len() < 100 {
        tokio::select! {
            text = service.text() => match cleared_at {
                None if text["event"] == "clear" => cleared_at = Some(made),
                None => before.push(number(&text)),
                Some(_) => after.push(number(&text)),
            },
            () = sleep(BLOCK) => {
                rig.speak(made).await;
                made += 1;
            }
        }
    }
    // What was under way is whole and short; then the newest, and no more gaps.
    assert!(
        before.iter().copied().eq(0..before.len() as u32),
        "{before:?}"
    );
    assert!(before.len() < 50, "{}", before.len());
    let age = cleared_at.unwrap() - after[0];
    assert!(age <= UPLINK_STALE + 1, "{age}");
    assert!(
        after.iter().copied().eq(after[0]..after[0] + 100),
        "{after:?}"
    );
    let sent = before.len() as u64;
    assert_eq!(
        rig.trace.read(Counter::UplinkStale),
        u64::from(after[0]) - sent
    );
    assert_eq!(rig.trace.read(Counter::UplinkCleared), 1);
}

/// A proxy with large buffers takes in whatever it is sent, and passes nothing
/// on: the kernel sees no stall, only the marks do.
#[tokio::test]
async fn a_stall_beyond_the_kernel_is_noticed_by_the_marks() {
    let mut rig = Rig::on_one_clock();
    let mut service = rig.connected_with(4 * 1024 * 1024).await;
    tokio::time::pause();
    let mut made = 0;
    let mut heard = Vec::new();
    let mut cleared = false;
    // It echoes marks and is heard for 5 s, swallows everything for 6 s, and
    // then passes it all on.
    while !cleared || heard.last().is_none_or(|last| last + 10 < made) {
        let swallows = (250..550).contains(&made);
        tokio::select! {
            message = service.message(), if !swallows => {
                let Message::Text(text) = message else { continue };
                let text: Value = serde_json::from_str(&text).unwrap();
                match text["event"].as_str() {
                    Some("mark") => service.say(text.to_string()).await,
                    Some("clear") => {
                        // What the service had not played is gone.
                        heard.retain(|&n| n < 250);
                        cleared = true;
                    }
                    _ => heard.push(number(&text)),
                }
            }
            () = sleep(BLOCK) => {
                rig.speak(made).await;
                made += 1;
            }
        }
        assert!(made < 1500, "it recovers: {heard:?}");
    }
    let blocked = rig.trace.read(Counter::UplinkBlocked);
    let stale = rig.trace.read(Counter::UplinkStale);
    // At most two seconds until a mark is sent, one until it is late; then a
    // pause of three seconds, in which nothing more is sent into the proxy.
    assert_eq!(blocked, 1);
    assert!((130..=160).contains(&stale), "{stale}");
    assert!(heard.is_sorted());
}

#[tokio::test]
async fn each_second_says_what_flowed_and_which_way() {
    let mut rig = Rig::on_one_clock();
    let mut service = rig.connected().await;
    tokio::time::pause();
    let mut figures = Vec::new();
    let mut made = 0;
    // Ten packets are said and thirty heard, then nothing is said any more.
    while figures.len() < 4 {
        tokio::select! {
            event = rig.events.recv() => if let What::Flow(flow) = event.unwrap().what {
                figures.push(flow);
            },
            _ = service.message() => {}
            () = sleep(BLOCK) => {
                if made < 10 {
                    rig.speak(made).await;
                }
                if made < 30 {
                    service.media(json!(made), b'a', 160).await;
                }
                made += 1;
            }
        }
    }
    let sum = |of: fn(&Flow) -> u32| figures.iter().map(of).sum::<u32>();
    assert_eq!((sum(|f| f.sent), sum(|f| f.received)), (10, 30));
    assert_eq!(
        figures[3],
        Flow {
            mark: figures[3].mark,
            ..Flow::default()
        }
    );
    assert_eq!(sum(|f| f.stale), 0);
}

#[tokio::test]
async fn pongs_alone_keep_a_quiet_socket() {
    let mut rig = Rig::on_one_clock();
    let mut service = rig.connected().await;
    tokio::time::pause();
    // Reading is what makes the client answer pings.
    let reading = async { while service.0.next().await.is_some() {} };
    let quiet = timeout(10 * IDLE_MAX, reading).await;
    assert!(quiet.is_err(), "the socket is kept");
    while let Ok(event) = rig.events.try_recv() {
        assert!(matches!(event.what, What::Flow(_)), "{event:?}");
    }
}

#[tokio::test]
async fn a_mark_that_comes_back_late_clears_what_waits() {
    let mut rig = Rig::on_one_clock();
    let mut service = rig.connected().await;
    tokio::time::pause();
    let mut marks = 0;
    let cleared = async {
        loop {
            let Message::Text(text) = service.message().await else {
                continue;
            };
            let text: Value = serde_json::from_str(&text).unwrap();
            if text["event"] == "clear" {
                return marks;
            }
            assert_eq!(text["event"], "mark");
            marks += 1;
            // The third waits behind half a second of sound.
            if marks == 3 {
                sleep(Duration::from_millis(500)).await;
            }
            service.say(text.to_string()).await;
        }
    };
    assert_eq!(timeout(HANG, cleared).await.unwrap(), 3);
    assert_eq!(rig.trace.read(Counter::UplinkCleared), 1);
}

#[tokio::test]
async fn the_last_words_are_bounded_in_time() {
    let mut rig = Rig::on_one_clock();
    let service = rig.connected().await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    rig.commands.send(Command::Close).await.unwrap();
    // The service never answers the close.
    assert_eq!(rig.ended().await, End::Left);
    assert!(start.elapsed() <= FAREWELL + Duration::from_millis(10));
    drop(service);
}
