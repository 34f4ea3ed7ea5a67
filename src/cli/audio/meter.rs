//! `callbox audio meter`: the microphone's level in the terminal.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::cards::{Sides, Which};
use crate::audio::sweep::measure::is_full;
use crate::cli::Failure;
use crate::edge::card::{Event, Running, Sound};
use crate::units::tenths;

/// `callbox audio meter …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// For how long; until Ctrl-C when left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    #[command(flatten)]
    which: Which,
}

/// A line that is drawn again changes this often; others come once a second.
const REDRAWN: Duration = Duration::from_millis(100);
const WRITTEN: Duration = Duration::from_secs(1);
/// Periods that wait to be looked at: two seconds of the shortest.
const PERIODS: usize = 1024;
/// Columns of the bar, and what it shows below full scale, in dB.
const BAR: usize = 24;
const RANGE: f64 = 60.0;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let cards = arguments.which.find(Sides::Microphone)?;
    for line in &cards.lines {
        println!("{line}");
    }
    let (tell, periods) = sync_channel(PERIODS);
    let mut running = cards.start(|_, _| Ear(tell))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let shown = runtime.block_on(show(&mut running, &periods, arguments.seconds));
    running.stop();
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the level until the time is over, or somebody says so.
async fn show(
    running: &mut Running,
    periods: &Receiver<Sum>,
    seconds: Option<u64>,
) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ticks = tokio::time::interval(if terminal { REDRAWN } else { WRITTEN });
    ticks.tick().await;
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
        if let Ok(event @ (Event::Lost { .. } | Event::Unfit { .. })) = running.events.try_recv() {
            return Err(event.to_string().into());
        }
        let sum = periods.try_iter().fold(Sum::default(), Sum::and);
        let line = sum.line();
        let written = match terminal {
            true => write!(stdout, "\r\x1b[K{line}").and_then(|()| stdout.flush()),
            false => writeln!(stdout, "{line}"),
        };
        let over = end.is_some_and(|end| Instant::now() >= end);
        // Whoever read it has gone.
        if over || written.is_err() {
            break;
        }
    }
    if terminal {
        println!();
    }
    Ok(())
}

/// Hears, and plays nothing.
struct Ear(SyncSender<Sum>);

impl Sound for Ear {
    fn capture(&mut self, mic: &[i16]) -> usize {
        // When nobody looks for so long, it is no level of now.
        _ = self.0.try_send(Sum::of(mic));
        0
    }

    fn render(&mut self, speaker: &mut [i16]) {
        speaker.fill(0);
    }
}

/// What is needed of some samples to say how loud they were.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    count: u64,
    full: u64,
    sum: i64,
    squares: u64,
    peak: u16,
}

impl Sum {
    fn of(samples: &[i16]) -> Self {
        let mut all = Self::default();
        for &sample in samples {
            let size = sample.unsigned_abs();
            all.count += 1;
            all.full += u64::from(is_full(sample));
            all.sum += i64::from(sample);
            all.squares += u64::from(size) * u64::from(size);
            all.peak = all.peak.max(size);
        }
        all
    }

    fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            full: self.full + other.full,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            peak: self.peak.max(other.peak),
        }
    }

    fn line(self) -> String {
        if self.count == 0 {
            return "no sound comes from the card".to_owned();
        }
        let count = self.count as f64;
        let mean = self.sum as f64 / count;
        let rms = (self.squares as f64 / count - mean * mean).max(0.0).sqrt();
        let dbfs = |amplitude: f64| tenths((20.0 * (amplitude / 32_768.0).log10()).max(-120.0));
        let (peak, rms) = (dbfs(f64::from(self.peak)), dbfs(rms));
        let columns = |level: f64| ((1.0 + level / RANGE).clamp(0.0, 1.0) * BAR as f64) as usize;
        let bar: String = (0..BAR)
            .map(|n| match n {
                n if n < columns(rms) => '█',
                n if n < columns(peak) => '▒',
                _ => '·',
            })
            .collect();
        let full = match self.full {
            0 => String::new(),
            full => format!("  CLIPS {:.1} %", 100.0 * full as f64 / count),
        };
        let offset = tenths(100.0 * mean / 32_768.0);
        format!("{bar} peak {peak:6.1}  rms {rms:6.1} dBFS  DC {offset:4.1} %{full}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::WIDTH;

    #[test]
    fn a_line_says_what_the_samples_are_and_fits() {
        let square = |high: i16, low: i16| Sum::of(&[high, low].repeat(100)).line();
        let half = square(16_384, -16_384);
        assert!(
            half.contains("peak   -6.0  rms   -6.0 dBFS  DC  0.0 %"),
            "{half}"
        );
        let full = square(i16::MAX, i16::MIN);
        assert!(
            full.contains("peak    0.0") && full.ends_with("CLIPS 100.0 %"),
            "{full}"
        );
        let offset = square(4_096, 0);
        assert!(offset.contains("rms  -24.1 dBFS  DC  6.3 %"), "{offset}");
        let silent = square(0, 0);
        assert!(silent.contains("peak -120.0  rms -120.0"), "{silent}");
        for line in [half, full, offset, silent] {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(Sum::default().line().contains("no sound"));
    }
}
