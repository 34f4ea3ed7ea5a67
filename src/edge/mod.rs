//! The system: sound cards, lines, sockets, files.

pub mod ingress;
pub mod realtime;
/// The live media socket.
pub mod socket;
