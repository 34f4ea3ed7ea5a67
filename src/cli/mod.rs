//! Skeleton of `cli`.
/// `callbox simulate`.
pub mod simulate;
