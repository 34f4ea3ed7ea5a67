//! The system: everything that waits, reads, writes or tells the time.
/// How the command line speaks to the daemon.
pub mod control;
