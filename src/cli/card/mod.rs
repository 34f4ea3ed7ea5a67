//! `callbox card`: the part of a card image that any PC can edit.
//!
//! The card's first partition is FAT. An installer puts the configuration, the
//! Wi-Fi password and the keys there, and finds a report there. Secrets do not
//! stay; what a box needs to run lies on its data partition.
//!
//! ```text
//!  card (FAT)                     data (ext4)                      run (memory)
//!  callbox.toml      ──checked──▶ config/callbox.toml ───────────▶ callbox.toml ──▶ callbox run
//!  wifi.txt          ──hashed───▶ config/wifi.json ──────────────▶ wpa_supplicant.conf
//!  api-key.txt …     ──moved────▶ credentials/api-key …
//!  authorized_keys   ──copied───▶ ssh/authorized_keys              import.json
//!  callbox-report.txt ◀──────────────── report ◀── doctor, network, import.json
//!                                         └──────────────────────▶ fault ──▶ the lamp
//! ```
//!
//! `import` runs at each boot before the daemon and needs no network; `report`
//! runs after it, by a timer. Both only mount the card writable for the moment
//! they write. What is wrong on the card is in the report and is no failure of
//! theirs: a box with half of its files still does the half it can.
//!
//! Always true: a secret is on the data partition, synced, before it is erased
//! from the card; with a data partition that does not last it is not erased;
//! a configuration that was good is used until a better one comes; no report,
//! log or note shows a secret or a whole number.

mod files;
mod import;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::panel::Trouble;

/// The file in the run folder that says what the lamp is to show.
pub(super) const NOTE: &str = "fault";
/// What `import` found, for `report`.
const FOUND: &str = "import.json";

/// `callbox card …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take in what an installer put on the card
    Import(Places),
    /// Write on the card how the box is
    Report(report::Arguments),
}

/// Where everything is.
#[derive(Debug, clap::Args)]
struct Places {
    /// The card's FAT partition
    #[arg(long, value_name = "DIR", default_value = "/boot/firmware")]
    card: PathBuf,
    /// The data partition
    #[arg(long, value_name = "DIR", default_value = "/data")]
    data: PathBuf,
    /// What only this boot needs to know
    #[arg(long, value_name = "DIR", default_value = "/run/callbox-card")]
    run: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.what {
        What::Import(places) => import::run(places),
        What::Report(arguments) => report::run(arguments),
    }
}

/// A finding, as `doctor --json` shows it and as it is handed on here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    check: String,
    level: Level,
    what: String,
    fix: Option<String>,
    /// What the lamp shows of it.
    lamp: Option<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Skip,
    Warn,
    Fault,
}

impl Told {
    fn ok(check: &str, what: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            level: Level::Ok,
            what: what.into(),
            fix: None,
            lamp: None,
        }
    }

    fn warn(check: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            fix: Some(fix.into()),
            ..Self::ok(check, what)
        }
    }

    fn fault(lamp: Trouble, check: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Fault,
            lamp: Some(lamp.name().to_owned()),
            ..Self::warn(check, what, fix)
        }
    }

    fn is_fault(&self) -> bool {
        self.level == Level::Fault
    }

    /// What the lamp shows of it.
    fn trouble(&self) -> Option<Trouble> {
        self.lamp.as_deref().and_then(Trouble::parse)
    }
}

/// The fault to be mended first: the one whose cause comes before the others'.
/// That the service is not reached, which the lamp shows by one flash, comes
/// behind all that may cause it.
fn first_fault(told: &[Told]) -> Option<&Told> {
    let rank = |told: &&Told| {
        let trouble = told.trouble();
        (trouble.unwrap_or(Trouble::Blocked), trouble.is_none())
    };
    // Of several with one cause, `min_by_key` has the first.
    told.iter().filter(|told| told.is_fault()).min_by_key(rank)
}
