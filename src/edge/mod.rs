//! The system: sound cards, lines, sockets, files.

pub mod alsa;
pub mod card;
pub mod realtime;
pub mod virtual_card;
