//! How single values of the file are read: text into the type the part wants,
//! with a range that makes sense and an error that says what to write.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

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
const BIASES: [(&str, Bias); 4] = [
    ("pull-up", Bias::PullUp),
    ("pull-down", Bias::PullDown),
    ("none", Bias::Disabled),
    ("as-is", Bias::AsIs),
];

pub(super) fn bias<'de, D: Deserializer<'de>>(from: D) -> Result<Bias, D::Error> {
    let word = String::deserialize(from)?;
    let known = BIASES.iter().find(|(name, _)| *name == word);
    known.map(|(_, bias)| *bias).ok_or_else(|| {
        D::Error::custom(format!(
            "{word:?} is none of \"pull-up\", \"pull-down\", \"none\" and \"as-is\""
        ))
    })
}

pub(super) fn as_bias<S: Serializer>(bias: &Bias, to: S) -> Result<S::Ok, S::Error> {
    let known = BIASES.iter().find(|(_, known)| known == bias);
    known.map_or("", |(name, _)| name).serialize(to)
}
