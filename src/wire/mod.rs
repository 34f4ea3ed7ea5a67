//! Bytes to messages and back: REST bodies and errors, handshake, media frames.

pub mod rest;
