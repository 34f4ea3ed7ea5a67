//! The control socket's language: one JSON object a line, one question, one answer.
//!
//! ```text
//!  callbox call|hangup|status ──{"do":"call","button":"door"}──▶ daemon
//!                             ◀──{"ok":{…}} or {"error":"…"}───
//! ```
//!
//! A line is at most [`REQUEST_MAX`] bytes from a client and [`REPLY_MAX`] from
//! the daemon. Unknown requests are an error with the words the daemon knows.

use serde::{Deserialize, Serialize};

/// Most bytes of a request line, its end included.
pub const REQUEST_MAX: usize = 1024;
/// Most bytes of a reply line, its end included.
pub const REPLY_MAX: usize = 256 * 1024;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Press a button: the first one, or the one of this name.
    Call {
        /// Its name in the configuration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        button: Option<String>,
    },
    /// Cancel the call that is up.
    Hangup,
    /// How the device is.
    Status {
        /// With the ring of the latest events.
        #[serde(default)]
        trace: bool,
    },
    /// A path under which the ingress answers once, for `doctor`.
    Probe,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It was done; the value depends on the request.
    Ok(serde_json::Value),
    /// It was not, and why, in words for a person.
    Error(String),
}

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// In words for the person at the other end.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|e| {
            format!("this is not a request: {e}; callbox knows call, hangup, status and probe")
        })
    }

    /// The request as a line, its end included.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        line(self)
    }
}

impl Reply {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|e| format!("the daemon's answer cannot be read: {e}"))
    }

    /// The reply as a line, its end included.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        line(self)
    }
}

fn line<T: Serialize>(value: &T) -> Vec<u8> {
    // Strings, numbers and maps with string keys always serialize.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_wire() {
        let requests = [
            Request::Call { button: None },
            Request::Call {
                button: Some("door".into()),
            },
            Request::Hangup,
            Request::Status { trace: true },
            Request::Probe,
        ];
        for request in requests {
            assert_eq!(Request::parse(&request.line()), Ok(request));
        }
    }

    #[test]
    fn other_words_are_refused_with_those_that_are_known() {
        for bad in [&b"{}"[..], b"", b"call", b"{\"do\":\"open\"}", b"\xff"] {
            let said = Request::parse(bad).unwrap_err();
            assert!(said.contains("call, hangup, status and probe"), "{said}");
        }
    }
}
