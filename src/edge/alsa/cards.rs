//! Which card is meant when the configuration says `auto`: the one of a known
//! kind, looked for at each opening, since USB cards come late, go away, and
//! come back under another name.
//!
//! ```text
//!  cards that are there ─▶ of a known kind ─▶ with this side ─▶ both sides first ─▶ exactly one
//! ```
//!
//! Not for the audio thread: everything here opens files and allocates.

use std::sync::Arc;

use alsa::card;
use alsa::ctl::{Ctl, DeviceIter};
use alsa::{Direction as AlsaDirection, Output};

use super::list::card_id;
use super::mixer::Setting;
use super::pcm::Fault;
use crate::edge::card::Direction;

/// The name in the configuration that leaves the choice to us.
pub const AUTO: &str = "auto";

/// A kind of sound card, by what ALSA tells of it. Empty lists say nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kind {
    /// What people call it.
    pub name: String,
    /// How the card's id begins, which is what stands behind `CARD=`: the
    /// kernel puts `_1` behind it when there are two.
    pub ids: Vec<String>,
    /// What its driver is called.
    pub drivers: Vec<String>,
    /// How its components begin: for USB, maker and product.
    pub components: Vec<String>,
    /// What is set in its mixer.
    pub settings: Vec<Setting>,
}

/// A sound card that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardInfo {
    /// Its place among the cards. Not for configuration: it changes.
    pub index: i32,
    /// Its id, which stays.
    pub id: String,
    /// Its driver.
    pub driver: String,
    /// What its maker calls it.
    pub title: String,
    /// What it is made of, as ALSA writes it.
    pub components: String,
    /// Its first device that takes sound in.
    pub microphone: Option<u32>,
    /// Its first device that plays.
    pub speaker: Option<u32>,
}

impl Kind {
    /// Whether a card is of this kind.
    #[must_use]
    pub fn is(&self, card: &CardInfo) -> bool {
        let begins = |all: &[String], text: &str| {
            all.is_empty() || all.iter().any(|begin| text.starts_with(begin))
        };
        let id = |id: &String| {
            let rest = card.id.strip_prefix(id.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        (self.ids.is_empty() || self.ids.iter().any(id))
            && (self.drivers.is_empty() || self.drivers.contains(&card.driver))
            && begins(&self.components, &card.components)
    }

    /// The first of `kinds` that fits.
    #[must_use]
    pub fn of<'a>(kinds: &'a [Self], card: &CardInfo) -> Option<&'a Self> {
        kinds.iter().find(|kind| kind.is(card))
    }
}

impl CardInfo {
    /// The device of one side.
    #[must_use]
    pub fn side(&self, direction: Direction) -> Option<u32> {
        match direction {
            Direction::Microphone => self.microphone,
            Direction::Speaker => self.speaker,
        }
    }

    /// The name to open one side by, that stays when cards come and go.
    #[must_use]
    pub fn address(&self, direction: Direction) -> Option<String> {
        let device = self.side(direction)?;
        Some(format!("plughw:CARD={},DEV={device}", self.id))
    }

    /// Whether `name` is one of this card's.
    #[must_use]
    pub fn is_in(&self, name: &str) -> bool {
        let number = format!("card{}", self.index);
        card_id(name).is_some_and(|id| id == self.id || id == number)
    }

    /// The name of its mixer.
    #[must_use]
    pub fn control(&self) -> String {
        format!("hw:CARD={}", self.id)
    }
}

/// The cards that are there.
#[must_use]
pub fn cards() -> Vec<CardInfo> {
    let _words = Output::local_error_handler();
    card::Iter::new()
        .filter_map(Result::ok)
        .filter_map(|card| info(card).ok())
        .collect()
}

fn info(card: card::Card) -> alsa::Result<CardInfo> {
    let ctl = Ctl::from_card(&card, true)?;
    let info = ctl.card_info()?;
    let first = |direction: AlsaDirection| {
        let mut devices = DeviceIter::new(&ctl).filter_map(|number| u32::try_from(number).ok());
        devices.find(|number| ctl.pcm_info(*number, 0, direction).is_ok())
    };
    Ok(CardInfo {
        index: card.get_index(),
        id: info.get_id()?.to_owned(),
        driver: info.get_driver()?.to_owned(),
        title: info.get_name()?.to_owned(),
        components: info.get_components()?.to_owned(),
        microphone: first(AlsaDirection::Capture),
        speaker: first(AlsaDirection::Playback),
    })
}

/// Which card `auto` means for one side.
///
/// # Errors
/// None fits, or more than one does.
pub fn choose<'a>(
    cards: &'a [CardInfo],
    kinds: &[Kind],
    direction: Direction,
) -> Result<&'a CardInfo, Fault> {
    let fitting =
        |card: &&CardInfo| card.side(direction).is_some() && Kind::of(kinds, card).is_some();
    let mut found: Vec<&CardInfo> = cards.iter().filter(fitting).collect();
    // A camera has a microphone too: the card that also plays is meant.
    let both = |card: &&CardInfo| card.microphone.is_some() && card.speaker.is_some();
    if found.iter().any(both) {
        found.retain(both);
    }
    let names = |cards: &mut dyn Iterator<Item = &CardInfo>| {
        cards.filter_map(|card| card.address(direction)).collect()
    };
    match found[..] {
        [card] => Ok(card),
        [] => Err(Fault::NoneFits {
            direction,
            there: names(&mut cards.iter()),
        }),
        _ => Err(Fault::Several {
            direction,
            fit: names(&mut found.into_iter()),
        }),
    }
}

/// The name to open for `name`, which may be `auto`.
pub(super) fn resolve(
    name: &str,
    kinds: &Arc<[Kind]>,
    direction: Direction,
) -> Result<String, Fault> {
    if name != AUTO {
        return Ok(name.to_owned());
    }
    let cards = cards();
    let card = choose(&cards, kinds, direction)?;
    // `choose` takes only cards that have this side.
    Ok(card.address(direction).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(id: &str, driver: &str, components: &str, sides: &str) -> CardInfo {
        CardInfo {
            id: id.into(),
            driver: driver.into(),
            components: components.into(),
            microphone: sides.contains('m').then_some(0),
            speaker: sides.contains('s').then_some(0),
            ..CardInfo::default()
        }
    }

    fn kinds() -> Vec<Kind> {
        let texts = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect();
        let kind = |name: &str, ids: &[&str], drivers: &[&str], components: &[&str]| Kind {
            name: name.into(),
            ids: texts(ids),
            drivers: texts(drivers),
            components: texts(components),
            settings: Vec::new(),
        };
        vec![
            kind("hat", &["wm8960soundcard"], &[], &[]),
            kind("stick", &[], &["USB-Audio"], &["USB0d8c:"]),
            kind("usb", &[], &["USB-Audio"], &[]),
        ]
    }

    #[test]
    fn a_card_is_of_the_first_kind_that_fits() {
        let cases = [
            (card("wm8960soundcard", "wm8960-soundcar", "", "ms"), "hat"),
            (card("wm8960soundcard_1", "simple-card", "", "ms"), "hat"),
            (card("Device", "USB-Audio", "USB0d8c:0014", "ms"), "stick"),
            (card("USB", "USB-Audio", "USB0b0e:0412", "ms"), "usb"),
            (card("Headphones", "bcm2835_headpho", "", "s"), ""),
            (card("vc4hdmi", "vc4-hdmi", "", "s"), ""),
            (card("wm8960soundcards", "x", "", "ms"), ""),
        ];
        let kinds = kinds();
        for (card, want) in cases {
            let kind = Kind::of(&kinds, &card).map_or("", |kind| kind.name.as_str());
            assert_eq!(kind, want, "{card:?}");
        }
    }

    #[test]
    fn one_card_that_fits_is_chosen_and_two_are_asked_about() {
        let hdmi = || card("vc4hdmi", "vc4-hdmi", "", "s");
        let phone = || card("USB", "USB-Audio", "USB0b0e:0412", "ms");
        let camera = || card("C270", "USB-Audio", "USB046d:0825", "m");
        let speaker = || card("Pebble", "USB-Audio", "USB041e:0001", "s");
        let hat = || card("wm8960soundcard", "simple-card", "", "ms");
        let cases = [
            (vec![], "none none"),
            (vec![hdmi()], "none none"),
            (vec![hdmi(), phone()], "USB USB"),
            (vec![camera(), hdmi(), phone()], "USB USB"),
            (vec![camera(), speaker(), hdmi()], "C270 Pebble"),
            (vec![camera(), hdmi()], "C270 none"),
            (vec![phone(), hat()], "several several"),
        ];
        for (cards, want) in cases {
            let choice = |direction| match choose(&cards, &kinds(), direction) {
                Ok(card) => card.id.clone(),
                Err(Fault::NoneFits { .. }) => "none".into(),
                Err(Fault::Several { .. }) => "several".into(),
                Err(other) => panic!("{other}"),
            };
            let got = format!(
                "{} {}",
                choice(Direction::Microphone),
                choice(Direction::Speaker)
            );
            assert_eq!(got, want, "{cards:?}");
        }
    }

    #[test]
    fn the_messages_say_what_to_write() {
        let phones = [
            card("USB", "USB-Audio", "", "ms"),
            card("USB_1", "USB-Audio", "", "ms"),
        ];
        let said = choose(&phones, &kinds(), Direction::Speaker).unwrap_err();
        assert_eq!(
            said.to_string(),
            "more than one sound card would do for the speaker: plughw:CARD=USB,DEV=0, \
             plughw:CARD=USB_1,DEV=0. Write the one that is meant in [sound] speaker"
        );
        let hdmi = [card("vc4hdmi", "vc4-hdmi", "", "s")];
        let said = choose(&hdmi, &kinds(), Direction::Microphone).unwrap_err();
        assert!(said.to_string().contains("no card is there"), "{said}");
        let said = choose(&hdmi, &kinds(), Direction::Speaker).unwrap_err();
        assert!(said.to_string().contains("CARD=vc4hdmi"), "{said}");
    }
}
