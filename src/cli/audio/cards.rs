//! The cards a command works on: those of the configuration, those named in its
//! place, or one made of memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::audio::MicChannel;
use crate::audio::engine::Format;
use crate::cli::{ConfigPath, Failure};
use crate::config::profile::sounds;
use crate::config::{Machine, load};
use crate::edge::alsa::{self, AUTO, Device, Fault, Side, choose};
use crate::edge::card::{Direction, Event, Running, Sound};
use crate::edge::realtime::Wake;
use crate::edge::sound_test;
use crate::edge::virtual_card::{self, Broken};

/// Which cards.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Another microphone than the configured one, as `callbox audio list` names it
    #[arg(long, value_name = "NAME")]
    microphone: Option<String>,
    /// Another speaker than the configured one
    #[arg(long, value_name = "NAME")]
    speaker: Option<String>,
    /// A card made of memory in place of a real one, to see what this looks like
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "works")]
    demo: Option<Demo>,
    #[command(flatten)]
    at: ConfigPath,
}

/// How the card of memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Demo {
    /// All is well
    Works,
    /// The microphone does not hear the speaker
    Deaf,
    /// The microphone gives zeros
    Silent,
    /// The microphone gives a square wave at full scale
    Square,
}

/// Which sides of the cards a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sides {
    Both,
    Microphone,
    Speaker,
}

/// The cards, found but not opened.
pub(super) struct Cards {
    config: alsa::Config,
    demo: Option<Demo>,
    /// Which channel of the microphone is heard.
    pub(super) channel: MicChannel,
    /// Where a report of them is kept, if the device has a place for it.
    pub(super) report: Option<PathBuf>,
    /// What is said of them: a line for each side that is there.
    pub(super) lines: Vec<String>,
    /// What advice calls them.
    pub(super) names: sound_test::Cards,
}

/// What both sides of the card of memory are.
const DEMO: Format = Format {
    rate: 48_000,
    channels: 1,
};
/// How often it is looked whether a card is done.
const LOOK: Duration = Duration::from_millis(20);

impl Which {
    /// Finds the cards and tries them.
    pub(super) fn find(&self, sides: Sides) -> Result<Cards, Failure> {
        if let Some(how) = self.demo {
            return Ok(Cards::made(how));
        }
        let mut cards = self.configured()?;
        let config = &mut cards.config;
        for (name, side) in [
            (&self.microphone, &mut config.microphone),
            (&self.speaker, &mut config.speaker),
        ] {
            if let Some(name) = name {
                // Whatever that one does best.
                *side = Some(Side {
                    name: name.clone(),
                    format: None,
                });
                cards.report = None;
            }
        }
        match sides {
            Sides::Both => {}
            Sides::Microphone => config.speaker = None,
            Sides::Speaker => config.microphone = None,
        }
        cards.check()?;
        Ok(cards)
    }

    /// What the configuration names; before there is one, what is found.
    fn configured(&self) -> Result<Cards, Failure> {
        let machine = Machine::here();
        let path = &self.at.config;
        let named = self.microphone.is_some() || self.speaker.is_some();
        let default = path.as_path() == std::path::Path::new(crate::config::DEFAULT_PATH);
        if default && !path.exists() {
            let kinds: Arc<[_]> = sounds().iter().map(|sound| sound.kind.clone()).collect();
            let side = |direction| {
                let known = choose(&machine.cards, &kinds, direction).is_ok();
                Some(Side {
                    name: if known { AUTO } else { "default" }.to_owned(),
                    format: None,
                })
            };
            let config = alsa::Config {
                microphone: side(Direction::Microphone),
                speaker: side(Direction::Speaker),
                kinds,
                ..alsa::Config::default()
            };
            if !named {
                eprintln!(
                    "There is no {}: the cards that are found are taken.",
                    path.display()
                );
            }
            return Ok(Cards::new(config));
        }
        let mut file = load(path)?;
        file.settle(&machine);
        let mut cards = Cards::new(file.cards());
        cards.channel = file.sound.microphone_channel.unwrap_or_default();
        cards.report = Some(file.sound_test_path());
        Ok(cards)
    }
}

impl Cards {
    fn new(config: alsa::Config) -> Self {
        Self {
            names: sound_test::Cards {
                set_mixer: config.set_mixer,
                ..sound_test::Cards::default()
            },
            config,
            demo: None,
            channel: MicChannel::default(),
            report: None,
            lines: Vec::new(),
        }
    }

    fn made(how: Demo) -> Self {
        let mut cards = Self::new(alsa::Config::default());
        cards.demo = Some(how);
        cards.lines = vec!["a card made of memory; nothing is heard".to_owned()];
        cards
    }

    /// Opens each side once, so that what is wrong is said before anything
    /// begins.
    fn check(&mut self) -> Result<(), Failure> {
        let mut faults = Vec::new();
        for (direction, name, fit) in alsa::check(&self.config) {
            let id = alsa::card_id(&name);
            match direction {
                Direction::Microphone => self.names.microphone = id,
                Direction::Speaker => self.names.speaker = id,
            }
            match fit {
                Ok(fit) => self.lines.push(format!("{direction} {name}: {fit}")),
                Err(fault) => faults.push(explain(&fault, &name, direction, &alsa::list())),
            }
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults.join("\ncallbox: ").into()),
        }
    }

    /// Opens the cards and lets `make` say what is played and heard, in the
    /// formats of microphone and speaker.
    pub(super) fn start<S: Sound>(
        &self,
        make: impl FnOnce(Format, Format) -> S,
    ) -> Result<Running, Failure> {
        let wake = Arc::new(Wake::new()?);
        if let Some(how) = self.demo {
            let config = virtual_card::Config {
                microphone: DEMO,
                speaker: DEMO,
                ..virtual_card::Config::default()
            };
            let (running, remote) = virtual_card::start(config, make(DEMO, DEMO), wake)?;
            remote.breaks(match how {
                Demo::Works => None,
                Demo::Deaf => Some(Broken::Deaf),
                Demo::Silent => Some(Broken::Stuck(0)),
                Demo::Square => Some(Broken::Square),
            });
            return Ok(running);
        }
        let card = alsa::open(&self.config);
        let sound = make(card.microphone(), card.speaker());
        Ok(card.start(sound, wake, Arc::default())?)
    }
}

/// Waits until `done`, at most for `limit` and as long as the cards are there.
pub(super) fn wait(
    running: &mut Running,
    limit: Duration,
    mut done: impl FnMut() -> bool,
) -> Result<(), Failure> {
    let until = Instant::now() + limit;
    while !done() {
        while let Ok(event) = running.events.try_recv() {
            if matches!(event, Event::Lost { .. } | Event::Unfit { .. }) {
                return Err(event.to_string().into());
            }
        }
        if Instant::now() > until {
            return Err(
                "the sound card moves no sound: unplug it and plug it in again, or see \
                        `dmesg`"
                    .into(),
            );
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// A fault in words for whoever stands before the cards.
fn explain(fault: &Fault, name: &str, direction: Direction, devices: &[Device]) -> String {
    let said = format!("{direction}: {fault}");
    match fault {
        Fault::Busy { by: Some(by), .. } if by.starts_with("callbox ") => format!(
            "{direction}: the running callbox has the sound card {name:?}; stop it first \
             (systemctl stop callbox), or let it test itself at night ([sound] self_test)"
        ),
        Fault::Missing { .. } => one_sided(name, direction, devices).unwrap_or(said),
        _ => said,
    }
}

/// Whether a card is there but has only the other side.
fn one_sided(name: &str, direction: Direction, devices: &[Device]) -> Option<String> {
    let id = alsa::card_id(name)?;
    let side = |device: &&Device| match direction {
        Direction::Microphone => device.microphone.is_some(),
        Direction::Speaker => device.speaker.is_some(),
    };
    let of_card = |device: &&Device| alsa::card_id(&device.name).is_some_and(|other| other == id);
    let mut card = devices.iter().filter(of_card).peekable();
    card.peek()?;
    let what = match direction {
        Direction::Microphone => "only plays: it has no microphone",
        Direction::Speaker => "only takes sound in: it has no speaker",
    };
    if let Some(other) = card.find(side) {
        let other = &other.name;
        return Some(format!(
            "{direction}: the device {name:?} {what}; write {other:?} in [sound] {direction}"
        ));
    }
    let others: Vec<&str> = devices
        .iter()
        .filter(side)
        .map(|d| d.name.as_str())
        .collect();
    let instead = match others.is_empty() {
        true => "plug in one that has".to_owned(),
        false => format!("in [sound] {direction} write {}", others.join(" or ")),
    };
    Some(format!(
        "{direction}: the sound card {name:?} {what}; {instead}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::alsa::Rates;

    fn device(name: &str, sides: &str) -> Device {
        let rates = || Some(Rates::Known(vec![48_000]));
        Device {
            name: format!("plughw:CARD={name}"),
            title: String::new(),
            microphone: sides.contains('m').then(rates).flatten(),
            speaker: sides.contains('s').then(rates).flatten(),
        }
    }

    #[test]
    fn a_card_with_one_side_says_which_it_lacks_and_what_has_it() {
        let devices = [
            device("C270,DEV=0", "m"),
            device("vc4hdmi,DEV=0", "s"),
            device("vc4hdmi,DEV=1", ""),
        ];
        let missing = Fault::Missing {
            name: String::new(),
            there: Vec::new(),
        };
        let said = |name: &str, direction| explain(&missing, name, direction, &devices);
        assert_eq!(
            said("plughw:CARD=C270,DEV=0", Direction::Speaker),
            "speaker: the sound card \"plughw:CARD=C270,DEV=0\" only takes sound in: it has no \
             speaker; in [sound] speaker write plughw:CARD=vc4hdmi,DEV=0"
        );
        assert_eq!(
            said("plughw:CARD=vc4hdmi,DEV=0", Direction::Microphone),
            "microphone: the sound card \"plughw:CARD=vc4hdmi,DEV=0\" only plays: it has no \
             microphone; in [sound] microphone write plughw:CARD=C270,DEV=0"
        );
        assert!(
            said("plughw:CARD=vc4hdmi,DEV=1", Direction::Speaker)
                .ends_with("write \"plughw:CARD=vc4hdmi,DEV=0\" in [sound] speaker")
        );
        let other = said("plughw:CARD=USB,DEV=0", Direction::Speaker);
        assert!(other.contains("no card is there at all"), "{other}");
    }

    #[test]
    fn a_card_that_callbox_has_itself_is_told_from_others() {
        let busy = |by: &str| Fault::Busy {
            name: "hw:Device".to_owned(),
            by: Some(by.to_owned()),
        };
        let ours = explain(
            &busy("callbox (process 4)"),
            "hw:Device",
            Direction::Speaker,
            &[],
        );
        assert!(ours.contains("systemctl stop callbox"), "{ours}");
        let other = explain(
            &busy("aplay (process 4)"),
            "hw:Device",
            Direction::Speaker,
            &[],
        );
        assert!(other.contains("in use by aplay (process 4)"), "{other}");
    }
}
