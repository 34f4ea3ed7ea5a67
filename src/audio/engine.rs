//! Joins the parts of the audio path: one entrance for the microphone's
//! periods, one for the speaker's.
//!
//! Two cards have two clocks, so [`capture`](Engine::capture) and
//! [`render`](Engine::render) each have a position of their own and are called
//! independently, with periods of any length, by the audio thread.
//!
//! ```text
//!  capture(&mic)          commands (whoever comes first)        render(&mut speaker)
//!     │                        │                                     ▲
//!     ▼                        ▼                                     │
//!  mono ─ 16 kHz ─ gain ─ echo.near ─ level ─ gate ─ prompts ─ encode ─▶ uplink
//!                            ▲                                       │
//!  downlink ─▶ decode ─▶ playout ─ gate ─ tones ─ volume ─ echo.far ─ card rate
//!                └────▶ digits ─▶ events
//! ```
//!
//! The gates are shut until the two are joined: then the callee hears prompts
//! and the visitor tones, and neither the other. Digits are heard at any time.
//!
//! Units: card samples are 16 bit and interleaved; a block is 20 ms.
//!
//! Always true: while sound is to be sent, each 20 ms of microphone make one
//! packet and one number, even when the uplink refuses it; a packet of
//! another stream is never heard; without a stream and a tone the speaker gets
//! zeros.
//!
//! Real time: bounded work, no locks, no calls; only `new` allocates.

use std::sync::Arc;
use std::time::Duration;

use super::agc::Agc;
use super::codec::{Decoder, Encoder};
use super::dtmf::Detector;
use super::echo::Echo;
use super::highpass::HighPass;
use super::level::{Life, Meter};
use super::playout::Playout;
use super::probe::Probe;
use super::prompt::{Cue, FarPrompt};
use super::resample::{INPUT_MAX, Raiser, Resampler};
use super::ring::{CommandRx, DownlinkRx, EventTx, Packet, UplinkTx};
use super::tone::{Fade, Player, Tone};
use super::{BUS_BLOCK, BUS_CHUNK, BUS_RATE, Config, FULL_SCALE, MicChannel, Stats};
use super::{amplitude, round};
use crate::units::{Digit, Encoding, Mode};

/// What the daemon asks of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A media stream begins: decode, encode and number packets for it. What
    /// was asked of an earlier one is forgotten. Packets are written as
    /// [`Encoding::default`] until `Encode` says otherwise.
    Connect {
        /// Its number; packets of other streams are dropped.
        stream: u32,
        /// Which ways sound flows: without the one no packet is made, without
        /// the other none is expected.
        mode: Mode,
        /// Whether visitor and callee hear each other.
        joined: bool,
    },
    /// The stream's packets are written like this from the next one on.
    Encode {
        /// Whose; that of another stream is ignored.
        stream: u32,
        /// As its `start` declared.
        encoding: Encoding,
    },
    /// Visitor and callee hear each other from now on.
    Join,
    /// The stream is over; the rest of it is not played.
    Disconnect,
    /// Play this to the visitor until another takes its place.
    Tone(Tone),
    /// Play this to the callee until another takes its place. It sounds instead
    /// of the microphone, of which nothing is heard before [`Command::Join`].
    Prompt(Option<FarPrompt>),
    /// How much louder than configured the visitor wants it, in dB. What comes
    /// out is within the range of
    /// [`speaker_volume_db`](Config::speaker_volume_db).
    Volume {
        /// Negative is quieter.
        db: i8,
    },
    /// In quiet hours, tones that are [hushed](Tone::is_hushed) are not played.
    Quiet(bool),
}

/// What the engine finds in the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineEvent {
    /// The callee pressed a key, by its tones.
    Digit {
        /// In which stream.
        stream: u32,
        /// Which.
        digit: Digit,
    },
    /// The callee has heard a [`Command::Prompt`] to its end; one that is
    /// repeated ends each time.
    PromptOver {
        /// In which stream.
        stream: u32,
    },
}

/// The engine's ends of its queues, and the figures it keeps.
pub struct Ports {
    /// Encoded microphone blocks.
    pub uplink: UplinkTx,
    /// Packets from the far end.
    pub downlink: DownlinkRx,
    /// What the daemon asks.
    pub commands: CommandRx,
    /// What is found in the sound.
    pub events: EventTx,
    /// Read from any thread.
    pub stats: Arc<Stats>,
}

/// How a card wants its samples: 16 bit, interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Samples per second and channel: 16 000 or 48 000.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u16,
}

impl Format {
    /// Card samples for each of the bus.
    ///
    /// # Panics
    /// On a format the engine does not take: the card is opened with one it does.
    pub(super) fn per_bus(self) -> usize {
        assert!(matches!(self.channels, 1 | 2), "{self:?}");
        match self.rate {
            16_000 => 1,
            48_000 => Raiser::FACTOR,
            _ => panic!("the engine takes 16 and 48 kHz, not {self:?}"),
        }
    }
}

/// See the [module page](self).
pub struct Engine {
    commands: CommandRx,
    findings: Findings,
    /// The stream that is connected.
    stream: Option<Stream>,
    quiet: bool,
    echo: Echo,
    mic: Mic,
    speaker: Speaker,
    probe: Option<Probe>,
}

/// What [`Command::Connect`] said.
#[derive(Debug, Clone, Copy)]
struct Stream {
    number: u32,
    mode: Mode,
}

impl Engine {
    /// An engine for a microphone and a speaker of these formats. Allocates.
    ///
    /// # Panics
    /// If a format is not 16 or 48 kHz, mono or stereo.
    #[must_use]
    pub fn new(config: &Config, ports: Ports, mic: Format, speaker: Format) -> Self {
        let stats = ports.stats;
        Self {
            commands: ports.commands,
            findings: Findings {
                events: ports.events,
                stats: Arc::clone(&stats),
                news: 0,
            },
            stream: None,
            quiet: false,
            echo: Echo::new(&config.echo),
            mic: Mic::new(config, mic, ports.uplink, Arc::clone(&stats)),
            speaker: Speaker::new(config, speaker, ports.downlink, stats),
            probe: config
                .probe
                .clone()
                .map(|take| Probe::new(take, config.mic_channel, mic, speaker)),
        }
    }

    /// When the first sample of the next [`capture`](Self::capture) was taken,
    /// this much of what [`render`](Self::render) made had not been played. It
    /// is what the echo is found by; without it, by when the two are called.
    pub fn unplayed(&mut self, length: Duration) {
        self.echo.unplayed(length.as_secs_f32() * BUS_RATE as f32);
    }

    /// Takes in a period (any length) of the microphone; returns how much there
    /// is to fetch: packets that went into the uplink, and events.
    pub fn capture(&mut self, mic: &[i16]) -> usize {
        self.obey();
        if let Some(probe) = &mut self.probe {
            probe.capture(mic);
        }
        let sent = self.mic.capture(mic, self.stream, &mut self.echo);
        if let Some(stream) = self.stream
            && self.mic.prompts.take_over()
        {
            self.findings.tell(EngineEvent::PromptOver {
                stream: stream.number,
            });
        }
        sent + std::mem::take(&mut self.findings.news)
    }

    /// Fills a period (any length) for the speaker.
    pub fn render(&mut self, speaker: &mut [i16]) {
        self.obey();
        self.speaker.receive(self.stream, &mut self.findings);
        self.speaker.render(speaker, &mut self.echo);
        if let Some(probe) = &mut self.probe {
            probe.render(speaker);
        }
    }

    fn obey(&mut self) {
        while let Some(command) = self.commands.pop() {
            self.handle(command);
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Connect {
                stream: number,
                mode,
                joined,
            } => {
                self.stream = Some(Stream { number, mode });
                self.echo.interrupt();
                self.mic.start(joined);
                self.speaker.start(joined);
            }
            Command::Encode { stream, encoding } => {
                let named = |present: &Stream| present.number == stream;
                if self.stream.as_ref().is_some_and(named) {
                    self.mic.encoder.reset(encoding);
                }
            }
            Command::Join => {
                self.mic.joined = true;
                self.speaker.joined = true;
            }
            Command::Disconnect => {
                self.stream = None;
                self.speaker.playout.stop();
            }
            Command::Tone(tone) if self.quiet && tone.is_hushed() => {
                self.speaker.tones.play(Tone::Silence);
            }
            Command::Tone(tone) => self.speaker.tones.play(tone),
            Command::Prompt(Some(prompt)) => self.mic.prompts.play(prompt),
            Command::Prompt(None) => self.mic.prompts.play(Tone::Silence),
            Command::Volume { db } => self.speaker.set_volume(f32::from(db)),
            Command::Quiet(quiet) => {
                self.quiet = quiet;
                let present = self.speaker.tones.present();
                if quiet && matches!(present, Cue::Tone(tone) if tone.is_hushed()) {
                    self.speaker.tones.play(Tone::Silence);
                }
            }
        }
    }
}

/// What the engine finds, on its way to the media runtime.
struct Findings {
    events: EventTx,
    stats: Arc<Stats>,
    /// How many [`Engine::capture`] has not told of.
    news: usize,
}

impl Findings {
    fn tell(&mut self, event: EngineEvent) {
        if self.events.push(event) {
            self.news += 1;
        } else {
            self.stats.events_lost.add(1);
        }
    }
}

/// From the microphone to the uplink.
struct Mic {
    uplink: UplinkTx,
    stats: Arc<Stats>,
    encoder: Encoder,
    channels: usize,
    channel: MicChannel,
    per_bus: usize,
    gain: Gain,
    high_pass: HighPass,
    agc: Option<Agc>,
    /// Whether the callee hears the visitor.
    joined: bool,
    gate: Fade,
    prompts: Player,
    meter: Meter,
    to_bus: Option<Resampler>,
    block: [f32; BUS_BLOCK],
    filled: usize,
    seq: u32,
    /// Card samples that are less than one of the bus, when none are sent.
    left_over: usize,
}

impl Mic {
    fn new(config: &Config, format: Format, uplink: UplinkTx, stats: Arc<Stats>) -> Self {
        let per_bus = format.per_bus();
        Self {
            uplink,
            stats,
            encoder: Encoder::new(),
            channels: usize::from(format.channels),
            channel: config.mic_channel,
            per_bus,
            gain: Gain::new(config.mic_gain_db.clamp(-40.0, 40.0)),
            high_pass: HighPass::default(),
            agc: config.automatic_level.then(Agc::new),
            joined: true,
            gate: Fade::open(),
            prompts: Player::new(config.tones, config.prompts.clone()),
            meter: Meter::new(format.rate),
            to_bus: (per_bus == Raiser::FACTOR).then(Resampler::from_48_to_16),
            block: [0.0; BUS_BLOCK],
            filled: 0,
            seq: 0,
            left_over: 0,
        }
    }

    /// A stream begins, with a block of its own; numbers go on, so that the
    /// uplink can tell how old a packet is.
    fn start(&mut self, joined: bool) {
        self.joined = joined;
        self.gate.set(joined);
        self.prompts.reset();
        self.filled = 0;
        self.encoder.reset(Encoding::default());
        if let Some(agc) = &mut self.agc {
            agc.restart();
        }
        if let Some(resampler) = &mut self.to_bus {
            resampler.clear();
        }
    }

    fn capture(&mut self, mic: &[i16], stream: Option<Stream>, echo: &mut Echo) -> usize {
        let mut sent = 0;
        for card in mic.chunks(BUS_CHUNK * self.per_bus * self.channels) {
            let mut mono = [0.0; INPUT_MAX];
            let mono = &mut mono[..card.len() / self.channels];
            fold(card, self.channels, self.channel, mono);
            self.watch(mono, echo);
            if let Some(stream) = stream.filter(|stream| stream.mode.sends_sound()) {
                sent += self.send(mono, stream, echo);
            } else {
                echo.skip(self.unheard(mono.len()));
            }
        }
        sent
    }

    fn watch(&mut self, mono: &[f32], echo: &Echo) {
        self.stats.captured.add(mono.len());
        let Some(window) = self.meter.take(mono) else {
            return;
        };
        self.stats.mic.set(window.level);
        match window.life {
            Life::Alive => {}
            Life::Silent => self.stats.mic_silent.add(1),
            Life::Stuck => self.stats.mic_stuck.add(1),
            Life::Clipped => self.stats.mic_clipped.add(1),
        }
        if let Some(watch) = echo.watch() {
            self.stats.set_echo_loss(watch.loss_db());
            let unheard = watch.is_unheard();
            self.stats.speaker_unheard.add(usize::from(unheard));
        }
    }

    /// Bus samples that so many of the card are, when nobody wants them.
    fn unheard(&mut self, samples: usize) -> usize {
        let samples = samples + self.left_over;
        self.left_over = samples % self.per_bus;
        samples / self.per_bus
    }

    fn send(&mut self, mono: &[f32], stream: Stream, echo: &mut Echo) -> usize {
        let mut bus = [0.0; BUS_CHUNK];
        let length = match &mut self.to_bus {
            Some(resampler) => resampler.process(mono, &mut bus),
            None => {
                bus[..mono.len()].copy_from_slice(mono);
                mono.len()
            }
        };
        let bus = &mut bus[..length];
        self.gain.apply(bus);
        self.high_pass.apply(bus);
        let near = echo.near(bus);
        if let Some(agc) = &mut self.agc {
            agc.apply(bus, near);
        }
        self.gate.apply(bus, if self.joined { 1.0 } else { 0.0 });
        self.prompts.mix(bus);
        let mut sent = 0;
        let mut rest = &bus[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BUS_BLOCK - self.filled));
            self.block[self.filled..][..now.len()].copy_from_slice(now);
            self.filled += now.len();
            rest = later;
            if self.filled == BUS_BLOCK {
                self.filled = 0;
                sent += usize::from(self.push(stream.number));
            }
        }
        sent
    }

    fn push(&mut self, stream: u32) -> bool {
        let taken = self.uplink.push(Packet {
            stream,
            seq: self.seq,
            encoding: self.encoder.encoding(),
            payload: self.encoder.encode(&self.block),
        });
        self.seq = self.seq.wrapping_add(1);
        self.stats.packets_out.add(1);
        self.stats.uplink_refused.add(usize::from(!taken));
        taken
    }
}

/// Makes one channel of a microphone's.
pub(super) fn fold(card: &[i16], channels: usize, channel: MicChannel, mono: &mut [f32]) {
    let pairs = mono.iter_mut().zip(card.chunks_exact(channels));
    match (channels, channel) {
        (2, MicChannel::Both) => {
            pairs.for_each(|(m, c)| *m = (f32::from(c[0]) + f32::from(c[1])) * 0.5);
        }
        (2, MicChannel::Right) => pairs.for_each(|(m, c)| *m = f32::from(c[1])),
        _ => pairs.for_each(|(m, c)| *m = f32::from(c[0])),
    }
}

/// From the downlink to the speaker.
struct Speaker {
    downlink: DownlinkRx,
    stats: Arc<Stats>,
    decoder: Decoder,
    digits: Detector,
    channels: usize,
    per_bus: usize,
    playout: Playout,
    /// Whether the visitor hears the callee.
    joined: bool,
    gate: Fade,
    tones: Player,
    /// As configured, in dB.
    volume_db: f32,
    volume: Gain,
    meter: Meter,
    to_card: Option<Raiser>,
    /// Samples at card rate, of which those from `taken` on are still to be
    /// played: a period need not be a whole number of bus samples.
    card: [f32; INPUT_MAX],
    taken: usize,
    made: usize,
    /// Bus samples of nothing, up to [`FLUSHED`].
    idle: usize,
}

/// Bus samples of nothing after which the filters give nothing either.
const FLUSHED: usize = 256;

impl Speaker {
    fn new(config: &Config, format: Format, downlink: DownlinkRx, stats: Arc<Stats>) -> Self {
        let per_bus = format.per_bus();
        Self {
            downlink,
            decoder: Decoder::new(),
            digits: Detector::new(BUS_RATE),
            channels: usize::from(format.channels),
            per_bus,
            playout: Playout::new(&config.playout, Arc::clone(&stats)),
            stats,
            joined: true,
            gate: Fade::open(),
            tones: Player::new(config.tones, config.prompts.clone()),
            volume_db: config.speaker_volume_db,
            volume: Gain::new(config.speaker_volume_db.clamp(-40.0, 24.0)),
            meter: Meter::new(BUS_RATE),
            to_card: (per_bus == Raiser::FACTOR).then(Raiser::by_3),
            card: [0.0; INPUT_MAX],
            taken: 0,
            made: 0,
            idle: 0,
        }
    }

    fn start(&mut self, joined: bool) {
        self.joined = joined;
        self.gate.set(joined);
        self.decoder.reset();
        self.digits = Detector::new(BUS_RATE);
        self.playout.start();
    }

    fn set_volume(&mut self, db: f32) {
        self.volume.set((self.volume_db + db).clamp(-40.0, 24.0));
    }

    fn receive(&mut self, stream: Option<Stream>, findings: &mut Findings) {
        while let Some(packet) = self.downlink.pop() {
            if stream.is_none_or(|present| packet.stream != present.number) {
                self.stats.other_stream.add(1);
                continue;
            }
            self.stats.packets_in.add(1);
            let stream = packet.stream;
            let whole = self.decoder.decode(&packet, |block| {
                self.playout.put(block);
                if !block.made_up {
                    let found = |digit| findings.tell(EngineEvent::Digit { stream, digit });
                    self.digits.feed(block.samples, found);
                }
            });
            self.stats.malformed.add(usize::from(!whole));
        }
    }

    fn render(&mut self, speaker: &mut [i16], echo: &mut Echo) {
        let wanted = speaker.len() / self.channels;
        self.stats.rendered.add(wanted);
        let period = wanted.div_ceil(self.per_bus);
        let mut rest = speaker;
        while !rest.is_empty() {
            if self.taken == self.made {
                let bus = (rest.len() / self.channels).div_ceil(self.per_bus);
                self.make(period, bus.clamp(1, BUS_CHUNK), echo);
            }
            let ready = &self.card[self.taken..self.made];
            let length = ready.len().min(rest.len().div_ceil(self.channels));
            let (now, later) = rest.split_at_mut((length * self.channels).min(rest.len()));
            for (frame, &sample) in now.chunks_mut(self.channels).zip(ready) {
                frame.fill(round(sample));
            }
            self.taken += length;
            rest = later;
        }
    }

    /// Makes `length` bus samples, and card samples of them.
    fn make(&mut self, period: usize, length: usize, echo: &mut Echo) {
        let mut bus = [0.0; BUS_CHUNK];
        let bus = &mut bus[..length];
        (self.taken, self.made) = (0, length * self.per_bus);
        let nothing = self.playout.is_off() && self.tones.is_idle();
        self.idle = if nothing {
            (self.idle + length).min(FLUSHED)
        } else {
            0
        };
        if self.idle < FLUSHED {
            self.playout.render(period, bus, &mut self.decoder);
            self.gate.apply(bus, if self.joined { 1.0 } else { 0.0 });
            self.tones.mix(bus);
            self.volume.apply(bus);
        }
        echo.far(bus);
        if let Some(window) = self.meter.take(bus) {
            self.stats.speaker.set(window.level);
        }
        let card = &mut self.card[..self.made];
        match &mut self.to_card {
            Some(_) if self.idle == FLUSHED => card.fill(0.0),
            Some(raiser) => raiser.process(bus, card),
            None => card.copy_from_slice(bus),
        }
    }
}

/// A factor; what it lifts above full scale is rounded off.
struct Gain {
    now: f32,
    wanted: f32,
}

/// Where rounding off begins: -2.5 dBFS.
const KNEE: f32 = 0.75 * FULL_SCALE;

impl Gain {
    fn new(db: f32) -> Self {
        let factor = amplitude(db);
        Self {
            now: factor,
            wanted: factor,
        }
    }

    fn set(&mut self, db: f32) {
        self.wanted = amplitude(db);
    }

    fn apply(&mut self, samples: &mut [f32]) {
        if self.now == 1.0 && self.wanted == 1.0 {
            return;
        }
        // A new factor is reached within the piece, so that nothing clicks.
        let step = (self.wanted - self.now) / samples.len() as f32;
        let mut peak = 0f32;
        for sample in &mut *samples {
            self.now += step;
            *sample *= self.now;
            peak = peak.max(sample.abs());
        }
        let most = self.now.max(self.wanted);
        self.now = self.wanted;
        if most > 1.0 && peak > KNEE {
            samples
                .iter_mut()
                .for_each(|sample| *sample = soft(*sample));
        }
    }
}

/// Bends what is above the knee so that it never reaches full scale.
fn soft(sample: f32) -> f32 {
    let over = (sample.abs() - KNEE).max(0.0);
    let room = FULL_SCALE - KNEE;
    let bent = sample.abs().min(KNEE) + room * over / (over + room);
    bent.copysign(sample)
}
