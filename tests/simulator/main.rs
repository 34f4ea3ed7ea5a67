//! The simulator, met over its sockets: what it answers, and how it talks.

mod common;
mod media;
mod rest;
