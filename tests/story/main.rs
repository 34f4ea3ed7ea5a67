//! Whole calls, told from outside: the real daemon, a simulated service, and
//! real sockets between them.
//!
//! Each story waits for what it is about to happen and never for a time to
//! pass; how the harness does that is in [`kit`].

mod bad;
mod calls;
mod disk;
mod doors;
mod encodings;
#[path = "../far_end/mod.rs"]
mod far_end;
mod faults;
mod inbound;
mod kit;
mod lists;
mod process;
mod refused;
mod self_test;
mod streams;
mod tunnels;
mod unknown;
#[cfg(feature = "tunnel")]
mod vendor;
mod ways_in;
mod words;

use far_end::sound;
