//! A device, a service and a visitor for a story.
//!
//! ```text
//!  test ──press, speak──▶ Device: daemon::run on a thread, virtual panel and card
//!       ◀─phases, records─┘   ▲
//!                             │ HTTP and WebSocket over loopback
//!       ──faults, line─▶ Service: the simulator on a thread
//!       ◀─events──────────────┘
//! ```
//!
//! Each device listens on an address of its own out of 127.0.0.0/8, so that
//! stories run side by side. The service is the one of [`crate::far_end`].

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use callbox::audio::engine::{Engine, Format};
use callbox::call::Phase;
use callbox::config;
use callbox::daemon::{self, Face, Hardware, Lines, Notice, Setup, StartSound};
use callbox::edge::control::ask;
use callbox::edge::gpio;
use callbox::edge::panel_inputs::KernelClock;
use callbox::edge::store::{Opening, Party, Query, Reader, Row};
use callbox::edge::virtual_card::{self, Remote};
use callbox::edge::virtual_panel::{
    Diary, Finger, Thing, VirtualButtons, VirtualPin, virtual_buttons,
};
use callbox::panel::{LampRole, Level};
use callbox::simulator;
use callbox::units::ButtonId;
use callbox::wire::control::Request;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) use crate::far_end::{
    CALLEE, GUARD, INBOUND_TOKEN, SIGNING_KEY, Service, ms, poll, says, service_with, talks,
};
use crate::far_end::{Search, runtime};
use crate::sound;

/// How long a finger stays on the button.
const PUSH: Duration = Duration::from_millis(60);
/// The device's card. The slower of the two rates: stories share a small machine.
const CARD: Format = Format {
    rate: 16_000,
    channels: 1,
};

/// A folder of the story's own, removed with what is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("callbox-story-{}-{}", std::process::id(), unique());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unique() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// The visitor speaks and waits to be heard; says it again when the callee has
/// spoken over it. Where it was heard, in samples since the callee answered.
#[track_caller]
pub(crate) fn is_heard(device: &Device, service: &Service, call: &str) -> usize {
    let words = sound::chirp(sound::LINE_RATE);
    let mut search = Search::new(&words);
    search.looked = service.handle.heard(call).unwrap().len();
    poll(
        || {
            if device.visitor.is_silent() {
                device.visitor.speak();
            }
            search.look(&service.handle.heard(call)?)
        },
        || "the callee hears nothing like the visitor's words".to_owned(),
    )
}

/// What the installer's file says, beside what every story needs.
pub(crate) struct Installed {
    pub(crate) base_url: String,
    pub(crate) ingress: String,
    pub(crate) service: String,
    /// The one button, beside its name.
    pub(crate) button: String,
    pub(crate) rest: String,
}

impl Installed {
    /// A device behind an installer's proxy, here without one.
    pub(crate) fn plain(base_url: String) -> Self {
        let listen = address();
        Self {
            base_url,
            ingress: format!(
                "mode = \"public-url\"\npublic_url = \"ws://{listen}\"\nlisten = \"{listen}\""
            ),
            service: String::new(),
            button: format!("to = \"{CALLEE}\""),
            rest: String::new(),
        }
    }

    /// The same with another button.
    pub(crate) fn button(self, button: impl Into<String>) -> Self {
        let button = button.into();
        Self { button, ..self }
    }

    /// The same at `listen`, where `caller` and nobody else may call it: with
    /// the signing key and the secret path of the stories.
    pub(crate) fn called(self, folder: &Folder, listen: &str, action: &str, caller: &str) -> Self {
        let key = folder.write("signing-key", SIGNING_KEY);
        let token = folder.write("inbound-token", INBOUND_TOKEN);
        let inbound = format!(
            "[inbound]\naction = \"{action}\"\nallow = [\"{caller}\"]\ntoken_file = \"{}\"",
            token.display()
        );
        Self {
            ingress: format!(
                "mode = \"public-url\"\npublic_url = \"ws://{listen}\"\nlisten = \"{listen}\""
            ),
            service: format!("signing_key_file = \"{}\"", key.display()),
            ..self
        }
        .with(&inbound)
    }

    /// The same with more sections.
    pub(crate) fn with(self, rest: &str) -> Self {
        let rest = format!("{}\n{rest}", self.rest);
        Self { rest, ..self }
    }

    /// Writes the file and the key it names.
    pub(crate) fn write(&self, folder: &Folder) -> PathBuf {
        let key = folder.write("api-key", simulator::API_KEY);
        let text = format!(
            "[service]\n\
             from_number = \"{number}\"\n\
             phone_number_id = \"{id}\"\n\
             base_url = \"{base}\"\n\
             api_key_file = \"{key}\"\n\
             {service}\n\
             [ingress]\n\
             {ingress}\n\
             [[button]]\n\
             name = \"door\"\n\
             {button}\n\
             [store]\n\
             path = \"{store}\"\n\
             [control]\n\
             socket = \"{control}\"\n\
             {rest}\n",
            number = simulator::NUMBER,
            id = simulator::NUMBER_ID,
            base = self.base_url,
            key = key.display(),
            service = self.service,
            button = self.button,
            ingress = self.ingress,
            store = folder.file("store/calls.db").display(),
            control = folder.file("control/callbox.sock").display(),
            rest = self.rest,
        );
        folder.write("callbox.toml", &text)
    }
}

/// An address nobody else has: a loopback host of one's own. Its port is
/// below those the system gives away.
pub(crate) fn address() -> String {
    let n = unique();
    let pid = std::process::id();
    format!(
        "127.{}.{}.{}:8765",
        1 + pid % 250,
        pid / 250 % 250,
        1 + n % 250
    )
}

/// Times a person at a door would find short, so that stories are short too.
fn hurry(setup: &mut Setup) {
    setup.call.poll_every = ms(100);
    setup.call.show_for = ms(300);
    setup.call.back_off = Duration::ZERO;
}

/// The record in `folder` of this token or call.
pub(crate) fn stored(folder: &Folder, find: &str) -> Row {
    let reader = Reader::open(&folder.file("store/calls.db")).unwrap();
    let mut rows = reader.rows(&Query::Find(find.to_owned())).unwrap();
    assert_eq!(rows.len(), 1, "records of {find}");
    rows.remove(0)
}

/// How many attempts are on disk in `folder`.
pub(crate) fn records(folder: &Folder) -> usize {
    let reader = Reader::open(&folder.file("store/calls.db")).unwrap();
    let all = Query::Latest {
        limit: 1000,
        offset: 0,
    };
    reader.rows(&all).unwrap().len()
}

/// A device that runs, until it is dropped.
pub(crate) struct Device {
    pub(crate) folder: Arc<Folder>,
    /// The visitor's end of the card.
    pub(crate) visitor: Remote,
    /// About when the card's first sample was.
    pub(crate) card_began: Instant,
    /// Phases shown so far, and those a story has waited for.
    pub(crate) shown: Vec<Phase>,
    waited: usize,
    /// Closed records, and those a story has asked for.
    closed: Vec<Row>,
    taken: usize,
    reconciled: Vec<String>,
    control: PathBuf,
    ready: bool,
    finger: Finger,
    /// What its lamps and relays did.
    pub(crate) diary: Diary,
    notices: tokio::sync::mpsc::Receiver<Notice>,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    daemon: Option<JoinHandle<Result<(), daemon::StartError>>>,
}

impl Device {
    /// A device of `service`, with `change` made to its settings.
    pub(crate) fn start(service: &Service, change: impl FnOnce(&mut Setup)) -> Self {
        let installed = Installed::plain(service.handle.base_url());
        Self::start_as(&installed, Arc::new(Folder::new()), change)
    }

    pub(crate) fn start_as(
        installed: &Installed,
        folder: Arc<Folder>,
        change: impl FnOnce(&mut Setup),
    ) -> Self {
        let mut setup = setup(&installed.write(&folder));
        hurry(&mut setup);
        change(&mut setup);
        let control = setup.control.as_ref().unwrap().socket.clone();
        let (finger, buttons) = virtual_buttons(KernelClock::new().unwrap());
        let diary = Diary::new(KernelClock::new().unwrap());
        let panel = OneButton {
            buttons: Some(buttons),
            diary: diary.clone(),
            doors: setup.doors.len() as u8,
        };
        let (remote_tx, remote_rx) = mpsc::channel();
        let (told, notices) = daemon::notices();
        let (stop, stopped) = oneshot::channel::<()>();
        let daemon = std::thread::spawn(move || {
            let hardware = Hardware {
                face: panel,
                sound: card(remote_tx),
            };
            let until = async { _ = stopped.await };
            daemon::run(setup, hardware, Some(told), until)
        });
        let visitor = remote_rx.recv().unwrap_or_else(|_| {
            panic!("the device does not start");
        });
        let mut device = Self {
            folder,
            visitor,
            card_began: Instant::now(),
            shown: Vec::new(),
            waited: 0,
            closed: Vec::new(),
            taken: 0,
            reconciled: Vec::new(),
            control,
            ready: false,
            finger,
            diary,
            notices,
            runtime: runtime(),
            stop: Some(stop),
            daemon: Some(daemon),
        };
        device.until("ready", |device| device.ready.then_some(()));
        device
    }

    /// A finger on the button, and off again.
    pub(crate) fn press(&self) {
        self.press_for(PUSH);
    }

    pub(crate) fn press_for(&self, held: Duration) {
        assert!(
            self.finger.push(ButtonId(0), held),
            "the panel takes no press"
        );
    }

    /// Takes in notices until `found` finds something in what was noted down.
    #[track_caller]
    fn until<T>(&mut self, told: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let left = GUARD.saturating_sub(began.elapsed());
            let next = self
                .runtime
                .block_on(async { timeout(left, self.notices.recv()).await });
            let Ok(Some(notice)) = next else {
                panic!(
                    "{told}: not seen; shown: {:?}, closed: {:?}",
                    self.shown, self.closed
                );
            };
            match notice {
                Notice::Phase(phase) => self.shown.push(phase),
                Notice::Record(row) if row.closed == Some(true) => self.closed.push(*row),
                Notice::Reconciled(token) => self.reconciled.push(token),
                Notice::Ready => self.ready = true,
                Notice::Record(_) | Notice::Pressed(_) => {}
            }
        }
    }

    /// Waits until the visitor is shown `phase`, after those already waited for.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, phase: Phase) {
        self.until(&format!("{phase:?}"), |device| {
            let rest = &device.shown[device.waited..];
            let at = rest.iter().position(|shown| *shown == phase)?;
            device.waited += at + 1;
            Some(())
        });
    }

    /// Waits for the next closed record.
    #[track_caller]
    pub(crate) fn record(&mut self) -> Row {
        self.until("a closed record", |device| {
            let row = device.closed.get(device.taken)?.clone();
            device.taken += 1;
            Some(row)
        })
    }

    /// Waits until the service's own account is in the record, and reads it
    /// from the disk.
    #[track_caller]
    pub(crate) fn reconciled(&mut self, row: &Row) -> Row {
        self.until("reconciled", |device| {
            device.reconciled.contains(&row.token).then_some(())
        });
        stored(&self.folder, &row.token)
    }

    /// What the speaker has played, at the line's rate.
    pub(crate) fn heard(&self) -> Vec<i16> {
        sound::at_line_rate(&self.visitor.heard(), CARD.rate)
    }

    /// Waits until the visitor hears the callee's words; where, in samples
    /// since the card began.
    #[track_caller]
    pub(crate) fn hears(&self) -> usize {
        self.hears_after(0)
    }

    /// As [`hears`](Self::hears), and not before sample `from`.
    #[track_caller]
    pub(crate) fn hears_after(&self, from: usize) -> usize {
        let words = sound::chirp(sound::LINE_RATE);
        let mut search = Search::new(&words);
        search.looked = from;
        poll(
            || search.look(&self.heard()),
            || "the visitor hears nothing like the callee's words".to_owned(),
        )
    }

    /// Waits for something that is no event.
    #[track_caller]
    pub(crate) fn wait_until(&self, told: &str, mut so: impl FnMut(&Self) -> bool) {
        poll(|| so(self).then_some(()), || format!("{told}: never so"));
    }

    /// How many attempts are on record when it has stopped.
    #[track_caller]
    pub(crate) fn records(&mut self) -> usize {
        self.stop();
        records(&self.folder)
    }

    /// How often this lamp was lit, or this relay pulsed, so far.
    pub(crate) fn times_on(&self, what: Thing) -> usize {
        let changes = self.diary.changes();
        changes.iter().filter(|c| c.what == what && c.on).count()
    }

    /// The openings on record of this attempt.
    pub(crate) fn openings(&self, token: &str) -> Vec<Opening> {
        self.reader().openings(token).unwrap()
    }

    /// What was said in this attempt's call, as it is on record.
    pub(crate) fn transcript(&self, token: &str) -> Vec<(Party, String)> {
        let lines = self.reader().transcript(token).unwrap();
        lines.into_iter().map(|l| (l.party, l.text)).collect()
    }

    /// The latest record, as it is on the disk.
    pub(crate) fn latest(&self) -> Row {
        let latest = Query::Latest {
            limit: 1,
            offset: 0,
        };
        self.reader().rows(&latest).unwrap().remove(0)
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.folder.file("store/calls.db")).unwrap()
    }

    /// What `callbox hangup` does.
    #[track_caller]
    pub(crate) fn hang_up(&self) {
        ask(&self.control, &Request::Hangup).unwrap();
    }

    /// What `callbox status` shows.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        ask(&self.control, &Request::Status { trace: true }).unwrap()
    }

    #[track_caller]
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.status()["counters"][name].as_u64().unwrap_or(0)
    }

    /// Stops it gracefully; how long that took.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Duration {
        let asked = Instant::now();
        drop(self.stop.take());
        let daemon = self.daemon.take().expect("it runs");
        daemon.join().expect("the daemon fell over").unwrap();
        asked.elapsed()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(daemon) = self.daemon.take() {
            let ended = daemon.join();
            if !std::thread::panicking() {
                ended.expect("the daemon fell over").unwrap();
            }
        }
    }
}

/// The settings in the file at `path`, as `callbox run` reads them.
fn setup(path: &Path) -> Setup {
    config::load(path).unwrap().setup().unwrap()
}

fn card(remote: mpsc::Sender<Remote>) -> StartSound {
    Box::new(move |config, ports, wake, _| {
        let engine = Engine::new(config, ports, CARD, CARD);
        let card = virtual_card::Config {
            microphone: CARD,
            speaker: CARD,
            speech: sound::words(sound::VISITORS_PAUSE, CARD.rate),
            ..virtual_card::Config::default()
        };
        let (running, visitor) = virtual_card::start(card, engine, wake)?;
        // The story waits for it.
        _ = remote.send(visitor);
        Ok(running)
    })
}

/// One button, the two lamps of an emergency phone, and the doors' relays.
struct OneButton {
    buttons: Option<VirtualButtons>,
    diary: Diary,
    doors: u8,
}

impl Face for OneButton {
    type Edges = VirtualButtons;
    type Pin = VirtualPin;

    fn open(&mut self) -> Result<Lines<Self::Edges, Self::Pin>, gpio::Error> {
        let roles = [LampRole::InProgress, LampRole::Listen];
        let lamp = |role| (role, self.diary.pin(Thing::Lamp(role)));
        let relay = |place| self.diary.pin(Thing::Relay(place));
        Ok(Lines {
            edges: self.buttons.take().expect("virtual lines are opened once"),
            levels: vec![Level::Inactive],
            lamps: roles.map(lamp).into(),
            relays: (0..self.doors).map(relay).collect(),
        })
    }
}
