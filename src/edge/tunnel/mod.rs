//! The way in from the internet, where a router stands before the device: a
//! tunnel that the device itself keeps up.
//!
//! ```text
//!              ┌────────────── thread `tunnel` ─────────────┐
//!  Config ───▶ │ start ─▶ listen, round trips ─▶ over, hung │ ──Status──▶ daemon
//!              │   ▲                               │        │
//!  Signs ────▶ │   └───────────── pause ◀──────────┘        │
//!              └────────────────────────────────────────────┘
//!        service ═▶ far end of the tunnel ═▶ loopback ═▶ the door (edge/ingress)
//! ```
//!
//! Two kinds ([`Carrier`]): a program of the installer's choice, and the
//! service's own tunnel. Both end in a connection to the door over loopback,
//! so that the door knows one way in and judges all alike.
//!
//! Whether it carries is judged by round trips through the public address
//! (`pulse`), not by its being there: an ssh that hangs is as good as none. It
//! is started again with growing pauses and without end, since nobody is there
//! to do it; only when another device has taken it over it stays down: two
//! devices that take it from each other would both be deaf.
//!
//! Thread: one of its own with a runtime of its own, so that neither a name
//! server nor a TLS handshake of these trips delays a packet or a press.

mod program;
mod pulse;
#[cfg(feature = "tunnel")]
pub mod vendor;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

pub use self::program::PORT;
use self::program::Program;
pub use self::pulse::{Media, Signs, Timing};
use self::pulse::{Pauses, Pulse};
use super::ingress::Routes;
use super::round_trip::{Route, round_trip};
use crate::trace::{Counter, Trace};
use crate::wire::handshake::Token;
use crate::wire::rest::WsUrl;

/// How long [`Tunnel::stop`] waits in all. What is not gone by then ends with
/// the process.
pub const STOP_WITHIN: Duration = Duration::from_millis(400);
/// A tunnel that the service refuses for a reason that a person has to see to
/// is tried again this often.
#[cfg(feature = "tunnel")]
const REFUSED_PAUSE: Duration = Duration::from_secs(120);

/// What keeps the device reachable.
#[derive(Debug, Clone)]
pub struct Config {
    /// What carries.
    pub carrier: Carrier,
    /// What the service dials; `None` where the carrier tells.
    pub public_url: Option<WsUrl>,
    /// One more certificate authority to trust on round trips, PEM.
    pub extra_ca: Option<PathBuf>,
    /// How it is judged.
    pub timing: Timing,
}

/// What carries.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// This program with these arguments; [`PORT`] in them is filled in.
    Program(Vec<String>),
    /// The service's own tunnel.
    #[cfg(feature = "tunnel")]
    Vendor(vendor::Config),
}

/// How the tunnel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was started, and nothing has come through it yet.
    Starting,
    /// It carries.
    Up,
    /// It is down for this reason, and started again soon.
    Down(String),
    /// It is refused for a reason a person has to see to; tried again now and then.
    Refused(String),
    /// Another device has taken it over. Nothing is tried any more.
    Superseded,
}

/// The tunnel in a few words.
#[derive(Debug, Clone)]
pub struct Status {
    /// How it is.
    pub state: State,
    /// Since when it is so.
    pub since: Instant,
    /// Since when it does not carry; `None` while it does.
    pub down_since: Option<Instant>,
    /// How often it was started.
    pub starts: u64,
    /// Process id of the program.
    pub process: Option<u32>,
    /// What the service dials, as soon as it is known.
    pub public_url: Option<WsUrl>,
    /// The last line the program wrote.
    pub said: Option<String>,
    /// The latest round trip: how long it took, or why it failed.
    pub trip: Option<Result<Duration, String>>,
}

impl Status {
    fn new(public_url: Option<WsUrl>) -> Self {
        let now = Instant::now();
        Self {
            state: State::Starting,
            since: now,
            down_since: Some(now),
            starts: 0,
            process: None,
            public_url,
            said: None,
            trip: None,
        }
    }

    /// Whether somebody has to see to it: it was down for `patience`, or will
    /// not come up by itself.
    #[must_use]
    pub fn needs_care(&self, now: Instant, patience: Duration) -> bool {
        let down = self.down_since;
        matches!(self.state, State::Superseded | State::Refused(_))
            || down.is_some_and(|at| now.saturating_duration_since(at) >= patience)
    }
}

/// A tunnel that is kept up until it is told to stop, or dropped.
#[derive(Debug)]
pub struct Tunnel {
    status: watch::Receiver<Status>,
    signs: watch::Sender<Signs>,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
    patience: Duration,
}

impl Tunnel {
    /// Begins to keep it up: streams then come in at `door`, and round trips by
    /// `routes`.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(
        config: Config,
        door: SocketAddr,
        routes: Routes,
        trace: Arc<Trace>,
    ) -> io::Result<Self> {
        let (status_tx, status) = watch::channel(Status::new(config.public_url.clone()));
        let (signs, signs_rx) = watch::channel(Signs::default());
        let (stop, stopped) = oneshot::channel();
        let (ended_tx, ended) = oneshot::channel();
        let patience = config.timing.patience;
        let keeper = Keeper {
            pulse: Pulse::new(config.timing.clone(), Instant::now()),
            pauses: Pauses::new(&config.timing),
            config,
            door,
            routes,
            trace,
            status: status_tx,
            signs: signs_rx,
            random: SystemRandom::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .thread_stack_size(256 * 1024)
            .build()?;
        std::thread::Builder::new()
            .name("tunnel".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || {
                runtime.block_on(keeper.keep(stopped));
                // A name server that is still waited for must not keep us.
                runtime.shutdown_background();
                // Nobody waits any more when the process ends.
                _ = ended_tx.send(());
            })?;
        Ok(Self {
            status,
            signs,
            stop: Some(stop),
            ended,
            patience,
        })
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Whether somebody has to see to it.
    #[must_use]
    pub fn needs_care(&self, now: Instant) -> bool {
        self.status.borrow().needs_care(now, self.patience)
    }

    /// Its status whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Tells what it cannot see for itself.
    pub fn tell(&self, signs: Signs) {
        self.signs.send_if_modified(|told| {
            let new = *told != signs;
            *told = signs;
            new
        });
    }

    /// Ends it, within [`STOP_WITHIN`].
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if timeout(STOP_WITHIN, &mut self.ended).await.is_err() {
            tracing::warn!("the tunnel did not end in time");
        }
    }
}

/// Keeps it up.
struct Keeper {
    config: Config,
    door: SocketAddr,
    routes: Routes,
    trace: Arc<Trace>,
    status: watch::Sender<Status>,
    signs: watch::Receiver<Signs>,
    random: SystemRandom,
    pulse: Pulse,
    pauses: Pauses,
}

/// How a run of the carrier ended.
enum Over {
    /// By itself, or it could not start.
    Ended(String),
    /// It was ended, since nothing came through.
    Hung(String),
    /// See [`State::Refused`].
    #[cfg(feature = "tunnel")]
    Refused(String),
    /// See [`State::Superseded`].
    #[cfg(feature = "tunnel")]
    Superseded,
}

impl Keeper {
    async fn keep(mut self, stopped: oneshot::Receiver<()>) {
        let mut stopped = pin!(async {
            // Dropped: time to stop.
            _ = stopped.await;
        });
        loop {
            let Some(over) = self.run(stopped.as_mut()).await else {
                return;
            };
            let carried = self.pulse.is_up();
            let pause = self.pauses.next(carried, self.random_byte());
            let pause = match over {
                Over::Ended(why) => {
                    self.trace.count(Counter::TunnelEnds);
                    tracing::warn!("the tunnel is down: {why}");
                    self.set(State::Down(why));
                    pause
                }
                Over::Hung(why) => {
                    self.trace.count(Counter::TunnelHangs);
                    tracing::warn!("the tunnel is started anew: {why}");
                    self.set(State::Down(why));
                    pause
                }
                #[cfg(feature = "tunnel")]
                Over::Refused(why) => {
                    self.trace.count(Counter::TunnelEnds);
                    tracing::error!("the tunnel is refused: {why}");
                    self.set(State::Refused(why));
                    REFUSED_PAUSE
                }
                #[cfg(feature = "tunnel")]
                Over::Superseded => {
                    self.trace.count(Counter::TunnelEnds);
                    tracing::error!(
                        "another device has taken over this device's tunnel, and gets its calls; \
                         give each device a tunnel of its own, then restart callbox"
                    );
                    self.set(State::Superseded);
                    return stopped.await;
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped.as_mut() => return,
            }
        }
    }

    /// One run of the carrier; `None` when it was told to stop.
    async fn run(
        &mut self,
        mut stopped: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Option<Over> {
        self.trace.count(Counter::TunnelStarts);
        self.status.send_modify(|status| {
            status.starts += 1;
            status.process = None;
            status.trip = None;
        });
        self.set(State::Starting);
        self.pulse.start(Instant::now());
        let started = tokio::select! {
            started = Running::start(&self.config.carrier, self.door, &self.trace) => started,
            () = stopped.as_mut() => return None,
        };
        let mut running = match started {
            Ok(running) => running,
            Err(over) => return Some(over),
        };
        self.status.send_modify(|status| {
            status.process = running.process();
            if let Some(url) = running.public_url() {
                status.public_url = Some(url);
            }
        });
        // The carrier may have needed time before there was anything to judge.
        self.pulse.start(Instant::now());
        let over = tokio::select! {
            over = self.watch(&mut running) => Some(over),
            () = stopped.as_mut() => None,
        };
        let said = running.said();
        self.status.send_modify(|status| {
            status.process = None;
            status.said = said.clone().or(status.said.take());
        });
        // One that hangs does not listen, and somebody waits.
        let patience = match over {
            Some(Over::Hung(_)) => Duration::ZERO,
            _ => program::TIDY_UP,
        };
        running.stop(patience).await;
        Some(match (over?, said) {
            (Over::Ended(why), Some(said)) => Over::Ended(format!("{why} and said: {said}")),
            (over, _) => over,
        })
    }

    /// Listens to the carrier and makes round trips, until it is over.
    async fn watch(&mut self, running: &mut Running) -> Over {
        loop {
            let signs = *self.signs.borrow_and_update();
            let due = self.pulse.due(signs);
            let wait = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let trip = tokio::select! {
                happened = running.next() => match happened {
                    Happened::Over(over) => return over,
                    #[cfg(feature = "tunnel")]
                    Happened::Line(line) => {
                        self.on_line(line);
                        continue;
                    }
                },
                changed = self.signs.changed() => {
                    if changed.is_err() {
                        // Nobody tells any more: the process ends.
                        std::future::pending::<()>().await;
                    }
                    continue;
                }
                () = wait => {
                    let trip = self.trip();
                    tokio::select! {
                        happened = running.next() => match happened {
                            Happened::Over(over) => return over,
                            #[cfg(feature = "tunnel")]
                            Happened::Line(line) => {
                                self.on_line(line);
                                continue;
                            }
                        },
                        trip = trip => trip,
                    }
                }
            };
            let said = running.said();
            if let Some(over) = self.on_trip(trip, said) {
                return over;
            }
            if running.is_stale() {
                return Over::Ended("its certificate is to be renewed".to_owned());
            }
        }
    }

    /// The service's own tunnel says how its line is.
    #[cfg(feature = "tunnel")]
    fn on_line(&mut self, line: vendor::Line) {
        tracing::info!("the service's tunnel is {}", line.word());
        match line {
            vendor::Line::Connected => {
                self.pulse.vouch();
                self.set(State::Up);
            }
            vendor::Line::Reconnecting => {
                let why = "the connection to the service broke, and is made anew";
                self.set(State::Down(why.to_owned()));
            }
            // How it began, and how it ends: others tell more of that.
            vendor::Line::Connecting | vendor::Line::Closed => {}
        }
    }

    /// Goes through the public address and back.
    async fn trip(&self) -> Result<Duration, String> {
        let Some(url) = self.status.borrow().public_url.clone() else {
            return Err("its public address is not known".to_owned());
        };
        let mut bytes = [0; 24];
        if self.random.fill(&mut bytes).is_err() {
            return Err("the system gives no random numbers".to_owned());
        }
        let token = Token::from_random(bytes);
        let path = token.probe_path();
        self.routes.open_probe(token);
        let route = Route {
            url: &url,
            at: None,
            plain: false,
            extra_ca: self.config.extra_ca.as_deref(),
        };
        let longest = self.config.timing.trip;
        let gone = timeout(longest, round_trip(route, &path, token.as_str())).await;
        match gone {
            Ok(Ok(trip)) => Ok(trip.took),
            Ok(Err(broken)) => Err(broken.to_string()),
            Err(_) => Err(format!(
                "nothing comes back within {} s",
                longest.as_secs_f64()
            )),
        }
    }

    fn on_trip(&mut self, trip: Result<Duration, String>, said: Option<String>) -> Option<Over> {
        self.trace.count(match &trip {
            Ok(_) => Counter::TunnelTrips,
            Err(_) => Counter::TunnelTripsFailed,
        });
        let signs = *self.signs.borrow();
        let hung = self.pulse.on_trip(Instant::now(), trip.is_ok(), signs);
        if trip.is_ok() {
            self.set(State::Up);
        }
        let why = trip.as_ref().err().cloned();
        self.status.send_modify(|status| {
            status.trip = Some(trip);
            status.said = said.or(status.said.take());
        });
        let why = why.filter(|_| hung)?;
        Some(Over::Hung(format!("round trips fail: {why}")))
    }

    fn set(&self, state: State) {
        self.status.send_if_modified(|status| {
            if status.state == state {
                return false;
            }
            let now = Instant::now();
            status.down_since = match state {
                State::Up => None,
                _ => status.down_since.or(Some(now)),
            };
            status.state = state;
            status.since = now;
            true
        });
    }

    fn random_byte(&self) -> u8 {
        let mut byte = [0];
        // Without chance they merely come back together.
        _ = self.random.fill(&mut byte);
        byte[0]
    }
}

/// What a carrier says.
enum Happened {
    /// It is over.
    Over(Over),
    /// How its line is.
    #[cfg(feature = "tunnel")]
    Line(vendor::Line),
}

/// A carrier that was started.
enum Running {
    Program(Box<Program>),
    #[cfg(feature = "tunnel")]
    Vendor(vendor::Vendor),
}

impl Running {
    async fn start(carrier: &Carrier, door: SocketAddr, trace: &Arc<Trace>) -> Result<Self, Over> {
        match carrier {
            Carrier::Program(argv) => match Program::start(argv, door.port(), Arc::clone(trace)) {
                Ok(program) => {
                    tracing::info!("the tunnel program {} was started", argv[0]);
                    Ok(Self::Program(Box::new(program)))
                }
                Err(error) => Err(Over::Ended(format!("cannot start {}: {error}", argv[0]))),
            },
            #[cfg(feature = "tunnel")]
            Carrier::Vendor(config) => vendor::Vendor::start(config, door).await.map(Self::Vendor),
        }
    }

    fn process(&self) -> Option<u32> {
        match self {
            Self::Program(program) => program.id(),
            #[cfg(feature = "tunnel")]
            Self::Vendor(_) => None,
        }
    }

    fn public_url(&self) -> Option<WsUrl> {
        match self {
            Self::Program(_) => None,
            #[cfg(feature = "tunnel")]
            Self::Vendor(vendor) => Some(vendor.public_url()),
        }
    }

    fn said(&self) -> Option<String> {
        match self {
            Self::Program(program) => program.said().map(str::to_owned),
            #[cfg(feature = "tunnel")]
            Self::Vendor(_) => None,
        }
    }

    /// Whether it should be started anew when that disturbs nobody.
    fn is_stale(&mut self) -> bool {
        match self {
            Self::Program(_) => false,
            #[cfg(feature = "tunnel")]
            Self::Vendor(vendor) => vendor.is_stale(Instant::now()),
        }
    }

    /// Until there is something to say of it.
    async fn next(&mut self) -> Happened {
        match self {
            Self::Program(program) => {
                let ended = program.ended().await;
                Happened::Over(Over::Ended(format!("the program {ended}")))
            }
            #[cfg(feature = "tunnel")]
            Self::Vendor(vendor) => vendor.next().await,
        }
    }

    async fn stop(self, patience: Duration) {
        match self {
            Self::Program(program) => _ = program.stop(patience).await,
            #[cfg(feature = "tunnel")]
            Self::Vendor(vendor) => vendor.stop().await,
        }
    }
}
