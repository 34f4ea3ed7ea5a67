//! The wiring as a picture: the header, seen from above with pin 1 at the top
//! left, and the parts beside it.
//!
//! ```text
//!   ┌────────┐ ╭─── GPIO17 [11][12] GPIO18
//!   │ button ├─╯╭──── GND  [ 9][10] GPIO15
//!   └────────┴──╯
//! ```
//!
//! The text it returns has no script and fetches nothing; it follows the
//! viewer's choice of light or dark. Nothing is said by colour alone: each
//! wire ends at a terminal that names its pin.
//!
//! Units: pixels of the picture.

use super::wiring::{Sort, Wire, Wired};
use crate::cli::picture::paper::{Paper, Place};
use crate::config::profile::{Board, Objection, Pin, Sound};

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\
.title{font-size:16px;font-weight:600}.soft{fill:#59636e}.name{font-weight:600}.pin{font-size:10px;fill:#fff}\
.taken{fill:#cf222e;stroke:#fff;stroke-width:4px;paint-order:stroke}.ground{fill:#fff;stroke:#d1d9e0}.board{fill:#f6f8fa;stroke:#d1d9e0}.part{fill:#f6f8fa;stroke:#59636e}\
.free{fill:#818b98}.line{fill:#0969da}.gnd{fill:#424a53}.v3{fill:#bc4c00}.v5{fill:#cf222e}\
.w-line,.w-gnd,.w-v3,.w-v5{fill:none;stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}\
.w-line{stroke:#0969da}.w-gnd{stroke:#424a53}.w-v3{stroke:#bc4c00}.w-v5{stroke:#cf222e}\
.sign{fill:none;stroke:#1f2328;stroke-width:1.5;stroke-linejoin:round}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.soft{fill:#9198a1}.pin{fill:#0d1117}.taken{fill:#ff7b72;stroke:#0d1117}.ground{fill:#0d1117;stroke:#3d444d}\
.board{fill:#151b23;stroke:#3d444d}.part{fill:#151b23;stroke:#9198a1}\
.free{fill:#818b98}.line{fill:#4493f8}.gnd{fill:#b7bdc8}.v3{fill:#f0883e}.v5{fill:#ff7b72}\
.w-line{stroke:#4493f8}.w-gnd{stroke:#b7bdc8}.w-v3{stroke:#f0883e}.w-v5{stroke:#ff7b72}.sign{stroke:#e6edf3}}";

const WIDTH: f64 = 800.0;
/// Of the right half, where no part is wired to it.
const MARGIN: f64 = 210.0;
/// The upper edge of the first row.
const TOP: f64 = 84.0;
const ROW: f64 = 21.0;
const PIN: f64 = 17.0;
/// The middle of each column of pins.
const COLUMNS: [f64; 2] = [389.0, 411.0];
/// From a pin's middle to its name, and to where its wire begins.
const NAME: f64 = 16.0;
const WIRE: f64 = 82.0;
/// Where the parts are.
const PART_WIDTH: f64 = 206.0;
const EDGE: f64 = 14.0;
/// Height of a part's head, and of a terminal.
const HEAD: f64 = 26.0;
const TERMINAL: f64 = 20.0;
const GAP: f64 = 14.0;
/// Between wires that run side by side.
const LANE: f64 = 7.0;

/// What a wire is for, as its class.
fn class(pin: Pin) -> &'static str {
    match pin {
        Pin::Gpio(_) => "line",
        Pin::Ground => "gnd",
        Pin::Volts3 => "v3",
        Pin::Volts5 => "v5",
    }
}

/// The picture as an SVG file.
pub(super) fn svg(board: &Board, sounds: &[&Sound], wired: &[Wired<'_>]) -> String {
    let mut paper = Paper::new(STYLE);
    let title = format!("{}: wiring", board.title);
    let card = match sounds.first() {
        Some(sound) => format!(
            "Header from above, pin 1 at the top left; with {}",
            sound.title
        ),
        None => "Header from above, pin 1 at the top left".to_owned(),
    };
    paper.text(Place::left(16.0, 30.0), "title", &title);
    paper.text(Place::left(16.0, 50.0), "soft", &card);

    let rows = board.header.pins().count() as f64 / 2.0;
    let frame = (COLUMNS[0] - 14.0, TOP - 4.0);
    paper.bar("board", frame, (50.0, rows * ROW + 6.0), 1.0);

    let sides = [Side::Left, Side::Right].map(|side| {
        let mut parts: Vec<&Wired<'_>> = wired.iter().filter(|w| side.has(w)).collect();
        parts.sort_by_key(|w| w.wires[0].pin);
        Laid::new(side, &parts)
    });
    for laid in &sides {
        laid.draw_wires(&mut paper);
    }
    let used = |pin: u8| wired.iter().flat_map(|w| &w.wires).any(|w| w.pin == pin);
    for (number, pin) in board.header.pins() {
        draw_pin(&mut paper, board, sounds, (number, pin), used(number));
    }
    for laid in &sides {
        laid.draw_parts(&mut paper);
    }
    let lowest = sides.iter().map(|laid| laid.bottom).fold(0.0, f64::max);
    let mut height = (TOP + rows * ROW + 6.0).max(lowest) + 12.0;
    let notes = notes(wired);
    for note in &notes {
        height += 16.0;
        paper.text(Place::left(16.0, height - 4.0), "soft", note);
    }
    let width = match sides[1].parts.is_empty() {
        true => WIDTH / 2.0 + MARGIN,
        false => WIDTH,
    };
    paper.finish(width, height + 12.0, &title, &card)
}

/// What a picture of wires cannot show.
fn notes(wired: &[Wired<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    let missing = wired.iter().filter(|w| w.wires.is_empty());
    notes.extend(missing.map(|w| format!("{}: {} is not on the header", w.part.name, w.part.line)));
    let is = |sort| move |w: &Wired<'_>| w.part.sort == sort && !w.wires.is_empty();
    if wired.iter().any(is(Sort::Relay)) {
        let low = wired
            .iter()
            .filter(|w| is(Sort::Relay)(w))
            .any(|w| w.part.active_low);
        let board = [
            "A relay board with a transistor of its own, that takes 3.3 V at IN and is off",
            "while IN is open. Never the opener itself on a pin.",
        ];
        notes.extend(board.map(str::to_owned));
        notes.push(
            match low {
                true => "10 kΩ to 3V3 hold a relay off that is on when low; to GND any other.",
                false => "10 kΩ from IN to GND hold it off while the board starts.",
            }
            .to_owned(),
        );
    }
    notes
}

fn draw_pin(
    paper: &mut Paper,
    board: &Board,
    sounds: &[&Sound],
    (number, pin): (u8, Pin),
    used: bool,
) {
    let column = usize::from(number % 2 == 0);
    let (x, y) = (COLUMNS[column], row(number));
    let class = match (pin, used) {
        (Pin::Gpio(_), false) => "free",
        _ => class(pin),
    };
    let half = PIN / 2.0;
    paper.bar(class, (x - half, y - half), (PIN, PIN), 1.0);
    paper.text(Place::middle(x, y + 3.5), "pin", &number.to_string());
    let taken = match pin {
        Pin::Gpio(gpio) => {
            let by = sounds
                .iter()
                .map(|sound| board.objection(gpio, Some(sound)));
            let mut by = by.chain([board.objection(gpio, None)]).flatten();
            by.find_map(|o| match o {
                Objection::Taken(what) => Some(what),
                Objection::Shared(_) => None,
            })
        }
        _ => None,
    };
    let place = |offset: f64| match column {
        0 => Place::right(x - offset, y + 4.0),
        _ => Place::left(x + offset, y + 4.0),
    };
    let style = match (taken, used) {
        (Some(_), _) => "taken",
        (None, true) => "name",
        (None, false) => "soft",
    };
    paper.text(place(NAME), style, &pin.to_string());
    if let (Some(what), false) = (taken, used) {
        paper.text(place(NAME + 50.0), "taken", what);
    }
}

/// The middle of a pin's row.
fn row(pin: u8) -> f64 {
    TOP + f64::from((pin - 1) / 2) * ROW + ROW / 2.0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    /// A part is drawn where its line is.
    fn has(self, wired: &Wired<'_>) -> bool {
        let line = wired.wires.first();
        line.is_some_and(|line| (line.pin % 2 == 1) == (self == Self::Left))
    }

    /// Where `from` the middle of the picture is on this side.
    fn x(self, from: f64) -> f64 {
        let middle = f64::midpoint(COLUMNS[0], COLUMNS[1]);
        match self {
            Self::Left => middle - from,
            Self::Right => middle + from,
        }
    }
}

/// One side's parts with their places.
struct Laid<'a> {
    side: Side,
    parts: Vec<(&'a Wired<'a>, f64)>,
    bottom: f64,
}

/// From the middle to the parts.
const INNER: f64 = WIDTH / 2.0 - EDGE - PART_WIDTH;

impl<'a> Laid<'a> {
    /// Each part as near its line as those above it let it be.
    fn new(side: Side, wired: &[&'a Wired<'a>]) -> Self {
        let mut top: f64 = TOP - 4.0;
        let mut parts = Vec::new();
        for wired in wired {
            let height = height(wired);
            let wish = row(wired.wires[0].pin) - HEAD - TERMINAL / 2.0;
            let at = top.max(wish);
            parts.push((*wired, at));
            top = at + height + GAP;
        }
        Self {
            side,
            parts,
            bottom: top - GAP,
        }
    }

    /// Each wire in a lane of its own, the lowest pin's outermost.
    fn draw_wires(&self, paper: &mut Paper) {
        let mut wires: Vec<(Wire, f64)> = Vec::new();
        for (wired, top) in &self.parts {
            let terminals = (0..).zip(&wired.wires);
            wires.extend(terminals.map(|(n, wire)| (*wire, terminal(*top, n))));
        }
        // A wire that falls passes outside of those above it.
        wires.sort_by_key(|(wire, _)| wire.pin);
        let lanes = wires.len();
        for (n, (wire, y)) in wires.iter().enumerate() {
            let falls = *y > row(wire.pin);
            let lane = match falls {
                true => lanes - 1 - n,
                false => n,
            };
            self.draw_wire(paper, *wire, *y, lane);
        }
    }

    fn draw_wire(&self, paper: &mut Paper, wire: Wire, y: f64, lane: usize) {
        let side = self.side;
        let room = INNER - WIRE - 24.0;
        let lane = (lane as f64 * LANE) % room;
        let turn = side.x(WIRE + 12.0 + lane);
        let part = side.x(INNER);
        let own = (wire.pin % 2 == 1) == (side == Side::Left);
        let at = row(wire.pin);
        let path = match own {
            true => format!("M{:.1} {at:.1}H{turn:.1}V{y:.1}H{part:.1}", side.x(WIRE)),
            // Over the top of the header to the other side.
            false => {
                let far = match side {
                    Side::Left => Side::Right,
                    Side::Right => Side::Left,
                };
                format!(
                    "M{:.1} {at:.1}H{:.1}V{:.1}H{turn:.1}V{y:.1}H{part:.1}",
                    far.x(WIRE),
                    far.x(WIRE + 12.0),
                    TOP - 12.0,
                )
            }
        };
        paper.path(&format!("w-{}", class(wire.to)), &path);
    }

    fn draw_parts(&self, paper: &mut Paper) {
        for (wired, top) in &self.parts {
            let left = match self.side {
                Side::Left => EDGE,
                Side::Right => WIDTH - EDGE - PART_WIDTH,
            };
            paper.bar("part", (left, *top), (PART_WIDTH, height(wired)), 1.0);
            let name: String = wired.part.name.chars().take(18).collect();
            paper.text(Place::left(left + 42.0, top + 18.0), "name", &name);
            paper.path("sign", &sign(wired.part.sort, left + 10.0, top + 13.0));
            for (n, wire) in (0..).zip(&wired.wires) {
                let y = terminal(*top, n) + 4.0;
                let text = format!("{} · pin {} {}", wire.terminal, wire.pin, wire.to);
                let place = match self.side {
                    Side::Left => Place::right(left + PART_WIDTH - 10.0, y),
                    Side::Right => Place::left(left + 10.0, y),
                };
                paper.text(place, "", &text);
            }
        }
    }
}

fn height(wired: &Wired<'_>) -> f64 {
    HEAD + TERMINAL * wired.wires.len() as f64 + 4.0
}

/// Where the `n`th terminal of a part is.
fn terminal(top: f64, n: u8) -> f64 {
    top + HEAD + TERMINAL * f64::from(n) + TERMINAL / 2.0
}

/// The sign of a part, 24 wide, its middle line at `y`.
fn sign(sort: Sort, x: f64, y: f64) -> String {
    match sort {
        // Two contacts and the bar above them.
        Sort::Button => format!(
            "M{x:.1} {y:.1}h7M{:.1} {y:.1}h7M{:.1} {:.1}h14m-7 0v-5",
            x + 17.0,
            x + 5.0,
            y - 4.0,
        ),
        // A diode, and the light that leaves it.
        Sort::Lamp => format!(
            "M{x:.1} {y:.1}h7v-6l9 6l-9 6v-6M{:.1} {:.1}v12M{:.1} {y:.1}h8M{:.1} {:.1}l4-4m1 3l4-4",
            x + 16.0,
            y - 6.0,
            x + 16.0,
            x + 12.0,
            y - 7.0,
        ),
        // A coil, and the contact it moves.
        Sort::Relay => format!(
            "M{x:.1} {:.1}h9v10h-9zM{:.1} {y:.1}h3M{:.1} {y:.1}l8-5M{:.1} {y:.1}h3",
            y - 5.0,
            x + 9.0,
            x + 13.0,
            x + 21.0,
        ),
    }
}
