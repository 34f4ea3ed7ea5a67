//! Throws a hundred random days at a `Call` and a small model of the service,
//! and looks for a stuck state, a second call, a call left up, a press without
//! an end, or a door that opens to whom it should not.
//!
//! The service here has a clock of its own that the machine cannot see: calls
//! dial, ring, are answered, hang up and time out in it whatever the device
//! does. Between the two lies a bad line: answers are late, lost, wrong about
//! the outcome or doubled, REST goes away for hours, sockets drop, the device
//! sleeps and wakes, crashes and starts again. Presses go through lists; callees
//! confirm or do not, type codes and rubbish, are told announcements; people call
//! the device, at the worst moments.
//!
//! A world that fails prints its seed: `SEED=7 cargo test --test call_model`
//! plays that one alone, with its story on the error output.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use callbox::call::{
    Call, Cleared, Config, Direction, Door, HangUpAnswer, Inbound, Input, Kind, Look, MAX_OUTPUTS,
    Output, Phase, Plan, Reason, Record, Refusal, Report, Snapshot, Source, Status,
};
use callbox::trace::Counter;
use callbox::units::{AttemptId, ButtonId, CallId, Digit, Mode, SocketId};

/// Worlds played, each of which lasts [`DAYS`].
const WORLDS: u64 = 20;

/// Days in one world; with [`WORLDS`], a hundred.
const DAYS: u64 = 5;

/// Longest call the service allows, answered or not.
const SERVICE_MAX: u64 = 3_600_000;

/// No attempt stays open longer than this: every bound of the machine in a
/// row, with the time for answers that never come.
const OPEN_MAX: u64 = 45 * 60_000;

/// No press goes on for longer than this: the longest list here has six turns.
const PRESS_MAX: u64 = 6 * OPEN_MAX;

/// What opens the door, and confirms.
const CODE: [char; 2] = ['4', '7'];
const CONFIRM: char = '1';

#[test]
fn no_world_finds_a_stuck_state_a_second_call_or_a_call_left_up() {
    let only = std::env::var("SEED").ok().map(|s| s.parse().unwrap());
    let mut tally = Tally::default();
    for seed in only.map_or(0..WORLDS, |s| s..s + 1) {
        let mut world = World::new(seed, only.is_some());
        world.live();
        tally.add(&world.tally);
    }
    if only.is_none() {
        tally.shows_that_the_worlds_were_wild();
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// Something that will happen at a time in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The device hears number so-and-so of [`World::mail`].
    Hears(usize),
    /// The service changes a call.
    Changes(usize, Change),
    /// The process must have come to its end.
    Exits(u32),
    /// A person or the weather.
    Weather(Weather),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Made,
    Rings,
    Answered,
    Streams,
    Media(u32),
    Drops(u32),
    Keys(u32),
    Ends(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weather {
    Press,
    Cancel,
    CallsUs,
    RestAway,
    RestBack,
    Sleep,
    Nonsense,
    Repeat,
    Crash,
    Shutdown,
    Hint,
}

/// A call as the service knows it.
struct Leg {
    process: u32,
    attempt: AttemptId,
    name: CallId,
    made: bool,
    status: Status,
    reason: Option<Reason>,
    socket: Option<u32>,
    /// Somebody calls the device.
    inbound: bool,
    /// The service made two calls of one request.
    doubled: bool,
    /// The device has been told of it.
    heard: bool,
    /// The device said that there was none: it may turn up beside another.
    excused: bool,
    /// The device said that it could not make sure of its end.
    given_up: bool,
    made_at: u64,
}

impl Leg {
    fn is_up(&self) -> bool {
        self.made && !self.status.is_terminal()
    }
}

/// What the checks remember of an attempt.
#[derive(Default)]
struct Seen {
    /// When, on a clock that stands still while the device sleeps.
    opened: Option<u64>,
    placed: bool,
    first_look: Option<u64>,
    closed: bool,
    press: Option<AttemptId>,
    confirmed: bool,
    joins: u32,
}

/// The stream that is attached, as the device has said.
#[derive(Clone, Copy, PartialEq)]
struct Attached {
    attempt: AttemptId,
    socket: SocketId,
    joined: bool,
}

/// How often each thing happened, to show that the worlds are not tame.
#[derive(Default)]
struct Tally {
    ended: BTreeMap<String, u32>,
    cleared: BTreeMap<String, u32>,
    most_outputs: usize,
    inputs: u64,
    orphans: u32,
    later_numbers: u32,
    joins: u32,
    doors: u32,
    strays: u32,
}

struct World {
    seed: u64,
    told: bool,
    random: Random,
    t0: Instant,
    now: u64,
    /// The device sleeps until then: it hears nothing and no timer fires.
    asleep_until: u64,
    slept: u64,
    rest_away: bool,
    has_hang_up: bool,
    inbound: Inbound,
    calm: bool,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    mail: Vec<(u32, Input)>,
    call: Call,
    process: u32,
    due: Option<Instant>,
    phase: Phase,
    stopped: bool,
    list_asked: bool,
    list_failed: bool,
    legs: Vec<Leg>,
    sockets: u32,
    seen: BTreeMap<(u32, AttemptId), Seen>,
    /// Attempts of this process that have no last record yet.
    open: BTreeSet<AttemptId>,
    /// What the latest press asked for; what each press did that was taken.
    asked: Plan,
    plans: BTreeMap<(u32, AttemptId), Plan>,
    /// The latest turn of each press.
    turns: BTreeMap<(u32, AttemptId), (u8, u8)>,
    attached: Option<Attached>,
    /// Since when the visitor waits, on the clock of [`Seen::opened`].
    busy_since: Option<u64>,
    tally: Tally,
}

impl World {
    fn new(seed: u64, told: bool) -> Self {
        let t0 = Instant::now(); // an arbitrary origin; only sums of it are used
        let mut random = Random(seed);
        let has_hang_up = random.percent(70);
        let inbound = match random.below(4) {
            0 => Inbound::Refuse,
            1 => Inbound::Answer,
            _ => Inbound::Chime,
        };
        Self {
            seed,
            told,
            random,
            t0,
            now: 0,
            asleep_until: 0,
            slept: 0,
            rest_away: false,
            has_hang_up,
            calm: false,
            events: BinaryHeap::new(),
            order: 0,
            mail: Vec::new(),
            call: Call::new(config(inbound), &Snapshot::default(), t0),
            inbound,
            process: 1,
            due: Some(t0),
            phase: Phase::Idle,
            stopped: false,
            list_asked: false,
            list_failed: false,
            legs: Vec::new(),
            sockets: 0,
            seen: BTreeMap::new(),
            open: BTreeSet::new(),
            asked: Plan {
                kind: Kind::Talk,
                targets: Vec::new(),
                cycles: 1,
                ring_for: Duration::ZERO,
                confirm: None,
                mode: Mode::default(),
            },
            plans: BTreeMap::new(),
            turns: BTreeMap::new(),
            attached: None,
            busy_since: None,
            tally: Tally::default(),
        }
    }

    /// Wild days, then three calm hours in which everything must come to rest.
    fn live(&mut self) {
        let end = DAYS * 24 * 3_600_000;
        for (weather, mean) in [
            (Weather::Press, 900),
            (Weather::Cancel, 2_000),
            (Weather::CallsUs, 1_500),
            (Weather::RestAway, 4_000),
            (Weather::Sleep, 9_000),
            (Weather::Nonsense, 300),
            (Weather::Repeat, 200),
            (Weather::Crash, 5_000),
            (Weather::Shutdown, 20_000),
            (Weather::Hint, 1_000),
        ] {
            let mut at = 0;
            while at < end {
                at += self.random.between(1, 2_000 * mean);
                self.after(at, Event::Weather(weather));
                // People who are not answered press again, soon.
                if weather == Weather::Press && self.random.percent(40) {
                    let again = at + self.random.below(90_000);
                    self.after(again, Event::Weather(weather));
                }
            }
        }
        self.run_until(end);
        self.calm = true;
        self.rest_away = false;
        self.run_until(end + 3 * 3_600_000);
        self.check_rest();
    }

    fn run_until(&mut self, end: u64) {
        loop {
            let event = self.events.peek().map(|Reverse((at, ..))| *at);
            let timer = self.due.map(|due| self.millis(due).max(self.asleep_until));
            let next = event.into_iter().chain(timer).min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            if timer == Some(next) {
                self.hand_in(Input::Tick);
            } else if let Some(Reverse((_, _, event))) = self.events.pop() {
                self.on_event(event);
            }
        }
        self.now = end;
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Hears(_) if self.now < self.asleep_until => {
                let wait = self.asleep_until - self.now;
                self.after(wait, event);
            }
            Event::Hears(number) => {
                let (process, input) = self.mail[number].clone();
                if process == self.process && !self.stopped {
                    self.hand_in(input);
                }
            }
            Event::Changes(leg, change) => self.on_change(leg, change),
            Event::Exits(process) if process == self.process => {
                let late = self.now.saturating_sub(self.asleep_until) >= 2_000;
                assert!(self.stopped || !late, "seed {}: no stop", self.seed);
                self.restart();
            }
            Event::Exits(_) => {}
            Event::Weather(_) if self.calm => {}
            Event::Weather(weather) => self.on_weather(weather),
        }
    }

    fn on_weather(&mut self, weather: Weather) {
        match weather {
            Weather::Press => {
                let button = ButtonId(self.random.below(3) as u8);
                let qualified_in = Duration::from_millis(20);
                let plan = self.plan();
                self.tell(
                    0,
                    Input::Press {
                        button,
                        qualified_in,
                        plan,
                    },
                );
            }
            Weather::Cancel => self.tell(0, Input::Cancel),
            Weather::CallsUs => self.calls_us(),
            Weather::RestAway => {
                self.rest_away = true;
                let long = if self.random.percent(20) {
                    3_000_000
                } else {
                    60_000
                };
                let back = self.random.between(1, long);
                self.after(back, Event::Weather(Weather::RestBack));
            }
            Weather::RestBack => self.rest_away = false,
            Weather::Sleep => {
                let long = if self.random.percent(20) {
                    7_200_000
                } else {
                    30_000
                };
                let until = self.now + self.random.between(1, long);
                self.slept += until.saturating_sub(self.asleep_until.max(self.now));
                self.asleep_until = self.asleep_until.max(until);
            }
            Weather::Nonsense => self.nonsense(),
            Weather::Repeat if !self.mail.is_empty() => {
                let back = self.random.below(self.mail.len().min(40) as u64) as usize;
                let number = self.mail.len() - 1 - back;
                self.after(0, Event::Hears(number));
            }
            Weather::Repeat => {}
            Weather::Crash => {
                self.restart();
                // The visitor who was cut off presses again.
                let again = self.random.below(8_000);
                self.after(again, Event::Weather(Weather::Press));
            }
            Weather::Shutdown if self.now >= self.asleep_until => {
                self.hand_in(Input::Shutdown);
                let process = self.process;
                self.after(2_000, Event::Exits(process));
            }
            Weather::Shutdown => {}
            Weather::Hint if self.random.percent(50) => self.tell(0, Input::Offline),
            Weather::Hint => self.tell(0, Input::Online),
        }
    }

    /// What cannot be, but does no more than confuse: it says nothing false
    /// about the end of a call.
    fn nonsense(&mut self) {
        let attempt = AttemptId(self.random.below(400) as u32);
        let old = AttemptId(1_000_000 + self.random.below(9) as u32);
        let socket = SocketId(self.random.below(200) as u32);
        let input = match self.random.below(12) {
            0 => Input::Refused {
                attempt: old,
                why: Refusal::Carrier,
            },
            1 => Input::OutcomeUnknown { attempt },
            2 => Input::StatusFailed { attempt },
            3 => Input::HungUp {
                attempt,
                answer: HangUpAnswer::NotNow,
            },
            4 => Input::MediaHeard { socket },
            5 => Input::StreamLost {
                socket,
                code: Some(4500),
            },
            6 => Input::OrphansFailed,
            7 => Input::Looked {
                attempt: old,
                found: Look::Absent,
            },
            8 => Input::Spoken {
                socket,
                whole: true,
            },
            9 => Input::Digit {
                socket,
                digit: key(CONFIRM),
                source: Source::Signalled,
            },
            10 => Input::Heard {
                socket,
                text: "sesame".repeat(200),
            },
            _ => Input::HungUp {
                attempt,
                answer: HangUpAnswer::Failed,
            },
        };
        self.tell(0, input);
    }

    fn plan(&mut self) -> Plan {
        let numbers = match self.random.below(20) {
            0 => 0,
            1..8 => 1,
            _ => self.random.between(2, 4) as u8,
        };
        let repeats = self.random.below(4) as u8;
        Plan {
            kind: match self.random.percent(25) {
                true => Kind::Announce { repeats },
                false => Kind::Talk,
            },
            targets: (0..numbers).collect(),
            cycles: self.random.below(3) as u8,
            ring_for: Duration::from_secs(self.random.between(5, 60)),
            confirm: self.random.percent(50).then(|| key(CONFIRM)),
            mode: Mode {
                tts: self.random.percent(10),
                stt: self.random.percent(10),
            },
        }
    }

    /// What the press asked for that made this attempt.
    fn plan_of(&self, process: u32, attempt: AttemptId) -> Option<&Plan> {
        let press = self.seen.get(&(process, attempt))?.press?;
        self.plans.get(&(process, press))
    }

    fn calls_us(&mut self) {
        let index = self.push_leg(AttemptId(0));
        let leg = &mut self.legs[index];
        (leg.inbound, leg.made, leg.made_at) = (true, true, self.now);
        leg.status = Status::Answered;
        self.change_in(1, 300, index, Change::Streams);
        self.change_in(500, 60_000, index, Change::Ends(4));
    }

    fn restart(&mut self) {
        let saved = self.call.limits(self.instant());
        self.process += 1;
        self.stopped = false;
        self.list_failed = false;
        self.call = Call::new(config(self.inbound), &saved, self.instant());
        self.open.clear();
        self.attached = None;
        self.busy_since = None;
        self.due = Some(self.instant());
        for leg in &mut self.legs {
            // Asked for, but not made when the new process looked for orphans.
            leg.excused |= !leg.made;
            leg.heard = false;
        }
    }

    // The service.

    fn on_change(&mut self, index: usize, change: Change) {
        let leg = &self.legs[index];
        if leg.status.is_terminal() || (change != Change::Made && !leg.made) {
            return;
        }
        match change {
            Change::Made => {
                self.legs[index].made = true;
                self.legs[index].made_at = self.now;
                self.change_in(200, 4_000, index, Change::Rings);
                self.change_in(SERVICE_MAX - 1, SERVICE_MAX, index, Change::Ends(0));
            }
            Change::Rings => {
                self.legs[index].status = Status::Ringing;
                match self.random.below(10) {
                    0..7 => self.change_in(500, 40_000, index, Change::Answered),
                    7 => self.change_in(60_000, 120_000, index, Change::Ends(1)),
                    8 => self.change_in(1_000, 20_000, index, Change::Ends(2)),
                    _ => self.change_in(1_000, 9_000, index, Change::Ends(3)),
                }
            }
            Change::Answered => {
                self.legs[index].status = Status::Answered;
                if self.random.percent(95) {
                    self.change_in(1, 900, index, Change::Streams);
                }
                let talk = if self.random.percent(10) {
                    900_000
                } else {
                    60_000
                };
                self.change_in(1_000, talk, index, Change::Ends(4));
            }
            Change::Streams => self.stream(index),
            Change::Media(socket) if self.legs[index].socket == Some(socket) => {
                let socket_id = SocketId(socket);
                self.tell(5, Input::MediaHeard { socket: socket_id });
                let gap = if self.random.percent(2) { 9_000 } else { 1_000 };
                self.change_in(gap, gap + 1, index, Change::Media(socket));
            }
            Change::Drops(socket) if self.legs[index].socket == Some(socket) => {
                self.legs[index].socket = None;
                let code = self.random.percent(50).then_some(4500);
                let socket = SocketId(socket);
                self.tell(50, Input::StreamLost { socket, code });
                if self.random.percent(60) {
                    self.change_in(10, 15_000, index, Change::Streams);
                }
            }
            Change::Keys(socket) if self.legs[index].socket == Some(socket) => {
                self.press_keys(SocketId(socket));
                if self.random.percent(70) {
                    self.change_in(300, 9_000, index, Change::Keys(socket));
                }
            }
            Change::Media(_) | Change::Drops(_) | Change::Keys(_) => {}
            Change::Ends(how) => {
                let (status, reason) = match how {
                    0 => (Status::Completed, Some(Reason::MaxDuration)),
                    1 => (Status::Canceled, None),
                    2 => (Status::Failed, Some(Reason::Rejected)),
                    3 => (Status::Completed, Some(Reason::Voicemail)),
                    _ => (Status::Completed, Some(Reason::Remote)),
                };
                self.end_leg(index, status, reason);
            }
        }
    }

    fn stream(&mut self, index: usize) {
        self.sockets += 1;
        let (number, socket) = (self.sockets, SocketId(self.sockets));
        let leg = &mut self.legs[index];
        leg.socket = Some(number);
        let name = leg.name.clone();
        let attempt = if leg.process == self.process {
            leg.attempt
        } else {
            AttemptId(0)
        };
        let call = self.random.percent(80).then_some(name);
        let answered = self.random.percent(60);
        let stream = Input::Stream {
            attempt,
            socket,
            call,
            answered,
        };
        let doubled = self.legs[index].doubled && self.random.percent(50);
        self.tell(
            5,
            match self.legs[index].name.clone() {
                call if self.legs[index].inbound => Input::Incoming { socket, call },
                call if doubled => Input::Stray { attempt, call },
                _ => stream,
            },
        );
        let plan = self.plan_of(self.legs[index].process, attempt);
        let has_sound = plan.is_none_or(|plan| plan.mode.takes_sound());
        if has_sound && self.random.percent(92) {
            self.change_in(20, 500, index, Change::Media(number));
        }
        if self.random.percent(70) {
            self.change_in(100, 12_000, index, Change::Keys(number));
        }
        if self.random.percent(25) {
            self.change_in(100, 60_000, index, Change::Drops(number));
        }
        if self.random.percent(5) {
            self.change_in(100, 30_000, index, Change::Streams);
        }
    }

    /// The callee types the key that confirms, the code, or anything; each key
    /// is told of once, or twice in either order.
    fn press_keys(&mut self, socket: SocketId) {
        let keys = match self.random.below(5) {
            0 | 1 => vec![CONFIRM],
            2 => CODE.to_vec(),
            3 => vec!['#'; self.random.below(50) as usize],
            _ => {
                let text = "Open, sesame!".to_owned();
                return self.tell(5, Input::Heard { socket, text });
            }
        };
        let mut at = 5;
        for digit in keys.into_iter().map(key) {
            let (one, other) = match self.random.percent(50) {
                true => (Source::Signalled, Source::InBand),
                false => (Source::InBand, Source::Signalled),
            };
            let told = |source| Input::Digit {
                socket,
                digit,
                source,
            };
            self.tell(at, told(one));
            if self.random.percent(50) {
                self.tell(at + 90, told(other));
            }
            at += 100;
        }
    }

    fn end_leg(&mut self, index: usize, status: Status, reason: Option<Reason>) {
        let leg = &mut self.legs[index];
        (leg.status, leg.reason) = (status, reason);
        if let Some(socket) = leg.socket.take().map(SocketId) {
            if self.random.percent(85) {
                self.tell(5, Input::StreamStop { socket });
            } else {
                self.tell(5, Input::StreamLost { socket, code: None });
            }
        }
    }

    fn report(&self, index: usize) -> Report {
        let (status, reason) = (self.legs[index].status, self.legs[index].reason);
        Report { status, reason }
    }

    // The line between.

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Place { attempt, .. } => self.on_place(attempt),
            Output::Attach {
                attempt,
                socket,
                joined,
            } => {
                self.attached = Some(Attached {
                    attempt,
                    socket,
                    joined,
                });
            }
            Output::Join { socket } => self.on_join(socket),
            Output::Say { socket, .. } if self.random.percent(85) => {
                let long = self.random.between(500, 15_000);
                let whole = self.random.percent(80);
                self.tell(long, Input::Spoken { socket, whole });
            }
            Output::OpenDoor { attempt, .. } => self.check_door(attempt),
            Output::Close { socket } => self.let_go(socket),
            Output::Look { attempt } => {
                let seen = self.seen.entry((self.process, attempt)).or_default();
                seen.first_look.get_or_insert(self.now);
                let mine = |leg: &Leg| leg.attempt == attempt && leg.process == self.process;
                let found = match self.legs.iter().rposition(|leg| mine(leg) && leg.made) {
                    _ if self.fails() => Look::Failed,
                    Some(index) => Look::Found {
                        call: self.legs[index].name.clone(),
                        report: self.report(index),
                    },
                    None => Look::Absent,
                };
                self.answer(Input::Looked { attempt, found });
            }
            Output::Get { attempt, call } => {
                let index = self.leg(&call).filter(|_| !self.fails());
                self.answer(match index {
                    Some(index) => Input::Status {
                        attempt,
                        report: self.report(index),
                    },
                    None => Input::StatusFailed { attempt },
                });
            }
            Output::HangUp { attempt, call } => {
                let answer = match self.leg(&call) {
                    _ if self.fails() => HangUpAnswer::Failed,
                    Some(index) if self.has_hang_up => self.hang_up(index),
                    _ => HangUpAnswer::Unsupported,
                };
                self.answer(Input::HungUp { attempt, answer });
            }
            // Five seconds without the list are enough for a press.
            Output::Count(Counter::AnswersMissed) => self.list_failed |= self.list_asked,
            Output::ListOrphans => {
                self.list_asked = true;
                if self.fails() {
                    self.list_failed = true;
                    self.answer(Input::OrphansFailed);
                } else {
                    let old = |leg: &&Leg| leg.is_up() && leg.process != self.process;
                    let calls = self.legs.iter().filter(old).map(|leg| leg.name.clone());
                    let calls: Vec<CallId> = calls.collect();
                    self.tally.orphans += calls.len() as u32;
                    self.answer(Input::Orphans(calls));
                }
            }
            Output::Stop { socket } => {
                self.let_go(socket);
                if self.random.percent(5) {
                    return;
                }
                let index = self.legs.iter().rposition(|l| l.socket == Some(socket.0));
                if let Some(index) = index {
                    self.legs[index].socket = None;
                    self.change_in(5, 300, index, Change::Ends(4));
                }
            }
            Output::Record(record) => self.on_record(&record),
            Output::Cleared { call, how, .. } => {
                *self.tally.cleared.entry(format!("{how:?}")).or_default() += 1;
                if let Some(index) = self.leg(&call) {
                    self.check_cleared(index, how);
                }
            }
            Output::Show(phase) => self.phase = phase,
            Output::Stopped => self.stopped = true,
            _ => {}
        }
    }

    fn let_go(&mut self, socket: SocketId) {
        self.attached = self.attached.filter(|a| a.socket != socket);
    }

    fn on_join(&mut self, socket: SocketId) {
        let seed = self.seed;
        let attached = self.attached.as_mut().filter(|a| a.socket == socket);
        let attached = attached.unwrap_or_else(|| panic!("seed {seed}: joins nothing"));
        attached.joined = true;
        let seen = self
            .seen
            .entry((self.process, attached.attempt))
            .or_default();
        seen.joins += 1;
        assert_eq!(seen.joins, 1, "seed {seed}: joins twice");
        self.tally.joins += 1;
    }

    /// A door opens in a call that is up and joined, or to a callee who has
    /// confirmed an announcement.
    fn check_door(&mut self, attempt: AttemptId) {
        let attached = self.attached.filter(|a| a.attempt == attempt);
        let confirmed = self.seen[&(self.process, attempt)].confirmed;
        assert!(
            attached.is_some_and(|a| a.joined || confirmed),
            "seed {}: a door opens to {attempt:?}",
            self.seed
        );
        self.tally.doors += 1;
    }

    fn push_leg(&mut self, attempt: AttemptId) -> usize {
        let name = CallId::parse(&format!("c{}", self.legs.len())).unwrap();
        self.legs.push(Leg {
            process: self.process,
            attempt,
            name,
            made: false,
            status: Status::Initiated,
            reason: None,
            socket: None,
            inbound: false,
            doubled: false,
            heard: false,
            excused: false,
            given_up: false,
            made_at: 0,
        });
        self.legs.len() - 1
    }

    fn on_place(&mut self, attempt: AttemptId) {
        self.check_place(attempt);
        let call = CallId::parse(&format!("c{}", self.legs.len())).unwrap();
        let placed = Input::Placed {
            attempt,
            call: call.clone(),
            remaining: None,
        };
        let refused = |why| Input::Refused { attempt, why };
        let (made, answer) = match self.random.below(20) {
            _ if self.rest_away && self.random.percent(60) => (false, refused(Refusal::Offline)),
            _ if self.rest_away => (false, Input::OutcomeUnknown { attempt }),
            0 => (false, refused(Refusal::Carrier)),
            1 => (false, refused(Refusal::Limit { retry_after: None })),
            6 => (false, refused(Refusal::Invalid)),
            2 => (false, Input::OutcomeUnknown { attempt }),
            3..6 => (true, Input::OutcomeUnknown { attempt }),
            _ => (true, placed),
        };
        if made {
            let index = self.push_leg(attempt);
            // A service that takes its time: the last look is before this.
            let slow = if self.random.percent(3) { 20_000 } else { 700 };
            self.change_in(1, slow, index, Change::Made);
            if self.random.percent(3) {
                self.legs[index].doubled = true;
                let other = self.push_leg(attempt);
                self.legs[other].doubled = true;
                self.change_in(1, slow, other, Change::Made);
            }
        }
        self.answer(answer);
    }

    fn hang_up(&mut self, index: usize) -> HangUpAnswer {
        match self.legs[index].status {
            Status::Initiated => HangUpAnswer::NotNow,
            status if status.is_terminal() => HangUpAnswer::NotNow,
            before => {
                if self.random.percent(50) {
                    self.end_leg(index, Status::Completed, Some(Reason::Local));
                    return HangUpAnswer::Taken(self.report(index));
                }
                self.change_in(10, 2_000, index, Change::Ends(4));
                let reason = None;
                HangUpAnswer::Taken(Report {
                    status: before,
                    reason,
                })
            }
        }
    }

    fn fails(&mut self) -> bool {
        self.rest_away || (!self.calm && self.random.percent(5))
    }

    /// An answer arrives soon, late, twice, or gets lost inside the device.
    fn answer(&mut self, input: Input) {
        match self.random.below(if self.calm { 90 } else { 100 }) {
            0..90 => {
                let delay = self.random.between(5, 400);
                self.tell(delay, input);
            }
            90..95 => {
                let delay = self.random.between(400, 50_000);
                self.tell(delay, input);
            }
            95..98 => {
                self.tell(30, input.clone());
                self.tell(900, input);
            }
            _ => {}
        }
    }

    fn tell(&mut self, delay: u64, input: Input) {
        self.mail.push((self.process, input));
        self.after(delay, Event::Hears(self.mail.len() - 1));
    }

    fn change_in(&mut self, low: u64, high: u64, leg: usize, change: Change) {
        let delay = self.random.between(low, high);
        self.after(delay, Event::Changes(leg, change));
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.order += 1;
        let entry = (self.now + delay, self.order, event);
        self.events.push(Reverse(entry));
    }

    // The device, and what is checked.

    fn hand_in(&mut self, input: Input) {
        if self.told {
            eprintln!("{:>12} {input:?}", self.now);
        }
        self.tally.inputs += 1;
        self.note_heard(&input);
        match &input {
            Input::Press { plan, .. } => self.asked.clone_from(plan),
            Input::StreamLost { socket, .. } | Input::StreamStop { socket } => self.let_go(*socket),
            Input::Stray { .. } => self.tally.strays += 1,
            _ => {}
        }
        self.list_asked &= !matches!(input, Input::Orphans(_) | Input::OrphansFailed);
        self.call.handle(self.instant(), input);
        let mut count = 0;
        self.due = loop {
            match self.call.poll() {
                Output::WaitUntil(due) => break due,
                output => {
                    if self.told {
                        eprintln!("{:>12}   > {output:?}", self.now);
                    }
                    count += 1;
                    self.on_output(output);
                }
            }
        };
        self.tally.most_outputs = self.tally.most_outputs.max(count);
        assert!(count <= MAX_OUTPUTS, "seed {}: {count} outputs", self.seed);
        self.check_not_stuck();
        self.check_not_resting_beside_a_call();
    }

    fn note_heard(&mut self, input: &Input) {
        let calls: &[CallId] = match input {
            Input::Placed { call, .. }
            | Input::Incoming { call, .. }
            | Input::Stray { call, .. }
            | Input::Stream {
                call: Some(call), ..
            }
            | Input::Looked {
                found: Look::Found { call, .. },
                ..
            } => std::slice::from_ref(call),
            Input::Orphans(calls) => calls,
            _ => &[],
        };
        for call in calls {
            if let Some(index) = self.leg(call) {
                self.legs[index].heard = true;
            }
        }
    }

    /// Whoever rests knows of no call that is up.
    fn check_not_resting_beside_a_call(&self) {
        if self.due.is_none() && !self.stopped {
            let up = |leg: &&Leg| leg.is_up() && leg.heard && !leg.given_up;
            if let Some(leg) = self.legs.iter().rev().take(20).find(up) {
                panic!("seed {}: rests beside {}", self.seed, leg.name);
            }
        }
    }

    fn check_not_stuck(&mut self) {
        let resting = matches!(self.phase, Phase::Idle | Phase::Offline);
        assert!(
            self.due.is_some() || resting || self.stopped,
            "seed {}: {:?} for ever",
            self.seed,
            self.phase
        );
        assert_eq!(self.phase, self.call.phase(), "seed {}", self.seed);
        let awake = self.now.saturating_sub(self.slept);
        let (seed, seen) = (self.seed, &self.seen);
        for attempt in &self.open {
            let opened = seen[&(self.process, *attempt)].opened.unwrap_or(awake);
            let long = awake.saturating_sub(opened);
            assert!(long < OPEN_MAX, "seed {seed}: {attempt:?} stays open");
        }
        let busy = !self.open.is_empty();
        let since = self.busy_since.filter(|_| busy).unwrap_or(awake);
        self.busy_since = busy.then_some(since);
        let long = awake.saturating_sub(since);
        assert!(long < PRESS_MAX, "seed {seed}: a press has no end");
    }

    fn check_place(&mut self, attempt: AttemptId) {
        let (seed, process) = (self.seed, self.process);
        for leg in self.legs.iter().filter(|leg| leg.is_up()) {
            let is_news = (leg.inbound || leg.doubled) && !leg.heard;
            let listed = leg.process == process || !self.list_failed;
            let excused = leg.excused || leg.given_up || is_news || !listed;
            let at = self.now;
            assert!(
                excused,
                "seed {seed}: second call beside {} at {at}",
                leg.name
            );
        }
        for ((_, other), seen) in self.seen.range((process, AttemptId(0))..) {
            assert!(
                seen.closed || *other == attempt,
                "seed {seed}: {other:?} is open"
            );
        }
        let seen = self.seen.entry((process, attempt)).or_default();
        assert!(!seen.placed, "seed {seed}: {attempt:?} placed twice");
        seen.placed = true;
    }

    fn on_record(&mut self, record: &Record) {
        let seed = self.seed;
        let seen = self.seen.entry((self.process, record.attempt)).or_default();
        assert!(
            !seen.closed,
            "seed {seed}: a record after the last: {record:?}"
        );
        seen.opened
            .get_or_insert(self.now - self.slept.min(self.now));
        seen.closed = record.closed.is_some();
        seen.confirmed = record.confirmed.is_some();
        if seen.closed {
            self.open.remove(&record.attempt);
        } else {
            self.open.insert(record.attempt);
        }
        if record.direction == Direction::Outbound && seen.press.is_none() {
            seen.press = Some(record.press);
            self.on_turn(record);
        }
        assert_eq!(record.closed.is_some(), record.cleared.is_some());
        assert_eq!(record.over.is_some(), record.ended.is_some());
        assert!(record.closed.is_none() || record.over.is_some());
        let (Some(cleared), Some(ended)) = (record.cleared, record.ended) else {
            return;
        };
        *self
            .tally
            .cleared
            .entry(format!("{cleared:?}"))
            .or_default() += 1;
        let word = format!("{ended:?}");
        let word = word.split(['(', ' ']).next().unwrap_or_default();
        *self.tally.ended.entry(word.to_owned()).or_default() += 1;
        let mine = |leg: &Leg| leg.attempt == record.attempt && leg.process == self.process;
        let named = record.call.as_ref().and_then(|call| self.leg(call));
        if let Some(index) = named.or_else(|| self.legs.iter().rposition(mine)) {
            if cleared == Cleared::NeverUp {
                self.check_looked_for(index);
            }
            self.check_cleared(index, cleared);
        }
    }

    /// Numbers of a press have their turns in order, each once, as many as the
    /// press asked for.
    fn on_turn(&mut self, record: &Record) {
        let (seed, press) = (self.seed, (self.process, record.press));
        let turn = (record.cycle, record.position);
        if record.press == record.attempt {
            assert_eq!(turn, (0, 0), "seed {seed}");
            self.plans.insert(press, self.asked.clone());
        } else {
            assert!(self.turns[&press] < turn, "seed {seed}: a turn comes again");
            self.tally.later_numbers += 1;
        }
        let plan = &self.plans[&press];
        let last = (plan.cycles.max(1) - 1, plan.targets.len().max(1) - 1);
        let fits = turn.0 <= last.0 && usize::from(turn.1) <= last.1;
        assert!(fits, "seed {seed}: {turn:?} is beyond the list");
        self.turns.insert(press, turn);
    }

    /// A call that "was never up" was made after the first look, or not yet.
    fn check_looked_for(&mut self, index: usize) {
        let leg = &mut self.legs[index];
        let looked = self.seen[&(leg.process, leg.attempt)].first_look;
        let before = |look: u64| !leg.made || leg.made_at >= look;
        let seed = self.seed;
        assert!(
            looked.is_some_and(before),
            "seed {seed}: {} overlooked",
            leg.name
        );
        leg.excused = true;
    }

    /// What is said to be off the line is off the line, unless it was given up.
    fn check_cleared(&mut self, index: usize, how: Cleared) {
        let leg = &mut self.legs[index];
        leg.given_up |= matches!(how, Cleared::GivenUp | Cleared::ByStreamAlone);
        let gone = !leg.is_up() || leg.excused || leg.given_up;
        assert!(gone, "seed {}: {} is up, {how:?}", self.seed, leg.name);
    }

    fn check_rest(&self) {
        let seed = self.seed;
        assert_eq!(self.due, None, "seed {seed}: a timer is left");
        assert!(
            matches!(self.phase, Phase::Idle | Phase::Offline),
            "seed {seed}"
        );
        for leg in &self.legs {
            assert!(!leg.is_up(), "seed {seed}: {} is left up", leg.name);
        }
        for ((process, attempt), seen) in &self.seen {
            let ours = *process == self.process;
            assert!(
                seen.closed || !ours,
                "seed {seed}: {attempt:?} has no last record"
            );
        }
    }

    fn leg(&self, call: &CallId) -> Option<usize> {
        let index = call.as_str().strip_prefix('c')?.parse().ok()?;
        (index < self.legs.len()).then_some(index)
    }

    fn instant(&self) -> Instant {
        self.t0 + Duration::from_millis(self.now)
    }

    fn millis(&self, at: Instant) -> u64 {
        at.duration_since(self.t0).as_micros().div_ceil(1_000) as u64
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        for (word, n) in &other.ended {
            *self.ended.entry(word.clone()).or_default() += n;
        }
        for (word, n) in &other.cleared {
            *self.cleared.entry(word.clone()).or_default() += n;
        }
        self.most_outputs = self.most_outputs.max(other.most_outputs);
        self.inputs += other.inputs;
        self.orphans += other.orphans;
        self.later_numbers += other.later_numbers;
        self.joins += other.joins;
        self.doors += other.doors;
        self.strays += other.strays;
    }

    /// A model that never gets anywhere proves nothing.
    fn shows_that_the_worlds_were_wild(&self) {
        let shown = format!(
            "{} inputs, {} orphans, {} later numbers, {} joined, {} doors, {} strays, \
             at most {} outputs, ended {:?}, cleared {:?}",
            self.inputs,
            self.orphans,
            self.later_numbers,
            self.joins,
            self.doors,
            self.strays,
            self.most_outputs,
            self.ended,
            self.cleared
        );
        println!("{shown}");
        for word in [
            "FarHungUp",
            "Cancelled",
            "NotAnswered",
            "Rejected",
            "Voicemail",
            "MaxTime",
            "NoStream",
            "Lost",
            "NotConfirmed",
            "Announced",
            "NotSpoken",
            "NoNumber",
            "TurnedAway",
            "Refused",
            "Limited",
            "LineBusy",
            "NotFound",
            "Shutdown",
        ] {
            assert!(self.ended.contains_key(word), "never {word}: {shown}");
        }
        for word in [
            "NeverUp",
            "ByService",
            "ByHangUp",
            "ByStop",
            "ByWaiting",
            "ByStreamAlone",
            "GivenUp",
        ] {
            assert!(self.cleared.contains_key(word), "never {word}: {shown}");
        }
        for often in [self.orphans, self.later_numbers, self.joins, self.doors] {
            assert!(often > 50, "{shown}");
        }
        assert!(self.strays > 10, "{shown}");
    }
}

fn key(key: char) -> Digit {
    Digit::parse(key).unwrap()
}

/// Limits wide enough to let most presses through, low enough to be met.
fn config(inbound: Inbound) -> Config {
    Config {
        inbound,
        doors: vec![Door {
            code: CODE.map(key).to_vec(),
            words: vec!["sesame".to_owned()],
        }],
        calls_per_day: 150,
        minutes_per_day: Duration::from_secs(200 * 60),
        ..Config::default()
    }
}
