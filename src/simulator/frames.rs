//! The frames of the media stream, as the service reads and writes them.
//!
//! Written from the description of the stream, not from `crate::wire`: what the
//! device gets wrong is to show here. So reading is strict where the device is
//! held to a form: the stream's own id, text a voice can speak. What a payload
//! holds is the codec's affair.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::codec::Encoding;
use super::config::Announce;
use super::exchange::{Party, Reason};
use super::recognizer::Heard;

/// Longest name of a mark.
const MARK_MAX: usize = 256;
/// Milliseconds of a packet that is sent.
const PACKET_MS: u64 = 20;

/// A frame of the device.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FromDevice {
    /// A payload, as it came.
    Media(Vec<u8>),
    /// The end of an utterance in sound.
    AudioDone,
    /// Text to be spoken; `done` is the end of what belongs together.
    Text {
        delta: String,
        done: bool,
    },
    /// The device's own speech-to-text.
    Transcript {
        party: Party,
        text: String,
        is_final: bool,
    },
    Clear,
    Mark(String),
    Stop,
}

/// Reads a frame of the device.
pub(super) fn read(text: &str, stream_id: &str) -> Result<FromDevice, String> {
    let frame: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let event = frame["event"].as_str().ok_or("no \"event\"")?;
    match frame.get("stream_id") {
        Some(Value::String(id)) if id != stream_id => {
            return Err(format!("{event}: stream_id {id:?} is not this stream's"));
        }
        Some(Value::String(_) | Value::Null) => {}
        None if !matches!(event, "media" | "audio_done") => {}
        Some(_) | None => return Err(format!("{event}: no stream_id")),
    }
    match event {
        "media" => media(&frame["media"]).map_err(|why| format!("media: {why}")),
        "clear" => Ok(FromDevice::Clear),
        "mark" => match frame["mark"]["name"].as_str() {
            Some(name) if name.len() <= MARK_MAX => Ok(FromDevice::Mark(name.into())),
            Some(_) => Err(format!("mark: a name longer than {MARK_MAX} bytes")),
            None => Err("mark: no mark.name".into()),
        },
        "stop" => Ok(FromDevice::Stop),
        "audio_done" => Ok(FromDevice::AudioDone),
        "text" => text_frame(&frame).map_err(|why| format!("text: {why}")),
        "transcript" => transcript(&frame).map_err(|why| format!("transcript: {why}")),
        other => Err(format!("unknown event {other:?}")),
    }
}

fn text_frame(frame: &Value) -> Result<FromDevice, String> {
    let done = match &frame["done"] {
        Value::Null => false,
        Value::Bool(done) => *done,
        other => return Err(format!("done is {other}, neither true nor false")),
    };
    let delta = match &frame["delta"] {
        Value::Null if done => String::new(),
        Value::String(delta) => delta.clone(),
        _ => return Err("neither delta nor done".into()),
    };
    // A line's end is a pause; nothing else of the kind can be spoken.
    match delta.chars().find(|c| c.is_control() && *c != '\n') {
        Some(c) => Err(format!("{c:?} cannot be spoken")),
        None => Ok(FromDevice::Text { delta, done }),
    }
}

fn transcript(frame: &Value) -> Result<FromDevice, String> {
    let party = match frame["party"].as_str() {
        Some("local") => Party::Local,
        Some("remote") => Party::Remote,
        _ => return Err("party is neither \"local\" nor \"remote\"".into()),
    };
    let text = frame["text"].as_str().ok_or("no text")?.to_owned();
    let is_final = frame["is_final"].as_bool().ok_or("no is_final")?;
    Ok(FromDevice::Transcript {
        party,
        text,
        is_final,
    })
}

fn media(media: &Value) -> Result<FromDevice, String> {
    if !matches!(media["track"].as_str(), None | Some("outbound")) {
        return Err(format!("track {} is not \"outbound\"", media["track"]));
    }
    let payload = media["payload"].as_str().ok_or("no payload")?;
    let bytes = STANDARD
        .decode(payload)
        .map_err(|error| format!("payload is not base64: {error}"))?;
    Ok(FromDevice::Media(bytes))
}

/// Writes the frames of one stream, which are numbered from 1.
#[derive(Debug)]
pub(super) struct Writer {
    stream_id: String,
    numbers_as_text: bool,
    sequence: u64,
    chunk: u64,
}

impl Writer {
    pub(super) fn new(stream_id: String, numbers_as_text: bool) -> Self {
        Self {
            stream_id,
            numbers_as_text,
            sequence: 0,
            chunk: 0,
        }
    }

    pub(super) fn stream_id(&self) -> &str {
        &self.stream_id
    }

    pub(super) fn connected(&self) -> String {
        json!({"event": "connected", "version": "1.0.0"}).to_string()
    }

    pub(super) fn start(&mut self, call: &str, encoding: Encoding, announce: &Announce) -> String {
        let mut start = json!({"call_control_id": call});
        let format = match announce {
            Announce::AsSent => Some((encoding.name(), encoding.rate())),
            Announce::Nothing => None,
            Announce::Other {
                encoding,
                sample_rate,
            } => Some((encoding.as_str(), *sample_rate)),
        };
        if let Some((encoding, sample_rate)) = format {
            start["media_format"] =
                json!({"encoding": encoding, "sample_rate": sample_rate, "channels": 1});
        }
        self.numbered(json!({"event": "start", "start": start}))
    }

    /// One packet of 20 ms.
    pub(super) fn media(&mut self, payload: &[u8]) -> String {
        self.chunk += 1;
        let chunk = self.number(self.chunk);
        let timestamp = self.number((self.chunk - 1) * PACKET_MS);
        self.numbered(json!({"event": "media", "media": {
            "track": "inbound",
            "chunk": chunk,
            "timestamp": timestamp,
            "payload": STANDARD.encode(payload),
        }}))
    }

    pub(super) fn mark(&mut self, name: &str) -> String {
        self.numbered(json!({"event": "mark", "mark": {"name": name}}))
    }

    pub(super) fn digit(&mut self, digit: char) -> String {
        self.numbered(json!({"event": "dtmf", "dtmf": {"digit": digit.to_string()}}))
    }

    pub(super) fn transcript(&mut self, heard: &Heard) -> String {
        self.numbered(json!({
            "event": "transcript",
            "text": heard.text,
            "is_final": heard.is_final,
            "turn_id": heard.turn,
        }))
    }

    pub(super) fn barge_in(&mut self, heard: &Heard, interrupted: bool) -> String {
        self.numbered(json!({
            "event": "barge_in",
            "trigger": "speech",
            "text": heard.text,
            "tts_interrupted": interrupted,
            "turn_id": heard.turn,
        }))
    }

    pub(super) fn error(&mut self, detail: &str) -> String {
        self.numbered(json!({"event": "error", "payload": {
            "code": 100_002,
            "title": "Malformed frame",
            "detail": detail,
        }}))
    }

    pub(super) fn stop(&mut self, reason: Option<Reason>) -> String {
        let reason = reason.map(Reason::as_str);
        self.numbered(json!({"event": "stop", "reason": reason}))
    }

    fn numbered(&mut self, mut frame: Value) -> String {
        self.sequence += 1;
        frame["sequence_number"] = self.number(self.sequence);
        frame["stream_id"] = json!(self.stream_id);
        frame.to_string()
    }

    fn number(&self, n: u64) -> Value {
        if self.numbers_as_text {
            json!(n.to_string())
        } else {
            json!(n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_device_are_read() {
        let payload = STANDARD.encode([0xff; 160]);
        let media = format!(
            r#"{{"event":"media","stream_id":"s","media":{{"payload":"{payload}","track":"outbound"}}}}"#
        );
        let text = |delta: &str, done| FromDevice::Text {
            delta: delta.into(),
            done,
        };
        let cases = [
            (media.as_str(), FromDevice::Media(vec![0xff; 160])),
            (r#"{"event":"clear"}"#, FromDevice::Clear),
            (
                r#"{"event":"mark","stream_id":"s","mark":{"name":"m"}}"#,
                FromDevice::Mark("m".into()),
            ),
            (r#"{"event":"stop","reason":"bye"}"#, FromDevice::Stop),
            (
                r#"{"event":"audio_done","stream_id":"s"}"#,
                FromDevice::AudioDone,
            ),
            (
                r#"{"event":"text","delta":"Water\nin the cellar","turn_id":"t"}"#,
                text("Water\nin the cellar", false),
            ),
            (r#"{"event":"text","done":true}"#, text("", true)),
            (
                r#"{"event":"text","delta":"all at once","done":true}"#,
                text("all at once", true),
            ),
            (
                r#"{"event":"transcript","party":"remote","text":"yes","is_final":true}"#,
                FromDevice::Transcript {
                    party: Party::Remote,
                    text: "yes".into(),
                    is_final: true,
                },
            ),
        ];
        for (text, want) in cases {
            assert_eq!(read(text, "s"), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_frames_say_why() {
        let cases = [
            ("{", "not JSON"),
            ("[]", "no \"event\""),
            (r#"{"event":"hangup"}"#, "unknown event"),
            (r#"{"event":"media"}"#, "no stream_id"),
            (r#"{"event":"clear","stream_id":"x"}"#, "not this stream's"),
            (r#"{"event":"media","stream_id":"s"}"#, "no payload"),
            (
                r#"{"event":"media","stream_id":"s","media":{"payload":"%"}}"#,
                "not base64",
            ),
            (
                r#"{"event":"media","stream_id":"s","media":{"track":"inbound"}}"#,
                "track",
            ),
            (r#"{"event":"mark"}"#, "no mark.name"),
            (r#"{"event":"audio_done"}"#, "no stream_id"),
            (r#"{"event":"text"}"#, "neither delta nor done"),
            (r#"{"event":"text","delta":1}"#, "neither delta nor done"),
            (r#"{"event":"text","done":"yes"}"#, "neither true nor false"),
            (
                r#"{"event":"text","delta":"bell \u0007"}"#,
                "cannot be spoken",
            ),
            (r#"{"event":"transcript","text":"x"}"#, "party"),
            (
                r#"{"event":"transcript","party":"local","is_final":true}"#,
                "no text",
            ),
            (
                r#"{"event":"transcript","party":"local","text":"x"}"#,
                "no is_final",
            ),
        ];
        for (text, want) in cases {
            let error = read(text, "s").unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn media_is_numbered_from_one() {
        for as_text in [false, true] {
            let mut writer = Writer::new("s".into(), as_text);
            writer.start("call", Encoding::Pcmu, &Announce::AsSent);
            writer.media(&[0; 160]);
            let second: Value = serde_json::from_str(&writer.media(&[0; 160])).unwrap();
            let number = |n: u64| {
                if as_text {
                    json!(n.to_string())
                } else {
                    json!(n)
                }
            };
            assert_eq!(second["media"]["chunk"], number(2));
            assert_eq!(second["media"]["timestamp"], number(20));
            assert_eq!(second["sequence_number"], number(3));
        }
    }
}
