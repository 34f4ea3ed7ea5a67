//! `callbox call`, `hangup` and `status`: questions to the running daemon.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::text::{span, write_wrapped};
use super::{ConfigPath, Failure};
use crate::config::load;
use crate::edge::control::ask;
use crate::wire::control::Request;

/// `callbox call …`
#[derive(Debug, clap::Args)]
pub(super) struct CallArguments {
    /// The button's name; the first button when left out
    button: Option<String>,
    #[command(flatten)]
    at: ConfigPath,
}

/// `callbox status …`
#[derive(Debug, clap::Args)]
pub(super) struct StatusArguments {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// With the latest events
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    at: ConfigPath,
}

pub(super) fn call(arguments: &CallArguments) -> Result<ExitCode, Failure> {
    let request = Request::Call {
        button: arguments.button.clone(),
    };
    let said = question(&arguments.at.config, &request)?;
    println!(
        "pressed {}; `callbox status` tells how it goes",
        text(&said, "button")
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) fn hangup(at: &ConfigPath) -> Result<ExitCode, Failure> {
    question(&at.config, &Request::Hangup)?;
    println!("asked to hang up");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn status(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let request = Request::Status {
        trace: arguments.trace,
    };
    let said = question(&arguments.at.config, &request)?;
    if arguments.json {
        println!("{said:#}");
    } else {
        print!("{}", page(&said));
    }
    Ok(ExitCode::SUCCESS)
}

fn question(config: &Path, request: &Request) -> Result<Value, Failure> {
    Ok(ask(&load(config)?.control.socket, request)?)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Where a line's text begins, behind its name.
const TEXT: usize = 17;

/// The status as a person reads it: one name and what there is to say of it a
/// line, in the order the daemon wrote them.
fn page(value: &Value) -> String {
    let mut out = String::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        if let Value::Array(lines) = value {
            _ = writeln!(out, "{name}");
            for line in lines {
                _ = writeln!(out, "  {}", line.as_str().unwrap_or_default());
            }
            continue;
        }
        let (name, text) = phrase(name, value);
        _ = write!(out, "{name:<TEXT$}");
        write_wrapped(&mut out, &text, TEXT);
    }
    out
}

/// A name and its value in words: the unit at the name's end goes to the value.
fn phrase(name: &str, value: &Value) -> (String, String) {
    let units = [("_ms", " ms"), ("_ppm", " ppm"), ("_s", " s")];
    let unit = units.into_iter().find(|(end, _)| name.ends_with(end));
    let (end, unit) = unit.unwrap_or_default();
    let text = match value {
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Object(fields) => {
            let phrases = fields.iter().map(|(name, value)| phrase(name, value));
            let phrases: Vec<_> = phrases
                .map(|(name, text)| format!("{name} {text}"))
                .collect();
            phrases.join(", ")
        }
        Value::Null => "not known".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(seconds) if unit == " s" => {
            span(Duration::from_secs(seconds.as_u64().unwrap_or(0)))
        }
        Value::Number(number) => {
            format!("{}{unit}", number.as_f64().unwrap_or(0.0))
        }
        // Only a trace is a list, and `page` has taken it.
        Value::Array(_) => String::new(),
    };
    let name = name.strip_suffix(end).unwrap_or(name).replace('_', " ");
    (name, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_in_eighty_columns() {
        let long = vec!["word"; 30].join(" ");
        let said = serde_json::json!({
            "state": "ready",
            "up_s": 7300,
            "clock": long,
            "speaker": { "present": true, "delay_ms": 12.0, "xruns": 0 },
            "counters": {},
            "note": null,
            "trace": ["0.1 call ready"],
        });
        let page = page(&said);
        let want = [
            "state            ready\n",
            "up               2 h\n",
            "speaker          present yes, delay 12 ms, xruns 0\n",
            "counters         none\n",
            "note             not known\n",
            "trace\n  0.1 call ready\n",
        ];
        for want in want {
            assert!(page.contains(want), "no {want:?} in:\n{page}");
        }
        assert!(page.lines().all(|line| line.len() <= 80), "{page}");
    }
}
