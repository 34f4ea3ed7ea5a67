//! `callbox demo`: whole calls on this machine, with no hardware and no account.
//!
//! ```text
//!  this thread          callbox-demo             callbox-service
//!  Enter, story  ─push─▶ daemon, panel, card ◀──▶ simulator, over loopback sockets
//!       ▲        ◀notice─      │ lamps, relays          │ events
//!       └──────────────────────┴────────────────────────┘
//! ```
//!
//! Nothing is stubbed: the daemon is the one of `callbox run`; only its lines
//! and its card are virtual, and the service is the simulator. What is shown is
//! data: a [`Scene`] is people with times, and a part of an installer's file.

mod scene;
mod stage;
mod story;

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Failure, calls, with_surroundings};
use crate::call::Phase;
use crate::config::File;
use crate::daemon::{self, Hardware, Notice};
use crate::edge::panel_inputs::KernelClock;
use crate::edge::store::Row;
use crate::edge::virtual_card::Remote;
use crate::edge::virtual_panel::{Diary, Finger, virtual_buttons};
use crate::simulator::{self, Event};
use crate::units::ButtonId;
use scene::{Begins, CALLER, Scene, Script, Visitor};
use stage::{DemoFace, Service};

/// `callbox demo …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Begin at once, without being asked, and end with the call
    #[arg(long)]
    press: bool,
    /// What is shown
    #[arg(long, value_enum, default_value_t = Scene::Call)]
    scene: Scene,
    /// Folder for the recordings, the record and the picture
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How long a finger stays on the button.
const PUSH: Duration = Duration::from_millis(150);
/// How often the lamps and relays are looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// Longest that a scene takes; beyond it something is broken.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join("callbox-demo"),
    };
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: cannot be made: {e}", out.display()))?;
    let mut demo = Demo::start(&out, arguments.scene.script())?;
    if arguments.press {
        demo.play()?;
    } else {
        demo.serve_keys()?;
    }
    demo.stop()
}

/// Something happened.
enum News {
    Device(Notice),
    Service(Event),
}

struct Demo {
    out: PathBuf,
    config: PathBuf,
    file: File,
    script: Script,
    started: Instant,
    service: Service,
    finger: Finger,
    clock: KernelClock,
    diary: Diary,
    visitor: Remote,
    news: Receiver<News>,
    stop: oneshot::Sender<()>,
    daemon: JoinHandle<Result<(), daemon::StartError>>,
}

/// How far what was begun has come.
#[derive(Default)]
struct Progress {
    phase: Option<Phase>,
    /// Attempts, and whether all is known of them.
    attempts: Vec<(Row, bool)>,
    /// Lamps and relays were told of up to here.
    told: Duration,
}

impl Progress {
    fn is_over(&self) -> bool {
        let known = !self.attempts.is_empty() && self.attempts.iter().all(|(_, known)| *known);
        known && self.phase.is_some_and(story::is_over)
    }

    /// The record of an attempt, as far as it is known.
    fn take(&mut self, row: Row) {
        // Of one without an id the service has nothing to say.
        let known = row.closed == Some(true) && row.call_id.is_none();
        match self
            .attempts
            .iter_mut()
            .find(|(seen, _)| seen.token == row.token)
        {
            Some(seen) => *seen = (row, known),
            None => self.attempts.push((row, known)),
        }
    }

    /// The service's own account of it is on record.
    fn is_reconciled(&mut self, token: &str) {
        let ours = self
            .attempts
            .iter_mut()
            .find(|(seen, _)| seen.token == token);
        if let Some((_, known)) = ours {
            *known = true;
        }
    }

    fn has(&self, token: &str) -> bool {
        self.attempts.iter().any(|(seen, _)| seen.token == token)
    }
}

impl Demo {
    fn start(out: &Path, script: Script) -> Result<Self, Failure> {
        println!("callbox demo: a telephone service, an intercom and a visitor on this machine");
        println!("the scene: {}", script.about);
        println!();
        let (tell, news) = mpsc::channel();
        let told_by_service = tell.clone();
        let service = Service::start(move |event| _ = told_by_service.send(News::Service(event)))?;
        let (config, file) = stage::configure(&service.handle.base_url(), out, &script)?;
        let setup = file.setup()?;
        service.set_up(&script, &file)?;

        let clock = KernelClock::new()?;
        let (finger, buttons) = virtual_buttons(clock);
        let diary = Diary::new(clock);
        let face = DemoFace {
            buttons: Some(buttons),
            diary: diary.clone(),
            doors: u8::try_from(setup.doors.len())?,
        };
        let (remote_tx, remote_rx) = mpsc::channel();
        let (told, mut heard) = daemon::notices();
        let (stop, stopped) = oneshot::channel::<()>();
        let daemon = std::thread::Builder::new()
            .name("callbox-demo".to_owned())
            .spawn(move || {
                let hardware = Hardware {
                    face,
                    sound: stage::card(remote_tx),
                };
                let until = async {
                    // Dropped when the demo fails: stop then, too.
                    _ = stopped.await;
                };
                daemon::run(setup, hardware, Some(told), until)
            })?;
        // The daemon's channel is tokio's; this thread has no runtime.
        std::thread::Builder::new()
            .name("callbox-notices".to_owned())
            .spawn(move || {
                while let Some(notice) = heard.blocking_recv() {
                    if tell.send(News::Device(notice)).is_err() {
                        return;
                    }
                }
            })?;
        let Ok(visitor) = remote_rx.recv() else {
            return Err(match daemon.join() {
                Ok(Err(error)) => error.into(),
                _ => "the intercom ended before it began".into(),
            });
        };
        while !matches!(news.recv()?, News::Device(Notice::Ready)) {}
        Ok(Self {
            out: out.to_owned(),
            config,
            file,
            script,
            started: Instant::now(),
            service,
            finger,
            clock,
            diary,
            visitor,
            news,
            stop,
            daemon,
        })
    }

    /// Enter presses, `q` quits.
    fn serve_keys(&mut self) -> Result<(), Failure> {
        let begins = match self.script.begins {
            Begins::Press => "presses the button",
            Begins::Call => "lets somebody call",
        };
        println!("Enter {begins}, q and Enter quits");
        for line in io::stdin().lock().lines() {
            if line?.trim() == "q" {
                break;
            }
            self.play()?;
            println!("\nEnter {begins} again, q and Enter quits");
        }
        Ok(())
    }

    /// What a press or a call from outside leads to, to the closed record.
    fn play(&mut self) -> Result<(), Failure> {
        // What happened since the last call is no part of this one's story.
        while self.news.try_recv().is_ok() {}
        let progress = Progress {
            told: self.clock.now(),
            ..Progress::default()
        };
        self.started = Instant::now();
        match self.script.begins {
            Begins::Press => {
                self.say("a finger on the button");
                if !self.finger.push(ButtonId(0), PUSH) {
                    return Err("the panel takes no presses".into());
                }
            }
            Begins::Call => {
                self.say("somebody dials the number of the intercom");
                let call = self.service.handle.call_in(CALLER, simulator::NUMBER);
                call.ok_or("the service has no such number")?;
            }
        }
        let attempts = self.follow(progress)?;
        self.show(&attempts)
    }

    /// Tells the story until the service's own account is in the records.
    fn follow(&self, mut progress: Progress) -> Result<Vec<Row>, Failure> {
        while !progress.is_over() {
            if self.started.elapsed() > PATIENCE {
                return Err("the call does not end".into());
            }
            match self.news.recv_timeout(GLANCE) {
                Ok(News::Device(notice)) => self.on_notice(notice, &mut progress),
                Ok(News::Service(event)) => self.say_if(story::far_end(&event.what)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("the intercom ended".into()),
            }
            for change in self.diary.changes() {
                if change.at > progress.told {
                    progress.told = change.at;
                    self.say_if(story::change(&change));
                }
            }
        }
        Ok(progress.attempts.into_iter().map(|(row, _)| row).collect())
    }

    fn on_notice(&self, notice: Notice, progress: &mut Progress) {
        match notice {
            Notice::Phase(phase) => {
                progress.phase = Some(phase);
                self.say(story::phase(phase));
                if phase == Phase::Answered && self.script.visitor == Visitor::Talks {
                    self.say("the two talk: \"Hello? Who is there?\"");
                    self.visitor.speak();
                }
            }
            Notice::Record(row) => self.on_record(*row, progress),
            // The folder may hold records of earlier demos, which are
            // reconciled as well.
            Notice::Reconciled(token) => progress.is_reconciled(&token),
            Notice::Pressed(_) => self.say("the press counts"),
            Notice::Ready => {}
        }
    }

    fn on_record(&self, row: Row, progress: &mut Progress) {
        let several = self.script.people.len() > 1;
        let is_inbound = self.script.begins == Begins::Call;
        if (several || is_inbound) && !progress.has(&row.token) {
            self.say_if(story::attempt(&row));
        }
        if several && row.closed == Some(true) {
            self.say(&format!("off the line: {}", row.outcome().as_str()));
        }
        progress.take(row);
    }

    /// The record of the last attempt, its picture, and what was heard in it.
    fn show(&self, attempts: &[Row]) -> Result<(), Failure> {
        let row = attempts.last().ok_or("nothing is on record")?;
        let picture = self.out.join("call.svg");
        println!(
            "\nThe record, as `callbox calls show {}` has it:\n",
            row.short_token()
        );
        with_surroundings(&self.file, |around, out| {
            Ok(calls::tell(&row.token, &around, &picture, out)?)
        })?;
        let call = row.call_id.as_ref();
        let call = call.ok_or("the call was not placed; there is nothing to hear")?;
        let callee_heard = self.out.join("callee-heard.wav");
        let visitor_heard = self.out.join("visitor-heard.wav");
        self.service
            .handle
            .save_heard(call.as_str(), &callee_heard)?;
        stage::write_wav(&visitor_heard, &self.visitor.heard())?;
        println!("\nWhat both sides heard, and a picture of the call:\n");
        for path in [callee_heard, visitor_heard, picture] {
            println!("  {}", path.display());
        }
        println!("\nNext: listen with `aplay FILE`, open the picture in a browser, or look again:");
        println!("  callbox calls --config {} list", self.config.display());
        println!("Other scenes: `callbox demo --scene list`, door, announce, inbound.");
        println!("For a real device: `callbox config init`, `callbox doctor`, `callbox run`.");
        Ok(())
    }

    fn say(&self, what: &str) {
        println!("{:7.2} s  {what}", self.started.elapsed().as_secs_f64());
    }

    fn say_if(&self, what: Option<String>) {
        if let Some(what) = what {
            self.say(&what);
        }
    }

    fn stop(self) -> Result<ExitCode, Failure> {
        _ = self.stop.send(());
        match self.daemon.join() {
            Ok(ended) => ended?,
            Err(_) => return Err("the intercom fell over".into()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
