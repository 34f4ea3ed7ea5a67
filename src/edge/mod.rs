//! The system: everything that waits, reads, writes or tells the time.
/// Wall time on a board without a battery clock.
pub mod clock;
/// How the command line speaks to the daemon.
pub mod control;
//! The system: sound cards, lines, sockets, files.

pub mod alsa;
pub mod card;
pub mod realtime;
pub mod virtual_card;
//! The system: sound cards, lines, sockets, files.

pub mod rest;
/// Button and lamp lines on the GPIO character device.
pub mod gpio;
/// The demo's panel: a key for a button, a lamp that is told.
pub mod virtual_panel;
/// The service's REST API over HTTPS.
pub mod rest;
/// The record of every attempt at a call.
pub mod store;
pub mod ingress;
pub mod realtime;
/// The live media socket.
pub mod socket;
