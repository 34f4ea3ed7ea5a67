//! How single values of the file are read: text into the type the part wants,
//! with a range that makes sense and an error that says what to write.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::door::{Code, Words};
use super::hours::{BadTime, TimeOfDay};
use crate::audio::MicChannel;
use crate::audio::tone::Style;
use crate::edge::alsa::AUTO;
use crate::edge::gpio::{Bias, LineSpec};
use crate::panel::LampRole;
use crate::units::{ByteOrder, Digit, E164};
use crate::wire::rest::{BaseUrl, PhoneNumberId, WsUrl};

pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<E164, D::Error> {
    E164::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// One number, or a list of them.
pub(super) fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<E164>, D::Error> {
    from.deserialize_any(OneOrMany {
        like: "a number like \"+4930123456\", or a list of them",
        parse: |text: &str| E164::parse(text).map_err(|e| e.to_string()),
    })
}

/// One time of day, or a list of them.
pub(super) fn times<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<TimeOfDay>, D::Error> {
    from.deserialize_any(OneOrMany {
        like: "a time like \"07:30\", or a list of them",
        parse: |text: &str| text.parse().map_err(|e: BadTime| e.to_string()),
    })
}

/// A text, or a list of texts.
struct OneOrMany<F> {
    like: &'static str,
    parse: F,
}

impl<'de, T, F: Fn(&str) -> Result<T, String>> Visitor<'de> for OneOrMany<F> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.like)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        (self.parse)(text).map(|one| vec![one]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            all.push((self.parse)(&text).map_err(A::Error::custom)?);
        }
        Ok(all)
    }
}

pub(super) fn whole_numbers<S: Serializer>(numbers: &[E164], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(numbers.iter().map(E164::as_str))
}

pub(super) fn as_texts<T: Display, S: Serializer>(all: &[T], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(all.iter().map(T::to_string))
}

/// A value that is written as a text.
pub(super) fn text<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

pub(super) fn some_text<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    text(from).map(Some)
}

pub(super) fn as_text<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

pub(super) fn as_some_text<T: Display, S: Serializer>(
    value: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

/// A door's code. Whatever is wrong with it, it is not repeated.
pub(super) fn code<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Code>, D::Error> {
    let value = toml::Value::deserialize(from)?;
    let text = value
        .as_str()
        .ok_or_else(|| D::Error::custom("a code stands in quotes, since it may begin with a 0"))?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// The words that open a door. Whatever is wrong with them, they are not repeated.
pub(super) fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Words, D::Error> {
    let value = toml::Value::deserialize(from)?;
    let text = |word: &toml::Value| word.as_str().map(str::to_owned);
    let words = value
        .as_array()
        .and_then(|all| all.iter().map(text).collect());
    words.map(Words).ok_or_else(|| {
        D::Error::custom("words stand in a list, each in quotes, like [\"let me in\"]")
    })
}

/// One key of a telephone.
pub(super) fn some_key<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Digit>, D::Error> {
    let text = String::deserialize(from)?;
    let mut keys = text.chars();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) => Digit::parse(key),
        _ => None,
    };
    key.map(Some).ok_or_else(|| {
        D::Error::custom("write one key of a telephone: \"0\" to \"9\", \"*\" or \"#\"")
    })
}

pub(super) fn as_some_key<S: Serializer>(key: &Option<Digit>, to: S) -> Result<S::Ok, S::Error> {
    as_some_text(&key.map(Digit::key), to)
}

/// The name of a time zone. Whether there is one the system knows.
pub(super) fn zone<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(from)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"/_+-".contains(&b);
    match (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(Some(name)),
        false => Err(D::Error::custom(
            "this is no time zone; write a name like \"Europe/Berlin\", as `timedatectl \
             list-timezones` shows them",
        )),
    }
}

pub(super) fn as_zone<S: Serializer>(zone: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    as_some_text(zone, to)
}

pub(super) fn some_id<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PhoneNumberId>, D::Error> {
    let id = PhoneNumberId::parse(&String::deserialize(from)?).map_err(D::Error::custom)?;
    Ok(Some(id))
}

pub(super) fn base<'de, D: Deserializer<'de>>(from: D) -> Result<BaseUrl, D::Error> {
    BaseUrl::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// Without a slash at the end: each attempt's path is put behind it.
pub(super) fn some_ws_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<WsUrl>, D::Error> {
    let text = String::deserialize(from)?;
    let url = WsUrl::parse(text.trim_end_matches('/'));
    url.map(Some).map_err(D::Error::custom)
}

/// A program and its arguments. One text is refused: who would take it apart?
pub(super) fn command<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let value = toml::Value::deserialize(from)?;
    let text = |word: &toml::Value| word.as_str().map(str::to_owned);
    let words = value
        .as_array()
        .and_then(|all| all.iter().map(text).collect());
    words.ok_or_else(|| {
        D::Error::custom(
            "no shell takes it apart: write the program and each of its words in quotes, in a \
             list, like [\"ssh\", \"-N\", \"relay.example.org\"]",
        )
    })
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

pub(super) fn some_within<'de, const MIN: u32, const MAX: u32, D>(
    from: D,
) -> Result<Option<u32>, D::Error>
where
    D: Deserializer<'de>,
{
    within::<MIN, MAX, D>(from).map(Some)
}

pub(super) fn some_ms<'de, const MIN: u32, const MAX: u32, D>(
    from: D,
) -> Result<Option<Duration>, D::Error>
where
    D: Deserializer<'de>,
{
    ms::<MIN, MAX, D>(from).map(Some)
}

pub(super) fn as_some_ms<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_ms(time, to),
        None => to.serialize_none(),
    }
}

/// An ALSA name; `auto` is what no name is.
pub(super) fn card_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(from)?;
    if name.is_empty() || name.contains(char::is_control) {
        return Err(D::Error::custom(
            "an ALSA name may not be empty; `callbox doctor` lists them",
        ));
    }
    Ok((name != AUTO).then_some(name))
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

pub(super) fn as_some_id<S: Serializer>(
    id: &Option<PhoneNumberId>,
    to: S,
) -> Result<S::Ok, S::Error> {
    as_some_text(&id.as_ref().map(PhoneNumberId::as_str), to)
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
    as_some_text(line, to)
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

/// The words of the file for what a lamp shows.
const ROLES: &[(&str, LampRole)] = &[
    ("status", LampRole::Status),
    ("in-progress", LampRole::InProgress),
    ("listen", LampRole::Listen),
];

/// The words of the file for which byte of a sample comes first.
const ORDERS: &[(&str, ByteOrder)] = &[("big", ByteOrder::Big), ("little", ByteOrder::Little)];

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

pub(super) fn some_channel<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<MicChannel>, D::Error> {
    channel(from).map(Some)
}

pub(super) fn as_some_channel<S: Serializer>(
    channel: &Option<MicChannel>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match channel {
        Some(channel) => as_word(CHANNELS, channel, to),
        None => to.serialize_none(),
    }
}

pub(super) fn role<'de, D: Deserializer<'de>>(from: D) -> Result<LampRole, D::Error> {
    word(ROLES, from)
}

pub(super) fn as_role<S: Serializer>(role: &LampRole, to: S) -> Result<S::Ok, S::Error> {
    as_word(ROLES, role, to)
}

pub(super) fn order<'de, D: Deserializer<'de>>(from: D) -> Result<ByteOrder, D::Error> {
    word(ORDERS, from)
}

pub(super) fn as_order<S: Serializer>(order: &ByteOrder, to: S) -> Result<S::Ok, S::Error> {
    as_word(ORDERS, order, to)
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
