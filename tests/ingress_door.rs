//! The door, from outside: who is let in, who is turned away and with what
//! words, and that a good caller still gets in afterwards.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callbox::edge::ingress::{
    Accepted, BindError, Config, EVENTS_MAX, Event, Files, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX,
    Ingress, Mode, RouteOf, Routes, ServiceTime,
};
use callbox::trace::{Counter, Trace};
use callbox::units::{self, AttemptId, CallId, SocketId};
use callbox::wire::handshake::{SigningKey, Token};
use futures_util::StreamExt;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use ring::hmac;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const NOW: i64 = 1_700_000_000;
const CALL: &str = r#"{"id":"c-1","status":"answered","direction":"outbound"}"#;

/// Nothing here takes so long unless it hangs.
const HANG: Duration = Duration::from_secs(30);

/// A door with one route open, for attempt 1.
struct Door {
    address: SocketAddr,
    routes: Routes,
    token: Token,
    events: mpsc::Receiver<Event>,
    trace: Arc<Trace>,
}

impl Door {
    fn open(mode: Mode, key: Option<&str>, service_time: Option<i64>) -> Self {
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            mode,
            signing_key: key.map(|key| SigningKey::new(key).unwrap()),
        };
        let routes = Routes::default();
        let token = Token::from_random([7; 24]);
        routes.open(token, AttemptId(1), units::Mode::default());
        let trace = Arc::new(Trace::default());
        let time: ServiceTime = Arc::new(move || service_time);
        let (ingress, events) =
            Ingress::bind(config, routes.clone(), time, Arc::clone(&trace)).unwrap();
        let address = ingress.local_addr().unwrap();
        tokio::spawn(ingress.run());
        Self {
            address,
            routes,
            token,
            events,
            trace,
        }
    }

    fn plain() -> Self {
        Self::open(Mode::Plain, None, Some(NOW))
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes`, and gives all that comes back.
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut socket).await
    }

    fn request(&self, more: &str) -> String {
        request(&self.token.media_path(), more)
    }

    /// A good caller gets in, whatever happened before.
    async fn lets_a_good_caller_in(&mut self) {
        let mut socket = self.connect().await;
        let request = self.request(&format!("X-Call-Context: {CALL}\r\n"));
        socket.write_all(request.as_bytes()).await.unwrap();
        let answer = read_head(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let accepted = self.next().await;
        assert_eq!(accepted.route, RouteOf::Attempt(AttemptId(1)));
    }

    /// Takes all places with connections that say nothing.
    async fn fill(&self) -> Vec<TcpStream> {
        let mut idlers = Vec::new();
        for _ in 0..HANDSHAKES_MAX {
            idlers.push(self.connect().await);
        }
        self.until(Counter::IngressConnections, HANDSHAKES_MAX as u64)
            .await;
        idlers
    }

    async fn next(&mut self) -> Accepted {
        match self.event().await {
            Event::Accepted(accepted) => accepted,
            other => panic!("{other:?}"),
        }
    }

    async fn event(&mut self) -> Event {
        let next = timeout(HANG, self.events.recv()).await;
        next.expect("something is told").unwrap()
    }

    fn count(&self, counter: Counter) -> u64 {
        self.trace.read(counter)
    }

    /// Waits until `counter` stands at `n`.
    async fn until(&self, counter: Counter, n: u64) {
        let reached = async {
            while self.count(counter) < n {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG, reached).await.expect("it is counted");
    }
}

fn request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: door.example\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

async fn read_all(socket: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset has said what it had to say.
    let read = timeout(HANG, socket.read_to_end(&mut bytes)).await;
    _ = read.expect("the door closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn read_head(socket: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(HANG, socket.read_u8()).await;
        head.push(byte.expect("an answer").expect("a whole head"));
    }
    String::from_utf8(head).unwrap()
}

fn signature_headers(key: &str, id: &str, timestamp: i64, context: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let digest = hmac::sign(&key, format!("{id}.{timestamp}.{context}").as_bytes());
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "X-Call-Context: {context}\r\nX-Inkbox-Request-ID: {id}\r\n\
         X-Inkbox-Timestamp: {timestamp}\r\nX-Inkbox-Signature: sha256={hex}\r\n"
    )
}

#[tokio::test]
async fn a_stream_on_its_path_is_let_in() {
    let mut door = Door::plain();
    let mut socket = door.connect().await;
    let request = door.request(&format!("X-Call-Context: {CALL}\r\n"));
    socket.write_all(request.as_bytes()).await.unwrap();
    let answer = read_head(&mut socket).await;
    assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert!(answer.contains("X-Use-Inkbox-Speech-To-Text: false"));
    let accepted = door.next().await;
    assert_eq!(
        (accepted.route, accepted.socket),
        (RouteOf::Attempt(AttemptId(1)), SocketId(1))
    );
    let context = accepted.context.unwrap();
    assert_eq!(context.call, CallId::parse("c-1"));
    assert_eq!(context.status.as_deref(), Some("answered"));
    let (_stream, early) = accepted.upgraded.attach().unwrap();
    assert_eq!(early, b"");
}

#[tokio::test]
async fn bytes_right_behind_the_head_are_kept() {
    let mut door = Door::plain();
    let mut socket = door.connect().await;
    let request = door.request("") + "first frame";
    socket.write_all(request.as_bytes()).await.unwrap();
    let (_stream, early) = door.next().await.upgraded.attach().unwrap();
    assert_eq!(early, b"first frame");
}

#[tokio::test]
async fn a_wrong_path_is_not_found() {
    let mut door = Door::plain();
    let other = Token::from_random([8; 24]);
    for path in [
        "/",
        "/media/short",
        &other.media_path(),
        &door.token.probe_path(),
    ] {
        let answer = door.ask(request(path, "")).await;
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(
            answer.ends_with("there is nothing at this path\n"),
            "{answer}"
        );
    }
    assert_eq!(door.count(Counter::HandshakesUnknownPath), 4);
    door.lets_a_good_caller_in().await;
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_in_words() {
    let mut door = Door::plain();
    let good = door.request("");
    let cases = [
        (
            "garbage\r\n\r\n".to_owned(),
            400,
            "this is not an HTTP request",
        ),
        (
            "\u{16}\u{3}\u{1}\u{2}\0".to_owned(),
            400,
            "this is not an HTTP request",
        ),
        (good.replace("GET", "POST"), 405, "only GET is served here"),
        (
            good.replace("websocket", "h2c"),
            426,
            "this path speaks WebSocket version 13 only",
        ),
        (
            door.request(&format!("X: {}\r\n", "y".repeat(9000))),
            431,
            "the request head is too large",
        ),
        (
            door.request("X-Call-Context: {\r\n"),
            400,
            "the header X-Call-Context cannot be read",
        ),
    ];
    let asked = cases.len() as u64;
    for (bytes, status, words) in cases {
        let answer = door.ask(&bytes).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{bytes}: {answer}"
        );
        assert!(
            answer.ends_with(&format!("\r\n\r\n{words}\n")),
            "{bytes}: {answer}"
        );
    }
    assert_eq!(door.count(Counter::HandshakesMalformed), asked);
    door.lets_a_good_caller_in().await;
}

#[tokio::test]
async fn another_calls_stream_is_not_let_in() {
    let mut door = Door::plain();
    door.routes
        .expect(AttemptId(1), CallId::parse("c-1").unwrap());
    let answer = door
        .ask(door.request("X-Call-Context: {\"call_id\":\"c-2\"}\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert_eq!(door.count(Counter::HandshakesOtherCall), 1);
    door.lets_a_good_caller_in().await;
}

#[tokio::test]
async fn only_the_holder_of_the_key_gets_in() {
    let mut door = Door::open(Mode::Plain, Some("whsec_secret"), Some(NOW));
    let signed = |key, id, at| door.request(&signature_headers(key, id, at, CALL));
    let good = signed("secret", "req-1", NOW - 299);
    let tampered = good.replace("c-1", "c-2");
    let refused = [
        (door.request(""), "the signature is missing or wrong"),
        (
            signed("guess", "req-0", NOW),
            "the signature is missing or wrong",
        ),
        (tampered, "the signature is missing or wrong"),
        (
            signed("secret", "req-0", NOW - 301),
            "the signature is not of this time",
        ),
        (
            signed("secret", "req-0", NOW + 301),
            "the signature is not of this time",
        ),
    ];
    for (bytes, words) in &refused {
        let answer = door.ask(bytes).await;
        assert!(
            answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with(&format!("\r\n\r\n{words}\n")), "{answer}");
    }
    let mut socket = door.connect().await;
    socket.write_all(good.as_bytes()).await.unwrap();
    assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(door.next().await.route, RouteOf::Attempt(AttemptId(1)));
    let replayed = door.ask(good).await;
    assert!(
        replayed.ends_with("\r\n\r\nthe request was made before\n"),
        "{replayed}"
    );
    assert_eq!(
        door.count(Counter::HandshakesForged),
        refused.len() as u64 + 1
    );
    assert_eq!(door.count(Counter::HandshakesUnjudged), 0);
}

#[tokio::test]
async fn without_a_known_time_freshness_is_not_judged() {
    let mut door = Door::open(Mode::Plain, Some("secret"), None);
    let headers = signature_headers("secret", "req-1", 12, CALL);
    let mut socket = door.connect().await;
    socket
        .write_all(door.request(&headers).as_bytes())
        .await
        .unwrap();
    assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 101 "));
    door.next().await;
    assert_eq!(door.count(Counter::HandshakesUnjudged), 1);
    let replayed = door.ask(door.request(&headers)).await;
    assert!(replayed.starts_with("HTTP/1.1 401 "), "{replayed}");
}

#[tokio::test]
async fn a_slow_trickle_runs_out_of_time() {
    let mut door = Door::plain();
    let mut socket = door.connect().await;
    socket.write_all(b"GET /media/").await.unwrap();
    door.until(Counter::IngressConnections, 1).await;
    tokio::time::pause();
    let trickle = async {
        let start = tokio::time::Instant::now();
        // One byte a second, for as long as anybody listens.
        while start.elapsed() < 2 * HANDSHAKE_TIMEOUT && socket.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        read_all(&mut socket).await
    };
    let answer = trickle.await;
    tokio::time::resume();
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{answer}"
    );
    assert_eq!(door.count(Counter::IngressTimeouts), 1);
    door.lets_a_good_caller_in().await;
}

#[tokio::test]
async fn the_oldest_idler_gives_way_to_a_good_caller() {
    let mut door = Door::plain();
    let mut idlers = door.fill().await;
    door.lets_a_good_caller_in().await;
    let answer = read_all(&mut idlers.remove(0)).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
    // The others were still listened to.
    let others = idlers.len() as u64;
    drop(idlers);
    door.until(Counter::HandshakesMalformed, others).await;
    assert_eq!(door.count(Counter::IngressCrowded), 1);
    assert_eq!(door.count(Counter::IngressTimeouts), 0);
}

#[tokio::test]
async fn idlers_who_keep_coming_do_not_lock_the_door() {
    let mut door = Door::plain();
    let mut idlers = door.fill().await;
    for _ in 0..2 {
        for _ in 0..HANDSHAKES_MAX {
            idlers.push(door.connect().await);
        }
        door.lets_a_good_caller_in().await;
    }
    // Each newcomer made one give way, but for the first of the second crowd:
    // he took the place that the good caller had left.
    assert_eq!(
        door.count(Counter::IngressConnections),
        3 * HANDSHAKES_MAX as u64 + 2
    );
    assert_eq!(door.count(Counter::IngressTimeouts), 0);
    let crowded = 2 * HANDSHAKES_MAX as u64 + 1;
    assert_eq!(door.count(Counter::IngressCrowded), crowded);
}

#[tokio::test]
async fn a_hundred_at_once_cost_no_good_caller_his_call() {
    let mut door = Door::plain();
    let mut crowd = Vec::new();
    for n in 0..100 {
        let mut socket = door.connect().await;
        if n % 2 == 0 {
            socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        crowd.push(socket);
    }
    door.lets_a_good_caller_in().await;
    assert_eq!(door.count(Counter::IngressConnections), 101);
    assert_eq!(door.count(Counter::HandshakesUnknownPath), 50);
}

#[tokio::test]
async fn streams_nobody_takes_are_refused() {
    let mut door = Door::plain();
    let mut held = Vec::new();
    for _ in 0..EVENTS_MAX {
        let mut socket = door.connect().await;
        socket.write_all(door.request("").as_bytes()).await.unwrap();
        assert!(read_head(&mut socket).await.starts_with("HTTP/1.1 101 "));
        held.push(socket);
    }
    let answer = door.ask(door.request("")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    for n in 1..=EVENTS_MAX as u32 {
        assert_eq!(door.next().await.socket, SocketId(n));
    }
    door.lets_a_good_caller_in().await;
}

#[tokio::test]
async fn a_round_trip_is_answered_once_without_a_signature() {
    let door = Door::open(Mode::Plain, Some("secret"), Some(NOW));
    let token = Token::from_random([9; 24]);
    let get = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", token.probe_path());
    assert!(door.ask(&get).await.starts_with("HTTP/1.1 404 "));
    door.routes.open_probe(token);
    let answer = door.ask(&get).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with(&format!("\r\n\r\n{}", token.as_str())),
        "{answer}"
    );
    assert!(door.ask(&get).await.starts_with("HTTP/1.1 404 "));

    door.routes.open_probe(token);
    let url = format!("ws://door.example{}", token.probe_path());
    let (mut web, _) = client_async(url, door.connect().await).await.unwrap();
    let message = web.next().await.unwrap().unwrap();
    assert_eq!(message, Message::text(token.as_str()));
    assert!(web.next().await.unwrap().unwrap().is_close());
}

/// A certificate of its own, in a folder of its own.
struct Shop {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Shop {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("callbox-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder, issuer }
    }

    fn files(&self) -> Files {
        Files {
            certificate: self.folder.join("certificate.pem"),
            key: self.folder.join("key.pem"),
        }
    }

    /// Writes a new certificate and key; gives the serial number.
    fn renew(&self, serial: u64) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["door.example".into()]).unwrap();
        params.serial_number = Some(serial.into());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = self.files();
        fs::write(files.certificate, certificate.pem()).unwrap();
        fs::write(files.key, key.serialize_pem()).unwrap();
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    /// Connects as the service does; gives the certificate that was shown.
    async fn get_in(&self, door: &mut Door) -> Vec<u8> {
        let name = ServerName::try_from("door.example").unwrap();
        let socket = door.connect().await;
        let mut tls = self.connector().connect(name, socket).await.unwrap();
        tls.write_all(door.request("").as_bytes()).await.unwrap();
        assert!(read_head(&mut tls).await.starts_with("HTTP/1.1 101 "));
        door.next().await;
        tls.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn plain_http_and_garbage_on_the_tls_port_are_met() {
    let shop = Shop::new("garbage");
    shop.renew(1);
    let mut door = Door::open(Mode::Tls(shop.files()), None, None);
    let answer = door.ask(door.request("")).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("this port speaks TLS: use https:// or wss://"),
        "{answer}"
    );
    for garbage in [
        &b"\x16\x03\x01\xff\xffgarbage"[..],
        b"\0\0\0\0",
        b"\x16\x03\x01\0\x05hello",
    ] {
        let answer = door.ask(garbage).await;
        assert!(!answer.contains("HTTP"), "{answer}");
    }
    door.until(Counter::IngressTls, 4).await;
    shop.get_in(&mut door).await;
}

#[tokio::test]
async fn an_idler_on_the_tls_port_gives_way_without_a_word() {
    let shop = Shop::new("idlers");
    shop.renew(1);
    let mut door = Door::open(Mode::Tls(shop.files()), None, None);
    let mut idlers = door.fill().await;
    shop.get_in(&mut door).await;
    assert_eq!(read_all(&mut idlers[0]).await, "");
    assert_eq!(door.count(Counter::IngressCrowded), 1);
    assert_eq!(door.count(Counter::IngressTimeouts), 0);
}

#[tokio::test]
async fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let shop = Shop::new("renewed");
    shop.renew(1);
    let mut door = Door::open(Mode::Tls(shop.files()), None, None);
    let first = shop.get_in(&mut door).await;
    assert_eq!(shop.get_in(&mut door).await, first);

    shop.renew(2);
    let second = shop.get_in(&mut door).await;
    assert_ne!(second, first);

    // Half-way through the next renewal: a key that does not fit, a file
    // that is empty, a file that is gone.
    let files = shop.files();
    fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert_eq!(shop.get_in(&mut door).await, second);
    fs::write(&files.certificate, "").unwrap();
    assert_eq!(shop.get_in(&mut door).await, second);
    fs::remove_file(&files.key).unwrap();
    assert_eq!(shop.get_in(&mut door).await, second);

    shop.renew(3);
    assert_ne!(shop.get_in(&mut door).await, second);
}

#[tokio::test]
async fn a_door_that_cannot_open_says_why() {
    let why = |mode| {
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            mode,
            signing_key: None,
        };
        let trace = Arc::new(Trace::default());
        match Ingress::bind(config, Routes::default(), Arc::new(|| None), trace) {
            Err(error @ BindError::Tls(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let shop = Shop::new("why");
    let files = shop.files();
    let missing = why(Mode::Tls(files.clone()));
    assert!(missing.starts_with("cannot read "), "{missing}");
    assert!(missing.contains("certificate.pem"), "{missing}");

    shop.renew(1);
    fs::write(&files.key, "no key").unwrap();
    let empty = why(Mode::Tls(files.clone()));
    assert!(
        empty.contains("key.pem holds no private key in PEM form"),
        "{empty}"
    );

    fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let other = why(Mode::Tls(files));
    assert!(
        other.contains("the key must be the one the certificate was made for"),
        "{other}"
    );

    let taken = Door::plain();
    let config = Config {
        listen: taken.address,
        mode: Mode::Plain,
        signing_key: None,
    };
    let trace = Arc::new(Trace::default());
    let error = Ingress::bind(config, Routes::default(), Arc::new(|| None), trace).unwrap_err();
    let words = error.to_string();
    assert!(
        words.starts_with(&format!("cannot listen on {}", taken.address)),
        "{words}"
    );
    assert!(words.contains("choose another address or port"), "{words}");
}
