//! The one door into the device: it lets the service's media streams in, and
//! turns everybody else away.
//!
//! ```text
//!  accept ─▶ [TLS] ─▶ head ─▶ signature ─▶ route ─▶ 101 ─▶ Accepted ─▶ daemon
//!     │         │       │         │          │
//!     └─────────┴───────┴─────────┴──────────┴──▶ refused, counted, closed
//! ```
//!
//! Two modes: [`Mode::Plain`] listens behind a proxy or tunnel on the same
//! machine that holds the public URL and its TLS; [`Mode::Tls`] has a
//! certificate of its own.
//!
//! Two ways in ([`RouteOf`]): each call that is placed has a path of its own;
//! calls to the device share one that stays, and so must be signed and must
//! name an inbound call. Whether that call is wanted is the daemon's to find
//! out.
//!
//! Always true: nothing is parsed before it is known to be small; a
//! connection has [`HANDSHAKE_TIMEOUT`] in all, however slowly it trickles; no
//! more than [`HANDSHAKES_MAX`] strangers are listened to at once, and as many
//! more are being told why not; when all places are taken, the oldest stranger
//! gives way to the newcomer ([`STAY_MIN`]). What is let in is on no runtime
//! ([`Upgraded`]), so that the media runtime can take it.
//!
//! Thread: control runtime.

mod crowd;
mod line;
mod routes;
mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::edge::realtime;
use crate::trace::{Counter, Trace};
use crate::units::{self, AttemptId, CallId, SocketId};
use crate::wire::handshake::{
    self, Context, Freshness, HEAD_MAX, Refusal, Request, Seen, SigningKey, Target, Token,
};

pub use crowd::STAY_MIN;
use crowd::{Crowd, Place};
use line::Line;
pub use line::{Stream, Upgraded};
use routes::Missed;
pub use routes::{PROBES_MAX, ROUTES_MAX, RouteOf, Routes};
use tls::Certificate;
pub use tls::{Files, TlsError, chain};

/// Strangers listened to at once. A call needs one, a takeover two.
pub const HANDSHAKES_MAX: usize = 16;
/// All the time a connection has until it is let in.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// All the time a refusal may take, the asker's reading included.
pub const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Events that the daemon has not yet taken.
pub const EVENTS_MAX: usize = 8;
/// Pause after the system could not accept: no descriptors left, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections the kernel may hold until they are accepted.
const BACKLOG: u32 = 64;
/// Bytes of sound and its packaging the kernel may hold to be sent. It counts
/// twice that, and each small packet at more than a kilobyte, so this is some
/// 25 packets, 500 ms: the backstop behind the finer limit of `edge::socket`.
const SEND_BUFFER: u32 = 16 * 1024;
/// A socket is writable only while less than this waits to be sent for the
/// first time: about four packets.
const NOT_SENT: u32 = 1024;

/// How the service reaches the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Plain WebSocket, for a proxy or tunnel that does the TLS.
    Plain,
    /// TLS with the device's own certificate.
    Tls(Files),
}

/// Settings of the ingress.
#[derive(Debug)]
pub struct Config {
    /// Where to listen. Loopback behind a proxy; port 0 takes any free port.
    pub listen: SocketAddr,
    /// With or without TLS.
    pub mode: Mode,
    /// The service's signing key. Without one, the unguessable path of each
    /// call is all that tells the service from a stranger, and inbound calls
    /// are not let in at all: their path is not of one call.
    pub signing_key: Option<SigningKey>,
}

/// Unix time by the service's own clock, once that is known.
pub type ServiceTime = Arc<dyn Fn() -> Option<i64> + Send + Sync>;

/// What happens at the door that the daemon has to know of.
#[derive(Debug)]
pub enum Event {
    /// A stream was let in.
    Accepted(Accepted),
    /// A stream of another call came by an attempt's path and was refused. The
    /// service runs that call all the same: it has to be hung up.
    Stray {
        /// Whose path it was.
        attempt: AttemptId,
        /// The call that should not be.
        call: CallId,
    },
}

/// A media stream that was let in.
#[derive(Debug)]
pub struct Accepted {
    /// The path it came by.
    pub route: RouteOf,
    /// What the answer asked the service for.
    pub mode: units::Mode,
    /// Its own name.
    pub socket: SocketId,
    /// What the service says about the call.
    pub context: Option<Context>,
    /// The connection.
    pub upgraded: Upgraded,
}

/// Why the ingress cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or not allowed.
    #[error(
        "cannot listen on {address}: {source}; choose another address or port for the ingress, \
         or stop what uses this one"
    )]
    Listen {
        /// The address in the configuration.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An inbound path is open, and no signature would be checked on it.
    #[error(
        "inbound calls need the service's signing key: put it in a file, and its path in \
         [service] signing_key_file; or set [inbound] action = \"refuse\""
    )]
    Unsigned,
}

/// See the [module page](self).
pub struct Ingress {
    listener: TcpListener,
    door: Arc<Door>,
}

/// What the handshakes share.
struct Door {
    certificate: Option<Mutex<Certificate>>,
    signing_key: Option<SigningKey>,
    seen: Mutex<Seen>,
    began: Instant,
    service_time: ServiceTime,
    routes: Routes,
    sockets: AtomicU32,
    events: mpsc::Sender<Event>,
    /// Refusals that may be under way.
    refusals: Semaphore,
    trace: Arc<Trace>,
}

impl Ingress {
    /// Listens, and reads the certificate. Streams that were let in come out
    /// of the receiver while [`run`](Self::run) runs. An inbound path must be
    /// in `routes` by now.
    ///
    /// # Errors
    /// The text says what to change.
    pub fn bind(
        config: Config,
        routes: Routes,
        service_time: ServiceTime,
        trace: Arc<Trace>,
    ) -> Result<(Self, mpsc::Receiver<Event>), BindError> {
        if config.signing_key.is_none() && routes.has_inbound() {
            return Err(BindError::Unsigned);
        }
        let certificate = match config.mode {
            Mode::Plain => None,
            Mode::Tls(files) => Some(Mutex::new(Certificate::load(files)?)),
        };
        let listener = listen(config.listen).map_err(|source| BindError::Listen {
            address: config.listen,
            source,
        })?;
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let door = Door {
            certificate,
            signing_key: config.signing_key,
            seen: Mutex::default(),
            began: Instant::now(),
            service_time,
            routes,
            sockets: AtomicU32::new(0),
            events: sender,
            refusals: Semaphore::new(HANDSHAKES_MAX),
            trace,
        };
        let ingress = Self {
            listener,
            door: Arc::new(door),
        };
        Ok((ingress, receiver))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Lets streams in, until it is dropped; handshakes under way end with it.
    pub async fn run(self) {
        let mut handshakes = JoinSet::new();
        let mut crowd = Crowd::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        self.door.trace.count(Counter::IngressConnections);
                        let place = crowd.place().await;
                        let door = Arc::clone(&self.door);
                        handshakes.spawn(async move { door.serve(socket, place).await });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = handshakes.join_next() => {}
            }
        }
    }
}

impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingress")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

/// Accepted sockets take their buffer's size from the one that listens.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Small packets go out as they come, and wait in our ring, where they can be
/// dropped, rather than in the kernel, where they cannot.
fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    realtime::set_notsent_lowat(socket, NOT_SENT)
}

impl Door {
    /// One connection, from its first byte to `Accepted` or its end.
    async fn serve(&self, socket: TcpStream, mut place: Place) {
        let deadline = tokio::time::Instant::now() + HANDSHAKE_TIMEOUT;
        if let Err(error) = tune(&socket) {
            tracing::debug!(%error, "the connection was gone before it began");
            return;
        }
        let secured = tokio::select! {
            // Whoever is done has the better right.
            biased;
            secured = timeout_at(deadline, self.secure(socket)) => secured,
            // A word would cost the rest of the TLS handshake.
            () = place.wanted() => return self.trace.count(Refusal::Crowded.counter()),
        };
        let stream = match secured {
            Ok(Ok(stream)) => stream,
            Ok(Err(Unsecured::Plain(stream))) => {
                self.refuse(stream, Refusal::PlainOnTls, place).await;
                return;
            }
            Ok(Err(Unsecured::Broken(error))) => {
                tracing::debug!(%error, "TLS handshake failed");
                self.trace.count(Counter::IngressTls);
                return;
            }
            Err(_) => return self.trace.count(Counter::IngressTimeouts),
        };
        self.greet(stream, deadline, place).await;
    }

    /// Does the TLS handshake, if this door has one.
    async fn secure(&self, socket: TcpStream) -> Result<Stream, Unsecured> {
        let Some(certificate) = &self.certificate else {
            return Ok(Stream::plain(Line::new(socket)));
        };
        // Somebody who forgot the s in https:// deserves an answer in words.
        let mut first = [0];
        socket.peek(&mut first).await?;
        if first[0].is_ascii_uppercase() {
            return Err(Unsecured::Plain(Stream::plain(Line::new(socket))));
        }
        let config: Arc<ServerConfig> = certificate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .current();
        let accept = TlsAcceptor::from(config).accept(Line::new(socket));
        Ok(Stream::tls(accept.await?))
    }

    async fn greet(&self, mut stream: Stream, deadline: tokio::time::Instant, mut place: Place) {
        let read = tokio::select! {
            biased;
            read = timeout_at(deadline, read_head(&mut stream)) => read,
            () = place.wanted() => {
                return self.refuse(stream, Refusal::Crowded, place).await;
            }
        };
        let judged = match read {
            Ok(Ok(Some(head))) => self.judge(head),
            Ok(Ok(None)) => Err(Refusal::NotHttp),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection broke in its handshake");
                return self.trace.count(Counter::HandshakesMalformed);
            }
            Err(_) => Err(Refusal::TooSlow),
        };
        let verdict = match judged {
            Ok(verdict) => verdict,
            Err(refusal) => return self.refuse(stream, refusal, place).await,
        };
        // No stranger any more: he gives way to nobody.
        drop(place);
        let done = match verdict {
            Verdict::Stream(welcome) => timeout_at(deadline, welcome.open(stream)).await,
            Verdict::Probe(token, key) => {
                timeout_at(deadline, answer_probe(stream, token, key)).await
            }
        };
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection broke in its handshake"),
            Err(_) => self.trace.count(Counter::IngressTimeouts),
        }
    }

    fn judge(&self, head: Head) -> Result<Verdict<'_>, Refusal> {
        let (request, early) = head?;
        match request.target {
            Target::Probe(token) if self.routes.take_probe(&token) => {
                return Ok(Verdict::Probe(token, request.key));
            }
            Target::Probe(_) => return Err(Refusal::UnknownPath),
            Target::Media(_) | Target::Inbound(_) => {}
        }
        self.check_signature(&request)?;
        let found = self.routes.find(&request.target, request.context.as_ref());
        let (route, mode) = found.map_err(|missed| self.on_missed(missed))?;
        let key = request.key.ok_or(Refusal::NotWebSocket)?;
        let place = self.events.try_reserve().map_err(|_| Refusal::Crowded)?;
        let socket = SocketId(self.sockets.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(Verdict::Stream(Welcome {
            route,
            mode,
            socket,
            context: request.context,
            key,
            early,
            place,
        }))
    }

    fn on_missed(&self, missed: Missed) -> Refusal {
        match missed {
            Missed::Refused(refusal) => refusal,
            Missed::Stray { attempt, call } => {
                // The service may come again where there is no room now.
                if self
                    .events
                    .try_send(Event::Stray { attempt, call })
                    .is_err()
                {
                    self.trace.count(Counter::EventsDropped);
                }
                Refusal::OtherCall
            }
        }
    }

    fn check_signature(&self, request: &Request) -> Result<(), Refusal> {
        let Some(key) = &self.signing_key else {
            return match request.target {
                Target::Inbound(_) => Err(Refusal::Forged),
                Target::Media(_) | Target::Probe(_) => Ok(()),
            };
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = request.signed.as_ref();
        let verdict = key.verify(
            signed,
            (self.service_time)(),
            self.began.elapsed(),
            &mut seen,
        );
        match verdict {
            Ok(Freshness::Fresh) => Ok(()),
            Ok(Freshness::Unjudged) => {
                self.trace.count(Counter::HandshakesUnjudged);
                Ok(())
            }
            Err(refusal) => {
                // Only the service knows the path, so it is our key that is wrong.
                if self.routes.knows(&request.target) {
                    tracing::warn!(
                        %refusal,
                        "the media stream of a call was refused: check that signing_key is the \
                         one the service's console shows, and that the clock is right"
                    );
                }
                Err(refusal)
            }
        }
    }

    /// Frees the place, and answers as long as not too many are being answered.
    async fn refuse(&self, stream: Stream, refusal: Refusal, place: Place) {
        drop(place);
        self.trace.count(refusal.counter());
        tracing::debug!(%refusal, "connection refused");
        if let Ok(_permit) = self.refusals.try_acquire() {
            turn_away(stream, refusal).await;
        }
    }
}

/// Why there is no secured stream.
enum Unsecured {
    Plain(Stream),
    Broken(io::Error),
}

impl From<io::Error> for Unsecured {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

type Head = Result<(Request, Vec<u8>), Refusal>;

/// Reads up to the end of the head; what is behind it comes with it. `None`
/// when the other side ended first.
async fn read_head(stream: &mut Stream) -> io::Result<Option<Head>> {
    let mut bytes = vec![0; HEAD_MAX];
    let mut length = 0;
    loop {
        match stream.read(&mut bytes[length..]).await? {
            0 => return Ok(None),
            n => length += n,
        }
        match handshake::parse(&bytes[..length]) {
            Ok(None) => {}
            Ok(Some((request, head))) => {
                return Ok(Some(Ok((request, bytes[head..length].to_vec()))));
            }
            Err(refusal) => return Ok(Some(Err(refusal))),
        }
    }
}

/// What is done with a request.
enum Verdict<'a> {
    Stream(Welcome<'a>),
    Probe(Token, Option<String>),
}

/// A stream that is let in as soon as it has its answer.
struct Welcome<'a> {
    route: RouteOf,
    mode: units::Mode,
    socket: SocketId,
    context: Option<Context>,
    key: String,
    early: Vec<u8>,
    place: mpsc::Permit<'a, Event>,
}

impl Welcome<'_> {
    async fn open(self, mut stream: Stream) -> io::Result<()> {
        let answer = handshake::accept(&self.key, self.mode);
        stream.write_all(&answer).await?;
        stream.flush().await?;
        self.place.send(Event::Accepted(Accepted {
            route: self.route,
            mode: self.mode,
            socket: self.socket,
            context: self.context,
            upgraded: Upgraded::detach(stream, self.early)?,
        }));
        Ok(())
    }
}

/// Says the token back: in a message to a WebSocket, in the body to a GET.
async fn answer_probe(mut stream: Stream, token: Token, key: Option<String>) -> io::Result<()> {
    let Some(key) = key else {
        stream.write_all(&handshake::echo(&token)).await?;
        return stream.shutdown().await;
    };
    let answer = handshake::accept(&key, units::Mode::default());
    stream.write_all(&answer).await?;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let sent = async {
        socket.send(Message::text(token.as_str())).await?;
        socket.close(None).await
    };
    sent.await.map_err(io::Error::other)
}

/// Answers a refusal, and reads on until the asker is done: closing with bytes
/// unread would tear the answer out of his hands (RFC 9112 §9.6).
async fn turn_away(mut stream: Stream, refusal: Refusal) {
    let answer = async {
        stream.write_all(&handshake::refuse(refusal)).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        let mut left = HEAD_MAX;
        while left > 0 {
            match stream.read(&mut rest).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        io::Result::Ok(())
    };
    // Whether he listens is his affair.
    _ = timeout(REFUSAL_TIMEOUT, answer).await;
}
