//! The file's values as the parts' own settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Weekday;

use super::board::Mixer;
use super::button::{Action, Kind};
use super::door::Code;
use super::file::{File, InboundAction, IngressMode};
use super::hours::{Hours, TimeOfDay};
use super::secret;
use crate::audio::probe::Take;
use crate::audio::prompt::Prompts;
use crate::audio::sweep::Sweep;
use crate::daemon::{
    Announcement, Button, Control, Door, Inbound, Schedule, SelfTestPlan, Setup, Target, Volume,
};
use crate::edge::gpio::{ButtonLine, OutputLine};
use crate::edge::zone::Zone;
use crate::edge::{alsa, ingress, prompts, rest, sound_test, store, tunnel};
use crate::panel::{CallsOn, LampRole};
use crate::units::{ButtonId, Mode};
use crate::wire::handshake::{SigningKey, Token};
use crate::wire::rest::WsUrl;
use crate::{audio, call, panel};

/// Samples per second where neither the file nor the card says otherwise.
const RATE: u32 = 48_000;
/// Letters that a slow voice speaks in a second.
const SPOKEN_PER_SECOND: u64 = 8;
/// How a missing key is spoken of.
const NO_KEY: &str = "there is no API key: put it in a file, and its path in [service] api_key_file; \
                      or hand it over as the systemd credential api-key";

/// How a missing signing key is spoken of.
pub const NO_SIGNING_KEY: &str = "[inbound] action: a call to the device needs a signing key, by which it \
                              knows the service; make one in the service's console, put it in a \
                              file, and its path in [service] signing_key_file";

impl File {
    /// Everything the daemon needs, secrets read.
    ///
    /// # Errors
    /// A secret is missing or of no use, in words for the installer.
    pub fn setup(&self) -> Result<Setup, String> {
        let self_test = self.self_test();
        Ok(Setup {
            buttons: self.buttons.iter().map(|b| self.button(b)).collect(),
            from: self.service.from_number.clone(),
            public_url: self.public_url(),
            rest: self.rest()?,
            ingress: self.ingress()?,
            tunnel: self.tunnel()?,
            call: self.call()?,
            audio: audio::Config {
                prompts: self.prompts()?,
                probe: self_test.as_ref().map(|plan| Arc::clone(&plan.take)),
                ..self.audio()
            },
            panel: self.panel_settings(),
            store: self.store(),
            control: Some(Control {
                socket: self.control.socket.clone(),
                group: self.control.group.clone(),
            }),
            doors: self
                .doors
                .iter()
                .map(|d| Door {
                    name: d.name.clone(),
                })
                .collect(),
            schedules: self.schedules(),
            inbound: self.inbound()?,
            place: self.place.name.trim().to_owned(),
            quiet: self.clock.quiet.clone().unwrap_or_else(Hours::never),
            timezone: self.timezone()?,
            volume: Volume {
                step_db: self.sound.volume_step_db as i8,
                steps: self.sound.volume_steps as i8,
            },
            byte_order: self.sound.l16_byte_order,
            self_test,
            report: self.sound_test_path(),
            note: None,
        })
    }

    pub(super) fn button(&self, b: &super::Button) -> Button {
        let night = self.clock.night.clone().unwrap_or_else(Hours::never);
        let target = |target: super::Target| Target {
            number: target.number,
            hours: target.when.hours(&night),
        };
        let announcement = |text: &super::Text| Announcement {
            text: text.clone(),
            repeats: b.repeat as u8,
        };
        Button {
            name: b.name.clone(),
            targets: b.all_targets().into_iter().map(target).collect(),
            press: b.press,
            long_press: b.long_press,
            double_press: b.double_press,
            announcement: b.say.as_ref().map(announcement),
            cycles: b.cycles as u8,
            ring_for: b.ring_for.unwrap_or(self.call.ring_for),
            confirm: b.confirm,
            mode: Mode {
                tts: b.kind == Kind::Announce,
                stt: b.inkbox_stt,
            },
        }
    }

    /// The first time of the week at which a calling button has no number.
    #[must_use]
    pub fn gap(&self, button: &super::Button) -> Option<(Weekday, TimeOfDay)> {
        let targets = self.button(button).targets;
        let hours: Vec<Hours> = targets.into_iter().map(|target| target.hours).collect();
        (!hours.is_empty()).then(|| Hours::gap(&hours))?
    }

    /// What opens the doors, their codes read.
    ///
    /// # Errors
    /// A code is missing, cannot be one, or is too like another.
    pub fn doors(&self) -> Result<Vec<call::Door>, String> {
        let mut codes: Vec<(&str, Code)> = Vec::new();
        let mut doors = Vec::new();
        for (n, door) in (1..).zip(&self.doors) {
            let code = door_code(n, door)?;
            if code.is_none() && door.words.phrases().is_empty() {
                return Err(format!(
                    "[[door]] {}: nothing opens it; put its code in a file, and its path in \
                     code_file; or hand it over as the systemd credential door-code-{n}",
                    door.name
                ));
            }
            let alike = |other: &Code| code.as_ref().is_some_and(|c| c.is_like(other));
            if let Some((other, _)) = codes.iter().find(|(_, code)| alike(code)) {
                return Err(format!(
                    "[[door]] {}: whoever types its code or that of {other} types the other on \
                     the way; choose another",
                    door.name
                ));
            }
            let digits = code.as_ref().map(Code::digits);
            doors.push(call::Door {
                code: digits.unwrap_or_default().to_vec(),
                words: door.words.phrases().to_vec(),
            });
            codes.extend(code.map(|code| (door.name.as_str(), code)));
        }
        Ok(doors)
    }

    fn schedules(&self) -> Vec<Schedule> {
        let place = |name: &str| (0..).zip(&self.buttons).find(|(_, b)| b.name == name);
        let schedule = |s: &super::Schedule| {
            Some(Schedule {
                name: s.name.clone(),
                button: place(&s.button).map(|(id, _)| ButtonId(id))?,
                at: s.at.clone(),
                days: s.days,
            })
        };
        self.schedules.iter().filter_map(schedule).collect()
    }

    /// What becomes of calls to the device; `None` when they are refused. The
    /// secret path's token is drawn and kept if there is none yet.
    ///
    /// # Errors
    /// There is no signing key, or the token can neither be read nor made.
    pub fn inbound(&self) -> Result<Option<Inbound>, String> {
        if self.inbound.action == InboundAction::Refuse {
            return Ok(None);
        }
        if self.ingress()?.signing_key.is_none() {
            return Err(NO_SIGNING_KEY.to_owned());
        }
        let token = secret::kept_token(self.inbound.token_file.as_deref(), &self.token_path())?;
        Ok(Some(Inbound {
            allow: self.inbound.allow.clone(),
            token,
        }))
    }

    /// The token of the secret path, if there is one already: nothing is made.
    ///
    /// # Errors
    /// It is of no use.
    pub fn inbound_token(&self) -> Result<Option<Token>, String> {
        secret::token(self.inbound.token_file.as_deref(), &self.token_path())
    }

    /// The secret address on which calls to the device come in.
    ///
    /// # Errors
    /// The public URL is not known yet, or too long for it.
    pub fn inbound_url(&self, token: &Token) -> Result<WsUrl, String> {
        let unknown = "[ingress]: the tunnel's address is not known before it was up once; start \
                       callbox, then try again";
        let url = self.public_url().ok_or(unknown)?.as_str().to_owned() + &token.inbound_path();
        WsUrl::parse(&url).map_err(|why| format!("[ingress] public_url: {why}"))
    }

    /// Where the token is kept that was drawn here.
    fn token_path(&self) -> PathBuf {
        self.store.path.with_file_name("inbound-token")
    }

    /// The zone of hours and schedules.
    ///
    /// # Errors
    /// This machine does not know it.
    pub fn timezone(&self) -> Result<Zone, String> {
        match &self.clock.timezone {
            Some(name) => Zone::named(name).map_err(|e| format!("[hours] timezone: {e}")),
            None => Ok(Zone::system()),
        }
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
            from_number: self.service.from_number.clone(),
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

    /// The address the service dials: the configuration's, or the one that the
    /// service's own tunnel had when it was last up. `None` before its first time.
    #[must_use]
    pub fn public_url(&self) -> Option<WsUrl> {
        let said = self.ingress.public_url.clone();
        #[cfg(feature = "tunnel")]
        let said = said.or_else(|| tunnel::vendor::kept_url(&self.tunnel_folder()));
        said
    }

    /// The tunnel that callbox keeps up; `None` where there is none.
    ///
    /// # Errors
    /// As [`rest`](Self::rest): the service's own tunnel needs the key.
    pub fn tunnel(&self) -> Result<Option<tunnel::Config>, String> {
        let carrier = match self.ingress.mode {
            IngressMode::PublicUrl | IngressMode::Tls => return Ok(None),
            IngressMode::Command => tunnel::Carrier::Program(self.ingress.command.clone()),
            #[cfg(feature = "tunnel")]
            IngressMode::Inkbox => tunnel::Carrier::Vendor(self.vendor()?),
            // Refused by the check.
            #[cfg(not(feature = "tunnel"))]
            IngressMode::Inkbox => return Ok(None),
        };
        Ok(Some(tunnel::Config {
            carrier,
            public_url: self.public_url(),
            extra_ca: self.service.ca_file.clone(),
            timing: tunnel::Timing::default(),
        }))
    }

    /// Which of the service's tunnels it is.
    ///
    /// # Errors
    /// As [`rest`](Self::rest).
    #[cfg(feature = "tunnel")]
    pub fn vendor(&self) -> Result<tunnel::vendor::Config, String> {
        let base = self.service.base_url.as_str();
        // Scheme and authority: the crate knows the paths.
        let origin: Vec<&str> = base.splitn(4, '/').take(3).collect();
        Ok(tunnel::vendor::Config {
            origin: origin.join("/"),
            api_key: self.rest()?.api_key,
            name: self.ingress.tunnel.clone(),
            folder: self.tunnel_folder(),
        })
    }

    /// Where the tunnel keeps its certificate and its address.
    #[cfg(feature = "tunnel")]
    fn tunnel_folder(&self) -> PathBuf {
        self.store.path.with_file_name("tunnel")
    }

    /// The record.
    #[must_use]
    pub fn store(&self) -> store::Config {
        let max_age = Duration::from_secs(u64::from(self.store.max_days) * 86_400);
        store::Config::bounded(&self.store.path, self.store.max_records, max_age)
    }

    /// When the device tests its sound, and what it plays for that.
    fn self_test(&self) -> Option<SelfTestPlan> {
        let at = self.sound.self_test?;
        let sweep = Sweep::new(audio::BUS_RATE);
        Some(SelfTestPlan {
            at,
            take: Take::new(sweep.samples(), sweep.listen()),
            cards: self.tested_cards(),
            path: self.sound_test_path(),
        })
    }

    /// What advice about the sound calls the cards, as far as the file names them.
    fn tested_cards(&self) -> sound_test::Cards {
        let id = |name: &Option<String>| name.as_deref().and_then(alsa::card_id);
        sound_test::Cards {
            microphone: id(&self.sound.microphone),
            speaker: id(&self.sound.speaker),
            set_mixer: self.board.mixer == Mixer::Set,
        }
    }

    /// Where the latest test of the sound is kept.
    #[must_use]
    pub fn sound_test_path(&self) -> PathBuf {
        self.store.path.with_file_name(sound_test::FILE)
    }

    /// The sound cards.
    #[must_use]
    pub fn cards(&self) -> alsa::Config {
        let usual = alsa::Config::default();
        let side = |name: &Option<String>, channels: Option<u32>| {
            let format = audio::engine::Format {
                rate: self.sound.rate.unwrap_or(RATE),
                channels: channels.unwrap_or(1) as u16,
            };
            Some(alsa::Side {
                name: name.clone().unwrap_or_else(|| "default".to_owned()),
                format: Some(format),
            })
        };
        alsa::Config {
            microphone: side(&self.sound.microphone, self.sound.microphone_channels),
            speaker: side(&self.sound.speaker, self.sound.speaker_channels),
            period: self.sound.period.unwrap_or(usual.period),
            periods: self.sound.periods.unwrap_or(usual.periods),
            kinds: Arc::clone(&self.settled.kinds),
            set_mixer: self.board.mixer == Mixer::Set,
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

    /// The lines of the lamps, and what each shows.
    #[must_use]
    pub fn lamp_lines(&self) -> Vec<(LampRole, OutputLine)> {
        let lamps = self.lamps.iter();
        lamps.map(|lamp| (lamp.role, lamp.output())).collect()
    }

    /// The lines of the doors' relays.
    #[must_use]
    pub fn relay_lines(&self) -> Vec<OutputLine> {
        let line = |door: &super::Door| OutputLine {
            line: door.line.clone(),
            active_low: door.active_low,
        };
        self.doors.iter().map(line).collect()
    }

    fn call(&self) -> Result<call::Config, String> {
        Ok(call::Config {
            inbound: match self.inbound.action {
                InboundAction::Refuse => call::Inbound::Refuse,
                InboundAction::Chime => call::Inbound::Chime,
                InboundAction::Answer => call::Inbound::Answer,
            },
            doors: self.doors()?,
            say_within: self.say_within(),
            max_call: self.call.max,
            calls_per_day: self.limits.calls as u16,
            minutes_per_day: Duration::from_secs(u64::from(self.limits.minutes) * 60),
            ..call::Config::default()
        })
    }

    /// Long enough for the longest announcement of the file to be spoken.
    fn say_within(&self) -> Duration {
        let texts = self.buttons.iter().filter_map(|b| b.say.as_ref());
        let longest = texts.map(|text| text.to_string().len()).max().unwrap_or(0);
        let spoken = Duration::from_secs(longest as u64 / SPOKEN_PER_SECOND);
        call::Config::default().say_within + spoken
    }

    fn audio(&self) -> audio::Config {
        let echo = audio::echo::Config {
            cancel: self.sound.echo_cancelling,
            suppress_noise: self.sound.noise_suppression,
        };
        audio::Config {
            mic_gain_db: self.sound.microphone_gain,
            speaker_volume_db: self.sound.speaker_gain,
            mic_channel: self.sound.microphone_channel.unwrap_or_default(),
            tones: self.sound.tones,
            echo,
            automatic_level: self.sound.automatic_level,
            ..audio::Config::default()
        }
    }

    /// The installer's recordings.
    ///
    /// # Errors
    /// One of them cannot be used, in words for the installer.
    pub fn prompts(&self) -> Result<Prompts, String> {
        match &self.prompts.folder {
            Some(folder) => prompts::load(folder).map_err(|why| why.to_string()),
            None => Ok(Prompts::default()),
        }
    }

    pub(super) fn panel_settings(&self) -> panel::Config {
        let button = |b: &super::Button| panel::ButtonConfig {
            calls: match (b.press, b.long_press) {
                (Action::Call, _) => Some(CallsOn::Press),
                (_, Action::Call) => Some(CallsOn::LongPress),
                _ => None,
            },
            long_press: b.long_press != Action::None,
            double_press: b.double_press != Action::None,
        };
        let relay = |door: &super::Door| panel::RelayConfig { pulse: door.pulse };
        panel::Config {
            qualify: self.panel.qualify,
            long_press: self.panel.long_press,
            double_within: self.panel.double_press,
            stuck: self.panel.stuck,
            buttons: self.buttons.iter().map(button).collect(),
            relays: self.doors.iter().map(relay).collect(),
            ..panel::Config::default()
        }
    }
}

impl super::Lamp {
    /// Its line.
    pub(super) fn output(&self) -> OutputLine {
        OutputLine {
            line: self.line.clone(),
            active_low: self.active_low,
        }
    }
}

/// The code of the `n`th door, from 1.
fn door_code(n: usize, door: &super::Door) -> Result<Option<Code>, String> {
    if door.code.is_some() {
        return Ok(door.code.clone());
    }
    let wrong = |why: &dyn std::fmt::Display| format!("[[door]] {}: {why}", door.name);
    let text = secret::read(door.code_file.as_deref(), &format!("door-code-{n}"));
    let Some(text) = text.map_err(|why| wrong(&why))? else {
        return Ok(None);
    };
    let code: Code = text.parse().map_err(|why| wrong(&why))?;
    code.check(door.allow_single_digit)
        .map_err(|why| wrong(&why))?;
    Ok(Some(code))
}
