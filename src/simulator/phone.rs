//! The callee's telephone: what arrives, played in real time.
//!
//! `put` per packet of the device, `speak` per text of it; `advance` whenever
//! somebody wants to know what was heard. There is no clock: the caller says
//! what time it is, and the telephone plays up to then.
//!
//! ```text
//!  put(now, samples) ─▶ [ sound | mark | voice | mark ] ─▶ advance(now) ─▶ heard
//!  speak(now, text) ──▶
//! ```
//!
//! Units: `rate` samples a second; positions are samples since the answer.
//!
//! Always true: `heard` is as long as the call; what comes late leaves a gap,
//! what comes in a heap is played later; after it ran dry the telephone waits
//! `buffer` before it plays on, as a telephone does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::recognizer::takes;

/// Most sound that may wait to be played: the longest chunk the service takes
/// (30 s), twice.
const SOUND_MAX: Duration = Duration::from_secs(60);
/// Most text that may wait to be spoken.
const VOICE_MAX: Duration = Duration::from_secs(600);
/// Most marks that may wait.
const MARKS_MAX: usize = 1000;
/// What a voice sounds like here: a hum of so many hertz, so loud.
const HUM: (f64, f64) = (150.0, 2000.0);

/// See the module page.
#[derive(Debug)]
pub(super) struct Phone {
    answered: Instant,
    rate: u32,
    buffer: u64,
    queue: VecDeque<Item>,
    queued: u64,
    /// Plays nothing before this position.
    resumes_at: u64,
    heard: Vec<i16>,
    reached: Vec<Reached>,
    hung_up: bool,
}

#[derive(Debug)]
enum Item {
    Sound(VecDeque<i16>),
    Mark(String),
    Voice(Voice),
}

/// Text that is spoken: a hum as long as that takes.
#[derive(Debug)]
struct Voice {
    text: String,
    length: u64,
    spoken: u64,
}

/// What the telephone has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reached {
    Mark(String),
    /// Spoken to the end, or up to where it was cut off.
    Spoken(String),
}

impl Phone {
    pub(super) fn new(answered: Instant, rate: u32, buffer: Duration) -> Self {
        let mut phone = Self {
            answered,
            rate,
            buffer: 0,
            queue: VecDeque::new(),
            queued: 0,
            resumes_at: 0,
            heard: Vec::new(),
            reached: Vec::new(),
            hung_up: false,
        };
        phone.buffer = phone.samples(buffer);
        phone
    }

    /// Samples a second.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes in sound; `false` when too much waits already.
    #[must_use]
    pub(super) fn put(&mut self, now: Instant, sound: Vec<i16>) -> bool {
        let length = sound.len() as u64;
        self.queue(now, Item::Sound(sound.into()), length, SOUND_MAX)
    }

    /// Takes in text to be spoken; `false` when too much waits already.
    #[must_use]
    pub(super) fn speak(&mut self, now: Instant, text: String) -> bool {
        let length = self.samples(takes(text.chars().count()));
        let voice = Voice {
            text,
            length,
            spoken: 0,
        };
        length == 0 || self.queue(now, Item::Voice(voice), length, VOICE_MAX)
    }

    fn queue(&mut self, now: Instant, item: Item, length: u64, most: Duration) -> bool {
        self.advance(now);
        if self.queued + length > self.samples(most) {
            return false;
        }
        if self.queued == 0 {
            self.resumes_at = self.position() + self.buffer;
        }
        self.queued += length;
        self.queue.push_back(item);
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
        self.pass();
        true
    }

    /// Whether a voice speaks, or will.
    pub(super) fn is_speaking(&self) -> bool {
        self.queue.iter().any(|item| matches!(item, Item::Voice(_)))
    }

    /// Drops what waits, and returns its length. Its marks count as reached:
    /// nothing is left to play before them.
    pub(super) fn clear(&mut self, now: Instant) -> Duration {
        self.advance(now);
        let dropped = self.queued;
        for item in self.queue.drain(..) {
            match item {
                Item::Sound(_) => {}
                Item::Mark(name) => self.reached.push(Reached::Mark(name)),
                Item::Voice(voice) if voice.spoken == 0 => {}
                Item::Voice(voice) => self.reached.push(Reached::Spoken(voice.cut())),
            }
        }
        self.queued = 0;
        self.time(dropped)
    }

    /// Plays up to `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.hung_up {
            return;
        }
        let until = self.samples(now.saturating_duration_since(self.answered));
        while self.position() < until {
            let sample = self.next_sample();
            self.heard.push(sample);
            self.pass();
        }
    }

    /// Plays up to `now`, and no more after that.
    pub(super) fn hang_up(&mut self, now: Instant) {
        self.advance(now);
        self.hung_up = true;
        if let Some(Item::Voice(voice)) = self.queue.pop_front()
            && voice.spoken > 0
        {
            self.reached.push(Reached::Spoken(voice.cut()));
        }
    }

    /// What was reached since the last time.
    pub(super) fn take_reached(&mut self) -> Vec<Reached> {
        std::mem::take(&mut self.reached)
    }

    /// When the next mark or the end of a voice is reached, if nothing else
    /// comes.
    pub(super) fn next_reached_at(&self) -> Option<Instant> {
        let mut before = 0;
        for item in &self.queue {
            match item {
                Item::Sound(sound) => before += sound.len() as u64,
                Item::Mark(_) => return Some(self.plays_at(before)),
                Item::Voice(voice) => {
                    return Some(self.plays_at(before + voice.length - voice.spoken));
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

    fn plays_at(&self, before: u64) -> Instant {
        let from = self.position().max(self.resumes_at);
        self.answered + self.time(from + before)
    }

    fn next_sample(&mut self) -> i16 {
        if self.position() < self.resumes_at {
            return 0;
        }
        let rate = self.rate;
        let (sample, over) = match self.queue.front_mut() {
            Some(Item::Sound(sound)) => (sound.pop_front().unwrap_or(0), sound.is_empty()),
            Some(Item::Voice(voice)) => voice.next(rate),
            // `pass` has seen to marks.
            Some(Item::Mark(_)) | None => return 0,
        };
        self.queued -= 1;
        if over && let Some(Item::Voice(voice)) = self.queue.pop_front() {
            self.reached.push(Reached::Spoken(voice.text));
        }
        sample
    }

    /// Marks at the front have nothing left before them.
    fn pass(&mut self) {
        while let Some(Item::Mark(_)) = self.queue.front() {
            if let Some(Item::Mark(name)) = self.queue.pop_front() {
                self.reached.push(Reached::Mark(name));
            }
        }
    }

    /// Whole samples of `time`.
    fn samples(&self, time: Duration) -> u64 {
        let samples = time.as_nanos() * u128::from(self.rate) / NANOS;
        u64::try_from(samples).unwrap_or(u64::MAX)
    }

    /// How long so many samples sound: never less than a whole one.
    fn time(&self, samples: u64) -> Duration {
        let nanos = (u128::from(samples) * NANOS).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

const NANOS: u128 = 1_000_000_000;

impl Voice {
    /// The next sample, and whether it was the last.
    fn next(&mut self, rate: u32) -> (i16, bool) {
        let (hertz, size) = HUM;
        let angle = std::f64::consts::TAU * hertz * self.spoken as f64 / f64::from(rate);
        self.spoken += 1;
        ((size * angle.sin()) as i16, self.spoken == self.length)
    }

    /// What was spoken when it was cut off.
    fn cut(self) -> String {
        let characters = self.text.chars().count() as u64;
        let spoken = self.spoken * characters / self.length;
        let spoken = usize::try_from(spoken).unwrap_or(usize::MAX);
        self.text.chars().take(spoken).collect()
    }
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
        let mut phone = Phone::new(answered, 8000, BUFFER);
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
        let blocks = blocks.collect();
        let marks = phone
            .take_reached()
            .into_iter()
            .map(|reached| match reached {
                Reached::Mark(name) => name,
                Reached::Spoken(text) => panic!("{text} was spoken"),
            });
        (blocks, marks.collect())
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
        let mut phone = Phone::new(answered, 8000, BUFFER);
        assert!(phone.put(answered, vec![1; 160]));
        assert!(phone.mark(answered, "m".into()));
        let due = phone.next_reached_at().unwrap();
        assert_eq!(due, answered + Duration::from_millis(60));
        phone.advance(due);
        assert_eq!(phone.take_reached(), [Reached::Mark("m".into())]);
        assert_eq!(phone.next_reached_at(), None);
    }

    #[test]
    fn a_flood_is_refused() {
        let answered = Instant::now();
        let mut phone = Phone::new(answered, 8000, BUFFER);
        assert!(phone.put(answered, vec![1; 60 * 8000]));
        assert!(!phone.put(answered, vec![1; 160]));
        assert!(phone.speak(answered, "x".repeat(540 * 14)));
        assert!(!phone.speak(answered, "Hello".into()));
    }

    #[test]
    fn nothing_is_heard_after_hanging_up() {
        let answered = Instant::now();
        let mut phone = Phone::new(answered, 8000, BUFFER);
        phone.hang_up(answered + Duration::from_secs(1));
        phone.advance(answered + Duration::from_secs(2));
        assert_eq!(phone.heard().len(), 8000);
    }

    #[test]
    fn a_voice_is_cut_off_by_hanging_up_and_later_marks_are_not_reached() {
        let answered = Instant::now();
        let mut phone = Phone::new(answered, 8000, BUFFER);
        assert!(phone.speak(answered, "Water in the cellar, please.".into()));
        assert!(phone.mark(answered, "m".into()));
        phone.hang_up(answered + BUFFER + Duration::from_millis(500));
        assert_eq!(phone.take_reached(), [Reached::Spoken("Water i".into())]);
    }

    #[test]
    fn text_takes_its_time_and_its_mark_comes_back_then() {
        for rate in [8000, 24_000, 48_000] {
            let answered = Instant::now();
            let mut phone = Phone::new(answered, rate, BUFFER);
            // 28 letters: two seconds.
            assert!(phone.speak(answered, "Water in the cellar, please.".into()));
            assert!(phone.mark(answered, "m".into()));
            assert!(phone.is_speaking());
            let due = phone.next_reached_at().unwrap();
            assert_eq!(due, answered + BUFFER + Duration::from_secs(2));
            phone.advance(due - Duration::from_millis(1));
            assert_eq!(phone.take_reached(), []);
            phone.advance(due);
            let spoken = Reached::Spoken("Water in the cellar, please.".into());
            assert_eq!(phone.take_reached(), [spoken, Reached::Mark("m".into())]);
            assert!(!phone.is_speaking());
            assert_eq!(phone.heard().len() as u64, phone.samples(due - answered));
            assert!(phone.heard().iter().any(|sample| *sample > 1000));
        }
    }

    #[test]
    fn a_voice_that_is_cut_off_has_said_what_it_has_said() {
        let answered = Instant::now();
        let mut phone = Phone::new(answered, 8000, BUFFER);
        assert!(phone.speak(answered, "Water in the cellar, please.".into()));
        assert!(phone.speak(answered, "Never heard.".into()));
        assert!(phone.mark(answered, "m".into()));
        phone.clear(answered + BUFFER + Duration::from_millis(500));
        let spoken = Reached::Spoken("Water i".into());
        assert_eq!(phone.take_reached(), [spoken, Reached::Mark("m".into())]);
        // No text is no voice.
        assert!(phone.speak(answered, String::new()));
        assert!(!phone.is_speaking());
    }
}
