//! The mixer of a card: what stands in it, and what is set when the card is
//! opened, so that none is muted because somebody else left it so.
//!
//! ```text
//!  Setting, Setting, … ─▶ controls of these names ─▶ look ─▶ Reading …   (doctor)
//!                                              └──▶ set  ─▶ what changed (at each opening)
//! ```
//!
//! Controls are those of ALSA's simple mixer, under the names that `amixer
//! scontrols` shows. Only what a kind of card asks for is touched, and written
//! only where it differs.
//!
//! Units: `Percent` is of the control's own steps, as amixer counts; `Db` is
//! what the card says a step is.
//!
//! Not for the audio thread: everything here opens files and allocates.

use std::fmt;
use std::str::FromStr;

use alsa::mixer::{MilliBel, Mixer, Selem, SelemChannelId};
use alsa::{Output, Round};

use crate::edge::card::Direction;

/// Most controls of a card that are looked at; the largest codecs have some 100.
const CONTROLS_MAX: usize = 512;

/// The channels a control may have.
const CHANNELS: [SelemChannelId; 8] = [
    SelemChannelId::FrontLeft,
    SelemChannelId::FrontRight,
    SelemChannelId::RearLeft,
    SelemChannelId::RearRight,
    SelemChannelId::FrontCenter,
    SelemChannelId::Woofer,
    SelemChannelId::SideLeft,
    SelemChannelId::SideRight,
];

/// What is to stand in a mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The controls, by the names of the simple mixer; each is set where it is there.
    pub controls: Vec<String>,
    /// Which way: a control may have a side for each.
    pub direction: Direction,
    /// Its switch. `None`: it is left as it is.
    pub on: Option<bool>,
    /// Its level. `None`: it is left as it is.
    pub level: Option<SettingLevel>,
    /// The control does not say which way it is, as routes and gains of codecs:
    /// the simple mixer shows it among those of playback. Without this, such a
    /// control is none of the microphone's.
    pub common: bool,
    /// Nothing is wrong when the card has none of the controls.
    pub optional: bool,
}

/// How far a control is opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingLevel {
    /// Of the steps the control has, 0 to 100.
    Percent(u8),
    /// As the card counts, −100 to +50.
    Db(f32),
}

impl FromStr for SettingLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no level; write \"80%\" or \"-6 dB\"");
        let text = text.trim();
        if let Some(number) = text.strip_suffix('%') {
            let percent = number.trim_end().parse().ok();
            return percent
                .filter(|p| *p <= 100)
                .map(Self::Percent)
                .ok_or_else(wrong);
        }
        let number = text.strip_suffix("dB").ok_or_else(wrong)?;
        let db: Option<f32> = number.trim_end().parse().ok();
        db.filter(|db| (-100.0..=50.0).contains(db))
            .map(Self::Db)
            .ok_or_else(wrong)
    }
}

impl fmt::Display for SettingLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Db(db) => write!(f, "{db} dB"),
        }
    }
}

/// How one control stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its name.
    pub control: String,
    /// Which way.
    pub direction: Direction,
    /// What is not as it is to be, in words; `None`: all is.
    pub differs: Option<String>,
    /// It is off, or all the way down, and should be open.
    pub muted: bool,
    /// The card has no such control, and should.
    pub missing: bool,
}

/// Looks at a card's mixer; `card` is as in `hw:CARD=Device`.
///
/// # Errors
/// The mixer cannot be opened.
pub fn look(card: &str, settings: &[Setting]) -> Result<Vec<Reading>, String> {
    each(card, settings, |control, setting| {
        Ok(Side::of(control, setting).differs(setting))
    })
}

/// Sets a card's mixer where it differs, and says what it changed; what cannot
/// be set is left, and said too.
///
/// # Errors
/// The mixer cannot be opened.
pub(super) fn set(card: &str, settings: &[Setting]) -> Result<Vec<String>, String> {
    let readings = each(card, settings, |control, setting| {
        let side = Side::of(control, setting);
        match side.differs(setting) {
            Some((was, muted)) => side.set(setting).map(|()| Some((was, muted))),
            None => Ok(None),
        }
    })?;
    let told = |r: Reading| Some(format!("{} {}: {}", r.direction, r.control, r.differs?));
    Ok(readings.into_iter().filter_map(told).collect())
}

/// What differs, in words, and whether that mutes the card.
type Differs = Option<(String, bool)>;

fn each(
    card: &str,
    settings: &[Setting],
    look: impl Fn(&Selem<'_>, &Setting) -> alsa::Result<Differs>,
) -> Result<Vec<Reading>, String> {
    let _words = Output::local_error_handler();
    let mixer = Mixer::new(card, true).map_err(why)?;
    let controls = mixer.iter().take(CONTROLS_MAX).filter_map(Selem::new);
    let controls: Vec<(String, Selem<'_>)> = controls
        .filter_map(|control| {
            let id = control.get_id();
            Some((id.get_name().ok()?.to_owned(), control))
        })
        .collect();
    let mut readings = Vec::new();
    for setting in settings {
        let direction = setting.direction;
        let mut found = false;
        let wanted = controls
            .iter()
            .filter(|(name, _)| setting.controls.contains(name));
        for (name, control) in wanted {
            if !Side::of(control, setting).has(setting) {
                continue;
            }
            found = true;
            let (differs, muted) = match look(control, setting) {
                Ok(Some((what, muted))) => (Some(what), muted),
                Ok(None) => (None, false),
                Err(error) => (Some(format!("it refuses: {}", why(error))), false),
            };
            readings.push(Reading {
                control: name.clone(),
                direction,
                differs,
                muted,
                missing: false,
            });
        }
        if !found && !setting.optional {
            readings.push(Reading {
                control: setting.controls.join(", "),
                direction,
                differs: Some("the card has no such control".to_owned()),
                muted: false,
                missing: true,
            });
        }
    }
    Ok(readings)
}

fn why(error: alsa::Error) -> String {
    std::io::Error::from_raw_os_error(error.errno()).to_string()
}

/// One way through a control.
struct Side<'a> {
    control: &'a Selem<'a>,
    switch: Way,
    volume: Way,
}

/// Where a switch or a volume is in the simple mixer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Capture,
    Playback,
    Nowhere,
}

impl Way {
    fn of(setting: &Setting, capture: bool, playback: bool) -> Self {
        let ours = setting.direction == Direction::Speaker || setting.common;
        match (setting.direction, capture, playback) {
            (Direction::Microphone, true, _) => Self::Capture,
            (_, _, true) if ours => Self::Playback,
            _ => Self::Nowhere,
        }
    }
}

impl<'a> Side<'a> {
    fn of(control: &'a Selem<'a>, setting: &Setting) -> Self {
        let c = control;
        // A volume for both ways counts as playback's.
        let playback = c.has_playback_volume() || c.has_volume();
        Self {
            control,
            switch: Way::of(setting, c.has_capture_switch(), c.has_playback_switch()),
            volume: Way::of(setting, c.has_capture_volume(), playback),
        }
    }

    fn has_switch(&self) -> bool {
        self.switch != Way::Nowhere
    }

    fn has_volume(&self) -> bool {
        self.volume != Way::Nowhere
    }

    /// Whether there is anything in it of what is to be set.
    fn has(&self, setting: &Setting) -> bool {
        (setting.on.is_some() && self.has_switch())
            || (setting.level.is_some() && self.has_volume())
    }

    /// Whether all channels that are there are switched on.
    fn is_on(&self) -> bool {
        let on = |channel: SelemChannelId| match self.switch {
            Way::Capture => self.control.get_capture_switch(channel),
            _ => self.control.get_playback_switch(channel),
        };
        self.channels(self.switch)
            .all(|channel| on(channel).ok() != Some(0))
    }

    /// The level of the first channel, in the control's own steps.
    fn level(&self) -> Option<i64> {
        let channel = self.channels(self.volume).next()?;
        match self.volume {
            Way::Capture => self.control.get_capture_volume(channel).ok(),
            _ => self.control.get_playback_volume(channel).ok(),
        }
    }

    fn channels(&self, way: Way) -> impl Iterator<Item = SelemChannelId> + '_ {
        CHANNELS.into_iter().filter(move |channel| match way {
            Way::Capture => self.control.has_capture_channel(*channel),
            _ => self.control.has_playback_channel(*channel),
        })
    }

    fn range(&self) -> (i64, i64) {
        match self.volume {
            Way::Capture => self.control.get_capture_volume_range(),
            _ => self.control.get_playback_volume_range(),
        }
    }

    /// Cards round what they are told: a step, or a thirtieth of the way, is nothing.
    fn is_off(&self, now: i64, step: i64) -> bool {
        let (low, high) = self.range();
        (now - step).abs() > ((high - low) / 30).max(1)
    }

    /// The step that is meant; for decibels the nearest the card has.
    fn step(&self, level: SettingLevel) -> alsa::Result<i64> {
        let (low, high) = self.range();
        let step = match level {
            SettingLevel::Percent(percent) => low + ((high - low) * i64::from(percent) + 50) / 100,
            SettingLevel::Db(db) => {
                let wanted = MilliBel::from_db(db);
                match self.volume {
                    Way::Capture => self.control.ask_capture_db_vol(wanted, Round::Floor)?,
                    _ => self.control.ask_playback_db_vol(wanted, Round::Floor)?,
                }
            }
        };
        Ok(step.clamp(low, high.max(low)))
    }

    /// What differs from a setting, and whether it mutes.
    fn differs(&self, setting: &Setting) -> Differs {
        let mut parts = Vec::new();
        let mut muted = false;
        if let Some(on) = setting.on
            && self.has_switch()
            && self.is_on() != on
        {
            muted = on;
            parts.push(match on {
                true => "off, and is to be on".to_owned(),
                false => "on, and is to be off".to_owned(),
            });
        }
        if let Some(level) = setting.level
            && self.has_volume()
            && let (Some(now), Ok(step)) = (self.level(), self.step(level))
            && self.is_off(now, step)
        {
            let (low, high) = self.range();
            muted |= now == low && step > low;
            parts.push(format!(
                "at {}% of its steps, and is to be at {level}",
                (100 * (now - low)) / (high - low).max(1)
            ));
        }
        (!parts.is_empty()).then(|| (parts.join("; "), muted))
    }

    fn set(&self, setting: &Setting) -> alsa::Result<()> {
        if let Some(on) = setting.on
            && self.has_switch()
        {
            match self.switch {
                Way::Capture => self.control.set_capture_switch_all(i32::from(on))?,
                _ => self.control.set_playback_switch_all(i32::from(on))?,
            }
        }
        if let Some(level) = setting.level
            && self.has_volume()
        {
            let step = self.step(level)?;
            match self.volume {
                Way::Capture => self.control.set_capture_volume_all(step)?,
                _ => self.control.set_playback_volume_all(step)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_written_alike() {
        let cases = [
            ("80%", SettingLevel::Percent(80)),
            ("0%", SettingLevel::Percent(0)),
            ("-6 dB", SettingLevel::Db(-6.0)),
            ("1.5 dB", SettingLevel::Db(1.5)),
        ];
        for (text, level) in cases {
            assert_eq!(text.parse(), Ok(level));
            assert_eq!(level.to_string(), text);
        }
        for text in [
            "", "80", "%", "-1%", "101%", "dB", "99 dB", "NaN dB", "loud",
        ] {
            let said = text.parse::<SettingLevel>().unwrap_err();
            assert!(said.contains("is no level"), "{said}");
        }
    }

    #[test]
    fn a_mixer_that_is_not_there_is_said() {
        let said = look("hw:CARD=NoSuchCard", &[]).unwrap_err();
        assert!(!said.is_empty());
    }
}
