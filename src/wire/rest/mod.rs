//! The REST half of the service, as bytes and values: what is asked, what is
//! answered, what went wrong, and what to do about it.
//!
//! `edge/rest` carries the bytes. It asks here for a path and a body before it
//! sends, and hands the answer in here when it has it.
//!
//! ```text
//!  PlaceRequest, ListQuery ──▶ path, body ──▶ edge/rest ──▶ service
//!  Placed, CallPage, Call, ◀── read_* ◀────── Answer  ◀────┘
//!  Number, Segment
//!  ApiError                ◀── read_*, or the transport's own faults
//!  PlaceOutcome            ◀── place_outcome: placed, refused or unknown
//! ```
//!
//! Units: `Retry-After` and `X-RateLimit-Reset` are seconds; stamps are
//! ISO 8601; numbers are E.164. Bodies are bounded by the reader, in bytes:
//! [`CALL_LIMIT`], [`LIST_LIMIT`].
//!
//! Always true: a request that breaks the API document cannot be made; unknown
//! fields and unknown enum values survive a round trip; no bytes panic a
//! reader; no `Display` or `Debug` here shows a full number or a stream's path.
//!
//! Threads: none of its own, control runtime in practice.

mod answer;
mod call;
mod error;
mod number;
mod outcome;
mod request;
mod transcript;

pub use answer::{Answer, Body, CALL_LIMIT, Headers, LIST_LIMIT, read_call, read_hang_up};
pub use answer::{read_date, read_number, read_numbers, read_page, read_placed, read_transcript};
pub use call::{
    Call, CallPage, CallStatus, Direction, HangupReason, Pair, Placed, RateLimit, Stamp,
};
pub use error::{ApiError, ConnectFault, Detail, Foreign, Limited, Next};
pub use number::{IncomingAction, Number, NumberUpdate, StreamUrl};
pub use outcome::{PlaceOutcome, place_outcome};
pub use request::{BadId, BadQuery, BadUrl, BaseUrl, ListQuery, PhoneNumberId};
pub use request::{NUMBERS_PATH, PLACE_PATH, PlaceRequest, WsUrl, call_path, hang_up_path};
pub use request::{list_path, number_path, old_transcript_path, transcript_path};
pub use transcript::{Party, Segment};

#[cfg(test)]
mod tests;
