//! Bytes to messages and back: nothing here reads, writes or waits.

pub mod control;
pub mod handshake;
pub mod media;
pub mod rest;
