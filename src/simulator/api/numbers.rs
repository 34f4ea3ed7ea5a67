//! Numbers, and what becomes of calls to them.
//!
//! Two ways lead to the same three settings: the number itself, and
//! `/incoming-call-action`, which names the identity the number is assigned to.

use serde_json::{Value, json};

use super::check::{self, MEDIA_URL, Problems, is_media_url, is_webhook_url};
use super::{Answered, Asks, Reply, sees};
use crate::simulator::State;
use crate::simulator::config::IncomingAction;
use crate::simulator::exchange::{Entry, Routing};

/// The numbers the key may see.
pub(super) fn list(asks: &Asks<'_>) -> Reply {
    let state = asks.shared.state();
    let entries = state.exchange.numbers().iter();
    let theirs = entries.filter(|entry| sees(asks.key, &entry.number));
    Reply::ok(theirs.map(Entry::json).collect())
}

pub(super) fn get(asks: &Asks<'_>) -> Answered {
    Ok(Reply::ok(visible(&asks.shared.state(), asks)?.json()))
}

pub(super) fn update(asks: &Asks<'_>) -> Answered {
    let now = asks.shared.now();
    let mut state = asks.shared.state();
    let entry = visible(&state, asks)?;
    let body = check::body(asks.request).map_err(Problems::reply)?;
    let routing = changed(Routing::of(&entry.number), &body)?;
    let entry = state.exchange.route(asks.number, routing, now);
    Ok(Reply::ok(entry.map_or(Value::Null, Entry::json)))
}

/// What becomes of calls to the number of an identity.
pub(super) fn action(asks: &Asks<'_>) -> Answered {
    let asked = check::parameter(asks.request.uri.query(), "agent_identity_id");
    let identity = check::identity(asks.key, asked.as_deref(), "query")?;
    let state = asks.shared.state();
    let entry = assigned(&state, asks, &identity)?;
    Ok(Reply::ok(action_json(&identity, &entry)))
}

pub(super) fn set_action(asks: &Asks<'_>) -> Answered {
    let now = asks.shared.now();
    let mut state = asks.shared.state();
    let body = check::body(asks.request).map_err(Problems::reply)?;
    let asked = body["agent_identity_id"].as_str();
    let identity = check::identity(asks.key, asked, "body")?;
    let number = assigned(&state, asks, &identity)?.number;
    if body.get("incoming_call_action").is_none() {
        let place = ["body", "incoming_call_action"];
        return Err(Problems::one("missing", &place, "Field required"));
    }
    let routing = changed(Routing::of(&number), &body)?;
    let entry = state.exchange.route(&number.id, routing, now);
    let config = entry.map(|entry| action_json(&identity, entry));
    Ok(Reply::ok(config.unwrap_or_default()))
}

/// The number in the path, if the key may see it.
pub(super) fn visible<'a>(state: &'a State, asks: &Asks<'_>) -> Result<&'a Entry, Reply> {
    let Some(entry) = state.exchange.entry(asks.number) else {
        return Err(Reply::error(404, "Phone number not found"));
    };
    if sees(asks.key, &entry.number) {
        Ok(entry)
    } else {
        let why = "Phone number does not belong to your organization";
        Err(Reply::error(403, why))
    }
}

/// The number of an identity, if the key may see it.
fn assigned(state: &State, asks: &Asks<'_>, identity: &str) -> Result<Entry, Reply> {
    let mut entries = state.exchange.numbers().iter();
    let entry = entries.find(|entry| entry.number.identity.as_deref() == Some(identity));
    match entry {
        Some(entry) if sees(asks.key, &entry.number) => Ok(entry.clone()),
        Some(_) => {
            let why = "Agent identity does not belong to your organization";
            Err(Reply::error(403, why))
        }
        None => Err(Reply::error(404, "Agent identity has no phone number")),
    }
}

fn action_json(identity: &str, entry: &Entry) -> Value {
    json!({
        "agent_identity_id": identity,
        "incoming_call_action": entry.number.incoming_call_action.as_str(),
        "client_websocket_url": entry.number.client_websocket_url,
        "incoming_call_webhook_url": entry.number.incoming_call_webhook_url,
    })
}

/// The routing with what `body` changes: a field that is not there stays, a URL
/// that is `null` goes.
fn changed(mut routing: Routing, body: &Value) -> Result<Routing, Reply> {
    let mut problems = Problems::default();
    let words = IncomingAction::ALL.map(IncomingAction::as_str);
    let word = problems.choice(body, "incoming_call_action", &words);
    let action = IncomingAction::ALL.into_iter();
    let action = action.zip(words).find(|(_, name)| word == Some(*name));
    if let Some((action, _)) = action {
        routing.action = action;
    }
    let url = "client_websocket_url";
    if let Some(url) = problems.url(body, url, is_media_url, MEDIA_URL) {
        routing.media_url = url;
    }
    let url = "incoming_call_webhook_url";
    if let Some(url) = problems.url(body, url, is_webhook_url, "https://") {
        routing.webhook_url = url;
    }
    if !problems.is_empty() {
        return Err(problems.reply());
    }
    let lacks = match routing.action {
        IncomingAction::AutoAccept if routing.media_url.is_none() => "client_websocket_url",
        IncomingAction::Webhook if routing.webhook_url.is_none() => "incoming_call_webhook_url",
        _ => return Ok(routing),
    };
    let why = format!("Value error, {} needs a {lacks}", routing.action.as_str());
    Err(Problems::one("value_error", &["body", lacks], &why))
}
