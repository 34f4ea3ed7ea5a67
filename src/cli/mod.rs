//! The command line: one file a subcommand.

/// `callbox calls`: the records of calls.
pub mod calls;
