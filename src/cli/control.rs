//! `callbox call`, `hangup` and `status`: questions to the running daemon.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

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

/// The status as a person reads it: one `name  value` a line, sections
/// indented, in the order the daemon wrote them.
fn page(value: &Value) -> String {
    let mut out = String::new();
    write_page(&mut out, value, 0);
    out
}

fn write_page(out: &mut String, value: &Value, depth: usize) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let name = format!(
            "{:indent$}{}",
            "",
            name.replace('_', " "),
            indent = 2 * depth
        );
        _ = match value {
            Value::Object(inner) if inner.is_empty() => writeln!(out, "{name:<28}none"),
            Value::Object(_) => {
                _ = writeln!(out, "{name}");
                write_page(out, value, depth + 1);
                Ok(())
            }
            Value::Array(lines) => {
                _ = writeln!(out, "{name}");
                lines.iter().try_for_each(|line| {
                    writeln!(
                        out,
                        "{:indent$}{}",
                        "",
                        line.as_str().unwrap_or_default(),
                        indent = 2 * depth + 2
                    )
                })
            }
            Value::String(text) => writeln!(out, "{name:<28}{text}"),
            Value::Null => writeln!(out, "{name:<28}not known"),
            other => writeln!(out, "{name:<28}{other}"),
        };
    }
}
