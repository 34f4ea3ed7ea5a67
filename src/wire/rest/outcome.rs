//! What became of a place-call request: the judgement rule 2 rests on.
//!
//! Placing a call is not idempotent. A wrong *refused* loses sight of a call
//! that may be ringing, and the visitor presses again: two calls. A wrong
//! *unknown* costs some seconds of looking up. So an outcome is *refused* only
//! when it is certain that there is no call; whatever is left is *unknown*.

use super::call::Placed;
use super::error::ApiError;

/// What became of a place-call request.
#[derive(Debug, Clone, PartialEq)]
pub enum PlaceOutcome {
    /// There is a call.
    Placed(Box<Placed>),
    /// There is no call, for this reason.
    Refused(ApiError),
    /// There may be a call: look for its stream address in the list, and never
    /// place it again.
    Unknown(ApiError),
}

/// Judges the result of place-call.
///
/// Certainly no call:
/// - nothing of the body was sent, so there was nothing to act upon;
/// - the service itself said no: a 4xx, or 502 for a failed dial, with its
///   JSON `detail`;
/// - 429 from whoever it is: a limiter turns a request away before it is acted
///   upon, and its answer is not always the service's JSON;
/// - a redirect, which is an answer instead of the deed, and is not followed.
///
/// Perhaps a call:
/// - time-outs and broken connections once the body was on its way;
/// - 500, 503, 504: the fault may have struck after the carrier was asked;
/// - 408: a proxy says it of the service, too;
/// - a bad status without the service's JSON, 502 included: a gateway that lost
///   the service says nothing of what the service did;
/// - a good status with a body that cannot be read: the call is there, its id
///   is not.
#[must_use]
pub fn place_outcome(result: Result<Placed, ApiError>) -> PlaceOutcome {
    match result {
        Ok(placed) => PlaceOutcome::Placed(Box::new(placed)),
        Err(error) if is_certain(&error) => PlaceOutcome::Refused(error),
        Err(error) => PlaceOutcome::Unknown(error),
    }
}

/// True when there is no call behind this error.
fn is_certain(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable(_) => true,
        ApiError::TimedOut { sent, .. } | ApiError::Lost { sent, .. } => !sent,
        ApiError::NotActive(_) | ApiError::Key(_) | ApiError::NotYours(_) => true,
        ApiError::NotFound(_) | ApiError::Conflict(_) | ApiError::Invalid(_) => true,
        ApiError::Limited(_) | ApiError::CarrierFailed(_) => true,
        ApiError::Redirected { .. } | ApiError::NoSuchNumber { .. } => true,
        ApiError::Rejected { status, .. } => *status != 408,
        ApiError::Server { .. } | ApiError::NotTheService { .. } => false,
        ApiError::NotJson(_) | ApiError::Unreadable(_) | ApiError::Truncated => false,
        ApiError::Oversized { .. } | ApiError::Unsupported | ApiError::OtherThan(_) => false,
    }
}
