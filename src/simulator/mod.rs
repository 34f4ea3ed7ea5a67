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
//!                                     mouth, keypad, recognizer:
//!                                     the callee answers, speaks, presses keys, hangs up
//! ```
//!
//! `http`, `dial` and `leg` have sockets and a clock; the others have none. Everything runs as tasks of the caller's tokio
//! runtime; several simulators fit in one process.
//!
//! The bundled words are in `speech/`, 8 kHz, 16 bit, mono, −20 dBFS rms while
//! somebody speaks; `speech/make` makes them anew with espeak-ng and sox.
//!
//! Where the public documents leave a choice, the simulator takes one and
//! [`Service`] can change it. These are fixed: a callee who declines or does
//! not answer leaves the call `canceled`, and so does a caller who is rejected;
//! a `clear` sends back the marks it passes over, since nothing is left to play
//! before them; text is spoken when it is whole (`done`); `X-RateLimit-Reset`
//! is Unix time.
//!
//! Its REST side is described by [`OPENAPI`], which it serves at
//! `/openapi.json`.

mod api;
mod codec;
mod config;
mod dial;
mod event;
mod exchange;
mod frames;
mod http;
mod keypad;
mod leg;
mod line;
mod mouth;
mod pcma;
mod pcmu;
mod phone;
mod recognizer;
mod resample;
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

pub use codec::{BadEncoding, ByteOrder, Encoding};
pub use config::{
    API_KEY, Announce, Answer, ApiKey, Callee, Config, ContextShape, Fault, HangsUp, IDENTITY,
    IDENTITY_KEY, IncomingAction, Limits, NUMBER, NUMBER_ID, Number, ORGANIZATION, Route, Says,
    Service,
};
pub use event::{Event, Events, What};
pub use exchange::{Call, Direction, Party, Reason, Segment, Status};
pub use keypad::{Carried, KeyTone, Keys, Press};
pub(crate) use line::parse_time;
pub use line::{BadLine, Line, Stall};
pub use recognizer::Utterance;

use event::Journal;
use exchange::Exchange;
use phone::Phone;

/// What describes the REST side: an OpenAPI 3.1 document.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Recordings kept; the oldest gives way.
const RECORDINGS_KEPT: usize = 32;
/// Samples of all recordings together, when a new one begins: 128 MB.
const RECORDED_MAX: usize = 64 << 20;
/// Requests of the operator that may wait for a call's task.
const COMMANDS: usize = 64;

/// Starts simulated services.
pub struct Simulator;

impl Simulator {
    /// Listens, and serves from the present tokio runtime until the returned
    /// value is stopped or dropped.
    ///
    /// # Errors
    /// When the address cannot be listened on, a certificate of
    /// [`Service::extra_ca_pem`] cannot be read, or there is no such
    /// [`Service::encoding`].
    pub async fn start(config: Config) -> io::Result<Running> {
        let encoding = config.service.encoding;
        if !encoding.exists() {
            let why = format!("the service has no {encoding}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let trust = dial::trust(config.service.extra_ca_pem.as_deref())?;
        let listener = TcpListener::bind(config.listen).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (alive, all_gone) = mpsc::channel(1);
        let tasks = Tasks {
            runtime: tokio::runtime::Handle::current(),
            alive: alive.downgrade(),
        };
        let shared = Arc::new(Shared::new(config, origin, trust, tasks));
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

    /// What was said in a call, as far as the service spoke or listened.
    #[must_use]
    pub fn transcript(&self, call: &str) -> Vec<Segment> {
        self.shared.state().exchange.transcript(call).to_vec()
    }

    /// The number with this UUID, as it is set now.
    #[must_use]
    pub fn number(&self, number_id: &str) -> Option<Number> {
        self.shared.state().exchange.number(number_id).cloned()
    }

    /// Somebody calls the number `to` from `from`; both E.164. What becomes of
    /// that is the number's [`IncomingAction`]; if it is accepted, the caller
    /// does what the callee of `from` would do once answered. The UUID of the
    /// call; `None` when there is no such number in service, or the simulator
    /// has stopped.
    #[must_use]
    pub fn call_in(&self, from: &str, to: &str) -> Option<String> {
        self.shared.call_in(from, to)
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

    /// The callee presses a key of their telephone, which comes to the device
    /// as [`Keys::carried`] has it. `false`: the call is not up.
    pub fn digit(&self, call: &str, digit: char) -> bool {
        self.command(call, Command::Digit(digit))
    }

    /// The callee says this, for speech-to-text. `false`: the call is not up.
    pub fn say(&self, call: &str, text: &str) -> bool {
        self.command(call, Command::Say(text.into()))
    }

    /// What the callee has heard: 8000 samples a second from the moment they
    /// answered, with silence where nothing had come in time. `None` when the
    /// call was never answered, or its recording has given way to newer ones.
    #[must_use]
    pub fn heard(&self, call: &str) -> Option<Vec<i16>> {
        let wide = self.recording(call)?;
        Some(match wide.rate / speech::RATE {
            1 => wide.samples,
            factor => resample::down(&wide.samples, factor as usize),
        })
    }

    /// The same, as many samples a second as the encoding of the stream has.
    #[must_use]
    pub fn recording(&self, call: &str) -> Option<Recording> {
        let recording = {
            let state = self.shared.state();
            let (_, phone) = state.recordings.iter().find(|(id, _)| id == call)?;
            Arc::clone(phone)
        };
        let mut phone = recording.lock().unwrap_or_else(PoisonError::into_inner);
        phone.advance(Instant::now().into_std());
        Some(Recording {
            rate: phone.rate(),
            samples: phone.heard().to_vec(),
        })
    }

    /// Writes what the callee has heard as a WAV file, at the rate of the
    /// stream.
    ///
    /// # Errors
    /// When there is no recording, or the file cannot be written.
    pub fn save_heard(&self, call: &str, path: &Path) -> io::Result<()> {
        let heard = self.recording(call).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("call {call} was never answered: there is nothing to save"),
            )
        })?;
        speech::write_wav(path, heard.rate, &heard.samples)
    }

    fn command(&self, call: &str, command: Command) -> bool {
        self.shared.command(call, command)
    }
}

/// What a callee has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Samples a second.
    pub rate: u32,
    /// From the moment they answered.
    pub samples: Vec<i16>,
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
    Say(String),
}

/// What all tasks of a simulator share.
#[derive(Debug)]
struct Shared {
    origin: String,
    base_path: String,
    service: Service,
    trust: Arc<rustls::ClientConfig>,
    tasks: Tasks,
    journal: Journal,
    started: Instant,
    /// Wall time at `started`: stamps are this plus monotonic time.
    wall: Timestamp,
    stop: watch::Sender<bool>,
    state: Mutex<State>,
}

/// Where the tasks of calls run that no request has placed.
#[derive(Debug)]
struct Tasks {
    runtime: tokio::runtime::Handle,
    alive: mpsc::WeakSender<std::convert::Infallible>,
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
    fn new(config: Config, origin: String, trust: Arc<rustls::ClientConfig>, tasks: Tasks) -> Self {
        let now = Timestamp::now();
        Self {
            tasks,
            origin,
            base_path: config.base_path,
            service: config.service,
            trust,
            journal: Journal::new(),
            started: Instant::now(),
            wall: now,
            stop: watch::Sender::new(false),
            state: Mutex::new(State {
                exchange: Exchange::new(config.keys, config.numbers, config.limits, now),
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
        let length = |phone: &Mutex<Phone>| {
            let phone = phone.lock().unwrap_or_else(PoisonError::into_inner);
            phone.heard().len()
        };
        let mut samples: usize = state.recordings.iter().map(|(_, p)| length(p)).sum();
        while state.recordings.len() == RECORDINGS_KEPT || samples > RECORDED_MAX {
            let Some((_, oldest)) = state.recordings.pop_front() else {
                break;
            };
            samples -= length(&oldest);
        }
        state.recordings.push_back((call.into(), phone));
    }

    /// Starts the task of a call that was just entered.
    fn begin(self: &Arc<Self>, begins: &Begins, alive: &Alive) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (callee, line) = {
            let mut state = self.state();
            state.live.insert(begins.call.clone(), commands);
            let call = state.exchange.call(&begins.call);
            let own = call.and_then(|call| state.callees.get(&call.remote).cloned());
            (
                own.unwrap_or_else(|| state.callee.clone()),
                state.line.clone(),
            )
        };
        let leg = leg::Leg {
            shared: Arc::clone(self),
            call: begins.call.clone(),
            direction: begins.direction,
            detects_voicemail: begins.detects_voicemail,
            callee,
            line,
            inbox,
            alive: alive.clone(),
        };
        self.tasks.runtime.spawn(leg.run());
    }

    /// See [`Handle::call_in`].
    fn call_in(self: &Arc<Self>, from: &str, to: &str) -> Option<String> {
        let alive = self.tasks.alive.upgrade()?;
        let now = self.now();
        let (call, accepted) = {
            let mut state = self.state();
            let number = state.exchange.number_called(to)?;
            let blocked = number.blocked_callers.iter().any(|caller| caller == from);
            let accepts = number.incoming_call_action == IncomingAction::AutoAccept;
            let accepted = accepts && !blocked;
            if !number.active {
                return None;
            }
            let call = Call {
                id: new_id(),
                number_id: number.id.clone(),
                local: number.number.clone(),
                remote: from.to_owned(),
                direction: Direction::Inbound,
                status: Status::Initiated,
                url: number.client_websocket_url.clone().filter(|_| accepted),
                use_inkbox_tts: None,
                use_inkbox_stt: None,
                reason: None,
                started_at: None,
                ended_at: None,
                blocked,
                created_at: now,
                updated_at: now,
            };
            state.exchange.enter(call.clone());
            (call, accepted)
        };
        self.note(Some(&call.id), What::Status(Status::Initiated, None));
        if accepted {
            let begins = Begins {
                call: call.id.clone(),
                direction: Direction::Inbound,
                detects_voicemail: false,
            };
            self.begin(&begins, &alive);
        } else {
            self.advance(&call.id, Status::Canceled, Some(Reason::Rejected));
        }
        Some(call.id)
    }
}

/// A call whose task is to begin.
#[derive(Debug)]
struct Begins {
    call: String,
    direction: Direction,
    /// Whether a machine that answers is found out.
    detects_voicemail: bool,
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
