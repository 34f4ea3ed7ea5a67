//! Bytes to messages and back: nothing here reads, writes or waits.

/// The control socket's language.
pub mod control;
/// The handshake of a call's media stream.
pub mod handshake;
/// The service's REST interface: requests, answers, errors.
pub mod rest;
/// The messages of a call's media stream.
pub mod media;
