//! The live socket over real connections: the hub on a runtime of its own,
//! the door on another, and a client in the service's place.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callbox::audio::engine::EngineEvent;
use callbox::audio::ring::{
    self, DownlinkRx, EventTx, Packet, UPLINK_STALE, UplinkTx, downlink, uplink,
};
use callbox::edge::ingress::{self, Accepted, Config, Files, Ingress, Routes};
use callbox::edge::realtime::Wake;
use callbox::edge::socket::{Command, End, Event, FAREWELL, Flow, Hub, IDLE_MAX, What, dismiss};
use callbox::trace::{Counter, Trace};
use callbox::units::{AttemptId, BLOCK_MS, ByteOrder, Digit, Encoding, L16Rate, Mode, SocketId};
use callbox::wire::handshake::Token;
use callbox::wire::media::{BargeIn, FIRST_SEQ, MESSAGE_MAX, SPOKEN_MAX, Transcript};
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
    /// How the microphone's packets are written.
    encoding: Encoding,
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
            encoding: Encoding::Pcmu,
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

    /// A stream whose `start` declares this format.
    async fn declared(&mut self, format: Value) -> Service {
        let (mut service, accepted) = self.knock(64 * 1024).await;
        self.attach(accepted).await;
        service.declare(format).await;
        service
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
        let encoding = self.encoding;
        let packet = || Packet {
            stream,
            seq,
            encoding,
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

    /// The engine has found this in the sound.
    fn find(&mut self, event: EngineEvent) {
        assert!(self.engine.push(event));
        self.wake.notify();
    }

    async fn say(&mut self, text: &str) {
        let socket = SocketId(self.streams);
        let text = text.to_owned();
        let say = Command::Say { socket, text };
        self.commands.send(say).await.unwrap();
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

    async fn declare(&mut self, format: Value) {
        let start = json!({"media_format": format});
        self.send(json!({"event": "start", "stream_id": "s-1", "start": start}))
            .await;
    }

    async fn media(&mut self, chunk: Value, letter: u8, length: usize) {
        self.sound(chunk, &vec![letter; length]).await;
    }

    async fn sound(&mut self, chunk: Value, sound: &[u8]) {
        let payload = STANDARD.encode(sound);
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

/// The sound of one of the device's messages.
fn sound_of(media: &Value) -> Vec<u8> {
    assert_eq!(media["event"], "media", "{media}");
    let payload = media["media"]["payload"].as_str().unwrap();
    STANDARD.decode(payload).unwrap()
}

fn key(key: char) -> Digit {
    Digit::parse(key).unwrap()
}

fn number(media: &Value) -> u32 {
    let sound = sound_of(media);
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
    for (n, &letter) in b"abb".iter().enumerate() {
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
            digit: key('5'),
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

/// Formats as `start` declares them, what they are to the device, and a
/// payload of 20 ms.
fn formats() -> Vec<(Value, Encoding, Vec<u8>)> {
    let order = ByteOrder::Little;
    let linear = |rate| Encoding::L16 { rate, order };
    let opus = |rate| Encoding::Opus { rate };
    let encodings = [
        ("PCMU", Encoding::Pcmu),
        ("PCMA", Encoding::Pcma),
        ("L16", linear(L16Rate::K8)),
        ("L16", linear(L16Rate::K16)),
        ("L16", linear(L16Rate::K24)),
        ("OPUS", opus(8_000)),
        ("OPUS", opus(16_000)),
        ("OPUS", opus(48_000)),
    ];
    let format = |(name, encoding): (&str, Encoding)| {
        let format = json!({"encoding": name, "sample_rate": encoding.rate(), "channels": 1});
        let payload = match encoding.block_bytes() {
            Some(bytes) => vec![0x55; bytes],
            // One frame of 20 ms in SILK (RFC 6716 §3.1), as long as may be.
            None => [vec![1 << 3], vec![0x55; 1274]].concat(),
        };
        (format, encoding, payload)
    };
    encodings.map(format).to_vec()
}

#[tokio::test]
async fn each_encoding_flows_both_ways() {
    for (format, encoding, payload) in formats() {
        let mut rig = Rig::new();
        let mut service = rig.declared(format).await;
        assert_eq!(rig.event().await.1, What::Started { encoding });
        for n in 0..5 {
            service.sound(json!(n), &payload).await;
            let packet = rig.hear().await;
            assert_eq!((packet.seq, packet.encoding), (FIRST_SEQ + n, encoding));
            assert_eq!(packet.payload, *payload, "{encoding}");
        }
        rig.encoding = encoding;
        for n in 0..5 {
            rig.speak_on(1, n, &payload).await;
            assert_eq!(sound_of(&service.text().await), payload, "{encoding}");
        }
        assert_eq!(rig.trace.read(Counter::MediaMalformed), 0, "{encoding}");
        assert_eq!(rig.trace.read(Counter::UplinkMiscoded), 0, "{encoding}");
    }
}

#[tokio::test]
async fn what_was_made_for_another_encoding_is_not_sent() {
    let mut rig = Rig::new();
    let (format, encoding, payload) = formats().remove(3);
    let mut service = rig.declared(format).await;
    assert_eq!(rig.event().await.1, What::Started { encoding });
    // The engine has not been told yet.
    rig.speak(0).await;
    rig.speak(1).await;
    rig.until(Counter::UplinkMiscoded, 2).await;
    rig.encoding = encoding;
    rig.speak_on(1, 2, &payload).await;
    assert_eq!(sound_of(&service.text().await), payload);
}

#[tokio::test]
async fn a_second_start_changes_the_encoding_in_mid_stream() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    // A slot and a half.
    service.media(json!(1), b'a', 240).await;
    assert_eq!(rig.event().await.1, What::FirstMedia);
    for (n, (format, encoding, payload)) in formats().into_iter().enumerate().skip(1) {
        service.declare(format.clone()).await;
        assert_eq!(rig.event().await.1, What::Started { encoding });
        // Said again, it is no news.
        service.declare(format).await;
        service.sound(json!(n + 1), &payload).await;
        rig.encoding = encoding;
        rig.speak_on(1, n as u32, &payload).await;
        assert_eq!(sound_of(&service.text().await), payload, "{encoding}");
    }
    let mut heard = Vec::new();
    for _ in 0..9 {
        let packet = rig.hear().await;
        heard.push((packet.seq - FIRST_SEQ, packet.encoding));
    }
    let of = |encoding| move |n| (n, encoding);
    let first = (0..2).map(of(Encoding::Pcmu));
    let later = formats().into_iter().skip(1).zip(2..);
    let want: Vec<_> = first.chain(later.map(|(f, n)| (n, f.1))).collect();
    assert_eq!(heard, want);
}

/// Sound without the stream's name would not be taken any more.
#[tokio::test]
async fn a_later_start_without_a_name_leaves_the_stream_its_own() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    let format = json!({"encoding": "PCMA", "sample_rate": 8000});
    let start = json!({"event": "start", "start": {"media_format": format}});
    service.send(start).await;
    let encoding = Encoding::Pcma;
    assert_eq!(rig.event().await.1, What::Started { encoding });
    rig.encoding = encoding;
    rig.speak_on(1, 1, &[7; 160]).await;
    assert_eq!(service.text().await["stream_id"], "s-1");
}

#[tokio::test]
async fn a_second_start_of_a_kind_we_do_not_take_ends_the_stream() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    let format = json!({"encoding": "G722", "sample_rate": 8000, "channels": 1});
    service.declare(format).await;
    let stop = service.text().await;
    assert_eq!(stop["event"], "stop");
    assert!(stop["reason"].as_str().unwrap().contains("G722"), "{stop}");
    assert!(matches!(rig.ended().await, End::Unsupported(_)));
}

#[tokio::test]
async fn odd_sound_is_counted_and_the_rest_is_heard() {
    let mut rig = Rig::new();
    let formats = formats();
    let (linear, _, samples) = &formats[3];
    let mut service = rig.declared(linear.clone()).await;
    service.sound(json!(1), &samples[..639]).await;
    service.sound(json!(2), &samples[..2]).await;
    assert_eq!(rig.hear().await.payload, **samples);
    assert_eq!(rig.trace.read(Counter::MediaMalformed), 1);

    let (opus, _, packet) = &formats[7];
    service.declare(opus.clone()).await;
    // Code 3 without its count, a count of nothing, more than 120 ms.
    for garbage in [&[0x03][..], &[0x03, 0], &[0x1B, 7], &[]] {
        service.sound(json!(3), garbage).await;
    }
    // Two frames of 20 ms are longer than a packet may be.
    let long = [vec![0x0A, 0], vec![0; 1275]].concat();
    service.sound(json!(4), &long).await;
    rig.until(Counter::MediaOversized, 1).await;
    assert_eq!(rig.trace.read(Counter::MediaMalformed), 4);
    service.sound(json!(5), packet).await;
    assert_eq!(rig.hear().await.payload, **packet);
}

const TEXT: Mode = Mode {
    tts: true,
    stt: true,
};

/// A stream in a mode that was asked for, begun.
async fn text_stream(mode: Mode) -> (Rig, Service) {
    let mut rig = Rig::with_mode(mode);
    let service = rig.connected().await;
    (rig, service)
}

#[tokio::test]
async fn words_are_sent_by_sentence_and_their_end_is_told() {
    let (mut rig, mut service) = text_stream(TEXT).await;
    for turn in 1..3 {
        rig.say("Water in the cellar!\u{7}\nMill Lane 3.").await;
        for delta in ["Water in the cellar! ", "Mill Lane 3."] {
            assert_eq!(
                service.text().await,
                json!({"event": "text", "delta": delta})
            );
        }
        assert_eq!(service.text().await, json!({"event": "text", "done": true}));
        let Message::Text(mark) = service.message().await else {
            panic!("a mark follows");
        };
        assert!(mark.contains(&format!("callbox-said-{turn}")), "{mark}");
        // Marks that we did not send are nothing to us.
        for name in ["callbox-said-9", "callbox-1", ""] {
            let stray = json!({"event": "mark", "mark": {"name": name}});
            service.send(stray).await;
        }
        service.say(mark.as_str()).await;
        assert_eq!(rig.event().await.1, What::Spoken { whole: true });
    }
    assert_eq!(rig.trace.read(Counter::MediaUnused), 6);
}

#[tokio::test]
async fn barging_in_ends_the_turn() {
    let (mut rig, mut service) = text_stream(TEXT).await;
    rig.say("One. Two.").await;
    for _ in 0..3 {
        assert_eq!(service.text().await["event"], "text");
    }
    let barge_in = |cut| json!({"event": "barge_in", "trigger": "speech", "text": "who?", "tts_interrupted": cut});
    let told = |cut| {
        What::BargeIn(BargeIn {
            trigger: Some("speech".into()),
            text: Some("who?".into()),
            tts_interrupted: cut,
            turn: None,
        })
    };
    service.send(barge_in(false)).await;
    assert_eq!(rig.event().await.1, told(false));
    service.send(barge_in(true)).await;
    assert_eq!(rig.event().await.1, told(true));
    assert_eq!(rig.event().await.1, What::Spoken { whole: false });
    // Nothing is spoken now: it is told, and no turn ends.
    service.send(barge_in(true)).await;
    assert_eq!(rig.event().await.1, told(true));
    rig.say("Three.").await;
    assert_eq!(service.text().await["delta"], "Three.");
    // The echo of the turn that was interrupted is not this one's.
    let late = json!({"event": "mark", "mark": {"name": "callbox-said-1"}});
    service.send(late).await;
    rig.until(Counter::MediaUnused, 1).await;
}

#[tokio::test]
async fn no_sound_goes_out_where_the_service_speaks() {
    let mode = Mode {
        tts: true,
        stt: false,
    };
    let (mut rig, mut service) = text_stream(mode).await;
    for n in 0..20 {
        rig.speak(n).await;
    }
    rig.say("Hello.").await;
    assert_eq!(service.text().await["delta"], "Hello.");
    assert_eq!(service.text().await["done"], true);
    // The far end is heard all the same.
    service.media(json!(1), b'a', 160).await;
    assert_eq!(rig.hear().await.payload, [b'a'; 160]);
}

#[tokio::test]
async fn words_are_told_where_the_service_hears() {
    let (mut rig, mut service) = text_stream(TEXT).await;
    let words = |text: &str, is_final| json!({"event": "transcript", "text": text, "is_final": is_final, "turn_id": 3});
    let told = |text: &str, is_final| {
        What::Transcript(Transcript {
            text: text.into(),
            is_final,
            turn: Some("3".into()),
        })
    };
    service.send(words("open", false)).await;
    assert_eq!(rig.event().await.1, told("open", false));
    service.send(words("open\u{0} the\ndoor", true)).await;
    assert_eq!(rig.event().await.1, told("open the door", true));
    // Nothing was said, and sound that nobody asked for.
    service.send(words("\u{1}\r\n", true)).await;
    service.media(json!(1), b'a', 160).await;
    rig.until(Counter::MediaUnused, 2).await;
    assert_eq!(rig.downlink.pop(), None);
}

#[tokio::test]
async fn a_call_of_words_takes_any_kind_of_sound() {
    let mut rig = Rig::with_mode(TEXT);
    let format = json!({"encoding": "G722", "sample_rate": 8000, "channels": 1});
    let mut service = rig.declared(format).await;
    assert_eq!(rig.event().await.1, STARTED);
    rig.say("Hello.").await;
    assert_eq!(service.text().await["delta"], "Hello.");
}

#[tokio::test]
async fn words_without_a_start_are_a_start() {
    let mut rig = Rig::with_mode(TEXT);
    let (mut service, accepted) = rig.knock(64 * 1024).await;
    rig.attach(accepted).await;
    rig.say("Hello.").await;
    service
        .send(json!({"event": "transcript", "text": "yes?", "is_final": true}))
        .await;
    assert_eq!(rig.event().await.1, STARTED);
    assert!(matches!(rig.event().await.1, What::Transcript(_)));
    assert_eq!(service.text().await["delta"], "Hello.");
}

#[tokio::test]
async fn what_cannot_be_spoken_is_answered_at_once() {
    let (mut rig, mut service) = text_stream(TEXT).await;
    rig.say("\u{0}\r\n").await;
    assert_eq!(rig.event().await.1, What::Spoken { whole: false });
    // A megabyte is cut to what a person may be asked to listen to.
    rig.say(&"words ".repeat(200_000)).await;
    let mut spoken = String::new();
    loop {
        let text = service.text().await;
        match text["delta"].as_str() {
            Some(delta) => spoken.push_str(delta),
            None => break assert_eq!(text["done"], true),
        }
    }
    assert!(spoken.starts_with("words words "));
    assert!((SPOKEN_MAX - 6..=SPOKEN_MAX).contains(&spoken.len()));

    // Where the service does not speak, nothing is sent.
    let (mut rig, mut service) = text_stream(Mode::default()).await;
    rig.say("Hello.").await;
    assert_eq!(rig.event().await.1, What::Spoken { whole: false });
    rig.speak(1).await;
    assert_eq!(service.packet().await, 1);
}

#[tokio::test]
async fn words_are_of_no_use_in_a_call_of_sound() {
    let mut rig = Rig::new();
    let mut service = rig.connected().await;
    service
        .send(json!({"event": "transcript", "text": "open", "is_final": true}))
        .await;
    service
        .send(json!({"event": "barge_in", "tts_interrupted": true}))
        .await;
    rig.until(Counter::MediaUnused, 2).await;
    service.send(json!({"event": "stop"})).await;
    assert_eq!(rig.event().await.1, What::Ended(End::Stopped(None)));
}

#[tokio::test]
async fn a_flood_of_words_hides_no_end() {
    let (mut rig, mut service) = text_stream(TEXT).await;
    for n in 0..500 {
        let text = format!("word {n}");
        service
            .send(json!({"event": "transcript", "text": text, "is_final": true}))
            .await;
    }
    rig.until(Counter::EventsDropped, 1).await;
    service
        .send(json!({"event": "stop", "reason": "bye"}))
        .await;
    assert_eq!(rig.ended().await, End::Stopped(Some("bye".into())));
}

#[tokio::test]
async fn a_flood_of_keys_is_cut() {
    let mut rig = Rig::on_one_clock();
    let mut service = rig.connected().await;
    tokio::time::pause();
    for _ in 0..1000 {
        service
            .send(json!({"event": "dtmf", "dtmf": {"digit": "7"}}))
            .await;
    }
    rig.find(EngineEvent::Digit {
        stream: 1,
        digit: key('7'),
    });
    let told = |in_band| What::Dtmf {
        digit: key('7'),
        in_band,
    };
    let mut signalled = 0;
    loop {
        match rig.event().await.1 {
            what if what == told(false) => signalled += 1,
            what if what == told(true) => break,
            other => panic!("{other:?}"),
        }
    }
    rig.until(Counter::DigitsFlooded, 1).await;
    let flooded = async {
        while rig.trace.read(Counter::DigitsFlooded) + signalled < 1000 {
            if let (_, What::Dtmf { .. }) = rig.event().await {
                signalled += 1;
            }
        }
    };
    _ = timeout(Duration::from_millis(100), flooded).await;
    assert_eq!(rig.trace.read(Counter::DigitsFlooded) + signalled, 1000);
    assert!(signalled <= 12, "{signalled}");
    // The second is over: a person is believed again.
    sleep(Duration::from_secs(1)).await;
    service
        .send(json!({"event": "dtmf", "dtmf": {"digit": "7"}}))
        .await;
    assert_eq!(rig.event().await.1, told(false));
}

#[tokio::test]
async fn what_the_engine_finds_is_told_of_the_present_stream() {
    let mut rig = Rig::new();
    let _service = rig.connected().await;
    for stream in [9, 1] {
        rig.find(EngineEvent::Digit {
            stream,
            digit: key('#'),
        });
        rig.find(EngineEvent::PromptOver { stream });
    }
    let heard = What::Dtmf {
        digit: key('#'),
        in_band: true,
    };
    assert_eq!(rig.event().await.1, heard);
    assert_eq!(rig.event().await.1, What::PromptOver);
    // A second may have passed: nothing else has.
    while let Ok(event) = rig.events.try_recv() {
        assert!(matches!(event.what, What::Flow(_)), "{event:?}");
    }
}

#[tokio::test]
async fn the_end_of_an_utterance_is_told_behind_its_sound() {
    let mut rig = Rig::on_one_clock();
    let mut service = rig.connected().await;
    for n in 0..3 {
        rig.speak(n).await;
    }
    rig.commands.send(Command::AudioDone).await.unwrap();
    for n in 0..3 {
        assert_eq!(service.packet().await, n);
    }
    let done = json!({"event": "audio_done", "stream_id": "s-1"});
    assert_eq!(service.text().await, done);
    rig.speak(3).await;
    assert_eq!(service.packet().await, 3);
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
    assert!(figures.iter().all(|flow| flow.mode == Mode::default()));
    assert_eq!(
        figures[3],
        Flow {
            mark: figures[3].mark,
            ..Flow::default()
        }
    );
    assert_eq!(sum(|f| f.stale), 0);
}

/// Words may take minutes to be spoken: a mark behind them measures nothing,
/// and a `clear` would cut them. And nobody misses the sound.
#[tokio::test]
async fn where_the_service_speaks_no_backlog_is_measured_and_no_sound_missed() {
    let (mut rig, hub) = Rig::build(ingress::Mode::Plain, TEXT);
    tokio::spawn(hub.run());
    let mut service = rig.connected().await;
    tokio::time::pause();
    rig.say("Hello.").await;
    let mut frames = Vec::new();
    let mut seconds = 0;
    while seconds < 12 {
        tokio::select! {
            event = rig.events.recv() => {
                let What::Flow(flow) = event.unwrap().what else {
                    panic!("nothing else happens");
                };
                let quiet = Flow { mode: TEXT, unsent: flow.unsent, ..Flow::default() };
                assert_eq!(flow, quiet);
                assert!(!flow.mode.sends_sound() && !flow.mode.takes_sound());
                seconds += 1;
            }
            message = service.message() => if let Message::Text(text) = message {
                frames.push(text.to_string());
            }
        }
    }
    assert_eq!(frames.len(), 3, "{frames:?}");
    assert!(frames[2].contains("callbox-said-1"), "{frames:?}");
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
