//! The system: everything that waits, reads, writes or tells the time.
/// Wall time on a board without a battery clock.
pub mod clock;
/// How the command line speaks to the daemon.
pub mod control;
/// The service's REST API over HTTPS.
pub mod rest;
/// The record of every attempt at a call.
pub mod store;
