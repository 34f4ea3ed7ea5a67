//! Whole calls on an emulated board: the program as it is shipped, for ARM, on
//! a Linux with a GPIO character device and a sound card, and the service
//! somewhere else.
//!
//! ```text
//!  this process                                     the guest, aarch64
//!  ┌────────────────────────────┐                  ┌──────────────────────────────┐
//!  │ story ── agent's socket ───┼─ press, speak ──▶│ line, room  ─▶ GPIO17, mouth │
//!  │   ▲ ▲                      │                  │                 ▼            │
//!  │   │ └── lamps, relay, ear ◀┼── shared folder ─┤ line, room ◀── callbox run   │
//!  │   ▼                        │                  │                 ▲            │
//!  │ simulator ◀─ TLS ──────────┼── REST ──────────┼─────────────────┤            │
//!  │   └───────── wss ──────────┼── media ─────────┼─────────────────┘            │
//!  └────────────────────────────┘                  └──────────────────────────────┘
//! ```
//!
//! They are ignored by a plain `cargo test`: `board/emulator/run` boots a board
//! and runs them all, and its `FILTER` those whose names hold it. One boot
//! serves every story, one at a time; each starts the program anew.
//!
//! Every wait ends when the thing happens, and the guard only ends a story that
//! would hang. An emulated processor is slow and its time is not steady:
//! figures are printed, and held to what a person would notice.

mod agent;
mod calls;
#[path = "../far_end/mod.rs"]
mod far_end;
mod figures;
mod front;
mod kit;
mod lamps;
mod panel;
mod talk;
mod trouble;
#[path = "../panel/waveforms.rs"]
mod waveforms;

use far_end::sound;
