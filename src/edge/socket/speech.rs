//! The words the service speaks for us, one turn at a time.
//!
//! ```text
//!  say ─▶ [ sentence | sentence | … ] done  mark ─▶ service
//!                    ▲ interrupt ends here         echo: it has been heard
//! ```
//!
//! Always true: a turn whose first piece went out is ended by `done`, whatever
//! happens to its text; a turn is over once, by its echo, by an interruption
//! or by the next turn.

use crate::wire::media::{SPOKEN_MAX, TEXT_DONE, clean, sentences, write_mark, write_text};

/// See the [module page](self).
#[derive(Debug, Default)]
pub(super) struct Speech {
    /// Counts turns.
    turn: u32,
    state: State,
    text: String,
    /// Bytes of `text` that were sent.
    sent: usize,
    /// The service waits for more text of a turn.
    open: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Silent,
    /// Text is being sent.
    Speaking,
    /// All text and its end are sent.
    Ended,
    /// The mark is sent.
    Playing,
}

impl Speech {
    /// Begins a turn; what is left of the one before is dropped. `false` when
    /// there is nothing in `text` that can be spoken.
    pub(super) fn say(&mut self, text: &str) -> bool {
        self.text = clean(text, SPOKEN_MAX);
        self.sent = 0;
        self.turn += 1;
        self.state = match self.text.is_empty() {
            true => State::Silent,
            false => State::Speaking,
        };
        self.state == State::Speaking
    }

    /// The next message to be sent.
    pub(super) fn next(&mut self) -> Option<String> {
        match self.state {
            State::Speaking if self.sent == 0 && self.open => self.close(),
            State::Speaking => self.piece().or_else(|| {
                self.state = State::Ended;
                self.close()
            }),
            State::Ended => {
                self.state = State::Playing;
                Some(write_mark(&self.name()))
            }
            // An interrupted turn may still be open.
            State::Silent | State::Playing => self.close(),
        }
    }

    /// Whether the echo of this mark says that the present turn was heard.
    pub(super) fn echo(&mut self, name: &str) -> bool {
        let heard = self.state == State::Playing && name == self.name();
        if heard {
            self.state = State::Silent;
        }
        heard
    }

    /// The service speaks no more of it. Whether there was a turn.
    pub(super) fn interrupt(&mut self) -> bool {
        std::mem::replace(&mut self.state, State::Silent) != State::Silent
    }

    fn piece(&mut self) -> Option<String> {
        let piece = sentences(&self.text[self.sent..]).next()?;
        self.sent += piece.len();
        self.open = true;
        Some(write_text(piece))
    }

    fn close(&mut self) -> Option<String> {
        std::mem::take(&mut self.open).then(|| TEXT_DONE.to_owned())
    }

    fn name(&self) -> String {
        format!("callbox-said-{}", self.turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deltas(speech: &mut Speech) -> Vec<String> {
        std::iter::from_fn(|| speech.next())
            .map(|text| {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                match json["event"].as_str() {
                    Some("mark") => json["mark"]["name"].as_str().unwrap().to_owned(),
                    _ if json["done"] == true => "done".to_owned(),
                    _ => json["delta"].as_str().unwrap().to_owned(),
                }
            })
            .collect()
    }

    #[test]
    fn a_turn_is_sentences_an_end_and_a_mark() {
        let mut speech = Speech::default();
        assert!(speech.say("Water.\nIn the cellar!"));
        let want = ["Water. ", "In the cellar!", "done", "callbox-said-1"];
        assert_eq!(deltas(&mut speech), want);
        assert!(!speech.echo("callbox-said-2"));
        assert!(speech.echo("callbox-said-1"));
        assert!(!speech.echo("callbox-said-1"), "once");
        assert!(!speech.interrupt());
    }

    #[test]
    fn an_interrupted_turn_sends_no_more_of_its_text() {
        for sent in 0..=4 {
            let mut speech = Speech::default();
            speech.say("One. Two.");
            for _ in 0..sent {
                speech.next();
            }
            assert!(speech.interrupt());
            let was_open = matches!(sent, 1 | 2);
            let want = if was_open { vec!["done"] } else { vec![] };
            assert_eq!(deltas(&mut speech), want, "{sent}");
            assert!(!speech.echo("callbox-said-1"));
        }
    }

    #[test]
    fn the_next_turn_takes_the_place_of_the_one_before() {
        let mut speech = Speech::default();
        speech.say("One. Two.");
        speech.next();
        speech.say("Three.");
        assert_eq!(
            deltas(&mut speech),
            ["done", "Three.", "done", "callbox-said-2"]
        );
        assert!(!speech.echo("callbox-said-1"));
        assert!(speech.echo("callbox-said-2"));
    }

    #[test]
    fn what_cannot_be_spoken_is_no_turn() {
        let mut speech = Speech::default();
        for text in ["", " \n", "\u{0}\u{7}\u{1b}"] {
            assert!(!speech.say(text), "{text:?}");
            assert_eq!(speech.next(), None);
        }
    }

    #[test]
    fn a_megabyte_of_text_is_cut() {
        let mut speech = Speech::default();
        assert!(speech.say(&"words ".repeat(200_000)));
        let spoken = deltas(&mut speech);
        assert!(spoken.concat().len() < SPOKEN_MAX + 32);
        assert!(spoken.len() < 64, "{}", spoken.len());
    }
}
