//! The program itself, as people at a terminal and service managers use it:
//! the real binary, real files, real sockets.

mod audio;
mod board;
mod card;
mod doctor;
mod messages;
mod service;
mod support;
mod waiting;
