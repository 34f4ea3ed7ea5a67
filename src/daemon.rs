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
//! Everything that decides is elsewhere: [`call`](crate::call) says what to do, and
//! `Daemon::act` does it, one line an [`Output`].
//!
//! Threads: [`run`] takes the calling thread for the control runtime and
//! starts the media runtime, the card's and the store's. All channels are
//! bounded; what happens when one is full is said where it is made.

mod attempts;
mod faults;
mod health;
mod inbound;
mod media;
mod online;
mod orphans;
mod presses;
mod reconcile;
mod records;
mod self_test;
mod service;
mod setup;
mod status;
mod streams;
mod timeline;
mod timetable;
mod troubles;
mod tunnel;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::ring::rand::SystemRandom;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::audio::Stats;
use crate::audio::engine::{Command, Ports};
use crate::audio::ring::{self, CommandTx};
use crate::audio::tone::Tone;
use crate::call::{Call, Input, Output, Phase, Signal};
use crate::config::Hours;
use crate::edge::card::{self, Running};
use crate::edge::clock::{Stamp, WallClock};
use crate::edge::control::{Ask, ControlSocket};
use crate::edge::ingress::{self, Ingress, Routes};
use crate::edge::realtime::Wake;
use crate::edge::rest::Rest;
use crate::edge::socket::{self as stream, Hub};
use crate::edge::store::{self, StoreHandle, Update};
use crate::edge::tunnel::{State as TunnelState, Status as TunnelStatus, Tunnel};
use crate::edge::zone::Zone;
use crate::panel::{self, Show, Trouble};
use crate::trace::Trace;
use crate::units::{AttemptId, ButtonId, E164, Mode, SocketId};
use crate::wire::handshake::Token;
use crate::wire::rest::WsUrl;

use attempts::Attempts;
use health::Health;
use inbound::Desk;
pub use media::{Face, Lines};
use media::{Media, PanelState};
use orphans::Leftovers;
pub use self_test::Plan as SelfTestPlan;
use self_test::SelfTest;
use service::Answered;
pub use setup::{
    Announcement, Button, Control, Door, Hardware, Inbound, Notice, Schedule, Setup, StartError,
    StartSound, Target, Volume, notices,
};
use streams::{Live, Waiting};
use timeline::Recorder;
use timetable::Timetable;
use troubles::Note;
pub use troubles::trouble_of;
pub use waiting::wait_for;

/// REST answers that wait for the loop. A task waits when it is full.
const ANSWERS: usize = 32;
/// Questions of the control socket that wait. Its clients wait when it is full.
const ASKS: usize = 4;
/// Records the store's full queue handed back. They are few even in a busy
/// hour: beyond this a press is refused until the store has caught up.
const HELD_RECORDS: usize = 64;
/// The loop looks after itself this often: heartbeat, held records, clocks.
const ROUND: Duration = Duration::from_secs(1);
/// The press line is used this often, so that it stays open: below the 60 s
/// that `edge::rest` trusts it for.
const KEEP_WARM: Duration = Duration::from_secs(45);
/// While the service is not reached it is looked for this often.
const LOOK_FOR_SERVICE: Duration = Duration::from_secs(10);
/// How long readiness waits for the panel's lines: a device without its panel
/// is still one that can be called and looked at.
const PANEL_WITHIN: Duration = Duration::from_secs(3);
/// From being told to stop until the loop ends in any case. A little more than
/// the call takes to give up by itself, so that its last record is written.
const STOP_WITHIN: Duration = Duration::from_millis(1600);
/// For the store's last commit.
const FLUSH_WITHIN: Duration = Duration::from_millis(350);

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
    door: mpsc::Receiver<ingress::Event>,
    media: mpsc::Receiver<stream::Event>,
    panel: mpsc::Receiver<panel::Output>,
    panel_state: watch::Receiver<PanelState>,
    asks: mpsc::Receiver<Ask>,
    card: mpsc::Receiver<card::Event>,
    tunnel: Option<watch::Receiver<TunnelStatus>>,
    ended: oneshot::Receiver<()>,
}

struct Daemon {
    buttons: Vec<Button>,
    doors: Vec<Door>,
    from: E164,
    /// `None` until the tunnel tells.
    public_url: Option<WsUrl>,
    tunnel: Option<Tunnel>,
    /// How the tunnel last was.
    tunnel_was: Option<TunnelState>,
    /// The lamp says that the tunnel needs care.
    cut_off: bool,
    store_config: store::Config,
    /// What stands for `{place}` in an announcement.
    place: String,
    zone: Zone,
    /// When nothing chimes.
    quiet: Hours,
    /// The engine was told that it is quiet.
    hushed: bool,
    volume: Volume,
    /// Steps the volume was turned by in this call.
    turned: i8,
    timetable: Timetable,
    self_test: SelfTest,

    call: Call,
    inputs: VecDeque<Input>,
    attempts: Attempts,
    desk: Desk,
    routes: Routes,
    random: SystemRandom,
    /// Streams let in that the call has not yet decided about.
    waiting: HashMap<SocketId, Waiting>,
    /// The stream that carries the call.
    live: Option<Live>,
    /// The timeline of the attempt that is up.
    recorder: Option<Recorder>,
    /// The button on which the latest finger came down that began a call.
    began: Option<ButtonId>,
    /// What the visitor is shown, and hears.
    shown: Phase,
    toned: Tone,
    /// When the loop ends, since somebody said stop.
    stopping: Option<Instant>,
    stopped: bool,
    ready: bool,

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
    /// What its latest answer, or somebody else's in its place, means for the lamp.
    said: Option<Trouble>,
    /// For how long a side of the card has been missing.
    missing_s: u32,
    /// What `callbox card` found.
    note: Note,
    /// What the lamp shows of it all while nobody presses.
    trouble: Option<Trouble>,
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
        if let Some(inbound) = &setup.inbound {
            routes.open_inbound(inbound.token, Mode::default());
        }
        let service_time = {
            let rest = rest.clone();
            Arc::new(move || rest.service_time().map(|stamp| stamp.unix_ms() / 1000))
        };
        let (ingress, door) = Ingress::bind(
            setup.ingress,
            routes.clone(),
            service_time,
            Arc::clone(&trace),
        )?;
        let tunnel = match setup.tunnel {
            Some(config) => {
                let (door, routes) = (ingress.local_addr()?, routes.clone());
                Some(Tunnel::start(config, door, routes, Arc::clone(&trace))?)
            }
            None => None,
        };
        let tunnel_status = tunnel.as_ref().map(Tunnel::watch);
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
        let (events, heard) = ring::events();
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
            heard,
            setup.byte_order,
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
        let leftovers = Leftovers::new(opened.unfinished, setup.public_url.as_ref());

        let panel_state = media.panel();
        let (answers_tx, answers) = mpsc::channel(ANSWERS);
        let daemon = Self {
            buttons: setup.buttons,
            doors: setup.doors,
            from: setup.from,
            public_url: setup.public_url,
            tunnel,
            tunnel_was: None,
            cut_off: false,
            store_config: setup.store,
            place: setup.place,
            zone: setup.timezone,
            quiet: setup.quiet,
            hushed: false,
            volume: setup.volume,
            turned: 0,
            timetable: Timetable::new(setup.schedules),
            self_test: SelfTest::new(setup.self_test, &setup.report),
            call: Call::new(setup.call, &limits, started),
            inputs: VecDeque::from([Input::Tick]),
            attempts: Attempts::default(),
            desk: Desk::new(
                setup
                    .inbound
                    .map(|inbound| inbound.allow)
                    .unwrap_or_default(),
            ),
            routes,
            random: SystemRandom::new(),
            waiting: HashMap::new(),
            live: None,
            recorder: None,
            began: None,
            shown: Phase::Idle,
            toned: Tone::Silence,
            stopping: None,
            stopped: false,
            ready: false,
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
            said: None,
            missing_s: 0,
            note: Note::new(setup.note),
            trouble: None,
            health: Health::new(started),
            trace,
            started,
            notices,
        };
        let inlets = Inlets {
            answers,
            door,
            media: media_events,
            panel,
            panel_state,
            asks,
            card,
            tunnel: tunnel_status,
            ended: opened.ended,
        };
        Ok((daemon, inlets))
    }

    async fn run(mut self, mut inlets: Inlets, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut round = interval(ROUND);
        let mut warm = interval(KEEP_WARM);
        let mut look = interval(timeline::STEP);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let panel_by = Instant::now() + PANEL_WITHIN;
        let mut due = self.drain();
        while !self.stopped {
            let now = Instant::now();
            let panel_by = (!self.ready).then_some(panel_by);
            let wake_at = [due, self.stopping, panel_by].into_iter().flatten().min();
            let wake_at = wake_at.unwrap_or(now + ROUND);
            tokio::select! {
                Some(output) = inlets.panel.recv() => self.on_panel(output),
                Some(event) = inlets.media.recv() => self.on_media(event),
                Some(event) = inlets.door.recv() => self.on_door(event),
                Some(answered) = inlets.answers.recv() => self.on_answered(answered),
                Some(ask) = inlets.asks.recv() => self.on_ask(ask),
                Some(event) = inlets.card.recv() => self.on_card(&event),
                status = tunnel::changed(&mut inlets.tunnel) => self.on_tunnel(status),
                _ = warm.tick() => {
                    self.keep_warm();
                    if self.online == Some(false) {
                        warm.reset_after(LOOK_FOR_SERVICE);
                    }
                }
                _ = round.tick() => self.on_round(),
                _ = look.tick(), if self.live.is_some() => self.look_at_sound(),
                // Closed only with the media runtime, which health is to see.
                _ = inlets.panel_state.changed(), if !self.ready => self.be_ready(),
                () = sleep_until(wake_at.into()) => {
                    if panel_by.is_some_and(|by| Instant::now() >= by) {
                        self.be_ready();
                    }
                    self.handle(Input::Tick);
                }
                () = &mut stop, if self.stopping.is_none() => {
                    self.stopping = Some(Instant::now() + STOP_WITHIN);
                    self.health.stopping();
                    self.dismiss_callers();
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

    /// The panel's lines are open, or cannot be for now, which was said.
    fn be_ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            self.health.ready();
            self.notice(Notice::Ready);
        }
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
            tunnel,
            ..
        } = self;
        drop(store);
        media.end().await;
        let flushed = tokio::time::timeout(FLUSH_WITHIN, ended);
        let (flushed, ()) = tokio::join!(flushed, tunnel::stop(tunnel));
        if flushed.is_err() {
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
                attempt,
                button,
                target,
            } => self.place(attempt, button, target),
            Output::Look { attempt } => self.look(attempt),
            Output::Get { attempt, call } => {
                self.ask_service(|rest| service::get(rest, attempt, call));
            }
            Output::HangUp { attempt, call } => {
                self.ask_service(|rest| service::hang_up(rest, attempt, call));
            }
            Output::ListOrphans => self.ask_service(orphans::list),
            Output::Attach {
                attempt,
                socket,
                joined,
            } => self.attach(attempt, socket, joined),
            Output::Join { .. } => self.join(),
            Output::Say {
                attempt, socket, ..
            } => self.say(attempt, socket),
            Output::OpenDoor { attempt, door, by } => self.open_door(attempt, door, by),
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

    fn place(&mut self, attempt: AttemptId, button: ButtonId, target: u8) {
        let Some(button) = self.buttons.get(usize::from(button.0)) else {
            return;
        };
        let Some(target) = button.targets.get(usize::from(target)) else {
            return;
        };
        let (to, mode) = (target.number.clone(), button.mode);
        let Some(base) = self.reachable_at() else {
            tracing::error!("no call is placed: its sound would not find the way to this device");
            let why = crate::call::Refusal::Offline;
            return self.handle(Input::Refused { attempt, why });
        };
        let token = self.attempts.token(attempt).or_else(|| self.token());
        let url = token.and_then(|token| {
            let url = format!("{}{}", base.as_str(), token.media_path());
            Some((token, WsUrl::parse(&url).ok()?))
        });
        let Some((token, url)) = url else {
            tracing::error!("no call is placed: the system gives no random numbers");
            let why = crate::call::Refusal::Invalid;
            return self.handle(Input::Refused { attempt, why });
        };
        self.routes.open(token, attempt, mode);
        self.attempts.open(attempt, &token, &url);
        let from = self.from.clone();
        self.ask_service(|rest| service::place(rest, attempt, from, to, url));
        // A process that dies in each call must not forget them.
        self.keep_state();
    }

    fn show(&mut self, phase: Phase) {
        tracing::info!("{}", status::words(phase));
        self.event("call", status::words(phase));
        if !is_at_rest(phase) {
            self.end_self_test();
        }
        let (show, tone) = face_of(phase, self.shown);
        self.shown = phase;
        self.media.show(self.with_trouble(show));
        // For the visitor it goes on ringing, without a break.
        if !(phase == Phase::Confirming && self.toned == tone) {
            self.engine.push(Command::Tone(tone));
        }
        self.toned = tone;
        if is_at_rest(phase) {
            self.reset_volume();
        }
        self.notice(Notice::Phase(phase));
    }

    fn signal(&mut self, signal: Signal) {
        self.engine.push(Command::Tone(match signal {
            Signal::Busy => Tone::Busy,
            Signal::Opened => Tone::Opened,
            Signal::Warning => Tone::Warning,
        }));
    }

    fn on_card(&mut self, event: &card::Event) {
        match event {
            card::Event::Back { .. } => tracing::info!("{event}"),
            _ => tracing::error!("{event}"),
        }
        self.event("card", event.to_string());
    }

    fn on_round(&mut self) {
        self.retry_held();
        self.look_at_the_clock();
        self.look_for_trouble();
        // The watchdog is fed once the service manager knows of us.
        if self.ready {
            self.health
                .round(self.sound.stats.beats(), &self.media, &self.store);
        }
        let reading = self.reading();
        if self.health.hourly() {
            self.keep_state();
            if let Some(prune) = Update::prune(&self.store_config, reading) {
                self.write(prune);
            }
        }
        self.reconcile();
        self.look_at_tunnel();
    }

    /// Tells the trace, and the timeline of the call that is up.
    fn event(&mut self, area: &'static str, what: impl Into<String>) {
        let what = what.into();
        if let Some(recorder) = &mut self.recorder {
            recorder.note(Instant::now(), &what);
        }
        self.trace.event(self.started.elapsed(), area, what);
    }

    fn notice(&self, notice: Notice) {
        if let Some(notices) = &self.notices {
            // Whoever watches and falls behind misses some of it.
            _ = notices.try_send(notice);
        }
    }
}

/// Names under which the store keeps what outlives a restart.
const CLOCK: &str = "clock";
const LIMITS: &str = "limits";

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
        Phase::Ringing | Phase::Confirming => (Show::Ringing, Tone::Ringing),
        Phase::Chiming => (Show::Chiming, Tone::Chime),
        Phase::Answered => (Show::Answered, Tone::Answered),
        Phase::Announcing => (Show::Announcing, Tone::Answered),
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
