//! Bytes to messages and back: nothing here reads, writes or waits.
//!
#![doc = include_str!("proof.md")]

pub mod control;
pub mod handshake;
pub mod media;
pub mod rest;
