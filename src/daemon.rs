//! The loop that joins the rooms: wait, hand in, drain, act, shut down.
//!
//! ```text
//!            presses, edges        media events            answers
//!  media ────────────────┐  media ───────────┐  rest tasks ───────┐
//!                        ▼                   ▼                    ▼
//!  ingress ──streams──▶ ┌──────────────── Daemon ─────────────────┐ ◀── control socket
//!                       │  Call::handle ─▶ Call::poll ─▶ act       │ ◀── timers, signals
//!                       └──┬─────────┬──────────┬──────────┬───────┘
//!                          ▼         ▼          ▼          ▼
//!                       REST tasks  hub, lamp  engine     store
//! ```
//!
//! Everything that decides is elsewhere: [`call`] says what to do, and
//! `Daemon::act` does it, one line an [`Output`].
//!
//! Threads: [`run`] takes the calling thread for the control runtime and
//! starts the media runtime, the card's and the store's. All channels are
//! bounded; what happens when one is full is said where it is made.

mod attempts;
mod health;
mod media;
mod orphans;
mod reconcile;
mod service;
mod setup;
mod status;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep_until};

use crate::audio::engine::{Command, Ports};
use crate::audio::ring::{self, CommandTx};
use crate::audio::tone::Tone;
use crate::audio::{self, Stats};
use crate::call::{self, Call, Input, Output, Phase, Signal};
use crate::config::Hours;
use crate::edge::card::{self, Running};
use crate::edge::clock::{Reading, Stamp, WallClock};
use crate::edge::control::{Ask, ControlSocket};
use crate::edge::ingress::{self, Accepted, Ingress, RouteOf, Routes, Upgraded};
use crate::edge::realtime::Wake;
use crate::edge::rest::{self, Rest};
use crate::edge::socket::{self as stream, End, Flow, Hub, What};
use crate::edge::store::{self, Refused, Row, Saved, StoreHandle, Update};
use crate::panel::{self, Show};
use crate::trace::{Counter, Trace};
use crate::units::{AttemptId, ButtonId, ByteOrder, E164, Mode, SocketId};
use crate::wire::control::{Reply, Request};
use crate::wire::handshake::Token;
use crate::wire::rest::{ApiError, CallPage, Next, WsUrl};

use attempts::Attempts;
use health::Health;
use media::Media;
pub use media::{Face, Lines};
use orphans::Leftovers;
use service::Answered;
pub use setup::{Announcement, Button, Door, Inbound, Schedule, Target};

/// REST answers that wait for the loop. A task waits when it is full.
const ANSWERS: usize = 32;
/// Questions of the control socket that wait. Its clients wait when it is full.
const ASKS: usize = 4;
/// Notices that wait for whoever watches; what is more is not told.
const NOTICES: usize = 256;
/// Records the store's full queue handed back. They are few even in a busy
/// hour: beyond this a press is refused until the store has caught up.
const HELD_RECORDS: usize = 64;
/// The loop looks after itself this often: heartbeat, held records, clocks.
const ROUND: Duration = Duration::from_secs(1);
/// Seconds without the visitor's sound after which it is a fault.
const UNHEARD_AFTER: u32 = 3;
/// The press line is used this often, so that it stays open: below the 60 s
/// that `edge::rest` trusts it for.
const KEEP_WARM: Duration = Duration::from_secs(45);
/// While the service is not reached it is looked for this often.
const LOOK_FOR_SERVICE: Duration = Duration::from_secs(10);
/// From being told to stop until the loop ends in any case. A little more than
/// the call takes to give up by itself, so that its last record is written.
const STOP_WITHIN: Duration = Duration::from_millis(1600);
/// For the store's last commit.
const FLUSH_WITHIN: Duration = Duration::from_millis(350);

/// Where the control socket is and whose.
#[derive(Debug, Clone)]
pub struct Control {
    /// Its path.
    pub socket: std::path::PathBuf,
    /// The group that may use it.
    pub group: Option<String>,
}

/// Everything a device needs to know before it starts.
#[derive(Debug)]
pub struct Setup {
    /// The buttons, in the order of their ids.
    pub buttons: Vec<Button>,
    /// The number that calls.
    pub from: E164,
    /// What the service dials, without an attempt's path.
    pub public_url: WsUrl,
    /// The service.
    pub rest: rest::Config,
    /// The way in.
    pub ingress: ingress::Config,
    /// How a call goes.
    pub call: call::Config,
    /// How it sounds.
    pub audio: audio::Config,
    /// How presses are told from noise.
    pub panel: panel::Config,
    /// The records.
    pub store: store::Config,
    /// The control socket; `None` for a device without one.
    pub control: Option<Control>,
    /// The doors, in the order of their relays.
    pub doors: Vec<Door>,
    /// Announcements at set times.
    pub schedules: Vec<Schedule>,
    /// Calls to the device; `None`: they are refused.
    pub inbound: Option<Inbound>,
    /// What stands for `{place}` in texts.
    pub place: String,
    /// When nothing chimes, and calls to the device are refused.
    pub quiet: Hours,
    /// The zone of all hours and schedules.
    pub timezone: jiff::tz::TimeZone,
    /// The folder of the installer's WAV files.
    pub prompts: Option<PathBuf>,
    /// Decibels of one press of a volume button.
    pub volume_step_db: i8,
    /// Steps a visitor may go, up and down.
    pub volume_steps: i8,
    /// Which byte of a sample comes first, where the service sends L16.
    pub byte_order: ByteOrder,
}

/// What the device is plugged into: a real panel and card, or the demo's.
pub struct Hardware<F> {
    /// Buttons and lamp.
    pub face: F,
    /// Starts microphone and speaker around an engine with these ports.
    pub sound: StartSound,
}

/// Starts a card: settings and ports for the engine, the wake-up for packets,
/// the counters.
pub type StartSound =
    Box<dyn FnOnce(&audio::Config, Ports, Arc<Wake>, Arc<Trace>) -> io::Result<Running>>;

/// What happens, for whoever watches: the demo.
#[derive(Debug, Clone)]
pub enum Notice {
    /// Ready for a press.
    Ready,
    /// A button counted.
    Pressed(ButtonId),
    /// What the visitor is shown changed.
    Phase(Phase),
    /// The record of an attempt, as far as it is known.
    Record(Box<Row>),
    /// The service's own account of an attempt, by its token, went into the store.
    Reconciled(String),
}

/// Why a device does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread, a runtime or a socket could not be made.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The service's settings are of no use.
    #[error("{0}")]
    Rest(#[from] rest::SetupError),
    /// The way in cannot be opened.
    #[error("{0}")]
    Ingress(#[from] ingress::BindError),
}

/// A channel for [`run`]'s notices.
#[must_use]
pub fn notices() -> (mpsc::Sender<Notice>, mpsc::Receiver<Notice>) {
    mpsc::channel(NOTICES)
}

/// Runs a device until `stop` is done, then hangs up, writes the record and
/// returns, within two seconds.
///
/// # Errors
/// When it cannot start; trouble after that is lived through.
pub fn run<F: Face>(
    setup: Setup,
    hardware: Hardware<F>,
    notices: Option<mpsc::Sender<Notice>>,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_stack_size(256 * 1024)
        .build()?;
    let done = runtime.block_on(async {
        let (daemon, inlets) = Daemon::start(setup, hardware, notices)?;
        daemon.run(inlets, stop).await;
        Ok(())
    });
    runtime.shutdown_background();
    done
}

/// What the loop waits for.
struct Inlets {
    answers: mpsc::Receiver<Answered>,
    accepted: mpsc::Receiver<ingress::Event>,
    media: mpsc::Receiver<stream::Event>,
    panel: mpsc::Receiver<panel::Output>,
    asks: mpsc::Receiver<Ask>,
    card: mpsc::Receiver<card::Event>,
    ended: oneshot::Receiver<()>,
}

struct Daemon {
    buttons: Vec<Button>,
    ring_for: Duration,
    from: E164,
    public_url: WsUrl,
    store_config: store::Config,

    call: Call,
    inputs: VecDeque<Input>,
    attempts: Attempts,
    routes: Routes,
    random: SystemRandom,
    /// Streams let in that the call has not yet decided about.
    waiting: HashMap<SocketId, Upgraded>,
    /// The stream that carries the call.
    attached: Option<SocketId>,
    /// Seconds for which nothing of the visitor has gone out on it.
    unheard_s: u32,
    /// The button whose latest press began a call.
    began: Option<ButtonId>,
    /// What the visitor is shown.
    shown: Phase,
    /// When the loop ends, since somebody said stop.
    stopping: Option<Instant>,
    stopped: bool,

    rest: Rest,
    answers: mpsc::Sender<Answered>,
    media: Media,
    engine: CommandTx,
    sound: Running,
    stats: Arc<Stats>,
    store: StoreHandle,
    /// What the store's full queue handed back, oldest first.
    held: Vec<Update>,
    leftovers: Leftovers,
    clock: WallClock,
    /// When the limits' memory was saved, until its age is known.
    limits_saved: Option<Stamp>,
    online: Option<bool>,
    /// The service is being asked about ended calls: once at a time, however
    /// slowly it answers.
    reconciling: bool,
    /// What the service last said against us, until it says nothing.
    complaint: String,
    health: Health,
    trace: Arc<Trace>,
    started: Instant,
    notices: Option<mpsc::Sender<Notice>>,
}

impl Daemon {
    fn start<F: Face>(
        setup: Setup,
        hardware: Hardware<F>,
        notices: Option<mpsc::Sender<Notice>>,
    ) -> Result<(Self, Inlets), StartError> {
        let started = Instant::now();
        let trace = Arc::new(Trace::default());
        let (store, opened) = StoreHandle::open(setup.store.clone(), Arc::clone(&trace))?;
        let clock = WallClock::new(opened.kept.get(CLOCK).and_then(|text| Stamp::parse(text)));
        let (limits, limits_saved) = attempts::limits_from(opened.kept.get(LIMITS));

        let rest = Rest::new(setup.rest, Arc::clone(&trace))?;
        let routes = Routes::default();
        let service_time = {
            let rest = rest.clone();
            Arc::new(move || rest.service_time().map(|stamp| stamp.unix_ms() / 1000))
        };
        let (ingress, accepted) = Ingress::bind(
            setup.ingress,
            routes.clone(),
            service_time,
            Arc::clone(&trace),
        )?;
        tokio::spawn(ingress.run());

        let (ask, asks) = mpsc::channel(ASKS);
        if let Some(control) = &setup.control {
            let socket = ControlSocket::bind(&control.socket, control.group.as_deref())?;
            tokio::spawn(socket.serve(ask, Arc::clone(&trace)));
        }

        let wake = Arc::new(Wake::new()?);
        let (uplink_tx, uplink_rx) = ring::uplink();
        let (downlink_tx, downlink_rx) = ring::downlink();
        let (engine, commands) = ring::commands();
        let (events, engine_events) = ring::events();
        let stats = Arc::new(Stats::default());
        let ports = Ports {
            uplink: uplink_tx,
            downlink: downlink_rx,
            commands,
            events,
            stats: Arc::clone(&stats),
        };
        let mut sound =
            (hardware.sound)(&setup.audio, ports, Arc::clone(&wake), Arc::clone(&trace))?;
        if let Err(denied) = &sound.rights {
            tracing::warn!("{denied}");
        }
        let card = std::mem::replace(&mut sound.events, mpsc::channel(1).1);

        let (hub, hub_commands, media_events) = Hub::new(
            uplink_rx,
            downlink_tx,
            engine_events,
            ByteOrder::default(),
            wake,
            Arc::clone(&trace),
        );
        let (media, panel) = media::start(
            hub,
            hub_commands,
            hardware.face,
            setup.panel,
            Arc::clone(&trace),
        )?;

        // A stream of an earlier run is met, and told to stop.
        for row in &opened.unfinished {
            if let Some(token) = Token::parse(&row.token) {
                routes.open(token, AttemptId(0), Mode::default());
            }
        }
        let prefix = format!("{}/media/", setup.public_url.as_str());
        let leftovers = Leftovers::new(opened.unfinished, prefix);

        let (answers_tx, answers) = mpsc::channel(ANSWERS);
        let daemon = Self {
            buttons: setup.buttons,
            ring_for: setup.call.ring_for,
            from: setup.from,
            public_url: setup.public_url,
            store_config: setup.store,
            call: Call::new(setup.call, &limits, started),
            inputs: VecDeque::from([Input::Tick]),
            attempts: Attempts::default(),
            routes,
            random: SystemRandom::new(),
            waiting: HashMap::new(),
            attached: None,
            unheard_s: 0,
            began: None,
            shown: Phase::Idle,
            stopping: None,
            stopped: false,
            rest,
            answers: answers_tx,
            media,
            engine,
            sound,
            stats,
            store,
            held: Vec::new(),
            leftovers,
            clock,
            limits_saved,
            online: None,
            reconciling: false,
            complaint: String::new(),
            health: Health::new(started),
            trace,
            started,
            notices,
        };
        let inlets = Inlets {
            answers,
            accepted,
            media: media_events,
            panel,
            asks,
            card,
            ended: opened.ended,
        };
        Ok((daemon, inlets))
    }

    async fn run(mut self, mut inlets: Inlets, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut round = interval(ROUND);
        let mut warm = interval(KEEP_WARM);
        self.health.ready();
        self.notice(Notice::Ready);
        let mut due = self.drain();
        while !self.stopped {
            let now = Instant::now();
            let wake_at = [due, self.stopping].into_iter().flatten().min();
            let wake_at = wake_at.unwrap_or(now + ROUND);
            tokio::select! {
                Some(output) = inlets.panel.recv() => self.on_panel(output),
                Some(event) = inlets.media.recv() => self.on_media(event),
                Some(event) = inlets.accepted.recv() => match event {
                    ingress::Event::Accepted(accepted) => self.on_accepted(accepted),
                    ingress::Event::Stray { attempt, call } => {
                        tracing::warn!(?attempt, %call, "a stream of another call was refused");
                    }
                },
                Some(answered) = inlets.answers.recv() => self.on_answered(answered),
                Some(ask) = inlets.asks.recv() => self.on_ask(ask),
                Some(event) = inlets.card.recv() => self.on_card(&event),
                _ = warm.tick() => {
                    self.keep_warm();
                    if self.online == Some(false) {
                        warm.reset_after(LOOK_FOR_SERVICE);
                    }
                }
                _ = round.tick() => self.on_round(),
                () = sleep_until(wake_at.into()) => self.handle(Input::Tick),
                () = &mut stop, if self.stopping.is_none() => {
                    self.stopping = Some(Instant::now() + STOP_WITHIN);
                    self.health.stopping();
                    self.handle(Input::Shutdown);
                }
            }
            due = self.drain();
            if self.stopping.is_some_and(|at| Instant::now() >= at) {
                tracing::warn!("stopping without the service's word that the call is over");
                break;
            }
        }
        self.finish(inlets.ended).await;
    }

    /// Lets go of everything in the order that loses nothing.
    async fn finish(mut self, ended: oneshot::Receiver<()>) {
        self.keep_state();
        self.retry_held();
        if !self.held.is_empty() {
            tracing::error!(
                records = self.held.len(),
                "the store takes no more: their latest facts are lost"
            );
        }
        let Self {
            store,
            sound,
            media,
            ..
        } = self;
        drop(store);
        media.end().await;
        if tokio::time::timeout(FLUSH_WITHIN, ended).await.is_err() {
            tracing::error!("the records are not all on disk: the disk is too slow");
        }
        if !sound.stop() {
            tracing::warn!("the sound card did not let go in time");
        }
    }

    /// Queues an input for [`drain`](Self::drain), which every turn of the
    /// loop ends with. What is done for one output adds at most one input.
    fn handle(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    /// Hands in what is queued, does what the call asks for, and says when it
    /// wants to be asked again.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.call.poll() {
                Output::WaitUntil(due) => match self.inputs.pop_front() {
                    Some(input) => self.call.handle(Instant::now(), input),
                    None => return due,
                },
                output => self.act(output),
            }
        }
    }

    fn act(&mut self, output: Output) {
        tracing::debug!(?output, "call");
        match output {
            Output::Place {
                attempt, button, ..
            } => self.place(attempt, button),
            Output::Look { attempt } => self.look(attempt),
            Output::Get { attempt, call } => {
                self.ask_service(|rest| service::get(rest, attempt, call));
            }
            Output::HangUp { attempt, call } => {
                self.ask_service(|rest| service::hang_up(rest, attempt, call));
            }
            Output::ListOrphans => self.ask_service(orphans::list),
            Output::Attach {
                attempt, socket, ..
            } => self.attach(attempt, socket),
            Output::OpenDoor { door, .. } => {
                if !self.media.open(door) {
                    self.trace.count(Counter::EventsDropped);
                }
            }
            // No plan asks for one of these yet.
            Output::Join { .. } | Output::Say { .. } => {}
            Output::Stop { socket } => self.stop_stream(socket),
            Output::Close { socket } => self.close_stream(socket),
            Output::Show(phase) => self.show(phase),
            Output::Signal(signal) => self.signal(signal),
            Output::Record(record) => self.record(&record),
            Output::Cleared { call, how, report } => self.cleared(&call, how, report),
            Output::Count(counter) => self.trace.count(counter),
            Output::Stopped => self.stopped = true,
            // `drain` takes this one.
            Output::WaitUntil(_) => {}
        }
    }
}

/// Names under which the store keeps what outlives a restart.
const CLOCK: &str = "clock";
const LIMITS: &str = "limits";

// What comes in.
impl Daemon {
    fn on_panel(&mut self, output: panel::Output) {
        use panel::Output as Panel;
        if let Some(counter) = output.counter() {
            self.trace.count(counter);
        }
        match output {
            Panel::FirstEdge { .. } => self.warm(),
            Panel::Press {
                button,
                first_edge,
                qualified,
            } => {
                self.press(button, qualified.saturating_sub(first_edge));
            }
            // A finger that stays on the button that began the call is no
            // wish to end it.
            Panel::LongPress { button } if self.began == Some(button) => {}
            Panel::LongPress { .. } => {
                self.event("panel", "long press: cancel");
                self.handle(Input::Cancel);
            }
            Panel::Stuck { button } => {
                tracing::warn!(
                    button = self.name(button),
                    "a button is stuck: it is locked until it is released"
                );
                self.event("panel", "button stuck");
            }
            Panel::Freed { button } => {
                tracing::info!(button = self.name(button), "the button works again");
            }
            Panel::LampFault { lamp, kind } => tracing::error!(
                lamp,
                ?kind,
                "the line of a lamp does not take a value; it is tried again every second"
            ),
            Panel::LampRestored { lamp } => tracing::info!(lamp, "the lamp works again"),
            Panel::RelayFault { relay, on, kind } => tracing::error!(
                relay,
                ?kind,
                "the line of a door's relay does not take a value: {}; it is tried again every second",
                if on {
                    "the door was not opened"
                } else {
                    "the door may stand open"
                }
            ),
            Panel::RelayRestored { relay } => tracing::info!(relay, "the door's relay works again"),
            // No button is set to tell them yet.
            Panel::DoublePress { .. } => {}
            // Counted; the other two are dealt with where the lines are.
            Panel::NoiseBurst { .. } | Panel::ReadLevel { .. } | Panel::WaitUntil(_) => {}
        }
    }

    fn takes_no_press(&self) -> Option<&'static str> {
        if self.stopping.is_some() {
            Some("callbox is ending")
        } else if self.held.len() >= HELD_RECORDS {
            Some("the store is too slow to take its record")
        } else {
            None
        }
    }

    fn press(&mut self, button: ButtonId, qualified_in: Duration) {
        if let Some(why) = self.takes_no_press() {
            tracing::warn!("the press is refused: {why}");
            self.trace.count(Counter::PressesRefused);
            return self.signal(Signal::Busy);
        }
        self.began = is_at_rest(self.call.phase()).then_some(button);
        self.event("panel", "press");
        tracing::info!(button = self.name(button), "pressed");
        self.notice(Notice::Pressed(button));
        self.handle(Input::Press {
            button,
            qualified_in,
            plan: call::Plan {
                kind: call::Kind::Talk,
                targets: vec![0],
                cycles: 1,
                ring_for: self.ring_for,
                confirm: None,
                mode: Mode::default(),
            },
        });
    }

    fn on_media(&mut self, event: stream::Event) {
        let socket = event.socket;
        match event.what {
            What::Started { .. } => self.event("socket", "started"),
            What::FirstMedia => {
                self.event("socket", "first media");
                self.handle(Input::MediaHeard { socket });
            }
            What::Flow(flow) => self.on_flow(socket, flow),
            // Which one is not for the log: it may be of the code of a door.
            What::Dtmf { .. } => tracing::debug!("the callee pressed a key"),
            What::ServiceError { code, text } => {
                tracing::warn!(?code, ?text, "the service reports an error on the stream");
            }
            What::Transcript(_) | What::BargeIn(_) | What::Spoken { .. } | What::PromptOver => {}
            What::Ended(end) => self.on_stream_end(socket, end),
        }
    }

    fn on_stream_end(&mut self, socket: SocketId, end: End) {
        self.event("socket", format!("ended: {end:?}"));
        if self.attached == Some(socket) {
            self.attached = None;
            self.engine.push(Command::Disconnect);
        }
        match end {
            End::Stopped(_) => self.handle(Input::StreamStop { socket }),
            End::Closed(code) => self.handle(Input::StreamLost { socket, code }),
            End::Lost(why) => {
                tracing::warn!(%why, "the media stream broke");
                self.handle(Input::StreamLost { socket, code: None });
            }
            End::Unsupported(why) => {
                tracing::error!(%why, "the call is ended: callbox takes PCMU at 8000 Hz");
                self.handle(Input::StreamUnsupported { socket });
            }
            End::Replaced | End::Left => {}
        }
    }

    fn on_accepted(&mut self, accepted: Accepted) {
        let Accepted {
            route: RouteOf::Attempt(attempt),
            socket,
            context,
            upgraded,
            ..
        } = accepted
        else {
            return;
        };
        let context = context.unwrap_or_default();
        tracing::debug!(?attempt, ?socket, "a media stream was let in");
        self.event(
            "ingress",
            format!("stream {} of attempt {}", socket.0, attempt.0),
        );
        self.waiting.insert(socket, upgraded);
        let answered = context.status.as_deref() == Some("answered");
        self.handle(Input::Stream {
            attempt,
            socket,
            call: context.call,
            answered,
        });
    }

    fn on_answered(&mut self, answered: Answered) {
        self.age_limits();
        match answered {
            Answered::Call(input) => self.handle(input),
            Answered::Placed {
                attempt,
                facts,
                input,
            } => {
                self.attempts.note(attempt, facts);
                match &input {
                    Input::Placed { call, .. } => {
                        self.routes.expect(attempt, call.clone());
                        self.set_online(true);
                    }
                    Input::Refused {
                        why: call::Refusal::Offline,
                        ..
                    } => self.set_online(false),
                    _ => {}
                }
                self.handle(input);
            }
            Answered::Listed(page) => self.on_listed(&page),
            Answered::Reached(result) => self.on_reached(result),
            Answered::Reconciled(rows) => {
                self.reconciling = false;
                for row in rows {
                    self.write_reconciled(row);
                }
            }
        }
    }

    /// The service's first answer says what time it is, and so for how long
    /// the device was off.
    fn age_limits(&mut self) {
        let reading = self.reading();
        if let Some(saved) = self.limits_saved.filter(|_| reading.trusted) {
            let since = reading.stamp.since(saved);
            self.call
                .age_limits(since.saturating_sub(self.started.elapsed()));
            self.limits_saved = None;
        }
    }

    fn on_listed(&mut self, page: &CallPage) {
        let is_present = |url: &str| self.attempts.has_url(url);
        let (up, closed) = self.leftovers.sort(page, is_present);
        if !closed.is_empty() {
            tracing::warn!(
                records = closed.len(),
                "closed what an earlier run left open"
            );
            self.health.call_closed();
        }
        for row in closed {
            self.write(Update::record(row));
        }
        self.handle(Input::Orphans(up));
    }

    /// Looks at one second of a socket. That nothing comes in is for the call
    /// to judge; that nothing goes out is seen here.
    fn on_flow(&mut self, socket: SocketId, flow: Flow) {
        if flow.received > 0 {
            self.handle(Input::MediaHeard { socket });
        }
        self.attempts.add_stale(flow.stale);
        if self.attached != Some(socket) {
            return;
        }
        let was_unheard = self.unheard_s >= UNHEARD_AFTER;
        let microphone = self.sound.stats.microphone.present();
        let unheard = flow.sent == 0 || !microphone;
        self.unheard_s = if unheard { self.unheard_s + 1 } else { 0 };
        if self.unheard_s == UNHEARD_AFTER {
            tracing::error!(
                microphone,
                sent = flow.sent,
                "the callee does not hear the visitor"
            );
            self.event("call", "the callee does not hear the visitor");
            self.trace.count(Counter::OneWayAudio);
            self.attempts.unheard();
            self.media.show(Show::Fault);
        } else if was_unheard && !unheard {
            tracing::info!("the callee hears the visitor again");
            self.media.show(face_of(self.shown, self.shown).0);
        }
    }

    fn on_card(&mut self, event: &card::Event) {
        match event {
            card::Event::Back { .. } => tracing::info!("{event}"),
            _ => tracing::error!("{event}"),
        }
        self.event("card", event.to_string());
    }

    fn on_ask(&mut self, ask: Ask) {
        let reply = match ask.request {
            Request::Call { button } => self.call_from_control(button.as_deref()),
            Request::Hangup => {
                self.handle(Input::Cancel);
                Ok(serde_json::Value::Null)
            }
            Request::Status { trace } => Ok(self.status(trace)),
            Request::Probe => self.open_probe(),
        };
        // The client may have gone: that is its affair.
        _ = ask.answer.send(reply.map_or_else(Reply::Error, Reply::Ok));
    }

    fn call_from_control(&mut self, name: Option<&str>) -> Result<serde_json::Value, String> {
        let found = match name {
            None => Some(0),
            Some(name) => self.buttons.iter().position(|b| b.name == name),
        };
        let Some(index) = found else {
            let names: Vec<&str> = self.buttons.iter().map(|b| b.name.as_str()).collect();
            return Err(format!(
                "there is no such button; there is {}",
                names.join(", ")
            ));
        };
        if let Some(why) = self.takes_no_press() {
            return Err(format!("the press is refused: {why}"));
        }
        // A panel has at most 16 buttons.
        self.press(ButtonId(index as u8), Duration::ZERO);
        Ok(serde_json::json!({ "button": self.buttons[index].name }))
    }

    fn open_probe(&mut self) -> Result<serde_json::Value, String> {
        let token = self.token().ok_or("the system gives no random numbers")?;
        let path = token.probe_path();
        let said = serde_json::json!({ "path": path, "token": token.as_str() });
        self.routes.open_probe(token);
        Ok(said)
    }

    fn on_round(&mut self) {
        self.retry_held();
        self.health
            .round(self.sound.stats.beats(), &self.media, &self.store);
        let reading = self.reading();
        if self.health.hourly() {
            self.keep_state();
            if let Some(prune) = Update::prune(&self.store_config, reading) {
                self.write(prune);
            }
        }
        self.reconcile();
    }
}

// What goes out.
impl Daemon {
    fn place(&mut self, attempt: AttemptId, button: ButtonId) {
        let button = self.buttons.get(usize::from(button.0));
        let Some(target) = button.and_then(|button| button.targets.first()) else {
            return;
        };
        let to = target.number.clone();
        let token = self.attempts.token(attempt).or_else(|| self.token());
        let url = token.and_then(|token| {
            let url = format!("{}{}", self.public_url.as_str(), token.media_path());
            Some((token, WsUrl::parse(&url).ok()?))
        });
        let Some((token, url)) = url else {
            tracing::error!("no call is placed: the system gives no random numbers");
            let why = call::Refusal::Invalid;
            return self.handle(Input::Refused { attempt, why });
        };
        self.routes.open(token, attempt, Mode::default());
        self.attempts.open(attempt, &token, &url, &self.from, &to);
        let from = self.from.clone();
        self.ask_service(|rest| service::place(rest, attempt, from, to, url));
        // A process that dies in each call must not forget them.
        self.keep_state();
    }

    fn look(&self, attempt: AttemptId) {
        if let Some(url) = self.attempts.url(attempt) {
            let url = url.clone();
            self.ask_service(|rest| service::look(rest, attempt, url));
        }
    }

    /// Has one request done beside the loop; its answer comes back to it.
    fn ask_service<F>(&self, request: impl FnOnce(Rest) -> F)
    where
        F: Future<Output = Answered> + Send + 'static,
    {
        let answers = self.answers.clone();
        let request = request(self.rest.clone());
        tokio::spawn(async move {
            // The loop is gone only when the process ends.
            _ = answers.send(request.await).await;
        });
    }

    fn warm(&self) {
        self.ask_service(service::warm);
    }

    fn keep_warm(&self) {
        self.ask_service(service::keep_warm);
    }

    fn on_reached(&mut self, result: Result<bool, ApiError>) {
        match result {
            Ok(true) => {
                self.complaint.clear();
                self.set_online(true);
            }
            // The line is in use: whoever uses it will know.
            Ok(false) => {}
            Err(error) if error.next() == Next::CheckNetwork => {
                tracing::debug!("the service is not reached: {error}");
                self.set_online(false);
            }
            // A service that says no is reached all the same.
            Err(error) => {
                self.set_online(true);
                self.complain(error.to_string());
            }
        }
    }

    /// Says what is wrong with the service once, not at every request.
    fn complain(&mut self, what: String) {
        if self.complaint != what {
            tracing::warn!("{what}");
            self.complaint = what;
        }
    }

    fn set_online(&mut self, online: bool) {
        if self.online == Some(online) {
            return;
        }
        self.online = Some(online);
        if online {
            tracing::info!("the service is reached");
            self.handle(Input::Online);
        } else {
            tracing::warn!("the service is not reached; a press is likely to fail");
            self.handle(Input::Offline);
        }
    }

    fn attach(&mut self, attempt: AttemptId, socket: SocketId) {
        let Some(upgraded) = self.waiting.remove(&socket) else {
            return;
        };
        self.attempts
            .attached(attempt, &self.stats, &self.sound.stats);
        let stream = socket.0;
        self.engine.push(Command::Connect {
            stream,
            mode: Mode::default(),
            joined: true,
        });
        let attach = stream::Command::Attach {
            socket,
            stream,
            mode: Mode::default(),
            upgraded,
        };
        if self.media.tell(attach) {
            self.attached = Some(socket);
        } else {
            tracing::error!("the media runtime takes no stream");
            self.handle(Input::StreamLost { socket, code: None });
        }
    }

    fn stop_stream(&mut self, socket: SocketId) {
        if self.attached == Some(socket) {
            self.media.tell(stream::Command::Stop { reason: "hangup" });
        } else if let Some(upgraded) = self.waiting.remove(&socket) {
            tokio::spawn(stream::dismiss(upgraded, "hangup"));
        }
    }

    fn close_stream(&mut self, socket: SocketId) {
        if self.attached == Some(socket) {
            self.media.tell(stream::Command::Close);
        } else {
            self.waiting.remove(&socket);
        }
    }

    fn show(&mut self, phase: Phase) {
        tracing::info!("{}", status::words(phase));
        self.event("call", status::words(phase));
        let (show, tone) = face_of(phase, self.shown);
        self.shown = phase;
        self.media.show(show);
        self.engine.push(Command::Tone(tone));
        self.notice(Notice::Phase(phase));
    }

    fn signal(&mut self, signal: Signal) {
        self.engine.push(Command::Tone(match signal {
            Signal::Busy => Tone::Busy,
            // No door is configured yet.
            Signal::Opened => return,
            Signal::Warning => Tone::Warning,
        }));
    }

    fn record(&mut self, record: &call::Record) {
        let reading = self.reading();
        let row = self.attempts.row(
            record,
            reading,
            &self.stats,
            &self.sound.stats,
            &self.random,
        );
        self.notice(Notice::Record(Box::new(row.clone())));
        self.write(Update::record(row));
        if record.closed.is_some() {
            self.keep_state();
            self.health.call_closed();
        }
    }

    fn cleared(
        &mut self,
        call: &crate::units::CallId,
        how: call::Cleared,
        report: Option<call::Report>,
    ) {
        match how {
            call::Cleared::GivenUp => {
                tracing::error!(%call, "a call left up earlier could not be ended: it may still be up");
            }
            _ => tracing::warn!(%call, ?how, "a call left up earlier is off the line"),
        }
        let rows = self.leftovers.rows().chain(self.attempts.last_rows());
        let of_call = |row: &&Row| row.call_id.as_ref() == Some(call);
        let change = rows
            .into_iter()
            .find(of_call)
            .map(|row| attempts::cleared(row, how, report));
        if let Some(change) = change {
            self.write(Update::record(change));
            self.health.call_closed();
        }
    }

    fn reconcile(&mut self) {
        let free = self.online == Some(true) && !self.reconciling;
        if free && self.health.reconcile_now() {
            let rows = self.store.ask(reconcile::QUESTION);
            if let Ok(rows) = rows {
                self.reconciling = true;
                self.ask_service(|rest| reconcile::run(rest, rows));
            }
        }
    }

    /// Queues to the store; what it hands back is held and tried again.
    fn write(&mut self, update: Update) {
        if !self.held.is_empty() {
            self.held.push(update);
            return;
        }
        if let Err(Refused::Full(update) | Refused::Stopped(update)) = self.store.write(update) {
            self.held.push(update);
        }
    }

    /// Whoever watches is told once it can be read from the disk.
    fn write_reconciled(&mut self, row: Row) {
        let token = row.token.clone();
        let (update, saved) = Update::record(row).acknowledged();
        self.write(update);
        if let Some(notices) = self.notices.clone() {
            tokio::spawn(async move {
                if saved.await == Ok(Saved::OnDisk) {
                    _ = notices.try_send(Notice::Reconciled(token));
                }
            });
        }
    }

    fn retry_held(&mut self) {
        let mut held = std::mem::take(&mut self.held).into_iter();
        for update in held.by_ref() {
            if let Err(Refused::Full(back) | Refused::Stopped(back)) = self.store.write(update) {
                self.held.push(back);
                break;
            }
        }
        self.held.extend(held);
    }

    /// What outlives a restart: the limits' memory, and the latest time.
    fn keep_state(&mut self) {
        let reading = self.reading();
        let limits = self.call.limits(Instant::now());
        self.write(Update::keep(
            LIMITS,
            attempts::limits_text(&limits, reading),
        ));
        if reading.trusted {
            self.write(Update::keep(CLOCK, reading.stamp.to_string()));
        }
    }

    fn reading(&self) -> Reading {
        self.clock.read(Stamp::system(), self.rest.service_time())
    }

    fn token(&self) -> Option<Token> {
        let mut bytes = [0; 24];
        self.random.fill(&mut bytes).ok()?;
        Some(Token::from_random(bytes))
    }

    fn name(&self, button: ButtonId) -> &str {
        self.buttons
            .get(usize::from(button.0))
            .map_or("", |b| &b.name)
    }

    fn event(&self, area: &'static str, what: impl Into<String>) {
        self.trace.event(self.started.elapsed(), area, what);
    }

    fn notice(&self, notice: Notice) {
        if let Some(notices) = &self.notices {
            // Whoever watches and falls behind misses some of it.
            _ = notices.try_send(notice);
        }
    }
}

/// Whether nothing is up, and a press would begin a call.
fn is_at_rest(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Idle
            | Phase::Announced
            | Phase::Ended
            | Phase::Failed
            | Phase::Limited
            | Phase::Offline
    )
}

/// The lamp and the tone of a phase, and of the one `before` it.
fn face_of(phase: Phase, before: Phase) -> (Show, Tone) {
    match phase {
        Phase::Idle => (Show::Idle, Tone::Silence),
        Phase::Pressed => (Show::Pressed, Tone::Pressed),
        Phase::Dialing => (Show::Dialing, Tone::Dialing),
        Phase::Ringing | Phase::Confirming | Phase::Chiming => (Show::Ringing, Tone::Ringing),
        Phase::Answered | Phase::Announcing => (Show::Answered, Tone::Answered),
        Phase::OneWay | Phase::Reconnecting => (Show::Reconnecting, Tone::Reconnecting),
        Phase::Ending => (Show::Idle, Tone::Silence),
        Phase::Ended | Phase::Announced => (Show::Idle, Tone::Ended),
        Phase::Failed => (Show::Failed, Tone::Failed),
        Phase::Limited => (Show::Limited, Tone::Limited),
        // Nobody stands there when the line goes at night: the lamp will do.
        Phase::Offline if is_at_rest(before) => (Show::Offline, Tone::Silence),
        Phase::Offline => (Show::Offline, Tone::Offline),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_goes_at_rest_is_shown_and_not_sounded() {
        for before in [Phase::Idle, Phase::Ended, Phase::Failed, Phase::Offline] {
            let face = face_of(Phase::Offline, before);
            assert_eq!(face, (Show::Offline, Tone::Silence), "{before:?}");
        }
        for before in [Phase::Pressed, Phase::Dialing, Phase::Ending] {
            let face = face_of(Phase::Offline, before);
            assert_eq!(face, (Show::Offline, Tone::Offline), "{before:?}");
        }
    }
}
