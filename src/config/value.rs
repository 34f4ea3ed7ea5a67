//! How single values of the file are read: text into the type the part wants,
//! with a range that makes sense and an error that says what to write.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

use crate::audio::MicChannel;
use crate::audio::tone::Style;
use crate::edge::gpio::{Bias, LineSpec};
use crate::units::E164;
use crate::wire::rest::{BaseUrl, PhoneNumberId, WsUrl};

pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<E164, D::Error> {
    E164::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

pub(super) fn phone_number_id<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<PhoneNumberId, D::Error> {
    PhoneNumberId::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

pub(super) fn base<'de, D: Deserializer<'de>>(from: D) -> Result<BaseUrl, D::Error> {
    BaseUrl::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// Without a slash at the end: each attempt's path is put behind it.
pub(super) fn ws_url<'de, D: Deserializer<'de>>(from: D) -> Result<WsUrl, D::Error> {
    let text = String::deserialize(from)?;
    WsUrl::parse(text.trim_end_matches('/')).map_err(D::Error::custom)
}

/// A path; empty is refused, for it would be the working directory.
pub(super) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if path.as_os_str().is_empty() {
        return Err(D::Error::custom(
            "a path may not be empty; leave the key out for the default",
        ));
    }
    Ok(path)
}

pub(super) fn some_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    path(from).map(Some)
}

/// A whole number in `MIN..=MAX`.
pub(super) fn within<'de, const MIN: u32, const MAX: u32, D>(from: D) -> Result<u32, D::Error>
where
    D: Deserializer<'de>,
{
    let value = i64::deserialize(from)?;
    u32::try_from(value)
        .ok()
        .filter(|n| (MIN..=MAX).contains(n))
        .ok_or_else(|| D::Error::custom(format!("{value} is outside {MIN} to {MAX}")))
}

/// Milliseconds in `MIN..=MAX`.
pub(super) fn ms<'de, const MIN: u32, const MAX: u32, D>(from: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    within::<MIN, MAX, D>(from).map(|n| Duration::from_millis(n.into()))
}

/// Seconds in `MIN..=MAX`.
pub(super) fn seconds<'de, const MIN: u32, const MAX: u32, D>(from: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    within::<MIN, MAX, D>(from).map(|n| Duration::from_secs(n.into()))
}

/// Decibels in −40 to +20.
pub(super) fn decibels<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
    let value = f64::deserialize(from)?;
    if (-40.0..=20.0).contains(&value) {
        Ok(value as f32)
    } else {
        Err(D::Error::custom(format!("{value} dB is outside -40 to 20")))
    }
}

pub(super) fn as_ms<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    (time.as_millis() as u64).serialize(to)
}

pub(super) fn as_seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    time.as_secs().serialize(to)
}

/// `config show` is for the installer at the device: the number, not its mask.
pub(super) fn whole_number<S: Serializer>(number: &E164, to: S) -> Result<S::Ok, S::Error> {
    number.as_str().serialize(to)
}

pub(super) fn as_id<S: Serializer>(id: &PhoneNumberId, to: S) -> Result<S::Ok, S::Error> {
    id.as_str().serialize(to)
}

pub(super) fn as_base<S: Serializer>(url: &BaseUrl, to: S) -> Result<S::Ok, S::Error> {
    url.as_str().serialize(to)
}

pub(super) fn some_line<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LineSpec>, D::Error> {
    line(from).map(Some)
}

/// A line by name, or by its chip's label and its number there.
pub(super) fn line<'de, D: Deserializer<'de>>(from: D) -> Result<LineSpec, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

pub(super) fn as_line<S: Serializer>(line: &LineSpec, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(line)
}

pub(super) fn as_some_line<S: Serializer>(
    line: &Option<LineSpec>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match line {
        Some(line) => to.serialize_some(&line.to_string()),
        None => to.serialize_none(),
    }
}

/// The words of the file for how a line is pulled.
const BIASES: &[(&str, Bias)] = &[
    ("pull-up", Bias::PullUp),
    ("pull-down", Bias::PullDown),
    ("none", Bias::Disabled),
    ("as-is", Bias::AsIs),
];

/// The words of the file for whose tones the visitor knows.
const STYLES: &[(&str, Style)] = &[
    ("europe", Style::Europe),
    ("north-america", Style::NorthAmerica),
];

/// The words of the file for the channel of a stereo microphone.
const CHANNELS: &[(&str, MicChannel)] = &[
    ("both", MicChannel::Both),
    ("left", MicChannel::Left),
    ("right", MicChannel::Right),
];

pub(super) fn bias<'de, D: Deserializer<'de>>(from: D) -> Result<Bias, D::Error> {
    word(BIASES, from)
}

pub(super) fn as_bias<S: Serializer>(bias: &Bias, to: S) -> Result<S::Ok, S::Error> {
    as_word(BIASES, bias, to)
}

pub(super) fn style<'de, D: Deserializer<'de>>(from: D) -> Result<Style, D::Error> {
    word(STYLES, from)
}

pub(super) fn as_style<S: Serializer>(style: &Style, to: S) -> Result<S::Ok, S::Error> {
    as_word(STYLES, style, to)
}

pub(super) fn channel<'de, D: Deserializer<'de>>(from: D) -> Result<MicChannel, D::Error> {
    word(CHANNELS, from)
}

pub(super) fn as_channel<S: Serializer>(channel: &MicChannel, to: S) -> Result<S::Ok, S::Error> {
    as_word(CHANNELS, channel, to)
}

/// One of a few words.
fn word<'de, T: Copy, D: Deserializer<'de>>(words: &[(&str, T)], from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let known = words.iter().find(|(name, _)| *name == text);
    known.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        D::Error::custom(format!("{text:?} is none of {}", names.join(", ")))
    })
}

fn as_word<T: PartialEq, S: Serializer>(
    words: &[(&str, T)],
    value: &T,
    to: S,
) -> Result<S::Ok, S::Error> {
    let known = words.iter().find(|(_, known)| known == value);
    known.map_or("", |(name, _)| *name).serialize(to)
}
