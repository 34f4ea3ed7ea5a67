//! `callbox service`: what the service does with calls to the device's number,
//! shown and set.
//!
//! ```text
//!  [inbound] ─▶ wanted ─┐
//!                       ├─▶ difference ─▶ yes? ─▶ PATCH ─▶ read back ─▶ done
//!  service ───▶ is ─────┘
//! ```
//!
//! Always true: nothing is changed that was not shown first; only the number
//! of this device is touched; the secret path is in no line that is printed.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use tokio::runtime::Runtime;

use super::{ConfigPath, Failure};
use crate::config::{File, load};
use crate::edge::rest::Rest;
use crate::units::E164;
use crate::wire::rest::{Number, NumberUpdate};

/// `callbox service …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The account's numbers, and what becomes of calls to them
    Show {
        /// Numbers in full
        #[arg(long)]
        numbers: bool,
        #[command(flatten)]
        at: ConfigPath,
    },
    /// Set what becomes of calls to this device's number, as `[inbound]` says
    Apply {
        /// Without asking
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        at: ConfigPath,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match &arguments.what {
        What::Show { numbers, at } => {
            let file = load(&at.config)?;
            let all = runtime()?.block_on(connect(&file)?.numbers())?;
            write!(out, "{}", list(&all, &file.service.from_number, *numbers))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Apply { yes, at } => {
            let file = load(&at.config)?;
            let ask = if *yes { Ask::Never } else { Ask::Terminal };
            apply(&file, ask, &mut out)
        }
    }
}

fn connect(file: &File) -> Result<Rest, Failure> {
    Ok(Rest::new(file.rest()?, Arc::default())?)
}

/// One for all requests of a command: they share a connection.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// A line for each number; a star marks this device's.
fn list(all: &[Number], ours: &E164, whole: bool) -> String {
    let mut text = String::new();
    for number in all {
        let mark = if number.number == *ours { '*' } else { ' ' };
        let shown = match whole {
            true => number.number.as_str().to_owned(),
            false => number.number.to_string(),
        };
        let status = number.status.as_deref().map(clean).unwrap_or_default();
        let line = format!(
            "{mark} {shown:16} {}  {status:8} {:12} {}",
            number.id,
            action(number),
            url(number)
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    match all.iter().any(|number| number.number == *ours) {
        true => text.push_str("* is the number of this device\n"),
        false => {
            let none = format!("none of them is this device's from_number, {ours}\n");
            text.push_str(&none);
        }
    }
    text
}

/// What becomes of calls to it, in the service's word.
fn action(number: &Number) -> String {
    let action = number.incoming_call_action.as_ref();
    action.map_or("(not said)".to_owned(), |action| clean(action.as_str()))
}

/// Where their stream goes, without its path.
fn url(number: &Number) -> String {
    let url = number.client_websocket_url.as_ref();
    url.map_or("none".to_owned(), ToString::to_string)
}

/// A word of the service, fit for a terminal.
fn clean(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// Whether somebody is asked before anything is changed.
pub(super) enum Ask {
    /// Nobody.
    Never,
    /// Whoever sits at the terminal.
    Terminal,
}

impl Ask {
    /// What the person says; an error when there is nobody to ask.
    fn agreed(&self, out: &mut impl Write) -> Result<bool, Failure> {
        if let Self::Never = self {
            return Ok(true);
        }
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Err("nothing was changed: nobody is there to ask; add --yes".into());
        }
        write!(out, "set it so? [y/N] ")?;
        out.flush()?;
        let mut line = String::new();
        input.lock().read_line(&mut line)?;
        Ok(matches!(line.trim(), "y" | "Y" | "yes"))
    }
}

/// Sets what becomes of calls to the device's number, as its file says.
pub(super) fn apply(file: &File, ask: Ask, out: &mut impl Write) -> Result<ExitCode, Failure> {
    let wanted = wanted(file)?;
    let rest = connect(file)?;
    let runtime = runtime()?;
    let is = runtime.block_on(rest.number())?;
    let ours = &file.service.from_number;
    if is.number != *ours {
        return Err(format!(
            "nothing was changed: [service] phone_number_id belongs to {}, but from_number is \
             {ours}; copy the id again from `callbox service show`, or leave phone_number_id out",
            is.number
        )
        .into());
    }
    if wanted.is_done(&is) {
        writeln!(
            out,
            "{}: nothing to do, it is {}",
            is.number,
            in_words(&wanted)
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{}", difference(&is, &wanted))?;
    if !ask.agreed(out)? {
        writeln!(out, "nothing was changed")?;
        return Ok(ExitCode::FAILURE);
    }
    runtime.block_on(rest.update_number(&wanted))?;
    // The answer may be what was asked for, and not what is kept.
    match runtime.block_on(rest.number())? {
        is if wanted.is_done(&is) => {
            writeln!(out, "done: it is {}", in_words(&wanted))?;
            Ok(ExitCode::SUCCESS)
        }
        is => Err(format!(
            "the service took the change and did not keep it: the number is still {}, {}",
            action(&is),
            url(&is)
        )
        .into()),
    }
}

/// What the configuration asks of the service.
fn wanted(file: &File) -> Result<NumberUpdate, Failure> {
    let inbound = file.inbound()?;
    let url = inbound.map(|inbound| file.inbound_url(&inbound.token));
    Ok(NumberUpdate::for_inbound(url.transpose()?))
}

/// What would change, a line each.
fn difference(is: &Number, wanted: &NumberUpdate) -> String {
    let mut text = format!("{} ({}):\n", is.number, is.id);
    let mut line = |name: &str, old: String, new: String| {
        text.push_str(&format!("  - {name} = {old}\n  + {name} = {new}\n"));
    };
    if is.incoming_call_action.as_ref() != Some(&wanted.action) {
        let new = wanted.action.to_string();
        line("incoming_call_action", action(is), new);
    }
    if let Some(new) = &wanted.url {
        let old = is.client_websocket_url.as_ref();
        if !old.is_some_and(|old| old.is(new)) {
            // Two paths of one host look alike, masked as they are.
            let other = if url(is) == new.to_string() {
                " (another path)"
            } else {
                ""
            };
            line("client_websocket_url", url(is) + other, new.to_string());
        }
    }
    text
}

fn in_words(update: &NumberUpdate) -> String {
    match &update.url {
        Some(url) => format!("{}, with its stream to {url}", update.action),
        None => format!("{}: calls to it are not taken", update.action),
    }
}
