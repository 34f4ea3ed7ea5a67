//! The tunnel that brings the service here, from the loop's side: what it is
//! told, and what becomes of its word.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::Daemon;
use crate::call::Phase;
use crate::edge::tunnel::{Media, Signs, State, Status, Tunnel};
use crate::wire::rest::WsUrl;

/// Seconds of a stream without sound after which it is asked whether the
/// tunnel is to blame.
const SILENT_AFTER: u32 = 3;

/// The next change of the tunnel's status; never, where there is none.
pub(super) async fn changed(inlet: &mut Option<watch::Receiver<Status>>) -> Status {
    if let Some(status) = inlet {
        if status.changed().await.is_ok() {
            return status.borrow_and_update().clone();
        }
        // Its thread is gone.
        *inlet = None;
    }
    std::future::pending().await
}

pub(super) async fn stop(tunnel: Option<Tunnel>) {
    if let Some(tunnel) = tunnel {
        tunnel.stop().await;
    }
}

/// A state in words for the status page.
fn words(state: &State) -> String {
    match state {
        State::Starting => "starting".to_owned(),
        State::Up => "up".to_owned(),
        State::Down(why) => format!("down: {why}"),
        State::Refused(why) => format!("refused: {why}"),
        State::Superseded => "taken over by another device".to_owned(),
    }
}

impl Daemon {
    pub(super) fn on_tunnel(&mut self, status: Status) {
        // Neither a round trip that went as the last one did is news, nor the
        // next of many tries.
        let is_new = match status.state {
            State::Starting => self.tunnel_was.is_none(),
            _ => self.tunnel_was.as_ref() != Some(&status.state),
        };
        if is_new {
            if status.state == State::Up {
                tracing::info!("the tunnel is up");
            }
            self.event("tunnel", words(&status.state));
            self.tunnel_was = Some(status.state);
        }
        if let Some(url) = status
            .public_url
            .filter(|url| self.public_url.as_ref() != Some(url))
        {
            tracing::info!("the device is reached at {url}");
            self.leftovers.reached_at(&url);
            self.public_url = Some(url);
        }
        self.look_at_tunnel();
    }

    /// Tells the tunnel what it cannot see, and takes down whether it needs care.
    pub(super) fn look_at_tunnel(&mut self) {
        let Some(tunnel) = &self.tunnel else {
            return;
        };
        let waits = self.call.phase() == Phase::Reconnecting;
        let media = match &self.live {
            Some(live) if live.silent_s >= SILENT_AFTER => Media::Silent,
            Some(_) => Media::Heard,
            None if waits => Media::Silent,
            None => Media::None,
        };
        let online = self.online == Some(true);
        tunnel.tell(Signs { online, media });
        let cut_off = tunnel.needs_care(Instant::now());
        if cut_off && !self.cut_off {
            tracing::error!("the service cannot reach this device; `callbox doctor` says more");
        }
        self.cut_off = cut_off;
    }

    /// Where the service reaches this device; `None` when it would not.
    pub(super) fn reachable_at(&self) -> Option<WsUrl> {
        let lost = |tunnel: &Tunnel| tunnel.status().state == State::Superseded;
        match self.tunnel.as_ref().is_some_and(lost) {
            true => None,
            false => self.public_url.clone(),
        }
    }

    pub(super) fn tunnel_page(&self) -> Option<Value> {
        let status = self.tunnel.as_ref()?.status();
        let mut page = json!({
            "state": words(&status.state),
            "since_s": status.since.elapsed().as_secs(),
            "starts": status.starts,
        });
        if let Some(url) = &status.public_url {
            page["address"] = json!(url.to_string());
        }
        if let Some(process) = status.process {
            page["process"] = json!(process);
        }
        let ms = |took: Duration| (took.as_secs_f64() * 1e4).round() / 10.0;
        match status.trip {
            Some(Ok(took)) => page["round_trip_ms"] = json!(ms(took)),
            Some(Err(why)) => page["round_trip"] = json!(why),
            None => {}
        }
        if let Some(said) = status.said {
            page["said"] = json!(said);
        }
        Some(page)
    }
}
