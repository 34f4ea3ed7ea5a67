//! The system: everything that waits, reads, writes or tells the time.

pub mod alsa;
pub mod board;
pub mod card;
pub mod certificate;
pub mod clock;
pub mod control;
pub mod gpio;
pub mod ingress;
pub mod network;
pub mod panel_inputs;
pub mod prompts;
pub mod realtime;
pub mod recording;
pub mod rest;
pub mod round_trip;
pub mod socket;
pub mod sound_test;
pub mod store;
pub mod tunnel;
pub mod virtual_card;
pub mod virtual_panel;
pub mod volume;
pub mod zone;
