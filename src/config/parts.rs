//! The file's values as the parts' own settings.

use super::file::{File, IngressMode};
use super::secret;
use crate::daemon::{Button, Control, Setup};
use crate::edge::gpio::{ButtonLine, OutputLine};
use crate::edge::{alsa, ingress, rest, store};
use crate::units::ButtonId;
use crate::wire::handshake::SigningKey;
use crate::{audio, call, panel};

/// How a missing key is spoken of.
const NO_KEY: &str = "there is no API key: put it in a file, and its path in [service] api_key_file; \
                      or hand it over as the systemd credential api-key";

impl File {
    /// Everything the daemon needs, secrets read.
    ///
    /// # Errors
    /// A secret is missing or of no use, in words for the installer.
    pub fn setup(&self) -> Result<Setup, String> {
        let button = |b: &super::Button| Button {
            name: b.name.clone(),
            to: b.to.clone(),
        };
        Ok(Setup {
            buttons: self.buttons.iter().map(button).collect(),
            from: self.service.from_number.clone(),
            public_url: self.ingress.public_url.clone(),
            rest: self.rest()?,
            ingress: self.ingress()?,
            call: self.call(),
            audio: self.audio(),
            panel: self.panel_settings(),
            store: self.store(),
            control: Some(Control {
                socket: self.control.socket.clone(),
                group: self.control.group.clone(),
            }),
        })
    }

    /// The service's settings.
    ///
    /// # Errors
    /// No API key, or one that cannot be a key.
    pub fn rest(&self) -> Result<rest::Config, String> {
        let key = secret::read(self.service.api_key_file.as_deref(), "api-key")?;
        let key = key.ok_or(NO_KEY)?;
        Ok(rest::Config {
            base_url: self.service.base_url.clone(),
            api_key: rest::ApiKey::parse(&key).map_err(|e| e.to_string())?,
            phone_number_id: self.service.phone_number_id.clone(),
            extra_ca: self.service.ca_file.clone(),
            timeouts: rest::Timeouts::default(),
        })
    }

    /// The way in.
    ///
    /// # Errors
    /// A signing key that cannot be one.
    pub fn ingress(&self) -> Result<ingress::Config, String> {
        let key = secret::read(self.service.signing_key_file.as_deref(), "signing-key")?;
        let no_key = || "the signing key is empty behind its whsec_".to_owned();
        let signing_key = key
            .map(|key| SigningKey::new(&key).ok_or_else(no_key))
            .transpose()?;
        let mode = match (
            self.ingress.mode,
            &self.ingress.certificate,
            &self.ingress.private_key,
        ) {
            (IngressMode::Tls, Some(certificate), Some(key)) => {
                ingress::Mode::Tls(ingress::Files {
                    certificate: certificate.clone(),
                    key: key.clone(),
                })
            }
            _ => ingress::Mode::Plain,
        };
        Ok(ingress::Config {
            listen: self.ingress.listen,
            mode,
            signing_key,
        })
    }

    /// The record.
    #[must_use]
    pub fn store(&self) -> store::Config {
        let max_age = std::time::Duration::from_secs(u64::from(self.store.max_days) * 86_400);
        store::Config::bounded(&self.store.path, self.store.max_records, max_age)
    }

    /// The sound cards.
    #[must_use]
    pub fn cards(&self) -> alsa::Config {
        let side = |name: &str, channels: u32| {
            let format = audio::engine::Format {
                rate: self.sound.rate,
                channels: channels as u16,
            };
            Some(alsa::Side {
                name: name.to_owned(),
                format: Some(format),
            })
        };
        alsa::Config {
            microphone: side(&self.sound.microphone, self.sound.microphone_channels),
            speaker: side(&self.sound.speaker, self.sound.speaker_channels),
            period: self.sound.period,
            periods: self.sound.periods,
        }
    }

    /// The lines of the buttons that have one.
    #[must_use]
    pub fn button_lines(&self) -> Vec<(ButtonId, ButtonLine)> {
        let line = |(id, b): (u8, &super::Button)| {
            let line = ButtonLine {
                line: b.line.clone()?,
                active_low: b.active_low,
                bias: b.bias,
            };
            Some((ButtonId(id), line))
        };
        (0..).zip(&self.buttons).filter_map(line).collect()
    }

    /// The lamp's line.
    #[must_use]
    pub fn lamp_line(&self) -> Option<OutputLine> {
        self.lamp.as_ref().map(|lamp| OutputLine {
            line: lamp.line.clone(),
            active_low: lamp.active_low,
        })
    }

    fn call(&self) -> call::Config {
        call::Config {
            ring_for: self.call.ring_for,
            max_call: self.call.max,
            calls_per_day: self.limits.calls as u16,
            minutes_per_day: std::time::Duration::from_secs(u64::from(self.limits.minutes) * 60),
            ..call::Config::default()
        }
    }

    fn audio(&self) -> audio::Config {
        let echo = match self.sound.half_duplex {
            true => audio::echo::Config::default(),
            false => audio::echo::Config::Off,
        };
        audio::Config {
            mic_gain_db: self.sound.microphone_gain,
            speaker_volume_db: self.sound.speaker_gain,
            mic_channel: self.sound.microphone_channel,
            tones: self.sound.tones,
            echo,
            ..audio::Config::default()
        }
    }

    pub(super) fn panel_settings(&self) -> panel::Config {
        panel::Config {
            qualify: self.panel.qualify,
            long_press: self.panel.long_press,
            stuck: self.panel.stuck,
            ..panel::Config::default()
        }
    }
}
