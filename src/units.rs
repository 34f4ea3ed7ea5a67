//! The few values that every room passes to another: a telephone number, the
//! names of a call and of an attempt at one, a button, a key of a telephone, a
//! block of sound and how it is written on the wire.
//!
//! **Words.** *sample*: one number. *block*: 20 ms of samples. *packet*: one
//! media message. *period*: what ALSA wakes us for. *frame*: only in
//! `edge/alsa.rs`.

use std::fmt;

use heapless::String;

/// Milliseconds of sound in one block, and in one packet on the wire.
pub const BLOCK_MS: u32 = 20;

/// A measured value, so exact as is worth telling. It is an `f64`, since the
/// tenth of an `f32` has fourteen digits more in JSON.
#[must_use]
pub fn tenths(value: impl Into<f64>) -> f64 {
    // Adding 0 makes a -0 that is left of rounding a 0.
    (value.into() * 10.0).round() / 10.0 + 0.0
}

/// A telephone number in E.164 form: `+`, then 2 to 15 digits, the first not 0
/// (ITU-T E.164 §6). It was checked when it was made.
///
/// `Display` and `Debug` show the last three digits only, since logs travel;
/// [`as_str`](Self::as_str) is the whole number, for the wire and the record.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct E164(String<16>);

impl E164 {
    /// Takes `text` with the spaces, dots, hyphens and brackets people write.
    ///
    /// # Errors
    /// Says what is wrong in words for the person who typed it.
    pub fn parse(text: &str) -> Result<Self, BadNumber> {
        let mut number = String::new();
        for c in text.trim().chars() {
            match c {
                ' ' | '-' | '.' | '(' | ')' => {}
                '+' if number.is_empty() => _ = number.push('+'),
                '0'..='9' if number.is_empty() => return Err(BadNumber::NoPlus),
                '0' if number == "+" => return Err(BadNumber::LeadingZero),
                '0'..='9' => number.push(c).map_err(|_| BadNumber::Length)?,
                other => return Err(BadNumber::Character(other)),
            }
        }
        match number.len() {
            3..=16 => Ok(Self(number)),
            _ => Err(BadNumber::Length),
        }
    }

    /// The whole number, `+` and digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().saturating_sub(3);
        write!(f, "+…{}", &self.0[shown.max(1)..])
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an E.164 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNumber {
    /// It starts with a digit.
    #[error("a number starts with + and the country code, like +4930123456")]
    NoPlus,
    /// `+0…`: no country code starts with 0.
    #[error("no country code starts with 0; write +49 30 …, not +0 30 …")]
    LeadingZero,
    /// Fewer than 2 or more than 15 digits.
    #[error("a number has 2 to 15 digits after the +")]
    Length,
    /// Something that is neither a digit nor a separator.
    #[error("{0:?} does not belong in a telephone number")]
    Character(char),
}

/// The service's name for a call: a UUID today, any text of 1 to 64 visible
/// ASCII characters that is safe in a URL path to us.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallId(String<64>);

impl CallId {
    /// `None` when `text` is empty, too long, or holds anything but letters,
    /// digits, `-`, `_`, `.` and `:`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        let fits = !text.is_empty() && text.bytes().all(safe) && !matches!(text, "." | "..");
        fits.then(|| String::try_from(text).ok())?.map(Self)
    }

    /// The name as the service wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One POST to place a call, counted from 1 since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u32);

/// One media WebSocket, counted from 1 since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// A button, by its place in the configuration, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ButtonId(pub u8);

/// A telephone key: `0`–`9`, `*`, `#`, `A`–`D` (ITU-T Q.23 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(char);

impl Digit {
    /// `None` when `key` is none of them; `a`–`d` are taken as `A`–`D`.
    #[must_use]
    pub fn parse(key: char) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(Self(key))
    }

    /// What is printed on the key.
    #[must_use]
    pub fn key(self) -> char {
        self.0
    }
}

/// Where speech is made of text and text of speech: at the service, or not at
/// all. The default is raw sound both ways, as an intercom wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    /// The service speaks the text we send: nothing of the microphone goes out.
    pub tts: bool,
    /// The service sends the words of the far end, and not its sound.
    pub stt: bool,
}

impl Mode {
    /// Whether the microphone goes out.
    #[must_use]
    pub fn sends_sound(self) -> bool {
        !self.tts
    }

    /// Whether the far end is heard.
    #[must_use]
    pub fn takes_sound(self) -> bool {
        !self.stt
    }
}

/// How sound is written in a packet, one channel. Payloads are those of RTP
/// (RFC 3551, RFC 7587) without its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// G.711 µ-law, 8 kHz.
    #[default]
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// Linear, 16 bit.
    L16 {
        /// Samples a second.
        rate: L16Rate,
        /// Which byte comes first.
        order: ByteOrder,
    },
    /// Opus; `rate` is what `start` declares, 8, 16 or 48 kHz. The packets are
    /// the same for each, and decode at any rate (RFC 7587 §4.1).
    Opus {
        /// Samples a second, as declared.
        rate: u32,
    },
}

/// The rates linear sound comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum L16Rate {
    /// 8 kHz.
    K8,
    /// 16 kHz.
    K16,
    /// 24 kHz.
    K24,
}

/// Which byte of a 16 bit sample comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteOrder {
    /// The high one: network order (RFC 3551 §4.5.11).
    #[default]
    Big,
    /// The low one.
    Little,
}

impl Encoding {
    /// Samples a second, as declared.
    #[must_use]
    pub fn rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
            Self::L16 { rate, .. } => rate.hertz(),
            Self::Opus { rate } => rate,
        }
    }

    /// Bytes of a packet of [`BLOCK_MS`]; `None` where they vary.
    #[must_use]
    pub fn block_bytes(self) -> Option<usize> {
        let samples = (self.rate() * BLOCK_MS / 1000) as usize;
        match self {
            Self::Pcmu | Self::Pcma => Some(samples),
            Self::L16 { .. } => Some(2 * samples),
            Self::Opus { .. } => None,
        }
    }
}

impl L16Rate {
    /// Samples a second.
    #[must_use]
    pub fn hertz(self) -> u32 {
        match self {
            Self::K8 => 8_000,
            Self::K16 => 16_000,
            Self::K24 => 24_000,
        }
    }
}

impl fmt::Display for Encoding {
    /// As in the records: `PCMU/8000`; linear sound of the unusual byte order
    /// is `L16LE/16000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::L16 {
                order: ByteOrder::Big,
                ..
            } => "L16",
            Self::L16 { .. } => "L16LE",
            Self::Opus { .. } => "OPUS",
        };
        write!(f, "{name}/{}", self.rate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_telephone_are_sixteen() {
        let keys = (0..=127).filter_map(|c| Digit::parse(char::from(c)));
        let printed: String<32> = keys.map(Digit::key).collect();
        assert_eq!(printed, "#*0123456789ABCDABCD");
    }

    #[test]
    fn a_block_of_each_encoding_has_its_length() {
        let linear = |rate| Encoding::L16 {
            rate,
            order: ByteOrder::Big,
        };
        let cases = [
            (Encoding::Pcmu, Some(160), "PCMU/8000"),
            (Encoding::Pcma, Some(160), "PCMA/8000"),
            (linear(L16Rate::K8), Some(320), "L16/8000"),
            (linear(L16Rate::K24), Some(960), "L16/24000"),
            (Encoding::Opus { rate: 48_000 }, None, "OPUS/48000"),
        ];
        for (encoding, bytes, name) in cases {
            assert_eq!(encoding.block_bytes(), bytes, "{name}");
            assert_eq!(encoding.to_string(), name);
        }
    }

    #[test]
    fn written_numbers_are_read() {
        for text in ["+4930123456", " +49 30 12-34.56 ", "+(49)30123456"] {
            assert_eq!(E164::parse(text).unwrap().as_str(), "+4930123456", "{text}");
        }
    }

    #[test]
    fn wrong_numbers_say_why() {
        let cases = [
            ("", BadNumber::Length),
            ("+", BadNumber::Length),
            ("+1", BadNumber::Length),
            ("+1234567890123456", BadNumber::Length),
            ("4930123456", BadNumber::NoPlus),
            ("+049", BadNumber::LeadingZero),
            ("+49x", BadNumber::Character('x')),
            ("+49+30", BadNumber::Character('+')),
            ("+٤٩", BadNumber::Character('٤')),
        ];
        for (text, want) in cases {
            assert_eq!(E164::parse(text), Err(want), "{text}");
        }
    }

    #[test]
    fn shown_numbers_are_masked() {
        assert_eq!(E164::parse("+4930123456").unwrap().to_string(), "+…456");
        assert_eq!(format!("{:?}", E164::parse("+12").unwrap()), "+…12");
    }

    #[test]
    fn tenths_are_written_with_one_digit() {
        let cases = [(18.1_f32, "18.1"), (-39.249, "-39.2"), (-0.04, "0.0")];
        for (value, want) in cases {
            assert_eq!(serde_json::json!(tenths(value)).to_string(), want);
        }
    }

    #[test]
    fn call_ids_are_safe_in_a_path() {
        assert!(CallId::parse("6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11").is_some());
        for bad in ["", "..", "a/b", "a b", "a?b", &"x".repeat(65)] {
            assert_eq!(CallId::parse(bad), None, "{bad}");
        }
    }
}
