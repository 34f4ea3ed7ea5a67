//! What the simulated service owns, how it behaves and what its callee does.
//!
//! Everything has a default that makes a working service with one number, a
//! callee who answers and speaks, and a clean line; a test changes the one
//! field it is about. [`Callee`] and [`Line`] can be changed
//! while the service runs, through [`Handle`](super::Handle).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::codec::Encoding;
use super::keypad::Keys;
use super::line::Line;
use super::recognizer::Utterance;
use super::speech;

/// The key of the default configuration that sees the whole organization.
pub const API_KEY: &str = "simulator-admin-key";
/// The key of the default configuration that is bound to [`IDENTITY`].
pub const IDENTITY_KEY: &str = "simulator-identity-key";
/// The organization of the default configuration.
pub const ORGANIZATION: &str = "simulator";
/// The agent identity of the default configuration, a UUID.
pub const IDENTITY: &str = "5b1f60de-3c58-4c8e-9f55-0d6a8f3f2a11";
/// The telephone number of the default configuration.
pub const NUMBER: &str = "+15005550100";
/// The UUID of [`NUMBER`].
pub const NUMBER_ID: &str = "8d7f2a9c-41a6-4f0b-b1de-6f0c4b7a9e02";

/// A simulated service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens. Port 0, the default, takes any free one.
    pub listen: SocketAddr,
    /// What comes before `/place-call`. Default `/api/v1/phone`.
    pub base_path: String,
    /// Who may ask.
    pub keys: Vec<ApiKey>,
    /// The telephone numbers, of all organizations.
    pub numbers: Vec<Number>,
    /// What an organization may use in 24 hours.
    pub limits: Limits,
    /// Who answers, unless a number has a callee of its own
    /// ([`Handle::set_callee_for`](super::Handle::set_callee_for)).
    pub callee: Callee,
    /// What lies between the service and the device.
    pub line: Line,
    /// What else differs between versions of the service.
    pub service: Service,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            base_path: "/api/v1/phone".into(),
            keys: vec![
                ApiKey {
                    secret: API_KEY.into(),
                    organization: ORGANIZATION.into(),
                    identity: None,
                },
                ApiKey {
                    secret: IDENTITY_KEY.into(),
                    organization: ORGANIZATION.into(),
                    identity: Some(IDENTITY.into()),
                },
            ],
            numbers: vec![Number::default()],
            limits: Limits::default(),
            callee: Callee::default(),
            line: Line::default(),
            service: Service::default(),
        }
    }
}

/// A key for the `X-API-Key` header.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// What the header holds.
    pub secret: String,
    /// Whose calls and numbers it sees.
    pub organization: String,
    /// Bound to one agent identity (UUID): sees that identity's numbers only,
    /// and never a blocked call. `None` is an admin key.
    pub identity: Option<String>,
}

/// A telephone number of the service.
#[derive(Debug, Clone)]
pub struct Number {
    /// Its UUID.
    pub id: String,
    /// Its E.164 form.
    pub number: String,
    /// Who owns it.
    pub organization: String,
    /// The agent identity it is assigned to, a UUID.
    pub identity: Option<String>,
    /// Whether calls can be placed from it.
    pub active: bool,
    /// What is done with calls to it. Default: they are rejected.
    pub incoming_call_action: IncomingAction,
    /// Where the media of inbound calls goes, and of outbound ones whose
    /// request names no URL.
    pub client_websocket_url: Option<String>,
    /// Who would be asked by [`IncomingAction::Webhook`].
    pub incoming_call_webhook_url: Option<String>,
    /// Callers a contact rule rejects, in E.164 form.
    pub blocked_callers: Vec<String>,
}

impl Default for Number {
    fn default() -> Self {
        Self {
            id: NUMBER_ID.into(),
            number: NUMBER.into(),
            organization: ORGANIZATION.into(),
            identity: Some(IDENTITY.into()),
            active: true,
            incoming_call_action: IncomingAction::AutoReject,
            client_websocket_url: None,
            incoming_call_webhook_url: None,
            blocked_callers: Vec::new(),
        }
    }
}

/// What the service does with a call to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncomingAction {
    /// Answers it and opens a media stream to the number's URL.
    AutoAccept,
    /// Rejects it.
    AutoReject,
    /// Asks a webhook. Here nobody is asked, and the call is rejected.
    Webhook,
}

impl IncomingAction {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::AutoAccept, Self::AutoReject, Self::Webhook];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AutoAccept => "auto_accept",
            Self::AutoReject => "auto_reject",
            Self::Webhook => "webhook",
        }
    }
}

/// What an organization may use in any 24 hours.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Calls placed. Default 100.
    pub calls: u32,
    /// Minutes of answered calls. Default 100.
    pub minutes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 100,
            minutes: 100,
        }
    }
}

/// What is not settled by the public documents, or differs between versions.
#[derive(Debug, Clone)]
pub struct Service {
    /// Signs handshakes when set; a leading `whsec_` is not part of the key.
    pub signing_key: Option<String>,
    /// Which shape `X-Call-Context` has.
    pub context: ContextShape,
    /// Whether the paths under `/calls` exist, which name no number. Off: 404.
    /// Default on.
    pub newer_paths: bool,
    /// Whether `POST /calls/{id}/hangup` exists. Off: 404. Default on.
    pub hangup_by_rest: bool,
    /// Whether transcripts can be fetched. Off: 404. Default on.
    pub transcripts_by_rest: bool,
    /// Whether a `connected` frame comes before `start`. Default on.
    pub connected_frame: bool,
    /// How sound is sent to the device and understood from it. Default PCMU.
    pub encoding: Encoding,
    /// What `start` says of the sound. Default: what it is.
    pub announce: Announce,
    /// Whether `sequence_number`, `chunk` and `timestamp` are sent as strings.
    pub numbers_as_text: bool,
    /// Whether marks are sent back when they are reached. Default on.
    pub returns_marks: bool,
    /// Whether answers carry `Date`, by which a device without a clock of its
    /// own knows the time. Default on.
    pub tells_time: bool,
    /// From the answer of place-call to `ringing`. Default 200 ms.
    pub ring_after: Duration,
    /// The longest a call may last from its answer. Default 15 min.
    pub max_duration: Duration,
    /// A call ends when the device has sent no audio for so long, unless the
    /// service speaks for it. Default 10 s; `None` lets it linger to
    /// `max_duration`.
    pub ends_without_audio: Option<Duration>,
    /// How soon the media socket is dialed again after close 4500. Default
    /// 500 ms; `None` never.
    pub redial_after_4500: Option<Duration>,
    /// How soon it is dialed again after it was lost or refused otherwise.
    /// Default `None`: never. The call goes on without sound.
    pub redial_after_loss: Option<Duration>,
    /// Whether voicemail is looked for, where place-call does not say. Default
    /// on. Off, a machine is a callee like any other.
    pub voicemail_detection: bool,
    /// How long a voicemail greets before detection ends the call. Default
    /// 3.5 s.
    pub voicemail_detected_after: Duration,
    /// Whether the voice falls silent when the callee speaks over it. Default
    /// on. Off, `barge_in` says `tts_interrupted: false`.
    pub barge_in: bool,
    /// How much the callee's telephone holds back before it plays, after each
    /// time it ran dry. Default 40 ms.
    pub phone_buffer: Duration,
    /// PEM certificates to trust for `wss://`, beside the public ones.
    pub extra_ca_pem: Option<String>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            signing_key: None,
            context: ContextShape::Newer,
            newer_paths: true,
            hangup_by_rest: true,
            transcripts_by_rest: true,
            connected_frame: true,
            encoding: Encoding::Pcmu,
            announce: Announce::AsSent,
            numbers_as_text: false,
            returns_marks: true,
            tells_time: true,
            ring_after: Duration::from_millis(200),
            max_duration: Duration::from_secs(15 * 60),
            ends_without_audio: Some(Duration::from_secs(10)),
            redial_after_4500: Some(Duration::from_millis(500)),
            redial_after_loss: None,
            voicemail_detection: true,
            voicemail_detected_after: Duration::from_millis(3500),
            barge_in: true,
            phone_buffer: Duration::from_millis(40),
            extra_ca_pem: None,
        }
    }
}

/// The two shapes of the `X-Call-Context` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextShape {
    /// `{"call_id", "phone_number", "direction"}`.
    Older,
    /// The call object itself, with `contacts`.
    Newer,
}

/// What the `start` frame says of the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announce {
    /// What it is, one channel.
    AsSent,
    /// No `media_format` at all.
    Nothing,
    /// Something else, to see it refused.
    Other {
        /// `G722`, …
        encoding: String,
        /// Samples a second.
        sample_rate: u32,
    },
}

/// Who is called, and what they do.
#[derive(Debug, Clone)]
pub struct Callee {
    /// Whether and when they pick up.
    pub answer: Answer,
    /// What the device then hears of them.
    pub says: Says,
    /// When they hang up.
    pub hangs_up: HangsUp,
    /// The keys of their telephone they press.
    pub keys: Keys,
    /// What speech-to-text makes of them. Nothing, where the device listens
    /// itself.
    pub words: Vec<Utterance>,
}

impl Default for Callee {
    /// Answers after 1.2 s, says the bundled words and hangs up.
    fn default() -> Self {
        Self::speaking(speech::callee())
    }
}

impl Callee {
    /// Answers after 1.2 s, says `samples` and hangs up half a second later.
    #[must_use]
    pub fn speaking(samples: Vec<i16>) -> Self {
        Self {
            answer: Answer::After(Duration::from_millis(1200)),
            says: Says::Speech(samples.into()),
            hangs_up: HangsUp::AfterSpeech(Duration::from_millis(500)),
            keys: Keys::default(),
            words: Vec::new(),
        }
    }

    /// Answers after 1.2 s, repeats what they hear, and stays.
    #[must_use]
    pub fn echoing() -> Self {
        Self {
            answer: Answer::After(Duration::from_millis(1200)),
            says: Says::Echo,
            hangs_up: HangsUp::Never,
            keys: Keys::default(),
            words: Vec::new(),
        }
    }

    /// Does not pick up at all, in the way `answer` says.
    #[must_use]
    pub fn absent(answer: Answer) -> Self {
        Self {
            answer,
            says: Says::Silence,
            hangs_up: HangsUp::Never,
            keys: Keys::default(),
            words: Vec::new(),
        }
    }

    /// The same, who also presses the keys of `digits`, the first so long after
    /// they can be heard, the others 300 ms apart.
    #[must_use]
    pub fn pressing(mut self, at: Duration, digits: &str) -> Self {
        self.keys.add(at, digits);
        self
    }

    /// The same, of whom speech-to-text makes `text`, from so long after they
    /// can be heard.
    #[must_use]
    pub fn saying(mut self, at: Duration, text: &str) -> Self {
        let text = text.to_owned();
        self.words.push(Utterance { at, text });
        self
    }
}

/// Whether and when a callee picks up; times are from `ringing` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Picks up after so long.
    After(Duration),
    /// Lets it ring until the carrier gives up: `canceled`.
    RingsOut(Duration),
    /// Declines: `canceled`, reason `rejected`.
    Rejects(Duration),
    /// A machine picks up and greets with what the callee says; detection, if
    /// it is on, ends the call, reason `voicemail`.
    Voicemail(Duration),
    /// The carrier cannot connect it: `failed`.
    Fails(Duration),
    /// The carrier refuses at once: place-call answers 502.
    DialFails,
}

/// What the device hears of the callee.
#[derive(Debug, Clone)]
pub enum Says {
    /// These samples, 8000 a second, then silence.
    Speech(Arc<[i16]>),
    /// What the callee hears, as soon as they hear it.
    Echo,
    /// Packets of silence.
    Silence,
    /// These samples, over and over: a machine that keeps talking.
    Forever(Arc<[i16]>),
    /// These samples, then no packets at all: sound one way only.
    SpeechThenNoMedia(Arc<[i16]>),
}

/// When a callee hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangsUp {
    /// They wait for the other end to.
    Never,
    /// So long after they answered.
    After(Duration),
    /// So long after their speech is over.
    AfterSpeech(Duration),
}

/// Which requests a [`Fault`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /place-call`.
    Place,
    /// Both forms of list calls.
    List,
    /// Both forms of get call.
    Get,
    /// `POST /calls/{id}/hangup`.
    HangUp,
    /// Both forms of transcripts.
    Transcripts,
    /// List and get of numbers.
    Numbers,
    /// `PATCH /numbers/{id}`.
    UpdateNumber,
    /// `/incoming-call-action`, read and set.
    IncomingAction,
    /// Whatever comes.
    Any,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Never acted on, never answered.
    TimeOutBefore,
    /// Acted on, and never answered.
    TimeOutAfter,
    /// Not acted on; the connection closes without an answer.
    DropBefore,
    /// Acted on; the connection closes without an answer.
    DropAfter,
    /// Not acted on; this status with a JSON `detail`.
    Status(u16),
    /// Not acted on; this status with a body that is not JSON.
    NotJson(u16),
    /// A captive portal answers in the service's place: 200 with HTML.
    CaptivePortal,
    /// A captive portal sends the client elsewhere: 302.
    Redirect(String),
    /// Acted on; the connection closes in the middle of the answer.
    Truncated,
    /// Acted on; the answer is valid JSON of about so many bytes.
    Oversized(usize),
    /// Acted on; the answer is about a call or a number nobody asked for.
    AnotherOne,
    /// Acted on; the answer comes so much later.
    Slow(Duration),
}
