//! What people ask of the device: gestures on its buttons, the control socket,
//! and announcements whose time has come.

use std::time::{Duration, Instant};

use crate::audio::engine::Command;
use crate::call::{Input, Kind, Phase, Plan, Signal};
use crate::config::{Action, Facts};
use crate::edge::control::Ask;
use crate::edge::zone::Local;
use crate::panel;
use crate::trace::Counter;
use crate::units::{AttemptId, ButtonId};
use crate::wire::control::{Reply, Request};

use super::{Daemon, HELD_RECORDS, Notice, is_at_rest};

/// What stands for a time that nobody has confirmed.
const NO_TIME: &str = "an unknown time";
/// And for a date.
const NO_DATE: &str = "an unknown date";

impl Daemon {
    pub(super) fn on_panel(&mut self, output: panel::Output) {
        use panel::Output as Panel;
        if let Some(counter) = output.counter() {
            self.trace.count(counter);
        }
        match output {
            Panel::FirstEdge { .. } => {
                self.end_self_test();
                self.warm();
            }
            Panel::Press {
                button,
                first_edge,
                qualified,
            } => {
                let action = self.button(button).map(|b| b.press);
                self.note_finger(button, action);
                self.gesture(button, action, qualified.saturating_sub(first_edge));
            }
            // A finger that stays on the button that began the call is no
            // wish to end it.
            Panel::LongPress { button } if self.began == Some(button) => {}
            Panel::LongPress { button } => {
                let action = self.button(button).map(|b| b.long_press);
                self.gesture(button, action, Duration::ZERO);
            }
            Panel::DoublePress { button } => {
                let action = self.button(button).map(|b| b.double_press);
                self.gesture(button, action, Duration::ZERO);
            }
            Panel::Stuck { button } => {
                tracing::warn!(
                    button = self.name(button),
                    "a button is stuck: it is locked until it is released"
                );
                self.event("panel", "button stuck");
            }
            Panel::Freed { button } => {
                tracing::info!(button = self.name(button), "the button works again");
            }
            Panel::LampFault { lamp, kind } => tracing::error!(
                lamp,
                ?kind,
                "the line of a lamp does not take a value; it is tried again every second"
            ),
            Panel::LampRestored { lamp } => tracing::info!(lamp, "the lamp works again"),
            Panel::RelayFault { relay, on, kind } => {
                let door = self.doors.get(usize::from(relay));
                let door = door.map_or("", |door| door.name.as_str());
                let state = match on {
                    true => "the door was not opened",
                    false => "the door may stand open",
                };
                tracing::error!(
                    door,
                    ?kind,
                    "the line of the door's relay does not take a value: {state}; it is tried \
                     again every second"
                );
                self.event("door", state);
            }
            Panel::RelayRestored { relay } => tracing::info!(relay, "the door's relay works again"),
            // Counted; the other two are dealt with where the lines are.
            Panel::NoiseBurst { .. } | Panel::ReadLevel { .. } | Panel::WaitUntil(_) => {}
        }
    }

    /// Whether the finger that came down on a button begins a call by it, and so
    /// is not to end it by staying.
    fn note_finger(&mut self, button: ButtonId, action: Option<Action>) {
        let phase = self.call.phase();
        let begins = is_at_rest(phase) || phase == Phase::Chiming;
        self.began = if begins && action == Some(Action::Call) {
            Some(button)
        } else {
            self.began.filter(|other| *other != button)
        };
    }

    fn gesture(&mut self, button: ButtonId, action: Option<Action>, qualified_in: Duration) {
        match action {
            Some(Action::Call) => self.press(button, qualified_in),
            Some(Action::Cancel) => {
                self.event("panel", "cancel");
                self.handle(Input::Cancel);
            }
            Some(Action::VolumeUp) => self.turn_volume(1),
            Some(Action::VolumeDown) => self.turn_volume(-1),
            Some(Action::None) | None => {}
        }
    }

    pub(super) fn takes_no_press(&self) -> Option<&'static str> {
        if self.stopping.is_some() {
            Some("callbox is ending")
        } else if self.held.len() >= HELD_RECORDS {
            Some("the store is too slow to take its record")
        } else {
            None
        }
    }

    fn press(&mut self, button: ButtonId, qualified_in: Duration) {
        self.end_self_test();
        if let Some(why) = self.takes_no_press() {
            tracing::warn!("the press is refused: {why}");
            self.trace.count(Counter::PressesRefused);
            return self.signal(Signal::Busy);
        }
        let Some(plan) = self.plan(button) else {
            return;
        };
        self.event("panel", "press");
        tracing::info!(button = self.name(button), "pressed");
        self.notice(Notice::Pressed(button));
        self.handle(Input::Press {
            button,
            qualified_in,
            plan,
        });
    }

    /// What a press of this button asks for at this hour.
    fn plan(&self, button: ButtonId) -> Option<Plan> {
        let button = self.button(button)?;
        let targets = match self.local() {
            Some(local) => button.targets_at(local.minute, local.weekday),
            // Nobody knows the hour: better a wrong number than none.
            None => (0..).take(button.targets.len()).collect(),
        };
        let kind = match &button.announcement {
            Some(announcement) => Kind::Announce {
                repeats: announcement.repeats,
            },
            None => Kind::Talk,
        };
        Some(Plan {
            kind,
            targets,
            cycles: button.cycles,
            ring_for: button.ring_for,
            confirm: button.confirm,
            mode: button.mode,
        })
    }

    /// What this attempt's announcement says now.
    pub(super) fn announcement(&self, attempt: AttemptId) -> String {
        let button = self.attempts.button(attempt);
        let button = button.and_then(|button| self.button(button));
        let Some((button, announcement)) =
            button.and_then(|button| Some((button, button.announcement.as_ref()?)))
        else {
            return String::new();
        };
        let local = self.local();
        let (time, date) = match &local {
            Some(local) => (local.clock(), local.date()),
            None => (NO_TIME.to_owned(), NO_DATE.to_owned()),
        };
        announcement.text.render(&Facts {
            place: &self.place,
            time: &time,
            date: &date,
            button: &button.name,
        })
    }

    /// What the clock on the wall shows; `None` while nobody has confirmed it.
    fn local(&self) -> Option<Local> {
        let reading = self.reading();
        reading.trusted.then(|| self.zone.local(reading.stamp))
    }

    /// Whether nothing may chime now.
    pub(super) fn is_quiet(&self) -> bool {
        let local = self.local();
        local.is_some_and(|local| self.quiet.contains(local.minute, local.weekday))
    }

    /// Once a second: quiet hours begin and end, announcements become due.
    pub(super) fn look_at_the_clock(&mut self) {
        let quiet = self.is_quiet();
        if std::mem::replace(&mut self.hushed, quiet) != quiet {
            self.engine.push(Command::Quiet(quiet));
        }
        let now = Instant::now();
        let local = self.local();
        if let Some(local) = &local {
            self.timetable.look(now, local);
        }
        let free = is_at_rest(self.call.phase()) && self.takes_no_press().is_none();
        if free && let Some((name, button)) = self.timetable.take(now) {
            tracing::info!(name, "an announcement is due");
            self.press(button, Duration::ZERO);
        }
        self.look_at_self_test(local);
    }

    /// One step up or down. Once a call is over it is as configured again: the
    /// next visitor knows nothing of it. Nor of what was turned before, with
    /// nothing to be heard.
    fn turn_volume(&mut self, by: i8) {
        if is_at_rest(self.call.phase()) {
            return;
        }
        let steps = self.volume.steps;
        self.turned = (self.turned + by).clamp(-steps, steps);
        self.set_volume();
    }

    pub(super) fn reset_volume(&mut self) {
        if std::mem::take(&mut self.turned) != 0 {
            self.set_volume();
        }
    }

    fn set_volume(&mut self) {
        let db = self.turned.saturating_mul(self.volume.step_db);
        tracing::debug!(db, "volume");
        self.engine.push(Command::Volume { db });
    }

    pub(super) fn on_ask(&mut self, ask: Ask) {
        let reply = match ask.request {
            Request::Call { button } => self.call_from_control(button.as_deref()),
            Request::Hangup => {
                self.handle(Input::Cancel);
                Ok(serde_json::Value::Null)
            }
            Request::Status { trace } => Ok(self.status(trace)),
            Request::Probe => self.open_probe(),
        };
        // The client may have gone: that is its affair.
        _ = ask.answer.send(reply.map_or_else(Reply::Error, Reply::Ok));
    }

    fn call_from_control(&mut self, name: Option<&str>) -> Result<serde_json::Value, String> {
        let calls = |b: &&super::Button| !b.targets.is_empty();
        let found = match name {
            None => self.buttons.iter().position(|b| calls(&b)),
            Some(name) => self
                .buttons
                .iter()
                .position(|b| calls(&b) && b.name == name),
        };
        let Some(index) = found else {
            let names: Vec<&str> = self
                .buttons
                .iter()
                .filter(calls)
                .map(|b| b.name.as_str())
                .collect();
            return Err(format!(
                "there is no such button that calls; there is {}",
                names.join(", ")
            ));
        };
        if let Some(why) = self.takes_no_press() {
            return Err(format!("the press is refused: {why}"));
        }
        // A panel has at most 16 buttons.
        self.press(ButtonId(index as u8), Duration::ZERO);
        Ok(serde_json::json!({ "button": self.buttons[index].name }))
    }

    fn open_probe(&mut self) -> Result<serde_json::Value, String> {
        let token = self.token().ok_or("the system gives no random numbers")?;
        let path = token.probe_path();
        let said = serde_json::json!({ "path": path, "token": token.as_str() });
        self.routes.open_probe(token);
        Ok(said)
    }

    fn button(&self, id: ButtonId) -> Option<&super::Button> {
        self.buttons.get(usize::from(id.0))
    }

    fn name(&self, id: ButtonId) -> &str {
        self.button(id).map_or("", |b| &b.name)
    }
}
