//! Speech-to-text by script: what the callee says becomes transcripts, a few
//! words at a time and then all of it.
//!
//! `take` whenever something may be due. There is no clock: the caller says
//! what time it is.
//!
//! Units: times are from the moment the callee can first be heard; speaking
//! takes [`LETTERS`] characters a second.
//!
//! Always true: an utterance is one turn with an id of its own, at most
//! [`PARTIALS`] partial transcripts, each longer than the one before, and one
//! final one.

use std::collections::BTreeMap;
use std::time::Duration;

/// Characters that are spoken in a second.
pub(super) const LETTERS: u32 = 14;
/// Most partial transcripts of one utterance.
const PARTIALS: usize = 8;

/// Something a callee says, for speech-to-text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utterance {
    /// So long after the callee can be heard.
    pub at: Duration,
    /// The words.
    pub text: String,
}

/// How long it takes to say so many characters.
pub(super) fn takes(characters: usize) -> Duration {
    Duration::from_secs(characters as u64) / LETTERS
}

/// A transcript that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) is_final: bool,
    pub(super) turn: String,
}

/// The utterances of one call, as it goes on.
#[derive(Debug, Default)]
pub(super) struct Recognizer {
    turns: u32,
    /// By when they are due, then by their order.
    due: BTreeMap<(Duration, u64), Heard>,
}

impl Recognizer {
    pub(super) fn new(script: &[Utterance]) -> Self {
        let mut recognizer = Self::default();
        for utterance in script {
            recognizer.say(utterance);
        }
        recognizer
    }

    /// The callee says something, perhaps not in the script.
    pub(super) fn say(&mut self, utterance: &Utterance) {
        self.turns += 1;
        let words: Vec<_> = utterance.text.split_whitespace().collect();
        let step = words.len().div_ceil(PARTIALS + 1).max(1);
        let ends = (1..=words.len()).filter(|count| count % step == 0 || *count == words.len());
        for count in ends {
            let text = words[..count].join(" ");
            let at = utterance.at + takes(text.chars().count());
            let heard = Heard {
                text,
                is_final: count == words.len(),
                turn: format!("turn-{}", self.turns),
            };
            let order = (u64::from(self.turns) << 32) + count as u64;
            self.due.insert((at, order), heard);
        }
    }

    /// When the next transcript is due.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next transcript that is due.
    pub(super) fn take(&mut self, now: Duration) -> Option<Heard> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(at: u64, text: &str) -> Vec<Utterance> {
        vec![Utterance {
            at: Duration::from_secs(at),
            text: text.into(),
        }]
    }

    fn all(recognizer: &mut Recognizer) -> Vec<(u128, String, bool)> {
        let mut heard = Vec::new();
        while let Some(at) = recognizer.next_at() {
            let next = recognizer.take(at).unwrap();
            heard.push((at.as_millis(), next.text, next.is_final));
        }
        heard
    }

    #[test]
    fn words_come_as_they_are_said_and_then_for_good() {
        let mut recognizer = Recognizer::new(&script(1, "Who is  there?"));
        assert_eq!(recognizer.take(Duration::from_secs(1)), None);
        let want = [
            (1214, "Who".to_owned(), false),
            (1428, "Who is".to_owned(), false),
            (1928, "Who is there?".to_owned(), true),
        ];
        assert_eq!(all(&mut recognizer), want);
    }

    #[test]
    fn each_utterance_is_a_turn_and_a_long_one_has_few_parts() {
        let mut recognizer = Recognizer::new(&script(0, "one"));
        recognizer.say(&script(9, &"word ".repeat(1000))[0]);
        assert_eq!(recognizer.take(Duration::MAX).unwrap().turn, "turn-1");
        let mut parts = Vec::new();
        while let Some(heard) = recognizer.take(Duration::MAX) {
            assert_eq!(heard.turn, "turn-2");
            parts.push(heard);
        }
        assert!((2..=PARTIALS + 1).contains(&parts.len()), "{}", parts.len());
        assert_eq!(parts.iter().filter(|part| part.is_final).count(), 1);
        assert!(parts.last().unwrap().is_final);
        assert!(parts.windows(2).all(|p| p[0].text.len() < p[1].text.len()));
    }

    #[test]
    fn nothing_said_is_nothing_heard() {
        assert_eq!(Recognizer::new(&script(0, " \n ")).next_at(), None);
    }
}
