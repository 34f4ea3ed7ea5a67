//! Skeleton of `cli`.
