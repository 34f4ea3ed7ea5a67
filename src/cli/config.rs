//! `callbox config`: write a file to start from, check one, show what it means.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::{ConfigPath, Failure};
use crate::config::{Button, File, Machine, TEMPLATE, load};

/// `callbox config …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a commented file to start from; never over one that is there
    Init(ConfigPath),
    /// Read the file and say what is wrong with it
    Check(ConfigPath),
    /// Show the values the file amounts to, defaults included
    Show(ConfigPath),
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.what {
        What::Init(at) => init(&at.config)?,
        What::Check(at) => {
            let file = load(&at.config)?;
            println!("{}: {}", at.config.display(), summary(&file));
        }
        What::Show(at) => {
            let mut file = load(&at.config)?;
            file.settle(&Machine::here());
            print!("{}", toml::to_string(&file)?);
            if !file.doors.is_empty() {
                println!("\n# The codes and words that open doors are not shown.");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn init(path: &Path) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| format!("{}: cannot be made: {e}", folder.display()))?;
    }
    let mut file = std::fs::File::create_new(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{} is there already; it was left as it is", path.display())
        }
        _ => format!("{}: cannot be written: {e}", path.display()),
    })?;
    file.write_all(TEMPLATE.as_bytes())?;
    println!(
        "{} written: edit it, then `callbox config check`, then `callbox doctor`",
        path.display()
    );
    Ok(())
}

fn summary(file: &File) -> String {
    let buttons: Vec<String> = file.buttons.iter().map(Button::summary).collect();
    format!("good; {}", buttons.join("; "))
}
