//! The messages we send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Writes the messages we send, into one buffer that is used again.
#[derive(Debug)]
pub struct Writer {
    text: String,
    /// Length of what every media message begins with.
    opening: usize,
}

impl Writer {
    /// A writer for the stream the service calls `stream_id`.
    #[must_use]
    pub fn new(stream_id: Option<&str>) -> Self {
        let mut text = r#"{"event":"media","#.to_owned();
        if let Some(id) = stream_id {
            text.push_str(r#""stream_id":"#);
            text.push_str(&quoted(id));
            text.push(',');
        }
        text.push_str(r#""media":{"payload":""#);
        let opening = text.len();
        Self { text, opening }
    }

    /// The message that carries `payload`. It allocates only for a payload
    /// longer than each before.
    pub fn media(&mut self, payload: &[u8]) -> &str {
        self.text.truncate(self.opening);
        STANDARD.encode_string(payload, &mut self.text);
        self.text.push_str(MEDIA_END);
        &self.text
    }
}

const MEDIA_END: &str = r#"","track":"outbound"}}"#;

/// The message that drops what is queued for the callee.
pub const CLEAR: &str = r#"{"event":"clear"}"#;

/// The message that asks for an echo once the sound before it has played.
#[must_use]
pub fn write_mark(name: &str) -> String {
    format!(r#"{{"event":"mark","mark":{{"name":{}}}}}"#, quoted(name))
}

/// The message that says that an utterance in sound is over.
#[must_use]
pub fn write_audio_done(stream_id: Option<&str>) -> String {
    match stream_id {
        Some(id) => format!(r#"{{"event":"audio_done","stream_id":{}}}"#, quoted(id)),
        None => r#"{"event":"audio_done"}"#.to_owned(),
    }
}

/// The message with one more piece of the text to be spoken. The pieces of a
/// turn end with [`TEXT_DONE`].
#[must_use]
pub fn write_text(delta: &str) -> String {
    format!(r#"{{"event":"text","delta":{}}}"#, quoted(delta))
}

/// The message behind the last piece of the text to be spoken.
pub const TEXT_DONE: &str = r#"{"event":"text","done":true}"#;

/// The message that ends the call.
#[must_use]
pub fn write_stop(reason: &str) -> String {
    format!(r#"{{"event":"stop","reason":{}}}"#, quoted(reason))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
