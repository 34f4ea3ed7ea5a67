//! Samples in, samples out.
pub mod engine;
pub mod ring;
pub mod tone;

/// Settings of the engine.
#[derive(Debug, Clone, Default)]
pub struct Config {}

/// Figures the engine keeps while it runs; any thread may read them.
#[derive(Debug, Default)]
pub struct Stats {}
