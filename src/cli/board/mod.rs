//! `callbox board`: what is known of boards and sound cards, how a panel is
//! wired to one, and what is found on this machine.
//!
//! ```text
//!  list            the profiles
//!  show NAME       one of them; with --picture its wiring as SVG
//!  detect          this machine: board, chips, cards, what the config says otherwise
//! ```

mod drawing;
pub(super) mod wiring;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::doctor::{board, report};
use super::{ConfigPath, Failure, text};
use crate::config::profile::{Board, Sound, boards, sounds};
use crate::config::{Machine, SoundChoice, load};
use crate::edge::alsa::{Kind, choose};
use crate::edge::card::Direction;
use crate::edge::gpio;
use wiring::{connect, parts, usual, words};

/// `callbox board …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The boards and sound cards that are known
    List,
    /// What is known of one, and how a panel is wired to it
    Show(ShowArguments),
    /// What this machine is, and what the configuration says otherwise
    Detect(ConfigPath),
}

#[derive(Debug, clap::Args)]
struct ShowArguments {
    /// A name that `callbox board list` shows
    name: String,
    /// Draw the wiring of a board into this file, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Wire what this configuration names, in place of the usual button, lamp and door
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With the lines of this sound card marked as taken
    #[arg(long, value_name = "NAME")]
    sound: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.what {
        What::List => print!("{}", list()),
        What::Show(arguments) => print!("{}", show(arguments)?),
        What::Detect(at) => return Ok(detect(&at.config)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Columns of a name, and of the word before a text.
const NAME: usize = 18;

fn list() -> String {
    let line = |name: &str, what: &str| format!("  {name:<NAME$}{what}\n");
    let boards = boards().iter().map(|b| line(b.name, &b.title));
    let sounds = sounds().iter().map(|s| line(s.name, &s.title));
    let boards: String = boards.collect();
    let sounds: String = sounds.collect();
    format!("[board] model\n{boards}\n[board] sound\n{sounds}")
}

fn show(arguments: &ShowArguments) -> Result<String, Failure> {
    let name = arguments.name.as_str();
    let sound = arguments.sound.as_deref().map(|name| {
        Sound::named(name).ok_or_else(|| format!("no sound card is called {name:?}; {SEE_LIST}"))
    });
    let sound = sound.transpose()?;
    if let Some(board) = Board::named(name) {
        return show_board(board, sound, arguments);
    }
    let Some(card) = Sound::named(name) else {
        return Err(format!("nothing is called {name:?}; {SEE_LIST}").into());
    };
    if arguments.picture.is_some() || arguments.config.is_some() || sound.is_some() {
        let what = "a sound card has no wiring of its own; name a board, and this card with";
        return Err(format!("{what} --sound {name}").into());
    }
    Ok(show_sound(card))
}

const SEE_LIST: &str = "`callbox board list` shows the names";

fn show_board(
    board: &Board,
    sound: Option<&Sound>,
    arguments: &ShowArguments,
) -> Result<String, Failure> {
    let file = arguments.config.as_deref().map(load).transpose()?;
    let parts = file.as_ref().map_or_else(|| usual(board), parts);
    let configured = file.as_ref().and_then(|file| match file.board.sound {
        SoundChoice::Kind(sound) => Some(sound),
        _ => None,
    });
    let sound = sound.or(configured);
    let wired = connect(board, &parts);

    let mut out = Page::default();
    out.line("board", &format!("{} ({})", board.name, board.title));
    out.line("lines", &format!("GPIO0 to GPIO27 of {}", board.chip));
    for (name, how) in words(&wired) {
        out.line(&name, &how);
    }
    let taken = sound.iter().flat_map(|sound| &sound.reserves);
    for (gpio, what) in taken {
        let pin = board.header.pin_of(*gpio).unwrap_or_default();
        out.line("taken", &format!("GPIO{gpio} (pin {pin}): {what}"));
    }
    for note in &board.notes {
        out.line("note", note);
    }
    out.line("tried", &board.tried);
    if let Some(path) = &arguments.picture {
        let svg = drawing::svg(board, sound.as_slice(), &wired);
        std::fs::write(path, svg)
            .map_err(|e| format!("{}: cannot be written: {e}", path.display()))?;
        out.line("picture", &path.display().to_string());
    }
    Ok(out.0)
}

fn show_sound(sound: &Sound) -> String {
    let mut out = Page::default();
    out.line("card", &format!("{} ({})", sound.name, sound.title));
    if let (Some(overlay), Some(system)) = (&sound.overlay, &sound.system) {
        let how = format!("dtoverlay={overlay} in config.txt, on {system}");
        out.line("driver", &how);
    }
    let kind = &sound.kind;
    let known = [
        ("id", &kind.ids),
        ("driver", &kind.drivers),
        ("components", &kind.components),
    ];
    let known: Vec<String> = (known.iter())
        .filter(|(_, list)| !list.is_empty())
        .map(|(what, list)| format!("{what} {}", list.join(" or ")))
        .collect();
    out.line("known by", &known.join(", "));
    out.line(
        "sound",
        &format!(
            "{} Hz, periods of {} ms, {} in the buffer; microphone × {}, speaker × {}",
            sound.rate,
            sound.period.as_millis(),
            sound.periods,
            sound.microphone_channels,
            sound.speaker_channels
        ),
    );
    for (gpio, what) in &sound.reserves {
        out.line("taken", &format!("GPIO{gpio}: {what}"));
    }
    for setting in &kind.settings {
        let on = setting
            .on
            .map(|on| if on { "on" } else { "off" }.to_owned());
        let level = setting.level.map(|level| level.to_string());
        let to: Vec<String> = on.into_iter().chain(level).collect();
        let what = format!("{} ({})", setting.controls.join(", "), setting.direction);
        out.line("mixer", &format!("{what}: {}", to.join(", ")));
    }
    for note in &sound.notes {
        out.line("note", note);
    }
    out.line("tried", &sound.tried);
    out.0
}

/// Lines with a word before each.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, word: &str, text: &str) {
        let word: String = word.chars().take(NAME - 2).collect();
        self.0.push_str(&format!("{word:<NAME$}"));
        text::write_wrapped(&mut self.0, text, NAME);
    }
}

/// What is found here, and then what the configuration says otherwise. Exit
/// code 1 when that is a fault.
fn detect(config: &Path) -> ExitCode {
    let machine = Machine::here();
    let listing = gpio::list();
    let mut out = Page::default();
    match (&machine.model, machine.board()) {
        (Some(model), Some(board)) => {
            out.line("board", &format!("{} ({model})", board.name));
        }
        (Some(model), None) => out.line("board", &format!("none that is known ({model})")),
        (None, _) => out.line(
            "board",
            "none that is known: this machine has no device tree",
        ),
    }
    match &listing {
        Ok(listing) => {
            for chip in &listing.chips {
                let lines = chip.lines.len();
                let label = &chip.label;
                out.line("lines", &format!("{label}, {lines} lines"));
            }
            for path in &listing.denied {
                let path = path.display();
                out.line("lines", &format!("{path}: no permission to look"));
            }
            if listing.chips.is_empty() && listing.denied.is_empty() {
                out.line("lines", "no GPIO lines at all");
            }
        }
        Err(error) => out.line("lines", &error.to_string()),
    }
    let kinds: Vec<Kind> = sounds().iter().map(|sound| sound.kind.clone()).collect();
    for card in &machine.cards {
        let kind = Kind::of(&kinds, card).map_or("no kind that is known", |k| k.name.as_str());
        let sides = [Direction::Microphone, Direction::Speaker].into_iter();
        let sides: Vec<String> = sides
            .filter_map(|side| Some(format!("{side} {}", card.address(side)?)))
            .collect();
        let sides = sides.join(", ");
        out.line("card", &format!("{kind} ({}): {sides}", card.title));
    }
    if machine.cards.is_empty() {
        out.line("card", "no sound card at all");
    }
    for direction in [Direction::Microphone, Direction::Speaker] {
        let word = direction.to_string();
        match choose(&machine.cards, &kinds, direction) {
            Ok(card) => {
                let address = card.address(direction).unwrap_or_default();
                out.line(&word, &format!("\"auto\" is {address}"));
            }
            Err(why) => out.line(&word, &why.to_string()),
        }
    }
    print!("{}", out.0);
    compare(config, &machine, &listing)
}

fn compare(
    config: &Path,
    machine: &Machine,
    listing: &Result<gpio::Listing, gpio::Error>,
) -> ExitCode {
    if !config.exists() {
        println!("\nThere is no {} to compare this with.", config.display());
        return ExitCode::SUCCESS;
    }
    println!("\n{}:", config.display());
    let mut file = match load(config) {
        Ok(file) => file,
        Err(fault) => {
            eprintln!("callbox: {fault}");
            return ExitCode::FAILURE;
        }
    };
    file.settle(machine);
    let findings = board::compare(&file, machine, listing);
    for finding in &findings {
        print!("{}", report::lines("board", finding, false));
    }
    match findings.iter().any(|f| f.level == report::Level::Fault) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests;
