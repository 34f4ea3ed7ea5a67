//! The record of calls on a real file: what is written, what can go wrong,
//! what a power cut leaves, and what people are shown.

mod calls;
mod kill;
mod record;
mod support;
mod trouble;
