//! What must hold for any bytes at all, one function per door through which a
//! stranger's bytes come in.
//!
//! The fuzzer calls them with what it grows from `corpus/`; the test
//! `tests/socket_corpus.rs` with the same files and a seeded generator, so
//! every `cargo test` looks through the same doors for a second.
//!
//! To fuzz, with the stable compiler and `cargo install cargo-fuzz`:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run -s none frame -- -max_total_time=60`

use std::path::Path;
use std::time::Duration;

use callbox::audio::BUS_RATE;
use callbox::audio::prompt::PROMPT_MAX;
use callbox::config::profile::{self, Model};
use callbox::config::{self, Machine, wifi};
use callbox::edge::alsa::CardInfo;
use callbox::edge::recording;
use callbox::edge::store::{BLOB_MAX, COLUMNS_MAX, Column, EVENTS_MAX, NumberFilter, Timeline};
use callbox::trace::Counter;
use callbox::units::{ByteOrder, CallId, E164, Encoding, L16Rate, Mode};
use callbox::wire::control::{REQUEST_MAX, Reply, Request};
use callbox::wire::handshake::{self, HEAD_MAX, Refusal, Seen, SigningKey, Target};
use callbox::wire::media::{
    self, FIRST_SEQ, Inbound, Malformed, Media, Order, Recutter, SOUND_MAX, SPOKEN_MAX,
    TRANSCRIPT_MAX, Writer,
};
use callbox::wire::rest::{self, Answer, ApiError, Body, Headers, PhoneNumberId};

/// What a stream may hold.
const ENCODINGS: [Encoding; 7] = [
    Encoding::Pcmu,
    Encoding::Pcma,
    linear(L16Rate::K8, ByteOrder::Big),
    linear(L16Rate::K16, ByteOrder::Little),
    linear(L16Rate::K24, ByteOrder::Big),
    Encoding::Opus { rate: 8_000 },
    Encoding::Opus { rate: 48_000 },
];

const fn linear(rate: L16Rate, order: ByteOrder) -> Encoding {
    Encoding::L16 { rate, order }
}

/// Slots by which a message's numbers may move the stream: one second, twice
/// where the message before was too short to fill a slot and comes out first.
const JUMP: i64 = 2 * 50;

/// A request head as a stranger sends it.
pub fn handshake(bytes: &[u8]) {
    let outcome = handshake::parse(bytes);
    match &outcome {
        Ok(None) => assert!(bytes.len() < HEAD_MAX, "a head must end somewhere"),
        Ok(Some((request, length))) => {
            assert!(*length <= bytes.len().min(HEAD_MAX));
            // What follows the head has no part in it.
            let alone = handshake::parse(&bytes[..*length]);
            assert_eq!(alone.as_ref(), outcome.as_ref());
            assert!(request.key.is_some() || matches!(request.target, Target::Probe(_)));
            if let Some(key) = &request.key {
                let mode = Mode {
                    tts: true,
                    stt: false,
                };
                assert!(handshake::accept(key, mode).starts_with(b"HTTP/1.1 101 "));
            }
            let key = SigningKey::new("not the key it was signed with").expect("a key");
            let verdict = key.verify(
                request.signed.as_ref(),
                Some(0),
                Duration::ZERO,
                &mut Seen::default(),
            );
            assert_eq!(verdict, Err(Refusal::Forged));
        }
        Err(refusal) => {
            assert!((400..500).contains(&refusal.status().0));
            let unknown = refusal.counter() == Counter::HandshakesUnknownPath;
            assert_eq!(unknown, *refusal == Refusal::UnknownPath);
            assert!(handshake::refuse(*refusal).len() < 512);
        }
    }
}

/// A text message of the media stream.
pub fn frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    spoken(text);
    match media::parse(text) {
        Ok(Inbound::Media(message)) => sound(&message),
        Ok(Inbound::Start(start)) => {
            for order in [ByteOrder::Big, ByteOrder::Little] {
                match start.format.encoding(order) {
                    Ok(encoding) => {
                        assert!([8_000, 16_000, 24_000, 48_000].contains(&encoding.rate()))
                    }
                    Err(why) => assert!(why.to_string().contains("takes PCMU")),
                }
            }
            // Its name is safe in our own messages, whatever it is.
            let id = start.stream_id.as_deref();
            assert_eq!(decoded(Writer::new(id).media(&[1, 2, 3])), [1, 2, 3]);
            let done = media::write_audio_done(id);
            assert_eq!(media::parse(&done), Ok(Inbound::Unknown));
        }
        Ok(Inbound::Mark(name)) => {
            let echo = media::write_mark(&name);
            assert_eq!(media::parse(&echo), Ok(Inbound::Mark(name)));
        }
        Ok(Inbound::Stop { reason }) => {
            let said = media::write_stop(reason.as_deref().unwrap_or_default());
            assert!(matches!(media::parse(&said), Ok(Inbound::Stop { .. })));
            reason.iter().for_each(|reason| harmless(reason, 256));
        }
        Ok(Inbound::Dtmf(digit)) => assert!("0123456789*#ABCD".contains(digit.key())),
        Ok(Inbound::Transcript(words)) => {
            harmless(&words.text, TRANSCRIPT_MAX);
            words.turn.iter().for_each(|turn| harmless(turn, 256));
        }
        Ok(Inbound::BargeIn(barge_in)) => {
            let text = barge_in.text.iter();
            text.for_each(|text| harmless(text, TRANSCRIPT_MAX));
            let names = barge_in.trigger.iter().chain(&barge_in.turn);
            names.for_each(|name| harmless(name, 256));
        }
        Ok(Inbound::Error { code, text }) => {
            harmless(&code, 256);
            harmless(&text, 2 * 256 + 2);
        }
        Ok(Inbound::Connected | Inbound::Unknown) | Err(_) => {}
    }
}

/// Any text at all may be asked to be spoken.
fn spoken(text: &str) {
    let clean = media::clean(text, SPOKEN_MAX);
    harmless(&clean, SPOKEN_MAX);
    let mut whole = String::new();
    for sentence in media::sentences(&clean) {
        whole.push_str(sentence);
        let delta = media::write_text(sentence);
        assert_eq!(media::parse(&delta), Ok(Inbound::Unknown), "{delta}");
    }
    assert_eq!(whole, clean);
}

/// One line of bounded length that a terminal can show.
fn harmless(text: &str, max: usize) {
    assert!(text.len() <= max, "{} bytes", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}

fn sound(message: &Media<'_>) {
    let mut sound = vec![0; 7];
    match message.decode(&mut sound) {
        Ok(()) => assert!(sound.len() <= SOUND_MAX),
        Err(_) => assert!(sound.is_empty()),
    }
    assert_eq!(decoded(Writer::new(None).media(&sound)), sound);
    for encoding in ENCODINGS {
        let mut slots = 0;
        let cut = Recutter::new(encoding).put(message.order, &sound, |_| slots += 1);
        match encoding.block_bytes() {
            Some(bytes) => assert_eq!(slots, sound.len() / bytes),
            None => assert_eq!(slots, usize::from(cut.is_ok() && !sound.is_empty())),
        }
        let linear = matches!(encoding, Encoding::L16 { .. });
        if linear {
            let half = sound.len() % 2 == 1;
            assert_eq!(cut, if half { Err(Malformed::Sound) } else { Ok(()) });
        }
    }
}

/// The sound of one of our own messages.
fn decoded(text: &str) -> Vec<u8> {
    let Ok(Inbound::Media(message)) = media::parse(text) else {
        panic!("our own message is not read: {text}");
    };
    let mut sound = Vec::new();
    message.decode(&mut sound).expect("our own base64");
    sound
}

/// A stream whose messages are numbered by whoever wrote `bytes`. The first
/// byte says which encoding, and to which one it changes half-way. Then six
/// bytes each: which numbers there are and whether they jump, the step of the
/// chunk, the step of the timestamp in 5 ms, the length, and what it is made of.
pub fn recut(bytes: &[u8]) {
    let Some((&kinds, bytes)) = bytes.split_first() else {
        return;
    };
    let of = |kind: u8| ENCODINGS[usize::from(kind) % ENCODINGS.len()];
    let mut encoding = of(kinds & 0x0F);
    let mut recutter = Recutter::new(encoding);
    let mut furthest = i64::from(FIRST_SEQ);
    let (mut chunk, mut timestamp) = (0_u64, 0_u64);
    let (messages, _) = bytes.as_chunks();
    for (n, &[kind, step, time, low, high, byte]) in messages.iter().enumerate() {
        let mut slots = 0;
        let before = furthest;
        if n == messages.len() / 2 {
            recutter.switch(of(kinds >> 4), |slot| {
                fits(encoding, slot.payload);
                furthest = furthest.max(i64::from(slot.seq));
                slots += 1;
            });
            encoding = of(kinds >> 4);
        }
        let far = |bit: u8| if kind & bit == 0 { 1 } else { 1 << 40 };
        chunk = chunk.wrapping_add_signed(i64::from(step as i8) * far(1));
        timestamp = timestamp.wrapping_add_signed(5 * i64::from(time as i8) * far(2));
        let order = Order {
            chunk: (kind & 4 == 0).then_some(chunk),
            timestamp: (kind & 8 == 0).then_some(timestamp),
        };
        let sound = vec![byte; usize::from(u16::from_le_bytes([low, high & 0x0F]))];
        // An Opus packet is one slot, and as long as six.
        let bytes = encoding.block_bytes().unwrap_or(sound.len().max(1));
        let most = (sound.len() / bytes + 6) as i64;
        let cut = recutter.put(order, &sound, |slot| {
            fits(encoding, slot.payload);
            let seq = i64::from(slot.seq);
            assert!(
                seq <= before + JUMP + most,
                "{seq} is too far past {before}"
            );
            assert!(
                seq >= before - JUMP - most,
                "{seq} is too far behind {before}"
            );
            furthest = furthest.max(seq);
            slots += 1;
        });
        assert!(slots <= most, "{slots} slots of {} bytes", sound.len());
        assert!(cut.is_ok() || matches!(encoding, Encoding::L16 { .. } | Encoding::Opus { .. }));
    }
    let mut rest = 0;
    recutter.finish(|_| rest += 1);
    recutter.finish(|_| rest += 1);
    assert!(rest <= 1, "a rest is handed out once");
}

fn fits(encoding: Encoding, payload: &[u8]) {
    match encoding.block_bytes() {
        Some(bytes) => assert_eq!(payload.len(), bytes),
        None => assert!(!payload.is_empty()),
    }
}

/// An answer of the REST interface: a line `status retry-after`, then the body.
pub fn rest(bytes: &[u8]) {
    let end = bytes
        .iter()
        .position(|&b| b == b'\n')
        .unwrap_or(bytes.len());
    let (line, body) = bytes.split_at(end);
    let line = std::str::from_utf8(line).unwrap_or_default();
    let (status, wait) = line.split_once(' ').unwrap_or((line, ""));
    let answer = Answer {
        status: status.parse().unwrap_or(200),
        headers: Headers {
            retry_after: Some(wait),
            limit: Some(wait),
            remaining: Some(wait),
            reset: Some(wait),
            location: Some(wait),
        },
        body: Body::Whole(body.strip_prefix(b"\n").unwrap_or(body)),
    };
    let call = CallId::parse("6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11").expect("an id");
    let number = PhoneNumberId::parse(call.as_str()).expect("a UUID");
    let errors: [Option<ApiError>; 7] = [
        rest::read_placed(&answer).err(),
        rest::read_call(&answer, &call).err(),
        rest::read_hang_up(&answer, &call).err(),
        rest::read_page(&answer).err(),
        rest::read_numbers(&answer).err(),
        rest::read_number(&answer, &number).err(),
        rest::read_transcript(&answer, &call).err(),
    ];
    for error in errors.into_iter().flatten() {
        let words = error.to_string();
        assert!(!words.is_empty() && words.len() < 4096, "{words}");
        assert!(!words.contains(['\n', '\u{1b}']), "one safe line: {words}");
        _ = error.next();
    }
    if let Ok(page) = rest::read_page(&answer) {
        assert!(page.calls.len() + page.unreadable <= body.len());
    }
    for number in rest::read_numbers(&answer).into_iter().flatten() {
        // The path of a stream's address is a secret.
        let shown = number.client_websocket_url.map(|url| url.to_string());
        assert!(shown.is_none_or(|url| url.ends_with("/…") || url.starts_with('(')));
    }
    for segment in rest::read_transcript(&answer, &call).into_iter().flatten() {
        assert!(segment.text.len() <= 2048);
        assert!(!segment.text.contains(char::is_control));
    }
    _ = rest::read_date(line);
}

/// A configuration file as an installer saved it.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let path = Path::new("callbox.toml");
    match config::parse(path, text) {
        Ok(file) => {
            let shown = toml::to_string(&file).expect("checked values can be shown");
            let again = config::parse(path, &shown).expect("what is shown can be read");
            let again = toml::to_string(&again).expect("as before");
            assert_eq!(again, shown, "it means the same");
            let mut settled = file;
            settled.settle(&pi());
            let shown = toml::to_string(&settled).expect("settled values can be shown");
            config::parse(path, &shown).expect("and read");
        }
        Err(fault) => {
            let words = fault.to_string();
            assert!(words.starts_with("callbox.toml:"), "{words}");
            assert!(!words.contains(['\n', '\u{1b}']), "one safe line: {words}");
        }
    }
}

/// The Wi-Fi networks on a card.
pub fn wifi(bytes: &[u8]) {
    let Ok(text) = config::plain_text(bytes) else {
        return;
    };
    let read = wifi::parse(&text);
    assert!(read.networks.len() <= wifi::NETWORKS_MAX);
    let lines = 1 + text.matches(['\n', '\r']).count();
    for network in &read.networks {
        assert!((1..=32).contains(&network.ssid.len()));
    }
    for wrong in &read.wrongs {
        assert!((1..=lines).contains(&wrong.line), "{wrong:?}");
        assert!(!wrong.what.contains(char::is_control), "{wrong:?}");
    }
    let blotted = wifi::blot(bytes, &read);
    assert_eq!(blotted.len(), bytes.len(), "nothing is moved on the card");
    let text = config::plain_text(&blotted).expect("as good a text as before");
    let again = wifi::parse(&text);
    if !read.wrongs.is_empty() {
        return;
    }
    assert!(!again.has_secrets(), "all of them were taken: {text:?}");
    // The hash is slow by design.
    if bytes.len().is_multiple_of(8) {
        let (kept, _) = read.keep(&wifi::Kept::default());
        assert_eq!(again.keep(&kept).0, kept, "the next boot knows the same");
        let file = kept.supplicant();
        assert_eq!(
            file.matches("network={").count(),
            file.matches("}\n").count()
        );
        assert!(!file.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
    }
}

/// A board with a card, for a configuration to be settled on.
fn pi() -> Machine {
    Machine {
        model: Model::read(b"Raspberry Pi 5 Model B Rev 1.0\0"),
        cards: vec![CardInfo {
            id: "Device".to_owned(),
            driver: "USB-Audio".to_owned(),
            microphone: Some(0),
            speaker: Some(0),
            ..CardInfo::default()
        }],
    }
}

/// A profile as somebody wrote it, and what a machine says it is.
pub fn profile(bytes: &[u8]) {
    if let Some(model) = Model::read(bytes) {
        let words = model.to_string();
        assert!(
            !words.contains(char::is_control),
            "one safe line: {words:?}"
        );
        let board = profile::Board::of_model(&model);
        assert!(board.is_none() || words.starts_with("Raspberry Pi"));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        profile::try_read(text);
    }
}

/// A line of the control socket, from either end.
pub fn control(bytes: &[u8]) {
    let line = &bytes[..bytes.len().min(REQUEST_MAX)];
    match Request::parse(line) {
        Ok(request) => assert_eq!(Request::parse(&request.line()), Ok(request)),
        Err(words) => {
            assert!(words.contains("call, hangup, status and probe"), "{words}");
            let reply = Reply::Error(words);
            assert_eq!(Reply::parse(&reply.line()), Ok(reply));
        }
    }
    // The daemon's answer is read by the client.
    if let Err(words) = Reply::parse(bytes) {
        assert!(words.contains("cannot be read"), "{words}");
    }
}

/// A timeline out of the database, whose sum is made right; and one put
/// together from the same bytes.
pub fn timeline(bytes: &[u8]) {
    if let Ok(read) = Timeline::decode(bytes) {
        sound_timeline(&read);
    }
    let mut sealed = bytes.to_vec();
    sealed.extend(crc32(bytes).to_le_bytes());
    match Timeline::decode(&sealed) {
        Ok(read) => sound_timeline(&read),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
    let mut made = Timeline::default();
    for piece in bytes.as_chunks().0 {
        let [a, b, c, d, e, f, g, h] = *piece;
        let at_ms = u32::from_le_bytes([a, b, c, d]);
        made.put(
            at_ms,
            Column {
                mic_db: e.cast_signed(),
                far_db: f.cast_signed(),
                delay_ms: u16::from_le_bytes([e, f]),
                concealed_ms: u16::from_le_bytes([g, h]),
                dropped_ms: u16::from_le_bytes([h, g]),
            },
        );
        made.note(at_ms, &String::from_utf8_lossy(piece).repeat(4));
    }
    sound_timeline(&made);
}

fn sound_timeline(timeline: &Timeline) {
    assert!(timeline.step_ms > 0);
    assert!(timeline.columns.len() <= COLUMNS_MAX);
    assert!(timeline.events.len() <= EVENTS_MAX);
    let blob = timeline.encode();
    assert!(blob.len() <= BLOB_MAX, "{} bytes", blob.len());
    assert_eq!(Timeline::decode(&blob).as_ref(), Ok(timeline));
}

/// ISO 3309, as the blob's last four bytes have it.
fn crc32(bytes: &[u8]) -> u32 {
    let byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, byte)
}

/// A recording of the installer, or one that `callbox audio play` is given.
pub fn recording(bytes: &[u8]) {
    match recording::decode(bytes, PROMPT_MAX / BUS_RATE as usize) {
        Ok(sound) => assert!((1..=PROMPT_MAX).contains(&sound.len())),
        Err(fault) => {
            let words = fault.to_string();
            assert!(!words.contains(['\n', '\u{1b}']), "one safe line: {words}");
        }
    }
}

/// A number, or the end of one, as somebody types it.
pub fn number(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match NumberFilter::parse(text) {
        Ok(NumberFilter::Whole(number)) => {
            assert_eq!(E164::parse(text).as_ref(), Ok(&number));
            assert_eq!(E164::parse(number.as_str()), Ok(number));
        }
        Ok(NumberFilter::EndsIn(digits)) => {
            assert!((1..=15).contains(&digits.len()));
            assert!(digits.bytes().all(|b| b.is_ascii_digit()));
        }
        Err(why) => {
            let words = why.to_string();
            assert!(!words.contains(['\n', '\u{1b}']), "one safe line: {words}");
        }
    }
}
