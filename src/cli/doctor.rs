//! `callbox doctor`: finds what is wrong before a visitor does.
//!
//! ```text
//!  file ─▶ Patient ─▶ CHECKS, from the top ─▶ Finding … ─▶ lines or JSON, exit code
//!            ▲
//!            └─ the running daemon's status, the service's answer
//! ```
//!
//! A check is a function that looks at the [`Patient`] and returns what it
//! found; to add one, write it and put it into [`CHECKS`]. It works beside the
//! running daemon, whose word is taken for what only one process can hold (the
//! cards, the lines, the port), and without it, when it tries all of these
//! itself. Nothing is changed, no call is placed, and nothing waits for long.
//!
//! Exit code: 0 without a fault, else 1; warnings do not count.

pub(super) mod board;
mod device;
pub(super) mod links;
mod network;
mod panel;
pub(super) mod report;
mod tunnel;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::{ConfigPath, Failure, text};
use crate::config::{Button, File, Machine, load};
use crate::edge::clock::Stamp;
use crate::edge::control::{NoAnswer, ask};
use crate::edge::ingress::Routes;
use crate::edge::rest::Rest;
use crate::edge::tunnel::Tunnel;
use crate::wire::control::Request;
use crate::wire::rest::{ApiError, Number, Pair, WsUrl};

use report::{Finding, Level, Report};

/// `callbox doctor …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: ConfigPath,
}

/// What is looked at, in an order in which the first fault explains those behind it.
const CHECKS: [(&str, Check); 21] = [
    ("config", config),
    ("daemon", daemon),
    ("control", device::control),
    ("board", board::board),
    ("secrets", device::secrets),
    ("doors", panel::doors),
    ("network", links::network),
    ("service", network::service),
    ("number", network::number),
    ("inbound", network::inbound),
    ("clock", network::clock),
    ("hours", panel::hours),
    ("cards", device::cards),
    ("mixer", board::mixer),
    ("prompts", panel::prompts),
    ("lines", device::lines),
    ("ingress", network::ingress),
    ("tunnel", tunnel::tunnel),
    ("round trip", network::round_trip),
    ("records", device::records),
    ("rights", device::rights),
];

type Check = fn(&mut Patient) -> Vec<Finding>;

/// The device as it is found.
struct Patient {
    path: PathBuf,
    file: File,
    /// What is found here.
    machine: Machine,
    /// The running daemon's status, or why there is none.
    daemon: Result<Value, NoAnswer>,
    /// What the service said when it was asked for the number's calls.
    service: Service,
    runtime: Runtime,
    /// The ingress opened in the daemon's place, for the round trip.
    door: Option<Routes>,
    /// The tunnel started in the daemon's place, for the same.
    tunnel: Option<Tunnel>,
}

/// What the service said.
enum Service {
    /// It was not asked, and why.
    NotAsked(String),
    Asked {
        answer: Result<Pair, ApiError>,
        took: Duration,
        /// The number as the service has it.
        number: Box<Result<Number, ApiError>>,
        /// Our clock and the service's, at one moment.
        clocks: Option<(Stamp, Stamp)>,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = &arguments.at.config;
    let mut show = Show::new(arguments.json);
    show.begin(path);
    match load(path) {
        Ok(file) => {
            let mut patient = Patient::new(path, file)?;
            for (name, check) in CHECKS {
                show.add(name, check(&mut patient));
            }
            tunnel::end(&mut patient);
            // A name server that is still waited for must not keep us.
            patient.runtime.shutdown_background();
        }
        Err(fault) => {
            let fix = "mend that line; `callbox config check` reads the file again";
            show.add(
                "config",
                vec![Finding::told(Level::Fault, &fault.to_string(), fix)],
            );
        }
    }
    Ok(show.end())
}

/// Shows findings as they come, or all at the end as JSON.
struct Show {
    report: Report,
    json: bool,
    colours: bool,
}

impl Show {
    fn new(json: bool) -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            report: Report::default(),
            json,
            colours,
        }
    }

    fn begin(&self, path: &Path) {
        if !self.json {
            let version = env!("CARGO_PKG_VERSION");
            println!("callbox {version} doctor: {}\n", path.display());
        }
    }

    fn add(&mut self, check: &'static str, findings: Vec<Finding>) {
        if !self.json {
            for (n, finding) in findings.iter().enumerate() {
                let check = if n == 0 { check } else { "" };
                print!("{}", report::lines(check, finding, self.colours));
            }
        }
        self.report.add(check, findings);
    }

    fn end(&self) -> ExitCode {
        if self.json {
            println!("{:#}", self.report.json());
        } else {
            let mut summary = String::new();
            text::write_wrapped(&mut summary, &self.report.summary(), 0);
            print!("\n{summary}");
        }
        match self.report.is_well() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

impl Patient {
    fn new(path: &Path, mut file: File) -> Result<Self, Failure> {
        let machine = Machine::here();
        file.settle(&machine);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let daemon = ask(&file.control.socket, &Request::Status { trace: false });
        let service = runtime.block_on(ask_service(&file));
        Ok(Self {
            path: path.to_owned(),
            file,
            machine,
            daemon,
            service,
            runtime,
            door: None,
            tunnel: None,
        })
    }

    /// Where the service reaches the device, as far as it is known.
    fn public_url(&self) -> Option<WsUrl> {
        let told = self.tunnel.as_ref().and_then(|t| t.status().public_url);
        told.or_else(|| self.file.public_url())
    }

    fn runs(&self) -> bool {
        self.daemon.is_ok()
    }

    /// A value of the running daemon's status; null without one.
    fn status(&self, pointer: &str) -> &Value {
        const NOTHING: &Value = &Value::Null;
        let page = self.daemon.as_ref().ok();
        page.and_then(|page| page.pointer(pointer))
            .unwrap_or(NOTHING)
    }
}

/// The first request proves the way, the key, and the number's id at once.
async fn ask_service(file: &File) -> Service {
    let rest = match file.rest() {
        Ok(config) => Rest::new(config, Arc::default()),
        Err(_) => return Service::NotAsked("there is no API key to ask with".to_owned()),
    };
    let rest = match rest {
        Ok(rest) => rest,
        Err(error) => return Service::NotAsked(error.to_string()),
    };
    let begun = Instant::now();
    let answer = rest.check_pair(&file.service.from_number).await;
    let took = begun.elapsed();
    let clocks = rest.service_time().map(|theirs| (Stamp::system(), theirs));
    let number = match &answer {
        Ok(_) => rest.number().await,
        Err(error) => Err(error.clone()),
    };
    Service::Asked {
        answer,
        took,
        number: Box::new(number),
        clocks,
    }
}

fn config(patient: &mut Patient) -> Vec<Finding> {
    let buttons = patient.file.buttons.iter().map(Button::summary);
    vec![Finding::ok(buttons.collect::<Vec<_>>().join("; "))]
}

fn daemon(patient: &mut Patient) -> Vec<Finding> {
    let page = match &patient.daemon {
        Ok(page) => page,
        Err(NoAnswer::NotRunning(_)) => {
            return vec![Finding::skip(
                "not running, so its part is tried here; `systemctl start callbox` starts it",
            )];
        }
        Err(why) => {
            return vec![Finding::told(
                Level::Fault,
                &why.to_string(),
                "ask as root: sudo callbox doctor",
            )];
        }
    };
    let up = Duration::from_secs(page["up_s"].as_u64().unwrap_or(0));
    let state = page["state"].as_str().unwrap_or_default();
    let mut found = vec![match page["alive"].as_str() {
        Some("yes") => Finding::ok(format!("running for {}: {state}", text::span(up))),
        dead => Finding::fault(
            format!("running, but not well: {}", dead.unwrap_or_default()),
            "systemctl restart callbox; `journalctl -u callbox` says what went before",
        ),
    }];
    if changed_since(&patient.path, up) {
        found.push(Finding::warn(
            "the configuration was changed after it started, and it does not know",
            "systemctl restart callbox",
        ));
    }
    found
}

/// Whether a file was written after a process that has run for `up` started.
fn changed_since(path: &Path, up: Duration) -> bool {
    let written = std::fs::metadata(path).and_then(|file| file.modified());
    let age = written.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    // The daemon counts whole seconds.
    age.is_ok_and(|age| age + Duration::from_secs(1) < up)
}
