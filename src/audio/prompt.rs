//! What can be played to the visitor or to the callee, and the installer's own
//! sounds in its place.
//!
//! ```text
//!  pressed.wav ─▶ edge (reads, resamples) ─▶ Prompts ─▶ tone::Player
//! ```
//!
//! A [`Cue`] is the name of a sound. Each has a pattern of its own in
//! [`tone`](super::tone); a recording of the same name is played instead, as it
//! is: its loudness is the installer's choice. What would be repeated until
//! something else happens is repeated with [`PAUSE_MS`] between; all else is
//! played once.
//!
//! Units: samples of 16 bit at [`BUS_RATE`].
//!
//! Always true: a recording is at most [`PROMPT_MAX`] samples long.
//!
//! Real time: [`of`](Prompts::of) only; the rest is for the start of the
//! process.

use std::fmt;
use std::sync::Arc;

use super::BUS_RATE;
use super::tone::Tone;

/// Longest recording, in samples: 15 s. What is beyond is cut off.
pub const PROMPT_MAX: usize = 15 * BUS_RATE as usize;
/// Pause before a recording is repeated.
pub const PAUSE_MS: u32 = 2000;

/// What the callee can be played in place of the microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarPrompt {
    /// Asks for a key, until it is pressed.
    Confirm,
    /// The station rings: whoever calls in hears it until it answers.
    RingBack,
    /// The door was opened. Mixed over the visitor's speech.
    DoorOpened,
}

impl FarPrompt {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Confirm, Self::RingBack, Self::DoorOpened];

    /// The name of its recording, without the ending of the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirm => "far-confirm",
            Self::RingBack => "far-ring-back",
            Self::DoorOpened => "far-door-opened",
        }
    }
}

/// The name of a sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// For the visitor.
    Tone(Tone),
    /// For the callee.
    Far(FarPrompt),
}

impl Cue {
    /// All that a recording may replace.
    pub fn all() -> impl Iterator<Item = Self> {
        let tones = Tone::ALL.into_iter().map(Self::Tone);
        tones.chain(FarPrompt::ALL.into_iter().map(Self::Far))
    }

    /// The name of its recording, without the ending of the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tone(tone) => tone.name(),
            Self::Far(prompt) => prompt.name(),
        }
    }
}

impl From<Tone> for Cue {
    fn from(tone: Tone) -> Self {
        Self::Tone(tone)
    }
}

impl From<FarPrompt> for Cue {
    fn from(prompt: FarPrompt) -> Self {
        Self::Far(prompt)
    }
}

/// The installer's recordings. A clone shares their samples.
#[derive(Clone, PartialEq, Default)]
pub struct Prompts {
    /// A dozen at most: looking through them is quicker than a map.
    recordings: Vec<(Cue, Arc<[i16]>)>,
}

impl Prompts {
    /// Plays `samples` for `cue` from now on; the second recording of a cue
    /// takes the place of the first, an empty one of none. Allocates.
    pub fn set(&mut self, cue: impl Into<Cue>, samples: &[i16]) {
        let cue = cue.into();
        self.recordings.retain(|(other, _)| *other != cue);
        let samples = &samples[..samples.len().min(PROMPT_MAX)];
        if !samples.is_empty() {
            self.recordings.push((cue, samples.into()));
        }
    }

    /// The recording of `cue`.
    #[must_use]
    pub fn of(&self, cue: Cue) -> Option<&Arc<[i16]>> {
        let recording = self.recordings.iter().find(|(other, _)| *other == cue);
        recording.map(|(_, samples)| samples)
    }
}

/// Names and lengths: nobody wants to read samples.
impl fmt::Debug for Prompts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = self.recordings.iter();
        f.debug_map()
            .entries(lengths.map(|(cue, samples)| (cue.name(), samples.len())))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files_and_each_ones_own() {
        let names: Vec<_> = Cue::all().map(Cue::name).collect();
        for (n, name) in names.iter().enumerate() {
            assert!(!names[..n].contains(name), "{name} twice");
            let plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(name.chars().all(plain), "{name}");
        }
        assert!(!names.contains(&Tone::Silence.name()));
    }

    #[test]
    fn the_latest_recording_counts_and_an_endless_one_is_cut() {
        let mut prompts = Prompts::default();
        prompts.set(Tone::Pressed, &[1, 2]);
        prompts.set(FarPrompt::Confirm, &vec![3; PROMPT_MAX + 1]);
        prompts.set(Tone::Pressed, &[4]);
        let of = |cue| prompts.of(cue).map(|samples| samples.len());
        assert_eq!(of(Tone::Pressed.into()), Some(1));
        assert_eq!(of(FarPrompt::Confirm.into()), Some(PROMPT_MAX));
        assert_eq!(of(Tone::Busy.into()), None);
        assert_eq!(
            format!("{prompts:?}"),
            r#"{"far-confirm": 240000, "pressed": 1}"#
        );
        prompts.set(Tone::Pressed, &[]);
        assert_eq!(prompts.of(Tone::Pressed.into()), None);
    }
}
