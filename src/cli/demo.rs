//! `callbox demo`: a whole call on this machine, with no hardware and no account.
//!
//! ```text
//!  this thread          callbox-demo             callbox-service
//!  Enter, story  ─push─▶ daemon, panel, card ◀──▶ simulator, over loopback sockets
//!                ◀notice─
//! ```
//!
//! Nothing is stubbed: the daemon is the one of `callbox run`; only its lines
//! and its card are virtual, and the service is the simulator.

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Failure;
use super::calls::show_facts;
use crate::audio;
use crate::audio::engine::{Engine, Format};
use crate::call::Phase;
use crate::config;
use crate::daemon::{self, Face, Hardware, Lines, Notice, Setup, StartSound};
use crate::edge::gpio;
use crate::edge::panel_inputs::KernelClock;
use crate::edge::store::{Query, Reader, Row};
use crate::edge::virtual_card::{self, Remote};
use crate::edge::virtual_panel::{Finger, VirtualButtons, VirtualPin, virtual_buttons};
use crate::panel::Level;
use crate::simulator::{self, Simulator, speech};
use crate::units::ButtonId;

/// `callbox demo …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Press the button once, without being asked, and end with the call
    #[arg(long)]
    press: bool,
    /// Folder for the recordings and the record
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The one button's number: a fictitious one.
const CALLEE: &str = "+15005550199";
/// Rate of the virtual card: what most cards run at.
const CARD: Format = Format {
    rate: 48_000,
    channels: 1,
};
/// How long a finger stays on the button.
const PUSH: Duration = Duration::from_millis(150);
/// Longest that a call of the demo takes; beyond it something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join("callbox-demo"),
    };
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: cannot be made: {e}", out.display()))?;
    let mut demo = Demo::start(&out)?;
    if arguments.press {
        demo.call()?;
    } else {
        demo.serve_keys()?;
    }
    demo.stop()?;
    Ok(ExitCode::SUCCESS)
}

struct Demo {
    out: PathBuf,
    config: PathBuf,
    started: Instant,
    service: Service,
    finger: Finger,
    visitor: Remote,
    notices: Receiver<Notice>,
    stop: oneshot::Sender<()>,
    daemon: JoinHandle<Result<(), daemon::StartError>>,
    calls: u32,
}

impl Demo {
    fn start(out: &Path) -> Result<Self, Failure> {
        let service = Service::start()?;
        let clock = KernelClock::new()?;
        let (finger, buttons) = virtual_buttons(clock);
        let (remote_tx, remote_rx) = mpsc::channel();
        let (config, setup) = configure(&service.handle.base_url(), out)?;
        let (told, mut heard) = daemon::notices();
        let (stop, stopped) = oneshot::channel::<()>();
        let daemon = std::thread::Builder::new()
            .name("callbox-demo".to_owned())
            .spawn(move || {
                let hardware = Hardware {
                    face: DemoFace(Some(buttons)),
                    sound: card(remote_tx),
                };
                let until = async {
                    // Dropped when the demo fails: stop then, too.
                    _ = stopped.await;
                };
                daemon::run(setup, hardware, Some(told), until)
            })?;
        // The daemon's channel is tokio's; this thread has no runtime.
        let (pass_on, notices) = mpsc::channel();
        std::thread::Builder::new()
            .name("callbox-notices".to_owned())
            .spawn(move || {
                while let Some(notice) = heard.blocking_recv() {
                    if pass_on.send(notice).is_err() {
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
        println!("callbox demo: a telephone service, an intercom and a visitor on this machine");
        println!(
            "the service is at {}, the intercom dials {CALLEE} through it",
            service.handle.base_url()
        );
        println!();
        Ok(Self {
            out: out.to_owned(),
            config,
            started: Instant::now(),
            service,
            finger,
            visitor,
            notices,
            stop,
            daemon,
            calls: 0,
        })
    }

    /// Enter presses, `q` quits.
    fn serve_keys(&mut self) -> Result<(), Failure> {
        println!("Enter presses the button, q and Enter quits");
        for line in io::stdin().lock().lines() {
            if line?.trim() == "q" {
                break;
            }
            self.call()?;
            println!("\nEnter presses again, q and Enter quits");
        }
        Ok(())
    }

    /// One press, and what follows from it, to the closed record.
    fn call(&mut self) -> Result<(), Failure> {
        self.calls += 1;
        // What happened since the last call is no part of this one's story.
        while self.notices.try_recv().is_ok() {}
        self.started = Instant::now();
        self.say("a finger on the button");
        if !self.finger.push(ButtonId(0), PUSH) {
            return Err("the panel takes no presses".into());
        }
        let row = self.follow()?;
        println!("\nThe record:\n");
        show_facts(&row.facts(false), false, &mut io::stdout())?;
        self.keep(&row)?;
        Ok(())
    }

    /// The record as `callbox calls show` reads it.
    fn record(&self, token: &str) -> Result<Row, Failure> {
        let rows =
            Reader::open(&self.out.join("calls.db"))?.rows(&Query::Find(token.to_owned()))?;
        Ok(rows
            .into_iter()
            .next()
            .ok_or("the record is not in the store")?)
    }

    /// Tells the story until the service's own account is in the record.
    fn follow(&mut self) -> Result<Row, Failure> {
        let mut ours = String::new();
        loop {
            let left = PATIENCE
                .checked_sub(self.started.elapsed())
                .ok_or("the call does not end")?;
            match self.notices.recv_timeout(left) {
                Ok(Notice::Phase(phase)) => {
                    self.say(story(phase));
                    if phase == Phase::Answered {
                        self.say("the two talk: \"Hello, who is there?\"");
                        self.visitor.speak();
                    }
                }
                Ok(Notice::Pressed(_)) => self.say("the press counts"),
                Ok(Notice::Record(row)) if row.closed == Some(true) && row.call_id.is_none() => {
                    return Ok(*row);
                }
                Ok(Notice::Record(row)) => ours = row.token,
                // The folder may hold records of earlier demos, which are
                // reconciled as well.
                Ok(Notice::Reconciled(token)) if token == ours => return self.record(&token),
                Ok(Notice::Reconciled(_) | Notice::Ready) => {}
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("the intercom ended".into()),
            }
        }
    }

    /// Leaves what both sides heard in the folder.
    fn keep(&self, row: &Row) -> Result<(), Failure> {
        let callee_heard = self.out.join("callee-heard.wav");
        let visitor_heard = self.out.join("visitor-heard.wav");
        let id = row
            .call_id
            .as_ref()
            .ok_or("the call was not placed; there is nothing to hear")?;
        self.service.handle.save_heard(id.as_str(), &callee_heard)?;
        write_wav(&visitor_heard, &self.visitor.heard())?;
        println!("\nWhat both sides heard:\n");
        println!("  {}", callee_heard.display());
        println!("  {}", visitor_heard.display());
        println!("\nNext: listen to them with `aplay FILE`, or look at the record again with");
        println!("  callbox calls --config {} list", self.config.display());
        println!("For a real device: `callbox config init`, `callbox doctor`, `callbox run`.");
        Ok(())
    }

    fn say(&self, what: &str) {
        println!("{:7.2} s  {what}", self.started.elapsed().as_secs_f64());
    }

    fn stop(self) -> Result<(), Failure> {
        _ = self.stop.send(());
        match self.daemon.join() {
            Ok(ended) => ended?,
            Err(_) => return Err("the intercom fell over".into()),
        }
        Ok(())
    }
}

fn story(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "lamp dark: ready for a press",
        Phase::Pressed => "lamp lit",
        Phase::Dialing => "lamp blinks slowly: the call is being placed",
        Phase::Ringing => "lamp blinks twice: it rings at the callee's, ring-back at the door",
        Phase::Confirming => "answered: the callee is asked to press a key",
        Phase::Chiming => "somebody calls: it chimes",
        Phase::Announcing => "answered: the announcement is being made",
        Phase::Answered => "lamp lit: answered, the service has connected the sound",
        Phase::OneWay => "nothing is heard from the callee",
        Phase::Reconnecting => "the sound dropped and is expected back",
        Phase::Ending => "hanging up",
        Phase::Announced => "the announcement was made",
        Phase::Ended => "the call is over",
        Phase::Failed => "the call failed",
        Phase::Limited => "a limit says no",
        Phase::Offline => "the service is not reached",
    }
}

/// Writes the file an installer would, and reads it as `callbox run` does.
fn configure(base_url: &str, out: &Path) -> Result<(PathBuf, Setup), Failure> {
    let path = out.join("callbox.toml");
    let in_folder = |name: &str| toml::Value::from(out.join(name).display().to_string());
    let text = format!(
        "# Written by `callbox demo`: its service listens on this machine while it runs.\n\
         [service]\n\
         from_number = \"{number}\"\n\
         phone_number_id = \"{id}\"\n\
         base_url = \"{base_url}\"\n\
         api_key_file = {key}\n\n\
         [ingress]\n\
         mode = \"public-url\"\n\
         public_url = \"ws://{listen}\"\n\
         listen = \"{listen}\"\n\n\
         [[button]]\n\
         name = \"door\"\n\
         to = \"{CALLEE}\"\n\n\
         [limits]\n\
         calls = 100\n\
         minutes = 100\n\n\
         [store]\n\
         path = {store}\n\n\
         [control]\n\
         socket = {control}\n",
        number = simulator::NUMBER,
        id = simulator::NUMBER_ID,
        listen = free_address()?,
        key = in_folder("api-key"),
        store = in_folder("calls.db"),
        control = in_folder("control.sock"),
    );
    write_secret(&out.join("api-key"), simulator::API_KEY)?;
    std::fs::write(&path, &text)?;
    let setup = config::parse(&path, &text)?.setup()?;
    Ok((path, setup))
}

/// A file only its owner reads, as doctor wants it.
fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(secret.as_bytes())
}

/// A loopback port nobody uses: the URL must be known before the ingress
/// listens, so it is asked for here and bound there.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The simulator, on a thread of its own until it is dropped.
struct Service {
    handle: simulator::Handle,
    _stop: oneshot::Sender<()>,
}

impl Service {
    fn start() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = mpsc::channel();
        std::thread::Builder::new()
            .name("callbox-service".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let running = Simulator::start(simulator::Config::default()).await;
                    let handle = running.as_ref().map(|r| r.handle.clone());
                    _ = ready.send(handle.map_err(|e| io::Error::new(e.kind(), e.to_string())));
                    if let Ok(running) = running {
                        _ = stopped.await;
                        running.stop().await;
                    }
                });
            })?;
        let handle = started.recv()??;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }
}

fn card(remote: Sender<Remote>) -> StartSound {
    Box::new(move |config, ports, wake, _| {
        let engine = Engine::new(config, ports, CARD, CARD);
        let card = virtual_card::Config {
            microphone: CARD,
            speaker: CARD,
            speech: at_card_rate(&speech::visitor()),
            ..virtual_card::Config::default()
        };
        let (running, visitor) = virtual_card::start(card, engine, wake)?;
        // The demo waits for it.
        _ = remote.send(visitor);
        Ok(running)
    })
}

/// One button; the lamp's light is in the story.
struct DemoFace(Option<VirtualButtons>);

impl Face for DemoFace {
    type Edges = VirtualButtons;
    type Pin = VirtualPin;

    fn open(&mut self) -> Result<Lines<Self::Edges, Self::Pin>, gpio::Error> {
        let edges = self
            .0
            .take()
            .expect("virtual lines are never lost, so opened once");
        Ok(Lines {
            edges,
            levels: vec![Level::Inactive],
            lamps: Vec::new(),
            relays: Vec::new(),
        })
    }
}

/// Speech at the line's rate as the card's microphone would bring it: a
/// windowed sinc, 16 input samples to each side, flat to 3.6 kHz.
fn at_card_rate(speech: &[i16]) -> Vec<i16> {
    const REACH: isize = 16;
    let factor = (CARD.rate / audio::LINE_RATE) as usize;
    let weight = |x: f64| {
        let window = (std::f64::consts::FRAC_PI_2 * x / REACH as f64)
            .cos()
            .powi(2);
        let angle = std::f64::consts::PI * x;
        if x == 0.0 {
            1.0
        } else {
            angle.sin() / angle * window
        }
    };
    let sample = |n: usize| {
        let (whole, part) = ((n / factor) as isize, (n % factor) as f64 / factor as f64);
        let near = (whole - REACH + 1..=whole + REACH).filter_map(|at| {
            let value = speech.get(usize::try_from(at).ok()?)?;
            Some(f64::from(*value) * weight((at - whole) as f64 - part))
        });
        near.sum::<f64>().round() as i16
    };
    (0..speech.len() * factor).map(sample).collect()
}

fn write_wav(path: &Path, samples: &[i16]) -> Result<(), Failure> {
    let spec = hound::WavSpec {
        channels: CARD.channels,
        sample_rate: CARD.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec)
        .map_err(|e| format!("{}: cannot be written: {e}", path.display()))?;
    for sample in samples {
        file.write_sample(*sample)?;
    }
    file.finalize()?;
    Ok(())
}
