//! Bytes to messages and back: nothing here reads, writes or waits.

/// The control socket's language.
pub mod control;
/// The handshake of a call's media stream.
pub mod handshake;
/// The messages of a call's media stream.
pub mod media;
/// The service's REST interface: requests, answers, errors.
pub mod rest;
