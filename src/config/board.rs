//! `[board]`: which board and sound card this is, and what follows from it.
//!
//! ```text
//!  [board] model, sound ─┐
//!  Machine: what is here ┴─▶ File::settle ─▶ lines by chip, names, rate, periods, mixer
//! ```
//!
//! What a profile gives are defaults: a key that stands in the file wins.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::file::File;
use super::profile::{self, Model, boards, sounds};
use crate::edge::alsa::{self, AUTO, CardInfo, Kind, choose};
use crate::edge::card::Direction;

/// `[board]`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Board {
    /// The board. `None`: what the device tree says.
    #[serde(deserialize_with = "model", serialize_with = "as_model")]
    pub model: Option<&'static profile::Board>,
    /// The kind of sound card.
    pub sound: SoundChoice,
    /// What becomes of its mixer.
    pub mixer: Mixer,
}

/// Which kind of sound card.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum SoundChoice {
    /// Whichever is there.
    #[default]
    Auto,
    /// No kind is known: only `[sound]` counts.
    None,
    /// This one.
    Kind(&'static profile::Sound),
}

/// What becomes of a card's mixer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixer {
    /// It is set at each opening.
    #[default]
    Set,
    /// The installer sets it.
    Leave,
}

impl<'de> Deserialize<'de> for SoundChoice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            AUTO => Ok(Self::Auto),
            "none" => Ok(Self::None),
            name => profile::Sound::named(name).map(Self::Kind).ok_or_else(|| {
                let names = sounds().iter().map(|sound| sound.name);
                unknown(name, [AUTO, "none"].into_iter().chain(names))
            }),
        }
    }
}

impl Serialize for SoundChoice {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Auto => AUTO,
            Self::None => "none",
            Self::Kind(sound) => sound.name,
        })
    }
}

fn model<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'static profile::Board>, D::Error> {
    let text = String::deserialize(from)?;
    if text == AUTO {
        return Ok(None);
    }
    profile::Board::named(&text).map(Some).ok_or_else(|| {
        let names = boards().iter().map(|board| board.name);
        unknown(&text, [AUTO].into_iter().chain(names))
    })
}

fn as_model<S: Serializer>(
    board: &Option<&'static profile::Board>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_str(board.map_or(AUTO, |board| board.name))
}

fn unknown<E: serde::de::Error>(text: &str, names: impl Iterator<Item = &'static str>) -> E {
    let names: Vec<&str> = names.collect();
    E::custom(format!("{text:?} is none of {}", names.join(", ")))
}

/// What is found where the program runs.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// What the device tree calls it; a PC has none.
    pub model: Option<Model>,
    /// The sound cards that are there at the moment.
    pub cards: Vec<CardInfo>,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn here() -> Self {
        Self {
            model: crate::edge::board::model().and_then(|bytes| Model::read(&bytes)),
            cards: alsa::cards(),
        }
    }

    /// The board this is, if it is known.
    #[must_use]
    pub fn board(&self) -> Option<&'static profile::Board> {
        self.model.as_ref().and_then(profile::Board::of_model)
    }
}

/// What [`File::settle`] found out.
#[derive(Debug, Clone, Default)]
pub struct Settled {
    /// The board that is taken for this one.
    pub board: Option<&'static profile::Board>,
    /// The board that the system says this is.
    pub here: Option<&'static profile::Board>,
    /// The kind of the microphone's card.
    pub microphone: Option<&'static profile::Sound>,
    /// The kind of the speaker's card.
    pub speaker: Option<&'static profile::Sound>,
    /// The kinds that are looked for.
    pub kinds: Arc<[Kind]>,
}

impl Settled {
    /// The kinds of the cards in use.
    pub fn sounds(&self) -> impl Iterator<Item = &'static profile::Sound> + use<> {
        let second = self.speaker.filter(|s| Some(*s) != self.microphone);
        self.microphone.into_iter().chain(second)
    }

    /// What speaks against using a line of the header.
    #[must_use]
    pub fn objection(&self, gpio: u8) -> Option<profile::Objection<'static>> {
        let board = self.board?;
        let mut by_card = self
            .sounds()
            .map(|sound| board.objection(gpio, Some(sound)));
        let taken = by_card.find(|o| matches!(o, Some(profile::Objection::Taken(_))));
        taken.flatten().or_else(|| board.objection(gpio, None))
    }
}

impl File {
    /// Fills in what the board and the sound card give, where the file says
    /// nothing, and finds the header's lines whatever their kernel calls them.
    pub fn settle(&mut self, machine: &Machine) {
        let board = self.board.model.or_else(|| machine.board());
        let kinds: Arc<[Kind]> = match self.board.sound {
            SoundChoice::Auto => sounds().iter().map(|sound| sound.kind.clone()).collect(),
            SoundChoice::Kind(sound) => [sound.kind.clone()].into(),
            SoundChoice::None => Arc::default(),
        };
        let kind = |name: &Option<String>, direction| match self.board.sound {
            SoundChoice::None => None,
            SoundChoice::Kind(sound) => Some(sound),
            SoundChoice::Auto => {
                let card = match name {
                    Some(name) => machine.cards.iter().find(|card| card.is_in(name)),
                    None => choose(&machine.cards, &kinds, direction).ok(),
                }?;
                sounds().iter().find(|sound| sound.kind.is(card))
            }
        };
        let microphone = kind(&self.sound.microphone, Direction::Microphone);
        let speaker = kind(&self.sound.speaker, Direction::Speaker);
        // A PC without a known card has a "default" that works; a board has
        // one too, that is nobody's: it waits for its card.
        let name = |kind: Option<&profile::Sound>| match (kind, board, self.board.sound) {
            (_, _, SoundChoice::None) | (None, None, _) => "default",
            _ => AUTO,
        };
        let (m, s) = (name(microphone), name(speaker));
        let sound = &mut self.sound;
        sound.microphone.get_or_insert_with(|| m.to_owned());
        sound.speaker.get_or_insert_with(|| s.to_owned());
        if let Some(kind) = speaker {
            sound.rate.get_or_insert(kind.rate);
            sound.period.get_or_insert(kind.period);
            sound.periods.get_or_insert(kind.periods);
            sound.speaker_channels.get_or_insert(kind.speaker_channels);
        }
        if let Some(kind) = microphone {
            sound
                .microphone_channels
                .get_or_insert(kind.microphone_channels);
            sound
                .microphone_channel
                .get_or_insert(kind.microphone_channel);
        }
        if let Some(board) = board {
            let buttons = self.buttons.iter_mut().filter_map(|b| b.line.as_mut());
            let lamps = self.lamps.iter_mut().map(|lamp| &mut lamp.line);
            let doors = self.doors.iter_mut().map(|door| &mut door.line);
            for line in buttons.chain(lamps).chain(doors) {
                *line = board.place(line);
            }
        }
        self.settled = Settled {
            board,
            here: machine.board(),
            microphone,
            speaker,
            kinds,
        };
    }
}
