//! The service, from this side: requests done beside the loop, what their
//! answers mean, and whether it is reached at all.

use std::future::Future;

use crate::call::{self, Input};
use crate::edge::rest::Rest;
use crate::edge::store::Update;
use crate::units::AttemptId;
use crate::wire::rest::{ApiError, CallPage, Next};

use super::service::{self, Answered};
use super::{Daemon, reconcile, trouble_of};

impl Daemon {
    /// Has one request done beside the loop; its answer comes back to it.
    pub(super) fn ask_service<F>(&self, request: impl FnOnce(Rest) -> F)
    where
        F: Future<Output = Answered> + Send + 'static,
    {
        let answers = self.answers.clone();
        let request = request(self.rest.clone());
        tokio::spawn(async move {
            // The loop is gone only when the process ends.
            _ = answers.send(request.await).await;
        });
    }

    pub(super) fn warm(&self) {
        self.ask_service(service::warm);
    }

    pub(super) fn keep_warm(&self) {
        self.ask_service(service::keep_warm);
    }

    pub(super) fn on_answered(&mut self, answered: Answered) {
        self.age_limits();
        match answered {
            Answered::Call(input) => {
                if let Input::Looked {
                    attempt,
                    found: call::Look::Found { call, .. },
                } = &input
                {
                    self.expect(*attempt, call);
                }
                self.handle(input);
            }
            Answered::Confirmed {
                socket,
                call,
                answer,
            } => self.on_confirmed(socket, call, answer),
            Answered::Placed {
                attempt,
                facts,
                input,
            } => {
                self.attempts.note(attempt, facts);
                match &input {
                    Input::Placed { call, .. } => {
                        self.expect(attempt, call);
                        self.set_online(true);
                    }
                    Input::Refused {
                        why: call::Refusal::Offline,
                        ..
                    } => self.set_online(false),
                    _ => {}
                }
                self.handle(input);
            }
            Answered::Listed(page) => self.on_listed(&page),
            Answered::Reached(result) => self.on_reached(result),
            Answered::Reconciled(rows) => {
                self.reconciling = false;
                for row in rows {
                    self.write_reconciled(row);
                }
            }
        }
    }

    /// The service's first answer says what time it is, and so for how long
    /// the device was off.
    pub(super) fn age_limits(&mut self) {
        let reading = self.reading();
        if let Some(saved) = self.limits_saved.filter(|_| reading.trusted) {
            let since = reading.stamp.since(saved);
            self.call
                .age_limits(since.saturating_sub(self.started.elapsed()));
            self.limits_saved = None;
        }
    }

    pub(super) fn on_listed(&mut self, page: &CallPage) {
        let is_present = |url: &str| self.attempts.has_url(url);
        let (up, closed) = self.leftovers.sort(page, is_present);
        if !closed.is_empty() {
            tracing::warn!(
                records = closed.len(),
                "closed what an earlier run left open"
            );
            self.health.call_closed();
        }
        for row in closed {
            self.write(Update::record(row));
        }
        self.handle(Input::Orphans(up));
    }

    pub(super) fn on_reached(&mut self, result: Result<bool, ApiError>) {
        match result {
            Ok(true) => {
                self.complaint.clear();
                self.said = None;
                self.set_online(true);
            }
            // The line is in use: whoever uses it will know.
            Ok(false) => {}
            Err(error) if error.next() == Next::CheckNetwork => {
                tracing::debug!("the service is not reached: {error}");
                self.said = trouble_of(&error);
                self.set_online(false);
            }
            // A service that says no is reached all the same.
            Err(error) => {
                self.said = trouble_of(&error);
                self.set_online(true);
                self.complain(error.to_string());
            }
        }
    }

    /// Says what is wrong with the service once, not at every request.
    pub(super) fn complain(&mut self, what: String) {
        if self.complaint != what {
            tracing::warn!("{what}");
            self.complaint = what;
        }
    }

    pub(super) fn set_online(&mut self, online: bool) {
        if self.online == Some(online) {
            return;
        }
        self.online = Some(online);
        if online {
            tracing::info!("the service is reached");
            self.handle(Input::Online);
        } else {
            tracing::warn!("the service is not reached; a press is likely to fail");
            self.handle(Input::Offline);
        }
    }

    pub(super) fn reconcile(&mut self) {
        let free = self.online == Some(true) && !self.reconciling;
        if free && self.health.reconcile_now() {
            let rows = self.store.ask(reconcile::QUESTION);
            if let Ok(rows) = rows {
                self.reconciling = true;
                self.ask_service(|rest| reconcile::run(rest, rows));
            }
        }
    }

    pub(super) fn look(&self, attempt: AttemptId) {
        if let Some(url) = self.attempts.url(attempt) {
            let url = url.clone();
            self.ask_service(|rest| service::look(rest, attempt, url));
        }
    }
}
