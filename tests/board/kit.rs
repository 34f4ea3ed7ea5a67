//! The board, what is installed on it, and the device that runs there.
//!
//! ```text
//!  Board ─ the guest, for one story at a time
//!   ├─ service ─▶ Far: the simulator behind TLS
//!   └─ install ─▶ Device: a folder both sides see, the program, line watch, an ear
//!                   ├ config, keys, certificates, sounds        story ─▶ guest
//!                   └ log, lines, ear.raw                       guest ─▶ story
//! ```
//!
//! What the guest writes is read as it grows, without asking the guest: a slow
//! processor is not to be kept busy by being watched.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use callbox::panel::Show;
use callbox::simulator;
use serde_json::Value;

use crate::agent::{Agent, Ran, set_link};
use crate::far_end::{CALLEE, GUARD, INBOUND_TOKEN, SIGNING_KEY, Search, Service, ms, poll};
use crate::front::{DEVICE, Front, HOST, certificate};
use crate::lamps::{self, Change};
use crate::sound;

/// The port of the guest that the emulator forwards to.
const PORT: u16 = 8081;
/// Samples a second of the card.
pub(crate) const RATE: u32 = 48_000;
/// How long a finger stays on the button.
const PUSH: Duration = Duration::from_millis(120);
/// The button's line, and those of the lamps and the relay.
pub(crate) const BUTTON: &str = "GPIO17";
pub(crate) const STATUS: &str = "GPIO27";
pub(crate) const IN_PROGRESS: &str = "GPIO23";
pub(crate) const LISTEN: &str = "GPIO24";
pub(crate) const RELAY: &str = "GPIO5";
/// The visitor's side of the card, and how sound lies there.
const CARD: &str = "hw:CARD=Loopback,DEV=1,SUBDEV=0";
/// What the guest's kernel says of the card's streams.
const STREAMS: &str = "/proc/asound/Loopback";
/// What a story starts in the guest, beside the program.
const HELPERS: &str = "callbox line room loopback outgoing";

/// Waits until the streams in the guest that match are closed, for 30 s at most.
const CLOSED: &str = "closed() { n=600; while grep -qs state: \"$@\"; do usleep 50000; \
                      n=$((n - 1)); [ $n -gt 0 ] || return 1; done; };";

/// The board, for one story at a time.
pub(crate) struct Board {
    guest: &'static Guest,
    _turn: MutexGuard<'static, ()>,
}

struct Guest {
    folder: PathBuf,
    media_port: u16,
    agent: Mutex<Agent>,
}

impl Guest {
    fn connect() -> Self {
        let folder = std::env::var_os("CALLBOX_BOARD");
        let folder = folder.expect("no CALLBOX_BOARD: board/emulator/run starts these stories");
        let folder = PathBuf::from(folder);
        let port = fs::read_to_string(folder.join("port")).expect("a board that is up");
        Self {
            media_port: port.trim().parse().expect("a port"),
            agent: Mutex::new(Agent::connect(&folder.join("agent.sock"))),
            folder,
        }
    }
}

impl Board {
    /// Waits for its turn, and puts away what an earlier story left. What the
    /// lamps and the relay are wired to holds their lines low.
    pub(crate) fn take() -> Self {
        static GUEST: OnceLock<Guest> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let board = Self {
            guest: GUEST.get_or_init(Guest::connect),
            _turn: turn,
        };
        board.set_link(true);
        board.run(&format!(
            "killall -q -9 {HELPERS}\n\
             {CLOSED} closed {STREAMS}/pcm*/sub0/status\n\
             rm -rf /var/lib/callbox/* /run/callbox/*\n\
             [ -e /proc/asound/Loopback ] || card in\n\
             for n in 5 23 24 27; do \
             echo pull-down >$(echo /sys/devices/platform/gpio-sim.*/*/sim_gpio$n)/pull; done"
        ));
        board
    }

    /// Runs a command in the guest, whatever comes of it.
    pub(crate) fn run(&self, command: &str) -> Ran {
        let agent = self.guest.agent.lock();
        agent.unwrap_or_else(PoisonError::into_inner).run(command)
    }

    /// Runs a command that has to work; what it says.
    #[track_caller]
    pub(crate) fn must(&self, command: &str) -> String {
        let ran = self.run(command);
        assert_eq!(ran.status, 0, "{command}\n{}{}", ran.out, ran.err);
        ran.out
    }

    /// Plugs the network in, or pulls it.
    pub(crate) fn set_link(&self, up: bool) {
        set_link(&self.guest.folder.join("qmp.sock"), up);
    }

    /// Where the service dials.
    pub(crate) fn public_url(&self) -> String {
        format!("wss://{DEVICE}:{}", self.guest.media_port)
    }

    /// Puts a program where the guest finds it, in `/share`.
    pub(crate) fn share(&self, program: &Path) {
        let name = program.file_name().expect("a file");
        let to = self.guest.folder.join("share").join(name);
        fs::copy(program, to).unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    }

    /// A service behind TLS, which trusts the device's certificate.
    pub(crate) fn service(&self, mut config: simulator::Config) -> Far {
        config.service.extra_ca_pem = Some(certificate().cert.pem());
        let service = Service::start(config);
        let address = service.handle.origin().trim_start_matches("http://");
        let address: SocketAddr = address.parse().expect("an address");
        Far {
            front: Front::start(address),
            service,
        }
    }

    /// Compares the guest's monotonic clock with ours.
    pub(crate) fn clock(&self) -> Clock {
        let ask = |_| {
            let asked = Instant::now();
            let said = self.must("head -n 3 /proc/timer_list");
            let off = asked.elapsed() / 2;
            let now = said.rsplit("now at ").next().expect("a last line");
            let now = now.split_whitespace().next().expect("nanoseconds");
            Clock {
                guest: now.parse::<f64>().expect("a number") / 1e9,
                ours: asked + off,
                off,
            }
        };
        let best = (0..8).map(ask).min_by_key(|clock| clock.off);
        best.expect("asked more than once")
    }
}

/// The guest's monotonic clock, in seconds, at a moment of ours.
pub(crate) struct Clock {
    guest: f64,
    ours: Instant,
    /// How far off that may be.
    pub(crate) off: Duration,
}

impl Clock {
    /// What the guest's clock showed at `at`.
    pub(crate) fn there(&self, at: Instant) -> f64 {
        let before = self.ours.saturating_duration_since(at).as_secs_f64();
        let after = at.saturating_duration_since(self.ours).as_secs_f64();
        self.guest - before + after
    }
}

/// The simulator, until it is dropped.
pub(crate) struct Far {
    service: Service,
    pub(crate) front: Front,
}

impl Far {
    /// Waits until the service's clock is at `until`, which may be long.
    pub(crate) fn pass(&self, until: Duration) {
        while self.service.began.elapsed() < until {
            std::thread::sleep(ms(50));
        }
    }
}

impl Deref for Far {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

/// What the installer's file says, beside what every story needs.
pub(crate) struct Installed {
    base_url: String,
    service: String,
    button: String,
    rest: String,
}

impl Installed {
    pub(crate) fn plain(far: &Far) -> Self {
        let inside = far.handle.base_url();
        let path = inside
            .strip_prefix(far.handle.origin())
            .expect("it begins so");
        Self {
            base_url: format!("https://{HOST}:{}{path}", far.front.port),
            service: String::new(),
            button: format!("to = \"{CALLEE}\""),
            rest: String::new(),
        }
    }

    /// The same with another button, beside its name and line.
    pub(crate) fn button(self, button: impl Into<String>) -> Self {
        let button = button.into();
        Self { button, ..self }
    }

    /// The same with more sections.
    pub(crate) fn with(self, rest: &str) -> Self {
        let rest = format!("{}\n{rest}", self.rest);
        Self { rest, ..self }
    }

    /// The same, where `caller` and nobody else may call it.
    pub(crate) fn called(self, caller: &str) -> Self {
        let service = "signing_key_file = \"@/signing-key\"".into();
        let inbound = format!(
            "[inbound]\naction = \"chime\"\nallow = [\"{caller}\"]\ntoken_file = \"@/inbound-token\""
        );
        Self { service, ..self }.with(&inbound)
    }

    /// The file; `guest` is the folder as the guest sees it, which `@` stands for.
    fn text(&self, board: &Board, guest: &str) -> String {
        let text = format!(
            "[service]\n\
             from_number = \"{number}\"\n\
             phone_number_id = \"{id}\"\n\
             base_url = \"{base}\"\n\
             api_key_file = \"@/api-key\"\n\
             ca_file = \"@/certificate.pem\"\n\
             {service}\n\
             [ingress]\n\
             mode = \"tls\"\n\
             public_url = \"{public}\"\n\
             listen = \"0.0.0.0:{PORT}\"\n\
             certificate = \"@/certificate.pem\"\n\
             private_key = \"@/key.pem\"\n\
             [[button]]\n\
             name = \"door\"\n\
             line = \"{BUTTON}\"\n\
             {button}\n\
             [[lamp]]\n\
             line = \"{STATUS}\"\n\
             [[lamp]]\n\
             line = \"{IN_PROGRESS}\"\n\
             role = \"in-progress\"\n\
             [[lamp]]\n\
             line = \"{LISTEN}\"\n\
             role = \"listen\"\n\
             [sound]\n\
             microphone = \"hw:CARD=Loopback,DEV=0,SUBDEV=0\"\n\
             speaker = \"hw:CARD=Loopback,DEV=0,SUBDEV=0\"\n\
             [store]\n\
             path = \"/var/lib/callbox/calls.db\"\n\
             [control]\n\
             socket = \"/run/callbox/control.sock\"\n\
             {rest}\n",
            number = simulator::NUMBER,
            id = simulator::NUMBER_ID,
            base = self.base_url,
            public = board.public_url(),
            service = self.service,
            button = self.button,
            rest = self.rest,
        );
        text.replace("@/", &format!("{guest}/"))
    }
}

/// What became of a waveform.
pub(crate) struct Played {
    /// When its first edge was, by the guest's wall clock.
    pub(crate) first: Duration,
    /// How late its latest edge was.
    pub(crate) latest: Duration,
}

/// A record, as `callbox calls export` has it.
pub(crate) type Record = serde_json::Map<String, Value>;

/// A device on the board.
pub(crate) struct Device<'b> {
    board: &'b Board,
    /// The folder as we see it, and as the guest does.
    folder: PathBuf,
    guest: String,
    /// Lines of the log that a story has waited for.
    waited: usize,
    /// Changes on the lines that a story has waited for.
    seen: usize,
}

impl<'b> Device<'b> {
    /// Installs it, and starts it in the company of an ear and of somebody who
    /// watches its lines; waits until it is of use.
    #[track_caller]
    pub(crate) fn start(board: &'b Board, installed: &Installed) -> Self {
        let mut device = Self::install(board, installed);
        device.listen();
        device.run();
        device
    }

    fn install(board: &'b Board, installed: &Installed) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("story-{}-{nth}", std::process::id());
        let folder = board.guest.folder.join("share").join(&name);
        fs::create_dir_all(&folder).unwrap();
        let guest = format!("/share/{name}");
        let device = Self {
            board,
            folder,
            guest,
            waited: 0,
            seen: 0,
        };
        let made = certificate();
        for (file, text) in [
            ("callbox.toml", installed.text(board, &device.guest)),
            ("api-key", simulator::API_KEY.into()),
            ("signing-key", SIGNING_KEY.into()),
            ("inbound-token", INBOUND_TOKEN.into()),
            ("certificate.pem", made.cert.pem()),
            ("key.pem", made.signing_key.serialize_pem()),
        ] {
            fs::write(device.folder.join(file), text).unwrap();
        }
        device.aside(&format!(
            "chrt -f 30 line watch {STATUS} {IN_PROGRESS} {LISTEN} {RELAY} >@/lines"
        ));
        device
    }

    /// Puts speaker and microphone into a room, in which an ear records what is
    /// played.
    pub(crate) fn listen(&self) {
        self.board.must("rm -f /run/mouth");
        self.aside(&format!(
            "chrt -f 40 /share/room {CARD} @/ear.raw /run/mouth >@/room"
        ));
        self.ear_began();
    }

    /// `callbox run`, as the service manager would start it.
    #[track_caller]
    pub(crate) fn run(&mut self) {
        // What it says goes through a pipe, as to a journal: the shared folder is
        // slow, and nobody is to wait for it.
        self.aside(
            "rm -f /run/log; mkfifo /run/log; cat </run/log >>@/log & \
             as-callbox callbox run --config @/callbox.toml >/run/log 2>&1 & p=$!; \
             echo $p >@/pid; wait $p; s=$?; wait; echo \"ended $s\" >>@/log",
        );
        self.says_all(&["the panel works", "the service is reached"]);
    }

    /// Ends the program as the service manager would; how long that took.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Duration {
        let asked = Instant::now();
        self.signal("TERM");
        self.says("ended 0");
        asked.elapsed()
    }

    /// Ends the program as a crash would.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        self.says("ended 137");
    }

    fn signal(&self, signal: &str) {
        self.board.must(&format!("kill -{signal} {}", self.pid()));
    }

    /// The program's number among the guest's processes.
    pub(crate) fn pid(&self) -> u32 {
        self.written("pid").trim().parse().expect("it was started")
    }

    /// A finger on the button, and off again; when it was felt first, by the
    /// guest's wall clock.
    pub(crate) fn press(&self) -> Duration {
        self.press_for(PUSH)
    }

    pub(crate) fn press_for(&self, held: Duration) -> Duration {
        self.play(&[held.as_micros() as u64]).first
    }

    /// Plays a waveform on the button's line.
    pub(crate) fn play(&self, wave: &[u64]) -> Played {
        let times: Vec<String> = wave.iter().map(u64::to_string).collect();
        fs::write(self.folder.join("wave"), times.join(" ")).unwrap();
        let play = format!("chrt -f 50 line play {BUTTON} <{}/wave", self.guest);
        let said = self.board.must(&play);
        let times = said.split_whitespace().map(|us| us.parse().unwrap());
        let times: Vec<_> = times.map(Duration::from_micros).collect();
        let [first, _, latest] = times[..] else {
            panic!("line play says {said:?}")
        };
        Played { first, latest }
    }

    /// Waits until the log has a line with `words`, after those waited for.
    #[track_caller]
    pub(crate) fn says(&mut self, words: &str) {
        self.says_all(&[words]);
    }

    /// The same of a line with each of `all`, in any order.
    #[track_caller]
    fn says_all(&mut self, all: &[&str]) {
        let latest = poll(
            || {
                let log = self.log();
                let of = |words: &&str| {
                    let mut lines = log.lines().skip(self.waited);
                    lines.position(|line| line.contains(*words))
                };
                let found: Option<Vec<_>> = all.iter().map(of).collect();
                found?.into_iter().max()
            },
            || format!("never said {all:?}:\n{}", self.log()),
        );
        self.waited += latest + 1;
    }

    /// Everything the program has said.
    pub(crate) fn log(&self) -> String {
        self.written("log")
    }

    /// A file that something in the guest has written.
    pub(crate) fn written(&self, name: &str) -> String {
        let text = fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What was seen on its lamps and its relay.
    pub(crate) fn changes(&self) -> Vec<Change> {
        lamps::changes(&self.written("lines"))
    }

    /// Waits until the status lamp has shown a whole period of `show`, after
    /// what was waited for.
    #[track_caller]
    pub(crate) fn shows(&mut self, show: Show) {
        let lasted = || lamps::lasted(&self.changes(), STATUS);
        let seen = self.seen;
        let found = poll(
            || lamps::find(lasted().get(seen..)?, show),
            || format!("never showed {show:?}: {:?}", &lasted()[seen..]),
        );
        self.seen += found + 1;
    }

    /// Waits for the first change of `line` to `on` after `since`.
    #[track_caller]
    pub(crate) fn turns(&self, line: &str, on: bool, since: Duration) -> Duration {
        let found = |c: &&Change| c.line == line && c.on == on && c.at > since;
        poll(
            || self.changes().iter().find(found).map(|c| c.at),
            || format!("{line} never turned {on}: {:?}", self.changes()),
        )
    }

    /// When this line was on, and for how long, each time that is over.
    pub(crate) fn pulses(&self, line: &str) -> Vec<Duration> {
        let lasted = lamps::lasted(&self.changes(), line);
        let on = |(on, lasted): (bool, Duration)| on.then_some(lasted);
        lasted.into_iter().filter_map(on).collect()
    }

    /// The visitor speaks: samples of the card. When the first left the mouth,
    /// by the guest's monotonic clock in seconds.
    pub(crate) fn speak(&self, samples: &[i16]) -> f64 {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        fs::write(self.folder.join("mouth.raw"), bytes).unwrap();
        let before = self.times("mouth").len();
        // A file is whole when it has its name.
        self.board.must(&format!(
            "cp {}/mouth.raw /run/words && mv /run/words /run/mouth",
            self.guest
        ));
        self.time("mouth", before)
    }

    /// Waits until the visitor has said it all.
    pub(crate) fn spoken(&self) {
        self.board.must(
            "n=600; while [ -e /run/mouth ]; do usleep 50000; n=$((n-1)); [ $n -gt 0 ]; done",
        );
    }

    /// When the ear heard its first sample, by the guest's monotonic clock.
    pub(crate) fn ear_began(&self) -> f64 {
        self.time("ear", 0)
    }

    /// The `nth` time that the room tells of; waits for it.
    fn time(&self, what: &str, nth: usize) -> f64 {
        poll(
            || self.times(what).get(nth).copied(),
            || format!("the room says no {what}: {}", self.written("room")),
        )
    }

    fn times(&self, what: &str) -> Vec<f64> {
        let room = self.written("room");
        let told = room
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let times = told.filter_map(|line| line.strip_prefix(what)?.trim().parse().ok());
        times.collect()
    }

    /// What the speaker has played since the ear began, as the line has it.
    pub(crate) fn heard(&self) -> Vec<i16> {
        sound::at_line_rate(&self.heard_by_the_card(), RATE)
    }

    /// The same, as the card has it.
    pub(crate) fn heard_by_the_card(&self) -> Vec<i16> {
        let bytes = fs::read(self.folder.join("ear.raw")).unwrap_or_default();
        let (samples, _) = bytes.as_chunks();
        samples.iter().copied().map(i16::from_le_bytes).collect()
    }

    /// Waits until the visitor hears the callee's words, not before sample
    /// `from` of the line; where.
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

    /// The visitor speaks and waits to be heard; says it again when the callee
    /// has spoken over it.
    #[track_caller]
    pub(crate) fn is_heard(&self, far: &Far, call: &str) {
        let words = sound::words(sound::VISITORS_PAUSE, RATE);
        let line = sound::chirp(sound::LINE_RATE);
        let mut search = Search::new(&line);
        search.looked = far.handle.heard(call).unwrap().len();
        let mut spoken = Instant::now() - GUARD;
        poll(
            || {
                if spoken.elapsed() > ms(1500) {
                    self.spoken();
                    self.speak(&words.repeat(2));
                    spoken = Instant::now();
                }
                search.look(&far.handle.heard(call)?)
            },
            || {
                format!(
                    "the callee hears nothing like the visitor's words:\n{}",
                    self.log()
                )
            },
        );
    }

    /// `callbox WORDS`, asked of the device; what it prints.
    #[track_caller]
    pub(crate) fn ask(&self, words: &str) -> String {
        let config = self.config();
        self.board
            .must(&format!("callbox {words} --config {config}"))
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ask("status --json --trace")).expect("JSON")
    }

    #[track_caller]
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.status()["counters"][name].as_u64().unwrap_or(0)
    }

    /// All records on disk, oldest first.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Record> {
        let lines = self.ask("calls export --numbers");
        let record = |line: &str| serde_json::from_str(line).expect("a record a line");
        lines.lines().map(record).collect()
    }

    /// Waits until the `nth` record is closed and has the service's account.
    #[track_caller]
    pub(crate) fn record(&self, nth: usize) -> Record {
        let done = |record: &Record| record["closed"] == true && !record["reconciled"].is_null();
        poll(
            || self.records().into_iter().nth(nth).filter(done),
            || format!("not closed: {:?}", self.records().get(nth)),
        )
    }

    fn config(&self) -> String {
        format!("{}/callbox.toml", self.guest)
    }

    /// Starts something in the guest that goes on; `@` is the folder both sides see.
    pub(crate) fn aside(&self, command: &str) {
        let command = command.replace("@/", &format!("{}/", self.guest));
        let aside = format!("{{ {command}; }} >/dev/null 2>&1 </dev/null &");
        self.board.must(&aside);
    }
}

impl Drop for Device<'_> {
    /// What the story leaves is for whoever looks for what went wrong.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the device said, in {}:\n{}",
                self.folder.display(),
                self.log()
            );
        } else {
            self.board.run(&format!("killall -q -9 {HELPERS}"));
            _ = fs::remove_dir_all(&self.folder);
        }
    }
}
