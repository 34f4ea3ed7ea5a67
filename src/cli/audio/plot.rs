//! Pictures of the way from the speaker to the microphone: in the terminal, and
//! as SVG.

use std::fmt::Write as _;

use crate::audio::BUS_RATE;
use crate::audio::sweep::{Measured, Way};
use crate::cli::picture::paper::{Paper, Place};
use crate::edge::sound_test::Report;

/// Columns of the impulse response.
const COLUMNS: usize = 60;
/// Columns of the loudest band.
const BAR: f32 = 40.0;
/// What is shown below the highest, in dB.
const RANGE: f32 = 48.0;
/// Eighths of a column, from none.
const UP: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The impulse response over time: a column is as high as it is loud.
pub(super) fn impulse(way: &Way) -> String {
    let columns = columns(way, COLUMNS);
    let shape: String = columns
        .iter()
        .map(|part| UP[(part * 8.0).round() as usize])
        .collect();
    let ms = |samples: usize| samples as f32 * 1e3 / BUS_RATE as f32;
    let first = way.delay_ms - ms(way.arrival);
    let last = first + ms(way.impulse.len());
    let end = COLUMNS - 12;
    format!(
        "impulse response, {RANGE:.0} dB\n  {shape}\n  {:<12}{:>end$}\n",
        format!("{first:.0} ms"),
        format!("{last:.0} ms"),
    )
}

/// How high each column is, from 0 to 1.
fn columns(way: &Way, count: usize) -> Vec<f32> {
    let length = way.impulse.len().div_ceil(count).max(1);
    let loudest = |samples: &[f32]| samples.iter().fold(0f32, |most, x| most.max(x.abs()));
    let high = |samples: &[f32]| {
        let db = 20.0 * loudest(samples).log10();
        (1.0 + db / RANGE).clamp(0.0, 1.0)
    };
    way.impulse.chunks(length).map(high).collect()
}

/// The frequency response, a line for each third of an octave.
pub(super) fn response(way: &Way) -> String {
    let loudest = way
        .response
        .iter()
        .fold(f32::MIN, |most, (_, db)| most.max(*db));
    let mut out = "frequency response\n".to_owned();
    for (hz, db) in &way.response {
        let part = (1.0 + (db - loudest) / RANGE).clamp(0.0, 1.0);
        let bar = "█".repeat((part * BAR).round() as usize);
        _ = writeln!(out, "  {hz:>5.0} Hz {db:>6.1} dB  {bar}");
    }
    out
}

const STYLE: &str = "\
text{font:11px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\
.title{font-size:15px;font-weight:600}.soft{fill:#59636e}\
.ground{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0;fill:none}\
.line{stroke:#0969da;stroke-width:1.5;fill:none}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.soft{fill:#9198a1}.ground{fill:#0d1117;stroke:#3d444d}.grid{stroke:#3d444d}\
.line{stroke:#4493f8}}";
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 700.0;

/// Both as an SVG file.
pub(super) fn svg(measured: &Measured, report: &Report) -> String {
    let title = "Sound test: ".to_owned()
        + if report.passed {
            "passed"
        } else {
            "not passed"
        };
    let mut paper = Paper::new(STYLE);
    paper.text(Place::left(16.0, 28.0), "title", &title);
    let summary = match &measured.way {
        Some(way) => format!(
            "{} · delay {:.1} ms · echo loss {:.1} dB",
            report.verdict(),
            way.delay_ms,
            way.loss_db
        ),
        None => report.verdict(),
    };
    paper.text(Place::left(16.0, 48.0), "soft", &summary);
    if let Some(way) = &measured.way {
        draw_impulse(&mut paper, way, (80.0, 200.0));
        draw_response(&mut paper, way, (250.0, 380.0));
    }
    paper.finish(WIDTH, HEIGHT, &title, &summary)
}

fn draw_impulse(paper: &mut Paper, way: &Way, (top, bottom): (f64, f64)) {
    let middle = (top + bottom) / 2.0;
    let step = (RIGHT - LEFT) / way.impulse.len().max(1) as f64;
    let mut path = String::new();
    for (n, sample) in way.impulse.iter().enumerate() {
        let command = if n == 0 { 'M' } else { 'L' };
        let (x, y) = (
            LEFT + n as f64 * step,
            middle - f64::from(*sample) * (bottom - top) / 2.0,
        );
        _ = write!(path, "{command}{x:.1} {y:.1}");
    }
    paper.text(Place::left(LEFT, top - 8.0), "soft", "impulse response");
    paper.line("grid", (LEFT, middle), (RIGHT, middle));
    paper.path("line", &path);
    for ms in (0..=100).step_by(20) {
        let samples = f64::from(ms) * f64::from(BUS_RATE) / 1e3 + way.arrival as f64;
        let x = LEFT + samples * step;
        if x <= RIGHT {
            let label = format!("{:.0} ms", way.delay_ms + ms as f32);
            paper.line("grid", (x, top), (x, bottom));
            paper.text(Place::middle(x, bottom + 14.0), "soft", &label);
        }
    }
}

fn draw_response(paper: &mut Paper, way: &Way, (top, bottom): (f64, f64)) {
    let loudest = way
        .response
        .iter()
        .fold(f32::MIN, |most, (_, db)| most.max(*db));
    let upper = f64::from((loudest / 10.0).ceil() * 10.0);
    let y = |db: f64| top + ((upper - db) / f64::from(RANGE)).clamp(0.0, 1.0) * (bottom - top);
    let x = |hz: f64| LEFT + (hz / 100.0).ln() / 70f64.ln() * (RIGHT - LEFT);
    paper.text(Place::left(LEFT, top - 8.0), "soft", "frequency response");
    for down in [0.0, 10.0, 20.0, 30.0, 40.0] {
        let level = upper - down;
        paper.line("grid", (LEFT, y(level)), (RIGHT, y(level)));
        let label = format!("{level:.0} dB");
        paper.text(Place::right(LEFT - 6.0, y(level) + 4.0), "soft", &label);
    }
    for hz in [100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0] {
        paper.line("grid", (x(hz), top), (x(hz), bottom));
        let label = format!("{hz:.0} Hz");
        paper.text(Place::middle(x(hz), bottom + 14.0), "soft", &label);
    }
    let mut path = String::new();
    for (n, (hz, db)) in way.response.iter().enumerate() {
        let command = if n == 0 { 'M' } else { 'L' };
        let at = (x(f64::from(*hz)), y(f64::from(*db)));
        _ = write!(path, "{command}{:.1} {:.1}", at.0, at.1);
    }
    paper.path("line", &path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::sweep::{Heard, Sweep, measure};
    use crate::cli::text::WIDTH;
    use crate::edge::clock::Stamp;
    use crate::edge::sound_test::Cards;

    #[test]
    fn the_pictures_fit_and_show_the_way() {
        let sweep = Sweep::new(BUS_RATE);
        let mut heard: Vec<i16> = (0..320).map(|n| n % 3).collect();
        heard.extend(sweep.samples().iter().map(|sample| sample / 8));
        heard.resize(sweep.listen(), 0);
        let measured = measure(&sweep, &Heard::new(&heard));
        let way = measured.way.as_ref().unwrap();
        let text = impulse(way) + &response(way);
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(
            text.contains("15 ms ") && text.contains("120 ms\n"),
            "{text}"
        );
        assert!(text.contains(" 1000 Hz  -18.1 dB  ████"), "{text}");
        let report = Report::new(Stamp::built(), &measured, &Cards::default());
        let svg = svg(&measured, &report);
        for want in ["<svg", "Sound test: passed", "delay 20.0 ms", "5000 Hz"] {
            assert!(svg.contains(want), "no {want} in\n{svg}");
        }
    }
}
