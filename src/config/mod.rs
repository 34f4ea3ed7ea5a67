//! Skeleton of `config`.
