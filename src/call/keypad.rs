//! What the callee typed or said, and whether it opens a door.
//!
//! Asked by the attempt for each key and each sentence of the far end. It
//! knows nothing of the call: whether the door may be opened at all is decided
//! before it is asked.
//!
//! ```text
//!  dtmf message ──┐
//!                 ├─ pressed: once a key ──▶ typed ▒▒▒▒ ends with a code? ──▶ door
//!  tones ─────────┘
//!  transcript ───────────────────────────▶ said: holds one of the words? ──▶ door
//! ```
//!
//! Always true: a key opens at most one door, and the keys of a code are used
//! up by it; at most [`MAX_CODE`] keys are remembered, for
//! [`digit_pause`](super::Config::digit_pause); who types [`KEYS_WITHOUT_CODE`]
//! keys without a code is not listened to any more, since that is guessing.

use std::fmt;
use std::time::{Duration, Instant};

use heapless::Vec;

use crate::units::Digit;

use super::config::{Door, MAX_CODE, MAX_DOORS};
use super::event::Source;

/// The two tellings of one key lie no further apart than this: the message may
/// be ahead by what the sound is buffered on its way, or behind by what it
/// takes the carrier to know the key.
const ECHO_WITHIN: Duration = Duration::from_millis(1500);

/// Keys whose other telling is waited for. Faster fingers than ten a second
/// there are none; with more, the oldest is not waited for any longer.
const UNPAIRED: usize = 16;

/// Keys in one call, or since the last opening, of which none completed a
/// code. Eight mistakes in a code of four keys.
const KEYS_WITHOUT_CODE: u8 = 32;

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typed {
    /// It is remembered.
    Kept,
    /// Too many were typed: it is not looked at.
    Ignored,
    /// It completed the code of this door.
    Code(u8),
}

/// See the [module page](self).
#[derive(Default)]
pub(super) struct Keypad {
    unpaired: Vec<Key, UNPAIRED>,
    typed: Vec<Digit, MAX_CODE>,
    typed_at: Option<Instant>,
    without_code: u8,
    count: u32,
}

#[derive(Clone, Copy)]
struct Key {
    digit: Digit,
    source: Source,
    at: Instant,
}

impl Keypad {
    /// Takes in one telling of a key; says whether it is a press that was not
    /// told of before.
    pub(super) fn pressed(&mut self, digit: Digit, source: Source, now: Instant) -> bool {
        self.unpaired
            .retain(|key| now.saturating_duration_since(key.at) < ECHO_WITHIN);
        let told = |key: &Key| key.digit == digit && key.source != source;
        if let Some(index) = self.unpaired.iter().position(told) {
            self.unpaired.remove(index);
            return false;
        }
        let at = now;
        push(&mut self.unpaired, Key { digit, source, at });
        self.count = self.count.saturating_add(1);
        true
    }

    /// Keys pressed, each counted once.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Takes in a key that [`pressed`](Self::pressed) let through.
    pub(super) fn typed(
        &mut self,
        digit: Digit,
        doors: &[Door],
        pause: Duration,
        now: Instant,
    ) -> Typed {
        if self.without_code == KEYS_WITHOUT_CODE {
            return Typed::Ignored;
        }
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < pause;
        if !self.typed_at.is_some_and(is_fresh) {
            self.typed.clear();
        }
        self.typed_at = Some(now);
        push(&mut self.typed, digit);
        self.without_code += 1;
        match self.door(doors) {
            Some(door) => {
                self.typed.clear();
                self.without_code = 0;
                Typed::Code(door)
            }
            None => Typed::Kept,
        }
    }

    /// The door whose code was typed last; of several, that with the longest.
    fn door(&self, doors: &[Door]) -> Option<u8> {
        let fits = |door: &Door| !door.code.is_empty() && self.typed.ends_with(&door.code);
        let numbered = (0..).zip(doors.iter().take(MAX_DOORS));
        numbered
            .filter(|(_, door)| fits(door))
            .max_by_key(|(_, door)| door.code.len())
            .map(|(number, _)| number)
    }
}

impl fmt::Debug for Keypad {
    /// Without what was typed, which may be of a code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypad")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// The first door one of whose words was said. Case, punctuation and the
/// spaces between words do not matter; half a word is none.
pub(super) fn said(text: &str, doors: &[Door]) -> Option<u8> {
    let text = words(text);
    let is_said = |word: &String| {
        let word = words(word);
        !word.is_empty() && text.windows(word.len()).any(|said| said == word)
    };
    let mut numbered = (0..).zip(doors.iter().take(MAX_DOORS));
    let (number, _) = numbered.find(|(_, door)| door.words.iter().any(is_said))?;
    Some(number)
}

fn words(text: &str) -> std::vec::Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Adds to a list whose oldest entry gives way.
fn push<T, const N: usize>(list: &mut Vec<T, N>, item: T) {
    if list.is_full() {
        list.remove(0);
    }
    // There is room now.
    _ = list.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    /// Plays `<ms><source><key>` words, `s` for a message and `b` for tones in
    /// the sound, to doors with these codes; returns which key opened which.
    fn play(codes: &[&str], keys: &str) -> String {
        let doors: std::vec::Vec<Door> = codes.iter().map(|code| door(code, &[])).collect();
        let t0 = Instant::now(); // an arbitrary origin; only sums of it are used
        let mut keypad = Keypad::default();
        let mut opened = std::vec::Vec::new();
        for word in keys.split_whitespace() {
            let split = word.find(['s', 'b']).unwrap();
            let now = t0 + Duration::from_millis(word[..split].parse().unwrap());
            let source = match &word[split..=split] {
                "s" => Source::Signalled,
                _ => Source::InBand,
            };
            let digit = digit(&word[split + 1..]);
            if keypad.pressed(digit, source, now)
                && let Typed::Code(door) = keypad.typed(digit, &doors, PAUSE, now)
            {
                opened.push(format!("{word}={door}"));
            }
        }
        opened.join(" ")
    }

    fn door(code: &str, words: &[&str]) -> Door {
        Door {
            code: code.chars().map(|c| Digit::parse(c).unwrap()).collect(),
            words: words.iter().map(|&w| w.to_owned()).collect(),
        }
    }

    fn digit(key: &str) -> Digit {
        Digit::parse(key.chars().next().unwrap()).unwrap()
    }

    #[test]
    fn codes_open_once_however_their_keys_arrive() {
        let cases = [
            ("messages alone", &["12"][..], "0s1 300s2", "300s2=0"),
            ("tones alone", &["12"], "0b1 300b2", "300b2=0"),
            ("message first", &["12"], "0s1 90b1 300s2 390b2", "300s2=0"),
            ("tones first", &["12"], "0b1 90s1 300b2 390s2", "300b2=0"),
            (
                "echo of the whole",
                &["12"],
                "0s1 200s2 700b1 900b2",
                "200s2=0",
            ),
            ("one way each", &["12"], "0s1 300b2", "300b2=0"),
            ("a double key", &["11"], "0s1 90b1 300s1 390b1", "300s1=0"),
            (
                "a double key, echo late",
                &["11"],
                "0s1 300s1 400b1 700b1",
                "300s1=0",
            ),
            ("an echo is no double key", &["11"], "0s1 90b1", ""),
            ("too late for an echo", &["11"], "0s1 1500b1", "1500b1=0"),
            (
                "keys before it",
                &["12"],
                "0s9 100s9 200s1 300s2",
                "300s2=0",
            ),
            ("used up", &["11"], "0s1 100s1 200s1", "100s1=0"),
            ("again", &["11"], "0s1 100s1 200s1 300s1", "100s1=0 300s1=0"),
            ("forgotten half", &["12"], "0s1 5000s2", ""),
            ("slow but in time", &["12"], "0s1 4999s2", "4999s2=0"),
            ("the second door", &["12", "34"], "0s3 100s4", "100s4=1"),
            ("the longest", &["34", "1234"], "0s1 1s2 2s3 3s4", "3s4=1"),
            ("no code, no door", &[""], "0s1 100s2", ""),
            ("other keys", &["*#A"], "0s* 1s# 2sa", "2sa=0"),
        ];
        for (name, codes, keys, want) in cases {
            assert_eq!(play(codes, keys), want, "{name}");
        }
    }

    #[test]
    fn guessing_is_not_listened_to() {
        let wrong = |n: u8| (0..n).map(|i| format!("{}s9 ", u32::from(i) * 10));
        let last: String = wrong(KEYS_WITHOUT_CODE - 2).collect();
        assert_eq!(play(&["12"], &format!("{last} 400s1 401s2")), "401s2=0");
        let over: String = wrong(KEYS_WITHOUT_CODE - 1).collect();
        assert_eq!(play(&["12"], &format!("{over} 400s1 401s2")), "");
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_than_its_room() {
        let mut keypad = Keypad::default();
        let now = Instant::now(); // an arbitrary origin; only sums of it are used
        for n in 0..100_000_u32 {
            let digit = digit(["1", "2", "3"][n as usize % 3]);
            if keypad.pressed(digit, Source::InBand, now) {
                _ = keypad.typed(digit, &[], PAUSE, now);
            }
        }
        assert_eq!(keypad.count(), 100_000);
    }

    #[test]
    fn words_are_whole_and_of_any_case() {
        let doors = [
            door("", &["sesame", "Tür auf"]),
            door("", &["", "gate seven"]),
        ];
        let cases = [
            ("Sesame!", Some(0)),
            ("please, SESAME.", Some(0)),
            ("sesames", None),
            ("tür  auf, bitte", Some(0)),
            ("TÜR AUF", Some(0)),
            ("auf Tür", None),
            ("it is gate seven", Some(1)),
            ("gate, then seven", None),
            ("", None),
            ("\u{0}\u{1b}[31m…", None),
        ];
        for (text, want) in cases {
            assert_eq!(said(text, &doors), want, "{text}");
        }
        assert_eq!(said(&"a".repeat(1 << 20), &doors), None);
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut keypad = Keypad::default();
        let now = Instant::now(); // an arbitrary origin; only sums of it are used
        let doors = [door("7777", &["sesame"])];
        keypad.pressed(digit("7"), Source::InBand, now);
        _ = keypad.typed(digit("7"), &doors, PAUSE, now);
        let shown = format!("{keypad:?} {doors:?}");
        assert!(!shown.contains('7') && !shown.contains("sesame"), "{shown}");
    }
}
