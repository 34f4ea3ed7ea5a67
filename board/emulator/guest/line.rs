//! Plays waveforms on the button lines of gpio-sim and watches what is driven.
//!
//! ```text
//! line play GPIO17 [--high] [MICROSECONDS …]   contact closed, open, closed …; none: from stdin
//! line watch GPIO27 GPIO5 …                    every change, until it is killed
//! line read GPIO27                             0 or 1
//! ```
//!
//! `play` prints when it made the first edge and when the last, and by how much the
//! latest edge came too late, which is the emulator's fault. A contact pulls
//! the line down when it is closed, or up with `--high`; the line is left open.
//! `watch` prints the level of each line, then each change, as
//! `<time> <line> <level>`. Times are microseconds since 1970, the guest's clock.
//!
//! gpio-sim has no events for its outputs, so `watch` looks once a millisecond: a
//! change is told at most that late, and a pulse shorter than that may be missed.
//! Edges of `play` are waited for in a loop at the end: run it as
//! `chrt -f 50 line play …`, or they come when the scheduler likes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const PLATFORM: &str = "/sys/devices/platform";
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A sleep of this machine wakes late by less than this, as a rule.
const SPIN: Duration = Duration::from_micros(300);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["play", line, "--high", wave @ ..] => play(line, ["pull-up", "pull-down"], wave),
        ["play", line, wave @ ..] => play(line, ["pull-down", "pull-up"], wave),
        ["watch", lines @ ..] if !lines.is_empty() => watch(lines),
        ["read", line] => read(line),
        _ => Err(invalid(
            "use: line play LINE [--high] [MICROSECONDS …] | watch LINE … | read LINE".into(),
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("line: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(line: &str, [closed, open]: [&str; 2], wave: &[&str]) -> io::Result<()> {
    let wave = if wave.is_empty() {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text)?;
        times(text.split_whitespace())?
    } else {
        times(wave.iter().copied())?
    };
    let mut pull = OpenOptions::new()
        .write(true)
        .open(folder(line)?.join("pull"))?;
    let first = now();
    let mut due = Instant::now();
    let mut latest = Duration::ZERO;
    for (nth, lasts) in wave.iter().enumerate() {
        wait_until(due);
        latest = latest.max(due.elapsed());
        pull.write_all(if nth % 2 == 0 { closed } else { open }.as_bytes())?;
        due += *lasts;
    }
    wait_until(due);
    latest = latest.max(due.elapsed());
    let last = now();
    pull.write_all(open.as_bytes())?;
    println!("{first} {last} {}", latest.as_micros());
    Ok(())
}

fn times<'a>(words: impl Iterator<Item = &'a str>) -> io::Result<Vec<Duration>> {
    words
        .map(|word| match word.parse() {
            Ok(us) => Ok(Duration::from_micros(us)),
            Err(_) => Err(invalid(format!("{word} is not a number of microseconds"))),
        })
        .collect()
}

fn wait_until(due: Instant) {
    thread::sleep(
        due.saturating_duration_since(Instant::now())
            .saturating_sub(SPIN),
    );
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

fn watch(lines: &[&str]) -> io::Result<()> {
    let mut watched = Vec::new();
    for line in lines {
        watched.push((*line, File::open(folder(line)?.join("value"))?, None));
    }
    let mut out = io::stdout().lock();
    loop {
        for (line, value, before) in &mut watched {
            let level = level(value)?;
            if *before != Some(level) {
                *before = Some(level);
                writeln!(out, "{} {line} {level}", now())?;
                out.flush()?;
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn read(line: &str) -> io::Result<()> {
    println!("{}", level(&File::open(folder(line)?.join("value"))?)?);
    Ok(())
}

fn level(value: &File) -> io::Result<char> {
    let mut byte = [0];
    value.read_exact_at(&mut byte, 0)?;
    Ok(char::from(byte[0]))
}

/// Where gpio-sim keeps the line, on whichever chip: `GPIO17` is number 17.
fn folder(line: &str) -> io::Result<PathBuf> {
    let number = line.strip_prefix("GPIO").unwrap_or(line);
    for device in children(Path::new(PLATFORM), "gpio-sim.")? {
        for chip in children(&device, "gpiochip")? {
            let found = chip.join(format!("sim_gpio{number}"));
            if found.is_dir() {
                return Ok(found);
            }
        }
    }
    Err(invalid(format!("no simulated line {line}")))
}

fn children(folder: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Microseconds since 1970.
fn now() -> u128 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros())
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
