//! callbox: a button, a microphone and a speaker made into a telephone intercom.

pub mod audio;
pub mod call;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod edge;
pub mod panel;
pub mod simulator;
pub mod trace;
pub mod units;
pub mod wire;
