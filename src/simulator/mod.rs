//! A telephone service to try the device against: its API, a callee, and a
//! line with faults made to order.
//!
//! It is a server one talks to over sockets: real HTTP on one side, a real
//! WebSocket client that dials the device on the other. Nothing of the device
//! is linked into it. It has its own idea of every message (`crate::wire` is
//! not used here on purpose), so a mistake in ours shows.
//!
//! ```text
//!            ┌──────────── http ─ api ─▶ exchange (calls, limits)
//!  device ───┤                              ▲
//!            └── ws ── dial ─▶ line ─▶ leg ─┴─▶ phone ─▶ what the callee heard
//!                                       ▲
//!                                     callee: answers, speaks, hangs up
//! ```
//!
//! `exchange`, `line` and `phone` have no clock and no socket; `http`, `dial`
//! and `leg` are the rest. Everything runs as tasks of the caller's tokio
//! runtime; several simulators fit in one process.
//!
//! The bundled words are in `speech/`, 8 kHz, 16 bit, mono, −20 dBFS rms while
//! somebody speaks; `speech/make` makes them anew with espeak-ng and sox.
//!
//! Where the public documents leave a choice, the simulator takes one and
//! [`Service`] can change it. These are fixed: a callee who declines or does
//! not answer leaves the call `canceled`; a `clear` sends back the marks it
//! passes over, since nothing is left to play before them; `X-RateLimit-Reset`
//! is Unix time.

mod api;
mod config;
mod dial;
mod event;
mod exchange;
mod frames;
mod http;
mod leg;
mod line;
mod pcmu;
mod phone;
pub mod speech;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use config::{
    API_KEY, Announce, Answer, ApiKey, Callee, Config, ContextShape, Fault, HangsUp, IDENTITY,
    IDENTITY_KEY, Limits, NUMBER, NUMBER_ID, Number, ORGANIZATION, Route, Says, Service,
};
pub use event::{Event, Events, What};
pub use exchange::{Call, Direction, Reason, Status};
pub(crate) use line::parse_time;
pub use line::{BadLine, Line, Stall};

use event::Journal;
use exchange::Exchange;
use phone::Phone;

/// Recordings kept; the oldest gives way.
const RECORDINGS_KEPT: usize = 32;
/// Requests of the operator that may wait for a call's task.
const COMMANDS: usize = 64;

/// Starts simulated services.
pub struct Simulator;

impl Simulator {
    /// Listens, and serves from the present tokio runtime until the returned
    /// value is stopped or dropped.
    ///
    /// # Errors
    /// When the address cannot be listened on, or a certificate of
    /// [`Service::extra_ca_pem`] cannot be read.
    pub async fn start(config: Config) -> io::Result<Running> {
        let trust = dial::trust(config.service.extra_ca_pem.as_deref())?;
        let listener = TcpListener::bind(config.listen).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (alive, all_gone) = mpsc::channel(1);
        let shared = Arc::new(Shared::new(config, origin, trust));
        tokio::spawn(http::serve(Arc::clone(&shared), listener, alive));
        let handle = Handle { shared };
        Ok(Running {
            base_url: handle.base_url(),
            handle,
            all_gone,
        })
    }
}

/// A simulated service that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// What comes before `/place-call`: `http://127.0.0.1:1234/api/v1/phone`.
    pub base_url: String,
    /// Looks at it and changes it; may be cloned and sent to other threads.
    pub handle: Handle,
    all_gone: mpsc::Receiver<std::convert::Infallible>,
}

impl Running {
    /// Ends the calls that are up, closes the port and returns when every
    /// task is gone.
    pub async fn stop(mut self) {
        self.handle.shared.stop.send_replace(true);
        // Every task holds a sender; there is never a message.
        _ = self.all_gone.recv().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shared.stop.send_replace(true);
    }
}

/// Looks at a simulator that runs, and changes it. Any thread.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// What comes before `/place-call`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}{}", self.shared.origin, self.shared.base_path)
    }

    /// Scheme, host and port: what the vendor's SDK calls its base URL.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// Everything that happened, from the start, and what happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared.journal.read()
    }

    /// The calls on record, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().exchange.calls().to_vec()
    }

    /// The call with this UUID.
    #[must_use]
    pub fn call(&self, id: &str) -> Option<Call> {
        self.shared.state().exchange.call(id).cloned()
    }

    /// Puts a call on record that was made before, or was blocked.
    pub fn add_call(&self, call: Call) {
        self.shared.state().exchange.enter(call);
    }

    /// Who answers calls placed from now on.
    pub fn set_callee(&self, callee: Callee) {
        self.shared.state().callee = callee;
    }

    /// Who answers calls to the number `to` placed from now on.
    pub fn set_callee_for(&self, to: &str, callee: Callee) {
        self.shared.state().callees.insert(to.into(), callee);
    }

    /// What lies between for calls placed from now on.
    pub fn set_line(&self, line: Line) {
        self.shared.state().line = line;
    }

    /// Lets the next `times` requests of `route` go wrong. Faults are used up
    /// in the order they were set.
    pub fn fault(&self, route: Route, fault: Fault, times: u32) {
        let mut state = self.shared.state();
        state
            .faults
            .extend((0..times).map(|_| (route, fault.clone())));
    }

    /// Takes back the faults that were not used up.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Switches a number on or off; `false` when there is none with this UUID.
    pub fn set_active(&self, number_id: &str, active: bool) -> bool {
        self.shared.state().exchange.set_active(number_id, active)
    }

    /// Sets what organizations may use in 24 hours.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.state().exchange.set_limits(limits);
    }

    /// The callee hangs up, answered or not. `false`: the call is not up.
    pub fn hang_up(&self, call: &str) -> bool {
        self.command(call, Command::CalleeHangsUp)
    }

    /// Cuts the media socket without a close frame. `false`: the call is not up.
    pub fn drop_socket(&self, call: &str) -> bool {
        self.command(call, Command::DropSocket)
    }

    /// Closes the media socket with this code. `false`: the call is not up.
    pub fn close_socket(&self, call: &str, code: u16) -> bool {
        self.command(call, Command::CloseSocket(code))
    }

    /// Opens the media socket once more; the device sees a second one for the
    /// same call. `false`: the call is not up.
    pub fn redial(&self, call: &str) -> bool {
        self.command(call, Command::Redial)
    }

    /// Sends this text to the device as it is. `false`: the call is not up.
    pub fn send_frame(&self, call: &str, text: &str) -> bool {
        self.command(call, Command::Send(text.into()))
    }

    /// The callee presses a key of their telephone. `false`: the call is not up.
    pub fn digit(&self, call: &str, digit: char) -> bool {
        self.command(call, Command::Digit(digit))
    }

    /// What the callee has heard: 8000 samples a second from the moment they
    /// answered, with silence where nothing had come in time. `None` when the
    /// call was never answered, or its recording has given way to newer ones.
    #[must_use]
    pub fn heard(&self, call: &str) -> Option<Vec<i16>> {
        let recording = {
            let state = self.shared.state();
            let (_, phone) = state.recordings.iter().find(|(id, _)| id == call)?;
            Arc::clone(phone)
        };
        let mut phone = recording.lock().unwrap_or_else(PoisonError::into_inner);
        phone.advance(Instant::now().into_std());
        Some(phone.heard().to_vec())
    }

    /// Writes what the callee has heard as a WAV file.
    ///
    /// # Errors
    /// When there is no recording, or the file cannot be written.
    pub fn save_heard(&self, call: &str, path: &Path) -> io::Result<()> {
        let heard = self.heard(call).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("call {call} was never answered: there is nothing to save"),
            )
        })?;
        speech::write_wav(path, &heard)
    }

    fn command(&self, call: &str, command: Command) -> bool {
        self.shared.command(call, command)
    }
}

/// What somebody asks of a call that is up.
#[derive(Debug)]
enum Command {
    /// The device, over REST.
    HangUp,
    /// The callee.
    CalleeHangsUp,
    DropSocket,
    CloseSocket(u16),
    Redial,
    Send(String),
    Digit(char),
}

/// What all tasks of a simulator share.
#[derive(Debug)]
struct Shared {
    origin: String,
    base_path: String,
    service: Service,
    trust: Arc<rustls::ClientConfig>,
    journal: Journal,
    started: Instant,
    /// Wall time at `started`: stamps are this plus monotonic time.
    wall: Timestamp,
    stop: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    exchange: Exchange,
    callee: Callee,
    callees: HashMap<String, Callee>,
    line: Line,
    faults: VecDeque<(Route, Fault)>,
    /// The tasks of calls that are up.
    live: HashMap<String, mpsc::Sender<Command>>,
    recordings: VecDeque<(String, Arc<Mutex<Phone>>)>,
}

impl Shared {
    fn new(config: Config, origin: String, trust: Arc<rustls::ClientConfig>) -> Self {
        Self {
            origin,
            base_path: config.base_path,
            service: config.service,
            trust,
            journal: Journal::new(),
            started: Instant::now(),
            wall: Timestamp::now(),
            stop: watch::Sender::new(false),
            state: Mutex::new(State {
                exchange: Exchange::new(config.keys, config.numbers, config.limits),
                callee: config.callee,
                callees: HashMap::new(),
                line: config.line,
                faults: VecDeque::new(),
                live: HashMap::new(),
                recordings: VecDeque::new(),
            }),
        }
    }

    /// Never held over an `await`.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.started.elapsed()).unwrap_or_default();
        self.wall.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn note(&self, call: Option<&str>, what: What) {
        self.journal.write(Event {
            at: self.started.elapsed(),
            call: call.map(str::to_owned),
            what,
        });
    }

    /// Moves a call on and writes it down; `false` when it cannot go there.
    fn advance(&self, call: &str, status: Status, reason: Option<Reason>) -> bool {
        let now = self.now();
        let moved = self.state().exchange.advance(call, status, reason, now);
        if moved {
            self.note(Some(call), What::Status(status, reason));
        }
        moved
    }

    fn command(&self, call: &str, command: Command) -> bool {
        let state = self.state();
        let live = state.live.get(call);
        live.is_some_and(|live| live.try_send(command).is_ok())
    }

    fn record(&self, call: &str, phone: Arc<Mutex<Phone>>) {
        let mut state = self.state();
        if state.recordings.len() == RECORDINGS_KEPT {
            state.recordings.pop_front();
        }
        state.recordings.push_back((call.into(), phone));
    }

    /// Starts the task of a call that was just placed.
    fn begin(self: &Arc<Self>, call: &str, alive: &Alive) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (callee, line) = {
            let mut state = self.state();
            state.live.insert(call.into(), commands);
            let to = state.exchange.call(call).map(|call| call.remote.clone());
            let own = to.and_then(|to| state.callees.get(&to).cloned());
            (
                own.unwrap_or_else(|| state.callee.clone()),
                state.line.clone(),
            )
        };
        let leg = leg::Leg {
            shared: Arc::clone(self),
            call: call.to_owned(),
            callee,
            line,
            inbox,
            alive: alive.clone(),
        };
        tokio::spawn(leg.run());
    }
}

/// Held by every task; when the last one is dropped the simulator is gone.
type Alive = mpsc::Sender<std::convert::Infallible>;

/// Waits until the simulator is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives in `Shared`, which every task holds.
    _ = stop.wait_for(|stop| *stop).await;
}

/// A new random UUID (RFC 9562 §5.4).
fn new_id() -> String {
    let mut bytes = [0; 16];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes).expect("the system has random numbers");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let n = u128::from_be_bytes(bytes);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        n >> 80 & 0xffff,
        n >> 64 & 0xffff,
        n >> 48 & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

/// Whole milliseconds.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
