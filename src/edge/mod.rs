//! The system: sound cards, lines, sockets, files.

pub mod realtime;
