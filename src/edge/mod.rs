//! The system: everything that waits, reads, writes or tells the time.

pub mod clock;
pub mod control;
pub mod rest;
pub mod store;
