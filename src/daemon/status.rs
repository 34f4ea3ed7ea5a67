//! The device in one page: what `callbox status` shows.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::Daemon;
use crate::call::Phase;
use crate::edge::card::SideStats;
use crate::trace::Counter;
use crate::units::tenths;

/// A phase in words for the log and the status.
pub(super) fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "ready",
        Phase::Pressed => "pressed, waiting for the line",
        Phase::Dialing => "dialing",
        Phase::Ringing => "ringing",
        Phase::Confirming => "answered, waiting for the callee to confirm",
        Phase::Chiming => "somebody calls",
        Phase::Announcing => "the announcement is being made",
        Phase::Answered => "answered",
        Phase::OneWay => "answered, but nothing is heard from the far end",
        Phase::Reconnecting => "the stream dropped, waiting for it to come back",
        Phase::Ending => "hanging up",
        Phase::Announced => "the announcement was made",
        Phase::Ended => "the call is over",
        Phase::Failed => "the call failed",
        Phase::Limited => "a limit says no",
        Phase::Offline => "the service is not reached",
    }
}

impl Daemon {
    pub(super) fn status(&self, trace: bool) -> Value {
        let reading = self.reading();
        let sound = self.stats.snapshot();
        let store = self.store.health();
        let mut page = json!({
            "state": words(self.call.phase()),
            "up_s": self.started.elapsed().as_secs(),
            "alive": self.health.dead(Instant::now()).map_or("yes".to_owned(), |part| format!("no: {part}")),
            "service": match self.online {
                None => "not asked yet",
                Some(true) => "reached",
                Some(false) => "not reached",
            },
            "clock": format!("{} ({})", reading.stamp, if reading.trusted { "confirmed by the service" } else { "not confirmed" }),
            "priority": match &self.sound.rights {
                Ok(()) => "real time".to_owned(),
                Err(denied) => denied.to_string(),
            },
            "microphone": side(&self.sound.stats.microphone),
            "speaker": side(&self.sound.stats.speaker),
            "playout": {
                "delay_ms": sound.delay_ms.round(),
                "target_ms": sound.target_ms.round(),
                "concealed_ms": sound.concealed_ms,
                "skipped_ms": sound.skipped_ms,
                "drift_ppm": sound.drift_ppm.round(),
            },
            "quiet": self.hushed,
            "records": store.in_memory.map_or("on disk".to_owned(), |why| format!("in memory only: {why}")),
            "records_waiting": self.held.len(),
            "counters": self.counters(),
        });
        // The callee hears nothing of a microphone that gives only one value.
        page["microphone"]["silent_s"] = json!((sound.mic_silent + sound.mic_stuck) / 4);
        page["microphone"]["echo_loss_db"] = json!(sound.echo_loss_db.map(tenths));
        if let Some(tunnel) = self.tunnel_page() {
            page["tunnel"] = tunnel;
        }
        if let Some(report) = self.self_test.latest() {
            page["sound_test"] = json!({
                "result": report.verdict(),
                "at": report.at,
                "delay_ms": report.delay_ms,
                "echo_loss_db": report.echo_loss_db,
                "distortion_percent": report.distortion_percent,
                "noise_dbfs": report.noise_dbfs,
            });
        }
        if !store.set_aside.is_empty() {
            page["set_aside"] = json!(store.set_aside);
        }
        if trace {
            let events = self.trace.events();
            page["trace"] = events.iter().map(ToString::to_string).collect();
        }
        page
    }

    fn counters(&self) -> Map<String, Value> {
        let count = |c: &Counter| (c.name().to_owned(), json!(self.trace.read(*c)));
        Counter::ALL
            .iter()
            .map(count)
            .filter(|(_, n)| *n != 0)
            .collect()
    }
}

fn side(stats: &SideStats) -> Value {
    json!({
        "present": stats.present(),
        "delay_ms": stats.delay().as_millis() as u64,
        "xruns": stats.xruns(),
        "losses": stats.losses(),
        "worst_late_ms": stats.worst_late().as_millis() as u64,
    })
}
