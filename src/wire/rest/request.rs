//! What is sent: checked when it is made, so that nothing wrong is ever sent.

use std::fmt;

use hyper::Uri;
use serde::{Serialize, Serializer};

use crate::units::{CallId, E164};

/// Where a call is placed, below the base URL.
pub const PLACE_PATH: &str = "/place-call";

/// Where the account's numbers are listed, below the base URL.
pub const NUMBERS_PATH: &str = "/numbers";

/// Longest URL taken, in bytes. The API document names no bound; this one is
/// far above what an attempt's address needs and below every proxy's.
const MAX_URL: usize = 1024;

/// The body of `POST /place-call`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlaceRequest {
    /// Caller ID: an active number of the organization.
    #[serde(rename = "from_number", serialize_with = "whole_number")]
    pub from: E164,
    /// Who is called.
    #[serde(rename = "to_number", serialize_with = "whole_number")]
    pub to: E164,
    /// Where the service brings the sound; without it, it falls back to the
    /// number's own setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_websocket_url: Option<WsUrl>,
}

impl PlaceRequest {
    /// The JSON that goes on the wire.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("three strings are always JSON"))
    }
}

fn whole_number<S: Serializer>(number: &E164, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(number.as_str())
}

/// A WebSocket URL the service can reach: `wss://`, or `ws://` to this very
/// machine, which is what the demo uses.
///
/// `Display` and `Debug` leave out the path: it is the secret that lets a
/// stream in.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct WsUrl(String);

impl WsUrl {
    /// Takes `text` as it is: the service echoes it, and the echo is compared.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let parts = UrlParts::split(text)?;
        match parts.scheme {
            "wss" => {}
            "ws" if parts.loopback => {}
            "ws" => return Err(BadUrl::PlainWs),
            _ => return Err(BadUrl::NotWss),
        }
        Ok(Self(text.to_owned()))
    }

    /// The whole URL, path included: for the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0[host..]
            .find(['/', '?'])
            .map_or(self.0.len(), |at| host + at);
        write!(f, "{}/…", &self.0[..end])
    }
}

impl fmt::Debug for WsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the service's phone API lives: `https://`, or `http://` to this very
/// machine, where the simulator is. No slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The service itself.
    pub const SERVICE: &str = "https://inkbox.ai/api/v1/phone";

    /// Takes `text`, and a slash too many at its end.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let text = text.trim_end_matches('/');
        let parts = UrlParts::split(text)?;
        match parts.scheme {
            "https" => {}
            "http" if parts.loopback => {}
            "http" => return Err(BadUrl::PlainHttp),
            _ => return Err(BadUrl::NotHttps),
        }
        if text.contains('?') {
            return Err(BadUrl::Query);
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it leads to this very machine, and so through no network.
    #[must_use]
    pub fn is_local(&self) -> bool {
        UrlParts::split(&self.0).is_ok_and(|parts| parts.loopback)
    }
}

impl Default for BaseUrl {
    fn default() -> Self {
        Self(Self::SERVICE.to_owned())
    }
}

/// Why a text is not a URL we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// The service's address is something other than HTTP.
    #[error("the service's address starts with https://")]
    NotHttps,
    /// `http://` to another machine: the key would travel in the clear.
    #[error("http:// is only for this machine; anywhere else write https://")]
    PlainHttp,
    /// A stream's address is something other than a WebSocket.
    #[error("a stream's address starts with wss://")]
    NotWss,
    /// `ws://` to another machine: the voices would travel in the clear.
    #[error("ws:// is only for this machine; anywhere else write wss://")]
    PlainWs,
    /// No host, or characters that do not belong in a URL.
    #[error("this is not a URL: write a scheme, a host and a path, like https://example.com/path")]
    Malformed,
    /// `user:password@`.
    #[error("a URL with a user name or password is not taken; leave out what is before the @")]
    Credentials,
    /// `#…`.
    #[error("leave out the # and what follows it")]
    Fragment,
    /// `?…` in the service's address.
    #[error("leave out the ? and what follows it")]
    Query,
    /// Longer than 1024 bytes.
    #[error("a URL has at most {MAX_URL} characters")]
    Length,
}

/// What is common to the two kinds of URL.
struct UrlParts<'a> {
    scheme: &'a str,
    loopback: bool,
}

impl<'a> UrlParts<'a> {
    fn split(text: &'a str) -> Result<Self, BadUrl> {
        if text.len() > MAX_URL {
            return Err(BadUrl::Length);
        }
        // `Uri` drops a fragment without a word.
        if text.contains('#') {
            return Err(BadUrl::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| BadUrl::Malformed)?;
        let authority = uri.authority().ok_or(BadUrl::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::Credentials);
        }
        let host = authority.host();
        let has_bad_port = authority.port_u16().is_none() && authority.as_str() != host;
        if host.is_empty() || has_bad_port {
            return Err(BadUrl::Malformed);
        }
        let (scheme, _) = text.split_once("://").ok_or(BadUrl::Malformed)?;
        Ok(Self {
            scheme,
            loopback: is_loopback(host),
        })
    }
}

fn is_loopback(host: &str) -> bool {
    let four: Option<Vec<u8>> = host.split('.').map(|part| part.parse().ok()).collect();
    let is_127 = four.is_some_and(|parts| parts.len() == 4 && parts[0] == 127);
    host == "localhost" || host == "[::1]" || is_127
}

/// The service's name for one of the organization's numbers: a UUID. List and
/// get need it, besides the number itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumberId(String);

impl PhoneNumberId {
    /// Takes the 36 characters of a UUID, in either case.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let text = text.trim();
        let fits = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if fits {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadId)
        }
    }

    /// The UUID in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PhoneNumberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("phone_number_id is a UUID like 6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11, not the number")]
pub struct BadId;

/// Which calls to list. Newest come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListQuery {
    limit: u8,
    offset: u32,
    is_blocked: Option<bool>,
}

impl Default for ListQuery {
    /// What the service does by itself: the newest 50.
    fn default() -> Self {
        Self {
            limit: 50,
            offset: 0,
            is_blocked: None,
        }
    }
}

impl ListQuery {
    /// `limit` of 1 to 200 results after the first `offset`. `is_blocked`:
    /// only blocked calls, only others, or what the key may see.
    ///
    /// # Errors
    /// When `limit` is out of range: the service would answer 422.
    pub fn new(limit: u32, offset: u32, is_blocked: Option<bool>) -> Result<Self, BadQuery> {
        match u8::try_from(limit) {
            Ok(limit @ 1..=200) => Ok(Self {
                limit,
                offset,
                is_blocked,
            }),
            _ => Err(BadQuery { limit }),
        }
    }

    /// The newest call alone.
    #[must_use]
    pub fn newest() -> Self {
        Self {
            limit: 1,
            ..Self::default()
        }
    }
}

/// A limit outside 1–200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limit is {limit}, and must be 1 to 200; page with offset to see more")]
pub struct BadQuery {
    /// What was asked for.
    pub limit: u32,
}

/// Where calls are listed, query included, below the base URL.
#[must_use]
pub fn list_path(id: &PhoneNumberId, query: &ListQuery) -> String {
    let ListQuery {
        limit,
        offset,
        is_blocked,
    } = query;
    let blocked = is_blocked
        .map(|is| format!("&is_blocked={is}"))
        .unwrap_or_default();
    format!(
        "/numbers/{}/calls?limit={limit}&offset={offset}{blocked}",
        id.as_str()
    )
}

/// Where one call is looked up, below the base URL.
#[must_use]
pub fn call_path(id: &PhoneNumberId, call: &CallId) -> String {
    format!("/numbers/{}/calls/{call}", id.as_str())
}

/// Where a call is hung up, below the base URL, on services that have it.
#[must_use]
pub fn hang_up_path(call: &CallId) -> String {
    format!("/calls/{call}/hangup")
}

/// Where one number is, below the base URL.
#[must_use]
pub fn number_path(id: &PhoneNumberId) -> String {
    format!("{NUMBERS_PATH}/{}", id.as_str())
}

/// Where what was said in a call is, below the base URL, on newer services.
#[must_use]
pub fn transcript_path(call: &CallId) -> String {
    format!("/calls/{call}/transcripts")
}

/// Where it is on older ones.
#[must_use]
pub fn old_transcript_path(id: &PhoneNumberId, call: &CallId) -> String {
    format!("{}/transcripts", call_path(id, call))
}
