//! Plays every story in `tests/traces/call/` to a `Call` under a made-up clock.
//!
//! `<ms> <input>` lines are handed in, `<ms>   > <output>` lines are what must
//! come out. `BLESS=1 cargo test --test call_stories` rewrites the outputs;
//! read the difference before you commit it. Inputs are in [`read`]; besides:
//!
//! - `with <field> <value>` sets a field of the configuration, before all else;
//! - `press to 0 1 cycles 2 ring 20000 confirm 1 announce 3 tts stt` is a press of
//!   a plan with any of these; `press` alone is one number, rung for 45 s;
//! - `start` is a first tick and an empty list of orphans;
//! - `media s1 for 5000` is half a second's worth of packets, again and again,
//!   beside what follows;
//! - `flood s1 12 for 3` is keys 1 and 2, three times, 50 ms apart;
//! - `restart` starts another process with what the first saved of its limits.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use callbox::call::{
    Call, Config, Direction, Door, HangUpAnswer, Inbound, Input, Kind, Look, Output, Plan, Reason,
    Record, Refusal, Remaining, Report, Snapshot, Source, Status,
};
use callbox::units::{AttemptId, ButtonId, CallId, Digit, Mode, SocketId};

const FOLDER: &str = "tests/traces/call";

#[test]
fn stories() {
    let mut wrong = Vec::new();
    for name in names() {
        let path = format!("{FOLDER}/{name}.txt");
        let want = std::fs::read_to_string(&path).unwrap();
        let got = Stage::play(&want);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &got).unwrap();
        } else if let Some((got, want)) = first_difference(&got, &want) {
            wrong.push(format!("{path}\n  want {want}\n  got  {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_of_the_table_has_its_story_and_every_story_its_row() {
    let page = include_str!("../src/call/mod.rs");
    let rows = page.lines().filter(|l| l.starts_with("//! | ")).skip(2);
    let mut told: Vec<&str> = rows
        .filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next())
        .flat_map(|cell| cell.split(", ").map(|name| name.trim_matches('`')))
        .collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, names());
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(FOLDER).unwrap();
    let name = |path: std::path::PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = entries.filter_map(|e| name(e.unwrap().path())).collect();
    names.sort();
    names
}

fn first_difference(got: &str, want: &str) -> Option<(String, String)> {
    let (mut got, mut want) = (got.lines(), want.lines());
    loop {
        match (got.next(), want.next()) {
            (None, None) => return None,
            (g, w) if g == w => {}
            (g, w) => {
                let text = |line: Option<&str>| line.unwrap_or("the end").to_owned();
                return Some((text(g), text(w)));
            }
        }
    }
}

/// One story being played.
struct Stage {
    call: Call,
    config: Config,
    t0: Instant,
    now: Instant,
    due: Option<Instant>,
    /// Sound that is still to come, the next first.
    packets: VecDeque<(Instant, SocketId)>,
    text: String,
}

impl Stage {
    fn play(story: &str) -> String {
        let t0 = Instant::now(); // an arbitrary origin; only sums of it are used
        let config = Config::default();
        let mut stage = Self {
            call: Call::new(config.clone(), &Snapshot::default(), t0),
            config,
            t0,
            now: t0,
            due: None,
            packets: VecDeque::new(),
            text: String::new(),
        };
        for line in story.lines().filter(|line| !line.contains("   > ")) {
            stage.play_line(line);
        }
        stage.text
    }

    fn play_line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => self.say(line),
            [first, ..] if first.starts_with('#') => self.say(line),
            ["with", field, value] => {
                set(&mut self.config, field, value);
                self.call = Call::new(self.config.clone(), &Snapshot::default(), self.t0);
                self.say(line);
            }
            [at, ref what @ ..] => {
                let at = self.t0 + millis(at);
                self.wait(at);
                self.say(line);
                self.act(at, what);
            }
        }
    }

    /// Lets the time-outs up to and at `until` happen, and the packets come.
    fn wait(&mut self, until: Instant) {
        loop {
            let packet = self.packets.front().map(|(at, _)| *at);
            let next = [self.due, packet].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= until) else {
                return;
            };
            if packet == Some(next)
                && let Some((_, socket)) = self.packets.pop_front()
            {
                self.hand_in(next, Input::MediaHeard { socket });
            } else {
                self.hand_in(next, Input::Tick);
                assert_ne!(self.due, Some(next), "a time-out that does not go away");
            }
        }
    }

    fn act(&mut self, at: Instant, what: &[&str]) {
        match what {
            ["start"] => {
                self.hand_in(at, Input::Tick);
                self.hand_in(at, Input::Orphans(Vec::new()));
            }
            ["restart"] => {
                let saved = self.call.limits(at);
                self.call = Call::new(self.config.clone(), &saved, at);
                self.hand_in(at, Input::Tick);
            }
            ["media", socket, "for", long] => {
                let socket = SocketId(number(socket));
                let halves = millis(long).as_millis() as u32 / 500;
                let from = at;
                let at = |half| from + Duration::from_millis(500) * half;
                self.packets = (0..halves).map(|half| (at(half), socket)).collect();
                self.wait(from);
            }
            ["flood", socket, keys, "for", times] => {
                let socket = SocketId(number(socket));
                let mut then = at;
                for _ in 0..times.parse().unwrap() {
                    for key in keys.chars() {
                        let (digit, source) = (Digit::parse(key).unwrap(), Source::Signalled);
                        self.wait(then);
                        self.hand_in(
                            then,
                            Input::Digit {
                                socket,
                                digit,
                                source,
                            },
                        );
                        then += Duration::from_millis(50);
                    }
                }
            }
            what => self.hand_in(at, read(what)),
        }
    }

    fn hand_in(&mut self, now: Instant, input: Input) {
        assert!(
            now >= self.now,
            "the story goes back in time:\n{}",
            self.text
        );
        self.now = now;
        self.call.handle(now, input);
        self.due = loop {
            match self.call.poll() {
                Output::WaitUntil(due) => break due,
                output => {
                    let at = (now - self.t0).as_millis();
                    self.say(&format!("{at:>7}   > {}", show(&output)));
                }
            }
        };
    }

    fn say(&mut self, line: &str) {
        writeln!(self.text, "{line}").unwrap();
    }
}

fn set(config: &mut Config, field: &str, value: &str) {
    match field {
        "max_call" => config.max_call = millis(value),
        "warn_before" => config.warn_before = millis(value),
        "give_up_after" => config.give_up_after = millis(value),
        "calls_per_day" => config.calls_per_day = value.parse().unwrap(),
        "minutes_per_day" => config.minutes_per_day = millis(value),
        "reconnect_within" => config.reconnect_within = millis(value),
        "next_within" => config.next_within = millis(value),
        "say_within" => config.say_within = millis(value),
        "inbound" => {
            config.inbound = match value {
                "chime" => Inbound::Chime,
                "answer" => Inbound::Answer,
                other => panic!("unknown way {other:?}"),
            }
        }
        "code" => config.doors.push(Door {
            code: value.chars().map(|c| Digit::parse(c).unwrap()).collect(),
            ..Door::default()
        }),
        "word" => config.doors.push(Door {
            words: vec![value.to_owned()],
            ..Door::default()
        }),
        other => panic!("no field {other:?} in stories yet"),
    }
}

fn read(what: &[&str]) -> Input {
    match *what {
        ["press", ref asked @ ..] => Input::Press {
            button: ButtonId(0),
            qualified_in: Duration::from_millis(20),
            plan: plan(asked),
        },
        ["incoming", socket, name] => Input::Incoming {
            socket: SocketId(number(socket)),
            call: call(name),
        },
        ["digit", socket, key, how] => Input::Digit {
            socket: SocketId(number(socket)),
            digit: digit(key),
            source: match how {
                "frame" => Source::Signalled,
                "tone" => Source::InBand,
                other => panic!("unknown way {other:?}"),
            },
        },
        ["heard", socket, ref said @ ..] => Input::Heard {
            socket: SocketId(number(socket)),
            text: said.join(" "),
        },
        [how @ ("spoken" | "cut-off"), socket] => Input::Spoken {
            socket: SocketId(number(socket)),
            whole: how == "spoken",
        },
        ["cancel"] => Input::Cancel,
        ["shutdown"] => Input::Shutdown,
        ["tick"] => Input::Tick,
        ["offline"] => Input::Offline,
        ["online"] => Input::Online,
        ["orphans-failed"] => Input::OrphansFailed,
        ["orphans", ref calls @ ..] => Input::Orphans(calls.iter().map(|c| call(c)).collect()),
        ["media", socket] => Input::MediaHeard {
            socket: SocketId(number(socket)),
        },
        ["stop", socket] => Input::StreamStop {
            socket: SocketId(number(socket)),
        },
        ["unsupported", socket] => Input::StreamUnsupported {
            socket: SocketId(number(socket)),
        },
        ["lost", socket, ref code @ ..] => Input::StreamLost {
            socket: SocketId(number(socket)),
            code: code.first().map(|code| code.parse().unwrap()),
        },
        [what, attempt, ref rest @ ..] => read_about(what, AttemptId(number(attempt)), rest),
        ref other => panic!("unknown input {other:?}"),
    }
}

fn read_about(what: &str, attempt: AttemptId, rest: &[&str]) -> Input {
    match (what, rest) {
        ("placed", [name]) => Input::Placed {
            attempt,
            call: call(name),
            remaining: None,
        },
        ("placed", [name, calls, minutes]) => Input::Placed {
            attempt,
            call: call(name),
            remaining: Some(Remaining {
                calls: number(calls),
                minutes: number(minutes),
            }),
        },
        ("refused", why) => Input::Refused {
            attempt,
            why: refusal(why),
        },
        ("stray", [name]) => Input::Stray {
            attempt,
            call: call(name),
        },
        ("unknown", []) => Input::OutcomeUnknown { attempt },
        ("found", [name, said @ ..]) => Input::Looked {
            attempt,
            found: Look::Found {
                call: call(name),
                report: report(said),
            },
        },
        ("absent", []) => Input::Looked {
            attempt,
            found: Look::Absent,
        },
        ("look-failed", []) => Input::Looked {
            attempt,
            found: Look::Failed,
        },
        ("status", said) if !said.is_empty() => Input::Status {
            attempt,
            report: report(said),
        },
        ("status-failed", []) => Input::StatusFailed { attempt },
        ("hung-up", answer) => Input::HungUp {
            attempt,
            answer: match answer {
                ["not-now"] => HangUpAnswer::NotNow,
                ["unsupported"] => HangUpAnswer::Unsupported,
                ["failed"] => HangUpAnswer::Failed,
                said => HangUpAnswer::Taken(report(said)),
            },
        },
        ("stream", [socket, rest @ ..]) => Input::Stream {
            attempt,
            socket: SocketId(number(socket)),
            call: rest.iter().find(|w| **w != "answered").map(|c| call(c)),
            answered: rest.contains(&"answered"),
        },
        other => panic!("unknown input {other:?}"),
    }
}

fn plan(asked: &[&str]) -> Plan {
    let after = |word: &str| asked.iter().position(|w| *w == word).map(|at| at + 1);
    let value = |word: &str| after(word).map(|at| asked[at]);
    let numbers = |from: usize| asked[from..].iter().map_while(|w| w.parse().ok()).collect();
    Plan {
        kind: match value("announce") {
            Some(repeats) => Kind::Announce {
                repeats: repeats.parse().unwrap(),
            },
            None => Kind::Talk,
        },
        targets: after("to").map_or_else(|| vec![0], numbers),
        cycles: value("cycles").map_or(1, |n| n.parse().unwrap()),
        ring_for: millis(value("ring").unwrap_or("45000")),
        confirm: value("confirm").map(digit),
        mode: Mode {
            tts: asked.contains(&"tts"),
            stt: asked.contains(&"stt"),
        },
    }
}

fn digit(key: &str) -> Digit {
    Digit::parse(key.parse().unwrap()).unwrap()
}

fn refusal(why: &[&str]) -> Refusal {
    match why {
        ["not-active"] => Refusal::NotActive,
        ["unauthorized"] => Refusal::Unauthorized,
        ["forbidden"] => Refusal::Forbidden,
        ["not-found"] => Refusal::NotFound,
        ["invalid"] => Refusal::Invalid,
        ["limit"] => Refusal::Limit { retry_after: None },
        ["limit", wait] => Refusal::Limit {
            retry_after: Some(millis(wait)),
        },
        ["carrier"] => Refusal::Carrier,
        ["offline"] => Refusal::Offline,
        [status] => Refusal::Other(status.parse().unwrap()),
        other => panic!("unknown refusal {other:?}"),
    }
}

fn report(said: &[&str]) -> Report {
    let status = match said.first() {
        Some(&"initiated") => Status::Initiated,
        Some(&"ringing") => Status::Ringing,
        Some(&"answered") => Status::Answered,
        Some(&"completed") => Status::Completed,
        Some(&"canceled") => Status::Canceled,
        Some(&"failed") => Status::Failed,
        Some(&"other") => Status::Other,
        other => panic!("unknown status {other:?}"),
    };
    let reason = said.get(1).map(|word| match *word {
        "local" => Reason::Local,
        "remote" => Reason::Remote,
        "max-duration" => Reason::MaxDuration,
        "voicemail" => Reason::Voicemail,
        "rejected" => Reason::Rejected,
        other => panic!("unknown reason {other:?}"),
    });
    Report { status, reason }
}

/// `7`, `c7` and `s7` are all number 7 of their kind.
fn number(word: &str) -> u32 {
    word.trim_start_matches(['c', 's']).parse().unwrap()
}

fn call(word: &str) -> CallId {
    CallId::parse(word).unwrap()
}

fn millis(word: &str) -> Duration {
    Duration::from_millis(word.parse().unwrap())
}

fn show(output: &Output) -> String {
    match output {
        Output::Place {
            attempt,
            button,
            target: 0,
        } => format!("place {} button {}", attempt.0, button.0),
        Output::Place {
            attempt,
            button,
            target,
        } => format!("place {} button {} target {target}", attempt.0, button.0),
        Output::Look { attempt } => format!("look {}", attempt.0),
        Output::Get { attempt, call } => format!("get {} {call}", attempt.0),
        Output::HangUp { attempt, call } => format!("hang-up {} {call}", attempt.0),
        Output::ListOrphans => "list-orphans".to_owned(),
        Output::Attach {
            attempt,
            socket,
            joined,
        } => {
            let how = if *joined { "" } else { " apart" };
            format!("attach {} s{}{how}", attempt.0, socket.0)
        }
        Output::Join { socket } => format!("join s{}", socket.0),
        Output::Say {
            attempt,
            socket,
            round,
        } => format!("say {} s{} round {round}", attempt.0, socket.0),
        Output::OpenDoor { attempt, door, by } => {
            format!("open-door {} door {door} by {by:?}", attempt.0)
        }
        Output::Stop { socket } => format!("stop s{}", socket.0),
        Output::Close { socket } => format!("close s{}", socket.0),
        Output::Show(phase) => format!("show {phase:?}"),
        Output::Signal(signal) => format!("signal {signal:?}"),
        Output::Record(record) => show_record(record),
        Output::Cleared { call, how, report } => match report {
            Some(report) => format!("cleared {call} {how:?}, {}", show_report(*report)),
            None => format!("cleared {call} {how:?}"),
        },
        Output::Count(counter) => format!("count {}", counter.name()),
        Output::Stopped => "stopped".to_owned(),
        Output::WaitUntil(_) => unreachable!("it ends the loop"),
    }
}

/// What is known, in the order of a call's life; times since the press.
fn show_record(record: &Record) -> String {
    let mut text = format!("record {}:", record.attempt.0);
    let mut say = |what: String| write!(text, " {what}").unwrap();
    if record.direction == Direction::Inbound {
        say("inbound".to_owned());
    }
    if record.press != record.attempt {
        let (press, position, cycle) = (record.press.0, record.position, record.cycle);
        say(format!(
            "of press {press} position {position} cycle {cycle}"
        ));
    }
    if record.outcome_unknown {
        say("outcome-unknown".to_owned());
    }
    if let Some(call) = &record.call {
        say(call.to_string());
    }
    for (what, at) in [
        ("sent", record.sent),
        ("accepted", record.accepted),
        ("ringing", record.ringing),
        ("streamed", record.streamed),
        ("answered", record.answered),
        ("confirmed", record.confirmed),
        ("joined", record.joined),
        ("over", record.over),
        ("closed", record.closed),
    ] {
        if let Some(at) = at {
            say(format!("{what} {}", at.as_millis()));
        }
    }
    if let Some(report) = record.report {
        say(show_report(report));
    }
    if record.drops > 0 {
        say(format!("drops {} {:?}", record.drops, record.close_code));
    }
    if record.one_way > 0 {
        say(format!("one-way {}", record.one_way));
    }
    if record.spoken > 0 {
        say(format!("spoken {}", record.spoken));
    }
    if record.digits > 0 {
        say(format!("digits {}", record.digits));
    }
    if let Some(last) = record.openings.last() {
        let (door, by, at) = (last.door, last.by, last.at.as_millis());
        let count = record.openings.len();
        say(format!("openings {count}, last {door} by {by:?} {at}"));
    }
    if record.more_openings > 0 {
        say(format!("openings-more {}", record.more_openings));
    }
    if let Some(left) = record.remaining {
        say(format!("left {} {}", left.calls, left.minutes));
    }
    if let Some(ended) = record.ended {
        say(format!("{ended:?}"));
    }
    if let Some(cleared) = record.cleared {
        say(format!("{cleared:?}"));
    }
    text
}

fn show_report(report: Report) -> String {
    match report.reason {
        Some(reason) => format!("({:?}, {reason:?})", report.status),
        None => format!("({:?})", report.status),
    }
}
