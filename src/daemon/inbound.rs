//! Calls to the device: which stream is one, and whether it is let in.
//!
//! The inbound path is fixed, so a stream on it proves little: it is signed
//! and names a call. The service is then asked for that call, and only what it
//! says counts: an inbound call that is up, to this device's number, from a
//! caller on the list. What is not wanted is told to stop; and what is ours
//! but not wanted is hung up over REST, too.
//!
//! ```text
//!  stream ─▶ quiet hours? room? ─▶ get call ─▶ judge ─▶ Input::Incoming
//!                 └──────────── stop ◀───────────┘ no
//! ```
//!
//! Always true: at most [`ASKED_MAX`] streams wait for the service's word, and
//! the callers of the last [`CALLERS_MAX`] calls are known.

use std::collections::VecDeque;

use crate::units::{CallId, E164, SocketId};
use crate::wire::rest::{ApiError, Call, Direction};

/// Streams about whose calls the service is being asked; one more is stopped.
const ASKED_MAX: usize = 4;
/// Calls whose callers are remembered for their records.
const CALLERS_MAX: usize = 8;

/// Why a stream on the inbound path is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotIn {
    /// Nothing may chime now, so nobody may come in unheard.
    #[error("these are quiet hours")]
    Quiet,
    /// The process is about to end.
    #[error("callbox is ending")]
    Ending,
    /// Too many at once.
    #[error("too many inbound streams at once")]
    Crowded,
    /// The service was asked for the call, and did not say.
    #[error("the service does not confirm the call")]
    Unconfirmed,
    /// The service does not say what its context said.
    #[error("the service knows no such inbound call to this device")]
    NotOurs,
    /// The call is over already.
    #[error("the call is over")]
    Over,
    /// The caller is not on the list, or keeps the number back.
    #[error("the caller is not on the list in [inbound] allow")]
    NotAllowed,
}

impl NotIn {
    /// What the service is told, which ends the call.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Crowded => "busy",
            _ => "rejected",
        }
    }

    /// Whether the call is this device's all the same, or may be, and so has to
    /// be ended.
    pub(super) fn is_ours(self) -> bool {
        !matches!(self, Self::NotOurs | Self::Over)
    }
}

/// See the [module page](self).
#[derive(Debug, Default)]
pub(super) struct Desk {
    allow: Vec<E164>,
    asked: Vec<SocketId>,
    callers: VecDeque<(CallId, E164)>,
}

impl Desk {
    pub(super) fn new(allow: Vec<E164>) -> Self {
        Self {
            allow,
            ..Self::default()
        }
    }

    /// Takes a stream whose call the service is to be asked for.
    pub(super) fn ask(&mut self, socket: SocketId, quiet: bool) -> Result<(), NotIn> {
        if quiet {
            return Err(NotIn::Quiet);
        }
        if self.asked.len() >= ASKED_MAX {
            return Err(NotIn::Crowded);
        }
        self.asked.push(socket);
        Ok(())
    }

    /// The service has said what it knows of the call.
    pub(super) fn judge(
        &mut self,
        socket: SocketId,
        answer: Result<&Call, &ApiError>,
        own: &E164,
    ) -> Result<(), NotIn> {
        self.asked.retain(|asked| *asked != socket);
        let call = answer.map_err(|error| match error {
            ApiError::NotFound(_) => NotIn::NotOurs,
            _ => NotIn::Unconfirmed,
        })?;
        // A shared line has no number of its own to compare.
        let local = call.local_phone_number.as_deref();
        let ours = local.is_none_or(|local| local == own.as_str());
        if call.direction != Direction::Inbound || !ours {
            return Err(NotIn::NotOurs);
        }
        if call.is_over() {
            return Err(NotIn::Over);
        }
        let caller = call.remote_phone_number.as_deref();
        let caller = caller.and_then(|number| E164::parse(number).ok());
        let caller = caller
            .filter(|caller| self.allow.contains(caller))
            .ok_or(NotIn::NotAllowed)?;
        if self.callers.len() == CALLERS_MAX {
            self.callers.pop_front();
        }
        self.callers.push_back((call.id.clone(), caller));
        Ok(())
    }

    /// Who called, for the record.
    pub(super) fn caller(&self, call: &CallId) -> Option<&E164> {
        let known = self.callers.iter().rev().find(|(id, _)| id == call);
        known.map(|(_, caller)| caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rest::{Answer, Body, Headers, read_call};

    fn number(n: u8) -> E164 {
        E164::parse(&format!("+1500555010{n}")).unwrap()
    }

    fn call(change: impl FnOnce(&mut Call)) -> Call {
        let mut call: Call = serde_json::from_value(serde_json::json!({
            "id": "c-1", "direction": "inbound", "status": "answered",
            "local_phone_number": number(0).as_str(),
            "remote_phone_number": number(1).as_str(),
        }))
        .unwrap();
        change(&mut call);
        call
    }

    fn judged(answer: Result<&Call, &ApiError>) -> Result<(), NotIn> {
        let mut desk = Desk::new(vec![number(1)]);
        desk.ask(SocketId(1), false).unwrap();
        desk.judge(SocketId(1), answer, &number(0))
    }

    #[test]
    fn only_a_listed_callers_call_to_this_number_is_let_in() {
        let elsewhere = call(|c| c.local_phone_number = Some(number(5).as_str().to_owned()));
        let stranger = call(|c| c.remote_phone_number = Some(number(7).as_str().to_owned()));
        let ended = call(|c| c.status = crate::wire::rest::CallStatus::Completed);
        let hidden = call(|c| c.remote_phone_number = None);
        let shared = call(|c| c.local_phone_number = None);
        let outbound = call(|c| c.direction = Direction::Outbound);
        let cases = [
            ("as it should be", call(|_| {}), Ok(())),
            ("a shared line", shared, Ok(())),
            ("the device's own", outbound, Err(NotIn::NotOurs)),
            ("to another number", elsewhere, Err(NotIn::NotOurs)),
            ("over", ended, Err(NotIn::Over)),
            ("from a stranger", stranger, Err(NotIn::NotAllowed)),
            ("number kept back", hidden, Err(NotIn::NotAllowed)),
        ];
        for (name, call, want) in cases {
            assert_eq!(judged(Ok(&call)), want, "{name}");
        }
    }

    /// A call that is up in spite of a bad answer is ended by us or by nobody.
    #[test]
    fn only_the_services_own_no_leaves_a_call_alone() {
        let answer = Answer {
            status: 404,
            headers: Headers::default(),
            body: Body::Whole(br#"{"detail":"Call not found"}"#),
        };
        let unknown = read_call(&answer, &call(|_| {}).id).unwrap_err();
        assert_eq!(judged(Err(&unknown)), Err(NotIn::NotOurs));
        for error in [ApiError::OtherThan("call"), ApiError::Truncated] {
            let why = judged(Err(&error)).unwrap_err();
            assert_eq!(why, NotIn::Unconfirmed);
            assert!(why.is_ours());
        }
    }

    #[test]
    fn quiet_hours_and_a_crowd_keep_streams_out() {
        let mut desk = Desk::new(vec![number(1)]);
        assert_eq!(desk.ask(SocketId(1), true), Err(NotIn::Quiet));
        for n in 0..4 {
            desk.ask(SocketId(n), false).unwrap();
        }
        assert_eq!(desk.ask(SocketId(9), false), Err(NotIn::Crowded));
        desk.judge(SocketId(2), Err(&ApiError::Truncated), &number(0))
            .unwrap_err();
        assert_eq!(desk.ask(SocketId(9), false), Ok(()));
    }

    #[test]
    fn the_caller_is_known_to_the_record() {
        let mut desk = Desk::new(vec![number(1)]);
        let call = call(|_| {});
        desk.ask(SocketId(1), false).unwrap();
        desk.judge(SocketId(1), Ok(&call), &number(0)).unwrap();
        assert_eq!(desk.caller(&call.id), Some(&number(1)));
        assert_eq!(desk.caller(&CallId::parse("c-2").unwrap()), None);
    }
}
