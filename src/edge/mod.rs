//! The system: everything that waits, reads, writes or tells the time.
/// Button and lamp lines on the GPIO character device.
pub mod gpio;
/// The demo's panel: a key for a button, a lamp that is told.
pub mod virtual_panel;
