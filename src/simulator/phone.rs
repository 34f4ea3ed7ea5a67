//! The callee's telephone: what arrives, played in real time.
//!
//! `put` per packet of the device; `advance` whenever somebody wants to know
//! what was heard. There is no clock: the caller says what time it is, and the
//! telephone plays up to then.
//!
//! ```text
//!  put(now, samples) ─▶ [ sound | mark | sound ] ─▶ advance(now) ─▶ heard
//! ```
//!
//! Units: 8000 samples a second; positions are samples since the answer.
//!
//! Always true: `heard` is as long as the call; what comes late leaves a gap,
//! what comes in a heap is played later; after it ran dry the telephone waits
//! `buffer` before it plays on, as a telephone does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Samples a second.
pub(super) const RATE: u64 = 8000;
/// Most sound that may wait to be played: the longest chunk the service takes
/// (30 s), twice.
const QUEUE_MAX: usize = 60 * RATE as usize;
/// Most marks that may wait.
const MARKS_MAX: usize = 1000;

/// See the module page.
#[derive(Debug)]
pub(super) struct Phone {
    answered: Instant,
    buffer: u64,
    queue: VecDeque<Item>,
    queued: usize,
    /// Plays nothing before this position.
    resumes_at: u64,
    heard: Vec<i16>,
    reached: Vec<String>,
    hung_up: bool,
}

#[derive(Debug)]
enum Item {
    Sound(VecDeque<i16>),
    Mark(String),
}

impl Phone {
    pub(super) fn new(answered: Instant, buffer: Duration) -> Self {
        Self {
            answered,
            buffer: samples(buffer),
            queue: VecDeque::new(),
            queued: 0,
            resumes_at: 0,
            heard: Vec::new(),
            reached: Vec::new(),
            hung_up: false,
        }
    }

    /// Takes in sound; `false` when too much waits already.
    #[must_use]
    pub(super) fn put(&mut self, now: Instant, sound: Vec<i16>) -> bool {
        self.advance(now);
        if self.queued + sound.len() > QUEUE_MAX {
            return false;
        }
        if self.queued == 0 {
            self.resumes_at = self.position() + self.buffer;
        }
        self.queued += sound.len();
        self.queue.push_back(Item::Sound(sound.into()));
        true
    }

    /// Takes in a mark; `false` when too many wait already.
    #[must_use]
    pub(super) fn mark(&mut self, now: Instant, name: String) -> bool {
        self.advance(now);
        let marks = self
            .queue
            .iter()
            .filter(|item| matches!(item, Item::Mark(_)));
        if marks.count() >= MARKS_MAX {
            return false;
        }
        self.queue.push_back(Item::Mark(name));
        self.pass_marks();
        true
    }

    /// Drops what waits, and returns its length. Its marks count as reached:
    /// nothing is left to play before them.
    pub(super) fn clear(&mut self, now: Instant) -> Duration {
        self.advance(now);
        let dropped = self.queued as u64;
        for item in self.queue.drain(..) {
            if let Item::Mark(name) = item {
                self.reached.push(name);
            }
        }
        self.queued = 0;
        time(dropped)
    }

    /// Plays up to `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.hung_up {
            return;
        }
        let until = samples(now.saturating_duration_since(self.answered));
        while self.position() < until {
            let sample = self.next_sample();
            self.heard.push(sample);
            self.pass_marks();
        }
    }

    /// Plays up to `now`, and no more after that.
    pub(super) fn hang_up(&mut self, now: Instant) {
        self.advance(now);
        self.hung_up = true;
    }

    /// The marks reached since the last time.
    pub(super) fn take_marks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.reached)
    }

    /// When the next mark is reached, if nothing else comes.
    pub(super) fn next_mark_at(&self) -> Option<Instant> {
        let mut before = 0;
        for item in &self.queue {
            match item {
                Item::Sound(sound) => before += sound.len() as u64,
                Item::Mark(_) => {
                    let from = self.position().max(self.resumes_at);
                    return Some(self.answered + time(from + before));
                }
            }
        }
        None
    }

    pub(super) fn heard(&self) -> &[i16] {
        &self.heard
    }

    fn position(&self) -> u64 {
        self.heard.len() as u64
    }

    fn next_sample(&mut self) -> i16 {
        if self.position() < self.resumes_at {
            return 0;
        }
        let Some(Item::Sound(sound)) = self.queue.front_mut() else {
            return 0;
        };
        let sample = sound.pop_front().unwrap_or(0);
        self.queued -= 1;
        if sound.is_empty() {
            self.queue.pop_front();
        }
        sample
    }

    /// Marks at the front have nothing left before them.
    fn pass_marks(&mut self) {
        while let Some(Item::Mark(_)) = self.queue.front() {
            if let Some(Item::Mark(name)) = self.queue.pop_front() {
                self.reached.push(name);
            }
        }
    }
}

/// Whole samples of `time`.
fn samples(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(RATE) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// How long so many samples sound: never less than a whole one.
fn time(samples: u64) -> Duration {
    Duration::from_nanos(samples * (1_000_000_000 / RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER: Duration = Duration::from_millis(40);

    /// Runs a script: `P@t` puts 20 ms of the next number, `M@t` a mark,
    /// `C@t` clears; then plays up to `end` and returns a digit per 20 ms
    /// heard, `-` for silence.
    fn play(script: &str, end: u64) -> (String, Vec<String>) {
        let answered = Instant::now();
        let mut phone = Phone::new(answered, BUFFER);
        let mut number = 0;
        for step in script.split_whitespace() {
            let (what, at) = step.split_once('@').unwrap();
            let now = answered + Duration::from_millis(at.parse().unwrap());
            match what {
                "P" => {
                    number += 1;
                    assert!(phone.put(now, vec![number; 160]));
                }
                "M" => assert!(phone.mark(now, format!("after {number}"))),
                "C" => _ = phone.clear(now),
                other => panic!("{other}"),
            }
        }
        phone.advance(answered + Duration::from_millis(end));
        let blocks = phone.heard().chunks(160).map(|block| match block {
            [0, ..] => '-',
            [n, ..] => char::from_digit(u32::from(n.unsigned_abs()), 10).unwrap(),
            [] => unreachable!(),
        });
        (blocks.collect(), phone.take_marks())
    }

    #[test]
    fn what_comes_is_heard_when_it_is_played() {
        let cases = [
            (
                "steady sound is heard whole",
                "P@0 P@20 P@40 P@60",
                140,
                "--1234-",
            ),
            (
                "a late packet leaves a gap",
                "P@0 P@20 P@140 P@160",
                240,
                "--12-----34-",
            ),
            (
                "a heap is played later",
                "P@0 P@0 P@0 P@0 P@80 P@100",
                180,
                "--123456-",
            ),
            (
                "cleared sound is not heard",
                "P@0 P@0 P@0 P@0 C@60",
                140,
                "--1----",
            ),
        ];
        for (name, script, end, want) in cases {
            assert_eq!(play(script, end).0, want, "{name}: {script}");
        }
    }

    #[test]
    fn a_mark_is_reached_when_the_sound_before_it_was_played() {
        assert_eq!(play("P@0 P@0 M@0 P@20", 79).1, [""; 0]);
        assert_eq!(play("P@0 P@0 M@0 P@20", 80).1, ["after 2"]);
        assert_eq!(play("M@0", 0).1, ["after 0"]);
        assert_eq!(play("P@0 M@0 P@0 M@0 C@10", 10).1, ["after 1", "after 2"]);
    }

    #[test]
    fn the_next_mark_is_foreseen() {
        let answered = Instant::now();
        let mut phone = Phone::new(answered, BUFFER);
        assert!(phone.put(answered, vec![1; 160]));
        assert!(phone.mark(answered, "m".into()));
        let due = phone.next_mark_at().unwrap();
        assert_eq!(due, answered + Duration::from_millis(60));
        phone.advance(due);
        assert_eq!(phone.take_marks(), ["m"]);
        assert_eq!(phone.next_mark_at(), None);
    }

    #[test]
    fn a_flood_is_refused() {
        let answered = Instant::now();
        let mut phone = Phone::new(answered, BUFFER);
        assert!(phone.put(answered, vec![1; QUEUE_MAX]));
        assert!(!phone.put(answered, vec![1; 160]));
    }

    #[test]
    fn nothing_is_heard_after_hanging_up() {
        let answered = Instant::now();
        let mut phone = Phone::new(answered, BUFFER);
        phone.hang_up(answered + Duration::from_secs(1));
        phone.advance(answered + Duration::from_secs(2));
        assert_eq!(phone.heard().len(), 8000);
    }
}
