//! The line between the service and the device, with its faults made to order.
//!
//! Each direction is a [`Queue`] of its own: a frame goes in when it is sent
//! and comes out when it arrives. There is no clock: the caller says what time
//! it is. The same [`Line`] and the same sending times give the same arrivals.
//!
//! ```text
//!  send(now, frame) ──▶ loss? twice? swapped? ──▶ delay + jitter ──▶ stall ──▶ arrive(now)
//! ```
//!
//! Units: times are `Duration`s since the leg was answered; chances are 0 to 1
//! per frame.
//!
//! Always true: without `reorder`, frames arrive in the order they were sent,
//! as TCP would have it, and a late one holds up those behind it; nothing
//! arrives before it was sent plus `delay`, nor within a stall; every frame is
//! lost or arrives.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// What happens between the service and the device. The default is a clean line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// What the chances are drawn from; two lines alike have the same faults.
    pub seed: u64,
    /// From end to end, one way.
    pub delay: Duration,
    /// Up to so much more, drawn anew for each frame.
    pub jitter: Duration,
    /// Nothing moves from time to time; then all comes at once.
    pub stall: Option<Stall>,
    /// Chance of a media frame to change places with the next.
    pub reorder: f64,
    /// Chance of a media frame to come twice.
    pub duplicate: f64,
    /// Chance of a media frame to be lost on the carrier's side.
    pub loss: f64,
    /// Chance of a frame of nonsense after a frame to the device.
    pub garbage: f64,
    /// The socket is cut, without a close frame, so long after the answer.
    pub drop_at: Option<Duration>,
    /// The socket is closed with 4500 so long after the answer.
    pub close_4500_at: Option<Duration>,
}

/// A pause in which nothing moves, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// The first begins so long after the answer.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// From one beginning to the next; `None` is a single one.
    pub every: Option<Duration>,
}

impl Line {
    /// `at`, or the end of the stall it falls into.
    #[must_use]
    pub fn moves_at(&self, at: Duration) -> Duration {
        let Some(stall) = self.stall.filter(|stall| at >= stall.at) else {
            return at;
        };
        let since = at - stall.at;
        let into = match stall.every {
            Some(every) if !every.is_zero() => {
                Duration::from_nanos((since.as_nanos() % every.as_nanos()) as u64)
            }
            _ => since,
        };
        at + stall.lasts.saturating_sub(into)
    }
}

/// Most frames on their way in one direction.
const FRAMES_MAX: usize = 4096;
/// How much later a swapped frame arrives: more than one packet, less than two.
const SWAPPED: Duration = Duration::from_millis(30);

/// Which way a [`Queue`] leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToDevice,
    FromDevice,
}

/// The frames on their way in one direction.
#[derive(Debug)]
pub(super) struct Queue<T> {
    line: Line,
    chance: Chance,
    /// By when they arrive, then by when they were sent.
    frames: BTreeMap<(Duration, u64), T>,
    sent: u64,
    /// Nothing arrives before what was sent earlier.
    latest: Duration,
}

impl<T: Clone> Queue<T> {
    pub(super) fn new(line: Line, way: Way) -> Self {
        let seed = line.seed ^ if way == Way::ToDevice { 0 } else { 1 << 63 };
        Self {
            line,
            chance: Chance(seed),
            frames: BTreeMap::new(),
            sent: 0,
            latest: Duration::ZERO,
        }
    }

    /// Sends a frame that all faults may happen to.
    pub(super) fn send_media(&mut self, now: Duration, frame: T) {
        // All are drawn for every frame, so that one chance does not change
        // what the others bring.
        let lost = self.chance.is(self.line.loss);
        let twice = self.chance.is(self.line.duplicate);
        let swapped = self.chance.is(self.line.reorder);
        let on_time = self.arrival(now);
        if !lost {
            let at = if swapped { on_time + SWAPPED } else { on_time };
            if twice {
                self.put(at, frame.clone());
            }
            self.put(at, frame);
        }
    }

    /// A frame of nonsense to send after the present one, if chance wills it.
    pub(super) fn garbage(&mut self) -> Option<&'static str> {
        let garbage = self.chance.is(self.line.garbage);
        garbage.then(|| self.chance.nonsense())
    }

    /// Sends a frame that is late at most.
    pub(super) fn send(&mut self, now: Duration, frame: T) {
        let at = self.arrival(now);
        self.put(at, frame);
    }

    /// When the next frame arrives.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.frames.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next frame that has arrived.
    pub(super) fn arrive(&mut self, now: Duration) -> Option<T> {
        let first = self.frames.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn arrival(&mut self, now: Duration) -> Duration {
        let jitter = self.line.jitter.mul_f64(self.chance.next());
        let at = now + self.line.delay + jitter;
        self.latest = self.line.moves_at(at).max(self.latest);
        self.latest
    }

    fn put(&mut self, at: Duration, frame: T) {
        if self.frames.len() < FRAMES_MAX {
            self.frames
                .insert((self.line.moves_at(at), self.sent), frame);
            self.sent += 1;
        }
    }
}

/// A seeded row of numbers (SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From 0 up to 1, 1 not included.
    fn next(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn is(&mut self, chance: f64) -> bool {
        self.next() < chance
    }

    /// A frame no device can make sense of.
    fn nonsense(&mut self) -> &'static str {
        const FRAMES: [&str; 6] = [
            "",
            "not JSON",
            "{\"event\":\"media\"",
            "{\"event\":\"media\",\"media\":{\"payload\":\"%%%\"}}",
            "{\"event\":\"media\",\"media\":{\"payload\":42,\"chunk\":\"x\"}}",
            "{\"event\":\"not an event\",\"depth\":[[[[]]]]}",
        ];
        FRAMES[self.bits() as usize % FRAMES.len()]
    }
}

/// Why a text is not a [`Line`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadLine {
    /// A word that is not `name=value`.
    #[error("{0:?} is not name=value, like delay=40ms")]
    NoValue(String),
    /// A name that is none of ours.
    #[error(
        "there is no {0:?}; there are seed, delay, jitter, stall, reorder, duplicate, loss, \
         garbage, drop and close4500"
    )]
    Name(String),
    /// Not a time, or a longer one than a minute.
    #[error("{0}: {1:?} is not a time up to 60 s, like 40ms or 1.5s")]
    Time(String, String),
    /// Not a chance.
    #[error("{0}: {1:?} is not a chance from 0 to 1, like 0.02")]
    Chance(String, String),
    /// Not a number.
    #[error("seed: {0:?} is not a whole number")]
    Seed(String),
    /// Not a stall.
    #[error(
        "stall: {0:?} is not start+length, like 5s+800ms, or start+length/every, like 5s+800ms/20s"
    )]
    Stall(String),
}

impl FromStr for Line {
    type Err = BadLine;

    /// Reads `delay=40ms,jitter=20ms,stall=5s+800ms/20s,reorder=0.01,duplicate=0.01,
    /// loss=0.01,garbage=0.01,drop=8s,close4500=12s,seed=1`, any of them, in any order.
    fn from_str(text: &str) -> Result<Self, BadLine> {
        let mut line = Self::default();
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            let Some((name, value)) = word.split_once('=') else {
                return Err(BadLine::NoValue(word.into()));
            };
            let time = || {
                let bad = || BadLine::Time(name.into(), value.into());
                parse_time(value).ok_or_else(bad)
            };
            let chance = || {
                let bad = || BadLine::Chance(name.into(), value.into());
                let chance = value.parse().map_err(|_| bad())?;
                (0.0..=1.0)
                    .contains(&chance)
                    .then_some(chance)
                    .ok_or_else(bad)
            };
            match name {
                "seed" => {
                    line.seed = value.parse().map_err(|_| BadLine::Seed(value.into()))?;
                }
                "delay" => line.delay = time()?,
                "jitter" => line.jitter = time()?,
                "stall" => {
                    let stall = parse_stall(value);
                    line.stall = Some(stall.ok_or_else(|| BadLine::Stall(value.into()))?);
                }
                "reorder" => line.reorder = chance()?,
                "duplicate" => line.duplicate = chance()?,
                "loss" => line.loss = chance()?,
                "garbage" => line.garbage = chance()?,
                "drop" => line.drop_at = Some(time()?),
                "close4500" => line.close_4500_at = Some(time()?),
                other => return Err(BadLine::Name(other.into())),
            }
        }
        Ok(line)
    }
}

fn parse_stall(text: &str) -> Option<Stall> {
    let (at, rest) = text.split_once('+')?;
    let (lasts, every) = match rest.split_once('/') {
        Some((lasts, every)) => (lasts, Some(parse_time(every)?)),
        None => (rest, None),
    };
    let stall = Stall {
        at: parse_time(at)?,
        lasts: parse_time(lasts)?,
        every,
    };
    // A stall that never ends is no line.
    every
        .is_none_or(|every| every > stall.lasts)
        .then_some(stall)
}

/// Reads `40ms` or `1.5s`, up to a minute.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    const LONGEST: f64 = 60.0;
    let seconds = if let Some(ms) = text.strip_suffix("ms") {
        ms.parse::<f64>().ok()? / 1000.0
    } else {
        text.strip_suffix('s')?.parse().ok()?
    };
    (0.0..=LONGEST)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Duration = Duration::from_millis(20);

    /// Sends `count` numbered packets 20 ms apart; returns when each came.
    fn arrivals(line: &str, way: Way, count: u32) -> Vec<(u64, String)> {
        let mut queue = Queue::new(line.parse().unwrap(), way);
        for n in 0..count {
            queue.send_media(PACKET * n, n.to_string());
            if let Some(nonsense) = queue.garbage() {
                queue.send(PACKET * n, nonsense.to_owned());
            }
        }
        let mut came = Vec::new();
        while let Some(at) = queue.next_at() {
            came.push((at.as_millis() as u64, queue.arrive(at).unwrap()));
        }
        came
    }

    fn numbers(came: &[(u64, String)]) -> Vec<u32> {
        came.iter()
            .filter_map(|(_, text)| text.parse().ok())
            .collect()
    }

    #[test]
    fn a_clean_line_delays_and_no_more() {
        let came = arrivals("delay=40ms", Way::ToDevice, 3);
        let want = [(40, "0"), (60, "1"), (80, "2")].map(|(at, n)| (at, n.to_owned()));
        assert_eq!(came, want);
    }

    #[test]
    fn the_same_seed_brings_the_same_faults() {
        const ALL: &str = "delay=40ms,jitter=60ms,stall=1s+300ms/2s,reorder=0.1,duplicate=0.1,loss=0.1,garbage=0.1";
        let line = |seed: u32| format!("{ALL},seed={seed}");
        let first = arrivals(&line(7), Way::ToDevice, 500);
        assert_eq!(first, arrivals(&line(7), Way::ToDevice, 500));
        assert_ne!(first, arrivals(&line(8), Way::ToDevice, 500));
        assert_ne!(first, arrivals(&line(7), Way::FromDevice, 500));
    }

    #[test]
    fn jitter_keeps_the_order_and_its_bound() {
        let came = arrivals("delay=40ms,jitter=60ms,seed=1", Way::ToDevice, 500);
        assert_eq!(numbers(&came), (0..500).collect::<Vec<_>>());
        let late = |(n, (at, _)): (usize, &(u64, String))| at - 20 * n as u64;
        let late: Vec<_> = came.iter().enumerate().map(late).collect();
        assert!(
            late.iter().all(|late| (40..=100).contains(late)),
            "{late:?}"
        );
        assert!(late.iter().any(|late| *late > 80));
    }

    #[test]
    fn nothing_moves_in_a_stall_and_then_all_comes_at_once() {
        let came = arrivals("stall=100ms+200ms/1s", Way::ToDevice, 100);
        assert_eq!(numbers(&came), (0..100).collect::<Vec<_>>());
        for (at, _) in &came {
            assert!(!(100..300).contains(&(at % 1000)), "{at}");
        }
        let at_once = came.iter().filter(|(at, _)| *at == 300).count();
        assert_eq!(at_once, 11);
    }

    #[test]
    fn each_fault_does_what_it_says() {
        let count = |line, way| arrivals(line, way, 1000);
        let swapped = numbers(&count("reorder=0.1,seed=3", Way::ToDevice));
        assert_eq!(swapped.len(), 1000);
        assert!(swapped.windows(2).any(|pair| pair[0] > pair[1]));
        assert!(numbers(&count("duplicate=0.1,seed=3", Way::ToDevice)).len() > 1050);
        assert!(numbers(&count("loss=0.1,seed=3", Way::ToDevice)).len() < 950);
        let garbage = count("garbage=0.1,seed=3", Way::ToDevice);
        assert!(garbage.len() > 1050);
        assert_eq!(numbers(&garbage).len(), 1000);
    }

    #[test]
    fn control_frames_are_never_lost() {
        let mut queue = Queue::new("loss=1".parse().unwrap(), Way::ToDevice);
        queue.send(Duration::ZERO, "stop");
        assert_eq!(queue.arrive(Duration::ZERO), Some("stop"));
    }

    #[test]
    fn wrong_lines_say_why() {
        let cases = [
            ("delay", "name=value"),
            ("delay=40", "40ms or 1.5s"),
            ("delay=61s", "up to 60 s"),
            ("delay=-1s", "up to 60 s"),
            ("delay=NaNs", "up to 60 s"),
            ("loss=2", "from 0 to 1"),
            ("loss=NaN", "from 0 to 1"),
            ("seed=x", "whole number"),
            ("stall=5s", "5s+800ms"),
            ("stall=5s+2s/1s", "5s+800ms"),
            ("dealy=1s", "there is no \"dealy\""),
        ];
        for (text, want) in cases {
            let error = text.parse::<Line>().unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
