//! What is written down: records as the call hands them out, and beside them
//! openings, lines of transcripts, timelines and what outlives a restart.

use std::time::Instant;

use ring::rand::SecureRandom;

use crate::call;
use crate::edge::clock::{Reading, Stamp};
use crate::edge::store::{Line, OpenedBy, Opening, Party, Refused, Row, Saved, Source, Update};
use crate::trace::Counter;
use crate::units::{AttemptId, CallId, SocketId};
use crate::wire::handshake::Token;

use super::timeline::Recorder;
use super::{CLOCK, Daemon, LIMITS, Notice, attempts};

impl Daemon {
    pub(super) fn record(&mut self, record: &call::Record) {
        let reading = self.reading();
        let target = record.button.and_then(|button| {
            let button = self.buttons.get(usize::from(button.0))?;
            button.targets.get(usize::from(record.target))
        });
        let numbers = match record.direction {
            call::Direction::Outbound => (
                Some(self.from.clone()),
                target.map(|target| target.number.clone()),
            ),
            call::Direction::Inbound => {
                let call = record.call.as_ref();
                let caller = call.and_then(|call| self.desk.caller(call));
                (caller.cloned(), Some(self.from.clone()))
            }
        };
        let row = self.attempts.row(
            record,
            numbers,
            reading,
            &self.stats,
            &self.sound.stats,
            &self.random,
        );
        self.follow(record, &row.token);
        self.notice(Notice::Record(Box::new(row.clone())));
        self.write(Update::record(row));
        if record.closed.is_some() {
            self.keep_state();
            self.health.call_closed();
        }
    }

    /// Begins the timeline of an attempt, and writes it when the record is
    /// closed. A press that came to nothing has none, nor has a caller who is
    /// turned away, perhaps while another call is up.
    fn follow(&mut self, record: &call::Record, token: &str) {
        if record.ended == Some(call::Ended::TurnedAway) {
            return;
        }
        let known = self.recorder.as_ref().map(|r| r.attempt);
        if known != Some(record.attempt) {
            if record.closed.is_some() {
                return;
            }
            self.recorder = Some(Recorder::new(record.attempt, record.pressed));
        }
        if record.closed.is_some()
            && let Some(recorder) = self.recorder.take()
        {
            let sent = record.sent.is_some() || record.streamed.is_some();
            if sent {
                self.write(Update::timeline(token, &recorder.finish()));
            }
        }
    }

    /// Looks at the sound of the call that is up.
    pub(super) fn look_at_sound(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.look(Instant::now(), self.stats.snapshot());
        }
    }

    /// A door was opened in this attempt's call.
    pub(super) fn write_opening(&mut self, attempt: AttemptId, door: u8, by: call::OpenedBy) {
        let at = self.reading().stamp;
        let Some((row, after_ms)) = self.attempts.present(attempt) else {
            return;
        };
        let opening = Opening {
            at,
            after_ms,
            door,
            by: match by {
                call::OpenedBy::Code => OpenedBy::Code,
                call::OpenedBy::Word => OpenedBy::Word,
            },
            number: row.far_number().cloned(),
        };
        let token = row.token.clone();
        self.write(Update::opening(token, opening));
    }

    /// Words of the call that this socket carries.
    pub(super) fn write_line(&mut self, socket: SocketId, party: Party, text: String) {
        let Some(attempt) = self.attempts.of_socket(socket) else {
            return;
        };
        let Some((n, at_ms, token)) = self.attempts.next_line(attempt) else {
            return self.trace.count(Counter::LinesDropped);
        };
        let line = Line {
            n,
            at_ms,
            party,
            text,
            source: Source::Stream,
        };
        if let Some(update) = Update::transcript(token, line) {
            self.write(update);
        }
    }

    /// The announcement was heard to its end.
    pub(super) fn write_said(&mut self, socket: SocketId) {
        let attempt = self.attempts.of_socket(socket);
        let said = attempt.and_then(|attempt| self.attempts.what_was_said(attempt));
        if let Some(text) = said {
            self.write_line(socket, Party::Device, text);
        }
    }

    pub(super) fn cleared(
        &mut self,
        call: &CallId,
        how: call::Cleared,
        report: Option<call::Report>,
    ) {
        match how {
            call::Cleared::GivenUp => {
                tracing::error!(%call, "a call left up earlier could not be ended: it may still be up");
            }
            _ => tracing::warn!(%call, ?how, "a call left up earlier is off the line"),
        }
        let rows = self.leftovers.rows().chain(self.attempts.last_rows());
        let of_call = |row: &&Row| row.call_id.as_ref() == Some(call);
        let change = rows
            .into_iter()
            .find(of_call)
            .map(|row| attempts::cleared(row, how, report));
        if let Some(change) = change {
            self.write(Update::record(change));
            self.health.call_closed();
        }
    }

    /// Queues to the store; what it hands back is held and tried again.
    pub(super) fn write(&mut self, update: Update) {
        if !self.held.is_empty() {
            self.held.push(update);
            return;
        }
        if let Err(Refused::Full(update) | Refused::Stopped(update)) = self.store.write(update) {
            self.held.push(update);
        }
    }

    /// Whoever watches is told once it can be read from the disk.
    pub(super) fn write_reconciled(&mut self, row: Row) {
        let token = row.token.clone();
        let (update, saved) = Update::record(row).acknowledged();
        self.write(update);
        if let Some(notices) = self.notices.clone() {
            tokio::spawn(async move {
                if saved.await == Ok(Saved::OnDisk) {
                    _ = notices.try_send(Notice::Reconciled(token));
                }
            });
        }
    }

    pub(super) fn retry_held(&mut self) {
        let mut held = std::mem::take(&mut self.held).into_iter();
        for update in held.by_ref() {
            if let Err(Refused::Full(back) | Refused::Stopped(back)) = self.store.write(update) {
                self.held.push(back);
                break;
            }
        }
        self.held.extend(held);
    }

    /// What outlives a restart: the limits' memory, and the latest time.
    pub(super) fn keep_state(&mut self) {
        let reading = self.reading();
        let limits = self.call.limits(Instant::now());
        self.write(Update::keep(
            LIMITS,
            attempts::limits_text(&limits, reading),
        ));
        if reading.trusted {
            self.write(Update::keep(CLOCK, reading.stamp.to_string()));
        }
    }

    pub(super) fn reading(&self) -> Reading {
        self.clock.read(Stamp::system(), self.rest.service_time())
    }

    pub(super) fn token(&self) -> Option<Token> {
        let mut bytes = [0; 24];
        self.random.fill(&mut bytes).ok()?;
        Some(Token::from_random(bytes))
    }
}
