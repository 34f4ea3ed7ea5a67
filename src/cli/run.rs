//! `callbox run`: the intercom itself, as the service manager starts it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::card::NOTE;
use super::{ConfigPath, Failure};
use crate::audio::engine::Engine;
use crate::config::{File, Machine, lamp_lines_at, load};
use crate::daemon::{self, Face, Hardware, Lines, Setup, StartError, StartSound};
use crate::edge::gpio::{self, ButtonLine, Buttons, LinePin, OutputLine};
use crate::edge::panel_inputs::EdgeSource;
use crate::edge::{alsa, realtime};
use crate::panel::{Input, LampRole, Level, Trouble};
use crate::trace::Trace;
use crate::units::ButtonId;

/// `callbox run …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    at: ConfigPath,
    /// Where `callbox card` leaves its notes. A configuration that is not good,
    /// and a start that fails, are waited out then, with the reason on the lamp
    #[arg(long, value_name = "DIR")]
    card: Option<PathBuf>,
}

/// A start that failed is tried again after this: what it wants may come, an
/// address or a disk.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = &arguments.at.config;
    let Some(card) = &arguments.card else {
        serve(prepare(path).map_err(|(_, why)| why)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut failed: Option<(Instant, String)> = None;
    loop {
        let begin = || match &failed {
            Some((at, why)) if at.elapsed() < AGAIN => Err((Trouble::Other, why.clone())),
            _ => prepare(path),
        };
        let Some((file, mut setup)) = daemon::wait_for(begin, || lamps(path), stopped())? else {
            return Ok(ExitCode::SUCCESS);
        };
        setup.note = Some(card.join(NOTE));
        match serve((file, setup)) {
            Ok(()) => return Ok(ExitCode::SUCCESS),
            Err(error) => failed = Some((Instant::now(), error.to_string())),
        }
    }
}

/// What a device is to be, or what is wrong with its configuration.
fn prepare(path: &Path) -> Result<(File, Setup), (Trouble, String)> {
    let mut file = load(path).map_err(|fault| (Trouble::Config, fault.to_string()))?;
    file.settle(&Machine::here());
    // Asked for before the rest: a missing key is no fault of the file.
    file.rest().map_err(|why| (Trouble::Key, why))?;
    let setup = file.setup().map_err(|why| (Trouble::Config, why))?;
    Ok((file, setup))
}

/// The lamps of a configuration that is not good, as far as they can be lit.
fn lamps(path: &Path) -> Vec<(LampRole, LinePin)> {
    let open = |(role, line): (_, OutputLine)| match LinePin::open(&line) {
        Ok(pin) => Some((role, pin)),
        Err(error) => {
            tracing::warn!("no lamp: {error}");
            None
        }
    };
    lamp_lines_at(path).into_iter().filter_map(open).collect()
}

fn serve((file, setup): (File, Setup)) -> Result<(), StartError> {
    if let Some(board) = file.settled.board {
        tracing::info!("board: {}", board.title);
    }
    if let (Some(said), Some(here)) = (file.board.model, file.settled.here)
        && said != here
    {
        let (said, here) = (said.name, here.name);
        tracing::warn!("[board] model is {said:?}, but this is {here:?}");
    }
    if let Err(denied) = realtime::lock_memory() {
        tracing::warn!("{denied}");
    }
    let face = Panel {
        buttons: file.button_lines(),
        count: file.buttons.len(),
        lamps: file.lamp_lines(),
        relays: file.relay_lines(),
    };
    let hardware = Hardware {
        face,
        sound: card(&file),
    };
    daemon::run(setup, hardware, None, stopped())?;
    tracing::info!("stopped");
    Ok(())
}

/// Done when the service manager, or a person at the terminal, says so.
async fn stopped() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(error) => {
            tracing::error!("signals are not heard: {error}");
            std::future::pending().await
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
        // The terminal it was started from is gone.
        () = wait(SignalKind::hangup()) => {}
    }
}

fn card(file: &File) -> StartSound {
    let cards = file.cards();
    Box::new(move |config, ports, wake, trace| {
        dump_at_panic(Arc::clone(&trace));
        let card = alsa::open(&cards);
        for (direction, name, fit) in card.fits() {
            tracing::info!("{direction}: {name}, {fit}");
        }
        let engine = Engine::new(config, ports, card.microphone(), card.speaker());
        card.start(engine, wake, trace)
    })
}

/// A panic ends the process, and the service manager begins a new one. What
/// led to it goes into the log before.
fn dump_at_panic(trace: Arc<Trace>) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        tracing::error!("callbox fell over; the latest events, with seconds since its start:");
        for event in trace.events() {
            tracing::error!("{event}");
        }
    }));
}

/// The lines of the configuration, opened anew when they are lost.
struct Panel {
    /// The buttons that have a line, by their place in the configuration.
    buttons: Vec<(ButtonId, ButtonLine)>,
    /// All buttons, also those only the control socket presses.
    count: usize,
    lamps: Vec<(LampRole, OutputLine)>,
    relays: Vec<OutputLine>,
}

impl Face for Panel {
    type Edges = Wired;
    type Pin = LinePin;

    fn open(&mut self) -> Result<Lines<Wired, LinePin>, gpio::Error> {
        let (ids, lines): (Vec<_>, Vec<_>) = self.buttons.iter().cloned().unzip();
        let wired = Wired {
            lines: Buttons::open(&lines)?,
            ids,
        };
        let mut levels = vec![Level::Inactive; self.count];
        for (id, level) in wired.ids.iter().zip(wired.lines.levels()?) {
            levels[usize::from(id.0)] = level;
        }
        let lamp = |(role, line): &(_, _)| Ok((*role, LinePin::open(line)?));
        let lamps = self.lamps.iter().map(lamp);
        let relays = self.relays.iter().map(LinePin::open);
        Ok(Lines {
            edges: wired,
            levels,
            lamps: lamps.collect::<Result<_, gpio::Error>>()?,
            relays: relays.collect::<Result<_, _>>()?,
        })
    }
}

/// Button lines, with the ids of their buttons.
struct Wired {
    lines: Buttons,
    ids: Vec<ButtonId>,
}

impl EdgeSource for Wired {
    async fn next(&mut self) -> Result<(Duration, Input), gpio::Error> {
        let (at, mut input) = self.lines.next().await?;
        if let Input::Edge { button, .. } | Input::Level { button, .. } = &mut input {
            *button = self.ids[usize::from(button.0)];
        }
        Ok((at, input))
    }

    fn level(&self, button: ButtonId) -> Result<Level, gpio::Error> {
        let line = self.ids.iter().position(|id| *id == button);
        // Only buttons with a line lose edges. There are at most 16.
        self.lines.level(ButtonId(line.unwrap_or_default() as u8))
    }
}
