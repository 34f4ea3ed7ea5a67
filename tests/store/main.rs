//! The record of calls on a real file: what is written, what can go wrong,
//! what a power cut leaves, and what people are shown.

mod calls;
mod details;
mod filters;
mod follow;
mod kill;
mod migrate;
mod page;
mod record;
mod support;
mod sync;
mod table;
mod trouble;
