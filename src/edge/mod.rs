//! The system: everything that waits, reads, writes or tells the time.
/// How the command line speaks to the daemon.
pub mod control;
//! The system: sound cards, lines, sockets, files.

pub mod alsa;
pub mod card;
pub mod realtime;
pub mod virtual_card;
//! The system: sound cards, lines, sockets, files.

pub mod rest;
