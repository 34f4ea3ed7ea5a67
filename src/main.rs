//! The callbox program: its arguments, and nothing else.
fn main() {}
