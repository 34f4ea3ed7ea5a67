//! Samples in, samples out: everything between two sound cards and a line.
//!
//! ```text
//!  microphone ─▶ mix, gain ─▶ 16 kHz ─▶ echo, noise ─▶ level ─▶ prompts ─▶ encode ─▶ uplink
//!                                            ▲
//!                                            │ what is played
//!                                            │
//!  speaker ◀─ card rate ◀─ volume ◀─ tones ◀─┴─ drift ◀─ playout ◀─┬─ decode ◀─ downlink
//!                                                        digits ◀──┘
//! ```
//!
//! [`Engine`](engine::Engine) is the whole of it: the audio thread calls
//! [`capture`](engine::Engine::capture) with what the microphone brought and
//! [`render`](engine::Engine::render) for what the speaker wants. There is no
//! clock in here: time is samples, counted by the cards.
//!
//! | file | what it does |
//! |---|---|
//! | [`engine`] | joins the rest, once per period |
//! | [`ring`] | the queues to and from the other threads |
//! | [`codec`] | G.711, linear sound, Opus |
//! | [`resample`] | between card rate, 16 kHz and the line's |
//! | [`playout`] | puts packets back in order, decides when each is heard |
//! | [`arrivals`] | how late packets come, and so how long to wait for them |
//! | [`conceal`] | fills in for a packet that is not there |
//! | [`noise`] | the room behind the far end's voice |
//! | [`drift`] | makes two clocks one, without a step |
//! | [`highpass`] | keeps offsets and rumble out of it |
//! | [`echo`] | keeps the speaker out of the microphone, and noise |
//! | [`agc`] | brings every voice to the same level |
//! | [`tone`] | what the device itself says |
//! | [`prompt`] | the installer's recordings in its place |
//! | [`dtmf`] | the keys the callee presses |
//! | [`level`] | loudness, and microphones that are dead |
//! | [`stats`] | figures any thread may read |
//! | [`sweep`] | what lies between speaker and microphone, measured |
//! | [`probe`] | plays and hears for such a measurement |
//!
//! Units: samples are `f32` on the scale of the card, ±32 768; *card rate* is
//! 16 or 48 kHz; the *bus* is 16 kHz, where all else works: wide enough for the
//! best of the line's encodings; the *line* is what a packet is written at, 8,
//! 16 or 24 kHz, and nobody's business but [`codec`]'s.
//!
//! Real time: whatever is called `new` allocates; nothing else does, and
//! nothing locks or calls the system.

pub mod agc;
pub mod arrivals;
pub mod codec;
pub mod conceal;
pub mod drift;
pub mod dtmf;
pub mod echo;
pub mod engine;
pub mod highpass;
mod lanes;
pub mod level;
pub mod noise;
pub mod playout;
pub mod probe;
pub mod prompt;
pub mod resample;
pub mod ring;
pub mod stats;
pub mod sweep;
pub mod tone;

pub use stats::{Snapshot, Stats};

use std::sync::Arc;

use crate::units::BLOCK_MS;

/// Samples per second on a telephone line (ITU-T G.711).
pub const LINE_RATE: u32 = 8_000;
/// Samples per second of everything between cards and codecs.
pub const BUS_RATE: u32 = 16_000;
/// Bus samples in one block.
pub const BUS_BLOCK: usize = (BUS_RATE * BLOCK_MS / 1000) as usize;
/// Most bus samples worked on in one go: 10 ms. Longer periods are cut.
pub const BUS_CHUNK: usize = BUS_RATE as usize / 100;
/// The loudest sample, on the scale of the card.
pub const FULL_SCALE: f32 = 32_768.0;

/// Settings of the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What is added to the microphone, in dB. Default 0. Range -40 to 40;
    /// values outside count as the nearest end. Far below, the callee hears
    /// nothing; far above, everything sounds hoarse: what exceeds full scale
    /// is rounded off, not wrapped.
    pub mic_gain_db: f32,
    /// Which channel of a stereo microphone is heard. Default both.
    pub mic_channel: MicChannel,
    /// What is added to everything the speaker plays, in dB. Default 0. Range
    /// -40 to 24; values outside count as the nearest end. Above 0, loud
    /// passages are rounded off; far above, the echo can get louder than the
    /// visitor.
    pub speaker_volume_db: f32,
    /// What is done about echo and noise. Default: both are taken out.
    pub echo: echo::Config,
    /// Whether every visitor's voice is brought to the same level. Default
    /// true; false for a microphone that does it.
    pub automatic_level: bool,
    /// Which country's tones the visitor knows. Default Europe's.
    pub tones: tone::Style,
    /// Recordings that are played in place of tones. Default none.
    pub prompts: prompt::Prompts,
    /// How long packets may be waited for.
    pub playout: playout::Config,
    /// What the device plays and hears when it tests itself. Default nothing.
    pub probe: Option<Arc<probe::Take>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mic_gain_db: 0.0,
            mic_channel: MicChannel::default(),
            speaker_volume_db: 0.0,
            echo: echo::Config::default(),
            automatic_level: true,
            tones: tone::Style::default(),
            prompts: prompt::Prompts::default(),
            playout: playout::Config::default(),
            probe: None,
        }
    }
}

/// The channel of a stereo microphone that is used; a mono one has only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MicChannel {
    /// The average of both. A microphone that is wired to one channel only is
    /// 6 dB quieter than it could be: name the channel then.
    #[default]
    Both,
    /// The first.
    Left,
    /// The second.
    Right,
}

/// The factor that `db` stands for.
pub(crate) fn amplitude(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

/// The nearest sample of 16 bits; beyond full scale, the last there is.
pub(crate) fn round(sample: f32) -> i16 {
    // Adding first makes the cast, which cuts towards 0, a rounding; the call
    // that rounds is a function of its own on many processors.
    ((sample + (FULL_SCALE + 0.5)) as u16 ^ 0x8000) as i16
}
