//! Where the demo plays: the installer's file, the simulated service, and the
//! virtual panel and card of the device.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};

use tokio::sync::oneshot;

use super::scene::{Begins, Script};
use crate::audio;
use crate::audio::engine::{Engine, Format};
use crate::cli::{Failure, service};
use crate::config::{self, File};
use crate::daemon::{Face, Lines, StartSound};
use crate::edge::gpio;
use crate::edge::virtual_card::{self, Remote};
use crate::edge::virtual_panel::{Diary, Thing, VirtualButtons, VirtualPin};
use crate::panel::{LampRole, Level};
use crate::simulator::{self, Event, Simulator, speech};

/// Rate of the virtual card: what most cards run at.
const CARD: Format = Format {
    rate: 48_000,
    channels: 1,
};
/// What the service signs its connections with; both are on this machine and
/// gone in a minute.
const SIGNING_KEY: &str = "whsec_callbox-demo";

/// Writes the file an installer would, and reads it as `callbox run` does.
pub(super) fn configure(
    base_url: &str,
    out: &Path,
    script: &Script,
) -> Result<(PathBuf, File), Failure> {
    let path = out.join("callbox.toml");
    let in_folder = |name: &str| toml::Value::from(out.join(name).display().to_string());
    let numbers = script.people.iter().map(|(number, _)| *number);
    let numbers: Vec<_> = numbers.collect();
    let text = format!(
        "# Written by `callbox demo`: its service listens on this machine while it runs.\n\
         [service]\n\
         from_number = \"{number}\"\n\
         phone_number_id = \"{id}\"\n\
         base_url = \"{base_url}\"\n\
         api_key_file = {key}\n\
         signing_key_file = {signing_key}\n\n\
         [ingress]\n\
         mode = \"public-url\"\n\
         public_url = \"ws://{listen}\"\n\
         listen = \"{listen}\"\n\n\
         [[button]]\n\
         name = \"door\"\n\
         to = {to}\n\
         {button}\n\n\
         {sections}\n\
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
        to = toml::Value::from(numbers),
        button = script.button,
        sections = script.sections,
        key = in_folder("api-key"),
        signing_key = in_folder("signing-key"),
        store = in_folder("calls.db"),
        control = in_folder("control.sock"),
    );
    write_secret(&out.join("api-key"), simulator::API_KEY)?;
    write_secret(&out.join("signing-key"), SIGNING_KEY)?;
    std::fs::write(&path, &text)?;
    let file = config::parse(&path, &text)?;
    Ok((path, file))
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
pub(super) struct Service {
    pub(super) handle: simulator::Handle,
    _stop: oneshot::Sender<()>,
}

impl Service {
    /// Starts it; `tell` is given every event.
    pub(super) fn start(tell: impl Fn(Event) + Send + 'static) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut config = simulator::Config::default();
        config.service.signing_key = Some(SIGNING_KEY.to_owned());
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (ready, started) = mpsc::channel();
        std::thread::Builder::new()
            .name("callbox-service".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let running = match Simulator::start(config).await {
                        Ok(running) => running,
                        Err(error) => {
                            _ = ready.send(Err(error));
                            return;
                        }
                    };
                    let mut events = running.handle.events();
                    _ = ready.send(Ok(running.handle.clone()));
                    loop {
                        tokio::select! {
                            event = events.next() => tell(event),
                            _ = &mut stopped => break,
                        }
                    }
                    running.stop().await;
                });
            })?;
        let handle = started.recv()??;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }

    /// Takes its people from the script, and what the device wants to become
    /// of calls to it from the device's file.
    pub(super) fn set_up(&self, script: &Script, file: &File) -> Result<(), Failure> {
        for (number, person) in &script.people {
            self.handle.set_callee_for(number, person.clone());
        }
        if script.begins == Begins::Call {
            println!("`callbox service apply` tells the service where calls to the device go:");
            service::apply(file, service::Ask::Never, &mut io::stdout())?;
            println!();
        }
        Ok(())
    }
}

/// Starts the card; `remote` is sent the visitor's end of it.
pub(super) fn card(remote: Sender<Remote>) -> StartSound {
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

/// One button, the two steady lamps, and a relay for each door. What the status
/// lamp shows is in the story.
pub(super) struct DemoFace {
    /// Opened once.
    pub(super) buttons: Option<VirtualButtons>,
    /// What lamps and relays write into.
    pub(super) diary: Diary,
    /// How many doors there are.
    pub(super) doors: u8,
}

impl Face for DemoFace {
    type Edges = VirtualButtons;
    type Pin = VirtualPin;

    fn open(&mut self) -> Result<Lines<Self::Edges, Self::Pin>, gpio::Error> {
        let edges = self
            .buttons
            .take()
            .expect("virtual lines are never lost, so opened once");
        let lamp = |role| (role, self.diary.pin(Thing::Lamp(role)));
        let relay = |door| self.diary.pin(Thing::Relay(door));
        Ok(Lines {
            edges,
            levels: vec![Level::Inactive],
            lamps: [LampRole::InProgress, LampRole::Listen].map(lamp).into(),
            relays: (0..self.doors).map(relay).collect(),
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

/// Writes what the card played.
pub(super) fn write_wav(path: &Path, samples: &[i16]) -> Result<(), Failure> {
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
