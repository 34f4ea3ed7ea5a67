//! The media runtime: a thread of raised priority with a tokio of its own, on
//! which the live socket and the lines of buttons, lamps and relays live.
//!
//! Nothing here waits for a disk, a TLS handshake or the daemon's loop.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_hal::digital::OutputPin;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::edge::gpio;
use crate::edge::panel_inputs::{EdgeSource, KernelClock, PanelInputs};
use crate::edge::realtime;
use crate::edge::socket::{self, Hub};
use crate::panel::{Config, Input, LampRole, Level, Output, Panel, Show};
use crate::trace::{Counter, Trace};

/// Presses and their like that wait for the loop; what is more is counted and
/// lost. A finger makes five a second.
const OUTPUTS: usize = 64;
/// Openings that wait for the panel; one more while so many wait is none.
const OPENINGS: usize = 8;
/// Stack of the thread: futures live on the heap.
const STACK: usize = 256 * 1024;
/// Pause before lines that are away are looked for again.
const REOPEN: Duration = Duration::from_secs(1);
/// Pause when a person has to mend something first.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// For the panel to set its pins a last time: they may be behind a slow bus.
const PANEL_ENDS_WITHIN: Duration = Duration::from_millis(200);

/// Buttons, lamps and relays of a device, to be opened on the media runtime and opened
/// again when a line is lost.
pub trait Face: Send + 'static {
    /// Where edges come from.
    type Edges: EdgeSource + Send;
    /// The pin of a lamp or a relay, high is lit or open.
    type Pin: OutputPin + Send;

    /// Opens the lines.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    fn open(&mut self) -> Result<Lines<Self::Edges, Self::Pin>, gpio::Error>;
}

/// Lines that are open.
pub struct Lines<E, L> {
    /// The buttons.
    pub edges: E,
    /// The level each is at now.
    pub levels: Vec<Level>,
    /// The lamps, in the order of their places.
    pub lamps: Vec<(LampRole, L)>,
    /// The doors' relays, in the order of their places.
    pub relays: Vec<L>,
}

/// Whether presses are heard and lamps lit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum PanelState {
    /// Its lines are being opened for the first time.
    #[default]
    Opening,
    /// All lines are open.
    Works,
    /// They are not, and why; they are tried again.
    Broken(String),
}

/// The way to the media runtime. Dropping it ends the runtime.
pub(super) struct Media {
    hub: mpsc::Sender<socket::Command>,
    show: watch::Sender<Show>,
    open: mpsc::Sender<u8>,
    panel: watch::Receiver<PanelState>,
    pings: mpsc::Sender<oneshot::Sender<()>>,
}

impl Media {
    /// Asks something of the hub; `false` when it takes nothing any more.
    pub(super) fn tell(&self, command: socket::Command) -> bool {
        self.hub.try_send(command).is_ok()
    }

    /// What the lamp shows from now on.
    pub(super) fn show(&self, show: Show) {
        self.show.send_replace(show);
    }

    /// Opens a door; `false` when so many openings wait that the panel cannot
    /// be well.
    pub(super) fn open(&self, relay: u8) -> bool {
        self.open.try_send(relay).is_ok()
    }

    /// How the panel is; whoever waits for it gets a receiver of their own.
    pub(super) fn panel(&self) -> watch::Receiver<PanelState> {
        self.panel.clone()
    }

    /// Ends the runtime. Waits for the panel to let go of its lines, so that no
    /// door stays open behind a process that has ended.
    pub(super) async fn end(self) {
        let mut panel = self.panel();
        drop(self);
        let works = *panel.borrow() == PanelState::Works;
        let let_go = async { while panel.changed().await.is_ok() {} };
        if works && timeout(PANEL_ENDS_WITHIN, let_go).await.is_err() {
            tracing::warn!("the panel's lines were not let go in time");
        }
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&self) -> Option<oneshot::Receiver<()>> {
        let (answer, alive) = oneshot::channel();
        self.pings.try_send(answer).ok().map(|()| alive)
    }
}

/// Starts the thread.
pub(super) fn start<F: Face>(
    hub: Hub,
    commands: mpsc::Sender<socket::Command>,
    face: F,
    config: Config,
    trace: Arc<Trace>,
) -> io::Result<(Media, mpsc::Receiver<Output>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(realtime::woke)
        .build()?;
    let clock = KernelClock::new()?;
    let (show, shown) = watch::channel(Show::Idle);
    let (open, opens) = mpsc::channel(OPENINGS);
    let (state, panel_state) = watch::channel(PanelState::default());
    let (pings, mut pinged) = mpsc::channel::<oneshot::Sender<()>>(1);
    let (told, outputs) = mpsc::channel(OUTPUTS);
    let panel = PanelTask {
        face,
        config,
        clock,
        shown,
        opens,
        state,
        told,
        trace,
    };
    std::thread::Builder::new()
        .name("callbox-media".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let raised = realtime::run_fifo(realtime::MEDIA_PRIORITY);
            if let Err(denied) = raised.or_else(|_| realtime::raise_priority()) {
                tracing::warn!("{denied}");
            }
            runtime.block_on(async {
                tokio::spawn(panel.run());
                let hub = tokio::spawn(hub.run());
                while let Some(answer) = pinged.recv().await {
                    _ = answer.send(());
                }
                // The daemon is gone, so the hub's last commands are in its queue.
                _ = hub.await;
            });
        })?;
    Ok((
        Media {
            hub: commands,
            show,
            open,
            panel: panel_state,
            pings,
        },
        outputs,
    ))
}

struct PanelTask<F> {
    face: F,
    config: Config,
    clock: KernelClock,
    shown: watch::Receiver<Show>,
    opens: mpsc::Receiver<u8>,
    state: watch::Sender<PanelState>,
    told: mpsc::Sender<Output>,
    trace: Arc<Trace>,
}

impl<F: Face> PanelTask<F> {
    /// Serves the panel until the daemon is gone, opening its lines anew when
    /// they are lost.
    async fn run(mut self) {
        let mut said = String::new();
        loop {
            let began = Instant::now();
            let since = self.clock.now();
            let problem = match self.face.open() {
                Ok(lines) => match self.serve(lines, since).await {
                    Ok(()) => return,
                    Err(problem) => problem,
                },
                Err(problem) => problem,
            };
            let text = problem.to_string();
            self.state.send_replace(PanelState::Broken(text.clone()));
            // Lines that had worked for a while and fail again are news again.
            if text != said || began.elapsed() > GIVEN_UP {
                tracing::error!("the panel does not work: {text}");
                said = text;
            }
            let pause = match problem.next() {
                gpio::Next::GiveUp => GIVEN_UP,
                gpio::Next::Retry | gpio::Next::Reopen => REOPEN,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Serves lines that are open `since`, when the edges of their buttons began
    /// to queue: whoever pressed while the rest was opened is heard.
    async fn serve(
        &mut self,
        lines: Lines<F::Edges, F::Pin>,
        since: Duration,
    ) -> Result<(), gpio::Error> {
        let mut inputs = PanelInputs::new(lines.edges, self.clock);
        // Asked for while there was no panel: whoever stood there has left.
        while self.opens.try_recv().is_ok() {
            self.trace.count(Counter::EventsDropped);
        }
        let mut panel = Panel::new(
            since,
            &self.config,
            &lines.levels,
            lines.lamps,
            lines.relays,
        );
        self.state.send_replace(PanelState::Works);
        tracing::info!("the panel works");
        let show = *self.shown.borrow_and_update();
        panel.handle(self.clock.now(), Input::Show(show));
        let mut due = self.drain(&mut panel, inputs.source())?;
        loop {
            let (at, input) = tokio::select! {
                next = inputs.next(due) => next?,
                changed = self.shown.changed() => match changed {
                    Ok(()) => (self.clock.now(), Input::Show(*self.shown.borrow_and_update())),
                    Err(_) => return Ok(()),
                },
                Some(relay) = self.opens.recv() => (self.clock.now(), Input::Open { relay }),
            };
            panel.handle(at, input);
            due = self.drain(&mut panel, inputs.source())?;
        }
    }

    /// Passes on what the panel asks, and reads the levels it wants itself.
    fn drain(
        &self,
        panel: &mut Panel<F::Pin>,
        lines: &F::Edges,
    ) -> Result<Option<Duration>, gpio::Error> {
        loop {
            let output = panel.poll();
            match output {
                Output::WaitUntil(due) => return Ok(due),
                Output::ReadLevel { button } | Output::Stuck { button } => {
                    self.tell(output);
                    let level = lines.level(button)?;
                    panel.handle(self.clock.now(), Input::Level { button, level });
                }
                output => self.tell(output),
            }
        }
    }

    fn tell(&self, output: Output) {
        if self.told.try_send(output).is_err() {
            self.trace.count(Counter::EventsDropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::vec;

    use super::*;
    use crate::edge::gpio::Listing;
    use crate::edge::virtual_panel::{
        Change, Diary, Finger, Thing, VirtualButtons, VirtualPin, virtual_buttons,
    };
    use crate::units::ButtonId;

    /// A panel that cannot be opened a number of times, and then can.
    struct Shy {
        refusals: u32,
        buttons: Option<VirtualButtons>,
        diary: Diary,
    }

    impl Face for Shy {
        type Edges = VirtualButtons;
        type Pin = VirtualPin;

        fn open(&mut self) -> Result<Lines<VirtualButtons, VirtualPin>, gpio::Error> {
            if self.refusals > 0 {
                self.refusals -= 1;
                // As on a machine whose GPIO driver is not there yet.
                let nowhere = Listing::default().find(&"GPIO4".parse().unwrap());
                return Err(nowhere.unwrap_err());
            }
            Ok(Lines {
                edges: self.buttons.take().expect("opened once"),
                levels: vec![Level::Inactive],
                lamps: vec![(LampRole::Status, self.diary.pin(LAMP))],
                relays: vec![self.diary.pin(DOOR)],
            })
        }
    }

    /// A panel whose button was pressed and let go while its lines were opened.
    struct Hasty(Duration);

    impl Face for Hasty {
        type Edges = vec::IntoIter<(Duration, Level)>;
        type Pin = VirtualPin;

        fn open(&mut self) -> Result<Lines<Self::Edges, VirtualPin>, gpio::Error> {
            let at = |ms| self.0 + Duration::from_millis(ms);
            let edges = vec![(at(100), Level::Active), (at(200), Level::Inactive)];
            Ok(Lines {
                edges: edges.into_iter(),
                levels: vec![Level::Inactive],
                lamps: Vec::new(),
                relays: Vec::new(),
            })
        }
    }

    impl EdgeSource for vec::IntoIter<(Duration, Level)> {
        async fn next(&mut self) -> Result<(Duration, Input), gpio::Error> {
            let Some((at, level)) = Iterator::next(self) else {
                return pending().await;
            };
            let edge = Input::Edge {
                button: ButtonId(0),
                level,
                sequence: 2 - self.len() as u32,
            };
            Ok((at, edge))
        }

        fn level(&self, _button: ButtonId) -> Result<Level, gpio::Error> {
            Ok(Level::Inactive)
        }
    }

    const LAMP: Thing = Thing::Lamp(LampRole::Status);
    const DOOR: Thing = Thing::Relay(0);

    /// What the daemon holds of a panel that runs.
    struct Held {
        open: mpsc::Sender<u8>,
        state: watch::Receiver<PanelState>,
        show: watch::Sender<Show>,
        told: mpsc::Receiver<Output>,
        trace: Arc<Trace>,
        diary: Diary,
        finger: Finger,
    }

    impl Held {
        fn of(&self, thing: Thing) -> Vec<Change> {
            let changes = self.diary.changes();
            changes.into_iter().filter(|c| c.what == thing).collect()
        }
    }

    fn panel(refusals: u32) -> Held {
        let clock = KernelClock::new().unwrap();
        let diary = Diary::new(clock);
        let (finger, buttons) = virtual_buttons(clock);
        let face = Shy {
            refusals,
            buttons: Some(buttons),
            diary: diary.clone(),
        };
        let (task, held) = task(face, clock, diary, finger);
        tokio::spawn(task.run());
        held
    }

    fn task<F: Face>(
        face: F,
        clock: KernelClock,
        diary: Diary,
        finger: Finger,
    ) -> (PanelTask<F>, Held) {
        let (show, shown) = watch::channel(Show::Idle);
        let (open, opens) = mpsc::channel(OPENINGS);
        let (state_tx, state) = watch::channel(PanelState::default());
        let (told_tx, told) = mpsc::channel(OUTPUTS);
        let trace = Arc::new(Trace::default());
        let task = PanelTask {
            face,
            config: Config::default(),
            clock,
            shown,
            opens,
            state: state_tx,
            told: told_tx,
            trace: Arc::clone(&trace),
        };
        let held = Held {
            open,
            state,
            show,
            told,
            trace,
            diary,
            finger,
        };
        (task, held)
    }

    async fn next(state: &mut watch::Receiver<PanelState>) -> PanelState {
        state.changed().await.unwrap();
        state.borrow_and_update().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn the_panel_works_once_its_lines_are_open() {
        let mut held = panel(0);
        assert_eq!(*held.state.borrow(), PanelState::Opening);
        assert_eq!(next(&mut held.state).await, PanelState::Works);
        assert!(held.finger.push(ButtonId(0), Duration::from_millis(100)));
        let first = held.told.recv().await.unwrap();
        assert!(matches!(first, Output::FirstEdge { .. }), "{first:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_press_while_the_lines_are_opened_is_heard() {
        let clock = KernelClock::new().unwrap();
        let began = clock.now().saturating_sub(Duration::from_secs(1));
        let (finger, _) = virtual_buttons(clock);
        let (mut task, mut held) = task(Hasty(began), clock, Diary::new(clock), finger);
        let lines = task.face.open().unwrap();
        tokio::spawn(async move { task.serve(lines, began).await });
        let first = held.told.recv().await.unwrap();
        assert!(matches!(first, Output::FirstEdge { .. }), "{first:?}");
        let press = held.told.recv().await.unwrap();
        assert!(matches!(press, Output::Press { .. }), "{press:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panel_that_does_not_open_says_why_and_is_tried_again() {
        let mut held = panel(2);
        let PanelState::Broken(why) = next(&mut held.state).await else {
            panic!("it opened");
        };
        assert!(why.contains("no GPIO lines"), "{why}");
        assert!(matches!(next(&mut held.state).await, PanelState::Broken(_)));
        assert_eq!(next(&mut held.state).await, PanelState::Works);
    }

    #[tokio::test(start_paused = true)]
    async fn an_opening_is_a_pulse_of_the_relay() {
        let mut held = panel(0);
        next(&mut held.state).await;
        held.open.send(0).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let changes = held.of(DOOR);
        let on: Vec<_> = changes.iter().map(|change| change.on).collect();
        assert_eq!(on, [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_door_asked_for_while_there_was_no_panel_stays_shut() {
        let mut held = panel(1);
        held.open.send(0).await.unwrap();
        while next(&mut held.state).await != PanelState::Works {}
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(held.of(DOOR), []);
        assert_eq!(held.trace.read(Counter::EventsDropped), 1);
    }

    /// As when the process is told to stop in the middle of a pulse.
    #[tokio::test(start_paused = true)]
    async fn a_panel_that_ends_closes_the_door_and_darkens_the_lamp() {
        let mut held = panel(0);
        next(&mut held.state).await;
        held.show.send_replace(Show::Answered);
        held.open.send(0).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(held.of(DOOR)[0].on && held.of(LAMP)[0].on);
        drop(held.show);
        assert!(held.state.changed().await.is_err(), "it did not end");
        for thing in [LAMP, DOOR] {
            let changes = held.diary.changes();
            let last = changes.iter().rfind(|change| change.what == thing);
            assert_eq!(last.map(|change| change.on), Some(false), "{thing:?}");
        }
    }
}
