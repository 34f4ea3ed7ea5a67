//! The service's answers as inputs of the call: one short task a request.
//!
//! Each function does one request and says what it means; the loop hands it to
//! the call. Nothing is repeated here: that is the call's to decide.

use crate::call::{HangUpAnswer, Input, Look, Reason, Refusal, Remaining, Report, Status};
use crate::edge::rest::Rest;
use crate::edge::store::Row;
use crate::units::{AttemptId, CallId, E164, SocketId};
use crate::wire::rest::{
    ApiError, Call, CallPage, CallStatus, HangupReason, ListQuery, PlaceOutcome, PlaceRequest,
    Placed, WsUrl, place_outcome,
};

use super::attempts::Facts;

/// Calls looked through for an attempt's own: as many as one request gives.
const LOOK_LIMIT: u32 = 200;

/// What a task brings back to the loop.
#[derive(Debug)]
pub(super) enum Answered {
    /// An input for the call, and nothing else.
    Call(Input),
    /// The outcome of place-call.
    Placed {
        attempt: AttemptId,
        facts: Facts,
        input: Input,
    },
    /// What the service says of the call that an inbound stream names.
    Confirmed {
        socket: SocketId,
        call: CallId,
        answer: Result<Box<Call>, ApiError>,
    },
    /// The newest calls at the service.
    Listed(CallPage),
    /// Whether the service was reached; `Ok(false)` if nothing was found out.
    Reached(Result<bool, ApiError>),
    /// What the service's own records add to rows of the store.
    Reconciled(Vec<Row>),
}

pub(super) async fn place(
    rest: Rest,
    attempt: AttemptId,
    from: E164,
    to: E164,
    url: WsUrl,
) -> Answered {
    let request = PlaceRequest {
        from,
        to,
        client_websocket_url: Some(url),
    };
    let (facts, input) = match place_outcome(rest.place(&request).await) {
        PlaceOutcome::Placed(placed) => (placed_facts(&placed), placed_input(attempt, &placed)),
        PlaceOutcome::Refused(error) => {
            tracing::warn!("no call was placed: {error}");
            let why = refusal(&error);
            (error_facts(&error), Input::Refused { attempt, why })
        }
        PlaceOutcome::Unknown(error) => {
            tracing::warn!(
                "it is not known whether the call was placed, and is looked up: {error}"
            );
            (error_facts(&error), Input::OutcomeUnknown { attempt })
        }
    };
    Answered::Placed {
        attempt,
        facts,
        input,
    }
}

fn placed_facts(placed: &Placed) -> Facts {
    Facts {
        http_status: Some(200),
        http_error: None,
        minutes_remaining: placed.rate_limit.map(|r| r.minutes_remaining),
    }
}

fn placed_input(attempt: AttemptId, placed: &Placed) -> Input {
    let whole = |n: f64| n.clamp(0.0, f64::from(u32::MAX)) as u32;
    let remaining = placed.rate_limit.map(|r| Remaining {
        calls: u32::try_from(r.calls_remaining.max(0)).unwrap_or(u32::MAX),
        minutes: whole(r.minutes_remaining),
    });
    Input::Placed {
        attempt,
        call: placed.call.id.clone(),
        remaining,
    }
}

fn error_facts(error: &ApiError) -> Facts {
    Facts {
        http_status: error.status(),
        http_error: Some(error.to_string()),
        minutes_remaining: None,
    }
}

fn refusal(error: &ApiError) -> Refusal {
    match error {
        ApiError::NotActive(_) => Refusal::NotActive,
        ApiError::Key(_) => Refusal::Unauthorized,
        ApiError::NotYours(_) => Refusal::Forbidden,
        ApiError::NotFound(_) => Refusal::NotFound,
        ApiError::Invalid(_) => Refusal::Invalid,
        ApiError::Limited(limited) => Refusal::Limit {
            retry_after: limited.retry_after,
        },
        ApiError::CarrierFailed(_) => Refusal::Carrier,
        ApiError::Unreachable(_) | ApiError::TimedOut { .. } | ApiError::Lost { .. } => {
            Refusal::Offline
        }
        other => Refusal::Other(other.status().unwrap_or(0)),
    }
}

pub(super) async fn look(rest: Rest, attempt: AttemptId, url: WsUrl) -> Answered {
    let found = match rest.list(&newest_calls()).await {
        Ok(page) => match page.calls.iter().find(|call| call.streams_to(&url)) {
            // One of those that cannot be read may be the one.
            None if page.unreadable > 0 => Look::Failed,
            Some(call) => Look::Found {
                call: call.id.clone(),
                report: report(call),
            },
            None => Look::Absent,
        },
        Err(error) => {
            tracing::warn!("the call could not be looked up: {error}");
            Look::Failed
        }
    };
    Answered::Call(Input::Looked { attempt, found })
}

pub(super) fn newest_calls() -> ListQuery {
    ListQuery::new(LOOK_LIMIT, 0, None).unwrap_or_default()
}

pub(super) async fn get(rest: Rest, attempt: AttemptId, call: CallId) -> Answered {
    Answered::Call(match rest.get(&call).await {
        Ok(call) => Input::Status {
            attempt,
            report: report(&call),
        },
        Err(error) => {
            tracing::debug!("the call's status is not known: {error}");
            Input::StatusFailed { attempt }
        }
    })
}

pub(super) async fn confirm(rest: Rest, socket: SocketId, call: CallId) -> Answered {
    let answer = rest.get(&call).await.map(Box::new);
    Answered::Confirmed {
        socket,
        call,
        answer,
    }
}

pub(super) async fn hang_up(rest: Rest, attempt: AttemptId, call: CallId) -> Answered {
    let answer = match rest.hang_up(&call).await {
        Ok(call) => HangUpAnswer::Taken(report(&call)),
        Err(ApiError::Conflict(_)) => HangUpAnswer::NotNow,
        Err(ApiError::Unsupported) => HangUpAnswer::Unsupported,
        Err(error) => {
            tracing::warn!("the hang-up did not get through, and is repeated: {error}");
            HangUpAnswer::Failed
        }
    };
    Answered::Call(Input::HungUp { attempt, answer })
}

pub(super) async fn warm(rest: Rest) -> Answered {
    Answered::Reached(rest.warm().await)
}

pub(super) async fn keep_warm(rest: Rest) -> Answered {
    Answered::Reached(rest.keep_warm().await)
}

fn report(call: &Call) -> Report {
    Report {
        status: match &call.status {
            CallStatus::Initiated => Status::Initiated,
            CallStatus::Ringing => Status::Ringing,
            CallStatus::Answered => Status::Answered,
            CallStatus::Completed => Status::Completed,
            CallStatus::Canceled => Status::Canceled,
            CallStatus::Failed => Status::Failed,
            CallStatus::Other(_) if call.is_over() => Status::Completed,
            CallStatus::Other(_) => Status::Other,
        },
        reason: call.hangup_reason.as_ref().map(|reason| match reason {
            HangupReason::Local => Reason::Local,
            HangupReason::Remote => Reason::Remote,
            HangupReason::MaxDuration => Reason::MaxDuration,
            HangupReason::Voicemail => Reason::Voicemail,
            HangupReason::Rejected => Reason::Rejected,
            HangupReason::Other(_) => Reason::Other,
        }),
    }
}
