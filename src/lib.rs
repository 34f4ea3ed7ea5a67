//! callbox: a button, a microphone and a speaker made into a telephone intercom.
//!
//! A press places a real telephone call through the Inkbox API, number after
//! number until a person answers; the service then connects a media WebSocket
//! **to the device**, and two people talk, or a text is spoken. Who was called
//! can open the door. This page is the way through the source.
//!
//! ```text
//!  button ─▶ edge/gpio ─▶ panel ─▶ call ──▶ edge/rest ── POST /place-call ─▶ service ─▶ phone
//!  lamps, doors ◀───────────┘       │ ▲                                          │ answered
//!                                   │ └────────── edge/socket ◀══ wss media ═════╝
//!                                   ▼                │   ▲        wire: bytes ↔ messages
//!                             edge/store      downlink   uplink   bounded rings, in milliseconds
//!                                                    ▼   │
//!         speaker ◀─ edge/alsa ◀─ playout · decode · conceal · mix ─┐  audio: samples in,
//!             mic ─▶ edge/alsa ─▶ echo, noise · prompts · encode ───┘  samples out
//! ```
//!
//! # Rooms and arrows
//!
//! Four rooms are **pure**: [`call`] (what a call does next), [`panel`] (what a
//! button meant, what a lamp shows), [`wire`] (bytes to messages and back) and
//! [`audio`] (samples in, samples out). They take time and data as arguments
//! and hand back requests. None of them names a clock, a socket, a file, a
//! thread, or another room; `tests/house.rs` reads the sources and keeps it so.
//!
//! [`edge`] talks to the system. [`daemon`] joins: it waits, hands in, drains,
//! acts. [`config`] turns one file, and what is known of the board, into the
//! parts' own structs, [`cli`] has one file a subcommand, [`simulator`] is a
//! telephone service to talk to over sockets. [`units`] and [`trace`] are what
//! all of them share.
//!
//! # Threads
//!
//! ```text
//!  audio     SCHED_FIFO   edge/alsa's poll loop around audio::engine
//!    │ eventfd, rings
//!  media     raised       live socket, GPIO edges, panel: a tokio of its own
//!    │ channels
//!  control   ordinary     daemon's loop, REST, TLS handshakes, control socket
//!    │ channel
//!  store     ordinary     SQLite
//!  tunnel    ordinary     keeps a tunnel up, where [ingress] names one; the
//!                         service's own passes the sound on a raised thread
//! ```
//!
//! A TLS handshake or a slow disk never delays a packet; the audio thread
//! allocates nothing, locks nothing, logs nothing.
//!
//! # Clocks
//!
//! Audio counts the card's own blocks. Deadlines are monotonic time, handed in.
//! Wall time exists where something is stored, and nowhere else.
//!
//! # Where to begin reading
//!
//! [`call`] for the decisions, with a story for each in `tests/traces/call`;
//! [`audio::playout`] for the hard part of the sound; [`daemon`] for how a
//! press becomes a call; [`wire`] for what the service's documents say, and the
//! test that shows each line of it.

pub mod audio;
pub mod call;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod edge;
pub mod panel;
pub mod simulator;
pub mod trace;
pub mod units;
pub mod wire;
