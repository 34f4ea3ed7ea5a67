//! The lines of buttons, lamps and door relays, on the kernel's GPIO character
//! device.
//!
//! Lines are found once, by the name the board gives them or by the label of
//! their chip and an offset. After that [`Buttons`] hands out the edges as the
//! panel wants them, and [`LinePin`] is an `embedded_hal` output.
//!
//! ```text
//!  "GPIO17", "pinctrl-bcm2835:17" ─▶ find ─▶ request ─▶ kernel (uAPI v2)
//!                                                          │ 256 edges a line, stamped
//!         panel_inputs ◀── Buttons: edges and levels ◀─────┘ CLOCK_MONOTONIC
//!  panel's lamps, relays ─▶ LinePin ─▶ kernel
//! ```
//!
//! **When the process dies.** The kernel closes what the process had open and so
//! gives its lines back. Until then a line is what we set it to; from then on
//! "the state of the line becomes uncontrolled … and may revert to its default
//! state" (uAPI, `GPIO_V2_GET_LINE_IOCTL`). What that is depends on the chip's
//! driver:
//!
//! | driver | an output that is given back |
//! |---|---|
//! | `pinctrl-bcm2835`, as Linux has it | becomes an input: its pull resistor decides |
//! | `pinctrl-bcm2835`, `pinctrl-rp1`, as Raspberry Pi's kernels have them | stays driven as it was |
//! | the same with `dtparam=strict_gpiod` in `config.txt` | becomes an input |
//! | chips whose driver does nothing then, as I²C expanders | stays driven as it was |
//!
//! So a relay that is on in the moment of a crash may stay on until callbox is
//! started again: it asks for each line *inactive*, before anything else. What
//! callbox does for its part: relays go off when the panel is dropped, and each
//! output is requested with the chip's pull towards inactive. What the
//! installer does: `strict_gpiod` on a Raspberry Pi, a relay board that is off
//! when its input is open, with a resistor of 10 kΩ towards off, and, where an
//! open door is a danger, a relay that times the pulse by itself.
//!
//! Units: stamps are `CLOCK_MONOTONIC` as a duration since boot, the present on
//! that clock is `KernelClock::now`; offsets count from 0 on their chip.
//!
//! Always true: `gpiochip` numbers appear in no setting, since they change from
//! kernel to kernel (a Pi 5's header was 4 and became 0); the kernel debounces
//! nothing, since that would hold back the first edge; active-low is turned
//! around by the kernel, so active means pushed, lit or open from here on.
//!
//! Thread: the media runtime. Finding and opening lines blocks for some
//! milliseconds: do it before calls, or on another thread.

use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use embedded_hal::digital;
use gpiocdev::Request;
use gpiocdev::chip::Chip;
use gpiocdev::line::{EdgeDetection, EdgeEvent, EdgeKind, EventClock, Value};
use gpiocdev::tokio::AsyncRequest;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::panel_inputs::EdgeSource;
use crate::panel::{Input, Level};
use crate::units::ButtonId;

/// The name other programs see on our lines, in `gpioinfo` for one.
pub const CONSUMER: &str = "callbox";

/// Edges of one line the kernel keeps for us; the oldest give way, and the
/// jump in their numbers tells. 256 edges are 50 ms of the wildest welder.
pub const KERNEL_EDGES: u32 = 256;

/// Edges taken from the kernel at a time, and edges that may wait for the panel.
const BATCH: usize = 16;

/// The longest name the kernel gives a line or a chip, in bytes.
const NAME_MAX: usize = 31;

/// Names offered in place of one that was not found.
const NEAR_MAX: usize = 5;

/// Where a line is, in a way that survives a new kernel and a new board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineSpec {
    /// By the line's own name: `GPIO17`.
    Name(String),
    /// By its chip's label and its place there: `pinctrl-bcm2835:17`.
    Offset {
        /// The label of the chip, as `callbox doctor` lists it.
        chip: String,
        /// The line's number on that chip, from 0.
        offset: u32,
    },
    /// A line of a board that is known: by its name, and where this kernel
    /// calls it otherwise, by its chip.
    Header {
        /// As it was asked for.
        name: String,
        /// The label of the chip.
        chip: String,
        /// The line's number on that chip, from 0.
        offset: u32,
    },
}

impl FromStr for LineSpec {
    type Err = BadLine;

    fn from_str(text: &str) -> Result<Self, BadLine> {
        let text = text.trim();
        if text.is_empty() || text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadLine::NoName(text.into()));
        }
        let offset = |(chip, digits): (&str, &str)| Some((chip.to_owned(), digits.parse().ok()?));
        let spec = match text.rsplit_once(':').and_then(offset) {
            Some((chip, offset)) => Self::Offset { chip, offset },
            None => Self::Name(text.into()),
        };
        let (Self::Name(name) | Self::Header { name, .. } | Self::Offset { chip: name, .. }) =
            &spec;
        if name.trim_start_matches("/dev/").starts_with("gpiochip") {
            return Err(BadLine::NumberedChip(name.clone()));
        }
        if name.is_empty() || name.len() > NAME_MAX || name.contains(char::is_control) {
            return Err(BadLine::Length(text.into()));
        }
        Ok(spec)
    }
}

impl fmt::Display for LineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) | Self::Header { name, .. } => f.write_str(name),
            Self::Offset { chip, offset } => write!(f, "{chip}:{offset}"),
        }
    }
}

/// Why a text names no line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Nothing, or a bare number.
    #[error(
        "{0:?} does not say which line; write its name, like \"GPIO17\", or the label of its chip and its number there, like \"pinctrl-bcm2835:17\""
    )]
    NoName(String),
    /// `gpiochip0:17`.
    #[error(
        "{0:?} is a number the kernel gives out at each start and may change; write the line's name or its chip's label, both shown by `callbox doctor`"
    )]
    NumberedChip(String),
    /// Empty before the colon, longer than the kernel's names are, or unprintable.
    #[error("{0:?} cannot be the name of a line: those have 1 to {NAME_MAX} printable characters")]
    Length(String),
}

/// The resistor that holds an input while nothing drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// To the supply: a button that connects the line to ground. The default.
    #[default]
    PullUp,
    /// To ground: a button that connects the line to the supply.
    PullDown,
    /// Off: the board has a resistor of its own.
    Disabled,
    /// As it was set before, by the firmware or the device tree.
    AsIs,
}

/// The line of one button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonLine {
    /// Which line.
    pub line: LineSpec,
    /// Whether pushed means a low voltage. Default yes: button to ground.
    pub active_low: bool,
    /// The resistor. Default pull-up. The built-in one of some 50 kΩ is weak:
    /// cables of more than a few metres want one of 1 to 5 kΩ beside it.
    pub bias: Bias,
}

impl ButtonLine {
    /// A button from `line` to ground.
    #[must_use]
    pub fn new(line: LineSpec) -> Self {
        Self {
            line,
            active_low: true,
            bias: Bias::PullUp,
        }
    }

    fn request(&self, chip: PathBuf, offset: u32) -> gpiocdev::request::Builder {
        use gpiocdev::line::Bias as Kernel;
        let bias = match self.bias {
            Bias::PullUp => Some(Kernel::PullUp),
            Bias::PullDown => Some(Kernel::PullDown),
            Bias::Disabled => Some(Kernel::Disabled),
            Bias::AsIs => None,
        };
        let mut request = Request::builder();
        request
            .on_chip(chip)
            .with_consumer(CONSUMER)
            .with_kernel_event_buffer_size(KERNEL_EDGES)
            .with_line(offset)
            .as_input()
            .with_bias(bias)
            .with_edge_detection(EdgeDetection::BothEdges)
            .with_event_clock(EventClock::Monotonic);
        if self.active_low {
            request.as_active_low();
        }
        request
    }
}

/// The line of a lamp or a door relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// Which line.
    pub line: LineSpec,
    /// Whether lit, or open, means a low voltage. Default no; many relay
    /// boards want it.
    pub active_low: bool,
}

impl OutputLine {
    /// An output that is active at a high voltage on `line`.
    #[must_use]
    pub fn new(line: LineSpec) -> Self {
        Self {
            line,
            active_low: false,
        }
    }

    /// Inactive from the first moment. The pull takes over where the chip makes
    /// an input of a line that is given back; a chip without resistors ignores it.
    fn request(&self, chip: PathBuf, offset: u32) -> gpiocdev::request::Builder {
        use gpiocdev::line::Bias as Kernel;
        let bias = match self.active_low {
            true => Kernel::PullUp,
            false => Kernel::PullDown,
        };
        let mut request = Request::builder();
        request
            .on_chip(chip)
            .with_consumer(CONSUMER)
            .with_line(offset)
            .as_output(Value::Inactive)
            .with_bias(bias);
        if self.active_low {
            request.as_active_low();
        }
        request
    }
}

/// The button lines, requested and watched: a task for each, all on the
/// runtime they were opened in, that end when this is dropped.
#[derive(Debug)]
pub struct Buttons {
    lines: Vec<Watched>,
    edges: mpsc::Receiver<Result<(Duration, Input), Error>>,
    _tasks: JoinSet<()>,
}

/// A requested line, shared with the task that waits for its edges.
#[derive(Debug, Clone)]
struct Watched {
    button: ButtonId,
    spec: LineSpec,
    offset: u32,
    request: Arc<AsyncRequest>,
}

impl Buttons {
    /// Finds, requests and watches `lines`; the first becomes `ButtonId(0)`.
    ///
    /// # Errors
    /// The first line that cannot be had, with what to do about it.
    ///
    /// # Panics
    /// Outside of a tokio runtime: it is the one that waits for the edges.
    pub fn open(lines: &[ButtonLine]) -> Result<Self, Error> {
        let listing = list()?;
        let ids = (0..=u8::MAX).map(ButtonId);
        let open = |(id, line)| Watched::open(id, &listing, line);
        let lines: Vec<_> = ids.zip(lines).map(open).collect::<Result<_, _>>()?;
        let (tx, edges) = mpsc::channel(BATCH);
        let tasks = lines.iter().map(|line| line.clone().watch(tx.clone()));
        Ok(Self {
            edges,
            _tasks: tasks.collect(),
            lines,
        })
    }

    /// Reads all lines, in the order of their ids: what a panel starts with.
    ///
    /// # Errors
    /// When a line cannot be read.
    pub fn levels(&self) -> Result<Vec<Level>, Error> {
        self.lines.iter().map(Watched::level).collect()
    }
}

impl EdgeSource for Buttons {
    async fn next(&mut self) -> Result<(Duration, Input), Error> {
        match self.edges.recv().await {
            Some(edge) => edge,
            None => pending().await, // every line said that it is gone
        }
    }

    fn level(&self, button: ButtonId) -> Result<Level, Error> {
        match self.lines.get(usize::from(button.0)) {
            Some(line) => line.level(),
            None => Ok(Level::Inactive), // no such button: never pushed
        }
    }
}

impl Watched {
    fn open(button: ButtonId, listing: &Listing, line: &ButtonLine) -> Result<Self, Error> {
        let place = listing.find(&line.line)?;
        let request = line
            .request(place.chip.clone(), place.offset)
            .request()
            .map_err(|source| refused(&line.line, &place, line.bias != Bias::AsIs, source))?;
        Ok(Self {
            button,
            spec: line.line.clone(),
            offset: place.offset,
            request: Arc::new(AsyncRequest::new(request)),
        })
    }

    fn level(&self) -> Result<Level, Error> {
        match (*self.request).as_ref().value(self.offset) {
            Ok(Value::Active) => Ok(Level::Active),
            Ok(Value::Inactive) => Ok(Level::Inactive),
            Err(source) => Err(gone(&self.spec, source)),
        }
    }

    /// Hands on the edges of one line until it fails. While nobody takes them
    /// they wait in the kernel, which drops the oldest and leaves a jump in
    /// their numbers.
    async fn watch(self, edges: mpsc::Sender<Result<(Duration, Input), Error>>) {
        let request: &Request = (*self.request).as_ref();
        let size = request.edge_event_u64_size();
        let mut buffer = vec![0; BATCH * size];
        loop {
            let words = match self.request.read_edge_events_into_slice(&mut buffer).await {
                Ok(words) => words,
                Err(source) => {
                    _ = edges.send(Err(gone(&self.spec, source))).await;
                    return;
                }
            };
            for event in buffer[..words].chunks_exact(size) {
                let edge = request.edge_event_from_slice(event);
                let edge = edge.map(|event| input(self.button, &event));
                let edge = edge.map_err(|source| gone(&self.spec, source));
                if edges.send(edge).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The kernel's event as the panel takes it.
fn input(button: ButtonId, event: &EdgeEvent) -> (Duration, Input) {
    let edge = Input::Edge {
        button,
        level: match event.kind {
            EdgeKind::Rising => Level::Active,
            EdgeKind::Falling => Level::Inactive,
        },
        sequence: event.line_seqno,
    };
    (Duration::from_nanos(event.timestamp_ns), edge)
}

/// A line as an `embedded_hal` output: high is active.
#[derive(Debug)]
pub struct LinePin {
    offset: u32,
    request: Request,
}

impl LinePin {
    /// Finds and requests the line, inactive.
    ///
    /// # Errors
    /// When the line cannot be had, with what to do about it.
    pub fn open(output: &OutputLine) -> Result<Self, Error> {
        let place = list()?.find(&output.line)?;
        let request = output
            .request(place.chip.clone(), place.offset)
            .request()
            .map_err(|source| refused(&output.line, &place, false, source))?;
        Ok(Self {
            offset: place.offset,
            request,
        })
    }
}

/// The kernel did not set the line.
#[derive(Debug, thiserror::Error)]
#[error("the line cannot be set")]
pub struct PinError(#[from] gpiocdev::Error);

impl digital::Error for PinError {
    fn kind(&self) -> digital::ErrorKind {
        digital::ErrorKind::Other
    }
}

impl digital::ErrorType for LinePin {
    type Error = PinError;
}

impl digital::OutputPin for LinePin {
    fn set_low(&mut self) -> Result<(), PinError> {
        Ok(self.request.set_value(self.offset, Value::Inactive)?)
    }

    fn set_high(&mut self) -> Result<(), PinError> {
        Ok(self.request.set_value(self.offset, Value::Active)?)
    }
}

/// The GPIO chips and lines of this machine, as far as we may look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The chips that could be opened, in the order of their paths.
    pub chips: Vec<ChipListing>,
    /// Chips we have no right to open.
    pub denied: Vec<PathBuf>,
}

/// A GPIO chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChipListing {
    /// Its device file at the moment. Not for configuration: it changes.
    pub path: PathBuf,
    /// Its label, which does not.
    pub label: String,
    /// Its lines by offset.
    pub lines: Vec<LineListing>,
}

/// A line of a GPIO chip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineListing {
    /// What the board calls it; often nothing.
    pub name: String,
    /// Who uses it; `None` when it is free.
    pub user: Option<String>,
}

/// Where a line is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The device file of its chip.
    pub chip: PathBuf,
    /// Its number there.
    pub offset: u32,
}

/// Lists the GPIO chips and lines of this machine.
///
/// # Errors
/// When `/dev` cannot be read or a chip does not answer. A machine without
/// chips is an empty list, and a chip we may not open is in `denied`.
pub fn list() -> Result<Listing, Error> {
    let mut listing = Listing::default();
    for path in gpiocdev::chip::chips().map_err(system)? {
        match Chip::from_path(&path) {
            Ok(chip) => listing.chips.push(list_chip(&chip).map_err(system)?),
            Err(gpiocdev::Error::Os(error)) if error.0 == libc::EACCES => listing.denied.push(path),
            Err(error) => return Err(system(error)),
        }
    }
    Ok(listing)
}

fn list_chip(chip: &Chip) -> gpiocdev::Result<ChipListing> {
    let line = |info: gpiocdev::line::Info| LineListing {
        name: info.name,
        user: info.used.then_some(info.consumer),
    };
    let lines = chip.line_info_iter()?.map(|info| info.map(line));
    Ok(ChipListing {
        path: chip.path().into(),
        label: chip.info()?.label,
        lines: lines.collect::<Result<_, _>>()?,
    })
}

impl Listing {
    /// Where a line is.
    ///
    /// # Errors
    /// When it is nowhere, in two places, or in use.
    pub fn find(&self, spec: &LineSpec) -> Result<Place, Error> {
        if self.chips.is_empty() && self.denied.is_empty() {
            return Err(Problem::NoChips.into());
        }
        let found = match spec {
            LineSpec::Name(name) => self.find_name(name),
            LineSpec::Offset { chip, offset } => self.find_offset(chip, *offset),
            LineSpec::Header { name, chip, offset } => match self.find_name(name) {
                // The same name on two chips: the header's is meant.
                Err(Problem::NoSuchLine { .. } | Problem::TwoLines { .. })
                    if self.chips.iter().any(|c| c.label == *chip) =>
                {
                    self.find_offset(chip, *offset)
                }
                found => found,
            },
        };
        let (chip, offset) = match (found, self.denied.first()) {
            (Ok(found), _) => found,
            (Err(Problem::NoSuchLine { .. } | Problem::NoSuchChip { .. }), Some(denied)) => {
                return Err(Problem::Denied(denied.clone()).into());
            }
            (Err(problem), _) => return Err(problem.into()),
        };
        match &chip.lines[offset as usize].user {
            Some(user) => Err(busy(spec, user)),
            None => Ok(Place {
                chip: chip.path.clone(),
                offset,
            }),
        }
    }

    fn find_name(&self, name: &str) -> Result<(&ChipListing, u32), Problem> {
        let all = || self.chips.iter().flat_map(ChipListing::numbered);
        let mut hits = all().filter(|(_, _, line)| line.name == name);
        match (hits.next(), hits.next()) {
            (Some((chip, offset, _)), None) => Ok((chip, offset)),
            (Some((a, m, _)), Some((b, n, _))) => Err(Problem::TwoLines {
                name: name.into(),
                first: format!("{}:{m}", a.label),
                second: format!("{}:{n}", b.label),
            }),
            (None, _) => Err(Problem::NoSuchLine {
                name: name.into(),
                near: near(name, all().map(|(_, _, line)| line.name.as_str())),
            }),
        }
    }

    fn find_offset(&self, label: &str, offset: u32) -> Result<(&ChipListing, u32), Problem> {
        let mut hits = self.chips.iter().filter(|chip| chip.label == label);
        match (hits.next(), hits.next()) {
            (Some(chip), None) if (offset as usize) < chip.lines.len() => Ok((chip, offset)),
            (Some(chip), None) => Err(Problem::BeyondChip {
                label: label.into(),
                offset,
                lines: chip.lines.len(),
            }),
            (Some(_), Some(_)) => Err(Problem::TwoChips(label.into())),
            (None, _) => Err(Problem::NoSuchChip {
                label: label.into(),
                have: self.chips.iter().map(|chip| chip.label.clone()).collect(),
            }),
        }
    }
}

impl ChipListing {
    fn numbered(&self) -> impl Iterator<Item = (&Self, u32, &LineListing)> {
        let number = move |(offset, line)| (self, offset, line);
        (0..).zip(&self.lines).map(number)
    }
}

/// Why a line cannot be had or used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Problem);

/// What we do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing helps but a person: say it and stop.
    GiveUp,
    /// It may pass: ask for the line again in a second.
    Retry,
    /// The line was lost: drop it, open it again, read its level.
    Reopen,
}

impl Error {
    /// What we do about it.
    #[must_use]
    pub fn next(&self) -> Next {
        match self.0 {
            Problem::NoChips | Problem::Busy { .. } | Problem::System(_) => Next::Retry,
            // Early in a boot a chip's driver may not be there yet, nor the
            // rule that gives its file to our group.
            Problem::Denied(_) | Problem::NoSuchLine { .. } | Problem::NoSuchChip { .. } => {
                Next::Retry
            }
            Problem::Gone { .. } => Next::Reopen,
            _ => Next::GiveUp,
        }
    }
}

/// What is wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(
        "this machine has no GPIO lines (there is no /dev/gpiochip*); enable its GPIO driver, or try `callbox demo`, where the Enter key is the button"
    )]
    NoChips,
    #[error(
        "callbox may not open {}; add its user to the group that owns the file, `sudo usermod -aG gpio USER` on most boards, and start it again", .0.display()
    )]
    Denied(PathBuf),
    #[error("no GPIO line is called {name:?}; {}", names(.near, "names like it are"))]
    NoSuchLine { name: String, near: Vec<String> },
    #[error("no GPIO chip is labelled {label:?}; {}", names(.have, "this machine has"))]
    NoSuchChip { label: String, have: Vec<String> },
    #[error(
        "two GPIO lines are called {name:?}; write {first:?} or {second:?} for the one you mean"
    )]
    TwoLines {
        name: String,
        first: String,
        second: String,
    },
    #[error(
        "two GPIO chips are labelled {0:?}; name the line instead, as `callbox doctor` lists it"
    )]
    TwoChips(String),
    #[error("{label:?} has {lines} lines, numbered from 0; there is no {offset}")]
    BeyondChip {
        label: String,
        offset: u32,
        lines: usize,
    },
    #[error(
        "GPIO line \"{line}\" is in use by {user}; stop that, or remove its `dtoverlay` or `dtparam` from config.txt, or wire to another line"
    )]
    Busy { line: LineSpec, user: String },
    #[error("the kernel refused GPIO line \"{line}\"{}", advice(*.biased))]
    Refused {
        line: LineSpec,
        biased: bool,
        source: gpiocdev::Error,
    },
    #[error("GPIO line \"{line}\" is gone; callbox opens it again when its chip is back")]
    Gone {
        line: LineSpec,
        source: gpiocdev::Error,
    },
    #[error("the GPIO chips cannot be listed")]
    System(#[source] gpiocdev::Error),
}

fn advice(biased: bool) -> &'static str {
    match biased {
        true => {
            "; its chip may have no pull resistors: set bias to \"as-is\" and fit one of 1 to 5 kΩ"
        }
        false => "; it may be wired as an input only: choose another",
    }
}

fn names(names: &[String], lead: &str) -> String {
    match names {
        [] => "`callbox doctor` lists what there is".into(),
        names => format!("{lead} {}", names.join(", ")),
    }
}

fn system(source: gpiocdev::Error) -> Error {
    Problem::System(source).into()
}

fn gone(line: &LineSpec, source: gpiocdev::Error) -> Error {
    let line = line.clone();
    Problem::Gone { line, source }.into()
}

fn busy(line: &LineSpec, user: &str) -> Error {
    let user = match user {
        "" => "the kernel".into(),
        CONSUMER => "another callbox".into(),
        user => format!("{user:?}"),
    };
    let line = line.clone();
    Problem::Busy { line, user }.into()
}

/// Somebody may have taken the line since it was listed: look again.
fn refused(line: &LineSpec, place: &Place, biased: bool, source: gpiocdev::Error) -> Error {
    let info = Chip::from_path(&place.chip).and_then(|chip| chip.line_info(place.offset));
    match info {
        Ok(info) if info.used => busy(line, &info.consumer),
        Ok(_) => Problem::Refused {
            line: line.clone(),
            biased,
            source,
        }
        .into(),
        Err(_) => gone(line, source),
    }
}

/// The names closest to `wanted`, best first.
fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(usize, &str)> = names
        .filter(|name| !name.is_empty())
        .map(|name| (distance(wanted, name), name))
        .collect();
    near.sort_unstable();
    near.dedup();
    near.truncate(NEAR_MAX);
    near.into_iter().map(|(_, name)| name.into()).collect()
}

/// Edits from one word to the other (Levenshtein), whatever their case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use gpiocdev::line::{Bias as KernelBias, Config, Direction};

    use super::*;

    fn spec() -> LineSpec {
        LineSpec::Name("GPIO4".into())
    }

    #[test]
    fn a_button_is_requested_with_edges_stamps_and_bias() {
        let wanted = |active_low, bias| Config {
            direction: Some(Direction::Input),
            active_low,
            bias,
            edge_detection: Some(EdgeDetection::BothEdges),
            event_clock: Some(EventClock::Monotonic),
            ..Config::default()
        };
        let cases = [
            (true, Bias::PullUp, Some(KernelBias::PullUp)),
            (false, Bias::PullDown, Some(KernelBias::PullDown)),
            (true, Bias::Disabled, Some(KernelBias::Disabled)),
            (false, Bias::AsIs, None),
        ];
        for (active_low, bias, kernel) in cases {
            let line = ButtonLine {
                line: spec(),
                active_low,
                bias,
            };
            let config = line.request("/dev/gpiochip0".into(), 4).config();
            assert_eq!(config.line_config(4), Some(&wanted(active_low, kernel)));
            assert_eq!(config.chip(), PathBuf::from("/dev/gpiochip0"));
        }
    }

    #[test]
    fn an_output_is_requested_inactive_and_pulled_that_way() {
        for (active_low, bias) in [(false, KernelBias::PullDown), (true, KernelBias::PullUp)] {
            let output = OutputLine {
                line: spec(),
                active_low,
            };
            let config = output.request("/dev/gpiochip0".into(), 4).config();
            let wanted = Config {
                direction: Some(Direction::Output),
                active_low,
                bias: Some(bias),
                value: Some(Value::Inactive),
                ..Config::default()
            };
            assert_eq!(config.line_config(4), Some(&wanted));
        }
    }

    #[test]
    fn kernel_events_keep_their_stamp_and_number() {
        let event = EdgeEvent {
            timestamp_ns: 12_000_000_345,
            kind: EdgeKind::Falling,
            offset: 4,
            seqno: 99,
            line_seqno: 7,
        };
        let edge = Input::Edge {
            button: ButtonId(2),
            level: Level::Inactive,
            sequence: 7,
        };
        let at = Duration::new(12, 345);
        assert_eq!(input(ButtonId(2), &event), (at, edge));
    }

    #[test]
    fn a_refused_or_lost_line_says_what_to_do_and_keeps_the_cause() {
        use std::error::Error as _;
        let cause = || gpiocdev::Error::from(std::io::Error::from_raw_os_error(libc::ENODEV));
        let lost = gone(&spec(), cause());
        assert_eq!(lost.next(), Next::Reopen);
        let refused = |biased| {
            let (line, source) = (spec(), cause());
            Error(Problem::Refused {
                line,
                biased,
                source,
            })
        };
        assert_eq!(refused(true).next(), Next::GiveUp);
        let cases = [
            (lost, "opens it again"),
            (refused(true), "set bias to \"as-is\""),
            (refused(false), "choose another"),
        ];
        for (error, advice) in cases {
            assert!(error.to_string().contains(advice), "{error}");
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains("No such device"), "{cause}");
        }
    }

    #[test]
    fn a_chip_that_went_away_before_the_request_is_opened_again() {
        let place = Place {
            chip: "/dev/gpiochip-that-went-away".into(),
            offset: 4,
        };
        let cause = gpiocdev::Error::NoGpioChips();
        assert_eq!(refused(&spec(), &place, true, cause).next(), Next::Reopen);
    }
}
