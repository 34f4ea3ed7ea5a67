//! Random waveforms, judged by the panel and by a plain reference that walks
//! through time one millisecond at a time and only counts.

use std::time::Duration;

use callbox::panel::{ButtonConfig, Config, Level, Output};
use callbox::units::ButtonId;

use super::bench::{Bench, ms};

/// What is compared: when, and what.
type Said = Vec<(u64, &'static str)>;

/// The limits the module's page names, in ms.
const JUDGING_LIMIT: u64 = 200;
const RELEASE_LIMIT: u64 = 1000;
const NOISY_QUALIFY: u64 = 20;
const DOUBLE_REARM: u64 = 100;

/// All times in ms.
#[derive(Debug, Clone, Copy)]
struct Limits {
    qualify: u64,
    rearm: u64,
    long_press: Option<u64>,
    double_within: Option<u64>,
    stuck: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Armed,
    Judging,
    Noisy,
    Held,
    Released,
}

struct Reference {
    limits: Limits,
    active: bool,
    phase: Phase,
    balance: u64,
    /// Time since the line last changed, since the first edge, in this phase.
    unchanged: u64,
    judged: u64,
    in_phase: u64,
    long: bool,
    stuck: bool,
    /// How long ago a press counted of which nobody was told.
    untold: Option<u64>,
    now: u64,
    said: Said,
}

impl Reference {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            active: false,
            phase: Phase::Armed,
            balance: 0,
            unchanged: 0,
            judged: 0,
            in_phase: 0,
            long: false,
            stuck: false,
            untold: None,
            now: 0,
            said: Vec::new(),
        }
    }

    fn millisecond(&mut self) {
        self.now += 1;
        self.unchanged += 1;
        self.judged += 1;
        self.in_phase += 1;
        self.untold = self.untold.map(|age| age + 1);
        self.balance = match self.active {
            true => self.limits.qualify.min(self.balance + 1),
            false => self.balance.saturating_sub(1),
        };
        self.settle();
    }

    fn toggle(&mut self) {
        self.active = !self.active;
        self.unchanged = 0;
        if self.phase == Phase::Armed {
            self.judged = 0;
            self.say("first");
            self.enter(Phase::Judging);
        }
        self.settle();
    }

    fn settle(&mut self) {
        while self.step() {}
    }

    /// Does one thing that is due; `false` when nothing is.
    fn step(&mut self) -> bool {
        let Limits {
            qualify,
            rearm,
            long_press,
            double_within,
            stuck,
        } = self.limits;
        let rearm = match double_within {
            Some(_) => rearm.min(DOUBLE_REARM),
            None => rearm,
        };
        let long = long_press.is_some_and(|after| self.in_phase >= after);
        let quiet = !self.active && self.unchanged >= rearm;
        let full = self.active && self.balance >= qualify;
        let closed = self.active && self.unchanged >= qualify.max(NOISY_QUALIFY);
        match self.phase {
            Phase::Judging if full => self.press(),
            Phase::Judging if quiet => {
                self.say("noise");
                self.enter(Phase::Armed);
            }
            Phase::Judging if self.judged >= qualify + JUDGING_LIMIT => {
                self.say("noise");
                self.enter(Phase::Noisy);
            }
            Phase::Noisy if closed => self.press(),
            Phase::Noisy if quiet => self.enter(Phase::Armed),
            Phase::Held if !self.active && self.balance == 0 => self.enter(Phase::Released),
            Phase::Held if self.active && !self.long && long => {
                self.say("long");
                self.long = true;
            }
            Phase::Held if self.active && !self.stuck && self.in_phase >= stuck => {
                self.say("stuck");
                (self.long, self.stuck) = (true, true);
            }
            Phase::Released if full => self.enter(Phase::Held),
            Phase::Released if quiet || self.in_phase >= RELEASE_LIMIT => {
                if self.stuck {
                    self.say("freed");
                }
                if quiet {
                    self.enter(Phase::Armed);
                } else {
                    self.say("noise");
                    self.enter(Phase::Noisy);
                }
            }
            _ if self.untold.is_some() && self.untold >= double_within => {
                self.untold = None;
                self.say("press");
            }
            _ => return false,
        }
        true
    }

    fn press(&mut self) {
        let second = self.untold.take().is_some();
        if second {
            self.say("double");
        } else if self.limits.double_within.is_some() {
            self.untold = Some(0);
        } else {
            self.say("press");
        }
        self.balance = self.limits.qualify;
        (self.long, self.stuck) = (second, false);
        self.enter(Phase::Held);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.in_phase = 0;
    }

    fn say(&mut self, what: &'static str) {
        self.said.push((self.now, what));
    }
}

/// A small generator, so that a seed is all it takes to see a failure again
/// (Vigna's splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick(&mut self, of: &[u64]) -> u64 {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Edge times in ms: runs of chatter, hum, presses and pauses, changing over.
fn waveform(random: &mut Random) -> Vec<u64> {
    let mut at = 100;
    let mut edges = Vec::new();
    for _ in 0..2 + random.below(12) {
        let mut longest = || random.pick(&[2, 5, 12, 25, 60, 60, 150, 210, 700, 2500]);
        let longest = [longest(), longest()];
        for _ in 0..1 + random.below(60.min(4000 / longest[0])) {
            edges.push(at);
            at += 1 + random.below(longest[edges.len() % 2]);
        }
    }
    edges
}

fn panel(limits: Limits, edges: &[u64], end: u64) -> Said {
    let config = Config {
        qualify: ms(limits.qualify),
        rearm: ms(limits.rearm),
        // What is not told has no time: any will do.
        long_press: ms(limits.long_press.unwrap_or(1)),
        double_within: ms(limits.double_within.unwrap_or(1)),
        stuck: ms(limits.stuck),
        buttons: vec![ButtonConfig {
            calls: None,
            long_press: limits.long_press.is_some(),
            double_press: limits.double_within.is_some(),
        }],
        ..Config::default()
    };
    let mut bench = Bench::new(&config, &[Level::Inactive]);
    let mut level = Level::Inactive;
    for at in edges {
        level = match level {
            Level::Active => Level::Inactive,
            Level::Inactive => Level::Active,
        };
        bench.edge(ms(*at), ButtonId(0), level);
    }
    bench.wait(ms(end));
    bench.heard.iter().filter_map(said).collect()
}

fn said((at, output): &(Duration, Output)) -> Option<(u64, &'static str)> {
    let what = match output {
        Output::FirstEdge { .. } => "first",
        Output::Press { .. } => "press",
        Output::DoublePress { .. } => "double",
        Output::LongPress { .. } => "long",
        Output::NoiseBurst { .. } => "noise",
        Output::Stuck { .. } => "stuck",
        Output::Freed { .. } => "freed",
        _ => return None,
    };
    Some((at.as_millis() as u64, what))
}

fn reference(limits: Limits, edges: &[u64], end: u64) -> Said {
    let mut reference = Reference::new(limits);
    let mut edges = edges.iter().peekable();
    while reference.now < end {
        reference.millisecond();
        if edges.next_if_eq(&&reference.now).is_some() {
            reference.toggle();
        }
    }
    reference.said
}

#[test]
fn random_waveforms_are_judged_as_by_counting_milliseconds() {
    let mut told = std::collections::BTreeMap::new();
    for seed in 0..2000 {
        let mut random = Random(seed);
        let long_press = random.pick(&[150, 500, 2000]);
        let double_within = random.pick(&[100, 149, 400]).min(long_press - 1);
        let limits = Limits {
            qualify: random.pick(&[0, 1, 5, 20, 20, 50]),
            rearm: random.pick(&[50, 200, 200]),
            long_press: (random.below(4) > 0).then_some(long_press),
            double_within: (random.below(2) > 0).then_some(double_within),
            stuck: long_press + random.pick(&[1, 300, 3000]),
        };
        let edges = waveform(&mut random);
        let end = edges.last().unwrap() + 4000;
        let (got, want) = (panel(limits, &edges, end), reference(limits, &edges, end));
        assert_eq!(got, want, "seed {seed}, {limits:?}, edges at {edges:?}");
        for (_, what) in want {
            *told.entry(what).or_insert(0) += 1;
        }
    }
    // A test that never sees a stuck button proves nothing about them.
    for what in [
        "first", "press", "double", "long", "noise", "stuck", "freed",
    ] {
        assert!(told.get(what).is_some_and(|n| *n >= 50), "{what}: {told:?}");
    }
}

/// Not a sample: every waveform of up to five stretches, each as long as one of
/// the times that matter, on every kind of button.
#[test]
fn every_small_waveform_is_judged_as_by_counting_milliseconds() {
    const STRETCHES: [u64; 5] = [4, 25, 105, 210, 450];
    let kinds = [(true, false), (true, true), (false, false), (false, true)];
    let mut told = std::collections::BTreeMap::new();
    for (long, double) in kinds {
        let limits = Limits {
            qualify: 20,
            rearm: 200,
            long_press: long.then_some(440),
            double_within: double.then_some(400),
            stuck: 600,
        };
        for edges in small_waveforms(&STRETCHES, 5) {
            let end = edges.last().unwrap() + 1100;
            let (got, want) = (panel(limits, &edges, end), reference(limits, &edges, end));
            assert_eq!(got, want, "{limits:?}, edges at {edges:?}");
            for (_, what) in want {
                *told.entry(what).or_insert(0) += 1;
            }
        }
    }
    for what in ["press", "double", "long", "noise", "stuck", "freed"] {
        assert!(
            told.get(what).is_some_and(|n| *n >= 500),
            "{what}: {told:?}"
        );
    }
}

/// The edges of all waveforms of 0 to `most` stretches of these lengths.
fn small_waveforms(stretches: &[u64], most: usize) -> Vec<Vec<u64>> {
    let mut all = vec![vec![10]];
    let mut longest = 0..1;
    for _ in 0..most {
        for n in longest.clone() {
            for stretch in stretches {
                let next = all[n].last().unwrap() + stretch;
                let longer = all[n].iter().copied().chain([next]);
                all.push(longer.collect());
            }
        }
        longest = longest.end..all.len();
    }
    all
}

/// What holds for any waveform, whatever the phases are called.
#[test]
fn two_presses_never_come_without_a_release_between_them() {
    for seed in 10_000..11_000 {
        let mut random = Random(seed);
        let limits = Limits {
            qualify: 20,
            rearm: 200,
            long_press: Some(2000),
            double_within: None,
            stuck: 60_000,
        };
        let edges = waveform(&mut random);
        let said = panel(limits, &edges, edges.last().unwrap() + 4000);
        let mut presses = said.iter().filter(|(_, what)| *what == "press");
        let Some(&(mut last, _)) = presses.next() else {
            continue;
        };
        for (at, _) in presses {
            assert!(
                quiet_between(&edges, last, *at) || at - last >= RELEASE_LIMIT,
                "seed {seed}: presses at {last} and {at}, edges at {edges:?}"
            );
            last = *at;
        }
    }
}

/// Whether the line was inactive for 200 ms without a break within `from ..= to`.
fn quiet_between(edges: &[u64], from: u64, to: u64) -> bool {
    let pairs = edges
        .iter()
        .skip(1)
        .step_by(2)
        .zip(edges.iter().skip(2).step_by(2));
    pairs.into_iter().any(|(release, press)| {
        let (start, end) = ((*release).max(from), (*press).min(to));
        end.saturating_sub(start) >= 200
    })
}
