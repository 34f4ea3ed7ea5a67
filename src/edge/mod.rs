//! The system: everything that waits, reads, writes or tells the time.

pub mod gpio;
pub mod panel_inputs;
pub mod virtual_panel;
