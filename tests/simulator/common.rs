//! What the simulator's tests share: a plain HTTP client, a plain WebSocket
//! device, and waiting with a guard.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callbox::simulator::{
    API_KEY, Answer, Call, Callee, Config, Event, Handle, HangsUp, NUMBER, Running, Says,
    Simulator, Status, What,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// The number that is called.
pub(crate) const CALLEE: &str = "+15005550199";

/// What a device answers a handshake with.
pub(crate) type Headers = &'static [(&'static str, &'static str)];

/// Raw audio both ways.
pub(crate) const RAW: Headers = &[
    ("x-use-inkbox-text-to-speech", "false"),
    ("x-use-inkbox-speech-to-text", "false"),
];

/// Longer than anything here takes: a test that waits so long has failed.
const GUARD: Duration = Duration::from_secs(30);

pub(crate) async fn guarded<T>(what: impl Future<Output = T>) -> T {
    let guarded = tokio::time::timeout(GUARD, what).await;
    guarded.expect("nothing came")
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A service whose callee does `answer` and then is silent.
pub(crate) fn quick(answer: Answer) -> Config {
    let mut config = Config {
        callee: Callee::absent(answer),
        ..Config::default()
    };
    config.service.ring_after = ms(1);
    config
}

pub(crate) async fn start(config: Config) -> Running {
    Simulator::start(config).await.unwrap()
}

/// A plain HTTP client with an API key.
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) key: &'static str,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    pub(crate) fn new(simulator: &Running) -> Self {
        // A second test in the same process finds it installed.
        _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            base: simulator.base_url.clone(),
            key: API_KEY,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        let request = self.http.get(format!("{}{path}", self.base));
        read(request.header("x-api-key", self.key)).await.unwrap()
    }

    /// Any request; a body that is `Null` is none.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> Answered {
        let method = method.parse().unwrap();
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.header("x-api-key", self.key);
        let request = match body {
            Value::Null => request,
            body => request
                .header("content-type", "application/json")
                .body(body.to_string()),
        };
        read(request).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answered, reqwest::Error> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("x-api-key", self.key)
            .header("content-type", "application/json")
            .body(body.to_string());
        read(request).await
    }

    /// Places a call to [`CALLEE`] with media at `url`.
    pub(crate) async fn place(&self, url: &str) -> Answered {
        self.post("/place-call", &placement(url)).await.unwrap()
    }

    /// Places a call that must be accepted; its id.
    pub(crate) async fn placed(&self, url: &str) -> String {
        let answered = self.place(url).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        answered.body["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn placement(url: &str) -> Value {
    json!({"from_number": NUMBER, "to_number": CALLEE, "client_websocket_url": url})
}

pub(crate) async fn read(request: reqwest::RequestBuilder) -> Result<Answered, reqwest::Error> {
    let response = guarded(request.send()).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = guarded(response.bytes()).await?;
    Ok(Answered {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// Waits until an event of `call` is what `wanted` wants.
pub(crate) async fn event(
    handle: &Handle,
    call: &str,
    mut wanted: impl FnMut(&What) -> bool,
) -> Event {
    let mut events = handle.events();
    let found = events.find(|event| event.call.as_deref() == Some(call) && wanted(&event.what));
    guarded(found).await
}

/// Waits until `call` is over.
pub(crate) async fn over(handle: &Handle, call: &str) -> Call {
    let ended = |what: &What| matches!(what, What::Status(status, _) if status.is_over());
    event(handle, call, ended).await;
    handle.call(call).unwrap()
}

/// Waits until `call` has come to `status`.
pub(crate) async fn reached(handle: &Handle, call: &str, status: Status) {
    event(
        handle,
        call,
        |what| matches!(what, What::Status(s, _) if *s == status),
    )
    .await;
}

/// A device that listens on loopback, and nothing more.
pub(crate) struct Device {
    listener: TcpListener,
}

impl Device {
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/media/token", self.listener.local_addr().unwrap())
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        guarded(self.listener.accept()).await.unwrap().0
    }

    /// Takes the next media socket, for raw audio both ways.
    pub(crate) async fn accept(&self) -> Media {
        self.accept_with(RAW).await
    }

    /// Takes the next media socket and answers with these headers.
    pub(crate) async fn accept_with(&self, answer: Headers) -> Media {
        Media::accept(self.tcp().await, answer).await
    }
}

/// The device's end of a media socket.
pub(crate) struct Media<S = TcpStream> {
    pub(crate) socket: WebSocketStream<S>,
    /// What the service sent with its handshake.
    pub(crate) request: Request,
    pub(crate) stream_id: String,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Media<S> {
    pub(crate) async fn accept(stream: S, answer: Headers) -> Self {
        let mut request = None;
        #[expect(clippy::result_large_err, reason = "tungstenite's type")]
        let handshake = |theirs: &Request, mut ours: Response| {
            request = Some(theirs.clone());
            for (name, value) in answer {
                ours.headers_mut().insert(*name, value.parse().unwrap());
            }
            Ok(ours)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, handshake);
        let socket = guarded(socket).await.unwrap();
        Self {
            socket,
            request: request.unwrap(),
            stream_id: String::new(),
        }
    }

    /// The next message, whatever it is.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        guarded(self.socket.next()).await?.ok()
    }

    /// The next text message.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            if let Message::Text(text) = self.message().await.expect("the socket is gone") {
                return text.to_string();
            }
        }
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Value {
        let frame: Value = serde_json::from_str(&self.text().await).unwrap();
        if frame["event"] == "start" {
            self.stream_id = frame["stream_id"].as_str().unwrap().to_owned();
        }
        frame
    }

    /// The next frame of this kind.
    pub(crate) async fn frame_of(&mut self, event: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["event"] == event {
                return frame;
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends a payload as one packet.
    pub(crate) async fn speak(&mut self, payload: &[u8]) {
        let payload = STANDARD.encode(payload);
        let media = json!({"payload": payload, "track": "outbound"});
        let stream_id = self.stream_id.clone();
        self.send(json!({"event": "media", "stream_id": stream_id, "media": media}))
            .await;
    }

    /// The code of the close frame that comes; `None` when the socket is cut.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.message().await {
                Some(Message::Close(close)) => return close.map(|close| close.code.into()),
                Some(_) => {}
                None => return None,
            }
        }
    }
}

/// µ-law of about ±8000: anything but silence.
pub(crate) const LOUD: u8 = 0xa0;

pub(crate) fn answering(says: Says, hangs_up: HangsUp) -> Config {
    let mut config = quick(Answer::After(ms(1)));
    config.callee = Callee {
        answer: Answer::After(ms(1)),
        says,
        hangs_up,
        ..Callee::echoing()
    };
    config
}

pub(crate) fn patient() -> Config {
    answering(Says::Silence, HangsUp::Never)
}

/// A service, a device, and a call whose media socket is open and started.
pub(crate) struct Talk {
    pub(crate) simulator: Running,
    pub(crate) device: Device,
    pub(crate) call: String,
    pub(crate) media: Media,
}

impl Talk {
    /// For raw audio both ways.
    pub(crate) async fn begin(config: Config) -> Self {
        Self::begin_with(config, RAW).await
    }

    pub(crate) async fn begin_with(config: Config, answer: Headers) -> Self {
        let simulator = start(config).await;
        let device = Device::listen().await;
        let call = Client::new(&simulator).placed(&device.url()).await;
        let mut media = device.accept_with(answer).await;
        media.frame_of("start").await;
        Self {
            simulator,
            device,
            call,
            media,
        }
    }

    pub(crate) async fn over(&self) -> Call {
        over(&self.simulator.handle, &self.call).await
    }

    pub(crate) async fn event(&self, wanted: impl FnMut(&What) -> bool) {
        event(&self.simulator.handle, &self.call, wanted).await;
    }

    pub(crate) fn heard(&self) -> Vec<i16> {
        self.simulator.handle.heard(&self.call).unwrap()
    }
}

pub(crate) fn payload(frame: &Value) -> Vec<u8> {
    let text = frame["media"]["payload"].as_str().unwrap();
    STANDARD.decode(text).unwrap()
}

pub(crate) fn loud_samples(heard: &[i16]) -> usize {
    heard.iter().filter(|sample| sample.abs() > 4000).count()
}
