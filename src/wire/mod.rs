//! Skeleton of `wire`.

/// The handshake of a call's media stream.
pub mod handshake;
/// The messages of a call's media stream.
pub mod media;
