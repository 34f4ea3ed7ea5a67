//! The system: everything that waits, reads, writes or tells the time.

/// Sound cards through ALSA.
pub mod alsa;
/// What every sound card has in common.
pub mod card;
/// Wall time on a board without a battery clock.
pub mod clock;
/// How the command line speaks to the daemon.
pub mod control;
/// Button and lamp lines on the GPIO character device.
pub mod gpio;
/// The one door for the service's media streams.
pub mod ingress;
/// What the standard library has no safe call for.
pub mod realtime;
/// The service's REST API over HTTPS.
pub mod rest;
/// The live media socket.
pub mod socket;
/// The record of every attempt at a call.
pub mod store;
/// A sound card made of memory.
pub mod virtual_card;
/// A panel without hardware.
pub mod virtual_panel;
