//! The account's numbers, and what becomes of calls to them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::call::open_enum;
use super::request::{PhoneNumberId, WsUrl};
use crate::units::E164;

open_enum! {
    /// What the service does with a call to a number.
    IncomingAction {
        /// It is taken, and its stream goes to the number's WebSocket URL.
        AutoAccept = "auto_accept",
        /// It is not taken.
        AutoReject = "auto_reject",
        /// A web server decides.
        Webhook = "webhook",
    }
}

/// One of the account's numbers. `Debug` leaves out the stream's path.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Number {
    /// The service's name for it.
    #[serde(deserialize_with = "read_id")]
    pub id: PhoneNumberId,
    /// The number itself.
    #[serde(deserialize_with = "read_number")]
    pub number: E164,
    /// `active` in the service's word, when it can be called from.
    #[serde(default)]
    pub status: Option<String>,
    /// What becomes of calls to it. `None`: not said.
    #[serde(default)]
    pub incoming_call_action: Option<IncomingAction>,
    /// Where the stream of such a call goes.
    #[serde(default)]
    pub client_websocket_url: Option<StreamUrl>,
}

/// A stream's address as the service keeps it: anybody may have set it, so it
/// is any text. `Display` and `Debug` show no path, which may be a secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StreamUrl(String);

impl StreamUrl {
    /// Whether it is exactly this one.
    #[must_use]
    pub fn is(&self, url: &WsUrl) -> bool {
        self.0 == url.as_str()
    }
}

impl fmt::Display for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WsUrl::parse(&self.0) {
            Ok(url) => url.fmt(f),
            Err(_) => f.write_str("(not an address of a stream)"),
        }
    }
}

impl fmt::Debug for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The body of `PATCH /numbers/{id}`: what is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberUpdate {
    /// What is to become of calls to it.
    pub action: IncomingAction,
    /// Where their streams are to go.
    pub url: Option<WsUrl>,
}

impl NumberUpdate {
    /// Calls come to a device that listens at `url`; without one none are taken.
    #[must_use]
    pub fn for_inbound(url: Option<WsUrl>) -> Self {
        let action = match url {
            Some(_) => IncomingAction::AutoAccept,
            None => IncomingAction::AutoReject,
        };
        Self { action, url }
    }

    /// The JSON that goes on the wire.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("incoming_call_action".into(), self.action.as_str().into());
        if let Some(url) = &self.url {
            body.insert("client_websocket_url".into(), url.as_str().into());
        }
        Value::from(body).to_string().into_bytes()
    }

    /// Whether the number is as this would make it.
    #[must_use]
    pub fn is_done(&self, number: &Number) -> bool {
        let url = number.client_websocket_url.as_ref();
        let there = |wanted: &WsUrl| url.is_some_and(|url| url.is(wanted));
        number.incoming_call_action.as_ref() == Some(&self.action)
            && self.url.as_ref().is_none_or(there)
    }
}

fn read_id<'de, D: Deserializer<'de>>(from: D) -> Result<PhoneNumberId, D::Error> {
    PhoneNumberId::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn read_number<'de, D: Deserializer<'de>>(from: D) -> Result<E164, D::Error> {
    E164::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}
